//! What the owner is shown of a room.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::ops::ControlFlow;

use super::{Room, Rooms};
use crate::dialect::events::Events;
use crate::dialect::{Showing, Shown};

impl Rooms {
    /// How many there are at this node.
    pub(in crate::dialect::events) fn len(&self) -> usize {
        let all = self.games.values().map(std::collections::BTreeMap::len).sum::<usize>();
        all.saturating_sub(self.elsewhere)
    }

    /// How many public ones each game has.
    pub(in crate::dialect::events) fn each_game(&self, each: &mut dyn FnMut(&str, usize)) {
        self.games.iter().for_each(|(game, rooms)| each(game, rooms.len()));
    }
}

impl Events {
    pub(in crate::dialect::events) fn show_hosts(&self, from: usize, each: &mut Showing<'_>) {
        // Whole games are passed over at once.
        let mut before = from;
        for (game, rooms) in &self.rooms.games {
            let own = rooms.values().filter(|room| room.elsewhere.is_none());
            let count = if self.rooms.has_elsewhere() { own.clone().count() } else { rooms.len() };
            if before >= count {
                before -= count;
                continue;
            }
            for room in own.skip(std::mem::take(&mut before)) {
                if self.show_room(game, room, each).is_break() {
                    return;
                }
            }
        }
    }

    /// The name of a room, if it has one.
    pub(in crate::dialect::events) fn room_name(&self, game: &str, room: u64) -> Option<&str> {
        self.rooms.get(game, room).map(|room| &*room.name).filter(|name| !name.is_empty())
    }

    fn show_room(&self, game: &str, room: &Room, each: &mut Showing<'_>) -> ControlFlow<()> {
        let Some(conn) = room.host() else { return ControlFlow::Continue(()) };
        let (endpoint, opened) = (
            self.peer(conn).and_then(|host| host.endpoint),
            self.conns.get(conn).map(|host| host.opened),
        );
        each(Shown {
            game,
            name: Cow::Borrowed(&room.name),
            at: endpoint.unwrap_or(SocketAddr::new(room.made_by, 0)),
            conn: Some(conn),
            since: opened,
            heard: None,
            players: Some(room.members.len()),
            places: Some(room.access.size()),
            is_private: room.code.is_some(),
        })
    }
}
