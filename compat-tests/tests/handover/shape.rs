//! What a state looks like, without what is in it: the names of all fields, and what kind of thing they hold.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

/// The fields of a part, each with its path.
pub(crate) fn shape(name: &str, bytes: &[u8]) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    let mut from = minicbor_serde::Deserializer::new(bytes);
    At { path: name.into(), all: &mut all }.deserialize(&mut from).unwrap();
    all
}

struct At<'a> {
    path: String,
    all: &'a mut BTreeSet<String>,
}

impl At<'_> {
    fn note(self, what: &str) {
        self.all.insert(format!("{}: {what}", self.path));
    }
}

impl<'de> DeserializeSeed<'de> for At<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

/// A key, if it is the name of a field or of a variant.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Option<String>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                let is_name = !text.is_empty()
                    && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
                // Games and players have such names here; fields have longer ones.
                Ok(is_name
                    .then(|| text.to_owned())
                    .filter(|text| !["g", "ann", "bob"].contains(&&**text)))
            }

            fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
                Ok(None)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                while seq.next_element::<serde::de::IgnoredAny>()?.is_some() {}
                Ok(None)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                use serde::de::IgnoredAny;
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(None)
            }
        }
        from.deserialize_any(Text)
    }
}

impl<'de> Visitor<'de> for At<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        self.note("bool");
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        self.note("number");
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        self.note("number");
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        self.note("text");
        Ok(())
    }

    fn visit_bytes<E>(self, _: &[u8]) -> Result<(), E> {
        self.note("bytes");
        Ok(())
    }

    fn visit_none<E>(self) -> Result<(), E> {
        self.note("nothing");
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let path = format!("{}[]", self.path);
        while seq.next_element_seed(At { path: path.clone(), all: &mut *self.all })?.is_some() {}
        // It may be empty.
        self.note("list");
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key_seed(Key)? {
            let path = match key {
                Some(key) => format!("{}.{key}", self.path),
                None => format!("{}{{}}", self.path),
            };
            map.next_value_seed(At { path, all: &mut *self.all })?;
        }
        Ok(())
    }
}
