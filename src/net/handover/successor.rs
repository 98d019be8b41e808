//! The process that comes after this one: the program that is by then where this one was started from, with the
//! same arguments.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// How to start it.
#[derive(Clone, Debug)]
pub struct Successor {
    program: PathBuf,
    args: Vec<OsString>,
    busy: Arc<AtomicBool>,
}

impl Successor {
    /// To be made at the start: later another program, or none, may be where this one was.
    #[must_use]
    pub fn of_process() -> Self {
        let mut args = env::args_os();
        let program = own_path(args.next().as_deref());
        let args = args.filter(|arg| !is_take_over(arg)).collect();
        Self { program, args, busy: Arc::default() }
    }

    /// Whether one has been started, or has come by itself, and it is not over with it.
    pub(super) fn busy(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.busy)
    }

    /// Starts it. It asks the process for its place which is there. None: another one is about to take it.
    ///
    /// # Errors
    /// If the system refuses it: there is no such program any more, for instance.
    pub(in crate::net) fn start(&self, at: SocketAddr) -> Option<io::Result<Child>> {
        if self.busy.swap(true, Ordering::SeqCst) {
            return None;
        }
        let mut command = Command::new(&self.program);
        command.args(&self.args).arg(format!("--take-over={at}")).stdin(Stdio::null());
        // Its sockets come from here, whoever has opened them.
        for name in ["LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "PUNCHD_TAKE_OVER"] {
            command.env_remove(name);
        }
        let started = command.spawn();
        if started.is_err() {
            self.busy.store(false, Ordering::SeqCst);
        }
        let program = self.program.display();
        Some(started.map_err(|error| io::Error::new(error.kind(), format!("{program}: {error}"))))
    }
}

fn is_take_over(arg: &OsStr) -> bool {
    let name = arg.to_str().map(|arg| arg.split('=').next().unwrap_or_default());
    matches!(name, Some("--take-over" | "-take-over"))
}

/// Where this program was started from, by the name under which the next one will be there as well: not where a
/// link leads to, which may lead to another version by then.
fn own_path(name: Option<&OsStr>) -> PathBuf {
    let running = env::current_exe().unwrap_or_else(|_| "punchd".into());
    let is_it = |path: &Path| {
        let of = |path: &Path| path.metadata().map(|file| (file.dev(), file.ino())).ok();
        of(path).is_some_and(|file| Some(file) == of(&running))
    };
    let name = name.map(Path::new).filter(|name| !name.as_os_str().is_empty());
    let here = env::current_dir().unwrap_or_default();
    let named = match name {
        Some(name) if name.components().count() > 1 => Some(here.join(name)),
        Some(name) => {
            let path = env::var_os("PATH").unwrap_or_default();
            env::split_paths(&path)
                .map(|folder| here.join(folder).join(name))
                .find(|path| is_it(path))
        }
        None => None,
    };
    named.filter(|path| is_it(path)).unwrap_or(running)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_named_as_it_was_started_unless_that_is_another_one() {
        let running = env::current_exe().unwrap();
        assert_eq!(own_path(Some(running.as_os_str())), running);
        for odd in [None, Some(OsStr::new("")), Some(OsStr::new("sh")), Some(OsStr::new("/bin/sh"))]
        {
            assert_eq!(own_path(odd), running, "{odd:?}");
        }
        let folder = env::temp_dir().join(format!("punchd-path-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let link = folder.join("link");
        std::os::unix::fs::symlink(&running, &link).unwrap();
        assert_eq!(own_path(Some(link.as_os_str())), link);
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn it_is_not_told_twice_whose_place_to_take() {
        for arg in ["--take-over", "-take-over", "--take-over=127.0.0.1:1"] {
            assert!(is_take_over(OsStr::new(arg)), "{arg}");
        }
        for arg in ["--take-overs", "take-over", "--port"] {
            assert!(!is_take_over(OsStr::new(arg)), "{arg}");
        }
    }
}
