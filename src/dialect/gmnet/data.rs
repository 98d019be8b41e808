//! What a host says about itself.

use std::rc::Rc;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use smallvec::SmallVec;

use super::escape::{escaped_len, may_need_escape};
use crate::state::packed;

/// The eight strings that a host describes itself with, in one allocation.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Data {
    /// Sorted lists of hosts hold it as well. None if there is nothing in it.
    text: Option<Rc<str>>,
    /// Where each ends but the last, which ends with the text. A command, and so all strings together,
    /// is shorter than 64 KiB.
    ends: [u16; 7],
    /// Whether the lobby has to escape something in them.
    pub needs_escapes: bool,
}

/// Where they end, in bytes: there are many hosts.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct Ends(#[serde(with = "packed")] SmallVec<[End; 7]>);

#[derive(Clone, Copy)]
struct End(u16);

impl packed::Row<2> for End {
    fn pack(&self) -> [u8; 2] {
        self.0.to_be_bytes()
    }

    fn unpack(row: &[u8; 2]) -> Self {
        Self(u16::from_be_bytes(*row))
    }
}

/// The text and where the strings end; the rest follows from that.
impl Serialize for Data {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let ends = self.ends.map(End).into();
        (self.text.as_deref().unwrap_or_default(), Ends(ends)).serialize(to)
    }
}

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let (text, Ends(ends)) = <(&str, Ends)>::deserialize(from)?;
        let ends = ends.into_inner().map_err(|_| D::Error::custom("there are eight strings"))?;
        Ok(Self::joined(text, ends.map(|End(end)| end)))
    }
}

impl Data {
    /// Keeps eight strings; together they are no longer than [`crate::limits::COMMAND`].
    #[must_use]
    pub fn new(strings: [&str; 8]) -> Self {
        let mut end = 0;
        let ends = strings.map(|s| {
            end += s.len();
            u16::try_from(end).unwrap_or(u16::MAX)
        });
        let [ends @ .., _] = ends;
        Self::joined(&strings.concat(), ends)
    }

    /// The same, of strings that follow each other in a text: all but the last end there.
    #[must_use]
    pub fn joined(text: &str, ends: [u16; 7]) -> Self {
        let needs_escapes = text.bytes().any(may_need_escape);
        let text = (!text.is_empty()).then(|| Rc::from(text));
        Self { text, ends, needs_escapes }
    }

    /// Bytes of all strings together as the lobby writes them: no fewer than they have in memory.
    #[must_use]
    pub fn size(&self) -> usize {
        let text = self.text.as_deref().unwrap_or_default();
        if self.needs_escapes { escaped_len(text) } else { text.len() }
    }

    /// Empties the strings that have no room, so that all together have no more than `room` bytes in
    /// the lobby; the first ones have theirs first. Returns the numbers of those that were emptied,
    /// 1 for data1.
    pub fn fit(&mut self, room: usize) -> Vec<usize> {
        let (mut rest, mut emptied) = (room, Vec::new());
        if self.size() <= room {
            return emptied;
        }
        let kept = std::array::from_fn(|n| {
            let text = self.get(n);
            match rest.checked_sub(escaped_len(text)) {
                Some(less) => {
                    rest = less;
                    text
                }
                None => {
                    emptied.push(n + 1);
                    ""
                }
            }
        });
        *self = Self::new(kept);
        emptied
    }

    /// The string number `n`, from 0 for data1 to 7 for data8.
    #[must_use]
    pub fn get(&self, n: usize) -> &str {
        let [start, end] = self.range(n).map(usize::from);
        self.text.as_ref().and_then(|text| text.get(start..end)).unwrap_or("")
    }

    /// Where the string number `n` begins and ends; there is nothing beyond the last.
    fn range(&self, n: usize) -> [u16; 2] {
        let last = || if n == self.ends.len() { self.length() } else { 0 };
        let start = n.checked_sub(1).and_then(|n| self.ends.get(n).copied()).unwrap_or(0);
        [start, self.ends.get(n).copied().unwrap_or_else(last).max(start)]
    }

    /// Bytes of all of them.
    fn length(&self) -> u16 {
        let length = self.text.as_ref().map_or(0, |text| text.len());
        u16::try_from(length).unwrap_or(u16::MAX)
    }

    fn all_ends(&self) -> [u16; 8] {
        let [a, b, c, d, e, f, g] = self.ends;
        [a, b, c, d, e, f, g, self.length()]
    }

    /// The bytes of all of them, for who wants them all quickly.
    #[must_use]
    pub(super) fn bytes(&self) -> [&[u8]; 8] {
        let all = self.text.as_deref().unwrap_or_default().as_bytes();
        let mut start = 0;
        self.all_ends().map(|end| {
            let range = usize::from(std::mem::replace(&mut start, end))..end.into();
            all.get(range).unwrap_or_default()
        })
    }

    /// One of them, to be kept without a copy.
    #[must_use]
    pub(super) fn text(&self, n: usize) -> Text {
        Text { all: self.text.clone(), range: self.range(n) }
    }

    /// Those that are not empty, with their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &str)> {
        let mut start = 0;
        self.all_ends().into_iter().enumerate().filter_map(move |(n, end)| {
            let range = usize::from(std::mem::replace(&mut start, end))..end.into();
            if range.is_empty() { None } else { Some((n, self.text.as_ref()?.get(range)?)) }
        })
    }
}

/// One of the strings of a host.
#[derive(Debug)]
pub(super) struct Text {
    all: Option<Rc<str>>,
    range: [u16; 2],
}

impl Text {
    pub(super) fn get(&self) -> &str {
        let [start, end] = self.range.map(usize::from);
        self.all.as_ref().and_then(|all| all.get(start..end)).unwrap_or("")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_emptied_and_the_first_strings_stay() {
        let long = "x".repeat(300);
        let strings = ["game", &long, "a<b", &long, "", "\u{2028}\"", &long, "end"];
        let mut data = Data::new(strings);
        assert_eq!(data.size(), 4 + 300 + 8 + 300 + 8 + 300 + 3);
        assert!(data.fit(data.size()).is_empty());
        assert_eq!(data, Data::new(strings));
        assert_eq!(data.fit(600), [4, 7]);
        assert_eq!(data, Data::new(["game", &long, "a<b", "", "", "\u{2028}\"", "", "end"]));
        assert_eq!(data.fit(4), [2, 3, 6, 8]);
        assert_eq!(data.fit(3), [1]);
        assert_eq!(data.size(), 0);
    }
}
