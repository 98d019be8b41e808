//! Rooms in which all are introduced to each other, and what those of one network are told of each other.
//! Of all this nobody hears who has not shown a key, nor is anybody told of him.

use std::slice::from_ref;

use super::message::Answer;
use super::notices::Subject;
use super::table::{Peer, Table};
use super::{Id, Rooms};
use crate::dialect::Context;
use crate::introductions::candidates::may_share_network;
use crate::introductions::is_same_family;

impl Rooms {
    /// Whether two clients are of a room in which all are introduced to each other, and were.
    pub(super) fn are_introduced(&self, one: Id, other: Id) -> bool {
        let (Some(one), Some(other)) = (self.table.peer(one), self.table.peer(other)) else {
            return false;
        };
        self.table.room(one.room).is_some_and(|room| room.is_mesh)
            && one.room == other.room
            && can_know(one, other)
    }

    /// A client has shown its key: it and the others are told of each other.
    pub(super) fn introduce_to_others(&mut self, cx: &mut Context<'_>, id: Id) {
        let Some(peer) = self.table.peer(id) else { return };
        let others: Vec<Id> = others(&self.table, peer).map(|other| other.id).collect();
        for other in others {
            let pair = (self.table.peer(id), self.table.peer(other));
            let (Some(peer), Some(member)) = pair else { continue };
            let there = self.told_at(cx, peer, member);
            // Somebody may have come while it moved, or was told that it is gone.
            let news = match peer.came_by {
                Some(_) if member.was_told_of(id) => Answer::Moved(id, there),
                _ => Answer::Comes(id, there),
            };
            self.delivery.notify(cx, member, Subject::Peer(id), news);
            let here = Answer::Comes(other, self.told_at(cx, member, peer));
            self.delivery.notify(cx, peer, Subject::Peer(other), here);
            self.tell_predicted_ports(cx, id, other);
            self.tell_predicted_ports(cx, other, id);
            self.note_known(id, other);
            self.note_known(other, id);
        }
    }

    /// A client was told of another one.
    fn note_known(&mut self, who: Id, whom: Id) {
        let Some(peer) = self.table.peer_mut(who).filter(|peer| !peer.was_told_of(whom)) else {
            return;
        };
        let mut told_of = std::mem::take(&mut peer.others_mut().told_of);
        // It may not have heard of all that are gone.
        told_of.retain(|id| self.table.peer(*id).is_some());
        told_of.push(whom);
        if let Some(peer) = self.table.peer_mut(who) {
            peer.others_mut().told_of = told_of;
        }
    }

    /// A client of a room is gone: the others are told.
    pub(super) fn tell_others_gone(&mut self, cx: &mut Context<'_>, room: Id, gone: Id) {
        let room = self.table.room(room).filter(|room| room.is_mesh);
        for client in room.map_or(Vec::new(), |room| room.clients.clone()) {
            let Some(client) = self.table.peer_mut(client) else { continue };
            if client.proved && client.id != gone {
                if let Some(others) = client.known_others() {
                    others.told_of.retain(|other| *other != gone);
                }
                self.delivery.notify(cx, client, Subject::Peer(gone), Answer::Gone(gone));
            }
        }
    }

    /// Those who come from one address are told where they are in their network.
    pub(super) fn tell_lan(&mut self, cx: &mut Context<'_>, id: Id) {
        let Some(peer) = self.table.peer(id) else { return };
        let Some(room) = self.table.room(peer.room) else { return };
        let other_side = if peer.is_host { &room.clients[..] } else { from_ref(&room.host) };
        let other_side = other_side.iter().filter_map(|id| self.table.peer(*id));
        for other in other_side.chain(others(&self.table, peer)) {
            let may_meet = may_share_network(peer.endpoint, other.endpoint);
            if !may_meet || !peer.proved || !other.proved {
                continue;
            }
            for (who, whom) in [(peer, other), (other, peer)] {
                if !who.lan.is_empty() {
                    let there = Answer::Local(who.id, &who.lan);
                    self.delivery.notify(cx, whom, Subject::Local(who.id), there);
                }
            }
        }
    }
}

/// The other clients that a client of a room in which all are introduced to each other knows or is going to
/// know.
fn others<'a>(table: &'a Table, peer: &'a Peer) -> impl Iterator<Item = &'a Peer> {
    let room = table.room(peer.room).filter(|room| room.is_mesh && !peer.is_host);
    let clients = room.map_or(&[][..], |room| &room.clients);
    clients.iter().filter_map(|id| table.peer(*id)).filter(|other| can_know(peer, other))
}

/// Whether two clients may be told of each other.
fn can_know(one: &Peer, other: &Peer) -> bool {
    let are_true = [one, other].iter().all(|peer| peer.proved && !peer.is_host && !peer.is_kept);
    are_true && one.id != other.id && is_same_family(one.endpoint.ip(), other.endpoint.ip())
}
