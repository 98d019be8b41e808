//! The server without sockets and with a made-up clock: for tests of what takes hours, of
//! addresses that this machine does not have, and of floods that no socket would carry.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use clap::Parser;
use punchd::cli::Options;
use punchd::clock::{Instant, Now};
use punchd::dialect::{ConnId, Outbox, Output, Via};
use punchd::introductions::journal::Journal;
use punchd::limits::Limits;
use punchd::server::Server;

/// Seconds since 1970 when the made-up clock starts.
const EPOCH: u64 = 1_700_000_000;

/// A server whose peers are function calls.
#[derive(Debug)]
pub struct Unplugged {
    server: Server,
    out: Outbox,
    time: Instant,
    opened: u32,
    /// Slots of connections that have ended.
    free: Vec<u32>,
    said: HashMap<ConnId, Vec<Vec<u8>>>,
    closed: HashSet<ConnId>,
    datagrams: Vec<(SocketAddr, Vec<u8>)>,
}

impl Unplugged {
    /// A server with the options that the command line has.
    ///
    /// # Panics
    /// If there are no such options.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a fixture fails its test")]
    pub fn new(options: &[&str]) -> Self {
        let line = std::iter::once("punchd").chain(options.iter().copied()).map(OsStr::new);
        let options = Options::try_parse_from(line).expect("options");
        let connections = options.max_connections.unwrap_or(Limits::default().connections);
        Self {
            server: Server::new(options.server(connections)),
            out: Outbox::new(),
            // The clock of a real server is at zero when it starts and later when somebody comes.
            time: Instant::from_micros(1),
            opened: 0,
            free: Vec::new(),
            said: HashMap::new(),
            closed: HashSet::new(),
            datagrams: Vec::new(),
        }
    }

    /// Somebody connects by TCP.
    pub fn open(&mut self, peer: SocketAddr) -> ConnId {
        self.open_after(Duration::ZERO, peer)
    }

    /// The same, with that round trip: its first packet came so long ago.
    pub fn open_after(&mut self, round_trip: Duration, peer: SocketAddr) -> ConnId {
        let slot = self.free.pop().unwrap_or(self.opened);
        let conn = ConnId { slot, generation: self.opened };
        self.opened += 1;
        let now = self.now();
        let began = now.instant.before(round_trip);
        self.server.on_accept(now, || began, conn, peer, &mut self.out);
        self.deliver();
        conn
    }

    /// Bytes come on a connection, if it is still open.
    pub fn send(&mut self, conn: ConnId, bytes: &[u8]) {
        if !self.is_closed(conn) {
            let now = self.now();
            self.server.on_bytes(now, conn, bytes, &mut self.out);
            self.deliver();
        }
    }

    /// A peer connects and sends something.
    pub fn open_and_send(&mut self, peer: SocketAddr, bytes: &[u8]) -> ConnId {
        let conn = self.open(peer);
        self.send(conn, bytes);
        conn
    }

    /// The peer ends its connection.
    pub fn end(&mut self, conn: ConnId) {
        if self.closed.insert(conn) {
            self.free.push(conn.slot);
            let now = self.now();
            self.server.on_gone(now, conn, &mut self.out);
            self.deliver();
        }
    }

    /// The peer has sent its last byte, and may still read.
    pub fn finish(&mut self, conn: ConnId) {
        let now = self.now();
        self.server.on_fin(now, conn, &mut self.out);
        self.deliver();
    }

    /// A datagram comes.
    pub fn datagram(&mut self, from: SocketAddr, bytes: &[u8]) {
        let now = self.now();
        self.server.on_datagram(now, Via::default(), from, bytes, &mut self.out);
        self.deliver();
    }

    /// Somebody wants to connect and there is no room. Tells whether room was made.
    pub fn make_room(&mut self, wants: IpAddr) -> bool {
        let eviction_candidate = self.server.eviction_candidate(self.now(), wants);
        eviction_candidate.into_iter().for_each(|conn| self.end(conn));
        eviction_candidate.is_some()
    }

    /// Whether more datagrams come than there is time for.
    pub fn note_busy(&mut self, is_busy: bool) {
        self.server.note_busy(is_busy);
    }

    /// Connections of so many sources have something to read.
    pub fn note_ready(&mut self, sources: usize) {
        self.server.note_ready(sources);
    }

    /// Time passes, and the server does what it has to do at its time.
    pub fn pass(&mut self, duration: Duration) {
        let end = self.time + duration;
        while let Some(at) = self.server.next_wakeup().filter(|at| *at <= end) {
            self.time = self.time.max(at);
            let now = self.now();
            self.server.on_wakeup(now, &mut self.out);
            self.deliver();
        }
        self.time = end;
    }

    /// The server does what it has to do by now, once. False: there is nothing.
    pub fn wake_up(&mut self) -> bool {
        let is_due = self.server.next_wakeup().is_some_and(|at| at <= self.time);
        if is_due {
            let now = self.now();
            self.server.on_wakeup(now, &mut self.out);
            self.deliver();
        }
        is_due
    }

    /// Takes what a connection was sent, in pieces as it was written.
    pub fn heard(&mut self, conn: ConnId) -> Vec<Vec<u8>> {
        self.said.remove(&conn).unwrap_or_default()
    }

    /// Whether a connection has ended.
    #[must_use]
    pub fn is_closed(&self, conn: ConnId) -> bool {
        self.closed.contains(&conn)
    }

    /// Takes the datagrams that the server has sent.
    pub fn datagrams(&mut self) -> Vec<(SocketAddr, Vec<u8>)> {
        std::mem::take(&mut self.datagrams)
    }

    /// What it keeps of introductions that have ended.
    #[must_use]
    pub fn journal(&self) -> &Journal {
        self.server.journal()
    }

    fn now(&self) -> Now {
        Now { instant: self.time, unix: EPOCH + self.time.micros() / 1_000_000 }
    }

    fn deliver(&mut self) {
        for output in self.out.outputs() {
            match output {
                Output::Tcp(conn, bytes) => {
                    self.said.entry(conn).or_default().push(bytes.to_vec());
                }
                Output::Close(conn) => {
                    if self.closed.insert(conn) {
                        self.free.push(conn.slot);
                    }
                }
                Output::Udp(_, to, bytes) => self.datagrams.push((to, bytes.to_vec())),
            }
        }
        self.out.clear();
    }
}
