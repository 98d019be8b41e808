//! Events: JSON objects over TCP, with or without TLS. Peers log in under an ID, send each other
//! events through the server, meet in rooms, and are introduced there to each other's game
//! sockets.
//!
//! Bytes go through [`wire`], which has [`tls`] decrypt what is encrypted, for browsers through [`pages`], which has
//! [`web`] take them out of the frames of a WebSocket, and [`framing`], which cuts them into objects; [`event`] reads these, and [`data`] what they carry. [`executing`] carries them out: what is for another peer is passed on by [`forward`], with
//! [`routing`] to remember who waits for an answer; what is for the server is carried out in
//! [`peers`] (log in, endpoints, introductions), [`resuming`] (who comes back), [`broken`] (who may) and [`rooms`]. [`answering`] says
//! what came of it.

use std::collections::VecDeque;
use std::net::SocketAddr;

use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};

use super::work_queue::WorkQueue;
use super::{ConnId, Context, Dialect, Outbox, Preamble, Reads, Use, Via};
use crate::admission::{self, Admission};
use crate::blocks::Blocks;
use crate::clock::{Instant, earliest};
use crate::cluster::NodeId;
use crate::hash::Map;
use crate::holders::Holders;
use crate::introductions::PublicIps;
use crate::introductions::journal::Attempt;
use crate::introductions::relay::remote::Awaited;
use crate::limits::{self, Limits};
use crate::lines::Lines;
use crate::rates::Rates;
use crate::refusals::Reason;
use crate::state::{self, NotUnderstood, Saved, Saving};
use crate::timers::{LogThrottle, Timers};

mod answering;
mod broken;
mod data;
mod endpoints;
pub mod event;
mod executing;
mod forward;
pub mod framing;
mod handover;
mod handshakes;
mod introducing;
mod names;
mod nodes;
mod pages;
mod peers;
mod relaying;
mod resuming;
mod rooms;
pub mod routing;
mod shown;
#[cfg(test)]
mod tests;
pub mod tls;
mod turns;
mod unread;
mod web;
mod wire;

use broken::Places;
use event::Fault;
use framing::{Framer, Go};
use handshakes::Handshakes;
use names::Names;
use nodes::Nodes;
use pages::Form;
use peers::Peer;
use rooms::Rooms;
use routing::Routes;
use tls::Acceptor;
use unread::Unread;
use wire::Wire;

/// What somebody is told who was asked whether he is there.
const SILENT: &str = "you have not answered a ping";

/// The passes that the server itself knows.
const KNOWN_PASSES: [&str; 1] = ["punch_result"];

/// What the owner of the server decides about this dialect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Makes TLS connections, if there is a certificate.
    pub tls: Option<Acceptor>,
    /// Refuse what is not encrypted.
    pub tls_required: bool,
    /// The addresses by which those outside know who is inside.
    pub public_ips: PublicIps,
    /// Who may log in.
    pub admission: Admission,
    /// What peers may do.
    pub limits: Limits,
    /// The UDP port of the server.
    pub port: u16,
}

/// Writes to a peer that is not understood why that is so.
pub fn write_misframed(bytes: &mut Vec<u8>, what: Preamble) {
    event::write_pass(bytes, "error", &Fault::new("bad_json", what.to_string()));
}

/// The state of the dialect.
#[derive(Debug, Serialize, Deserialize)]
pub struct Events {
    #[serde(skip)]
    config: Config,
    conns: Places,
    /// Who is logged in.
    #[serde(skip)]
    names: Names,
    /// Whose datagrams show which endpoint.
    #[serde(skip)]
    tokens: Map<u128, ConnId>,
    rooms: Rooms,
    routes: Routes,
    /// Peers that have left and that others still wait for.
    gone: VecDeque<ConnId>,
    /// Those who have become hosts and were not introduced as such.
    successors: VecDeque<ConnId>,
    /// Of each of these it is known who has to be told of it. False: an older version has not noted that.
    #[serde(default)]
    are_introductions_noted: bool,
    #[serde(skip, default = "state::no_random")]
    random: StdRng,
    /// Connections that have to log in.
    strangers: Timers<ConnId>,
    /// Peers that are asked whether they are there.
    silent: Timers<ConnId>,
    /// Peers that have been asked.
    asked: Timers<ConnId>,
    /// Who has come into a room a moment ago, and may not be heard by UDP.
    unheard: Timers<ConnId>,
    /// Bytes of events, TLS records and handshakes that are not complete.
    unfinished: Holders<ConnId>,
    /// Places that are kept though their connections have broken.
    broken: Timers<ConnId>,
    /// Those of them that are owed too much.
    overdue: VecDeque<ConnId>,
    #[serde(skip)]
    handshakes: Handshakes,
    /// Whose events wait until others have been served.
    #[serde(rename = "turns")]
    work_queue: WorkQueue,
    /// Whose events wait because they send more than they may.
    throttled: Timers<ConnId>,
    commands: Rates,
    passes: Rates,
    lines: Lines,
    /// Those for whom the relay of another node is asked: two, and whether one has said that it does not reach the other.
    #[serde(default)]
    relays: Awaited<(ConnId, ConnId, bool)>,
    /// Two that could not be introduced.
    foreign: LogThrottle,
    /// Whose requests are refused since there are too many.
    much: LogThrottle,
    refused: admission::Refused,
    /// The other nodes of a cluster, of which another process hears anew.
    #[serde(skip)]
    nodes: Nodes,
}

