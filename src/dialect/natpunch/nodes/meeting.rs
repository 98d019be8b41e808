//! Two clients of two nodes are told of each other. The node that begins asks the other one, and says where its own
//! client is; that one tells its client, and answers where that is. So it takes one round between nodes.
//!
//! The node of the lower ID sees to the relay of two, so that they have one session whichever of both nodes begins.

use std::net::SocketAddr;

use super::super::id::Uuid;
use super::super::introducing::in_order;
use super::super::message::NatType;
use super::super::relaying::Opened;
use super::super::{Join, Natpunch, Sender, say};
use super::message::{Ask, Message, Said};
use super::tell;
use crate::cluster::{NodeId, Whom};
use crate::dialect::{Context, Outbox};
use crate::introductions::unmet::Cause;
use crate::introductions::{is_same_family, plan};
use crate::limits::cluster as bounds;
use crate::nats::Kind;

/// Something that a node was asked.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    node: NodeId,
    /// In case that it has to be asked once more.
    ask: Ask,
}

/// Two whom a node was to introduce: nobody answers that.
#[derive(Clone, Copy, Debug)]
pub(super) struct Introduced {
    pub(super) node: NodeId,
    /// The first is of that node.
    pair: [Uuid; 2],
    attempt: u32,
    failed: bool,
}

impl Introduced {
    fn tell(&self, out: &mut Outbox) {
        let Self { node, pair, attempt, failed } = *self;
        tell(out, Whom::Node(node), &Message::Introduce { pair, attempt, failed });
    }
}

