//! Peers whose TCP and UDP leave by different public addresses, as behind a carrier's NAT with a
//! pool of them. GMnet has nothing that joins the two but the time, and that the addresses are
//! neighbours.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::clock::Instant;
use crate::dialect::ConnId;
use crate::limits;

/// Packets that came lately, and connections whose packet did not.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Unpaired {
    packets: VecDeque<(Instant, SocketAddr)>,
    lacking: VecDeque<Lacking>,
    /// Addresses that connected lately: what comes from there by UDP is their own.
    connected: VecDeque<IpAddr>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Lacking {
    conn: ConnId,
    addr: IpAddr,
    /// Since when.
    since: Instant,
    /// Where a packet came from at that time, from a neighbouring address.
    other: Option<SocketAddr>,
    /// There was one more of them, so it may be anybody's.
    is_doubtful: bool,
}

impl Lacking {
    fn note(&mut self, packet: SocketAddr) {
        if are_neighbours(packet.ip(), self.addr) {
            let other = *self.other.get_or_insert(packet);
            self.is_doubtful |= other != packet;
        }
    }
}

impl Unpaired {
    /// A packet came, be it one of a connection that is still to come. If one of its own address needs
    /// one, it has it.
    pub(super) fn came(&mut self, now: Instant, from: SocketAddr) {
        let mut own = None;
        for (n, lacking) in self.lacking.iter_mut().enumerate().rev() {
            if now - lacking.since > limits::BELONGS {
                break;
            }
            lacking.note(from);
            own = if lacking.addr == from.ip() { Some(n) } else { own };
        }
        own.map(|n| self.lacking.remove(n));
        push(&mut self.packets, (now, from));
    }

    /// An address connected by TCP.
    pub(super) fn connected(&mut self, addr: IpAddr) {
        push(&mut self.connected, addr);
    }

    /// A connection needs a packet, and none has come from its address.
    pub(super) fn lacks(&mut self, now: Instant, conn: ConnId, addr: IpAddr) {
        let is_late = |(at, _): &&(Instant, SocketAddr)| now - *at <= limits::BELONGS;
        let mut lacking = Lacking { conn, addr, since: now, other: None, is_doubtful: false };
        let late = self.packets.iter().rev().take_while(is_late);
        for (_, from) in late {
            lacking.note(*from);
            if lacking.is_doubtful {
                break;
            }
        }
        push(&mut self.lacking, lacking);
    }

    /// Where the packet of a connection may have come from.
    pub(super) fn maybe(&self, conn: ConnId) -> Option<SocketAddr> {
        self.find(conn)?.other
    }

    /// Whether a connection came from this address lately.
    pub(super) fn has_connected(&self, addr: IpAddr) -> bool {
        self.connected.contains(&addr)
    }

    /// The same, if there is exactly one packet that may be its, nobody else lacks that, and no
    /// connection came from there.
    pub(super) fn only(&self, conn: ConnId) -> Option<SocketAddr> {
        let lacking = self.find(conn).filter(|lacking| !lacking.is_doubtful)?;
        let same = self.lacking.iter().filter(|l| l.other == lacking.other);
        let is_only = same.into_iter().all(|l| l.addr == lacking.addr);
        lacking.other.filter(|other| is_only && !self.connected.contains(&other.ip()))
    }

    fn find(&self, conn: ConnId) -> Option<&Lacking> {
        self.lacking.iter().rfind(|lacking| lacking.conn == conn)
    }
}

fn push<T>(list: &mut VecDeque<T>, what: T) {
    if list.len() >= limits::UNPAIRED {
        list.pop_front();
    }
    list.push_back(what);
}

