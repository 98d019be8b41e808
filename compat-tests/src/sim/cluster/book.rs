//! What has happened, and what the nodes have promised.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use punchd::clock::Instant;

use super::plan::{Fault, Wrong};

/// So long after a node has died, or what was cut is joined, lobbies are right.
pub const SETTLED: Duration = Duration::from_secs(5);

/// So long after a host has come, changed or left where nothing is wrong, lobbies are right.
pub const TOLD: Duration = Duration::from_secs(1);

/// A host that was registered, by the name that it says.
#[derive(Clone, Debug)]
pub struct Registered {
    /// Where its game is.
    pub at: SocketAddr,
    /// At which node.
    pub node: usize,
    /// When it was registered.
    pub since: Instant,
    /// When it has changed last.
    pub changed: Instant,
    /// What its third string is.
    pub data: String,
    /// Another host of its address may hide it for a while, as it may be the same.
    pub shares: bool,
    /// When it left, or its node died.
    pub ended: Option<(Instant, bool)>,
}

/// A host in a lobby.
#[derive(Clone, Debug, serde::Deserialize)]
pub struct Listed {
    /// Its address.
    pub ip: String,
    /// Its name.
    pub data2: String,
    /// What it changes.
    pub data3: String,
}

/// All that has happened.
#[derive(Debug, Default)]
pub struct Book {
    /// All hosts that were ever registered.
    pub hosts: BTreeMap<String, Registered>,
    /// When each node began to live.
    pub born: BTreeMap<usize, Instant>,
}

/// Whether nothing was wrong between two nodes from then until then.
pub fn is_calm(faults: &[Fault], (a, b): (usize, usize), from: Instant, to: Instant) -> bool {
    faults.iter().filter(|fault| fault.from < to && fault.to > from).all(|fault| match fault.what {
        Wrong::Cut(c, d) => a == b || (c, d) != (a, b) && (c, d) != (b, a),
        Wrong::Alone(n) => a == b || n != a && n != b,
        Wrong::Storm { .. } => a == b,
        Wrong::Dead(n) => n != a && n != b,
    })
}

impl Book {
    /// Whether a node must know of a host at that time.
    #[must_use]
    pub fn must_know(
        &self,
        faults: &[Fault],
        viewer: usize,
        host: &Registered,
        at: Instant,
    ) -> bool {
        let is_own = host.node == viewer;
        let is_settled = is_own || is_calm(faults, (host.node, viewer), at.before(SETTLED), at);
        let were_there = [viewer, host.node]
            .iter()
            .all(|node| is_own || self.born.get(node).is_some_and(|born| at.since(*born) > TOLD));
        !host.shares
            && host.ended.is_none()
            && at.since(host.since) > TOLD
            && is_settled
            && were_there
    }

    /// Whether a node must not list a host any more at that time.
    fn must_not_list(
        &self,
        faults: &[Fault],
        viewer: usize,
        host: &Registered,
        at: Instant,
    ) -> bool {
        match host.ended {
            Some((ended, _)) if host.node == viewer => at.since(ended) > Duration::from_millis(1),
            Some((ended, true)) => {
                // What the next process of that node says may be lost again and again.
                let is_storm = |fault: &&Fault| {
                    matches!(fault.what, Wrong::Storm { .. }) && fault.from < at && fault.to > ended
                };
                let times = if faults.iter().any(|fault| is_storm(&fault)) { 2 } else { 1 };
                at.since(ended) > SETTLED * times
            }
            Some((ended, false)) => {
                at.since(ended) > TOLD
                    && is_calm(faults, (host.node, viewer), at.before(SETTLED), at)
            }
            // Who cannot be heard of is gone.
            None => faults.iter().any(|fault| {
                let is_cut = match fault.what {
                    Wrong::Cut(from, to) => (from, to) == (host.node, viewer),
                    Wrong::Alone(n) => host.node != viewer && (n == host.node || n == viewer),
                    Wrong::Storm { .. } | Wrong::Dead(_) => false,
                };
                is_cut && fault.from + SETTLED < at && at < fault.to
            }),
        }
    }

    /// Compares a lobby with what has happened. Returns how many had to be in it, and how many of those are at other
    /// nodes.
    ///
    /// # Errors
    /// If it is not as promised.
    pub fn check(
        &self,
        faults: &[Fault],
        viewer: usize,
        lobby: &[Listed],
        at: Instant,
    ) -> Result<(u64, u64), String> {
        let (mut had_to, mut elsewhere) = (0, 0);
        for (n, listed) in lobby.iter().enumerate() {
            let name = &listed.data2;
            if lobby.iter().skip(n + 1).any(|other| other.data2 == *name) {
                return Err(format!("node {viewer} lists {name} twice"));
            }
            let Some(host) = self.hosts.get(name) else {
                return Err(format!("node {viewer} lists {name}, whom nobody knows"));
            };
            if listed.ip != host.at.ip().to_string() {
                return Err(format!("node {viewer} lists {name} at {}", listed.ip));
            }
            if self.must_not_list(faults, viewer, host, at) {
                return Err(format!("node {viewer} still lists {name}: {host:?}"));
            }
        }
        for (name, host) in &self.hosts {
            if !self.must_know(faults, viewer, host, at) {
                continue;
            }
            let Some(listed) = lobby.iter().find(|listed| listed.data2 == *name) else {
                return Err(format!("node {viewer} does not list {name}: {host:?}"));
            };
            if listed.data3 != host.data && at.since(host.changed) > TOLD {
                return Err(format!("node {viewer} lists {name} with {}", listed.data3));
            }
            had_to += 1;
            elsewhere += u64::from(host.node != viewer);
        }
        Ok((had_to, elsewhere))
    }
}
