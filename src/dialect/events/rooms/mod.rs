//! Rooms: who is together, and who is told when that changes.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use super::data::Data;
use super::event::{Event, Fault};
use super::{Context, Events, Outbox};
use crate::dialect::{ConnId, hex};
use crate::introductions::plan::Wish;
use crate::lobby::access::Access;
use crate::lobby::code::Code;
use crate::lobby::extras::{Extra, Extras};
use crate::lobby::guesses::Guesses;
use crate::prefixes::Counts;
use crate::refusals::Reason;

mod crowding;
mod introducing;
mod joining;
mod leaving;
mod links;
mod listing;
mod making;
pub(super) mod own;
mod remote;
mod shown;
mod unheard;
mod unmet;
mod watching;

use links::{Link, Links};
use own::Own;
use remote::{News, RemoteRoom};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use watching::Watching;

/// Why somebody leaves whose connection ends: the only one who cannot be told.
pub(super) const DISCONNECTED: &str = "disconnected";

/// All rooms.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Rooms {
    /// Those of each game, by ID. These are random, so their order means nothing, but it holds: a
    /// list that goes on behind an ID leaves nothing out, even if that room is gone by then.
    /// Of a game with a single room there is space for eleven numbers, but not for as many rooms.
    games: HashMap<Arc<str>, BTreeMap<u64, Box<Room>>>,
    /// Private ones, by what others type.
    #[serde(skip)]
    codes: HashMap<(Arc<str>, Code), u64>,
    /// How many each source has.
    #[serde(skip)]
    made: Counts,
    /// How many have ever been made.
    count: u64,
    #[serde(skip)]
    extras: Extras,
    guesses: Guesses,
    pub(super) watching: Watching,
    /// How many are of other nodes.
    #[serde(skip)]
    elsewhere: usize,
    #[serde(skip)]
    news: News,
}

#[derive(Debug, Serialize, Deserialize)]
struct Room {
    name: Arc<str>,
    /// Who was kicked is known by what [`own::mark_of_peer`] makes of his ID.
    #[serde(rename = "door")]
    access: Access<u64>,
    own: Option<Own>,
    extra: Extra,
    /// If it is private, what it is joined by.
    code: Option<Code>,
    /// The how many-th it is.
    age: u64,
    /// Whether it goes on without its host.
    is_handed_on: bool,
    /// Whether all are introduced to each other, not only to the host.
    is_mesh: bool,
    /// Where its host came from.
    made_by: IpAddr,
    /// The first is the host, the others in the order in which they came.
    members: Vec<Seat>,
    /// The pairs that are to meet, who came first before who came later.
    links: Links,
    /// If it is of another node, what is known of it beside that; it has no members here.
    #[serde(default)]
    elsewhere: Option<Box<RemoteRoom>>,
}

/// Somebody in a room.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Seat {
    conn: ConnId,
    /// What it wants of the relay.
    wish: Wish,
}

/// Somebody who is to meet one who came before it, mostly the host.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    pub(super) conn: ConnId,
    /// By which the two know each other's datagrams.
    pub(super) nonce: u128,
    /// What it wants of the relay.
    pub(super) wish: Wish,
    /// Whether they were told of each other.
    pub(super) introduced: bool,
    /// How their punch ended, as told last.
    pub(super) result: Option<bool>,
}

impl Rooms {
    /// Goes on with the rooms of another process.
    pub(super) fn restore(&mut self, saved: Self) {
        let Self { games, count, guesses, watching, .. } = saved;
        (self.games, self.count) = (games, count);
        self.watching.restore(watching);
        self.guesses.restore(guesses);
        for (game, rooms) in &self.games {
            for (id, room) in rooms {
                self.codes.extend(room.code.map(|code| ((Arc::clone(game), code), *id)));
                if room.elsewhere.is_some() {
                    self.elsewhere += 1;
                    continue;
                }
                self.made.add(room.made_by);
                self.extras.take_over(&room.extra);
            }
        }
    }

    fn get(&self, game: &str, room: u64) -> Option<&Room> {
        self.games.get(game)?.get(&room).map(|room| &**room)
    }

