//! Who is registered, as far as datagrams and connections tell: GMnet has nothing but their
//! order to join those of one address, so which port is whose is not always certain.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use punchd::clock::Instant;
use punchd::dialect::ConnId;
use punchd::introductions::is_inside;
use punchd::limits;

use super::super::network::Said;
use super::{Book, Connection};

/// A registration that has been delivered.
#[derive(Clone, Debug)]
pub(super) struct Registered {
    /// When the connection registered first.
    pub(super) since: Instant,
    /// When it registered last.
    pub(super) at: Instant,
    /// None: by the older protocol.
    pub(super) data: Option<[String; 8]>,
    /// Ports that the server may take for its port.
    pub(super) ports: BTreeSet<u16>,
    /// The port that its game showed, in such an order that the server cannot take another for
    /// it: GMnet has nothing but the order that joins datagrams and connections of one address.
    pub(super) own: Option<u16>,
    /// Whether a datagram that comes now is still taken for its own.
    pub(super) lacks_own: bool,
    /// Where a datagram came from, at the time, that the server may take for its own although its
    /// TCP came from another address.
    pub(super) elsewhere: BTreeSet<SocketAddr>,
    /// When such a datagram came. The server takes it back if somebody registers right after.
    pub(super) tentative: Option<Instant>,
}

/// A port that a datagram showed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown {
    pub(super) at: Instant,
    pub(super) from: SocketAddr,
    pub(super) sender: usize,
}

impl Book {
    /// These bytes have arrived in a datagram.
    pub fn came(&mut self, from: SocketAddr, data: &[u8]) {
        self.bytes.received(from, data);
    }

    /// A datagram has arrived.
    pub fn shown(&mut self, now: Instant, from: SocketAddr, said: Said, sender: usize) {
        if from.port() == 0 {
            return;
        }
        match said {
            Said::Connect => self.connects.push_back(Shown { at: now, from, sender }),
            Said::Reg => {
                self.regs.push_back(Shown { at: now, from, sender });
                self.shown_reg(now, from, sender);
            }
            Said::Knock => self.knocked(from, sender),
            Said::Nothing => {}
            Said::Foreign => _ = self.foreign.insert(from),
        }
    }

    /// A host was asked for its port: it is this one now, and it may be taken for that of a neighbour
    /// that is asked as well and does not answer.
    fn knocked(&mut self, from: SocketAddr, sender: usize) {
        for connection in
            self.connections.values_mut().filter(|connection| connection.addr == from.ip())
        {
            let Some(host) = &mut connection.host else { continue };
            host.ports.insert(from.port());
            if host.own != Some(from.port()) && connection.owner == Some(sender) {
                host.own = None;
            }
        }
    }

    /// The port may be that of hosts which registered a moment ago.
    fn shown_reg(&mut self, now: Instant, from: SocketAddr, sender: usize) {
        for host in self.connections.values_mut().filter_map(|connection| connection.host.as_mut())
        {
            if now - host.at <= limits::BELONGS {
                host.elsewhere.insert(from);
            }
        }
        let hosts = || self.hosts_at(from.ip()).map(|(_, _, host)| host);
        let lacking = hosts().filter(|host| host.lacks_own).count();
        // The server may take it for a packet of a neighbour that has, or may have, this port.
        let is_known = hosts().any(|host| !host.lacks_own && host.ports.contains(&from.port()));
        for connection in
            self.connections.values_mut().filter(|connection| connection.addr == from.ip())
        {
            let Some(host) = &mut connection.host else { continue };
            if now - host.at > limits::REG_WINDOW {
                continue;
            }
            host.ports.insert(from.port());
            if std::mem::take(&mut host.lacks_own)
                && lacking == 1
                && !is_known
                && connection.owner == Some(sender)
            {
                host.own = Some(from.port());
                host.tentative = Some(now);
            }
        }
    }

