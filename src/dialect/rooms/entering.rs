//! How a peer gets into a room: it hosts one, joins one, or comes back.

use std::net::SocketAddr;
use std::time::Duration;

use log::{debug, info, warn};

use super::delivery::To;
use super::departures::How;
use super::leaving::Why;
use super::list;
use super::message::{Answer, Reason, Wanted};
use super::offers::Place;
use super::options::Options;
use super::table::{Opening, Peer, set_all};
use super::{Id, Key, Named, Rooms, Turn};
use crate::dialect::{Context, Name};
use crate::introductions::cluster_plan;
use crate::limits;
use crate::lobby::data::Data;
use crate::lobby::guesses::Guess;
use crate::prefixes::network;
use crate::refusals::Reason as Refusal;

impl Rooms {
    /// `rh`: makes a room with the sender as host.
    pub(super) fn host(
        &mut self,
        turn: &mut Turn<'_, '_>,
        name: String,
        options: Options,
    ) -> Result<(), Reason> {
        let there = self.table.peer_at(turn.from);
        // Somebody else may have moved a room of his own to where the sender is.
        let is_led_here = there.is_some_and(|host| host.is_host && host.has_moved_unproved());
        let before = there.map(|peer| (peer.id, peer.is_host));
        let mut may_be_anothers = is_led_here;
        if let Some((id, true)) = before
            && !is_led_here
        {
            let is_unproved = there.is_some_and(|host| !host.has_shown_key());
            match self.host_again(turn, id, &name, &options) {
                // Somebody else may have opened that one in the sender's name.
                Err(Reason::BadRequest) if is_unproved => may_be_anothers = true,
                done => return done,
            }
        }
        if matches!(self.departures.just_now(turn.instant(), turn.from), Some((_, How::Closed))) {
            return Ok(());
        }
        let game = turn.game(&options);
        let opening = opening(name, game, options).ok_or(Reason::BadRequest)?;
        // Who has not shown a key takes none of what others may have.
        let has_much = opening.data.size() > limits::ROOM_OWN_DATA;
        if has_much && !self.table.extras.has_space(turn.from.ip(), opening.data.size()) {
            turn.bound = Refusal::Data;
            return Err(Reason::Limit);
        }
        let made = match has_much || may_be_anothers || self.needs_key_to_leave(turn) {
            true if self.stopping => Err(Reason::Busy),
            true => Err(Reason::Limit),
            false => self.make_place(turn, None, false),
        };
        if let Err(reason) = made {
            let lan = opening.options.lan.clone().into();
            return self.offer(
                turn,
                None,
                Place { opens: Some(opening), lan, ..Place::default() },
                reason,
            );
        }
        if let Some((id, false)) = before {
            self.end(turn.cx, id, Why::Elsewhere);
        }
        let mut host = self.newcomer(turn, None);
        host.lan = opening.options.lan.clone().into();
        let id = host.id;
        debug!("room {} opened by {}, who has not proved itself", Named(&opening.name), turn.from);
        self.open(turn, opening, host);
        self.answer_place(turn, id);
        Ok(())
    }

    pub(super) fn open(&mut self, turn: &Turn<'_, '_>, opening: Opening, host: Peer) {
        let code = (opening.options.is_private == Some(true)).then(|| self.fresh_code());
        self.table.open(turn.instant(), host.room, opening, code, host);
    }

    /// `jr`: introduces the sender to the host of a room.
    pub(super) fn join(
        &mut self,
        turn: &mut Turn<'_, '_>,
        wanted: Wanted,
        options: &Options,
    ) -> Result<(), Reason> {
        let game = turn.game(options);
        let room = match wanted {
            Wanted::Id(id) => id,
            Wanted::Code(code) => {
                let room = self.table.by_code(code);
                let is_right =
                    || room.and_then(|id| self.table.game_of(id)).is_some_and(|of| *of == *game);
                match self.guesses.check(turn.instant(), (turn.from.ip(), "code"), is_right) {
                    Guess::Right => room.ok_or(Reason::NoRoom)?,
                    Guess::Wrong => return Err(Reason::NoRoom),
                    Guess::TooMany => {
                        turn.bound = Refusal::Guesses;
                        return Err(Reason::Limit);
                    }
                }
            }
        };
        match self.node_of(turn, room) {
            None => self.join_room(turn, room, &game, options),
            Some(node) => self.join_elsewhere(turn, node, room, &game),
        }
    }

