//! The two sockets of every peer: a TCP connection to the master server, and the game's UDP socket.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use socket2::{Domain, SockRef, Socket, Type};

use super::error::Error;
use super::line::{Line, Queue};
use super::wire;
use crate::bounded::Budget;
use crate::datagrams::is_passing;
use crate::nat;

/// How long a GameMaker game waits for a TCP connection.
const CONNECT_WITHIN: Duration = Duration::from_secs(4);

/// So many events wait for a peer that is busy; more stay with the system, and so with the server.
const WAITING: usize = 256;

/// So many datagrams are looked at when the time is up: of one who sends without pause there are
/// always more.
const LATE: usize = 64;

/// What one `recv` returned, which is what GameMaker hands to a game as one network event.
#[derive(Clone, Debug)]
pub struct Event {
    /// When it was received.
    pub at: Instant,
    /// The bytes; none at the end of the connection.
    pub bytes: Vec<u8>,
}

/// A TCP connection to a master server. Dropping it sends a FIN.
#[derive(Debug)]
pub struct Control {
    stream: TcpStream,
    master: SocketAddr,
    events: Receiver<Event>,
    /// The server has sent more than any server would.
    floods: Arc<AtomicBool>,
    at_drop: Shutdown,
}

impl Control {
    /// Connects, from a given local address if there is one.
    ///
    /// # Errors
    /// If nobody accepts within four seconds.
    pub fn open(master: SocketAddr, from: Option<IpAddr>) -> Result<Self, Error> {
        let socket = |source| Error::Socket { doing: "connect to", with: master, source };
        let tcp = Socket::new(Domain::for_address(master), Type::STREAM, None).map_err(socket)?;
        if let Some(ip) = from {
            let local = SocketAddr::new(ip, 0);
            tcp.bind(&local.into()).map_err(Error::socket("use the local address", local))?;
        }
        tcp.connect_timeout(&master.into(), CONNECT_WITHIN).map_err(socket)?;
        tcp.set_tcp_nodelay(true).map_err(socket)?;
        // Requests are short; one that is not taken has met a server that does not read.
        tcp.set_write_timeout(Some(CONNECT_WITHIN)).map_err(socket)?;
        let stream = TcpStream::from(tcp);
        let reader = stream.try_clone().map_err(socket)?;
        let (sink, events) = sync_channel(WAITING);
        let floods = Arc::new(AtomicBool::new(false));
        let said = Arc::clone(&floods);
        // A thread of its own, so that an event has its true arrival time and its true borders
        // however busy the peer is. It ends with the connection.
        std::thread::spawn(move || read_all(reader, &sink, &said));
        Ok(Self { stream, master, events, floods, at_drop: Shutdown::Both })
    }

    /// Sends a whole request at once.
    ///
    /// # Errors
    /// If the connection is broken, as far as the system knows.
    pub fn send(&self, bytes: &[u8]) -> Result<(), Error> {
        (&self.stream).write_all(bytes).map_err(Error::socket("send to", self.master))
    }

    /// The next event, if it comes in time. When there is no time left it is none, though one may be
    /// there: so whoever waits until a deadline comes to an end.
    #[must_use]
    pub fn next(&self, within: Duration) -> Option<Event> {
        if within.is_zero() {
            return None;
        }
        self.events.recv_timeout(within).ok()
    }

    /// The next event, if it is there already.
    #[must_use]
    pub fn pending(&self) -> Option<Event> {
        self.events.try_recv().ok()
    }

    /// The answer to a request: the next event, which must not be the end of the connection.
    ///
    /// # Errors
    /// If there is none in time, or the server closed the connection.
    pub fn answer(&self, within: Duration) -> Result<Event, Error> {
        match self.next(within) {
            None => Err(Error::NoAnswer { master: self.master, waited: within }),
            Some(event) if event.bytes.is_empty() => Err(self.ended(Vec::new())),
            Some(event) => Ok(event),
        }
    }

    /// Why there is nothing more: for whom the last event was the end of the connection.
    #[must_use]
    pub fn ended(&self, after: Vec<u8>) -> Error {
        let master = self.master;
        match self.floods.load(Ordering::Relaxed) {
            true => Error::TooMuch { master },
            false => Error::MasterClosed { master, after },
        }
    }

    /// The local address of the connection.
    ///
    /// # Errors
    /// If the system does not know it.
    pub fn local_addr(&self) -> Result<SocketAddr, Error> {
        self.stream.local_addr().map_err(Error::socket("ask for the address towards", self.master))
    }

