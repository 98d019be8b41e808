//! What the owner is shown of the rooms.

use std::borrow::Cow;
use std::ops::ControlFlow;

use super::Rooms;
use crate::dialect::{Bound, Census, Showing, Shown};
use crate::limits;

impl Rooms {
    pub(super) fn counted(&self) -> Census {
        let hosts = self.table.rooms_len();
        Census { hosts, clients: self.table.len().saturating_sub(hosts) }
    }

    pub(super) fn show_hosts(&self, from: usize, each: &mut Showing<'_>) {
        let _ = self.table.all_rooms().skip(from).try_for_each(|room| {
            let Some(host) = self.table.peer(room.host) else { return ControlFlow::Continue(()) };
            each(Shown {
                game: &room.game,
                name: Cow::Borrowed(&room.name),
                at: host.endpoint,
                conn: None,
                since: Some(host.since),
                heard: Some(host.heard),
                players: Some(room.shown_players()),
                places: Some(room.door.size()),
                is_private: room.code.is_some(),
            })
        });
    }

    pub(super) fn show_bounds(&self, each: &mut dyn FnMut(Bound)) {
        let (used, most) = (self.table.len(), limits::ROOM_PEERS);
        each(Bound { what: "peers of rooms", used, most, option: None });
    }
}
