//! Hosts that are asked for their UDP port: they are told of a client that is this server, so they
//! knock here, which shows the port that they have now. Which of the ports that knock is a host's:
//! anybody can forge knocks in its name, but only who was told of the host does so from the port that it
//! had, so that one's count for more.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::clock::{Instant, earliest};
use crate::dialect::by_family::ByFamily;
use crate::dialect::{ConnId, Via};
use crate::introductions::is_inside;
use crate::limits;
use crate::prefixes::{Shares, weight};
use crate::timers::Timers;

/// The hosts that are asked, that knock, and that were asked a while ago.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct PortProbes {
    /// Where this server's UDP sockets are, by number.
    #[serde(skip)]
    sockets: Vec<SocketAddr>,
    /// By which way a GMnet datagram of somebody outside came last.
    last: ByFamily<Option<Via>>,
    /// The same of somebody on this machine or in its network, who may know this server by an address that means
    /// nothing to those outside.
    #[serde(skip)]
    last_inside: ByFamily<Option<Via>>,
    /// The owner has been told why hosts cannot be asked.
    #[serde(skip)]
    pub(super) cannot_ask: bool,
    /// The addresses that knocks come from.
    from: Timers<IpAddr, From>,
    /// Hosts that are asked in a moment if they still have to be, with the port that they had without
    /// doubt.
    pub(super) soon: Timers<ConnId, Option<u16>>,
    /// Hosts whose clients wait for their knock.
    pub(super) awaited: Timers<ConnId>,
    /// Hosts that knock here.
    knocking: Timers<ConnId, Asked>,
    /// How many of those each source has had asked.
    #[serde(skip)]
    shares: Shares,
    /// Hosts that were asked lately, and until when they kept the mapping of their port alive, if
    /// they knocked.
    known: Timers<ConnId, Option<Instant>>,
}

/// An address at which a host was asked.
#[derive(Debug, Default, Serialize, Deserialize)]
struct From {
    /// Whose knocks are looked at: one at a time, as nobody else is told apart.
    asked: Option<ConnId>,
    /// The ports that have knocked, and when they did last.
    ports: SmallVec<[(u16, Instant); 2]>,
}

impl From {
    fn note(&mut self, now: Instant, port: u16) {
        if let Some((_, last)) = self.ports.iter_mut().find(|(known, _)| *known == port) {
            *last = now;
            return;
        }
        if self.ports.len() >= limits::KNOCKING_PORTS {
            let oldest = self.ports.iter().enumerate().min_by_key(|(_, (_, last))| *last);
            if let Some(n) = oldest.map(|(n, _)| n) {
                self.ports.swap_remove(n);
            }
        }
        self.ports.push((port, now));
    }
}

/// A host that was asked.
#[derive(Debug, Serialize, Deserialize)]
struct Asked {
    addr: IpAddr,
    /// In whose share.
    by: IpAddr,
    /// When.
    at: Instant,
    /// The port that it had without doubt.
    sure: Option<u16>,
    /// The ports that have knocked since, and how often, but for those that had begun before.
    ports: SmallVec<[(u16, u32); 2]>,
    /// Those: they are its neighbours', or forged.
    others: SmallVec<[u16; 2]>,
    /// By which way a knock came last.
    via: Via,
    /// The one that was found to be its own, and when it knocked last.
    own: Option<(u16, Instant)>,
}

impl Asked {
    fn note(&mut self, port: u16) {
        if let Some((_, count)) = self.ports.iter_mut().find(|(known, _)| *known == port) {
            *count = count.saturating_add(1);
        } else if self.ports.len() < limits::KNOCKING_PORTS {
            self.ports.push((port, 1));
        } else {
            // Misra and Gries: what comes again and again is not lost among what comes once.
            self.ports.retain_mut(|(_, count)| {
                *count -= 1;
                *count > 0
            });
        }
    }

