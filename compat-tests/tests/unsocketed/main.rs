//! GMnet from registration to goodbye without a socket, by a clock that is told what time it is:
//! a story a test, each line something that happens.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod asked;
mod asked_again;
mod ended;
mod neighbours;
mod relayed;
mod stale;
mod story;
mod whose_knock;

use compat_tests::sim::wire;
use punchd::dialect::Dialect;
use story::{CLIENT, HOST, NOT_FOUND, Story, at};

#[test]
fn a_host_registers_a_client_joins_both_leave() {
    let mut story = Story::new();
    let host = story.host(HOST, 4000, "Pong", "Ann");
    assert_eq!(story.lobby(), ["Ann"]);
    let client = story.join(CLIENT, 5000, HOST);
    story.tells(client, at(HOST, 4000));
    story.tells(host, at(CLIENT, 5000));
    story.fin(client);
    story.fin(host);
    assert_eq!(story.closed, [client, host]);
    assert_eq!(story.lobby(), [""; 0]);
    story.wait(3_600_000);
    assert_eq!(story.gmnet.next_wakeup(), None, "nothing is left to do");
    story.tells_nobody();
}

#[test]
fn a_clients_udp_packet_is_late() {
    let mut story = Story::new();
    let host = story.host(HOST, 4000, "Pong", "Ann");
    let client = story.join_without_udp(CLIENT, HOST);
    story.wait(2000);
    story.tells_nobody();
    story.udp(CLIENT, 5000, "connect");
    story.tells(client, at(HOST, 4000));
    story.tells(host, at(CLIENT, 5000));
    story.wait(10_000);
    story.tells_nobody();
}

#[test]
fn a_clients_udp_packet_never_comes() {
    let mut story = Story::new();
    story.host(HOST, 4000, "Pong", "Ann");
    let client = story.join_without_udp(CLIENT, HOST);
    story.wait(2499);
    story.tells_nobody();
    story.wait(1);
    story.tells(client, at(HOST, 4000));
    story.wait(10_000);
    story.tells_nobody();
}

#[test]
fn a_hosts_udp_packet_is_late_or_never_comes() {
    let mut story = Story::new();
    let host = story.host_without_udp(HOST, "Pong", "Ann");
    let client = story.join(CLIENT, 5000, HOST);
    story.wait(2000);
    story.tells_nobody();
    story.udp(HOST, 4000, "reg");
    story.tells(client, at(HOST, 4000));
    story.tells(host, at(CLIENT, 5000));

    let mute = story.host_without_udp("203.0.113.9", "Pong", "Bob");
    let client = story.join("203.0.113.3", 5000, "203.0.113.9");
    story.wait(2500);
    story.tells(client, NOT_FOUND);
    story.tells(mute, at("203.0.113.3", 5000));
    story.tells_nobody();
}

#[test]
fn a_client_asks_while_the_host_commits_data() {
    let mut story = Story::new();
    let old = story.host(HOST, 4000, "Pong", "Ann");
    story.wait(60_000);
    story.fin(old);
    let client = story.join(CLIENT, 5000, HOST);
    story.tells_nobody();
    story.wait(30);
    let new = story.host(HOST, 4000, "Pong", "Ann, 2 players");
    story.tells(client, at(HOST, 4000));
    story.tells(new, at(CLIENT, 5000));
    assert_eq!(story.lobby(), ["Ann, 2 players"]);
}

#[test]
fn a_host_that_does_not_come_back_is_not_found() {
    let mut story = Story::new();
    let host = story.host(HOST, 4000, "Pong", "Ann");
    story.fin(host);
    let client = story.join(CLIENT, 5000, HOST);
    story.wait(499);
    story.tells_nobody();
    story.wait(1);
    story.tells(client, NOT_FOUND);
}

#[test]
fn two_clients_behind_one_address_each_have_their_port() {
    let mut story = Story::new();
    let host = story.host(HOST, 4000, "Pong", "Ann");
    story.udp(CLIENT, 5001, "connect");
    let one = story.open(CLIENT);
    story.wait(1);
    story.udp(CLIENT, 5002, "connect");
    let two = story.open(CLIENT);
    story.send(one, &wire::connect(HOST));
    story.send(two, &wire::connect(HOST));
    story.tells(one, at(HOST, 4000));
    story.tells(host, at(CLIENT, 5001));
    story.tells(two, at(HOST, 4000));
    story.wait(50);
    story.tells(host, at(CLIENT, 5002));
    story.send(one, &wire::connect(HOST));
    story.wait(2500);
    story.tells(one, at(HOST, 4000));
    story.tells(host, at(CLIENT, 5001));
}

