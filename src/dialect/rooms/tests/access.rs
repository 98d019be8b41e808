//! Who may come into a room: its size, its lock, its password, its code; and who was kicked.

use std::net::SocketAddr;

use super::{Place, World, peer};
use crate::limits;

#[test]
fn a_room_has_as_many_places_as_its_host_says() {
    let mut world = World::new();
    let host = world.host(peer(1), "a:max=3");
    world.join(peer(2), &host);
    let last = world.join(peer(3), &host);
    assert_eq!(world.answer(peer(4), &format!("jr:{}", host.room)), "er:jr:full");
    assert_eq!(world.list(peer(9), "rl"), [format!("{},a,full,3", host.room)]);
    world.answer(last.at, &last.signed("lr"));
    world.pass_secs(2);
    assert_eq!(world.list(peer(9), "rl"), [format!("{},a,open,2", host.room)]);
    world.join(peer(4), &host);
    // Smaller than it is: who is in stays in.
    world.answer(host.at, &host.signed("rs:max=2"));
    assert_eq!(world.answer(peer(5), &format!("jr:{}", host.room)), "er:jr:full");
    assert_eq!(world.answer(peer(4), "ka"), "ka");
    world.answer(host.at, &host.signed("rs:max=64"));
    world.join(peer(5), &host);
    for wrong in ["0", "65", "", "x", "-1"] {
        assert_eq!(world.answer(peer(9), &format!("rh:b:max={wrong}")), "er:rh:badrequest");
    }
}

/// A NAT may give it another port at any time.
#[test]
fn who_was_not_kicked_comes_back_from_the_address_of_one_who_was() {
    let mut world = World::new();
    let host = world.host(peer(1), "a");
    let at = |port| SocketAddr::new(peer(2).ip(), port);
    let [one, other] = [1, 2].map(|port| world.join(at(port), &host));
    world.answer(host.at, &host.signed(&format!("kc:id:{}", one.id)));
    let moved = Place::of(at(3), &world.ask(at(3), &other.rc()));
    assert_eq!((&moved.id, &moved.room), (&other.id, &host.room));
    world.prove(&moved);
    // Nor may others give its place up for it.
    world.answer(at(3), "lr");
    world.pass_secs(2);
    world.prove(&moved);
    assert_eq!(world.answer(at(3), "ka"), "ka");
    assert_eq!(world.answer(at(1), &one.rc()), "er:rc:noroom");
    assert_eq!(world.answer(at(4), &format!("jr:{}", host.room)), "er:jr:kicked");
}

#[test]
fn who_was_let_in_again_is_not_told_that_it_was_kicked_when_its_room_ends() {
    let mut world = World::new();
    let host = world.host(peer(1), "a");
    let client = world.join(peer(2), &host);
    world.answer(host.at, &host.signed(&format!("kc:id:{}", client.id)));
    assert_eq!(world.answer(client.at, "ka"), "er:ka:kicked");
    world.answer(host.at, &host.signed(&format!("li:id:{}", client.id)));
    let again = world.join(peer(2), &host);
    world.prove(&again);
    world.answer(host.at, &host.signed("cr"));
    assert_eq!(world.answer(again.at, "ka"), "er:ka:noroom");
    assert_eq!(world.answer(again.at, "lr"), "er:lr:noroom");
}

#[test]
fn who_was_kicked_does_not_come_back_to_his_address_by_way_of_another() {
    let mut world = World::new();
    let host = world.host(peer(1), "a");
    let kicked = world.join(peer(2), &host);
    world.answer(host.at, &host.signed(&format!("kc:id:{}", kicked.id)));
    let again = world.join(peer(3), &host);
    let other_port = SocketAddr::new(kicked.at.ip(), 5);
    assert_eq!(world.answer(other_port, &again.rc()), "er:rc:kicked");
    assert_eq!(world.answer(again.at, "ka"), "ka");
}

/// Who shares an address with others is not put out of a small room for somebody else.
#[test]
fn nobody_who_has_shown_a_key_makes_place_in_a_room_of_its_own_size() {
    let mut world = World::new();
    let host = world.host(peer(1), "a:max=3");
    let [one, two] = [1, 2].map(|port| SocketAddr::new(peer(2).ip(), port));
    let siblings = [one, two].map(|at| world.join(at, &host));
    world.pass_secs(5);
    assert_eq!(world.answer(peer(3), &format!("jr:{}", host.room)), "er:jr:full");
    assert!(siblings.iter().all(|one| world.answer(one.at, "ka") == "ka"));
}

