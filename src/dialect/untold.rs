//! What has changed and other nodes have not been told yet, with how much they may be told. Each node takes only so many
//! bytes of another one, and drops what is more with all that follows; so what is too much waits here, as IDs alone.
//!
//! Networks share what may be said by start-time fair queueing (P. Goyal, H. Vin, H. Cheng, SIGCOMM 1996); and who was
//! not told of lately comes before those who were. So neither a mass of large hosts that come and go nor one of rooms
//! that change all the time delays another.

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

    /// Whether less than half of what may be said at once was said just now.
    pub(super) fn is_half_open(&self, now: Instant) -> bool {
        self.full_at.before(BURST / 2) <= now
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
    /// Those of networks that others were not told of lately.
    fresh: BTreeSet<(Place, I)>,
    /// The rest.
    again: BTreeSet<(Place, I)>,
    waiting: Map<I, (Place, IpAddr)>,
    /// Where the one of `again` stands that was told last, on a clock of bytes.
    at: Instant,
    /// Where that stands which comes after all that has ever waited.
    end: Instant,
    /// Where the next thing of each network stands.
    networks: SourceCache<()>,
    count: u64,
    turns: u32,
    pace: Pace,
}

/// Where something stands. Small things are before large ones of the same time, else those that came first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    /// Zero: it is in `fresh`.
    at: Instant,
    is_large: bool,
    number: u64,
}

/// One of so many turns is for `again`, if there are fresh ones all the time.
const AGAIN: u32 = 4;

/// Most of what is told has fewer bytes.
const LARGE: usize = 1024;

impl<I> Default for Untold<I> {
    fn default() -> Self {
        Self {
            fresh: BTreeSet::new(),
            again: BTreeSet::new(),
            waiting: Map::default(),
            at: Instant::default(),
            end: Instant::default(),
            networks: SourceCache::new(Expired::Forgotten),
            count: 0,
            turns: 0,
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
        let is_any = !self.fresh.is_empty() || !self.again.is_empty();
        is_any.then(|| self.pace.open_at())
    }

    /// Something of this address has changed, which takes so many bytes to tell. What waits already keeps its place.
    pub(super) fn add(&mut self, id: I, addr: IpAddr, bytes: usize) {
        if self.has(&id) {
            return;
        }
        let now = self.at;
        let next = self.networks.place(&network(addr), |next| next <= now).0.at;
        let at = if *next > now { *next } else { Instant::default() };
        *next = at.max(now) + Duration::from_micros(bytes as u64);
        self.end = self.end.max(*next);
        self.count += 1;
        let place = Place { at, is_large: bytes >= LARGE, number: self.count };
        self.waiting.insert(id.clone(), (place, addr));
        self.line_of(place).insert((place, id));
    }

    fn line_of(&mut self, place: Place) -> &mut BTreeSet<(Place, I)> {
        if place.at == Instant::default() { &mut self.fresh } else { &mut self.again }
    }

    /// This one is told now, or need not be told. Whether it waited.
    pub(super) fn remove(&mut self, id: &I) -> bool {
        let Some((id, (place, _))) = self.waiting.remove_entry(id) else { return false };
        self.line_of(place).remove(&(place, id));
        self.note_end();
        true
    }

    /// The next one of which others may be told now, and its address.
    pub(super) fn pop(&mut self, now: Instant) -> Option<(I, IpAddr)> {
        if !self.pace.is_open(now) {
            return None;
        }
        self.turns = self.turns.wrapping_add(1);
        let (first, second) = match self.turns % AGAIN {
            0 => (&mut self.again, &mut self.fresh),
            _ => (&mut self.fresh, &mut self.again),
        };
        let (place, id) = first.pop_first().or_else(|| second.pop_first())?;
        let (_, addr) = self.waiting.remove(&id)?;
        self.at = self.at.max(place.at);
        self.note_end();
        Some((id, addr))
    }

    /// Who was told of while nobody else waited has taken nothing of anybody.
    fn note_end(&mut self) {
        if self.waiting.is_empty() {
            self.at = self.end;
        }
    }

    /// All others are told so many bytes of news.
    pub(super) fn spend(&mut self, now: Instant, bytes: usize) {
        self.pace.spend(now, bytes);
    }

    /// Nobody is to be told anything.
    pub(super) fn clear(&mut self) {
        (self.fresh, self.again) = (BTreeSet::new(), BTreeSet::new());
        self.waiting = Map::default();
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
        assert!(told(&mut untold, 100, 6000).iter().take(2).any(|id| *id == 5000));
        // Nor is it told twice.
        untold.add(5000, addr(5000), 200);
        untold.add(5000, addr(5000), 200);
        assert!(untold.remove(&5000) && !untold.remove(&5000));
        assert!(!told(&mut untold, 60_000, 0).contains(&5000));
        assert_eq!((untold.len(), untold.next()), (0, None));
    }

    #[test]
    fn who_changes_once_does_not_wait_for_those_who_always_do() {
        // Of so many networks it is not known who was told of lately: then all have their turn.
        for (mass, longest) in [(8000, 100), (30_000, 3000)] {
            let mut untold = Untold::default();
            (0..mass).for_each(|n| untold.add(n, addr(n), 140));
            let pass = |untold: &mut Untold<u32>, ms: u64| {
                let told = told(untold, ms, 140);
                told.iter().for_each(|id| untold.add(*id, addr(*id), 140));
                told
            };
            (0..5000).for_each(|ms| _ = pass(&mut untold, ms));
            // Larger than all others, and behind them by its ID.
            untold.add(mass, addr(mass), 400);
            let waited = (0..).find(|ms| pass(&mut untold, 5000 + ms).contains(&mass));
            assert!(waited.is_some_and(|ms| ms < longest), "{waited:?} ms among {mass}");
        }
    }
}
