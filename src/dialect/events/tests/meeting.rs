//! Rooms, endpoints and introductions.

use super::*;
use crate::nats::Seen;

/// A room with its host and two players, all of whom have heard everything.
pub(super) fn room_of_three(world: &mut World) -> ([ConnId; 3], String) {
    let all @ [host, one, two] = world.peers(["host", "one", "two"]);
    let made = world.ask(host, "create_room", json!({"name": "Lobby", "max_players": 3}));
    let room = made.unwrap()["room"].as_str().unwrap().to_owned();
    for id in [one, two] {
        world.ask(id, "join_room", json!({"room": room})).unwrap();
    }
    world.heard.clear();
    (all, room)
}

/// The same, and the server knows the game sockets of all.
pub(super) fn room_of_three_that_show_endpoints(world: &mut World) -> ([ConnId; 3], String) {
    let made = room_of_three(world);
    for (n, conn) in made.0.iter().enumerate() {
        let token = world.events.token_of(*conn);
        world.datagram(&format!("203.0.113.{n}:4000"), &format!("udp:{token:032x}"));
    }
    world.heard.clear();
    made
}

#[test]
fn the_nat_of_the_other_side_is_told_where_it_is_known() {
    let mut world = World::new();
    let at = |port| SocketAddr::from(([203, 0, 113, 1], port));
    world.shared.nats.saw(world.now.instant, at(4000), Seen::Stun);
    world.shared.nats.saw(world.now.instant, at(4002), Seen::Alternate);
    let other = SocketAddr::from(([203, 0, 113, 2], 4000));
    world.shared.nats.saw(world.now.instant, other, Seen::Stun);
    world.shared.nats.saw(world.now.instant, other, Seen::Alternate);
    let made = room_of_three(&mut world);
    for (n, conn) in made.0.iter().enumerate() {
        let token = world.events.token_of(*conn);
        world.datagram(&format!("203.0.113.{n}:4000"), &format!("udp:{token:032x}"));
    }
    let told = world.heard(made.0[0]);
    assert_eq!(names(&told), ["introduce", "introduce"]);
    let one = &told[0]["data"];
    assert_eq!(one["nat"], "symmetric");
    assert_eq!(one["predict"], json!([4004, 4006, 4008, 4010]));
    assert_eq!(told[1]["data"]["nat"], "endpoint-independent");
    assert_eq!(told[1]["data"].get("predict"), None);
    let host = &world.heard(made.0[1])[0]["data"];
    assert_eq!((host.get("nat"), host.get("predict")), (None, None));
}

#[test]
fn who_is_in_a_room_is_told_who_comes() {
    let mut world = World::new();
    let [host, one, two, late] = world.peers(["host", "one", "two", "late"]);
    let create = json!({"type": "request", "name": "create_room", "request_id": 1,
                        "data": {"name": "Lobby", "max_players": 3}});
    world.say(host, create.to_string());
    let heard = world.heard(host);
    let room = heard[0]["data"]["room"].clone();
    assert_eq!(room.as_str().map(str::len), Some(16));
    let joined = |name: &str, id: &str| json!({"type": "pass", "name": name, "data": {"room": room, "id": id}});
    assert_eq!(heard[1..], [joined("self_joined", "host")]);
    let answer = world.ask(one, "join_room", json!({"room": room})).unwrap();
    assert_eq!(answer, json!({"room": room, "host": "host", "players": ["host", "one"]}));
    let join =
        json!({"type": "request", "name": "join_room", "request_id": 1, "data": {"room": room}});
    world.say(two, join.to_string());
    let heard = world.heard(two);
    assert_eq!(heard[0]["data"]["players"], json!(["host", "one", "two"]));
    assert_eq!(heard[1..], [joined("self_joined", "two")]);
    let both = [joined("player_joined", "one"), joined("player_joined", "two")];
    assert_eq!(world.heard(host), both);
    assert_eq!(world.heard(one), both[1..]);
    assert_eq!(world.ask(late, "join_room", json!({"room": room})), Err("full".into()));
    assert_eq!(world.ask(two, "join_room", json!({"room": room})), Err("in_room".into()));
    assert_eq!(world.ask(two, "create_room", json!({"name": "x"})), Err("in_room".into()));
}

