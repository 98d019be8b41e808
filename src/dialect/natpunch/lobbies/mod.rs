//! The lobbies there are.

use std::collections::HashMap;
use std::net::IpAddr;

use rand::Rng;
use serde::{Deserialize, Serialize};

use super::by_game::ByGame;
use super::clients::Clients;
use super::id::Uuid;
use crate::dialect::Keeping;
use crate::hash::Map;
use crate::holders::Holders;
use crate::limits;
use crate::prefixes::{Counts, Shares, widest};

mod answers;
mod remote;

pub(super) use answers::{Reader, client_list, endpoint, size};
use remote::Remote;
pub(super) use remote::Told;

/// A lobby. Its host is the member that has been in it longest.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Lobby {
    pub(super) name: String,
    /// The game of the one who made it; only its clients see it.
    game: Box<str>,
    max_players: u32,
    pub(super) members: Vec<Uuid>,
    /// Who is about to meet the host; each has a place already.
    pub(super) pending: Vec<Uuid>,
    /// Where it is in its row.
    place: usize,
    /// Where the one who made it came from; its members have the same family.
    made_by: IpAddr,
    /// Counts lobbies.
    number: u64,
    /// Its host, if somebody is in it who comes from elsewhere.
    protects: Option<Uuid>,
}

/// Which lobby gives way before others: the newest.
type Rank = (u64, Uuid);

impl Lobby {
    pub(super) fn host(&self) -> Option<Uuid> {
        self.members.first().copied()
    }

    pub(super) fn game(&self) -> &str {
        &self.game
    }

    /// Whether this is its host, who may not know of it: one who lets somebody in does.
    pub(super) fn is_as_opened(&self, by: Uuid, name: &str, max_players: u32) -> bool {
        self.members == [by] && (&*self.name, self.max_players) == (name, max_players)
    }

    /// How many may be in it.
    pub(super) fn places(&self) -> usize {
        (self.max_players as usize).min(limits::NATPUNCH_MEMBERS)
    }

    pub(super) fn is_full(&self) -> bool {
        let taken = self.members.len() + self.pending.len();
        taken >= self.max_players as usize || taken >= limits::NATPUNCH_MEMBERS
    }

    /// Who gives the place that was kept for him to somebody from this address: one of the address
    /// (IPv6: of the /48, the /56, the /64) that has most places, if it has more than the other's would
    /// have, and never a member.
    pub(super) fn eviction_candidate(&self, to: IpAddr, clients: &Clients) -> Option<Uuid> {
        let from = |id: &Uuid| clients.get(*id).map(|client| client.endpoint.ip());
        let mut shares = Shares::<()>::default();
        let all = self.members.iter().chain(&self.pending);
        all.filter_map(from).for_each(|addr| _ = shares.add(addr, 1));
        // The last who came.
        let pending = self.pending.iter().rev().filter_map(|id| Some((*id, from(id)?, ())));
        shares.gives_way(to, pending)
    }

    fn rank(&self, id: Uuid) -> Rank {
        (self.number, id)
    }
}

/// All lobbies.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Lobbies {
    all: HashMap<Uuid, Lobby>,
    by_game: ByGame,
    made: Counts,
    /// Those in which somebody from elsewhere is are protected.
    shares: Holders<Rank>,
    /// The same, and nothing is protected.
    all_shares: Holders<Rank>,
    opened: u64,
    /// Those of other nodes.
    #[serde(skip)]
    elsewhere: Map<Uuid, Remote>,
    /// Which of those of this node others may have to be told; none: there are no others.
    #[serde(skip)]
    pub(super) news: Option<Vec<Uuid>>,
}

impl Lobbies {
    /// How many lobbies each game has.
    pub(super) fn each_game(&self, each: &mut dyn FnMut(&str, usize)) {
        self.by_game.each_game(|id| self.all.contains_key(id), each);
    }

    /// Whether nobody at this address can open one more, whoever makes room.
    fn has_its_share(&self, addr: IpAddr) -> bool {
        self.made.of(addr) >= limits::NATPUNCH_LOBBIES_PER_ADDRESS
    }

