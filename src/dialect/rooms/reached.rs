//! Who has said of whom that it reaches him. Anybody can send in the name of one of two who talk to each
//! other that it fails, and lead them to the relay. So of two who have both said that it works, both have to say
//! that it does not any more, or one with its key.

use super::table::{Others, Peer, Table};
use super::{Id, Rooms, Turn};
use crate::limits;

impl Rooms {
    /// Whether what one says of its way to another is to be gone by. While they are relayed nobody says
    /// anything of the direct way.
    pub(super) fn counts(&mut self, turn: &Turn<'_, '_>, own: Id, other: Id, worked: bool) -> bool {
        // Where nobody can be led to a relay nothing is kept of it.
        if !turn.cx.shared.relay.serves_somebody_anywhere() {
            return true;
        }
        let (Some(one), Some(two)) = (self.table.peer(own), self.table.peer(other)) else {
            return true;
        };
        if worked {
            if !Self::are_relayed(turn.cx, one, two) {
                self.table.note_reached(own, other);
            }
            return true;
        }
        let is_relay_there = turn
            .cx
            .shared
            .relay
            .serves_anywhere(turn.cx.now, [one.endpoint.ip(), two.endpoint.ip()]);
        self.table.note_failed(own, other);
        let counts = turn.is_signed || !is_relay_there || !self.table.are_met(own, other);
        if counts {
            self.table.forget_reached(own, other);
        }
        counts
    }
}

impl Rooms {
    /// How the introduction of two clients of a mesh ended, as far as anybody has said.
    pub(super) fn ended(&self, one: Id, other: Id) -> Option<bool> {
        let mut all = self.table.peer(one.max(other))?.others()?.ended_with.iter();
        all.find(|(id, _)| *id == one.min(other)).map(|(_, worked)| *worked)
    }

    /// It has ended so.
    pub(super) fn set_ended(&mut self, one: Id, other: Id, worked: bool) {
        let Some(peer) = self.table.peer(one.max(other)) else { return };
        let room = peer.room;
        let mut all = peer.others().map_or(Vec::new(), |others| others.ended_with.clone());
        let is_there = |id: &Id| self.table.peer(*id).is_some_and(|peer| peer.room == room);
        all.retain(|(id, _)| *id != one.min(other) && is_there(id));
        all.push((one.min(other), worked));
        all.shrink_to_fit();
        if let Some(peer) = self.table.peer_mut(one.max(other)) {
            peer.others_mut().ended_with = all;
        }
    }

    /// A client is somewhere else and punches anew with everybody.
    pub(super) fn forget_ends(&mut self, id: Id) {
        let Some(peer) = self.table.peer_mut(id) else { return };
        if let Some(others) = peer.known_others() {
            others.ended_with = Vec::new();
        }
        let room = peer.room;
        let clients = self.table.room(room).map_or(Vec::new(), |room| room.clients.clone());
        for other in clients {
            let others = self.table.peer_mut(other).and_then(Peer::known_others);
            if let Some(others) = others {
                others.ended_with.retain(|(with, _)| *with != id);
            }
        }
    }
}

/// That a peer has reached another one, and whether it has said since that it does not.
pub(super) type Reached = (Id, bool);

impl Table {
    fn note_reached(&mut self, own: Id, other: Id) {
        let Some(peer) = self.peer_mut(own) else { return };
        let (room, mut all) = (peer.room, std::mem::take(&mut peer.others_mut().reached));
        all.retain(|(id, _)| *id != other);
        if all.len() >= limits::CLIENTS_PER_ROOM {
            all.retain(|(id, _)| self.peer(*id).is_some_and(|peer| peer.room == room));
            all.truncate(limits::CLIENTS_PER_ROOM - 1);
        }
        all.push((other, false));
        if let Some(peer) = self.peer_mut(own) {
            peer.others_mut().reached = all;
        }
    }

    fn others_of(&mut self, id: Id) -> Option<&mut Others> {
        self.peer_mut(id)?.known_others()
    }

    fn note_failed(&mut self, own: Id, other: Id) {
        let Some(others) = self.others_of(own) else { return };
        for (_, has_failed) in others.reached.iter_mut().filter(|(id, _)| *id == other) {
            *has_failed = true;
        }
    }

    /// Whether two have both said that they reach each other, and not both that they do not any more.
    fn are_met(&self, one: Id, other: Id) -> bool {
        let has_failed = |own, other| {
            let mut all = self.peer(own)?.others()?.reached.iter();
            all.find(|(id, _)| *id == other).map(|(_, has_failed)| *has_failed)
        };
        let both = has_failed(one, other).zip(has_failed(other, one));
        both.is_some_and(|both| both != (true, true))
    }

    fn forget_reached(&mut self, own: Id, other: Id) {
        if let Some(others) = self.others_of(own) {
            others.reached.retain(|(id, _)| *id != other);
        }
    }
}
