//! Which rooms lists have, and in which order; and private ones by their codes.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Bound;

use serde::{Deserialize, Serialize};

use super::remote::Seen;
use super::{Room, Table};
use crate::clock::Instant;
use crate::dialect::by_family::ByFamily;
use crate::dialect::rooms::field::Id;
use crate::hash::Map;
use crate::limits;
use crate::lobby::code::Code;
use crate::prefixes::{Shares, weight};
use crate::timers::Timers;

/// Rooms in the order of lists: those whose hosts have IPv4, and the others.
pub(super) type Listed = ByFamily<BTreeMap<Rank, Id>>;

/// The place of a room in lists, those that come first being the least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Rank {
    /// Its host has not shown a key, so it may be forged.
    pub(super) may_be_forged: bool,
    /// How many rooms like this one its source had in lists when it came there. So who opens many
    /// rooms at a few addresses stands before others with a few of them.
    pub(super) turn: u32,
    /// Of these the newest first: it counts rooms.
    pub(super) number: Reverse<u64>,
}

impl Rank {
    /// That of a room that is in no list yet.
    pub(super) const fn new(number: u64) -> Self {
        Self { may_be_forged: true, turn: 0, number: Reverse(number) }
    }
}

/// How many rooms each source has in lists. Forged ones are counted apart, as they would take the turns
/// of others at that address.
#[derive(Debug, Default)]
pub(super) struct Turns {
    shown: Shares,
    others: Shares,
}

impl Turns {
    const fn of(&mut self, rank: Rank) -> &mut Shares {
        if rank.may_be_forged { &mut self.others } else { &mut self.shown }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.shown.is_empty() && self.others.is_empty()
    }
}

/// Where rooms stood that have been closed a while ago, for those who have read so far. Forged ones push
/// out none whose host has shown a key.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::dialect::rooms) struct Closed {
    shown: Timers<Id, Rank>,
    others: Timers<Id, Rank>,
}

impl Default for Closed {
    fn default() -> Self {
        let [shown, others] = [(); 2].map(|()| Timers::new(limits::PARTED));
        Self { shown, others }
    }
}

impl Closed {
    /// Goes on with the rooms that have closed in another process.
    pub(super) fn restore(&mut self, saved: Self) {
        self.shown.restore(saved.shown);
        self.others.restore(saved.others);
    }

    pub(super) fn note(&mut self, now: Instant, id: Id, rank: Rank) {
        let all = if rank.may_be_forged { &mut self.others } else { &mut self.shown };
        if all.len() >= limits::CLOSED_ROOMS {
            all.take();
        }
        all.arm_with(now, id, rank);
    }

    fn rank(&self, id: Id) -> Option<Rank> {
        self.shown.get(&id).or_else(|| self.others.get(&id)).copied()
    }

    pub(super) fn next_wakeup(&self) -> Option<Instant> {
        self.shown.next().into_iter().chain(self.others.next()).min()
    }

    /// Forgets what was long ago.
    pub(super) fn forget(&mut self, now: Instant) {
        for all in [&mut self.shown, &mut self.others] {
            while all.take_due(now).is_some() {}
        }
    }

    #[cfg(test)]
    pub(in crate::dialect::rooms) fn is_empty(&self) -> bool {
        self.shown.is_empty() && self.others.is_empty()
    }
}

impl Table {
    /// The private room with this code.
    pub(in crate::dialect::rooms) fn by_code(&self, code: Code) -> Option<Id> {
        self.codes.get(&code).copied()
    }

    /// Rooms of a game that stand behind this one in lists, or behind where it stood if it was closed a
    /// while ago; `None` for all. Nothing if it is unknown. First those whose host has shown a key, of
    /// these the first of each source, then the second, and so on, and of those the newest first.
    /// Only those that somebody at this address can join, all if `of_both_families`. Those of
    /// other nodes stand among those of this one, as old as this one knows them.
    pub(in crate::dialect::rooms) fn listed_after(
        &self,
        game: &str,
        after: Option<Id>,
        reader: IpAddr,
        of_both_families: bool,
    ) -> Option<impl Iterator<Item = Seen<'_>> + use<'_>> {
        let start = match after.map(|id| (id, self.rooms.get(&id))) {
            Some((_, Some(room))) => Bound::Excluded((*room.game == *game).then_some(room.rank)?),
            Some((id, None)) => Bound::Excluded(match self.rank_elsewhere(id, game) {
                Some(rank) => rank?,
                None => self.closed.rank(id)?,
            }),
            None => Bound::Unbounded,
        };
        let listed = self.listed.get(game).map(|listed| listed.both_from(reader)).into_iter();
        let behind = (start, Bound::Unbounded);
        let near = listed.clone().flat_map(move |[near, _]| near.range(behind));
        let far = listed.filter(move |_| of_both_families);
        let far = far.flat_map(move |[_, far]| far.range(behind));
        let mut near = near.peekable();
        let mut far = far.peekable();
        let ids = std::iter::from_fn(move || {
            let is_near = match (near.peek(), far.peek()) {
                (Some((near, _)), Some((far, _))) => near < far,
                (near, _) => near.is_some(),
            };
            if is_near { near.next() } else { far.next() }
        });
        Some(ids.filter_map(|(_, id)| self.seen(*id)))
    }

