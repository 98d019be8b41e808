//! The UDP sockets: who has sent a datagram, and to which address of the machine. The event loop
//! comes in, and the loop that benchmarks compare it with.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use log::debug;
use mio::net::UdpSocket;

use super::sys::udp::{Batch, RECEIVED, Socket as System, room};
use super::{PAUSE, canonical, sys};
use crate::clock::Instant;
use crate::dialect::Via;

/// Datagrams taken from a socket before others have their turn: as many as may have come while
/// others had theirs, so that no request is read before the datagram that was sent before it.
pub(super) const BUDGET: usize = 1024;

/// For how many datagrams of the budget an answer counts: the kernel does more for it.
pub(super) const ANSWER: usize = 3;

/// Datagrams that are sent with one system call, if they go the same way. In tens more would save
/// little: of the 3.6 us that one takes by itself over loopback, 0.6 are saved among 16 and as much
/// among 156.
pub const BATCH: usize = 32;

/// Longer than any datagram that a dialect understands; what is longer arrives cut.
const LONGEST: usize = 2048;

/// Room for one datagram that comes in.
pub(super) type Room = [u8; room(LONGEST)];

/// A datagram, as a system tells of it.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) length: usize,
    pub(super) peer: SocketAddr,
    /// To which address of the machine it was sent, where there are several.
    pub(super) local: Option<IpAddr>,
    /// When it came, since 1970, if the system tells.
    pub(super) came: Option<Duration>,
}

/// A datagram.
#[derive(Debug)]
pub struct Datagram<'a> {
    /// Which way it came, and answers go.
    pub via: Via,
    /// Who sent it.
    pub peer: SocketAddr,
    /// When it came, since 1970, if the system tells.
    pub came: Option<Duration>,
    /// At most the first 2,048 bytes of it.
    pub data: &'a [u8],
}

/// The UDP sockets and which of them may have something to read.
#[derive(Debug)]
pub struct Datagrams {
    sockets: Vec<Socket>,
    /// Where those are that were received last, and what the system tells of each.
    rooms: Box<[Room; RECEIVED]>,
    received: Vec<Received>,
}

#[derive(Debug)]
struct Socket {
    socket: System,
    readable: bool,
    /// The kernel had no memory to receive with; when to try again.
    again: Option<Instant>,
}

impl Datagrams {
    /// All of these sockets, of which each has to be registered with a poll.
    #[must_use]
    pub fn new(sockets: Vec<UdpSocket>) -> Self {
        let sockets = sockets.into_iter().map(System::new);
        let sockets = sockets.map(|socket| Socket { socket, readable: true, again: None });
        Self {
            sockets: sockets.collect(),
            rooms: Box::new([[0; room(LONGEST)]; RECEIVED]),
            received: Vec::with_capacity(RECEIVED),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.sockets.len()
    }

    /// The sockets themselves, by their numbers.
    #[cfg(target_os = "linux")]
    pub(super) fn sockets(&self) -> impl Iterator<Item = &UdpSocket> {
        self.sockets.iter().map(|socket| socket.socket.socket())
    }

    /// Another process goes on with all sockets.
    #[cfg(target_os = "linux")]
    pub(super) fn let_go(&mut self) {
        self.sockets.clear();
    }

    /// The poll says that socket number `n` has something to read.
    pub fn note_readable(&mut self, n: usize) {
        if let Some(socket) = self.sockets.get_mut(n) {
            socket.readable = true;
        }
    }

    /// Any socket may have something to read by now, before the poll says so.
    pub(super) fn look_again(&mut self) {
        self.sockets.iter_mut().for_each(|socket| socket.readable = true);
    }

    pub(super) fn are_ready(&self) -> bool {
        self.sockets.iter().any(|socket| socket.readable && socket.again.is_none())
    }

    pub(super) fn next_wakeup(&self) -> Option<Instant> {
        self.sockets.iter().filter_map(|socket| socket.again).min()
    }

    /// Receives the next datagrams of a socket in place of those before. Returns how many; all are to be
    /// [got](Self::get) before anything else, as nobody else has them.
    pub fn receive(&mut self, now: Instant, n: usize) -> usize {
        self.received.clear();
        let Some(socket) = self.sockets.get_mut(n).filter(|socket| socket.readable) else {
            return 0;
        };
        if socket.again.is_some_and(|at| now < at) {
            return 0;
        }
        socket.again = None;
        loop {
            match socket.socket.receive(&mut self.rooms, &mut self.received) {
                Ok(()) => {
                    // Fewer than there is room for were all there were; the poll tells of more.
                    socket.readable = self.received.len() == RECEIVED;
                    return self.received.len();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    socket.readable = false;
                    return 0;
                }
                Err(error) if sys::is_memory_pressure(&error) => {
                    socket.again = Some(now + PAUSE);
                    return 0;
                }
                // What an earlier send came to (an ICMP error), not this receive.
                Err(error) => debug!("UDP: {error}"),
            }
        }
    }

    /// Number `i` of those that socket number `n` has received.
    #[must_use]
    pub fn get(&self, n: usize, i: usize) -> Option<Datagram<'_>> {
        let got = self.received.get(i)?;
        let via = Via { socket: u8::try_from(n).ok()?, local: got.local };
        let data = self.rooms.get(i)?.get(..got.length.min(LONGEST))?;
        Some(Datagram { via, peer: canonical(got.peer), came: got.came, data })
    }

    /// Sends datagrams in this order, or drops some: UDP promises nothing. Those that follow each
    /// other and go the same way take one system call.
    pub fn send_all<'a>(&mut self, datagrams: impl Iterator<Item = (Via, SocketAddr, &'a [u8])>) {
        let (mut batch, mut by) = (Batch::default(), Via::default());
        for (via, to, data) in datagrams {
            if via != by || batch.len() == BATCH {
                self.send_batch(&mut batch, by);
                by = via;
            }
            let Some(socket) = self.sockets.get(usize::from(via.socket)) else { continue };
            batch.push(&socket.socket, to, data);
        }
        self.send_batch(&mut batch, by);
    }

    /// Sends a batch and empties it.
    fn send_batch(&mut self, batch: &mut Batch<'_>, by: Via) {
        if let Some(socket) = self.sockets.get_mut(usize::from(by.socket)) {
            socket.socket.send(batch, by.local);
        }
        batch.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use std::time::Instant as Time;

    #[test]
    fn a_datagram_that_is_too_long_arrives_cut_and_the_next_one_whole() {
        for at in [Ipv4Addr::LOCALHOST, Ipv4Addr::UNSPECIFIED] {
            let socket = UdpSocket::bind((at, 0).into()).unwrap();
            let to = (Ipv4Addr::LOCALHOST, socket.local_addr().unwrap().port());
            let mut datagrams = Datagrams::new(vec![socket]);
            let peer = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            for length in [LONGEST + 1, 40_000, 3] {
                peer.send_to(&vec![b'x'; length], to).unwrap();
            }
            let deadline = Time::now() + Duration::from_secs(20);
            let mut lengths = Vec::new();
            while lengths.len() < 3 && Time::now() < deadline {
                datagrams.note_readable(0);
                let got = 0..datagrams.receive(Instant::default(), 0);
                let got = got.filter_map(|i| Some(datagrams.get(0, i)?.data.len()));
                lengths.extend(got);
            }
            assert_eq!(lengths, [LONGEST, LONGEST, 3], "{at}");
        }
    }
}
