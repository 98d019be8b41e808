//! Introductions: a client asks for a host, and each is told where the other is. If a UDP packet
//! is not here yet, or the host is just coming back, the request waits for it.

use std::net::{IpAddr, SocketAddr};

use log::info;
use slab::Slab;
use smallvec::SmallVec;

use super::command::Go;
use super::hosts::HostKey;
use super::names::{Named, Short};
use super::ports::Opened;
use super::{Gmnet, MASTER, MASTER_NOTFOUND, is_inside};
use crate::clock::{Instant, Now};
use crate::dialect::addr::{push_addr, push_port};
use crate::dialect::{ConnId, Outbox};
use crate::hash::Map;
use crate::limits;
use crate::nats::Ports;
use crate::timers::Timers;

/// The requests that wait.
#[derive(Debug)]
pub(super) struct Introductions {
    waiting: Slab<Waiting>,
    /// Which of them may go on when something comes from this address, longest waiting first.
    by_addr: Map<IpAddr, SmallVec<[WaitId; 2]>>,
    /// When a host is no longer expected back.
    returns: Timers<WaitId>,
    /// When the answer has to be given with what is known.
    deadlines: Timers<WaitId>,
}

/// A request that waits. Its connection and its timers hold one, and they end with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct WaitId(u32);

#[derive(Debug)]
struct Waiting {
    request: Request,
    /// The text that the client sent, to be told back.
    text: Box<str>,
}

/// What a client wants.
#[derive(Clone, Copy, Debug)]
struct Request {
    conn: ConnId,
    client: IpAddr,
    host: IpAddr,
    /// If the client asked for one of several hosts of an address.
    port: Option<u16>,
}

/// What can be said to a request.
enum Outcome {
    /// Nothing yet.
    Wait,
    /// There is no such host.
    NotFound,
    /// The host is there, but where is not known. The client's port may be known.
    HostWithoutPort(HostKey, Option<u16>),
    /// The host's port, and the client's if it is known.
    Found(HostKey, u16, Option<u16>),
}

impl Default for Introductions {
    fn default() -> Self {
        Self {
            waiting: Slab::new(),
            by_addr: Map::default(),
            returns: Timers::new(limits::HOST_RETURN),
            deadlines: Timers::new(limits::INTRODUCTION_WAIT),
        }
    }
}

impl Introductions {
    /// When a request has waited long enough.
    pub(super) fn next_wakeup(&self) -> Option<Instant> {
        self.returns.next().into_iter().chain(self.deadlines.next()).min()
    }

    /// Forgets a request.
    pub(super) fn cancel(&mut self, id: WaitId) {
        let Some(Waiting { request, .. }) = self.waiting.try_remove(id.0 as usize) else { return };
        self.returns.cancel(&id);
        self.deadlines.cancel(&id);
        for addr in [request.client, request.host] {
            if let Some(ids) = self.by_addr.get_mut(&addr) {
                ids.retain(|other| *other != id);
                if ids.is_empty() {
                    self.by_addr.remove(&addr);
                }
            }
        }
    }

    fn get(&self, id: WaitId) -> Option<&Waiting> {
        self.waiting.get(id.0 as usize)
    }

    fn has_room(&self, request: &Request) -> bool {
        [request.client, request.host].iter().all(|addr| {
            self.by_addr.get(addr).is_none_or(|ids| ids.len() < limits::WAITING_PER_ADDRESS)
        })
    }

    fn add(&mut self, now: Instant, request: Request, text: &str) -> WaitId {
        // Those that wait are fewer than connections, which are counted in 32 bits.
        let id = WaitId(self.waiting.insert(Waiting { request, text: text.into() }) as u32);
        self.by_addr.entry(request.client).or_default().push(id);
        if request.host != request.client {
            self.by_addr.entry(request.host).or_default().push(id);
        }
        self.returns.arm(now, id);
        self.deadlines.arm(now, id);
        id
    }
}

impl Gmnet {
    /// A client asks for the host at an address.
    pub(super) fn connect(&mut self, now: Now, id: ConnId, text: &str, out: &mut Outbox) -> Go {
        let Some(conn) = self.conns.get(id) else { return Go::Stop };
        let client = conn.addr;
        let Some((host, port)) = parse_target(text) else {
            if self.lines.says(now, client) {
                info!("{client} asked for a host at \"{}\", which is no IP address", Short(text));
            }
            self.answer(now, id, out, |bytes, _| bytes.push(MASTER_NOTFOUND));
            return Go::On;
        };
        let request = Request { conn: id, client, host, port };
        let is_last_try = self.is_stopping || !self.introductions.has_room(&request);
        match self.outcome(now, &request, is_last_try) {
            Outcome::Wait => {
                let wait = self.introductions.add(now.instant, request, text);
                if let Some(conn) = self.conns.get_mut(id) {
                    conn.waiting = Some(wait);
                }
                Go::Stop
            }
            outcome => {
                self.conclude(now, &request, text, outcome, out);
                Go::On
            }
        }
    }

