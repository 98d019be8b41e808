//! `qj`: any room that fits.

use super::message::Reason;
use super::options::Options;
use super::{Id, Rooms, Turn, filter};
use crate::limits;

impl Rooms {
    /// `qj`: the sender joins one of the first rooms of lists that has a place for it and no password. Who is in a
    /// room of this game is told of that one again.
    pub(super) fn join_any(
        &mut self,
        turn: &mut Turn<'_, '_>,
        options: &Options,
    ) -> Result<(), Reason> {
        let game = turn.game(options);
        let place = self.table.peer_at(turn.from);
        if place.is_some_and(|peer| peer.is_host && peer.proved) {
            return Err(Reason::BadRequest);
        }
        let room = place.filter(|peer| !peer.is_host).and_then(|peer| self.table.room(peer.room));
        if let Some(id) = room.filter(|room| room.game == game).map(|room| room.id) {
            return self.join_room(turn, id, &game, options);
        }
        let mut last = Reason::NoRoom;
        for room in self.fitting(turn, &game, options)? {
            match self.join_room(turn, room, &game, options) {
                Err(reason @ (Reason::Busy | Reason::Full | Reason::Family)) => last = reason,
                other => return other,
            }
        }
        Err(last)
    }

    /// Rooms that somebody may get into, those first that lists have first.
    fn fitting(
        &self,
        turn: &Turn<'_, '_>,
        game: &str,
        options: &Options,
    ) -> Result<Vec<Id>, Reason> {
        let mut filter = filter(options)?;
        filter.is_free = true;
        let of_both_families = turn.cx.shared.relay.joins_families();
        let rooms = self.table.listed_after(game, None, turn.from.ip(), of_both_families);
        let rooms = rooms.into_iter().flatten().take(limits::ROOMS_LOOKED_AT).filter(|room| {
            filter.fits(|key| room.data.get(key), room.is_free())
                && !room.door.has_password()
                && !self.is_barred(room.id, turn.from)
        });
        Ok(rooms.map(|room| room.id).take(limits::ROOMS_TRIED).collect())
    }
}
