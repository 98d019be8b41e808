//! Peers of other nodes, which have no connection here, and what they say here.

use std::net::SocketAddr;
use std::sync::Arc;

use super::message::{Message, PeerEntry};
use super::{Event, Fault, Kind, Whom, tell};
use crate::clock::Instant;
use crate::cluster::NodeId;
use crate::dialect::events::endpoints::Local;
use crate::dialect::events::event::EventError;
use crate::dialect::events::pages::Form;
use crate::dialect::events::peers::Peer;
use crate::dialect::events::rooms::{DISCONNECTED, no_such_room};
use crate::dialect::events::unread::Unread;
use crate::dialect::events::wire::Wire;
use crate::dialect::events::{Conn, Context, Events, Framer, Outbox};
use crate::dialect::{ConnId, Name, hex};

/// Where the connection of a peer is that has none here.
#[derive(Clone, Copy, Debug)]
pub(in crate::dialect::events) struct Guest {
    /// Its node; none: another process knew it, and nobody has told of it since.
    pub(in crate::dialect::events) node: Option<NodeId>,
    /// The round in which it was told last.
    pub(super) round: u32,
}

/// In place of the round of what this process was not told.
const UNTOLD: u32 = 0;

impl Guest {
    /// One of another process, which its node has still to tell of.
    pub(in crate::dialect::events) const fn unclaimed(node: Option<NodeId>) -> Self {
        Self { node, round: UNTOLD }
    }

    /// Whether its node has not told this process of it.
    pub(super) fn is_untold(self) -> bool {
        self.round == UNTOLD
    }

    /// Who has its connection, or may have it: others take no notice.
    fn whom(self) -> Whom {
        self.node.map_or(Whom::All, Whom::Node)
    }
}

/// What peers of other nodes may ask of a room here.
const FOR_ROOMS: [&str; 7] =
    ["join_room", "quick_join", "update_room", "delete_room", "leave_room", "kick", "let_in"];

impl Events {
    /// The peer of this node with this token.
    pub(super) fn guest_of(&self, node: NodeId, token: u128) -> Option<ConnId> {
        let id = *self.nodes.guests.get(&token)?;
        // Of one that another process has known its node may say something before it tells of it again.
        self.guest(id).filter(|guest| guest.node.is_none_or(|of| of == node)).map(|_| id)
    }

    /// Another node tells of a peer.
    pub(super) fn put_guest(&mut self, cx: &mut Context<'_>, node: NodeId, entry: PeerEntry) {
        // Another node may admit others. Who is logged in here is nowhere else.
        let is_own = self.tokens.contains_key(&entry.token);
        if !entry.is_valid() || is_own || !self.config.admission.admits_game(&entry.game) {
            return;
        }
        let strings = entry.strings();
        let known = self.nodes.guests.get(&entry.token).copied();
        let before = known.and_then(|id| self.guest(id));
        if before.is_some_and(|guest| self.nodes.is_others(guest.node, guest.round, node)) {
            return;
        }
        let counted = before.filter(|guest| !guest.is_untold()).and_then(|guest| guest.node);
        let round = match counted == Some(node) {
            true => self.nodes.rounds.round_of(node),
            false => self.nodes.count(cx.now.instant, node, strings),
        };
        let Some(round) = round else { return };
        self.nodes.uncount(counted.filter(|of| *of != node), strings);
        let wire = Wire::Remote(Guest { node: Some(node), round });
        let form = || if entry.is_page { Form::Web(Box::default()) } else { Form::Objects };
        if let Some(id) = known {
            if let Some(conn) = self.conns.get_mut(id) {
                (conn.wire, conn.addr, conn.form) = (wire, entry.addr, form());
            }
            // That it has left may have been lost.
            if entry.is_out {
                self.leave_untold(id, cx.out);
            }
            return;
        }
        let id = self.conns.new_guest();
        let PeerEntry { token, secret, game, id: name, addr, since, .. } = &entry;
        let mut peer = Peer::new(Arc::clone(name), Arc::clone(game), (*token, *secret), *since);
        peer.keeps = false;
        let conn = Conn {
            addr: *addr,
            opened: cx.now.instant,
            wire,
            form: form(),
            framer: Framer::default(),
            ahead: Vec::new(),
            finished: false,
            is_left_behind: false,
            held: 0,
            unread: Unread::default(),
            peer: Some(Box::new(peer)),
        };
        self.conns.insert_guest(id, conn);
        self.nodes.guests.insert(*token, id);
        self.name_guest(cx, id, &entry);
    }

