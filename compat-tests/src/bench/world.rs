//! The whole server without sockets, on a clock of its own: to count what its logic costs, apart
//! from what the kernel does.

use std::net::{Ipv4Addr, SocketAddr};

use punchd::clock::{Instant, Now};
use punchd::dialect::{ConnId, Outbox, Output, Via};
use punchd::server::{Config, NotUnderstood, Server, State};

use super::Failure;
use super::questions::lobby_request;
use super::sockets::address;
use crate::gmnet::wire::{self, Data, Protocol};

/// Kinds of peers, for their addresses.
const HOST: u8 = 10;
const CLIENT: u8 = 11;
/// Each port is used by one kind of peers.
const HOST_PORT: u16 = 40_000;
const CLIENT_PORT: u16 = 50_000;
/// The datagrams of hosts and of clients.
const REG: &[u8] = b"\xde\xc0\xad\xde\x0c\0\0\0\x05\0\0\0reg\n\0";
const CONNECT: &[u8] = b"\xde\xc0\xad\xde\x0c\0\0\0\x09\0\0\0connect\n\0";
/// Least time between two things that happen, in microseconds.
const STEP: u64 = 50;
/// No host is asked for again in less, in microseconds: it is told of clients at least the notify
/// gap apart.
const ROUND: u64 = 60_000;

/// A server, its hosts, and what they say. What can be is prepared, so that only the server works
/// while something is measured.
#[derive(Debug)]
pub struct World {
    server: Server,
    out: Outbox,
    micros: u64,
    generation: u32,
    hosts: Vec<Host>,
    next: usize,
}

#[derive(Debug)]
struct Host {
    conn: ConnId,
    request: Vec<u8>,
    introduction: Vec<u8>,
}

impl World {
    /// A server with so many hosts.
    ///
    /// # Errors
    /// If it does not take them.
    pub fn new(hosts: usize, data: impl Fn(usize) -> Data) -> Result<Self, Failure> {
        let mut world = Self::unchecked(hosts, data);
        match world.lobby(&lobby_request("", None)).matches("\"ip\"").count() {
            listed if listed == hosts => Ok(world),
            listed => Err(Failure::Wrong(format!("{listed} of {hosts} hosts are listed"))),
        }
    }

    /// The same, but nobody has looked whether all are in the lobby.
    pub fn unchecked(hosts: usize, data: impl Fn(usize) -> Data) -> Self {
        let mut config = Config::default();
        config.limits.connections = hosts + 1000;
        // All that happens comes from few addresses, in no time.
        config.limits.commands_per_second = 0;
        config.limits.datagrams_per_second = 0;
        config.gmnet.limits = config.limits;
        let mut world = Self {
            server: Server::new(config),
            out: Outbox::new(),
            micros: 1_000_000,
            generation: 0,
            hosts: Vec::with_capacity(hosts),
            next: 0,
        };
        for n in 0..hosts {
            let conn = world.register(n, &registration(&data(n)));
            world.hosts.push(Host {
                conn,
                request: wire::connect(Protocol::Modern, address(HOST, n).into()),
                introduction: introduction(address(HOST, n), HOST_PORT),
            });
        }
        world
    }

    /// What another process needs to go on.
    #[must_use]
    pub fn save(&self) -> Vec<u8> {
        self.server.save().encode()
    }

    /// A server that goes on from that.
    ///
    /// # Errors
    /// If it does not understand it.
    pub fn load(&self, bytes: &[u8]) -> Result<Server, NotUnderstood> {
        let now = Now { instant: Instant::from_micros(self.micros), unix: 0 };
        let mut server = Server::new(Config::default());
        server.load(now, &mut State::decode(bytes)?, &mut Outbox::new())?;
        Ok(server)
    }

    /// Bytes that this takes itself, beside the server.
    #[must_use]
    pub fn own_size(&self) -> usize {
        let texts = self.hosts.iter().map(|h| h.request.capacity() + h.introduction.capacity());
        self.hosts.capacity() * size_of::<Host>() + texts.sum::<usize>()
    }

    /// The host with this number registers on a connection of its own, by such a request.
    pub fn register(&mut self, n: usize, request: &[u8]) -> ConnId {
        let addr = address(HOST, n);
        self.datagram((addr, HOST_PORT).into(), REG);
        let conn = self.open(n, (addr, HOST_PORT).into());
        self.bytes(conn, request);
        self.out.clear();
        conn
    }

    /// A host leaves.
    pub fn leave(&mut self, conn: ConnId) {
        let now = self.step();
        self.server.on_fin(now, conn, &mut self.out);
        self.out.clear();
    }

