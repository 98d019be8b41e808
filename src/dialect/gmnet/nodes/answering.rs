//! Clients of other nodes who ask for a host of this one. Their node knows their ports; here the host is told of
//! them, as soon as it can be, and their node what they are to be told.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use log::info;
use smallvec::SmallVec;

use super::super::Gmnet;
use super::super::data::Data;
use super::super::names::Named;
use super::super::notices::News;
use super::super::request::Request;
use super::super::slot::HostKey;
use super::message::{Ask, Message, Said};
use super::tell;
use crate::clock::{Instant, earliest};
use crate::cluster::{NodeId, Whom};
use crate::dialect::{ConnId, Context, Name};
use crate::hash::Map;
use crate::introductions::journal::Shown;
use crate::introductions::plan;
use crate::limits::{self, cluster as bounds};
use crate::refusals::Reason;
use crate::timers::Timers;

/// A question of a node.
type AskId = (NodeId, u64);

/// The questions of other nodes.
#[derive(Debug)]
pub(super) struct Answering {
    waiting: Map<AskId, Waiting>,
    /// Those for the hosts of each address.
    by_addr: Map<IpAddr, SmallVec<[AskId; 2]>>,
    /// When they have waited long enough.
    due: BTreeSet<(Instant, AskId)>,
    /// What was answered lately, and of which host, in case that it got lost.
    given: Timers<AskId, (ConnId, Said)>,
}

#[derive(Debug)]
struct Waiting {
    ask: Ask,
    until: Instant,
    addr: IpAddr,
}

impl Default for Answering {
    fn default() -> Self {
        Self {
            waiting: Map::default(),
            by_addr: Map::default(),
            due: BTreeSet::new(),
            // As long as the question may come again: its node may lose this one meanwhile, and ask anew when it is back.
            given: Timers::new(2 * bounds::ANSWER_WAIT + limits::LATE_HOST),
        }
    }
}

impl Answering {
    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len() + self.by_addr.len()
    }

    pub(super) fn next_wakeup(&self) -> Option<Instant> {
        earliest([self.due.first().map(|(at, _)| *at), self.given.next()])
    }

    /// A node waits for nothing any more.
    pub(super) fn forget(&mut self, node: NodeId) {
        let of_node = self.waiting.keys().filter(|(of, _)| *of == node);
        let all: Vec<AskId> = of_node.copied().collect();
        all.into_iter().for_each(|id| _ = self.remove(id));
    }

    fn add(&mut self, id: AskId, ask: Ask, addr: IpAddr, until: Instant) {
        self.waiting.insert(id, Waiting { ask, until, addr });
        self.by_addr.entry(addr).or_default().push(id);
        self.due.insert((until, id));
    }

    fn remove(&mut self, id: AskId) -> Option<Ask> {
        let Waiting { ask, until, addr } = self.waiting.remove(&id)?;
        self.due.remove(&(until, id));
        if let Some(ids) = self.by_addr.get_mut(&addr) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.by_addr.remove(&addr);
            }
        }
        Some(ask)
    }
}

impl Gmnet {
    /// A client of another node asks for a host.
    pub(super) fn answer_node(&mut self, cx: &mut Context<'_>, node: NodeId, ask: Ask) {
        let id = (node, ask.id);
        if !ask.is_valid() {
            return;
        }
        // By one number it may ask for another host, as that has come to be meant.
        let waiting = self.nodes.answering.waiting.get(&id);
        match waiting.map(|waiting| waiting.ask.host == ask.host) {
            Some(true) => return,
            Some(false) => _ = self.nodes.answering.remove(id),
            None => {}
        }
        let given = self.nodes.answering.given.get(&id).copied();
        if let Some((_, said)) = given.filter(|(host, _)| *host == ask.host) {
            return tell(cx, Whom::Node(node), &Message::<&Data>::Answer { id: ask.id, said });
        }
        let key = self.host_of(&ask);
        let addr = key.and_then(|key| self.hosts.get(key)).map_or(ask.at.ip(), |host| host.addr);
        let (conn, client) = (NO_CONNECTION, ask.client.ip());
        let request = Request { conn, client, host: addr, port: None, was_there: true };
        self.ask_before_introduction(cx, &request, key);
        let is_full = self.nodes.answering.waiting.len() >= bounds::WAITING;
        match self.try_to_answer(cx, node, &ask, is_full || self.is_stopping) {
            Some(said) => self.give(cx, id, (ask.host, said)),
            None => {
                // Its knock is waited for in any case.
                let patience = Duration::from_millis(ask.patience.into());
                let patience = patience.clamp(limits::KNOCK_WAIT, limits::INTRODUCTION_WAIT);
                let until = cx.now.instant + patience;
                self.nodes.answering.add(id, ask, addr, until);
            }
        }
    }

