//! Ports of hosts, from `reg`, and which of them a registration means: by time, and in a flood of
//! forged packets by what has been shown before.

use std::cmp::Reverse;
use std::net::IpAddr;
use std::time::Duration;

use hashlink::linked_hash_map::Entry;
use serde::{Deserialize, Serialize};

use super::{Distance, Ports, Remembered, gap};
use crate::clock::{Instant, Now};
use crate::dialect::Via;
use crate::limits;

/// Packets from one port, or the port of a host that has left.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Reg {
    port: u16,
    #[serde(default, skip_serializing_if = "crate::state::is_default")]
    via: Via,
    /// When the first of the packets from this port came.
    first: Instant,
    /// When the last of them came.
    seen: Instant,
    /// When it was noted: then, or when the host left that it belonged to.
    at: Instant,
    #[serde(default, skip_serializing_if = "crate::state::is_default")]
    unix: u64,
    source: RegSource,
    /// The game of the host that has left with this port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    game: Option<Game>,
    /// A host of this address has, or may have, shown this port before.
    #[serde(default, skip_serializing_if = "crate::state::is_default")]
    is_known: bool,
    /// The host that has left with this port showed it again after it had registered, before or
    /// after it left.
    #[serde(default, skip_serializing_if = "crate::state::is_default")]
    is_announced: bool,
}

/// A data1 string: so many bits of its hash tell the games of one address apart.
type Game = u32;

