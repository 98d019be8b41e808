//! UDP sockets on Linux: many datagrams with one system call, each with the address of this machine
//! that it came to or leaves from.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd as _;
use std::time::Duration;

use log::{debug, warn};
use mio::net::UdpSocket;
use nix::libc::{in_addr, in_pktinfo, in6_addr, in6_pktinfo};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg,
    sendmmsg, sendmsg, setsockopt, sockopt,
};
use nix::sys::time::TimeSpec;
use smallvec::SmallVec;

use crate::net::udp::{BATCH, Received, Room};

/// Datagrams that are received with one system call. All of them are answered before others have their turn; most
/// often there are few.
pub(in crate::net) const RECEIVED: usize = 16;

/// Room for a datagram of which no more than so many bytes are wanted: the kernel cuts it.
pub(in crate::net) const fn room(wanted: usize) -> usize {
    wanted
}

/// A UDP socket.
#[derive(Debug)]
pub(in crate::net) struct Socket {
    socket: UdpSocket,
    is_ipv6: bool,
    /// It has all addresses of the machine, and the kernel tells which one was meant.
    tells_address: bool,
    /// Where the kernel says when datagrams came, and to which address of the machine they were sent.
    incoming: MultiHeaders<SockaddrStorage>,
    /// What the kernel is given with a batch; with space to say from which address, if the socket
    /// has several.
    headers: MultiHeaders<SockaddrStorage>,
}

/// Datagrams that leave one socket from one address of the machine, at most [`BATCH`].
#[derive(Default)]
pub(in crate::net) struct Batch<'a> {
    data: SmallVec<[[IoSlice<'a>; 1]; BATCH]>,
    to: SmallVec<[Option<SockaddrStorage>; BATCH]>,
}

impl<'a> Batch<'a> {
    pub(in crate::net) fn len(&self) -> usize {
        self.to.len()
    }

    pub(in crate::net) fn push(&mut self, socket: &Socket, to: SocketAddr, data: &'a [u8]) {
        self.to.push(Some(socket.destination(to)));
        self.data.push([IoSlice::new(data)]);
    }

    pub(in crate::net) fn clear(&mut self) {
        self.to.clear();
        self.data.clear();
    }
}

impl Socket {
    pub(in crate::net) fn new(socket: UdpSocket) -> Self {
        let is_ipv6 = socket.local_addr().is_ok_and(|addr| addr.is_ipv6());
        let tells_address = ask_for_addresses(&socket, is_ipv6);
        let space = match is_ipv6 {
            true => nix::cmsg_space!(in6_pktinfo),
            false => nix::cmsg_space!(in_pktinfo),
        };
        let headers = MultiHeaders::preallocate(BATCH, tells_address.then_some(space));
        // One that a service manager keeps open has it from the process before, for what has come since.
        if let Err(error) = setsockopt(&socket, sockopt::ReceiveTimestampns, &true) {
            debug!("the system does not tell when a datagram came: {error}");
        }
        let incoming = incoming_headers();
        Self { socket, is_ipv6, tells_address, incoming, headers }
    }

    pub(in crate::net) fn socket(&self) -> &UdpSocket {
        &self.socket
    }

    /// The next datagrams, as many as there is room for.
    pub(in crate::net) fn receive(
        &mut self,
        rooms: &mut [Room; RECEIVED],
        received: &mut Vec<Received>,
    ) -> io::Result<()> {
        let mut parts = rooms.each_mut().map(|room| [IoSliceMut::new(room)]);
        let fd = self.socket.as_raw_fd();
        let incoming = &mut self.incoming;
        let all = recvmmsg(fd, incoming, parts.iter_mut(), MsgFlags::empty(), None)?;
        let mut is_all_told = true;
        for got in all {
            let peer = got.address.and_then(|addr| standard(&addr));
            let peer = peer.ok_or(io::ErrorKind::InvalidData)?;
            let mut one = Received { length: got.bytes, peer, local: None, came: None };
            for message in got.cmsgs()? {
                note(message, &mut one);
            }
            is_all_told &= one.came.is_some() && one.local.is_some() == self.tells_address;
            received.push(one);
        }
        // The headers have the space that was used, which is all that the next datagrams would get.
        if !is_all_told {
            self.incoming = incoming_headers();
        }
        Ok(())
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

    /// Sends a batch from this address of the machine, if the socket has several.
    pub(in crate::net) fn send(&mut self, batch: &Batch<'_>, local: Option<IpAddr>) {
        let (v4, v6);
        let from = match local.filter(|_| self.tells_address) {
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

/// Space for what the kernel tells of datagrams.
fn incoming_headers() -> MultiHeaders<SockaddrStorage> {
    MultiHeaders::preallocate(RECEIVED, Some(nix::cmsg_space!(in6_pktinfo, TimeSpec)))
}

/// Takes down what the kernel tells of a datagram.
fn note(message: ControlMessageOwned, of: &mut Received) {
    match message {
        ControlMessageOwned::Ipv4PacketInfo(info) => {
            let local = Ipv4Addr::from(u32::from_be(info.ipi_spec_dst.s_addr));
            of.local = Some(local.into());
        }
        ControlMessageOwned::Ipv6PacketInfo(info) => {
            of.local = Some(Ipv6Addr::from(info.ipi6_addr.s6_addr).to_canonical());
        }
        ControlMessageOwned::ScmTimestampns(came) => of.came = Some(Duration::from(came)),
        _ => {}
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
