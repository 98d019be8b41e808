//! The server in a made-up network with a made-up clock: seeded schedules of hosts, clients and
//! rogues behind NATs, with loss, delay, reordering, duplication and connections that die at any
//! byte. The real dialect runs; after every step its promises are checked. The same seed gives
//! the same schedule, so what was seen once can be seen again.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`plan`] | what a seed stands for |
//! | [`network`], [`link`], [`nat`] | what carries the packets |
//! | [`peers`] | who sends them |
//! | [`promises`] | what the server must do about them |
//! | [`world`] | one schedule, step by step |
//! | [`rng`], [`trace`], [`wire`] | chance, record, bytes |

use std::fmt;
use std::time::Duration;

use punchd::clock::Instant;
use punchd::dialect::Dialect;
use punchd::dialect::gmnet::{Config, Gmnet};

pub mod link;
pub mod nat;
pub mod network;
pub mod peers;
pub mod plan;
pub mod promises;
pub mod rng;
pub mod trace;
pub mod wire;
pub mod world;

use promises::Violation;
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
        self.simulated += more.simulated;
        self.trace = self.trace.rotate_left(1) ^ more.trace;
    }
}

/// A schedule in which a promise was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Its seed.
    pub seed: u64,
    /// When.
    pub at: Instant,
    /// What.
    pub violation: Violation,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = Duration::from_micros(self.at.micros()).as_secs_f64();
        write!(f, "seed {} after {seconds:.6} s: {}", self.seed, self.violation)
    }
}

impl std::error::Error for Failure {}

/// Runs the schedule of a seed.
///
/// # Errors
/// With the first promise that is broken.
pub fn run(seed: u64) -> Result<Summary, Failure> {
    run_dialect(seed, Gmnet::new(Config::default()), false).0
}

/// Runs the schedule of a seed and writes down what happens.
pub fn run_traced(seed: u64) -> (Result<Summary, Failure>, Trace) {
    run_dialect(seed, Gmnet::new(Config::default()), true)
}

/// Runs the schedule of a seed with a dialect that is, or seems to be, GMnet's with its default
/// configuration.
pub fn run_dialect<D: Dialect>(
    seed: u64,
    dialect: D,
    text: bool,
) -> (Result<Summary, Failure>, Trace) {
    let mut sim = Sim::new(seed, dialect, Config::default().notify_gap, Trace::new(text));
    let kept = sim.run();
    let failure = |violation| Failure { seed, at: sim.time(), violation };
    let result = kept.map_err(failure).map(|()| sim.summary());
    (result, sim.into_trace())
}
