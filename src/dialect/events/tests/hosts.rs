//! Rooms that go on without their host, and those in which all meet all.

use super::*;

/// Somebody whose game socket the server knows.
fn there(world: &mut World, n: u8, id: &str) -> ConnId {
    let addr = IpAddr::from([203, 0, 113, n]);
    let (conn, token) = world.login_from(addr, id);
    world.datagram(&SocketAddr::new(addr, 4000).to_string(), &format!("udp:{token}"));
    conn
}

/// A room of four.
fn four(world: &mut World, data: Value) -> ([ConnId; 4], Value) {
    let all = ["a", "b", "c", "d"];
    let mut n = 0;
    let all = all.map(|id| {
        n += 1;
        there(world, n, id)
    });
    let made = world.ask(all[0], "create_room", data).unwrap();
    world.heard.clear();
    for id in &all[1..] {
        let join = json!({"type": "request", "name": "join_room", "request_id": 1, "data": made});
        world.say(*id, join.to_string());
    }
    (all, made["room"].clone())
}

/// Whom somebody has been introduced to, with what the two know each other by.
fn met(heard: &[Value]) -> BTreeMap<String, String> {
    let introduced = heard.iter().filter(|event| event["name"] == "introduce");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    introduced.map(|e| (text(&e["data"]["id"]), text(&e["data"]["nonce"]))).collect()
}

#[test]
fn a_room_goes_on_with_the_one_who_has_been_there_longest() {
    for (how, reason) in [(0, "left"), (1, "disconnected")] {
        let mut world = World::new();
        let ([a, b, c, d], room) = four(&mut world, json!({"name": "r", "migrate": true}));
        world.heard.clear();
        match how {
            0 => world.say(a, r#"{"type":"request","name":"leave_room","request_id":1}"#),
            _ => world.gone(a),
        }
        world.wait(Duration::ZERO);
        let heard = [b, c, d].map(|id| world.heard(id));
        for told in &heard {
            assert_eq!(names(&told[..2]), ["player_left", "host_changed"]);
            assert_eq!(told[0]["data"], json!({"room": room, "id": "a", "reason": reason}));
            assert_eq!(told[1]["data"], json!({"room": room, "id": "b"}));
        }
        let met = heard.each_ref().map(|told| met(told));
        assert_eq!(met[0].keys().collect::<Vec<_>>(), ["c", "d"], "the new host meets all");
        assert_eq!((met[1].len(), &met[1]["b"]), (1, &met[0]["c"]));
        assert_eq!((met[2].len(), &met[2]["b"]), (1, &met[0]["d"]));
        // It is the host in all there is, and its address has the room.
        let listed = world.ask(c, "list_rooms", json!({})).unwrap();
        assert_eq!(
            (&listed["rooms"][0]["host"], &listed["rooms"][0]["players"]),
            (&json!("b"), &json!(3))
        );
        assert_eq!(world.ask(c, "kick", json!({"id": "d"})), Err("not_host".into()));
        assert!(world.ask(b, "kick", json!({"id": "d"})).is_ok());
        world.gone(b);
        world.wait(Duration::ZERO);
        assert!(world.ask(c, "delete_room", json!({"room": room})).is_ok());
        let gone = if how == 0 { vec![a, c, d] } else { vec![c, d] };
        gone.into_iter().for_each(|id| world.gone(id));
        assert!(world.events.is_empty());
    }
}

#[test]
fn a_room_whose_host_did_not_ask_for_it_ends() {
    let mut world = World::new();
    let ([a, b, ..], _) = four(&mut world, json!({"name": "r", "migrate": false}));
    world.heard.clear();
    world.gone(a);
    assert_eq!(names(&world.heard(b)), ["room_deleted", "self_left"]);
    let ([a, b, ..], room) = {
        let mut n = 10;
        let all = ["e", "f", "g", "h"].map(|id| {
            n += 1;
            there(&mut world, n, id)
        });
        let made = world.ask(all[0], "create_room", json!({"name": "r", "migrate": true})).unwrap();
        world.ask(all[1], "join_room", made.clone()).unwrap();
        (all, made)
    };
    world.heard.clear();
    world.ask(a, "delete_room", room).unwrap();
    assert_eq!(names(&world.heard(b)), ["room_deleted", "self_left"], "its host has deleted it");
}

#[test]
fn in_a_mesh_all_are_introduced_to_each_other() {
    let mut world = World::new();
    let (all, room) = four(&mut world, json!({"name": "r", "mesh": true, "migrate": true}));
    let met_by = all.map(|id| met(&world.heard(id)));
    let ids = ["a", "b", "c", "d"];
    for (n, met) in met_by.iter().enumerate() {
        let others: Vec<&str> = ids.iter().copied().filter(|id| *id != ids[n]).collect();
        assert_eq!(met.keys().collect::<Vec<_>>(), others, "{}", ids[n]);
        for other in others {
            let of_other = &met_by[ids.iter().position(|id| *id == other).unwrap()];
            assert_eq!(met[other], of_other[ids[n]], "one nonce for the two");
        }
    }
    let nonces: BTreeSet<&String> = met_by.iter().flat_map(|met| met.values()).collect();
    assert_eq!(nonces.len(), 6, "each pair has its own");
    // Who moves is told to all.
    world.wait(limits::ENDPOINT_GAP);
    let token = world.events.token_of(all[3]);
    world.datagram("203.0.113.4:5000", &format!("udp:{token:032x}"));
    for id in &all[..3] {
        assert_eq!(world.hears(*id)["data"]["port"], 5000);
    }
    assert_eq!(met(&world.heard(all[3])).len(), 3);
    // A punch of two who are not the host counts as well.
    world.say(all[1], r#"{"type":"pass","name":"punch_result","data":{"id":"c","ok":true}}"#);
    assert!(world.shared.counted().starts_with("1 "), "{}", world.shared.counted());
    // Those who are left know each other already.
    world.gone(all[0]);
    world.wait(Duration::ZERO);
    let heard = world.heard(all[2]);
    assert_eq!(names(&heard)[..2], ["player_left", "host_changed"]);
    assert!(met(&heard).values().all(|nonce| nonces.contains(nonce)));
    let (_, _) = (world.heard(all[1]), world.heard(all[3]));
    let late = there(&mut world, 9, "late");
    let joined = world.ask(late, "join_room", json!({"room": room})).unwrap();
    assert_eq!((&joined["mesh"], &joined["host"]), (&json!(true), &json!("b")));
    for id in &all[1..] {
        assert_eq!(met(&world.heard(*id)).len(), 1);
    }
}
