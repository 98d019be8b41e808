//! Players of rooms: they open them, join them from any node, are kicked, leave, and take their place again by another
//! node when theirs dies or does not answer.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`player`] | a player, and how it asks until it is answered |
//! | `acting` | what players do next |
//! | `hearing` | what they are told, and what they must never be told |
//! | [`book`] | whose an ID, a room and an endpoint is |
//! | `quiet` | what has to be so when nothing has happened for a while |

use std::net::SocketAddr;
use std::time::Duration;

use punchd::clock::Instant;

use super::Summary;
use super::lists::{Entry, Lists};
use super::nodes::Done;
use super::plan::{BUSY, LEAVE, NODES, QUIET, moment};
use super::stage::{self, Stage};
use crate::rooms::message::{self, Message, More};
use book::Book;
use player::{Asking, Player};

mod acting;
pub mod book;
mod hearing;
pub mod player;
mod quiet;

/// How often lists are looked at.
const LOOK: Duration = Duration::from_millis(500);

/// How often a player shows that it is there.
const KEEP_ALIVE: Duration = Duration::from_secs(4);

/// What happens.
#[derive(Clone, Copy, Debug)]
pub enum Event {
    /// A player does something.
    Act(usize),
    /// It asks again if it has no answer to this request of its.
    Again(usize, u32),
    /// It shows that it is there.
    KeepAlive(usize),
    /// It leaves.
    Leave(usize),
    /// The lists of all nodes are looked at.
    Look,
    /// What is left of the past must be gone.
    Quiet,
}

impl From<Event> for stage::Event {
    fn from(event: Event) -> Self {
        Self::Rooms(event)
    }
}

/// All of them.
#[derive(Debug)]
pub struct Cast {
    players: Vec<Player>,
    book: Book,
    lists: Lists,
    /// A room was opened by way of another node, which may be any.
    is_unsure: bool,
    summary: Summary,
}

impl Cast {
    /// Those of a seed.
    pub fn new(stage: &mut Stage) -> Self {
        let busy = BUSY.as_millis() as u64;
        let players: Vec<Player> = (0..3 + stage.rng.index(6))
            .map(|n| {
                for _ in 0..4 + stage.rng.index(10) {
                    let at = moment(&mut stage.rng, 500, busy);
                    stage.at(at, Event::Act(n).into());
                }
                let at = moment(&mut stage.rng, 0, 4000);
                stage.at(at, Event::KeepAlive(n).into());
                let at = Instant::default() + LEAVE + stage.rng.millis(0..1000);
                stage.at(at, Event::Leave(n).into());
                Player::new(n, stage.rng.index(NODES))
            })
            .collect();
        stage.at(Instant::from_micros(200_000), Event::Look.into());
        stage.at(Instant::default() + QUIET, Event::Quiet.into());
        Self {
            players,
            book: Book::default(),
            lists: Lists::default(),
            is_unsure: false,
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
            Event::Act(n) => self.act(stage, n),
            Event::Again(n, request) => self.ask_again(stage, n, request),
            Event::KeepAlive(n) => {
                self.keep_alive(stage, n);
                if stage.now < Instant::default() + LEAVE {
                    let wait = KEEP_ALIVE + stage.rng.millis(0..500);
                    stage.after(wait, Event::KeepAlive(n).into());
                }
            }
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
        let Some(n) = self.players.iter().position(|player| player.is_at(*to)) else {
            return Ok(());
        };
        let kept = self.told(stage, n, (*node, *to), bytes);
        kept.map_err(|what| {
            let text = bytes.escape_ascii();
            format!("player {n} of rooms was told {text} by node {node}: {what}")
        })
    }

    /// A node has died. Its players notice when it does not answer.
    pub fn on_death(&mut self, stage: &mut Stage, node: usize) {
        self.lists.died(stage.now, node);
        self.book.died(stage.now, node);
    }

    /// Looks at the lists of all nodes.
    fn look(&mut self, stage: &mut Stage) -> Result<(), String> {
        let mut all = Vec::new();
        for n in (0..NODES).filter(|n| stage.nodes.lives(*n)).collect::<Vec<_>>() {
            let from = SocketAddr::from(([192, 0, 2, 200 + n as u8], 5000));
            let page = stage.ask(n, from, format!("{:\n<512}", "rl:more").as_bytes());
            let list = match page.as_deref().and_then(Message::read) {
                Some(Message::List(list, More::None)) => list,
                other => return Err(format!("node {n} answers {other:?} to rl")),
            };
            let list: Vec<Entry> = list.into_iter().map(entry).collect();
            self.lists.note(stage.now, n, &list);
            all.push((n, list));
        }
        // Who was host at another node lately is answered from there.
        self.lists.is_opening = self.is_unsure
            || self.players.iter().any(|player| player.asking.as_ref().is_some_and(Asking::opens));
        for (n, list) in all {
            let (had_to, elsewhere) = self.lists.check(stage.view(n), &list)?;
            self.summary.room_looks += 1;
            self.summary.rooms_listed += had_to;
            self.summary.rooms_listed_elsewhere += elsewhere;
        }
        Ok(())
    }
}

fn entry(entry: message::Entry) -> Entry {
    let message::Entry { room, name, status, players, size, .. } = entry;
    (room.to_string(), format!("{name} {status} {players} {size:?}"))
}
