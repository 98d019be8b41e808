//! Peers whose TCP and UDP leave by different public addresses, as behind a carrier's NAT with a
//! pool of them. GMnet has nothing that joins the two, so such a peer cannot be introduced; but
//! the log can tell its owner why.

use std::collections::VecDeque;
use std::net::IpAddr;

use crate::clock::Instant;
use crate::dialect::ConnId;
use crate::limits;

/// Packets that came lately, and connections whose packet did not.
#[derive(Debug, Default)]
pub(super) struct Strays {
    packets: VecDeque<(Instant, IpAddr)>,
    lacking: VecDeque<Lacking>,
}

#[derive(Debug)]
struct Lacking {
    conn: ConnId,
    addr: IpAddr,
    /// Since when.
    since: Instant,
    /// A neighbouring address that a packet came from at that time.
    other: Option<IpAddr>,
}

impl Strays {
    /// A packet came, be it one of a connection that is still to come.
    pub(super) fn came(&mut self, now: Instant, addr: IpAddr) {
        let is_late = |lacking: &&mut Lacking| now - lacking.since <= limits::BELONGS;
        for lacking in self.lacking.iter_mut().rev().take_while(is_late) {
            if lacking.other.is_none() && are_neighbours(addr, lacking.addr) {
                lacking.other = Some(addr);
            }
        }
        push(&mut self.packets, (now, addr));
    }

    /// A connection needs a packet, and none has come from its address.
    pub(super) fn lacks(&mut self, now: Instant, conn: ConnId, addr: IpAddr) {
        let is_late = |(at, _): &&(Instant, IpAddr)| now - *at <= limits::BELONGS;
        let late = self.packets.iter().rev().take_while(is_late).map(|(_, other)| *other);
        let other = late.into_iter().find(|other| are_neighbours(*other, addr));
        push(&mut self.lacking, Lacking { conn, addr, since: now, other });
    }

    /// The address that the packet of a connection may have come from.
    pub(super) fn other(&self, conn: ConnId) -> Option<IpAddr> {
        self.lacking.iter().rev().find(|lacking| lacking.conn == conn)?.other
    }
}

fn push<T>(list: &mut VecDeque<T>, what: T) {
    if list.len() >= limits::STRAYS {
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

    const CONN: ConnId = ConnId { slot: 1, generation: 1 };

    fn at(ms: u64) -> Instant {
        Instant::from_micros(1_000_000_000 + ms * 1000)
    }

    fn other(packets: &[(u64, &str)], addr: &str, asks: u64) -> Option<String> {
        let mut strays = Strays::default();
        let (before, after): (Vec<_>, Vec<_>) = packets.iter().partition(|(ms, _)| *ms <= asks);
        before.iter().for_each(|(ms, from)| strays.came(at(*ms), from.parse().unwrap()));
        strays.lacks(at(asks), CONN, addr.parse().unwrap());
        after.iter().for_each(|(ms, from)| strays.came(at(*ms), from.parse().unwrap()));
        strays.other(CONN).map(|addr| addr.to_string())
    }

    #[test]
    fn a_packet_from_a_neighbouring_address_at_that_time_is_found() {
        let host = "203.0.113.7";
        assert_eq!(other(&[(0, "203.0.99.1")], host, 300).unwrap(), "203.0.99.1", "before");
        assert_eq!(other(&[(900, "203.0.99.1")], host, 300).unwrap(), "203.0.99.1", "after");
        assert_eq!(other(&[(0, "203.0.99.1")], host, 1300), None, "long before");
        assert_eq!(other(&[(1400, "203.0.99.1")], host, 300), None, "long after");
        assert_eq!(other(&[(0, "203.1.113.7")], host, 300), None, "far away");
        assert_eq!(other(&[(0, host)], host, 300), None, "its own");
        assert_eq!(other(&[(0, "2001:db8::1")], host, 300), None, "of the other family");
        assert_eq!(other(&[(0, "2001:db8::1")], "2001:db8:0:9::1", 9).unwrap(), "2001:db8::1");
    }

    #[test]
    fn little_is_remembered() {
        let mut strays = Strays::default();
        let host = "203.0.113.7".parse().unwrap();
        for n in 0..2 * limits::STRAYS as u64 {
            strays.came(at(n), "198.51.100.1".parse().unwrap());
            strays.lacks(at(n), CONN, host);
        }
        assert_eq!((strays.packets.len(), strays.lacking.len()), (limits::STRAYS, limits::STRAYS));
    }
}
