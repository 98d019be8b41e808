//! Opens the sockets: TCP and UDP on one port, on every address asked for.

mod inherited;
mod optional;

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use log::debug;
use mio::net::{TcpListener, UdpSocket};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

pub use self::inherited::{InheritError, inherited};
pub use self::optional::{Alternates, Unavailable, alternates, no_alternate, window};
use super::handover::Offer;
use super::sys;

/// Connections that the kernel completes before they are accepted: a storm of ten thousand at
/// once is not refused where `net.core.somaxconn` allows as many (it is 4096 by default).
const BACKLOG: i32 = 16 * 1024;

/// Room for a burst of datagrams while the loop is busy; the kernel may give less.
pub(super) const UDP_BUFFER: usize = 1024 * 1024;

/// Gives the sockets of an address that were handed over, if any were.
type Handed<'a> = dyn FnMut(SocketAddr) -> Option<Bound> + 'a;

/// How often a free port is looked for when the system picks it for TCP and it is taken for UDP.
const ATTEMPTS: usize = 16;

/// The two sockets of one address.
#[derive(Debug)]
pub struct Bound {
    /// Where they are.
    pub addr: SocketAddr,
    /// The listener.
    pub tcp: TcpListener,
    /// The UDP socket.
    pub udp: UdpSocket,
    /// After so long the kernel gives up a peer that cannot be reached.
    pub ghost: Duration,
    /// A server was here before, and its peers may be about to come back.
    pub is_restart: bool,
}

/// Why the server cannot listen.
#[derive(Debug)]
pub struct BindError {
    addr: SocketAddr,
    protocol: Protocol,
    error: io::Error,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { addr, error, .. } = self;
        let port = addr.port();
        let protocol = if self.protocol == Protocol::TCP { "TCP" } else { "UDP" };
        match error.kind() {
            io::ErrorKind::AddrInUse => {
                let owner = sys::owner_of_port(port, self.protocol == Protocol::TCP);
                let owner = owner.map(|owner| owner.to_string());
                let is_neighbour = self.protocol == Protocol::UDP
                    && owner.as_ref().is_none_or(|owner| owner.starts_with("'punchd'"));
                // It has the port for a unit, and is nothing to stop.
                if owner.as_deref() == Some("'systemd' (process 1)") {
                    return write!(
                        f,
                        "systemd has {protocol} port {port} open for a socket unit, as punchd.socket (systemctl \
                         list-sockets): only its service gets it; for another punchd use another port with --port"
                    );
                }
                let by = owner.unwrap_or_else(|| "another program".into());
                write!(
                    f,
                    "{protocol} port {port} is in use by {by}; stop it, or use another port with --port"
                )?;
                // Its TCP port was free: a server of its own would have both.
                match port.checked_sub(1).filter(|before| is_neighbour && *before > 0) {
                    Some(before) => write!(
                        f,
                        "; a punchd on port {before} has it for STUN, unless that one is started with \
                         another --alt-port"
                    ),
                    None => Ok(()),
                }
            }
            io::ErrorKind::PermissionDenied => write!(
                f,
                "no permission for port {port}: {}{}",
                sys::no_permission("--port"),
                sys::or_permit(&std::env::current_exe().unwrap_or_else(|_| "punchd".into()))
            ),
            io::ErrorKind::AddrNotAvailable => write!(
                f,
                "this machine has no address {}; give one that {} shows with --bind, or leave --bind \
                 out to use all",
                addr.ip(),
                sys::ADDRESSES
            ),
            _ => write!(f, "cannot listen on {addr} ({protocol}): {error}"),
        }
    }
}

impl std::error::Error for BindError {}

impl BindError {
    /// Whether somebody has the port already.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        self.error.kind() == io::ErrorKind::AddrInUse
    }
}

