//! Peers that come by WebSocket: what they send is taken out of its frames, and what they are told is put
//! into some. All else is as with others.

use serde::{Deserialize, Serialize};
use tungstenite::protocol::frame::coding::CloseCode;

use super::event::Fault;
use super::web::{self, Asked, Frames, Part, WebError};
use super::wire::Wire;
use super::{Conn, ConnId, Context, Events, Outbox};
use crate::dialect::Name;
use crate::limits;
use crate::refusals::Reason;

/// How events are told apart on a connection.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) enum Form {
    /// Its first byte will tell.
    #[default]
    Untold,
    /// By themselves: one object follows the other.
    Objects,
    /// It asks for a WebSocket, and has not finished.
    Asking(#[serde(with = "crate::state::bytes")] Vec<u8>),
    /// By the messages of a WebSocket.
    Web(Box<Frames>),
}

/// What begins a request of HTTP, and no event.
const GET: u8 = b'G';

impl Form {
    /// Told by what a connection begins with.
    pub(super) fn of(first: u8) -> Self {
        if first == GET { Self::Asking(Vec::new()) } else { Self::Objects }
    }

    /// Bytes that are kept until more come.
    pub(super) fn held(&self) -> usize {
        match self {
            Self::Untold | Self::Objects => 0,
            Self::Asking(head) => head.len(),
            Self::Web(frames) => frames.held(),
        }
    }

    /// Appends events that somebody is told.
    pub(super) fn write(&self, events: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Untold | Self::Objects => out.extend_from_slice(events),
            // It is refused before it has opened anything.
            Self::Asking(_) => {
                let why = String::from_utf8_lossy(events);
                out.extend_from_slice(web::refusal("403 Forbidden", &why).as_bytes());
            }
            Self::Web(frames) => frames.write(events, out),
        }
    }

    /// Appends a goodbye, if this has one.
    pub(super) fn close(&mut self, code: CloseCode, out: &mut Vec<u8>) {
        if let Self::Web(frames) = self {
            frames.close(code, out);
        }
    }

    /// Whether events go as they are.
    pub(super) const fn is_bare(&self) -> bool {
        matches!(self, Self::Untold | Self::Objects)
    }
}