    /// Which lobby has to be closed before somebody from this address can open one: one of the
    /// network that has most. Those go first of an address that has more than a household, or a network that has over
    /// an eighth of all: first one in which nobody from elsewhere is. Of all others only such a one goes.
    pub(super) fn in_the_way(&self, addr: IpAddr) -> Option<Uuid> {
        if self.all.len() < limits::NATPUNCH_LOBBIES || self.has_its_share(addr) {
            return None;
        }
        let has_many = |id: &Uuid| {
            self.all.get(id).is_some_and(|lobby| {
                let [widest, narrowest] = self.all_shares.held(lobby.made_by);
                narrowest > limits::HOUSEHOLD.into() || widest > limits::NATPUNCH_LOBBIES as u64 / 8
            })
        };
        // Addresses can protect each other's lobbies, so these are not safe before those of who has few.
        let any = || self.all_shares.eviction_candidate(addr, 1).map(|(_, id)| id).filter(has_many);
        let alone = self.shares.eviction_candidate(addr, 1).map(|(_, id)| id);
        alone.filter(has_many).or_else(any).or(alone)
    }

    /// The members of a lobby have changed.
    pub(super) fn note_members(&mut self, id: Uuid, clients: &mut Clients) {
        let Some(lobby) = self.all.get_mut(&id) else { return };
        let is_other = |addr: IpAddr| widest(addr) != widest(lobby.made_by);
        let mut members = lobby.members.iter().filter_map(|id| clients.get(*id));
        let has_others = members.any(|client| is_other(client.endpoint.ip()));
        let before = lobby.protects;
        let after = lobby.host().filter(|_| has_others);
        if before == after {
            return;
        }
        lobby.protects = after;
        match (before, after) {
            (None, Some(_)) => self.shares.protect(lobby.made_by, lobby.rank(id), 1),
            (Some(_), None) => self.shares.release(lobby.made_by, lobby.rank(id), 1),
            _ => {}
        }
        before.into_iter().for_each(|host| clients.is_host_of_others(host, false));
        after.into_iter().for_each(|host| clients.is_host_of_others(host, true));
    }

    /// Opens a lobby; none if there are too many.
    pub(super) fn create(
        &mut self,
        name: String,
        max_players: u32,
        (host, made_by, game): (Uuid, IpAddr, &str),
        rng: &mut impl Rng,
    ) -> Option<Uuid> {
        if self.all.len() >= limits::NATPUNCH_LOBBIES || self.has_its_share(made_by) {
            return None;
        }
        let id = Uuid::random(rng);
        let place = self.by_game.add(game, made_by, id);
        let (members, pending) = (vec![host], Vec::new());
        self.opened += 1;
        let number = self.opened;
        let protects = None;
        let game = game.into();
        let lobby =
            Lobby { name, game, max_players, members, pending, place, made_by, number, protects };
        self.made.add(made_by);
        self.shares.change(made_by, lobby.rank(id), 0, 1);
        self.all_shares.change(made_by, lobby.rank(id), 0, 1);
        self.all.insert(id, lobby);
        self.changed(id);
        Some(id)
    }

    /// How many there are, of this node and others.
    pub(super) fn kept(&self, each: &mut Keeping<'_>) {
        each("natpunch: lobbies", self.all.len());
        each("natpunch: lobbies of other nodes", self.elsewhere.len());
        each("natpunch: games with lobbies", self.by_game.len());
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// All of them, in an order that holds while none comes or goes.
    pub(super) fn all(&self) -> impl Iterator<Item = &Lobby> {
        self.all.values()
    }

    /// The lobby of this node with this ID, for a client of this game.
    pub(super) fn find(&self, id: &str, game: &str) -> Option<(Uuid, &Lobby)> {
        let id = id.parse().ok()?;
        Some((id, self.all.get(&id).filter(|lobby| &*lobby.game == game)?))
    }

    /// A lobby of this node.
    pub(super) fn get(&self, id: Uuid) -> Option<&Lobby> {
        self.all.get(&id)
    }

    /// A lobby of this node, to be changed.
    pub(super) fn get_mut(&mut self, id: Uuid) -> Option<&mut Lobby> {
        self.changed(id);
        self.all.get_mut(&id)
    }

    pub(super) fn remove(&mut self, id: Uuid, clients: &mut Clients) {
        let Some(lobby) = self.all.remove(&id) else { return };
        self.made.remove(lobby.made_by);
        if let Some(host) = lobby.protects {
            self.shares.release(lobby.made_by, lobby.rank(id), 1);
            clients.is_host_of_others(host, false);
        }
        self.all_shares.change(lobby.made_by, lobby.rank(id), 1, 0);
        self.shares.change(lobby.made_by, lobby.rank(id), 1, 0);
        self.take_off_list(&lobby, id);
        self.changed(id);
    }
}
