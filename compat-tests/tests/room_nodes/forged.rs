//! What comes by another node from the endpoint of a player, and may be somebody else's.

use super::*;

#[test]
fn two_forged_requests_take_no_place_of_who_uses_his_key() {
    // The place is at its own node, or at a third one.
    for at in [0, 2] {
        let mut world = World::of(3);
        let one = world.get_in(at, peer(1), "rh:one");
        let two = world.get_in(1, peer(2), "rh:two");
        let client = world.get_in(0, peer(3), &format!("jr:{}", one.room));
        let signs = format!("ka:{}", client.key);
        assert_eq!(world.answer(0, client.at, &signs), "ka");
        // At the node of the other room first, where nothing is known of it.
        let forged = format!("jr:{}", two.room);
        let made = world.enter(1, client.at, &forged);
        world.ask(0, client.at, &forged);
        world.pass(20);
        world.told(0, client.at);
        assert_eq!(world.answer(0, client.at, &signs), "ka");
        let told = world.told(at, one.at);
        assert!(!told.contains(&format!("cl:{}", client.id)), "{told:?}");
        // If it was the client itself, it goes there with the key.
        world.prove(&Place { node: 0, ..made.clone() });
        assert_eq!(world.answer(0, client.at, &format!("ka:{}", made.key)), "ka");
        world.pass(40_000);
        assert!(world.told(at, one.at).contains(&format!("cl:{}", client.id)));
    }
}

#[test]
fn a_forged_request_by_another_node_leads_no_notices_there() {
    let mut world = World::of(3);
    let host = world.get_in(1, peer(1), "rh:one");
    let client = world.get_in(0, peer(2), &format!("jr:{}", host.room));
    for place in [&host, &client] {
        world.told(place.node, place.at);
        for forged in [format!("jr:{}", host.room), "ka".into(), "lr:0123456789abcdef".into()] {
            world.ask(2, place.at, &forged);
        }
    }
    let other = world.get_in(1, peer(3), &format!("jr:{}", host.room));
    assert!(world.told(1, host.at).contains(&format!("cj:{}:198.51.3.7:40000", other.id)));
    world.ask(1, host.at, "rn:uno");
    world.pass(2000);
    assert_eq!(world.told(0, client.at), ["rn:uno"; 3]);
    // Who has come there is asked for his key, and shows it.
    assert_eq!(world.answer(2, client.at, "ka"), "er:ka:noroom");
    world.prove(&Place { node: 2, ..client.clone() });
    assert_eq!(world.answer(2, client.at, "ka"), "ka");
    world.told(2, client.at);
    world.ask(1, host.at, "rn:eins");
    assert_eq!(world.told(2, client.at), ["rn:eins"]);
}

#[test]
fn no_address_takes_the_way_of_others_to_another_node() {
    let mut world = World::of(2);
    let host = world.get_in(1, peer(1), "rh:one");
    let join = format!("jr:{}", host.room);
    let passed = |world: &mut World, from: &dyn Fn(u16) -> SocketAddr| {
        let before = world.messages;
        (0..20_000).for_each(|n| world.datagram(0, from(n), join.as_bytes()));
        // Each is answered, or not.
        world.messages - before
    };
    let flood = passed(&mut world, &|n| SocketAddr::new(peer(2).ip(), 1024 + n));
    assert!((1000..5000).contains(&flood), "{flood}");
    let client = world.get_in(0, peer(3), &join);
    assert_eq!(client.room, host.room);
    // Many addresses have what all have together.
    let flood = passed(&mut world, &|n| SocketAddr::from(([203, 0, (n >> 8) as u8, n as u8], 9)));
    assert!((7000..30_000).contains(&flood), "{flood}");
}
