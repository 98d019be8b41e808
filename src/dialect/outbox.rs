//! What dialects want done.

use std::net::SocketAddr;

use super::{ConnId, Name, Via};
use crate::cluster::Whom;

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
    Nodes(Name, Whom),
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

    /// Tells other nodes something, of which this dialect there hears: `fill` appends its bytes.
    pub fn nodes(&mut self, of: Name, whom: Whom, fill: impl FnOnce(&mut Vec<u8>)) {
        fill(&mut self.bytes);
        self.outputs.push((Target::Nodes(of, whom), self.bytes.len()));
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
            Target::Tcp(_) | Target::Udp(..) | Target::Nodes(..) => None,
        })
    }

    /// What is to be done, in order, but for what other nodes are told.
    pub fn outputs(&self) -> impl Iterator<Item = Output<'_>> {
        self.all_since(0).filter_map(|(target, bytes)| match target {
            Target::Tcp(conn) => Some(Output::Tcp(conn, bytes)),
            Target::Close(conn) => Some(Output::Close(conn)),
            Target::Udp(via, to) => Some(Output::Udp(via, to, bytes)),
            Target::Nodes(..) => None,
        })
    }

    /// What other nodes are told, of all that was added when there were `before` things to do.
    pub fn for_nodes_since(&self, before: usize) -> impl Iterator<Item = (Name, Whom, &[u8])> {
        self.all_since(before).filter_map(|(target, bytes)| match target {
            Target::Nodes(of, whom) => Some((of, whom, bytes)),
            Target::Tcp(_) | Target::Close(_) | Target::Udp(..) => None,
        })
    }

    fn all_since(&self, before: usize) -> impl Iterator<Item = (Target, &[u8])> {
        let last = before.checked_sub(1).and_then(|last| self.outputs.get(last));
        let mut start = last.map_or(0, |(_, end)| *end);
        self.outputs.iter().skip(before).map(move |&(target, end)| {
            let bytes = self.bytes.get(start..end).unwrap_or_default();
            start = end;
            (target, bytes)
        })
    }

    /// Whether there are datagrams among that.
    #[must_use]
    pub fn has_datagrams(&self) -> bool {
        self.outputs.iter().any(|(target, _)| matches!(target, Target::Udp(..)))
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
        let before = out.len();
        out.nodes(Name::Rooms, Whom::All, |b| b.extend_from_slice(b"three"));
        assert_eq!(out.outputs().count(), 3, "no peer is told of it");
        let for_nodes = |before| out.for_nodes_since(before).collect::<Vec<_>>();
        assert_eq!(for_nodes(0), [(Name::Rooms, Whom::All, &b"three"[..])]);
        assert_eq!((for_nodes(before), for_nodes(before + 1)), (for_nodes(0), vec![]));
        out.clear();
        assert!(out.is_empty());
        assert_eq!(out.outputs().count(), 0);
    }
}
