//! UDP ports that peers have shown, until a TCP request says whose they are. GMnet has no tokens:
//! all that joins a datagram to a connection is the address both come from, and the time.

use std::collections::HashMap;
use std::net::IpAddr;

use smallvec::SmallVec;

use crate::clock::{Instant, Now};
use crate::limits;
use crate::timers::DelayQueue;

/// The remembered ports of all addresses.
#[derive(Debug)]
pub struct Ports {
    by_addr: HashMap<IpAddr, Remembered>,
    /// One for each address in the table: when to look what has become too old.
    expiry: DelayQueue<IpAddr>,
}

#[derive(Debug, Default)]
struct Remembered {
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
    at: Instant,
    /// A connection has told a host this port since the packet came.
    used: bool,
}

#[derive(Clone, Copy, Debug)]
struct Reg {
    port: u16,
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
    /// The port of a host that has just left. Its game may be back in a moment.
    Left,
}

/// A UDP `reg` that a registration may have for its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClaimedReg {
    /// The host's port.
    pub port: u16,
    /// When the packet came.
    pub at: Instant,
    /// The same in seconds since 1970, where a packet came that belonged to nobody; it dates the
    /// registration.
    pub unix: Option<u64>,
    /// Another host of the address has been using this port and has to give it back.
    pub lent: bool,
}

impl Default for Ports {
    fn default() -> Self {
        Self { by_addr: HashMap::new(), expiry: DelayQueue::new(limits::CONNECT_PORT) }
    }
}

impl Ports {
    /// A UDP `connect` came.
    pub fn learn_connect(&mut self, now: Instant, addr: IpAddr, port: u16) {
        let connects = &mut self.remembered(now, addr).connects;
        connects.retain(|c| c.port != port);
        if connects.len() >= limits::PORTS_PER_ADDRESS {
            let oldest_used = connects.iter().position(|c| c.used).unwrap_or(0);
            connects.remove(oldest_used);
        }
        connects.push(Connect { port, at: now, used: false });
    }

    /// The newest port of an address that no connection has used yet.
    pub fn claim_connect(&mut self, now: Instant, addr: IpAddr) -> Option<u16> {
        let connects = &mut self.by_addr.get_mut(&addr)?.connects;
        let fresh = |c: &&mut Connect| !c.used && now - c.at <= limits::CONNECT_PORT;
        let found = connects.iter_mut().rev().find(fresh)?;
        found.used = true;
        Some(found.port)
    }

    /// A UDP `reg` came from a port that no registered host has.
    pub fn learn_reg(&mut self, now: Now, addr: IpAddr, port: u16) {
        let remembered = self.remembered(now.instant, addr);
        remembered.host_expected = now.instant + limits::INTRODUCTION_WAIT;
        let fresh = |r: &&Reg| {
            r.port == port
                && r.source == RegSource::Datagram
                && now.instant - r.at <= limits::REG_WINDOW
        };
        let unix = remembered.regs.iter().find(fresh).map_or(now.unix, |r| r.unix);
        remembered.put(Reg { port, at: now.instant, unix, source: RegSource::Datagram });
    }

    /// The datagram that came last from this address and port is used by a host that had none.
    pub fn lend_reg(&mut self, addr: IpAddr, port: u16) {
        let regs = self.by_addr.get_mut(&addr).map(|r| &mut r.regs);
        if let Some(reg) = regs.and_then(|regs| regs.iter_mut().find(|r| r.port == port)) {
            reg.source = RegSource::Lent;
        }
    }

    /// A host has left. Its port stays known for a while, as its game may be about to come back.
    pub fn release_reg(&mut self, now: Instant, addr: IpAddr, port: Option<u16>) {
        let remembered = self.remembered(now, addr);
        remembered.host_expected = now + limits::HOST_RETURN;
        if let Some(port) = port {
            remembered.put(Reg { port, at: now, unix: 0, source: RegSource::Left });
        }
    }

