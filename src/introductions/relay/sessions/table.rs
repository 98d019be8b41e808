//! The sessions by their places, and in the order of addresses.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};
use slab::Slab;

use super::Entry;
use crate::introductions::relay::Side;

/// So much more room is made at a time: to double it would leave half of it empty.
const MORE: usize = 128;

/// The sessions, and whose packets at which port of the pool belong to which of them.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Table {
    /// Each at the place that its number names.
    #[serde(with = "crate::state::slab")]
    all: Slab<Entry>,
    /// The sides of all but those that have given way: twice the place, plus one for the host. In the
    /// order of addresses and ports, so that what a network has stands together. Where they are stands in
    /// `all` alone: there are a few thousand at most, so to move half of this costs less than a tree does.
    #[serde(skip)]
    by_side: Vec<u32>,
}

impl Table {
    /// Goes on with the sessions of another process, but for those that are not where their number says.
    pub(super) fn restore(&mut self, saved: Self, place_of: impl Fn(&Entry) -> u32) {
        self.all = saved.all;
        self.all.retain(|place, entry| place_of(entry) as usize == place);
        let theirs = self.all.iter().filter(|(_, entry)| !entry.has_given_way);
        let sides = theirs.flat_map(|(place, entry)| {
            let of_place = 2 * place as u32;
            (of_place..).zip(entry.sides)
        });
        let mut sides: Vec<_> = sides.map(|(at, side)| (side, at)).collect();
        sides.sort_unstable();
        self.by_side = sides.into_iter().map(|(_, at)| at).collect();
    }

    /// How many there are, with those that have given way.
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// How many have not given way.
    pub(super) fn count(&self) -> usize {
        self.by_side.len() / 2
    }

    /// Greater than the place of any.
    pub(super) fn places(&self) -> usize {
        self.all.capacity()
    }

    pub(super) fn get(&self, place: u32) -> Option<&Entry> {
        self.all.get(place as usize)
    }

    /// Its sides may not be changed.
    pub(super) fn get_mut(&mut self, place: u32) -> Option<&mut Entry> {
        self.all.get_mut(place as usize)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Entry)> + Clone {
        self.all.iter().map(|(place, entry)| (place as u32, entry))
    }

    /// All in the order of addresses, twice each.
    pub(super) fn sides(&self) -> impl Iterator<Item = (u32, Side)> {
        self.by_side.iter().filter_map(|at| Some((at / 2, self.side(*at)?)))
    }

    /// Those with a side at one of these addresses, in their order.
    pub(super) fn sides_at(
        &self,
        here: RangeInclusive<IpAddr>,
    ) -> impl Iterator<Item = (u32, Side)> {
        let first = self.first_from(Side { addr: *here.start(), port: 0 });
        let sides = self.by_side.get(first..).unwrap_or_default();
        let sides = sides.iter().filter_map(|at| Some((at / 2, self.side(*at)?)));
        sides.take_while(move |(_, side)| side.addr <= *here.end())
    }

    /// The place of the next one.
    pub(super) fn next_place(&mut self) -> u32 {
        if self.all.len() == self.all.capacity() {
            self.all.reserve_exact(MORE);
        }
        self.all.vacant_key() as u32
    }

    /// Adds one, at [`Self::next_place`].
    pub(super) fn insert(&mut self, entry: Entry) {
        let place = self.next_place();
        let sides = entry.sides;
        self.all.insert(entry);
        for (n, side) in (0..).zip(sides) {
            self.by_side.insert(self.first_from(side), 2 * place + n);
        }
    }

    /// Its ports may be given out again.
    pub(super) fn free_ports(&mut self, place: u32) {
        let Some(entry) = self.all.get_mut(place as usize) else { return };
        if std::mem::replace(&mut entry.has_given_way, true) {
            return;
        }
        for side in entry.sides {
            let at = self.first_from(side);
            // Nobody else has this port at this address.
            if self.by_side.get(at).is_some_and(|found| found / 2 == place) {
                self.by_side.remove(at);
            }
        }
    }

    pub(super) fn remove(&mut self, place: u32) -> Option<Entry> {
        let has_given_way = self.get(place)?.has_given_way;
        self.free_ports(place);
        let entry = self.all.try_remove(place as usize)?;
        Some(Entry { has_given_way, ..entry })
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    fn side(&self, at: u32) -> Option<Side> {
        let [client, host] = self.get(at / 2)?.sides;
        Some(if at.is_multiple_of(2) { client } else { host })
    }

    /// Where in the order this one stands, or would.
    fn first_from(&self, side: Side) -> usize {
        self.by_side.partition_point(|at| self.side(*at) < Some(side))
    }
}
