//! What all that take part have in common: the clock, chance, the nodes, and what is to happen.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use punchd::clock::Instant;
use punchd::dialect::ConnId;

use super::faults::{Faults, View};
use super::nodes::{Done, Nodes};
use super::plan::NODES;
use super::{events, gmnet, natpunch, rooms};
use crate::sim::rng::Rng;
use crate::sim::trace::{Trace, Who};

/// What happens.
#[derive(Clone, Debug)]
pub enum Event {
    /// A node begins to live.
    Start(usize),
    /// It dies.
    Kill(usize),
    /// A message of another node comes.
    Message(usize, Vec<u8>),
    /// To those who speak GMnet.
    Gmnet(gmnet::Event),
    /// To those in rooms.
    Rooms(rooms::Event),
    /// To those who speak events.
    Events(events::Event),
    /// To clients of natpunch.
    Natpunch(natpunch::Event),
}

/// What a node says, and what it hears, in the story of a run.
const SAYS: [&str; NODES] = ["0 says", "1 says", "2 says"];
const HEARS: [&str; NODES] = ["0 hears", "1 hears", "2 hears"];

/// What all that take part have in common.
#[derive(Debug)]
pub struct Stage {
    /// When it is.
    pub now: Instant,
    /// Chance.
    pub rng: Rng,
    /// The servers.
    pub nodes: Nodes,
    /// What goes wrong.
    pub faults: Faults,
    /// How long a message is under way between nodes.
    pub delay: Duration,
    /// What has happened.
    pub trace: Trace,
    /// What is to happen, in order: of what happens at one time, what was said first.
    events: BTreeMap<(Instant, u64), Event>,
    count: u64,
    /// What nodes have done and nobody has heard yet.
    done: VecDeque<Done>,
}

impl Stage {
    /// Nothing has happened.
    #[must_use]
    pub fn new(rng: Rng, nodes: Nodes, trace: Trace) -> Self {
        Self {
            now: Instant::default(),
            rng,
            nodes,
            faults: Faults::default(),
            delay: Duration::ZERO,
            trace,
            events: BTreeMap::new(),
            count: 0,
            done: VecDeque::new(),
        }
    }

    /// Something is to happen.
    pub fn at(&mut self, at: Instant, event: Event) {
        self.count += 1;
        self.events.insert((at, self.count), event);
    }

    /// Something is to happen so much later.
    pub fn after(&mut self, wait: Duration, event: Event) {
        self.at(self.now + wait, event);
    }

    /// When something happens next, with or without the nodes.
    #[must_use]
    pub fn next_time(&self) -> Option<Instant> {
        let next = self.events.first_key_value().map(|((at, _), _)| *at);
        next.into_iter().chain(self.nodes.next_wakeup()).min()
    }

    /// What happens now but for the nodes.
    pub fn pop(&mut self) -> Option<Event> {
        self.events.pop_first().map(|(_, event)| event)
    }

    /// What nodes have done.
    pub fn pop_done(&mut self) -> Option<Done> {
        let done = self.done.pop_front()?;
        match &done {
            Done::Said(node, conn, bytes) => {
                self.trace.note(self.now, says(*node), Who::Conn(*conn), bytes);
            }
            Done::Sent(node, to, bytes) => {
                self.trace.note(self.now, says(*node), Who::Peer(*to), bytes);
            }
            Done::Closed(node, conn) => {
                self.trace.note(self.now, says(*node), Who::Conn(*conn), b"(closed)");
            }
        }
        Some(done)
    }

    /// Wakes the nodes whose time has come.
    pub fn wake(&mut self) {
        let done = self.nodes.wake(self.now);
        self.done.extend(done);
    }

    /// Has on their way what nodes have to say to each other.
    pub fn post(&mut self) {
        let (now, delay) = (self.now, self.delay);
        for (to, at, bytes) in self.nodes.under_way(now, delay, &self.faults.all, &mut self.rng) {
            self.at(at, Event::Message(to, bytes));
        }
    }

    /// A message of another node comes.
    pub fn hear(&mut self, n: usize, bytes: &[u8]) {
        let done = self.nodes.hear(self.now, n, bytes);
        self.done.extend(done);
    }

    /// Something is worth to be told in the story of the run.
    pub fn note(&mut self, what: &'static str, text: &str) {
        self.trace.note(self.now, what, Who::Server, text.as_bytes());
    }

    /// How a node sees things now.
    #[must_use]
    pub const fn view(&self, viewer: usize) -> View<'_> {
        self.faults.view(viewer, self.now)
    }

    /// The node that somebody gets who wants this one.
    #[must_use]
    pub fn living(&self, wanted: usize) -> Option<usize> {
        (0..NODES).map(|n| (wanted + n) % NODES).find(|n| self.nodes.lives(*n))
    }

    /// A peer connects.
    pub fn open(&mut self, n: usize, peer: SocketAddr) -> Option<ConnId> {
        self.nodes.lives(n).then(|| self.nodes.open(self.now, n, peer))?
    }

    /// A peer sends something.
    pub fn send(&mut self, n: usize, conn: ConnId, bytes: &[u8]) {
        self.trace.note(self.now, hears(n), Who::Conn(conn), bytes);
        let done = self.nodes.send(self.now, n, conn, bytes);
        self.done.extend(done);
    }

    /// A peer's connection ends.
    pub fn end(&mut self, n: usize, conn: ConnId) {
        self.trace.note(self.now, hears(n), Who::Conn(conn), b"(gone)");
        let done = self.nodes.end(self.now, n, conn);
        self.done.extend(done);
    }

    /// A peer's datagram comes.
    pub fn datagram(&mut self, n: usize, peer: SocketAddr, data: &[u8]) {
        self.trace.note(self.now, hears(n), Who::Peer(peer), data);
        let done = self.nodes.datagram(self.now, n, peer, data);
        self.done.extend(done);
    }

    /// What a node answers at once on the connection of somebody who takes no part.
    pub fn ask_conn(&mut self, n: usize, conn: ConnId, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut answer = None;
        for done in self.nodes.send(self.now, n, conn, bytes) {
            match done {
                Done::Said(_, to, bytes) if to == conn => answer = Some(bytes),
                other => self.done.push_back(other),
            }
        }
        answer
    }

    /// What a node answers at once to a datagram of somebody who takes no part.
    pub fn ask(&mut self, n: usize, peer: SocketAddr, data: &[u8]) -> Option<Vec<u8>> {
        let mut answer = None;
        for done in self.nodes.datagram(self.now, n, peer, data) {
            match done {
                Done::Sent(_, to, bytes) if to == peer => answer = Some(bytes),
                other => self.done.push_back(other),
            }
        }
        answer
    }
}

fn says(n: usize) -> &'static str {
    SAYS.get(n).copied().unwrap_or_default()
}

fn hears(n: usize) -> &'static str {
    HEARS.get(n).copied().unwrap_or_default()
}
