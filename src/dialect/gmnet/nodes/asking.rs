//! Clients of this node who ask for a host of another one: its node is asked as soon as the client's ports are
//! known, tells the host of them, and answers what the client is to be told. So it takes one round between nodes.

use std::net::{IpAddr, SocketAddr};

use log::info;
use serde::{Deserialize, Serialize};

use super::super::Gmnet;
use super::super::attempts::{Two, Whom};
use super::super::data::Data;
use super::super::names::Named;
use super::super::relaying::Instead;
use super::super::request::{Outcome, Request};
use super::super::slot::HostKey;
use super::super::waiting::WaitId;
use super::message::{Ask, Message, Said};
use super::tell;
use crate::clock::Instant;
use crate::cluster::{self, NodeId};
use crate::dialect::{ConnId, Context};
use crate::hash::Map;
use crate::introductions::candidates::ports_to_knock_at;
use crate::introductions::journal::Shown;
use crate::limits::cluster as bounds;
use crate::timers::Timers;

/// The questions that other nodes have not answered.
#[derive(Debug)]
pub(super) struct Asking {
    /// The number of the last one.
    last: u64,
    open: Map<u64, Asked>,
    /// When they are not waited for any more.
    ends: Timers<u64>,
    /// When each node has begun to tell everything.
    begun: Map<NodeId, Instant>,
}

/// Something that a node was asked.
#[derive(Clone, Debug)]
struct Asked {
    node: NodeId,
    /// In case that it has to be asked once more.
    ask: Ask,
    by: By,
}

/// Who wants to know.
#[derive(Clone, Debug)]
enum By {
    /// A request that waits.
    Request(WaitId),
    /// A client that cannot be relayed after all.
    Client(Box<(Request, String)>),
}

/// A host of another node, and a client that has asked for it by this text.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::dialect::gmnet) struct Direct {
    node: NodeId,
    ask: Ask,
    request: Request,
    text: String,
}

impl Default for Asking {
    fn default() -> Self {
        let ends = Timers::new(bounds::ANSWER_WAIT);
        Self { last: 0, open: Map::default(), ends, begun: Map::default() }
    }
}

impl Asking {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    pub(super) fn next_wakeup(&self) -> Option<Instant> {
        self.ends.next()
    }

    /// What a node is asked for clients that cannot be relayed after all. Requests that wait are asked anew by who goes
    /// on with them.
    pub(super) fn of_clients(&self, node: NodeId) -> Vec<Direct> {
        let theirs = self.open.values().filter(|asked| asked.node == node);
        let of_clients = theirs.filter_map(|Asked { node, ask, by }| match by {
            By::Request(_) => None,
            By::Client(what) => {
                let (request, text) = (**what).clone();
                Some(Direct { node: *node, ask: ask.clone(), request, text })
            }
        });
        of_clients.collect()
    }

    /// Goes on with that. The node is asked again as soon as there is a link to it.
    pub(super) fn restore(&mut self, now: Instant, node: NodeId, asks: Vec<Direct>) {
        for Direct { ask, request, text, .. } in asks {
            self.last = self.last.max(ask.id);
            self.ends.arm(now, ask.id);
            let by = By::Client(Box::new((request, text)));
            self.open.insert(ask.id, Asked { node, ask, by });
        }
    }

    fn remove(&mut self, id: u64) -> Option<Asked> {
        self.ends.cancel(&id);
        self.open.remove(&id)
    }
}

/// In place of the control connection of a host elsewhere: no connection has this one.
const NOBODY: ConnId = ConnId { slot: u32::MAX, generation: u32::MAX };

impl Gmnet {
    /// A host, as attempts know it.
    pub(in crate::dialect::gmnet) fn whom(&self, key: HostKey, at: SocketAddr) -> Option<Whom> {
        let conn = self.hosts.any(key)?.conn;
        let conn = if key.place_elsewhere().is_some() { NOBODY } else { conn };
        Some(Whom { conn, at, node: self.hosts.node_of(key) })
    }

