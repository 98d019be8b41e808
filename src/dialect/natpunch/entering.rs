//! Lobbies are opened, joined, and entered once the host has been met.

use std::net::SocketAddr;
use std::time::Duration;

use log::debug;

use super::clients::Program;
use super::id::Uuid;
use super::lobbies::Lobby;
use super::message::{
    Content, CreateLobbyRequest, CreateLobbyResponse, JoinLobbyRequest, PeerConnectionReady,
};
use super::{
    Join, LOBBY_NOT_FOUND, NOT_REGISTERED, Natpunch, Sender, TOO_MANY_JOINS, TOO_MANY_LOBBIES,
    reader, say,
};
use crate::dialect::{Context, Name};
use crate::introductions::plan;
use crate::introductions::unmet::Cause;
use crate::limits;
use crate::lobby::names::clean;
use crate::refusals::Reason;

impl Natpunch {
    pub(super) fn create(
        &mut self,
        cx: &mut Context<'_>,
        from: Sender,
        request: CreateLobbyRequest,
    ) {
        let Some(host) = self.hear(cx, from, &request.client_id) else {
            return self.refuse(cx, from, NOT_REGISTERED);
        };
        if request.lobby_name.len() > limits::NATPUNCH_NAME {
            cx.refused(Name::Natpunch, Reason::TooLong, from.peer.ip());
            return self.refuse(cx, from, "Lobby name is too long");
        }
        self.clients.uses_lobbies(host);
        // Only its own host is told what has been taken out.
        let name = clean(&request.lobby_name).into_owned();
        let most = request.max_players;
        let opened = self.opened(host, &name, most);
        let Some(id) = opened.or_else(|| self.open(cx, (host, from.peer), &name, most)) else {
            cx.refused(Name::Natpunch, Reason::Places, from.peer.ip());
            return self.refuse(cx, from, TOO_MANY_LOBBIES);
        };
        let response = CreateLobbyResponse {
            success: true,
            lobby_id: id.to_string(),
            lobby_name: request.lobby_name,
            message: "Lobby created successfully".into(),
        };
        self.answer(cx, from, Content::CreateLobbyResponse(response));
    }

    /// The lobby that a client has opened, if it asks for it once more: the answer was lost.
    fn opened(&self, host: Uuid, name: &str, most: u32) -> Option<Uuid> {
        // It may wait in others to be let in.
        let mut all = self.clients.get(host)?.lobbies.iter().copied();
        let lobby = |id| self.lobbies.get(id);
        all.find(|id| lobby(*id).is_some_and(|lobby| lobby.is_as_opened(host, name, most)))
    }

    /// Opens a lobby; none if there are too many.
    fn open(
        &mut self,
        cx: &mut Context<'_>,
        host: (Uuid, SocketAddr),
        name: &str,
        most: u32,
    ) -> Option<Uuid> {
        let (host, at) = host;
        let client = self.clients.get(host)?;
        if client.lobbies.len() >= limits::NATPUNCH_LOBBIES_PER_CLIENT {
            return None;
        }
        let game = client.game.clone();
        if let Some(other) = self.lobbies.in_the_way(at.ip()) {
            self.close(cx.now.instant, other, cx.out);
        }
        let id = self.lobbies.create(name.into(), most, (host, at.ip(), &game), &mut self.rng)?;
        self.clients.enter(host, id);
        cx.shared.nats.settle(cx.now.instant, at);
        debug!("{host} opened the lobby {id}");
        let but = if most < 2 { ", but with this max_players nobody can join" } else { "" };
        let line = format_args!("lobby {name:?} is open, its host is {at}{but}");
        say(&mut self.lines, cx, ("registered", at), line);
        Some(id)
    }

