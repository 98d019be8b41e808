//! What other nodes are told of this one: first all, part by part, then what changes.

use std::hash::{BuildHasher as _, Hash};

use serde::Serialize;

use crate::clock::Instant;
use crate::cluster::NodeId;
use crate::hash::{Keyed, Map};
use crate::limits::cluster as bounds;
use crate::state;
use crate::timers::Timers;

/// Who has been told what, of things that have such IDs.
#[derive(Debug)]
pub(super) struct Telling<I> {
    /// The nodes that are there, each with what it has still to be told, the last first.
    there: Map<NodeId, Vec<I>>,
    /// When those are told more that have not been told all.
    parts: Timers<NodeId>,
    /// A hash of what others were told last of each, so that they are not told the same again.
    told: Map<I, u64>,
    hasher: Keyed,
}

/// Something that all are to be told.
#[derive(Debug)]
pub(super) enum News<I, T> {
    /// These are new or have changed.
    Told(Vec<T>),
    /// These are gone.
    Gone(Vec<I>),
}

impl<I> Default for Telling<I> {
    fn default() -> Self {
        Self {
            there: Map::default(),
            parts: Timers::new(bounds::PART_EVERY),
            told: Map::default(),
            hasher: Keyed::default(),
        }
    }
}

impl<I: Copy + Ord + Hash> Telling<I> {
    /// Whether there is no other node.
    pub(super) fn is_alone(&self) -> bool {
        self.there.is_empty()
    }

    /// Whether this node is there.
    pub(super) fn is_there(&self, node: NodeId) -> bool {
        self.there.contains_key(&node)
    }

    /// Of how many it is known what others were told last.
    pub(super) fn len(&self) -> usize {
        self.told.len()
    }

    /// A node is to be told all this, the last first.
    pub(super) fn begin(&mut self, node: NodeId, all: Vec<I>) {
        self.there.insert(node, all);
    }

    /// A node is gone.
    pub(super) fn forget(&mut self, node: NodeId) {
        self.there.remove(&node);
        self.parts.cancel(&node);
        if self.there.is_empty() {
            self.told = Map::default();
        }
    }

    /// A node that is to be told more now.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<NodeId> {
        self.parts.pop_due(now)
    }

    /// When [`Self::pop_due`] has one.
    pub(super) fn next(&self) -> Option<Instant> {
        self.parts.next()
    }

    /// What is to be told of that which has changed, as far as a turn goes; the rest stays in `news`. `to_tell` has
    /// about how many bytes it takes, and none of what is gone.
    pub(super) fn changes<T: Serialize>(
        &mut self,
        news: &mut Vec<I>,
        to_tell: impl Fn(I) -> Option<(T, usize)>,
    ) -> Vec<News<I, T>> {
        news.sort_unstable();
        news.dedup();
        let rest = news.len().saturating_sub(bounds::PART_ENTRIES);
        let (mut all, mut part, mut size, mut gone) = (Vec::new(), Vec::new(), 0, Vec::new());
        for id in news.split_off(rest) {
            let Some((told, length)) = to_tell(id) else {
                self.told.remove(&id);
                gone.push(id);
                continue;
            };
            let hash = self.hasher.hash_one(state::write(&told).unwrap_or_default());
            if self.told.insert(id, hash) == Some(hash) {
                continue;
            }
            size += length;
            part.push(told);
            if size >= bounds::PART {
                size = 0;
                all.push(News::Told(std::mem::take(&mut part)));
            }
        }
        all.extend(Some(part).filter(|part| !part.is_empty()).map(News::Told));
        all.extend(Some(gone).filter(|gone| !gone.is_empty()).map(News::Gone));
        all
    }

    /// Some more of what a node has not been told, and whether that was all.
    pub(super) fn part<T>(
        &mut self,
        now: Instant,
        node: NodeId,
        to_tell: impl Fn(I) -> Option<(T, usize)>,
    ) -> (Vec<T>, bool) {
        let Some(left) = self.there.get_mut(&node) else { return (Vec::new(), false) };
        let (mut all, mut size) = (Vec::new(), 0);
        for _ in 0..bounds::PART_ENTRIES {
            if size >= bounds::PART {
                break;
            }
            let Some(id) = left.pop() else { break };
            if let Some((told, length)) = to_tell(id) {
                size += length;
                all.push(told);
            }
        }
        let is_all = left.is_empty();
        if !is_all {
            self.parts.arm(now, node);
        }
        (all, is_all)
    }
}
