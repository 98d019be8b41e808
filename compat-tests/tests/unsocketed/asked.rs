//! The port notice: hosts that are asked for their UDP port.

use punchd::dialect::{ConnId, Dialect as _};

use super::story::{CLIENT, HOST, MASTER, NOT_FOUND, Story, at};

pub(crate) const FORGED: u16 = 666;

pub(crate) fn notice() -> String {
    at(MASTER, 6510)
}

/// A client asks, and is told this port of the host, at once.
#[track_caller]
pub(crate) fn is_found_at(story: &mut Story, host: ConnId, port: u16) {
    let client = story.join(CLIENT, 5000, HOST);
    story.tells(client, at(HOST, port));
    story.wait(50);
    story.tells(host, at(CLIENT, 5000));
    story.fin(client);
    story.closed.clear();
}

/// A host knocks from the port that it had, 4000, in each of so many steps, and somebody forges three knocks
/// in each.
fn knocks_beside_forged_ones(story: &mut Story, host: &str, steps: usize) {
    for _ in 0..steps {
        story.knock(host, FORGED, 3);
        story.knock(host, 4000, 1);
    }
}

#[test]
fn a_host_whose_packet_was_lost_is_asked() {
    let mut story = Story::asking();
    let host = story.host_without_udp(HOST, "Pong", "Ann");
    story.wait(99);
    story.tells_nobody();
    story.wait(1);
    story.tells(host, notice());
    let client = story.join(CLIENT, 5000, HOST);
    story.knock(HOST, 4000, 18);
    story.tells(client, at(HOST, 4000));
    story.tells(host, at(CLIENT, 5000));
    is_found_at(&mut story, host, 4000);
    story.tells_nobody();
}

#[test]
fn a_host_whose_packet_is_a_little_late_is_left_alone() {
    let mut story = Story::asking();
    let host = story.host(HOST, 4000, "Pong", "Ann");
    story.wait(60_000);
    story.fin(host);
    story.wait(60_000);
    let host = story.host_without_udp(HOST, "Pong", "Ann");
    story.wait(50);
    story.udp(HOST, 4000, "reg");
    story.tells(host, notice());
    story.knock(HOST, 4000, 1);
    story.wait(60_000);
    story.tells_nobody();
}

#[test]
fn a_forged_packet_does_not_move_a_host_that_changes_its_data() {
    for forged in [1, 20] {
        let mut story = Story::asking();
        let host = story.host(HOST, 4000, "Pong", "Ann");
        story.wait(5000);
        (0..forged).for_each(|n| story.udp(HOST, FORGED + n, "reg"));
        story.wait(1000);
        story.reg2(host, "Pong", "Ann, 2 players");
        story.tells(host, notice());
        let client = story.join(CLIENT, 5000, HOST);
        story.tells_nobody();
        // Who forges is nearer than the host, and louder.
        (0..3).for_each(|_| story.knock(HOST, FORGED, 3));
        story.tells_nobody();
        story.knock(HOST, 4000, 1);
        story.tells(client, at(HOST, 4000));
        story.wait(50);
        story.tells(host, at(CLIENT, 5000));
        knocks_beside_forged_ones(&mut story, HOST, 20);
        is_found_at(&mut story, host, 4000);
    }
}

#[test]
fn a_host_that_has_another_port_now_is_found_there() {
    let mut story = Story::asking();
    let host = story.host(HOST, 4000, "Pong", "Ann");
    story.wait(5000);
    story.udp(HOST, 4001, "reg");
    story.reg2(host, "Pong", "Ann");
    story.tells(host, notice());
    story.knock(HOST, 4001, 20);
    is_found_at(&mut story, host, 4001);
}

