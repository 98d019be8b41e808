//! Where peers are, whether they have shown it, and how long ago they were heard.

use std::net::SocketAddr;

use super::Table;
use crate::clock::Instant;
use crate::dialect::rooms::field::{Id, Key};
use crate::dialect::route::Route;
use crate::limits;
use crate::prefixes;
use crate::unproven::Unproven;

impl Table {
    /// A peer shows up at another endpoint, where nobody is.
    pub(in crate::dialect::rooms) fn relocate(
        &mut self,
        unproven: &mut Unproven,
        now: Instant,
        id: Id,
        endpoint: SocketAddr,
        came_by: Key,
        key: Key,
    ) {
        let has_players = self.peer(id).is_some_and(|peer| self.has_players(peer));
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let (old, was_proved) = (peer.endpoint, peer.proved);
        let (is_host, room) = (peer.is_host, peer.room);
        if was_proved && now - peer.since >= limits::MOVED_PLACE {
            self.moved.arm(now, id);
        }
        peer.came_by = Some(Box::new(came_by));
        peer.key = key;
        peer.proved = false;
        peer.told = false;
        if let Some(others) = peer.known_others() {
            others.reached = Vec::new();
        }
        (peer.signed_ka, peer.lives_by_key) = (None, false);
        peer.since = now;
        if self.id_at(old) == Some(id) {
            self.at.remove(&self.peers, old);
        }
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.endpoint = endpoint;
        }
        self.at.set(&self.peers, endpoint, id);
        self.by_source.remove(old.ip(), &id);
        self.by_source.add(endpoint.ip(), id);
        if has_players {
            self.networks.release(old.ip());
        }
        self.networks.remove(old.ip());
        self.networks.add(endpoint.ip());
        if has_players {
            self.networks.protect(endpoint.ip());
        }
        if was_proved {
            unproven.remove(old.ip());
        }
        self.note_true(id);
        // Else one would have the first turn of every address that it has been at, or that it was said to be at.
        if is_host && prefixes::network(old.ip()) != prefixes::network(endpoint.ip()) {
            self.list_as(room, true);
        }
    }

    /// A request came from this peer.
    pub(in crate::dialect::rooms) fn heard(&mut self, now: Instant, id: Id, via: Route) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        // Its timer has been armed at this time, and it is not among those that have to prove themselves.
        if peer.proved && peer.heard == now && peer.via == via {
            return;
        }
        peer.heard = now;
        (peer.via, peer.has_lost_way) = (via, false);
        self.silent.arm(now, id);
        self.doubted.cancel(&id);
        // Who has just shown a key elsewhere has not been forged.
        if !peer.proved && !self.moved.is_armed(&id) {
            self.unproved.arm(now, id);
        }
    }

    /// The same, if others may not have sent it in its name. Without its key it leads to no other node what a peer is
    /// told that has shown one.
    pub(in crate::dialect::rooms) fn heard_from(
        &mut self,
        now: Instant,
        id: Id,
        via: Route,
        is_signed: bool,
    ) {
        let Some(peer) = self.peer(id).filter(|peer| is_signed || !peer.lives_by_key) else {
            return;
        };
        let stays = !is_signed && peer.proved && !peer.has_lost_way && !peer.comes_by(via);
        let via = if stays { peer.via } else { via };
        self.heard(now, id, via);
    }

    /// A request came from this peer that shows that it is where it seems to be.
    pub(in crate::dialect::rooms) fn prove(
        &mut self,
        unproven: &mut Unproven,
        now: Instant,
        id: Id,
        via: Route,
    ) {
        if let Some(peer) = self.peers.get_mut(&id)
            && !peer.proved
        {
            peer.proved = true;
            unproven.add(peer.endpoint.ip());
            let (is_host, room) = (peer.is_host, peer.room);
            if is_host {
                self.show(room);
            }
            self.note_true(id);
            self.unproved.cancel(&id);
            self.moved.cancel(&id);
        }
        self.heard(now, id, via);
    }

    /// Whether a peer has moved and still has time to show the key that it was told there.
    pub(in crate::dialect::rooms) fn has_just_moved(&self, id: Id) -> bool {
        self.moved.is_armed(&id)
    }

    /// Those who have moved and have not shown their keys in time are as those who never have.
    pub(in crate::dialect::rooms) fn note_not_shown(&mut self, now: Instant) {
        while let Some(id) = self.moved.pop_due(now) {
            self.unproved.arm(now, id);
        }
    }

    /// A peer that has been silent for too long.
    pub(in crate::dialect::rooms) fn pop_silent(&mut self, now: Instant) -> Option<Id> {
        self.silent.pop_due(now).or_else(|| self.doubted.pop_due(now))
    }

    /// A peer has been told something for the last time. A host that has said nothing since the first
    /// time may not be there any more.
    pub(in crate::dialect::rooms) fn doubt(&mut self, now: Instant, id: Id) {
        let Some(peer) = self.peers.get(&id).filter(|peer| peer.is_host && !peer.is_kept) else {
            return;
        };
        let is_silent =
            now - peer.heard > limits::NOTICE_GAP * (u32::from(limits::NOTICE_COPIES) - 1);
        if is_silent && !self.doubted.is_armed(&id) {
            self.doubted.arm(now, id);
        }
    }

    /// How many have shown their keys.
    pub(in crate::dialect::rooms) fn proven(&self) -> usize {
        self.peers.len().saturating_sub(self.unproved.len())
    }

    /// Of those that have not proved themselves, the one that has been silent longest.
    pub(in crate::dialect::rooms) fn longest_silent_unproved(&mut self) -> Option<Id> {
        self.unproved.pop()
    }
}
