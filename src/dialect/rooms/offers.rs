//! Places that nobody has yet. Where forged requests may have taken what there is, be it the
//! places of a room or what an address may have, who asks is told an ID and a key as if it had come
//! in, and comes in with the key. Who sends from forged addresses never receives one, so no true
//! player has to be faster than he; all it needs is that its offer is still there a round trip later.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::field::{Id, Key};
use super::table::Opening;
use crate::clock::Instant;
use crate::hash::Map;
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

/// Which place: who is offered it, and in which room, or to host (`None`).
type Which = (SocketAddr, Option<Id>);

/// One for each endpoint and room, the oldest first: what others ask for in the name of an endpoint takes none of
/// what it has asked for itself.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Offers {
    all: Timers<Which, Offer>,
    /// The rooms of those of each endpoint, the oldest first.
    #[serde(skip)]
    rooms: Map<SocketAddr, SmallVec<[Option<Id>; 1]>>,
    /// Bytes of own data beyond what every room may have.
    #[serde(skip)]
    extras: usize,
}

impl Default for Offers {
    fn default() -> Self {
        Self { all: Timers::new(limits::OFFER), rooms: Map::default(), extras: 0 }
    }
}

impl Offers {
    /// Goes on with the offers of another process.
    pub(super) fn go_on(&mut self, saved: Self) {
        self.all.go_on(saved.all);
        for (endpoint, room) in self.all.keys() {
            self.rooms.entry(*endpoint).or_default().push(*room);
        }
        let all = self.all.keys().filter_map(|which| self.all.get(which));
        self.extras = all.map(Offer::extra).sum();
    }

    /// Offers a place; another offer of the same place is gone.
    pub(super) fn make(&mut self, now: Instant, endpoint: SocketAddr, offer: Offer) {
        let room = offer.place.opens.is_none().then_some(offer.room);
        self.forget(endpoint, room);
        let here = self.rooms.entry(endpoint).or_default();
        if here.len() >= limits::OFFERS_OF_ENDPOINT
            && let Some(oldest) = here.first().copied()
        {
            self.forget(endpoint, oldest);
        }
        self.extras += offer.extra();
        while self.all.len() >= limits::OFFERS || self.extras > limits::OFFERED_EXTRAS {
            let Some((which, oldest)) = self.all.take() else { break };
            self.note_gone(which, &oldest);
        }
        self.rooms.entry(endpoint).or_default().push(room);
        self.all.arm_with(now, (endpoint, room), offer);
    }

    /// What an endpoint was offered, if it is a place in this room, or one to host (`None`).
    pub(super) fn to(&self, endpoint: SocketAddr, room: Option<Id>) -> Option<&Offer> {
        self.all.get(&(endpoint, room))
    }

    /// What was offered to the one who shows that ID and key from where it was told them.
    pub(super) fn shown(&self, endpoint: SocketAddr, id: Id, key: Key) -> Option<&Offer> {
        self.of(endpoint).find(|offer| offer.id == id && offer.key.is(key))
    }

    /// Whether this is the key of something that an endpoint was offered.
    pub(super) fn is_key_of(&self, endpoint: SocketAddr, key: Key) -> bool {
        self.of(endpoint).any(|offer| offer.key.is(key))
    }

    fn of(&self, endpoint: SocketAddr) -> impl Iterator<Item = &Offer> {
        let rooms = self.rooms.get(&endpoint).into_iter().flatten();
        rooms.filter_map(move |room| self.all.get(&(endpoint, *room)))
    }

    /// Forgets that an endpoint was offered a place in this room, or one to host (`None`).
    pub(super) fn forget(&mut self, endpoint: SocketAddr, room: Option<Id>) {
        let which = (endpoint, room);
        if let Some(offer) = self.all.remove(&which) {
            self.note_gone(which, &offer);
        }
    }

    fn note_gone(&mut self, (endpoint, room): Which, offer: &Offer) {
        self.extras -= offer.extra();
        let Some(here) = self.rooms.get_mut(&endpoint) else { return };
        here.retain(|other| *other != room);
        if here.is_empty() {
            self.rooms.remove(&endpoint);
        }
    }

    pub(super) fn next_wakeup(&self) -> Option<Instant> {
        self.all.next()
    }

    pub(super) fn on_wakeup(&mut self, now: Instant) {
        while let Some((which, offer)) = self.all.take_due(now) {
            self.note_gone(which, &offer);
        }
    }

    /// Whether nothing is offered.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty() && self.rooms.is_empty() && self.extras == 0
    }
}
