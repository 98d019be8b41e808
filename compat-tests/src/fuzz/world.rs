//! The server in the hands of a fuzzer: a clock, connections and datagrams that are made of bytes,
//! and promises that have to hold whatever happens.
#![expect(clippy::expect_used, clippy::panic, reason = "a broken promise is a panic")]

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use punchd::amplification::DATAGRAM;
use punchd::clock::{Instant, Now};
use punchd::dialect::{ConnId, Outbox, Output, Via, events, gmnet, rooms, stun};
use punchd::limits::Limits;
use punchd::server::{Config, Server};

use super::phrases::{self, DATAGRAMS, STREAMS};
use crate::amplification::Ledger;

/// Has the bytes of an input happen to a server.
pub(super) fn run(data: &[u8]) {
    let mut world = World::new();
    let mut script = Script(data);
    while let Some(op) = script.byte() {
        world.step(op, &mut script);
    }
    world.leave();
}

/// The bytes of an input, taken one after the other.
pub(super) struct Script<'a>(pub(super) &'a [u8]);

impl<'a> Script<'a> {
    pub(super) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// Zero when the script is over.
    pub(super) fn number(&mut self) -> u8 {
        self.byte().unwrap_or(0)
    }

    pub(super) fn take(&mut self, most: usize) -> &'a [u8] {
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
    /// Addresses that datagrams have come from.
    seen: HashSet<IpAddr>,
    /// What came from each and went there.
    bytes: Ledger,
    /// IDs, keys and tokens that the server has told, the newest last.
    told: VecDeque<Vec<u8>>,
}

struct Peer {
    id: ConnId,
    finished: bool,
    /// It has opened a WebSocket; and the server has said goodbye on it.
    web: Option<bool>,
}

impl Peer {
    /// What the server says has to be something that a page can read.
    fn hears(&mut self, bytes: &[u8]) {
        let frames = match self.web {
            Some(_) => bytes,
            None => match bytes.strip_prefix(b"HTTP/1.1 101 ") {
                Some(rest) => {
                    self.web = Some(false);
                    let end = rest.windows(4).position(|four| four == b"\r\n\r\n");
                    &rest[end.expect("the end of the head") + 4..]
                }
                None => return,
            },
        };
        let mut rest = frames;
        while let [first, second, behind @ ..] = rest {
            assert_eq!(self.web, Some(false), "something is said behind a goodbye");
            let (length, behind) = match second {
                127 => {
                    let (length, behind) = behind.split_first_chunk().expect("a length");
                    (u64::from_be_bytes(*length) as usize, behind)
                }
                126 => {
                    let (length, behind) = behind.split_first_chunk().expect("a length");
                    (usize::from(u16::from_be_bytes(*length)), behind)
                }
                length @ ..=125 => (usize::from(*length), behind),
                _ => panic!("masked by a server"),
            };
            let (payload, behind) = behind.split_at(length);
            match first {
                0x81 => assert!(serde_json::from_slice::<serde_json::Value>(payload).is_ok()),
                0x88 => {
                    assert_eq!(length, 2, "a code alone");
                    self.web = Some(true);
                }
                0x8a => assert!(length <= 125),
                _ => panic!("no frame of a server"),
            }
            rest = behind;
        }
        assert!(rest.is_empty(), "half a frame");
    }
}

impl World {
    fn new() -> Self {
        let limits = Limits {
            connections: 16,
            connections_per_address: 6,
            hosts_per_address: 3,
            commands_per_second: 50,
            datagrams_per_second: 100,
        };
        let public_ips = IpAddr::from([203, 0, 113, 1]).into();
        let gmnet = gmnet::Config { limits, public_ips, ..gmnet::Config::default() };
        let events = events::Config { limits, ..events::Config::default() };
        let rooms = rooms::Config { limits, peers: 12, ..rooms::Config::default() };
        let sockets = [6510, 6511].map(|port| SocketAddr::from(([127, 0, 0, 1], port))).to_vec();
        let stun = stun::Config { sockets, alternate_port: Some(6511), alternate_addr: None };
        let alternates_from = Some(1);
        let config = Config {
            limits,
            gmnet,
            events,
            rooms,
            stun,
            alternates_from,
            public_lobby: true,
            ..Config::default()
        };
        Self {
            server: Server::new(config),
            out: Outbox::new(),
            micros: 0,
            generation: 0,
            open: BTreeMap::new(),
            seen: HashSet::new(),
            bytes: Ledger::default(),
            told: VecDeque::new(),
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
            2 => {
                let slot = script.number();
                let phrase = STREAMS[usize::from(script.number()) % STREAMS.len()];
                let phrase = self.fill_in(phrase, script);
                match op / 64 {
                    0 => self.bytes(slot, &phrase),
                    how => self.bytes(slot, &phrases::in_frames(&phrase, how)),
                }
            }
            3 => {
                let (addr, port) = (script.number(), script.number());
                let phrase = DATAGRAMS[usize::from(script.number()) % DATAGRAMS.len()];
                let phrase = self.fill_in(phrase, script);
                self.datagram(addr, port, &phrase);
            }
            4 => self.end(script.number(), op >= 128),
            5 => {
                let (addr, port) = (script.number(), script.number());
                let raw =
                    [&b"reg\n\0"[..], b"connect\n\0", b"\xde\xc0\xad\xde\x0c\0\0\0\x04\0\0\0reg\n"];
                let data = match op / 64 {
                    3 => script.take(80),
                    kind => raw[usize::from(kind)],
                };
                self.datagram(addr, port, data);
            }
            6 => self.sleep(u64::from(script.number()) * 20_000),
            _ => self.sleep(u64::from(script.number()) * 1_000_000),
        }
    }

