//! UDP ports that peers have shown, until a TCP request says whose they are. GMnet has no tokens:
//! all that joins a datagram to a connection is the address both come from, and the time.

use std::net::IpAddr;
use std::time::Duration;

use hashlink::LinkedHashMap;
use hashlink::linked_hash_map::Entry;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::clock::Instant;
use crate::hash::{Keyed, Lasting};
use crate::limits;

mod connects;
mod regs;

use connects::Connect;
pub use connects::Likely;
use regs::Reg;
pub use regs::{ClaimedReg, LeftPort, OwnPort};

/// The remembered ports of all addresses; those that nothing came from for longest first.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Ports {
    #[serde(with = "crate::state::linked")]
    by_addr: LinkedHashMap<IpAddr, Remembered, Keyed>,
    /// For the names of games, which are remembered as hashes.
    games: Lasting,
    /// How many ports are remembered in all.
    #[serde(skip)]
    count: usize,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Remembered {
    /// When something came last.
    touched: Instant,
    /// From `connect`, oldest packet first.
    #[serde(default, skip_serializing_if = "SmallVec::is_empty")]
    connects: SmallVec<[Connect; 1]>,
    /// From `reg`, oldest packet first.
    #[serde(default, skip_serializing_if = "SmallVec::is_empty")]
    regs: SmallVec<[Reg; 1]>,
    /// From `reg`, what may have been the ports of hosts that got others, the latest at the end.
    #[serde(default, skip_serializing_if = "SmallVec::is_empty")]
    maybe: SmallVec<[u16; 1]>,
    /// Until then somebody who asks for a host of this address may have to wait a moment.
    #[serde(default, skip_serializing_if = "crate::state::is_default")]
    host_expected: Instant,
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

    /// What is so much less likely. Of what is far the newest counts, whatever it is.
    fn if_near_plus(self, more: Duration) -> Self {
        match self {
            Self::Near(gap) => Self::Near(gap + more),
            Self::Far(_) => self,
        }
    }
}

/// The time between two moments, whichever is earlier.
fn gap(one: Instant, other: Instant) -> Duration {
    (one - other).max(other - one)
}

impl Ports {
    /// Whether a host of this address was there a moment ago, or seems about to register.
    #[must_use]
    pub fn is_host_expected(&self, now: Instant, addr: IpAddr) -> bool {
        self.by_addr.get(&addr).is_some_and(|r| now < r.host_expected)
    }

    /// When the last packet came of the only port that is remembered of an address, if nobody has got it.
    #[must_use]
    pub fn only_one(&self, addr: IpAddr) -> Option<Instant> {
        let remembered = self.by_addr.get(&addr)?;
        match (remembered.connects.as_slice(), remembered.regs.as_slice()) {
            ([connect], []) => connect.unclaimed(),
            ([], [reg]) => reg.unclaimed(),
            _ => None,
        }
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

    /// Goes on with what another process remembered.
    pub(super) fn restore(&mut self, saved: Self) {
        *self = saved;
        if !self.games.is_same() {
            let regs = self.by_addr.iter_mut().flat_map(|(_, all)| &mut all.regs);
            regs.for_each(Reg::forget_game);
            self.games = Lasting::default();
        }
        self.count = self.by_addr.iter().map(|(_, all)| all.len()).sum();
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Now;
    use crate::dialect::Via;

    pub(super) const ADDR: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 7));
    pub(super) const VIA: Via = Via { socket: 0, local: None };

    pub(super) fn at(seconds: u64) -> Now {
        Now { instant: Instant::from_micros(seconds * 1_000_000), unix: 1_700_000_000 + seconds }
    }

    pub(super) fn only(port: u16) -> Likely {
        Likely::from_iter([port])
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
        assert_eq!(ports.claim_connect(now, ADDR, (one, one), false).best(), Some(1000));
        assert_eq!(ports.claim_connect(now, ADDR, (two, two), false).best(), Some(2000));
        assert_eq!(ports.claim_reg(now, ADDR, one, "", |_| true).map(|c| c.port), Some(1001));
        assert_eq!(ports.claim_reg(now, ADDR, two, "", |_| true).map(|c| c.port), Some(2001));
    }

    #[test]
    fn old_ports_are_not_told() {
        let mut ports = Ports::default();
        ports.learn_connect(at(0).instant, ADDR, 1000);
        ports.learn_reg(at(0), VIA, ADDR, 2000);
        let later = at(0).instant + limits::CONNECT_PORT + Duration::from_micros(1);
        assert_eq!(ports.claim_reg(later, ADDR, later, "", |_| true), None);
        assert_eq!(ports.claim_connect(later, ADDR, (later, later), false), Likely::default());
        ports.expire(later);
        assert_eq!(ports.next_wakeup(), None, "nothing is left to forget");
        assert_eq!(ports.count, 0);
    }

    #[test]
    fn one_address_is_bounded_and_loses_its_oldest() {
        let mut ports = Ports::default();
        let last = 2 * limits::PORTS_PER_ADDRESS as u16;
        for port in 1..=last {
            ports.learn_connect(at(0).instant, ADDR, port);
            ports.learn_reg(at(0), VIA, ADDR, port);
        }
        assert_eq!(ports.by_addr[&ADDR].connects.len(), limits::PORTS_PER_ADDRESS);
        assert_eq!(ports.by_addr[&ADDR].regs.len(), limits::PORTS_PER_ADDRESS);
        let connects =
            ports.claim_connect(at(0).instant, ADDR, (at(0).instant, at(0).instant), true);
        assert_eq!(connects.best(), Some(last));
        assert_eq!(
            ports.claim_reg(at(0).instant, ADDR, at(0).instant, "", |_| true).map(|c| c.port),
            Some(last)
        );
    }

    #[test]
    fn all_addresses_together_are_bounded_and_the_oldest_goes_first() {
        let mut ports = Ports::default();
        let addr = |n: usize| IpAddr::from((0x0A00_0000 + n as u32).to_be_bytes());
        for n in 0..limits::PORTS + 10 {
            ports.learn_connect(at(0).instant, addr(n), 1000);
        }
        assert_eq!((ports.count, ports.by_addr.len()), (limits::PORTS, limits::PORTS));
        let mut claim =
            |n| ports.claim_connect(at(0).instant, addr(n), (at(0).instant, at(0).instant), true);
        assert_eq!((claim(9), claim(10)), (Likely::default(), only(1000)));
    }
}
