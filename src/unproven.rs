//! Nobody is knocked at who has not asked for it. Whoever is told an endpoint sends ten datagrams
//! a second there for a quarter of a minute, and the source address of a datagram can be forged:
//! so a few requests in the name of a victim would aim many peers at it.
//!
//! An endpoint is *proven* if it has shown something that was sent to it and to no other (a key,
//! an ID): dialects know that of their own peers, and tell others of those at once. So is one
//! whose address is [known](Unproven::is_known): there is a TCP connection from it, or a proven
//! endpoint. Any other may be told as [`Unproven::may_tell`] allows: one endpoint of a network to
//! one peer within [`limits::UNPROVEN`], and a few to each peer; or, if they ask for just that one,
//! to a [few peers](Unproven::may_tell_asker). So one honest player who proves nothing is introduced
//! at once, and the next of his network as soon as he proves himself or tries again later.
//!
//! A dialect does not count what it may not tell: it asks again when the endpoint has proven itself,
//! or when its peer sends another request.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::clock::Instant;
use crate::connection_table::Ring;
use crate::limits;
use crate::prefixes::{Counts, Shares};
use crate::timers::Timers;

/// What is known of addresses, and which unproven endpoints were told lately: of the whole server, as
/// the promise is the server's and not that of each dialect.
#[derive(Debug, Serialize, Deserialize)]
pub struct Unproven {
    /// How many connections each address has, of which
    /// [`ConnectionTable`](crate::connection_table::ConnectionTable) keeps account.
    #[serde(skip)]
    pub(crate) connections: Shares<Ring>,
    /// How many other proofs of each address there are.
    #[serde(skip)]
    known: Counts,
    /// Networks of which an endpoint was told.
    networks: Timers<IpAddr, Told>,
    /// Who was told of unproven endpoints, and of how many.
    told: Timers<SocketAddr, u32>,
}

/// What was told of a network.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Told {
    endpoint: SocketAddr,
    /// Who was told last.
    whom: SocketAddr,
    /// How many were told.
    count: u32,
}

impl Default for Unproven {
    fn default() -> Self {
        Self {
            connections: Shares::default(),
            known: Counts::default(),
            networks: Timers::new(limits::UNPROVEN),
            told: Timers::new(limits::UNPROVEN),
        }
    }
}

impl Unproven {
    /// Goes on with what another process has told. Who is known, those tell who know him.
    pub(crate) fn restore(&mut self, saved: Self) {
        let Self { connections: _, known: _, networks, told } = saved;
        self.networks.restore(networks);
        self.told.restore(told);
    }

    /// An address has one more connection. What was told of it before was all right, so it makes
    /// nobody else of its network wait.
    pub fn connected(&mut self, addr: IpAddr) {
        self.forget(addr);
    }

    /// There is one more proof that somebody at this address hears us, beside connections. It
    /// counts until it is [taken back](Self::remove).
    pub fn add(&mut self, addr: IpAddr) {
        self.known.add(addr);
        self.forget(addr);
    }

    /// A proof that was [added](Self::add) is gone.
    pub fn remove(&mut self, addr: IpAddr) {
        self.known.remove(addr);
    }

    /// Whether somebody at this address (IPv6: in this /64) is known to hear us.
    #[must_use]
    pub fn is_known(&self, addr: IpAddr) -> bool {
        let [.., connections] = self.connections.of(addr);
        connections > 0 || self.known.of(addr) > 0
    }

    /// Whether a peer may be told now of an endpoint that has proven nothing itself; if so, it
    /// counts as told. Another time for the same two is a new one, unless the dialect knows that it is
    /// the same introduction, and does not ask. Costs a few look-ups.
    #[must_use]
    pub fn may_tell(&mut self, now: Instant, endpoint: SocketAddr, whom: SocketAddr) -> bool {
        self.is_known(endpoint.ip()) || self.tell(now, endpoint, whom, 1)
    }

    /// The same for a peer that has asked for just this endpoint, such as that of a host: a few may
    /// be told, as nobody knocks there who did not choose to.
    #[must_use]
    pub fn may_tell_asker(&mut self, now: Instant, endpoint: SocketAddr, whom: SocketAddr) -> bool {
        let most = limits::UNPROVEN_ASKERS;
        self.is_known(endpoint.ip()) || self.tell(now, endpoint, whom, most)
    }
    fn tell(&mut self, now: Instant, endpoint: SocketAddr, whom: SocketAddr, most: u32) -> bool {
        while self.networks.take_due(now).is_some() {}
        while self.told.take_due(now).is_some() {}
        let network = network(endpoint.ip());
        let before = self.networks.get(&network).copied();
        match before {
            Some(told) if told.endpoint != endpoint || told.count >= most => return false,
            None if self.networks.len() >= limits::UNPROVEN_NETWORKS => return false,
            _ => {}
        }
        match self.told.get_mut(&whom) {
            Some(told) if *told >= limits::UNPROVEN_PER_PEER => return false,
            Some(told) => *told += 1,
            None => self.told.arm_with(now, whom, 1),
        }
        let count = before.map_or(0, |told| told.count) + 1;
        self.networks.arm_with(now, network, Told { endpoint, whom, count });
        true
    }

    /// Forgets what was told of an address.
    fn forget(&mut self, addr: IpAddr) {
        let network = network(addr);
        let Some(last) = self.networks.get(&network).copied() else { return };
        if last.endpoint.ip() == addr {
            self.networks.cancel(&network);
            if let Some(told) = self.told.get_mut(&last.whom) {
                *told = told.saturating_sub(1);
            }
        }
    }
}

