//! What the kernel alone costs: a loop that makes the system calls of a master server for each
//! introduction, and thinks nothing. No server built on this way of waiting can be cheaper.
//!
//! It takes connections and datagrams from sockets that are set up as the server's are. Of each
//! chunk it looks at the first byte only:
//!
//! | chunk | what it does |
//! | --- | --- |
//! | `r...`, a registration | counts the connection among the hosts |
//! | `c...`, a `connect` | writes [`ANSWER`] to it, and [`NOTICE`] to the next host in turn |
//! | `v...`, a `version` | writes [`VERSION`] to it |
//! | `l...`, a `lobby2` | writes as many prepared bytes as it was told when started |
//! | `p...`, no command | makes it the partner of the connection that said so before, and answers |
//! | `{...`, an event | writes it to the partner as it is |
//!
//! and of each datagram at the first two:
//!
//! | datagram | what it does |
//! | --- | --- |
//! | `rh...`, a room is made | counts the sender among the hosts of rooms; [`HOSTING`] and [`OWN`] |
//! | `rc...`, a host comes back | the same answers |
//! | `jr...`, a room is joined | [`JOINED`] and [`OWN`], and [`COMES`] to the next host in turn |
//! | `pc...`, `lr...` | sends it back |
//! | a packet of GameMaker, a `reg` | counts the sender among the hosts |
//! | `ka...` | [`KEEPALIVE`] to all hosts |

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use punchd::clock::Instant;
use punchd::dialect::gmnet::datagram::KEEPALIVE;
use punchd::dialect::{Outbox, Via};
use punchd::net::bind;
use punchd::net::udp::{BATCH, Datagram, Datagrams};
use slab::Slab;

/// What a client is answered, as long as a usual introduction.
pub const ANSWER: &[u8] = b"\xff127.111.111.111\x0055555\0";
/// What a host is told, as long as a usual introduction.
pub const NOTICE: &[u8] = ANSWER;
/// The answer to `version`.
pub const VERSION: &[u8] = b"\xf61.2.5\n";

/// The answer to who makes a room.
pub const HOSTING: &[u8] = b"rh:0123456789abcdef";
/// What everybody is told with it, and who joins too.
pub const OWN: &[u8] = b"rID:0123456789abcdef:0123456789abcdef0123456789abcdef";
/// The answer to who joins.
pub const JOINED: &[u8] = b"jr:0123456789abcdef:0123456789abcdef:127.111.111.111:55555";
/// What the host is told then.
pub const COMES: &[u8] = b"cj:0123456789abcdef:127.111.111.111:55555";

const LISTENER: Token = Token(0);
const DATAGRAMS: Token = Token(1);
const FIRST: usize = 2;

struct Connection {
    stream: TcpStream,
    /// Prepared bytes that the socket has not taken yet.
    owed: usize,
    /// Who is written what comes from here.
    partner: usize,
}

