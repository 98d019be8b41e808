//! How peers come into a room, and why they do not.

use std::borrow::Cow;
use std::sync::Arc;

use log::debug;
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::own::{Wanted, mark_of_peer};
use super::{Context, Events, InRoom, Room, Seat, named_room, no_such_room, other_family, written};
use crate::dialect::ConnId;
use crate::dialect::events::data::{Data, Password};
use crate::dialect::events::event::{Event, Fault};
use crate::introductions::cluster_plan;
use crate::introductions::plan::Wish;
use crate::lobby::code::Code;
use crate::lobby::guesses::Guess;
use crate::refusals::Reason;

/// What somebody is told who has come into a room.
#[derive(Serialize)]
struct Joined<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
    host: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ignored: Vec<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    mesh: bool,
    /// Only where nobody has named the room.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    players: &'a [&'a str],
    room: &'a str,
}

fn too_many_guesses() -> Fault {
    let why = "your address has guessed wrong too often, try again later";
    Fault::new("too_many", why).because(Reason::Guesses)
}

impl Events {
    pub(in crate::dialect::events) fn join_room(
        &mut self,
        cx: &mut Context<'_>,
        id: ConnId,
        event: &Event<'_>,
    ) -> Result<(), Fault> {
        let data = Data::of(event)?;
        let code = data.optional::<Cow<'_, str>>("code")?;
        let wanted = if code.is_some() { None } else { Some(named_room(event)?) };
        let wish = data.optional("relay")?.unwrap_or_default();
        let password = data.optional::<Password<'_>>("password")?;
        self.check_homeless(id)?;
        let game = self.game_of(id);
        let wanted = match (wanted, code) {
            (Some(wanted), _) => wanted,
            (None, code) => self.find_code(cx, id, &game, &code.unwrap_or_default())?,
        };
        let room = self.rooms.get(&game, wanted);
        if room.is_some_and(|room| self.is_apart(cx, wish, id, room)) {
            return Err(other_family());
        }
        if let Some(elsewhere) = room.and_then(|room| room.elsewhere.as_ref()) {
            let (node, players) = (elsewhere.asked(), elsewhere.players.len());
            return self.join_elsewhere(cx, id, event, (node, players));
        }
        self.check_access(
            cx,
            id,
            (&game, wanted),
            password.as_ref().map(|Password(word)| &**word),
        )?;
        self.make_place(cx, id, (&game, wanted))?;
        self.enter(cx, id, event, (&game, wanted), wish);
        Ok(())
    }

    /// The room that has this code.
    fn find_code(
        &mut self,
        cx: &Context<'_>,
        id: ConnId,
        game: &Arc<str>,
        code: &str,
    ) -> Result<u64, Fault> {
        let Some(addr) = self.conns.get(id).map(|conn| conn.addr.ip()) else {
            return Err(no_such_room());
        };
        let code = Code::read(code.trim().as_bytes());
        let found = code.and_then(|code| self.rooms.codes.get(&(Arc::clone(game), code)).copied());
        match self.rooms.guesses.check(cx.now.instant, (addr, "code"), || found.is_some()) {
            Guess::TooMany => Err(too_many_guesses()),
            Guess::Right | Guess::Wrong => found.ok_or_else(no_such_room),
        }
    }

    /// Whether a peer and the host of a room have shown their game sockets, and these cannot reach each other.
    pub(super) fn is_apart(&self, cx: &Context<'_>, wish: Wish, id: ConnId, room: &Room) -> bool {
        let Some(elsewhere) = &room.elsewhere else {
            return room.host().is_some_and(|host| self.are_apart(cx, wish, (id, host)));
        };
        let at = self.peer(id).and_then(|peer| peer.endpoint);
        at.zip(elsewhere.host_at)
            .is_some_and(|(at, host)| cluster_plan::are_apart(cx, wish, [at, host]))
    }

