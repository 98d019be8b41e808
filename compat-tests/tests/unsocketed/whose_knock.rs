//! The port notice where several knock: whose knock is whose, and which port a host goes back to.

use punchd::dialect::ConnId;

use super::asked::{FORGED, is_found_at, notice};
use super::story::{CLIENT, HOST, Story, at};

const OTHER: &str = "203.0.113.1:4002";

/// A host whose NAT has given it another port than the one that it had, 4000.
fn moved_to(port: u16) -> (Story, ConnId) {
    let mut story = Story::asking();
    let host = story.host(HOST, 4000, "Pong", "Ann");
    story.wait(60_000);
    let client = story.join(CLIENT, 5000, HOST);
    story.tells(host, notice());
    story.knock(HOST, port, 20);
    story.tells(client, at(HOST, port));
    story.tells(host, at(CLIENT, 5000));
    (story, host)
}

#[test]
fn a_neighbour_that_has_moved_is_not_taken_for_who_is_asked() {
    let mut story = Story::asking();
    let one = story.host(HOST, 4001, "Pong", "Ann");
    story.wait(20_000);
    let other = story.host(HOST, 4002, "Snake", "Bob");
    story.wait(26_000);
    story.join(CLIENT, 5000, &format!("{HOST}:4001"));
    story.tells(one, notice());
    // It began more than a second before the other is asked, and goes on.
    story.knock(HOST, 7001, 100);
    story.told.clear();
    story.join(CLIENT, 5001, OTHER);
    story.tells(other, notice());
    story.knock(HOST, 7001, 40);
    story.told.clear();
    let client = story.join(CLIENT, 5002, OTHER);
    story.tells(client, at(HOST, 4002));
}

#[test]
fn two_who_registered_at_the_same_moment_get_their_own_ports_back() {
    let mut story = Story::asking();
    // The packet of one, the connection of the other.
    story.udp(HOST, 4001, "reg");
    let other = story.host_without_udp(HOST, "Snake", "Bob");
    story.wait(1);
    story.udp(HOST, 4002, "reg");
    let one = story.host_without_udp(HOST, "Pong", "Ann");
    story.tells(one, notice());
    story.knock(HOST, 4001, 60);
    story.tells(other, notice());
    for _ in 0..30 {
        story.knock(HOST, 4001, 1);
        story.knock(HOST, 4002, 1);
    }
    for (host, port) in [(one, 4001), (other, 4002)] {
        let client = story.join(CLIENT, 5000, &format!("{HOST}:{port}"));
        story.tells(client, at(HOST, port));
        story.wait(50);
        story.tells(host, at(CLIENT, 5000));
        story.fin(client);
    }
    story.tells_nobody();
}

#[test]
fn a_neighbour_that_goes_on_knocking_is_not_taken_for_who_is_asked() {
    for moves in [false, true] {
        let mut story = Story::asking();
        let one = story.host(HOST, 4001, "Pong", "Ann");
        story.wait(20_000);
        let other = story.host(HOST, 4002, "Snake", "Bob");
        story.wait(26_000);
        story.join(CLIENT, 5000, &format!("{HOST}:4001"));
        story.tells(one, notice());
        story.knock(HOST, if moves { FORGED } else { 4001 }, 20);
        // It stands still while the other is asked.
        story.wait(2000);
        story.told.clear();
        story.join(CLIENT, 5001, OTHER);
        story.tells(other, notice());
        story.knock(HOST, 4001, 40);
        story.told.clear();
        let client = story.join(CLIENT, 5002, OTHER);
        story.tells(client, at(HOST, 4002));
    }
}

#[test]
fn what_a_neighbour_has_that_may_be_a_hosts_own_does_not_keep_it_from_that() {
    let mut story = Story::asking();
    let one = story.host(HOST, 4001, "Pong", "Ann");
    story.wait(20_000);
    // Its packet is lost, so it may be the first that has come back.
    let other = story.host_without_udp(HOST, "Pong", "Bob");
    story.tells(other, notice());
    story.wait(20_000);
    story.udp(HOST, FORGED, "reg");
    story.reg2(one, "Pong", "Ann, 2 players");
    story.tells(one, notice());
    story.knock(HOST, 4001, 1);
    is_found_at(&mut story, one, 4001);
}

