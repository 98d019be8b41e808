//! Clients of natpunch: they register at any node, open, list, join and leave lobbies and ask for each other by their
//! IDs. They come to other nodes and ports, and some are silent for so long that they are forgotten.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`client`] | a client, and how it asks until it is answered |
//! | `acting` | what clients do next |
//! | `hearing` | what they make of what they are told |
//! | `telling` | what they must never be told |
//! | `answers` | what has to be answered, and told, where nothing is wrong |
//! | [`book`] | whose an ID, a lobby and an endpoint is |
//! | `quiet` | what has to be so when nothing has happened for a while |

use std::net::SocketAddr;
use std::time::Duration;

use prost::Message as _;
use punchd::clock::Instant;
use punchd::dialect::natpunch::message::{Content, LobbyInfo, LobbyListRequest, Message};

use super::Summary;
use super::lists::{Entry, Lists};
use super::nodes::Done;
use super::plan::{BUSY, LEAVE, NODES, QUIET, moment};
use super::stage::{self, Stage};
use crate::sim::rng::Rng;
use book::Book;
use client::Client;

mod acting;
mod answers;
pub mod book;
pub mod client;
mod hearing;
mod quiet;
mod telling;

/// Chance of its own: what others do is the same with these clients and without them.
const CHANCE: u64 = 0x6E61_7470_756E_6368;

/// How often lists are looked at.
const LOOK: Duration = Duration::from_millis(500);

/// What happens.
#[derive(Clone, Debug)]
pub enum Event {
    /// A client does something.
    Act(usize),
    /// It asks again if it has no answer to this request of its.
    Again(usize, u32),
    /// It shows that it is there.
    KeepAlive(usize),
    /// It asks which lobbies there are, and in which it is.
    List(usize),
    /// It tells that somebody has got through to it, who wants to join this lobby.
    Ready(usize, String, String),
    /// It must have been answered.
    Answered(usize, u32),
    /// Whom it asked for must have been told of it: with which IDs, and when it asked.
    Met([String; 2], Instant),
    /// It leaves.
    Leave(usize),
    /// The lists of all nodes are looked at.
    Look,
    /// What is left of the past must be gone.
    Quiet,
}

impl From<Event> for stage::Event {
    fn from(event: Event) -> Self {
        Self::Natpunch(event)
    }
}

/// All of them.
#[derive(Debug)]
pub struct Cast {
    rng: Rng,
    clients: Vec<Client>,
    book: Book,
    lists: Lists,
    summary: Summary,
}

impl Cast {
    /// Those of a seed.
    pub fn new(stage: &mut Stage, seed: u64) -> Self {
        let mut rng = Rng::new(seed ^ CHANCE);
        let busy = BUSY.as_millis() as u64;
        let clients = (0..3 + rng.index(5)).map(|n| {
            for _ in 0..8 + rng.index(14) {
                stage.at(moment(&mut rng, 1000, busy), Event::Act(n).into());
            }
            let comes = moment(&mut rng, 0, 4000);
            stage.at(comes, Event::KeepAlive(n).into());
            stage.at(comes + rng.millis(1000..3000), Event::List(n).into());
            let leaves = Instant::default() + LEAVE + rng.millis(0..1000);
            stage.at(leaves, Event::Leave(n).into());
            Client::new(n, rng.index(NODES))
        });
        let clients = clients.collect();
        stage.at(Instant::from_micros(300_000), Event::Look.into());
        stage.at(Instant::default() + QUIET, Event::Quiet.into());
        let (book, lists) = (Book::default(), Lists::default());
        Self { rng, clients, book, lists, summary: Summary::default() }
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
            Event::Act(n) => self.act(stage, n),
            Event::Again(n, request) => self.ask_again(stage, n, request),
            Event::KeepAlive(n) => self.keep_alive(stage, n),
            Event::List(n) => self.list(stage, n),
            Event::Ready(n, lobby, id) => self.say_ready(stage, n, lobby, id),
            Event::Answered(n, request) => self.check_answered(stage, n, request)?,
            Event::Met(ids, since) => self.check_met(stage, &ids, since)?,
            Event::Leave(n) => self.leave_for_good(stage, n),
            Event::Look => {
                self.look(stage)?;
                stage.after(LOOK, Event::Look.into());
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
        let Done::Sent(node, to, bytes) = done else { return Ok(()) };
        let Some(n) = self.clients.iter().position(|client| client.is_at(*to)) else {
            return Ok(());
        };
        let content = Message::decode(&**bytes).ok().and_then(|message| message.content);
        let kept = match &content {
            Some(content) if bytes.len() <= 1024 => self.told(stage, n, (*node, *to), content),
            _ => Err("no client reads that".into()),
        };
        kept.map_err(|what| {
            format!("client {n} of natpunch was told {content:?} by node {node}: {what}")
        })
    }

    /// A node has died. Its clients notice when it does not answer.
    pub fn on_death(&mut self, stage: &mut Stage, node: usize) {
        self.lists.died(stage.now, node);
        self.book.died(stage.now, node);
    }

    /// Looks at the lists of all nodes.
    fn look(&mut self, stage: &mut Stage) -> Result<(), String> {
        let mut all = Vec::new();
        for n in (0..NODES).filter(|n| stage.nodes.lives(*n)).collect::<Vec<_>>() {
            let from = SocketAddr::from(([192, 0, 2, 210 + n as u8], 5000));
            let answer = stage.ask(n, from, &full_list());
            let content = answer.as_deref().and_then(|bytes| Message::decode(bytes).ok()?.content);
            let Some(Content::LobbyListResponse(list)) = content else {
                return Err(format!("node {n} answers {content:?} to who asks for lobbies"));
            };
            // Who made it may not have heard that it is there.
            list.lobbies.iter().try_for_each(|info| self.note_lobby(stage.now, info))?;
            let list: Vec<Entry> = list.lobbies.iter().map(entry).collect();
            self.lists.note(stage.now, n, &list);
            all.push((n, list));
        }
        for (n, list) in all {
            let (had_to, elsewhere) = self.lists.check(stage.view(n), &list)?;
            self.summary.lobbies_listed += had_to;
            self.summary.lobbies_listed_elsewhere += elsewhere;
        }
        Ok(())
    }

    /// A lobby is there.
    fn note_lobby(&mut self, now: Instant, info: &LobbyInfo) -> Result<(), String> {
        if !self.book.lobbies.contains_key(&info.lobby_id) {
            let node = self.book.open(&info.lobby_id, &info.lobby_name)?;
            self.lists.opened(now, info.lobby_id.clone(), node);
        }
        Ok(())
    }
}

/// A message as it is sent.
fn bytes(content: Content) -> Vec<u8> {
    Message { content: Some(content) }.encode_to_vec()
}

/// The request of somebody who is no client, with as many bytes in a field that nobody knows as a full list takes.
fn full_list() -> Vec<u8> {
    let mut message = bytes(Content::LobbyListRequest(LobbyListRequest::default()));
    // Field 1000, a string of 512 bytes.
    message.extend([0xC2, 0x3E, 0x80, 0x04]);
    message.extend([b'x'; 512]);
    message
}

/// Only members are told who is in it.
fn entry(info: &LobbyInfo) -> Entry {
    let LobbyInfo { lobby_id, lobby_name, current_players, max_players, .. } = info;
    (lobby_id.clone(), format!("{lobby_name} {current_players} {max_players}"))
}
