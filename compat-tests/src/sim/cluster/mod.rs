//! Several servers that are one, in a made-up network with a made-up clock: nodes that die and come back, links
//! between them that are cut, lose, repeat or delay messages, hosts that move to another node when theirs dies, and
//! clients that ask anywhere. The real servers run, but for their sockets.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`plan`] | what a seed stands for |
//! | [`world`] | one schedule, step by step |
//! | [`nodes`] | the servers, and what is under way between them |
//! | `peers` | who hosts and who joins |
//! | [`book`] | what has happened, and the promises |

pub mod book;
pub mod nodes;
mod peers;
pub mod plan;
pub mod world;

use std::fmt;

use world::World;

/// What came of schedules in which every promise was kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// How many schedules.
    pub schedules: u64,
    /// Things that happened.
    pub steps: u64,
    /// Looks at the lobby of a node.
    pub looks: u64,
    /// Hosts that had to be in a lobby, and were.
    pub listed: u64,
    /// The same of hosts of another node.
    pub listed_elsewhere: u64,
    /// Clients that had to be introduced, and were.
    pub introduced: u64,
    /// The same to hosts of another node.
    pub introduced_elsewhere: u64,
    /// Clients that were told something although nothing was sure.
    pub answered: u64,
    /// Nodes that died.
    pub deaths: u64,
    /// Hosts that came to another node.
    pub moved: u64,
    /// Messages between nodes, and their bytes.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// A number that is the same only if everything was.
    pub trace: u64,
}

impl Summary {
    /// Adds the figures of more schedules.
    pub fn add(&mut self, more: &Self) {
        self.schedules += more.schedules;
        self.steps += more.steps;
        self.looks += more.looks;
        self.listed += more.listed;
        self.listed_elsewhere += more.listed_elsewhere;
        self.introduced += more.introduced;
        self.introduced_elsewhere += more.introduced_elsewhere;
        self.answered += more.answered;
        self.deaths += more.deaths;
        self.moved += more.moved;
        self.messages += more.messages;
        self.bytes += more.bytes;
        self.trace = self.trace.rotate_left(1) ^ more.trace;
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} schedules, {} steps: {} looks at lobbies that had {} hosts, {} of them at other nodes; {} clients \
             introduced, {} of them to other nodes; {} nodes died, {} hosts moved; {} messages between nodes, {} \
             bytes; every promise kept",
            self.schedules,
            self.steps,
            self.looks,
            self.listed,
            self.listed_elsewhere,
            self.introduced,
            self.introduced_elsewhere,
            self.deaths,
            self.moved,
            self.messages,
            self.bytes
        )
    }
}

/// Runs the schedule of a seed.
///
/// # Errors
/// With the first promise that is broken.
pub fn run(seed: u64) -> Result<Summary, String> {
    run_with(seed, nodes::Defect::None)
}

/// The same with something wrong, which has to be noticed.
///
/// # Errors
/// With the first promise that is broken.
pub fn run_with(seed: u64, defect: nodes::Defect) -> Result<Summary, String> {
    let mut world = World::new(seed, defect);
    let kept = world.run();
    let at = world.seconds();
    kept.map_err(|what| format!("seed {seed} after {at:.3} s: {what}"))?;
    Ok(world.summary())
}