    /// The same, with the room found.
    pub(super) fn join_room(
        &mut self,
        turn: &mut Turn<'_, '_>,
        room: Id,
        game: &str,
        options: &Options,
    ) -> Result<(), Reason> {
        let wish = options.wish;
        let sender = turn.sender.and_then(|id| self.table.peer(id));
        let before = sender.map(|peer| peer.id);
        match sender {
            // A room that somebody may have opened in its name is in nobody's way.
            Some(host) if host.is_host && (host.proved || host.room == room) => {
                return Err(Reason::BadRequest);
            }
            Some(client) if !client.is_host && client.room == room => {
                let id = client.id;
                // Others may have asked in its name.
                let client = self.table.peer_mut(id);
                if let Some(client) = client.filter(|client| client.may_be_said_to_want(wish)) {
                    client.wish = wish;
                }
                self.relay_at_once(turn.cx, id);
                self.answer_place(turn, id);
                self.introduce_again(turn, id);
                return Ok(());
            }
            _ => {}
        }
        self.may_enter(turn, room, game, options)?;
        if self.departures.just_now(turn.instant(), turn.from) == Some((room, How::Left)) {
            return Ok(());
        }
        let password = &options.password;
        let lan = options.lan.clone().into();
        match self.check_password(turn, room, password.as_deref(), false) {
            // Others may have guessed in its name. What it has said rightly before still counts.
            Err(Reason::Limit) => {
                let before = self.offers.last(turn.from, Some(room));
                let before = before.filter(|it| self.still_knows_password(room, &it.place));
                let knew_password = before.is_some();
                let password = before.map_or(password, |offer| &offer.place.password).clone();
                let place = Place { opens: None, wish, lan, password, knew_password };
                return self.offer(turn, Some(room), place, Reason::Limit);
            }
            checked => checked?,
        }
        let made = if self.needs_key_to_leave(turn) {
            let in_the_way = self.in_the_way(turn, Some(room), Duration::ZERO);
            in_the_way.and(Err(Reason::Limit))
        } else {
            self.make_place(turn, Some(room), false)
        };
        if let Err(reason) = made {
            let password = password.clone();
            let place = Place { opens: None, wish, lan, password, knew_password: true };
            return self.offer(turn, Some(room), place, reason);
        }
        if self.offers.last(turn.from, Some(room)).is_none()
            && !self.may_tell_host(turn.cx, room, turn.from)
        {
            turn.bound = Refusal::Unproven;
            return Err(Reason::Busy);
        }
        if let Some(id) = before {
            self.end(turn.cx, id, Why::Elsewhere);
        }
        let mut client = self.newcomer(turn, Some(room));
        client.wish = wish;
        client.lan = lan;
        let id = client.id;
        self.table.join(turn.instant(), client);
        self.answer_place(turn, id);
        self.introduce(turn.cx, id);
        debug!("client {} asks for room {}", turn.from, self.named(room));
        Ok(())
    }

    /// Whether the sender has a place that it leaves for another only when it shows the key of that: it ends
    /// its requests with its key, so what comes without may be forged.
    fn needs_key_to_leave(&self, turn: &Turn<'_, '_>) -> bool {
        let sender = turn.sender.and_then(|id| self.table.peer(id));
        sender.is_some_and(|peer| peer.signs) || self.signs_elsewhere(turn)
    }

