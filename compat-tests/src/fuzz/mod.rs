//! What the fuzz targets do with their bytes. It lives here so that plain `cargo test` can replay
//! the corpus; the targets themselves are in `compat-tests/fuzz`.
//!
//! Every function takes any bytes and must come back; a broken promise is a panic.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use punchd::clock::{Instant, Now};
use punchd::dialect::events;
use punchd::dialect::events::event::Event;
use punchd::dialect::events::framing::{self, FrameError, Framer};
use punchd::dialect::gmnet::command::{Command, Go, Reader};
use punchd::dialect::gmnet::{self, datagram, lobby, text, version};
use punchd::dialect::{ConnId, Dialect, Outbox, Output, Via};
use punchd::limits::Limits;
use punchd::server::{Config, Server};

/// A function that takes any bytes.
pub type Target = fn(&[u8]);

/// All of them, by the name of their corpus.
pub const TARGETS: &[(&str, Target)] = &[
    ("gmnet_stream", gmnet_stream),
    ("gmnet_datagram", gmnet_datagram),
    ("events_stream", events_stream),
    ("server", server),
];

/// A stream of GMnet commands, cut where the first bytes say, must read as the same commands as
/// the uncut one.
pub fn gmnet_stream(data: &[u8]) {
    let (cuts, stream) = data.split_at(data.len().min(4));
    let whole = read(&[stream]);
    let mut chunks = Vec::new();
    let mut rest = stream;
    for cut in cuts {
        let (chunk, tail) = rest.split_at(usize::from(*cut).min(rest.len()));
        chunks.push(chunk);
        rest = tail;
    }
    chunks.push(rest);
    assert_eq!(read(&chunks), whole, "the commands depend on how the stream was cut");
    for command in &whole.0 {
        let _ = version::check(command.param(0));
        let _ = lobby::Query::new(command);
    }
}

/// All commands of a stream, and whether it was read to its end.
fn read(chunks: &[&[u8]]) -> (Vec<Command>, bool) {
    let mut reader = Reader::default();
    let mut scratch = Command::default();
    let mut all = Vec::new();
    for chunk in chunks {
        let keep = |command: &Command| {
            all.push(command.clone());
            Go::On
        };
        if reader.read(chunk, &mut scratch, keep).is_err() {
            return (all, false);
        }
    }
    (all, true)
}

/// A stream of JSON events, cut where the first bytes say, must read as the same objects as the
/// uncut one; what is an event must still be one, and one line, when it is passed on.
pub fn events_stream(data: &[u8]) {
    let (cuts, stream) = data.split_at(data.len().min(4));
    let whole = frame(&[stream]);
    let mut chunks = Vec::new();
    let mut rest = stream;
    for cut in cuts {
        let (chunk, tail) = rest.split_at(usize::from(*cut).min(rest.len()));
        chunks.push(chunk);
        rest = tail;
    }
    chunks.push(rest);
    assert_eq!(frame(&chunks), whole, "the objects depend on how the stream was cut");
    for object in &whole.0 {
        let Ok(event) = Event::parse(object) else { continue };
        let mut line = Vec::new();
        event.write_on(&mut line, "\"1\"", "sender");
        assert_eq!(line.iter().position(|byte| *byte == b'\n'), Some(line.len() - 1));
        let again = Event::parse(&line);
        assert!(again.is_ok_and(|again| again.kind == event.kind && again.name == event.name));
    }
}

/// All objects of a stream, and whether it was read to its end.
fn frame(chunks: &[&[u8]]) -> (Vec<Vec<u8>>, Result<(), FrameError>) {
    let mut framer = Framer::default();
    let mut all = Vec::new();
    for chunk in chunks {
        let read = framer.read(chunk, |object| {
            all.push(object.to_vec());
            framing::Go::On
        });
        if read.is_err() {
            return (all, read);
        }
    }
    (all, Ok(()))
}

