//! What is bounded, and who gets the place when there is no other.

use std::net::SocketAddr;
use std::time::Duration;

use super::{Place, Sent, World, peer};
use crate::admission::Admission;
use crate::dialect::rooms::Config;
use crate::limits::{self, Limits};

#[test]
fn a_room_holds_64_clients() {
    let mut world = World::new();
    let host = world.host(peer(1000), "a");
    let clients: Vec<Place> = (0..64).map(|n| world.join(peer(n), &host)).collect();
    let request = format!("jr:{}", host.room);
    assert_eq!(world.answer(peer(64), &request), "er:jr:full");
    assert!(world.listed().ends_with(",open,65"));
    world.pass_secs(2);

    let sent = world.send(host.at, b"rn:Full");
    assert!(clients.iter().all(|client| sent.to(client.at) == ["rn:Full"]));
    world.answer(clients[7].at, "lr");
    world.join(peer(64), &host);
    world.answer(host.at, "cr");
    let sent = world.pass_secs(30);
    let closed = format!("cr:{}", host.room);
    let told = clients.iter().filter(|client| sent.to(client.at).contains(&closed)).count();
    assert_eq!((told, sent.to(peer(64))), (63, vec![closed]));
    world.pass_secs(31);
    assert!(world.rooms.is_empty());
}

#[test]
fn a_room_full_of_forged_clients_lets_true_ones_in() {
    let mut world = World::new();
    let host = world.host(peer(1000), "a");
    let player = world.join(peer(1001), &host);
    let heard_of = world.join_unproved(peer(1002), &host);
    world.answer(host.at, &format!("pc:{}:ok", heard_of.id));
    for n in 0..62 {
        world.join_unproved(peer(n), &host);
    }
    let offered = world.join_unproved(peer(64), &host);
    assert_eq!(world.answer(peer(64), "ka"), "er:ka:noroom", "it has no place yet");
    assert_eq!(Place::of(peer(64), &world.ask(peer(64), &offered.rc())).key, offered.key);
    world.pass_secs(30);
    for n in 100..161 {
        world.join_unproved(peer(n), &host);
        assert_eq!(world.answer(peer(n), "ka"), "ka");
    }
    world.join_unproved(peer(65), &host);
    assert_eq!(world.answer(peer(65), "ka"), "er:ka:noroom", "those are not silent yet");
    for there in [&player, &heard_of, &offered] {
        assert_eq!(world.answer(there.at, "ka"), "ka");
    }
}

#[test]
fn when_all_places_are_taken_the_longest_silent_stranger_goes() {
    let mut world = World::with(Config { peers: 10, ..Config::default() });
    let host = world.host(peer(1), "proved");
    let player = world.join(peer(2), &host);
    let stranger = world.enter(peer(3), "rh:stranger");
    for n in 100..1000 {
        world.pass(std::time::Duration::from_millis(10));
        world.enter(peer(n), "rh:forged");
    }
    assert_eq!(world.answer(host.at, "ka"), "ka");
    assert_eq!(world.answer(player.at, "ka"), "ka");
    assert_eq!(world.answer(stranger.at, "ka"), "er:ka:noroom");
    assert_eq!(world.answer(peer(999), "ka"), "ka", "the last of them");
    assert_eq!(world.answer(peer(9999), "status"), "OK", "they all make place");
}

#[test]
fn forged_hosts_at_an_address_make_place_for_a_true_one() {
    let limits = Limits { hosts_per_address: 3, ..Limits::default() };
    let mut world = World::with(Config { limits, ..Config::default() });
    let at = |port| std::net::SocketAddr::new(peer(1).ip(), port);
    for port in 1..=3 {
        world.ask(at(port), "rh:forged");
    }
    world.host(at(4), "true");
    assert_eq!(world.answer(at(4), "ka"), "ka");
    world.enter(at(5), "rh:has shown nothing");
    assert_eq!(world.answer(at(5), "ka"), "er:ka:noroom");
    world.pass_secs(3);
    world.enter(at(5), "rh:has shown nothing");
    assert_eq!(world.answer(at(5), "ka"), "ka");
}

