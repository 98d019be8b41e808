//! What other nodes are told of this one: first all, part by part, then what changes.

use std::hash::{BuildHasher as _, Hash};
use std::net::IpAddr;

use serde::Serialize;

use super::untold::{Pace, Untold};
use crate::clock::{Instant, earliest};
use crate::cluster::NodeId;
use crate::hash::{Keyed, Map};
use crate::limits::cluster as bounds;
use crate::state;
use crate::timers::Timers;

/// Who has been told what, of things that have such IDs.
#[derive(Debug)]
pub(super) struct Replication<I> {
    /// The nodes that are there, each with what it has still to be told, the last first.
    there: Map<NodeId, Vec<I>>,
    /// When those are told more that have not been told all.
    parts: Timers<NodeId>,
    /// How much each may be told of that which it has not been told.
    paces: Map<NodeId, Pace>,
    /// What has changed since others were told.
    untold: Untold<I>,
    /// A hash of what others were told last of each, so that they are not told the same again.
    told: Map<I, u64>,
    hasher: Keyed,
}

/// How a thing is told, about how many bytes that takes, and of which address it is.
pub(super) type ToTell<T> = (T, usize, IpAddr);

/// In place of the hash of what others were told: each has been told something else.
const SOMETHING: u64 = 0;

/// Something that all are to be told.
#[derive(Debug)]
pub(super) enum Update<I, T> {
    /// These are new or have changed.
    Changed(Vec<T>),
    /// These are gone.
    Gone(Vec<I>),
}

impl<I> Default for Replication<I> {
    fn default() -> Self {
        Self {
            there: Map::default(),
            parts: Timers::new(bounds::PART_EVERY),
            paces: Map::default(),
            untold: Untold::default(),
            told: Map::default(),
            hasher: Keyed::default(),
        }
    }
}

impl<I: Copy + Ord + Hash> Replication<I> {
    /// Whether there is no other node.
    pub(super) fn is_alone(&self) -> bool {
        self.there.is_empty()
    }

    /// Whether this node is there.
    pub(super) fn is_there(&self, node: NodeId) -> bool {
        self.there.contains_key(&node)
    }

