//! The other nodes of a cluster. A node owns its connections, the peers on them, and the rooms that are made there.
//!
//! * Each node tells all others who is logged in at it, and which rooms it has; first all, then what changes.
//! * A peer of another node is here a peer without a connection, a guest: `Wire::Remote`. What is written to it goes to
//!   its node, which writes it to the connection. Nodes know peers by their tokens, which stay when one comes back on
//!   another connection.
//! * What a peer says to one of another node, and all that it says of a room of another node but that it leaves, is
//!   passed on to that node as it came, with an ID by which the answer is found. There the guest says it: so the node of
//!   the receiver or of the room does all as for its own. What is unread, and how much one may say, is judged at the
//!   peer's own node.
//! * Rooms of other nodes are in the list of rooms, without members, with what is shown of them. So lists, changes and
//!   `quick_join` are a matter of the own node. Who is in one is [`remote`](RemoteMembership).
//! * Each time that a node tells everything is a round: what it does not tell again is gone, and who thinks to be in
//!   one of its rooms and is not told so is in none. The other way round who tells everything says which of its peers
//!   are in no room of the other node. A peer is in a room only if both nodes and the peer itself take it to be: who was
//!   told that it is not, or has not heard that it is, is taken out.
//! * Of two logins with one ID the older stays, by the clocks of their nodes in seconds, then by their tokens: all
//!   nodes come to the same. The other one is closed, and hidden until then. Who comes back to another node with its
//!   secret is taken to be older than it was itself, so its old connection is closed; it is in no room.

use std::collections::VecDeque;
use std::sync::Arc;

use log::warn;

use self::hidden::Hidden;
use self::message::Message;
use self::passed::Passed;
use super::event::{Event, Fault, Kind};
use super::peers::Peer;
use super::wire::Wire;
use super::{Context, Events, Outbox};
use crate::clock::{Instant, earliest};
use crate::cluster::{NodeId, Whom};
use crate::dialect::rounds::{Full, Rounds};
use crate::dialect::sweep::Sweep;
use crate::dialect::untold::{Pace, Untold};
use crate::dialect::{ConnId, Keeping, Name};
use crate::hash::Map;
use crate::limits::cluster as bounds;
use crate::refusals::Reason;
use crate::state;
use crate::timers::{LogThrottle, Timers};

mod guests;
mod hidden;
pub(super) mod message;
mod passed;
mod remote_rooms;
mod replication;
mod sweeping;

pub(super) use guests::Guest;
pub(super) use message::RoomEntry;
pub(super) use remote_rooms::RemoteMembership;

/// What is known of other nodes, but for their peers and rooms.
#[derive(Debug)]
pub(super) struct Nodes {
    there: Map<NodeId, OfNode>,
    pub(super) rounds: Rounds,
    /// For whom those wait who had asked a node for something in another process, until that node is known here.
    conns: Map<NodeId, ConnId>,
    /// When those are told more that have not been told all.
    parts: Timers<NodeId>,
    /// How much each may be told of that.
    paces: Map<NodeId, Pace>,
    /// How much peers here may say to those of each.
    passed: Map<NodeId, Passed>,
    /// Peers and rooms of this node that have changed since others were told.
    untold: Untold<Leaving>,
    /// The peers of other nodes, by their tokens.
    guests: Map<u128, ConnId>,
    /// Those whose IDs somebody else has, who logged in before.
    hidden: Hidden,
    /// Guests and rooms of other nodes that may be gone: they are looked at bit by bit.
    leaving: Sweep<Leaving>,
    /// Peers of this node, by their tokens, whose rooms may be gone: those of which node.
    homeless: Sweep<(u128, NodeId)>,
    /// When those are gone that another process has known and no node has told of since.
    unclaimed: Option<Instant>,
    unreadable: LogThrottle,
    full: LogThrottle,
}

/// What may be gone, or has to be told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Leaving {
    Guest(ConnId),
    Room(Arc<str>, u64),
}

/// What is known of another node.
#[derive(Debug)]
struct OfNode {
    /// For whom those wait who have asked it for something.
    conn: ConnId,
    /// What it has still to be told.
    untold: Option<VecDeque<Leaving>>,
}

impl Default for Nodes {
    fn default() -> Self {
        Self {
            there: Map::default(),
            rounds: Rounds::default(),
            conns: Map::default(),
            parts: Timers::new(bounds::PART_EVERY),
            paces: Map::default(),
            passed: Map::default(),
            untold: Untold::default(),
            guests: Map::default(),
            hidden: Hidden::default(),
            leaving: Sweep::default(),
            homeless: Sweep::default(),
            unclaimed: None,
            unreadable: LogThrottle::default(),
            full: LogThrottle::default(),
        }
    }
}

impl Nodes {
    /// How much is kept of peers.
    pub(super) fn kept(&self, each: &mut Keeping<'_>) {
        each("events: what others have to be told", self.untold.len());
        each("events: guests", self.guests.len());
        each("events: guests without an ID", self.hidden.len());
        each("events: what is to be taken away", self.leaving.len() + self.homeless.len());
        each("events: entries of other nodes", self.rounds.size());
    }