#[test]
fn a_host_is_asked_when_nobody_has_heard_of_its_port_for_long() {
    let mut story = Story::asking();
    let host = story.host(HOST, 4000, "Pong", "Ann");
    story.wait(25_000);
    is_found_at(&mut story, host, 4000);
    story.wait(575_000);
    let client = story.join(CLIENT, 5000, HOST);
    story.tells(host, notice());
    story.tells_nobody();
    // It still has its port, so that nobody waits longer than it takes to knock.
    story.wait(40);
    story.knock(HOST, 4000, 1);
    story.tells(client, at(HOST, 4000));
    story.wait(50);
    story.tells(host, at(CLIENT, 5000));
    // As long as it knocks, and the NAT remembers that, it is not asked again.
    story.wait(39_000);
    is_found_at(&mut story, host, 4000);
    story.wait(2000);
    let client = story.join(CLIENT, 5001, HOST);
    story.tells(host, notice());
    story.knock(HOST, 7000, 17);
    story.tells_nobody();
    story.knock(HOST, 7000, 1);
    story.tells(client, at(HOST, 7000));
    story.tells(host, at(CLIENT, 5001));
}

#[test]
fn who_does_not_knock_delays_nobody_but_the_first() {
    let mut story = Story::asking();
    let host = story.host(HOST, 4000, "Pong", "Ann");
    story.wait(60_000);
    let client = story.join(CLIENT, 5000, HOST);
    story.tells(host, notice());
    story.wait(299);
    story.tells_nobody();
    story.wait(1);
    story.tells(client, at(HOST, 4000));
    story.tells(host, at(CLIENT, 5000));
    story.wait(60_000);
    is_found_at(&mut story, host, 4000);
    story.wait(240_000);
    story.join(CLIENT, 5000, HOST);
    story.tells(host, notice());
}

#[test]
fn who_is_not_asked_is_not_moved_by_a_knock() {
    let mut story = Story::asking();
    let host = story.host(HOST, 4000, "Pong", "Ann");
    story.knock(HOST, FORGED, 100);
    is_found_at(&mut story, host, 4000);
    story.knock("203.0.113.99", FORGED, 100);
    let client = story.join(CLIENT, 5000, "203.0.113.99");
    story.tells(client, NOT_FOUND);
}

#[test]
fn of_neighbours_each_is_asked_in_its_turn() {
    let mut story = Story::asking();
    let one = story.host_without_udp(HOST, "Pong", "Ann");
    let two = story.host_without_udp(HOST, "Snake", "Bob");
    story.wait(100);
    story.tells(one, notice());
    story.tells_nobody();
    story.knock(HOST, 4001, 19);
    // It goes on for fifteen seconds, while the other is asked.
    story.knock(HOST, 4001, 20);
    story.tells(two, notice());
    for _ in 0..30 {
        story.knock(HOST, 4001, 1);
        story.knock(HOST, 4002, 1);
    }
    story.fin(one);
    is_found_at(&mut story, two, 4002);
}

#[test]
fn a_neighbours_port_is_given_back() {
    let mut story = Story::asking();
    // The packet of the second is lost, and it gets that of a third, which is to come.
    let one = story.host(HOST, 4001, "Pong", "Ann");
    story.wait(20_000);
    let two = story.host_without_udp(HOST, "Pong", "Bob");
    story.tells(two, notice());
    story.wait(1000);
    story.knock(HOST, 4002, 20);
    assert_eq!(story.lobby(), ["Ann", "Bob"]);
    is_found_at(&mut story, two, 4002);
    story.fin(two);
    is_found_at(&mut story, one, 4001);
}

#[test]
fn nobody_has_all_the_asking() {
    let mut story = Story::asking();
    let address = |n: usize| format!("198.18.{}.{}", n / 250, 1 + n % 250);
    // One address of many hosts gets few of them asked in one go, and one with a single host is asked.
    for n in 0..40 {
        story.host_without_udp(HOST, "Pong", &format!("host {n}"));
    }
    story.wait(14_000);
    let asked = std::mem::take(&mut story.told).len();
    assert!((10..=23).contains(&asked), "{asked}");
    let other = story.host_without_udp(&address(0), "Pong", "Bob");
    story.wait(100);
    assert!(story.told.iter().any(|(conn, _)| *conn == other));
    // In all there are as many as the server can hear.
    for n in 1..400 {
        story.host_without_udp(&address(n), "Pong", "Bob");
    }
    story.wait(1000);
    let knocking = asked + story.told.len();
    assert!((250..=280).contains(&knocking), "{knocking}");
    story.wait(20_000);
    story.told.clear();
    for addr in [&address(500), HOST] {
        let late = story.host_without_udp(addr, "Pong", "Bob");
        // Of the neighbours that were still to be asked some come before it.
        story.wait(20_000);
        assert!(story.told.iter().any(|(conn, _)| *conn == late), "{addr}");
    }
}

