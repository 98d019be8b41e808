//! Sessions that other nodes have asked for, and what is known of relays elsewhere.

use std::net::{IpAddr, SocketAddr};

use super::{Places, Sessions, place_of};
use crate::clock::Now;
use crate::dialect::Name;
use crate::introductions::is_same_family;
use crate::introductions::relay::remote::{RemoteRelays, plain};
use crate::introductions::relay::{Order, SessionId};

impl Sessions {
    /// The relays of other nodes.
    pub fn elsewhere(&mut self) -> &mut RemoteRelays {
        &mut self.elsewhere
    }

    /// How many pairs are relayed elsewhere, or ask for it.
    #[must_use]
    pub fn far(&self) -> usize {
        self.elsewhere.len()
    }

    /// When something has to be done for relays elsewhere.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<crate::clock::Instant> {
        self.elsewhere.next_wakeup()
    }

    /// Whether players at these addresses can be relayed at all, by whichever node. For those of two families only one
    /// that takes more pairs counts: nothing else would come of their waiting.
    #[must_use]
    pub fn serves_anywhere(&self, now: Now, players @ [client, host]: [IpAddr; 2]) -> bool {
        let is_only_way = !is_same_family(client, host);
        let own = self.serves(players) && !(is_only_way && self.is_used_up(now));
        own || self.elsewhere.serves(players, is_only_way)
    }

    /// Whether a client of GMnet and its host can be, by whichever node.
    #[must_use]
    pub fn serves_apart_anywhere(&self, players: [IpAddr; 2]) -> bool {
        self.serves_apart(players) || self.elsewhere.serves_apart(players)
    }

    /// Whether there is a relay for anybody, at whichever node.
    #[must_use]
    pub fn serves_somebody_anywhere(&self) -> bool {
        self.serves_somebody() || self.elsewhere.serves_somebody()
    }

    /// Whether players of one family can be relayed to those of the other, by whichever node.
    #[must_use]
    pub fn joins_families_anywhere(&self, now: Now) -> bool {
        self.joins_families() && !self.is_used_up(now) || self.elsewhere.joins_families()
    }

    /// An address of a relay that a player at this one can be told.
    #[must_use]
    pub fn told_anywhere(&self, player: IpAddr) -> Option<IpAddr> {
        self.told(player).or_else(|| self.elsewhere.told(player))
    }

    /// Whether another node is asked for a session of these two, and has not answered yet.
    #[must_use]
    pub fn is_asked(&self, dialect: Name, pair: [SocketAddr; 2]) -> bool {
        self.elsewhere.is_asked(&(dialect, pair.map(plain)))
    }

    /// Whether packets have gone both ways.
    pub(in crate::introductions::relay) fn is_through(&self, id: SessionId) -> bool {
        let entry = self.all.get(place_of(id)).filter(|entry| entry.id == id);
        entry.is_some_and(|entry| entry.is_through)
    }

    /// What the two of a session are to be told.
    pub(in crate::introductions::relay) fn places(&self, id: SessionId) -> Option<Places> {
        let relay = self.config.as_ref()?.told;
        let entry = self.all.get(place_of(id)).filter(|entry| entry.id == id)?;
        let [for_client, for_host] = entry.told(relay)?;
        Some(Places { id, for_client, for_host })
    }

    /// A session is not one of players of this node.
    pub(in crate::introductions::relay) fn set_foreign(&mut self, id: SessionId) {
        if let Some(entry) = self.get_mut(id) {
            entry.is_foreign = true;
        }
    }

    /// A session is of no use.
    pub(in crate::introductions::relay) fn close_foreign(&mut self, id: SessionId) {
        let Some(entry) = self.get_mut(id) else { return };
        let [side, _] = entry.sides;
        if !entry.has_given_way {
            self.all.free_ports(place_of(id));
            self.orders.push(Order::Close(id, side));
        }
    }
}
