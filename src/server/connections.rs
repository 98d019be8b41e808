//! Connections: who is let in, which dialect one speaks, who has to go when there is no room.

use super::Server;
use super::config::Dialects;
use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use log::{debug, warn};

use crate::clock::{Instant, Now};
use crate::connection_table::Conn;
use crate::dialect::{ConnId, Context, Dialect, Name, Outbox, Reads, Stream, Use, events};
use crate::limits::{self, Limits};
use crate::nats::Seen;
use crate::refusals::Reason;

impl Server {
    /// A peer has connected, whose first packet came at `began`, a round trip before: about when
    /// its UDP packets came that it sent just before. That is only asked where it matters, as it costs
    /// the loop a system call.
    pub fn on_accept(
        &mut self,
        now: Now,
        began: impl FnOnce() -> Instant,
        conn: ConnId,
        peer: SocketAddr,
        out: &mut Outbox,
    ) {
        let most = self.limits.connections_per_address;
        if self.held(peer.ip()) >= most {
            let dialects = &self.dialects;
            let use_of = |id, conn: &Conn| use_of(dialects, id, conn);
            let shares = &mut self.shared.unproven.connections;
            let Some(idle) = self.connections.idle_of(shares, now.instant, peer.ip(), use_of)
            else {
                match self.crowded.say(now.instant, peer.ip()) {
                    Some(before) => warn!(
                        event = "refused", address:% = peer.ip(),
                        reason = Reason::ConnectionsOfAddress.name();
                        "{} refused: its address has {most} connections already{before}; allow \
                         more with --max-per-address",
                        peer.ip()
                    ),
                    None => debug!("{peer} refused: its address has {most} connections already"),
                }
                self.refused(now, Reason::ConnectionsOfAddress, peer.ip());
                out.close(conn);
                return;
            };
            self.end_idle(now, idle, out);
        }
        if let Some(warning) = self.gateway.note(peer.ip()) {
            warn!("{warning}");
        }
        // No other dialect has datagrams that belong to connections.
        let gmnet = self.dialects.get(Name::Gmnet);
        let since = now.instant.before(limits::SURE.max(self.behind));
        let told = gmnet.and_then(|gmnet| gmnet.began_with(since, peer.ip()));
        let began = told.unwrap_or_else(|| if gmnet.is_some() { began() } else { now.instant });
        self.shared.nats.saw(now.instant, peer, Seen::Tcp);
        self.shared.unproven.connected(peer.ip());
        self.connections.add(&mut self.shared.unproven.connections, began, conn, peer);
        self.idle.arm(now.instant, conn);
    }

    /// There is no room for a new connection of this address: which one is to be closed for it,
    /// if any gives way (see [`ConnectionTable`]).
    pub fn eviction_candidate(&mut self, now: Now, wants: IpAddr) -> Option<ConnId> {
        let Limits { connections, connections_per_address, hosts_per_address, .. } = self.limits;
        let dialects = &self.dialects;
        let use_of = |id, conn: &Conn| use_of(dialects, id, conn);
        let held = self.held(wants);
        let shares = &mut self.shared.unproven.connections;
        let closed = if held < connections_per_address {
            let large = limits::large_share(connections).max(hosts_per_address);
            let large = u32::try_from(large).unwrap_or(u32::MAX);
            self.connections.eviction_candidate(shares, now.instant, wants, large, use_of)
        } else {
            self.connections.idle_of(shares, now.instant, wants, use_of)
        };
        if let Some(before) = self.full.say(now.instant) {
            let what = if closed.is_some() { "others are closed" } else { "new ones are refused" };
            warn!(
                event = "refused", reason = Reason::Connections.name();
                "no room for more connections, {what}{before}; allow more with --max-connections \
                 and the limit of open files"
            );
        }
        if closed.is_none() {
            self.refused(now, Reason::Connections, wants);
        }
        if let Some((id, conn)) = closed.and_then(|id| Some((id, self.connections.get(id)?))) {
            debug!("{} closed: there is no room for {wants}", conn.peer());
            let reason = Reason::GaveWay;
            self.shared.refusals.note(now, conn.speaks, reason, conn.peer().ip());
            if let Some(dialect) = conn.speaks.and_then(|name| self.dialects.get_mut(name)) {
                dialect.on_eviction(id);
            }
        }
        closed
    }