/// Somebody has places at his own address, and moves them to where he only seems to be.
#[test]
fn places_that_were_moved_to_an_address_keep_nobody_there_out() {
    let limits = Limits { hosts_per_address: 3, connections_per_address: 3, ..Limits::default() };
    for waits in [Duration::ZERO, limits::MOVED_PLACE] {
        let mut world = World::with(Config { limits, ..Config::default() });
        let at = |n: u16, port| SocketAddr::new(peer(n).ip(), port);
        let away = world.host(peer(2), "away");
        let hosts: Vec<Place> = (1..=3).map(|port| world.host(at(7, port), "a")).collect();
        let clients: Vec<Place> = (4..=6).map(|port| world.join(at(7, port), &away)).collect();
        world.pass(limits::MOVED_PLACE);
        for place in hosts.iter().chain(&clients) {
            let there = at(1, place.at.port());
            assert_eq!(world.ask(there, &place.rc()).len(), 2);
            world.send(there, format!("pc:{}:ok", place.id).as_bytes());
        }
        world.pass(waits);
        for port in 100..103 {
            let host = world.host(at(1, port), "true");
            let client = world.join(at(1, 100 + port), &away);
            for place in [&host, &client] {
                assert_eq!(world.answer(place.at, "ka"), "ka", "{waits:?}");
            }
        }
    }
}

#[test]
fn an_address_has_no_more_places_by_having_them_moved_to_it() {
    let limits = Limits { hosts_per_address: 3, connections_per_address: 3, ..Limits::default() };
    let mut world = World::with(Config { limits, ..Config::default() });
    let at = |n: u16, port| SocketAddr::new(peer(n).ip(), port);
    let away = world.host(peer(2), "away");
    let mut take = |port| [world.host(at(1, port), "a"), world.join(at(1, 100 + port), &away)];
    let here: Vec<Place> = (1..=3).flat_map(&mut take).collect();
    let others = [world.host(at(7, 1), "b"), world.join(at(7, 2), &away)];
    for other in &others {
        assert_eq!(world.answer(at(1, 50), &other.rc()), "er:rc:limit");
        assert_eq!(world.answer(other.at, "ka"), "ka", "it is where it was");
    }
    // Who is here already may have another port, and who may be forged makes place.
    for place in &here {
        let there = at(1, 1000 + place.at.port());
        let back = Place::of(there, &world.ask(there, &place.rc())[..2]);
        world.prove(&back);
    }
    world.answer(at(1, 1001), "cr");
    world.pass(limits::PARTED);
    world.enter(at(1, 60), "rh:forged");
    let back = Place::of(at(1, 61), &world.ask(at(1, 61), &others[0].rc()));
    assert_eq!(back.room, others[0].room);
    assert_eq!(world.answer(at(1, 60), "ka"), "er:ka:noroom");
}

#[test]
fn who_has_moved_to_where_it_may_not_be_makes_place_in_a_full_room() {
    let mut world = World::new();
    let host = world.host(peer(1), "R:max=3");
    let client = world.join(peer(2), &host);
    let other = world.join(peer(3), &host);
    world.pass(limits::MOVED_PLACE);
    let moved = Place::of(peer(5), &world.ask(peer(5), &client.rc()));
    world.send(moved.at, format!("pc:{}:ok", moved.id).as_bytes());
    assert_eq!(world.answer(peer(4), &format!("jr:{}", host.room)), "er:jr:full", "it has time");
    // Neither does it get more by signs of life, nor by moving on.
    world.pass(limits::MOVED_PLACE / 2);
    let moved = Place::of(peer(6), &world.ask(peer(6), &client.rc()));
    world.pass(limits::MOVED_PLACE / 2);
    world.answer(moved.at, "ka");
    world.pass(limits::UNPROVED_PLACE);
    world.join(peer(4), &host);
    assert_eq!(world.answer(moved.at, "ka"), "er:ka:noroom");
    assert_eq!(world.answer(other.at, "ka"), "ka");
}

#[test]
fn who_has_moved_to_where_it_may_not_be_makes_place_in_a_full_server() {
    let mut world = World::with(Config { peers: 3, ..Config::default() });
    let [host, other, moves] = [1, 2, 3].map(|n| world.host(peer(n), "a"));
    world.pass(limits::MOVED_PLACE);
    world.ask(peer(5), &moves.rc());
    world.pass(limits::MOVED_PLACE);
    assert_eq!(world.answer(peer(9), "status"), "OK");
    let new = world.host(peer(4), "new");
    for there in [&host, &other, &new] {
        assert_eq!(world.answer(there.at, "ka"), "ka");
    }
    // Who moves on as soon as it has shown its key has no time at all.
    let moved = Place::of(peer(6), &world.ask(peer(6), &new.rc()));
    world.host(peer(7), "newer");
    assert_eq!(world.answer(moved.at, "ka"), "er:ka:noroom");
}

