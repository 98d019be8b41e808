//! What fields are made of: percent-encoded text, IDs and keys in hex, addresses.

use std::fmt;
use std::io::Write;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::dialect::addr::push_addr;
use crate::dialect::hex;

/// The public name of a peer or a room: 64 random bits, on the wire 16 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Id(pub u64);

/// What a peer shows to come back: 128 random bits, on the wire 32 hex digits.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(from = "[u64; 2]", into = "[u64; 2]")]
pub struct Key(pub u128);

impl From<[u64; 2]> for Key {
    fn from([high, low]: [u64; 2]) -> Self {
        Self(u128::from(high) << 64 | u128::from(low))
    }
}

impl From<Key> for [u64; 2] {
    fn from(Key(key): Key) -> Self {
        [(key >> 64) as u64, key as u64]
    }
}

impl Key {
    /// Whether both are the same. The time it takes does not depend on where they differ.
    #[must_use]
    pub const fn is(self, other: Self) -> bool {
        let differ = self.0 ^ other.0;
        ((differ >> 64) as u64 | differ as u64) == 0
    }

    /// Appends the key as a field.
    pub fn write(self, bytes: &mut Vec<u8>) {
        hex::push(self.0.to_be_bytes(), bytes);
    }
}

impl Id {
    /// Appends the ID as a field.
    pub fn write(self, bytes: &mut Vec<u8>) {
        hex::push(self.0.to_be_bytes(), bytes);
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// A key is a secret: it does not get into logs by accident.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// Reads an ID.
#[must_use]
pub fn id(field: &[u8]) -> Option<Id> {
    hex::read_64(field).map(Id)
}

/// Reads a key.
#[must_use]
pub fn key(field: &[u8]) -> Option<Key> {
    hex::read_128(field).map(Key)
}

/// Reads an IP address. The colons of an IPv6 address are encoded, as in every field.
#[must_use]
pub fn ip(field: &[u8]) -> Option<IpAddr> {
    decode(field)?.parse().ok().map(|ip: IpAddr| ip.to_canonical())
}

/// Takes the percent-encoding off. `None` if it is broken, or if what it stands for is not UTF-8.
/// A comma may stand for itself, as no request has a list.
#[must_use]
pub fn decode(field: &[u8]) -> Option<String> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, behind)) = rest.split_first() {
        (rest, _) = match (first, behind) {
            (b'%', [high, low, behind @ ..]) => (behind, bytes.push(nibble(*high, *low)?)),
            (b'%', _) => return None,
            (byte, _) if byte.is_ascii_control() => return None,
            (byte, _) => (behind, bytes.push(byte)),
        };
    }
    String::from_utf8(bytes).ok()
}

fn nibble(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(high)? << 4 | digit(low)?)
}

/// Appends text as a field.
pub fn encode(text: &str, bytes: &mut Vec<u8>) {
    for c in text.chars() {
        let mut buffer = [0; 4];
        let utf8 = c.encode_utf8(&mut buffer).as_bytes();
        if matches!(c, '%' | ':' | ',') || c.is_control() {
            // Writing to memory does not fail.
            utf8.iter().for_each(|byte| _ = write!(bytes, "%{byte:02X}"));
        } else {
            bytes.extend_from_slice(utf8);
        }
    }
}

/// Appends an address as a field.
pub fn encode_ip(ip: IpAddr, bytes: &mut Vec<u8>) {
    match ip {
        IpAddr::V4(_) => push_addr(ip, bytes),
        IpAddr::V6(v6) => encode(&v6.to_string(), bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(text: &str) -> String {
        let mut bytes = Vec::new();
        encode(text, &mut bytes);
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn what_separates_is_encoded() {
        assert_eq!(encoded("a:b,c%d\ne\u{85}f g\u{e9}"), "a%3Ab%2Cc%25d%0Ae%C2%85f g\u{e9}");
        assert_eq!(decode(b"a%3ab%2Cc%25d%0Ae,").unwrap(), "a:b,c%d\ne,");
        for broken in [&b"%"[..], b"%4", b"%g0", b"%+1", b"%ff", b"\xff", b"a\tb", b"\0"] {
            assert_eq!(decode(broken), None, "{broken:?}");
        }
    }

    #[test]
    fn ids_have_their_full_length() {
        assert_eq!(id(b"00000000000000fF"), Some(Id(255)));
        assert_eq!(Id(255).to_string(), "00000000000000ff");
        assert_eq!(Key(255).to_string().len(), 32);
        for broken in [&b"ff"[..], b"", b"+000000000000001", b"000000000000000g"] {
            assert_eq!(id(broken), None, "{broken:?}");
        }
    }

    #[test]
    fn keys_differ_in_any_bit() {
        for bit in 0..128 {
            assert!(!Key(0).is(Key(1 << bit)));
        }
        assert!(Key(7 << 90).is(Key(7 << 90)));
    }

    #[test]
    fn addresses_of_both_kinds() {
        for (text, field) in [("192.0.2.1", "192.0.2.1"), ("2001:db8::1", "2001%3Adb8%3A%3A1")] {
            let mut bytes = Vec::new();
            encode_ip(text.parse().unwrap(), &mut bytes);
            assert_eq!(bytes, field.as_bytes());
            assert_eq!(ip(&bytes), Some(text.parse().unwrap()));
        }
        assert_eq!(ip(b"%3A%3Affff%3A192.0.2.1"), Some("192.0.2.1".parse().unwrap()));
        assert_eq!(ip(b"192.0.2"), None);
    }

    proptest! {
        #[test]
        fn text_survives(text in any::<String>()) {
            let field = encoded(&text);
            prop_assert!(!field.contains([':', ',']) && !field.chars().any(char::is_control));
            prop_assert_eq!(decode(field.as_bytes()), Some(text));
        }

        #[test]
        fn anything_can_be_decoded_or_not(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            if let Some(text) = decode(&bytes) {
                prop_assert_eq!(decode(encoded(&text).as_bytes()), Some(text));
            }
        }

        #[test]
        fn ids_and_keys_survive(n in any::<u64>(), k in any::<u128>()) {
            prop_assert_eq!(id(Id(n).to_string().as_bytes()), Some(Id(n)));
            prop_assert_eq!(key(Key(k).to_string().as_bytes()).unwrap().0, k);
        }
    }
}
