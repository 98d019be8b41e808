//! What can go wrong for a peer.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::shown::sentence;

/// Why the server or a peer did not do what it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// One word, such as `no_such_peer`.
    pub code: String,
    /// A sentence for people.
    #[serde(default)]
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", sentence(&self.message), sentence(&self.code))
    }
}

/// Why a call did not succeed.
#[derive(Debug)]
pub enum EventError {
    /// A system call on a socket, or TLS, failed.
    Socket {
        /// What was to be done, as an infinitive: "connect to".
        doing: &'static str,
        /// The other end.
        with: SocketAddr,
        /// What the system, or rustls, said.
        source: io::Error,
    },
    /// A certificate file or a server's name cannot be used.
    Tls(String),
    /// The server closed the connection instead of encrypting it.
    NoTls(SocketAddr),
    /// The server sent more than any would, without a pause.
    TooMuch(SocketAddr),
    /// The server closed the connection.
    Closed(SocketAddr),
    /// The same, and it said why.
    ClosedFor(SocketAddr, Fault),
    /// Nothing came in time.
    NoAnswer(Duration),
    /// This had not come to an end in time.
    Endless(&'static str, Duration),
    /// The server sent something that is no event.
    Malformed(String),
    /// The answer is an error.
    Refused(Fault),
}

impl EventError {
    /// The code of an answer that is an error, or of why the connection was closed.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused(fault) | Self::ClosedFor(_, fault) => Some(&fault.code),
            _ => None,
        }
    }
}

impl fmt::Display for EventError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket { doing, with, source } => {
                write!(f, "cannot {doing} {with}: {source}")?;
                // What a certificate is that was made with `openssl req -x509` and nothing more.
                let source = source.to_string();
                if source.contains("CaUsedAsEndEntity") {
                    f.write_str("\nIt is a certificate for an authority, not for a server: make it with CA:FALSE.")?;
                } else if source.contains("UnknownIssuer") {
                    f.write_str("\nNobody who is trusted vouches for its certificate: if it is your own, trust it with --ca.")?;
                } else if source.contains("not valid for name")
                    || source.contains("NotValidForName")
                {
                    f.write_str("\nName the server in --master as its certificate does.")?;
                } else if source.contains("expired") || source.contains("Expired") {
                    f.write_str(
                        "\nIts owner has to renew it, unless the clock of this machine is wrong.",
                    )?;
                }
                Ok(())
            }
            Self::Tls(why) => write!(f, "cannot use TLS: {why}"),
            Self::NoTls(server) => write!(
                f,
                "the server {server} closes the connection instead of encrypting it: it seems to have no \
                 certificate"
            ),
            Self::Closed(server) => write!(f, "the server {server} closed the connection"),
            Self::ClosedFor(server, fault) => {
                write!(f, "the server {server} closed the connection: {fault}")
            }
            Self::Endless(what, waited) => {
                write!(f, "the {what} had not come to its end within {waited:.1?}")
            }
            Self::NoAnswer(waited) => write!(f, "no answer within {waited:.1?}"),
            Self::Malformed(text) => {
                write!(f, "the server sent something else: {}", sentence(text))
            }
            Self::TooMuch(server) => {
                write!(f, "the server {server} sends without end, as none would")
            }
            Self::Refused(fault) => fault.fmt(f),
        }
    }
}

impl std::error::Error for EventError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Socket { source, .. } => Some(source),
            _ => None,
        }
    }
}
