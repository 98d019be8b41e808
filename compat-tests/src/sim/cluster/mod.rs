//! Several servers that are one, in a made-up network with a made-up clock: nodes that die and come back, links
//! between them that are cut, lose, repeat or delay messages, hosts that move to another node when theirs dies, and
//! clients that ask anywhere. The real servers run, but for their sockets.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`plan`] | what a seed stands for |
//! | [`world`] | one schedule, step by step |
//! | [`stage`] | what all that take part have in common |
//! | [`nodes`] | the servers, and what is under way between them |
//! | [`faults`] | what goes wrong, and what nodes know all the same |
//! | [`gmnet`] | hosts and clients, and what they are promised |
//! | [`rooms`] | players of rooms, and what they are promised |
//! | [`events`] | peers of events, and what they are promised |
//! | [`natpunch`] | clients of natpunch, and what they are promised |
//! | [`lists`] | what lists of rooms have, whoever asks |

pub mod events;
pub mod faults;
pub mod gmnet;
pub mod lists;
pub mod natpunch;
pub mod nodes;
pub mod plan;
pub mod rooms;
pub mod stage;
pub mod world;

use std::fmt;

use crate::sim::trace::Trace;
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
    /// Looks at lists of rooms.
    pub room_looks: u64,
    /// Rooms that had to be in a list, and were.
    pub rooms_listed: u64,
    /// The same of rooms of another node.
    pub rooms_listed_elsewhere: u64,
    /// Clients that were in a room of another node when all was quiet, and had met its host.
    pub members_elsewhere: u64,
    /// Peers of events that had their places again.
    pub resumed: u64,
    /// What peers of events said to each other and had to arrive, and did.
    pub passed: u64,
    /// The same between two nodes.
    pub passed_elsewhere: u64,
    /// Requests of peers of events that were answered in time, by whomever.
    pub answered_in_time: u64,
    /// Pairs of members of one room that were introduced to each other when all was quiet.
    pub pairs: u64,
    /// Lobbies of natpunch that had to be in a list, and were.
    pub lobbies_listed: u64,
    /// The same of lobbies of another node.
    pub lobbies_listed_elsewhere: u64,
    /// Clients of natpunch that came into a lobby.
    pub joined: u64,
    /// The same of a lobby of another node.
    pub joined_elsewhere: u64,
    /// Pairs of members of one lobby who knew where the other was when all was quiet.
    pub lobby_pairs: u64,
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
        self.room_looks += more.room_looks;
        self.rooms_listed += more.rooms_listed;
        self.rooms_listed_elsewhere += more.rooms_listed_elsewhere;
        self.members_elsewhere += more.members_elsewhere;
        self.resumed += more.resumed;
        self.passed += more.passed;
        self.passed_elsewhere += more.passed_elsewhere;
        self.answered_in_time += more.answered_in_time;
        self.pairs += more.pairs;
        self.lobbies_listed += more.lobbies_listed;
        self.lobbies_listed_elsewhere += more.lobbies_listed_elsewhere;
        self.joined += more.joined;
        self.joined_elsewhere += more.joined_elsewhere;
        self.lobby_pairs += more.lobby_pairs;
        self.messages += more.messages;
        self.bytes += more.bytes;
        self.trace = self.trace.rotate_left(1) ^ more.trace;
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { schedules, steps, looks, listed, listed_elsewhere, .. } = self;
        let Self { introduced, introduced_elsewhere, deaths, moved, .. } = self;
        let Self { room_looks, rooms_listed, rooms_listed_elsewhere, members_elsewhere, .. } = self;
        let Self { resumed, passed, passed_elsewhere, answered_in_time, pairs, .. } = self;
        let Self { lobbies_listed, lobbies_listed_elsewhere, .. } = self;
        let Self { joined, joined_elsewhere, lobby_pairs, messages, bytes, .. } = self;
        write!(
            f,
            "{schedules} schedules, {steps} steps, {deaths} nodes died; GMnet: {looks} looks at lobbies that had {listed} \
             hosts, {listed_elsewhere} of them at other nodes, {introduced} clients introduced, {introduced_elsewhere} of \
             them to other nodes, {moved} hosts moved; rooms and events: {room_looks} looks at lists that had \
             {rooms_listed} rooms, {rooms_listed_elsewhere} of them at other nodes; rooms: {members_elsewhere} clients at \
             other nodes than their rooms; events: {passed} passes arrived, {passed_elsewhere} of them from another \
             node, {answered_in_time} requests answered, {pairs} pairs introduced, {resumed} peers resumed; \
             natpunch: lists had {lobbies_listed} lobbies, {lobbies_listed_elsewhere} of them at other nodes, {joined} \
             clients joined, {joined_elsewhere} of them at other nodes, {lobby_pairs} pairs introduced; {messages} \
             messages between nodes, {bytes} bytes; every promise kept"
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
    run_noting(seed, defect, false).0
}

/// Runs the schedule of a seed and writes down what happens.
pub fn run_traced(seed: u64) -> (Result<Summary, String>, Trace) {
    run_noting(seed, nodes::Defect::None, true)
}

fn run_noting(seed: u64, defect: nodes::Defect, text: bool) -> (Result<Summary, String>, Trace) {
    let mut world = World::new(seed, defect, Trace::new(text));
    let kept = world.run();
    let at = world.seconds();
    let result = kept.map_err(|what| format!("seed {seed} after {at:.3} s: {what}"));
    (result.map(|()| world.summary()), world.into_trace())
}
