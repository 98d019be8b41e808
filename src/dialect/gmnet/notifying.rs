//! How hosts are told of clients, a notify gap apart, and clients of hosts; who waits for that is in [`notices`].
//!
//! [`notices`]: super::notices

use std::net::SocketAddr;

use super::names::Left;
use super::notices::News;
use super::request::Request;
use super::slot::HostKey;
use super::{Gmnet, MASTER};
use crate::clock::{Instant, Now};
use crate::dialect::addr::{push_addr, push_port};
use crate::dialect::{ConnId, Context};
use crate::introductions::candidates::ports_to_knock_at;
use crate::limits;

impl Gmnet {
    /// Tells a host about a client, now or when the notify gap allows. Returns the first endpoint at which it
    /// is told to knock; none if it is told nothing.
    pub(super) fn notify(
        &mut self,
        cx: &mut Context<'_>,
        key: HostKey,
        request: &Request,
        port: Option<u16>,
    ) -> Option<SocketAddr> {
        let port = port?;
        let likely = self.conns.get(request.conn).map(|conn| conn.likely).unwrap_or_default();
        let host = self.hosts.get(key)?;
        let (id, at) = (host.conn, SocketAddr::new(host.addr, host.port.unwrap_or_default()));
        let client = self.config.public_ips.told(request.client, host.addr);
        let ports = ports_to_knock_at(cx, SocketAddr::new(request.client, port), at);
        let others = likely.iter().filter(|other| !ports.contains(other));
        let all = ports.iter().copied().chain(others);
        self.tell_all(cx, id, all.map(|port| SocketAddr::new(client, port).into()));
        Some(SocketAddr::new(client, ports.first().copied().unwrap_or(port)))
    }

    /// Tells a host of these clients, each a notify gap after the one before.
    pub(super) fn tell_all(
        &mut self,
        cx: &mut Context<'_>,
        id: ConnId,
        mut clients: impl Iterator<Item = News>,
    ) {
        let Some(conn) = self.conns.get(id) else { return };
        let is_idle = self.notices.len(id) == 0;
        let at_once =
            if is_idle && cx.now.instant >= conn.times.quiet_until { clients.next() } else { None };
        let mut is_owed = false;
        clients.for_each(|client| is_owed |= self.notices.push(id, client));
        if is_idle && is_owed {
            self.gaps.arm(cx.now.instant, id);
        }
        if let Some(client) = at_once {
            self.tell(cx, id, client);
        }
    }

    /// Tells hosts about the next clients for whom the notify gap is over. Of a host that many ask for, all who wait
    /// are looked at each time, so others come first after a few of these.
    pub(super) fn notify_due(&mut self, cx: &mut Context<'_>) {
        self.work_queue.begin(cx.now.instant);
        while !self.work_queue.is_slice_spent()
            && let Some(id) = self.gaps.pop_due(cx.now.instant)
        {
            self.notify_next(cx, id);
        }
    }

    /// Tells a host about the next client that it has not been told of.
    pub(super) fn notify_next(&mut self, cx: &mut Context<'_>, id: ConnId) {
        let before = self.notices.len(id);
        let Some(client) = self.notices.pop(id) else { return };
        if before > 1 {
            self.gaps.arm(cx.now.instant, id);
        }
        self.tell(cx, id, client);
        // There is room for one of those for whom there was none.
        let host = self.conns.get(id).and_then(|conn| self.hosts.get(conn.host?));
        if before >= limits::NOTICES_PER_HOST
            && let Some(addr) = host.map(|host| host.addr)
        {
            self.retry_for_host(cx, addr);
        }
    }

    /// A host's connection ends, but not always the host.
    pub(super) fn keep_notices(&mut self, now: Now, id: ConnId, key: HostKey, left: Left) {
        for news in self.unread.take(now.instant, id, left == Left::Closed) {
            self.notices.push(id, news);
        }
        let host = self.hosts.get(key);
        let at = host.map(|host| SocketAddr::new(host.addr, host.port.unwrap_or_default()));
        self.notices.leave(now.instant, id, at);
    }

    /// A host has registered, or has got its port: it is told of those that it was to be told of
    /// before it came back.
    pub(super) fn take_notices_up(&mut self, cx: &mut Context<'_>, key: HostKey) {
        let Some(host) = self.hosts.get(key) else { return };
        let port = host.port;
        let at = SocketAddr::new(host.addr, port.unwrap_or_default());
        if port.is_some() {
            cx.shared.nats.settle(cx.now.instant, at);
            self.ask_at_alternate(cx, key, at);
        }
        self.take_notices_over(cx.now.instant, key);
    }

    /// A host is owed what the one was that has left its endpoint.
    pub(super) fn take_notices_over(&mut self, now: Instant, key: HostKey) {
        let Some(host) = self.hosts.get(key) else { return };
        let (id, addr, port) = (host.conn, host.addr, host.port.unwrap_or_default());
        // First that of one whose port was known. This one has none now either, or has just got it.
        for port in [port, 0] {
            self.notices.come_back(now, id, SocketAddr::new(addr, port));
        }
        if self.notices.len(id) > 0 && !self.gaps.is_armed(&id) {
            self.gaps.arm(now, id);
        }
    }

    fn tell(&mut self, cx: &mut Context<'_>, id: ConnId, news: News) {
        let News { client, relay, is_again, .. } = news;
        let relayed = relay.and_then(|port| {
            Some(SocketAddr::new(self.config.relay.like(self.conns.get(id)?.addr)?, port.get()))
        });
        if !is_again {
            self.unread.note(cx.now.instant, id, news);
        }
        self.tell_endpoint(cx, id, relayed.unwrap_or(client));
    }

    /// Tells a client where its host is, whose address it wrote like this.
    pub(super) fn tell_place(
        &mut self,
        cx: &mut Context<'_>,
        id: ConnId,
        text: Option<&str>,
        at: SocketAddr,
    ) {
        self.answer(cx, id, |bytes, _| {
            bytes.push(MASTER);
            match text {
                Some(text) => bytes.extend_from_slice(text.as_bytes()),
                None => push_addr(at.ip(), bytes),
            }
            push_second(at.port(), bytes);
        });
    }

    pub(super) fn tell_endpoint(&mut self, cx: &mut Context<'_>, id: ConnId, at: SocketAddr) {
        self.answer(cx, id, |bytes, _| {
            bytes.push(MASTER);
            push_addr(at.ip(), bytes);
            push_second(at.port(), bytes);
        });
    }
}

/// The second half of an introduction.
fn push_second(port: u16, bytes: &mut Vec<u8>) {
    bytes.push(0);
    push_port(port, bytes);
    bytes.push(0);
}
