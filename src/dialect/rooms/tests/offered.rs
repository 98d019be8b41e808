//! What is offered to who has to show a key first, and what others make of it in its name.

use super::{Place, World, peer};
use crate::dialect::rooms::Config;
use crate::limits::{self, Limits};

#[test]
fn who_uses_its_key_leaves_a_full_room_only_with_that_of_the_next() {
    for opens in [true, false] {
        let mut world = World::new();
        let (host, away) = (world.host(peer(1), "R:max=2"), world.host(peer(7), "away"));
        let client = world.join(peer(2), &host);
        world.answer(host.at, &format!("pc:{}:ok", client.id));
        world.pass_secs(2);
        assert_eq!(world.answer(client.at, &client.signed("ka")), "ka");
        let request = if opens { "rh:Own".into() } else { format!("jr:{}", away.room) };
        let next = Place::of(client.at, &world.ask(client.at, &request));
        assert_eq!(world.answer(peer(3), &format!("jr:{}", host.room)), "er:jr:full", "{request}");
        assert_eq!(world.answer(client.at, &client.signed("ka")), "ka", "it may be forged");
        assert_eq!(world.pass_secs(3).to(host.at), [""; 0]);

        assert_eq!(
            world.answer(client.at, &next.signed("ka")),
            "er:ka:noroom",
            "the place is offered"
        );
        let sent = world.send(client.at, next.rc().as_bytes());
        assert_eq!(sent.to(host.at), [format!("cl:{}", client.id)]);
        assert_eq!(world.answer(client.at, &next.signed("ka")), "ka");
        world.join(peer(3), &host);
    }
}

/// A client that uses its key, and as many rooms as it may be offered a place in, and one more.
fn offered() -> (World, Place, Vec<Place>) {
    let (mut world, _, client) = World::introduced();
    assert_eq!(world.answer(client.at, &client.signed("ka")), "ka");
    let rooms = 0..=limits::OFFERS_OF_ENDPOINT as u16;
    let rooms = rooms.map(|n| world.host(peer(20 + n), "W")).collect();
    (world, client, rooms)
}

#[test]
fn what_others_ask_for_in_its_name_takes_no_offer_away() {
    for opens in [true, false] {
        let (mut world, client, rooms) = offered();
        let mut all: Vec<_> = rooms[2..].iter().map(|room| format!("jr:{}", room.room)).collect();
        all.push("rh:Own".into());
        if opens {
            all.reverse();
        }
        let mut offers =
            all.iter().map(|request| Place::of(client.at, &world.ask(client.at, request)));
        let first = offers.next().unwrap();
        let _: Vec<_> = offers.collect();
        let back = Place::of(client.at, &world.ask(client.at, &first.rc()));
        assert_eq!((&back.id, &back.room), (&first.id, &first.room), "{}", all[0]);
        world.pass(limits::OFFER);
        assert!(world.rooms.offers.is_empty());
    }
}

#[test]
fn what_is_forged_changes_nothing_of_what_it_is_offered() {
    let (mut world, client, _) = offered();
    let next = Place::of(client.at, &world.ask(client.at, "rh:Nice:max=8:d.a=b"));
    world.ask(client.at, "rh:Evil:max=1:password=x:private:locked");
    assert_eq!(world.ask(client.at, "rh:Nice:max=8:d.a=b").len(), 2, "the same once more");
    assert_eq!(Place::of(client.at, &world.ask(client.at, &next.rc())).room, next.room);
    let list = world.list(peer(3), "rl:d.a=b");
    assert_eq!(list, [format!("{},Nice,open,1,8,a=b", next.room)]);

    // And nobody makes its password a wrong one, how many have been tried in its name.
    let (mut world, client, _) = offered();
    let door = world.host(peer(9), "Door:password=owl");
    let with = |word: &str| format!("jr:{}:password={word}", door.room);
    (0..2 * limits::GUESSES).for_each(|_| _ = world.ask(client.at, &with("no")));
    let next = Place::of(client.at, &world.ask(client.at, &with("owl")));
    world.ask(client.at, &with("no"));
    let back = Place::of(client.at, &world.ask(client.at, &next.rc()));
    assert_eq!((&back.id, &back.room), (&next.id, &door.room));
}

#[test]
fn who_moves_within_a_full_room_keeps_its_place_until_it_shows_the_new_key() {
    let mut world = World::new();
    let host = world.host(peer(1), "R:max=2");
    let client = world.join(peer(2), &host);
    world.pass(limits::MOVED_PLACE);
    let moved = Place::of(peer(5), &world.ask(peer(5), &client.rc()));
    world.pass_secs(5);
    assert_eq!(world.answer(peer(3), &format!("jr:{}", host.room)), "er:jr:full");
    assert_eq!(world.answer(moved.at, &moved.signed("ka")), "ka");
}

