//! Whom hosts have not been told of yet: a queue for each host that is owed a notification. The
//! client address of which the host was told least comes first, and when there is no room who has
//! most gives way, so that nobody can keep others from a host by asking for it all the time.

use std::collections::BTreeSet;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::clock::Instant;
use crate::dialect::ConnId;
use crate::hash::Map;
use crate::limits;
use crate::prefixes::{LEVELS, Shares, as_home, common, weight};
use crate::timers::Timers;

/// The notifications that wait for the notify gap.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Notices {
    /// By the control connection of the host; none is empty.
    queues: Map<ConnId, Queue>,
    /// Those of more than one, the shortest first. Who has one alone never gives way.
    #[serde(skip)]
    by_length: BTreeSet<(usize, ConnId)>,
    /// All of them together.
    #[serde(skip)]
    count: usize,
    /// Client addresses that are known to be told, of all hosts.
    #[serde(skip)]
    told: usize,
    /// What hosts were owed that have just left, by their endpoints: a game that changes its data
    /// closes its connection and comes back by another.
    left: Timers<SocketAddr, Queue>,
}

impl Default for Notices {
    fn default() -> Self {
        Self {
            queues: Map::default(),
            by_length: BTreeSet::default(),
            count: 0,
            told: 0,
            left: Timers::new(limits::HOST_RETURN),
        }
    }
}

/// What a host is owed, in the order in which it will be told. This is least attained service:
/// the round of a notice is how many of its client come before it, told or not, for as long as the
/// host has been owed anything; a /24 of IPv4 and the networks of IPv6 [count](weight) as a few clients. So of
/// sixty addresses that ask all the time none keeps a newcomer waiting, nor does who has a /24 or a /48.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Queue {
    /// Mostly one.
    notices: SmallVec<[Notice; 1]>,
    /// How many left of each network, if any did while others waited.
    told: Option<Box<Shares>>,
}

/// What a host is told of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct News {
    /// Where the client is.
    pub(super) client: SocketAddr,
    /// The port of the relay that the host is told in place of that.
    pub(super) relay: Option<NonZeroU16>,
    /// It was told before, and may not have read it.
    pub(super) is_again: bool,
    /// Who takes a turn for it, if `client` is the relay of another node, which is there for all.
    #[serde(default)]
    pub(super) of: Option<IpAddr>,
}

impl News {
    /// The address that takes a turn for it.
    pub(super) fn source(&self) -> IpAddr {
        self.of.unwrap_or(self.client.ip())
    }
}

impl From<SocketAddr> for News {
    fn from(client: SocketAddr) -> Self {
        Self { client, relay: None, is_again: false, of: None }
    }
}

/// News with its round. There may be many of them, so they are kept small.
#[derive(Debug, Serialize, Deserialize)]
struct Notice {
    ip: IpAddr,
    port: u16,
    relay: Option<NonZeroU16>,
    is_again: bool,
    round: u32,
    #[serde(default)]
    of: Option<Box<IpAddr>>,
}

impl Notice {
    fn news(&self) -> News {
        let client = SocketAddr::new(self.ip, self.port);
        let of = self.of.as_deref().copied();
        News { client, relay: self.relay, is_again: self.is_again, of }
    }

    fn source(&self) -> IpAddr {
        self.of.as_deref().copied().unwrap_or(self.ip)
    }
}

impl Queue {
    /// The round in which one more notice of this client would be.
    fn round_of(&self, client: IpAddr) -> u32 {
        let client = as_home(client);
        let mut held = self.told.as_ref().map_or([0; LEVELS], |told| told.of(client));
        for notice in &self.notices {
            let is_common = common(as_home(notice.source()), client);
            held.iter_mut().zip(is_common).for_each(|(held, is)| *held += u32::from(is));
        }
        weight(held)
    }

    /// Whether the last in the queue gives way to this client. As it is in the latest round, its
    /// address has most of all.
    fn yields_to(&self, client: IpAddr) -> bool {
        self.notices.last().is_some_and(|last| last.round > self.round_of(client))
    }

    /// How many notices, and how many addresses told.
    fn size(&self) -> (usize, usize) {
        (self.notices.len(), self.told.as_ref().map_or(0, |told| told.len()))
    }

    fn push(&mut self, news: News) {
        let News { client, relay, is_again, of } = news;
        let (ip, port, round) = (client.ip(), client.port(), self.round_of(news.source()));
        let at = self.notices.partition_point(|notice| notice.round <= round);
        self.notices.insert(at, Notice { ip, port, relay, is_again, round, of: of.map(Box::new) });
    }

