//! IDs of clients and lobbies: UUIDs (RFC 9562, version 4) that nobody can guess.

use std::fmt;
use std::str::FromStr;

use rand::{Rng, RngExt as _};
use serde::{Deserialize, Serialize};

/// An ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "[u64; 2]", into = "[u64; 2]")]
pub(super) struct Uuid(u128);

impl From<[u64; 2]> for Uuid {
    fn from([high, low]: [u64; 2]) -> Self {
        Self(u128::from(high) << 64 | u128::from(low))
    }
}

impl From<Uuid> for [u64; 2] {
    fn from(Uuid(bits): Uuid) -> Self {
        [(bits >> 64) as u64, bits as u64]
    }
}

/// A text is not an ID as the server writes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoUuid;

impl Uuid {
    /// Draws a new one.
    pub(super) fn random(rng: &mut impl Rng) -> Self {
        /// RFC 9562, section 5.4.
        const VERSION: u128 = 0x4 << 76;
        /// RFC 9562, section 4.1.
        const VARIANT: u128 = 0b10 << 62;
        const FREE: u128 = !(0xF << 76 | 0b11 << 62);
        Self(rng.random::<u128>() & FREE | VERSION | VARIANT)
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.0;
        let part = |shift: u32, bits: u32| all >> shift & ((1 << bits) - 1);
        write!(f, "{:08x}-{:04x}-", part(96, 32), part(80, 16))?;
        write!(f, "{:04x}-{:04x}-{:012x}", part(64, 16), part(48, 16), part(0, 48))
    }
}

impl FromStr for Uuid {
    type Err = NoUuid;

    fn from_str(text: &str) -> Result<Self, NoUuid> {
        let mut bits = 0;
        if text.len() != 36 {
            return Err(NoUuid);
        }
        for (n, c) in text.chars().enumerate() {
            let digit = match (n, c) {
                (8 | 13 | 18 | 23, '-') => continue,
                (_, 'A'..='F') => return Err(NoUuid),
                (_, c) => c.to_digit(16).ok_or(NoUuid)?,
            };
            bits = bits << 4 | u128::from(digit);
        }
        let id = Self(bits);
        // With a dash in the wrong place it would be another number.
        if id.to_string() == text { Ok(id) } else { Err(NoUuid) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    #[test]
    fn ids_are_uuids_and_come_back() {
        let mut rng = StdRng::from_seed([1; 32]);
        for _ in 0..100 {
            let id = Uuid::random(&mut rng);
            let text = id.to_string();
            assert_eq!((text.len(), text.as_bytes()[14]), (36, b'4'));
            assert!(b"89ab".contains(&text.as_bytes()[19]), "{text}");
            assert_eq!(text.parse(), Ok(id));
        }
    }

    #[test]
    fn other_texts_are_no_ids() {
        let id = "01234567-89ab-4def-8123-456789abcdef";
        assert!(id.parse::<Uuid>().is_ok());
        for other in [
            "",
            "01234567-89AB-4def-8123-456789abcdef",
            "012345678-9ab-4def-8123-456789abcdef",
            "0123456789ab4def8123456789abcdef",
            "01234567-89ab-4def-8123-456789abcdeg",
            "01234567-89ab-4def-8123-456789abcd\u{e9}",
        ] {
            assert_eq!(other.parse::<Uuid>(), Err(NoUuid), "{other}");
        }
    }
}
