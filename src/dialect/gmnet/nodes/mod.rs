//! The other nodes of a cluster. Each is told of the hosts here, first all and then what changes, and tells of
//! its own, which are in [`hosts`](super::hosts) beside those of this node. A client that asks for a host elsewhere
//! goes through [`asking`], and on the node of the host through [`answering`].

use std::hash::BuildHasher as _;

use log::warn;
use serde::Serialize;

use self::answering::Answering;
use self::asking::Asking;
pub(super) use self::asking::Direct;
use self::message::{Entry, Known, Message};
use super::Gmnet;
use super::data::Data;
use crate::clock::{Instant, earliest};
use crate::cluster::{NodeId, Whom};
use crate::dialect::untold::{Pace, Untold};
use crate::dialect::{ConnId, Context, Keeping, Name};
use crate::hash::{Keyed, Map};
use crate::introductions::PublicIps;
use crate::limits::cluster as bounds;
use crate::state;
use crate::timers::{LogThrottle, Timers};

mod answering;
mod asking;
mod message;
mod replication;

/// What is known of other nodes, but for their hosts.
#[derive(Debug)]
pub(super) struct Nodes {
    /// Those that are there, each with the place of the host from which on it has still to be told.
    there: Map<NodeId, Option<usize>>,
    /// When those are told more that have not been told all.
    parts: Timers<NodeId>,
    /// How much each may be told of those.
    paces: Map<NodeId, Pace>,
    /// Hosts that have changed since others were told.
    untold: Untold<ConnId>,
    /// A hash of what others were told last of a host, so that they are not told the same again.
    told: Map<ConnId, u64>,
    hasher: Keyed,
    asking: Asking,
    answering: Answering,
    odd: LogThrottle,
}

impl Default for Nodes {
    fn default() -> Self {
        Self {
            there: Map::default(),
            parts: Timers::new(bounds::PART_EVERY),
            paces: Map::default(),
            untold: Untold::default(),
            told: Map::default(),
            hasher: Keyed::default(),
            asking: Asking::default(),
            answering: Answering::default(),
            odd: LogThrottle::default(),
        }
    }
}

impl Nodes {
    /// How much is kept of peers.
    pub(super) fn kept(&self, each: &mut Keeping<'_>) {
        each("GMnet: hosts that others know", self.told.len());
        each("GMnet: hosts that others do not know", self.untold.len());
        each("GMnet: questions", self.asking.len());
        each("GMnet: questions of other nodes", self.answering.len());
    }

    /// When something has to be done for other nodes.
    pub(super) fn next_wakeup(&self) -> Option<Instant> {
        let told = [self.parts.next(), self.untold.next()];
        let asked = [self.asking.next_wakeup(), self.answering.next_wakeup()];
        earliest([earliest(told), earliest(asked)])
    }

    fn hash(&self, entry: &Entry<&Data>) -> u64 {
        self.hasher.hash_one(state::write(entry).unwrap_or_default())
    }
}

/// Tells nodes something.
fn tell<D: Serialize>(cx: &mut Context<'_>, whom: Whom, message: &Message<D>) {
    if let Some(bytes) = state::write(message) {
        cx.out.nodes(Name::Gmnet, whom, |out| out.extend_from_slice(&bytes));
    }
}

impl Gmnet {
    /// Another node is to be told everything.
    pub(super) fn begin_to_tell(&mut self, cx: &mut Context<'_>, node: NodeId) {
        self.hosts.news.get_or_insert_default();
        self.nodes.there.insert(node, Some(0));
        let begin = Message::<&Data>::begin(self.config.public_ips);
        tell(cx, Whom::Node(node), &begin);
        self.tell_part(cx, node);
        self.ask_once_more(cx, node);
    }

    /// Another node is gone.
    pub(super) fn forget_node(&mut self, cx: &mut Context<'_>, node: NodeId) {
        self.nodes.there.remove(&node);
        self.nodes.parts.cancel(&node);
        if self.nodes.there.is_empty() {
            self.hosts.news = None;
            self.nodes.told = Map::default();
            self.nodes.untold.clear();
        }
        self.hosts.node_gone(node);
        self.nodes.answering.forget(node);
        self.end_asks_of(cx, node);
    }

