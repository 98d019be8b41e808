//! Rooms: who is together, and who is told when that changes.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::ops::Bound;
use std::sync::Arc;

use log::{debug, info};
use rand::RngExt as _;
use serde::Serialize;
use serde_json::json;

use super::data::{Data, Label, Whole};
use super::event::{Event, Fault, Nothing};
use super::{Context, Events, Outbox};
use crate::customers::Counts;
use crate::dialect::{ConnId, hex};
use crate::introductions::plan::Wish;
use crate::limits;

/// Why somebody leaves whose connection ends: the only one who cannot be told.
pub(super) const DISCONNECTED: &str = "disconnected";

/// All rooms.
#[derive(Debug, Default)]
pub(super) struct Rooms {
    /// Those of each game, by ID. These are random, so their order means nothing, but it holds: a
    /// list that goes on behind an ID leaves nothing out, even if that room is gone by then.
    games: HashMap<Arc<str>, BTreeMap<u64, Room>>,
    /// How many each customer has made.
    made: Counts,
}

#[derive(Debug)]
struct Room {
    name: Arc<str>,
    max_players: usize,
    /// Where the one who made it came from.
    made_by: IpAddr,
    /// The first is the host.
    members: Vec<Member>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    pub(super) conn: ConnId,
    /// By which this player and the host know each other's datagrams.
    pub(super) nonce: u128,
    /// What it wants of the relay.
    pub(super) wish: Wish,
    /// Whether they were told of each other.
    introduced: bool,
    /// How its punch with the host ended, as told last.
    pub(super) result: Option<bool>,
}

impl Member {
    fn new(conn: ConnId, nonce: u128, wish: Wish) -> Self {
        Self { conn, nonce, wish, introduced: false, result: None }
    }
}

impl Rooms {
    fn get(&self, game: &str, room: u64) -> Option<&Room> {
        self.games.get(game)?.get(&room)
    }

    fn get_mut(&mut self, game: &str, room: u64) -> Option<&mut Room> {
        self.games.get_mut(game)?.get_mut(&room)
    }

    fn insert(&mut self, game: Arc<str>, id: u64, room: Room) {
        self.made.add(room.made_by);
        self.games.entry(game).or_default().insert(id, room);
    }

    fn remove(&mut self, game: &str, id: u64) -> Option<Room> {
        let rooms = self.games.get_mut(game)?;
        let room = rooms.remove(&id)?;
        if rooms.is_empty() {
            self.games.remove(game);
        }
        self.made.remove(room.made_by);
        Some(room)
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.games.is_empty() && self.made.is_empty()
    }
}

