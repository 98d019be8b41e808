//! The servers, and the messages that are under way between them.

use std::net::SocketAddr;
use std::time::Duration;

use punchd::clock::{Instant, Now};
use punchd::cluster;
use punchd::dialect::{ConnId, Name, Outbox, Output, Via};
use punchd::server::{Config, Server};

use super::faults::{Fault, Wrong};
use super::plan::NODES;
use crate::sim::rng::Rng;

/// The servers' clocks start on this day.
const EPOCH: u64 = 1_700_000_000;

/// Who is in a room and says nothing for so long is gone: no time in which nodes do not hear each other is as long.
pub const ROOM_SILENCE: Duration = Duration::from_secs(20);

/// Something that is wrong, to see that it is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    /// Nothing is.
    None,
    /// Nodes hear nothing of each other.
    Deaf,
    /// The dead go on saying that they are there.
    Undead,
    /// Nobody asks for what is lost.
    NeverAgain,
}

/// A server, if it lives.
#[derive(Debug)]
pub struct Node {
    /// The server.
    pub server: Option<Server>,
    /// Who looks at its lobby.
    pub observer: Option<ConnId>,
    connections: u32,
    incarnation: u64,
    /// The last time that it has said that it is there.
    hello: Vec<u8>,
}

/// What a server has done for a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// It has written this.
    Said(usize, ConnId, Vec<u8>),
    /// It has sent this datagram.
    Sent(usize, SocketAddr, Vec<u8>),
    /// It has ended the connection.
    Closed(usize, ConnId),
}

/// A message that is under way: to which node, when it comes, and what it is.
pub type UnderWay = (usize, Instant, Vec<u8>);

/// All nodes.
#[derive(Debug)]
pub struct Nodes {
    nodes: Vec<Node>,
    defect: Defect,
    /// How many messages there were between them, and bytes.
    pub sent: (u64, u64),
}

/// What a node is called.
fn name(n: usize) -> String {
    format!("node-{n}")
}

/// When it is, by both clocks.
pub fn now(instant: Instant) -> Now {
    Now { instant, unix: EPOCH + instant.micros() / 1_000_000 }
}

impl Nodes {
    /// All of them live.
    #[must_use]
    pub fn new(defect: Defect) -> Self {
        let dead = || Node {
            server: None,
            observer: None,
            connections: 0,
            incarnation: 0,
            hello: Vec::new(),
        };
        let nodes = (0..NODES).map(|_| dead()).collect();
        Self { nodes, defect, sent: (0, 0) }
    }

    /// Starts a node.
    pub fn start(&mut self, n: usize) {
        let Some(node) = self.nodes.get_mut(n) else { return };
        node.incarnation += 1;
        let cluster = cluster::Config { name: name(n), incarnation: node.incarnation };
        let dialects = vec![Name::Gmnet, Name::Rooms, Name::Events, Name::Natpunch];
        // IDs of rooms and peers differ.
        let mut seed = [n as u8; 32];
        seed.iter_mut().zip(node.incarnation.to_le_bytes()).for_each(|(to, from)| *to = from);
        let mut config = Config { dialects, seed, cluster: Some(cluster), ..Config::default() };
        config.rooms.silence = ROOM_SILENCE;
        (node.server, node.observer) = (Some(Server::new(config)), None);
    }

    /// A node dies without a word.
    pub fn kill(&mut self, n: usize) {
        if let Some(node) = self.nodes.get_mut(n) {
            (node.server, node.observer) = (None, None);
        }
    }

    /// Whether a node lives.
    #[must_use]
    pub fn lives(&self, n: usize) -> bool {
        self.nodes.get(n).is_some_and(|node| node.server.is_some())
    }

    /// What a node keeps of peers, if it is anything.
    #[must_use]
    pub fn kept(&self, n: usize) -> Vec<(&'static str, usize)> {
        let mut all = Vec::new();
        if let Some(server) = self.nodes.get(n).and_then(|node| node.server.as_ref()) {
            server.kept(&mut |what, entries| all.push((what, entries)));
        }
        all.retain(|(_, entries)| *entries > 0);
        all
    }

