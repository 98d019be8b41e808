//! The limit against amplification: an address that is not validated, as a forged one never is, gets at most three times the bytes that came from it, from the first datagram on. The
//! headers of IP and UDP count on both sides. Only the answers that bring an ID and a key may be
//! longer, as one has to have these before one can prove anything: [`KEYED`].
//!
//! What an answer may have is paid for by the datagram that it answers, so it does not depend on what
//! is remembered of an address, and no flood under other addresses takes it away. What is left over is
//! kept for ten seconds, for news that come later; of so many addresses. If more come within that time,
//! the one that was silent for longest is forgotten.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Instant;
use crate::source_cache::{Expired, Lookup, Place, SourceCache};

/// The factor of RFC 9000, section 8.1, that QUIC keeps to before it knows an address.
const FACTOR: usize = 3;

/// The longest datagram that any dialect sends, in bytes of payload.
pub const DATAGRAM: usize = 1200;

/// What the answers to one request may have together, in bytes of payload, if they bring an ID and
/// a key: those of rooms have 149 at most, that of natpunch some 90.
pub const KEYED: usize = 160;

/// After this time without a packet an address is as good as new.
const FORGET: Duration = Duration::from_secs(10);

/// How many bytes are left of each address, and when it last sent or was sent something.
#[derive(Debug, Serialize, Deserialize)]
pub struct Credits {
    left: SourceCache<u32>,
    /// What the datagram that is being answered has brought: whose, and how much.
    #[serde(skip)]
    own: Option<(IpAddr, usize)>,
}

impl Default for Credits {
    fn default() -> Self {
        Self { left: SourceCache::new(Expired::Kept), own: None }
    }
}

impl Credits {
    /// Goes on with what is left of another process.
    pub(crate) fn restore(&mut self, saved: Self) {
        self.left.restore(saved.left);
    }

    /// A datagram with this many bytes of payload came from an address. What it may be sent from
    /// now on is [`Self::left`].
    pub fn received(&mut self, now: Instant, addr: IpAddr, payload: usize) {
        let own = FACTOR * (payload + headers(addr));
        self.own = Some((addr, own));
        let (place, was) = self.left.place(&addr, |at| now - at > FORGET);
        // Unspent credit is worth a datagram at most: not even who has paid for more gets a burst.
        let before = if was == Lookup::Known { *place.value as usize } else { 0 };
        *place.at = now;
        *place.value = u32::try_from(before.min(one_datagram(addr)) + own).unwrap_or(u32::MAX);
    }

    /// Bytes of payload that one more datagram to this address may have; `None` if there must be
    /// none.
    #[must_use]
    pub fn left(&self, addr: IpAddr) -> Option<usize> {
        let bytes = self.left.get(&addr).map_or(0, |bytes| bytes as usize);
        bytes.checked_sub(headers(addr))
    }

    /// The same for an answer that takes all there is, such as a list: no more than its own request
    /// has brought. So who asks for lists in the name of an address takes nothing from anybody there.
    #[must_use]
    pub fn left_for_list(&self, addr: IpAddr) -> usize {
        let own = self.own.filter(|(whose, _)| *whose == addr).map_or(0, |(_, own)| own);
        self.left(addr).unwrap_or_default().min(own.saturating_sub(headers(addr)))
    }

    /// Has enough for answers that bring an ID and a key, of these lengths; they have at most
    /// [`KEYED`] together.
    pub fn advance_for_key(&mut self, addr: IpAddr, payloads: &[usize]) {
        debug_assert!(payloads.iter().sum::<usize>() <= KEYED, "{payloads:?}");
        let cost: usize = payloads.iter().map(|payload| payload + headers(addr)).sum();
        if let Some(Place { value, .. }) = self.left.get_mut(&addr) {
            *value = (*value).max(cost as u32);
        }
    }

    /// The datagram that came last from an address is answered by another node: it has brought nothing here.
    pub fn take_back(&mut self, addr: IpAddr, payload: usize) {
        self.own = None;
        if let Some(Place { value, .. }) = self.left.get_mut(&addr) {
            let own = u32::try_from(FACTOR * (payload + headers(addr))).unwrap_or(u32::MAX);
            *value = value.saturating_sub(own);
        }
    }

