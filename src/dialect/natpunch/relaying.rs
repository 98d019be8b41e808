//! The relay for those who do not reach each other: both are instructed once more, with the relay's
//! endpoints. Only those who have used their IDs, and so have read what was sent to where they are.

use std::net::SocketAddr;

use log::debug;

use super::Natpunch;
use super::clients::Client;
use super::id::Uuid;
use super::lobbies::Lobby;
use crate::dialect::{Context, Name};
use crate::introductions::cluster_plan;
use crate::introductions::is_same_family;
use crate::introductions::journal::{Attempt, Connected, EndpointsTold, Names};
use crate::introductions::plan::Wish;
use crate::introductions::relay::remote::{Homes, Relayed};

/// Whether two have a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opened {
    /// What they are told of it.
    At([SocketAddr; 2]),
    /// Another node is asked. When it answers they are introduced once more.
    Asked,
    No,
}

impl Natpunch {
    /// Whether two have a session, or are given one as nothing else helps.
    pub(super) fn relay_at_once(
        &mut self,
        cx: &mut Context<'_>,
        pair: [Uuid; 2],
        attempt: u32,
    ) -> Opened {
        let Some(ends) = self.ends(pair) else { return Opened::No };
        let is_due = || cluster_plan::is_relayed_at_once(cx, Wish::default(), ends);
        let is_due = self.has_failed(pair) || is_due();
        self.relay(cx, (pair, attempt), is_due)
    }

    /// The same for two of whom it is known whether anything else helps.
    pub(super) fn relay(
        &mut self,
        cx: &mut Context<'_>,
        (pair, attempt): ([Uuid; 2], u32),
        is_due: bool,
    ) -> Opened {
        let Some(ends) = self.ends(pair) else { return Opened::No };
        match session(cx, ends) {
            Some(places) => Opened::At(places),
            None if is_asked(cx, ends) => Opened::Asked,
            None if is_due => self.open_session(cx, pair, attempt),
            None => Opened::No,
        }
    }

    /// Gives two a session who were told of each other a while ago and want it again: nothing else shows that
    /// they have not met.
    pub(super) fn relay_if_tried(
        &mut self,
        cx: &mut Context<'_>,
        pair @ [one, other]: [Uuid; 2],
        attempt: u32,
    ) {
        if self.have_tried(cx.now.instant, one, other) {
            self.wants_relay(cx, pair, attempt);
        }
    }

    /// Two who did not get through are to be relayed from now on. False: they are already, or cannot be.
    pub(super) fn wants_relay(
        &mut self,
        cx: &mut Context<'_>,
        pair: [Uuid; 2],
        attempt: u32,
    ) -> bool {
        let Some(ends) = self.ends(pair) else { return false };
        if pair.iter().all(|id| self.clients.is_own(*id)) {
            return session(cx, ends).is_none()
                && self.relay(cx, (pair, attempt), true) != Opened::No;
        }
        if self.has_failed(pair) || !cx.shared.relay.serves_anywhere(cx.now, ends.map(|at| at.ip()))
        {
            return false;
        }
        self.note_failed(pair);
        true
    }

    /// Gives two a session, if both are proven.
    fn open_session(&mut self, cx: &mut Context<'_>, pair: [Uuid; 2], number: u32) -> Opened {
        let (Some(attempt), Some(both)) = (self.attempt(pair), self.both(pair)) else {
            return Opened::No;
        };
        if !both.iter().all(|one| one.proven) {
            return Opened::No;
        }
        let nodes = pair.map(|id| {
            let by = self.clients.get(id).and_then(|client| client.via.node);
            self.clients.node_of(id).or(by)
        });
        let homes = Homes { nodes, public_ips: self.public_ips, ..Homes::default() };
        match cluster_plan::relay(cx, Wish::default(), &attempt, homes) {
            Relayed::At(places) => {
                debug!("{} and {} were told of the relay", attempt.client, attempt.host);
                Opened::At([places.for_client, places.for_host])
            }
            Relayed::Asked => {
                self.relays.add(&attempt, (pair, number));
                Opened::Asked
            }
            Relayed::No(_) => Opened::No,
        }
    }

    /// The relay of another node was asked for two. If it has no room they are told what they would be without.
    pub(super) fn handle_relay(&mut self, cx: &mut Context<'_>, attempt: &Attempt) {
        if let Some(([one, other], number)) = self.relays.take(attempt) {
            self.introduce(cx, one, other, number);
        }
    }

    /// Whether two cannot reach each other: one has IPv4 and the other IPv6, and no relay helps.
    pub(super) fn are_apart(&self, cx: &Context<'_>, pair: [Uuid; 2]) -> bool {
        self.both(pair).is_some_and(|both| {
            let ends @ [one, other] = both.map(|client| client.endpoint);
            let are_proven = both.iter().all(|client| client.proven);
            !is_same_family(one.ip(), other.ip())
                && (!are_proven || cluster_plan::are_apart(cx, Wish::default(), ends))
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
    pub(super) fn attempt(&self, pair: [Uuid; 2]) -> Option<Attempt> {
        let [client, host] = self.both(pair)?;
        let lobby = self.lobby_of(pair).unwrap_or_default();
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
            told: EndpointsTold::new([client.endpoint, host.endpoint], both),
            connected: Connected::default(),
            is_proven: client.proven,
        })
    }

    pub(super) fn both(&self, [one, other]: [Uuid; 2]) -> Option<[&Client; 2]> {
        Some([self.clients.get(one)?, self.clients.get(other)?])
    }

    /// Where both are.
    pub(super) fn ends(&self, pair: [Uuid; 2]) -> Option<[SocketAddr; 2]> {
        self.both(pair).map(|both| both.map(|client| client.endpoint))
    }
}

/// What two were told of the session that they have, whichever of them wanted to meet the other.
fn session(cx: &Context<'_>, [one, other]: [SocketAddr; 2]) -> Option<[SocketAddr; 2]> {
    let between = |pair| cx.shared.relay.between(Name::Natpunch, pair);
    let first = between([one, other]).map(|places| [places.for_client, places.for_host]);
    first.or_else(|| between([other, one]).map(|places| [places.for_host, places.for_client]))
}

/// Whether another node is asked for a session of two, whichever of them wanted to meet the other.
fn is_asked(cx: &Context<'_>, [one, other]: [SocketAddr; 2]) -> bool {
    [[one, other], [other, one]].iter().any(|pair| cx.shared.relay.is_asked(Name::Natpunch, *pair))
}
