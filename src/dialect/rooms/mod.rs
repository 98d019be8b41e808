//! Rooms: text over UDP, one datagram one message, for any engine with one UDP socket.
//!
//! A datagram goes through [`message`] (and [`field`], and [`options`]) and becomes a request, which is
//! carried out here; how a peer gets into a room is in `entering`, how it gets out in `leaving`, what
//! its host changes of it in `setting`. Who is in which room stands in `table`; what is sent goes
//! through `delivery`.
//!
//! # Requests that come twice
//!
//! The place of a peer is found by its endpoint, so the same request from the same endpoint finds
//! what the first one made, and gets the same answer. Who has just left a room is remembered for
//! a few seconds (`parted`), for the same reason and so that a late copy of the request that led
//! into the room leads nobody there again.
//!
//! # Who gets how much
//!
//! Any address can be forged. So nobody is sent more than its credit (see
//! [`amplification`](crate::amplification)), be it an answer or a notification, until the peer at
//! that endpoint has *proved itself*: until `rc:CLIENT:KEY` has come from it with the key that was
//! told to that endpoint and to no other. The ID of a client is no proof, since the other side of
//! its introduction knows it as well: who hosts a room in the name of a victim and lets many
//! clients join, so that notifications rain on the victim, could confirm them in its name. And
//! since a place can be moved to any endpoint by who knows its key, each move makes a new key.
//!
//! Who has not proved itself can host and join all the same; each `ka` brings enough
//! for a notification, which waits for it. But others are told of it only as far as [`unproven`](crate::unproven) allows, as they knock where they are told to.
//! And when the server is full, the place of the one that was silent longest goes to who comes
//! next. So a flood of forged requests costs those nothing who have proved themselves. What many
//! addresses, or one with many places, can take from others, `shares` bounds.
//!
//! # Whose request it is
//!
//! Requests are known by their endpoint alone, so others can send them in the name of a peer.
//! Those that end a place end it at once for the sender, but one whose key was shown is kept for a
//! while (`table::kept`), whatever comes from there meanwhile: its peer learns from the answer to its
//! next `ka` that it has none, and takes it back with its key (`keeping`). `rn` and `kc` have nothing of the kind. But a peer may end its requests with its key, and once
//! it has, those in its name that end or change something are refused without (`signed`).
//!
//! Those who ask for a place cannot be told from forged ones by anything before they have a key. So
//! where these may have taken what there is, a place is offered (`offers`) and begins with the key.
//!
//! # No talking to machines
//!
//! Answers look like requests, so two servers could be made to answer each other for ever. No
//! answer to a stranger is a request that is answered by anything but `er`; `er` and `rID` are
//! never answered, and a place that has not proved itself is given up when one comes from it.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use rand::RngExt as _;
use rand::rngs::StdRng;

use super::{Context, Dialect, Name, Via};
use crate::admission::{self, Admission};
use crate::blocks::Blocks;
use crate::clock::Instant;
use crate::cookies::Cookies;
use crate::introductions::PublicIps;
use crate::introductions::journal::Attempt;
use crate::introductions::plan;
use crate::limits::{self, Limits};
use crate::lines::Lines;
use crate::lobby::code::Code;
use crate::lobby::data::Filter;
use crate::lobby::guesses::Guesses;
use crate::rates::Rates;
use crate::refusals::Reason as Refusal;
use crate::timers::Seldom;

pub mod answer;
mod any;
mod crowding;
mod delivery;
mod entering;
pub mod field;
mod introducing;
mod keeping;
mod leaving;
mod list;
mod mesh;
pub mod message;
mod migrating;
mod offering;
mod offers;
pub mod options;
mod parted;
mod reached;
mod relaying;
mod setting;
mod shares;
mod shown;
mod table;
#[cfg(test)]
mod tests;

use delivery::{Delivery, To};
use field::{Id, Key};
use leaving::Why;
use list::End;
use message::{Answer, Bad, Reason, Request, Verb};
use offers::Offers;
use options::Options;
use parted::Parted;
use table::{Peer, Status, Table};

/// What the owner of the server decides about this dialect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// After this time without a request a peer is taken to be gone.
    pub silence: Duration,
    /// Hosts and clients in all.
    pub peers: usize,
    /// The addresses by which those outside know who is inside.
    pub public_ips: PublicIps,
    /// Who may make requests.
    pub admission: Admission,
    /// What the peers of one address may do: rooms as many as hosts, clients as many as
    /// connections.
    pub limits: Limits,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            silence: limits::ROOM_SILENCE,
            peers: limits::ROOM_PEERS,
            public_ips: PublicIps::default(),
            admission: Admission::default(),
            limits: Limits::default(),
        }
    }
}

