//! Which hosts and clients there are, and what they do when.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use punchd::clock::Instant;

use super::super::plan::{CALM, LOOKED, NODES, moment};
use crate::sim::rng::Rng;

/// All of them.
#[derive(Debug)]
pub struct Plan {
    /// Who hosts.
    pub hosts: Vec<HostPlan>,
    /// Who joins.
    pub clients: Vec<ClientPlan>,
}

/// A host.
#[derive(Clone, Copy, Debug)]
pub struct HostPlan {
    /// Where its game is.
    pub at: SocketAddr,
    /// The node that it likes best.
    pub node: usize,
    /// When it comes.
    pub comes: Instant,
    /// When it has new data.
    pub changes: Option<Instant>,
    /// When it leaves.
    pub leaves: Option<Instant>,
    /// Another host has the same address.
    pub shares: bool,
}

/// A client.
#[derive(Clone, Copy, Debug)]
pub struct ClientPlan {
    /// Where its game is.
    pub at: SocketAddr,
    /// The node that it asks.
    pub node: usize,
    /// When.
    pub asks: Instant,
    /// Which host.
    pub host: usize,
    /// How much later its UDP packet comes; none: it never does.
    pub late: Option<Duration>,
}

impl Plan {
    /// The plan of a seed.
    pub fn of(rng: &mut Rng) -> Self {
        let calm = CALM.as_millis() as u64;
        let end = LOOKED.as_millis() as u64;
        let mut hosts: Vec<HostPlan> = (0..2 + rng.index(8)).map(|n| host(rng, n, calm)).collect();
        if rng.permille(300)
            && let Some(twin) = hosts.first_mut()
        {
            twin.shares = true;
            let at = SocketAddr::new(twin.at.ip(), twin.at.port() + 1);
            let twin = HostPlan { at, node: rng.index(NODES), ..*twin };
            hosts.push(twin);
        }
        let clients = (0..5 + rng.index(20)).map(|n| {
            let at = SocketAddr::new(IpAddr::from([198, 51, 100, n as u8]), 30_000 + n as u16);
            let late = match rng.index(10) {
                0 => None,
                1 | 2 => Some(rng.millis(0..1500)),
                _ => Some(Duration::ZERO),
            };
            let (node, host) = (rng.index(NODES), rng.index(hosts.len()));
            let asks = moment(rng, 2000, end - 9000);
            ClientPlan { at, node, asks, host, late }
        });
        let clients = clients.collect();
        Self { hosts, clients }
    }
}

fn host(rng: &mut Rng, n: usize, calm: u64) -> HostPlan {
    let comes = moment(rng, 100, calm / 2);
    let at = SocketAddr::new(IpAddr::from([203, 0, 113, n as u8]), 20_000 + 10 * n as u16);
    let changes = rng.permille(300).then(|| comes + rng.millis(1000..25_000));
    let leaves = rng.permille(300).then(|| comes + rng.millis(500..45_000));
    HostPlan { at, node: rng.index(NODES), comes, changes, leaves, shares: false }
}
