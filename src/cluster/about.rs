//! What a node tells of itself with its heartbeat, for owners and so that others know whose relay has room.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr as _;

use log::warn;
use serde::{Deserialize, Serialize};

use super::Cluster;
use super::message::What;
use crate::clock::Instant;
use crate::dialect::{Census, Name};
use crate::introductions::PublicIps;
use crate::limits::cluster as limits;

/// What the owner is told who thinks that there are several.
pub const ALONE: &str = "no other node is there: it has another --cluster-name, or its NATS server and this one do \
                         not reach each other";

/// What the owner is told of a node that is heard, while nothing of what it tells this one comes. NATS servers that read
/// another password while they run were seen to do that.
pub(super) fn untold(node: &str) -> String {
    format!(
        "node {node} is there, but its hosts are not known here: NATS passes on only some of its messages; restart the \
         NATS servers, one after the other"
    )
}

/// The numbers of a node. Whatever is missing is zero: it may be of another version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct About {
    /// Which punchd it is.
    #[serde(rename = "v")]
    pub version: String,
    /// Seconds since it was started.
    #[serde(rename = "u")]
    pub uptime: u64,
    /// TCP connections.
    #[serde(rename = "c")]
    pub connections: u64,
    /// The dialects that it speaks.
    #[serde(rename = "d")]
    pub dialects: Vec<Spoken>,
    /// Its relay, if it has one.
    #[serde(rename = "r", skip_serializing_if = "Option::is_none")]
    pub relay: Option<Relay>,
}

/// How many are in a dialect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spoken(String, u64, u64);

/// The relay of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Relay {
    /// The addresses that players are told.
    pub v4: Option<Ipv4Addr>,
    /// The one of IPv6.
    pub v6: Option<Ipv6Addr>,
    /// Whether clients of GMnet can be relayed, too.
    #[serde(rename = "a")]
    pub is_apart: bool,
    /// Pairs that are relayed.
    #[serde(rename = "s")]
    pub sessions: u64,
    /// How many may be.
    #[serde(rename = "m")]
    pub most: u64,
    /// Bytes a second lately.
    #[serde(rename = "b")]
    pub bytes: u64,
    /// How many there may be.
    #[serde(rename = "t")]
    pub most_bytes: u64,
    /// All that may be passed on this month has been.
    #[serde(rename = "f")]
    pub is_used_up: bool,
}

impl Spoken {
    /// So many are in this dialect.
    #[must_use]
    pub fn new(name: Name, Census { hosts, clients }: Census) -> Self {
        Self(name.text().to_owned(), hosts as u64, clients as u64)
    }

    /// The dialect, if it is known here.
    #[must_use]
    pub fn name(&self) -> Option<Name> {
        Name::from_str(&self.0).ok()
    }

    /// Those who can be joined: hosts, rooms or lobbies.
    #[must_use]
    pub const fn hosts(&self) -> u64 {
        self.1
    }

    /// Others who are there: peers and players.
    #[must_use]
    pub const fn clients(&self) -> u64 {
        self.2
    }
}

impl Relay {
    /// By which addresses players reach it.
    #[must_use]
    pub const fn told(&self) -> PublicIps {
        PublicIps { v4: self.v4, v6: self.v6 }
    }

    /// Whether it takes more pairs, as far as is known.
    #[must_use]
    pub const fn has_room(&self) -> bool {
        self.sessions < self.most && self.bytes < self.most_bytes && !self.is_used_up
    }
}

impl About {
    /// Whether it has a relay and nothing else.
    #[must_use]
    pub fn is_relay_alone(&self) -> bool {
        self.relay.is_some() && self.dialects.is_empty()
    }

    /// As bytes; none if there is no memory for it.
    pub(super) fn write(&self) -> Vec<u8> {
        minicbor_serde::to_vec(self).unwrap_or_default()
    }

    /// What another node tells of itself; none if that is not understood, or too much.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() || bytes.len() > limits::ABOUT {
            return None;
        }
        let mut about: Self = minicbor_serde::from_slice(bytes).ok()?;
        about.version.retain(|c| c.is_ascii_graphic());
        about.version.truncate(limits::NAME);
        about.dialects.retain(|spoken| spoken.name().is_some());
        about.dialects.sort_unstable_by_key(Spoken::name);
        about.dialects.dedup_by_key(|spoken| spoken.name());
        Some(about)
    }
}

impl Cluster {
    /// The name of this node, and what it has told of itself last.
    #[must_use]
    pub fn own(&self) -> (&str, &About) {
        (&self.config.name, &self.about)
    }

