//! When it is known for sure that two do not reach each other directly: by their families, by what their NATs
//! have shown, or as it has just been tried.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use punchd::clock::Instant;
use punchd::dialect::ConnId;
use punchd::introductions::is_same_family;
use punchd::limits::relay as limits;

/// A host that is asked for its port may be believed so long after it has shown one.
const BELIEVED: Duration = Duration::from_secs(1);

/// What the server has seen of a NAT of which each address of it sees another port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    /// The port at its first address.
    First,
    /// And then the one at the other address, before anybody was told of the player.
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
    /// Which port each of them has shown at which address of the server.
    shown: BTreeMap<(IpAddr, bool), u16>,
    /// When a host has shown its port last.
    ports: BTreeMap<IpAddr, Instant>,
}

impl Hopeless {
    /// A host registers, or others are told of a client: what it shows later is not believed.
    pub(in super::super) fn is_told(&mut self, addr: IpAddr) {
        if self.hard.get(&addr) != Some(&Shown::Both) {
            self.hard.insert(addr, Shown::Unsure);
        }
    }

    /// A player whose NAT gives each destination another port shows the one at this address of the server.
    pub(in super::super) fn shows(&mut self, from: SocketAddr, is_alternate: bool) {
        let addr = from.ip();
        let before = self.shown.insert((addr, is_alternate), from.port());
        if before.is_some_and(|port| port != from.port()) {
            // Its NAT has forgotten the mapping that it had.
            self.hard.remove(&addr);
        }
        let shown = match (self.hard.get(&addr), is_alternate) {
            (None, false) => Shown::First,
            (None, true) => Shown::Unsure,
            (Some(Shown::First), true) => Shown::Both,
            (Some(before), _) => *before,
        };
        self.hard.insert(addr, shown);
    }

    /// A host shows its port, which may be another one than before: that it was not reached says nothing
    /// then.
    pub(in super::super) fn shows_port(&mut self, now: Instant, addr: IpAddr) {
        self.ports.insert(addr, now);
    }

    /// A NAT gives other ports from now on.
    pub(in super::super) fn forget(&mut self, now: Instant, addr: IpAddr) {
        self.hard.remove(&addr);
        self.shows_port(now, addr);
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
