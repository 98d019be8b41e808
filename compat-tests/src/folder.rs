//! A place for the files of a test.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

/// An empty folder of the test's own, removed with all that is in it when dropped.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// Makes one.
    ///
    /// # Panics
    /// If there is no place for temporary files.
    #[must_use]
    #[expect(clippy::expect_used, clippy::new_without_default, reason = "a fixture")]
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("punchd-{}-{n}", std::process::id()));
        fs::create_dir(&path).expect("making a folder");
        Self(path)
    }

    /// The path of a file in it.
    ///
    /// # Panics
    /// If the place for temporary files has no plain name.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a fixture")]
    pub fn file(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("a plain path").to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
