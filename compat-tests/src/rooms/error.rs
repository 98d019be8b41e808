//! What can go wrong for a player.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use punchd::dialect::rooms::message::Verb;

use crate::shown::sentence;

/// Why a player could not do what it was asked to do.
#[derive(Debug)]
pub enum Error {
    /// A system call on the socket failed.
    Socket(io::Error),
    /// The master server said nothing.
    NoAnswer {
        /// The master server.
        master: SocketAddr,
        /// To what.
        verb: Verb,
    },
    /// The master server sends more than any would.
    TooMuch {
        /// The master server.
        master: SocketAddr,
    },
    /// The list of rooms has not come to its end in time.
    Endless {
        /// How long it was waited for.
        waited: Duration,
    },
    /// The master server said no.
    Refused {
        /// To what.
        verb: Verb,
        /// And why, in its words.
        reason: String,
    },
}

/// A request, as people call it who have not read the protocol.
struct Asked(Verb);

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.0 {
            Verb::Rh => "to open a room",
            Verb::Jr => "to let this player into the room",
            Verb::Qj => "to let this player into any room",
            Verb::Rl => "to list the rooms",
            Verb::Rc => "to let this player come back",
            Verb::Rn | Verb::Rs => "to change the room",
            Verb::Kc => "to kick somebody",
            _ => "a request",
        };
        write!(f, "{what} ({})", self.0)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(error) => write!(f, "the UDP socket does not work: {error}"),
            Self::NoAnswer { master, verb } => {
                write!(f, "the master server {master} does not answer the request {}", Asked(*verb))
            }
            Self::Refused { verb, reason } => {
                write!(f, "the master server refuses {}: {}", Asked(*verb), sentence(reason))
            }
            Self::TooMuch { master } => {
                write!(f, "the master server {master} sends without end, as none would")
            }
            Self::Endless { waited } => {
                write!(f, "the list of rooms had not come to its end within {waited:.1?}")
            }
        }
    }
}

impl std::error::Error for Error {}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Socket(error)
    }
}
