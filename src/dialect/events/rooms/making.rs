//! How a room comes to be, and what its host changes of it.

use std::sync::Arc;

use log::info;
use rand::RngExt as _;
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::own::Own;
use super::{Context, Events, Links, Room, Seat, no_such_room, written};
use crate::dialect::ConnId;
use crate::dialect::events::data::{Data, Label, Password, Whole, bad};
use crate::dialect::events::event::{Event, Fault};
use crate::introductions::plan::Wish;
use crate::limits;
use crate::lobby::access::Access;
use crate::lobby::code::Code;
use crate::lobby::extras::Extra;
use crate::refusals::Reason;

/// What can be said of a room at any time, and what only when it is made.
const ANY_TIME: [&str; 5] = ["name", "max_players", "data", "password", "locked"];
const AT_FIRST: [&str; 3] = ["private", "migrate", "mesh"];

/// What a host may say of its room, at any time.
struct Settings<'a> {
    max_players: Option<usize>,
    locked: Option<bool>,
    password: Option<Password<'a>>,
    own: Option<Own>,
}

impl<'a> Settings<'a> {
    fn read(data: &Data<'a>) -> Result<Self, Fault> {
        type Players = Whole<1, { limits::ROOM_PLAYERS as u64 }>;
        let max_players = data.optional::<Players>("max_players")?;
        Ok(Self {
            max_players: max_players.map(|Whole(players)| players as usize),
            locked: data.optional("locked")?,
            password: data.optional("password")?,
            own: data.optional("data")?,
        })
    }

    /// Changes what is said, and nothing else.
    fn apply(self, room: &mut Room) {
        let access = &mut room.access;
        if let Some(players) = self.max_players {
            access.set_size(players);
        }
        if let Some(Password(word)) = self.password {
            access.set_password(&word);
        }
        access.is_locked = self.locked.unwrap_or(access.is_locked);
        room.own = self.own.or(room.own.take());
    }
}

/// The answer to who has made a room or changed it.
#[derive(Serialize)]
struct Done<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
    /// The members that mean nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ignored: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    room: Option<String>,
}

/// What those in a room are told when its host has changed something: only that.
#[derive(Serialize)]
struct Updated<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    locked: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_players: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    /// Whether there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<bool>,
    room: String,
}

fn too_much_data() -> Fault {
    let why = "your address or the server has too much data of rooms already";
    Fault::new("too_many", why).because(Reason::Data)
}

impl Events {
    pub(in crate::dialect::events) fn create_room(
        &mut self,
        cx: &mut Context<'_>,
        id: ConnId,
        event: &Event<'_>,
    ) -> Result<(), Fault> {
        let data = Data::of(event)?;
        let Label(name) = data.needed("name")?;
        let settings = Settings::read(&data)?;
        let flag = |name| data.optional(name).map(Option::unwrap_or_default);
        let is_private: bool = flag("private")?;
        let (is_handed_on, is_mesh) = (flag("migrate")?, flag("mesh")?);
        self.check_homeless(id)?;
        let Some(addr) = self.conns.get(id).map(|conn| conn.addr) else { return Ok(()) };
        let made_by = addr.ip();
        if self.rooms.made.of(made_by) >= self.config.limits.hosts_per_address {
            let fault = Fault::new("too_many", "your address has too many rooms already");
            return Err(fault.because(Reason::HostsOfAddress));
        }
        let size = settings.own.as_ref().map_or(0, Own::size);
        if !self.rooms.extras.has_space(made_by, size) {
            return Err(too_much_data());
        }
        let room = self.random.random();
        let game = self.game_of(id);
        let code = is_private.then(|| self.new_code(&game));
        let Some(peer) = self.peer_mut(id) else { return Ok(()) };
        peer.room = Some(room);
        let host = Arc::clone(&peer.id);
        self.rooms.count += 1;
        let mut made = Room {
            name: Arc::clone(&name),
            access: Access::new(limits::ROOM_PLAYERS),
            own: None,
            extra: Extra::of(made_by),
            code,
            age: self.rooms.count,
            is_handed_on,
            is_mesh,
            made_by,
            members: vec![Seat { conn: id, wish: Wish::default() }],
            links: Links::default(),
            elsewhere: None,
        };
        settings.apply(&mut made);
        self.rooms.insert(Arc::clone(&game), room, made);
        self.rooms.count_extra(&game, room);
        if self.lines.says(cx.now, addr.ip()) {
            info!(
                dialect = "events", event = "registered", address:% = addr, room = &*name;
                "{host:?} ({addr}) made the room {} {name:?}", written(room)
            );
        }
        let code = code.as_ref().map(Code::text);
        let ignored = data.besides(&[&ANY_TIME[..], &AT_FIRST].concat());
        let answer = Done { code, ignored, room: Some(written(room)) };
        self.answer(id, event, &answer, cx.out);
        self.tell(id, "self_joined", &json!({ "room": written(room), "id": &*host }), cx.out);
        Ok(())
    }

    /// A code that no other room of the game has.
    fn new_code(&mut self, game: &Arc<str>) -> Code {
        loop {
            let code = Code::random(&mut self.random);
            if !self.rooms.codes.contains_key(&(Arc::clone(game), code)) {
                return code;
            }
        }
    }

    pub(in crate::dialect::events) fn update_room(
        &mut self,
        cx: &mut Context<'_>,
        id: ConnId,
        event: &Event<'_>,
    ) -> Result<(), Fault> {
        let data = Data::of(event)?;
        let settings = Settings::read(&data)?;
        let name = data.optional("name")?.map(|Label(name)| name);
        if let Some(fixed) = data.first_of(&AT_FIRST) {
            return Err(bad(format!("{fixed} can only be said when the room is made")));
        }
        let (game, number, _) = self.own_room(id, "change a room")?;
        let rooms = self.rooms.games.get_mut(&game);
        let room = rooms.and_then(|rooms| rooms.get_mut(&number)).ok_or_else(no_such_room)?;
        let size = settings.own.as_ref().or(room.own.as_ref()).map_or(0, Own::size);
        if !self.rooms.extras.set(&mut room.extra, size, room.access.kicked()) {
            return Err(too_much_data());
        }
        let told = Updated {
            data: settings.own.as_ref().map(|own| &*own.text),
            locked: settings.locked,
            max_players: settings.max_players,
            name: name.as_deref(),
            password: settings.password.as_ref().map(|Password(word)| !word.is_empty()),
            room: written(number),
        };
        let answer = Done { code: None, ignored: data.besides(&ANY_TIME), room: None };
        if data.first_of(&ANY_TIME).is_none() {
            self.answer(id, event, &answer, cx.out);
            return Ok(());
        }
        // It is moved into the room before it is told.
        let told = serde_json::value::to_raw_value(&told).unwrap_or_default();
        settings.apply(room);
        if let Some(name) = name {
            room.name = name;
        }
        let others = room.others(id);
        self.rooms.note_change(&game, number);
        self.charge(cx.now, id, others.len());
        self.answer(id, event, &answer, cx.out);
        for other in others {
            self.tell(other, "room_updated", &told, cx.out);
        }
        Ok(())
    }
}
