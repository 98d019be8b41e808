//! How long those waited who asked for something, until the answer was handed to the kernel. What is
//! answered later, as it waits for somebody else or for a turn, is not among that.

use serde::{Deserialize, Serialize};

use crate::clock::Instant;
use crate::dialect::Name;

/// Up to how many microseconds each bucket reaches. A busy turn of the loop takes 5 ms.
pub(super) const BUCKETS: [u64; 13] =
    [25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 1_000_000];

/// Answers that are noted and not sent: more than there are in a turn of the loop, which sends them.
const PENDING: usize = 4096;

/// The times of one dialect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Times {
    /// How many there are in each bucket alone; behind those the rest.
    pub(super) buckets: [u64; BUCKETS.len() + 1],
    /// All of them together, in microseconds.
    pub(super) sum: u64,
}

impl Times {
    fn note(&mut self, micros: u64) {
        let bucket = BUCKETS.partition_point(|most| *most < micros);
        if let Some(count) = self.buckets.get_mut(bucket) {
            *count += 1;
        }
        self.sum = self.sum.saturating_add(micros);
    }
}

/// The times of all dialects.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Answers {
    times: [Times; Name::ALL.len()],
    /// What was asked in which dialect, and when that came, of those whose answers are on their way.
    #[serde(skip)]
    pending: Vec<(Name, Instant)>,
    /// When the loop has looked at what there is.
    #[serde(skip)]
    turn: Instant,
}

impl Answers {
    /// The loop looks at what there is: of what comes on connections nobody tells when it came.
    pub(super) fn begin_turn(&mut self, now: Instant) {
        self.turn = now;
    }

    /// Something that came on a connection has an answer.
    pub(super) fn on_connection(&mut self, name: Name) {
        self.note(name, self.turn);
    }

    /// Something that came then has an answer.
    pub(super) fn note(&mut self, name: Name, came: Instant) {
        if self.pending.len() < PENDING {
            self.pending.push((name, came));
        }
    }

    /// Whether answers are on their way.
    pub(super) fn are_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// They have been handed to the kernel.
    pub(super) fn sent(&mut self, now: Instant) {
        for (name, came) in self.pending.drain(..) {
            if let Some(times) = self.times.get_mut(name as usize) {
                times.note((now - came).as_micros() as u64);
            }
        }
    }

    /// Those of a dialect.
    pub(super) fn of(&self, name: Name) -> Times {
        self.times.get(name as usize).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn times_are_counted_when_the_answers_leave() {
        let mut answers = Answers::default();
        let at = |micros: u64| Instant::from_micros(1_000_000 + micros);
        answers.begin_turn(at(100));
        answers.note(Name::Stun, at(75));
        answers.note(Name::Stun, at(0));
        answers.on_connection(Name::Gmnet);
        assert!(answers.are_pending());
        assert_eq!(answers.of(Name::Stun), Times::default());
        answers.sent(at(100));
        assert!(!answers.are_pending());
        let stun = answers.of(Name::Stun);
        assert_eq!((stun.sum, &stun.buckets[..4]), (125, &[1, 0, 1, 0][..]));
        assert_eq!(answers.of(Name::Gmnet).buckets[0], 1);
        answers.note(Name::Rooms, at(0));
        answers.sent(at(0) + Duration::from_secs(2));
        assert_eq!(answers.of(Name::Rooms).buckets[BUCKETS.len()], 1);
        for _ in 0..=PENDING {
            answers.note(Name::Rooms, at(0));
        }
        assert_eq!(answers.pending.len(), PENDING);
    }
}
