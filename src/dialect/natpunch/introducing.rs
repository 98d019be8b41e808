//! Two are told of each other.

use std::net::SocketAddr;

use log::warn;
use serde::{Deserialize, Serialize};

use super::id::Uuid;
use super::lobbies::endpoint;
use super::message::{ConnectionInstruction, Content, NatType};
use super::nodes::say_relayed;
use super::relaying::Opened;
use super::{Join, Natpunch, Sender};
use crate::clock::Instant;
use crate::dialect::{Context, Name};
use crate::introductions::candidates::{Candidates, may_share_network};
use crate::introductions::unmet::Cause;
use crate::limits;
use crate::nats::Kind;
use crate::refusals::Reason;

/// When two were told of each other.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Told {
    /// For the first time.
    first: Instant,
    /// And the last time.
    last: Instant,
    /// One of them has said that they have met.
    have_met: bool,
    /// They have not, and are to be told of a relay, perhaps by another node.
    #[serde(default)]
    pub(super) failed: bool,
    /// Another node has said where they are relayed, and counts whether that gets them through.
    #[serde(default)]
    pub(super) away: bool,
    /// The port at which the first and the second of the two are, as the other one was told.
    ports: [u16; 2],
}

/// Two clients as they are known together.
pub(super) fn in_order(one: Uuid, other: Uuid) -> (Uuid, Uuid) {
    (one.min(other), one.max(other))
}

/// Where one of two is for the other.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Side {
    /// What it is behind.
    pub(super) kind: Kind,
    /// As others see it.
    pub(super) at: SocketAddr,
    /// As it sees itself, if both may be in one network.
    pub(super) local: SocketAddr,
}

impl Natpunch {
    /// The same as [`Self::introduce`], for who can have it done as often as it likes: the two are told
    /// once in [`limits::NATPUNCH_AGAIN`]. Whether they were.
    pub(super) fn introduce_again(
        &mut self,
        cx: &mut Context<'_>,
        one: Uuid,
        other: Uuid,
        attempt_number: u32,
    ) -> bool {
        self.introduce_owed(cx);
        let is_due = !self.met.is_armed(&in_order(one, other));
        if is_due {
            self.introduce(cx, one, other, attempt_number);
        }
        is_due
    }

    /// The same for two who have to meet in a lobby from now on, and may have forgotten what they were told
    /// of each other before: if they were told a moment ago, they are told again when that time is over.
    pub(super) fn introduce_in_lobby(&mut self, cx: &mut Context<'_>, joiner: Uuid, other: Uuid) {
        if !self.introduce_again(cx, joiner, other, 0)
            && let Some(owed) = self.met.get_mut(&in_order(joiner, other))
        {
            *owed = Some(if joiner < other { Joiner::First } else { Joiner::Second });
        }
    }

    /// Tells those of each other who were told too short a while ago, if they still have to meet.
    pub(super) fn introduce_owed(&mut self, cx: &mut Context<'_>) {
        while let Some(((first, second), owed)) = self.met.take_due(cx.now.instant) {
            let (joiner, other) = match owed {
                None => continue,
                Some(Joiner::First) => (first, second),
                Some(Joiner::Second) => (second, first),
            };
            if self.have_to_meet(joiner, other) {
                self.introduce(cx, joiner, other, 0);
            }
        }
    }

    /// Whether they are together in a lobby, or one joins that of which the other is host.
    fn have_to_meet(&self, joiner: Uuid, other: Uuid) -> bool {
        let Some(client) = self.clients.get(joiner) else { return false };
        client.lobbies.iter().filter_map(|id| self.lobbies.get(*id)).any(|lobby| {
            let are_members = [joiner, other].iter().all(|one| lobby.members.contains(one));
            are_members || lobby.pending.contains(&joiner) && lobby.host() == Some(other)
        })
    }

