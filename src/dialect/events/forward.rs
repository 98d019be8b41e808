//! Events from peer to peer, and the confirmations and answers on their way back.

use std::sync::Arc;

use log::debug;

use super::event::{Event, Fault, Kind};
use super::rooms::no_such_room;
use super::routing::Route;
use super::{Context, Events, KNOWN_PASSES, Outbox};
use crate::dialect::ConnId;
use crate::limits;

impl Events {
    /// Passes an event on, or tells the sender why not.
    pub(super) fn forward(
        &mut self,
        cx: &mut Context<'_>,
        id: ConnId,
        event: &Event<'_>,
        dest: &str,
    ) {
        if let Err(fault) = self.try_forward(cx, id, event, dest) {
            debug!("an event for {dest:?} goes nowhere: {}", fault.message);
            self.deny(id, event, &fault, cx.out);
        }
    }

    fn try_forward(
        &mut self,
        cx: &mut Context<'_>,
        id: ConnId,
        event: &Event<'_>,
        dest: &str,
    ) -> Result<(), Fault> {
        let nobody = || Fault::new("no_such_peer", "nobody is logged in under that ID");
        let game = &self.peer(id).ok_or_else(nobody)?.game;
        let receiver = self.names.get(game, dest).ok_or_else(nobody)?;
        if let Some(guest) = self.guest(receiver) {
            // It is not at this node any more, where a peer of another one looks for it.
            let node = guest.node.filter(|_| self.guest(id).is_none()).ok_or_else(nobody)?;
            self.charge_passed(cx.now.instant, id, event.length, node)?;
            return self.pass_on(cx, id, event, (node, receiver));
        }
        let is_stranger = id != receiver && !self.are_together(id, receiver);
        self.check_room(id, receiver, event.length, is_stranger)?;
        let from = self.peer(id).map(|peer| Arc::clone(&peer.id)).ok_or_else(nobody)?;
        let routed = match event.kind {
            Kind::Pass => String::new(),
            _ => {
                let number = self.await_peer(cx, id, event, receiver)?;
                format!("\"{number}\"")
            }
        };
        self.note_sent(id, receiver, event.length);
        self.send(receiver, cx.out, |bytes| event.write_on(bytes, &routed, &from));
        Ok(())
    }

    /// Whether a peer may be sent so much more by another one, if it is at this node.
    ///
    /// # Errors
    /// If it has too much to read already.
    pub(super) fn check_room(
        &self,
        from: ConnId,
        to: ConnId,
        length: usize,
        is_stranger: bool,
    ) -> Result<(), Fault> {
        let addr = self.conns.get(from).map(|conn| conn.addr.ip());
        let unread = self.conns.get(to).map(|conn| &conn.unread);
        let has_room = addr
            .zip(unread)
            .is_none_or(|(addr, unread)| unread.has_room(addr, length, is_stranger));
        if !has_room || self.is_owed_much(to, length, is_stranger) {
            return Err(Fault::new("busy", "the peer does not read what it was sent before"));
        }
        Ok(())
    }

    /// A peer has sent another one so much.
    pub(super) fn note_sent(&mut self, from: ConnId, to: ConnId, length: usize) {
        let addr = self.conns.get(from).map(|conn| conn.addr.ip());
        if let Some((addr, conn)) = addr.zip(self.conns.get_mut(to)) {
            conn.unread.note_sent(addr, length);
        }
    }

    /// A peer waits from now on for what another one says to this event; returns the number of that.
    pub(super) fn await_peer(
        &mut self,
        cx: &mut Context<'_>,
        id: ConnId,
        event: &Event<'_>,
        receiver: ConnId,
    ) -> Result<u64, Fault> {
        let gone = || Fault::new("no_such_peer", "you are gone");
        let from = self.conns.get(id).map(|conn| conn.addr.ip()).ok_or_else(gone)?;
        let route = Route {
            kind: event.kind,
            sender: id,
            from,
            receiver,
            id: event.id.into(),
            name: (&*event.name).into(),
            is_of_node: false,
        };
        let number = self.routes.add(cx.now.instant, route);
        let (number, other) = number.map_err(|full| Fault::new("too_many", full.to_string()))?;
        if let Some(other) = other {
            let fault = Fault::new("too_many", "your address waits for too many peers");
            self.fail_route(&other, &fault, cx.out);
        }
        Ok(number)
    }

    /// Passes a confirmation or an answer on to who waits for it. One that comes too late, or
    /// that nobody has asked for, is dropped.
    pub(super) fn route_back(&mut self, cx: &mut Context<'_>, id: ConnId, event: &Event<'_>) {
        let kind = match event.kind {
            Kind::Response => Kind::Request,
            _ => Kind::ConfirmPass,
        };
        let Some(route) = number(event).and_then(|number| self.routes.take(number, kind, id))
        else {
            return;
        };
        if let Some(node) = self.guest(route.sender).and_then(|guest| guest.node)
            && let Err(fault) = self.charge_passed(cx.now.instant, id, event.length, node)
        {
            return self.fail_route(&route, &fault, cx.out);
        }
        // It has been asked, but may have waited until many ask, or until its peer cannot read.
        if let Err(fault) = self.check_room(id, route.sender, event.length, false) {
            return self.fail_route(&route, &fault, cx.out);
        }
        self.note_sent(id, route.sender, event.length);
        let Some(from) = self.peer(id).map(|peer| Arc::clone(&peer.id)) else { return };
        self.send(route.sender, cx.out, |bytes| event.write_on(bytes, &route.id, &from));
    }

    /// Whether a `confirm_pass` with a name is one that confirms: it has the ID and the name of one that
    /// this peer was sent and has not confirmed, and without that name it is for nobody else.
    pub(super) fn confirms(&self, id: ConnId, event: &Event<'_>) -> bool {
        let Some(route) = number(event).and_then(|number| self.routes.get(number)) else {
            return false;
        };
        let is_asked = route.kind == Kind::ConfirmPass && route.receiver == id;
        let sender = || self.peer(route.sender).map(|peer| &*peer.id);
        is_asked
            && match event.dest.as_deref() {
                None => *event.name == *route.name && !KNOWN_PASSES.contains(&&*event.name),
                dest => event.name.is_empty() && dest == sender(),
            }
    }

    /// Tells those who wait for peers that are gone, so many in a turn as others do not notice.
    pub(super) fn fail_waits_for_gone(&mut self, out: &mut Outbox) {
        for _ in 0..limits::FAILED_AT_ONCE {
            let Some(gone) = self.gone.front() else { return };
            match self.routes.pop_of(*gone) {
                Some(route) if route.is_of_node => self.fail_route(&route, &no_such_room(), out),
                Some(route) => {
                    self.fail_route(&route, &Fault::new("peer_left", "the peer has left"), out);
                }
                None => _ = self.gone.pop_front(),
            }
        }
    }

    /// Tells who waits that nothing will come.
    pub(super) fn fail_route(&mut self, route: &Route, fault: &Fault, out: &mut Outbox) {
        self.give_join_up(route, out);
        self.fail(route.sender, route.kind, &route.name, &route.id, fault, out);
    }
}

/// The number of the route that an answer is to take, if its ID is one that the server has given.
fn number(event: &Event<'_>) -> Option<u64> {
    event.id.trim_matches('"').parse().ok()
}
