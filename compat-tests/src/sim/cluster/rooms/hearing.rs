//! What players are told, what they make of it, and what they must never be told.

use std::net::SocketAddr;
use std::time::Duration;

use super::super::stage::Stage;
use super::Cast;
use super::book::Room;
use super::player::{Asking, Place};
use crate::rooms::message::Message;

/// How long the NAT of a player lets in what comes from where it has sent something.
const MAPPING: Duration = Duration::from_secs(30);

impl Cast {
    /// A player was told something.
    pub(super) fn told(
        &mut self,
        stage: &mut Stage,
        n: usize,
        (node, to): (usize, SocketAddr),
        bytes: &[u8],
    ) -> Result<(), String> {
        let message = Message::read(bytes).ok_or("it is no message")?;
        self.note_newcomer(&message)?;
        self.check_whose(n, &message)?;
        let Some(player) = self.players.get(n) else { return Ok(()) };
        let spoke = player.spoke.get(node).copied().flatten();
        // Its NAT lets nobody in to whom it has sent nothing, and what comes to where it was is lost.
        let is_open = spoke.is_some_and(|spoke| stage.now.since(spoke) < MAPPING);
        if is_open && to == player.at() {
            self.take_notice(n, &message);
            self.take_answer(stage, n, node, message)?;
        }
        Ok(())
    }

    /// A player may be told of another one before that one knows its own ID.
    fn note_newcomer(&mut self, message: &Message) -> Result<(), String> {
        let Message::Comes(id, at) = message else { return Ok(()) };
        let id = id.to_string();
        if self.book.ids.contains_key(&id) {
            return Ok(());
        }
        let other = self.players.iter().position(|other| other.is_at(*at));
        self.book.own(other.ok_or("nobody is there")?, &id, None)
    }

    /// Whether what is told is of a room that the player was in.
    fn check_whose(&self, n: usize, message: &Message) -> Result<(), String> {
        let Some(player) = self.players.get(n) else { return Ok(()) };
        let of_peer = |id: &str, at: Option<SocketAddr>| {
            // One whose answer is lost was told to nobody before.
            let Some((other, room)) = self.book.ids.get(id) else { return Ok(()) };
            let other = self.players.get(*other).ok_or("nobody has that ID")?;
            if room.as_ref().is_some_and(|room| !player.rooms.contains(room)) {
                return Err("that one was in no room with it");
            }
            if at.is_some_and(|at| !other.is_at(at)) {
                return Err("that one was never there");
            }
            Ok(())
        };
        let of_room = |room: &str| match player.rooms.contains(room) {
            true => Ok(()),
            false => Err("it was never in that room"),
        };
        match message {
            Message::Comes(id, at) | Message::Moved(id, at) | Message::NewHost(id, at) => {
                of_peer(&id.to_string(), Some(*at))
            }
            Message::Gone(id) | Message::Promoted(id) => of_peer(&id.to_string(), None),
            Message::Closed(room) | Message::Kicked(room) | Message::Left(room) => {
                of_room(&room.to_string())
            }
            // Who opens a room where it has one renames that.
            Message::Named(name) => {
                let by = self.book.names.get(name).and_then(|by| self.players.get(*by));
                match by.is_some_and(|by| !by.rooms.is_disjoint(&player.rooms)) {
                    true => Ok(()),
                    false => Err("who has given that name was in no room with it"),
                }
            }
            // Its host may not know yet that it is one.
            Message::Joined(room, _, at) => {
                let room = room.to_string();
                let members = self
                    .book
                    .ids
                    .values()
                    .filter(|(_, of)| of.as_ref().is_none_or(|of| *of == room));
                let mut members = members.filter_map(|(n, _)| self.players.get(*n));
                match members.any(|member| member.is_at(*at)) {
                    true => Ok(()),
                    false => Err("nobody of that room was ever there"),
                }
            }
            _ => Ok(()),
        }
        .map_err(Into::into)
    }

    fn take_notice(&mut self, n: usize, message: &Message) {
        let host = self.host_seen_by(n);
        let Some(player) = self.players.get_mut(n) else { return };
        let Some(place) = &mut player.place else { return };
        match message {
            Message::Comes(id, at) => _ = player.clients.insert(id.to_string(), *at),
            Message::Moved(id, at) if place.is_host => {
                player.clients.insert(id.to_string(), *at);
            }
            // In a mesh it may be another client.
            Message::Moved(id, at) => {
                let other = self.book.ids.get(&id.to_string()).map(|(other, _)| *other);
                if other.is_some() && other == host {
                    place.host_at = Some(*at);
                }
            }
            Message::Gone(id) => _ = player.clients.remove(&id.to_string()),
            Message::Promoted(id) if id.to_string() == place.id => {
                place.is_host = true;
            }
            Message::NewHost(_, at) => place.host_at = Some(*at),
            Message::Closed(room) | Message::Kicked(room) if room.to_string() == place.room => {
                self.lose_place(n);
            }
            _ => {}
        }
    }

    /// The host of the room that a player is in.
    fn host_seen_by(&self, n: usize) -> Option<usize> {
        self.host_of(&self.players.get(n)?.place.as_ref()?.room)
    }