#[test]
fn who_moves_within_a_full_server_keeps_its_place_until_it_shows_the_new_key() {
    let limits = Limits::default();
    let mut world = World::with(Config { peers: 2, limits, ..Config::default() });
    let host = world.host(peer(1), "R");
    let client = world.join(peer(2), &host);
    world.pass(limits::MOVED_PLACE);
    let moved = Place::of(peer(5), &world.ask(peer(5), &client.rc()));
    world.pass_secs(5);
    assert_eq!(world.answer(peer(3), "rh:S"), "er:rh:busy");
    assert_eq!(world.answer(moved.at, &moved.signed("ka")), "ka");
}

#[test]
fn who_has_become_host_takes_no_other_place_that_it_was_offered() {
    let mut world = World::new();
    let (host, away) = (world.host(peer(1), "R:migrate"), world.host(peer(7), "away"));
    let clients = [2, 3].map(|n| world.join(peer(n), &host));
    for client in &clients {
        assert_eq!(world.answer(client.at, &client.signed("ka")), "ka");
    }
    let next = Place::of(peer(2), &world.ask(peer(2), &format!("jr:{}", away.room)));
    world.ask(host.at, &host.signed("lr"));
    assert_eq!(world.answer(peer(2), &next.rc()), "er:rc:badrequest");
    world.join(peer(4), &host);
}

#[test]
fn offers_of_an_endpoint_are_bounded_and_the_oldest_goes() {
    let (mut world, client, rooms) = offered();
    let ask =
        |room: &Place| Place::of(client.at, &world.ask(client.at, &format!("jr:{}", room.room)));
    let offers: Vec<Place> = rooms.iter().map(ask).collect();
    assert_eq!(world.answer(client.at, &offers[0].rc()), "er:rc:noroom");
    assert_eq!(world.answer(client.at, &offers[1].signed("ka")), "er:ka:noroom", "it is there");
    assert_eq!(world.answer(client.at, &offers[0].signed("ka")), "er:ka:badkey");
    assert_eq!(world.ask(client.at, &offers[1].rc()).len(), 2);
}

#[test]
fn who_uses_its_key_is_refused_as_others_where_no_place_is_left() {
    let (mut world, _, client) = World::introduced();
    let full = world.host(peer(7), "full:max=2");
    world.join(peer(8), &full);
    assert_eq!(world.answer(client.at, &client.signed("ka")), "ka");
    assert_eq!(world.answer(client.at, &format!("jr:{}", full.room)), "er:jr:full");
    assert_eq!(world.answer(client.at, &client.signed("ka")), "ka");
}

#[test]
fn who_has_not_shown_its_key_yet_keeps_the_place_that_others_leave_in_its_name() {
    let (mut world, _, _) = World::introduced();
    let host = world.host(peer(5), "R:password=owl:migrate");
    let away = world.host(peer(7), "away");
    for forged in ["rh".into(), "rh:Evil:max=1".into(), format!("jr:{}", away.room)] {
        let asked = world.ask(peer(2), &format!("jr:{}:password=owl", host.room));
        let client = Place::of(peer(2), &asked);
        world.send(client.at, forged.as_bytes());
        world.answer(host.at, &host.signed("rs:locked"));
        assert_eq!(world.answer(client.at, &client.rc()), "er:rc:locked", "{forged}");
        world.answer(host.at, &host.signed("rs:unlocked"));
        let back = Place::of(client.at, &world.ask(client.at, &client.rc()));
        assert_eq!((&back.id, &back.room), (&client.id, &client.room), "{forged}");
        assert_eq!(world.answer(client.at, "lr"), format!("lr:{}", host.room), "{forged}");
        world.pass(limits::OFFER);
    }
}

#[test]
fn a_password_that_is_set_meanwhile_is_asked_for() {
    let (mut world, client, rooms) = offered();
    let host = &rooms[2];
    let next = Place::of(client.at, &world.ask(client.at, &format!("jr:{}", host.room)));
    world.answer(host.at, &host.signed("rs:password=owl"));
    assert_eq!(world.answer(client.at, &next.rc()), "er:rc:badkey");
    assert_eq!(world.answer(client.at, &client.signed("ka")), "ka", "it is where it was");
    let with = format!("jr:{}:password=owl", host.room);
    let next = Place::of(client.at, &world.ask(client.at, &with));
    world.ask(client.at, &next.rc());
    assert_eq!(world.answer(client.at, &next.signed("ka")), "ka");
}
