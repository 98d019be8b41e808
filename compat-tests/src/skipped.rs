//! Tests that can do nothing where they run: counted and named at the end of `cargo test`, as the
//! test harness takes them for passed.
//!
//! Each appends a line to a file; the file belongs to one run of cargo, which is the parent of all
//! tests. `compat-tests/skipped.rs` runs after all other tests and prints [`summary`].

use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;

/// Notes that the test that calls this is skipped, and why. Call it on the thread of the test, which
/// has the test's name.
pub fn note(why: &str) {
    let thread = std::thread::current();
    // With `--test-threads=1` all tests run on the main thread.
    let test = thread.name().filter(|name| *name != "main").unwrap_or("a test");
    let binary = binary().unwrap_or_else(|| "unknown".into());
    let line = format!("{binary}\t{test}\t{}\n", why.replace(['\n', '\t'], " "));
    // Not by `eprintln`, which the harness would swallow.
    let _ = writeln!(std::io::stderr(), "skipped: {binary}::{test}: {why}");
    let file = file().and_then(|path| OpenOptions::new().append(true).create(true).open(path).ok());
    if let Some(mut file) = file {
        let _ = file.write_all(line.as_bytes());
    }
}

/// The name of this test binary, without the hash that cargo puts behind it.
fn binary() -> Option<String> {
    let path = std::env::current_exe().ok()?;
    let name = path.file_stem()?.to_str()?;
    Some(name.rsplit_once('-').map_or(name, |(name, _)| name).to_owned())
}

/// What tells one run of cargo from others.
#[cfg(unix)]
fn run_of_cargo() -> u32 {
    std::os::unix::process::parent_id()
}

/// Tests run on Unix alone.
#[cfg(not(unix))]
fn run_of_cargo() -> u32 {
    0
}

/// The file of this run: that of `PUNCH_SKIPPED`, else one beside the programs that cargo has built.
#[must_use]
pub fn file() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("PUNCH_SKIPPED").filter(|path| !path.is_empty()) {
        return Some(path.into());
    }
    let program = std::env::current_exe().ok()?;
    let name = format!("skipped-{}.txt", run_of_cargo());
    Some(program.parent()?.join(name))
}

/// One line that counts the skipped tests and names them, by their reason.
#[must_use]
pub fn summary(notes: &str) -> String {
    let mut by_reason: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
    for note in notes.lines() {
        let mut parts = note.split('\t');
        if let (Some(binary), Some(test), Some(why)) = (parts.next(), parts.next(), parts.next()) {
            by_reason.entry((binary, why)).or_default().insert(test);
        }
    }
    let tests: BTreeSet<_> = by_reason
        .iter()
        .flat_map(|((binary, _), tests)| tests.iter().map(move |test| (*binary, *test)))
        .collect();
    if tests.is_empty() {
        return "no test was skipped".to_owned();
    }
    let groups: Vec<String> = by_reason
        .iter()
        .map(|((binary, why), tests)| {
            let tests: Vec<&str> = tests.iter().copied().collect();
            format!("{binary} ({why}): {}", tests.join(", "))
        })
        .collect();
    let were = if tests.len() == 1 { "1 test was" } else { &format!("{} tests were", tests.len()) };
    format!("{were} skipped, though counted as passed: {}", groups.join("; "))
}
