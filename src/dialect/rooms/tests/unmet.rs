//! Who is not let in: the owner sees it, and why.

use std::net::SocketAddr;

use super::{Place, World, peer};
use crate::limits;

/// What is said of the latest one who was not let in, and how often.
fn last(world: &World) -> (String, u64) {
    world.shared.unmet().into_iter().next().unwrap_or_default()
}

#[test]
fn each_reason_has_its_sentence() {
    let mut world = World::new();
    let host = world.host(peer(1), "Mine:max=2:password=sesame");
    let jr = format!("jr:{}", host.room);
    let (whom, at) = (format!("was not let into room \"Mine\" of {}: ", peer(1)), peer(2));
    let refused = |world: &mut World, request: &str, why: String| {
        world.ask(at, request);
        assert_eq!(last(world), (format!("{at} {why}"), 1), "{request}");
    };
    let of = |why: &str| format!("{whom}{why}");
    refused(&mut world, &jr, of("it has a password, and none was sent"));
    world.pass_secs(1);
    let wrong = format!("{jr}:password=open");
    world.ask(at, &wrong);
    assert_eq!(last(&world), (format!("{at} {whom}it has another password"), 2));
    world.answer(host.at, &host.signed("rs:password=:locked"));
    refused(&mut world, &jr, of("its host has locked it"));
    world.answer(host.at, &host.signed("rs:unlocked"));
    let guest = world.join(peer(3), &host);
    refused(&mut world, &jr, of("it is full"));
    let none = "was not let into room 0123456789abcdef: there is none with this ID in this game: its host \
                has left, or was silent for too long";
    refused(&mut world, "jr:0123456789abcdef", none.into());
    let other = "it is in another game than the request names with game=, or in none";
    let other = format!("was not let into room {}: {other}", host.room);
    refused(&mut world, &format!("{jr}:game=Pong"), other);
    world.answer(host.at, &host.signed(&format!("kc:id:{}", guest.id)));
    world.ask(peer(3), &jr);
    assert_eq!(last(&world), (format!("{} {whom}its host has kicked this player", peer(3)), 1));
    let near = SocketAddr::new(peer(3).ip(), 9);
    world.ask(near, &jr);
    let why = format!("{near} {whom}its host has kicked a player with the same address");
    assert_eq!(last(&world), (why, 1), "a row of its own");
    assert_eq!(world.shared.counted(), "0 0 0", "it was no introduction");
}

#[test]
fn codes_are_not_told_and_who_finds_no_room_at_all_makes_one() {
    let mut world = World::new();
    world.ask(peer(2), "jr:BBBBBB");
    let why =
        format!("{} was not let into a private room: none has this code in this game", peer(2));
    assert_eq!(last(&world), (why, 1));
    world.ask(peer(3), "qj");
    assert_eq!(world.shared.unmet().len(), 1);
}

#[test]
fn each_request_has_its_own_row() {
    let mut world = World::new();
    let (id, code) = ("jr:0123456789abcdef", "jr:BBBBBB");
    for request in [id, code, "jr:0123456789abcdee", id] {
        world.ask(peer(2), request);
    }
    let times: Vec<u64> = world.shared.unmet().into_iter().map(|(_, times)| times).collect();
    assert_eq!(times, [2, 1, 1]);
    assert!(last(&world).0.contains("room 0123456789abcdef"), "{:?}", last(&world));
}

/// Who had shown its key before it was kicked keeps its row, whatever is forged.
#[test]
fn forged_requests_remove_no_row_of_who_was_kicked() {
    let mut world = World::new();
    let host = world.host(peer(1), "Mine");
    for n in 2..8 {
        let guest = world.join(peer(n), &host);
        world.answer(host.at, &host.signed(&format!("kc:id:{}", guest.id)));
        world.ask(guest.at, &format!("jr:{}", host.room));
    }
    for n in 0..1000 {
        world.ask(peer(1000 + n), "jr:0123456789abcdef");
        world.ask(SocketAddr::new(peer(2 + n % 6).ip(), 9), &format!("jr:{n:016x}"));
    }
    let kicked = |(why, _): &(String, u64)| why.ends_with("its host has kicked this player");
    assert_eq!(world.shared.unmet().iter().filter(|row| kicked(row)).count(), 6);
}

