//! Which network has most peers, so that one of them makes place when none is left. As in
//! [`Holders`](crate::holders::Holders), but every peer counts as one and those of a network are known
//! elsewhere: a peer that is alone in its network is counted in a table and nowhere else.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use smallvec::SmallVec;

use crate::hash::Map;
use crate::prefixes::LEVELS;

/// A network of one level: a /48, /56 or /64 by its first 64 bits, behind which the wider two have a mark.
/// An IPv4 address stands at the first level for the /48 that belongs to it in 6to4 (RFC 3056), without the
/// mark.
type Network = u64;

/// What those networks are in that are in no other.
const NONE: Network = 0;

/// Behind the bits of a /48 and of a /56, so that none is taken for another.
const MARKS: [Network; 2] = [1, 2];

/// Before all bits of an IPv4 address.
const V4: Network = 0x2002;

/// How many peers each network has. Changing one costs O(log n).
#[derive(Debug, Default)]
pub(in crate::dialect::rooms) struct Networks {
    counts: [Map<Network, Count>; LEVELS],
    /// Those in which somebody may have to give way.
    by_peers: BTreeSet<Rank>,
}

/// In which network one is and how many peers it has, in one number, as that is compared faster; and which
/// it is.
type Rank = (u128, Network);

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    peers: u32,
    /// How many of them may give way.
    movable: u32,
}

impl Networks {
    /// One more peer is at this address. It may give way.
    pub(super) fn add(&mut self, addr: IpAddr) {
        self.change(addr, |Count { peers, movable }| Count {
            peers: peers + 1,
            movable: movable + 1,
        });
    }

    /// One that might give way is gone.
    pub(super) fn remove(&mut self, addr: IpAddr) {
        self.change(addr, |Count { peers, movable }| Count {
            peers: peers.saturating_sub(1),
            movable: movable.saturating_sub(1),
        });
    }

    /// One of those at this address gives way to nobody until it is released.
    pub(super) fn protect(&mut self, addr: IpAddr) {
        self.change(addr, |count| Count { movable: count.movable.saturating_sub(1), ..count });
    }

    /// One that was protected may give way.
    pub(super) fn release(&mut self, addr: IpAddr) {
        self.change(addr, |count| Count { movable: count.movable + 1, ..count });
    }

    fn change(&mut self, addr: IpAddr, change: impl Fn(Count) -> Count) {
        let mut inside = NONE;
        for (network, counts) in networks(addr).into_iter().zip(&mut self.counts) {
            let count = counts.entry(network).or_default();
            let before = std::mem::replace(count, change(*count));
            let after = *count;
            if after.peers == 0 {
                counts.remove(&network);
            }
            // One that is in no other and has one peer has no more than any newcomer would.
            let may_rank = |of: Count| of.movable > 0 && (of.peers > 1 || inside != NONE);
            let rank = |of: Count| may_rank(of).then(|| (place(inside, of.peers), network));
            if rank(before) != rank(after) {
                if let Some(rank) = rank(before) {
                    self.by_peers.remove(&rank);
                }
                self.by_peers.extend(rank(after));
            }
            inside = network;
        }
    }

    /// An address of the source that one has to make place of for a newcomer at this address: of the
    /// widest networks that with most peers, of its parts that with most, and so on; if that is more than
    /// the newcomer's own network would have then.
    pub(in crate::dialect::rooms) fn eviction_candidate(&self, newcomer: IpAddr) -> Option<IpAddr> {
        let most = self.largest();
        let pairs = most.iter().zip(networks(newcomer)).zip(&self.counts);
        let differ = pairs.into_iter().find(|((largest, own), _)| *largest != own);
        let ((largest, own), counts) = differ?;
        let peers = |network| counts.get(network).map_or(0, |count| count.peers);
        if peers(largest) > peers(&own) + 1 { address(&most) } else { None }
    }

    /// The network that has most, and of its parts that with most, and so on.
    fn largest(&self) -> SmallVec<[Network; LEVELS]> {
        let mut found = SmallVec::new();
        loop {
            let inside = found.last().copied().unwrap_or(NONE);
            let all = (place(inside, 0), 0)..=(place(inside, u32::MAX), Network::MAX);
            match self.by_peers.range(all).next_back() {
                Some((_, part)) if found.len() < LEVELS => found.push(*part),
                _ => return found,
            }
        }
    }

    /// Whether nobody is there.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.counts.iter().all(Map::is_empty) && self.by_peers.is_empty()
    }
}

/// What networks in one and with so many peers are ordered by.
fn place(inside: Network, peers: u32) -> u128 {
    u128::from(inside) << 32 | u128::from(peers)
}

