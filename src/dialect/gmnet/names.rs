//! How the log calls things. Nothing that a peer sends is written as it came: texts have been
//! cleaned of control characters when they were read, and are made short here.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use log::{info, warn};

use super::host::Host;
use super::request::{Outcome, Request};
use super::slot::HostKey;
use super::{Gmnet, version};

/// Why a host is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    Closed,
    Lost,
    Refused,
    /// It is of no use any more, and another needs its place.
    Replaced,
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "it closed its connection",
            Self::Lost => "its connection was lost",
            Self::Refused => "it did what the protocol does not allow",
            Self::Replaced => "a newer one has taken its place",
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

/// Characters that [`Short`] keeps.
const LONGEST: usize = 60;

/// The line and paragraph separators of Unicode are no control characters, and games keep them; but many
/// programs that show a log begin a new line there.
const SEPARATORS: [char; 2] = ['\u{2028}', '\u{2029}'];

impl Short<'_> {
    /// The same, to be kept.
    pub(super) fn kept(&self) -> Box<str> {
        // Nearly all are short already, and each introduction keeps one.
        match self.0.len() <= LONGEST && !self.0.contains(SEPARATORS) {
            true => self.0.into(),
            false => self.to_string().into_boxed_str(),
        }
    }
}

impl fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.0.char_indices().nth(LONGEST);
        let (text, more) = match end.and_then(|(end, _)| self.0.get(..end)) {
            Some(text) => (text, "..."),
            None => (self.0, ""),
        };
        for (n, line) in text.split(SEPARATORS).enumerate() {
            f.write_str(if n == 0 { "" } else { " " })?;
            f.write_str(line)?;
        }
        f.write_str(more)
    }
}

/// Says that a host has registered, or that it has new data, and which of its data strings are too long.
pub(super) fn log_registered(host: &Host, is_known: bool, emptied: &[usize]) {
    let game = if host.data.is_some() { Short(host.game()) } else { Short("(older protocol)") };
    match host.port {
        _ if is_known => info!("host {} has new data", Named(host)),
        Some(port) => info!("host {} registered: {game}", SocketAddr::new(host.addr, port)),
        None => info!("host {} registered, its UDP packet is not here yet: {game}", host.addr),
    }
    if !emptied.is_empty() {
        let names: Vec<String> = emptied.iter().map(|n| format!("data{n}")).collect();
        let names = names.join(", ");
        warn!("the lobby leaves out {names} of host {}: they are too long", Named(host));
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

impl Gmnet {
    /// What became of a request for a host, and what may be wrong.
    pub(super) fn log_outcome(&self, request: &Request, text: &str, outcome: &Outcome) {
        let client = |port: Option<u16>| {
            port.map_or(request.client.to_string(), |port| {
                SocketAddr::new(request.client, port).to_string()
            })
        };
        let host = |key: &HostKey| self.hosts.get(*key);
        match outcome {
            Outcome::Wait => {}
            Outcome::NotFound => {
                info!("not found: {} asked for {}, where no host is", client(None), Short(text));
            }
            Outcome::OtherFamily(key) => {
                let Some(host) = host(key) else { return };
                let (named, by) = (Named(host), family(host.addr));
                info!(
                    "{} asked for host {named} by {}, the host is registered by {by}; neither \
                     can reach the other: both games must use an address of this server of one \
                     kind",
                    client(None),
                    family(request.client)
                );
            }
            Outcome::HostWithoutPort(key, port) => {
                let Some(host) = host(key) else { return };
                info!(
                    "{} could not be introduced to host {}: the host's UDP packet never came; {}",
                    client(*port),
                    Named(host),
                    Why(self.unpaired_regs.maybe(host.conn))
                );
            }
            Outcome::Elsewhere(key, at, port) => {
                let Some(host) = host(key) else { return };
                info!(
                    "{} was told {at} for host {}, whose own UDP packet never came: it seems that \
                     its network sends TCP and UDP from different public addresses",
                    client(*port),
                    Named(host)
                );
            }
            Outcome::Found(key, _, Some(port)) => {
                let Some(host) = host(key) else { return };
                info!("introduced {} to host {}", client(Some(*port)), Named(host));
            }
            Outcome::Found(key, _, None) => {
                let Some(host) = host(key) else { return };
                let (client, named) = (client(None), Named(host));
                let told = self.config.public_ips.told(request.client, host.addr);
                if self.notices.has_room(host.conn, told) {
                    info!(
                        "{client} was told where host {named} is, but the host was not told: the \
                         client's UDP packet never came; {}",
                        Why(self.unpaired_connects.maybe(request.conn))
                    );
                } else {
                    info!(
                        "{client} was told where host {named} is, but the host was not told: more \
                         join it than it can be told of"
                    );
                }
            }
        }
    }
}

/// Why a peer's UDP packet may not have come, if one came from another address instead.
struct Why(Option<SocketAddr>);

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("is UDP blocked on its side?"),
            Some(other) => write!(
                f,
                "one came from {other} at that time: if it is of the same game, its network sends \
                 TCP and UDP from different public addresses, which GMnet cannot know"
            ),
        }
    }
}

fn family(addr: IpAddr) -> &'static str {
    if addr.is_ipv4() { "IPv4" } else { "IPv6" }
}
