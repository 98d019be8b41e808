//! How often an address may be wrong about a secret that people choose or type: the password of a room,
//! or the code of one. Wrong guesses count for the address and, as one site may have many of IPv6, for its
//! /64, /56 and /48. Nobody who still matters is forgotten: who comes when the table is full is counted with
//! others around him.

use std::hash::Hash;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Instant;
use crate::hash::Lasting;
use crate::limits;
use crate::prefixes::{levels, widest};
use crate::source_cache::{Expired, SourceCache};

/// What became of a guess.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guess {
    /// It was right.
    Right,
    /// It was wrong.
    Wrong,
    /// There were too many wrong ones: nobody has looked whether it was right.
    TooMany,
}

/// When each network will have had all its guesses back, for each secret.
#[derive(Debug, Serialize, Deserialize)]
pub struct Guesses {
    known: SourceCache<()>,
    /// The same of those for whom there was no place, by the hash of their surroundings. Empty until then.
    crowd: Vec<Instant>,
    hasher: Lasting,
}

impl Default for Guesses {
    fn default() -> Self {
        let known = SourceCache::new(Expired::Forgotten);
        Self { known, crowd: Vec::new(), hasher: Lasting::default() }
    }
}

/// All guesses that a network may have at once.
const ALL: Duration = limits::GUESS.saturating_mul(limits::GUESSES);

impl Guesses {
    /// Goes on with what another process has counted.
    pub(crate) fn restore(&mut self, saved: Self) {
        self.known.restore(saved.known);
        if saved.hasher.is_same() && saved.crowd.len() == limits::GUESSERS_IN_CROWD {
            (self.crowd, self.hasher) = (saved.crowd, saved.hasher);
        }
    }

    /// Somebody at this address says what he takes for this secret (the ID of a room, say). Right ones cost
    /// nothing: who knows it may say so as often as he likes.
    pub fn check(
        &mut self,
        now: Instant,
        (addr, secret): (IpAddr, impl Hash),
        is_right: impl FnOnce() -> bool,
    ) -> Guess {
        let has_any = levels(addr).all(|(bits, prefix, times)| {
            let back_at = self.back_at(now, addr, (bits, prefix, &secret), times);
            back_at.is_some_and(|(back_at, cost)| (*back_at).max(now) + cost - now <= ALL)
        });
        if !has_any {
            return Guess::TooMany;
        }
        if is_right() {
            return Guess::Right;
        }
        for (bits, prefix, times) in levels(addr) {
            let back_at = self.back_at(now, addr, (bits, prefix, &secret), times);
            if let Some((back_at, cost)) = back_at {
                *back_at = (*back_at).max(now) + cost;
            }
        }
        Guess::Wrong
    }

    /// When a network will have had all guesses back, and how long it takes for one. It has as many `times` as
    /// a single source.
    fn back_at(
        &mut self,
        now: Instant,
        addr: IpAddr,
        source: (u8, IpAddr, impl Hash),
        times: u32,
    ) -> Option<(&mut Instant, Duration)> {
        if let Some(place) = self.known.free_place(&source, |at| at <= now) {
            return Some((place.at, limits::GUESS / times));
        }
        if self.crowd.is_empty() {
            self.crowd.resize(limits::GUESSERS_IN_CROWD, Instant::default());
        }
        let (bits, _, secret) = source;
        let hash = self.hasher.hash_one((bits, around(addr), secret));
        let index = hash as usize % limits::GUESSERS_IN_CROWD;
        let cost = limits::GUESS / limits::GUESSES_OF_CROWD;
        self.crowd.get_mut(index).map(|back_at| (back_at, cost))
    }
}

