//! Who waits for a turn. Work that others would notice is done a piece at a time; in between
//! everybody else is served.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::ConnId;
use crate::clock::Instant;
use crate::limits;
use crate::prefixes::network;
use crate::round_robin::RoundRobin;

/// The work that was done in this turn, and the connections whose requests wait for the next:
/// first those of one address, then those of another, so that no address waits for all that
/// another has asked for.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct WorkQueue {
    /// When this turn began; all of it happens at one time.
    #[serde(skip)]
    at: Instant,
    /// Work of this turn, in the unit of [`limits::TURN_WORK`].
    #[serde(skip)]
    spent: usize,
    /// What was spent when the connection began that is served now.
    #[serde(skip)]
    before: usize,
    /// Of how many sources connections have something to read that has not been read yet.
    #[serde(skip)]
    ready: usize,
    waiting: RoundRobin<IpAddr, ConnId>,
}

impl WorkQueue {
    /// Goes on with those who waited in another process.
    pub(super) fn restore(&mut self, saved: Self) {
        self.waiting = saved.waiting;
    }

    /// A connection is served from now on.
    pub(super) fn begin(&mut self, now: Instant) {
        if now != self.at {
            self.begin_turn(now);
        }
        self.before = self.spent;
    }

    /// Nothing has been done yet in this turn.
    pub(super) fn begin_turn(&mut self, now: Instant) {
        (self.at, self.spent, self.before) = (now, 0, 0);
    }

    /// Connections of so many sources have something to read: they come before those that wait
    /// here.
    pub(super) fn note_ready(&mut self, sources: usize) {
        self.ready = sources;
    }

    /// Whether so many have sent something that what costs much waits until all have been heard.
    #[must_use]
    pub(super) fn is_crowded(&self) -> bool {
        self.ready > limits::SLICES
    }

    /// Counts work.
    pub(super) fn spend(&mut self, work: usize) {
        self.spent = self.spent.saturating_add(work);
    }

    /// The work of this turn so far.
    #[must_use]
    pub(super) fn spent(&self) -> usize {
        self.spent
    }

    /// Whether a connection has had its part of this turn: the smaller, the more addresses wait
    /// for theirs and the more sources have sent something that has not been read.
    #[must_use]
    pub(super) fn is_slice_spent(&self) -> bool {
        self.is_slice_spent_since(self.before)
    }

    /// The same, if so much had been spent before.
    #[must_use]
    pub(super) fn is_slice_spent_since(&self, before: usize) -> bool {
        let slices = self.slices() + self.waiting.sources();
        self.spent.saturating_sub(before) >= (limits::TURN_WORK / slices).max(1)
    }

    /// In how many parts a turn is divided, so that all who have sent something have theirs within
    /// [`limits::ROUND`] turns.
    fn slices(&self) -> usize {
        limits::SLICES.max(self.ready / limits::ROUND)
    }

    /// Whether this turn has no room for work that can wait.
    #[must_use]
    pub(super) fn is_spent(&self) -> bool {
        self.spent >= limits::TURN_WORK
    }

    /// A connection of this address waits. It must not wait already.
    pub(super) fn wait(&mut self, addr: IpAddr, conn: ConnId) {
        self.waiting.push(network(addr), conn);
    }

    /// The next that may go on, unless the work of this turn is done. It may be closed since.
    pub(super) fn take(&mut self) -> Option<ConnId> {
        if self.spent >= limits::TURN_WORK / self.slices() * limits::SLICES {
            return None;
        }
        self.waiting.pop()
    }

    /// When there is something to do: at once, if anybody waits or there `is_more`.
    #[must_use]
    pub(super) fn next_wakeup(&self, is_more: bool) -> Option<Instant> {
        (is_more || !self.is_empty()).then_some(self.at)
    }

    /// Whether nobody waits.
    #[must_use]
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conn(slot: u32) -> ConnId {
        ConnId { slot, generation: 0 }
    }

    #[test]
    fn addresses_take_turns_however_many_connections_they_have() {
        let (many, one) = (IpAddr::from([203, 0, 113, 1]), IpAddr::from([203, 0, 113, 2]));
        let mut queue = WorkQueue::default();
        (0..100).for_each(|slot| queue.wait(many, conn(slot)));
        queue.wait(one, conn(100));
        let order: Vec<u32> = std::iter::from_fn(|| queue.take()).map(|conn| conn.slot).collect();
        assert_eq!((order.len(), &order[..4]), (101, &[0, 100, 1, 2][..]));
        assert!(queue.is_empty());
    }

    #[test]
    fn work_of_one_turn_is_bounded_and_so_is_that_of_a_connection_in_it() {
        let mut queue = WorkQueue::default();
        let at = Instant::from_micros;
        queue.begin(at(1));
        assert!(!queue.is_slice_spent() && !queue.is_spent());
        queue.spend(limits::TURN_WORK / limits::SLICES);
        assert!(queue.is_slice_spent() && !queue.is_spent());
        queue.begin(at(1));
        assert!(!queue.is_slice_spent(), "the next connection has a part of its own");
        queue.spend(limits::TURN_WORK);
        queue.wait(IpAddr::from([203, 0, 113, 1]), conn(1));
        assert_eq!(queue.take(), None);
        queue.begin(at(2));
        assert_eq!(queue.take(), Some(conn(1)));
    }
}
