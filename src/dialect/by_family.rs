//! What is kept apart for IPv4 and for IPv6: neither side can reach the other.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// One of them for each family.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct ByFamily<T> {
    v4: T,
    v6: T,
}

impl<T> ByFamily<T> {
    /// That of the family of this address.
    pub(super) fn of(&self, addr: IpAddr) -> &T {
        if addr.is_ipv4() { &self.v4 } else { &self.v6 }
    }

    /// The same, to be changed.
    pub(super) fn of_mut(&mut self, addr: IpAddr) -> &mut T {
        if addr.is_ipv4() { &mut self.v4 } else { &mut self.v6 }
    }

    /// That of the family of this address, and the other one.
    pub(super) fn both_from(&self, addr: IpAddr) -> [&T; 2] {
        if addr.is_ipv4() { [&self.v4, &self.v6] } else { [&self.v6, &self.v4] }
    }

    /// Both.
    pub(super) fn both(&self) -> [&T; 2] {
        [&self.v4, &self.v6]
    }

    /// Both, to be changed.
    pub(super) fn both_mut(&mut self) -> [&mut T; 2] {
        [&mut self.v4, &mut self.v6]
    }
}
