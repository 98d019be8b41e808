//! What a seed stands for.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use punchd::clock::Instant;

use crate::sim::rng::Rng;

/// Nodes of the cluster.
pub const NODES: usize = 3;

/// How long a schedule is. The last part of it is calm.
pub const DURATION: Duration = Duration::from_secs(60);

/// When nothing goes wrong any more.
pub const CALM: Duration = Duration::from_secs(42);

/// Everything that is going to happen.
#[derive(Debug)]
pub struct Plan {
    /// How long a message is under way between nodes.
    pub delay: Duration,
    /// What goes wrong.
    pub faults: Vec<Fault>,
    /// Who hosts.
    pub hosts: Vec<HostPlan>,
    /// Who joins.
    pub clients: Vec<ClientPlan>,
}

/// Something that goes wrong for a while.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// From when on.
    pub from: Instant,
    /// Until when.
    pub to: Instant,
    /// What.
    pub what: Wrong,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// Nothing gets from the first to the second node.
    Cut(usize, usize),
    /// A node is on its own.
    Alone(usize),
    /// So many messages of a thousand are lost, so many come again later, and they overtake each other.
    Storm {
        /// Lost.
        lost: u64,
        /// Repeated.
        repeated: u64,
        /// Milliseconds that may come on top of the delay.
        jitter: u64,
    },
    /// A node is dead, and begins anew after it.
    Dead(usize),
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

fn moment(rng: &mut Rng, from: u64, to: u64) -> Instant {
    Instant::from_micros(rng.within(from * 1000..to * 1000))
}

impl Plan {
    /// The plan of a seed.
    pub fn of(rng: &mut Rng) -> Self {
        let calm = CALM.as_millis() as u64;
        let end = DURATION.as_millis() as u64;
        let faults = (0..rng.index(5)).map(|_| fault(rng, calm)).collect();
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
        Self { delay: rng.millis(0..60), faults, hosts, clients }
    }
}

fn fault(rng: &mut Rng, calm: u64) -> Fault {
    let from = moment(rng, 3000, calm - 6000);
    let to = (from + rng.millis(200..15_000)).min(Instant::from_micros(calm * 1000));
    let node = rng.index(NODES);
    let what = match rng.index(5) {
        0 => Wrong::Cut(node, (node + 1 + rng.index(NODES - 1)) % NODES),
        1 => Wrong::Alone(node),
        2 => Wrong::Storm {
            lost: rng.pick([0, 20, 300]),
            repeated: rng.pick([0, 100]),
            jitter: rng.pick([0, 20, 300]),
        },
        _ => Wrong::Dead(node),
    };
    Fault { from, to, what }
}

fn host(rng: &mut Rng, n: usize, calm: u64) -> HostPlan {
    let comes = moment(rng, 100, calm / 2);
    let at = SocketAddr::new(IpAddr::from([203, 0, 113, n as u8]), 20_000 + 10 * n as u16);
    let changes = rng.permille(300).then(|| comes + rng.millis(1000..25_000));
    let leaves = rng.permille(300).then(|| comes + rng.millis(500..45_000));
    HostPlan { at, node: rng.index(NODES), comes, changes, leaves, shares: false }
}
