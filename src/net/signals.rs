//! Signals. SIGINT and SIGTERM stop the loop, a second one ends the process at once; SIGHUP
//! reopens the log file and reads the certificate again; SIGUSR1 has the log tell how punches end.

use std::fmt;
use std::io;
use std::os::fd::AsRawFd;

use log::{info, warn};
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token, event};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use super::Stopper;
use crate::introductions::journal::Journal;

/// What a shell reports for a program that ended by SIGINT.
const INTERRUPTED: i32 = 130;

/// Stops the loop at the first SIGINT or SIGTERM and the process at the second.
///
/// # Errors
/// If the system refuses it.
pub fn stop_at_signals(stopper: Stopper) -> Result<(), ctrlc::Error> {
    ctrlc::set_handler(move || {
        if stopper.stop() {
            warn!("ended at once by the second signal");
            log::logger().flush();
            std::process::exit(INTERRUPTED);
        }
    })
}

/// SIGHUPs and SIGUSR1s, as something that the loop can wait for.
pub struct Requests {
    signals: SignalFd,
    on_hangup: Box<dyn FnMut()>,
}

impl Requests {
    /// Takes both signals out of the hands of every thread that is started from now on, and runs
    /// `on_hangup` in the loop for a SIGHUP.
    ///
    /// # Errors
    /// If the system refuses it.
    pub fn new(on_hangup: impl FnMut() + 'static) -> io::Result<Self> {
        let mut mask = SigSet::empty();
        mask.add(Signal::SIGHUP);
        mask.add(Signal::SIGUSR1);
        mask.thread_block()?;
        let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
        let signals = SignalFd::with_flags(&mask, flags)?;
        Ok(Self { signals, on_hangup: Box::new(on_hangup) })
    }

    /// Does what the signals ask for that came.
    pub(super) fn handle(&mut self, journal: &Journal) {
        while let Ok(Some(signal)) = self.signals.read_signal() {
            if i32::try_from(signal.ssi_signo) == Ok(Signal::SIGUSR1 as i32) {
                journal.lines().iter().for_each(|line| info!("{line}"));
            } else {
                (self.on_hangup)();
            }
        }
    }
}

impl fmt::Debug for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Requests").field("signals", &self.signals).finish_non_exhaustive()
    }
}

impl event::Source for Requests {
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