    fn pop(&mut self, has_room: bool) -> Option<News> {
        if self.notices.len() < 2 {
            // All is forgotten then.
            return self.notices.pop().map(|notice| notice.news());
        }
        let notice = self.notices.remove(0);
        let told = self.told.get_or_insert_default();
        if !has_room || told.len() >= limits::TOLD_PER_HOST {
            // So many have had their turn that all begin anew.
            **told = Shares::default();
        }
        told.add(as_home(notice.source()), 1);
        Some(notice.news())
    }
}

impl Notices {
    /// Goes on with what another process owed.
    pub(super) fn restore(&mut self, saved: Self) {
        self.left.restore(saved.left);
        self.queues = saved.queues;
        self.queues.retain(|_, queue| !queue.notices.is_empty());
        for (host, queue) in &self.queues {
            let (length, told) = queue.size();
            self.count += length;
            self.told += told;
            if length > 1 {
                self.by_length.insert((length, *host));
            }
        }
    }

    /// How many a host is owed.
    pub(super) fn len(&self, host: ConnId) -> usize {
        if self.queues.is_empty() {
            0
        } else {
            self.queues.get(&host).map_or(0, |q| q.notices.len())
        }
    }

    /// Whether one of a client at this address may wait for its host's turn, be it in the place of
    /// one whose address, or whose host, has more.
    pub(super) fn has_room(&self, host: ConnId, client: IpAddr) -> bool {
        if self.count < limits::NOTICES_PER_HOST {
            return true;
        }
        let length = self.len(host);
        if length < limits::NOTICES_PER_HOST && self.count < limits::NOTICES {
            return true;
        }
        self.longest_but(host, length).is_some()
            || self.queues.get(&host).is_some_and(|queue| queue.yields_to(client))
    }

    /// Notes that a host is to be told of a client, unless it is to be told that already, or
    /// there is no room. Whether there was.
    pub(super) fn push(&mut self, host: ConnId, news: impl Into<News>) -> bool {
        let news = news.into();
        let is_same = |notice: &Notice| {
            let other = notice.news();
            (other.client, other.relay) == (news.client, news.relay)
        };
        let queue = self.queues.get(&host);
        let length = queue.map_or(0, |queue| queue.notices.len());
        if queue.is_some_and(|queue| queue.notices.iter().any(is_same)) {
            return true;
        }
        if length >= limits::NOTICES_PER_HOST || self.count >= limits::NOTICES {
            if !self.has_room(host, news.source()) {
                return false;
            }
            let from = self.longest_but(host, length).unwrap_or(host);
            self.change(from, |queue| queue.notices.pop());
        }
        self.change(host, |queue| queue.push(news));
        true
    }

    /// Takes the next client that a host is to be told of.
    pub(super) fn pop(&mut self, host: ConnId) -> Option<News> {
        let has_room = self.told < limits::NOTICES;
        self.change(host, |queue| queue.pop(has_room))
    }

    /// A host leaves. What it is owed is kept for a moment, if it is known where it was.
    pub(super) fn leave(&mut self, now: Instant, host: ConnId, at: Option<SocketAddr>) {
        if self.len(host) == 0 {
            return;
        }
        let queue = self.change(host, std::mem::take);
        while self.left.take_due(now).is_some() {}
        if let Some(at) = at {
            if self.left.len() >= limits::OWED_TO_LEFT {
                self.left.take();
            }
            self.left.arm_with(now, at, queue);
        }
    }

    /// A host has registered that is at this endpoint: it is owed what the one was that has just
    /// left there.
    pub(super) fn come_back(&mut self, now: Instant, host: ConnId, at: SocketAddr) {
        while self.left.take_due(now).is_some() {}
        let Some(queue) = self.left.remove(&at) else { return };
        queue.notices.iter().for_each(|notice| _ = self.push(host, notice.news()));
    }

    /// The host whose queue gives way to a host with a queue of this length, if only the bound
    /// for all is in the way.
    fn longest_but(&self, host: ConnId, length: usize) -> Option<ConnId> {
        let (longest, other) = *self.by_length.last()?;
        let is_other = length < limits::NOTICES_PER_HOST && longest > length + 1;
        (is_other && other != host).then_some(other)
    }