    /// A connection is lost as its peer does not read what it asked for.
    pub fn note_unread(&mut self, now: Now, id: ConnId) {
        if let Some(conn) = self.connections.get(id) {
            let (speaks, addr) = (conn.speaks, conn.peer().ip());
            self.shared.refusals.note(now, speaks, Reason::Unread, addr);
        }
    }

    /// Closes connections that have been of no use for too long.
    pub(super) fn end_idle_ones(&mut self, now: Now, out: &mut Outbox) {
        for _ in 0..limits::CLOSED_AT_ONCE {
            let Some(conn) = self.idle.pop_due(now.instant) else { break };
            match self.use_of(conn) {
                Use::Lasting => {}
                Use::Idle(since) if now.instant - since >= limits::IDLE => {
                    self.end_idle(now, conn, out);
                }
                Use::Idle(_) | Use::Waiting => self.idle.arm(now.instant, conn),
            }
        }
    }

    fn end_idle(&mut self, now: Now, conn: ConnId, out: &mut Outbox) {
        self.evict(now, conn, "idle", out);
    }

    /// Closes a connection, whatever it stands for.
    pub(super) fn evict(&mut self, now: Now, conn: ConnId, why: &str, out: &mut Outbox) {
        if let Some(peer) = self.connections.get(conn).map(Conn::peer) {
            debug!("{peer} closed: {why}");
        }
        self.with_dialect_of(now, conn, out, |dialect, cx| {
            dialect.on_eviction(conn);
            dialect.on_gone(cx, conn);
        });
        self.forget(conn);
        out.close(conn);
    }

    /// Counts a connection no more.
    pub(super) fn forget(&mut self, conn: ConnId) {
        self.idle.cancel(&conn);
        self.detection.forget(conn);
        if let Some(public) = &mut self.public {
            public.forget(conn);
        }
        self.connections.remove(&mut self.shared.unproven.connections, conn);
    }

    /// Counts the connections no more that a dialect has closed since `before`.
    pub(super) fn forget_closed(&mut self, before: usize, out: &Outbox) {
        for conn in out.closed_since(before) {
            self.forget(conn);
        }
    }

    /// Bytes arrived, cut as it pleased the network.
    pub fn on_bytes(&mut self, now: Now, id: ConnId, bytes: &[u8], out: &mut Outbox) {
        let Some(conn) = self.connections.get(id).filter(|_| !bytes.is_empty()) else {
            // Who looks into the window takes no place of a player.
            self.with_window(now, |http, answering| http.read(now, id, bytes, out, answering));
            return;
        };
        let bytes = if conn.speaks.is_some() {
            Cow::Borrowed(bytes)
        } else if self.speaks_http(id) {
            return self.read_http(now, id, bytes, out);
        } else {
            let (told, all) = self.detection.read(id, bytes);
            if told == Stream::Http && self.public.is_some() {
                self.begin_http(now, id, out);
                return self.read_http(now, id, &all, out);
            }
            if !self.begin(now, id, told, out) {
                return;
            }
            all
        };
        let (speaks, before) = (self.connections.get(id).and_then(|conn| conn.speaks), out.len());
        let mut use_of = Use::Waiting;
        self.with_dialect_of(now, id, out, |dialect, cx| {
            dialect.on_bytes(cx, id, &bytes);
            use_of = dialect.use_of(id);
        });
        if let Some(name) = speaks {
            self.note_answer(name, None, out.len() > before);
        }
        if self.connections.get(id).is_none() {
            return;
        }
        match use_of {
            Use::Lasting => self.idle.cancel(&id),
            Use::Idle(_) if !self.idle.is_armed(&id) => self.idle.arm(now.instant, id),
            Use::Idle(_) | Use::Waiting => {}
        }
    }

