//! STUN: tells a client the endpoint that its packets come from (RFC 8489), and answers from
//! another port or address when asked, so that it can find out what its NAT does (RFC 5780).
//! Clients of RFC 3489 are answered in its terms.
//!
//! There is no state, and no answer is longer than three times its request with the headers of IP
//! and UDP, so forging the sender of a request is of no use to anybody.

use std::net::{IpAddr, SocketAddr};

use log::trace;

use super::{Context, Dialect, Name, Outbox, Shows, Via};
use crate::refusals::Reason;
use crate::state::{NotUnderstood, Saved, Saving};

pub mod message;

use message::{Class, Message, Writer, attribute};

/// Bad Request (RFC 8489, section 14.8).
const BAD_REQUEST: u16 = 400;

/// Unknown Attribute (RFC 8489, section 14.8).
const UNKNOWN_ATTRIBUTE: u16 = 420;

/// Types from here on may be ignored by who does not understand them (RFC 8489, section 14).
const OPTIONAL: u16 = 0x8000;

/// Unknown attributes that are listed in an answer; a client that sends more of them will hear of
/// the rest when it has left these out.
const LISTED: usize = 16;

/// The sockets, as far as the dialect has to know them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Where each UDP socket is, by its number in [`Via`].
    pub sockets: Vec<SocketAddr>,
    /// The alternate port.
    pub alternate_port: Option<u16>,
    /// The alternate address.
    pub alternate_addr: Option<IpAddr>,
}

/// The dialect.
#[derive(Debug)]
pub struct Stun {
    config: Config,
    /// The port that is not the alternate one.
    main_port: u16,
    /// An address of the machine that is not the alternate one, as requests have shown.
    main_addr: Option<IpAddr>,
}

/// What a request asks for beyond its sender's endpoint.
#[derive(Debug, Default)]
struct Wishes {
    change: u32,
    response_port: Option<u16>,
    padding: Option<usize>,
}

