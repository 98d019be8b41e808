//! Datagrams that somebody sends from another peer's address: they cannot take anything from the
//! one whose address it is.
#![expect(clippy::expect_used, reason = "a helper that fails is a test that fails")]

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use compat_tests::gmnet::wire::{self, Protocol};
use compat_tests::gmnet::{Client, ClientConfig, Host, HostConfig};
use compat_tests::master::{Master, loopback};
use compat_tests::raw;
use compat_tests::unplugged::Unplugged;
use punchd::limits;

const WAIT: Duration = Duration::from_secs(10);

fn host(master: &Master) -> Host {
    let config = HostConfig::new(master.addr()).on(loopback());
    Host::registered(config, WAIT).expect("registering")
}

/// Where somebody is told that the host is.
fn told_place(master: &Master, host: &Host) -> Option<SocketAddr> {
    let config = ClientConfig::new(master.addr(), host.local().ip()).on(loopback());
    Client::look_up(config).expect("an answer")
}

#[test]
fn forged_registrations_move_nobody() {
    let master = Master::start(&[]);
    let mut host = host(&master);
    let forger = raw::udp(host.local().ip());
    for packet in [Protocol::Modern, Protocol::Older].map(wire::udp_register) {
        for _ in 0..100 {
            forger.send_to(&packet, master.addr()).expect("sending");
        }
        assert_eq!(told_place(&master, &host), Some(host.local()));
    }
    // Nor does it get what the host is told.
    assert!(host.run_until(WAIT, |host| host.told().len() == 2).expect("hosting"));
}

#[test]
fn forged_connects_keep_nobody_from_being_introduced() {
    let master = Master::start(&[]);
    let mut host = host(&master);
    for _ in 0..3 {
        let ip = loopback();
        // More than a host can be told of for one client.
        for forger in (0..100).map(|_| raw::udp(ip)) {
            forger.send_to(&wire::udp_connect(Protocol::Modern), master.addr()).expect("sending");
        }
        let config = ClientConfig::new(master.addr(), host.local().ip()).on(ip);
        let client = Client::start(config).expect("asking");
        let is_told = |host: &Host| host.told().iter().any(|told| told.client == client.local());
        assert!(host.run_until(WAIT, is_told).expect("hosting"));
    }
}

/// A knock, as hosts send it.
const KNOCK_PACKET: [u8; 13] = *b"\xde\xc0\xad\xde\x0c\0\0\0\x01\0\0\0\xfd";

/// Every host of a game has the same port, so a forger knows it before the host is there. Two STUN
/// requests say that its NAT counts; what it knocks says that it does not.
#[test]
fn a_nat_that_is_forged_before_a_host_registers_moves_nobody() {
    let master = Master::start(&["--alt-port", "0"]);
    let alternate = SocketAddr::new(master.addr().ip(), master.alternate_port().expect("STUN"));
    let ip = loopback();
    let request = [&b"\x00\x01\x00\x00\x21\x12\xA4\x42"[..], &[7; 12]].concat();
    for (port, to) in [(20_000, master.addr()), (20_001, alternate)] {
        let forger = std::net::UdpSocket::bind((ip, port)).expect("a port of an address of ours");
        forger.send_to(&request, to).expect("sending");
        forger.recv_from(&mut [0; 100]).expect("the server has it");
        if to == alternate {
            // As if it were the host's answer to a question that was not asked yet.
            forger.send_to(&KNOCK_PACKET, to).expect("sending");
        }
    }
    let config = HostConfig { port: 20_000, ..HostConfig::new(master.addr()).on(ip) };
    let mut host = Host::registered(config, WAIT).expect("registering");
    assert_eq!(told_place(&master, &host), Some(host.local()), "at once");
    let is_asked = |host: &Host| host.told().iter().any(|told| told.client == alternate);
    assert!(host.run_until(WAIT, is_asked).expect("hosting"), "it knocks there from now on");
    for _ in 0..5 {
        host.run_until(Duration::from_millis(50), |_| false).expect("hosting");
        assert_eq!(told_place(&master, &host), Some(host.local()));
    }
}

const HOST: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7)), 5000);
const CLIENT: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(198, 51, 100, 9)), 6000);

/// The port that a client is told.
fn told_port(server: &mut Unplugged) -> u16 {
    server.datagram(CLIENT, &wire::udp_connect(Protocol::Modern));
    let client = server.open_and_send(CLIENT, &wire::connect(Protocol::Modern, HOST.ip()));
    let heard = server.heard(client);
    server.end(client);
    wire::introduction(&heard[0]).expect("valid").endpoint.port()
}

fn forge(server: &mut Unplugged) {
    let forged = SocketAddr::new(HOST.ip(), 666);
    server.datagram(forged, &wire::udp_register(Protocol::Modern));
}

