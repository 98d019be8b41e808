//! Who shows a game socket elsewhere, and how often others are told of it.

use super::meeting::{room_of_three, room_of_three_that_show_endpoints};
use super::*;

/// Others are told each time.
#[test]
fn local_endpoints_change_as_seldom_as_others() {
    let mut world = World::new();
    let ([host, one, _], _) = room_of_three_that_show_endpoints(&mut world);
    let told = |n: usize| json!({"local": [{"ip": "10.0.0.1", "port": n}]});
    world.ask(host, "local_endpoints", told(1)).unwrap();
    assert!(world.ask(host, "local_endpoints", told(1)).is_ok(), "nothing has changed");
    assert_eq!(world.ask(host, "local_endpoints", told(2)), Err("too_many".into()));
    world.wait(limits::ENDPOINT_GAP);
    world.ask(host, "local_endpoints", told(2)).unwrap();
    let told = world.heard(one);
    assert_eq!(names(&told).iter().filter(|name| **name == "introduce").count(), 2);
}

/// Datagrams of many come at the same moment.
#[test]
fn a_whole_mesh_is_told_of_a_move_when_it_is_its_turn() {
    const PLAYERS: usize = 30;
    let limits = Limits { commands_per_second: 0, ..Limits::default() };
    let mut world = World::with(Config { limits, ..Config::default() });
    let ids: Vec<(ConnId, String)> = (0..PLAYERS).map(|n| world.login(&format!("p{n}"))).collect();
    let made = json!({"name": "m", "max_players": PLAYERS, "mesh": true});
    let made = world.ask(ids[0].0, "create_room", made).unwrap();
    for (id, _) in &ids[1..] {
        world.ask(*id, "join_room", json!({"room": made["room"]})).unwrap();
    }
    for (n, (_, token)) in ids.iter().enumerate() {
        world.datagram(&format!("203.0.113.1:{}", 4000 + n), &format!("udp:{token}"));
    }
    world.wait(limits::ENDPOINT_GAP);
    world.heard.clear();
    for (n, (_, token)) in ids.iter().enumerate() {
        world.datagram(&format!("203.0.113.1:{}", 5000 + n), &format!("udp:{token}"));
    }
    let heard =
        |world: &mut World| -> usize { ids.iter().map(|(id, _)| world.heard(*id).len()).sum() };
    assert_eq!(heard(&mut world), 0);
    world.turn();
    let at_once = heard(&mut world);
    assert!((1..400).contains(&at_once), "{at_once}");
    world.wait(Duration::from_millis(100));
    assert_eq!(at_once + heard(&mut world), PLAYERS * (PLAYERS - 1), "each of all others, once");
}

/// One game socket is at an address that has no connection, so that others are not told of it yet.
#[test]
fn keepalives_in_a_mesh_tell_only_what_could_not_be_told_before() {
    const PLAYERS: usize = 20;
    let limits = Limits { commands_per_second: 0, ..Limits::default() };
    let mut world = World::with(Config { limits, ..Config::default() });
    let ids: Vec<(ConnId, String)> = (0..PLAYERS).map(|n| world.login(&format!("p{n}"))).collect();
    let made = json!({"name": "m", "max_players": PLAYERS, "mesh": true});
    let made = world.ask(ids[0].0, "create_room", made).unwrap();
    for (id, _) in &ids[1..] {
        world.ask(*id, "join_room", json!({"room": made["room"]})).unwrap();
    }
    world.heard.clear();
    let keep_alive = |world: &mut World| {
        for (n, (_, token)) in ids.iter().enumerate() {
            let ip = if n == 0 { "198.51.100.7" } else { "203.0.113.1" };
            world.datagram(&format!("{ip}:{}", 4000 + n), &format!("udp:{token}"));
        }
        world.wait(Duration::from_millis(100));
        let heard: Vec<_> = ids.iter().map(|(id, _)| world.heard(*id)).collect();
        heard
    };
    let first = keep_alive(&mut world);
    assert!(first[1].len() >= PLAYERS - 2 && first[0].len() < PLAYERS - 1);
    for _ in 0..5 {
        assert!(keep_alive(&mut world).iter().all(Vec::is_empty));
    }
    world.shared.unproven.add(IpAddr::from([198, 51, 100, 7]));
    let then = keep_alive(&mut world);
    for (first, then) in first.iter().zip(&then) {
        let mut told: Vec<_> = first.iter().chain(then).map(|event| &event["data"]["id"]).collect();
        told.sort_by_key(|id| id.as_str().map(str::to_owned));
        told.dedup();
        assert_eq!((told.len(), first.len() + then.len()), (PLAYERS - 1, PLAYERS - 1));
    }
}

#[test]
fn who_could_not_be_told_is_told_though_a_datagram_came_too_early() {
    let mut world = World::new();
    let ([host, one, two], _) = room_of_three(&mut world);
    let [of_host, of_one, of_two] =
        [host, one, two].map(|id| format!("udp:{:032x}", world.events.token_of(id)));
    world.datagram("203.0.113.1:1", &of_host);
    world.datagram("198.51.100.7:1", &of_one);
    world.datagram("198.51.100.8:1", &of_two);
    assert!(world.heard(two).is_empty(), "one of a network at a time");
    world.datagram("198.51.100.9:1", &of_two);
    world.shared.unproven.add(IpAddr::from([198, 51, 100, 8]));
    world.datagram("198.51.100.8:1", &of_two);
    assert_eq!(world.hears(two)["data"]["id"], "host");
}

/// All others are told each time, which costs more than the datagram.
#[test]
fn who_moves_all_the_time_is_told_of_as_often_as_it_may_ask() {
    const TIMES: usize = 120;
    let limits = Limits { commands_per_second: 1, ..Limits::default() };
    let mut world = World::with(Config { limits, ..Config::default() });
    let ([host, one, _], _) = room_of_three_that_show_endpoints(&mut world);
    let token = world.events.token_of(host);
    for n in 0..TIMES {
        world.wait(limits::ENDPOINT_GAP);
        world.datagram(&format!("203.0.113.0:{}", 5000 + n), &format!("udp:{token:032x}"));
    }
    let mut told = world.heard(one);
    told.retain(|event| event["name"] == "introduce");
    assert!((10..TIMES * 4 / 5).contains(&told.len()), "{}", told.len());
}
