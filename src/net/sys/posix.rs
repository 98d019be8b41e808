//! What Linux and the other Unixes have in common.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage, rlim_t, setrlimit};
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::sys::time::TimeValLike as _;
use nix::unistd::{AccessFlags, access};
use socket2::Socket;

use super::Request;

/// What the last read of a connection has left is told by the kernel, when it comes.
pub(crate) const READS_END_IN_NOTHING: bool = false;

/// What reads the certificate again, for `--help`.
pub(crate) const RELOADS: &str = "SIGHUP reloads it";

/// What opens the log file again, for `--help`.
pub(crate) const REOPENS: &str = "SIGHUP reopens it";

/// The same in a sentence.
pub(crate) const UNTIL_REOPENED: &str = "until the next SIGHUP";

/// How long this process has used a CPU.
pub(crate) fn cpu_time() -> Option<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    u64::try_from(micros).ok().map(Duration::from_micros)
}

/// Whether the kernel has no memory for this right now, so that it is worth trying again later.
pub(crate) fn is_memory_pressure(error: &io::Error) -> bool {
    is(error, &[Errno::ENOBUFS, Errno::ENOMEM])
}

/// Whether this process, or the whole system, has no descriptor left.
pub(crate) fn is_out_of_files(error: &io::Error) -> bool {
    is(error, &[Errno::EMFILE, Errno::ENFILE])
}

/// Whether the system does not know this kind of address at all.
pub(crate) fn is_unknown_family(error: &io::Error) -> bool {
    is(error, &[Errno::EAFNOSUPPORT])
}

fn is(error: &io::Error, any: &[Errno]) -> bool {
    error.raw_os_error().is_some_and(|raw| any.contains(&Errno::from_raw(raw)))
}

/// Why the system does not permit to have a port, and what to do about it with this option.
pub(crate) fn no_permission(option: &str) -> String {
    format!("below 1024 only root may listen; use one from 1024 on with {option}")
}

/// Has a listener take its port though connections of the server before it linger there. A second
/// listener is refused all the same.
pub(crate) fn allow_lingering(socket: &Socket) -> io::Result<()> {
    socket.set_reuse_address(true)
}

/// SIGHUP, SIGUSR1 and SIGUSR2, in the hands of whoever listens to them.
#[derive(Debug)]
pub(crate) struct Signals(SigSet);

impl Signals {
    /// Takes them out of the hands of every thread that is started from now on.
    pub(crate) fn hold() -> io::Result<Self> {
        let mut mask = SigSet::empty();
        mask.add(Signal::SIGHUP);
        mask.add(Signal::SIGUSR1);
        mask.add(Signal::SIGUSR2);
        mask.thread_block()?;
        Ok(Self(mask))
    }

    /// Starts a thread that tells what each of them asks for, until nobody wants to hear it.
    pub(crate) fn listen(self, tell: impl Fn(Request) -> bool + Send + 'static) -> io::Result<()> {
        let listen = move || {
            while let Ok(signal) = self.0.wait() {
                let request = match signal {
                    Signal::SIGUSR1 => Request::Tell,
                    Signal::SIGUSR2 => Request::Succeed,
                    _ => Request::Reload,
                };
                if !tell(request) {
                    return;
                }
            }
        };
        std::thread::Builder::new().name("signals".into()).spawn(listen).map(drop)
    }
}

/// Does this with all signals blocked, as in a thread that is to leave them to others from its first
/// moment on: one that nobody handles ends the process.
pub(crate) fn without_signals<T>(work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    let done = work();
    before.thread_set_mask()?;
    done
}

/// A service is a process like any other.
pub(crate) fn run_as_wanted(work: fn() -> bool) -> bool {
    work()
}

