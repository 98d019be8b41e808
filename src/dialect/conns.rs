//! What a dialect knows of each of its connections, found by [`ConnId`] without hashing.

use serde::ser::SerializeSeq as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::ConnId;
use crate::state::{self, NotUnderstood, PLACES};

/// A table of connection states. Asking with the ID of an ended connection gives nothing, even
/// when its slot is in use again.
#[derive(Debug)]
pub struct Conns<T> {
    slots: Vec<Option<(u32, T)>>,
}

impl<T> Default for Conns<T> {
    fn default() -> Self {
        Self { slots: Vec::new() }
    }
}

impl<T> Conns<T> {
    /// Adds a connection; one that was forgotten in the same slot is replaced.
    pub fn insert(&mut self, id: ConnId, state: T) {
        let slot = id.slot as usize;
        if slot >= self.slots.len() {
            self.slots.resize_with(slot + 1, || None);
        }
        if let Some(place) = self.slots.get_mut(slot) {
            *place = Some((id.generation, state));
        }
    }

    /// The state of a connection.
    #[must_use]
    pub fn get(&self, id: ConnId) -> Option<&T> {
        match self.slots.get(id.slot as usize)? {
            Some((generation, state)) if *generation == id.generation => Some(state),
            _ => None,
        }
    }

    /// The state of a connection, to change it.
    #[must_use]
    pub fn get_mut(&mut self, id: ConnId) -> Option<&mut T> {
        match self.slots.get_mut(id.slot as usize)? {
            Some((generation, state)) if *generation == id.generation => Some(state),
            _ => None,
        }
    }

    /// The connection in this slot, whichever it is.
    #[must_use]
    pub fn in_slot(&self, slot: u32) -> Option<(ConnId, &T)> {
        let (generation, state) = self.slots.get(slot as usize)?.as_ref()?;
        Some((ConnId { slot, generation: *generation }, state))
    }

    /// Its state, to change it.
    #[must_use]
    pub fn in_slot_mut(&mut self, slot: u32) -> Option<&mut T> {
        self.slots.get_mut(slot as usize)?.as_mut().map(|(_, state)| state)
    }

    /// How many slots there have ever been.
    #[must_use]
    pub fn slots(&self) -> u32 {
        self.slots.len() as u32
    }

    /// All connections.
    pub fn iter(&self) -> impl Iterator<Item = (ConnId, &T)> {
        (0..self.slots()).filter_map(|slot| self.in_slot(slot))
    }

    /// Takes a connection out.
    pub fn remove(&mut self, id: ConnId) -> Option<T> {
        self.get(id)?;
        self.slots.get_mut(id.slot as usize)?.take().map(|(_, state)| state)
    }
}

impl<T> FromIterator<(ConnId, T)> for Conns<T> {
    fn from_iter<I: IntoIterator<Item = (ConnId, T)>>(all: I) -> Self {
        let mut conns = Self::default();
        all.into_iter().for_each(|(id, state)| conns.insert(id, state));
        conns
    }
}

impl<T: Serialize> Serialize for Conns<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut all = to.serialize_seq(Some(self.iter().count()))?;
        self.iter().try_for_each(|conn| all.serialize_element(&conn))?;
        all.end()
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Conns<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        state::collect(from, |(id, state): (ConnId, T)| match (id.slot as usize) < PLACES {
            true => Ok((id, state)),
            false => Err(NotUnderstood::new("there are too many connections")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ended_connection_is_not_its_successor() {
        let old = ConnId { slot: 3, generation: 1 };
        let new = ConnId { slot: 3, generation: 2 };
        let mut conns = Conns::default();
        conns.insert(old, "old");
        assert_eq!(conns.remove(old), Some("old"));
        conns.insert(new, "new");
        assert_eq!(conns.get(old), None);
        assert_eq!(conns.remove(old), None);
        assert_eq!(conns.get_mut(new), Some(&mut "new"));
    }
}
