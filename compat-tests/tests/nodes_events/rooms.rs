//! Rooms of other nodes: lists, joins, what members hear, introductions.

use std::collections::BTreeSet;

use punchd::server::Server;
use serde_json::{Value, json};

use super::{World, request};

#[test]
fn rooms_of_other_nodes_are_listed_and_watched() {
    let mut world = World::of(3);
    let (amy, bob) = (world.login(0, "amy"), world.login(1, "bob"));
    let viewer = world.login(2, "viewer");
    world.ask(&viewer, "watch_rooms", json!({})).unwrap();
    let first = world.room(&amy, json!({"name": "first", "data": {"map": "a"}, "password": "x"}));
    let second =
        world.room(&bob, json!({"name": "second", "max_players": 2, "data": {"map": "b"}}));
    world.pass(1100);
    let mut told = BTreeSet::new();
    for event in world.heard(&viewer) {
        let rooms = event["data"]["rooms"].as_array().unwrap().clone();
        told.extend(rooms.iter().map(|room| room["room"].as_str().unwrap().to_owned()));
    }
    assert_eq!(told, BTreeSet::from([first.clone(), second.clone()]));
    let list = world.list(&viewer, json!({}));
    assert_eq!(list, world.list(&amy, json!({})));
    assert_eq!(list, world.list(&bob, json!({})));
    let found = world.list(&viewer, json!({"filter": {"map": "a"}}));
    let want = json!({"room": first, "name": "first", "host": "amy", "players": 1,
                      "max_players": 64, "password": true, "data": {"map": "a"}});
    assert_eq!(found, [want]);
    let page = world.ask(&viewer, "list_rooms", json!({"limit": 1, "sort": "newest"})).unwrap();
    assert_eq!((&page["rooms"][0]["room"], &page["more"]), (&json!(second), &json!(true)));
    let after = json!({"limit": 1, "sort": "newest", "after": second});
    assert_eq!(world.list(&viewer, after)[0]["room"], json!(first));
    // What changes.
    world.ask(&bob, "update_room", json!({"name": "2nd"})).unwrap();
    let third = world.login(0, "carl");
    world.ask(&third, "join_room", json!({"room": second})).unwrap();
    assert_eq!(world.list(&viewer, json!({"free": true})).len(), 1);
    let found = world.list(&viewer, json!({"filter": {"map": "b"}}));
    assert_eq!((&found[0]["name"], &found[0]["players"]), (&json!("2nd"), &json!(2)));
    world.gone(&amy);
    world.pass(1100);
    let gone = world.heard(&viewer);
    assert!(gone.iter().any(|event| event["data"]["gone"] == json!([first])), "{gone:?}");
    // A node that is killed.
    world.kill(1);
    world.pass(4500);
    assert_eq!(world.list(&viewer, json!({})), Vec::<Value>::new());
    let gone = world.heard(&viewer);
    assert!(gone.iter().any(|event| event["data"]["gone"] == json!([second])), "{gone:?}");
    assert_eq!(world.names(&third)[1..], ["room_deleted", "self_left"]);
    assert!(world.ask(&third, "create_room", json!({"name": "own"})).is_ok(), "it is in no room");
}

