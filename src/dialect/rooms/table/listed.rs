//! Which rooms lists have, and in which order; and private ones by their codes.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::room::SHOWN;
use super::{Room, Table};
use crate::dialect::by_family::ByFamily;
use crate::dialect::rooms::field::Id;
use crate::hash::Map;
use crate::lobby::code::Code;

/// Rooms by age: those whose hosts have IPv4, and the others.
pub(super) type Listed = ByFamily<BTreeMap<u64, Id>>;

impl Table {
    /// The private room with this code.
    pub(in crate::dialect::rooms) fn by_code(&self, code: Code) -> Option<Id> {
        self.codes.get(&code).copied()
    }

    /// Rooms of a game that are older than this one, newest first, but first those whose host has shown
    /// a key; `None` for all. An unknown room: nothing.
    /// Only those that somebody at this address can join, all of them if `of_both_families`.
    pub(in crate::dialect::rooms) fn newest_after(
        &self,
        game: &str,
        after: Option<Id>,
        reader: IpAddr,
        of_both_families: bool,
    ) -> Option<impl Iterator<Item = &Room> + use<'_>> {
        let end = match after {
            Some(id) => self.rooms.get(&id).filter(|room| *room.game == *game)?.number,
            None => u64::MAX,
        };
        let listed = self.listed.get(game).map(|listed| listed.both_from(reader)).into_iter();
        let near = listed.clone().flat_map(move |[near, _]| near.range(..end).rev());
        let far = listed.flat_map(move |[_, far]| far.range(..end).rev());
        let mut near = near.peekable();
        let mut far = far.filter(move |_| of_both_families).peekable();
        let ids = std::iter::from_fn(move || {
            let is_far = far.peek().map(|room| room.0) > near.peek().map(|room| room.0);
            if is_far { far.next() } else { near.next() }
        });
        Some(ids.filter_map(|(_, id)| self.room(*id)))
    }

    /// Puts a room where lists find it, if they are to have it, and nowhere else.
    pub(in crate::dialect::rooms) fn list(&mut self, id: Id) {
        self.unlist(id);
        let Some(room) = self.rooms.get(&id).filter(|room| room.is_listed()) else { return };
        let Some(host) = self.peers.get(&room.host) else { return };
        if !self.listed.contains_key(&room.game) {
            self.listed.insert(room.game.clone(), Listed::default());
        }
        if let Some(listed) = self.listed.get_mut(&room.game) {
            listed.of_mut(host.endpoint.ip()).insert(room.number, id);
        }
    }

    /// No list has a room any more.
    pub(super) fn unlist(&mut self, id: Id) {
        if let Some(room) = self.rooms.get(&id) {
            forget(&mut self.listed, room);
        }
    }

    /// Changes the code of a room; `None` makes it public.
    pub(in crate::dialect::rooms) fn set_code(&mut self, id: Id, code: Option<Code>) {
        let Some(room) = self.rooms.get_mut(&id) else { return };
        if let Some(before) = std::mem::replace(&mut room.code, code) {
            self.codes.remove(&before);
        }
        if let Some(code) = code {
            self.codes.insert(code, id);
        }
        self.list(id);
    }

    /// The host of a room has shown a key.
    pub(super) fn show(&mut self, id: Id) {
        self.unlist(id);
        if let Some(room) = self.rooms.get_mut(&id) {
            room.number |= SHOWN;
        }
        self.list(id);
    }
}

/// No list has this room any more.
pub(super) fn forget(listed: &mut Map<Box<str>, Listed>, room: &Room) {
    let Some(rooms) = listed.get_mut(&room.game) else { return };
    rooms.both_mut().into_iter().for_each(|rooms| _ = rooms.remove(&room.number));
    if rooms.both().iter().all(|rooms| rooms.is_empty()) {
        listed.remove(&room.game);
    }
}
