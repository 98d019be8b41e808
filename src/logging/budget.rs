//! How many lines the log gets.

use std::time::{Duration, Instant};

/// Seconds' worth of lines that may come at once.
const BURST: u32 = 60;

/// How far apart it is said that lines were left out.
const GAP: Duration = Duration::from_secs(10);

/// A token bucket, kept as the time at which it will be full again, and what was left out.
#[derive(Debug, Default)]
pub(super) struct Budget {
    full_at: Option<Instant>,
    left_out: u64,
    said: Option<Instant>,
}

impl Budget {
    /// Whether one more line may be written, with so many a second in the long run; and how many
    /// were left out before it, if that is to be said now, else 0.
    pub(super) fn admit(&mut self, now: Instant, per_second: u32) -> Option<u64> {
        let full_at = self.full_at.map_or(now, |at| at.max(now));
        if full_at - now > Duration::from_secs(BURST.into()) {
            self.left_out += 1;
            return None;
        }
        self.full_at = Some(full_at + Duration::from_secs(1) / per_second.max(1));
        let is_new = self.said.is_none_or(|said| now - said >= GAP);
        Some(if is_new { self.take_left_out(now) } else { 0 })
    }

    /// How many lines were left out since this was said last.
    pub(super) fn take_left_out(&mut self, now: Instant) -> u64 {
        if self.left_out > 0 {
            self.said = Some(now);
        }
        std::mem::take(&mut self.left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_to_the_rate_and_all_of_it_is_counted() {
        const RATE: u32 = 20;
        const SECONDS: u32 = 1000;
        let begin = Instant::now();
        let mut budget = Budget::default();
        let (mut written, mut said, mut times) = (0, 0, 0);
        for ms in 0..SECONDS * 1000 {
            let now = begin + Duration::from_millis(ms.into());
            if let Some(left_out) = budget.admit(now, RATE) {
                written += 1;
                said += left_out;
                times += u32::from(left_out > 0);
            }
        }
        assert!(written <= u64::from(RATE * (SECONDS + BURST) + 1), "{written}");
        assert!(written >= u64::from(RATE * (SECONDS + BURST) - RATE), "{written}");
        assert!(times <= SECONDS / 10, "it was said {times} times");
        said += budget.take_left_out(begin);
        assert_eq!(written + said, u64::from(SECONDS * 1000));
    }

    #[test]
    fn after_a_quiet_time_lines_go_on() {
        let begin = Instant::now();
        let mut budget = Budget::default();
        while budget.admit(begin, 1).is_some() {}
        assert_eq!(budget.admit(begin + Duration::from_millis(500), 1), None);
        assert_eq!(budget.admit(begin + Duration::from_secs(61), 1), Some(2));
        assert_eq!(budget.admit(begin + Duration::from_secs(61), 1), Some(0));
    }
}
