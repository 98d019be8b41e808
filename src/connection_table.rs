//! Who has a place: the TCP connections, whose they are, and which of them gives way when there is
//! no room for a new one.

use std::cmp::{Ordering, Reverse};
use std::net::{IpAddr, SocketAddr};

use rand::RngExt as _;
use rand::rngs::StdRng;

use crate::clock::Instant;
use crate::dialect::conns::Conns;
use crate::dialect::{ConnId, Name, Use};
use crate::limits::{HOUSEHOLD, IDLE_WHEN_FULL};
use crate::prefixes::{LEVELS, Shares};

/// Connections that are looked at to find the one that gives way. A random sample, it misses a network
/// that has a tenth of all connections once in a thousand times.
const LOOKS: u32 = 64;

/// What is known of every connection: little, as there are many.
#[derive(Debug)]
pub(crate) struct Conn {
    addr: IpAddr,
    port: u16,
    /// Known once its first byte has come.
    pub(crate) speaks: Option<Name>,
    /// The slots of the next ones of the same source, in a ring.
    before: u32,
    after: u32,
    pub(crate) opened: Instant,
}

impl Conn {
    pub(crate) fn peer(&self) -> SocketAddr {
        (self.addr, self.port).into()
    }
}

/// All connections. How many each network has is noted in the `shares` that each call is given, as others
/// ask that as well.
#[derive(Debug)]
pub(crate) struct ConnectionTable {
    conns: Conns<Conn>,
    count: usize,
    /// Which connections are looked at. Nobody must know, or he could put his where nobody looks.
    random: StdRng,
}

/// Where the ring of a source begins: at the connection that was looked at longest ago.
#[derive(Debug, Default)]
pub(crate) struct Ring {
    begin: u32,
}

/// How readily a connection is closed: the greatest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum CloseOrder {
    /// The newest first: who has been there longest is the least likely to be part of a flood.
    Lasting(Instant),
    Waiting(Instant),
    /// The one that has been idle longest.
    Idle(Reverse<Instant>),
}

/// Who wants a place, when, and what a connection is good for.
struct Search<F> {
    now: Instant,
    wants: IpAddr,
    /// Of a network that has more connections than this, even if no address of it has many, hosts give
    /// way as well.
    large: u32,
    use_of: F,
    found: Option<Found>,
}

/// Who gives way so far: of those whose network has most, the one that is closed most readily.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Found {
    held: [u32; LEVELS],
    close_order: CloseOrder,
    id: ConnId,
    addr: IpAddr,
}

impl ConnectionTable {
    /// Nobody has a place yet. Who is looked at comes from `random`, which must be secret.
    pub(crate) fn new(random: StdRng) -> Self {
        Self { conns: Conns::default(), count: 0, random }
    }

    pub(crate) fn get(&self, id: ConnId) -> Option<&Conn> {
        self.conns.get(id)
    }

    pub(crate) fn get_mut(&mut self, id: ConnId) -> Option<&mut Conn> {
        self.conns.get_mut(id)
    }