#[test]
fn two_knocks_may_be_an_accident() {
    let mut story = Story::asking();
    let host = story.host(HOST, 4000, "Pong", "Ann");
    story.wait(60_000);
    let client = story.join(CLIENT, 5000, HOST);
    story.tells(host, notice());
    story.knock(HOST, FORGED, 2);
    story.wait(300);
    story.tells(client, at(HOST, 4000));
    story.tells(host, at(CLIENT, 5000));
    story.knock(HOST, FORGED, 1);
    is_found_at(&mut story, host, FORGED);
}

#[test]
fn a_host_that_leaves_is_not_waited_for() {
    let mut story = Story::asking();
    let host = story.host_without_udp(HOST, "Pong", "Ann");
    story.wait(100);
    story.fin(host);
    story.knock(HOST, 4000, 3);
    story.wait(3_600_000);
    assert_eq!(story.gmnet.next_wakeup(), None, "nothing is left to do");
}

#[test]
fn a_forged_packet_beside_the_own_is_found_out() {
    let mut story = Story::asking();
    story.udp(HOST, FORGED, "reg");
    let host = story.host(HOST, 4000, "Pong", "Ann");
    story.tells(host, notice());
    for _ in 0..20 {
        story.knock(HOST, 4000, 1);
        story.knock(HOST, FORGED, 1);
    }
    // Nobody can tell them apart, so it keeps what it has.
    let client = story.join(CLIENT, 5000, HOST);
    let told = story.told.pop_front();
    assert!(told.is_some_and(|(conn, _)| conn == client));
    story.told.clear();
    story.knock(HOST, 4000, 40);
    is_found_at(&mut story, host, 4000);
}

#[test]
fn a_forged_packet_that_came_before_the_connection_is_found_out() {
    let mut story = Story::asking();
    story.udp(HOST, FORGED, "reg");
    story.wait(5000);
    // Its own packet is lost.
    let host = story.host_without_udp(HOST, "Pong", "Ann");
    story.tells(host, notice());
    story.knock(HOST, FORGED, 1);
    story.knock(HOST, 4000, 20);
    is_found_at(&mut story, host, 4000);
}

#[test]
fn a_host_that_changes_its_data_twice_keeps_its_port() {
    let mut story = Story::asking();
    let host = story.host(HOST, 4000, "Pong", "Ann");
    for n in 0..2 {
        story.wait(500);
        story.udp(HOST, FORGED + n, "reg");
        story.wait(500);
        story.reg2(host, "Pong", "Ann, 2 players");
        story.tells(host, notice());
    }
    story.knock(HOST, FORGED, 1);
    story.knock(HOST, 4000, 1);
    is_found_at(&mut story, host, 4000);
}

#[test]
fn a_packet_that_was_a_hosts_own_is_nobody_elses() {
    let mut story = Story::asking();
    story.udp(HOST, 4000, "reg");
    story.wait(30);
    let host = story.host(HOST, FORGED, "Pong", "Ann");
    story.tells(host, notice());
    story.knock(HOST, 4000, 20);
    is_found_at(&mut story, host, 4000);
    let other = story.host_without_udp(HOST, "Snake", "Bob");
    story.fin(host);
    story.wait(1000);
    let client = story.join(CLIENT, 5001, HOST);
    story.wait(2500);
    story.tells(other, notice());
    story.tells(client, NOT_FOUND);
}

