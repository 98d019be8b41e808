//! The relay for those who do not reach each other: both are instructed once more, with the relay's
//! endpoints. Only those who have used their IDs, and so have read what was sent to where they are.

use std::net::SocketAddr;

use log::debug;

use super::Natpunch;
use super::clients::Client;
use super::id::Uuid;
use super::lobbies::Lobby;
use crate::dialect::{Context, Name};
use crate::introductions::journal::{Attempt, Connected, Names, Told};
use crate::introductions::plan::{self, Wish};

impl Natpunch {
    /// What two are told of the relay, if they have a session or nothing else helps.
    pub(super) fn relay_at_once(
        &self,
        cx: &mut Context<'_>,
        [one, other]: [Uuid; 2],
    ) -> Option<[SocketAddr; 2]> {
        let [a, b] = self.both([one, other])?;
        let pair = [a.endpoint, b.endpoint];
        if session(cx, pair).is_none() && plan::is_relayed_at_once(cx, Wish::default(), pair) {
            self.open_session(cx, [one, other], self.lobby_of([one, other]).unwrap_or_default());
        }
        session(cx, pair)
    }

    /// Gives two a session who were told of each other a while ago and want it again: nothing else shows that
    /// they have not met.
    pub(super) fn relay_if_tried(
        &mut self,
        cx: &mut Context<'_>,
        pair @ [one, other]: [Uuid; 2],
        lobby: &str,
    ) {
        if self.have_tried(cx.now.instant, one, other) {
            self.wants_relay(cx, pair, lobby);
        }
    }

    /// Gives two a session, if both are proven and have none. False: they are given none.
    pub(super) fn open_session(&self, cx: &mut Context<'_>, pair: [Uuid; 2], lobby: &str) -> bool {
        let Some(attempt) = self.attempt(pair, lobby) else { return false };
        let are_proven = self.both(pair).is_some_and(|both| both.iter().all(|one| one.proven));
        if !are_proven
            || session(cx, [attempt.client, attempt.host]).is_some()
            || plan::relay(cx, Wish::default(), &attempt).is_none()
        {
            return false;
        }
        debug!("{} and {} were told of the relay", attempt.client, attempt.host);
        true
    }

    /// Whether two cannot reach each other: one has IPv4 and the other IPv6, and the relay does not help.
    pub(super) fn are_apart(&self, cx: &Context<'_>, pair: [Uuid; 2]) -> bool {
        self.both(pair).is_some_and(|both| {
            let is_far = both[0].endpoint.is_ipv4() != both[1].endpoint.is_ipv4();
            let are_proven = both.iter().all(|one| one.proven);
            let at = both.map(|one| one.endpoint);
            let is_relayed = || !plan::are_apart(cx, Wish::default(), at);
            let is_away = pair.iter().any(|id| !self.clients.is_own(*id));
            let is_relayed = if is_away { self.may_be_relayed(cx, pair) } else { is_relayed() };
            is_far && (!are_proven || !is_relayed)
        })
    }

    /// The name of a lobby in which both are, or want to be.
    pub(super) fn lobby_of(&self, [one, other]: [Uuid; 2]) -> Option<&str> {
        let mut ids = self.both([one, other])?.into_iter().flat_map(|client| &client.lobbies);
        let has = |lobby: &Lobby, id| lobby.everybody().any(|other| other == id);
        let has_both = |lobby: &&Lobby| has(lobby, one) && has(lobby, other);
        ids.find_map(|id| self.lobbies.seen(*id).filter(has_both)).map(|lobby| &*lobby.name)
    }

    /// How the journal knows a client and the one that it wants to meet, the host of a lobby perhaps.
    pub(super) fn attempt(&self, pair: [Uuid; 2], lobby: &str) -> Option<Attempt> {
        let [client, host] = self.both(pair)?;
        let told = |who: &Client, whom: &Client, id: Uuid| {
            let at = self.public_ips.told_at(who.endpoint, whom.endpoint);
            SocketAddr::new(at.ip(), self.told_port(pair, id).unwrap_or(at.port()))
        };
        let [client_id, host_id] = pair;
        let both = [told(host, client, host_id), told(client, host, client_id)];
        Some(Attempt {
            dialect: Name::Natpunch,
            client: client.endpoint,
            host: host.endpoint,
            names: Names::new(self.shown_game(&host.game), lobby),
            told: Told::new([client.endpoint, host.endpoint], both),
            connected: Connected::default(),
            is_proven: client.proven,
        })
    }

    pub(super) fn both(&self, [one, other]: [Uuid; 2]) -> Option<[&Client; 2]> {
        Some([self.clients.get(one)?, self.clients.get(other)?])
    }
}

/// What two were told of the session that they have, whichever of them wanted to meet the other.
pub(super) fn session(cx: &Context<'_>, [one, other]: [SocketAddr; 2]) -> Option<[SocketAddr; 2]> {
    let between = |pair| cx.shared.relay.between(Name::Natpunch, pair);
    let first = between([one, other]).map(|places| [places.for_client, places.for_host]);
    first.or_else(|| between([other, one]).map(|places| [places.for_host, places.for_client]))
}