/// Whether two addresses may be in one pool: different ones of an IPv4 /16 or an IPv6 /48.
fn are_neighbours(one: IpAddr, other: IpAddr) -> bool {
    let is_near = match (one, other) {
        (IpAddr::V4(a), IpAddr::V4(b)) => a.to_bits() >> 16 == b.to_bits() >> 16,
        (IpAddr::V6(a), IpAddr::V6(b)) => a.to_bits() >> 80 == b.to_bits() >> 80,
        _ => false,
    };
    is_near && one != other
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_micros(1_000_000_000 + ms * 1000)
    }

    fn conn(slot: u32) -> ConnId {
        ConnId { slot, generation: 1 }
    }

    /// What is found for a host that lacks its packet from this time on.
    fn only(packets: &[(u64, &str)], addr: &str, asks: u64) -> Option<String> {
        let mut unpaired = Unpaired::default();
        let (before, after): (Vec<_>, Vec<_>) = packets.iter().partition(|(ms, _)| *ms <= asks);
        before.iter().for_each(|(ms, from)| unpaired.came(at(*ms), from.parse().unwrap()));
        unpaired.lacks(at(asks), conn(1), addr.parse().unwrap());
        after.iter().for_each(|(ms, from)| unpaired.came(at(*ms), from.parse().unwrap()));
        assert!(unpaired.only(conn(1)).is_none_or(|only| unpaired.maybe(conn(1)) == Some(only)));
        unpaired.only(conn(1)).map(|addr| addr.to_string())
    }

    #[test]
    fn a_packet_from_a_neighbouring_address_at_that_time_is_found() {
        let (host, other) = ("203.0.113.7", "203.0.99.1:5000");
        assert_eq!(only(&[(0, other)], host, 300).unwrap(), other, "before");
        assert_eq!(only(&[(900, other)], host, 300).unwrap(), other, "after");
        assert_eq!(only(&[(0, other), (900, other)], host, 300).unwrap(), other, "twice");
        assert_eq!(only(&[(0, other)], host, 1300), None, "long before");
        assert_eq!(only(&[(1400, other)], host, 300), None, "long after");
        assert_eq!(only(&[(0, "203.1.113.7:5000")], host, 300), None, "far away");
        assert_eq!(only(&[(0, "203.0.113.7:5000")], host, 300), None, "its own");
        assert_eq!(only(&[(0, "[2001:db8::1]:5")], host, 300), None, "of the other family");
        let six = "[2001:db8::1]:5";
        assert_eq!(only(&[(0, six)], "2001:db8:0:9::1", 9).unwrap(), six);
    }

    #[test]
    fn where_two_may_be_meant_none_is() {
        let (host, other, third) = ("203.0.113.7", "203.0.99.1:5000", "203.0.99.2:5000");
        assert_eq!(only(&[(0, other), (1, third)], host, 300), None);
        assert_eq!(only(&[(0, other), (900, third)], host, 300), None);
        let mut unpaired = Unpaired::default();
        unpaired.came(at(0), other.parse().unwrap());
        unpaired.lacks(at(1), conn(1), host.parse().unwrap());
        assert_eq!(unpaired.only(conn(1)), other.parse().ok());
        unpaired.lacks(at(2), conn(2), "203.0.113.8".parse().unwrap());
        assert_eq!((unpaired.only(conn(1)), unpaired.only(conn(2))), (None, None));
        assert_eq!(unpaired.maybe(conn(1)), other.parse().ok(), "but the log may tell");
    }

    #[test]
    fn who_gets_a_packet_of_his_own_lacks_none() {
        let (host, other) = ("203.0.113.7", "203.0.99.1:5000");
        assert_eq!(only(&[(301, "203.0.113.7:4000"), (302, other)], host, 300), None);
    }

    #[test]
    fn little_is_remembered() {
        let mut unpaired = Unpaired::default();
        let host = "203.0.113.7".parse().unwrap();
        for n in 0..2 * limits::UNPAIRED as u64 {
            unpaired.came(at(n), "198.51.100.1:5000".parse().unwrap());
            unpaired.lacks(at(n), conn(1), host);
        }
        assert_eq!(
            (unpaired.packets.len(), unpaired.lacking.len()),
            (limits::UNPAIRED, limits::UNPAIRED)
        );
    }
}
