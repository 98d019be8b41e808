//! The hosts of other nodes. They are in the same lists as those of this one, so that a lobby need not look
//! in two places, but have keys of their own: who asks for a host by its key and is not made for hosts
//! elsewhere finds none.

use std::net::IpAddr;

use log::warn;
use slab::Slab;
use smallvec::SmallVec;

use super::super::data::Data;
use super::super::host::{Host, Sign};
use super::super::slot::HostKey;
use super::Hosts;
use super::networks::public_of;
use crate::clock::Instant;
use crate::cluster::NodeId;
use crate::dialect::rounds::{Full, Rounds};
use crate::dialect::sweep::Walk;
use crate::dialect::{ConnId, Via};
use crate::hash::Map;
use crate::introductions::PublicIps;
use crate::limits;
use crate::timers::{LogThrottle, Timers};

/// Entries that are looked at in one turn for those that are not there any more.
const SWEPT_AT_ONCE: usize = 256;

/// All hosts of other nodes.
#[derive(Debug)]
pub(super) struct RemoteHosts {
    slab: Slab<Remote>,
    by_id: Map<(NodeId, ConnId), HostKey>,
    /// By the address of the host, and by that which its node tells those outside.
    by_addr: Map<IpAddr, SmallVec<[HostKey; 1]>>,
    rounds: Rounds,
    /// The addresses that nodes tell those outside.
    public_ips: Map<NodeId, PublicIps>,
    /// Looks for entries that are not there any more.
    sweeping: Walk,
    /// Addresses that a host has left a moment ago.
    left: Timers<IpAddr>,
    full: LogThrottle,
}

/// A host of another node.
#[derive(Debug)]
struct Remote {
    host: Host,
    node: NodeId,
    /// The round in which it was told last.
    round: u32,
    /// Its own node lists it.
    is_offered: bool,
    /// The address that its node tells those outside, if it is in the network of that.
    public: Option<IpAddr>,
}

impl Remote {
    /// The addresses by which it is known.
    fn addrs(&self) -> SmallVec<[IpAddr; 2]> {
        [Some(self.host.addr), self.public].into_iter().flatten().collect()
    }
}

impl Default for RemoteHosts {
    fn default() -> Self {
        Self {
            slab: Slab::new(),
            by_id: Map::default(),
            by_addr: Map::default(),
            rounds: Rounds::default(),
            public_ips: Map::default(),
            sweeping: Walk::default(),
            left: Timers::new(limits::HOST_RETURN),
            full: LogThrottle::default(),
        }
    }
}

/// What another node tells of a host.
#[derive(Debug)]
pub(in crate::dialect::gmnet) struct Told {
    pub(in crate::dialect::gmnet) conn: ConnId,
    pub(in crate::dialect::gmnet) addr: IpAddr,
    pub(in crate::dialect::gmnet) port: Option<u16>,
    pub(in crate::dialect::gmnet) created: u32,
    /// When it has registered first, by the clock of this node.
    pub(in crate::dialect::gmnet) since: Instant,
    pub(in crate::dialect::gmnet) is_offered: bool,
    pub(in crate::dialect::gmnet) data: Option<Data>,
}

impl RemoteHosts {
    pub(super) fn is_empty(&self) -> bool {
        self.slab.is_empty()
    }

    /// How many are known.
    pub(super) fn len(&self) -> usize {
        self.slab.len()
    }

    fn remote(&self, key: HostKey) -> Option<&Remote> {
        self.slab.get(key.place_elsewhere()?)
    }

    /// One of them.
    pub(super) fn get(&self, key: HostKey) -> Option<&Host> {
        self.remote(key).map(|remote| &remote.host)
    }

    /// The address by which those outside know one of them, if it is in the network of its node.
    pub(super) fn public(&self, key: HostKey) -> Option<Option<IpAddr>> {
        self.remote(key).map(|remote| remote.public)
    }

    /// The addresses that a node tells those outside; none if the node is gone.
    pub(super) fn public_ips(&self, node: NodeId) -> Option<PublicIps> {
        self.public_ips.get(&node).copied()
    }

    fn remote_mut(&mut self, key: HostKey) -> Option<&mut Remote> {
        self.slab.get_mut(key.place_elsewhere()?)
    }

    fn is_gone(&self, remote: &Remote) -> bool {
        self.rounds.is_gone(remote.node, remote.round)
    }

    /// Those at an address that are there.
    pub(super) fn at(&self, addr: IpAddr) -> impl Iterator<Item = (HostKey, &Host)> {
        let keys = self.by_addr.get(&addr).into_iter().flatten();
        let remote = keys.filter_map(|key| Some((*key, self.remote(*key)?)));
        remote.filter(|(_, remote)| !self.is_gone(remote)).map(|(key, remote)| (key, &remote.host))
    }

