//! Pairs of players between whom a relay passes packets on, and who check what comes. Each player has an
//! address of its own: a relay tells players apart by that.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use super::Failure;
use super::bare_relay;
use super::peers::register;
use super::sockets::{self, address, wait_for, wait_for_version};
use crate::gmnet::wire::{self, Data, Protocol};

/// All packets must be there within this time.
const PATIENCE: Duration = Duration::from_secs(60);
/// The kinds of addresses of players and of relays.
const PLAYER: u8 = 14;
const RELAY: u8 = 0;
/// Bytes of a packet, as games send them.
const LENGTH: usize = 100;
/// Hosts that register before it is waited for the server.
const AT_ONCE: usize = 64;

/// An address for a relay: another one for each that this process starts, and for other processes.
#[must_use]
pub fn relay_address(n: usize) -> Ipv4Addr {
    let process = usize::try_from(std::process::id()).unwrap_or_default();
    address(RELAY, process.wrapping_mul(8).wrapping_add(n))
}

/// How many packets are sent, of all sides in turn.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    /// In all.
    pub count: usize,
    /// At most so many are under way.
    pub at_once: usize,
    /// How many a second; none: as many as go.
    pub rate: Option<f64>,
}

/// Pairs that can send to each other.
#[derive(Debug)]
pub struct Relayed {
    poll: Poll,
    /// Those of a pair follow each other.
    sides: Vec<Side>,
    /// Those that the server keeps; hosts stay, and clients have not been let in.
    _control: Vec<TcpStream>,
}

/// Pairs that a server was asked to introduce, and who were told of each other.
#[derive(Debug)]
pub struct Introduced {
    server: SocketAddr,
    sockets: Vec<UdpSocket>,
    control: Vec<TcpStream>,
}

impl Introduced {
    /// Has a master server introduce pairs of a GMnet host and a client.
    ///
    /// # Errors
    /// If the machine or the server does not take so many, or they are told something wrong.
    pub fn new(server: SocketAddr, pairs: usize) -> Result<Self, Failure> {
        let (mut hosts, mut controls) = (Vec::new(), Vec::new());
        let probe = sockets::tcp(address(PLAYER, 1 << 19), server);
        let mut probe = probe.map_err(Failure::system("connect to the server"))?;
        for n in 0..pairs {
            let at = address(PLAYER, 2 * n + 1);
            hosts.push(knock(at, server, &wire::udp_register(Protocol::Modern))?);
            if n % AT_ONCE == AT_ONCE - 1 || n == pairs - 1 {
                // A server that reads a `reg` after its `reg2` asks the host whether it is its own.
                wait_for_version(&mut probe)?;
                for n in controls.len()..=n {
                    let at = address(PLAYER, 2 * n + 1);
                    let control = register(at, server, &Data::default());
                    controls.push(control.map_err(Failure::system("register a host"))?);
                }
                wait_for_version(&mut probe)?;
                wait_for_version(&mut probe)?;
            }
        }
        let mut all = Self { server, sockets: Vec::new(), control: Vec::new() };
        for (n, (host, control)) in hosts.into_iter().zip(controls).enumerate() {
            let client =
                knock(address(PLAYER, 2 * n), server, &wire::udp_connect(Protocol::Modern))?;
            let asks = sockets::tcp(address(PLAYER, 2 * n), server).and_then(|mut stream| {
                let host = address(PLAYER, 2 * n + 1);
                stream.write_all(&wire::connect(Protocol::Modern, host.into()))?;
                Ok(stream)
            });
            all.control.push(asks.map_err(Failure::system("ask for a host"))?);
            all.control.push(control);
            all.sockets.extend([client, host]);
        }
        for n in 0..all.sockets.len() {
            let (told, other) = (all.told(n)?, all.sockets.get(n ^ 1).map(UdpSocket::local_addr));
            if other.and_then(Result::ok) != Some(told) {
                return Err(Failure::Wrong(format!("side {n} of pairs was told of {told}")));
            }
        }
        Ok(all)
    }

    /// Waits until the server has told them all of its relay at this address.
    ///
    /// # Errors
    /// If it tells them something else, or packets do not get through there.
    pub fn meet(mut self, relay: Ipv4Addr) -> Result<Relayed, Failure> {
        for n in 0..self.sockets.len() {
            let told = self.told(n)?;
            if told.ip() != IpAddr::V4(relay) {
                return Err(Failure::Wrong(format!("{told} is not the relay")));
            }
            if let Some(socket) = self.sockets.get(n) {
                socket.connect(told).map_err(Failure::system("send to the relay"))?;
            }
        }
        Relayed::greet(self.sockets, self.control)
    }