    /// A connection begins to speak. False: it is not known what, or it has ended.
    fn begin(&mut self, now: Now, id: ConnId, told: Stream, out: &mut Outbox) -> bool {
        let Some(conn) = self.connections.get_mut(id) else { return false };
        let peer = conn.peer();
        let name = match told {
            Stream::Untold => return false,
            // GATE.PUNCH says nothing to that, and neither do we; but the owner is told why.
            Stream::Http => {
                let what = "it asks for a web page, which needs --public-lobby (a WebSocket of events is at \
                            /events)";
                self.detection.log_once(now.instant, peer.ip(), what);
                self.shared.refusals.note(now, None, Reason::Page, peer.ip());
                Name::Gmnet
            }
            Stream::Of(name) => name,
            Stream::Misframed(misframed) => {
                self.detection.log_once(now.instant, peer.ip(), misframed.what);
                self.shared.refusals.note(now, None, Reason::Malformed, peer.ip());
                if misframed.has_event && self.dialects.get(Name::Events).is_some() {
                    out.tcp(id, |bytes| events::write_misframed(bytes, misframed.what));
                    self.forget(id);
                    out.close(id);
                    return false;
                }
                Name::Gmnet
            }
        };
        let opened = Now { instant: conn.opened, unix: now.unix };
        conn.speaks = Some(name);
        let dialect = self.dialects.get_mut(name);
        let Some(dialect) = dialect.filter(|dialect| dialect.speaks()) else {
            let what = format_args!("it speaks {name}, which --dialects leaves out");
            self.detection.log_once(now.instant, peer.ip(), what);
            self.shared.refusals.note(now, Some(name), Reason::NotSpoken, peer.ip());
            self.forget(id);
            out.close(id);
            return false;
        };
        let shared = &mut self.shared;
        dialect.on_open(&mut Context { now: opened, out, shared }, id, peer);
        true
    }

    /// The peer will send nothing more, but may still read.
    pub fn on_fin(&mut self, now: Now, id: ConnId, out: &mut Outbox) {
        let Some(conn) = self.connections.get(id) else {
            self.with_window(now, |http, _| http.fin(id, out));
            return;
        };
        if conn.speaks.is_none() {
            if self.speaks_http(id) {
                return self.end_http(now, id, out);
            }
            self.forget(id);
            out.close(id);
            return;
        }
        self.with_dialect_of(now, id, out, |dialect, cx| dialect.on_fin(cx, id));
        // Whatever it stood for, it does not any more.
        if self.connections.get(id).is_some() {
            self.idle.arm(now.instant, id);
        }
    }

    /// The connection is gone, nothing can be sent on it any more.
    pub fn on_gone(&mut self, now: Now, conn: ConnId, out: &mut Outbox) {
        self.with_dialect_of(now, conn, out, |dialect, cx| dialect.on_gone(cx, conn));
        self.forget(conn);
        self.with_window(now, |http, _| _ = http.forget(conn));
    }

    /// Of how many sources connections have something to read, told before they are served.
    pub fn note_ready(&mut self, sources: usize) {
        // So few make no difference, and they come and go all the time.
        let sources = if sources < limits::ROUND * limits::SLICES { 0 } else { sources };
        if std::mem::replace(&mut self.ready, sources) != sources {
            self.dialects.all_mut().for_each(|dialect| dialect.note_ready(sources));
        }
    }

    /// When more is to be read from a connection.
    #[must_use]
    pub fn reads(&self, id: ConnId) -> Reads {
        let Some(conn) = self.connections.get(id) else {
            return self.window.as_ref().map_or(Reads::Now, |window| window.reads(id));
        };
        match conn.speaks.and_then(|name| self.dialects.get(name)) {
            Some(dialect) => dialect.reads(id),
            None => self.public.as_ref().map_or(Reads::Now, |public| public.reads(id)),
        }
    }

    /// How many bytes that were written to a connection wait for its peer to read; told whenever that
    /// changes from or to some.
    pub fn on_unread(&mut self, id: ConnId, bytes: usize) {
        let Some(conn) = self.connections.get(id) else {
            self.window.iter_mut().for_each(|window| window.note_unread(id, bytes));
            return;
        };
        if let Some(dialect) = conn.speaks.and_then(|name| self.dialects.get_mut(name)) {
            dialect.on_unread(id, bytes);
        } else if let Some(public) = &mut self.public {
            public.note_unread(id, bytes);
        }
    }

    /// What a connection is good for.
    #[must_use]
    pub fn use_of(&self, id: ConnId) -> Use {
        let Some(conn) = self.connections.get(id) else { return Use::Idle(Instant::default()) };
        match self.last_asked(id) {
            Some(asked) => Use::Idle(asked),
            None => use_of(&self.dialects, id, conn),
        }
    }
}

/// Whether anybody would miss this connection.
fn use_of(dialects: &Dialects, id: ConnId, conn: &Conn) -> Use {
    match conn.speaks.and_then(|name| dialects.get(name)) {
        Some(dialect) => dialect.use_of(id),
        None => Use::Idle(conn.opened),
    }
}