/// Where a [`Reg`] comes from. Of two that are equally likely, the earlier here is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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
    Tentative,
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
    pub is_tentative: bool,
    /// The packet may as well have been a copy of one that the host with this port has sent.
    pub is_doubtful: bool,
    /// No packet came with the connection: it is the port of a host that has left, until another
    /// is shown.
    pub is_provisional: bool,
    /// Packets that may as well be meant came from ports that no host has, or this one came when
    /// nobody connected, or none came.
    pub is_contested: bool,
    /// A host of this address has, or had, this port.
    pub is_of_host: bool,
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
            remembered.outdate_regs(instant);
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
                game: None,
                is_known: true,
                is_announced: false,
            });
        });
    }

    fn learn(&mut self, now: Now, via: Via, addr: IpAddr, port: u16, source: RegSource) {
        self.change(now.instant, addr, |remembered| {
            remembered.outdate_regs(now.instant);
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
            let has_left =
                |r: &&Reg| r.port == port && (r.source == RegSource::Left || r.is_announced);
            let left = remembered.regs.iter().find(has_left);
            let left = left.filter(|_| source == RegSource::Datagram);
            let (game, is_announced) = (left.and_then(|r| r.game), left.is_some());
            remembered.put(Reg {
                port,
                via,
                first,
                seen,
                at,
                unix,
                source,
                game,
                is_known,
                is_announced,
            });
        });
    }

    /// A host has shown in another way that this port is its own: packets from there are nobody else's.
    pub fn claim_shown(&mut self, addr: IpAddr, port: u16) {
        let Some(remembered) = self.by_addr.get_mut(&addr) else { return };
        let before = remembered.regs.len();
        remembered.regs.retain(|reg| reg.port != port);
        self.count -= before - remembered.regs.len();
    }

    /// The datagram that came last from this address and port is used by a host that had none.
    pub fn mark_tentative(&mut self, addr: IpAddr, port: u16) {
        if let Some(remembered) = self.by_addr.get_mut(&addr) {
            remembered.mark_tentative(port);
        }
    }

    /// A host of this game has left. Its port, with when a packet came from there last, stays known
    /// for a while, as its game may be about to come back.
    pub fn release_reg(&mut self, now: Instant, addr: IpAddr, game: &str, left: Option<LeftPort>) {
        let game = Some(self.game(game));
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
                    game,
                    is_known: true,
                    is_announced,
                });
            }
        });
    }

    /// Takes the port that the first registration of a connection may have: of the packet that
    /// most likely belongs to it, else of a host that has left. `is_same_game` tells whether a host
    /// that is registered at a port, or at any, is of the game that registers now.
    pub fn claim_reg(
        &mut self,
        now: Instant,
        addr: IpAddr,
        opened: Instant,
        game: &str,
        is_same_game: impl Fn(Option<u16>) -> bool,
    ) -> Option<ClaimedReg> {
        let comes = Comes { opened, game: self.game(game), is_same_game: &is_same_game };
        let Entry::Occupied(mut here) = self.by_addr.entry(addr) else { return None };
        let remembered = here.get_mut();
        remembered.host_expected = Instant::default();
        let known = known_in_flood(&remembered.regs, opened);
        let index = known.or_else(|| choose_reg(now, &remembered.regs, &comes))?;
        let reg = remembered.regs.remove(index);
        remembered.note_others(opened, &reg);
        let is_near = matches!(reg.distance(now, opened), Distance::Near(_));
        // GMnet's scripts send a packet for each connection.
        let is_lost = reg.source == RegSource::Left && !reg.is_announced;
        // Nor several for one.
        let is_repeated = reg.seen - reg.first > limits::OVERTAKEN;
        let is_contested = is_lost || is_repeated || !is_near || remembered.has_others(now, &reg);
        self.count -= 1;
        let is_provisional = reg.source == RegSource::Left && !comes.may_be_back_at(&reg);
        if remembered.is_of_no_use(now) {
            here.remove();
        }
        Some(ClaimedReg { is_provisional, is_contested, ..reg.claimed() })
    }

    /// Takes the port that a later registration may have, of a host with that port: of a newer packet
    /// that is nobody's, else its own once more. What is nobody's may be of a neighbour that is
    /// just beginning: its assignment is tentative until a connection comes that it belongs to.
    pub fn claim_newer_reg(
        &mut self,
        now: Instant,
        addr: IpAddr,
        known: Option<OwnPort>,
        game: &str,
    ) -> Option<ClaimedReg> {
        let game = self.game(game);
        let newer = |r: &Reg| {
            let is_recent = now - r.at <= limits::REG_WINDOW;
            let is_newer = known.is_none_or(|known| r.seen > known.seen);
            r.source == RegSource::Datagram && is_recent && is_newer && !r.is_of_another(game)
        };
        let is_packet = |r: &Reg| !matches!(r.source, RegSource::Left | RegSource::Copy);
        let own = |r: &Reg| known.is_some_and(|known| r.port == known.port) && is_packet(r);
        let Entry::Occupied(mut here) = self.by_addr.entry(addr) else { return None };
        let remembered = here.get_mut();
        remembered.host_expected = Instant::default();
        let regs = &mut remembered.regs;
        // Who has just shown the port that he has means no other that nobody knows.
        let is_sure = known.is_some_and(|known| now - known.seen <= limits::OVERTAKEN);
        let is_forged = is_sure && is_flood(regs, now);
        let newer = || regs.iter().rposition(newer).filter(|_| !is_forged);
        let chosen = known_in_flood(regs, now).or_else(newer);
        let index = chosen.or_else(|| regs.iter().position(own))?;
        let reg = *regs.get(index)?;
        remembered.note_others(now, &reg);
        let is_contested = remembered.has_others(now, &reg);
        if reg.source == RegSource::Datagram {
            remembered.mark_tentative(reg.port);
        } else {
            remembered.regs.remove(index);
            self.count -= 1;
            if remembered.is_of_no_use(now) {
                here.remove();
            }
        }
        // What it has is not taken away from anybody.
        let is_tentative =
            reg.source == RegSource::Tentative && known.is_none_or(|k| k.port != reg.port);
        Some(ClaimedReg { is_tentative, is_contested, ..reg.claimed() })
    }

    /// Whether the last packet from this port may be that of a host of this game: not if a host of
    /// another has left that had the port.
    #[must_use]
    pub fn may_be_of(&self, addr: IpAddr, port: u16, game: &str) -> bool {
        let regs = self.by_addr.get(&addr).map(|r| r.regs.as_slice()).unwrap_or_default();
        let game = self.game(game);
        !regs.iter().any(|reg| reg.port == port && reg.is_of_another(game))
    }

    fn game(&self, game: &str) -> Game {
        self.games.hash_one(game) as Game
    }
}

impl Remembered {
    /// A UDP `reg` comes: those that were received at the same time are older.
    fn outdate_regs(&mut self, now: Instant) {
        self.regs.iter_mut().for_each(|reg| reg.seen = reg.seen.min(now.just_before()));
    }

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

    /// Whether other packets of nobody's came lately.
    fn has_others(&self, now: Instant, chosen: &Reg) -> bool {
        let is_other = |reg: &Reg| {
            let is_free = reg.source == RegSource::Datagram;
            is_free && reg.port != chosen.port && now - reg.at <= limits::REG_WINDOW
        };
        self.regs.iter().any(is_other)
    }

