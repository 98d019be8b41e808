//! Ports of hosts, from `reg`, and which of them a registration means: by time, and in a flood of
//! forged packets by what has been shown before.

use std::cmp::Reverse;
use std::net::IpAddr;
use std::time::Duration;

use super::{Distance, Ports, Remembered, gap};
use crate::clock::{Instant, Now};
use crate::dialect::Via;
use crate::limits;

/// Packets from one port, or the port of a host that has left.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reg {
    port: u16,
    via: Via,
    /// When the first of the packets from this port came.
    first: Instant,
    /// When the last of them came.
    seen: Instant,
    /// When it was noted: then, or when the host left that it belonged to.
    at: Instant,
    unix: u64,
    source: RegSource,
    /// A host of this address has, or may have, shown this port before.
    is_known: bool,
    /// The host that has left with this port showed it again after it had registered, before or
    /// after it left.
    is_announced: bool,
}

/// Where a [`Reg`] comes from. Of two that are equally likely, the earlier here is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum RegSource {
    /// A datagram from the port of a registered host, whose game may be about to come back by a
    /// new connection.
    Again,
    /// The same, but so soon that it may be a copy of one that came before. It is no sign that
    /// anybody comes, but who does come is this game rather than one with an unknown port.
    Copy,
    /// A datagram that belongs to no registration yet.
    Datagram,
    /// A datagram that came when a registered host had none; given to it, unless a registration
    /// that comes right after has a better claim.
    Lent,
    /// The port of a host that has just left. Its game may be back in a moment.
    Left,
}

/// A UDP `reg` that a registration may have for its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClaimedReg {
    /// The host's port.
    pub port: u16,
    /// Where the packet came in.
    pub via: Via,
    /// When the last packet from there came.
    pub at: Instant,
    /// The same in seconds since 1970, where a packet came that belonged to nobody; it dates the
    /// registration.
    pub unix: Option<u64>,
    /// Another host of the address has been using this port and has to give it back.
    pub lent: bool,
    /// The packet may as well have been a copy of one that the host with this port has sent.
    pub is_doubtful: bool,
    /// No packet came with the connection: it is the port of a host that has left, until another
    /// is shown.
    pub is_provisional: bool,
}

/// The port of a host that registers once more.
#[derive(Clone, Copy, Debug)]
pub struct OwnPort {
    /// The port.
    pub port: u16,
    /// When the last packet from there came.
    pub seen: Instant,
}

/// The port of a host that has left.
#[derive(Clone, Copy, Debug)]
pub struct LeftPort {
    /// The port.
    pub port: u16,
    /// Where its packets came in.
    pub via: Via,
    /// When the last of them came.
    pub seen: Instant,
    /// That one came after the host had registered last: its game may have been about to come back.
    pub is_announced: bool,
}

impl Ports {
    /// A UDP `reg` comes: those that were received at the same time are older.
    pub fn outdate_regs(&mut self, now: Instant, addr: IpAddr) {
        let regs = self.by_addr.get_mut(&addr).into_iter().flat_map(|r| &mut r.regs);
        regs.for_each(|reg| reg.seen = reg.seen.min(now.just_before()));
    }

    /// A UDP `reg` came from a port that no registered host has.
    pub fn learn_reg(&mut self, now: Now, via: Via, addr: IpAddr, port: u16) {
        self.learn(now, via, addr, port, RegSource::Datagram);
    }

    /// A UDP `reg` came from the port of a registered host.
    pub fn learn_reg_again(&mut self, now: Now, via: Via, addr: IpAddr, port: u16) {
        self.learn(now, via, addr, port, RegSource::Again);
    }

    /// The same, but it may be a copy of a packet that came a moment ago.
    pub fn learn_reg_copy(&mut self, now: Now, via: Via, addr: IpAddr, port: u16) {
        let instant = now.instant;
        self.change(instant, addr, |remembered| {
            let known = remembered.regs.iter().find(|r| r.port == port);
            // What is known is worth more than a copy.
            if known.is_some_and(|r| r.source != RegSource::Copy) {
                return;
            }
            let first = known.map(|r| r.first).filter(|first| instant - *first <= limits::BELONGS);
            remembered.put(Reg {
                port,
                via,
                first: first.unwrap_or(instant),
                seen: instant,
                at: instant,
                unix: now.unix,
                source: RegSource::Copy,
                is_known: true,
                is_announced: false,
            });
        });
    }

