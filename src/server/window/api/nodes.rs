//! The nodes of the cluster, as this one knows them.

use serde::Serialize;

use crate::clock::Now;
use crate::cluster::{self, About};
use crate::server::window::uptime;

/// The cluster.
#[derive(Debug, Serialize)]
pub(super) struct Cluster<'a> {
    node: &'a str,
    /// Whether NATS is there.
    connected: bool,
    /// All that are there, this one first.
    nodes: Vec<Node<'a>>,
}

/// A node. Of one that has told nothing yet it is not known how many it has.
#[derive(Debug, Serialize)]
struct Node<'a> {
    node: &'a str,
    there: u64,
    version: Option<&'a str>,
    uptime: Option<u64>,
    connections: Option<u64>,
    dialects: Vec<Spoken>,
    relay: Option<Relay>,
}

#[derive(Debug, Serialize)]
struct Spoken {
    name: String,
    hosts: u64,
    clients: u64,
}

/// Its relay.
#[derive(Debug, Serialize)]
struct Relay {
    sessions: u64,
    most_sessions: u64,
    bytes_per_second: u64,
    most_bytes_per_second: u64,
    has_room: bool,
}

impl<'a> Cluster<'a> {
    pub(super) fn of(now: Now, cluster: &'a cluster::Cluster) -> Self {
        let (node, about) = cluster.own();
        let own = Node::of(node, uptime(now).as_secs(), Some(about));
        let others = cluster
            .others()
            .map(|other| Node::of(other.name, (now.instant - other.since).as_secs(), other.about));
        let connected = cluster.cut_since().is_none();
        Self { node, connected, nodes: [own].into_iter().chain(others).collect() }
    }
}

impl<'a> Node<'a> {
    fn of(node: &'a str, there: u64, about: Option<&'a About>) -> Self {
        let spoken = about.iter().flat_map(|about| &about.dialects).filter_map(|spoken| {
            let name = spoken.name()?.to_string();
            Some(Spoken { name, hosts: spoken.hosts(), clients: spoken.clients() })
        });
        let relay = about.and_then(|about| about.relay).map(|relay| Relay {
            sessions: relay.sessions,
            most_sessions: relay.most,
            bytes_per_second: relay.bytes,
            most_bytes_per_second: relay.most_bytes,
            has_room: relay.has_room(),
        });
        Self {
            node,
            there,
            version: about.map(|about| &*about.version),
            uptime: about.map(|about| about.uptime),
            connections: about.map(|about| about.connections),
            dialects: spoken.collect(),
            relay,
        }
    }
}
