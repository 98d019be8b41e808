//! What other nodes are told of the peers and rooms of this one.

use std::collections::VecDeque;
use std::sync::Arc;

use super::message::{Message, PeerEntry, RoomEntry};
use super::{Guest, Leaving, Whom, tell};
use crate::cluster::NodeId;
use crate::dialect::ConnId;
use crate::dialect::events::pages::Form;
use crate::dialect::events::{Context, Events, Outbox};
use crate::limits::cluster as bounds;

/// About how long a peer or a room is in a message, beside its strings.
pub(super) const BESIDE: usize = 100;

impl Events {
    /// Another node is to be told everything.
    pub(in crate::dialect::events) fn begin_to_tell(&mut self, cx: &mut Context<'_>, node: NodeId) {
        self.note_node(node);
        let peers = self.own_peers().into_iter().map(Leaving::Guest);
        let rooms = self.rooms.of_this_node();
        let rooms = rooms.into_iter().map(|(game, number)| Leaving::Room(game, number));
        let untold: VecDeque<Leaving> = peers.chain(rooms).collect();
        if let Some(of_node) = self.nodes.there.get_mut(&node) {
            of_node.untold = Some(untold);
        }
        tell(cx.out, Whom::Node(node), &Message::Begin);
        let mut guests: Vec<ConnId> = self.nodes.guests.values().copied().collect();
        guests.sort_unstable();
        for id in guests {
            // One that another process has known may be of any. What is there of a node that was gone leaves its rooms.
            let is_of_node = |guest: Guest| {
                guest.node.is_none()
                    || guest.node == Some(node)
                        && (guest.is_untold() || !self.nodes.is_gone(guest.node, guest.round))
            };
            if let Some(peer) = self.peer(id).filter(|peer| peer.room.is_some())
                && self.guest(id).is_some_and(is_of_node)
            {
                let (token, room) = (peer.token, peer.room);
                tell(cx.out, Whom::Node(node), &Message::In { token, room, is_again: true });
            }
        }
        self.tell_part(cx, node);
    }

    /// Tells a node of some more that it has not been told of.
    pub(super) fn tell_part(&mut self, cx: &mut Context<'_>, node: NodeId) {
        let Some(of_node) = self.nodes.there.get_mut(&node) else { return };
        let pace = self.nodes.paces.entry(node).or_default();
        if !pace.is_open(cx.now.instant) {
            return self.nodes.parts.arm(cx.now.instant, node);
        }
        let Some(mut untold) = of_node.untold.take() else { return };
        let (mut peers, mut rooms, mut size) = (Vec::new(), Vec::new(), 0);
        for _ in 0..bounds::PART_ENTRIES {
            if size >= bounds::PART {
                break;
            }
            match untold.pop_front() {
                None => break,
                Some(Leaving::Guest(id)) => {
                    let Some(mut entry) = self.entry_of(id) else { continue };
                    let remote = self.peer(id).and_then(|peer| peer.remote.as_ref());
                    let is_out = remote.is_none_or(|remote| remote.node != node);
                    entry.is_out = is_out && !self.has_taken_over();
                    size += BESIDE + entry.strings();
                    peers.push(entry);
                }
                Some(Leaving::Room(game, number)) => {
                    let Some(entry) = self.room_entry(&game, number) else { continue };
                    size += BESIDE + entry.strings();
                    rooms.push(entry);
                }
            }
        }
        if let Some(pace) = self.nodes.paces.get_mut(&node) {
            pace.spend(cx.now.instant, size);
        }
        let whom = Whom::Node(node);
        if !peers.is_empty() {
            tell(cx.out, whom, &Message::Peers { all: peers });
        }
        if !rooms.is_empty() {
            tell(cx.out, whom, &Message::Rooms { all: rooms });
        }
        if untold.is_empty() {
            return tell(cx.out, whom, &Message::End);
        }
        if let Some(of_node) = self.nodes.there.get_mut(&node) {
            of_node.untold = Some(untold);
            self.nodes.parts.arm(cx.now.instant, node);
        }
    }

