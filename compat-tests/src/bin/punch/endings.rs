//! Why a master server ends connections of GMnet, found out by asking it once more: each cause needs
//! something else done.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use compat_tests::gmnet::{Control, Error, wire};

use crate::causes;

/// How long a connection is left alone to see whether it is closed: many times the way there and back.
const AT_ONCE: Duration = Duration::from_millis(500);

/// How long the server may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// How a server ends connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Before anything was said.
    AtOnce,
    /// When GMnet is spoken.
    OfGmnet,
    /// A web server answers.
    Web,
    /// It does not: it speaks GMnet, and has refused what was asked before.
    OfRequest,
    /// Nobody can tell: it is not there any more, or says nothing.
    Unknown,
}

impl Ending {
    /// Asks the server.
    pub(crate) fn of(master: SocketAddr, from: Option<IpAddr>) -> Self {
        let Ok(control) = Control::open(master, from) else { return Self::Unknown };
        if matches!(control.answer(AT_ONCE), Err(Error::MasterClosed { .. })) {
            return Self::AtOnce;
        }
        if control.send(wire::ASK_VERSION).is_err() {
            return Self::AtOnce;
        }
        match control.answer(ANSWER_WITHIN) {
            Err(Error::MasterClosed { .. }) => Self::OfGmnet,
            Ok(event) if causes::is_web(&event.bytes) => Self::Web,
            Ok(_) => Self::OfRequest,
            Err(_) => Self::Unknown,
        }
    }

    /// The same for an error, if it is the end of a connection.
    pub(crate) fn behind(
        error: &Error,
        master: SocketAddr,
        from: Option<IpAddr>,
    ) -> Option<&'static str> {
        use ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
        let is_end = match error {
            Error::MasterClosed { .. } => true,
            Error::Malformed { bytes, .. } => causes::is_web(bytes),
            Error::Socket { source, .. } => {
                matches!(source.kind(), BrokenPipe | ConnectionAborted | ConnectionReset)
            }
            _ => false,
        };
        if is_end { Self::of(master, from).advice() } else { None }
    }

    /// Whether this error shows that the server is not there, so that another one may help: one that ends the
    /// connection and is there has refused what was asked.
    pub(crate) fn is_dead(error: &Error, master: SocketAddr, from: Option<IpAddr>) -> bool {
        match error {
            Error::Socket { doing: "open the UDP port" | "use the local address", .. } => false,
            Error::Socket { doing: "connect to", .. } | Error::NoAnswer { .. } => true,
            Error::Socket { .. } | Error::MasterClosed { .. } => {
                Self::of(master, from) == Self::Unknown
            }
            _ => false,
        }
    }

    /// What may be behind it; none where that depends on what was asked.
    fn advice(self) -> Option<&'static str> {
        Some(match self {
            Self::AtOnce => {
                "It closes every connection from here at once: this address may be in the server's \
                 --block, or have as many connections there as it may have (--max-per-address), or the \
                 server is full. The owner's window shows what is refused to whom."
            }
            Self::OfGmnet => {
                "It closes connections that speak GMnet: the server's --dialects leaves gmnet out, or \
                 something else listens there. `punch probe` shows what it speaks."
            }
            Self::Web => {
                "A web server answers there: is that the port of the owner's window (--http, 6580)? \
                 Games connect to --port, 6510 unless it is changed."
            }
            Self::OfRequest | Self::Unknown => return None,
        })
    }
}
