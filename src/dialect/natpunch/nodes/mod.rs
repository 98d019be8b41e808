//! The other nodes of a cluster. A node owns its clients and the lobbies that were made at it, and tells the others of
//! them, first all and then what changes; theirs are beside those of this one, in the same lists.
//!
//! * Others are told only of clients that have shown their IDs: what nobody has proven makes no node send anything to
//!   another, but for the signs of life of a client of another node, of which so many a second are passed on.
//! * What a client says of a lobby of another node goes to that node, which knows the client and has its node tell it
//!   what there is to tell. A client is in a lobby of another node only if it has asked to be.
//! * Two clients of two nodes are introduced by both ([`meeting`]): each node knows the NAT of its own client.
//! * Who speaks to one node with the ID that it has from another stays a client of that one, as somebody who has moved
//!   ([`passing`]): its node believes it as it believes in a new port.
//! * When a node is gone its clients leave all lobbies, its lobbies end, and clients here that were in one are told so.
//!   The same is done at a node that hears that another one has lost it, so that both come to the same.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use log::warn;
use prost::Message as _;

use self::meeting::{Asked, Introduced};
pub(super) use self::message::Losses;
use self::message::{Message, Said, Told};
use super::id::Uuid;
use super::message::{Content, Message as Datagram};
use super::{Natpunch, clients, lobbies};
use crate::clock::{Instant, earliest};
use crate::cluster::{NodeId, Whom};
use crate::dialect::forgeable::Forgeable;
use crate::dialect::replication::{Replication, ToTell, Update};
use crate::dialect::rounds::Rounds;
use crate::dialect::sweep::Sweep;
use crate::dialect::{Context, Keeping, Name, Outbox, Via};
use crate::hash::Map;
use crate::limits::{self, cluster as bounds};
use crate::state;
use crate::timers::{LogThrottle, Timers};

mod known;
mod meeting;
mod message;
mod passing;

/// What is known of other nodes, but for their clients and lobbies.
#[derive(Debug)]
pub(super) struct Nodes {
    replication: Replication<Uuid>,
    rounds: Rounds,
    /// Clients and lobbies of other nodes that may be gone: a few are looked at in a turn.
    leaving: Sweep<Uuid>,
    /// Those of nodes that had lost this one, which are there and have forgotten who was in what: the same is done with
    /// them.
    lost: BTreeSet<Uuid>,
    /// How often this node has lost each of the others, and they this one.
    losses: Map<NodeId, u64>,
    heard_losses: Map<NodeId, u64>,
    /// When each of them has begun to tell everything.
    begun: Map<NodeId, Instant>,
    /// Pairs, the lower ID first, of which another node was asked.
    asked: Timers<(Uuid, Uuid), Asked>,
    /// The same of which another node was to introduce both.
    introduced: Timers<(Uuid, Uuid), Introduced>,
    /// Who has asked lately for a lobby of another node: the lobby, and who.
    wanted: Timers<(Uuid, Uuid)>,
    /// Of which node those are a client who speak to this one, as that one says.
    leads: Timers<SocketAddr, NodeId>,
    /// Who may be, as something of them was passed on.
    maybe: Timers<SocketAddr, NodeId>,
    /// How much is passed on of those who may be forged.
    forgeable: Forgeable,
    /// Clients in lobbies that another process has known, and until when they are waited for.
    unclaimed: Map<Uuid, Vec<Uuid>>,
    claims_end: Option<Instant>,
    unreadable: LogThrottle,
    full: LogThrottle,
}

impl Default for Nodes {
    fn default() -> Self {
        Self {
            replication: Replication::default(),
            rounds: Rounds::default(),
            leaving: Sweep::default(),
            lost: BTreeSet::new(),
            losses: Map::default(),
            heard_losses: Map::default(),
            begun: Map::default(),
            asked: Timers::new(bounds::ANSWER_WAIT),
            introduced: Timers::new(bounds::ANSWER_WAIT),
            wanted: Timers::new(bounds::ANSWER_WAIT),
            leads: Timers::new(limits::NATPUNCH_SILENCE),
            maybe: Timers::new(bounds::ANSWER_WAIT),
            forgeable: Forgeable::default(),
            unclaimed: Map::default(),
            claims_end: None,
            unreadable: LogThrottle::default(),
            full: LogThrottle::default(),
        }
    }
}