/// The state of the dialect.
#[derive(Debug)]
pub struct Rooms {
    config: Config,
    table: Table,
    parted: Parted,
    offers: Offers,
    delivery: Delivery,
    random: StdRng,
    cookies: Cookies,
    places: Rates,
    guesses: Guesses,
    lines: Lines,
    full: Seldom,
    foreign: Seldom,
    refused: admission::Refused,
    stopping: bool,
}

/// A datagram came: when, from whom, and where what has to be sent is put.
struct Turn<'a, 'b> {
    cx: &'a mut Context<'b>,
    from: SocketAddr,
    via: Via,
    /// It ends with the key of its sender.
    is_signed: bool,
    /// Which bound it has reached, if it is refused for one.
    bound: Refusal,
    /// The key or the name of a game by which it was admitted, where not everybody is.
    admitted_by: Option<String>,
}

impl Turn<'_, '_> {
    fn instant(&self) -> Instant {
        self.cx.now.instant
    }

    /// The game that a request is about: what it names, within what has admitted it.
    fn game(&self, options: &Options) -> Box<str> {
        match &self.admitted_by {
            None => options.game.as_str().into(),
            Some(secret) => format!("{secret}\0{}", options.game).into(),
        }
    }
}

impl Rooms {
    /// A dialect that has heard of nobody yet. IDs and keys are drawn from `random`, which must be
    /// secret.
    #[must_use]
    pub fn new(config: Config, mut random: StdRng) -> Self {
        Self {
            cookies: Cookies::new(&mut random),
            table: Table::new(config.silence),
            parted: Parted::default(),
            offers: Offers::default(),
            delivery: Delivery::new(),
            random,
            places: Rates::new(limits::PLACES_PER_SECOND, 10),
            guesses: Guesses::default(),
            lines: Lines::default(),
            full: Seldom::default(),
            foreign: Seldom::default(),
            refused: admission::Refused::default(),
            stopping: false,
            config,
        }
    }