    /// Whether one elsewhere is the same game as this host, which those outside know by `public` and which has come to
    /// another node since.
    pub(super) fn hides(&self, host: &Host, public: Option<IpAddr>) -> bool {
        let mut others = self.at(host.addr).filter(|(key, _)| self.public(*key) == Some(public));
        others.any(|(_, other)| is_moved(host, other))
    }

    fn forget_addr(&mut self, addr: IpAddr, key: HostKey) {
        if let Some(keys) = self.by_addr.get_mut(&addr) {
            keys.retain(|other| *other != key);
            if keys.is_empty() {
                self.by_addr.remove(&addr);
            }
        }
    }
}

/// Whether a host is the same as an older one of the same address: it has the port of that.
fn is_moved(older: &Host, newer: &Host) -> bool {
    older.addr == newer.addr
        && older.port.is_some()
        && older.port == newer.port
        && newer.since > older.since
}

impl Hosts {
    /// A host of this node or another.
    pub(in crate::dialect::gmnet) fn any(&self, key: HostKey) -> Option<&Host> {
        match key.place_elsewhere() {
            None => self.get(key),
            Some(_) => self.elsewhere.get(key),
        }
    }

    /// The node that a host is at; none: it is at this one, or gone.
    pub(in crate::dialect::gmnet) fn node_of(&self, key: HostKey) -> Option<NodeId> {
        let remote = self.elsewhere.remote(key)?;
        (!self.elsewhere.is_gone(remote)).then_some(remote.node)
    }

    /// Whether a host of another node has left this address just now, and may come back.
    pub(in crate::dialect::gmnet) fn is_expected(&self, now: Instant, addr: IpAddr) -> bool {
        self.elsewhere.left.due(&addr).is_some_and(|until| now < until)
    }

    /// The nodes that have told of hosts, with the addresses by which those outside know these.
    pub(in crate::dialect::gmnet) fn known_nodes(
        &self,
    ) -> impl Iterator<Item = (NodeId, PublicIps)> {
        self.elsewhere.public_ips.iter().map(|(node, public_ips)| (*node, *public_ips))
    }

    /// Whether a node is there, as far as its hosts are known.
    pub(in crate::dialect::gmnet) fn has_node(&self, node: NodeId) -> bool {
        self.elsewhere.public_ips(node).is_some()
    }

    /// The hosts of a node, and whether it lists them.
    pub(in crate::dialect::gmnet) fn known_of(&self, node: NodeId) -> Vec<(&Host, bool)> {
        let all = self.elsewhere.slab.iter().map(|(_, remote)| remote);
        let there = all.filter(|remote| remote.node == node && !self.elsewhere.is_gone(remote));
        there.map(|remote| (&remote.host, remote.is_offered)).collect()
    }

    /// A node begins to tell all that it has.
    pub(in crate::dialect::gmnet) fn begin_round(&mut self, node: NodeId, public_ips: PublicIps) {
        self.elsewhere.rounds.begin(node);
        self.elsewhere.public_ips.insert(node, public_ips);
    }

    /// A node has told all that it has.
    pub(in crate::dialect::gmnet) fn end_round(&mut self, node: NodeId) {
        if self.elsewhere.rounds.end(node) {
            self.elsewhere.sweeping.begin();
        }
    }

    /// A node is gone with all that it has.
    pub(in crate::dialect::gmnet) fn node_gone(&mut self, node: NodeId) {
        self.elsewhere.public_ips.remove(&node);
        if self.elsewhere.rounds.forget(node) {
            self.elsewhere.sweeping.begin();
        }
    }

    /// Another node tells of a host. Whether there is room for it.
    pub(in crate::dialect::gmnet) fn put(
        &mut self,
        now: Instant,
        node: NodeId,
        told: Told,
    ) -> bool {
        let id = (node, told.conn);
        // By another address it is another host.
        let before = self.elsewhere.by_id.get(&id).copied();
        let same = before.filter(|key| self.any(*key).is_some_and(|h| h.addr == told.addr));
        let number = same.and_then(|key| self.any(key)).map(|host| host.number);
        if let Some(key) = before {
            self.drop_elsewhere(key);
        }
        let strings = told.data.as_ref().map_or(0, Data::size);
        let round = match self.elsewhere.rounds.add(node, strings) {
            Ok(Some(round)) => round,
            Ok(None) => return false,
            Err(Full) => {
                if let Some(before) = self.elsewhere.full.say(now) {
                    warn!("cluster: another node has more hosts than there is room for{before}");
                }
                return false;
            }
        };
        let public_ips = self.elsewhere.public_ips.get(&node).copied().unwrap_or_default();
        let number = number.unwrap_or_else(|| {
            self.count = self.count.wrapping_add(1);
            self.count.wrapping_sub(1)
        });
        let Told { conn, addr, port, created, since, is_offered, data } = told;
        let host = Host {
            conn,
            addr,
            port,
            via: Via::default(),
            created,
            data,
            seen: since,
            since,
            number,
            registered: since,
            reg: Sign::Certain,
            before_tentative: None,
            listed: false,
            settled: true,
        };
        let public = public_of(public_ips, addr);
        let remote = Remote { host, node, round, is_offered, public };
        let addrs = remote.addrs();
        let key = HostKey::elsewhere(self.elsewhere.slab.insert(remote));
        self.elsewhere.by_id.insert(id, key);
        for known in addrs {
            self.elsewhere.by_addr.entry(known).or_default().push(key);
        }
        self.relist(now, addr);
        true
    }

