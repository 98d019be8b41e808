//! What lists have of rooms: each node has the same as the node of the room.

use std::collections::{BTreeMap, BTreeSet};

use punchd::clock::Instant;

use super::faults::{TOLD, View};

/// A room in a list: its ID, and what else is said of it.
pub type Entry = (String, String);

/// A room as the list of its own node has it.
#[derive(Clone, Debug)]
struct Own {
    node: usize,
    /// None: it is not in it.
    shown: Option<String>,
    /// Since when at the latest.
    since: Instant,
    /// Its node has died.
    by_death: bool,
}

/// All rooms that lists may have.
#[derive(Debug, Default)]
pub struct Lists {
    /// Rooms may be listed that nobody has heard of yet who has opened them.
    pub is_opening: bool,
    rooms: BTreeMap<String, Own>,
    /// Since when a node has had something else: what changes again and again is late there each time.
    differ: BTreeMap<(usize, String), Instant>,
}

impl Lists {
    /// A room was opened.
    pub fn opened(&mut self, now: Instant, room: String, node: usize) {
        let new = Own { node, shown: None, since: now, by_death: false };
        self.rooms.entry(room).or_insert(new);
    }

    /// The node that a room is at.
    #[must_use]
    pub fn node_of(&self, room: &str) -> Option<usize> {
        self.rooms.get(room).map(|own| own.node)
    }

    /// A node has died, and its rooms with it.
    pub fn died(&mut self, now: Instant, node: usize) {
        for own in self.rooms.values_mut().filter(|own| own.node == node && !own.by_death) {
            (own.shown, own.since, own.by_death) = (None, now, true);
        }
    }

    /// Takes note of what a node lists of its own.
    pub fn note(&mut self, now: Instant, node: usize, list: &[Entry]) {
        for (room, own) in self.rooms.iter_mut().filter(|(_, own)| own.node == node) {
            let listed = list.iter().find(|(id, _)| id == room).map(|(_, text)| text);
            if own.shown.as_ref() != listed && !own.by_death {
                (own.shown, own.since) = (listed.cloned(), now);
            }
        }
    }

    /// Compares the list of a node with those of all others, which were noted before. Returns how many had to be in
    /// it, and how many of those are at other nodes.
    ///
    /// # Errors
    /// If it is not as promised.
    pub fn check(&mut self, view: View<'_>, list: &[Entry]) -> Result<(u64, u64), String> {
        let (viewer, mut seen) = (view.viewer, BTreeSet::new());
        for (room, text) in list {
            if !seen.insert(room) {
                return Err(format!("node {viewer} lists the room {room} twice"));
            }
            let Some(own) = self.rooms.get(room) else {
                if self.is_opening {
                    continue;
                }
                return Err(format!("node {viewer} lists {room}, which nobody has opened"));
            };
            let is_gone = own.shown.is_none()
                && view.must_have_forgotten(own.node, own.since, own.by_death)
                || view.has_lost(own.node);
            if is_gone {
                return Err(format!("node {viewer} still lists {room} {text}: {own:?}"));
            }
        }
        let (mut had_to, mut elsewhere) = (0, 0);
        for (room, own) in &self.rooms {
            let Some(shown) = &own.shown else { continue };
            if view.at.since(own.since) <= TOLD || !view.hears(own.node) {
                self.differ.remove(&(viewer, room.clone()));
                continue;
            }
            let found = list.iter().find(|(id, _)| id == room).map(|(_, text)| text);
            let whose = (viewer, room.clone());
            if found == Some(shown) {
                self.differ.remove(&whose);
            } else if view.at.since(*self.differ.entry(whose).or_insert(view.at)) > TOLD {
                return Err(format!("node {viewer} lists {found:?} for {room}: {own:?}"));
            }
            had_to += 1;
            elsewhere += u64::from(own.node != viewer);
        }
        Ok((had_to, elsewhere))
    }
}
