//! Introductions: a client asks for a host, and each is told where the other is. If a UDP packet
//! is not here yet, or the host is just coming back, the request waits for it (in [`waiting`]).
//!
//! [`waiting`]: super::waiting

use std::net::{IpAddr, SocketAddr};

use super::attempts::Two;
use super::command::Go;
use super::hosts::newest;
use super::ports::Likely;
use super::request::{Outcome, Request, parse_target};
use super::slot::HostKey;
use super::waiting::WaitId;
use super::{Gmnet, MASTER_NOTFOUND};
use crate::clock::{Instant, Now};
use crate::dialect::{ConnId, Context};
use crate::introductions::candidates::ports_to_knock_at;
use crate::introductions::{is_inside, is_same_family};
use crate::limits;
use crate::prefixes::network;

impl Gmnet {
    /// A client asks for the host at an address.
    pub(super) fn connect(&mut self, cx: &mut Context<'_>, id: ConnId, text: &str) -> Go {
        let Some(conn) = self.conns.get(id) else { return Go::Stop };
        let client = conn.addr;
        let Some((host, port)) = parse_target(text) else {
            self.note_no_address(cx, client, text);
            self.answer(cx, id, |bytes, _| bytes.push(MASTER_NOTFOUND));
            return Go::On;
        };
        let request = Request { conn: id, client, host, port, was_there: false };
        let found = self.find(cx.now, &request);
        let request = Request { was_there: found.is_some(), ..request };
        self.ask_before_introduction(cx, &request, found);
        match self.outcome(cx.now, &request, found, self.is_stopping) {
            Outcome::Wait => {
                if let Some(other) = self.introductions.eviction_candidate(&request) {
                    // All that wait for the host were looked at.
                    self.work_queue.spend(limits::WAITING_PER_HOST * limits::HOST_WORK);
                    self.retry(cx, other, true);
                }
                self.unpaired_connects.lacks(cx.now.instant, id, client);
                let wait = self.introductions.add(cx.now.instant, request, text);
                if let Some(conn) = self.conns.get_mut(id) {
                    conn.waiting = Some(wait);
                }
                self.ask_node(cx, wait, false);
                Go::Stop
            }
            outcome => {
                self.conclude(cx, &request, text, outcome);
                if self.conns.get(id).is_some_and(|conn| conn.is_asking) {
                    Go::Stop
                } else {
                    Go::On
                }
            }
        }
    }

    /// A UDP packet of a client came: do requests that wait for it go on? Where there are many that is seen when
    /// all datagrams have been read, which may be as many of one client.
    pub(super) fn retry_for_client_soon(&mut self, cx: &mut Context<'_>, client: IpAddr) {
        let client = network(client);
        if self.introductions.of_client(client).len() <= limits::RETRIED_AT_ONCE {
            self.retry_for_client(cx, client);
        } else if !self.heard.contains(&client) {
            self.heard.insert(client);
        }
    }

    /// Does that for those with many, as far as a turn goes, each once.
    pub(super) fn retry_for_heard(&mut self, cx: &mut Context<'_>) {
        self.work_queue.begin(cx.now.instant);
        while !self.work_queue.is_slice_spent()
            && let Some(client) = self.heard.pop_front()
        {
            self.retry_for_client(cx, client);
        }
    }

    fn retry_for_client(&mut self, cx: &mut Context<'_>, client: IpAddr) {
        for id in self.introductions.of_client(client) {
            self.retry(cx, id, false);
        }
    }

    /// Something changed about a host: do requests that wait for it go on?
    pub(super) fn retry_for_host(&mut self, cx: &mut Context<'_>, host: IpAddr) {
        // Who is inside may have been asked for by the address that those outside know.
        let outside = self.config.public_ips.like(host).filter(|_| is_inside(host));
        for addr in [Some(host), outside].into_iter().flatten() {
            for id in self.introductions.for_host(addr) {
                self.retry(cx, id, false);
            }
        }
        self.retry_to_answer(cx, host);
    }