    /// Whether somebody new may come into a room, if there is a place and he knows the password.
    fn may_enter(
        &mut self,
        turn: &Turn<'_, '_>,
        id: Id,
        game: &str,
        options: &Options,
    ) -> Result<(), Reason> {
        let room = self.table.room(id).filter(|room| !room.is_closing && *room.game == *game);
        let room = room.ok_or(Reason::NoRoom)?;
        if self.is_barred(id, turn.from) {
            return Err(Reason::Kicked);
        }
        if room.access.is_locked {
            return Err(Reason::Locked);
        }
        if let Some(host) = self.table.peer(room.host).map(|host| host.endpoint)
            && cluster_plan::are_apart(turn.cx, options.wish, [turn.from, host])
        {
            self.log_families(turn, host);
            return Err(Reason::Family);
        }
        Ok(())
    }

    /// Who says nothing has not guessed. Guesses that may be forged are counted apart from those of who has
    /// shown a key.
    pub(super) fn check_password(
        &mut self,
        turn: &mut Turn<'_, '_>,
        id: Id,
        word: Option<&str>,
        has_shown_key: bool,
    ) -> Result<(), Reason> {
        let room = self.table.room(id).ok_or(Reason::NoRoom)?;
        if !room.access.has_password() {
            return Ok(());
        }
        let Some(word) = word else { return Err(Reason::BadKey) };
        let is_right = || room.access.accepts_password(Some(word));
        match self.guesses.check(turn.instant(), (turn.from.ip(), (id, has_shown_key)), is_right) {
            Guess::Right => Ok(()),
            Guess::Wrong => Err(Reason::BadKey),
            Guess::TooMany => {
                turn.bound = Refusal::Guesses;
                Err(Reason::Limit)
            }
        }
    }

    /// `rc`: gives a peer its place back, at the endpoint where it is now.
    pub(super) fn come_back(
        &mut self,
        turn: &mut Turn<'_, '_>,
        id: Id,
        key: Key,
        options: Options,
    ) -> Result<(), Reason> {
        let Some(peer) = self.table.peer(id) else {
            let offer = self.offers.shown(turn.from, id, key);
            let offer = offer.filter(|offer| offer.place.opens.is_none());
            let room = offer.map(|offer| (offer.room, offer.place.password.clone()));
            let taken = self.take_offer(turn, id, key, options);
            return taken.inspect_err(|reason| self.note_not_taken(turn, room, *reason));
        };
        let is_current = peer.key.is(key);
        let is_former = peer.came_by.as_ref().is_some_and(|former| former.is(key));
        // The former key still counts while nobody has shown that the answer with the new one has arrived.
        let has_key = is_current || is_former && !peer.proved;
        let (is_kept, is_here) = (peer.is_kept, peer.endpoint == turn.from);
        // Its host knows it and was not told that it is gone.
        let is_still_known = peer.is_unsaid && peer.told;
        let in_the_way = if is_here { None } else { self.may_relocate(turn, id, has_key)? };
        if is_kept && has_key {
            self.take_back(turn, id, is_here)?;
        }
        let peer = self.table.peer(id).ok_or(Reason::NoRoom)?;
        if is_here {
            if is_current && peer.proved {
                self.table.heard(turn.instant(), id, turn.via);
                self.tell_left_behind(turn);
            } else if is_current {
                self.prove(turn, id);
            } else if !is_former {
                return Err(Reason::BadKey);
            }
        } else {
            let (room, is_host, heard) = (peer.room, peer.is_host, peer.heard);
            if let Some(other) = in_the_way {
                self.end(turn.cx, other, Why::Evicted);
            }
            self.relocate(turn, id, key);
            self.note_lan(turn, id, options);
            self.answer_place(turn, id);
            if is_kept && !is_host && !is_still_known {
                self.forget_ends(id);
                self.introduce(turn.cx, id);
            } else {
                self.tell_new_endpoint(turn, id);
            }
            // What was said meanwhile has gone to where it was.
            let renamed = self.table.room(room).and_then(|room| room.renamed);
            if !is_host && renamed.is_some_and(|renamed| renamed >= heard) {
                self.tell_name(turn, id);
            }
            return Ok(());
        }
        self.note_lan(turn, id, options);
        self.answer_place(turn, id);
        Ok(())
    }

