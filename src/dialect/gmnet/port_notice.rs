//! The port notice: a host whose UDP port is not known, or not for certain, or not lately, is told of
//! this server as if it were a client, and knocks here. Whose knock is whose is found out in
//! [`knocks`]. The server never answers a knock, so no game sees anything of it.
//!
//! [`knocks`]: super::knocks

use std::net::{IpAddr, SocketAddr};

use log::{debug, info, warn};

use super::Gmnet;
use super::host::Host;
use super::names::Named;
use super::port_probes::Refused;
use super::request::Request;
use super::slot::HostKey;
use crate::clock::Instant;
use crate::dialect::{Context, Via};
use crate::introductions::is_inside;
use crate::limits;
use crate::nats::Kind;

/// Hosts that are asked before others have their turn.
const AT_ONCE: usize = 64;

impl Gmnet {
    /// A host has registered, with a port that is one of several if it is contested, or got one that
    /// may be another's. It had the port `sure` before, without doubt.
    pub(super) fn ask_if_in_doubt(
        &mut self,
        cx: &mut Context<'_>,
        key: HostKey,
        sure: Option<u16>,
        is_contested: bool,
    ) {
        let Some(host) = self.hosts.get(key) else { return };
        let (conn, addr) = (host.conn, host.addr);
        if !self.port_probes.is_on() {
            return;
        }
        // Packets that came since it was asked do not make it forget that one.
        let sure = self.port_probes.sure(conn).or(sure);
        self.port_probes.forget(conn);
        if host.port.is_none() {
            // Its packet may be a moment late.
            self.port_probes.soon.arm_with(cx.now.instant, conn, None);
        } else if is_contested || host.is_port_doubtful() {
            self.ask_for_port(cx, key, sure, addr);
        }
    }

    /// Asks those that still have no port, or whose turn comes only now.
    pub(super) fn ask_soon(&mut self, cx: &mut Context<'_>) {
        for _ in 0..AT_ONCE {
            let Some((conn, sure)) = self.port_probes.soon.take_due(cx.now.instant) else { break };
            let key = self.conns.get(conn).and_then(|conn| conn.host);
            if let Some((key, host)) = key.and_then(|key| Some((key, self.hosts.get(key)?))) {
                self.ask_for_port(cx, key, sure, host.addr);
            }
        }
    }

    /// A client asks for this host: where is that by now?
    pub(super) fn ask_before_introduction(
        &mut self,
        cx: &mut Context<'_>,
        request: &Request,
        found: Option<HostKey>,
    ) {
        if !self.port_probes.is_on() || self.is_stopping {
            return;
        }
        let Some((key, host)) = found.and_then(|key| Some((key, self.hosts.get(key)?))) else {
            return;
        };
        if self.has_to_be_asked(cx.now.instant, host) {
            self.ask_for_port(cx, key, host.sure_port(), request.client);
        }
    }

    fn has_to_be_asked(&self, now: Instant, host: &Host) -> bool {
        let is_outside = !is_inside(host.addr);
        match self.port_probes.asked(host.conn) {
            None => host.is_port_doubtful() || (is_outside && !is_fresh(now, host.shown())),
            // It did not knock, or others knock as much in its name.
            Some(None) => host.port.is_none() && !self.port_probes.is_knocking(host.conn),
            // What others show does not keep a port that it had not before.
            Some(Some(heard)) => {
                let is_sure = host.port == host.sure_port();
                is_outside && !is_fresh(now, heard) && !(is_sure && is_fresh(now, host.shown()))
            }
        }
    }

    /// Has a host knock here that had the port `sure` without doubt, in the share of `by`.
    fn ask_for_port(&mut self, cx: &mut Context<'_>, key: HostKey, sure: Option<u16>, by: IpAddr) {
        let Some(host) = self.hosts.get(key) else { return };
        let (conn, addr) = (host.conn, host.addr);
        let via = host.port.map(|_| host.via);
        let Some(endpoint) = self.port_probes.endpoint(via, addr) else { return };
        let endpoint =
            SocketAddr::new(self.config.public_ips.told(endpoint.ip(), addr), endpoint.port());
        if is_inside(endpoint.ip()) && !is_inside(addr) {
            // One on this machine says nothing of how others know it.
            if let Some(seen) = self.port_probes.seen_outside(via, addr) {
                self.say_that_public_ip_lacks(seen.ip());
            }
            return;
        }
        match self.port_probes.may_ask(cx.now.instant, addr, by) {
            Ok(()) => {}
            Err(Refused::Later) => {
                return self.port_probes.soon.arm_with(cx.now.instant, conn, sure);
            }
            Err(Refused::TooMany) => return,
        }
        debug!("host {} is asked for its UDP port", Named(host));
        self.port_probes.ask(cx.now.instant, conn, addr, by, sure);
        self.tell_all(cx, conn, [endpoint.into()].into_iter());
    }

