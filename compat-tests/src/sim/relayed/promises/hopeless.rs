//! When it is known for sure that two do not reach each other directly: by their families, by what their NATs
//! have shown, or as it has just been tried.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use punchd::clock::Instant;
use punchd::dialect::ConnId;
use punchd::introductions::is_same_family;
use punchd::limits::STUN_PAIR;
use punchd::limits::relay as limits;

/// A host that is asked for its port may be believed so long after it has shown one.
const BELIEVED: Duration = Duration::from_secs(1);

/// The port at the other address shows so long after the one at the first at the latest; the server's own
/// bound, by its coarser clock.
const PAIR: Duration = STUN_PAIR.saturating_sub(Duration::from_millis(500));

/// What the server has seen of a NAT of which each address of it sees another port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    /// A new port at its first address, and when.
    First(Instant),
    /// And then a new one at the other address, before anybody was told of the player.
    Both,
    /// Something that may say nothing.
    Unsure,
}

#[derive(Debug, Default)]
pub(in super::super) struct Hopeless {
    /// Of which registration of a host a client's address was told the relay last, and when.
    failed: BTreeMap<IpAddr, (ConnId, Instant)>,
    /// What NATs have shown that give each destination another port, at random.
    hard: BTreeMap<IpAddr, Shown>,
    /// The ports that they have shown at any address of the server.
    shown: BTreeSet<SocketAddr>,
    /// Where hosts have registered.
    hosts: BTreeSet<IpAddr>,
    /// When a host has shown its port last.
    ports: BTreeMap<IpAddr, Instant>,
}

impl Hopeless {
    /// A host registers: what it shows later is not believed, at whatever port, as others may have been
    /// told of that before.
    pub(in super::super) fn registers(&mut self, addr: IpAddr) {
        self.hosts.insert(addr);
        self.is_told(addr);
    }

    /// Others are told of a player: what its port shows later is not believed.
    pub(in super::super) fn is_told(&mut self, addr: IpAddr) {
        if self.hard.get(&addr) != Some(&Shown::Both) {
            self.hard.insert(addr, Shown::Unsure);
        }
    }

    /// A player whose NAT gives each destination another port shows the one at this address of the server.
    /// That counts only if the two appear one after the other: the port at the other address that has
    /// appeared before may be that of another player.
    pub(in super::super) fn shows(&mut self, now: Instant, from: SocketAddr, is_alternate: bool) {
        let addr = from.ip();
        let is_new = self.shown.insert(from);
        let shown = match (self.hard.get(&addr), is_alternate) {
            // Its NAT has forgotten the mapping that it had, or it is another socket.
            (_, false) if is_new && !self.hosts.contains(&addr) => Shown::First(now),
            (Some(Shown::First(at)), true) if is_new && now - *at < PAIR => Shown::Both,
            (Some(before), false) if !is_new => *before,
            (Some(Shown::Both), true) if !is_new => Shown::Both,
            _ => Shown::Unsure,
        };
        self.hard.insert(addr, shown);
    }

    /// A host shows its port, which may be another one than before: that it was not reached says nothing
    /// then, nor what the one before had shown.
    pub(in super::super) fn shows_port(&mut self, now: Instant, from: SocketAddr) {
        let addr = from.ip();
        self.ports.insert(addr, now);
        if self.hosts.contains(&addr) && !self.shown.contains(&from) {
            self.hard.insert(addr, Shown::Unsure);
        }
    }

    /// A NAT gives other ports from now on.
    pub(in super::super) fn forget(&mut self, now: Instant, addr: IpAddr) {
        self.hard.remove(&addr);
        self.ports.insert(addr, now);
    }

    /// A client is told of the relay, as it has not reached its host.
    pub(super) fn fails(&mut self, now: Instant, client: IpAddr, host: ConnId) {
        self.failed.insert(client, (host, now));
    }

