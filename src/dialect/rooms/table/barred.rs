//! Who may not enter a room, as its host has kicked him.

use std::net::{IpAddr, SocketAddr};

use super::{Ban, Id, Table};
use crate::introductions::PublicIps;

impl Table {
    /// Whether somebody may not enter a room.
    pub(in crate::dialect::rooms) fn is_barred(
        &self,
        public_ips: &PublicIps,
        id: Id,
        from: SocketAddr,
    ) -> bool {
        let Some(room) = self.room(id) else { return false };
        let known_as = self.known_as(public_ips, id, from).map(Ban::everybody_at);
        room.access.keeps_out(from, None) || known_as.is_some_and(|them| room.access.has_ban(&them))
    }

    /// The address by which the host of a room knows who is at this endpoint.
    pub(in crate::dialect::rooms) fn known_as(
        &self,
        public_ips: &PublicIps,
        room: Id,
        at: SocketAddr,
    ) -> Option<IpAddr> {
        let host = self.peer(self.room(room)?.host)?;
        Some(public_ips.told(at.ip(), host.endpoint.ip()))
    }
}
