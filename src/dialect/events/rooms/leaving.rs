//! How peers leave a room, of themselves or not, and what becomes of it then.

use std::borrow::Cow;
use std::sync::Arc;

use log::info;
use serde_json::json;

use super::own::{Own, mark_of_peer};
use super::{DISCONNECTED, Events, Outbox, Room, Seat, named_room, no_such_room, written};
use crate::dialect::ConnId;
use crate::dialect::events::data::Data;
use crate::dialect::events::event::{Event, Fault, Nothing};
use crate::lobby::access::Ban;
use crate::lobby::names::clean;
use crate::prefixes::network;

impl Events {
    pub(in crate::dialect::events) fn delete_room(
        &mut self,
        id: ConnId,
        event: &Event<'_>,
        out: &mut Outbox,
    ) -> Result<(), Fault> {
        let wanted = named_room(event)?;
        let game = self.game_of(id);
        let room = self.rooms.get(&game, wanted).ok_or_else(no_such_room)?;
        if !room.is_host(id) {
            return Err(Fault::new("not_host", "only its host can delete a room"));
        }
        self.answer(id, event, &Nothing {}, out);
        self.dissolve(&game, wanted, ("room_deleted", true), out);
        Ok(())
    }

    pub(in crate::dialect::events) fn leave_room(
        &mut self,
        id: ConnId,
        event: &Event<'_>,
        out: &mut Outbox,
    ) -> Result<(), Fault> {
        self.room_of(id)?;
        self.answer(id, event, &Nothing {}, out);
        self.leave(id, "left", out);
        Ok(())
    }

    pub(in crate::dialect::events) fn kick(
        &mut self,
        id: ConnId,
        event: &Event<'_>,
        out: &mut Outbox,
    ) -> Result<(), Fault> {
        let wanted: Cow<'_, str> = Data::of(event)?.needed("id")?;
        let (game, number, _) = self.own_room(id, "kick")?;
        let room = self.rooms.get(&game, number).ok_or_else(no_such_room)?;
        let kicked = self
            .names
            .get(&game, &wanted)
            .filter(|kicked| *kicked != id && room.members.iter().any(|seat| seat.conn == *kicked));
        let kicked =
            kicked.ok_or_else(|| Fault::new("no_such_peer", "there is no such other player"))?;
        let addr = |id| self.conns.get(id).map(|conn| conn.addr);
        if let (Some(at), Some(own), Some(peer)) = (addr(kicked), addr(id), self.peer(kicked)) {
            let id = mark_of_peer(&peer.id);
            // Who is at the host's own address shares it with the host.
            let with_neighbours = network(at.ip()) != network(own.ip());
            let ban = Ban::Player { id, at, with_neighbours };
            let rooms = self.rooms.games.get_mut(&game);
            if let Some(room) = rooms.and_then(|rooms| rooms.get_mut(&number)) {
                let size = room.own.as_ref().map_or(0, Own::size);
                self.rooms.extras.ban((&mut room.extra, size), &mut room.access, ban, false);
            }
        }
        self.log_kick(kicked, &game, number);
        self.answer(id, event, &Nothing {}, out);
        self.leave(kicked, "kicked", out);
        Ok(())
    }

    fn log_kick(&mut self, kicked: ConnId, game: &Arc<str>, number: u64) {
        let Some(addr) = self.conns.get(kicked).map(|conn| conn.addr) else { return };
        if !self.lines.says_now(addr.ip()) {
            return;
        }
        let id = self.peer(kicked).map_or("", |peer| &peer.id);
        let name = self.room_name(game, number).unwrap_or_default();
        info!(
            dialect = "events", event = "gone", address:% = addr, room = name;
            "{id:?} ({addr}) was kicked from the room {} {name:?}", written(number)
        );
    }

    /// Lets somebody in again who was kicked.
    pub(in crate::dialect::events) fn let_in(
        &mut self,
        id: ConnId,
        event: &Event<'_>,
        out: &mut Outbox,
    ) -> Result<(), Fault> {
        let wanted: Cow<'_, str> = Data::of(event)?.needed("id")?;
        let (game, number, room) = self.own_room(id, "let somebody in")?;
        room.access.let_in_id(&mark_of_peer(&clean(&wanted)));
        self.rooms.count_extra(&game, number);
        self.answer(id, event, &Nothing {}, out);
        Ok(())
    }