    /// A peer of this node as others are told of it.
    fn entry_of(&self, id: ConnId) -> Option<PeerEntry> {
        let conn = self.conns.get(id)?;
        let peer = conn.peer.as_deref()?;
        Some(PeerEntry {
            token: peer.token,
            secret: peer.secret,
            game: Arc::clone(&peer.game),
            id: Arc::clone(&peer.id),
            addr: conn.addr,
            since: peer.since,
            is_page: matches!(conn.form, Form::Web(_)),
            // Only who is told everything is told that.
            is_out: false,
        })
    }

    /// Somebody has logged in here, or is on another connection now.
    pub(in crate::dialect::events) fn tell_login(&mut self, cx: &mut Context<'_>, id: ConnId) {
        if !self.nodes.there.is_empty()
            && let Some(entry) = self.entry_of(id)
        {
            let size = BESIDE + entry.strings();
            self.nodes.untold.add(Leaving::Guest(id), entry.addr.ip(), size);
            self.tell_news(cx);
        }
    }

    /// A peer of this node is about to say something to one of another, which has to know it.
    pub(super) fn tell_speaker(&mut self, cx: &mut Context<'_>, id: ConnId, node: NodeId) {
        let is_news = self.nodes.untold.remove(&Leaving::Guest(id));
        // One that has not been told of all may hear of it twice, which changes nothing.
        let is_new = self.nodes.there.get(&node).is_some_and(|of_node| of_node.untold.is_some());
        let whom = match is_news {
            true => Whom::All,
            false if is_new => Whom::Node(node),
            false => return,
        };
        if let Some(entry) = self.entry_of(id) {
            tell(cx.out, whom, &Message::Peers { all: vec![entry] });
        }
    }

    /// A peer of this node is gone.
    pub(in crate::dialect::events) fn tell_gone(&mut self, id: ConnId, out: &mut Outbox) {
        self.nodes.untold.remove(&Leaving::Guest(id));
        if !self.nodes.there.is_empty()
            && self.guest(id).is_none()
            && let Some(peer) = self.peer(id)
        {
            tell(out, Whom::All, &Message::Gone { token: peer.token });
        }
    }

    /// Rooms that are new or have changed have to wait for their turn; which are gone is told at once, and takes nothing
    /// of what may be said of others.
    pub(super) fn note_rooms(&mut self, cx: &mut Context<'_>) {
        let (mut ended, mut size) = (Vec::new(), 0);
        for (game, number) in self.rooms.take_news() {
            if let Some(entry) = self.room_entry(&game, number) {
                let bytes = BESIDE + entry.strings();
                self.nodes.untold.add(Leaving::Room(game, number), entry.made_by, bytes);
                continue;
            }
            let id = Leaving::Room(Arc::clone(&game), number);
            self.nodes.untold.remove(&id);
            size += BESIDE + game.len();
            ended.push((game, number));
            if size >= bounds::PART {
                size = 0;
                tell(cx.out, Whom::All, &Message::Ended { all: std::mem::take(&mut ended) });
            }
        }
        if !ended.is_empty() {
            tell(cx.out, Whom::All, &Message::Ended { all: ended });
        }
    }

    /// Tells all nodes who and which rooms are new or have changed, as far as a turn goes and they may be told.
    pub(super) fn tell_news(&mut self, cx: &mut Context<'_>) {
        let (mut peers, mut rooms, mut size) = (Vec::new(), Vec::new(), 0);
        for _ in 0..bounds::PART_ENTRIES {
            if size >= bounds::PART {
                break;
            }
            let Some((id, _)) = self.nodes.untold.pop(cx.now.instant) else { break };
            let bytes = match id {
                Leaving::Guest(id) => {
                    let Some(entry) = self.entry_of(id) else { continue };
                    peers.push(entry);
                    peers.last().map_or(0, PeerEntry::strings)
                }
                Leaving::Room(game, number) => {
                    let Some(entry) = self.room_entry(&game, number) else { continue };
                    rooms.push(entry);
                    rooms.last().map_or(0, RoomEntry::strings)
                }
            };
            self.nodes.untold.spend(cx.now.instant, BESIDE + bytes);
            size += BESIDE + bytes;
        }
        if !peers.is_empty() {
            tell(cx.out, Whom::All, &Message::Peers { all: peers });
        }
        if !rooms.is_empty() {
            tell(cx.out, Whom::All, &Message::Rooms { all: rooms });
        }
    }
}
