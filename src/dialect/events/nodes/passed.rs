//! How much peers of this node may say to those of another one.

use std::net::IpAddr;

use crate::clock::Instant;
use crate::dialect::untold::Pace;
use crate::limits::cluster as bounds;
use crate::prefixes::levels;
use crate::rates::Rates;

/// All of them together, of which those who say little come first: half of what may be said at once is theirs alone.
#[derive(Debug)]
pub(super) struct Passed {
    pace: Pace,
    little: Rates,
}

impl Default for Passed {
    fn default() -> Self {
        let little = Rates::new(bounds::PASSED_LITTLE, bounds::PASSED_LITTLE_SECONDS);
        Self { pace: Pace::default(), little }
    }
}

impl Passed {
    /// Whether somebody at this address may say so many bytes now; if so, they are said.
    pub(super) fn allow(&mut self, now: Instant, addr: IpAddr, bytes: usize) -> bool {
        let Self { pace, little } = self;
        let is_little = levels(addr).all(|(bits, net, _)| little.has_token_of(now, (bits, net)));
        if is_little {
            levels(addr).for_each(|(bits, net, times)| {
                little.allow_tokens(now, (bits, net), (bytes as u32, times));
            });
        }
        let is_open = if is_little { pace.is_open(now) } else { pace.is_half_open(now) };
        if is_open {
            pace.spend(now, bytes);
        }
        is_open
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_says_little_comes_before_those_who_say_much_and_before_all_of_one_site() {
        let mut passed = Passed::default();
        let site = |n: u32| {
            IpAddr::from((0x2001_0db8_0000 << 80 | u128::from(n % 65_536) << 64).to_be_bytes())
        };
        let street = |n: u32| IpAddr::from((198 << 24 | 51 << 16 | n).to_be_bytes());
        let little = IpAddr::from([203, 0, 113, 1]);
        let mut arrived = 0;
        for n in 0..10_000 {
            let now = Instant::from_micros(1_000_000_000 + u64::from(n) * 1000);
            for other in 0..8 {
                passed.allow(now, site(n * 8 + other), 1000);
                passed.allow(now, street(other), 1000);
            }
            arrived += usize::from(n % 200 == 0 && passed.allow(now, little, 300));
        }
        assert_eq!(arrived, 50);
    }

    #[test]
    fn who_says_much_does_not_make_those_around_it_wait() {
        let mut passed = Passed::default();
        let site = |n: u16| IpAddr::from([0x2001, 0xdb8, 0, n, 0, 0, 0, 1]);
        let mut arrived = 0;
        for n in 0..10_000 {
            let now = Instant::from_micros(1_000_000_000 + n * 1000);
            (0..8).for_each(|_| _ = passed.allow(now, site(1), 1000));
            arrived += usize::from(n % 200 == 0 && passed.allow(now, site(0x201), 300));
        }
        assert_eq!(arrived, 50);
    }
}