    /// A client may have reached its host after all.
    pub(super) fn gets_through(&mut self, client: IpAddr) {
        self.failed.remove(&client);
    }

    /// Whether the direct way is known to lead nowhere.
    pub(super) fn is(&self, now: Instant, client: IpAddr, (addr, host): (IpAddr, ConnId)) -> bool {
        let is_hard = |addr| self.hard.get(&addr) == Some(&Shown::Both);
        let shown = self.ports.get(&addr).map(|shown| *shown + BELIEVED);
        let has_failed = self.failed.get(&client).is_some_and(|(before, at)| {
            let is_recent = now - *at < limits::FAILED;
            *before == host && is_recent && shown.is_none_or(|shown| shown < *at)
        });
        !is_same_family(client, addr) || (is_hard(client) && is_hard(addr)) || has_failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 1));
    const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 5));

    fn at(ms: u64) -> Instant {
        Instant::from_micros(1000 * ms)
    }

    /// Both have hard NATs, the host has shown that, and the client shows these ports at these times, in
    /// milliseconds, at the first address of the server or at the other one.
    fn is_hopeless(shown: &[(u64, u16, bool)]) -> bool {
        let mut hopeless = Hopeless::default();
        hopeless.shows(at(0), (HOST, 4000).into(), false);
        hopeless.shows(at(0), (HOST, 9000).into(), true);
        hopeless.registers(HOST);
        for (ms, port, is_alternate) in shown {
            hopeless.shows(at(*ms), (CLIENT, *port).into(), *is_alternate);
        }
        hopeless.is(at(60_000), CLIENT, (HOST, ConnId { slot: 0, generation: 1 }))
    }

    #[test]
    fn two_ports_count_that_appear_one_after_the_other() {
        assert!(is_hopeless(&[(0, 5000, false), (100, 7000, true)]));
        assert!(is_hopeless(&[(0, 5000, false), (100, 7000, true), (200, 5000, false)]));
        assert!(!is_hopeless(&[(0, 7000, true), (100, 5000, false)]), "the wrong way round");
        let twice = [(0, 7000, true), (100, 5000, false), (200, 7000, true)];
        assert!(!is_hopeless(&twice), "it came twice");
        assert!(!is_hopeless(&[(0, 5000, false), (6000, 7000, true)]), "too late");
    }

    /// As in seed 21750.
    #[test]
    fn a_port_at_the_other_address_that_had_appeared_before_says_nothing_of_a_new_one() {
        let lost_before = [(0, 7000, true), (30_000, 5000, false), (30_010, 7000, true)];
        assert!(!is_hopeless(&lost_before));
        let others = [(0, 7000, true), (20, 5000, false), (40_000, 5001, false)];
        assert!(!is_hopeless(&[&others[..], &[(40_010, 7000, true)]].concat()));
        assert!(is_hopeless(&[&others[..], &[(40_010, 7001, true)]].concat()), "it is new");
    }

    #[test]
    fn what_a_host_shows_at_another_port_than_before_is_not_believed() {
        let conn = ConnId { slot: 0, generation: 1 };
        let mut hopeless = Hopeless::default();
        for addr in [HOST, CLIENT] {
            hopeless.shows(at(0), (addr, 4000).into(), false);
            hopeless.shows(at(0), (addr, 9000).into(), true);
        }
        hopeless.registers(HOST);
        hopeless.shows_port(at(10), (HOST, 4000).into());
        assert!(hopeless.is(at(100), CLIENT, (HOST, conn)));
        hopeless.shows_port(at(200_000), (HOST, 4001).into());
        assert!(!hopeless.is(at(200_000), CLIENT, (HOST, conn)));
        hopeless.shows(at(200_100), (HOST, 4001).into(), false);
        hopeless.shows(at(200_200), (HOST, 9001).into(), true);
        assert!(!hopeless.is(at(200_300), CLIENT, (HOST, conn)), "others were told of it before");
    }
}
