//! What waits for a host is divided among client addresses: one that asks all the time keeps
//! nobody else from it.
#![expect(clippy::expect_used, reason = "a helper that fails is a test that fails")]

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use compat_tests::gmnet::wire::{self, Protocol};
use compat_tests::unplugged::Unplugged;
use punchd::dialect::ConnId;
use punchd::limits;

/// How long the others take; what is promised for a host that others ask for as well.
const SOON: Duration = Duration::from_millis(250);

fn peer(n: u32, port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::from(0x0B00_0000 + n), port))
}

const HOST: u32 = 1;

fn host(server: &mut Unplugged) -> ConnId {
    server.datagram(peer(HOST, 5000), &wire::udp_register(Protocol::Modern));
    let request = wire::register(Protocol::Modern, wire::CLIENT_VERSION, &Default::default());
    server.open_and_send(peer(HOST, 5000), &request)
}

/// A client asks for the host; its packet came before unless it is late.
fn asks(server: &mut Unplugged, client: SocketAddr, is_late: bool) -> ConnId {
    if !is_late {
        server.datagram(client, &wire::udp_connect(Protocol::Modern));
    }
    server.open_and_send(client, &wire::connect(Protocol::Modern, peer(HOST, 0).ip()))
}

fn told(server: &mut Unplugged, host: ConnId) -> Vec<SocketAddr> {
    let heard = server.heard(host);
    heard.iter().map(|bytes| wire::introduction(bytes).expect("valid").endpoint).collect()
}

#[test]
fn a_host_is_told_of_the_others_while_one_address_asks_all_the_time() {
    for per_second in [25, 190] {
        let mut server = Unplugged::new(&[]);
        let host = host(&mut server);
        let mut port = 10_000;
        let mut flood = |server: &mut Unplugged, time: Duration| {
            for _ in 0..time.as_millis() * per_second / 1000 {
                port += 1;
                let conn = asks(server, peer(666, port), false);
                server.pass(Duration::from_secs(1) / per_second as u32);
                server.end(conn);
            }
        };
        flood(&mut server, Duration::from_secs(20));
        for n in 0..20 {
            let client = peer(1000 + n, 7000);
            told(&mut server, host);
            let conn = asks(&mut server, client, false);
            assert!(!server.heard(conn).is_empty(), "client {n} at {per_second} a second");
            flood(&mut server, SOON);
            let told = told(&mut server, host);
            assert!(told.contains(&client), "client {n} at {per_second} a second: {told:?}");
        }
    }
}

#[test]
fn a_host_is_told_of_a_newcomer_while_two_hundred_addresses_ask_all_the_time() {
    let mut server = Unplugged::new(&[]);
    let host = host(&mut server);
    let mut port = 10_000;
    let mut flood = |server: &mut Unplugged, times: u32| {
        for _ in 0..times {
            port += 1;
            for n in 0..200 {
                let conn = asks(server, peer(2000 + n, port), false);
                server.end(conn);
            }
            server.pass(Duration::from_millis(500));
        }
    };
    // All of them have had their turn once: twenty a second are told.
    flood(&mut server, 22);
    for n in 0..10 {
        let client = peer(1000 + n, 7000);
        told(&mut server, host);
        asks(&mut server, client, false);
        flood(&mut server, 1);
        let told = told(&mut server, host);
        assert!(told.contains(&client), "client {n}: {told:?}");
    }
}

#[test]
fn who_asks_again_and_again_from_one_port_is_told_once_until_the_host_knows() {
    let mut server = Unplugged::new(&[]);
    let host = host(&mut server);
    let (one, other) = (peer(2, 7000), peer(3, 7000));
    asks(&mut server, peer(4, 7000), false);
    for n in 0..20 {
        let conn = asks(&mut server, one, false);
        assert_eq!(server.heard(conn).len(), 1, "each request is answered: {n}");
    }
    asks(&mut server, other, false);
    server.pass(Duration::from_secs(3));
    assert_eq!(told(&mut server, host), [peer(4, 7000), one, other]);
}

