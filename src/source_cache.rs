//! What is remembered of addresses for a while: little of each, at most so many, and what is
//! forgotten first is what matters least.
//!
//! The table has sets of a few places; the hash of an address says which set is its own and tells
//! it from the others there. So a look-up reads two cache lines and moves nothing, nothing has to
//! be cleaned up, and no address ever gets what belongs to another. It starts small and doubles
//! when a set is full, up to its bound; from then on a set that is full forgets. What is over is
//! forgotten instead of growing, where it is of no use any more.

use std::hash::Hash;

use serde::ser::SerializeTuple as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::clock::Instant;
use crate::hash::Lasting;
use crate::limits::SOURCES;

/// Places in a set.
const SET: usize = 8;

/// Sets at first.
const SETS: usize = 8;

/// Some places, with what is compared with each other side by side: then it takes no branches.
#[derive(Clone, Debug, Default)]
#[repr(align(64))]
struct Set<T> {
    /// Whose each place is; zero if it is nobody's.
    tags: [u64; SET],
    at: [Instant; SET],
    values: [T; SET],
}

/// What is remembered of an address.
#[derive(Debug)]
pub(crate) struct Place<'a, T> {
    /// The earlier this is, the less it matters.
    pub(crate) at: &'a mut Instant,
    /// The rest.
    pub(crate) value: &'a mut T,
}

/// Whether something was remembered of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lookup {
    /// It was, and still is.
    Known,
    /// Nothing that still matters has been known of it.
    New,
    /// It may have been known: there was no room, and the least that mattered was forgotten.
    Crowded,
}

/// What becomes of what is over, if its set is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expired {
    /// It may still be of use, so it stays as long as the table can grow.
    Kept,
    /// It is as good as nothing, so it goes at once: the table is no larger than it has to be.
    Forgotten,
}

/// A table of what is remembered of each address, or whatever else sends something.
#[derive(Debug)]
pub(crate) struct SourceCache<T> {
    /// A power of two of them.
    sets: Vec<Set<T>>,
    over: Expired,
    hasher: Lasting,
}

impl<T: Copy + Default> SourceCache<T> {
    /// Nothing is remembered of anybody yet.
    pub(crate) fn new(over: Expired) -> Self {
        Self { sets: vec![Default::default(); SETS], over, hasher: Lasting::default() }
    }

    /// What is remembered of this one, but for when it was.
    pub(crate) fn get(&self, source: &impl Hash) -> Option<T> {
        let tag = self.tag(source);
        let set = self.set(tag);
        set.find(tag).and_then(|index| set.values.get(index).copied())
    }