    /// What this side is told next.
    fn told(&mut self, n: usize) -> Result<SocketAddr, Failure> {
        let Some(stream) = self.control.get_mut(n) else {
            return Err(Failure::Wrong("too few connections".into()));
        };
        loop {
            let mut message = Vec::new();
            while message.iter().filter(|byte| **byte == 0).count() < 2 {
                let mut byte = [0];
                let read = stream.read_exact(&mut byte);
                read.map_err(Failure::system("read what a player is told"))?;
                message.extend(byte);
            }
            let told = wire::introduction(&message);
            let told = told.map_err(|why| Failure::Wrong(why.into()))?.endpoint;
            // A host whose packet was late is asked to show its port.
            if told.port() != self.server.port() {
                return Ok(told);
            }
        }
    }
}

/// A socket of a player that has shown its port to the server.
fn knock(at: Ipv4Addr, server: SocketAddr, word: &[u8]) -> Result<UdpSocket, Failure> {
    let socket = sockets::udp(at, server).and_then(|socket| {
        socket.send(word)?;
        Ok(socket)
    });
    socket.map_err(Failure::system("open a UDP socket"))
}

impl Relayed {
    /// Pairs of a master server that has a relay at this address.
    ///
    /// # Errors
    /// As those of [`Introduced`].
    pub fn new(server: SocketAddr, relay: Ipv4Addr, pairs: usize) -> Result<Self, Failure> {
        Introduced::new(server, pairs)?.meet(relay)
    }

    /// Pairs of the [bare loop](super::bare_relay), one at each port of its pool.
    ///
    /// # Errors
    /// If it does not take them.
    pub fn bare(server: SocketAddr, relay: Ipv4Addr, pairs: usize) -> Result<Self, Failure> {
        let mut all = Vec::new();
        let mut told = Vec::new();
        for (n, port) in (0..pairs).zip(bare_relay::PORTS) {
            let pair =
                [2 * n, 2 * n + 1].map(|n| sockets::udp(address(PLAYER, n), (relay, port).into()));
            let [one, other] =
                pair.map(|socket| socket.map_err(Failure::system("open a UDP socket")));
            let (one, other) = (one?, other?);
            let at =
                |socket: &UdpSocket| socket.local_addr().map_err(Failure::system("ask for a port"));
            told.push(([at(&one)?, at(&other)?], port));
            all.extend([one, other]);
        }
        bare_relay::tell(server, told.into_iter())
            .map_err(Failure::system("tell the bare loop"))?;
        Self::greet(all, Vec::new())
    }

    /// Two packets go each way: then a relay knows both.
    fn greet(sockets: Vec<UdpSocket>, control: Vec<TcpStream>) -> Result<Self, Failure> {
        let poll = Poll::new().map_err(Failure::system("make a poll"))?;
        let mut sides: Vec<Side> = sockets.into_iter().map(Side::new).collect();
        for n in (0..sides.len()).step_by(2) {
            for _ in 0..2 {
                for n in [n, n + 1] {
                    sides.get_mut(n).map_or(Ok(()), |side| side.send(n))?;
                }
                for n in [n, n + 1] {
                    sides.get_mut(n).map_or(Ok(()), |side| side.wait(n))?;
                }
            }
        }
        for (n, side) in sides.iter().enumerate() {
            let fd = side.socket.as_raw_fd();
            let watched =
                poll.registry().register(&mut SourceFd(&fd), Token(n), Interest::READABLE);
            watched.map_err(Failure::system("wait for packets"))?;
        }
        Ok(Self { poll, sides, _control: control })
    }

    /// All sides send in turn, and what was sent must come. Returns how long it took.
    ///
    /// # Errors
    /// If a packet does not come, or another than was sent.
    pub fn pass(&mut self, work: &Work) -> Result<Duration, Failure> {
        self.play(work, 0)
    }

    /// Has each side send so many packets while the relay stands still, then lets it go with `release`,
    /// which returns when it has nothing left to do.
    ///
    /// # Errors
    /// As [`Self::pass`].
    pub fn pass_pent_up(
        &mut self,
        each: usize,
        release: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        for _ in 0..each {
            for (n, side) in self.sides.iter_mut().enumerate() {
                side.send(n)?;
            }
        }
        release()?;
        let count = each * self.sides.len();
        self.play(&Work { count, at_once: count, rate: None }, count).map(|_| ())
    }

