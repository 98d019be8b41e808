//! Whether there is room for a session, and which others give way to it where a bound is reached: those of
//! who holds most, as a network first and then as an address, and never to somebody who would hold as much.
//! So nobody keeps others out by coming first. A session has two sides, and counts as the one that holds
//! less: a player does not pay for a host that has a full house, nor a host for its players.
//!
//! What passes packets on gives way like the rest: who takes sessions away from others has them carry
//! something. But of all that one holder has it is the last to go, and the newest goes first.

use std::cmp::Reverse;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use smallvec::SmallVec;

use super::ports::pool;
use super::{Entry, Sessions};
use crate::clock::Now;
use crate::hash::Map;
use crate::introductions::relay::{Refused, SessionId, Side};
use crate::limits::relay as limits;
use crate::prefixes::network;

#[cfg(test)]
mod tests;

/// Who would have to give way first, of all sessions or of those of a network.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spared {
    /// How many sessions there had been then: of fewer nobody holds more.
    count: u64,
    scope: Option<IpAddr>,
    /// What that one holds.
    most: u32,
}

/// Sessions that give way, by their places.
type Leaving = SmallVec<[u32; 4]>;

/// In which order sessions of one holder give way: the last of these first.
type Turn = (Reverse<bool>, SessionId);

impl Sessions {
    /// Which sessions have to give way to a new one of these two.
    ///
    /// # Errors
    /// If they hold as much as anybody where there is no room, or if nothing can give way.
    pub(super) fn room(
        &mut self,
        now: Now,
        players @ [client, host]: [IpAddr; 2],
    ) -> Result<Leaving, Refused> {
        if !self.serves(players) {
            return Err(Refused::NoRelay);
        }
        let config = self.config.as_ref().ok_or(Refused::NoRelay)?;
        let (bounds, (_, ports)) = (config.bounds, pool(&config.ports));
        if self.is_used_up(now) {
            return Err(Refused::Month);
        }
        if self.between_sources(players) >= limits::PER_PAIR as usize {
            return Err(Refused::Pair);
        }
        let mut leaving = Leaving::new();
        let most = bounds.sessions_per_address as usize;
        for (addr, other) in [(client, host), (host, client)] {
            if self.held(source(addr), &leaving) >= most {
                let eviction_candidate = self.most_at(source(addr), other, &leaving);
                leaving.push(eviction_candidate.ok_or(Refused::Share(addr))?);
            }
            let needs = if client == host { 2 } else { 1 };
            if self.held(only(addr), &leaving) + needs > usize::from(ports) {
                let eviction_candidate = self.most_at(only(addr), other, &leaving);
                leaving.push(eviction_candidate.ok_or(Refused::NoPort(addr))?);
            }
        }
        for addr in players {
            if self.held(around(addr), &leaving) >= limits::PER_NETWORK as usize {
                let eviction_candidate = self.most_of(Some(neighbourhood(addr)), players, &leaving);
                leaving.push(eviction_candidate.ok_or(Refused::Network(addr))?);
            }
        }
        if self.all.count() >= limits::SESSIONS + leaving.len() {
            leaving.push(self.most_of(None, players, &leaving).ok_or(Refused::Full)?);
        }
        Ok(leaving)
    }

    /// How many sessions there are between the sources of these two.
    fn between_sources(&self, [client, host]: [IpAddr; 2]) -> usize {
        let is_between = |(place, side): &(u32, Side)| {
            let [of_client, of_host] = self.all.get(*place)?.sides;
            (of_client == *side).then_some(network(of_host.addr) == network(host))
        };
        self.all.sides_at(source(client)).filter(|side| is_between(side) == Some(true)).count()
    }

    /// How many sides of sessions are here, without those that give way.
    fn held(&self, here: RangeInclusive<IpAddr>, leaving: &[u32]) -> usize {
        self.all.sides_at(here).filter(|(place, _)| !leaving.contains(place)).count()
    }

    /// Of those who are relayed to players here, who gives way to another one: who has most of those
    /// sessions.
    fn most_at(&self, here: RangeInclusive<IpAddr>, wants: IpAddr, leaving: &[u32]) -> Option<u32> {
        let (mut networks, mut sources) = (Map::<_, u32>::default(), Map::<_, u32>::default());
        let others = || {
            self.all.sides_at(here.clone()).filter_map(|(place, side)| {
                let entry = self.all.get(place).filter(|_| !leaving.contains(&place))?;
                Some((place, entry, entry.other(side)))
            })
        };
        for (_, _, other) in others() {
            *networks.entry(neighbourhood(other)).or_default() += 1;
            *sources.entry(network(other)).or_default() += 1;
        }
        let of = |counts: &Map<IpAddr, u32>, addr| counts.get(&addr).copied().unwrap_or_default();
        let held = |addr| [of(&networks, neighbourhood(addr)), of(&sources, network(addr))];
        let (place, _, holder) =
            others().max_by_key(|(_, entry, other)| (held(*other), entry.turn()))?;
        let level = match () {
            () if neighbourhood(holder) != neighbourhood(wants) => 0,
            () if network(holder) != network(wants) => 1,
            () => return None,
        };
        let [holds, would_hold] = [holder, wants].map(|addr| held(addr).into_iter().nth(level));
        (holds > would_hold.map(|held| held + 1)).then_some(place)
    }

