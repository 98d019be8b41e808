//! Whose lobbies are in a list that does not hold all: sources take turns, however many lobbies
//! each of them has.

use std::net::{IpAddr, Ipv6Addr};

use rand::{Rng, RngExt as _};
use serde::{Deserialize, Serialize};

use super::id::Uuid;
use crate::hash::Map;
use crate::prefixes::network;

/// The lobbies of each source: an IPv6 site may have a /48, and its networks in it take turns
/// among each other.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Turns(Row<Row<Vec<Uuid>>>);

/// Networks, in a row that a list can begin in anywhere.
#[derive(Debug, Serialize, Deserialize)]
struct Row<T> {
    places: Map<IpAddr, usize>,
    all: Vec<(IpAddr, T)>,
}

impl<T> Default for Row<T> {
    fn default() -> Self {
        Self { places: Map::default(), all: Vec::new() }
    }
}

impl<T: Default> Row<T> {
    /// What there is of a network.
    fn of(&mut self, network: IpAddr) -> Option<&mut T> {
        let place = *self.places.entry(network).or_insert(self.all.len());
        if place == self.all.len() {
            self.all.push((network, T::default()));
        }
        self.all.get_mut(place).map(|(_, of)| of)
    }

    fn remove(&mut self, network: IpAddr) {
        let Some(place) = self.places.remove(&network) else { return };
        self.all.swap_remove(place);
        if let Some((moved, _)) = self.all.get(place) {
            self.places.insert(*moved, place);
        }
    }
}

impl Turns {
    /// One more lobby that somebody at this address has made.
    pub(super) fn add(&mut self, addr: IpAddr, lobby: Uuid) {
        let of_source = self.0.of(widest(addr)).and_then(|row| row.of(network(addr)));
        if let Some(lobbies) = of_source {
            lobbies.push(lobby);
        }
    }

    /// One less.
    pub(super) fn remove(&mut self, addr: IpAddr, lobby: Uuid) {
        let Some(networks) = self.0.of(widest(addr)) else { return };
        let Some(lobbies) = networks.of(network(addr)) else { return };
        lobbies.retain(|other| *other != lobby);
        if lobbies.is_empty() {
            networks.remove(network(addr));
        }
        if networks.all.is_empty() {
            self.0.remove(widest(addr));
        }
    }

    /// All lobbies, beginning anywhere: one of each source, then another of each that has more, and
    /// so on; without end. In every round it is one of the next network of a source.
    pub(super) fn in_turn(&self, rng: &mut impl Rng) -> impl Iterator<Item = Uuid> {
        // One number for all would show the same lobbies of a source each time that it is its turn.
        let [first, network, lobby]: [u32; 3] = rng.random();
        let sources = move || from(&self.0.all, first as usize);
        (0..).flat_map(move |round| {
            sources().filter_map(move |(_, networks)| {
                let count = networks.all.len().max(1);
                let (_, lobbies) = from(&networks.all, network as usize).nth(round % count)?;
                from(lobbies, lobby as usize).nth(round / count).copied()
            })
        })
    }
}

/// All of a row once, beginning at that place of it.
fn from<T>(row: &[T], start: usize) -> impl Iterator<Item = &T> {
    let start = start.checked_rem(row.len()).unwrap_or_default();
    let (before, after) = row.split_at_checked(start).unwrap_or_default();
    after.iter().chain(before)
}

/// The widest prefix that one site may have.
fn widest(addr: IpAddr) -> IpAddr {
    match addr {
        IpAddr::V4(_) => addr,
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 80 << 80).into(),
    }
}
