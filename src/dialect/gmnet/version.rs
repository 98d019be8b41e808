//! Is a game's version of GMnet PUNCH new enough? Compared as the old server did, oddities
//! included, as games may depend on them.

use std::cmp::Ordering;

/// The oldest version of GMnet PUNCH that is served, as in the old server.
pub const OLDEST: &str = "1.2.0";

/// The version of the old server whose protocol this is; told to who asks `version`.
pub const SPOKEN: &str = "1.2.5";

/// Why a version is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It is older than [`OLDEST`].
    TooOld,
    /// It cannot be compared: the part that has to decide is no number.
    NotANumber,
}

/// Compares part by part at the dots. The first parts that differ as text decide, as numbers;
/// where there are none, the one with more parts is newer.
///
/// # Errors
/// If the version is too old or cannot be compared.
pub fn check(version: &str) -> Result<(), Refused> {
    // What nearly all games send, without a comparison part by part.
    if let [b'1', b'.', b'2', b'.', b'0'..=b'9'] = version.as_bytes() {
        return Ok(());
    }
    let oldest = OLDEST.split('.');
    let parts = || {
        // Java's split drops empty parts at the end, but leaves an empty text as one part.
        let kept = version.trim_end_matches('.');
        let none = kept.is_empty() && !version.is_empty();
        kept.split('.').skip(usize::from(none))
    };
    let order = match parts().zip(oldest.clone()).find(|(ours, oldest)| ours != oldest) {
        Some((ours, oldest)) => number(ours)?.cmp(&number(oldest)?),
        None => parts().count().cmp(&oldest.count()),
    };
    if order == Ordering::Less { Err(Refused::TooOld) } else { Ok(()) }
}

fn number(part: &str) -> Result<i32, Refused> {
    part.parse().map_err(|_| Refused::NotANumber)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_enough() {
        for version in ["1.2.0", "1.2.4", "1.10.0", "2.0", "1.2.0.0.1", "1.2.4.beta", "01.0.0"] {
            assert_eq!(check(version), Ok(()), "{version}");
        }
    }

    #[test]
    fn too_old() {
        for version in ["1.2", "1.2.", "1.1.9", "0.9", "1", "-1.5.0", "...", "."] {
            assert_eq!(check(version), Err(Refused::TooOld), "{version}");
        }
    }

    #[test]
    fn not_to_be_compared() {
        for version in ["", "1.2.x", "v1.2.4", "1..0", "99999999999.0", "1.2. 0"] {
            assert_eq!(check(version), Err(Refused::NotANumber), "{version}");
        }
    }
}
