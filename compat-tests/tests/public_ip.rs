//! A server and a host on one machine or in one network: those outside are told the public
//! address. In a test everybody is on one machine, so the addresses are made up.
#![expect(clippy::expect_used, reason = "a helper that fails is a test that fails")]

use std::net::SocketAddr;
use std::time::Duration;

use compat_tests::gmnet::Query;
use compat_tests::gmnet::wire::{self, Protocol};
use compat_tests::unplugged::Unplugged;
use punchd::dialect::ConnId;

const PUBLIC: &str = "198.51.100.7";

fn addr(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn host(server: &mut Unplugged, at: SocketAddr) -> ConnId {
    server.datagram(at, &wire::udp_register(Protocol::Modern));
    let request = wire::register(Protocol::Modern, wire::CLIENT_VERSION, &Default::default());
    server.open_and_send(at, &request)
}

/// The addresses in the lobby that somebody sees.
fn listed(server: &mut Unplugged, viewer: SocketAddr) -> Vec<String> {
    let conn = server.open_and_send(viewer, &Query::default().request());
    let lobby = String::from_utf8(server.heard(conn).concat().split_off(1)).expect("JSON");
    let lobby: serde_json::Value = serde_json::from_str(&lobby).expect("JSON");
    let entries = lobby.as_array().expect("a list").iter();
    entries.map(|entry| entry["ip"].as_str().expect("an address").to_owned()).collect()
}

/// The endpoint that a client is told when it asks like this; none if there is no such host.
fn asks(server: &mut Unplugged, client: SocketAddr, host: &str) -> Option<SocketAddr> {
    server.datagram(client, &wire::udp_connect(Protocol::Modern));
    let conn = server.open_and_send(client, &wire::strings(["connect", host]));
    let answer = server.heard(conn).concat();
    (answer != [wire::NOT_FOUND]).then(|| wire::introduction(&answer).expect("valid").endpoint)
}

/// Whom a host was told of.
fn told(server: &mut Unplugged, host: ConnId) -> Vec<SocketAddr> {
    server.pass(Duration::from_secs(1));
    let heard = server.heard(host);
    heard.iter().map(|bytes| wire::introduction(bytes).expect("valid").endpoint).collect()
}

#[test]
fn those_outside_find_a_host_inside_by_the_public_address() {
    for inside in ["127.0.0.1:5000", "192.168.1.5:5000", "10.1.2.3:5000", "100.64.0.9:5000"] {
        let mut server = Unplugged::new(&["--public-ip", PUBLIC]);
        let outside = addr("203.0.113.9:6000");
        let host = host(&mut server, addr(inside));
        assert_eq!(listed(&mut server, outside), [PUBLIC]);
        let public = SocketAddr::new(addr("198.51.100.7:1").ip(), 5000);
        assert_eq!(asks(&mut server, outside, PUBLIC), Some(public));
        assert_eq!(told(&mut server, host), [outside]);
        assert_eq!(asks(&mut server, outside, "198.51.100.7:5000"), Some(public));
        assert_eq!(asks(&mut server, outside, "198.51.100.7:5001"), None);
    }
}

/// Whoever looks for a fault sees what was told, and not only where they are.
#[test]
fn the_journal_has_what_each_of_two_was_told() {
    let mut server = Unplugged::new(&["--public-ip", PUBLIC]);
    let (inside, outside) = (addr("192.168.1.5:5000"), addr("203.0.113.9:6000"));
    let host = host(&mut server, inside);
    let public = addr("198.51.100.7:5000");
    assert_eq!(asks(&mut server, outside, PUBLIC), Some(public));
    assert_eq!(told(&mut server, host), [outside]);
    server.pass(Duration::from_secs(20));
    let ended = server.journal().latest().next().expect("it has ended");
    assert_eq!((ended.attempt.client, ended.attempt.host), (outside, inside));
    assert_eq!(ended.attempt.told(), [public, outside]);
}

#[test]
fn those_inside_find_it_by_its_own_address() {
    let mut server = Unplugged::new(&["--public-ip", PUBLIC]);
    let (at, neighbour) = (addr("192.168.1.5:5000"), addr("192.168.1.6:6000"));
    let host = host(&mut server, at);
    assert_eq!(listed(&mut server, neighbour), ["192.168.1.5"]);
    assert_eq!(asks(&mut server, neighbour, "192.168.1.5"), Some(at));
    assert_eq!(told(&mut server, host), [neighbour]);
}

#[test]
fn a_host_outside_is_told_the_public_address_of_a_client_inside() {
    let mut server = Unplugged::new(&["--public-ip", PUBLIC]);
    let at = addr("203.0.113.9:5000");
    let host = host(&mut server, at);
    assert_eq!(asks(&mut server, addr("192.168.1.6:6000"), "203.0.113.9"), Some(at));
    assert_eq!(told(&mut server, host), [addr("198.51.100.7:6000")]);
}

#[test]
fn hosts_inside_that_share_the_public_address_are_told_apart() {
    let mut server = Unplugged::new(&["--public-ip", PUBLIC, "--lobby-ports"]);
    let outside = addr("203.0.113.9:6000");
    let one = host(&mut server, addr("192.168.1.5:5001"));
    let two = host(&mut server, addr("127.0.0.1:5002"));
    assert_eq!(listed(&mut server, outside), ["198.51.100.7:5001", "198.51.100.7:5002"]);
    for (host, port) in [(one, 5001), (two, 5002)] {
        let name = format!("{PUBLIC}:{port}");
        assert_eq!(asks(&mut server, outside, &name), Some(addr(&name)));
        assert_eq!(told(&mut server, host), [outside]);
    }
    server.end(two);
    assert_eq!(asks(&mut server, outside, PUBLIC), Some(addr("198.51.100.7:5001")));
}

#[test]
fn without_the_option_everybody_is_told_what_the_server_sees() {
    let mut server = Unplugged::new(&[]);
    let (at, outside) = (addr("192.168.1.5:5000"), addr("203.0.113.9:6000"));
    host(&mut server, at);
    assert_eq!(listed(&mut server, outside), ["192.168.1.5"]);
    assert_eq!(asks(&mut server, outside, PUBLIC), None);
}

const PUBLIC6: &str = "2001:db8:7::7";

/// A server that is known outside by an address of each family.
fn known_by_both() -> Unplugged {
    Unplugged::new(&["--public-ip", PUBLIC, "--public-ip", PUBLIC6])
}

/// Somebody inside, somebody outside, and by which endpoint that one knows the first.
fn pairs() -> [[SocketAddr; 3]; 3] {
    [
        ["192.168.1.5:5000", "203.0.113.9:6000", "198.51.100.7:5000"],
        ["127.0.0.1:5000", "203.0.113.9:6000", "198.51.100.7:5000"],
        ["[fd00::5]:5000", "[2001:db8:9::9]:6000", "[2001:db8:7::7]:5000"],
    ]
    .map(|three| three.map(addr))
}

/// What a peer was sent by datagrams since this was asked last, as text.
fn texts(server: &mut Unplugged, to: SocketAddr) -> Vec<String> {
    let sent = server.datagrams().into_iter().filter(|(at, _)| *at == to);
    sent.map(|(_, bytes)| String::from_utf8_lossy(&bytes).into_owned()).collect()
}

#[test]
fn an_address_of_each_family_is_told_for_its_own() {
    for [inside, outside, public] in pairs() {
        let mut server = known_by_both();
        let host = host(&mut server, inside);
        assert_eq!(listed(&mut server, outside), [public.ip().to_string()]);
        assert_eq!(asks(&mut server, outside, &public.ip().to_string()), Some(public));
        assert_eq!(told(&mut server, host), [outside]);
    }
}

#[test]
fn rooms_tell_those_outside_the_public_address() {
    for [inside, outside, public] in pairs() {
        for (host, client) in [(inside, outside), (outside, inside)] {
            let mut server = known_by_both();
            server.datagram(host, b"rh:Room");
            let hosting = texts(&mut server, host);
            let room = hosting.iter().find_map(|text| text.strip_prefix("rh:"));
            let room = room.unwrap_or_else(|| panic!("{hosting:?}")).to_owned();
            // Which pays for what it is told.
            server.datagram(host, b"ka");
            server.datagram(host, b"ka");
            texts(&mut server, host);
            server.datagram(client, format!("jr:{room}").as_bytes());
            let sent: Vec<(SocketAddr, String)> = server
                .datagrams()
                .into_iter()
                .map(|(to, bytes)| (to, String::from_utf8_lossy(&bytes).into_owned()))
                .collect();
            let other = |at: SocketAddr| if at == inside { public } else { at };
            for (to, whom) in [(client, other(host)), (host, other(client))] {
                let whom = whom.to_string();
                let is_told = |(at, text): &(SocketAddr, String)| {
                    *at == to && text.replace("%3A", ":").ends_with(&whom.replace(['[', ']'], ""))
                };
                assert!(sent.iter().any(is_told), "{to} is not told {whom}: {sent:?}");
            }
            assert!(!sent.iter().any(|(to, text)| *to == outside && text.contains("192.168")));
        }
    }
}