    /// A host has left another node.
    pub(in crate::dialect::gmnet) fn take_away(
        &mut self,
        now: Instant,
        node: NodeId,
        conn: ConnId,
    ) {
        if let Some(key) = self.elsewhere.by_id.get(&(node, conn)).copied() {
            self.note_left(now, key);
            let addr = self.any(key).map(|host| host.addr);
            self.drop_elsewhere(key);
            addr.into_iter().for_each(|addr| self.relist(now, addr));
        }
    }

    /// Takes a few of those away that are not there any more.
    pub(in crate::dialect::gmnet) fn sweep(&mut self, now: Instant) {
        while self.elsewhere.left.take_due(now).is_some() {}
        let places = self.elsewhere.slab.capacity();
        for place in self.elsewhere.sweeping.step(SWEPT_AT_ONCE, places) {
            let Some(remote) = self.elsewhere.slab.get(place) else { continue };
            if !self.elsewhere.is_gone(remote) {
                continue;
            }
            let (key, addr) = (HostKey::elsewhere(place), remote.host.addr);
            self.note_left(now, key);
            self.drop_elsewhere(key);
            self.relist(now, addr);
        }
    }

    /// When [`Self::sweep`] has something to do.
    pub(super) fn next_sweep(&self) -> Option<Instant> {
        let now = (!self.elsewhere.sweeping.is_idle()).then(Instant::default);
        now.or_else(|| self.elsewhere.left.next())
    }

    fn note_left(&mut self, now: Instant, key: HostKey) {
        let Some(remote) = self.elsewhere.remote(key) else { return };
        let addrs = remote.addrs();
        addrs.into_iter().for_each(|addr| self.elsewhere.left.arm(now, addr));
    }

    fn drop_elsewhere(&mut self, key: HostKey) {
        let Some(place) = key.place_elsewhere() else { return };
        let Some(remote) = self.elsewhere.slab.try_remove(place) else { return };
        remote.addrs().into_iter().for_each(|addr| self.elsewhere.forget_addr(addr, key));
        let Remote { host, node, .. } = remote;
        if host.listed {
            self.index.remove(&host, key);
        }
        self.elsewhere.by_id.remove(&(node, host.conn));
        self.elsewhere.rounds.remove(node, host.data.as_ref().map_or(0, Data::size));
    }

    /// Decides anew which hosts of an address that are elsewhere are listed.
    pub(super) fn relist_elsewhere(&mut self, addr: IpAddr) {
        if self.elsewhere.is_empty() {
            return;
        }
        let all = self.all_that(addr, |_, host| host.addr == addr);
        let is_listed = |key: HostKey, host: &Host| {
            let Some(Remote { is_offered, public, .. }) = self.elsewhere.remote(key) else {
                return false;
            };
            let is_moved = |(other, newer): &(HostKey, &Host)| {
                is_moved(host, newer) && self.public(*other, newer) == *public
            };
            *is_offered && host.is_visible() && !all.iter().any(is_moved)
        };
        let decided: SmallVec<[_; 4]> = all
            .iter()
            .filter(|(key, _)| key.place_elsewhere().is_some())
            .map(|(key, host)| (*key, is_listed(*key, host)))
            .collect();
        drop(all);
        for (key, is_listed) in decided {
            let Some(remote) = self.elsewhere.remote_mut(key) else { continue };
            if std::mem::replace(&mut remote.host.listed, is_listed) == is_listed {
                continue;
            }
            let place = key.place_elsewhere().unwrap_or_default();
            let Some(remote) = self.elsewhere.slab.get(place) else { continue };
            if is_listed {
                self.index.insert(&remote.host, key);
            } else {
                self.index.remove(&remote.host, key);
            }
        }
    }
}
