//! Signals. SIGINT and SIGTERM stop the loop, a second one ends the process at once; SIGHUP
//! reopens the log file and reads the certificate again.

use std::fmt;
use std::io;
use std::os::fd::AsRawFd;

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token, event};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use super::Stopper;

/// What a shell reports for a program that ended by SIGINT.
const INTERRUPTED: i32 = 130;

/// Stops the loop at the first SIGINT or SIGTERM and the process at the second.
///
/// # Errors
/// If the system refuses it.
pub fn stop_at_signals(stopper: Stopper) -> Result<(), ctrlc::Error> {
    ctrlc::set_handler(move || {
        if stopper.stop() {
            std::process::exit(INTERRUPTED);
        }
    })
}

/// SIGHUPs, as something that the loop can wait for.
pub struct Hangups {
    signals: SignalFd,
    action: Box<dyn FnMut()>,
}

impl Hangups {
    /// Takes SIGHUP out of the hands of every thread that is started from now on, and runs
    /// `action` in the loop instead.
    ///
    /// # Errors
    /// If the system refuses it.
    pub fn new(action: impl FnMut() + 'static) -> io::Result<Self> {
        let mut mask = SigSet::empty();
        mask.add(Signal::SIGHUP);
        mask.thread_block()?;
        let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
        Ok(Self { signals: SignalFd::with_flags(&mask, flags)?, action: Box::new(action) })
    }

    /// Runs the action if there was a signal.
    pub(super) fn handle(&mut self) {
        while let Ok(Some(_)) = self.signals.read_signal() {
            (self.action)();
        }
    }
}

impl fmt::Debug for Hangups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hangups").field("signals", &self.signals).finish_non_exhaustive()
    }
}

impl event::Source for Hangups {
    fn register(&mut self, registry: &Registry, token: Token, what: Interest) -> io::Result<()> {
        SourceFd(&self.signals.as_raw_fd()).register(registry, token, what)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, what: Interest) -> io::Result<()> {
        SourceFd(&self.signals.as_raw_fd()).reregister(registry, token, what)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        SourceFd(&self.signals.as_raw_fd()).deregister(registry)
    }
}
