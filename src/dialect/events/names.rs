//! Who is logged in, by game and ID: the same ID in two games is two peers.

use std::sync::Arc;

use crate::dialect::ConnId;
use crate::hash::Map;
use crate::lobby::names::clean;

/// The connections of all who are logged in.
#[derive(Debug, Default)]
pub(super) struct Names {
    games: Map<Arc<str>, Map<Arc<str>, ConnId>>,
}

impl Names {
    /// Who has this ID in this game. What cleaning takes out of IDs makes no difference.
    pub(super) fn get(&self, game: &str, id: &str) -> Option<ConnId> {
        self.games.get(game)?.get(&*clean(id)).copied()
    }

    /// Somebody has this ID from now on.
    pub(super) fn insert(&mut self, game: Arc<str>, id: Arc<str>, conn: ConnId) {
        self.games.entry(game).or_default().insert(id, conn);
    }

    /// Nobody has this ID any more.
    pub(super) fn remove(&mut self, game: &str, id: &str) {
        let Some(of_game) = self.games.get_mut(game) else { return };
        of_game.remove(id);
        if of_game.is_empty() {
            self.games.remove(game);
        }
    }

    /// All of them, in the order of their connections.
    pub(super) fn all(&self) -> Vec<ConnId> {
        let mut all: Vec<ConnId> = self.games.values().flat_map(Map::values).copied().collect();
        all.sort_unstable();
        all
    }

    /// Whether nobody is logged in.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.games.is_empty()
    }
}