    /// Something has changed about the hosts of an address.
    pub(in crate::dialect::gmnet) fn retry_to_answer(
        &mut self,
        cx: &mut Context<'_>,
        addr: IpAddr,
    ) {
        let Some(ids) = self.nodes.answering.by_addr.get(&addr).cloned() else { return };
        ids.into_iter().for_each(|id| self.retry_ask(cx, id, false));
    }

    /// Answers those that have waited for long enough.
    pub(super) fn answer_late(&mut self, cx: &mut Context<'_>) {
        while self.nodes.answering.given.take_due(cx.now.instant).is_some() {}
        for _ in 0..bounds::ANSWERED_AT_ONCE {
            let first = self.nodes.answering.due.first().copied();
            let Some((_, id)) = first.filter(|(until, _)| *until <= cx.now.instant) else { break };
            self.retry_ask(cx, id, true);
        }
    }

    /// Answers all, with what is known.
    pub(in crate::dialect::gmnet) fn answer_all(&mut self, cx: &mut Context<'_>) {
        while let Some((_, id)) = self.nodes.answering.due.first().copied() {
            self.retry_ask(cx, id, true);
        }
    }

    fn retry_ask(&mut self, cx: &mut Context<'_>, id: AskId, is_last_try: bool) {
        let Some(ask) = self.nodes.answering.waiting.get(&id).map(|waiting| waiting.ask.clone())
        else {
            return;
        };
        if let Some(said) = self.try_to_answer(cx, id.0, &ask, is_last_try) {
            self.nodes.answering.remove(id);
            self.give(cx, id, (ask.host, said));
        }
    }

    fn give(&mut self, cx: &mut Context<'_>, (node, id): AskId, (host, said): (ConnId, Said)) {
        let given = &mut self.nodes.answering.given;
        if given.len() >= bounds::ANSWERS {
            given.take();
        }
        given.arm_with(cx.now.instant, (node, id), (host, said));
        // It may have come back just now, and nobody is told of a host that his node does not know.
        if said != Said::No {
            self.tell_changes(cx);
        }
        tell(cx, Whom::Node(node), &Message::<&Data>::Answer { id, said });
    }

    /// The host that is asked for: it may have come back by another connection.
    fn host_of(&self, ask: &Ask) -> Option<HostKey> {
        let port = Some(ask.at.port()).filter(|port| *port != 0);
        let same = self.conns.get(ask.host).and_then(|conn| conn.host);
        // A process that has begun anew may have given that connection to another host.
        let is_it = |key: &HostKey| self.hosts.get(*key).is_some_and(|h| h.addr == ask.at.ip());
        same.filter(is_it).or_else(|| self.hosts.find(ask.at.ip(), port))
    }

