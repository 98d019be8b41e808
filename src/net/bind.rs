//! Opens the sockets: TCP and UDP on one port, on every address asked for.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use log::debug;
use mio::net::{TcpListener, UdpSocket};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

use super::handover::Offer;
use super::sys;
use crate::limits;

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

/// Something beside the ports of the games that the server wants and can do without.
#[derive(Debug)]
pub struct Lack {
    /// What cannot be had, and why, in a sentence.
    pub why: String,
    /// Whether somebody else has it already.
    pub is_taken: bool,
}

/// Opens the listener of the owner's window, unless it was handed over.
///
/// # Errors
/// If it cannot be had.
pub fn window(
    at: SocketAddr,
    offer: Option<&mut Offer>,
) -> Result<(SocketAddr, TcpListener), Lack> {
    if let Some((at, listener)) = offer.and_then(|offer| offer.window(at)) {
        return Ok((at, TcpListener::from_std(listener)));
    }
    let opened = open(at, Protocol::TCP, true, limits::GHOST).and_then(|socket| {
        let listener = std::net::TcpListener::from(socket);
        Ok((listener.local_addr()?, TcpListener::from_std(listener)))
    });
    opened.map_err(|error| {
        let why = format!(
            "nobody can look in at http://{at}/: {}; choose another place with --http, or --http off",
            why_no_window(at, &error)
        );
        Lack { why, is_taken: error.kind() == io::ErrorKind::AddrInUse }
    })
}

fn why_no_window(at: SocketAddr, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            let by = sys::owner_of_port(at.port(), true)
                .map_or_else(|| "another program".to_string(), |owner| owner.to_string());
            format!("port {} is in use by {by}", at.port())
        }
        io::ErrorKind::PermissionDenied => {
            format!("no permission for port {}: {}", at.port(), sys::no_permission("--http"))
        }
        io::ErrorKind::AddrNotAvailable => {
            format!(
                "this machine has no address {}; {} shows those it has",
                at.ip(),
                sys::ADDRESSES
            )
        }
        _ => error.to_string(),
    }
}

/// What STUN has beside the sockets that there are anyway.
#[derive(Debug, Default)]
pub struct Alternates {
    /// The alternate address, if the machine has it.
    pub addr: Option<IpAddr>,
    /// The sockets, and where they are.
    pub sockets: Vec<(SocketAddr, UdpSocket)>,
    /// What cannot be had.
    pub lacks: Vec<Lack>,
}

/// Opens UDP sockets for STUN beside those that there are, so that answers can leave from another
/// port and another address (RFC 5780). What cannot be had is left out. Port 0 has the system pick one.
/// Those that were handed over are there already.
#[must_use]
pub fn alternates(
    main: &[Bound],
    port: Option<u16>,
    addr: Option<IpAddr>,
    mut offer: Option<&mut Offer>,
) -> Alternates {
    let mut addrs: Vec<SocketAddr> = main.iter().map(|bound| bound.addr).collect();
    let mut all = Alternates::default();
    let Some(main_port) = addrs.first().map(SocketAddr::port) else { return all };
    all.addr = addr.filter(|addr| alternate(SocketAddr::new(*addr, 0), true, &mut all).is_some());
    let is_covered = |addr: IpAddr| {
        addrs.iter().any(|bound| {
            bound.ip() == addr || bound.ip().is_unspecified() && (bound.is_ipv6() || addr.is_ipv4())
        })
    };
    let mut alternate = |addr: SocketAddr, only_v6: bool, all: &mut Alternates| {
        let handed = offer.as_deref_mut().and_then(|offer| offer.alternate(addr));
        let handed = handed.map(|(addr, socket)| (addr, UdpSocket::from_std(socket)));
        handed.or_else(|| alternate(addr, only_v6, all))
    };
    if let Some(addr) = all.addr.filter(|addr| !is_covered(*addr)) {
        let addr = SocketAddr::new(addr, main_port);
        addrs.push(addr);
        if let Some(opened) = alternate(addr, true, &mut all) {
            all.sockets.push(opened);
        }
    }
    let Some(mut port) = port.or_else(|| main_port.checked_add(1)) else { return all };
    if port == main_port {
        all.lacks.push(Lack { why: no_alternate(port), is_taken: false });
        return all;
    }
    let has_ipv4 = addrs.iter().any(SocketAddr::is_ipv4);
    for addr in addrs {
        let (addr, only_v6) =
            (SocketAddr::new(addr.ip(), port), has_ipv4 || !addr.ip().is_unspecified());
        let Some((bound, socket)) = alternate(addr, only_v6, &mut all) else { continue };
        port = bound.port();
        all.sockets.push((bound, socket));
    }
    all
}

/// What is wrong with an alternate port that is the one of the games.
#[must_use]
pub fn no_alternate(port: u16) -> String {
    format!(
        "STUN does without an alternate port: --alt-port {port} is the port of the games, and has to be \
         another"
    )
}

fn alternate(
    addr: SocketAddr,
    only_v6: bool,
    all: &mut Alternates,
) -> Option<(SocketAddr, UdpSocket)> {
    let opened = open(addr, Protocol::UDP, only_v6, Duration::ZERO).and_then(|socket| {
        let socket = std::net::UdpSocket::from(socket);
        Ok((socket.local_addr()?, UdpSocket::from_std(socket)))
    });
    match opened {
        Ok(opened) => Some(opened),
        Err(error) => {
            let why = why_alternate(addr, &error);
            let why = format!("STUN does without the alternate socket {addr}: {why}");
            let is_taken = error.kind() == io::ErrorKind::AddrInUse;
            all.lacks.push(Lack { why, is_taken });
            None
        }
    }
}