#[test]
fn forged_clients_take_no_place_of_a_small_room() {
    let mut world = World::new();
    let host = world.host(peer(1), "a:max=2");
    world.join_unproved(peer(2), &host);
    let client = world.join_unproved(peer(3), &host);
    assert_eq!(world.answer(peer(3), "ka"), "er:ka:noroom", "the place is offered");
    world.prove(&client);
    assert_eq!(world.answer(peer(3), "ka"), "ka");
    assert_eq!(world.answer(peer(2), "ka"), "er:ka:noroom");
}

#[test]
fn a_locked_room_takes_back_who_was_in_it_and_nobody_new() {
    let mut world = World::new();
    let host = world.host(peer(1), "a");
    let client = world.join(peer(2), &host);
    assert_eq!(world.answer(host.at, &host.signed("rs:locked")), format!("rs:{}", host.room));
    assert_eq!(world.list(peer(9), "rl"), [format!("{},a,locked,2", host.room)]);
    assert_eq!(world.answer(peer(3), &format!("jr:{}", host.room)), "er:jr:locked");
    assert_eq!(world.answer(peer(3), "qj"), "er:qj:noroom");
    let back = Place::of(peer(4), &world.ask(peer(4), &client.rc()));
    assert_eq!((&back.id, &back.room), (&client.id, &host.room));
    // One that was led out of it by somebody else comes back as well.
    world.prove(&back);
    world.answer(back.at, "lr");
    world.pass_secs(2);
    assert_eq!(Place::of(back.at, &world.ask(back.at, &back.rc())).id, client.id);
    world.answer(host.at, &host.signed("rs:unlocked"));
    world.join(peer(3), &host);
}

#[test]
fn an_offered_place_is_none_in_a_room_that_was_locked_since() {
    let mut world = World::new();
    let host = world.host(peer(1), "a:max=2");
    world.join_unproved(peer(2), &host);
    let offered = world.join_unproved(peer(3), &host);
    world.answer(host.at, &host.signed("rs:locked"));
    assert_eq!(world.answer(peer(3), &offered.rc()), "er:rc:locked");
}

#[test]
fn a_password_is_asked_for_and_guessed_seldom() {
    let mut world = World::new();
    let host = world.host(peer(1), "a:password=open%3Asesame");
    assert_eq!(world.list(peer(9), "rl"), [format!("{},a,password,1", host.room)]);
    let with = |word: &str| format!("jr:{}:password={word}", host.room);
    for _ in 0..20 {
        assert_eq!(world.answer(peer(2), &format!("jr:{}", host.room)), "er:jr:badkey");
    }
    let port = |port| SocketAddr::new(peer(2).ip(), port);
    for n in 0..limits::GUESSES {
        assert_eq!(world.answer(port(1 + n as u16), &with("guess")), "er:jr:badkey");
    }
    // Of those who have proven nothing, few are noted in one second.
    world.pass_secs(1);
    let guess = world.enter(port(99), &with("guess"));
    assert_eq!(world.answer(port(99), &guess.rc()), "er:rc:badkey", "nobody has looked before");
    let (why, times) = world.shared.unmet().remove(0);
    assert!(
        why.starts_with(&port(99).to_string()) && why.ends_with("it has another password"),
        "{why}"
    );
    assert!(times > 1, "it has asked for the same before");
    let client = world.enter(peer(3), &with("open%3Asesame"));
    assert_eq!(client.room, host.room);
    world.prove(&client);
    assert_eq!(world.ask(peer(3), &format!("jr:{}", host.room)).len(), 2, "who is in is in");
    world.pass(limits::GUESS);
    assert_eq!(world.ask(port(99), &with("open%3Asesame")).len(), 2);
    // Another password, or none.
    world.answer(host.at, &host.signed("rs:password=new"));
    assert_eq!(world.answer(peer(4), &with("open%3Asesame")), "er:jr:badkey");
    world.answer(host.at, &host.signed("rs:password="));
    world.join(peer(4), &host);
}

#[test]
fn forged_guesses_keep_nobody_out_who_knows_the_password() {
    let mut world = World::new();
    let host = world.host(peer(1), "a:password=owl");
    let with = |word: &str| format!("jr:{}:password={word}", host.room);
    let port = |port| SocketAddr::new(peer(2).ip(), port);
    for n in 1..60 {
        world.send(port(n), with("x").as_bytes());
    }
    let offered = world.enter(peer(2), &with("owl"));
    let told = world.ask(peer(2), &with("owl"))[0].clone();
    let nowhere = format!("jr:{}:{}:{}:9", host.room, offered.id, peer(2).ip());
    assert_eq!(told, nowhere, "it may not know the password");
    assert_eq!(world.answer(peer(2), "ka"), "er:ka:noroom", "the place is offered");
    let sent = world.send(peer(2), offered.rc().as_bytes());
    let joined = format!("jr:{}:{}:{}:40000", host.room, offered.id, host.ip());
    assert_eq!(sent.to(peer(2))[0], joined);
    assert_eq!(sent.to(host.at), [format!("cj:{}:{}:40000", offered.id, peer(2).ip())]);
    assert_eq!(world.answer(peer(2), "ka"), "ka");
}

