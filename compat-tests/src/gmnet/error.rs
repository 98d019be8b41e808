//! What can go wrong for a peer, and with whose bytes.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::shown::quoted;

/// Why a peer could not do what it was asked to do.
#[derive(Debug)]
pub enum Error {
    /// A system call on a socket failed.
    Socket {
        /// What the peer wanted to do, as an infinitive: "connect to".
        doing: &'static str,
        /// The other end, or the local address where there is none yet.
        with: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The master server closed the connection before it had answered.
    MasterClosed {
        /// The master server.
        master: SocketAddr,
        /// What it had sent before.
        after: Vec<u8>,
    },
    /// The master server sent more than any would, without a pause.
    TooMuch {
        /// The master server.
        master: SocketAddr,
    },
    /// The master server sent something that no game understands.
    Malformed {
        /// Who sent it.
        from: SocketAddr,
        /// What it sent.
        bytes: Vec<u8>,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The master server said nothing.
    NoAnswer {
        /// The master server.
        master: SocketAddr,
        /// How long the peer has waited.
        waited: Duration,
    },
    /// The master server knows no such host, and there is no port for a direct connection.
    NotFound {
        /// The host that was asked for.
        host: IpAddr,
    },
    /// No welcome came from the host although the knocks went through all stages.
    NoWelcome {
        /// Where the knocks went first.
        host: SocketAddr,
        /// The endpoints that the master server told later.
        later: Vec<SocketAddr>,
        /// How long the peer has knocked.
        waited: Duration,
    },
    /// A connected host did not send what it should have sent.
    HostSilent {
        /// The host.
        host: SocketAddr,
        /// What it was asked for.
        wanted: &'static str,
        /// How long the peer has waited.
        waited: Duration,
    },
    /// The peer has no player or host to send to.
    NotConnected,
}

impl Error {
    /// For `map_err`: names what failed and with whom.
    pub(crate) fn socket(doing: &'static str, with: SocketAddr) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Socket { doing, with, source }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket { doing, with, source } => write!(f, "cannot {doing} {with}: {source}"),
            Self::MasterClosed { master, after } if after.is_empty() => {
                write!(f, "the master server {master} closed the connection without an answer")
            }
            Self::MasterClosed { master, after } => write!(
                f,
                "the master server {master} closed the connection after {}",
                quoted(after)
            ),
            Self::TooMuch { master } => {
                write!(f, "the master server {master} sends without end, as none would")
            }
            Self::Malformed { from, bytes, why } => {
                write!(f, "{from} sent {}: {why}", quoted(bytes))
            }
            Self::NoAnswer { master, waited } => {
                write!(f, "the master server {master} did not answer within {waited:.1?}")
            }
            Self::NotFound { host } => write!(f, "the master server knows no host at {host}"),
            Self::NoWelcome { host, later, waited } => {
                write!(f, "no welcome from the host {host}")?;
                later.iter().try_for_each(|other| write!(f, ", nor at {other},"))?;
                write!(f, " within {waited:.1?} of knocking")
            }
            Self::HostSilent { host, wanted, waited } => {
                write!(f, "the host {host} sent no {wanted} within {waited:.1?}")
            }
            Self::NotConnected => write!(f, "not connected"),
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
