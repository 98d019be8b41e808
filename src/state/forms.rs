//! How single fields are written, for `#[serde(with = ...)]`, where what they would do by themselves is too long or
//! not possible.

/// Bytes as such, and not as a list of numbers.
pub(crate) mod bytes {
    use std::fmt;

    use serde::de::{Error, Visitor};
    use serde::{Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(
        bytes: impl AsRef<[u8]>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(bytes.as_ref())
    }

    pub(crate) fn deserialize<'de, T: From<Vec<u8>>, D: Deserializer<'de>>(
        from: D,
    ) -> Result<T, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Vec<u8>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
                Ok(bytes.into())
            }
        }
        from.deserialize_bytes(Bytes).map(T::from)
    }
}

/// Addresses as bytes: there are many of them, and by themselves they are written as lists with names.
pub(crate) mod ip {
    use std::fmt;
    use std::net::IpAddr;

    use serde::de::{Error, Visitor};
    use serde::{Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(addr: &IpAddr, to: S) -> Result<S::Ok, S::Error> {
        match addr {
            IpAddr::V4(v4) => to.serialize_bytes(&v4.octets()),
            IpAddr::V6(v6) => to.serialize_bytes(&v6.octets()),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<IpAddr, D::Error> {
        from.deserialize_bytes(Octets)
    }

    struct Octets;

    impl Visitor<'_> for Octets {
        type Value = IpAddr;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an address in bytes")
        }

        fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<IpAddr, E> {
            let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
            let any = v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from));
            any.map_err(|_| E::invalid_length(bytes.len(), &self))
        }
    }
}

/// What is known by addresses of IPv4, which are written as numbers.
pub(crate) mod by_v4 {
    use std::net::Ipv4Addr;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::hash::Map;

    pub(crate) fn serialize<V: Serialize, S: Serializer>(
        all: &Map<Ipv4Addr, V>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_seq(all.iter().map(|(addr, value)| (addr.to_bits(), value)))
    }

    pub(crate) fn deserialize<'de, V: Deserialize<'de>, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Map<Ipv4Addr, V>, D::Error> {
        crate::state::collect(from, |(addr, value): (u32, V)| {
            Ok((Ipv4Addr::from_bits(addr), value))
        })
    }
}

/// Numbers of 128 bits, which not every format has.
pub(crate) mod wide {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(number: &u128, to: S) -> Result<S::Ok, S::Error> {
        [(number >> 64) as u64, *number as u64].serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u128, D::Error> {
        let [high, low] = <[u64; 2]>::deserialize(from)?;
        Ok(u128::from(high) << 64 | u128::from(low))
    }
}

/// Tables with places that others know by number, which stay theirs.
pub(crate) mod slab {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use slab::Slab;

    use crate::state::{NotUnderstood, PLACES};

    pub(crate) fn serialize<T: Serialize, S: Serializer>(
        slab: &Slab<T>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_seq(slab)
    }

    pub(crate) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Slab<T>, D::Error> {
        crate::state::collect(from, |(place, value): (usize, T)| match place < PLACES {
            true => Ok((place, value)),
            false => Err(NotUnderstood::new("a table is too large")),
        })
    }
}

/// Maps with an order. (How [`LinkedHashMap`] would be read by itself, a few bytes could take all memory.)
pub(crate) mod linked {
    use std::hash::Hash;

    use hashlink::LinkedHashMap;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::hash::Keyed;

    pub(crate) fn serialize<K: Hash + Eq + Serialize, V: Serialize, S: Serializer>(
        map: &LinkedHashMap<K, V, Keyed>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_seq(map)
    }

    pub(crate) fn deserialize<'de, K, V, D: Deserializer<'de>>(
        from: D,
    ) -> Result<LinkedHashMap<K, V, Keyed>, D::Error>
    where
        K: Hash + Eq + Deserialize<'de>,
        V: Deserialize<'de>,
    {
        crate::state::collect(from, |pair: (K, V)| Ok(pair))
    }
}

/// Arrays of any length.
pub(crate) mod array {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<T: Serialize, S: Serializer, const N: usize>(
        array: &[T; N],
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_seq(array)
    }

    pub(crate) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>, const N: usize>(
        from: D,
    ) -> Result<[T; N], D::Error> {
        let all = Vec::deserialize(from)?;
        all.try_into().map_err(|_| D::Error::custom("another number of things than expected"))
    }
}
