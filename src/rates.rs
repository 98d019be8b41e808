//! How often one address may do something. Only those are remembered that have done something
//! lately; if there are too many of them, first those are forgotten that have done least.

use std::hash::Hash;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Instant;
use crate::prefixes::{levels, network};
use crate::source_cache::{Expired, SourceCache};

/// A token bucket for every address. Kept as the time at which the bucket will be full again,
/// which is all there is to know about it (the generic cell rate algorithm of ATM networks).
#[derive(Debug, Serialize, Deserialize)]
pub struct Rates {
    full_at: SourceCache<()>,
    /// Time in which one token comes back; zero if everything is allowed.
    #[serde(skip)]
    refill: Duration,
    /// Time in which a whole bucket comes back.
    #[serde(skip)]
    burst: Duration,
}

impl Rates {
    /// Allows `per_second` in the long run, and that of `burst_seconds` at once. Zero allows all.
    #[must_use]
    pub fn new(per_second: u32, burst_seconds: u32) -> Self {
        // In whole microseconds, as the clock counts in them, and rounded up: else more than a
        // million a second would be no limit at all.
        let refill = match per_second {
            0 => 0,
            some => 1_000_000_u32.div_ceil(some),
        };
        Self {
            full_at: SourceCache::new(Expired::Forgotten),
            refill: Duration::from_micros(refill.into()),
            burst: Duration::from_secs(burst_seconds.into()),
        }
    }

    /// Takes a token of this address. False: it has none left.
    pub fn allow(&mut self, now: Instant, addr: IpAddr) -> bool {
        self.allow_source(now, network(addr))
    }

    /// Whether [`Self::allow`] would find a token.
    pub fn has_token(&mut self, now: Instant, addr: IpAddr) -> bool {
        self.has_token_of(now, network(addr))
    }

    /// Takes a token for something of this kind of the address, and of all networks around it that may be one site's.
    /// False: one of them has none left, and nothing is taken of the others.
    pub fn allow_site(&mut self, now: Instant, addr: IpAddr, kind: impl Hash + Copy) -> bool {
        let is_left = levels(addr).all(|(bits, net, _)| self.has_token_of(now, (bits, net, kind)));
        if is_left {
            levels(addr).for_each(|(bits, net, times)| {
                self.allow_times(now, (bits, net, kind), times);
            });
        }
        is_left
    }

    /// Takes a token of whatever has a bucket of its own here. False: it has none left.
    pub fn allow_source(&mut self, now: Instant, source: impl Hash) -> bool {
        self.allow_times(now, source, 1)
    }

    /// The same of what has so many times as much as an address.
    pub fn allow_times(&mut self, now: Instant, source: impl Hash, times: u32) -> bool {
        self.allow_tokens(now, source, (1, times))
    }

    /// The same for something that costs so many tokens; if there are not as many left, the next has to wait the longer.
    pub fn allow_tokens(
        &mut self,
        now: Instant,
        source: impl Hash,
        (tokens, times): (u32, u32),
    ) -> bool {
        let (refill, burst) = (self.refill / times.max(1), self.burst);
        if refill.is_zero() {
            return true;
        }
        let place = self.place(now, source);
        let full_at = (*place).max(now);
        let allowed = full_at - now <= burst;
        if allowed {
            *place = full_at + refill * tokens;
        }
        allowed
    }

    /// Whether [`Self::allow_source`] would find a token, or [`Self::allow_times`].
    pub fn has_token_of(&mut self, now: Instant, source: impl Hash) -> bool {
        let burst = self.burst;
        self.refill.is_zero() || (*self.place(now, source)).max(now) - now <= burst
    }

    /// Takes more tokens for something that has turned out to be expensive; if the address has
    /// not as many, it has to wait the longer for the next.
    pub fn charge(&mut self, now: Instant, addr: IpAddr, tokens: u32) {
        let cost = self.refill * tokens;
        if cost.is_zero() {
            return;
        }
        let place = self.place(now, network(addr));
        *place = (*place).max(now) + cost;
    }

    /// Goes on with what was taken in another process.
    pub(crate) fn restore(&mut self, saved: Self) {
        self.full_at.restore(saved.full_at);
    }

    fn place(&mut self, now: Instant, source: impl Hash) -> &mut Instant {
        // A full bucket need not be remembered.
        self.full_at.place(&source, |full_at| full_at <= now).0.at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_micros(1_000_000_000 + ms * 1000)
    }

    #[test]
    fn a_burst_then_the_rate() {
        let mut rates = Rates::new(10, 2);
        let addr = IpAddr::from([203, 0, 113, 7]);
        let taken = (0..100).filter(|_| rates.allow(at(0), addr)).count();
        assert_eq!(taken, 21, "two seconds' worth, and the one of this moment");
        assert!(!rates.allow(at(99), addr));
        assert!(rates.allow(at(101), addr));
        assert!(!rates.allow(at(102), addr));
        let taken = (0..100).filter(|_| rates.allow(at(60_000), addr)).count();
        assert_eq!(taken, 21, "a full bucket does not run over");
    }

    #[test]
    fn what_is_expensive_is_paid_for_later() {
        let mut rates = Rates::new(10, 2);
        let addr = IpAddr::from([203, 0, 113, 7]);
        assert!(rates.allow(at(0), addr));
        rates.charge(at(0), addr, 49);
        assert!(!rates.has_token(at(2900), addr));
        assert!(!rates.allow(at(2900), addr));
        assert!(rates.has_token(at(3001), addr) && rates.has_token(at(3001), addr));
        assert!(rates.allow(at(3001), addr));
    }

    #[test]
    fn nobody_pays_for_another() {
        let mut rates = Rates::new(10, 2);
        let addr = |n: u32| IpAddr::from(n.to_be_bytes());
        for n in 0..500 {
            while rates.allow(at(0), addr(n)) {}
        }
        let first = (10_000..10_500).filter(|n| rates.allow(at(0), addr(*n))).count();
        assert_eq!(first, 500, "whose flood is it?");
        assert!((0..500).all(|n| !rates.allow(at(50), addr(n))), "whoever flooded pays");
    }

    #[test]
    fn a_flood_of_addresses_pays_no_debt() {
        let mut rates = Rates::new(10, 2);
        let debtor = IpAddr::from([203, 0, 113, 7]);
        while rates.allow(at(0), debtor) {}
        for n in 0..1_000_000_u32 {
            rates.allow(at(0), IpAddr::from(n.to_be_bytes()));
        }
        assert!(!rates.allow(at(50), debtor));
    }

    #[test]
    fn every_rate_is_a_limit() {
        let addr = IpAddr::from([203, 0, 113, 7]);
        for per_second in [1, 3, 7000, 700_000, 1_000_000, 1_000_001, u32::MAX] {
            let mut rates = Rates::new(per_second, 1);
            let allowed = (0..1_000_100).filter(|_| rates.allow(at(0), addr)).count();
            let most = 1 + per_second.min(1_000_000) as usize;
            assert!(allowed <= most, "{allowed} at once, with {per_second} a second");
            assert!(allowed > most / 2, "{allowed} at once, with {per_second} a second");
        }
    }

    #[test]
    fn zero_allows_everything() {
        let mut rates = Rates::new(0, 1);
        assert!((0..10_000).all(|_| rates.allow(at(0), IpAddr::from([127, 0, 0, 1]))));
    }
}
