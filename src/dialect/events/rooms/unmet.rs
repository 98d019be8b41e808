//! Who is not let into a room, or cannot meet who is in it: the owner is told why, beside how introductions
//! ended.

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;

use log::warn;

use super::own::mark_of_peer;
use super::{Context, Events, number};
use crate::dialect::events::data::Data;
use crate::dialect::events::event::{Event, Fault};
use crate::dialect::{ConnId, Name};
use crate::introductions::journal::Names;
use crate::introductions::unmet::{Asked, Cause, about};
use crate::lobby::code::Code;
use crate::truncation::Quoted;

impl Events {
    /// Somebody is refused who wanted to join a room.
    pub(in crate::dialect::events) fn note_unmet(
        &mut self,
        cx: &mut Context<'_>,
        id: ConnId,
        event: &Event<'_>,
        fault: &Fault,
    ) {
        let cause = match fault.code {
            "no_such_room" => Cause::NotFound,
            "full" => Cause::Full,
            "locked" => Cause::Locked,
            "kicked" => Cause::Kicked,
            "bad_key" => Cause::Password,
            "family" => Cause::Family,
            "too_many" => Cause::Bound,
            // The request makes no sense.
            _ => return,
        };
        let game = self.game_of(id);
        let number = self.wanted_room(&game, event);
        let room = number.and_then(|number| self.rooms.get(&game, number));
        let host = room.and_then(super::Room::host);
        if let (Cause::Family, Some(host)) = (cause, host) {
            return self.note_families(cx, (host, id));
        }
        let at = self.conns.get(id).map(|conn| conn.addr);
        let level = at.and_then(|at| self.lines.level(cx.now, at.ip(), true));
        let (Some(client), Some(peer)) = (self.place_of(id), self.peer(id)) else { return };
        let host = host.and_then(|host| self.place_of(host));
        let name = room.map_or("", |room| &room.name);
        let said = Said::of(event);
        let asked = Asked {
            dialect: Name::Events,
            client,
            host,
            names: Names::new(&game, name),
            told: None,
            is_proven: true,
            cause,
            // Who guesses is told of once.
            about: about((&*peer.id, number, Some(&said).filter(|_| cause != Cause::Bound))),
        };
        // It was told this of itself.
        let why = match cause {
            Cause::Bound => "its address has guessed wrong too often",
            Cause::Kicked => {
                let at = self.conns.get(id).map(|conn| conn.addr);
                let is_own = |room: &super::Room| {
                    at.is_some_and(|at| room.access.has_kicked(at, Some(&mark_of_peer(&peer.id))))
                };
                match room.is_some_and(is_own) {
                    true => "its host has kicked it",
                    false => "its host has kicked somebody of its address",
                }
            }
            _ => &fault.message,
        };
        let (own, wanted) = (Quoted(&peer.id), Wanted(number, name, &said));
        let why = format_args!("{own} ({client}) was not let into {wanted}: {why}");
        cx.not_introduced(level, asked, why);
    }

    /// Two cannot be introduced, as they have addresses of different families.
    pub(in crate::dialect::events) fn note_families(
        &mut self,
        cx: &mut Context<'_>,
        (host, player): (ConnId, ConnId),
    ) {
        let (Some(one), Some(other)) = (self.place_of(host), self.place_of(player)) else { return };
        if let Some(before) = self.foreign.say(cx.now.instant) {
            warn!(
                dialect = "events", event = "refused", client:% = other, host:% = one,
                reason = Cause::Family.name();
                "{one} and {other} cannot meet by events, one has IPv4 and the other IPv6{before}"
            );
        }
        let game = self.game_of(host);
        let room = self.peer(host).and_then(|host| self.room_name(&game, host.room?));
        let asked = Asked {
            dialect: Name::Events,
            client: other,
            host: Some(one),
            names: Names::new(&game, room.unwrap_or_default()),
            told: None,
            is_proven: true,
            cause: Cause::Family,
            about: about(self.peer(player).map(|peer| &*peer.id)),
        };
        let why = format_args!(
            "{one} and {other} cannot meet by events, one has IPv4 and the other IPv6"
        );
        cx.not_introduced(None, asked, why);
    }

    /// The room that a request names, by its ID or its code.
    fn wanted_room(&self, game: &std::sync::Arc<str>, event: &Event<'_>) -> Option<u64> {
        let data = Data::of(event).ok()?;
        let code = data.optional::<Cow<'_, str>>("code").ok()?;
        match code {
            Some(code) => {
                let code = Code::read(code.trim().as_bytes())?;
                self.rooms.codes.get(&(std::sync::Arc::clone(game), code)).copied()
            }
            None => number(&data.optional::<Cow<'_, str>>("room").ok()??).ok(),
        }
    }

    /// Where the game socket of a peer is, or else its connection.
    pub(super) fn place_of(&self, id: ConnId) -> Option<SocketAddr> {
        let conn = self.conns.get(id)?;
        Some(conn.peer.as_ref().and_then(|peer| peer.endpoint).unwrap_or(conn.addr))
    }
}

/// What somebody has said to name a room.
#[derive(Debug, Hash)]
enum Said {
    Code(String),
    Room(String),
}

impl Said {
    fn of(event: &Event<'_>) -> Self {
        let text = |name| {
            let data = Data::of(event).ok()?;
            data.optional::<Cow<'_, str>>(name).ok()?.map(Cow::into_owned)
        };
        match text("code") {
            Some(code) => Self::Code(code),
            None => Self::Room(text("room").unwrap_or_default()),
        }
    }
}

/// How the log calls the room that somebody wanted: by its ID if it is known, and its name if there is one.
/// Codes are not told.
struct Wanted<'a>(Option<u64>, &'a str, &'a Said);

impl fmt::Display for Wanted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self(None, _, Said::Code(_)) => f.write_str("a private room"),
            Self(None, _, Said::Room(text)) => write!(f, "room {}, which is no ID", Quoted(text)),
            Self(Some(id), "", _) => write!(f, "room {id:016x}"),
            Self(Some(_), name, _) => write!(f, "room {}", Quoted(name)),
        }
    }
}
