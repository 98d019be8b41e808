//! Clients of other nodes: what is told of them, and what this node knows.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::{Client, Clients, Listing, Program};
use crate::clock::Instant;
use crate::cluster::NodeId;
use crate::dialect::natpunch::id::Uuid;
use crate::dialect::route::Route;
use crate::limits;

/// A client of another node.
#[derive(Debug)]
pub(super) struct Remote {
    pub(super) client: Box<Client>,
    node: NodeId,
    round: u32,
}

/// What nodes tell each other of a client that has shown its ID.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::dialect::natpunch) struct Told {
    #[serde(rename = "i")]
    pub(in crate::dialect::natpunch) id: Uuid,
    #[serde(rename = "a")]
    pub(in crate::dialect::natpunch) endpoint: SocketAddr,
    #[serde(rename = "g")]
    game: Box<str>,
    /// Lists of clients have it.
    #[serde(rename = "l")]
    is_listed: bool,
    #[serde(rename = "p")]
    program: Program,
}

impl Told {
    fn of(id: Uuid, client: &Client, is_listed: bool) -> Self {
        let Client { endpoint, game, program, .. } = client;
        Self { id, endpoint: *endpoint, game: game.clone(), is_listed, program: *program }
    }

    /// Bytes of its strings.
    pub(in crate::dialect::natpunch) fn strings(&self) -> usize {
        self.game.len()
    }

    /// Whether it can be a client.
    pub(in crate::dialect::natpunch) fn is_valid(&self) -> bool {
        let Self { endpoint, game, .. } = self;
        endpoint.port() != 0
            && endpoint.ip().to_canonical() == endpoint.ip()
            && game.len() <= limits::NATPUNCH_GAME
    }
}

impl Clients {
    /// Whether a client is of this node.
    pub(in crate::dialect::natpunch) fn is_own(&self, id: Uuid) -> bool {
        self.all.contains_key(&id)
    }

    /// The other node that a client is of, and the round in which it was told last.
    pub(in crate::dialect::natpunch) fn told_by(&self, id: Uuid) -> Option<(NodeId, u32)> {
        self.elsewhere.get(&id).map(|remote| (remote.node, remote.round))
    }

    /// The other node that a client is of.
    pub(in crate::dialect::natpunch) fn node_of(&self, id: Uuid) -> Option<NodeId> {
        self.told_by(id).map(|(node, _)| node)
    }

    /// Bytes of strings of a client of another node.
    pub(in crate::dialect::natpunch) fn strings_of(&self, id: Uuid) -> usize {
        self.elsewhere.get(&id).map_or(0, |remote| remote.client.game.len())
    }

    /// All of this node that others are told of, the newest first.
    pub(in crate::dialect::natpunch) fn newest_first(&self) -> Vec<Uuid> {
        let proven = self.all.iter().filter(|(_, client)| client.proven);
        let mut all: Vec<_> = proven.map(|(id, client)| (client.number, *id)).collect();
        all.sort_unstable();
        all.into_iter().rev().map(|(_, id)| id).collect()
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

    /// What others are told of a client of this node; none: it is gone, or has not shown its ID.
    pub(in crate::dialect::natpunch) fn to_tell(&self, id: Uuid) -> Option<Told> {
        let client = self.all.get(&id).filter(|client| client.proven)?;
        Some(Told::of(id, client, client.listing != Listing::Never))
    }

    /// What a node has told of its clients, but for those that are gone with it.
    pub(in crate::dialect::natpunch) fn told_of(&self, node: NodeId) -> Vec<Told> {
        let all = self.elsewhere.iter().filter(|(_, remote)| remote.node == node);
        let mut all: Vec<Told> = all
            .map(|(id, Remote { client, .. })| {
                Told::of(*id, client, matches!(client.listing, Listing::At(_)))
            })
            .collect();
        all.sort_unstable_by_key(|told| told.id);
        all
    }

    /// Something has changed that others may have to be told.
    pub(in crate::dialect::natpunch) fn changed(&mut self, id: Uuid) {
        if let Some(news) = self.news.as_mut().filter(|_| !self.elsewhere.contains_key(&id)) {
            news.push(id);
        }
    }

    /// Another node tells of a client that this one has not, and no other node. Where it was before, if it was known
    /// and has moved.
    pub(in crate::dialect::natpunch) fn put(
        &mut self,
        now: Instant,
        (node, round): (NodeId, u32),
        told: Told,
    ) -> Option<SocketAddr> {
        let Told { id, endpoint, game, is_listed, program } = told;
        let (moved, listing) = self.elsewhere.get(&id).map_or((None, Listing::Not), |remote| {
            let (before, listing) = (remote.client.endpoint, remote.client.listing);
            (Some(before).filter(|before| *before != endpoint), listing)
        });
        let is_elsewhere = moved.is_some_and(|before| before.ip() != endpoint.ip());
        if let Listing::At(place) = listing
            && let Some(before) = self.elsewhere.get(&id)
            && (is_elsewhere || !is_listed || before.client.game != game)
        {
            let (game, addr) = (before.client.game.clone(), before.client.endpoint.ip());
            self.take_off_list(&game, addr, id, place);
            if let Some(client) = self.get_mut(id) {
                client.listing = Listing::Not;
            }
        }
        let remote = self.elsewhere.entry(id).or_insert_with(|| {
            let client = Client::new(now, (Route::default(), endpoint), game.clone());
            Remote { client: Box::new(Client { proven: true, ..client }), node, round }
        });
        (remote.node, remote.round) = (node, round);
        let client = &mut *remote.client;
        (client.endpoint, client.game, client.program) = (endpoint, game, program);
        client.heard = now;
        if is_listed {
            self.put_on_list(id);
        }
        moved
    }

    /// A client of another node is gone.
    pub(in crate::dialect::natpunch) fn take_away(&mut self, id: Uuid) -> Option<Client> {
        let Remote { client, .. } = self.elsewhere.remove(&id)?;
        if let Listing::At(place) = client.listing {
            self.take_off_list(&client.game, client.endpoint.ip(), id, place);
        }
        Some(*client)
    }

    /// By which nodes clients of this one are reached, for another process.
    pub(in crate::dialect::natpunch) fn ways(&self) -> Vec<(Uuid, NodeId)> {
        self.all.iter().filter_map(|(id, client)| Some((*id, client.via.node?))).collect()
    }

    /// Goes on with what another process knew of that.
    pub(in crate::dialect::natpunch) fn restore_ways(
        &mut self,
        ways: impl IntoIterator<Item = (Uuid, NodeId)>,
    ) {
        for (id, node) in ways {
            if let Some(client) = self.all.get_mut(&id) {
                client.via.node = Some(node);
            }
        }
    }

    /// Nobody is reached by way of this node any more.
    pub(in crate::dialect::natpunch) fn forget_ways(&mut self, node: NodeId) {
        for client in self.all.values_mut().filter(|client| client.via.node == Some(node)) {
            client.via.node = None;
        }
    }

    /// The clients of this node and the lobbies of each.
    pub(in crate::dialect::natpunch) fn own_lobbies(
        &self,
    ) -> impl Iterator<Item = (Uuid, &[Uuid])> {
        self.all.iter().map(|(id, client)| (*id, &*client.lobbies))
    }
}
