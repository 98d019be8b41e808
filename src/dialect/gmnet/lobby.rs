//! The list of hosts: which of them a request chooses, in which order, as which bytes.

use std::cmp::Ordering;
use std::net::IpAddr;
use std::ops::ControlFlow;

use log::debug;

use super::command::{Command, Go};
use super::entry::Writer;
use super::host::Host;
use super::hosts::Hosts;
use super::index::Listed;
use super::replies::Side;
use super::slot::HostKey;
use super::sorted::{Entry, Order, text_work};
use super::text::utf16_order;
use super::{Config, Gmnet};
use crate::clock::Now;
use crate::dialect::{Asked, ConnId, Context, Outbox};
use crate::introductions::is_same_family;
use crate::limits;

/// A `lobby2` request.
#[derive(Debug)]
pub struct Query<'a> {
    filters: [&'a str; 8],
    /// Which string to sort by; none: by creation time.
    sort: Option<usize>,
    /// Newest first, `b` before `a`.
    descending: bool,
    limit: usize,
}

impl<'a> Query<'a> {
    /// Reads the eleven lines of the request.
    #[must_use]
    pub fn new(command: &'a Command) -> Self {
        let sort = match command.param(8).as_bytes() {
            [b'd', b'a', b't', b'a', n @ b'1'..=b'8'] => Some(usize::from(n - b'1')),
            _ => None,
        };
        Self {
            filters: std::array::from_fn(|n| command.param(n)),
            sort,
            // The wrong way round, and games are written for it.
            descending: command.param(9) == "ASC",
            // Java's parseInt, as for `+2` and `007`; what it refuses is no limit.
            limit: command
                .param(10)
                .parse::<i32>()
                .ok()
                .and_then(|n| n.try_into().ok())
                .unwrap_or(usize::MAX),
        }
    }

    /// The reply stays the same as long as this does; none if it may change at any time.
    pub(super) fn version(&self, hosts: &Hosts, config: &Config) -> Option<u64> {
        let listed = hosts.index().of(self.filters[0])?;
        (!config.lobby_ports).then_some(listed.version)
    }

    /// In which order of which hosts it is, if it is sorted by a string.
    pub(super) fn order(&self) -> Option<Order<'_>> {
        let (game, descending) = (self.filters[0], self.descending);
        self.sort.map(|by| Order { game, by, descending })
    }

    /// Appends the reply to `viewer`, who is shown one host at the relay's address: message byte, JSON,
    /// line feed. Hosts that would make it longer than it may be are left out.
    pub fn reply(
        &self,
        hosts: &Hosts,
        config: &Config,
        (viewer, at_relay): (IpAddr, Option<(IpAddr, HostKey)>),
        reply: &mut Vec<u8>,
    ) -> Made {
        reply.push(super::LOBBY);
        let most = config.limits.lobby();
        let mut made = self.write_hosts(hosts, config, (viewer, at_relay), most, reply);
        reply.push(b'\n');
        made.work += 1;
        made
    }

    /// Appends the hosts as a JSON array, as many as `most` bytes have room for.
    fn write_hosts(
        &self,
        hosts: &Hosts,
        config: &Config,
        (viewer, at_relay): (IpAddr, Option<(IpAddr, HostKey)>),
        most: usize,
        reply: &mut Vec<u8>,
    ) -> Made {
        reply.push(b'[');
        let start = reply.len();
        let (mut made, mut writer) = (Made::default(), Writer::default());
        let at_relay = at_relay.and_then(|(addr, key)| Some((addr, hosts.any(key)?.number)));
        made.work = self.select(hosts, viewer, |(key, host)| {
            let end = reply.len();
            if end > start {
                reply.push(b',');
            }
            let relayed =
                at_relay.filter(|(_, number)| *number == host.number).map(|(addr, _)| addr);
            let addr = relayed.unwrap_or_else(|| hosts.told(key, host, viewer));
            let port = host.port.filter(|_| {
                config.lobby_ports && relayed.is_none() && hosts.shares_address(host, addr)
            });
            writer.write(host, addr, port, reply);
            if reply.len() - start > most {
                reply.truncate(end);
                return ControlFlow::Break(());
            }
            made.hosts += 1;
            ControlFlow::Continue(())
        });
        reply.push(b']');
        made.work += reply.len() - start;
        made
    }

    /// Calls `each` with every chosen host that the viewer can reach, in order. Returns the work to
    /// find them.
    fn select<'h>(
        &self,
        hosts: &'h Hosts,
        viewer: IpAddr,
        mut each: impl FnMut((HostKey, &'h Host)) -> ControlFlow<()>,
    ) -> usize {
        let Some(Listed { entries, .. }) = hosts.index().of(self.filters[0]) else { return 0 };
        let mut work = 0;
        let mut matching = |entry: Entry| {
            work += limits::HOST_WORK;
            let host = hosts.any(entry.key).filter(|host| is_same_family(host.addr, viewer))?;
            self.matches(host, &mut work).then_some((entry.key, host))
        };
        match (self.order(), self.descending) {
            (None, false) => {
                let oldest_first = entries.iter().filter_map(|entry| matching(*entry));
                _ = oldest_first.take(self.limit).try_for_each(each);
            }
            (None, true) => {
                let newest_first = entries.iter().rev().filter_map(|entry| matching(*entry));
                _ = newest_first.take(self.limit).try_for_each(each);
            }
            (Some(order), _) => match hosts.index().sorted.get(order) {
                Some(sorted) => _ = sorted.filter_map(matching).take(self.limit).try_for_each(each),
                None => {
                    let all = entries.iter().filter_map(|entry| matching(*entry)).collect();
                    let (first, sorting) = sort(all, order, self.limit);
                    _ = first.into_iter().try_for_each(&mut each);
                    work += sorting;
                }
            },
        }
        work
    }

    /// Whether a host is one of those that are asked for; adds what it takes to find out.
    fn matches(&self, host: &Host, work: &mut usize) -> bool {
        let Some(data) = &host.data else { return false };
        self.filters.iter().enumerate().filter(|(_, filter)| !filter.is_empty()).all(
            |(n, filter)| {
                let text = data.get(n);
                if text.len() == filter.len() {
                    *work += text_work(text.len());
                }
                text == *filter
            },
        )
    }
}