    /// Whether two were told of each other long enough ago but not too long, and have not met as far as is
    /// known.
    pub(super) fn have_tried(&self, now: Instant, one: Uuid, other: Uuid) -> bool {
        let told = self.told.get(&in_order(one, other));
        let told = told.filter(|told| now - told.last < limits::relay::FAILED);
        told.is_some_and(|told| !told.have_met && now - told.first >= limits::NATPUNCH_TRIED)
    }

    /// Two have met.
    pub(super) fn note_met(&mut self, one: Uuid, other: Uuid) {
        if let Some(told) = self.told.get_mut(&in_order(one, other)) {
            told.have_met = true;
        }
    }

    /// Tells two clients where the other one is, at the relay if that is where they can meet. If its NAT
    /// counts, that is the port that it will have towards the next one it sends to. Each is told by its own node.
    pub(super) fn introduce(
        &mut self,
        cx: &mut Context<'_>,
        one: Uuid,
        other: Uuid,
        attempt_number: u32,
    ) {
        self.note_told(cx.now.instant, in_order(one, other));
        match [one, other].map(|id| self.clients.node_of(id)) {
            [None, None] => self.introduce_here(cx, [one, other], attempt_number),
            [None, Some(node)] => self.ask_to_meet(cx, node, [one, other], (attempt_number, true)),
            [Some(node), None] => self.ask_to_meet(cx, node, [other, one], (attempt_number, false)),
            [Some(node), Some(_)] => self.have_introduced(cx, node, [one, other], attempt_number),
        }
    }

    /// Two are told of each other now.
    pub(super) fn note_told(&mut self, now: Instant, pair: (Uuid, Uuid)) {
        if self.met.len() >= limits::NATPUNCH_PAIRS {
            self.met.take();
        }
        self.met.arm_with(now, pair, None);
        while self.told.take_due(now).is_some() {}
        let before = self.told.remove(&pair);
        if self.told.len() >= limits::NATPUNCH_PAIRS {
            self.told.take();
        }
        let (have_met, failed, away, ports) = (false, false, false, [0; 2]);
        let new = Told { first: now, last: now, have_met, failed, away, ports };
        self.told.arm_with(now, pair, Told { last: now, ..before.unwrap_or(new) });
    }

    fn introduce_here(&mut self, cx: &mut Context<'_>, [one, other]: [Uuid; 2], attempt: u32) {
        match self.relay_at_once(cx, [one, other], attempt) {
            Opened::At(places) => {
                return self.tell_at_relay(cx, [one, other], places, attempt);
            }
            Opened::Asked => return,
            Opened::No => {}
        }
        let at = |id| self.clients.get(id).map(|client| client.endpoint);
        if let (Some(a), Some(b)) = (at(one), at(other)) {
            if a.is_ipv4() != b.is_ipv4() {
                return;
            }
            cx.shared.relay.introduced(cx.now, [a, b]);
        }
        for (whom, who) in [(one, other), (other, one)] {
            if let Some(side) = self.side(cx, who, whom) {
                self.tell_side(cx, whom, (who, side), attempt);
            }
        }
    }

    /// Tells two where each finds the other at a relay.
    pub(super) fn tell_at_relay(
        &self,
        cx: &mut Context<'_>,
        [one, other]: [Uuid; 2],
        [for_one, for_other]: [SocketAddr; 2],
        attempt: u32,
    ) {
        // Both take it for another try.
        let attempt = attempt.saturating_add(1);
        for (whom, who, at) in [(one, other, for_one), (other, one, for_other)] {
            match self.clients.node_of(whom) {
                Some(node) => say_relayed(cx, node, [whom, who], (at, attempt)),
                None => self.instruct(cx, whom, who, (attempt, NatType::Unknown), [at, at]),
            }
        }
    }

