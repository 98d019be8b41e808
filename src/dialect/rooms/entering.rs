//! How a peer gets into a room: it hosts one, joins one, or comes back.

use std::net::SocketAddr;

use log::{info, warn};

use super::leaving::Why;
use super::message::{Answer, Reason};
use super::parted::How;
use super::post::{Subject, To};
use super::table::{Peer, Status};
use super::{Id, Key, Named, Rooms, Turn};
use crate::clock::Now;
use crate::dialect::Outbox;
use crate::limits;
use crate::nats::Ports;

impl Rooms {
    /// `rh`: makes a room with the sender as host.
    pub(super) fn host(&mut self, turn: &mut Turn<'_>, name: String) -> Result<(), Reason> {
        let before = self.table.peer_at(turn.from).map(|peer| (peer.id, peer.is_host));
        if let Some((id, true)) = before {
            self.answer_place(turn, id);
            return Ok(());
        }
        if matches!(self.parted.just_now(turn.instant(), turn.from), Some((_, How::Closed))) {
            return Ok(());
        }
        self.admit(turn, true)?;
        if let Some((id, false)) = before {
            self.end(turn.now, id, Why::Left, turn.out);
        }
        let (id, room) = (self.fresh_id(), self.fresh_id());
        let host = self.newcomer(turn, id, room, true);
        if self.lines.says(turn.now, turn.from.ip()) {
            info!("room {} opened by {}", Named(&name), turn.from);
        }
        self.table.open(turn.instant(), room, name, host);
        self.answer_place(turn, id);
        Ok(())
    }

    /// `jr`: introduces the sender to the host of a room.
    pub(super) fn join(&mut self, turn: &mut Turn<'_>, room: Id) -> Result<(), Reason> {
        let before = self.table.peer_at(turn.from).map(|peer| (peer.id, peer.room, peer.is_host));
        match before {
            Some((_, _, true)) => return Err(Reason::BadRequest),
            Some((id, at, false)) if at == room => {
                self.answer_place(turn, id);
                self.introduce_again(turn, id);
                return Ok(());
            }
            _ => {}
        }
        if self.table.room(room).ok_or(Reason::NoRoom)?.is_barred(turn.from) {
            return Err(Reason::Kicked);
        }
        if self.parted.just_now(turn.instant(), turn.from) == Some((room, How::Left)) {
            return Ok(());
        }
        self.make_place_in(turn, room)?;
        self.admit(turn, false)?;
        if let Some((id, ..)) = before {
            self.end(turn.now, id, Why::Left, turn.out);
        }
        let id = self.fresh_id();
        let client = self.newcomer(turn, id, room, false);
        self.table.join(turn.instant(), client);
        self.answer_place(turn, id);
        self.introduce(turn.now, id, turn.out);
        self.log_introduction(turn.now, turn.from, room);
        Ok(())
    }

    /// `rc`: gives a peer its place back, at the endpoint where it is now.
    pub(super) fn come_back(
        &mut self,
        turn: &mut Turn<'_>,
        id: Id,
        key: Key,
    ) -> Result<(), Reason> {
        let peer = self.table.peer(id).ok_or(Reason::NoRoom)?;
        let is_current = peer.key.is(key);
        let is_former = peer.came_by.is_some_and(|former| former.is(key));
        if peer.endpoint == turn.from {
            if is_current {
                self.table.prove(turn.instant(), id, turn.via);
            } else if !is_former {
                return Err(Reason::BadKey);
            }
        } else {
            // The former key still counts while nobody has shown that the answer with the new one
            // has arrived.
            if !is_current && (peer.proved || !is_former) {
                return Err(Reason::BadKey);
            }
            self.relocate(turn, id, key)?;
            self.answer_place(turn, id);
            self.tell_new_endpoint(turn, id);
            return Ok(());
        }
        self.answer_place(turn, id);
        Ok(())
    }

    fn relocate(&mut self, turn: &mut Turn<'_>, id: Id, key: Key) -> Result<(), Reason> {
        let Some(peer) = self.table.peer(id) else { return Err(Reason::NoRoom) };
        let (room, is_host, old) = (peer.room, peer.is_host, peer.endpoint);
        if !is_host && self.table.room(room).is_some_and(|room| room.is_barred(turn.from)) {
            return Err(Reason::Kicked);
        }
        match self.table.peer_at(turn.from).map(|other| (other.id, other.is_host)) {
            Some((_, true)) => return Err(Reason::BadRequest),
            Some((other, false)) => self.end(turn.now, other, Why::Left, turn.out),
            None => {}
        }
        let fresh = self.fresh_key();
        self.table.relocate(id, turn.from, key, fresh);
        self.table.heard(turn.instant(), id, turn.via);
        let how = if is_host { How::Closed } else { How::Left };
        self.parted.note(turn.instant(), old, room, how);
        if self.lines.says(turn.now, turn.from.ip()) {
            let whom = if is_host { "host" } else { "client" };
            info!("{whom} {old} of room {} is back as {}", self.named(room), turn.from);
        }
        Ok(())
    }

