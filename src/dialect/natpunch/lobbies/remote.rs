//! Lobbies of other nodes: they are in the same lists as those of this one.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{Lobbies, Lobby};
use crate::cluster::NodeId;
use crate::dialect::natpunch::id::Uuid;
use crate::limits;
use crate::lobby::names::clean;

/// A lobby of another node.
#[derive(Debug)]
pub(super) struct Remote {
    pub(super) lobby: Lobby,
    node: NodeId,
    round: u32,
}

/// What nodes tell each other of a lobby.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::dialect::natpunch) struct Told {
    #[serde(rename = "i")]
    pub(in crate::dialect::natpunch) id: Uuid,
    #[serde(rename = "n")]
    name: String,
    #[serde(rename = "g")]
    game: Box<str>,
    #[serde(rename = "x")]
    max_players: u32,
    #[serde(rename = "m")]
    members: Vec<Uuid>,
    #[serde(rename = "w")]
    pending: Vec<Uuid>,
    #[serde(rename = "a", with = "crate::state::ip")]
    pub(in crate::dialect::natpunch) made_by: IpAddr,
}

impl Told {
    fn of(id: Uuid, lobby: &Lobby) -> Self {
        Self {
            id,
            name: lobby.name.clone(),
            game: lobby.game.clone(),
            max_players: lobby.max_players,
            members: lobby.members.clone(),
            pending: lobby.pending.clone(),
            made_by: lobby.made_by,
        }
    }

    /// Bytes of its strings and IDs.
    pub(in crate::dialect::natpunch) fn strings(&self) -> usize {
        self.name.len() + self.game.len() + ID * (self.members.len() + self.pending.len())
    }

    /// Whether it can be a lobby.
    pub(in crate::dialect::natpunch) fn is_valid(&self) -> bool {
        self.name.len() <= limits::NATPUNCH_NAME
            && clean(&self.name) == self.name
            && self.game.len() <= limits::NATPUNCH_GAME
            && !self.members.is_empty()
            && self.members.len() + self.pending.len() <= limits::NATPUNCH_MEMBERS
            && self.made_by.to_canonical() == self.made_by
    }

    /// Who is in it, or wants to be.
    pub(in crate::dialect::natpunch) fn all(&self) -> Vec<Uuid> {
        self.members.iter().chain(&self.pending).copied().collect()
    }
}

/// Bytes of an ID.
const ID: usize = size_of::<Uuid>();

impl Lobbies {
    /// A lobby of any node.
    pub(in crate::dialect::natpunch) fn seen(&self, id: Uuid) -> Option<&Lobby> {
        let own = self.all.get(&id);
        own.or_else(|| self.elsewhere.get(&id).map(|remote| &remote.lobby))
    }

    pub(super) fn seen_mut(&mut self, id: Uuid) -> Option<&mut Lobby> {
        let own = self.all.get_mut(&id);
        own.or_else(|| self.elsewhere.get_mut(&id).map(|remote| &mut remote.lobby))
    }

    /// The lobby of another node with this ID, for a client of this game.
    pub(in crate::dialect::natpunch) fn find_elsewhere(
        &self,
        id: &str,
        game: &str,
    ) -> Option<(Uuid, NodeId)> {
        let id = id.parse().ok()?;
        let remote = self.elsewhere.get(&id).filter(|remote| &*remote.lobby.game == game)?;
        Some((id, remote.node))
    }

    /// The other node that a lobby is of, and the round in which it was told last.
    pub(in crate::dialect::natpunch) fn told_by(&self, id: Uuid) -> Option<(NodeId, u32)> {
        self.elsewhere.get(&id).map(|remote| (remote.node, remote.round))
    }

    /// Bytes of strings and IDs of a lobby of another node.
    pub(in crate::dialect::natpunch) fn strings_of(&self, id: Uuid) -> usize {
        self.elsewhere.get(&id).map_or(0, |Remote { lobby, .. }| {
            let ids = lobby.members.len() + lobby.pending.len();
            lobby.name.len() + lobby.game.len() + ID * ids
        })
    }

