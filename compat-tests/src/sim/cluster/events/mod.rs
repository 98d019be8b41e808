//! Peers of events: they log in at any node, say things to each other, make and join rooms, lose their connections and
//! come back, to the same node or another one.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`peer`] | a peer, and what it waits for |
//! | `connecting` | how peers come and go |
//! | `acting` | what they do next |
//! | `hearing` | what they are told |
//! | `answers` | what comes of their requests |
//! | `members` | what they are told of rooms |
//! | [`passes`] | what peers say to each other, and what has to arrive |
//! | `quiet` | what has to be so when nothing has happened for a while |

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use punchd::clock::Instant;
use punchd::dialect::ConnId;
use serde_json::{Value, json};

use super::Summary;
use super::lists::{Entry, Lists};
use super::nodes::Done;
use super::plan::{BUSY, LEAVE, NODES, QUIET, moment};
use super::stage::{self, Stage};
use passes::Passes;
use peer::Peer;

mod acting;
mod answers;
mod connecting;
mod hearing;
mod members;
pub mod passes;
pub mod peer;
mod quiet;

/// How often lists are looked at.
const LOOK: Duration = Duration::from_millis(500);

/// What happens.
#[derive(Clone, Debug)]
pub enum Event {
    /// A peer connects and logs in, if it has not done so.
    LogIn(usize),
    /// It does something.
    Act(usize),
    /// It shows its game socket, if it is still the same login.
    Show(usize, u32),
    /// It answers something that it was sent on this login.
    Answer(usize, u32, String),
    /// What it has asked must have been answered.
    Answered(usize, u64),
    /// What it has said must have arrived.
    Arrived(u64),
    /// A connection ends that its peer has left behind.
    End(usize, ConnId),
    /// It leaves.
    Leave(usize),
    /// The lists of all nodes are looked at.
    Look,
    /// What is left of the past must be gone.
    Quiet,
}

impl From<Event> for stage::Event {
    fn from(event: Event) -> Self {
        Self::Events(event)
    }
}

/// A room that was made.
#[derive(Clone, Debug)]
pub struct Made {
    /// At which node.
    pub node: usize,
    /// Its code, if it is private.
    pub code: Option<String>,
    /// Its password.
    pub password: Option<String>,
    /// All are introduced to each other.
    pub is_mesh: bool,
    /// It has surely ended.
    pub has_ended: bool,
}

/// All of them.
#[derive(Debug)]
pub struct Cast {
    peers: Vec<Peer>,
    owners: BTreeMap<(usize, ConnId), usize>,
    /// Connections that their peers do not use any more, and that nodes do not know to have broken.
    left_open: BTreeSet<(usize, ConnId)>,
    rooms: BTreeMap<String, Made>,
    lists: Lists,
    passes: Passes,
    /// Who looks at the lists of a node, and since when that has lived.
    observers: BTreeMap<usize, (ConnId, Instant)>,
    summary: Summary,
}

impl Cast {
    /// Those of a seed.
    pub fn new(stage: &mut Stage) -> Self {
        let busy = BUSY.as_millis() as u64;
        let mut peers: Vec<Peer> = Vec::new();
        for n in 0..3 + stage.rng.index(6) {
            let at = moment(&mut stage.rng, 300, 8000);
            stage.at(at, Event::LogIn(n).into());
            for _ in 0..6 + stage.rng.index(14) {
                let at = moment(&mut stage.rng, 500, busy);
                stage.at(at, Event::Act(n).into());
            }
            let at = Instant::default() + LEAVE + stage.rng.millis(0..1000);
            stage.at(at, Event::Leave(n).into());
            let mut peer = Peer::new(n, stage.rng.index(NODES));
            // Two may want the same ID.
            if n > 0 && stage.rng.permille(120) {
                peer.id = peers.first().map_or(peer.id, |first| first.id.clone());
            }
            peers.push(peer);
        }
        stage.at(Instant::from_micros(300_000), Event::Look.into());
        stage.at(Instant::default() + QUIET, Event::Quiet.into());
        Self {
            peers,
            owners: BTreeMap::new(),
            left_open: BTreeSet::new(),
            rooms: BTreeMap::new(),
            lists: Lists::default(),
            passes: Passes::default(),
            observers: BTreeMap::new(),
            summary: Summary::default(),
        }
    }

    /// What came of it.
    #[must_use]
    pub const fn summary(&self) -> Summary {
        self.summary
    }

