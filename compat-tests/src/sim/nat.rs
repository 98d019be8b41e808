//! NATs as RFC 4787 tells them apart: by what a mapping depends on, by what is filtered, and by
//! how ports are chosen.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use punchd::clock::Instant;

use super::rng::Rng;

/// What a mapping, or a filter, looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dependence {
    /// Nothing of the other side: one mapping for all, everybody may answer.
    EndpointIndependent,
    /// The other side's address.
    AddressDependent,
    /// The other side's address and port.
    AddressAndPortDependent,
}

impl Dependence {
    const ALL: [Self; 3] =
        [Self::EndpointIndependent, Self::AddressDependent, Self::AddressAndPortDependent];

    /// Whether two remote endpoints are the same to it.
    fn is_same(self, a: SocketAddr, b: SocketAddr) -> bool {
        match self {
            Self::EndpointIndependent => true,
            Self::AddressDependent => a.ip() == b.ip(),
            Self::AddressAndPortDependent => a == b,
        }
    }
}

/// How the port of a new mapping is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allocation {
    /// Any free one.
    Random,
    /// The next free one.
    Sequential,
}

/// How a NAT behaves.
#[derive(Clone, Copy, Debug)]
pub struct Behaviour {
    /// When a new mapping is made.
    pub mapping: Dependence,
    /// Who may send to a mapping.
    pub filtering: Dependence,
    /// The port of a new mapping.
    pub allocation: Allocation,
    /// How long a mapping lives after the last packet from inside.
    pub timeout: Duration,
}

impl Behaviour {
    /// Any of them.
    pub fn any(rng: &mut Rng) -> Self {
        Self {
            mapping: rng.pick(Dependence::ALL),
            filtering: rng.pick(Dependence::ALL),
            allocation: rng.pick([Allocation::Random, Allocation::Sequential]),
            timeout: Duration::from_secs(rng.pick([30, 60, 120, 300])),
        }
    }
}

/// A socket behind a NAT: who has it, and its own port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inside {
    /// Number of the peer.
    pub peer: usize,
    /// Its own port.
    pub port: u16,
}

#[derive(Debug)]
struct Mapping {
    inside: Inside,
    outside: u16,
    /// The destination that it was made for.
    first: SocketAddr,
    /// Where the inside has sent to, so who may answer.
    sent_to: Vec<SocketAddr>,
    used: Instant,
}

/// One NAT with its mappings.
#[derive(Debug)]
pub struct Nat {
    addr: IpAddr,
    behaviour: Behaviour,
    mappings: Vec<Mapping>,
    next_port: u16,
}

/// The lowest port that is given out.
const LOWEST: u16 = 1024;

impl Nat {
    /// A NAT with that address.
    #[must_use]
    pub fn new(addr: IpAddr, behaviour: Behaviour, rng: &mut Rng) -> Self {
        let next_port = rng.within(LOWEST.into()..60_000) as u16;
        Self { addr, behaviour, mappings: Vec::new(), next_port }
    }

    /// Its address outside.
    #[must_use]
    pub fn addr(&self) -> IpAddr {
        self.addr
    }

    /// It forgets all mappings, as one does that is switched off and on.
    pub fn forget(&mut self) {
        self.mappings.clear();
    }

    /// Its address outside, if its ports count, so that the next one can be predicted.
    #[must_use]
    pub fn counting(&self) -> Option<IpAddr> {
        (self.behaviour.allocation == Allocation::Sequential).then_some(self.addr)
    }

    /// How it behaves.
    #[must_use]
    pub fn behaviour(&self) -> Behaviour {
        self.behaviour
    }

    /// A packet goes out: the endpoint it comes from, as the world sees it.
    pub fn outbound(
        &mut self,
        now: Instant,
        inside: Inside,
        to: SocketAddr,
        rng: &mut Rng,
    ) -> SocketAddr {
        self.forget_old(now);
        let same = self.behaviour.mapping;
        let found =
            self.mappings.iter_mut().find(|m| m.inside == inside && same.is_same(m.first, to));
        let outside = match found {
            Some(mapping) => {
                mapping.used = now;
                if !mapping.sent_to.contains(&to) {
                    mapping.sent_to.push(to);
                }
                mapping.outside
            }
            None => {
                let outside = self.allocate(rng);
                let sent_to = vec![to];
                self.mappings.push(Mapping { inside, outside, first: to, sent_to, used: now });
                outside
            }
        };
        SocketAddr::new(self.addr, outside)
    }

    /// A packet comes in: whom it reaches, if the filter lets it in.
    pub fn inbound(&mut self, now: Instant, port: u16, from: SocketAddr) -> Option<Inside> {
        self.forget_old(now);
        let mapping = self.mappings.iter().find(|m| m.outside == port)?;
        let filtering = self.behaviour.filtering;
        let lets_in = mapping.sent_to.iter().any(|to| filtering.is_same(*to, from));
        lets_in.then_some(mapping.inside)
    }

    fn forget_old(&mut self, now: Instant) {
        let timeout = self.behaviour.timeout;
        self.mappings.retain(|m| now - m.used < timeout);
    }

    fn allocate(&mut self, rng: &mut Rng) -> u16 {
        loop {
            if self.behaviour.allocation == Allocation::Random {
                self.next_port = rng.within(LOWEST.into()..65_536) as u16;
            } else {
                self.next_port = self.next_port.checked_add(1).unwrap_or(LOWEST);
            }
            if self.mappings.iter().all(|m| m.outside != self.next_port) {
                return self.next_port;
            }
        }
    }
}
