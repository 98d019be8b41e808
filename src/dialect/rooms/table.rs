//! The rooms and who is in them. Every peer is found by its ID and by its endpoint; one endpoint
//! is one peer.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::field::Id;
use crate::blocks::Blocks;
use crate::clock::{Instant, earliest};
use crate::dialect::Keeping;
use crate::hash::Map;
use crate::limits;
use crate::lobby::access::Access;
use crate::lobby::code::Code;
use crate::lobby::data::Data;
use crate::lobby::extras::Extras;
use crate::prefixes::KeysBySource;
use crate::timers::Timers;
use crate::unproven::Unproven;

mod barred;
mod endpoints;
mod handover;
mod kept;
mod listed;
mod networks;
mod peer;
mod presence;
mod remote;
mod room;

use endpoints::{Endpoints, Peers};
use listed::{Closed, Listed, Turns, forget};
use networks::Networks;
pub(super) use peer::{Others, Peer, Status};
use remote::RemoteRooms;
pub(super) use remote::{Seen, Told};
pub(super) use room::{Ban, Looks, Opening, Room, set_all};
use serde::{Deserialize, Serialize};

/// All rooms and peers.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Table {
    /// What is large is not in the tables themselves, half of which may be empty.
    peers: Peers,
    rooms: Map<Id, Box<Room>>,
    #[serde(skip)]
    at: Endpoints,
    /// The rooms of each game that lists have.
    #[serde(skip)]
    listed: Map<Box<str>, Listed>,
    #[serde(skip)]
    turns: Turns,
    pub(super) closed: Closed,
    /// Private rooms by their codes.
    #[serde(skip)]
    codes: Map<Code, Id>,
    rooms_made: u64,
    #[serde(skip)]
    elsewhere: RemoteRooms,
    /// Rooms of which other nodes may have to be told something; none if there are no others.
    #[serde(skip)]
    pub(super) news: Option<Vec<Id>>,
    #[serde(skip)]
    pub(super) extras: Extras,
    pub(super) by_source: KeysBySource<Id>,
    /// How many peers each network has; hosts of somebody give way to nobody.
    #[serde(skip)]
    pub(super) networks: Networks,
    /// Peers, those first that have been silent longest.
    silent: Timers<Id>,
    /// The same of those that have not proved themselves.
    unproved: Timers<Id>,
    /// Peers that have moved and still have time to show their new keys.
    #[serde(default = "no_moved")]
    moved: Timers<Id>,
    /// Rooms that are going to be closed.
    closing: Timers<Id>,
    /// Clients that have given up their places.
    kept: Timers<Id>,
    /// Hosts that have been told something several times and have said nothing since.
    doubted: Timers<Id>,
}

/// What a version says that knows of none.
fn no_moved() -> Timers<Id> {
    Timers::new(limits::MOVED_PLACE)
}

impl Table {
    pub(super) fn new(silence: Duration) -> Self {
        Self {
            peers: Peers::default(),
            rooms: Map::default(),
            at: Endpoints::default(),
            listed: Map::default(),
            turns: Turns::default(),
            closed: Closed::default(),
            codes: Map::default(),
            rooms_made: 0,
            elsewhere: RemoteRooms::default(),
            news: None,
            extras: Extras::default(),
            by_source: KeysBySource::default(),
            networks: Networks::default(),
            silent: Timers::new(silence),
            unproved: Timers::new(silence),
            moved: no_moved(),
            closing: Timers::new(limits::PARTED),
            kept: Timers::new(limits::PARTED),
            doubted: Timers::new(limits::ROOM_DOUBT.min(silence)),
        }
    }

    /// At most so many whose addresses are blocked.
    pub(super) fn blocked(&self, blocks: &Blocks, most: usize) -> Vec<Id> {
        let blocked = self.peers.iter().filter(|(_, peer)| blocks.has(peer.endpoint.ip()));
        blocked.map(|(id, _)| *id).take(most).collect()
    }