    /// The port that knocks more than all others: a host does so in every step of its game, and who
    /// forges does not know from which port. It need not be more if it had that port before.
    fn most(&self) -> Option<u16> {
        let worth = |(port, count): (u16, u32)| {
            let is_sure = self.sure == Some(port);
            (if is_sure { count.saturating_mul(limits::SURE_KNOCK) } else { count }, is_sure, port)
        };
        let (most, is_sure, port) = self.ports.iter().copied().map(worth).max()?;
        let others = self.ports.iter().copied().filter(|(other, _)| *other != port);
        let second = others.map(|other| worth(other).0).max().unwrap_or(0);
        (is_sure || most >= limits::KNOCKS && most / 2 >= second).then_some(port)
    }
}

impl PortProbes {
    /// Hosts can be asked to knock at these sockets.
    pub(super) fn at(sockets: Vec<SocketAddr>) -> Self {
        Self {
            sockets,
            last: ByFamily::default(),
            last_inside: ByFamily::default(),
            cannot_ask: false,
            from: Timers::new(limits::KNOCKING),
            soon: Timers::new(limits::OVERTAKEN),
            awaited: Timers::new(limits::KNOCK_WAIT),
            knocking: Timers::new(limits::KNOCKING),
            shares: Shares::default(),
            known: Timers::new(limits::ASK_AGAIN),
        }
    }

    /// Goes on with the hosts that another process has asked.
    pub(super) fn restore(&mut self, saved: Self) {
        self.last = saved.last;
        self.from.restore(saved.from);
        self.soon.restore(saved.soon);
        self.awaited.restore(saved.awaited);
        self.known.restore(saved.known);
        self.knocking.restore(saved.knocking);
        for id in self.knocking.keys() {
            let by = self.knocking.get(id).map(|asked| asked.by);
            by.into_iter().for_each(|by| _ = self.shares.add(by, 1));
        }
    }

    /// Whether hosts are asked at all.
    pub(super) fn is_on(&self) -> bool {
        !self.sockets.is_empty()
    }

    /// A datagram of a GMnet peer came this way.
    pub(super) fn note_way(&mut self, via: Via, peer: IpAddr) {
        let last = if is_inside(peer) { &mut self.last_inside } else { &mut self.last };
        *last.of_mut(peer) = Some(via);
    }

    /// The endpoint of this server that a host uses whose datagrams come this way, if they ever do,
    /// else one that others of its family use.
    pub(super) fn endpoint(&self, via: Option<Via>, host: IpAddr) -> Option<SocketAddr> {
        let near = || self.by(*self.last_inside.of(host), host);
        let is_near = |at: &SocketAddr| at.ip().is_loopback() == host.is_loopback();
        let inside = || near().filter(|at| is_inside(host) && is_near(at));
        let seen = self.by(via, host).or_else(inside);
        let guess = || near().filter(|_| !is_inside(host));
        seen.or_else(|| self.seen_outside(None, host)).or_else(guess)
    }

    /// The same as far as somebody outside uses it, or the owner has said so.
    pub(super) fn seen_outside(&self, via: Option<Via>, host: IpAddr) -> Option<SocketAddr> {
        let is_near = |at: &SocketAddr| at.ip().is_loopback() == host.is_loopback();
        let any = || self.sockets.iter().copied().find(|at| is_usable(*at, host) && is_near(at));
        let last = || self.by(*self.last.of(host), host);
        self.by(via, host).or_else(last).or_else(any)
    }

    /// The endpoint of this server that a datagram was sent to that came this way, if this host can use it.
    fn by(&self, via: Option<Via>, host: IpAddr) -> Option<SocketAddr> {
        let via = via?;
        let socket = self.sockets.get(usize::from(via.socket))?;
        let at = SocketAddr::new(via.local.unwrap_or(socket.ip()), socket.port());
        Some(at).filter(|at| is_usable(*at, host))
    }

