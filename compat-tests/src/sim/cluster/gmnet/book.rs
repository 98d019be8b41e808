//! What has happened to hosts, and what lobbies have to say of them.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use punchd::clock::Instant;

use super::super::faults::{TOLD, View};

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

impl Registered {
    /// Whether a node must know of it.
    #[must_use]
    pub fn is_known(&self, view: View<'_>) -> bool {
        let is_old = view.at.since(self.since) > TOLD;
        !self.shares && self.ended.is_none() && is_old && view.hears(self.node)
    }

    /// Whether a node must not list it (any more).
    fn is_forgotten(&self, view: View<'_>) -> bool {
        match self.ended {
            Some((ended, by_death)) => view.must_have_forgotten(self.node, ended, by_death),
            // Who cannot be heard of is gone.
            None => view.has_lost(self.node),
        }
    }
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

/// All hosts that were ever registered.
#[derive(Debug, Default)]
pub struct Book {
    /// By their names.
    pub hosts: BTreeMap<String, Registered>,
}

impl Book {
    /// Compares a lobby with what has happened. Returns how many had to be in it, and how many of those are at other
    /// nodes.
    ///
    /// # Errors
    /// If it is not as promised.
    pub fn check(&self, view: View<'_>, lobby: &[Listed]) -> Result<(u64, u64), String> {
        let (mut had_to, mut elsewhere) = (0, 0);
        let viewer = view.viewer;
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
            if host.is_forgotten(view) {
                return Err(format!("node {viewer} still lists {name}: {host:?}"));
            }
        }
        for (name, host) in self.hosts.iter().filter(|(_, host)| host.is_known(view)) {
            let Some(listed) = lobby.iter().find(|listed| listed.data2 == *name) else {
                return Err(format!("node {viewer} does not list {name}: {host:?}"));
            };
            if listed.data3 != host.data && view.at.since(host.changed) > TOLD {
                return Err(format!("node {viewer} lists {name} with {}", listed.data3));
            }
            had_to += 1;
            elsewhere += u64::from(host.node != viewer);
        }
        Ok((had_to, elsewhere))
    }
}
