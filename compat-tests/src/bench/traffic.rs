//! Packets of players whom nobody listens to, on the core of this thread.

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::relayed::packet;

/// Packets by all of some sockets in turn, until it is dropped. Nobody looks at what comes of them.
#[derive(Debug)]
pub struct Traffic {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Traffic {
    /// Begins to send to where the sockets are connected, so many packets a second; none: as many as the
    /// core sends.
    #[must_use]
    pub fn start(sockets: Vec<UdpSocket>, rate: Option<f64>) -> Self {
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, counter) = (Arc::clone(&stop), Arc::clone(&sent));
        let thread = thread::spawn(move || {
            let (packet, begin) = (packet(0, 0), Instant::now());
            for (n, socket) in sockets.iter().cycle().enumerate() {
                let is_early =
                    || rate.is_some_and(|rate| begin.elapsed().as_secs_f64() * rate < n as f64);
                while is_early() && !stopped.load(Ordering::Relaxed) {
                    // Some packets at once are what players send, too.
                    thread::sleep(Duration::from_micros(50));
                }
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                if socket.send(&packet).is_ok() {
                    counter.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        Self { stop, sent, thread: Some(thread) }
    }

    /// Packets sent so far.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It cannot fail: it has nothing that panics.
            let _ = thread.join();
        }
    }
}
