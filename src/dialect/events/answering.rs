//! What peers are told, and how connections end.

use std::net::SocketAddr;

use log::info;
use serde::Serialize;
use tungstenite::protocol::frame::coding::CloseCode;

use super::event::{self, Event, Fault, Kind};
use super::wire::Wire;
use super::{Conn, Events};
use crate::clock::Now;
use crate::dialect::{ConnId, Context, Name, Outbox};
use crate::limits;
use crate::refusals::Reason;

impl Events {
    /// What a peer does makes the server tell so many others: that counts as commands of its own.
    pub(super) fn charge(&mut self, now: Now, id: ConnId, told: usize) {
        let Some(conn) = self.conns.get(id) else { return };
        let tokens = (told / limits::TOLD_PER_COMMAND) as u32;
        self.commands.charge(now.instant, conn.addr.ip(), tokens);
    }

    /// Tells somebody something that is not an answer.
    pub(super) fn tell(&mut self, id: ConnId, name: &str, data: &impl Serialize, out: &mut Outbox) {
        self.send(id, out, |bytes| event::write_pass(bytes, name, data));
    }

    /// Answers a request.
    pub(super) fn answer(
        &mut self,
        id: ConnId,
        event: &Event<'_>,
        data: &impl Serialize,
        out: &mut Outbox,
    ) {
        self.send(id, out, |bytes| {
            event::write_response(bytes, &event.name, event.id, Ok(data));
        });
    }

    /// Tells who waits for something that it will not come.
    pub(super) fn deny(&mut self, id: ConnId, event: &Event<'_>, fault: &Fault, out: &mut Outbox) {
        self.fail(id, event.kind, &event.name, event.id, fault, out);
    }

    pub(super) fn fail(
        &mut self,
        id: ConnId,
        kind: Kind,
        name: &str,
        event_id: &str,
        fault: &Fault,
        out: &mut Outbox,
    ) {
        match kind {
            Kind::Request => self.send(id, out, |bytes| {
                event::write_response(bytes, name, event_id, Err::<&(), _>(fault));
            }),
            Kind::ConfirmPass => self.send(id, out, |bytes| {
                event::write_confirmation(bytes, event_id, Some(fault));
            }),
            Kind::Pass | Kind::Confirmation | Kind::Response => {}
        }
    }

    /// Tells what is wrong with something that nobody waits for an answer to.
    pub(super) fn complain(&mut self, id: ConnId, fault: &Fault, out: &mut Outbox) {
        self.tell(id, "error", fault, out);
    }

    /// Closes a connection whose peer does what it may not.
    pub(super) fn refuse(&mut self, cx: &mut Context<'_>, id: ConnId, fault: &Fault) {
        if let Some(addr) = self.conns.get(id).map(|conn| conn.addr) {
            self.note_refused(cx, addr, fault);
        }
        self.complain(id, fault, cx.out);
        self.say_goodbye(id, CloseCode::Policy, cx.out);
        self.end(id, cx.out);
    }

    /// Says in the log why a connection is closed. Who is at this address sees no more than that it is.
    pub(super) fn note_refused(&mut self, cx: &mut Context<'_>, addr: SocketAddr, fault: &Fault) {
        count(cx, addr, fault);
        if self.lines.says_now(addr.ip()) {
            let reason = fault.refusal.map_or(fault.code, Reason::name);
            info!(
                dialect = "events", event = "closed", address:% = addr, reason = reason;
                "{addr} (events) closed: {}", of_another(&fault.message)
            );
        }
    }

    /// Closes a connection whose peer has ended it, behind all that it has said.
    pub(super) fn finish(&mut self, id: ConnId, out: &mut Outbox) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        conn.finished = true;
        if !conn.is_waiting() {
            self.end(id, out);
        }
    }

    /// Closes a connection from our side, because its peer has ended it, or for what the log has said.
    pub(super) fn end(&mut self, id: ConnId, out: &mut Outbox) {
        let has_left = self.conns.get(id).is_some_and(|conn| conn.finished);
        self.end_because(id, has_left.then_some("it closed its connection"), out);
    }

    /// Closes a connection, or gives up a place, for this reason.
    pub(super) fn end_because(&mut self, id: ConnId, why: Option<&str>, out: &mut Outbox) {
        self.log_out(id, why, out);
        let is_broken = self.conns.is_broken(id);
        self.say_goodbye(id, CloseCode::Normal, out);
        let Some(conn) = self.forget(id) else { return };
        if is_broken {
            return;
        }
        if let Wire::Tls(mut tls) = conn.wire {
            out.tcp(id, |bytes| tls.close(bytes));
        }
        out.close(id);
    }

    pub(super) fn forget(&mut self, id: ConnId) -> Option<Conn> {
        let conn = self.conns.remove(id)?;
        self.unfinished.change(conn.addr.ip(), id, conn.held, 0);
        if let Wire::Tls(tls) = &conn.wire
            && tls.is_handshaking()
        {
            self.handshakes.end(conn.addr.ip(), id);
        }
        self.strangers.cancel(&id);
        self.throttled.cancel(&id);
        self.broken.cancel(&id);
        Some(conn)
    }
}

/// What somebody was told of himself, as it is told the owner.
fn of_another(told: &str) -> String {
    const WORDS: [(&str, &str); 6] = [
        ("you are ", "it is "),
        ("you have ", "it has "),
        ("you ask ", "it asks "),
        ("you send ", "it sends "),
        ("yours", "its own"),
        ("your ", "its "),
    ];
    WORDS.iter().fold(told.to_owned(), |told, (own, its)| told.replace(own, its))
}

/// Counts what the server itself refuses to who is at this address.
pub(super) fn count(cx: &mut Context<'_>, addr: SocketAddr, fault: &Fault) {
    if let Some(reason) = fault.refusal {
        cx.refused(Name::Events, reason, addr.ip());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_is_not_told_what_he_has_done() {
        for (told, its) in [
            ("you have not logged in", "it has not logged in"),
            (
                "too much is unfinished, and most of it is yours",
                "too much is unfinished, and most of it is its own",
            ),
            ("you are back on another connection", "it is back on another connection"),
            ("this server speaks TLS only", "this server speaks TLS only"),
        ] {
            assert_eq!(of_another(told), its);
        }
    }
}
