//! What every wire protocol is to the rest of the server: a state machine without sockets or
//! clock. Input and time go in through [`Dialect`]; what to send and what to close comes out in
//! the [`Outbox`]; [`Dialect::next_wakeup`] says when it wants to be called although nothing
//! came in.

use std::net::{IpAddr, SocketAddr};

use crate::clock::{Instant, Now};
use crate::nats::Nats;
use crate::unproven::Unproven;

mod addr;
mod by_family;
pub mod conns;
pub(crate) mod contained;
pub mod events;
pub mod gmnet;
mod hex;
pub mod natpunch;
pub mod rooms;
mod sniff;
pub mod stun;
mod turns;

pub use sniff::{Name, of_datagram, of_stream};

/// A TCP connection, for as long as it lives: the number is used again for later connections,
/// the generation is not. So what is known about an ended connection can never touch a newer one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId {
    /// Which slot of the connection table; small and dense.
    pub slot: u32,
    /// Counts the connections of the whole server.
    pub generation: u32,
}

/// Where a datagram came in, so that an answer can go out the same way on a machine with several
/// addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Via {
    /// Which of the server's UDP sockets.
    pub socket: u8,
    /// The server's own address that the datagram was sent to, where the system tells.
    pub local: Option<IpAddr>,
}

/// A wire protocol. Addresses are canonical: an IPv4 peer on an IPv6 socket has an IPv4 address.
///
/// For each connection come, in this order: one `on_open`, any number of `on_bytes`, at most one
/// `on_fin`, and one `on_gone` unless the dialect closed the connection before. A dialect of UDP
/// alone leaves all that out.
pub trait Dialect: std::fmt::Debug {
    /// What all dialects together know of the NATs that peers are behind; given once, before
    /// anything else.
    fn share(&mut self, _nats: &Nats) {}

    /// Of whom peers may be told, in all dialects together; given once, before anything else.
    fn share_unproven(&mut self, _unproven: &Unproven) {}

    /// A peer has connected by TCP, and its first bytes say that it speaks this dialect. `now` is
    /// when it connected.
    fn on_open(&mut self, _now: Now, conn: ConnId, _peer: SocketAddr, out: &mut Outbox) {
        out.close(conn);
    }

    /// Bytes arrived, cut as it pleased the network.
    fn on_bytes(&mut self, _now: Now, _conn: ConnId, _bytes: &[u8], _out: &mut Outbox) {}

    /// The peer will send nothing more, but may still read. The dialect closes the connection
    /// when it has said what it owes.
    fn on_fin(&mut self, _now: Now, _conn: ConnId, _out: &mut Outbox) {}

    /// The connection is gone, nothing can be sent on it any more.
    fn on_gone(&mut self, _now: Now, _conn: ConnId, _out: &mut Outbox) {}

    /// Of how many customers connections have something to read, told before they are served: the
    /// more they are, the less is to be done for one at a time.
    fn note_ready(&mut self, _customers: usize) {}

    /// Whether so much of what came on a connection waits for its turn that no more is to be read
    /// from it. Then there is a wakeup at once.
    fn has_enough(&self, _conn: ConnId) -> bool {
        false
    }

    /// How many bytes that were written to a connection wait for its peer to read; told whenever
    /// that changes from or to some.
    fn on_unread(&mut self, _conn: ConnId, _bytes: usize) {}

    /// A datagram arrived whose first bytes say that it is of this dialect.
    fn on_datagram(&mut self, now: Now, via: Via, peer: SocketAddr, data: &[u8], out: &mut Outbox);

    /// Whether this endpoint has shown that it is a peer's: its datagrams are not dropped for those
    /// that others send in the name of its address.
    fn knows(&self, _endpoint: SocketAddr) -> bool {
        false
    }

    /// The time that `next_wakeup` asked for has come (or not yet: then nothing is to be done).
    fn on_wakeup(&mut self, _now: Now, _out: &mut Outbox) {}

    /// When something has to be done even if nothing arrives.
    fn next_wakeup(&self) -> Option<Instant> {
        None
    }

    /// The server is about to stop: answer now what would otherwise have been waited for.
    fn on_shutdown(&mut self, _now: Now, _out: &mut Outbox) {}

    /// Whether a peer is still owed something that a timer will send.
    fn owes(&self) -> bool {
        false
    }

    /// Whether anybody would miss this connection.
    fn use_of(&self, _conn: ConnId) -> Use {
        Use::Idle(Instant::default())
    }
}

/// What a connection is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// As long as it lives it stands for something, such as a registered host.
    Lasting,
    /// It waits for an answer.
    Waiting,
    /// For nothing, since this moment.
    Idle(Instant),
}

