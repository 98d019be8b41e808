//! Who is told which endpoint of whom, in all dialects.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use serde::{Deserialize, Serialize};

pub mod attempt;
pub mod candidates;
mod cause;
pub mod cluster_plan;
mod counts;
pub mod journal;
pub mod plan;
pub mod relay;
pub mod unmet;

/// The addresses by which those outside know who is on the machine or in the network of the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicIps {
    /// The one of IPv4.
    pub v4: Option<Ipv4Addr>,
    /// The one of IPv6.
    pub v6: Option<Ipv6Addr>,
}

impl PublicIps {
    /// The one of the family of this address.
    #[must_use]
    pub fn like(&self, addr: IpAddr) -> Option<IpAddr> {
        match addr {
            IpAddr::V4(_) => self.v4.map(IpAddr::V4),
            IpAddr::V6(_) => self.v6.map(IpAddr::V6),
        }
    }

    /// All that there are.
    pub fn all(&self) -> impl Iterator<Item = IpAddr> + use<> {
        self.v4.map(IpAddr::V4).into_iter().chain(self.v6.map(IpAddr::V6))
    }

    /// Whether this is one of them.
    #[must_use]
    pub fn contains(&self, addr: IpAddr) -> bool {
        self.like(addr) == Some(addr)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The address by which `whom` can reach who is at `addr`.
    #[must_use]
    pub fn told(&self, addr: IpAddr, whom: IpAddr) -> IpAddr {
        let public = || self.like(addr).filter(|_| is_inside(addr) && !is_inside(whom));
        public().unwrap_or(addr)
    }

    /// The endpoint at which `whom` can reach who is at `at`.
    #[must_use]
    pub fn told_at(&self, at: SocketAddr, whom: SocketAddr) -> SocketAddr {
        SocketAddr::new(self.told(at.ip(), whom.ip()), at.port())
    }
}

/// One alone.
impl From<IpAddr> for PublicIps {
    fn from(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(v4) => Self { v4: Some(v4), v6: None },
            IpAddr::V6(v6) => Self { v4: None, v6: Some(v6) },
        }
    }
}

/// Of several addresses that are given, one of each family.
impl TryFrom<&[IpAddr]> for PublicIps {
    /// The second one of a family.
    type Error = IpAddr;

    fn try_from(all: &[IpAddr]) -> Result<Self, IpAddr> {
        let mut ips = Self::default();
        for ip in all {
            let is_second = match ip {
                IpAddr::V4(v4) => ips.v4.replace(*v4).is_some_and(|before| before != *v4),
                IpAddr::V6(v6) => ips.v6.replace(*v6).is_some_and(|before| before != *v6),
            };
            if is_second {
                return Err(*ip);
            }
        }
        Ok(ips)
    }
}

/// Whether an address is on the machine or in the network of the server: loopback, private
/// (RFC 1918, RFC 4193), link-local, or a carrier's (RFC 6598).
#[must_use]
pub fn is_inside(addr: IpAddr) -> bool {
    match addr {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            v4.is_loopback()
                || v4.is_private()
                || v4.is_link_local()
                || (a == 100 && b & 0xC0 == 64)
        }
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

/// Whether somebody outside is told an address that means nothing there.
#[must_use]
pub fn leads_nowhere(whom: IpAddr, told: IpAddr) -> bool {
    is_inside(told) && !is_inside(whom)
}

/// Whether both are IPv4 addresses, or both IPv6 addresses: only then can one be told of the other.
#[must_use]
pub fn is_same_family(one: IpAddr, other: IpAddr) -> bool {
    one.is_ipv4() == other.is_ipv4()
}