    /// The next client is introduced to the next host, on a new connection.
    ///
    /// # Errors
    /// If one of them is told something wrong.
    pub fn introduce(&mut self) -> Result<(), Failure> {
        self.next += 1;
        let client = SocketAddr::from((address(CLIENT, self.next % 4096), CLIENT_PORT));
        let n = self.next % self.hosts.len();
        self.datagram(client, CONNECT);
        let conn = self.open(self.hosts.len(), client);
        let request = std::mem::take(&mut self.hosts[n].request);
        self.bytes(conn, &request);
        let host = &mut self.hosts[n];
        host.request = request;
        // The client is told first, then the host, in the same breath.
        let mut outputs = self.out.outputs();
        let told = outputs.next() == Some(Output::Tcp(conn, &host.introduction));
        let notified = matches!(outputs.next(), Some(Output::Tcp(to, _)) if to == host.conn);
        drop(outputs);
        self.out.clear();
        self.leave(conn);
        if told && notified {
            return Ok(());
        }
        Err(Failure::Wrong(format!("introduction number {}: {told}, {notified}", self.next)))
    }

    /// The lobby, as somebody is told on a new connection.
    pub fn lobby(&mut self, request: &[u8]) -> String {
        self.ask(request, |reply| String::from_utf8_lossy(reply).into_owned())
    }

    /// Asks on a new connection, and looks at the answer.
    pub fn ask<T>(&mut self, request: &[u8], look: impl FnOnce(&[u8]) -> T) -> T {
        let conn = self.open(self.hosts.len(), (address(CLIENT, 5000), CLIENT_PORT).into());
        self.bytes(conn, request);
        let result = match self.out.outputs().next() {
            Some(Output::Tcp(to, reply)) if to == conn => look(reply),
            _ => look(b""),
        };
        self.out.clear();
        self.leave(conn);
        result
    }

    /// Somebody connects, in a slot behind those of the hosts.
    pub fn connect(&mut self, n: usize) -> ConnId {
        self.open(self.hosts.len() + 1 + n, (address(CLIENT, 6000 + n), CLIENT_PORT).into())
    }

    /// Bytes come on a connection. How many bytes are the answers, to whomever.
    pub fn say(&mut self, conn: ConnId, bytes: &[u8]) -> usize {
        self.bytes(conn, bytes);
        self.answers()
    }

    /// A datagram comes. How many bytes are the answers, to whomever.
    pub fn hear(&mut self, n: usize, data: &[u8]) -> usize {
        self.datagram((address(CLIENT, 6000 + n), CLIENT_PORT).into(), data);
        self.answers()
    }

    /// A datagram comes; looks at the first answer.
    pub fn ask_udp<T>(&mut self, n: usize, data: &[u8], look: impl FnOnce(&[u8]) -> T) -> T {
        self.datagram((address(CLIENT, 6000 + n), CLIENT_PORT).into(), data);
        let result = match self.out.outputs().next() {
            Some(Output::Udp(_, _, reply)) => look(reply),
            _ => look(b""),
        };
        self.out.clear();
        result
    }

    fn answers(&mut self) -> usize {
        let length = |output| match output {
            Output::Tcp(_, bytes) | Output::Udp(_, _, bytes) => bytes.len(),
            Output::Close(_) => 0,
        };
        let answers = self.out.outputs().map(length).sum();
        self.out.clear();
        answers
    }

    fn step(&mut self) -> Now {
        self.micros += STEP.max(ROUND / self.hosts.len().max(1) as u64);
        let instant = Instant::from_micros(self.micros);
        let now = Now { instant, unix: 1_700_000_000 + self.micros / 1_000_000 };
        if self.server.next_wakeup().is_some_and(|at| at <= instant) {
            self.server.on_wakeup(now, &mut self.out);
            self.out.clear();
        }
        now
    }

    fn open(&mut self, slot: usize, peer: SocketAddr) -> ConnId {
        let now = self.step();
        self.generation += 1;
        let conn = ConnId { slot: u32::try_from(slot).unwrap_or(0), generation: self.generation };
        self.server.on_accept(now, || now.instant, conn, peer, &mut self.out);
        conn
    }

    fn bytes(&mut self, conn: ConnId, bytes: &[u8]) {
        let now = self.step();
        self.server.on_bytes(now, conn, bytes, &mut self.out);
    }

    fn datagram(&mut self, peer: SocketAddr, data: &[u8]) {
        let now = self.step();
        self.server.on_datagram(now, Via::default(), peer, data, &mut self.out);
    }
}

/// The request with which a host of these data strings registers.
#[must_use]
pub fn registration(data: &Data) -> Vec<u8> {
    wire::register(Protocol::Modern, wire::CLIENT_VERSION, data)
}

fn introduction(addr: Ipv4Addr, port: u16) -> Vec<u8> {
    let mut bytes = vec![wire::MASTER];
    bytes.extend(format!("{addr}\0{port}\0").into_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_are_those_of_games() {
        assert_eq!(REG, wire::udp_register(Protocol::Modern));
        assert_eq!(CONNECT, wire::udp_connect(Protocol::Modern));
    }
}