    /// Puts in for each gap what the server has told, as the script chooses.
    fn fill_in(&self, phrase: &[u8], script: &mut Script<'_>) -> Vec<u8> {
        let mut filled = Vec::new();
        for byte in phrase {
            match phrases::gap(*byte) {
                None => filled.push(*byte),
                Some(length) => {
                    let fitting = self.told.iter().rev().filter(|word| word.len() == length);
                    let fitting: Vec<_> = fitting.collect();
                    match fitting.get(usize::from(script.number()) % fitting.len().max(1)) {
                        Some(word) => filled.extend_from_slice(word),
                        None => filled.resize(filled.len() + length, b'0'),
                    }
                }
            }
        }
        filled
    }

    fn note_told(&mut self, bytes: &[u8]) {
        for word in phrases::words(bytes) {
            if !self.told.iter().any(|known| known == word) {
                self.told.push_back(word.to_vec());
            }
        }
        while self.told.len() > 48 {
            self.told.pop_front();
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
            let eviction_candidate = self.server.eviction_candidate(self.now(), Self::addr(from));
            let Some(id) = eviction_candidate else { return };
            self.open.remove(&id.slot);
            self.server.on_gone(self.now(), id, &mut self.out);
            return self.deliver();
        };
        self.generation += 1;
        let id = ConnId { slot, generation: self.generation };
        self.open.insert(slot, Peer { id, finished: false, web: None });
        let peer = SocketAddr::new(Self::addr(from), 40_000);
        self.bytes.connected(peer.ip());
        let now = self.now();
        self.server.on_accept(now, || now.instant, id, peer, &mut self.out);
        self.deliver();
    }

    fn peer(&mut self, n: u8) -> Option<&mut Peer> {
        let count = self.open.len().max(1);
        self.open.values_mut().nth(usize::from(n) % count)
    }

    fn bytes(&mut self, n: u8, bytes: &[u8]) {
        let Some(Peer { id, finished: false, .. }) = self.peer(n) else { return };
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
        self.seen.insert(peer.ip());
        self.bytes.received(peer, data);
        let via = Via { socket: u8::from(port >= 192), local: None };
        self.server.on_datagram(self.now(), via, peer, data, &mut self.out);
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
                    let peer = self.open.get_mut(&id.slot).filter(|peer| peer.id == id);
                    let peer = peer.expect("something was sent on a connection that is not open");
                    peer.hears(bytes);
                    assert!(!bytes.is_empty(), "an empty message");
                    assert!(!bytes.ends_with(b"\x000\0"), "somebody was told port 0");
                    self.note_told(bytes);
                }
                Output::Close(id) => {
                    let closed = self.open.get(&id.slot).is_some_and(|peer| peer.id == id);
                    assert!(closed, "a connection was closed that is not open");
                    self.open.remove(&id.slot);
                }
                Output::Udp(_, to, bytes) => {
                    assert_ne!(to.port(), 0, "a datagram to port 0");
                    assert!(self.seen.contains(&to.ip()), "nothing came from {to}");
                    assert!(bytes.len() <= DATAGRAM, "a datagram of {} bytes", bytes.len());
                    let is_allowed = self.bytes.sent(to, bytes);
                    assert_eq!(is_allowed, Ok(()), "somebody could amplify with it");
                    self.note_told(bytes);
                }
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