    /// All of other nodes for which this holds.
    pub(in crate::dialect::natpunch) fn elsewhere(
        &self,
        is_so: impl Fn(NodeId, u32) -> bool,
    ) -> Vec<Uuid> {
        let all = self.elsewhere.iter().filter(|(_, remote)| is_so(remote.node, remote.round));
        let mut all: Vec<Uuid> = all.map(|(id, _)| *id).collect();
        all.sort_unstable();
        all
    }

    /// All of this node, the newest first.
    pub(in crate::dialect::natpunch) fn newest_first(&self) -> Vec<Uuid> {
        let mut all: Vec<_> = self.all.iter().map(|(id, lobby)| (lobby.number, *id)).collect();
        all.sort_unstable();
        all.into_iter().rev().map(|(_, id)| id).collect()
    }

    /// What others are told of a lobby of this node; none: it is gone.
    pub(in crate::dialect::natpunch) fn to_tell(&self, id: Uuid) -> Option<Told> {
        self.all.get(&id).map(|lobby| Told::of(id, lobby))
    }

    /// What a node has told of its lobbies, in the order of lists.
    pub(in crate::dialect::natpunch) fn told_of(&self, node: NodeId) -> Vec<Told> {
        let all = self.elsewhere.iter().filter(|(_, remote)| remote.node == node);
        let mut all: Vec<_> = all.map(|(id, remote)| (*id, &remote.lobby)).collect();
        all.sort_unstable_by_key(|(id, lobby)| (lobby.place, *id));
        all.into_iter().map(|(id, lobby)| Told::of(id, lobby)).collect()
    }

    /// Something has changed that others may have to be told.
    pub(super) fn changed(&mut self, id: Uuid) {
        if let Some(news) = self.news.as_mut().filter(|_| !self.elsewhere.contains_key(&id)) {
            news.push(id);
        }
    }

    /// Another node tells of a lobby that this one has not, and no other node.
    pub(in crate::dialect::natpunch) fn put(&mut self, (node, round): (NodeId, u32), told: Told) {
        let Told { id, name, game, max_players, members, pending, made_by } = told;
        let before = self.elsewhere.get(&id).map(|remote| &remote.lobby);
        let same = before.filter(|lobby| lobby.game == game && lobby.made_by == made_by);
        let place = match same.map(|lobby| lobby.place) {
            Some(place) => place,
            None => {
                self.take_away(id);
                self.by_game.add(&game, made_by, id)
            }
        };
        let (number, protects) = (0, None);
        let lobby =
            Lobby { name, game, max_players, members, pending, place, made_by, number, protects };
        self.elsewhere.insert(id, Remote { lobby, node, round });
    }

    /// A lobby of another node is gone.
    pub(in crate::dialect::natpunch) fn take_away(&mut self, id: Uuid) -> Option<Lobby> {
        let Remote { lobby, .. } = self.elsewhere.remove(&id)?;
        self.take_off_list(&lobby, id);
        Some(lobby)
    }

    pub(super) fn take_off_list(&mut self, lobby: &Lobby, id: Uuid) {
        let moved = self.by_game.remove(&lobby.game, lobby.made_by, (id, lobby.place));
        if let Some(moved) = moved.and_then(|id| self.seen_mut(id)) {
            moved.place = lobby.place;
        }
    }

    /// Goes on with the lobbies of another process; lists have none of other nodes.
    pub(in crate::dialect::natpunch) fn list_anew(&mut self) {
        self.by_game = Default::default();
        for id in self.newest_first().into_iter().rev() {
            let Some(lobby) = self.all.get_mut(&id) else { continue };
            lobby.place = self.by_game.add(&lobby.game, lobby.made_by, id);
        }
    }
}

impl Lobby {
    /// Who is in it, or wants to be.
    pub(in crate::dialect::natpunch) fn everybody(&self) -> impl Iterator<Item = Uuid> {
        self.members.iter().chain(&self.pending).copied()
    }
}