    /// Takes a peer out of its room, if it is in one, and tells everybody. Without its host there
    /// is no room, unless it is handed on.
    pub(in crate::dialect::events) fn leave(&mut self, id: ConnId, reason: &str, out: &mut Outbox) {
        self.leave_told(id, (reason, reason != DISCONNECTED), out);
    }

    /// The same of one who knows already that it is not in it.
    pub(in crate::dialect::events) fn leave_untold(&mut self, id: ConnId, out: &mut Outbox) {
        self.leave_told(id, ("left", false), out);
    }

    fn leave_told(&mut self, id: ConnId, (reason, is_told): (&str, bool), out: &mut Outbox) {
        let Ok((game, number)) = self.room_of(id) else { return };
        let Some(room) = self.rooms.get_mut(&game, number) else { return };
        let is_host = room.is_host(id);
        if is_host && (!room.is_handed_on || room.members.len() < 2) {
            return self.dissolve(&game, number, (reason, is_told), out);
        }
        room.members.retain(|seat| seat.conn != id);
        // Many rooms may have been large once.
        room.members.shrink_to(2 * room.members.len());
        room.links.remove(id);
        let others = room.others(id);
        self.rooms.note_change(&game, number);
        let Some(peer) = self.peer(id) else { return };
        let data = json!({ "room": written(number), "id": &*peer.id, "reason": reason });
        if is_told {
            self.tell(id, "self_left", &data, out);
        }
        self.set_room(id, None, out);
        for other in &others {
            self.tell(*other, "player_left", &data, out);
        }
        if is_host {
            self.hand_on(&game, number, out);
        }
    }

    /// Makes the one host of a room who has been there longest, and tells all.
    fn hand_on(&mut self, game: &Arc<str>, number: u64, out: &mut Outbox) {
        let Some(room) = self.rooms.get_mut(game, number) else { return };
        let Some(host) = room.host() else { return };
        Self::link(&mut self.random, room);
        let all: Vec<ConnId> = room.members.iter().map(|seat| seat.conn).collect();
        let made_by = self.conns.get(host).map_or(room.made_by, |conn| conn.addr.ip());
        let code = room.code.map(|code| code.to_string());
        let before = std::mem::replace(&mut room.made_by, made_by);
        self.rooms.made.remove(before);
        self.rooms.made.add(made_by);
        let id = self.peer(host).map(|peer| Arc::clone(&peer.id)).unwrap_or_default();
        let data = json!({ "room": written(number), "id": &*id });
        for member in all {
            match code.as_ref().filter(|_| member == host) {
                Some(code) => {
                    let data = json!({ "room": written(number), "id": &*id, "code": code });
                    self.tell(member, "host_changed", &data, out);
                }
                None => self.tell(member, "host_changed", &data, out),
            }
        }
        // Later, as that takes more than is at hand where connections end.
        self.introduce_later(host, true);
    }

    /// Ends a room: why its host leaves, and whether it is told so.
    fn dissolve(
        &mut self,
        game: &Arc<str>,
        number: u64,
        (reason, is_told): (&str, bool),
        out: &mut Outbox,
    ) {
        let Some(Room { members, .. }) = self.rooms.remove(game, number) else { return };
        let deleted = json!({ "room": written(number) });
        for (n, Seat { conn, .. }) in members.iter().enumerate() {
            let Some(peer) = self.peer(*conn) else { continue };
            let is_host = n == 0;
            let reason = if is_host { reason } else { "room_deleted" };
            let left = json!({ "room": written(number), "id": &*peer.id, "reason": reason });
            if !is_host {
                self.tell(*conn, "room_deleted", &deleted, out);
            }
            if !is_host || is_told {
                self.tell(*conn, "self_left", &left, out);
            }
            self.set_room(*conn, None, out);
        }
    }
}
