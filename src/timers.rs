//! Deadlines, O(1) each. Every wait in this server is one of a few fixed lengths, so a queue for
//! each length is always in order: the newest deadline goes to the back, the earliest is at the
//! front. Nothing is ever taken out of the middle: whoever armed a timer looks, when it fires,
//! whether it still means anything.

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::Instant;

/// Timers of one length, each with a key that says what it is about.
#[derive(Debug)]
pub struct DelayQueue<K> {
    delay: Duration,
    queue: VecDeque<(Instant, K)>,
}

impl<K> DelayQueue<K> {
    /// A queue whose timers fire `delay` after they were armed.
    #[must_use]
    pub fn new(delay: Duration) -> Self {
        Self { delay, queue: VecDeque::new() }
    }

    /// The length of these timers.
    #[must_use]
    pub fn delay(&self) -> Duration {
        self.delay
    }

    /// Arms a timer.
    pub fn arm(&mut self, now: Instant, key: K) {
        self.queue.push_back((now + self.delay, key));
    }

    /// When the earliest timer fires, if any is armed.
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        self.queue.front().map(|(at, _)| *at)
    }

    /// Takes the earliest timer, if its time has come.
    pub fn pop_due(&mut self, now: Instant) -> Option<K> {
        if self.next()? > now {
            return None;
        }
        self.queue.pop_front().map(|(_, key)| key)
    }

    /// How many timers are armed, those that mean nothing any more included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether no timer is armed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_micros(ms * 1000)
    }

    #[test]
    fn timers_fire_in_order_and_not_early() {
        let mut queue = DelayQueue::new(Duration::from_millis(50));
        assert_eq!(queue.next(), None);
        queue.arm(at(0), 'a');
        queue.arm(at(10), 'b');
        assert_eq!(queue.next(), Some(at(50)));
        assert_eq!(queue.pop_due(at(49)), None);
        assert_eq!(queue.pop_due(at(50)), Some('a'));
        assert_eq!(queue.pop_due(at(59)), None);
        assert_eq!(queue.pop_due(at(60)), Some('b'));
        assert!(queue.is_empty());
    }
}
