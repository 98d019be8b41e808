//! The ports of the relay.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;

use log::debug;
use mio::net::UdpSocket;
use socket2::{Domain, Protocol, Socket, Type};

use super::RelayError;
use crate::net::bind;

/// Opens the ports of a relay at these addresses; dropping them lets go of them.
///
/// # Errors
/// If one of them cannot be had.
pub fn open_all(
    addrs: &[IpAddr],
    ports: &RangeInclusive<u16>,
    handed: &mut dyn FnMut(SocketAddr) -> Option<UdpSocket>,
) -> Result<Vec<(SocketAddr, UdpSocket)>, RelayError> {
    let addrs =
        addrs.iter().flat_map(|addr| ports.clone().map(|port| SocketAddr::new(*addr, port)));
    let open = |addr| {
        let socket = handed(addr).map_or_else(|| open(addr), Ok);
        Ok((addr, socket.map_err(|error| RelayError { addr: Some(addr), error })?))
    };
    addrs.map(open).collect()
}

fn open(addr: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // As for games. Less room is no reason not to start.
    let _ = socket.set_recv_buffer_size(bind::UDP_BUFFER);
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    Ok(UdpSocket::from_std(socket.into()))
}

/// The sockets: those of one family after the other, each in the order of their ports.
#[derive(Debug)]
pub(super) struct Pool {
    pub(super) sockets: Vec<PoolSocket>,
    first: u16,
    size: usize,
    /// Where the sockets of each family begin.
    v4: Option<usize>,
    v6: Option<usize>,
}

#[derive(Debug)]
pub(super) struct PoolSocket {
    pub(super) socket: Arc<UdpSocket>,
    pub(super) port: u16,
    /// It is in the list of those that may have something to read.
    pub(super) is_ready: bool,
}

impl Pool {
    pub(super) fn new(
        sockets: Vec<PoolSocket>,
        addrs: &[IpAddr],
        ports: &RangeInclusive<u16>,
    ) -> Self {
        let size = ports.len();
        let begin = |is_v4| addrs.iter().position(|ip| ip.is_ipv4() == is_v4).map(|n| n * size);
        Self { sockets, first: *ports.start(), size, v4: begin(true), v6: begin(false) }
    }

    /// Sends a datagram, or drops it: UDP promises nothing.
    pub(super) fn send(&self, port: u16, to: SocketAddr, data: &[u8]) {
        let begin = if to.is_ipv4() { self.v4 } else { self.v6 };
        let place = usize::from(port.wrapping_sub(self.first));
        let Some(begin) = begin.filter(|_| place < self.size) else { return };
        if let Some(PoolSocket { socket, .. }) = self.sockets.get(begin + place)
            && let Err(error) = socket.send_to(data, to)
            && error.kind() != io::ErrorKind::WouldBlock
        {
            debug!("relay: {to}: {error}");
        }
    }
}
