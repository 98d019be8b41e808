//! Sockets on addresses of one's own choice.

use std::io::{self, IoSlice, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::Duration;

use mio::{Events, Poll};
use nix::libc::{in_addr, in_pktinfo};
use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrIn, sendmsg};
use socket2::{Domain, Protocol, Socket, Type};

use super::Failure;
use super::bare;

/// The answer to a question asked while setting up may take so long.
const PATIENCE: Duration = Duration::from_secs(20);

/// Address number `n` of a kind of peers. Each kind has a million of its own.
#[must_use]
pub fn address(kind: u8, n: usize) -> Ipv4Addr {
    let first = u32::from_be_bytes([127, 16 * (1 + kind % 15), 0, 1]);
    Ipv4Addr::from(first + u32::try_from(n).unwrap_or(0) % 0x000F_FFF0)
}

/// A UDP socket on this address that talks to the server only.
///
/// # Errors
/// If the system refuses it.
pub fn udp(from: Ipv4Addr, server: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((from, 0))?;
    socket.connect(server)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// A connection from this address, which may be still under way.
///
/// # Errors
/// If the system refuses it.
pub fn begin_tcp(from: Ipv4Addr, server: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    // Earlier connections from the address linger; their ports may be used again.
    socket.set_reuse_address(true)?;
    socket.bind(&SocketAddr::from((from, 0)).into())?;
    match socket.connect(&server.into()) {
        Err(error) if error.raw_os_error() != Some(nix::errno::Errno::EINPROGRESS as i32) => {
            Err(error)
        }
        _ => Ok(socket.into()),
    }
}

/// A connection from this address. Calls on it wait, but not for ever.
///
/// # Errors
/// If the system refuses it.
pub fn tcp(from: Ipv4Addr, server: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&SocketAddr::from((from, 0)).into())?;
    socket.connect_timeout(&server.into(), PATIENCE)?;
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Asks for the server's version, and so waits until it has done what was sent before.
///
/// # Errors
/// If there is no answer, or a wrong one.
pub fn wait_for_version(stream: &mut TcpStream) -> Result<(), Failure> {
    stream
        .write_all(crate::gmnet::wire::ASK_VERSION)
        .map_err(Failure::system("write to the server"))?;
    let mut answer = [0; 64];
    let length = stream.read(&mut answer).map_err(Failure::system("read the server's version"))?;
    if answer.first() == bare::VERSION.first() {
        return Ok(());
    }
    let answer = answer.get(..length).unwrap_or_default().escape_ascii();
    Err(Failure::Wrong(format!("\"{answer}\" for an answer to version")))
}

/// Waits for events, at most so long.
///
/// # Errors
/// If the system refuses it.
pub fn wait_for(poll: &mut Poll, events: &mut Events, wait: Duration) -> Result<(), Failure> {
    match poll.poll(events, Some(wait)) {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => {
            events.clear();
            Ok(())
        }
        result => result.map_err(Failure::system("wait for events")),
    }
}

/// One socket that sends from all addresses of a kind, for peers of which none needs a port of its
/// own: so that they do not take a descriptor each.
#[derive(Debug)]
pub struct ManyAddresses {
    socket: UdpSocket,
    server: SockaddrIn,
}

impl ManyAddresses {
    /// A socket on all addresses, with a port that the system picks.
    ///
    /// # Errors
    /// If the system refuses it, or the server has no IPv4 address.
    pub fn new(server: SocketAddr) -> io::Result<Self> {
        let SocketAddr::V4(server) = server else { return Err(io::ErrorKind::Unsupported.into()) };
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        Ok(Self { socket, server: SockaddrIn::from(server) })
    }

    /// The port that all of them have.
    ///
    /// # Errors
    /// If the system does not tell.
    pub fn port(&self) -> io::Result<u16> {
        Ok(self.socket.local_addr()?.port())
    }

    /// Sends a datagram to the server from this address.
    ///
    /// # Errors
    /// If the system refuses it.
    pub fn send(&self, from: Ipv4Addr, payload: &[u8]) -> io::Result<()> {
        let source = in_addr { s_addr: u32::from_ne_bytes(from.octets()) };
        let info = in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: source, ipi_addr: source };
        let control = [ControlMessage::Ipv4PacketInfo(&info)];
        let data = [IoSlice::new(payload)];
        let fd = self.socket.as_raw_fd();
        sendmsg(fd, &data, &control, MsgFlags::empty(), Some(&self.server))?;
        Ok(())
    }
}