#[test]
fn who_shows_keys_guesses_seldom_as_well() {
    let mut world = World::new();
    let host = world.host(peer(1), "a:password=owl");
    let with = |word: &str| format!("jr:{}:password={word}", host.room);
    let port = |port| SocketAddr::new(peer(2).ip(), port);
    for n in 0..limits::GUESSES {
        world.send(port(1 + n as u16), with("x").as_bytes());
    }
    for _ in 0..limits::GUESSES {
        let guess = world.enter(peer(2), &with("x"));
        assert_eq!(world.answer(peer(2), &guess.rc()), "er:rc:badkey");
        assert_eq!(world.answer(peer(2), &guess.rc()), "er:rc:noroom", "a copy is no guess");
    }
    let right = world.enter(peer(2), &with("owl"));
    assert_eq!(world.answer(peer(2), &right.rc()), "er:rc:limit");
    world.pass(limits::GUESS);
    assert_eq!(world.enter(peer(2), &with("owl")).room, host.room);
}

#[test]
fn a_private_room_is_found_by_its_code_or_its_id() {
    let mut world = World::new();
    let answers = world.ask(peer(1), "rh:a:private:game=G");
    let code = answers[0].split(':').nth(2).unwrap().to_string();
    let host = Place::of(peer(1), &answers);
    assert_eq!(world.ask(peer(1), &host.rc())[0], format!("rh:{}:{code}", host.room));
    assert_eq!(world.list(peer(9), "rl:game=G"), [""; 0]);
    let by_code = world.enter(peer(2), &format!("jr:{}:game=G", code.to_lowercase()));
    let by_id = world.enter(peer(3), &format!("jr:{}:game=G", host.room));
    assert_eq!([by_code.room, by_id.room], [host.room.clone(), host.room.clone()]);
    assert_eq!(world.answer(peer(4), &format!("jr:{code}")), "er:jr:noroom", "another game");

    assert_eq!(world.answer(host.at, &host.signed("rs:public")), format!("rs:{}", host.room));
    assert_eq!(world.list(peer(9), "rl:game=G").len(), 1);
    assert_eq!(world.answer(peer(4), &format!("jr:{code}:game=G")), "er:jr:noroom");
    let answer = world.answer(host.at, &host.signed("rs:private"));
    let new = answer.strip_prefix(&format!("rs:{}:", host.room)).unwrap();
    assert_ne!(new, code);
    assert_eq!(world.list(peer(9), "rl:game=G"), [""; 0]);
    assert_eq!(world.enter(peer(5), &format!("jr:{new}:game=G")).room, host.room);
    world.answer(host.at, &host.signed("cr"));
    assert_eq!(world.answer(peer(6), &format!("jr:{new}:game=G")), "er:jr:noroom");
    world.pass_secs(60);
    assert!(world.rooms.is_empty());
}

#[test]
fn codes_are_guessed_seldom() {
    let mut world = World::new();
    let answers = world.ask(peer(1), "rh:a:private");
    let code = answers[0].split(':').nth(2).unwrap().to_string();
    let wrong = if code == "BBBBBB" { "CCCCCC" } else { "BBBBBB" };
    for _ in 0..limits::GUESSES {
        assert_eq!(world.answer(peer(2), &format!("jr:{wrong}")), "er:jr:noroom");
    }
    assert_eq!(world.answer(peer(2), &format!("jr:{code}")), "er:jr:limit");
    assert_eq!(world.ask(peer(3), &format!("jr:{code}")).len(), 2);
    world.pass(limits::GUESS);
    assert_eq!(world.ask(peer(2), &format!("jr:{code}")).len(), 2);
}

#[test]
fn who_is_kicked_does_not_come_back_by_another_port() {
    let (mut world, host, client) = World::introduced();
    world.answer(host.at, &host.signed(&format!("kc:id:{}", client.id)));
    let join = format!("jr:{}", host.room);
    let other_port = SocketAddr::new(client.at.ip(), 5);
    assert_eq!(world.answer(other_port, &join), "er:jr:kicked");
    let let_in = format!("li:id:{}", client.id);
    assert_eq!(world.answer(host.at, &host.signed(&let_in)), let_in);
    assert_eq!(world.ask(other_port, &join).len(), 2);
    assert_eq!(world.ask(client.at, &join).len(), 2);
}

