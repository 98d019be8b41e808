//! How bytes travel on a connection: as they are, or through TLS, as its first byte tells.

use log::{debug, info, warn};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::event::Fault;
use super::handshakes::Begun;
use super::nodes::Guest;
use super::pages::Form;
use super::tls::{CERTIFICATE, Tls, explained};
use super::{Conn, Context, Events, Outbox};
use crate::dialect::sniff::TLS_HANDSHAKE;
use crate::dialect::{ConnId, Name};
use crate::limits;
use crate::refusals::Reason;

/// How bytes travel on a connection.
#[derive(Debug)]
pub(super) enum Wire {
    /// The first byte will tell.
    Unknown,
    Plain,
    Tls(Box<Tls>),
    /// It has broken; what was to be sent since then waits for its peer.
    Broken(Vec<u8>),
    /// It is at another node.
    Remote(Guest),
}

/// What is encrypted cannot go on elsewhere; it ends there as if it had broken, and nobody asks how it was.
impl Serialize for Wire {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let (is_known, owed) = match self {
            Self::Unknown => (false, None),
            Self::Plain | Self::Tls(_) => (true, None),
            Self::Broken(owed) => (true, Some(&**owed)),
            // Where it is, the other process hears.
            Self::Remote(_) => (true, Some(&[][..])),
        };
        (is_known, owed).serialize(to)
    }
}

impl<'de> Deserialize<'de> for Wire {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(match <(bool, Option<Vec<u8>>)>::deserialize(from)? {
            (_, Some(owed)) => Self::Broken(owed),
            (true, None) => Self::Plain,
            (false, None) => Self::Unknown,
        })
    }
}

impl Events {
    /// Finds out by its first byte whether a connection is encrypted.
    pub(super) fn begin(&mut self, cx: &mut Context<'_>, id: ConnId, first: u8) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        conn.wire = Wire::Plain;
        let addr = conn.addr;
        if first != TLS_HANDSHAKE {
            conn.form = Form::of(first);
            // Who asks for a WebSocket is refused when its request is whole: to what it sends after the end it would
            // hear a reset, and not read why.
            if self.config.tls_required && conn.form.is_bare() {
                self.refuse_plain(cx, id);
            }
            return;
        }
        let Some(acceptor) = &self.config.tls else {
            cx.refused(Name::Events, Reason::Tls, addr.ip());
            if self.lines.says(cx.now, addr.ip()) {
                warn!(
                    dialect = "events", event = "closed", address:% = addr, reason = Reason::Tls.name();
                    "{addr} closed: it wants TLS, and there is no certificate (--tls-cert)"
                );
            }
            return self.end(id, cx.out);
        };
        if !self.commands.allow(cx.now.instant, addr.ip()) {
            cx.refused(Name::Events, Reason::Requests, addr.ip());
            if self.lines.says(cx.now, addr.ip()) {
                info!(
                    dialect = "events", event = "closed", address:% = addr,
                    reason = Reason::Requests.name();
                    "{addr} closed: its address begins too many TLS connections"
                );
            }
            return self.end(id, cx.out);
        }
        self.commands.charge(cx.now.instant, addr.ip(), limits::HANDSHAKE - 1);
        let tls = match Tls::new(acceptor) {
            Ok(tls) => tls,
            Err(error) => {
                debug!("{addr} closed: {error}");
                return self.end(id, cx.out);
            }
        };
        match self.handshakes.begin(cx.now.instant, addr.ip(), id) {
            Begun::Yes => {}
            Begun::InsteadOf(other) => {
                debug!("{addr} takes the place of a handshake that has waited long");
                self.end(other, cx.out);
            }
            Begun::No => {
                if self.lines.says(cx.now, addr.ip()) {
                    info!(
                        dialect = "events", event = "closed", address:% = addr,
                        reason = Reason::Tls.name();
                        "{addr} closed: too many TLS handshakes are under way"
                    );
                }
                cx.refused(Name::Events, Reason::Tls, addr.ip());
                return self.end(id, cx.out);
            }
        }
        if let Some(conn) = self.conns.get_mut(id) {
            conn.wire = Wire::Tls(Box::new(tls));
        }
    }

    /// Refuses who comes without TLS.
    pub(super) fn refuse_plain(&mut self, cx: &mut Context<'_>, id: ConnId) {
        let fault = Fault::new("tls_required", "this server speaks TLS only");
        self.refuse(cx, id, &fault.because(Reason::Tls));
    }

    /// Takes what came, and reads it unless there is more to do before. A handshake is work that
    /// others would notice, so it waits until they have been served.
    pub(super) fn take_in(&mut self, cx: &mut Context<'_>, id: ConnId, bytes: &[u8]) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        let (addr, was_waiting) = (conn.addr, conn.is_waiting());
        match &mut conn.wire {
            Wire::Tls(tls) => tls.keep(bytes),
            Wire::Broken(_) | Wire::Remote(_) => {}
            Wire::Plain | Wire::Unknown => conn.ahead.extend_from_slice(bytes),
        }
        if let Wire::Tls(tls) = &conn.wire
            && tls.is_handshaking()
        {
            self.handshakes.wait(cx.now.instant, addr.ip(), id);
            if tls.is_too_long() {
                debug!("{addr} closed: its handshake is too long");
                cx.refused(Name::Events, Reason::Tls, addr.ip());
                return self.end(id, cx.out);
            }
            return self.note_held(cx, id);
        }
        if was_waiting {
            return self.note_held(cx, id);
        }
        let has_waited = !self.work_queue.is_crowded();
        self.go_on(cx, id, has_waited);
    }