#[test]
fn a_host_that_was_found_where_it_was_is_not_in_doubt_any_more() {
    const INSIDE: &str = "192.168.7.7";
    let mut story = Story::asking();
    let host = story.host(INSIDE, 4000, "Pong", "Ann");
    story.wait(5000);
    story.udp(INSIDE, 4001, "reg");
    story.reg2(host, "Pong", "Ann");
    story.tells(host, notice());
    story.knock(INSIDE, 4000, 1);
    story.wait(600_000);
    let client = story.join(CLIENT, 5000, INSIDE);
    story.tells(client, at(INSIDE, 4000));
}

/// Two players of one household, with nobody who attacks and no packet lost.
#[test]
fn a_neighbour_that_knocks_already_is_not_taken_for_who_is_asked() {
    for (port_of_other, steps) in [(4002, 1), (7002, 40)] {
        let mut story = Story::asking();
        let one = story.host(HOST, 4001, "Pong", "Ann");
        story.wait(20_000);
        let other = story.host(HOST, 4002, "Pong", "Bob");
        story.wait(26_000);
        let target = format!("{HOST}:4001");
        let client = story.join(CLIENT, 5000, &target);
        story.tells(one, notice());
        story.knock(HOST, 4001, 3);
        story.tells(client, at(HOST, 4001));
        story.wait(50);
        story.tells(one, at(CLIENT, 5000));
        // It has a player more, which it tells the lobby; its scripts still knock here.
        story.fin(one);
        story.knock(HOST, 4001, 2);
        let one = story.host(HOST, 4001, "Pong", "Ann, 2 players");
        story.wait(50);
        story.tells(one, at(CLIENT, 5000));
        let client = story.join(CLIENT, 5001, &format!("{HOST}:4002"));
        story.tells(other, notice());
        // Its first knock comes a round trip late.
        story.knock(HOST, 4001, 10);
        for _ in 0..steps {
            story.knock(HOST, 4001, 1);
            story.knock(HOST, port_of_other, 1);
        }
        let told = story.told.pop_front().map(|(conn, _)| conn);
        assert_eq!(told, Some(client));
        story.wait(100);
        story.told.clear();
        let client = story.join(CLIENT, 5002, &format!("{HOST}:{port_of_other}"));
        story.tells(client, at(HOST, port_of_other));
        story.wait(100);
        story.tells(other, at(CLIENT, 5002));
        let client = story.join(CLIENT, 5003, &target);
        story.tells(client, at(HOST, 4001));
        story.wait(100);
        story.tells(one, at(CLIENT, 5003));
    }
}

#[test]
fn a_host_that_comes_back_is_not_moved_by_who_forges_both_kinds_of_packets() {
    let mut story = Story::asking();
    let host = story.host(HOST, 4000, "Pong", "Ann");
    story.wait(5000);
    story.fin(host);
    story.wait(20);
    story.udp(HOST, FORGED, "reg");
    let host = story.host(HOST, 4000, "Pong", "Ann, 2 players");
    story.tells(host, notice());
    (0..20).for_each(|_| story.knock(HOST, FORGED, 3));
    story.knock(HOST, 4000, 15);
    knocks_beside_forged_ones(&mut story, HOST, 20);
    is_found_at(&mut story, host, 4000);
}

#[test]
fn a_port_that_a_host_had_not_before_is_asked_for_again() {
    let mut story = Story::asking();
    let host = story.host(HOST, 4000, "Pong", "Ann");
    story.wait(60_000);
    story.join(CLIENT, 5000, HOST);
    story.knock(HOST, FORGED, 30);
    // Who forges it goes on so that it seems to be in use.
    for _ in 0..5 {
        story.wait(10_000);
        story.udp(HOST, FORGED, "reg");
    }
    story.told.clear();
    let client = story.join(CLIENT, 5001, HOST);
    story.tells(host, notice());
    story.knock(HOST, 4000, 1);
    story.tells(client, at(HOST, 4000));
}

