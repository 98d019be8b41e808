//! Requests of who speaks to one node and is in a room of another one.

use std::net::SocketAddr;

use super::super::leaving::Why;
use super::super::message::{Reason, Request};
use super::super::options::Options;
use super::super::table::Peer;
use super::super::{Context, Handed, Rooms, Turn};
use super::forwarding::ForwardingEntry;
use super::message::{Held, Message, Passed};
use super::tell;
use crate::cluster::{NodeId, Whom};
use crate::dialect::Via;
use crate::dialect::rooms::field::Id;
use crate::dialect::route::Route;

impl Rooms {
    /// Whether other nodes matter for who sent a request: none of what another node has passed on goes further.
    fn may_pass_on(&self, turn: &Turn<'_, '_>) -> bool {
        let are_there =
            !self.nodes.replication.is_alone() || self.table.known_nodes().next().is_some();
        turn.via.node.is_none() && are_there
    }

    /// The node of a room, if it is another one to which requests may be passed on.
    pub(in crate::dialect::rooms) fn node_of(
        &self,
        turn: &Turn<'_, '_>,
        room: Id,
    ) -> Option<NodeId> {
        self.may_pass_on(turn).then(|| self.table.node_of(room))?
    }

    /// `jr` into a room of another node.
    pub(in crate::dialect::rooms) fn join_elsewhere(
        &mut self,
        turn: &mut Turn<'_, '_>,
        node: NodeId,
        room: Id,
        game: &str,
    ) -> Result<(), Reason> {
        if self.hosts_here(turn) {
            return Err(Reason::BadRequest);
        }
        if self.table.game_of(room).is_none_or(|of| *of != *game) {
            return Err(Reason::NoRoom);
        }
        self.pass_on(turn, node, Vec::new(), None);
        Ok(())
    }

    /// Whether who sent a request has a room here, and has shown the key: he has to close it before he goes elsewhere.
    fn hosts_here(&self, turn: &Turn<'_, '_>) -> bool {
        let sender = turn.sender.and_then(|id| self.table.peer(id));
        sender.is_some_and(|host| host.is_host && host.proved)
    }

    /// Whether a request is of somebody who has, or had lately, his place at another node: then it is passed on. Those
    /// that may lead anywhere are not, but for those of a host that has shown its key: anybody may have moved a room of
    /// his own to where somebody else is.
    pub(in crate::dialect::rooms) fn passes_on(
        &mut self,
        turn: &mut Turn<'_, '_>,
        request: Option<&Request>,
    ) -> bool {
        if !self.may_pass_on(turn) {
            return false;
        }
        let entry = self.nodes.entry(turn.from).copied();
        let held = entry.and_then(|entry| entry.held);
        let node = match request {
            Some(Request::Status | Request::List(..)) => None,
            _ if held.is_some_and(|held| held.is_host && held.proved) => {
                entry.map(|entry| entry.node)
            }
            Some(Request::Return(id, key, _)) => {
                let is_here = self.table.peer(*id).is_some()
                    || self.offers.shown(turn.from, *id, *key).is_some();
                if is_here || self.hosts_here(turn) { None } else { self.node_of_peer(turn, *id) }
            }
            Some(Request::Host(..) | Request::Join(..) | Request::JoinAny(_)) => None,
            // Somebody may have given up in its name what it had: it is asked for its key.
            Some(Request::KeepAlive)
                if held.is_none_or(|held| !held.proved)
                    && (self.has_left(turn) || self.table.kept_at(turn.from).next().is_some()) =>
            {
                None
            }
            _ => entry.filter(|_| turn.sender.is_none()).map(|entry| entry.node),
        };
        let returns = match request {
            Some(Request::Return(id, ..)) => Some(*id),
            _ => None,
        };
        node.inspect(|node| self.pass_on(turn, *node, Vec::new(), returns)).is_some()
    }

    /// Where somebody may find a place by its ID and key that is not at this node.
    fn node_of_peer(&self, turn: &Turn<'_, '_>, id: Id) -> Option<NodeId> {
        let is_there = |node: &NodeId| self.nodes.replication.is_there(*node);
        let has_it = self.nodes.forwarding.of(id).map(|entry| entry.node);
        let has_offered_it = self.nodes.shown.get(&id).copied();
        if let Some(node) = has_it.or(has_offered_it).filter(is_there) {
            return Some(node);
        }
        // That of the place that it has had may be gone, and the one that it has asked since is not.
        let entry = self.nodes.forwarding.get(turn.from)?;
        let left = entry.left.filter(|left| left.id == id).map(|left| left.node);
        [left, entry.asked, Some(entry.node)].into_iter().flatten().find(is_there)
    }