    /// The NAT of a host seems to give each destination another port, in sequence. Before clients are told
    /// such a port it has to knock at the alternate one: STUN requests are easily forged, as all hosts of a
    /// game have the same port.
    pub(super) fn ask_at_alternate(
        &mut self,
        cx: &mut Context<'_>,
        key: HostKey,
        host: SocketAddr,
    ) {
        let nats = &cx.shared.nats;
        let seems_to_count = || nats.kind(cx.now.instant, host) == Kind::Sequential;
        if !nats.can_predict() || !seems_to_count() {
            return;
        }
        let Some((conn, via)) = self.hosts.get(key).map(|host| (host.conn, host.via)) else {
            return;
        };
        if let Some(port) = self.config.alternate_port
            && let Some(own) = self.port_probes.endpoint(Some(via), host.ip())
        {
            let ip = self.config.public_ips.told(own.ip(), host.ip());
            cx.shared.nats.ask_to_knock(host);
            self.tell_all(cx, conn, [SocketAddr::new(ip, port).into()].into_iter());
        }
    }

    /// The server is behind a NAT and does not know by which address hosts know it.
    fn say_that_public_ip_lacks(&mut self, own: IpAddr) {
        if !std::mem::replace(&mut self.port_probes.cannot_ask, true) {
            warn!(
                "hosts on the Internet cannot be asked for their UDP port, as they know this server by \
                 another address than {own}; give that one with --public-ip"
            );
        }
    }

    /// A knock came, most likely of a host that was asked.
    pub(super) fn on_knock(&mut self, cx: &mut Context<'_>, via: Via, peer: SocketAddr) {
        let Some(conn) = self.port_probes.came(cx.now.instant, peer) else { return };
        let Some(key) = self.conns.get(conn).and_then(|conn| conn.host) else { return };
        let port = Some(peer.port());
        let is_of = |other: &Host| other.conn != conn && other.sure_port() == port;
        if self.hosts.at(peer.ip()).any(|(_, other)| is_of(other)) {
            return;
        }
        if let Some((port, is_sure)) = self.port_probes.note(cx.now.instant, conn, via, peer.port())
        {
            self.find_port(cx, key, via, port, is_sure);
        }
    }

    /// Clients have waited long enough for knocks.
    pub(super) fn end_waits_for_knocks(&mut self, cx: &mut Context<'_>) {
        self.work_queue.begin(cx.now.instant);
        for _ in 0..AT_ONCE {
            // All who wait for the host are looked at.
            if self.work_queue.is_slice_spent() {
                break;
            }
            let Some(conn) = self.port_probes.awaited.pop_due(cx.now.instant) else { break };
            let key = self.conns.get(conn).and_then(|conn| conn.host);
            let Some((key, host)) = key.and_then(|key| Some((key, self.hosts.get(key)?))) else {
                continue;
            };
            let addr = host.addr;
            match self.port_probes.most(conn) {
                Some((port, via)) => self.find_port(cx, key, via, port, false),
                None => self.retry_for_host(cx, addr),
            }
        }
        self.port_probes.expire(cx.now.instant);
    }

    /// The port of a host is known now; if it is sure, it is the one that it had before.
    fn find_port(
        &mut self,
        cx: &mut Context<'_>,
        key: HostKey,
        via: Via,
        port: u16,
        is_sure: bool,
    ) {
        let Some(host) = self.hosts.get(key) else { return };
        let (conn, addr, before) = (host.conn, host.addr, host.port);
        self.port_probes.found(cx.now.instant, conn, port);
        let others = self.hosts.confirm_port(cx.now.instant, key, (port, via), is_sure);
        self.ports.claim_shown(addr, port);
        for other in others {
            self.port_probes.soon.arm_with(cx.now.instant, other, None);
        }
        if before != Some(port)
            && self.lines.says(cx.now, addr)
            && let Some(host) = self.hosts.get(key)
        {
            match before {
                None => info!("host {} has its UDP port now", Named(host)),
                Some(before) => {
                    info!("host {} has another UDP port now, it was {before}", Named(host))
                }
            }
        }
        self.take_notices_up(cx, key);
        self.retry_for_host(cx, addr);
    }
}

/// Whether a NAT still has a mapping that a packet went through then.
fn is_fresh(now: Instant, at: Instant) -> bool {
    now - at <= limits::FRESH_PORT
}
