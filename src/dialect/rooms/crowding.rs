//! Where there is no place left, somebody has to go for a newcomer, or the newcomer has to wait.

use std::time::Duration;

use log::warn;

use super::leaving::Why;
use super::message::Reason;
use super::table::Peer;
use super::{Id, Rooms, Turn};
use crate::limits;
use crate::refusals::Reason as Refusal;

impl Rooms {
    /// Who has to go for a newcomer in this room, and who for one of its address; if it has shown
    /// its key, those who have not need no time for it.
    pub(super) fn in_the_way(
        &self,
        turn: &Turn<'_, '_>,
        room: Option<Id>,
        patience: Duration,
    ) -> Result<[Option<Id>; 2], Reason> {
        let in_room = match room {
            Some(room) => self.in_the_way_there(turn, room, patience)?,
            None => None,
        };
        let mut neighbour = None;
        if let Some(here) = self.crowd_here(turn, room.is_none()) {
            let mut last = self.table.eviction_candidate(turn.instant(), &here, patience);
            // Nobody who may be forged takes from another what is kept of it. Those who have shown no key here may
            // all have been put here by others, and are not missed by who has.
            if last.is_none() && patience.is_zero() {
                let neighbours = here.iter().filter_map(|id| self.table.peer(*id));
                let unsure = neighbours.filter(|peer| peer.is_kept || !peer.proved);
                let moved = |peer: &&Peer| !peer.is_kept && peer.came_by.is_some();
                last = unsure
                    .min_by_key(|peer| (!moved(peer), !peer.is_kept, peer.endpoint != turn.from))
                    .map(|peer| peer.id);
            }
            neighbour = Some(last.ok_or(Reason::Limit)?);
        }
        Ok([in_room, neighbour])
    }

    /// Who has to go for a peer that moves here from another network. Who may be forged as well makes no place:
    /// neither those who have moved and still have time, nor those whose places are kept.
    pub(super) fn in_the_way_of_mover(
        &self,
        turn: &mut Turn<'_, '_>,
        is_host: bool,
    ) -> Result<Option<Id>, Reason> {
        let Some(here) = self.crowd_here(turn, is_host) else { return Ok(None) };
        turn.bound = bound(is_host);
        let last = self.table.eviction_candidate(turn.instant(), &here, Duration::ZERO);
        last.ok_or(Reason::Limit).map(Some)
    }

    /// All hosts or clients of the address of the sender, if they are as many as it may have.
    fn crowd_here(&self, turn: &Turn<'_, '_>, is_host: bool) -> Option<Vec<Id>> {
        let limits = &self.config.limits;
        let most = if is_host { limits.hosts_per_address } else { limits.connections_per_address };
        let here = || {
            let neighbours = self.table.neighbours(turn.from.ip());
            neighbours.filter(|peer| peer.is_host == is_host).map(|peer| peer.id)
        };
        (here().count() >= most).then(|| here().collect())
    }

    /// Who has to go for a newcomer in this room.
    pub(super) fn in_the_way_there(
        &self,
        turn: &Turn<'_, '_>,
        room: Id,
        patience: Duration,
    ) -> Result<Option<Id>, Reason> {
        let room = self.table.room(room).ok_or(Reason::NoRoom)?;
        match room.places() {
            // Its host may have made it smaller, and who goes is no place then.
            None if room.is_full() => return Err(Reason::Full),
            None | Some(0) => {}
            Some(_) => return Ok(None),
        }
        let unproved = self.table.eviction_candidate(turn.instant(), &room.clients, patience);
        let largest = || self.table.largest_in(room, turn.from.ip());
        let last = if room.has_own_size() { unproved } else { unproved.or_else(largest) };
        last.ok_or(Reason::Full).map(Some)
    }

    /// Whether a newcomer is within bounds in this room, or as a host (`None`); makes place for it if
    /// somebody has to go.
    pub(super) fn make_place(
        &mut self,
        turn: &mut Turn<'_, '_>,
        room: Option<Id>,
        has_shown_key: bool,
    ) -> Result<(), Reason> {
        if self.stopping {
            return Err(Reason::Busy);
        }
        let patience = if has_shown_key { Duration::ZERO } else { limits::UNPROVED_PLACE };
        let in_the_way = self.in_the_way(turn, room, patience);
        if in_the_way.is_err() {
            turn.bound = bound(room.is_none());
        }
        let in_the_way = in_the_way?;
        if !self.places.allow_site(turn.instant(), turn.from.ip(), has_shown_key) {
            return Err(Reason::Limit);
        }
        for id in in_the_way.into_iter().flatten() {
            self.end(turn.cx, id, Why::Evicted);
        }
        if self.table.len() >= self.config.peers {
            if let Some(before) = self.full.say(turn.instant()) {
                warn!("all {} places in rooms are taken{before}", self.config.peers);
            }
            let unproved = self.table.longest_silent_unproved();
            let last = unproved.or_else(|| self.table.largest_of_all(turn.from.ip()));
            self.end(turn.cx, last.ok_or(Reason::Busy)?, Why::Evicted);
        }
        Ok(())
    }
}

/// Of what an address has as much as it may.
const fn bound(is_host: bool) -> Refusal {
    if is_host { Refusal::HostsOfAddress } else { Refusal::ConnectionsOfAddress }
}
