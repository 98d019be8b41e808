//! How the log calls things. Nothing that a peer sends is written as it came: texts have been
//! cleaned of control characters when they were read, or are here, and are made short here.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use log::{Level, info, warn};

use super::host::Host;
use super::request::{Outcome, Request};
use super::{Gmnet, version};
use crate::diagnostics::closed;
use crate::dialect::{Context, Name};
use crate::introductions::journal::{Names, Shown};
use crate::introductions::unmet::{self, Asked, Cause};
use crate::limits;
use crate::lobby::names::clean;
use crate::refusals::Reason;

/// Why a host is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    Closed,
    Lost,
    Refused,
    /// It is of no use any more, and another needs its place.
    Replaced,
    /// The owner of the server has blocked its address.
    Blocked,
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "it closed its connection",
            Self::Lost => "its connection was lost",
            Self::Refused => "it did what the protocol does not allow",
            Self::Replaced => "a newer one has taken its place",
            Self::Blocked => "its address is blocked",
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
    let (at, whole) = (host.at(), host.game());
    match host.port {
        _ if is_known => info!(
            dialect = "gmnet", event = "changed", host:% = at, game = whole;
            "host {} has new data", Named(host)
        ),
        Some(_) => info!(
            dialect = "gmnet", event = "registered", host:% = at, game = whole;
            "host {at} registered: {game}"
        ),
        None => info!(
            dialect = "gmnet", event = "registered", host:% = at, game = whole;
            "host {at} registered, its UDP packet is not here yet: {game}"
        ),
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
            dialect = "gmnet", event = "refused", host:% = addr, reason = Reason::Version.name();
            "host {addr} refused: its game has version {version} of GMnet PUNCH, {oldest} is the \
             oldest that works; rebuild the game with a newer GMnet PUNCH"
        ),
        version::Refused::NotANumber => warn!(
            dialect = "gmnet", event = "refused", host:% = addr, reason = Reason::Version.name();
            "host {addr} refused: \"{version}\" is no version of GMnet PUNCH; it should be like \
             {oldest}"
        ),
    }
}

impl Gmnet {
    /// A client asks for a host by something that is no address.
    pub(super) fn note_no_address(&mut self, cx: &mut Context<'_>, client: IpAddr, text: &str) {
        let (level, at) = (self.lines.level(cx.now, client, true), SocketAddr::new(client, 0));
        let length = text.len();
        let text = clean(text);
        let (names, about) = (Names::new("", &text), unmet::about(&text));
        let asked = Asked { names, about, ..asked(at, None, Cause::NoAddress) };
        if length > limits::TARGET {
            // Between characters that nobody sees there may be an address.
            let line = format_args!(
                "{client} asked for a host by {length} bytes, which is too long for an IP address"
            );
            return cx.not_introduced(level, asked, line);
        }
        let text = Short(&text);
        let line = format_args!("{client} asked for a host at \"{text}\", which is no IP address");
        cx.not_introduced(level, asked, line);
    }