/// The network that an address is in, so that a victim is not attacked by its neighbours' addresses:
/// a /24, or the /56 that providers give to one subscriber.
fn network(addr: IpAddr) -> IpAddr {
    match addr {
        IpAddr::V4(v4) => Ipv4Addr::from_bits(v4.to_bits() & !0xff).into(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !(u128::MAX >> 56)).into(),
    }
}

/// Whether an address is one of a local network: it names nobody to those outside.
#[must_use]
pub const fn is_local(addr: IpAddr) -> bool {
    match addr {
        IpAddr::V4(v4) => v4.is_private() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(secs: u64) -> Instant {
        Instant::from_micros(1_000_000_000 + secs * 1_000_000)
    }

    fn v4(a: u8, b: u8, c: u8, d: u8, port: u16) -> SocketAddr {
        SocketAddr::from(([a, b, c, d], port))
    }

    const HOST: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 5000);

    #[test]
    fn one_endpoint_of_a_network_is_told_to_one_peer_at_a_time() {
        let mut unproven = Unproven::default();
        let other = v4(192, 0, 2, 2, 5000);
        let window = limits::UNPROVEN.as_secs();
        let mut told = 0;
        for n in 0..240 {
            let victim = v4(203, 0, 113, (n % 201) as u8, 1000 + n);
            told += u32::from(unproven.may_tell(at(n as u64 / 60), victim, HOST));
            told += u32::from(unproven.may_tell(at(n as u64 / 60), victim, other));
        }
        assert_eq!(told, 1);
        assert!(!unproven.may_tell(at(window - 1), v4(203, 0, 113, 9, 1), HOST));
        assert!(unproven.may_tell(at(window), v4(203, 0, 113, 9, 1), HOST));
        assert!(unproven.may_tell(at(window), v4(203, 0, 114, 9, 1), HOST), "another network");
    }

    #[test]
    fn an_endpoint_that_is_asked_for_is_told_to_a_few() {
        let mut unproven = Unproven::default();
        let host = v4(203, 0, 113, 7, 5000);
        let told = (0..200).filter(|n| unproven.may_tell_asker(at(0), host, v4(10, 0, *n, 1, 1)));
        assert_eq!(told.count(), limits::UNPROVEN_ASKERS as usize);
        assert!(!unproven.may_tell_asker(at(0), v4(203, 0, 113, 8, 1), HOST), "another one");
        assert!(!unproven.may_tell(at(0), host, HOST));
    }

    #[test]
    fn an_ipv6_source_is_one_network() {
        let mut unproven = Unproven::default();
        let [one, same, other] = ["2001:db8:1:200::1", "2001:db8:1:2ff::1", "2001:db8:1:300::1"]
            .map(|addr| SocketAddr::new(addr.parse().unwrap(), 1));
        assert!(unproven.may_tell(at(0), one, HOST));
        assert!(!unproven.may_tell(at(0), same, HOST));
        assert!(unproven.may_tell(at(0), other, HOST));
    }

    #[test]
    fn nobody_is_told_of_many_networks() {
        let mut unproven = Unproven::default();
        let told = (0..200).filter(|n| unproven.may_tell(at(0), v4(10, 1, *n, 1, 1), HOST));
        assert_eq!(told.count(), limits::UNPROVEN_PER_PEER as usize);
        // What was not told has cost nothing.
        assert!(unproven.may_tell(at(0), v4(10, 1, 199, 1, 1), v4(192, 0, 2, 2, 1)));
    }

    #[test]
    fn who_is_known_is_told_at_once() {
        let mut unproven = Unproven::default();
        let player = v4(203, 0, 113, 7, 1);
        unproven.add(player.ip());
        unproven.add(player.ip());
        unproven.remove(player.ip());
        assert!((1..100).all(|port| unproven.may_tell(at(0), v4(203, 0, 113, 7, port), HOST)));
        unproven.remove(player.ip());
        let told =
            (1..100).filter(|port| unproven.may_tell(at(0), v4(203, 0, 113, 7, *port), HOST));
        assert_eq!(told.count(), 1);
    }

    #[test]
    fn who_proves_himself_makes_nobody_wait() {
        let mut unproven = Unproven::default();
        for n in 0..100 {
            let player = v4(203, 0, 113, n, 1);
            assert!(unproven.may_tell(at(0), player, HOST), "{n}");
            unproven.add(player.ip());
            unproven.remove(player.ip());
        }
    }

    #[test]
    fn the_tables_are_bounded() {
        let mut unproven = Unproven::default();
        for n in 0..2 * limits::UNPROVEN_NETWORKS {
            let [.., a, b, c] = n.to_be_bytes();
            let _ = unproven.may_tell(at(0), v4(11, a, b, c, 1), HOST);
            let (victim, host) = (v4(12 + a, b, c, 1, 1), v4(100, a, b, c, 1));
            let _ = unproven.may_tell(at(0), victim, host);
        }
        let state = &unproven;
        assert_eq!(state.networks.len(), limits::UNPROVEN_NETWORKS);
        assert!(state.told.len() <= limits::UNPROVEN_NETWORKS);
        let late = at(0) + limits::UNPROVEN + Duration::from_secs(1);
        assert!(unproven.may_tell(late, v4(10, 0, 0, 1, 1), HOST));
        assert_eq!(unproven.networks.len(), 1);
    }

    #[test]
    fn local_addresses_are_those_of_nobody_outside() {
        for local in ["10.1.2.3", "172.16.0.1", "192.168.1.20", "169.254.3.4", "fd00::1", "fe80::1"]
        {
            assert!(is_local(local.parse().unwrap()), "{local}");
        }
        for public in
            ["8.8.8.8", "172.32.0.1", "127.0.0.1", "0.0.0.0", "100.64.0.1", "2001:db8::1", "::1"]
        {
            assert!(!is_local(public.parse().unwrap()), "{public}");
        }
    }
}
