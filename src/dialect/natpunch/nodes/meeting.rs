//! Two clients of two nodes are told of each other. The node that begins asks the other one, and says where its own
//! client is; that one tells its client, and answers where that is. So it takes one round between nodes.

use std::net::SocketAddr;

use super::super::id::Uuid;
use super::super::introducing::in_order;
use super::super::message::NatType;
use super::super::relaying::session;
use super::super::{Join, Natpunch, Sender, say};
use super::message::{Ask, Message, Said};
use super::tell;
use crate::cluster::{NodeId, Whom};
use crate::dialect::Context;
use crate::introductions::plan;
use crate::introductions::unmet::Cause;
use crate::limits::cluster as bounds;
use crate::nats::Kind;

/// Something that a node was asked.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    node: NodeId,
    /// In case that it has to be asked once more.
    ask: Ask,
}

impl Natpunch {
    /// A client of this node and one of another are to be told of each other. `is_client`: it is ours who wants
    /// to meet the other. The relay of the client's node comes before that of the host's.
    pub(in crate::dialect::natpunch) fn ask_to_meet(
        &mut self,
        cx: &mut Context<'_>,
        node: NodeId,
        pair @ [own, other]: [Uuid; 2],
        (attempt, is_client): (u32, bool),
    ) {
        let Some(both) = self.both(pair).map(|both| both.map(|client| client.endpoint)) else {
            return;
        };
        let (failed, away) = (self.has_failed(pair), self.is_relayed_elsewhere(pair));
        let is_first = is_client && !away;
        if is_first && failed {
            self.open_session(cx, pair, self.lobby_of(pair).unwrap_or_default());
        }
        let places = if is_first { self.relay_at_once(cx, pair) } else { session(cx, both) };
        if let Some(places) = places {
            return self.tell_at_relay(cx, pair, places, attempt);
        }
        let has_relay = !(is_first && failed) && cx.shared.relay.serves(both.map(|at| at.ip()));
        let Some(side) = self.side(cx, own, other) else { return };
        let ask = Ask { pair, attempt, side, is_client, failed, has_relay };
        self.send_ask(cx, node, ask);
    }

    fn send_ask(&mut self, cx: &mut Context<'_>, node: NodeId, ask: Ask) {
        let asked = &mut self.nodes.asked;
        if asked.len() >= bounds::WAITING {
            asked.take();
        }
        let [one, other] = ask.pair;
        tell(cx.out, Whom::Node(node), &Message::Ask(ask.clone()));
        asked.arm_with(cx.now.instant, in_order(one, other), Asked { node, ask });
    }

    /// What a node was asked may be lost.
    pub(super) fn ask_once_more(&mut self, cx: &mut Context<'_>, node: NodeId) {
        let all = self.nodes.asked.keys().filter_map(|pair| self.nodes.asked.get(pair));
        let asks = all.filter(|asked| asked.node == node).map(|asked| asked.ask.clone());
        let mut asks: Vec<Ask> = asks.collect();
        asks.sort_unstable_by_key(|ask| ask.pair);
        for ask in asks {
            tell(cx.out, Whom::Node(node), &Message::Ask(ask));
        }
    }

    /// Nodes that do not answer are not waited for any more.
    pub(super) fn give_asks_up(&mut self, cx: &mut Context<'_>) {
        while let Some((_, asked)) = self.nodes.asked.take_due(cx.now.instant) {
            self.conclude(cx, &asked, (asked.ask.attempt, Said::No));
        }
    }

    /// A node is gone, and answers nothing any more.
    pub(super) fn end_asks_of(&mut self, cx: &mut Context<'_>, node: NodeId) {
        let mut all: Vec<_> = self.nodes.asked.keys().copied().collect();
        all.sort_unstable();
        for pair in all {
            if self.nodes.asked.get(&pair).is_some_and(|asked| asked.node == node)
                && let Some(asked) = self.nodes.asked.remove(&pair)
            {
                self.conclude(cx, &asked, (asked.ask.attempt, Said::No));
            }
        }
    }

    /// The other node of two clients is to introduce them.
    pub(in crate::dialect::natpunch) fn have_introduced(
        &self,
        cx: &mut Context<'_>,
        node: NodeId,
        pair: [Uuid; 2],
        attempt: u32,
    ) {
        let failed = self.has_failed(pair);
        tell(cx.out, Whom::Node(node), &Message::Introduce { pair, attempt, failed });
    }

    /// The node of a lobby has two introduced, the first of whom is of this one.
    pub(super) fn introduce_for(
        &mut self,
        cx: &mut Context<'_>,
        pair @ [one, other]: [Uuid; 2],
        attempt: u32,
        failed: bool,
    ) {
        if !self.clients.is_own(one) || !self.are_of_one_game(pair) {
            return;
        }
        self.note_told(cx.now.instant, in_order(one, other));
        if failed && self.clients.is_own(other) {
            self.open_session(cx, pair, self.lobby_of(pair).unwrap_or_default());
        } else if failed {
            self.note_failed(pair);
        }
        self.introduce(cx, one, other, attempt);
    }

