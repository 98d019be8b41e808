//! What clients are told, directly or by their nodes, and how much of it.

use std::net::SocketAddr;

use log::debug;
use prost::Message as _;

use super::clients::{Client, Clients, Program};
use super::id::Uuid;
use super::lobbies::{Lobbies, Reader, size};
use super::message::{Content, Error, Message};
use super::nodes::{send_by, send_to_node};
use super::{Join, LOBBY_NOT_FOUND, Natpunch, Sender, leaving, say};
use crate::dialect::route::Route;
use crate::dialect::{Context, Name, Outbox};
use crate::introductions::PublicIps;
use crate::introductions::journal::Names;
use crate::introductions::unmet::{self, Asked, Cause};
use crate::limits;
use crate::refusals::Reason;
use crate::truncation::Bounded;

impl Natpunch {
    /// Which client somebody is, as far as its endpoint or its node tells.
    pub(super) fn who(&self, from: Sender) -> Option<Uuid> {
        from.of.map(|(_, id)| id).or_else(|| self.clients.at(from.peer))
    }

    /// Whether that is somebody who wants to hear from us.
    fn is_proven(&self, from: Sender) -> bool {
        from.of.is_some() || self.clients.is_proven(from.peer)
    }

    pub(super) fn refuse(&mut self, cx: &mut Context<'_>, from: Sender, why: &str) {
        // Who is at an address that may be forged is not worth a line.
        if self.is_proven(from) {
            let event = ("refused", from.peer);
            let why = Bounded(why, limits::NATPUNCH_REASON);
            say(&mut self.lines, cx, event, format_args!("{} refused: {why}", from.peer));
        } else {
            debug!("{}: {why}", from.peer);
        }
        self.answer(cx, from, Content::Error(Error { message: why.into() }));
    }

    /// The same to who wanted to meet somebody: the owner is told of it beside how introductions ended.
    pub(super) fn refuse_join(
        &mut self,
        cx: &mut Context<'_>,
        from: Sender,
        Join { wanted, host, lobby }: Join<'_>,
        cause: Cause,
        why: &str,
    ) {
        let client = from.peer;
        let own = self.who(from).and_then(|id| self.clients.get(id));
        let game = own.map_or("", |own| self.shown_game(&own.game));
        let is_proven = self.is_proven(from);
        let (dialect, names, told) = (Name::Natpunch, Names::new(game, lobby), None);
        let about = unmet::about(wanted);
        let asked = Asked { dialect, client, host, names, told, is_proven, cause, about };
        let level = self.lines.level(cx.now, client.ip(), is_proven);
        // Of a lobby that is not there nothing else tells which it was.
        let is_unnamed = lobby.is_empty() && why == LOBBY_NOT_FOUND;
        let (colon, which) = if is_unnamed { (": ", wanted) } else { ("", "") };
        let which = Bounded(which, limits::NATPUNCH_REASON);
        let shown = Bounded(why, limits::NATPUNCH_REASON);
        cx.not_introduced(
            level,
            asked,
            format_args!("natpunch: {client} refused: {shown}{colon}{which}"),
        );
        self.answer(cx, from, Content::Error(Error { message: why.into() }));
    }

    /// Answers whoever sent a datagram; who may be forged gets no more than the bound allows.
    pub(super) fn answer(&mut self, cx: &mut Context<'_>, from: Sender, content: Content) {
        let Sender { via, peer, of } = from;
        if let Some((_, id)) = of {
            return self.tell(id, content, cx.out);
        }
        let length = size(content.clone());
        if matches!(&content, Content::RegisterResponse(response) if response.success) {
            cx.shared.credits.advance_for_key(peer.ip(), &[length]);
        }
        if self.clients.is_proven(peer)
            || cx.shared.credits.spend(cx.now.instant, peer.ip(), length)
        {
            send(via, peer, content, cx.out);
        } else {
            cx.refused(Name::Natpunch, Reason::Unproven, peer.ip());
        }
    }

    /// Tells a client news of a lobby. The program of August 2025 crashes at a LobbyUpdate that has another member
    /// than itself (it writes into a map that it has not made); it takes the members from a JoinLobbyResponse.
    pub(super) fn tell_update(&self, id: Uuid, lobby: Uuid, kind: &str, out: &mut Outbox) {
        let is_of_august = |client: &Client| client.program == Program::SaysNothing;
        match self.clients.get(id).is_some_and(is_of_august) {
            true if kind == "lobby_closed" => self.tell(id, leaving::has_left(), out),
            true => self.tell_read(id, |lobbies, reader| lobbies.members_anew(lobby, reader), out),
            false => {
                self.tell_read(id, |lobbies, reader| lobbies.update(lobby, kind, reader), out);
            }
        }
    }

    /// Sends a client something in which others are told of, by the addresses at which it can reach them.
    fn tell_read(
        &self,
        id: Uuid,
        content: impl FnOnce(&Lobbies, Reader<'_>) -> Content,
        out: &mut Outbox,
    ) {
        if let Some(client) = self.clients.get(id) {
            let reader = reader(&self.clients, self.public_ips, (client.endpoint, Some(id)));
            self.tell(id, content(&self.lobbies, reader), out);
        }
    }

    /// Sends something to a client.
    pub(super) fn tell(&self, id: Uuid, content: Content, out: &mut Outbox) {
        if let Some(client) = self.clients.get(id) {
            match self.clients.node_of(id) {
                Some(node) => send_to_node(node, id, content, out),
                None => send(client.via, client.endpoint, content, out),
            }
        }
    }
}

/// Clients take no more than this, and stop receiving altogether when more comes.
pub(super) fn send(via: Route, to: SocketAddr, content: Content, out: &mut Outbox) {
    let message = Message { content: Some(content) };
    if message.encoded_len() <= limits::NATPUNCH_DATAGRAM {
        match via.node {
            Some(node) => send_by(node, (via.via, to), message.encode_to_vec(), out),
            None => out.udp(via.via, to, |bytes| message.encode_raw(bytes)),
        }
    }
}

/// Who is at an endpoint, which client it is, to be told of others. Who has not shown its ID may be anybody.
pub(super) fn reader(
    clients: &Clients,
    public_ips: PublicIps,
    (at, who): (SocketAddr, Option<Uuid>),
) -> Reader<'_> {
    let client = who.and_then(|id| clients.get(id));
    let game = client.map_or("", |client| &client.game);
    let who = who.filter(|_| client.is_some_and(|client| client.proven));
    Reader { at: at.ip(), who, game, clients, public_ips }
}