    /// Something came from an address: do requests that wait for it go on?
    pub(super) fn retry_introductions(&mut self, now: Now, addr: IpAddr, out: &mut Outbox) {
        // Who is inside may have been asked for by the address that those outside know.
        let outside = self.config.public_ip.filter(|_| is_inside(addr));
        for addr in [Some(addr), outside].into_iter().flatten() {
            let Some(ids) = self.introductions.by_addr.get(&addr) else { continue };
            for id in ids.clone() {
                self.retry(now, id, false, out);
            }
        }
    }

    /// Answers those that have waited long enough.
    pub(super) fn time_out_introductions(&mut self, now: Now, out: &mut Outbox) {
        while let Some(id) = self.introductions.returns.pop_due(now.instant) {
            self.retry(now, id, false, out);
        }
        while let Some(id) = self.introductions.deadlines.pop_due(now.instant) {
            self.retry(now, id, true, out);
        }
    }

    /// Answers all that wait, with what is known.
    pub(super) fn end_all_introductions(&mut self, now: Now, out: &mut Outbox) {
        let ids: Vec<_> =
            self.introductions.waiting.iter().map(|(id, _)| WaitId(id as u32)).collect();
        for id in ids {
            self.retry(now, id, true, out);
        }
    }

    fn retry(&mut self, now: Now, id: WaitId, is_last_try: bool, out: &mut Outbox) {
        let Some(request) = self.introductions.get(id).map(|w| w.request) else { return };
        let outcome = self.outcome(now, &request, is_last_try);
        if let Outcome::Wait = outcome {
            return;
        }
        let text = self.introductions.get(id).map(|w| w.text.clone()).unwrap_or_default();
        self.introductions.cancel(id);
        if let Some(conn) = self.conns.get_mut(request.conn) {
            conn.waiting = None;
            self.resumed.push(request.conn);
        }
        self.conclude(now, &request, &text, outcome, out);
    }

    /// Finds out what can be said. A client's packet is used up only if it is said.
    fn outcome(&mut self, now: Now, request: &Request, is_last_try: bool) -> Outcome {
        let Some(key) = self.find(request) else {
            let expected = self.ports.is_host_expected(now.instant, request.host);
            return if expected && !is_last_try { Outcome::Wait } else { Outcome::NotFound };
        };
        let Some(host) = self.hosts.get(key) else { return Outcome::NotFound };
        let has_room = |conn: &super::Conn| {
            conn.notices.len() < limits::NOTICES_PER_HOST && self.notices < limits::NOTICES
        };
        let can_be_told = self.conns.get(host.conn).is_some_and(has_room);
        if !is_last_try && (host.port.is_none() || !can_be_told) {
            return Outcome::Wait;
        }
        let conn = self.conns.get(request.conn);
        let used = conn.and_then(|conn| conn.used_port);
        let opened = match conn {
            Some(conn) if used.is_none() => Opened::At(conn.opened),
            _ => Opened::LongAgo,
        };
        let claimed = self.ports.claim_connect(now.instant, request.client, opened);
        let client_port = claimed.or(used).filter(|_| can_be_told);
        match (host.port, client_port) {
            (Some(_), None) if !is_last_try => Outcome::Wait,
            (Some(port), client_port) => Outcome::Found(key, port, client_port),
            (None, client_port) => Outcome::HostWithoutPort(key, client_port),
        }
    }

    /// The host that is asked for. One on the machine or in the network of the server is known to
    /// those outside by the server's public address.
    fn find(&self, request: &Request) -> Option<HostKey> {
        self.hosts.find(request.host, request.port).or_else(|| {
            let is_ours = self.config.public_ip == Some(request.host);
            is_ours.then(|| self.hosts.find_inside(request.port)).flatten()
        })
    }

    /// Says it: to the client first, then to the host.
    fn conclude(
        &mut self,
        now: Now,
        request: &Request,
        text: &str,
        outcome: Outcome,
        out: &mut Outbox,
    ) {
        let Request { conn, client, .. } = *request;
        if self.lines.says(now, client) {
            self.log_outcome(request, text, &outcome);
        }
        match outcome {
            Outcome::Wait => {}
            Outcome::NotFound => {
                self.answer(now, conn, out, |bytes, _| bytes.push(MASTER_NOTFOUND));
            }
            Outcome::HostWithoutPort(key, client_port) => {
                self.answer(now, conn, out, |bytes, _| bytes.push(MASTER_NOTFOUND));
                self.notify(now, key, request, client_port, out);
            }
            Outcome::Found(key, port, client_port) => {
                let port = self.told_port(now, key, port, request.client, client_port);
                // The client is told the address as it wrote it; a GML game compares texts.
                let addr = if request.port.is_some() { None } else { Some(text) };
                self.answer(now, conn, out, |bytes, _| {
                    bytes.push(MASTER);
                    match addr {
                        Some(text) => bytes.extend_from_slice(text.as_bytes()),
                        None => push_addr(request.host, bytes),
                    }
                    push_second(port, bytes);
                });
                self.notify(now, key, request, client_port, out);
            }
        }
    }

