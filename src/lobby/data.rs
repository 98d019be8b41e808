//! What the host of a room says of it in its own words (`map=castle`), and what others look for.

use serde::{Deserialize, Serialize};

use crate::limits;

/// Why a pair is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// The key is empty or has a `=`, there is a NUL in it, or both together are longer than
    /// [`limits::ROOM_DATA_BYTES`].
    Pair,
    /// There are [`limits::ROOM_DATA`] others already.
    Many,
}

/// What ends a pair.
const END: char = '\0';

/// Pairs of key and value, each key once, in the order of the keys. In one piece, as there may be as many of
/// them as there are rooms.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Data(Box<str>);

impl Data {
    /// Sets a value; an empty one takes the key out.
    ///
    /// # Errors
    /// If the pair cannot be kept; nothing is changed then.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), Unfit> {
        check(key, value)?;
        let mut pairs: Vec<_> = self.iter().filter(|(other, _)| *other != key).collect();
        if !value.is_empty() {
            if pairs.len() >= limits::ROOM_DATA {
                return Err(Unfit::Many);
            }
            let at = pairs.partition_point(|(other, _)| *other < key);
            pairs.insert(at, (key, value));
        }
        let pairs = pairs.into_iter().flat_map(|(key, value)| [key, "=", value, "\0"]);
        self.0 = pairs.collect::<String>().into();
        Ok(())
    }

    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.iter().find(|(other, _)| *other == key).map(|(_, value)| value)
    }

    /// All pairs.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.split_terminator(END).filter_map(|pair| pair.split_once('='))
    }

    /// Bytes that they take.
    #[must_use]
    pub fn size(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What somebody looks for: rooms that have all these values and, if he wants that, a place for him.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    pairs: Vec<(Box<str>, Box<str>)>,
    /// Only those that are not full and not locked.
    pub is_free: bool,
}

impl Filter {
    /// Wants this value of this key, too. An empty value: the key must not be there.
    ///
    /// # Errors
    /// If no room could have it, or if [`limits::FILTERS`] are wanted already.
    pub fn want(&mut self, key: &str, value: &str) -> Result<(), Unfit> {
        check(key, value)?;
        if self.pairs.len() >= limits::FILTERS {
            return Err(Unfit::Many);
        }
        self.pairs.push((key.into(), value.into()));
        Ok(())
    }

    /// What is wanted.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(key, value)| (&**key, &**value))
    }

    /// Whether all rooms will do.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.pairs.is_empty() && !self.is_free
    }

    /// Whether a room is one, given the values of its keys and whether it is free.
    pub fn fits<'a>(&self, value_of: impl Fn(&str) -> Option<&'a str>, is_free: bool) -> bool {
        (is_free || !self.is_free)
            && self.iter().all(|(key, value)| value_of(key).unwrap_or_default() == value)
    }
}

/// Whether a room may have this value of this key.
#[must_use]
pub fn is_fit(key: &str, value: &str) -> bool {
    let length = key.len() + "=".len() + value.len();
    !key.is_empty()
        && !key.contains(['=', END])
        && !value.contains(END)
        && length <= limits::ROOM_DATA_BYTES
}

fn check(key: &str, value: &str) -> Result<(), Unfit> {
    if is_fit(key, value) { Ok(()) } else { Err(Unfit::Pair) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(pairs: &[(&str, &str)]) -> Data {
        let mut data = Data::default();
        pairs.iter().for_each(|(key, value)| data.set(key, value).unwrap());
        data
    }

    #[test]
    fn values_are_set_changed_and_taken_out() {
        let mut data = data(&[("mode", "ctf"), ("map", "castle"), ("map", "lava=hot")]);
        assert_eq!(data.iter().collect::<Vec<_>>(), [("map", "lava=hot"), ("mode", "ctf")]);
        data.set("map", "").unwrap();
        data.set("nothing", "").unwrap();
        assert_eq!((data.get("map"), data.get("mode")), (None, Some("ctf")));
        data.set("mode", "").unwrap();
        assert!(data.is_empty());
    }

    #[test]
    fn what_does_not_fit_changes_nothing() {
        let mut data = Data::default();
        let long = "v".repeat(limits::ROOM_DATA_BYTES - 1);
        for (key, value) in
            [("", "x"), ("a=b", "x"), ("a\0b", "x"), ("k", "\0"), ("k", &long), (&long, "v")]
        {
            assert_eq!(data.set(key, value), Err(Unfit::Pair), "{key}={value}");
            assert_eq!(Filter::default().want(key, value), Err(Unfit::Pair));
        }
        data.set("k", &long[1..]).unwrap();
        for n in 1..limits::ROOM_DATA {
            data.set(&n.to_string(), "x").unwrap();
        }
        assert_eq!(data.set("one more", "x"), Err(Unfit::Many));
        data.set("k", "changed").unwrap();
        assert_eq!(data.iter().count(), limits::ROOM_DATA);
    }

    #[test]
    fn all_that_is_wanted_has_to_be_there() {
        let room = data(&[("map", "castle"), ("mode", "ctf")]);
        let fits = |pairs: &[(&str, &str)]| {
            let mut filter = Filter::default();
            pairs.iter().for_each(|(key, value)| filter.want(key, value).unwrap());
            filter.fits(|key| room.get(key), false)
        };
        assert!(
            fits(&[]) && fits(&[("map", "castle")]) && fits(&[("map", "castle"), ("mode", "ctf")])
        );
        assert!(!fits(&[("map", "cast")]) && !fits(&[("map", "castle"), ("mode", "dm")]));
        assert!(fits(&[("ranked", "")]) && !fits(&[("ranked", "1")]) && !fits(&[("map", "")]));
    }

    #[test]
    fn who_wants_a_place_gets_no_room_without() {
        let filter = Filter { is_free: true, ..Filter::default() };
        assert!(filter.fits(|_| None, true) && !filter.fits(|_| None, false));
    }

    #[test]
    fn so_many_things_may_be_wanted() {
        let mut filter = Filter::default();
        for n in 0..limits::FILTERS {
            filter.want(&n.to_string(), "x").unwrap();
        }
        assert_eq!(filter.want("more", "x"), Err(Unfit::Many));
    }
}
