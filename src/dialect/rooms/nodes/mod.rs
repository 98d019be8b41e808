//! The other nodes of a cluster. Each owns its rooms, and all places in them, and tells the others what lists have
//! of them, first all and then what changes; theirs are in [`table`](super::table) beside those of this one.
//!
//! A room is wholly in the hands of its node: keys, passwords, kicks, the mesh, who is its host, the relay, and how much
//! somebody may be sent. So who speaks to another node is a peer like any other to it, but for its [`Route`]:
//!
//! * Its own node finds the room in lists, by its code or by `qj`, and passes whole datagrams to the room's node:
//!   `jr` and `qj` into that room, and all other requests but `status`, `rl` and `rh` of who has no place of its own
//!   here and has one there, or has asked for one ([`forwarding`]). `rc` goes where the ID is known. Who is host there
//!   and has shown its key (its room has been handed over to it) has all but `rl` and `status` passed on. What came by a
//!   node is never passed on again.
//! * The room's node carries it out as if it had come to itself, sends what it has to say by the other node, and tells
//!   that node which place the peer has there, if it believed something else.
//! * One endpoint has one place in the cluster: who gets one at one node loses the one that it had at another, as
//!   on one node: if its key was shown it is kept there for a while.
//! * Each datagram brings credit at one node only, where it is answered.
//! * A node that dies takes its rooms along. Who spoke to it keeps the places it has elsewhere until it has been silent
//!   for too long, and finds them again from the same endpoint by way of any node.

use std::net::SocketAddr;
use std::time::Duration;

use log::warn;

pub(super) use self::forwarding::ForwardingEntry;
pub(super) use self::forwarding::ForwardingTable;
use self::message::Message;
pub(super) use self::message::{Held, Known};
pub(super) use self::passing::give_back;
use super::field::Id;
use super::message::Answer;
use super::table::Told;
use super::{Context, Name, Rooms, Via};
use crate::clock::{Instant, earliest};
use crate::cluster::{NodeId, Whom};
use crate::dialect::Keeping;
use crate::dialect::forgeable::Forgeable;
use crate::dialect::replication::{Replication, ToTell, Update};
use crate::limits::{self, cluster as bounds};
use crate::state;
use crate::timers::{LogThrottle, Timers};

#[cfg(doc)]
use crate::dialect::route::Route;

mod forwarding;
mod message;
mod passing;

/// What is known of other nodes, but for their rooms.
#[derive(Debug)]
pub(super) struct Nodes {
    replication: Replication<Id>,
    forwarding: ForwardingTable,
    /// The nodes that have told somebody of a place with this ID lately, which may be an offer. What others ask for in
    /// his name changes nothing of it.
    shown: Timers<Id, NodeId>,
    /// How many requests are passed on of those who may be forged.
    forgeable: Forgeable,
    unreadable: LogThrottle,
}

impl Nodes {
    pub(super) fn new(silence: Duration) -> Self {
        Self {
            replication: Replication::default(),
            forwarding: ForwardingTable::new(silence),
            shown: Timers::new(limits::OFFER),
            forgeable: Forgeable::default(),
            unreadable: LogThrottle::default(),
        }
    }

    /// Where the requests of who is at this endpoint lead, if it has no place here. One that leads to a node that is gone
    /// is kept, as that may come back with the place.
    pub(super) fn entry(&self, at: SocketAddr) -> Option<&ForwardingEntry> {
        self.forwarding.get(at).filter(|entry| self.replication.is_there(entry.node))
    }

    /// The place that who is at this endpoint has at another node.
    pub(super) fn held(&self, at: SocketAddr) -> Option<Held> {
        self.entry(at)?.held
    }

    /// Whose requests lead to other nodes.
    pub(super) fn forwarding(&self) -> &ForwardingTable {
        &self.forwarding
    }

    /// Another node has somebody told something, perhaps of a place there.
    fn note_shown(&mut self, now: Instant, node: NodeId, text: &[u8]) {
        let Some(id) = Answer::own_id(text) else { return };
        if self.shown.len() >= bounds::LEADS {
            self.shown.take();
        }
        self.shown.arm_with(now, id, node);
    }

    /// How much is kept of peers.
    pub(super) fn kept(&self, each: &mut Keeping<'_>) {
        each("rooms: places shown by nodes", self.shown.len());
        each("rooms: forwarding", self.forwarding.len());
        each("rooms: rooms that others know", self.replication.len());
    }

    /// When something has to be done for other nodes.
    pub(super) fn next_wakeup(&self) -> Option<Instant> {
        earliest([self.replication.next(), self.forwarding.next_wakeup(), self.shown.next()])
    }
}

/// Has another node send something to somebody who speaks to it.
pub(super) fn send_by(
    cx: &mut Context<'_>,
    node: NodeId,
    (via, at): (Via, SocketAddr),
    text: &[u8],
) {
    tell(cx, Whom::Node(node), &Message::Send { at, via, data: text.into() });
}

/// Tells nodes something.
fn tell(cx: &mut Context<'_>, whom: Whom, message: &Message) {
    if let Some(bytes) = state::write(message) {
        cx.out.nodes(Name::Rooms, whom, |out| out.extend_from_slice(&bytes));
    }
}

