//! How many bytes of commands are kept because they are not finished, or must wait; and who has most
//! of them. Nearly always that is nobody.

use std::net::IpAddr;

use crate::dialect::ConnId;
use crate::hash::Map;
use crate::prefixes::{Shares, network};

/// What is unfinished, by source.
#[derive(Debug, Default)]
pub(super) struct Unfinished {
    by_source: Map<IpAddr, Map<ConnId, usize>>,
    shares: Shares,
    bytes: usize,
}

impl Unfinished {
    /// Bytes of all connections.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// A connection from this address has so many bytes now.
    pub(super) fn count(&mut self, addr: IpAddr, conn: ConnId, bytes: usize) {
        let source = network(addr);
        if bytes == 0 && !self.by_source.contains_key(&source) {
            return;
        }
        let held = self.by_source.entry(source).or_default();
        let before = match bytes {
            0 => held.remove(&conn),
            _ => held.insert(conn, bytes),
        };
        if held.is_empty() {
            self.by_source.remove(&source);
        }
        let before = before.unwrap_or(0);
        self.bytes = self.bytes - before + bytes;
        // No connection has four gigabytes.
        let count = |bytes| u32::try_from(bytes).unwrap_or(u32::MAX);
        self.shares.remove(source, count(before));
        if bytes > 0 {
            self.shares.add(source, count(bytes));
        }
    }

    /// The connection that has most, of those of the source that has most in the network that has (IPv6:
    /// the /48, the /56, the /64). Takes a look at every source that has something.
    pub(super) fn largest(&self) -> Option<ConnId> {
        let (_, held) = self.by_source.iter().max_by_key(|(source, _)| self.shares.of(**source))?;
        held.iter().max_by_key(|(_, bytes)| **bytes).map(|(conn, _)| *conn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conn(slot: u32) -> ConnId {
        ConnId { slot, generation: 0 }
    }

    #[test]
    fn who_has_most_is_found_and_nothing_is_left_of_who_has_nothing() {
        let (one, other) = (IpAddr::from([203, 0, 113, 1]), IpAddr::from([203, 0, 113, 2]));
        let mut unfinished = Unfinished::default();
        assert_eq!(unfinished.largest(), None);
        unfinished.count(one, conn(1), 100);
        for n in 2..6 {
            unfinished.count(other, conn(n), 20 + n as usize);
        }
        assert_eq!((unfinished.bytes(), unfinished.largest()), (194, Some(conn(1))));
        unfinished.count(other, conn(4), 54);
        assert_eq!((unfinished.bytes(), unfinished.largest()), (224, Some(conn(4))));
        unfinished.count(other, conn(4), 0);
        unfinished.count(other, conn(4), 0);
        assert_eq!((unfinished.bytes(), unfinished.largest()), (170, Some(conn(1))));
        for n in 1..6 {
            unfinished.count(if n == 1 { one } else { other }, conn(n), 0);
        }
        assert!(unfinished.bytes() == 0 && unfinished.by_source.is_empty());
        assert!(unfinished.shares.is_empty());
    }

    #[test]
    fn many_networks_of_one_site_have_more_than_one_address() {
        let mut unfinished = Unfinished::default();
        unfinished.count(IpAddr::from([203, 0, 113, 1]), conn(1000), 100);
        for n in 0..20 {
            let addr = (0x2001_0db8_u128 << 96) + (u128::from(n) << 64);
            unfinished.count(IpAddr::from(addr.to_be_bytes()), conn(n), 10);
        }
        assert!(unfinished.largest().is_some_and(|id| id != conn(1000)));
    }
}
