//! `qj`: any room that fits.

use super::message::Reason;
use super::nodes::give_back;
use super::options::Options;
use super::{Id, Rooms, Turn, filter};
use crate::limits;
use crate::refusals::Reason as Refusal;

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
        if let Some((node, room)) = self.room_elsewhere(turn, options) {
            self.pass_on(turn, node, vec![room], None);
            return Ok(());
        }
        let mut last = Reason::NoRoom;
        let is_chosen = !turn.handed.rooms.is_empty();
        let (rooms, is_all) = match is_chosen {
            true => (std::mem::take(&mut turn.handed.rooms), true),
            false => self.fitting(turn, &game, options)?,
        };
        if !is_all {
            turn.bound = Refusal::Unproven;
            last = Reason::Busy;
        }
        for (n, room) in rooms.iter().copied().enumerate() {
            if let Some(node) = self.node_of(turn, room) {
                // It tries the others that it has.
                let rest = rooms.iter().skip(n).copied();
                let rest = rest.filter(|room| self.table.node_of(*room) == Some(node)).collect();
                self.pass_on(turn, node, rest, None);
                return Ok(());
            }
            match self.join_room(turn, room, &game, options) {
                Err(reason @ (Reason::Busy | Reason::Full | Reason::Family)) => last = reason,
                // Of a room of this node the one that has chosen it does not know that.
                Err(Reason::Kicked | Reason::Locked | Reason::NoRoom | Reason::BadKey) => {}
                other => return other,
            }
        }
        if is_chosen && last != Reason::Busy && give_back(turn, &rooms) {
            return Ok(());
        }
        Err(last)
    }

    /// Rooms that somebody may get into, those first that lists have first; and whether there was time to look
    /// for more, if these are none.
    fn fitting(
        &mut self,
        turn: &Turn<'_, '_>,
        game: &str,
        options: &Options,
    ) -> Result<(Vec<Id>, bool), Reason> {
        let mut filter = filter(options)?;
        filter.is_free = true;
        let (now, addr) = (turn.instant(), turn.from.ip());
        let look = self.looking.look(now, addr, self.back(turn).proved);
        let of_both_families = turn.cx.shared.relay.joins_families_anywhere(turn.cx.now);
        let rooms = self.table.listed_after(game, None, addr, of_both_families);
        let (mut fitting, mut looked_at) = (Vec::new(), 0);
        let tried = turn.handed.tried.as_ref().map_or(0, Vec::len);
        let most = limits::ROOMS_TRIED.saturating_sub(tried);
        for room in rooms.into_iter().flatten().take(look.most) {
            if fitting.len() >= most {
                break;
            }
            looked_at += 1;
            if filter.fits(|key| room.data.get(key), room.looks.is_free())
                && !room.looks.has_password
                && !self.is_barred(room.id, turn.from)
                && !turn.handed.has_tried(room.id)
            {
                fitting.push(room.id);
            }
        }
        self.looking.note(now, look, looked_at);
        let is_all = !look.is_short() || looked_at < look.most || !fitting.is_empty();
        Ok((fitting, is_all))
    }
}