impl Natpunch {
    /// A client of this node and one of another are to be told of each other. `is_client`: it is ours who wants
    /// to meet the other.
    pub(in crate::dialect::natpunch) fn ask_to_meet(
        &mut self,
        cx: &mut Context<'_>,
        node: NodeId,
        pair @ [own, other]: [Uuid; 2],
        (attempt, is_client): (u32, bool),
    ) {
        let (failed, sees_to_relay) = (self.has_failed(pair), self.sees_to_relay(pair));
        if sees_to_relay {
            let roles = if is_client { pair } else { [other, own] };
            match self.relay_at_once(cx, roles, attempt) {
                Opened::At(places) => return self.tell_at_relay(cx, roles, places, attempt),
                Opened::Asked => return,
                Opened::No => {}
            }
        }
        let (Some(ends), Some(side)) = (self.ends(pair), self.side(cx, own, other)) else { return };
        let is_served = cx.shared.relay.serves_anywhere(cx.now, ends.map(|at| at.ip()));
        let has_relay = sees_to_relay && is_served && !failed;
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

    /// A node begins to tell everything, so what it has answered may be lost. One that does so again and again is asked
    /// once in a turn.
    pub(super) fn ask_who_begins(&mut self, cx: &mut Context<'_>, node: NodeId) {
        let before = self.nodes.begun.insert(node, cx.now.instant);
        if before != Some(cx.now.instant) {
            self.ask_once_more(cx, node);
        }
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
        &mut self,
        cx: &mut Context<'_>,
        node: NodeId,
        pair @ [one, other]: [Uuid; 2],
        attempt: u32,
    ) {
        let introduced = Introduced { node, pair, attempt, failed: self.has_failed(pair) };
        introduced.tell(cx.out);
        let all = &mut self.nodes.introduced;
        while all.take_due(cx.now.instant).is_some() {}
        if all.len() >= bounds::WAITING {
            all.take();
        }
        all.arm_with(cx.now.instant, in_order(one, other), introduced);
    }

    /// A node is told everything, so what it was told lately may be lost.
    pub(super) fn have_introduced_once_more(&mut self, cx: &mut Context<'_>, node: NodeId) {
        let all = &mut self.nodes.introduced;
        while all.take_due(cx.now.instant).is_some() {}
        let all = all.keys().filter_map(|pair| all.get(pair));
        all.filter(|introduced| introduced.node == node).for_each(|of| of.tell(cx.out));
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
        if failed {
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
            false => Some(Said::No),
        };
        if let Some(said) = said {
            let (pair, attempt) = (ask.pair, ask.attempt);
            tell(cx.out, Whom::Node(node), &Message::Answer { pair, attempt, said });
        }
    }

    /// None: the answer is given.
    fn meet(&mut self, cx: &mut Context<'_>, node: NodeId, ask: &Ask) -> Option<Said> {
        let [other, own] = ask.pair;
        let Some(ends) = self.ends([own, other]) else { return Some(Said::No) };
        self.note_told(cx.now.instant, in_order(own, other));
        if ask.failed {
            self.note_failed(ask.pair);
        }
        let is_far = !is_same_family(ends[0].ip(), ends[1].ip());
        let kinds: [Kind; 2] = [ask.side.kind, cx.shared.nats.kind(cx.now.instant, ends[0])];
        let is_due = is_far || self.has_failed(ask.pair) || plan::is_hopeless(kinds);
        if self.sees_to_relay(ask.pair) {
            match self.relay(cx, (ask.roles(), ask.attempt), is_due) {
                Opened::At(places) => {
                    self.tell_at_relay(cx, ask.roles(), places, ask.attempt);
                    self.note_asked(cx, node, ask.pair);
                    return None;
                }
                Opened::Asked => return Some(Said::Relay),
                Opened::No => {}
            }
        } else if is_due && ask.has_relay {
            self.note_failed(ask.pair);
            return Some(Said::Relay);
        }
        if is_far {
            return Some(Said::No);
        }
        let Some(side) = self.side(cx, own, other) else { return Some(Said::No) };
        self.note_port(own, other, side.at.port());
        cx.shared.relay.introduced(cx.now, ends);
        // If this node has asked as well, the answer is told, and nothing twice.
        if !self.nodes.asked.is_armed(&in_order(own, other)) {
            self.tell_side(cx, own, (other, ask.side), ask.attempt);
        }
        self.note_asked(cx, node, ask.pair);
        Some(Said::Met(side))
    }

    /// A node answers.
    pub(super) fn handle_answer(
        &mut self,
        cx: &mut Context<'_>,
        node: NodeId,
        pair: [Uuid; 2],
        answer: (u32, Said),
    ) {
        if let (attempt, Said::Relayed(at)) = answer {
            return self.handle_relayed(cx, node, pair, (at, attempt));
        }
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
        match (said, self.ends(pair)) {
            (Said::Met(side), Some(ends)) => {
                cx.shared.relay.introduced(cx.now, ends);
                self.note_port(own, other, ask.side.at.port());
                self.tell_side(cx, own, (other, side), attempt);
                self.note_met_elsewhere(cx, *node, pair);
            }
            (Said::Relay, _) if ask.has_relay => {
                match self.relay(cx, (ask.roles(), attempt), true) {
                    Opened::At(places) => {
                        self.tell_at_relay(cx, ask.roles(), places, attempt);
                        self.note_met_elsewhere(cx, *node, pair);
                    }
                    Opened::Asked => {}
                    // Nobody has a place for them.
                    Opened::No => {
                        self.send_ask(cx, *node, Ask { has_relay: false, ..ask.clone() });
                    }
                }
            }
            // The other node sees to it.
            (Said::Relay, _) => {}
            _ => self.tell_not_found(cx, ask),
        }
    }

    /// Another node tells where a client of this one finds one of its own at a relay.
    fn handle_relayed(
        &mut self,
        cx: &mut Context<'_>,
        node: NodeId,
        pair @ [own, other]: [Uuid; 2],
        (at, attempt): (SocketAddr, u32),
    ) {
        if self.clients.node_of(other) != Some(node)
            || !self.clients.is_own(own)
            || !self.are_of_one_game(pair)
        {
            return;
        }
        let known = in_order(own, other);
        self.note_told(cx.now.instant, known);
        if let Some(told) = self.told.get_mut(&known) {
            (told.failed, told.away) = (true, true);
        }
        self.instruct(cx, own, other, (attempt, NatType::Unknown), [at; 2]);
        if self.nodes.asked.remove(&known).is_some() {
            self.note_met_elsewhere(cx, node, pair);
        }
    }

    /// Whether this node sees to the relay of two of whom one is of another node.
    fn sees_to_relay(&self, [one, other]: [Uuid; 2]) -> bool {
        self.clients.is_own(one.min(other))
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
    pub(in crate::dialect::natpunch) fn has_failed(&self, [one, other]: [Uuid; 2]) -> bool {
        self.told.get(&in_order(one, other)).is_some_and(|told| told.failed)
    }

    pub(in crate::dialect::natpunch) fn note_failed(&mut self, [one, other]: [Uuid; 2]) {
        if let Some(told) = self.told.get_mut(&in_order(one, other)) {
            told.failed = true;
        }
    }

    /// Whether two are relayed, or may be, and another node counts whether that gets them through. That of a client
    /// is told; that of a lobby both of whose clients are elsewhere is not.
    pub(in crate::dialect::natpunch) fn is_away(&self, pair @ [one, other]: [Uuid; 2]) -> bool {
        let is_told = pair.iter().any(|id| self.clients.is_own(*id));
        let told = self.told.get(&in_order(one, other));
        told.is_some_and(|told| if is_told { told.away } else { told.failed })
    }

    /// One of this node was introduced to one of another, who are in no lobby: of those that of the lobby says so.
    fn note_met_elsewhere(&mut self, cx: &Context<'_>, node: NodeId, pair: [Uuid; 2]) {
        let Some([own, other]) = self.ends(pair) else { return };
        if self.lobby_of(pair).is_none() {
            let name = cx.shared.nodes.of(node);
            let line = format_args!("client {own} introduced to client {other} of node {name}");
            say(&mut self.lines, cx, ("introduced", own), line);
        }
    }

    fn note_asked(&mut self, cx: &Context<'_>, node: NodeId, pair: [Uuid; 2]) {
        let Some([other, own]) = self.ends(pair) else { return };
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