/// The room that a request names.
fn named_room(event: &Event<'_>) -> Result<u64, Fault> {
    number(&Data::of(event)?.needed::<Cow<'_, str>>("room")?)
}

fn number(room: &str) -> Result<u64, Fault> {
    hex::read_64(room.as_bytes()).ok_or_else(no_such_room)
}

fn written(room: u64) -> String {
    format!("{room:016x}")
}

fn no_such_room() -> Fault {
    Fault::new("no_such_room", "there is no such room")
}

impl Events {
    pub(super) fn create_room(
        &mut self,
        cx: &mut Context<'_>,
        id: ConnId,
        event: &Event<'_>,
    ) -> Result<(), Fault> {
        type Players = Whole<1, { limits::ROOM_PLAYERS as u64 }>;
        let data = Data::of(event)?;
        let Label(name) = data.needed("name")?;
        let max_players = data.optional::<Players>("max_players")?;
        let max_players = max_players.map_or(limits::ROOM_PLAYERS, |Whole(n)| n as usize);
        self.check_homeless(id)?;
        let Some(addr) = self.conns.get(id).map(|conn| conn.addr) else { return Ok(()) };
        let made_by = addr.ip();
        if self.rooms.made.of(made_by) >= self.config.limits.hosts_per_address {
            return Err(Fault::new("too_many", "your address has too many rooms already"));
        }
        let room = self.random.random();
        let Some(peer) = self.peer_mut(id) else { return Ok(()) };
        peer.room = Some(room);
        let (host, game) = (Arc::clone(&peer.id), Arc::clone(&peer.game));
        let members = vec![Member { introduced: true, ..Member::new(id, 0, Wish::default()) }];
        let made = Room { name: Arc::clone(&name), max_players, made_by, members };
        self.rooms.insert(game, room, made);
        if self.lines.says(cx.now, addr.ip()) {
            info!("{host:?} ({addr}) made the room {} {name:?}", written(room));
        }
        self.answer(id, event, &json!({ "room": written(room) }), cx.out);
        self.tell(id, "self_joined", &json!({ "room": written(room), "id": &*host }), cx.out);
        Ok(())
    }

    pub(super) fn delete_room(
        &mut self,
        id: ConnId,
        event: &Event<'_>,
        out: &mut Outbox,
    ) -> Result<(), Fault> {
        let wanted = named_room(event)?;
        let game = self.game_of(id);
        let room = self.rooms.get(&game, wanted).ok_or_else(no_such_room)?;
        if !room.is_host(id) {
            return Err(Fault::new("not_host", "only its host can delete a room"));
        }
        self.answer(id, event, &Nothing {}, out);
        self.dissolve(&game, wanted, "room_deleted", out);
        Ok(())
    }

    pub(super) fn list_rooms(
        &mut self,
        cx: &mut Context<'_>,
        id: ConnId,
        event: &Event<'_>,
    ) -> Result<(), Fault> {
        #[derive(Serialize)]
        struct Listed<'a> {
            room: String,
            name: &'a str,
            host: &'a str,
            players: usize,
            max_players: usize,
            /// Only where it is so.
            #[serde(skip_serializing_if = "std::ops::Not::not")]
            other_family: bool,
        }
        #[derive(Serialize)]
        struct Rooms<'a> {
            rooms: Vec<Listed<'a>>,
            more: bool,
        }
        let data = Data::of(event)?;
        let after = match data.optional::<Cow<'_, str>>("after")? {
            None => Bound::Unbounded,
            Some(room) => Bound::Excluded(number(&room)?),
        };
        let limit = data.optional::<Whole<0, { u32::MAX as u64 }>>("limit")?;
        let limit = limit.map_or(limits::ROOMS_AT_ONCE, |Whole(n)| n as usize);
        let limit = limit.clamp(1, limits::ROOMS_AT_ONCE);
        let game = self.game_of(id);
        let rooms = self.rooms.games.get(&game);
        let mut all = rooms.into_iter().flat_map(|rooms| rooms.range((after, Bound::Unbounded)));
        let listed = all.by_ref().take(limit).map(|(number, room)| Listed {
            room: written(*number),
            name: &room.name,
            host: room.host().and_then(|host| self.peer(host)).map_or("", |peer| &*peer.id),
            players: room.members.len(),
            max_players: room.max_players,
            other_family: room
                .host()
                .is_some_and(|host| self.are_apart(cx, Wish::default(), (id, host))),
        });
        let rooms = listed.collect();
        let list = json!(Rooms { rooms, more: all.next().is_some() });
        self.answer(id, event, &list, cx.out);
        Ok(())
    }

    pub(super) fn join_room(
        &mut self,
        cx: &mut Context<'_>,
        id: ConnId,
        event: &Event<'_>,
    ) -> Result<(), Fault> {
        let wanted = named_room(event)?;
        let wish = Data::of(event)?.optional("relay")?.unwrap_or_default();
        self.check_homeless(id)?;
        let nonce = self.random.random();
        let Some(peer) = self.peer(id) else { return Ok(()) };
        let (joined, game) = (Arc::clone(&peer.id), Arc::clone(&peer.game));
        let host = self.rooms.get(&game, wanted).and_then(Room::host);
        if host.is_some_and(|host| self.are_apart(cx, wish, (id, host))) {
            return Err(other_family());
        }
        let room = self.rooms.get_mut(&game, wanted).ok_or_else(no_such_room)?;
        if room.members.len() >= room.max_players {
            return Err(Fault::new("full", "the room is full"));
        }
        let others = room.members.clone();
        room.members.push(Member::new(id, nonce, wish));
        if let Some(peer) = self.peer_mut(id) {
            peer.room = Some(wanted);
        }
        let players = others.iter().filter_map(|member| self.peer(member.conn));
        let players: Vec<&str> = players.map(|peer| &*peer.id).chain([&*joined]).collect();
        let room = written(wanted);
        let answer = json!({ "room": room, "host": players.first(), "players": players });
        // They are told when it leaves as well.
        self.charge(cx.now, id, 2 * others.len());
        debug!("{joined:?} joins the room {room}");
        self.answer(id, event, &answer, cx.out);
        let data = json!({ "room": room, "id": &*joined });
        self.tell(id, "self_joined", &data, cx.out);
        for other in others {
            self.tell(other.conn, "player_joined", &data, cx.out);
        }
        self.introduce_again(cx, id, true);
        Ok(())
    }

    pub(super) fn leave_room(
        &mut self,
        id: ConnId,
        event: &Event<'_>,
        out: &mut Outbox,
    ) -> Result<(), Fault> {
        self.room_of(id)?;
        self.answer(id, event, &Nothing {}, out);
        self.leave(id, "left", out);
        Ok(())
    }

    pub(super) fn kick(
        &mut self,
        id: ConnId,
        event: &Event<'_>,
        out: &mut Outbox,
    ) -> Result<(), Fault> {
        let wanted: Cow<'_, str> = Data::of(event)?.needed("id")?;
        let (game, number) = self.room_of(id)?;
        let room = self.rooms.get(&game, number).ok_or_else(no_such_room)?;
        if !room.is_host(id) {
            return Err(Fault::new("not_host", "only the host can kick"));
        }
        let kicked = self.peers.get(&*wanted).copied().filter(|kicked| {
            *kicked != id && room.members.iter().any(|member| member.conn == *kicked)
        });
        let kicked =
            kicked.ok_or_else(|| Fault::new("no_such_peer", "there is no such other player"))?;
        self.answer(id, event, &Nothing {}, out);
        self.leave(kicked, "kicked", out);
        Ok(())
    }

    /// Takes a peer out of its room, if it is in one, and tells everybody. Without its host there
    /// is no room.
    pub(super) fn leave(&mut self, id: ConnId, reason: &str, out: &mut Outbox) {
        let Ok((game, number)) = self.room_of(id) else { return };
        let Some(room) = self.rooms.get_mut(&game, number) else { return };
        if room.is_host(id) {
            return self.dissolve(&game, number, reason, out);
        }
        room.members.retain(|member| member.conn != id);
        let others = room.members.clone();
        let Some(peer) = self.peer_mut(id) else { return };
        peer.room = None;
        let data = json!({ "room": written(number), "id": &*peer.id, "reason": reason });
        if reason != DISCONNECTED {
            self.tell(id, "self_left", &data, out);
        }
        for other in others {
            self.tell(other.conn, "player_left", &data, out);
        }
    }

    /// Ends a room; `reason` is why its host leaves.
    fn dissolve(&mut self, game: &str, number: u64, reason: &str, out: &mut Outbox) {
        let Some(room) = self.rooms.remove(game, number) else { return };
        let deleted = json!({ "room": written(number) });
        for Member { conn, .. } in &room.members {
            let Some(peer) = self.peer_mut(*conn) else { continue };
            peer.room = None;
            let is_host = room.is_host(*conn);
            let reason = if is_host { reason } else { "room_deleted" };
            let left = json!({ "room": written(number), "id": &*peer.id, "reason": reason });
            if !is_host {
                self.tell(*conn, "room_deleted", &deleted, out);
            }
            if reason != DISCONNECTED {
                self.tell(*conn, "self_left", &left, out);
            }
        }
    }

    /// The endpoint of a peer has changed: a host's is news to all players, a player's to the
    /// host. Unless it is `news`, only those are told who could not be told before.
    pub(super) fn introduce_again(&mut self, cx: &mut Context<'_>, id: ConnId, news: bool) {
        let Ok((game, number)) = self.room_of(id) else { return };
        let Some(room) = self.rooms.get(&game, number) else { return };
        let Some(host) = room.host() else { return };
        let concerns = |member: &&Member| {
            member.conn != host && (id == host || id == member.conn) && (news || !member.introduced)
        };
        let pairs: Vec<Member> = room.members.iter().filter(concerns).copied().collect();
        self.charge(cx.now, id, 2 * pairs.len());
        for member in pairs {
            let conn = member.conn;
            let introduced = self.introduce(cx, host, member);
            let members = self.rooms.get_mut(&game, number).map(|room| &mut room.members);
            let member = members.and_then(|all| all.iter_mut().find(|other| other.conn == conn));
            if let Some(member) = member {
                member.introduced = introduced;
            }
        }
    }

    /// Which of the two is the host, and which the player; none if they are not to meet.
    pub(super) fn met(&self, one: ConnId, other: ConnId) -> Option<(ConnId, Member)> {
        let (game, number) = self.room_of(one).ok()?;
        let room = self.rooms.get(&game, number)?;
        let host = room.host().filter(|host| [one, other].contains(host))?;
        let player = if host == one { other } else { one };
        let member = room.members.iter().skip(1).find(|member| member.conn == player)?;
        Some((host, *member))
    }

    /// Keeps how the punch of a player and its host ended.
    pub(super) fn set_result(&mut self, player: ConnId, result: Option<bool>) {
        let Ok((game, number)) = self.room_of(player) else { return };
        let members = self.rooms.get_mut(&game, number).map(|room| &mut room.members);
        let member = members.and_then(|all| all.iter_mut().find(|other| other.conn == player));
        if let Some(member) = member {
            member.result = result;
        }
    }

    fn check_homeless(&self, id: ConnId) -> Result<(), Fault> {
        match self.room_of(id) {
            Ok(_) => Err(Fault::new("in_room", "leave the room first that you are in")),
            Err(_) => Ok(()),
        }
    }

    /// The room that a peer is in.
    fn room_of(&self, id: ConnId) -> Result<(Arc<str>, u64), Fault> {
        let peer = self.peer(id);
        let room = peer.and_then(|peer| Some((Arc::clone(&peer.game), peer.room?)));
        room.ok_or_else(|| Fault::new("not_in_room", "you are in no room"))
    }

    /// Whether two peers are in one room.
    pub(super) fn are_together(&self, one: ConnId, other: ConnId) -> bool {
        let room = |id| self.peer(id).and_then(|peer| Some((&peer.game, peer.room?)));
        room(one).is_some_and(|room_of_one| room(other) == Some(room_of_one))
    }

    fn game_of(&self, id: ConnId) -> Arc<str> {
        self.peer(id).map(|peer| Arc::clone(&peer.game)).unwrap_or_default()
    }
}

impl Room {
    fn host(&self) -> Option<ConnId> {
        self.members.first().map(|member| member.conn)
    }

    fn is_host(&self, id: ConnId) -> bool {
        self.host() == Some(id)
    }
}

/// What is wrong where one has IPv4 and the other IPv6.
pub(super) fn other_family() -> Fault {
    Fault::new("family", "one of you has IPv4 and the other IPv6, so you cannot reach each other")
}
