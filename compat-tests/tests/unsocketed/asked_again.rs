//! The port notice: when a host is asked again, and when not.

use std::net::{IpAddr, SocketAddr};

use compat_tests::sim::wire;
use punchd::dialect::gmnet::{Config, Gmnet};
use punchd::dialect::{Dialect as _, Via};

use super::asked::{FORGED, is_found_at, notice};
use super::story::{CLIENT, HOST, MASTER, Story, at, ip};

const INSIDE: &str = "192.168.7.7";

#[test]
fn the_port_of_a_host_is_fresh_for_25_seconds_after_its_packet_and_its_last_knock() {
    for is_fresh in [true, false] {
        let mut story = Story::asking();
        let host = story.host(HOST, 4000, "Pong", "Ann");
        story.wait(25_001);
        let client = story.join(CLIENT, 5000, HOST);
        story.tells(host, notice());
        story.knock(HOST, 4000, 1);
        story.tells(client, at(HOST, 4000));
        // It knocks for 15 s.
        story.wait(if is_fresh { 39_983 } else { 39_984 });
        story.told.clear();
        let client = story.join(CLIENT, 5001, HOST);
        if is_fresh {
            story.tells(client, at(HOST, 4000));
        } else {
            story.tells(host, notice());
        }
    }
}

#[test]
fn a_host_that_did_not_knock_is_asked_when_it_has_registered_again() {
    let mut story = Story::asking();
    let host = story.host(HOST, 4000, "Pong", "Ann");
    story.wait(60_000);
    story.join(CLIENT, 5000, HOST);
    story.tells(host, notice());
    story.wait(5000);
    story.told.clear();
    story.udp(HOST, 4000, "reg");
    story.reg2(host, "Pong", "Ann, 2 players");
    story.wait(26_000);
    story.tells_nobody();
    story.join(CLIENT, 5001, HOST);
    story.tells(host, notice());
}

#[test]
fn a_host_that_did_not_knock_is_asked_after_five_minutes() {
    for addr in [HOST, INSIDE] {
        let mut story = Story::asking();
        let host = story.host_without_udp(addr, "Pong", "Ann");
        story.wait(100);
        story.tells(host, notice());
        story.wait(300_000);
        story.join(CLIENT, 5000, addr);
        story.tells(host, notice());
    }
}

#[test]
fn a_host_is_asked_although_packets_come_from_its_port() {
    let mut story = Story::asking();
    let host = story.host(HOST, 4000, "Pong", "Ann");
    for _ in 0..3 {
        story.wait(20_000);
        // Whoever was told of it can forge these, and its NAT has forgotten the port.
        story.udp(HOST, 4000, "reg");
    }
    let client = story.join(CLIENT, 5000, HOST);
    story.tells(host, notice());
    story.knock(HOST, 7000, 20);
    story.tells(client, at(HOST, 7000));
    for _ in 0..3 {
        story.wait(20_000);
        story.udp(HOST, 7000, "reg");
        story.knock(HOST, 7000, 1);
    }
    story.told.clear();
    let client = story.join(CLIENT, 5000, HOST);
    story.tells(host, notice());
    story.knock(HOST, 7001, 20);
    story.tells(client, at(HOST, 7001));
}

#[test]
fn a_host_without_a_nat_is_asked_only_in_doubt() {
    let mut story = Story::asking();
    let host = story.host_without_udp(INSIDE, "Pong", "Ann");
    story.wait(100);
    story.tells(host, notice());
    story.knock(INSIDE, 4000, 20);
    story.wait(60_000);
    let client = story.join(CLIENT, 5000, INSIDE);
    story.tells(client, at(INSIDE, 4000));
}

#[test]
fn a_host_that_was_found_is_not_asked_because_it_changes_its_data_without_a_packet() {
    let mut story = Story::asking();
    story.wait(60_000);
    let host = story.host_without_udp(HOST, "Pong", "Ann");
    story.wait(100);
    story.tells(host, notice());
    story.knock(HOST, 4000, 20);
    story.wait(5000);
    story.reg2(host, "Pong", "Ann, 2 players");
    is_found_at(&mut story, host, 4000);
}

#[test]
fn a_packet_counts_for_registrations_within_ten_seconds() {
    let mut story = Story::asking();
    let host = story.host(HOST, 4000, "Pong", "Ann");
    story.wait(10_000);
    story.reg2(host, "Pong", "Ann, 2 players");
    story.tells_nobody();
    story.wait(1);
    story.reg2(host, "Pong", "Ann, 3 players");
    story.tells(host, notice());
    // A knock is no packet.
    story.knock(HOST, 4000, 1);
    story.wait(5000);
    story.reg2(host, "Pong", "Ann, 4 players");
    story.tells(host, notice());
}

#[test]
fn a_host_that_is_asked_for_a_client_is_not_asked_for_its_registration_as_well() {
    let mut story = Story::asking();
    let host = story.host_without_udp(HOST, "Pong", "Ann");
    story.wait(50);
    story.join(CLIENT, 5000, HOST);
    story.tells(host, notice());
    story.wait(2000);
    story.tells_nobody();
}

#[test]
fn a_server_that_stops_asks_nobody() {
    let mut story = Story::asking();
    let host = story.host(HOST, 4000, "Pong", "Ann");
    story.wait(60_000);
    story.shutdown();
    let client = story.join(CLIENT, 5000, HOST);
    story.tells(client, at(HOST, 4000));
    story.tells(host, at(CLIENT, 5000));
}