    /// Answers those that have waited long enough, if there are many not all in one turn.
    pub(super) fn time_out_introductions(&mut self, cx: &mut Context<'_>) {
        const AT_ONCE: usize = limits::TURN_WORK / limits::COMMAND_WORK;
        for _ in 0..AT_ONCE {
            let Some(id) = self.introductions.returns.pop_due(cx.now.instant) else { break };
            self.retry(cx, id, false);
        }
        for _ in 0..AT_ONCE {
            let Some(id) = self.introductions.deadlines.pop_due(cx.now.instant) else { break };
            // One whose node is gone has a little longer.
            let is_late = self.introductions.late.is_armed(&id);
            if is_late || self.may_come_back(cx.now, id) || self.ask_node(cx, id, true) {
                self.introductions.deadlines.arm(cx.now.instant, id);
            } else if self.is_host_being_asked(cx.now, id) {
                self.introductions.late.arm(cx.now.instant, id);
            } else {
                self.retry(cx, id, true);
            }
        }
        for _ in 0..AT_ONCE {
            let Some(id) = self.introductions.late.pop_due(cx.now.instant) else { break };
            self.retry(cx, id, true);
        }
        for _ in 0..AT_ONCE {
            let Some(id) = self.introductions.answers.pop_due(cx.now.instant) else { break };
            self.give_node_up(cx, id);
        }
    }

    /// Answers all that wait, with what is known.
    pub(super) fn end_all_introductions(&mut self, cx: &mut Context<'_>) {
        for id in self.introductions.all() {
            self.retry(cx, id, true);
        }
    }

    /// Whether a request waits for a host that may not have noticed yet that this server was
    /// restarted.
    fn may_come_back(&self, now: Now, id: WaitId) -> bool {
        let waiting = self.introductions.get(id);
        self.is_just_restarted(now) && waiting.is_some_and(|w| self.find(now, &w.request).is_none())
    }

    /// Whether a request waits for a host that has come so late that it is only asked for its port now.
    fn is_host_being_asked(&self, now: Now, id: WaitId) -> bool {
        let key = self.introductions.get(id).and_then(|w| self.find(now, &w.request));
        let host = key.and_then(|key| self.hosts.get(key));
        host.is_some_and(|h| h.port.is_none() && self.port_probes.is_being_asked(h.conn))
    }

    pub(super) fn is_just_restarted(&self, now: Now) -> bool {
        now.instant.since(Instant::default()) < self.config.start_wait
    }

    fn retry(&mut self, cx: &mut Context<'_>, id: WaitId, is_last_try: bool) {
        let Some(request) = self.introductions.get(id).map(|w| w.request) else { return };
        let found = self.find(cx.now, &request);
        let outcome = self.outcome(cx.now, &request, found, is_last_try);
        match outcome {
            Outcome::Wait => {
                // Some microseconds, in which all hosts at the address may have been looked at.
                let looked_at = 8 + self.hosts.all_at(request.host).len();
                self.work_queue.spend(looked_at * limits::HOST_WORK);
                self.ask_node(cx, id, false);
                return;
            }
            // Its node knows whether it may come back.
            Outcome::NotFound if !is_last_try && self.is_node_being_asked(id) => return,
            _ => {}
        }
        let Some(waiting) = self.introductions.remove(id) else { return };
        self.work_queue.spend(limits::COMMAND_WORK);
        if let Some(conn) = self.conns.get_mut(request.conn) {
            conn.waiting = None;
            self.resumed.push_back(request.conn);
        }
        self.conclude(cx, &request, &waiting.text, outcome);
    }

