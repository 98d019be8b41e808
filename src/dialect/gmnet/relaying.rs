//! The relay for those who do not reach each other: a second notice for each, as shipped games go on with
//! what they are told last; or the first one, where the direct way is known to lead nowhere.
//!
//! A client takes all that comes from the server's address for the server's, so that the relay has to be
//! at another one.

use std::iter;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;

use log::info;
use serde::{Deserialize, Serialize};

use super::Gmnet;
use super::attempts::{Two, Whom};
use super::host::Host;
use super::names::Named;
use super::nodes::Direct;
use super::notices::News;
use super::request::{Outcome, Request};
use super::slot::HostKey;
use crate::clock::Instant;
use crate::dialect::{ConnId, Context, Name};
use crate::introductions::cluster_plan;
use crate::introductions::journal::{Attempt, EndpointsTold, Shown};
use crate::introductions::plan;
use crate::introductions::relay::Shape;
use crate::introductions::relay::remote::{Homes, Relayed};
use crate::introductions::relay::sessions::Places;
use crate::limits;

/// A client and a host for whom the relay of another node is asked.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Asked {
    /// The client's connection.
    id: ConnId,
    host: Whom,
    /// When it was answered last.
    since: Instant,
    instead: Instead,
    /// Other clients of that address whose ports are not known either: they look the same.
    #[serde(default)]
    others: Vec<Self>,
}

/// What is done if they cannot be relayed.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Instead {
    /// They were told of each other before.
    Nothing,
    /// What was found out is said.
    Say(Box<(Request, String, Outcome)>),
    /// The node of the host is asked for the direct way.
    AskDirect(Box<Direct>),
}

impl Instead {
    /// Whether the client has not been told anything yet.
    const fn is_owed(&self) -> bool {
        !matches!(self, Self::Nothing)
    }
}

/// Clients that are told of the relay before others have their turn.
const AT_ONCE: usize = 64;

impl Gmnet {
    /// Relays a client and its host, if it is known already that nothing else helps. False: what was
    /// found out is to be said as it is.
    pub(super) fn relay_at_once(
        &mut self,
        cx: &mut Context<'_>,
        request: &Request,
        text: &str,
        outcome: Outcome,
    ) -> bool {
        let (key, port) = match outcome {
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
        let instead = || Instead::Say(Box::new((*request, text.to_owned(), outcome)));
        self.relay(cx, request.conn, client, key, instead)
    }

    /// Whether the direct way is known to lead nowhere, by the two NATs or as it has just been tried.
    fn is_hopeless(&self, cx: &Context<'_>, client: SocketAddr, key: HostKey) -> bool {
        let Some(host) = self.hosts.get(key) else { return false };
        if !cx.shared.relay.serves_apart_anywhere([client.ip(), host.addr]) {
            return false;
        }
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
            self.relay(cx, id, client, key, || Instead::Nothing);
        }
    }

    /// Tells a host and a client of the relay of this node, of the host's, or of any other, now or when another node has
    /// answered. False: they cannot be relayed, and nobody was told. If that turns out later `instead` is done.
    pub(super) fn relay(
        &mut self,
        cx: &mut Context<'_>,
        id: ConnId,
        client: SocketAddr,
        key: HostKey,
        instead: impl FnOnce() -> Instead,
    ) -> bool {
        // The relay ends with the process, and nobody waits for those of others any more.
        let Some(host) = self.hosts.any(key).filter(|_| !self.is_stopping) else { return false };
        let at = SocketAddr::new(host.addr, host.port.unwrap_or_default());
        let (conn, node) = (host.conn, self.hosts.node_of(key));
        let can_be_told = node.is_some() || self.notices.has_room(conn, client.ip());
        if !cx.shared.relay.serves_apart_anywhere([client.ip(), at.ip()]) || !can_be_told {
            return false;
        }
        let seen = self.seen_by_relays(cx, key, at);
        let host_at_home = Some(at.ip()).filter(|ip| *ip != seen.ip());
        let Some(attempt) = self.attempt([client, at], EndpointsTold::default(), key) else {
            return false;
        };
        let attempt = Attempt { host: seen, ..attempt };
        let Some(whom) = self.whom(key, at) else { return false };
        let public_ips = self.config.public_ips;
        let homes = Homes { nodes: [None, node], public_ips, host_at_home };
        match cluster_plan::open(cx, Shape::GameMaker, attempt.clone(), homes) {
            Relayed::At(places) => {
                self.tell_of_relay(cx, id, client, key, places);
                true
            }
            Relayed::Asked => self.wait_for_relay(&attempt, (id, whom), instead),
            Relayed::No(_) => false,
        }
    }