/// Opens the sockets on these addresses, as [`bind`] does, but for those that another process has handed over.
///
/// # Errors
/// If one of them cannot be opened, or cannot be used.
pub fn bind_or_take(
    addrs: &[IpAddr],
    port: u16,
    ghost: Duration,
    offer: &mut Offer,
) -> Result<Vec<Bound>, BindError> {
    let games = offer.games();
    let has = |ip: &IpAddr| games.iter().any(|at| at.ip() == *ip);
    // Of all addresses that process has one of these two, and would be in the way of the other.
    let all: [IpAddr; 2] = [Ipv6Addr::UNSPECIFIED.into(), Ipv4Addr::UNSPECIFIED.into()];
    let all = all.into_iter().find(has);
    let mut take = |at: SocketAddr| take(offer, at, ghost);
    match (addrs, all) {
        ([], Some(all)) => bind_all(&[all], port, ghost, &mut take),
        ([], None) => bind(addrs, port, ghost),
        (addrs, _) => bind_all(addrs, port, ghost, &mut take),
    }
}

/// All sockets that another process has handed over.
#[must_use]
pub fn take_all(ghost: Duration, offer: &mut Offer) -> Vec<Bound> {
    let games = offer.games();
    games.into_iter().filter_map(|at| take(offer, at, ghost)).collect()
}

fn take(offer: &mut Offer, at: SocketAddr, ghost: Duration) -> Option<Bound> {
    let (addr, tcp) = offer.tcp(at)?;
    let (_, udp) = offer.udp(addr)?;
    let (tcp, udp) = (TcpListener::from_std(tcp), UdpSocket::from_std(udp));
    // Nobody has to come back.
    Some(Bound { addr, tcp, udp, ghost, is_restart: false })
}

/// Opens the sockets on these addresses; on all of the machine's if there are none. With port 0
/// the system picks a free one, the same for all. The kernel gives a peer up that has been
/// unreachable for `ghost`.
///
/// # Errors
/// If one of them cannot be opened.
pub fn bind(addrs: &[IpAddr], port: u16, ghost: Duration) -> Result<Vec<Bound>, BindError> {
    let bind_all = |addrs: &[IpAddr]| bind_all(addrs, port, ghost, &mut |_| None);
    if !addrs.is_empty() {
        return bind_all(addrs);
    }
    match bind_all(&[Ipv6Addr::UNSPECIFIED.into()]) {
        // A machine, or a container, without IPv6.
        Err(BindError { error, .. }) if is_without_ipv6(&error) => {
            bind_all(&[Ipv4Addr::UNSPECIFIED.into()])
        }
        result => result,
    }
}

/// The addresses of this machine from which it sends to the Internet, as far as it can.
pub fn own_addresses() -> impl Iterator<Item = IpAddr> {
    /// Of the networks for documentation (RFC 5737, RFC 3849): nothing is sent there.
    const ANYBODY: [IpAddr; 2] = [
        IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
        IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
    ];
    let own = |anybody: IpAddr| {
        let any: IpAddr = match anybody {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = std::net::UdpSocket::bind((any, 0)).ok()?;
        socket.connect((anybody, 9)).ok()?;
        socket.local_addr().ok().map(|addr| addr.ip())
    };
    ANYBODY.into_iter().filter_map(own)
}

fn is_without_ipv6(error: &io::Error) -> bool {
    sys::is_unknown_family(error) || error.kind() == io::ErrorKind::AddrNotAvailable
}

/// Opens the sockets on these addresses, unless somebody hands over those of one.
fn bind_all(
    addrs: &[IpAddr],
    port: u16,
    ghost: Duration,
    handed: &mut Handed<'_>,
) -> Result<Vec<Bound>, BindError> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        match try_bind_all(addrs, port, ghost, handed) {
            Err(BindError { error, .. })
                if port == 0 && error.kind() == io::ErrorKind::AddrInUse && attempt < ATTEMPTS => {}
            result => return result,
        }
    }
}

