//! Cuts names that peers give themselves, for the log and the owner's page, which nobody is to fill with them.

use std::fmt;

/// Columns that are shown of a name.
pub const COLUMNS: usize = 60;

/// What stands for the rest.
pub const ELLIPSIS: &str = "...";

/// What fits into so many columns, if that is not all. What cannot be seen, or stands on another letter, is
/// written as an escape in the log and takes as many columns as that has.
#[must_use]
pub fn cut(name: &str, columns: usize) -> Option<&str> {
    if name.len() <= columns && name.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return None;
    }
    let mut left = columns;
    for (at, letter) in name.char_indices() {
        let Some(rest) = left.checked_sub(width(letter)) else { return name.get(..at) };
        left = rest;
    }
    None
}

/// Columns of a letter.
#[must_use]
pub fn width(letter: char) -> usize {
    if matches!(letter, ' '..='~') { 1 } else { letter.escape_debug().count() }
}

/// A name that is short, as it is, else its beginning. What is made of this again is the same.
#[must_use]
pub fn truncated(name: &str) -> String {
    let is_truncated =
        name.strip_suffix(ELLIPSIS).is_some_and(|begin| cut(begin, COLUMNS).is_none());
    cut(name, COLUMNS)
        .filter(|_| !is_truncated)
        .map_or_else(|| name.to_owned(), |begin| format!("{begin}{ELLIPSIS}"))
}

/// The same in quotes, for a line of the log.
#[derive(Clone, Copy, Debug)]
pub struct Quoted<'a>(pub &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match cut(self.0, COLUMNS) {
            None => write!(f, "{:?}", self.0),
            Some(begin) => write!(f, "{begin:?}{ELLIPSIS}"),
        }
    }
}

/// What is written, cut after so many columns: for what quotes peers somewhere in the middle.
#[derive(Clone, Copy, Debug)]
pub struct Bounded<T>(pub T, pub usize);

impl<T: fmt::Display> fmt::Display for Bounded<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bounded = Writer { to: f, left: self.1, is_full: false };
        // What does not fit is left out, which is no error.
        let written = fmt::write(&mut bounded, format_args!("{}", self.0));
        let is_full = bounded.is_full;
        if is_full { f.write_str(ELLIPSIS) } else { written }
    }
}

struct Writer<'a, 'b> {
    to: &'a mut fmt::Formatter<'b>,
    left: usize,
    is_full: bool,
}

impl fmt::Write for Writer<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let fits = cut(text, self.left);
        self.is_full |= fits.is_some();
        let fits = fits.unwrap_or(text);
        self.left = self.left.saturating_sub(fits.chars().map(width).sum());
        self.to.write_str(fits)?;
        if self.is_full { Err(fmt::Error) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::introductions::journal::Names;

    #[test]
    fn what_is_shown_of_a_name_has_a_bound_however_it_is_written() {
        assert_eq!(truncated("My Game"), "My Game");
        assert_eq!(truncated(&"x".repeat(60)), "x".repeat(60));
        assert_eq!(truncated(&"x".repeat(61)), "x".repeat(60) + "...");
        assert_eq!(truncated(&"\u{1f600}".repeat(61)), "\u{1f600}".repeat(60) + "...");
        for bad in ['\u{301}', '\u{2028}', '\u{200b}', '\u{10ffff}'] {
            let name = bad.to_string().repeat(290);
            let shown = Quoted(&name).to_string();
            assert!(shown.len() <= COLUMNS + 5, "{shown}");
            assert!(truncated(&name).chars().count() < COLUMNS / 5, "{bad:?}");
        }
        assert_eq!(Quoted("a\"b").to_string(), "\"a\\\"b\"");
    }

    #[test]
    fn what_was_cut_is_not_cut_again() {
        for begin in 50..64 {
            let once = truncated(&("x".repeat(begin) + "\u{301}\u{301}\u{301}"));
            assert_eq!(truncated(&once), once);
            let names = Names::new(&once, &(once.clone() + "y"));
            let both = <(String, String)>::from(names.clone());
            assert_eq!(Names::from(both), names);
        }
    }

    #[test]
    fn a_line_is_cut_where_it_is_full() {
        assert_eq!(Bounded("abc", 3).to_string(), "abc");
        assert_eq!(Bounded(format_args!("{}{}", "ab", "cd"), 3).to_string(), "abc...");
        assert_eq!(Bounded("\u{2028}x", 3).to_string(), "...");
    }
}