    /// Ends the connection with an RST, as the death of a game's process can.
    pub fn reset(mut self) {
        // Should this fail it is a FIN, and a test that needs an RST fails by itself.
        let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
        self.at_drop = Shutdown::Read;
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // The reading thread holds the socket too: this wakes it, and says FIN at once. After
        // `reset` it only wakes, and whichever of the two lets go last sends the RST.
        let _ = self.stream.shutdown(self.at_drop);
    }
}

fn read_all(mut stream: TcpStream, sink: &SyncSender<Event>, floods: &AtomicBool) {
    let mut buffer = vec![0; 64 * 1024];
    let mut budget = Budget::new(Instant::now());
    loop {
        let len = match stream.read(&mut buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            // A reset is an end like any other: games are told the same.
            Err(_) => 0,
            Ok(len) if budget.takes(Instant::now(), len) => len,
            Ok(_) => {
                floods.store(true, Ordering::Relaxed);
                0
            }
        };
        let bytes = buffer.get(..len).unwrap_or_default().to_vec();
        if sink.send(Event { at: Instant::now(), bytes }).is_err() || len == 0 {
            return;
        }
    }
}

/// The UDP socket of a game, which talks to the master server and to other games alike.
#[derive(Debug)]
pub struct GameSocket {
    socket: UdpSocket,
    local: SocketAddr,
    arriving: Mutex<Queue>,
}

impl GameSocket {
    /// Opens it on a given local address (else any of the family of `master`) and port (0: any).
    ///
    /// # Errors
    /// If the address or the port is not to be had.
    pub fn open(master: SocketAddr, from: Option<IpAddr>, port: u16) -> Result<Self, Error> {
        let any = match master {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let wanted = SocketAddr::new(from.unwrap_or(any), port);
        let failed = |source| Error::Socket { doing: "open the UDP port", with: wanted, source };
        let socket = UdpSocket::bind(wanted).map_err(failed)?;
        let local = socket.local_addr().map_err(failed)?;
        Ok(Self { socket, local, arriving: Mutex::default() })
    }

    /// The same socket on a line that may be a bad one.
    #[must_use]
    pub fn on_line(mut self, line: Line) -> Self {
        self.arriving = Mutex::new(Queue::new(line));
        self
    }

    /// The local address; unspecified if it was not given.
    #[must_use]
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Sends a datagram as it is. One that cannot be sent counts as lost, as UDP promises nothing.
    pub fn send_raw(&self, to: SocketAddr, datagram: &[u8]) {
        let _ = self.socket.send_to(datagram, to);
    }

    /// Shows the master server what the NAT in front of this socket does. The answers have no
    /// GameMaker header, and are dropped for that.
    pub fn show_nat(&self, master: SocketAddr) {
        nat::show(master, |to, request| self.send_raw(to, request));
    }

    /// Sends a payload behind GameMaker's header.
    pub fn send(&self, to: SocketAddr, payload: &[u8]) {
        self.send_raw(to, &wire::datagram(payload));
    }

    /// The payload of the next datagram, if it comes in time. What has no GameMaker header is
    /// dropped, as GameMaker drops it.
    ///
    /// # Errors
    /// If the socket is broken.
    pub fn receive(&self, within: Duration) -> Result<Option<(SocketAddr, Vec<u8>)>, Error> {
        let failed = |source| Error::Socket { doing: "receive on", with: self.local, source };
        let deadline = Instant::now() + within;
        let mut buffer = [0; wire::MAX_DATAGRAM];
        let mut arriving = self.arriving.lock().unwrap_or_else(|e| e.into_inner());
        let mut late = 0;
        loop {
            let now = Instant::now();
            late += usize::from(now >= deadline);
            if late > LATE {
                return Ok(None);
            }
            if let Some((from, datagram)) = arriving.pop(now) {
                match wire::payload(&datagram) {
                    Some(payload) => return Ok(Some((from, payload.to_vec()))),
                    None => continue,
                }
            }
            let until = arriving.next().map_or(deadline, |next| next.min(deadline));
            let left = until.saturating_duration_since(now);
            self.socket.set_nonblocking(left.is_zero()).map_err(failed)?;
            if !left.is_zero() {
                self.socket.set_read_timeout(Some(left)).map_err(failed)?;
            }
            match self.socket.recv_from(&mut buffer) {
                Ok((len, from)) => {
                    let datagram = buffer.get(..len).unwrap_or_default();
                    arriving.push(Instant::now(), from, datagram);
                }
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
                        && Instant::now() >= deadline =>
                {
                    return Ok(None);
                }
                Err(error) if is_passing(&error) => {}
                Err(error) => return Err(failed(error)),
            }
        }
    }
}
