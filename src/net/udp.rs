//! The UDP sockets: who has sent a datagram, and to which address of the machine. The event loop
//! comes in, and the loop that benchmarks compare it with.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd as _;

use log::{debug, warn};
use mio::net::UdpSocket;
use nix::libc::{in_addr, in_pktinfo, in6_addr, in6_pktinfo};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg, setsockopt,
    sockopt,
};

use super::{PAUSE, canonical, is_memory_pressure};
use crate::clock::Instant;
use crate::dialect::Via;

/// Datagrams taken from a socket before others have their turn: as many as may have come while
/// others had theirs, so that no request is read before the datagram that was sent before it.
pub(super) const BUDGET: usize = 1024;

/// For how many datagrams of the budget an answer counts: it takes a system call that does more.
pub(super) const ANSWER: usize = 3;

/// Longer than any datagram that a dialect understands; what is longer arrives cut.
const LONGEST: usize = 2048;

/// The UDP sockets and which of them may have something to read.
#[derive(Debug)]
pub struct Datagrams {
    sockets: Vec<Socket>,
    buffer: Box<[u8; LONGEST]>,
    /// Where the kernel says to which address of the machine a datagram was sent.
    control: Vec<u8>,
}

#[derive(Debug)]
struct Socket {
    socket: UdpSocket,
    readable: bool,
    /// The kernel had no memory to receive with; when to try again.
    again: Option<Instant>,
    is_ipv6: bool,
    /// It has all addresses of the machine, and the kernel tells which one was meant.
    tells_address: bool,
}

impl Datagrams {
    /// All of these sockets, of which each has to be registered with a poll.
    #[must_use]
    pub fn new(sockets: Vec<UdpSocket>) -> Self {
        let sockets = sockets.into_iter().map(|socket| {
            let is_ipv6 = socket.local_addr().is_ok_and(|addr| addr.is_ipv6());
            let tells_address = ask_for_addresses(&socket, is_ipv6);
            Socket { socket, readable: true, again: None, is_ipv6, tells_address }
        });
        Self {
            sockets: sockets.collect(),
            buffer: Box::new([0; LONGEST]),
            control: nix::cmsg_space!(in6_pktinfo),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.sockets.len()
    }

    /// The poll says that socket number `n` has something to read.
    pub fn note_readable(&mut self, n: usize) {
        if let Some(socket) = self.sockets.get_mut(n) {
            socket.readable = true;
        }
    }

    pub(super) fn are_ready(&self) -> bool {
        self.sockets.iter().any(|socket| socket.readable && socket.again.is_none())
    }

    pub(super) fn next_wakeup(&self) -> Option<Instant> {
        self.sockets.iter().filter_map(|socket| socket.again).min()
    }

    /// The next datagram of a socket, if there is one.
    pub fn receive(&mut self, now: Instant, n: usize) -> Option<(Via, SocketAddr, &[u8])> {
        let socket = self.sockets.get_mut(n).filter(|socket| socket.readable)?;
        if socket.again.is_some_and(|at| now < at) {
            return None;
        }
        socket.again = None;
        loop {
            match socket.receive(&mut self.buffer[..], &mut self.control) {
                Ok((length, peer, local)) => {
                    let via = Via { socket: n as u8, local };
                    return Some((via, canonical(peer), &self.buffer[..length]));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    socket.readable = false;
                    return None;
                }
                Err(error) if is_memory_pressure(&error) => {
                    socket.again = Some(now + PAUSE);
                    return None;
                }
                // What an earlier send came to (an ICMP error), not this receive.
                Err(error) => debug!("UDP: {error}"),
            }
        }
    }

    /// Sends a datagram, or drops it: UDP promises nothing.
    pub fn send(&mut self, via: Via, to: SocketAddr, data: &[u8]) {
        let Some(socket) = self.sockets.get(usize::from(via.socket)) else { return };
        let to = match to.ip() {
            IpAddr::V4(ip) if socket.is_ipv6 => SocketAddr::from((ip.to_ipv6_mapped(), to.port())),
            _ => to,
        };
        let sent = match via.local {
            Some(local) if socket.tells_address => socket.send_from(local, to, data),
            _ => socket.socket.send_to(data, to),
        };
        if let Err(error) = sent {
            debug!("UDP to {to}: {error}");
        }
    }
}

impl Socket {
    /// The next datagram: its length, who sent it, and to which address, where there are several.
    fn receive(
        &self,
        buffer: &mut [u8],
        control: &mut [u8],
    ) -> io::Result<(usize, SocketAddr, Option<IpAddr>)> {
        if !self.tells_address {
            return self.socket.recv_from(buffer).map(|(length, peer)| (length, peer, None));
        }
        let mut parts = [IoSliceMut::new(buffer)];
        let fd = self.socket.as_raw_fd();
        let got = recvmsg::<SockaddrStorage>(fd, &mut parts, Some(control), MsgFlags::empty())?;
        let peer = got.address.and_then(|addr| standard(&addr));
        let peer = peer.ok_or(io::ErrorKind::InvalidData)?;
        let local = got.cmsgs()?.find_map(|message| match message {
            ControlMessageOwned::Ipv4PacketInfo(info) => {
                Some(Ipv4Addr::from(u32::from_be(info.ipi_spec_dst.s_addr)).into())
            }
            ControlMessageOwned::Ipv6PacketInfo(info) => {
                Some(Ipv6Addr::from(info.ipi6_addr.s6_addr).to_canonical())
            }
            _ => None,
        });
        Ok((got.bytes, peer, local))
    }

    /// Sends a datagram from this address of the machine.
    fn send_from(&self, local: IpAddr, to: SocketAddr, data: &[u8]) -> io::Result<usize> {
        let in4;
        let in6;
        let control = match local {
            IpAddr::V4(v4) if !self.is_ipv6 => {
                let addr = in_addr { s_addr: u32::from(v4).to_be() };
                let none = in_addr { s_addr: 0 };
                in4 = in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: addr, ipi_addr: none };
                ControlMessage::Ipv4PacketInfo(&in4)
            }
            _ => {
                let v6 = match local {
                    IpAddr::V4(v4) => v4.to_ipv6_mapped(),
                    IpAddr::V6(v6) => v6,
                };
                let ipi6_addr = in6_addr { s6_addr: v6.octets() };
                in6 = in6_pktinfo { ipi6_addr, ipi6_ifindex: 0 };
                ControlMessage::Ipv6PacketInfo(&in6)
            }
        };
        let to = SockaddrStorage::from(to);
        let fd = self.socket.as_raw_fd();
        Ok(sendmsg(fd, &[IoSlice::new(data)], &[control], MsgFlags::empty(), Some(&to))?)
    }
}

/// Has the kernel tell to which address each datagram was sent, if the socket has them all: on a
/// machine with several, answers have to leave from the one that was asked.
fn ask_for_addresses(socket: &UdpSocket, is_ipv6: bool) -> bool {
    if !socket.local_addr().is_ok_and(|addr| addr.ip().is_unspecified()) {
        return false;
    }
    let set = match is_ipv6 {
        true => setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true),
        false => setsockopt(socket, sockopt::Ipv4PacketInfo, &true),
    };
    if let Err(error) = set {
        warn!("the system does not tell to which address a datagram was sent: {error}");
    }
    set.is_ok()
}

fn standard(addr: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = addr.as_sockaddr_in().map(|addr| SocketAddr::V4((*addr).into()));
    v4.or_else(|| addr.as_sockaddr_in6().map(|addr| SocketAddr::V6((*addr).into())))
}
