//! TLS handshakes that are under way: how many, whose, and who waits for time of the processor.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

use crate::clock::Instant;
use crate::dialect::ConnId;
use crate::hash::Map;
use crate::holders::Holders;
use crate::limits;
use crate::prefixes::{as_home, network};

/// Handshakes that are looked at to find one that gives way to somebody who has as many.
const LOOKS: usize = 64;

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Handshakes {
    /// The greatest of an address is the one that has waited longest.
    under_way: Holders<(Reverse<Instant>, ConnId)>,
    /// When each went on last.
    since: Map<ConnId, Instant>,
    /// The one that has waited longest first, with its address.
    oldest: BTreeMap<(Instant, ConnId), IpAddr>,
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
    pub(super) fn begin(&mut self, now: Instant, addr: IpAddr, id: ConnId) -> Begun {
        let begun = if self.under_way.total() < limits::TLS_HANDSHAKES {
            Begun::Yes
        } else if let Some(other) = self.eviction_candidate(now, addr) {
            Begun::InsteadOf(other)
        } else {
            return Begun::No;
        };
        self.note(now, addr, id);
        begun
    }

    /// Which handshake gives way to a new one of this address: of who has most the one that has
    /// waited longest. If nobody has more than this address would have, one of those who have as
    /// many, but only if it has waited longer than those wait who mean it.
    fn eviction_candidate(&self, now: Instant, addr: IpAddr) -> Option<ConnId> {
        if let Some((_, id)) = self.under_way.eviction_candidate(as_home(addr), 1) {
            return Some(id);
        }
        let waits = self.oldest.iter().map(|((since, id), holder)| (*since, *id, *holder));
        waits
            .take_while(|(since, ..)| now - *since >= limits::TLS_STEP)
            .take(LOOKS)
            .find(|(_, _, holder)| {
                self.under_way.compare(as_home(*holder), as_home(addr), 1).is_ge()
            })
            .map(|(_, id, _)| id)
    }

    /// It has just gone on: it was begun, or is answered. That its peer sends something is not
    /// enough, as one byte at a time would be.
    pub(super) fn note(&mut self, now: Instant, addr: IpAddr, id: ConnId) {
        self.end(addr, id);
        self.since.insert(id, now);
        self.oldest.insert((now, id), addr);
        self.under_way.change(as_home(addr), (Reverse(now), id), 0, 1);
    }

    /// Counts one less: it is done, or its connection is gone.
    pub(super) fn end(&mut self, addr: IpAddr, id: ConnId) {
        if let Some(since) = self.since.remove(&id) {
            self.oldest.remove(&(since, id));
            self.under_way.change(as_home(addr), (Reverse(since), id), 1, 0);
        }
    }

    /// Has one wait for its next step, which comes when all others have been served in this turn:
    /// steps of many would make them wait.
    pub(super) fn wait(&mut self, now: Instant, addr: IpAddr, id: ConnId) {
        self.begin_turn(now);
        let addr = network(addr);
        let waiting = self.waiting.entry(addr).or_default();
        if waiting.is_empty() {
            self.order.push_back(addr);
        }
        if !waiting.contains(&id) {
            waiting.push_back(id);
        }
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
        self.under_way.is_empty() && self.since.is_empty() && self.oldest.is_empty()
    }

    fn begin_turn(&mut self, now: Instant) {
        if now != self.turn {
            (self.turn, self.spent) = (now, 0);
        }
    }
}
