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
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    /// The room that it hosts then; `None` for a client.
    pub(super) opens: Option<Opening>,
    /// What it wants of the relay as a client.
    pub(super) wish: Wish,
    /// Where it is in its own network.
    pub(super) lan: Box<[SocketAddr]>,
    /// What it takes for the password of the room, which may be another one by the time it comes in.
    pub(super) password: Option<String>,
    /// Whether that was right when it asked.
    pub(super) knew_password: bool,
}

impl Offer {
    /// Whether it is a place in this room, or one to host (`None`).
    fn is_of(&self, room: Option<Id>) -> bool {
        match room {
            Some(room) => self.place.opens.is_none() && self.room == room,
            None => self.place.opens.is_some(),
        }
    }

    /// Bytes of own data beyond what every room may have.
    fn extra(&self) -> usize {
        let data = self.place.opens.as_ref().map_or(0, |opening| opening.data.size());
        data.saturating_sub(limits::ROOM_OWN_DATA)
    }
}

/// Who was offered something, and the ID that it was told with it.
type Which = (SocketAddr, Id);

/// One for each endpoint and all that was asked for from there, the oldest first: what others ask for in the name
/// of an endpoint changes nothing of what it has asked for itself.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Offers {
    all: Timers<Which, Offer>,
    /// The IDs of those of each endpoint, the oldest first.
    #[serde(skip)]
    ids: Map<SocketAddr, SmallVec<[Id; 1]>>,
    /// Bytes of own data beyond what every room may have.
    #[serde(skip)]
    extras: usize,
}

impl Default for Offers {
    fn default() -> Self {
        Self { all: Timers::new(limits::OFFER), ids: Map::default(), extras: 0 }
    }
}

impl Offers {
    /// Goes on with the offers of another process.
    pub(super) fn restore(&mut self, saved: Self) {
        self.all.restore(saved.all);
        for (endpoint, id) in self.all.keys() {
            self.ids.entry(*endpoint).or_default().push(*id);
        }
        let all = self.all.keys().filter_map(|which| self.all.get(which));
        self.extras = all.map(Offer::extra).sum();
    }

    /// Makes an offer, anew if the endpoint has it already.
    pub(super) fn make(&mut self, now: Instant, endpoint: SocketAddr, offer: Offer) {
        self.forget(endpoint, offer.id);
        let here = self.ids.entry(endpoint).or_default();
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
        self.ids.entry(endpoint).or_default().push(offer.id);
        self.all.arm_with(now, (endpoint, offer.id), offer);
    }

    /// What an endpoint was offered last in this room, or to host (`None`).
    pub(super) fn last(&self, endpoint: SocketAddr, room: Option<Id>) -> Option<&Offer> {
        self.of(endpoint).filter(|offer| offer.is_of(room)).last()
    }

    /// The same, of those by which it gets just this place.
    pub(super) fn of_place(
        &self,
        endpoint: SocketAddr,
        room: Option<Id>,
        place: &Place,
    ) -> Option<&Offer> {
        self.of(endpoint).find(|offer| offer.is_of(room) && offer.place == *place)
    }

    /// What was offered to the one who shows that ID and key from where it was told them.
    pub(super) fn shown(&self, endpoint: SocketAddr, id: Id, key: Key) -> Option<&Offer> {
        self.all.get(&(endpoint, id)).filter(|offer| offer.key.is(key))
    }

    /// Whether this is the key of something that an endpoint was offered.
    pub(super) fn is_key_of(&self, endpoint: SocketAddr, key: Key) -> bool {
        self.of(endpoint).any(|offer| offer.key.is(key))
    }

    fn of(&self, endpoint: SocketAddr) -> impl Iterator<Item = &Offer> {
        let ids = self.ids.get(&endpoint).into_iter().flatten();
        ids.filter_map(move |id| self.all.get(&(endpoint, *id)))
    }

    /// Forgets what an endpoint was offered with this ID.
    pub(super) fn forget(&mut self, endpoint: SocketAddr, id: Id) {
        let which = (endpoint, id);
        if let Some(offer) = self.all.remove(&which) {
            self.note_gone(which, &offer);
        }
    }

    fn note_gone(&mut self, (endpoint, id): Which, offer: &Offer) {
        self.extras -= offer.extra();
        let Some(here) = self.ids.get_mut(&endpoint) else { return };
        here.retain(|other| *other != id);
        if here.is_empty() {
            self.ids.remove(&endpoint);
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

    /// How much is offered.
    pub(super) fn len(&self) -> usize {
        self.all.len() + self.ids.len()
    }

    /// Whether nothing is offered.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty() && self.ids.is_empty() && self.extras == 0
    }
}