    /// The port that a new registration may have: of the newest packet, else of a host that left.
    pub fn claim_reg(&mut self, now: Instant, addr: IpAddr) -> Option<ClaimedReg> {
        let remembered = self.by_addr.get_mut(&addr)?;
        // It is here now.
        remembered.host_expected = Instant::default();
        let regs = &mut remembered.regs;
        let recent = |r: &Reg| now - r.at <= limits::REG_WINDOW;
        let newest = |left: bool| {
            regs.iter().rposition(|r| recent(r) && (r.source == RegSource::Left) == left)
        };
        let index = newest(false).or_else(|| newest(true))?;
        let reg = regs.remove(index);
        Some(ClaimedReg {
            port: reg.port,
            at: reg.at,
            unix: (reg.source == RegSource::Datagram).then_some(reg.unix),
            lent: reg.source == RegSource::Lent,
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
        self.expiry.next()
    }

    /// Forgets what is too old to be used.
    pub fn expire(&mut self, now: Instant) {
        while let Some(addr) = self.expiry.pop_due(now) {
            let Some(remembered) = self.by_addr.get_mut(&addr) else { continue };
            remembered.connects.retain(|c| now - c.at <= limits::CONNECT_PORT);
            remembered.regs.retain(|r| now - r.at <= limits::REG_WINDOW);
            if remembered.connects.is_empty() && remembered.regs.is_empty() {
                self.by_addr.remove(&addr);
            } else {
                self.expiry.arm(now, addr);
            }
        }
    }

    fn remembered(&mut self, now: Instant, addr: IpAddr) -> &mut Remembered {
        self.by_addr.entry(addr).or_insert_with(|| {
            self.expiry.arm(now, addr);
            Remembered::default()
        })
    }
}

impl Remembered {
    /// Notes a port as the newest.
    fn put(&mut self, reg: Reg) {
        self.regs.retain(|r| r.port != reg.port);
        if self.regs.len() >= limits::PORTS_PER_ADDRESS {
            self.regs.remove(0);
        }
        self.regs.push(reg);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const ADDR: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 7));

    fn at(seconds: u64) -> Now {
        Now { instant: Instant::from_micros(seconds * 1_000_000), unix: 1_700_000_000 + seconds }
    }

    #[test]
    fn every_connect_packet_is_used_once_newest_first() {
        let mut ports = Ports::default();
        let now = at(1).instant;
        ports.learn_connect(now, ADDR, 1000);
        ports.learn_connect(now, ADDR, 2000);
        assert_eq!(ports.claim_connect(now, ADDR), Some(2000));
        assert_eq!(ports.claim_connect(now, ADDR), Some(1000));
        assert_eq!(ports.claim_connect(now, ADDR), None);
        ports.learn_connect(now, ADDR, 1000);
        assert_eq!(ports.claim_connect(now, ADDR), Some(1000), "a newer packet counts again");
    }

    #[test]
    fn old_ports_are_not_told() {
        let mut ports = Ports::default();
        ports.learn_connect(at(0).instant, ADDR, 1000);
        ports.learn_reg(at(0), ADDR, 2000);
        let later = at(0).instant + limits::CONNECT_PORT + Duration::from_micros(1);
        assert_eq!(ports.claim_connect(later, ADDR), None);
        assert_eq!(ports.claim_reg(later, ADDR), None);
        ports.expire(later);
        assert_eq!(ports.next_wakeup(), None, "nothing is left to forget");
    }

    #[test]
    fn a_registration_takes_the_newest_packet_before_the_port_of_a_host_that_left() {
        let mut ports = Ports::default();
        ports.learn_reg(at(0), ADDR, 1000);
        ports.release_reg(at(1).instant, ADDR, Some(2000));
        let claimed = ports.claim_reg(at(2).instant, ADDR);
        assert_eq!(claimed.map(|c| (c.port, c.unix)), Some((1000, Some(1_700_000_000))));
        let claimed = ports.claim_reg(at(2).instant, ADDR);
        assert_eq!(claimed.map(|c| (c.port, c.unix)), Some((2000, None)));
        assert_eq!(ports.claim_reg(at(2).instant, ADDR), None);
    }

    #[test]
    fn the_first_of_repeated_packets_dates_the_registration() {
        let mut ports = Ports::default();
        ports.learn_reg(at(0), ADDR, 1000);
        ports.learn_reg(at(3), ADDR, 1000);
        let claimed = ports.claim_reg(at(4).instant, ADDR);
        assert_eq!(claimed.and_then(|c| c.unix), Some(1_700_000_000));
    }

    #[test]
    fn one_address_is_bounded_and_loses_its_oldest() {
        let mut ports = Ports::default();
        for port in 1..=1000 {
            ports.learn_connect(at(0).instant, ADDR, port);
            ports.learn_reg(at(0), ADDR, port);
        }
        assert_eq!(ports.by_addr[&ADDR].connects.len(), limits::PORTS_PER_ADDRESS);
        assert_eq!(ports.by_addr[&ADDR].regs.len(), limits::PORTS_PER_ADDRESS);
        assert_eq!(ports.claim_connect(at(0).instant, ADDR), Some(1000));
        assert_eq!(ports.claim_reg(at(0).instant, ADDR).map(|c| c.port), Some(1000));
    }
}