/// What became of an event.
enum Handled {
    /// It is carried out, or was no event; whether to go on.
    So(Go),
    /// It waits.
    Not,
}

/// What is known of a connection.
#[derive(Debug, Serialize, Deserialize)]
struct Conn {
    addr: SocketAddr,
    opened: Instant,
    wire: Wire,
    form: Form,
    framer: Framer,
    /// What it has sent beyond its part of a turn, decrypted; it waits for the next.
    #[serde(with = "state::bytes")]
    ahead: Vec<u8>,
    /// The peer will send nothing more: it is closed when that has been carried out.
    finished: bool,
    /// It has ended as a new process took over, which does not get encrypted ones.
    #[serde(default)]
    is_left_behind: bool,
    /// Its part of [`Events::unfinished`].
    held: u64,
    /// Bytes that have been sent and that it has not read.
    unread: Unread,
    /// Who it is, once logged in.
    peer: Option<Box<Peer>>,
}

impl Events {
    /// A dialect that has heard of nobody yet. Tokens, nonces and room IDs are drawn from `random`,
    /// which must be secret.
    #[must_use]
    pub fn new(config: Config, random: StdRng) -> Self {
        Self {
            conns: Places::default(),
            names: Names::default(),
            tokens: Map::default(),
            rooms: Rooms::default(),
            routes: Routes::default(),
            gone: VecDeque::new(),
            successors: VecDeque::new(),
            are_introductions_noted: true,
            random,
            strangers: Timers::new(limits::LOGIN_WAIT),
            silent: Timers::new(limits::SILENCE),
            asked: Timers::new(limits::PING_WAIT),
            unheard: Timers::new(limits::UNHEARD),
            unfinished: Holders::default(),
            broken: Timers::new(limits::BROKEN_WAIT),
            overdue: VecDeque::new(),
            handshakes: Handshakes::default(),
            work_queue: WorkQueue::default(),
            throttled: Timers::new(limits::THROTTLE),
            commands: Rates::new(config.limits.commands_per_second, 10),
            passes: Rates::new(config.limits.datagrams_per_second, 2),
            lines: Lines::default(),
            relays: Awaited::default(),
            foreign: LogThrottle::default(),
            much: LogThrottle::default(),
            refused: admission::Refused::default(),
            nodes: Nodes::default(),
            config,
        }
    }

    /// Whether nothing is left of anybody.
    #[cfg(test)]
    fn is_empty(&self) -> bool {
        let timers = self.gone.is_empty()
            && self.successors.is_empty()
            && self.strangers.is_empty()
            && self.throttled.is_empty()
            && self.silent.is_empty()
            && self.broken.is_empty()
            && self.overdue.is_empty()
            && self.asked.is_empty();
        let tables = self.names.is_empty() && self.tokens.is_empty() && self.rooms.is_empty();
        timers
            && tables
            && self.routes.is_empty()
            && self.unfinished.is_empty()
            && self.handshakes.is_empty()
    }
}

impl Dialect for Events {
    fn on_open(&mut self, cx: &mut Context<'_>, id: ConnId, peer: SocketAddr) {
        self.lines.note_time(cx.now);
        let conn = Conn {
            addr: peer,
            opened: cx.now.instant,
            wire: Wire::Unknown,
            form: Form::Untold,
            framer: Framer::default(),
            ahead: Vec::new(),
            finished: false,
            is_left_behind: false,
            held: 0,
            unread: Unread::default(),
            peer: None,
        };
        self.conns.insert(id, conn);
        self.strangers.arm(cx.now.instant, id);
    }