#[test]
fn places_have_a_rate() {
    let mut world = World::new();
    let hosts: Vec<Place> = (0..20).map(|n| world.host(peer(n), "a")).collect();
    let mut allowed = 0;
    for _ in 0..30 {
        for host in &hosts {
            world.ask(peer(100), &format!("jr:{}", host.room));
            let place = world.rooms.table.peer_at(peer(100)).unwrap();
            allowed += usize::from(place.room.to_string() == host.room);
        }
    }
    let burst = limits::PLACES_PER_SECOND as usize * 10;
    // Some found it in the room that they asked for.
    assert!((burst..burst + 31).contains(&allowed), "{allowed}");
    // With a key there are as many again.
    let mut shown = 0;
    loop {
        let client = world.enter(peer(100), &format!("jr:{}", hosts[shown % 20].room));
        if world.ask(peer(100), &client.rc()) == ["er:rc:limit"] {
            break;
        }
        shown += 1;
    }
    assert!((burst..burst + 31).contains(&shown), "{shown}");
}

#[test]
fn a_site_with_many_networks_has_no_more_places_than_four() {
    let mut world = World::new();
    let at = |site: u16, net: u16| {
        std::net::SocketAddr::from((
            std::net::Ipv6Addr::new(0x2001, 0xdb8, site, net << 8, 0, 0, 0, 1),
            40_000,
        ))
    };
    let hosts: Vec<Place> = (1..=3).map(|n| world.host(at(1, n), "a")).collect();
    let mut allowed = 0;
    for net in 0..16 {
        for n in 0..150 {
            let before = world.rooms.table.id_at(at(2, net));
            world.ask(at(2, net), &format!("jr:{}", hosts[n % 3].room));
            allowed += usize::from(world.rooms.table.id_at(at(2, net)) != before);
        }
    }
    let burst = 4 * limits::PLACES_PER_SECOND as usize * 10;
    assert!((burst..=burst + 1).contains(&allowed), "{allowed}");
}

#[test]
fn the_oldest_of_many_kicks_is_forgotten() {
    let mut world = World::new();
    let host = world.host(peer(1000), "a");
    for n in 0..=64 {
        let client = world.join(peer(n), &host);
        world.answer(host.at, &format!("kc:id:{}", client.id));
        world.pass_secs(1);
    }
    let request = format!("jr:{}", host.room);
    assert_eq!(world.answer(peer(64), &request), "er:jr:kicked");
    assert_eq!(world.answer(peer(1), &request), "er:jr:kicked");
    world.join_unproved(peer(0), &host);
}

/// Two servers, or a server and something that echoes, must not keep each other busy for ever.
#[test]
fn servers_do_not_answer_each_other_for_ever() {
    let (a, b) = (peer(1), peer(2));
    let forged: [&[u8]; 11] = [
        b"status",
        b"rh",
        b"rh:name",
        b"rl",
        b"ka",
        b"lr",
        b"cr",
        b"rn:name",
        b"kc:ip:192.0.2.1",
        b"jr:0123456789abcdef",
        b"pc:0123456789abcdef:ok",
    ];
    for one in forged {
        for two in forged {
            let (mut at_a, mut at_b) = (World::new(), World::new());
            let mut to_b = at_a.send(b, one).to(b);
            to_b.extend(at_a.send(b, two).to(b));
            let mut to_a = at_b.send(a, one).to(a);
            to_a.extend(at_b.send(a, two).to(a));
            let mut rounds = 0;
            while !to_a.is_empty() || !to_b.is_empty() {
                rounds += 1;
                assert!(rounds < 10, "{one:?} {two:?}: {to_a:?} {to_b:?}");
                let next_b: Vec<_> =
                    to_a.drain(..).flat_map(|text| at_a.send(b, text.as_bytes()).to(b)).collect();
                to_a =
                    to_b.drain(..).flat_map(|text| at_b.send(a, text.as_bytes()).to(a)).collect();
                to_b = next_b;
            }
        }
    }
}

#[test]
fn what_echoes_loses_its_place() {
    let mut world = World::new();
    let host = world.ask(peer(1), "rh");
    let Sent(sent) = world.send(peer(1), host[1].as_bytes());
    assert_eq!(sent, []);
    assert_eq!(world.answer(peer(1), "ka"), "er:ka:noroom");

    let proved = world.host(peer(2), "a");
    world.send(proved.at, b"er:ka:noroom");
    assert_eq!(world.answer(proved.at, "ka"), "ka", "who has shown its key is no echo");
}

