//! What goes into the two halves and comes out of them, and the messages that go between them.

use std::net::SocketAddr;
use std::rc::Rc;

use punchd::dialect::{ConnId, Output, Via};
use punchd::introductions::relay::{End, Order, Report};

use super::super::network::MASTER;
use super::super::trace::Who;
use super::host::KNOCK;
use super::meddlers::MEDDLED;
use super::network::Event;
use super::plan::{ALTERNATE, Forger, MASTER6, OTHER_PORT, is_relay};
use super::players::Player;
use super::promises::{Kept, Promise, broken};
use super::world::World;

/// Bytes of a long packet that are written down.
const NOTED: usize = 64;

/// Where GameMaker's header ends.
const KIND_AT: usize = 12;

/// The server, on the thread of the event loop.
impl World {
    pub(super) fn open(&mut self, link: usize) -> Kept {
        let source = self.net.links[link].source;
        self.generation += 1;
        let slot = self.free.pop().unwrap_or(self.conns.len() as u32);
        let conn = ConnId { slot, generation: self.generation };
        self.conns.insert(conn, link);
        self.net.links[link].conn = Some(conn);
        self.trace.note(self.net.now, "open", Who::Peer(source), b"");
        self.given.open(conn, source.ip());
        let now = self.now();
        self.server.on_accept(now, || now.instant, conn, source, &mut self.out);
        self.turn()
    }

    pub(super) fn bytes(&mut self, link: usize, bytes: &[u8]) -> Kept {
        let Some(conn) = self.net.links[link].conn else { return Ok(()) };
        self.trace.note(self.net.now, "bytes", Who::Conn(conn), bytes);
        self.given.arrives(self.net.now, conn, bytes);
        self.server.on_bytes(self.now(), conn, bytes, &mut self.out);
        self.turn()
    }

    pub(super) fn end(&mut self, link: usize, is_reset: bool) -> Kept {
        let Some(conn) = self.net.links[link].conn else { return Ok(()) };
        self.trace.note(self.net.now, "end", Who::Conn(conn), b"");
        self.given.ends(self.net.now, conn, true);
        if !is_reset {
            self.server.on_fin(self.now(), conn, &mut self.out);
            self.turn()?;
        }
        // Those of whom the server thinks no more it does not hear of.
        if self.conns.contains_key(&conn) {
            self.server.on_gone(self.now(), conn, &mut self.out);
            self.forget(conn);
        }
        self.turn()?;
        self.check_journal()
    }

    fn forget(&mut self, conn: ConnId) {
        if let Some(link) = self.conns.remove(&conn) {
            self.net.links[link].conn = None;
            self.free.push(conn.slot);
        }
    }

    /// Does what the server wants done: the relay's thread is told first.
    pub(super) fn turn(&mut self) -> Kept {
        let new: Vec<Order> = self.server.new_sessions().collect();
        let out = std::mem::take(&mut self.out);
        let at = self.in_month();
        let pairs = self.given.turn(at, &new, out.outputs())?;
        for order in new {
            if let Order::Close(id, _) = order {
                self.flows.excuse_session(id);
            }
            self.channel.push_back(order);
            let delay = self.net.rng.millis(self.net.plan.handover.clone());
            self.net.after(delay, Event::ThreadWakes);
        }
        for output in out.outputs() {
            match output {
                Output::Tcp(conn, bytes) => {
                    self.trace.note(self.net.now, "  write", Who::Conn(conn), bytes);
                    if let Some(link) = self.conns.get(&conn) {
                        self.net.tell(*link, bytes);
                    }
                }
                Output::Close(conn) => {
                    self.trace.note(self.net.now, "  close", Who::Conn(conn), b"");
                    self.forget(conn);
                }
                // Players do not hear the server there.
                Output::Udp(_, to, bytes) => {
                    self.trace.note(self.net.now, "  send", Who::Peer(to), bytes);
                }
            }
        }
        for pair in pairs {
            let link = |conn| self.conns.get(&conn).map(|link| self.net.links[*link].player);
            let [client, host] = pair.conns.map(link);
            if let (Some(client), Some(host)) = (client, host)
                && self.net.plan.forger != Forger::Persists
            {
                self.flows.open(self.net.now, pair.id, ([client, host], pair.at));
                if self.given.has_left_overs(pair.id) {
                    self.flows.excuse_session(pair.id);
                }
            }
        }
        self.out = out;
        self.out.clear();
        Ok(())
    }

    pub(super) fn report(&mut self, report: Report) -> Kept {
        let text = format!("{report:?}");
        self.trace.note(self.net.now, "report", Who::Server, text.as_bytes());
        self.given.reports(self.in_month(), report)?;
        self.server.on_report(self.now(), report);
        self.check_journal()
    }
}

