//! What a request or a pass to the server carries, member by member: what is wrong is said in one
//! sentence that names the member and what it has to be.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, Error as _, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::event::{Event, Fault, Fields, as_text, fields_of};
use crate::introductions::plan::Wish;
use crate::limits;
use crate::lobby::names::clean;

/// An object whose members are asked for one by one. It may have others.
pub(super) struct Data<'a>(Fields<'a>);

impl<'a> Data<'a> {
    /// The `data` of an event; none, or null, is as good as an object without members.
    pub(super) fn of(event: &Event<'a>) -> Result<Self, Fault> {
        let Some(data) = event.data.filter(|data| data.get() != "null") else {
            return Ok(Self(Fields::new()));
        };
        let most = limits::MEMBERS;
        object(data)
            .ok_or_else(|| bad(format!("data has to be an object of at most {most} members")))
    }

    /// A member that has to be there.
    pub(super) fn needed<T: Member<'a>>(&self, name: &str) -> Result<T, Fault> {
        let missing = || bad(format!("{name} is missing, it has to be {}", T::what()));
        self.optional(name)?.ok_or_else(missing)
    }

    /// A member that may be left out, or be null.
    pub(super) fn optional<T: Member<'a>>(&self, name: &str) -> Result<Option<T>, Fault> {
        let mut values = self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| *value);
        let value = values.next().filter(|value| value.get() != "null");
        if values.next().is_some() {
            return Err(bad(format!("{name} is there twice")));
        }
        let wrong = || bad(format!("{name} has to be {}", T::what()));
        value.map(|value| T::read(value).ok_or_else(wrong)).transpose()
    }

    /// The first of these members that is there.
    pub(super) fn first_of<'n>(&self, names: &[&'n str]) -> Option<&'n str> {
        let is_there = |name: &&&str| self.said().any(|said| said == **name);
        names.iter().find(is_there).copied()
    }

    /// The members that are none of these.
    pub(super) fn besides(&self, names: &[&str]) -> Vec<&str> {
        self.said().filter(|said| !names.contains(said)).collect()
    }

    /// The names of its members; null is as good as none.
    fn said(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter(|(_, value)| value.get() != "null").map(|(key, _)| &**key)
    }
}

fn object(value: &RawValue) -> Option<Data<'_>> {
    fields_of(value.get()).ok().map(Data)
}

pub(super) fn bad(why: String) -> Fault {
    Fault::new("bad_request", why)
}

/// What a member can be.
pub(super) trait Member<'a>: Sized {
    /// In words.
    fn what() -> String;
    /// None if the value is something else.
    fn read(value: &'a RawValue) -> Option<Self>;
}

impl<'a> Member<'a> for Cow<'a, str> {
    fn what() -> String {
        "a text".to_owned()
    }

    fn read(value: &'a RawValue) -> Option<Self> {
        as_text(value)
    }
}

/// A text that is short and fits a line: what cannot be seen is taken out.
pub(super) struct Label(pub(super) Arc<str>);

impl Member<'_> for Label {
    fn what() -> String {
        format!("a text of at most {} bytes without control characters", limits::LABEL)
    }

    fn read(value: &RawValue) -> Option<Self> {
        let text = as_text(value)?;
        let text = clean(&text);
        (text.len() <= limits::LABEL).then(|| Self((&*text).into()))
    }
}

/// The password of a room. One that is empty is none.
pub(super) struct Password<'a>(pub(super) Cow<'a, str>);

impl<'a> Member<'a> for Password<'a> {
    fn what() -> String {
        format!("a text of at most {} bytes", limits::ROOM_PASSWORD)
    }

    fn read(value: &'a RawValue) -> Option<Self> {
        as_text(value).filter(|text| text.len() <= limits::ROOM_PASSWORD).map(Self)
    }
}

/// The same, and not empty.
pub(super) struct Id(pub(super) Arc<str>);

impl Member<'_> for Id {
    fn what() -> String {
        format!("a text of 1 to {} bytes without control characters", limits::LABEL)
    }

    fn read(value: &RawValue) -> Option<Self> {
        Label::read(value).filter(|Label(text)| !text.is_empty()).map(|Label(text)| Self(text))
    }
}

/// A whole number in this range.
pub(super) struct Whole<const FROM: u64, const TO: u64>(pub(super) u64);

impl<const FROM: u64, const TO: u64> Member<'_> for Whole<FROM, TO> {
    fn what() -> String {
        format!("a whole number from {FROM} to {TO}")
    }

    fn read(value: &RawValue) -> Option<Self> {
        whole(value).filter(|number| (FROM..=TO).contains(number)).map(Self)
    }
}

/// A whole number, however it is written: in JSON 4, 4.0 and 0.4e1 are the same, and engines whose
/// numbers are all floating-point write the second.
fn whole(value: &RawValue) -> Option<u64> {
    /// Above this, floating-point numbers are no longer all whole numbers that there are.
    const MOST: f64 = (1_u64 << 53) as f64;
    // A text has quotes, and the words that are numbers for Rust are no JSON.
    let number: f64 = value.get().parse().ok()?;
    let is_whole = number.fract() == 0.0 && (0.0..=MOST).contains(&number);
    is_whole.then_some(number as u64)
}

impl Member<'_> for bool {
    fn what() -> String {
        "true or false".to_owned()
    }

    /// Engines without a type for it write 1 and 0.
    fn read(value: &RawValue) -> Option<Self> {
        match value.get() {
            "true" => Some(true),
            "false" => Some(false),
            _ => Whole::<0, 1>::read(value).map(|Whole(number)| number == 1),
        }
    }
}

impl Member<'_> for Wish {
    fn what() -> String {
        "\"always\" or \"never\"".to_owned()
    }

    fn read(value: &RawValue) -> Option<Self> {
        Self::read(as_text(value)?.as_bytes())
    }
}

impl Member<'_> for IpAddr {
    fn what() -> String {
        "an IP address".to_owned()
    }

    fn read(value: &RawValue) -> Option<Self> {
        as_text(value)?.parse().ok()
    }
}

/// A list of objects, not too long; none for what is no object.
pub(super) struct Objects<'a>(pub(super) Vec<Option<Data<'a>>>);

/// Its members as they are written.
struct Listed<'a>(Vec<&'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for Listed<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Bounded;

        impl<'de> Visitor<'de> for Bounded {
            type Value = Listed<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a list of at most {}", limits::OBJECTS)
            }

            fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<Self::Value, S::Error> {
                let mut all = Vec::new();
                while let Some(one) = seq.next_element()? {
                    if all.len() == limits::OBJECTS {
                        return Err(S::Error::invalid_length(all.len() + 1, &self));
                    }
                    all.push(one);
                }
                Ok(Listed(all))
            }
        }
        from.deserialize_seq(Bounded)
    }
}

impl<'a> Member<'a> for Objects<'a> {
    fn what() -> String {
        format!("a list of at most {} objects", limits::OBJECTS)
    }

    fn read(value: &'a RawValue) -> Option<Self> {
        let Listed(all) = serde_json::from_str(value.get()).ok()?;
        Some(Self(all.into_iter().map(object).collect()))
    }
}