    /// A peer has said where it is in its own network.
    fn note_lan(&mut self, turn: &mut Turn<'_, '_>, id: Id, options: Options) {
        let Some(peer) = self.table.peer_mut(id) else { return };
        if !options.lan.is_empty() && *peer.lan != *options.lan {
            peer.lan = options.lan.into();
            self.tell_lan(turn.cx, id);
        }
    }

    /// A peer has shown its key from where it was told it: it hears what is sent there.
    pub(super) fn prove(&mut self, turn: &mut Turn<'_, '_>, id: Id) {
        if self.table.peer(id).is_none_or(|peer| peer.proved) {
            return;
        }
        let now = turn.instant();
        self.table.prove(&mut turn.cx.shared.unproven, now, id, turn.via);
        turn.cx.shared.nats.prove(turn.from.ip());
        self.departures.forget_kick(turn.from);
        self.note_proven(turn.cx, id);
        self.tell_proven(turn.cx, id);
        self.tell_left_behind(turn);
    }

    /// Whether a peer may be from now on where this comes from, and who has to go for it. Else one address would have
    /// any number of places, all of which are looked through for each that it asks for.
    fn may_relocate(
        &mut self,
        turn: &mut Turn<'_, '_>,
        id: Id,
        has_key: bool,
    ) -> Result<Option<Id>, Reason> {
        if !has_key {
            return Err(Reason::BadKey);
        }
        let Some(peer) = self.table.peer(id) else { return Err(Reason::NoRoom) };
        let (room, is_host, old) = (peer.room, peer.is_host, peer.endpoint);
        // The others could not reach it any more, but for a client its host, if the relay has both families.
        let host = self.table.room(room).and_then(|room| self.table.peer(room.host));
        let is_apart = host.is_none_or(|host| {
            is_host || cluster_plan::are_apart(turn.cx, peer.wish, [turn.from, host.endpoint])
        });
        if old.is_ipv4() != turn.from.is_ipv4() && is_apart {
            // It has said the key.
            turn.is_signed = true;
            self.log_families(turn, old);
            return Err(Reason::Family);
        }
        // To its neighbours a NAT gives other ports. Who comes from another network may be the one who was kicked.
        let is_near = network(old.ip()) == network(turn.from.ip());
        let is_barred = !is_near && self.is_barred(room, turn.from);
        if !is_host && (is_barred || self.is_kicked_out(room, (turn.from, id))) {
            return Err(Reason::Kicked);
        }
        // Somebody else may send this with the key of a place of his own.
        let other = self.table.peer_at(turn.from);
        let is_needed = other.is_some_and(|other| other.signs || other.is_host && other.proved);
        if is_needed || self.signs_elsewhere(turn) {
            return Err(Reason::BadRequest);
        }
        if is_near {
            return Ok(None);
        }
        self.in_the_way_of_mover(turn, is_host)
    }

    fn relocate(&mut self, turn: &mut Turn<'_, '_>, id: Id, key: Key) {
        let Some(peer) = self.table.peer(id) else { return };
        let (room, is_host, old) = (peer.room, peer.is_host, peer.endpoint);
        if let Some(other) = self.table.peer_at(turn.from).map(|other| other.id) {
            self.end(turn.cx, other, Why::Elsewhere);
        }
        // Else somebody else is there by now.
        let was_there = self.table.id_at(old) == Some(id);
        let fresh = self.fresh_key();
        let now = turn.instant();
        let unproven = &mut turn.cx.shared.unproven;
        self.table.relocate(unproven, now, id, turn.from, key, fresh);
        self.forget_told_at(id, old);
        self.table.heard(turn.instant(), id, turn.via);
        if was_there {
            turn.cx.shared.relay.moved(Name::Rooms, old, turn.from);
            self.relays.moved(old, turn.from);
            let how = if is_host { How::Closed } else { How::Left };
            self.departures.note(turn.instant(), old, (room, how));
        }
        if self.lines.says(turn.cx.now, turn.from.ip()) {
            let whom = if is_host { "host" } else { "client" };
            info!("{whom} {old} of room {} is back as {}", self.named(room), turn.from);
        }
    }

