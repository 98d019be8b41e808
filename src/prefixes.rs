//! Who an address is counted as, and how much of something each source has. A *source* is whoever may send from
//! every address of a prefix: one IPv4 address, or one IPv6 /64 (RFC 6177).

use std::cmp::{Ordering, Reverse};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use crate::hash::Map;

/// The source that this address belongs to: the address itself, of IPv6 its /64 (RFC 6177).
#[must_use]
pub fn network(addr: IpAddr) -> IpAddr {
    match addr {
        IpAddr::V4(_) => addr,
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

/// The widest prefix that may be delegated to one site with this address: of IPv6 a /48 (RFC 6177).
#[must_use]
pub fn widest(addr: IpAddr) -> IpAddr {
    match addr {
        IpAddr::V4(_) => addr,
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 80 << 80).into(),
    }
}

/// The networks that may be one site's with this address: how many bits each has, and how many sources it
/// counts as (as with [`weight`]), the widest first.
pub fn levels(addr: IpAddr) -> impl Iterator<Item = (u8, IpAddr, u32)> {
    let of_v4 = addr.is_ipv4().then_some((32, addr, 1));
    let levels = match addr {
        IpAddr::V4(_) => None,
        IpAddr::V6(v6) => Some([(48, 4), (56, 2), (64, 1)].map(|(bits, times)| {
            let mask = u128::MAX << (128 - u32::from(bits));
            (bits, Ipv6Addr::from_bits(v6.to_bits() & mask).into(), times)
        })),
    };
    of_v4.into_iter().chain(levels.into_iter().flatten())
}

/// As [`levels`], but the narrowest first, and of IPv4 also the /24, counted as a /48 of IPv6 is. Others may live
/// in it, so it is for what is shared where nobody is turned away for long: turns, what is shown to the owner, what
/// comes again if it is refused.
#[must_use]
pub fn homes(addr: IpAddr) -> [(IpAddr, u32); LEVELS] {
    match addr {
        IpAddr::V4(v4) => {
            let around = Ipv4Addr::from_bits(v4.to_bits() & !0xFF).into();
            [(addr, 1), (around, 4), (around, 4)]
        }
        IpAddr::V6(v6) => {
            let of =
                |bits: u32| Ipv6Addr::from_bits(v6.to_bits() & u128::MAX << (128 - bits)).into();
            [(of(64), 1), (of(56), 2), (of(48), 4)]
        }
    }
}

/// An address with whose like it is counted where [`homes`] are: of IPv4 one of IPv6 whose /48 has all of its /24, and
/// whose /56 is its own.
#[must_use]
pub fn as_home(addr: IpAddr) -> IpAddr {
    let IpAddr::V4(v4) = addr else { return addr };
    let [a, b, c, d] = v4.octets().map(u16::from);
    // In 6to4 (RFC 3056) these two would be one network.
    Ipv6Addr::new(0x2002, a << 8 | b, c << 8, d << 8, 0, 0, 0, 0).into()
}

/// How many of something each source has.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Counts(Map<IpAddr, u32>);

impl Counts {
    /// How many the source with this address has.
    #[must_use]
    pub fn of(&self, addr: IpAddr) -> usize {
        self.0.get(&network(addr)).map_or(0, |count| *count as usize)
    }

    /// One more; how many that are.
    pub fn add(&mut self, addr: IpAddr) -> usize {
        let count = self.0.entry(network(addr)).or_default();
        *count += 1;
        *count as usize
    }

    /// One less.
    pub fn remove(&mut self, addr: IpAddr) {
        let source = network(addr);
        if let Some(count) = self.0.get_mut(&source) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(&source);
            }
        }
    }

    /// Whether nobody has any.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Levels of prefixes: an IPv6 site may have one /64, a /56 or a /48 (RFC 6177).
pub const LEVELS: usize = 3;

/// How much of something each network has, at every level: an IPv6 address is in a /48, a /56 and
/// a /64; an IPv4 address is a network of its own at all of them. For bounds on all together:
/// when such a bound is reached, who holds most gives way, and never to one who would hold as much.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Shares<T = ()> {
    /// The wider prefixes that IPv6 sources are in, the widest first.
    wider: [Map<u64, u32>; LEVELS - 1],
    /// The sources, and what else is kept of each that has something.
    sources: Map<u64, (u32, T)>,
}

