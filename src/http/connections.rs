//! The connections that speak HTTP: requests come in pieces, several behind each other, slowly or never.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::net::IpAddr;

use super::answer::{Answer, For, Status};
use super::request::{Method, Parsed, Request, parse};
use crate::clock::{Instant, Now, earliest};
use crate::dialect::conns::Conns;
use crate::dialect::{ConnId, Outbox, Reads};
use crate::limits;
use crate::prefixes::{Shares, as_home};
use crate::timers::Timers;

/// What is answered to a request that comes from an address.
pub type Answering<'a> = dyn FnMut(IpAddr, &Request<'_>) -> Answer + 'a;

/// Connections that are looked at to find the one that gives way: all of the window, and of the others so many, each
/// time the next ones, as who opens many at once must not cost more than who opens few.
const LOOKS: usize = 64;

/// All connections.
#[derive(Debug)]
pub struct Http {
    /// Who is told what was wrong with what cannot be read.
    whom: For,
    conns: Conns<Conn>,
    /// All of them, in no order.
    all: Vec<ConnId>,
    /// How many each [home](as_home) has.
    shares: Shares<()>,
    /// Where in `all` it is looked next.
    next: usize,
    /// Those of whose request not all has come.
    unfinished: Timers<ConnId>,
    /// Those that ask for nothing.
    idle: Timers<ConnId>,
    /// Those that have not read all of their answer.
    reading: Timers<ConnId>,
    /// Those that have asked for more before they were answered: one answer each, in turn.
    waiting: VecDeque<ConnId>,
}

#[derive(Debug)]
struct Conn {
    addr: IpAddr,
    /// Where it is in [`Http::all`].
    place: usize,
    /// It has presented the owner's token.
    is_owners: bool,
    /// What has come and is not answered.
    begun: Vec<u8>,
    /// It has not read the last answer.
    has_unread: bool,
    /// There may be a whole request in `begun`.
    waits: bool,
    /// Nothing more comes.
    is_finished: bool,
    /// When it was answered last.
    asked: Instant,
}

impl Http {
    /// None yet.
    #[must_use]
    pub fn new(whom: For) -> Self {
        Self {
            whom,
            conns: Conns::default(),
            all: Vec::new(),
            shares: Shares::default(),
            next: 0,
            unfinished: Timers::new(limits::HTTP_REQUEST_TIME),
            idle: Timers::new(limits::HTTP_IDLE),
            reading: Timers::new(limits::HTTP_ANSWER_TIME),
            waiting: VecDeque::new(),
        }
    }

    /// How many connections there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Whether this is one of them.
    #[must_use]
    pub fn has(&self, id: ConnId) -> bool {
        self.conns.get(id).is_some()
    }

    /// One more, of this address.
    pub fn open(&mut self, now: Instant, id: ConnId, addr: IpAddr) {
        let conn = Conn {
            addr,
            place: self.all.len(),
            is_owners: false,
            begun: Vec::new(),
            has_unread: false,
            waits: false,
            is_finished: false,
            asked: now,
        };
        self.conns.insert(id, conn);
        self.all.push(id);
        self.shares.add(as_home(addr), 1);
        self.unfinished.arm(now, id);
    }

    /// Which one gives way to a new one of this address: rather one that has not presented the token than one
    /// that has; of these one of the network that has most, and of those the one that was answered longest ago.
    #[must_use]
    pub fn eviction_candidate(&mut self, to: IpAddr) -> Option<ConnId> {
        self.shares.add(as_home(to), 1);
        let many = self.all.len().min(LOOKS);
        let looked_at = self.all.iter().cycle().skip(self.next).take(many);
        let of = |id: &&ConnId| {
            let conn = self.conns.get(**id)?;
            let held = self.shares.of(as_home(conn.addr));
            Some((!conn.is_owners, held, Reverse((conn.asked, **id))))
        };
        let found = looked_at.max_by_key(of).copied();
        self.next = (self.next + many) % self.all.len().max(1);
        self.shares.remove(as_home(to), 1);
        found
    }

    /// When a connection has asked last, or was opened.
    #[must_use]
    pub fn last_asked(&self, id: ConnId) -> Option<Instant> {
        self.conns.get(id).map(|conn| conn.asked)
    }