    /// Whether a place at another node may be kept for who sent a request, as he has come by another one since, or
    /// somebody in his name.
    pub(in crate::dialect::rooms) fn has_left(&self, turn: &Turn<'_, '_>) -> bool {
        let entry = self.nodes.entry(turn.from);
        entry.is_some_and(|entry| entry.kept(turn.instant()).is_some())
    }

    /// Whether he has a place at another node that is left for another only with its key.
    pub(in crate::dialect::rooms) fn signs_elsewhere(&self, turn: &Turn<'_, '_>) -> bool {
        turn.handed.needs_key || self.nodes.held(turn.from).is_some_and(|held| held.signs)
    }

    /// The same of one where it has shown that key: anybody may have moved a place of his own to where it is.
    pub(in crate::dialect::rooms) fn signs_there_elsewhere(&self, turn: &Turn<'_, '_>) -> bool {
        let held = self.nodes.held(turn.from);
        turn.handed.needs_key || held.is_some_and(|held| held.signs && held.proved)
    }

    /// Passes a request on to the node of a room. If it is `rc`, that of this place.
    pub(in crate::dialect::rooms) fn pass_on(
        &mut self,
        turn: &mut Turn<'_, '_>,
        node: NodeId,
        rooms: Vec<Id>,
        returns: Option<Id>,
    ) {
        let (now, at, via) = (turn.instant(), turn.from, turn.via.via);
        let before = self.nodes.forwarding.get(at).copied();
        let known = before.filter(|entry| entry.node == node).and_then(|entry| entry.held);
        let is_proved = known.is_some_and(|held| held.proved);
        let left = before.and_then(|entry| entry.kept(now));
        let comes_back = left.is_some_and(|left| Some(left.id) == returns);
        if !is_proved && !comes_back && !self.nodes.forgeable.allow(now, at.ip()) {
            return;
        }
        // It is answered there.
        turn.cx.shared.credits.take_back(at.ip(), turn.data.len());
        let entry = match before {
            Some(entry) if entry.held.is_some() && entry.node != node => {
                ForwardingEntry { via, asked: Some(node), ..entry }
            }
            Some(entry) => ForwardingEntry { node, via, held: known, ..entry },
            None => ForwardingEntry { node, via, held: None, asked: None, left: None },
        };
        self.nodes.forwarding.set(now, at, entry);
        let own = turn.sender.and_then(|id| self.table.peer(id));
        let may_leave = entry.node == node || !self.nodes.replication.is_there(entry.node);
        let elsewhere = entry.held.filter(|_| !may_leave);
        // What others may have moved to where it is bars nobody the way back to what it has left.
        let bars = |signs, proved| signs && (proved || !comes_back);
        let needs_key = own.is_some_and(|peer| bars(peer.signs, peer.proved))
            || elsewhere.is_some_and(|held| bars(held.signs, held.proved));
        let data = turn.data.into();
        let tried = Some(turn.handed.tried.take().unwrap_or_default());
        let passed = Passed { at, via, data, rooms, tried, needs_key, held: known };
        tell(turn.cx, Whom::Node(node), &Message::Request(passed));
    }

    /// Another node has found no place for who wants any room: this one goes on with the other rooms.
    pub(super) fn go_on(
        &mut self,
        cx: &mut Context<'_>,
        node: NodeId,
        (via, at): (Via, SocketAddr),
        (data, tried): (&[u8], Vec<Id>),
    ) {
        let entry = self.nodes.forwarding.get(at);
        if entry.is_some_and(|entry| entry.node == node || entry.asked == Some(node)) {
            let handed = Handed { tried: Some(tried), ..Handed::default() };
            self.take(cx, via.into(), (at, data), handed);
            self.leave_elsewhere(cx, at);
        }
    }

