//! Who is told what by the server, and in time; what sessions it gives out.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use punchd::clock::Instant;
use punchd::dialect::{ConnId, Output};
use punchd::introductions::relay::{Order, Report, SessionId, sessions};
use punchd::limits;

use super::super::super::wire;
use super::hopeless::Hopeless;
use super::journal::Ended;
use super::taken::Taken;
use super::{Kept, Promise, broken};

/// A host that is told of others is told a notify gap after the one before; so many wait at the most.
const HOST_TOLD: Duration = Duration::from_secs(3);

/// A connection, as the server sees it.
#[derive(Debug)]
pub(super) struct Conn {
    pub(super) addr: IpAddr,
    /// The host that it asked for, and those that it asked for after that; it is answered one by one.
    pub(super) asked: Option<IpAddr>,
    pub(super) asks: VecDeque<IpAddr>,
    pub(super) written: Instant,
    pub(super) direct: Option<Direct>,
}

/// What a client was told that is not told of the relay yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Direct {
    pub(super) at: Instant,
    pub(super) host: IpAddr,
    /// No bound was in the way then.
    pub(super) has_room: bool,
}

/// A session of which the host has not been told yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owed {
    pub(super) host: ConnId,
    pub(super) addr: IpAddr,
    pub(super) at: SocketAddr,
    since: Instant,
    /// It was told of this endpoint for another session.
    pub(super) is_known: bool,
}

/// A client and a host that were told of the relay in this turn.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Pair {
    pub(in super::super) id: SessionId,
    pub(in super::super) conns: [ConnId; 2],
    pub(in super::super) at: [SocketAddr; 2],
}

#[derive(Debug)]
pub(in super::super) struct Given {
    pub(super) config: sessions::Config,
    pub(super) taken: Taken,
    pub(in super::super) ended: Ended,
    pub(super) conns: BTreeMap<ConnId, Conn>,
    /// The registrations at an address; the last one counts.
    hosts: BTreeMap<IpAddr, Vec<ConnId>>,
    pub(super) owed: BTreeMap<SessionId, Owed>,
    /// What hosts at an address were told of the relay, and when, on which connection: one that comes back
    /// may not have read it, and is told again.
    pub(super) unread: Vec<(IpAddr, SocketAddr, Instant, ConnId)>,
    pub(in super::super) hopeless: Hopeless,
    pub(in super::super) counts: [u64; 5],
}

/// What is counted: told directly, told of the relay, that at once, host in time, refused.
pub(super) const DIRECT: usize = 0;
pub(super) const RELAYED: usize = 1;
pub(super) const AT_ONCE: usize = 2;
pub(super) const HOST_FIRST: usize = 3;
const REFUSED: usize = 4;

impl Given {
    pub(in super::super) fn new(config: sessions::Config) -> Self {
        Self {
            taken: Taken::new(config.clone()),
            config,
            ended: Ended::default(),
            conns: BTreeMap::new(),
            hosts: BTreeMap::new(),
            owed: BTreeMap::new(),
            unread: Vec::new(),
            hopeless: Hopeless::default(),
            counts: [0; 5],
        }
    }

    /// How many sessions the server must think that there are.
    pub(in super::super) fn len(&self) -> usize {
        self.taken.len()
    }

    /// Whether somebody may still play by a port of a session, whose own was closed.
    pub(in super::super) fn has_left_overs(&self, id: SessionId) -> bool {
        self.taken.has_left_overs(id)
    }

    pub(in super::super) fn open(&mut self, id: ConnId, addr: IpAddr) {
        let (asked, direct, asks, written) = (None, None, VecDeque::new(), Instant::default());
        self.conns.insert(id, Conn { addr, asked, asks, written, direct });
    }

