//! TLS handshakes that are under way: how many, whose, and who waits for time of the processor.

use std::collections::VecDeque;
use std::net::IpAddr;

use crate::clock::Instant;
use crate::customers::network;
use crate::dialect::ConnId;
use crate::hash::Map;
use crate::holders::Holders;
use crate::limits;

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Handshakes {
    under_way: Holders<ConnId>,
    /// This turn of the loop; all of it happens at one time.
    turn: Instant,
    /// How many were carried out in it.
    spent: usize,
    /// Who waits for the next turn, of each address.
    waiting: Map<IpAddr, VecDeque<ConnId>>,
    /// Whose turn is next. Every address in `waiting` is here once.
    order: VecDeque<IpAddr>,
}

/// What came of the begin of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begun {
    /// There is room.
    Yes,
    /// There is, if this connection is closed.
    InsteadOf(ConnId),
    /// There is none.
    No,
}

impl Handshakes {
    /// Counts one more, if there is room.
    pub(super) fn begin(&mut self, addr: IpAddr, id: ConnId) -> Begun {
        let is_full = self.under_way.total() >= limits::TLS_HANDSHAKES;
        let begun = match self.under_way.gives_way(addr, 1) {
            _ if !is_full => Begun::Yes,
            Some(other) => Begun::InsteadOf(other),
            None => return Begun::No,
        };
        self.under_way.change(addr, id, 0, 1);
        begun
    }

    /// Counts one less: it is done, or its connection is gone.
    pub(super) fn end(&mut self, addr: IpAddr, id: ConnId) {
        self.under_way.change(addr, id, 1, 0);
    }

    /// Whether there is time for one more step; if not, it waits. So does one whose address has
    /// others that wait.
    pub(super) fn has_time(&mut self, now: Instant, addr: IpAddr, id: ConnId) -> bool {
        self.begin_turn(now);
        if self.spent < limits::TLS_PER_TURN && self.order.is_empty() {
            return true;
        }
        let addr = network(addr);
        let waiting = self.waiting.entry(addr).or_default();
        if waiting.is_empty() {
            self.order.push_back(addr);
        }
        if !waiting.contains(&id) {
            waiting.push_back(id);
        }
        false
    }

    /// A step that took time was carried out.
    pub(super) fn spend(&mut self) {
        self.spent += 1;
    }

    /// The next who waited, one of each address in turn, unless this turn has no time left. It may
    /// be gone.
    pub(super) fn take(&mut self, now: Instant) -> Option<ConnId> {
        self.begin_turn(now);
        if self.spent >= limits::TLS_PER_TURN {
            return None;
        }
        let addr = self.order.pop_front()?;
        let waiting = self.waiting.get_mut(&addr)?;
        let id = waiting.pop_front();
        if waiting.is_empty() {
            self.waiting.remove(&addr);
        } else {
            self.order.push_back(addr);
        }
        id
    }

    /// At once, if anybody waits.
    pub(super) fn next_wakeup(&self) -> Option<Instant> {
        (!self.order.is_empty()).then_some(self.turn)
    }

    /// Whether none is under way.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.under_way.is_empty()
    }

    fn begin_turn(&mut self, now: Instant) {
        if now != self.turn {
            (self.turn, self.spent) = (now, 0);
        }
    }
}
