//! The listeners and the TCP connections: a slab of sockets, what could not be written yet, and
//! who has something to read.

use std::hash::BuildHasher as _;
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::time::Duration;

use log::debug;
use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};
use slab::Slab;
use socket2::{Domain, Socket, Type};

use super::sys::{self, is_memory_pressure, is_out_of_files};
use super::{FIRST_CONNECTION, PAUSE, canonical};
use crate::clock::{Instant, earliest};
use crate::dialect::ConnId;
use crate::hash::Keyed;
use crate::limits::{self, Limits};
use crate::prefixes::network;
use crate::rotation::Rotation;
use crate::timers::Timers;

/// Connections accepted before others have their turn.
const ACCEPT_BUDGET: usize = 256;

/// Bytes read from a connection before others have their turn: what is asked for in so many takes
/// any dialect about a millisecond at most.
const READ: usize = 8 * 1024;

/// However many have sent something, so much of each is read: most commands and events are shorter.
const READ_LEAST: usize = 512;

/// Bytes that are read at a time of one of so many who have sent something: the more they are, the
/// less, or whoever is behind them would wait until all of it is done.
fn read_at_most(sources: usize) -> usize {
    (READ * limits::ROUND / sources.max(1)).clamp(READ_LEAST, READ)
}

/// One of so many turns is for who has sent more than is read at a time.
const MORE: u32 = 8;

/// Whose turns a connection shares: those of its address (IPv6: of its /64). Sixteen bits of their
/// hash find room in [`Connection`], and two in 65,536 that share their turns do no harm.
type Source = u16;

/// All TCP sockets.
#[derive(Debug)]
pub(super) struct Connections {
    listeners: Vec<Listener>,
    /// That of the owner's window.
    window: Option<Listener>,
    slab: Slab<Connection>,
    /// How many of these came by the window.
    looking: usize,
    limits: Limits,
    /// After so long the kernel gives up a peer that cannot be reached.
    ghost: Duration,
    generation: u32,
    /// Who may have something to read, or may be written to again; each at most once, here or in
    /// `more`.
    ready: Rotation<Source, ConnId>,
    /// Who has sent more than is read at a time: those with little come first.
    more: Rotation<Source, ConnId>,
    /// Makes numbers of sources of addresses, so that nobody outside can choose one with another's number.
    sources: Keyed,
    /// How many had their turn.
    turns: u32,
    accepted: usize,
    /// A connection for which room has to be made.
    without_room: Option<(TcpStream, SocketAddr)>,
    /// A descriptor kept in reserve: when there is no other one, it is given up for a new
    /// connection, which is told apart from others by that and need not wait to be refused.
    reserve: Option<Socket>,
    /// Who is closed as soon as the rest that was written has left. They are the first to go.
    leaving: Timers<ConnId>,
    accept_again: Option<Instant>,
    /// Who could not be read or written for lack of kernel memory, or sends more than it may.
    starved: Timers<ConnId>,
    /// Who has not read all that was written. Fires when nothing of it was read for too long.
    unread: Timers<ConnId>,
    /// Bytes that peers have not read, in all.
    unread_bytes: usize,
    buffer: Box<[u8]>,
}

#[derive(Debug)]
struct Listener {
    socket: TcpListener,
    acceptable: bool,
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    generation: u32,
    source: Source,
    /// It came by the owner's window.
    looks: bool,
    /// The kernel tells when there is something to read.
    watched: bool,
    /// What the socket did not take at once. Nearly always that is nothing.
    backlog: Option<Box<Backlog>>,
    /// It is in `ready`.
    queued: bool,
    /// There may be something to read.
    readable: bool,
    /// The peer has sent its last byte.
    finished: bool,
    /// The kernel says that the last byte is under way.
    read_closed: bool,
    /// Its peer has reset it, so nobody waits for what its requests bring.
    is_reset: bool,
    /// To be closed when the backlog has left.
    closing: bool,
}