    /// Gives a peer of another node its ID, unless somebody else has it who logged in before.
    fn name_guest(&mut self, cx: &mut Context<'_>, id: ConnId, entry: &PeerEntry) {
        let holder = self.names.get(&entry.game, &entry.id);
        let other = holder.and_then(|holder| Some((holder, self.peer(holder)?)));
        let Some((holder, other)) = other else {
            return self.names.insert(Arc::clone(&entry.game), Arc::clone(&entry.id), id);
        };
        if (other.since, other.token) < (entry.since, entry.token) {
            return self.note_hidden(id);
        }
        let is_back = other.secret == entry.secret;
        if self.guest(holder).is_some() {
            self.hide(holder, cx.out);
        } else {
            let fault = match is_back {
                true => Fault::new("resumed", "you are back on another connection"),
                false => Fault::new("id_taken", "somebody else has had your ID for longer"),
            };
            self.refuse(cx, holder, &fault);
        }
        self.take_name(&entry.game, &entry.id, id, cx.out);
    }

    /// Somebody else has the ID of a guest. It is in no room here any more, where one ID would be that of two.
    fn hide(&mut self, guest: ConnId, out: &mut Outbox) {
        self.note_hidden(guest);
        self.leave(guest, DISCONNECTED, out);
    }

    fn note_hidden(&mut self, guest: ConnId) {
        if let Some(peer) = self.conns.get(guest).and_then(|conn| conn.peer.as_deref()) {
            self.nodes.hide(peer, guest);
        }
    }

    /// A peer has this ID from now on; another guest that has it as well is hidden.
    pub(in crate::dialect::events) fn take_name(
        &mut self,
        game: &Arc<str>,
        id: &Arc<str>,
        conn: ConnId,
        out: &mut Outbox,
    ) {
        if let Some(other) = self.names.get(game, id)
            && self.conns.is_remote(other)
            && !self.is_hidden(other)
        {
            self.hide(other, out);
        }
        self.names.insert(Arc::clone(game), Arc::clone(id), conn);
    }

    fn is_hidden(&self, guest: ConnId) -> bool {
        self.peer(guest).is_some_and(|peer| self.nodes.hidden.contains(peer, guest))
    }

    /// Nobody has this ID any more: one that was hidden has it, if there is one.
    pub(in crate::dialect::events) fn pass_name_on(&mut self, game: &Arc<str>, id: &Arc<str>) {
        if let Some(next) = self.nodes.hidden.take(game, id) {
            self.names.insert(Arc::clone(game), Arc::clone(id), next);
        }
    }

    /// A peer of another node is gone.
    pub(in crate::dialect::events) fn drop_guest(&mut self, id: ConnId, out: &mut Outbox) {
        let Some(guest) = self.guest(id) else { return };
        let Some(peer) = self.conns.get(id).and_then(|conn| conn.peer.as_deref()) else { return };
        let strings = peer.id.len() + peer.game.len();
        self.nodes.guests.remove(&peer.token);
        self.nodes.hidden.remove(peer, id);
        // What another process has known of its node was not counted here.
        self.nodes.uncount(guest.node.filter(|_| !guest.is_untold()), strings);
        self.log_out(id, None, out);
        self.conns.remove(id);
    }

    /// Somebody wants an ID that a peer of another node has. True: the ID is free now, as he has shown that he is
    /// that peer.
    pub(in crate::dialect::events) fn claim_guest(
        &mut self,
        holder: ConnId,
        secret: Option<&str>,
        out: &mut Outbox,
    ) -> bool {
        let Some(peer) = self.peer(holder) else { return true };
        let (token, known) = (peer.token, peer.secret);
        if secret.and_then(|secret| hex::read_128(secret.as_bytes())) == Some(known) {
            self.drop_guest(holder, out);
            return true;
        }
        if let Some(node) = self.guest(holder).and_then(|guest| guest.node) {
            tell(out, Whom::Node(node), &Message::Wanted { token });
        }
        false
    }