    /// Of how many it is known what others were told last, or that they have to be told.
    pub(super) fn len(&self) -> usize {
        self.told.len() + self.untold.len()
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
            self.untold.clear();
        }
    }

    /// A node that is to be told more now.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<NodeId> {
        self.parts.pop_due(now)
    }

    /// When [`Self::pop_due`] has one, or [`Self::changes`] what waits.
    pub(super) fn next(&self) -> Option<Instant> {
        earliest([self.parts.next(), self.untold.next()])
    }

    /// What is to be told of that which has changed, as far as a turn goes and others may be told; the rest stays in
    /// `news` or waits. `to_tell` has none of what is gone.
    pub(super) fn changes<T: Serialize>(
        &mut self,
        now: Instant,
        news: &mut Vec<I>,
        to_tell: impl Fn(I) -> Option<ToTell<T>>,
    ) -> Vec<Update<I, T>> {
        let gone = self.note(news, &to_tell);
        let (mut all, mut part, mut size) = (Vec::new(), Vec::new(), 0);
        all.extend(Some(gone).filter(|gone| !gone.is_empty()).map(Update::Gone));
        for _ in 0..bounds::PART_ENTRIES {
            let Some((id, _)) = self.untold.pop(now) else { break };
            let Some((told, length, _)) = to_tell(id) else { continue };
            let hash = self.hash(&told);
            if self.told.insert(id, hash) == Some(hash) {
                continue;
            }
            self.untold.spend(now, length);
            size += length;
            part.push(told);
            if size >= bounds::PART {
                size = 0;
                all.push(Update::Changed(std::mem::take(&mut part)));
            }
        }
        all.extend(Some(part).filter(|part| !part.is_empty()).map(Update::Changed));
        all
    }

    /// What is new or has changed has to wait for its turn. Returns what is gone: that is little, goes at once, and takes
    /// nothing of what may be said of others.
    fn note<T: Serialize>(
        &mut self,
        news: &mut Vec<I>,
        to_tell: impl Fn(I) -> Option<ToTell<T>>,
    ) -> Vec<I> {
        news.sort_unstable();
        news.dedup();
        let rest = news.len().saturating_sub(bounds::PART_ENTRIES);
        let mut gone = Vec::new();
        for id in news.split_off(rest) {
            if let Some((told, length, addr)) = to_tell(id) {
                if self.told.get(&id) != Some(&self.hash(&told)) {
                    self.untold.add(id, addr, length);
                }
                continue;
            }
            let has_waited = self.untold.remove(&id);
            let was_told = self.told.remove(&id).is_some();
            // Of what came and went meanwhile nobody knows, unless it was told to one who has not been told all yet.
            if was_told || !has_waited || self.there.values().any(|left| !left.is_empty()) {
                gone.push(id);
            }
        }
        gone
    }

    fn hash(&self, told: &impl Serialize) -> u64 {
        hash_of(&self.hasher, told)
    }

    /// Some more of what a node has not been told, and whether that was all.
    pub(super) fn part<T: Serialize>(
        &mut self,
        now: Instant,
        node: NodeId,
        to_tell: impl Fn(I) -> Option<ToTell<T>>,
    ) -> (Vec<T>, bool) {
        let Some(left) = self.there.get_mut(&node) else { return (Vec::new(), false) };
        let hasher = &self.hasher;
        let is_as_told = |told: &T, hash| hash_of(hasher, told) == hash;
        let (mut all, mut size) = (Vec::new(), 0);
        let pace = self.paces.entry(node).or_default();
        let most = if pace.is_open(now) { bounds::PART } else { 0 };
        for _ in 0..bounds::PART_ENTRIES {
            if size >= most {
                break;
            }
            let Some(id) = left.pop() else { break };
            if let Some((told, length, _)) = to_tell(id) {
                // Where this one knows more than others, it has to hear as well that it is as before.
                let known = self.told.get(&id).copied().filter(|_| !self.untold.has(&id));
                if !known.is_some_and(|hash| is_as_told(&told, hash)) {
                    self.told.insert(id, SOMETHING);
                }
                size += length;
                all.push(told);
            }
        }
        pace.spend(now, size);
        let is_all = left.is_empty();
        if !is_all {
            self.parts.arm(now, node);
        }
        (all, is_all)
    }
}

fn hash_of(hasher: &Keyed, told: &impl Serialize) -> u64 {
    hasher.hash_one(state::write(told).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn what_one_node_alone_was_told_meanwhile_all_are_told() {
        let mut replication = Replication::default();
        let now = Instant::from_micros(1_000_000);
        let to_tell = |text: &'static str| move |_| Some((text, 8, Ipv4Addr::LOCALHOST.into()));
        let changes = |replication: &mut Replication<u8>, text| {
            let all = replication.changes(now, &mut vec![1], to_tell(text));
            let told = all.into_iter().map(|update| match update {
                Update::Changed(all) => all,
                Update::Gone(_) => Vec::new(),
            });
            told.flatten().collect::<Vec<_>>()
        };
        replication.begin(NodeId::of(0), Vec::new());
        assert_eq!(changes(&mut replication, "as before"), ["as before"]);
        assert_eq!(changes(&mut replication, "as before"), [""; 0]);
        // It changes, a node comes before others are told, and it is as before.
        replication.begin(NodeId::of(1), vec![1]);
        assert_eq!(replication.part(now, NodeId::of(1), to_tell("changed")).0, ["changed"]);
        assert_eq!(changes(&mut replication, "as before"), ["as before"]);
        // One that is told what all were told makes nothing be told again.
        replication.begin(NodeId::of(2), vec![1]);
        assert_eq!(replication.part(now, NodeId::of(2), to_tell("as before")).0, ["as before"]);
        assert_eq!(changes(&mut replication, "as before"), [""; 0]);
    }
}
