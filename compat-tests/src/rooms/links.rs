//! A player's ENet connections, from the knock that came through to their end.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use punchd::dialect::rooms::field::Id;
use punchd::dialect::rooms::message::Request;
use rusty_enet::{EventNoRef, PeerID};

use super::player::{Event, KICKED, Player};
use super::punch::State;
use super::tap::KNOCK;

/// How long a handshake may take. ENet repeats a lost one ever more seldom, so it is begun anew.
const HANDSHAKE: Duration = Duration::from_secs(2);

impl Player {
    /// The other side can be heard. It may come from another port than the master server has seen.
    pub(super) fn on_knock(&mut self, from: SocketAddr) {
        let exact = self.punches.iter().position(|punch| punch.is_at(from));
        let near = || self.punches.iter().position(|punch| punch.at.ip() == from.ip());
        let Some(punch) = exact.or_else(near).and_then(|at| self.punches.get_mut(at)) else {
            return;
        };
        if punch.state != State::Knocking {
            return;
        }
        punch.at = from;
        punch.state = State::Open;
        self.enet.socket().send_to(from, KNOCK);
    }

    /// As a client, connects where knocks came through, and begins anew what does not come to an end.
    pub(super) fn shake_hands(&mut self) {
        let own = self.punches.iter().map(|punch| self.connects_to(punch.id)).collect::<Vec<_>>();
        let now = Instant::now();
        let punches = self.punches.iter_mut().zip(own).filter(|(_, own)| *own);
        for (punch, _) in punches.filter(|(punch, _)| punch.state == State::Open) {
            if punch.shaken.is_some_and(|since| now.duration_since(since) < HANDSHAKE) {
                continue;
            }
            punch.shaken = Some(now);
            if let Some(peer) = punch.handshake.take() {
                self.enet.peer_mut(peer).reset();
            }
            // There is none only if there are 64 connections already.
            punch.handshake = self.enet.connect(punch.at, 1, 0).map(|peer| peer.id()).ok();
        }
    }

    /// Ends the handshake with this player, if there is one.
    pub(super) fn give_up(&mut self, id: Id) {
        let punches = self.punches.iter_mut().filter(|punch| punch.id == id);
        for peer in punches.filter_map(|punch| punch.handshake.take()) {
            self.enet.peer_mut(peer).reset();
        }
    }

    /// Ends all handshakes.
    pub(super) fn give_up_all(&mut self) {
        for peer in self.punches.iter_mut().filter_map(|punch| punch.handshake.take()) {
            self.enet.peer_mut(peer).reset();
        }
    }

    pub(super) fn on_enet(&mut self, event: EventNoRef) {
        match event {
            EventNoRef::Connect { peer, .. } => self.on_connect(peer),
            EventNoRef::Disconnect { peer, data } => {
                if let Some(id) = self.connections.remove(&peer) {
                    let host = self.place().map(|place| place.room).filter(|_| !self.hosts);
                    let is_kicked = data == KICKED && host == Some(id);
                    let event = if is_kicked { Event::Kicked } else { Event::Disconnected(id) };
                    self.events.push_back(event);
                    let ended = self.punches.iter_mut().filter(|punch| punch.id == id);
                    ended.for_each(|punch| punch.is_over = true);
                    if host == Some(id) {
                        // Is the room closed? Or is it going to have another host?
                        self.send(&Request::KeepAlive);
                    }
                }
                for punch in self.punches.iter_mut().filter(|punch| punch.handshake == Some(peer)) {
                    punch.handshake = None;
                }
            }
            EventNoRef::Receive { peer, packet, .. } => {
                if let Some(id) = self.connections.get(&peer) {
                    let text = String::from_utf8_lossy(packet.data()).into_owned();
                    self.events.push_back(Event::Said(*id, text));
                }
            }
        }
    }

    fn on_connect(&mut self, peer: PeerID) {
        let Some(at) = self.enet.peer(peer).address() else { return };
        let exact = self.punches.iter().position(|punch| punch.is_at(at));
        let near = || self.punches.iter().position(|punch| punch.at.ip() == at.ip());
        let Some(punch) = exact.or_else(near).and_then(|at| self.punches.get_mut(at)) else {
            // Nobody was introduced from there.
            return self.enet.peer_mut(peer).disconnect_now(0);
        };
        let id = punch.id;
        punch.state = State::Connected;
        punch.handshake = None;
        self.connections.insert(peer, id);
        self.report(id, true);
        self.events.push_back(Event::Connected(id));
    }

    /// Ends connections that lead nowhere any more.
    pub(super) fn hang_up_at_once(&mut self, which: impl Fn(Id) -> bool) {
        let peers = self.connections.extract_if(|_, id| which(*id));
        for (peer, _) in peers {
            self.enet.peer_mut(peer).disconnect_now(0);
        }
    }

    /// Ends the connection with a player, and tells it why.
    pub(super) fn disconnect(&mut self, id: Id, why: u32) {
        self.punches.retain(|punch| punch.id != id);
        let found = self.connections.iter().find(|(_, of)| **of == id).map(|(peer, _)| *peer);
        if let Some(peer) = found {
            self.enet.peer_mut(peer).disconnect(why);
        }
    }
}
