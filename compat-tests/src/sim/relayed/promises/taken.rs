//! Which ports of the pool belong to which sessions, from the moment when they are given out to the report
//! that they are free: whether there is room for one more, and whether hosts are told others each time.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use punchd::clock::Instant;
use punchd::dialect::ConnId;
use punchd::introductions::relay::{Session, SessionId, sessions};
use punchd::limits::relay as limits;
use punchd::prefixes::network;

use super::{Kept, Promise, broken};

/// A session that has been given out.
#[derive(Debug)]
pub(in super::super) struct Taken {
    config: sessions::Config,
    live: BTreeMap<SessionId, Session>,
    /// And when that was.
    by_player: BTreeMap<(IpAddr, u16), Instant>,
    /// When a port of an address was free again last.
    freed: BTreeMap<(IpAddr, u16), Instant>,
    /// When a session at a port gave way, whose player may play on.
    left: BTreeMap<(IpAddr, u16), Instant>,
    left_over: BTreeSet<SessionId>,
    held: BTreeMap<IpAddr, u32>,
    pairs: BTreeMap<[IpAddr; 2], u32>,
    /// Which ports a host was told in one registration, and when.
    told: BTreeMap<ConnId, Vec<(u16, Instant)>>,
    /// Bytes in the month that has this number.
    month: (u64, u64),
}

impl Taken {
    pub(in super::super) fn new(config: sessions::Config) -> Self {
        Self {
            config,
            live: BTreeMap::new(),
            by_player: BTreeMap::new(),
            freed: BTreeMap::new(),
            left: BTreeMap::new(),
            left_over: BTreeSet::new(),
            held: BTreeMap::new(),
            pairs: BTreeMap::new(),
            told: BTreeMap::new(),
            month: (0, 0),
        }
    }

    pub(in super::super) fn len(&self) -> usize {
        self.live.len()
    }

    /// So many bytes have been passed on.
    pub(in super::super) fn passed(&mut self, month: u64, bytes: u64) {
        self.month = (month, self.in_month(month) + bytes);
    }

    fn in_month(&self, month: u64) -> u64 {
        if self.month.0 == month { self.month.1 } else { 0 }
    }

    /// Whether one more session may be given out to these two.
    pub(in super::super) fn has_room(&self, month: u64, [client, host]: [IpAddr; 2]) -> bool {
        let bounds = &self.config.bounds;
        let serves = [client, host].iter().all(|addr| self.config.told.like(*addr).is_some());
        let is_in_month = bounds.month_bytes.is_none_or(|most| self.in_month(month) < most);
        let pair = self.pairs.get(&[client, host].map(network)).copied().unwrap_or_default();
        let holds = |addr| self.held.get(&network(addr)).copied().unwrap_or_default();
        let ports = || self.config.ports.clone();
        let is_free = |addr, port| !self.by_player.contains_key(&(addr, port));
        let free = |addr| ports().filter(|port| is_free(addr, *port)).count();
        let needs = if client == host { 2 } else { 1 };
        let has_room = |addr, other| {
            let is_full = holds(addr) >= bounds.sessions_per_address || free(addr) < needs;
            !is_full || self.holders(addr).must_give_way(other)
        };
        serves
            && is_in_month
            && pair < limits::PER_PAIR
            && has_room(client, host)
            && has_room(host, client)
    }

    /// Whether one more fits without any that gives way, of these two.
    fn fits(&self, [client, host]: [IpAddr; 2]) -> bool {
        let most = self.config.bounds.sessions_per_address;
        let has_share = |addr| self.held.get(&network(addr)).is_none_or(|held| *held < most);
        has_share(client) && has_share(host)
    }

    /// Who is relayed to an address.
    fn holders(&self, at: IpAddr) -> Holders {
        let sides = |session: &Session| session.sides.map(|side| side.addr);
        let others = self.live.values().map(sides).flat_map(|[client, host]| {
            [(client, host), (host, client)].map(|(own, other)| (own == at).then_some(other))
        });
        Holders(others.flatten().collect())
    }

    /// Sessions give way to one of these two: each had to, where a bound was reached.
    fn evict(&mut self, now: Instant, leaving: &[SessionId], pair: [IpAddr; 2]) -> Kept {
        let [client, host] = pair;
        let most = self.config.bounds.sessions_per_address;
        for id in leaving {
            let Some(sides) = self.live.get(id).map(|session| session.sides) else {
                return broken(Promise::Bounds, format!("{id:?} gives way, but is over"));
            };
            let sides = sides.map(|side| side.addr);
            let is_right = [(client, host), (host, client)].into_iter().any(|(at, wants)| {
                let held = self.held.get(&network(at)).copied().unwrap_or_default();
                let used = self.by_player.keys().filter(|(addr, _)| *addr == at).count();
                let is_full = held >= most || used + 1 >= self.config.ports.len();
                let [one, other] = sides;
                let may = |holder| self.holders(at).may_give_way(holder, wants);
                is_full && (one == at && may(other) || other == at && may(one))
            });
            if !is_right {
                let what = format!("{id:?} of {sides:?} gives way to {pair:?}, who hold as much");
                return broken(Promise::Bounds, what);
            }
        }
        for id in leaving {
            let sides = self.live.get(id).map(|session| session.sides);
            let ports = sides.into_iter().flatten().map(|side| (side.addr, side.port));
            self.left.extend(ports.map(|port| (port, now)));
            self.end(now, *id);
        }
        Ok(())
    }

