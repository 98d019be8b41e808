//! Which UDP port belongs to which host.

use std::net::IpAddr;

use smallvec::SmallVec;

use super::{Host, Hosts, Sign};
use crate::clock::Instant;
use crate::dialect::gmnet::slot::HostKey;
use crate::dialect::{ConnId, Via};
use crate::limits;

/// What a UDP `reg` is to the hosts of its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// From a port that none of them has.
    New,
    /// A copy of a packet that one of them has sent.
    Known,
    /// From the port of one that has been registered since then. Its game is about to register
    /// again, or has just done it by a new connection.
    Again(Instant),
}

impl Hosts {
    /// A UDP `reg` came. Tells what it is to the hosts of that address.
    pub fn show(&mut self, now: Instant, addr: IpAddr, port: u16) -> Shown {
        let mut shown = Shown::New;
        for key in self.by_addr.get(addr) {
            let Some(host) = self.slab.get_mut(key.0.get()) else { continue };
            if host.port != Some(port) {
                // What was received at the same time, but before, is older.
                host.seen = host.seen.min(now.just_before());
            } else {
                let is_copy = now - host.seen.max(host.registered) <= limits::LATE_COPY;
                shown = if is_copy { Shown::Known } else { Shown::Again(host.since) };
                host.seen = now;
                host.reg = Sign::Certain;
            }
        }
        shown
    }

    /// Gives a port to the newest host of the address that registered without a UDP packet, a
    /// short time ago, and after `since`, if the packet may be of its game. Returns that host.
    pub fn assign_tentatively(
        &mut self,
        now: Instant,
        via: Via,
        addr: IpAddr,
        port: u16,
        since: Option<Instant>,
        may_be_of: impl Fn(&str) -> bool,
    ) -> Option<HostKey> {
        // What another has as well is better than nothing, and nothing more.
        let sign = if since.is_some() { Sign::Doubtful } else { Sign::Certain };
        let lacks = |key: &&HostKey| {
            let host = self.get(**key);
            let is_recent = |h: &&Host| now - h.registered <= limits::REG_WINDOW;
            let lacks = |h: &Host| h.reg < sign && h.reg != Sign::Crossed;
            host.filter(is_recent).is_some_and(|h| lacks(h) && may_be_of(h.game()))
        };
        let key = *self.by_addr.get(addr).iter().rfind(lacks)?;
        let host = self.slab.get_mut(key.0.get())?;
        if since.is_some_and(|since| host.since <= since) {
            return None;
        }
        let before = (host.port, host.via, host.seen);
        host.before_tentative.get_or_insert_with(|| Box::new(before));
        (host.port, host.via, host.seen) = (Some(port), via, now);
        host.reg = sign;
        self.relist(now, addr);
        Some(key)
    }

    /// A neighbour has registered at the same moment: a packet came for each, and nobody knows which.
    pub(in crate::dialect::gmnet) fn note_crossed(&mut self, key: HostKey) {
        if let Some(host) = self.slab.get_mut(key.0.get())
            && host.reg == Sign::Certain
        {
            host.reg = Sign::Crossed;
        }
    }

    /// A host has shown by its knocks that this is its port. Unless that is sure, the one that it had
    /// before is not forgotten. Returns the connections of others at its address that had it, and
    /// have to be asked for theirs.
    pub(in crate::dialect::gmnet) fn confirm_port(
        &mut self,
        now: Instant,
        key: HostKey,
        (port, via): (u16, Via),
        is_sure: bool,
    ) -> SmallVec<[ConnId; 2]> {
        let Some(host) = self.slab.get_mut(key.0.get()) else { return SmallVec::new() };
        let addr = host.addr;
        if is_sure {
            host.before_tentative = None;
        } else if host.before_tentative.is_none()
            && host.sure_port().is_some_and(|sure| sure != port)
        {
            host.before_tentative = Some(Box::new((host.port, host.via, host.seen)));
        }
        if host.port != Some(port) {
            (host.port, host.via, host.seen) = (Some(port), via, now);
        }
        host.reg = Sign::Certain;
        let others = self.at(addr).filter(|(other, host)| *other != key && host.port == Some(port));
        let others = others.map(|(_, host)| host.conn).collect();
        self.end_succession(key, addr);
        self.relist(now, addr);
        others
    }
}