/// What the dialects want done, in order. One buffer holds all the bytes, so that sending costs
/// no allocation once it has grown to its usual size.
#[derive(Debug, Default)]
pub struct Outbox {
    bytes: Vec<u8>,
    outputs: Vec<(Target, usize)>,
}

#[derive(Clone, Copy, Debug)]
enum Target {
    Tcp(ConnId),
    Close(ConnId),
    Udp(Via, SocketAddr),
}

/// One thing to do for a dialect.
#[derive(Debug, PartialEq, Eq)]
pub enum Output<'a> {
    /// Write these bytes to a connection, in one write.
    Tcp(ConnId, &'a [u8]),
    /// Close a connection once everything written to it has left.
    Close(ConnId),
    /// Send a datagram.
    Udp(Via, SocketAddr, &'a [u8]),
}

impl Outbox {
    /// An empty outbox.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes one message to a connection: `fill` appends its bytes.
    pub fn tcp(&mut self, conn: ConnId, fill: impl FnOnce(&mut Vec<u8>)) {
        fill(&mut self.bytes);
        self.outputs.push((Target::Tcp(conn), self.bytes.len()));
    }

    /// Closes a connection; the dialect has forgotten it and will hear nothing more of it.
    pub fn close(&mut self, conn: ConnId) {
        self.outputs.push((Target::Close(conn), self.bytes.len()));
    }

    /// Sends one datagram: `fill` appends its bytes.
    pub fn udp(&mut self, via: Via, to: SocketAddr, fill: impl FnOnce(&mut Vec<u8>)) {
        fill(&mut self.bytes);
        self.outputs.push((Target::Udp(via, to), self.bytes.len()));
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.outputs.is_empty()
    }

    /// How many things there are to do.
    #[must_use]
    pub fn len(&self) -> usize {
        self.outputs.len()
    }

    /// How many bytes all messages have together.
    #[must_use]
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// The connections that are to be closed, of all that was added when there were `before`
    /// things to do.
    pub fn closed_since(&self, before: usize) -> impl Iterator<Item = ConnId> {
        self.outputs.iter().skip(before).filter_map(|(target, _)| match target {
            Target::Close(conn) => Some(*conn),
            Target::Tcp(_) | Target::Udp(..) => None,
        })
    }

    /// What is to be done, in order.
    pub fn outputs(&self) -> impl Iterator<Item = Output<'_>> {
        let mut start = 0;
        self.outputs.iter().map(move |&(target, end)| {
            let bytes = self.bytes.get(start..end).unwrap_or_default();
            start = end;
            match target {
                Target::Tcp(conn) => Output::Tcp(conn, bytes),
                Target::Close(conn) => Output::Close(conn),
                Target::Udp(via, to) => Output::Udp(via, to, bytes),
            }
        })
    }

    /// The datagrams among that, in order.
    pub fn datagrams(&self) -> impl Iterator<Item = (Via, SocketAddr, &[u8])> {
        self.outputs().filter_map(|output| match output {
            Output::Udp(via, to, bytes) => Some((via, to, bytes)),
            Output::Tcp(..) | Output::Close(_) => None,
        })
    }

    /// Forgets what was added since there were `before` things to do, unfinished messages included.
    pub fn truncate(&mut self, before: usize) {
        self.outputs.truncate(before);
        self.bytes.truncate(self.outputs.last().map_or(0, |(_, end)| *end));
    }

    /// Forgets everything; keeps the memory, unless a rare large message made it grow.
    pub fn clear(&mut self) {
        /// The lobby of ten thousand hosts, which takes twice as long if it has to fetch memory from
        /// the system first. What is larger is not worth holding on to.
        const USUAL: usize = 4 << 20;
        self.outputs.clear();
        self.bytes.clear();
        if self.bytes.capacity() > USUAL {
            self.bytes = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_come_in_order_with_their_own_bytes() {
        let conn = ConnId { slot: 1, generation: 9 };
        let via = Via { socket: 0, local: None };
        let to = SocketAddr::from(([127, 0, 0, 1], 5));
        let mut out = Outbox::new();
        out.tcp(conn, |b| b.extend_from_slice(b"one"));
        out.close(conn);
        out.udp(via, to, |b| b.extend_from_slice(b"two"));
        let all: Vec<_> = out.outputs().collect();
        assert_eq!(
            all,
            [Output::Tcp(conn, b"one"), Output::Close(conn), Output::Udp(via, to, b"two")]
        );
        assert_eq!(out.datagrams().collect::<Vec<_>>(), [(via, to, &b"two"[..])]);
        out.clear();
        assert!(out.is_empty());
        assert_eq!(out.outputs().count(), 0);
    }
}