    /// Another node asks where one of this one is for one of its own.
    pub(super) fn answer_node(&mut self, cx: &mut Context<'_>, node: NodeId, ask: &Ask) {
        let [other, own] = ask.pair;
        let are_there = self.clients.is_own(own) && self.clients.node_of(other) == Some(node);
        let said = match are_there && self.are_of_one_game(ask.pair) {
            true => self.meet(cx, node, ask),
            false => Said::No,
        };
        let (pair, attempt) = (ask.pair, ask.attempt);
        tell(cx.out, Whom::Node(node), &Message::Answer { pair, attempt, said });
    }

    fn meet(&mut self, cx: &mut Context<'_>, node: NodeId, ask: &Ask) -> Said {
        let [other, own] = ask.pair;
        let Some(ends) = self.both([own, other]).map(|both| both.map(|client| client.endpoint))
        else {
            return Said::No;
        };
        self.note_told(cx.now.instant, in_order(own, other));
        if ask.failed {
            self.note_failed(ask.pair);
        }
        let is_far = ends[0].is_ipv4() != ends[1].is_ipv4();
        let kinds: [Kind; 2] = [ask.side.kind, cx.shared.nats.kind(cx.now.instant, ends[0])];
        let is_relayed = session(cx, ends).is_some();
        if is_relayed || is_far || self.has_failed(ask.pair) || plan::is_hopeless(kinds) {
            if !is_relayed && ask.has_relay && ask.is_client {
                return Said::RelayYours;
            }
            self.open_session(cx, ask.roles(), self.lobby_of(ask.pair).unwrap_or_default());
            if let Some([for_own, for_other]) = session(cx, ends) {
                self.tell_one_at_relay(cx, [own, other], for_own, ask.attempt);
                self.note_asked(cx, node, ask.pair);
                return Said::Relayed(for_other);
            }
            if ask.has_relay {
                return Said::RelayYours;
            }
            if is_far {
                return Said::No;
            }
        }
        let Some(side) = self.side(cx, own, other) else { return Said::No };
        self.note_port(own, other, side.at.port());
        cx.shared.relay.introduced(cx.now, ends);
        // If this node has asked as well, the answer is told, and nothing twice.
        if !self.nodes.asked.is_armed(&in_order(own, other)) {
            self.tell_side(cx, own, (other, ask.side), ask.attempt);
        }
        self.note_asked(cx, node, ask.pair);
        Said::Met(side)
    }

    /// A node answers.
    pub(super) fn hear_answer(
        &mut self,
        cx: &mut Context<'_>,
        node: NodeId,
        pair: [Uuid; 2],
        answer: (u32, Said),
    ) {
        let known = in_order(pair[0], pair[1]);
        let is_it = |asked: &Asked| asked.node == node && asked.ask.pair == pair;
        if self.nodes.asked.get(&known).is_some_and(is_it)
            && let Some(asked) = self.nodes.asked.remove(&known)
        {
            self.conclude(cx, &asked, answer);
        }
    }

    fn conclude(&mut self, cx: &mut Context<'_>, asked: &Asked, (attempt, said): (u32, Said)) {
        let Asked { node, ask } = asked;
        let pair @ [own, other] = ask.pair;
        let ends = self.both(pair).map(|both| both.map(|client| client.endpoint));
        match (said, ends) {
            (Said::Met(side), Some(ends)) => {
                cx.shared.relay.introduced(cx.now, ends);
                self.note_port(own, other, ask.side.at.port());
                self.tell_side(cx, own, (other, side), attempt);
                self.note_met_elsewhere(cx, *node, pair);
            }
            (Said::Relayed(at), Some(_)) => {
                if let Some(told) = self.told.get_mut(&in_order(own, other)) {
                    told.away = true;
                }
                self.tell_one_at_relay(cx, pair, at, attempt);
                self.note_met_elsewhere(cx, *node, pair);
            }
            (Said::RelayYours, Some(ends)) if ask.has_relay => {
                self.open_session(cx, ask.roles(), self.lobby_of(pair).unwrap_or_default());
                match session(cx, ends) {
                    Some(places) => {
                        self.tell_at_relay(cx, pair, places, attempt);
                        self.note_met_elsewhere(cx, *node, pair);
                    }
                    // It has no place for them.
                    None => {
                        let ask = Ask { has_relay: false, ..ask.clone() };
                        self.send_ask(cx, *node, ask);
                    }
                }
            }
            _ => self.tell_not_found(cx, ask),
        }
    }

    fn tell_one_at_relay(
        &self,
        cx: &mut Context<'_>,
        [own, other]: [Uuid; 2],
        at: SocketAddr,
        attempt: u32,
    ) {
        let told = (attempt.saturating_add(1), NatType::Unknown);
        self.instruct(cx, own, other, told, [at; 2]);
    }

    /// Tells the node of the second of two that this one relays them, and where.
    pub(in crate::dialect::natpunch) fn tell_relayed(
        &self,
        cx: &mut Context<'_>,
        node: NodeId,
        pair: [Uuid; 2],
        (at, attempt): (SocketAddr, u32),
    ) {
        tell(cx.out, Whom::Node(node), &Message::AtRelay { pair, attempt, at });
    }

