//! Who has left a room a moment ago. UDP brings requests twice and late: who asks again must get
//! the same answer, and must not come in again by a copy of an old request.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::field::Id;
use crate::clock::Instant;
use crate::limits;
use crate::timers::Timers;

/// How a peer left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum How {
    /// A client left, or is at another endpoint now.
    Left,
    /// A host closed its room, or is at another endpoint now.
    Closed,
    /// A client was kicked.
    Kicked,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Departures {
    left: Timers<SocketAddr, Note>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Note {
    room: Id,
    how: How,
    at: Instant,
}

impl Default for Departures {
    fn default() -> Self {
        Self { left: Timers::new(limits::PARTED) }
    }
}

impl Departures {
    /// Goes on with what another process remembered.
    pub(super) fn restore(&mut self, saved: Self) {
        self.left.restore(saved.left);
    }

    pub(super) fn note(&mut self, now: Instant, endpoint: SocketAddr, (room, how): (Id, How)) {
        if self.left.len() >= limits::ROOM_PEERS {
            self.left.take();
        }
        self.left.arm_with(now, endpoint, Note { room, how, at: now });
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

    /// Forgets what was at an endpoint.
    pub(super) fn forget(&mut self, endpoint: SocketAddr) {
        self.left.cancel(&endpoint);
    }

    /// Who is at an endpoint is in a room again: if it was kicked, it has been let in since.
    pub(super) fn forget_kick(&mut self, endpoint: SocketAddr) {
        self.left.cancel_if(endpoint, |note| note.how == How::Kicked);
    }

    pub(super) fn next_wakeup(&self) -> Option<Instant> {
        self.left.next()
    }

    pub(super) fn on_wakeup(&mut self, now: Instant) {
        while self.left.take_due(now).is_some() {}
    }

    /// How many are remembered.
    pub(super) fn len(&self) -> usize {
        self.left.len()
    }
}
