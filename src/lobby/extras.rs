//! What rooms have beyond what each may have whatever others have: own data and who was kicked. That is
//! counted for who opened the room, and bounded for each source, for the networks around it (a /24 of IPv4, a /56 and
//! a /48), and for all together.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::access::{Access, Ban};
use crate::limits;
use crate::prefixes::{Shares, as_home, network, weight};

/// Who was kicked takes so many bytes, as tables grow by doubling.
const KICKED: usize = 96;

/// What the rooms of all have beyond that. Most rooms have nothing that is counted.
#[derive(Debug, Default)]
pub struct Extras {
    shares: Shares,
    all: usize,
}

/// What one room has beyond that.
#[derive(Debug, Serialize, Deserialize)]
pub struct Extra {
    source: IpAddr,
    bytes: usize,
}

impl Extra {
    /// Nothing yet, of a room that somebody at this address opens. It stays counted for him if the room
    /// gets another host.
    #[must_use]
    pub fn of(addr: IpAddr) -> Self {
        Self { source: network(as_home(addr)), bytes: 0 }
    }
}

impl Extras {
    /// A room comes from another process with what it has.
    pub(crate) fn take_over(&mut self, extra: &Extra) {
        if extra.bytes > 0 {
            self.all = self.all.saturating_add(extra.bytes);
            self.shares.add(extra.source, u32::try_from(extra.bytes).unwrap_or(u32::MAX));
        }
    }

    /// Whether a new room of this address may have so many bytes of own data.
    #[must_use]
    pub fn has_space(&self, addr: IpAddr, data: usize) -> bool {
        self.fits(&Extra::of(addr), excess(data, 0))
    }

    /// A room is to have so many bytes of own data and so many who were kicked. False: there is no space
    /// for that much, and nothing is changed. There always is for less than it has.
    #[must_use]
    pub fn set(&mut self, extra: &mut Extra, data: usize, kicked: usize) -> bool {
        let bytes = excess(data, kicked);
        let may_be = self.fits(extra, bytes);
        if may_be && bytes != extra.bytes {
            self.all = self.all - extra.bytes + bytes;
            // No room has four gigabytes.
            let count = |bytes| u32::try_from(bytes).unwrap_or(u32::MAX);
            self.shares.remove(extra.source, count(extra.bytes));
            if bytes > 0 {
                self.shares.add(extra.source, count(bytes));
            }
            extra.bytes = bytes;
        }
        may_be
    }

    /// Keeps somebody out of a room with so many bytes of own data. Where there is no space for one more,
    /// another is [forgotten](Access::ban). Who `may_be_forged` has what every room may have.
    pub fn ban<I: PartialEq>(
        &mut self,
        (extra, data): (&mut Extra, usize),
        access: &mut Access<I>,
        ban: Ban<I>,
        may_be_forged: bool,
    ) {
        let kicked = access.kicked();
        let more = (kicked + 1).min(limits::KICKED_PER_ROOM);
        let has_space =
            !(may_be_forged && more > limits::ROOM_KICKED) && self.set(extra, data, more);
        access.ban(ban, if has_space { more } else { kicked.max(limits::ROOM_KICKED) });
        // It may have been barred before.
        let _ = self.set(extra, data, access.kicked());
    }

    /// A room is gone.
    pub fn remove(&mut self, extra: &mut Extra) {
        let _ = self.set(extra, 0, 0);
    }

    fn fits(&self, extra: &Extra, bytes: usize) -> bool {
        let more = bytes.saturating_sub(extra.bytes);
        let share = self.shares.of(extra.source).map(|held| held.saturating_add(more as u32));
        more == 0
            || self.all + more <= limits::ROOM_EXTRAS
                && weight(share) as usize <= limits::ROOM_EXTRAS_PER_ADDRESS
    }

    /// Whether nobody has any.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all == 0 && self.shares.is_empty()
    }
}

/// Bytes beyond what every room may have.
const fn excess(data: usize, kicked: usize) -> usize {
    data.saturating_sub(limits::ROOM_OWN_DATA) + kicked.saturating_sub(limits::ROOM_KICKED) * KICKED
}

#[cfg(test)]
mod tests {
    use super::*;

    const MUCH: usize = limits::OWN_DATA;

    /// Each is alone in its /24.
    fn ip(n: usize) -> IpAddr {
        IpAddr::from(((n as u32) << 8).to_be_bytes())
    }

    /// Rooms with as much data as there is space for.
    fn fill(extras: &mut Extras, addrs: impl Iterator<Item = IpAddr>) -> Vec<Extra> {
        addrs
            .map_while(|addr| {
                let mut extra = Extra::of(addr);
                extras.set(&mut extra, MUCH, 0).then_some(extra)
            })
            .collect()
    }

