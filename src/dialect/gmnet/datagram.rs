//! GMnet over UDP: one word in a datagram, behind GameMaker's header or, as the older
//! description of the protocol has it, without.

use byteorder::{ByteOrder, LittleEndian};

/// What GameMaker's `network_send_udp` puts first, read as a little-endian u32.
const MAGIC: u32 = 0xDEAD_C0DE;

/// Length of GameMaker's header: magic, its own length, the length of what follows.
const HEADER: usize = 12;

/// What hosts get from time to time: a packet of one byte, which GMnet scripts ignore. It is one that they keep
/// for themselves, so that no game has it for a packet of its own.
pub const KEEPALIVE: [u8; 13] = *b"\xde\xc0\xad\xde\x0c\0\0\0\x01\0\0\0\xfe";

/// More than the old server ever looked at in one datagram.
const LONGEST: usize = 1024;

/// What a peer says by UDP. Its source port is the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Datagram {
    /// From a host: "this is my port".
    Reg,
    /// From a client: "this is my port".
    Connect,
    /// From a host to where it was told that a client is: "let me in".
    Knock,
}

/// Reads a datagram; `None` is anything that is not of this protocol.
#[must_use]
pub fn parse(data: &[u8]) -> Option<Datagram> {
    let mut data = data.get(..LONGEST).unwrap_or(data);
    while let [rest @ .., 0] = data {
        data = rest;
    }
    let payload = match data.get(HEADER..) {
        // The two lengths in the header are not looked at: the old server did not either.
        Some(payload) if LittleEndian::read_u32(data) == MAGIC => payload,
        _ => data,
    };
    let line = match payload.iter().position(|&b| b == b'\n') {
        Some(end) => {
            let line = payload.get(..end).unwrap_or_default();
            line.strip_suffix(b"\r").unwrap_or(line)
        }
        None => payload,
    };
    match line {
        b"reg" => Some(Datagram::Reg),
        b"connect" => Some(Datagram::Connect),
        // A number of one byte, not a line.
        b"\xfd" => Some(Datagram::Knock),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn gm(payload: &[u8]) -> Vec<u8> {
        let mut data = b"\xde\xc0\xad\xde\x0c\0\0\0".to_vec();
        data.extend((payload.len() as u32).to_le_bytes());
        data.extend(payload);
        data
    }

    #[test]
    fn words_with_and_without_header() {
        for end in ["\n\0", "\n", "", "\0\0\0", "\r\n\0", "\nmore\n"] {
            let reg = [b"reg", end.as_bytes()].concat();
            let connect = [b"connect", end.as_bytes()].concat();
            assert_eq!(parse(&reg), Some(Datagram::Reg), "{end:?}");
            assert_eq!(parse(&gm(&reg)), Some(Datagram::Reg), "{end:?}");
            assert_eq!(parse(&gm(&connect)), Some(Datagram::Connect), "{end:?}");
        }
    }

    #[test]
    fn a_knock_is_one_byte() {
        assert_eq!(parse(&gm(b"\xfd")), Some(Datagram::Knock));
        assert_eq!(parse(&gm(b"\xfc")), None, "a welcome");
        assert_eq!(parse(&gm(b"\xfd\xfd")), None);
    }

    #[test]
    fn anything_else_is_nothing() {
        let others: [&[u8]; 9] =
            [b"", b"\0", b"\n", b"REG\n", b" reg\n", b"\0reg\n", b"reg\r", b"regs", b"\nreg\n"];
        for other in others {
            assert_eq!(parse(other), None, "{other:?}");
            assert_eq!(parse(&gm(other)), None, "{other:?}");
        }
        assert_eq!(parse(b"AAAABBBBCCCCreg\n"), None, "a foreign header");
        assert_eq!(parse(&gm(b"")[..8]), None, "half a header");
    }

    #[test]
    fn what_is_beyond_the_limit_does_not_matter() {
        let mut long = gm(b"reg\n");
        long.resize(3000, b'x');
        assert_eq!(parse(&long), Some(Datagram::Reg));
    }

    proptest! {
        #[test]
        fn never_panics(data in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = parse(&data);
            let _ = parse(&gm(&data));
        }
    }
}