    /// Where relays see a host that is at this endpoint: one in the network of another node comes from that.
    pub(super) fn seen_by_relays(
        &self,
        cx: &Context<'_>,
        key: HostKey,
        at: SocketAddr,
    ) -> SocketAddr {
        let relay = cx.shared.relay.told_anywhere(at.ip());
        let is_here = cx.shared.relay.told(at.ip()).is_some();
        // The own relay sees who is in the network of this node inside, at whichever node he is.
        let is_outside = |host: &&Host| !is_here || !self.hosts.is_near(key, host);
        let host = self.hosts.any(key).filter(|_| self.hosts.node_of(key).is_some());
        let host = host.filter(is_outside);
        let seen = host.zip(relay).map(|(host, relay)| self.hosts.told(key, host, relay));
        SocketAddr::new(seen.unwrap_or(at.ip()), at.port())
    }

    /// A client waits for the relay of another node. False: too many do who look the same.
    fn wait_for_relay(
        &mut self,
        attempt: &Attempt,
        (id, host): (ConnId, Whom),
        instead: impl FnOnce() -> Instead,
    ) -> bool {
        let is_full = self.asked.get_mut(attempt).is_some_and(|first| {
            // What it has asked before does not count any more.
            first.others.retain(|other| other.id != id);
            first.id != id && first.others.len() >= limits::cluster::RELAY_SHARERS
        });
        if is_full {
            return false;
        }
        let instead = instead();
        let mut since = Instant::default();
        if let Some(conn) = self.conns.get_mut(id) {
            (conn.is_asking, since) = (instead.is_owed(), conn.times.answered);
        }
        let asked = Asked { id, host, since, instead, others: Vec::new() };
        match self.asked.get_mut(attempt) {
            None => self.asked.add(attempt, asked),
            Some(first) if first.id == id => {
                let others = std::mem::take(&mut first.others);
                *first = Asked { others, ..asked };
            }
            Some(first) => first.others.push(asked),
        }
        true
    }

    /// Tells a host and a client of the relay that forwards for them.
    fn tell_of_relay(
        &mut self,
        cx: &mut Context<'_>,
        id: ConnId,
        client: SocketAddr,
        key: HostKey,
        Places { id: session, for_client, for_host }: Places,
    ) {
        let Some(host) = self.hosts.any(key) else { return };
        let (conn, at) = (host.conn, SocketAddr::new(host.addr, host.port.unwrap_or_default()));
        let client_there = self.hosts.client_told(key, host, client.ip());
        if self.lines.says(cx.now, client.ip()) {
            info!(
                dialect = "gmnet", event = "relayed", client:% = client, host:% = host.at(),
                game = host.game();
                "{} and host {} were told of the relay", Shown(client), Named(host)
            );
        }
        if let Some(whom) = self.whom(key, at) {
            self.note_failed(cx, client.ip(), whom);
        }
        match self.hosts.node_of(key) {
            Some(node) => {
                self.tell_host_elsewhere(cx, node, (conn, at.ip()), (client_there, for_host));
            }
            None => {
                let is_here = self.config.relay.contains(for_host.ip());
                let relay = NonZeroU16::new(for_host.port()).filter(|_| is_here);
                let (at, of) = if is_here { (client, None) } else { (for_host, Some(client.ip())) };
                self.tell_all(cx, conn, [News { relay, of, ..at.into() }].into_iter());
            }
        }
        self.tell_endpoint(cx, id, for_client);
        let two = Two { pair: [client, at], endpoints: [for_client, for_host] };
        self.begin_attempt(cx, id, (two, key), Some(session));
    }