impl Events {
    /// Goes on with what somebody has sent, decrypted.
    pub(super) fn read_part(
        &mut self,
        cx: &mut Context<'_>,
        id: ConnId,
        bytes: &[u8],
        has_waited: bool,
    ) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        if let (Form::Untold, Some(first)) = (&conn.form, bytes.first()) {
            conn.form = Form::of(*first);
        }
        match &mut conn.form {
            Form::Untold | Form::Objects => self.read_objects(cx, id, bytes, has_waited),
            Form::Asking(head) => {
                head.extend_from_slice(bytes);
                let head = std::mem::take(head);
                self.open_web(cx, id, head, has_waited);
            }
            Form::Web(_) => self.read_frames(cx, id, bytes, has_waited),
        }
    }

    /// Answers the request for a WebSocket when it has come.
    fn open_web(&mut self, cx: &mut Context<'_>, id: ConnId, head: Vec<u8>, has_waited: bool) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        let addr = conn.addr;
        let (answer, length) = match web::read_opening(&head) {
            Asked::Partial => {
                conn.form = Form::Asking(head);
                return;
            }
            _ if self.config.tls_required && matches!(conn.wire, Wire::Plain) => {
                conn.form = Form::Asking(Vec::new());
                return self.refuse_plain(cx, id);
            }
            Asked::Opens(answer, length) => (answer, length),
            Asked::Not(answer) => {
                self.send_raw(id, cx.out, answer.as_bytes());
                cx.refused(Name::Events, Reason::Malformed, addr.ip());
                return self.end(id, cx.out);
            }
        };
        if !self.commands.allow(cx.now.instant, addr.ip()) {
            cx.refused(Name::Events, Reason::Requests, addr.ip());
            let why = "you ask for too much, try again later";
            self.send_raw(id, cx.out, web::refusal("429 Too Many Requests", why).as_bytes());
            return self.end(id, cx.out);
        }
        self.send_raw(id, cx.out, answer.as_bytes());
        if let Some(conn) = self.conns.get_mut(id) {
            conn.form = Form::Web(Box::default());
        }
        self.read_frames(cx, id, head.get(length..).unwrap_or_default(), has_waited);
    }

    /// Carries out what comes in frames, as far as the part of this turn goes.
    fn read_frames(&mut self, cx: &mut Context<'_>, id: ConnId, bytes: &[u8], has_waited: bool) {
        let mut rest = bytes;
        while let Some(conn) = self.conns.get_mut(id) {
            let Form::Web(frames) = &mut conn.form else { return };
            let before = rest.len();
            let part = match frames.next(&mut rest) {
                Ok(None) => return,
                Ok(Some(part)) => part,
                Err(error) => return self.refuse_frame(cx, id, error),
            };
            self.work_queue.spend(limits::FRAME_WORK + before - rest.len());
            match part {
                Part::Message(message) => self.read_message(cx, id, &message, has_waited),
                Part::Nothing => {}
                Part::Ping(said) => self.pong(cx, id, &said),
                Part::Close(said) => {
                    self.say_goodbye(id, web::code_of(&said), cx.out);
                    if let Some(conn) = self.conns.get_mut(id) {
                        conn.finished = true;
                    }
                    return;
                }
            }
            let Some(conn) = self.conns.get_mut(id) else { return };
            // What waits of a message comes before what is behind it.
            if !conn.ahead.is_empty() || self.work_queue.is_slice_spent() {
                if !conn.ahead.is_empty() {
                    conn.ahead = web::as_sent(&conn.ahead);
                }
                conn.ahead.extend_from_slice(rest);
                return;
            }
        }
    }

    /// Carries out a message. What it begins has to end with it.
    fn read_message(&mut self, cx: &mut Context<'_>, id: ConnId, message: &[u8], has_waited: bool) {
        self.read_objects(cx, id, message, has_waited);
        let is_whole = self.conns.get(id).is_none_or(|conn| conn.framer.size() == 0);
        if !is_whole {
            let fault = Fault::new("bad_json", "an event ends with the message that it is in");
            self.refuse(cx, id, &fault.because(Reason::Malformed));
        }
    }

    /// Each is a message of the server, so that they count as commands; more are not answered.
    fn pong(&mut self, cx: &mut Context<'_>, id: ConnId, said: &[u8]) {
        let Some(conn) = self.conns.get(id) else { return };
        self.work_queue.spend(limits::COMMAND_WORK);
        if !self.commands.allow(cx.now.instant, conn.addr.ip()) {
            return cx.refused(Name::Events, Reason::Requests, conn.addr.ip());
        }
        let mut pong = Vec::new();
        if let Form::Web(frames) = &conn.form {
            frames.write_pong(said, &mut pong);
        }
        self.send_raw(id, cx.out, &pong);
    }

    fn refuse_frame(&mut self, cx: &mut Context<'_>, id: ConnId, error: WebError) {
        let (fault, reason) = match error {
            WebError::TooLong => {
                let most = format!("an event has at most {} bytes", limits::OBJECT);
                (Fault::new("too_long", most), Reason::TooLong)
            }
            WebError::Unmasked => (Fault::new("bad_frame", UNMASKED), Reason::Malformed),
            WebError::Malformed => (Fault::new("bad_frame", MALFORMED), Reason::Malformed),
        };
        let fault = fault.because(reason);
        if let Some(addr) = self.conns.get(id).map(|conn| conn.addr) {
            self.note_refused(cx, addr, &fault);
        }
        self.complain(id, &fault, cx.out);
        self.say_goodbye(id, error.code(), cx.out);
        self.end(id, cx.out);
    }

    /// Tells somebody that nothing more comes, if that is usual where he comes from.
    pub(super) fn say_goodbye(&mut self, id: ConnId, code: CloseCode, out: &mut Outbox) {
        let mut goodbye = Vec::new();
        if let Some(conn) = self.conns.get_mut(id) {
            conn.form.close(code, &mut goodbye);
        }
        self.send_raw(id, out, &goodbye);
    }

    /// Says it and ends what encrypts it.
    pub(super) fn hang_up(&mut self, id: ConnId, out: &mut Outbox) {
        self.say_goodbye(id, CloseCode::Away, out);
        if let Some(Conn { wire: Wire::Tls(tls), .. }) = self.conns.get_mut(id) {
            out.tcp(id, |bytes| tls.close(bytes));
        }
    }
}

const UNMASKED: &str = "a client has to mask its WebSocket frames";
const MALFORMED: &str = "this is no WebSocket frame that may come now";
