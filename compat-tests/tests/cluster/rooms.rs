//! Players of rooms at several nodes.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use compat_tests::master::{Master, loopback};
use compat_tests::rooms::{Player, STEP};

use super::{GHOST, Nodes, WAIT};

pub(super) fn player(node: &Master) -> Player {
    Player::new(node.addr(), SocketAddr::new(loopback(), 0), WAIT).expect("a player")
}

/// The names of the rooms that a node lists.
fn rooms(node: &Master) -> Vec<String> {
    let socket = UdpSocket::bind((loopback(), 0)).expect("a socket");
    socket.set_read_timeout(Some(Duration::from_millis(500))).expect("a timeout");
    let mut page = [0; 1500];
    for _ in 0..20 {
        socket.send_to(format!("{:\n<512}", "rl").as_bytes(), node.addr()).expect("sending");
        let Ok(length) = socket.recv(&mut page) else { continue };
        let page = String::from_utf8_lossy(&page[..length]).into_owned();
        let names = page.split(':').filter_map(|entry| entry.split(',').nth(1));
        return names.map(Into::into).collect();
    }
    panic!("no list; its log:\n{}", node.log());
}

pub(super) fn wait_for_rooms(node: &Master, want: &[&str], within: Duration) -> Duration {
    let start = Instant::now();
    while rooms(node) != want {
        assert!(start.elapsed() < within, "not {want:?}; its log:\n{}", node.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    start.elapsed()
}

/// Both live until they are connected.
fn meet(host: &mut Player, client: &mut Player) {
    let end = Instant::now() + WAIT;
    let id = client.place().expect("a place").id;
    while !client.has_host() || !host.connected().any(|other| other == id) {
        assert!(Instant::now() < end, "they do not meet");
        host.step().expect("a step");
        client.step().expect("a step");
        std::thread::sleep(STEP);
    }
}

#[test]
fn a_room_at_one_node_is_joined_from_all_and_gone_when_that_is_killed() {
    let Some(mut nodes) = Nodes::three(3) else { return };
    let mut host = player(&nodes.all[0]);
    let room = host.host("one").expect("a room").room;
    let mut other = player(&nodes.all[1]);
    other.host("two").expect("a room");
    nodes.all.iter().for_each(|node| _ = wait_for_rooms(node, &["two", "one"], WAIT));
    let mut clients = Vec::new();
    for node in &nodes.all {
        let mut client = player(node);
        client.join(room).expect("a place");
        meet(&mut host, &mut client);
        clients.push(client);
    }
    // One leaves and finds any room, be it where it may.
    let mut last = clients.pop().expect("the last");
    last.leave().expect("leaving");
    let options = punchd::dialect::rooms::options::Options::default();
    assert_ne!(last.join_any(options).expect("a place").room, room);
    meet(&mut other, &mut last);
    nodes.all.remove(0).crash();
    for node in &nodes.all {
        let took = wait_for_rooms(node, &["two"], GHOST);
        println!("gone from the list of a node after {took:?}");
    }
    // Who has lost his room is told so, and can have another at once.
    let client = clients.last_mut().expect("the client of the second node");
    client.come_back().expect_err("no room");
    client.host("three").expect("a room");
    nodes.all.iter().for_each(|node| _ = wait_for_rooms(node, &["three", "two"], WAIT));
}
