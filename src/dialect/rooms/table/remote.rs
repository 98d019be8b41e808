//! The rooms of other nodes. They stand in the same lists as those of this one and have their turns among them,
//! and private ones are found by the same codes; but they are no [`Room`]: who is not made for rooms
//! elsewhere finds none. What is not there any more is taken away a few at a time, and not seen meanwhile.

use std::net::{IpAddr, SocketAddr};

use log::warn;
use serde::{Deserialize, Serialize};
use slab::Slab;

use super::listed::{Rank, put_in, take_out};
use super::room::Looks;
use super::{Room, Table};
use crate::clock::Instant;
use crate::cluster::NodeId;
use crate::dialect::Via;
use crate::dialect::rooms::field::{self, Id};
use crate::dialect::rooms::list;
use crate::dialect::rooms::message::LONGEST_NAME;
use crate::dialect::rounds::{Full, Rounds};
use crate::dialect::route::Route;
use crate::dialect::sweep::Walk;
use crate::hash::Map;
use crate::limits::cluster as bounds;
use crate::lobby::code::Code;
use crate::lobby::data::Data;
use crate::lobby::names::clean;
use crate::timers::LogThrottle;

/// Entries that are looked at in one turn for those that are not there any more.
const SWEPT_AT_ONCE: usize = 512;

/// What another node tells of a room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::dialect::rooms) struct Told {
    #[serde(rename = "i")]
    pub(in crate::dialect::rooms) id: Id,
    #[serde(rename = "n")]
    name: String,
    #[serde(rename = "g")]
    game: Box<str>,
    #[serde(rename = "d")]
    data: Data,
    #[serde(rename = "l")]
    looks: Looks,
    /// Where its host is, which has the turns of that address.
    #[serde(rename = "a", with = "crate::state::ip")]
    addr: IpAddr,
    #[serde(rename = "f")]
    may_be_forged: bool,
    #[serde(default, rename = "c", skip_serializing_if = "Option::is_none")]
    code: Option<Code>,
}

impl Told {
    /// Where its host is.
    pub(in crate::dialect::rooms) const fn addr(&self) -> IpAddr {
        self.addr
    }

    /// Bytes of its strings.
    pub(in crate::dialect::rooms) fn strings(&self) -> usize {
        self.name.len() + self.game.len() + self.data.size()
    }

    /// Whether it can be a room.
    fn is_valid(&self) -> bool {
        self.name.len() <= LONGEST_NAME
            && self.game.len() <= bounds::ROOM_GAME
            && clean(&self.name) == self.name
            && field::id(self.name.as_bytes()).is_none()
            && list::fits(&self.name, &self.data)
            && self.addr.to_canonical() == self.addr
    }
}

/// A room of another node.
#[derive(Debug)]
struct Remote {
    told: Told,
    node: NodeId,
    /// The round in which it was told last.
    round: u32,
    rank: Rank,
}

/// All rooms of other nodes.
#[derive(Debug, Default)]
pub(super) struct RemoteRooms {
    slab: Slab<Remote>,
    by_id: Map<Id, usize>,
    rounds: Rounds,
    /// Looks for entries that are not there any more.
    sweeping: Walk,
    full: LogThrottle,
}

impl RemoteRooms {
    fn remote(&self, id: Id) -> Option<&Remote> {
        let remote = self.slab.get(*self.by_id.get(&id)?)?;
        (!self.is_gone(remote)).then_some(remote)
    }

    fn is_gone(&self, remote: &Remote) -> bool {
        self.rounds.is_gone(remote.node, remote.round)
    }

    /// How many are known.
    pub(super) fn len(&self) -> usize {
        self.slab.len()
    }

    /// When [`Table::sweep`] has something to do.
    pub(super) fn next_sweep(&self) -> Option<Instant> {
        (!self.sweeping.is_idle()).then(Instant::default)
    }
}

/// What lists have of a room, whichever node it is at.
#[derive(Clone, Copy, Debug)]
pub(in crate::dialect::rooms) struct Seen<'a> {
    pub(in crate::dialect::rooms) id: Id,
    pub(in crate::dialect::rooms) name: &'a str,
    pub(in crate::dialect::rooms) data: &'a Data,
    pub(in crate::dialect::rooms) looks: Looks,
}

