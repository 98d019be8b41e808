//! The registered hosts: which there are, which of them an address means, which are listed.

use std::cmp::Reverse;
use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use slab::Slab;

use super::by_addr::ByAddr;
use super::data::Data;
use super::host::{Host, Sign};
use super::index::Index;
use super::inside::Inside;
use super::shares::Shares;
use super::slot::{HostKey, Slot};
use super::sorted::Order;
use crate::clock::{Instant, Now, earliest};
use crate::dialect::ConnId;
use crate::dialect::gmnet::ports::ClaimedReg;
use crate::introductions::{PublicIps, is_inside};
use crate::limits::{self, Limits};
use crate::timers::Timers;

mod listing;
mod networks;
mod ports;
mod remote;

pub use ports::Shown;
use remote::RemoteHosts;
pub(super) use remote::Told;

/// A host is not registered: its address has as many as it may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full(usize);

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(here) = self;
        write!(
            f,
            "{here} hosts are registered from this address already; allow more with --max-hosts"
        )
    }
}

/// Of the hosts of an address, the oldest first, the newest whose port is known, or the one with that
/// port; else the newest of all.
pub(super) fn newest<'h>(
    hosts: impl DoubleEndedIterator<Item = (HostKey, &'h Host)> + Clone,
    port: Option<u16>,
) -> Option<HostKey> {
    let is_meant =
        |(_, host): &(HostKey, &Host)| host.port.is_some() && (port.is_none() || host.port == port);
    let meant = hosts.clone().rfind(is_meant);
    meant.or_else(|| hosts.last().filter(|_| port.is_none())).map(|(key, _)| key)
}

/// All hosts.
#[derive(Debug, Serialize, Deserialize)]
pub struct Hosts {
    #[serde(with = "crate::state::slab")]
    slab: Slab<Host>,
    /// The hosts of each address, oldest first.
    #[serde(skip)]
    by_addr: ByAddr,
    /// Those on the machine or in the network of the server, if anybody may ask for them by another
    /// address.
    #[serde(skip)]
    inside: Option<Inside>,
    /// That address.
    #[serde(skip)]
    public_ips: PublicIps,
    /// How many there have been.
    count: u32,
    #[serde(skip)]
    shares: Shares,
    #[serde(skip)]
    pub(super) index: Index,
    /// Hosts that may hide others of their address for a moment.
    shadows: Timers<HostKey>,
    /// Those of other nodes.
    #[serde(skip)]
    elsewhere: RemoteHosts,
    /// The connections of hosts that are new, have changed or are gone since other nodes were told; none: there are no
    /// others.
    #[serde(skip)]
    pub(super) news: Option<Vec<ConnId>>,
}

impl Default for Hosts {
    fn default() -> Self {
        Self::new(PublicIps::default())
    }
}

