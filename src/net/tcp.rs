//! The listeners and the TCP connections: a slab of sockets, what could not be written yet, and
//! who has something to read.

use std::collections::VecDeque;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use log::{debug, warn};
use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};
use slab::Slab;

use super::{FIRST_CONNECTION, canonical};
use crate::clock::Instant;
use crate::dialect::ConnId;

/// Connections accepted before others have their turn.
const ACCEPT_BUDGET: usize = 256;

/// Bytes read from a connection before others have their turn.
const READ: usize = 64 * 1024;

/// How long accepting pauses when the system has run out of something.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// All TCP sockets.
#[derive(Debug)]
pub(super) struct Connections {
    listeners: Vec<Listener>,
    slab: Slab<Connection>,
    most: usize,
    generation: u32,
    /// Who may have something to read, or may be written to again; each at most once.
    ready: VecDeque<ConnId>,
    accepted: usize,
    accept_again: Option<Instant>,
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
    /// What the socket did not take yet.
    backlog: Vec<u8>,
    /// It is in `ready`.
    queued: bool,
    /// There may be something to read.
    readable: bool,
    /// The peer has sent its last byte.
    finished: bool,
    /// The kernel says that the last byte is under way.
    read_closed: bool,
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
    pub(super) fn new(listeners: Vec<TcpListener>, most: usize) -> Self {
        let listeners =
            listeners.into_iter().map(|socket| Listener { socket, acceptable: true }).collect();
        Self {
            listeners,
            slab: Slab::new(),
            most,
            generation: 0,
            ready: VecDeque::new(),
            accepted: 0,
            accept_again: None,
            buffer: vec![0; READ].into_boxed_slice(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.slab.len()
    }

    /// Whether something is left to be done without an event of the kernel.
    pub(super) fn are_ready(&self) -> bool {
        let acceptable = self.accept_again.is_none() && self.listeners.iter().any(|l| l.acceptable);
        acceptable || !self.ready.is_empty()
    }

    pub(super) fn next_accept(&self) -> Option<Instant> {
        self.accept_again
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
        if !std::mem::replace(&mut conn.queued, true) {
            self.ready.push_back(ConnId { slot: slot as u32, generation: conn.generation });
        }
    }

    /// The next new connection, unless this turn has had enough of them.
    pub(super) fn accept(
        &mut self,
        now: Instant,
        registry: &Registry,
    ) -> Option<(ConnId, SocketAddr)> {
        if self.accept_again.is_some_and(|at| now < at) {
            return None;
        }
        self.accept_again = None;
        while self.accepted < ACCEPT_BUDGET {
            let listener = self.listeners.iter_mut().find(|listener| listener.acceptable)?;
            match listener.socket.accept() {
                Ok((stream, peer)) => {
                    self.accepted += 1;
                    if let Some(conn) = self.add(stream, peer, registry) {
                        return Some((conn, canonical(peer)));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    listener.acceptable = false;
                }
                // The peer was gone before we looked.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    warn!("cannot accept connections for a moment: {error}");
                    self.accept_again = Some(now + ACCEPT_PAUSE);
                    return None;
                }
            }
        }
        None
    }

    pub(super) fn end_accept_turn(&mut self) {
        self.accepted = 0;
    }

    fn add(
        &mut self,
        mut stream: TcpStream,
        peer: SocketAddr,
        registry: &Registry,
    ) -> Option<ConnId> {
        if self.slab.len() >= self.most {
            debug!("{peer} refused: {} connections are open", self.most);
            return None;
        }
        let entry = self.slab.vacant_entry();
        let slot = entry.key();
        let token = Token(FIRST_CONNECTION + slot);
        if let Err(error) = registry.register(&mut stream, token, Interest::READABLE) {
            warn!("{peer} refused: {error}");
            return None;
        }
        self.generation = self.generation.wrapping_add(1);
        let generation = self.generation;
        entry.insert(Connection {
            stream,
            generation,
            backlog: Vec::new(),
            queued: false,
            readable: false,
            finished: false,
            read_closed: false,
            closing: false,
        });
        Some(ConnId { slot: slot as u32, generation })
    }

    pub(super) fn stop_accepting(&mut self) {
        self.listeners.clear();
        self.accept_again = None;
    }

    /// How many connections have their turn now.
    pub(super) fn ready_len(&self) -> usize {
        self.ready.len()
    }

    pub(super) fn next_ready(&mut self) -> Option<ConnId> {
        let id = self.ready.pop_front()?;
        if let Some(conn) = self.get(id) {
            conn.queued = false;
        }
        Some(id)
    }

    /// Reads once. Who may have more goes to the end of the line.
    pub(super) fn read(&mut self, id: ConnId) -> Read<'_> {
        let Some(conn) = self.slab.get_mut(id.slot as usize) else { return Read::Nothing };
        if conn.generation != id.generation || !conn.readable || conn.finished || conn.closing {
            return Read::Nothing;
        }
        let length = loop {
            match conn.stream.read(&mut self.buffer) {
                Ok(length) => break length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    conn.readable = false;
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
        // the end of the stream may be left, and the kernel has said so if it was there already.
        conn.readable = length == self.buffer.len() || conn.read_closed;
        if conn.readable && !std::mem::replace(&mut conn.queued, true) {
            self.ready.push_back(id);
        }
        Read::Bytes(&self.buffer[..length])
    }

    /// Writes bytes in one write; what the socket does not take is kept. False: it is lost.
    pub(super) fn write(&mut self, id: ConnId, bytes: &[u8], registry: &Registry) -> bool {
        let Some(conn) = self.get(id) else { return true };
        if !conn.backlog.is_empty() {
            conn.backlog.extend_from_slice(bytes);
            return true;
        }
        match write_some(&mut conn.stream, bytes) {
            Ok(written) if written == bytes.len() => true,
            Ok(written) => {
                conn.backlog.extend_from_slice(&bytes[written..]);
                let token = Token(FIRST_CONNECTION + id.slot as usize);
                let both = Interest::READABLE | Interest::WRITABLE;
                registry.reregister(&mut conn.stream, token, both).is_ok()
            }
            Err(error) => {
                debug!("connection {} lost while writing: {error}", id.slot);
                false
            }
        }
    }

    /// Writes what was kept, if the socket takes it. False: the connection is lost.
    pub(super) fn flush(&mut self, id: ConnId, registry: &Registry) -> bool {
        let Some(conn) = self.get(id) else { return true };
        if conn.backlog.is_empty() {
            return true;
        }
        let Ok(written) = write_some(&mut conn.stream, &conn.backlog) else { return false };
        conn.backlog.drain(..written);
        if !conn.backlog.is_empty() {
            return true;
        }
        conn.backlog = Vec::new();
        if conn.closing {
            self.end(id);
            return true;
        }
        let token = Token(FIRST_CONNECTION + id.slot as usize);
        registry.reregister(&mut conn.stream, token, Interest::READABLE).is_ok()
    }

    /// Closes a connection when everything written to it has left.
    pub(super) fn close(&mut self, id: ConnId) {
        let Some(conn) = self.get(id) else { return };
        if conn.backlog.is_empty() {
            self.end(id);
        } else {
            conn.closing = true;
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
        self.slab.iter().any(|(_, conn)| !conn.backlog.is_empty())
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
        self.slab.try_remove(id.slot as usize);
    }

    fn get(&mut self, id: ConnId) -> Option<&mut Connection> {
        self.slab.get_mut(id.slot as usize).filter(|conn| conn.generation == id.generation)
    }
}

/// Writes as much as the socket takes now.
fn write_some(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
    let mut written = 0;
    while written < bytes.len() {
        match stream.write(&bytes[written..]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(length) => written += length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(written)
}
