//! A place in a room, or one to host, is offered to who may be forged, and begins with the key.

use std::net::SocketAddr;
use std::time::Duration;

use super::leaving::Why;
use super::message::{Answer, Reason};
use super::offers::{Offer, Place};
use super::options::Options;
use super::table::Peer;
use super::{Id, Key, Rooms, Turn};
use crate::clock::Instant;
use crate::refusals::Reason as Refusal;

/// The port of the service that throws everything away (RFC 863), at which nobody is.
const DISCARD: u16 = 9;

impl Rooms {
    /// A peer has the place that it was offered.
    pub(super) fn take_offer(
        &mut self,
        turn: &mut Turn<'_, '_>,
        id: Id,
        key: Key,
        options: Options,
    ) -> Result<(), Reason> {
        let there = self.table.peer_at(turn.from);
        if there.is_some_and(|there| there.is_host && there.proved) {
            // Its room would be left to nobody, be the other one here or at another node.
            return Err(Reason::BadRequest);
        }
        let offer = self.offers.shown(turn.from, id, key).cloned();
        let Offer { room, place, .. } = offer.ok_or(Reason::NoRoom)?;
        if place.opens.is_none() {
            let wanted = self.table.room(room).ok_or(Reason::NoRoom)?;
            if wanted.access.is_locked {
                return Err(Reason::Locked);
            }
            if self.is_barred(room, turn.from) {
                return Err(Reason::Kicked);
            }
        }
        if place.opens.is_none() && !self.still_knows_password(room, &place) {
            let checked = self.check_password(turn, room, place.password.as_deref(), true);
            if checked.is_err() {
                // A copy of the request is no other guess.
                self.offers.forget(turn.from, id);
            }
            checked?;
        }
        let data = place.opens.as_ref().map_or(0, |opening| opening.data.size());
        if !self.table.extras.has_space(turn.from.ip(), data) {
            turn.bound = Refusal::Data;
            return Err(Reason::Limit);
        }
        self.make_place(turn, place.opens.is_none().then_some(room), true)?;
        if let Some(other) = self.table.peer_at(turn.from).map(|other| other.id) {
            self.end(turn.cx, other, Why::Elsewhere);
            self.departures.forget(turn.from);
        }
        self.offers.forget(turn.from, id);
        let mut peer = Peer::new(id, key, room, turn.from, turn.via);
        peer.lan = if options.lan.is_empty() { place.lan } else { options.lan.into() };
        match place.opens {
            Some(opening) => {
                peer.is_host = true;
                self.open(turn, opening, peer);
            }
            None => {
                (peer.knows_host, peer.wish) = (true, place.wish);
                self.table.join(turn.instant(), peer);
            }
        }
        self.prove(turn, id);
        self.answer_place(turn, id);
        Ok(())
    }

    /// Whether what somebody said when it asked was right and has not been changed since.
    pub(super) fn still_knows_password(&self, room: Id, place: &Place) -> bool {
        let word = place.password.as_deref();
        place.knew_password
            && self.table.room(room).is_some_and(|room| room.access.accepts_password(word))
    }

    /// Somebody who comes into a room, or opens one (`None`): as it was offered, if it was.
    pub(super) fn newcomer(&mut self, turn: &Turn<'_, '_>, room: Option<Id>) -> Peer {
        let (id, key, room, is_host) = match self.offers.last(turn.from, room) {
            Some(offer) => (offer.id, offer.key, offer.room, offer.place.opens.is_some()),
            None => {
                let (id, key) = (self.fresh_id(), self.fresh_key());
                (id, key, room.unwrap_or_else(|| self.fresh_id()), room.is_none())
            }
        };
        self.offers.forget(turn.from, id);
        let mut peer = Peer::new(id, key, room, turn.from, turn.via);
        (peer.is_host, peer.knows_host) = (is_host, !is_host);
        peer
    }

    /// A client that has shown no key yet has gone elsewhere, or somebody in its name: it has its place again
    /// with the key that it may be about to show.
    pub(super) fn offer_again(&mut self, now: Instant, client: Peer) {
        let Peer { id, key, room, endpoint, wish, lan, .. } = client;
        let access = self.table.room(room).map(|room| &room.access);
        // It has been in.
        let password = access.and_then(|access| access.password()).map(Into::into);
        let place = Place { opens: None, wish, lan, password, knew_password: true };
        self.offers.make(now, endpoint, Offer { id, key, room, place });
    }

    /// There is no place for somebody who may be forged, neither in this room nor, if it is `None`, as
    /// a host. If one who has shown a key would find one, it is offered, and else refused.
    pub(super) fn offer(
        &mut self,
        turn: &mut Turn<'_, '_>,
        room: Option<Id>,
        place: Place,
        reason: Reason,
    ) -> Result<(), Reason> {
        if reason == Reason::Busy || self.in_the_way(turn, room, Duration::ZERO).is_err() {
            return Err(reason);
        }
        let before = self.offers.of_place(turn.from, room, &place).cloned();
        if let (Some(room), None) = (room, self.offers.last(turn.from, room))
            && !self.may_tell_host(turn.cx, room, turn.from)
        {
            turn.bound = Refusal::Unproven;
            return Err(Reason::Busy);
        }
        let (id, key, at) = match before {
            Some(offer) => (offer.id, offer.key, offer.room),
            None => {
                let (id, key) = (self.fresh_id(), self.fresh_key());
                (id, key, room.unwrap_or_else(|| self.fresh_id()))
            }
        };
        let knows_password = place.knew_password;
        self.offers.make(turn.instant(), turn.from, Offer { id, key, room: at, place });
        let host = self.table.room(at).and_then(|room| self.table.peer(room.host));
        let place = match host {
            Some(host) if knows_password => {
                let host_at = self.directly(turn.cx, host.endpoint, turn.from);
                Answer::Joined(at, id, host_at)
            }
            // Who may not know the password is not told yet where the host is.
            Some(_) => Answer::Joined(at, id, SocketAddr::new(turn.from.ip(), DISCARD)),
            None => Answer::Hosting(at, None),
        };
        let to = self.back(turn);
        self.delivery.send_place(turn.cx, to, Some(place), Answer::Own(id, key));
        Ok(())
    }
}