/// Datagrams can be forged: those of a million addresses leave room for who has shown a key.
#[test]
fn forged_requests_leave_half_of_the_list() {
    let mut world = World::new();
    let host = world.host(peer(1), "Mine:max=2");
    world.join(peer(2), &host);
    let known: Vec<_> = (3..10).map(|n| world.host(peer(n), "Own")).collect();
    for one in &known {
        world.answer(one.at, &one.signed("cr"));
    }
    world.pass_secs(3);
    for n in 0..1000 {
        world.ask(SocketAddr::new(peer(1000 + n).ip(), 9), &format!("jr:{}", host.room));
    }
    assert!(world.shared.unmet().len() <= limits::UNMET / 2);
}

/// Whoever sends in the name of a player, or he himself, says now this and now that.
#[test]
fn one_introduction_is_counted_once_whatever_is_said_of_it() {
    let mut world = World::new();
    let host = world.host(peer(1), "Room");
    let client = world.join(peer(2), &host);
    let say = |world: &mut World, from: SocketAddr, id: &str, how: &str| {
        assert_eq!(world.answer(from, &format!("pc:{id}:{how}")), format!("pc:{id}:ok"));
    };
    say(&mut world, client.at, &client.id, "fail");
    assert_eq!(world.shared.counted(), "0 0 1");
    for _ in 0..200 {
        say(&mut world, client.at, &client.id, "ok");
        say(&mut world, host.at, &client.id, "fail");
    }
    assert_eq!(world.shared.counted(), "1 0 0", "the one who gave up did so a moment too early");
    assert_eq!(world.shared.journal.latest().len(), 1);
    assert!(world.shared.journal.lines().iter().all(|line| !line.starts_with("lately: ")));
    // Elsewhere it has to punch again: that is another one.
    let moved = Place::of(peer(3), &world.ask(peer(3), &client.rc()));
    // Anybody may have sent that in its name, until it shows the key that it was told there.
    say(&mut world, host.at, &moved.id, "fail");
    assert_eq!(world.shared.counted(), "1 0 0");
    world.prove(&moved);
    say(&mut world, moved.at, &moved.id, "fail");
    say(&mut world, moved.at, &moved.id, "fail");
    assert_eq!(world.shared.counted(), "1 0 1");
}

/// Somebody has a room of his own, has the requests of others forged, and says that he met none of them.
#[test]
fn who_was_only_forged_is_in_no_result() {
    let mut world = World::new();
    let (evil, honest) = (world.host(peer(1), "Evil"), world.host(peer(2), "Room"));
    let victim = world.join(peer(3), &honest);
    for n in [3, 4, 5, 6] {
        let forged = Place::of(peer(n), &world.ask(peer(n), &format!("jr:{}", evil.room)));
        for how in ["fail", "ok"] {
            world.ask(evil.at, &format!("pc:{}:{how}", forged.id));
            world.ask(evil.at, &evil.signed(&format!("pc:{}:{how}", forged.id)));
        }
    }
    // Nor is he who has a place elsewhere refused for what others send in his name.
    world.ask(victim.at, "jr:0000000000000077");
    assert_eq!((world.shared.counted(), world.shared.journal.latest().len()), ("0 0 0".into(), 0));
    assert!(world.shared.journal.unmet().all(|unmet| !unmet.asked.is_proven));
}

#[test]
fn so_is_each_of_a_mesh() {
    let mut world = World::new();
    let host = world.host(peer(1), "Room:mesh");
    let clients = [2, 3, 4].map(|n| world.join(peer(n), &host));
    for _ in 0..100 {
        for how in ["fail", "ok"] {
            for (from, to) in [(0, 1), (1, 0), (1, 2), (2, 0)] {
                world.ask(clients[from].at, &format!("pc:{}:{how}", clients[to].id));
            }
            // Who asks again is told of the others again.
            world.ask(clients[0].at, &format!("jr:{}", host.room));
        }
    }
    assert_eq!(world.shared.counted(), "3 0 0");
    assert_eq!(world.shared.journal.latest().len(), 3);
}