    fn on_bytes(&mut self, cx: &mut Context<'_>, id: ConnId, bytes: &[u8]) {
        self.lines.note_time(cx.now);
        let Some(conn) = self.conns.get(id).filter(|conn| !conn.finished) else { return };
        let is_new = matches!(conn.wire, Wire::Unknown);
        if is_new && let Some(first) = bytes.first() {
            self.begin(cx, id, *first);
        }
        self.take_in(cx, id, bytes);
    }

    fn note_ready(&mut self, sources: usize) {
        self.work_queue.note_ready(sources);
    }

    fn on_fin(&mut self, cx: &mut Context<'_>, id: ConnId) {
        self.lines.note_time(cx.now);
        self.note_distrust(cx, id);
        // The answers of others come too late for one that leaves.
        self.finish(id, cx.out);
    }

    fn on_gone(&mut self, cx: &mut Context<'_>, id: ConnId) {
        self.lines.note_time(cx.now);
        self.note_distrust(cx, id);
        if !self.keep_place(cx, id) {
            // One that has ended it, or was evicted, is only not read any more.
            let is_lost = self.conns.get(id).is_some_and(|conn| !conn.finished);
            self.log_out(id, is_lost.then_some("its connection was lost"), cx.out);
            self.forget(id);
        }
    }

    fn on_left_behind(&mut self, id: ConnId) {
        if let Some(conn) = self.conns.get_mut(id) {
            conn.is_left_behind = true;
        }
    }

    fn on_eviction(&mut self, id: ConnId) {
        // Others need what it takes.
        if let Some(conn) = self.conns.get_mut(id) {
            conn.finished = true;
        }
    }

    fn reads(&self, id: ConnId) -> Reads {
        match self.conns.get(id).filter(|conn| conn.is_waiting()) {
            None => Reads::Now,
            Some(_) if !self.throttled.is_armed(&id) => Reads::NextTurn,
            // A part is read ahead, so that its end is heard of.
            Some(conn) if conn.held() < limits::THROTTLED => Reads::Now,
            Some(_) => Reads::Later,
        }
    }

    fn on_unread(&mut self, id: ConnId, bytes: usize) {
        if let Some(conn) = self.conns.get_mut(id) {
            conn.unread.is_now(bytes);
        }
    }

    fn on_datagram(&mut self, cx: &mut Context<'_>, via: Via, peer: SocketAddr, data: &[u8]) {
        self.learn_endpoint(cx, via, peer, data);
    }

    fn on_wakeup(&mut self, cx: &mut Context<'_>) {
        self.lines.note_time(cx.now);
        self.go_on_with_handshakes(cx);
        self.go_on_with_throttled(cx);
        self.take_turns(cx);
        for _ in 0..limits::CLOSED_AT_ONCE {
            let Some(id) = self.strangers.pop_due(cx.now.instant) else { break };
            let is_handshaking =
                |conn: &Conn| matches!(&conn.wire, Wire::Tls(tls) if tls.is_handshaking());
            let why = match self.conns.get(id).is_some_and(is_handshaking) {
                true => "you have not finished the TLS handshake",
                false => "you have not logged in",
            };
            let fault = Fault::new("timeout", why).because(Reason::Unfinished);
            self.refuse(cx, id, &fault);
        }
        for _ in 0..limits::CLOSED_AT_ONCE {
            let Some(id) = self.asked.pop_due(cx.now.instant) else { break };
            self.refuse(cx, id, &Fault::new("timeout", SILENT).because(Reason::Unfinished));
        }
        self.end_broken(cx);
        while let Some(id) = self.silent.pop_due(cx.now.instant) {
            self.asked.arm(cx.now.instant, id);
            self.send(id, cx.out, |bytes| event::write_request(bytes, "ping", "ping"));
        }
        while let Some(id) = self.unheard.pop_due(cx.now.instant) {
            self.tell_unheard(cx, id);
        }
        self.introduce_successors(cx);
        self.tell_watchers(cx);
        self.fail_waits_for_gone(cx.out);
        for _ in 0..limits::CLOSED_AT_ONCE {
            let Some(route) = self.routes.pop_due(cx.now.instant) else { break };
            self.give_leave_up(&route, cx.out);
            self.fail_route(&route, &Fault::new("timeout", "the peer has not answered"), cx.out);
        }
        self.serve_nodes(cx);
    }

