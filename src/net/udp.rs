//! The UDP sockets.

use std::io;
use std::net::{IpAddr, SocketAddr};

use log::debug;
use mio::net::UdpSocket;

use super::{PAUSE, canonical, is_memory_pressure};
use crate::clock::Instant;
use crate::dialect::Via;

/// Datagrams taken from a socket before others have their turn.
pub(super) const BUDGET: usize = 256;

/// Longer than any datagram that a dialect understands; what is longer arrives cut.
const LONGEST: usize = 2048;

/// The UDP sockets and which of them may have something to read.
#[derive(Debug)]
pub(super) struct Datagrams {
    sockets: Vec<Socket>,
    buffer: Box<[u8; LONGEST]>,
}

#[derive(Debug)]
struct Socket {
    socket: UdpSocket,
    readable: bool,
    /// The kernel had no memory to receive with; when to try again.
    again: Option<Instant>,
    is_ipv6: bool,
}

impl Datagrams {
    pub(super) fn new(sockets: Vec<UdpSocket>) -> Self {
        let sockets = sockets.into_iter().map(|socket| {
            let is_ipv6 = socket.local_addr().is_ok_and(|addr| addr.is_ipv6());
            Socket { socket, readable: true, again: None, is_ipv6 }
        });
        Self { sockets: sockets.collect(), buffer: Box::new([0; LONGEST]) }
    }

    pub(super) fn len(&self) -> usize {
        self.sockets.len()
    }

    pub(super) fn note_readable(&mut self, n: usize) {
        if let Some(socket) = self.sockets.get_mut(n) {
            socket.readable = true;
        }
    }

    pub(super) fn are_ready(&self) -> bool {
        self.sockets.iter().any(|socket| socket.readable && socket.again.is_none())
    }

    pub(super) fn next_wakeup(&self) -> Option<Instant> {
        self.sockets.iter().filter_map(|socket| socket.again).min()
    }

    /// The next datagram of a socket, if there is one.
    pub(super) fn receive(&mut self, now: Instant, n: usize) -> Option<(Via, SocketAddr, &[u8])> {
        let socket = self.sockets.get_mut(n).filter(|socket| socket.readable)?;
        if socket.again.is_some_and(|at| now < at) {
            return None;
        }
        socket.again = None;
        loop {
            match socket.socket.recv_from(&mut self.buffer[..]) {
                Ok((length, peer)) => {
                    let via = Via { socket: n as u8, local: None };
                    return Some((via, canonical(peer), &self.buffer[..length]));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    socket.readable = false;
                    return None;
                }
                Err(error) if is_memory_pressure(&error) => {
                    socket.again = Some(now + PAUSE);
                    return None;
                }
                // What an earlier send came to (an ICMP error), not this receive.
                Err(error) => debug!("UDP: {error}"),
            }
        }
    }

    /// Sends a datagram, or drops it: UDP promises nothing.
    pub(super) fn send(&mut self, via: Via, to: SocketAddr, data: &[u8]) {
        let Some(socket) = self.sockets.get(usize::from(via.socket)) else { return };
        let to = match to.ip() {
            IpAddr::V4(ip) if socket.is_ipv6 => SocketAddr::from((ip.to_ipv6_mapped(), to.port())),
            _ => to,
        };
        if let Err(error) = socket.socket.send_to(data, to) {
            debug!("UDP to {to}: {error}");
        }
    }
}