    /// When something has to be done for other nodes.
    pub(super) fn next_wakeup(&self) -> Option<Instant> {
        let is_behind = !self.leaving.is_idle() || !self.homeless.is_idle();
        let now = is_behind.then(Instant::default);
        earliest([now, self.parts.next(), self.untold.next(), self.unclaimed])
    }

    /// For whom those wait who ask this node for something, if it is there, or was in another process.
    fn conn_of(&self, node: NodeId) -> Option<ConnId> {
        let there = self.there.get(&node).map(|of_node| of_node.conn);
        there.or_else(|| self.conns.get(&node).copied())
    }

    /// Whether those who wait for this ask a node, not a peer.
    fn is_conn(&self, id: ConnId) -> bool {
        let there = self.there.values().map(|of_node| of_node.conn);
        there.chain(self.conns.values().copied()).any(|conn| conn == id)
    }

    /// A peer is on another connection now.
    pub(super) fn forget_untold(&mut self, id: ConnId) {
        self.untold.remove(&Leaving::Guest(id));
    }

    /// Whether what this node has told in that round is not there any more.
    fn is_gone(&self, node: Option<NodeId>, round: u32) -> bool {
        node.is_none_or(|node| self.rounds.is_gone(node, round))
    }

    /// Whether something is another's of which `node` tells: this one has told of it before, in this round.
    pub(super) fn is_others(&mut self, of: Option<NodeId>, round: u32, node: NodeId) -> bool {
        of.is_some_and(|of| self.rounds.is_others((of, round), node))
    }

    /// Somebody else has the ID of this guest, who logged in before.
    pub(super) fn hide(&mut self, peer: &Peer, id: ConnId) {
        self.hidden.insert(peer, id);
    }

    /// Counts one entry more of a node. The round in which it is told; none: the node has as many as it may have, or has
    /// not begun to tell.
    pub(super) fn count(&mut self, now: Instant, node: NodeId, strings: usize) -> Option<u32> {
        let round = self.rounds.add(node, strings);
        if let Err(Full) = round
            && let Some(before) = self.full.say(now)
        {
            warn!("cluster: another node has more peers and rooms than there is room for{before}");
        }
        round.ok()?
    }

    /// Counts one less.
    pub(super) fn uncount(&mut self, node: Option<NodeId>, strings: usize) {
        node.into_iter().for_each(|node| self.rounds.remove(node, strings));
    }
}

/// Tells nodes something.
fn tell(out: &mut Outbox, whom: Whom, message: &Message) {
    if let Some(bytes) = state::write(message) {
        out.nodes(Name::Events, whom, |out| out.extend_from_slice(&bytes));
    }
}

impl Events {
    /// The node that a peer is at, if it is another one; none inside: nobody has said since another process took over.
    pub(super) fn guest(&self, id: ConnId) -> Option<Guest> {
        match self.conns.get(id)?.wire {
            Wire::Remote(guest) => Some(guest),
            _ => None,
        }
    }

    /// Another node has said something.
    pub(super) fn handle_node_message(&mut self, cx: &mut Context<'_>, node: NodeId, bytes: &[u8]) {
        let message = match state::read::<Message>(bytes) {
            Ok(message) => message,
            Err(why) => {
                if let Some(before) = self.nodes.unreadable.say(cx.now.instant) {
                    let name = cx.shared.nodes.of(node);
                    warn!(
                        "cluster: what node {name} says of events is not understood: {why}{before}"
                    );
                }
                return;
            }
        };
        match message {
            Message::Begin => self.nodes.rounds.begin(node),
            Message::Peers { all } => {
                all.into_iter().for_each(|entry| self.put_guest(cx, node, entry));
            }
            Message::Gone { token } => {
                if let Some(guest) = self.guest_of(node, token) {
                    self.drop_guest(guest, cx.out);
                    self.nodes.rounds.has_taken_back(node);
                }
            }
            Message::Rooms { all } => {
                all.into_iter().for_each(|entry| self.put_room(cx, node, entry));
            }
            Message::Ended { all } => {
                for (game, number) in all {
                    self.drop_room(&game, number, Some(node));
                }
                self.nodes.rounds.has_taken_back(node);
            }
            Message::End => {
                if self.nodes.rounds.end(node) {
                    self.sweep_later(node);
                }
            }
            Message::Socket { token, endpoint, local } => {
                if let Some(guest) = self.guest_of(node, token) {
                    self.handle_socket(cx, guest, endpoint, local);
                }
            }
            Message::Say { token, room, object } => {
                if let Some(guest) = self.guest_of(node, token) {
                    self.handle_guest(cx, (node, guest), room, &object);
                }
            }
            Message::Leave { token } => {
                if let Some(guest) = self.guest_of(node, token) {
                    self.leave_untold(guest, cx.out);
                }
            }
            Message::Write { token, object } => {
                if let Some(id) = self.tokens.get(&token).copied() {
                    self.write_for_node(node, id, &object, cx.out);
                }
            }
            Message::In { token, room, is_again } => {
                if let Some(id) = self.tokens.get(&token).copied() {
                    self.handle_room(node, id, (room, is_again), cx.out);
                }
            }
            Message::Wanted { token } => {
                if let Some(id) = self.tokens.get(&token).copied()
                    && self.is_lost(cx, id)
                {
                    let fault = Fault::new("timeout", super::SILENT).because(Reason::Unfinished);
                    self.refuse(cx, id, &fault);
                }
            }
        }
        cx.shared.unheard.extend(self.nodes.rounds.take_unheard());
    }

