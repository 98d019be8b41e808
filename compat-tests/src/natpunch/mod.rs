//! A natpunch client over a real socket: registers, keeps alive, opens and joins lobbies, and
//! punches to whom it is introduced.
//!
//! [`Client::step`] does what is due and gives what happened, as a game would in its loop.

mod client;
mod peer;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use crate::shown::sentence;

pub use client::{Admission, Client};
pub use peer::Peer;
pub use punchd::dialect::natpunch::message::{ClientInfo, LobbyInfo};

/// What happened to a client.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The server has introduced somebody; the client knocks at that one now.
    Introduced {
        /// Who.
        peer: String,
        /// Where, as the server sees it.
        public: SocketAddr,
    },
    /// Packets of a peer come in, and ours have arrived there.
    Connected {
        /// Who.
        peer: String,
        /// From where they come.
        at: SocketAddr,
    },
    /// A ping was answered.
    Pong {
        /// By whom.
        peer: String,
        /// After how long.
        after: Duration,
    },
    /// Our lobby is open.
    Created {
        /// Its ID.
        lobby: String,
    },
    /// The server lets us meet the host of the lobby.
    Joining {
        /// Its ID.
        lobby: String,
    },
    /// We are in.
    Joined {
        /// The ID of the lobby.
        lobby: String,
        /// Who is in it, as far as told.
        members: Vec<ClientInfo>,
    },
    /// The lobby has changed.
    Update {
        /// What happened.
        kind: String,
        /// How it is now.
        info: LobbyInfo,
    },
    /// Somebody has left the lobby.
    PeerLeft {
        /// Who.
        peer: String,
    },
    /// We have left the lobby.
    Left,
    /// The lobbies that the server told of.
    Lobbies(Vec<LobbyInfo>),
    /// The clients that the server told of.
    Clients(Vec<ClientInfo>),
    /// The server says that something cannot be done.
    Refused(String),
}

/// Why a client cannot go on.
#[derive(Debug)]
pub enum Error {
    /// A system call failed.
    Socket {
        /// What it was to do, as an infinitive.
        doing: &'static str,
        /// With whom.
        with: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The server did not answer.
    NoAnswer {
        /// The server.
        server: SocketAddr,
        /// How long for.
        waited: Duration,
    },
    /// The server does not register us.
    Refused(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket { doing, with, source } => write!(f, "cannot {doing} {with}: {source}"),
            Self::NoAnswer { server, waited } => {
                write!(f, "no answer from {server} within {waited:.1?}")
            }
            Self::Refused(why) => write!(f, "the server refuses: {}", sentence(why)),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Socket { source, .. } => Some(source),
            _ => None,
        }
    }
}
