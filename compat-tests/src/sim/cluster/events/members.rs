//! What peers are told of rooms: each is told of its own room alone, and all in it of the same.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde_json::Value;

use super::super::faults::TOLD;
use super::super::stage::Stage;
use super::Cast;
use super::peer::In;

/// So long it may take until another node hears that a join was given up.
const GIVEN_UP: Duration = Duration::from_secs(5);

impl Cast {
    /// Whether a peer may not have heard all that was said of the room that it is in: what is lost between its node and
    /// that of the room is not said again.
    pub(super) fn may_have_missed(&self, stage: &Stage, n: usize) -> bool {
        let Some(peer) = self.peers.get(n) else { return false };
        let Some(room) = &peer.room else { return false };
        let node = self.rooms.get(&room.room).map_or(peer.node, |made| made.node);
        room.has_missed
            || !stage.faults.is_calm((peer.node, node), room.since.before(TOLD), stage.now)
    }

    /// A peer is in a room from now on, with these others.
    pub(super) fn come_in(
        &mut self,
        stage: &Stage,
        n: usize,
        room: &str,
        data: &Value,
    ) -> Result<(), String> {
        let made = self.rooms.get(room).ok_or("nobody has made that room")?;
        let players = data["players"].as_array().ok_or("nobody is in it")?;
        let members = players.iter().filter_map(|id| id.as_str().map(String::from)).collect();
        let Some(peer) = self.peers.get_mut(n) else { return Ok(()) };
        let new = In { room: room.to_owned(), members, since: stage.now, ..In::default() };
        if new.members.first().map(|host| &**host) != data["host"].as_str() {
            return Err("its host is not the first in it".into());
        }
        if !new.members.contains(&peer.id) {
            return Err("it is not in it itself".into());
        }
        if (data["mesh"] == true) != made.is_mesh && data["mesh"].is_boolean() {
            return Err("it is another kind of room".into());
        }
        // That it left before, of which it may never have been told, is over.
        peer.left.take_if(|left| *left == room);
        let before = peer.room.replace(new);
        match before {
            Some(before) if before.room != room => Err(format!("it was in {}", before.room)),
            // What it was told before it came back it knows still.
            Some(before) => {
                if let Some(room) = &mut peer.room {
                    (room.introduced, room.since) = (before.introduced, before.since);
                    room.has_missed = before.has_missed;
                }
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// A peer is told something of a room, by the server.
    pub(super) fn told_of_room(
        &mut self,
        stage: &mut Stage,
        n: usize,
        name: &str,
        data: &Value,
    ) -> Result<(), String> {
        let has_missed = self.may_have_missed(stage, n);
        let Some(peer) = self.peers.get_mut(n) else { return Ok(()) };
        // What has waited for it follows the answer that it is back, which has all of that already.
        let is_back = has_missed || peer.since == Some(stage.now);
        // What it has asked for itself is answered first. Who has come into another room by then would take itself to be
        // in none.
        if name == "self_left" && data["room"].as_str() == peer.left.as_deref() {
            if peer.room.is_some() && !is_back {
                return Err("it has come into another room since".into());
            }
            peer.left = None;
            if data["reason"] == "room_deleted" {
                self.note_ended(data["room"].as_str().unwrap_or_default());
            }
            return Ok(());
        }
        let gave_up = peer.gave_up.is_some_and(|at| stage.now.since(at) < GIVEN_UP);
        let Some(room) = peer.room.as_mut() else {
            let may_be = is_back || gave_up && name == "self_left";
            return if may_be { Ok(()) } else { Err("it is in no room".into()) };
        };
        if name == "introduce" {
            return self.introduced(n, is_back, data);
        }
        if data["room"].as_str() != Some(&room.room) {
            if is_back {
                return Ok(());
            }
            return Err(format!("it is in {}", room.room));
        }
        let id = data["id"].as_str().unwrap_or_default();
        let (is_own, is_member) = (id == peer.id, room.members.iter().any(|member| member == id));
        let is_host = room.members.first() == Some(&peer.id);
        let is_elsewhere = self.rooms.get(&room.room).is_none_or(|made| made.node != peer.node);
        match name {
            "self_joined" if is_own && !room.has_joined => room.has_joined = true,
            "player_joined" if !is_own && !is_member && room.has_joined => {
                room.members.push(id.to_owned());
            }
            "player_left" if !is_own && is_member => {
                room.members.retain(|member| member != id);
                room.introduced.remove(id);
            }
            "host_changed" if is_member && room.members.first().is_some_and(|host| host == id) => {
                room.is_told_again = true;
            }
            "room_updated" if room.has_joined => {}
            // The host alone knows, unless the node of the room is gone.
            "room_deleted" if !is_host || is_elsewhere => {
                let room = room.room.clone();
                self.note_ended(&room);
            }
            "self_left" if is_own => {
                stage.note("left", &format!("{} has left {}", peer.id, room.room));
                if data["reason"] == "kicked" {
                    peer.kicked.insert(room.room.clone());
                }
                if data["reason"] == "room_deleted"
                    && let Some(made) = self.rooms.get_mut(&room.room)
                {
                    made.has_ended = true;
                }
                peer.room = None;
            }
            _ if is_back => {}
            _ => return Err(format!("it is not so: {room:?}")),
        }
        Ok(())
    }

    fn note_ended(&mut self, room: &str) {
        if let Some(made) = self.rooms.get_mut(room) {
            made.has_ended = true;
        }
    }

    /// A peer is told where another one is.
    fn introduced(&mut self, n: usize, is_back: bool, data: &Value) -> Result<(), String> {
        let (id, nonce) = (data["id"].as_str().unwrap_or_default(), data["nonce"].as_str());
        let ip: Option<IpAddr> = data["ip"].as_str().and_then(|ip| ip.parse().ok());
        let port = data["port"].as_u64().and_then(|port| u16::try_from(port).ok());
        let at = ip.zip(port).map(|(ip, port)| SocketAddr::new(ip, port));
        let (at, nonce) = at.zip(nonce).ok_or("it does not say where")?;
        if !self.peers.iter().any(|other| other.id == id && other.at[1] == at) {
            return Err("the other one was never there".into());
        }
        let Some(room) = self.peers.get_mut(n).and_then(|peer| peer.room.as_mut()) else {
            return Ok(());
        };
        if !room.members.iter().any(|member| member == id) {
            if is_back {
                return Ok(());
            }
            return Err(format!("that one is not in its room: {room:?}"));
        }
        let told = room.introduced.entry(id.to_owned()).or_default();
        let new = (at, nonce.to_owned());
        if told.contains(&new) && !room.is_told_again {
            return Err("it was told so before".into());
        }
        told.push(new);
        Ok(())
    }
}