impl Stun {
    /// A dialect that answers from these sockets.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let main_port = config.sockets.first().map_or(0, SocketAddr::port);
        let is_main =
            |addr: &IpAddr| !addr.is_unspecified() && Some(*addr) != config.alternate_addr;
        let main_addr = config.sockets.iter().map(SocketAddr::ip).find(is_main);
        Self { config, main_port, main_addr }
    }

    /// Where a datagram was sent to; the address is unspecified where the system did not tell.
    fn here(&self, via: Via) -> Option<SocketAddr> {
        let bound = self.config.sockets.get(usize::from(via.socket))?;
        Some(SocketAddr::new(via.local.unwrap_or(bound.ip()), bound.port()))
    }

    /// The address that is not this one (RFC 5780, section 7.4).
    fn other_ip(&self, here: IpAddr) -> Option<IpAddr> {
        let alternate = self.config.alternate_addr?;
        let other = if here == alternate { self.main_addr? } else { alternate };
        (other.is_ipv4() == here.is_ipv4()).then_some(other)
    }

    fn other_port(&self, here: u16) -> Option<u16> {
        let alternate = self.config.alternate_port?;
        Some(if here == alternate { self.main_port } else { alternate })
    }

    /// Both together, which is what OTHER-ADDRESS tells.
    fn other(&self, here: SocketAddr) -> Option<SocketAddr> {
        Some(SocketAddr::new(self.other_ip(here.ip())?, self.other_port(here.port())?))
    }

    /// How to send something so that it leaves from this endpoint.
    fn leaving(&self, from: SocketAddr) -> Option<Via> {
        let is_it = |bound: &SocketAddr| {
            let carries = bound.ip().is_unspecified() && (bound.is_ipv6() || from.is_ipv4());
            bound.port() == from.port() && (bound.ip() == from.ip() || carries)
        };
        let socket = self.config.sockets.iter().position(is_it)?;
        let local = Some(from.ip()).filter(|ip| !ip.is_unspecified());
        Some(Via { socket: u8::try_from(socket).ok()?, local })
    }

    /// From where to answer, if a request may be answered from there.
    fn origin(&self, via: Via, change: u32) -> Option<(Via, Option<SocketAddr>)> {
        let here = self.here(via);
        if change & (message::CHANGE_IP | message::CHANGE_PORT) == 0 {
            return Some((via, here));
        }
        let here = here?;
        let ip = match change & message::CHANGE_IP {
            0 => here.ip(),
            _ => self.other_ip(here.ip())?,
        };
        let port = match change & message::CHANGE_PORT {
            0 => here.port(),
            _ => self.other_port(here.port())?,
        };
        let from = SocketAddr::new(ip, port);
        Some((self.leaving(from)?, Some(from)))
    }

    fn answer(&self, via: Via, peer: SocketAddr, request: &Message<'_>, out: &mut Outbox) {
        let wishes = match Wishes::of(request) {
            Ok(wishes) => wishes,
            Err(refusal) => return refuse(via, peer, request, &refusal, out),
        };
        let Some((leaving, from)) = self.origin(via, wishes.change) else {
            // RFC 5780, section 6.1: who cannot do it does not know the attribute.
            let refusal = Refusal::Unknown(vec![attribute::CHANGE_REQUEST]);
            return refuse(via, peer, request, &refusal, out);
        };
        let told = from.filter(|from| !from.ip().is_unspecified());
        let other = self.here(via).and_then(|here| self.other(here));
        let to = SocketAddr::new(peer.ip(), wishes.response_port.unwrap_or(peer.port()));
        out.udp(leaving, to, |bytes| {
            let mut writer = Writer::new(bytes, Class::Success, message::BINDING, request.id);
            if request.id.is_classic() {
                classic(&mut writer, peer, told, other);
            } else {
                writer.xor_address(attribute::XOR_MAPPED_ADDRESS, peer);
                if let Some(told) = told {
                    writer.address(attribute::RESPONSE_ORIGIN, told);
                }
                if let Some(other) = other {
                    writer.address(attribute::OTHER_ADDRESS, other);
                }
            }
            if let Some(length) = wishes.padding {
                writer.attribute(attribute::PADDING, &vec![0; length]);
            }
            if request.get(attribute::FINGERPRINT).is_some() {
                writer.fingerprint();
            }
        });
    }
}

/// The attributes of RFC 3489, section 8.1. Its clients insist on a CHANGED-ADDRESS; where there
/// is none, they get the address of the server, which tells them so.
fn classic(
    writer: &mut Writer<'_>,
    peer: SocketAddr,
    told: Option<SocketAddr>,
    other: Option<SocketAddr>,
) {
    writer.address(attribute::MAPPED_ADDRESS, peer);
    if let Some(told) = told {
        writer.address(attribute::SOURCE_ADDRESS, told);
        writer.address(attribute::CHANGED_ADDRESS, other.unwrap_or(told));
    }
}

/// Why a request is not fulfilled.
#[derive(Debug)]
enum Refusal {
    /// It has attributes that have to be understood and are not.
    Unknown(Vec<u16>),
    /// It contradicts itself, or an attribute has a value that it cannot have.
    Bad,
}

impl Wishes {
    fn of(request: &Message<'_>) -> Result<Self, Refusal> {
        let mut wishes = Self::default();
        let mut unknown = Vec::new();
        for (kind, value) in request.attributes() {
            match kind {
                attribute::CHANGE_REQUEST => {
                    let flags = value.try_into().map_err(|_| Refusal::Bad)?;
                    wishes.change = u32::from_be_bytes(flags);
                }
                attribute::RESPONSE_PORT => {
                    let [high, low, ..] = value else { return Err(Refusal::Bad) };
                    wishes.response_port = Some(u16::from_be_bytes([*high, *low]));
                }
                attribute::PADDING => wishes.padding = Some(value.len()),
                _ if kind >= OPTIONAL || is_understood(kind) => {}
                _ if unknown.len() < LISTED && !unknown.contains(&kind) => unknown.push(kind),
                _ => {}
            }
        }
        if !unknown.is_empty() {
            return Err(Refusal::Unknown(unknown));
        }
        // RFC 5780, section 7.5: the two together are not allowed.
        let both = wishes.response_port.is_some() && wishes.padding.is_some();
        if both || wishes.response_port == Some(0) { Err(Refusal::Bad) } else { Ok(wishes) }
    }
}