    fn learn(&mut self, now: Now, via: Via, addr: IpAddr, port: u16, source: RegSource) {
        self.change(now.instant, addr, |remembered| {
            remembered.host_expected = now.instant + limits::INTRODUCTION_WAIT;
            let repeated = |r: &&Reg| {
                r.port == port && r.source == source && now.instant - r.at <= limits::REG_WINDOW
            };
            let known = remembered.regs.iter().find(repeated).map(|r| (r.first, r.unix));
            let (first, unix) = known.unwrap_or((now.instant, now.unix));
            let (seen, at) = (now.instant, now.instant);
            let was_known = |r: &Reg| r.port == port && r.is_known;
            let is_known = source != RegSource::Datagram
                || remembered.maybe.contains(&port)
                || remembered.regs.iter().any(was_known);
            let has_left = |r: &Reg| r.source == RegSource::Left || r.is_announced;
            let is_announced = source == RegSource::Datagram
                && remembered.regs.iter().any(|r| r.port == port && has_left(r));
            remembered.put(Reg {
                port,
                via,
                first,
                seen,
                at,
                unix,
                source,
                is_known,
                is_announced,
            });
        });
    }

    /// The datagram that came last from this address and port is used by a host that had none.
    pub fn lend_reg(&mut self, addr: IpAddr, port: u16) {
        let regs = self.by_addr.get_mut(&addr).map(|r| &mut r.regs);
        if let Some(reg) = regs.and_then(|regs| regs.iter_mut().find(|r| r.port == port)) {
            reg.source = RegSource::Lent;
        }
    }

    /// A host has left. Its port, with when a packet came from there last, stays known for a
    /// while, as its game may be about to come back.
    pub fn release_reg(&mut self, now: Instant, addr: IpAddr, left: Option<LeftPort>) {
        self.change(now, addr, |remembered| {
            remembered.host_expected = now + limits::HOST_RETURN;
            if let Some(LeftPort { port, via, seen, is_announced }) = left {
                remembered.put(Reg {
                    port,
                    via,
                    first: seen,
                    seen,
                    at: now,
                    unix: 0,
                    source: RegSource::Left,
                    is_known: true,
                    is_announced,
                });
            }
        });
    }

    /// Takes the port that the first registration of a connection may have: of the packet that
    /// most likely belongs to it, else of a host that has left. `is_same_game` tells whether the host
    /// that is registered at a port is of the game that registers now.
    pub fn claim_reg(
        &mut self,
        now: Instant,
        addr: IpAddr,
        opened: Instant,
        is_same_game: impl Fn(u16) -> bool,
    ) -> Option<ClaimedReg> {
        self.take_reg(now, addr, opened, |regs| {
            let known = known_in_flood(regs, opened);
            known.or_else(|| choose_reg(now, regs, opened, &is_same_game))
        })
    }

    /// Takes the port that a later registration may have, of a host with that port: of a newer packet
    /// that is nobody's, else its own once more.
    pub fn claim_newer_reg(
        &mut self,
        now: Instant,
        addr: IpAddr,
        known: Option<OwnPort>,
    ) -> Option<ClaimedReg> {
        let newer = |r: &Reg| {
            let is_recent = now - r.at <= limits::REG_WINDOW;
            let is_newer = known.is_none_or(|known| r.seen > known.seen);
            r.source == RegSource::Datagram && is_recent && is_newer
        };
        let is_packet = |r: &Reg| !matches!(r.source, RegSource::Left | RegSource::Copy);
        let own = |r: &Reg| known.is_some_and(|known| r.port == known.port) && is_packet(r);
        self.take_reg(now, addr, now, |regs| {
            // Who has just shown the port that he has means no other that nobody knows.
            let is_sure = known.is_some_and(|known| now - known.seen <= limits::OVERTAKEN);
            let newer =
                || regs.iter().rposition(newer).filter(|_| !(is_sure && is_flood(regs, now)));
            known_in_flood(regs, now).or_else(newer).or_else(|| regs.iter().position(own))
        })
    }

    fn take_reg(
        &mut self,
        now: Instant,
        addr: IpAddr,
        expected: Instant,
        choose: impl FnOnce(&[Reg]) -> Option<usize>,
    ) -> Option<ClaimedReg> {
        let remembered = self.by_addr.get_mut(&addr)?;
        // It is here now.
        remembered.host_expected = Instant::default();
        let index = choose(&remembered.regs)?;
        let reg = remembered.regs.remove(index);
        remembered.note_others(expected, &reg);
        self.count -= 1;
        if remembered.is_of_no_use(now) {
            self.by_addr.remove(&addr);
        }
        Some(ClaimedReg {
            port: reg.port,
            via: reg.via,
            at: reg.seen,
            unix: (reg.source == RegSource::Datagram).then_some(reg.unix),
            lent: reg.source == RegSource::Lent,
            is_doubtful: matches!(reg.source, RegSource::Again | RegSource::Copy),
            is_provisional: reg.source == RegSource::Left && !reg.is_back(expected),
        })
    }
}

impl Remembered {
    /// A registration got this port: notes those that may as well have been meant.
    fn note_others(&mut self, expected: Instant, chosen: &Reg) {
        let farthest = chosen.gap(expected) + limits::DRIFT;
        for reg in self.regs.iter().filter(|reg| reg.gap(expected) <= farthest) {
            self.maybe.retain(|port| *port != reg.port);
            if self.maybe.len() >= limits::MAYBE_PORTS {
                self.maybe.remove(0);
            }
            self.maybe.push(reg.port);
        }
    }

