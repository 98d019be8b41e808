//! What ports had shown of their NAT when others were first to be told of them. Nobody knows the
//! port of a stranger, so until then nobody else can have sent in its name; who is told of it can.

use std::collections::VecDeque;
use std::collections::hash_map::Entry;
use std::net::{Ipv4Addr, SocketAddrV4};

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::Kind;
use crate::hash::Map;
use crate::limits;

/// What counts of ports that are told. It is kept apart from all that is seen, or whoever sends in
/// the name of an address could have it forgotten.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Settled {
    /// Those of one address by number, the one that was settled last at the end. Most addresses
    /// have one, so a list for each would be mostly empty.
    #[serde(with = "flat")]
    ports: Map<(Ipv4Addr, u8), Port>,
    /// The addresses, in the order in which they came.
    turns: VecDeque<Ipv4Addr>,
}

/// A port, and what it had shown.
type Port = (u16, Kind);

/// The ports in a list without names: there are many of them.
mod flat {
    use std::net::Ipv4Addr;

    use serde::{Deserializer, Serializer};

    use super::{Kind, Map, Port};

    type Ports = Map<(Ipv4Addr, u8), Port>;

    pub(super) fn serialize<S: Serializer>(ports: &Ports, to: S) -> Result<S::Ok, S::Error> {
        let row = |((addr, n), (port, kind)): (&(Ipv4Addr, u8), &Port)| {
            (addr.to_bits(), *n, *port, *kind)
        };
        to.collect_seq(ports.iter().map(row))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Ports, D::Error> {
        crate::state::collect(from, |(addr, n, port, kind): (u32, u8, u16, Kind)| {
            Ok(((Ipv4Addr::from_bits(addr), n), (port, kind)))
        })
    }
}

impl Settled {
    /// Whoever has written it, it is within its bounds.
    pub(super) fn tidy(&mut self) {
        self.ports.retain(|(_, n), _| usize::from(*n) < limits::SETTLED);
    }

    /// What a port had shown when it was settled, if it was.
    pub(super) fn get(&self, endpoint: SocketAddrV4) -> Option<Kind> {
        let mut ports = self.ports_of(*endpoint.ip());
        ports.find(|(port, _)| *port == endpoint.port()).map(|(_, kind)| kind)
    }

    /// The ports of an address that had been seen to count.
    pub(super) fn counting(&self, addr: Ipv4Addr) -> SmallVec<[u16; 2]> {
        let ports = self.ports_of(addr).filter(|(_, kind)| *kind == Kind::Sequential);
        ports.map(|(port, _)| port).collect()
    }

    /// A port is told from now on. What was settled before stays so, however often its game comes
    /// back.
    pub(super) fn settle(&mut self, endpoint: SocketAddrV4, kind: Kind) {
        let (addr, port) = (*endpoint.ip(), endpoint.port());
        let first = match self.ports.entry((addr, 0)) {
            Entry::Occupied(known) => known.get().0,
            Entry::Vacant(new) => {
                new.insert((port, kind));
                self.turns.push_back(addr);
                if self.turns.len() > limits::NATS
                    && let Some(first) = self.turns.pop_front()
                {
                    let mut numbers = 0..;
                    while numbers.next().is_some_and(|n| self.ports.remove(&(first, n)).is_some()) {
                    }
                }
                return;
            }
        };
        // Mostly it is the only one, and told again and again.
        if first == port && !self.ports.contains_key(&(addr, 1)) {
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

    fn ports_of(&self, addr: Ipv4Addr) -> impl Iterator<Item = Port> {
        (0..).map_while(move |n| self.ports.get(&(addr, n)).copied())
    }
}
