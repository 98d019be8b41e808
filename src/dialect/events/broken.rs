//! Whose connection has broken without its saying goodbye, and who has asked for its place to be kept
//! then: it has the place for a while, and what it is told meanwhile waits for it.

use std::collections::HashMap;
use std::net::IpAddr;

use log::debug;
use serde::{Deserialize, Serialize};

use super::nodes::Guest;
use super::pages::Form;
use super::wire::Wire;
use super::{Conn, Context, Events, Framer, Outbox, Unread};
use crate::blocks::Blocks;
use crate::cluster::NodeId;
use crate::dialect::ConnId;
use crate::dialect::conns::Conns;
use crate::limits;
use crate::prefixes::{Shares, as_home, network};

/// The connections, and those that have broken: they are found by the same IDs, of which none comes twice.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Places {
    open: Conns<Conn>,
    broken: HashMap<ConnId, Conn>,
    /// Those of other nodes.
    #[serde(default, rename = "away")]
    remote: HashMap<ConnId, Conn>,
    /// How many of these there have been.
    #[serde(default)]
    guests: u32,
}

impl Places {
    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = (ConnId, &Conn)> {
        let others = self.broken.iter().chain(&self.remote);
        self.open.iter().chain(others.map(|(id, conn)| (*id, conn)))
    }

    pub(super) fn insert(&mut self, id: ConnId, conn: Conn) {
        self.open.insert(id, conn);
    }

    pub(super) fn get(&self, id: ConnId) -> Option<&Conn> {
        self.open.get(id).or_else(|| self.broken.get(&id)).or_else(|| self.remote.get(&id))
    }

    pub(super) fn get_mut(&mut self, id: ConnId) -> Option<&mut Conn> {
        let open = self.open.get_mut(id);
        open.or_else(|| self.broken.get_mut(&id)).or_else(|| self.remote.get_mut(&id))
    }

    pub(super) fn remove(&mut self, id: ConnId) -> Option<Conn> {
        self.open.remove(id).or_else(|| self.broken.remove(&id)).or_else(|| self.remote.remove(&id))
    }

    /// The ID of a peer of another node, which no connection has.
    pub(super) fn new_guest(&mut self) -> ConnId {
        self.guests = self.guests.wrapping_add(1);
        ConnId { slot: u32::MAX, generation: self.guests }
    }

    /// Adds a peer of another node.
    pub(super) fn insert_guest(&mut self, id: ConnId, conn: Conn) {
        self.remote.insert(id, conn);
    }

    /// Whether this is a peer of another node.
    pub(super) fn is_remote(&self, id: ConnId) -> bool {
        self.remote.contains_key(&id)
    }

    /// The peers of other nodes that another process has known, with their tokens.
    pub(super) fn keep_guests(
        &mut self,
        node_of: impl Fn(ConnId) -> Option<NodeId>,
    ) -> Vec<(ConnId, u128)> {
        let remote = self.remote.iter_mut();
        let guests = remote.filter_map(|(id, conn)| {
            conn.wire = Wire::Remote(Guest::unclaimed(node_of(*id)));
            Some((*id, conn.peer.as_ref()?.token))
        });
        guests.collect()
    }

    /// Whether this is such a place whose peer was to be told too much.
    pub(super) fn is_given_up(&self, id: ConnId) -> bool {
        self.broken.get(&id).is_some_and(|conn| conn.finished)
    }

    /// At most so many places without a connection whose addresses are blocked.
    pub(super) fn blocked(&self, blocks: &Blocks, most: usize) -> Vec<ConnId> {
        let blocked = self.broken.iter().filter(|(_, conn)| blocks.has(conn.addr.ip()));
        blocked.map(|(id, _)| *id).take(most).collect()
    }

    /// Whether this is a place without a connection.
    pub(super) fn is_broken(&self, id: ConnId) -> bool {
        self.broken.contains_key(&id)
    }
}

