//! Which hosts are listed, and what other nodes have to be told of them.

use std::net::IpAddr;

use smallvec::SmallVec;

use super::{HostKey, Hosts};
use crate::clock::Instant;
#[cfg(doc)]
use crate::limits::Limits;

impl Hosts {
    /// Decides anew which hosts of an address are listed, after something about them has changed.
    /// An address has few, [`Limits::hosts_per_address`] at most, here as in all that walks over
    /// them.
    pub(super) fn relist(&mut self, now: Instant, addr: IpAddr) {
        self.note_inside(addr);
        self.note_change(addr);
        let keys = SmallVec::<[HostKey; 4]>::from_slice(self.by_addr.get(addr));
        let is_anybody_elsewhere = !self.elsewhere.is_empty();
        let mut rest = keys.as_slice();
        while let [key, newer @ ..] = rest {
            rest = newer;
            let listed = self.get(*key).is_some_and(|host| {
                let mut newer = newer.iter().filter_map(|key| self.get(*key));
                host.is_visible()
                    && !newer.any(|newer| newer.shadows(now, host))
                    && !(is_anybody_elsewhere
                        && self.elsewhere.hides(host, self.public(*key, host)))
            });
            if listed {
                self.list(*key)
            } else {
                self.unlist(*key)
            }
            if let Some(host) = self.slab.get_mut(key.0.get()) {
                host.settled |= listed && !newer.is_empty();
            }
        }
        self.relist_elsewhere(addr);
    }

    /// Other nodes have to be told what is there now.
    pub(super) fn note_change(&mut self, addr: IpAddr) {
        let Some(news) = &mut self.news else { return };
        let hosts = self.by_addr.get(addr).iter().filter_map(|key| self.slab.get(key.0.get()));
        for host in hosts {
            if news.last() != Some(&host.conn) {
                news.push(host.conn);
            }
        }
    }

    pub(super) fn list(&mut self, key: HostKey) {
        if let Some(host) = self.slab.get_mut(key.0.get())
            && !host.listed
        {
            host.listed = true;
            self.index.insert(host, key);
        }
    }

    pub(super) fn unlist(&mut self, key: HostKey) {
        if let Some(host) = self.slab.get_mut(key.0.get())
            && host.listed
        {
            host.listed = false;
            self.index.remove(host, key);
        }
    }
}
