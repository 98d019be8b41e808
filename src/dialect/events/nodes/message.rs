//! What this dialect tells itself on other nodes, as bytes.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::dialect::events::endpoints::Local;
use crate::dialect::events::rooms::own::Own;
use crate::limits;
use crate::lobby::code::Code;
use crate::lobby::names::clean;
use crate::state;

/// Something that is told. Peers are named by their tokens.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::dialect::events) enum Message {
    /// All that there is follows.
    #[serde(rename = "b")]
    Begin,
    /// Peers, of whom some may be new or on another connection.
    #[serde(rename = "p")]
    Peers { all: Vec<PeerEntry> },
    /// A peer is gone.
    #[serde(rename = "g")]
    Gone {
        #[serde(with = "state::wide")]
        token: u128,
    },
    /// Rooms, of which some may be new or have changed.
    #[serde(rename = "r")]
    Rooms { all: Vec<RoomEntry> },
    /// These rooms are gone.
    #[serde(rename = "d")]
    Ended { all: Vec<(Arc<str>, u64)> },
    /// That was all that there is.
    #[serde(rename = "e")]
    End,
    /// Where the game socket of a peer is that is in a room of the node that is told, or is about to be.
    #[serde(rename = "u")]
    Socket {
        #[serde(with = "state::wide")]
        token: u128,
        endpoint: Option<SocketAddr>,
        local: Vec<Local>,
    },
    /// A peer says something to one of the node that is told, or of a room there.
    #[serde(rename = "s")]
    Say {
        #[serde(with = "state::wide")]
        token: u128,
        /// The room that it is in, wherever.
        room: Option<u64>,
        #[serde(with = "state::bytes")]
        object: Vec<u8>,
    },
    /// A peer is not in a room of the node that is told, even if that knows otherwise. It has been told so.
    #[serde(rename = "l")]
    Leave {
        #[serde(with = "state::wide")]
        token: u128,
    },
    /// A peer of the node that is told is to hear this.
    #[serde(rename = "w")]
    Write {
        #[serde(with = "state::wide")]
        token: u128,
        #[serde(with = "state::bytes")]
        object: Vec<u8>,
    },
    /// A peer of the node that is told is in this room here, or in none.
    #[serde(rename = "i")]
    In {
        #[serde(with = "state::wide")]
        token: u128,
        room: Option<u64>,
        /// It has been for longer, and whatever was said of that before has been lost if it has not arrived.
        #[serde(default, rename = "a", skip_serializing_if = "std::ops::Not::not")]
        is_again: bool,
    },
    /// Somebody wants the ID of a peer of the node that is told.
    #[serde(rename = "q")]
    Wanted {
        #[serde(with = "state::wide")]
        token: u128,
    },
}

/// Somebody who is logged in.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::dialect::events) struct PeerEntry {
    #[serde(rename = "t", with = "state::wide")]
    pub(in crate::dialect::events) token: u128,
    #[serde(rename = "s", with = "state::wide")]
    pub(in crate::dialect::events) secret: u128,
    #[serde(rename = "g")]
    pub(in crate::dialect::events) game: Arc<str>,
    #[serde(rename = "i")]
    pub(in crate::dialect::events) id: Arc<str>,
    /// Where its connection comes from.
    #[serde(rename = "a")]
    pub(in crate::dialect::events) addr: SocketAddr,
    /// When it has logged in, in seconds since 1970.
    #[serde(rename = "l")]
    pub(in crate::dialect::events) since: u64,
    /// It is in a browser.
    #[serde(rename = "p")]
    pub(in crate::dialect::events) is_page: bool,
    /// It is in no room of the node that is told, and does not ask to be in one.
    #[serde(default, rename = "o", skip_serializing_if = "std::ops::Not::not")]
    pub(in crate::dialect::events) is_out: bool,
}

/// A room, as others are shown it.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::dialect::events) struct RoomEntry {
    #[serde(rename = "g")]
    pub(in crate::dialect::events) game: Arc<str>,
    #[serde(rename = "r")]
    pub(in crate::dialect::events) number: u64,
    #[serde(rename = "n")]
    pub(in crate::dialect::events) name: Arc<str>,
    #[serde(default, rename = "c", skip_serializing_if = "Option::is_none")]
    pub(in crate::dialect::events) code: Option<Code>,
    #[serde(rename = "m")]
    pub(in crate::dialect::events) max_players: usize,
    #[serde(rename = "l")]
    pub(in crate::dialect::events) is_locked: bool,
    #[serde(rename = "w")]
    pub(in crate::dialect::events) has_password: bool,
    #[serde(rename = "x")]
    pub(in crate::dialect::events) is_mesh: bool,
    #[serde(default, rename = "d", skip_serializing_if = "Option::is_none")]
    pub(in crate::dialect::events) own: Option<Own>,
    #[serde(rename = "b", with = "state::ip")]
    pub(in crate::dialect::events) made_by: IpAddr,
    /// The IDs of those in it, the host first.
    #[serde(rename = "p")]
    pub(in crate::dialect::events) players: Vec<Arc<str>>,
    /// The game socket of the host.
    #[serde(default, rename = "h", skip_serializing_if = "Option::is_none")]
    pub(in crate::dialect::events) host_at: Option<SocketAddr>,
}

fn is_label(text: &str) -> bool {
    text.len() <= limits::LABEL && *clean(text) == *text
}

fn is_canonical(at: SocketAddr) -> bool {
    at.ip().to_canonical() == at.ip()
}

impl PeerEntry {
    /// Whether there can be such a peer.
    pub(super) fn is_valid(&self) -> bool {
        !self.id.is_empty() && is_label(&self.id) && is_label(&self.game) && is_canonical(self.addr)
    }

    /// Bytes of its strings.
    pub(super) fn strings(&self) -> usize {
        self.id.len() + self.game.len()
    }
}

impl RoomEntry {
    /// Whether there can be such a room.
    pub(in crate::dialect::events) fn is_valid(&self) -> bool {
        is_label(&self.name)
            && is_label(&self.game)
            && self.code.is_none_or(|code| Code::read(code.text().as_bytes()).is_some())
            && (1..=limits::ROOM_PLAYERS).contains(&self.max_players)
            && (1..=limits::ROOM_PLAYERS).contains(&self.players.len())
            && self.players.iter().all(|id| !id.is_empty() && is_label(id))
            && self.made_by.to_canonical() == self.made_by
            && self.host_at.is_none_or(is_canonical)
    }

    /// Bytes of its strings.
    pub(in crate::dialect::events) fn strings(&self) -> usize {
        let players = self.players.iter().map(|id| id.len()).sum::<usize>();
        self.name.len() + self.game.len() + players + self.own.as_ref().map_or(0, Own::size)
    }
}
