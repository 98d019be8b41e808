//! What is done in a turn of the loop: datagrams are received, connections accepted and served, and what all that
//! brings is sent.

use std::net::Ipv6Addr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use log::debug;

use super::{EventLoop, tcp, udp};
use crate::clock::Now;
use crate::dialect::{ConnId, Output, Reads};
use crate::limits;

/// How long new connections are accepted, and others served, before the rest have their turn.
const SHARE: Duration = Duration::from_millis(1);

/// The same for datagrams, of which [`udp::BUDGET`] are mostly done in less.
const DATAGRAMS_SHARE: Duration = Duration::from_millis(2);

/// New connections that are taken in before the clock is looked at.
const ACCEPTED_UNWATCHED: usize = 8;

/// Connections that are served before the clock is looked at. Dialects do no more for one than takes a
/// quarter of a millisecond (see [`limits::SLICES`](crate::limits::SLICES)).
const SERVED_UNWATCHED: usize = 4;

impl EventLoop {
    /// Takes the datagrams that have come. Returns whether there were any.
    pub(super) fn receive_datagrams(&mut self, now: Now) -> bool {
        let (mut is_busy, mut are_any) = (false, false);
        let end = now.instant + DATAGRAMS_SHARE;
        let epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        for socket in 0..self.datagrams.len() {
            let mut spent = 0;
            while spent < udp::BUDGET {
                let received = self.datagrams.receive(now.instant, socket);
                if received == 0 {
                    break;
                }
                let before = self.out.len();
                (0..received).for_each(|i| self.take_datagram(now, epoch, socket, i));
                let answers = self.out.len() - before;
                spent += received + udp::ANSWER * answers;
                // Answers leave together, which is cheaper.
                let leave = self.out.len() >= udp::BATCH;
                if leave {
                    self.deliver(now);
                }
                let at = self.instant();
                if leave {
                    self.server.note_sent(at);
                }
                if at >= end {
                    is_busy = true;
                    break;
                }
            }
            self.deliver(now);
            is_busy |= spent >= udp::BUDGET;
            are_any |= spent > 0;
        }
        self.server.note_waited(Duration::ZERO);
        self.server.note_busy(is_busy);
        self.server.note_behind(now.instant - self.oldest);
        are_any
    }

    /// Takes number `i` of the datagrams that a socket has received.
    fn take_datagram(&mut self, now: Now, epoch: Duration, socket: usize, i: usize) {
        let Some(datagram) = self.datagrams.get(socket, i) else { return };
        let udp::Datagram { via, peer, came, data } = datagram;
        let waited = came.map_or(Duration::ZERO, |came| epoch.saturating_sub(came));
        let waited = waited.min(limits::WAITED);
        self.oldest = self.oldest.min(now.instant.before(waited));
        self.server.note_waited(waited);
        self.server.on_datagram(now, via, peer, data, &mut self.out);
    }

    pub(super) fn accept(&mut self, now: Now) {
        let mut end = None;
        let mut is_worth = true;
        for n in 1.. {
            if n % ACCEPTED_UNWATCHED == 0 {
                let at = self.instant();
                if at >= *end.get_or_insert(at + SHARE) {
                    break;
                }
            }
            let is_blocked = |addr| self.server.is_blocked(now, addr);
            match self.connections.accept(now.instant, is_blocked) {
                tcp::Accept::New(conn, peer) => {
                    let mut asks = false;
                    let began = || {
                        asks = true;
                        self.connections.began(now.instant, conn)
                    };
                    self.server.on_accept(now, began, conn, peer, &mut self.out);
                    self.deliver(now);
                    // Who connects just now has sent its datagram before, but perhaps after they were
                    // received.
                    if asks && is_worth {
                        self.datagrams.look_again();
                        is_worth = self.receive_datagrams(now);
                    }
                }
                tcp::Accept::Full(peer) => {
                    // Whoever it is has no connection yet.
                    let wants = peer.map_or(Ipv6Addr::UNSPECIFIED.into(), |peer| peer.ip());
                    let eviction_candidate = self.server.eviction_candidate(now, wants);
                    // At once, whatever it has not read yet.
                    eviction_candidate.into_iter().for_each(|conn| self.lose(now, conn));
                    self.connections.note_room(now.instant, eviction_candidate.is_some());
                }
                tcp::Accept::Nothing => break,
            }
        }
        self.connections.end_accept_turn();
    }

    /// Takes what other nodes have sent.
    pub(super) fn handle_node_messages(&mut self, now: Now) {
        #[cfg(feature = "cluster")]
        if let Some(mut nodes) = self.nodes.take() {
            let end = self.instant() + SHARE;
            let is_there = loop {
                match nodes.message() {
                    Ok(Some(bytes)) => {
                        self.server.on_node_bytes(now, &bytes, &mut self.out);
                        self.deliver(now);
                    }
                    Ok(None) => break true,
                    Err(_) => break false,
                }
                if self.instant() >= end {
                    // There may be more. If waking fails the next event brings them.
                    let _ = self.waker.wake();
                    break true;
                }
            };
            self.server.set_connected(now, is_there && nodes.is_connected());
            if is_there {
                self.nodes = Some(nodes);
            } else {
                log::error!(
                    "the connection to other nodes has stopped, and this one serves its own players alone: start \
                     punchd anew, and please report this with the lines above"
                );
            }
        }
        let _ = now;
    }

