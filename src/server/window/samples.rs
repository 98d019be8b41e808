//! The numbers of the last hour, one set of them a minute.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::{Instant, Now};
use crate::limits;

/// Between two of them.
pub(super) const EVERY: Duration = Duration::from_secs(60);

/// The numbers of one moment. What is counted up is told as it stands: the difference of two is what came
/// between them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sample {
    pub(super) hosts: usize,
    pub(super) clients: usize,
    pub(super) connections: usize,
    /// Introductions that got through, counted up.
    pub(super) through: u64,
    /// Those that did not, counted up.
    pub(super) failed: u64,
    /// Sessions of the relay.
    pub(super) relayed: usize,
    /// Bytes that it has passed on, counted up.
    pub(super) passed: u64,
    pub(super) memory: Option<u64>,
    /// Time of a CPU, counted up.
    pub(super) cpu: Option<Duration>,
}

/// Those of the last hour.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Samples {
    all: VecDeque<Sample>,
    /// When the last one was taken.
    unix: u64,
    next: Instant,
}

impl Samples {
    /// When the next one is to be taken.
    pub(super) const fn next(&self) -> Instant {
        self.next
    }

    pub(super) fn add(&mut self, now: Now, sample: Sample) {
        // One more, as what came within a minute is told by two of them.
        if self.all.len() > limits::SAMPLES {
            self.all.pop_front();
        }
        self.all.push_back(sample);
        (self.unix, self.next) = (now.unix, now.instant + EVERY);
    }

    /// When the last one was taken.
    pub(super) const fn unix(&self) -> u64 {
        self.unix
    }

    pub(super) fn first(&self) -> Sample {
        self.all.front().copied().unwrap_or_default()
    }

    pub(super) fn last(&self) -> Sample {
        self.all.back().copied().unwrap_or_default()
    }

    /// A number of each, the oldest first.
    pub(super) fn each<T>(&self, of: impl Fn(&Sample) -> T) -> Vec<T> {
        self.all.iter().skip(self.surplus()).map(of).collect()
    }

    /// What came in each minute, the oldest first.
    pub(super) fn between<T>(&self, of: impl Fn(&Sample, &Sample) -> T) -> Vec<T> {
        let pairs = self.all.iter().zip(self.all.iter().skip(1));
        pairs.map(|(before, after)| of(before, after)).collect()
    }

    fn surplus(&self) -> usize {
        self.all.len().saturating_sub(limits::SAMPLES)
    }
}
