//! Which hosts an address has. Most have one, and there are many addresses, so one takes no more
//! than its key.

use std::collections::hash_map::Entry;
use std::net::IpAddr;

use super::hosts::HostKey;
use crate::hash::Map;

/// The hosts of each address, the oldest first.
#[derive(Debug, Default)]
pub(super) struct ByAddr {
    /// Addresses with one host.
    one: Map<IpAddr, HostKey>,
    /// Addresses with more.
    more: Map<IpAddr, Vec<HostKey>>,
}

impl ByAddr {
    /// The hosts of an address.
    pub(super) fn get(&self, addr: IpAddr) -> &[HostKey] {
        match self.one.get(&addr) {
            Some(key) => std::slice::from_ref(key),
            None => self.more.get(&addr).map_or(&[], Vec::as_slice),
        }
    }

    /// One more, as the newest; how many that are.
    pub(super) fn add(&mut self, addr: IpAddr, key: HostKey) -> usize {
        if let Some(keys) = self.more.get_mut(&addr) {
            keys.push(key);
            return keys.len();
        }
        match self.one.entry(addr) {
            Entry::Vacant(new) => {
                new.insert(key);
                1
            }
            Entry::Occupied(one) => {
                self.more.insert(addr, vec![one.remove(), key]);
                2
            }
        }
    }

    /// One less.
    pub(super) fn remove(&mut self, addr: IpAddr, key: HostKey) {
        let Some(keys) = self.more.get_mut(&addr) else {
            if self.one.get(&addr) == Some(&key) {
                self.one.remove(&addr);
            }
            return;
        };
        keys.retain(|other| *other != key);
        if let [last] = keys[..] {
            self.more.remove(&addr);
            self.one.insert(addr, last);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_holds_what_was_added_and_not_removed(
            steps in prop::collection::vec((any::<bool>(), 0..3u8, 0..6u32), 0..60),
        ) {
            let mut by_addr = ByAddr::default();
            let mut model = Vec::new();
            for (is_added, addr, key) in steps {
                let (addr, key) = (IpAddr::from([203, 0, 113, addr]), HostKey::of_slot(key as usize));
                if !is_added {
                    by_addr.remove(addr, key);
                    model.retain(|entry| *entry != (addr, key));
                } else if !model.contains(&(addr, key)) {
                    by_addr.add(addr, key);
                    model.push((addr, key));
                }
                let here: Vec<_> = model.iter().filter(|(a, _)| *a == addr).map(|e| e.1).collect();
                prop_assert_eq!(by_addr.get(addr), here);
                prop_assert!(by_addr.more.values().all(|keys| keys.len() > 1));
            }
        }
    }
}
