//! UDP ports that peers have shown, until a TCP request says whose they are. GMnet has no tokens:
//! all that joins a datagram to a connection is the address both come from, and the time.

use std::cmp::Reverse;
use std::net::IpAddr;
use std::time::Duration;

use hashlink::LinkedHashMap;
use hashlink::linked_hash_map::Entry;
use smallvec::SmallVec;

use crate::clock::{Instant, Now};
use crate::dialect::Via;
use crate::hash::Keyed;
use crate::limits;

/// The remembered ports of all addresses; those that nothing came from for longest first.
#[derive(Debug, Default)]
pub struct Ports {
    by_addr: LinkedHashMap<IpAddr, Remembered, Keyed>,
    /// How many ports are remembered in all.
    count: usize,
}

#[derive(Debug, Default)]
struct Remembered {
    /// When something came last.
    touched: Instant,
    /// From `connect`, oldest packet first.
    connects: SmallVec<[Connect; 1]>,
    /// From `reg`, oldest packet first.
    regs: SmallVec<[Reg; 1]>,
    /// Until then somebody who asks for a host of this address may have to wait a moment.
    host_expected: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Connect {
    port: u16,
    /// When the first of the packets from this port came.
    first: Instant,
    at: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Reg {
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
}

/// Where a [`Reg`] comes from, and so how much it is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RegSource {
    /// A datagram that belongs to no registration yet.
    Datagram,
    /// A datagram that came when a registered host had none; given to it, unless a registration
    /// that comes right after has a better claim.
    Lent,
    /// A datagram from the port of a registered host, whose game may be about to come back by a
    /// new connection.
    Again,
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
}

/// How likely it is that packets belong to the first request of a connection: the least, the most.
/// Games send their packet right before they open the connection; so of two that do this at once,
/// behind one address, each gets its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Distance {
    /// They came when it was opened, so far from it.
    Near(Duration),
    /// They came long before it, or after it, and are so old. The connection may have been opened
    /// for something else before, so the newest counts.
    Far(Duration),
}

impl Distance {
    /// Of packets from one port, which came between these two, to a connection.
    fn of(now: Instant, opened: Instant, first: Instant, last: Instant) -> Self {
        let distance = |at: Instant| {
            let is_near = at <= opened + limits::OVERTAKEN && opened - at <= limits::BELONGS;
            if is_near { Self::Near(gap(opened, at)) } else { Self::Far(now - last) }
        };
        distance(first).min(distance(last))
    }
}

/// The time between two moments, whichever is earlier.
fn gap(one: Instant, other: Instant) -> Duration {
    (one - other).max(other - one)
}

/// The most likely of several packets, of two the newer.
fn nearest(distances: impl Iterator<Item = (usize, Distance)>) -> Option<usize> {
    distances.min_by_key(|(index, distance)| (*distance, Reverse(*index))).map(|(index, _)| index)
}

impl Ports {
    /// A UDP `connect` came.
    pub fn learn_connect(&mut self, now: Instant, addr: IpAddr, port: u16) {
        self.change(now, addr, |remembered| {
            let known = remembered.connects.iter().position(|c| c.port == port);
            let first = known.map_or(now, |n| remembered.connects.remove(n).first);
            if remembered.connects.len() >= limits::PORTS_PER_ADDRESS {
                remembered.connects.remove(0);
            }
            remembered.connects.push(Connect { port, first, at: now });
        });
    }

    /// Takes a port of an address, which no other connection has had, for the first request of a
    /// connection: that of the packet that most likely belongs to it.
    pub fn claim_connect(&mut self, now: Instant, addr: IpAddr, opened: Instant) -> Option<u16> {
        self.take_connect(now, addr, |connects| {
            let distance = |c: &Connect| Distance::of(now, opened, c.first, c.at);
            nearest(connects.iter().map(distance).enumerate())
        })
    }

    /// The same for a later request: that of the newest packet, if it came after the last answer.
    pub fn claim_newer_connect(
        &mut self,
        now: Instant,
        addr: IpAddr,
        answered: Instant,
    ) -> Option<u16> {
        self.take_connect(now, addr, |connects| connects.iter().rposition(|c| c.at > answered))
    }

