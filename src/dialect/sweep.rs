//! What may be gone of other nodes, looked at bit by bit. It is looked for at most once in a turn, and not before all is
//! looked at that was found before: so it costs no more if a node says again and again that it has told everything.

use std::collections::{BTreeSet, VecDeque};
use std::ops::Range;

use crate::cluster::NodeId;

/// What was found, and of which nodes there may be more.
#[derive(Debug)]
pub(super) struct Sweep<T> {
    of: BTreeSet<NodeId>,
    found: VecDeque<T>,
}

impl<T> Default for Sweep<T> {
    fn default() -> Self {
        Self { of: BTreeSet::new(), found: VecDeque::new() }
    }
}

impl<T> Sweep<T> {
    /// Something of this node may be gone.
    pub(super) fn note(&mut self, node: NodeId) {
        self.of.insert(node);
    }

    /// The nodes of which it is to be looked for now.
    pub(super) fn begin(&mut self) -> Option<BTreeSet<NodeId>> {
        let is_due = self.found.is_empty() && !self.of.is_empty();
        is_due.then(|| std::mem::take(&mut self.of))
    }

    /// This may be gone.
    pub(super) fn add(&mut self, found: impl IntoIterator<Item = T>) {
        self.found.extend(found);
    }

    /// The next one to look at.
    pub(super) fn pop(&mut self) -> Option<T> {
        self.found.pop_front()
    }

    /// How many are to be looked at, as far as is known.
    pub(super) fn len(&self) -> usize {
        self.found.len()
    }

    /// Whether there is nothing to do.
    pub(super) fn is_idle(&self) -> bool {
        self.found.is_empty() && self.of.is_empty()
    }
}

/// A walk through the places of a table, some at a time. One that is to begin anew goes on to the end first.
#[derive(Debug, Default)]
pub(super) struct Walk {
    at: Option<usize>,
    is_again: bool,
}

impl Walk {
    /// Something at any place may be gone.
    pub(super) fn begin(&mut self) {
        self.is_again |= self.at.is_some_and(|at| at > 0);
        self.at.get_or_insert(0);
    }

    /// So many places of a table with that many are to be looked at now.
    pub(super) fn step(&mut self, count: usize, places: usize) -> Range<usize> {
        let Some(from) = self.at else { return 0..0 };
        let to = from.saturating_add(count);
        self.at = match to < places {
            true => Some(to),
            false => std::mem::take(&mut self.is_again).then_some(0),
        };
        from..to
    }

    /// Whether there is nothing to look at.
    pub(super) fn is_idle(&self) -> bool {
        self.at.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_that_is_to_begin_anew_all_the_time_comes_to_the_end() {
        let mut walk = Walk::default();
        assert_eq!((walk.is_idle(), walk.step(4, 10)), (true, 0..0));
        let mut steps = Vec::new();
        for _ in 0..4 {
            walk.begin();
            steps.push(walk.step(4, 10));
        }
        assert_eq!(steps, [0..4, 4..8, 8..12, 0..4]);
        // What was said after its beginning is looked at in another one.
        walk.begin();
        assert_eq!([walk.step(4, 10), walk.step(4, 10), walk.step(10, 10)], [4..8, 8..12, 0..10]);
        assert!(walk.is_idle());
    }
}
