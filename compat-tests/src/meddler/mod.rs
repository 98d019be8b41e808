//! A master server that knows its work and does it in the worst way that the network allows: its
//! TCP replies come in pieces or glued together, the UDP packets sent to it are late or lost.
//!
//! It has two listeners. At [`Meddler::addr`] it meddles; that one is for the game under test. At
//! [`Meddler::honest`] it does not; that one is for the peers of this crate, which believe what
//! original games believe.

mod reply;
mod rounds;

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crate::gmnet::Line;

use rounds::{Listener, Rounds};

/// What is done to those who come in by the listener of the game.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Meddling {
    /// Every reply comes in three pieces, the first of one byte, far enough apart that a game sees
    /// each on its own.
    pub split_replies: bool,
    /// Every reply has another one in front of it, in the same piece, and those that follow
    /// shortly behind it.
    pub glue_replies: bool,
    /// What becomes of UDP packets on their way to the master server.
    pub line: Line,
}

/// A master server that meddles, until it is dropped.
#[derive(Debug)]
pub struct Meddler {
    addr: SocketAddr,
    honest: SocketAddr,
    meddling: Meddling,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Meddler {
    /// Starts it at an address of this machine; port 0 is any.
    ///
    /// # Errors
    /// If the address is not to be had, for TCP and UDP.
    pub fn start(addr: SocketAddr, meddling: Meddling) -> io::Result<Self> {
        let honest = SocketAddr::new(addr.ip(), 0);
        let mut meddler = Self { addr, honest, meddling, running: None };
        meddler.up()?;
        Ok(meddler)
    }

    /// Where the game under test finds it.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where it does not meddle.
    #[must_use]
    pub fn honest(&self) -> SocketAddr {
        self.honest
    }

    /// Goes away; all connections are closed, all hosts forgotten.
    pub fn down(&mut self) {
        if let Some(Running { stop, thread }) = self.running.take() {
            stop.store(true, Ordering::Relaxed);
            // A panic in it has been printed already.
            let _ = thread.join();
        }
    }

    /// Comes back, at the same addresses.
    ///
    /// # Errors
    /// If somebody else has taken them.
    pub fn up(&mut self) -> io::Result<()> {
        self.down();
        let (front, back) = (open(self.addr, true)?, open(self.honest, false)?);
        self.addr = front.tcp.local_addr()?;
        self.honest = back.tcp.local_addr()?;
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, meddling) = (Arc::clone(&stop), self.meddling);
        let thread = std::thread::spawn(move || {
            let mut rounds = Rounds::new([front, back], meddling);
            while !stopped.load(Ordering::Relaxed) {
                rounds.go();
            }
        });
        self.running = Some(Running { stop, thread });
        Ok(())
    }
}

impl Drop for Meddler {
    fn drop(&mut self) {
        self.down();
    }
}

/// One port for TCP and UDP.
fn open(addr: SocketAddr, meddles: bool) -> io::Result<Listener> {
    // What one of the two gets by chance may be in use for the other.
    const TRIES: usize = 20;
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..TRIES {
        let tcp = TcpListener::bind(addr)?;
        match UdpSocket::bind(tcp.local_addr()?) {
            Ok(udp) => {
                tcp.set_nonblocking(true)?;
                udp.set_nonblocking(true)?;
                return Ok(Listener { tcp, udp, meddles });
            }
            Err(error) => last = error,
        }
        if addr.port() != 0 {
            break;
        }
    }
    Err(last)
}
