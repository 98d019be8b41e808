//! The relay for a client and its host that do not reach each other: each is told of it in place of the
//! other side. Only those who have shown their keys are.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use log::info;

use super::table::{Peer, Status};
use super::{Id, Rooms};
use crate::dialect::{Context, Name};
use crate::introductions::cluster_plan;
use crate::introductions::is_same_family;
use crate::introductions::journal::{Attempt, Connected, EndpointsTold, Names};
use crate::introductions::plan::{self, Wish};
use crate::introductions::relay::remote::{Homes, Relayed};
use crate::introductions::relay::sessions::Places;

/// Whether two have a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opened {
    Now,
    /// Another node is asked.
    Asked,
    No,
}

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
        match cx.shared.relay.told_anywhere(whom.ip()) {
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
        if !cx.shared.relay.serves_somebody_anywhere() {
            return false;
        }
        let Some([peer, host]) = self.pair(client) else { return false };
        let (has_failed, host_id) = (peer.status == Status::Failed, host.id);
        let pair = [peer.endpoint, host.endpoint];
        let is_due = has_failed || cluster_plan::is_relayed_at_once(cx, peer.wish, pair);
        // While another node is asked they may try it directly.
        if !is_due || self.open_session(cx, client, has_failed) != Opened::Now {
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
        match self.open_session(cx, client, true) {
            Opened::Now => {}
            Opened::Asked => return true,
            Opened::No => return false,
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
        let homes = self.homes(client, host);
        let relayed =
            if worked { Relayed::No(None) } else { cluster_plan::relay(cx, wish, &attempt, homes) };
        match relayed {
            Relayed::At(_) => self.tell_of_relay(cx, [own, other], &attempt),
            Relayed::Asked => self.relays.add(&attempt, (own, other, true)),
            Relayed::No(_) => self.note_between(cx, (own, other), attempt, worked),
        }
    }

    /// How the punch of two clients ended, and no relay helps.
    fn note_between(
        &mut self,
        cx: &mut Context<'_>,
        (own, other): (Id, Id),
        attempt: Attempt,
        worked: bool,
    ) {
        let said = (self.ended(own, other), worked);
        let ended = plan::note_result(cx, attempt, said, Duration::ZERO);
        if let Some(ended) = ended {
            self.set_ended(own, other, ended);
        }
    }

    /// Tells two clients of a room of the relay.
    fn tell_of_relay(&mut self, cx: &mut Context<'_>, [own, other]: [Id; 2], attempt: &Attempt) {
        let Some(one) = self.table.peer(own) else { return };
        if self.lines.says(cx.now, attempt.client.ip()) {
            let Attempt { client: at, host, .. } = attempt;
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

    /// Gives a client and its host a session, if both are proven and have none. They punch again then. `has_failed`:
    /// one of them has said that it does not reach the other.
    fn open_session(&mut self, cx: &mut Context<'_>, client: Id, has_failed: bool) -> Opened {
        let Some(attempt) = self.attempt(client) else { return Opened::No };
        let Some(pair @ [peer, host]) = self.pair(client) else { return Opened::No };
        if !pair.iter().all(|peer| peer.proved && !peer.is_kept) {
            return Opened::No;
        }
        let (homes, host) = (self.homes(peer, host), host.id);
        match cluster_plan::relay(cx, peer.wish, &attempt, homes) {
            Relayed::At(_) => {}
            Relayed::Asked => {
                self.relays.add(&attempt, (client, host, has_failed));
                return Opened::Asked;
            }
            Relayed::No(_) => return Opened::No,
        }
        self.note_relayed(cx, client, &attempt);
        Opened::Now
    }

    /// A client and its host have a session.
    fn note_relayed(&mut self, cx: &Context<'_>, client: Id, attempt: &Attempt) {
        if self.lines.says(cx.now, attempt.client.ip()) {
            let Attempt { client, host, names, .. } = attempt;
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
    }

    /// The relay of another node was asked for two of a room.
    pub(super) fn handle_relay(&mut self, cx: &mut Context<'_>, attempt: &Attempt, is_given: bool) {
        let Some((client, other, has_failed)) = self.relays.take(attempt) else { return };
        let is_there = |id, at| self.table.peer(id).is_some_and(|peer| peer.endpoint == at);
        let ends = [attempt.client, attempt.host];
        let are_there = |pair: [Id; 2]| pair.into_iter().zip(ends).all(|(id, at)| is_there(id, at));
        if !are_there([client, other]) && !are_there([other, client]) {
            return;
        }
        let is_mesh = self.table.peer(other).is_some_and(|other| !other.is_host);
        match (is_given, is_mesh) {
            (true, true) => self.tell_of_relay(cx, [client, other], attempt),
            (true, false) => {
                self.note_relayed(cx, client, attempt);
                match has_failed {
                    true => self.announce(cx, client, other),
                    false => self.introduce(cx, client),
                }
                self.announce(cx, other, client);
            }
            (false, _) if !has_failed => {}
            (false, true) => self.note_between(cx, (client, other), attempt.clone(), false),
            (false, false) => self.fail(cx, client, attempt.clone()),
        }
    }

    /// A client and its host do not reach each other, as one of them has said, and no relay helps.
    fn fail(&mut self, cx: &mut Context<'_>, client: Id, attempt: Attempt) {
        let before = self.table.peer(client).and_then(|client| client.ended);
        let ended = plan::note_result(cx, attempt, (before, false), Duration::ZERO);
        if let Some(client) = self.table.peer_mut(client) {
            (client.status, client.ended) = (Status::Failed, ended);
        }
    }

    /// By which nodes a client and its host are reached.
    fn homes(&self, client: &Peer, host: &Peer) -> Homes {
        let nodes = [client, host].map(|peer| peer.via.node);
        Homes { nodes, public_ips: self.config.public_ips, ..Homes::default() }
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
            told: EndpointsTold::new([client.endpoint, host.endpoint], both),
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
