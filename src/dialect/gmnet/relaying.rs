//! The relay for those who do not reach each other: a second notice for each, as shipped games go on with
//! what they are told last; or the first one, where the direct way is known to lead nowhere.
//!
//! A client takes all that comes from the server's address for the server's, so that the relay has to be
//! at another one.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;

use log::info;

use super::Gmnet;
use super::attempts::{Two, Whom};
use super::names::Named;
use super::notices::News;
use super::request::{Outcome, Request};
use super::slot::HostKey;
use crate::dialect::{ConnId, Context};
use crate::introductions::journal::{Shown, Told};
use crate::introductions::plan;
use crate::introductions::relay::Shape;
use crate::introductions::relay::sessions::Places;
use crate::limits;

/// Clients that are told of the relay before others have their turn.
const AT_ONCE: usize = 64;

impl Gmnet {
    /// Relays a client and its host, if it is known already that nothing else helps. False: what was
    /// found out is to be said as it is.
    pub(super) fn relay_at_once(
        &mut self,
        cx: &mut Context<'_>,
        request: &Request,
        outcome: &Outcome,
    ) -> bool {
        let (key, port) = match *outcome {
            Outcome::OtherFamily(key) | Outcome::Found(key, _, None) => (key, None),
            Outcome::HostWithoutPort(key, port) => (key, port),
            Outcome::Found(key, _, Some(port)) => {
                let client = SocketAddr::new(request.client, port);
                if !self.is_hopeless(cx, client, key) {
                    return false;
                }
                (key, Some(port))
            }
            // The relay expects a host at the address of its connection.
            Outcome::Wait | Outcome::NotFound | Outcome::Elsewhere(..) => return false,
        };
        let client = SocketAddr::new(request.client, port.unwrap_or_default());
        self.relay(cx, request.conn, client, key)
    }

    /// Whether the direct way is known to lead nowhere, by the two NATs or as it has just been tried.
    fn is_hopeless(&self, cx: &Context<'_>, client: SocketAddr, key: HostKey) -> bool {
        if self.config.relay.is_empty() {
            return false;
        }
        let Some(host) = self.hosts.get(key) else { return false };
        let host = SocketAddr::new(host.addr, host.port.unwrap_or_default());
        let kinds = [client, host].map(|at| cx.shared.nats.kind(cx.now.instant, at));
        plan::is_hopeless(kinds) || self.has_failed(client.ip(), key)
    }

    /// Clients that are still connected have not got through.
    pub(super) fn relay_late(&mut self, cx: &mut Context<'_>) {
        while self.failed.take_due(cx.now.instant).is_some() {}
        for _ in 0..AT_ONCE {
            let Some(id) = self.relays.pop_due(cx.now.instant) else { break };
            let told = self.attempts.get(&id).map(|told| (told.client, told.host));
            let Some((client, host)) = told else { continue };
            let Some(key) = self.host_at(host) else { continue };
            let conn = self.hosts.get(key).map(|host| host.conn);
            if conn.is_some_and(|host| !self.notices.has_room(host, client.ip())) {
                // Others come first.
                self.relays.arm(cx.now.instant, id);
                continue;
            }
            self.relay(cx, id, client, key);
        }
    }

    /// Tells a host and a client of the relay. False: they cannot be relayed, and nobody was told.
    fn relay(
        &mut self,
        cx: &mut Context<'_>,
        id: ConnId,
        client: SocketAddr,
        key: HostKey,
    ) -> bool {
        if key.place_elsewhere().is_some() {
            return self.relay_elsewhere(cx, id, client, key);
        }
        let Some(places) = self.open_relay(cx, client, key) else { return false };
        let Some(host) = self.hosts.get(key) else { return false };
        let at = SocketAddr::new(host.addr, host.port.unwrap_or_default());
        self.tell_endpoint(cx, id, places.for_client);
        let two = Two { pair: [client, at], endpoints: [places.for_client, places.for_host] };
        self.begin_attempt(cx, id, (two, key), Some(places.id));
        true
    }

    /// Gives a client and a host of this node a session, and tells the host of it. None: they cannot be relayed, and
    /// it was told nothing.
    pub(super) fn open_relay(
        &mut self,
        cx: &mut Context<'_>,
        client: SocketAddr,
        key: HostKey,
    ) -> Option<Places> {
        let host = self.hosts.get(key)?;
        let (conn, at) = (host.conn, SocketAddr::new(host.addr, host.port.unwrap_or_default()));
        let addrs = [client.ip(), at.ip()];
        if !cx.shared.relay.serves_apart(addrs) || !self.notices.has_room(conn, client.ip()) {
            return None;
        }
        let attempt = self.attempt([client, at], Told::default(), key)?;
        let places = plan::open(cx, Shape::GameMaker, attempt)?;
        if self.lines.says(cx.now, client.ip())
            && let Some(host) = self.hosts.get(key)
        {
            info!(
                dialect = "gmnet", event = "relayed", client:% = client, host:% = host.at(),
                game = host.game();
                "{} and host {} were told of the relay", Shown(client), Named(host)
            );
        }
        self.note_failed(cx, client.ip(), Whom { conn, at });
        let relay = NonZeroU16::new(places.for_host.port());
        self.tell_all(cx, conn, [News { relay, ..client.into() }].into_iter());
        Some(places)
    }

    /// A client has not reached a host by itself: its next try is relayed at once.
    pub(super) fn note_failed(&mut self, cx: &Context<'_>, client: IpAddr, host: Whom) {
        if self.failed.len() >= limits::relay::FAILURES {
            self.failed.take();
        }
        self.failed.arm_with(cx.now.instant, client, host);
    }

    /// The host that the lobby shows to a client at the relay's address: GMnet ENGINE sends to the address
    /// that was asked for, and to no other.
    pub(super) fn shown_at_relay(&self, client: IpAddr) -> Option<HostKey> {
        self.failed.get(&client).and_then(|host| self.host_at(*host))
    }

    /// Whether a client has not reached this host lately.
    pub(super) fn has_failed(&self, client: IpAddr, host: HostKey) -> bool {
        self.shown_at_relay(client) == Some(host)
    }
}
