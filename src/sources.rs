//! What is remembered of addresses for a while: little of each, at most so many, and what is
//! forgotten first is what matters least.
//!
//! The table has sets of a few places; the hash of an address says which set is its own and tells
//! it from the others there. So a look-up reads two cache lines and moves nothing, nothing has to
//! be cleaned up, and no address ever gets what belongs to another. It starts small and doubles
//! when a set is full, up to its bound; from then on a set that is full forgets.

use std::hash::{BuildHasher as _, Hash};

use crate::clock::Instant;
use crate::hash::Keyed;
use crate::limits::SOURCES;

/// Places in a set.
const SET: usize = 8;

/// Sets at first.
const SETS: usize = 8;

type Set<T> = [Place<T>; SET];

/// What is remembered of an address.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Place<T> {
    /// Whose it is; zero if it is nobody's.
    tag: u64,
    /// The earlier this is, the less it matters.
    pub(crate) at: Instant,
    /// The rest.
    pub(crate) value: T,
}

/// Whether something was remembered of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Was {
    /// It was, and still is.
    Known,
    /// Nothing that still matters has been known of it.
    New,
    /// It may have been known: there was no room, and the least that mattered was forgotten.
    Crowded,
}

/// A table of what is remembered of each address, or whatever else sends something.
#[derive(Debug)]
pub(crate) struct Sources<T> {
    /// A power of two of them.
    sets: Vec<Set<T>>,
    hasher: Keyed,
}

impl<T: Copy + Default> Default for Sources<T> {
    fn default() -> Self {
        Self { sets: vec![Default::default(); SETS], hasher: Keyed::default() }
    }
}

impl<T: Copy + Default> Sources<T> {
    /// What is remembered of this one.
    pub(crate) fn get(&self, source: &impl Hash) -> Option<&Place<T>> {
        let tag = self.tag(source);
        self.sets.get(self.set_of(tag))?.iter().find(|place| place.tag == tag)
    }

    /// The same, to be changed.
    pub(crate) fn get_mut(&mut self, source: &impl Hash) -> Option<&mut Place<T>> {
        let tag = self.tag(source);
        let n = self.set_of(tag);
        self.sets.get_mut(n)?.iter_mut().find(|place| place.tag == tag)
    }

    /// The place of this one. If it has none, it gets the first in its set that `is_over`, and if
    /// there is none the one that matters least; as [`Default`] has it.
    pub(crate) fn place(
        &mut self,
        source: &impl Hash,
        is_over: impl Fn(Instant) -> bool,
    ) -> (&mut Place<T>, Was) {
        let tag = self.tag(source);
        loop {
            let n = self.set_of(tag);
            let set = &self.sets[n];
            let (index, was) = match set.iter().position(|place| place.tag == tag) {
                Some(index) if is_over(set[index].at) => (index, Was::New),
                Some(index) => (index, Was::Known),
                None => {
                    let is_free = |place: &Place<T>| place.tag == 0 || is_over(place.at);
                    match set.iter().position(is_free) {
                        Some(index) => (index, Was::New),
                        None if self.grow() => continue,
                        None => (least(&self.sets[n]), Was::Crowded),
                    }
                }
            };
            let place = &mut self.sets[n][index];
            if was != Was::Known {
                *place = Place { tag, ..Place::default() };
            }
            return (place, was);
        }
    }

    /// Doubles the table, unless it has as many places as there may be.
    fn grow(&mut self) -> bool {
        if self.sets.len() * SET >= SOURCES {
            return false;
        }
        let before = std::mem::take(&mut self.sets);
        self.sets = vec![Default::default(); 2 * before.len()];
        for place in before.into_iter().flatten().filter(|place| place.tag != 0) {
            // Half of a set goes where nothing else goes, so there is a free place.
            let n = self.set_of(place.tag);
            if let Some(free) = self.sets[n].iter_mut().find(|place| place.tag == 0) {
                *free = place;
            }
        }
        true
    }

    fn tag(&self, source: &impl Hash) -> u64 {
        self.hasher.hash_one(source) | 1
    }

    fn set_of(&self, tag: u64) -> usize {
        (tag >> 1) as usize & (self.sets.len() - 1)
    }
}

/// Which place matters least.
fn least<T>(set: &Set<T>) -> usize {
    let places = set.iter().enumerate();
    places.min_by_key(|(_, place)| place.at).map_or(0, |(index, _)| index)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Remembers `at` of each of these, which is over at 1000; how it was with them.
    fn remember(sources: &mut Sources<()>, all: std::ops::Range<u64>, at: u64) -> Vec<Was> {
        let places = all.map(|n| {
            let (place, was) = sources.place(&n, |at| at.micros() <= 1000);
            place.at = Instant::from_micros(at);
            was
        });
        places.collect()
    }

    fn known(sources: &Sources<()>, all: std::ops::Range<u64>) -> usize {
        all.filter(|n| sources.get(n).is_some()).count()
    }

    #[test]
    fn it_grows_with_use_and_nobody_is_forgotten_before_it_is_full() {
        let mut sources = Sources::default();
        assert!(size_of_val(&sources.sets[..]) <= 2048, "cheap to begin with");
        let few = SOURCES as u64 / 4;
        let first = remember(&mut sources, 0..few, 2000);
        assert!(first.iter().all(|was| *was == Was::New));
        assert_eq!(known(&sources, 0..few), few as usize);
        let again = remember(&mut sources, 0..few, 2000);
        assert!(again.iter().all(|was| *was == Was::Known));
    }

    #[test]
    fn what_is_over_gives_its_place_away_before_the_table_grows() {
        let mut sources = Sources::default();
        for _ in 0..100 {
            let all = remember(&mut sources, 0..10_000, 1000);
            assert!(all.iter().all(|was| *was == Was::New));
        }
        assert_eq!(sources.sets.len(), SETS);
    }

    #[test]
    fn a_flood_makes_it_forget_what_matters_least() {
        let mut sources = Sources::default();
        let busy = SOURCES as u64 / 16;
        remember(&mut sources, 0..busy, 5000);
        let flood = remember(&mut sources, busy..busy + 20 * SOURCES as u64, 2000);
        assert!(flood.contains(&Was::Crowded));
        assert_eq!(sources.sets.len() * SET, SOURCES);
        assert_eq!(known(&sources, 0..busy), busy as usize);
    }
}
