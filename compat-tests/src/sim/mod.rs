//! The server in a made-up network with a made-up clock: seeded schedules of hosts, clients and
//! rogues behind NATs, with loss, delay, reordering, duplication and connections that die at any
//! byte, while others speak other dialects in between. The real server runs, but for its sockets;
//! after every step the promises to GMnet's peers are checked. The same seed gives the same
//! schedule, so what was seen once can be seen again.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`plan`] | what a seed stands for |
//! | [`network`], [`link`], [`nat`] | what carries the packets |
//! | [`peers`] | who sends them |
//! | [`promises`] | what the server must do about them |
//! | [`restarts`] | how the server goes on in another process |
//! | [`world`] | one schedule, step by step |
//! | [`cluster`] | several servers that are one |
//! | [`rng`], [`trace`], [`wire`] | chance, record, bytes |

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use punchd::clock::{Instant, Now};
use punchd::dialect::gmnet;
use punchd::dialect::{ConnId, Outbox, Via};
use punchd::server::{Config, Server};

pub mod cluster;
pub mod link;
pub mod nat;
pub mod network;
pub mod peers;
pub mod plan;
pub mod promises;
pub mod relayed;
pub mod restarts;
pub mod rng;
pub mod siege;
pub mod trace;
pub mod wire;
pub mod world;

use promises::Violation;
use restarts::{Restarting, Restarts};
use trace::Trace;
use world::Sim;

/// What came of one or more schedules in which every promise was kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// How many schedules.
    pub schedules: u64,
    /// Things that happened.
    pub steps: u64,
    /// Clients that were told where a host is.
    pub introductions: u64,
    /// Clients that were told that there is no such host.
    pub not_found: u64,
    /// Hosts that were told of a client.
    pub notifications: u64,
    /// Clients that got through to a host.
    pub joined: u64,
    /// Datagrams that were sent to peers of other dialects.
    pub to_others: u64,
    /// Time that passed for the peers.
    pub simulated: Duration,
    /// A number that is the same only if everything was.
    pub trace: u64,
}

impl Summary {
    /// Adds the figures of more schedules.
    pub fn add(&mut self, more: &Self) {
        self.schedules += more.schedules;
        self.steps += more.steps;
        self.introductions += more.introductions;
        self.not_found += more.not_found;
        self.notifications += more.notifications;
        self.joined += more.joined;
        self.to_others += more.to_others;
        self.simulated += more.simulated;
        self.trace = self.trace.rotate_left(1) ^ more.trace;
    }
}

/// A schedule in which a promise was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure<P = promises::Promise> {
    /// Its seed.
    pub seed: u64,
    /// When.
    pub at: Instant,
    /// What.
    pub violation: Violation<P>,
}

impl<P: fmt::Debug> fmt::Display for Failure<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = Duration::from_micros(self.at.micros()).as_secs_f64();
        write!(f, "seed {} after {seconds:.6} s: {}", self.seed, self.violation)
    }
}

impl<P: fmt::Debug> std::error::Error for Failure<P> {}

/// The server of a seed: mostly the usual one, in some with options.
#[must_use]
pub fn config(seed: u64) -> gmnet::Config {
    gmnet::Config {
        lobby_ports: seed % 4 == 1,
        public_ips: if seed % 8 == 3 { network::MASTER.ip().into() } else { Default::default() },
        // Half of them ask hosts for their ports.
        sockets: if seed.is_multiple_of(2) { vec![network::MASTER] } else { Vec::new() },
        ..gmnet::Config::default()
    }
}

/// What the simulation drives: the server, or what seems to be it.
pub trait Serves: std::fmt::Debug {
    /// A peer has connected, whose SYN came at `began`.
    fn on_accept(
        &mut self,
        now: Now,
        began: Instant,
        conn: ConnId,
        peer: SocketAddr,
        out: &mut Outbox,
    );

    /// Bytes arrived on a connection.
    fn on_bytes(&mut self, now: Now, conn: ConnId, bytes: &[u8], out: &mut Outbox);

    /// A peer will send nothing more.
    fn on_fin(&mut self, now: Now, conn: ConnId, out: &mut Outbox);

    /// A connection is gone.
    fn on_gone(&mut self, now: Now, conn: ConnId, out: &mut Outbox);

    /// A datagram arrived.
    fn on_datagram(&mut self, now: Now, via: Via, peer: SocketAddr, data: &[u8], out: &mut Outbox);

    /// It may be time for something.
    fn on_wakeup(&mut self, now: Now, out: &mut Outbox);

    /// When it wants to be woken.
    fn next_wakeup(&self) -> Option<Instant>;

    /// The server is about to stop.
    fn on_shutdown(&mut self, now: Now, out: &mut Outbox);

    /// Whether a peer is still owed something.
    fn owes(&self) -> bool;
}

impl Serves for Server {
    fn on_accept(
        &mut self,
        now: Now,
        began: Instant,
        conn: ConnId,
        peer: SocketAddr,
        out: &mut Outbox,
    ) {
        Self::on_accept(self, now, || began, conn, peer, out);
    }

    fn on_bytes(&mut self, now: Now, conn: ConnId, bytes: &[u8], out: &mut Outbox) {
        Self::on_bytes(self, now, conn, bytes, out);
    }

    fn on_fin(&mut self, now: Now, conn: ConnId, out: &mut Outbox) {
        Self::on_fin(self, now, conn, out);
    }

    fn on_gone(&mut self, now: Now, conn: ConnId, out: &mut Outbox) {
        Self::on_gone(self, now, conn, out);
    }

    fn on_datagram(&mut self, now: Now, via: Via, peer: SocketAddr, data: &[u8], out: &mut Outbox) {
        Self::on_datagram(self, now, via, peer, data, out);
    }

    fn on_wakeup(&mut self, now: Now, out: &mut Outbox) {
        Self::on_wakeup(self, now, out);
    }

    fn next_wakeup(&self) -> Option<Instant> {
        Self::next_wakeup(self)
    }

    fn on_shutdown(&mut self, now: Now, out: &mut Outbox) {
        Self::on_shutdown(self, now, out);
    }

    fn owes(&self) -> bool {
        Self::owes(self)
    }
}

/// A server with all dialects.
#[must_use]
pub fn server(gmnet: gmnet::Config) -> Server {
    Server::new(Config { gmnet, ..Config::default() })
}

fn restarting(seed: u64) -> Restarting {
    let config = Config { gmnet: config(seed), ..Config::default() };
    Restarting::new(Restarts::any(seed, config, 20))
}

/// Runs the schedule of a seed.
///
/// # Errors
/// With the first promise that is broken.
pub fn run(seed: u64) -> Result<Summary, Failure> {
    run_server(seed, restarting(seed), false).0
}

/// Runs the schedule of a seed and writes down what happens.
pub fn run_traced(seed: u64) -> (Result<Summary, Failure>, Trace) {
    run_server(seed, restarting(seed), true)
}

/// Runs the schedule of a seed with what is, or seems to be, the server with its configuration.
pub fn run_server<D: Serves>(
    seed: u64,
    server: D,
    text: bool,
) -> (Result<Summary, Failure>, Trace) {
    let mut sim = Sim::new(seed, server, &config(seed), Trace::new(text));
    let kept = sim.run();
    let failure = |violation| Failure { seed, at: sim.time(), violation };
    let result = kept.map_err(failure).map(|()| sim.summary());
    (result, sim.into_trace())
}