    pub(super) fn join(&mut self, cx: &mut Context<'_>, from: Sender, request: &JoinLobbyRequest) {
        let Some(joiner) = self.hear(cx, from, &request.client_id) else {
            return self.refuse(cx, from, NOT_REGISTERED);
        };
        self.clients.uses_lobbies(joiner);
        let game = self.clients.get(joiner).map_or("", |client| &client.game);
        if let Some((id, node)) = self.elsewhere(from, joiner, &request.lobby_id) {
            return self.join_elsewhere(cx, (from, joiner), (id, node), request);
        }
        let Some((id, lobby)) = self.lobbies.find(&request.lobby_id, game) else {
            let join = Join::nobody(&request.lobby_id);
            return self.refuse_join(cx, from, join, Cause::NotFound, LOBBY_NOT_FOUND);
        };
        let Some(host) = lobby.host() else {
            return self.refuse(cx, from, "Lobby host not found");
        };
        let (at, name) = (self.clients.get(host).map(|host| host.endpoint), lobby.name.clone());
        let join = Join { wanted: &request.lobby_id, host: at, lobby: &name };
        if lobby.members.contains(&joiner) {
            // The answer was lost, or the client has forgotten.
            let reader = reader(&self.clients, self.public_ips, (from.peer, Some(joiner)));
            let success = self.lobbies.success(id, reader);
            self.answer(cx, from, success);
            return self.tell_update(joiner, id, "player_joined", cx.out);
        }
        if self.are_apart(cx, [joiner, host]) {
            return self.refuse_family(cx, from, "the host of the lobby", join);
        }
        let is_new = !lobby.pending.contains(&joiner);
        if is_new {
            let is_full = lobby.is_full();
            let eviction_candidate =
                is_full.then(|| lobby.eviction_candidate(from.peer.ip(), &self.clients)).flatten();
            if is_full && eviction_candidate.is_none() {
                return self.refuse_join(cx, from, join, Cause::Full, "Lobby is full");
            }
            let Some(client) = self.clients.get(joiner) else { return };
            if client.lobbies.len() >= limits::NATPUNCH_LOBBIES_PER_CLIENT {
                return self.refuse_join(cx, from, join, Cause::Bound, TOO_MANY_LOBBIES);
            }
            if !self.joined.allow_site(cx.now.instant, from.peer.ip(), ()) {
                cx.refused(Name::Natpunch, Reason::Requests, from.peer.ip());
                return self.refuse_join(cx, from, join, Cause::Bound, TOO_MANY_JOINS);
            }
            if let Some(other) = eviction_candidate {
                self.turn_out(cx.now.instant, id, other);
            }
            self.clients.enter(joiner, id);
            if let Some(lobby) = self.lobbies.get_mut(id) {
                lobby.pending.push(joiner);
            }
            self.joins.arm(cx.now.instant, (id, joiner));
            self.log_join(cx, [joiner, host], id);
            self.relay_if_tried(cx, [joiner, host], 0);
        }
        let reader = reader(&self.clients, self.public_ips, (from.peer, Some(joiner)));
        let answers = self.lobbies.joining(id, reader);
        answers.into_iter().for_each(|answer| self.answer(cx, from, answer));
        if is_new {
            self.introduce_in_lobby(cx, joiner, host);
        } else {
            self.introduce_again(cx, joiner, host, 0);
        }
    }

    /// The host of a lobby has met who wanted to join: now that one is a member.
    pub(super) fn ready(
        &mut self,
        cx: &mut Context<'_>,
        from: Sender,
        request: &PeerConnectionReady,
    ) {
        let host = self.who(from);
        if let Some(id) = host
            && let Some((_, node)) = self.elsewhere(from, id, &request.lobby_id)
        {
            self.clients.note_program(id, Program::SaysReady);
            let request = Content::PeerConnectionReady(request.clone());
            return self.pass_on(cx, id, node, request);
        }
        let game = host.and_then(|id| self.clients.get(id)).map_or("", |client| &client.game);
        let (Some((id, lobby)), Ok(joiner)) =
            (self.lobbies.find(&request.lobby_id, game), request.new_peer_id.parse())
        else {
            return;
        };
        let is_waiting = lobby.pending.contains(&joiner);
        let Some(host) = lobby.host().filter(|is| is_waiting && Some(*is) == host) else { return };
        self.clients.note_program(host, Program::SaysReady);
        self.count(cx, id, joiner, true);
        self.take_in(cx, (id, host), joiner);
    }