    /// Where the game socket of a guest is.
    pub(super) fn handle_socket(
        &mut self,
        cx: &mut Context<'_>,
        id: ConnId,
        endpoint: Option<SocketAddr>,
        local: Vec<Local>,
    ) {
        let Some(peer) = self.peer_mut(id) else { return };
        let endpoint = endpoint.filter(|at| at.ip().to_canonical() == at.ip());
        let local = Local::of_use(local);
        let is_moved = endpoint.is_some() && peer.endpoint != endpoint;
        let is_news = is_moved || peer.local != local;
        peer.local = local;
        let is_untold = std::mem::take(&mut peer.untold);
        if is_moved && let (Some(before), Some(at)) = (peer.endpoint, endpoint) {
            cx.shared.relay.moved(Name::Events, before, at);
        }
        if is_moved {
            peer.endpoint = endpoint;
            self.forget_results(id);
            self.note_host_moved(id);
        }
        if is_news || is_untold {
            self.introduce_again(cx, id, is_news);
        }
    }

    /// A peer of another node says something here, to a peer of this node or of a room here.
    pub(super) fn handle_guest(
        &mut self,
        cx: &mut Context<'_>,
        (node, id): (NodeId, ConnId),
        room: Option<u64>,
        object: &[u8],
    ) {
        let Ok(event) = self.read_node(cx.now.instant, object) else { return };
        if let Some(peer) = self.peer_mut(id) {
            peer.elsewhere = room;
        }
        let is_request = event.kind == Kind::Request && event.dest.is_none();
        let is_fine = match (event.kind, &event.dest) {
            (Kind::Confirmation | Kind::Response, _) => false,
            (_, Some(_)) => true,
            (Kind::Request, None) => FOR_ROOMS.contains(&&*event.name),
            (Kind::Pass | Kind::ConfirmPass, None) => true,
        };
        if !is_fine {
            return;
        }
        let is_join = is_request && matches!(&*event.name, "join_room" | "quick_join");
        if is_join {
            // Its node takes it to be in none, and lets it ask: that it has left was lost.
            self.leave_untold(id, cx.out);
        }
        if is_join && self.is_hidden(id) {
            // Whoever has its ID may be in the room.
            self.deny(id, &event, &no_such_room(), cx.out);
        } else {
            self.execute(cx, id, &event);
        }
        if let Some(peer) = self.peer(id).filter(|peer| is_join && peer.room.is_none()) {
            let in_none = Message::In { token: peer.token, room: None, is_again: false };
            tell(cx.out, Whom::Node(node), &in_none);
        }
    }

    /// Reads an event that another node has passed on.
    pub(super) fn read_node<'a>(
        &mut self,
        now: Instant,
        object: &'a [u8],
    ) -> Result<Event<'a>, EventError> {
        let event = Event::parse(object);
        if let Err(why) = &event
            && let Some(before) = self.nodes.unreadable.say(now)
        {
            log::warn!("cluster: an event of another node is not understood: {why}{before}");
        }
        event
    }

    /// A guest is in this room from now on, or in none: its node has to know.
    pub(in crate::dialect::events) fn tell_in(
        &self,
        id: ConnId,
        room: Option<u64>,
        out: &mut Outbox,
    ) {
        if let (Some(guest), Some(peer)) = (self.guest(id), self.peer(id)) {
            let message = Message::In { token: peer.token, room, is_again: false };
            tell(out, guest.whom(), &message);
        }
    }

    /// Writes to a guest, by way of its node.
    pub(in crate::dialect::events) fn write_to_guest(
        &self,
        id: ConnId,
        out: &mut Outbox,
        fill: impl FnOnce(&mut Vec<u8>),
    ) {
        if let (Some(guest), Some(peer)) = (self.guest(id), self.peer(id)) {
            let mut object = Vec::new();
            fill(&mut object);
            tell(out, guest.whom(), &Message::Write { token: peer.token, object });
        }
    }
}