    /// When one of them wants to be woken.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Instant> {
        self.nodes.iter().filter_map(|node| node.server.as_ref()?.next_wakeup()).min()
    }

    /// Wakes those whose time has come.
    pub fn wake(&mut self, at: Instant) -> Vec<Done> {
        let mut done = Vec::new();
        for n in 0..NODES {
            let is_due = |server: &Server| server.next_wakeup().is_some_and(|due| due <= at);
            if self.nodes.get(n).and_then(|node| node.server.as_ref()).is_some_and(is_due) {
                done.extend(self.with(n, |server, out| server.on_wakeup(now(at), out)));
            }
        }
        done
    }

    fn with(&mut self, n: usize, act: impl FnOnce(&mut Server, &mut Outbox)) -> Vec<Done> {
        let server = self.nodes.get_mut(n).and_then(|node| node.server.as_mut());
        let (Some(server), mut out) = (server, Outbox::new()) else { return Vec::new() };
        act(server, &mut out);
        let done = out.outputs().map(|output| match output {
            Output::Tcp(conn, bytes) => Done::Said(n, conn, bytes.to_vec()),
            Output::Close(conn) => Done::Closed(n, conn),
            Output::Udp(_, to, bytes) => Done::Sent(n, to, bytes.to_vec()),
        });
        done.collect()
    }

    /// A peer connects.
    pub fn open(&mut self, at: Instant, n: usize, peer: SocketAddr) -> Option<ConnId> {
        let node = self.nodes.get_mut(n)?;
        node.connections += 1;
        let conn = ConnId { slot: node.connections, generation: node.connections };
        self.with(n, |server, out| server.on_accept(now(at), || at, conn, peer, out));
        Some(conn)
    }

    /// A peer sends something.
    pub fn send(&mut self, at: Instant, n: usize, conn: ConnId, bytes: &[u8]) -> Vec<Done> {
        self.with(n, |server, out| server.on_bytes(now(at), conn, bytes, out))
    }

    /// A peer's connection ends.
    pub fn end(&mut self, at: Instant, n: usize, conn: ConnId) -> Vec<Done> {
        self.with(n, |server, out| server.on_gone(now(at), conn, out))
    }

    /// A peer's datagram comes.
    pub fn datagram(&mut self, at: Instant, n: usize, peer: SocketAddr, data: &[u8]) -> Vec<Done> {
        let via = Via::default();
        self.with(n, |server, out| server.on_datagram(now(at), via, peer, data, out))
    }

    /// A message of another node comes.
    pub fn hear(&mut self, at: Instant, n: usize, bytes: &[u8]) -> Vec<Done> {
        self.with(n, |server, out| server.on_node_bytes(now(at), bytes, out))
    }

    /// Looks at the lobby of a node.
    pub fn look(&mut self, at: Instant, n: usize, request: &[u8]) -> Option<Vec<u8>> {
        let peer = SocketAddr::from(([192, 0, 2, 250], 1000 + n as u16));
        let observer = match self.nodes.get(n)?.observer {
            Some(observer) => observer,
            None => {
                let observer = self.open(at, n, peer)?;
                self.nodes.get_mut(n)?.observer = Some(observer);
                observer
            }
        };
        self.send(at, n, observer, request).into_iter().find_map(|done| match done {
            Done::Said(_, conn, bytes) if conn == observer => Some(bytes),
            _ => None,
        })
    }

    /// What the nodes have sent to each other, and when it comes, if it does.
    pub fn under_way(
        &mut self,
        at: Instant,
        delay: Duration,
        faults: &[Fault],
        rng: &mut Rng,
    ) -> Vec<UnderWay> {
        let mut all = Vec::new();
        for from in 0..NODES {
            let Some(node) = self.nodes.get_mut(from) else { continue };
            let mut posts = node.server.as_mut().map(Server::take_outbound).unwrap_or_default();
            if let Some(hello) = posts.iter().find(|post| post.to.is_none()) {
                node.hello = hello.bytes.clone();
            }
            if self.defect == Defect::NeverAgain {
                // The name of that message, behind its own name and incarnation.
                posts.retain(|post| !post.bytes.windows(4).any(|part| part == b"w\xa1\x61a"));
            }
            for post in posts {
                for to in (0..NODES).filter(|to| *to != from && self.defect != Defect::Deaf) {
                    if post.to.as_ref().is_some_and(|whom| **whom != *name(to)) {
                        continue;
                    }
                    self.sent = (self.sent.0 + 1, self.sent.1 + post.bytes.len() as u64);
                    for late in carried(at, (from, to), faults, rng) {
                        let comes = at + delay + late;
                        all.push((to, comes, post.bytes.clone()));
                    }
                }
            }
        }
        all
    }

    /// What the dead say, with this defect.
    pub fn undead(&self, n: usize, times: u8) -> Option<Vec<u8>> {
        let node = self.nodes.get(n).filter(|_| self.defect == Defect::Undead)?;
        let mut hello = node.hello.clone();
        // A higher count: it is the last number in it.
        *hello.last_mut()? = 100 + times % 27;
        Some(hello)
    }
}

/// By how much later than usual a message from one node to the other comes, each time that it does.
fn carried(
    at: Instant,
    (from, to): (usize, usize),
    faults: &[Fault],
    rng: &mut Rng,
) -> Vec<Duration> {
    let mut times = vec![Duration::ZERO];
    let mut is_storm = false;
    for fault in faults.iter().filter(|fault| fault.from <= at && at < fault.to) {
        // One storm at a time is more than NATS ever does.
        if matches!(fault.what, Wrong::Storm { .. }) && std::mem::replace(&mut is_storm, true) {
            continue;
        }
        match fault.what {
            Wrong::Cut(a, b) if (a, b) == (from, to) => times.clear(),
            Wrong::Alone(n) if n == from || n == to => times.clear(),
            Wrong::Storm { lost, .. } if rng.permille(lost) => times.clear(),
            Wrong::Storm { repeated, jitter, .. } => {
                times.iter_mut().for_each(|late| *late += rng.millis(0..jitter));
                if rng.permille(repeated) && !times.is_empty() {
                    times.push(rng.millis(0..1500));
                }
            }
            Wrong::Cut(..) | Wrong::Alone(_) | Wrong::Dead(_) => {}
        }
    }
    times
}
