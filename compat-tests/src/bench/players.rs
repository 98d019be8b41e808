//! Hosts that are registered, and clients that ask for them, again and again. One thread plays
//! all of them. Each has a loopback address of its own, as servers tell peers apart by address
//! and allow each of them only so much.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};

use super::Failure;
use super::bare;
use super::peers::{CLIENT, Client, Host, register};
use super::sockets::{self, ManyAddresses, address, begin_tcp, wait_for, wait_for_version};
use super::stats::Latencies;
use crate::gmnet::wire::{self, Data, Protocol};
use crate::shown::quoted;

/// All introductions of a round must be done within this time.
const PATIENCE: Duration = Duration::from_secs(60);
/// After the last answer, all hosts must have been told within this time.
const TELLING: Duration = Duration::from_secs(2);
/// Registrations begun before the server is asked whether it has kept up.
const AT_ONCE: usize = 256;
/// Tokens of hosts begin here, those of clients at zero.
const HOSTS: usize = usize::MAX / 2 + 1;

/// Whom the players talk to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// A master server: every byte is checked.
    Master(SocketAddr),
    /// The bare loop, which says the same to everybody.
    Bare(SocketAddr),
}

impl Server {
    /// Where it is.
    #[must_use]
    pub fn addr(self) -> SocketAddr {
        match self {
            Self::Master(addr) | Self::Bare(addr) => addr,
        }
    }
}

/// What the clients do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A new TCP connection for each introduction, as games do.
    Fresh,
    /// One TCP connection for all introductions of a client.
    Kept,
}

/// A number of introductions.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    /// What the clients do.
    pub kind: Kind,
    /// How many introductions.
    pub count: usize,
    /// How many at a time, at most.
    pub at_once: usize,
    /// How many a second; none: as many as go.
    pub rate: Option<f64>,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Done {
    /// How long all took.
    pub took: Duration,
    /// From a client's line to its answer.
    pub latencies: Latencies,
    /// Hosts that were not told, as they are not when the client's datagram is lost.
    pub untold: usize,
}

impl Done {
    /// Everybody must have been told.
    fn complete(self) -> Result<Self, Failure> {
        match self.untold {
            0 => Ok(self),
            untold => Err(Failure::Late(format!("{untold} hosts were not told"))),
        }
    }
}

/// All players of one server.
#[derive(Debug)]
pub struct Players {
    server: Server,
    poll: Poll,
    hosts: Vec<Host>,
    clients: Vec<Client>,
    /// Clients that do nothing, the one that has rested longest first.
    free: VecDeque<usize>,
    next_host: usize,
    /// Notifications that hosts have not got yet.
    outstanding: usize,
    buffer: Vec<u8>,
}

/// Hosts that are there and do nothing; they leave when this is dropped.
#[derive(Debug)]
pub struct Crowd {
    _udp: ManyAddresses,
    connections: Vec<std::net::TcpStream>,
}

impl Crowd {
    /// How many they are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.connections.len()
    }

    /// Whether nobody is there.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }
}

impl Players {
    /// Players that nobody has heard of yet.
    ///
    /// # Errors
    /// If the machine has too little of something.
    pub fn new(server: Server, clients: usize) -> Result<Self, Failure> {
        let poll = Poll::new().map_err(Failure::system("make a poll"))?;
        let mut players = Self {
            server,
            poll,
            hosts: Vec::new(),
            clients: Vec::with_capacity(clients),
            free: (0..clients).collect(),
            next_host: 0,
            outstanding: 0,
            buffer: vec![0; 4096],
        };
        for n in 0..clients {
            let client = Client::new(n, server.addr());
            players.clients.push(client.map_err(Failure::system("make a client"))?);
        }
        Ok(players)
    }

