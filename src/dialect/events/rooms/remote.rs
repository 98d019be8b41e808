//! Rooms of other nodes: what is shown of them, and what becomes of who was in one that is gone.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Events, Links, Outbox, Room, Rooms, written};
use crate::cluster::NodeId;
use crate::dialect::ConnId;
use crate::dialect::events::Context;
use crate::dialect::events::nodes::RoomEntry;
use crate::limits;
use crate::lobby::access::Access;
use crate::lobby::extras::Extra;

/// What is known of a room of another node beyond what lists show of each.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct RemoteRoom {
    /// None: another process knew it, and nobody has told of it since.
    #[serde(skip)]
    node: Option<NodeId>,
    /// Which node told of it last, here or in another process.
    #[serde(default)]
    of: Option<NodeId>,
    /// The round in which it was told last.
    #[serde(skip)]
    round: u32,
    /// The host first.
    pub(super) players: Vec<Arc<str>>,
    /// The game socket of the host.
    pub(super) host_at: Option<SocketAddr>,
    strings: usize,
}

impl RemoteRoom {
    /// The node that is to be asked for it.
    pub(super) const fn asked(&self) -> Option<NodeId> {
        self.of
    }
}

/// Rooms of this node that others have to be told of.
pub(super) type News = Option<BTreeSet<(Arc<str>, u64)>>;

impl Rooms {
    /// Whether others are told from now on.
    pub(in crate::dialect::events) fn tell_nodes(&mut self, are_told: bool) {
        match are_told {
            // Those who are told already may have something still to hear.
            true => _ = self.news.get_or_insert_default(),
            false => self.news = None,
        }
    }

    /// What others have to be told.
    pub(in crate::dialect::events) fn take_news(&mut self) -> BTreeSet<(Arc<str>, u64)> {
        self.news.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// How many rooms are known, those of other nodes included.
    pub(in crate::dialect::events) fn known(&self) -> usize {
        self.len() + self.elsewhere
    }

    /// How many private rooms are known by their codes, those of other nodes included.
    pub(in crate::dialect::events) fn codes_len(&self) -> usize {
        self.codes.len()
    }

    /// Whether there is something.
    pub(in crate::dialect::events) fn has_news(&self) -> bool {
        self.news.as_ref().is_some_and(|news| !news.is_empty())
    }

    /// Others have to be told of a room of this node.
    pub(super) fn note_news(&mut self, game: &str, id: u64) {
        if let Some(news) = &mut self.news
            && let Some((game, _)) = self.games.get_key_value(game)
        {
            news.insert((Arc::clone(game), id));
        }
    }

    /// Whether any is known of other nodes.
    pub(in crate::dialect::events) const fn has_elsewhere(&self) -> bool {
        self.elsewhere > 0
    }

    /// All of this node.
    pub(in crate::dialect::events) fn of_this_node(&self) -> Vec<(Arc<str>, u64)> {
        self.all().filter(|(.., room)| room.elsewhere.is_none()).map(|(g, n, _)| (g, n)).collect()
    }

    /// Those that another node has told in such a round.
    pub(in crate::dialect::events) fn told_in(
        &self,
        is_so: impl Fn(Option<NodeId>, u32) -> bool,
    ) -> Vec<(Arc<str>, u64)> {
        if !self.has_elsewhere() {
            return Vec::new();
        }
        let is_one = |room: &Room| {
            let elsewhere = room.elsewhere.as_ref();
            elsewhere.is_some_and(|other| is_so(other.node, other.round))
        };
        let mut all: Vec<_> =
            self.all().filter(|(.., room)| is_one(room)).map(|(g, n, _)| (g, n)).collect();
        all.sort_unstable();
        all
    }

    fn all(&self) -> impl Iterator<Item = (Arc<str>, u64, &Room)> {
        let games = self.games.iter();
        games.flat_map(|(game, all)| all.iter().map(|(n, room)| (Arc::clone(game), *n, &**room)))
    }

    /// Which other node has told of a room, and in which round.
    pub(in crate::dialect::events) fn told_by(
        &self,
        game: &str,
        id: u64,
    ) -> Option<(Option<NodeId>, u32)> {
        let elsewhere = self.get(game, id)?.elsewhere.as_ref()?;
        Some((elsewhere.node, elsewhere.round))
    }
}

impl Room {
    /// What lists show of one of another node.
    fn shown(&self) -> impl PartialEq {
        let Self { name, access, code, is_mesh, .. } = self;
        let own = self.own.as_ref().map(|own| own.text.get());
        let is_ipv6 = |of: &RemoteRoom| of.host_at.map(|at| at.is_ipv6());
        let players = self.elsewhere.as_ref().map(|of| (&of.players, is_ipv6(of)));
        let access = (access.size(), access.is_locked, access.has_password());
        (name, access, code, is_mesh, own, players)
    }
}

impl Events {
    /// How many are told of it when a peer changes the room of another node that it is in, as far as is known: none if
    /// it is not the host, who alone may.
    pub(in crate::dialect::events) fn told_elsewhere(&self, id: ConnId) -> usize {
        let Some(peer) = self.peer(id) else { return 0 };
        let room = peer.any_room().and_then(|room| self.rooms.get(&peer.game, room));
        let players = room.and_then(|room| room.elsewhere.as_ref()).map(|room| &room.players);
        players.filter(|players| players.first() == Some(&peer.id)).map_or(0, Vec::len)
    }

