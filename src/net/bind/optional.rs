//! What the server has beside the ports of the games and can do without: the owner's window, and STUN's alternate
//! port and address.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use mio::net::{TcpListener, UdpSocket};
use socket2::Protocol;

use super::{Bound, open};
use crate::limits;
use crate::net::handover::Offer;
use crate::net::sys;

/// Something beside the ports of the games that the server wants and can do without.
#[derive(Debug)]
pub struct Unavailable {
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
) -> Result<(SocketAddr, TcpListener), Unavailable> {
    if let Some((at, listener)) = offer.and_then(|offer| offer.window(at)) {
        return Ok((at, TcpListener::from_std(listener)));
    }
    // As for the games, `[::]` is all addresses of this machine.
    let only_v6 = !at.ip().is_unspecified();
    let opened = open(at, Protocol::TCP, only_v6, limits::GHOST).and_then(|socket| {
        let listener = std::net::TcpListener::from(socket);
        Ok((listener.local_addr()?, TcpListener::from_std(listener)))
    });
    opened.map_err(|error| {
        let why = format!(
            "the owner's window cannot open at http://{at}/: {}; choose another address with --http, or --http off",
            why_no_window(at, &error)
        );
        Unavailable { why, is_taken: error.kind() == io::ErrorKind::AddrInUse }
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
    pub unavailable: Vec<Unavailable>,
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
    // Beside a socket of IPv4 one at `[::]` is of IPv6 alone.
    let has_ipv4 = addrs.iter().any(SocketAddr::is_ipv4);
    let is_covered = |addr: IpAddr| {
        addrs.iter().any(|bound| {
            let is_of_its_kind = bound.is_ipv4() == addr.is_ipv4() || bound.is_ipv6() && !has_ipv4;
            bound.ip() == addr || bound.ip().is_unspecified() && is_of_its_kind
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
        all.unavailable.push(Unavailable { why: no_alternate(port), is_taken: false });
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
        "STUN has no alternate port: --alt-port {port} is the port of the games; choose another one"
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
            let why = format!("STUN has no alternate socket {addr}: {why}");
            let is_taken = error.kind() == io::ErrorKind::AddrInUse;
            all.unavailable.push(Unavailable { why, is_taken });
            None
        }
    }
}

/// Why an alternate socket cannot be had, and what to do about it.
pub(super) fn why_alternate(addr: SocketAddr, error: &io::Error) -> String {
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
