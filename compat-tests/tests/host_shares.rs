//! What hosts have of what all have together: whoever takes much of it takes it from nobody else.
//! Without sockets, as that needs many addresses.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use compat_tests::gmnet::wire::{self, Protocol};
use compat_tests::gmnet::{Data, Query};
use compat_tests::unplugged::Unplugged;
use punchd::dialect::ConnId;
use punchd::limits;

/// What a GameMaker game reads of one answer.
const ONE_EVENT: usize = 64 * 1024;

/// After this a host that has not shown its port is of no use.
const LATE: Duration = Duration::from_secs(11);

/// The port `port` of the address number `n`.
fn peer(n: u32, port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::from(0x0B00_0000 + n), port))
}

fn registration(data1: &str, rest: &str) -> Vec<u8> {
    let data: Data = std::array::from_fn(|n| if n == 0 { data1 } else { rest }.to_owned());
    wire::register(Protocol::Modern, wire::CLIENT_VERSION, &data)
}

/// A registration as long as it can be: over 300 KB in the lobby.
fn long() -> Vec<u8> {
    registration("game", &"<".repeat(9000))
}

fn reg(server: &mut Unplugged, at: SocketAddr) {
    server.datagram(at, &wire::udp_register(Protocol::Modern));
}

/// A host whose UDP packet came first, as it should.
fn host(server: &mut Unplugged, at: SocketAddr, data2: &str) -> ConnId {
    reg(server, at);
    server.pass(Duration::from_millis(20));
    server.open_and_send(at, &registration("game", data2))
}

