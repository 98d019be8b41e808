//! The other nodes of a cluster. Each is told of the hosts here, first all and then what changes, and tells of
//! its own, which are in [`hosts`](super::hosts) beside those of this node. A client that asks for a host elsewhere
//! goes through [`asking`], and on the node of the host through [`answering`].

use log::warn;
use serde::Serialize;

use self::answering::Answering;
use self::asking::Asking;
pub(super) use self::asking::Direct;
use self::message::{Entry, Known, Message};
use super::Gmnet;
use super::data::Data;
use super::host::Host;
use super::notices::News;
use crate::clock::{Instant, earliest};
use crate::cluster::{NodeId, Whom};
use crate::dialect::replication::{Replication, ToTell, Update};
use crate::dialect::{ConnId, Context, Keeping, Name};
use crate::introductions::PublicIps;
use crate::state;
use crate::timers::LogThrottle;

mod answering;
mod asking;
mod message;

/// What is known of other nodes, but for their hosts.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    replication: Replication<ConnId>,
    asking: Asking,
    answering: Answering,
    unreadable: LogThrottle,
}

impl Nodes {
    /// How much is kept of peers.
    pub(super) fn kept(&self, each: &mut Keeping<'_>) {
        each("GMnet: hosts that others know", self.replication.len());
        each("GMnet: questions", self.asking.len());
        each("GMnet: questions of other nodes", self.answering.len());
    }

    /// When something has to be done for other nodes.
    pub(super) fn next_wakeup(&self) -> Option<Instant> {
        let asked = earliest([self.asking.next_wakeup(), self.answering.next_wakeup()]);
        earliest([self.replication.next(), asked])
    }
}

/// Tells nodes something.
fn tell<D: Serialize>(cx: &mut Context<'_>, whom: Whom, message: &Message<D>) {
    if let Some(bytes) = state::write(message) {
        cx.out.nodes(Name::Gmnet, whom, |out| out.extend_from_slice(&bytes));
    }
}

/// As it is told, with about how many bytes that takes, and its address.
fn sized(host: &Host) -> Option<ToTell<Entry<&Data>>> {
    const BESIDE: usize = 80;
    let entry = Entry::of(host);
    let size = BESIDE + entry.strings();
    Some((entry, size, host.addr))
}

impl Gmnet {
    /// Another node is to be told everything.
    pub(super) fn begin_to_tell(&mut self, cx: &mut Context<'_>, node: NodeId) {
        self.hosts.news.get_or_insert_default();
        self.nodes.replication.begin(node, self.hosts.newest_first());
        let begin = Message::<&Data>::begin(self.config.public_ips);
        tell(cx, Whom::Node(node), &begin);
        self.tell_part(cx, node);
        self.ask_once_more(cx, node);
    }

    /// Another node is gone.
    pub(super) fn forget_node(&mut self, cx: &mut Context<'_>, node: NodeId) {
        self.nodes.replication.forget(node);
        if self.nodes.replication.is_alone() {
            self.hosts.news = None;
        }
        self.hosts.node_gone(node);
        self.nodes.answering.forget(node);
        self.end_asks_of(cx, node);
    }

    /// Another node has said something.
    pub(super) fn handle_node_message(&mut self, cx: &mut Context<'_>, node: NodeId, bytes: &[u8]) {
        let message = match state::read::<Message<Data>>(bytes) {
            Ok(message) => message,
            Err(why) => {
                if let Some(before) = self.nodes.unreadable.say(cx.now.instant) {
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
                self.ask_who_begins(cx, node);
            }
            Message::Hosts { now, all } => self.handle_hosts(cx, node, (now, all)),
            Message::Gone { all } => {
                let now = cx.now.instant;
                all.into_iter().for_each(|conn| self.hosts.take_away(now, node, conn));
            }
            Message::End => self.hosts.end_round(node),
            Message::Ask(ask) => self.answer_node(cx, node, ask),
            Message::Answer { id, said } => self.handle_answer(cx, node, id, said),
            Message::Tell { host, addr, at, client } => {
                self.send_to_relay(cx, (host, addr), News { of: client, ..at.into() });
            }
        }
    }

    /// A node tells of hosts, at this time by its clock.
    fn handle_hosts(
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
                // It may have run another game before.
                self.hosts.take_away(cx.now.instant, node, told.conn);
                continue;
            }
            if self.hosts.put(cx.now.instant, node, told) {
                self.retry_for_host(cx, addr);
            }
        }
    }

    /// Tells all nodes what has changed about hosts, as far as a turn goes and they may be told.
    fn tell_changes(&mut self, cx: &mut Context<'_>) {
        let Some(news) = &mut self.hosts.news else { return };
        let mut left = std::mem::take(news);
        let now = cx.now.instant;
        let to_tell =
            |conn| self.conns.get(conn).and_then(|conn| sized(self.hosts.get(conn.host?)?));
        for change in self.nodes.replication.changes(now, &mut left, to_tell) {
            let message = match change {
                Update::Changed(all) => Message::Hosts { now: now.micros(), all },
                Update::Gone(all) => Message::Gone { all },
            };
            tell(cx, Whom::All, &message);
        }
        self.hosts.news = Some(left);
    }

    /// Tells a node of some more of the hosts that it has not been told of.
    fn tell_part(&mut self, cx: &mut Context<'_>, node: NodeId) {
        let now = cx.now.instant;
        let to_tell =
            |conn| self.conns.get(conn).and_then(|conn| sized(self.hosts.get(conn.host?)?));
        let (all, is_all) = self.nodes.replication.part(now, node, to_tell);
        if !all.is_empty() {
            tell(cx, Whom::Node(node), &Message::Hosts { now: now.micros(), all });
        }
        if is_all {
            tell(cx, Whom::Node(node), &Message::<&Data>::End);
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
        for Known { node, v4, v6, hosts, asks } in known {
            if cx.shared.nodes.has(node) {
                self.hosts.begin_round(node, PublicIps { v4, v6 });
                // Both processes have one clock.
                let now = cx.now.instant.micros();
                self.handle_hosts(cx, node, (now, hosts));
            }
            self.restore_direct_asks(cx, node, asks);
        }
    }

    /// Tells other nodes what there is to tell.
    pub(super) fn tell_nodes(&mut self, cx: &mut Context<'_>) {
        self.tell_changes(cx);
        while let Some(node) = self.nodes.replication.pop_due(cx.now.instant) {
            self.tell_part(cx, node);
        }
        self.give_asks_up(cx);
        self.answer_late(cx);
    }

    /// Whether something has changed that others have not been told.
    pub(super) fn has_news(&self) -> bool {
        self.hosts.news.as_ref().is_some_and(|news| !news.is_empty())
    }
}