    fn play(&mut self, work: &Work, mut sent: usize) -> Result<Duration, Failure> {
        let mut events = Events::with_capacity(256);
        let mut heard = 0;
        let begin = Instant::now();
        while heard < work.count {
            let due = |sent: usize| match work.rate {
                Some(rate) => begin.elapsed().as_secs_f64() * rate >= sent as f64,
                None => true,
            };
            while sent < work.count && sent - heard < work.at_once && due(sent) {
                let n = sent % self.sides.len().max(1);
                self.sides.get_mut(n).map_or(Ok(()), |side| side.send(n))?;
                sent += 1;
            }
            // With a rate the next packet is microseconds away, which no timeout can count.
            let is_pacing = work.rate.is_some() && sent < work.count;
            let wait = if is_pacing { Duration::ZERO } else { Duration::from_millis(100) };
            wait_for(&mut self.poll, &mut events, wait)?;
            for event in &events {
                let Token(n) = event.token();
                heard += self.sides.get_mut(n).map_or(Ok(0), |side| side.receive(n))?;
            }
            if begin.elapsed() > PATIENCE {
                let missing = work.count - heard;
                return Err(Failure::Late(format!("{missing} of {} packets", work.count)));
            }
        }
        Ok(begin.elapsed())
    }

    /// The sockets, to send by without looking at what comes.
    ///
    /// # Errors
    /// If there are no descriptors left.
    pub fn sockets(&self) -> Result<Vec<UdpSocket>, Failure> {
        same(self.sides.iter().map(|side| &side.socket))
    }
}

/// The same sockets once more.
///
/// # Errors
/// If there are no descriptors left.
pub fn same<'a>(sockets: impl Iterator<Item = &'a UdpSocket>) -> Result<Vec<UdpSocket>, Failure> {
    let all: io::Result<_> = sockets.map(UdpSocket::try_clone).collect();
    all.map_err(Failure::system("open a UDP socket"))
}

/// One player.
#[derive(Debug)]
struct Side {
    /// It sends to the relay, and takes packets from there only.
    socket: UdpSocket,
    /// How many packets it has sent and got, ever.
    sent: u32,
    received: u32,
}

impl Side {
    fn new(socket: UdpSocket) -> Self {
        Self { socket, sent: 0, received: 0 }
    }

    fn send(&mut self, n: usize) -> Result<(), Failure> {
        let sent = self.socket.send(&packet(n, self.sent));
        self.sent += 1;
        sent.map(|_| ()).map_err(Failure::system("send to the relay"))
    }

    /// Reads what there is; how many packets.
    fn receive(&mut self, n: usize) -> Result<usize, Failure> {
        let mut buffer = [0; LENGTH + 1];
        for count in 0.. {
            match self.socket.recv(&mut buffer) {
                // The other one sends in this order, and nothing is lost or overtaken on one machine.
                Ok(length) if buffer.get(..length) == Some(&packet(n ^ 1, self.received)) => {
                    self.received += 1;
                }
                Ok(_) => {
                    let number = self.received;
                    return Err(Failure::Wrong(format!(
                        "side {n} got another packet than {number}"
                    )));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(count),
                Err(error) => return Err(Failure::system("read a packet")(error)),
            }
        }
        Ok(0)
    }

    /// Waits for a packet.
    fn wait(&mut self, n: usize) -> Result<(), Failure> {
        let begin = Instant::now();
        while self.receive(n)? == 0 {
            if begin.elapsed() > PATIENCE {
                return Err(Failure::Late(format!("the first packet to side {n} of pairs")));
            }
            std::thread::sleep(Duration::from_micros(50));
        }
        Ok(())
    }
}

/// Packet of this number of this side; it begins as those of GameMaker do.
pub(super) fn packet(side: usize, number: u32) -> [u8; LENGTH] {
    let mut packet = [0x2E; LENGTH];
    let head = [0xDE, 0xC0, 0xAD, 0xDE];
    let side = u32::try_from(side).unwrap_or_default().to_be_bytes();
    let bytes = head.into_iter().chain(side).chain(number.to_be_bytes());
    packet.iter_mut().zip(bytes).for_each(|(to, byte)| *to = byte);
    packet
}