/// Why an alternate socket cannot be had, and what to do about it.
fn why_alternate(addr: SocketAddr, error: &io::Error) -> String {
    let port = addr.port();
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            let by = sys::owner_of_port(port, false)
                .map_or_else(|| "another program".to_string(), |owner| owner.to_string());
            format!(
                "UDP port {port} is in use by {by}; stop it, or use another port with --alt-port"
            )
        }
        io::ErrorKind::PermissionDenied => {
            format!("no permission for port {port}: {}", sys::no_permission("--alt-port"))
        }
        io::ErrorKind::AddrNotAvailable => format!(
            "this machine has no address {}; give one that {} shows with --alt-addr, or leave \
             --alt-addr out",
            addr.ip(),
            sys::ADDRESSES
        ),
        _ => format!("{error}; see --alt-port and --alt-addr"),
    }
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
pub(super) mod tests {
    use super::*;

    #[test]
    fn port_zero_gives_one_port_for_all() {
        let addrs = [Ipv4Addr::new(127, 0, 0, 1).into(), Ipv4Addr::new(127, 0, 0, 2).into()];
        let all = bind(&addrs, 0, limits::GHOST).unwrap();
        assert_eq!(all.len(), 2);
        assert_ne!(all[0].addr.port(), 0);
        assert_eq!(all[0].addr.port(), all[1].addr.port());
        assert_eq!(all[0].udp.local_addr().unwrap(), all[0].addr);
    }

    #[test]
    fn a_port_in_use_is_said() {
        let addr = Ipv4Addr::LOCALHOST.into();
        let held = bind(&[addr], 0, limits::GHOST).unwrap();
        let port = held[0].addr.port();
        let error = bind(&[addr], port, limits::GHOST).unwrap_err().to_string();
        assert!(error.starts_with(&format!("TCP port {port} is in use by")), "{error}");
    }

    #[test]
    fn a_window_that_cannot_be_had_is_said() {
        let (at, _held) = window(SocketAddr::from(([127, 0, 0, 1], 0)), None).unwrap();
        let lack = window(at, None).unwrap_err();
        let wanted = format!("nobody can look in at http://{at}/: port {} is in use by", at.port());
        assert!(lack.is_taken && lack.why.starts_with(&wanted), "{lack:?}");
    }

    #[test]
    fn an_alternate_port_in_use_is_said() {
        let held = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let addr = held.local_addr().unwrap();
        let error = open(addr, Protocol::UDP, true, Duration::ZERO).unwrap_err();
        let why = why_alternate(addr, &error);
        assert!(why.starts_with(&format!("UDP port {} is in use by", addr.port())), "{why}");
        assert!(why.ends_with("use another port with --alt-port"), "{why}");
    }

    #[test]
    fn an_alternate_port_that_is_that_of_the_games_is_said() {
        let main = bind(&[Ipv4Addr::LOCALHOST.into()], 0, limits::GHOST).unwrap();
        let port = main[0].addr.port();
        let same = alternates(&main, Some(port), None, None);
        assert!(same.sockets.is_empty() && !same.lacks[0].is_taken, "{same:?}");
        assert!(same.lacks[0].why.contains("is the port of the games"), "{same:?}");
    }

    #[test]
    fn an_alternate_address_that_is_not_here_is_said() {
        let main = bind(&[Ipv4Addr::LOCALHOST.into()], 0, limits::GHOST).unwrap();
        let nobodys = Ipv4Addr::new(192, 0, 2, 1).into();
        let foreign = alternates(&main, Some(0), Some(nobodys), None);
        assert_eq!((foreign.addr, foreign.sockets.len(), foreign.lacks.len()), (None, 1, 1));
        assert!(foreign.lacks[0].why.contains("no address 192.0.2.1"), "{foreign:?}");
    }

    #[test]
    fn accepted_connections_send_at_once() {
        let (stream, _peer) = accepted();
        assert!(stream.nodelay().unwrap());
        assert!(SockRef::from(&stream).keepalive().unwrap());
    }

    #[test]
    fn keepalives_that_the_system_refuses_are_no_reason_not_to_start() {
        // Linux takes no pause of more than 32767 seconds.
        let day = Duration::from_secs(24 * 60 * 60);
        let all = bind(&[Ipv4Addr::LOCALHOST.into()], 0, day).unwrap();
        assert!(SockRef::from(&all[0].tcp).keepalive().unwrap(), "as often as the system likes");
    }

    /// A connection as the server has it, and the other end.
    pub(crate) fn accepted() -> (mio::net::TcpStream, std::net::TcpStream) {
        let mut all = bind(&[Ipv4Addr::LOCALHOST.into()], 0, limits::GHOST).unwrap();
        let bound = all.remove(0);
        let peer = std::net::TcpStream::connect(bound.addr).unwrap();
        let deadline = std::time::Instant::now() + Duration::from_secs(5);
        loop {
            match bound.tcp.accept() {
                Ok((stream, _)) => {
                    sys::prepare_accepted(&stream, bound.ghost);
                    return (stream, peer);
                }
                Err(_) if std::time::Instant::now() < deadline => std::thread::yield_now(),
                Err(error) => panic!("{error}"),
            }
        }
    }
}
