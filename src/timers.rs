//! Deadlines, O(1) each. Every wait in this server is one of a few fixed lengths, so the timers of
//! one length are always in order: the newest deadline goes to the back, the earliest is at the
//! front.

use std::collections::VecDeque;
use std::fmt;
use std::hash::Hash;
use std::net::IpAddr;
use std::time::Duration;

use hashlink::LinkedHashMap;
use hashlink::linked_hash_map::Entry;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::clock::Instant;
use crate::hash::Keyed;
use crate::prefixes::{homes, network};

/// How long something that is said seldom is not said again.
const GAP: Duration = Duration::from_secs(60);

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

    /// Disarms a timer if what it is for is so; whether it was.
    pub fn cancel_if(&mut self, key: K, is_so: impl FnOnce(&V) -> bool) -> bool {
        if self.queue.is_empty() {
            return false;
        }
        let Entry::Occupied(armed) = self.queue.entry(key) else { return false };
        let is_so = is_so(&armed.get().1);
        if is_so {
            armed.remove();
        }
        is_so
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

    /// When the timer of this key fires, if it is armed.
    #[must_use]
    pub fn due(&self, key: &K) -> Option<Instant> {
        if self.queue.is_empty() { None } else { self.queue.get(key).map(|(at, _)| *at) }
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

impl<K: Hash + Eq, V> Timers<K, V> {
    /// Goes on with the timers of another process. They were armed when they were, and fire after the delay
    /// that counts here.
    pub(crate) fn restore(&mut self, saved: Self) {
        let before = saved.delay;
        self.queue = saved.queue;
        if before != self.delay {
            self.queue.iter_mut().for_each(|(_, (at, _))| *at = at.before(before) + self.delay);
        }
    }
}

/// The timers of a queue, the earliest first.
struct Armed<'a, K, V>(&'a LinkedHashMap<K, (Instant, V), Keyed>);

impl<K: Hash + Eq + Serialize, V: Serialize> Serialize for Armed<'_, K, V> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.0.iter().map(|(key, (at, value))| (key, at, value)))
    }
}

impl<K: Hash + Eq + Serialize, V: Serialize> Serialize for Timers<K, V> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        (self.delay, Armed(&self.queue)).serialize(to)
    }
}

/// What is read has the delay of who wrote it, until one [goes on](Timers::restore) with it.
impl<'de, K: Hash + Eq + Deserialize<'de>, V: Deserialize<'de>> Deserialize<'de> for Timers<K, V> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let (delay, mut armed) = <(Duration, Vec<(K, Instant, V)>)>::deserialize(from)?;
        if !armed.is_sorted_by_key(|(_, at, _)| *at) {
            armed.sort_by_key(|(_, at, _)| *at);
        }
        let queue = armed.into_iter().map(|(key, at, value)| (key, (at, value))).collect();
        Ok(Self { delay, queue })
    }
}

/// For log lines that a flood would repeat: one a minute, which says how many were left out.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct LogThrottle {
    last: Option<Instant>,
    left_out: u64,
}

impl LogThrottle {
    /// Whether to say it now, and how often it was not said since the last time.
    pub fn say(&mut self, now: Instant) -> Option<Before> {
        if self.last.is_some_and(|last| now - last < GAP) {
            self.left_out = self.left_out.saturating_add(1);
            return None;
        }
        self.last = Some(now);
        Some(Before(std::mem::take(&mut self.left_out)))
    }
}

/// Says something about each address at most once a minute, and about as many of them as can be read.
#[derive(Debug, Default)]
pub struct AddressLogThrottle(VecDeque<Recent>);

/// Of whom something was said, when last, and how often it was not said since.
#[derive(Clone, Copy, Debug)]
struct Recent {
    addr: IpAddr,
    at: Instant,
    left_out: u64,
}

impl AddressLogThrottle {
    /// Addresses in a minute; of IPv6 those of a /64 are one.
    pub const MOST: usize = 60;

    /// So many of them may be of one /48, or one /24 of IPv4.
    pub const MOST_OF_HOME: usize = Self::MOST / 4;