/// Serves on this port until the process is ended. `lobby` is how many bytes a lobby has.
///
/// # Errors
/// If the system does not let it listen or wait.
pub fn serve(port: u16, lobby: usize) -> io::Result<()> {
    let bound = bind::bind(&[], port, Duration::from_secs(60)).map_err(io::Error::other)?;
    let mut bound = bound.into_iter().next().ok_or(io::ErrorKind::AddrNotAvailable)?;
    let mut poll = Poll::new()?;
    poll.registry().register(&mut bound.tcp, LISTENER, Interest::READABLE)?;
    poll.registry().register(&mut bound.udp, DATAGRAMS, Interest::READABLE)?;
    // The server's own, which also ask the system to which address a datagram was sent.
    let mut datagrams = Datagrams::new(vec![bound.udp]);
    let lobby = vec![b'x'; lobby];
    let mut connections = Slab::<Connection>::new();
    let mut hosts: Vec<usize> = Vec::new();
    let mut next_host = 0;
    let mut alone = None;
    let mut peers = Peers::default();
    let mut out = Outbox::new();
    let mut events = Events::with_capacity(1024);
    let mut buffer = vec![0; 64 * 1024];
    let mut ready = Vec::new();
    loop {
        match poll.poll(&mut events, None) {
            // It was made to stand still for a while.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        }
        let (mut acceptable, mut readable) = (false, false);
        for event in &events {
            match event.token() {
                LISTENER => acceptable = true,
                DATAGRAMS => readable = true,
                Token(n) => ready.push((n - FIRST, event.is_read_closed(), event.is_writable())),
            }
        }
        if readable {
            datagrams.note_readable(0);
        }
        loop {
            let received = datagrams.receive(Instant::default(), 0);
            if received == 0 {
                break;
            }
            for got in (0..received).filter_map(|i| datagrams.get(0, i)) {
                let Datagram { via, peer: from, data, .. } = got;
                peers.answer(&mut out, via, from, data);
            }
            if out.len() >= BATCH {
                datagrams.send_all(out.datagrams());
                out.clear();
            }
        }
        datagrams.send_all(out.datagrams());
        out.clear();
        while let Some((mut stream, _)) = acceptable.then(|| bound.tcp.accept().ok()).flatten() {
            let entry = connections.vacant_entry();
            let token = Token(FIRST + entry.key());
            poll.registry().register(&mut stream, token, Interest::READABLE)?;
            entry.insert(Connection { stream, owed: 0, partner: 0 });
        }
        for (n, is_closed, is_writable) in ready.drain(..) {
            if is_writable {
                pay(&poll, &mut connections, n, &lobby)?;
            }
            let mut length = read(&mut connections, n, &mut buffer);
            match length.and_then(|length| buffer[..length].first()) {
                Some(b'r') => hosts.push(n),
                Some(b'c') => {
                    say(&mut connections, n, ANSWER);
                    if !hosts.is_empty() {
                        next_host = (next_host + 1) % hosts.len();
                        say(&mut connections, hosts[next_host], NOTICE);
                    }
                }
                Some(b'v') => say(&mut connections, n, VERSION),
                Some(b'p') => pair(&mut connections, &mut alone, n),
                Some(b'{') => {
                    let partner = connections.get(n).map_or(n, |connection| connection.partner);
                    say(&mut connections, partner, &buffer[..length.unwrap_or(0)]);
                }
                Some(b'l') => {
                    if let Some(connection) = connections.get_mut(n) {
                        connection.owed = lobby.len();
                    }
                    pay(&poll, &mut connections, n, &lobby)?;
                }
                _ => {}
            }
            if is_closed && length.is_some_and(|length| length > 0) {
                length = read(&mut connections, n, &mut buffer);
            }
            if is_closed && length.is_none_or(|length| length == 0) {
                connections.try_remove(n);
            }
        }
    }
}

/// Who has sent datagrams.
#[derive(Default)]
struct Peers {
    /// The hosts of rooms.
    hosts: Vec<SocketAddr>,
    next: usize,
    /// The hosts that want to be kept alive.
    idle: Vec<(Via, SocketAddr)>,
}

impl Peers {
    fn answer(&mut self, out: &mut Outbox, via: Via, from: SocketAddr, data: &[u8]) {
        let mut say = |to, bytes: &[u8]| out.udp(via, to, |out| out.extend_from_slice(bytes));
        match data.get(..2) {
            Some(word @ (b"rh" | b"rc")) => {
                if word == b"rh" {
                    self.hosts.push(from);
                }
                say(from, HOSTING);
                say(from, OWN);
            }
            Some(b"jr") if !self.hosts.is_empty() => {
                say(from, JOINED);
                say(from, OWN);
                self.next = (self.next + 1) % self.hosts.len();
                say(self.hosts[self.next], COMES);
            }
            Some(b"pc" | b"lr") => say(from, data),
            Some(word) if *word == KEEPALIVE[..2] => self.idle.push((via, from)),
            Some(b"ka") => self.idle.iter().for_each(|(via, host)| {
                out.udp(*via, *host, |out| out.extend_from_slice(&KEEPALIVE));
            }),
            _ => {}
        }
    }
}

/// Makes partners of a connection and the one that waits for a partner.
fn pair(connections: &mut Slab<Connection>, alone: &mut Option<usize>, n: usize) {
    match alone.take() {
        Some(other) => {
            for (n, partner) in [(n, other), (other, n)] {
                if let Some(connection) = connections.get_mut(n) {
                    connection.partner = partner;
                }
            }
        }
        None => *alone = Some(n),
    }
    say(connections, n, VERSION);
}

fn read(connections: &mut Slab<Connection>, n: usize, buffer: &mut [u8]) -> Option<usize> {
    connections.get_mut(n).and_then(|connection| connection.stream.read(buffer).ok())
}

fn say(connections: &mut Slab<Connection>, n: usize, bytes: &[u8]) {
    if let Some(connection) = connections.get_mut(n) {
        // Who does not read is not waited for.
        let _ = connection.stream.write(bytes);
    }
}

/// Writes prepared bytes until the socket takes no more, and then waits for it.
fn pay(
    poll: &Poll,
    connections: &mut Slab<Connection>,
    n: usize,
    prepared: &[u8],
) -> io::Result<()> {
    let Some(connection) = connections.get_mut(n) else { return Ok(()) };
    let before = connection.owed;
    while connection.owed > 0 {
        let start = prepared.len() - connection.owed;
        match connection.stream.write(&prepared[start..]) {
            Ok(length) => connection.owed -= length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(_) => connection.owed = 0,
        }
    }
    let is_all_at_once = before == prepared.len() && connection.owed == 0;
    if before == 0 || is_all_at_once {
        return Ok(());
    }
    let both = Interest::READABLE | Interest::WRITABLE;
    let interest = if connection.owed == 0 { Interest::READABLE } else { both };
    poll.registry().reregister(&mut connection.stream, Token(FIRST + n), interest)
}
