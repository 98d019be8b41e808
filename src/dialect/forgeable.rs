//! How many requests are passed on to other nodes of those who may be forged.

use std::net::IpAddr;

use crate::clock::Instant;
use crate::limits::cluster as bounds;
use crate::prefixes::levels;
use crate::rates::Rates;

/// All of them together, so that a flood of these leaves the others their way; and of each source no more than its
/// share, so that nobody who shows where he is takes that of all.
#[derive(Debug)]
pub(super) struct Forgeable {
    by_source: Rates,
    all: Rates,
}

impl Default for Forgeable {
    fn default() -> Self {
        Self {
            by_source: Rates::new(bounds::PASSED_OF_SOURCE, bounds::PASSED_OF_SOURCE_SECONDS),
            all: Rates::new(bounds::PASSED, 1),
        }
    }
}

impl Forgeable {
    /// Whether one more is passed on that comes from this address.
    pub(super) fn allow(&mut self, now: Instant, addr: IpAddr) -> bool {
        let Self { by_source, all } = self;
        // What one of them refuses is not at the cost of those around it.
        let is_left = levels(addr).all(|(bits, net, _)| by_source.has_token_of(now, (bits, net)));
        if !is_left || !all.allow_source(now, ()) {
            return false;
        }
        levels(addr).for_each(|(bits, net, times)| {
            by_source.allow_times(now, (bits, net), times);
        });
        true
    }
}