    /// Bytes arrive at the server.
    pub(in super::super) fn arrives(&mut self, now: Instant, id: ConnId, bytes: &[u8]) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let addr = conn.addr;
        if bytes.starts_with(b"reg2") {
            // What it is owed from before comes first.
            conn.written = now;
            self.hosts.entry(addr).or_default().push(id);
            self.host_changes(addr);
            self.hopeless.registers(addr);
        } else if let Some(rest) = bytes.strip_prefix(b"connect\n") {
            let text = std::str::from_utf8(rest).ok().and_then(|text| text.strip_suffix("\n\0"));
            conn.asks.extend(text.and_then(|text| text.parse::<IpAddr>().ok()));
        }
    }

    fn host_changes(&mut self, addr: IpAddr) {
        self.ended.host_changes(addr);
        for conn in self.conns.values_mut() {
            conn.direct = conn.direct.filter(|direct| direct.host != addr);
        }
    }

    /// A connection ends at the server; by whose will.
    pub(in super::super) fn ends(&mut self, now: Instant, id: ConnId, by_player: bool) {
        let Some(conn) = self.conns.remove(&id) else { return };
        if !by_player {
            self.ended.drop(id);
        } else if self.ended.ends(now, id) {
            self.hopeless.gets_through(conn.addr);
        }
        let registrations = self.hosts.entry(conn.addr).or_default();
        if registrations.contains(&id) {
            registrations.retain(|host| *host != id);
            self.host_changes(conn.addr);
        }
    }

    /// The server hears what became of a session.
    pub(in super::super) fn reports(
        &mut self,
        (now, month): (Instant, u64),
        report: Report,
    ) -> Kept {
        match report {
            Report::Passed(bytes) => self.taken.passed(month, bytes),
            Report::Ended(id, _) => self.taken.end(now, id),
            Report::Connected(_) => {}
        }
        self.ended.reports(report)
    }

    /// What the server has done in one turn: sessions that it gave out, what it has said.
    pub(in super::super) fn turn<'a>(
        &mut self,
        (now, month): (Instant, u64),
        orders: &[Order],
        outputs: impl Iterator<Item = Output<'a>>,
    ) -> Kept<Vec<Pair>> {
        let mut leaving = Vec::new();
        let mut new = Vec::new();
        for order in orders {
            let session = match order {
                Order::Close(id, _) => {
                    leaving.push(*id);
                    continue;
                }
                Order::Open(session) => session,
            };
            new.push(*session);
            let [client, host] = session.sides;
            let Some(registered) = self.host_at(host.addr) else {
                return told(format!("{} has a session, but is no host", host.addr));
            };
            let leaving = std::mem::take(&mut leaving);
            self.taken.open((now, month), *session, (registered, &leaving))?;
            let at = self.config.told.like(host.addr).map(|ip| SocketAddr::new(ip, host.port));
            let Some(at) = at else { return told(format!("no relay for {client:?}, {host:?}")) };
            self.owed.insert(
                session.id,
                Owed { host: registered, addr: host.addr, at, since: now, is_known: false },
            );
        }
        let mut pairs = Vec::new();
        let mut written = Vec::new();
        for output in outputs {
            match output {
                Output::Tcp(id, bytes) => {
                    let said = wire::parse(bytes);
                    if self.is_host(id) {
                        self.tells_host(now, id, said)?;
                    } else {
                        let untold =
                            new.iter().filter(|s| !pairs.iter().any(|p: &Pair| p.id == s.id));
                        let pair = self.tells_client((now, month), id, said, untold)?;
                        if let Some(pair) = pair {
                            self.check_order(now, &pair, &written)?;
                            pairs.push(pair);
                        }
                    }
                    written.push(id);
                }
                Output::Close(id) => self.ends(now, id, false),
                Output::Udp(..) => {}
            }
        }
        for id in written {
            if let Some(conn) = self.conns.get_mut(&id) {
                conn.written = now;
            }
        }
        if pairs.len() != new.len() {
            return told(format!("{} sessions, {} were told", new.len(), pairs.len()));
        }
        Ok(pairs)
    }

    /// The registration at an address.
    pub(super) fn host_at(&self, addr: IpAddr) -> Option<ConnId> {
        self.hosts.get(&addr)?.last().copied()
    }

    /// Whether a host has registered on a connection.
    fn is_host(&self, id: ConnId) -> bool {
        let at_its = self.addr_of(id).and_then(|addr| self.hosts.get(&addr));
        at_its.is_some_and(|hosts| hosts.contains(&id))
    }

    pub(super) fn addr_of(&self, id: ConnId) -> Option<IpAddr> {
        self.conns.get(&id).map(|conn| conn.addr)
    }

    /// Time has passed, and the server has done what it had to do before `now`.
    pub(in super::super) fn passes(&mut self, (now, month): (Instant, u64)) -> Kept {
        for (id, conn) in &mut self.conns {
            let is_due = |direct: &Direct| now > direct.at + limits::relay::SECOND_NOTICE;
            let Some(direct) = conn.direct.filter(is_due) else { continue };
            if direct.has_room && self.taken.has_room(month, [conn.addr, direct.host]) {
                return told(format!("{} ({id:?}) was not told of the relay", conn.addr));
            }
            conn.direct = None;
            self.counts[REFUSED] += 1;
        }
        let is_late = |owed: &Owed| {
            let is_over = now > owed.since + HOST_TOLD && !owed.is_known;
            is_over && self.conns.contains_key(&owed.host)
        };
        if let Some((id, owed)) = self.owed.iter().find(|(_, owed)| is_late(owed)) {
            return told(format!("{id:?}: the host was not told of {}", owed.at));
        }
        Ok(())
    }
}

pub(super) fn told<T>(what: String) -> Kept<T> {
    broken(Promise::Told, what)
}
