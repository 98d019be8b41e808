//! One socket of a peer: what arrived on it, when, and in how many segments.

use std::io::{self, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::libc;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, getsockopt, recvmsg, setsockopt, sockopt};
use nix::sys::time::TimeSpec;
use nix::{cmsg_space, getsockopt_impl, sockopt_impl};
use socket2::{Domain, Protocol, SockRef, Type};

use crate::gmnet::wire::port_notice;

/// How long connecting and sending may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Room for any datagram.
const CHUNK: usize = 65536;

/// So often it is looked at what is there when the time is up, or a connection is closed.
const LATE: usize = 4096;

/// So many bytes may be unread.
const MOST_UNREAD: usize = 16 << 20;

/// Where `tcpi_data_segs_in` stands in Linux' `struct tcp_info`, counted in 32-bit words.
const DATA_SEGMENTS: usize = 38;

sockopt_impl!(
    /// The first words of `TCP_INFO`, up to the number of segments with data that arrived. The
    /// kernel gives as many as are asked for.
    TcpInfo,
    GetOnly,
    libc::IPPROTO_TCP,
    libc::TCP_INFO,
    [u32; DATA_SEGMENTS + 1]
);

/// TCP or UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A connection.
    Tcp,
    /// Datagrams.
    Udp,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With a FIN from the server.
    Closed,
    /// With a RST from the server.
    Reset,
    /// The peer closed it itself.
    Here,
}

/// A socket and all that arrived on it.
pub(super) struct Link {
    kind: Kind,
    socket: socket2::Socket,
    received: Vec<u8>,
    /// Up to which byte each receive came, and when, by the kernel's clock.
    arrivals: Vec<(usize, Duration)>,
    used: usize,
    end: Option<End>,
    segments_seen: u32,
    /// What the server may tell a host at any time, who is then not surprised.
    notice: Vec<u8>,
    /// The end was announced: it is no surprise any more.
    pub(super) end_expected: bool,
    /// Nothing that happens is a surprise.
    pub(super) ignored: bool,
}

impl Link {
    /// Opens a socket at this address towards the server.
    pub(super) fn open(kind: Kind, from: Ipv4Addr, master: SocketAddr) -> io::Result<Self> {
        let (socket_type, protocol) = match kind {
            Kind::Tcp => (Type::STREAM, Protocol::TCP),
            Kind::Udp => (Type::DGRAM, Protocol::UDP),
        };
        let socket = socket2::Socket::new(Domain::IPV4, socket_type, Some(protocol))?;
        socket.bind(&SocketAddrV4::new(from, 0).into())?;
        socket.connect_timeout(&master.into(), PATIENCE)?;
        socket.set_write_timeout(Some(PATIENCE))?;
        if kind == Kind::Tcp {
            socket.set_tcp_nodelay(true)?;
        }
        setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
        Ok(Self {
            kind,
            socket,
            received: Vec::new(),
            arrivals: Vec::new(),
            used: 0,
            end: None,
            segments_seen: 0,
            notice: port_notice(master),
            end_expected: false,
            ignored: false,
        })
    }

    /// Its own address.
    pub(super) fn local(&self) -> Option<SocketAddr> {
        self.socket.local_addr().ok()?.as_socket()
    }

    /// Sends all of it.
    pub(super) fn send(&self, bytes: &[u8]) -> io::Result<()> {
        match self.kind {
            Kind::Tcp => (&self.socket).write_all(bytes),
            Kind::Udp => self.socket.send(bytes).map(|_| ()),
        }
    }

    /// What arrived and is not accounted for.
    pub(super) fn unread(&self) -> &[u8] {
        &self.received[self.used..]
    }

    /// How the connection ended, as far as is known.
    pub(super) fn end(&self) -> Option<End> {
        self.end
    }

    /// Accounts for so many bytes; returns how long after the byte before them the first of
    /// them came.
    pub(super) fn take(&mut self, length: usize) -> Option<Duration> {
        let start = self.used;
        self.used += length;
        let gap = self.arrival(start)?.checked_sub(self.arrival(start.checked_sub(1)?)?);
        Some(gap.unwrap_or_default())
    }

    fn arrival(&self, byte: usize) -> Option<Duration> {
        self.arrivals.iter().find(|(end, _)| *end > byte).map(|(_, at)| *at)
    }