/// Whether we know what to make of it: nothing. Answers need no credentials here, and addresses
/// in requests mean nothing.
fn is_understood(kind: u16) -> bool {
    use attribute::{
        CHANGED_ADDRESS, ERROR_CODE, MAPPED_ADDRESS, MESSAGE_INTEGRITY, MESSAGE_INTEGRITY_SHA256,
        NONCE, PASSWORD_ALGORITHM, REALM, SOURCE_ADDRESS, UNKNOWN_ATTRIBUTES, USERHASH, USERNAME,
        XOR_MAPPED_ADDRESS,
    };
    matches!(
        kind,
        MAPPED_ADDRESS
            | SOURCE_ADDRESS
            | CHANGED_ADDRESS
            | USERNAME
            | MESSAGE_INTEGRITY
            | ERROR_CODE
            | UNKNOWN_ATTRIBUTES
            | REALM
            | NONCE
            | MESSAGE_INTEGRITY_SHA256
            | PASSWORD_ALGORITHM
            | USERHASH
            | XOR_MAPPED_ADDRESS
    )
}

fn refuse(via: Via, peer: SocketAddr, request: &Message<'_>, why: &Refusal, out: &mut Outbox) {
    out.udp(via, peer, |bytes| {
        let mut writer = Writer::new(bytes, Class::Error, message::BINDING, request.id);
        match why {
            Refusal::Bad => {
                writer.error_code(BAD_REQUEST, "Bad Request");
            }
            Refusal::Unknown(kinds) => {
                writer.error_code(UNKNOWN_ATTRIBUTE, "Unknown Attribute");
                let list: Vec<u8> = kinds.iter().flat_map(|kind| kind.to_be_bytes()).collect();
                writer.attribute(attribute::UNKNOWN_ATTRIBUTES, &list);
            }
        }
        if request.get(attribute::FINGERPRINT).is_some() {
            writer.fingerprint();
        }
    });
}

impl Shows for Stun {}

impl Dialect for Stun {
    fn on_datagram(&mut self, cx: &mut Context<'_>, via: Via, peer: SocketAddr, data: &[u8]) {
        if let Some(local) = via.local
            && Some(local) != self.config.alternate_addr
        {
            self.main_addr = Some(local);
        }
        match Message::parse(data) {
            Ok(request)
                if request.class == Class::Request && request.method == message::BINDING =>
            {
                self.answer(via, peer, &request, cx.out);
            }
            // Indications want no answer, and we have asked nobody.
            Ok(_) => {}
            Err(error) => {
                cx.refused(Name::Stun, Reason::Malformed, peer.ip());
                trace!("{peer} sent something like STUN: {error}");
            }
        }
    }

    fn save(&self, to: &mut Saving<'_>) {
        // Else each datagram is answered by itself.
        to.write(&self.main_addr);
    }

    fn load(&mut self, _cx: &mut Context<'_>, from: &mut Saved<'_>) -> Result<(), NotUnderstood> {
        self.main_addr = from.read()?;
        Ok(())
    }
}

/// Whether a datagram without the cookie is a Binding request of RFC 3489. No other dialect has
/// one that begins so: text has no NUL in front, and no field of Protocol Buffers has number 0.
#[must_use]
pub fn is_classic_request(data: &[u8]) -> bool {
    let length = data.len().wrapping_sub(message::HEADER);
    data.len() >= message::HEADER
        && data.starts_with(&[0, 1])
        && data.get(2..4).is_some_and(|field| field == (length as u16).to_be_bytes())
}

#[cfg(test)]
mod tests;
