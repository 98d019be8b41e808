//! Who is not let into a room: the owner is told why, beside how introductions ended.

use std::net::SocketAddr;

use super::message::{Reason, Wanted};
use super::options::Options;
use super::{Id, Named, Rooms, Turn};
use crate::dialect::Name;
use crate::introductions::journal::Names;
use crate::introductions::unmet::{Asked, Cause, about};
use crate::refusals::Reason as Refusal;

impl Rooms {
    /// Somebody who wanted to join is refused. Who has found no room at all by `qj` (`None`) makes one
    /// himself.
    pub(super) fn note_unmet(
        &mut self,
        turn: &mut Turn<'_, '_>,
        wanted: Option<Wanted>,
        options: &Options,
        reason: Reason,
    ) {
        let cause = match reason {
            Reason::NoRoom if wanted.is_some() => Cause::NotFound,
            Reason::Full => Cause::Full,
            Reason::Locked => Cause::Locked,
            Reason::Kicked => Cause::Kicked,
            Reason::BadKey => Cause::Password,
            Reason::Family => Cause::Family,
            Reason::Busy | Reason::Limit => Cause::Bound,
            Reason::NoRoom | Reason::NotHost | Reason::BadRequest => return,
        };
        // That two cannot meet has a line of its own, below.
        let level = match reason {
            Reason::Family => None,
            _ => self.lines.level(turn.cx.now, turn.from.ip(), turn.is_signed),
        };
        let id = match wanted {
            Some(Wanted::Id(id)) => Some(id),
            Some(Wanted::Code(code)) => self.table.by_code(code),
            None => None,
        };
        // What is no room of his game is none for him.
        let room = id.and_then(|id| self.table.room(id)).filter(|_| reason != Reason::NoRoom);
        let host = room.and_then(|room| self.table.peer(room.host)).map(|host| host.endpoint);
        let asked = Asked {
            dialect: Name::Rooms,
            client: turn.from,
            host,
            names: Names::new(
                self.shown_game(&turn.game(options)),
                room.map_or("", |room| &room.name),
            ),
            told: None,
            is_proven: turn.is_signed,
            cause,
            about: about((
                wanted.map(|wanted| match wanted {
                    Wanted::Id(id) => (Some(id.0), None),
                    Wanted::Code(code) => (None, Some(code)),
                }),
                // He may be somebody else of his address.
                (cause == Cause::Kicked).then_some(turn.from.port()),
            )),
        };
        let client = turn.from;
        if let (Reason::Family, Some(host)) = (reason, host) {
            let why = format_args!(
                "{client} and {host} cannot meet in a room, one has IPv4 and the other IPv6"
            );
            return turn.cx.not_introduced(None, asked, why);
        }
        let why = self.why(turn, id, options, reason);
        match (room, wanted) {
            (Some(room), _) => {
                let (named, of) = (Named(&room.name), Of(host));
                let why = format_args!("{client} was not let into room {named}{of}: {why}");
                turn.cx.not_introduced(level, asked, why);
            }
            (None, Some(Wanted::Id(id))) => {
                let why = format_args!("{client} was not let into room {id}: {why}");
                turn.cx.not_introduced(level, asked, why);
            }
            (None, Some(Wanted::Code(_))) => {
                let why = format_args!("{client} was not let into a private room: {why}");
                turn.cx.not_introduced(level, asked, why);
            }
            (None, None) => {
                let why = format_args!("{client} was let into no room: {why}");
                turn.cx.not_introduced(level, asked, why);
            }
        }
    }

    /// Somebody shows the key with which he was offered a place in a room, and does not get it: what he took
    /// for the password was not looked at before.
    pub(super) fn note_not_taken(
        &mut self,
        turn: &mut Turn<'_, '_>,
        offered: Option<(Id, Option<String>)>,
        reason: Reason,
    ) {
        let Some((id, password)) = offered else { return };
        let game = self.table.room(id).map(|room| &*room.game);
        // What has admitted it stands before that.
        let (admitted_by, game) = match game.and_then(|game| game.split_once('\0')) {
            Some((admitted_by, game)) => (Some(admitted_by.to_owned()), game),
            None => (None, game.unwrap_or_default()),
        };
        let options = Options { game: game.into(), password, ..Options::default() };
        (turn.is_signed, turn.admitted_by) = (true, admitted_by);
        self.note_unmet(turn, Some(Wanted::Id(id)), &options, reason);
    }

    fn why(
        &self,
        turn: &Turn<'_, '_>,
        id: Option<Id>,
        options: &Options,
        reason: Reason,
    ) -> &'static str {
        match reason {
            Reason::NoRoom if id.is_some_and(|id| self.table.room(id).is_some()) => {
                "it is in another game than the request names with game=, or in none"
            }
            Reason::NoRoom if id.is_some() => {
                "there is none with this ID in this game: its host has left, or was silent for too long"
            }
            Reason::NoRoom => "none has this code in this game",
            Reason::Full => "it is full",
            Reason::Locked => "its host has locked it",
            Reason::Kicked => {
                let room = id.and_then(|id| self.table.room(id));
                match room.is_some_and(|room| room.access.has_kicked(turn.from, None)) {
                    true => "its host has kicked this player",
                    false => "its host has kicked a player with the same address",
                }
            }
            Reason::BadKey if options.password.is_none() => "it has a password, and none was sent",
            Reason::BadKey => "it has another password",
            Reason::Busy if self.stopping => "the server stops",
            Reason::Busy if turn.bound == Refusal::Unproven => {
                "its host, or this player, has not proven its address yet"
            }
            Reason::Busy => "all places of the server are taken",
            Reason::Limit => turn.bound.words(),
            Reason::Family => "one has IPv4 and the other IPv6",
            Reason::NotHost | Reason::BadRequest => "it makes no sense",
        }
    }
}

/// The host of a room, if it is known.
struct Of(Option<SocketAddr>);

impl std::fmt::Display for Of {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.map_or(Ok(()), |host| write!(f, " of {host}"))
    }
}
