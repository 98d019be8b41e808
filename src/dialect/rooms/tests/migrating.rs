//! Rooms that outlive their hosts.

use std::time::Duration;

use super::{Place, World, peer};
use crate::limits;

/// A room that migrates with its host and clients who have shown their keys, nothing under way.
fn migrating(clients: u16) -> (World, Place, Vec<Place>) {
    let mut world = World::new();
    let host = world.host(peer(1), "Room:migrate:game=G:d.map=castle");
    let join = format!("jr:{}:game=G", host.room);
    let mut places = Vec::new();
    for n in 0..clients {
        let place = world.enter(peer(10 + n), &join);
        world.prove(&place);
        places.push(place);
    }
    world.pass_secs(2);
    (world, host, places)
}

#[test]
fn the_one_who_has_been_there_longest_becomes_host_and_all_meet_it() {
    let (mut world, host, clients) = migrating(3);
    let [successor, second, third] = &clients[..] else { panic!() };
    let sent = world.send(host.at, host.signed("lr").as_bytes());
    assert_eq!(sent.to(host.at), [format!("lr:{}", host.room)]);
    let mut told = sent.to(successor.at);
    told.sort();
    let mut want = vec![
        format!("cj:{}:{}:40000", second.id, second.ip()),
        format!("cj:{}:{}:40000", third.id, third.ip()),
        format!("nh:{}", successor.id),
    ];
    want.sort();
    assert_eq!(told, want);
    for client in [second, third] {
        assert_eq!(sent.to(client.at), [format!("nh:{}:{}:40000", successor.id, successor.ip())]);
    }
    // It is host in all that a host does.
    assert_eq!(world.ask(successor.at, &successor.rc())[0], format!("rh:{}", host.room));
    assert_eq!(world.answer(successor.at, &successor.signed("rn:Mine")), "rn:Mine");
    let listed = world.list(peer(99), "rl:game=G");
    assert_eq!(listed, [format!("{},Mine,open,3,65,map=castle", host.room)]);
    let newcomer = world.ask(peer(50), &format!("jr:{}:game=G", host.room));
    assert!(newcomer[0].ends_with(&format!(":{}:40000", successor.ip())), "{newcomer:?}");
    let again = world.ask(second.at, &format!("jr:{}:game=G", host.room));
    assert!(again[0].ends_with(&format!(":{}:40000", successor.ip())), "{again:?}");
    assert_eq!(world.answer(host.at, "ka"), "er:ka:noroom");
    assert_eq!(world.answer(host.at, &host.signed("lr")), format!("lr:{}", host.room), "again");
}

#[test]
fn a_host_that_falls_silent_is_followed() {
    let (mut world, host, clients) = migrating(2);
    for _ in 0..30 {
        world.pass_secs(11);
        clients.iter().for_each(|client| _ = world.answer(client.at, "ka"));
    }
    assert_eq!(world.ask(clients[0].at, &clients[0].rc())[0], format!("rh:{}", host.room));
    assert_eq!(world.answer(clients[1].at, "ka"), "ka");
}

#[test]
fn a_room_that_nobody_can_take_ends_with_its_host() {
    let (mut world, host, _) = migrating(0);
    let forged = world.enter(peer(30), &format!("jr:{}:game=G", host.room));
    // Which pays for what it is told.
    world.answer(forged.at, "ka");
    let sent = world.send(host.at, host.signed("lr").as_bytes());
    assert_eq!(sent.to(host.at), [format!("lr:{}", host.room)]);
    assert_eq!(sent.to(forged.at), [format!("cr:{}", host.room)]);
    world.pass_secs(60);
    assert!(world.rooms.is_empty());
}

#[test]
fn who_migrates_may_still_close_its_room() {
    let (mut world, host, clients) = migrating(1);
    let sent = world.send(host.at, host.signed("cr").as_bytes());
    assert_eq!(sent.to(clients[0].at), [format!("cr:{}", host.room)]);
}

#[test]
fn nobody_hands_a_room_over_in_the_name_of_its_host() {
    let (mut world, host, clients) = migrating(1);
    assert_eq!(world.answer(host.at, "lr"), "er:lr:badkey");
    assert_eq!(world.answer(host.at, &clients[0].signed("lr")), "er:lr:badkey");
    let (mut world, host, _) = World::introduced();
    let refused = "er:lr:badrequest";
    assert_eq!(world.answer(host.at, &host.signed("lr")), refused, "another room does not migrate");
}

#[test]
fn a_room_may_be_handed_over_again_and_again() {
    let (mut world, host, clients) = migrating(5);
    let mut hosts = vec![host];
    hosts.extend(clients);
    while let [host, next, ..] = &hosts[..] {
        let sent = world.send(host.at, host.signed("lr").as_bytes());
        assert!(sent.to(next.at).contains(&format!("nh:{}", next.id)), "{sent:?}");
        world.pass_secs(2);
        assert!(hosts[1..].iter().all(|place| world.answer(place.at, "ka") == "ka"));
        hosts.remove(0);
    }
    let last = &hosts[0];
    world.answer(last.at, &last.signed("lr"));
    world.pass_secs(60);
    assert!(world.rooms.is_empty());
}

