//! Peers of this node that have to do with others: what they say is passed on, and what comes back is written.

use log::debug;

use super::message::Message;
use super::replication::BESIDE;
use super::{Event, Fault, Kind, Whom, tell};
use crate::clock::Instant;
use crate::cluster::NodeId;
use crate::dialect::ConnId;
use crate::dialect::events::event::Nothing;
use crate::dialect::events::rooms::{named_room, no_such_room};
use crate::dialect::events::routing::Route;
use crate::dialect::events::{Context, Events, Outbox};
use crate::limits::{self, cluster as bounds};

/// In which room of another node a peer of this one is.
#[derive(Clone, Copy, Debug)]
pub(in crate::dialect::events) struct RemoteMembership {
    pub(super) node: NodeId,
    /// None: it wants to join one, and has no answer yet.
    pub(in crate::dialect::events) room: Option<u64>,
    /// The round in which that was told last.
    round: u32,
    /// When the node was told last where the game socket is.
    told: Instant,
}

/// By what one comes into a room.
const JOINS: [&str; 2] = ["join_room", "quick_join"];

/// What is said of the room that one is in.
const OF_OWN_ROOM: [&str; 5] = ["update_room", "delete_room", "leave_room", "kick", "let_in"];

/// Whether somebody waits to be let into a room of another node.
fn is_join(route: &Route) -> bool {
    route.is_of_node && JOINS.contains(&&*route.name)
}

impl Events {
    /// Passes an event on to another node, where `receiver` answers it, if anybody.
    pub(in crate::dialect::events) fn pass_on(
        &mut self,
        cx: &mut Context<'_>,
        id: ConnId,
        event: &Event<'_>,
        (node, receiver): (NodeId, ConnId),
    ) -> Result<(), Fault> {
        if event.dest.is_none()
            && let Some(conn) = self.conns.get(id)
        {
            let tokens = (event.length / bounds::ASKED_BYTES) as u32;
            self.commands.charge(cx.now.instant, conn.addr.ip(), tokens);
        }
        let number = self.await_node(cx, id, event, receiver)?;
        self.tell_speaker(cx, id, node);
        let Some(peer) = self.peer(id) else { return Ok(()) };
        let (token, room) = (peer.token, peer.any_room());
        let mut object = Vec::new();
        event.write_again(&mut object, &number);
        tell(cx.out, Whom::Node(node), &Message::Say { token, room, object });
        Ok(())
    }

    /// Counts what a peer says to one of another node: for its address, which has to wait if that is much, and for all.
    ///
    /// # Errors
    /// If so much was said to peers of that node that it would drop the rest, and all else that it is told.
    pub(in crate::dialect::events) fn charge_passed(
        &mut self,
        now: Instant,
        id: ConnId,
        length: usize,
        node: NodeId,
    ) -> Result<(), Fault> {
        let Some(addr) = self.conns.get(id).map(|conn| conn.addr.ip()) else { return Ok(()) };
        let passed = self.nodes.passed.entry(node).or_default();
        if !passed.allow(now, addr, BESIDE + length) {
            return Err(Fault::new("busy", "too much is said to peers of another node"));
        }
        let tokens = (length / bounds::PASSED_BYTES) as u32;
        self.passes.charge(now, addr, tokens);
        Ok(())
    }

    /// What a peer asks of another node makes that tell so many others: it costs as much as here, also of this turn, so
    /// that no more comes to the other node than it would do itself.
    pub(in crate::dialect::events) fn charge_elsewhere(
        &mut self,
        cx: &Context<'_>,
        id: ConnId,
        told: usize,
    ) {
        self.charge(cx.now, id, told);
        self.work_queue.spend(limits::COMMAND_WORK * told);
    }

