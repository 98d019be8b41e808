//! What other nodes have told. Each time that a node tells everything is a round: what it does not tell again is gone.
//!
//! IDs are random, so two nodes that have told of the same one are a fault of one of them. The first is believed as
//! long as it stands by it; when it may have taken that back the other is asked for everything it has.

use crate::cluster::NodeId;
use crate::hash::Map;
use crate::limits::cluster as bounds;

/// The nodes that tell something, and how much each has told.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    nodes: Map<NodeId, OfNode>,
    /// How many rounds there have been.
    count: u32,
    /// Whose word stands against that of whom: the first is believed.
    disputes: Vec<(NodeId, NodeId)>,
    /// Who was not believed until now.
    unheard: Vec<NodeId>,
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
        self.has_taken_back(node);
        let known = self.nodes.get_mut(&node);
        known.map(|known| known.oldest = known.round).is_some()
    }

    /// A node is gone with all that it has. False: it has told nothing.
    pub(super) fn forget(&mut self, node: NodeId) -> bool {
        self.has_taken_back(node);
        self.disputes.retain(|(_, other)| *other != node);
        self.nodes.remove(&node).is_some()
    }

    /// The round in which a node tells now.
    pub(super) fn round_of(&self, node: NodeId) -> Option<u32> {
        self.nodes.get(&node).map(|known| known.round)
    }

    /// Entries and bytes of all nodes.
    pub(super) fn size(&self) -> usize {
        self.nodes.values().map(|known| known.entries + known.strings).sum()
    }

    /// Whether what a node has told in this round is not there any more.
    pub(super) fn is_gone(&self, node: NodeId, round: u32) -> bool {
        self.nodes.get(&node).is_none_or(|known| round < known.oldest)
    }

    /// Whether something is another's of which `node` tells: that one has told of it before, in this round.
    pub(super) fn is_others(&mut self, (holder, round): (NodeId, u32), node: NodeId) -> bool {
        let is_others = holder != node && !self.is_gone(holder, round);
        if is_others && !self.disputes.contains(&(holder, node)) {
            self.disputes.push((holder, node));
        }
        is_others
    }

    /// A node has taken something back, which may be what another one was not believed.
    pub(super) fn has_taken_back(&mut self, holder: NodeId) {
        let unheard = self.disputes.extract_if(.., |(of, _)| *of == holder);
        self.unheard.extend(unheard.map(|(_, other)| other));
    }

    /// The nodes that are to be asked for everything, since this was asked last.
    pub(super) fn take_unheard(&mut self) -> Vec<NodeId> {
        std::mem::take(&mut self.unheard)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_believed_until_it_takes_its_word_back() {
        let [first, other] = [0, 1].map(NodeId::of);
        let all: [fn(&mut Rounds, NodeId); 3] = [
            |rounds, node| rounds.has_taken_back(node),
            |rounds, node| _ = rounds.forget(node),
            |rounds, node| {
                rounds.begin(node);
                rounds.end(node);
            },
        ];
        for take_back in all {
            let mut rounds = Rounds::default();
            [first, other].into_iter().for_each(|node| rounds.begin(node));
            let told = rounds.add(first, 1).unwrap().unwrap();
            assert!(!rounds.is_others((first, told), first), "it tells of its own");
            assert!(
                rounds.is_others((first, told), other) && rounds.is_others((first, told), other)
            );
            assert_eq!(rounds.take_unheard(), []);
            take_back(&mut rounds, first);
            assert_eq!((rounds.take_unheard(), rounds.take_unheard()), (vec![other], vec![]));
        }
    }

    #[test]
    fn nobody_is_asked_who_is_gone() {
        let [first, other] = [0, 1].map(NodeId::of);
        let mut rounds = Rounds::default();
        [first, other].into_iter().for_each(|node| rounds.begin(node));
        let told = rounds.add(first, 1).unwrap().unwrap();
        assert!(rounds.is_others((first, told), other));
        rounds.forget(other);
        rounds.forget(first);
        assert_eq!(rounds.take_unheard(), []);
    }
}
