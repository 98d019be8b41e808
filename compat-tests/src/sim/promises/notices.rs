//! What a host is told of its clients: each of them once, with a port that is the client's, and
//! never two in one segment.

use std::net::{IpAddr, SocketAddr};

use punchd::clock::Instant;
use punchd::dialect::ConnId;
use punchd::limits;
use punchd::nats::PREDICTED;

use super::super::network::MASTER;
use super::registered::Shown;
use super::{Book, Kept, Promise, SLACK, broken};

/// How far from a port that was shown a predicted one may be.
const NEAR: u16 = 64;

/// A client was answered, so a host may be told of it.
#[derive(Clone, Debug)]
pub(super) struct Owed {
    client: IpAddr,
    conn: ConnId,
    /// When its SYN came.
    began: Instant,
    /// The hosts at the address that the client asked for.
    hosts: Vec<ConnId>,
    /// The client's port was known beyond doubt.
    is_certain: bool,
    /// When it was answered.
    since: Instant,
    /// By then it has been told.
    until: Instant,
}

impl Book {
    /// A client has been answered about the hosts of an address.
    pub(super) fn note_owed(&mut self, now: Instant, id: ConnId, target: IpAddr, found: bool) {
        let Some((client, began)) =
            self.connections.get(&id).map(|connection| (connection.addr, connection.began))
        else {
            return;
        };
        let hosts: Vec<ConnId> = self.hosts_at(target).map(|(id, ..)| *id).collect();
        if hosts.is_empty() {
            return;
        }
        let is_certain = found && self.is_port_of_client_known(now, id, client);
        let before = self.owed.iter().filter(|o| o.hosts.iter().any(|h| hosts.contains(h)));
        // Of each, a host may be told with predicted ports as well.
        let gaps = (before.count() as u32 + 1) * (1 + PREDICTED as u32);
        let gaps = gaps + u32::from(self.asks);
        let until = now + self.gap * gaps + SLACK * gaps;
        for host in &hosts {
            let more = PREDICTED + limits::LIKELY_PORTS - 1;
            let addr = self
                .connections
                .get(host)
                .map_or(client, |connection| self.named(client, connection.addr));
            *self.predicted.entry((*host, addr)).or_default() += more;
        }
        self.owed.push(Owed { client, conn: id, began, hosts, is_certain, since: now, until });
    }

    /// A host has registered: it may be told of whom one was to be told that has just left there.
    pub(super) fn inherit(&mut self, now: Instant, id: ConnId, addr: IpAddr) {
        let is_back = |at: Instant| now - at <= limits::HOST_RETURN + SLACK;
        let before = self.left.iter().filter(|(at, a, ..)| *a == addr && is_back(*at));
        let before: Vec<_> = before.map(|(left, .., before)| (*left, *before)).collect();
        self.again.retain(|(host, _)| self.connections.contains_key(host));
        before.into_iter().for_each(|(left, before)| self.inherit_from(id, left, before));
    }

    /// The connection of a host has ended: one that has registered at its address since may be the same.
    pub(super) fn bequeath(&mut self, now: Instant, addr: IpAddr, before: ConnId) {
        let others: Vec<ConnId> = self.hosts_at(addr).map(|(id, ..)| *id).collect();
        others.into_iter().for_each(|id| self.inherit_from(id, now, before));
    }

    fn inherit_from(&mut self, id: ConnId, left: Instant, before: ConnId) {
        // Notices that have waited since then came from the server a moment later.
        let is_unread = |(at, host, _): &&(Instant, ConnId, SocketAddr)| {
            *host == before && left - *at <= limits::UNREAD + SLACK
        };
        let unread = self.told.iter().filter(is_unread).map(|(.., client)| (id, *client));
        self.again.extend(unread);
        for owed in self.owed.iter_mut().filter(|owed| owed.hosts.contains(&before)) {
            owed.hosts.push(id);
            owed.until = owed.until + limits::HOST_RETURN + self.gap;
        }
        let predicted = self.predicted.iter().filter(|((host, _), _)| *host == before);
        let more: Vec<_> = predicted.map(|((_, client), more)| (*client, *more)).collect();
        for (client, more) in more {
            *self.predicted.entry((id, client)).or_default() += more;
        }
    }

