//! How state is written for another process, which may be of another version: CBOR (RFC 8949) with the
//! names of all fields, so that fields can be added (`#[serde(default)]`) and those that are not known are passed over.

mod forms;
pub(crate) mod packed;

use std::fmt;
use std::marker::PhantomData;

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde::de::{DeserializeOwned, Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

pub(crate) use forms::{array, by_v4, bytes, ip, linked, slab, wide};

/// Places that a table may have which others know by number: more connections than a process may have files.
/// So a few wrong bytes cannot make it take all memory.
pub(crate) const PLACES: usize = 1 << 20;

/// What was written by another process is not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotUnderstood(String);

impl NotUnderstood {
    /// For this reason.
    pub(crate) fn new(why: impl fmt::Display) -> Self {
        Self(why.to_string())
    }
}

impl fmt::Display for NotUnderstood {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotUnderstood {}

/// Writes something. None: there is no memory for it.
pub(crate) fn write(what: &impl Serialize) -> Option<Vec<u8>> {
    minicbor_serde::to_vec(what).ok()
}

/// Reads what [`write()`] has written, here or elsewhere. Whatever these bytes are, it takes no more memory than a
/// small multiple of them.
pub(crate) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, NotUnderstood> {
    minicbor_serde::from_slice(bytes).map_err(NotUnderstood::new)
}

/// A part of a state, with its own version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// What it is of.
    pub name: String,
    /// Another version is not read.
    pub version: u16,
    /// What [`write`] has made.
    #[serde(with = "bytes")]
    pub bytes: Vec<u8>,
}

/// A part, or none if there was no memory for it: whoever goes on without it loses what is in it.
pub type Written = Option<Part>;

/// Parts that another process has written, which may be about to come.
pub trait Parts {
    /// The part of this name, in whichever version; if it has to be waited for, until it is there.
    fn part(&mut self, name: &str) -> Option<&Part>;

    /// Whether nothing more comes though there would be more, so that nothing is to be said of what is missing.
    fn is_cut(&self) -> bool {
        false
    }
}

/// Reads a part.
///
/// # Errors
///
/// There is none of this name, it has another version, or it is not understood.
pub(crate) fn part<T: DeserializeOwned>(
    parts: &mut dyn Parts,
    name: &str,
    version: u16,
) -> Result<T, NotUnderstood> {
    read(bytes_of(parts, name, version)?)
}

/// What is in a part.
///
/// # Errors
///
/// There is none of this name, or it has another version.
pub(crate) fn bytes_of<'a>(
    parts: &'a mut dyn Parts,
    name: &str,
    version: u16,
) -> Result<&'a [u8], NotUnderstood> {
    let part = parts.part(name).ok_or_else(|| NotUnderstood::new("it is missing"))?;
    if part.version != version {
        let other = part.version;
        return Err(NotUnderstood::new(format_args!("it has version {other}, not {version}")));
    }
    Ok(&part.bytes)
}

/// Takes what a dialect writes, each table as soon as it is written: meanwhile the other process reads those before.
pub struct Saving<'a> {
    name: &'a str,
    version: u16,
    put: &'a mut dyn FnMut(Written),
}

impl<'a> Saving<'a> {
    /// What is written becomes parts of this name.
    pub(crate) fn new(name: &'a str, version: u16, put: &'a mut dyn FnMut(Written)) -> Self {
        Self { name, version, put }
    }

    /// Writes something that is all there is.
    pub(crate) fn write(&mut self, what: &impl Serialize) {
        self.put(self.name.into(), what);
    }

    /// Writes a table, of which there are several. What has no name comes first.
    pub(crate) fn table(&mut self, table: &str, what: &impl Serialize) {
        self.put(format!("{}.{table}", self.name), what);
    }

    fn put(&mut self, name: String, what: &impl Serialize) {
        let part = |bytes| Part { name, version: self.version, bytes };
        (self.put)(write(what).map(part));
    }
}

/// Gives back what a [`Saving`] has taken.
pub struct Saved<'a> {
    name: &'a str,
    version: u16,
    parts: &'a mut dyn Parts,
}

impl<'a> Saved<'a> {
    /// What is read are the parts of this name.
    pub(crate) fn new(name: &'a str, version: u16, parts: &'a mut dyn Parts) -> Self {
        Self { name, version, parts }
    }

    /// What was written by [`Saving::write`].
    pub(crate) fn read<T: DeserializeOwned>(&mut self) -> Result<T, NotUnderstood> {
        part(self.parts, self.name, self.version)
    }

    /// A table.
    pub(crate) fn table<T: DeserializeOwned>(&mut self, table: &str) -> Result<T, NotUnderstood> {
        part(self.parts, &format!("{}.{table}", self.name), self.version)
    }
}

/// Reads a list into whatever it becomes, without a copy in between.
pub(crate) fn collect<'de, T, U, C, D>(
    from: D,
    each: impl FnMut(T) -> Result<U, NotUnderstood>,
) -> Result<C, D::Error>
where
    T: Deserialize<'de>,
    C: FromIterator<U>,
    D: Deserializer<'de>,
{
    from.deserialize_seq(Collect { each, of: PhantomData })
}

struct Collect<F, C> {
    each: F,
    of: PhantomData<C>,
}

impl<'de, T, U, C, F> Visitor<'de> for Collect<F, (T, C)>
where
    T: Deserialize<'de>,
    C: FromIterator<U>,
    F: FnMut(T) -> Result<U, NotUnderstood>,
{
    type Value = C;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<C, A::Error> {
        let mut elements = Elements { seq, each: self.each, of: PhantomData, failed: None };
        let all = elements.by_ref().collect();
        elements.failed.map_or(Ok(all), Err)
    }
}

/// The elements of a list, until one is not understood.
struct Elements<A, F, T, E> {
    seq: A,
    each: F,
    of: PhantomData<T>,
    failed: Option<E>,
}

impl<'de, A, F, T, U> Iterator for Elements<A, F, T, A::Error>
where
    A: SeqAccess<'de>,
    T: Deserialize<'de>,
    F: FnMut(T) -> Result<U, NotUnderstood>,
{
    type Item = U;

    fn next(&mut self) -> Option<U> {
        let next = self.seq.next_element::<T>().transpose()?;
        let next = next.and_then(|element| (self.each)(element).map_err(A::Error::custom));
        next.map_err(|error| self.failed = Some(error)).ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        /// A few wrong bytes cannot make it take more room than this many elements have.
        const MOST: usize = 16_384;
        (self.seq.size_hint().unwrap_or_default().min(MOST), None)
    }
}

/// In place of random numbers that are not written: those of the process that goes on are taken.
pub(crate) fn no_random() -> StdRng {
    StdRng::from_seed([0; 32])
}

/// Whether a field is left out, as one that is missing has just this value.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests {
    use serde::ser::Error as _;

    use super::*;

    struct Unwritten;

    impl Serialize for Unwritten {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(S::Error::custom("no memory"))
        }
    }

    #[test]
    fn what_could_not_be_written_is_not_passed_over() {
        let mut all = Vec::new();
        let mut put = |part: Written| all.push(part.map(|part| part.name));
        let mut saving = Saving::new("hosts", 1, &mut put);
        saving.write(&1);
        saving.table("ports", &Unwritten);
        assert_eq!(all, [Some("hosts".into()), None]);
    }
}
