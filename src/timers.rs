//! Deadlines, O(1) each. Every wait in this server is one of a few fixed lengths, so the timers of
//! one length are always in order: the newest deadline goes to the back, the earliest is at the
//! front.

use std::fmt;
use std::hash::Hash;
use std::time::Duration;

use hashlink::LinkedHashMap;

use crate::clock::Instant;
use crate::hash::Keyed;

/// Timers of one length, at most one for each key. What has to be known when one fires may be kept
/// with it.
#[derive(Debug)]
pub struct Timers<K, V = ()> {
    delay: Duration,
    queue: LinkedHashMap<K, (Instant, V), Keyed>,
}

impl<K: Hash + Eq> Timers<K> {
    /// Arms the timer of this key, anew if it is armed already.
    pub fn arm(&mut self, now: Instant, key: K) {
        self.arm_with(now, key, ());
    }

    /// Takes the earliest timer, if its time has come.
    pub fn pop_due(&mut self, now: Instant) -> Option<K> {
        self.take_due(now).map(|(key, ())| key)
    }

    /// Takes the earliest timer, whether its time has come or not.
    pub fn pop(&mut self) -> Option<K> {
        self.take().map(|(key, ())| key)
    }
}

impl<K: Hash + Eq, V> Timers<K, V> {
    /// Timers that fire `delay` after they were armed.
    #[must_use]
    pub fn new(delay: Duration) -> Self {
        Self { delay, queue: LinkedHashMap::default() }
    }

    /// Arms the timer of this key with what it is for, anew if it is armed already.
    pub fn arm_with(&mut self, now: Instant, key: K, value: V) {
        self.queue.insert(key, (now + self.delay, value));
    }

    /// What the timer of this key is for, if it is armed.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<&V> {
        if self.queue.is_empty() { None } else { self.queue.get(key).map(|(_, value)| value) }
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        if self.queue.is_empty() { None } else { self.queue.get_mut(key).map(|(_, value)| value) }
    }

    /// Disarms a timer.
    pub fn cancel(&mut self, key: &K) {
        self.remove(key);
    }

    /// Disarms a timer; what it was for, if it was armed.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        // Mostly nothing is armed: no hash is needed to know that.
        if self.queue.is_empty() { None } else { self.queue.remove(key).map(|(_, value)| value) }
    }

    /// Whether the timer of this key is armed.
    #[must_use]
    pub fn is_armed(&self, key: &K) -> bool {
        self.queue.contains_key(key)
    }

    /// When the earliest timer fires, if any is armed.
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        self.queue.front().map(|(_, (at, _))| *at)
    }

    /// Takes the earliest timer and what it is for, if its time has come.
    pub fn take_due(&mut self, now: Instant) -> Option<(K, V)> {
        if self.next()? > now {
            return None;
        }
        self.take()
    }

    /// Takes the earliest timer and what it is for, whether its time has come or not.
    pub fn take(&mut self) -> Option<(K, V)> {
        self.queue.pop_front().map(|(key, (_, value))| (key, value))
    }

    /// How many are armed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whose timers are armed, the earliest first.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.queue.keys()
    }

    /// Whether no timer is armed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

/// For log lines that a flood would repeat: one a minute, which says how many were left out.
#[derive(Debug, Default)]
pub struct Seldom {
    last: Option<Instant>,
    left_out: u64,
}

impl Seldom {
    /// Whether to say it now, and how often it was not said since the last time.
    pub fn say(&mut self, now: Instant) -> Option<Before> {
        const GAP: Duration = Duration::from_secs(60);
        if self.last.is_some_and(|last| now - last < GAP) {
            self.left_out += 1;
            return None;
        }
        self.last = Some(now);
        Some(Before(std::mem::take(&mut self.left_out)))
    }
}

/// How often a line was left out before this one: ` (119 times before)`, and nothing for none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Before(u64);

impl fmt::Display for Before {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            1 => f.write_str(" (once before)"),
            times => write!(f, " ({times} times before)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_micros(ms * 1000)
    }

    #[test]
    fn a_flood_of_lines_is_one_line_a_minute() {
        let mut seldom = Seldom::default();
        let said: Vec<_> = (0..120_000).step_by(500).filter_map(|ms| seldom.say(at(ms))).collect();
        assert_eq!(said, [Before(0), Before(119)]);
        let texts = [0, 1, 119].map(|times| Before(times).to_string());
        assert_eq!(texts, ["", " (once before)", " (119 times before)"]);
    }

    #[test]
    fn timers_fire_in_order_and_not_early() {
        let mut queue = Timers::new(Duration::from_millis(50));
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

    #[test]
    fn arming_again_moves_the_deadline_and_cancelling_ends_it() {
        let mut queue = Timers::new(Duration::from_millis(50));
        queue.arm(at(0), 'a');
        queue.arm(at(10), 'b');
        queue.arm(at(20), 'a');
        queue.cancel(&'b');
        assert_eq!(queue.next(), Some(at(70)));
        assert!(!queue.is_armed(&'b'));
    }

    #[test]
    fn what_a_timer_is_for_goes_with_it() {
        let mut queue = Timers::new(Duration::from_millis(50));
        assert!(queue.get(&'a').is_none() && queue.get_mut(&'a').is_none());
        queue.arm_with(at(0), 'a', 1);
        queue.arm_with(at(10), 'b', 2);
        if let Some(value) = queue.get_mut(&'a') {
            *value = 3;
        }
        assert_eq!((queue.get(&'a'), queue.next(), queue.len()), (Some(&3), Some(at(50)), 2));
        assert_eq!(queue.take_due(at(50)), Some(('a', 3)));
        queue.arm_with(at(55), 'b', 4);
        assert_eq!(queue.take_due(at(60)), None, "armed anew");
        assert_eq!(queue.take(), Some(('b', 4)));
        assert_eq!(queue.take(), None);
    }
}
