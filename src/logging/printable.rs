//! Whatever peers say, a line of the log is one line, and shows what it is.

use std::fmt::{self, Write as _};

/// Writes what it wraps with everything escaped that cannot be seen or moves the cursor: line ends and
/// other control characters, those that change the direction of writing, those of no meaning.
pub(super) struct Printable<T>(pub(super) T);

impl<T: fmt::Display> fmt::Display for Printable<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping(f), "{}", self.0)
    }
}

struct Escaping<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl fmt::Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // These can be seen, though the standard library would escape them.
        for part in text.split_inclusive(['\'', '"', '\\']) {
            let end =
                part.char_indices().last().filter(|(_, last)| matches!(last, '\'' | '"' | '\\'));
            let (plain, seen) =
                part.split_at_checked(end.map_or(part.len(), |(at, _)| at)).unwrap_or((part, ""));
            write!(self.0, "{}", plain.escape_debug())?;
            self.0.write_str(seen)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_seen_stays_and_the_rest_is_escaped() {
        let usual =
            "host \"Ann's\" \\ caf\u{e9} e\u{301} \u{1f600} \u{4f60}\u{597d} (203.0.113.1:5)";
        assert_eq!(Printable(usual).to_string(), usual);
        let told = "a\nb\rc\td\0e\u{1b}[31m\u{85}\u{9b}\u{202e}\u{2066}\u{2028}\u{2029}\u{e000}\u{200b}'\n";
        let shown = Printable(format_args!("{told}")).to_string();
        assert!(shown.chars().all(|c| (' '..='~').contains(&c)), "{shown}");
        assert!(shown.starts_with(r"a\nb\rc\td\0e\u{1b}[31m\u{85}"), "{shown}");
        assert!(shown.ends_with(r"'\n"), "{shown}");
    }
}