#[test]
fn a_room_is_joined_from_another_node_and_all_in_it_hear_of_it() {
    let mut world = World::of(3);
    let (amy, bob, carl) = (world.login(0, "amy"), world.login(1, "bob"), world.login(2, "carl"));
    let room = world.room(&amy, json!({"name": "r", "data": {"map": "a"}}));
    let told = world.ask(&bob, "join_room", json!({"room": room, "odd": 1})).unwrap();
    let want = json!({"room": room, "host": "amy", "players": ["amy", "bob"], "data": {"map": "a"},
                      "ignored": ["odd"]});
    assert_eq!(told, want);
    assert_eq!(world.hears(&bob, "self_joined"), json!({"room": room, "id": "bob"}));
    assert_eq!(world.hears(&amy, "player_joined"), json!({"room": room, "id": "bob"}));
    assert_eq!(world.ask(&bob, "create_room", json!({"name": "x"})), Err("in_room".into()));
    assert_eq!(world.ask(&bob, "join_room", json!({"room": room})), Err("in_room".into()));
    let quick = world.ask(&carl, "quick_join", json!({"filter": {"map": "a"}})).unwrap();
    assert_eq!((&quick["room"], &quick["name"]), (&json!(room), &json!("r")));
    assert_eq!(world.hears(&bob, "player_joined")["id"], "carl");
    world.heard(&amy);
    world.heard(&carl);
    world.ask(&amy, "update_room", json!({"locked": true})).unwrap();
    for member in [&bob, &carl] {
        assert_eq!(world.hears(member, "room_updated"), json!({"room": room, "locked": true}));
    }
    assert_eq!(world.ask(&bob, "update_room", json!({"locked": false})), Err("not_host".into()));
    assert_eq!(world.ask(&bob, "kick", json!({"id": "carl"})), Err("not_host".into()));
    assert_eq!(world.ask(&bob, "delete_room", json!({"room": room})), Err("not_host".into()));
    // Somebody leaves, is kicked, and is let in again.
    world.ask(&carl, "leave_room", json!({})).unwrap();
    assert_eq!(world.hears(&carl, "self_left")["reason"], "left");
    assert_eq!(
        world.hears(&bob, "player_left"),
        json!({"room": room, "id": "carl", "reason": "left"})
    );
    assert_eq!(world.ask(&carl, "leave_room", json!({})), Err("not_in_room".into()));
    assert_eq!(world.ask(&carl, "join_room", json!({"room": room})), Err("locked".into()));
    world.ask(&amy, "update_room", json!({"locked": false, "password": "x"})).unwrap();
    assert_eq!(world.ask(&carl, "join_room", json!({"room": room})), Err("bad_key".into()));
    let key = json!({"room": room, "password": "x"});
    world.ask(&carl, "join_room", key.clone()).unwrap();
    world.heard(&carl);
    world.ask(&amy, "kick", json!({"id": "carl"})).unwrap();
    assert_eq!(world.hears(&carl, "self_left")["reason"], "kicked");
    assert_eq!(world.ask(&carl, "join_room", key.clone()), Err("kicked".into()));
    world.ask(&amy, "let_in", json!({"id": "carl"})).unwrap();
    world.ask(&carl, "join_room", key).unwrap();
    // One whose connection ends, and one whose node does.
    world.heard(&amy);
    world.gone(&bob);
    assert_eq!(world.hears(&amy, "player_left")["reason"], "disconnected");
    world.kill(2);
    world.pass(4500);
    assert_eq!(world.hears(&amy, "player_left")["id"], "carl");
    world.say(&amy, &request("q", "1", "carl"));
    assert_eq!(world.heard(&amy)[0]["error"]["code"], "no_such_peer");
    assert_eq!(world.list(&amy, json!({}))[0]["players"], 1);
}

#[test]
fn a_private_room_of_another_node_is_joined_by_its_code() {
    let mut world = World::of(2);
    let (amy, bob) = (world.login(0, "amy"), world.login(1, "bob"));
    let told = world.ask(&amy, "create_room", json!({"name": "r", "private": true})).unwrap();
    assert_eq!(world.list(&bob, json!({})), Vec::<Value>::new());
    assert_eq!(world.ask(&bob, "join_room", json!({"code": "BBBBBB"})), Err("no_such_room".into()));
    let joined = world.ask(&bob, "join_room", json!({"code": told["code"]})).unwrap();
    assert_eq!(joined["room"], told["room"]);
    world.heard(&bob);
    world.ask(&amy, "delete_room", json!({"room": told["room"]})).unwrap();
    assert_eq!(world.names(&bob), ["room_deleted", "self_left"]);
    assert_eq!(
        world.ask(&bob, "join_room", json!({"code": told["code"]})),
        Err("no_such_room".into())
    );
    assert!(world.ask(&bob, "create_room", json!({"name": "own"})).is_ok());
}