impl Hosts {
    /// No hosts yet. Those inside are known to those outside by `public_ips`, if they have
    /// addresses of the same family.
    #[must_use]
    pub fn new(public_ips: PublicIps) -> Self {
        Self {
            slab: Slab::new(),
            by_addr: ByAddr::default(),
            inside: (!public_ips.is_empty()).then(Inside::default),
            public_ips,
            count: 0,
            shares: Shares::default(),
            index: Index::default(),
            shadows: Timers::new(limits::SHADOW),
            elsewhere: RemoteHosts::default(),
            news: None,
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slab.len()
    }

    /// How many are known of other nodes.
    #[must_use]
    pub fn elsewhere_len(&self) -> usize {
        self.elsewhere.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slab.is_empty()
    }

    /// All of them, in an order that holds.
    pub fn all(&self) -> impl Iterator<Item = &Host> {
        self.slab.iter().map(|(_, host)| host)
    }

    /// The connections of all of them, the newest host first.
    pub(super) fn newest_first(&self) -> Vec<ConnId> {
        let mut all: Vec<_> = self.all().map(|h| ((h.created, h.number), h.conn)).collect();
        all.sort_unstable_by_key(|(age, _)| Reverse(*age));
        all.into_iter().map(|(_, conn)| conn).collect()
    }

    /// All of them, with their keys.
    pub(super) fn all_keys(&self) -> impl Iterator<Item = (HostKey, &Host)> {
        self.slab.iter().map(|(slot, host)| (HostKey(Slot::new(slot)), host))
    }

    /// A host.
    #[must_use]
    pub fn get(&self, key: HostKey) -> Option<&Host> {
        self.slab.get(key.0.get())
    }

    /// What the lobby chooses from.
    #[must_use]
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// Sees to it that a lobby in this order is cheap to find, as far as `most` work goes. Returns
    /// the work that was done, and whether no more is to be done.
    pub(super) fn prepare(&mut self, order: Order<'_>, most: usize) -> (usize, bool) {
        let (slab, elsewhere) = (&self.slab, &self.elsewhere);
        let host = |key: HostKey| slab.get(key.0.get()).or_else(|| elsewhere.get(key));
        self.index.prepare(order, host, most)
    }

    /// The newest host of an address whose UDP port is known, else the newest; or the one with
    /// that UDP port.
    #[must_use]
    pub fn find(&self, addr: IpAddr, port: Option<u16>) -> Option<HostKey> {
        newest(self.at(addr), port)
    }

    /// The hosts of an address, oldest first.
    pub fn at(&self, addr: IpAddr) -> impl DoubleEndedIterator<Item = (HostKey, &Host)> + Clone {
        let keys = self.by_addr.get(addr).iter();
        keys.filter_map(|key| Some((*key, self.get(*key)?)))
    }

    /// The newest host on the machine or in the network of the server, or the one with that port.
    #[must_use]
    pub fn find_inside(&self, port: Option<u16>) -> Option<HostKey> {
        self.inside.as_ref()?.newest(port)
    }

    /// How many bytes the data strings of a host may have in the lobby: of a new one of this
    /// address, or of one that is known.
    #[must_use]
    pub fn room_for_strings(&self, limits: &Limits, addr: IpAddr, known: Option<HostKey>) -> usize {
        let before = known.and_then(|key| self.get(key)).and_then(|host| host.data.as_ref());
        self.shares.room(limits, addr, before)
    }

    /// Which host has to go so that there is room for one more of this address, if one has to; the
    /// new one runs `game` and came with this UDP packet.
    ///
    /// # Errors
    /// If there is none that nobody would miss.
    pub fn make_room(
        &mut self,
        now: Instant,
        limits: &Limits,
        addr: IpAddr,
        game: &str,
        reg: Option<ClaimedReg>,
    ) -> Result<Option<HostKey>, Full> {
        // It may be all that one of its neighbours has.
        self.take_back(addr, reg);
        let here = match addr {
            IpAddr::V4(_) => self.by_addr.get(addr).len(),
            IpAddr::V6(_) => self.shares.hosts(addr),
        };
        if here < limits.hosts_per_address {
            return Ok(None);
        }
        let neighbours = || {
            let keys = self.by_addr.get(addr).iter();
            keys.filter_map(|key| Some((*key, self.get(*key)?)))
        };
        let is_replaced = |host: &Host| {
            let by_new = |reg: ClaimedReg| {
                host.port == Some(reg.port) && (!reg.is_doubtful || host.game() == game)
            };
            reg.is_some_and(by_new) || neighbours().any(|(_, newer)| newer.replaces(host))
        };
        // A port that an older one has as well is only taken over from it.
        let is_unreachable = |host: &Host| {
            let is_older = |other: &Host| other.port == host.port && other.since < host.since;
            let has_port = host.port.is_some()
                && (host.reg != Sign::Nothing || !neighbours().any(|(_, h)| is_older(h)));
            !has_port && now - host.since > limits::REG_WINDOW
        };
        let replaced = neighbours().find(|(_, host)| is_replaced(host));
        let eviction_candidate =
            replaced.or_else(|| neighbours().find(|(_, host)| is_unreachable(host)));
        eviction_candidate.map(|(key, _)| Some(key)).ok_or(Full(here))
    }

    /// A connection registers a host, with the UDP packet that belongs to it if one came.
    pub fn add(
        &mut self,
        now: Now,
        conn: ConnId,
        addr: IpAddr,
        data: Option<Data>,
        reg: Option<ClaimedReg>,
    ) -> HostKey {
        self.take_back(addr, reg);
        // Without a packet of its own this is most likely a game that is here already and comes
        // back by a new connection, and of those the one whose packet came last.
        let game = data.as_ref().map_or("", |data| data.get(0));
        let before = match reg {
            Some(reg) => self.at_port(addr, reg.port),
            None => self.last_seen(addr, game),
        };
        let is_same = before.is_some_and(|h| h.game() == game);
        let sign = match reg {
            None => Sign::Nothing,
            Some(reg) if reg.is_provisional || (reg.is_doubtful && !is_same) => Sign::Doubtful,
            Some(_) => Sign::Certain,
        };
        let seconds = |unix| u32::try_from(unix).unwrap_or(u32::MAX);
        let shown = reg.and_then(|r| r.unix).map(seconds);
        let host = Host {
            conn,
            addr,
            port: reg.map(|r| r.port).or(before.and_then(|h| h.port)),
            via: reg.map(|r| r.via).or(before.map(|h| h.via)).unwrap_or_default(),
            created: shown.or(before.map(|h| h.created)).unwrap_or(seconds(now.unix)),
            data,
            seen: reg.map(|r| r.at).or(before.map(|h| h.seen)).unwrap_or_default(),
            since: now.instant,
            number: self.count,
            registered: now.instant,
            reg: sign,
            before_tentative: None,
            listed: false,
            settled: false,
        };
        self.count = self.count.wrapping_add(1);
        self.shares.add(addr, host.data.as_ref());
        let key = HostKey(Slot::new(self.slab.insert(host)));
        if self.by_addr.add(addr, key) > 1 {
            self.shadows.arm(now.instant, key);
            self.relist(now.instant, addr);
            return key;
        }
        self.note_inside(addr);
        self.note_change(addr);
        if !self.elsewhere.is_empty() {
            self.relist(now.instant, addr);
            return key;
        }
        if self.get(key).is_some_and(Host::is_visible) {
            self.list(key);
        }
        key
    }

    /// A registered connection registers again: new data if it gives any, the rest stays.
    pub fn renew(&mut self, now: Now, key: HostKey, data: Option<Data>, reg: Option<ClaimedReg>) {
        let Some(addr) = self.get(key).map(|h| h.addr) else { return };
        self.take_back(addr, reg);
        self.unlist(key);
        let Some(host) = self.slab.get_mut(key.0.get()) else { return };
        if data.is_some() {
            self.shares.replace(addr, host.data.as_ref(), data.as_ref());
            host.data = data;
        }
        host.registered = now.instant;
        // A port taken over from a neighbour is no sign of its own.
        if now.instant - host.seen > limits::REG_WINDOW {
            host.reg = Sign::Nothing;
        }
        if let Some(reg) = reg {
            let before = (host.port, host.via, host.seen);
            // It may turn out to be that of a neighbour who is just beginning.
            let is_tentative = reg.unix.is_some() && host.port != Some(reg.port);
            host.before_tentative = is_tentative.then(|| Box::new(before));
            host.port = Some(reg.port);
            host.via = reg.via;
            host.seen = host.seen.max(reg.at);
            host.reg = Sign::Certain;
        }
        self.end_succession(key, addr);
        self.relist(now.instant, addr);
    }

    /// A host shows that its connection lives, so nobody is the same by a newer one.
    fn end_succession(&mut self, key: HostKey, addr: IpAddr) {
        let Some((port, since)) = self.get(key).map(|h| (h.port, h.since)) else { return };
        for other in self.by_addr.get(addr) {
            if let Some(other) = self.slab.get_mut(other.0.get())
                && other.since > since
                && other.port == port
            {
                other.lose_port();
            }
        }
    }

    /// The connection of a host has ended.
    pub fn remove(&mut self, now: Instant, key: HostKey) -> Option<Host> {
        self.unlist(key);
        self.shadows.cancel(&key);
        let host = self.slab.try_remove(key.0.get())?;
        self.shares.remove(host.addr, host.data.as_ref());
        if let Some(inside) = &mut self.inside {
            inside.remove(key);
        }
        self.by_addr.remove(host.addr, key);
        if let Some(news) = &mut self.news {
            news.push(host.conn);
        }
        self.relist(now, host.addr);
        Some(host)
    }

    /// Goes on with the hosts of another process, in tables that are still empty.
    pub(super) fn restore(&mut self, saved: Self) {
        (self.slab, self.count) = (saved.slab, saved.count);
        self.shadows.restore(saved.shadows);
        let mut all: Vec<_> = self.slab.iter().collect();
        all.sort_unstable_by_key(|(_, host)| (host.since, host.number));
        for (slot, host) in &all {
            let key = HostKey(Slot::new(*slot));
            self.by_addr.add(host.addr, key);
            self.shares.add(host.addr, host.data.as_ref());
        }
        let listed = all.iter().filter(|(_, host)| host.listed);
        self.index.fill(listed.map(|(slot, host)| (*host, HostKey(Slot::new(*slot)))));
        if self.inside.is_some() {
            let addrs: Vec<IpAddr> = all.iter().map(|(_, host)| host.addr).collect();
            addrs.into_iter().for_each(|addr| self.note_inside(addr));
        }
    }

    /// When [`Self::on_wakeup`] has something to do.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Instant> {
        earliest([self.shadows.next(), self.next_sweep()])
    }