    /// Puts a room where lists find it, if they are to have it, and nowhere else. It has the turn that its
    /// source has now.
    pub(in crate::dialect::rooms) fn list(&mut self, id: Id) {
        self.changed(id);
        self.unlist(id);
        let Some(room) = self.rooms.get_mut(&id).filter(|room| room.is_listed()) else { return };
        let Some(host) = self.peers.get(&room.host) else { return };
        let addr = host.endpoint.ip();
        room.listed_by = Some(addr);
        let Room { game, rank, .. } = &mut **room;
        put_in((&mut self.listed, &mut self.turns), (game, id), (rank, None), addr);
    }

    /// No list has a room any more.
    /// A room that comes from another process stands where it stood there.
    pub(super) fn list_again(&mut self, id: Id) {
        let Some(room) = self.rooms.get(&id) else { return };
        let Some(addr) = room.listed_by else { return };
        let (mut rank, kept) = (room.rank, Some(room.rank.turn));
        put_in((&mut self.listed, &mut self.turns), (&room.game, id), (&mut rank, kept), addr);
    }

    pub(super) fn unlist(&mut self, id: Id) {
        if let Some(room) = self.rooms.get_mut(&id) {
            forget(&mut self.listed, &mut self.turns, room);
        }
    }

    /// Changes the code of a room; `None` makes it public.
    pub(in crate::dialect::rooms) fn set_code(&mut self, id: Id, code: Option<Code>) {
        let Some(room) = self.rooms.get_mut(&id) else { return };
        if let Some(before) = std::mem::replace(&mut room.code, code) {
            self.codes.remove(&before);
        }
        if let Some(code) = code {
            self.codes.insert(code, id);
        }
        self.list(id);
    }

    /// The host of a room has shown a key.
    pub(super) fn show(&mut self, id: Id) {
        self.list_as(id, false);
    }

    /// Puts a room among those whose hosts have shown a key where they are, or among the others.
    pub(super) fn list_as(&mut self, id: Id, may_be_forged: bool) {
        self.unlist(id);
        if let Some(room) = self.rooms.get_mut(&id) {
            room.rank.may_be_forged = may_be_forged;
        }
        self.list(id);
    }
}

/// No list has this room any more.
pub(super) fn forget(listed: &mut Map<Box<str>, Listed>, turns: &mut Turns, room: &mut Room) {
    if let Some(addr) = room.listed_by.take() {
        take_out((listed, turns), &room.game, room.rank, addr);
    }
}

/// Puts a room into the lists of its game, with the turn that its source has now, or one that it had before.
pub(super) fn put_in(
    (listed, turns): (&mut Map<Box<str>, Listed>, &mut Turns),
    (game, id): (&str, Id),
    (rank, turn): (&mut Rank, Option<u32>),
    addr: IpAddr,
) {
    let turns = turns.of(*rank);
    rank.turn = turn.unwrap_or_else(|| weight(turns.of(addr)));
    turns.add(addr, 1);
    if !listed.contains_key(game) {
        listed.insert(game.into(), Listed::default());
    }
    if let Some(listed) = listed.get_mut(game) {
        listed.of_mut(addr).insert(*rank, id);
    }
}

/// Takes a room out of them.
pub(super) fn take_out(
    (listed, turns): (&mut Map<Box<str>, Listed>, &mut Turns),
    game: &str,
    rank: Rank,
    addr: IpAddr,
) {
    turns.of(rank).remove(addr, 1);
    let Some(rooms) = listed.get_mut(game) else { return };
    rooms.of_mut(addr).remove(&rank);
    if rooms.both().iter().all(|rooms| rooms.is_empty()) {
        listed.remove(game);
    }
}
