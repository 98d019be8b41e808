//! The relays of other nodes of a cluster. Where a pair of players here has to be relayed, the relay of the client's node
//! comes first, then that of the host's, and then any that has room ([`asking`]). It takes one question and one answer:
//! "forward between these two", and where each of them finds the other then, or that there is no room. A relay
//! forwards for a pair of another node as for one of its own ([`serving`]), and tells that node what becomes of it.
//!
//! # What is kept, and for how long
//!
//! * A question is open for [`RELAY_ANSWER`](bounds::RELAY_ANSWER) at most, at [`RELAYS`](bounds::RELAYS) nodes one
//!   after the other. Without an answer there is no relay for that pair for a while, and what happens is what would without
//!   any.
//! * A session ends at the relay as any other: when a side is silent. Its node is told, and forgets it. One that
//!   carries nothing yet ends at once if the node that has asked dies. One that does goes on until a side is silent, as
//!   players who are in need no server.
//! * When nodes (again) know each other each tells the other which sessions it has there, so that what was lost leaves
//!   nothing behind. A session for which the answer may be lost is among them, so that it is the answer again.
//! * Another process of a node goes on with all of it ([`handover`]).

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::sessions::Places;
use super::{SessionId, Shape};
use crate::clock::{Instant, earliest};
use crate::cluster::NodeId;
use crate::dialect::Name;
use crate::hash::Map;
use crate::introductions::PublicIps;
use crate::introductions::journal::{Attempt, Way};
use crate::limits::{cluster as bounds, relay as limits};
use crate::rates::Rates;
use crate::state;
use crate::timers::Timers;

pub use asking::Relayed;
pub use awaited::Awaited;
use message::Message;

mod asking;
mod awaited;
mod handover;
mod message;
mod serving;
#[cfg(test)]
mod tests;

/// The relay of another node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relaying {
    /// Whose it is.
    pub node: NodeId,
    /// The addresses that players are told.
    pub told: PublicIps,
    /// Whether clients of GMnet can be relayed.
    pub is_apart: bool,
    /// Whether it takes more pairs.
    pub has_room: bool,
    /// Whether its node does nothing else.
    pub is_alone: bool,
    /// How many pairs it relays.
    pub sessions: u64,
}

/// Where two players are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Homes {
    /// The nodes of the client and of the host; none: this one.
    pub nodes: [Option<NodeId>; 2],
    /// The addresses by which those outside know who is in the network of this node.
    pub public_ips: PublicIps,
    /// Where the host is for the relay of its own node, if that is another one and the host is in its network: others
    /// see it elsewhere.
    #[serde(default)]
    pub host_at_home: Option<IpAddr>,
}

/// Two players, by what they speak and where they are.
type Pair = (Name, [SocketAddr; 2]);

/// Relays of other nodes: those which pairs of this one use, and what is done for others here.
#[derive(Debug, Serialize, Deserialize)]
pub struct RemoteRelays {
    /// What they have told of themselves is kept by the cluster.
    #[serde(skip)]
    nodes: Vec<Relaying>,
    /// How many questions there have been.
    count: u64,
    all: Map<u64, Entry>,
    #[serde(skip)]
    by_pair: Map<Pair, u64>,
    /// Open questions.
    waits: Timers<u64>,
    /// Pairs for which nobody has had room.
    refused: Timers<Pair>,
    /// Sessions that have been given.
    given: Timers<u64>,
    /// How often an address may ask.
    rates: Rates,
    /// Sessions here that other nodes have asked for, and by which number.
    served: Map<SessionId, (NodeId, u64)>,
    #[serde(skip)]
    asked: BTreeMap<(NodeId, u64), SessionId>,
    /// What must not be lost of them is said again on a new link.
    #[serde(skip)]
    posts: Vec<(NodeId, Message)>,
    news: VecDeque<News>,
    /// How sessions have ended.
    ended: Vec<(Attempt, Way)>,
}

/// What has become of a question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct News {
    /// Who was to be relayed.
    pub attempt: Attempt,
    /// Whether they are.
    pub is_given: bool,
}

/// A pair for which a relay of another node is asked, or has been found.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Entry {
    attempt: Attempt,
    shape: Shape,
    homes: Homes,
    node: NodeId,
    /// Which are to be asked after that; none is this node.
    left: Candidates,
    began: Instant,
    /// Where each was told that the other is.
    places: Option<[SocketAddr; 2]>,
    is_through: bool,
    is_welcome: bool,
}

/// Nodes whose relays are to be asked, the best first; none is this one.
type Candidates = SmallVec<[Option<NodeId>; bounds::RELAYS]>;

/// Marks the numbers of sessions that are elsewhere.
const FAR: u64 = 1 << 63;

