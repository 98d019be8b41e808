//! The UDP sockets: who has sent a datagram, and to which address of the machine. The event loop
//! comes in, and the loop that benchmarks compare it with.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd as _;

use log::{debug, warn};
use mio::net::UdpSocket;
use nix::libc::{in_addr, in_pktinfo, in6_addr, in6_pktinfo};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, MultiHeaders, SockaddrStorage, recvmsg,
    sendmmsg, sendmsg, setsockopt, sockopt,
};
use smallvec::SmallVec;

use super::{PAUSE, canonical, is_memory_pressure};
use crate::clock::Instant;
use crate::dialect::Via;

/// Datagrams taken from a socket before others have their turn: as many as may have come while
/// others had theirs, so that no request is read before the datagram that was sent before it.
pub(super) const BUDGET: usize = 1024;

/// For how many datagrams of the budget an answer counts: the kernel does more for it.
pub(super) const ANSWER: usize = 3;

/// Datagrams that are sent with one system call, if they go the same way. In tens more would save
/// little: of the 3.6 us that one takes by itself over loopback, 0.6 are saved among 16 and as much
/// among 156.
pub const BATCH: usize = 32;

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
    /// What the kernel is given with a batch; with space to say from which address, if the socket
    /// has several.
    headers: MultiHeaders<SockaddrStorage>,
}

/// Datagrams that go the same way.
#[derive(Default)]
struct Batch<'a> {
    via: Via,
    data: SmallVec<[[IoSlice<'a>; 1]; BATCH]>,
    to: SmallVec<[Option<SockaddrStorage>; BATCH]>,
}

impl Datagrams {
    /// All of these sockets, of which each has to be registered with a poll.
    #[must_use]
    pub fn new(sockets: Vec<UdpSocket>) -> Self {
        let sockets = sockets.into_iter().map(|socket| {
            let is_ipv6 = socket.local_addr().is_ok_and(|addr| addr.is_ipv6());
            let tells_address = ask_for_addresses(&socket, is_ipv6);
            let space = match is_ipv6 {
                true => nix::cmsg_space!(in6_pktinfo),
                false => nix::cmsg_space!(in_pktinfo),
            };
            let headers = MultiHeaders::preallocate(BATCH, tells_address.then_some(space));
            Socket { socket, readable: true, again: None, is_ipv6, tells_address, headers }
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

    /// Any socket may have something to read by now, before the poll says so.
    pub(super) fn look_again(&mut self) {
        self.sockets.iter_mut().for_each(|socket| socket.readable = true);
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
                    let via = Via { socket: u8::try_from(n).ok()?, local };
                    return Some((via, canonical(peer), self.buffer.get(..length)?));
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

    /// Sends datagrams in this order, or drops some: UDP promises nothing. Those that follow each
    /// other and go the same way take one system call.
    pub fn send_all<'a>(&mut self, datagrams: impl Iterator<Item = (Via, SocketAddr, &'a [u8])>) {
        let mut batch = Batch::default();
        for (via, to, data) in datagrams {
            if via != batch.via || batch.to.len() == BATCH {
                self.send_batch(&mut batch);
                batch.via = via;
            }
            let Some(socket) = self.sockets.get(usize::from(via.socket)) else { continue };
            batch.to.push(Some(socket.destination(to)));
            batch.data.push([IoSlice::new(data)]);
        }
        self.send_batch(&mut batch);
    }

    /// Sends a batch and empties it.
    fn send_batch(&mut self, batch: &mut Batch<'_>) {
        if let Some(socket) = self.sockets.get_mut(usize::from(batch.via.socket)) {
            socket.send(batch);
        }
        batch.to.clear();
        batch.data.clear();
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

    /// How this socket calls a destination.
    fn destination(&self, to: SocketAddr) -> SockaddrStorage {
        match to.ip() {
            IpAddr::V4(ip) if self.is_ipv6 => {
                SocketAddr::from((ip.to_ipv6_mapped(), to.port())).into()
            }
            _ => to.into(),
        }
    }

    /// Sends a batch, from the address of the machine that it says, if the socket has several.
    fn send(&mut self, batch: &Batch<'_>) {
        let (v4, v6);
        let from = match batch.via.local.filter(|_| self.tells_address) {
            None => None,
            Some(IpAddr::V4(local)) if !self.is_ipv6 => {
                v4 = from_v4(local);
                Some(ControlMessage::Ipv4PacketInfo(&v4))
            }
            Some(local) => {
                v6 = from_v6(local);
                Some(ControlMessage::Ipv6PacketInfo(&v6))
            }
        };
        let fd = self.socket.as_raw_fd();
        // The space for the address has to be filled if there is any.
        let together = from.is_some() == self.tells_address;
        let (mut all, mut to) = (batch.data.as_slice(), batch.to.as_slice());
        while let ([data, more @ ..], [peer, ..]) = (all, to) {
            let result = if together && !more.is_empty() {
                sendmmsg(fd, &mut self.headers, all, to, from.as_slice(), MsgFlags::empty())
                    .map(Iterator::count)
            } else {
                sendmsg(fd, data, from.as_slice(), MsgFlags::empty(), peer.as_ref()).map(|_| 1)
            };
            let sent = result.unwrap_or_else(|error| {
                debug!("UDP to {}: {error}", peer.map(|to| to.to_string()).unwrap_or_default());
                1
            });
            all = all.get(sent..).unwrap_or_default();
            to = to.get(sent..).unwrap_or_default();
        }
    }
}

/// Sends from this address of the machine.
fn from_v4(local: Ipv4Addr) -> in_pktinfo {
    let addr = in_addr { s_addr: u32::from(local).to_be() };
    in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: addr, ipi_addr: in_addr { s_addr: 0 } }
}

/// The same on a socket that has IPv6 addresses.
fn from_v6(local: IpAddr) -> in6_pktinfo {
    let v6 = match local {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    };
    in6_pktinfo { ipi6_addr: in6_addr { s6_addr: v6.octets() }, ipi6_ifindex: 0 }
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