#[test]
fn who_is_in_a_room_is_told_who_goes_and_why() {
    for (reason, how) in [("left", 0), ("kicked", 1), ("disconnected", 2)] {
        let mut world = World::new();
        let ([host, one, two], room) = room_of_three(&mut world);
        match how {
            0 => assert_eq!(world.ask(one, "leave_room", json!({})), Ok(json!({}))),
            1 => assert_eq!(world.ask(host, "kick", json!({"id": "one"})), Ok(json!({}))),
            _ => world.gone(one),
        }
        let data = json!({"room": room, "id": "one", "reason": reason});
        assert_eq!(world.hears(two)["data"], data);
        if how == 1 {
            let told = world.hears(one);
            assert_eq!((&told["name"], &told["data"]), (&json!("self_left"), &data));
        } else {
            assert_eq!(world.hears(host)["name"], "player_left");
        }
        if how != 2 {
            assert_eq!(world.ask(one, "leave_room", json!({})), Err("not_in_room".into()));
            if how == 1 {
                let again = world.ask(one, "join_room", json!({"room": room}));
                assert_eq!(again, Err("kicked".into()));
                world.ask(host, "let_in", json!({"id": "one"})).unwrap();
            }
            assert!(world.ask(one, "join_room", json!({"room": room})).is_ok());
        }
    }
}