    /// Of all, or of those with a side in this network, who gives way to a session of these two: the one
    /// whose lesser side holds most.
    fn most_of(
        &mut self,
        scope: Option<IpAddr>,
        players: [IpAddr; 2],
        leaving: &[u32],
    ) -> Option<u32> {
        let wants = self.would_hold(scope, players);
        let spared = self.spared.filter(|known| (known.count, known.scope) == (self.count, scope));
        if spared.is_some_and(|known| known.most <= wants.least) {
            return None;
        }
        let weights = self.weights(scope);
        let holds = self.all.iter().filter_map(|(place, entry)| {
            let weight = *weights.get(place as usize)?;
            let may = !entry.has_given_way && weight.in_scope > 0 && !leaving.contains(&place);
            may.then_some((weight, entry.turn(), place))
        });
        let most = holds.clone().map(|(weight, ..)| weight.least).max()?;
        self.spared = Some(Spared { count: self.count, scope, most });
        // Nobody gives way to who has more of what there is too little of.
        let may_evict =
            |weight: &Weight| weight.least > wants.least && weight.in_scope >= wants.in_scope;
        holds.filter(|(weight, ..)| may_evict(weight)).max().map(|(.., place)| place)
    }

    /// What the sides of each session hold, by its place.
    fn weights(&self, scope: Option<IpAddr>) -> Vec<Weight> {
        let sides = self.all.sides().map(|(place, side)| (Holder::of(side.addr, scope), place));
        let sides: Vec<(Holder, u32)> = sides.collect();
        let mut weights = vec![Weight::default(); self.all.places()];
        for of_one in sides.chunk_by(|one, other| one.0 == other.0) {
            for (holder, place) in of_one {
                if let Some(weight) = weights.get_mut(*place as usize) {
                    weight.add(*holder, of_one.len());
                }
            }
        }
        weights
    }

    /// What the sides of a new session would hold.
    fn would_hold(&self, scope: Option<IpAddr>, players: [IpAddr; 2]) -> Weight {
        let mut weight = Weight::default();
        for addr in players {
            let holder = Holder::of(addr, scope);
            let is_alone = scope.is_some() && holder.is_in_scope;
            let here = if is_alone { source(addr) } else { around(addr) };
            weight.add(holder, self.held(here, &[]) + 1);
        }
        weight
    }
}

/// Who holds sessions: in a network that has all that it may have an address, elsewhere a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Holder {
    who: IpAddr,
    is_in_scope: bool,
}

impl Holder {
    fn of(addr: IpAddr, scope: Option<IpAddr>) -> Self {
        let around = neighbourhood(addr);
        match scope {
            None => Self { who: around, is_in_scope: true },
            Some(scope) if scope == around => Self { who: network(addr), is_in_scope: true },
            Some(_) => Self { who: around, is_in_scope: false },
        }
    }
}

/// What the two sides of a session hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Weight {
    /// The one that holds less.
    least: u32,
    /// The one that holds more of what there is too little of.
    in_scope: u32,
}

impl Default for Weight {
    fn default() -> Self {
        Self { least: u32::MAX, in_scope: 0 }
    }
}

impl Weight {
    fn add(&mut self, holder: Holder, held: usize) {
        let held = u32::try_from(held).unwrap_or(u32::MAX);
        self.least = self.least.min(held);
        if holder.is_in_scope {
            self.in_scope = self.in_scope.max(held);
        }
    }
}

impl Entry {
    /// Whom the player on this side is relayed to.
    fn other(&self, side: Side) -> IpAddr {
        let [client, host] = self.sides;
        if client == side { host.addr } else { client.addr }
    }

    fn turn(&self) -> Turn {
        (Reverse(self.is_through), self.id)
    }
}

/// A single address.
fn only(addr: IpAddr) -> RangeInclusive<IpAddr> {
    addr..=addr
}

/// All addresses of a source.
fn source(addr: IpAddr) -> RangeInclusive<IpAddr> {
    within(addr, [32, 64])
}

/// All addresses of the network that a source is in.
fn around(addr: IpAddr) -> RangeInclusive<IpAddr> {
    within(addr, [24, 48])
}

/// The network that a source is in: a /24, or the /48 that is the widest that one site has.
fn neighbourhood(addr: IpAddr) -> IpAddr {
    *around(addr).start()
}

/// All addresses that have as many bits in common with this one, of IPv4 and of IPv6.
fn within(addr: IpAddr, [of_v4, of_v6]: [u32; 2]) -> RangeInclusive<IpAddr> {
    match addr {
        IpAddr::V4(v4) => {
            let rest = u32::MAX.checked_shr(of_v4).unwrap_or_default();
            let bits = v4.to_bits();
            Ipv4Addr::from_bits(bits & !rest).into()..=Ipv4Addr::from_bits(bits | rest).into()
        }
        IpAddr::V6(v6) => {
            let rest = u128::MAX.checked_shr(of_v6).unwrap_or_default();
            let bits = v6.to_bits();
            Ipv6Addr::from_bits(bits & !rest).into()..=Ipv6Addr::from_bits(bits | rest).into()
        }
    }
}