    /// Whether a request is that of the peer whose endpoint it comes from. One that has ended a request
    /// with its key does so whenever others could do harm in its name.
    fn signed(
        &mut self,
        turn: &mut Turn<'_, '_>,
        verb: Verb,
        key: Option<Key>,
    ) -> Result<(), Reason> {
        let Some(peer) = self.table.peer_at(turn.from) else { return Ok(()) };
        let Some(key) = key else {
            let matters = matches!(verb, Verb::Lr | Verb::Cr | Verb::Kc | Verb::Rn | Verb::Pc);
            return if peer.signs && matters { Err(Reason::BadKey) } else { Ok(()) };
        };
        if !peer.key.is(key) {
            // Its place was given up in its name, and another one taken: it has to come back.
            let is_kept = self.table.kept_at(turn.from).any(|kept| kept.key.is(key));
            return Err(if is_kept { Reason::NoRoom } else { Reason::BadKey });
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

    fn carry_out(&mut self, request: Request, turn: &mut Turn<'_, '_>) -> Result<(), Reason> {
        match request {
            Request::Status => {
                let is_busy = self.stopping || self.table.proven() >= self.config.peers;
                let answer = if is_busy { Answer::Busy } else { Answer::Ok };
                self.answer(turn, answer);
                Ok(())
            }
            Request::Host(name, options) => self.host(turn, name, options),
            Request::List(after, options) => self.list(turn, after, &options),
            Request::Join(wanted, options) => self.join(turn, wanted, &options),
            Request::JoinAny(options) => self.join_any(turn, &options),
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

    /// The place of who sent the request.
    fn place(&self, turn: &Turn<'_, '_>) -> Result<&Peer, Reason> {
        match self.table.peer_at(turn.from) {
            Some(peer) => Ok(peer),
            None if self.is_kicked(turn.from) => Err(Reason::Kicked),
            None => Err(Reason::NoRoom),
        }
    }

    /// The room that who sent the request is the host of.
    fn own_room(&self, turn: &Turn<'_, '_>) -> Result<Id, Reason> {
        let peer = self.place(turn)?;
        if peer.is_host { Ok(peer.room) } else { Err(Reason::NotHost) }
    }

    /// Where to send answers.
    fn back(&self, turn: &Turn<'_, '_>) -> To {
        let proved = self.table.peer_at(turn.from).is_some_and(|peer| peer.proved);
        To { endpoint: turn.from, via: turn.via, proved }
    }

    fn answer(&mut self, turn: &mut Turn<'_, '_>, answer: Answer<'_>) {
        let to = self.back(turn);
        self.delivery.send(turn.cx, to, |bytes| answer.write(bytes));
    }

    /// Counts what the server itself refuses, and not another player.
    fn note_refused(&self, turn: &mut Turn<'_, '_>, reason: Reason) {
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

    /// Whether a request has the key that it needs in front of it.
    fn is_admitted(&mut self, turn: &mut Turn<'_, '_>, data: &[u8]) -> bool {
        if self.config.admission.is_open() {
            return true;
        }
        let key = message::key(data);
        let admitted = self.config.admission.admits(key.as_deref(), key.as_deref().unwrap_or(""));
        if !admitted {
            let list = self.config.admission.list();
            let why = format_args!("its request does not begin with k: and one of {list}");
            self.refused.note(turn.instant(), turn.from.ip(), Name::Rooms, why);
            let asks_for_key = self.config.admission.asks_for_key();
            let reason = if asks_for_key { Refusal::Key } else { Refusal::Game };
            turn.cx.refused(Name::Rooms, reason, turn.from.ip());
        }
        turn.admitted_by = key;
        admitted
    }

    fn list(
        &mut self,
        turn: &mut Turn<'_, '_>,
        after: Option<Id>,
        options: &Options,
    ) -> Result<(), Reason> {
        let mut to = self.back(turn);
        let shown = options.cookie.as_deref();
        to.proved |=
            shown.is_some_and(|shown| self.cookies.are_shown(turn.instant(), turn.from, shown));
        let query = list::Query {
            game: &turn.game(options),
            after,
            filter: &filter(options)?,
            tells_all: !options.is_empty(),
            reader: turn.from.ip(),
            of_both_families: turn.cx.shared.relay.joins_families(),
            space: Delivery::space(&turn.cx.shared.credits, to),
        };
        let mut page = Vec::new();
        let end = list::page(&self.table, &query, &mut page);
        let is_short = query.space < message::LONGEST_ANSWER;
        if is_short && shown.is_some() && matches!(end, Ok(End::Space) | Err(Reason::Limit)) {
            let cookie = self.cookies.of(turn.instant(), turn.from);
            self.answer(turn, Answer::Cookie(cookie));
            return Ok(());
        }
        end?;
        self.delivery.send(turn.cx, to, |bytes| bytes.append(&mut page));
        Ok(())
    }

    /// One side says how the punch of a client and the host ended.
    fn punched(&mut self, turn: &mut Turn<'_, '_>, id: Id, worked: bool) -> Result<(), Reason> {
        let sender = self.place(turn)?;
        let (room, is_host, own) = (sender.room, sender.is_host, sender.id);
        let is_proven = sender.proved;
        if !is_host && own != id && self.are_introduced(own, id) {
            self.delivery.confirm(turn.from, id);
            if self.counts(turn, own, id, worked) {
                self.end_between(turn.cx, own, id, worked);
            }
            self.answer(turn, Answer::Noted(id));
            return Ok(());
        }
        let client = self.table.peer(id).filter(|client| client.room == room);
        let client = client.filter(|client| !client.is_host && !client.is_kept);
        let client = client.filter(|_| is_host || own == id).ok_or(Reason::NoRoom)?;
        let status = if worked { Status::Connected } else { Status::Failed };
        let news = client.status != status;
        let host = self.table.room(room).map_or(own, |room| room.host);
        // Only the host and the client have been told this ID, so nobody else has forged it.
        if is_host {
            self.delivery.confirm(turn.from, id);
        }
        let other = if is_host { id } else { host };
        if !self.counts(turn, own, other, worked) || !worked && self.relay_late(turn.cx, id) {
            self.answer(turn, Answer::Noted(id));
            return Ok(());
        }
        if news && let Some(attempt) = self.attempt(id) {
            plan::note_end(turn.cx, &Attempt { is_proven, ..attempt }, worked);
        }
        for id in [Some(id), worked.then_some(host)].into_iter().flatten() {
            if let Some(peer) = self.table.peer_mut(id) {
                peer.status = status;
            }
        }
        if worked {
            self.table.note_true(id);
        }
        self.answer(turn, Answer::Noted(id));
        Ok(())
    }

    /// An ID that nobody has and nobody can guess.
    fn fresh_id(&mut self) -> Id {
        loop {
            let id = Id(self.random.random());
            if !self.table.is_taken(id) {
                return id;
            }
        }
    }

    /// A code that no room has.
    fn fresh_code(&mut self) -> Code {
        loop {
            let code = Code::random(&mut self.random);
            if self.table.by_code(code).is_none() {
                return code;
            }
        }
    }

    fn fresh_key(&mut self) -> Key {
        Key(self.random.random())
    }

    /// How the log calls a room.
    fn named(&self, room: Id) -> Named<'_> {
        Named(self.table.room(room).map_or("", |room| &room.name))
    }

    /// Whether there is no trace of anybody, apart from tables of fixed size.
    #[cfg(test)]
    fn is_empty(&self) -> bool {
        self.table.is_empty()
            && self.parted.is_empty()
            && self.offers.is_empty()
            && self.delivery.is_empty()
    }
}

impl Dialect for Rooms {
    fn on_datagram(&mut self, cx: &mut Context<'_>, via: Via, from: SocketAddr, data: &[u8]) {
        // Nobody can be at port 0, or be told of it.
        if from.port() == 0 {
            return;
        }
        let now = cx.now.instant;
        cx.shared.credits.received(now, from.ip(), data.len());
        let turn = &mut Turn {
            cx,
            from,
            via,
            is_signed: false,
            bound: Refusal::Requests,
            admitted_by: None,
        };
        let (verb, result) = match Request::read_with_key(data) {
            Err(Bad::Foreign) => {
                return turn.cx.refused(Name::Rooms, Refusal::Malformed, from.ip());
            }
            Err(Bad::Answer) => return self.end_unproved(turn),
            Err(Bad::Malformed(verb)) => (verb, Err(Reason::BadRequest)),
            Ok((request, _)) if !self.is_admitted(turn, data) => {
                (request.verb(), Err(Reason::BadKey))
            }
            Ok((request, key)) => {
                let verb = request.verb();
                let signed = self.signed(turn, verb, key);
                self.table.heard_from(now, from, via, turn.is_signed);
                (verb, signed.and_then(|()| self.carry_out(request, turn)))
            }
        };
        if let Err(reason) = result {
            self.note_refused(turn, reason);
            self.answer(turn, Answer::Refused(verb, reason));
        }
    }

    fn on_wakeup(&mut self, cx: &mut Context<'_>) {
        while let Some(id) = self.table.pop_silent(cx.now.instant) {
            self.end(cx, id, Why::Silent);
        }
        while let Some(room) = self.table.pop_closing(cx.now.instant) {
            self.close_room(cx, room, Why::Left);
        }
        while let Some(client) = self.table.pop_kept(cx.now.instant) {
            self.end(cx, client, Why::Silent);
        }
        self.table.forget_closed(cx.now.instant);
        self.parted.on_wakeup(cx.now.instant);
        self.offers.on_wakeup(cx.now.instant);
        self.delivery.on_wakeup(cx, &mut self.table, &self.config.public_ips);
    }

    fn end_blocked(&mut self, cx: &mut Context<'_>, blocks: &Blocks, most: usize) -> usize {
        let (before, peers) = (self.table.len(), self.table.blocked(blocks, most));
        peers.into_iter().for_each(|id| self.end(cx, id, Why::Blocked));
        before.saturating_sub(self.table.len())
    }

    fn knows(&self, endpoint: SocketAddr) -> bool {
        self.table.peer_at(endpoint).is_some_and(|peer| peer.proved)
    }

    fn next_wakeup(&self) -> Option<Instant> {
        let timers = [
            self.table.next_wakeup(),
            self.parted.next_wakeup(),
            self.offers.next_wakeup(),
            self.delivery.next_wakeup(),
        ];
        timers.into_iter().flatten().min()
    }

    fn on_shutdown(&mut self, cx: &mut Context<'_>) {
        self.stopping = true;
        self.delivery.flush(cx, &self.table, &self.config.public_ips);
    }
}

/// What somebody looks for.
fn filter(options: &Options) -> Result<Filter, Reason> {
    let mut filter = Filter::default();
    filter.is_free = options.is_free;
    for (key, value) in &options.data {
        filter.want(key, value).map_err(|_| Reason::BadRequest)?;
    }
    Ok(filter)
}

/// The name of a room for the log, on one line whatever is in it.
struct Named<'a>(&'a str);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_debug())
    }
}