fn try_bind_all(
    addrs: &[IpAddr],
    mut port: u16,
    ghost: Duration,
    handed: &mut Handed<'_>,
) -> Result<Vec<Bound>, BindError> {
    let mut all: Vec<Bound> = Vec::new();
    let has_ipv4 = addrs.iter().any(IpAddr::is_ipv4);
    for &ip in addrs {
        if all.iter().any(|bound| bound.addr.ip() == ip) {
            // Given twice.
            continue;
        }
        // IPv4 peers come in by the same socket where all addresses are meant, unless they have
        // one of their own: the two would be in each other's way.
        let only_v6 = has_ipv4 || !ip.is_unspecified();
        let at = SocketAddr::new(ip, port);
        let bound = handed(at).map_or_else(|| bind_one(at, only_v6, ghost), Ok)?;
        port = bound.addr.port();
        all.push(bound);
    }
    Ok(all)
}

fn bind_one(addr: SocketAddr, only_v6: bool, ghost: Duration) -> Result<Bound, BindError> {
    let failed = |addr, protocol| move |error| BindError { addr, protocol, error };
    let is_restart = addr.port() != 0 && is_in_use(addr, only_v6);
    let tcp = open(addr, Protocol::TCP, only_v6, ghost).map_err(failed(addr, Protocol::TCP))?;
    let addr = tcp
        .local_addr()
        .map(|local| local.as_socket().unwrap_or(addr))
        .map_err(failed(addr, Protocol::TCP))?;
    let udp = open(addr, Protocol::UDP, only_v6, ghost).map_err(failed(addr, Protocol::UDP))?;
    let (tcp, udp) = (std::net::TcpListener::from(tcp), std::net::UdpSocket::from(udp));
    let (tcp, udp) = (TcpListener::from_std(tcp), UdpSocket::from_std(udp));
    Ok(Bound { addr, tcp, udp, ghost, is_restart })
}

/// Whether connections linger on a TCP port, of a server that was there a moment ago: the system
/// gives it only to who says that this does not matter.
fn is_in_use(addr: SocketAddr, only_v6: bool) -> bool {
    let bind = || {
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
        if addr.is_ipv6() {
            socket.set_only_v6(only_v6)?;
        }
        socket.bind(&addr.into())
    };
    bind().is_err_and(|error: io::Error| error.kind() == io::ErrorKind::AddrInUse)
}

fn open(
    addr: SocketAddr,
    protocol: Protocol,
    only_v6: bool,
    ghost: Duration,
) -> io::Result<Socket> {
    let is_tcp = protocol == Protocol::TCP;
    let kind = if is_tcp { Type::STREAM } else { Type::DGRAM };
    let socket = Socket::new(Domain::for_address(addr), kind, Some(protocol))?;
    if addr.is_ipv6() {
        socket.set_only_v6(only_v6)?;
    }
    if is_tcp {
        // Connections of the server before this one may still linger on the port.
        sys::allow_lingering(&socket)?;
    } else {
        // Less room is no reason not to start.
        let _ = socket.set_recv_buffer_size(UDP_BUFFER);
    }
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    if is_tcp {
        prepare(&SockRef::from(&socket), ghost)?;
        socket.listen(BACKLOG)?;
    }
    Ok(socket)
}

/// Sets what accepted connections shall have: where they inherit it that saves calls for each.
pub(super) fn prepare(listener: &SockRef<'_>, ghost: Duration) -> io::Result<()> {
    listener.set_tcp_nodelay(true)?;
    set_keepalive(listener, ghost);
    sys::prepare_listener(listener, ghost)
}

/// Has the kernel give up a peer that has been unreachable for `ghost`. A system that refuses this takes
/// longer, which is no reason not to serve anybody.
pub(super) fn set_keepalive(socket: &SockRef<'_>, ghost: Duration) {
    // The last probe goes unanswered after five sixths of the limit. There are four, as a network
    // that loses some packets must not cost a player his game.
    let keepalive = TcpKeepalive::new()
        .with_time(whole_seconds(ghost / 2))
        .with_interval(whole_seconds(ghost / 12))
        .with_retries(4);
    if let Err(error) = socket.set_tcp_keepalive(&keepalive) {
        debug!("peers that vanish are noticed when the system says so: {error}");
    }
}

/// The kernel counts keepalives in seconds.
fn whole_seconds(duration: Duration) -> Duration {
    Duration::from_secs(duration.as_secs().max(1))
}

#[cfg(test)]
pub(super) mod tests;
