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
//! a few seconds (`departures`), for the same reason and so that a late copy of the request that led
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
use crate::clock::{Instant, earliest};
use crate::cluster::NodeId;
use crate::cookies::Cookies;
use crate::introductions::PublicIps;
use crate::introductions::journal::Attempt;
use crate::introductions::relay::remote::Awaited;
use crate::limits::{self, Limits};
use crate::lines::Lines;
use crate::lobby::code::Code;
use crate::lobby::data::Filter;
use crate::lobby::guesses::Guesses;
use crate::rates::Rates;
use crate::refusals::Reason as Refusal;
use crate::state::{self, NotUnderstood, Saved, Saving};
use crate::timers::LogThrottle;
use crate::truncation;
use crate::unproven::Unproven;

pub mod answer;
mod any;
mod crowding;
mod delivery;
mod departures;
mod entering;
mod executing;
pub mod field;
mod introducing;
mod keeping;
mod leaving;
mod list;
mod looking;
mod mesh;
pub mod message;
mod migrating;
mod nodes;
mod notices;
mod offering;
mod offers;
pub mod options;
mod reached;
mod relaying;
mod setting;
mod shares;
mod shown;
mod table;
#[cfg(test)]
mod tests;
mod unmet;

use crate::dialect::route::Route;
use delivery::{Delivery, To};
use departures::Departures;
use field::{Id, Key};
use leaving::Why;
use looking::Looking;
use message::{Answer, Reason};
use nodes::Nodes;
use offers::Offers;
use options::Options;
use serde::{Deserialize, Serialize};
use table::{Peer, Table};

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
#[derive(Debug, Serialize, Deserialize)]
pub struct Rooms {
    #[serde(skip)]
    config: Config,
    table: Table,
    #[serde(rename = "parted")]
    departures: Departures,
    offers: Offers,
    delivery: Delivery,
    #[serde(skip, default = "state::no_random")]
    random: StdRng,
    cookies: Cookies,
    places: Rates,
    #[serde(skip)]
    looking: Looking,
    guesses: Guesses,
    lines: Lines,
    full: LogThrottle,
    foreign: LogThrottle,
    refused: admission::Refused,
    /// Those for whom the relay of another node is asked: two, and whether one has said that it does not reach the other.
    #[serde(default)]
    relays: Awaited<(Id, Id, bool)>,
    #[serde(skip)]
    stopping: bool,
    /// The other nodes of a cluster. To another process of this node they tell everything anew.
    #[serde(skip, default = "no_nodes")]
    nodes: Nodes,
}

/// What is not handed over.
fn no_nodes() -> Nodes {
    Nodes::new(limits::ROOM_SILENCE)
}

/// A datagram came: when, from whom, and where what has to be sent is put.
struct Turn<'a, 'b> {
    cx: &'a mut Context<'b>,
    from: SocketAddr,
    via: Route,
    data: &'a [u8],
    /// Who had a place at that endpoint when it came.
    sender: Option<Id>,
    /// It ends with the key of its sender.
    is_signed: bool,
    /// Which bound it has reached, if it is refused for one.
    bound: Refusal,
    /// The key or the name of a game by which it was admitted, where not everybody is.
    admitted_by: Option<String>,
    /// What another node has said of it.
    handed: Handed,
}

/// What a node says of a request that it passes on, or gives back.
#[derive(Debug, Default)]
struct Handed {
    /// `qj`: the rooms that it has chosen.
    rooms: Vec<Id>,
    /// `qj`: those in which there is no place, as their nodes have said; none: it cannot be given back.
    tried: Option<Vec<Id>>,
    /// It has a place elsewhere that it leaves only with its key.
    needs_key: bool,
}

impl Handed {
    /// Whether there is no place in a room, as its node has said.
    fn has_tried(&self, room: Id) -> bool {
        self.tried.as_ref().is_some_and(|tried| tried.contains(&room))
    }
}

impl Turn<'_, '_> {
    fn instant(&self) -> Instant {
        self.cx.now.instant
    }

