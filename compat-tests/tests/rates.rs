//! How often an address may ask and send: floods are slowed and cost nobody else anything, and
//! no ordinary player ever feels a limit.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use compat_tests::gmnet::Query;
use compat_tests::gmnet::wire::{self, Protocol};
use compat_tests::master::{Master, loopback};
use compat_tests::raw;
use compat_tests::unplugged::Unplugged;
use punchd::dialect::ConnId;
use punchd::limits;

const WAIT: Duration = Duration::from_secs(10);

fn peer(n: u32, port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::from(0x0B00_0000 + n), port))
}

#[test]
fn who_floods_commands_is_slowed_and_nobody_else() {
    let master = Master::start(&["--max-commands", "20"]);
    let flooder = loopback();
    let begun = Instant::now();
    let flood: Vec<_> = (0..4).map(|_| raw::connect(master.addr(), flooder)).collect();
    for stream in &flood {
        { stream }.write_all(&b"version\n".repeat(2000)).expect("sending");
    }
    let other = raw::connect(master.addr(), loopback());
    for _ in 0..10 {
        assert!(raw::asks(&other, b"version\n", b'\n', WAIT), "others do not wait");
    }
    let mut answers = 0;
    for stream in &flood {
        let (got, ended) = raw::read_to_end(stream, Duration::from_millis(500));
        assert!(!ended, "it is slowed, not closed");
        answers += got.iter().filter(|byte| **byte == b'\n').count();
    }
    // Ten seconds' worth at once, and then twenty a second, however many connections.
    let allowed = 205.0 + 20.0 * begun.elapsed().as_secs_f64();
    assert!((200.0..allowed).contains(&(answers as f64)), "{answers} answers, {allowed} allowed");
}

#[test]
fn thirty_players_behind_one_address_never_feel_a_limit() {
    let mut server = Unplugged::new(&[]);
    let host = peer(1, 5000);
    server.datagram(host, &wire::udp_register(Protocol::Modern));
    let register =
        wire::register(Protocol::Modern, wire::CLIENT_VERSION, &["game"; 8].map(String::from));
    server.open_and_send(host, &register);
    let lobby = Query::default().request();
    let connect = wire::connect(Protocol::Modern, host.ip());
    // Each looks at the lobby every second on a connection of its own, as GML does, and joins in
    // between; and one of them is a host that changes its data strings.
    let own = server.open(peer(2, 1));
    for second in 0..120_u16 {
        server.send(own, &register);
        for player in 0..30_u16 {
            let at = peer(2, 10_000 + 100 * player + second);
            let viewer = server.open_and_send(at, &lobby);
            assert_eq!(server.heard(viewer).len(), 1, "second {second}, player {player}");
            server.datagram(at, &wire::udp_connect(Protocol::Modern));
            let client = server.open_and_send(at, &connect);
            let heard = server.heard(client);
            assert_eq!(heard.len(), 1, "second {second}, player {player}");
            assert_eq!(wire::introduction(&heard[0]).expect("valid").endpoint, host);
            server.end(viewer);
            server.end(client);
            // Notifications are apart; 120 of them wait at most.
            server.pass(limits::NOTIFY_GAP + Duration::from_millis(1));
        }
    }
    assert!(!server.is_closed(own));
}

/// A server with a host, at which an address sends more datagrams than it may; the ask for the host.
fn flooded(options: &[&str], is_busy: bool) -> (Unplugged, Vec<u8>) {
    let mut server = Unplugged::new(options);
    let register = wire::register(Protocol::Modern, wire::CLIENT_VERSION, &Default::default());
    for host in [HOST, FLOODED_HOST] {
        server.datagram(host, &wire::udp_register(Protocol::Modern));
        server.open_and_send(host, &register);
    }
    server.note_busy(is_busy);
    for _ in 0..1000 {
        server.datagram(FORGED, b"anything at all");
    }
    (server, wire::connect(Protocol::Modern, HOST.ip()))
}

/// A client sends its packet and asks.
fn join(server: &mut Unplugged, client: SocketAddr, ask: &[u8]) -> ConnId {
    server.datagram(client, &wire::udp_connect(Protocol::Modern));
    server.open_and_send(client, ask)
}

/// Whether it gets its answer at once.
fn joins(server: &mut Unplugged, client: SocketAddr, ask: &[u8]) -> bool {
    let asking = join(server, client, ask);
    server.heard(asking).len() == 1
}

const fn at(host: u8, port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(11, 0, 0, host)), port)
}
const HOST: SocketAddr = at(1, 5000);
const FLOODED_HOST: SocketAddr = at(3, 5000);
const FORGED: SocketAddr = at(3, 6000);

#[test]
fn a_flood_in_the_name_of_an_address_costs_it_nothing_while_there_is_time() {
    let (mut server, ask) = flooded(&["--max-datagrams", "100"], false);
    assert!(joins(&mut server, at(3, 7000), &ask), "its packet was heard");
    assert!(joins(&mut server, at(2, 7000), &ask));
}

#[test]
fn who_floods_datagrams_is_not_heard_when_there_is_no_time_and_everybody_else_is() {
    let (mut server, ask) = flooded(&["--max-datagrams", "100"], true);
    assert!(joins(&mut server, FLOODED_HOST, &ask), "this endpoint is known");
    let flooder = at(3, 7000);
    let slowed = join(&mut server, flooder, &ask);
    assert!(server.heard(slowed).is_empty(), "its packet was dropped");
    assert!(joins(&mut server, at(2, 7000), &ask));
    // As soon as it stops, it is heard again.
    server.pass(Duration::from_millis(20));
    server.datagram(flooder, &wire::udp_connect(Protocol::Modern));
    assert_eq!(server.heard(slowed).len(), 1);
    assert!(server.datagrams().is_empty(), "no datagram is ever answered");
}
