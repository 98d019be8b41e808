//! Who in a room is told where whom is: the host of its clients, they of the host; and when.

use std::net::SocketAddr;

use super::message::{Answer, Reason};
use super::notices::Subject;
use super::table::{Peer, Status};
use super::{Id, Rooms, Turn};
use crate::dialect::Context;
use crate::nats::Ports;

impl Rooms {
    /// Tells the other side where a peer is now. Both have to punch again; a host is told of all
    /// its clients for that, and of those that came while it was away.
    pub(super) fn tell_new_endpoint(&mut self, turn: &mut Turn<'_, '_>, id: Id) {
        let Some(peer) = self.table.peer(id) else { return };
        let Some(room) = self.table.room(peer.room) else { return };
        let (is_host, host) = (peer.is_host, room.host);
        let clients = if is_host { room.clients.clone() } else { vec![id] };
        let room = room.id;
        self.forget_ends(id);
        if is_host {
            self.table.forget_told_of_kept(room);
        }
        for id in clients {
            let Some(client) = self.table.peer_mut(id) else { continue };
            (client.status, client.ended) = (Status::Joining, None);
            if is_host {
                client.told = false;
                client.knows_host = false;
                self.tell_of_host(turn.cx, id);
                self.introduce(turn.cx, id);
            } else if self.may_tell_client(turn.cx, id) {
                self.announce(turn.cx, id, host);
            }
        }
    }

    /// A peer is not at this endpoint any more: what it was told of others there is not sent again.
    pub(super) fn forget_told_at(&mut self, id: Id, old: SocketAddr) {
        let Some(peer) = self.table.peer(id) else { return };
        let Some(room) = self.table.room(peer.room) else { return };
        let clients = if peer.is_host || room.is_mesh { &room.clients[..] } else { &[] };
        let others = [clients, &[room.host]].concat();
        self.delivery.forget(id, old, &others);
    }

    /// A peer has shown that it is where it seems to be: now others are told who could not be
    /// before, and which ports it may have.
    pub(super) fn tell_proven(&mut self, cx: &mut Context<'_>, id: Id) {
        self.tell_other_side(cx, id);
        self.introduce_to_others(cx, id);
        self.tell_lan(cx, id);
    }

    fn tell_other_side(&mut self, cx: &mut Context<'_>, id: Id) {
        let Some(peer) = self.table.peer(id) else { return };
        let Some(room) = self.table.room(peer.room) else { return };
        if peer.is_host {
            for client in room.clients.clone() {
                if self.relay_at_once(cx, client) {
                    continue;
                }
                if self.table.peer(client).is_some_and(|client| client.knows_host) {
                    self.tell_predicted_ports(cx, id, client);
                } else {
                    self.tell_of_host(cx, client);
                }
            }
            return;
        }
        let (is_told, host) = (peer.told, room.host);
        if self.relay_at_once(cx, id) {
            return;
        }
        match is_told {
            true => self.tell_predicted_ports(cx, id, host),
            false => self.introduce(cx, id),
        }
    }

    /// Tells a peer which ports another one is going to have, if that is known.
    pub(super) fn tell_predicted_ports(&mut self, cx: &mut Context<'_>, who: Id, whom: Id) {
        if let (Some(peer), Some(other)) = (self.table.peer(who), self.table.peer(whom)) {
            let ports = Self::next_ports(cx, peer, other);
            self.delivery.tell_predicted_ports(cx, other, who, &ports);
        }
    }

    /// Tells a client where its host is now, if it does not know.
    fn tell_of_host(&mut self, cx: &mut Context<'_>, client: Id) {
        let Some(client) = self.table.peer(client).filter(|client| !client.knows_host) else {
            return;
        };
        let (id, room) = (client.id, client.room);
        let host = self.table.room(room).and_then(|room| self.table.peer(room.host));
        let can_meet = host.is_some_and(|host| Self::can_meet(cx, client, host));
        if !can_meet || !self.may_tell_host(cx, room, client.endpoint) {
            return;
        }
        if let Some(client) = self.table.peer_mut(id) {
            client.knows_host = true;
        }
        if let Some(host) = self.table.room(room).map(|room| room.host) {
            self.announce(cx, host, id);
        }
    }

    /// Tells a peer that another one has moved.
    pub(super) fn announce(&mut self, cx: &mut Context<'_>, who: Id, whom: Id) {
        let (Some(peer), Some(other)) = (self.table.peer(who), self.table.peer(whom)) else {
            return;
        };
        let there = self.told_at(cx, peer, other);
        if peer.is_host {
            let news = Answer::NewHost(who, there);
            self.delivery.correct(other.endpoint, Subject::Host, news);
        }
        let moved = Answer::Moved(who, there);
        self.delivery.notify(cx, other, Subject::Peer(who), moved);
        self.tell_predicted_ports(cx, who, whom);
    }