    /// The relay of another node was asked for a client and a host.
    pub(super) fn handle_relay(&mut self, cx: &mut Context<'_>, attempt: &Attempt, is_given: bool) {
        let Some(mut first) = self.asked.take(attempt) else { return };
        let others = std::mem::take(&mut first.others);
        let places = cx.shared.relay.between(Name::Gmnet, [attempt.client, attempt.host]);
        let mut places = places.filter(|_| is_given);
        for Asked { id, host, since, instead, .. } in iter::once(first).chain(others) {
            // It may have gone, or have asked for somebody else.
            if self.conns.get(id).is_none_or(|conn| conn.times.answered != since) {
                continue;
            }
            self.end_asking(id);
            let mut instead = Some(instead);
            let is_told = match (self.host_at(host), places.take()) {
                (Some(key), Some(places)) => {
                    self.tell_of_relay(cx, id, attempt.client, key, places);
                    true
                }
                // One session is for one client.
                (Some(key), None) if is_given => {
                    let instead = || instead.take().unwrap_or(Instead::Nothing);
                    self.relay(cx, id, attempt.client, key, instead)
                }
                _ => false,
            };
            if !is_told {
                self.do_instead(cx, host, instead.unwrap_or(Instead::Nothing));
            }
        }
    }

    /// A client has got its answer, and goes on.
    pub(super) fn end_asking(&mut self, id: ConnId) {
        if let Some(conn) = self.conns.get_mut(id)
            && std::mem::take(&mut conn.is_asking)
        {
            self.resumed.push_back(id);
        }
    }

    /// A client and its host cannot be relayed.
    fn do_instead(&mut self, cx: &mut Context<'_>, host: Whom, instead: Instead) {
        match instead {
            Instead::Nothing => {}
            Instead::Say(what) => {
                let (request, text, outcome) = *what;
                let outcome = self.of_host_now(outcome, host);
                self.say_outcome(cx, &request, &text, outcome);
            }
            Instead::AskDirect(what) => self.ask_direct(cx, *what),
        }
    }

    /// What was found out, of the host as it is now: it may have gone, and its place be another's.
    fn of_host_now(&self, outcome: Outcome, host: Whom) -> Outcome {
        let key = self.host_at(host).filter(|key| key.place_elsewhere().is_none());
        let Some((key, known)) = key.and_then(|key| Some((key, self.hosts.get(key)?))) else {
            return Outcome::NotFound;
        };
        match (outcome, known.port) {
            (Outcome::OtherFamily(_), _) => Outcome::OtherFamily(key),
            (Outcome::Elsewhere(_, at, client), None) => Outcome::Elsewhere(key, at, client),
            (Outcome::HostWithoutPort(_, client), None) => Outcome::HostWithoutPort(key, client),
            (
                Outcome::Found(_, _, client)
                | Outcome::HostWithoutPort(_, client)
                | Outcome::Elsewhere(_, _, client),
                Some(port),
            ) => Outcome::Found(key, port, client),
            (Outcome::Found(_, _, client), None) => Outcome::HostWithoutPort(key, client),
            (Outcome::Wait | Outcome::NotFound, _) => Outcome::NotFound,
        }
    }

    /// Those who wait for a relay of which this is true are not to wait any more.
    pub(super) fn give_relays_up(
        &mut self,
        cx: &mut Context<'_>,
        is_lost: impl Fn(&Context<'_>, [SocketAddr; 2]) -> bool,
    ) {
        for mut first in self.asked.take_those(|pair| is_lost(cx, pair)) {
            let others = std::mem::take(&mut first.others);
            for Asked { id, host, since, instead, .. } in iter::once(first).chain(others) {
                if self.conns.get(id).is_some_and(|conn| conn.times.answered == since) {
                    self.end_asking(id);
                    self.do_instead(cx, host, instead);
                }
            }
        }
    }

    /// Goes on with those for whom another process has asked relays of other nodes. Another node, or one that is alone,
    /// hears no answer.
    pub(super) fn restore_asking(&mut self, cx: &mut Context<'_>) {
        let asked = self.asked.iter().flat_map(|first| iter::once(first).chain(&first.others));
        for Asked { id, since, instead, .. } in asked {
            if let Some(conn) = self.conns.get_mut(*id).filter(|c| c.times.answered == *since) {
                conn.is_asking |= instead.is_owed();
            }
        }
        self.give_relays_up(cx, |cx, pair| !cx.shared.relay.has_asked(Name::Gmnet, pair));
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
