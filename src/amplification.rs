//! No use for attackers who forge addresses: an address that has not proved that it wants to hear
//! from us gets, within ten seconds, at most three times the bytes that came from it, and one
//! datagram. The headers of IP and UDP count on both sides.
//!
//! So many addresses are remembered; if more come within ten seconds, the one that was silent for
//! longest is forgotten. In its place a new one gets no credit from before: three times what just
//! came, which keeps the promise without remembering anything.

use std::net::IpAddr;
use std::time::Duration;

use crate::clock::Instant;
use crate::sources::{Over, Place, Sources, Was};

/// The factor of RFC 9000, section 8.1, that QUIC keeps to before it knows an address.
const FACTOR: usize = 3;

/// The longest datagram that any dialect sends, in bytes of payload.
pub const DATAGRAM: usize = 1200;

/// What lists leave: some answers that bring an ID and a key cost 30 bytes more than three times their
/// request, and who was not told of a key yet may have to be told of others, at 70 bytes each.
const KEPT: usize = 200;

/// After this time without a packet an address is as good as new.
const FORGET: Duration = Duration::from_secs(10);

/// How many bytes are left of each address, and when it last sent or was sent something.
///
/// A place is given anew only if all that was ever forgotten in its set has been silent for longer
/// than who had it. So whoever gets one that is over has had no credit in the last ten seconds.
#[derive(Debug)]
pub struct Credits(Sources<u32>);

impl Default for Credits {
    fn default() -> Self {
        Self(Sources::new(Over::Kept))
    }
}

impl Credits {
    /// A datagram with this many bytes of payload came from an address. What it may be sent from
    /// now on is [`Self::left`].
    pub fn received(&mut self, now: Instant, addr: IpAddr, payload: usize) {
        let (place, was) = self.0.place(&addr, |at| now - at > FORGET);
        // Unspent credit is kept only as far as the promise allows at any moment.
        let before = match was {
            Was::New => one_datagram(addr),
            Was::Known => (*place.value as usize).min(one_datagram(addr)),
            Was::Crowded => 0,
        };
        *place.at = now;
        *place.value =
            u32::try_from(before + FACTOR * (payload + headers(addr))).unwrap_or(u32::MAX);
    }

    /// Bytes of payload that one more datagram to this address may have; `None` if there must be
    /// none.
    #[must_use]
    pub fn left(&self, addr: IpAddr) -> Option<usize> {
        let bytes = self.0.get(&addr).map_or(0, |bytes| bytes as usize);
        bytes.checked_sub(headers(addr))
    }

    /// The same for an answer that takes all there is, such as a list: it leaves enough for
    /// others, so that who asks for lists in the name of an address takes nobody's place there. What its
    /// own request has brought, with so many bytes of payload, is for it alone.
    #[must_use]
    pub fn left_for_list(&self, addr: IpAddr, request: usize) -> usize {
        let left = self.left(addr).unwrap_or_default();
        let own = FACTOR * (request + headers(addr)) - headers(addr);
        left.min(left.saturating_sub(KEPT).max(own))
    }

    /// Takes what a datagram costs; false, and nothing is taken, if there is not enough.
    pub fn spend(&mut self, now: Instant, addr: IpAddr, payload: usize) -> bool {
        let cost = payload + headers(addr);
        let Some(Place { at, value }) = self.0.get_mut(&addr) else { return false };
        let bytes = *value as usize;
        // What goes out later than what it answers is in other ten seconds, in which nothing may
        // have come.
        let worth = if now > *at { bytes.min(one_datagram(addr)) } else { bytes };
        let enough = worth >= cost;
        if enough {
            *at = now;
            *value = (worth - cost) as u32;
        }
        enough
    }
}

/// What an address may be sent beyond [`FACTOR`] times what came from it: the longest datagram, with
/// the headers that it has there.
#[must_use]
pub fn one_datagram(addr: IpAddr) -> usize {
    DATAGRAM + headers(addr)
}