    /// Notes a port as the newest.
    fn put(&mut self, reg: Reg) {
        self.regs.retain(|r| r.port != reg.port);
        if self.regs.len() >= limits::PORTS_PER_ADDRESS {
            self.regs.remove(0);
        }
        self.regs.push(reg);
    }
}

impl Reg {
    /// How likely it is that the packets belong to a connection.
    fn distance(&self, now: Instant, opened: Instant) -> Distance {
        Distance::of(now, opened, self.first, self.seen)
    }

    /// Whether the game of a host that has left comes back by this connection: it has shown its port
    /// because it was about to, or it left a moment ago, as one does that changes its data.
    fn is_back(&self, opened: Instant) -> bool {
        let has_just_left =
            self.source == RegSource::Left && gap(opened, self.at) <= limits::HOST_RETURN;
        has_just_left || (self.is_announced && gap(opened, self.seen) <= limits::BELONGS)
    }

    /// How far from this time its nearest packet came.
    fn gap(&self, expected: Instant) -> Duration {
        gap(expected, self.first).min(gap(expected, self.seen))
    }
}

/// Whether more hosts seem to be about to register than there can be: somebody forges packets.
fn is_flood(regs: &[Reg], expected: Instant) -> bool {
    let is_free = |reg: &&Reg| reg.source == RegSource::Datagram;
    let near = regs.iter().filter(is_free).filter(|reg| reg.gap(expected) <= limits::BELONGS);
    near.count() >= limits::FORGED_REGS
}

/// Who forges packets does not know the ports that hosts of this address have shown before: in a
/// flood, the nearest of those.
fn known_in_flood(regs: &[Reg], expected: Instant) -> Option<usize> {
    if !is_flood(regs, expected) {
        return None;
    }
    let is_own = |reg: &Reg| reg.is_known && reg.gap(expected) <= limits::OVERTAKEN;
    let own = regs.iter().enumerate().filter(|(_, reg)| is_own(reg));
    own.min_by_key(|(_, reg)| reg.gap(expected)).map(|(index, _)| index)
}

/// Which of these the first registration of a connection may have: the nearest, where what is
/// known goes before what is not, if the network may have made the difference.
fn choose_reg(
    now: Instant,
    regs: &[Reg],
    opened: Instant,
    is_same_game: &dyn Fn(u16) -> bool,
) -> Option<usize> {
    let is_recent = |reg: &Reg| now - reg.at <= limits::REG_WINDOW;
    if let [only] = regs {
        // Nearly always.
        return (is_recent(only) && only.source != RegSource::Copy).then_some(0);
    }
    let recent = || regs.iter().filter(|reg| is_recent(reg));
    let is_free = |reg: &Reg| reg.source == RegSource::Datagram;
    let is_any_free = recent().any(is_free);
    let is_any_back = recent().any(|reg| reg.is_back(opened));
    let is_any_newer = |reg: &Reg| recent().any(|other| is_free(other) && other.seen > reg.seen);
    let order = |reg: &Reg| {
        let distance = match reg.source {
            // The packet that a host had registered with belongs to that registration.
            RegSource::Left if !reg.is_announced && is_any_newer(reg) => {
                Distance::Far(now - reg.seen)
            }
            _ => reg.distance(now, opened),
        };
        let may_be_meant = match reg.source {
            RegSource::Datagram | RegSource::Left => true,
            // Nothing is taken back from a neighbour while there is a newer packet of nobody's.
            RegSource::Lent => !is_any_newer(reg),
            // Who has a packet of his own is not somebody else, back by a new connection: not one
            // who plays another game, and not one whose old connection still stands, if that of
            // another has just ended.
            RegSource::Again => (!is_any_free || is_same_game(reg.port)) && !is_any_back,
            // It only says that a packet from an unknown port is not meant.
            RegSource::Copy => {
                let is_now = distance <= Distance::Near(limits::OVERTAKEN);
                is_any_free && is_now && is_same_game(reg.port) && !is_any_back
            }
        };
        // Of two that came equally near, the one that no host has is forged, or his that comes next.
        let is_other = !matches!(reg.source, RegSource::Again | RegSource::Copy);
        let distance = if is_other { distance.if_near_plus(limits::DRIFT) } else { distance };
        may_be_meant.then_some((distance, is_other, Reverse(reg.seen), reg.source))
    };
    let recent = regs.iter().enumerate().rev().filter(|(_, reg)| is_recent(reg));
    let meant = recent.filter_map(|(n, reg)| Some((order(reg)?, n)));
    meant.min_by_key(|(order, _)| *order).map(|(_, n)| n)
}

#[cfg(test)]
mod tests;
