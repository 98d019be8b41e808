//! What is lost between nodes: who is in a room afterwards, and what he knows of it.

use serde_json::{Value, json};

use super::{Peer, World};

/// Amy has a room at node 0 that bob of node 1 is in.
fn together(nodes: usize) -> (World, Peer, Peer, String) {
    let mut world = World::of(nodes);
    let (amy, bob) = (world.login(0, "amy"), world.login(1, "bob"));
    let room = world.room(&amy, json!({"name": "r"}));
    world.ask(&bob, "join_room", json!({"room": room})).unwrap();
    world.heard(&amy);
    world.heard(&bob);
    (world, amy, bob, room)
}

fn are_apart(world: &mut World, amy: &Peer, bob: &Peer) {
    assert_eq!(world.hears(amy, "player_left")["id"], "bob");
    assert_eq!(world.list(amy, json!({}))[0]["players"], 1);
    assert!(world.ask(bob, "create_room", json!({"name": "own"})).is_ok(), "it is in no room");
}

#[test]
fn who_was_told_that_its_room_is_gone_is_not_in_it_again() {
    let (mut world, amy, bob, _) = together(2);
    // Node 0 hears node 1 all the time.
    world.net.cuts.insert((0, 1));
    world.pass(4500);
    assert_eq!(world.names(&bob), ["room_deleted", "self_left"]);
    world.net.cuts.clear();
    world.pass(1500);
    are_apart(&mut world, &amy, &bob);
}

#[test]
fn that_somebody_is_in_no_room_gets_through_even_if_it_is_lost_once() {
    let (mut world, amy, bob, _) = together(2);
    world.net.cuts.insert((0, 1));
    world.pass(4500);
    assert_eq!(world.names(&bob), ["room_deleted", "self_left"]);
    world.net.cuts.clear();
    // Whatever says so of bob alone.
    world.net.loses = Some(b"\xa1\x61l\xa1\x65token");
    world.pass(3000);
    are_apart(&mut world, &amy, &bob);
}

#[test]
fn whose_answer_is_lost_is_told_so_soon_and_is_not_in_the_room() {
    let mut world = World::of(2);
    let (amy, bob) = (world.login(0, "amy"), world.login(1, "bob"));
    let room = world.room(&amy, json!({"name": "r"}));
    world.net.loses = Some(b"players");
    let join =
        json!({"type": "request", "name": "join_room", "data": {"room": room}, "request_id": 1});
    world.say(&bob, &join);
    world.pass(2000);
    let heard = world.heard(&bob);
    assert_eq!((heard.len(), &heard[0]["error"]["code"]), (1, &json!("timeout")), "{heard:?}");
    are_apart(&mut world, &amy, &bob);
}

#[test]
fn who_is_kicked_is_told_so_even_if_that_is_lost() {
    let (mut world, amy, bob, _) = together(2);
    world.net.loses = Some(b"self_left");
    world.ask(&amy, "kick", json!({"id": "bob"})).unwrap();
    world.pass(2000);
    assert_eq!(world.names(&bob), ["room_deleted", "self_left"]);
    are_apart(&mut world, &amy, &bob);
}

#[test]
fn a_node_that_was_gone_and_is_back_does_not_leave_anybody_in_its_rooms() {
    let (mut world, amy, bob, _) = together(2);
    // Node 1 hears node 0 all the time.
    world.net.cuts.insert((1, 0));
    world.pass(4500);
    world.net.cuts.clear();
    world.pass(2000);
    assert_eq!(world.names(&bob), ["room_deleted", "self_left"]);
    are_apart(&mut world, &amy, &bob);
}

#[test]
fn one_id_is_in_a_room_once() {
    let mut world = World::of(3);
    let amy = world.login(0, "amy");
    let (bob, told) = world.try_login(1, "bob", &json!({}));
    let secret = told.unwrap()["secret"].clone();
    let room = world.room(&amy, json!({"name": "r"}));
    world.ask(&bob, "join_room", json!({"room": room})).unwrap();
    world.heard(&amy);
    // Nobody knows yet that the node has died.
    world.kill(1);
    let (bob, told) = world.try_login(2, "bob", &json!({"secret": secret}));
    told.unwrap();
    world.ask(&bob, "join_room", json!({"room": room})).unwrap();
    world.pass(5000);
    assert_eq!(world.names(&amy), ["player_left", "player_joined"]);
    assert_eq!(world.list(&amy, json!({}))[0]["players"], 2);
    let told: Vec<Value> = world.list(&bob, json!({}));
    assert_eq!(told[0]["players"], 2);
}

#[test]
fn who_is_not_known_yet_by_its_id_comes_into_no_room() {
    let (mut world, amy, _, room) = together(3);
    // One node does not know of bob, whose node is dead; the other does not know that.
    world.kill(1);
    world.restart(2);
    world.pass(700);
    let (bob, told) = world.try_login(2, "bob", &json!({}));
    told.unwrap();
    let join = json!({"room": room});
    assert_eq!(world.ask(&bob, "join_room", join.clone()), Err("no_such_room".into()));
    world.pass(4000);
    assert_eq!(world.names(&amy), ["player_left"]);
    world.ask(&bob, "join_room", join).unwrap();
    assert_eq!(world.hears(&amy, "player_joined")["id"], "bob");
}

/// Its node tells of all its peers anew, of this one not among the first.
#[test]
fn who_has_left_a_room_comes_into_the_next_though_that_it_has_left_is_lost() {
    let (mut world, amy, _, room) = together(2);
    (0..300).for_each(|n| _ = world.login(1, &n.to_string()));
    let (carl, zoe) = (world.login(1, "carl"), world.login(1, "zoe"));
    let eve = world.login(0, "eve");
    let other = world.room(&eve, json!({"name": "other"}));
    world.pass(1000);
    world.ask(&carl, "join_room", json!({"room": room})).unwrap();
    world.heard(&amy);
    world.heard(&carl);
    let leave = json!({"type": "request", "name": "leave_room", "data": {}, "request_id": 1});
    drop(world.say_alone(&carl, &leave));
    assert_eq!(world.names(&carl), ["leave_room", "self_left"]);
    // From this node 0 sees that something is missing.
    let pass = world.say_alone(&zoe, &json!({"type": "pass", "name": "hi", "dest": "amy"}));
    world.deliver(pass);
    assert_eq!(world.names(&amy), Vec::<String>::new());
    world.ask(&carl, "join_room", json!({"room": other})).unwrap();
    world.pass(1000);
    assert_eq!(world.hears(&amy, "player_left")["id"], "carl");
    assert_eq!(world.hears(&eve, "player_joined")["id"], "carl");
    let sizes = world.list(&amy, json!({}));
    let sizes: Vec<_> = sizes.iter().map(|room| room["players"].clone()).collect();
    assert_eq!(sizes, [2, 2]);
}