    fn get_mut(&mut self, game: &str, room: u64) -> Option<&mut Room> {
        self.games.get_mut(game)?.get_mut(&room).map(|room| &mut **room)
    }

    fn insert(&mut self, game: Arc<str>, id: u64, room: Room) {
        match room.elsewhere {
            None => _ = self.made.add(room.made_by),
            Some(_) => self.elsewhere += 1,
        }
        if let Some(code) = room.code {
            self.codes.entry((Arc::clone(&game), code)).or_insert(id);
        }
        let before = self.games.entry(Arc::clone(&game)).or_default().insert(id, Box::new(room));
        // Only one of another node is told of again.
        self.elsewhere -= usize::from(before.is_some());
        self.note_change(&game, id);
    }

    fn remove(&mut self, game: &Arc<str>, id: u64) -> Option<Room> {
        self.note(game, id, true);
        let rooms = self.games.get_mut(game)?;
        let mut room = *rooms.remove(&id)?;
        self.extras.remove(&mut room.extra);
        if rooms.is_empty() {
            self.games.remove(game);
        }
        if let Some(code) = room.code {
            let code = (Arc::clone(game), code);
            if self.codes.get(&code) == Some(&id) {
                self.codes.remove(&code);
            }
        }
        match room.elsewhere {
            None => self.made.remove(room.made_by),
            Some(_) => self.elsewhere -= 1,
        }
        Some(room)
    }

    /// Counts what a room has of what not every room may have, where there is space for it.
    fn count_extra(&mut self, game: &str, id: u64) {
        let room = self.games.get_mut(game).and_then(|rooms| rooms.get_mut(&id));
        let Some(room) = room else { return };
        let size = room.own.as_ref().map_or(0, Own::size);
        let _ = self.extras.set(&mut room.extra, size, room.access.kicked());
    }

    /// Something has changed that lists tell of a room. Those who watch never hear of private ones.
    fn note_change(&mut self, game: &str, id: u64) {
        self.note(game, id, false);
    }

    fn note(&mut self, game: &str, id: u64, is_ended: bool) {
        let Some(room) = self.get(game, id) else { return };
        let (is_public, is_own) = (room.code.is_none(), room.elsewhere.is_none());
        if is_public {
            self.watching.note_change(game, id, is_ended);
        }
        if is_own {
            self.note_news(game, id);
        }
    }

    /// A member of a room is on another connection from now on.
    pub(super) fn replace(&mut self, game: &str, id: u64, old: ConnId, new: ConnId) {
        self.watching.replace(game, old, new);
        let Some(room) = self.get_mut(game, id) else { return };
        let now = |conn: ConnId| if conn == old { new } else { conn };
        room.members.iter_mut().for_each(|seat| seat.conn = now(seat.conn));
        room.links.replace(now);
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        let is_watched = !self.watching.is_empty();
        self.games.is_empty()
            && self.made.is_empty()
            && self.extras.is_empty()
            && self.codes.is_empty()
            && !is_watched
    }
}

