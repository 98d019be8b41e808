//! What this dialect tells itself on other nodes, as bytes.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::cluster::NodeId;
use crate::dialect::Via;
use crate::dialect::rooms::field::Id;
use crate::dialect::rooms::message::{LONGEST_ANSWER, LONGEST_REQUEST};
use crate::dialect::rooms::table::Told;
use crate::limits;

/// Something that is told.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Message {
    /// All that there is follows.
    #[serde(rename = "b")]
    Begin,
    /// Rooms, of which some may be new or have changed.
    #[serde(rename = "r")]
    Rooms { all: Vec<Told> },
    /// These have ended.
    #[serde(rename = "g")]
    Gone { all: Vec<Id> },
    /// That was all that there is.
    #[serde(rename = "e")]
    End,
    /// A request of somebody who speaks to this node and is, or wants to be, in a room of the other one.
    #[serde(rename = "q")]
    Request(Passed),
    /// `qj` that the other node has passed on, for whom there is no place in these rooms.
    #[serde(rename = "n")]
    GiveBack {
        #[serde(rename = "a")]
        at: SocketAddr,
        #[serde(rename = "v")]
        via: Via,
        #[serde(rename = "d", with = "crate::state::bytes")]
        data: Vec<u8>,
        #[serde(rename = "t")]
        tried: Vec<Id>,
    },
    /// The other node is to send this to somebody who speaks to it.
    #[serde(rename = "s")]
    Send {
        #[serde(rename = "a")]
        at: SocketAddr,
        #[serde(rename = "v")]
        via: Via,
        #[serde(rename = "d", with = "crate::state::bytes")]
        data: Vec<u8>,
    },
    /// Which place somebody has at this node, of whom the other one believed something else.
    #[serde(rename = "p")]
    Place {
        at: SocketAddr,
        held: Option<Held>,
        /// One that it has had is kept for it.
        #[serde(default = "is_kept_or_unsaid", rename = "k")]
        is_kept: bool,
    },
    /// Somebody who has a place at the other node has one somewhere else now.
    #[serde(rename = "l")]
    Elsewhere { at: SocketAddr },
    /// These have places at the other node, and are reached by this one.
    #[serde(rename = "h")]
    Here { all: Vec<(SocketAddr, Via, Held)> },
}

/// Nodes of an older version do not say it.
const fn is_kept_or_unsaid() -> bool {
    true
}

/// What another process of this node needs to know of another one.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::dialect::rooms) struct Known {
    pub(super) node: NodeId,
    pub(super) rooms: Vec<Told>,
}

/// A request that is passed on.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Passed {
    #[serde(rename = "a")]
    pub(super) at: SocketAddr,
    #[serde(rename = "v")]
    pub(super) via: Via,
    #[serde(rename = "d", with = "crate::state::bytes")]
    pub(super) data: Vec<u8>,
    /// For `qj`: the rooms to be tried.
    #[serde(default, rename = "t", skip_serializing_if = "Vec::is_empty")]
    pub(super) rooms: Vec<Id>,
    /// And those in which there is no place for it. None: this node is of a version that takes nothing back.
    #[serde(default, rename = "n", skip_serializing_if = "Option::is_none")]
    pub(super) tried: Option<Vec<Id>>,
    /// It has a place elsewhere that it leaves for another only when it shows the key of that.
    #[serde(default, rename = "k")]
    pub(super) needs_key: bool,
    /// The place that it has there, as this node believes.
    #[serde(default, rename = "p", skip_serializing_if = "Option::is_none")]
    pub(super) held: Option<Held>,
}

/// A place at another node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::dialect::rooms) struct Held {
    #[serde(rename = "i")]
    pub(in crate::dialect::rooms) id: Id,
    #[serde(rename = "r")]
    pub(in crate::dialect::rooms) room: Id,
    #[serde(rename = "h")]
    pub(in crate::dialect::rooms) is_host: bool,
    #[serde(rename = "p")]
    pub(in crate::dialect::rooms) proved: bool,
    /// It ends its requests with its key.
    #[serde(default, rename = "s")]
    pub(in crate::dialect::rooms) signs: bool,
}

impl Message {
    /// Whether nothing in it is more, or other, than any node says.
    pub(super) fn is_valid(&self) -> bool {
        let is_fine = |at: &SocketAddr| at.port() != 0 && at.ip().to_canonical() == at.ip();
        match self {
            Self::Begin | Self::Rooms { .. } | Self::Gone { .. } | Self::End => true,
            Self::Request(Passed { at, data, rooms, tried, .. }) => {
                let tried = tried.as_ref().map_or(0, Vec::len);
                let is_short = data.len() <= LONGEST_REQUEST;
                is_fine(at) && is_short && rooms.len() + tried <= limits::ROOMS_TRIED
            }
            Self::GiveBack { at, data, tried, .. } => {
                let is_short = data.len() <= LONGEST_REQUEST;
                is_fine(at) && is_short && tried.len() <= limits::ROOMS_TRIED
            }
            Self::Send { at, data, .. } => is_fine(at) && data.len() <= LONGEST_ANSWER,
            Self::Place { at, .. } | Self::Elsewhere { at } => is_fine(at),
            Self::Here { all } => all.iter().all(|(at, ..)| is_fine(at)),
        }
    }
}
