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
                config.lobby_ports && relayed.is_none() && hosts.shares_address(key, host, addr)
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
mod tests;
