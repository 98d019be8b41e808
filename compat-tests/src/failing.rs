//! Players of rooms who do not get through to each other, for each reason that the server can tell. Each is a
//! UDP socket on a loopback address of its own; by STUN it shows the NAT that it is to have.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use crate::master::Master;

/// How long a server may take to answer.
const WAIT: Duration = Duration::from_secs(20);

/// How long until a request is sent again.
const AGAIN: Duration = Duration::from_millis(300);

/// The game that all of them play.
pub const GAME: &str = "Tank Battle";

/// What a player is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nat {
    /// It shows nothing.
    Unknown,
    /// One port for all destinations.
    Independent,
    /// Another port for each.
    Symmetric,
}

/// A player.
#[derive(Debug)]
pub struct Peer {
    socket: UdpSocket,
    master: SocketAddr,
    /// Its ID in the room.
    pub id: String,
    /// The room.
    pub room: String,
}

#[expect(clippy::expect_used, clippy::panic, reason = "a fixture fails its test")]
impl Peer {
    fn new(master: &Master, ip: IpAddr, nat: Nat) -> Self {
        let socket = UdpSocket::bind((ip, 0)).expect("a socket");
        let peer = Self { socket, master: master.addr(), id: String::new(), room: String::new() };
        let alternate = || {
            let port = master.alternate_port().expect("the port is logged");
            SocketAddr::new(master.addr().ip(), port)
        };
        match nat {
            Nat::Unknown => {}
            Nat::Independent => {
                stun(&peer.socket, peer.master);
                stun(&peer.socket, alternate());
            }
            Nat::Symmetric => {
                stun(&peer.socket, peer.master);
                // The same player, as a router shows him that gives him another port for each destination.
                stun(&UdpSocket::bind((ip, 0)).expect("a socket"), alternate());
            }
        }
        peer
    }

    /// Makes a room.
    ///
    /// # Panics
    /// If the server does not let it.
    #[must_use]
    pub fn host(master: &Master, ip: IpAddr, nat: Nat, name: &str) -> Self {
        let mut peer = Self::new(master, ip, nat);
        let game = GAME.replace(' ', "%20");
        let request = format!("rh:{name}:game={game}");
        let [room, id] = peer.ask(&request, ["rh:", "rID:"]);
        peer.take_place(&room, &id);
        peer
    }

    /// Joins a room. `wish` is `:always` or `:never`, if it has one.
    ///
    /// # Panics
    /// If the server does not let it.
    #[must_use]
    pub fn join(master: &Master, ip: IpAddr, nat: Nat, room: &str, wish: &str) -> Self {
        let mut peer = Self::new(master, ip, nat);
        let game = GAME.replace(' ', "%20");
        let request = format!("jr:{room}{wish}:game={game}");
        let [room, id] = peer.ask(&request, ["jr:", "rID:"]);
        peer.take_place(&room, &id);
        peer
    }

    /// Keeps what it was told, and shows its key.
    fn take_place(&mut self, room: &str, id: &str) {
        let field = |text: &str, n| text.split(':').nth(n).unwrap_or_default().to_owned();
        (self.room, self.id) = (field(room, 1), field(id, 1));
        let key = field(id, 2);
        self.ask(&format!("rc:{}:{key}", self.id), ["rID:"]);
    }

    /// Says that it does not reach its host.
    ///
    /// # Panics
    /// If the server does not take note of it.
    pub fn fails(&self) {
        self.ask(&format!("pc:{}:fail", self.id), [&format!("pc:{}:ok", self.id)]);
    }

    /// Says that it has reached its host.
    ///
    /// # Panics
    /// If the server does not take note of it.
    pub fn succeeds(&self) {
        self.ask(&format!("pc:{}:ok", self.id), [&format!("pc:{}:ok", self.id)]);
    }

    /// Where the other side is at the relay, which has this address, as soon as it is told that.
    ///
    /// # Panics
    /// If it is not told.
    #[must_use]
    pub fn told_of(&self, relay: IpAddr) -> SocketAddr {
        let deadline = Instant::now() + WAIT;
        while Instant::now() < deadline {
            // What is not confirmed is told again.
            let Some(message) = receive(&self.socket, Instant::now() + AGAIN) else {
                self.send(self.master, b"ka");
                continue;
            };
            let message = String::from_utf8_lossy(&message).into_owned();
            let mut fields = message.rsplit(':');
            let (port, ip) = (fields.next(), fields.next());
            if ip == Some(&relay.to_string())
                && let Some(port) = port.and_then(|port| port.parse().ok())
            {
                return SocketAddr::new(relay, port);
            }
        }
        panic!("{} is not told of {relay}", self.at());
    }

    /// Sends something of its own there.
    ///
    /// # Panics
    /// If it cannot.
    pub fn send(&self, to: SocketAddr, bytes: &[u8]) {
        self.socket.send_to(bytes, to).expect("sending");
    }

    /// Where it is.
    ///
    /// # Panics
    /// If the system does not tell.
    #[must_use]
    pub fn at(&self) -> SocketAddr {
        self.socket.local_addr().expect("an address")
    }