    fn log_outcome(&self, request: &Request, text: &str, outcome: &Outcome) {
        let client = |port: Option<u16>| {
            port.map_or(request.client.to_string(), |port| {
                SocketAddr::new(request.client, port).to_string()
            })
        };
        let named = |key: &HostKey| self.hosts.get(*key).map(Named);
        match outcome {
            Outcome::Wait => {}
            Outcome::NotFound => {
                info!("not found: {} asked for {}, where no host is", client(None), Short(text));
            }
            Outcome::HostWithoutPort(key, port) => {
                let Some(host) = named(key) else { return };
                info!(
                    "{} could not be introduced to host {host}: the host's UDP packet never came; \
                     is UDP blocked on its side?",
                    client(*port)
                );
            }
            Outcome::Found(key, _, Some(port)) => {
                let Some(host) = named(key) else { return };
                info!("introduced {} to host {host}", client(Some(*port)));
            }
            Outcome::Found(key, _, None) => {
                let Some(host) = named(key) else { return };
                info!(
                    "{} was told where host {host} is, but the host was not told: the client's \
                     UDP packet never came; is UDP blocked on its side?",
                    client(None)
                );
            }
        }
    }

    /// The port at which a client is to knock: the one that the host has shown, or, where each
    /// destination sees another and they count up, the one that comes next.
    fn told_port(
        &self,
        now: Now,
        key: HostKey,
        port: u16,
        client: IpAddr,
        client_port: Option<u16>,
    ) -> u16 {
        let Some(host) = self.hosts.get(key) else { return port };
        let host = SocketAddr::new(host.addr, port);
        let client = SocketAddr::new(client, client_port.unwrap_or_default());
        let knocks = self.candidates(now, client, host).len();
        self.nats.next(now.instant, host, client, knocks).first().copied().unwrap_or(port)
    }

    /// The ports at which a host is to knock. It can be told of several, as it knocks at all of
    /// them: so one more may be tried where nobody knows whether the client's NAT gives each
    /// destination another port. The best come first; if the host's own ports count, its first
    /// knock decides.
    fn candidates(&self, now: Now, client: SocketAddr, host: SocketAddr) -> Ports {
        /// Each of them is knocked at for fifteen seconds, 60 times a second.
        const SURE: usize = 2;
        let maybe = self.nats.about(now.instant, client).maybe.filter(|_| !is_inside(client.ip()));
        let next = self.nats.next(now.instant, client, host, 1);
        next.into_iter().take(SURE).chain([client.port()]).chain(maybe).collect()
    }

    /// Tells a host about a client, now or when the notify gap allows.
    fn notify(
        &mut self,
        now: Now,
        key: HostKey,
        request: &Request,
        port: Option<u16>,
        out: &mut Outbox,
    ) {
        let Some(port) = port else { return };
        if let Some(conn) = self.conns.get_mut(request.conn) {
            conn.used_port = Some(port);
        }
        let Some(host) = self.hosts.get(key) else { return };
        let (id, at) = (host.conn, SocketAddr::new(host.addr, host.port.unwrap_or_default()));
        let client = self.config.told(request.client, host.addr);
        let ports = self.candidates(now, SocketAddr::new(request.client, port), at);
        let Some(conn) = self.conns.get_mut(id) else { return };
        let room = limits::NOTICES_PER_HOST.saturating_sub(conn.notices.len()).max(1);
        let ports = &ports[..ports.len().min(room)];
        let mut clients = ports.iter().map(|port| SocketAddr::new(client, *port));
        let is_idle = conn.notices.is_empty();
        let at_once =
            if is_idle && now.instant >= conn.quiet_until { clients.next() } else { None };
        self.notices += clients.len();
        clients.for_each(|client| conn.notices.push(client));
        if is_idle && !conn.notices.is_empty() {
            self.gaps.arm(now.instant, id);
        }
        if let Some(client) = at_once {
            self.tell(now, id, client, out);
        }
    }

    /// Tells a host about the next client that it has not been told of.
    pub(super) fn notify_next(&mut self, now: Now, id: ConnId, out: &mut Outbox) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        let Some(client) = conn.notices.pop() else { return };
        self.notices -= 1;
        if !conn.notices.is_empty() {
            self.gaps.arm(now.instant, id);
        }
        self.tell(now, id, client, out);
    }

    fn tell(&mut self, now: Now, id: ConnId, client: SocketAddr, out: &mut Outbox) {
        self.answer(now, id, out, |bytes, _| {
            bytes.push(MASTER);
            push_addr(client.ip(), bytes);
            push_second(client.port(), bytes);
        });
    }
}

/// The second half of an introduction.
fn push_second(port: u16, bytes: &mut Vec<u8>) {
    bytes.push(0);
    push_port(port, bytes);
    bytes.push(0);
}

/// The host a client asks for: an address, or one of several at an address by its UDP port. As
/// strict as the old server, which compared texts: no names, no spaces, no leading zeros.
fn parse_target(text: &str) -> Option<(IpAddr, Option<u16>)> {
    if let Ok(addr) = text.parse::<IpAddr>() {
        return Some((addr.to_canonical(), None));
    }
    let target = text.parse::<SocketAddr>().ok()?;
    Some((target.ip().to_canonical(), Some(target.port())))
}
