//! Who holds most of something that there is a bound for. When the bound is reached, who holds
//! most gives way, so that whoever comes first cannot take everything; who holds least never does.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};

use smallvec::SmallVec;

use crate::hash::Map;

/// An address and the bits of it that count: an IPv4 address has 32; an IPv6 customer has one /64,
/// or the /56 or /48 around it (RFC 6177).
type Network = (u8, IpAddr);

/// What each network holds, item by item; an item has a weight. Changing one costs O(log n).
#[derive(Debug)]
pub struct Holders<K> {
    total: u64,
    weights: Map<Network, u64>,
    /// The parts of each network by weight; those of none are not part of any other.
    parts: Map<Option<Network>, BTreeSet<(u64, Network)>>,
    /// The items of each of the narrowest networks by weight.
    items: Map<Network, BTreeSet<(u64, K)>>,
}

impl<K> Default for Holders<K> {
    fn default() -> Self {
        Self { total: 0, weights: Map::default(), parts: Map::default(), items: Map::default() }
    }
}

impl<K: Copy + Ord> Holders<K> {
    /// The weight of an item that this address holds was `from` and is `to`; zero is none.
    pub fn change(&mut self, addr: IpAddr, key: K, from: u64, to: u64) {
        if from == to {
            return;
        }
        let mut inside = None;
        for network in networks(addr) {
            let before = self.weights.get(&network).copied().unwrap_or_default();
            let after = before.saturating_sub(from).saturating_add(to);
            match after {
                0 => self.weights.remove(&network),
                _ => self.weights.insert(network, after),
            };
            replace(&mut self.parts, inside, (before, network), (after, network));
            inside = Some(network);
        }
        if let Some(narrowest) = inside {
            replace(&mut self.items, narrowest, (from, key), (to, key));
        }
        self.total = self.total.saturating_sub(from).saturating_add(to);
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

    /// The heaviest item of who holds most; of several such items, the one with the greatest key.
    /// The widest networks are compared first, then the parts of the one that holds most.
    #[must_use]
    pub fn heaviest(&self) -> Option<K> {
        let of = self.who_holds_most().pop()?;
        self.items.get(&of)?.last().map(|(_, key)| *key)
    }

    /// The item that gives way to a new one of this address: the heaviest of who holds most, if that
    /// is more than this address would hold with `weight` more.
    #[must_use]
    pub fn gives_way(&self, addr: IpAddr, weight: u64) -> Option<K> {
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
        self.weights.is_empty() && self.parts.is_empty() && self.items.is_empty()
    }

    /// The network that holds most, and of its parts that holds most, and so on.
    fn who_holds_most(&self) -> SmallVec<[Network; 3]> {
        let mut found = SmallVec::new();
        while let Some((_, part)) = self.parts.get(&found.last().copied()).and_then(BTreeSet::last)
        {
            found.push(*part);
        }
        found
    }

    fn weight(&self, network: &Network) -> u64 {
        self.weights.get(network).copied().unwrap_or_default()
    }
}

/// Changes an entry of one of these sets; weight zero is no entry.
fn replace<S: Copy + Eq + Hash, T: Ord>(
    sets: &mut Map<S, BTreeSet<(u64, T)>>,
    of: S,
    before: (u64, T),
    after: (u64, T),
) {
    let set = sets.entry(of).or_default();
    set.remove(&before);
    if after.0 > 0 {
        set.insert(after);
    }
    if set.is_empty() {
        sets.remove(&of);
    }
}

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
        assert_eq!(holders.gives_way(ip("192.0.2.3"), 10), Some(2));
        assert_eq!(holders.gives_way(ip("192.0.2.3"), 11), None, "it would hold as much");
        assert_eq!(holders.gives_way(ip("192.0.2.1"), 1), None, "nobody holds more than itself");
    }

    #[test]
    fn many_networks_of_one_customer_are_one() {
        let mut holders = held(&[("192.0.2.1", 1, 2)]);
        for n in 0..100u32 {
            holders.change(ip(&format!("2001:db8:0:{n:x}::1")), 10 + n, 0, 1);
        }
        assert_eq!(holders.heaviest(), Some(109));
        assert_eq!(holders.gives_way(ip("192.0.2.1"), 1), Some(109));
        // Among each other they are as all are.
        assert_eq!(holders.gives_way(ip("2001:db8:0:5000::1"), 1), Some(109));
        assert_eq!(holders.gives_way(ip("2001:db8:0:50::1"), 1), None);
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
    fn nothing_is_left_of_who_holds_nothing() {
        let mut holders = held(&[("192.0.2.1", 1, 5), ("2001:db8::1", 2, 7)]);
        holders.change(ip("192.0.2.1"), 1, 5, 9);
        assert_eq!((holders.total(), holders.heaviest()), (16, Some(1)));
        holders.change(ip("192.0.2.1"), 1, 9, 0);
        holders.change(ip("2001:db8::1"), 2, 7, 0);
        assert!(holders.is_empty() && holders.heaviest().is_none() && holders.total() == 0);
    }
}
