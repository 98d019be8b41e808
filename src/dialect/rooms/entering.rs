//! How a peer gets into a room: it hosts one, joins one, or comes back.

use std::net::SocketAddr;
use std::time::Duration;

use log::{debug, info, warn};

use super::leaving::Why;
use super::message::{Answer, Reason};
use super::offers::Offer;
use super::parted::How;
use super::post::To;
use super::table::Peer;
use super::{Id, Key, Named, Rooms, Turn};
use crate::clock::Now;
use crate::customers::network;
use crate::introductions::plan::{self, Wish};
use crate::limits;

impl Rooms {
    /// `rh`: makes a room with the sender as host.
    pub(super) fn host(&mut self, turn: &mut Turn<'_, '_>, name: String) -> Result<(), Reason> {
        let before = self.table.peer_at(turn.from).map(|peer| (peer.id, peer.is_host));
        if let Some((id, true)) = before {
            self.answer_place(turn, id);
            return Ok(());
        }
        if matches!(self.parted.just_now(turn.instant(), turn.from), Some((_, How::Closed))) {
            return Ok(());
        }
        if let Err(reason) = self.make_place(turn, None, false) {
            return self.offer(turn, None, (name, Wish::default()), reason);
        }
        if let Some((id, false)) = before {
            self.end(turn.cx, id, Why::Left);
        }
        let host = self.newcomer(turn, None);
        let (id, room) = (host.id, host.room);
        debug!("room {} opened by {}, who has not proved itself", Named(&name), turn.from);
        self.table.open(turn.instant(), room, name, host);
        self.answer_place(turn, id);
        Ok(())
    }

    /// `jr`: introduces the sender to the host of a room.
    pub(super) fn join(
        &mut self,
        turn: &mut Turn<'_, '_>,
        room: Id,
        wish: Wish,
    ) -> Result<(), Reason> {
        let before = self.table.peer_at(turn.from).map(|peer| peer.id);
        match self.table.peer_at(turn.from) {
            // A room that somebody may have opened in its name is in nobody's way.
            Some(host) if host.is_host && (host.proved || host.room == room) => {
                return Err(Reason::BadRequest);
            }
            Some(client) if !client.is_host && client.room == room => {
                let id = client.id;
                if let Some(client) = self.table.peer_mut(id) {
                    client.wish = wish;
                }
                self.relay_at_once(turn.cx, id);
                self.answer_place(turn, id);
                self.introduce_again(turn, id);
                return Ok(());
            }
            _ => {}
        }
        let wanted = self.table.room(room).filter(|room| !room.is_closing);
        let wanted = wanted.ok_or(Reason::NoRoom)?;
        if self.is_barred(room, turn.from) {
            return Err(Reason::Kicked);
        }
        if let Some(host) = self.table.peer(wanted.host).map(|host| host.endpoint)
            && plan::are_apart(turn.cx, wish, [turn.from, host])
        {
            self.log_families(turn.cx.now, turn.from, host);
            return Err(Reason::Family);
        }
        if self.parted.just_now(turn.instant(), turn.from) == Some((room, How::Left)) {
            return Ok(());
        }
        if let Err(reason) = self.make_place(turn, Some(room), false) {
            return self.offer(turn, Some(room), (String::new(), wish), reason);
        }
        if self.offers.to(turn.from, Some(room)).is_none()
            && !self.may_tell_host(turn.cx, room, turn.from)
        {
            return Err(Reason::Busy);
        }
        if let Some(id) = before {
            self.end(turn.cx, id, Why::Left);
        }
        let mut client = self.newcomer(turn, Some(room));
        client.wish = wish;
        let id = client.id;
        self.table.join(turn.instant(), client);
        self.answer_place(turn, id);
        self.introduce(turn.cx, id);
        debug!("client {} asks for room {}", turn.from, self.named(room));
        Ok(())
    }

