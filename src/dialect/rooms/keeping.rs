//! How a peer has its place again that it, or somebody in its name, has given up.

use std::net::SocketAddr;
use std::time::Duration;

use log::info;

use super::departures::How;
use super::leaving::Why;
use super::message::Reason;
use super::{Id, Rooms, Turn};

impl Rooms {
    /// Who has given up a place that is kept has never said so, or thinks better of it. Who is where it was by now
    /// matters only to one that is there still.
    pub(super) fn take_back(
        &mut self,
        turn: &mut Turn<'_, '_>,
        id: Id,
        is_here: bool,
    ) -> Result<(), Reason> {
        let Some(peer) = self.table.peer(id) else { return Err(Reason::NoRoom) };
        let (room, endpoint, is_host) = (peer.room, peer.endpoint, peer.is_host);
        let other = self.table.peer_at(endpoint).filter(|_| is_here);
        // Somebody else may send this with the key of a place of his own, which he has put there himself.
        let is_needed = other.is_some_and(|other| other.proved && (other.signs || other.is_host));
        if is_needed || is_here && self.signs_there_elsewhere(turn) {
            return Err(Reason::BadRequest);
        }
        let other = other.map(|other| other.id);
        if !is_host {
            self.make_place_again(turn, (room, id))?;
        }
        if let Some(other) = other {
            self.end(turn.cx, other, Why::Elsewhere);
        }
        if is_here {
            self.departures.forget(endpoint);
        }
        if is_host {
            self.table.stop_closing(room);
            if self.lines.says(turn.cx.now, endpoint.ip()) {
                let (game, name) = self.names(room);
                info!(
                    dialect = "rooms", event = "registered", host:% = endpoint, game = game, room = name;
                    "room {} of {endpoint} is open again: its host has shown its key", self.named(room)
                );
            }
        } else {
            self.table.restore_peer(id);
            if is_here {
                self.introduce(turn.cx, id);
                self.introduce_to_others(turn.cx, id);
            }
        }
        Ok(())
    }

    /// Makes place in its room for a client whose place is kept. It is still counted everywhere else.
    fn make_place_again(
        &mut self,
        turn: &mut Turn<'_, '_>,
        (room, id): (Id, Id),
    ) -> Result<(), Reason> {
        self.table.room(room).ok_or(Reason::NoRoom)?;
        if self.is_kicked_out(room, (turn.from, id)) {
            return Err(Reason::Kicked);
        }
        let in_the_way = self.in_the_way_there(turn, room, Duration::ZERO)?;
        if !self.places.allow_site(turn.instant(), turn.from.ip(), true) {
            return Err(Reason::Limit);
        }
        if let Some(other) = in_the_way {
            self.end(turn.cx, other, Why::Evicted);
        }
        Ok(())
    }

    /// Whether a client of a room may not be at this endpoint, but for a neighbour who was kicked: those who are in
    /// stay in, and their NATs may give them other ports.
    pub(super) fn is_kicked_out(&self, room: Id, (at, id): (SocketAddr, Id)) -> bool {
        self.table.is_kicked_out(&self.config.public_ips, room, (at, id))
    }

    /// Whether somebody was kicked, and not out of a room that others have led it into.
    pub(super) fn is_kicked(&self, from: SocketAddr) -> bool {
        self.departures.room(from, How::Kicked).is_some()
            && self.table.kept_at(from).next().is_none()
    }
}
