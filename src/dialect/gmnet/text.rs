//! Text as the old server saw it: bytes are UTF-8, what is broken becomes U+FFFD, and every
//! character of the Unicode category C is taken out. That makes GameMaker's NUL bytes harmless,
//! and nothing that a peer calls itself can move the cursor of who reads the log.

use std::cmp::Ordering;

use crate::lobby::names::keeps;

/// Decodes one line and appends it, cleaned, to `text`.
pub fn clean_into(line: &[u8], text: &mut String) {
    decode_into(line, text, keeps);
}

/// Decodes one line and appends it to `text` as it is, but for its NULs: whoever wrote it gets it back and compares.
pub fn keep_into(line: &[u8], text: &mut String) {
    decode_into(line, text, |c| c != '\0');
}

fn decode_into(line: &[u8], text: &mut String, keeps: impl Fn(char) -> bool + Copy) {
    // Nearly every line is printable ASCII between NULs.
    let line = trim_nuls(line);
    if line.is_empty() {
        return;
    }
    if let Ok(line) = std::str::from_utf8(line) {
        if line.bytes().all(|b| matches!(b, b' '..=b'~')) {
            text.push_str(line);
        } else {
            text.extend(line.split(|c| !keeps(c)));
        }
        return;
    }
    let mut surrogate = Surrogate::No;
    for chunk in line.utf8_chunks() {
        if !chunk.valid().is_empty() {
            text.extend(chunk.valid().split(|c| !keeps(c)));
            surrogate = Surrogate::No;
        }
        if !chunk.invalid().is_empty() && surrogate.starts(chunk.invalid()) {
            text.push(char::REPLACEMENT_CHARACTER);
        }
    }
}

/// NULs at the ends are taken out like those in between, and are no part of a broken character.
fn trim_nuls(mut line: &[u8]) -> &[u8] {
    while let [0, rest @ ..] | [rest @ .., 0] = line {
        line = rest;
    }
    line
}

/// Rust sees three broken pieces in the UTF-8 form of a surrogate (`ed a0 80`), Java only one.
/// This follows the pieces and counts as Java does.
enum Surrogate {
    No,
    /// Behind an `ed` that cannot stand alone.
    Lead,
    /// Behind the second byte.
    Middle,
}

impl Surrogate {
    /// Whether this broken piece starts a new U+FFFD.
    fn starts(&mut self, piece: &[u8]) -> bool {
        let (next, starts) = match (&self, piece) {
            (Self::Lead, [0xA0..=0xBF]) => (Self::Middle, false),
            (Self::Middle, [0x80..=0xBF]) => (Self::No, false),
            (_, [0xED]) => (Self::Lead, true),
            _ => (Self::No, true),
        };
        *self = next;
        starts
    }
}

/// Compares as Java does, by UTF-16 code units: characters above U+FFFF come before U+E000.
#[must_use]
pub fn utf16_order(a: &str, b: &str) -> Ordering {
    /// What long texts begin with alike is skipped in pieces of this size, each compared at once.
    const PIECE: usize = 64;
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let pieces = a.chunks_exact(PIECE).zip(b.chunks_exact(PIECE));
    let (a, b) = match PIECE * pieces.take_while(|(a, b)| a == b).count() {
        0 => (a, b),
        alike => (a.get(alike..).unwrap_or_default(), b.get(alike..).unwrap_or_default()),
    };
    // UTF-8 sorts by code point. The two orders differ only where one text goes on with a lead
    // byte ee or ef (U+E000 to U+FFFF) and the other with f0 to f4 (above U+FFFF).
    let rank = |byte: &u8| if matches!(byte, 0xEE | 0xEF) { byte + 0x10 } else { *byte };
    a.iter().map(rank).cmp(b.iter().map(rank))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn clean(line: &[u8]) -> String {
        let mut text = String::new();
        clean_into(line, &mut text);
        text
    }

    #[test]
    fn control_and_format_characters_go() {
        assert_eq!(clean(b"\0a\tb\x7fc\x07"), "abc");
        assert_eq!(clean("a\u{200b}b\u{ad}c\u{feff}d\u{e000}e\u{85}f".as_bytes()), "abcdef");
        assert_eq!(clean("\u{ffff}\u{e0041}\u{378}x".as_bytes()), "x");
    }

    #[test]
    fn spaces_marks_and_emoji_stay() {
        let kept = " a\u{a0}\u{2028}\u{2029}e\u{301}\u{fe0f}\u{fffc}\u{fffd}\u{1f600}\u{1fae8}";
        assert_eq!(clean(kept.as_bytes()), kept);
    }

    #[test]
    fn broken_bytes_become_replacement_characters() {
        assert_eq!(clean(b"a\xffb"), "a\u{fffd}b");
        assert_eq!(clean(b"\xc0\x80"), "\u{fffd}\u{fffd}", "an overlong form: one per byte");
        assert_eq!(clean(b"\xe2\x82"), "\u{fffd}", "a cut-off character: one");
        assert_eq!(clean(b"\xe2\x82x"), "\u{fffd}x");
        assert_eq!(clean(b"\xed\xa0\x80"), "\u{fffd}", "a surrogate: one, as in Java");
        assert_eq!(clean(b"\xed\xa0\x80\xed\xb0\x80"), "\u{fffd}\u{fffd}");
        assert_eq!(clean(b"\xeda"), "\u{fffd}a");
        assert_eq!(clean(b"\xed\xa0\x80\x80"), "\u{fffd}\u{fffd}");
    }

    #[test]
    fn order_is_that_of_utf16() {
        assert_eq!(utf16_order("10", "9"), Ordering::Less);
        assert_eq!(utf16_order("", "a"), Ordering::Less);
        assert_eq!(utf16_order("B", "a"), Ordering::Less);
        assert_eq!(utf16_order("\u{1f600}", "\u{e000}"), Ordering::Less);
    }

    proptest! {
        #[test]
        fn order_agrees_with_utf16(a in ".{0,6}", b in ".{0,6}") {
            for alike in [0, 63, 64, 200] {
                let [a, b] = [&a, &b].map(|text| "x".repeat(alike) + text);
                prop_assert_eq!(utf16_order(&a, &b), a.encode_utf16().cmp(b.encode_utf16()));
            }
        }

        #[test]
        fn cleaned_text_has_nothing_to_clean(line in prop::collection::vec(any::<u8>(), 0..40)) {
            let once = clean(&line);
            prop_assert!(!once.chars().any(char::is_control));
            prop_assert_eq!(clean(once.as_bytes()), once);
        }
    }
}