    pub(super) fn has_left_overs(&self, id: SessionId) -> bool {
        self.left_over.contains(&id)
    }

    /// A session is given out, to this registration of a host, and these give way.
    pub(in super::super) fn open(
        &mut self,
        (now, month): (Instant, u64),
        session: Session,
        (registration, leaving): (ConnId, &[SessionId]),
    ) -> Kept {
        let Session { id, sides, .. } = session;
        let pair = sides.map(|side| side.addr);
        self.evict(now, leaving, pair)?;
        if !self.has_room(month, pair) || !self.fits(pair) {
            return broken(Promise::Bounds, format!("{id:?} is one more than may be: {pair:?}"));
        }
        for side in sides {
            /// Longer than any plays who plays in a network where somebody gives way.
            const PLAYS: std::time::Duration = std::time::Duration::from_secs(60);
            let left = self.left.get(&(side.addr, side.port));
            if left.is_some_and(|at| now - *at < PLAYS) {
                self.left_over.insert(id);
            }
            let is_taken = self.by_player.insert((side.addr, side.port), now).is_some();
            if is_taken || !self.config.ports.contains(&side.port) {
                return broken(Promise::OwnPorts, format!("{id:?}: {side:?} is not free"));
            }
            *self.held.entry(network(side.addr)).or_default() += 1;
        }
        *self.pairs.entry(pair.map(network)).or_default() += 1;
        self.live.insert(id, session);
        let [_, host] = sides;
        let told = self.told.entry(registration).or_default();
        let before = told.iter().rposition(|(port, _)| *port == host.port);
        if let Some((_, last)) = before.and_then(|n| told.get(n).copied()) {
            let since: BTreeSet<u16> =
                told.iter().skip_while(|(_, at)| *at < last).map(|t| t.0).collect();
            // What was taken at any time since then could not be told.
            let was_taken = |port| {
                let key = (host.addr, port);
                self.by_player.contains_key(&key)
                    || self.freed.get(&key).is_some_and(|at| *at >= last)
            };
            let left = self.config.ports.clone().find(|p| !since.contains(p) && !was_taken(*p));
            if let Some(left) = left {
                let what = format!("{} is told {} again before {left}", host.addr, host.port);
                return broken(Promise::OwnPorts, what);
            }
        }
        told.push((host.port, now));
        Ok(())
    }

    /// It is reported that a session is over.
    pub(in super::super) fn end(&mut self, now: Instant, id: SessionId) {
        let Some(session) = self.live.remove(&id) else { return };
        for side in session.sides {
            self.by_player.remove(&(side.addr, side.port));
            self.freed.insert((side.addr, side.port), now);
            less(&mut self.held, network(side.addr));
        }
        less(&mut self.pairs, session.sides.map(|side| network(side.addr)));
    }
}

/// Who is relayed to an address, once for each session.
struct Holders(Vec<IpAddr>);

impl Holders {
    /// How many of a network there are, and how many of a source.
    fn of(&self, addr: IpAddr) -> [usize; 2] {
        let count =
            |is_of: &dyn Fn(IpAddr) -> bool| self.0.iter().filter(|one| is_of(**one)).count();
        let is_neighbour = |one| around(one) == around(addr);
        [count(&is_neighbour), count(&|one| network(one) == network(addr))]
    }

    /// Whether this one may give way: it holds more than the other one would, as what they do not have in
    /// common.
    fn may_give_way(&self, holder: IpAddr, wants: IpAddr) -> bool {
        let ([in_network, of_source], would) = (self.of(holder), self.of(wants));
        match around(holder) == around(wants) {
            true => network(holder) != network(wants) && of_source > would[1] + 1,
            false => in_network > would[0] + 1,
        }
    }

    /// Whether somebody has to give way. If several networks hold as much as another it is left open which
    /// of them is taken for the one that holds most.
    fn must_give_way(&self, wants: IpAddr) -> bool {
        let most = self.0.iter().map(|one| self.of(*one)[0]).max().unwrap_or_default();
        let mut holders = self.0.iter().filter(|one| self.of(**one)[0] == most);
        let is_alone = self.of(wants)[0] < most || holders.all(|one| around(*one) == around(wants));
        let of_most = self.0.iter().filter(|one| self.of(**one)[0] == most);
        is_alone && of_most.into_iter().any(|one| self.may_give_way(*one, wants))
    }
}

/// The network that an address is in.
fn around(addr: IpAddr) -> Vec<u8> {
    match addr {
        IpAddr::V4(v4) => v4.octets()[..3].to_vec(),
        IpAddr::V6(v6) => v6.octets()[..6].to_vec(),
    }
}

fn less<K: Ord>(counts: &mut BTreeMap<K, u32>, key: K) {
    if let Some(count) = counts.get_mut(&key) {
        *count -= 1;
    }
}
