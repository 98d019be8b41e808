//! What can go wrong for a player.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use punchd::dialect::rooms::message::Verb;

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
    /// The master server said no.
    Refused {
        /// To what.
        verb: Verb,
        /// And why, in its words.
        reason: String,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(error) => write!(f, "the UDP socket does not work: {error}"),
            Self::NoAnswer { master, verb } => {
                write!(f, "the master server {master} does not answer {verb}")
            }
            Self::Refused { verb, reason } => {
                write!(f, "the master server refuses {verb}: {reason}")
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
