//! The relay and its plan as a whole: hosts and clients of GMnet behind NATs of all kinds, a real server
//! and the real relay, each but for its sockets, and between them the messages that two threads would
//! pass, with delay. Adversaries send to every port of the pool, from anywhere and in the name of players.
//! After every step what is promised is checked. The same seed gives the same run.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`plan`] | what a seed stands for |
//! | [`network`] | what carries packets and bytes |
//! | [`host`], [`client`], [`meddlers`] | who sends them |
//! | [`world`] | one run, step by step |
//! | [`promises`] | what the two halves must do about them |

use std::fmt;
use std::time::Duration;

use super::trace::Trace;

mod client;
mod halves;
mod host;
mod meddlers;
mod network;
mod plan;
mod players;
pub mod promises;
mod world;

use world::World;

/// What came of one or more seeds in which every promise was kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// How many seeds.
    pub seeds: u64,
    /// Things that happened.
    pub steps: u64,
    /// Clients that were told where a host is.
    pub direct: u64,
    /// Clients that were told of the relay.
    pub relayed: u64,
    /// Those of them who had to be told at once.
    pub at_once: u64,
    /// Those of them of whom the host was told in an earlier turn, or in the same one.
    pub host_first: u64,
    /// Those who were kept from it by a bound.
    pub refused: u64,
    /// Sessions in which packets went both ways.
    pub connected: u64,
    /// Sessions of which that was promised.
    pub promised: u64,
    /// Sessions that were over as one side sent nothing at all, or nothing more, as they were used up, or as
    /// others needed them more.
    pub ended: [u64; 4],
    /// Datagrams that came to the relay.
    pub arrived: u64,
    /// Those of them that nobody may get.
    pub meddled: u64,
    /// Datagrams that it sent.
    pub sent: u64,
    /// Those that it dropped as a bound was reached.
    pub over: u64,
    /// Datagrams that came to the other port of the server, where hosts knock whose NAT seems to count.
    pub at_other_port: u64,
    /// Time that passed for the players.
    pub simulated: Duration,
    /// A number that is the same only if everything was.
    pub trace: u64,
}

impl Summary {
    /// Adds the figures of more seeds.
    pub fn add(&mut self, more: &Self) {
        self.seeds += more.seeds;
        self.steps += more.steps;
        self.direct += more.direct;
        self.relayed += more.relayed;
        self.at_once += more.at_once;
        self.host_first += more.host_first;
        self.refused += more.refused;
        self.connected += more.connected;
        self.promised += more.promised;
        self.ended.iter_mut().zip(more.ended).for_each(|(sum, more)| *sum += more);
        self.arrived += more.arrived;
        self.meddled += more.meddled;
        self.at_other_port += more.at_other_port;
        self.sent += more.sent;
        self.over += more.over;
        self.simulated += more.simulated;
        self.trace = self.trace.rotate_left(1) ^ more.trace;
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [unanswered, idle, used_up, gave_way] = self.ended;
        write!(
            f,
            "{} seeds, {} steps, {:.1} hours of simulated time: {} told directly, {} of the relay, {} of \
             them at once, {} not for a bound; {} sessions went both ways, as was promised of {}; they were \
             over unanswered: {unanswered}, idle: {idle}, used up: {used_up}, for others: {gave_way}; {} datagrams came to the \
             relay, {} of them from strangers, {} left; every promise kept",
            self.seeds,
            self.steps,
            self.simulated.as_secs_f64() / 3600.0,
            self.direct,
            self.relayed,
            self.at_once,
            self.refused,
            self.connected,
            self.promised,
            self.arrived,
            self.meddled,
            self.sent
        )
    }
}

/// A run in which a promise was broken.
pub type Failure = super::Failure<promises::Promise>;

/// Runs a seed.
///
/// # Errors
/// With the first promise that is broken.
pub fn run(seed: u64) -> Result<Summary, Failure> {
    run_noting(seed, false).0
}

/// Runs a seed and writes down what happens.
pub fn run_traced(seed: u64) -> (Result<Summary, Failure>, Trace) {
    run_noting(seed, true)
}

fn run_noting(seed: u64, text: bool) -> (Result<Summary, Failure>, Trace) {
    let mut world = World::new(seed, Trace::new(text));
    let kept = world.run();
    let failure = |violation| Failure { seed, at: world.time(), violation };
    let result = kept.map_err(failure).map(|()| world.summary());
    (result, world.into_trace())
}