#[test]
fn a_member_at_another_node_becomes_the_host() {
    let mut world = World::of(2);
    let (amy, bob, carl) = (world.login(0, "amy"), world.login(1, "bob"), world.login(1, "carl"));
    let room = world.room(&amy, json!({"name": "r", "migrate": true}));
    for peer in [&bob, &carl] {
        world.ask(peer, "join_room", json!({"room": room})).unwrap();
    }
    world.heard(&carl);
    world.gone(&amy);
    assert_eq!(world.hears(&carl, "host_changed"), json!({"room": room, "id": "bob"}));
    assert_eq!(world.list(&carl, json!({}))[0]["host"], "bob");
    world.ask(&bob, "update_room", json!({"name": "new"})).unwrap();
    assert_eq!(world.hears(&carl, "room_updated")["name"], "new");
    world.ask(&bob, "delete_room", json!({"room": room})).unwrap();
    assert_eq!(world.names(&carl), ["room_deleted", "self_left"]);
}

#[test]
fn members_of_two_nodes_are_introduced() {
    let mut world = World::of(2);
    let (amy, bob) = (world.login(0, "amy"), world.login(1, "bob"));
    let room = world.room(&amy, json!({"name": "r"}));
    world.socket(&amy, 2000);
    let local = json!({"local": [{"ip": "192.168.1.7", "port": 2000}]});
    world.ask(&amy, "local_endpoints", local).unwrap();
    world.ask(&bob, "join_room", json!({"room": room})).unwrap();
    assert_eq!(world.names(&bob), ["self_joined"], "its game socket is not known");
    world.heard(&amy);
    world.socket(&bob, 3000);
    let (to_amy, to_bob) = (world.hears(&amy, "introduce"), world.hears(&bob, "introduce"));
    let want = json!([format!("203.0.113.{}", bob.1.slot), 3000, "bob"]);
    assert_eq!(json!([to_amy["ip"], to_amy["port"], to_amy["id"]]), want);
    let want = json!([format!("203.0.113.{}", amy.1.slot), 2000, "amy"]);
    assert_eq!(json!([to_bob["ip"], to_bob["port"], to_bob["id"]]), want);
    assert!(to_amy["nonce"].is_string() && to_amy["nonce"] == to_bob["nonce"]);
    assert_eq!(to_bob["local"], json!([]), "they have different addresses");
    let result = json!({"type": "confirm_pass", "name": "punch_result", "pass_id": 4,
                        "data": {"id": "amy", "ok": true}});
    world.say(&bob, &result);
    assert_eq!(world.heard(&bob), [json!({"type": "confirm_pass", "pass_id": 4})]);
    // The endpoint of one changes.
    world.pass(1500);
    world.socket(&bob, 3001);
    assert_eq!(world.hears(&amy, "introduce")["port"], 3001);
}

#[test]
fn after_a_partition_nobody_is_in_a_room_that_does_not_know_it() {
    let mut world = World::of(2);
    let (amy, bob) = (world.login(0, "amy"), world.login(1, "bob"));
    let room = world.room(&amy, json!({"name": "r"}));
    world.ask(&bob, "join_room", json!({"room": room})).unwrap();
    world.heard(&amy);
    world.heard(&bob);
    // A node that has begun anew knows nothing of it.
    world.cut_off(0);
    world.pass(4500);
    assert_eq!(world.names(&bob), ["room_deleted", "self_left"]);
    assert_eq!(world.hears(&amy, "player_left")["id"], "bob");
    world.net.cuts.clear();
    world.pass(1500);
    assert_eq!(world.list(&bob, json!({}))[0]["players"], 1);
    world.ask(&bob, "join_room", json!({"room": room})).unwrap();
    world.heard(&bob);
    world.restart(0);
    world.pass(1500);
    assert_eq!(world.names(&bob), ["room_deleted", "self_left"]);
    assert_eq!(world.list(&bob, json!({})), Vec::<Value>::new());
    // A short gap is made up for.
    let amy = world.login(0, "amy");
    let room = world.room(&amy, json!({"name": "r"}));
    world.ask(&bob, "join_room", json!({"room": room})).unwrap();
    world.heard(&bob);
    world.cut_off(0);
    world.ask(&amy, "update_room", json!({"name": "lost"})).unwrap();
    world.pass(500);
    world.net.cuts.clear();
    world.pass(2000);
    assert_eq!(world.list(&bob, json!({}))[0]["name"], "lost");
    world.ask(&bob, "leave_room", json!({})).unwrap();
    assert_eq!(world.hears(&amy, "player_left")["id"], "bob");
}

