//! How introductions ended. A client of GMnet's scripts closes its connection when the host has let it
//! in, and at no other time before the game ends; so one that is open long after has not got through.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::Gmnet;
use super::hosts::newest;
use super::slot::HostKey;
use crate::clock::Instant;
use crate::cluster::NodeId;
use crate::dialect::{ConnId, Context, Name};
use crate::introductions::journal::{self, Attempt, Connected, Names, Relay, Way};
use crate::introductions::plan;
use crate::introductions::relay::SessionId;
use crate::introductions::unmet::Cause;
use crate::limits;

/// Attempts that are given up before others have their turn.
const AT_ONCE: usize = 64;

/// A host that a client was told of. It may come back by another connection, and one that was asked for its
/// port may show another one meanwhile.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Whom {
    /// Its control connection.
    pub(super) conn: ConnId,
    /// Where it was; port 0 if that was not known.
    pub(super) at: SocketAddr,
    /// The node that it is at; none: this one.
    #[serde(default)]
    pub(super) node: Option<NodeId>,
}

/// A client and a host that were told of each other.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Told {
    pub(super) client: SocketAddr,
    pub(super) host: Whom,
    at: Instant,
    /// Where each was told that the other is.
    endpoints: journal::EndpointsTold,
    /// They were told of the relay as well.
    session: Option<SessionId>,
}

/// Two who were told of each other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Two {
    /// Where client and host are.
    pub(super) pair: [SocketAddr; 2],
    /// Where each was told that the other is.
    pub(super) endpoints: [SocketAddr; 2],
}

impl Gmnet {
    /// Both have been told, of each other or of the relay.
    pub(super) fn begin_attempt(
        &mut self,
        cx: &Context<'_>,
        id: ConnId,
        (Two { pair: [client, host], endpoints }, key): (Two, HostKey),
        session: Option<SessionId>,
    ) {
        let is_armed =
            self.arm_attempt(cx, id, (Two { pair: [client, host], endpoints }, key), session);
        let is_served = cx.shared.relay.serves_apart_anywhere([client.ip(), host.ip()]);
        if is_armed && session.is_none() && is_served {
            self.relays.arm(cx.now.instant, id);
        }
    }

    /// The same where the UDP of one of them comes from elsewhere than its connection, by whose address the
    /// relay would know it. The port of a client of which the host was not told is 0: it may still get through,
    /// as it knocks at the host, but nobody is surprised if it does not.
    pub(super) fn begin_attempt_elsewhere(
        &mut self,
        cx: &Context<'_>,
        id: ConnId,
        (two, key): (Two, HostKey),
    ) {
        let [client, _] = two.pair;
        if client.port() != 0 || self.unpaired_connects.maybe(id).is_some() {
            self.arm_attempt(cx, id, (two, key), None);
        }
    }

    /// Whether it will be known how it ended.
    fn arm_attempt(
        &mut self,
        cx: &Context<'_>,
        id: ConnId,
        (Two { pair: [client, host], endpoints }, key): (Two, HostKey),
        session: Option<SessionId>,
    ) -> bool {
        let Some(whom) = self.whom(key, host) else { return false };
        // Who has said that it sends nothing more has closed its half for another reason.
        if self.conns.get(id).is_none_or(|conn| conn.finished) {
            return false;
        }
        let at = cx.now.instant;
        let endpoints = journal::EndpointsTold::new([client, host], endpoints);
        self.attempts.arm_with(at, id, Told { client, host: whom, at, endpoints, session });
        true
    }

    /// A client closes its connection.
    pub(super) fn end_attempt(&mut self, cx: &mut Context<'_>, id: ConnId) {
        let Some(told) = self.attempts.remove(&id) else { return };
        self.relays.cancel(&id);
        let took = cx.now.instant - told.at;
        // So fast nobody is let in: it wanted to know where the host is, and no more. And late it may
        // have given up.
        if !(limits::WELCOME..=limits::LATE_WELCOME).contains(&took) {
            return;
        }
        match told.session {
            None => self.note_end(cx, told, Way::Direct(Some(took))),
            // Which way it has taken is seen at the relay.
            Some(session) => cx.shared.relay.welcomed(session),
        }
    }

    /// It will not be known how it ended: the server closes the connection, or the client asks for another
    /// host.
    pub(super) fn drop_attempt(&mut self, id: ConnId) {
        self.attempts.cancel(&id);
        self.relays.cancel(&id);
    }

    /// Clients whose connections are still open have not got through.
    pub(super) fn give_attempts_up(&mut self, cx: &mut Context<'_>) {
        for _ in 0..AT_ONCE {
            let Some((_, told)) = self.attempts.take_due(cx.now.instant) else { break };
            // Of one of whom the host was not told that has been said.
            if told.session.is_none() && told.client.port() != 0 {
                let pair = [told.client, told.host.at];
                let has_relay = cx.shared.relay.serves_apart(pair.map(|at| at.ip()));
                let refused = if has_relay { plan::refusal(cx, pair) } else { None };
                let relay = refused.map_or(Relay::Untried, Relay::Refused);
                self.note_end(cx, told, Way::No(relay));
            }
        }
    }

    fn note_end(&mut self, cx: &mut Context<'_>, told: Told, way: Way) {
        // Of one whose host has left there is nothing to say.
        let Some(key) = self.host_at(told.host) else { return };
        if matches!(way, Way::Direct(_)) && self.has_failed(told.client.ip(), key) {
            self.failed.cancel(&told.client.ip());
        }
        let pair = [told.client, told.host.at];
        let Some(attempt) = self.attempt(pair, told.endpoints, key) else { return };
        if told.client.port() == 0 {
            cx.shared.journal.met_all_the_same(&attempt, Cause::ClientUdp);
        }
        cx.shared.journal.note(cx.now, &cx.shared.nats, attempt, way);
    }

    /// The host that a client was told of: the one of that connection, wherever it is now; or the one that
    /// is there, if that connection has ended.
    pub(super) fn host_at(&self, Whom { conn, at, node }: Whom) -> Option<HostKey> {
        let port = Some(at.port()).filter(|port| *port != 0);
        let same = self.conns.get(conn).and_then(|conn| conn.host);
        same.or_else(|| newest(self.hosts.all_at_of(node, at.ip()).iter().copied(), port))
    }

    /// How the journal knows a client and its host, if that is there.
    pub(super) fn attempt(
        &self,
        [client, host]: [SocketAddr; 2],
        told: journal::EndpointsTold,
        key: HostKey,
    ) -> Option<Attempt> {
        let known = self.hosts.any(key)?;
        let names = Names::new(known.game(), "");
        let elsewhere = Some(known.addr).filter(|from| *from != host.ip());
        Some(Attempt {
            dialect: Name::Gmnet,
            client,
            host,
            names,
            told,
            connected: Connected::new([None, elsewhere]),
            is_proven: true,
        })
    }
}
