//! Places in tables of the dialect, as small as they can be where there may be none.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

/// A place in a slab. Every connection may have two, so none takes as little as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct Slot(NonZeroU32);

impl Slot {
    /// The place with this key. There are fewer than connections, which are counted in 32 bits.
    pub(super) fn new(key: usize) -> Self {
        Self(NonZeroU32::MIN.saturating_add(u32::try_from(key).unwrap_or(u32::MAX)))
    }

    /// The key.
    pub(super) fn get(self) -> usize {
        self.0.get() as usize - 1
    }
}

/// A host in the table. Only the connection that registered it holds one, so it is never stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct HostKey(pub(super) Slot);

/// Places from here on are those of hosts of other nodes. There are fewer of either.
const ELSEWHERE: usize = 1 << 31;

impl HostKey {
    /// The host of another node in that place of their table.
    pub(super) fn elsewhere(place: usize) -> Self {
        Self(Slot::new(place | ELSEWHERE))
    }

    /// The place of a host of another node; none: it is one of this node.
    pub(super) fn place_elsewhere(self) -> Option<usize> {
        self.0.get().checked_sub(ELSEWHERE)
    }
}

#[cfg(test)]
impl HostKey {
    /// The host in that place of the table.
    pub(super) fn of_slot(slot: usize) -> Self {
        Self(Slot::new(slot))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_takes_no_memory_and_keys_stay_as_they_are() {
        assert_eq!(size_of::<Option<Slot>>(), size_of::<u32>());
        for key in [0, 1, 70_000] {
            assert_eq!(Slot::new(key).get(), key);
            assert_eq!(HostKey::of_slot(key).place_elsewhere(), None);
            assert_eq!(HostKey::elsewhere(key).place_elsewhere(), Some(key));
        }
    }
}