    /// Whether nobody else can have used up the client's packet.
    fn is_port_of_client_known(&self, now: Instant, id: ConnId, client: IpAddr) -> bool {
        let fresh = |at: Instant| now - at + SLACK < limits::CONNECT_PORT;
        let is_shown = self.connects.iter().any(|s| s.from.ip() == client && fresh(s.at));
        let is_alone = !self.answered.iter().any(|(_, addr, conn)| *addr == client && *conn != id);
        is_shown && is_alone
    }

    pub(super) fn check_notification(
        &mut self,
        now: Instant,
        id: ConnId,
        addr: &str,
        port: &str,
    ) -> Kept {
        self.notifications += 1;
        let Some(connection) = self.connections.get_mut(&id) else { return Ok(()) };
        let host = connection.addr;
        if let Some(before) = connection.notified.replace(now)
            && now - before < self.gap
            && !self.is_stopping
        {
            let what = format!("{id:?} was told of two clients within {:?}", now - before);
            return broken(Promise::NotifyGap, what);
        }
        let (Ok(client), Ok(port)) = (addr.parse::<IpAddr>(), port.parse::<u16>()) else {
            return broken(Promise::OnePiece, format!("{id:?} was told of {addr:?}"));
        };
        let endpoint = SocketAddr::new(client, port);
        if endpoint == MASTER {
            // It is asked for its port, if the server is one that asks.
            return match self.asks {
                true => Ok(()),
                false => broken(Promise::ToldOnce, format!("{id:?} was told of the server")),
            };
        }
        let is_lately = |at: Instant| now - at <= limits::UNREAD + limits::HOST_RETURN + SLACK;
        self.told.retain(|(at, ..)| is_lately(*at));
        self.told.push((now, id, endpoint));
        let is_shown = self.is_port_shown(now, host, endpoint, 0);
        if !is_shown && !self.is_port_shown(now, host, endpoint, NEAR) {
            let what = format!("{id:?} was told of {endpoint}, which has sent nothing from there");
            return broken(Promise::ShownPorts, what);
        }
        let matches = |o: &Owed| self.named(o.client, host) == client && o.hosts.contains(&id);
        let candidates: Vec<(ConnId, Instant)> =
            self.owed.iter().filter(|o| matches(o)).map(|o| (o.conn, o.since)).collect();
        // Those that may have been answered without the host being told come last.
        let certain = self.owed.iter().position(|o| matches(o) && o.is_certain);
        // Behind a NAT that counts, a predicted port may be another connection's in the end.
        let is_counting = self.counting.contains(&client);
        let own = certain.or_else(|| self.owed.iter().position(matches));
        let Some(n) = own.filter(|_| is_shown || is_counting) else {
            let is_doubtful = self.is_shared(client, host);
            let predicted = self.predicted.get_mut(&(id, client)).filter(|left| **left > 0);
            if let Some(left) = predicted.filter(|_| is_counting || !is_shown || is_doubtful) {
                *left -= 1;
                self.note_one_more_port(now, endpoint);
                return Ok(());
            }
            if let Some(again) = self.again.iter().position(|again| *again == (id, endpoint)) {
                self.again.swap_remove(again);
                return Ok(());
            }
            let what = format!("{id:?} was told of {endpoint} once more than it was asked for");
            return broken(Promise::ToldOnce, what);
        };
        let owed = self.owed.remove(n);
        // Who asks again before the host is told is told of once for all.
        let is_again = |o: &&mut Owed| o.conn == owed.conn;
        self.owed.iter_mut().filter(is_again).for_each(|again| again.is_certain = false);
        if is_counting {
            return Ok(());
        }
        if candidates.len() == 1 && owed.hosts.len() == 1 {
            return self.check_port_is_its_own(&owed, SocketAddr::new(owed.client, port));
        }
        // It may have been for any of them.
        let endpoint = SocketAddr::new(owed.client, port);
        self.used.entry(endpoint).or_default().extend(candidates);
        Ok(())
    }