impl Nodes {
    /// When something has to be done for other nodes.
    pub(super) fn next_wakeup(&self) -> Option<Instant> {
        let is_behind = !self.leaving.is_idle() || !self.lost.is_empty();
        let now = is_behind.then(Instant::default);
        let timers =
            [self.wanted.next(), self.leads.next(), self.maybe.next(), self.introduced.next()];
        earliest([
            now,
            self.replication.next(),
            self.asked.next(),
            self.claims_end,
            earliest(timers),
        ])
    }

    /// How much is kept of clients and lobbies.
    pub(super) fn kept(&self, each: &mut Keeping<'_>) {
        each("natpunch: those whom others have forgotten", self.lost.len());
        each("natpunch: those who may be gone", self.leaving.len());
        each("natpunch: pairs that others are asked for", self.asked.len());
        each("natpunch: pairs that others introduce", self.introduced.len());
        each("natpunch: joins at other nodes", self.wanted.len());
        each("natpunch: clients of others here", self.leads.len() + self.maybe.len());
        each("natpunch: those whom others know", self.replication.len());
    }

    /// How often nodes have lost each other, for another process: else who is told of fewer than before does not know
    /// that there was one more.
    pub(super) fn losses(&self) -> Vec<Losses> {
        let nodes = self.losses.keys().chain(self.heard_losses.keys());
        let nodes: BTreeSet<NodeId> = nodes.copied().collect();
        let of = |node| Losses {
            node,
            own: self.losses.get(&node).copied(),
            heard: self.heard_losses.get(&node).copied(),
        };
        nodes.into_iter().map(of).collect()
    }

    /// Goes on with what another process knew of that.
    pub(super) fn restore_losses(&mut self, all: Vec<Losses>, is_there: impl Fn(NodeId) -> bool) {
        for Losses { node, own, heard } in all.into_iter().filter(|losses| is_there(losses.node)) {
            self.losses.extend(own.map(|own| (node, own)));
            self.heard_losses.extend(heard.map(|heard| (node, heard)));
        }
    }

    /// Of which node those are a client who speak to this one, for another process.
    pub(super) fn leads(&self) -> &Timers<SocketAddr, NodeId> {
        &self.leads
    }

    /// Goes on with what another process knew of that.
    pub(super) fn restore_leads(
        &mut self,
        saved: Timers<SocketAddr, NodeId>,
        is_there: impl Fn(NodeId) -> bool,
    ) {
        self.leads.restore(saved);
        let all: Vec<SocketAddr> = self.leads.keys().copied().collect();
        all.into_iter().for_each(|at| _ = self.leads.cancel_if(at, |node| !is_there(*node)));
    }

    fn end_introductions_by(&mut self, node: NodeId) {
        let all: Vec<_> = self.introduced.keys().copied().collect();
        all.into_iter().for_each(|pair| _ = self.introduced.cancel_if(pair, |of| of.node == node));
    }

    /// Whether who is at this endpoint is a client of another node, as that one says.
    pub(super) fn knows(&self, endpoint: SocketAddr) -> bool {
        self.leads.is_armed(&endpoint)
    }
}

/// Tells nodes something.
fn tell(out: &mut Outbox, whom: Whom, message: &Message) {
    if let Some(bytes) = state::write(message) {
        out.nodes(Name::Natpunch, whom, |out| out.extend_from_slice(&bytes));
    }
}

/// Has a node send something to a client of its own.
pub(super) fn send_to_node(node: NodeId, to: Uuid, content: Content, out: &mut Outbox) {
    let data = Datagram { content: Some(content) }.encode_to_vec();
    tell(out, Whom::Node(node), &Message::Send { to, data });
}

/// Has the node of somebody who wanted to join a lobby of this one tell it that it has not got in, if it is in no other.
pub(super) fn say_parted(node: NodeId, joiner: Uuid, out: &mut Outbox) {
    tell(out, Whom::Node(node), &Message::Parted(joiner));
}