impl Events {
    /// A connection has broken. True: the place of its peer is kept, as it has asked for, or as it was broken here
    /// when a new process took over.
    pub(super) fn keep_place(&mut self, cx: &mut Context<'_>, id: ConnId) -> bool {
        let Some(conn) = self.conns.get(id) else { return false };
        let Some(peer) = conn.peer.as_ref().filter(|_| !conn.finished) else { return false };
        let (addr, is_left_behind) = (conn.addr.ip(), conn.is_left_behind);
        if !is_left_behind && !peer.keeps {
            return false;
        }
        // It did not break its connection itself, so nobody has to make room, and there were no more of these
        // than connections.
        let in_the_way = if is_left_behind { None } else { self.in_the_way(addr) };
        if let Some(other) = in_the_way {
            let why = "its connection was lost, and others need the place that was kept for it";
            self.end_because(other, Some(why), cx.out);
        }
        let Some(mut conn) = self.forget(id) else { return false };
        (conn.wire, conn.form) = (Wire::Broken(Vec::new()), Form::Objects);
        (conn.framer, conn.ahead, conn.held) = (Framer::default(), Vec::new(), 0);
        conn.unread = Unread::default();
        self.silent.cancel(&id);
        self.asked.cancel(&id);
        debug!("{addr} is gone without a word, its place is kept");
        self.conns.broken.insert(id, conn);
        self.broken.arm(cx.now.instant, id);
        true
    }

    /// Whose place is kept no longer if one of this address is to be: the oldest of its own source if that has as
    /// many as it may have, and where all are taken the oldest of the network that has most (of the /24; IPv6:
    /// of the /48, and in it the /56 and the /64).
    fn in_the_way(&self, addr: IpAddr) -> Option<ConnId> {
        // The oldest comes first.
        let conns = self.broken.keys().filter_map(|id| Some((*id, self.conns.get(*id)?)));
        let conns = conns.filter(|(_, conn)| !conn.is_left_behind);
        let places: Vec<(ConnId, IpAddr)> = conns.map(|(id, conn)| (id, conn.addr.ip())).collect();
        let mut shares = Shares::<()>::default();
        places.iter().for_each(|(_, holder)| _ = shares.add(as_home(*holder), 1));
        let [.., own] = shares.of(as_home(addr));
        if own as usize >= limits::BROKEN_PER_ADDRESS {
            let mut of_own = places.iter().filter(|(_, holder)| network(*holder) == network(addr));
            return of_own.next().map(|(id, _)| *id);
        }
        if places.len() < limits::BROKEN {
            return None;
        }
        // Who breaks his connection now has one more.
        shares.add(as_home(addr), 1);
        // Of several that have as many, the last one that is found is the oldest.
        let most = places.iter().rev().max_by_key(|(_, holder)| shares.of(as_home(*holder)));
        most.map(|(id, _)| *id)
    }

    /// Whether a peer whose connection has broken is owed so much that others may send it no more. Those who are in
    /// no room with it have a small part of that.
    pub(super) fn is_owed_much(&self, id: ConnId, length: usize, is_stranger: bool) -> bool {
        let wire = self.conns.get(id).map(|conn| &conn.wire);
        // All together have as much as those that may break their connections themselves.
        let most = limits::BROKEN * limits::OWED / self.broken.len().max(limits::BROKEN);
        let most = if is_stranger { most / limits::STRANGERS } else { most };
        matches!(wire, Some(Wire::Broken(owed)) if owed.len() + length > most)
    }

    /// Those whose time is over, or who would be owed too much, are gone.
    pub(super) fn end_broken(&mut self, cx: &mut Context<'_>) {
        for _ in 0..limits::CLOSED_AT_ONCE {
            let Some(id) = self.overdue.pop_front() else { break };
            let why = "its connection was lost, and more was sent to it since than is kept";
            self.end_because(id, Some(why), cx.out);
        }
        for _ in 0..limits::CLOSED_AT_ONCE {
            let Some(id) = self.broken.pop_due(cx.now.instant) else { break };
            let why = "its connection was lost, and it has not come back";
            self.end_because(id, Some(why), cx.out);
        }
    }

    /// What somebody is owed that is back.
    pub(super) fn pay(&mut self, id: ConnId, owed: &[u8], out: &mut Outbox) {
        if !owed.is_empty() {
            self.send(id, out, |bytes| bytes.extend_from_slice(owed));
        }
    }
}