    /// A request waits for a host of another node: asks that node, if all is known that it has to know. With
    /// `is_last_try` what is known has to do. Whether the node is asked.
    pub(in crate::dialect::gmnet) fn ask_node(
        &mut self,
        cx: &mut Context<'_>,
        id: WaitId,
        is_last_try: bool,
    ) -> bool {
        let Some(waiting) = self.introductions.get(id) else { return false };
        let (request, asked) = (waiting.request, waiting.asked);
        if asked.is_some() && !self.introductions.answers.is_armed(&id) {
            return false;
        }
        let found = self.find(cx.now, &request);
        let Some((key, node)) = found.and_then(|key| Some((key, self.hosts.node_of(key)?))) else {
            return false;
        };
        match asked.and_then(|asked| Some((asked, self.nodes.asking.open.get(&asked)?.node))) {
            Some((_, of)) if of == node => return true,
            // The host has come to another node since. By the same number, the one before tells its host of the client
            // only once if it is asked again.
            Some((asked, _)) => _ = self.nodes.asking.remove(asked),
            None => {}
        }
        let likely = self.claim_ports(cx.now, &request, is_last_try);
        if likely.best().is_none() && !is_last_try {
            return false;
        }
        let patience = self.introductions.deadlines.due(&id).map(|due| due - cx.now.instant);
        let patience = patience.map_or(0, |left| u32::try_from(left.as_millis()).unwrap_or(0));
        let port = likely.best().unwrap_or(0);
        let Some(ask) = self.ask_for(cx, (request.client, port), key, patience) else {
            return false;
        };
        let others = likely.iter().filter(|port| !ask.ports.contains(port));
        let ports = ask.ports.iter().copied().chain(others).collect();
        let number = asked.unwrap_or_else(|| self.new_number(cx));
        self.send_ask(cx, node, Ask { id: number, ports, ..ask }, By::Request(id));
        self.introductions.late.cancel(&id);
        if asked.is_none() {
            self.introductions.answers.arm(cx.now.instant, id);
        }
        if let Some(waiting) = self.introductions.get_mut(id) {
            waiting.asked = Some(number);
        }
        true
    }

    /// Whether a node has not answered yet what it was asked for a request.
    pub(in crate::dialect::gmnet) fn is_node_being_asked(&self, id: WaitId) -> bool {
        let asked = self.introductions.get(id).and_then(|waiting| waiting.asked);
        asked.is_some_and(|asked| self.nodes.asking.open.contains_key(&asked))
    }

    /// What a node is asked of one of its hosts, for a client at this address and port.
    fn ask_for(
        &self,
        cx: &mut Context<'_>,
        (client, port): (IpAddr, u16),
        key: HostKey,
        patience: u32,
    ) -> Option<Ask> {
        let host = self.hosts.any(key)?;
        let at = SocketAddr::new(host.addr, host.port.unwrap_or_default());
        let seen = SocketAddr::new(client, port);
        let ports = if port == 0 { Vec::new() } else { ports_to_knock_at(cx, seen, at).to_vec() };
        Some(Ask {
            id: 0,
            host: host.conn,
            at,
            client: SocketAddr::new(self.hosts.client_told(key, host, client), port),
            ports,
            kind: cx.shared.nats.kind(cx.now.instant, seen),
            failed: self.has_failed(client, key),
            has_relay: cx.shared.relay.may_serve_apart([seen, self.seen_by_relays(cx, key, at)]),
            patience,
        })
    }

    /// The number of a question that no process of this node has asked: other nodes remember what they have answered.
    fn new_number(&mut self, cx: &Context<'_>) -> u64 {
        let asking = &mut self.nodes.asking;
        let micros = cx.now.unix * 1_000_000 + cx.now.instant.micros() % 1_000_000;
        asking.last = micros.max(asking.last + 1);
        asking.last
    }

    fn send_ask(&mut self, cx: &mut Context<'_>, node: NodeId, ask: Ask, by: By) {
        let id = ask.id;
        tell(cx, cluster::Whom::Node(node), &Message::<&Data>::Ask(ask.clone()));
        let asking = &mut self.nodes.asking;
        asking.open.insert(id, Asked { node, ask, by });
        asking.ends.arm(cx.now.instant, id);
    }

    /// A node begins to tell everything, so what it has answered may be lost. One that does so again and again is asked
    /// once in a turn.
    pub(super) fn ask_who_begins(&mut self, cx: &mut Context<'_>, node: NodeId) {
        let before = self.nodes.asking.begun.insert(node, cx.now.instant);
        if before != Some(cx.now.instant) {
            self.ask_once_more(cx, node);
        }
    }

    /// What a node was asked may be lost.
    pub(super) fn ask_once_more(&mut self, cx: &mut Context<'_>, node: NodeId) {
        let asks = self.nodes.asking.open.values().filter(|asked| asked.node == node);
        let mut asks: Vec<Ask> = asks.map(|asked| asked.ask.clone()).collect();
        asks.sort_unstable_by_key(|ask| ask.id);
        for ask in asks {
            tell(cx, cluster::Whom::Node(node), &Message::<&Data>::Ask(ask));
        }
    }

    /// Nodes that do not answer are not waited for any more.
    pub(super) fn give_asks_up(&mut self, cx: &mut Context<'_>) {
        for _ in 0..bounds::ANSWERED_AT_ONCE {
            let Some(id) = self.nodes.asking.ends.pop_due(cx.now.instant) else { break };
            if let Some(asked) = self.nodes.asking.open.remove(&id) {
                self.conclude_asked(cx, id, &asked, Said::No);
            }
        }
    }

