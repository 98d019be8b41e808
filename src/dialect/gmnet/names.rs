//! How the log calls things. Nothing that a peer sends is written as it came: texts have been
//! cleaned of control characters when they were read, and are made short here.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use log::{info, warn};

use super::hosts::Host;
use super::version;

/// Why a host is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    Closed,
    Lost,
    Refused,
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "it closed its connection",
            Self::Lost => "its connection was lost",
            Self::Refused => "it did what the protocol does not allow",
        })
    }
}

/// A host as the log calls it: where it is and, shortened, what it says it is.
pub(super) struct Named<'a>(pub(super) &'a Host);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.0;
        match host.port {
            Some(port) => write!(f, "{}", SocketAddr::new(host.addr, port))?,
            None => write!(f, "{}", host.addr)?,
        }
        match host.game() {
            "" => Ok(()),
            game => write!(f, " ({})", Short(game)),
        }
    }
}

/// Text of a peer for the log: it has no control characters, and this makes it short and keeps it
/// on one line.
pub(super) struct Short<'a>(pub(super) &'a str);

impl fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LONGEST: usize = 60;
        let (text, more) = match self.0.char_indices().nth(LONGEST) {
            Some((end, _)) => (&self.0[..end], "..."),
            None => (self.0, ""),
        };
        // The line and paragraph separators of Unicode are no control characters, and games keep
        // them; but many programs that show a log begin a new line there.
        for (n, line) in text.split(['\u{2028}', '\u{2029}']).enumerate() {
            f.write_str(if n == 0 { "" } else { " " })?;
            f.write_str(line)?;
        }
        f.write_str(more)
    }
}

pub(super) fn log_registered(host: &Host) {
    let game = if host.data.is_some() { Short(host.game()) } else { Short("(older protocol)") };
    match host.port {
        Some(port) => info!("host {} registered: {game}", SocketAddr::new(host.addr, port)),
        None => info!("host {} registered, its UDP packet is not here yet: {game}", host.addr),
    }
}

pub(super) fn log_refused_version(addr: IpAddr, version: &str, refused: version::Refused) {
    let version = Short(version);
    let oldest = version::OLDEST;
    match refused {
        version::Refused::TooOld => warn!(
            "host {addr} refused: its game has version {version} of GMnet PUNCH, {oldest} is the \
             oldest that works; rebuild the game with a newer GMnet PUNCH"
        ),
        version::Refused::NotANumber => warn!(
            "host {addr} refused: \"{version}\" is no version of GMnet PUNCH; it should be like \
             {oldest}"
        ),
    }
}