    fn take_connect(
        &mut self,
        now: Instant,
        addr: IpAddr,
        choose: impl FnOnce(&[Connect]) -> Option<usize>,
    ) -> Option<u16> {
        let remembered = self.by_addr.get_mut(&addr)?;
        // The oldest come first. What is too old to be told must not be taken for the right one.
        let is_old = |c: &&Connect| now - c.at > limits::CONNECT_PORT;
        let old = remembered.connects.iter().take_while(is_old).count();
        remembered.connects.drain(..old);
        self.count -= old;
        let index = choose(&remembered.connects)?;
        let claimed = remembered.connects.remove(index);
        self.count -= 1;
        if remembered.is_of_no_use(now) {
            self.by_addr.remove(&addr);
        }
        Some(claimed.port)
    }

    /// A UDP `reg` came from a port that no registered host has.
    pub fn learn_reg(&mut self, now: Now, via: Via, addr: IpAddr, port: u16) {
        self.learn(now, via, addr, port, RegSource::Datagram);
    }

    /// A UDP `reg` came from the port of a registered host.
    pub fn learn_reg_again(&mut self, now: Now, via: Via, addr: IpAddr, port: u16) {
        self.learn(now, via, addr, port, RegSource::Again);
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
            remembered.put(Reg { port, via, first, seen, at, unix, source });
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
    pub fn release_reg(&mut self, now: Instant, addr: IpAddr, port: Option<(u16, Via, Instant)>) {
        self.change(now, addr, |remembered| {
            remembered.host_expected = now + limits::HOST_RETURN;
            if let Some((port, via, seen)) = port {
                let source = RegSource::Left;
                remembered.put(Reg { port, via, first: seen, seen, at: now, unix: 0, source });
            }
        });
    }

    /// Takes the port that the first registration of a connection may have: of the packet that
    /// most likely belongs to it, else of a host that has left.
    pub fn claim_reg(&mut self, now: Instant, addr: IpAddr, opened: Instant) -> Option<ClaimedReg> {
        self.take_reg(now, addr, |regs| choose_reg(now, regs, opened))
    }

    /// Takes the port that a later registration may have, of a host with that port from which a
    /// packet came last at that time: of a newer packet that is nobody's, else its own once more.
    pub fn claim_newer_reg(
        &mut self,
        now: Instant,
        addr: IpAddr,
        known: Option<(u16, Instant)>,
    ) -> Option<ClaimedReg> {
        let (port, seen) = known.unzip();
        let newer = |r: &Reg| {
            let is_new = now - r.at <= limits::REG_WINDOW && seen.is_none_or(|seen| r.seen > seen);
            r.source == RegSource::Datagram && is_new
        };
        let own = |r: &Reg| Some(r.port) == port && r.source != RegSource::Left;
        self.take_reg(now, addr, |regs| {
            regs.iter().rposition(newer).or_else(|| regs.iter().position(own))
        })
    }

    fn take_reg(
        &mut self,
        now: Instant,
        addr: IpAddr,
        choose: impl FnOnce(&[Reg]) -> Option<usize>,
    ) -> Option<ClaimedReg> {
        let remembered = self.by_addr.get_mut(&addr)?;
        // It is here now.
        remembered.host_expected = Instant::default();
        let index = choose(&remembered.regs)?;
        let reg = remembered.regs.remove(index);
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
            is_doubtful: reg.source == RegSource::Again,
        })
    }

    /// Whether a host of this address was there a moment ago, or seems about to register.
    #[must_use]
    pub fn is_host_expected(&self, now: Instant, addr: IpAddr) -> bool {
        self.by_addr.get(&addr).is_some_and(|r| now < r.host_expected)
    }

    /// When [`Self::expire`] has something to do.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Instant> {
        self.by_addr.front().map(|(_, r)| r.touched + limits::CONNECT_PORT)
    }

    /// Forgets what is too old to be used.
    pub fn expire(&mut self, now: Instant) {
        while self.next_wakeup().is_some_and(|at| at <= now) {
            self.forget_oldest();
        }
    }

    /// Changes what is remembered of an address, and keeps everything within its bounds.
    fn change(&mut self, now: Instant, addr: IpAddr, change: impl FnOnce(&mut Remembered)) {
        let remembered = match self.by_addr.entry(addr) {
            Entry::Occupied(mut known) => {
                known.to_back();
                known.into_mut()
            }
            Entry::Vacant(new) => new.insert(Remembered::default()),
        };
        let before = remembered.len();
        remembered.touched = now;
        change(remembered);
        self.count = self.count + remembered.len() - before;
        while self.count.max(self.by_addr.len()) > limits::PORTS {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let oldest = self.by_addr.pop_front();
        self.count -= oldest.map_or(0, |(_, r)| r.len());
    }
}

