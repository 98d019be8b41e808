//! How tables find their keys. Several look-ups for each packet are a good part of what this
//! server computes, and Rust's own hash costs five times as much as this one. This one has a key
//! as well, which nobody outside knows, so nobody can choose addresses that fall into one place.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hash, Hasher as _, RandomState};
use std::net::{IpAddr, SocketAddr};

use foldhash::SharedSeed;
use foldhash::quality::{FoldHasher, SeedableRandomState};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A hash map with the fast hash.
pub type Map<K, V> = HashMap<K, V, Keyed>;

/// A hash set with the fast hash.
pub type Set<T> = HashSet<T, Keyed>;

/// The fast hash, with a key from the system's random numbers.
#[derive(Clone, Debug)]
pub struct Keyed(SeedableRandomState);

/// A random number of the system.
fn random_key() -> u64 {
    // All there is of Rust's own hash of nothing is its key.
    RandomState::new().build_hasher().finish()
}

impl Default for Keyed {
    fn default() -> Self {
        Self(SeedableRandomState::with_seed(random_key(), SharedSeed::global_random()))
    }
}

impl Keyed {
    /// The hash with this key, which has to be a secret.
    #[must_use]
    pub fn with(key: u64) -> Self {
        Self(SeedableRandomState::with_seed(key, SharedSeed::global_fixed()))
    }
}

impl BuildHasher for Keyed {
    type Hasher = FoldHasher<'static>;

    fn build_hasher(&self) -> Self::Hasher {
        self.0.build_hasher()
    }
}

/// The fast hash for what is remembered by its hash alone, so that another process can go on with that.
#[derive(Clone, Debug)]
pub(crate) struct Lasting {
    key: u64,
    keyed: Keyed,
    is_same: bool,
}

impl Default for Lasting {
    fn default() -> Self {
        Self::with(random_key())
    }
}

impl Lasting {
    /// The hash with this key, which has to be a secret.
    pub(crate) fn with(key: u64) -> Self {
        Self { key, keyed: Keyed::with(key), is_same: true }
    }

    /// The hash of something.
    pub(crate) fn hash_one(&self, what: impl Hash) -> u64 {
        self.keyed.hash_one(what)
    }

    /// Whether what another process has remembered by it has the same hash here: another version may hash in
    /// another way.
    pub(crate) fn is_same(&self) -> bool {
        self.is_same
    }

    /// The hash of what is mostly remembered.
    fn sample(&self) -> u64 {
        let addr = IpAddr::from([192, 0, 2, 1]);
        self.hash_one((addr, SocketAddr::new(addr, 6510), "game"))
    }
}

impl Serialize for Lasting {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        (self.key, self.sample()).serialize(to)
    }
}

impl<'de> Deserialize<'de> for Lasting {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let (key, sample) = <(u64, u64)>::deserialize(from)?;
        let hash = Self::with(key);
        Ok(Self { is_same: hash.sample() == sample, ..hash })
    }
}
