//! The port that is told is the one that was shown last before the last request, and never one
//! older than the one that is known.

use compat_tests::sim::wire;

use crate::story::{CLIENT, HOST, NOT_FOUND, Story, at};

/// Somebody else asks for the host, and both are told.
#[track_caller]
fn is_found(story: &mut Story, host: punchd::dialect::ConnId, addr: &str, port: u16) {
    story.wait(100);
    let client = story.join("203.0.113.99", 5000, addr);
    story.tells(client, at(HOST, port));
    story.tells(host, at("203.0.113.99", 5000));
    story.wait(100);
    story.fin(client);
}

#[test]
fn a_host_that_came_back_is_not_told_at_the_port_it_had_before() {
    let mut story = Story::new();
    let old = story.host(HOST, 4001, "Pong", "Ann");
    story.wait(2000);
    story.fin(old);
    story.wait(1000);
    let new = story.host(HOST, 4002, "Pong", "Ann");
    is_found(&mut story, new, HOST, 4002);
    for _ in 0..3 {
        story.wait(1500);
        story.udp(HOST, 4002, "reg");
        story.reg2(new, "Pong", "Ann");
        is_found(&mut story, new, HOST, 4002);
    }
}

#[test]
fn a_later_registration_takes_no_older_port() {
    let mut story = Story::new();
    story.udp(HOST, 4001, "reg");
    story.wait(20);
    let host = story.host(HOST, 4002, "Pong", "Ann");
    is_found(&mut story, host, HOST, 4002);
    story.reg2(host, "Pong", "Ann");
    is_found(&mut story, host, HOST, 4002);
    // But a newer one.
    story.udp(HOST, 4003, "reg");
    story.reg2(host, "Pong", "Ann");
    is_found(&mut story, host, HOST, 4003);
}

#[test]
fn a_host_that_has_shown_its_port_gets_no_other_that_is_shown() {
    let mut story = Story::new();
    let host = story.host_without_udp(HOST, "Pong", "Ann");
    story.wait(20_000);
    story.udp(HOST, 4001, "reg");
    story.reg2(host, "Pong", "Ann");
    story.udp(HOST, 4002, "reg");
    is_found(&mut story, host, HOST, 4001);
}

#[test]
fn a_host_that_changes_its_data_does_not_get_the_port_of_one_that_left() {
    let mut story = Story::new();
    let ann = story.host(HOST, 4001, "Pong", "Ann");
    story.wait(1000);
    let bob = story.host(HOST, 4002, "Snake", "Bob");
    story.wait(1000);
    story.udp(HOST, 4001, "reg");
    story.wait(1000);
    story.fin(ann);
    story.reg2(bob, "Snake", "Bob, 2 players");
    is_found(&mut story, bob, HOST, 4002);
}

#[test]
fn a_host_that_changes_its_data_takes_no_packet_that_a_neighbour_uses() {
    let mut story = Story::new();
    let ann = story.host(HOST, 4001, "Pong", "Ann");
    story.wait(2000);
    let bob = story.host_without_udp(HOST, "Snake", "Bob");
    story.udp(HOST, 4002, "reg");
    story.reg2(ann, "Pong", "Ann, 2 players");
    is_found(&mut story, ann, &format!("{HOST}:4001"), 4001);
    is_found(&mut story, bob, &format!("{HOST}:4002"), 4002);
}

#[test]
fn a_host_that_stops_and_hosts_again_is_told_at_its_new_port() {
    let mut story = Story::new();
    // A connection on which somebody has looked around before he hosts.
    let lobby = story.open(HOST);
    story.wait(300);
    let old = story.host(HOST, 4001, "Pong", "Ann");
    story.wait(200);
    story.fin(old);
    story.wait(200);
    let new = story.host(HOST, 4002, "Pong", "Ann");
    story.udp(HOST, 4002, "reg");
    is_found(&mut story, new, HOST, 4002);
    story.fin(new);
    story.wait(3000);
    story.udp(HOST, 4003, "reg");
    story.reg2(lobby, "Pong", "Ann");
    is_found(&mut story, lobby, HOST, 4003);
}

#[test]
fn a_client_that_asks_again_is_told_with_the_port_it_showed_last() {
    let mut story = Story::new();
    story.udp(CLIENT, 5001, "connect");
    let client = story.open(CLIENT);
    story.send(client, &wire::connect(HOST));
    story.tells(client, NOT_FOUND);
    story.wait(1000);
    let host = story.host(HOST, 4000, "Pong", "Ann");
    story.udp(CLIENT, 5002, "connect");
    for _ in 0..2 {
        story.wait(100);
        story.send(client, &wire::connect(HOST));
        story.tells(client, at(HOST, 4000));
        story.tells(host, at(CLIENT, 5002));
    }
}