/// Services are stopped by a signal.
pub(crate) fn stop_service_by(_: impl Fn() + Send + Sync + 'static) {}

/// How many files may be open: now, and at most.
pub(crate) fn open_files() -> io::Result<(u64, u64)> {
    // Systems do not agree on the type of a limit.
    let wide = |limit: rlim_t| u64::try_from(i128::from(limit)).unwrap_or(u64::MAX);
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok((wide(soft), wide(hard)))
}

/// Has so many files be open: now, and at most, which only root may raise.
pub(crate) fn allow_files(soft: u64, hard: u64) -> io::Result<()> {
    let narrow = |limit: u64| rlim_t::try_from(i128::from(limit)).unwrap_or(rlim_t::MAX);
    Ok(setrlimit(Resource::RLIMIT_NOFILE, narrow(soft), narrow(hard))?)
}

/// Opens a file without waiting for whoever is at the other end of a named pipe.
pub(crate) fn open_at_once(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    options.custom_flags(OFlag::O_NONBLOCK.bits()).open(path)
}

/// Has a file that was opened so, to write at its end, wait for a reader that takes a while.
pub(crate) fn wait_from_now_on(file: &File) -> io::Result<()> {
    Ok(fcntl(file, FcntlArg::F_SETFL(OFlag::O_APPEND)).map(drop)?)
}

/// Whether a file cannot be opened since it is a named pipe that nobody reads.
pub(crate) fn is_unread_pipe(path: &Path, error: &io::Error) -> bool {
    let is_pipe = |file: Metadata| file.file_type().is_fifo();
    is(error, &[Errno::ENXIO]) && path.metadata().is_ok_and(is_pipe)
}

/// Whether an open file has another name by now. Here that is told by a signal.
pub(crate) fn was_renamed(_: &File, _: &Path) -> bool {
    false
}

/// Standard output without the buffer that Rust has for it, or standard error where that leads nowhere:
/// programs that start this one look there, and who wants no log says so with `--quiet`.
pub(crate) fn standard_output() -> io::Result<File> {
    let output = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let device = |of: &Metadata| of.file_type().is_char_device().then(|| of.rdev());
    let nowhere = std::fs::metadata("/dev/null").ok().and_then(|null| device(&null));
    let leads_nowhere = nowhere.is_some() && device(&output.metadata()?) == nowhere;
    if leads_nowhere {
        return Ok(File::from(io::stderr().as_fd().try_clone_to_owned()?));
    }
    Ok(output)
}

/// Whether standard output is this stream, as systemd writes it in `JOURNAL_STREAM`: whatever is started below a service
/// inherits that, and may write elsewhere.
pub(crate) fn is_standard_output(stream: &str) -> bool {
    let of = standard_output().and_then(|output| output.metadata());
    of.is_ok_and(|of| stream == format!("{}:{}", of.dev(), of.ino()))
}

/// Whether files can be made in a folder.
pub(crate) fn may_make_files(folder: &Path) -> io::Result<()> {
    Ok(access(folder, AccessFlags::W_OK | AccessFlags::X_OK)?)
}

/// Whether standard error goes where standard output goes: what the log says is seen there anyway.
pub(crate) fn is_one_output() -> bool {
    let of = |fd: io::Result<std::os::fd::OwnedFd>| File::from(fd?).metadata();
    let which = |of: io::Result<Metadata>| of.map(|of| (of.dev(), of.ino())).ok();
    let output = which(of(io::stdout().as_fd().try_clone_to_owned()));
    output.is_some() && output == which(of(io::stderr().as_fd().try_clone_to_owned()))
}

#[cfg(test)]
mod tests {
    use crate::net::certificate;
    use std::{fs, process};

    #[test]
    fn a_certificate_that_is_a_named_pipe_is_not_waited_for() {
        let folder = std::env::temp_dir().join(format!("punchd-pipe-{}", process::id()));
        fs::create_dir_all(&folder).unwrap();
        let pipe = folder.join("pipe");
        let made = process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        let why = certificate::load(&pipe, &pipe).unwrap_err().to_string();
        assert!(why.contains(" is not a regular file"), "{why}");
        fs::remove_dir_all(folder).unwrap();
    }
}
