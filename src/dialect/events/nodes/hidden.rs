//! Guests whose IDs somebody else has, by these IDs: a node that tells of many with one ID makes no log-out look at all
//! of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::dialect::ConnId;
use crate::dialect::events::peers::Peer;

/// One of them: its game and ID, what is less the longer it has been logged in, and its place.
type Key = (Arc<str>, Arc<str>, (u64, u128), ConnId);

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Hidden(BTreeSet<Key>);

fn key(peer: &Peer, conn: ConnId) -> Key {
    (Arc::clone(&peer.game), Arc::clone(&peer.id), (peer.since, peer.token), conn)
}

impl Hidden {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn insert(&mut self, peer: &Peer, conn: ConnId) {
        self.0.insert(key(peer, conn));
    }

    pub(super) fn remove(&mut self, peer: &Peer, conn: ConnId) {
        self.0.remove(&key(peer, conn));
    }

    pub(super) fn contains(&self, peer: &Peer, conn: ConnId) -> bool {
        self.0.contains(&key(peer, conn))
    }

    /// Takes out who has this ID and has been logged in for longest.
    pub(super) fn take(&mut self, game: &Arc<str>, id: &Arc<str>) -> Option<ConnId> {
        let first = ConnId { slot: 0, generation: 0 };
        let first = (Arc::clone(game), Arc::clone(id), (0, 0), first);
        let next = self.0.range(first..).next().filter(|(of, name, ..)| of == game && name == id);
        let next = next.cloned()?;
        self.0.remove(&next);
        Some(next.3)
    }
}