    /// Tells the host of the client, if all is known. None: not yet.
    fn try_to_answer(
        &mut self,
        cx: &mut Context<'_>,
        node: NodeId,
        ask: &Ask,
        is_last_try: bool,
    ) -> Option<Said> {
        let found = self.host_of(ask);
        let Some((key, host)) = found.and_then(|key| Some((key, self.hosts.get(key)?))) else {
            let expected = self.ports.is_host_expected(cx.now.instant, ask.at.ip())
                || self.is_just_restarted(cx.now);
            return if expected && !is_last_try { None } else { Some(Said::No) };
        };
        let (conn, port) = (host.conn, host.port);
        let can_be_told = self.notices.has_room(conn, ask.client.ip());
        let is_settled = port.is_some() && !self.port_probes.is_awaited(conn);
        if !is_last_try && (!is_settled || !can_be_told) {
            return None;
        }
        let is_known = !ask.ports.is_empty();
        let other = self.seen_elsewhere(cx, ask, key).filter(|_| port.is_none());
        let is_direct = port.is_some() && is_known && !self.is_hopeless_for(cx, ask, key);
        if !is_direct && other.is_none() && ask.has_relay {
            return Some(Said::RelayYours);
        }
        let first = ask.ports.first().filter(|_| can_be_told);
        let knocks = first.map(|port| SocketAddr::new(ask.client.ip(), *port));
        let said = match (port, other) {
            (Some(port), _) => {
                let port = self.told_port(cx, key, port, ask.client, |_, _| ask.ports.len());
                Said::Met { at: SocketAddr::new(ask.at.ip(), port), elsewhere: false, knocks }
            }
            (None, Some(at)) => Said::Met { at, elsewhere: true, knocks },
            (None, None) => Said::NoPort,
        };
        if let Some(knocks) = knocks {
            self.send_to_client(cx, key, ask, (said, knocks));
        }
        self.note_asked(cx, node, ask, key);
        Some(said)
    }

    /// Tells a host where to knock.
    fn send_to_client(
        &mut self,
        cx: &mut Context<'_>,
        key: HostKey,
        ask: &Ask,
        (said, knocks): (Said, SocketAddr),
    ) {
        let Some(host) = self.hosts.get(key) else { return };
        let (conn, at) = (host.conn, host.port.map(|port| SocketAddr::new(host.addr, port)));
        let endpoints = ask.ports.iter().map(|port| SocketAddr::new(ask.client.ip(), *port));
        self.tell_all(cx, conn, endpoints.map(News::from));
        if let (Said::Met { at: for_client, elsewhere: false, .. }, Some(at)) = (said, at) {
            cx.introduced([ask.client, at], [for_client, knocks]);
        }
    }

    fn note_asked(&mut self, cx: &Context<'_>, node: NodeId, ask: &Ask, key: HostKey) {
        if !self.lines.says(cx.now, ask.client.ip()) {
            return;
        }
        let Some(host) = self.hosts.get(key) else { return };
        let (client, name) = (Shown(ask.client), cx.shared.nodes.of(node));
        info!(
            dialect = "gmnet", event = "asked", client:% = client, host:% = host.at(),
            game = host.game(), node = name;
            "{client} of node {name} asked for host {}", Named(host)
        );
    }

    fn is_hopeless_for(&self, cx: &Context<'_>, ask: &Ask, key: HostKey) -> bool {
        let Some(host) = self.hosts.get(key) else { return false };
        let at = SocketAddr::new(host.addr, host.port.unwrap_or_default());
        let kinds = [ask.kind, cx.shared.nats.kind(cx.now.instant, at)];
        ask.failed || plan::is_hopeless(kinds)
    }

    /// Where a host without a port most likely is, if its UDP leaves by another address and the client may be told.
    fn seen_elsewhere(&self, cx: &mut Context<'_>, ask: &Ask, key: HostKey) -> Option<SocketAddr> {
        let asker = SocketAddr::new(ask.client.ip(), 0);
        let at = self.unpaired_reg(key)?;
        cx.shared.unproven.may_tell_asker(cx.now.instant, at, asker).then_some(at)
    }

    /// A host with this address is to knock at the relay of another node.
    pub(super) fn send_to_relay(
        &mut self,
        cx: &mut Context<'_>,
        (conn, addr): (ConnId, Option<IpAddr>),
        news: News,
    ) {
        let host = self.conns.get(conn).and_then(|conn| self.hosts.get(conn.host?));
        let is_it = host.is_some_and(|host| addr.is_none_or(|addr| addr == host.addr));
        if !is_it || news.client.port() == 0 {
            return;
        }
        if self.notices.has_room(conn, news.source()) {
            self.tell_all(cx, conn, [news].into_iter());
        } else {
            cx.refused(Name::Gmnet, Reason::Relay, news.source());
        }
    }
}

/// The client has one at another node.
const NO_CONNECTION: ConnId = ConnId { slot: u32::MAX, generation: u32::MAX };