    /// Whether it is time to [tell](Self::tell_about) others how many there are here.
    #[must_use]
    pub fn wants_about(&self, now: Instant) -> bool {
        now >= self.next_about && now >= self.next_beat
    }

    /// So it is here now; others are told with the next heartbeat.
    pub fn tell_about(&mut self, now: Instant, about: About) {
        (self.about_bytes, self.about) = (about.write(), about);
        self.next_about = now + limits::ABOUT_EVERY;
    }

    /// Whether another node has told of itself since this was asked last.
    pub fn take_heard_about(&mut self) -> bool {
        std::mem::take(&mut self.has_heard_about)
    }

    /// Whether there is a way to other nodes, as far as is known.
    pub fn set_connected(&mut self, now: Instant, is_connected: bool) {
        match is_connected {
            true => self.cut_since = None,
            false => _ = self.cut_since.get_or_insert(now),
        }
    }

    /// Since when there is no way to other nodes; none if there is one.
    #[must_use]
    pub const fn cut_since(&self) -> Option<Instant> {
        self.cut_since
    }

    /// Whether another process says that it is this node.
    #[must_use]
    pub fn has_double(&self, now: Instant) -> bool {
        self.double_heard.is_some_and(|heard| now - heard < limits::GONE)
    }

    /// Whether no other node has been there for a while, though there is a way to them.
    #[must_use]
    pub fn is_alone(&self, now: Instant) -> bool {
        self.alone_since.is_some_and(|since| now - since >= limits::ALONE)
    }

    /// A sentence for each node that is there without being heard.
    pub fn untold(&self, now: Instant) -> impl Iterator<Item = String> {
        self.nodes.iter().filter(move |node| node.is_untold(now)).map(|node| untold(&node.name))
    }

    /// Sees whether another node is there, at each heartbeat.
    pub(super) fn note_alone(&mut self, now: Instant) {
        if self.cut_since.is_some() || self.there().next().is_some() {
            (self.alone_since, self.has_said_alone) = (None, false);
            return;
        }
        self.alone_since.get_or_insert(now);
        if self.is_alone(now) && !std::mem::replace(&mut self.has_said_alone, true) {
            warn!("cluster: {ALONE}");
        }
    }

    /// Tells others that this node is there, perhaps with what it tells of itself.
    pub(super) fn say_hello(&mut self, has_about: bool) {
        self.hellos += 1;
        let about = if has_about { self.about_bytes.clone() } else { Vec::new() };
        self.send(None, What::Hello { n: self.hellos, about: &about });
    }

    /// A node tells of itself, with the heartbeat of this number.
    pub(super) fn note_about(&mut self, (n, incarnation): (usize, u64), count: u64, bytes: &[u8]) {
        let Some(node) = self.nodes.get_mut(n) else { return };
        let is_last = node.is_there && (node.incarnation, node.hellos) == (incarnation, count);
        if let Some(about) = About::read(bytes).filter(|_| is_last) {
            node.about = Some(Box::new(about));
            self.has_heard_about = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> About {
        let relay = Relay { sessions: 3, most: 4, most_bytes: 100, ..Relay::default() };
        let census = Census { hosts: 2, clients: 7 };
        let dialects = vec![Spoken::new(Name::Gmnet, census), Spoken::new(Name::Rooms, census)];
        let (version, uptime, connections) = ("0.2.0".into(), 9, 4);
        About { version, uptime, connections, dialects, relay: Some(relay) }
    }

    #[test]
    fn what_a_node_tells_comes_as_it_was_and_is_small() {
        let bytes = all().write();
        assert_eq!(About::read(&bytes), Some(all()));
        assert!(bytes.len() < 200, "{}", bytes.len());
    }

    #[test]
    fn other_versions_are_understood_and_nonsense_is_not() {
        #[derive(Serialize)]
        struct Later {
            v: &'static str,
            new: [u8; 3],
            d: [(&'static str, u8, u8); 4],
        }
        let d = [("gmnet", 1, 2), ("tomorrow", 3, 4), ("gmnet", 9, 9), ("rooms", 5, 6)];
        let later = Later { v: "9\n\u{e9}.1", new: [1, 2, 3], d };
        let about = About::read(&minicbor_serde::to_vec(later).unwrap()).unwrap();
        assert_eq!((&*about.version, about.uptime, about.relay), ("9.1", 0, None));
        let names: Vec<_> = about.dialects.iter().filter_map(Spoken::name).collect();
        assert_eq!(names, [Name::Gmnet, Name::Rooms]);
        assert_eq!(About::read(b""), None);
        assert_eq!(About::read(b"\x83\x01"), None);
        let much = About { version: "x".repeat(limits::ABOUT), ..About::default() };
        assert_eq!(About::read(&much.write()), None);
    }
}
