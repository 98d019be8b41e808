//! The messages between nodes, as bytes: one that counts the versions, then CBOR with the names of all
//! fields, as state is written for another process.

use minicbor_serde::{Deserializer, Serializer};
use serde::{Deserialize, Serialize};

use crate::limits::cluster as limits;
use crate::state::NotUnderstood;
use crate::truncation::Quoted;

/// The first byte. Fields that are added with a default do not change it.
pub(super) const VERSION: u8 = 1;

/// Something that a node says.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Message<'a> {
    /// Its name.
    #[serde(borrow, rename = "f")]
    pub(super) from: &'a str,
    /// When it was started.
    #[serde(rename = "i")]
    pub(super) incarnation: u64,
    #[serde(borrow, rename = "w")]
    pub(super) what: What<'a>,
}

/// What it says.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum What<'a> {
    /// It is there, for the time with this number.
    #[serde(rename = "h")]
    Hello {
        n: u64,
        /// What it tells of itself, which another version may not understand.
        #[serde(borrow, default, rename = "a", with = "raw", skip_serializing_if = "is_empty")]
        about: &'a [u8],
    },
    /// It stops.
    #[serde(rename = "b")]
    Bye,
    /// What dialects have said, or nothing.
    #[serde(rename = "p")]
    Part {
        /// The incarnation of the node that it is for.
        to: u64,
        #[serde(rename = "l")]
        link: u64,
        #[serde(rename = "n")]
        number: u64,
        /// See [`add`] and [`all`].
        #[serde(borrow, rename = "b", with = "raw")]
        said: &'a [u8],
    },
    /// Something on this link is missing: everything has to be told again.
    #[serde(rename = "a")]
    Again {
        to: u64,
        #[serde(rename = "l")]
        link: u64,
    },
}

const fn is_empty(bytes: &[u8]) -> bool {
    bytes.is_empty()
}

/// Bytes as such, without a copy.
mod raw {
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(bytes)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<&'de [u8], D::Error> {
        <&[u8]>::deserialize(from)
    }
}

/// Adds something that a dialect says to what is said in one part.
pub(super) fn add(said: &mut Vec<u8>, of: &str, bytes: &[u8]) {
    // Writing to memory fails only where there is none.
    let _ = Said(of, bytes).serialize(&mut Serializer::new(said));
}

/// What is said in one part, and what says it. What is not understood ends it.
pub(super) fn all(said: &[u8]) -> impl Iterator<Item = (&str, &[u8])> {
    let mut from = Deserializer::new(said);
    let all = std::iter::from_fn(move || Said::deserialize(&mut from).ok());
    all.map(|Said(of, bytes)| (of, bytes))
}

/// Something that a dialect says.
#[derive(Serialize, Deserialize)]
struct Said<'a>(#[serde(borrow)] &'a str, #[serde(borrow, with = "raw")] &'a [u8]);

/// As bytes; none if there is no memory for it.
pub(super) fn write(message: &Message<'_>) -> Option<Vec<u8>> {
    let mut bytes = vec![VERSION];
    message.serialize(&mut Serializer::new(&mut bytes)).ok()?;
    Some(bytes)
}

/// What these bytes say, whoever sent them.
///
/// # Errors
/// If they are nothing that a node says in this version.
pub(super) fn read(bytes: &[u8]) -> Result<Message<'_>, NotUnderstood> {
    if bytes.len() > limits::MESSAGE {
        let length = bytes.len();
        return Err(NotUnderstood::new(format_args!("it has {length} bytes")));
    }
    let (version, rest) =
        bytes.split_first().ok_or_else(|| NotUnderstood::new("there is nothing in it"))?;
    if *version != VERSION {
        return Err(NotUnderstood::new(format_args!(
            "it has version {version}, not {VERSION}: all nodes need a punchd that speaks the same"
        )));
    }
    let message: Message<'_> = minicbor_serde::from_slice(rest).map_err(NotUnderstood::new)?;
    super::check_name(message.from).map_err(|_| {
        let from = Quoted(message.from);
        NotUnderstood::new(format_args!("{from} is no name of a node"))
    })?;
    Ok(message)
}