impl<T: Default> Shares<T> {
    /// How much the networks of this address have, the widest first. So the greatest of several
    /// is the one whose /48 has most, and of those in one /48 the one whose /56 has most, and so
    /// on.
    #[must_use]
    pub fn of(&self, addr: IpAddr) -> [u32; LEVELS] {
        let keys @ [.., key] = networks(addr);
        let held = self.sources.get(&key).map_or(0, |(held, _)| *held);
        // All that the address has, it has as any of its networks.
        let mut all = [held; LEVELS];
        if addr.is_ipv6() {
            for ((held, level), key) in all.iter_mut().zip(&self.wider).zip(keys) {
                *held = level.get(&key).copied().unwrap_or_default();
            }
        }
        all
    }

    /// What is kept of the source with this address, if it has something.
    pub fn kept(&mut self, addr: IpAddr) -> Option<&mut T> {
        let [.., key] = networks(addr);
        self.sources.get_mut(&key).map(|(_, kept)| kept)
    }

    /// So much more. Returns how much the source has now, and what is kept of it.
    pub fn add(&mut self, addr: IpAddr, amount: u32) -> (u32, &mut T) {
        let keys @ [.., key] = networks(addr);
        if addr.is_ipv6() {
            for (level, key) in self.wider.iter_mut().zip(keys) {
                let held = level.entry(key).or_default();
                *held = held.saturating_add(amount);
            }
        }
        let (held, kept) = self.sources.entry(key).or_default();
        *held = held.saturating_add(amount);
        (*held, kept)
    }

    /// So much less.
    pub fn remove(&mut self, addr: IpAddr, amount: u32) {
        let keys @ [.., key] = networks(addr);
        if addr.is_ipv6() {
            for (level, key) in self.wider.iter_mut().zip(keys) {
                if let Some(held) = level.get_mut(&key) {
                    *held = held.saturating_sub(amount);
                    if *held == 0 {
                        level.remove(&key);
                    }
                }
            }
        }
        if let Some((held, _)) = self.sources.get_mut(&key) {
            *held = held.saturating_sub(amount);
            if *held == 0 {
                self.sources.remove(&key);
            }
        }
    }

    /// What the network of one who holds something has, compared with what that of one who wants
    /// `amount` would have. If it is more, the former has to give way; if it is less, never. They
    /// are compared as the widest networks that are not the same; equal if all are.
    #[must_use]
    pub fn compare(&self, holder: IpAddr, wants: IpAddr, amount: u32) -> Ordering {
        let differ = networks(holder).iter().zip(networks(wants)).position(|(a, b)| *a != b);
        let Some(level) = differ else { return Ordering::Equal };
        let held = |addr| self.of(addr).get(level).copied().unwrap_or_default();
        held(holder).cmp(&held(wants).saturating_add(amount))
    }

    /// Who of these makes place for a newcomer who would hold one: somebody of the network that holds most, and more than
    /// that of the newcomer then would. Of several the one with the least key, and of these the first.
    pub fn gives_way<Id, Key: Ord>(
        &self,
        newcomer: IpAddr,
        all: impl Iterator<Item = (Id, IpAddr, Key)>,
    ) -> Option<Id> {
        let larger = all.filter(|(_, at, _)| self.compare(*at, newcomer, 1) == Ordering::Greater);
        let keyed = larger.map(|(id, at, key)| (id, (Reverse(self.of(at)), key)));
        keyed.min_by(|(_, one), (_, other)| one.cmp(other)).map(|(id, _)| id)
    }

    /// How many sources have some.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sources.len()
    }

    /// Whether nobody has any.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty() && self.wider.iter().all(Map::is_empty)
    }
}

/// How much one has for whom turns are counted, of what his networks have: a /56 counts as two
/// sources, a /48 as four. So who has 65,536 networks of /64 has four turns, and neighbours in one
/// /48 who do not ask for much have their own.
#[must_use]
pub fn weight([widest, wide, own]: [u32; LEVELS]) -> u32 {
    own.max(wide / 2).max(widest / 4)
}

/// Which networks two addresses have in common, the widest first.
#[must_use]
pub fn common(one: IpAddr, other: IpAddr) -> [bool; LEVELS] {
    let (one, other) = (networks(one), networks(other));
    std::array::from_fn(|level| one.get(level) == other.get(level))
}