/// Length of the headers of IP and UDP.
fn headers(addr: IpAddr) -> usize {
    8 + if addr.is_ipv4() { 20 } else { 40 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ADDR: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 7));

    fn at(ms: u64) -> Instant {
        Instant::from_micros(60_000_000 + ms * 1000)
    }

    #[test]
    fn nobody_is_sent_anything_unasked() {
        let mut credits = Credits::default();
        assert_eq!(credits.left(ADDR), None);
        assert!(!credits.spend(at(0), ADDR, 0));
    }

    #[test]
    fn a_refused_datagram_costs_nothing() {
        let mut credits = Credits::default();
        credits.received(at(0), ADDR, 10);
        let left = credits.left(ADDR).unwrap();
        assert!(!credits.spend(at(0), ADDR, left + 1));
        assert!(credits.spend(at(0), ADDR, left));
        assert_eq!(credits.left(ADDR), None);
    }

    #[test]
    fn a_list_leaves_something_for_other_answers() {
        let mut credits = Credits::default();
        for n in 0..100 {
            credits.received(at(n), ADDR, 2);
            let space = credits.left_for_list(ADDR, 2);
            assert!(space >= 3 * 30 - 28, "{space}");
            assert!(credits.spend(at(n), ADDR, space));
            assert!(credits.left(ADDR).unwrap() + 28 >= KEPT);
        }
        // What is left is for others, however many lists are asked for.
        assert!(credits.spend(at(100), ADDR, KEPT - 28));
        credits.received(at(100), ADDR, 2);
        assert_eq!(credits.left_for_list(ADDR, 2), 3 * 30 - 28);
        assert!(credits.spend(at(100), ADDR, 3 * 30 - 28));
        assert_eq!((credits.left(ADDR), credits.left_for_list(ADDR, 2)), (None, 0));
    }

    #[test]
    fn the_bound_is_exact_for_both_kinds_of_addresses() {
        let v6 = IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 7]);
        for (addr, headers) in [(ADDR, 28), (v6, 48)] {
            let mut credits = Credits::default();
            let (mut came, mut sent) = (0, 0);
            for n in 0..20 {
                credits.received(at(n), addr, 2);
                came += 2 + headers;
                let left = credits.left(addr).unwrap();
                assert!(!credits.spend(at(n), addr, left + 1));
                assert!(credits.spend(at(n), addr, left));
                sent += left + headers;
                assert_eq!(sent, 3 * came + 1200 + headers);
            }
        }
    }

    #[test]
    fn nobody_pays_for_another() {
        let mut credits = Credits::default();
        for n in 0..1000_u32 {
            let addr = IpAddr::from(n.to_be_bytes());
            credits.received(at(0), addr, 10);
            assert_eq!(credits.left(addr), Some(DATAGRAM + 3 * 38), "address {n}");
        }
        assert!((0..1000_u32).all(|n| credits.spend(at(0), IpAddr::from(n.to_be_bytes()), 1200)));
    }

    #[test]
    fn in_a_flood_of_addresses_the_promise_holds_for_each() {
        let mut credits = Credits::default();
        let mut sent = 0;
        for round in 0..10 {
            credits.received(at(100 * round), ADDR, 10);
            sent += (0..5).filter(|_| credits.spend(at(100 * round), ADDR, 172)).count() * 200;
            for n in 0..200_000_u32 {
                let addr = IpAddr::from((round as u32 * 200_000 + n).to_be_bytes());
                credits.received(at(100 * round + 1), addr, 10);
            }
        }
        assert!(sent <= 10 * 3 * 38 + one_datagram(ADDR), "{sent}");
    }

    proptest! {
        #[test]
        fn the_promise_holds_in_every_ten_seconds(
            steps in prop::collection::vec(
                (0u64..4000, prop::option::of(0usize..600), 0usize..1300), 1..60),
        ) {
            let mut credits = Credits::default();
            let mut time = 0;
            let mut log = Vec::new();
            for (wait, received, wanted) in steps {
                time += wait;
                // Where nothing is received, something is sent on its own accord.
                if let Some(payload) = received {
                    credits.received(at(time), ADDR, payload);
                }
                let sent: usize = (0..3).filter(|_| credits.spend(at(time), ADDR, wanted)).count();
                log.push((time, received.map_or(0, |payload| payload + 28), sent * (wanted + 28)));
            }
            for &(from, ..) in &log {
                let window = log.iter().filter(|(t, ..)| (from..from + 10_000).contains(t));
                let (received, sent) = window.fold((0, 0), |(r, s), (_, a, b)| (r + a, s + b));
                prop_assert!(sent <= 3 * received + one_datagram(ADDR), "{sent} for {received}");
            }
        }
    }
}