/// The networks that an address is in, the widest first: of IPv6 those that one site may have (RFC 6177).
fn networks(addr: IpAddr) -> SmallVec<[Network; LEVELS]> {
    match addr {
        IpAddr::V4(v4) => SmallVec::from_slice(&[V4 << 48 | Network::from(v4.to_bits()) << 16]),
        IpAddr::V6(v6) => {
            let (own, [widest, wide]) = ((v6.to_bits() >> 64) as Network, MARKS);
            SmallVec::from_slice(&[own & !0xffff | widest, own & !0xff | wide, own])
        }
    }
}

/// An address in the narrowest of these networks, the widest of which comes first: an IPv4 address has but one.
fn address(networks: &[Network]) -> Option<IpAddr> {
    Some(match networks {
        [v4] => Ipv4Addr::from_bits((v4 >> 16) as u32).into(),
        [.., own] => Ipv6Addr::from_bits(u128::from(*own) << 64).into(),
        [] => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn of(all: &[(&str, usize)]) -> Networks {
        let mut networks = Networks::default();
        all.iter().for_each(|(addr, count)| (0..*count).for_each(|_| networks.add(ip(addr))));
        networks
    }

    #[test]
    fn one_of_the_largest_network_gives_way_and_nobody_to_who_would_have_as_much() {
        let networks = of(&[("192.0.2.1", 2), ("192.0.2.2", 3), ("192.0.2.3", 1)]);
        assert_eq!(networks.eviction_candidate(ip("192.0.2.9")), Some(ip("192.0.2.2")));
        assert_eq!(networks.eviction_candidate(ip("192.0.2.3")), Some(ip("192.0.2.2")));
        assert_eq!(networks.eviction_candidate(ip("192.0.2.1")), None, "it would have as many");
        assert_eq!(
            networks.eviction_candidate(ip("192.0.2.2")),
            None,
            "nobody has more than itself"
        );
    }

    #[test]
    fn many_networks_of_one_site_are_one() {
        let mut networks = of(&[("192.0.2.1", 2)]);
        for n in 0..100u32 {
            networks.add(ip(&format!("2001:db8:0:{n:x}::1")));
        }
        let source = |addr: &str| networks.eviction_candidate(ip(addr));
        assert_eq!(source("192.0.2.1"), Some(ip("2001:db8:0:63::")));
        // Among each other they are as all are.
        assert_eq!(source("2001:db8:0:5000::1"), Some(ip("2001:db8:0:63::")));
        assert_eq!(source("2001:db8:0:50::1"), None);
    }

    #[test]
    fn networks_whose_bits_are_alike_are_not_one() {
        // 6to4 for 192.0.2.1, and what the marks of wider networks look like.
        let all = ["192.0.2.1", "2002:c000:201::1", "2002:c000:201:1::1", "2002:c000:201:2::1"];
        let mut networks = of(&all.map(|addr| (addr, 3)));
        assert_eq!(networks.eviction_candidate(ip("192.0.2.9")), Some(ip("2002:c000:201:2::")));
        (0..3).for_each(|_| networks.remove(ip("2002:c000:201:2::1")));
        (0..3).for_each(|_| networks.remove(ip("2002:c000:201:1::1")));
        networks.add(ip("2002:c000:201::1"));
        assert_eq!(networks.eviction_candidate(ip("192.0.2.9")), Some(ip("2002:c000:201::")));
        (0..2).for_each(|_| networks.add(ip("192.0.2.1")));
        assert_eq!(networks.eviction_candidate(ip("192.0.2.9")), Some(ip("192.0.2.1")));
    }

    #[test]
    fn who_is_protected_counts_and_does_not_give_way() {
        let mut networks = of(&[("192.0.2.1", 3), ("2001:db8::1", 2), ("192.0.2.2", 4)]);
        (0..4).for_each(|_| networks.protect(ip("192.0.2.2")));
        assert_eq!(networks.eviction_candidate(ip("192.0.2.9")), Some(ip("192.0.2.1")));
        (0..3).for_each(|_| networks.protect(ip("192.0.2.1")));
        let other = networks.eviction_candidate(ip("192.0.2.9"));
        assert_eq!(other, Some(ip("2001:db8::")));
        networks.release(ip("192.0.2.2"));
        assert_eq!(networks.eviction_candidate(ip("192.0.2.9")), Some(ip("192.0.2.2")));
    }

    #[test]
    fn nothing_is_left_of_who_is_gone() {
        let mut networks = of(&[("192.0.2.1", 2), ("2001:db8::1", 1)]);
        networks.protect(ip("192.0.2.1"));
        networks.release(ip("192.0.2.1"));
        ["192.0.2.1", "192.0.2.1", "2001:db8::1"].iter().for_each(|addr| networks.remove(ip(addr)));
        assert!(networks.is_empty());
    }
}