    /// Finds out what can be said, if this host is asked for. A client's packet is used up only if it
    /// is said.
    fn outcome(
        &mut self,
        now: Now,
        request: &Request,
        found: Option<HostKey>,
        is_last_try: bool,
    ) -> Outcome {
        let is_apart = |addr| !is_same_family(request.client, addr);
        if is_apart(request.host) && found.is_none() {
            return Outcome::NotFound;
        }
        let Some(key) = found else {
            let expected = self.ports.is_host_expected(now.instant, request.host)
                || self.hosts.is_expected(now.instant, request.host)
                || self.is_just_restarted(now);
            return if expected && !is_last_try { Outcome::Wait } else { Outcome::NotFound };
        };
        let Some(host) = self.hosts.any(key) else { return Outcome::NotFound };
        if is_apart(host.addr) {
            return Outcome::OtherFamily(key);
        }
        if key.place_elsewhere().is_some() {
            // Its node answers, which is asked as long as the client waits.
            return if is_last_try { Outcome::NotFound } else { Outcome::Wait };
        }
        let client = self.config.public_ips.told(request.client, host.addr);
        let can_be_told = self.notices.has_room(host.conn, client);
        let is_settled = host.port.is_some() && !self.port_probes.is_awaited(host.conn);
        if !is_last_try && (!is_settled || !can_be_told) {
            return Outcome::Wait;
        }
        let host_port = host.port;
        let likely = self.claim_ports(now, request, is_last_try);
        let client_port = likely.best().filter(|_| can_be_told);
        match (host_port, client_port) {
            (Some(_), None) if !is_last_try => Outcome::Wait,
            (Some(port), client_port) => Outcome::Found(key, port, client_port),
            (None, client_port) => match self.unpaired_reg(key) {
                Some(at) => Outcome::Elsewhere(key, at, client_port),
                None => Outcome::HostWithoutPort(key, client_port),
            },
        }
    }

    /// The ports that may be those which a client has shown for its request, or for one before.
    pub(super) fn claim_ports(&mut self, now: Now, request: &Request, is_last_try: bool) -> Likely {
        let Some(conn) = self.conns.get_mut(request.conn) else { return Likely::default() };
        // It is the last command that was complete.
        let (client, asked) = (request.client, conn.times.progress);
        let is_later = conn.times.answered > Instant::default();
        let newer = is_later.then(|| {
            self.ports.claim_newer_connect(now.instant, client, conn.times.answered, asked)
        });
        let (newer, is_sure) = newer.unwrap_or_default();
        if newer.best().is_some() && is_sure {
            conn.likely = newer;
            return newer;
        }
        if conn.likely.best().is_none() {
            // A packet that came at quite another time may be somebody else's: one that fits is
            // waited for, if it can still come.
            let is_first = asked - conn.times.opened <= limits::BELONGS + limits::ROUND_TRIP;
            let has_waited = now.instant - asked >= limits::HOST_RETURN;
            let can_come = is_first && !has_waited && !is_last_try;
            let patience = can_come || newer.best().is_some();
            conn.likely =
                self.ports.claim_connect(now.instant, client, (conn.times.opened, asked), patience);
        }
        // The ones before may still be right.
        conn.likely = newer.followed_by(conn.likely);
        conn.likely
    }

    /// Where a host without a port most likely is, if its UDP leaves by another address.
    pub(super) fn unpaired_reg(&self, key: HostKey) -> Option<SocketAddr> {
        let at = self.unpaired_regs.only(self.hosts.get(key)?.conn)?;
        // A packet of a host that is registered there is not this one's.
        self.hosts.find(at.ip(), None).is_none().then_some(at)
    }

    /// The host that is asked for. One on the machine or in the network of the server is known to
    /// those outside by the server's public address. Of several at an address it is the one that
    /// the client looked for or met before, else the newest.
    pub(super) fn find(&self, now: Now, request: &Request) -> Option<HostKey> {
        if self.config.relay.contains(request.host) {
            return self.shown_at_relay(request.client);
        }
        let mut all = self.hosts.all_at(request.host);
        if self.config.public_ips.contains(request.host)
            && let Some(key) = self.hosts.find_inside(request.port)
            && let Some(host) = self.hosts.any(key)
        {
            // Nodes of one network have the same address: others may have hosts in it as well.
            all.push((key, host));
            all.sort_by_key(|(_, host)| (host.since, host.number));
        }
        let hosts = all.iter().copied();
        if request.port.is_none() && all.len() > 1 {
            let meant = self.lookups.meant(now.instant, request.client, hosts.clone());
            if meant.is_some() {
                return meant;
            }
        }
        newest(hosts, request.port)
    }

    /// Says it: to the client first, then to the host.
    fn conclude(&mut self, cx: &mut Context<'_>, request: &Request, text: &str, outcome: Outcome) {
        let Request { conn, client, .. } = *request;
        let outcome = match outcome {
            // Anybody can forge that packet, to have others knock there.
            Outcome::Elsewhere(key, at, client_port)
                if !cx.shared.unproven.may_tell_asker(cx.now.instant, at, (client, 0).into()) =>
            {
                Outcome::HostWithoutPort(key, client_port)
            }
            outcome => outcome,
        };
        if let Some(conn) = self.conns.get_mut(conn) {
            conn.times.answered = cx.now.instant;
        }
        self.drop_attempt(conn);
        if !self.relay_at_once(cx, request, text, outcome) {
            self.say_outcome(cx, request, text, outcome);
        }
    }

