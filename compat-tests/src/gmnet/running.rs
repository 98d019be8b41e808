//! A host that takes its steps on a thread of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use super::STEP;
use super::error::Error;
use super::host::Host;

/// A running host. Dropping it ends the host, with a FIN on its control connection.
#[derive(Debug)]
pub struct Running {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<Host, Error>>>,
}

impl Running {
    pub(super) fn start(mut host: Host) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                host.step()?;
                std::thread::sleep(STEP);
            }
            Ok(host)
        });
        Self { stop, thread: Some(thread) }
    }

    /// Stops the steps and gives the host back, its connection still open.
    ///
    /// # Errors
    /// What went wrong in a step, if anything did.
    pub fn stop(mut self) -> Result<Host, Error> {
        self.end().unwrap_or(Err(Error::NotConnected))
    }

    fn end(&mut self) -> Option<Result<Host, Error>> {
        self.stop.store(true, Ordering::Relaxed);
        // A panic in a step cannot happen; were there one, it has been printed already.
        self.thread.take()?.join().ok()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.end());
    }
}
