//! What the two processes say to each other. Messages are JSON, so that a process of any version can tell why it
//! does not understand another one; what there is much of is CBOR, behind a letter that begins no JSON.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::dialect::ConnId;
use crate::limits::handover::PACKET;
use crate::state;

/// The version of all this. Fields may be added without another one.
pub(super) const VERSION: u16 = 1;

/// Bytes that are told with one packet, behind its letter.
pub(super) const PACKET_BYTES: usize = PACKET - 1;

/// Something that one process says to the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Message {
    /// Who is asked, and what there is.
    Welcome {
        version: u16,
        build: String,
        pid: u32,
        /// A service manager has opened its sockets, whatever the options say.
        activated: bool,
        /// How many connections there are now.
        connections: usize,
        /// How many sockets are told of.
        sockets: usize,
    },
    /// Which sockets the descriptors are that come with this.
    Sockets(Vec<Place>),
    /// The new process can go on as soon as it has the rest.
    Ready { version: u16, build: String },
    /// All connections were told of that there are now.
    Connected,
    /// The new process has those that it was told of before the other stops.
    HaveConnections,
    /// Nothing is read any more. What has changed with the connections follows.
    Frozen {
        /// What time it is for the server, in microseconds.
        instant: u64,
        /// What time that is for the system, in nanoseconds.
        monotonic: u64,
        /// The generation of the latest connection.
        generation: u32,
        /// How many connections move.
        connections: usize,
        /// How many bytes of what was written to them wait, in all.
        unsent: usize,
    },
    /// So many bytes of a part of the state follow.
    Part { name: String, version: u16, length: usize },
    /// Those were all parts.
    Whole,
    /// The new process has all.
    HaveAll,
    /// It is to go on.
    Go,
    /// It does.
    Serving,
    /// It, or the running one, does not want to, for this reason.
    Refused(String),
}

/// What a socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Kind {
    Tcp,
    Udp,
    /// Beside those, for STUN.
    Alternate,
    /// The listener of the owner's window.
    Window,
    /// Where the next process will ask.
    #[serde(rename = "Door")]
    Handover,
    /// A port of the relay.
    Relay,
}

/// A socket and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    pub(super) kind: Kind,
    pub(super) addr: SocketAddr,
}

/// A connection, beside its descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::net) struct Moved {
    #[serde(rename = "i")]
    pub(in crate::net) id: ConnId,
    /// Its peer has sent its last byte, and that was told.
    #[serde(rename = "f", default, skip_serializing_if = "is_not")]
    pub(in crate::net) finished: bool,
    /// To be closed when all has left.
    #[serde(rename = "c", default, skip_serializing_if = "is_not")]
    pub(in crate::net) closing: bool,
    /// What was written to it and has not left, and since when it has not read any, in microseconds.
    #[serde(rename = "u", default, skip_serializing_if = "Option::is_none")]
    pub(in crate::net) unsent: Option<(usize, u64)>,
    /// When it was to be closed, in microseconds.
    #[serde(rename = "l", default, skip_serializing_if = "Option::is_none")]
    pub(in crate::net) leaving: Option<u64>,
}

impl Moved {
    /// One of which there is nothing to tell.
    pub(in crate::net) const fn plain(id: ConnId) -> Self {
        Self { id, finished: false, closing: false, unsent: None, leaving: None }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
const fn is_not(flag: &bool) -> bool {
    !*flag
}

/// What one packet has.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Packet<'a> {
    Message(Message),
    /// Each with its descriptor, or all without: then they were told of before, and this has changed.
    Connections(Vec<Moved>),
    /// They were told of, and do not move.
    Gone(Vec<ConnId>),
    /// Of what has not left, or of the state.
    Bytes(&'a [u8]),
}

/// How many of [`Packet::Gone`] find room in a packet: as CBOR one takes 11 bytes at most, and the letter and
/// the number of all of them 6.
pub(super) const GONE: usize = (PACKET - 6) / 11;

const CONNECTIONS: u8 = b'C';
const MISSING: u8 = b'G';
const BYTES: u8 = b'B';

impl Packet<'_> {
    /// None: it cannot be written, which would be a mistake in its type.
    pub(super) fn write(&self) -> Option<Vec<u8>> {
        match self {
            Self::Message(message) => serde_json::to_vec(message).ok(),
            Self::Connections(moved) => behind(CONNECTIONS, moved),
            Self::Gone(gone) => behind(MISSING, gone),
            Self::Bytes(bytes) => Some([&[BYTES], *bytes].concat()),
        }
    }
}

fn behind(letter: u8, what: &impl Serialize) -> Option<Vec<u8>> {
    let mut packet = vec![letter];
    packet.extend(state::write(what)?);
    Some(packet)
}

/// What a packet has. None: it is something else.
pub(super) fn read(packet: &[u8]) -> Option<Packet<'_>> {
    match packet {
        [CONNECTIONS, moved @ ..] => state::read(moved).ok().map(Packet::Connections),
        [MISSING, gone @ ..] => state::read(gone).ok().map(Packet::Gone),
        [BYTES, bytes @ ..] => Some(Packet::Bytes(bytes)),
        message => serde_json::from_slice(message).ok().map(Packet::Message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::handover::DESCRIPTORS;

    #[test]
    fn what_is_written_is_read() {
        let ready = Message::Ready { version: VERSION, build: "0.2.0".into() };
        let place = Place { kind: Kind::Relay, addr: SocketAddr::from(([127, 0, 0, 1], 9)) };
        let id = ConnId { slot: 3, generation: 7 };
        let plain = Moved::plain(id);
        let full = Moved {
            finished: true,
            closing: true,
            unsent: Some((5, 6)),
            leaving: Some(8),
            ..plain
        };
        for packet in [
            Packet::Message(ready),
            Packet::Message(Message::Sockets(vec![place])),
            Packet::Message(Message::Go),
            Packet::Connections(vec![plain, full]),
            Packet::Gone(vec![id]),
            Packet::Bytes(b"{}"),
        ] {
            assert_eq!(read(&packet.write().unwrap()), Some(packet));
        }
        for odd in [&b""[..], b"C", b"Cx", b"x", b"{}", b"\"Come\"", b"\xff"] {
            assert_eq!(read(odd), None, "{}", odd.escape_ascii());
        }
    }

    /// A later version may tell more, and is still told why it is not understood.
    #[test]
    fn fields_that_are_not_known_are_passed_over() {
        let later = br#"{"Ready":{"version":2,"build":"9","more":true}}"#;
        let ready = Message::Ready { version: 2, build: "9".into() };
        assert_eq!(read(later), Some(Packet::Message(ready)));
    }

    #[test]
    fn as_many_as_may_come_together_find_room() {
        let id = ConnId { slot: u32::MAX, generation: u32::MAX };
        let (unsent, leaving) = (Some((usize::MAX, u64::MAX)), Some(u64::MAX));
        let moved = Moved { id, finished: true, closing: true, unsent, leaving };
        let all = Packet::Connections(vec![moved; DESCRIPTORS]).write().unwrap();
        assert!(all.len() <= PACKET, "{} bytes", all.len());
        let gone = Packet::Gone(vec![id; GONE]).write().unwrap();
        assert!(gone.len() <= PACKET, "{} bytes", gone.len());
        let addr = "[2001:db8:2001:db8:2001:db8:2001:db8%4294967295]:65535".parse().unwrap();
        let place = Place { kind: Kind::Alternate, addr };
        let all = Message::Sockets(vec![place; DESCRIPTORS]);
        assert!(Packet::Message(all).write().unwrap().len() <= PACKET);
    }
}