    #[test]
    fn one_source_has_a_share_and_others_have_theirs() {
        let mut extras = Extras::default();
        let near = |n: u128| IpAddr::from((0x2001_0db8_u128 << 96 | n).to_be_bytes());
        let all = fill(&mut extras, (0..).map(near));
        assert_eq!(all.len(), limits::ROOM_EXTRAS_PER_ADDRESS / (MUCH - limits::ROOM_OWN_DATA));
        assert!(!extras.has_space(near(7), MUCH) && extras.has_space(ip(1), MUCH));
        assert!(extras.has_space(near(7), limits::ROOM_OWN_DATA), "what every room may have");
        all.into_iter().for_each(|mut extra| extras.remove(&mut extra));
        assert!(extras.is_empty());
    }

    #[test]
    fn many_networks_of_one_site_have_four_shares() {
        let mut extras = Extras::default();
        let site = |n: u128| IpAddr::from(((0x2001_0db8_u128 << 96) + (n << 64)).to_be_bytes());
        let all = fill(&mut extras, (0..60_000).step_by(97).map(site));
        let share = limits::ROOM_EXTRAS_PER_ADDRESS;
        assert!(extras.all <= 4 * share && extras.all > 4 * share - MUCH, "{}", extras.all);
        assert!(extras.has_space(ip(1), MUCH));
        let of_one = fill(&mut extras, (0..=255).map(|n| IpAddr::from([203, 0, 113, n])));
        assert!(extras.all <= 8 * share && extras.all > 8 * share - 2 * MUCH, "{}", extras.all);
        of_one.into_iter().for_each(|mut extra| extras.remove(&mut extra));
        all.into_iter().for_each(|mut extra| extras.remove(&mut extra));
        assert!(extras.is_empty());
    }

    #[test]
    fn all_together_have_no_more_than_there_is() {
        let mut extras = Extras::default();
        let mut all = fill(&mut extras, (0..).map(ip));
        assert!(extras.all <= limits::ROOM_EXTRAS && extras.all > limits::ROOM_EXTRAS - MUCH);
        let mut last = Extra::of(ip(usize::MAX));
        assert!(extras.set(&mut last, limits::ROOM_OWN_DATA, limits::ROOM_KICKED));
        assert!(!extras.set(&mut last, MUCH, 0) && last.bytes == 0);
        // Less is always possible, and what one gives up another may have.
        assert!(extras.set(&mut all[0], 100, 0) && extras.set(&mut last, MUCH, 0));
        all.into_iter().chain([last]).for_each(|mut extra| extras.remove(&mut extra));
        assert!(extras.is_empty());
    }

    #[test]
    fn where_there_is_no_space_the_oldest_who_was_kicked_is_forgotten() {
        let mut extras = Extras::default();
        let at = |n: usize| Ban::<u64>::everybody_at(ip(n));
        let (mut access, mut extra) = (Access::new(8), Extra::of(ip(1)));
        for n in 0..100 {
            extras.ban((&mut extra, 0), &mut access, at(n), false);
        }
        let more = limits::KICKED_PER_ROOM - limits::ROOM_KICKED;
        assert_eq!((access.kicked(), extra.bytes), (limits::KICKED_PER_ROOM, more * KICKED));
        let others = fill(&mut extras, std::iter::repeat(ip(1)));
        let (mut small, mut extra_of_small) = (Access::new(8), Extra::of(ip(1)));
        for n in 0..100 {
            extras.ban((&mut extra_of_small, 0), &mut small, at(n), false);
        }
        assert!((limits::ROOM_KICKED..limits::ROOM_KICKED + 8).contains(&small.kicked()));
        assert!(small.has_ban(&at(99)) && !small.has_ban(&at(0)));
        // Who has many keeps as many, the latest.
        extras.ban((&mut extra, 0), &mut access, at(100), false);
        assert!(access.has_ban(&at(100)) && access.kicked() == limits::KICKED_PER_ROOM);
        others
            .into_iter()
            .chain([extra, extra_of_small])
            .for_each(|mut extra| extras.remove(&mut extra));
        assert!(extras.is_empty());
    }

    #[test]
    fn who_may_be_forged_kicks_no_more_than_every_room_may() {
        let (mut extras, mut access) = (Extras::default(), Access::<u64>::new(8));
        let mut extra = Extra::of(ip(1));
        for n in 0..100 {
            extras.ban((&mut extra, 0), &mut access, Ban::everybody_at(ip(n)), true);
        }
        assert_eq!((access.kicked(), extra.bytes), (limits::ROOM_KICKED, 0));
    }
}
