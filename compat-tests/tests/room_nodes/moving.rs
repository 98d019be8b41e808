//! Players who speak to another node than before, or whose node is not reached any more.

use super::*;

#[test]
fn who_does_not_reach_his_node_is_answered_by_another_one() {
    let mut world = World::of(3);
    let host = world.get_in(1, peer(1), "rh:one");
    let client = world.get_in(0, peer(2), &format!("jr:{}", host.room));
    // It ends with its key whatever it sends, but for the request that finds its place again.
    for _ in 0..2 {
        assert_eq!(world.answer(0, client.at, &format!("ka:{}", client.key)), "ka");
        world.pass(6000);
    }
    let found = world.enter(2, client.at, &format!("jr:{}", host.room));
    assert_eq!((&found.id, &found.key), (&client.id, &client.key));
    world.prove(&found);
    assert_eq!(world.answer(2, client.at, &format!("ka:{}", client.key)), "ka");
    world.told(2, client.at);
    world.ask(1, host.at, "rn:uno");
    assert_eq!(world.told(2, client.at), ["rn:uno"]);
}

#[test]
fn what_a_node_has_passed_on_is_answered_by_it_whatever_another_one_has_known() {
    let mut world = World::of(3);
    let full = world.get_in(1, peer(1), "rh:full:max=2");
    let open = world.get_in(2, peer(2), "rh:open");
    let client = world.get_in(2, peer(3), &format!("jr:{}", full.room));
    world.told(2, client.at);
    let place = world.get_in(0, client.at, "qj");
    assert_eq!(place.room, open.room);
}

#[test]
fn a_place_that_was_offered_is_taken_though_the_node_of_the_one_before_is_dead() {
    let mut world = World::of(3);
    let one = world.get_in(1, peer(1), "rh:one");
    let two = world.get_in(2, peer(2), "rh:two:max=2");
    let client = world.get_in(0, peer(3), &format!("jr:{}", one.room));
    world.kill(1);
    world.pass(5000);
    world.told(0, client.at);
    // Somebody has the last place who may be forged, and has not had the time to show his key.
    world.enter(2, peer(4), &format!("jr:{}", two.room));
    let offered = world.enter(0, client.at, &format!("jr:{}", two.room));
    world.pass(4000);
    world.told(0, client.at);
    world.prove(&offered);
    assert_eq!(world.answer(0, client.at, &format!("ka:{}", offered.key)), "ka");
}
