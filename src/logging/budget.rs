//! How many lines the log gets.

use std::time::{Duration, Instant};

/// Seconds' worth of lines that may come at once.
const BURST: u32 = 60;

/// A token bucket, kept as the time at which it will be full again.
#[derive(Debug, Default)]
pub(super) struct Budget {
    full_at: Option<Instant>,
}

impl Budget {
    /// Whether one more line may be written, with so many a second in the long run.
    pub(super) fn admit(&mut self, now: Instant, per_second: u32) -> bool {
        let full_at = self.full_at.map_or(now, |at| at.max(now));
        let is_admitted = full_at - now <= Duration::from_secs(BURST.into());
        if is_admitted {
            self.full_at = Some(full_at + Duration::from_secs(1) / per_second.max(1));
        }
        is_admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_to_the_rate() {
        const RATE: u32 = 20;
        const SECONDS: u32 = 1000;
        let begin = Instant::now();
        let mut budget = Budget::default();
        let at = |ms: u32| begin + Duration::from_millis(ms.into());
        let written = (0..SECONDS * 1000).filter(|ms| budget.admit(at(*ms), RATE)).count();
        let most = (RATE * (SECONDS + BURST) + 1) as usize;
        assert!(written <= most, "{written}");
        assert!(written >= most - RATE as usize, "{written}");
    }

    #[test]
    fn after_a_quiet_time_lines_go_on() {
        let begin = Instant::now();
        let mut budget = Budget::default();
        while budget.admit(begin, 1) {}
        assert!(!budget.admit(begin + Duration::from_millis(500), 1));
        assert!(budget.admit(begin + Duration::from_secs(61), 1));
    }
}