    pub(super) fn peer(&self, id: Id) -> Option<&Peer> {
        self.peers.get(&id).map(|peer| &**peer)
    }

    pub(super) fn peer_mut(&mut self, id: Id) -> Option<&mut Peer> {
        self.peers.get_mut(&id).map(|peer| &mut **peer)
    }

    pub(super) fn id_at(&self, endpoint: SocketAddr) -> Option<Id> {
        self.at.get(&self.peers, endpoint)
    }

    pub(super) fn peer_at(&self, endpoint: SocketAddr) -> Option<&Peer> {
        self.peer(self.id_at(endpoint)?)
    }

    pub(super) fn room(&self, id: Id) -> Option<&Room> {
        self.rooms.get(&id).map(|room| &**room)
    }

    pub(super) fn room_mut(&mut self, id: Id) -> Option<&mut Room> {
        self.changed(id);
        self.rooms.get_mut(&id).map(|room| &mut **room)
    }

    /// How many peers there are.
    pub(super) fn len(&self) -> usize {
        self.peers.len()
    }

    /// How many rooms there are.
    pub(super) fn rooms_len(&self) -> usize {
        self.rooms.len()
    }

    /// All rooms, in an order that holds while none comes or goes.
    pub(super) fn all_rooms(&self) -> impl Iterator<Item = &Room> {
        self.rooms.values().map(|room| &**room)
    }

    /// How many listed rooms each game has.
    pub(super) fn each_game(&self, each: &mut dyn FnMut(&str, usize)) {
        let rooms = |listed: &Listed| listed.both().iter().map(|rooms| rooms.len()).sum();
        self.listed.iter().for_each(|(game, listed)| each(game, rooms(listed)));
    }

    /// Whether an ID means something already.
    pub(super) fn is_taken(&self, id: Id) -> bool {
        self.peers.contains_key(&id) || self.rooms.contains_key(&id)
    }

    /// The peers of the source that has this address.
    pub(super) fn neighbours(&self, addr: IpAddr) -> impl Iterator<Item = &Peer> {
        self.by_source.of(addr).iter().filter_map(|id| self.peer(*id))
    }

    /// A new room with its host. With a code, which no other has, it is private.
    pub(super) fn open(
        &mut self,
        now: Instant,
        id: Id,
        opening: Opening,
        code: Option<Code>,
        host: Peer,
    ) {
        self.rooms_made += 1;
        if let Some(code) = code {
            self.codes.insert(code, id);
        }
        let mut room = Room::new(id, opening, code, &host, self.rooms_made);
        // Whoever opens one with more has been told that there is space for it.
        if !self.extras.set(&mut room.extra, room.data.size(), 0) {
            room.data = Data::default();
        }
        self.rooms.insert(id, Box::new(room));
        self.insert(now, host);
        self.list(id);
    }

    /// A room has other own data. False: there is no space for as much, and it has what it had.
    pub(super) fn set_data(&mut self, id: Id, data: Data) -> bool {
        self.changed(id);
        let Some(room) = self.rooms.get_mut(&id) else { return false };
        let has_space = self.extras.set(&mut room.extra, data.size(), room.access.kicked());
        if has_space {
            room.data = data;
        }
        has_space
    }

    /// Keeps somebody out of a room.
    pub(super) fn ban(&mut self, id: Id, ban: Ban) {
        let Some(room) = self.rooms.get_mut(&id) else { return };
        let may_be_forged = self.peers.get(&room.host).is_none_or(|host| !host.proved);
        let Room { extra, access, data, .. } = &mut **room;
        self.extras.ban((extra, data.size()), access, ban, may_be_forged);
    }

    /// Lets some in again who were kept out.
    pub(super) fn let_in(&mut self, id: Id, let_in: impl FnOnce(&mut Access<Id>)) {
        let Some(room) = self.rooms.get_mut(&id) else { return };
        let_in(&mut room.access);
        // There is always space for less.
        let _ = self.extras.set(&mut room.extra, room.data.size(), room.access.kicked());
    }