    fn next_wakeup(&self) -> Option<Instant> {
        earliest([
            self.strangers.next(),
            self.silent.next(),
            self.asked.next(),
            self.unheard.next(),
            self.broken.next(),
            self.overdue.front().map(|_| Instant::default()),
            self.routes.next_wakeup(),
            self.handshakes.next_wakeup(),
            self.work_queue.next_wakeup(false),
            self.throttled.next(),
            self.rooms.watching.next_wakeup(),
            self.gone.front().map(|_| Instant::default()),
            self.successors.front().map(|_| Instant::default()),
            self.rooms.has_news().then(Instant::default),
            self.nodes.next_wakeup(),
        ])
    }

    fn end_blocked(&mut self, cx: &mut Context<'_>, blocks: &Blocks, most: usize) -> usize {
        self.lines.note_time(cx.now);
        // Those of open connections have ended with these.
        let blocked = self.conns.blocked(blocks, most);
        blocked.iter().for_each(|id| self.end_because(*id, Some("it is blocked"), cx.out));
        blocked.len()
    }

    fn on_shutdown(&mut self, cx: &mut Context<'_>) {
        while let Some(route) = self.routes.pop() {
            self.fail_route(&route, &Fault::new("timeout", "the server stops"), cx.out);
        }
        for id in self.own_peers() {
            match self.conns.get_mut(id) {
                // It says goodbye behind what is still to be answered.
                Some(conn) if conn.is_waiting() => conn.finished = true,
                Some(_) => self.hang_up(id, cx.out),
                None => {}
            }
        }
    }

    fn on_handed_over(&mut self, cx: &mut Context<'_>) {
        self.own_peers().into_iter().for_each(|id| self.hang_up(id, cx.out));
    }

    fn owes(&self) -> bool {
        !self.work_queue.is_empty() || !self.throttled.is_empty()
    }

    fn use_of(&self, id: ConnId) -> Use {
        match self.conns.get(id) {
            // Nothing more will come of it but answers, which perhaps nobody is there to read.
            Some(conn) if conn.finished => Use::Idle(Instant::default()),
            Some(Conn { peer: Some(peer), .. }) if peer.any_room().is_some() => Use::Lasting,
            // Those who have others in their rooms go on before those who have nobody yet.
            Some(conn) if conn.peer.is_some() => Use::Waiting,
            Some(conn) => Use::Idle(conn.opened),
            None => Use::Idle(Instant::default()),
        }
    }

    fn moves(&self, id: ConnId) -> bool {
        !self.conns.get(id).is_some_and(|conn| matches!(conn.wire, Wire::Tls(_)))
    }

    fn save(&self, to: &mut Saving<'_>) {
        to.write(self);
        to.table("guests", &self.nodes_of_guests());
        to.table("away", &self.all_away());
        to.table("asked", &self.conns_of_nodes());
    }

    fn on_node_joined(&mut self, cx: &mut Context<'_>, node: NodeId) {
        self.lines.note_time(cx.now);
        self.begin_to_tell(cx, node);
    }

    fn on_node_message(&mut self, cx: &mut Context<'_>, node: NodeId, bytes: &[u8]) {
        self.lines.note_time(cx.now);
        self.handle_node_message(cx, node, bytes);
    }

    fn on_node_gone(&mut self, cx: &mut Context<'_>, node: NodeId) {
        self.lines.note_time(cx.now);
        self.forget_node(cx, node);
    }

    fn on_relay(&mut self, cx: &mut Context<'_>, attempt: &Attempt, is_given: bool) {
        self.lines.note_time(cx.now);
        self.handle_relay(cx, attempt, is_given);
    }

    fn load(&mut self, cx: &mut Context<'_>, from: &mut Saved<'_>) -> Result<(), NotUnderstood> {
        self.continue_from(from.read()?);
        // One without it has known them by their nodes alone.
        let mut guests: Vec<(ConnId, NodeId)> = from.table("guests").unwrap_or_default();
        guests.retain(|(_, node)| cx.shared.nodes.has(*node));
        self.keep_guests(cx.now.instant, guests);
        let mut away: Vec<(ConnId, NodeId, Option<u64>)> = from.table("away").unwrap_or_default();
        away.retain(|(_, node, _)| cx.shared.nodes.has(*node));
        self.keep_away(cx.now.instant, away);
        let mut asked: Vec<(NodeId, ConnId)> = from.table("asked").unwrap_or_default();
        asked.retain(|(node, _)| cx.shared.nodes.has(*node));
        self.keep_conns(asked);
        Ok(())
    }
}
