//! Events are carried out, those for the server and those for other peers.

use log::warn;
use tungstenite::protocol::frame::coding::CloseCode;

use super::answering::count;
use super::event::{self, Event, EventError, Fault, Kind, Remains};
use super::framing::Go;
use super::{Events, Handled};
use crate::dialect::{ConnId, Context, Name};
use crate::limits;
use crate::refusals::Reason;

impl Events {
    /// Carries out an event, unless it has to wait, and counts what that took: each message is a system
    /// call.
    pub(super) fn handle(&mut self, cx: &mut Context<'_>, id: ConnId, object: &[u8]) -> Handled {
        let (messages, size) = (cx.out.len(), cx.out.size());
        if !self.carry_out(cx, id, object) {
            self.work_queue.spend(limits::COMMAND_WORK + object.len());
            return Handled::Not;
        }
        let (messages, size) = (cx.out.len() - messages, cx.out.size() - size);
        self.work_queue.spend(limits::COMMAND_WORK * messages.max(1) + object.len() + size);
        Handled::So(match self.conns.get(id) {
            None => Go::Stop,
            Some(_) if self.work_queue.is_slice_spent() => Go::Later,
            Some(_) => Go::On,
        })
    }

    /// False: its sender sends faster than it may, and it waits.
    pub(super) fn carry_out(&mut self, cx: &mut Context<'_>, id: ConnId, object: &[u8]) -> bool {
        let Some(conn) = self.conns.get_mut(id) else { return true };
        let addr = conn.addr;
        if let Some(peer) = &mut conn.peer {
            if let Some((_, is_there)) = &mut peer.wanted {
                *is_there = true;
            }
            self.silent.arm(cx.now.instant, id);
            self.asked.cancel(&id);
        }
        match Event::parse(object) {
            Err(error) => {
                let fault = Fault::new(error.code(), error.to_string());
                let fault = fault.because(Reason::Malformed);
                let goes_on = matches!(error, EventError::Field(_));
                if !goes_on {
                    self.note_refused(cx, addr, &fault);
                } else if !self.commands.allow(cx.now.instant, addr.ip()) {
                    cx.refused(Name::Events, Reason::Requests, addr.ip());
                    return true;
                } else {
                    count(cx, addr, &fault);
                }
                let remains = Remains::of(object);
                self.send(id, cx.out, |bytes| remains.write_refusal(bytes, &fault, goes_on));
                if !goes_on {
                    self.say_goodbye(id, CloseCode::Policy, cx.out);
                    self.end(id, cx.out);
                }
            }
            Ok(mut event) => {
                if event.kind == Kind::ConfirmPass && self.confirms(id, &event) {
                    event.kind = Kind::Confirmation;
                }
                let for_server = event.dest.is_none()
                    && !matches!(event.kind, Kind::Confirmation | Kind::Response);
                let rates = if for_server { &mut self.commands } else { &mut self.passes };
                if rates.allow(cx.now.instant, addr.ip()) {
                    self.execute(cx, id, &event);
                } else if for_server {
                    if let Some(before) = self.much.say(cx.now.instant) {
                        warn!(
                            dialect = "events", event = "refused", address:% = addr,
                            reason = Reason::Requests.name();
                            "{addr} (events) asks for more than --max-commands allows{before}"
                        );
                    }
                    cx.refused(Name::Events, Reason::Requests, addr.ip());
                    let fault = Fault::new("too_many", "you send too much, try again later");
                    self.deny(id, &event, &fault, cx.out);
                } else {
                    self.throttled.arm(cx.now.instant, id);
                    return false;
                }
            }
        }
        true
    }

    pub(super) fn execute(&mut self, cx: &mut Context<'_>, id: ConnId, event: &Event<'_>) {
        let is_login = event.kind == Kind::Request && event.dest.is_none() && event.name == "login";
        if self.peer(id).is_none() && !is_login {
            let fault = Fault::new("not_logged_in", "log in first");
            return match event.kind {
                Kind::ConfirmPass | Kind::Request => self.deny(id, event, &fault, cx.out),
                _ => self.send(id, cx.out, |bytes| event.write_refusal(bytes, &fault)),
            };
        }
        match (event.kind, &event.dest) {
            (Kind::Confirmation | Kind::Response, _) => self.route_back(cx, id, event),
            (_, Some(dest)) => self.forward(cx, id, event, dest),
            (Kind::Request, None) => {
                if let Err(fault) = self.request(cx, id, event) {
                    if let Some(addr) = self.conns.get(id).map(|conn| conn.addr) {
                        count(cx, addr, &fault);
                    }
                    if event.name == "join_room" {
                        self.note_unmet(cx, id, event, &fault);
                    }
                    self.deny(id, event, &fault, cx.out);
                }
            }
            (Kind::Pass | Kind::ConfirmPass, None) => self.receive_pass(cx, id, event),
        }
    }

    /// Carries out a request to the server; each answers for itself if it succeeds.
    pub(super) fn request(
        &mut self,
        cx: &mut Context<'_>,
        id: ConnId,
        event: &Event<'_>,
    ) -> Result<(), Fault> {
        if let Some(passed_on) = self.forward_to_room(cx, id, event) {
            return passed_on;
        }
        match &*event.name {
            "login" => self.login(cx, id, event),
            "local_endpoints" => self.local_endpoints(cx, id, event),
            "create_room" => self.create_room(cx, id, event),
            "update_room" => self.update_room(cx, id, event),
            "delete_room" => self.delete_room(id, event, cx.out),
            "list_rooms" => self.list_rooms(cx, id, event),
            "watch_rooms" => self.watch_rooms(cx, id, event),
            "unwatch_rooms" => {
                self.unwatch_rooms(id, event, cx.out);
                Ok(())
            }
            "join_room" => self.join_room(cx, id, event),
            "quick_join" => self.quick_join(cx, id, event),
            "leave_room" => self.leave_room(id, event, cx.out),
            "kick" => self.kick(id, event, cx.out),
            "let_in" => self.let_in(id, event, cx.out),
            "ping" => {
                self.answer(id, event, &event::Nothing {}, cx.out);
                Ok(())
            }
            _ => Err(Fault::new("unknown_request", "the server knows no such request")),
        }
    }

    /// A pass to the server.
    pub(super) fn receive_pass(&mut self, cx: &mut Context<'_>, id: ConnId, event: &Event<'_>) {
        let received = match (&*event.name, self.forward_to_room(cx, id, event)) {
            // What confirms it comes from there.
            (_, Some(Ok(()))) => return,
            (_, Some(refused)) => refused,
            ("punch_result", None) => self.punch_result(cx, id, event),
            (_, None) => Err(Fault::new("unknown_pass", "the server knows no such pass")),
        };
        match received {
            Ok(()) if event.kind == Kind::ConfirmPass => {
                self.send(id, cx.out, |bytes| event::write_confirmation(bytes, event.id, None));
            }
            Ok(()) => {}
            Err(fault) => self.deny(id, event, &fault, cx.out),
        }
    }
}
