//! What other nodes have told. Each time that a node tells everything is a round: what it does not tell again is gone.

use crate::cluster::NodeId;
use crate::hash::Map;
use crate::limits::cluster as bounds;

/// The nodes that tell something, and how much each has told.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    nodes: Map<NodeId, OfNode>,
    /// How many rounds there have been.
    count: u32,
}

#[derive(Debug)]
struct OfNode {
    round: u32,
    /// What was told before this round is not there any more.
    oldest: u32,
    entries: usize,
    strings: usize,
}

impl Rounds {
    /// Those that tell something.
    pub(super) fn nodes(&self) -> impl Iterator<Item = NodeId> {
        self.nodes.keys().copied()
    }

    /// A node begins to tell all that it has.
    pub(super) fn begin(&mut self, node: NodeId) {
        self.count = self.count.wrapping_add(1);
        let round = self.count;
        // What there is of one that was gone is not there any more.
        let new = OfNode { round, oldest: round, entries: 0, strings: 0 };
        self.nodes.entry(node).or_insert(new).round = round;
    }

    /// It has told all. False: it had not begun.
    pub(super) fn end(&mut self, node: NodeId) -> bool {
        let known = self.nodes.get_mut(&node);
        known.map(|known| known.oldest = known.round).is_some()
    }

    /// A node is gone with all that it has. False: it has told nothing.
    pub(super) fn forget(&mut self, node: NodeId) -> bool {
        self.nodes.remove(&node).is_some()
    }

    /// Whether what a node has told in this round is not there any more.
    pub(super) fn is_gone(&self, node: NodeId, round: u32) -> bool {
        self.nodes.get(&node).is_none_or(|known| round < known.oldest)
    }

    /// Counts one more entry of a node, with so many bytes of strings. The round that it is told in; none if the node
    /// has not begun.
    ///
    /// # Errors
    /// If there is no room for it.
    pub(super) fn add(&mut self, node: NodeId, strings: usize) -> Result<Option<u32>, Full> {
        let Some(known) = self.nodes.get_mut(&node) else { return Ok(None) };
        let all = known.strings.saturating_add(strings);
        if known.entries >= bounds::ENTRIES || all > bounds::STRINGS {
            return Err(Full);
        }
        known.entries += 1;
        known.strings = all;
        Ok(Some(known.round))
    }

    /// One less.
    pub(super) fn remove(&mut self, node: NodeId, strings: usize) {
        if let Some(known) = self.nodes.get_mut(&node) {
            known.entries = known.entries.saturating_sub(1);
            known.strings = known.strings.saturating_sub(strings);
        }
    }
}

/// A node has told more than there is room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;