    /// A player is in no room any more, as far as it knows.
    fn lose_place(&mut self, n: usize) {
        if let Some(player) = self.players.get_mut(n) {
            player.place = None;
            player.clients.clear();
            player.looks_for_place = 0;
        }
    }

    fn take_answer(
        &mut self,
        stage: &mut Stage,
        n: usize,
        node: usize,
        message: Message,
    ) -> Result<(), String> {
        let Some(player) = self.players.get_mut(n) else { return Ok(()) };
        let Some(asking) = &mut player.asking else { return Ok(()) };
        let verb = asking.verb().to_owned();
        let is_for_place = matches!(&*verb, "rh" | "jr" | "qj" | "rc");
        match message {
            Message::Hosting(room, code) if is_for_place => {
                asking.room = Some((room.to_string(), None));
                player.rooms.insert(room.to_string());
                let asking = asking.clone();
                let code = code.map(|code| code.to_string());
                self.note_room(stage, node, &room.to_string(), code, &asking);
            }
            Message::Joined(room, _, at) if is_for_place => {
                asking.room = Some((room.to_string(), Some(at)));
                player.rooms.insert(room.to_string());
            }
            Message::Own(id, key) if is_for_place => {
                asking.own = Some((id.to_string(), format!("{:032x}", key.0)));
            }
            Message::Refused(of, reason) if of == verb => {
                let text = asking.text.clone();
                player.asking = None;
                self.refused(stage, n, &text, &reason);
            }
            Message::Alive if verb == "ka" => player.asking = None,
            Message::Noted(_) if verb == "pc" => player.asking = None,
            Message::Kicks if verb == "kc" => player.asking = None,
            Message::Named(_) if verb == "rn" => player.asking = None,
            Message::Left(_) if verb == "lr" => self.has_left(n),
            Message::Closed(room) if verb == "cr" => {
                if let Some(room) = self.book.rooms.get_mut(&room.to_string()) {
                    room.ended.get_or_insert(stage.now);
                }
                self.has_left(n);
            }
            _ => {}
        }
        self.take_place(stage, n)
    }

    fn has_left(&mut self, n: usize) {
        self.lose_place(n);
        if let Some(player) = self.players.get_mut(n) {
            player.asking = None;
        }
    }

    /// A room is there that a player has opened, or is host of.
    fn note_room(
        &mut self,
        stage: &Stage,
        node: usize,
        id: &str,
        code: Option<String>,
        asking: &Asking,
    ) {
        if !asking.opens() {
            return;
        }
        // Which node it is at is known of what is answered at once.
        if asking.sent != stage.now {
            self.is_unsure = true;
            return;
        }
        self.lists.opened(stage.now, id.to_owned(), node);
        let fields = asking.text.split(':').skip(2);
        let room = self.book.rooms.entry(id.to_owned()).or_insert_with(|| Room {
            node,
            password: fields
                .clone()
                .find_map(|field| field.strip_prefix("password="))
                .map(Into::into),
            migrates: fields.clone().any(|field| field == "migrate"),
            ..Room::default()
        });
        room.code = code;
    }

    /// Both answers have come: the player has a place, and shows its key if that is a new one.
    fn take_place(&mut self, stage: &mut Stage, n: usize) -> Result<(), String> {
        let Some(player) = self.players.get_mut(n) else { return Ok(()) };
        let Some(asking) = &player.asking else { return Ok(()) };
        let (Some((room, host_at)), Some((id, key))) = (&asking.room, &asking.own) else {
            return Ok(());
        };
        let place = Place {
            room: room.clone(),
            id: id.clone(),
            key: key.clone(),
            is_host: host_at.is_none(),
            host_at: *host_at,
        };
        let shown = format!("rc:{id}:{key}");
        let is_shown = asking.text == shown;
        self.book.own(n, &place.id, Some(&place.room))?;
        let is_same = player.place.as_ref().is_some_and(|before| before.id == place.id);
        if !is_same {
            player.clients.clear();
        }
        player.place = Some(place);
        player.asking = None;
        player.looks_for_place = 0;
        if !is_shown {
            self.ask(stage, n, shown);
        }
        Ok(())
    }

    /// A request was refused.
    fn refused(&mut self, stage: &mut Stage, n: usize, text: &str, reason: &str) {
        let Some(player) = self.players.get_mut(n) else { return };
        let Some(place) = player.place.clone() else { return };
        let verb = text.split(':').next().unwrap_or_default();
        let returns = format!("rc:{}:{}", place.id, place.key);
        match (verb, reason) {
            // Its place is not known where it asks: it shows its key, then it asks for its room.
            ("ka" | "pc" | "kc" | "rn" | "lr" | "cr", "noroom" | "badkey") => {
                self.ask(stage, n, returns);
            }
            ("rc", "noroom") if player.looks_for_place == 0 => {
                player.looks_for_place = 1;
                let again = self.joining_again(&place);
                self.ask(stage, n, again);
            }
            // It is host there.
            ("jr", "badrequest") if player.looks_for_place == 1 => {
                player.looks_for_place = 2;
                self.ask(stage, n, returns);
            }
            ("rc" | "jr", _) | (_, "kicked") => self.lose_place(n),
            _ => {}
        }
    }
}
