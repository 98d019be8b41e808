//! How tables find their keys. Several look-ups for each packet are a good part of what this
//! server computes, and Rust's own hash costs five times as much as this one. This one has a key
//! as well, which nobody outside knows, so nobody can choose addresses that fall into one place.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher as _, RandomState};

use foldhash::SharedSeed;
use foldhash::quality::{FoldHasher, SeedableRandomState};

/// A hash map with the fast hash.
pub type Map<K, V> = HashMap<K, V, Keyed>;

/// The fast hash, with a key from the system's random numbers.
#[derive(Clone, Debug)]
pub struct Keyed(SeedableRandomState);

impl Default for Keyed {
    fn default() -> Self {
        // All there is of Rust's own hash of nothing is its key.
        let key = RandomState::new().build_hasher().finish();
        Self(SeedableRandomState::with_seed(key, SharedSeed::global_random()))
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