    /// What is remembered of this one, to be changed.
    pub(crate) fn get_mut(&mut self, source: &impl Hash) -> Option<Place<'_, T>> {
        let tag = self.tag(source);
        let set = self.set_mut(tag);
        set.find(tag).map(|index| set.place(index))
    }

    /// The place of this one, as [`Default`] has it if that `is_over`. If it has none and the table
    /// cannot grow, it gets the first in its set that is over, else the one that matters least.
    pub(crate) fn place(
        &mut self,
        source: &impl Hash,
        is_over: impl Fn(Instant) -> bool,
    ) -> (Place<'_, T>, Lookup) {
        let tag = self.tag(source);
        let (index, was) = match self.room_for(tag, is_over) {
            Some(found) => found,
            None => (self.set(tag).least(), Lookup::Crowded),
        };
        (self.take(tag, index, was), was)
    }

    /// The same, but nothing that still matters is forgotten for it: rather there is none.
    pub(crate) fn free_place(
        &mut self,
        source: &impl Hash,
        is_over: impl Fn(Instant) -> bool,
    ) -> Option<Place<'_, T>> {
        let tag = self.tag(source);
        let (index, was) = self.room_for(tag, is_over)?;
        Some(self.take(tag, index, was))
    }

    /// The place with this tag, or one that may become its.
    fn room_for(&mut self, tag: u64, is_over: impl Fn(Instant) -> bool) -> Option<(usize, Lookup)> {
        loop {
            let set = self.set(tag);
            if let Some(index) = set.find(tag) {
                let is_new = set.at.get(index).is_none_or(|at| is_over(*at));
                return Some((index, if is_new { Lookup::New } else { Lookup::Known }));
            }
            if let Some(index) = set.find(0) {
                return Some((index, Lookup::New));
            }
            let over = first(&set.at, |at| is_over(*at)).map(|index| (index, Lookup::New));
            match over {
                Some(_) if self.over == Expired::Forgotten => return over,
                _ if self.grow() => {}
                _ => return over,
            }
        }
    }

    /// A place of its set becomes that of this tag.
    fn take(&mut self, tag: u64, index: usize, was: Lookup) -> Place<'_, T> {
        let set = self.set_mut(tag);
        if was != Lookup::Known {
            set.put(index, tag, Instant::default(), T::default());
        }
        set.place(index)
    }

    /// Doubles the table, unless it has as many places as there may be.
    fn grow(&mut self) -> bool {
        if self.sets.len() * SET >= SOURCES {
            return false;
        }
        let before = std::mem::take(&mut self.sets);
        self.sets = vec![Set::default(); 2 * before.len()];
        for set in before {
            let places = set.tags.into_iter().zip(set.at).zip(set.values);
            for ((tag, at), value) in places.filter(|((tag, _), _)| *tag != 0) {
                let set = self.set_mut(tag);
                // What shared a set before shares no smaller one now.
                let free = set.find(0).unwrap_or(0);
                set.put(free, tag, at, value);
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

    #[expect(clippy::indexing_slicing, reason = "`set_of` is below the number of sets")]
    fn set(&self, tag: u64) -> &Set<T> {
        &self.sets[self.set_of(tag)]
    }

    #[expect(clippy::indexing_slicing, reason = "`set_of` is below the number of sets")]
    fn set_mut(&mut self, tag: u64) -> &mut Set<T> {
        let n = self.set_of(tag);
        &mut self.sets[n]
    }
}

impl<T: Copy + Default> SourceCache<T> {
    /// Goes on with what another process remembered. What is not known by the same hash here is forgotten.
    pub(crate) fn restore(&mut self, saved: Self) {
        if saved.hasher.is_same() {
            *self = Self { over: self.over, ..saved };
        }
    }

    /// Everything that is remembered, with whose it is.
    fn all(&self) -> impl Iterator<Item = (u64, Instant, T)> {
        let sets = self.sets.iter();
        let places = sets.flat_map(|set| set.tags.into_iter().zip(set.at).zip(set.values));
        places.filter(|((tag, _), _)| *tag != 0).map(|((tag, at), value)| (tag, at, value))
    }
}

impl<T: Copy + Default + Serialize> Serialize for SourceCache<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let all: Vec<_> = self.all().collect();
        let mut both = to.serialize_tuple(2)?;
        both.serialize_element(&self.hasher)?;
        both.serialize_element(&all)?;
        both.end()
    }
}

impl<'de, T: Copy + Default + Deserialize<'de>> Deserialize<'de> for SourceCache<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let (hasher, all) = <(Lasting, Vec<(u64, Instant, T)>)>::deserialize(from)?;
        let mut sources = Self { hasher, ..Self::new(Expired::Kept) };
        for (tag, at, value) in all {
            // It is odd wherever it comes from, or it would be nobody's.
            if let Some((index, was)) = sources.room_for(tag | 1, |_| false) {
                let place = sources.take(tag | 1, index, was);
                (*place.at, *place.value) = (at, value);
            }
        }
        Ok(sources)
    }
}

impl<T: Copy> Set<T> {
    /// The place with this tag; zero finds one that is nobody's.
    fn find(&self, tag: u64) -> Option<usize> {
        first(&self.tags, |known| *known == tag)
    }