impl Table {
    /// A room of any node, as lists have it.
    pub(super) fn seen(&self, id: Id) -> Option<Seen<'_>> {
        if let Some(room) = self.room(id) {
            let Room { id, name, data, .. } = room;
            return Some(Seen { id: *id, name, data, looks: room.looks() });
        }
        let Told { id, name, data, looks, .. } = &self.elsewhere.remote(id)?.told;
        Some(Seen { id: *id, name, data, looks: *looks })
    }

    /// Where a room of another node stands in the lists of this game.
    pub(super) fn rank_elsewhere(&self, id: Id, game: &str) -> Option<Option<Rank>> {
        let remote = self.elsewhere.remote(id)?;
        Some((*remote.told.game == *game).then_some(remote.rank))
    }

    /// The node that a room is at; none: it is at this one, or gone.
    pub(in crate::dialect::rooms) fn node_of(&self, id: Id) -> Option<NodeId> {
        if self.rooms.contains_key(&id) {
            return None;
        }
        self.elsewhere.remote(id).map(|remote| remote.node)
    }

    /// The game of a room of any node.
    pub(in crate::dialect::rooms) fn game_of(&self, id: Id) -> Option<&str> {
        let own = self.room(id).map(|room| &*room.game);
        own.or_else(|| self.elsewhere.remote(id).map(|remote| &*remote.told.game))
    }

    /// What others are told of a room of this node; none: it is gone, or as good as.
    pub(in crate::dialect::rooms) fn to_tell(&self, id: Id) -> Option<Told> {
        let room = self.room(id).filter(|room| !room.is_closing)?;
        Some(Told {
            id,
            name: room.name.clone(),
            game: room.game.clone(),
            data: room.data.clone(),
            looks: room.looks(),
            addr: self.peer(room.host)?.endpoint.ip(),
            may_be_forged: room.rank.may_be_forged,
            code: room.code,
        })
    }

    /// All rooms of this node, the newest first.
    pub(in crate::dialect::rooms) fn newest_first(&self) -> Vec<Id> {
        let mut all: Vec<_> = self.rooms.values().map(|room| (room.rank.number, room.id)).collect();
        all.sort_unstable();
        all.into_iter().map(|(_, id)| id).collect()
    }

    /// Something has changed that others may have to be told.
    pub(super) fn changed(&mut self, id: Id) {
        if let Some(news) = &mut self.news {
            news.push(id);
        }
    }

    /// By which nodes peers are reached, for another process.
    pub(in crate::dialect::rooms) fn ways(&self) -> Vec<(Id, NodeId)> {
        self.peers.values().filter_map(|peer| Some((peer.id, peer.via.node?))).collect()
    }

    /// Goes on with what another process knew of that. One of an earlier version has not said it.
    pub(in crate::dialect::rooms) fn restore_ways(&mut self, ways: Option<Vec<(Id, NodeId)>>) {
        if ways.is_none() {
            self.peers.values_mut().for_each(|peer| peer.has_lost_way = true);
        }
        for (id, node) in ways.into_iter().flatten() {
            if let Some(peer) = self.peer_mut(id) {
                peer.via.node = Some(node);
            }
        }
    }

    /// Who is at this endpoint is reached by way of a node, as that one says; it may have come by another one since.
    pub(in crate::dialect::rooms) fn set_way(
        &mut self,
        at: SocketAddr,
        id: Id,
        (via, node): (Via, NodeId),
    ) {
        let peer = self.peer_mut(id).filter(|peer| peer.endpoint == at && peer.has_lost_way);
        if let Some(peer) = peer {
            peer.via = Route { via, node: Some(node) };
            peer.has_lost_way = false;
        }
    }

    /// Nobody is reached by way of this node any more. Whoever comes by another one has no key to show for that
    /// before he is answered there.
    pub(in crate::dialect::rooms) fn forget_ways(&mut self, node: NodeId) {
        for peer in self.peers.values_mut().filter(|peer| peer.via.node == Some(node)) {
            (peer.via.node, peer.has_lost_way) = (None, true);
            (peer.signed_ka, peer.lives_by_key) = (None, false);
        }
    }

    /// The nodes that have told of rooms.
    pub(in crate::dialect::rooms) fn known_nodes(&self) -> impl Iterator<Item = NodeId> {
        self.elsewhere.rounds.nodes()
    }

    /// The rooms of a node, as it has told them, the oldest first.
    pub(in crate::dialect::rooms) fn known_of(&self, node: NodeId) -> Vec<Told> {
        let all = self.elsewhere.slab.iter().map(|(_, remote)| remote);
        let there = all.filter(|remote| remote.node == node && !self.elsewhere.is_gone(remote));
        let mut all: Vec<&Remote> = there.collect();
        all.sort_unstable_by_key(|remote| remote.rank.number.0);
        all.into_iter().map(|remote| remote.told.clone()).collect()
    }

    /// A node begins to tell all that it has.
    pub(in crate::dialect::rooms) fn begin_round(&mut self, node: NodeId) {
        self.elsewhere.rounds.begin(node);
    }

    /// A node has told all that it has.
    pub(in crate::dialect::rooms) fn end_round(&mut self, node: NodeId) {
        if self.elsewhere.rounds.end(node) {
            self.elsewhere.sweeping.begin();
        }
    }

    /// A node is gone with all that it has.
    pub(in crate::dialect::rooms) fn node_gone(&mut self, node: NodeId) {
        if self.elsewhere.rounds.forget(node) {
            self.elsewhere.sweeping.begin();
        }
    }

    /// Another node tells of a room, which may be new or have changed.
    pub(in crate::dialect::rooms) fn put(&mut self, now: Instant, node: NodeId, told: Told) {
        if !told.is_valid() || self.rooms.contains_key(&told.id) {
            return;
        }
        let before = self.elsewhere.by_id.get(&told.id).copied();
        let RemoteRooms { slab, rounds, .. } = &mut self.elsewhere;
        let known = before.and_then(|place| slab.get(place));
        if known.is_some_and(|known| rounds.is_others((known.node, known.round), node)) {
            return;
        }
        let before = before.and_then(|place| self.drop_elsewhere(place));
        let round = match self.elsewhere.rounds.add(node, told.strings()) {
            Ok(Some(round)) => round,
            Ok(None) => return,
            Err(Full) => {
                if let Some(before) = self.elsewhere.full.say(now) {
                    warn!("cluster: another node has more rooms than there is room for{before}");
                }
                return;
            }
        };
        let mut rank = before.as_ref().map_or_else(
            || {
                self.rooms_made += 1;
                Rank::new(self.rooms_made)
            },
            |remote| remote.rank,
        );
        rank.may_be_forged = told.may_be_forged;
        match told.code {
            Some(code) => _ = self.codes.entry(code).or_insert(told.id),
            None => {
                // It keeps its turn as long as its source is the same.
                let is_as_before = before.as_ref().is_some_and(|before| {
                    before.told.code.is_none()
                        && before.rank.may_be_forged == rank.may_be_forged
                        && crate::prefixes::network(before.told.addr)
                            == crate::prefixes::network(told.addr)
                });
                let kept = is_as_before.then_some(rank.turn);
                let lists = (&mut self.listed, &mut self.turns);
                put_in(lists, (&told.game, told.id), (&mut rank, kept), told.addr);
            }
        }
        let id = told.id;
        let place = self.elsewhere.slab.insert(Remote { told, node, round, rank });
        self.elsewhere.by_id.insert(id, place);
    }

    /// A room has ended at another node.
    pub(in crate::dialect::rooms) fn take_away(&mut self, now: Instant, node: NodeId, id: Id) {
        let Some(place) = self.elsewhere.by_id.get(&id).copied() else { return };
        if self.elsewhere.slab.get(place).is_some_and(|remote| remote.node == node) {
            self.end_elsewhere(now, place);
            self.elsewhere.rounds.has_taken_back(node);
        }
    }

    /// The nodes that are to be asked for everything, since this was asked last.
    pub(in crate::dialect::rooms) fn take_unheard(&mut self) -> Vec<NodeId> {
        self.elsewhere.rounds.take_unheard()
    }

    /// Takes a few of those away that are not there any more.
    pub(in crate::dialect::rooms) fn sweep(&mut self, now: Instant) {
        let places = self.elsewhere.slab.capacity();
        for place in self.elsewhere.sweeping.step(SWEPT_AT_ONCE, places) {
            let remote = self.elsewhere.slab.get(place);
            if remote.is_some_and(|remote| self.elsewhere.is_gone(remote)) {
                self.end_elsewhere(now, place);
            }
        }
    }

    /// Who has read so far goes on behind it.
    fn end_elsewhere(&mut self, now: Instant, place: usize) {
        if let Some(remote) = self.drop_elsewhere(place)
            && remote.told.code.is_none()
        {
            self.closed.note(now, remote.told.id, remote.rank);
        }
    }

    fn drop_elsewhere(&mut self, place: usize) -> Option<Remote> {
        let remote = self.elsewhere.slab.try_remove(place)?;
        let Remote { told, node, rank, .. } = &remote;
        self.elsewhere.by_id.remove(&told.id);
        match told.code {
            Some(code) if self.codes.get(&code) == Some(&told.id) => _ = self.codes.remove(&code),
            Some(_) => {}
            None => {
                let lists = (&mut self.listed, &mut self.turns);
                take_out(lists, &told.game, *rank, told.addr);
            }
        }
        self.elsewhere.rounds.remove(*node, told.strings());
        Some(remote)
    }
}