/// With whom an address is counted that is not remembered itself: its /24, of IPv6 its /48.
fn around(addr: IpAddr) -> IpAddr {
    match addr {
        IpAddr::V4(v4) => Ipv4Addr::from_bits(v4.to_bits() & !0xFF).into(),
        IpAddr::V6(_) => widest(addr),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn at(secs: u64) -> Instant {
        Instant::from_micros(1_000_000_000 + secs * 1_000_000)
    }

    #[test]
    fn a_few_wrong_guesses_and_then_one_now_and_then() {
        let mut guesses = Guesses::default();
        let eve = (ip("192.0.2.1"), 7);
        for _ in 0..limits::GUESSES {
            assert_eq!(guesses.check(at(0), eve, || false), Guess::Wrong);
        }
        assert_eq!(guesses.check(at(0), eve, || true), Guess::TooMany);
        let day = 24 * 3600;
        let tried = (0..day).filter(|n| guesses.check(at(*n), eve, || false) == Guess::Wrong);
        assert!(tried.count() as u64 <= day / limits::GUESS.as_secs());
        let later = at(day + limits::GUESS.as_secs());
        assert_eq!(guesses.check(later, eve, || true), Guess::Right);
    }

    #[test]
    fn each_address_and_each_secret_has_its_own() {
        let mut guesses = Guesses::default();
        let eve = ip("2001:db8::1");
        for _ in 0..100 {
            guesses.check(at(0), (eve, 7), || false);
        }
        assert_eq!(
            guesses.check(at(0), (ip("2001:db8::2"), 7), || true),
            Guess::TooMany,
            "one /64"
        );
        assert_eq!(guesses.check(at(0), (eve, 8), || true), Guess::Right);
        assert_eq!(guesses.check(at(0), (ip("2001:db8:0:1::1"), 7), || true), Guess::Right);
    }

    /// How many of these addresses are not refused, each with all guesses that one has.
    fn looked_at(guesses: &mut Guesses, at: Instant, all: impl Iterator<Item = IpAddr>) -> u32 {
        let tries = all.flat_map(|addr| [addr; limits::GUESSES as usize]);
        tries.map(|addr| u32::from(guesses.check(at, (addr, 7), || false) == Guess::Wrong)).sum()
    }

    /// So many /64 of a /48, one of each so many.
    fn networks(site: u128, count: u128, step: u128) -> impl Iterator<Item = IpAddr> {
        let first = 0x2001_0db8_u128 << 96 | site << 80;
        let all = (0..count).map(move |n| first + ((n * step) << 64));
        all.map(|bits| std::net::Ipv6Addr::from_bits(bits).into())
    }

    #[test]
    fn many_networks_of_one_site_have_few_guesses_together() {
        let mut guesses = Guesses::default();
        let one = limits::GUESSES;
        let in_56 = networks(1, 256, 1);
        assert_eq!(looked_at(&mut guesses, at(0), in_56), 2 * one, "a /56 has twice as many");
        let in_48 = networks(2, 5000, 13);
        assert_eq!(looked_at(&mut guesses, at(0), in_48), 4 * one, "a /48 four times");
        let later = (0..20).map(|n| at(0) + limits::GUESS * n);
        let tried: u32 = later.map(|at| looked_at(&mut guesses, at, networks(3, 500, 131))).sum();
        assert_eq!(tried, 4 * one + 4 * 19, "in ten minutes");
        assert_eq!(guesses.check(at(0), (ip("2001:db8:4::1"), 7), || true), Guess::Right);
    }

    #[test]
    fn no_flood_of_others_gives_anybody_his_guesses_back() {
        let mut guesses = Guesses::default();
        let eve = (ip("192.0.2.1"), 7);
        (0..limits::GUESSES).for_each(|_| _ = guesses.check(at(0), eve, || false));
        let v4 = |n: u32| IpAddr::from((0x0A00_0000 + n).to_be_bytes());
        let flood = 4 * crate::limits::SOURCES as u32;
        for n in 0..flood {
            guesses.check(at(1), (v4(n), 7), || false);
        }
        assert_eq!(guesses.check(at(1), eve, || true), Guess::TooMany);
        // Whoever is not remembered has what those around him have left.
        let mallory = looked_at(&mut guesses, at(2), (0..256).map(|n| v4(flood + n)));
        let known = 16 * limits::GUESSES;
        assert!(mallory <= known + limits::GUESSES * limits::GUESSES_OF_CROWD, "{mallory}");
        // Others share a part with those of the flood by chance: one in a hundred.
        let others = (0..=255).map(|n| IpAddr::from([198, 51, n, 1]));
        let right = others.filter(|bob| guesses.check(at(2), (*bob, 7), || true) == Guess::Right);
        assert!(right.count() > 230);
    }

    #[test]
    fn who_is_right_may_be_so_any_number_of_times() {
        let mut guesses = Guesses::default();
        let bob = (ip("192.0.2.1"), 7);
        assert!((0..1000).all(|_| guesses.check(at(0), bob, || true) == Guess::Right));
    }
}
