//! How much has been passed on of what may be: a bucket that leaks so much a second and holds two seconds'
//! worth. The relay reckons in another way.

use punchd::clock::Instant;

#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Meter {
    /// So much a second.
    rate: u128,
    /// What is in it, in millionths.
    level: u128,
    at: Instant,
}

impl Meter {
    pub(in super::super) fn new(rate: u32) -> Self {
        Self { rate: rate.into(), level: 0, at: Instant::default() }
    }

    /// So much is passed on. False: more than may be.
    pub(in super::super) fn add(&mut self, now: Instant, amount: usize) -> bool {
        self.leak(now);
        self.level += amount as u128 * 1_000_000;
        // It is reckoned in whole nanoseconds.
        self.level <= 2_000_000 * self.rate + 1_000_000
    }

    /// Whether so much more is more than may be passed on.
    pub(in super::super) fn is_full(&mut self, now: Instant, amount: usize) -> bool {
        self.leak(now);
        self.level + amount as u128 * 1_000_000 + 1_000_000 > 2_000_000 * self.rate
    }

    /// Whether so much more is more than half of that.
    pub(in super::super) fn is_half_full(&mut self, now: Instant, amount: usize) -> bool {
        self.leak(now);
        self.level + amount as u128 * 1_000_000 + 1_000_000 > 1_000_000 * self.rate
    }

    fn leak(&mut self, now: Instant) {
        let time = u128::from(now.since(self.at).as_micros() as u64);
        self.level = self.level.saturating_sub(time * self.rate);
        self.at = now;
    }
}