#[test]
fn who_is_asked_after_a_neighbour_goes_back_to_its_port_as_well() {
    let mut story = Story::asking();
    let one = story.host(HOST, 4001, "Pong", "Ann");
    story.wait(21);
    let other = story.host(HOST, 4002, "Snake", "Bob");
    story.wait(26_000);
    story.join(CLIENT, 5000, &format!("{HOST}:4001"));
    story.tells(one, notice());
    story.udp(HOST, FORGED, "reg");
    story.reg2(other, "Snake", "Bob, 2 players");
    story.wait(599);
    story.told.clear();
    story.wait(101);
    story.tells(other, notice());
    story.knock(HOST, 4002, 1);
    let client = story.join(CLIENT, 5001, OTHER);
    story.tells(client, at(HOST, 4002));
}

#[test]
fn a_host_goes_back_to_its_port_however_often_it_was_moved() {
    let (mut story, host) = moved_to(FORGED);
    story.wait(2000);
    story.knock(HOST, FORGED + 1, 60);
    is_found_at(&mut story, host, FORGED + 1);
    story.wait(41_000);
    let client = story.join(CLIENT, 5001, HOST);
    story.tells(host, notice());
    story.knock(HOST, 4000, 1);
    story.tells(client, at(HOST, 4000));
}

#[test]
fn a_host_that_was_moved_late_goes_back_to_its_port() {
    let mut story = Story::asking();
    let host = story.host(HOST, 4000, "Pong", "Ann");
    story.wait(60_000);
    story.join(CLIENT, 5000, HOST);
    story.wait(400);
    story.knock(HOST, FORGED, 3);
    story.wait(41_000);
    story.told.clear();
    let client = story.join(CLIENT, 5001, HOST);
    story.tells(host, notice());
    story.knock(HOST, 4000, 1);
    story.tells(client, at(HOST, 4000));
}

#[test]
fn a_host_that_has_moved_is_found_there_again() {
    let (mut story, host) = moved_to(7000);
    story.wait(2000);
    story.udp(HOST, FORGED, "reg");
    story.reg2(host, "Pong", "Ann, 2 players");
    story.tells(host, notice());
    story.knock(HOST, 7000, 20);
    is_found_at(&mut story, host, 7000);
}

#[test]
fn forged_packets_do_not_wear_out_the_port_that_a_host_had() {
    let mut story = Story::asking();
    let host = story.host(HOST, 4000, "Pong", "Ann");
    story.wait(20_000);
    // Its knocks have not come yet.
    for n in 0..3 {
        story.udp(HOST, FORGED + n, "reg");
        story.reg2(host, "Pong", "Ann, 2 players");
        story.tells(host, notice());
        story.wait(50);
    }
    (0..3).for_each(|n| story.knock(HOST, FORGED + n, 1));
    story.knock(HOST, 4000, 1);
    is_found_at(&mut story, host, 4000);
}

#[test]
fn a_forged_packet_after_a_change_of_data_does_not_move_a_host() {
    let mut story = Story::asking();
    let host = story.host(HOST, 4000, "Pong", "Ann");
    story.wait(20_000);
    // Its own packet is lost.
    story.reg2(host, "Pong", "Ann, 2 players");
    story.tells(host, notice());
    story.wait(50);
    story.udp(HOST, FORGED, "reg");
    story.tells(host, notice());
    story.knock(HOST, FORGED, 30);
    story.knock(HOST, 4000, 8);
    is_found_at(&mut story, host, 4000);
}

/// Whoever was told of a host before its NAT forgot its port can forge knocks from that one.
#[test]
fn a_port_that_was_forgotten_does_not_come_back_by_a_few_forged_knocks() {
    let (mut story, host) = moved_to(7000);
    story.knock(HOST, 7000, 100);
    for _ in 0..6 {
        story.knock(HOST, 4000, 1);
        story.knock(HOST, 7000, 20);
    }
    is_found_at(&mut story, host, 7000);
    // Nor if they come first.
    let mut story = Story::asking();
    let host = story.host(HOST, 4000, "Pong", "Ann");
    story.wait(60_000);
    story.join(CLIENT, 5000, HOST);
    story.tells(host, notice());
    story.knock(HOST, 4000, 2);
    story.knock(HOST, 7000, 40);
    story.told.clear();
    is_found_at(&mut story, host, 7000);
    for _ in 0..6 {
        story.knock(HOST, 7000, 20);
        story.knock(HOST, 4000, 1);
    }
    is_found_at(&mut story, host, 7000);
}

#[test]
fn a_port_that_shows_itself_again_and_again_is_asked_about() {
    let mut story = Story::asking();
    story.udp(HOST, FORGED, "reg");
    story.wait(200);
    story.udp(HOST, FORGED, "reg");
    let host = story.host_without_udp(HOST, "Pong", "Ann");
    story.tells(host, notice());
    story.knock(HOST, 4000, 20);
    is_found_at(&mut story, host, 4000);
}