/// The networks that an address is in, the widest first, each as its first 64 bits. An IPv4
/// address stands for the /48 that belongs to it in 6to4 (RFC 3056).
fn networks(addr: IpAddr) -> [u64; LEVELS] {
    match addr {
        IpAddr::V4(v4) => [0x2002 << 48 | u64::from(v4.to_bits()) << 16; LEVELS],
        IpAddr::V6(v6) => {
            let half = (v6.to_bits() >> 64) as u64;
            [half & !0xFFFF, half & !0xFF, half]
        }
    }
}

/// The keys of what each source has, the oldest first. There are many sources, so one with a single key takes no more than
/// that.
#[derive(Debug, Serialize, Deserialize)]
#[serde(bound(serialize = "K: Serialize", deserialize = "K: Deserialize<'de>"))]
pub struct KeysBySource<K> {
    /// Of sources with one.
    one: Map<u64, K>,
    /// Of sources with more.
    more: Map<u64, Vec<K>>,
}

impl<K> Default for KeysBySource<K> {
    fn default() -> Self {
        Self { one: Map::default(), more: Map::default() }
    }
}

impl<K: PartialEq> KeysBySource<K> {
    /// What the source with this address has.
    #[must_use]
    pub fn of(&self, addr: IpAddr) -> &[K] {
        let [.., source] = networks(addr);
        let one = self.one.get(&source).map(std::slice::from_ref);
        one.or_else(|| self.more.get(&source).map(Vec::as_slice)).unwrap_or_default()
    }

    /// One more, as the newest.
    pub fn add(&mut self, addr: IpAddr, key: K) {
        let [.., source] = networks(addr);
        if let Some(keys) = self.more.get_mut(&source) {
            keys.push(key);
        } else if let Some(first) = self.one.remove(&source) {
            self.more.insert(source, vec![first, key]);
        } else {
            self.one.insert(source, key);
        }
    }

    /// One less.
    pub fn remove(&mut self, addr: IpAddr, key: &K) {
        let [.., source] = networks(addr);
        if self.one.get(&source) == Some(key) {
            self.one.remove(&source);
        }
        let Some(keys) = self.more.get_mut(&source) else { return };
        keys.retain(|other| other != key);
        if keys.len() < 2 {
            self.one.extend(keys.pop().map(|last| (source, last)));
            self.more.remove(&source);
        }
    }

    /// Whether nobody has any.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.one.is_empty() && self.more.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_network_is_one_source() {
        let a: IpAddr = "2001:db8:1:2:3::4".parse().unwrap();
        let b: IpAddr = "2001:db8:1:2:ffff::".parse().unwrap();
        let c: IpAddr = "2001:db8:1:3::".parse().unwrap();
        assert_eq!(network(a), network(b));
        assert_ne!(network(a), network(c));
        let mut counts = Counts::default();
        let mut keys = KeysBySource::default();
        for (n, addr) in [a, b, c].into_iter().enumerate() {
            counts.add(addr);
            keys.add(addr, n);
        }
        assert_eq!((counts.of(a), counts.of(c)), (2, 1));
        assert_eq!((keys.of(b), keys.of(c)), (&[0, 1][..], &[2][..]));
        for (n, addr) in [(0, a), (2, b), (2, c)] {
            keys.remove(addr, &n);
        }
        assert_eq!((keys.of(a), keys.of(c)), (&[1][..], &[][..]));
        keys.add(b, 3);
        keys.add(b, 4);
        assert_eq!(keys.of(a), [1, 3, 4]);
        [1, 4, 3].iter().for_each(|n| keys.remove(a, n));
        assert!(keys.is_empty());
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_home_may_be_wider_than_a_source() {
        let of = |addr| homes(ip(addr)).map(|(network, times)| (network.to_string(), times));
        let own = |text: &str, times| (text.to_owned(), times);
        let four = [own("203.0.113.7", 1), own("203.0.113.0", 4), own("203.0.113.0", 4)];
        assert_eq!(of("203.0.113.7"), four);
        let six = [own("2001:db8:0:12f::", 1), own("2001:db8:0:100::", 2), own("2001:db8::", 4)];
        assert_eq!(of("2001:db8:0:12f::9"), six);
    }