    /// Tells the host of a client, if it may be told.
    pub(super) fn introduce(&mut self, cx: &mut Context<'_>, client: Id) {
        if !self.may_tell_client(cx, client) {
            return;
        }
        let Some(client) = self.table.peer(client) else { return };
        let host = self.table.room(client.room).and_then(|room| self.table.peer(room.host));
        let Some(host) = host else { return };
        let comes = Answer::Comes(client.id, self.told_at(cx, client, host));
        let (id, host_id) = (client.id, host.id);
        self.delivery.notify(cx, host, Subject::Peer(id), comes);
        self.tell_predicted_ports(cx, id, host_id);
    }

    /// Whether the host of a client may be told where it is; then it counts as told.
    fn may_tell_client(&mut self, cx: &mut Context<'_>, id: Id) -> bool {
        let Some(client) = self.table.peer(id) else { return false };
        let host = self.table.room(client.room).and_then(|room| self.table.peer(room.host));
        let Some(host) = host.filter(|host| Self::can_meet(cx, client, host)) else {
            return false;
        };
        let may = client.told
            || client.proved
            || cx.shared.unproven.may_tell(cx.now.instant, client.endpoint, host.endpoint);
        if may && let Some(client) = self.table.peer_mut(id) {
            client.told = true;
        }
        may
    }

    /// Whether somebody may be told where the host of a room is.
    pub(super) fn may_tell_host(&self, cx: &mut Context<'_>, room: Id, whom: SocketAddr) -> bool {
        let host = self.table.room(room).and_then(|room| self.table.peer(room.host));
        host.is_some_and(|host| {
            host.proved || cx.shared.unproven.may_tell_asker(cx.now.instant, host.endpoint, whom)
        })
    }

    /// `ka`: the sender is there. By `noroom` it is asked for its key, if it has moved and somebody
    /// cannot be told of that before, or if somebody who may be another has given up its place, or comes by another
    /// node than it does.
    pub(super) fn keep_alive(&mut self, turn: &mut Turn<'_, '_>) -> Result<(), Reason> {
        let peer = self.place(turn)?;
        if !peer.comes_by(turn.via) {
            return Err(Reason::NoRoom);
        }
        if !peer.proved {
            let (id, has_moved) = (peer.id, peer.came_by.is_some());
            if !self.try_again(turn, id) && has_moved
                || self.table.kept_at(turn.from).next().is_some()
                || self.has_left(turn)
            {
                return Err(Reason::NoRoom);
            }
        }
        self.answer(turn, Answer::Alive);
        Ok(())
    }

    /// Tells the other side of a peer if it could not be told before. False: it still cannot be.
    fn try_again(&mut self, turn: &mut Turn<'_, '_>, id: Id) -> bool {
        let Some(peer) = self.table.peer(id) else { return true };
        if !peer.is_host {
            if !peer.told {
                self.introduce(turn.cx, id);
            }
            return self.table.peer(id).is_none_or(|peer| peer.told);
        }
        let clients = self.table.room(peer.room).map_or(Vec::new(), |room| room.clients.clone());
        clients.iter().for_each(|client| self.tell_of_host(turn.cx, *client));
        clients.iter().filter_map(|id| self.table.peer(*id)).all(|client| client.knows_host)
    }

    /// The ports that a peer is going to have towards the other side, if its NAT counts and it is
    /// known to be there: whoever is told knocks at all of them.
    pub(super) fn next_ports(cx: &mut Context<'_>, peer: &Peer, other: &Peer) -> Ports {
        if Self::are_relayed(cx, peer, other) {
            return Ports::new();
        }
        let (now, nats) = (cx.now.instant, &mut cx.shared.nats);
        if peer.proved {
            nats.settle(now, peer.endpoint);
        }
        if nats.can_predict() && (peer.proved || cx.shared.unproven.is_known(peer.endpoint.ip())) {
            return nats.next(now, peer.endpoint, other.endpoint, 1);
        }
        Ports::new()
    }

    /// The client asks again. Unless it only sends again, its host may not have heard of it, or it was
    /// started anew.
    pub(super) fn introduce_again(&mut self, turn: &mut Turn<'_, '_>, id: Id) {
        let Some(client) = self.table.peer(id) else { return };
        let host = self.table.room(client.room).and_then(|room| self.table.peer(room.host));
        let is_told =
            host.is_some_and(|host| self.delivery.is_pending(host.endpoint, Subject::Peer(id)));
        if !is_told {
            self.introduce(turn.cx, id);
        }
        self.introduce_to_others(turn.cx, id);
    }
}