    /// The game that a request is about: what it names, within what has admitted it.
    fn game(&self, options: &Options) -> Box<str> {
        match &self.admitted_by {
            None => options.game.as_str().into(),
            Some(admitted_by) => game_within(admitted_by, &options.game),
        }
    }
}

/// What tells the games of a server apart that does not admit everybody: of one key there may be several, and of
/// two keys none is the same.
fn game_within(admitted_by: &str, game: &str) -> Box<str> {
    [admitted_by, "\0", game].concat().into()
}

impl Rooms {
    /// A dialect that has heard of nobody yet. IDs and keys are drawn from `random`, which must be
    /// secret.
    #[must_use]
    pub fn new(config: Config, mut random: StdRng) -> Self {
        Self {
            cookies: Cookies::new(&mut random),
            table: Table::new(config.silence),
            departures: Departures::default(),
            offers: Offers::default(),
            delivery: Delivery::new(),
            random,
            places: Rates::new(limits::PLACES_PER_SECOND, 10),
            looking: Looking::default(),
            guesses: Guesses::default(),
            lines: Lines::default(),
            full: LogThrottle::default(),
            foreign: LogThrottle::default(),
            relays: Awaited::default(),
            refused: admission::Refused::default(),
            stopping: false,
            nodes: Nodes::new(config.silence),
            config,
        }
    }

    /// Goes on from what another process knew. What options decide stays as it is here.
    fn restore(&mut self, unproven: &mut Unproven, saved: Self) {
        let Self { config: _, table, departures, offers, delivery, random: _, cookies, .. } = saved;
        self.table.restore(unproven, table);
        self.departures.restore(departures);
        self.offers.restore(offers);
        self.delivery.restore(delivery);
        self.cookies = cookies;
        self.places.restore(saved.places);
        self.guesses.restore(saved.guesses);
        self.lines.restore(saved.lines);
        self.relays = saved.relays;
        (self.full, self.foreign, self.refused) = (saved.full, saved.foreign, saved.refused);
    }

    /// The place of who sent the request.
    fn place(&self, turn: &Turn<'_, '_>) -> Result<&Peer, Reason> {
        match turn.sender.and_then(|id| self.table.peer(id)) {
            Some(peer) => Ok(peer),
            None if self.is_kicked(turn.from) && !self.has_left(turn) => Err(Reason::Kicked),
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
        let proved = self.is_proved(turn.from);
        To { endpoint: turn.from, via: turn.via, proved }
    }

    /// Whether who is at this endpoint has shown a key that was told to it and to no other, at whichever node.
    fn is_proved(&self, endpoint: SocketAddr) -> bool {
        match self.table.peer_at(endpoint) {
            Some(peer) => peer.proved,
            None => self.nodes.held(endpoint).is_some_and(|held| held.proved),
        }
    }

    fn answer(&mut self, turn: &mut Turn<'_, '_>, answer: Answer<'_>) {
        let to = self.back(turn);
        self.delivery.send(turn.cx, to, |bytes| answer.write(bytes));
    }

    /// Answers who has just said how a punch ended.
    fn note(&mut self, turn: &mut Turn<'_, '_>, client: Id, proved: bool) {
        let to = To { endpoint: turn.from, via: turn.via, proved };
        self.delivery.send(turn.cx, to, |bytes| Answer::Noted(client).write(bytes));
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

    /// The names of the game and of the room itself, for the log of programs.
    fn names(&self, room: Id) -> (&str, &str) {
        let room = self.table.room(room);
        room.map_or(("", ""), |room| (self.shown_game(&room.game), &*room.name))
    }

    /// What the owner is shown of a game: what it calls itself, else the name by which it was admitted. A key is a
    /// secret, which nobody sees on his page who sends its rows to a player.
    fn shown_game<'a>(&self, game: &'a str) -> &'a str {
        match game.split_once('\0') {
            Some((name, "")) if !self.config.admission.asks_for_key() => name,
            Some((_, game)) => game,
            None => game,
        }
    }