    /// Where a client of this node is for another one.
    pub(super) fn side(&self, cx: &mut Context<'_>, who: Uuid, whom: Uuid) -> Option<Side> {
        let (client, other) = (self.clients.get(who)?, self.clients.get(whom)?.endpoint);
        let both = [client.endpoint, other];
        let candidates = Candidates::of(cx, self.public_ips, both, client.proven);
        let local = client.local.filter(|_| may_share_network(client.endpoint, other));
        // Clients read it without looking whether it is there.
        let local = local.unwrap_or(candidates.endpoint);
        cx.shared.diagnostics.told(cx.now, [other; 2], [candidates.endpoint; 2]);
        Some(Side { kind: candidates.kind, at: candidates.best(), local })
    }

    /// Tells a client where another one is.
    pub(super) fn tell_side(
        &mut self,
        cx: &mut Context<'_>,
        whom: Uuid,
        (who, side): (Uuid, Side),
        attempt: u32,
    ) {
        self.note_port(who, whom, side.at.port());
        self.instruct(cx, whom, who, (attempt, nat_type(side.kind)), [side.at, side.local]);
    }

    /// The port at which one of two is, as the other one is told.
    pub(super) fn note_port(&mut self, who: Uuid, whom: Uuid, port: u16) {
        let pair = in_order(who, whom);
        if let Some(told) = self.told.get_mut(&pair) {
            let [first, second] = &mut told.ports;
            *(if who == pair.0 { first } else { second }) = port;
        }
    }

    /// The port at which one of two is, as the other one was told.
    pub(super) fn told_port(&self, [one, other]: [Uuid; 2], who: Uuid) -> Option<u16> {
        let pair = in_order(one, other);
        let [first, second] = self.told.get(&pair)?.ports;
        Some(if who == pair.0 { first } else { second }).filter(|port| *port != 0)
    }

    /// Tells a client where another one is: as it is seen, and as it sees itself.
    pub(super) fn instruct(
        &self,
        cx: &mut Context<'_>,
        whom: Uuid,
        who: Uuid,
        (attempt_number, nat_type): (u32, NatType),
        [public, local]: [SocketAddr; 2],
    ) {
        let instruction = ConnectionInstruction {
            accepted: true,
            client_id: who.to_string(),
            message: String::new(),
            nat_type: nat_type.into(),
            attempt_number,
            public_endpoint: Some(endpoint(public)),
            local_endpoint: Some(endpoint(local)),
        };
        self.tell(whom, Content::ConnectionInstruction(instruction), cx.out);
    }

    /// Somebody cannot meet who is at that endpoint, perhaps as host of a lobby.
    pub(super) fn refuse_family(
        &mut self,
        cx: &mut Context<'_>,
        from: Sender,
        whom: &str,
        join: Join<'_>,
    ) {
        let peer = from.peer;
        let [its, own] = if peer.is_ipv4() { ["IPv6", "IPv4"] } else { ["IPv4", "IPv6"] };
        let why = format!("No way to {whom}: it has {its}, you have {own}");
        // Anybody can send in the name of who has not shown its ID.
        if (from.of.is_some() || self.clients.is_proven(peer))
            && let Some(host) = join.host
            && let Some(before) = self.foreign.say(cx.now.instant)
        {
            warn!(
                dialect = "natpunch", event = "refused", client:% = peer, host:% = host,
                reason = "family";
                "{peer} and {host} cannot meet by natpunch, one has IPv4 and the other IPv6{before}"
            );
        }
        cx.refused(Name::Natpunch, Reason::Family, peer.ip());
        self.refuse_join(cx, from, join, Cause::Family, &why);
    }
}

/// Which of two joins a lobby, if they are owed an introduction: it is made when they may be told of each other
/// again.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) enum Joiner {
    First,
    Second,
}

/// What is known of a NAT, in the words of this dialect, which asks what is let in as well. A server
/// cannot see that; who takes a NAT for the strictest of those that it may be is never wrong.
fn nat_type(kind: Kind) -> NatType {
    match kind {
        Kind::Unknown => NatType::Unknown,
        Kind::Open | Kind::Independent => NatType::PortRestrictedCone,
        Kind::Symmetric | Kind::Sequential => NatType::Symmetric,
    }
}
