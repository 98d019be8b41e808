//! What a process knows that takes over from another one.

use serde_json::json;

use super::World;

/// That it has left is lost, and its own process, of which that has to be asked, is another one.
#[test]
fn who_has_left_a_room_before_its_process_is_taken_over_is_not_in_it_again() {
    let mut world = World::of(2);
    let (amy, bob) = (world.login(0, "amy"), world.login(1, "bob"));
    let room = world.room(&amy, json!({"name": "r"}));
    world.pass(100);
    world.ask(&bob, "join_room", json!({"room": room})).unwrap();
    world.heard(&amy);
    world.heard(&bob);
    let leave = json!({"type": "request", "name": "leave_room", "data": {}, "request_id": 1});
    drop(world.say_alone(&bob, &leave));
    world.take_over(1);
    world.pass(7000);
    assert_eq!(world.names(&bob), ["leave_room", "self_left"]);
    assert_eq!(world.names(&amy), ["player_left"]);
    world.ask(&bob, "create_room", json!({"name": "own"})).unwrap();
}

/// A new host is to meet all others when it is its turn, but for those who have met it meanwhile.
#[test]
fn who_was_introduced_to_a_new_host_is_not_introduced_again_as_a_process_takes_over() {
    let mut world = World::of(1);
    let [amy, bob, carl, dave] = ["amy", "bob", "carl", "dave"].map(|id| world.login(0, id));
    let room = world.room(&amy, json!({"name": "r", "migrate": true}));
    for peer in [&bob, &carl, &dave] {
        world.ask(peer, "join_room", json!({"room": room})).unwrap();
    }
    for (n, peer) in [&amy, &bob, &carl, &dave].into_iter().enumerate() {
        world.socket(peer, 2000 + n as u16);
    }
    world.pass(1500);
    [&bob, &carl, &dave].into_iter().for_each(|peer| _ = world.heard(peer));
    // In one turn.
    world.end(amy.0, amy.1);
    let data = format!("udp:{}", carl.2);
    world.datagram(0, (super::address(carl.1.slot), 3000).into(), data.as_bytes());
    assert_eq!(world.hears(&carl, "introduce")["id"], "bob");
    assert_eq!(world.hears(&bob, "introduce")["id"], "carl");
    world.take_over(0);
    world.pass(100);
    assert_eq!(world.names(&carl), Vec::<String>::new());
    assert_eq!(world.hears(&bob, "introduce")["id"], "dave");
    assert_eq!(world.hears(&dave, "introduce")["id"], "bob");
}