#[test]
fn a_host_that_comes_back_by_a_new_connection_is_told_of_who_joined_before() {
    let mut server = Unplugged::new(&[]);
    let before = host(&mut server);
    let clients = [2, 3, 4].map(|n| peer(n, 7000));
    clients.iter().for_each(|client| _ = asks(&mut server, *client, false));
    assert_eq!(told(&mut server, before), clients[..1]);
    // Its game counts a player more, and says so as games do: by then it may not have read who came.
    server.end(before);
    server.pass(Duration::from_millis(20));
    let after = host(&mut server);
    server.pass(Duration::from_secs(1));
    let [first, others @ ..] = clients;
    assert_eq!(told(&mut server, after), [&others[..], &[first]].concat());
    server.end(after);
    server.pass(limits::HOST_RETURN);
    let new = host(&mut server);
    server.pass(Duration::from_secs(1));
    assert!(told(&mut server, new).is_empty(), "once");
}

#[test]
fn a_host_whose_old_connection_ends_late_is_told_on_the_new_one() {
    let mut server = Unplugged::new(&[]);
    let before = host(&mut server);
    let clients = [2, 3].map(|n| peer(n, 7000));
    clients.iter().for_each(|client| _ = asks(&mut server, *client, false));
    assert_eq!(told(&mut server, before), clients[..1]);
    let after = host(&mut server);
    server.pass(Duration::from_millis(20));
    server.end(before);
    server.pass(Duration::from_secs(1));
    assert_eq!(told(&mut server, after), [clients[1], clients[0]]);
}

#[test]
fn late_packets_are_waited_for_while_others_wait_for_ever() {
    let mut server = Unplugged::new(&[]);
    let host = host(&mut server);
    // Five addresses, each with more than one may have: together more than may wait for a host.
    for n in 0..5 * (limits::WAITING_PER_CLIENT as u32 + 10) {
        asks(&mut server, peer(100 + n % 5, 7000), true);
    }
    let clients: Vec<_> = (0..20).map(|n| peer(1000 + n, 7000)).collect();
    let conns: Vec<_> = clients.iter().map(|client| asks(&mut server, *client, true)).collect();
    for n in 0..100 {
        asks(&mut server, peer(100 + n % 5, 7000), true);
    }
    server.pass(Duration::from_secs(2));
    told(&mut server, host);
    for (client, conn) in clients.iter().zip(conns) {
        assert_eq!(server.heard(conn).len(), 0, "{client} waits");
        server.datagram(*client, &wire::udp_connect(Protocol::Modern));
        assert_eq!(server.heard(conn).len(), 1, "{client} is answered");
    }
    server.pass(Duration::from_secs(3));
    assert_eq!(told(&mut server, host), clients);
}

#[test]
fn late_packets_are_waited_for_while_one_source_asks_from_all_its_networks() {
    let mut server = Unplugged::new(&[]);
    let at = |source: u16, network: u16| {
        SocketAddr::from((Ipv6Addr::new(0x2001, source, 7, network, 0, 0, 0, 1), 7000))
    };
    let ask = |server: &mut Unplugged, client| {
        server.open_and_send(client, &wire::connect(Protocol::Modern, at(9, 0).ip()))
    };
    let request = wire::register(Protocol::Modern, wire::CLIENT_VERSION, &Default::default());
    server.datagram(at(9, 0), &wire::udp_register(Protocol::Modern));
    let host = server.open_and_send(at(9, 0), &request);
    let honest = ask(&mut server, at(1, 0));
    (0..600).for_each(|network| _ = ask(&mut server, at(0, network)));
    server.pass(Duration::from_secs(2));
    assert_eq!(server.heard(honest).len(), 0, "it waits");
    server.datagram(at(1, 0), &wire::udp_connect(Protocol::Modern));
    assert_eq!(server.heard(honest).len(), 1, "it is answered");
    assert_eq!(told(&mut server, host), [at(1, 0)]);
}
