//! The hosts on the machine or in the network of the server, whom those outside know by one address
//! all together. There may be as many of them as there may be hosts.

use std::collections::BTreeMap;

use super::slot::HostKey;
use crate::hash::Map;

/// Those hosts, by a number that counts them in the order in which they registered.
#[derive(Debug, Default)]
pub(super) struct Inside {
    all: BTreeMap<u64, HostKey>,
    /// Those whose UDP port is known.
    known: BTreeMap<u64, HostKey>,
    /// The same for each port.
    at_port: BTreeMap<(u16, u64), HostKey>,
    /// The number and port of each.
    by_key: Map<HostKey, (u64, Option<u16>)>,
    /// How many there have been.
    count: u64,
}

impl Inside {
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// A host is there, with that port from now on.
    pub(super) fn set(&mut self, key: HostKey, port: Option<u16>) {
        let number = match self.by_key.get(&key) {
            Some((_, before)) if *before == port => return,
            Some((number, _)) => *number,
            None => {
                self.count += 1;
                self.count
            }
        };
        self.remove(key);
        self.by_key.insert(key, (number, port));
        self.all.insert(number, key);
        if let Some(port) = port {
            self.known.insert(number, key);
            self.at_port.insert((port, number), key);
        }
    }

    /// A host is there no more.
    pub(super) fn remove(&mut self, key: HostKey) {
        let Some((number, port)) = self.by_key.remove(&key) else { return };
        self.all.remove(&number);
        if let Some(port) = port {
            self.known.remove(&number);
            self.at_port.remove(&(port, number));
        }
    }

    /// The newest of those whose port is known, else the newest; or the newest with that port.
    pub(super) fn newest(&self, port: Option<u16>) -> Option<HostKey> {
        match port {
            Some(port) => {
                let here = self.at_port.range((port, 0)..=(port, u64::MAX));
                here.map(|(_, key)| *key).next_back()
            }
            None => {
                let last = self.known.last_key_value().or_else(|| self.all.last_key_value());
                last.map(|(_, key)| *key)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_finds_what_a_walk_over_all_would(
            steps in prop::collection::vec((0..4u8, 0..5u32, 0..3u16), 0..60),
        ) {
            let mut inside = Inside::default();
            let mut all: Vec<(HostKey, Option<u16>)> = Vec::new();
            for (step, key, port) in steps {
                let (key, port) = (HostKey::of_slot(key as usize), Some(port).filter(|port| *port != 0));
                let known = all.iter().position(|(other, _)| *other == key);
                match (step, known) {
                    (0, _) => {
                        all.retain(|(other, _)| *other != key);
                        inside.remove(key);
                    }
                    (_, Some(n)) => {
                        all[n].1 = port;
                        inside.set(key, port);
                    }
                    (_, None) => {
                        all.push((key, port));
                        inside.set(key, port);
                    }
                }
                for wanted in [None, Some(1), Some(2)] {
                    let meant = |(_, port): &&(HostKey, Option<u16>)| {
                        port.is_some() && (wanted.is_none() || *port == wanted)
                    };
                    let last = all.last().filter(|_| wanted.is_none());
                    let found = all.iter().rfind(meant).or(last).map(|(key, _)| *key);
                    prop_assert_eq!(inside.newest(wanted), found);
                }
                prop_assert_eq!(inside.len(), all.len());
            }
        }
    }
}
