//! What may be gone of other nodes, looked at bit by bit. It is looked for at most once in a turn, and not before all is
//! looked at that was found before: so it costs no more if a node says again and again that it has told everything.

use std::collections::{BTreeSet, VecDeque};

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
