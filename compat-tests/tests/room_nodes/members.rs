//! Members of a room that is at another node.

use super::*;

#[test]
fn a_client_of_one_node_is_in_a_room_of_another() {
    let mut world = World::of(2);
    let host = world.get_in(1, peer(1), "rh:one");
    let before = world.messages;
    let client = world.enter(0, peer(2), &format!("jr:{}", host.room));
    assert_eq!(world.messages - before, 2, "the request, and all that comes of it");
    assert_eq!(world.told(1, host.at), [format!("cj:{}:198.51.2.7:40000", client.id)]);
    let told = world.ask(0, client.at, &format!("jr:{}", host.room));
    assert_eq!(told[0], format!("jr:{}:{}:198.51.1.7:40000", host.room, client.id));
    world.prove(&client);
    for place in [&client, &host] {
        assert_eq!(
            world.answer(place.node, place.at, &format!("pc:{}:ok", client.id)),
            format!("pc:{}:ok", client.id)
        );
        assert_eq!(world.answer(place.node, place.at, "ka"), "ka");
    }
    let signs = format!("ka:{}", client.key);
    assert_eq!(world.answer(0, client.at, &signs), "ka");
    let before = world.messages;
    assert_eq!(world.answer(0, client.at, &signs), "ka");
    assert_eq!(world.messages - before, 2, "there and back");
    // It is somewhere else now.
    let moved = Place { at: peer(3), ..client.clone() };
    let told = world.ask(0, moved.at, &format!("rc:{}:{}", client.id, client.key));
    let key = told.iter().find_map(|line| line.strip_prefix(&format!("rID:{}:", client.id)));
    let moved = Place { key: key.unwrap().to_owned(), ..moved };
    world.prove(&moved);
    assert!(world.told(1, host.at).contains(&format!("ep:{}:198.51.3.7:40000", client.id)));
    // What changes is told by its node, and again.
    world.told(0, moved.at);
    world.ask(1, host.at, "rn:uno");
    world.pass(1500);
    assert_eq!(world.told(0, moved.at), ["rn:uno"; 3]);
    let leave = format!("lr:{}", moved.key);
    assert_eq!(world.ask(0, moved.at, &leave), [format!("lr:{}", host.room)]);
    assert_eq!(world.ask(0, moved.at, &leave), [format!("lr:{}", host.room)], "once more");
    assert!(world.told(1, host.at).contains(&format!("cl:{}", client.id)));
    world.pass(31_000);
    assert_eq!(world.answer(0, moved.at, "ka"), "er:ka:noroom");
    // Where no room is, that is said; as it is to who names another game.
    assert_eq!(world.answer(0, peer(4), "jr:0123456789abcdef"), "er:jr:noroom");
    let other = format!("jr:{}:game=G", host.room);
    assert_eq!(world.answer(0, peer(4), &other), "er:jr:noroom");
}

#[test]
fn one_endpoint_has_one_place_at_all_nodes() {
    let mut world = World::of(3);
    let own = world.get_in(0, peer(1), "rh:own");
    let two = world.get_in(1, peer(2), "rh:two");
    let three = world.get_in(2, peer(3), "rh:three");
    let first = world.get_in(0, peer(4), &format!("jr:{}", own.room));
    let second = world.get_in(0, peer(4), &format!("jr:{}", two.room));
    let third = world.get_in(0, peer(4), &format!("jr:{}", three.room));
    // So late that it is no copy of the request that led into this room before.
    world.pass(1500);
    let last = world.get_in(0, peer(4), &format!("jr:{}", own.room));
    world.pass(40_000);
    for (host, gone) in [(&own, &first), (&two, &second), (&three, &third)] {
        let told = world.told(host.node, host.at);
        assert!(told.contains(&format!("cl:{}", gone.id)), "{told:?}");
    }
    assert_eq!(world.ask(0, last.at, "lr"), [format!("lr:{}", own.room)]);
    // A host has its own room.
    assert_eq!(world.answer(0, own.at, &format!("jr:{}", two.room)), "er:jr:badrequest");
}

#[test]
fn nobody_loses_a_place_by_what_others_send_in_his_name() {
    let mut world = World::of(3);
    let one = world.get_in(1, peer(1), "rh:one");
    let two = world.get_in(2, peer(2), "rh:two");
    // It ends its requests with its key.
    let client = world.get_in(0, peer(3), &format!("jr:{}", one.room));
    let signs = format!("ka:{}", client.key);
    assert_eq!(world.answer(0, client.at, &signs), "ka");
    for forged in [format!("jr:{}", two.room), "rh:forged".into(), "lr".into(), "cr".into()] {
        world.ask(0, client.at, &forged);
        assert_eq!(world.answer(0, client.at, &signs), "ka", "{forged}");
    }
    // But it can go: it is offered another place.
    let gone = world.get_in(0, client.at, &format!("jr:{}", two.room));
    assert_eq!(gone.room, two.room);
    assert_eq!(world.answer(0, client.at, &format!("ka:{}", gone.key)), "ka");
    // One that has never ended a request with it learns that somebody has, and comes back with it.
    for forged in [format!("jr:{}", two.room), "rh:forged".into(), "lr".into()] {
        let client = world.get_in(0, peer(4), &format!("jr:{}", one.room));
        world.ask(0, client.at, &forged);
        assert_eq!(world.answer(0, client.at, "ka"), "er:ka:noroom", "{forged}");
        world.prove(&client);
        assert_eq!(world.answer(0, client.at, "ka"), "ka");
        world.pass(2000);
        let told = world.ask(0, client.at, &format!("jr:{}", one.room));
        assert!(told[0].contains(&client.id), "{told:?}");
    }
}

