//! What ports had shown of their NAT when others were first to be told of them. Nobody knows the
//! port of a stranger, so until then nobody else can have sent in its name; who is told of it can.

use std::collections::VecDeque;
use std::collections::hash_map::Entry;
use std::net::{Ipv4Addr, SocketAddrV4};

use smallvec::SmallVec;

use super::Kind;
use crate::hash::Map;
use crate::limits;

/// What counts of ports that are told. It is kept apart from all that is seen, or whoever sends in
/// the name of an address could have it forgotten.
#[derive(Debug, Default)]
pub(super) struct Settled {
    /// Those of one address by number, the one that was settled last at the end. Most addresses
    /// have one, so a list for each would be mostly empty.
    ports: Map<(Ipv4Addr, u8), Port>,
    /// The addresses, in the order in which they came.
    turns: VecDeque<Ipv4Addr>,
}

/// A port, and what it had shown.
type Port = (u16, Kind);

impl Settled {
    /// What a port had shown when it was settled, if it was.
    pub(super) fn get(&self, endpoint: SocketAddrV4) -> Option<Kind> {
        let mut ports = self.ports_of(*endpoint.ip());
        ports.find(|(port, _)| *port == endpoint.port()).map(|(_, kind)| kind)
    }

    /// A port is told from now on. What was settled before stays so, however often its game comes
    /// back.
    pub(super) fn settle(&mut self, endpoint: SocketAddrV4, kind: Kind) {
        let (addr, port) = (*endpoint.ip(), endpoint.port());
        if let Entry::Vacant(new) = self.ports.entry((addr, 0)) {
            new.insert((port, kind));
            self.turns.push_back(addr);
            if self.turns.len() > limits::NATS
                && let Some(first) = self.turns.pop_front()
            {
                let mut numbers = 0..;
                while numbers.next().is_some_and(|n| self.ports.remove(&(first, n)).is_some()) {}
            }
            return;
        }
        let mut ports: SmallVec<[Port; limits::SETTLED]> = self.ports_of(addr).collect();
        if ports.last().is_some_and(|(last, _)| *last == port) {
            return;
        }
        let kind = ports.iter().find(|(known, _)| *known == port).map_or(kind, |(_, kind)| *kind);
        ports.retain(|(known, _)| *known != port);
        if ports.len() == limits::SETTLED {
            ports.remove(0);
        }
        ports.push((port, kind));
        self.ports.extend((0..).zip(ports).map(|(n, port)| ((addr, n), port)));
    }

    /// A port has proven that it is not that of a symmetric NAT.
    pub(super) fn disprove(&mut self, endpoint: SocketAddrV4) {
        for n in 0.. {
            let Some((port, kind)) = self.ports.get_mut(&(*endpoint.ip(), n)) else { break };
            if *port == endpoint.port() {
                *kind = Kind::Independent;
            }
        }
    }

    fn ports_of(&self, addr: Ipv4Addr) -> impl Iterator<Item = Port> {
        (0..).map_while(move |n| self.ports.get(&(addr, n)).copied())
    }
}
