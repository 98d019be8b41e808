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
