//! What has changed and other nodes have not been told yet, with how much they may be told. Each node takes only so many
//! bytes of another one, and drops what is more with all that follows; so what is too much waits here, as IDs alone.
//!
//! Networks share what may be said by fair queueing (A. Demers, S. Keshav, S. Shenker, SIGCOMM 1989): first comes what
//! would be told first if all of them were told byte by byte in turn. So a mass of large hosts that come and go delays
//! no usual one.

use std::collections::BTreeSet;
use std::hash::Hash;
use std::net::IpAddr;
use std::time::Duration;

use crate::clock::Instant;
use crate::hash::Map;
use crate::limits::cluster as bounds;
use crate::prefixes::network;
use crate::source_cache::{Expired, SourceCache};

/// How much may be said: [`NEWS_BYTES`](bounds::NEWS_BYTES) a second, and that of [`BURST`] at once.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// When as much as ever may be said at once.
    full_at: Instant,
}

/// What may be said at once.
const BURST: Duration = Duration::from_secs(2);

impl Pace {
    /// Whether something may be said now.
    pub(super) fn is_open(&self, now: Instant) -> bool {
        self.open_at() <= now
    }

    /// So many bytes are said.
    pub(super) fn spend(&mut self, now: Instant, bytes: usize) {
        let micros = (bytes as u64).saturating_mul(1_000_000) / u64::from(bounds::NEWS_BYTES);
        self.full_at = self.full_at.max(now) + Duration::from_micros(micros);
    }

    fn open_at(&self) -> Instant {
        self.full_at.before(BURST)
    }
}

/// The IDs of what has changed, those first of which others are to be told first.
#[derive(Debug)]
pub(super) struct Untold<I> {
    order: BTreeSet<(Instant, I)>,
    waiting: Map<I, (Instant, IpAddr)>,
    /// A clock of bytes: how many each network could have said that has always had something to say, and where the
    /// last thing of each stands.
    at: Instant,
    networks: SourceCache<()>,
    pace: Pace,
}

impl<I> Default for Untold<I> {
    fn default() -> Self {
        Self {
            order: BTreeSet::new(),
            waiting: Map::default(),
            at: Instant::default(),
            networks: SourceCache::new(Expired::Forgotten),
            pace: Pace::default(),
        }
    }
}

impl<I: Clone + Ord + Hash> Untold<I> {
    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether this one waits.
    pub(super) fn has(&self, id: &I) -> bool {
        self.waiting.contains_key(id)
    }

    /// When [`Self::pop`] has one.
    pub(super) fn next(&self) -> Option<Instant> {
        self.order.first().map(|_| self.pace.open_at())
    }

    /// Something of this address has changed, which takes so many bytes to tell. What waits already keeps its place.
    pub(super) fn add(&mut self, id: I, addr: IpAddr, bytes: usize) {
        if self.has(&id) {
            return;
        }
        let at = self.at;
        let last = self.networks.place(&network(addr), |last| last <= at).0.at;
        *last = (*last).max(at) + Duration::from_micros(bytes as u64);
        self.waiting.insert(id.clone(), (*last, addr));
        self.order.insert((*last, id));
    }

    /// This one is told now, or need not be told. Whether it waited.
    pub(super) fn remove(&mut self, id: &I) -> bool {
        let known = self.waiting.remove_entry(id);
        known.is_some_and(|(id, (at, _))| self.order.remove(&(at, id)))
    }

    /// The next one of which others may be told now, and its address.
    pub(super) fn pop(&mut self, now: Instant) -> Option<(I, IpAddr)> {
        if !self.pace.is_open(now) {
            return None;
        }
        let (at, id) = self.order.pop_first()?;
        if self.order.is_empty() {
            self.at = self.at.max(at);
        }
        let (_, addr) = self.waiting.remove(&id)?;
        Some((id, addr))
    }

    /// All others are told so many bytes of news.
    pub(super) fn spend(&mut self, now: Instant, bytes: usize) {
        self.pace.spend(now, bytes);
        self.at = self.at + Duration::from_micros((bytes / (1 + self.len())) as u64);
    }

    /// Nobody is to be told anything.
    pub(super) fn clear(&mut self) {
        (self.order, self.waiting) = (BTreeSet::new(), Map::default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(n: u32) -> IpAddr {
        n.to_be_bytes().into()
    }

    /// What may be told at this time, if each takes so many bytes.
    fn told(untold: &mut Untold<u32>, ms: u64, bytes: usize) -> Vec<u32> {
        let now = Instant::from_micros(10_000_000 + ms * 1000);
        let next = || {
            let (id, _) = untold.pop(now)?;
            untold.spend(now, bytes);
            Some(id)
        };
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn no_more_is_said_than_may_be() {
        let mut untold = Untold::default();
        (0..10_000).for_each(|n| untold.add(n, addr(n), 1000));
        let second = bounds::NEWS_BYTES as usize / 1000;
        let at_once = told(&mut untold, 0, 1000).len();
        assert_eq!(at_once, 2 * second + 1);
        assert!(told(&mut untold, 0, 1000).is_empty());
        let then: usize = (1..=1000).map(|ms| told(&mut untold, ms, 1000).len()).sum();
        assert_eq!(then, second);
    }

    #[test]
    fn who_has_little_to_say_does_not_wait_for_a_mass() {
        let mut untold = Untold::default();
        (0..1000).for_each(|n| untold.add(n, addr(n % 100), 6000));
        let first = told(&mut untold, 0, 6000).len();
        // One of a network that has said nothing yet is before the rest of all others.
        (0..1000).for_each(|n| untold.add(2000 + n, addr(1000 + n), 6000));
        untold.add(5000, addr(5000), 200);
        assert!(first < 1000);
        assert_eq!(told(&mut untold, 100, 6000).first(), Some(&5000));
        // Nor is it told twice.
        untold.add(5000, addr(5000), 200);
        untold.add(5000, addr(5000), 200);
        assert!(untold.remove(&5000) && !untold.remove(&5000));
        assert!(!told(&mut untold, 60_000, 0).contains(&5000));
        assert_eq!((untold.len(), untold.next()), (0, None));
    }
}
