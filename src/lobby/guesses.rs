//! How often an address may be wrong about a secret that people choose or type: the password of a room,
//! or the code of one.

use std::hash::Hash;
use std::net::IpAddr;

use crate::clock::Instant;
use crate::limits;
use crate::prefixes::network;
use crate::sources::{Over, Sources};

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

/// When each address (IPv6: /64) will have had all its guesses back, for each secret.
#[derive(Debug)]
pub struct Guesses(Sources<()>);

impl Default for Guesses {
    fn default() -> Self {
        Self(Sources::new(Over::Forgotten))
    }
}

impl Guesses {
    /// Somebody at this address says what he takes for this secret (the ID of a room, say). Right ones cost
    /// nothing: who knows it may say so as often as he likes.
    pub fn check(
        &mut self,
        now: Instant,
        (addr, secret): (IpAddr, impl Hash),
        is_right: impl FnOnce() -> bool,
    ) -> Guess {
        let source = (network(addr), secret);
        let back_at = self.0.get_mut(&source).map_or(now, |place| (*place.at).max(now));
        let back_then = back_at + limits::GUESS;
        if back_then - now > limits::GUESS * limits::GUESSES {
            return Guess::TooMany;
        }
        if is_right() {
            return Guess::Right;
        }
        *self.0.place(&source, |at| at <= now).0.at = back_then;
        Guess::Wrong
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

    #[test]
    fn who_is_right_may_be_so_any_number_of_times() {
        let mut guesses = Guesses::default();
        let bob = (ip("192.0.2.1"), 7);
        assert!((0..1000).all(|_| guesses.check(at(0), bob, || true) == Guess::Right));
    }
}
