//! A bound of so much a second, with two seconds' worth at once: a token bucket that is kept as the time
//! when it will be full again (the generic cell rate algorithm of ATM Forum's TM 4.0).

use crate::clock::Instant;

/// So much may be had at once as comes in this time, in nanoseconds.
const BURST: u64 = 2_000_000_000;

/// How much a second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    /// Nanoseconds for each, times 1024.
    each: u64,
}

impl Rate {
    pub(super) fn per_second(amount: u32) -> Self {
        Self { each: (1_000_000_000 << 10) / u64::from(amount.max(1)) }
    }

    fn time_for(self, amount: usize) -> u64 {
        (self.each.saturating_mul(amount as u64)) >> 10
    }
}

/// What is left; all at the beginning.
#[repr(Rust, packed(4))]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bucket {
    /// When all is there again, in nanoseconds.
    full: u64,
}

impl Bucket {
    /// Whether so much is there.
    pub(super) fn has(&self, rate: Rate, now: Instant, amount: usize) -> bool {
        let now = nanos(now);
        self.full.max(now).saturating_add(rate.time_for(amount)) <= now.saturating_add(BURST)
    }

    /// Takes it.
    pub(super) fn take(&mut self, rate: Rate, now: Instant, amount: usize) {
        self.full = self.full.max(nanos(now)).saturating_add(rate.time_for(amount));
    }
}

fn nanos(at: Instant) -> u64 {
    at.micros().saturating_mul(1000)
}
