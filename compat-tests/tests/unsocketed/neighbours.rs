//! What the simulation found. Several games behind one address come in all orders.

use compat_tests::sim::wire;
use punchd::dialect::Dialect as _;

use crate::story::{CLIENT, HOST, NOT_FOUND, Story, at};

#[test]
fn a_port_that_is_too_old_to_be_told_does_not_hide_a_fresh_one() {
    let mut story = Story::new();
    let host = story.host(HOST, 4000, "Pong", "Ann");
    story.udp(CLIENT, 5001, "connect");
    story.wait(20_000);
    story.host(CLIENT, 4001, "Pong", "Bob");
    story.wait(20_000);
    let client = story.open(CLIENT);
    story.wait(1);
    story.udp(CLIENT, 5002, "connect");
    story.send(client, &wire::connect(HOST));
    story.tells(client, at(HOST, 4000));
    story.tells(host, at(CLIENT, 5002));
}

#[test]
fn a_late_packet_of_one_host_is_not_taken_back_while_the_other_has_its_own() {
    let mut story = Story::new();
    let one = story.host_without_udp(HOST, "Pong", "Ann");
    story.udp(HOST, 4001, "reg");
    story.wait(4000);
    let two = story.open(HOST);
    story.wait(50);
    story.udp(HOST, 4002, "reg");
    story.reg2(two, "Snake", "Bob");
    let client = story.join(CLIENT, 5000, HOST);
    story.tells(client, at(HOST, 4002));
    story.tells(two, at(CLIENT, 5000));
    story.fin(two);
    let client = story.join(CLIENT, 5001, HOST);
    story.tells(client, at(HOST, 4001));
    story.tells(one, at(CLIENT, 5001));
}

#[test]
fn a_host_that_commits_data_comes_back_to_its_own_port() {
    let mut story = Story::new();
    // Somebody's registration came to nothing; its packet is still remembered.
    story.udp(HOST, 4009, "reg");
    story.wait(100);
    let old = story.host(HOST, 4001, "Pong", "Ann");
    story.wait(3000);
    story.udp(HOST, 4001, "reg");
    story.fin(old);
    story.wait(20);
    let new = story.host_without_udp(HOST, "Pong", "Ann, 2 players");
    let client = story.join(CLIENT, 5000, HOST);
    story.tells(client, at(HOST, 4001));
    story.tells(new, at(CLIENT, 5000));
}

#[test]
fn a_host_that_commits_data_takes_nothing_back_from_a_neighbour() {
    let mut story = Story::new();
    let old = story.host(HOST, 4001, "Pong", "Ann");
    story.wait(2000);
    let other = story.host_without_udp(HOST, "Snake", "Bob");
    story.udp(HOST, 4002, "reg");
    story.wait(2000);
    let new = story.open(HOST);
    story.wait(10);
    story.udp(HOST, 4001, "reg");
    story.fin(old);
    story.reg2(new, "Pong", "Ann, 2 players");
    let client = story.join(CLIENT, 5000, HOST);
    story.tells(client, at(HOST, 4001));
    story.tells(new, at(CLIENT, 5000));
    story.fin(new);
    let client = story.join(CLIENT, 5001, HOST);
    story.tells(client, at(HOST, 4002));
    story.tells(other, at(CLIENT, 5001));
}

#[test]
fn who_registers_next_does_not_prolong_the_shadow_of_who_did_before() {
    let mut story = Story::new();
    story.host(HOST, 4001, "Pong", "Ann");
    story.host(HOST, 4002, "Pong", "Bob");
    story.wait(500);
    story.host(HOST, 4003, "Snake", "Cid");
    assert_eq!(story.lobby(), ["Bob", "Cid"]);
    story.wait(500);
    assert_eq!(story.lobby(), ["Ann", "Bob", "Cid"]);
}

#[test]
fn the_port_of_a_host_is_not_given_to_another_when_a_third_leaves() {
    let mut story = Story::new();
    story.host(HOST, 4001, "Pong", "Ann");
    story.wait(20_000);
    let guest = story.host_without_udp(HOST, "Pong", "Ann's shadow");
    story.fin(guest);
    story.host_without_udp(HOST, "Snake", "Cid");
    assert_eq!(story.lobby(), ["Ann", "Cid"]);
}

#[test]
fn a_host_that_registers_twice_before_its_packet_comes_gets_its_own_port() {
    let mut story = Story::new();
    let one = story.host(HOST, 4001, "Pong", "Ann");
    story.wait(1000);
    let two = story.host_without_udp(HOST, "Pong", "Bob");
    story.reg2(two, "Pong", "Bob, 2 players");
    story.udp(HOST, 4002, "reg");
    story.wait(1000);
    assert_eq!(story.lobby(), ["Ann", "Bob, 2 players"]);
    let client = story.join(CLIENT, 5000, HOST);
    story.tells(client, at(HOST, 4002));
    story.tells(two, at(CLIENT, 5000));
    story.fin(two);
    let client = story.join(CLIENT, 5001, HOST);
    story.tells(client, at(HOST, 4001));
    story.tells(one, at(CLIENT, 5001));
}

#[test]
fn a_host_that_can_be_reached_is_meant_before_one_that_cannot() {
    let mut story = Story::new();
    let one = story.host(HOST, 4001, "Pong", "Ann");
    story.wait(20_000);
    story.host_without_udp(HOST, "Snake", "Bob");
    let client = story.join(CLIENT, 5000, HOST);
    story.tells(client, at(HOST, 4001));
    story.tells(one, at(CLIENT, 5000));
}