    /// Whether a host of this address may be asked now, in the share of `by`. One is asked at a time,
    /// and the more a source has asked, the fewer there may be in all.
    pub(super) fn may_ask(
        &mut self,
        now: Instant,
        addr: IpAddr,
        by: IpAddr,
    ) -> Result<(), Refused> {
        let other = self.from.get(&addr).and_then(|from| self.knocking.get(&from.asked?));
        if other.is_some_and(|asked| now - asked.at < 2 * limits::KNOCK_WAIT) {
            return Err(Refused::Later);
        }
        let most = limits::KNOCKING_HOSTS / (1 + weight(self.shares.of(by)) as usize);
        if self.knocking.len() < most || most == limits::KNOCKING_HOSTS && self.drop_silent(now) {
            Ok(())
        } else {
            Err(Refused::TooMany)
        }
    }

    /// Gives up one that has not knocked in time, for one whose source has asked for none. True: there
    /// was one.
    fn drop_silent(&mut self, now: Instant) -> bool {
        let is_silent = |conn: &&ConnId| {
            self.knocking.get(conn).is_some_and(|asked| {
                asked.ports.is_empty() && now - asked.at >= 2 * limits::KNOCK_WAIT
            })
        };
        let silent = self.knocking.keys().find(is_silent).copied();
        silent.inspect(|conn| self.stop(*conn)).is_some()
    }

    /// A host is asked.
    pub(super) fn ask(
        &mut self,
        now: Instant,
        conn: ConnId,
        addr: IpAddr,
        by: IpAddr,
        sure: Option<u16>,
    ) {
        let mut from = self.from.remove(&addr).unwrap_or_default();
        from.asked = Some(conn);
        let before = self.knocking.remove(&conn);
        let others = match &before {
            // It may be itself that knocks already.
            Some(asked) => asked.others.clone(),
            None => {
                let still = from.ports.iter().filter(|(_, last)| now - *last <= limits::BELONGS);
                still.map(|(port, _)| *port).collect()
            }
        };
        self.from.arm_with(now, addr, from);
        if let Some(before) = before {
            self.shares.remove(before.by, 1);
        }
        self.soon.cancel(&conn);
        self.shares.add(by, 1);
        let ports = SmallVec::new();
        let asked =
            Asked { addr, by, at: now, sure, ports, others, via: Via::default(), own: None };
        self.knocking.arm_with(now, conn, asked);
        self.awaited.arm(now, conn);
        self.known.arm_with(now, conn, None);
    }

    /// The port that a host had without doubt when it was asked last, as long as it knocks or is still
    /// to be asked.
    pub(super) fn sure(&self, conn: ConnId) -> Option<u16> {
        let asked = self.knocking.get(&conn).map(|asked| asked.sure);
        asked.or_else(|| self.soon.get(&conn).copied()).flatten()
    }

    /// Whether a host is about to be asked, or its knocks may come in a moment.
    pub(super) fn is_being_asked(&self, conn: ConnId) -> bool {
        self.soon.is_armed(&conn) || self.is_awaited(conn)
    }

    /// Whether a host was asked so lately that it still knocks, if it ever does.
    pub(super) fn is_knocking(&self, conn: ConnId) -> bool {
        self.knocking.is_armed(&conn)
    }

    /// Whether a knock of this host may come in a moment, that its clients should wait for.
    pub(super) fn is_awaited(&self, conn: ConnId) -> bool {
        !self.awaited.is_empty() && self.awaited.is_armed(&conn)
    }

    /// Whether a host was asked lately, and until when it has kept its mapping alive, if it
    /// knocked.
    pub(super) fn asked(&self, conn: ConnId) -> Option<Option<Instant>> {
        self.known.get(&conn).copied()
    }

    /// A knock came. Tells whose it may be.
    pub(super) fn came(&mut self, now: Instant, peer: SocketAddr) -> Option<ConnId> {
        let from = self.from.get_mut(&peer.ip())?;
        from.note(now, peer.port());
        from.asked
    }

