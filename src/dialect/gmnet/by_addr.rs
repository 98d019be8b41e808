//! Which hosts an address has. Most have one, and there are many addresses, so one takes no more
//! than its key, and an address no more than its family needs.

use std::net::IpAddr;

use super::slot::HostKey;
use crate::hash::Map;

/// The hosts of each address, the oldest first.
#[derive(Debug, Default)]
pub(super) struct ByAddr {
    /// IPv4 addresses with one host.
    one_v4: Map<u32, HostKey>,
    /// The same of IPv6.
    one_v6: Map<u128, HostKey>,
    /// Addresses with more.
    more: Map<IpAddr, Vec<HostKey>>,
}

impl ByAddr {
    /// The hosts of an address.
    pub(super) fn get(&self, addr: IpAddr) -> &[HostKey] {
        let one = match addr {
            IpAddr::V4(v4) => self.one_v4.get(&v4.to_bits()),
            IpAddr::V6(v6) => self.one_v6.get(&v6.to_bits()),
        };
        match one {
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
        match self.set_one(addr, Some(key)) {
            None => 1,
            Some(one) => {
                self.set_one(addr, None);
                self.more.insert(addr, vec![one, key]);
                2
            }
        }
    }

    /// One less.
    pub(super) fn remove(&mut self, addr: IpAddr, key: HostKey) {
        let Some(keys) = self.more.get_mut(&addr) else {
            if self.get(addr) == [key] {
                self.set_one(addr, None);
            }
            return;
        };
        keys.retain(|other| *other != key);
        if let [last] = keys[..] {
            self.more.remove(&addr);
            self.set_one(addr, Some(last));
        }
    }

    /// The only host of an address is this one from now on, or none. Returns which it was.
    fn set_one(&mut self, addr: IpAddr, key: Option<HostKey>) -> Option<HostKey> {
        match (addr, key) {
            (IpAddr::V4(v4), Some(key)) => self.one_v4.insert(v4.to_bits(), key),
            (IpAddr::V4(v4), None) => self.one_v4.remove(&v4.to_bits()),
            (IpAddr::V6(v6), Some(key)) => self.one_v6.insert(v6.to_bits(), key),
            (IpAddr::V6(v6), None) => self.one_v6.remove(&v6.to_bits()),
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
