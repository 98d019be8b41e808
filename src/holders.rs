//! How much each source holds of something that there is a bound for. When the bound is reached, who holds
//! most gives way, so that whoever comes first cannot take everything; who holds least never does.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::hash::Map;

/// An address and the bits of it that count: an IPv4 address has 32; an IPv6 source has one /64,
/// or the /56 or /48 around it (RFC 6177).
type Network = (u8, IpAddr);

/// What each network holds, item by item; an item has a weight. Changing one costs O(log n). The
/// sets are of all networks together, as most networks have little.
#[derive(Debug, Serialize, Deserialize)]
#[serde(bound(serialize = "K: Serialize", deserialize = "K: Deserialize<'de> + Ord"))]
pub struct Holders<K> {
    total: u64,
    held: Map<Network, Held>,
    /// The parts of each network by weight; those of none are not part of any other. Only those in
    /// which something may give way.
    parts: BTreeSet<(Option<Network>, u64, Network)>,
    /// The items of each of the narrowest networks by weight, but for those that do not give way. All
    /// are `Some`: `None` is before the first.
    items: BTreeSet<(Network, u64, Option<K>)>,
}

/// What a network holds.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Held {
    weight: u64,
    /// How many items may give way.
    movable: u32,
}

/// An item as it counts: what it weighs, and whether it may give way.
type Counted = (u64, bool);

impl<K> Default for Holders<K> {
    fn default() -> Self {
        let (parts, items) = (BTreeSet::new(), BTreeSet::new());
        Self { total: 0, held: Map::default(), parts, items }
    }
}

impl<K: Copy + Ord> Holders<K> {
    /// The weight of an item that this address holds was `from` and is `to`; zero is none. It is one
    /// that may give way.
    pub fn change(&mut self, addr: IpAddr, key: K, from: u64, to: u64) {
        self.count(addr, key, (from, from > 0), (to, to > 0));
    }

    /// An item of this weight, which counts as before, does not give way until it is released.
    pub fn protect(&mut self, addr: IpAddr, key: K, weight: u64) {
        self.count(addr, key, (weight, true), (weight, false));
    }

    /// An item that was protected may give way.
    pub fn release(&mut self, addr: IpAddr, key: K, weight: u64) {
        self.count(addr, key, (weight, false), (weight, true));
    }

    fn count(&mut self, addr: IpAddr, key: K, from: Counted, to: Counted) {
        if from == to {
            return;
        }
        let mut inside = None;
        for network in networks(addr) {
            let before = self.held.get(&network).copied().unwrap_or_default();
            let weight = before.weight.saturating_sub(from.0).saturating_add(to.0);
            let movable = before.movable.saturating_sub(from.1.into()) + u32::from(to.1);
            match weight {
                0 => self.held.remove(&network),
                _ => self.held.insert(network, Held { weight, movable }),
            };
            if before.movable > 0 {
                self.parts.remove(&(inside, before.weight, network));
            }
            if movable > 0 {
                self.parts.insert((inside, weight, network));
            }
            inside = Some(network);
        }
        if let Some(narrowest) = inside {
            if from.1 {
                self.items.remove(&(narrowest, from.0, Some(key)));
            }
            if to.1 {
                self.items.insert((narrowest, to.0, Some(key)));
            }
        }
        self.total = self.total.saturating_sub(from.0).saturating_add(to.0);
    }

    /// The weight of all items.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// What the address holds, as the narrowest network of its.
    #[must_use]
    pub fn of(&self, addr: IpAddr) -> u64 {
        networks(addr).last().map_or(0, |network| self.weight(network))
    }

    /// What the address holds as the widest and as the narrowest network of its.
    #[must_use]
    pub fn held(&self, addr: IpAddr) -> [u64; 2] {
        let networks = networks(addr);
        [networks.first(), networks.last()].map(|of| of.map_or(0, |network| self.weight(network)))
    }

    /// The heaviest item of who holds most; of several such items, the one with the greatest key.
    /// The widest networks are compared first, then the parts of the one that holds most; those that
    /// have only what does not give way are left out.
    #[must_use]
    pub fn heaviest(&self) -> Option<K> {
        let of = self.who_holds_most().pop()?;
        let (holder, _, key) = self.items.range(..(of, u64::MAX, None)).next_back()?;
        key.filter(|_| *holder == of)
    }

    /// The item that gives way to a new one of this address: the heaviest of who holds most, if that
    /// is more than this address would hold with `weight` more.
    #[must_use]
    pub fn eviction_candidate(&self, addr: IpAddr, weight: u64) -> Option<K> {
        let most = self.who_holds_most();
        let pairs = most.iter().zip(networks(addr));
        let differ = pairs.into_iter().find(|(holder, own)| *holder != own);
        let (holder, own) = differ?;
        let is_more = self.weight(holder) > self.weight(&own).saturating_add(weight);
        if is_more { self.heaviest() } else { None }
    }

    /// What the network of one who holds something holds, compared with what that of one who wants
    /// `weight` more would: as the widest networks that are not the same. Equal if all are.
    #[must_use]
    pub fn compare(&self, holder: IpAddr, wants: IpAddr, weight: u64) -> Ordering {
        let mut pairs = networks(holder).into_iter().zip(networks(wants));
        let Some((holder, wants)) = pairs.find(|(holder, wants)| holder != wants) else {
            return Ordering::Equal;
        };
        self.weight(&holder).cmp(&self.weight(&wants).saturating_add(weight))
    }

