//! What the owner is shown of the rooms.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

use serde::Serialize;

use super::{Rooms, game_within};
use crate::dialect::shown::write_json;
use crate::dialect::{Asked, Bound, Census, Keeping, Showing, Shown, Shows};
use crate::limits;

/// A room in a list.
#[derive(Serialize)]
struct Listed<'a> {
    room: String,
    name: &'a str,
    status: &'static str,
    players: usize,
    max_players: usize,
    data: BTreeMap<&'a str, &'a str>,
}

impl Shows for Rooms {
    fn census(&self) -> Census {
        let hosts = self.table.rooms_len();
        Census { hosts, clients: self.table.len().saturating_sub(hosts) }
    }

    fn kept(&self, each: &mut Keeping<'_>) {
        self.table.kept(each);
        each("rooms: notices", self.delivery.len());
        each("rooms: offers", self.offers.len());
        each("rooms: those who have left", self.departures.len());
        self.nodes.kept(each);
    }

    fn hosts(&self, from: usize, each: &mut Showing<'_>) {
        let _ = self.table.all_rooms().skip(from).try_for_each(|room| {
            let Some(host) = self.table.peer(room.host) else { return ControlFlow::Continue(()) };
            each(Shown {
                game: self.shown_game(&room.game),
                name: Cow::Borrowed(&room.name),
                at: host.endpoint,
                conn: None,
                since: Some(host.since),
                heard: Some(host.heard),
                players: Some(room.shown_players()),
                places: Some(room.access.size()),
                is_private: room.code.is_some(),
            })
        });
    }

    /// The list of rooms of a game, with all that there is to say of each.
    fn public_lobby(&self, asked: &Asked<'_>, bytes: &mut Vec<u8>) {
        let game = match asked.key {
            _ if self.config.admission.is_open() => asked.game.into(),
            Some(key) => game_within(key, asked.game),
            None => game_within(asked.game, ""),
        };
        let rooms = self.table.listed_after(&game, None, asked.viewer, asked.of_both_families);
        let rooms = rooms.into_iter().flatten().take(asked.most).map(|room| Listed {
            room: room.id.to_string(),
            name: room.name,
            status: super::list::status(room.looks, true),
            players: room.looks.players.into(),
            max_players: room.looks.size.into(),
            data: room.data.iter().collect(),
        });
        write_json(&rooms.collect::<Vec<_>>(), bytes);
    }

    fn bounds(&self, each: &mut dyn FnMut(Bound)) {
        let (used, most) = (self.table.len(), limits::ROOM_PEERS);
        each(Bound { what: "peers of rooms", used, most, option: None });
    }

    fn games(&self, each: &mut dyn FnMut(&str, usize)) {
        self.table.each_game(&mut |game, rooms| each(self.shown_game(game), rooms));
    }
}