    /// A new client.
    pub(super) fn join(&mut self, now: Instant, client: Peer) {
        if self.rooms.contains_key(&client.room) {
            let (room, id) = (client.room, client.id);
            self.insert(now, client);
            self.enter(room, id);
        }
    }

    fn insert(&mut self, now: Instant, mut peer: Peer) {
        let (id, via) = (peer.id, peer.via);
        self.by_source.add(peer.endpoint.ip(), id);
        self.networks.add(peer.endpoint.ip());
        peer.since = now;
        self.at.set(&self.peers, peer.endpoint, id);
        self.peers.insert(id, Box::new(peer));
        self.heard(now, id, via);
    }

    /// Removes a client.
    pub(super) fn leave(&mut self, unproven: &mut Unproven, id: Id) -> Option<Peer> {
        self.exit(id);
        let left = self.remove(unproven, id)?;
        // What its host has said of it is of no use any more.
        let host = self.rooms.get(&left.room).map(|room| room.host);
        let others = host.and_then(|host| self.peers.get_mut(&host)?.known_others());
        if let Some(others) = others {
            others.reached.retain(|(reached, _)| *reached != id);
        }
        Some(left)
    }

    /// A client becomes the host of its room; the host until now is removed.
    pub(super) fn hand_over(
        &mut self,
        unproven: &mut Unproven,
        id: Id,
        successor: Id,
    ) -> Option<Peer> {
        // Host and players are counted together, so nobody is in the room meanwhile.
        self.exit(successor);
        let mut others = (Vec::new(), 0);
        self.change_clients(id, |room| {
            others = (std::mem::take(&mut room.clients), std::mem::take(&mut room.true_clients));
        });
        let room = self.rooms.get_mut(&id)?;
        let former = std::mem::replace(&mut room.host, successor);
        if let Some(successor) = self.peers.get_mut(&successor) {
            successor.begin_anew();
            successor.is_host = true;
        }
        self.change_clients(id, |room| (room.clients, room.true_clients) = others);
        self.show(id);
        self.remove(unproven, former)
    }

    /// One more client is in a room.
    fn enter(&mut self, room: Id, id: Id) {
        let is_true = self.peer(id).is_some_and(|client| client.is_true);
        self.change_clients(room, |room| {
            room.clients.push(id);
            room.true_clients += usize::from(is_true);
        });
    }

    /// A client is not in its room any more.
    fn exit(&mut self, id: Id) {
        let Some((room, is_true)) = self.peer(id).map(|client| (client.room, client.is_true))
        else {
            return;
        };
        self.change_clients(room, |room| {
            let before = room.clients.len();
            room.clients.retain(|client| *client != id);
            let left = usize::from(is_true && room.clients.len() < before);
            room.true_clients = room.true_clients.saturating_sub(left);
        });
    }

    /// Changes who is in a room with its host, who gives way to nobody while somebody is. Those who are true
    /// are counted by who changes it: a room is too large to look at all of them each time.
    fn change_clients(&mut self, id: Id, change: impl FnOnce(&mut Room)) {
        self.changed(id);
        let Some(room) = self.rooms.get_mut(&id) else { return };
        let had_players = !room.clients.is_empty();
        change(room);
        // Many rooms may have been large once.
        room.clients.shrink_to(2 * room.clients.len());
        let has_players = !room.clients.is_empty();
        let Some(host) = self.peers.get(&room.host) else { return };
        match (had_players, has_players) {
            (false, true) => self.networks.protect(host.endpoint.ip()),
            (true, false) => self.networks.release(host.endpoint.ip()),
            _ => {}
        }
    }

    /// Whether those who are true are counted right, for tests.
    #[cfg(test)]
    pub(super) fn are_counted_right(&self) -> bool {
        let is_true = |id: &&Id| self.peer(**id).is_some_and(|peer| peer.is_true);
        let mut rooms = self.rooms.values();
        rooms.all(|room| room.true_clients == room.clients.iter().filter(is_true).count())
    }

