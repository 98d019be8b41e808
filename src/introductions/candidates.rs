//! Where one side is for the other: the endpoint that the server sees, the ports that a NAT gives next, and
//! endpoints of a network that both are in.

use std::net::{IpAddr, SocketAddr};

use super::{PublicIps, is_inside};
use crate::dialect::Context;
use crate::nats::{Kind, Ports};
use crate::prefixes::network;
use crate::unproven::is_local;

/// Where one side is for the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidates {
    /// The endpoint that the server sees, or the public one where that is inside its own network.
    pub endpoint: SocketAddr,
    /// What it is behind.
    pub kind: Kind,
    /// The ports that it is going to have, nearest first, if its NAT is known to count.
    pub next: Ports,
}

impl Candidates {
    /// Those of `who` towards `whom`. What the NAT of somebody whose address is proven has shown up to
    /// now is kept.
    pub fn of(
        cx: &mut Context<'_>,
        public_ips: PublicIps,
        [who, whom]: [SocketAddr; 2],
        is_proven: bool,
    ) -> Self {
        let now = cx.now.instant;
        if is_proven {
            cx.shared.nats.settle(now, who);
        }
        Self {
            endpoint: public_ips.told_at(who, whom),
            kind: cx.shared.nats.kind(now, who),
            next: cx.shared.nats.next(now, who, whom, 1),
        }
    }

    /// The endpoint for those who can be told one only.
    #[must_use]
    pub fn best(&self) -> SocketAddr {
        let port = self.next.first().copied().unwrap_or(self.endpoint.port());
        SocketAddr::new(self.endpoint.ip(), port)
    }
}

/// The ports of a client at which a host is to knock, who can be told of several, as it knocks at all of
/// them: so one more may be tried where nobody knows whether the client's NAT gives each destination
/// another port. The best come first; if the host's own ports count, its first knock decides.
pub fn ports_to_knock_at(cx: &mut Context<'_>, client: SocketAddr, host: SocketAddr) -> Ports {
    /// Each of them is knocked at for fifteen seconds, 60 times a second.
    const SURE: usize = 2;
    let is_outside = !is_inside(client.ip());
    let about = is_outside.then(|| cx.shared.nats.about(cx.now.instant, client));
    let maybe = about.and_then(|about| about.maybe);
    let next = cx.shared.nats.next(cx.now.instant, client, host, 1);
    next.into_iter().take(SURE).chain([client.port()]).chain(maybe).collect()
}

/// Whether two may be in one network, so that each is told the endpoints that the other has there: they
/// come from one address, or both from the network of the server. To others these endpoints lead nowhere,
/// or to a stranger.
#[must_use]
pub fn may_share_network(one: SocketAddr, other: SocketAddr) -> bool {
    one.ip() == other.ip() || is_inside(one.ip()) && is_inside(other.ip())
}

/// Whether others may be told that a peer, who is seen at `public`, has this address in its own
/// network. They knock there: a stranger's must not be.
#[must_use]
pub fn may_be_told(local: IpAddr, public: IpAddr) -> bool {
    is_local(local) || local.is_loopback() || network(local) == network(public)
}