impl Remembered {
    fn len(&self) -> usize {
        self.connects.len() + self.regs.len()
    }

    fn is_of_no_use(&self, now: Instant) -> bool {
        self.len() == 0 && self.host_expected <= now
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

/// Which of these the first registration of a connection may have: that of a packet, else of a
/// host that has left.
fn choose_reg(now: Instant, regs: &[Reg], opened: Instant) -> Option<usize> {
    let source = |n: usize| regs[n].source;
    let distance = |n: usize| Distance::of(now, opened, regs[n].first, regs[n].seen);
    let of = |fits: &dyn Fn(RegSource) -> bool| -> SmallVec<[usize; 4]> {
        let fits = |n: &usize| now - regs[*n].at <= limits::REG_WINDOW && fits(source(*n));
        (0..regs.len()).filter(fits).collect()
    };
    let likely = |of: &[usize]| nearest(of.iter().map(|n| (*n, distance(*n))));

    let free = of(&|source| source == RegSource::Datagram);
    let has_own = free.iter().any(|n| opened - regs[*n].seen <= limits::BELONGS);
    let packet = likely(&of(&|source| match source {
        RegSource::Datagram | RegSource::Lent => true,
        // Who has a packet of his own is not somebody else, back by a new connection.
        RegSource::Again => !has_own,
        RegSource::Left => false,
    }));
    // Nothing is taken back from a neighbour while there is a newer packet of nobody's.
    let packet = match packet {
        Some(packet) if source(packet) == RegSource::Lent => free.last().copied().max(Some(packet)),
        packet => packet,
    };
    let left = likely(&of(&|source| source == RegSource::Left));
    // A game that changes its data shows its port just before its old connection ends, and comes
    // back at once.
    let is_back = |packet: usize, left: usize| {
        let is_newer = regs[left].seen > regs[packet].seen;
        let left = gap(opened, regs[left].seen);
        let is_nearer = match distance(packet) {
            Distance::Near(gap) => left < gap,
            Distance::Far(_) => is_newer || left <= limits::OVERTAKEN,
        };
        is_nearer || (source(packet) == RegSource::Lent && is_newer)
    };
    match (packet, left) {
        (Some(packet), Some(left)) if is_back(packet, left) => Some(left),
        (packet, left) => packet.or(left),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDR: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 7));
    const VIA: Via = Via { socket: 0, local: None };

    fn at(seconds: u64) -> Now {
        Now { instant: Instant::from_micros(seconds * 1_000_000), unix: 1_700_000_000 + seconds }
    }

    #[test]
    fn every_connect_packet_is_used_once_newest_first() {
        let mut ports = Ports::default();
        let now = at(1).instant;
        let claim = |ports: &mut Ports| ports.claim_connect(now, ADDR, now);
        ports.learn_connect(now, ADDR, 1000);
        ports.learn_connect(now, ADDR, 2000);
        assert_eq!(claim(&mut ports), Some(2000));
        assert_eq!(claim(&mut ports), Some(1000));
        assert_eq!(claim(&mut ports), None);
        assert_eq!((ports.count, ports.by_addr.len()), (0, 0), "nothing is kept for nothing");
        ports.learn_connect(now, ADDR, 1000);
        assert_eq!(claim(&mut ports), Some(1000), "a newer packet counts again");
    }

    #[test]
    fn a_later_request_takes_nothing_that_came_before_the_last_answer() {
        let mut ports = Ports::default();
        ports.learn_connect(at(1).instant, ADDR, 1000);
        let now = at(4).instant;
        assert_eq!(ports.claim_newer_connect(now, ADDR, at(2).instant), None);
        ports.learn_connect(at(3).instant, ADDR, 2000);
        assert_eq!(ports.claim_newer_connect(now, ADDR, at(2).instant), Some(2000));
        assert_eq!(ports.claim_newer_connect(now, ADDR, at(2).instant), None);
    }

    #[test]
    fn of_packets_that_came_at_another_time_than_the_connection_the_newest_is_taken() {
        let mut ports = Ports::default();
        ports.learn_reg(at(10), VIA, ADDR, 1000);
        ports.release_reg(at(13).instant, ADDR, Some((2000, VIA, at(12).instant)));
        ports.learn_reg(at(15), VIA, ADDR, 3000);
        let mut claim = || ports.claim_reg(at(16).instant, ADDR, at(8).instant).map(|c| c.port);
        assert_eq!([claim(), claim(), claim()], [Some(3000), Some(2000), Some(1000)]);
    }

    #[test]
    fn who_opened_a_connection_right_after_a_packet_gets_the_port_of_that_packet() {
        let mut ports = Ports::default();
        ports.learn_connect(at(1).instant, ADDR, 1000);
        ports.learn_reg(at(1), VIA, ADDR, 1001);
        let one = at(2).instant;
        ports.learn_connect(at(3).instant, ADDR, 2000);
        ports.learn_reg(at(3), VIA, ADDR, 2001);
        ports.learn_reg(at(4), VIA, ADDR, 1001);
        let two = at(4).instant;
        let now = at(5).instant;
        assert_eq!(ports.claim_connect(now, ADDR, one), Some(1000));
        assert_eq!(ports.claim_connect(now, ADDR, two), Some(2000));
        assert_eq!(ports.claim_reg(now, ADDR, one).map(|c| c.port), Some(1001));
        assert_eq!(ports.claim_reg(now, ADDR, two).map(|c| c.port), Some(2001));
    }

    #[test]
    fn old_ports_are_not_told() {
        let mut ports = Ports::default();
        ports.learn_connect(at(0).instant, ADDR, 1000);
        ports.learn_reg(at(0), VIA, ADDR, 2000);
        let later = at(0).instant + limits::CONNECT_PORT + Duration::from_micros(1);
        assert_eq!(ports.claim_reg(later, ADDR, later), None);
        assert_eq!(ports.claim_connect(later, ADDR, later), None);
        ports.expire(later);
        assert_eq!(ports.next_wakeup(), None, "nothing is left to forget");
        assert_eq!(ports.count, 0);
    }

    #[test]
    fn a_registration_takes_the_newest_packet_before_the_port_of_a_host_that_left() {
        let mut ports = Ports::default();
        ports.learn_reg(at(0), VIA, ADDR, 1000);
        ports.release_reg(at(1).instant, ADDR, Some((2000, VIA, at(0).instant)));
        let now = at(2).instant;
        let claimed = ports.claim_reg(now, ADDR, now);
        assert_eq!(claimed.map(|c| (c.port, c.unix)), Some((1000, Some(1_700_000_000))));
        let claimed = ports.claim_reg(now, ADDR, now);
        assert_eq!(claimed.map(|c| (c.port, c.unix)), Some((2000, None)));
        assert_eq!(ports.claim_reg(now, ADDR, now), None);
    }

    #[test]
    fn the_first_of_repeated_packets_dates_the_registration() {
        let mut ports = Ports::default();
        ports.learn_reg(at(0), VIA, ADDR, 1000);
        ports.learn_reg(at(3), VIA, ADDR, 1000);
        let claimed = ports.claim_reg(at(4).instant, ADDR, at(4).instant);
        assert_eq!(claimed.and_then(|c| c.unix), Some(1_700_000_000));
    }

    #[test]
    fn one_address_is_bounded_and_loses_its_oldest() {
        let mut ports = Ports::default();
        for port in 1..=1000 {
            ports.learn_connect(at(0).instant, ADDR, port);
            ports.learn_reg(at(0), VIA, ADDR, port);
        }
        assert_eq!(ports.by_addr[&ADDR].connects.len(), limits::PORTS_PER_ADDRESS);
        assert_eq!(ports.by_addr[&ADDR].regs.len(), limits::PORTS_PER_ADDRESS);
        assert_eq!(ports.claim_connect(at(0).instant, ADDR, at(0).instant), Some(1000));
        assert_eq!(ports.claim_reg(at(0).instant, ADDR, at(0).instant).map(|c| c.port), Some(1000));
    }

    #[test]
    fn all_addresses_together_are_bounded_and_the_oldest_goes_first() {
        let mut ports = Ports::default();
        let addr = |n: usize| IpAddr::from((0x0A00_0000 + n as u32).to_be_bytes());
        for n in 0..limits::PORTS + 10 {
            ports.learn_connect(at(0).instant, addr(n), 1000);
        }
        assert_eq!((ports.count, ports.by_addr.len()), (limits::PORTS, limits::PORTS));
        assert_eq!(ports.claim_connect(at(0).instant, addr(9), at(0).instant), None);
        assert_eq!(ports.claim_connect(at(0).instant, addr(10), at(0).instant), Some(1000));
    }
}