    /// Receives until `enough` says so, the connection ends or time is up.
    ///
    /// `most` keeps a receive from reading into the next message of a stream, whose time of
    /// arrival would then be lost.
    pub(super) fn receive(&mut self, until: Instant, most: usize, enough: impl Fn(&[u8]) -> bool) {
        let mut late = 0;
        while (self.is_amid_notice() || !enough(self.unread())) && self.end.is_none() {
            // No vector expects so much: a server that sends without pause.
            if late > LATE || self.unread().len() > MOST_UNREAD {
                return;
            }
            let left = until.saturating_duration_since(Instant::now());
            let most = if self.is_amid_notice() { self.notice.len() } else { most };
            let most = most.saturating_sub(self.unread().len()).clamp(1, CHUNK);
            if left.is_zero() && !self.readable() {
                return;
            }
            late += usize::from(left.is_zero());
            self.receive_once(left.max(Duration::from_millis(1)), most);
        }
    }

    /// Whether what is unread may become a notice.
    fn is_amid_notice(&self) -> bool {
        !self.unread().is_empty() && self.notice.starts_with(self.unread())
    }

    /// Passes over a notice, which is a segment of its own.
    fn skip_notice(&mut self) {
        if self.kind == Kind::Tcp && self.unread().starts_with(&self.notice) {
            self.used += self.notice.len();
            self.segments_seen = self.segments_seen.wrapping_add(1);
        }
    }

    /// Whether something lies there: the last look when the time is up.
    fn readable(&mut self) -> bool {
        let mut byte = [MaybeUninit::uninit()];
        let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT;
        match self.socket.recv_with_flags(&mut byte, flags) {
            Ok(_) => true,
            Err(e) => {
                // The kernel tells of a reset once; the next receive would see a plain end.
                if e.kind() == io::ErrorKind::ConnectionReset && self.kind == Kind::Tcp {
                    self.end = Some(End::Reset);
                }
                false
            }
        }
    }

    fn receive_once(&mut self, timeout: Duration, most: usize) {
        let size = if self.kind == Kind::Udp { CHUNK } else { most };
        let mut buffer = vec![0; size];
        match self.receive_into(&mut buffer, timeout) {
            Ok((0, _)) if self.kind == Kind::Tcp => self.end = Some(End::Closed),
            Ok((length, at)) => {
                self.received.extend_from_slice(&buffer[..length]);
                self.arrivals.push((self.received.len(), at));
                self.skip_notice();
            }
            Err(nix::Error::EAGAIN | nix::Error::EINTR) => {}
            // An ICMP error that came back for a datagram is not the end of a socket.
            Err(_) if self.kind == Kind::Udp => {}
            Err(_) => self.end = Some(End::Reset),
        }
    }

    fn receive_into(&self, buffer: &mut [u8], t: Duration) -> nix::Result<(usize, Duration)> {
        let no_timeout = |_| nix::Error::EINVAL;
        self.socket.set_read_timeout(Some(t)).map_err(no_timeout)?;
        let mut parts = [IoSliceMut::new(buffer)];
        let mut space = cmsg_space!(TimeSpec);
        let fd = self.socket.as_raw_fd();
        let message = recvmsg::<()>(fd, &mut parts, Some(&mut space), MsgFlags::empty())?;
        let at = message.cmsgs()?.find_map(|control| match control {
            ControlMessageOwned::ScmTimestampns(at) => Some(Duration::from(at)),
            _ => None,
        });
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok((message.bytes, at.unwrap_or_else(now)))
    }

    /// How many segments with data came since the last call, if the kernel counts them.
    pub(super) fn new_segments(&mut self) -> Option<u32> {
        let total = getsockopt(&self.socket, TcpInfo).ok()?[DATA_SEGMENTS];
        let fresh = total.wrapping_sub(self.segments_seen);
        self.segments_seen = total;
        Some(fresh)
    }

    /// Ends sending; the server can still answer.
    pub(super) fn close_half(&mut self) {
        let _ = self.socket.shutdown(std::net::Shutdown::Write);
    }

    /// Closes for good: with RST, or with FIN (for which nothing unread may lie there).
    pub(super) fn close(&mut self, reset: bool) {
        if reset {
            let _ = SockRef::from(&self.socket).set_linger(Some(Duration::ZERO));
        } else {
            for _ in 0..LATE {
                if self.end.is_some() || !self.readable() {
                    break;
                }
                self.receive_once(Duration::from_millis(1), CHUNK);
            }
        }
        self.end = Some(End::Here);
        // Dropping the socket closes it, and only that sends the RST.
        if let Ok(unconnected) = socket2::Socket::new(Domain::IPV4, Type::DGRAM, None) {
            self.socket = unconnected;
        }
    }
}
