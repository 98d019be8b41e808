//! Rooms that outlive their hosts: who of the clients becomes host, and who is told of it.

use log::log;

use super::departures::How;
use super::message::{Answer, Reason};
use super::notices::Subject;
use super::{Id, Rooms, Turn};
use crate::dialect::Context;

impl Rooms {
    /// `lr` of a host: its room goes on without it, if it has said so when it opened it. Nobody does that
    /// in its name.
    pub(super) fn leave_as_host(&mut self, turn: &mut Turn<'_, '_>) -> Result<(), Reason> {
        let id = self.own_room(turn)?;
        let room = self.table.room(id).filter(|room| room.migrates).ok_or(Reason::BadRequest)?;
        let host = room.host;
        if !turn.is_signed {
            return Err(Reason::BadKey);
        }
        self.answer(turn, Answer::Left(id));
        if !self.hand_over(turn.cx, id) {
            self.end(turn.cx, host, super::Why::Signed);
        }
        self.departures.note(turn.instant(), turn.from, (id, How::Left));
        Ok(())
    }

    /// The client that has been in a room for longest becomes its host, if there is one that has shown its
    /// key; the host until now is gone then.
    pub(super) fn hand_over(&mut self, cx: &mut Context<'_>, id: Id) -> bool {
        let room = self.table.room(id).filter(|room| room.migrates && !room.is_closing);
        let Some(room) = room else { return false };
        let mut clients = room.clients.iter().filter_map(|id| self.table.peer(*id));
        let Some(successor) = clients.find(|client| client.proved).map(|client| client.id) else {
            return false;
        };
        let Some(former) = self.table.hand_over(&mut cx.shared.unproven, id, successor) else {
            return false;
        };
        let Some(peer) = self.table.peer(successor) else { return true };
        self.delivery.forget_other(peer.endpoint, former.id);
        self.delivery.notify(cx, peer, Subject::Host, Answer::Promoted(successor));
        if let Some(level) = self.lines.level(cx.now, former.endpoint.ip(), former.proved) {
            let (before, now) = (former.endpoint, peer.endpoint);
            log!(level, "host {before} has left room {}, its host is {now}", self.named(id));
        }
        self.table.forget_told_of_kept(id);
        for client in self.table.room(id).map_or(Vec::new(), |room| room.clients.clone()) {
            if let Some(client) = self.table.peer_mut(client) {
                client.begin_anew();
                self.delivery.forget_other(client.endpoint, former.id);
            }
            if !self.relay_at_once(cx, client) {
                self.introduce(cx, client);
            }
            self.tell_of_new_host(cx, client);
        }
        self.tell_lan(cx, successor);
        true
    }

    /// Tells a client who its host is now, if they can meet.
    fn tell_of_new_host(&mut self, cx: &mut Context<'_>, id: Id) {
        let Some(client) = self.table.peer(id) else { return };
        let room = self.table.room(client.room);
        let Some(host) = room.and_then(|room| self.table.peer(room.host)) else { return };
        if !Self::can_meet(cx, client, host) {
            return;
        }
        let host_id = host.id;
        let news = Answer::NewHost(host_id, self.told_at(cx, host, client));
        self.delivery.notify(cx, client, Subject::Host, news);
        self.tell_predicted_ports(cx, host_id, id);
        if let Some(client) = self.table.peer_mut(id) {
            client.knows_host = true;
        }
    }
}
