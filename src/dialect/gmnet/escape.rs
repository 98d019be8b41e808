//! Strings as they are written into the JSON of a lobby.

use std::io::Write as _;

/// JSON that is safe inside HTML, as Gson writes it unless told otherwise. Control characters
/// cannot occur: they were cleaned away.
pub(super) fn write_escaped(text: &str, json: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(at) = rest.bytes().position(may_need_escape) {
        let (plain, special) = rest.split_at(at);
        json.extend_from_slice(plain.as_bytes());
        let mut chars = special.chars();
        let Some(c) = chars.next() else { break };
        match c {
            '"' | '\\' => json.extend_from_slice(&[b'\\', c as u8]),
            '<' | '>' | '&' | '=' | '\'' | '\u{2028}' | '\u{2029}' => {
                let _ = write!(json, "\\u{:04x}", u32::from(c));
            }
            _ => json.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
        rest = chars.as_str();
    }
    json.extend_from_slice(rest.as_bytes());
}

/// First byte of U+2028 and U+2029, and of others.
const SEPARATOR: u8 = 0xE2;

/// How many bytes [`write_escaped`] makes of a text.
pub(super) fn escaped_len(text: &str) -> usize {
    let more = |byte| match byte {
        b'"' | b'\\' => 1,
        b'<' | b'>' | b'&' | b'=' | b'\'' => 5,
        _ => 0,
    };
    // U+2028 and U+2029.
    let is_separator = |rest: &&[u8]| matches!(rest, [0x80, 0xA8 | 0xA9, ..]);
    let behind = text.as_bytes().split(|byte| *byte == SEPARATOR).skip(1);
    let separators = behind.filter(is_separator).count();
    text.len() + text.bytes().map(more).sum::<usize>() + 3 * separators
}

/// Whether a byte begins a character that may have to be escaped.
pub(super) fn may_need_escape(byte: u8) -> bool {
    matches!(byte, b'<' | b'>' | b'&' | b'=' | b'\'' | b'"' | b'\\' | SEPARATOR)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn escapes_are_those_of_gson() {
        let mut json = Vec::new();
        write_escaped("<a href='x'>&=\"\\/\u{2028}\u{2029}\u{20ac}\u{e9}\u{1f600}", &mut json);
        let expected = "\\u003ca href\\u003d\\u0027x\\u0027\\u003e\\u0026\\u003d\\\"\\\\/\\u2028\\u2029\u{20ac}\u{e9}\u{1f600}";
        assert_eq!(String::from_utf8_lossy(&json), expected);
    }

    proptest! {
        #[test]
        fn the_length_is_known_before(text in "([<>&='\"\\\\/\u{2028}\u{2029}\u{2030}]|.){0,20}") {
            let mut json = Vec::new();
            write_escaped(&text, &mut json);
            prop_assert_eq!(escaped_len(&text), json.len());
        }
    }
}
