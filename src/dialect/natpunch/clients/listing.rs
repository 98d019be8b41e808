//! Which clients are in lists of clients.

use std::net::IpAddr;

use rand::Rng;
use serde::{Deserialize, Serialize};

use super::Clients;
use crate::dialect::natpunch::by_game::{ByGame, GameList};
use crate::dialect::natpunch::id::Uuid;

/// Whether lists of clients have a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Listing {
    /// Not yet: it has proven nothing.
    Not,
    /// At this place.
    At(usize),
    /// Never: it uses lobbies, so it needs no such list, and who knows its ID and endpoint could
    /// leave them in its name.
    Never,
}

impl Clients {
    /// A client has shown its ID.
    pub(super) fn put_on_list(&mut self, id: Uuid) {
        let Some(client) = self.get(id).filter(|client| client.listing == Listing::Not) else {
            return;
        };
        let (game, addr) = (client.game.clone(), client.endpoint.ip());
        let place = self.by_game.add(&game, addr, id);
        if let Some(client) = self.get_mut(id) {
            client.listing = Listing::At(place);
        }
    }

    /// Lists have what there is of those of another process, but none of other nodes.
    pub(super) fn list_anew(&mut self) {
        self.by_game = ByGame::default();
        let listed = self.all.iter().filter(|(_, client)| matches!(client.listing, Listing::At(_)));
        let mut ids: Vec<_> = listed.map(|(id, client)| (client.number, *id)).collect();
        ids.sort_unstable();
        for (_, id) in ids {
            if let Some(client) = self.all.get_mut(&id) {
                client.listing = Listing::Not;
            }
            self.put_on_list(id);
        }
    }

    /// A client that has this place goes.
    pub(super) fn take_off_list(&mut self, game: &str, addr: IpAddr, id: Uuid, place: usize) {
        let moved = self.by_game.remove(game, addr, (id, place));
        if let Some(moved) = moved.and_then(|id| self.get_mut(id)) {
            moved.listing = Listing::At(place);
        }
    }

    /// A client uses lobbies: lists of clients have it no more.
    pub(in crate::dialect::natpunch) fn uses_lobbies(&mut self, id: Uuid) {
        let Some(client) = self.get_mut(id) else { return };
        let before = std::mem::replace(&mut client.listing, Listing::Never);
        if before != Listing::Never {
            self.changed(id);
        }
        let Some(client) = self.get(id) else { return };
        if let Listing::At(place) = before {
            let (game, addr) = (client.game.clone(), client.endpoint.ip());
            self.take_off_list(&game, addr, id, place);
        }
    }

    /// So many of the proven clients of a game that somebody at this address can reach, and that use
    /// no lobbies: sources take turns.
    pub(in crate::dialect::natpunch) fn some_of(
        &self,
        game: &str,
        (addr, most): (IpAddr, usize),
        rng: &mut impl Rng,
    ) -> Vec<Uuid> {
        let near = self.by_game.both_from(game, addr).map(|[near, _]| near);
        near.map_or(Vec::new(), |list: &GameList| list.in_turn(most, rng))
    }
}