#[test]
fn two_hosts_behind_one_address_are_both_listed_and_the_newest_is_meant() {
    let mut story = Story::new();
    let one = story.host(HOST, 4001, "Pong", "Ann");
    let two = story.host(HOST, 4002, "Pong", "Bob");
    assert_eq!(story.lobby(), ["Bob"], "it may be the same game that comes back");
    story.wait(1000);
    assert_eq!(story.lobby(), ["Ann", "Bob"]);
    let client = story.join(CLIENT, 5000, HOST);
    story.tells(client, at(HOST, 4002));
    story.tells(two, at(CLIENT, 5000));
    story.fin(two);
    let client = story.join(CLIENT, 5001, HOST);
    story.tells(client, at(HOST, 4001));
    story.tells(one, at(CLIENT, 5001));
}

#[test]
fn notifications_keep_their_distance() {
    let mut story = Story::new();
    let host = story.host(HOST, 4000, "Pong", "Ann");
    for n in 0..3 {
        let addr = format!("203.0.113.{}", 10 + n);
        let client = story.join(&addr, 5000, HOST);
        story.tells(client, at(HOST, 4000));
        if n == 0 {
            story.tells(host, at(&addr, 5000));
        }
    }
    story.wait(49);
    story.tells_nobody();
    story.wait(1);
    story.tells(host, at("203.0.113.11", 5000));
    story.wait(49);
    story.tells_nobody();
    story.wait(1);
    story.tells(host, at("203.0.113.12", 5000));
}

#[test]
fn an_old_connection_that_closes_late_takes_nothing_with_it() {
    let mut story = Story::new();
    let old = story.host(HOST, 4000, "Pong", "Ann");
    story.wait(30_000);
    let new = story.host(HOST, 4000, "Pong", "Ann");
    assert_eq!(story.lobby(), ["Ann"], "once");
    story.wait(30_000);
    story.lost(old);
    assert_eq!(story.lobby(), ["Ann"]);
    let client = story.join(CLIENT, 5000, HOST);
    story.tells(client, at(HOST, 4000));
    story.tells(new, at(CLIENT, 5000));
}

#[test]
fn a_udp_packet_never_hides_or_moves_a_host() {
    let mut story = Story::new();
    let host = story.host(HOST, 4000, "Pong", "Ann");
    story.wait(60_000);
    story.udp(HOST, 4000, "reg");
    story.udp(HOST, 6666, "reg");
    assert_eq!(story.lobby(), ["Ann"]);
    let client = story.join(CLIENT, 5000, HOST);
    story.tells(client, at(HOST, 4000));
    story.tells(host, at(CLIENT, 5000));
}

#[test]
fn port_zero_is_told_to_nobody() {
    let mut story = Story::new();
    let host = story.host(HOST, 0, "Pong", "Ann");
    let client = story.join(CLIENT, 0, HOST);
    story.wait(10_000);
    story.tells(client, NOT_FOUND);
    story.tells_nobody();
    story.fin(host);
    story.host(HOST, 4000, "Pong", "Ann");
    let client = story.join(CLIENT, 0, HOST);
    story.wait(10_000);
    story.tells(client, at(HOST, 4000));
    story.tells_nobody();
}

#[test]
fn half_a_command_is_waited_for_a_second() {
    let mut story = Story::new();
    let conn = story.open(CLIENT);
    story.send(conn, b"connect\n");
    story.wait(999);
    assert_eq!(story.closed, []);
    story.wait(1);
    assert_eq!(story.closed, [conn]);
    story.tells_nobody();
}

#[test]
fn who_will_send_no_more_is_answered_and_then_let_go() {
    let mut story = Story::new();
    story.host(HOST, 4000, "Pong", "Ann");
    let client = story.join_without_udp(CLIENT, HOST);
    story.fin(client);
    assert_eq!(story.closed, []);
    story.wait(2500);
    story.tells(client, at(HOST, 4000));
    assert_eq!(story.closed, [client]);
}

#[test]
fn who_waits_when_the_server_stops_is_answered_at_once() {
    let mut story = Story::new();
    let one = story.join_without_udp("203.0.113.3", HOST);
    story.tells(one, NOT_FOUND);
    story.host(HOST, 4000, "Pong", "Ann");
    let two = story.join_without_udp(CLIENT, HOST);
    story.tells_nobody();
    story.shutdown();
    story.tells(two, at(HOST, 4000));
    story.tells_nobody();
}