    /// Another node has said something.
    pub(super) fn hear_node(&mut self, cx: &mut Context<'_>, node: NodeId, bytes: &[u8]) {
        let message = match state::read::<Message<Data>>(bytes) {
            Ok(message) => message,
            Err(why) => {
                if let Some(before) = self.nodes.odd.say(cx.now.instant) {
                    let name = cx.shared.nodes.of(node);
                    warn!(
                        "cluster: what node {name} says of GMnet is not understood: {why}{before}"
                    );
                }
                return;
            }
        };
        match message {
            Message::Begin { v4, v6 } => {
                self.hosts.begin_round(node, PublicIps { v4, v6 });
                // What it has answered may be lost.
                self.ask_once_more(cx, node);
            }
            Message::Hosts { now, all } => self.hear_of_hosts(cx, node, (now, all)),
            Message::Gone { all } => {
                let now = cx.now.instant;
                all.into_iter().for_each(|conn| self.hosts.take_away(now, node, conn));
            }
            Message::End => self.hosts.end_round(node),
            Message::Ask(ask) => self.answer_node(cx, node, ask),
            Message::Answer { id, said } => self.hear_answer(cx, node, id, said),
            Message::Tell { host, at } => self.send_to_relay(cx, host, at),
        }
    }

    /// A node tells of hosts, at this time by its clock.
    fn hear_of_hosts(
        &mut self,
        cx: &mut Context<'_>,
        node: NodeId,
        (now, all): (u64, Vec<Entry<Data>>),
    ) {
        for entry in all {
            let Some(told) = entry.read(now, cx.now.instant) else { continue };
            let addr = told.addr;
            // Another node may admit others.
            let game = told.data.as_ref().map_or("", |data| data.get(0));
            if !self.config.admission.admits_game(game) {
                continue;
            }
            if self.hosts.put(cx.now.instant, node, told) {
                self.retry_for_host(cx, addr);
            }
        }
    }

    /// What another process needs to have the same lobby at once.
    pub(super) fn known_of_nodes(&self) -> Vec<Known<&Data>> {
        let nodes = self.hosts.known_nodes();
        let known = nodes.map(|(node, public_ips)| {
            let mut hosts = self.hosts.known_of(node);
            hosts.sort_unstable_by_key(|(host, _)| host.number);
            let hosts = hosts.into_iter().map(|(host, is_offered)| Entry::told(host, is_offered));
            let asks = self.nodes.asking.of_clients(node);
            Known { asks, ..Known::new(node, public_ips, hosts.collect()) }
        });
        known.collect()
    }

    /// Goes on with the hosts of other nodes that another process has known, until their nodes tell of them again.
    pub(super) fn restore_nodes(&mut self, cx: &mut Context<'_>, known: Vec<Known<Data>>) {
        let there = known.into_iter().filter(|known| cx.shared.nodes.has(known.node));
        for Known { node, v4, v6, hosts, asks } in there.collect::<Vec<_>>() {
            self.hosts.begin_round(node, PublicIps { v4, v6 });
            // Both processes have one clock.
            let now = cx.now.instant.micros();
            self.hear_of_hosts(cx, node, (now, hosts));
            self.nodes.asking.restore(cx.now.instant, node, asks);
        }
    }

    /// Tells other nodes what there is to tell.
    pub(super) fn tell_nodes(&mut self, cx: &mut Context<'_>) {
        self.tell_changes(cx);
        while let Some(node) = self.nodes.parts.pop_due(cx.now.instant) {
            self.tell_part(cx, node);
        }
        self.give_asks_up(cx);
        self.answer_late(cx);
    }

    /// Whether something has changed that others have not been told.
    pub(super) fn has_news(&self) -> bool {
        let news = self.hosts.news.as_ref();
        news.is_some_and(|news| !news.at.is_empty() || !news.gone.is_empty())
    }
}