    /// Passes on what a peer says of a room of another node that it is in. None: it is in none, or says something
    /// else.
    pub(in crate::dialect::events) fn forward_to_room(
        &mut self,
        cx: &mut Context<'_>,
        id: ConnId,
        event: &Event<'_>,
    ) -> Option<Result<(), Fault>> {
        let RemoteMembership { node, room, .. } = **self.peer(id)?.remote.as_ref()?;
        let leaves = event.kind == Kind::Request && event.name == "leave_room";
        if let Some(room) = room.filter(|_| leaves) {
            self.leave_elsewhere(id, event, room, cx.out);
            return Some(Ok(()));
        }
        let is_for_room = match event.kind {
            Kind::Request => OF_OWN_ROOM.contains(&&*event.name),
            _ => event.name == "punch_result",
        };
        let conn = self.nodes.conn_of(node).filter(|_| is_for_room)?;
        let told = if event.name == "update_room" { self.told_elsewhere(id) } else { 0 };
        self.charge_elsewhere(cx, id, told);
        Some(self.pass_on(cx, id, event, (node, conn)))
    }

    /// A peer leaves the room of another node that it is in: nobody can keep it there, so it may come into the next one
    /// before that node has heard of it.
    fn leave_elsewhere(&mut self, id: ConnId, event: &Event<'_>, room: u64, out: &mut Outbox) {
        self.be_in_none(id, out);
        self.answer(id, event, &Nothing {}, out);
        self.tell_left(id, room, "left", out);
        if let Some(peer) = self.peer_mut(id) {
            peer.left = Some(room);
        }
    }

    /// Has a peer ask another node whether it may come into a room there, in which so many are.
    pub(in crate::dialect::events) fn join_elsewhere(
        &mut self,
        cx: &mut Context<'_>,
        id: ConnId,
        event: &Event<'_>,
        (node, players): (Option<NodeId>, usize),
    ) -> Result<(), Fault> {
        // Who asks from elsewhere asks for a room of this node.
        let node = node.filter(|_| self.guest(id).is_none()).ok_or_else(no_such_room)?;
        let conn = self.nodes.conn_of(node).ok_or_else(no_such_room)?;
        // They are told when it leaves as well.
        self.charge_elsewhere(cx, id, 2 * players);
        let remote = RemoteMembership { node, room: None, round: 0, told: cx.now.instant };
        if let Some(peer) = self.peer_mut(id) {
            peer.remote = Some(Box::new(remote));
        }
        self.tell_socket(cx, id, true);
        let passed_on = self.pass_on(cx, id, event, (node, conn));
        if passed_on.is_err()
            && let Some(peer) = self.peer_mut(id)
        {
            peer.remote = None;
        }
        passed_on
    }

    /// Tells the node in whose room a peer is where its game socket is; if that is no `news`, then not often.
    pub(in crate::dialect::events) fn tell_socket(
        &mut self,
        cx: &mut Context<'_>,
        id: ConnId,
        news: bool,
    ) {
        let now = cx.now.instant;
        let Some(peer) = self.peer_mut(id) else { return };
        let Some(remote) = &mut peer.remote else { return };
        if !news && now - remote.told < bounds::SOCKET_EVERY {
            return;
        }
        remote.told = now;
        let node = remote.node;
        let (token, endpoint, local) = (peer.token, peer.endpoint, peer.local.clone());
        self.tell_speaker(cx, id, node);
        tell(cx.out, Whom::Node(node), &Message::Socket { token, endpoint, local });
    }

    /// Another node has something written to a peer of this one.
    pub(super) fn write_for_node(
        &mut self,
        node: NodeId,
        id: ConnId,
        object: &[u8],
        out: &mut Outbox,
    ) {
        let Ok(event) = Event::parse(object) else {
            return debug!("what another node has for a peer is no event");
        };
        let kind = match event.kind {
            Kind::Response => Kind::Request,
            Kind::Confirmation => Kind::ConfirmPass,
            // Who is away keeps its place; what would be too much is lost, as of its own node's peers.
            _ if event.is_of_peer() && self.is_owed_much(id, event.length, false) => return,
            _ if event.is_of_peer() || self.is_for_member(node, id, &event) => {
                return self.send(id, out, |bytes| event.write_again(bytes, ""));
            }
            _ => return,
        };
        // One that comes too late is dropped, as on one node.
        let number = event.id.trim_matches('"').parse().ok();
        let Some(route) = number.and_then(|number| self.routes.take_sent(number, kind, id)) else {
            return;
        };
        if is_join(&route) && !self.is_in_room_of(node, id) {
            if !event.is_error() {
                // It was let in, and has been taken out since.
                return self.fail_route(&route, &Fault::new("timeout", "the answer is late"), out);
            }
            // That it is in none is said as well, but may be lost.
            if let Some(peer) = self.peer_mut(id) {
                peer.remote.take_if(|remote| remote.node == node);
            }
        }
        // Who reads the answer may come into another room.
        let leaves = route.is_of_node && matches!(&*route.name, "leave_room" | "delete_room");
        if leaves && !event.is_error() {
            self.leave_remote_room(node, id);
        }
        // The node of the other peer does not know how much this one has still to read.
        if !route.is_of_node {
            if let Err(fault) = self.check_room(route.receiver, id, event.length, false) {
                return self.fail_route(&route, &fault, out);
            }
            self.note_sent(route.receiver, id, event.length);
        }
        self.send(id, out, |bytes| event.write_again(bytes, &route.id));
    }

