//! Who gives way when a room has no place left: one who shares an address or a network with most others in it.

use std::net::IpAddr;

use super::{Context, Events, Room};
use crate::dialect::ConnId;
use crate::dialect::events::event::Fault;
use crate::limits;
use crate::prefixes::Shares;

/// Why somebody is told to have left who was in the way.
const GAVE_WAY: &str = "gave_way";

impl Events {
    /// Makes place in a room for one who may come in.
    pub(super) fn make_place(
        &mut self,
        cx: &mut Context<'_>,
        id: ConnId,
        (game, wanted): (&str, u64),
    ) -> Result<(), Fault> {
        let (Some(room), Some(conn)) = (self.rooms.get(game, wanted), self.conns.get(id)) else {
            return Ok(());
        };
        let count = room.members.len();
        if !room.access.is_full(count) {
            return Ok(());
        }
        let full = || Fault::new("full", "the room is full");
        let last = self.largest_in(room, conn.addr.ip()).ok_or_else(full)?;
        // All are told that the one has left and the other has come.
        self.charge(cx.now, id, count);
        self.leave(last, GAVE_WAY, cx.out);
        Ok(())
    }

    /// Who makes place in a full room for a newcomer from this address: the last who came of those whose network has
    /// most in it. Never its host, nobody of those who have as few in it as the newcomer would, and nobody if its host has
    /// said how many may be in it: these are the places of a game.
    fn largest_in(&self, room: &Room, newcomer: IpAddr) -> Option<ConnId> {
        let has_own_size = room.access.size() < limits::ROOM_PLAYERS;
        // The host may have made it smaller, and who goes is no place then.
        if has_own_size || room.members.len() > room.access.size() {
            return None;
        }
        let addr = |id: ConnId| self.conns.get(id).map(|conn| conn.addr.ip());
        let members = room.members.iter().skip(1).rev();
        let members = members.filter_map(|seat| Some((seat.conn, addr(seat.conn)?)));
        let mut shares = Shares::<()>::default();
        members.clone().for_each(|(_, addr)| _ = shares.add(addr, 1));
        shares.gives_way(newcomer, members.map(|(id, addr)| (id, addr, ())))
    }
}