    /// A client has waited for long enough for a host of another node.
    pub(in crate::dialect::gmnet) fn give_node_up(&mut self, cx: &mut Context<'_>, id: WaitId) {
        let number = self.introductions.get(id).and_then(|waiting| waiting.asked);
        if let Some(number) = number
            && let Some(asked) = self.nodes.asking.remove(number)
        {
            self.conclude_asked(cx, number, &asked, Said::No);
        }
    }

    /// A node is gone, and answers nothing any more. Its hosts may be about to come to another one, which is asked by the
    /// same number.
    pub(super) fn end_asks_of(&mut self, cx: &mut Context<'_>, node: NodeId) {
        let of_node = self.nodes.asking.open.iter().filter(|(_, asked)| asked.node == node);
        let mut all: Vec<u64> = of_node.map(|(id, _)| *id).collect();
        all.sort_unstable();
        for id in all {
            match self.nodes.asking.remove(id) {
                Some(Asked { by: By::Request(wait), .. })
                    if self.introductions.get(wait).is_some_and(|w| w.asked == Some(id)) =>
                {
                    self.introductions.late.arm(cx.now.instant, wait);
                }
                Some(asked) => self.conclude_asked(cx, id, &asked, Said::No),
                None => {}
            }
        }
    }

    /// A node answers.
    pub(super) fn handle_answer(
        &mut self,
        cx: &mut Context<'_>,
        node: NodeId,
        id: u64,
        said: Said,
    ) {
        if self.nodes.asking.open.get(&id).is_some_and(|asked| asked.node == node)
            && let Some(asked) = self.nodes.asking.remove(id)
        {
            self.conclude_asked(cx, id, &asked, said);
        }
    }

    fn conclude_asked(&mut self, cx: &mut Context<'_>, id: u64, asked: &Asked, said: Said) {
        match &asked.by {
            By::Request(wait) => {
                let wait = *wait;
                let is_it = self.introductions.get(wait).is_some_and(|w| w.asked == Some(id));
                if is_it && let Some(waiting) = self.introductions.remove(wait) {
                    let request = waiting.request;
                    if let Some(conn) = self.conns.get_mut(request.conn) {
                        (conn.waiting, conn.times.answered) = (None, cx.now.instant);
                        self.resumed.push_back(request.conn);
                    }
                    self.drop_attempt(request.conn);
                    self.say_to_client(cx, (&request, &waiting.text), asked, said);
                }
            }
            By::Client(what) => {
                let (request, text) = &**what;
                if self.conns.get(request.conn).is_some() {
                    self.end_asking(request.conn);
                    self.say_to_client(cx, (request, text), asked, said);
                }
            }
        }
    }

    /// Says to a client what the node of the host has answered.
    fn say_to_client(
        &mut self,
        cx: &mut Context<'_>,
        (request, text): (&Request, &str),
        Asked { node, ask, .. }: &Asked,
        said: Said,
    ) {
        let key = self.find(cx.now, request).filter(|key| self.hosts.node_of(*key).is_some());
        let seen = SocketAddr::new(request.client, ask.client.port());
        match (said, key) {
            (Said::Met { at, elsewhere, knocks }, Some(key)) => {
                let endpoint = self.tell_met(cx, (request, text), key, (at, elsewhere));
                self.note_met(cx, *node, seen, key, knocks);
                // The client may be told the port that comes next. The host is known by the one that it has shown.
                let known = self.hosts.any(key).and_then(|host| host.port);
                let pair = [seen, SocketAddr::new(ask.at.ip(), known.unwrap_or(at.port()))];
                let two = Two { pair, endpoints: [endpoint, knocks.unwrap_or(seen)] };
                let [_, host] = pair;
                let for_relays = [seen, self.seen_by_relays(cx, key, host)];
                cx.shared.relay.introduced(cx.now, for_relays);
                if knocks.is_some() && !elsewhere {
                    self.begin_attempt(cx, request.conn, (two, key), None);
                } else {
                    self.begin_attempt_elsewhere(cx, request.conn, (two, key));
                }
            }
            (Said::RelayYours, Some(key)) if ask.has_relay => {
                let (node, request, text) = (*node, *request, text.to_owned());
                let direct = Direct { node, ask: ask.clone(), request, text };
                let instead = || Instead::AskDirect(Box::new(direct.clone()));
                if !self.relay(cx, request.conn, seen, key, instead) {
                    self.ask_direct(cx, direct);
                }
            }
            (Said::NoPort, Some(_)) => {
                let name = cx.shared.nodes.of(*node);
                let (client, at) = (Shown(seen), ask.at.ip());
                info!(
                    dialect = "gmnet", client:% = client, host:% = at, node = name;
                    "{client} could not be introduced to host {at} of node {name}: the host's UDP packet \
                     never came"
                );
                self.answer(cx, request.conn, |bytes, _| bytes.push(super::super::MASTER_NOTFOUND));
            }
            _ => self.say_outcome(cx, request, text, Outcome::NotFound),
        }
    }

