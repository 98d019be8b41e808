//! What nodes tell each other of their relays, as bytes.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::introductions::relay::{End, Shape};
use crate::limits::cluster as bounds;

/// Something that is asked of a relay of another node, or told of it. Numbers are those of the node that asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Message {
    /// To forward between these two.
    #[serde(rename = "q")]
    Ask { id: u64, shape: Shape, client: SocketAddr, host: SocketAddr },
    /// It does: where the client finds the host, and the host the client.
    #[serde(rename = "y")]
    Yes { id: u64, for_client: SocketAddr, for_host: SocketAddr },
    /// It has no room.
    #[serde(rename = "n")]
    No { id: u64 },
    /// Packets have gone both ways.
    #[serde(rename = "t")]
    Through { id: u64 },
    /// It does not any more.
    #[serde(rename = "e")]
    Ended { id: u64, end: End },
    /// It need not any more, or never had to.
    #[serde(rename = "c")]
    Close { id: u64 },
    /// The sessions that the node which tells this has at the relay of the other: there are no more.
    #[serde(rename = "h")]
    Have { all: Vec<u64> },
    /// The sessions that the node which tells this has for the other: there are no more.
    #[serde(rename = "s")]
    Serve { all: Vec<u64> },
}

impl Message {
    /// Whether it is something that a node says.
    pub(super) fn is_valid(&self) -> bool {
        let is_player = |at: &SocketAddr| {
            let ip = at.ip();
            !ip.is_unspecified() && !ip.is_multicast() && ip.to_canonical() == ip
        };
        match self {
            Self::Ask { client, host, .. } => is_player(client) && is_player(host),
            Self::Yes { for_client, for_host, .. } => {
                [for_client, for_host].into_iter().all(|at| is_player(at) && at.port() != 0)
            }
            Self::Have { all } | Self::Serve { all } => all.len() <= bounds::RELAYED,
            _ => true,
        }
    }
}
