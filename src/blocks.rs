//! Addresses and networks that the owner does not want to hear of (`--block`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use crate::lists::{self, BadLine, Lines};

/// Which addresses are blocked. To look one up takes the logarithm of how many networks there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blocks {
    /// The parts of IPv4 and of IPv6.
    v4: Parts,
    v6: Parts,
    /// Lines that there were.
    entries: usize,
}

/// Parts of a range of addresses, each with its first and its last, in order and apart from each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Parts(Vec<(u128, u128)>);

impl Blocks {
    /// Reads a list: an address or a network (`192.0.2.0/24`) a line, with comments behind `#`.
    ///
    /// # Errors
    /// If a line is neither.
    pub fn read(file: &Path, bytes: &[u8]) -> Result<Self, BadLine> {
        let entry = |text: &str| {
            let before_comment = text.split('#').next().unwrap_or_default();
            network(before_comment.trim())
        };
        let networks = lists::read(file, bytes, Lines::Known, entry)?;
        let of = |is_ipv4| {
            let of_family = networks.iter().filter(|network| network.is_ipv4 == is_ipv4);
            Parts::new(of_family.map(|network| (network.first, network.last)).collect())
        };
        Ok(Self { v4: of(true), v6: of(false), entries: networks.len() })
    }

    /// How many addresses and networks the list names.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries
    }

    /// Whether nothing is blocked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// The families of which all addresses are blocked: nobody of them can play.
    pub fn families(&self) -> impl Iterator<Item = &'static str> {
        let v4 = self.v4.0 == [(0, u32::MAX.into())];
        let v6 = self.v6.0 == [(0, u128::MAX)];
        [(v4, "IPv4"), (v6, "IPv6")].into_iter().filter_map(|(all, family)| all.then_some(family))
    }

    /// Whether this address is blocked.
    #[must_use]
    pub fn has(&self, addr: IpAddr) -> bool {
        if self.is_empty() {
            return false;
        }
        match addr.to_canonical() {
            IpAddr::V4(v4) => self.v4.have(v4.to_bits().into()),
            IpAddr::V6(v6) => self.v6.have(v6.to_bits()),
        }
    }
}

impl Parts {
    fn new(mut networks: Vec<(u128, u128)>) -> Self {
        networks.sort_unstable();
        let mut parts: Vec<(u128, u128)> = Vec::new();
        for (first, last) in networks {
            match parts.last_mut() {
                Some((_, before)) if first <= before.saturating_add(1) => {
                    *before = last.max(*before);
                }
                _ => parts.push((first, last)),
            }
        }
        parts.shrink_to_fit();
        Self(parts)
    }

    fn have(&self, bits: u128) -> bool {
        let behind = self.0.partition_point(|(first, _)| *first <= bits);
        let part = behind.checked_sub(1).and_then(|at| self.0.get(at));
        part.is_some_and(|(_, last)| bits <= *last)
    }
}

/// The addresses of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    is_ipv4: bool,
    first: u128,
    last: u128,
}