    /// A host was told of a port beside those it was told of before: it may be that of any client of
    /// this address that asked a moment ago.
    fn note_one_more_port(&mut self, now: Instant, endpoint: SocketAddr) {
        let is_recent = |(_, at): &&(ConnId, Instant)| now - *at <= limits::BELONGS;
        let here = self.used.iter().filter(|(at, _)| at.ip() == endpoint.ip());
        let clients = here.flat_map(|(_, uses)| uses.iter().filter(is_recent).copied());
        let clients: Vec<_> = clients.collect();
        self.used.entry(endpoint).or_default().extend(clients);
    }

    /// Whether clients have shown several ports of that address, so that it may be in doubt whose is
    /// whose.
    fn is_shared(&self, client: IpAddr, host: IpAddr) -> bool {
        let here = |s: &&Shown| self.named(s.from.ip(), host) == client;
        let mut ports = self.connects.iter().filter(here).map(|s| s.from.port());
        let first = ports.next();
        ports.any(|port| Some(port) != first)
    }

    /// Whether packets came from there, or from a port that is so near.
    fn is_port_shown(&self, now: Instant, host: IpAddr, client: SocketAddr, near: u16) -> bool {
        // Waiting, and then the notify gap, come on top of how long a port is remembered.
        let fresh = |at: Instant| now - at <= super::MEMORY;
        let is_it = |s: &Shown| {
            let is_client = self.named(s.from.ip(), host) == client.ip();
            is_client && s.from.port().abs_diff(client.port()) <= near
        };
        self.used.contains_key(&client) || self.connects.iter().any(|s| is_it(s) && fresh(s.at))
    }

    fn check_port_is_its_own(&mut self, owed: &Owed, client: SocketAddr) -> Kept {
        let uses = self.used.entry(client).or_default();
        // Who asks again may be told with the port it has used before.
        let is_again = uses.iter().any(|(conn, _)| *conn == owed.conn);
        let last = uses.last().copied();
        uses.push((owed.conn, owed.since));
        // A host that was just told of somebody is told of this one later than another host of who
        // asked after this one.
        let is_before = |(_, at): &(ConnId, Instant)| *at < owed.since;
        let Some((other, at)) = last.filter(|_| !is_again).filter(is_before) else {
            return Ok(());
        };
        // Who was told with several ports has had one of them, and which is not known.
        let is_another = |at: &SocketAddr| at.ip() == client.ip() && *at != client;
        let mut others = self.used.iter().filter(|(at, _)| is_another(at));
        if others.any(|(_, uses)| uses.iter().any(|(conn, _)| *conn == other)) {
            return Ok(());
        }
        // Nobody knows whose packet it was if it came when this one connected.
        let began = owed.began;
        let is_near = |at: Instant| (at - began).max(began - at) <= limits::OVERTAKEN;
        if self.connects.iter().any(|s| s.from == client && (s.at >= at || is_near(s.at))) {
            return Ok(());
        }
        let what =
            format!("{:?} was introduced with {client}, which {other:?} had used", owed.conn);
        broken(Promise::OwnPort, what)
    }

    pub(super) fn check_owed(&mut self, now: Instant) -> Kept {
        let mut n = 0;
        while let Some(owed) = self.owed.get(n) {
            if now <= owed.until {
                n += 1;
                continue;
            }
            let is_live =
                |id: &ConnId| self.connections.get(id).is_some_and(super::Connection::is_live_host);
            if owed.is_certain && owed.hosts.iter().all(is_live) {
                let what = format!("{:?} was never told of {}", owed.hosts, owed.client);
                return broken(Promise::Told, what);
            }
            // A host that has left may come back, and is told then.
            if now <= owed.until + limits::HOST_RETURN && !owed.hosts.iter().all(is_live) {
                n += 1;
                continue;
            }
            self.owed.remove(n);
        }
        Ok(())
    }
}
