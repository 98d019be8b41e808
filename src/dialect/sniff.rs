//! Which dialect a packet speaks, by its first bytes.

use std::fmt;
use std::str::FromStr;

use super::stun;

/// The dialects there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
        f.write_str(match self {
            Self::Gmnet => "gmnet",
            Self::Stun => "stun",
            Self::Rooms => "rooms",
            Self::Events => "events",
            Self::Natpunch => "natpunch",
        })
    }
}

/// The dialect of a TCP connection, by its first byte.
#[must_use]
pub fn of_stream(first: u8) -> Name {
    /// First byte of a TLS record with a handshake in it (RFC 8446, section 5.1).
    const TLS_HANDSHAKE: u8 = 22;
    match first {
        b'{' | TLS_HANDSHAKE => Name::Events,
        _ => Name::Gmnet,
    }
}

/// The dialect of a datagram.
#[must_use]
pub fn of_datagram(data: &[u8]) -> Name {
    const GAMEMAKER: &[u8] = &[0xDE, 0xC0, 0xAD, 0xDE];
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
        assert_eq!(of_stream(b'{'), Name::Events);
        assert_eq!(of_stream(0x16), Name::Events);
        assert_eq!(of_stream(b'r'), Name::Gmnet);
    }
}
