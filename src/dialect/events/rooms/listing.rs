//! The list of rooms: which are in it, and in which order.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::ops::Bound;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::own::Wanted;
use super::{Context, Events, Room, no_such_room, number, written};
use crate::dialect::events::data::{Data, Member, Whole};
use crate::dialect::events::event::{Event, Fault, as_text};
use crate::dialect::shown::write_json;
use crate::dialect::{Asked, ConnId};
use crate::introductions::is_same_family;
use crate::introductions::plan::Wish;
use crate::limits;

/// A room in a list. What is not so is left out, but for what has always been told.
#[derive(Debug, Serialize)]
pub(super) struct Listed<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
    host: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    locked: bool,
    max_players: usize,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    mesh: bool,
    name: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    other_family: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    password: bool,
    players: usize,
    room: String,
}

/// Which rooms somebody looks for.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Filter {
    wanted: Wanted,
    is_free: bool,
}

impl Filter {
    pub(super) fn read(data: &Data<'_>) -> Result<Self, Fault> {
        let wanted = data.optional("filter")?.unwrap_or_default();
        Ok(Self { wanted, is_free: data.optional("free")?.unwrap_or_default() })
    }

    pub(super) fn fits(&self, room: &Room) -> bool {
        room.code.is_none()
            && (!self.is_free || room.is_free())
            && (self.wanted.is_empty() || self.wanted.fits(room.own.as_ref()))
    }
}

/// In which order.
#[derive(Clone, Copy, Debug)]
enum Sort {
    Newest,
    Players,
}

impl Member<'_> for Sort {
    fn what() -> String {
        "\"newest\" or \"players\"".to_owned()
    }

    fn read(value: &RawValue) -> Option<Self> {
        match &*as_text(value)? {
            "newest" => Some(Self::Newest),
            "players" => Some(Self::Players),
            _ => None,
        }
    }
}

impl Sort {
    /// The less, the earlier.
    fn key(self, number: u64, room: &Room) -> impl Ord + Copy {
        let first = match self {
            Self::Newest => room.age,
            Self::Players => room.players() as u64,
        };
        (Reverse(first), number)
    }
}

