//! A peer, and what it waits for.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use punchd::clock::Instant;
use punchd::dialect::ConnId;
use serde_json::Value;

/// What a peer waits for.
#[derive(Clone, Debug)]
pub struct Wait {
    /// What it has asked.
    pub name: String,
    /// With what.
    pub data: Value,
    /// Since when.
    pub since: Instant,
    /// Whom it has asked, if not the server, and by which number what it has said is known.
    pub said: Option<u64>,
}

/// A room that a peer is in, as it has been told.
#[derive(Clone, Debug, Default)]
pub struct In {
    /// Which.
    pub room: String,
    /// Who is in it, the host first.
    pub members: Vec<String>,
    /// Since when, at the latest.
    pub since: Instant,
    /// What was told to a connection that it had left is lost.
    pub has_missed: bool,
    /// It was told that it has come in.
    pub has_joined: bool,
    /// To whom it was introduced: where, and with which nonce, as often as it was told so.
    pub introduced: BTreeMap<String, Vec<(SocketAddr, String)>>,
    /// Something has happened after which it is introduced again as it was before.
    pub is_told_again: bool,
}

/// A peer.
#[derive(Debug)]
pub struct Peer {
    /// Under which it logs in.
    pub id: String,
    /// Where its connections come from, and where its game socket is.
    pub at: [SocketAddr; 2],
    /// The node that it wants.
    pub node: usize,
    /// Its connection.
    pub conn: Option<(usize, ConnId)>,
    /// How often it has connected.
    pub login: u32,
    /// When it was logged in on this connection.
    pub since: Option<Instant>,
    /// By which its datagrams are known.
    pub token: String,
    /// By which it comes back.
    pub secret: Option<String>,
    /// Its place is to be kept when its connection breaks.
    pub keeps: bool,
    /// It was told where its game socket is.
    pub has_shown: bool,
    /// How often it was told that its ID is taken since it was logged in last.
    pub refused: u32,
    /// The room that it is in.
    pub room: Option<In>,
    /// The room that it has left last, as it was answered.
    pub left: Option<String>,
    /// When it has given up a join: it may have been let in, and be put out before that is heard.
    pub gave_up: Option<Instant>,
    /// It has asked to come into a room, or to leave one.
    pub changes_room: bool,
    /// What it waits for on this connection, by the IDs of its requests.
    pub waits: BTreeMap<u64, Wait>,
    /// What it waited for when its connection broke, which it hears if its place was kept.
    pub waited: BTreeMap<u64, Wait>,
    /// Up to this request it may have missed the answer.
    pub missed: u64,
    /// How many requests it has made.
    pub requests: u64,
    /// Rooms that it was kicked from.
    pub kicked: BTreeSet<String>,
    /// It does nothing more.
    pub has_left: bool,
}

impl Peer {
    /// One that has done nothing. No two are in one network.
    #[must_use]
    pub fn new(n: usize, node: usize) -> Self {
        let at = |port| SocketAddr::from(([198, 19, n as u8, 1], port));
        Self {
            id: format!("peer {n}"),
            at: [at(5000), at(40_000)],
            node,
            conn: None,
            login: 0,
            since: None,
            token: String::new(),
            secret: None,
            keeps: false,
            has_shown: false,
            refused: 0,
            room: None,
            left: None,
            gave_up: None,
            changes_room: false,
            waits: BTreeMap::new(),
            waited: BTreeMap::new(),
            missed: 0,
            requests: 0,
            kicked: BTreeSet::new(),
            has_left: false,
        }
    }

    /// Whether it is the host of the room that it is in.
    #[must_use]
    pub fn is_host(&self) -> bool {
        self.room.as_ref().is_some_and(|room| room.members.first() == Some(&self.id))
    }
}
