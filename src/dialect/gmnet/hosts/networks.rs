//! Hosts of several nodes, each of which may be in a network of its own: an address inside means somebody else
//! in each.

use std::net::IpAddr;

use smallvec::SmallVec;

use super::Hosts;
use crate::cluster::NodeId;
use crate::dialect::gmnet::host::Host;
use crate::dialect::gmnet::inside::Inside;
use crate::dialect::gmnet::slot::HostKey;
use crate::introductions::{PublicIps, is_inside};

/// The hosts of an address, of this node and of others, the oldest first.
pub(in crate::dialect::gmnet) type AllAt<'h> = SmallVec<[(HostKey, &'h Host); 4]>;

/// The address by which those outside know who is at `addr` in the network of a node; none: it is in none, or nobody
/// has said. Hosts of two nodes are in one network only if that is the same.
pub(super) fn public_of(public_ips: PublicIps, addr: IpAddr) -> Option<IpAddr> {
    public_ips.like(addr).filter(|ip| is_inside(addr) && *ip != addr)
}

impl Hosts {
    /// The hosts of an address, of this node and of others.
    pub(in crate::dialect::gmnet) fn all_at(&self, addr: IpAddr) -> AllAt<'_> {
        let all = self.all_at_of(None, addr);
        if all.is_empty() && is_inside(addr) && self.public_ips.like(addr).is_none() {
            // Nobody has said in which network this node is.
            return self.all_that(addr, |_, _| true);
        }
        all
    }

    /// The hosts of an address, as those have it who are in the network of a node, or of this one.
    pub(in crate::dialect::gmnet) fn all_at_of(
        &self,
        node: Option<NodeId>,
        addr: IpAddr,
    ) -> AllAt<'_> {
        let public_ips = match node {
            None => self.public_ips,
            Some(node) => match self.elsewhere.public_ips(node) {
                Some(public_ips) => public_ips,
                // It is gone. Its hosts may have come to another node, but nobody knows into which network.
                None if is_inside(addr) => return AllAt::new(),
                None => PublicIps::default(),
            },
        };
        let public = public_of(public_ips, addr);
        self.all_that(addr, |key, host| host.addr != addr || self.public(key, host) == public)
    }

    /// Of the hosts of an address, wherever they are, those which this is true of.
    pub(super) fn all_that(
        &self,
        addr: IpAddr,
        is_it: impl Fn(HostKey, &Host) -> bool,
    ) -> AllAt<'_> {
        let is_it = |(key, host): &(HostKey, &Host)| is_it(*key, host);
        let mut all: AllAt<'_> = self.at(addr).filter(&is_it).collect();
        if !self.elsewhere.is_empty() {
            let own = all.len();
            all.extend(self.elsewhere.at(addr).filter(is_it));
            if all.len() > own {
                all.sort_by_key(|(_, host)| (host.since, host.number));
            }
        }
        all
    }

    /// The address by which those outside know a host, if it is in the network of its node.
    pub(super) fn public(&self, key: HostKey, host: &Host) -> Option<IpAddr> {
        let elsewhere = self.elsewhere.public(key);
        elsewhere.unwrap_or_else(|| public_of(self.public_ips, host.addr))
    }

    /// Whether a host is in the network of another node, and this node is in one of its own: what is inside of the one
    /// leads nowhere in the other.
    fn is_apart(&self, key: HostKey, host: &Host) -> bool {
        let own = public_of(self.public_ips, host.addr);
        own.is_some() && self.public(key, host) != own
    }

    /// Whether a host is known to be in the same network as this node.
    pub(in crate::dialect::gmnet) fn is_near(&self, key: HostKey, host: &Host) -> bool {
        let own = public_of(self.public_ips, host.addr);
        own.is_some() && self.public(key, host) == own
    }

    /// The address by which `whom`, who has come to this node, can reach a host.
    pub(in crate::dialect::gmnet) fn told(
        &self,
        key: HostKey,
        host: &Host,
        whom: IpAddr,
    ) -> IpAddr {
        let is_outside = !is_inside(whom) || self.is_apart(key, host);
        self.public(key, host).filter(|_| is_outside).unwrap_or(host.addr)
    }

    /// The address by which a host can reach a client who has come to this node.
    pub(in crate::dialect::gmnet) fn client_told(
        &self,
        key: HostKey,
        host: &Host,
        client: IpAddr,
    ) -> IpAddr {
        let public = public_of(self.public_ips, client).filter(|_| self.is_apart(key, host));
        public.unwrap_or_else(|| self.public_ips.told(client, host.addr))
    }

    /// Whether other hosts are known by the address that a viewer is told of one.
    #[must_use]
    pub fn shares_address(&self, key: HostKey, host: &Host, told: IpAddr) -> bool {
        let (is_inside, public) = (told == host.addr, self.public(key, host));
        let is_known = |(other, its): &(HostKey, &Host)| {
            !is_inside || its.addr != told || self.public(*other, its) == public
        };
        // Of those in the network of this node there may be very many.
        let is_ours = !is_inside && self.public_ips.contains(told);
        let inside = self.inside.as_ref().filter(|_| is_ours).map_or(0, Inside::len);
        let all = self.at(told).chain(self.elsewhere.at(told));
        inside + all.filter(is_known).take(2).count() > 1
    }
}