/// With about how long a room is in a message, and whose it is.
fn sized(room: Told) -> Option<ToTell<Told>> {
    const BESIDE: usize = 80;
    let (size, addr) = (BESIDE + room.strings(), room.addr());
    Some((room, size, addr))
}

impl Rooms {
    /// Another node is to be told everything.
    pub(super) fn begin_to_tell(&mut self, cx: &mut Context<'_>, node: NodeId) {
        self.table.news.get_or_insert_default();
        self.nodes.replication.begin(node, self.table.newest_first());
        tell(cx, Whom::Node(node), &Message::Begin);
        self.tell_part(cx, node);
        let here = self.nodes.forwarding.at_node(node);
        for all in here.chunks(bounds::PART_ENTRIES).map(Into::into) {
            tell(cx, Whom::Node(node), &Message::Here { all });
        }
    }

    /// Another node is gone.
    pub(super) fn forget_node(&mut self, cx: &mut Context<'_>, node: NodeId) {
        self.nodes.replication.forget(node);
        if self.nodes.replication.is_alone() {
            self.table.news = None;
        }
        self.table.node_gone(node);
        self.table.forget_ways(node);
        cx.shared.unheard.extend(self.table.take_unheard());
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
                        "cluster: what node {name} says of rooms is not understood: {why}{before}"
                    );
                }
                return;
            }
        };
        match message {
            Message::Begin => self.table.begin_round(node),
            Message::Rooms { all } => {
                let now = cx.now.instant;
                all.into_iter().for_each(|told| self.table.put(now, node, told));
            }
            Message::Gone { all } => {
                let now = cx.now.instant;
                all.into_iter().for_each(|id| self.table.take_away(now, node, id));
            }
            Message::End => self.table.end_round(node),
            Message::Request(passed) => self.take_from_node(cx, node, passed),
            Message::GiveBack { at, via, data, tried } => {
                self.go_on(cx, node, (via, at), (&data, tried));
            }
            Message::Send { at, via, data } => {
                self.nodes.note_shown(cx.now.instant, node, &data);
                cx.out.udp(via, at, |bytes| bytes.extend_from_slice(&data));
            }
            Message::Place { at, held, is_kept } => {
                self.note_held(cx, node, at, (held, is_kept));
            }
            Message::Elsewhere { at } => self.note_elsewhere(cx, node, at),
            Message::Here { all } => {
                for (at, via, held) in all {
                    self.table.set_way(at, held.id, (via, node));
                }
            }
        }
        cx.shared.unheard.extend(self.table.take_unheard());
    }

    /// What another process needs to have the same lists at once.
    pub(super) fn known_of_nodes(&self) -> Vec<Known> {
        let nodes = self.table.known_nodes();
        nodes.map(|node| Known { node, rooms: self.table.known_of(node) }).collect()
    }

    /// Goes on with the rooms of other nodes that another process has known, until their nodes tell of them again.
    pub(super) fn restore_nodes(
        &mut self,
        cx: &mut Context<'_>,
        known: Vec<Known>,
        forwarding: ForwardingTable,
    ) {
        let now = cx.now.instant;
        for Known { node, rooms } in known {
            if cx.shared.nodes.has(node) {
                self.table.begin_round(node);
                rooms.into_iter().for_each(|told| self.table.put(now, node, told));
            }
        }
        self.nodes.forwarding.restore(forwarding, |node| cx.shared.nodes.has(node));
    }

    /// Tells other nodes what there is to tell.
    pub(super) fn tell_nodes(&mut self, cx: &mut Context<'_>) {
        self.tell_changes(cx);
        while let Some(node) = self.nodes.replication.pop_due(cx.now.instant) {
            self.tell_part(cx, node);
        }
        self.nodes.forwarding.on_wakeup(cx.now.instant);
        while self.nodes.shown.take_due(cx.now.instant).is_some() {}
        self.table.sweep(cx.now.instant);
    }

    /// Tells all nodes what has changed about rooms, as far as a turn goes.
    fn tell_changes(&mut self, cx: &mut Context<'_>) {
        let Some(news) = self.table.news.as_mut() else { return };
        let (mut left, table) = (std::mem::take(news), &self.table);
        let to_tell = |id| sized(table.to_tell(id)?);
        let changes = self.nodes.replication.changes(cx.now.instant, &mut left, to_tell);
        self.table.news = Some(left);
        for change in changes {
            let message = match change {
                Update::Changed(all) => Message::Rooms { all },
                Update::Gone(all) => Message::Gone { all },
            };
            tell(cx, Whom::All, &message);
        }
    }

    /// Tells a node of some more of the rooms that it has not been told of, the oldest first.
    fn tell_part(&mut self, cx: &mut Context<'_>, node: NodeId) {
        let to_tell = |id| sized(self.table.to_tell(id)?);
        let (all, is_all) = self.nodes.replication.part(cx.now.instant, node, to_tell);
        if !all.is_empty() {
            tell(cx, Whom::Node(node), &Message::Rooms { all });
        }
        if is_all {
            tell(cx, Whom::Node(node), &Message::End);
        }
    }
}
