//! Coming back from a new endpoint.

use super::{Place, World, peer};

#[test]
fn a_client_keeps_its_place() {
    let (mut world, host, client) = World::introduced();
    let sent = world.send(peer(3), client.rc().as_bytes());
    let back = Place::of(peer(3), &sent.to(peer(3)));
    assert_eq!((&back.room, &back.id), (&client.room, &client.id));
    let joined = format!("jr:{}:{}:{}:40000", host.room, client.id, host.ip());
    assert_eq!(sent.to(peer(3))[0], joined);
    assert_eq!(sent.to(host.at), [format!("ep:{}:{}:40000", client.id, back.ip())]);
    assert_eq!(world.ask(peer(3), &client.rc()), sent.to(peer(3)), "asked again");
    assert_eq!(world.answer(client.at, "ka"), "er:ka:noroom", "nobody is there any more");
    assert!(world.listed().ends_with(",2"));
    world.answer(host.at, &format!("pc:{}:ok", client.id));
    let more = world.pass_secs(9).to(host.at);
    assert_eq!(more, vec![sent.to(host.at).remove(0); 2], "pc may be about the endpoint before");
}

#[test]
fn a_host_keeps_its_room_and_meets_all_its_clients_again() {
    let (mut world, host, client) = World::introduced();
    let other = world.join(peer(3), &host);
    let sent = world.send(peer(4), host.rc().as_bytes());
    let back = sent.to(peer(4));
    let moved = format!("ep:{}:{}:40000", host.id, peer(4).ip());
    assert_eq!(back[0], format!("rh:{}", host.room));
    let comes = |client: &Place| format!("cj:{}:{}:40000", client.id, client.ip());
    // As many as its request has paid for, and the rest when it has shown its key.
    assert_eq!(back.iter().filter(|text| text.starts_with("cj:")).count(), 1, "{back:?}");
    let place = Place::of(peer(4), &back[..2]);
    let told = world.send(peer(4), place.rc().as_bytes()).to(peer(4));
    let all = [&back[..], &told, &world.pass_secs(1).to(peer(4))].concat();
    assert!(all.contains(&comes(&client)) && all.contains(&comes(&other)), "{all:?}");
    assert_eq!(sent.to(client.at), [moved.as_str()]);
    assert_eq!(sent.to(other.at), [moved.as_str()]);
    assert!(sent.to(host.at).is_empty());
    assert_eq!(world.answer(peer(4), "rn:b"), "rn:b");
    assert_eq!(world.answer(host.at, "rn:c"), "er:rn:noroom");
}

#[test]
fn wrong_keys_and_places_are_refused() {
    let (mut world, host, client) = World::introduced();
    let wrong = format!("rc:{}:{}", client.id, host.key);
    assert_eq!(world.answer(peer(3), &wrong), "er:rc:badkey");
    assert_eq!(world.answer(client.at, &wrong), "er:rc:badkey");
    let nobody = format!("rc:0123456789abcdef:{}", client.key);
    assert_eq!(world.answer(peer(3), &nobody), "er:rc:noroom");
    let other = world.host(peer(4), "b");
    assert_eq!(world.answer(other.at, &client.rc()), "er:rc:badrequest");
    assert_eq!(world.answer(client.at, "ka"), "ka", "it is where it was");
    world.answer(client.at, &format!("lr:{}", client.key));
    assert_eq!(world.answer(peer(3), &client.rc()), "er:rc:noroom");
}

#[test]
fn a_place_at_the_new_endpoint_is_left() {
    let (mut world, host, client) = World::introduced();
    let other = world.join(peer(3), &host);
    let sent = world.send(other.at, client.rc().as_bytes());
    assert_eq!(Place::of(other.at, &sent.to(other.at)).id, client.id);
    assert!(world.listed().ends_with(",2"));
}

#[test]
fn the_key_changes_with_the_endpoint() {
    let (mut world, _, client) = World::introduced();
    let back = Place::of(peer(3), &world.ask(peer(3), &client.rc()));
    assert_ne!(back.key, client.key);
    // The answer may be lost, and the peer at a third endpoint by then.
    let third = Place::of(peer(4), &world.ask(peer(4), &client.rc()));
    assert_eq!(world.answer(peer(5), &back.rc()), "er:rc:badkey", "never used");
    world.prove(&third);
    // Now it has the new key.
    assert_eq!(world.answer(peer(5), &client.rc()), "er:rc:badkey");
    assert_eq!(world.ask(peer(4), &client.rc()).len(), 2, "a late copy changes nothing");
    assert_eq!(world.ask(peer(5), &third.rc()).len(), 2);
}

#[test]
fn late_copies_from_the_old_endpoint_change_nothing() {
    let (mut world, host, client) = World::introduced();
    world.ask(peer(3), &client.rc());
    assert_eq!(world.send(client.at, format!("jr:{}", host.room).as_bytes()).0, []);
    world.ask(peer(4), &host.rc());
    assert_eq!(world.send(host.at, b"rh:a").0, []);
    assert!(world.listed().ends_with(",2"));
}

#[test]
fn the_key_proves_nothing_where_it_was_not_told() {
    let mut world = World::new();
    let victim = peer(66);
    let host = world.host(peer(1), "a");
    // An attacker knows the key of its own place, and moves it to a victim.
    let told = world.send(victim, host.rc().as_bytes()).to(victim).len();
    assert_eq!(told, 2);
    world.send(victim, host.rc().as_bytes());
    let joined: usize = (100..164)
        .map(|n| world.send(peer(n), format!("jr:{}", host.room).as_bytes()).to(victim).len())
        .sum();
    assert!(joined < 30, "{joined}");
}