    /// Whether a node may tell a peer something of a room that it is in. What has been under way for longer is of a room
    /// that the peer does not take itself to be in; only that it has left one it may not have heard.
    fn is_for_member(&mut self, node: NodeId, id: ConnId, event: &Event<'_>) -> bool {
        if event.name != "self_left" {
            return self.is_in_room_of(node, id);
        }
        let (Ok(left), Some(peer)) = (named_room(event), self.peer_mut(id)) else { return false };
        let remote = peer.remote.as_ref().map(|remote| (remote.node, remote.room));
        // Who has left it, or has given a join up and was put out meanwhile, may be in another room by now.
        let is_elsewhere = peer.room.is_some()
            || remote.is_some_and(|(of, room)| of != node || room.is_some_and(|room| room != left));
        if is_elsewhere {
            return false;
        }
        peer.remote.take_if(|remote| remote.room.is_some());
        // Who was put out as it has left itself knows that.
        peer.left != Some(left)
    }

    /// Whether a peer is in a room of this node, as far as is known.
    fn is_in_room_of(&self, node: NodeId, id: ConnId) -> bool {
        let remote = self.peer(id).and_then(|peer| peer.remote.as_ref());
        remote.is_some_and(|remote| remote.node == node && remote.room.is_some())
    }

    /// A peer is in no room of this node any more; it may be about to come into one.
    fn leave_remote_room(&mut self, node: NodeId, id: ConnId) {
        if let Some(peer) = self.peer_mut(id) {
            peer.remote.take_if(|remote| remote.node == node && remote.room.is_some());
        }
    }

    /// Another node tells in which of its rooms a peer of this one is.
    pub(super) fn handle_room(
        &mut self,
        node: NodeId,
        id: ConnId,
        (room, is_again): (Option<u64>, bool),
        out: &mut Outbox,
    ) {
        let Some(conn) = self.nodes.conn_of(node) else { return };
        // What it tells before it has begun does not outlast its beginning.
        let round = self.nodes.rounds.round_of(node).unwrap_or_default();
        let join = self.routes.find_named(id, conn, &JOINS);
        // That was said before it was heard there that the peer has left, unless that is lost.
        if room.is_some() && is_again && self.peer(id).is_some_and(|peer| peer.left == room) {
            if let Some(peer) = self.peer(id).filter(|_| join.is_none()) {
                tell(out, Whom::Node(node), &Message::Leave { token: peer.token });
            }
            return;
        }
        // It was let in, and the answer is lost: it is told so now and not when it has waited for long.
        if room.is_some()
            && is_again
            && let Some(join) = join.and_then(|join| self.routes.take_number(join))
        {
            return self.fail_route(&join, &Fault::new("timeout", "the answer is lost"), out);
        }
        let has_taken_over = self.has_taken_over();
        let Some(peer) = self.peer_mut(id) else { return };
        let remote = peer.remote.as_ref();
        let before = remote.filter(|remote| remote.node == node).map(|remote| remote.room);
        // What another process has known of that is not known here.
        let may_be = has_taken_over && peer.room.is_none() && remote.is_none();
        match (room, before) {
            (Some(_), before) if before.is_some() || may_be => {
                let told = remote.map_or(Instant::default(), |remote| remote.told);
                peer.remote = Some(Box::new(RemoteMembership { node, room, round, told }));
                peer.left = None;
            }
            // It has been told that it is not, or has found another one since.
            (Some(_), _) => tell(out, Whom::Node(node), &Message::Leave { token: peer.token }),
            // Whoever has been told that it has left is in none already.
            (None, Some(Some(before))) => {
                (peer.remote, peer.left) = (None, Some(before));
                self.tell_room_gone(id, before, out);
            }
            // It may ask for another one already.
            (None, Some(None)) if join.is_none() => peer.remote = None,
            (None, _) => {}
        }
    }