    /// A peer is there: nobody has forged it.
    pub(super) fn note_true(&mut self, id: Id) {
        let Some(peer) = self.peers.get_mut(&id).filter(|peer| !peer.is_true) else { return };
        peer.is_true = true;
        if let Some(room) = self.rooms.get_mut(&peer.room) {
            room.true_clients += usize::from(room.clients.contains(&id));
            let room = room.id;
            self.changed(room);
        }
    }

    /// Removes a room and everybody in it: the host first, then its clients.
    pub(super) fn close(
        &mut self,
        unproven: &mut Unproven,
        now: Instant,
        room: Id,
    ) -> Option<(Box<Room>, Vec<Peer>)> {
        let mut ids = vec![self.rooms.get(&room)?.host];
        self.change_clients(room, |room| {
            ids.append(&mut room.clients);
            room.true_clients = 0;
        });
        let mut room = self.rooms.remove(&room)?;
        self.extras.remove(&mut room.extra);
        forget(&mut self.listed, &mut self.turns, &mut room);
        self.closed.note(now, room.id, room.rank);
        if let Some(code) = room.code {
            self.codes.remove(&code);
        }
        self.closing.cancel(&room.id);
        let peers = ids.into_iter().filter_map(|id| self.remove(unproven, id)).collect();
        Some((room, peers))
    }

    fn remove(&mut self, unproven: &mut Unproven, id: Id) -> Option<Peer> {
        self.kept.cancel(&id);
        self.silent.cancel(&id);
        self.doubted.cancel(&id);
        self.unproved.cancel(&id);
        self.moved.cancel(&id);
        let endpoint = self.peer(id)?.endpoint;
        // Whose place is kept may have another one there.
        if self.id_at(endpoint) == Some(id) {
            self.at.remove(&self.peers, endpoint);
        }
        let peer = self.peers.remove(&id)?;
        self.by_source.remove(peer.endpoint.ip(), &id);
        self.networks.remove(peer.endpoint.ip());
        if peer.proved {
            unproven.remove(peer.endpoint.ip());
        }
        Some(*peer)
    }

    /// When the next peer has been silent or its place been kept for long enough, or a room has to be
    /// closed.
    pub(super) fn next_wakeup(&self) -> Option<Instant> {
        earliest([
            self.silent.next(),
            self.closing.next(),
            self.kept.next(),
            self.doubted.next(),
            self.moved.next(),
            self.closed.next_wakeup(),
            self.elsewhere.next_sweep(),
            self.news.as_ref().filter(|news| !news.is_empty()).map(|_| Instant::default()),
        ])
    }

    /// Forgets where rooms stood that were closed long ago.
    pub(super) fn forget_closed(&mut self, now: Instant) {
        self.closed.forget(now);
    }

    /// How much is kept of peers and rooms, those of other nodes included.
    pub(super) fn kept(&self, each: &mut Keeping<'_>) {
        each("rooms: peers", self.peers.len());
        each("rooms: rooms", self.rooms.len());
        each("rooms: endpoints", self.at.len());
        each("rooms: games", self.listed.len());
        each("rooms: codes", self.codes.len());
        each("rooms: rooms of other nodes", self.elsewhere.len());
        each("rooms: news", self.news.as_ref().map_or(0, Vec::len));
    }

    /// Whether nothing is left of anybody, but for where closed rooms stood, which is forgotten later.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.peers.is_empty()
            && self.rooms.is_empty()
            && self.at.len() == 0
            && self.listed.is_empty()
            && self.turns.is_empty()
            && self.codes.is_empty()
            && self.extras.is_empty()
            && self.by_source.is_empty()
            && self.networks.is_empty()
            && self.silent.is_empty()
            && self.unproved.is_empty()
            && self.moved.is_empty()
            && self.closing.is_empty()
            && self.kept.is_empty()
            && self.doubted.is_empty()
    }
}
