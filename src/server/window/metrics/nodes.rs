//! The nodes of the cluster, as this one knows them, itself among them: there are few, so each is a label.

use super::table::{Family, Value};
use crate::clock::Now;
use crate::cluster::{About, Cluster};
use crate::dialect::Name;
use crate::server::window::uptime;

/// A number of a node.
type Number = fn(&About) -> u64;

/// All of them.
pub(super) fn nodes(now: Now, cluster: &Cluster) -> Vec<Family> {
    let (own, about) = cluster.own();
    let others = cluster
        .others()
        .map(|other| (other.name, (now.instant - other.since).as_secs(), other.about));
    let all: Vec<(&str, u64, Option<&About>)> =
        [(own, uptime(now).as_secs(), Some(about))].into_iter().chain(others).collect();
    let mut info = Family::info("punchd_cluster_node", "A node that is there");
    let mut there =
        Family::gauge("punchd_cluster_node_seconds", "For how long this node has known it");
    let mut hosts = Family::gauge("punchd_cluster_hosts", "punchd_hosts of a node");
    let mut clients = Family::gauge("punchd_cluster_clients", "punchd_clients of a node");
    for (node, seconds, about) in &all {
        let label = || ("node", (*node).to_owned());
        let version = about.map_or_else(String::new, |about| about.version.clone());
        info.add([label(), ("version", version)], Value::Info);
        there.add([label()], Value::Count(*seconds));
        for name in Name::ALL {
            let spoken = about.iter().flat_map(|about| &about.dialects);
            let spoken = spoken.into_iter().find(|spoken| spoken.name() == Some(name));
            let labels = || [label(), ("dialect", name.to_string())];
            hosts.add(labels(), Value::Count(spoken.map_or(0, |spoken| spoken.hosts())));
            clients.add(labels(), Value::Count(spoken.map_or(0, |spoken| spoken.clients())));
        }
    }
    let mut families = vec![
        Family::gauge("punchd_cluster_connected", "Whether NATS is there (1)")
            .with([], Value::Count(cluster.cut_since().is_none().into())),
        info,
        there,
        hosts,
        clients,
    ];
    families.extend(numbers(&all));
    families
}

/// Numbers of which each node has one.
fn numbers(all: &[(&str, u64, Option<&About>)]) -> Vec<Family> {
    let of_each: [(&'static str, &'static str, Number); 5] = [
        ("punchd_cluster_connections", "punchd_connections of a node", |about| about.connections),
        ("punchd_cluster_relay_sessions", "Pairs of players that a node relays", |about| {
            about.relay.unwrap_or_default().sessions
        }),
        ("punchd_cluster_relay_sessions_max", "How many it may relay", |about| {
            about.relay.unwrap_or_default().most
        }),
        ("punchd_cluster_relay_bytes_per_second", "What it relays", |about| {
            about.relay.unwrap_or_default().bytes
        }),
        ("punchd_cluster_relay_bytes_per_second_max", "How much it may relay", |about| {
            about.relay.unwrap_or_default().most_bytes
        }),
    ];
    let family = |(name, help, number): (_, _, Number)| {
        let mut family = Family::gauge(name, help);
        for (node, _, about) in all {
            let labels = [("node", (*node).to_owned())];
            family.add(labels, Value::Count(about.map_or(0, number)));
        }
        family
    };
    of_each.into_iter().map(family).collect()
}