    #[test]
    fn the_widest_networks_that_differ_are_compared() {
        let mut shares = Shares::<()>::default();
        for n in 0..8 {
            shares.add(ip(&format!("2001:db8:0:{n:x}::1")), 10);
        }
        shares.add(ip("2001:db8:0:100::1"), 15);
        shares.add(ip("203.0.113.7"), 20);
        let compare = |holder, wants, amount| shares.compare(ip(holder), ip(wants), amount);
        assert_eq!(shares.of(ip("2001:db8:0:1::2")), [95, 80, 10]);
        assert_eq!(shares.of(ip("203.0.113.7")), [20; 3]);
        assert_eq!(shares.of(ip("203.0.113.8")), [0; 3]);
        // The /48 against an address of IPv4.
        assert_eq!(compare("2001:db8:0:1::2", "203.0.113.7", 1), Ordering::Greater);
        assert_eq!(compare("203.0.113.7", "2001:db8:0:1::2", 1), Ordering::Less);
        assert_eq!(compare("203.0.113.7", "203.0.113.8", 20), Ordering::Equal);
        // The /56 that has 80 against the one that has 15, whatever their /64 have.
        assert_eq!(compare("2001:db8:0:1::2", "2001:db8:0:100::", 1), Ordering::Greater);
        assert_eq!(compare("2001:db8:0:1::2", "2001:db8:0:2::", 1), Ordering::Less);
        assert_eq!(compare("2001:db8:0:1::2", "2001:db8:0:8::", 9), Ordering::Greater);
        assert_eq!(compare("2001:db8:0:1::2", "2001:db8:0:1::3", 1), Ordering::Equal);
        // The one with most of all is found by what they have.
        let most = ["203.0.113.7", "2001:db8:0:100::1", "2001:db8:0:5::1"].map(ip);
        assert_eq!(most.iter().max_by_key(|addr| shares.of(**addr)), Some(&most[2]));
    }

    #[test]
    fn a_wide_network_counts_as_a_few_sources() {
        let mut shares = Shares::<()>::default();
        (0..40).for_each(|n| _ = shares.add(ip(&format!("2001:db8:0:{n:x}::1")), 1));
        (0..10).for_each(|_| _ = shares.add(ip("203.0.113.7"), 1));
        let of = |addr| weight(shares.of(ip(addr)));
        // It is a /56 as well.
        assert_eq!((of("2001:db8:0:1::1"), of("2001:db8:0:41::1")), (20, 20));
        assert_eq!((of("2001:db8:0:101::1"), of("2001:db8:1::1")), (10, 0));
        assert_eq!((of("203.0.113.7"), of("203.0.113.8")), (10, 0));
        let common = |a, b| common(ip(a), ip(b));
        assert_eq!(common("2001:db8:0:1::1", "2001:db8:0:2::1"), [true, true, false]);
        assert_eq!(common("2001:db8:0:1::1", "2001:db8:0:102::1"), [true, false, false]);
        assert_eq!(common("203.0.113.7", "203.0.113.8"), [false; 3]);
        assert_eq!(common("203.0.113.7", "203.0.113.7"), [true; 3]);
    }

    #[test]
    fn no_share_is_left_of_who_has_nothing() {
        let mut shares = Shares::<()>::default();
        for addr in ["2001:db8::1", "203.0.113.7"].map(ip) {
            shares.add(addr, 3);
            shares.add(addr, 4);
            shares.remove(addr, 3);
            assert_eq!(shares.of(addr), [4; 3]);
            shares.remove(addr, 5);
            shares.remove(addr, 1);
            assert!(shares.is_empty());
        }
    }

    #[test]
    fn nothing_is_left_of_who_has_nothing() {
        let addr = IpAddr::from([203, 0, 113, 7]);
        let mut counts = Counts::default();
        let mut keys = KeysBySource::default();
        counts.add(addr);
        keys.add(addr, 'a');
        assert!(!counts.is_empty() && !keys.is_empty());
        keys.remove(addr, &'b');
        assert_eq!(keys.of(addr), ['a']);
        counts.remove(addr);
        counts.remove(addr);
        keys.remove(addr, &'a');
        assert!(counts.is_empty() && keys.is_empty());
        assert_eq!((counts.of(addr), keys.of(addr).len()), (0, 0));
    }
}
