//! One host and one client: their sockets, what they send, and what the other side is told of them.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Instant;

use mio::{Interest, Token};

use super::players::Kind;
use super::sockets::{self, address, begin_tcp};
use crate::gmnet::wire::{self, Data, Protocol};

/// The kind of clients, for their addresses.
pub(super) const CLIENT: u8 = 1;

#[derive(Debug)]
pub(super) struct Host {
    pub(super) stream: mio::net::TcpStream,
    /// Keeps its port.
    _udp: UdpSocket,
    pub(super) request: Vec<u8>,
    /// What a client is told of it.
    pub(super) introduction: Vec<u8>,
    /// The clients that it has to be told of.
    pub(super) expected: VecDeque<usize>,
}

#[derive(Debug)]
pub(super) struct Client {
    pub(super) addr: Ipv4Addr,
    udp: UdpSocket,
    pub(super) stream: Option<mio::net::TcpStream>,
    /// What a host is told of it.
    pub(super) introduction: Vec<u8>,
    /// The host that it asks for, and when it asked.
    pub(super) asked: Option<(usize, Instant)>,
    /// Its line could not be sent yet.
    pub(super) is_unsent: bool,
}

impl Host {
    /// The socket of a host that has sent its `reg`.
    pub(super) fn send_reg(addr: Ipv4Addr, server: SocketAddr) -> io::Result<UdpSocket> {
        let udp = sockets::udp(addr, server)?;
        udp.send(&wire::udp_register(Protocol::Modern))?;
        Ok(udp)
    }

    pub(super) fn register(
        addr: Ipv4Addr,
        udp: UdpSocket,
        server: SocketAddr,
        data: &Data,
    ) -> io::Result<Self> {
        let stream = register(addr, server, data)?;
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream: mio::net::TcpStream::from_std(stream),
            request: wire::connect(Protocol::Modern, addr.into()),
            introduction: introduction(udp.local_addr()?),
            _udp: udp,
            expected: VecDeque::new(),
        })
    }
}

impl Client {
    pub(super) fn new(n: usize, server: SocketAddr) -> io::Result<Self> {
        let addr = address(CLIENT, n);
        let udp = sockets::udp(addr, server)?;
        let introduction = introduction(udp.local_addr()?);
        Ok(Self { addr, udp, stream: None, introduction, asked: None, is_unsent: false })
    }

    pub(super) fn ask(
        &mut self,
        n: usize,
        host: &Host,
        kind: Kind,
        server: SocketAddr,
        registry: &mio::Registry,
        token: Token,
    ) -> io::Result<()> {
        self.udp.send(CONNECT)?;
        let mut interest = Interest::READABLE;
        let mut stream = match kind {
            Kind::Fresh => mio::net::TcpStream::from_std(begin_tcp(self.addr, server)?),
            Kind::Kept => self.stream.take().ok_or(io::ErrorKind::NotConnected)?,
        };
        // On loopback the connection usually stands already.
        self.asked = Some((n, Instant::now()));
        self.is_unsent = match stream.write(&host.request) {
            Ok(_) => false,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => true,
            Err(error) if error.kind() == io::ErrorKind::NotConnected => true,
            Err(error) => return Err(error),
        };
        if self.is_unsent {
            interest |= Interest::WRITABLE;
        }
        if kind == Kind::Fresh {
            registry.register(&mut stream, token, interest)?;
        }
        self.stream = Some(stream);
        Ok(())
    }
}

/// A client's datagram; [`wire::udp_connect`] makes it, a test compares.
const CONNECT: &[u8] = b"\xde\xc0\xad\xde\x0c\0\0\0\x09\0\0\0connect\n\0";

/// A connection on which a host has registered.
pub(super) fn register(
    addr: Ipv4Addr,
    server: SocketAddr,
    data: &Data,
) -> io::Result<std::net::TcpStream> {
    let mut stream = sockets::tcp(addr, server)?;
    stream.write_all(&wire::register(Protocol::Modern, wire::CLIENT_VERSION, data))?;
    Ok(stream)
}

/// What the other side is told of a peer.
fn introduction(peer: SocketAddr) -> Vec<u8> {
    let mut bytes = vec![wire::MASTER];
    bytes.extend(format!("{}\0{}\0", peer.ip(), peer.port()).into_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_send_what_games_send() {
        assert_eq!(CONNECT, wire::udp_connect(Protocol::Modern));
    }
}