    /// How many there are.
    pub(crate) const fn len(&self) -> usize {
        self.count
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (ConnId, &Conn)> {
        self.conns.iter()
    }

    /// One more, which its peer began at that time.
    pub(crate) fn add(
        &mut self,
        shares: &mut Shares<Ring>,
        began: Instant,
        id: ConnId,
        peer: SocketAddr,
    ) {
        let (addr, port) = (peer.ip(), peer.port());
        let (held, ring) = shares.add(addr, 1);
        if held == 1 {
            ring.begin = id.slot;
        }
        let after = ring.begin;
        let before = self.conns.in_slot(after).map_or(id.slot, |(_, conn)| conn.before);
        let conn = Conn { addr, port, speaks: None, before, after, opened: began };
        self.conns.insert(id, conn);
        self.count += 1;
        self.link(before, id.slot);
        self.link(id.slot, after);
    }

    /// Whether a place is free.
    pub(crate) fn is_free(&self, id: ConnId) -> bool {
        self.conns.in_slot(id.slot).is_none()
    }

    /// One less. False: there was none.
    pub(crate) fn remove(&mut self, shares: &mut Shares<Ring>, id: ConnId) -> bool {
        let Some(conn) = self.conns.remove(id) else { return false };
        self.count -= 1;
        let Conn { addr, before, after, .. } = conn;
        self.link(before, after);
        shares.remove(addr, 1);
        // Of who had only this one nothing is kept any more.
        if after != id.slot
            && let Some(ring) = shares.kept(addr).filter(|ring| ring.begin == id.slot)
        {
            ring.begin = after;
        }
        true
    }

    /// Makes these two slots neighbours.
    fn link(&mut self, before: u32, after: u32) {
        if let Some(conn) = self.conns.in_slot_mut(before) {
            conn.after = after;
        }
        if let Some(conn) = self.conns.in_slot_mut(after) {
            conn.before = before;
        }
    }

    /// Which connection gives way to a new one of this address: one of a network that has more
    /// than that of the new one would have, the network that has most first; or of one that has
    /// as many, but is idle. Hosts give way only in a network that has more than `large`.
    pub(crate) fn eviction_candidate(
        &mut self,
        shares: &mut Shares<Ring>,
        now: Instant,
        wants: IpAddr,
        large: u32,
        use_of: impl Fn(ConnId, &Conn) -> Use,
    ) -> Option<ConnId> {
        let mut search = Search { now, wants, large, use_of, found: None };
        let slots = self.conns.slots();
        for n in 0..LOOKS.min(slots) {
            let slot = if slots <= LOOKS { n } else { self.random.random_range(0..slots) };
            if let Some((id, conn)) = self.conns.in_slot(slot) {
                search.look_at(id, conn, shares);
            }
        }
        // There may be one in the same place that is missed less.
        let Found { addr, .. } = search.found?;
        self.look_at_those_of(shares, addr, &mut search);
        search.found.map(|found| found.id)
    }

    /// Which connection gives way to a new one of the same source: an idle one.
    pub(crate) fn idle_of(
        &mut self,
        shares: &mut Shares<Ring>,
        now: Instant,
        addr: IpAddr,
        use_of: impl Fn(ConnId, &Conn) -> Use,
    ) -> Option<ConnId> {
        let mut search = Search { now, wants: addr, large: u32::MAX, use_of, found: None };
        self.look_at_those_of(shares, addr, &mut search);
        search.found.map(|found| found.id)
    }

    /// Looks at the connections of a source, at others the next time if there are many.
    fn look_at_those_of(
        &mut self,
        shares: &mut Shares<Ring>,
        addr: IpAddr,
        search: &mut Search<impl Fn(ConnId, &Conn) -> Use>,
    ) {
        let Some(first) = shares.kept(addr).map(|ring| ring.begin) else { return };
        let mut next = first;
        for _ in 0..LOOKS {
            let Some((id, conn)) = self.conns.in_slot(next) else { return };
            search.look_at(id, conn, shares);
            next = conn.after;
            if next == first {
                break;
            }
        }
        if let Some(ring) = shares.kept(addr) {
            ring.begin = next;
        }
    }
}

impl<F: Fn(ConnId, &Conn) -> Use> Search<F> {
    /// Whether a network has so many that even a host of it gives way to somebody who has fewer.
    fn has_many(&self, held @ [widest, .., narrowest]: [u32; LEVELS]) -> bool {
        debug_assert!(held.is_sorted_by(|wide, narrow| wide >= narrow));
        widest > self.large || narrowest > HOUSEHOLD
    }