impl Default for RemoteRelays {
    fn default() -> Self {
        Self {
            nodes: Vec::new(),
            count: 0,
            all: Map::default(),
            by_pair: Map::default(),
            waits: Timers::new(bounds::RELAY_ANSWER),
            refused: Timers::new(bounds::RELAY_REFUSED),
            given: Timers::new(limits::AGE + limits::IDLE),
            rates: Rates::new(bounds::RELAY_ASKS, bounds::RELAY_ASKS_SECONDS),
            served: Map::default(),
            asked: BTreeMap::new(),
            posts: Vec::new(),
            news: VecDeque::new(),
            ended: Vec::new(),
        }
    }
}

impl RemoteRelays {
    /// These have relays now.
    pub fn set_nodes(&mut self, nodes: impl Iterator<Item = Relaying>) {
        self.nodes.clear();
        self.nodes.extend(nodes);
    }

    /// What other nodes are to be told.
    pub fn take_outbound(&mut self) -> Vec<(NodeId, Vec<u8>)> {
        let posts = std::mem::take(&mut self.posts).into_iter();
        posts.filter_map(|(node, message)| Some((node, state::write(&message)?))).collect()
    }

    /// What dialects have to hear.
    pub fn next_news(&mut self) -> Option<News> {
        self.news.pop_front()
    }

    /// How sessions have ended, or that packets went both ways.
    pub fn take_ended(&mut self) -> Vec<(Attempt, Way)> {
        std::mem::take(&mut self.ended)
    }

    /// When something has to be done.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Instant> {
        let is_due = !self.news.is_empty() || !self.posts.is_empty() || !self.ended.is_empty();
        let now = is_due.then(Instant::default);
        earliest([now, self.waits.next(), self.refused.next(), self.given.next()])
    }

    /// How many pairs are relayed elsewhere, or ask for it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Whether the relay of another node serves players at these addresses: any, or one that has room.
    pub(super) fn serves(&self, players: [IpAddr; 2], with_room: bool) -> bool {
        self.nodes
            .iter()
            .any(|relay| (relay.has_room || !with_room) && relay.serves(players, false))
    }

    /// Whether one serves a client of GMnet and its host.
    pub(super) fn serves_apart(&self, players: [IpAddr; 2]) -> bool {
        self.nodes.iter().any(|relay| relay.serves(players, true))
    }

    /// An address of a relay that a player at this one can be told.
    pub(super) fn told(&self, player: IpAddr) -> Option<IpAddr> {
        self.nodes.iter().find_map(|relay| relay.told.like(player))
    }

    /// Whether there is a relay anywhere else.
    pub(super) fn serves_somebody(&self) -> bool {
        !self.nodes.is_empty()
    }

    /// Whether one of them that has room joins players of both families.
    pub(super) fn joins_families(&self) -> bool {
        let joins = |told: PublicIps| told.v4.is_some() && told.v6.is_some();
        self.nodes.iter().any(|relay| relay.has_room && joins(relay.told))
    }

    /// What two were told of the session that they have elsewhere.
    pub(super) fn between(&self, dialect: Name, pair: [SocketAddr; 2]) -> Option<Places> {
        if self.all.is_empty() {
            return None;
        }
        let number = *self.by_pair.get(&(dialect, pair.map(plain)))?;
        let [for_client, for_host] = self.all.get(&number)?.places?;
        Some(Places { id: SessionId(FAR | number), for_client, for_host })
    }

    /// The client of a session has been let in.
    pub(super) fn welcomed(&mut self, id: SessionId) {
        let number = Some(id.0 & !FAR).filter(|_| id.0 & FAR != 0);
        if let Some(entry) = number.and_then(|number| self.all.get_mut(&number)) {
            entry.is_welcome = true;
        }
    }

    /// A player is at another port.
    pub(super) fn moved(&mut self, dialect: Name, from: SocketAddr, to: SocketAddr) {
        if self.all.is_empty() {
            return;
        }
        let [from, to] = [from, to].map(plain);
        let is_its = |entry: &Entry| {
            let Attempt { dialect: of, client, host, .. } = &entry.attempt;
            *of == dialect && [*client, *host].map(plain).contains(&from)
        };
        let theirs = self.all.iter().filter(|(_, entry)| is_its(entry)).map(|(n, _)| *n);
        let mut theirs: Vec<u64> = theirs.collect();
        // Of several of one pair the last one counts.
        theirs.sort_unstable();
        for number in theirs {
            let Some(entry) = self.all.get_mut(&number) else { continue };
            self.by_pair.remove(&pair_of(&entry.attempt));
            for at in [&mut entry.attempt.client, &mut entry.attempt.host] {
                if plain(*at) == from {
                    *at = to;
                }
            }
            self.by_pair.insert(pair_of(&entry.attempt), number);
        }
    }
}

impl Relaying {
    fn serves(&self, players: [IpAddr; 2], apart: bool) -> bool {
        let can_reach = players.iter().all(|player| self.told.like(*player).is_some());
        can_reach && (self.is_apart || !apart)
    }
}

/// What an address has more than that does not tell it from another.
pub(super) const fn plain(at: SocketAddr) -> SocketAddr {
    SocketAddr::new(at.ip(), at.port())
}

fn pair_of(attempt: &Attempt) -> Pair {
    (attempt.dialect, [attempt.client, attempt.host].map(plain))
}
