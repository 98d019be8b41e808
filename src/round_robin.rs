//! Sources take turns (round robin), however much waits of each; who has not waited a moment
//! ago comes before those who have had a turn and wait again.

use std::collections::VecDeque;
use std::collections::hash_map::Entry;
use std::hash::Hash;

use serde::{Deserialize, Serialize};

use crate::hash::Map;

/// One of so many turns is for those who wait again.
const AGAIN: u32 = 4;

/// What waits of each source, in order.
#[derive(Debug, Serialize, Deserialize)]
#[serde(bound(
    serialize = "K: Serialize, T: Serialize",
    deserialize = "K: Deserialize<'de> + Eq + Hash, T: Deserialize<'de>"
))]
pub(crate) struct RoundRobin<K, T> {
    /// What waits if nothing else does, as is mostly so: it needs no look-ups.
    alone: Option<(K, T)>,
    /// Else the next thing of each source, and those behind it.
    waiting: Map<K, (T, VecDeque<T>)>,
    /// Who waits for a first turn. Every source in `waiting` is in one of these two once.
    fresh: VecDeque<K>,
    /// Who has had a turn and waits for the next.
    again: VecDeque<K>,
    len: usize,
    turns: u32,
}

impl<K, T> Default for RoundRobin<K, T> {
    fn default() -> Self {
        Self {
            alone: None,
            waiting: Map::default(),
            fresh: VecDeque::new(),
            again: VecDeque::new(),
            len: 0,
            turns: 0,
        }
    }
}

impl<K: Copy + Eq + Hash, T> RoundRobin<K, T> {
    /// One more thing of this source waits.
    pub(crate) fn push(&mut self, source: K, thing: T) {
        self.len += 1;
        if self.len == 1 {
            self.alone = Some((source, thing));
            return;
        }
        if let Some((first, before)) = self.alone.take() {
            self.line_up(first, before);
        }
        self.line_up(source, thing);
    }

    fn line_up(&mut self, source: K, thing: T) {
        match self.waiting.entry(source) {
            Entry::Occupied(mut things) => things.get_mut().1.push_back(thing),
            Entry::Vacant(new) => {
                new.insert((thing, VecDeque::new()));
                self.fresh.push_back(source);
            }
        }
    }

    /// Takes what is next.
    pub(crate) fn pop(&mut self) -> Option<T> {
        self.turns = self.turns.wrapping_add(1);
        self.len = self.len.saturating_sub(1);
        if let Some((_, thing)) = self.alone.take() {
            return Some(thing);
        }
        let (first, second) = match self.turns % AGAIN {
            0 => (&mut self.again, &mut self.fresh),
            _ => (&mut self.fresh, &mut self.again),
        };
        let source = first.pop_front().or_else(|| second.pop_front())?;
        let Entry::Occupied(mut things) = self.waiting.entry(source) else { return None };
        let (thing, behind) = things.get_mut();
        match behind.pop_front() {
            Some(next) => {
                self.again.push_back(source);
                Some(std::mem::replace(thing, next))
            }
            None => Some(things.remove().0),
        }
    }

    /// How many things wait.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Of how many sources they are.
    pub(crate) fn sources(&self) -> usize {
        self.fresh.len() + self.again.len() + usize::from(self.alone.is_some())
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_take_turns_however_much_they_have() {
        let mut round_robin = RoundRobin::default();
        (0..100).for_each(|n| round_robin.push('a', n));
        round_robin.push('b', 100);
        assert_eq!((round_robin.len(), round_robin.sources()), (101, 2));
        let order: Vec<u32> = std::iter::from_fn(|| round_robin.pop()).collect();
        assert_eq!((order.len(), &order[..4]), (101, &[0, 100, 1, 2][..]));
        assert!(
            round_robin.is_empty() && round_robin.waiting.is_empty() && round_robin.sources() == 0
        );
    }

    #[test]
    fn a_newcomer_waits_for_few_and_nobody_waits_for_ever() {
        let mut round_robin = RoundRobin::default();
        for source in 0..64 {
            (0..250).for_each(|_| round_robin.push(source, source));
        }
        assert_eq!((0..100).filter_map(|_| round_robin.pop()).count(), 100, "all have had a turn");
        round_robin.push(64, 64);
        assert!((0..2).any(|_| round_robin.pop() == Some(64)), "the newcomer is next");
        let others = (0..1000).filter(|n| {
            round_robin.push(100 + n, 100 + n);
            round_robin.pop().is_some_and(|source| source < 64)
        });
        assert_eq!(others.count(), 250, "those who wait again have their turns among newcomers");
    }
}