#[test]
fn a_new_host_gives_way_to_nobody_while_it_has_players() {
    let (mut world, host, clients) = migrating(2);
    world.answer(host.at, &host.signed("lr"));
    let successor = &clients[0];
    let peer = world.rooms.table.peer_at(successor.at).unwrap();
    assert!(peer.is_host && world.rooms.table.has_players(peer));
    world.answer(clients[1].at, &clients[1].signed("lr"));
    world.answer(successor.at, &successor.signed("cr"));
    world.pass(limits::PARTED + limits::PARTED);
    assert!(world.rooms.is_empty());
}

#[test]
fn a_room_that_is_being_closed_is_handed_to_nobody() {
    let mut world = World::with(crate::dialect::rooms::Config {
        silence: std::time::Duration::from_secs(5),
        ..crate::dialect::rooms::Config::default()
    });
    let host = world.host(peer(1), "Room:migrate");
    let client = world.join(peer(2), &host);
    world.answer(host.at, "cr");
    let mut told = Vec::new();
    for _ in 0..12 {
        told.extend(world.pass_secs(3).to(client.at));
        world.send(client.at, b"ka");
    }
    assert!(told.contains(&format!("cr:{}", host.room)), "{told:?}");
    assert!(!told.iter().any(|text| text.starts_with("nh")), "{told:?}");
}

/// In a mesh all but the host are introduced to each other already, so that they hear of it alone.
#[test]
fn a_mesh_hears_of_its_new_host_and_nothing_else() {
    let mut world = World::new();
    let host = world.host(peer(1), "Room:mesh:migrate");
    let clients = [10, 11, 12].map(|n| world.join(peer(n), &host));
    world.pass_secs(2);
    let [successor, others @ ..] = &clients;
    let sent = world.send(host.at, host.signed("lr").as_bytes());
    for client in others {
        let news = format!("nh:{}:{}:40000", successor.id, successor.ip());
        assert_eq!(sent.to(client.at), [news]);
        assert!(sent.to(successor.at).contains(&format!("cj:{}:{}:40000", client.id, client.ip())));
    }
    // They go on with the connections that they have, and say so.
    for client in others {
        let pc = format!("pc:{}:ok", client.id);
        assert_eq!(world.answer(successor.at, &pc), pc);
        assert_eq!(world.answer(client.at, &pc), pc);
    }
    let heard = world.pass_secs(3);
    let told_again = heard.to(successor.at).iter().any(|text| text.starts_with("cj:"));
    assert!(!told_again, "{heard:?}");
    // Who comes later meets all of them.
    let late = world.join(peer(13), &host);
    let heard = world.pass_secs(2);
    for client in &clients {
        assert!(heard.to(client.at).iter().any(|text| text.contains(&late.id)), "{heard:?}");
    }
    for client in others {
        let pc = format!("pc:{}:ok", late.id);
        assert_eq!(world.answer(client.at, &pc), pc);
    }
}

/// What is sent within three seconds after this, and now.
fn told_after(world: &mut World, whom: &Place, mut sent: super::Sent) -> Vec<String> {
    sent.0.extend(world.pass_secs(3).0);
    sent.to(whom.at)
}

#[test]
fn nobody_is_told_where_a_new_host_was_before_it_moved() {
    let (mut world, host, clients) = migrating(2);
    let [successor, other] = &clients[..] else { panic!() };
    world.send(host.at, host.signed("lr").as_bytes());
    world.pass(Duration::from_millis(200));
    let there = peer(60);
    let sent = world.send(there, successor.rc().as_bytes());
    let told = told_after(&mut world, other, sent);
    let new = format!("{}:{}:{}", successor.id, there.ip(), there.port());
    assert!(told.contains(&format!("nh:{new}")) && told.contains(&format!("ep:{new}")), "{told:?}");
    assert!(
        told.iter().all(|text| !text.contains(&successor.id) || text.ends_with(&new)),
        "{told:?}"
    );
}

#[test]
fn nobody_is_told_where_a_host_is_that_has_left() {
    let (mut world, host, clients) = migrating(2);
    let there = peer(60);
    let moved = Place::of(there, &world.ask(there, &host.rc()));
    world.pass(Duration::from_millis(100));
    let sent = world.send(there, moved.signed("lr").as_bytes());
    let told = told_after(&mut world, &clients[1], sent);
    assert!(told.iter().any(|text| text.starts_with("nh:")), "{told:?}");
    assert!(told.iter().all(|text| !text.contains(&host.id)), "{told:?}");
}

#[test]
fn a_host_is_told_nothing_more_of_whom_it_has_kicked() {
    let (mut world, host, clients) = migrating(1);
    world.ask(peer(60), &clients[0].rc());
    let sent = world.send(host.at, host.signed(&format!("kc:id:{}", clients[0].id)).as_bytes());
    let told = told_after(&mut world, &host, sent);
    assert_eq!(told, [format!("kc:id:{}", clients[0].id)]);
}