    /// A host that had none uses this port.
    fn mark_tentative(&mut self, port: u16) {
        if let Some(reg) = self.regs.iter_mut().find(|reg| reg.port == port) {
            reg.source = RegSource::Tentative;
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
    /// Nobody knows any more which game it was.
    pub(super) fn forget_game(&mut self) {
        self.game = None;
    }

    /// When the last packet came, if no host has it.
    pub(super) fn unclaimed(&self) -> Option<Instant> {
        (self.source == RegSource::Datagram).then_some(self.seen)
    }

    /// Whether it is known to be that of another game.
    fn is_of_another(&self, game: Game) -> bool {
        self.game.is_some_and(|other| other != game)
    }

    /// How likely it is that the packets belong to a connection.
    fn distance(&self, now: Instant, opened: Instant) -> Distance {
        Distance::of(now, opened, self.first, self.seen)
    }

    /// What a registration gets that takes it.
    fn claimed(&self) -> ClaimedReg {
        ClaimedReg {
            port: self.port,
            via: self.via,
            at: self.seen,
            unix: (self.source == RegSource::Datagram).then_some(self.unix),
            is_tentative: self.source == RegSource::Tentative,
            is_doubtful: matches!(self.source, RegSource::Again | RegSource::Copy),
            is_provisional: false,
            is_contested: false,
            is_of_host: self.game.is_some()
                || matches!(self.source, RegSource::Again | RegSource::Copy),
        }
    }

    /// How far from this time its nearest packet came.
    fn gap(&self, expected: Instant) -> Duration {
        gap(expected, self.first).min(gap(expected, self.seen))
    }
}

/// A connection that registers a host for the first time.
struct Comes<'a> {
    opened: Instant,
    game: Game,
    /// Whether a host that is registered at a port, or at any, is of this game.
    is_same_game: &'a dyn Fn(Option<u16>) -> bool,
}

impl Comes<'_> {
    /// Whether this is the game of a host that has left: it has shown its port because it was about to
    /// come back, or it left a moment ago, as one does that changes its data.
    fn may_be_back_at(&self, reg: &Reg) -> bool {
        let has_just_left =
            reg.source == RegSource::Left && gap(self.opened, reg.at) <= limits::HOST_RETURN;
        let is_announced = reg.is_announced && gap(self.opened, reg.seen) <= limits::BELONGS;
        reg.game == Some(self.game) && (has_just_left || is_announced)
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
fn choose_reg(now: Instant, regs: &[Reg], comes: &Comes<'_>) -> Option<usize> {
    let Comes { opened, game, is_same_game } = *comes;
    let is_recent = |reg: &Reg| now - reg.at <= limits::REG_WINDOW;
    if let [only @ Reg { source: RegSource::Datagram, .. }] = regs {
        // Nearly always.
        return is_recent(only).then_some(0);
    }
    let recent = || regs.iter().filter(|reg| is_recent(reg));
    let is_free = |reg: &Reg| reg.source == RegSource::Datagram;
    let newest_free = recent().filter(|reg| is_free(reg)).map(|reg| reg.seen).max();
    let is_any_free = newest_free.is_some();
    let is_any_back = recent().any(|reg| comes.may_be_back_at(reg));
    let is_any_newer = |reg: &Reg| newest_free.is_some_and(|seen| seen > reg.seen);
    let order = |reg: &Reg| {
        let distance = match reg.source {
            // What another game has shown is that one's.
            _ if reg.is_of_another(game) => Distance::Far(now - reg.seen),
            // The packet that a host had registered with belongs to that registration.
            RegSource::Left if !reg.is_announced && is_any_newer(reg) => {
                Distance::Far(now - reg.seen)
            }
            _ => reg.distance(now, opened),
        };
        let may_be_meant = match reg.source {
            RegSource::Datagram => true,
            // It is somebody else's rather than that of a host that is here.
            RegSource::Left => reg.game == Some(game) || !is_same_game(None),
            // Nothing is taken back from a neighbour while there is a newer packet of nobody's, nor
            // what came long before.
            RegSource::Tentative => !is_any_newer(reg) && matches!(distance, Distance::Near(_)),
            // Who has a packet of his own is not somebody else, back by a new connection: not one
            // who plays another game, and not one whose old connection still stands, if that of
            // another has just ended.
            RegSource::Again => {
                let is_other_game = !is_same_game(Some(reg.port));
                !(is_other_game && (is_any_free || is_same_game(None))) && !is_any_back
            }
            // It only says that a packet from an unknown port is not meant.
            RegSource::Copy => {
                let is_now = distance <= Distance::Near(limits::OVERTAKEN);
                is_any_free && is_now && is_same_game(Some(reg.port)) && !is_any_back
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