    /// `rc`: gives a peer its place back, at the endpoint where it is now.
    pub(super) fn come_back(
        &mut self,
        turn: &mut Turn<'_, '_>,
        id: Id,
        key: Key,
    ) -> Result<(), Reason> {
        let Some(peer) = self.table.peer(id) else { return self.take_offer(turn, id, key) };
        let is_current = peer.key.is(key);
        let is_former = peer.came_by.is_some_and(|former| former.is(key));
        if peer.is_kept && (is_current || is_former && !peer.proved) {
            self.take_back(turn, id)?;
        }
        let peer = self.table.peer(id).ok_or(Reason::NoRoom)?;
        if peer.endpoint == turn.from {
            if is_current {
                self.prove(turn, id);
            } else if !is_former {
                return Err(Reason::BadKey);
            }
        } else {
            // The former key still counts while nobody has shown that the answer with the new one
            // has arrived.
            if !is_current && (peer.proved || !is_former) {
                return Err(Reason::BadKey);
            }
            self.relocate(turn, id, key)?;
            self.answer_place(turn, id);
            self.tell_new_endpoint(turn, id);
            return Ok(());
        }
        self.answer_place(turn, id);
        Ok(())
    }

    /// A peer has shown its key from where it was told it: it hears what is sent there.
    pub(super) fn prove(&mut self, turn: &mut Turn<'_, '_>, id: Id) {
        if self.table.peer(id).is_none_or(|peer| peer.proved) {
            return;
        }
        let now = turn.instant();
        self.table.prove(&mut turn.cx.shared.unproven, now, id, turn.via);
        self.log_proven(turn.cx.now, id);
        self.tell_proven(turn.cx, id);
    }

    /// A peer has the place that it was offered.
    fn take_offer(&mut self, turn: &mut Turn<'_, '_>, id: Id, key: Key) -> Result<(), Reason> {
        let offer = self.offers.shown(turn.from, id, key).cloned();
        let Offer { room, name, wish, .. } = offer.ok_or(Reason::NoRoom)?;
        if name.is_none() {
            self.table.room(room).ok_or(Reason::NoRoom)?;
            if self.is_barred(room, turn.from) {
                return Err(Reason::Kicked);
            }
        }
        self.make_place(turn, name.is_none().then_some(room), true)?;
        if let Some(other) = self.table.peer_at(turn.from).map(|other| other.id) {
            self.end(turn.cx, other, Why::Left);
            self.parted.forget(turn.from);
        }
        self.offers.forget(turn.from);
        let mut peer = Peer::new(id, key, room, turn.from, turn.via);
        match name {
            Some(name) => {
                peer.is_host = true;
                self.table.open(turn.instant(), room, name, peer);
            }
            None => {
                (peer.knows_host, peer.wish) = (true, wish);
                self.table.join(turn.instant(), peer);
            }
        }
        self.prove(turn, id);
        self.answer_place(turn, id);
        Ok(())
    }

    fn relocate(&mut self, turn: &mut Turn<'_, '_>, id: Id, key: Key) -> Result<(), Reason> {
        let Some(peer) = self.table.peer(id) else { return Err(Reason::NoRoom) };
        let (room, is_host, old) = (peer.room, peer.is_host, peer.endpoint);
        // The others could not reach it any more.
        if old.is_ipv4() != turn.from.is_ipv4() {
            self.log_families(turn.cx.now, turn.from, old);
            return Err(Reason::Family);
        }
        if !is_host && self.is_barred(room, turn.from) {
            return Err(Reason::Kicked);
        }
        match self.table.peer_at(turn.from).map(|other| (other.id, other.is_host && other.proved)) {
            Some((_, true)) => return Err(Reason::BadRequest),
            Some((other, false)) => self.end(turn.cx, other, Why::Left),
            None => {}
        }
        let fresh = self.fresh_key();
        let now = turn.instant();
        let unproven = &mut turn.cx.shared.unproven;
        self.table.relocate(unproven, now, id, turn.from, key, fresh);
        self.table.heard(turn.instant(), id, turn.via);
        let how = if is_host { How::Closed } else { How::Left };
        self.parted.note(turn.instant(), old, (room, how));
        if self.lines.says(turn.cx.now, turn.from.ip()) {
            let whom = if is_host { "host" } else { "client" };
            info!("{whom} {old} of room {} is back as {}", self.named(room), turn.from);
        }
        Ok(())
    }

