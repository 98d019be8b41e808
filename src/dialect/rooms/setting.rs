//! What the host of a room changes of it while it is open.

use std::net::IpAddr;

use super::list;
use super::message::{Answer, Reason};
use super::notices::Subject;
use super::options::Options;
use super::table::set_all;
use super::{Id, Rooms, Turn};
use crate::limits;
use crate::refusals::Reason as Refusal;

impl Rooms {
    /// `rn`: another name.
    pub(super) fn rename(&mut self, turn: &mut Turn<'_, '_>, name: String) -> Result<(), Reason> {
        let id = self.own_room(turn)?;
        if self.table.room(id).is_some_and(|room| !list::fits(&name, &room.data)) {
            return Err(Reason::BadRequest);
        }
        self.answer(turn, Answer::Named(&name));
        self.give_name(turn, id, name);
        Ok(())
    }

    /// `rh` of a host that has a room: it was started anew and knows nothing of that, or its request comes
    /// twice. A room that it does not have like that is refused; but it gets another name, unless others
    /// act in the host's name, or that is a late copy of its first request.
    pub(super) fn host_again(
        &mut self,
        turn: &mut Turn<'_, '_>,
        host: Id,
        name: &str,
        options: &Options,
    ) -> Result<(), Reason> {
        let peer = self.table.peer(host).ok_or(Reason::NoRoom)?;
        let room = self.table.room(peer.room).ok_or(Reason::NoRoom)?;
        let is_of_game = room.game == turn.game(options);
        let is_there = *peer.lan == *options.lan;
        let is_the_same = match peer.has_shown_key() {
            true => {
                (is_of_game || options.game.is_empty())
                    && (is_there || options.lan.is_empty())
                    && room.is_as(options)
            }
            // Others may have opened it, with what the sender does not say.
            false => is_of_game && is_there && room.is_opened_by(options),
        };
        if !is_the_same {
            return Err(Reason::BadRequest);
        }
        let (id, now) = (room.id, turn.instant());
        let is_late = room.renamed.is_some_and(|at| now - at < limits::LATE_COPY);
        let is_other = !name.is_empty() && !is_late && room.name != name;
        let may_be = list::fits(name, &room.data);
        if is_other && peer.signs {
            return Err(Reason::BadKey);
        }
        self.answer_place(turn, host);
        if is_other && may_be {
            self.give_name(turn, id, name.to_owned());
        }
        Ok(())
    }

    fn give_name(&mut self, turn: &mut Turn<'_, '_>, id: Id, name: String) {
        let now = turn.instant();
        let Some(room) = self.table.room_mut(id) else { return };
        if room.name == name {
            return;
        }
        (room.name, room.renamed) = (name, Some(now));
        for client in self.table.room(id).map_or(Vec::new(), |room| room.clients.clone()) {
            self.tell_name(turn, client);
        }
    }

    /// Tells a client what its room is called.
    pub(super) fn tell_name(&mut self, turn: &mut Turn<'_, '_>, client: Id) {
        let Some(client) = self.table.peer(client) else { return };
        if let Some(room) = self.table.room(client.room) {
            self.delivery.notify(turn.cx, client, Subject::Name, Answer::Named(&room.name));
        }
    }

    /// `rs`: all else. Nobody does that in the name of a host.
    pub(super) fn set(&mut self, turn: &mut Turn<'_, '_>, options: &Options) -> Result<(), Reason> {
        let id = self.own_room_signed(turn)?;
        let Some(room) = self.table.room(id) else { return Err(Reason::NoRoom) };
        let mut data = room.data.clone();
        let is_large = room.is_mesh && options.max.is_some_and(|max| max > limits::MESH_PLAYERS);
        if is_large || !set_all(&mut data, options) || !list::fits(&room.name, &data) {
            return Err(Reason::BadRequest);
        }
        let has_code = room.code.is_some();
        if !self.table.set_data(id, data) {
            turn.bound = Refusal::Data;
            return Err(Reason::Limit);
        }
        if let Some(room) = self.table.room_mut(id) {
            room.change(options);
        }
        match options.is_private {
            Some(true) if !has_code => {
                let code = self.fresh_code();
                self.table.set_code(id, Some(code));
            }
            Some(false) => self.table.set_code(id, None),
            _ => {}
        }
        let code = self.table.room(id).and_then(|room| room.code);
        self.answer(turn, Answer::Set(id, code));
        Ok(())
    }

    /// `li:id`: one who was kicked may come in again, and who else has his address.
    pub(super) fn let_in_id(&mut self, turn: &mut Turn<'_, '_>, who: Id) -> Result<(), Reason> {
        let id = self.own_room_signed(turn)?;
        self.table.let_in(id, |access| access.let_in_id(&who));
        self.answer(turn, Answer::LetInId(who));
        Ok(())
    }

    /// `li:ip`: all of an address may.
    pub(super) fn let_in_ip(&mut self, turn: &mut Turn<'_, '_>, ip: IpAddr) -> Result<(), Reason> {
        let id = self.own_room_signed(turn)?;
        self.table.let_in(id, |access| access.let_in(ip));
        self.answer(turn, Answer::LetInIp(ip));
        Ok(())
    }

    /// The room of a host that has shown its key with this very request.
    fn own_room_signed(&self, turn: &Turn<'_, '_>) -> Result<Id, Reason> {
        let id = self.own_room(turn)?;
        if turn.is_signed { Ok(id) } else { Err(Reason::BadKey) }
    }
}