/// The reply that was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Made {
    /// How many hosts are in it.
    pub hosts: usize,
    /// What it took, in the unit of [`limits::TURN_WORK`].
    pub work: usize,
}

/// The first of these hosts in that order, and the work to find them.
fn sort<'h>(
    mut all: Vec<(HostKey, &'h Host)>,
    order: Order<'_>,
    limit: usize,
) -> (Vec<(HostKey, &'h Host)>, usize) {
    let text = |host: &'h Host| host.data.as_ref().map_or("", |data| data.get(order.by));
    let mut work = 0;
    let mut compare = |(_, a): &(HostKey, &'h Host), (_, b): &(HostKey, &'h Host)| {
        let (text_a, text_b) = (text(a), text(b));
        work += text_work(text_a.len().min(text_b.len()));
        let by_text = utf16_order(text_a, text_b);
        let by_text = if order.descending { by_text.reverse() } else { by_text };
        // Those with equal strings are in the order of their creation, whichever that of the
        // strings is.
        by_text.then_with(|| by_creation(a, b))
    };
    if limit < all.len() {
        if limit > 0 {
            all.select_nth_unstable_by(limit - 1, &mut compare);
        }
        all.truncate(limit);
    }
    all.sort_unstable_by(compare);
    (all, work)
}

fn by_creation(a: &Host, b: &Host) -> Ordering {
    (a.created, a.number).cmp(&(b.created, b.number))
}

impl Gmnet {
    /// The lobby as everybody sees it who asks for this game, the newest hosts first.
    pub(super) fn write_lobby(&self, asked: &Asked<'_>, bytes: &mut Vec<u8>) {
        if self.config.disable_lobby && !self.config.testing {
            bytes.extend_from_slice(b"[]");
            return;
        }
        let mut filters = [""; 8];
        // The name of the game is the key here, unless it is admitted by itself.
        let is_named = !asked.game.is_empty() && self.config.admission.admits_game(asked.game);
        filters[0] = asked.key.filter(|_| !is_named).unwrap_or(asked.game);
        let query = Query { filters, sort: None, descending: true, limit: asked.most };
        let viewer = (asked.viewer, None);
        query.write_hosts(&self.hosts, &self.config, viewer, limits::LOBBY_PART, bytes);
    }

    /// Tells who asks of the hosts. If that takes more work than there is in this turn, the
    /// connection waits for the next one.
    pub(super) fn lobby(&mut self, cx: &mut Context<'_>, id: ConnId, command: &Command) -> Go {
        if self.config.disable_lobby && !self.config.testing {
            return Go::On;
        }
        let Some(viewer) = self.conns.get(id).map(|conn| conn.addr) else { return Go::Stop };
        let query = Query::new(command);
        self.lookups.looked(cx.now.instant, viewer, command.param(0));
        let at_relay = self.config.relay.like(viewer).zip(self.shown_at_relay(viewer));
        // What one viewer alone is shown is kept for nobody.
        let version = query.version(&self.hosts, &self.config).filter(|_| at_relay.is_none());
        let kept = version.and_then(|v| self.replies.find(command, Side::of(viewer), v));
        let made = if let Some((reply, hosts)) = kept {
            cx.out.tcp(id, |bytes| bytes.extend_from_slice(reply));
            Made { hosts, work: reply.len() }
        } else {
            if let Some(order) = query.order() {
                let (work, is_done) = self.hosts.prepare(order, limits::TURN_WORK);
                self.charge(cx.now, viewer, work);
                if !is_done {
                    self.wait_for_turn(id, command);
                    return Go::Stop;
                }
            }
            self.make_lobby(id, &query, version, at_relay, cx.out)
        };
        self.charge(cx.now, viewer, made.work);
        if let Some(conn) = self.conns.get_mut(id) {
            conn.times.quiet_until = cx.now.instant + self.config.notify_gap;
            let hosts = if made.hosts == 1 { "host" } else { "hosts" };
            debug!("{} was told of {} {hosts} in the lobby", conn.addr, made.hosts);
        }
        Go::On
    }

    /// Writes a reply anew, and keeps it for others if it may be told to them.
    fn make_lobby(
        &mut self,
        id: ConnId,
        query: &Query<'_>,
        version: Option<u64>,
        at_relay: Option<(IpAddr, HostKey)>,
        out: &mut Outbox,
    ) -> Made {
        let mut made = Made::default();
        let Some(viewer) = self.conns.get(id).map(|conn| conn.addr) else { return made };
        out.tcp(id, |bytes| {
            let before = bytes.len();
            made = query.reply(&self.hosts, &self.config, (viewer, at_relay), bytes);
            if let (Some(version), Some(reply)) = (version, bytes.get(before..)) {
                self.replies.keep(version, reply, made.hosts);
            }
        });
        made
    }

    /// Counts work, and has the address that asked for it pay: it has to wait the longer for its
    /// next command.
    fn charge(&mut self, now: Now, addr: IpAddr, work: usize) {
        self.work_queue.spend(work);
        let commands = u32::try_from(work / limits::CHEAP_REPLY).unwrap_or(u32::MAX);
        self.commands.charge(now.instant, addr, commands);
    }
}

#[cfg(test)]
mod tests {
    use super::super::sorted::SHORT;
    use super::*;
    use crate::clock::Instant;
    use crate::dialect::gmnet::data::Data;
    use crate::introductions::PublicIps;
    use proptest::prelude::*;

    /// Registers a host at an address of its own.
    fn add(hosts: &mut Hosts, n: usize, game: &str, text: &str) -> HostKey {
        let strings = [game, text, "", "", "", "", "", ""];
        let [.., high, low] = (n as u32).to_be_bytes();
        let conn = ConnId { slot: n as u32, generation: 0 };
        let addr = [100, 64, high, low].into();
        // As games have it, several are created in the same second.
        let now = Now { unix: n as u64 / 3, ..Now::default() };
        hosts.add(now, conn, addr, Some(Data::new(strings)), None)
    }

    /// The numbers of the hosts that a request gets, and what it took.
    fn answer(hosts: &Hosts, query: &Query<'_>) -> (Vec<u32>, usize) {
        let mut numbers = Vec::new();
        let work = query.select(hosts, [203, 0, 113, 1].into(), |(_, host)| {
            numbers.push(host.number);
            ControlFlow::Continue(())
        });
        (numbers, work)
    }

    /// What the old server did: it sorted all, and took the first.
    fn stable_sort(hosts: &Hosts, query: &Query<'_>) -> Vec<u32> {
        let Some(listed) = hosts.index().of(query.filters[0]) else { return Vec::new() };
        let mut all: Vec<&Host> =
            listed.entries.iter().filter_map(|entry| hosts.get(entry.key)).collect();
        let text = |host: &Host| host.data.as_ref().map_or("", |data| data.get(1)).to_owned();
        all.sort_by(|a, b| {
            let order = utf16_order(&text(a), &text(b));
            if query.descending { order.reverse() } else { order }
        });
        all.into_iter().take(query.limit).map(|host| host.number).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn sorted_lobbies_are_those_of_a_stable_sort(
            texts in prop::collection::vec("[ab\u{e000}\u{1f600}]{0,3}", SHORT - 5..SHORT + 60),
            changes in prop::collection::vec((any::<prop::sample::Index>(), 0..40usize), 0..20),
            game in prop::sample::select(vec!["", "g"]),
            descending in any::<bool>(),
            limit in 0..200usize,
        ) {
            let mut hosts = Hosts::new(PublicIps::default());
            let mut keys: Vec<HostKey> =
                texts.iter().enumerate().map(|(n, text)| add(&mut hosts, n, "g", text)).collect();
            add(&mut hosts, 1000, "another", "a");
            let mut filters = [""; 8];
            filters[0] = game;
            let query = Query { filters, sort: Some(1), descending, limit };
            prop_assert_eq!(answer(&hosts, &query).0, stable_sort(&hosts, &query));
            // Hosts come and go while the list is being made, and when it is.
            for (n, (which, steps)) in changes.into_iter().enumerate() {
                for _ in 0..steps {
                    hosts.prepare(query.order().unwrap(), 1);
                }
                let gone = which.index(keys.len());
                hosts.remove(Instant::default(), keys.swap_remove(gone));
                keys.push(add(&mut hosts, 2000 + n, "g", &texts[gone % texts.len()]));
                prop_assert_eq!(answer(&hosts, &query).0, stable_sort(&hosts, &query));
            }
            prop_assert!(hosts.prepare(query.order().unwrap(), usize::MAX).1);
            prop_assert_eq!(answer(&hosts, &query).0, stable_sort(&hosts, &query));
        }
    }

    #[test]
    fn a_sorted_lobby_of_a_few_does_not_look_at_all() {
        const HOSTS: usize = 3000;
        let mut hosts = Hosts::new(PublicIps::default());
        (0..HOSTS).for_each(|n| _ = add(&mut hosts, n, "g", &(n * 7919 % 1000).to_string()));
        let query = Query { filters: [""; 8], sort: Some(1), descending: true, limit: 20 };
        let (_, without) = answer(&hosts, &query);
        assert!(without >= HOSTS * limits::HOST_WORK, "{without}");
        assert!(hosts.prepare(query.order().unwrap(), usize::MAX).1);
        let (found, with) = answer(&hosts, &query);
        assert_eq!((found.len(), with), (20, 20 * limits::HOST_WORK));
    }

    #[test]
    fn work_counts_hosts_that_do_not_match_and_the_bytes_that_are_compared() {
        let mut hosts = Hosts::new(PublicIps::default());
        let long = "x".repeat(4096);
        (0..50).for_each(|n| _ = add(&mut hosts, n, "g", &long));
        let mut filters = [""; 8];
        filters[0] = "g";
        filters[1] = "not there";
        let query = Query { filters, sort: None, descending: false, limit: 20 };
        let (found, short) = answer(&hosts, &query);
        assert!(found.is_empty() && short >= 50 * limits::HOST_WORK);
        let other = "x".repeat(4095) + "y";
        let query = Query { filters: [query.filters[0], &other, "", "", "", "", "", ""], ..query };
        assert!(answer(&hosts, &query).1 >= short + 50 * other.len() / 8);
    }

    #[test]
    fn sorted_lists_are_few_and_go_when_they_are_not_used() {
        let mut hosts = Hosts::new(PublicIps::default());
        let texts = |n: usize| (n % 10).to_string();
        (0..2 * SHORT).for_each(|n| _ = add(&mut hosts, n, "g", &texts(n)));
        let ask = |hosts: &mut Hosts, by, descending| {
            hosts.prepare(Order { game: "g", by, descending }, usize::MAX);
            hosts.index.sorted.len()
        };
        for by in 0..8 {
            for descending in [false, true] {
                assert!(ask(&mut hosts, by, descending) <= limits::SORTED_LISTS);
            }
        }
        for _ in 0..limits::SORTED_UNUSED {
            ask(&mut hosts, 0, false);
        }
        assert_eq!(ask(&mut hosts, 7, true), limits::SORTED_LISTS, "another has made room");
        let order = Order { game: "g", by: 7, descending: true };
        assert!(hosts.index.sorted.get(order).is_some());
        for n in 0..4 * SHORT {
            let key = add(&mut hosts, 5000 + n, "g", "x");
            hosts.remove(Instant::default(), key);
        }
        assert_eq!(hosts.index.sorted.len(), 0, "nobody asks any more");
    }

    #[test]
    fn a_lobby_that_would_be_too_long_leaves_out_the_last_hosts() {
        let mut hosts = Hosts::new(PublicIps::default());
        let long = "<".repeat(4096);
        (0..1000).for_each(|n| _ = add(&mut hosts, n, "g", &long));
        let query = Query { filters: [""; 8], sort: None, descending: false, limit: usize::MAX };
        let (config, mut reply) = (Config::default(), Vec::new());
        let made = query.reply(&hosts, &config, ([203, 0, 113, 1].into(), None), &mut reply);
        let most = config.limits.lobby();
        assert!(reply.len() <= most + 4 && reply.len() > most - 30_000, "{}", reply.len());
        assert!(made.hosts < 1000 && reply.ends_with(b"}]\n"));
        assert_eq!(String::from_utf8_lossy(&reply).matches("\"ip\"").count(), made.hosts);
    }
}