#[test]
fn a_host_is_where_its_own_packets_come_from_for_hours() {
    let register =
        wire::register(Protocol::Modern, wire::CLIENT_VERSION, &["x"; 8].map(String::from));
    let mut server = Unplugged::new(&[]);
    server.datagram(HOST, &wire::udp_register(Protocol::Modern));
    let control = server.open_and_send(HOST, &register);
    forge(&mut server);
    assert_eq!(told_port(&mut server), HOST.port());
    server.pass(Duration::from_secs(5 * 3600));
    forge(&mut server);
    assert_eq!(told_port(&mut server), HOST.port(), "hours later");
    // New data on the same connection, announced by the host's own packet: that proves the port.
    server.pass(limits::REG_WINDOW * 2);
    server.datagram(HOST, &wire::udp_register(Protocol::Modern));
    server.send(control, &register);
    forge(&mut server);
    assert_eq!(told_port(&mut server), HOST.port(), "behind a fresh registration");
}

#[test]
fn a_host_that_moves_says_so_on_both_ways() {
    let register =
        wire::register(Protocol::Modern, wire::CLIENT_VERSION, &["x"; 8].map(String::from));
    let moved = SocketAddr::new(HOST.ip(), 5001);
    for packet_first in [true, false] {
        let mut server = Unplugged::new(&[]);
        server.datagram(HOST, &wire::udp_register(Protocol::Modern));
        let control = server.open_and_send(HOST, &register);
        server.pass(Duration::from_secs(3600));
        if packet_first {
            server.datagram(moved, &wire::udp_register(Protocol::Modern));
            server.pass(limits::REG_WINDOW - Duration::from_secs(1));
            server.send(control, &register);
        } else {
            server.send(control, &register);
            server.pass(limits::REG_WINDOW - Duration::from_secs(1));
            server.datagram(moved, &wire::udp_register(Protocol::Modern));
        }
        assert_eq!(told_port(&mut server), moved.port(), "packet first: {packet_first}");
        server.pass(limits::REG_WINDOW);
        forge(&mut server);
        assert_eq!(told_port(&mut server), moved.port());
    }
}

/// A host registers and leaves after a while, having shown its port again if its data is about to
/// change; so many milliseconds later a game registers there.
fn come_back(is_announced: bool, pause: u64) -> Unplugged {
    let register =
        wire::register(Protocol::Modern, wire::CLIENT_VERSION, &["x"; 8].map(String::from));
    let mut server = Unplugged::new(&[]);
    server.datagram(HOST, &wire::udp_register(Protocol::Modern));
    let control = server.open_and_send(HOST, &register);
    server.pass(Duration::from_millis(300));
    if is_announced {
        server.datagram(HOST, &wire::udp_register(Protocol::Modern));
        server.pass(Duration::from_millis(20));
    }
    server.end(control);
    server.pass(Duration::from_millis(pause));
    server.open_and_send(HOST, &register);
    server
}

#[test]
fn a_game_begun_anew_gets_its_own_port_though_its_packet_is_late() {
    for late in [1, 150, 3000] {
        let mut server = come_back(false, 2000);
        server.pass(Duration::from_millis(late));
        let begun_anew = SocketAddr::new(HOST.ip(), 5001);
        server.datagram(begun_anew, &wire::udp_register(Protocol::Modern));
        assert_eq!(told_port(&mut server), begun_anew.port(), "{late} ms");
        forge(&mut server);
        assert_eq!(told_port(&mut server), begun_anew.port(), "{late} ms, and then for good");
    }
}

#[test]
fn a_host_that_changes_its_data_by_a_new_connection_is_moved_by_nothing_forged() {
    for is_announced in [true, false] {
        let mut server = come_back(is_announced, 50);
        server.pass(Duration::from_millis(20));
        forge(&mut server);
        assert_eq!(told_port(&mut server), HOST.port(), "its own packet: {is_announced}");
    }
}

#[test]
fn a_host_that_changes_its_data_is_not_taken_for_its_neighbour_though_its_packet_is_lost() {
    let register =
        wire::register(Protocol::Modern, wire::CLIENT_VERSION, &["x"; 8].map(String::from));
    for forged_before in [8000, 10, 1] {
        let mut server = Unplugged::new(&[]);
        let neighbour = SocketAddr::new(HOST.ip(), 5002);
        let [control, _] = [HOST, neighbour].map(|host| {
            server.datagram(host, &wire::udp_register(Protocol::Modern));
            let control = server.open_and_send(host, &register);
            server.pass(Duration::from_secs(3));
            control
        });
        server.datagram(neighbour, &wire::udp_register(Protocol::Modern));
        server.pass(Duration::from_millis(forged_before));
        server.end(control);
        server.pass(Duration::from_millis(20));
        server.open_and_send(HOST, &register);
        assert_eq!(told_port(&mut server), HOST.port(), "{forged_before} ms");
    }
}

#[test]
fn new_data_on_the_same_connection_move_no_host_to_a_port_that_was_forged_before() {
    let register =
        wire::register(Protocol::Modern, wire::CLIENT_VERSION, &["x"; 8].map(String::from));
    let mut server = Unplugged::new(&[]);
    server.datagram(HOST, &wire::udp_register(Protocol::Modern));
    let control = server.open_and_send(HOST, &register);
    server.pass(Duration::from_secs(2));
    forge(&mut server);
    server.pass(Duration::from_secs(3));
    server.datagram(HOST, &wire::udp_register(Protocol::Modern));
    server.send(control, &register);
    assert_eq!(told_port(&mut server), HOST.port());
}
