//! Rows of the same length, one after the other: of these there are so many that names would take most of the time.
//! Nothing can be added to them.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error, Visitor};
use serde::{Deserializer, Serializer};
use smallvec::SmallVec;

/// What becomes a row of `N` bytes.
pub(crate) trait Row<const N: usize> {
    fn pack(&self) -> [u8; N];

    fn unpack(row: &[u8; N]) -> Self;
}

pub(crate) fn serialize<'a, const N: usize, T: Row<N> + 'a, S: Serializer>(
    all: impl IntoIterator<Item = &'a T>,
    to: S,
) -> Result<S::Ok, S::Error> {
    let mut bytes = SmallVec::<[u8; 64]>::new();
    all.into_iter().for_each(|row| bytes.extend_from_slice(&row.pack()));
    to.serialize_bytes(&bytes)
}

pub(crate) fn deserialize<'de, const N: usize, T: Row<N>, C, D>(from: D) -> Result<C, D::Error>
where
    C: FromIterator<T>,
    D: Deserializer<'de>,
{
    from.deserialize_bytes(Rows(PhantomData))
}

/// One row, as it is.
pub(crate) mod one {
    use serde::de::Error as _;
    use serde::{Deserializer, Serializer};
    use smallvec::SmallVec;

    use super::Row;

    pub(crate) fn serialize<const N: usize, S: Serializer>(
        row: &impl Row<N>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(&row.pack())
    }

    pub(crate) fn deserialize<'de, const N: usize, T: Row<N>, D: Deserializer<'de>>(
        from: D,
    ) -> Result<T, D::Error> {
        let rows: SmallVec<[T; 1]> = super::deserialize(from)?;
        let mut rows = rows.into_iter();
        rows.next().filter(|_| rows.len() == 0).ok_or_else(|| D::Error::custom("no single row"))
    }
}

/// The fields of a row, one after the other.
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl Fields<'_> {
    /// The next one; zeros behind the last.
    pub(crate) fn next<const N: usize>(&mut self) -> [u8; N] {
        let Some((field, rest)) = self.0.split_first_chunk() else { return [0; N] };
        self.0 = rest;
        *field
    }
}

/// These fields as a row; what is too long is cut.
pub(crate) fn row<const N: usize>(fields: &[&[u8]]) -> [u8; N] {
    let mut row = [0; N];
    let bytes = fields.iter().copied().flatten();
    row.iter_mut().zip(bytes).for_each(|(to, byte)| *to = *byte);
    row
}

struct Rows<const N: usize, T, C>(PhantomData<(T, C)>);

impl<const N: usize, T: Row<N>, C: FromIterator<T>> Visitor<'_> for Rows<N, T, C> {
    type Value = C;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rows of {N} bytes")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<C, E> {
        match bytes.as_chunks::<N>() {
            (rows, []) => Ok(rows.iter().map(T::unpack).collect()),
            _ => Err(E::invalid_length(bytes.len(), &self)),
        }
    }
}
