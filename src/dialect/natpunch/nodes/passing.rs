//! What clients say that another node has to hear: of a lobby of that one, or because they are its clients and have
//! come to this one, as the floating address of both has, or they try one address after another.

use std::net::SocketAddr;

use prost::Message as _;

use super::super::clients::Told;
use super::super::id::Uuid;
use super::super::message::{Content, JoinLobbyRequest, Message as Datagram};
use super::super::{Join, Natpunch, Sender, TOO_MANY_LOBBIES};
use super::message::Message;
use super::{decode, tell};
use crate::clock::Instant;
use crate::cluster::{NodeId, Whom};
use crate::dialect::route::Route;
use crate::dialect::{Context, Via};
use crate::introductions::unmet::Cause;
use crate::limits::{self, cluster as bounds};

impl Natpunch {
    /// The lobby of another node that a client of this one means, and that node.
    pub(in crate::dialect::natpunch) fn elsewhere(
        &self,
        from: Sender,
        who: Uuid,
        lobby: &str,
    ) -> Option<(Uuid, NodeId)> {
        // What another node has passed on goes no further.
        let client = self.clients.get(who).filter(|_| from.of.is_none())?;
        self.lobbies.find_elsewhere(lobby, &client.game)
    }

    /// Passes on what a client of this node says of a lobby of another one.
    pub(in crate::dialect::natpunch) fn pass_on(
        &self,
        cx: &mut Context<'_>,
        who: Uuid,
        node: NodeId,
        content: Content,
    ) {
        // It may not have been told of it yet.
        if let Some(client) = self.clients.to_tell(who) {
            let data = Datagram { content: Some(content) }.encode_to_vec();
            tell(cx.out, Whom::Node(node), &Message::Request { client, data });
        }
    }

    /// A client of this node wants to join a lobby of another one.
    pub(in crate::dialect::natpunch) fn join_elsewhere(
        &mut self,
        cx: &mut Context<'_>,
        (from, who): (Sender, Uuid),
        (id, node): (Uuid, NodeId),
        request: &JoinLobbyRequest,
    ) {
        self.settle(cx, id);
        let Some(client) = self.clients.get(who) else { return };
        let is_new = !client.lobbies.contains(&id);
        if is_new && client.lobbies.len() >= limits::NATPUNCH_LOBBIES_PER_CLIENT {
            let join = Join::nobody(&request.lobby_id);
            return self.refuse_join(cx, from, join, Cause::Bound, TOO_MANY_LOBBIES);
        }
        let wanted = &mut self.nodes.wanted;
        if wanted.len() >= limits::NATPUNCH_PAIRS {
            wanted.take();
        }
        wanted.arm(cx.now.instant, (id, who));
        self.pass_on(cx, who, node, Content::JoinLobbyRequest(request.clone()));
    }

    /// A client of another node says something of a lobby of this one.
    pub(super) fn handle_request(
        &mut self,
        cx: &mut Context<'_>,
        node: NodeId,
        client: Told,
        data: &[u8],
    ) {
        let (id, peer) = (client.id, client.endpoint);
        self.put_client(cx, node, client);
        if self.clients.node_of(id) != Some(node) {
            return;
        }
        self.settle(cx, id);
        let from = Sender { via: Route::default(), peer, of: Some((node, id)) };
        match decode(data) {
            Some(Content::JoinLobbyRequest(request)) => self.join(cx, from, &request),
            Some(Content::LeaveLobbyRequest(request)) => self.leave(cx, from, &request),
            Some(Content::PeerConnectionReady(request)) => self.ready(cx, from, &request),
            _ => {}
        }
    }

    /// Whether a datagram is of somebody who is, or says that he is, a client of another node: it is passed on. Of
    /// those whom that one has not confirmed only signs of life are, and so many a second.
    pub(in crate::dialect::natpunch) fn passes_on(
        &mut self,
        cx: &mut Context<'_>,
        from: Sender,
        content: &Content,
        data: &[u8],
    ) -> bool {
        let at = from.peer;
        // To those that another process has known everything is still to be told.
        let are_there =
            !self.nodes.replication.is_alone() || self.nodes.rounds.nodes().next().is_some();
        if !are_there || self.clients.is_proven(at) {
            return false;
        }
        let sure = self.nodes.leads.get(&at).copied();
        let node = match (sure, content) {
            (Some(node), _) => node,
            (None, Content::KeepAlive(request)) => {
                let Ok(id) = request.client_id.parse() else { return false };
                let (Some(node), Some(client)) = (self.clients.node_of(id), self.clients.get(id))
                else {
                    return false;
                };
                // Who comes from another address has to register.
                if client.endpoint.ip() != at.ip() {
                    return false;
                }
                if !self.nodes.forgeable.allow(cx.now.instant, at.ip()) {
                    return true;
                }
                let maybe = &mut self.nodes.maybe;
                if maybe.len() >= bounds::LEADS {
                    maybe.take();
                }
                maybe.arm_with(cx.now.instant, at, node);
                node
            }
            _ => return false,
        };
        cx.shared.credits.take_back(at.ip(), data.len());
        let (via, data) = (from.via.via, data.into());
        tell(cx.out, Whom::Node(node), &Message::Passed { at, via, data });
        true
    }

    /// Somebody has sent something to another node who may be a client of this one.
    pub(super) fn handle_passed(
        &mut self,
        cx: &mut Context<'_>,
        node: NodeId,
        (via, at): (Via, SocketAddr),
        data: &[u8],
    ) {
        let Some(content) = decode(data) else { return };
        let via = Route { via, node: Some(node) };
        let is_there = |all: &Self| {
            let id = all.clients.at(at).filter(|id| all.clients.is_own(*id));
            let client = id.and_then(|id| all.clients.get(id));
            client.is_some_and(|client| client.proven && client.via.node == Some(node))
        };
        let from = Sender { via, peer: at, of: None };
        let is_client = is_there(self);
        let shows_life = match &content {
            Content::KeepAlive(request) => self.clients.is_known(&request.client_id),
            _ => false,
        };
        if is_client {
            self.clients.touch(cx.now.instant, at);
        }
        if is_client || shows_life {
            self.act(cx, from, content);
        }
        let is_now = is_there(self);
        if is_now != is_client || shows_life && is_now || !shows_life && !is_client {
            let lead = Message::Lead { at, is_client: is_now };
            tell(cx.out, Whom::Node(node), &lead);
        }
    }

    /// Another node tells whether somebody of whom something was passed on is its client.
    pub(super) fn handle_lead(&mut self, now: Instant, node: NodeId, at: SocketAddr, is_one: bool) {
        let Self { nodes, clients, .. } = self;
        let is_known = [&nodes.leads, &nodes.maybe].iter().any(|of| of.get(&at) == Some(&node));
        if !is_known || clients.is_proven(at) {
            return;
        }
        nodes.maybe.cancel(&at);
        nodes.leads.cancel(&at);
        if !is_one {
            return;
        }
        if nodes.leads.len() >= bounds::LEADS {
            nodes.leads.take();
        }
        nodes.leads.arm_with(now, at, node);
        // Somebody has registered in its name, and shown nothing.
        if let Some(id) = clients.at(at) {
            clients.remove(id);
        }
    }
}