/// The relay's thread.
impl World {
    /// Whoever was told of a session may have sent something before the thread knows of it.
    pub(super) fn take_orders(&mut self) -> Kept {
        while let Some(order) = self.channel.pop_front() {
            let text = format!("{order:?}");
            self.trace.note(self.net.now, "order", Who::Server, text.as_bytes());
            // It ends in the same moment, before another one has its ports.
            self.forwarding.obey(self.thread_now(), order);
            match order {
                Order::Open(session) => self.passed.open(self.net.now, session)?,
                Order::Close(id, _) => self.passed.close(id),
            }
        }
        Ok(())
    }

    fn relays(&mut self, port: u16, from: SocketAddr, data: &Rc<[u8]>) -> Kept {
        self.take_orders()?;
        let now = self.net.now;
        self.trace.note(now, "arrives", Who::Peer(from), &data[..data.len().min(NOTED)]);
        self.summary.arrived += 1;
        let session = self.passed.arrives(now, port, from, data);
        self.summary.meddled += u64::from(session.is_none());
        let mut sent = Vec::new();
        let mut send = |port, to, bytes: &[u8]| {
            let is_same = std::ptr::eq(bytes, &**data);
            sent.push((port, to, if is_same { Rc::clone(data) } else { Rc::from(bytes) }));
        };
        self.forwarding.on_datagram(self.thread_now(), port, from, data, &mut send);
        let passed = sent.len();
        for (port, to, data) in sent {
            self.trace.note(now, "  relay", Who::Peer(to), &data[..data.len().min(NOTED)]);
            self.summary.sent += 1;
            self.passed.leaves(now, port, to, &data)?;
            if let Some(relay) = self.net.plan.relay_at(to.ip()) {
                self.net.carry(SocketAddr::new(relay, port), to, &data);
            }
        }
        let dropped = self.forwarding.take_dropped();
        if let Some((id, _)) = session
            && (dropped.over_session > 0 || dropped.over_total > 0)
        {
            self.summary.over += 1;
            self.passed.dropped(now, id, (data, dropped))?;
            self.flows.excuse_session(id);
        } else if let Some((id, held)) = session
            && passed < held
        {
            let what = format!("{id:?}: {held} packets were to be held, {passed} were passed on");
            return broken(Promise::GetsThrough, what);
        }
        self.end_turn_of_thread()
    }

    /// What the thread does at the end of each turn.
    pub(super) fn end_turn_of_thread(&mut self) -> Kept {
        self.forwarding.on_wakeup(self.thread_now());
        let reports: Vec<Report> = self.forwarding.take_reports().collect();
        for report in reports {
            self.passed.reports(self.net.now, report)?;
            match report {
                Report::Connected(_) => self.summary.connected += 1,
                Report::Ended(id, end) => {
                    self.count_end(end);
                    if end == End::UsedUp {
                        self.flows.excuse_session(id);
                    }
                }
                Report::Passed(_) => {}
            }
            let delay = self.net.rng.millis(self.net.plan.handover.clone());
            self.reported = self.reported.max(self.net.now + delay);
            self.net.at(self.reported, Event::Report(report));
        }
        Ok(())
    }
}

/// What is between them and the players.
impl World {
    pub(super) fn datagram(&mut self, from: SocketAddr, to: SocketAddr, data: &Rc<[u8]>) -> Kept {
        if self.is_at_relay(to) {
            return self.relays(to.port(), from, data);
        }
        let socket = [MASTER, MASTER6, ALTERNATE, OTHER_PORT].iter().position(|at| *at == to);
        if let Some(socket) = socket {
            if self.hard.contains(&from.ip()) && data.starts_with(b"\0\x01") {
                self.given.hopeless.shows(self.net.now, from, to == ALTERNATE);
            }
            if matches!(data.get(KIND_AT), Some(b'r' | &KNOCK)) {
                self.given.hopeless.shows_port(self.net.now, from);
            }
            self.summary.at_other_port += u64::from(to == OTHER_PORT);
            self.trace.note(self.net.now, "datagram", Who::Peer(from), data);
            let via = Via { socket: socket as u8, local: None };
            self.server.on_datagram(self.now(), via, from, data, &mut self.out);
            return self.turn();
        }
        let Some(whom) = self.net.inbound(from, to) else { return Ok(()) };
        let kind = data.get(KIND_AT).copied().unwrap_or_default();
        if is_relay(from.ip()) && kind != MEDDLED {
            self.flows.got(self.net.now, whom.peer, from);
        }
        match &mut self.players[whom.peer] {
            Player::Host(host) => host.receive(from, kind, &mut self.net),
            Player::Client(client) if client.me == whom => {
                client.receive(from, kind, &mut self.net);
            }
            Player::Client(_) => {}
        }
        Ok(())
    }
}
