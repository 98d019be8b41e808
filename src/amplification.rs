//! No use for attackers who forge addresses: an address that has not proved that it wants to hear
//! from us gets, within ten seconds, at most three times the bytes that came from it, and one
//! datagram. The headers of IP and UDP count on both sides.
//!
//! A table of fixed size, so that a flood of addresses costs no memory. Where two addresses fall
//! into one place, the later one gets no credit from before: three times what just came, which
//! keeps the promise without remembering anything.

use std::cell::RefCell;
use std::hash::BuildHasher as _;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use crate::clock::Instant;
use crate::hash::Keyed;

/// Places in the table; 384 KiB.
const PLACES: usize = 16 * 1024;

/// The factor of RFC 9000, section 8.1, that QUIC keeps to before it knows an address.
const FACTOR: usize = 3;

/// The longest datagram that any dialect sends, headers included.
pub const DATAGRAM: usize = 1200 + 48;

/// After this time without a packet an address is as good as new.
const FORGET: Duration = Duration::from_secs(10);

/// What each address may still be sent. Clones share it, as the promise is the server's and not
/// that of each dialect.
#[derive(Clone, Debug, Default)]
pub struct Credits(Rc<RefCell<Table>>);

#[derive(Debug)]
struct Table {
    places: Box<[Credit]>,
    hasher: Keyed,
}

#[derive(Clone, Copy, Debug, Default)]
struct Credit {
    /// Whose it is.
    tag: u64,
    at: Instant,
    bytes: usize,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            places: vec![Credit::default(); PLACES].into_boxed_slice(),
            hasher: Keyed::default(),
        }
    }
}

impl Credits {
    /// A datagram with this many bytes of payload came from an address. What it may be sent from
    /// now on is [`Self::left`].
    pub fn received(&self, now: Instant, addr: IpAddr, payload: usize) {
        self.0.borrow_mut().received(now, addr, payload);
    }

    /// Bytes of payload that one more datagram to this address may have; `None` if there must be
    /// none.
    #[must_use]
    pub fn left(&self, addr: IpAddr) -> Option<usize> {
        self.0.borrow().left(addr)
    }

    /// Takes what a datagram costs; false, and nothing is taken, if there is not enough.
    pub fn spend(&self, now: Instant, addr: IpAddr, payload: usize) -> bool {
        self.0.borrow_mut().spend(now, addr, payload)
    }
}

impl Table {
    fn received(&mut self, now: Instant, addr: IpAddr, payload: usize) {
        let tag = self.hasher.hash_one(addr);
        let place = &mut self.places[tag as usize % PLACES];
        let is_free = place.bytes == 0 && place.tag == 0 || now - place.at > FORGET;
        // Unspent credit is kept only as far as the promise allows at any moment.
        let before = match () {
            () if is_free => DATAGRAM,
            () if place.tag == tag => place.bytes.min(DATAGRAM),
            () => 0,
        };
        *place = Credit { tag, at: now, bytes: before + FACTOR * (payload + headers(addr)) };
    }

    fn left(&self, addr: IpAddr) -> Option<usize> {
        let tag = self.hasher.hash_one(addr);
        let place = &self.places[tag as usize % PLACES];
        let bytes = if place.tag == tag { place.bytes } else { 0 };
        bytes.checked_sub(headers(addr))
    }

    fn spend(&mut self, now: Instant, addr: IpAddr, payload: usize) -> bool {
        let cost = payload + headers(addr);
        let tag = self.hasher.hash_one(addr);
        let place = &mut self.places[tag as usize % PLACES];
        if place.tag != tag {
            return false;
        }
        // What goes out later than what it answers is in other ten seconds, in which nothing may
        // have come.
        let worth = if now > place.at { place.bytes.min(DATAGRAM) } else { place.bytes };
        let enough = worth >= cost;
        if enough {
            *place = Credit { tag, at: now, bytes: worth - cost };
        }
        enough
    }
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
        let credits = Credits::default();
        assert_eq!(credits.left(ADDR), None);
        assert!(!credits.spend(at(0), ADDR, 0));
    }

    #[test]
    fn a_refused_datagram_costs_nothing() {
        let credits = Credits::default();
        credits.received(at(0), ADDR, 10);
        let left = credits.left(ADDR).unwrap();
        assert!(!credits.spend(at(0), ADDR, left + 1));
        assert!(credits.spend(at(0), ADDR, left));
        assert_eq!(credits.left(ADDR), None);
    }

    proptest! {
        #[test]
        fn the_promise_holds_in_every_ten_seconds(
            steps in prop::collection::vec(
                (0u64..4000, prop::option::of(0usize..600), 0usize..1300), 1..60),
        ) {
            let credits = Credits::default();
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
                prop_assert!(sent <= 3 * received + DATAGRAM, "{sent} for {received}");
            }
        }
    }
}
