//! What this dialect tells itself on other nodes, as bytes.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::cluster::NodeId;
use crate::dialect::Via;
use crate::dialect::natpunch::id::Uuid;
use crate::dialect::natpunch::introducing::Side;
use crate::dialect::natpunch::{clients, lobbies};
use crate::limits;

/// What another process of this node needs to know of another one.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::dialect::natpunch) struct Known {
    pub(super) node: NodeId,
    /// The clients before the lobbies that they are in.
    pub(super) all: Vec<Told>,
}

/// How often this node has lost another one, and that one this node, as it has said.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::dialect::natpunch) struct Losses {
    pub(super) node: NodeId,
    pub(super) own: Option<u64>,
    pub(super) heard: Option<u64>,
}

/// Something that is told.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Message {
    /// All that there is follows.
    #[serde(rename = "b")]
    Begin {
        /// How often this node has lost the other one, with all that they had together.
        losses: u64,
    },
    /// Clients and lobbies, of which some may be new or have changed.
    #[serde(rename = "t")]
    Told { all: Vec<Told> },
    /// These are gone.
    #[serde(rename = "g")]
    Gone { all: Vec<Uuid> },
    /// That was all that there is.
    #[serde(rename = "e")]
    End,
    /// A client of this node says this of a lobby of the other one.
    #[serde(rename = "q")]
    Request {
        #[serde(rename = "c")]
        client: clients::Told,
        #[serde(rename = "d", with = "crate::state::bytes")]
        data: Vec<u8>,
    },
    /// A client of the other node is to be sent this.
    #[serde(rename = "s")]
    Send {
        #[serde(rename = "i")]
        to: Uuid,
        #[serde(rename = "d", with = "crate::state::bytes")]
        data: Vec<u8>,
    },
    /// A client of the other node, which wanted to join a lobby of this one that was closed, knocks no more.
    #[serde(rename = "f")]
    Parted(Uuid),
    /// Two are to be told of each other: one of this node and one of the other.
    #[serde(rename = "m")]
    Ask(Ask),
    /// What the first of them, who is of the other node, is to be told.
    #[serde(rename = "a")]
    Answer { pair: [Uuid; 2], attempt: u32, said: Said },
    /// The first of them is of the other node, which is to introduce them.
    #[serde(rename = "i")]
    Introduce { pair: [Uuid; 2], attempt: u32, failed: bool },
    /// Somebody has sent this to this node who is a client of the other one, or says so.
    #[serde(rename = "p")]
    Passed {
        #[serde(rename = "a")]
        at: SocketAddr,
        #[serde(rename = "v")]
        via: Via,
        #[serde(rename = "d", with = "crate::state::bytes")]
        data: Vec<u8>,
    },
    /// Whether who is there, of whom something was passed on, is a client of this node.
    #[serde(rename = "l")]
    Lead { at: SocketAddr, is_client: bool },
    /// He is to be sent this.
    #[serde(rename = "w")]
    SendBy {
        #[serde(rename = "a")]
        at: SocketAddr,
        #[serde(rename = "v")]
        via: Via,
        #[serde(rename = "d", with = "crate::state::bytes")]
        data: Vec<u8>,
    },
}

/// What there is.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Told {
    #[serde(rename = "c")]
    Client(clients::Told),
    #[serde(rename = "l")]
    Lobby(lobbies::Told),
}

/// Two are to be told of each other, the first of them is of the node that asks.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Ask {
    pub(super) pair: [Uuid; 2],
    pub(super) attempt: u32,
    /// Where the first of them is for the other.
    pub(super) side: Side,
    /// It wants to meet the other, who is a host; else it is the host.
    pub(super) is_client: bool,
    /// They have not reached each other.
    pub(super) failed: bool,
    /// The node that asks sees to their relay, and has not asked for one in vain.
    pub(super) has_relay: bool,
}

/// What the first of two is to be told.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) enum Said {
    /// The other one is not there, or nothing leads to it.
    No,
    /// Where it is.
    Met(Side),
    /// Here it finds the other one at a relay. Nobody need have asked.
    Relayed(SocketAddr),
    /// Only a relay helps, and the node that sees to it does.
    Relay,
}

impl Message {
    /// Whether nothing in it is more, or other, than any node says.
    pub(super) fn is_valid(&self) -> bool {
        let is_fine = |at: &SocketAddr| at.port() != 0 && at.ip().to_canonical() == at.ip();
        let is_side = |side: &Side| is_fine(&side.at) && is_fine(&side.local);
        match self {
            Self::Request { data, .. } | Self::Send { data, .. } => {
                data.len() <= limits::NATPUNCH_DATAGRAM
            }
            Self::Passed { at, data, .. } | Self::SendBy { at, data, .. } => {
                is_fine(at) && data.len() <= limits::NATPUNCH_DATAGRAM
            }
            Self::Lead { at, .. } => is_fine(at),
            Self::Ask(ask) => is_side(&ask.side),
            Self::Answer { said: Said::Met(side), .. } => is_side(side),
            Self::Answer { said: Said::Relayed(at), .. } => is_fine(at),
            Self::Begin { .. }
            | Self::Told { .. }
            | Self::Gone { .. }
            | Self::End
            | Self::Parted(_)
            | Self::Answer { .. }
            | Self::Introduce { .. } => true,
        }
    }
}