    /// Bytes arrived. At most one request is answered; others have to wait for their turns.
    pub fn read(
        &mut self,
        now: Now,
        id: ConnId,
        bytes: &[u8],
        out: &mut Outbox,
        answering: &mut Answering<'_>,
    ) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        conn.begun.extend_from_slice(bytes);
        if !conn.waits {
            self.step(now, id, out, answering);
        }
    }

    /// Answers the first request of a connection, if it is there.
    fn step(&mut self, now: Now, id: ConnId, out: &mut Outbox, answering: &mut Answering<'_>) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        conn.waits = false;
        // Some end each request with a line too many.
        let blank = conn.begun.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        conn.begun.drain(..blank);
        let (answer, is_head, length, closes) = match parse(&conn.begun) {
            Parsed::Partial => return self.wait(now.instant, id, out),
            Parsed::Whole(request, length) => {
                let is_head = request.method == Method::Head;
                (answering(conn.addr, &request), is_head, length, request.closes)
            }
            Parsed::Bad(status) => {
                (Answer::error(status).to(self.whom), false, conn.begun.len(), true)
            }
        };
        let closes = closes || answer.closes;
        conn.begun.drain(..length);
        conn.asked = now.instant;
        conn.is_owners |= answer.is_for_token;
        let is_last = conn.is_finished && conn.begun.is_empty();
        out.tcp(id, |bytes| answer.write(now.unix, is_head, closes, bytes));
        if closes || is_last {
            self.close(id, out);
        } else if conn.begun.is_empty() {
            self.wait(now.instant, id, out);
        } else {
            conn.waits = true;
            self.rest(id);
            self.waiting.push_back(id);
        }
    }

    /// The next request has not come, or not all of it.
    fn wait(&mut self, now: Instant, id: ConnId, out: &mut Outbox) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        if conn.is_finished {
            return self.close(id, out);
        }
        if conn.begun.is_empty() {
            conn.begun = Vec::new();
            self.unfinished.cancel(&id);
            self.idle.arm(now, id);
        } else {
            self.idle.cancel(&id);
            if !self.unfinished.is_armed(&id) {
                self.unfinished.arm(now, id);
            }
        }
    }

    /// The peer will send nothing more.
    pub fn fin(&mut self, id: ConnId, out: &mut Outbox) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        conn.is_finished = true;
        if !conn.waits {
            self.close(id, out);
        }
    }

    /// A connection is gone, or somebody else closes it. Whether it was there.
    pub fn forget(&mut self, id: ConnId) -> bool {
        let Some(conn) = self.conns.remove(id) else { return false };
        self.shares.remove(as_home(conn.addr), 1);
        if conn.place < self.all.len() {
            self.all.swap_remove(conn.place);
        }
        if let Some(moved) = self.all.get(conn.place)
            && let Some(moved) = self.conns.get_mut(*moved)
        {
            moved.place = conn.place;
        }
        self.rest(id);
        self.reading.cancel(&id);
        self.waiting.retain(|waiting| *waiting != id);
        true
    }

    /// It is not waited for.
    fn rest(&mut self, id: ConnId) {
        self.unfinished.cancel(&id);
        self.idle.cancel(&id);
    }

    fn close(&mut self, id: ConnId, out: &mut Outbox) {
        self.forget(id);
        out.close(id);
    }

    /// Closes those of such addresses. How many there were.
    pub fn close_of(&mut self, is_one: impl Fn(IpAddr) -> bool, out: &mut Outbox) -> usize {
        let of = self.conns.iter().filter(|(_, conn)| is_one(conn.addr));
        let of: Vec<ConnId> = of.map(|(id, _)| id).collect();
        of.iter().for_each(|id| self.close(*id, out));
        of.len()
    }

    /// Whether a connection has been answered all that it has asked, so that it may begin with anything.
    #[must_use]
    pub fn is_done(&self, id: ConnId) -> bool {
        let is_done = |conn: &Conn| conn.begun.is_empty() && !conn.waits && !conn.has_unread;
        self.conns.get(id).is_some_and(is_done)
    }

    /// When more is to be read: not before what has come is answered, and the answer is read.
    #[must_use]
    pub fn reads(&self, id: ConnId) -> Reads {
        match self.conns.get(id) {
            Some(conn) if conn.has_unread => Reads::Later,
            Some(conn) if conn.waits => Reads::NextTurn,
            _ => Reads::Now,
        }
    }

    /// How many bytes of answers wait for the peer to read them.
    pub fn note_unread(&mut self, id: ConnId, bytes: usize) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        let had_unread = std::mem::replace(&mut conn.has_unread, bytes > 0);
        match (had_unread, bytes) {
            (false, 1..) => self.reading.arm(conn.asked, id),
            (true, 0) => self.reading.cancel(&id),
            _ => {}
        }
        if had_unread && bytes == 0 && conn.waits && !self.waiting.contains(&id) {
            self.waiting.push_back(id);
        }
    }

    /// Ends what takes too long, and answers one of those that wait.
    pub fn wake(&mut self, now: Now, out: &mut Outbox, answering: &mut Answering<'_>) {
        for _ in 0..limits::CLOSED_AT_ONCE {
            let Some(id) = self.unfinished.pop_due(now.instant) else { break };
            // Of one that has never asked there is nothing to say.
            if self.conns.get(id).is_some_and(|conn| !conn.begun.is_empty()) {
                let answer = Answer::error(Status::Timeout).to(self.whom);
                out.tcp(id, |bytes| answer.write(now.unix, false, true, bytes));
            }
            self.close(id, out);
        }
        for _ in 0..limits::CLOSED_AT_ONCE {
            let Some(id) = self.idle.pop_due(now.instant) else { break };
            self.close(id, out);
        }
        for _ in 0..limits::CLOSED_AT_ONCE {
            let Some(id) = self.reading.pop_due(now.instant) else { break };
            self.close(id, out);
        }
        if let Some(id) = self.waiting.pop_front()
            && self.conns.get(id).is_some_and(|conn| !conn.has_unread)
        {
            self.step(now, id, out, answering);
        }
    }

    /// Whose turn it is in [`Self::wake`], if anybody waits.
    #[must_use]
    pub fn next_waiting(&self) -> Option<ConnId> {
        self.waiting.front().copied()
    }

    /// When [`Self::wake`] has something to do.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Instant> {
        let at_once = (!self.waiting.is_empty()).then(Instant::default);
        earliest([at_once, self.unfinished.next(), self.idle.next(), self.reading.next()])
    }
}
