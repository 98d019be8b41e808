//! The code of a private room: six letters that a player can read aloud and type.

use std::fmt;

use rand::{Rng, RngExt as _};
use serde::{Deserialize, Serialize};

/// Letters of a code.
pub const LENGTH: usize = 6;

/// The letters that it may have: none that looks like a digit (`I`, `L`, `O`), and no vowels, as six
/// letters at random would be a word now and then. 64 million codes.
const LETTERS: [u8; 20] = *b"BCDFGHJKMNPQRSTVWXYZ";

/// A code. Others find it out only by [guessing](super::guesses).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Code([u8; LENGTH]);

impl Code {
    /// One that nobody can predict, if `random` is secret.
    pub fn random(random: &mut impl Rng) -> Self {
        let mut letter = || LETTERS.get(random.random_range(..LETTERS.len())).copied();
        Self([(); LENGTH].map(|()| letter().unwrap_or(b'B')))
    }

    /// Reads a code, in capitals or not. `None` if it is none, as with a letter that no code has.
    #[must_use]
    pub fn read(text: &[u8]) -> Option<Self> {
        let letters: [u8; LENGTH] = text.try_into().ok()?;
        let letters = letters.map(|letter| letter.to_ascii_uppercase());
        letters.iter().all(|letter| LETTERS.contains(letter)).then_some(Self(letters))
    }

    /// The letters, in capitals.
    #[must_use]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn codes_are_read_as_they_are_written() {
        let mut random = StdRng::from_seed([3; 32]);
        let codes: HashSet<Code> = (0..1000).map(|_| Code::random(&mut random)).collect();
        assert!(codes.len() > 990, "{} different ones", codes.len());
        for code in codes {
            assert_eq!(Code::read(code.to_string().as_bytes()), Some(code));
            assert_eq!(Code::read(code.text().to_lowercase().as_bytes()), Some(code));
        }
    }

    #[test]
    fn all_letters_are_used() {
        let mut random = StdRng::from_seed([4; 32]);
        let used: HashSet<u8> = (0..500).flat_map(|_| Code::random(&mut random).0).collect();
        assert_eq!(used, HashSet::from(LETTERS));
    }

    #[test]
    fn what_may_be_mistaken_is_no_code() {
        for text in
            [&b""[..], b"BCDFG", b"BCDFGHJ", b"BCDFG0", b"BCDFGO", b"BCDFGI", b"BCDF\xff\xff"]
        {
            assert_eq!(Code::read(text), None, "{}", text.escape_ascii());
        }
    }
}