/// Has a node send something to somebody who speaks to it.
pub(super) fn send_by(node: NodeId, (via, at): (Via, SocketAddr), data: Vec<u8>, out: &mut Outbox) {
    tell(out, Whom::Node(node), &Message::SendBy { at, via, data });
}

/// Tells the node of the first of two where that one finds the other at a relay.
pub(super) fn say_relayed(
    cx: &mut Context<'_>,
    node: NodeId,
    pair: [Uuid; 2],
    (at, attempt): (SocketAddr, u32),
) {
    let said = Said::Relayed(at);
    tell(cx.out, Whom::Node(node), &Message::Answer { pair, attempt, said });
}

/// What a datagram says, if it is one.
fn decode(data: &[u8]) -> Option<Content> {
    Datagram::decode(data).ok()?.content
}

impl Natpunch {
    /// Another node is to be told everything.
    pub(super) fn begin_to_tell(&mut self, cx: &mut Context<'_>, node: NodeId) {
        self.clients.news.get_or_insert_default();
        self.lobbies.news.get_or_insert_default();
        // The clients first, the oldest before the others.
        let all = [self.lobbies.newest_first(), self.clients.newest_first()].concat();
        self.nodes.replication.begin(node, all);
        let losses = self.nodes.losses.get(&node).copied().unwrap_or_default();
        tell(cx.out, Whom::Node(node), &Message::Begin { losses });
        self.tell_part(cx, node);
        self.ask_once_more(cx, node);
        self.have_introduced_once_more(cx, node);
    }

    /// Another node is gone.
    pub(super) fn forget_node(&mut self, cx: &mut Context<'_>, node: NodeId) {
        self.nodes.replication.forget(node);
        if self.nodes.replication.is_alone() {
            (self.clients.news, self.lobbies.news) = (None, None);
        }
        *self.nodes.losses.entry(node).or_default() += 1;
        self.nodes.rounds.forget(node);
        self.clients.forget_ways(node);
        for leads in [&mut self.nodes.leads, &mut self.nodes.maybe] {
            let all: Vec<SocketAddr> = leads.keys().copied().collect();
            all.into_iter().for_each(|at| _ = leads.cancel_if(at, |of| *of == node));
        }
        self.nodes.leaving.note(node);
        self.sweep(cx);
        self.end_asks_of(cx, node);
        self.nodes.end_introductions_by(node);
        cx.shared.unheard.extend(self.nodes.rounds.take_unheard());
    }

    /// Another node has said something.
    pub(super) fn handle_node_message(&mut self, cx: &mut Context<'_>, node: NodeId, bytes: &[u8]) {
        let message = match state::read::<Message>(bytes) {
            Ok(message) if message.is_valid() => message,
            other => {
                let why = other.err().map_or("it is out of bounds".into(), |why| why.to_string());
                if let Some(before) = self.nodes.unreadable.say(cx.now.instant) {
                    let name = cx.shared.nodes.of(node);
                    warn!(
                        "cluster: what node {name} says of natpunch is not understood: {why}{before}"
                    );
                }
                return;
            }
        };
        match message {
            Message::Begin { losses } => self.handle_begin(cx, node, losses),
            Message::Told { all } => self.handle_told(cx, node, all),
            Message::Gone { all } => {
                for id in all {
                    self.take_away(cx, node, id);
                }
                self.nodes.rounds.has_taken_back(node);
            }
            Message::End => {
                if self.nodes.rounds.end(node) {
                    self.nodes.leaving.note(node);
                }
            }
            Message::Request { client, data } => self.handle_request(cx, node, client, &data),
            Message::Send { to, data } => {
                if self.clients.is_own(to)
                    && let Some(content) = decode(&data)
                {
                    self.tell(to, content, cx.out);
                }
            }
            Message::Parted(joiner) if self.clients.is_own(joiner) => self.part(cx, joiner),
            Message::Parted(_) => {}
            Message::Ask(ask) => self.answer_node(cx, node, &ask),
            Message::Answer { pair, attempt, said } => {
                self.handle_answer(cx, node, pair, (attempt, said));
            }
            Message::Introduce { pair, attempt, failed } => {
                self.introduce_for(cx, pair, attempt, failed);
            }
            Message::Passed { at, via, data } => self.handle_passed(cx, node, (via, at), &data),
            Message::Lead { at, is_client } => {
                self.handle_lead(cx.now.instant, node, at, is_client)
            }
            Message::SendBy { at, via, data } => {
                if [&self.nodes.leads, &self.nodes.maybe]
                    .iter()
                    .any(|of| of.get(&at) == Some(&node))
                {
                    cx.out.udp(via, at, |bytes| bytes.extend_from_slice(&data));
                }
            }
        }
        cx.shared.unheard.extend(self.nodes.rounds.take_unheard());
    }