    fn change<T>(&mut self, host: ConnId, change: impl FnOnce(&mut Queue) -> T) -> T {
        let mut queue = match self.queues.entry(host) {
            Entry::Occupied(queue) => queue,
            Entry::Vacant(new) => new.insert_entry(Queue::default()),
        };
        let (before, told) = queue.get().size();
        let result = change(queue.get_mut());
        let (after, mut still_told) = queue.get().size();
        if after == 0 {
            queue.remove();
            still_told = 0;
        }
        self.count = self.count + after - before;
        self.told = self.told + still_told - told;
        if before > 1 {
            self.by_length.remove(&(before, host));
        }
        if after > 1 {
            self.by_length.insert((after, host));
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: ConnId = ConnId { slot: 1, generation: 1 };

    /// Each is alone in its /24.
    fn client(n: usize, port: usize) -> SocketAddr {
        let ip = IpAddr::from((0x0B00_0001 + ((n as u32) << 8)).to_be_bytes());
        SocketAddr::new(ip, port as u16)
    }

    fn host(n: usize) -> ConnId {
        ConnId { slot: n as u32, generation: 7 }
    }

    fn pop(notices: &mut Notices, host: ConnId) -> Option<SocketAddr> {
        notices.pop(host).map(|news| news.client)
    }

    fn all(notices: &mut Notices, host: ConnId) -> Vec<SocketAddr> {
        std::iter::from_fn(|| pop(notices, host)).collect()
    }

    #[test]
    fn client_addresses_take_turns() {
        let mut notices = Notices::default();
        (1..=4).for_each(|port| _ = notices.push(HOST, client(1, port)));
        assert_eq!(pop(&mut notices, HOST), Some(client(1, 1)));
        notices.push(HOST, client(2, 1));
        notices.push(HOST, client(2, 2));
        notices.push(HOST, client(3, 1));
        let turns = [(2, 1), (3, 1), (1, 2), (2, 2), (1, 3), (1, 4)];
        assert_eq!(all(&mut notices, HOST), turns.map(|(n, port)| client(n, port)));
    }

    #[test]
    fn whom_another_node_relays_takes_turns_by_its_own_address() {
        let relay =
            |n: u8, port| News { of: Some([198, 51, n, 1].into()), ..client(0, port).into() };
        let mut notices = Notices::default();
        (1..=3).for_each(|port| _ = notices.push(HOST, relay(1, port)));
        notices.push(HOST, relay(2, 4));
        notices.push(HOST, relay(3, 5));
        assert_eq!(all(&mut notices, HOST), [1, 4, 5, 2, 3].map(|port| client(0, port)));
        // Where there is no room who has most gives way.
        (1..=limits::NOTICES_PER_HOST).for_each(|port| _ = notices.push(HOST, relay(1, port)));
        assert!(!notices.push(HOST, relay(1, 999)));
        assert!(notices.push(HOST, relay(2, 1000)));
        assert_eq!(all(&mut notices, HOST)[1], client(0, 1000));
    }

    #[test]
    fn a_newcomer_comes_before_those_of_whom_the_host_was_told() {
        let mut notices = Notices::default();
        for port in 1..=3 {
            (1..=60).for_each(|n| _ = notices.push(HOST, client(n, port)));
            (1..=40).for_each(|_| _ = pop(&mut notices, HOST));
        }
        notices.push(HOST, client(99, 1));
        assert_eq!(pop(&mut notices, HOST), Some(client(99, 1)));
        for n in 100..100 + 2 * limits::TOLD_PER_HOST {
            notices.push(HOST, client(n, 1));
            pop(&mut notices, HOST);
        }
        assert!(notices.told > 1 && notices.told <= limits::TOLD_PER_HOST);
        notices.leave(Instant::default(), HOST, None);
        assert_eq!(notices.told, 0);
    }

    #[test]
    fn a_network_of_ipv4_keeps_nobody_waiting() {
        let mut notices = Notices::default();
        let of_one = |n: u8| SocketAddr::from(([203, 0, 113, n], 1));
        (0..limits::NOTICES_PER_HOST as u8).for_each(|n| _ = notices.push(HOST, of_one(n)));
        for n in 0..8 {
            assert!(notices.has_room(HOST, client(n, 1).ip()), "{n}");
            notices.push(HOST, client(n, 1));
            notices.push(HOST, of_one(200 + n as u8));
        }
        // The first of its network are as anybody's.
        (0..4).for_each(|n| assert_eq!(pop(&mut notices, HOST), Some(of_one(n))));
        (0..8).for_each(|n| assert_eq!(pop(&mut notices, HOST), Some(client(n, 1))));
    }

    #[test]
    fn who_asks_again_before_the_host_was_told_is_told_once() {
        let mut notices = Notices::default();
        (0..9).for_each(|n| _ = notices.push(HOST, client(1, n % 3)));
        assert_eq!(all(&mut notices, HOST), [0, 1, 2].map(|port| client(1, port)));
        notices.push(HOST, client(1, 1));
        assert_eq!(notices.len(HOST), 1, "the host has been told, and is told anew");
    }

    #[test]
    fn who_has_most_gives_way_and_never_who_has_least() {
        let mut notices = Notices::default();
        for port in 0..2 * limits::NOTICES_PER_HOST {
            notices.push(HOST, client(1, port));
        }
        assert_eq!(notices.len(HOST), limits::NOTICES_PER_HOST);
        assert!(!notices.has_room(HOST, client(1, 0).ip()));
        for n in 2..=limits::NOTICES_PER_HOST {
            assert!(notices.has_room(HOST, client(n, 0).ip()), "{n}");
            notices.push(HOST, client(n, 0));
        }
        assert!(!notices.has_room(HOST, client(999, 0).ip()), "all have one");
        let mut told: Vec<_> = all(&mut notices, HOST).iter().map(SocketAddr::ip).collect();
        told.dedup();
        assert_eq!(told.len(), limits::NOTICES_PER_HOST);
    }

    #[test]
    fn an_ipv6_network_has_one_share() {
        let mut notices = Notices::default();
        let of = |text: &str| text.parse::<SocketAddr>().unwrap();
        let neighbour = "[2001:db8:0:1::1]:1";
        ["[2001:db8::1]:1", "[2001:db8::2]:1", "[2001:db8::3]:1", "[2001:db8::4]:1", neighbour]
            .iter()
            .for_each(|text| _ = notices.push(HOST, of(text)));
        assert_eq!(pop(&mut notices, HOST), Some(of("[2001:db8::1]:1")));
        assert_eq!(pop(&mut notices, HOST), Some(of("[2001:db8::2]:1")));
        assert_eq!(pop(&mut notices, HOST), Some(of("[2001:db8::3]:1")));
        assert_eq!(pop(&mut notices, HOST), Some(of(neighbour)));
    }

    /// Each join of the one source comes from the next of its networks.
    #[test]
    fn who_has_many_ipv6_networks_keeps_nobody_waiting() {
        let of = |n: usize, m: usize| {
            SocketAddr::from((
                std::net::Ipv6Addr::new(0x2001, n as u16, 7, m as u16, 0, 0, 0, 1),
                1,
            ))
        };
        let mut notices = Notices::default();
        let mut waits = std::collections::BTreeMap::new();
        // Twenty joins of the one source for each that the host is told of.
        for tick in 0..400 {
            (0..20).for_each(|n| _ = notices.push(HOST, of(0, 20 * tick + n)));
            if tick % 20 == 10 {
                assert!(notices.has_room(HOST, of(tick, 0).ip()), "at {tick}");
                notices.push(HOST, of(tick, 0));
                waits.insert(of(tick, 0), tick);
            }
            let told = pop(&mut notices, HOST).unwrap();
            if let Some(since) = waits.remove(&told) {
                assert!(tick - since <= 4, "waited from {since} to {tick}");
            }
        }
        assert!(waits.is_empty(), "{waits:?}");
    }

    #[test]
    fn of_all_hosts_the_one_with_the_longest_queue_gives_way() {
        let mut notices = Notices::default();
        let full = limits::NOTICES / limits::NOTICES_PER_HOST;
        for n in 0..full * limits::NOTICES_PER_HOST {
            notices.push(host(n % full), client(1, n / full));
        }
        assert_eq!(notices.count, limits::NOTICES);
        notices.push(host(0), client(1, 60_000));
        assert_eq!(notices.len(host(0)), limits::NOTICES_PER_HOST);
        for n in 0..full {
            notices.push(HOST, client(2, n));
            assert!(notices.count <= limits::NOTICES);
        }
        assert_eq!(notices.len(HOST), limits::NOTICES_PER_HOST - 1, "no longer than the others");
        (0..full).for_each(|n| notices.leave(Instant::default(), host(n), None));
        notices.leave(Instant::default(), HOST, None);
        assert_eq!((notices.count, notices.by_length.len(), notices.queues.len()), (0, 0, 0));
    }

    #[test]
    fn what_a_host_is_owed_that_comes_back_is_kept_for_a_moment() {
        let (mut notices, begin) = (Notices::default(), Instant::default());
        let [back, late] = [limits::HOST_RETURN / 2, limits::HOST_RETURN].map(|time| begin + time);
        let at = |n| client(200, n);
        for n in 0..2 {
            (1..=2).for_each(|port| _ = notices.push(host(n), client(1, port)));
            notices.leave(begin, host(n), Some(at(n)));
        }
        assert_eq!((notices.count, notices.by_length.len()), (0, 0));
        notices.come_back(back, host(9), at(0));
        assert_eq!(pop(&mut notices, host(9)), Some(client(1, 1)));
        assert_eq!(
            (pop(&mut notices, host(9)), pop(&mut notices, host(9))),
            (Some(client(1, 2)), None)
        );
        notices.come_back(back, host(9), at(0));
        assert_eq!(notices.len(host(9)), 0, "once");
        notices.come_back(late, host(8), at(1));
        assert_eq!(notices.len(host(8)), 0, "too late");
        for n in 0..2 * limits::OWED_TO_LEFT {
            notices.push(HOST, client(1, 1));
            notices.leave(back, HOST, Some(client(n, n)));
        }
        assert_eq!(notices.left.len(), limits::OWED_TO_LEFT);
    }
}