/// A datagram, and the cleaning of any bytes.
pub fn gmnet_datagram(data: &[u8]) {
    let _ = datagram::parse(data);
    let mut once = String::new();
    text::clean_into(data, &mut once);
    let mut twice = String::new();
    text::clean_into(once.as_bytes(), &mut twice);
    assert_eq!(once, twice, "cleaned text had something to clean");
    assert!(!once.chars().any(char::is_control));
}

/// The whole server: bytes become connections, chunks, datagrams, closes and steps of the clock.
pub fn server(data: &[u8]) {
    let mut world = World::new();
    let mut script = Script(data);
    while let Some(op) = script.byte() {
        world.step(op, &mut script);
    }
    world.leave();
}

/// The bytes of an input, taken one after the other.
struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// Zero when the script is over.
    fn number(&mut self) -> u8 {
        self.byte().unwrap_or(0)
    }

    fn take(&mut self, most: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(most.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

/// A server and who is connected to it.
struct World {
    server: Server,
    out: Outbox,
    micros: u64,
    generation: u32,
    open: BTreeMap<u32, Peer>,
}

struct Peer {
    id: ConnId,
    finished: bool,
}

/// Whole requests, which random bytes would hardly ever hit upon.
const PHRASES: [&[u8]; 18] = [
    b"reg2\n\x001.2.4\n\0game\n\0\n\0\n\0\n\0\n\0\n\0\n\0\n\0",
    b"reg2\n1.2.4\n<INV>\nb\nc\nd\ne\nf\ng\nh\n",
    b"reg2\n1.0\n\n\n\n\n\n\n\n\n",
    b"reg\n",
    b"connect\n127.0.0.1\n\0",
    b"connect\n127.0.0.2\n\0",
    b"connect\n127.0.0.1:1001\n",
    b"connect\n",
    b"lobby2\n\n\n\n\n\n\n\n\ndata1\nASC\n3\n",
    b"lobby2\ngame\n\n\n\n\n\n\n\ndate\nDESC\n\n",
    b"version\n",
    b"ping\n\0",
    br#"{"type":"request","name":"login","data":{"id":"a"},"request_id":1}"#,
    br#"{"type":"request","name":"login","data":{"id":"b"},"request_id":1}"#,
    br#"{"type":"request","name":"create_room","data":{"name":"r"},"request_id":1}"#,
    br#"{"type":"request","name":"q","dest":"a","request_id":1}"#,
    br#"{"type":"confirm_pass","name":"q","dest":"b","pass_id":1}"#,
    br#"{"type":"confirm_pass","pass_id":"1"}{"type":"response","request_id":"2"}"#,
];

impl World {
    fn new() -> Self {
        let limits = Limits {
            connections: 16,
            connections_per_address: 6,
            hosts_per_address: 3,
            commands_per_second: 50,
            datagrams_per_second: 100,
        };
        let public_ip = Some(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1)));
        let gmnet = gmnet::Config { limits, public_ip, ..gmnet::Config::default() };
        let events = events::Config { limits, ..events::Config::default() };
        Self {
            server: Server::new(Config { limits, gmnet, events, ..Config::default() }),
            out: Outbox::new(),
            micros: 0,
            generation: 0,
            open: BTreeMap::new(),
        }
    }

    fn now(&self) -> Now {
        let instant = Instant::from_micros(self.micros);
        Now { instant, unix: 1_700_000_000 + self.micros / 1_000_000 }
    }

    fn step(&mut self, op: u8, script: &mut Script<'_>) {
        match op % 8 {
            0 => self.open(script.number()),
            1 => {
                let slot = script.number();
                let length = usize::from(script.number());
                self.bytes(slot, script.take(length));
            }
            2 | 3 => {
                let slot = script.number();
                let phrase = PHRASES[usize::from(script.number()) % PHRASES.len()];
                self.bytes(slot, phrase);
            }
            4 => self.end(script.number(), op >= 128),
            5 => {
                let (addr, port) = (script.number(), script.number());
                let raw =
                    [&b"reg\n\0"[..], b"connect\n\0", b"\xde\xc0\xad\xde\x0c\0\0\0\x04\0\0\0reg\n"];
                let data = match op / 64 {
                    3 => script.take(20),
                    kind => raw[usize::from(kind)],
                };
                self.datagram(addr, port, data);
            }
            6 => self.sleep(u64::from(script.number()) * 20_000),
            _ => self.sleep(u64::from(script.number()) * 1_000_000),
        }
    }

    /// Five addresses, one of them outside the network of the server.
    fn addr(n: u8) -> IpAddr {
        match n % 5 {
            4 => IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7)),
            n => IpAddr::V4(Ipv4Addr::new(127, 0, 0, n + 1)),
        }
    }

    fn open(&mut self, from: u8) {
        let Some(slot) = (0..16).find(|slot| !self.open.contains_key(slot)) else {
            self.server.make_room(self.now(), &mut self.out);
            return self.deliver();
        };
        self.generation += 1;
        let id = ConnId { slot, generation: self.generation };
        self.open.insert(slot, Peer { id, finished: false });
        let peer = SocketAddr::new(Self::addr(from), 40_000);
        self.server.on_open(self.now(), id, peer, &mut self.out);
        self.deliver();
    }

    fn peer(&mut self, n: u8) -> Option<&mut Peer> {
        let count = self.open.len().max(1);
        self.open.values_mut().nth(usize::from(n) % count)
    }

    fn bytes(&mut self, n: u8, bytes: &[u8]) {
        let Some(Peer { id, finished: false }) = self.peer(n) else { return };
        let id = *id;
        self.server.on_bytes(self.now(), id, bytes, &mut self.out);
        self.deliver();
    }

    fn end(&mut self, n: u8, politely: bool) {
        let Some(peer) = self.peer(n) else { return };
        let id = peer.id;
        if politely && !std::mem::replace(&mut peer.finished, true) {
            self.server.on_fin(self.now(), id, &mut self.out);
        } else {
            self.open.remove(&id.slot);
            self.server.on_gone(self.now(), id, &mut self.out);
        }
        self.deliver();
    }

    fn datagram(&mut self, from: u8, port: u8, data: &[u8]) {
        let peer = SocketAddr::new(Self::addr(from), 1000 + u16::from(port % 8));
        self.server.on_datagram(self.now(), Via::default(), peer, data, &mut self.out);
        self.deliver();
    }

    /// Lets time pass, and wakes the server whenever it wants.
    fn sleep(&mut self, micros: u64) {
        let until = self.micros + micros;
        let mut wakes = 0;
        while let Some(at) = self.server.next_wakeup().filter(|at| at.micros() <= until) {
            self.micros = self.micros.max(at.micros());
            self.server.on_wakeup(self.now(), &mut self.out);
            self.deliver();
            wakes += 1;
            assert!(wakes < 100_000, "the server does not let itself sleep");
        }
        self.micros = until;
    }

    /// Does what the server wants done, and checks it.
    fn deliver(&mut self) {
        let mut out = std::mem::take(&mut self.out);
        for output in out.outputs() {
            match output {
                Output::Tcp(id, bytes) => {
                    let open = self.open.get(&id.slot).is_some_and(|peer| peer.id == id);
                    assert!(open, "something was sent on a connection that is not open");
                    assert!(!bytes.is_empty(), "an empty message");
                    assert!(!bytes.ends_with(b"\x000\0"), "somebody was told port 0");
                }
                Output::Close(id) => {
                    let closed = self.open.get(&id.slot).is_some_and(|peer| peer.id == id);
                    assert!(closed, "a connection was closed that is not open");
                    self.open.remove(&id.slot);
                }
                Output::Udp(_, to, _) => assert_ne!(to.port(), 0, "a datagram to port 0"),
            }
        }
        out.clear();
        self.out = out;
    }

    /// Everybody leaves, and an hour passes: nothing must be left.
    fn leave(mut self) {
        while !self.open.is_empty() {
            self.end(0, false);
        }
        self.sleep(Duration::from_secs(3600).as_micros() as u64);
        assert_eq!(self.server.next_wakeup(), None, "a timer is left when everybody is gone");
        assert!(!self.server.owes());
    }
}
