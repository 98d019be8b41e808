//! Which dialect a packet speaks, by its first bytes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::stun;
use crate::limits;

/// The dialects there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Name {
    /// GMnet PUNCH: TCP lines and UDP words.
    Gmnet,
    /// STUN (RFC 8489) over UDP.
    Stun,
    /// Text over UDP.
    Rooms,
    /// JSON over TCP, with or without TLS.
    Events,
    /// Protocol Buffers over UDP.
    Natpunch,
}

impl Name {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Gmnet, Self::Stun, Self::Rooms, Self::Events, Self::Natpunch];

    /// What it is called.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Gmnet => "gmnet",
            Self::Stun => "stun",
            Self::Rooms => "rooms",
            Self::Events => "events",
            Self::Natpunch => "natpunch",
        }
    }
}

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|name| name.to_string() == text.trim());
        found.ok_or_else(|| {
            let all = Self::ALL.map(|name| name.to_string()).join(", ");
            format!("there is no such dialect; want some of {all}")
        })
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// First byte of a TLS record with a handshake in it (RFC 8446, section 5.1).
pub(crate) const TLS_HANDSHAKE: u8 = 22;

/// What GameMaker writes before what `network_send_packet` sends: this word, the length of the header,
/// and that of what is behind it.
const GAMEMAKER: &[u8] = &[0xDE, 0xC0, 0xAD, 0xDE];
const GAMEMAKER_HEADER: usize = 12;

/// What .NET and others write before UTF-8.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// The same before UTF-16, with the lower byte first and last.
const WIDE_MARKS: [&[u8]; 2] = [b"\xff\xfe", b"\xfe\xff"];

/// A length of one or two bytes and the beginning of an object behind it.
const LENGTH_AND_TEXT: usize = 4;

/// Bytes that tell nothing yet and are kept until more come: more than any header.
const UNTOLD: usize = 64;

/// What the first bytes of a TCP connection tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Nothing yet: there may be more before it begins.
    Untold,
    /// The dialect.
    Of(Name),
    /// HTTP, if that is spoken.
    Http,
    /// It is of no dialect, but what is behind its first bytes may be.
    Misframed(Misframed),
}

/// What no dialect begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Misframed {
    /// What it looks like.
    pub what: Preamble,
    /// Whether a JSON object is behind it.
    pub has_event: bool,
}

/// What stands before what a dialect would understand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preamble {
    /// GameMaker's packet header.
    Packet,
    /// The length of what follows, in four bytes, or in fewer before a JSON object.
    Length,
    /// A byte order mark.
    Mark,
    /// It is UTF-16.
    Wide,
    /// The beginning of a list, with an object in it.
    List,
}

impl fmt::Display for Preamble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Packet => {
                "it sends GameMaker's packet header, the game has to use network_send_raw instead of \
                 network_send_packet"
            }
            Self::Length => {
                "it sends a length before its text, the game has to send the text alone (in Godot \
                 put_data(text.to_utf8_buffer()) instead of put_string or put_utf8_string, in C# no \
                 BinaryWriter, in Java no writeUTF)"
            }
            Self::Mark => {
                "it sends a byte order mark before its text, the game has to send UTF-8 without one (in \
                 C# new UTF8Encoding(false) instead of Encoding.UTF8)"
            }
            Self::List => "it sends a list of JSON, the game has to send each event as an object by itself",
            Self::Wide => {
                "it sends UTF-16, the game has to send UTF-8 (in C# new UTF8Encoding(false) instead of \
                 Encoding.Unicode)"
            }
        })
    }
}

