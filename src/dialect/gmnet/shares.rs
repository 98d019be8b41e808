//! How much each source has of what the hosts of all have together. Whatever others have, every
//! host may have [`limits::HOST_STRINGS`] bytes of data strings; only what is beyond that is counted.

use std::net::IpAddr;

use super::data::Data;
use crate::hash::Map;
use crate::limits::{self, Limits};
use crate::prefixes::{self, network, weight};

/// What the sources have. Most have nothing that is counted.
#[derive(Debug, Default)]
pub(super) struct Shares {
    /// Hosts of each IPv6 source; those of an IPv4 address are known.
    hosts: Map<IpAddr, usize>,
    /// Bytes beyond what every host may have, of each source and the /56 and /48 around it.
    excess_of: prefixes::Shares,
    /// Bytes beyond what every host may have, of all hosts.
    excess: usize,
}

impl Shares {
    /// Hosts of the IPv6 source with this address.
    pub(super) fn hosts(&self, addr: IpAddr) -> usize {
        self.hosts.get(&network(addr)).copied().unwrap_or_default()
    }

    /// How many bytes the data strings of one more host may have, as the lobby writes them; or of
    /// one that has had `before`.
    pub(super) fn room(&self, limits: &Limits, addr: IpAddr, before: Option<&Data>) -> usize {
        let own = excess(before);
        let held = self.excess_of.of(addr).map(|held| held.saturating_sub(count(own)));
        // A /48 may have four times as much.
        let share = weight(held) as usize + own;
        let rest = |most: usize, all: usize| most.saturating_sub(all - own);
        let of_all = rest(limits.total() / 2, self.excess);
        let of_share = rest(limits::STRINGS_PER_ADDRESS, share);
        limits::HOST_STRINGS + of_all.min(of_share).min(limits::MORE_STRINGS)
    }

    /// A host is there.
    pub(super) fn add(&mut self, addr: IpAddr, data: Option<&Data>) {
        if addr.is_ipv6() {
            *self.hosts.entry(network(addr)).or_default() += 1;
        }
        self.count(addr, data);
    }

    /// A host is gone.
    pub(super) fn remove(&mut self, addr: IpAddr, data: Option<&Data>) {
        self.discount(addr, data);
        if addr.is_ipv6() {
            let source = network(addr);
            if let Some(hosts) = self.hosts.get_mut(&source) {
                *hosts -= 1;
                if *hosts == 0 {
                    self.hosts.remove(&source);
                }
            }
        }
    }

    /// A host has other data.
    pub(super) fn replace(&mut self, addr: IpAddr, before: Option<&Data>, after: Option<&Data>) {
        self.discount(addr, before);
        self.count(addr, after);
    }

    fn count(&mut self, addr: IpAddr, data: Option<&Data>) {
        let excess = excess(data);
        if excess > 0 {
            self.excess += excess;
            self.excess_of.add(addr, count(excess));
        }
    }

    fn discount(&mut self, addr: IpAddr, data: Option<&Data>) {
        let excess = excess(data);
        if excess > 0 {
            self.excess -= excess;
            self.excess_of.remove(addr, count(excess));
        }
    }
}

/// As shares are counted: no host has four gigabytes.
fn count(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

fn excess(data: Option<&Data>) -> usize {
    data.map_or(0, Data::size).saturating_sub(limits::HOST_STRINGS)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Data strings as long as there may be.
    fn long() -> Data {
        let text = "<".repeat(9000);
        Data::new(["game", &text[..100], &text, &text[..1000], &text[..600], &text, &text, ""])
    }

    fn add(shares: &mut Shares, limits: &Limits, addr: IpAddr) -> Data {
        let mut data = long();
        data.fit(shares.room(limits, addr, None));
        shares.add(addr, Some(&data));
        data
    }

    #[test]
    fn what_one_address_has_fits_into_half_of_what_a_game_reads_at_once() {
        /// What surrounds the strings of a host in the lobby.
        const REST: usize = 200;
        let limits = Limits::default();
        let network = u128::from_be_bytes([0x20, 1, 0xd, 0xb8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
        for is_v6 in [false, true] {
            let mut shares = Shares::default();
            let addr = |n: u32| match is_v6 {
                false => IpAddr::from([203, 0, 113, 7]),
                true => IpAddr::from((network + u128::from(n)).to_be_bytes()),
            };
            let all: Vec<Data> = (0..32).map(|n| add(&mut shares, &limits, addr(n))).collect();
            assert!(all[0].size() > limits::MORE_STRINGS / 2, "one may have much");
            assert!(all.iter().all(|data| data.get(0) == "game"));
            let size: usize = all.iter().map(|data| data.size() + REST).sum();
            assert!(size < 40 << 10, "{size}");
            let room = shares.room(&limits, addr(0), None);
            assert!((limits::HOST_STRINGS..limits::HOST_STRINGS + 600).contains(&room), "{room}");
            assert_eq!(shares.room(&limits, addr(0), Some(&all[0])), room + excess(Some(&all[0])));
            let other = IpAddr::from([198, 51, 100, 1]);
            let most = limits::HOST_STRINGS + limits::MORE_STRINGS;
            assert_eq!(shares.room(&limits, other, None), most, "others have their own");
            for (n, data) in (0..).zip(&all) {
                shares.remove(addr(n), Some(data));
            }
            assert!(shares.hosts.is_empty() && shares.excess_of.is_empty() && shares.excess == 0);
        }
    }

    #[test]
    fn many_networks_of_one_site_have_four_shares() {
        let limits = Limits::default();
        let mut shares = Shares::default();
        let site = |n: u128| IpAddr::from(((0x2001_0db8_u128 << 96) + (n << 64)).to_be_bytes());
        for n in (0..60_000).step_by(97) {
            add(&mut shares, &limits, site(n));
        }
        assert!(shares.excess <= 4 * limits::STRINGS_PER_ADDRESS, "{}", shares.excess);
        assert!(shares.excess > 3 * limits::STRINGS_PER_ADDRESS, "{}", shares.excess);
    }

    #[test]
    fn all_that_hosts_may_have_is_within_the_total() {
        for connections in [1, 16 * 1024, 100_000] {
            let limits = Limits { connections, ..Limits::default() };
            assert!(connections * limits::HOST_STRINGS <= limits.total() / 2);
        }
        let limits = Limits { connections: 2000, ..Limits::default() };
        let (mut shares, mut bytes) = (Shares::default(), 0);
        let text = "x".repeat(1100);
        for n in 0..limits.connections as u32 {
            let addr = n.to_be_bytes().into();
            let mut data = Data::new([text.as_str(); 8]);
            data.fit(shares.room(&limits, addr, None));
            shares.add(addr, Some(&data));
            bytes += data.size();
        }
        assert!(shares.excess > limits.total() / 2 - 2000, "more than that was asked for");
        assert!(bytes <= limits.total(), "{bytes}");
    }
}
