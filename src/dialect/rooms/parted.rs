//! Who has left a room a moment ago. UDP brings requests twice and late: who asks again must get
//! the same answer, and must not come in again by a copy of an old request.

use std::net::SocketAddr;

use super::field::{Id, Key};
use crate::clock::Instant;
use crate::limits;
use crate::timers::Timers;

/// How a peer left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// A client left, or is at another endpoint now.
    Left,
    /// A host closed its room, or is at another endpoint now.
    Closed,
    /// A client was kicked.
    Kicked,
}

#[derive(Debug)]
pub(super) struct Parted {
    left: Timers<SocketAddr, Note>,
}

#[derive(Clone, Copy, Debug)]
struct Note {
    room: Id,
    how: How,
    at: Instant,
    /// The place that the peer had, if it had proved itself: whoever sent what ended it, the peer
    /// may take it back.
    place: Option<(Id, Key)>,
}

impl Default for Parted {
    fn default() -> Self {
        Self { left: Timers::new(limits::PARTED) }
    }
}

impl Parted {
    pub(super) fn note(
        &mut self,
        now: Instant,
        endpoint: SocketAddr,
        (room, how): (Id, How),
        place: Option<(Id, Key)>,
    ) {
        if self.left.len() >= limits::ROOM_PEERS {
            self.left.take();
        }
        self.left.arm_with(now, endpoint, Note { room, how, at: now, place });
    }

    /// The room that this endpoint was in last, if it left it in that way.
    pub(super) fn room(&self, endpoint: SocketAddr, how: How) -> Option<Id> {
        self.left.get(&endpoint).filter(|note| note.how == how).map(|note| note.room)
    }

    /// The room that this endpoint has left just now, and how. A request by which it would have
    /// come in or left is a copy then that the network has kept back.
    pub(super) fn just_now(&self, now: Instant, endpoint: SocketAddr) -> Option<(Id, How)> {
        let note = self.left.get(&endpoint)?;
        (now - note.at < limits::LATE_COPY).then_some((note.room, note.how))
    }

    /// Whether a peer had a proven place here, and may not be who has given it up.
    pub(super) fn had_place(&self, endpoint: SocketAddr) -> bool {
        self.left.get(&endpoint).is_some_and(|note| note.place.is_some())
    }

    /// The room that the client was in who shows its ID and key at the endpoint where it was.
    pub(super) fn take_back(&mut self, endpoint: SocketAddr, id: Id, key: Key) -> Option<Id> {
        let note = self.left.get(&endpoint).filter(|note| note.how == How::Left)?;
        let is_it = note.place.is_some_and(|(its, kept)| its == id && kept.is(key));
        let room = is_it.then_some(note.room)?;
        self.left.cancel(&endpoint);
        Some(room)
    }

    /// Forgets what was at an endpoint.
    pub(super) fn forget(&mut self, endpoint: SocketAddr) {
        self.left.cancel(&endpoint);
    }

    pub(super) fn next_wakeup(&self) -> Option<Instant> {
        self.left.next()
    }

    pub(super) fn on_wakeup(&mut self, now: Instant) {
        while self.left.take_due(now).is_some() {}
    }

    /// Whether nothing is remembered.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.left.is_empty()
    }
}