    /// Tells the other side where a peer is now. Both have to punch again; a host is told of all
    /// its clients for that, and of those that came while it was away.
    fn tell_new_endpoint(&mut self, turn: &mut Turn<'_>, id: Id) {
        let Some(peer) = self.table.peer(id) else { return };
        let moved = Answer::Moved(id, peer.endpoint);
        let Some(room) = self.table.room(peer.room) else { return };
        let is_host = peer.is_host;
        let clients = if is_host { room.clients.clone() } else { vec![id] };
        let others = if is_host { clients.clone() } else { vec![room.host] };
        for other in others.iter().filter_map(|id| self.table.peer(*id)) {
            let ports = self.next_ports(turn.now, id, other.id);
            self.post.notify(turn.instant(), other, Subject::Peer(id), moved, turn.out);
            self.post.foretell(turn.instant(), other, id, &ports, turn.out);
        }
        for client in clients {
            if let Some(client) = self.table.peer_mut(client) {
                client.status = Status::Joining;
            }
            if is_host {
                self.introduce(turn.now, client, turn.out);
            }
        }
    }

    /// Tells the host of a client.
    fn introduce(&mut self, now: Now, client: Id, out: &mut Outbox) {
        let Some(client) = self.table.peer(client) else { return };
        let host = self.table.room(client.room).and_then(|room| self.table.peer(room.host));
        let Some(host) = host else { return };
        let comes = Answer::Comes(client.id, client.endpoint);
        self.post.notify(now.instant, host, Subject::Peer(client.id), comes, out);
        let ports = self.next_ports(now, client.id, host.id);
        self.post.foretell(now.instant, host, client.id, &ports, out);
    }

    /// The ports that a peer is going to have towards the other side, if its NAT counts.
    fn next_ports(&self, now: Now, id: Id, other: Id) -> Ports {
        let at = |id| self.table.peer(id).map(|peer| peer.endpoint);
        match (at(id), at(other)) {
            (Some(peer), Some(other)) => self.nats.next(now.instant, peer, other, 1),
            _ => Ports::new(),
        }
    }

    /// The client asks again. Unless it only sends again, its host may not have heard of it.
    fn introduce_again(&mut self, turn: &mut Turn<'_>, id: Id) {
        let Some(client) = self.table.peer(id) else { return };
        let host = self.table.room(client.room).and_then(|room| self.table.peer(room.host));
        let is_told =
            host.is_some_and(|host| self.post.is_pending(host.endpoint, Subject::Peer(id)));
        if client.status != Status::Connected && !is_told {
            self.introduce(turn.now, id, turn.out);
        }
    }

    /// Tells a peer what place it has.
    fn answer_place(&mut self, turn: &mut Turn<'_>, id: Id) {
        let Some(peer) = self.table.peer(id) else { return };
        let Some(room) = self.table.room(peer.room) else { return };
        let (now, to) = (turn.instant(), To::from(peer));
        let mut say = |answer: Answer<'_>| {
            self.post.send(now, to, turn.out, |bytes| answer.write(bytes));
        };
        let own = Answer::Own(id, peer.key);
        if peer.is_host {
            say(Answer::Hosting(room.id));
            say(own);
            return;
        }
        let Some(host) = self.table.peer(room.host) else { return };
        say(Answer::Joined(room.id, id, host.endpoint));
        say(own);
        let ports = self.nats.next(now, host.endpoint, peer.endpoint, 1);
        if !ports.is_empty() {
            say(Answer::Predicted(host.id, &ports));
        }
    }

    fn newcomer(&mut self, turn: &Turn<'_>, id: Id, room: Id, is_host: bool) -> Peer {
        let key = self.fresh_key();
        let mut peer = Peer::new(id, key, room, turn.from, turn.via);
        peer.is_host = is_host;
        peer
    }

    /// Whether a newcomer is within bounds; makes place for it if somebody has to go.
    fn admit(&mut self, turn: &mut Turn<'_>, is_host: bool) -> Result<(), Reason> {
        if self.stopping {
            return Err(Reason::Busy);
        }
        if !self.places.allow(turn.instant(), turn.from.ip()) {
            return Err(Reason::Limit);
        }
        let limits = &self.config.limits;
        let most = if is_host { limits.hosts_per_address } else { limits.connections_per_address };
        let neighbours = self.table.neighbours(turn.from.ip());
        let here: Vec<Id> =
            neighbours.filter(|peer| peer.is_host == is_host).map(|peer| peer.id).collect();
        if here.len() >= most {
            self.replace_one_of(turn, &here).ok_or(Reason::Limit)?;
        }
        if self.table.len() >= self.config.peers {
            if let Some(more) = self.full.say(turn.instant()) {
                warn!("all {} places in rooms are taken ({more} times before)", self.config.peers);
            }
            let last = self.table.longest_silent_unproved().ok_or(Reason::Busy)?;
            self.end(turn.now, last, Why::MadePlace, turn.out);
        }
        Ok(())
    }

    fn make_place_in(&mut self, turn: &mut Turn<'_>, room: Id) -> Result<(), Reason> {
        let Some(room) = self.table.room(room) else { return Err(Reason::NoRoom) };
        if room.clients.len() < limits::CLIENTS_PER_ROOM {
            return Ok(());
        }
        let clients = room.clients.clone();
        self.replace_one_of(turn, &clients).ok_or(Reason::Full)
    }

    /// Removes one peer that gives way, if there is one.
    fn replace_one_of(&mut self, turn: &mut Turn<'_>, ids: &[Id]) -> Option<()> {
        let id = *ids.iter().find(|id| self.table.gives_way(turn.instant(), **id))?;
        self.end(turn.now, id, Why::MadePlace, turn.out);
        Some(())
    }

    fn log_introduction(&mut self, now: Now, client: SocketAddr, room: Id) {
        if self.lines.says(now, client.ip()) {
            let host = self.table.room(room).and_then(|room| self.table.peer(room.host));
            if let Some(host) = host.map(|host| host.endpoint) {
                info!("client {client} introduced to host {host} of room {}", self.named(room));
            }
        }
    }
}
