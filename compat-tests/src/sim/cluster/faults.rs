//! What goes wrong between nodes, and what a node can know all the same.

use std::collections::BTreeMap;
use std::time::Duration;

use punchd::clock::Instant;

/// So long after a node has died, or what was cut is joined, all know what there is.
pub const SETTLED: Duration = Duration::from_secs(5);

/// So long after something has changed where nothing is wrong, all know it.
pub const TOLD: Duration = Duration::from_secs(1);

/// Something that goes wrong for a while.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// From when on.
    pub from: Instant,
    /// Until when.
    pub to: Instant,
    /// What.
    pub what: Wrong,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// Nothing gets from the first to the second node.
    Cut(usize, usize),
    /// A node is on its own.
    Alone(usize),
    /// So many messages of a thousand are lost, so many come again later, and they overtake each other.
    Storm {
        /// Lost.
        lost: u64,
        /// Repeated.
        repeated: u64,
        /// Milliseconds that may come on top of the delay.
        jitter: u64,
    },
    /// A node is dead, and begins anew after it.
    Dead(usize),
}

/// All that goes wrong, and since when each node lives.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// In no order.
    pub all: Vec<Fault>,
    /// When each node began to live.
    pub born: BTreeMap<usize, Instant>,
}

impl Faults {
    /// Whether nothing was wrong between two nodes from then until then.
    #[must_use]
    pub fn is_calm(&self, (a, b): (usize, usize), from: Instant, to: Instant) -> bool {
        let mut meanwhile = self.all.iter().filter(|fault| fault.from < to && fault.to > from);
        meanwhile.all(|fault| match fault.what {
            Wrong::Cut(c, d) => a == b || (c, d) != (a, b) && (c, d) != (b, a),
            Wrong::Alone(n) => a == b || n != a && n != b,
            Wrong::Storm { .. } => a == b,
            Wrong::Dead(n) => n != a && n != b,
        })
    }

    /// How a node sees things at a moment.
    #[must_use]
    pub const fn view(&self, viewer: usize, at: Instant) -> View<'_> {
        View { faults: self, viewer, at }
    }

    /// Whether messages were lost here and there at some time from then until then.
    #[must_use]
    pub fn is_storm(&self, from: Instant, to: Instant) -> bool {
        self.all.iter().any(|fault| {
            matches!(fault.what, Wrong::Storm { .. }) && fault.from < to && fault.to > from
        })
    }
}

/// How a node sees things at a moment.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    faults: &'a Faults,
    /// The node.
    pub viewer: usize,
    /// The moment.
    pub at: Instant,
}

impl View<'_> {
    /// Whether the node must know all that has not changed at another one for [`TOLD`].
    #[must_use]
    pub fn hears(&self, node: usize) -> bool {
        if node == self.viewer {
            return true;
        }
        let born = |node| self.faults.born.get(&node);
        let were_there = [self.viewer, node]
            .iter()
            .all(|node| born(*node).is_some_and(|born| self.at.since(*born) > TOLD));
        were_there && self.is_calm(node)
    }

    fn is_calm(&self, node: usize) -> bool {
        self.faults.is_calm((node, self.viewer), self.at.before(SETTLED), self.at)
    }

    /// Whether the node must have forgotten what has ended at another one then, with that node itself or not.
    #[must_use]
    pub fn must_have_forgotten(&self, node: usize, ended: Instant, by_death: bool) -> bool {
        if node == self.viewer {
            return self.at.since(ended) > Duration::from_millis(1);
        }
        if !by_death {
            return self.at.since(ended) > TOLD && self.is_calm(node);
        }
        // What the next process of that node says may be lost again and again.
        let times = if self.faults.is_storm(ended, self.at) { 2 } else { 1 };
        self.at.since(ended) > SETTLED * times
    }

    /// Whether the node has heard nothing of another one for so long that it is taken to be gone.
    #[must_use]
    pub fn has_lost(&self, node: usize) -> bool {
        self.faults.all.iter().any(|fault| {
            let is_cut = match fault.what {
                Wrong::Cut(from, to) => (from, to) == (node, self.viewer),
                Wrong::Alone(n) => node != self.viewer && (n == node || n == self.viewer),
                Wrong::Storm { .. } | Wrong::Dead(_) => false,
            };
            is_cut && fault.from + SETTLED < self.at && self.at < fault.to
        })
    }
}
