//! Forged datagrams: `reg` from many addresses and ports, as fast as a thread can send them.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use super::Failure;
use super::sockets::{ManyAddresses, address};
use crate::gmnet::wire::{self, Protocol};

/// Ports that the datagrams come from; each of them with all addresses.
const PORTS: usize = 64;
/// Addresses that the datagrams come from.
const ADDRESSES: usize = 500_000;
/// The kind of peers, for their addresses.
const FORGED: u8 = 9;

/// A flood that goes on until it is dropped.
#[derive(Debug)]
pub struct Flood {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Flood {
    /// Begins to send to this address, on the core of this thread.
    ///
    /// # Errors
    /// If the machine has no sockets left.
    pub fn start(to: SocketAddrV4) -> Result<Self, Failure> {
        let sockets: Vec<ManyAddresses> = (0..PORTS)
            .map(|_| ManyAddresses::new(to.into()))
            .collect::<Result<_, _>>()
            .map_err(Failure::system("open a socket for a flood"))?;
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, counter) = (Arc::clone(&stop), Arc::clone(&sent));
        let thread = std::thread::spawn(move || {
            let payload = wire::udp_register(Protocol::Modern);
            for n in (0..).take_while(|_| !stopped.load(Ordering::Relaxed)) {
                // A prime far apart, so that neighbours do not follow each other.
                let from = address(FORGED, n * 7919 % ADDRESSES);
                let Some(socket) = sockets.get(n / 7 % PORTS) else { break };
                if socket.send(from, &payload).is_ok() {
                    counter.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        Ok(Self { stop, sent, thread: Some(thread) })
    }

    /// Datagrams sent so far.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It cannot fail: it has nothing that panics.
            let _ = thread.join();
        }
    }
}

/// A socket that takes what is sent to it and does nothing, to flood for comparison.
///
/// # Errors
/// If there is none to be had.
pub fn sink() -> Result<(UdpSocket, SocketAddrV4), Failure> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0));
    let socket = socket.map_err(Failure::system("open a socket"))?;
    match socket.local_addr().map_err(Failure::system("open a socket"))? {
        SocketAddr::V4(addr) => Ok((socket, addr)),
        SocketAddr::V6(_) => Err(Failure::Wrong("an IPv4 socket has an IPv6 address".into())),
    }
}