    /// Whether so many have had their line that others have none.
    #[must_use]
    pub fn is_full(&self, now: Instant) -> bool {
        // Who was told of longest ago is at the front.
        self.0.len() >= Self::MOST && self.0.front().is_some_and(|told| now - told.at < GAP)
    }

    /// Whether so many of those around this address have had their line that it has none.
    fn is_full_of(&self, now: Instant, addr: IpAddr) -> bool {
        let around = |addr| homes(addr).last().map(|(network, _)| *network);
        let own = around(addr);
        let lately = self.0.iter().rev().take_while(|told| now - told.at < GAP);
        lately.filter(|told| around(told.addr) == own).count() >= Self::MOST_OF_HOME
    }

    /// Whether to say it now, and how often it was not said of this address since the last time.
    pub fn say(&mut self, now: Instant, addr: IpAddr) -> Option<Before> {
        let addr = network(addr);
        let before = self.0.iter().position(|told| told.addr == addr);
        if let Some(told) = before.and_then(|at| self.0.get_mut(at))
            && now - told.at < GAP
        {
            told.left_out = told.left_out.saturating_add(1);
            return None;
        }
        let left_out = match before.and_then(|at| self.0.remove(at)) {
            Some(told) => told.left_out,
            None if self.is_full(now) || self.is_full_of(now, addr) => return None,
            None if self.0.len() >= Self::MOST => {
                self.0.pop_front();
                0
            }
            None => 0,
        };
        self.0.push_back(Recent { addr, at: now, left_out: 0 });
        Some(Before(left_out))
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
        let mut seldom = LogThrottle::default();
        let said: Vec<_> = (0..120_000).step_by(500).filter_map(|ms| seldom.say(at(ms))).collect();
        assert_eq!(said, [Before(0), Before(119)]);
        let texts = [0, 1, 119].map(|times| Before(times).to_string());
        assert_eq!(texts, ["", " (once before)", " (119 times before)"]);
    }

    #[test]
    fn each_address_has_a_line_a_minute_and_a_flood_of_them_a_bound() {
        let mut each = AddressLogThrottle::default();
        let addr = |n: u32| IpAddr::from((n << 8).to_be_bytes());
        let mut say = |ms, n| each.say(at(ms), addr(n)).map(|before| before.0);
        assert_eq!([say(0, 1), say(1, 2), say(2, 3)], [Some(0); 3]);
        assert_eq!([say(3, 1), say(59_999, 1), say(60_000, 1)], [None, None, Some(2)]);
        let said = (0..10_000).filter(|n| say(60_010, 100 + n).is_some()).count();
        assert_eq!(
            said,
            AddressLogThrottle::MOST - 1,
            "those of whom nothing was said for long give way"
        );
        assert_eq!([say(119_999, 7), say(120_000, 7)], [None, Some(0)]);
    }

    #[test]
    fn neighbours_leave_lines_to_others() {
        let mut each = AddressLogThrottle::default();
        let near = |n: u16| IpAddr::from([0x2001, 0xdb8, 7, n, 0, 0, 0, 1]);
        let said = (0..1000).filter(|n| each.say(at(0), near(*n)).is_some()).count();
        assert_eq!(said, AddressLogThrottle::MOST_OF_HOME);
        let far = |n: u8| IpAddr::from([198, 51, n, 7]);
        assert!((0..30).all(|n| each.say(at(1), far(n)).is_some()));
        assert!(each.say(at(60_000), near(999)).is_some());
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
        assert_eq!((queue.due(&'b'), queue.due(&'c')), (Some(at(60)), None));
        assert!(!queue.cancel_if('a', |value| *value == 1) && !queue.cancel_if('c', |_| true));
        assert_eq!(queue.take_due(at(50)), Some(('a', 3)));
        assert!(queue.cancel_if('b', |value| *value == 2) && queue.is_empty());
        queue.arm_with(at(10), 'b', 2);
        queue.arm_with(at(55), 'b', 4);
        assert_eq!(queue.take_due(at(60)), None, "armed anew");
        assert_eq!(queue.take(), Some(('b', 4)));
        assert_eq!(queue.take(), None);
    }
}