impl Events {
    pub(in crate::dialect::events) fn list_rooms(
        &mut self,
        cx: &mut Context<'_>,
        id: ConnId,
        event: &Event<'_>,
    ) -> Result<(), Fault> {
        #[derive(Serialize)]
        struct Page<'a> {
            #[serde(skip_serializing_if = "Vec::is_empty")]
            ignored: Vec<&'a str>,
            more: bool,
            rooms: Vec<Listed<'a>>,
        }
        let data = Data::of(event)?;
        let after = data.optional::<Cow<'_, str>>("after")?;
        let after = after.map(|room| number(&room)).transpose()?;
        let limit = data.optional::<Whole<0, { u32::MAX as u64 }>>("limit")?;
        let limit = limit.map_or(limits::ROOMS_AT_ONCE, |Whole(n)| n as usize);
        let limit = limit.clamp(1, limits::ROOMS_AT_ONCE);
        let (filter, sort) = (Filter::read(&data)?, data.optional::<Sort>("sort")?);
        let (mut found, looked_at) = match sort {
            None => self.in_order(id, after, &filter, limit + 1),
            Some(sort) => self.sorted(id, after, &filter, (sort, limit + 1))?,
        };
        self.charge_looks(cx, id, looked_at);
        let more = found.len() > limit;
        found.truncate(limit);
        let game = self.game_of(id);
        let rooms = found.iter().filter_map(|number| {
            let room = self.rooms.get(&game, *number)?;
            Some(self.listed(cx, id, *number, room))
        });
        let ignored = data.besides(&["after", "filter", "free", "limit", "sort"]);
        let list = Page { ignored, more, rooms: rooms.collect() };
        let list = serde_json::value::to_raw_value(&list).unwrap_or_default();
        self.answer(id, event, &list, cx.out);
        Ok(())
    }

    /// The public rooms of a game as everybody sees them.
    pub(in crate::dialect::events) fn write_lobby(&self, asked: &Asked<'_>, bytes: &mut Vec<u8>) {
        /// Private ones are passed over.
        const LOOKED_AT: usize = 4096;
        let rooms = self.rooms.games.get(asked.game).into_iter().flatten().take(LOOKED_AT);
        let public = rooms.filter(|(_, room)| room.code.is_none()).take(asked.most);
        let is_far =
            |room: &Room| !asked.of_both_families && !is_same_family(room.made_by, asked.viewer);
        let listed = public.map(|(number, room)| self.told(*number, room, is_far(room)));
        write_json(&listed.collect::<Vec<_>>(), bytes);
    }

    /// A room as it is told to one who looks for some.
    pub(super) fn listed<'a>(
        &'a self,
        cx: &Context<'_>,
        to: ConnId,
        number: u64,
        room: &'a Room,
    ) -> Listed<'a> {
        self.told(number, room, self.is_apart(cx, Wish::default(), to, room))
    }

    fn told<'a>(&'a self, number: u64, room: &'a Room, other_family: bool) -> Listed<'a> {
        let host = room.host();
        Listed {
            data: room.own.as_ref().map(|own| &*own.text),
            host: match &room.elsewhere {
                None => host.and_then(|host| self.peer(host)).map_or("", |peer| &*peer.id),
                Some(elsewhere) => elsewhere.players.first().map_or("", |id| id),
            },
            locked: room.access.is_locked,
            max_players: room.access.size(),
            mesh: room.is_mesh,
            name: &room.name,
            other_family,
            password: room.access.has_password(),
            players: room.players(),
            room: written(number),
        }
    }

    /// The server has looked at so many rooms for somebody.
    pub(super) fn charge_looks(&mut self, cx: &Context<'_>, id: ConnId, looked_at: usize) {
        self.work_queue.spend(looked_at * limits::HOST_WORK);
        let Some(conn) = self.conns.get(id) else { return };
        let tokens = (looked_at / limits::ROOMS_PER_COMMAND) as u32;
        self.commands.charge(cx.now.instant, conn.addr.ip(), tokens);
    }

    /// The first rooms behind one, by ID, and how many were looked at.
    fn in_order(
        &self,
        id: ConnId,
        after: Option<u64>,
        filter: &Filter,
        most: usize,
    ) -> (Vec<u64>, usize) {
        let game = self.game_of(id);
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut looked_at = 0;
        let rooms = self.rooms.games.get(&game).into_iter();
        let all = rooms.flat_map(|rooms| rooms.range((after, Bound::Unbounded)));
        let fitting = all.inspect(|_| looked_at += 1).filter(|(_, room)| filter.fits(room));
        let found = fitting.map(|(number, _)| *number).take(most).collect();
        (found, looked_at)
    }

    /// The same in another order. The room behind which the page begins has to be there.
    fn sorted(
        &self,
        id: ConnId,
        after: Option<u64>,
        filter: &Filter,
        (sort, most): (Sort, usize),
    ) -> Result<(Vec<u64>, usize), Fault> {
        let game = self.game_of(id);
        let begin = match after {
            None => None,
            Some(number) => {
                let room = self.rooms.get(&game, number).ok_or_else(no_such_room)?;
                Some(sort.key(number, room))
            }
        };
        let rooms = self.rooms.games.get(&game);
        let looked_at = rooms.map_or(0, |rooms| rooms.len());
        let fitting = rooms.into_iter().flatten().filter(|(_, room)| filter.fits(room));
        let keys = fitting.map(|(number, room)| (sort.key(*number, room), *number));
        let mut keys: Vec<_> = keys.filter(|(key, _)| begin.is_none_or(|at| *key > at)).collect();
        keys.sort_unstable();
        Ok((keys.into_iter().take(most).map(|(_, number)| number).collect(), looked_at))
    }
}
