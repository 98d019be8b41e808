//! Bounds that only many addresses, much time or millions of bytes reach: without sockets.
#![expect(clippy::expect_used, reason = "a helper that fails is a test that fails")]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use compat_tests::gmnet::wire::{self, Protocol};
use compat_tests::gmnet::{Data, Query};
use compat_tests::unplugged::Unplugged;
use punchd::dialect::ConnId;
use punchd::limits::{self, Limits};

/// A moment in which nothing else happens.
const MOMENT: Duration = Duration::from_millis(1);

/// The peer number `n`, each with an address of its own.
fn peer(n: u32) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::from(0x0B00_0000 + n), 40_000))
}

fn registration(data1: &str, length: usize) -> Vec<u8> {
    let rest = "x".repeat(length);
    let data: Data = std::array::from_fn(|n| if n == 0 { data1.to_owned() } else { rest.clone() });
    wire::register(Protocol::Modern, wire::CLIENT_VERSION, &data)
}

fn connect(host: IpAddr) -> Vec<u8> {
    wire::connect(Protocol::Modern, host)
}

/// A host whose UDP packet came first, as it should.
fn host(server: &mut Unplugged, at: SocketAddr) -> ConnId {
    server.datagram(at, &wire::udp_register(Protocol::Modern));
    server.open_and_send(at, &registration("game", 4))
}

/// Whom the host was told of since the last time.
fn told(server: &mut Unplugged, host: ConnId) -> Vec<SocketAddr> {
    let heard = server.heard(host);
    heard.iter().map(|bytes| wire::introduction(bytes).expect("valid").endpoint).collect()
}

#[test]
fn unfinished_commands_are_bounded_in_all() {
    let mut server = Unplugged::new(&["--max-connections", "1000"]);
    let total = Limits { connections: 1000, ..Limits::default() }.total();
    let mut half = registration("game", limits::COMMAND / 8);
    half.truncate(half.len() - 10);
    let conns: Vec<_> = (0..1000).map(|n| server.open_and_send(peer(n), &half)).collect();
    let open: Vec<_> = conns.iter().filter(|conn| !server.is_closed(**conn)).collect();
    assert!(open.len() * half.len() > total / 2, "only {} may begin", open.len());
    assert!(open.len() * half.len() < total + half.len(), "{} unfinished", open.len());
    // Nobody else is hurt: whole commands need no such room.
    let other = server.open_and_send(peer(5000), b"version\n");
    assert_eq!(server.heard(other).len(), 1);
    // And the room comes back.
    server.pass(limits::STALLED_COMMAND + MOMENT);
    let late = server.open_and_send(peer(6000), &half);
    assert!(!server.is_closed(late));
}

#[test]
fn what_is_sent_ahead_of_an_answer_is_bounded() {
    let mut server = Unplugged::new(&[]);
    host(&mut server, peer(1));
    let conn = server.open_and_send(peer(2), &connect(peer(1).ip()));
    for _ in 0..limits::AHEAD / 1024 {
        server.send(conn, &[b'x'; 1024]);
        assert!(!server.is_closed(conn));
    }
    server.send(conn, b"x");
    assert!(server.is_closed(conn));
}

#[test]
fn a_crowd_that_waits_at_one_address_is_answered_with_what_is_known() {
    let mut server = Unplugged::new(&[]);
    let host = host(&mut server, peer(1));
    let crowd: Vec<_> = (0..limits::WAITING_PER_CLIENT + 10)
        .map(|_| server.open_and_send(peer(2), &connect(peer(1).ip())))
        .collect();
    let answered = crowd.iter().filter(|conn| !server.heard(**conn).is_empty()).count();
    assert_eq!(answered, 10, "those who have waited longest make room for who comes");
    server.pass(limits::INTRODUCTION_WAIT + MOMENT);
    let answered = crowd.iter().filter(|conn| !server.heard(**conn).is_empty()).count();
    assert_eq!(answered, limits::WAITING_PER_CLIENT, "the others get theirs in time");
    assert_eq!(told(&mut server, host), [], "nobody showed a port");
}

#[test]
fn ports_are_forgotten_in_the_order_they_came_and_only_when_there_are_too_many() {
    let mut server = Unplugged::new(&["--max-datagrams", "0"]);
    let host = host(&mut server, peer(1));
    let packet = wire::udp_connect(Protocol::Modern);
    let ask = connect(peer(1).ip());
    let (one, other) = (peer(2), peer(3));
    server.datagram(one, &packet);
    server.datagram(other, &packet);
    let flood = u32::try_from(limits::PORTS).expect("a number");
    // One packet less than would push the second one out.
    for n in 0..flood - 1 {
        server.datagram(peer(1_000_000 + n), &packet);
    }
    server.open_and_send(other, &ask);
    assert_eq!(told(&mut server, host), [other]);
    server.pass(limits::NOTIFY_GAP);
    server.open_and_send(one, &ask);
    assert_eq!(told(&mut server, host), [], "the first is forgotten, so its packet is awaited");
}

#[test]
fn ports_of_one_address_push_out_only_each_other() {
    let mut server = Unplugged::new(&["--max-datagrams", "0"]);
    let host = host(&mut server, peer(1));
    let packet = wire::udp_connect(Protocol::Modern);
    let honest = peer(2);
    server.datagram(honest, &packet);
    for port in 1..=60_000 {
        server.datagram(SocketAddr::new(peer(3).ip(), port), &packet);
    }
    let ask = connect(peer(1).ip());
    server.open_and_send(honest, &ask);
    assert_eq!(told(&mut server, host), [honest]);
    let crowd: Vec<_> = (0..2 * limits::PORTS_PER_ADDRESS)
        .map(|n| {
            server.pass(limits::NOTIFY_GAP * u32::from(n > 0));
            server.open_and_send(peer(3), &ask)
        })
        .collect();
    server.pass(Duration::from_secs(10));
    // Where it may be any of several, the host is told of a few.
    let mut all = told(&mut server, host);
    assert!(all.len() <= limits::LIKELY_PORTS * crowd.len(), "{}", all.len());
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), limits::PORTS_PER_ADDRESS);
    assert!(crowd.iter().all(|conn| server.heard(*conn).len() == 1), "all have an answer");
}

#[test]
fn room_is_made_behind_those_who_are_busy() {
    let mut server = Unplugged::new(&[]);
    let busy = server.open_and_send(peer(1), b"version\n");
    let idle = server.open_and_send(peer(2), b"version\n");
    server.pass(limits::IDLE_WHEN_FULL);
    server.send(busy, &Query::default().request());
    assert!(server.make_room(peer(3).ip()));
    assert!(server.is_closed(idle) && !server.is_closed(busy));
}
