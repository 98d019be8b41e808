//! What peers send is carried out in turns: a part of it each, so that nobody waits long for anybody else.

use super::event::{Event, Fault};
use super::framing::Go;
use super::wire::Wire;
use super::{Conn, Events, Handled};
use crate::dialect::{ConnId, Context};
use crate::refusals::Reason;

impl Events {
    /// Goes on with a connection that does not wait for its turn (any more): with what it has sent,
    /// as far as its part of this turn goes, and then its end, if it has come.
    pub(super) fn go_on(&mut self, cx: &mut Context<'_>, id: ConnId, has_waited: bool) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        self.work_queue.begin(cx.now.instant);
        let ahead = std::mem::take(&mut conn.ahead);
        if ahead.is_empty() {
            self.read_tls(cx, id, has_waited);
        } else {
            self.read_part(cx, id, &ahead, has_waited);
        }
        let Some(conn) = self.conns.get_mut(id) else { return };
        if conn.is_waiting() {
            if !self.throttled.is_armed(&id) {
                self.work_queue.wait(conn.addr.ip(), id);
            }
        } else if conn.finished {
            return self.end(id, cx.out);
        }
        self.note_held(cx, id);
    }

    /// Goes on with those who have sent faster than they may, if they may send now: what waits is read again to find
    /// out what it is, so that is not done without need.
    pub(super) fn go_on_with_throttled(&mut self, cx: &mut Context<'_>) {
        self.work_queue.begin(cx.now.instant);
        while !self.work_queue.is_spent()
            && let Some(id) = self.throttled.pop_due(cx.now.instant)
        {
            let Some(addr) = self.conns.get(id).map(|conn| conn.addr) else { continue };
            if self.passes.has_token(cx.now.instant, addr.ip()) {
                self.go_on(cx, id, true);
            } else {
                self.throttled.arm(cx.now.instant, id);
            }
        }
    }

    /// Carries out what a peer said, as far as its part of this turn goes, and up to what others would
    /// notice if that has not waited for its turn.
    pub(super) fn read_objects(
        &mut self,
        cx: &mut Context<'_>,
        id: ConnId,
        bytes: &[u8],
        has_waited: bool,
    ) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        let mut framer = std::mem::take(&mut conn.framer);
        let mut put_off = Vec::new();
        let read = framer.read(bytes, |object| {
            if !has_waited && Event::parse(object).is_ok_and(|event| event.is_for_many()) {
                put_off.extend_from_slice(object);
                return Go::Later;
            }
            match self.handle(cx, id, object) {
                Handled::Not => {
                    put_off.extend_from_slice(object);
                    Go::Later
                }
                Handled::So(go) => go,
            }
        });
        let Some(conn) = self.conns.get_mut(id) else { return };
        conn.framer = framer;
        match read {
            Err(error) => self.refuse(cx, id, &Fault::from(error)),
            Ok(ahead) => {
                if !put_off.is_empty() {
                    // What was skipped behind it is read again.
                    put_off.extend_from_slice(conn.framer.take_mark());
                }
                put_off.extend_from_slice(ahead);
                conn.ahead = put_off;
            }
        }
    }

    /// Goes on with what waits for a turn, as far as this turn goes.
    pub(super) fn take_turns(&mut self, cx: &mut Context<'_>) {
        if self.work_queue.is_empty() {
            return;
        }
        self.work_queue.begin_turn(cx.now.instant);
        while let Some(id) = self.work_queue.take() {
            self.go_on(cx, id, true);
        }
    }

    /// Counts what is kept of a connection until the rest comes. If that is too much of all, those
    /// who have most are closed.
    pub(super) fn note_held(&mut self, cx: &mut Context<'_>, id: ConnId) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        let held = conn.held() as u64;
        self.unfinished.change(conn.addr.ip(), id, conn.held, held);
        conn.held = held;
        while self.unfinished.total() > self.config.limits.total() as u64 {
            let Some(most) = self.unfinished.heaviest() else { return };
            let why = "too much is unfinished on all connections, and most of it is yours";
            self.refuse(cx, most, &Fault::new("busy", why).because(Reason::Unfinished));
        }
    }
}

impl Conn {
    /// Bytes that wait for the rest of what they belong to, or for a turn.
    pub(super) fn held(&self) -> usize {
        let tls = if let Wire::Tls(tls) = &self.wire { tls.held() } else { 0 };
        tls + self.form.held() + self.framer.size() + self.ahead.len()
    }

    /// Whether what its peer sends has to wait for the next turn.
    pub(super) fn is_waiting(&self) -> bool {
        let is_tls_waiting = matches!(&self.wire, Wire::Tls(tls) if tls.is_waiting());
        is_tls_waiting || !self.ahead.is_empty()
    }
}