fn network(text: &str) -> Result<Network, String> {
    const WANT: &str = "want an address or a network, as 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32";
    /// Bits in front of an IPv4 address that is written as one of IPv6.
    const MAPPED: u32 = 96;
    let (addr, length) = text.split_once('/').map_or((text, None), |(a, b)| (a, Some(b)));
    let written: IpAddr = addr.trim().parse().map_err(|_| WANT.to_owned())?;
    let most = if written.is_ipv4() { 32 } else { 128 };
    // Not "+8", which the library would take.
    let is_number = |text: &&str| text.bytes().all(|byte| byte.is_ascii_digit());
    let number = |text: &str| Some(text).filter(is_number)?.parse().ok();
    let length = length.map_or(Some(most), |text| number(text.trim()));
    let length = length.filter(|length| *length <= most);
    let length = length.ok_or_else(|| format!("want 0 to {most} behind the slash; {WANT}"))?;
    let (addr, rest) = match written.to_canonical() {
        IpAddr::V4(v4) if written.is_ipv6() && length >= MAPPED => (v4.into(), 128 - length),
        _ => (written, most - length),
    };
    let bits = match addr {
        IpAddr::V4(v4) => v4.to_bits().into(),
        IpAddr::V6(v6) => v6.to_bits(),
    };
    let rest = u128::MAX.checked_shr(128 - rest).unwrap_or(0);
    let (first, last) = (bits & !rest, bits | rest);
    if first != bits {
        // Somebody may have meant another network than he has written.
        let base = match addr {
            IpAddr::V4(_) => Ipv4Addr::from_bits(first as u32).into(),
            IpAddr::V6(_) => IpAddr::from(Ipv6Addr::from_bits(first)),
        };
        let length = if addr == written { length } else { length - MAPPED };
        return Err(format!(
            "this is one address in a network: write {base}/{length} for all of it, or {addr}"
        ));
    }
    Ok(Network { is_ipv4: addr.is_ipv4(), first, last })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(text: &str) -> Result<Blocks, String> {
        Blocks::read(Path::new("list"), text.as_bytes()).map_err(|bad| bad.to_string())
    }

    fn has(blocks: &Blocks, addr: &str) -> bool {
        blocks.has(addr.parse().unwrap())
    }

    #[test]
    fn addresses_and_networks_are_blocked_and_their_neighbours_are_not() {
        let text = "# bad people\n192.0.2.7\n198.51.100.0/24 # all of it\n198.51.101.0/25\n\
                    2001:db8::/32\n::ffff:203.0.113.0/120\n10.0.0.0/8\n10.1.0.0/16\n0.0.0.0/32";
        let blocks = blocks(text).unwrap();
        assert_eq!(blocks.len(), 8);
        assert_eq!((blocks.v4.0.len(), blocks.v6.0.len()), (5, 1), "{blocks:?}");
        for blocked in [
            "192.0.2.7",
            "::ffff:192.0.2.7",
            "198.51.100.0",
            "198.51.100.255",
            "198.51.101.127",
            "2001:db8::",
            "2001:db8:ffff::1",
            "203.0.113.9",
            "10.255.255.255",
            "10.2.0.0",
            "0.0.0.0",
        ] {
            assert!(has(&blocks, blocked), "{blocked}");
        }
        for free in [
            "192.0.2.6",
            "192.0.2.8",
            "198.51.99.255",
            "198.51.101.128",
            "2001:db9::",
            "2001:db7::",
            "203.0.112.255",
            "203.0.114.0",
            "11.0.0.0",
            "9.255.255.255",
            "::",
            "0.0.0.1",
        ] {
            assert!(!has(&blocks, free), "{free}");
        }
    }

    #[test]
    fn a_whole_family_is_that_family_alone() {
        let v6 = blocks("::/0").unwrap();
        assert!(has(&v6, "::") && has(&v6, "ffff::1") && !has(&v6, "192.0.2.1"));
        let v4 = blocks("0.0.0.0/0").unwrap();
        assert!(has(&v4, "255.255.255.255") && has(&v4, "0.0.0.0") && !has(&v4, "2001:db8::1"));
        let none = blocks("# nobody\n").unwrap();
        assert!(none.is_empty() && !has(&none, "0.0.0.0"));
        let last = blocks("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff\n255.255.255.255").unwrap();
        assert!(has(&last, "255.255.255.255") && !has(&last, "255.255.255.254"));
    }

    #[test]
    fn what_is_no_network_is_named_with_its_line() {
        for wrong in [
            "x",
            "192.0.2",
            "192.0.2.0/33",
            "2001:db8::/129",
            "192.0.2.0/",
            "192.0.2.0/+8",
            "192.0.2.0/24/1",
            "/",
            "example.org",
            "192.0.2.0/-1",
            "192.0.2.7 192.0.2.8",
        ] {
            let why = blocks(&format!("192.0.2.7\n{wrong}")).unwrap_err();
            assert!(why.starts_with(&format!("list line 2: {wrong:?}: want ")), "{why}");
        }
        let why = blocks("192.0.2.7/24").unwrap_err();
        assert!(why.ends_with("write 192.0.2.0/24 for all of it, or 192.0.2.7"), "{why}");
        let why = blocks("2001:db8::7/32").unwrap_err();
        assert!(why.ends_with("write 2001:db8::/32 for all of it, or 2001:db8::7"), "{why}");
        let why = blocks("::ffff:192.0.2.7/120").unwrap_err();
        assert!(why.ends_with("write 192.0.2.0/24 for all of it, or 192.0.2.7"), "{why}");
    }

    proptest::proptest! {
        /// However networks overlap, an address is blocked if it is in one of them.
        #[test]
        fn an_address_is_blocked_if_a_network_has_it(
            networks in proptest::collection::vec((0_u32..1 << 10, 22_u32..=32), 0..20),
            addr in 0_u32..1 << 10,
        ) {
            let of = |(first, length): &(u32, u32)| {
                (first & u32::MAX.checked_shl(32 - length).unwrap_or(0), *length)
            };
            let networks: Vec<(u32, u32)> = networks.iter().map(of).collect();
            let lines: Vec<String> = networks
                .iter()
                .map(|(first, length)| format!("{}/{length}", Ipv4Addr::from_bits(*first)))
                .collect();
            let is_in = |(first, length): &(u32, u32)| (addr ^ first) >> (32 - length) == 0;
            let wanted = networks.iter().any(is_in);
            let blocks = blocks(&lines.join("\n")).unwrap();
            proptest::prop_assert_eq!(blocks.has(Ipv4Addr::from_bits(addr).into()), wanted);
        }
    }
}
