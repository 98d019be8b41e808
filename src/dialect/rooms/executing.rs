//! Requests are read, admitted and carried out.

use std::net::SocketAddr;

use log::debug;

use super::delivery::Delivery;
use super::field::{Id, Key};
use super::list::{self, End};
use super::message::{self, Answer, Bad, Reason, Request, Verb};
use super::options::Options;
use super::table::Status;
use super::{Handed, Rooms, Turn, filter};
use crate::dialect::route::Route;
use crate::dialect::{Context, Name};
use crate::introductions::journal::Attempt;
use crate::introductions::plan;
use crate::limits;
use crate::refusals::Reason as Refusal;
use crate::truncation::Quoted;

impl Rooms {
    /// A datagram came, by this node or another one.
    pub(super) fn take(
        &mut self,
        cx: &mut Context<'_>,
        via: Route,
        (from, data): (SocketAddr, &[u8]),
        handed: Handed,
    ) {
        let now = cx.now.instant;
        cx.shared.credits.received(now, from.ip(), data.len());
        let turn = &mut Turn {
            cx,
            from,
            via,
            data,
            sender: self.table.id_at(from),
            is_signed: false,
            bound: Refusal::Requests,
            admitted_by: None,
            handed,
        };
        let (verb, result) = match Request::read_with_key(data) {
            Err(Bad::Foreign) => {
                return turn.cx.refused(Name::Rooms, Refusal::Malformed, from.ip());
            }
            Err(Bad::Answer) if self.passes_on(turn, None) => return,
            Err(Bad::Answer) => return self.end_unproved(turn),
            Err(Bad::Malformed(verb)) => (verb, Err(Reason::BadRequest)),
            Ok((request, _)) if !self.is_admitted(turn, &request) => {
                (request.verb(), Err(Reason::BadKey))
            }
            Ok((request, _)) if self.passes_on(turn, Some(&request)) => return,
            Ok((request, key)) => {
                let verb = request.verb();
                let sender = turn.sender;
                let signed = sender.map_or(Ok(()), |id| self.signed(turn, id, verb, key));
                // Who has shown its key is not counted any more with those who have not.
                let is_late = verb == Verb::Rc;
                if let Some(sender) = sender.filter(|_| !is_late) {
                    self.table.heard_from(now, sender, via, turn.is_signed);
                }
                let result = signed.and_then(|()| self.carry_out(request, turn));
                if let Some(sender) = sender.filter(|_| is_late) {
                    self.table.heard_from(now, sender, via, turn.is_signed);
                }
                (verb, result)
            }
        };
        if let Err(reason) = result {
            match message::wrong_field(data) {
                Some(field) => {
                    debug!("er:{verb}:{reason} to {from}: {} may not be there", Quoted(&field))
                }
                None => debug!("er:{verb}:{reason} to {from}"),
            }
            self.note_refused(turn, reason);
            self.answer(turn, Answer::Refused(verb, reason));
        }
    }

    /// Whether a request is that of the peer whose endpoint it comes from. One that has ended a request
    /// with its key does so whenever others could do harm in its name.
    pub(super) fn signed(
        &mut self,
        turn: &mut Turn<'_, '_>,
        sender: Id,
        verb: Verb,
        key: Option<Key>,
    ) -> Result<(), Reason> {
        let Some(peer) = self.table.peer(sender) else { return Ok(()) };
        let Some(key) = key else {
            let matters = matches!(verb, Verb::Lr | Verb::Cr | Verb::Kc | Verb::Rn | Verb::Pc);
            return if peer.signs && matters { Err(Reason::BadKey) } else { Ok(()) };
        };
        if !peer.key.is(key) {
            // Its place was given up in its name, and another one taken; or it has not taken yet what it was
            // offered. It has to send `rc`.
            let is_kept = self.table.kept_at(turn.from).any(|kept| kept.key.is(key));
            let has_place = is_kept || self.has_left(turn) || self.offers.is_key_of(turn.from, key);
            return Err(if has_place { Reason::NoRoom } else { Reason::BadKey });
        }
        let id = peer.id;
        turn.is_signed = true;
        self.prove(turn, id);
        let now = turn.instant();
        if let Some(peer) = self.table.peer_mut(id) {
            peer.signs = true;
            if verb == Verb::Ka {
                peer.note_signed_sign_of_life(now);
            }
        }
        Ok(())
    }