    /// Sends what other nodes are to be told. Without a way to them it is lost, as they are.
    pub(super) fn tell_nodes(&mut self) {
        // Those that they have asked for are there before they hear of it.
        self.open_sessions();
        for post in self.server.take_outbound() {
            #[cfg(feature = "cluster")]
            if let Some(nodes) = &self.nodes {
                nodes.send(post);
            }
            #[cfg(not(feature = "cluster"))]
            drop(post);
        }
    }

    /// Accepts connections to the owner's window.
    pub(super) fn accept_http(&mut self, now: Now) {
        for _ in 0..limits::WINDOW_ACCEPTED {
            let Some((stream, addr)) = self.connections.accept_http(now.instant) else { return };
            if self.server.is_shut_out(now, addr) {
                continue;
            }
            if self.connections.is_window_full() {
                // First those that are to read what was written to them, and nothing more.
                let leaving = self.connections.viewer_to_evict();
                let eviction_candidate = leaving.or_else(|| self.server.viewer_to_evict(addr));
                let Some(conn) = eviction_candidate else { continue };
                self.lose(now, conn);
            }
            let conn = self.connections.let_look(stream, addr);
            self.server.on_look(now, conn, addr);
        }
    }

    /// Lets those have their turn again of whom the dialects have done what they asked for before.
    fn look_at_parked(&mut self, now: Now) {
        for conn in self.connections.take_parked(now.instant) {
            if self.server.reads(conn) == Reads::NextTurn && !self.connections.is_reset(conn) {
                self.connections.park(now.instant, conn);
            } else {
                self.connections.line_up(conn);
            }
        }
    }

    pub(super) fn serve_connections(&mut self, now: Now) {
        let end = now.instant + SHARE;
        self.look_at_parked(now);
        let ready = self.connections.ready_len();
        self.server.note_ready(self.connections.ready_sources());
        for n in 1..=ready {
            let Some(conn) = self.connections.next_ready() else { break };
            let alive = self.flush(now, conn)
                && self.serve(now, conn)
                && self.connections.watch(conn, self.poll.registry());
            if !alive {
                self.lose(now, conn);
            }
            if n < ready && n % SERVED_UNWATCHED == 0 {
                let at = self.instant();
                self.server.note_sent(at);
                if at >= end {
                    break;
                }
            }
        }
    }

    /// Writes what a connection has not taken before, and tells how much is left. False: it is
    /// lost.
    fn flush(&mut self, now: Now, conn: ConnId) -> bool {
        let before = self.connections.unread(conn);
        let alive = self.connections.flush(now.instant, conn, self.poll.registry());
        if before > 0 {
            self.server.on_unread(conn, self.connections.unread(conn));
        }
        alive
    }

    /// Reads a connection once and has the dialect make something of it, unless that has enough of
    /// it for now. False: it is lost.
    fn serve(&mut self, now: Now, conn: ConnId) -> bool {
        match self.server.reads(conn) {
            Reads::Now => {}
            // Thousands of these would be looked at in every turn, until what they asked for is done.
            Reads::NextTurn | Reads::Later if self.connections.is_reset(conn) => return false,
            Reads::NextTurn => {
                self.connections.park(now.instant, conn);
                return true;
            }
            Reads::Later => {
                self.connections.rest(now.instant, conn);
                return true;
            }
        }
        match self.connections.read(now.instant, conn) {
            tcp::Read::Nothing => return true,
            tcp::Read::Bytes(bytes) => self.server.on_bytes(now, conn, bytes, &mut self.out),
            tcp::Read::Fin => self.server.on_fin(now, conn, &mut self.out),
            tcp::Read::Lost(error) => {
                debug!("connection {} lost: {error}", conn.slot);
                return false;
            }
        }
        self.deliver(now);
        true
    }

    pub(super) fn lose(&mut self, now: Now, conn: ConnId) {
        if self.connections.remove(conn) {
            self.server.on_gone(now, conn, &mut self.out);
            self.deliver(now);
        }
    }

    /// Does what the dialect wants done, and what comes of that. Datagrams first, as they leave
    /// together; the network does not keep them and what is written to connections in order either.
    pub(super) fn deliver(&mut self, now: Now) {
        while !self.out.is_empty() {
            self.open_sessions();
            let mut out = std::mem::take(&mut self.out);
            let mut lost = Vec::new();
            if out.has_datagrams() {
                self.datagrams.send_all(out.datagrams());
            }
            for output in out.outputs() {
                match output {
                    Output::Tcp(conn, bytes) => {
                        if !self.connections.write(now.instant, conn, bytes, self.poll.registry()) {
                            lost.push(conn);
                        }
                        let unread = self.connections.unread(conn);
                        if unread > 0 {
                            self.server.on_unread(conn, unread);
                        }
                        while let Some(other) = self.connections.take_unread() {
                            self.server.note_unread(now, other);
                            lost.push(other);
                        }
                    }
                    Output::Close(conn) => self.connections.close(now.instant, conn),
                    Output::Udp(..) => {}
                }
            }
            out.clear();
            self.out = out;
            for conn in lost {
                if self.connections.remove(conn) {
                    self.server.on_gone(now, conn, &mut self.out);
                }
            }
        }
    }
}