/// What others have still to hear is not forgotten as one more node comes.
#[test]
fn a_room_that_is_made_as_another_node_joins_is_known_to_all() {
    let mut world = World::of(2);
    let (amy, bob) = (world.login(0, "amy"), world.login(1, "bob"));
    world.pass(1000);
    world.add(punchd::server::Config::default());
    let hello = world.act_alone(2, |server, now, out| server.on_wakeup(now, out));
    let data = json!({"name": "r"});
    let create = json!({"type": "request", "name": "create_room", "data": data, "request_id": 1});
    let told = world.say_alone(&amy, &create);
    world.deliver(told);
    world.deliver(hello);
    world.pass(1000);
    assert_eq!(world.list(&bob, json!({})).len(), 1);
}

/// A node that comes is told of all peers, part by part: of one that says something there before that is done.
#[test]
fn a_room_of_a_node_that_begins_anew_is_joined_by_one_of_whom_it_has_not_been_told() {
    let mut world = World::of(2);
    for n in 0..1200 {
        let conn = world.open(0, (super::address(n), 4000).into());
        let data = json!({"id": n.to_string(), "game": "go"});
        let login = json!({"type": "request", "name": "login", "data": data, "request_id": 1});
        world.write(0, conn, login.to_string().as_bytes());
    }
    let amy = world.login(0, "amy");
    world.pass(1000);
    world.restart(1);
    let eve = world.login(1, "eve");
    let room = world.room(&eve, json!({"name": "r"}));
    while world.list(&amy, json!({})).is_empty() {}
    world.ask(&amy, "join_room", json!({"room": room})).unwrap();
    assert_eq!(world.hears(&eve, "player_joined")["id"], "amy");
    world.pass(1000);
    assert_eq!(world.list(&amy, json!({}))[0]["players"], 2);
}

/// That rooms have ended is said at once, and takes nothing of what may be said of others.
#[test]
fn a_mass_of_rooms_that_come_and_go_does_not_keep_another_from_the_lists() {
    let mut world = World::of(2);
    let viewer = world.login(1, "viewer");
    let amy = (0, world.open(0, "198.51.100.7:4000".parse().unwrap()), String::new());
    world.ask(&amy, "login", json!({"id": "amy", "game": "chess"})).unwrap();
    let game = "g".repeat(60);
    let mut login = |n| {
        let (peer, told) = world.try_login(0, &format!("mass {n}"), &json!({"game": game}));
        told.unwrap();
        peer
    };
    let mass: Vec<_> = (0..50).map(&mut login).collect();
    let [create, leave] = [("create_room", json!({"name": "r"})), ("leave_room", json!({}))]
        .map(|(name, data)| json!({"type": "request", "name": name, "data": data, "request_id": 1}))
        .map(|request| request.to_string().into_bytes());
    for round in 0..900 {
        for (n, conn, _) in &mass {
            world.write(*n, *conn, &create);
            world.write(*n, *conn, &leave);
        }
        world.written.clear();
        if round % 10 == 9 {
            world.pass(3);
        }
    }
    let room = world.room(&amy, json!({"name": "own"}));
    world.pass(100);
    assert_eq!(world.list(&viewer, json!({}))[0]["room"], json!(room));
}