    /// It is not one of a neighbour. Returns the port of the host, and whether it had that without
    /// doubt, as soon as that is known.
    pub(super) fn note(
        &mut self,
        now: Instant,
        conn: ConnId,
        via: Via,
        port: u16,
    ) -> Option<(u16, bool)> {
        let asked = self.knocking.get_mut(&conn)?;
        let is_sure = asked.sure == Some(port);
        if !is_sure && asked.others.contains(&port) {
            return None;
        }
        asked.note(port);
        asked.via = via;
        match &mut asked.own {
            Some((own, last)) if *own == port => {
                *last = now;
                return None;
            }
            None if is_sure => return Some((port, true)),
            // Its NAT may have forgotten that one, which others know.
            Some((own, _)) if is_sure || asked.sure == Some(*own) => {}
            // A host goes on knocking, however much others do.
            Some((_, last)) if now - *last <= limits::BELONGS => return None,
            // Who forges may be nearer than the host.
            None if now - asked.at < limits::KNOCK_WAIT => return None,
            _ => {}
        }
        let is_another = |most: &u16| asked.own.is_none_or(|(own, _)| own != *most);
        asked.most().filter(is_another).map(|port| (port, asked.sure == Some(port)))
    }

    /// What is known of the port of a host whose clients have waited for its knocks, and by which way
    /// they come.
    pub(super) fn most(&self, conn: ConnId) -> Option<(u16, Via)> {
        let asked = self.knocking.get(&conn)?;
        Some((asked.most()?, asked.via))
    }

    /// The port of a host is known. Its knocks are looked at as long as they come: a game that stands
    /// still for a moment may begin late, after who forges.
    pub(super) fn found(&mut self, now: Instant, conn: ConnId, port: u16) {
        self.awaited.cancel(&conn);
        let Some(asked) = self.knocking.get_mut(&conn) else { return };
        asked.own = Some((port, now));
        let until = asked.at + limits::KNOCKING;
        if let Some(known) = self.known.get_mut(&conn) {
            *known = Some(until);
        }
    }

    fn look_no_more(&mut self, addr: IpAddr, conn: ConnId) {
        if let Some(from) = self.from.get_mut(&addr)
            && from.asked == Some(conn)
        {
            from.asked = None;
        }
    }

    /// When [`Self::expire`] has something to do, or a timer is due.
    pub(super) fn next_wakeup(&self) -> Option<Instant> {
        let (soon, awaited, from) = (self.soon.next(), self.awaited.next(), self.from.next());
        earliest([soon, awaited, from, self.knocking.next(), self.known.next()])
    }

    /// Forgets who does not knock any more.
    pub(super) fn expire(&mut self, now: Instant) {
        while let Some((conn, asked)) = self.knocking.take_due(now) {
            self.stopped(conn, &asked);
        }
        while self.from.take_due(now).is_some() {}
        while self.known.take_due(now).is_some() {}
    }

    /// A connection has ended, or registers a host anew.
    pub(super) fn forget(&mut self, conn: ConnId) {
        if self.soon.is_empty() && self.known.is_empty() {
            // Nobody was asked, nor is anybody to be asked.
            return;
        }
        self.soon.cancel(&conn);
        self.known.cancel(&conn);
        self.stop(conn);
    }

    fn stop(&mut self, conn: ConnId) {
        self.awaited.cancel(&conn);
        if let Some(asked) = self.knocking.remove(&conn) {
            self.stopped(conn, &asked);
        }
    }

    /// A host does not knock any more.
    fn stopped(&mut self, conn: ConnId, asked: &Asked) {
        self.shares.remove(asked.by, 1);
        self.look_no_more(asked.addr, conn);
    }
}

/// Whether a host of this address can be told this endpoint.
fn is_usable(at: SocketAddr, host: IpAddr) -> bool {
    !at.ip().is_unspecified() && at.is_ipv4() == host.is_ipv4()
}

/// Why a host is not asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// Another of its address is asked just now.
    Later,
    /// As many knock as may.
    TooMany,
}

#[cfg(test)]
mod tests;