/// What a socket did not take at once.
#[derive(Debug, Default)]
struct Backlog {
    bytes: Vec<u8>,
    /// How much of that it took since.
    sent: usize,
}

/// What accepting gave.
pub(super) enum Accept {
    Nothing,
    /// A connection of this peer.
    New(ConnId, SocketAddr),
    /// Room has to be made first, for this peer if it is known.
    Full(Option<SocketAddr>),
}

/// What reading a connection gave.
pub(super) enum Read<'a> {
    Nothing,
    Bytes(&'a [u8]),
    Fin,
    Lost(io::Error),
}

impl Connections {
    pub(super) fn new(listeners: Vec<TcpListener>, ghost: Duration, limits: Limits) -> Self {
        let listeners =
            listeners.into_iter().map(|socket| Listener { socket, acceptable: true }).collect();
        Self {
            listeners,
            window: None,
            slab: Slab::new(),
            looking: 0,
            limits,
            ghost,
            generation: 0,
            ready: Rotation::default(),
            more: Rotation::default(),
            sources: Keyed::default(),
            turns: 0,
            accepted: 0,
            without_room: None,
            reserve: reserve(),
            leaving: Timers::new(limits::UNREAD_TIME),
            accept_again: None,
            starved: Timers::new(PAUSE),
            unread: Timers::new(limits::UNREAD_TIME),
            unread_bytes: 0,
            buffer: vec![0; READ].into_boxed_slice(),
        }
    }

    /// How many there are, without those who look into the owner's window.
    pub(super) fn len(&self) -> usize {
        self.slab.len() - self.looking
    }

    /// Whether something is left to be done without an event of the kernel.
    pub(super) fn are_ready(&self) -> bool {
        let mut listeners = self.listeners.iter().chain(&self.window);
        let acceptable = self.accept_again.is_none() && listeners.any(|l| l.acceptable);
        acceptable || self.ready_len() > 0
    }

    pub(super) fn next_wakeup(&self) -> Option<Instant> {
        let (unread, leaving) = (self.unread.next(), self.leaving.next());
        earliest([self.accept_again, self.starved.next(), unread, leaving])
    }

    /// Gives those their turn again that could not have it for lack of kernel memory, or had to rest.
    pub(super) fn retry(&mut self, now: Instant) {
        while let Some(id) = self.starved.pop_due(now) {
            self.queue(id);
        }
    }

    /// Connections that were written to and have not read for too long, or not all of the last.
    pub(super) fn slow_readers(&mut self, now: Instant) -> Vec<ConnId> {
        std::iter::from_fn(|| self.unread.pop_due(now).or_else(|| self.leaving.pop_due(now)))
            .collect()
    }

    pub(super) fn note_acceptable(&mut self, n: usize) {
        if let Some(listener) = self.listeners.get_mut(n) {
            listener.acceptable = true;
        }
    }

    pub(super) fn note_event(&mut self, slot: usize, event: &Event) {
        let Some(conn) = self.slab.get_mut(slot) else { return };
        conn.readable |= event.is_readable() || event.is_read_closed() || event.is_error();
        conn.read_closed |= event.is_read_closed() || event.is_error();
        conn.is_reset |= event.is_error();
        let id = ConnId { slot: slot as u32, generation: conn.generation };
        self.queue(id);
    }

    /// Lets a connection have its turn.
    fn queue(&mut self, id: ConnId) {
        if let Some(conn) = self.get(id)
            && !std::mem::replace(&mut conn.queued, true)
        {
            let source = conn.source;
            self.ready.push(source, id);
        }
    }

