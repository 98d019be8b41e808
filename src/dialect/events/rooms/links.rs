//! Which pairs in a room are to meet. In a mesh of 64 they are two thousand, so they lie close together, in
//! no more memory than they take.

use rand::{Rng, RngExt as _};
use serde::{Deserialize, Serialize};

use crate::dialect::ConnId;

/// Who came first of two, and the other.
type Way = (ConnId, ConnId);

/// What is known of two who are to meet.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Link {
    /// In bytes, so that it takes no more than these.
    nonce: [u8; 16],
    /// Whether they were told of each other.
    pub(super) introduced: bool,
    /// How their punch ended, as told last.
    pub(super) result: Option<bool>,
}

impl Link {
    /// By which the two know each other's datagrams.
    pub(super) const fn nonce(&self) -> u128 {
        u128::from_ne_bytes(self.nonce)
    }
}

/// The pairs of a room, in order.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Links(Vec<(Way, Link)>);

impl Links {
    pub(super) fn get(&self, way: Way) -> Option<&Link> {
        let at = self.find(way).ok()?;
        self.0.get(at).map(|(_, link)| link)
    }

    pub(super) fn get_mut(&mut self, way: Way) -> Option<&mut Link> {
        let at = self.find(way).ok()?;
        self.0.get_mut(at).map(|(_, link)| link)
    }

    /// These are to meet, too, if they are not to already.
    pub(super) fn add(&mut self, ways: impl Iterator<Item = Way>, random: &mut impl Rng) {
        let new: Vec<Way> = ways.filter(|way| self.get(*way).is_none()).collect();
        let link = |way| {
            let nonce = random.random::<u128>().to_ne_bytes();
            (way, Link { nonce, introduced: false, result: None })
        };
        self.0.reserve_exact(new.len());
        self.0.extend(new.into_iter().map(link));
        self.0.sort_unstable_by_key(|(way, _)| *way);
    }

    /// Somebody is to meet nobody any more.
    pub(super) fn remove(&mut self, id: ConnId) {
        self.0.retain(|((one, other), _)| *one != id && *other != id);
        self.0.shrink_to_fit();
    }

    /// Connections have become others.
    pub(super) fn replace(&mut self, now: impl Fn(ConnId) -> ConnId) {
        self.0.iter_mut().for_each(|((one, other), _)| (*one, *other) = (now(*one), now(*other)));
        self.0.sort_unstable_by_key(|(way, _)| *way);
    }

    fn find(&self, way: Way) -> Result<usize, usize> {
        self.0.binary_search_by_key(&way, |(way, _)| *way)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;

    fn id(n: u32) -> ConnId {
        ConnId { slot: n % 7, generation: n }
    }

    #[test]
    fn pairs_take_no_more_memory_than_they_need() {
        let mut random = StdRng::from_seed([1; 32]);
        let mut links = Links::default();
        for n in 0..64 {
            links.add((0..n).map(|first| (id(first), id(n))), &mut random);
        }
        assert_eq!((links.0.len(), links.0.capacity()), (2016, 2016));
        assert!(size_of::<(Way, Link)>() <= 36);
        (1..64).for_each(|n| links.remove(id(n)));
        assert_eq!(links.0.capacity(), 0);
    }

    #[test]
    fn what_is_known_of_two_stays_when_others_come_and_one_comes_back() {
        let mut random = StdRng::from_seed([1; 32]);
        let mut links = Links::default();
        links.add([(id(1), id(2)), (id(1), id(3))].into_iter(), &mut random);
        links.get_mut((id(1), id(2))).unwrap().result = Some(true);
        let nonce = links.get((id(1), id(2))).unwrap().nonce();
        links.add([(id(1), id(2)), (id(2), id(3))].into_iter(), &mut random);
        links.replace(|one| if one == id(2) { id(100) } else { one });
        let link = links.get((id(1), id(100))).unwrap();
        assert_eq!((link.nonce(), link.result), (nonce, Some(true)));
        assert!(links.get((id(1), id(2))).is_none() && links.get((id(100), id(3))).is_some());
    }
}
