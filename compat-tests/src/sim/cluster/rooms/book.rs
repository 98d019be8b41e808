//! Whose an ID, a room, a name and an endpoint is, and what is known of rooms outside of lists.

use std::collections::BTreeMap;

use punchd::clock::Instant;

/// A room that was opened.
#[derive(Clone, Debug, Default)]
pub struct Room {
    /// At which node.
    pub node: usize,
    /// Its code, if it is private.
    pub code: Option<String>,
    /// Its password.
    pub password: Option<String>,
    /// It goes on without its host.
    pub migrates: bool,
    /// When it was surely closed, or its node died.
    pub ended: Option<Instant>,
}

/// All that was ever given to anybody.
#[derive(Debug, Default)]
pub struct Book {
    /// Rooms by their IDs.
    pub rooms: BTreeMap<String, Room>,
    /// Which player has this ID, and in which room, if that is known already.
    pub ids: BTreeMap<String, (usize, Option<String>)>,
    /// Which player has given a room this name.
    pub names: BTreeMap<String, usize>,
}

impl Book {
    /// A name that no room has had.
    pub fn new_name(&mut self, player: usize) -> String {
        let name = format!("room{}", self.names.len());
        self.names.insert(name.clone(), player);
        name
    }

    /// A node has died, and its rooms with it.
    pub fn died(&mut self, now: Instant, node: usize) {
        for room in self.rooms.values_mut().filter(|room| room.node == node) {
            room.ended.get_or_insert(now);
        }
    }

    /// A player has this ID.
    ///
    /// # Errors
    /// If somebody else has it, or it in another room.
    pub fn own(&mut self, player: usize, id: &str, room: Option<&str>) -> Result<(), String> {
        let (of, known) = self.ids.entry(id.to_owned()).or_insert_with(|| (player, None));
        let is_same = room.is_none_or(|room| known.as_deref().is_none_or(|known| known == room));
        if *of != player || !is_same {
            return Err(format!("the ID {id} is that of player {of} in {known:?}"));
        }
        *known = known.take().or_else(|| room.map(Into::into));
        Ok(())
    }
}
