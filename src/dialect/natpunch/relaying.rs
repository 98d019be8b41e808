//! The relay for who does not meet the host of a lobby in time: a further instruction for both.

use std::net::SocketAddr;

use super::id::Uuid;
use super::lobbies::endpoint;
use super::message::{ConnectionInstruction, Content};
use super::{Natpunch, nat_type};
use crate::dialect::Context;
use crate::introductions::plan::{self, Wish};
use crate::introductions::relay::Shape;

impl Natpunch {
    /// Tells the host of a lobby and who joins it of each other; of the relay, if nothing else can help.
    pub(super) fn introduce_to_host(
        &mut self,
        cx: &mut Context<'_>,
        lobby: Uuid,
        joiner: Uuid,
        host: Uuid,
    ) {
        let at = |id| self.clients.get(id).map(|client| client.endpoint);
        let (Some(one), Some(other)) = (at(joiner), at(host)) else { return };
        let is_hopeless = plan::is_relayed_at_once(cx, Wish::IfNeeded, [one, other]);
        if !(is_hopeless && self.relay(cx, lobby, joiner)) {
            self.introduce(cx, joiner, host, 0);
        }
    }

    /// Whether the relay can be given to these: both have shown that they are where they seem to be.
    pub(super) fn can_relay(&self, cx: &Context<'_>, pair: [Uuid; 2]) -> bool {
        let [one, other] = pair.map(|id| self.clients.get(id).filter(|client| client.proven));
        let ips = one.zip(other).map(|(a, b)| [a.endpoint.ip(), b.endpoint.ip()]);
        ips.is_some_and(|ips| cx.shared.relay.serves(ips))
    }

    /// Tells a joiner and its host of the relay, and gives them the time of a join once more. False: it is
    /// not for them.
    pub(super) fn relay(&mut self, cx: &mut Context<'_>, lobby: Uuid, joiner: Uuid) -> bool {
        let host = self.lobbies.get(lobby).and_then(super::lobbies::Lobby::host);
        let Some(host) = host.filter(|host| self.can_relay(cx, [joiner, *host])) else {
            return false;
        };
        let Some(attempt) = self.attempt(lobby, joiner) else { return false };
        let ips = [attempt.client.ip(), attempt.host.ip()];
        let Ok(places) = cx.shared.relay.open(cx.now, ips, Shape::Any, attempt) else {
            return false;
        };
        self.joins.arm_with(cx.now.instant, (lobby, joiner), Some(places.id));
        for (whom, who, at) in [(host, joiner, places.for_host), (joiner, host, places.for_client)]
        {
            self.tell(whom, self.relayed(cx, who, at), cx.out);
        }
        true
    }

    /// The instruction to send to somebody at the relay.
    fn relayed(&self, cx: &Context<'_>, who: Uuid, at: SocketAddr) -> Content {
        let client = self.clients.get(who).map(|client| client.endpoint);
        let kind = client.map(|at| cx.shared.nats.kind(cx.now.instant, at)).unwrap_or_default();
        Content::ConnectionInstruction(ConnectionInstruction {
            accepted: true,
            client_id: who.to_string(),
            message: String::new(),
            nat_type: nat_type(kind).into(),
            attempt_number: 1,
            public_endpoint: Some(endpoint(at)),
            local_endpoint: Some(endpoint(at)),
        })
    }
}