#[test]
fn all_requests_of_a_client_are_answered_when_the_server_stops() {
    let mut story = Story::new();
    story.host(HOST, 4000, "Pong", "Ann");
    let client = story.open(CLIENT);
    story.send(client, &[wire::connect(HOST), wire::connect(HOST)].concat());
    story.tells_nobody();
    story.shutdown();
    story.tells(client, at(HOST, 4000));
    story.tells(client, at(HOST, 4000));
}

#[test]
fn who_hangs_up_while_registering_is_no_host() {
    let mut story = Story::new();
    story.udp(HOST, 4000, "reg");
    let host = story.open(HOST);
    let client = story.join(CLIENT, 5000, HOST);
    story.send(host, b"reg");
    story.fin(host);
    assert_eq!(story.closed, [host]);
    story.tells_nobody();
    story.wait(2500);
    story.tells(client, NOT_FOUND);
}

#[test]
fn a_host_whose_tentative_port_is_taken_back_has_the_port_it_had_before() {
    let mut story = Story::new();
    let old = story.host(HOST, 4001, "Pong", "Ann");
    story.wait(20_000);
    // Ann comes back, and her packet is late; her old connection died without a word.
    let ann = story.host_without_udp(HOST, "Pong", "Ann, 2 players");
    // Bob shows his port; who is it but Ann? Then he registers.
    story.wait(500);
    story.udp(HOST, 4002, "reg");
    let bob = story.host_without_udp(HOST, "Snake", "Bob");
    story.lost(old);
    let client = story.join(CLIENT, 5000, &format!("{HOST}:4001"));
    story.tells(client, at(HOST, 4001));
    story.tells(ann, at(CLIENT, 5000));
    let client = story.join("203.0.113.3", 5001, HOST);
    story.tells(client, at(HOST, 4002));
    story.tells(bob, at("203.0.113.3", 5001));
}

#[test]
fn a_packet_from_the_port_of_a_dead_connection_is_for_the_newer_one() {
    for is_first in [true, false] {
        let mut story = Story::new();
        story.host(HOST, 4001, "Pong", "Ann");
        story.wait(20_000);
        // Nobody knows that the old connection is dead; Ann plays another game now.
        if is_first {
            story.udp(HOST, 4001, "reg");
        }
        let new = story.host_without_udp(HOST, "Snake", "Ann");
        if !is_first {
            story.wait(300);
            story.udp(HOST, 4001, "reg");
        }
        assert_eq!(story.lobby(), ["Ann"], "it is one game, with one port");
        let client = story.join(CLIENT, 5000, HOST);
        story.tells(client, at(HOST, 4001));
        story.tells(new, at(CLIENT, 5000));
    }
}

#[test]
fn a_host_keeps_its_port_from_a_neighbour_that_lacks_one() {
    let mut story = Story::new();
    let ann = story.host(HOST, 4001, "Pong", "Ann");
    // A copy that the network has made, behind Bob's registration, is no sign of anything.
    story.wait(100);
    let bob = story.host_without_udp(HOST, "Snake", "Bob");
    story.udp(HOST, 4001, "reg");
    assert_eq!(story.lobby(), ["Ann", "Bob"]);
    // Ann registers anew on the connection that she has, packet first.
    story.wait(5000);
    story.udp(HOST, 4001, "reg");
    story.reg2(ann, "Pong", "Ann, 2 players");
    assert_eq!(story.lobby(), ["Ann, 2 players", "Bob"]);
    story.udp(HOST, 4002, "reg");
    let client = story.join(CLIENT, 5000, HOST);
    story.tells(client, at(HOST, 4002));
    story.tells(bob, at(CLIENT, 5000));
    story.fin(bob);
    let client = story.join(CLIENT, 5001, HOST);
    story.tells(client, at(HOST, 4001));
    story.tells(ann, at(CLIENT, 5001));
}

#[test]
fn a_packet_that_the_connection_has_overtaken_belongs_to_it() {
    let mut story = Story::new();
    let host = story.host(HOST, 4001, "Pong", "Ann");
    // Of somebody who went away without asking.
    story.udp(CLIENT, 5000, "connect");
    story.udp(CLIENT, 4009, "reg");
    story.wait(5000);
    let client = story.open(CLIENT);
    story.wait(30);
    story.udp(CLIENT, 5001, "connect");
    story.wait(30);
    // And of the next, who is nearly as fast.
    story.udp(CLIENT, 5002, "connect");
    story.send(client, &wire::connect(HOST));
    story.tells(client, at(HOST, 4001));
    story.tells(host, at(CLIENT, 5001));
    // Nobody can be sure, so the host knocks at both.
    story.wait(50);
    story.tells(host, at(CLIENT, 5002));
    let late = story.open(CLIENT);
    story.wait(30);
    story.udp(CLIENT, 4002, "reg");
    story.wait(30);
    story.reg2(late, "Snake", "Bob");
    let client = story.join("203.0.113.3", 5003, CLIENT);
    story.tells(client, at(CLIENT, 4002));
}

#[test]
fn who_sends_from_all_addresses_of_a_network_keeps_nobody_waiting() {
    let (host, busy, other) = ("2001:db8:1::1", "2001:db8:2::1", "2001:db8:3::1");
    let mut story = Story::new();
    story.host(host, 4000, "Pong", "Ann");
    (0..5).for_each(|_| _ = story.join_without_udp(busy, host));
    for n in 0..20_000 {
        story.udp(&format!("2001:db8:2::2:{n:x}"), 5000, "connect");
    }
    let clients = [0; 5].map(|_| story.join_without_udp(other, host));
    story.udp(other, 5000, "connect");
    for _ in 0..2 {
        story.act(|gmnet, cx| gmnet.on_wakeup(cx));
    }
    assert!(story.told.iter().any(|(conn, _)| clients.contains(conn)));
}
