//! How new connections come in, those of players and those of the owner's window.

use std::hash::BuildHasher as _;
use std::io;
use std::net::{IpAddr, SocketAddr};

use log::debug;
use mio::net::{TcpListener, TcpStream};
use socket2::{Domain, Socket, Type};

use super::{Connection, Connections, Listener, Source};
use crate::clock::Instant;
use crate::dialect::ConnId;
use crate::limits;
use crate::net::sys::{self, is_out_of_files};
use crate::net::{PAUSE, canonical};
use crate::prefixes::network;

/// Connections accepted before others have their turn.
const ACCEPT_BUDGET: usize = 256;

/// What accepting gave.
pub(in crate::net) enum Accept {
    Nothing,
    /// A connection of this peer.
    New(ConnId, SocketAddr),
    /// Room has to be made first, for this peer if it is known.
    Full(Option<SocketAddr>),
}

impl Connections {
    pub(in crate::net) fn note_acceptable(&mut self, n: usize) {
        if let Some(listener) = self.listeners.get_mut(n) {
            listener.acceptable = true;
        }
    }

    /// The next new connection, unless this turn has had enough of them. Those of addresses that are
    /// blocked end at once, so that nobody gives way to them.
    pub(in crate::net) fn accept(
        &mut self,
        now: Instant,
        mut is_blocked: impl FnMut(IpAddr) -> bool,
    ) -> Accept {
        if self.accept_again.is_some_and(|at| now < at) {
            return Accept::Nothing;
        }
        self.accept_again = None;
        if let Some((stream, peer)) = self.without_room.take() {
            if self.has_room() {
                return self.take_in(stream, peer);
            }
            debug!("{peer} refused: {} connections are open", self.slab.len());
        }
        if self.reserve.is_none() {
            self.reserve = reserve();
        }
        while self.accepted < ACCEPT_BUDGET {
            let Some(listener) = self.next_listener() else { break };
            match listener.socket.accept() {
                Ok((stream, peer)) => {
                    self.accepted += 1;
                    if is_blocked(canonical(peer).ip()) {
                        continue;
                    }
                    if self.has_room() {
                        return self.take_in(stream, peer);
                    }
                    self.without_room = Some((stream, peer));
                    return Accept::Full(Some(canonical(peer)));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    listener.acceptable = false;
                }
                // The peer was gone before we looked.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_out_of_files(&error) && self.reserve.is_some() => {
                    self.reserve = None;
                }
                // Out of descriptors or memory. Nothing will report this connection again, so
                // the listener stays acceptable.
                Err(error) => {
                    debug!("cannot accept: {error}");
                    return Accept::Full(None);
                }
            }
        }
        Accept::Nothing
    }

    /// The one at which somebody may be waiting, in turns: a flood at one keeps nobody from coming in by another.
    fn next_listener(&mut self) -> Option<&mut Listener> {
        let count = self.listeners.len();
        let is_acceptable = |n: &usize| self.listeners.get(*n).is_some_and(|it| it.acceptable);
        self.listener = (1..=count).map(|n| (self.listener + n) % count).find(is_acceptable)?;
        self.listeners.get_mut(self.listener)
    }

    /// Whether one more connection may stay: there may be as many, and a descriptor is in reserve
    /// again. Those that are leaving make room.
    fn has_room(&mut self) -> bool {
        loop {
            if self.reserve.is_none() {
                self.reserve = reserve();
            }
            if self.slab.len() - self.looking < self.limits.connections && self.reserve.is_some() {
                return true;
            }
            let Some(id) = self.leaving.pop() else { return false };
            debug!("connection {} ended before it had read all, to make room", id.slot);
            self.end(id);
        }
    }

    /// What came of [`Accept::Full`]: with room made, accepting goes on; else a connection that
    /// is one too many is refused at once, and what the system refuses is tried again later.
    pub(in crate::net) fn note_room(&mut self, now: Instant, made: bool) {
        if self.without_room.is_none() && !made {
            self.accept_again = Some(now + PAUSE);
        }
    }

    pub(in crate::net) fn end_accept_turn(&mut self) {
        self.accepted = 0;
    }

    fn take_in(&mut self, stream: TcpStream, peer: SocketAddr) -> Accept {
        let peer = canonical(peer);
        sys::prepare_accepted(&stream, self.ghost);
        Accept::New(self.add(stream, peer.ip(), false), peer)
    }

    /// Opens the owner's window.
    pub(in crate::net) fn open_window(&mut self, socket: TcpListener) {
        self.window = Some(Listener { socket, acceptable: true });
    }

    /// Somebody may want to look in.
    pub(in crate::net) fn note_look(&mut self) {
        if let Some(window) = &mut self.window {
            window.acceptable = true;
        }
    }

    /// Who wants to look in, and from where.
    pub(in crate::net) fn accept_http(&mut self, now: Instant) -> Option<(TcpStream, IpAddr)> {
        let window = self.window.as_mut().filter(|window| window.acceptable)?;
        if self.accept_again.is_some_and(|at| now < at) {
            return None;
        }
        match window.socket.accept() {
            Ok((stream, peer)) => {
                sys::prepare_accepted(&stream, self.ghost);
                return Some((stream, canonical(peer).ip()));
            }
            // Who is behind it gets in in the next turn.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => window.acceptable = false,
            // Out of descriptors or memory.
            Err(error) => {
                debug!("cannot accept: {error}");
                self.accept_again = Some(now + PAUSE);
            }
        }
        None
    }

    /// Whether no more may look in.
    pub(in crate::net) const fn is_window_full(&self) -> bool {
        self.looking >= limits::WINDOW_CONNECTIONS
    }

    /// Who has looked in and is closed as soon as the rest has left: the one that has been for longest.
    pub(in crate::net) fn viewer_to_evict(&self) -> Option<ConnId> {
        let looks = |id: &&ConnId| self.slab.get(id.slot as usize).is_some_and(|conn| conn.looks);
        self.leaving.keys().find(looks).copied()
    }

    /// Lets one look in.
    pub(in crate::net) fn let_look(&mut self, stream: TcpStream, addr: IpAddr) -> ConnId {
        self.looking += 1;
        self.add(stream, addr, true)
    }

    /// When the first packet of a connection came that was accepted now.
    pub(in crate::net) fn began(&self, now: Instant, id: ConnId) -> Instant {
        let conn = self.slab.get(id.slot as usize).filter(|conn| conn.generation == id.generation);
        let (waited, round_trip) =
            conn.map_or_else(Default::default, |conn| sys::age(&conn.stream));
        now.before(waited.min(limits::WAITED) + round_trip.min(limits::ROUND_TRIP))
    }

    /// Takes a connection in. Its first request is mostly there already, so it has its turn at
    /// once, and the kernel is asked to watch it only after that. Not before the others are taken
    /// in: a datagram that was sent before it may still be on its way through the kernel.
    pub(super) fn add(&mut self, stream: TcpStream, addr: IpAddr, looks: bool) -> ConnId {
        self.generation = self.generation.wrapping_add(1);
        let generation = self.generation;
        let slot = self.slab.insert(Connection {
            stream,
            generation,
            source: self.sources.hash_one(network(addr)) as Source,
            looks,
            watched: false,
            backlog: None,
            queued: false,
            parked: false,
            readable: true,
            finished: false,
            read_closed: false,
            is_reset: false,
            closing: false,
        });
        let id = ConnId { slot: slot as u32, generation };
        self.queue(id);
        id
    }

    pub(in crate::net) fn stop_accepting(&mut self) {
        self.listeners.clear();
        self.window = None;
        self.accept_again = None;
    }
}

/// A descriptor for nothing but to be given up. A machine may have one family alone.
pub(super) fn reserve() -> Option<Socket> {
    let open = |family| Socket::new(family, Type::DGRAM, None).ok();
    open(Domain::IPV4).or_else(|| open(Domain::IPV6))
}