    /// Another node is gone, with all that it has.
    pub(super) fn forget_node(&mut self, cx: &mut Context<'_>, node: NodeId) {
        let Some(of_node) = self.nodes.there.remove(&node) else { return };
        self.nodes.rounds.forget(node);
        cx.shared.unheard.extend(self.nodes.rounds.take_unheard());
        self.nodes.parts.cancel(&node);
        if self.nodes.there.is_empty() {
            self.rooms.tell_nodes(false);
            self.nodes.untold.clear();
        }
        self.sweep_later(node);
        self.gone.push_back(of_node.conn);
    }

    /// Another node is there from now on, if it was not.
    fn note_node(&mut self, node: NodeId) {
        if self.nodes.there.contains_key(&node) {
            return;
        }
        let known = self.nodes.conns.remove(&node);
        let conn = known.unwrap_or_else(|| self.conns.new_guest());
        self.nodes.there.insert(node, OfNode { conn, untold: None });
        self.rooms.tell_nodes(true);
    }

    /// Does what is due for other nodes.
    pub(super) fn serve_nodes(&mut self, cx: &mut Context<'_>) {
        if self.nodes.unclaimed.is_some_and(|at| at <= cx.now.instant) {
            self.nodes.unclaimed = None;
            let there: Vec<NodeId> = self.nodes.there.keys().copied().collect();
            // Nobody says of a node that it is gone that has not come since.
            let rounds = &mut self.nodes.rounds;
            let others: Vec<NodeId> = rounds.nodes().filter(|of| !there.contains(of)).collect();
            others.into_iter().for_each(|of| _ = rounds.forget(of));
            self.find_gone(|of| of.is_none_or(|of| !there.contains(&of)));
            self.find_homeless(|of| !there.contains(&of));
        }
        self.sweep(cx.out);
        if self.nodes.there.is_empty() {
            return;
        }
        self.note_rooms(cx);
        self.tell_news(cx);
        while let Some(node) = self.nodes.parts.pop_due(cx.now.instant) {
            self.tell_part(cx, node);
        }
    }

    /// The guests and their nodes, for another process.
    pub(super) fn nodes_of_guests(&self) -> Vec<(ConnId, NodeId)> {
        let all = self.nodes.guests.values();
        all.filter_map(|id| Some((*id, self.guest(*id)?.node?))).collect()
    }

    /// For whom those wait who have asked a node for something, for another process.
    pub(super) fn conns_of_nodes(&self) -> Vec<(NodeId, ConnId)> {
        self.nodes.there.iter().map(|(node, of_node)| (*node, of_node.conn)).collect()
    }

    /// Goes on with those of another process.
    pub(super) fn keep_conns(&mut self, conns: Vec<(NodeId, ConnId)>) {
        // What they tell counts already, until they begin to tell this process everything.
        conns.iter().for_each(|(node, _)| self.nodes.rounds.begin(*node));
        self.nodes.conns = conns.into_iter().collect();
    }

    /// Goes on with the guests of another process, of which these nodes are known: they stay if their nodes tell of them
    /// again.
    pub(super) fn keep_guests(&mut self, now: Instant, nodes: Vec<(ConnId, NodeId)>) {
        let nodes: Map<ConnId, NodeId> = nodes.into_iter().collect();
        for (id, token) in self.conns.keep_guests(|id| nodes.get(&id).copied()) {
            self.nodes.guests.insert(token, id);
        }
        if !self.nodes.guests.is_empty() || self.rooms.has_elsewhere() {
            self.nodes.unclaimed = Some(now + bounds::CLAIM);
        }
    }

    /// Whether this process has taken over, and nodes may still have to tell which of their rooms its peers are in.
    pub(super) const fn has_taken_over(&self) -> bool {
        self.nodes.unclaimed.is_some()
    }

    /// Adds a wait of a peer for what another node answers, if the event wants an answer; returns the ID by which it
    /// is known there.
    fn await_node(
        &mut self,
        cx: &mut Context<'_>,
        id: ConnId,
        event: &Event<'_>,
        receiver: ConnId,
    ) -> Result<String, Fault> {
        match event.kind {
            Kind::Pass => Ok(String::new()),
            _ => {
                let number = self.await_peer(cx, id, event, receiver)?;
                if self.nodes.is_conn(receiver) {
                    self.routes.hasten(cx.now.instant, number);
                }
                Ok(format!("\"{number}\""))
            }
        }
    }
}