/// What is told again has not changed.
#[test]
fn who_watches_does_not_hear_of_all_rooms_because_one_message_was_lost() {
    const ROOMS: usize = 200;
    let mut world = World::of(2);
    for n in 0..ROOMS {
        let host = world.login(0, &n.to_string());
        world.room(&host, json!({"name": "r", "data": {"n": n}}));
    }
    let (viewer, filters) = (world.login(1, "viewer"), world.login(1, "filters"));
    world.pass(1000);
    world.ask(&viewer, "watch_rooms", json!({})).unwrap();
    world.ask(&filters, "watch_rooms", json!({"filter": {"n": "none"}})).unwrap();
    let news = |world: &mut World, host: &str| {
        let host = world.login(0, host);
        let room = world.room(&host, json!({"name": "new"}));
        world.pass(1100);
        let heard = world.heard(&viewer);
        let told =
            heard.iter().flat_map(|event| event["data"]["rooms"].as_array().unwrap().clone());
        let told: Vec<Value> = told.map(|told| told["room"].clone()).collect();
        let gone =
            world.heard(&filters).iter().map(|event| event["data"]["gone"].clone()).collect();
        (told, gone, vec![json!(room)], vec![json!([room])])
    };
    world.net.loses = Some(b"loser");
    world.login(0, "loser");
    world.pass(2000);
    let (told, gone, room, own) = news(&mut world, "first");
    assert_eq!((told, gone), (room, own), "a message was lost");
    world.take_over(1);
    world.pass(2000);
    let (told, gone, room, own) = news(&mut world, "second");
    let gone: Vec<Value> = gone;
    assert_eq!((told, gone), (room, own), "a process has taken over");
}

/// Its own node passes on no more than it would do itself.
#[test]
fn what_a_host_at_another_node_tells_its_room_is_bounded_as_at_its_own() {
    const PLAYERS: usize = 40;
    let mut world = World::of(2);
    let (amy, bob) = (world.login(0, "amy"), world.login(1, "bob"));
    let room = json!({"room": world.room(&amy, json!({"name": "r", "migrate": true}))});
    world.ask(&bob, "join_room", room.clone()).unwrap();
    for n in 0..PLAYERS {
        let player = world.login(0, &n.to_string());
        world.ask(&player, "join_room", room.clone()).unwrap();
    }
    world.gone(&amy);
    world.pass(12_000);
    world.heard(&bob);
    let update = json!({"type": "request", "name": "update_room", "data": {"locked": false}, "request_id": 1});
    let before = world.written.len();
    world.write(bob.0, bob.1, update.to_string().repeat(2000).as_bytes());
    let mut turns = vec![world.written.len() - before];
    let is_busy = |world: &World| {
        let next = world.servers[1].as_ref().and_then(Server::next_wakeup);
        next.is_some_and(|next| next <= world.now)
    };
    while is_busy(&world) {
        let before = world.written.len();
        world.act(1, |server, now, out| server.on_wakeup(now, out));
        turns.push(world.written.len() - before);
    }
    let most = turns.iter().max().unwrap();
    assert!(*most <= 4 * PLAYERS, "in one turn: {most}");
    let all: usize = turns.iter().sum();
    assert!((2000..18_000).contains(&all), "{all}");
    let heard = world.heard(&bob);
    assert!(heard.iter().any(|event| event["error"]["code"] == "too_many"));
    assert_eq!(heard.len(), 2000, "all are answered");
}

#[test]
fn who_leaves_a_room_of_another_node_may_come_into_the_next_at_once() {
    for (next, n) in [("create_room", 0), ("join_room", 0), ("join_room", 1)] {
        let mut world = World::of(2);
        let (amy, bob) = (world.login(0, "amy"), world.login(1, "bob"));
        let eve = world.login(n, "eve");
        let room = world.room(&amy, json!({"name": "r"}));
        let other = world.room(&eve, json!({"name": "other"}));
        world.pass(100);
        world.ask(&bob, "join_room", json!({"room": room})).unwrap();
        world.heard(&amy);
        world.heard(&bob);
        let data = json!({"name": "own", "room": other});
        let both = [("leave_room", json!({})), (next, data)].map(|(name, data)| {
            json!({"type": "request", "name": name, "data": data, "request_id": 1}).to_string()
        });
        world.write(bob.0, bob.1, both.concat().as_bytes());
        world.pass(100);
        assert_eq!(world.names(&bob), ["leave_room", "self_left", next, "self_joined"]);
        assert_eq!(world.hears(&amy, "player_left")["reason"], "left");
        let sizes = world.list(&amy, json!({}));
        let sizes: usize =
            sizes.iter().map(|room| room["players"].as_u64().unwrap() as usize).sum();
        assert_eq!(sizes, 3, "{next} {n}");
    }
}

