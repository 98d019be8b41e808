//! What lies between two servers of NATS: a line that takes its time, and can be cut.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::mpsc;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What is sent takes so long in each direction.
#[derive(Clone, Debug, Default)]
pub(super) struct Line {
    distance: Duration,
    is_cut: Arc<Mutex<bool>>,
    mended: Arc<Condvar>,
}

impl Line {
    pub(super) fn new(distance: Duration) -> Self {
        Self { distance, ..Self::default() }
    }

    /// Connects whoever comes to the returned port with this one.
    pub(super) fn lead_to(&self, to: u16) -> io::Result<u16> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let line = self.clone();
        std::thread::spawn(move || {
            while let Ok((one, _)) = listener.accept() {
                if line.is_cut() {
                    continue;
                }
                let Ok(other) = TcpStream::connect((Ipv4Addr::LOCALHOST, to)) else { continue };
                let (Ok(back), Ok(forth)) = (one.try_clone(), other.try_clone()) else { continue };
                line.carry(one, other);
                line.carry(forth, back);
            }
        });
        Ok(port)
    }

    /// From now on nothing arrives, not that a connection has ended either, as where a cable is pulled out. What was
    /// sent meanwhile arrives when it is in again, unless the connection was given up.
    pub(super) fn cut(&self) {
        self.set(true);
    }

    pub(super) fn mend(&self) {
        self.set(false);
    }

    fn set(&self, is_cut: bool) {
        *self.is_cut.lock().unwrap_or_else(PoisonError::into_inner) = is_cut;
        self.mended.notify_all();
    }

    fn is_cut(&self) -> bool {
        *self.is_cut.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_until_whole(&self) {
        let is_cut = self.is_cut.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.mended.wait_while(is_cut, |is_cut| *is_cut));
    }

    /// Carries what one sends to the other, which gets it so much later.
    fn carry(&self, mut from: TcpStream, mut to: TcpStream) {
        let (sender, receiver) = mpsc::channel::<(Instant, Vec<u8>)>();
        let line = self.clone();
        std::thread::spawn(move || {
            let mut bytes = [0; 1 << 16];
            while let Ok(count @ 1..) = from.read(&mut bytes) {
                let piece = bytes.get(..count).unwrap_or_default().to_vec();
                if sender.send((Instant::now() + line.distance, piece)).is_err() {
                    break;
                }
            }
        });
        let line = self.clone();
        std::thread::spawn(move || {
            while let Ok((due, piece)) = receiver.recv() {
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                line.wait_until_whole();
                if to.write_all(&piece).is_err() {
                    break;
                }
            }
            line.wait_until_whole();
            let _ = to.shutdown(Shutdown::Both);
        });
    }
}