    /// Something happens.
    ///
    /// # Errors
    /// If a promise is broken.
    pub fn handle(&mut self, stage: &mut Stage, event: Event) -> Result<(), String> {
        match event {
            Event::LogIn(n) => self.log_in(stage, n),
            Event::Act(n) => self.act(stage, n),
            Event::Show(n, login) => self.show_socket(stage, n, login),
            Event::Answer(n, login, text) => {
                if self.peers.get(n).is_some_and(|peer| peer.login == login) {
                    self.say(stage, n, &text);
                }
            }
            Event::Answered(n, number) => self.check_answered(stage, n, number)?,
            Event::Arrived(number) => self.check_arrived(stage, number)?,
            Event::End(node, conn) => {
                if self.left_open.remove(&(node, conn)) {
                    stage.end(node, conn);
                }
            }
            Event::Leave(n) => self.leave_for_good(stage, n),
            Event::Look => {
                self.look(stage)?;
                if stage.now < Instant::default() + LEAVE {
                    stage.after(LOOK, Event::Look.into());
                } else {
                    for (n, (conn, _)) in std::mem::take(&mut self.observers) {
                        stage.end(n, conn);
                    }
                }
            }
            Event::Quiet => self.check_quiet(stage)?,
        }
        Ok(())
    }

    /// A node has done something for somebody.
    ///
    /// # Errors
    /// If a promise is broken.
    pub fn hear(&mut self, stage: &mut Stage, done: &Done) -> Result<(), String> {
        match done {
            Done::Said(node, conn, bytes) => {
                let Some(n) = self.owners.get(&(*node, *conn)).copied() else { return Ok(()) };
                let text = std::str::from_utf8(bytes).map_err(|why| why.to_string())?;
                for line in text.lines() {
                    let event = serde_json::from_str(line).map_err(|why| why.to_string());
                    let kept = event.and_then(|event| self.told(stage, n, (*node, *conn), &event));
                    kept.map_err(|what| {
                        let id = self.peers.get(n).map_or("", |peer| &peer.id);
                        format!("peer {n} of events, {id}, was told {line} by node {node}: {what}")
                    })?;
                }
            }
            Done::Closed(node, conn) => {
                if let Some(n) = self.owners.remove(&(*node, *conn)) {
                    self.closed(stage, n, (*node, *conn))?;
                } else if self.left_open.remove(&(*node, *conn)) {
                    stage.end(*node, *conn);
                }
            }
            Done::Sent(..) => {}
        }
        Ok(())
    }

    /// A node has died; who was connected there notices.
    pub fn on_death(&mut self, stage: &mut Stage, node: usize) {
        self.lists.died(stage.now, node);
        self.observers.remove(&node);
        for room in self.rooms.values_mut().filter(|room| room.node == node) {
            room.has_ended = true;
        }
        for n in 0..self.peers.len() {
            let at = self.peers.get(n).and_then(|peer| peer.conn);
            if at.is_some_and(|(of, _)| of == node) {
                self.lose_connection(stage, n);
            }
        }
        self.owners.retain(|(of, _), _| *of != node);
        self.left_open.retain(|(of, _)| *of != node);
    }

    /// Looks at the lists of all nodes.
    fn look(&mut self, stage: &mut Stage) -> Result<(), String> {
        let mut all = Vec::new();
        for n in (0..NODES).filter(|n| stage.nodes.lives(*n)).collect::<Vec<_>>() {
            let Some(conn) = self.observer(stage, n) else { continue };
            let request =
                json!({"type": "request", "name": "list_rooms", "data": {}, "request_id": 1});
            let answer = stage.ask_conn(n, conn, request.to_string().as_bytes());
            let answer: Value = answer
                .and_then(|answer| serde_json::from_slice(&answer).ok())
                .ok_or_else(|| format!("node {n} does not list its rooms of events"))?;
            let Some(rooms) = answer["data"]["rooms"].as_array() else {
                return Err(format!("node {n} answers list_rooms with {answer}"));
            };
            let list: Vec<Entry> = rooms.iter().map(entry).collect();
            self.lists.note(stage.now, n, &list);
            all.push((n, list));
        }
        for (n, list) in all {
            let (had_to, elsewhere) = self.lists.check(stage.view(n), &list)?;
            self.summary.room_looks += 1;
            self.summary.rooms_listed += had_to;
            self.summary.rooms_listed_elsewhere += elsewhere;
        }
        Ok(())
    }

    fn observer(&mut self, stage: &mut Stage, n: usize) -> Option<ConnId> {
        let born = stage.faults.born.get(&n).copied()?;
        if let Some((conn, of)) = self.observers.get(&n)
            && *of == born
        {
            return Some(*conn);
        }
        let conn = stage.open(n, SocketAddr::from(([192, 0, 2, 220 + n as u8], 5000)))?;
        let data = json!({"id": format!("observer {n} of {}", born.micros()), "game": "g"});
        let login = json!({"type": "request", "name": "login", "data": data, "request_id": 0});
        stage.ask_conn(n, conn, login.to_string().as_bytes())?;
        self.observers.insert(n, (conn, born));
        Some(conn)
    }
}

fn entry(room: &Value) -> Entry {
    let mut rest = room.clone();
    if let Some(rest) = rest.as_object_mut() {
        rest.remove("room");
    }
    (room["room"].as_str().unwrap_or_default().to_owned(), rest.to_string())
}