    /// The next new connection, unless this turn has had enough of them. Those of addresses that are
    /// blocked end at once, so that nobody gives way to them.
    pub(super) fn accept(
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
            let listener = self.listeners.iter_mut().find(|listener| listener.acceptable);
            let Some(listener) = listener else { break };
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
    pub(super) fn note_room(&mut self, now: Instant, made: bool) {
        if self.without_room.is_none() && !made {
            self.accept_again = Some(now + PAUSE);
        }
    }

    pub(super) fn end_accept_turn(&mut self) {
        self.accepted = 0;
    }

    fn take_in(&mut self, stream: TcpStream, peer: SocketAddr) -> Accept {
        let peer = canonical(peer);
        sys::prepare_accepted(&stream, self.ghost);
        Accept::New(self.add(stream, peer.ip(), false), peer)
    }

    /// Opens the owner's window.
    pub(super) fn open_window(&mut self, socket: TcpListener) {
        self.window = Some(Listener { socket, acceptable: true });
    }

    /// Somebody may want to look in.
    pub(super) fn note_look(&mut self) {
        if let Some(window) = &mut self.window {
            window.acceptable = true;
        }
    }

    /// Who wants to look in, and from where.
    pub(super) fn accept_look(&mut self, now: Instant) -> Option<(TcpStream, IpAddr)> {
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
    pub(super) const fn is_window_full(&self) -> bool {
        self.looking >= limits::WINDOW_CONNECTIONS
    }

    /// Who has looked in and is closed as soon as the rest has left: the one that has been for longest.
    pub(super) fn who_looks_away(&self) -> Option<ConnId> {
        let looks = |id: &&ConnId| self.slab.get(id.slot as usize).is_some_and(|conn| conn.looks);
        self.leaving.keys().find(looks).copied()
    }

    /// Lets one look in.
    pub(super) fn let_look(&mut self, stream: TcpStream, addr: IpAddr) -> ConnId {
        self.looking += 1;
        self.add(stream, addr, true)
    }

    /// When the first packet of a connection came that was accepted now.
    pub(super) fn began(&self, now: Instant, id: ConnId) -> Instant {
        let conn = self.slab.get(id.slot as usize).filter(|conn| conn.generation == id.generation);
        let (waited, round_trip) =
            conn.map_or_else(Default::default, |conn| sys::age(&conn.stream));
        now.before(waited.min(limits::WAITED) + round_trip.min(limits::ROUND_TRIP))
    }

    /// Takes a connection in. Its first request is mostly there already, so it has its turn at
    /// once, and the kernel is asked to watch it only after that. Not before the others are taken
    /// in: a datagram that was sent before it may still be on its way through the kernel.
    fn add(&mut self, stream: TcpStream, addr: IpAddr, looks: bool) -> ConnId {
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

    /// Has the kernel watch a new connection. False: the connection is lost.
    pub(super) fn watch(&mut self, id: ConnId, registry: &Registry) -> bool {
        match self.get(id) {
            Some(conn) if !conn.watched => {
                let token = Token(FIRST_CONNECTION + id.slot as usize);
                let interest = conn.interest();
                conn.watched = true;
                registry.register(&mut conn.stream, token, interest).is_ok()
            }
            _ => true,
        }
    }

    pub(super) fn stop_accepting(&mut self) {
        self.listeners.clear();
        self.window = None;
        self.accept_again = None;
    }

    /// How many connections have their turn now.
    pub(super) fn ready_len(&self) -> usize {
        self.ready.len() + self.more.len()
    }

    /// Of how many sources they are, or more.
    pub(super) fn ready_sources(&self) -> usize {
        self.ready.sources() + self.more.sources()
    }

    pub(super) fn next_ready(&mut self) -> Option<ConnId> {
        self.turns = self.turns.wrapping_add(1);
        let (first, second) = match self.turns % MORE {
            0 => (&mut self.more, &mut self.ready),
            _ => (&mut self.ready, &mut self.more),
        };
        let id = first.pop().or_else(|| second.pop())?;
        if let Some(conn) = self.get(id) {
            conn.queued = false;
        }
        Some(id)
    }

    /// Reads once. Who may have more goes to the end of the line.
    pub(super) fn read(&mut self, now: Instant, id: ConnId) -> Read<'_> {
        let most = read_at_most(self.ready_sources());
        let Some(conn) = self.slab.get_mut(id.slot as usize) else { return Read::Nothing };
        if conn.generation != id.generation || !conn.readable || conn.finished || conn.closing {
            return Read::Nothing;
        }
        let buffer = self.buffer.get_mut(..most).unwrap_or_default();
        let length = loop {
            match conn.stream.read(buffer) {
                Ok(length) => break length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    conn.readable = false;
                    return Read::Nothing;
                }
                Err(error) if is_memory_pressure(&error) => {
                    self.starved.arm(now, id);
                    return Read::Nothing;
                }
                Err(error) => return Read::Lost(error),
            }
        };
        if length == 0 {
            conn.readable = false;
            conn.finished = true;
            return Read::Fin;
        }
        // A read that did not fill the buffer has emptied the socket (epoll(7), question 9); only
        // the end of the stream may be left, and the kernel has said so if it was there already. Where
        // the next event comes only after a read that finds nothing, there is one more.
        conn.readable = length == most || conn.read_closed || sys::READS_END_IN_NOTHING;
        if conn.readable && !std::mem::replace(&mut conn.queued, true) {
            self.more.push(conn.source, id);
        }
        Read::Bytes(self.buffer.get(..length).unwrap_or_default())
    }

    /// Leaves what there is to read to a later turn.
    pub(super) fn put_off(&mut self, id: ConnId) {
        if let Some(conn) = self.get(id)
            && conn.readable
            && !conn.finished
            && !conn.closing
            && !std::mem::replace(&mut conn.queued, true)
        {
            let source = conn.source;
            self.more.push(source, id);
        }
    }

    /// Whether the peer of a connection has reset it.
    pub(super) fn is_reset(&mut self, id: ConnId) -> bool {
        self.get(id).is_some_and(|conn| conn.is_reset)
    }

    /// Leaves what there is to read for a while; the kernel makes its peer wait meanwhile.
    pub(super) fn rest(&mut self, now: Instant, id: ConnId) {
        if self.get(id).is_some_and(|conn| conn.readable && !conn.finished && !conn.closing) {
            self.starved.arm(now, id);
        }
    }

    /// Writes bytes in one write; what the socket does not take is kept. False: it is lost.
    pub(super) fn write(
        &mut self,
        now: Instant,
        id: ConnId,
        bytes: &[u8],
        registry: &Registry,
    ) -> bool {
        let Some(conn) = self.slab.get_mut(id.slot as usize) else { return true };
        if conn.generation != id.generation {
            return true;
        }
        let mut written = 0;
        let was_empty = conn.backlog.is_none();
        if was_empty {
            match write_some(&mut conn.stream, bytes) {
                Ok(Wrote::All) => return true,
                Ok(Wrote::Some(length)) => written = length,
                Ok(Wrote::Starved(length)) => {
                    written = length;
                    self.starved.arm(now, id);
                }
                Err(error) => {
                    debug!("connection {} lost while writing: {error}", id.slot);
                    return false;
                }
            }
            self.unread.arm(now, id);
        }
        let rest = bytes.get(written..).unwrap_or_default();
        let backlog = conn.backlog.get_or_insert_default();
        if backlog.sent > backlog.bytes.len() / 2 {
            // A peer that reads all the time, but never all of it, must not pay for what it has
            // read.
            backlog.bytes.drain(..backlog.sent);
            self.unread_bytes -= std::mem::take(&mut backlog.sent);
        }
        if backlog.bytes.len() + rest.len() > self.limits.unread() {
            debug!("connection {} lost: its peer asks for more than it reads", id.slot);
            return false;
        }
        backlog.bytes.extend_from_slice(rest);
        self.unread_bytes += rest.len();
        !was_empty || rewatch(conn, id, registry)
    }

    /// If all peers together have left too much unread: takes away what is kept for the one that
    /// has read nothing for the longest, and tells who is lost by that. So those who do not read
    /// make room for those who do.
    pub(super) fn take_unread(&mut self) -> Option<ConnId> {
        if self.unread_bytes <= self.limits.total() {
            return None;
        }
        let id = self.unread.pop()?;
        let conn = self.slab.get_mut(id.slot as usize)?;
        self.unread_bytes -= conn.backlog.take().map_or(0, |backlog| backlog.bytes.len());
        // What may still be written in this turn must not follow a gap.
        let _ = conn.stream.shutdown(Shutdown::Both);
        debug!("connection {} lost: its peer does not read and others do", id.slot);
        Some(id)
    }

    /// Writes what was kept, if the socket takes it. False: the connection is lost.
    pub(super) fn flush(&mut self, now: Instant, id: ConnId, registry: &Registry) -> bool {
        let Some(conn) = self.slab.get_mut(id.slot as usize) else { return true };
        if conn.generation != id.generation {
            return true;
        }
        let Some(backlog) = &mut conn.backlog else { return true };
        let rest = backlog.bytes.get(backlog.sent..).unwrap_or_default();
        let length = match write_some(&mut conn.stream, rest) {
            Ok(Wrote::All) => rest.len(),
            Ok(Wrote::Some(length)) => length,
            Ok(Wrote::Starved(length)) => {
                self.starved.arm(now, id);
                length
            }
            Err(_) => return false,
        };
        backlog.sent += length;
        if length > 0 {
            self.unread.arm(now, id);
        }
        if backlog.sent < backlog.bytes.len() {
            return true;
        }
        self.unread_bytes -= backlog.bytes.len();
        conn.backlog = None;
        self.unread.cancel(&id);
        if conn.closing {
            self.end(id);
            return true;
        }
        rewatch(conn, id, registry)
    }

    /// Bytes that were written to a connection and that it has not taken.
    pub(super) fn unread(&self, id: ConnId) -> usize {
        let conn = self.slab.get(id.slot as usize).filter(|conn| conn.generation == id.generation);
        let backlog = conn.and_then(|conn| conn.backlog.as_ref());
        backlog.map_or(0, |backlog| backlog.bytes.len() - backlog.sent)
    }

    /// Closes a connection when everything written to it has left.
    pub(super) fn close(&mut self, now: Instant, id: ConnId) {
        let Some(conn) = self.get(id) else { return };
        if conn.backlog.is_none() {
            self.end(id);
        } else {
            conn.closing = true;
            self.leaving.arm(now, id);
        }
    }

    /// Drops a connection. Tells whether the dialect has still to hear of it.
    pub(super) fn remove(&mut self, id: ConnId) -> bool {
        let Some(conn) = self.get(id) else { return false };
        let unheard = !conn.closing;
        self.end(id);
        unheard
    }

    /// Whether a connection has not taken yet what was written to it.
    pub(super) fn owe(&self) -> bool {
        self.slab.iter().any(|(_, conn)| conn.backlog.is_some())
    }

    /// Says goodbye to everybody.
    pub(super) fn finish(&mut self) {
        for (_, conn) in &self.slab {
            // The peer may be gone already.
            let _ = conn.stream.shutdown(Shutdown::Write);
        }
        self.slab.clear();
    }

    fn end(&mut self, id: ConnId) {
        // Closing the descriptor takes it out of the poll as well.
        let Some(conn) = self.slab.try_remove(id.slot as usize) else { return };
        self.looking -= usize::from(conn.looks);
        self.unread_bytes -= conn.backlog.map_or(0, |backlog| backlog.bytes.len());
        self.unread.cancel(&id);
        self.leaving.cancel(&id);
        self.starved.cancel(&id);
    }

    fn get(&mut self, id: ConnId) -> Option<&mut Connection> {
        self.slab.get_mut(id.slot as usize).filter(|conn| conn.generation == id.generation)
    }
}

impl Connection {
    /// What the kernel is to tell of.
    fn interest(&self) -> Interest {
        if self.backlog.is_none() {
            Interest::READABLE
        } else {
            Interest::READABLE | Interest::WRITABLE
        }
    }
}

/// Tells the kernel whether we wait for room to write. False: the connection is lost.
fn rewatch(conn: &mut Connection, id: ConnId, registry: &Registry) -> bool {
    let token = Token(FIRST_CONNECTION + id.slot as usize);
    let interest = conn.interest();
    !conn.watched || registry.reregister(&mut conn.stream, token, interest).is_ok()
}

/// A descriptor for nothing but to be given up.
fn reserve() -> Option<Socket> {
    Socket::new(Domain::IPV4, Type::DGRAM, None).ok()
}

/// How much a socket took.
enum Wrote {
    All,
    Some(usize),
    /// So much, for lack of kernel memory. Nothing will tell when it has some again.
    Starved(usize),
}

/// Writes as much as the socket takes now.
fn write_some(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<Wrote> {
    let mut written = 0;
    while let Some(rest @ [_, ..]) = bytes.get(written..) {
        match stream.write(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(length) => written += length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Ok(Wrote::Some(written));
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if is_memory_pressure(&error) => return Ok(Wrote::Starved(written)),
            Err(error) => return Err(error),
        }
    }
    Ok(Wrote::All)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mio::{Events, Poll};
    use std::net::{Ipv4Addr, TcpListener};

    /// Whether a connection stands after so much was written to it that nobody reads.
    fn stands(limits: Limits, length: usize) -> bool {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let _reader = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().unwrap();
        stream.set_nonblocking(true).unwrap();
        // So that it takes little itself, however generous the system is.
        socket2::SockRef::from(&stream).set_send_buffer_size(64 * 1024).unwrap();
        let poll = Poll::new().unwrap();
        let mut connections = Connections::new(Vec::new(), limits::GHOST, limits);
        let id = connections.add(TcpStream::from_std(stream), [127, 0, 0, 1].into(), false);
        connections.write(Instant::default(), id, &vec![b'x'; length], poll.registry())
    }

    #[test]
    fn who_sends_again_after_a_short_read_is_heard() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().unwrap();
        stream.set_nonblocking(true).unwrap();
        let (mut poll, mut events) = (Poll::new().unwrap(), Events::with_capacity(8));
        let mut connections = Connections::new(Vec::new(), limits::GHOST, Limits::default());
        connections.add(TcpStream::from_std(stream), [127, 0, 0, 1].into(), false);
        for sent in [b'a', b'b', b'c'] {
            peer.write_all(&[sent]).unwrap();
            let mut heard = Vec::new();
            while heard.is_empty() {
                if !connections.are_ready() {
                    poll.poll(&mut events, Some(Duration::from_secs(20))).unwrap();
                    assert!(!events.is_empty(), "nothing is heard of {sent}");
                    let note = |event| connections.note_event(0, event);
                    events.iter().for_each(note);
                }
                let id = connections.next_ready().unwrap();
                if let Read::Bytes(bytes) = connections.read(Instant::default(), id) {
                    heard.extend_from_slice(bytes);
                }
                assert!(connections.watch(id, poll.registry()));
            }
            assert_eq!(heard, [sent]);
        }
    }

    #[test]
    fn the_more_have_sent_something_the_less_is_read_of_each() {
        assert_eq!((read_at_most(0), read_at_most(1)), (READ, READ));
        for sources in 1..10_000 {
            let first_round = sources * read_at_most(sources);
            assert!(first_round <= (READ * limits::ROUND).max(sources * READ_LEAST));
            assert!(read_at_most(sources) >= READ_LEAST);
        }
    }

    #[test]
    fn what_may_be_unread_grows_with_the_connections_there_may_be() {
        let with = |connections| Limits { connections, ..Limits::default() };
        let most = with(16 * 1024).unread() * 3;
        assert!(!stands(with(16 * 1024), most));
        assert!(with(100_000).unread() > most && stands(with(100_000), most));
        assert!(stands(with(16 * 1024), with(16 * 1024).unread()));
    }
}
