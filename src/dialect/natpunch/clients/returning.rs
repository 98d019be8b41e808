//! Clients that were silent for too long come back with the IDs that they had.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::listing::Listing;
use super::{Arrival, Client, Clients, Refusal};
use crate::clock::Instant;
use crate::dialect::natpunch::id::Uuid;
use crate::dialect::route::Route;
use crate::limits;

/// A client that was silent, and may come back.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Gone {
    endpoint: SocketAddr,
    local: Option<SocketAddr>,
    game: Box<str>,
    used_lobbies: bool,
    /// It was in a lobby, and does not know that it is in none any more.
    #[serde(default)]
    was_in_lobby: bool,
}

impl Clients {
    /// A client was forgotten, and may come back.
    pub(in crate::dialect::natpunch) fn note_gone(
        &mut self,
        now: Instant,
        id: Uuid,
        client: &Client,
    ) {
        while self.gone.take_due(now).is_some() {}
        if self.gone.len() >= limits::NATPUNCH_GONE_CLIENTS {
            self.gone.take();
        }
        let Client { endpoint, local, .. } = *client;
        let (game, used_lobbies) = (client.game.clone(), client.listing == Listing::Never);
        let was_in_lobby = !client.lobbies.is_empty();
        self.gone.arm_with(now, id, Gone { endpoint, local, game, used_lobbies, was_in_lobby });
    }

    /// Whether somebody who was forgotten comes back from its address with its ID, and who is there
    /// has not shown one.
    pub(in crate::dialect::natpunch) fn is_back(
        &mut self,
        now: Instant,
        id: &str,
        endpoint: SocketAddr,
    ) -> Option<Uuid> {
        while self.gone.take_due(now).is_some() {}
        let id = id.parse().ok()?;
        let gone = self.gone.get(&id)?;
        let is_its_own = gone.endpoint.ip() == endpoint.ip() && !self.is_proven(endpoint);
        is_its_own.then_some(id)
    }

    /// Takes it back with the ID that it had. True: it was in a lobby.
    ///
    /// # Errors
    /// If there is no room.
    pub(in crate::dialect::natpunch) fn take_back(
        &mut self,
        now: Instant,
        id: Uuid,
        (via, endpoint): (Route, SocketAddr),
    ) -> Result<bool, Refusal> {
        if let Some(other) = self.at(endpoint) {
            self.remove(other);
        }
        self.make_room(endpoint.ip())?;
        let Some(gone) = self.gone.remove(&id) else { return Ok(false) };
        let listing = if gone.used_lobbies { Listing::Never } else { Listing::Not };
        let arrival = Arrival { via, endpoint, local: gone.local, game: gone.game };
        self.insert(now, id, arrival, listing);
        if let Some(client) = self.all.get_mut(&id) {
            client.home = gone.endpoint;
        }
        Ok(gone.was_in_lobby)
    }
}