    /// Whether somebody may come into a room.
    fn check_access(
        &mut self,
        cx: &Context<'_>,
        id: ConnId,
        (game, wanted): (&str, u64),
        password: Option<&str>,
    ) -> Result<(), Fault> {
        let (at, own) = match (self.conns.get(id), self.peer(id)) {
            (Some(conn), Some(peer)) => (conn.addr, mark_of_peer(&peer.id)),
            _ => return Err(no_such_room()),
        };
        let rooms = &mut self.rooms;
        let room = rooms.games.get(game).and_then(|rooms| rooms.get(&wanted));
        let room = room.ok_or_else(no_such_room)?;
        if room.access.keeps_out(at, Some(&own)) {
            return Err(Fault::new("kicked", "its host has kicked you"));
        }
        let opens = || room.access.accepts_password(password);
        // Who does not say any does not guess.
        let is_asked = room.access.has_password() && password.is_none();
        let guess = match is_asked {
            true => Guess::Wrong,
            false => rooms.guesses.check(cx.now.instant, (at.ip(), wanted), opens),
        };
        match guess {
            Guess::Right => {}
            Guess::Wrong if is_asked => {
                return Err(Fault::new("bad_key", "the room has a password, and none was sent"));
            }
            Guess::Wrong => return Err(Fault::new("bad_key", "the room has another password")),
            Guess::TooMany => return Err(too_many_guesses()),
        }
        if room.access.is_locked {
            return Err(Fault::new("locked", "the room is locked"));
        }
        Ok(())
    }

    pub(in crate::dialect::events) fn quick_join(
        &mut self,
        cx: &mut Context<'_>,
        id: ConnId,
        event: &Event<'_>,
    ) -> Result<(), Fault> {
        let data = Data::of(event)?;
        let filter: Wanted = data.optional("filter")?.unwrap_or_default();
        let wish = data.optional("relay")?.unwrap_or_default();
        self.check_homeless(id)?;
        let (at, own) = match (self.conns.get(id), self.peer(id)) {
            (Some(conn), Some(peer)) => (conn.addr, mark_of_peer(&peer.id)),
            _ => return Ok(()),
        };
        let game = self.game_of(id);
        let looked_at = self.rooms.games.get(&game).map_or(0, |rooms| rooms.len());
        self.charge_looks(cx, id, looked_at);
        let rooms = self.rooms.games.get(&game);
        // Who asks from elsewhere asks for a room of this node.
        let is_own = self.guest(id).is_none();
        let fits = |room: &Room| {
            room.code.is_none()
                && room.is_free()
                && !room.access.has_password()
                && !room.access.keeps_out(at, Some(&own))
                && filter.fits(room.own.as_ref())
                && !self.is_apart(cx, wish, id, room)
                && (is_own || room.elsewhere.is_none())
        };
        // So that rooms fill up; of several the oldest.
        let best = rooms.into_iter().flatten().filter(|(_, room)| fits(room));
        let best = best.max_by_key(|(_, room)| (room.players(), u64::MAX - room.age));
        let none = || Fault::new("no_such_room", "no room fits that has a place for you");
        let (wanted, room) = best.ok_or_else(none)?;
        if let Some(elsewhere) = &room.elsewhere {
            let (node, players) = (elsewhere.asked(), elsewhere.players.len());
            return self.join_elsewhere(cx, id, event, (node, players));
        }
        let wanted = *wanted;
        self.enter(cx, id, event, (&game, wanted), wish);
        Ok(())
    }

    /// Somebody comes into a room, who may.
    fn enter(
        &mut self,
        cx: &mut Context<'_>,
        id: ConnId,
        event: &Event<'_>,
        (game, wanted): (&str, u64),
        wish: Wish,
    ) {
        let Some(room) = self.rooms.get_mut(game, wanted) else { return };
        let others = room.others(id);
        room.members.push(Seat { conn: id, wish });
        Self::link(&mut self.random, room);
        self.rooms.note_change(game, wanted);
        self.set_room(id, Some(wanted), cx.out);
        let Some(peer) = self.peer(id) else { return };
        let joined = Arc::clone(&peer.id);
        // They are told when it leaves as well.
        self.charge(cx.now, id, 2 * others.len());
        let Some(InRoom { data, is_mesh, name, players, room, .. }) = self.in_room(game, wanted)
        else {
            return;
        };
        debug!("{joined:?} joins the room {room}");
        let Ok(asked) = Data::of(event) else { return };
        let is_quick = event.name == "quick_join";
        let known: &[&str] =
            if is_quick { &["filter", "relay"] } else { &["code", "password", "relay", "room"] };
        let answer = Joined {
            data,
            host: players.first().copied(),
            ignored: asked.besides(known),
            mesh: is_mesh,
            name: is_quick.then_some(name),
            players: &players,
            room: &room,
        };
        let answer = serde_json::value::to_raw_value(&answer).unwrap_or_default();
        self.answer(id, event, &answer, cx.out);
        let data = json!({ "room": self::written(wanted), "id": &*joined });
        self.tell(id, "self_joined", &data, cx.out);
        for other in others {
            self.tell(other, "player_joined", &data, cx.out);
        }
        self.introduce_again(cx, id, true);
        self.unheard.arm(cx.now.instant, id);
    }
}
