//! Clients register and show that they are there.

use std::net::SocketAddr;

use log::debug;

use super::clients::Arrival;
use super::id::Uuid;
use super::introducing::in_order;
use super::leaving::has_left;
use super::lobbies::endpoint;
use super::message::{Content, RegisterRequest, RegisterResponse};
use super::{NOT_REGISTERED, Natpunch, Sender, claimed, is_private, is_too_long, say};
use crate::dialect::{Context, Name};
use crate::lobby::names::clean;
use crate::refusals::Reason;
use crate::truncation::Quoted;

impl Natpunch {
    pub(super) fn register(
        &mut self,
        cx: &mut Context<'_>,
        from: Sender,
        request: RegisterRequest,
    ) {
        let Sender { via, peer, .. } = from;
        if !self.admission.admits(Some(&request.key), &request.game) || is_too_long(&request) {
            return self.turn_away(cx, from, &request);
        }
        let claimed = claimed(request.local_endpoint, peer);
        // In the name of who has shown its ID others may say anything.
        if let Some(local) = claimed.filter(|_| !self.clients.is_proven(peer)) {
            cx.shared.nats.saw_local(cx.now.instant, peer, local);
        }
        self.make_way(cx, peer);
        let game = if self.admission.asks_for_key() {
            request.key
        } else {
            clean(&request.game).into_owned()
        };
        let local = claimed.filter(|local| is_private(*local, peer));
        let arrival = Arrival { via, endpoint: peer, local, game: game.into() };
        let id = self.clients.register(cx.now.instant, arrival, &mut self.rng);
        let (client_id, message) = match id {
            Ok(id) => (id.to_string(), ""),
            Err(refusal) => {
                // No option allows more of either.
                cx.refused(Name::Natpunch, Reason::Places, peer.ip());
                (String::new(), refusal.message())
            }
        };
        let result = if message.is_empty() { "taken in" } else { message };
        debug!("{peer} asks to register as {client_id:?}: {result} ({} there)", self.clients.len());
        let response = RegisterResponse {
            success: id.is_ok(),
            public_endpoint: Some(endpoint(peer)),
            client_id,
            message: message.into(),
        };
        self.answer(cx, from, Content::RegisterResponse(response));
    }

    /// Who is not admitted learns why.
    pub(super) fn turn_away(
        &mut self,
        cx: &mut Context<'_>,
        from: Sender,
        request: &RegisterRequest,
    ) {
        let RegisterRequest { game, key, .. } = request;
        let (list, shown) = (self.admission.list(), Quoted(game));
        let mut message = "This server is for other games";
        let asks_for_key = self.admission.asks_for_key();
        let mut reason = if asks_for_key { Reason::Key } else { Reason::Game };
        let (whom, not_admitted) = ((Name::Natpunch, from.peer.ip()), reason);
        let refused = &mut self.refused;
        let mut note = |why| refused.note_forgeable(cx.now.instant, whom, not_admitted, why);
        match asks_for_key {
            _ if is_too_long(request) => {
                reason = Reason::TooLong;
                message = "Game or key is too long";
            }
            _ if game.is_empty() && key.is_empty() => {
                note(format_args!(
                    "it shows neither a game nor a key, as clients of the original cannot; see {list}"
                ));
            }
            true => note(format_args!("its key is not one of {list}")),
            false => note(format_args!("its game {shown} is not one of {list} (case-sensitive)")),
        }
        cx.refused(Name::Natpunch, reason, from.peer.ip());
        let response = RegisterResponse {
            success: false,
            public_endpoint: Some(endpoint(from.peer)),
            client_id: String::new(),
            message: message.into(),
        };
        self.answer(cx, from, Content::RegisterResponse(response));
    }

    /// If there is no room, somebody of the network that has most has to go.
    pub(super) fn make_way(&mut self, cx: &mut Context<'_>, peer: SocketAddr) {
        if let Some(other) = self.clients.in_the_way(peer.ip())
            && self.clients.at(peer).is_none()
        {
            self.forget(cx, other);
        }
    }

    /// The client with this ID, if it is what sent a datagram, or comes back after a silence.
    pub(super) fn hear(&mut self, cx: &mut Context<'_>, from: Sender, id: &str) -> Option<Uuid> {
        let (now, Sender { via, peer, of }) = (cx.now.instant, from);
        if let Some((_, own)) = of {
            // Its node has seen to it.
            return id.parse().ok().filter(|id| *id == own);
        }
        if let Some(id) = self.clients.is_back(now, id, peer) {
            self.make_way(cx, peer);
            if let Ok(was_in_lobby) = self.clients.take_back(now, id, (via, peer)) {
                debug!("{id} is back at {peer}");
                if was_in_lobby {
                    self.answer(cx, from, has_left());
                }
            }
        }
        let was_proven = self.clients.is_proven(peer);
        let id = self.clients.hear(now, id, via, peer)?;
        if !was_proven {
            cx.shared.nats.prove(peer.ip());
            let game = self.clients.get(id).map_or("", |client| &client.game);
            let game = self.shown_game(game);
            let of =
                if game.is_empty() { String::new() } else { format!(", game {}", Quoted(game)) };
            let event = ("registered", peer);
            say(&mut self.lines, cx, event, format_args!("{peer} registered{of}"));
        }
        Some(id)
    }

    pub(super) fn keep_alive(&mut self, cx: &mut Context<'_>, from: Sender, id: &str) {
        let Sender { via, peer, .. } = from;
        if self.hear(cx, from, id).is_some() {
            return;
        }
        if !self.clients.is_known(id) {
            return self.refuse(cx, from, NOT_REGISTERED);
        }
        let before =
            id.parse().ok().and_then(|id| self.clients.get(id)).map(|client| client.endpoint);
        let Some(id) = self.clients.move_to(cx.now.instant, id, via, peer) else { return };
        if let Some(before) = before {
            cx.shared.relay.moved(Name::Natpunch, before, peer);
            self.relays.moved(before, peer);
        }
        let was = before.unwrap_or(peer);
        say(&mut self.lines, cx, ("moved", peer), format_args!("client {was} is at {peer} now"));
        self.introduce_anew(cx, id);
    }

    /// A client is at another endpoint: those with whom it is in lobbies of this node may reach it there.
    pub(super) fn introduce_anew(&mut self, cx: &mut Context<'_>, id: Uuid) {
        let lobbies = self.clients.get(id).map_or(Vec::new(), |client| client.lobbies.clone());
        let mut others = Vec::new();
        for lobby in lobbies.iter().filter_map(|id| self.lobbies.get(*id)) {
            if lobby.members.contains(&id) {
                others.extend(lobby.members.iter().copied().filter(|other| *other != id));
            } else {
                others.extend(lobby.host());
            }
        }
        for other in others {
            // Where it is now they may reach each other.
            self.told.cancel(&in_order(id, other));
            self.introduce(cx, id, other, 0);
        }
    }
}
