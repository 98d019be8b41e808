//! A host or a client, and what it has shown.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::clock::Instant;
use crate::dialect::rooms::field::{Id, Key};
use crate::dialect::rooms::reached::Reached;
use crate::dialect::route::Route;
use crate::introductions::plan::Wish;
use crate::limits;

/// How the punch with the other side went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::dialect::rooms) enum Status {
    Joining,
    Connected,
    Failed,
}

/// A host or a client.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::dialect::rooms) struct Peer {
    pub(in crate::dialect::rooms) id: Id,
    pub(in crate::dialect::rooms) room: Id,
    pub(in crate::dialect::rooms) is_host: bool,
    pub(in crate::dialect::rooms) status: Status,
    pub(in crate::dialect::rooms) endpoint: SocketAddr,
    pub(in crate::dialect::rooms) via: Route,
    /// It was reached by a node that is gone: by which it is now shows what comes next, with its key or without.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(in crate::dialect::rooms) has_lost_way: bool,
    /// Told to this endpoint and to no other.
    pub(in crate::dialect::rooms) key: Key,
    /// The key it came to this endpoint with, if it was at another before.
    pub(in crate::dialect::rooms) came_by: Option<Box<Key>>,
    /// Whether it has shown `key` from this endpoint: then it hears what is sent there.
    pub(in crate::dialect::rooms) proved: bool,
    /// Whether it has shown a key, here or elsewhere, or was connected: nobody has forged it.
    pub(in crate::dialect::rooms) is_true: bool,
    /// Whether it has ended a request with its key: then nobody else acts in its name.
    pub(in crate::dialect::rooms) signs: bool,
    /// When it ended a `ka` with its key for the first time at this endpoint.
    pub(in crate::dialect::rooms) signed_ka: Option<Instant>,
    /// Whether it ends each of them so: then it lives by no others, as somebody else may send those.
    pub(in crate::dialect::rooms) lives_by_key: bool,
    /// It has given up its place, or somebody in its name: nobody finds it by its endpoint, but it is
    /// kept for a while.
    pub(in crate::dialect::rooms) is_kept: bool,
    /// And nobody has been told yet that it is gone.
    pub(in crate::dialect::rooms) is_unsaid: bool,
    /// Whether the host of its room knows this endpoint.
    pub(in crate::dialect::rooms) told: bool,
    /// Whether it knows the endpoint where the host of its room is now.
    pub(in crate::dialect::rooms) knows_host: bool,
    /// What it wants of the relay, if it is a client.
    pub(in crate::dialect::rooms) wish: Wish,
    /// Since when it has been at this endpoint.
    pub(in crate::dialect::rooms) since: Instant,
    /// When the last request came from it.
    pub(in crate::dialect::rooms) heard: Instant,
    /// Where it is in its own network.
    pub(in crate::dialect::rooms) lan: Box<[SocketAddr]>,
    /// How its introduction to the host ended, if it is a client, as far as anybody has said.
    #[serde(default)]
    pub(in crate::dialect::rooms) ended: Option<bool>,
    /// Most peers have nothing of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    others: Option<Box<Others>>,
}

/// What is known of a peer and others of its room, where there is a relay or the room is a mesh.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(in crate::dialect::rooms) struct Others {
    /// Those whom it has reached from its endpoint.
    pub(in crate::dialect::rooms) reached: Vec<Reached>,
    /// The other clients of its mesh that it was told of, and not that they are gone.
    pub(in crate::dialect::rooms) told_of: Vec<Id>,
    /// How its introductions to those of its mesh with lower IDs ended.
    pub(in crate::dialect::rooms) ended_with: Vec<(Id, bool)>,
}

impl Peer {
    /// What is known of it and others of its room, if anything is.
    pub(in crate::dialect::rooms) fn others(&self) -> Option<&Others> {
        self.others.as_deref()
    }

    /// The same, to take something out.
    pub(in crate::dialect::rooms) fn known_others(&mut self) -> Option<&mut Others> {
        self.others.as_deref_mut()
    }

    /// The same, to put something in.
    pub(in crate::dialect::rooms) fn others_mut(&mut self) -> &mut Others {
        self.others.get_or_insert_default()
    }

    /// Whether it was told that this one of its mesh is there, and not that it is gone.
    pub(in crate::dialect::rooms) fn was_told_of(&self, id: Id) -> bool {
        self.others().is_some_and(|others| others.told_of.contains(&id))
    }

    /// Whether it has shown a key, be it at another endpoint.
    pub(in crate::dialect::rooms) const fn has_shown_key(&self) -> bool {
        self.proved || self.came_by.is_some()
    }

    /// Whether it has shown a key elsewhere only: somebody else may have led it to where it is.
    pub(in crate::dialect::rooms) const fn has_moved_unproved(&self) -> bool {
        !self.proved && self.came_by.is_some()
    }

    /// Whether what comes by this way comes by the node that the peer is reached by.
    pub(in crate::dialect::rooms) fn comes_by(&self, via: Route) -> bool {
        self.via.node == via.node
    }

    /// It has ended a `ka` with its key. Once says little: by that it makes sure that others cannot
    /// act in its name.
    pub(in crate::dialect::rooms) fn note_signed_sign_of_life(&mut self, now: Instant) {
        let first = *self.signed_ka.get_or_insert(now);
        self.lives_by_key |= now - first >= limits::SIGNED_AGAIN;
    }

    /// Whether a request without its key may change what it wants of the relay, as others can send that in
    /// its name: if it has never shown one. Else that may lead it there, where the direct way is not known
    /// to work, and not away.
    pub(in crate::dialect::rooms) fn may_be_said_to_want(&self, wish: Wish) -> bool {
        let is_harmless = wish > self.wish && self.status != Status::Connected;
        !self.has_shown_key() || is_harmless && !self.signs
    }

    /// The other side is somebody else: they have to meet first.
    pub(in crate::dialect::rooms) const fn begin_anew(&mut self) {
        (self.status, self.ended) = (Status::Joining, None);
        (self.told, self.knows_host) = (false, false);
    }

    /// A peer that has just come.
    pub(in crate::dialect::rooms) fn new(
        id: Id,
        key: Key,
        room: Id,
        endpoint: SocketAddr,
        via: Route,
    ) -> Self {
        Self {
            id,
            room,
            is_host: false,
            status: Status::Joining,
            endpoint,
            via,
            has_lost_way: false,
            key,
            came_by: None,
            proved: false,
            is_true: false,
            signs: false,
            signed_ka: None,
            lives_by_key: false,
            is_kept: false,
            is_unsaid: false,
            told: false,
            knows_host: false,
            wish: Wish::default(),
            since: Instant::default(),
            heard: Instant::default(),
            lan: Box::default(),
            ended: None,
            others: None,
        }
    }
}
