//! The relay for a client and its host that do not reach each other: each is told of it in place of the
//! other side. Only those who have shown their keys are.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use log::info;

use super::table::{Peer, Status};
use super::{Id, Rooms};
use crate::dialect::{Context, Name};
use crate::introductions::is_same_family;
use crate::introductions::journal::{Attempt, Connected, Names, Told};
use crate::introductions::plan::{self, Wish};
use crate::introductions::relay::sessions::Places;

impl Rooms {
    /// Where a peer is for the other side: at the relay, while they have a session.
    pub(super) fn told_at(&self, cx: &Context<'_>, who: &Peer, whom: &Peer) -> SocketAddr {
        let [_, host] = roles(who, whom);
        match session(cx, who, whom) {
            Some(places) if whom.id == host.id => places.for_host,
            Some(places) => places.for_client,
            None => self.directly(cx, who.endpoint, whom.endpoint),
        }
    }

    /// The same without a session. Who has IPv4 is told of no one with IPv6, but of a port of the relay
    /// at which nobody is.
    pub(super) fn directly(
        &self,
        cx: &Context<'_>,
        at: SocketAddr,
        whom: SocketAddr,
    ) -> SocketAddr {
        /// That of the service that throws everything away (RFC 863).
        const DISCARD: u16 = 9;
        match cx.shared.relay.told(whom.ip()) {
            Some(relay) if !is_same_family(at.ip(), whom.ip()) => SocketAddr::new(relay, DISCARD),
            _ => self.config.public_ips.told_at(at, whom),
        }
    }

    /// Whether two may be told of each other: if one has IPv4 and the other IPv6, not before they have a
    /// session.
    pub(super) fn can_meet(cx: &Context<'_>, one: &Peer, other: &Peer) -> bool {
        is_same_family(one.endpoint.ip(), other.endpoint.ip()) || session(cx, one, other).is_some()
    }

    /// Whether they have a session.
    pub(super) fn are_relayed(cx: &Context<'_>, one: &Peer, other: &Peer) -> bool {
        session(cx, one, other).is_some()
    }

    /// Whether the host of a client has been told of it at this address of the relay.
    pub(super) fn is_relayed_at(&self, cx: &Context<'_>, client: Id, ip: IpAddr) -> bool {
        let both = self.pair(client);
        let places = both.and_then(|[client, host]| session(cx, client, host));
        places.is_some_and(|places| places.for_host.ip() == ip)
    }

    /// Relays a client and its host if nothing else helps or has helped. False: they are told nothing.
    pub(super) fn relay_at_once(&mut self, cx: &mut Context<'_>, client: Id) -> bool {
        if !cx.shared.relay.serves_somebody() {
            return false;
        }
        let Some([peer, host]) = self.pair(client) else { return false };
        let (has_failed, host_id) = (peer.status == Status::Failed, host.id);
        let pair = [peer.endpoint, host.endpoint];
        let is_due = has_failed || plan::is_relayed_at_once(cx, peer.wish, pair);
        if !is_due || !self.open_session(cx, client) {
            return false;
        }
        self.introduce(cx, client);
        self.announce(cx, host_id, client);
        true
    }

    /// Relays a client and its host, as one of them has said that it does not reach the other. False: they
    /// are told nothing.
    pub(super) fn relay_late(&mut self, cx: &mut Context<'_>, client: Id) -> bool {
        let Some(host) = self.pair(client).map(|[_, host]| host.id) else { return false };
        if !self.open_session(cx, client) {
            return false;
        }
        self.announce(cx, client, host);
        self.announce(cx, host, client);
        true
    }

    /// One client of a room in which all are introduced to each other says how its punch with another one
    /// ended. If it did not work both are told of the relay.
    pub(super) fn end_between(&mut self, cx: &mut Context<'_>, own: Id, other: Id, worked: bool) {
        let (Some(one), Some(two)) = (self.table.peer(own), self.table.peer(other)) else { return };
        let [client, host] = roles(one, two);
        let attempt = self.attempt_of(client, host);
        let wish = if one.wish == Wish::Never { one.wish } else { two.wish };
        if worked || plan::relay(cx, wish, &attempt).is_none() {
            let said = (self.ended(own, other), worked);
            let ended = plan::note_result(cx, attempt, said, Duration::ZERO);
            return ended.map_or((), |ended| self.set_ended(own, other, ended));
        }
        if self.lines.says(cx.now, attempt.client.ip()) {
            let Attempt { client: at, host, .. } = &attempt;
            let room = self.named(one.room);
            let names = &attempt.names;
            info!(
                dialect = "rooms", event = "relayed", client:% = at, host:% = host,
                game = names.game(), room = names.room();
                "{at} and {host}, clients of {room}, were told of the relay"
            );
        }
        self.announce(cx, own, other);
        self.announce(cx, other, own);
    }

    /// Gives a client and its host a session, if both are proven and have none. They punch again then.
    fn open_session(&mut self, cx: &mut Context<'_>, client: Id) -> bool {
        let Some(attempt) = self.attempt(client) else { return false };
        let Some(pair @ [peer, _]) = self.pair(client) else { return false };
        let may = pair.iter().all(|peer| peer.proved && !peer.is_kept);
        if !may || plan::relay(cx, peer.wish, &attempt).is_none() {
            return false;
        }
        if self.lines.says(cx.now, attempt.client.ip()) {
            let Attempt { client, host, names, .. } = &attempt;
            info!(
                dialect = "rooms", event = "relayed", client:% = client, host:% = host,
                game = names.game(), room = names.room();
                "{client} and host {host}{names} were told of the relay"
            );
        }
        if let Some(peer) = self.table.peer_mut(client) {
            peer.status = Status::Joining;
            (peer.told, peer.knows_host) = (true, true);
        }
        true
    }

    /// How the journal knows a client and its host.
    pub(super) fn attempt(&self, client: Id) -> Option<Attempt> {
        let [client, host] = self.pair(client)?;
        Some(self.attempt_of(client, host))
    }

    fn attempt_of(&self, client: &Peer, host: &Peer) -> Attempt {
        let room = self.table.room(client.room);
        let names = room.map(|room| Names::new(self.shown_game(&room.game), &room.name));
        let names = names.unwrap_or_default();
        let told =
            |who: &Peer, whom: &Peer| self.config.public_ips.told_at(who.endpoint, whom.endpoint);
        let both = [told(host, client), told(client, host)];
        Attempt {
            dialect: Name::Rooms,
            client: client.endpoint,
            host: host.endpoint,
            names,
            told: Told::new([client.endpoint, host.endpoint], both),
            connected: Connected::default(),
            is_proven: client.proved,
        }
    }

    /// A client and its host.
    fn pair(&self, client: Id) -> Option<[&Peer; 2]> {
        let client = self.table.peer(client).filter(|client| !client.is_host)?;
        let host = self.table.room(client.room).and_then(|room| self.table.peer(room.host))?;
        Some([client, host])
    }
}

/// Which of two is the client and which the host for the relay: of two clients, the one with the higher ID is
/// the client.
fn roles<'a>(one: &'a Peer, other: &'a Peer) -> [&'a Peer; 2] {
    if (other.is_host, one.id) > (one.is_host, other.id) { [one, other] } else { [other, one] }
}

/// What two were told of the session that they have, if they have one.
fn session(cx: &Context<'_>, one: &Peer, other: &Peer) -> Option<Places> {
    let [client, host] = roles(one, other);
    cx.shared.relay.between(Name::Rooms, [client.endpoint, host.endpoint])
}
