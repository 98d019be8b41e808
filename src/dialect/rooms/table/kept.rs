//! Places that were given up and are kept for a while, as somebody else may have done it. They count
//! wherever places are counted, so that no more is kept than there may be, and nobody's is pushed out
//! by what others do with theirs.

use std::net::SocketAddr;

use super::{Peer, Status, Table};
use crate::clock::Instant;
use crate::dialect::rooms::field::Id;

impl Table {
    /// The places that were given up at this endpoint and are kept. Who stands there now, if somebody
    /// does, may have been forged.
    pub(in crate::dialect::rooms) fn kept_at(
        &self,
        endpoint: SocketAddr,
    ) -> impl Iterator<Item = &Peer> {
        let all = self.neighbours(endpoint.ip());
        all.filter(move |peer| peer.is_kept && peer.endpoint == endpoint)
    }

    /// A room is going to be closed: nobody finds it, nor its host by its endpoint.
    pub(in crate::dialect::rooms) fn begin_closing(&mut self, now: Instant, id: Id) {
        let Some(room) = self.rooms.get_mut(&id) else { return };
        room.is_closing = true;
        if let Some(host) = self.peers.get_mut(&room.host) {
            host.is_kept = true;
            let endpoint = host.endpoint;
            self.at.remove(&self.peers, endpoint);
        }
        self.list(id);
        self.closing.arm(now, id);
    }

    /// A room is not going to be closed. Nobody may be where its host is.
    pub(in crate::dialect::rooms) fn stop_closing(&mut self, id: Id) {
        let Some(room) = self.rooms.get_mut(&id) else { return };
        let Some(host) = self.peers.get_mut(&room.host) else { return };
        room.is_closing = false;
        host.is_kept = false;
        let host = room.host;
        self.take_place(host);
        self.list(id);
        self.closing.cancel(&id);
    }

    /// A room whose time to be closed has come.
    pub(in crate::dialect::rooms) fn pop_closing(&mut self, now: Instant) -> Option<Id> {
        self.closing.pop_due(now)
    }

    /// A client has given up its place: nobody finds it there, nor in the room. Others may not have been told.
    pub(in crate::dialect::rooms) fn keep(&mut self, now: Instant, id: Id, is_unsaid: bool) {
        let Some(client) = self.peers.get_mut(&id) else { return };
        (client.is_kept, client.is_unsaid) = (true, is_unsaid);
        let endpoint = client.endpoint;
        self.at.remove(&self.peers, endpoint);
        self.exit(id);
        self.kept.arm(now, id);
    }

    /// Who was not found at its endpoint is found there again, unless somebody else is there: then it comes from elsewhere.
    fn take_place(&mut self, id: Id) {
        let Some(endpoint) = self.peer(id).map(|peer| peer.endpoint) else { return };
        if self.id_at(endpoint).is_none() {
            self.at.set(&self.peers, endpoint, id);
        }
    }

    /// A client has its place again, as if it had just come. If somebody is where it was it comes from elsewhere.
    pub(in crate::dialect::rooms) fn restore_peer(&mut self, id: Id) {
        let Some(client) = self.peers.get_mut(&id) else { return };
        let room = client.room;
        if !self.rooms.contains_key(&room) {
            return;
        }
        (client.is_kept, client.is_unsaid) = (false, false);
        (client.status, client.ended) = (Status::Joining, None);
        (client.told, client.knows_host) = (false, true);
        self.take_place(id);
        self.enter(room, id);
        self.kept.cancel(&id);
    }

    /// The host of a room does not know any of those clients whose places are kept: it has begun anew, or is another one.
    pub(in crate::dialect::rooms) fn forget_told_of_kept(&mut self, room: Id) {
        for id in self.kept.keys() {
            if let Some(client) = self.peers.get_mut(id).filter(|client| client.room == room) {
                client.told = false;
            }
        }
    }

    /// Whether no client's place is kept.
    pub(in crate::dialect::rooms) fn keeps_nobody(&self) -> bool {
        self.kept.is_empty()
    }

    /// A client whose place has been kept for long enough.
    pub(in crate::dialect::rooms) fn pop_kept(&mut self, now: Instant) -> Option<Id> {
        self.kept.pop_due(now)
    }
}
