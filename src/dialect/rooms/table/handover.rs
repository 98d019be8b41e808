//! How the rooms and who is in them go on in another process.

use super::Table;
use crate::dialect::rooms::field::Id;
use crate::unproven::Unproven;

impl Table {
    /// Goes on with those of another process, in tables that are still empty.
    pub(in crate::dialect::rooms) fn restore(&mut self, unproven: &mut Unproven, saved: Self) {
        let Self { peers, rooms, closed, rooms_made, by_source, .. } = saved;
        self.peers = peers.into_values().map(|peer| (peer.id, peer)).collect();
        self.rooms = rooms.into_values().map(|room| (room.id, room)).collect();
        (self.rooms_made, self.by_source) = (rooms_made, by_source);
        self.closed.restore(closed);
        self.silent.restore(saved.silent);
        self.unproved.restore(saved.unproved);
        self.moved.restore(saved.moved);
        self.closing.restore(saved.closing);
        self.kept.restore(saved.kept);
        self.doubted.restore(saved.doubted);
        for (id, peer) in &self.peers {
            let addr = peer.endpoint.ip();
            if !peer.is_kept {
                self.at.set(&self.peers, peer.endpoint, *id);
            }
            if peer.proved {
                unproven.add(addr);
            }
            self.networks.add(addr);
            if self.has_players(peer) {
                self.networks.protect(addr);
            }
        }
        for (id, room) in &self.rooms {
            self.extras.take_over(&room.extra);
            self.codes.extend(room.code.map(|code| (code, *id)));
        }
        let rooms: Vec<Id> = self.rooms.keys().copied().collect();
        rooms.into_iter().for_each(|id| self.list_again(id));
    }
}