    /// What became of a request for a host, and what may be wrong.
    pub(super) fn note_outcome(
        &mut self,
        cx: &mut Context<'_>,
        request: &Request,
        text: &str,
        outcome: &Outcome,
    ) {
        let level = self.lines.level(cx.now, request.client, true);
        let (key, port) = match *outcome {
            Outcome::Wait => return,
            Outcome::NotFound => return self.note_not_found(cx, level, request, text),
            Outcome::OtherFamily(key) => (key, None),
            Outcome::HostWithoutPort(key, port)
            | Outcome::Elsewhere(key, _, port)
            | Outcome::Found(key, _, port) => (key, port),
        };
        let is_closed = self.is_udp_closed(cx, outcome);
        let Some(host) = self.hosts.any(key) else { return };
        let (addr, conn, named) = (request.client, host.conn, Named(host));
        let at = SocketAddr::new(addr, port.unwrap_or_default());
        let client = Shown(at);
        let whom = SocketAddr::new(host.addr, host.port.unwrap_or_default());
        let asked =
            |cause| Asked { names: Names::new(host.game(), ""), ..asked(at, Some(whom), cause) };
        match outcome {
            Outcome::Wait | Outcome::NotFound => {}
            Outcome::OtherFamily(_) => {
                let (own, by) = (family(addr), family(host.addr));
                let line = format_args!(
                    "{client} asked for host {named} by {own}, the host is registered by {by}; neither \
                     can reach the other: both games must use an address of this server of one \
                     kind"
                );
                cx.refused(Name::Gmnet, Reason::Family, addr);
                cx.not_introduced(level, asked(Cause::Family), line);
            }
            Outcome::HostWithoutPort(..) => {
                let why = self.why(is_closed, self.unpaired_regs.maybe(conn));
                let line = format_args!(
                    "{client} could not be introduced to host {named}: the host's UDP packet never \
                     came; {why}"
                );
                cx.not_introduced(level, asked(Cause::HostUdp), line);
            }
            Outcome::Found(_, port, None) => {
                let told = self.config.public_ips.told(host.addr, addr);
                let told = Some(SocketAddr::new(told, *port));
                let for_host = self.config.public_ips.told(addr, host.addr);
                if self.conns.get(request.conn).is_none_or(|conn| conn.finished) {
                    let why = self.why(is_closed, self.unpaired_connects.maybe(request.conn));
                    let line = format_args!(
                        "{client} could not be introduced to host {named}: it closed its connection before \
                         its UDP packet came; {why}"
                    );
                    cx.not_introduced(level, asked(Cause::ClientUdp), line);
                } else if self.notices.has_room(conn, for_host) {
                    let why = self.why(is_closed, self.unpaired_connects.maybe(request.conn));
                    let line = format_args!(
                        "{client} was told where host {named} is, but the host was not told: the \
                         client's UDP packet never came; {why}"
                    );
                    cx.not_introduced(level, Asked { told, ..asked(Cause::ClientUdp) }, line);
                } else {
                    let line = format_args!(
                        "{client} was told where host {named} is, but the host was not told: more \
                         join it than it can be told of"
                    );
                    cx.not_introduced(level, Asked { told, ..asked(Cause::Full) }, line);
                }
            }
            Outcome::Elsewhere(_, told, None) => {
                let why = self.why(is_closed, self.unpaired_connects.maybe(request.conn));
                let line = format_args!(
                    "{client} was told {told} for host {named}, whose own UDP packet never came, but the \
                     host was not told: the client's UDP packet never came either; {why}"
                );
                let told = Some(*told);
                cx.not_introduced(level, Asked { told, ..asked(Cause::ClientUdp) }, line);
            }
            Outcome::Elsewhere(..) | Outcome::Found(..) if level.is_none() => {}
            Outcome::Elsewhere(_, at, _) => info!(
                dialect = "gmnet", client:% = client, host:% = host.at(), game = host.game();
                "{client} was told {at} for host {named}, whose own UDP packet never came: it seems \
                 that its network sends TCP and UDP from different public addresses"
            ),
            Outcome::Found(..) => info!(
                dialect = "gmnet", event = "introduced", client:% = client, host:% = host.at(),
                game = host.game(); "introduced {client} to host {named}"
            ),
        }
    }

    /// Where the packets of host or client never came: whether none has come from anybody.
    fn is_udp_closed(&self, cx: &mut Context<'_>, outcome: &Outcome) -> Option<u16> {
        let lacking = match outcome {
            Outcome::HostWithoutPort(_, client_port) => 1 + u32::from(client_port.is_none()),
            Outcome::Found(_, _, None) => 1,
            _ => return None,
        };
        let port = self.config.sockets.first().map_or(0, SocketAddr::port);
        cx.shared.diagnostics.udp_lacks(lacking, port).then_some(port)
    }

    /// Why the packet of a peer may not have come. One that came from elsewhere is perhaps its, but not if
    /// somebody is known to be there.
    fn why(&self, closed: Option<u16>, other: Option<SocketAddr>) -> Why {
        let is_nobodys = |at: &SocketAddr| {
            self.hosts.find(at.ip(), None).is_none() && !self.unpaired_regs.has_connected(at.ip())
        };
        Why { closed, other: other.filter(is_nobodys) }
    }

    fn note_not_found(
        &self,
        cx: &mut Context<'_>,
        level: Option<Level>,
        request: &Request,
        text: &str,
    ) {
        let text = clean(text);
        let (at, text) = (SocketAddr::new(request.client, 0), Short(text.trim()));
        let whom = SocketAddr::new(request.host, request.port.unwrap_or_default());
        let client = request.client;
        let asked = asked(at, Some(whom), Cause::NotFound);
        if request.was_there {
            let line = format_args!(
                "{client} could not be introduced to host {text}: the host left while it waited"
            );
            return cx.not_introduced(level, asked, line);
        }
        let line = format_args!("not found: {client} asked for {text}, where no host is");
        cx.not_introduced(level, asked, line);
    }
}

/// What is told to the owner of a client that is not introduced.
fn asked(client: SocketAddr, host: Option<SocketAddr>, cause: Cause) -> Asked {
    let (dialect, names) = (Name::Gmnet, Names::default());
    Asked { dialect, client, host, names, told: None, is_proven: true, cause, about: 0 }
}

/// Why a peer's UDP packet may not have come.
struct Why {
    /// None has come at this port.
    closed: Option<u16>,
    /// One came from another address instead.
    other: Option<SocketAddr>,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.closed, self.other) {
            (Some(port), _) => f.write_str(&closed(port)),
            (None, None) => f.write_str("is UDP blocked on its side?"),
            (None, Some(other)) => write!(
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