#[test]
fn a_key_is_asked_for_where_there_is_one() {
    let keys = vec!["ses:ame".into(), "other".into()];
    let admission = Admission::of(keys, Vec::new());
    let mut world = World::with(Config { admission, ..Config::default() });
    for wrong in ["rh:Room", "k:sesame:rh:Room", "k::rh:Room", "k:ses:rh:Room"] {
        assert_eq!(world.answer(peer(1), wrong), "er:rh:badkey", "{wrong}");
    }
    assert_eq!(world.answer(peer(1), "status"), "er:status:badkey");
    let room = world.enter(peer(1), "k:ses%3Aame:rh:Room");
    assert_eq!(world.answer(peer(1), "k:other:ka"), "ka");
    assert_eq!(world.answer(peer(1), &room.rc()), "er:rc:badkey", "every request needs one");
}

#[test]
fn the_name_of_a_game_will_do_where_there_are_no_keys() {
    let admission = Admission::of(Vec::new(), vec!["Pong".into()]);
    let mut world = World::with(Config { admission, ..Config::default() });
    assert_eq!(world.answer(peer(1), "k:Tetris:status"), "er:status:badkey");
    assert_eq!(world.answer(peer(1), "k:Pong:status"), "OK");
}

/// Five pairs, which are more than every room may have.
fn much(request: &str) -> String {
    let pairs: String = (0..5).map(|n| format!(":d.{n}={}", "x".repeat(60))).collect();
    format!("{request}{pairs}")
}

#[test]
fn a_room_with_much_data_begins_with_the_key() {
    let mut world = World::new();
    let host = world.enter(peer(1), &much("rh:a"));
    assert_eq!(world.listed(), "rl:");
    world.prove(&host);
    assert_eq!(world.list(peer(9), "rl:more").len(), 1);
    // One with little has its place at once.
    world.enter(peer(2), "rh:b:d.map=castle");
    assert_eq!(world.list(peer(9), "rl:more").len(), 2);
}

#[test]
fn what_an_address_says_of_its_rooms_is_bounded_and_others_have_theirs() {
    let one = |port| SocketAddr::new(peer(1).ip(), port);
    let limits = Limits { hosts_per_address: 1000, ..Limits::default() };
    let mut world = World::with(Config { limits, ..Config::default() });
    let mut hosts: Vec<Place> = Vec::new();
    let last = loop {
        let host = world.host(one(1000 + hosts.len() as u16), "a");
        world.pass(Duration::from_millis(100));
        let answer = world.answer(host.at, &host.signed(&much("rs")));
        if answer != format!("rs:{}", host.room) {
            assert_eq!(answer, "er:rs:limit");
            break host;
        }
        hosts.push(host);
    };
    let each = 5 * 63 - limits::ROOM_OWN_DATA;
    assert_eq!(hosts.len(), limits::ROOM_EXTRAS_PER_ADDRESS / each);
    // What it has stays, and what every room may have is always possible.
    assert_eq!(world.answer(last.at, &last.signed("rs:d.map=castle")), format!("rs:{}", last.room));
    assert_eq!(world.answer(last.at, &last.signed(&much("rs"))), "er:rs:limit");
    let before = &hosts.last().unwrap().room;
    let listed = world.list(peer(9), &format!("rl:{before}:d.map=castle"));
    assert!(listed[0].starts_with(&last.room));
    assert_eq!(world.answer(one(999), &much("rh:b")), "er:rh:limit");
    let other = world.host(peer(3), "b");
    assert_eq!(world.answer(other.at, &other.signed(&much("rs"))), format!("rs:{}", other.room));
    // What one room gives up another may have.
    world.answer(hosts[0].at, &hosts[0].signed("cr"));
    world.answer(hosts[1].at, &hosts[1].signed("cr"));
    assert_eq!(world.answer(last.at, &last.signed(&much("rs"))), format!("rs:{}", last.room));
}

#[test]
fn forged_rooms_take_nothing_of_what_others_may_say() {
    let mut world = World::new();
    // As many as there may be, and the first of them have gone.
    let each = 5 * 63 - limits::ROOM_OWN_DATA;
    let most = limits::OFFERED_EXTRAS / each;
    for n in 0..most + 10 {
        let [_, high, mid, low] = (n as u32).to_be_bytes();
        world.send(SocketAddr::from(([10, high, mid, low], 40_000)), much("rh:forged").as_bytes());
    }
    assert!(world.rooms.table.extras.is_empty());
    let host = world.enter(peer(8), &much("rh:true"));
    world.prove(&host);
    assert_eq!(world.list(peer(9), "rl:more").len(), 1);
}