    /// Tells a peer what place it has.
    fn answer_place(&mut self, turn: &mut Turn<'_, '_>, id: Id) {
        let Some(peer) = self.table.peer(id) else { return };
        let Some(room) = self.table.room(peer.room) else { return };
        let to = To::from(peer);
        let own = Answer::Own(id, peer.key);
        if peer.is_host {
            return self.post.send_place(turn.cx, to, Some(Answer::Hosting(room.id)), own);
        }
        let Some(host) = self.table.peer(room.host) else { return };
        let host_at = self.told_at(turn.cx, host, peer);
        // Else it is told when the host has shown that it is where it seems to be.
        let joined = peer.knows_host.then(|| Answer::Joined(room.id, id, host_at));
        self.post.send_place(turn.cx, to, joined, own);
        let ports = self.next_ports(turn.cx, host.id, id);
        if peer.knows_host && !ports.is_empty() {
            self.post.send(turn.cx, to, |bytes| {
                Answer::Predicted(host.id, &ports).write(bytes);
            });
        }
    }

    /// Somebody who comes into a room, or opens one (`None`): as it was offered, if it was.
    fn newcomer(&mut self, turn: &Turn<'_, '_>, room: Option<Id>) -> Peer {
        let (id, key, room, is_host) = match self.offers.to(turn.from, room) {
            Some(offer) => (offer.id, offer.key, offer.room, offer.name.is_some()),
            None => {
                let (id, key) = (self.fresh_id(), self.fresh_key());
                (id, key, room.unwrap_or_else(|| self.fresh_id()), room.is_none())
            }
        };
        self.offers.forget(turn.from);
        let mut peer = Peer::new(id, key, room, turn.from, turn.via);
        (peer.is_host, peer.knows_host) = (is_host, !is_host);
        peer
    }

    /// There is no place for somebody who may be forged, neither in this room nor, if it is `None`, as
    /// a host. If one who has shown a key would find one, it is offered, and else refused.
    fn offer(
        &mut self,
        turn: &mut Turn<'_, '_>,
        room: Option<Id>,
        (name, wish): (String, Wish),
        reason: Reason,
    ) -> Result<(), Reason> {
        if reason == Reason::Busy || self.in_the_way(turn, room, Duration::ZERO).is_err() {
            return Err(reason);
        }
        let before = self.offers.to(turn.from, room).cloned();
        if let (Some(room), None) = (room, &before)
            && !self.may_tell_host(turn.cx, room, turn.from)
        {
            return Err(Reason::Busy);
        }
        let (id, key, at) = match before {
            Some(offer) => (offer.id, offer.key, offer.room),
            None => {
                let (id, key) = (self.fresh_id(), self.fresh_key());
                (id, key, room.unwrap_or_else(|| self.fresh_id()))
            }
        };
        let name = room.is_none().then_some(name);
        self.offers.make(turn.instant(), turn.from, Offer { id, key, room: at, name, wish });
        let host = self.table.room(at).and_then(|room| self.table.peer(room.host));
        let place = match host {
            Some(host) => {
                let host_at = self.directly(turn.cx, host.endpoint, turn.from);
                Answer::Joined(at, id, host_at)
            }
            None => Answer::Hosting(at),
        };
        let to = self.back(turn);
        self.post.send_place(turn.cx, to, Some(place), Answer::Own(id, key));
        Ok(())
    }

