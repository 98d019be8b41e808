//! How often one address may do something. A fixed table, so that counting costs no memory
//! however many addresses come: those that fall into one place share what is allowed there.

use std::hash::BuildHasher as _;
use std::net::IpAddr;
use std::time::Duration;

use log::{Level, log_enabled, warn};

use crate::clock::{Instant, Now};
use crate::customers::network;
use crate::hash::Keyed;
use crate::timers::Seldom;

/// Places in the table. Ten thousand busy addresses rarely meet, and it takes 128 KiB.
const PLACES: usize = 16 * 1024;

/// A token bucket for every address. Kept as the time at which the bucket will be full again,
/// which is all there is to know about it (the generic cell rate algorithm of ATM networks).
#[derive(Debug)]
pub struct Rates {
    full_at: Box<[Instant]>,
    hasher: Keyed,
    /// Time in which one token comes back; zero if everything is allowed.
    refill: Duration,
    /// Time in which a whole bucket comes back.
    burst: Duration,
}

impl Rates {
    /// Allows `per_second` in the long run, and that of `burst_seconds` at once. Zero allows all.
    #[must_use]
    pub fn new(per_second: u32, burst_seconds: u32) -> Self {
        let refill = Duration::from_secs(1).checked_div(per_second).unwrap_or_default();
        Self {
            full_at: vec![Instant::default(); PLACES].into_boxed_slice(),
            hasher: Keyed::default(),
            refill,
            burst: Duration::from_secs(burst_seconds.into()),
        }
    }

    /// Takes a token of this address. False: it has none left.
    pub fn allow(&mut self, now: Instant, addr: IpAddr) -> bool {
        let (refill, burst) = (self.refill, self.burst);
        if refill.is_zero() {
            return true;
        }
        let place = self.place(addr);
        let full_at = (*place).max(now);
        let allowed = full_at - now <= burst;
        if allowed {
            *place = full_at + refill;
        }
        allowed
    }

    /// Takes more tokens for something that has turned out to be expensive; if the address has
    /// not as many, it has to wait the longer for the next.
    pub fn charge(&mut self, now: Instant, addr: IpAddr, tokens: u32) {
        let cost = self.refill * tokens;
        let place = self.place(addr);
        *place = (*place).max(now) + cost;
    }

    fn place(&mut self, addr: IpAddr) -> &mut Instant {
        let hash = self.hasher.hash_one(network(addr));
        &mut self.full_at[hash as usize % PLACES]
    }
}

/// Which lines about peers go to the log: who does much does not fill the disk.
#[derive(Debug)]
pub struct Lines {
    rates: Rates,
    left_out: Seldom,
}

impl Default for Lines {
    fn default() -> Self {
        Self { rates: Rates::new(1, 60), left_out: Seldom::default() }
    }
}

impl Lines {
    /// Whether a line about this address may go to the log.
    pub fn says(&mut self, now: Now, addr: IpAddr) -> bool {
        if !log_enabled!(Level::Info) {
            return false;
        }
        let says = self.rates.allow(now.instant, addr);
        if !says && let Some(more) = self.left_out.say(now.instant) {
            warn!(
                "{addr} and others do so much that not all of it is logged ({more} lines before)"
            );
        }
        says
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
        assert!(!rates.allow(at(2900), addr));
        assert!(rates.allow(at(3001), addr));
    }

    #[test]
    fn zero_allows_everything() {
        let mut rates = Rates::new(0, 1);
        assert!((0..10_000).all(|_| rates.allow(at(0), IpAddr::from([127, 0, 0, 1]))));
    }
}