    fn handle_begin(&mut self, cx: &mut Context<'_>, node: NodeId, losses: u64) {
        self.ask_who_begins(cx, node);
        self.nodes.rounds.begin(node);
        let before = self.nodes.heard_losses.insert(node, losses);
        if before.is_none_or(|before| losses <= before) {
            return;
        }
        // There its clients have left the lobbies of this one, and the clients of this one its own.
        let clients = self.clients.elsewhere(|of, _| of == node);
        let clients = clients.into_iter().filter(|id| self.members_with(*id) > 0);
        let lost: Vec<Uuid> = clients.chain(self.lobbies.elsewhere(|of, _| of == node)).collect();
        self.nodes.lost.extend(lost);
        self.sweep(cx);
    }

    /// Whether there is something that others have not been told.
    pub(super) fn has_news(&self) -> bool {
        let both = [&self.clients.news, &self.lobbies.news];
        both.iter().any(|news| news.as_ref().is_some_and(|news| !news.is_empty()))
    }

    /// Tells other nodes what there is to tell.
    pub(super) fn tell_nodes(&mut self, cx: &mut Context<'_>) {
        let now = cx.now.instant;
        self.tell_changes(cx);
        while let Some(node) = self.nodes.replication.pop_due(now) {
            self.tell_part(cx, node);
        }
        self.give_asks_up(cx);
        let Nodes { wanted, leads, maybe, introduced, .. } = &mut self.nodes;
        while wanted.pop_due(now).is_some() {}
        while leads.take_due(now).or_else(|| maybe.take_due(now)).is_some() {}
        while introduced.take_due(now).is_some() {}
        self.sweep(cx);
        if self.nodes.claims_end.is_some_and(|end| end <= now) {
            self.end_claims(cx);
        }
    }

    fn tell_changes(&mut self, cx: &mut Context<'_>) {
        let of_lobbies = self.lobbies.news.as_mut().map(std::mem::take).unwrap_or_default();
        let mut news = self.clients.news.as_mut().map(std::mem::take).unwrap_or_default();
        news.extend(of_lobbies);
        let (clients, lobbies) = (&self.clients, &self.lobbies);
        let to_tell = |id| to_tell(clients, lobbies, id);
        for change in self.nodes.replication.changes(cx.now.instant, &mut news, to_tell) {
            let message = match change {
                Update::Changed(all) => Message::Told { all },
                Update::Gone(all) => Message::Gone { all },
            };
            tell(cx.out, Whom::All, &message);
        }
        if let Some(left) = self.clients.news.as_mut() {
            left.extend(news);
        }
    }

    fn tell_part(&mut self, cx: &mut Context<'_>, node: NodeId) {
        let to_tell = |id| to_tell(&self.clients, &self.lobbies, id);
        let (all, is_all) = self.nodes.replication.part(cx.now.instant, node, to_tell);
        if !all.is_empty() {
            tell(cx.out, Whom::Node(node), &Message::Told { all });
        }
        if is_all {
            tell(cx.out, Whom::Node(node), &Message::End);
        }
    }
}

/// What others are told of a client or a lobby of this node, about how long that is, and whose it is.
fn to_tell(
    clients: &clients::Clients,
    lobbies: &lobbies::Lobbies,
    id: Uuid,
) -> Option<ToTell<Told>> {
    const BESIDE: usize = 80;
    if let Some(told) = clients.to_tell(id) {
        let (size, addr) = (BESIDE + told.strings(), told.endpoint.ip());
        return Some((Told::Client(told), size, addr));
    }
    let told = lobbies.to_tell(id)?;
    let (size, addr) = (BESIDE + told.strings(), told.made_by);
    Some((Told::Lobby(told), size, addr))
}
