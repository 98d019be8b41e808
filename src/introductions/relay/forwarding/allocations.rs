//! The sessions of the thread, by who sends to which port.

use std::hash::BuildHasher as _;
use std::net::IpAddr;

use hashbrown::HashTable;
use serde::{Deserialize, Serialize};
use slab::Slab;

use super::{Allocation, Leg, Shares};
use crate::hash::Keyed;

/// So much more room is made at a time: to double it would leave half of it empty.
const MORE: usize = 128;

/// One side of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sender {
    /// The place of the session.
    pub(super) at: u32,
    pub(super) is_second: bool,
}

/// The sessions, each at its place.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Allocations {
    #[serde(with = "crate::state::slab")]
    all: Slab<Allocation>,
    /// Twice the place of a session, plus one for the second side. Whose it is stands in `all` alone.
    #[serde(skip)]
    by_sender: HashTable<u32>,
    #[serde(skip)]
    shares: Shares,
    #[serde(skip)]
    keyed: Keyed,
}

impl Allocations {
    /// Goes on with the sessions of another process.
    pub(super) fn restore(&mut self, saved: Self) {
        self.all = saved.all;
        let Self { all, by_sender, shares, keyed } = self;
        for leg in all.iter_mut().flat_map(|(_, allocation)| &mut allocation.sides) {
            leg.share = shares.join(keyed, leg.addr);
        }
        let hash = |at: &u32| leg(all, *at).map_or(0, |leg| leg.hash(keyed));
        for (place, _) in all.iter() {
            let first = 2 * place as u32;
            for at in [first, first + 1] {
                by_sender.insert_unique(hash(&at), at, hash);
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(super) fn get(&self, at: u32) -> Option<&Allocation> {
        self.all.get(at as usize)
    }

    /// With the shares of all.
    pub(super) fn get_mut(&mut self, at: u32) -> Option<(&mut Allocation, &mut Shares)> {
        Some((self.all.get_mut(at as usize)?, &mut self.shares))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Allocation)> {
        self.all.iter().map(|(at, allocation)| (at as u32, allocation))
    }

    /// Who sends to this port of the pool from this address.
    pub(super) fn sender(&self, pool_port: u16, addr: IpAddr) -> Option<Sender> {
        let Self { all, by_sender, keyed, .. } = self;
        let is_it = |at: &u32| leg(all, *at).is_some_and(|leg| leg.is(pool_port, addr));
        let at = *by_sender.find(keyed.hash_one((pool_port, addr)), is_it)?;
        Some(Sender { at: at / 2, is_second: at % 2 == 1 })
    }

    pub(super) fn insert(&mut self, mut allocation: Allocation) {
        let Self { all, by_sender, shares, keyed } = self;
        for leg in &mut allocation.sides {
            leg.share = shares.join(keyed, leg.addr);
        }
        if all.len() == all.capacity() {
            all.reserve_exact(MORE);
        }
        // There are a few thousand at most.
        let place = 2 * all.insert(allocation) as u32;
        let hash = |at: &u32| leg(all, *at).map_or(0, |leg| leg.hash(keyed));
        for at in [place, place + 1] {
            by_sender.insert_unique(hash(&at), at, hash);
        }
    }

    pub(super) fn remove(&mut self, at: u32) -> Option<Allocation> {
        let Self { all, by_sender, shares, keyed } = self;
        for sender in [2 * at, 2 * at + 1] {
            let hash = leg(all, sender)?.hash(keyed);
            if let Ok(found) = by_sender.find_entry(hash, |found| *found == sender) {
                found.remove();
            }
        }
        let removed = all.try_remove(at as usize)?;
        removed.sides.iter().for_each(|leg| shares.leave(leg.share));
        Some(removed)
    }
}

/// The side of a session that this entry is for.
fn leg(all: &Slab<Allocation>, at: u32) -> Option<&Leg> {
    let [first, second] = &all.get((at / 2) as usize)?.sides;
    Some(if at.is_multiple_of(2) { first } else { second })
}

impl Leg {
    fn is(&self, pool_port: u16, addr: IpAddr) -> bool {
        self.pool_port == pool_port && self.addr == addr
    }

    fn hash(&self, keyed: &Keyed) -> u64 {
        keyed.hash_one((self.pool_port, self.addr))
    }
}
