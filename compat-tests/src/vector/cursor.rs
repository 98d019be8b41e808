//! The small parts of a step: names, times, options in brackets, words and quoted texts.

use std::time::Duration;

use super::error::Wrong;
use super::text::Template;

/// A slip of the finger must not make a test wait for an hour.
const LONGEST: Duration = Duration::from_secs(60);

/// Cuts a name (lower-case letters, digits, `-`, `_`) off the front.
pub(super) fn name(text: &str) -> Result<(&str, &str), Wrong> {
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    let end = text.find(|c| !is_name(c)).unwrap_or(text.len());
    match end {
        0 => Err(Wrong::Name(text.to_owned())),
        _ => Ok(text.split_at(end)),
    }
}

/// Reads `80ms` or `2s`.
pub(super) fn time(text: &str) -> Result<Duration, Wrong> {
    let wrong = || Wrong::Time(text.to_owned());
    let (number, unit) = match text.strip_suffix("ms") {
        Some(number) => (number, 1),
        None => (text.strip_suffix('s').ok_or_else(wrong)?, 1000),
    };
    let number: u32 = number.parse().map_err(|_| wrong())?;
    let time = Duration::from_millis(u64::from(number) * unit);
    if time > LONGEST { Err(wrong()) } else { Ok(time) }
}

/// Options in brackets, each to be taken by the step that knows it.
pub(super) struct Options<'a>(Vec<&'a str>);

impl<'a> Options<'a> {
    /// Cuts the brackets off the front, if there are any.
    pub(super) fn cut(text: &'a str) -> Result<(Self, &'a str), Wrong> {
        let text = text.trim_start();
        let Some(inner) = text.strip_prefix('[') else { return Ok((Self(Vec::new()), text)) };
        let (inner, rest) = inner.split_once(']').ok_or(Wrong::Bracket)?;
        Ok((Self(inner.split(',').map(str::trim).collect()), rest.trim_start()))
    }

    /// Takes `key TIME`.
    pub(super) fn time(&mut self, key: &str) -> Result<Option<Duration>, Wrong> {
        let of_key = |option: &&str| option.strip_prefix(key).is_some_and(|v| v.starts_with(' '));
        let Some(at) = self.0.iter().position(of_key) else { return Ok(None) };
        let option = self.0.swap_remove(at);
        time(option[key.len()..].trim()).map(Some)
    }

    /// Takes `flag`.
    pub(super) fn flag(&mut self, flag: &str) -> bool {
        let at = self.0.iter().position(|option| *option == flag);
        at.is_some_and(|at| {
            self.0.swap_remove(at);
            true
        })
    }

    /// Fails if an option is left that the step does not know.
    pub(super) fn finish(self) -> Result<(), Wrong> {
        match self.0.first() {
            Some(option) => Err(Wrong::Option((*option).to_owned())),
            None => Ok(()),
        }
    }
}

/// A word of a short form: `word`, `"quoted text"`, `key=word` or `key="quoted text"`.
pub(super) struct Word<'a> {
    /// What is before the `=`.
    pub(super) key: Option<&'a str>,
    /// The text, with its escapes still in it.
    pub(super) text: &'a str,
}

impl Word<'_> {
    /// Reads the escapes.
    pub(super) fn template(&self) -> Result<Template, Wrong> {
        Ok(Template::parse(self.text)?)
    }

    /// Reads the escapes of a text that must be plain: no port, no time, valid UTF-8.
    pub(super) fn plain(&self) -> Result<String, Wrong> {
        let template = self.template()?;
        let bytes = template.fixed().ok_or_else(|| Wrong::NotPlain(self.text.to_owned()))?;
        String::from_utf8(bytes.to_vec()).map_err(|_| Wrong::NotPlain(self.text.to_owned()))
    }
}

/// All words of a text.
pub(super) fn words(text: &str) -> Result<Vec<Word<'_>>, Wrong> {
    let mut words = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let key_end = rest.find(['=', '"', ' ', '\\']).filter(|at| rest[*at..].starts_with('='));
        let (key, after) = match key_end {
            Some(at) => (Some(&rest[..at]), &rest[at + 1..]),
            None => (None, rest),
        };
        let (text, after) = match after.strip_prefix('"') {
            Some(quoted) => until_quote(quoted)?,
            None => after.split_at(after.find(' ').unwrap_or(after.len())),
        };
        if !after.is_empty() && !after.starts_with(' ') {
            return Err(Wrong::Quote);
        }
        words.push(Word { key, text });
        rest = after.trim_start();
    }
    Ok(words)
}

/// Splits at the closing quote.
fn until_quote(text: &str) -> Result<(&str, &str), Wrong> {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Ok((&text[..at], &text[at + 1..])),
            _ => {}
        }
    }
    Err(Wrong::Quote)
}