    /// Another node tells of a room.
    pub(in crate::dialect::events) fn put_room(
        &mut self,
        cx: &mut Context<'_>,
        node: NodeId,
        entry: RoomEntry,
    ) {
        if !entry.is_valid() || !self.config.admission.admits_game(&entry.game) {
            return;
        }
        let strings = entry.strings();
        let RoomEntry { game, number, .. } = &entry;
        let (game, number) = (Arc::clone(game), *number);
        let mut age = None;
        if let Some(known) = self.rooms.get(&game, number) {
            // Two rooms have the same number once in the life of the universe.
            let Some(elsewhere) = &known.elsewhere else { return };
            if self.nodes.is_others(elsewhere.node, elsewhere.round, node) {
                return;
            }
            age = Some(known.age);
            self.nodes.uncount(elsewhere.node, elsewhere.strings);
        }
        let Some(round) = self.nodes.count(cx.now.instant, node, strings) else {
            if age.is_some() {
                self.rooms.remove(&game, number);
            }
            return;
        };
        let age = age.unwrap_or_else(|| {
            self.rooms.count += 1;
            self.rooms.count
        });
        let RoomEntry { name, code, is_mesh, own, made_by, players, host_at, .. } = entry;
        let mut access = Access::new(limits::ROOM_PLAYERS);
        access.set_size(entry.max_players);
        access.is_locked = entry.is_locked;
        if entry.has_password {
            // Which it is, is up to the other node.
            access.set_password("?");
        }
        let node = Some(node);
        let room = Room {
            name,
            access,
            own,
            extra: Extra::of(made_by),
            code,
            age,
            is_handed_on: false,
            is_mesh,
            made_by,
            members: Vec::new(),
            links: Links::default(),
            elsewhere: Some(Box::new(RemoteRoom {
                node,
                of: node,
                round,
                players,
                host_at,
                strings,
            })),
        };
        match self.rooms.get_mut(&game, number) {
            // It is told again, as others were that have changed.
            Some(known) if known.shown() == room.shown() => *known = room,
            _ => self.rooms.insert(game, number, room),
        }
    }

    /// A room of this other node is gone.
    pub(in crate::dialect::events) fn drop_room(
        &mut self,
        game: &Arc<str>,
        number: u64,
        node: Option<NodeId>,
    ) {
        let room = self.rooms.get(game, number).and_then(|room| room.elsewhere.as_ref());
        // Of one that another process has known its node may say so before it tells of it again.
        let is_of = |room: &RemoteRoom| room.node == node || room.node.is_none() && room.of == node;
        let Some(elsewhere) = room.filter(|elsewhere| is_of(elsewhere)) else { return };
        self.nodes.uncount(elsewhere.node, elsewhere.strings);
        self.rooms.remove(game, number);
    }

    /// A room of this node as others are told of it.
    pub(in crate::dialect::events) fn room_entry(
        &self,
        game: &Arc<str>,
        number: u64,
    ) -> Option<RoomEntry> {
        let room = self.rooms.get(game, number).filter(|room| room.elsewhere.is_none())?;
        let players = room.members.iter().filter_map(|seat| self.peer(seat.conn));
        Some(RoomEntry {
            game: Arc::clone(game),
            number,
            name: Arc::clone(&room.name),
            code: room.code,
            max_players: room.access.size(),
            is_locked: room.access.is_locked,
            has_password: room.access.has_password(),
            is_mesh: room.is_mesh,
            own: room.own.clone(),
            made_by: room.made_by,
            players: players.map(|peer| Arc::clone(&peer.id)).collect(),
            host_at: room.host().and_then(|host| self.peer(host)).and_then(|peer| peer.endpoint),
        })
    }

    /// The game socket of a peer is elsewhere: others see by that of a host who can reach it.
    pub(in crate::dialect::events) fn note_host_moved(&mut self, id: ConnId) {
        let Ok((game, number)) = self.room_of(id) else { return };
        if self.rooms.get(&game, number).is_some_and(|room| room.is_host(id)) {
            self.rooms.note_news(&game, number);
        }
    }

    /// Tells a peer that the room is gone that it was in.
    pub(in crate::dialect::events) fn tell_room_gone(
        &mut self,
        id: ConnId,
        room: u64,
        out: &mut Outbox,
    ) {
        self.tell(id, "room_deleted", &json!({ "room": written(room) }), out);
        self.tell_left(id, room, "room_deleted", out);
    }

    /// Tells a peer that it is not in a room any more.
    pub(in crate::dialect::events) fn tell_left(
        &mut self,
        id: ConnId,
        room: u64,
        reason: &str,
        out: &mut Outbox,
    ) {
        let Some(own) = self.peer(id).map(|peer| Arc::clone(&peer.id)) else { return };
        let left = json!({ "room": written(room), "id": &*own, "reason": reason });
        self.tell(id, "self_left", &left, out);
    }
}
