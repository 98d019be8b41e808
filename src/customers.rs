//! Whose address it is, as far as one can know, and how much of something each customer has.

use std::net::{IpAddr, Ipv6Addr};

use smallvec::SmallVec;

use crate::hash::Map;

/// The customer that has this address: an IPv6 customer has a /64 (RFC 6177) and may use every
/// address in it.
#[must_use]
pub fn network(addr: IpAddr) -> IpAddr {
    match addr {
        IpAddr::V4(_) => addr,
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

/// How many of something each customer has.
#[derive(Debug, Default)]
pub struct Counts(Map<IpAddr, u32>);

impl Counts {
    /// How many the customer with this address has.
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
        let customer = network(addr);
        if let Some(count) = self.0.get_mut(&customer) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(&customer);
            }
        }
    }

    /// Whether nobody has any.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What each customer has, the oldest first.
#[derive(Debug)]
pub struct Possessions<K>(Map<IpAddr, SmallVec<[K; 1]>>);

impl<K> Default for Possessions<K> {
    fn default() -> Self {
        Self(Map::default())
    }
}

impl<K: PartialEq> Possessions<K> {
    /// What the customer with this address has.
    #[must_use]
    pub fn of(&self, addr: IpAddr) -> &[K] {
        self.0.get(&network(addr)).map_or(&[], SmallVec::as_slice)
    }

    /// One more, as the newest.
    pub fn add(&mut self, addr: IpAddr, key: K) {
        self.0.entry(network(addr)).or_default().push(key);
    }

    /// One less.
    pub fn remove(&mut self, addr: IpAddr, key: &K) {
        let customer = network(addr);
        if let Some(keys) = self.0.get_mut(&customer) {
            keys.retain(|other| other != key);
            if keys.is_empty() {
                self.0.remove(&customer);
            }
        }
    }

    /// Whether nobody has any.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_network_is_one_customer() {
        let a: IpAddr = "2001:db8:1:2:3::4".parse().unwrap();
        let b: IpAddr = "2001:db8:1:2:ffff::".parse().unwrap();
        let c: IpAddr = "2001:db8:1:3::".parse().unwrap();
        assert_eq!(network(a), network(b));
        assert_ne!(network(a), network(c));
        let mut counts = Counts::default();
        let mut possessions = Possessions::default();
        for (n, addr) in [a, b, c].into_iter().enumerate() {
            counts.add(addr);
            possessions.add(addr, n);
        }
        assert_eq!((counts.of(a), counts.of(c)), (2, 1));
        assert_eq!((possessions.of(b), possessions.of(c)), (&[0, 1][..], &[2][..]));
    }

    #[test]
    fn nothing_is_left_of_who_has_nothing() {
        let addr = IpAddr::from([203, 0, 113, 7]);
        let mut counts = Counts::default();
        let mut possessions = Possessions::default();
        counts.add(addr);
        possessions.add(addr, 'a');
        assert!(!counts.is_empty() && !possessions.is_empty());
        possessions.remove(addr, &'b');
        assert_eq!(possessions.of(addr), ['a']);
        counts.remove(addr);
        counts.remove(addr);
        possessions.remove(addr, &'a');
        assert!(counts.is_empty() && possessions.is_empty());
        assert_eq!((counts.of(addr), possessions.of(addr).len()), (0, 0));
    }
}