    /// Lists the hosts that another one has hidden as its duplicates for long enough.
    pub fn on_wakeup(&mut self, now: Instant) {
        while let Some(key) = self.shadows.pop_due(now) {
            if let Some(addr) = self.get(key).map(|host| host.addr) {
                self.relist(now, addr);
            }
        }
        self.sweep(now);
    }

    /// A packet that was assigned to a host tentatively turns out to be somebody else's.
    fn take_back(&mut self, addr: IpAddr, reg: Option<ClaimedReg>) {
        let Some(reg) = reg.filter(|reg| reg.is_tentative) else { return };
        for key in self.by_addr.get(addr) {
            if let Some(host) = self.slab.get_mut(key.0.get())
                && host.port == Some(reg.port)
                && host.before_tentative.is_some()
            {
                host.lose_port();
            }
        }
    }

    /// The newest host of an address with that port.
    fn at_port(&self, addr: IpAddr, port: u16) -> Option<&Host> {
        let keys = self.by_addr.get(addr);
        keys.iter().rev().filter_map(|key| self.get(*key)).find(|host| host.port == Some(port))
    }

    /// Of the hosts of this game at an address, the one whose UDP packet came last.
    fn last_seen(&self, addr: IpAddr, game: &str) -> Option<&Host> {
        let hosts = self.at(addr).map(|(_, host)| host).filter(|host| host.game() == game);
        hosts.max_by_key(|host| (host.seen, host.since))
    }

    /// Keeps up what is known of hosts inside, after ports at this address have changed.
    fn note_inside(&mut self, addr: IpAddr) {
        if let Some(inside) = &mut self.inside
            && is_inside(addr)
            && self.public_ips.like(addr).is_some()
        {
            for key in self.by_addr.get(addr) {
                inside.set(*key, self.slab.get(key.0.get()).and_then(|host| host.port));
            }
        }
    }
}