    /// Registers hosts with these addresses and data strings; see [`sockets::address`].
    ///
    /// # Errors
    /// If the machine or the server does not take so many.
    pub fn register(
        &mut self,
        addresses: impl IntoIterator<Item = Ipv4Addr>,
        data: impl Fn(usize) -> Data,
    ) -> Result<(), Failure> {
        let server = self.server.addr();
        let mut probe = self.probe()?;
        let mut addresses = addresses.into_iter().enumerate().peekable();
        while addresses.peek().is_some() {
            let mut sockets = Vec::with_capacity(AT_ONCE);
            for (n, addr) in addresses.by_ref().take(AT_ONCE) {
                let udp = Host::send_reg(addr, server);
                sockets.push((n, addr, udp.map_err(Failure::system("send a host's reg"))?));
            }
            // A server that reads a `reg` after its `reg2` asks the host whether it is its own.
            wait_for_version(&mut probe)?;
            for (n, addr, udp) in sockets {
                let host = Host::register(addr, udp, server, &data(n));
                let mut host = host.map_err(Failure::system("register a host"))?;
                self.poll
                    .registry()
                    .register(&mut host.stream, Token(HOSTS + self.hosts.len()), Interest::READABLE)
                    .map_err(Failure::system("wait for a host's events"))?;
                self.hosts.push(host);
            }
            wait_for_version(&mut probe)?;
        }
        // Twice, as what came right before the first question may be read right after it.
        wait_for_version(&mut probe)?;
        wait_for_version(&mut probe)
    }

    /// Registers hosts that nobody will ask for, and so share one UDP socket.
    ///
    /// # Errors
    /// If the machine or the server does not take so many.
    pub fn register_idle(
        &self,
        addresses: impl IntoIterator<Item = Ipv4Addr>,
        data: impl Fn(usize) -> Data,
    ) -> Result<Crowd, Failure> {
        let server = self.server.addr();
        let mut probe = self.probe()?;
        let udp = ManyAddresses::new(server).map_err(Failure::system("open a UDP socket"))?;
        let mut connections = Vec::new();
        for (n, addr) in addresses.into_iter().enumerate() {
            let registered = udp.send(addr, &wire::udp_register(Protocol::Modern));
            let stream = registered.and_then(|()| register(addr, server, &data(n)));
            connections.push(stream.map_err(Failure::system("register a host"))?);
            if n % AT_ONCE == AT_ONCE - 1 {
                wait_for_version(&mut probe)?;
            }
        }
        wait_for_version(&mut probe)?;
        wait_for_version(&mut probe)?;
        Ok(Crowd { _udp: udp, connections })
    }

    /// From now on clients ask this server for the hosts, be they registered where they may.
    ///
    /// # Errors
    /// If the machine has too little of something.
    pub fn ask_at(&mut self, server: Server) -> Result<(), Failure> {
        self.server = server;
        for (n, client) in self.clients.iter_mut().enumerate() {
            *client = Client::new(n, server.addr()).map_err(Failure::system("make a client"))?;
        }
        Ok(())
    }

    fn probe(&self) -> Result<std::net::TcpStream, Failure> {
        let probe = sockets::tcp(address(CLIENT, 1 << 19), self.server.addr());
        probe.map_err(Failure::system("connect to the server"))
    }

    /// How many hosts are registered.
    #[must_use]
    pub fn hosts(&self) -> usize {
        self.hosts.len()
    }

    /// Opens the connections that clients keep.
    ///
    /// # Errors
    /// If the server does not take so many.
    pub fn connect_clients(&mut self) -> Result<(), Failure> {
        let server = self.server.addr();
        for (n, client) in self.clients.iter_mut().enumerate() {
            let stream = sockets::tcp(client.addr, server);
            let stream = stream.and_then(|stream| {
                stream.set_nonblocking(true)?;
                let mut stream = mio::net::TcpStream::from_std(stream);
                self.poll.registry().register(&mut stream, Token(n), Interest::READABLE)?;
                Ok(stream)
            });
            client.stream = Some(stream.map_err(Failure::system("connect a client"))?);
        }
        Ok(())
    }

    /// Has clients introduced to hosts, and checks what both are told.
    ///
    /// # Errors
    /// If the server says something wrong, or nothing.
    pub fn introduce(&mut self, work: &Work) -> Result<Done, Failure> {
        self.play(work, 0)?.complete()
    }