#[test]
fn who_is_kicked_hears_of_it_by_his_node() {
    let mut world = World::of(2);
    let host = world.get_in(1, peer(1), "rh:one");
    let client = world.get_in(0, peer(2), &format!("jr:{}", host.room));
    let kick = format!("kc:id:{}:{}", client.id, host.key);
    assert_eq!(world.answer(1, host.at, &kick), format!("kc:id:{}", client.id));
    assert_eq!(world.told(0, client.at), [format!("kc:{}", host.room)]);
    assert_eq!(world.answer(0, client.at, "ka"), "er:ka:kicked");
    assert_eq!(world.answer(0, client.at, &format!("jr:{}", host.room)), "er:jr:kicked");
    let other = world.get_in(0, peer(3), &format!("jr:{}", host.room));
    world.ask(1, host.at, &format!("kc:ip:198.51.3.7:{}", host.key));
    assert!(world.told(0, other.at).contains(&format!("kc:{}", host.room)));
    assert_eq!(world.answer(0, peer(3), &format!("jr:{}", host.room)), "er:jr:kicked");
}

#[test]
fn who_was_kicked_out_of_a_room_gets_into_the_next_of_any_node() {
    // The next one is at the same node, at his own, or at a third one.
    for next in [1, 0, 2] {
        let mut world = World::of(3);
        let other = world.get_in(next, peer(3), "rh:other");
        // The newest come first.
        let host = world.get_in(1, peer(1), "rh:one");
        let client = world.get_in(0, peer(2), &format!("jr:{}", host.room));
        let kick = format!("kc:id:{}:{}", client.id, host.key);
        assert_eq!(world.answer(1, host.at, &kick), format!("kc:id:{}", client.id));
        world.pass(3000);
        world.told(0, client.at);
        let place = world.get_in(0, client.at, "qj");
        assert_eq!(place.room, other.room);
        assert_eq!(world.answer(0, client.at, &format!("ka:{}", place.key)), "ka");
        // He is told of that one again.
        let again = world.ask(0, client.at, "qj");
        assert!(again[0].starts_with(&format!("jr:{}:{}", other.room, place.id)), "{again:?}");
        world.ask(0, client.at, &format!("lr:{}", place.key));
        world.ask(next, other.at, &format!("cr:{}", other.key));
        world.pass(3000);
        world.told(0, client.at);
        assert_eq!(world.answer(0, client.at, "qj"), "er:qj:noroom", "there is no other");
    }
}

#[test]
fn a_mesh_reaches_over_nodes_and_its_room_outlives_its_host() {
    let mut world = World::of(3);
    let host = world.get_in(1, peer(1), "rh:one:mesh:migrate");
    let heir = world.get_in(0, peer(2), &format!("jr:{}", host.room));
    let last = world.get_in(2, peer(3), &format!("jr:{}", host.room));
    world.pass(600);
    let told = world.told(0, heir.at);
    assert!(told.contains(&format!("cj:{}:198.51.3.7:40000", last.id)), "{told:?}");
    let told = world.told(2, last.at);
    assert!(told.contains(&format!("cj:{}:198.51.2.7:40000", heir.id)), "{told:?}");
    assert_eq!(world.answer(1, host.at, &format!("lr:{}", host.key)), format!("lr:{}", host.room));
    assert!(world.told(0, heir.at).contains(&format!("nh:{}", heir.id)));
    let told = world.told(2, last.at);
    assert!(told.contains(&format!("nh:{}:198.51.2.7:40000", heir.id)), "{told:?}");
    // The room is where it was; its host is by its own node what any host is.
    world.prove(&heir);
    assert_eq!(world.answer(0, heir.at, &format!("rn:uno:{}", heir.key)), "rn:uno");
    let set = format!("rs:max=3:{}", heir.key);
    assert_eq!(world.answer(0, heir.at, &set), format!("rs:{}", host.room));
    world.pass(20);
    (0..3).for_each(|n| assert_eq!(world.listed(n, ""), ["uno"]));
    let again = world.ask(0, heir.at, "rh:uno");
    assert!(again[0].starts_with(&format!("rh:{}", host.room)), "{again:?}");
    world.get_in(0, peer(4), &format!("jr:{}", host.room));
    assert!(world.told(0, heir.at).iter().any(|line| line.starts_with("cj:")));
    let close = format!("cr:{}", heir.key);
    assert_eq!(world.answer(0, heir.at, &close), format!("cr:{}", host.room));
    world.pass(20);
    (0..3).for_each(|n| assert_eq!(world.listed(n, ""), Vec::<String>::new()));
}

#[test]
fn nobody_is_sent_more_than_on_one_node() {
    let mut world = World::of(2);
    let host = world.get_in(1, peer(1), "rh:one");
    let lengths = |told: &[String]| told.iter().map(|line| line.len() + 28).sum::<usize>();
    let victim = peer(2);
    let (mut sent, mut got) = (0, 0);
    for n in 0..100 {
        let request = match n % 4 {
            0 | 1 => format!("jr:{}", host.room),
            2 => "ka".into(),
            _ => "rl:more".into(),
        };
        sent += request.len() + 28;
        got += lengths(&world.ask(0, victim, &request));
        world.pass(200);
    }
    got += lengths(&world.told(0, victim));
    // Once a bit more, for a key.
    assert!(got <= 3 * sent + 600, "{got} for {sent}");
}