    fn look_at(&mut self, id: ConnId, conn: &Conn, shares: &Shares<Ring>) {
        let held = shares.of(conn.addr);
        if self.found.is_some_and(|found| held < found.held) {
            return;
        }
        let compared = shares.compare(conn.addr, self.wants, 1);
        let close_order = match ((self.use_of)(id, conn), compared) {
            (_, Ordering::Less) => return,
            (Use::Idle(since), Ordering::Equal) if self.now - since < IDLE_WHEN_FULL => return,
            (Use::Idle(since), _) => CloseOrder::Idle(Reverse(since)),
            (_, Ordering::Equal) => return,
            (Use::Waiting, _) => CloseOrder::Waiting(conn.opened),
            (Use::Lasting, _) if !self.has_many(held) => return,
            (Use::Lasting, _) => CloseOrder::Lasting(conn.opened),
        };
        self.found = self.found.max(Some(Found { held, close_order, id, addr: conn.addr }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng as _;

    fn table() -> (ConnectionTable, Shares<Ring>) {
        (ConnectionTable::new(StdRng::from_seed([7; 32])), Shares::default())
    }

    fn peer(n: u8) -> SocketAddr {
        SocketAddr::from(([203, 0, 113, n], 40_000))
    }

    /// Everyone in the ring of an address, however often it is gone round.
    fn ring(table: &ConnectionTable, shares: &mut Shares<Ring>, addr: IpAddr) -> Vec<u32> {
        let Some(first) = shares.kept(addr).map(|ring| ring.begin) else {
            return Vec::new();
        };
        let mut all = vec![first];
        loop {
            let (_, conn) = table.conns.in_slot(all[all.len() - 1]).unwrap();
            let (_, next) = table.conns.in_slot(conn.after).unwrap();
            assert_eq!(next.before, all[all.len() - 1]);
            if conn.after == first {
                all.sort_unstable();
                return all;
            }
            all.push(conn.after);
        }
    }

    proptest! {
        #[test]
        fn the_ring_of_each_source_has_all_of_its_connections(
            steps in prop::collection::vec((0u32..40, 0u8..4), 1..300),
        ) {
            let (mut table, mut shares) = table();
            let mut open = std::collections::BTreeMap::new();
            for (generation, (slot, n)) in steps.into_iter().enumerate() {
                let new = ConnId { slot, generation: generation as u32 };
                match open.remove(&slot) {
                    Some((id, _)) => prop_assert!(table.remove(&mut shares, id)),
                    None => {
                        table.add(&mut shares, Instant::default(), new, peer(n));
                        open.insert(slot, (new, n));
                    }
                }
                let unknown = ConnId { slot: 50, ..new };
                prop_assert!(!table.remove(&mut shares, unknown));
                let looked_at = table.idle_of(&mut shares, Instant::default(), peer(n).ip(), |_, _| Use::Lasting);
                prop_assert_eq!(looked_at, None);
                for n in 0..4 {
                    let theirs = open.iter().filter(|(_, (_, other))| *other == n);
                    let theirs: Vec<u32> = theirs.map(|(slot, _)| *slot).collect();
                    let [.., held] = shares.of(peer(n).ip());
                    prop_assert_eq!(held as usize, theirs.len());
                    prop_assert_eq!(ring(&table, &mut shares, peer(n).ip()), theirs);
                }
            }
            prop_assert!(open.is_empty() == shares.is_empty());
        }
    }

    #[test]
    fn of_many_of_one_address_others_are_looked_at_each_time() {
        let (mut table, mut shares) = table();
        let at = Instant::from_micros(10_000_000);
        let busy = 3 * LOOKS;
        for slot in 0..=busy {
            table.add(&mut shares, Instant::default(), ConnId { slot, generation: slot }, peer(1));
        }
        let use_of = |id: ConnId, _: &Conn| match id.slot == busy {
            true => Use::Idle(Instant::default()),
            false => Use::Waiting,
        };
        let found: Vec<_> =
            (0..4).map(|_| table.idle_of(&mut shares, at, peer(1).ip(), use_of)).collect();
        assert_eq!(found[..3], [None; 3]);
        assert_eq!(found[3].map(|id| id.slot), Some(busy));
    }
}