    /// Asks until there has come one message that begins like each of these.
    fn ask<const N: usize>(&self, request: &str, begins: [&str; N]) -> [String; N] {
        let deadline = Instant::now() + WAIT;
        let mut found: [Option<String>; N] = std::array::from_fn(|_| None);
        while Instant::now() < deadline {
            self.socket.send_to(request.as_bytes(), self.master).expect("sending");
            let again = Instant::now() + AGAIN;
            while let Some(message) = receive(&self.socket, again) {
                let message = String::from_utf8_lossy(&message).into_owned();
                let fitting = begins.iter().zip(&mut found);
                fitting
                    .filter(|(begin, _)| message.starts_with(**begin))
                    .for_each(|(_, found)| *found = Some(message.clone()));
                if found.iter().all(Option::is_some) {
                    return found.map(Option::unwrap_or_default);
                }
            }
        }
        panic!("{request:?} is not answered with {begins:?}: {found:?}");
    }
}

/// What comes until then.
#[expect(clippy::expect_used, clippy::panic, reason = "a fixture fails its test")]
fn receive(socket: &UdpSocket, until: Instant) -> Option<Vec<u8>> {
    let left = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
    socket.set_read_timeout(Some(left)).expect("a timeout");
    let mut buffer = [0; 2048];
    match socket.recv(&mut buffer) {
        Ok(len) => buffer.get(..len).map(<[u8]>::to_vec),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => None,
        Err(error) => panic!("{error}"),
    }
}

/// Asks for the own endpoint, until that is answered.
#[expect(clippy::expect_used, clippy::panic, reason = "a fixture fails its test")]
fn stun(socket: &UdpSocket, server: SocketAddr) {
    /// A binding request (RFC 8489): its type, no attributes, the magic cookie, and an ID.
    const REQUEST: &[u8] = b"\x00\x01\x00\x00\x21\x12\xa4\x42punchd tests";
    let deadline = Instant::now() + WAIT;
    while Instant::now() < deadline {
        socket.send_to(REQUEST, server).expect("sending");
        if receive(socket, Instant::now() + AGAIN).is_some_and(|got| got.starts_with(b"\x01\x01")) {
            return;
        }
    }
    panic!("no STUN answer from {server}");
}

/// An address of a network (/24) of loopback addresses.
#[must_use]
pub fn address(network: u8, host: u8) -> IpAddr {
    Ipv4Addr::new(127, 77, network, host).into()
}

/// Five pairs who do not get through, and are not relayed: one for each thing that the server can say of
/// their NATs. They stay as long as this.
#[must_use]
pub fn by_nats(master: &Master) -> Vec<Peer> {
    use Nat::{Independent, Symmetric, Unknown};
    let pairs = [
        (Unknown, Unknown),
        (Independent, Independent),
        (Independent, Symmetric),
        (Symmetric, Independent),
        (Symmetric, Symmetric),
    ];
    let mut all = Vec::new();
    for ((host_nat, client_nat), n) in pairs.into_iter().zip(1..) {
        let host = Peer::host(master, address(n, 1), host_nat, &format!("Room {n}"));
        let client = Peer::join(master, address(n, 2), client_nat, &host.room, ":never");
        client.fails();
        all.extend([host, client]);
    }
    all
}

/// A host whose address holds as many relayed pairs as it may, by `--relay-sessions 2`, both with players of
/// one network. One more of these is refused; one of another network gets the place of one of them.
#[must_use]
pub fn by_sessions(master: &Master) -> Vec<Peer> {
    let join = |network, n, host: &Peer, wish| {
        Peer::join(master, address(network, n), Nat::Unknown, &host.room, wish)
    };
    let host = Peer::host(master, address(20, 1), Nat::Unknown, "Full house");
    let mut all: Vec<_> = (1..=2).map(|n| join(21, n, &host, ":always")).collect();
    let third = join(21, 1, &host, "");
    third.fails();
    let other = join(22, 1, &host, "");
    other.fails();
    all.extend([host, third, other]);
    all
}

/// Two addresses with as many relayed pairs as there may be between two, and one that is refused; and two who
/// are told of the relay and send it nothing.
#[must_use]
pub fn by_relay(master: &Master) -> Vec<Peer> {
    let host = Peer::host(master, address(30, 1), Nat::Unknown, "Brothers");
    let join = |_| Peer::join(master, address(31, 1), Nat::Unknown, &host.room, "");
    let mut all: Vec<_> = (0..5).map(join).collect();
    all.iter().for_each(Peer::fails);
    let lonely = Peer::host(master, address(32, 1), Nat::Unknown, "Nobody there");
    let client = Peer::join(master, address(33, 1), Nat::Unknown, &lonely.room, "");
    client.fails();
    all.extend([host, lonely, client]);
    all
}

/// An address that is relayed at all ports, of which there are two (`--relay-ports`), and one more that wants
/// to be relayed to it.
#[must_use]
pub fn by_ports(master: &Master) -> Vec<Peer> {
    let host = Peer::host(master, address(40, 1), Nat::Unknown, "Two doors");
    let join = |n| Peer::join(master, address(41, n), Nat::Unknown, &host.room, "");
    let mut all: Vec<_> = (1..=3).map(join).collect();
    all.iter().for_each(Peer::fails);
    all.push(host);
    all
}
