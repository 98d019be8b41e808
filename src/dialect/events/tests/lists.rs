//! What is told of rooms: their own data, filters, orders, and changes as they happen.

use super::*;

fn world() -> World {
    let limits = Limits { commands_per_second: 0, hosts_per_address: 200, ..Limits::default() };
    World::with(Config { limits, ..Config::default() })
}

fn host(world: &mut World, id: &str, data: Value) -> (ConnId, String) {
    let (conn, _) = world.login(id);
    let made = world.ask(conn, "create_room", data).unwrap();
    (conn, made["room"].as_str().unwrap().to_owned())
}

fn listed(world: &mut World, id: ConnId, data: Value) -> Vec<String> {
    let list = world.ask(id, "list_rooms", data).unwrap();
    let rooms = list["rooms"].as_array().unwrap().iter();
    rooms.map(|room| room["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn own_data_is_told_as_it_was_written() {
    let mut world = world();
    let (ann, _) = world.login("ann");
    let create = r#"{"type":"request","name":"create_room","request_id":1,
        "data":{"name":"r","data":{"z":1.50,"a":[1e400,
        null],"map":"castle"}}}"#;
    world.say(ann, create);
    let room = world.heard(ann)[0]["data"]["room"].clone();
    let (bob, _) = world.login("bob");
    let own = |line: &str, data: &str| assert!(line.contains(data), "{line}");
    let list = r#"{"type":"request","name":"list_rooms","request_id":1}"#;
    world.say(bob, list);
    own(&world.lines(bob)[0], r#""data":{"z":1.50,"a":[1e400,        null],"map":"castle"}"#);
    world.say(
        bob,
        json!({"type": "request", "name": "join_room", "request_id": 1, "data": {"room": room}})
            .to_string(),
    );
    own(&world.lines(bob)[0], r#""data":{"z":1.50"#);
    let update =
        r#"{"type":"request","name":"update_room","request_id":1,"data":{"data":{"n":4.0}}}"#;
    world.say(ann, update);
    let told = world.lines(bob).pop().unwrap();
    own(&told, r#""name":"room_updated","data":{"data":{"n":4.0},"room":""#);
    assert_eq!(world.ask(ann, "update_room", json!({"name": "new"})), Ok(json!({})));
    let told = world.hears(bob);
    assert_eq!(told["data"], json!({"name": "new", "room": room}), "what has changed alone");
    assert_eq!(world.ask(bob, "update_room", json!({})), Err("not_host".into()));
    // What cannot be, or changes nothing, is not told.
    world.heard.clear();
    for fixed in ["private", "migrate", "mesh"] {
        let change = json!({"locked": true, fixed: false});
        assert_eq!(world.ask(ann, "update_room", change), Err("bad_request".into()));
    }
    for nothing in [json!({}), json!({"private": null, "locked": null, "x": null})] {
        assert_eq!(world.ask(ann, "update_room", nothing), Ok(json!({})));
    }
    let ignored = json!({"ignored": ["map", "maxPlayers"]});
    let change = json!({"map": 1, "maxPlayers": 2});
    assert_eq!(world.ask(ann, "update_room", change), Ok(ignored.clone()));
    assert!(world.lines(bob).is_empty());
    let change = json!({"map": 1, "maxPlayers": 2, "locked": false});
    assert_eq!(world.ask(ann, "update_room", change), Ok(ignored));
    let told = world.hears(bob);
    assert_eq!((&told["data"]["locked"], &told["data"]["map"]), (&json!(false), &json!(null)));
    let (other, _) = world.login("other");
    let made = world.ask(other, "create_room", json!({"name": "n", "privat": true})).unwrap();
    assert_eq!(made["ignored"], json!(["privat"]));
    let long = json!({"data": {"x": "x".repeat(limits::OWN_DATA)}});
    assert_eq!(world.ask(ann, "update_room", long), Err("bad_request".into()));
    for bad in [json!([]), json!("x"), json!(7)] {
        let bad = world.ask(ann, "update_room", json!({"data": bad}));
        assert_eq!(bad, Err("bad_request".into()));
    }
}

#[test]
fn rooms_are_found_by_what_their_hosts_say() {
    let mut world = world();
    for n in 0..12 {
        let data = json!({"name": n.to_string(), "max_players": 1 + n % 2,
                          "data": {"map": if n % 3 == 0 { "lava" } else { "castle" }, "level": n}});
        host(&mut world, &format!("host {n}"), data);
    }
    let (bob, _) = world.login("bob");
    let mut castles = listed(&mut world, bob, json!({"filter": {"map": "castle"}}));
    castles.sort_unstable();
    assert_eq!(castles, ["1", "10", "11", "2", "4", "5", "7", "8"]);
    let filter = json!({"filter": {"map": "castle", "level": 4.0}});
    assert_eq!(listed(&mut world, bob, filter), ["4"]);
    assert!(listed(&mut world, bob, json!({"filter": {"map": "sea"}})).is_empty());
    let free = json!({"filter": {"map": "lava"}, "free": 1, "sort": "newest"});
    assert_eq!(listed(&mut world, bob, free), ["9", "3"]);
    // Page by page nothing is left out.
    for sort in [Value::Null, json!("newest"), json!("players")] {
        let (mut after, mut found) = (Value::Null, BTreeSet::new());
        loop {
            let data =
                json!({"filter": {"map": "castle"}, "limit": 3, "after": after, "sort": sort});
            let page = world.ask(bob, "list_rooms", data).unwrap();
            for room in page["rooms"].as_array().unwrap() {
                assert!(found.insert(room["name"].as_str().unwrap().to_owned()));
                after = room["room"].clone();
            }
            if page["more"] == json!(false) {
                break;
            }
        }
        assert_eq!(found.len(), 8, "{sort}");
    }
    let gone = json!({"after": "0123456789abcdef", "sort": "newest"});
    assert_eq!(world.ask(bob, "list_rooms", gone), Err("no_such_room".into()));
    for bad in [json!({"sort": "oldest"}), json!({"filter": {"a": []}}), json!({"filter": []})] {
        assert_eq!(world.ask(bob, "list_rooms", bad), Err("bad_request".into()));
    }
}

#[test]
fn rooms_are_sorted_by_age_or_players() {
    let mut world = world();
    let rooms: Vec<_> =
        ["one", "two", "three"].map(|name| host(&mut world, name, json!({"name": name}))).into();
    for (n, id) in ["x", "y", "z"].into_iter().enumerate() {
        let (conn, _) = world.login(id);
        let room = if n < 2 { &rooms[1].1 } else { &rooms[2].1 };
        world.ask(conn, "join_room", json!({"room": room})).unwrap();
    }
    let (bob, _) = world.login("bob");
    let sorted = |world: &mut World, by: &str| listed(world, bob, json!({"sort": by}));
    assert_eq!(sorted(&mut world, "newest"), ["three", "two", "one"]);
    assert_eq!(sorted(&mut world, "players"), ["two", "three", "one"]);
}

#[test]
fn a_quick_join_fills_rooms_up() {
    let mut world = world();
    let castle = |name: &str, more: Value| {
        let mut data = json!({"name": name, "data": {"map": "castle"}});
        data.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        data
    };
    host(&mut world, "a", castle("old", json!({"max_players": 3})));
    host(&mut world, "b", castle("new", json!({"max_players": 3})));
    host(&mut world, "c", castle("closed", json!({"password": "x"})));
    host(&mut world, "d", castle("locked", json!({"locked": true})));
    host(&mut world, "e", castle("hidden", json!({"private": true})));
    let quick = json!({"filter": {"map": "castle"}});
    let joined: Vec<Value> = (0..5)
        .map(|n| {
            let (conn, _) = world.login(&n.to_string());
            match world.ask(conn, "quick_join", quick.clone()) {
                Ok(data) => data["name"].clone(),
                Err(code) => json!(code),
            }
        })
        .collect();
    assert_eq!(joined, ["old", "old", "new", "new", "no_such_room"]);
    let (bob, _) = world.login("bob");
    let sea = world.ask(bob, "quick_join", json!({"filter": {"map": "sea"}}));
    assert_eq!(sea, Err("no_such_room".into()));
    world.ask(bob, "create_room", json!({"name": "mine"})).unwrap();
    assert_eq!(world.ask(bob, "quick_join", json!({})), Err("in_room".into()));
}

#[test]
fn who_watches_is_told_of_changes_once_a_second() {
    let mut world = world();
    let (ann, first) = host(&mut world, "ann", json!({"name": "first"}));
    let (bob, _) = world.login("bob");
    let (eve, _) = world.login("eve");
    let begun = world.ask(bob, "watch_rooms", json!({})).unwrap();
    assert_eq!((&begun["rooms"][0]["room"], &begun["more"]), (&json!(first), &json!(false)));
    world.ask(eve, "watch_rooms", json!({"filter": {"map": "sea"}})).unwrap();
    world.wait(Duration::from_secs(3));
    assert!(world.heard(bob).is_empty(), "nothing has happened");
    world.ask(ann, "update_room", json!({"data": {"map": "sea"}})).unwrap();
    world.wait(Duration::ZERO);
    let told = world.hears(bob);
    assert_eq!((&told["type"], &told["name"]), (&json!("pass"), &json!("rooms_changed")));
    assert_eq!(told["data"]["gone"], json!([]));
    assert_eq!(told["data"]["rooms"][0]["data"], json!({"map": "sea"}));
    assert_eq!(world.hears(eve)["data"]["rooms"][0]["room"], json!(first));
    // All that happens in a second is told together, and each room once.
    for n in 0..10 {
        world.ask(ann, "update_room", json!({"data": {"map": n}})).unwrap();
    }
    let (carl, second) = host(&mut world, "carl", json!({"name": "second"}));
    let (dan, third) = host(&mut world, "dan", json!({"name": "third"}));
    host(&mut world, "erl", json!({"name": "hidden", "private": true}));
    world.gone(dan);
    world.wait(limits::ROOM_CHANGES_GAP - Duration::from_millis(1));
    assert!(world.heard(bob).is_empty());
    world.wait(Duration::from_millis(1));
    let told = world.hears(bob);
    let rooms = told["data"]["rooms"].as_array().unwrap();
    assert_eq!((rooms.len(), &rooms[0]["data"]["map"]), (2, &json!(9)));
    assert_eq!((&rooms[1]["room"], &told["data"]["gone"]), (&json!(second), &json!([third])));
    let told = world.hears(eve);
    assert_eq!(told["data"]["rooms"], json!([]));
    assert!(told["data"]["gone"].as_array().unwrap().contains(&json!(first)), "it fits no more");
    // Who does not read is told later of what is so by then.
    world.events.on_unread(bob, 100);
    world.gone(carl);
    world.wait(Duration::from_secs(2));
    assert!(world.heard(bob).is_empty());
    world.events.on_unread(bob, 0);
    world.wait(Duration::from_secs(1));
    assert_eq!(world.hears(bob)["data"]["gone"], json!([second]));
    world.heard.clear();
    assert_eq!(world.ask(bob, "unwatch_rooms", json!({})), Ok(json!({})));
    world.gone(ann);
    world.wait(Duration::from_secs(2));
    assert!(world.heard(bob).is_empty() && !world.heard(eve).is_empty());
}

#[test]
fn many_changes_come_in_parts() {
    let mut world = world();
    let (bob, _) = world.login("bob");
    world.ask(bob, "watch_rooms", json!({})).unwrap();
    for n in 0..150 {
        host(&mut world, &n.to_string(), json!({"name": "r"}));
    }
    let mut found = BTreeSet::new();
    for _ in 0..4 {
        world.wait(limits::ROOM_CHANGES_GAP);
        for told in world.heard(bob).iter().filter(|event| event["name"] == "rooms_changed") {
            let rooms = told["data"]["rooms"].as_array().unwrap();
            assert!(rooms.len() <= limits::ROOMS_AT_ONCE);
            found.extend(rooms.iter().map(|room| room["room"].as_str().unwrap().to_owned()));
        }
    }
    assert_eq!(found.len(), 150);
}

/// Many rooms, of many addresses, that bob was told of.
fn watched(world: &mut World, count: u32) -> (ConnId, Vec<(ConnId, Value)>) {
    let (bob, _) = world.login("bob");
    world.ask(bob, "watch_rooms", json!({})).unwrap();
    let mut hosts = Vec::new();
    for n in 0..count {
        let (conn, _) = world.login_from((n / 100).to_be_bytes().into(), &n.to_string());
        let made = world.ask(conn, "create_room", json!({"name": "r"})).unwrap();
        hosts.push((conn, made["room"].clone()));
    }
    world.wait(20 * limits::ROOM_CHANGES_GAP);
    world.heard.clear();
    (bob, hosts)
}

/// As when a node dies.
#[test]
fn many_rooms_that_are_gone_are_told_at_once() {
    let mut world = world();
    let (bob, hosts) = watched(&mut world, 500);
    hosts.iter().for_each(|(host, _)| world.gone(*host));
    world.wait(limits::ROOM_CHANGES_GAP);
    let told = world.hears(bob);
    assert_eq!(told["data"]["gone"].as_array().unwrap().len(), 500);
}

#[test]
fn a_room_that_is_gone_is_told_before_many_that_have_changed() {
    let mut world = world();
    let (bob, hosts) = watched(&mut world, 300);
    for (host, _) in &hosts {
        world.ask(*host, "update_room", json!({"name": "new"})).unwrap();
    }
    world.gone(hosts[299].0);
    world.wait(limits::ROOM_CHANGES_GAP);
    let told = world.heard(bob);
    assert!(told.iter().any(|told| told["data"]["gone"] == json!([hosts[299].1])), "{told:?}");
    world.wait(5 * limits::ROOM_CHANGES_GAP);
    let told = [told, world.heard(bob)].concat();
    let rooms = told.iter().filter_map(|told| told["data"]["rooms"].as_array());
    assert_eq!(rooms.map(Vec::len).sum::<usize>(), 299);
}

/// Somebody who does not read, and rooms of his game that come and go.
#[test]
fn who_missed_changes_is_told_so_and_others_miss_none() {
    let mut world = world();
    let (slow, _) = world.login("slow");
    world.ask(slow, "watch_rooms", json!({})).unwrap();
    world.events.on_unread(slow, 1);
    let other = |world: &mut World, id: &str| {
        let conn = world.open();
        world.ask(conn, "login", json!({"id": id, "game": "go"})).unwrap();
        conn
    };
    let (host, quick) = (other(&mut world, "host"), other(&mut world, "quick"));
    world.ask(quick, "watch_rooms", json!({})).unwrap();
    world.ask(host, "create_room", json!({"name": "r"})).unwrap();
    let (maker, _) = world.login("maker");
    for _ in 0..=limits::ROOM_CHANGES {
        world.ask(maker, "create_room", json!({"name": "r"})).unwrap();
        world.ask(maker, "leave_room", json!({})).unwrap();
        assert!(world.events.rooms.watching.kept() <= limits::ROOM_CHANGES);
    }
    world.wait(limits::ROOM_CHANGES_GAP);
    let told = world.hears(quick);
    assert_eq!(told["data"]["rooms"].as_array().unwrap().len(), 1);
    assert_eq!(told["data"].get("missed"), None);
    world.events.on_unread(slow, 0);
    world.wait(20 * limits::ROOM_CHANGES_GAP);
    let heard = world.heard(slow);
    let missed: Vec<_> = heard.iter().map(|told| told["data"].get("missed").is_some()).collect();
    assert!(missed[0] && !missed[1..].contains(&true), "{missed:?}");
    [slow, host, quick, maker].into_iter().for_each(|conn| world.gone(conn));
    assert_eq!(world.events.rooms.watching.kept(), 0);
    world.turn();
    assert!(world.events.is_empty());
}

#[test]
fn what_an_address_says_of_its_rooms_is_bounded_and_others_have_theirs() {
    let much = || json!({"x": "x".repeat(limits::OWN_DATA - 8)});
    let limits = Limits { hosts_per_address: 1000, ..Limits::default() };
    let mut world = World::with(Config { limits, ..Config::default() });
    let mut hosts = Vec::new();
    let refused = loop {
        let (host, _) = world.login(&format!("host {}", hosts.len()));
        let made = world.ask(host, "create_room", json!({"name": "a", "data": much()}));
        if let Err(code) = made {
            assert_eq!(code, "too_many");
            break host;
        }
        hosts.push(host);
    };
    let each = limits::OWN_DATA + 8 - limits::ROOM_OWN_DATA;
    assert_eq!(hosts.len(), limits::ROOM_EXTRAS_PER_ADDRESS / each);
    // What every room may have is always possible, and what is refused changes nothing.
    let little = json!({"name": "b", "data": {"map": "castle"}});
    world.ask(refused, "create_room", little).unwrap();
    let changes = json!({"data": much(), "locked": true});
    assert_eq!(world.ask(refused, "update_room", changes.clone()), Err("too_many".into()));
    let (other, _) = world.login_from([203, 0, 113, 9].into(), "other");
    let found = world.ask(other, "list_rooms", json!({"filter": {"map": "castle"}})).unwrap();
    assert_eq!(
        (found["rooms"][0]["name"].as_str(), found["rooms"][0].get("locked")),
        (Some("b"), None)
    );
    world.ask(other, "create_room", json!({"name": "c", "data": much()})).unwrap();
    // What one room gives up another may have.
    world.ask(hosts[0], "update_room", json!({"data": {}})).unwrap();
    world.ask(refused, "update_room", changes).unwrap();
    hosts.into_iter().chain([refused, other]).for_each(|host| world.gone(host));
    assert!(world.events.is_empty());
}

#[test]
fn what_is_spelt_wrong_is_named() {
    let mut world = world();
    let (_, room) = host(&mut world, "host", json!({"name": "r"}));
    let (ann, _) = world.login("ann");
    let mut ignored = |name: &str, data: Value| {
        let answer = world.ask(ann, name, data).unwrap();
        answer.get("ignored").cloned().unwrap_or_default()
    };
    assert_eq!(ignored("list_rooms", json!({"filter": {}, "sort": "newest"})), Value::Null);
    assert_eq!(ignored("list_rooms", json!({"filters": {}})), json!(["filters"]));
    assert_eq!(ignored("join_room", json!({"room": room, "passwort": 1})), json!(["passwort"]));
    ignored("leave_room", json!({}));
    assert_eq!(ignored("quick_join", json!({"data": {}})), json!(["data"]));
}

/// So many watch that not all are told in one turn.
fn watchers(world: &mut World, count: usize) -> (ConnId, Vec<ConnId>) {
    let (host, _) = world.login("host");
    world.ask(host, "create_room", json!({"name": "r"})).unwrap();
    let watchers: Vec<ConnId> = (0..count).map(|n| world.login(&format!("w{n}")).0).collect();
    for id in &watchers {
        world.ask(*id, "watch_rooms", json!({})).unwrap();
    }
    world.ask(host, "update_room", json!({"locked": true})).unwrap();
    world.heard.clear();
    world.turn();
    (host, watchers)
}

#[test]
fn who_comes_back_while_others_are_told_of_a_change_hears_of_it() {
    let mut world = World::new();
    let (_, all) = watchers(&mut world, 100);
    let last = all[99];
    assert!(!world.heard(all[0]).is_empty() && world.heard(last).is_empty());
    let secret = world.events.secret_of(last);
    let new = world.open();
    let login = json!({"id": "w99", "game": "chess", "secret": secret});
    world.ask(new, "login", login).unwrap();
    world.wait(Duration::from_secs(1));
    assert_eq!(names(&world.heard(new)), ["rooms_changed"]);
}

#[test]
fn nobody_waits_twice_to_be_told_of_changes() {
    let mut world = World::new();
    let (host, all) = watchers(&mut world, 200);
    for n in 0..10 {
        world.ask(host, "update_room", json!({"name": n.to_string()})).unwrap();
        world.now.instant = world.now.instant + limits::ROOM_CHANGES_GAP;
        world.turn();
    }
    let is_busy = |world: &World| {
        let next = world.events.rooms.watching.next_wakeup();
        next.is_some_and(|next| next <= world.now.instant)
    };
    let turns = (0..).take_while(|_| is_busy(&world).then(|| world.turn()).is_some()).count();
    assert!(turns <= 8, "{turns}");
    assert!(all.iter().all(|id| !world.heard(*id).is_empty()));
}