    /// Another node relays one of its own and one of this one.
    pub(super) fn hear_relayed(
        &mut self,
        cx: &mut Context<'_>,
        node: NodeId,
        pair @ [other, own]: [Uuid; 2],
        (at, attempt): (SocketAddr, u32),
    ) {
        if self.clients.node_of(other) != Some(node)
            || !self.clients.is_own(own)
            || !self.are_of_one_game(pair)
        {
            return;
        }
        self.note_told(cx.now.instant, in_order(own, other));
        if let Some(told) = self.told.get_mut(&in_order(own, other)) {
            (told.failed, told.away) = (true, true);
        }
        self.instruct(cx, own, other, (attempt, NatType::Unknown), [at; 2]);
    }

    fn is_relayed_elsewhere(&self, [one, other]: [Uuid; 2]) -> bool {
        self.told.get(&in_order(one, other)).is_some_and(|told| told.away)
    }

    /// One who asked for another is told that it is not there.
    fn tell_not_found(&mut self, cx: &mut Context<'_>, ask: &Ask) {
        let [own, other] = ask.pair;
        let is_own = self.clients.is_own(own) && self.lobby_of(ask.pair).is_none();
        let Some(client) = self.clients.get(own).filter(|_| is_own && ask.is_client) else {
            return;
        };
        let from = Sender { via: client.via, peer: client.endpoint, of: None };
        let wanted = other.to_string();
        let why = format!("Destination client {wanted} not found");
        self.refuse_join(cx, from, Join::nobody(&wanted), Cause::NotFound, &why);
    }

    fn are_of_one_game(&self, pair: [Uuid; 2]) -> bool {
        self.both(pair).is_some_and(|[one, other]| one.game == other.game)
    }

    /// Whether two did not get through lately.
    fn has_failed(&self, [one, other]: [Uuid; 2]) -> bool {
        self.told.get(&in_order(one, other)).is_some_and(|told| told.failed)
    }

    fn note_failed(&mut self, [one, other]: [Uuid; 2]) {
        if let Some(told) = self.told.get_mut(&in_order(one, other)) {
            told.failed = true;
        }
    }

    /// Whether two are relayed by another node, as far as this one knows.
    pub(in crate::dialect::natpunch) fn is_away(&self, pair: [Uuid; 2]) -> bool {
        pair.iter().any(|id| !self.clients.is_own(*id)) && self.has_failed(pair)
    }

    /// Whether there is a relay for two of whom one is of another node.
    pub(in crate::dialect::natpunch) fn may_be_relayed(
        &self,
        cx: &Context<'_>,
        pair: [Uuid; 2],
    ) -> bool {
        let Some(both) = self.both(pair) else { return false };
        let addrs = both.map(|client| client.endpoint.ip());
        pair.iter().any(|id| match self.clients.node_of(*id) {
            None => cx.shared.relay.serves(addrs),
            Some(node) => self.nodes.relays.get(&node).is_some_and(|[v4, v6]| {
                addrs.iter().all(|addr| if addr.is_ipv4() { *v4 } else { *v6 })
            }),
        })
    }

    /// Two who did not get through are to be relayed from now on. False: they are already, or cannot be.
    pub(in crate::dialect::natpunch) fn wants_relay(
        &mut self,
        cx: &mut Context<'_>,
        pair: [Uuid; 2],
        lobby: &str,
    ) -> bool {
        if pair.iter().all(|id| self.clients.is_own(*id)) {
            return self.open_session(cx, pair, lobby);
        }
        if self.has_failed(pair) || !self.may_be_relayed(cx, pair) {
            return false;
        }
        self.note_failed(pair);
        true
    }

    /// One of this node was introduced to one of another, who are in no lobby: of those that of the lobby says so.
    fn note_met_elsewhere(&mut self, cx: &Context<'_>, node: NodeId, pair: [Uuid; 2]) {
        let Some([own, other]) = self.both(pair).map(|both| both.map(|client| client.endpoint))
        else {
            return;
        };
        if self.lobby_of(pair).is_none() {
            let name = cx.shared.nodes.of(node);
            let line = format_args!("client {own} introduced to client {other} of node {name}");
            say(&mut self.lines, cx, ("introduced", own), line);
        }
    }

    fn note_asked(&mut self, cx: &Context<'_>, node: NodeId, pair: [Uuid; 2]) {
        let Some([other, own]) = self.both(pair).map(|both| both.map(|client| client.endpoint))
        else {
            return;
        };
        if self.lobby_of(pair).is_none() {
            let name = cx.shared.nodes.of(node);
            let line = format_args!("client {other} of node {name} asked for client {own}");
            say(&mut self.lines, cx, ("asked", other), line);
        }
    }
}

impl Ask {
    /// The client and the host.
    fn roles(&self) -> [Uuid; 2] {
        let [asks, is_asked] = self.pair;
        if self.is_client { [asks, is_asked] } else { [is_asked, asks] }
    }
}