    pub(super) fn carry_out(
        &mut self,
        request: Request,
        turn: &mut Turn<'_, '_>,
    ) -> Result<(), Reason> {
        match request {
            Request::Status => {
                let is_busy = self.stopping || self.table.proven() >= self.config.peers;
                let answer = if is_busy { Answer::Busy } else { Answer::Ok };
                self.answer(turn, answer);
                Ok(())
            }
            Request::Host(name, options) => self.host(turn, name, options),
            Request::List(after, options) => self.list(turn, after, &options),
            Request::Join(wanted, options) => {
                let joined = self.join(turn, wanted, &options);
                joined.inspect_err(|reason| {
                    self.note_unmet(turn, Some(wanted), &options, *reason);
                })
            }
            Request::JoinAny(options) => {
                let joined = self.join_any(turn, &options);
                joined.inspect_err(|reason| self.note_unmet(turn, None, &options, *reason))
            }
            Request::Punched(client, worked) => self.punched(turn, client, worked),
            Request::Leave => self.leave(turn),
            Request::Close => self.close(turn),
            Request::KickId(client) => self.kick_id(turn, client),
            Request::KickIp(ip) => self.kick_ip(turn, ip),
            Request::LetInId(client) => self.let_in_id(turn, client),
            Request::LetInIp(ip) => self.let_in_ip(turn, ip),
            Request::Rename(name) => self.rename(turn, name),
            Request::Set(options) => self.set(turn, &options),
            Request::Return(client, key, options) => self.come_back(turn, client, key, options),
            Request::KeepAlive => self.keep_alive(turn),
        }
    }

    /// Whether a request has the key that it needs in front of it.
    pub(super) fn is_admitted(&mut self, turn: &mut Turn<'_, '_>, request: &Request) -> bool {
        if self.config.admission.is_open() {
            return true;
        }
        let key = message::key(turn.data);
        let admitted = self.config.admission.admits(key.as_deref(), key.as_deref().unwrap_or(""));
        if !admitted {
            let list = self.config.admission.list();
            let asks_for_key = self.config.admission.asks_for_key();
            let reason = if asks_for_key { Refusal::Key } else { Refusal::Game };
            let (now, whom) = (turn.instant(), (Name::Rooms, turn.from.ip()));
            let mut note = |why| self.refused.note_forgeable(now, whom, reason, why);
            match (&key, request.game()) {
                (Some(game), _) if !asks_for_key => {
                    let game = Quoted(game);
                    note(format_args!("its game {game} is not one of {list} (case-sensitive)"));
                }
                (None, Some(game)) if !asks_for_key => note(format_args!(
                    "its request for the game {} does not begin with k: and one of {list} \
                     (case-sensitive)",
                    Quoted(game)
                )),
                _ => note(format_args!(
                    "its request does not begin with k: and one of {list} (case-sensitive)"
                )),
            }
            turn.cx.refused(Name::Rooms, reason, turn.from.ip());
        }
        turn.admitted_by = key;
        admitted
    }

    /// Counts what the server itself refuses, and not another player.
    pub(super) fn note_refused(&self, turn: &mut Turn<'_, '_>, reason: Reason) {
        let reason = match reason {
            Reason::Limit => turn.bound,
            Reason::Busy if turn.bound == Refusal::Unproven => Refusal::Unproven,
            Reason::Busy if !self.stopping => Refusal::Places,
            Reason::BadRequest => Refusal::Malformed,
            Reason::Family => Refusal::Family,
            _ => return,
        };
        turn.cx.refused(Name::Rooms, reason, turn.from.ip());
    }