/// The dialect of a TCP connection, by its first bytes: by the first that is neither white space nor NUL,
/// nor of a byte order mark before an event.
#[must_use]
pub fn of_stream(bytes: &[u8]) -> Stream {
    if bytes.starts_with(GAMEMAKER) || GAMEMAKER.starts_with(bytes) {
        return behind(bytes, GAMEMAKER_HEADER, Preamble::Packet);
    }
    if let Some(told) = of_wide(bytes).or_else(|| of_page(bytes)) {
        return told;
    }
    // Behind it the version of TLS, which has begun with 3 ever since.
    if bytes.first() == Some(&TLS_HANDSHAKE) && bytes.get(1).is_none_or(|version| *version == 3) {
        return Stream::Of(Name::Events);
    }
    let is_blank = |b: &u8| matches!(b, b' ' | b'\t' | b'\n' | b'\r' | 0);
    if let Some(length) = bytes.first_chunk().filter(|length| !length.iter().all(is_blank)) {
        let is_one = |length: u32| length as usize <= limits::OBJECT;
        // NULs before a command look like the beginning of one in the order of networks.
        let is_followed = bytes.get(length.len()).is_none_or(|first| *first == b'{');
        if is_one(u32::from_le_bytes(*length)) || is_followed && is_one(u32::from_be_bytes(*length))
        {
            return behind(bytes, length.len(), Preamble::Length);
        }
    }
    if bytes.first() == Some(&TLS_HANDSHAKE) {
        return Stream::Of(Name::Events);
    }
    let (mut rest, mut is_marked) = (bytes, false);
    loop {
        match rest {
            [first, after @ ..] if is_blank(first) => rest = after,
            [0xEF, 0xBB, 0xBF, after @ ..] => (rest, is_marked) = (after, true),
            [b'{', ..] => return Stream::Of(Name::Events),
            [b'[', b'{', ..] => {
                return Stream::Misframed(Misframed { what: Preamble::List, has_event: true });
            }
            // The length of .NET's BinaryWriter, or of Java's DataOutputStream.
            [_, b'{', b'"', ..] | [_, _, b'{', b'"', ..] => {
                return Stream::Misframed(Misframed { what: Preamble::Length, has_event: true });
            }
            _ if MARK.starts_with(rest) && bytes.len() <= UNTOLD => return Stream::Untold,
            _ if is_marked => {
                return Stream::Misframed(Misframed { what: Preamble::Mark, has_event: false });
            }
            // .NET's BinaryWriter sends the length by itself, and no line of GMnet's is that short.
            _ if bytes.len() < LENGTH_AND_TEXT && !bytes.contains(&b'\n') => return Stream::Untold,
            _ => return Stream::Of(Name::Gmnet),
        }
    }
}

/// Whether it is UTF-16, by its mark or as the second byte of an object is a NUL.
fn of_wide(bytes: &[u8]) -> Option<Stream> {
    let misframed =
        |has_event| Some(Stream::Misframed(Misframed { what: Preamble::Wide, has_event }));
    if let [b'{', 0, ..] | [0, b'{', 0, ..] = bytes {
        return misframed(true);
    }
    let mark = WIDE_MARKS.iter().find(|mark| bytes.starts_with(mark))?;
    match bytes.get(mark.len()..mark.len() + 2) {
        None => Some(Stream::Untold),
        Some(first) => misframed(first.contains(&b'{')),
    }
}

/// What requests of HTTP begin with (RFC 9110, section 9.3, and RFC 5789). Most are refused, which browsers
/// and people have to be told.
const METHODS: [&[u8]; 9] = [
    b"GET ",
    b"HEAD ",
    b"OPTIONS ",
    b"POST ",
    b"PUT ",
    b"PATCH ",
    b"DELETE ",
    b"TRACE ",
    b"CONNECT ",
];

/// The same on a server that speaks HTTP beside its dialects.
#[must_use]
pub fn of_stream_or_http(bytes: &[u8]) -> Stream {
    if let Some(told) = of_page(bytes) {
        return told;
    }
    for word in METHODS {
        if bytes.starts_with(word) {
            return Stream::Http;
        }
        if word.starts_with(bytes) {
            return Stream::Untold;
        }
    }
    of_stream(bytes)
}

/// The beginning of a request for the WebSocket of events, or for anything else.
fn of_page(bytes: &[u8]) -> Option<Stream> {
    const EVENTS: &[u8] = b"GET /events";
    match bytes.strip_prefix(EVENTS) {
        Some([]) => Some(Stream::Untold),
        Some([b' ' | b'?', ..]) => Some(Stream::Of(Name::Events)),
        Some(_) => None,
        None if bytes.is_empty() => None,
        None => EVENTS.starts_with(bytes).then_some(Stream::Untold),
    }
}

/// What is behind so many bytes that are of no dialect.
fn behind(bytes: &[u8], header: usize, what: Preamble) -> Stream {
    match bytes.get(header) {
        None => Stream::Untold,
        Some(first) => Stream::Misframed(Misframed { what, has_event: *first == b'{' }),
    }
}

/// The dialect of a datagram.
#[must_use]
pub fn of_datagram(data: &[u8]) -> Name {
    if data.starts_with(GAMEMAKER) {
        return Name::Gmnet;
    }
    if data.get(4..8) == Some(&stun::message::COOKIE) || stun::is_classic_request(data) {
        return Name::Stun;
    }
    match first_word(data) {
        b"reg" | b"connect" => Name::Gmnet,
        b"udp" => Name::Events,
        // The last two are answers: who sends those is no client, and that has to be known.
        b"status" | b"rh" | b"rl" | b"jr" | b"qj" | b"pc" | b"lr" | b"cr" | b"kc" | b"li"
        | b"rn" | b"rs" | b"rc" | b"ka" | b"k" | b"er" | b"rID" => Name::Rooms,
        _ => Name::Natpunch,
    }
}

