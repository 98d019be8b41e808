//! Time as a value. Nothing but the event loop reads a clock; everything else is told what time
//! it is, so that a test can make time up.

use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A point on the monotonic clock: microseconds since a moment that is [`limits::WAITED`](crate::limits::WAITED)
/// before the server started, as what comes first may have waited for it. Connections and hosts have
/// several beside smaller numbers, so it may stand wherever those may.
#[repr(Rust, packed(4))]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Instant(u64);

impl Instant {
    /// The moment that many microseconds after the start.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since the start.
    #[must_use]
    pub const fn micros(self) -> u64 {
        self.0
    }

    /// The moment right before this one.
    #[must_use]
    pub const fn just_before(self) -> Self {
        Self(self.0.saturating_sub(1))
    }

    /// How long ago `earlier` was; zero if it lies ahead.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// The moment so long before this one, or the start.
    #[must_use]
    pub fn before(self, duration: Duration) -> Self {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        Self(self.0.saturating_sub(micros))
    }
}

/// The earliest of the moments that are to come, if any is. It is asked in each turn, of many timers of
/// which few are armed, so it takes no branches.
#[must_use]
pub fn earliest<const N: usize>(moments: [Option<Instant>; N]) -> Option<Instant> {
    const NEVER: u64 = u64::MAX;
    let micros = |at: Option<Instant>| at.map_or(NEVER, Instant::micros);
    let first = moments.into_iter().fold(NEVER, |first, at| first.min(micros(at)));
    (first != NEVER).then_some(Instant(first))
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(micros))
    }
}

impl Sub for Instant {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.since(earlier)
    }
}

/// What time it is, by both clocks, at the moment something happened.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Now {
    /// For measuring: never jumps, never goes back.
    pub instant: Instant,
    /// For telling people: seconds since 1970, as good as the machine's clock.
    pub unix: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_is_found_if_there_is_any() {
        let at = |micros| Some(Instant::from_micros(micros));
        assert_eq!(earliest([None, at(3), None, at(2), at(5)]), at(2));
        assert_eq!(earliest([at(0), None]), at(0));
        assert_eq!((earliest([None, None]), earliest([])), (None, None));
    }
}
