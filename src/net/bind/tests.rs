//! Sockets of this machine: they are opened, and what cannot be is said.

use super::optional::why_alternate;
use super::*;
use crate::limits;

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
    let what = window(at, None).unwrap_err();
    let wanted =
        format!("the owner's window cannot open at http://{at}/: port {} is in use by", at.port());
    assert!(what.is_taken && what.why.starts_with(&wanted), "{what:?}");
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
    assert!(same.sockets.is_empty() && !same.unavailable[0].is_taken, "{same:?}");
    assert!(same.unavailable[0].why.contains("is the port of the games"), "{same:?}");
}

#[test]
fn an_alternate_address_that_is_not_here_is_said() {
    let main = bind(&[Ipv4Addr::LOCALHOST.into()], 0, limits::GHOST).unwrap();
    let nobodys = Ipv4Addr::new(192, 0, 2, 1).into();
    let foreign = alternates(&main, Some(0), Some(nobodys), None);
    assert_eq!((foreign.addr, foreign.sockets.len(), foreign.unavailable.len()), (None, 1, 1));
    assert!(foreign.unavailable[0].why.contains("no address 192.0.2.1"), "{foreign:?}");
}

/// Beside a socket of IPv4 one at `[::]` is of IPv6 alone, and nobody would answer there.
#[test]
fn an_alternate_address_that_no_other_socket_has_gets_its_own() {
    let [main, alternate] = [2, 3].map(|n| IpAddr::from([127, 0, 0, n]));
    let everywhere = IpAddr::from(std::net::Ipv6Addr::UNSPECIFIED);
    let Ok(main) = bind(&[everywhere, main], 0, limits::GHOST) else {
        return crate::skipped::note("this machine has no IPv6");
    };
    let all = alternates(&main, Some(0), Some(alternate), None);
    let there = SocketAddr::new(alternate, main[0].addr.port());
    assert!(all.sockets.iter().any(|(at, _)| *at == there), "{all:?}");
}

/// As the games have it.
#[test]
fn the_window_at_all_addresses_is_at_those_of_both_families() {
    let at = SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, 0));
    let Ok((at, _held)) = window(at, None) else {
        return crate::skipped::note("this machine has no IPv6");
    };
    std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, at.port())).unwrap();
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
