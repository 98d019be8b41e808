//! Lobbies are left, by their members or by those who have not met the host, and end.

use log::debug;

use super::clients::Program;
use super::id::Uuid;
use super::message::{Content, Error, LeaveLobbyRequest, LeaveLobbyResponse, PeerLeft};
use super::nodes::say_parted;
use super::{LOBBY_NOT_FOUND, NOT_REGISTERED, Natpunch, Sender};
use crate::clock::Instant;
use crate::dialect::{Context, Outbox};
use crate::limits;

impl Natpunch {
    /// Ends what is over, as far as there is time to tell others of it: the rest stays due, and the next turn goes on.
    pub(super) fn end_due(&mut self, cx: &mut Context<'_>) {
        let (before, mut ended) = (cx.out.len(), 0);
        while ended + cx.out.len() - before < limits::NATPUNCH_TOLD_AT_ONCE && self.end_next(cx) {
            ended += 1;
        }
    }

    /// Ends a try to join, or forgets who was silent for too long. False: nothing is over.
    fn end_next(&mut self, cx: &mut Context<'_>) -> bool {
        let now = cx.now.instant;
        if let Some((lobby, joiner)) = self.joins.pop_due(now) {
            self.end_join(cx, lobby, joiner);
        } else if let Some(joiner) = self.parting.pop_due(now) {
            self.part(cx, joiner);
        } else if let Some(id) = self.clients.pop_silent(now) {
            self.count_joiners_of(cx, id);
            if let Some(client) = self.forget(cx, id).filter(|client| client.proven) {
                self.clients.note_gone(now, id, &client);
            }
        } else {
            return false;
        }
        true
    }

    pub(super) fn leave(
        &mut self,
        cx: &mut Context<'_>,
        from: Sender,
        request: &LeaveLobbyRequest,
    ) {
        let Some(who) = self.hear(cx, from, &request.client_id) else {
            return self.refuse(cx, from, NOT_REGISTERED);
        };
        if let Some((_, node)) = self.elsewhere(from, who, &request.lobby_id) {
            return self.pass_on(cx, who, node, Content::LeaveLobbyRequest(request.clone()));
        }
        let game = self.clients.get(who).map_or("", |client| &client.game);
        let Some((id, _)) = self.lobbies.find(&request.lobby_id, game) else {
            return self.refuse(cx, from, LOBBY_NOT_FOUND);
        };
        let Some(client) = self.clients.get(who) else { return };
        if !client.lobbies.contains(&id) {
            return self.refuse(cx, from, "Client not in lobby");
        }
        self.clients.exit(who, id);
        self.take_out(cx, id, who);
        self.answer(cx, from, has_left());
    }

    /// Takes somebody out of a lobby and tells the others. The lobby goes with its last member;
    /// when the host goes, the next in standing has to meet those who are joining.
    pub(super) fn take_out(&mut self, cx: &mut Context<'_>, id: Uuid, who: Uuid) {
        let Some(lobby) = self.lobbies.get_mut(id) else { return };
        let was_host = lobby.host() == Some(who);
        let was_member = lobby.members.contains(&who);
        lobby.members.retain(|member| *member != who);
        lobby.pending.retain(|joiner| *joiner != who);
        self.joins.cancel(&(id, who));
        if !was_member {
            return;
        }
        let pending = lobby.pending.clone();
        let Some(host) = lobby.host() else { return self.close(cx.now.instant, id, cx.out) };
        self.lobbies.note_members(id, &mut self.clients);
        let left = Content::PeerLeft(PeerLeft { client_id: who.to_string() });
        for member in self.lobbies.get(id).map_or(&[][..], |lobby| &lobby.members) {
            self.tell(*member, left.clone(), cx.out);
            self.tell_update(*member, id, "player_left", cx.out);
        }
        if was_host {
            for joiner in pending {
                self.joins.arm(cx.now.instant, (id, joiner));
                self.introduce(cx, joiner, host, 0);
            }
        }
    }

    /// Closes a lobby and tells those who are in it or want to be.
    pub(super) fn close(&mut self, now: Instant, id: Uuid, out: &mut Outbox) {
        let Some(lobby) = self.lobbies.get(id) else { return };
        let (members, pending) = (lobby.members.clone(), lobby.pending.clone());
        for member in members {
            self.tell_update(member, id, "lobby_closed", out);
            self.clients.exit(member, id);
        }
        for joiner in pending {
            // The client of August would be told so by that it has left.
            let program = self.clients.get(joiner).map(|client| client.program);
            if program != Some(Program::SaysNothing) {
                self.tell_update(joiner, id, "lobby_closed", out);
            }
            self.turn_out(now, id, joiner);
        }
        debug!("the lobby {id} is gone");
        self.lobbies.remove(id, &mut self.clients);
    }

    /// Somebody has not met the host of a lobby, and knocks at it no more.
    pub(super) fn give_up(&mut self, now: Instant, id: Uuid, joiner: Uuid, out: &mut Outbox) {
        self.turn_out(now, id, joiner);
        self.parting.cancel(&joiner);
        self.tell_failed(joiner, out);
    }

    /// Somebody who wants to join a lobby cannot any more. That is told when it has knocked for as long as ever:
    /// before, the original crashes when it hears that it has left.
    pub(super) fn turn_out(&mut self, now: Instant, id: Uuid, joiner: Uuid) {
        self.joins.cancel(&(id, joiner));
        if let Some(lobby) = self.lobbies.get_mut(id) {
            lobby.pending.retain(|pending| *pending != joiner);
        }
        self.clients.exit(joiner, id);
        self.parting.arm(now, joiner);
    }

    /// Somebody who wanted to join a lobby that was closed knocks no more. Who is in another one by now would be taken out
    /// of that, and only its own node knows of all in which it is.
    pub(super) fn part(&mut self, cx: &mut Context<'_>, joiner: Uuid) {
        match self.clients.node_of(joiner) {
            Some(node) => say_parted(node, joiner, cx.out),
            None if self.clients.get(joiner).is_some_and(|client| client.lobbies.is_empty()) => {
                self.tell_failed(joiner, cx.out);
            }
            None => {}
        }
    }

    /// Tells somebody that it has not got into a lobby.
    pub(super) fn tell_failed(&mut self, joiner: Uuid, out: &mut Outbox) {
        let message = "Failed to establish connection with lobby host".into();
        self.tell(joiner, Content::Error(Error { message }), out);
        // It has been told that it is in.
        self.tell(joiner, has_left(), out);
    }
}

/// Says that a client is in a lobby no more.
pub(super) fn has_left() -> Content {
    let message = "Successfully left lobby".into();
    Content::LeaveLobbyResponse(LeaveLobbyResponse { success: true, message })
}