#[test]
fn without_its_host_there_is_no_room() {
    for (reason, how) in [("room_deleted", 0), ("left", 1), ("disconnected", 2)] {
        let mut world = World::new();
        let ([host, one, two], room) = room_of_three(&mut world);
        match how {
            0 => assert_eq!(world.ask(host, "delete_room", json!({"room": room})), Ok(json!({}))),
            1 => world.say(host, r#"{"type":"request","name":"leave_room","request_id":1}"#),
            _ => world.gone(host),
        }
        for (id, name) in [(one, "one"), (two, "two")] {
            let heard = world.heard(id);
            assert_eq!(names(&heard), ["room_deleted", "self_left"]);
            assert_eq!(
                heard[1]["data"],
                json!({"room": room, "id": name, "reason": "room_deleted"})
            );
        }
        if how == 1 {
            let heard = world.heard(host);
            assert_eq!(names(&heard), ["leave_room", "self_left"]);
            assert_eq!(heard[1]["data"]["reason"], reason);
        }
        assert_eq!(world.ask(one, "join_room", json!({"room": room})), Err("no_such_room".into()));
        assert_eq!(world.ask(one, "list_rooms", json!({})).unwrap()["rooms"], json!([]));
    }
}

#[test]
fn only_the_host_may_delete_and_kick() {
    let mut world = World::new();
    let ([host, one, _], room) = room_of_three(&mut world);
    assert_eq!(world.ask(one, "delete_room", json!({"room": room})), Err("not_host".into()));
    assert_eq!(world.ask(one, "kick", json!({"id": "two"})), Err("not_host".into()));
    for id in ["host", "nobody"] {
        assert_eq!(world.ask(host, "kick", json!({"id": id})), Err("no_such_peer".into()));
    }
    for room in ["", "0123456789abcdef", "+123456789abcdef", "x"] {
        let data = json!({"room": room});
        assert_eq!(world.ask(host, "delete_room", data.clone()), Err("no_such_room".into()));
        let [stranger] = world.peers(["stranger"]);
        assert_eq!(world.ask(stranger, "join_room", data), Err("no_such_room".into()));
        world.gone(stranger);
    }
}

#[test]
fn a_list_leaves_nothing_out_and_knows_the_game() {
    let limits = Limits { commands_per_second: 0, hosts_per_address: 200, ..Limits::default() };
    let mut world = World::with(Config { limits, ..Config::default() });
    let hosts: Vec<ConnId> = (0..150)
        .map(|n| {
            let host = world.login(&n.to_string()).0;
            let data = json!({"name": format!("room {n}"), "max_players": 2});
            world.ask(host, "create_room", data).unwrap();
            host
        })
        .collect();
    let viewer = world.login("viewer").0;
    let mut found = BTreeSet::new();
    let mut after = Value::Null;
    loop {
        let page = world.ask(viewer, "list_rooms", json!({"after": after, "limit": 40})).unwrap();
        let rooms = page["rooms"].as_array().unwrap();
        assert!(!rooms.is_empty() && rooms.len() <= 40);
        for room in rooms {
            assert_eq!((&room["players"], &room["max_players"]), (&json!(1), &json!(2)));
            assert_eq!(room["name"], format!("room {}", room["host"].as_str().unwrap()));
            assert!(found.insert(room["host"].as_str().unwrap().to_owned()));
        }
        after = rooms[rooms.len() - 1]["room"].clone();
        if page["more"] == json!(false) {
            break;
        }
        // The room behind which the next page begins may be gone by then.
        let host: usize = rooms[rooms.len() - 1]["host"].as_str().unwrap().parse().unwrap();
        world.gone(hosts[host]);
    }
    assert_eq!(found.len(), 150);
    let foreign = world.open();
    world.ask(foreign, "login", json!({"id": "foreign", "game": "go"})).unwrap();
    assert_eq!(world.ask(foreign, "list_rooms", json!(7)), Err("bad_request".into()));
    let none = json!({"rooms": [], "more": false});
    assert_eq!(world.ask(foreign, "list_rooms", json!({})), Ok(none));
    assert_eq!(world.ask(foreign, "join_room", json!({"room": after})), Err("no_such_room".into()));
}

#[test]
fn an_address_has_so_many_rooms() {
    let limits = Limits { hosts_per_address: 1, ..Limits::default() };
    let mut world = World::with(Config { limits, ..Config::default() });
    let [one, two] = world.peers(["one", "two"]);
    world.ask(one, "create_room", json!({"name": "x"})).unwrap();
    assert_eq!(world.ask(two, "create_room", json!({"name": "x"})), Err("too_many".into()));
    world.ask(one, "leave_room", json!({})).unwrap();
    assert!(world.ask(two, "create_room", json!({"name": "x"})).is_ok());
    for max in [json!(0), json!(limits::ROOM_PLAYERS + 1), json!(-1), json!("3")] {
        let data = json!({"name": "x", "max_players": max});
        assert_eq!(world.ask(one, "create_room", data), Err("bad_request".into()));
    }
}

#[test]
fn host_and_player_are_introduced_once_both_endpoints_are_known() {
    let mut world = World::new();
    let (host, host_token) = world.login("host");
    let (player, player_token) = world.login("player");
    let made = world.ask(host, "create_room", json!({"name": "Lobby"})).unwrap();
    world.ask(player, "join_room", json!({"room": made["room"]})).unwrap();
    world.heard.clear();
    world.datagram("203.0.113.1:1111", &format!("udp:{host_token}\r\n\0"));
    assert_eq!(world.datagrams.pop().unwrap().1, "udp:203.0.113.1:1111");
    assert!(world.heard.is_empty());
    world.datagram("203.0.113.2:2222", &format!("udp:{player_token}"));
    let (to_host, to_player) = (world.hears(host), world.hears(player));
    let nonce = to_host["data"]["nonce"].clone();
    assert_eq!(nonce.as_str().map(str::len), Some(32));
    let introduce = |id: &str, ip: &str, port: u16| {
        json!({"type": "pass", "name": "introduce",
               "data": {"id": id, "ip": ip, "port": port, "local": [], "nonce": nonce}})
    };
    assert_eq!(to_host, introduce("player", "203.0.113.2", 2222));
    assert_eq!(to_player, introduce("host", "203.0.113.1", 1111));
    // The same again: answered, and no news.
    world.datagram("203.0.113.2:2222", &format!("udp:{player_token}"));
    assert_eq!((world.datagrams.len(), world.heard.len()), (2, 0));
    // Another NAT mapping, a moment later.
    world.datagram("203.0.113.2:3333", &format!("udp:{player_token}"));
    assert_eq!((world.datagrams.len(), world.heard.len()), (2, 0), "not so soon");
    world.wait(limits::ENDPOINT_GAP);
    world.datagram("203.0.113.2:3333", &format!("udp:{player_token}"));
    assert_eq!(world.datagrams.len(), 3);
    assert_eq!(world.hears(host), introduce("player", "203.0.113.2", 3333));
    assert_eq!(world.hears(player), introduce("host", "203.0.113.1", 1111));
}

#[test]
fn local_endpoints_are_told_within_one_network_only() {
    let mut world = World::new();
    world.from = [203, 0, 113, 1];
    let logins = ["host", "near", "far"].map(|id| world.login(id));
    let [host, near, far] = [0, 1, 2].map(|n| logins[n].0);
    let endpoints = ["203.0.113.1:1", "203.0.113.1:2", "203.0.113.9:3"];
    for ((_, token), from) in logins.iter().zip(endpoints) {
        world.datagram(from, &format!("udp:{token}"));
    }
    let lan = json!([{"ip": "10.0.0.1", "port": 1}, {"ip": "fe80::1", "port": 2}]);
    assert_eq!(world.ask(host, "local_endpoints", json!({"local": lan})), Ok(json!({})));
    let made = world.ask(host, "create_room", json!({"name": "LAN"})).unwrap();
    for (id, local) in [(near, lan), (far, json!([]))] {
        world.say(
            id,
            json!({"type": "request", "name": "join_room", "request_id": 1, "data": made})
                .to_string(),
        );
        let heard = world.heard(id);
        assert_eq!(names(&heard), ["join_room", "self_joined", "introduce"]);
        assert_eq!(heard[2]["data"]["local"], local);
    }
    world.heard.clear();
    // Told later: told again.
    let own = json!([{"ip": "10.0.0.2", "port": 7}]);
    world.wait(limits::ENDPOINT_GAP);
    world.ask(near, "local_endpoints", json!({"local": own})).unwrap();
    assert_eq!(world.hears(host)["data"]["local"], own);
    // Nobody is made to knock at others.
    let public = ["198.51.100.1", "2001:db8::1", "127.0.0.1", "100.64.0.1", "::ffff:8.8.8.8"];
    let public = public.map(|ip| json!({"ip": ip, "port": 7}));
    world.wait(limits::ENDPOINT_GAP);
    world.ask(near, "local_endpoints", json!({"local": public})).unwrap();
    assert_eq!(world.hears(host)["data"]["local"], json!([]));
    // One that is wrong is nothing against the others.
    let mixed =
        json!([7, {"ip": "x", "port": 1}, {"ip": "10.0.0.3", "port": 8}, {"ip": "10.0.0.4"}]);
    world.wait(limits::ENDPOINT_GAP);
    world.ask(near, "local_endpoints", json!({"local": mixed})).unwrap();
    assert_eq!(world.hears(host)["data"]["local"], json!([{"ip": "10.0.0.3", "port": 8}]));
    // Of a machine with many addresses the first that are private are told.
    let at = |ip: &str, n| json!({"ip": format!("{ip}.{n}"), "port": 9});
    let many: Vec<_> =
        (1..20).flat_map(|n| [at("198.51.100", n), at("10.0.0", n), at("10.0.0", 1)]).collect();
    let first: Vec<_> = (1..=limits::LOCAL_ENDPOINTS).map(|n| at("10.0.0", n)).collect();
    world.wait(limits::ENDPOINT_GAP);
    world.ask(near, "local_endpoints", json!({"local": many})).unwrap();
    assert_eq!(world.hears(host)["data"]["local"], json!(first));
    let bad = [
        json!({}),
        json!({"local": [{"ip": "x", "port": 1}]}),
        json!({"local": [{"ip": "10.0.0.1", "port": 0}]}),
    ];
    for bad in bad {
        assert_eq!(world.ask(near, "local_endpoints", bad), Err("bad_request".into()));
    }
}

#[test]
fn those_in_different_networks_are_told_nothing_of_each_others() {
    let mut world = World::new();
    let all = [([203, 0, 113, 1], "host"), ([203, 0, 113, 9], "player")].map(|(from, name)| {
        world.from = from;
        let (id, token) = world.login(name);
        world.datagram(&SocketAddr::from((from, 1)).to_string(), &format!("udp:{token}"));
        let lan = json!({"local": [{"ip": "192.168.1.1", "port": 80}]});
        world.ask(id, "local_endpoints", lan).unwrap();
        id
    });
    let made = world.ask(all[0], "create_room", json!({"name": "Apart"})).unwrap();
    world.heard.clear();
    let join = json!({"type": "request", "name": "join_room", "request_id": 1, "data": made});
    world.say(all[1], join.to_string());
    for id in all {
        let told = world.heard(id);
        let introduced = told.iter().find(|event| event["name"] == "introduce").unwrap();
        assert_eq!(introduced["data"]["local"], json!([]), "{told:?}");
    }
}

#[test]
fn a_datagram_without_a_token_is_not_answered() {
    let mut world = World::new();
    let (peer, token) = world.login("peer");
    for data in ["udp:", "udp:0", "udp:00000000000000000000000000000000", "udp", &token] {
        world.datagram("203.0.113.1:1", data);
    }
    world.gone(peer);
    world.datagram("203.0.113.1:1", &format!("udp:{token}"));
    assert!(world.datagrams.is_empty());
    assert!(world.events.is_empty());
}

#[test]
fn forged_datagrams_are_no_flood() {
    let mut world = World::new();
    let (_, token) = world.login("peer");
    let datagram = format!("udp:{token}");
    for _ in 0..1000 {
        world.datagram("203.0.113.1:1", &datagram);
    }
    let sent: usize = world.datagrams.iter().map(|(_, data)| data.len() + 28).sum();
    assert!(sent <= 3 * 1000 * (datagram.len() + 28));
    assert!(world.datagrams.iter().all(|(_, data)| data.len() <= datagram.len()));
}

#[test]
fn punch_results_are_counted() {
    let mut world = World::new();
    let ([alice, bob, _], _) = room_of_three_that_show_endpoints(&mut world);
    for (who, other, ok) in [
        (alice, "one", "true"),
        // Told by the other one too, and again.
        (bob, "host", "true"),
        (bob, "host", "true"),
        // It did not last.
        (bob, "host", "false"),
        // These were not introduced to each other.
        (bob, "two", "true"),
        (bob, "nobody", "true"),
    ] {
        world.say(
            who,
            format!(
                r#"{{"type":"pass","name":"punch_result","data":{{"id":"{other}","ok":{ok}}}}}"#
            ),
        );
    }
    assert_eq!(world.shared.counted(), "1 0 0", "one introduction is counted once");
    assert_eq!(world.shared.journal.latest().len(), 1);
    world.say(
        alice,
        r#"{"type":"confirm_pass","name":"punch_result","data":{"id":"b","ok":true},"pass_id":4}"#,
    );
    assert_eq!(world.hears(alice), json!({"type": "confirm_pass", "pass_id": 4}));
    world.say(alice, r#"{"type":"confirm_pass","name":"punch_result","data":{},"pass_id":4}"#);
    assert_eq!(world.hears(alice)["error"]["code"], "bad_request");
}

#[test]
fn results_of_who_sends_its_token_from_elsewhere_are_its_own() {
    let mut world = World::new();
    let (host, host_token) = world.login_from(IpAddr::from([192, 0, 2, 1]), "host");
    let (player, token) = world.login_from(IpAddr::from([203, 0, 113, 20]), "player");
    world.datagram("192.0.2.1:4001", &format!("udp:{host_token}"));
    let room = world.ask(host, "create_room", json!({"name": "Lobby"})).unwrap()["room"].clone();
    for n in 1..9 {
        let forged = format!("198.51.{n}.7:1000");
        world.datagram(&forged, &format!("udp:{token}"));
        world.ask(player, "join_room", json!({"room": room})).unwrap();
        let failed = json!({"id": "host", "ok": false});
        let result = json!({"type": "pass", "name": "punch_result", "data": failed});
        world.say(player, result.to_string());
        world.ask(player, "leave_room", json!({})).unwrap();
        let row = world.shared.journal.latest().next().unwrap();
        let told = format!("{forged} (connected from 203.0.113.20) did not get through to host ");
        assert!(row.to_string().starts_with(&told), "{row}");
        world.wait(Duration::from_secs(2));
    }
    assert_eq!(world.shared.counted(), "0 0 1", "one who tries again and again");
}

#[test]
fn the_same_seed_gives_the_same_tokens_and_no_other() {
    let token = |seed| World::seeded(seed, Config::default()).login("a").1;
    assert_eq!(token(1), token(1));
    assert_ne!(token(1), token(2));
}

#[test]
fn a_token_from_other_addresses_aims_nobody_at_them() {
    let mut world = World::new();
    let ((host, _), (player, token)) = (world.login("host"), world.login("player"));
    let host_token = world.events.token_of(host);
    world.datagram("192.0.2.1:1111", &format!("udp:{host_token:032x}"));
    let made = world.ask(host, "create_room", json!({"name": "Lobby"})).unwrap();
    world.ask(player, "join_room", json!({"room": made["room"]})).unwrap();
    let lan = json!([{"ip": "192.168.1.1", "port": 80}]);
    world.ask(player, "local_endpoints", json!({"local": lan})).unwrap();
    world.heard.clear();
    let mut told = 0;
    for n in 0..240 {
        world.datagram(&format!("198.51.100.{}:{}", n % 201, 1000 + n), &format!("udp:{token}"));
        told += names(&world.heard(host)).len();
        world.wait(Duration::from_millis(100));
    }
    assert_eq!(told, 1, "in 24 seconds");
    // One who is there, behind a second address, is told when his turn comes; from the address of
    // his connection at once.
    let stay = |world: &mut World, time| {
        world.wait(time);
        for id in [host, player] {
            world.ask(id, "ping", json!({})).unwrap();
        }
    };
    stay(&mut world, limits::UNPROVEN);
    world.datagram("198.51.100.77:7", &format!("udp:{token}"));
    let heard = world.hears(host);
    let data = (&heard["data"]["ip"], &heard["data"]["local"]);
    assert_eq!(data, (&json!("198.51.100.77"), &json!([])));
    stay(&mut world, limits::ENDPOINT_GAP);
    world.datagram("198.51.100.78:8", &format!("udp:{token}"));
    assert!(world.heard(host).is_empty());
    stay(&mut world, limits::UNPROVEN);
    world.datagram("198.51.100.78:8", &format!("udp:{token}"));
    assert_eq!(world.hears(host)["data"]["ip"], "198.51.100.78");
    world.datagram("198.51.100.78:8", &format!("udp:{token}"));
    assert!(world.heard(host).is_empty(), "told already");
    stay(&mut world, limits::ENDPOINT_GAP);
    world.datagram("192.0.2.1:9", &format!("udp:{token}"));
    assert_eq!(world.hears(host)["data"]["port"], 9);
    // Only in its own network.
    assert_eq!(world.hears(player)["data"]["id"], "host");
}

#[test]
fn nobody_is_introduced_across_families() {
    let mut world = World::new();
    let logins = ["host", "late", "early"].map(|id| world.login(id));
    let [host, late, early] = [0, 1, 2].map(|n| logins[n].0);
    let show = |world: &mut World, n: usize, from: &str| {
        world.datagram(from, &format!("udp:{}", logins[n].1));
    };
    show(&mut world, 0, "[2001:db8::1]:1");
    let made = world.ask(host, "create_room", json!({"name": "Six"})).unwrap();
    show(&mut world, 2, "203.0.113.2:2");
    let room = json!({"room": made["room"]});
    assert_eq!(world.ask(early, "join_room", room.clone()), Err("family".into()));
    let listed = world.ask(early, "list_rooms", json!({})).unwrap();
    assert_eq!(listed["rooms"][0]["other_family"], true);
    // Who has not shown his game socket may still do that.
    let listed = world.ask(late, "list_rooms", json!({})).unwrap();
    assert_eq!(listed["rooms"][0].get("other_family"), None);
    world.ask(late, "join_room", room).unwrap();
    world.heard.clear();
    show(&mut world, 1, "203.0.113.3:3");
    for id in [host, late] {
        let told = world.hears(id);
        assert_eq!((&told["name"], &told["data"]["code"]), (&json!("error"), &json!("family")));
    }
    show(&mut world, 1, "203.0.113.3:3");
    assert!(world.heard.is_empty(), "said once");
    let meet = |n| {
        let why = format!(
            "[2001:db8::1]:1 and 203.0.113.{n}:{n} cannot meet by events, one has IPv4 and the other IPv6"
        );
        (why, 1)
    };
    assert_eq!(world.shared.unmet(), [meet(3), meet(2)]);
    let reason = crate::refusals::Reason::Family;
    assert_eq!(world.shared.refusals.total(reason).times, 2);
    let mut whom: Vec<_> = world.shared.refusals.worst(reason).iter().map(|(it, _)| it.0).collect();
    whom.sort();
    // Who asked, by the connection or the game socket; the host is innocent.
    assert_eq!(whom, [IpAddr::from([192, 0, 2, 1]), IpAddr::from([203, 0, 113, 3])]);
}

#[test]
fn who_is_outside_is_told_the_public_address_of_who_is_inside() {
    let public_ips = IpAddr::from([198, 51, 100, 7]).into();
    let mut world = World::with(Config { public_ips, ..Config::default() });
    world.from = [192, 168, 1, 5];
    let made = room_of_three(&mut world);
    for (conn, at) in made.0.iter().zip(["192.168.1.5:4000", "203.0.113.1:4000"]) {
        let token = world.events.token_of(*conn);
        world.datagram(at, &format!("udp:{token:032x}"));
    }
    let told = world.heard(made.0[0]);
    assert_eq!(told[0]["data"]["ip"], "203.0.113.1");
    let told = world.heard(made.0[1]);
    let introduced = told.iter().find(|event| event["name"] == "introduce").expect("told");
    assert_eq!(
        (&introduced["data"]["ip"], &introduced["data"]["port"]),
        (&json!("198.51.100.7"), &json!(4000))
    );
}

/// A host and a player in one room: who of them shows a game socket, who has said where it is in its network,
/// and for how long they wait. Returns what each has heard then, and the rows.
fn wait_for_udp(
    shows: [bool; 2],
    is_local_told: bool,
    seconds: u64,
) -> (World, [Vec<Value>; 2], Vec<(String, u64)>) {
    let mut world = World::new();
    let logins = ["host", "player"].map(|id| world.login(id));
    let [host, player] = [0, 1].map(|n| logins[n].0);
    let made = world.ask(host, "create_room", json!({"name": "r"})).unwrap();
    world.ask(player, "join_room", made).unwrap();
    if is_local_told {
        let lan = json!({"local": [{"ip": "192.168.1.1", "port": 80}]});
        world.ask(player, "local_endpoints", lan).unwrap();
    }
    for (n, shows) in shows.into_iter().enumerate() {
        if shows {
            world.shared.diagnostics.udp_came();
            world.datagram(&format!("203.0.113.{n}:4000"), &format!("udp:{}", logins[n].1));
        }
    }
    world.heard.clear();
    world.wait(Duration::from_secs(seconds));
    let heard = [host, player].map(|id| world.heard(id));
    let rows = world.shared.unmet();
    (world, heard, rows)
}

#[test]
fn who_waits_for_a_datagram_that_never_comes_is_told_and_so_is_the_owner() {
    let blocked = "never came; is UDP blocked on its side?";
    let told = |other| {
        let message = format!("nothing has come by UDP from \"{other}\": it may be blocked there");
        json!({"type": "pass", "name": "error", "data": {"code": "no_udp", "message": message}})
    };
    for (shows, heard, why) in [
        (
            [true, false],
            [vec![told("player")], vec![]],
            format!(
                "\"player\" (192.0.2.1:1002) could not be introduced to \"host\" (203.0.113.0:4000): the \
                 UDP packet of \"player\" {blocked}"
            ),
        ),
        (
            [false, true],
            [vec![], vec![told("host")]],
            format!(
                "\"player\" (203.0.113.1:4000) could not be introduced to \"host\" (192.0.2.1:1001): the \
                 UDP packet of \"host\" {blocked}"
            ),
        ),
    ] {
        assert_eq!(wait_for_udp(shows, false, 4).2, []);
        let (world, got, rows) = wait_for_udp(shows, false, 5);
        assert_eq!((got, rows), (heard, vec![(why, 1)]));
        assert_eq!(world.shared.counted(), "0 0 0", "it was no introduction");
        assert_eq!(wait_for_udp(shows, false, 50).2.len(), 1, "once");
    }
    // They are introduced, or are of a game that sends no datagrams.
    assert_eq!(wait_for_udp([true, true], true, 6).2, []);
    let (_, heard, rows) = wait_for_udp([false, false], false, 6);
    assert_eq!((heard, rows), ([vec![], vec![]], vec![]));
    // Where nothing at all has come, the port of the server is closed.
    let (world, heard, rows) = wait_for_udp([false, false], true, 6);
    let why = crate::diagnostics::closed(0);
    assert!(
        rows[0].0.ends_with(&format!("the UDP packet of either never came; {why}")),
        "{rows:?}"
    );
    assert_eq!((heard, rows.len()), ([vec![], vec![]], 1));
    assert_eq!(world.shared.diagnostics.sentences(world.now.instant), [why]);
}
