//! Who speaks to this node and has a place at another one, or has asked for one there lately.

use std::net::SocketAddr;
use std::time::Duration;

use super::message::Held;
use serde::{Deserialize, Serialize};

use crate::clock::{Instant, earliest};
use crate::cluster::NodeId;
use crate::dialect::Via;
use crate::dialect::rooms::field::Id;
use crate::hash::Map;
use crate::limits::{self, cluster as bounds};
use crate::timers::Timers;

/// Where the requests of somebody lead.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(in crate::dialect::rooms) struct ForwardingEntry {
    pub(in crate::dialect::rooms) node: NodeId,
    /// Where the last of them came in.
    pub(in crate::dialect::rooms) via: Via,
    /// The place that it has there; none: it has only asked, or left.
    pub(in crate::dialect::rooms) held: Option<Held>,
    /// The node where it has asked for another place, which may have offered it one.
    pub(in crate::dialect::rooms) asked: Option<NodeId>,
    /// The place that it has left last for another, or somebody in its name.
    pub(in crate::dialect::rooms) left: Option<Left>,
}

/// A place that is kept for a while.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(in crate::dialect::rooms) struct Left {
    pub(in crate::dialect::rooms) node: NodeId,
    pub(in crate::dialect::rooms) id: Id,
    pub(in crate::dialect::rooms) at: Instant,
}

impl ForwardingEntry {
    /// Its place is at this node; another one that it has left is kept there, if it has shown its key.
    pub(super) fn moved(self, now: Instant, node: NodeId, held: Option<Held>) -> Self {
        let before = self.held.filter(|before| before.proved);
        let left = match (before, held) {
            (Some(before), Some(held)) if before.id == held.id => None,
            (Some(before), _) => Some(Left { node: self.node, id: before.id, at: now }),
            (None, held) => self.left.filter(|left| held.is_none_or(|held| held.id != left.id)),
        };
        Self { node, held, left, ..self }
    }

    /// The place that it has left and that may still be kept for it.
    pub(super) fn kept(&self, now: Instant) -> Option<Left> {
        self.left.filter(|left| now - left.at < limits::PARTED)
    }
}

/// All of them, until they have been silent for as long as who is in a room may be. Those who may be forged push out
/// none who has shown a key, be it that of a place which is left by now.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::dialect::rooms) struct ForwardingTable {
    proved: Timers<SocketAddr, ForwardingEntry>,
    others: Timers<SocketAddr, ForwardingEntry>,
    #[serde(skip)]
    by_id: Map<Id, SocketAddr>,
}

impl ForwardingTable {
    pub(super) fn new(silence: Duration) -> Self {
        let [proved, others] = [(); 2].map(|()| Timers::new(silence));
        Self { proved, others, by_id: Map::default() }
    }

    /// Goes on from what another process knew of these nodes.
    pub(super) fn restore(&mut self, saved: Self, is_there: impl Fn(NodeId) -> bool) {
        let Self { proved, others, by_id: _ } = saved;
        self.proved.restore(proved);
        self.others.restore(others);
        let all: Vec<SocketAddr> = self.proved.keys().chain(self.others.keys()).copied().collect();
        for at in all {
            match self.get(at).map(|entry| (entry.node, entry.held)) {
                Some((node, _)) if !is_there(node) => self.remove(at),
                Some((_, Some(held))) => _ = self.by_id.insert(held.id, at),
                _ => {}
            }
        }
    }

    /// How many there are, and those found by their IDs.
    pub(super) fn len(&self) -> usize {
        self.proved.len() + self.others.len() + self.by_id.len()
    }

    pub(super) fn get(&self, at: SocketAddr) -> Option<&ForwardingEntry> {
        self.proved.get(&at).or_else(|| self.others.get(&at))
    }

    /// That of the peer with this ID.
    pub(super) fn of(&self, id: Id) -> Option<&ForwardingEntry> {
        self.get(*self.by_id.get(&id)?)
    }

    pub(super) fn set(&mut self, now: Instant, at: SocketAddr, entry: ForwardingEntry) {
        self.remove(at);
        let is_proved = entry.held.is_some_and(|held| held.proved) || entry.left.is_some();
        let all = if is_proved { &mut self.proved } else { &mut self.others };
        let too_much = if all.len() >= bounds::LEADS { all.take() } else { None };
        all.arm_with(now, at, entry);
        self.forget_id(too_much);
        if let Some(held) = entry.held {
            let before = self.by_id.insert(held.id, at).filter(|before| *before != at);
            // It was there.
            if let Some(before) = before
                && let Some(entry) = self.get(before).copied()
                && entry.held.is_some_and(|there| there.id == held.id)
            {
                self.proved.cancel(&before);
                self.others.arm_with(now, before, ForwardingEntry { held: None, ..entry });
            }
        }
    }

    pub(super) fn remove(&mut self, at: SocketAddr) {
        let entry = self.proved.remove(&at).or_else(|| self.others.remove(&at));
        self.forget_id(entry.map(|entry| (at, entry)));
    }

    fn forget_id(&mut self, entry: Option<(SocketAddr, ForwardingEntry)>) {
        if let Some((at, ForwardingEntry { held: Some(held), .. })) = entry
            && self.by_id.get(&held.id) == Some(&at)
        {
            self.by_id.remove(&held.id);
        }
    }

    /// Who has a place at a node.
    pub(super) fn at_node(&self, node: NodeId) -> Vec<(SocketAddr, Via, Held)> {
        let all = self.proved.keys().chain(self.others.keys());
        let all = all.filter_map(|at| Some((*at, self.get(*at)?)));
        let there = all.filter(|(_, entry)| entry.node == node);
        there.filter_map(|(at, entry)| Some((at, entry.via, entry.held?))).collect()
    }

    pub(super) fn on_wakeup(&mut self, now: Instant) {
        while let Some(entry) = self.proved.take_due(now).or_else(|| self.others.take_due(now)) {
            self.forget_id(Some(entry));
        }
    }

    pub(super) fn next_wakeup(&self) -> Option<Instant> {
        earliest([self.proved.next(), self.others.next()])
    }
}