    pub(super) fn register(&mut self, now: Instant, id: ConnId, data: Option<[String; 8]>) {
        let Some(addr) = self.connections.get(&id).map(|connection| connection.addr) else {
            return;
        };
        self.inherit(now, id, addr);
        let is_recent = |at: Instant| now - at <= limits::REG_WINDOW;
        let shown: Vec<&Shown> =
            self.regs.iter().filter(|s| s.from.ip() == addr && is_recent(s.at)).collect();
        let is_near = |s: &&Shown| now - s.at <= limits::BELONGS;
        let elsewhere: Vec<SocketAddr> =
            self.regs.iter().rev().take_while(is_near).map(|s| s.from).collect();
        let mut ports: BTreeSet<u16> = shown.iter().map(|s| s.from.port()).collect();
        for (_, _, left, _) in self.left.iter().filter(|(at, a, ..)| *a == addr && is_recent(*at)) {
            ports.extend(left);
        }
        let neighbours: Vec<&Registered> = self.hosts_at(addr).map(|(_, _, host)| host).collect();
        let own = self.own_port(id, &shown);
        let is_taken = |port: &u16| neighbours.iter().any(|host| host.own == Some(*port));
        let lacks_own = own.is_none() && ports.iter().all(is_taken);
        ports.extend(neighbours.iter().flat_map(|host| &host.ports));
        if own.is_none() {
            let neighbours =
                self.connections.values_mut().filter(|connection| connection.addr == addr);
            let hosts = neighbours.filter_map(|connection| connection.host.as_mut());
            for host in hosts.filter(|host| host.tentative.is_some_and(is_recent)) {
                // It may have been taken back, and then the next packet is taken for its own.
                (host.own, host.lacks_own) = (None, true);
            }
        }
        if let Some(connection) = self.connections.get_mut(&id) {
            self.registered.extend(connection.owner.map(|owner| (owner, now)));
            let before = connection.host.take();
            let since = before.as_ref().map_or(now, |host| host.since);
            let own = own.or(before.as_ref().and_then(|host| host.own));
            let before = before.into_iter().flat_map(|host| host.elsewhere);
            let elsewhere = before.chain(elsewhere).collect();
            let (at, tentative) = (now, None);
            let host = Registered { since, at, data, ports, own, lacks_own, elsewhere, tentative };
            connection.host = Some(host);
        }
    }

    pub(super) fn end_host(&mut self, now: Instant, id: ConnId) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let addr = connection.addr;
        if let Some(host) = connection.host.take() {
            self.left.push_back((now, addr, host.ports, id));
            self.bequeath(now, addr, id);
        }
    }

    /// The port that a host which registers now has shown, if there can be no doubt.
    fn own_port(&self, id: ConnId, shown: &[&Shown]) -> Option<u16> {
        let connection = self.connections.get(&id)?;
        let (addr, owner, opened) = (connection.addr, connection.owner, connection.began);
        let neighbours: Vec<&Registered> = self.hosts_at(addr).map(|(_, _, host)| host).collect();
        // What a neighbour is known to have cannot be taken for a packet of this host.
        let is_taken = |port: &u16| neighbours.iter().any(|host| host.own == Some(*port));
        let others = shown.iter().filter(|s| Some(s.sender) != owner && !is_taken(&s.from.port()));
        let others = others.map(|s| s.at).max();
        // A packet is a host's for certain if no other can be meant, or if it came after all
        // others and before the connection.
        let shown_own = shown.iter().rfind(|s| Some(s.sender) == owner);
        let is_clear = |s: &&&Shown| others.is_none_or(|other| s.at > other && s.at <= opened);
        // A registration from before may have used the packet up.
        let before = owner.and_then(|owner| self.registered.get(&owner));
        let is_used = |s: &&&Shown| before.is_some_and(|before| s.at <= *before);
        // Of two that came at about that time the server lets the game go first that it knows, as that
        // may come back.
        let is_near = |s: &&Shown| shown_own.is_some_and(|own| s.at + limits::DRIFT >= own.at);
        let neighbour = |s: &&Shown| Some(s.sender) != owner && is_taken(&s.from.port());
        let may_be_back = shown.iter().copied().filter(neighbour).any(|s| is_near(&s));
        let newest = shown_own.filter(is_clear).filter(|s| !is_used(s) && !may_be_back);
        let newest = newest.map(|s| s.from.port());
        // If the server may have taken this port for a neighbour's, it may do so again.
        let may_have =
            |host: &Registered, port: &u16| host.own.is_none() && host.ports.contains(port);
        newest.filter(|port| !neighbours.iter().any(|host| may_have(host, port)))
    }

    /// The hosts at an address, as far as the server can know; those inside are also at the
    /// public one.
    pub(super) fn hosts_at(
        &self,
        addr: IpAddr,
    ) -> impl Iterator<Item = (&ConnId, &Connection, &Registered)> {
        let public = self.public == Some(addr);
        let is_here = move |connection: &Connection| {
            connection.addr == addr || (public && is_inside(connection.addr))
        };
        let here = self.connections.iter().filter(move |(_, connection)| is_here(connection));
        here.filter_map(|(id, connection)| Some((id, connection, connection.host.as_ref()?)))
    }

    /// Whether every host at an address has shown a port of its own, so that none can be taken
    /// for another.
    pub(super) fn are_told_apart(&self, addr: IpAddr) -> bool {
        let mut seen = BTreeSet::new();
        self.hosts_at(addr).all(|(_, _, host)| host.own.is_some_and(|port| seen.insert(port)))
    }
}
