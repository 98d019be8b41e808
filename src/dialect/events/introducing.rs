//! How two peers are told of each other, and what became of it.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use log::info;
use serde::Serialize;

use super::data::Data;
use super::endpoints::Local;
use super::event::{Event, Fault};
use super::peers::Peer;
use super::rooms::{Member, other_family};
use super::{Context, Events};
use crate::dialect::{ConnId, Name};
use crate::introductions::candidates::{Candidates, may_share_network};
use crate::introductions::cluster_plan;
use crate::introductions::is_same_family;
use crate::introductions::plan::{self, Wish};
use crate::nats::Kind;
use crate::refusals::Reason;

/// The pass that tells one peer about another.
#[derive(Serialize)]
pub(super) struct Introduce<'a> {
    pub(super) id: &'a str,
    pub(super) ip: IpAddr,
    pub(super) port: u16,
    pub(super) local: &'a [Local],
    pub(super) nonce: &'a str,
    /// What its NAT does, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) nat: Option<&'static str>,
    /// The ports that it is going to have, if its NAT counts.
    #[serde(skip_serializing_if = "<[u16]>::is_empty")]
    pub(super) predict: &'a [u16],
}

impl Events {
    /// Tells two peers of each other, if both endpoints are known and may be told. False: not yet.
    pub(super) fn introduce(&mut self, cx: &mut Context<'_>, host: ConnId, member: Member) -> bool {
        let Member { conn: player, nonce, wish, .. } = member;
        let (Some(a), Some(b)) = (self.peer(host), self.peer(player)) else { return false };
        let (Some(at), Some(bt)) = (a.endpoint, b.endpoint) else { return false };
        if cluster_plan::are_apart(cx, wish, [bt, at]) {
            self.tell_families(cx, [(host, at), (player, bt)]);
            return true;
        }
        if self.relay_at_once(cx, host, member) {
            return true;
        }
        if !self.may_introduce(cx, (host, at), (player, bt)) {
            return false;
        }
        let (Some(a), Some(b)) = (self.peer(host), self.peer(player)) else { return false };
        let nonce = &format!("{nonce:032x}");
        let is_one_network = may_share_network(at, bt);
        let of = |id, peer: &Peer, own: SocketAddr| {
            // Who is not known to be there himself names nobody in that network.
            let share = is_one_network && self.is_at(id, own);
            let local = if share { peer.local.clone() } else { Vec::new() };
            (Arc::clone(&peer.id), own, local)
        };
        let (a, b) = (of(host, a, at), of(player, b, bt));
        for (to, (_, towards, _), (id, endpoint, local)) in [(host, &a, &b), (player, &b, &a)] {
            let is_there = self.is_at(if to == host { player } else { host }, *endpoint);
            let both = [*endpoint, *towards];
            let candidates = Candidates::of(cx, self.config.public_ips, both, is_there);
            let (ip, port) = (candidates.endpoint.ip(), candidates.endpoint.port());
            let (nat, predict) = (written(candidates.kind), &candidates.next[..]);
            let introduce = Introduce { id, ip, port, local, nonce, nat, predict };
            self.tell(to, "introduce", &introduce, cx.out);
        }
        let told = |who, whom| self.config.public_ips.told_at(who, whom);
        cx.introduced([at, bt], [told(bt, at), told(at, bt)]);
        if self.lines.says(cx.now, at.ip()) {
            let game = self.peer(host).map(|host| Arc::clone(&host.game)).unwrap_or_default();
            let from = |id, endpoint| {
                let from = self.elsewhere(id, endpoint);
                from.map_or_else(String::new, |from| format!(", connected from {from}"))
            };
            info!(
                dialect = "events", event = "introduced", client:% = b.1, host:% = a.1, game = &*game;
                "introduced {:?} ({}{}) and {:?} ({}{})",
                a.0, a.1, from(host, a.1), b.0, b.1, from(player, b.1)
            );
        }
        true
    }