    /// Says it without any relay.
    pub(super) fn say_outcome(
        &mut self,
        cx: &mut Context<'_>,
        request: &Request,
        text: &str,
        outcome: Outcome,
    ) {
        let Request { conn, client, .. } = *request;
        self.note_outcome(cx, request, text, &outcome);
        match outcome {
            Outcome::Wait => {}
            Outcome::NotFound | Outcome::OtherFamily(_) => {
                self.answer(cx, conn, |bytes, _| bytes.push(MASTER_NOTFOUND));
            }
            Outcome::HostWithoutPort(key, client_port) => {
                self.answer(cx, conn, |bytes, _| bytes.push(MASTER_NOTFOUND));
                self.notify(cx, key, request, client_port);
            }
            Outcome::Elsewhere(key, at, client_port) => {
                self.tell_endpoint(cx, conn, at);
                let client = SocketAddr::new(client, client_port.unwrap_or_default());
                let for_host = self.notify(cx, key, request, client_port);
                let two = Two { pair: [client, at], endpoints: [at, for_host.unwrap_or(client)] };
                self.begin_attempt_elsewhere(cx, conn, (two, key));
            }
            Outcome::Found(key, port, client_port) => {
                if let Some(host) = self.hosts.get(key).map(|host| host.addr) {
                    let host = SocketAddr::new(host, port);
                    self.lookups.met(cx.now.instant, client, host);
                }
                let known = port;
                let told = SocketAddr::new(request.client, client_port.unwrap_or_default());
                let knocks = |cx: &mut Context<'_>, at| ports_to_knock_at(cx, told, at).len();
                let port = self.told_port(cx, key, port, told, knocks);
                // At the relay there is nothing for who asks for it there and is not relayed.
                let at_relay = self.config.relay.contains(request.host);
                let host = self.hosts.get(key).filter(|_| at_relay).map(|host| host.addr);
                let host = host.map(|host| self.config.public_ips.told(host, request.client));
                // The client is told the address as it wrote it; a GML game compares texts.
                let text = Some(text).filter(|_| request.port.is_none() && host.is_none());
                let for_client = SocketAddr::new(host.unwrap_or(request.host), port);
                self.tell_place(cx, conn, text, for_client);
                let for_host = self.notify(cx, key, request, client_port);
                let Some(host) = self.hosts.get(key).map(|host| host.addr) else { return };
                let client = SocketAddr::new(client, client_port.unwrap_or_default());
                let pair = [client, SocketAddr::new(host, known)];
                let two = Two { pair, endpoints: [for_client, for_host.unwrap_or(client)] };
                match for_host {
                    Some(for_host) => {
                        cx.introduced(pair, [for_client, for_host]);
                        self.begin_attempt(cx, conn, (two, key), None);
                    }
                    None => self.begin_attempt_elsewhere(cx, conn, (two, key)),
                }
            }
        }
    }

    /// The port at which a client is to knock: the one that the host has shown, or, where each
    /// destination sees another and they count up, the one that comes next after those at which the host `knocks`.
    pub(super) fn told_port(
        &self,
        cx: &mut Context<'_>,
        key: HostKey,
        port: u16,
        client: SocketAddr,
        knocks: impl FnOnce(&mut Context<'_>, SocketAddr) -> usize,
    ) -> u16 {
        if !cx.shared.nats.can_predict() {
            return port;
        }
        let Some(host) = self.hosts.get(key) else { return port };
        let host = SocketAddr::new(host.addr, port);
        if !cx.shared.nats.has_knocked(host) {
            return port;
        }
        // It is registered, so this has been done; now it is the last to be forgotten.
        cx.shared.nats.settle(cx.now.instant, host);
        let knocks = knocks(cx, host);
        cx.shared.nats.next(cx.now.instant, host, client, knocks).first().copied().unwrap_or(port)
    }
}