/// The copies of `kc` that are under way would throw it out of the room that it has come into since.
#[test]
fn who_is_let_in_again_is_not_told_once_more_that_it_was_kicked() {
    for (kick, let_in) in [("kc:id:ID", "li:id:ID"), ("kc:ip:IP", "li:ip:IP")] {
        let (mut world, host, client) = World::introduced();
        let of =
            |text: &str| host.signed(&text.replace("ID", &client.id).replace("IP", &client.ip()));
        let told = world.send(host.at, of(kick).as_bytes()).to(client.at);
        assert_eq!(told, [format!("kc:{}", host.room)]);
        assert_eq!(world.pass(limits::NOTICE_GAP).to(client.at), told);
        world.answer(host.at, &of(let_in));
        assert_eq!(world.pass(limits::NOTICE_GAP).to(client.at), [""; 0], "{let_in}");
    }
}

#[test]
fn who_has_a_place_again_is_not_told_once_more_of_the_end_of_the_one_before() {
    for end in ["kc:id:ID", "cr"] {
        for entry in ["jr:OTHER", "rh:own", "qj"] {
            let (mut world, host, client) = World::introduced();
            let other = world.host(peer(3), "b");
            let end = host.signed(&end.replace("ID", &client.id));
            assert_eq!(world.send(host.at, end.as_bytes()).to(client.at).len(), 1);
            world.enter(client.at, &entry.replace("OTHER", &other.room));
            let late = world.pass_secs(5).to(client.at);
            assert_eq!(late, [""; 0], "{end}, {entry}");
        }
    }
    // Who comes back from another endpoint, with the key of a place that it has elsewhere.
    let (mut world, host, client) = World::introduced();
    let second = world.host(peer(3), "b");
    let place = world.join(peer(4), &second);
    world.answer(host.at, &format!("kc:id:{}", client.id));
    assert_eq!(world.ask(client.at, &place.rc()).len(), 2);
    let late = world.pass_secs(5).to(client.at);
    assert!(!late.contains(&format!("kc:{}", host.room)), "{late:?}");
}

#[test]
fn who_is_offered_a_place_is_not_told_once_more_of_the_end_of_the_one_before() {
    let (mut world, first, client) = World::introduced();
    let host = world.host(peer(3), "a:max=2");
    world.join_unproved(peer(4), &host);
    world.answer(first.at, &format!("kc:id:{}", client.id));
    world.join_unproved(client.at, &host);
    assert_eq!(world.answer(client.at, "ka"), "er:ka:kicked", "the place is offered");
    assert_eq!(world.pass_secs(5).to(client.at), [""; 0]);
}

#[test]
fn an_address_that_was_kicked_is_let_in_again() {
    let mut world = World::new();
    let host = world.host("[2001:db8::1]:7000".parse().unwrap(), "a");
    world.answer(host.at, "kc:ip:2001%3Adb8%3A1%3A%3A2");
    let join = format!("jr:{}", host.room);
    let near: SocketAddr = "[2001:db8:1::99]:7001".parse().unwrap();
    assert_eq!(world.answer(near, &join), "er:jr:kicked", "one /64 is one source");
    let let_in = "li:ip:2001%3Adb8%3A1%3A%3A77";
    assert_eq!(world.answer(host.at, &host.signed(let_in)), let_in);
    assert_eq!(world.ask(near, &join).len(), 2);
}

/// The host and the kicked one are siblings: the others of the house may still play.
#[test]
fn a_kick_at_the_address_of_the_host_is_of_one_player() {
    let mut world = World::new();
    let at = |port| SocketAddr::new(peer(1).ip(), port);
    let host = world.host(at(1), "a");
    let client = world.join(at(2), &host);
    world.answer(host.at, &format!("kc:id:{}", client.id));
    assert_eq!(world.answer(at(2), &format!("jr:{}", host.room)), "er:jr:kicked");
    world.join(at(3), &host);
}

/// Anybody can join in the name of others, and be kicked for it.
#[test]
fn who_has_not_shown_a_key_is_kicked_without_his_neighbours() {
    let mut world = World::new();
    let host = world.host(peer(1), "a");
    let forged = world.join_unproved(peer(2), &host);
    world.answer(host.at, &format!("kc:id:{}", forged.id));
    world.join(SocketAddr::new(peer(2).ip(), 5), &host);
}