    /// From where a peer is connected, if that is not where its game socket is: it may have put somebody else there.
    pub(super) fn elsewhere(&self, id: ConnId, endpoint: SocketAddr) -> Option<IpAddr> {
        let conn = self.conns.get(id).filter(|_| !self.is_at(id, endpoint))?;
        Some(conn.addr.ip())
    }

    /// Whether a peer's connection comes from the address of this endpoint: then it hears there. Anybody
    /// can send its token from elsewhere.
    pub(super) fn is_at(&self, id: ConnId, endpoint: SocketAddr) -> bool {
        self.conns.get(id).is_some_and(|conn| {
            let (one, other) = (conn.addr.ip(), endpoint.ip());
            // All loopback addresses are those of one machine.
            one == other || one.is_loopback() && other.is_loopback()
        })
    }

    /// Whether host and player may be told of each other. If not, it is tried again when they show
    /// their endpoints the next time.
    fn may_introduce(
        &mut self,
        cx: &mut Context<'_>,
        (host, at): (ConnId, SocketAddr),
        (player, bt): (ConnId, SocketAddr),
    ) -> bool {
        let may = is_same_family(at.ip(), bt.ip())
            && (self.is_at(player, bt) || cx.shared.unproven.may_tell(cx.now.instant, bt, at))
            && (self.is_at(host, at) || cx.shared.unproven.may_tell_asker(cx.now.instant, at, bt));
        if !may {
            for id in [host, player] {
                if let Some(peer) = self.peer_mut(id) {
                    peer.untold = true;
                }
            }
        }
        may
    }

    /// Tells two peers that they cannot be introduced, as they have addresses of different families.
    pub(super) fn tell_families(&mut self, cx: &mut Context<'_>, both: [(ConnId, SocketAddr); 2]) {
        let [(host, _), (player, at)] = both;
        // It is the later one who wanted to meet the other.
        cx.refused(Name::Events, Reason::Family, at.ip());
        for (id, _) in both {
            self.complain(id, &other_family(), cx.out);
        }
        self.note_families(cx, (host, player));
    }

    /// Whether both peers have shown their game sockets, and these cannot reach each other.
    pub(super) fn are_apart(
        &self,
        cx: &Context<'_>,
        wish: Wish,
        (player, host): (ConnId, ConnId),
    ) -> bool {
        let at = |id| self.peer(id)?.endpoint;
        matches!((at(player), at(host)), (Some(a), Some(b)) if cluster_plan::are_apart(cx, wish, [a, b]))
    }

    /// A peer has told how a punch ended.
    pub(super) fn punch_result(
        &mut self,
        cx: &mut Context<'_>,
        id: ConnId,
        event: &Event<'_>,
    ) -> Result<(), Fault> {
        let data = Data::of(event)?;
        let (other, ok): (Cow<'_, str>, bool) = (data.needed("id")?, data.needed("ok")?);
        self.note_punch(cx, id, &other, ok);
        Ok(())
    }

    /// Notes how a punch ended: once for two that met, even if both tell of it.
    fn note_punch(&mut self, cx: &mut Context<'_>, id: ConnId, other: &str, worked: bool) {
        let game = self.peer(id).map(|peer| Arc::clone(&peer.game)).unwrap_or_default();
        let Some(other) = self.names.get(&game, other) else { return };
        let Some((host, player)) = self.met(id, other) else { return };
        if !worked && self.relay_late(cx, host, player) {
            // They have another try.
            return self.set_result(host, player.conn, None);
        }
        if let Some(attempt) = self.attempt(host, player.conn) {
            let said = (player.result, worked);
            let result = plan::note_result(cx, attempt, said, Duration::ZERO);
            self.set_result(host, player.conn, result);
        }
    }
}

/// The kind of a NAT as it is written, if it is known.
fn written(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::Unknown => None,
        Kind::Open => Some("none"),
        Kind::Independent => Some("endpoint-independent"),
        Kind::Symmetric | Kind::Sequential => Some("symmetric"),
    }
}
