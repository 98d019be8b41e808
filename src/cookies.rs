//! Cookies: what an address that has proven nothing sends back to show that it gets what is sent to
//! it, as in RFC 9000, section 8.1. Nothing is remembered of whom they were given to: a cookie is a
//! keyed hash of the endpoint and of the time, so who cannot read what is sent there has none.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use rand::{Rng, RngExt as _};
use ring::hmac;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::clock::Instant;
use crate::limits;

/// Makes cookies and knows its own again.
pub struct Cookies {
    /// The key as it was drawn, for another process that goes on.
    secret: [u8; 32],
    key: hmac::Key,
}

/// A secret does not get into logs by accident.
impl fmt::Debug for Cookies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cookies(..)")
    }
}

impl From<[u8; 32]> for Cookies {
    fn from(secret: [u8; 32]) -> Self {
        Self { secret, key: hmac::Key::new(hmac::HMAC_SHA256, &secret) }
    }
}

impl Serialize for Cookies {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.secret.serialize(to)
    }
}

impl<'de> Deserialize<'de> for Cookies {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        <[u8; 32]>::deserialize(from).map(Self::from)
    }
}

/// What an endpoint has to send back: 64 bits, on the wire 16 hex digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Cookie(u64);

impl Cookies {
    /// The key is drawn from `rng`, which must be secret.
    #[must_use]
    pub fn new(rng: &mut impl Rng) -> Self {
        Self::from(rng.random::<[u8; 32]>())
    }

    /// The cookie of this endpoint. It is good for one to two [`limits::COOKIE`].
    #[must_use]
    pub fn of(&self, now: Instant, endpoint: SocketAddr) -> Cookie {
        self.in_period(period(now), endpoint)
    }

    /// Whether somebody at this endpoint was given this cookie a short while ago. The time that it takes
    /// does not depend on where it is wrong.
    #[must_use]
    pub fn are_shown(&self, now: Instant, endpoint: SocketAddr, cookie: &str) -> bool {
        let Some(Cookie(shown)) = Cookie::read(cookie) else { return false };
        let period = period(now);
        let good = [period, period.wrapping_sub(1)].map(|period| self.in_period(period, endpoint));
        good.map(|Cookie(good)| good ^ shown).contains(&0)
    }

    fn in_period(&self, period: u64, endpoint: SocketAddr) -> Cookie {
        let ip = match endpoint.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        let mut hash = hmac::Context::with_key(&self.key);
        hash.update(&ip.octets());
        hash.update(&endpoint.port().to_be_bytes());
        hash.update(&period.to_be_bytes());
        let tag = hash.sign();
        let first = tag.as_ref().first_chunk().copied().unwrap_or_default();
        Cookie(u64::from_be_bytes(first))
    }
}

impl Cookie {
    fn read(text: &str) -> Option<Self> {
        let is_whole = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_whole.then(|| u64::from_str_radix(text, 16).ok().map(Self)).flatten()
    }
}

impl fmt::Display for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// It is worth something as long as it is new: it does not get into logs by accident.
impl fmt::Debug for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cookie(..)")
    }
}

/// The number of the time in which cookies are the same.
fn period(now: Instant) -> u64 {
    u64::try_from(limits::COOKIE.as_micros()).map_or(0, |length| now.micros() / length.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;
    use std::time::Duration;

    fn cookies(seed: u8) -> Cookies {
        Cookies::new(&mut StdRng::from_seed([seed; 32]))
    }

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_cookie_is_good_for_its_endpoint_and_for_nobody_else() {
        let (cookies, now) = (cookies(1), Instant::from_micros(90_000_000));
        let all = ["192.0.2.1:7", "192.0.2.1:8", "192.0.2.2:7", "[2001:db8::1]:7"].map(at);
        let given = all.map(|endpoint| cookies.of(now, endpoint).to_string());
        for (n, (endpoint, own)) in all.iter().zip(&given).enumerate() {
            for (m, cookie) in given.iter().enumerate() {
                assert_eq!(cookies.are_shown(now, *endpoint, cookie), n == m, "{n} {m}");
            }
            for bit in 0..64 {
                let other = u64::from_str_radix(own, 16).unwrap() ^ 1 << bit;
                assert!(!cookies.are_shown(now, *endpoint, &format!("{other:016x}")), "{bit}");
            }
        }
        assert_ne!(self::cookies(2).of(now, all[0]).to_string(), given[0], "of another server");
        for broken in ["", "?", "0", &"0".repeat(17), "+00000000000000f", "\u{e9}23456789abcde"] {
            assert!(!cookies.are_shown(now, all[0], broken), "{broken:?}");
        }
    }

    #[test]
    fn a_cookie_lives_for_one_to_two_periods() {
        let (cookies, endpoint) = (cookies(1), at("192.0.2.1:7"));
        let start = Instant::from_micros(1_000_000_000);
        for second in 0..120 {
            let now = start + Duration::from_secs(second);
            let cookie = cookies.of(now, endpoint).to_string();
            let lives = (0..300).take_while(|after| {
                cookies.are_shown(now + Duration::from_secs(*after), endpoint, &cookie)
            });
            assert!((61..=120).contains(&lives.count()), "{second}");
        }
    }
}
