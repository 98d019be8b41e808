//! The sockets that a service manager has opened.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use mio::net::{TcpListener, UdpSocket};
use socket2::SockRef;

use super::{Bound, UDP_BUFFER, prepare};
use crate::net::sys;

/// Takes the sockets that a service manager opened for us (systemd's socket activation), if it
/// did: they stay open while this program is restarted, so that nobody is refused.
///
/// # Errors
/// If there are not a TCP and a UDP socket on each address.
pub fn inherited(ghost: Duration) -> Result<Vec<Bound>, InheritError> {
    let sys::Handed { tcp, mut udp, others } = sys::handed();
    if others {
        return Err(InheritError::NoInternetSocket);
    }
    let pair = |tcp: std::net::TcpListener| {
        let addr = tcp.local_addr().map_err(InheritError::System)?;
        let is_partner =
            |socket: &std::net::UdpSocket| socket.local_addr().is_ok_and(|a| a == addr);
        let n = udp.iter().position(is_partner).ok_or(InheritError::Alone(addr))?;
        let udp = udp.swap_remove(n);
        let prepared = prepare(&SockRef::from(&tcp), ghost);
        widen(&SockRef::from(&udp));
        prepared
            .and_then(|()| tcp.set_nonblocking(true))
            .and_then(|()| udp.set_nonblocking(true))
            .map_err(InheritError::System)?;
        let (tcp, udp) = (TcpListener::from_std(tcp), UdpSocket::from_std(udp));
        // Whether this is the first start of many, nobody tells.
        Ok(Bound { addr, tcp, udp, ghost, is_restart: true })
    };
    let all = tcp.into_iter().map(pair).collect::<Result<Vec<_>, _>>()?;
    match udp.first().map(std::net::UdpSocket::local_addr) {
        None => Ok(all),
        Some(Ok(addr)) => Err(InheritError::AloneUdp(addr)),
        Some(Err(error)) => Err(InheritError::System(error)),
    }
}

/// Makes room for what comes while nobody reads, unless there is. A service manager may have made more than this
/// process may.
fn widen(udp: &SockRef<'_>) {
    if udp.recv_buffer_size().is_ok_and(|size| size < UDP_BUFFER) {
        let _ = udp.set_recv_buffer_size(UDP_BUFFER);
    }
}

/// Why the sockets of the service manager cannot be used.
#[derive(Debug)]
pub enum InheritError {
    /// One of them is neither TCP nor UDP.
    NoInternetSocket,
    /// This TCP socket has no UDP socket beside it.
    Alone(SocketAddr),
    /// This UDP socket has no TCP socket beside it.
    AloneUdp(SocketAddr),
    /// The system refuses to prepare one.
    System(io::Error),
}

impl fmt::Display for InheritError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let advice = "give the socket unit a ListenStream= and a ListenDatagram= of the same port";
        match self {
            Self::NoInternetSocket => {
                write!(f, "a socket handed over is no Internet socket; {advice}")
            }
            Self::Alone(addr) => {
                write!(f, "the TCP socket {addr} was handed over without a UDP one; {advice}")
            }
            Self::AloneUdp(addr) => {
                write!(f, "the UDP socket {addr} was handed over without a TCP one; {advice}")
            }
            Self::System(error) => write!(f, "cannot use a socket handed over: {error}"),
        }
    }
}

impl std::error::Error for InheritError {}