    /// Takes what a datagram costs; false, and nothing is taken, if there is not enough.
    pub fn spend(&mut self, now: Instant, addr: IpAddr, payload: usize) -> bool {
        let cost = payload + headers(addr);
        let Some(Place { at, value }) = self.left.get_mut(&addr) else { return false };
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

/// What is kept of unspent credit: the longest datagram, with the headers that it has there.
fn one_datagram(addr: IpAddr) -> usize {
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
    fn what_another_node_answers_has_brought_nothing_here() {
        let mut credits = Credits::default();
        credits.received(at(0), ADDR, 100);
        credits.take_back(ADDR, 100);
        assert_eq!(credits.left(ADDR), None);
        assert_eq!(credits.left_for_list(ADDR), 0);
        credits.received(at(0), ADDR, 100);
        let left = credits.left(ADDR);
        credits.received(at(0), ADDR, 200);
        credits.take_back(ADDR, 200);
        assert_eq!(credits.left(ADDR), left, "but what came before has");
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
    fn lists_have_what_their_own_request_has_brought() {
        let mut credits = Credits::default();
        for n in 0..100 {
            credits.received(at(n), ADDR, 2);
            assert_eq!(credits.left_for_list(ADDR), 3 * 30 - 28);
            assert_eq!(credits.left_for_list(IpAddr::from([203, 0, 113, 8])), 0);
            // Whatever is asked for in the name of an address, what was kept of it stays.
            if n > 0 {
                assert!(credits.spend(at(n), ADDR, 3 * 30 - 28));
                assert_eq!(credits.left(ADDR), Some(3 * 30 - 28));
            }
        }
    }

    #[test]
    fn the_bound_is_exact_for_both_kinds_of_addresses() {
        let v6 = IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 7]);
        for (addr, headers) in [(ADDR, 28), (v6, 48)] {
            let mut credits = Credits::default();
            for n in 0..20 {
                credits.received(at(n), addr, 2);
                let left = credits.left(addr).unwrap();
                assert_eq!(left + headers, 3 * (2 + headers));
                assert!(!credits.spend(at(n), addr, left + 1));
                assert!(credits.spend(at(n), addr, left));
            }
        }
    }

    #[test]
    fn what_brings_a_key_may_be_longer_and_leaves_nothing() {
        let mut credits = Credits::default();
        credits.advance_for_key(ADDR, &[100]);
        assert_eq!(credits.left(ADDR), None, "nobody has asked");
        for n in 0..20 {
            credits.received(at(n), ADDR, 2);
            credits.advance_for_key(ADDR, &[60, 100]);
            assert!(credits.spend(at(n), ADDR, 60));
            assert!(credits.spend(at(n), ADDR, 100));
            assert_eq!(credits.left(ADDR), None);
        }
        // Who has paid for more keeps it.
        credits.received(at(20), ADDR, 100);
        credits.advance_for_key(ADDR, &[10]);
        assert_eq!(credits.left(ADDR), Some(3 * 128 - 28));
    }

    #[test]
    fn nobody_pays_for_another() {
        let mut credits = Credits::default();
        for n in 0..1000_u32 {
            let addr = IpAddr::from(n.to_be_bytes());
            credits.received(at(0), addr, 10);
            assert_eq!(credits.left(addr), Some(3 * 38 - 28), "address {n}");
        }
        assert!((0..1000_u32).all(|n| credits.spend(at(0), IpAddr::from(n.to_be_bytes()), 86)));
    }

    #[test]
    fn in_a_flood_of_addresses_each_is_answered_and_the_promise_holds() {
        let mut credits = Credits::default();
        for n in 0..1_000_000_u32 {
            let addr = IpAddr::from(n.to_be_bytes());
            credits.received(at(0), addr, 10);
            assert_eq!(credits.left_for_list(addr), 3 * 38 - 28);
            assert!(credits.spend(at(0), addr, 86));
            assert!(!credits.spend(at(0), addr, 0));
        }
    }

    proptest! {
        #[test]
        fn the_promise_holds_from_the_first_datagram_on(
            steps in prop::collection::vec(
                (0u64..4000, prop::option::of(0usize..600), 0usize..1300), 1..60),
        ) {
            let mut credits = Credits::default();
            let mut time = 0;
            let (mut came, mut sent) = (0, 0);
            for (wait, received, wanted) in steps {
                time += wait;
                // Where nothing is received, something is sent on its own accord.
                if let Some(payload) = received {
                    credits.received(at(time), ADDR, payload);
                    came += payload + 28;
                }
                let times = (0..3).filter(|_| credits.spend(at(time), ADDR, wanted)).count();
                sent += times * (wanted + 28);
                prop_assert!(sent <= 3 * came, "{sent} for {came}");
            }
        }
    }
}