    /// How the log calls a room.
    fn named(&self, room: Id) -> Named<'_> {
        Named(self.table.room(room).map_or("", |room| &room.name))
    }

    /// Whether there is no trace of anybody, apart from tables of fixed size.
    #[cfg(test)]
    fn is_empty(&self) -> bool {
        self.table.is_empty()
            && self.departures.len() == 0
            && self.offers.is_empty()
            && self.delivery.len() == 0
    }
}

impl Dialect for Rooms {
    fn on_datagram(&mut self, cx: &mut Context<'_>, via: Via, from: SocketAddr, data: &[u8]) {
        // Nobody can be at port 0, or be told of it.
        if from.port() == 0 {
            return;
        }
        self.take(cx, via.into(), (from, data), Handed::default());
        self.leave_elsewhere(cx, from);
    }

    fn on_wakeup(&mut self, cx: &mut Context<'_>) {
        self.end_due(cx);
        self.table.note_not_shown(cx.now.instant);
        self.table.forget_closed(cx.now.instant);
        self.departures.on_wakeup(cx.now.instant);
        self.offers.on_wakeup(cx.now.instant);
        self.delivery.on_wakeup(cx, &mut self.table, &self.config.public_ips);
        self.tell_nodes(cx);
    }

    fn on_node_joined(&mut self, cx: &mut Context<'_>, node: NodeId) {
        self.begin_to_tell(cx, node);
    }

    fn on_node_message(&mut self, cx: &mut Context<'_>, node: NodeId, bytes: &[u8]) {
        self.handle_node_message(cx, node, bytes);
    }

    fn on_node_gone(&mut self, cx: &mut Context<'_>, node: NodeId) {
        self.forget_node(cx, node);
    }

    fn on_relay(&mut self, cx: &mut Context<'_>, attempt: &Attempt, is_given: bool) {
        self.handle_relay(cx, attempt, is_given);
    }

    fn end_blocked(&mut self, cx: &mut Context<'_>, blocks: &Blocks, most: usize) -> usize {
        let (before, peers) = (self.table.len(), self.table.blocked(blocks, most));
        peers.into_iter().for_each(|id| self.end(cx, id, Why::Blocked));
        before.saturating_sub(self.table.len())
    }

    fn knows(&self, endpoint: SocketAddr) -> bool {
        self.is_proved(endpoint)
    }

    fn next_wakeup(&self) -> Option<Instant> {
        earliest([
            self.table.next_wakeup(),
            self.departures.next_wakeup(),
            self.offers.next_wakeup(),
            self.delivery.next_wakeup(),
            self.nodes.next_wakeup(),
        ])
    }

    fn on_shutdown(&mut self, cx: &mut Context<'_>) {
        self.stopping = true;
        self.delivery.flush(cx, &self.table, &self.config.public_ips);
    }

    fn save(&self, to: &mut Saving<'_>) {
        to.write(self);
        to.table("nodes", &self.known_of_nodes());
        to.table("leads", self.nodes.forwarding());
        to.table("ways", &self.table.ways());
    }

    fn load(&mut self, cx: &mut Context<'_>, from: &mut Saved<'_>) -> Result<(), NotUnderstood> {
        self.restore(&mut cx.shared.unproven, from.read()?);
        // One without these has known no other nodes.
        if let (Ok(known), Ok(forwarding)) = (from.table("nodes"), from.table("leads")) {
            self.restore_nodes(cx, known, forwarding);
        }
        let mut ways: Option<Vec<(Id, NodeId)>> = from.table("ways").ok();
        ways.iter_mut().for_each(|ways| ways.retain(|(_, node)| cx.shared.nodes.has(*node)));
        self.table.restore_ways(ways);
        Ok(())
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
        let (name, rest) = match truncation::cut(self.0, truncation::COLUMNS) {
            None => (self.0, ""),
            Some(begin) => (begin, truncation::ELLIPSIS),
        };
        write!(f, "\"{}\"{rest}", name.escape_debug())
    }
}
