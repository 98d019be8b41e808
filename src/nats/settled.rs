//! What ports had shown of their NAT when others were first to be told of them. Nobody knows the
//! port of a stranger, so until then nobody else can have sent in its name; who is told of it can.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddrV4};

use smallvec::SmallVec;

use super::Kind;
use crate::hash::Map;
use crate::limits;

/// What counts of ports that are told. It is kept apart from all that is seen, or whoever sends in
/// the name of an address could have it forgotten.
#[derive(Debug, Default)]
pub(super) struct Settled {
    /// Those of one address, the one that was settled last at the end.
    by_addr: Map<Ipv4Addr, SmallVec<[(u16, Kind); 4]>>,
    /// The addresses, in the order in which they came.
    turns: VecDeque<Ipv4Addr>,
}

impl Settled {
    /// What a port had shown when it was settled, if it was.
    pub(super) fn get(&self, endpoint: SocketAddrV4) -> Option<Kind> {
        let ports = self.by_addr.get(endpoint.ip())?;
        ports.iter().find(|(port, _)| *port == endpoint.port()).map(|(_, kind)| *kind)
    }

    /// A port is told from now on. What was settled before stays so, however often its game comes
    /// back.
    pub(super) fn settle(&mut self, endpoint: SocketAddrV4, kind: Kind) {
        let (addr, port) = (*endpoint.ip(), endpoint.port());
        let kind = self.get(endpoint).unwrap_or(kind);
        if !self.by_addr.contains_key(&addr) {
            if self.by_addr.len() >= limits::NATS
                && let Some(first) = self.turns.pop_front()
            {
                self.by_addr.remove(&first);
            }
            self.turns.push_back(addr);
        }
        let ports = self.by_addr.entry(addr).or_default();
        ports.retain(|(known, _)| *known != port);
        if ports.len() == limits::SETTLED {
            ports.remove(0);
        }
        ports.push((port, kind));
    }
}