    /// Decrypts what came, answers what TLS itself wants answered, and carries out the rest.
    pub(super) fn read_tls(&mut self, cx: &mut Context<'_>, id: ConnId, has_waited: bool) {
        let Some(Conn { addr, wire: Wire::Tls(tls), .. }) = self.conns.get_mut(id) else { return };
        let (addr, was_handshaking) = (*addr, tls.is_handshaking());
        let (mut plain, mut answer) = (Vec::new(), Vec::new());
        let work_queue = &mut self.work_queue;
        let go_on = |work| {
            work_queue.spend(work);
            !work_queue.is_slice_spent()
        };
        let read = tls.read(go_on, &mut plain, &mut answer);
        let (closed, is_handshaking) = (tls.is_closed(), tls.is_handshaking());
        if was_handshaking && !answer.is_empty() {
            self.handshakes.spend();
            self.handshakes.note(cx.now.instant, addr.ip(), id);
        }
        if was_handshaking && !is_handshaking {
            self.handshakes.end(addr.ip(), id);
        }
        if !answer.is_empty() {
            cx.out.tcp(id, |bytes| bytes.extend_from_slice(&answer));
        }
        self.read_part(cx, id, &plain, has_waited);
        if let Err(error) = &read {
            cx.refused(Name::Events, Reason::Tls, addr.ip());
            if self.lines.says(cx.now, addr.ip()) {
                info!(
                    dialect = "events", event = "closed", address:% = addr, reason = Reason::Tls.name();
                    "{addr} (events) closed: {}", explained(error)
                );
            }
        }
        if let Some(conn) = self.conns.get_mut(id) {
            conn.finished |= closed;
        }
    }

    /// A connection ends. If that is in the middle of TLS, the game most likely does not like the certificate:
    /// most of them do not say so.
    pub(super) fn note_distrust(&mut self, cx: &mut Context<'_>, id: ConnId) {
        let Some(Conn { addr, wire: Wire::Tls(tls), .. }) = self.conns.get(id) else { return };
        if !tls.waits_for_trust() {
            return;
        }
        let addr = *addr;
        cx.refused(Name::Events, Reason::Tls, addr.ip());
        if self.lines.says(cx.now, addr.ip()) {
            info!(
                dialect = "events", event = "closed", address:% = addr, reason = Reason::Tls.name();
                "{addr} (events) closed: it ended TLS when it had seen the certificate, so most likely the game \
                 does not trust that: {CERTIFICATE}"
            );
        }
    }

    /// Goes on with handshakes that had to wait, as far as this turn goes.
    pub(super) fn go_on_with_handshakes(&mut self, cx: &mut Context<'_>) {
        let has_waited = !self.work_queue.is_crowded();
        self.work_queue.begin_turn(cx.now.instant);
        while !self.work_queue.is_spent()
            && let Some(id) = self.handshakes.take(cx.now.instant)
        {
            self.go_on(cx, id, has_waited);
        }
    }

    /// Sends what is no event, as it is.
    pub(super) fn send_raw(&mut self, id: ConnId, out: &mut Outbox, bytes: &[u8]) {
        let Some(conn) = self.conns.get_mut(id).filter(|_| !bytes.is_empty()) else { return };
        match &mut conn.wire {
            Wire::Tls(tls) => out.tcp(id, |encrypted| tls.write(bytes, encrypted)),
            Wire::Plain | Wire::Unknown => out.tcp(id, |plain| plain.extend_from_slice(bytes)),
            Wire::Broken(_) | Wire::Remote(_) => {}
        }
    }

    /// Sends events to a connection in one piece.
    pub(super) fn send(&mut self, id: ConnId, out: &mut Outbox, fill: impl FnOnce(&mut Vec<u8>)) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        match &mut conn.wire {
            Wire::Tls(tls) => {
                let mut plain = Vec::new();
                if conn.form.is_bare() {
                    fill(&mut plain);
                } else {
                    let mut events = Vec::new();
                    fill(&mut events);
                    conn.form.write(&events, &mut plain);
                }
                out.tcp(id, |bytes| tls.write(&plain, bytes));
            }
            Wire::Plain | Wire::Unknown if conn.form.is_bare() => out.tcp(id, fill),
            Wire::Plain | Wire::Unknown => {
                let mut events = Vec::new();
                fill(&mut events);
                out.tcp(id, |bytes| conn.form.write(&events, bytes));
            }
            Wire::Remote(_) => self.write_to_guest(id, out, fill),
            Wire::Broken(_) if conn.finished => {}
            Wire::Broken(owed) => {
                fill(owed);
                if owed.len() > 2 * limits::OWED {
                    // A gap would not be noticed.
                    (*owed, conn.finished) = (Vec::new(), true);
                    self.overdue.push_back(id);
                }
            }
        }
    }
}
