//! Who gives way when there is no place left: first who never showed that it is there, then who
//! shares an address or a network with most others. Never one who holds less than the newcomer
//! would.

use std::cmp::Reverse;
use std::net::IpAddr;
use std::time::Duration;

use super::field::Id;
use super::table::{Peer, Room, Status, Table};
use crate::clock::Instant;
use crate::prefixes::Shares;

impl Table {
    /// Who of these may give its place to another: it has had so much time to show that it is there
    /// and did not, and no punch with it is known to have worked. Who was silent longest goes first. Of one that
    /// has moved, who has led it there knows the ID, and could say in its name that a punch has worked.
    pub(super) fn eviction_candidate(
        &self,
        now: Instant,
        ids: &[Id],
        patience: Duration,
    ) -> Option<Id> {
        let peers = ids.iter().filter_map(|id| self.peer(*id)).filter(|peer| {
            !peer.proved
                && !peer.is_kept
                && !self.has_just_moved(peer.id)
                && (peer.is_host || peer.came_by.is_some() || peer.status != Status::Connected)
                && now - peer.since >= patience
        });
        peers.min_by_key(|peer| peer.heard).map(|peer| peer.id)
    }

    /// Which client of a full room makes place for a newcomer from this address.
    pub(super) fn largest_in(&self, room: &Room, newcomer: IpAddr) -> Option<Id> {
        let clients = || room.clients.iter().rev().filter_map(|id| self.peer(*id));
        let mut shares = Shares::<()>::default();
        clients().for_each(|client| _ = shares.add(client.endpoint.ip(), 1));
        // The newest first, and who is missed least.
        let all = clients().map(|client| (client.id, client.endpoint.ip(), how_missed(client)));
        shares.gives_way(newcomer, all)
    }

    /// Which peer makes place for a newcomer from this address when all places are taken: one of the
    /// network that has most and somebody in it who is no host of somebody.
    pub(super) fn largest_of_all(&self, newcomer: IpAddr) -> Option<Id> {
        let there = self.networks.eviction_candidate(newcomer)?;
        let peers = self.neighbours(there).filter(|peer| !self.has_players(peer));
        // Of those that came at once, it is the last one.
        peers.max_by_key(|peer| Reverse(how_missed(peer))).map(|peer| peer.id)
    }

    /// Whether somebody is in the room of this host.
    pub(super) fn has_players(&self, peer: &Peer) -> bool {
        peer.is_host && self.room(peer.room).is_some_and(|room| !room.clients.is_empty())
    }
}

/// Those first that are missed least: who has not proved itself, who is not connected, who came last.
fn how_missed(peer: &Peer) -> (bool, bool, Reverse<Instant>) {
    (peer.proved, peer.status == Status::Connected, Reverse(peer.since))
}