    /// Has everything sent while the server stands still, then lets it go with `release`. So what
    /// is measured is how fast the server is, even where this thread is slower.
    ///
    /// # Errors
    /// If the server says something wrong, or nothing.
    pub fn introduce_pent_up(
        &mut self,
        kind: Kind,
        count: usize,
        release: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<Done, Failure> {
        for _ in 0..count {
            let client = self.free.pop_front();
            let client = client.ok_or_else(|| Failure::Wrong("too few clients".into()))?;
            self.ask(client, kind)?;
        }
        release()?;
        self.play(&Work { kind, count, at_once: count, rate: None }, count)?.complete()
    }

    /// All clients ask for hosts while newcomers register, all at once. The newcomers stay.
    ///
    /// # Errors
    /// If anybody is refused or told something wrong.
    pub fn storm(
        &mut self,
        newcomers: &[Ipv4Addr],
        data: impl Fn(usize) -> Data,
    ) -> Result<(Done, Crowd), Failure> {
        let server = self.server.addr();
        let udp = ManyAddresses::new(server).map_err(Failure::system("open a UDP socket"))?;
        let reg = wire::udp_register(Protocol::Modern);
        let begin = Instant::now();
        let mut connections = Vec::with_capacity(newcomers.len());
        for addr in newcomers {
            let stream = udp.send(*addr, &reg).and_then(|()| begin_tcp(*addr, server));
            connections.push(stream.map_err(Failure::system("register a host"))?);
            if let Some(client) = self.free.pop_front() {
                self.ask(client, Kind::Fresh)?;
            }
        }
        for (n, stream) in connections.iter_mut().enumerate() {
            let request = wire::register(Protocol::Modern, wire::CLIENT_VERSION, &data(n));
            // Waits for those whose connection the kernel has put off.
            let sent = stream
                .set_nonblocking(false)
                .and_then(|()| stream.set_write_timeout(Some(PATIENCE)))
                .and_then(|()| stream.write_all(&request));
            sent.map_err(Failure::system("register a host"))?;
        }
        let count = self.clients.len();
        let asked = begin.elapsed();
        let done = self.play(&Work { kind: Kind::Fresh, count, at_once: count, rate: None }, count);
        let mut done = done?;
        for stream in &mut connections {
            stream
                .set_read_timeout(Some(PATIENCE))
                .map_err(Failure::system("wait for an answer"))?;
            wait_for_version(stream)?;
        }
        done.took += asked;
        Ok((done, Crowd { _udp: udp, connections }))
    }

    fn play(&mut self, work: &Work, mut started: usize) -> Result<Done, Failure> {
        let mut events = Events::with_capacity(1024);
        let mut latencies = Latencies::default();
        let begin = Instant::now();
        let mut done = 0;
        let mut told = begin;
        while done < work.count || self.outstanding > 0 {
            if done == work.count && told.elapsed() > TELLING {
                break;
            }
            let due = |started: usize| match work.rate {
                Some(rate) => begin.elapsed().as_secs_f64() * rate >= started as f64,
                None => true,
            };
            while started < work.count && started - done < work.at_once && due(started) {
                let Some(client) = self.free.pop_front() else { break };
                self.ask(client, work.kind)?;
                started += 1;
            }
            // With a rate the next start is microseconds away, which no timeout can count.
            let is_pacing = work.rate.is_some() && started < work.count;
            let wait = if is_pacing { Duration::ZERO } else { Duration::from_millis(100) };
            wait_for(&mut self.poll, &mut events, wait)?;
            for event in &events {
                let Token(n) = event.token();
                if n >= HOSTS {
                    self.read_host(n - HOSTS)?;
                } else if let Some(took) = self.read_client(n, work.kind)? {
                    latencies.add(took);
                    done += 1;
                    told = Instant::now();
                }
            }
            if begin.elapsed() > PATIENCE {
                let missing = work.count - done;
                let untold = self.outstanding;
                return Err(Failure::Late(format!(
                    "{missing} of {} clients have no answer, {untold} hosts were not told",
                    work.count,
                )));
            }
        }
        let untold = std::mem::take(&mut self.outstanding);
        Ok(Done { took: told - begin, latencies, untold })
    }

    /// A client asks for the next host.
    fn ask(&mut self, n: usize, kind: Kind) -> Result<(), Failure> {
        self.next_host = (self.next_host + 1) % self.hosts.len().max(1);
        let host = &mut self.hosts[self.next_host];
        let client = &mut self.clients[n];
        host.expected.push_back(n);
        self.outstanding += 1;
        let registry = self.poll.registry();
        client
            .ask(self.next_host, host, kind, self.server.addr(), registry, Token(n))
            .map_err(Failure::system("ask for a host"))
    }

    /// Reads what a client was told, and how long it took.
    fn read_client(&mut self, n: usize, kind: Kind) -> Result<Option<Duration>, Failure> {
        let client = &mut self.clients[n];
        let (Some((host, asked)), Some(stream)) = (client.asked, &mut client.stream) else {
            return Ok(None);
        };
        let host = &self.hosts[host];
        if client.is_unsent {
            match stream.write(&host.request) {
                Ok(_) => client.is_unsent = false,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::NotConnected => return Ok(None),
                Err(error) => return Err(Failure::system("ask for a host")(error)),
            }
        }
        let length = match stream.read(&mut self.buffer) {
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(Failure::system("read an answer")(error)),
        };
        let took = asked.elapsed();
        let answer = &self.buffer[..length];
        let wanted = match self.server {
            Server::Master(_) => host.introduction.as_slice(),
            Server::Bare(_) => bare::ANSWER,
        };
        if answer != wanted {
            return Err(wrong("client", client.addr, answer, wanted));
        }
        client.asked = None;
        if kind == Kind::Fresh {
            client.stream = None;
        }
        self.free.push_back(n);
        Ok(Some(took))
    }

    /// Reads what a host was told.
    fn read_host(&mut self, n: usize) -> Result<(), Failure> {
        let host = &mut self.hosts[n];
        let length = match host.stream.read(&mut self.buffer) {
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(Failure::system("read what a host is told")(error)),
        };
        let mut told = &self.buffer[..length];
        if told.is_empty() {
            return Err(Failure::Wrong(format!("host number {n} was thrown out")));
        }
        while !told.is_empty() {
            // The server wants to know a port again, which these do not tell.
            if let Server::Master(addr) = self.server
                && let Some(rest) = told.strip_prefix(&*wire::port_notice(addr))
            {
                told = rest;
                continue;
            }
            let next = match self.server {
                Server::Bare(_) => told.strip_prefix(bare::NOTICE),
                Server::Master(_) => {
                    let clients = &self.clients;
                    let is_meant = |c: &usize| told.starts_with(&clients[*c].introduction);
                    let at = host.expected.iter().position(is_meant);
                    let client = at.and_then(|at| host.expected.remove(at));
                    client.and_then(|c| told.strip_prefix(clients[c].introduction.as_slice()))
                }
            };
            let Some(rest) = next else {
                return Err(wrong("host", Ipv4Addr::UNSPECIFIED, told, b"a client's address"));
            };
            self.outstanding -= 1;
            told = rest;
        }
        if let Server::Bare(_) = self.server {
            host.expected.clear();
        }
        Ok(())
    }
}

fn wrong(who: &str, addr: Ipv4Addr, told: &[u8], wanted: &[u8]) -> Failure {
    Failure::Wrong(format!(
        "the {who} {addr} was told {} instead of {}",
        quoted(told),
        quoted(wanted)
    ))
}

/// No data strings but the game's name: that of one in `games` games, in turn.
pub fn games(games: usize) -> impl Fn(usize) -> Data {
    move |n| {
        let mut data = Data::default();
        data[0] = game(n % games.max(1));
        data
    }
}

/// The name of a game.
#[must_use]
pub fn game(n: usize) -> String {
    format!("game {n}")
}

/// A host like those of real games: name of the game, of the room and of its maker, numbers.
#[must_use]
pub fn usual(n: usize) -> Data {
    let text = |text: &str| text.to_owned();
    let (room, count) = (format!("Room {n}"), format!("{}", n % 8));
    let (deathmatch, country) = (text("deathmatch"), text("eu"));
    [text("My Game 1.4"), room, count, text("8"), deathmatch, country, String::new(), text("0")]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_on_loopback_and_apart() {
        let all: std::collections::HashSet<Ipv4Addr> =
            (0..15).flat_map(|kind| [0, 1, 100_000, 1 << 19].map(|n| address(kind, n))).collect();
        assert_eq!(all.len(), 60);
        assert!(all.iter().all(Ipv4Addr::is_loopback));
    }
}
