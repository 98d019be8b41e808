//! The rounds of the meddler: it looks at every socket in turn, and lets the real server's state
//! machine decide what to say. Slow and simple, for a handful of players.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use punchd::clock::{self, Now};
use punchd::dialect::{ConnId, Outbox, Output, Via};
use punchd::server::{Config, Server};

use super::Meddling;
use super::reply::Replies;
use crate::gmnet::line::Queue;
use crate::gmnet::wire;

/// How long it rests when there is nothing to do: much less than a step of a game.
const REST: Duration = Duration::from_millis(2);

/// So many datagrams are read in one go, however many there are.
const MOST_AT_ONCE: usize = 1024;

/// One port for TCP and UDP.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) tcp: TcpListener,
    pub(super) udp: UdpSocket,
    /// Whether it is the one for games under test.
    pub(super) meddles: bool,
}

/// The server and all its sockets.
#[derive(Debug)]
pub(super) struct Rounds {
    listeners: [Listener; 2],
    meddling: Meddling,
    server: Server,
    started: Instant,
    /// By slot.
    conns: Vec<Option<Conn>>,
    next_generation: u32,
    /// UDP packets on their way to each listener.
    lines: [Queue; 2],
    out: Outbox,
}

#[derive(Debug)]
struct Conn {
    stream: TcpStream,
    id: ConnId,
    replies: Replies,
    /// The peer says nothing more.
    finished: bool,
    /// The server has closed it, and only waits until everything is said.
    closing: bool,
}

impl Rounds {
    pub(super) fn new(listeners: [Listener; 2], meddling: Meddling) -> Self {
        let lines = listeners.each_ref().map(|listener| {
            if listener.meddles { Queue::new(meddling.line) } else { Queue::default() }
        });
        Self {
            listeners,
            meddling,
            server: Server::new(Config::default()),
            started: Instant::now(),
            conns: Vec::new(),
            next_generation: 0,
            lines,
            out: Outbox::new(),
        }
    }

    /// One round.
    pub(super) fn go(&mut self) {
        let now = self.now();
        let busy = [self.accept(now), self.read_udp(now), self.read_tcp(now)];
        if self.server.next_wakeup().is_some_and(|at| at <= now.instant) {
            self.server.on_wakeup(now, &mut self.out);
        }
        self.carry_out();
        self.write(now);
        if !busy.contains(&true) {
            std::thread::sleep(REST);
        }
    }

    fn now(&self) -> Now {
        let micros = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        Now { instant: clock::Instant::from_micros(micros), unix }
    }

    fn accept(&mut self, now: Now) -> bool {
        let mut busy = false;
        for listener in &self.listeners {
            // Whatever the error, the next round tries again.
            let Ok((stream, peer)) = listener.tcp.accept() else { continue };
            if stream.set_nonblocking(true).and_then(|()| stream.set_nodelay(true)).is_err() {
                continue;
            }
            busy = true;
            let slot = self.conns.iter().position(Option::is_none).unwrap_or_else(|| {
                self.conns.push(None);
                self.conns.len() - 1
            });
            self.next_generation += 1;
            let generation = self.next_generation;
            let id = ConnId { slot: u32::try_from(slot).unwrap_or(u32::MAX), generation };
            let meddling = if listener.meddles { self.meddling } else { Meddling::default() };
            let replies = Replies::new(meddling);
            let conn = Conn { stream, id, replies, finished: false, closing: false };
            if let Some(free) = self.conns.get_mut(slot) {
                *free = Some(conn);
            }
            self.server.on_accept(now, || now.instant, id, peer, &mut self.out);
        }
        busy
    }

    fn read_udp(&mut self, now: Now) -> bool {
        let mut buffer = [0; wire::MAX_DATAGRAM];
        let mut busy = false;
        for (socket, (listener, line)) in (0..).zip(self.listeners.iter().zip(&mut self.lines)) {
            for _ in 0..MOST_AT_ONCE {
                let Ok((len, from)) = listener.udp.recv_from(&mut buffer) else { break };
                busy = true;
                line.push(Instant::now(), from, buffer.get(..len).unwrap_or_default());
            }
            let via = Via { socket, local: None };
            while let Some((from, datagram)) = line.pop(Instant::now()) {
                self.server.on_datagram(now, via, from, &datagram, &mut self.out);
            }
        }
        busy
    }

    fn read_tcp(&mut self, now: Now) -> bool {
        let mut buffer = [0; 16 * 1024];
        let mut busy = false;
        for slot in &mut self.conns {
            let Some(conn) = slot.as_mut().filter(|conn| !conn.finished && !conn.closing) else {
                continue;
            };
            match conn.stream.read(&mut buffer) {
                Ok(0) => {
                    conn.finished = true;
                    self.server.on_fin(now, conn.id, &mut self.out);
                }
                Ok(len) => {
                    let bytes = buffer.get(..len).unwrap_or_default();
                    self.server.on_bytes(now, conn.id, bytes, &mut self.out);
                }
                Err(error) if is_not_yet(&error) => continue,
                Err(_) => {
                    self.server.on_gone(now, conn.id, &mut self.out);
                    *slot = None;
                }
            }
            busy = true;
        }
        busy
    }

    /// Does what the server wants done.
    fn carry_out(&mut self) {
        for output in self.out.outputs() {
            match output {
                Output::Tcp(id, bytes) => {
                    if let Some(conn) = find(&mut self.conns, id) {
                        conn.replies.push(Instant::now(), bytes);
                    }
                }
                Output::Close(id) => {
                    if let Some(conn) = find(&mut self.conns, id) {
                        conn.closing = true;
                    }
                }
                Output::Udp(via, to, bytes) => send(&self.listeners, via, to, bytes),
            }
        }
        self.out.clear();
    }

    fn write(&mut self, now: Now) {
        for slot in &mut self.conns {
            let Some(conn) = slot else { continue };
            // One piece a round, so that no two become one.
            if let Some(piece) = conn.replies.pop(Instant::now()) {
                match conn.stream.write(&piece) {
                    Ok(len) if len == piece.len() => {}
                    Ok(len) => {
                        let rest = piece.get(len..).unwrap_or_default();
                        conn.replies.give_back(Instant::now(), rest.to_vec());
                    }
                    Err(error) if is_not_yet(&error) => {
                        conn.replies.give_back(Instant::now(), piece);
                    }
                    Err(_) => {
                        if !conn.closing {
                            self.server.on_gone(now, conn.id, &mut self.out);
                        }
                        *slot = None;
                        continue;
                    }
                }
            }
            if conn.closing && conn.replies.is_empty() {
                *slot = None;
            }
        }
    }
}

fn find(conns: &mut [Option<Conn>], id: ConnId) -> Option<&mut Conn> {
    conns.get_mut(id.slot as usize)?.as_mut().filter(|conn| conn.id == id)
}

fn send(listeners: &[Listener], via: Via, to: SocketAddr, bytes: &[u8]) {
    if let Some(listener) = listeners.get(usize::from(via.socket)) {
        // UDP promises nothing.
        let _ = listener.udp.send_to(bytes, to);
    }
}

fn is_not_yet(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
