//! Nodes that die, stand still, are taken over or say what they like.

use compat_tests::unplugged_nodes::Impostor;
use punchd::dialect::Name;

use super::*;

#[test]
fn the_rooms_of_a_node_that_dies_are_gone_and_its_clients_are_found_elsewhere() {
    let mut world = World::of(3);
    let host = world.get_in(1, peer(1), "rh:one");
    let client = world.get_in(0, peer(2), &format!("jr:{}", host.room));
    // It ends with its key whatever it sends.
    for _ in 0..2 {
        assert_eq!(world.answer(0, client.at, &format!("ka:{}", client.key)), "ka");
        world.pass(6000);
    }
    world.told(1, host.at);
    // That of the client. It finds its place again by way of any other.
    world.kill(0);
    world.pass(5000);
    let told = world.told(1, host.at);
    assert!(!told.contains(&format!("cl:{}", client.id)), "they play on: {told:?}");
    let id = format!("rc:{}:{}", client.id, client.key);
    assert_eq!(world.answer(2, client.at, &id), "er:rc:noroom");
    let told = world.ask(2, client.at, &format!("jr:{}", host.room));
    assert!(told[0].starts_with(&format!("jr:{}:{}", host.room, client.id)), "{told:?}");
    world.told(2, client.at);
    world.ask(1, host.at, "rn:uno");
    assert_eq!(world.told(2, client.at), ["rn:uno"]);
    // That of the room.
    world.pass(20);
    assert_eq!(world.listed(2, ""), ["uno"]);
    world.kill(1);
    world.pass(5000);
    assert_eq!(world.listed(2, ""), Vec::<String>::new());
    for request in ["ka".into(), id, format!("jr:{}", host.room)] {
        let verb = &request[..2];
        assert_eq!(world.answer(2, client.at, &request), format!("er:{verb}:noroom"));
    }
    // What it has sent goes nowhere, but it can have a room of its own.
    world.get_in(2, client.at, "rh:own");
    assert_eq!(world.listed(2, ""), ["own"]);
}

#[test]
fn a_room_whose_node_was_away_for_a_while_has_its_members() {
    let mut world = World::of(2);
    let host = world.get_in(1, peer(1), "rh:one");
    let client = world.get_in(0, peer(2), &format!("jr:{}", host.room));
    // It stands still.
    let away = world.servers[1].take();
    world.pass(5000);
    assert_eq!(world.answer(0, client.at, "ka"), "er:ka:noroom");
    world.servers[1] = away;
    world.pass(2000);
    world.told(0, client.at);
    assert_eq!(world.answer(0, client.at, "ka"), "ka");
    world.prove(&client);
    // Nor does it matter to who has a place at his own node meanwhile.
    let away = world.servers[1].take();
    world.pass(5000);
    let own = world.get_in(0, client.at, "rh:own");
    world.servers[1] = away;
    world.pass(2000);
    world.told(0, client.at);
    assert_eq!(world.answer(0, client.at, &format!("rn:new:{}", own.key)), "rn:new");
    let mut listed = world.listed(0, "");
    listed.sort();
    assert_eq!(listed, ["new", "one"]);
}

#[test]
fn a_process_that_takes_over_a_node_knows_by_whom_its_peers_are_reached() {
    let mut world = World::of(3);
    let host = world.get_in(1, peer(1), "rh:one");
    let before = world.get_in(2, peer(2), &format!("jr:{}", host.room));
    // It has come by another one before, which still knows of it.
    let client = world.enter(0, before.at, &format!("jr:{}", host.room));
    world.prove(&client);
    for (millis, name) in [(0, "uno"), (2000, "eins")] {
        world.told(0, client.at);
        world.take_over(1);
        world.pass(millis);
        assert_eq!(world.answer(1, host.at, &format!("rn:{name}")), format!("rn:{name}"));
        let told = world.told(0, client.at);
        assert!(told.contains(&format!("rn:{name}")), "before it has said anything: {told:?}");
    }
    world.pass(100);
    assert_eq!(world.listed(0, ""), ["eins"]);
    assert_eq!(world.answer(0, client.at, "ka"), "ka");
}

#[test]
fn a_process_that_takes_over_a_node_has_the_rooms_of_all_at_once() {
    let mut world = World::of(2);
    let hosts = ["one", "two"].map(|name| {
        let from = peer(name.len() as u8 + name.as_bytes()[0]);
        world.get_in(1, from, &format!("rh:{name}"))
    });
    let client = world.get_in(0, peer(2), &format!("jr:{}", hosts[0].room));
    for is_there in [true, false] {
        world.take_over(0);
        assert_eq!(world.listed(0, ""), ["two", "one"], "nothing was heard yet");
        if !is_there {
            world.kill(1);
        }
        // He need not come back: his own node still knows where his place is.
        let answers = world.ask(0, client.at, "ka");
        assert!(answers.iter().all(|answer| answer == "ka"), "{answers:?}");
        world.pass(3600);
        world.told(0, client.at);
        let left = if is_there { &["two", "one"][..] } else { &[] };
        assert_eq!(world.listed(0, ""), left);
        if is_there {
            assert_eq!(world.answer(0, client.at, "ka"), "ka");
        }
    }
}

#[test]
fn what_a_node_says_is_parsed_like_what_anybody_says() {
    let mut world = World::of(2);
    world.get_in(1, peer(1), "rh:one");
    // In place of the first node, somebody who says what he likes.
    let mut evil = Impostor::new(&mut world, 0);
    let mut seen = 0;
    for n in 0..400u32 {
        let noise: Vec<u8> = (0..n % 97).map(|i| (i * 31 + n * 7) as u8).collect();
        // CBOR of something that is none of the messages, or half of one.
        let texts = [noise, b"\xa1\x61q\xa1\x61a".to_vec()];
        seen += evil.say(&mut world, Name::Rooms, &texts);
        world.pass(10);
        evil.hear(&mut world);
    }
    assert!(seen > 400, "{seen}");
    assert_eq!(world.listed(1, ""), ["one"]);
}
