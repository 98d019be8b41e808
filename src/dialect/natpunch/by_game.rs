//! What is listed, apart for each game and each family of addresses.

use std::net::IpAddr;

use rand::Rng;
use serde::{Deserialize, Serialize};

use super::id::Uuid;
use super::turns::Turns;
use crate::dialect::by_family::ByFamily;
use crate::hash::Map;

/// Lobbies or clients, by the game that they belong to.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct ByGame(Map<Box<str>, ByFamily<GameList>>);

/// Those of one game and family.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct GameList {
    /// All, in a row.
    pub(super) row: Vec<Uuid>,
    /// The same by source, for lists that do not hold all.
    turns: Turns,
}

impl ByGame {
    /// One more, of somebody at this address. Its place in the row.
    pub(super) fn add(&mut self, game: &str, addr: IpAddr, id: Uuid) -> usize {
        if !self.0.contains_key(game) {
            self.0.insert(game.into(), ByFamily::default());
        }
        let Some(by_game) = self.0.get_mut(game) else { return 0 };
        let list = by_game.of_mut(addr);
        list.turns.add(addr, id);
        list.row.push(id);
        list.row.len() - 1
    }

    /// One less, from this place. Who is there now, if anybody.
    pub(super) fn remove(
        &mut self,
        game: &str,
        addr: IpAddr,
        (id, place): (Uuid, usize),
    ) -> Option<Uuid> {
        let by_game = self.0.get_mut(game)?;
        let list = by_game.of_mut(addr);
        list.turns.remove(addr, id);
        if list.row.get(place) == Some(&id) {
            list.row.swap_remove(place);
        }
        let moved = list.row.get(place).copied();
        if by_game.both_mut().iter().all(|list| list.row.is_empty()) {
            self.0.remove(game);
        }
        moved
    }

    /// Those of a game that somebody at this address can reach directly, and the others.
    pub(super) fn both_from(&self, game: &str, addr: IpAddr) -> Option<[&GameList; 2]> {
        self.0.get(game).map(|by_game| by_game.both_from(addr))
    }

    /// How many games have any.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// How many each game has that are so.
    pub(super) fn each_game(
        &self,
        is_so: impl Fn(&Uuid) -> bool,
        each: &mut dyn FnMut(&str, usize),
    ) {
        for (game, by_game) in &self.0 {
            let lists = by_game.both();
            let count = lists.iter().flat_map(|list| &list.row).filter(|id| is_so(id)).count();
            if count > 0 {
                each(game, count);
            }
        }
    }
}

impl GameList {
    /// So many of them, sources in turn.
    pub(super) fn in_turn(&self, most: usize, rng: &mut impl Rng) -> Vec<Uuid> {
        self.turns.in_turn(rng).take(most.min(self.row.len())).collect()
    }
}
