//! Who counts as a player: who has shown that it is there, as anybody else may be forged.

use super::{Place, World, peer};

/// Joins that never show a key, each from another network.
fn forge(world: &mut World, host: &Place, game: &str, count: u16) {
    for n in 0..count {
        world.send(peer(1000 + n), format!("jr:{}:game={game}", host.room).as_bytes());
    }
}

/// What is said of the only room of a game, without its ID. It is in lists of rooms with a place, and `qj`
/// leads into it, if it is not full there.
fn seen(world: &mut World, host: &Place, game: &str, asker: u16) -> String {
    let listed = world.list(peer(9), &format!("rl:game={game}"));
    let free = world.list(peer(9), &format!("rl:free:game={game}"));
    assert_eq!(listed.len(), 1, "{listed:?}");
    let at = listed[0].strip_prefix(&host.room).unwrap().to_string();
    let answers = world.ask(peer(asker), &format!("qj:game={game}"));
    let is_led = answers[0].starts_with(&format!("jr:{}:", host.room));
    assert_eq!(is_led, free == listed, "{answers:?} {free:?}");
    if is_led {
        let guest = Place::of(peer(asker), &answers);
        world.prove(&guest);
        assert_eq!(world.answer(guest.at, &guest.signed("lr")), format!("lr:{}", host.room));
    }
    assert_eq!(is_led, !at.contains(",full,"));
    at
}

#[test]
fn forged_joins_fill_no_room_in_lists() {
    for (max, forged) in [(2, 1), (2, 5), (4, 3), (16, 15), (32, 40), (64, 64)] {
        let mut world = World::new();
        let host = world.host(peer(1), &format!("Room:max={max}:game=G"));
        assert_eq!(seen(&mut world, &host, "G", 20), format!(",Room,open,1,{max}"));
        forge(&mut world, &host, "G", forged);
        for n in 0..8 {
            // Not the number of them that there are, nor as if there were no place.
            let entry = format!(",Room,open,{},{max}", max - 1);
            assert_eq!(seen(&mut world, &host, "G", 30 + n), entry, "{forged} {n}");
            world.pass_secs(10);
            world.answer(host.at, "ka");
        }
    }
}

#[test]
fn who_shows_a_key_or_is_connected_fills_it() {
    let mut world = World::new();
    let host = world.host(peer(1), "Room:max=4:game=G");
    let jr = format!("jr:{}:game=G", host.room);
    let proven = world.enter(peer(2), &jr);
    world.prove(&proven);
    assert_eq!(seen(&mut world, &host, "G", 21), ",Room,open,2,4");
    // It never shows a key, but the host has met it.
    let met = world.enter(peer(3), &jr);
    world.answer(host.at, &format!("pc:{}:ok", met.id));
    assert_eq!(seen(&mut world, &host, "G", 22), ",Room,open,3,4");
    let last = world.enter(peer(4), &jr);
    let free = world.list(peer(9), "rl:free:game=G");
    assert_eq!(free, [format!("{},Room,open,3,4", host.room)]);
    forge(&mut world, &host, "G", 3);
    world.prove(&last);
    assert_eq!(seen(&mut world, &host, "G", 24), ",Room,full,4,4");
    assert_eq!(world.answer(peer(25), &jr), "er:jr:full");
    // It has shown a key before, and goes on counting where it has moved to.
    let back = Place::of(peer(5), &world.ask(peer(5), &proven.rc()));
    assert_eq!(seen(&mut world, &host, "G", 26), ",Room,full,4,4");
    world.answer(back.at, "lr");
    assert_eq!(seen(&mut world, &host, "G", 27), ",Room,open,3,4");
    world.answer(host.at, &format!("kc:id:{}", met.id));
    assert_eq!(seen(&mut world, &host, "G", 28), ",Room,open,2,4");
}

#[test]
fn forged_clients_keep_nobody_out_of_a_room_that_was_made_smaller() {
    let mut world = World::new();
    let host = world.host(peer(1), "Room:max=8");
    let client = world.join(peer(2), &host);
    (0..5).for_each(|n| _ = world.join_unproved(peer(100 + n), &host));
    assert_eq!(world.answer(host.at, &host.signed("rs:max=3")), format!("rs:{}", host.room));
    let second = world.join(peer(3), &host);
    assert_eq!(world.answer(second.at, "ka"), "ka");
    assert_eq!(world.answer(peer(4), &format!("jr:{}", host.room)), "er:jr:full");
    world.answer(client.at, &client.signed("lr"));
    world.join(peer(4), &host);
}

#[test]
fn a_room_that_goes_on_without_its_host_counts_who_is_left() {
    let mut world = World::new();
    let host = world.host(peer(1), "Room:migrate:max=3:game=G");
    let clients = [2, 3].map(|n| {
        let client = world.enter(peer(n), &format!("jr:{}:game=G", host.room));
        world.prove(&client);
        client
    });
    assert_eq!(world.list(peer(9), "rl:game=G"), [format!("{},Room,full,3,3", host.room)]);
    world.answer(host.at, &host.signed("lr"));
    assert_eq!(world.list(peer(9), "rl:game=G"), [format!("{},Room,open,2,3", host.room)]);
    world.answer(clients[1].at, &clients[1].signed("lr"));
    assert_eq!(world.list(peer(9), "rl:game=G"), [format!("{},Room,open,1,3", host.room)]);
}