    pub(super) fn list(
        &mut self,
        turn: &mut Turn<'_, '_>,
        after: Option<Id>,
        options: &Options,
    ) -> Result<(), Reason> {
        let mut to = self.back(turn);
        let shown = options.cookie.as_deref();
        to.proved |=
            shown.is_some_and(|shown| self.cookies.are_shown(turn.instant(), turn.from, shown));
        let (now, addr) = (turn.instant(), turn.from.ip());
        let look = self.looking.look(now, addr, to.proved);
        let query = list::Query {
            game: &turn.game(options),
            after,
            filter: &filter(options)?,
            tells_all: !options.is_empty(),
            reader: addr,
            of_both_families: turn.cx.shared.relay.joins_families_anywhere(turn.cx.now),
            space: Delivery::space(&turn.cx.shared.credits, to),
            most_looks: look.most,
        };
        let (mut page, mut looked_at) = (Vec::new(), 0);
        let end = list::page(&self.table, &query, &mut looked_at, &mut page);
        self.looking.note(now, look, looked_at);
        let is_short = query.space < message::LONGEST_ANSWER;
        if is_short && shown.is_some() && matches!(end, Ok(End::Space) | Err(Reason::Limit)) {
            let cookie = self.cookies.of(turn.instant(), turn.from);
            self.answer(turn, Answer::Cookie(cookie));
            return Ok(());
        }
        if end == Err(Reason::Limit) {
            turn.bound = Refusal::Unproven;
        }
        end?;
        self.delivery.send(turn.cx, to, |bytes| bytes.append(&mut page));
        Ok(())
    }

    /// One side says how the punch of a client and the host ended.
    pub(super) fn punched(
        &mut self,
        turn: &mut Turn<'_, '_>,
        id: Id,
        worked: bool,
    ) -> Result<(), Reason> {
        let sender = self.place(turn)?;
        let (room, is_host, own) = (sender.room, sender.is_host, sender.id);
        let is_proven = sender.proved;
        if !is_host && own != id && self.are_introduced(own, id) {
            self.delivery.confirm(turn.cx, turn.from, id);
            if self.counts(turn, own, id, worked) {
                self.end_between(turn.cx, own, id, worked);
            }
            self.note(turn, id, is_proven);
            return Ok(());
        }
        let client = self.table.peer(id).filter(|client| client.room == room);
        let client = client.filter(|client| !client.is_host && !client.is_kept);
        let client = client.filter(|_| is_host || own == id).ok_or(Reason::NoRoom)?;
        let status = if worked { Status::Connected } else { Status::Failed };
        let before = client.ended;
        // Only the host and the client have been told this ID, so nobody else has forged it.
        if is_host {
            self.delivery.confirm(turn.cx, turn.from, id);
        }
        let host = if is_host { own } else { self.table.room(room).map_or(own, |room| room.host) };
        let other = if is_host { id } else { host };
        if !self.counts(turn, own, other, worked) || !worked && self.relay_late(turn.cx, id) {
            self.note(turn, id, is_proven);
            return Ok(());
        }
        let mut ended = before;
        if let Some(attempt) = self.attempt(id) {
            let heard = self.table.peer(host).map(|host| host.heard);
            let silent = heard.map(|heard| turn.instant() - heard);
            let silent = silent.filter(|silent| *silent > limits::ROOM_SILENT_HOST);
            let silent = silent.unwrap_or_default();
            let attempt = Attempt { is_proven: is_proven && attempt.is_proven, ..attempt };
            ended = plan::note_result(turn.cx, attempt, (before, worked), silent);
        }
        if let Some(client) = self.table.peer_mut(id) {
            client.ended = ended;
        }
        for id in [Some(id), worked.then_some(host)].into_iter().flatten() {
            if let Some(peer) = self.table.peer_mut(id) {
                peer.status = status;
            }
        }
        if worked {
            self.table.note_true(id);
        }
        self.note(turn, id, is_proven);
        Ok(())
    }
}