    /// Who has to go for a newcomer in this room, and who for one of its address; if it has shown
    /// its key, those who have not need no time for it.
    fn in_the_way(
        &self,
        turn: &Turn<'_, '_>,
        room: Option<Id>,
        patience: Duration,
    ) -> Result<[Option<Id>; 2], Reason> {
        let in_room = match room {
            Some(room) => self.in_the_way_there(turn, room, patience)?,
            None => None,
        };
        let (limits, is_host) = (&self.config.limits, room.is_none());
        let most = if is_host { limits.hosts_per_address } else { limits.connections_per_address };
        let neighbours = self.table.neighbours(turn.from.ip());
        let here: Vec<Id> =
            neighbours.filter(|peer| peer.is_host == is_host).map(|peer| peer.id).collect();
        let mut neighbour = None;
        if here.len() >= most {
            let mut last = self.table.gives_way(turn.instant(), &here, patience);
            // Nobody who may be forged takes from another what is kept of it.
            if last.is_none() && patience.is_zero() {
                let neighbours = here.iter().filter_map(|id| self.table.peer(*id));
                let kept = neighbours.filter(|peer| peer.is_kept);
                last = kept.min_by_key(|peer| peer.endpoint != turn.from).map(|peer| peer.id);
            }
            neighbour = Some(last.ok_or(Reason::Limit)?);
        }
        Ok([in_room, neighbour])
    }

    /// Who has to go for a newcomer in this room.
    pub(super) fn in_the_way_there(
        &self,
        turn: &Turn<'_, '_>,
        room: Id,
        patience: Duration,
    ) -> Result<Option<Id>, Reason> {
        let room = self.table.room(room).ok_or(Reason::NoRoom)?;
        if room.clients.len() < limits::CLIENTS_PER_ROOM {
            return Ok(None);
        }
        let unproved = self.table.gives_way(turn.instant(), &room.clients, patience);
        let last = unproved.or_else(|| self.table.largest_in(room, turn.from.ip()));
        last.ok_or(Reason::Full).map(Some)
    }

    /// Whether a newcomer is within bounds in this room, or as a host (`None`); makes place for it if
    /// somebody has to go.
    fn make_place(
        &mut self,
        turn: &mut Turn<'_, '_>,
        room: Option<Id>,
        has_shown_key: bool,
    ) -> Result<(), Reason> {
        if self.stopping {
            return Err(Reason::Busy);
        }
        let patience = if has_shown_key { Duration::ZERO } else { limits::UNPROVED_PLACE };
        let in_the_way = self.in_the_way(turn, room, patience)?;
        let source = (network(turn.from.ip()), has_shown_key);
        if !self.places.allow_source(turn.instant(), source) {
            return Err(Reason::Limit);
        }
        for id in in_the_way.into_iter().flatten() {
            self.end(turn.cx, id, Why::MadePlace);
        }
        if self.table.len() >= self.config.peers {
            if let Some(before) = self.full.say(turn.instant()) {
                warn!("all {} places in rooms are taken{before}", self.config.peers);
            }
            let unproved = self.table.longest_silent_unproved();
            let last = unproved.or_else(|| self.table.largest_of_all(turn.from.ip()));
            self.end(turn.cx, last.ok_or(Reason::Busy)?, Why::MadePlace);
        }
        Ok(())
    }

    /// Two cannot be introduced, as they have addresses of different families.
    fn log_families(&mut self, now: Now, one: SocketAddr, other: SocketAddr) {
        if let Some(before) = self.foreign.say(now.instant) {
            warn!(
                "{one} and {other} cannot meet in a room, one has IPv4 and the other IPv6{before}"
            );
        }
    }

    /// A peer has proved itself: only now is it more than a datagram that anybody may have forged.
    fn log_proven(&mut self, now: Now, id: Id) {
        let Some(peer) = self.table.peer(id) else { return };
        let (at, id, is_host) = (peer.endpoint, peer.room, peer.is_host);
        if !self.lines.says(now, at.ip()) {
            return;
        }
        let host = self.table.room(id).and_then(|room| self.table.peer(room.host));
        if is_host {
            info!("room {} is open, its host is {at}", self.named(id));
        } else if let Some(host) = host {
            let host = host.endpoint;
            info!("client {at} introduced to host {host} of room {}", self.named(id));
        }
    }
}
