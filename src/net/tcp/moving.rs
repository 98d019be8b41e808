//! How connections get from one process to the next.

use std::hash::BuildHasher as _;
use std::mem;
use std::net::{IpAddr, Ipv6Addr, Shutdown};
use std::os::fd::AsRawFd as _;

use log::debug;
use mio::net::{TcpListener, TcpStream};
use mio::unix::SourceFd;
use mio::{Interest, Registry};
use slab::Slab;
use socket2::SockRef;

use super::{Backlog, Connection, Connections, Source};
use crate::clock::Instant;
use crate::dialect::ConnId;
use crate::hash::Keyed;
use crate::limits;
use crate::net::handover::Moved;
use crate::net::{bind, canonical};
use crate::prefixes::network;
use crate::state::PLACES;

/// A connection of another process.
#[derive(Debug)]
pub(in crate::net) struct Arrived {
    /// What is told of it.
    pub(in crate::net) moved: Moved,
    /// Its socket.
    pub(in crate::net) stream: TcpStream,
    source: Source,
    /// What it has not taken.
    pub(in crate::net) rest: Vec<u8>,
}

impl Arrived {
    /// What the kernel is to tell of it.
    pub(in crate::net) const fn interest(&self) -> Interest {
        match self.moved.unsent {
            None => Interest::READABLE,
            Some(_) => Interest::READABLE.add(Interest::WRITABLE),
        }
    }
}

impl Connections {
    /// The connections that move, and what they have not taken; of those that are not about to end, `moves` tells
    /// whether they do.
    pub(in crate::net) fn moving(
        &self,
        moves: impl Fn(ConnId) -> bool,
    ) -> impl Iterator<Item = (Moved, &TcpStream, &[u8])> {
        let since = |due: Option<Instant>| due.map(|due| due.before(limits::UNREAD_TIME).micros());
        self.that_move(moves).map(move |(id, conn)| {
            let backlog = conn.backlog.as_ref();
            let rest = backlog.and_then(|backlog| backlog.bytes.get(backlog.sent..));
            let unsent = rest.map(|rest| (rest.len(), since(self.unread.due(&id)).unwrap_or(0)));
            let leaving = since(self.leaving.due(&id));
            let Connection { finished, closing, .. } = *conn;
            let moved = Moved { id, finished, closing, unsent, leaving };
            (moved, &conn.stream, rest.unwrap_or_default())
        })
    }

    fn that_move(
        &self,
        moves: impl Fn(ConnId) -> bool,
    ) -> impl Iterator<Item = (ConnId, &Connection)> {
        self.all().filter(move |(id, conn)| !conn.looks && (conn.closing || moves(*id)))
    }

    fn all(&self) -> impl Iterator<Item = (ConnId, &Connection)> {
        let id = |slot: usize, conn: &Connection| ConnId {
            slot: slot as u32,
            generation: conn.generation,
        };
        self.slab.iter().map(move |(slot, conn)| (id(slot, conn), conn))
    }

    /// The same without what they have not taken, from this slot on.
    pub(in crate::net) fn moving_from(
        &self,
        slot: u32,
        moves: impl Fn(ConnId) -> bool,
    ) -> impl Iterator<Item = (ConnId, &TcpStream)> {
        let moves = move |id: ConnId| id.slot >= slot && moves(id);
        self.that_move(moves)
            .filter(move |(id, _)| id.slot >= slot)
            .map(|(id, conn)| (id, &conn.stream))
    }

    /// From now on another process has some connections as well, so that closing one here is not enough to end
    /// it. It may keep them although it does not take over.
    pub(in crate::net) fn share(&mut self, registry: Registry) {
        self.shared = Some(registry);
    }

    /// Ends a connection that another process may have as well.
    pub(super) fn end_shared(&self, stream: &TcpStream) {
        let Some(registry) = &self.shared else { return };
        let _ = registry.deregister(&mut SourceFd(&stream.as_raw_fd()));
        // The peer may have ended it already.
        let _ = stream.shutdown(Shutdown::Both);
    }

    /// The latest generation of a connection.
    pub(in crate::net) fn generation(&self) -> u32 {
        self.generation
    }

