//! Where the server listens, and in which form it tells addresses.
#![expect(clippy::expect_used, reason = "a helper that fails fails its test")]

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use compat_tests::gmnet::wire;
use compat_tests::gmnet::{Client, ClientConfig, Control, Host, HostConfig, Lobby, Query};
use compat_tests::master::{Master, loopback};
use compat_tests::skipped;

const WAIT: Duration = Duration::from_secs(10);
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// The server at another of its addresses.
fn at(master: &Master, ip: impl Into<IpAddr>) -> SocketAddr {
    SocketAddr::new(ip.into(), master.addr().port())
}

/// Registers a host there and looks it up, which takes TCP and UDP.
fn works_at(master: SocketAddr) {
    let bind = if master.is_ipv6() { V6 } else { loopback() };
    let host = Host::registered(HostConfig::new(master).on(bind), WAIT).expect("registering");
    let client = ClientConfig::new(master, bind).on(bind);
    assert_eq!(Client::look_up(client).expect("an answer"), Some(host.local()), "at {master}");
}

fn assert_refused(addr: SocketAddr) {
    let error = TcpStream::connect(addr).expect_err("nobody listens there");
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{addr}");
    // The same by UDP: the port can be had.
    UdpSocket::bind(addr).expect("the UDP port is free");
}

/// Says why a test cannot be done, if so.
fn lacks_ipv6() -> bool {
    let lacks = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_err();
    if lacks {
        skipped::note("this machine has no IPv6");
    }
    lacks
}

#[test]
fn it_listens_on_the_address_given_and_no_other() {
    let master = Master::start(&["--bind", "127.0.0.2"]);
    works_at(at(&master, [127, 0, 0, 2]));
    assert_refused(at(&master, [127, 0, 0, 1]));
}

#[test]
fn it_listens_on_several_addresses_by_one_port() {
    let master = Master::start(&["--bind", "127.0.0.5", "--bind", "127.0.0.6"]);
    works_at(at(&master, [127, 0, 0, 5]));
    works_at(at(&master, [127, 0, 0, 6]));
    assert_refused(at(&master, [127, 0, 0, 1]));
    // It is one server.
    let config = HostConfig::new(at(&master, [127, 0, 0, 5])).on(loopback());
    let host = Host::registered(config, WAIT).expect("registering");
    let client = ClientConfig::new(at(&master, [127, 0, 0, 6]), host.local().ip()).on(loopback());
    assert_eq!(Client::look_up(client).expect("an answer"), Some(host.local()));
}

#[test]
fn it_listens_on_addresses_of_both_families() {
    if lacks_ipv6() {
        return;
    }
    let master = Master::start(&["--bind", "127.0.0.7", "--bind", "::1"]);
    works_at(at(&master, [127, 0, 0, 7]));
    works_at(at(&master, V6));
    assert_refused(at(&master, Ipv4Addr::LOCALHOST));

    let master = Master::start(&["--bind", "0.0.0.0", "--bind", "::"]);
    works_at(at(&master, Ipv4Addr::LOCALHOST));
    works_at(at(&master, V6));
}

#[test]
fn an_address_given_twice_is_one() {
    let master = Master::start(&["--bind", "127.0.0.8,127.0.0.8"]);
    works_at(at(&master, [127, 0, 0, 8]));
}

#[test]
fn ipv6_alone_leaves_ipv4_alone() {
    if lacks_ipv6() {
        return;
    }
    let master = Master::start(&["--bind", "::1"]);
    works_at(at(&master, V6));
    assert_refused(at(&master, Ipv4Addr::LOCALHOST));
}

#[test]
fn ipv4_peers_of_a_dual_stack_server_are_told_in_ipv4_form() {
    let master = Master::start(&[]);
    if lacks_ipv6() {
        return;
    }
    let config = HostConfig::new(master.addr()).on(loopback()).with_data(&["v4"]);
    let mut host = Host::registered(config, WAIT).expect("registering");
    let ip = host.local().ip();

    // Told byte for byte to a client that has IPv4 as well; one that has not could not reach it.
    let introduction = format!("\u{ff}{ip}\0{}\0", host.local().port());
    let introduction: Vec<u8> = introduction.chars().map(|c| c as u8).collect();
    for (via, from, expected) in
        [(master.addr(), loopback(), introduction), (at(&master, V6), V6, vec![wire::NOT_FOUND])]
    {
        let udp = UdpSocket::bind((from, 0)).expect("a socket");
        udp.send_to(&wire::udp_connect(wire::Protocol::Modern), via).expect("sending");
        let control = Control::open(via, Some(from)).expect("connecting");
        control.send(&wire::connect(wire::Protocol::Modern, ip)).expect("asking");
        let answer = control.answer(WAIT).expect("an answer").bytes;
        assert_eq!(answer, expected, "asked at {via}");
        if from.is_ipv4() {
            // The host is told of a client as it came.
            let told = |host: &Host| host.told().iter().any(|told| told.client.ip() == from);
            assert!(host.run_until(WAIT, told).expect("hosting"), "{:?}", host.told());
        }
    }
    assert_eq!(host.told().len(), 1, "{:?}", host.told());

    // The lobby, asked for by both families.
    for (via, from) in [(master.addr(), loopback()), (at(&master, V6), V6)] {
        let lobby = Lobby::fetch(via, Some(from), &Query::default(), WAIT).expect("a lobby");
        assert_eq!(lobby.of(ip).is_some(), from.is_ipv4(), "{}", lobby.json());
        assert!(!lobby.json().contains("ffff:"), "{}", lobby.json());
    }
    let log = master.stop();
    assert!(!log.contains("ffff:"), "{log}");
}

#[test]
fn a_host_that_came_by_ipv6_is_found_by_its_address() {
    if lacks_ipv6() {
        return;
    }
    let master = Master::start(&[]);
    let config = HostConfig::new(at(&master, V6)).on(V6).with_data(&["v6"]);
    let mut host = Host::registered(config, WAIT).expect("registering");
    let via = at(&master, V6);
    let lobby = Lobby::fetch(via, Some(V6), &Query::default(), WAIT).expect("a lobby");
    assert!(lobby.of(V6).is_some(), "as ::1: {}", lobby.json());

    // The short form and the long one of the old server.
    for text in ["::1", "0:0:0:0:0:0:0:1"] {
        let udp = UdpSocket::bind((V6, 0)).expect("a socket");
        udp.send_to(&wire::udp_connect(wire::Protocol::Modern), via).expect("sending");
        let control = Control::open(via, Some(V6)).expect("connecting");
        control.send(format!("connect\n{text}\n\0").as_bytes()).expect("asking");
        let answer = control.answer(WAIT).expect("an answer").bytes;
        let expected = format!("{text}\0{}\0", host.local().port());
        assert_eq!(answer, [&[wire::MASTER], expected.as_bytes()].concat(), "at {via}");
        let client = udp.local_addr().expect("its address");
        let told = |host: &Host| host.told().iter().any(|told| told.client == client);
        assert!(host.run_until(WAIT, told).expect("hosting"), "{:?}", host.told());
    }
}