    /// The room of another node in which who wants any room of a game is already.
    pub(in crate::dialect::rooms) fn room_elsewhere(
        &self,
        turn: &Turn<'_, '_>,
        options: &Options,
    ) -> Option<(NodeId, Id)> {
        let entry = self.nodes.entry(turn.from).filter(|_| self.may_pass_on(turn));
        let ForwardingEntry { node, held, .. } = entry?;
        let room = held.as_ref()?.room;
        if turn.handed.has_tried(room) {
            return None;
        }
        (self.table.game_of(room)? == &*turn.game(options)).then_some((*node, room))
    }

    /// Carries out what another node has passed on.
    pub(super) fn take_from_node(&mut self, cx: &mut Context<'_>, node: NodeId, passed: Passed) {
        let Passed { at, via, data, rooms, tried, needs_key, held: believed } = passed;
        let handed = Handed { rooms, tried, needs_key };
        self.take(cx, Route { via, node: Some(node) }, (at, &data), handed);
        self.leave_elsewhere(cx, at);
        // For a place that anybody may have asked for, none is left that is left only with its key.
        let is_told = |peer: &&Peer| peer.via.node == Some(node) && (peer.proved || !needs_key);
        let peer = self.table.peer_at(at).filter(is_told);
        let held = peer.map(|peer| Held {
            id: peer.id,
            room: peer.room,
            is_host: peer.is_host,
            proved: peer.proved,
            signs: peer.signs,
        });
        if held != believed {
            let is_kept = self.table.kept_at(at).next().is_some();
            tell(cx, Whom::Node(node), &Message::Place { at, held, is_kept });
        }
    }

    /// Who has got a place here has none at another node any more.
    pub(in crate::dialect::rooms) fn leave_elsewhere(
        &mut self,
        cx: &mut Context<'_>,
        at: SocketAddr,
    ) {
        let entry = self.nodes.forwarding.get(at).copied();
        let Some(entry) = entry.filter(|entry| entry.held.is_some()) else { return };
        if self.table.id_at(at).is_some() {
            let now = cx.now.instant;
            self.nodes.forwarding.set(now, at, entry.moved(now, entry.node, None));
            tell(cx, Whom::Node(entry.node), &Message::Elsewhere { at });
        }
    }

    /// Another node tells which place somebody has there.
    pub(super) fn note_held(
        &mut self,
        cx: &mut Context<'_>,
        node: NodeId,
        at: SocketAddr,
        (held, is_kept): (Option<Held>, bool),
    ) {
        let Some(before) = self.nodes.forwarding.get(at).copied() else { return };
        let was_held = before.held.is_some();
        if held.is_none() {
            if before.node == node {
                // Somebody else may have given it up, and it is kept there for the one who has its key.
                let entry = match is_kept {
                    true => before.moved(cx.now.instant, node, None),
                    false => ForwardingEntry { held, ..before },
                };
                self.nodes.forwarding.set(cx.now.instant, at, entry);
            }
            return;
        }
        if was_held && before.node != node {
            tell(cx, Whom::Node(before.node), &Message::Elsewhere { at });
        }
        let now = cx.now.instant;
        self.nodes.forwarding.set(
            now,
            at,
            ForwardingEntry { asked: None, ..before.moved(now, node, held) },
        );
        if let Some(own) = self.table.id_at(at) {
            self.end(cx, own, Why::Elsewhere);
        }
    }

    /// Who had a place here by way of another node has one elsewhere.
    pub(super) fn note_elsewhere(&mut self, cx: &mut Context<'_>, node: NodeId, at: SocketAddr) {
        let peer = self.table.peer_at(at).filter(|peer| peer.via.node == Some(node));
        if let Some(id) = peer.map(|peer| peer.id) {
            self.end(cx, id, Why::Elsewhere);
        }
    }
}

/// `qj`: gives a request back to the node that has passed it on, if there is no place in the rooms that it has chosen.
/// False: that one does not go on with it.
pub(in crate::dialect::rooms) fn give_back(turn: &mut Turn<'_, '_>, rooms: &[Id]) -> bool {
    let (Some(node), Some(mut tried)) = (turn.via.node, turn.handed.tried.take()) else {
        return false;
    };
    tried.extend_from_slice(rooms);
    let (at, via, data) = (turn.from, turn.via.via, turn.data.into());
    // It is answered there.
    turn.cx.shared.credits.take_back(at.ip(), turn.data.len());
    tell(turn.cx, Whom::Node(node), &Message::GiveBack { at, via, data, tried });
    true
}