    /// A connection of another process, which may go on here. None: its slot is an invention.
    pub(in crate::net) fn arrived(&self, moved: Moved, stream: TcpStream) -> Option<Arrived> {
        let source = source(&self.sources, &stream);
        let is_possible = (moved.id.slot as usize) < PLACES;
        is_possible.then(|| Arrived { moved, stream, source, rest: Vec::new() })
    }

    /// Goes on with connections of another process, which are watched already. There must be none yet.
    pub(in crate::net) fn restore(
        &mut self,
        generation: u32,
        all: impl ExactSizeIterator<Item = Arrived>,
    ) {
        self.generation = generation;
        let (mut unread, mut leaving) = (Vec::new(), Vec::new());
        let mut slots = Vec::with_capacity(all.len());
        for Arrived { moved, stream, source, rest: bytes } in all {
            let Moved { id, finished, closing, unsent, leaving: left } = moved;
            unread.extend(unsent.map(|(_, since)| (since, id)));
            leaving.extend(left.map(|since| (since, id)));
            self.unread_bytes += bytes.len();
            let backlog = unsent.map(|_| Box::new(Backlog { bytes, sent: 0 }));
            let conn = Connection {
                source,
                stream,
                generation: id.generation,
                looks: false,
                watched: true,
                backlog,
                queued: false,
                parked: false,
                // The kernel tells anew what there is, as it is asked to watch it anew.
                readable: false,
                finished,
                read_closed: false,
                is_reset: false,
                closing,
            };
            slots.push((id.slot as usize, conn));
        }
        self.slab = slots.into_iter().collect::<Slab<_>>();
        for (all, timers) in [(&mut unread, &mut self.unread), (&mut leaving, &mut self.leaving)] {
            all.sort_unstable();
            all.drain(..).for_each(|(since, id)| timers.arm(Instant::from_micros(since), id));
        }
    }

    /// The connections that are not about to end, and not of the window.
    pub(in crate::net) fn open(&self) -> impl Iterator<Item = ConnId> {
        self.all().filter(|(_, conn)| !conn.closing && !conn.looks).map(|(id, _)| id)
    }

    /// Listeners of another process have what accepted connections are to have here.
    pub(in crate::net) fn prepare_listeners(&self) {
        for listener in &self.listeners {
            if let Err(error) = bind::prepare(&SockRef::from(&listener.socket), self.ghost) {
                debug!("new connections have what those before had: {error}");
            }
        }
    }

    /// Writes what was kept, as far as sockets take it.
    pub(in crate::net) fn flush_all(&mut self, now: Instant, registry: &Registry) {
        let all = self.all().filter(|(_, conn)| conn.backlog.is_some());
        for id in all.map(|(id, _)| id).collect::<Vec<_>>() {
            if !self.flush(now, id, registry) {
                self.end(id);
            }
        }
    }

    /// Another process goes on with those connections that `moves` tells, and with the listeners: here they are
    /// closed, of which their peers do not hear.
    pub(in crate::net) fn let_go(&mut self, moves: impl Fn(ConnId) -> bool) {
        self.stop_accepting();
        self.shared = None;
        let gone: Vec<ConnId> = self.that_move(moves).map(|(id, _)| id).collect();
        gone.into_iter().for_each(|id| self.end(id));
    }

    /// Takes the connection that waits for room, to which it is told now that there is none.
    pub(in crate::net) fn refuse_waiting(&mut self) {
        drop(mem::take(&mut self.without_room));
    }

    /// The listeners of the games, and that of the window.
    pub(in crate::net) fn listeners(
        &self,
    ) -> (impl Iterator<Item = &TcpListener>, Option<&TcpListener>) {
        (self.listeners.iter().map(|one| &one.socket), self.window.as_ref().map(|one| &one.socket))
    }
}

/// Whose turns a connection shares.
fn source(sources: &Keyed, stream: &TcpStream) -> Source {
    // It may have been reset meanwhile.
    let addr = stream.peer_addr().map(|peer| canonical(peer).ip());
    let addr = addr.unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
    sources.hash_one(network(addr)) as Source
}
