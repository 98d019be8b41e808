//! A player, and how it asks until it is answered.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use punchd::clock::Instant;

use super::super::plan::NODES;
use super::super::stage::Stage;
use super::{Cast, Event};

/// A request is sent again so long after the last time.
const AGAIN: Duration = Duration::from_millis(500);

/// It is sent so many times in all, before another node is tried.
const TIMES: u32 = 8;

/// A place in a room.
#[derive(Clone, Debug)]
pub struct Place {
    /// The room.
    pub room: String,
    /// Its own ID.
    pub id: String,
    /// The key that it has got last.
    pub key: String,
    /// It is the host.
    pub is_host: bool,
    /// Where the host is, as far as it knows.
    pub host_at: Option<SocketAddr>,
}

/// Something that a player has asked and that is not answered yet.
#[derive(Clone, Debug)]
pub struct Asking {
    /// The whole request.
    pub text: String,
    /// How often it was sent.
    pub times: u32,
    /// When it was sent last.
    pub sent: Instant,
    /// What it was told of a room: its ID, and where its host is if it is not the player itself.
    pub room: Option<(String, Option<SocketAddr>)>,
    /// What it was told of itself: ID and key.
    pub own: Option<(String, String)>,
}

impl Asking {
    /// Whether it is a room of its own that it waits for.
    #[must_use]
    pub fn opens(&self) -> bool {
        self.verb() == "rh"
    }

    /// Its first field.
    #[must_use]
    pub fn verb(&self) -> &str {
        self.text.split(':').next().unwrap_or_default()
    }
}

/// A player.
#[derive(Debug)]
pub struct Player {
    /// All endpoints that it has had, the last one now.
    pub endpoints: Vec<SocketAddr>,
    /// The node that it speaks to.
    pub node: usize,
    /// When it has spoken to each node last.
    pub spoke: [Option<Instant>; NODES],
    /// Its place, as far as it knows.
    pub place: Option<Place>,
    /// What it has asked.
    pub asking: Option<Asking>,
    /// How often it has asked something.
    pub requests: u32,
    /// All rooms that it was ever in, or has asked to be in.
    pub rooms: BTreeSet<String>,
    /// Whom it was told of as a host, by ID.
    pub clients: BTreeMap<String, SocketAddr>,
    /// It has asked for its room again, since its ID was not known.
    pub looks_for_place: u32,
    /// It does nothing more.
    pub has_left: bool,
}

impl Player {
    /// One that has done nothing. No two are in one network.
    #[must_use]
    pub fn new(n: usize, node: usize) -> Self {
        Self {
            endpoints: vec![SocketAddr::from(([198, 18, n as u8, 1], 40_000 + 100 * n as u16))],
            node,
            spoke: [None; NODES],
            place: None,
            asking: None,
            requests: 0,
            rooms: BTreeSet::new(),
            clients: BTreeMap::new(),
            looks_for_place: 0,
            has_left: false,
        }
    }

    /// Whether it is, or was, at this endpoint.
    #[must_use]
    pub fn is_at(&self, at: SocketAddr) -> bool {
        self.endpoints.contains(&at)
    }

    /// Where it is.
    #[must_use]
    pub fn at(&self) -> SocketAddr {
        self.endpoints.last().copied().unwrap_or_else(|| SocketAddr::from(([0; 4], 0)))
    }
}

impl Cast {
    /// A player asks for something, until it is answered.
    pub(super) fn ask(&mut self, stage: &mut Stage, n: usize, text: String) {
        let Some(player) = self.players.get_mut(n) else { return };
        player.requests += 1;
        player.asking = Some(Asking { text, times: 0, sent: stage.now, room: None, own: None });
        self.send(stage, n);
    }

    fn send(&mut self, stage: &mut Stage, n: usize) {
        let Some(player) = self.players.get_mut(n) else { return };
        let Some(asking) = &mut player.asking else { return };
        asking.times += 1;
        asking.sent = stage.now;
        let text = asking.text.clone();
        // It may be in one before it is told so, also in one that is new since it has asked first.
        let names = |id: &String, room: &super::book::Room| {
            let names = |name: &str| name == id || room.code.as_deref() == Some(name);
            text == "qj" || text.starts_with("jr:") && text.split(':').nth(1).is_some_and(names)
        };
        let rooms = self.book.rooms.iter().filter(|(id, room)| names(id, room));
        player.rooms.extend(rooms.map(|(id, _)| id.clone()));
        let (at, request) = (player.at(), player.requests);
        stage.after(AGAIN, Event::Again(n, request).into());
        if stage.nodes.lives(player.node) {
            if let Some(spoke) = player.spoke.get_mut(player.node) {
                *spoke = Some(stage.now);
            }
            stage.datagram(player.node, at, text.as_bytes());
        }
    }

    /// A player has no answer yet: it asks once more, or another node.
    pub(super) fn ask_again(&mut self, stage: &mut Stage, n: usize, request: u32) {
        let Some(player) = self.players.get_mut(n) else { return };
        let Some(asking) = player.asking.as_mut().filter(|_| player.requests == request) else {
            return;
        };
        if asking.times < TIMES {
            return self.send(stage, n);
        }
        // A node that lives has asked another one, whose answer is still under way.
        self.is_unsure |= asking.opens() && stage.nodes.lives(player.node);
        player.asking = None;
        let before = player.node;
        let others = before + 1 + stage.rng.index(NODES - 1);
        if let Some(node) = stage.living(others % NODES) {
            self.move_to(stage, n, node);
        }
    }

    /// A player speaks to another node from now on, and takes its place along.
    pub(super) fn move_to(&mut self, stage: &mut Stage, n: usize, node: usize) {
        let Some(player) = self.players.get_mut(n) else { return };
        player.node = node;
        player.looks_for_place = 0;
        if let Some(Place { id, key, .. }) = &player.place {
            let text = format!("rc:{id}:{key}");
            self.ask(stage, n, text);
        }
    }
}