/// What was said before it was heard there is on its way still.
#[test]
fn who_has_left_a_room_hears_nothing_of_it_while_it_joins_the_next() {
    let mut world = World::of(2);
    let (amy, bob, eve) = (world.login(0, "amy"), world.login(1, "bob"), world.login(0, "eve"));
    let room = world.room(&amy, json!({"name": "r"}));
    let other = world.room(&eve, json!({"name": "other"}));
    world.pass(100);
    world.ask(&bob, "join_room", json!({"room": room})).unwrap();
    world.heard(&bob);
    let request = |name: &str, room: &str| json!({"type": "request", "name": name, "data": {"room": room}, "request_id": 1});
    let ends = world.say_alone(&amy, &request("delete_room", &room));
    let leaves = world.say_alone(&bob, &request("leave_room", &room));
    let joins = world.say_alone(&bob, &request("join_room", &other));
    for under_way in [ends, leaves, joins] {
        world.deliver(under_way);
    }
    world.pass(1000);
    assert_eq!(world.names(&bob), ["leave_room", "self_left", "join_room", "self_joined"]);
}

#[test]
fn who_leaves_a_room_as_its_node_is_taken_over_has_left_it() {
    let mut world = World::of(2);
    let (amy, bob) = (world.login(0, "amy"), world.login(1, "bob"));
    let room = world.room(&amy, json!({"name": "r"}));
    world.pass(100);
    world.ask(&bob, "join_room", json!({"room": room})).unwrap();
    world.heard(&bob);
    let asks = world.take_over_alone(1);
    let leave = json!({"type": "request", "name": "leave_room", "data": {}, "request_id": 1});
    // That is lost.
    world.say_alone(&bob, &leave);
    world.deliver(asks);
    assert_eq!(world.names(&bob), ["leave_room", "self_left"]);
    world.pass(3000);
    assert!(world.ask(&bob, "create_room", json!({"name": "own"})).is_ok());
    world.pass(6000);
    assert_eq!(world.names(&bob), ["self_joined"]);
    assert_eq!(world.hears(&amy, "player_left")["reason"], "left");
}

/// Its own node does not know yet.
#[test]
fn who_leaves_a_room_as_it_is_put_out_hears_that_once() {
    for name in ["kick", "delete_room"] {
        let mut world = World::of(2);
        let (amy, bob) = (world.login(0, "amy"), world.login(1, "bob"));
        let room = world.room(&amy, json!({"name": "r"}));
        let join = json!({"room": room, "id": "bob"});
        world.ask(&bob, "join_room", join.clone()).unwrap();
        world.heard(&bob);
        let request =
            |name: &str| json!({"type": "request", "name": name, "data": join, "request_id": 1});
        let put_out = world.say_alone(&amy, &request(name));
        let leaves = world.say_alone(&bob, &request("leave_room"));
        world.deliver(put_out);
        world.deliver(leaves);
        world.pass(1000);
        assert_eq!(world.names(&bob), ["leave_room", "self_left"], "{name}");
        if name == "kick" {
            world.heard(&amy);
            world.ask(&amy, "let_in", join.clone()).unwrap();
            world.ask(&bob, "join_room", join.clone()).unwrap();
            assert_eq!(world.names(&bob), ["self_joined"]);
            world.ask(&amy, "kick", join).unwrap();
            assert_eq!(world.hears(&bob, "self_left")["reason"], "kicked");
        }
        assert!(world.ask(&bob, "create_room", json!({"name": "own"})).is_ok());
    }
}
