//! How the owner asks for something while the server runs. Ctrl-C, SIGINT and SIGTERM stop the loop, a
//! second one ends the process at once; SIGHUP reopens the log file and reads the certificate and
//! the list of those who are blocked again;
//! SIGUSR1 has the log tell how punches end and what was refused.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use log::{info, warn};
use mio::Waker;

use super::Stopper;
use super::sys::{Request, Signals, stop_service_by};
use crate::blocks::Blocks;

/// What a shell reports for a program that ended by SIGINT.
const INTERRUPTED: i32 = 130;

/// Stops the loop at the first SIGINT or SIGTERM and the process at the second; the loop also when
/// Windows stops the service.
///
/// # Errors
/// If the system refuses it.
pub fn stop_at_signals(stopper: Stopper) -> Result<(), ctrlc::Error> {
    let stops = stopper.clone();
    stop_service_by(move || _ = stops.stop());
    ctrlc::set_handler(move || {
        if stopper.stop() {
            warn!("ended at once by the second signal");
            log::logger().flush();
            std::process::exit(INTERRUPTED);
        }
    })
}

/// What the owner asks for by SIGHUP and SIGUSR1.
pub struct Requests {
    /// None as soon as somebody listens to them.
    signals: Option<Signals>,
    come: Option<Receiver<Request>>,
    on_reload: Box<dyn FnMut() -> Option<Blocks>>,
}

impl Requests {
    /// Takes both signals out of the hands of every thread that is started from now on, and runs
    /// `on_reload` in the loop for a SIGHUP, which returns whom the owner blocks, if that has been read
    /// anew.
    ///
    /// # Errors
    /// If the system refuses it.
    pub fn new(on_reload: impl FnMut() -> Option<Blocks> + 'static) -> io::Result<Self> {
        Ok(Self { signals: Some(Signals::hold()?), come: None, on_reload: Box::new(on_reload) })
    }

    /// Listens to the signals, and wakes the loop for each.
    pub(super) fn listen(&mut self, waker: Arc<Waker>) -> io::Result<()> {
        let Some(signals) = self.signals.take() else { return Ok(()) };
        let (tell, come) = channel();
        self.come = Some(come);
        signals.listen(move |request| tell.send(request).is_ok() && waker.wake().is_ok())
    }

    /// Does what was asked for. Returns whom the owner blocks from now on, if he has said so.
    pub(super) fn handle(&mut self, tell: impl Fn() -> Vec<String>) -> Option<Blocks> {
        let mut blocks = None;
        while let Some(request) = self.come.as_ref().and_then(|come| come.try_recv().ok()) {
            match request {
                Request::Tell => tell().iter().for_each(|line| info!("{line}")),
                Request::Reload => blocks = (self.on_reload)().or(blocks),
            }
        }
        blocks
    }
}

impl fmt::Debug for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Requests").field("come", &self.come).finish_non_exhaustive()
    }
}
