//! How much the relay has passed on in a calendar month, which owners pay for.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Instant;

/// Bytes that were passed on in a month.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Passed {
    month: u64,
    bytes: u64,
    /// Since the server was started.
    total: u64,
    #[serde(skip)]
    rated: Rated,
}

/// How much had been passed on when the rate was found last.
#[derive(Clone, Copy, Debug, Default)]
struct Rated {
    at: Instant,
    total: u64,
    rate: u64,
}

impl Passed {
    /// Bytes that were passed on in the month of this time.
    pub(super) fn in_month(&self, unix: u64) -> u64 {
        if month(unix) == self.month { self.bytes } else { 0 }
    }

    /// So many more.
    pub(super) fn add(&mut self, unix: u64, bytes: u64) {
        self.bytes = self.in_month(unix).saturating_add(bytes);
        self.month = month(unix);
        self.total = self.total.saturating_add(bytes);
    }

    /// Bytes a second since a while, which is some ten seconds.
    pub(super) fn rate(&mut self, now: Instant) -> u64 {
        /// The relay's thread tells every five seconds what it has passed on.
        const RATED: Duration = Duration::from_secs(10);
        let Rated { at, total, rate } = self.rated;
        let took = now - at;
        if took >= RATED {
            let micros = u128::from(self.total.saturating_sub(total)) * 1_000_000;
            let rate = u64::try_from(micros / took.as_micros().max(1)).unwrap_or(u64::MAX);
            self.rated = Rated { at: now, total: self.total, rate };
            return rate;
        }
        rate
    }

    /// Bytes that were passed on since the server was started.
    pub(super) const fn total(&self) -> u64 {
        self.total
    }
}

/// The calendar month of a time, counted from the year 0 on. (The proleptic Gregorian calendar as years
/// that begin in March, so that the leap day comes last.)
fn month(unix: u64) -> u64 {
    /// Days from the first of March of the year 0 to the first of January 1970.
    const BEFORE: u64 = 719_468;
    let days = unix / 86_400 + BEFORE;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    12 * (400 * era + year) + (5 * day + 2) / 153
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_are_those_of_the_calendar() {
        for (before, after) in [
            ("2023-11-30", 1_701_388_800), // 2023-12-01
            ("2024-02-29", 1_709_251_200), // 2024-03-01
            ("2023-02-28", 1_677_628_800), // 2023-03-01
            ("2025-12-31", 1_767_225_600), // 2026-01-01
            ("2100-02-28", 4_107_542_400), // 2100-03-01
        ] {
            assert_eq!(month(after - 1) + 1, month(after), "after {before}");
            assert_eq!(month(after), month(after + 27 * 86_400), "the whole month after {before}");
        }
    }
}
