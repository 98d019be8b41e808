//! What others have sent, made fit for a terminal: nothing in it moves the cursor, changes colours
//! or the direction of writing, and an error quotes no more than a line or two.

use std::fmt::Write as _;

/// So much of what somebody sent is quoted.
const QUOTED: usize = 100;

/// So long is a sentence that somebody else has written.
const SENTENCE: usize = 300;

/// A text with a `?` for each character that cannot be seen: line ends and other control characters,
/// those that change the direction of writing, those of no meaning.
#[must_use]
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if is_seen(c) { c } else { '?' }).collect()
}

/// The same where the text may have several lines.
#[must_use]
pub fn lines(text: &str) -> String {
    text.chars().map(|c| if c == '\n' || is_seen(c) { c } else { '?' }).collect()
}

/// A sentence of somebody else, such as why a request is refused.
#[must_use]
pub fn sentence(text: &str) -> String {
    let mut shown: String = printable(text.get(..SENTENCE * 4).unwrap_or(text));
    if let Some((end, _)) = shown.char_indices().nth(SENTENCE) {
        shown.truncate(end);
        shown.push_str("...");
    }
    shown
}

/// The beginning of some bytes in quotes, and how many there are if that is not all.
#[must_use]
pub fn quoted(bytes: &[u8]) -> String {
    match bytes.get(..QUOTED) {
        Some(first) if bytes.len() > QUOTED => {
            format!("\"{}\"... ({} bytes)", first.escape_ascii(), bytes.len())
        }
        _ => format!("\"{}\"", bytes.escape_ascii()),
    }
}

/// Valid JSON as one line that means the same, with escapes for what cannot be seen.
#[must_use]
pub fn json(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            // Between values: in a string they are escaped already.
            '\n' | '\r' | '\t' => shown.push(' '),
            c if is_seen(c) => shown.push(c),
            c => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    // Writing to a string does not fail.
                    let _ = write!(shown, "\\u{unit:04x}");
                }
            }
        }
    }
    shown
}

/// What the standard library would not escape; a mark is looked at where it belongs, behind a letter.
fn is_seen(c: char) -> bool {
    match c {
        ' '..='~' => true,
        '\0'..='\u{9f}' => false,
        c => format!("a{c}").escape_debug().nth(1) == Some(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNSEEN: &str = "\u{1b}\u{7}\r\u{7f}\u{85}\u{9b}\u{ad}\u{200b}\u{200f}\u{2028}\u{2029}\
                          \u{202a}\u{202e}\u{2066}\u{2069}\u{feff}\u{e0041}\u{e000}";

    #[test]
    fn what_cannot_be_seen_is_a_question_mark() {
        let count = UNSEEN.chars().count();
        assert_eq!(printable(UNSEEN), "?".repeat(count));
        assert_eq!(lines(&format!("a\n{UNSEEN}")), format!("a\n{}", "?".repeat(count)));
        assert_eq!(printable("a\nb"), "a?b");
        let kept = "\"Ann's\" \\ caf\u{e9} e\u{301} \u{1f600} \u{4f60}\u{597d} \u{5d0}";
        assert_eq!(printable(kept), kept);
    }

    #[test]
    fn json_stays_what_it_was() {
        let value = serde_json::Value::String(UNSEEN.to_owned());
        let text = format!("[\n\t{value}\r\n]");
        let shown = json(&text);
        assert!(shown.chars().all(|c| (' '..='~').contains(&c)), "{shown}");
        let read: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
        assert_eq!(read, serde_json::json!([UNSEEN]));
    }

    #[test]
    fn quotations_are_short() {
        assert_eq!(quoted(b"a\x1b"), "\"a\\x1b\"");
        assert_eq!(quoted(&[b'a'; QUOTED]), format!("\"{}\"", "a".repeat(QUOTED)));
        let long = quoted(&vec![0xff; 2 << 20]);
        assert!(long.ends_with("\\xff\"... (2097152 bytes)") && long.len() < 500, "{long}");
        assert_eq!(sentence("full\x07"), "full?");
        assert!(sentence(&"\u{4f60}".repeat(5000)).chars().count() <= SENTENCE + 3);
    }
}