    /// A join of a room of another node is not answered in time: it counts for nothing, even if the answer comes.
    pub(in crate::dialect::events) fn give_join_up(&mut self, route: &Route, out: &mut Outbox) {
        if is_join(route) && !self.is_elsewhere(route) {
            self.be_in_none(route.sender, out);
        }
    }

    /// Whether who has asked a node for this is in a room of another one by now, or asks for one there.
    fn is_elsewhere(&self, route: &Route) -> bool {
        let sender = route.sender;
        let Some(remote) = self.peer(sender).and_then(|peer| peer.remote.as_ref()) else {
            return false;
        };
        let other = self.nodes.conn_of(remote.node).filter(|node| *node != route.receiver);
        let asks = |node| self.routes.find_named(sender, node, &JOINS).is_some();
        other.is_some_and(|node| remote.room.is_some() || asks(node))
    }

    /// That somebody leaves a room of another node is not answered in time: it is in none all the same.
    pub(in crate::dialect::events) fn give_leave_up(&mut self, route: &Route, out: &mut Outbox) {
        if route.is_of_node && &*route.name == "leave_room" && !self.is_elsewhere(route) {
            self.be_in_none(route.sender, out);
        }
    }

    fn be_in_none(&mut self, id: ConnId, out: &mut Outbox) {
        let Some(peer) = self.peer_mut(id) else { return };
        if let Some(remote) = peer.remote.take() {
            tell(out, Whom::Node(remote.node), &Message::Leave { token: peer.token });
        }
    }

    /// In which rooms of other nodes peers are, for another process.
    pub(in crate::dialect::events) fn all_away(&self) -> Vec<(ConnId, NodeId, Option<u64>)> {
        let remote = |id: ConnId| {
            let remote = self.peer(id)?.remote.as_ref()?;
            Some((id, remote.node, remote.room))
        };
        self.own_peers().into_iter().filter_map(remote).collect()
    }

    /// Goes on with that of another process, until the nodes have told it anew.
    pub(in crate::dialect::events) fn keep_away(
        &mut self,
        now: Instant,
        all: Vec<(ConnId, NodeId, Option<u64>)>,
    ) {
        // Their nodes may be gone.
        if !all.is_empty() {
            self.nodes.unclaimed = Some(now + bounds::CLAIM);
        }
        for (id, node, room) in all {
            if let Some(peer) = self.peer_mut(id) {
                let remote = RemoteMembership { node, room, round: 0, told: Instant::default() };
                peer.remote = Some(Box::new(remote));
            }
        }
    }

    /// By its token, a peer that is in a room of a node that is not there any more, unless it has been told of it anew.
    pub(super) fn lost_room(&self, id: ConnId) -> Option<(u128, NodeId, u64)> {
        let peer = self.peer(id)?;
        // Who only waits for an answer is told so.
        let RemoteMembership { node, room, round, .. } = **peer.remote.as_ref()?;
        self.nodes.is_gone(Some(node), round).then_some((peer.token, node, room?))
    }

    /// A peer's room at this node is gone, if it is still so.
    pub(super) fn bring_home(&mut self, token: u128, node: NodeId, out: &mut Outbox) {
        let Some(id) = self.tokens.get(&token).copied() else { return };
        if let Some((_, of, room)) = self.lost_room(id)
            && of == node
        {
            // The node may only have been out of reach, and was told meanwhile that the peer is still in its room.
            self.be_in_none(id, out);
            self.tell_room_gone(id, room, out);
            // That it is put out there, before that is heard, is no news.
            if let Some(peer) = self.peer_mut(id) {
                peer.left = Some(room);
            }
        }
    }
}