#[test]
fn a_game_that_hosts_again_at_once_with_another_socket_is_asked() {
    let mut story = Story::asking();
    let host = story.host(HOST, 4000, "Pong", "Ann");
    story.wait(300);
    story.fin(host);
    story.wait(300);
    // Its second packet is lost.
    let host = story.host_without_udp(HOST, "Pong", "Ann");
    story.tells(host, notice());
    story.knock(HOST, 4001, 20);
    is_found_at(&mut story, host, 4001);
}

#[test]
fn a_host_without_a_port_is_asked_again() {
    let mut story = Story::asking();
    let host = story.host_without_udp(HOST, "Pong", "Ann");
    story.wait(100);
    story.tells(host, notice());
    story.wait(15_000);
    let client = story.join(CLIENT, 5000, HOST);
    story.tells(host, notice());
    story.knock(HOST, 4000, 20);
    story.tells(client, at(HOST, 4000));
}

#[test]
fn who_waits_for_a_host_that_is_just_being_asked_waits_for_its_answer() {
    for registers in [2300, 2450] {
        let mut story = Story::asking();
        let client = story.join(CLIENT, 5000, HOST);
        story.wait(registers);
        let host = story.host_without_udp(HOST, "Pong", "Ann");
        story.wait(100);
        story.tells(host, notice());
        story.wait(150);
        story.tells_nobody();
        story.knock(HOST, 4001, 20);
        story.tells(client, at(HOST, 4001));
    }
}

#[test]
fn hosts_that_come_one_after_the_other_make_nobody_wait_for_ever() {
    let mut story = Story::asking();
    let client = story.join(CLIENT, 5000, HOST);
    story.wait(2450);
    let host = story.host_without_udp(HOST, "Pong", "Ann");
    story.wait(400);
    story.tells(host, notice());
    story.host_without_udp(HOST, "Pong", "Bob");
    story.tells_nobody();
    story.wait(50);
    story.tells(client, NOT_FOUND);
}

#[test]
fn a_host_gets_its_port_back_from_a_newer_one_that_does_not_knock() {
    let mut story = Story::asking();
    let old = story.host_without_udp(HOST, "Pong", "Ann");
    story.wait(20);
    let new = story.host_without_udp(HOST, "Pong", "Bob");
    // It is that of the older one, and late.
    story.udp(HOST, 4001, "reg");
    story.tells(new, notice());
    story.wait(1000);
    story.tells(old, notice());
    story.knock(HOST, 4001, 20);
    story.wait(100);
    story.tells(new, notice());
    story.wait(300);
    is_found_at(&mut story, old, 4001);
}

#[test]
fn who_forges_knocks_wins_nothing_from_a_game_that_stands_still() {
    let mut story = Story::asking();
    let host = story.host(HOST, 4000, "Pong", "Ann");
    story.wait(60_000);
    let client = story.join(CLIENT, 5000, HOST);
    story.tells(host, notice());
    story.knock(HOST, FORGED, 20);
    story.tells(client, at(HOST, FORGED));
    story.tells(host, at(CLIENT, 5000));
    // It is loading a level.
    story.wait(2000);
    story.knock(HOST, 4000, 5);
    knocks_beside_forged_ones(&mut story, HOST, 20);
    is_found_at(&mut story, host, 4000);
    // Nor from one whose packet was lost.
    let host = story.host_without_udp("203.0.113.9", "Pong", "Bob");
    story.wait(100);
    story.tells(host, notice());
    story.knock("203.0.113.9", FORGED, 20);
    story.wait(2000);
    story.knock("203.0.113.9", 4000, 41);
    let client = story.join(CLIENT, 5000, "203.0.113.9");
    story.tells(client, at("203.0.113.9", 4000));
}

#[test]
fn who_has_been_found_is_not_moved_while_it_knocks() {
    let mut story = Story::asking();
    let host = story.host_without_udp(HOST, "Pong", "Ann");
    story.wait(100);
    story.tells(host, notice());
    story.knock(HOST, 4000, 20);
    for _ in 0..100 {
        story.knock(HOST, 4000, 1);
        (0..10).for_each(|_| story.knock(HOST, FORGED, 1));
    }
    is_found_at(&mut story, host, 4000);
}