    #[expect(clippy::indexing_slicing, reason = "`find`, `first` and `least` give less than SET")]
    fn place(&mut self, index: usize) -> Place<'_, T> {
        Place { at: &mut self.at[index], value: &mut self.values[index] }
    }

    #[expect(clippy::indexing_slicing, reason = "`find`, `first` and `least` give less than SET")]
    fn put(&mut self, index: usize, tag: u64, at: Instant, value: T) {
        (self.tags[index], self.at[index], self.values[index]) = (tag, at, value);
    }

    /// Which place matters least.
    fn least(&self) -> usize {
        self.at.iter().enumerate().min_by_key(|(_, at)| **at).map_or(0, |(index, _)| index)
    }
}

/// The first place of a set that is so.
fn first<A>(of: &[A; SET], is_so: impl Fn(&A) -> bool) -> Option<usize> {
    let each = of.iter().enumerate();
    let all = each.fold(0_u32, |all, (index, one)| all | u32::from(is_so(one)) << index);
    (all != 0).then_some(all.trailing_zeros() as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Remembers `at` of each of these, which is over at 1000; how it was with them.
    fn remember(sources: &mut SourceCache<()>, all: std::ops::Range<u64>, at: u64) -> Vec<Lookup> {
        let places = all.map(|n| {
            let (place, was) = sources.place(&n, |at| at.micros() <= 1000);
            *place.at = Instant::from_micros(at);
            was
        });
        places.collect()
    }

    fn known(sources: &SourceCache<()>, all: std::ops::Range<u64>) -> usize {
        all.filter(|n| sources.get(n).is_some()).count()
    }

    #[test]
    fn it_grows_with_use_and_nobody_is_forgotten_before_it_is_full() {
        let mut sources = SourceCache::new(Expired::Forgotten);
        assert!(size_of_val(&sources.sets[..]) <= 1024, "cheap to begin with");
        let few = SOURCES as u64 / 16;
        let first = remember(&mut sources, 0..few, 2000);
        assert!(first.iter().all(|was| *was == Lookup::New));
        assert_eq!(known(&sources, 0..few), few as usize);
        let again = remember(&mut sources, 0..few, 2000);
        assert!(again.iter().all(|was| *was == Lookup::Known));
    }

    #[test]
    fn what_is_over_stays_until_its_place_is_needed() {
        let mut sources = SourceCache::new(Expired::Kept);
        remember(&mut sources, 0..200, 1000);
        assert_eq!(known(&sources, 0..200), 200);
        let all = remember(&mut sources, 200..20 * SOURCES as u64, 1000);
        assert!(all.iter().all(|was| *was == Lookup::New));
        assert_eq!(sources.sets.len() * SET, SOURCES);
    }

    #[test]
    fn what_is_over_is_forgotten_at_once_where_it_is_of_no_use() {
        let mut sources = SourceCache::new(Expired::Forgotten);
        let all = remember(&mut sources, 0..20 * SOURCES as u64, 1000);
        assert!(all.iter().all(|was| *was == Lookup::New));
        assert_eq!(sources.sets.len(), SETS);
    }

    #[test]
    fn nothing_is_forgotten_for_a_free_place() {
        let mut sources = SourceCache::<()>::new(Expired::Forgotten);
        let mut take = |n: u64, at| match sources.free_place(&n, |at| at.micros() <= 1000) {
            Some(place) => {
                *place.at = Instant::from_micros(at);
                true
            }
            None => false,
        };
        let all = 0..20 * SOURCES as u64;
        let had: Vec<u64> = all.clone().filter(|n| take(*n, 2000)).collect();
        assert!(had.len() > SOURCES - SOURCES / 16 && had.len() <= SOURCES);
        assert!(had.iter().all(|n| take(*n, 500)), "who is known has a place");
        assert!(all.clone().all(|n| take(n, 500)), "what is over makes room");
    }

    #[test]
    fn a_flood_makes_it_forget_what_matters_least() {
        let mut sources = SourceCache::new(Expired::Forgotten);
        let busy = SOURCES as u64 / 16;
        remember(&mut sources, 0..busy, 5000);
        let flood = remember(&mut sources, busy..busy + 20 * SOURCES as u64, 2000);
        assert!(flood.contains(&Lookup::Crowded));
        assert_eq!(sources.sets.len() * SET, SOURCES);
        assert_eq!(known(&sources, 0..busy), busy as usize);
    }
}