#[test]
fn who_asks_for_many_hosts_has_few_of_them_asked() {
    let mut story = Story::asking();
    let address = |n: usize| format!("198.18.0.{n}");
    for n in 1..=60 {
        story.host(&address(n), 4000, "Pong", "Ann");
    }
    story.wait(60_000);
    for n in 1..=59 {
        story.join(CLIENT, 5000, &address(n));
    }
    let asked = story.told.iter().filter(|(_, what)| *what == notice()).count();
    assert!((10..=23).contains(&asked), "{asked}");
    story.told.clear();
    story.join("203.0.113.77", 5000, &address(60));
    assert!(story.told.iter().any(|(_, what)| *what == notice()));
}

#[test]
fn who_finds_no_room_is_not_asked_later() {
    let mut story = Story::asking();
    for n in 0..300 {
        story.host_without_udp(&format!("198.18.{}.{}", n / 250, 1 + n % 250), "Pong", "Ann");
    }
    story.wait(60_000);
    assert_eq!(story.told.len(), 256);
}

#[test]
fn a_host_is_asked_by_the_way_that_it_uses() {
    let sockets: Vec<SocketAddr> =
        [6510, 6511].map(|port| SocketAddr::new(ip(MASTER), port)).into();
    let config = Config { sockets, ..Config::default() };
    let mut story = Story { gmnet: Gmnet::new(config), ..Story::new() };
    let send = |story: &mut Story, addr: IpAddr, port, socket, what: &[u8]| {
        let (via, peer) = (Via { socket, local: None }, SocketAddr::new(addr, port));
        let data = wire::datagram(what);
        story.act(|gmnet, cx| gmnet.on_datagram(cx, via, peer, &data));
    };
    let (host, other) = (ip(HOST), ip("203.0.113.9"));
    // One that nothing is known of is asked where others are.
    send(&mut story, other, 4000, 1, b"reg\n\0");
    let lost = story.host_without_udp("203.0.113.8", "Pong", "Bob");
    story.wait(100);
    story.tells(lost, at(MASTER, 6511));
    send(&mut story, host, 4000, 1, b"reg\n\0");
    let conn = story.host_without_udp(HOST, "Pong", "Ann");
    send(&mut story, other, 4000, 0, b"reg\n\0");
    send(&mut story, host, FORGED, 0, b"reg\n\0");
    story.reg2(conn, "Pong", "Ann");
    story.tells(conn, at(MASTER, 6510));
    send(&mut story, host, 4000, 1, b"\xfd");
    send(&mut story, other, 4000, 0, b"reg\n\0");
    story.fin(lost);
    story.wait(14_000);
    story.reg2(conn, "Pong", "Ann");
    story.tells(conn, at(MASTER, 6511));
}

#[test]
fn a_host_is_asked_only_at_an_address_that_it_can_reach() {
    const LOCAL: &str = "192.168.0.1";
    for (public, host, asked_at) in [
        (None, HOST, None),
        (None, INSIDE, Some(LOCAL)),
        (Some(MASTER), HOST, Some(MASTER)),
        (Some(MASTER), INSIDE, Some(LOCAL)),
    ] {
        let sockets = vec![SocketAddr::new(ip(LOCAL), 6510)];
        let config = Config {
            sockets,
            public_ips: public.map_or_else(Default::default, |at| ip(at).into()),
            ..Config::default()
        };
        let mut story = Story { gmnet: Gmnet::new(config), ..Story::new() };
        let conn = story.host_without_udp(host, "Pong", "Ann");
        story.wait(100);
        let told = asked_at.map(|addr| (conn, at(addr, 6510)));
        assert_eq!(story.told.pop_front(), told, "{public:?} {host}");
    }
}

#[test]
fn a_host_that_is_found_is_told_of_the_clients_that_it_missed() {
    let mut story = Story::asking();
    let host = story.host(HOST, 4000, "Pong", "Ann");
    story.join(CLIENT, 5000, HOST);
    story.join("203.0.113.3", 5000, HOST);
    story.told.clear();
    story.lost(host);
    // It comes back, and another's packet is nearer than its own.
    story.udp(HOST, 4000, "reg");
    story.wait(30);
    let host = story.host(HOST, FORGED, "Pong", "Ann, 2 players");
    story.tells(host, notice());
    story.knock(HOST, 4000, 25);
    story.tells(host, at("203.0.113.3", 5000));
}

/// Each asks for one place, so none has most; but none of them knocks.
#[test]
fn hosts_that_never_knock_keep_nobody_from_being_asked() {
    let mut story = Story::asking();
    for round in 0..5 {
        for n in 0..300 {
            story.host_without_udp(
                &format!("198.{}.{}.{round}", 51 + n / 200, n % 200),
                "Pong",
                "",
            );
        }
        story.wait(700);
        story.told.clear();
        let addr = format!("203.0.113.{}", 10 + round);
        let host = story.host_without_udp(&addr, "Pong", "Ann");
        story.wait(100);
        story.tells(host, notice());
        story.knock(&addr, 4000, 30);
        let client = story.join(CLIENT, 5000, &addr);
        story.tells(client, at(&addr, 4000));
        story.told.clear();
    }
}
