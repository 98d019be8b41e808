//! A node that dies with much that others have to do then: they do not do all of it in one turn.

use std::time::Duration;

use punchd::server::Server;
use serde_json::json;

use super::{Peer, World};

/// As many messages as may be written in one turn: to those who wait, and to those whose rooms are gone or whom others
/// leave, with what the last of these causes.
const MOST: usize = 2 * 256 + 2 * 64;

/// Node 1 dies. Returns what its peers were told in each turn of node 0 since.
fn die(world: &mut World) -> Vec<usize> {
    world.nodes.kill(1);
    let (end, mut turns) = (world.now + Duration::from_secs(5), Vec::new());
    while let Some(next) = world.servers[0].as_ref().and_then(Server::next_wakeup)
        && next <= end
    {
        world.now = world.now.max(next);
        let before = world.written.len();
        world.act(0, |server, now, out| server.on_wakeup(now, out));
        turns.push(world.written.len() - before);
    }
    turns
}

/// Rooms with these hosts, and so many members of each node in each.
fn rooms(world: &mut World, host: usize, members: [usize; 2]) -> Vec<Peer> {
    let mut all = Vec::new();
    for room in 0..5 {
        let amy = world.login(host, &format!("host {room}"));
        let id = world.room(&amy, json!({"name": "r", "migrate": true}));
        for (n, count) in members.into_iter().enumerate() {
            for member in 0..count {
                let member = world.login(n, &format!("{room} {n} {member}"));
                world.ask(&member, "join_room", json!({"room": id})).unwrap();
                all.push(member);
            }
        }
    }
    all.iter().for_each(|member| _ = world.heard(member));
    all
}

#[test]
fn those_whose_rooms_have_died_are_not_all_told_in_one_turn() {
    let mut world = World::of(2);
    let members = rooms(&mut world, 1, [63, 0]);
    for (n, conn, _) in &members {
        let ask = json!({"type": "request", "name": "kick", "data": {"id": "x"}, "request_id": 1});
        world.nodes.net.cuts.insert((0, 1));
        world.write(*n, *conn, ask.to_string().as_bytes());
    }
    let turns = die(&mut world);
    assert!(turns.iter().all(|told| *told <= MOST), "{turns:?}");
    for member in &members {
        let mut names = world.names(member);
        names.sort_unstable();
        assert_eq!(names, ["kick", "room_deleted", "self_left"]);
        assert!(world.ask(member, "create_room", json!({"name": "own"})).is_ok());
    }
}

#[test]
fn those_who_have_died_do_not_all_leave_in_one_turn() {
    let mut world = World::of(2);
    let members = rooms(&mut world, 0, [30, 30]);
    let turns = die(&mut world);
    assert!(turns.iter().all(|told| *told <= MOST), "{turns:?}");
    for member in members.iter().filter(|(n, ..)| *n == 0) {
        assert_eq!(world.names(member), ["player_left"; 30]);
    }
}

/// Whether or not the process before has known that the node is dead.
#[test]
fn the_ids_of_those_who_have_died_are_free_though_a_process_takes_over() {
    for is_known in [true, false] {
        let mut world = World::of(2);
        let amy = world.login(0, "amy");
        let room = world.room(&amy, json!({"name": "r"}));
        let all: Vec<Peer> = (0..600).map(|n| world.login(1, &n.to_string())).collect();
        world.ask(&all[0], "join_room", json!({"room": room})).unwrap();
        world.pass(1000);
        world.heard(&amy);
        world.kill(1);
        while is_known && world.names(&amy).is_empty() {
            world.now =
                world.now.max(world.servers[0].as_ref().and_then(Server::next_wakeup).unwrap());
            world.act(0, |server, now, out| server.on_wakeup(now, out));
        }
        world.take_over(0);
        world.pass(12_000);
        for n in 0..all.len() {
            assert!(world.try_login(0, &n.to_string(), &json!({})).1.is_ok(), "{n} {is_known}");
        }
    }
}
