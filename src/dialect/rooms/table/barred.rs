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
        let keeps_out = self.room(id).is_some_and(|room| room.access.keeps_out(from, None));
        keeps_out || self.is_barred_as_known(public_ips, id, from)
    }

    /// The same of a client of the room with this ID, which may have come there with another port.
    pub(in crate::dialect::rooms) fn is_kicked_out(
        &self,
        public_ips: &PublicIps,
        room: Id,
        (at, id): (SocketAddr, Id),
    ) -> bool {
        let keeps_out = self.room(room).is_some_and(|room| room.access.keeps_out_member(at, &id));
        keeps_out || self.is_barred_as_known(public_ips, room, at)
    }

    /// Whether all are kept out that have the address by which the host knows who is at this endpoint.
    fn is_barred_as_known(&self, public_ips: &PublicIps, id: Id, from: SocketAddr) -> bool {
        let known_as = self.known_as(public_ips, id, from).map(Ban::everybody_at);
        let room = self.room(id);
        known_as.is_some_and(|them| room.is_some_and(|room| room.access.has_ban(&them)))
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