/// The room that a request names.
pub(super) fn named_room(event: &Event<'_>) -> Result<u64, Fault> {
    number(&Data::of(event)?.needed::<Cow<'_, str>>("room")?)
}

fn number(room: &str) -> Result<u64, Fault> {
    hex::read_64(room.as_bytes()).ok_or_else(no_such_room)
}

fn written(room: u64) -> String {
    format!("{room:016x}")
}

pub(super) fn no_such_room() -> Fault {
    Fault::new("no_such_room", "there is no such room")
}

impl Events {
    fn check_homeless(&self, id: ConnId) -> Result<(), Fault> {
        match self.peer(id).is_some_and(|peer| peer.room.is_some() || peer.remote.is_some()) {
            true => Err(Fault::new("in_room", "leave the room first that you are in")),
            false => Ok(()),
        }
    }

    /// A peer is in this room of this node from now on, or in none.
    fn set_room(&mut self, id: ConnId, room: Option<u64>, out: &mut Outbox) {
        if let Some(peer) = self.peer_mut(id) {
            peer.room = room;
        }
        self.tell_in(id, room, out);
    }

    /// The room that a peer is in.
    fn room_of(&self, id: ConnId) -> Result<(Arc<str>, u64), Fault> {
        let peer = self.peer(id);
        let room = peer.and_then(|peer| Some((Arc::clone(&peer.game), peer.room?)));
        room.ok_or_else(|| Fault::new("not_in_room", "you are in no room"))
    }

    /// The room of which a peer is the host, who alone may do `what`.
    fn own_room(&mut self, id: ConnId, what: &str) -> Result<(Arc<str>, u64, &mut Room), Fault> {
        let (game, number) = self.room_of(id)?;
        let room = self.rooms.get_mut(&game, number).ok_or_else(no_such_room)?;
        match room.is_host(id) {
            true => Ok((game, number, room)),
            false => Err(Fault::new("not_host", format!("only the host can {what}"))),
        }
    }

    /// Whether two peers are in one room.
    pub(super) fn are_together(&self, one: ConnId, other: ConnId) -> bool {
        let room = |id| self.peer(id).and_then(|peer| Some((&peer.game, peer.any_room()?)));
        room(one).is_some_and(|room_of_one| room(other) == Some(room_of_one))
    }

    fn game_of(&self, id: ConnId) -> Arc<str> {
        self.peer(id).map(|peer| Arc::clone(&peer.game)).unwrap_or_default()
    }

    /// What somebody who is in a room may know of it.
    pub(super) fn in_room(&self, game: &str, number: u64) -> Option<InRoom<'_>> {
        let room = self.rooms.get(game, number)?;
        let here = room.members.iter().filter_map(|seat| self.peer(seat.conn));
        let elsewhere = room.elsewhere.iter().flat_map(|elsewhere| &elsewhere.players);
        Some(InRoom {
            code: room.code.map(|code| code.to_string()),
            data: room.own.as_ref().map(|own| &*own.text),
            is_mesh: room.is_mesh,
            name: &room.name,
            players: here.map(|peer| &*peer.id).chain(elsewhere.map(|id| &**id)).collect(),
            room: written(number),
        })
    }
}

/// What somebody who is in a room may know of it.
pub(super) struct InRoom<'a> {
    /// If it is private; for its host alone.
    pub(super) code: Option<String>,
    pub(super) data: Option<&'a RawValue>,
    pub(super) is_mesh: bool,
    pub(super) name: &'a str,
    /// The host first.
    pub(super) players: Vec<&'a str>,
    /// Its ID.
    pub(super) room: String,
}

impl Room {
    fn host(&self) -> Option<ConnId> {
        self.members.first().map(|seat| seat.conn)
    }

    fn is_host(&self, id: ConnId) -> bool {
        self.host() == Some(id)
    }

    /// Everybody in it but one.
    fn others(&self, id: ConnId) -> Vec<ConnId> {
        self.members.iter().map(|seat| seat.conn).filter(|conn| *conn != id).collect()
    }

    /// Whether somebody new may come in, as far as that does not depend on who it is.
    fn is_free(&self) -> bool {
        !self.access.is_locked && !self.access.is_full(self.players())
    }

    /// How many are in it.
    fn players(&self) -> usize {
        self.elsewhere.as_ref().map_or(self.members.len(), |elsewhere| elsewhere.players.len())
    }

    fn link_mut(&mut self, one: ConnId, other: ConnId) -> Option<&mut Link> {
        let way = if self.links.get((one, other)).is_some() { (one, other) } else { (other, one) };
        self.links.get_mut(way)
    }

    /// Who came first of two that are to meet, and the other; none if they are not to.
    fn pair(&self, one: ConnId, other: ConnId) -> Option<(ConnId, Member)> {
        let ((first, conn), link) = [(one, other), (other, one)]
            .into_iter()
            .find_map(|way| Some((way, *self.links.get(way)?)))?;
        let seat = self.members.iter().find(|seat| seat.conn == conn)?;
        let Link { introduced, result, .. } = link;
        let nonce = link.nonce();
        Some((first, Member { conn, nonce, wish: seat.wish, introduced, result }))
    }
}

/// What is wrong where one has IPv4 and the other IPv6.
pub(super) fn other_family() -> Fault {
    let why = "one of you has IPv4 and the other IPv6, so you cannot reach each other";
    Fault::new("family", why).because(Reason::Family)
}
