//! What the host of a room says of it in its own words, a JSON object, and what others look for in it.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use smallvec::SmallVec;

use crate::dialect::events::data::Member;
use crate::dialect::events::event::{Fields, as_text, fields_of};
use crate::limits;

/// The own data of a room.
#[derive(Clone, Debug)]
pub(in crate::dialect::events) struct Own {
    /// As the host has written it, without line ends.
    pub(in crate::dialect::events) text: Box<RawValue>,
    /// Of each of its first members that is no list and no object.
    marks: Box<[u64]>,
    /// Of the name of each member that is not null.
    names: Box<[u64]>,
}

impl Member<'_> for Own {
    fn what() -> String {
        format!("an object of at most {} bytes", limits::OWN_DATA)
    }

    fn read(value: &RawValue) -> Option<Self> {
        let members = members(value)?;
        // In a text of JSON a line end is written as an escape.
        let text: String = value.get().chars().filter(|c| !matches!(c, '\n' | '\r')).collect();
        let text = Some(text).filter(|text| text.len() <= limits::OWN_DATA)?;
        let marks = members.iter().filter_map(|(key, value)| mark(key, value));
        let marks = marks.take(limits::OWN_MARKS).collect();
        let names = members.iter().filter(|(_, value)| value.get() != "null");
        let names = names.map(|(key, _)| name(key)).collect();
        Some(Self { text: RawValue::from_string(text).ok()?, marks, names })
    }
}

/// The text; the rest follows from it.
impl Serialize for Own {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.text.get().serialize(to)
    }
}

impl<'de> Deserialize<'de> for Own {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = RawValue::from_string(String::deserialize(from)?).map_err(D::Error::custom)?;
        Self::read(&text).ok_or_else(|| D::Error::custom("own data are an object"))
    }
}

impl Own {
    /// Bytes that it takes.
    pub(in crate::dialect::events) fn size(&self) -> usize {
        self.text.get().len() + size_of_val(&*self.marks)
    }
}

/// What somebody looks for: rooms whose own data have all these members, and none of those names.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(in crate::dialect::events) struct Wanted {
    marks: SmallVec<[u64; limits::FILTERS]>,
    absent: SmallVec<[u64; 2]>,
}

impl Wanted {
    /// Whether a room with this own data is one.
    pub(in crate::dialect::events) fn fits(&self, own: Option<&Own>) -> bool {
        let (marks, names) = own.map_or((&[][..], &[][..]), |own| (&own.marks, &own.names));
        self.marks.iter().all(|wanted| marks.contains(wanted))
            && !self.absent.iter().any(|unwanted| names.contains(unwanted))
    }

    /// Whether nothing is wanted.
    pub(in crate::dialect::events) fn is_empty(&self) -> bool {
        self.marks.is_empty() && self.absent.is_empty()
    }
}

impl Member<'_> for Wanted {
    fn what() -> String {
        format!("an object of at most {} texts, numbers, trues, falses and nulls", limits::FILTERS)
    }

    fn read(value: &RawValue) -> Option<Self> {
        let members = members(value)?;
        if members.len() > limits::FILTERS {
            return None;
        }
        let mut wanted = Self::default();
        for (key, value) in &members {
            match value.get() {
                "null" => wanted.absent.push(name(key)),
                _ => wanted.marks.push(mark(key, value)?),
            }
        }
        Some(wanted)
    }
}

fn members(value: &RawValue) -> Option<Fields<'_>> {
    fields_of(value.get()).ok()
}

/// By what a peer is known that was kicked.
pub(super) fn mark_of_peer(id: &str) -> u64 {
    let mut hash = DefaultHasher::new();
    id.hash(&mut hash);
    hash.finish()
}

/// A number for the name of a member.
fn name(key: &str) -> u64 {
    let mut hash = DefaultHasher::new();
    key.hash(&mut hash);
    hash.finish()
}

/// A number for a member and its value, however they are written: in JSON 4 and 4.0 are the same, and
/// engines without a type for it write 1 for true. None of a list, an object, or null.
fn mark(key: &str, value: &RawValue) -> Option<u64> {
    let mut hash = DefaultHasher::new();
    key.hash(&mut hash);
    match value.get() {
        "true" => 1_f64.to_bits().hash(&mut hash),
        "false" => 0_f64.to_bits().hash(&mut hash),
        text => match as_text(value) {
            Some(text) => text.hash(&mut hash),
            // Zero may have a sign.
            None => (text.parse::<f64>().ok()? + 0.0).to_bits().hash(&mut hash),
        },
    }
    Some(hash.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    fn fits(own: &str, wanted: &str) -> bool {
        let own = Own::read(&raw(own)).unwrap();
        Wanted::read(&raw(wanted)).unwrap().fits(Some(&own))
    }

    #[test]
    fn what_is_wanted_has_to_be_there_however_it_is_written() {
        let own = r#"{"map":"castle","level":4,"ranked":true,"mods":["a"],"x":{"map":"lava"},"z":-0.0,"none":null}"#;
        for wanted in [
            "{}",
            r#"{"map":"castle"}"#,
            r#"{"map":"c\u0061stle","level":4.0}"#,
            r#"{"level":0.4e1,"ranked":1,"z":0}"#,
            r#"{"ranked":true,"other":null}"#,
            r#"{"other":null,"none":null}"#,
        ] {
            assert!(fits(own, wanted), "{wanted}");
        }
        for wanted in [
            r#"{"map":"lava"}"#,
            r#"{"map":4}"#,
            r#"{"level":"4"}"#,
            r#"{"other":1}"#,
            r#"{"ranked":0}"#,
            r#"{"map":null}"#,
            r#"{"level":4,"mods":null}"#,
            r#"{"other":null,"x":null}"#,
        ] {
            assert!(!fits(own, wanted), "{wanted}");
        }
        assert!(
            Wanted::default().fits(None) && !Wanted::read(&raw("{\"a\":1}")).unwrap().fits(None)
        );
        assert!(Wanted::read(&raw("{\"a\":null}")).unwrap().fits(None));
        for bad in ["[]", "7", r#"{"a":[]}"#, r#"{"a":{}}"#] {
            assert!(Wanted::read(&raw(bad)).is_none(), "{bad}");
        }
    }

    #[test]
    fn own_data_is_bounded_and_one_line() {
        let of = |length: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(length - 8));
        assert!(Own::read(&raw(&of(limits::OWN_DATA))).is_some());
        assert!(Own::read(&raw(&of(limits::OWN_DATA + 1))).is_none());
        assert_eq!(Own::read(&raw("{\n\"a\":\r\n 1e400}")).unwrap().text.get(), "{\"a\": 1e400}");
        let many: Vec<String> = (0..100).map(|n| format!("\"{n}\":{n}")).collect();
        let own = Own::read(&raw(&format!("{{{}}}", many.join(",")))).unwrap();
        assert_eq!((own.marks.len(), own.names.len()), (limits::OWN_MARKS, 100));
        for bad in ["[]", "7", "\"x\""] {
            assert!(Own::read(&raw(bad)).is_none(), "{bad}");
        }
    }
}