    /// Tells a client where the host is; returns what it was told.
    fn tell_met(
        &mut self,
        cx: &mut Context<'_>,
        (request, text): (&Request, &str),
        key: HostKey,
        (at, elsewhere): (SocketAddr, bool),
    ) -> SocketAddr {
        let Some(host) = self.hosts.any(key) else { return at };
        let known = SocketAddr::new(host.addr, host.port.unwrap_or(at.port()));
        self.lookups.met(cx.now.instant, request.client, known);
        if elsewhere {
            self.tell_endpoint(cx, request.conn, at);
            return at;
        }
        let at_relay = self.config.relay.contains(request.host);
        let ip = if at_relay { self.hosts.told(key, host, request.client) } else { request.host };
        // As it wrote it: a GML game compares texts.
        let text = Some(text).filter(|_| request.port.is_none() && !at_relay);
        self.tell_place(cx, request.conn, text, SocketAddr::new(ip, at.port()));
        SocketAddr::new(ip, at.port())
    }

    fn note_met(
        &mut self,
        cx: &Context<'_>,
        node: NodeId,
        client: SocketAddr,
        key: HostKey,
        knocks: Option<SocketAddr>,
    ) {
        let Some(host) = self.hosts.any(key) else { return };
        if !self.lines.says(cx.now, client.ip()) {
            return;
        }
        let (client, name) = (Shown(client), cx.shared.nodes.of(node));
        let but = if knocks.is_some() { "" } else { ", which was not told: no UDP packet came" };
        info!(
            dialect = "gmnet", event = "introduced", client:% = client, host:% = host.at(),
            game = host.game(), node = name;
            "introduced {client} to host {} of node {name}{but}", Named(host)
        );
    }

    /// There is no relay for a client and a host of another node after all: it is asked what else there is.
    pub(in crate::dialect::gmnet) fn ask_direct(&mut self, cx: &mut Context<'_>, what: Direct) {
        let Direct { node, ask, request, text } = what;
        // Nobody would hear the answer.
        if self.is_stopping || !self.hosts.has_node(node) {
            return self.say_outcome(cx, &request, &text, Outcome::NotFound);
        }
        if let Some(conn) = self.conns.get_mut(request.conn) {
            conn.is_asking = true;
        }
        let by = By::Client(Box::new((request, text)));
        // What it can wait for it has waited for.
        let id = self.new_number(cx);
        self.send_ask(cx, node, Ask { id, has_relay: false, patience: 0, ..ask }, by);
    }

    /// Goes on with what another process has asked a node for clients that cannot be relayed.
    pub(super) fn restore_direct_asks(
        &mut self,
        cx: &mut Context<'_>,
        node: NodeId,
        asks: Vec<Direct>,
    ) {
        for ask in &asks {
            if let Some(conn) = self.conns.get_mut(ask.request.conn) {
                conn.is_asking = true;
            }
        }
        let (asks, lost): (Vec<_>, Vec<_>) =
            asks.into_iter().partition(|ask| ask.node == node && cx.shared.nodes.has(node));
        self.nodes.asking.restore(cx.now.instant, node, asks);
        for Direct { request, text, .. } in lost {
            if self.conns.get(request.conn).is_some() {
                self.end_asking(request.conn);
                self.say_outcome(cx, &request, &text, Outcome::NotFound);
            }
        }
    }

    /// Clients are not to wait for nodes any more.
    pub(in crate::dialect::gmnet) fn end_direct_asks(&mut self, cx: &mut Context<'_>) {
        let open = self.nodes.asking.open.iter();
        let of_clients = open.filter(|(_, asked)| matches!(asked.by, By::Client(_)));
        let mut all: Vec<u64> = of_clients.map(|(id, _)| *id).collect();
        all.sort_unstable();
        for id in all {
            if let Some(asked) = self.nodes.asking.remove(id) {
                self.conclude_asked(cx, id, &asked, Said::No);
            }
        }
    }

    /// A host of another node is to knock at a relay.
    pub(in crate::dialect::gmnet) fn tell_host_elsewhere(
        &self,
        cx: &mut Context<'_>,
        node: NodeId,
        (host, addr): (ConnId, IpAddr),
        (client, at): (IpAddr, SocketAddr),
    ) {
        let (addr, client) = (Some(addr), Some(client));
        let message = Message::<&Data>::Tell { host, addr, at, client };
        tell(cx, cluster::Whom::Node(node), &message);
    }
}
