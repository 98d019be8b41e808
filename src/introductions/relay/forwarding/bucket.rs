//! A bound of so much a second, with two seconds' worth at once: a token bucket that is kept as the time
//! when it will be full again (the generic cell rate algorithm of ATM Forum's TM 4.0).

use serde::{Deserialize, Serialize};

use crate::clock::Instant;

/// So much may be had at once as comes in this time, in nanoseconds.
const BURST: u64 = 2_000_000_000;

/// How much a second.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rate {
    /// Nanoseconds for each, times 1024.
    each: u64,
}

impl Rate {
    pub(super) fn per_second(amount: u32) -> Self {
        Self { each: (1_000_000_000 << 10) / u64::from(amount.max(1)) }
    }

    /// What each of so many has of it.
    pub(super) fn shared_by(self, count: usize) -> Self {
        Self { each: self.each.saturating_mul(count.max(1) as u64) }
    }

    fn time_for(self, amount: usize) -> u64 {
        (self.each.saturating_mul(amount as u64)) >> 10
    }
}

/// What is left; all at the beginning.
#[repr(Rust, packed(4))]
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Bucket {
    /// When all is there again, in nanoseconds.
    full: u64,
}

impl Bucket {
    /// Whether so much is there.
    pub(super) fn has(&self, rate: Rate, now: Instant, amount: usize) -> bool {
        self.has_of(rate, now, amount, BURST)
    }

    /// Whether more than half of all that may be had at once is there.
    pub(super) fn has_plenty(&self, rate: Rate, now: Instant, amount: usize) -> bool {
        self.has_of(rate, now, amount, BURST / 2)
    }

    fn has_of(&self, rate: Rate, now: Instant, amount: usize, burst: u64) -> bool {
        let now = nanos(now);
        self.full.max(now).saturating_add(rate.time_for(amount)) <= now.saturating_add(burst)
    }

    /// Takes it.
    pub(super) fn take(&mut self, rate: Rate, now: Instant, amount: usize) {
        self.full = self.full.max(nanos(now)).saturating_add(rate.time_for(amount));
    }

    /// Takes it, or all there is: what was had when there was plenty is not paid for for ever.
    pub(super) fn take_most(&mut self, rate: Rate, now: Instant, amount: usize) {
        self.take(rate, now, amount);
        self.full = self.full.min(nanos(now).saturating_add(BURST));
    }
}

fn nanos(at: Instant) -> u64 {
    at.micros().saturating_mul(1000)
}