    /// Somebody who wants to join a lobby is a member now.
    fn take_in(&mut self, cx: &mut Context<'_>, (id, host): (Uuid, Uuid), joiner: Uuid) {
        let Some(lobby) = self.lobbies.get_mut(id) else { return };
        lobby.pending.retain(|pending| *pending != joiner);
        lobby.members.push(joiner);
        self.joins.cancel(&(id, joiner));
        self.lobbies.note_members(id, &mut self.clients);
        debug!("{joiner} joined the lobby {id}");
        let members = self.lobbies.get(id).map_or(Vec::new(), |lobby| lobby.members.clone());
        // The joiner has been told already that it is in.
        let all = [joiner].into_iter().chain(members.iter().copied().filter(|one| *one != joiner));
        all.for_each(|member| self.tell_update(member, id, "player_joined", cx.out));
        for other in members.into_iter().filter(|other| *other != joiner) {
            if other == host {
                // Just now it may have been told for the first time, but it has met the joiner.
                self.introduce(cx, joiner, other, 0);
                self.note_met(joiner, other);
            } else {
                self.introduce_in_lobby(cx, joiner, other);
            }
        }
    }

    fn log_join(&mut self, cx: &Context<'_>, [joiner, host]: [Uuid; 2], lobby: Uuid) {
        let at = |id| self.clients.get(id).map(|client| client.endpoint);
        let (Some(joiner), Some(host)) = (at(joiner), at(host)) else { return };
        let name = self.lobbies.get(lobby).map_or("", |lobby: &Lobby| &lobby.name);
        let line = format_args!("client {joiner} introduced to host {host} of lobby {name:?}");
        say(&mut self.lines, cx, ("introduced", joiner), line);
    }

    /// Counts whether a client has met the host of a lobby.
    pub(super) fn count(&self, cx: &mut Context<'_>, lobby: Uuid, joiner: Uuid, worked: bool) {
        let Some(lobby) = self.lobbies.get(lobby) else { return };
        let Some(host) = lobby.host() else { return };
        // The relay of another node counts whom it has got through.
        let pair = [joiner, host];
        if let Some(attempt) = self.attempt(pair).filter(|_| !self.is_away(pair)) {
            let silent = self.silence(cx, host);
            plan::note_end_with(cx, attempt, worked, silent.unwrap_or_default());
        }
    }

    /// For how long nothing has come from a host, if that is so long that it must be gone.
    fn silence(&self, cx: &Context<'_>, host: Uuid) -> Option<Duration> {
        // Of those of other nodes nothing more is known.
        let host = self.clients.get(host).filter(|_| self.clients.is_own(host))?;
        let silent = cx.now.instant - host.heard;
        Some(silent).filter(|silent| *silent > limits::NATPUNCH_SILENT_HOST)
    }

    /// A client is gone without a word: those who are joining lobbies that end with it have not met it.
    pub(super) fn count_joiners_of(&self, cx: &mut Context<'_>, gone: Uuid) {
        let lobbies = self.clients.get(gone).map_or(&[][..], |client| &client.lobbies);
        for (id, lobby) in lobbies.iter().filter_map(|id| Some((*id, self.lobbies.get(*id)?))) {
            if lobby.members == [gone] {
                lobby.pending.iter().for_each(|joiner| self.count(cx, id, *joiner, false));
            }
        }
    }

    /// The time of somebody who wants to join a lobby is over. At the relay it has as long again. Where the host
    /// would not say that they have met, nobody knows, and it is a member.
    pub(super) fn end_join(&mut self, cx: &mut Context<'_>, id: Uuid, joiner: Uuid) {
        if let Some(host) = self.lobbies.get(id).and_then(Lobby::host)
            && self.wants_relay(cx, [joiner, host], 0)
        {
            self.joins.arm(cx.now.instant, (id, joiner));
            return self.introduce(cx, joiner, host, 0);
        }
        if let Some(host) = self.lobbies.get(id).and_then(Lobby::host)
            && self.says_nothing(host, joiner)
        {
            if self.silence(cx, host).is_some() {
                self.count(cx, id, joiner, false);
            }
            return self.take_in(cx, (id, host), joiner);
        }
        self.count(cx, id, joiner, false);
        self.give_up(cx.now.instant, id, joiner, cx.out);
    }

    /// Whether the host of a lobby never says that it has met who joins: a program that does not show its version
    /// is taken for that of the joiner. Who has shown a newer one waits for it in any case, whatever others say in
    /// the name of its host.
    fn says_nothing(&self, host: Uuid, joiner: Uuid) -> bool {
        let is = |id, program| self.clients.get(id).is_some_and(|client| client.program == program);
        is(joiner, Program::SaysNothing) && !is(host, Program::SaysReady)
    }
}