    /// Whether nobody holds anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.held.is_empty() && self.parts.is_empty() && self.items.is_empty()
    }

    /// The network that holds most, and of its parts that holds most, and so on.
    fn who_holds_most(&self) -> SmallVec<[Network; 3]> {
        let mut found = SmallVec::new();
        loop {
            let inside: Option<Network> = found.last().copied();
            let last = self.parts.range(..(inside, u64::MAX, NO_NETWORK)).next_back();
            match last.filter(|(of, ..)| *of == inside) {
                Some((.., part)) => found.push(*part),
                None => return found,
            }
        }
    }

    fn weight(&self, network: &Network) -> u64 {
        self.held.get(network).map_or(0, |held| held.weight)
    }
}

/// Before all networks.
const NO_NETWORK: Network = (0, IpAddr::V4(Ipv4Addr::UNSPECIFIED));

/// The networks that an address is in, the widest first.
fn networks(addr: IpAddr) -> SmallVec<[Network; 3]> {
    match addr {
        IpAddr::V4(_) => SmallVec::from_slice(&[(32, addr)]),
        IpAddr::V6(v6) => [48, 56, 64]
            .into_iter()
            .map(|bits: u8| {
                let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or_default();
                (bits, Ipv6Addr::from_bits(v6.to_bits() & mask).into())
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn held(items: &[(&str, u32, u64)]) -> Holders<u32> {
        let mut holders = Holders::default();
        items.iter().for_each(|(addr, key, weight)| holders.change(ip(addr), *key, 0, *weight));
        holders
    }

    #[test]
    fn who_holds_most_gives_way() {
        let holders = held(&[("192.0.2.1", 1, 5), ("192.0.2.1", 2, 6), ("192.0.2.2", 3, 10)]);
        assert_eq!((holders.total(), holders.of(ip("192.0.2.1"))), (21, 11));
        assert_eq!(holders.heaviest(), Some(2));
        assert_eq!(holders.eviction_candidate(ip("192.0.2.3"), 10), Some(2));
        assert_eq!(holders.eviction_candidate(ip("192.0.2.3"), 11), None, "it would hold as much");
        assert_eq!(
            holders.eviction_candidate(ip("192.0.2.1"), 1),
            None,
            "nobody holds more than itself"
        );
    }

    #[test]
    fn many_networks_of_one_source_are_one() {
        let mut holders = held(&[("192.0.2.1", 1, 2)]);
        for n in 0..100u32 {
            holders.change(ip(&format!("2001:db8:0:{n:x}::1")), 10 + n, 0, 1);
        }
        assert_eq!(holders.heaviest(), Some(109));
        assert_eq!(holders.eviction_candidate(ip("192.0.2.1"), 1), Some(109));
        // Among each other they are as all are.
        assert_eq!(holders.eviction_candidate(ip("2001:db8:0:5000::1"), 1), Some(109));
        assert_eq!(holders.eviction_candidate(ip("2001:db8:0:50::1"), 1), None);
    }

    #[test]
    fn who_holds_is_compared_with_who_wants() {
        let holders = held(&[
            ("192.0.2.1", 1, 2),
            ("192.0.2.2", 2, 1),
            ("2001:db8::1", 3, 1),
            ("2001:db8:0:1::1", 4, 1),
        ]);
        let compare = |holder, wants| holders.compare(ip(holder), ip(wants), 1);
        assert_eq!(compare("192.0.2.1", "192.0.2.9"), Ordering::Greater);
        assert_eq!(compare("192.0.2.2", "192.0.2.9"), Ordering::Equal);
        assert_eq!(compare("192.0.2.2", "192.0.2.2"), Ordering::Equal);
        assert_eq!(compare("192.0.2.2", "192.0.2.1"), Ordering::Less);
        assert_eq!(compare("2001:db8::1", "192.0.2.9"), Ordering::Greater, "as one /48");
        assert_eq!(compare("2001:db8::1", "2001:db8:0:2::1"), Ordering::Equal, "as one /64");
    }

    #[test]
    fn what_is_protected_counts_and_does_not_give_way() {
        let mut holders = held(&[
            ("192.0.2.1", 1, 3),
            ("192.0.2.2", 2, 1),
            ("192.0.2.2", 3, 1),
            ("2001:db8:0:100::1", 4, 9),
            ("2001:db8:0:200::1", 5, 1),
        ]);
        holders.protect(ip("2001:db8:0:100::1"), 4, 9);
        assert_eq!(holders.heaviest(), Some(5), "its network has most");
        holders.protect(ip("2001:db8:0:200::1"), 5, 1);
        assert_eq!(holders.heaviest(), Some(1));
        holders.protect(ip("192.0.2.1"), 1, 3);
        assert_eq!(holders.eviction_candidate(ip("192.0.2.3"), 1), Some(3));
        assert_eq!((holders.total(), holders.of(ip("192.0.2.1"))), (15, 3));
        holders.release(ip("192.0.2.1"), 1, 3);
        assert_eq!(holders.eviction_candidate(ip("192.0.2.3"), 1), Some(1));
    }

    #[test]
    fn nothing_is_left_of_who_holds_nothing() {
        let mut holders = held(&[("192.0.2.1", 1, 5), ("2001:db8::1", 2, 7)]);
        holders.change(ip("192.0.2.1"), 1, 5, 9);
        assert_eq!((holders.total(), holders.heaviest()), (16, Some(1)));
        holders.change(ip("192.0.2.1"), 1, 9, 0);
        holders.change(ip("2001:db8::1"), 2, 7, 0);
        assert!(holders.is_empty() && holders.heaviest().is_none() && holders.total() == 0);
    }
}