/// The bytes up to the first that ends a word: a colon, a line end, a NUL, or the end.
fn first_word(data: &[u8]) -> &[u8] {
    let is_end = |b: &u8| matches!(b, b':' | b'\r' | b'\n' | 0);
    data.split(is_end).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_told_apart() {
        let cases: [(&[u8], Name); 11] = [
            (b"\xde\xc0\xad\xde\x0c\0\0\0\x05\0\0\0reg\n\0", Name::Gmnet),
            (b"reg\n", Name::Gmnet),
            (b"connect\r\n\0", Name::Gmnet),
            (b"\0\x01\0\0\x21\x12\xa4\x42012345678901", Name::Stun),
            (b"\0\x01\0\0an old 16-byteID", Name::Stun),
            (b"status", Name::Rooms),
            (b"jr:0123456789abcdef\n", Name::Rooms),
            (b"k:secret:rl", Name::Rooms),
            (b"udp:token", Name::Events),
            (b"\x0a\x0a\x0a\x08", Name::Natpunch),
            (b"registration", Name::Natpunch),
        ];
        for (data, name) in cases {
            assert_eq!(of_datagram(data), name, "{data:?}");
        }
    }

    #[test]
    fn streams_are_told_apart() {
        let misframed = |what, has_event| Stream::Misframed(Misframed { what, has_event });
        let (gmnet, events) = (Stream::Of(Name::Gmnet), Stream::Of(Name::Events));
        let cases: [(&[u8], Stream); 60] = [
            (b"{", events),
            (b"\x16", events),
            (b"\x16\x03\x01\0", events),
            (b"\x16\x03\0\0\x90\x01", events),
            (b"\x16x", events),
            (b"\xef\xbb\xbf{", events),
            (b"\0\r\n \t{\"", events),
            (b"\n\xef\xbb\xbf\n\xef\xbb\xbf{", events),
            (b"", Stream::Untold),
            (b"\n", Stream::Untold),
            (b"\n\n\0\n\0\0\0\r\n", Stream::Untold),
            (b"\xef", Stream::Untold),
            (b" \xef\xbb", Stream::Untold),
            (b"\xef\xbb\xbf", Stream::Untold),
            (&[0; UNTOLD], Stream::Untold),
            (&[0; UNTOLD + 1], gmnet),
            (b"r", Stream::Untold),
            (b"reg", Stream::Untold),
            (b"x\n", gmnet),
            (b"reg2", gmnet),
            (b"\0version", gmnet),
            (b"\n\0version", gmnet),
            (b"\0\0\0v", Stream::Untold),
            (b"\0\0\0version", gmnet),
            (b"\xefxyz", gmnet),
            (b"GET / HTTP/1.1\r\n", gmnet),
            (b"G", Stream::Untold),
            (b"GET /events", Stream::Untold),
            (b"GET /events HTTP/1.1\r\n", events),
            (b"GET /events?a", events),
            (b"GET /eventsx", gmnet),
            (b"GO", Stream::Untold),
            (b"GOAL", gmnet),
            (b"\xef\xbb\xbfreg2\n", misframed(Preamble::Mark, false)),
            (b"\xde", Stream::Untold),
            (b"\xde\xc0\xad\xde\x0c\0\0\0\x05\0\0\0", Stream::Untold),
            (b"\xde\xc0\xad\xde\x0c\0\0\0\x05\0\0\0reg2", misframed(Preamble::Packet, false)),
            (b"\xde\xc0\xad\xde\x0c\0\0\0\x05\0\0\0{\"a", misframed(Preamble::Packet, true)),
            (b"\xde\xc0xy", gmnet),
            (b"\x47\0\0\0", Stream::Untold),
            (b"\x47\0\0\0{\"type", misframed(Preamble::Length, true)),
            (b"\0\0\x02\x47{\"type", misframed(Preamble::Length, true)),
            (b"\x72\x65\0\0reg2", misframed(Preamble::Length, false)),
            (b"\x16\0\0\0{\"ty", misframed(Preamble::Length, true)),
            (b"\0\0\0\0{", events),
            (b"\n\0\0\0{", events),
            (b"\xff\xff\0\0\0", misframed(Preamble::Length, false)),
            (b"[{\"type", misframed(Preamble::List, true)),
            (b"\x2a", Stream::Untold),
            (b"\xaa\x01{", Stream::Untold),
            (b"\x2a{\"ty", misframed(Preamble::Length, true)),
            (b"\xaa\x01{\"ty", misframed(Preamble::Length, true)),
            (b"\0\x2a{\"ty", misframed(Preamble::Length, true)),
            (b"\xff\xfe{", Stream::Untold),
            (b"\xff\xfe{\0\"\0", misframed(Preamble::Wide, true)),
            (b"\xfe\xff\0{\0\"", misframed(Preamble::Wide, true)),
            (b"\xff\xfer\0e\0", misframed(Preamble::Wide, false)),
            (b"{\0\"\0", misframed(Preamble::Wide, true)),
            (b"\0{\0\"", misframed(Preamble::Wide, true)),
            (b"\0{\"ty", events),
        ];
        for (bytes, told) in cases {
            assert_eq!(of_stream(bytes), told, "{}", bytes.escape_ascii());
        }
    }
}