fn lobby(server: &mut Unplugged) -> String {
    server.pass(limits::SHADOW);
    let viewer = server.open_and_send(peer(99_999, 1), &Query::default().request());
    let answer = server.heard(viewer).concat();
    server.end(viewer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// Whether somebody who asks for the host is announced to it.
fn is_told(server: &mut Unplugged, host: ConnId, at: SocketAddr) -> bool {
    let client = peer(77_777, 1234);
    server.datagram(client, &wire::udp_connect(Protocol::Modern));
    let asking = server.open_and_send(client, &wire::connect(Protocol::Modern, at.ip()));
    server.pass(Duration::from_secs(1));
    server.end(asking);
    !server.heard(host).is_empty()
}

#[test]
fn hosts_with_long_strings_leave_room_for_all_others() {
    let mut server = Unplugged::new(&[]);
    let live = host(&mut server, peer(0, 1000), "live");
    let many: Vec<ConnId> = (1..3000)
        .map(|n| server.open_and_send(peer(1 + n / 30, 2000 + n as u16), &long()))
        .collect();
    assert!(many.iter().all(|conn| !server.is_closed(*conn)), "they may stay as well");
    let new = host(&mut server, peer(5000, 1000), "new");
    server.send(live, &registration("game", "changed"));
    assert!(!server.is_closed(live) && !server.is_closed(new));
    // And the way of GMnet, by a new connection.
    server.end(new);
    let again = host(&mut server, peer(5000, 1000), &"again".repeat(10));
    assert!(!server.is_closed(again));
    let lobby = lobby(&mut server);
    assert!(lobby.contains("changed") && lobby.contains("again"));
}

#[test]
fn one_address_cannot_make_a_lobby_that_games_cannot_read() {
    let mut server = Unplugged::new(&[]);
    let _ = host(&mut server, peer(0, 1000), "honest");
    for n in 0..32 {
        reg(&mut server, peer(1, 2000 + n));
        let conn = server.open_and_send(peer(1, 2000 + n), &long());
        assert!(!server.is_closed(conn));
    }
    let _ = host(&mut server, peer(2, 1000), "also honest");
    let lobby = lobby(&mut server);
    assert!(lobby.len() < ONE_EVENT, "{} bytes", lobby.len());
    assert!(lobby.contains("honest") && lobby.contains("also honest"));
    assert_eq!(lobby.matches("createdTime").count(), 34);
}

#[test]
fn a_change_of_long_strings_keeps_them() {
    let mut server = Unplugged::new(&[]);
    let text = "x".repeat(1000);
    let conn = host(&mut server, peer(0, 1000), &text);
    for _ in 0..3 {
        server.send(conn, &registration("game", &text));
        assert_eq!(lobby(&mut server).matches(&text).count(), 7);
    }
    // The end of the old connection may come late.
    let new = host(&mut server, peer(0, 1000), &text);
    assert_eq!(lobby(&mut server).matches(&text).count(), 7);
    server.end(conn);
    server.send(new, &registration("game", &text));
    assert_eq!(lobby(&mut server).matches(&text).count(), 7);
}

#[test]
fn registrations_that_a_newer_one_has_replaced_make_room() {
    let mut server = Unplugged::new(&["--max-hosts", "4"]);
    let neighbours = [1, 2].map(|n| host(&mut server, peer(0, n), "neighbour"));
    let game = peer(0, 1000);
    let all: Vec<ConnId> = (0..40)
        .map(|n| {
            server.pass(Duration::from_secs(120));
            host(&mut server, game, &format!("number {n}"))
        })
        .collect();
    let last = all[39];
    assert!(!server.is_closed(last));
    assert!(neighbours.iter().all(|conn| !server.is_closed(*conn)), "they are other hosts");
    assert_eq!(all.iter().filter(|conn| !server.is_closed(**conn)).count(), 2);
    let lobby = lobby(&mut server);
    assert!(lobby.contains("number 39") && !lobby.contains("number 38"), "{lobby}");
    assert_eq!(lobby.matches("neighbour").count(), 14, "{lobby}");
    assert!(is_told(&mut server, last, game), "clients are told to the newest");
    // Where all are different there is no room.
    let _ = host(&mut server, peer(0, 1001), "one more");
    let refused = host(&mut server, peer(0, 1002), "too many");
    assert!(server.is_closed(refused) && !server.is_closed(last));
    // Who comes back has its place, even if the end of its old connection is late.
    server.pass(2 * limits::LATE_COPY);
    let back = host(&mut server, peer(0, 1001), "is back");
    assert!(!server.is_closed(back));
    assert!(neighbours.iter().all(|conn| !server.is_closed(*conn)));
}

#[test]
fn hosts_that_nobody_can_reach_make_room_for_others() {
    let mut server = Unplugged::new(&["--max-hosts", "4"]);
    let good = [1, 2].map(|n| host(&mut server, peer(0, n), "reachable"));
    server.pass(LATE);
    // Some other game, so that it does not seem to be one of those.
    let other = registration("other", "");
    let bad = [0; 2].map(|_| server.open_and_send(peer(0, 9), &other));
    let early = host(&mut server, peer(0, 3), "early");
    assert!(server.is_closed(early), "their packets may be under way");
    server.pass(LATE);
    let new = host(&mut server, peer(0, 4), "new");
    assert!(!server.is_closed(new) && server.is_closed(bad[0]) && !server.is_closed(bad[1]));
    let next = host(&mut server, peer(0, 5), "next");
    assert!(!server.is_closed(next) && server.is_closed(bad[1]));
    server.pass(LATE);
    let refused = host(&mut server, peer(0, 6), "too many");
    assert!(server.is_closed(refused));
    assert!(good.iter().chain([&new, &next]).all(|conn| !server.is_closed(*conn)));
}

#[test]
fn a_host_whose_port_a_neighbour_has_taken_over_stays() {
    let mut server = Unplugged::new(&["--max-hosts", "2"]);
    let live = host(&mut server, peer(0, 1), "live");
    server.pass(LATE);
    server.send(live, &registration("game", "changed"));
    // It shows no port of its own, and is taken for the same game.
    let neighbour = server.open_and_send(peer(0, 2), &registration("game", ""));
    server.pass(LATE);
    let new = host(&mut server, peer(0, 3), "new");
    assert!(!server.is_closed(live) && !server.is_closed(new) && server.is_closed(neighbour));
}

#[test]
fn all_addresses_of_an_ipv6_source_have_the_hosts_of_one() {
    let mut server = Unplugged::new(&["--max-hosts", "4"]);
    let at = |net: u16, n: u16| SocketAddr::from(([0x2001, 0xDB8, 0, net, 0, 0, 0, n], 1000));
    for n in 0..4 {
        let conn = host(&mut server, at(1, n), "one of four");
        assert!(!server.is_closed(conn));
    }
    let fifth = host(&mut server, at(1, 5), "the fifth");
    let other = host(&mut server, at(2, 1), "somebody else");
    assert!(server.is_closed(fifth) && !server.is_closed(other));
}

#[test]
fn what_is_unfinished_is_taken_from_who_has_most_of_it() {
    const LONG: usize = 60_000;
    let mut server = Unplugged::new(&[]);
    let half = |length: usize| [b"reg2\n1.2.4\n", vec![b'x'; length].as_slice()].concat();
    let mut lines = registration("game", &"x".repeat(LONG / 7));
    lines.truncate(lines.len() - 10);
    let honest = server.open_and_send(peer(0, 1), &half(100));
    // Two addresses have more connections than all together may have bytes.
    let all: Vec<ConnId> =
        (0..500).map(|n| server.open_and_send(peer(1 + n % 2, 1000 + n as u16), &lines)).collect();
    let closed = all.iter().filter(|conn| server.is_closed(**conn)).count();
    assert!(closed > 100, "only {closed} had to go");
    let late = server.open_and_send(peer(3, 1), &half(100));
    assert!(!server.is_closed(honest) && !server.is_closed(late));
    let rest = "\n\n\n\n\n\n\n\nversion\n";
    for conn in [honest, late] {
        server.send(conn, rest.as_bytes());
        assert_eq!(server.heard(conn).concat(), b"\xf61.2.5\n");
    }
}
