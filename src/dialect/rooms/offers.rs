//! Places that nobody has yet. Where forged requests may have taken what there is, be it the
//! places of a room or what an address may have, who asks is told an ID and a key as if it had come
//! in, and comes in with the key. Who sends from forged addresses never receives one, so no true
//! player has to be faster than he; all it needs is that its offer is still there a round trip later.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::field::{Id, Key};
use super::table::Opening;
use crate::clock::Instant;
use crate::introductions::plan::Wish;
use crate::limits;
use crate::timers::Timers;

/// What somebody was told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Offer {
    pub(super) id: Id,
    pub(super) key: Key,
    pub(super) room: Id,
    pub(super) place: Place,
}

/// The place that it was told of.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Place {
    /// The room that it hosts then; `None` for a client.
    pub(super) opens: Option<Opening>,
    /// What it wants of the relay as a client.
    pub(super) wish: Wish,
    /// Where it is in its own network.
    pub(super) lan: Box<[SocketAddr]>,
    /// What it takes for the password of the room, if nobody has looked yet whether that is right.
    pub(super) password: Option<String>,
}

impl Offer {
    /// Bytes of own data beyond what every room may have.
    fn extra(&self) -> usize {
        let data = self.place.opens.as_ref().map_or(0, |opening| opening.data.size());
        data.saturating_sub(limits::ROOM_OWN_DATA)
    }
}

/// One for each endpoint, the oldest first.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Offers {
    all: Timers<SocketAddr, Offer>,
    /// Bytes of own data beyond what every room may have.
    #[serde(skip)]
    extras: usize,
}

impl Default for Offers {
    fn default() -> Self {
        Self { all: Timers::new(limits::OFFER), extras: 0 }
    }
}

impl Offers {
    /// Goes on with the offers of another process.
    pub(super) fn go_on(&mut self, saved: Self) {
        self.all.go_on(saved.all);
        let all = self.all.keys().filter_map(|at| self.all.get(at));
        self.extras = all.map(Offer::extra).sum();
    }

    pub(super) fn make(&mut self, now: Instant, endpoint: SocketAddr, offer: Offer) {
        self.forget(endpoint);
        self.extras += offer.extra();
        while self.all.len() >= limits::OFFERS || self.extras > limits::OFFERED_EXTRAS {
            let Some((_, oldest)) = self.all.take() else { break };
            self.extras -= oldest.extra();
        }
        self.all.arm_with(now, endpoint, offer);
    }

    /// What an endpoint was offered, if it is a place in this room, or one to host (`None`).
    pub(super) fn to(&self, endpoint: SocketAddr, room: Option<Id>) -> Option<&Offer> {
        self.all.get(&endpoint).filter(|offer| match room {
            Some(room) => offer.place.opens.is_none() && offer.room == room,
            None => offer.place.opens.is_some(),
        })
    }

    /// What was offered to the one who shows that ID and key from where it was told them.
    pub(super) fn shown(&self, endpoint: SocketAddr, id: Id, key: Key) -> Option<&Offer> {
        self.all.get(&endpoint).filter(|offer| offer.id == id && offer.key.is(key))
    }

    /// Whether this is the key of what an endpoint was offered.
    pub(super) fn is_key_of(&self, endpoint: SocketAddr, key: Key) -> bool {
        self.all.get(&endpoint).is_some_and(|offer| offer.key.is(key))
    }

    /// Forgets what an endpoint was offered.
    pub(super) fn forget(&mut self, endpoint: SocketAddr) {
        if let Some(offer) = self.all.remove(&endpoint) {
            self.extras -= offer.extra();
        }
    }

    pub(super) fn next_wakeup(&self) -> Option<Instant> {
        self.all.next()
    }

    pub(super) fn on_wakeup(&mut self, now: Instant) {
        while let Some((_, offer)) = self.all.take_due(now) {
            self.extras -= offer.extra();
        }
    }

    /// Whether nothing is offered.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty() && self.extras == 0
    }
}