    /// Tells a peer what place it has.
    pub(super) fn answer_place(&mut self, turn: &mut Turn<'_, '_>, id: Id) {
        let Some(peer) = self.table.peer(id) else { return };
        let Some(room) = self.table.room(peer.room) else { return };
        // What it is told otherwise goes where it has shown its key; but it may not reach that node any more.
        let to = To { via: turn.via, ..To::from(peer) };
        let own = Answer::Own(id, peer.key);
        if peer.is_host {
            let hosting = Answer::Hosting(room.id, room.code);
            return self.delivery.send_place(turn.cx, to, Some(hosting), own);
        }
        let Some(host) = self.table.peer(room.host) else { return };
        let host_at = self.told_at(turn.cx, host, peer);
        // Else it is told when the host has shown that it is where it seems to be.
        let joined = peer.knows_host.then_some(Answer::Joined(room.id, id, host_at));
        self.delivery.send_place(turn.cx, to, joined, own);
        let ports = Self::next_ports(turn.cx, host, peer);
        if peer.knows_host && !ports.is_empty() {
            self.delivery.send(turn.cx, to, |bytes| {
                Answer::Predicted(host.id, &ports).write(bytes);
            });
        }
    }

    /// Two cannot be introduced, as they have addresses of different families.
    /// Anybody can send in the name of who has shown no key: that is a detail.
    fn log_families(&mut self, turn: &Turn<'_, '_>, other: SocketAddr) {
        let (one, is_proven) = (turn.from, turn.is_signed);
        if !is_proven {
            debug!("{one} and {other} cannot meet in a room, one has IPv4 and the other IPv6");
        } else if let Some(before) = self.foreign.say(turn.instant()) {
            warn!(
                dialect = "rooms", event = "refused", client:% = one, host:% = other, reason = "family";
                "{one} and {other} cannot meet in a room, one has IPv4 and the other IPv6{before}"
            );
        }
    }

    /// A peer has proved itself: only now is it more than a datagram that anybody may have forged.
    fn note_proven(&mut self, cx: &mut Context<'_>, id: Id) {
        let Some(peer) = self.table.peer(id) else { return };
        let (at, id, is_host) = (peer.endpoint, peer.room, peer.is_host);
        let host = self.table.room(id).and_then(|room| self.table.peer(room.host));
        let host = host.map(|host| host.endpoint).filter(|_| !is_host);
        if let Some(host) = host {
            let told = |who, whom| self.config.public_ips.told_at(who, whom);
            cx.introduced([at, host], [told(host, at), told(at, host)]);
        }
        if !self.lines.says(cx.now, at.ip()) {
            return;
        }
        if is_host {
            let (game, room) = self.names(id);
            info!(
                dialect = "rooms", event = "registered", host:% = at, game = game, room = room;
                "room {} is open, its host is {at}", self.named(id)
            );
        } else if let Some(host) = host {
            let (game, room) = self.names(id);
            info!(
                dialect = "rooms", event = "introduced", client:% = at, host:% = host, game = game,
                room = room; "client {at} introduced to host {host} of room {}", self.named(id)
            );
        }
    }
}

/// A room as somebody wants it, if there can be one like that.
fn opening(name: String, game: Box<str>, mut options: Options) -> Option<Opening> {
    let mut data = Data::default();
    let is_small = !options.is_mesh || options.max.is_none_or(|max| max <= limits::MESH_PLAYERS);
    let can_be = is_small && set_all(&mut data, &options) && list::fits(&name, &data);
    options.data = Vec::new();
    can_be.then_some(Opening { name, game, options, data })
}
