//! The listeners and the TCP connections: a slab of sockets, and who has something to read.

use std::io::{self, Read as _};
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};
use slab::Slab;
use socket2::Socket;

use super::sys::{self, is_memory_pressure};
use super::{FIRST_CONNECTION, PAUSE};
use crate::clock::{Instant, earliest};
use crate::dialect::ConnId;
use crate::hash::Keyed;
use crate::limits::{self, Limits};
use crate::round_robin::RoundRobin;
use crate::timers::Timers;

mod accepting;
#[cfg(target_os = "linux")]
mod moving;
mod writing;

pub(super) use accepting::Accept;
#[cfg(target_os = "linux")]
pub(super) use moving::Arrived;

use accepting::reserve;
use writing::Backlog;

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

/// For so long nobody looks at those that are parked, for each of them: a look takes a tenth of that.
const LOOK: Duration = Duration::from_micros(2);

/// Whose turns a connection shares: those of its address (IPv6: of its /64). Sixteen bits of their
/// hash find room in [`Connection`], and two in 65,536 that share their turns do no harm.
type Source = u16;

/// All TCP sockets.
#[derive(Debug)]
pub(super) struct Connections {
    listeners: Vec<Listener>,
    /// Which of them was asked last.
    listener: usize,
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
    ready: RoundRobin<Source, ConnId>,
    /// Who has sent more than is read at a time: those with little come first.
    more: RoundRobin<Source, ConnId>,
    /// Who has something to read that its dialect does not want yet, and since when they wait for a look.
    parked: Vec<ConnId>,
    parked_at: Instant,
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
    /// What watches connections, once another process has, or had, some of them as well.
    #[cfg(target_os = "linux")]
    shared: Option<Registry>,
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
    /// It is in `parked`, maybe besides.
    parked: bool,
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
            listener: 0,
            window: None,
            slab: Slab::new(),
            looking: 0,
            limits,
            ghost,
            generation: 0,
            ready: RoundRobin::default(),
            more: RoundRobin::default(),
            parked: Vec::new(),
            parked_at: Instant::default(),
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
            #[cfg(target_os = "linux")]
            shared: None,
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
        earliest([self.accept_again, self.starved.next(), unread, leaving, self.look_at_parked()])
    }

    /// Gives those their turn again that could not have it for lack of kernel memory, or had to rest.
    pub(super) fn retry(&mut self, now: Instant) {
        while let Some(id) = self.starved.pop_due(now) {
            self.queue(id);
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

    /// Leaves what there is to read until its dialect wants it. It is not in line meanwhile: what is done in a turn is
    /// less the more are.
    pub(super) fn park(&mut self, now: Instant, id: ConnId) {
        if let Some(conn) = self.get(id)
            && conn.readable
            && !conn.finished
            && !conn.closing
            && !std::mem::replace(&mut conn.parked, true)
        {
            if self.parked.is_empty() {
                self.parked_at = now;
            }
            self.parked.push(id);
        }
    }

    /// When it is to be looked who of those that are parked is wanted: the more there are, the later.
    fn look_at_parked(&self) -> Option<Instant> {
        let pause = LOOK * u32::try_from(self.parked.len()).unwrap_or(u32::MAX);
        (!self.parked.is_empty()).then(|| self.parked_at + pause)
    }

    /// Those in line again, each of which [`Self::line_up`] or [`Self::park`] is told of, once it is to be looked.
    pub(super) fn take_parked(&mut self, now: Instant) -> Vec<ConnId> {
        if self.look_at_parked().is_none_or(|at| now < at) {
            return Vec::new();
        }
        let parked = std::mem::take(&mut self.parked);
        for id in &parked {
            if let Some(conn) = self.get(*id) {
                conn.parked = false;
            }
        }
        parked
    }

    /// Who was parked has its turn again.
    pub(super) fn line_up(&mut self, id: ConnId) {
        if let Some(conn) = self.get(id)
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

    /// Shuts all connections down.
    pub(super) fn finish(&mut self) {
        for (_, conn) in &self.slab {
            // The peer may be gone already.
            let _ = conn.stream.shutdown(Shutdown::Write);
        }
        self.slab.clear();
    }

    fn end(&mut self, id: ConnId) {
        // Closing the descriptor takes it out of the poll as well, if there is no other one.
        let Some(conn) = self.slab.try_remove(id.slot as usize) else { return };
        #[cfg(target_os = "linux")]
        self.end_shared(&conn.stream);
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

#[cfg(test)]
mod tests {
    use super::*;
    use mio::{Events, Poll};
    use std::io::Write as _;
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
    fn a_flood_at_one_listener_keeps_nobody_from_coming_in_by_another() {
        let (listeners, addrs): (Vec<_>, Vec<_>) = (0..2)
            .map(|_| {
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
                listener.set_nonblocking(true).unwrap();
                let addr = listener.local_addr().unwrap();
                (mio::net::TcpListener::from_std(listener), addr)
            })
            .unzip();
        let connect = |n: usize| std::net::TcpStream::connect(addrs[n]).unwrap();
        let flood: Vec<_> = (0..20).map(|_| connect(0)).collect();
        let honest = connect(1);
        let mut connections = Connections::new(listeners, limits::GHOST, Limits::default());
        let mut came = || match connections.accept(Instant::default(), |_| false) {
            accepting::Accept::New(_, peer) => peer,
            _ => panic!("somebody is there"),
        };
        let first = [came(), came()];
        assert!(first.contains(&honest.local_addr().unwrap()));
        assert_eq!((0..19).map(|_| came()).count(), flood.len() - 1, "and the others");
    }

    #[test]
    fn who_is_parked_hinders_nobody_and_has_its_turn_again() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut connections = Connections::new(Vec::new(), limits::GHOST, Limits::default());
        let mut peers = Vec::new();
        for n in 0..100 {
            let mut peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            peer.write_all(b"some").unwrap();
            peers.push(peer);
            let stream = TcpStream::from_std(listener.accept().unwrap().0);
            let id = connections.add(stream, [127, 0, n, 1].into(), false);
            assert_eq!(connections.next_ready(), Some(id));
            connections.park(Instant::default(), id);
            // It may be written to meanwhile.
            connections.queue(id);
            assert_eq!(connections.next_ready(), Some(id));
            connections.park(Instant::default(), id);
        }
        assert_eq!((connections.ready_len(), connections.ready_sources()), (0, 0));
        let look = connections.next_wakeup().unwrap();
        assert_eq!(look, Instant::default() + LOOK * 100);
        assert_eq!(connections.take_parked(look.before(LOOK)), []);
        let parked = connections.take_parked(look);
        assert_eq!(parked.len(), 100, "each once");
        parked.iter().for_each(|id| connections.line_up(*id));
        // Two addresses count as one now and then, by their hashes.
        assert!(connections.ready_sources() > 90);
        assert_eq!(connections.take_parked(look), []);
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
