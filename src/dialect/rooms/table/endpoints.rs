//! Who is at which endpoint. An endpoint has 32 bytes and stands with its peer already, so this table has nothing but the
//! IDs.

use std::hash::BuildHasher as _;
use std::net::SocketAddr;

use hashbrown::HashTable;

use super::Peer;
use crate::dialect::rooms::field::Id;
use crate::hash::{Keyed, Map};

/// All peers.
pub(super) type Peers = Map<Id, Box<Peer>>;

/// Who is at which endpoint. Everybody who is in here is among the peers, at that endpoint.
#[derive(Debug, Default)]
pub(super) struct Endpoints {
    ids: HashTable<Id>,
    keyed: Keyed,
}

impl Endpoints {
    /// Who is there.
    pub(super) fn get(&self, peers: &Peers, endpoint: SocketAddr) -> Option<Id> {
        let is_there = |id: &Id| peers.get(id).is_some_and(|peer| peer.endpoint == endpoint);
        self.ids.find(self.keyed.hash_one(endpoint), is_there).copied()
    }

    /// This peer is there now, be somebody else there or not.
    pub(super) fn set(&mut self, peers: &Peers, endpoint: SocketAddr, id: Id) {
        self.remove(peers, endpoint);
        let Self { ids, keyed } = self;
        // Nobody in the table is missing among the peers.
        let hash = |id: &Id| peers.get(id).map_or(0, |peer| keyed.hash_one(peer.endpoint));
        ids.insert_unique(keyed.hash_one(endpoint), id, hash);
    }

    /// Nobody is there any more. To be said before the peer is elsewhere, or gone.
    pub(super) fn remove(&mut self, peers: &Peers, endpoint: SocketAddr) {
        let is_there = |id: &Id| peers.get(id).is_some_and(|peer| peer.endpoint == endpoint);
        if let Ok(found) = self.ids.find_entry(self.keyed.hash_one(endpoint), is_there) {
            found.remove();
        }
    }

    /// How many of them somebody is at.
    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }
}
