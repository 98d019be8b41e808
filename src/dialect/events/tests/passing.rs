//! Events from peer to peer.

use super::*;

#[test]
fn a_pass_arrives_as_it_was_sent() {
    let mut world = World::new();
    let [alice, bob] = world.peers(["alice", "bob"]);
    world.say(alice, r#"{"type":"pass","name":"n","data":[1e400,12345678901234567890,0.1000],"dest":"bob","new":-0.0}"#);
    let sent = r#"{"type":"pass","name":"n","data":[1e400,12345678901234567890,0.1000],"new":-0.0,"from":"alice"}"#;
    assert_eq!(world.lines(bob), [sent]);
    assert!(world.lines(alice).is_empty());
    world.say(alice, r#"{"type":"pass","name":"n","dest":"nobody"}"#);
    assert!(world.lines(alice).is_empty(), "no answer is expected");
    world.say(alice, r#"{"type":"pass","name":"note to self","dest":"alice"}"#);
    assert_eq!(world.hears(alice)["from"], "alice");
}

#[test]
fn events_come_in_any_pieces() {
    let two =
        br#" {"type":"pass","name":"one","dest":"bob"}{"type":"pass","name":"two","dest":"bob"}
    "#;
    for size in 1..two.len() {
        let mut world = World::new();
        let [alice, bob] = world.peers(["alice", "bob"]);
        for piece in two.chunks(size) {
            world.say(alice, piece);
        }
        assert_eq!(names(&world.heard(bob)), ["one", "two"], "in pieces of {size}");
    }
}

#[test]
fn an_event_of_64_kib_arrives() {
    let mut world = World::new();
    let [alice, bob] = world.peers(["alice", "bob"]);
    let event = |data: &str| {
        json!({"type": "pass", "name": "level", "dest": "bob", "data": data}).to_string()
    };
    let data = "x".repeat(limits::OBJECT - event("").len());
    assert_eq!(event(&data).len(), limits::OBJECT);
    world.say(alice, event(&data));
    assert_eq!(world.hears(bob)["data"], json!(data));
    world.say(alice, event(&(data + "x")));
    assert_eq!(world.hears(alice)["data"]["code"], "too_long");
    assert!(world.closed.contains(&alice));
}

#[test]
fn two_peers_use_the_same_ids_at_once() {
    let mut world = World::new();
    let [alice, bob, carol] = world.peers(["alice", "bob", "carol"]);
    for id in [alice, bob] {
        world.say(id, r#"{"type":"request","name":"move","dest":"carol","request_id":1}"#);
        world.say(id, r#"{"type":"confirm_pass","name":"hi","dest":"carol","pass_id":1}"#);
    }
    let heard = world.heard(carol);
    assert_eq!(heard.len(), 4);
    for event in heard.iter().rev() {
        let answer = if event["type"] == "request" {
            json!({"type": "response", "name": "move", "request_id": event["request_id"],
                   "data": event["from"], "extra": true})
        } else {
            json!({"type": "confirm_pass", "pass_id": event["pass_id"]})
        };
        world.say(carol, answer.to_string());
    }
    for (id, name) in [(alice, "alice"), (bob, "bob")] {
        let heard = world.heard(id);
        assert_eq!(heard[0], json!({"type": "confirm_pass", "pass_id": 1, "from": "carol"}));
        assert_eq!(
            heard[1],
            json!({"type": "response", "name": "move", "request_id": 1, "data": name,
                   "extra": true, "from": "carol"})
        );
        assert_eq!(heard.len(), 2);
    }
}

#[test]
fn an_id_comes_back_as_it_was_written() {
    for id in ["1", "-1.50e3", "12345678901234567890", r#""""#, r#""a\u0062\" c""#] {
        let mut world = World::new();
        let [alice, bob] = world.peers(["alice", "bob"]);
        world.say(
            alice,
            format!(r#"{{"type":"request","name":"a","dest":"bob","request_id":{id}}}"#),
        );
        let asked = world.hears(bob)["request_id"].clone();
        world.say(bob, json!({"type": "response", "request_id": asked, "data": null}).to_string());
        let line = world.lines(alice).remove(0);
        assert!(line.contains(&format!(r#""request_id":{id},"#)), "{line}");
        // Nobody waits any more: dropped.
        world.say(bob, json!({"type": "response", "request_id": asked, "data": null}).to_string());
        assert!(world.lines(alice).is_empty() && world.lines(bob).is_empty());
    }
}

#[test]
fn only_who_was_asked_can_answer() {
    let mut world = World::new();
    let [alice, bob, eve] = world.peers(["alice", "bob", "eve"]);
    world.say(alice, r#"{"type":"request","name":"a","dest":"bob","request_id":1}"#);
    let id = world.hears(bob)["request_id"].clone();
    world.say(eve, json!({"type": "response", "request_id": id, "data": "forged"}).to_string());
    world.say(bob, json!({"type": "confirm_pass", "pass_id": id}).to_string());
    assert!(world.lines(alice).is_empty());
    let error = json!({"code": "own_code", "message": "of the game"});
    world.say(bob, json!({"type": "response", "request_id": id, "error": error}).to_string());
    assert_eq!(world.hears(alice)["error"], error);
}

#[test]
fn the_sender_learns_that_there_is_nobody() {
    let mut world = World::new();
    let [alice] = world.peers(["alice"]);
    world.say(alice, r#"{"type":"confirm_pass","name":"hi","dest":"bob","pass_id":"p"}"#);
    let failed = world.hears(alice);
    assert_eq!((&failed["type"], &failed["pass_id"]), (&json!("confirm_pass"), &json!("p")));
    assert_eq!(failed["error"]["code"], "no_such_peer");
    world.say(alice, r#"{"type":"request","name":"q","dest":"bob","request_id":7}"#);
    let failed = world.hears(alice);
    assert_eq!((&failed["name"], &failed["request_id"]), (&json!("q"), &json!(7)));
    assert_eq!(failed["error"]["code"], "no_such_peer");
}

#[test]
fn the_sender_learns_that_the_peer_has_left() {
    let mut world = World::new();
    let [alice, bob] = world.peers(["alice", "bob"]);
    world.say(alice, r#"{"type":"confirm_pass","name":"hi","dest":"bob","pass_id":1}"#);
    world.say(alice, r#"{"type":"request","name":"q","dest":"bob","request_id":2}"#);
    world.say(bob, r#"{"type":"request","name":"q","dest":"alice","request_id":3}"#);
    let asked = world.heard(alice)[0]["request_id"].clone();
    world.act(|events, cx| events.on_fin(cx, bob));
    assert!(world.closed.contains(&bob));
    let failed = world.heard(alice);
    assert_eq!(failed.len(), 2);
    assert_eq!(
        (&failed[0]["pass_id"], &failed[0]["error"]["code"]),
        (&json!(1), &json!("peer_left"))
    );
    assert_eq!(
        (&failed[1]["name"], &failed[1]["error"]["code"]),
        (&json!("q"), &json!("peer_left"))
    );
    // The answer to one who is gone, even if somebody came back under that ID.
    let [again] = world.peers(["bob"]);
    world.say(alice, json!({"type": "response", "request_id": asked, "data": 1}).to_string());
    assert!(world.lines(again).is_empty() && world.lines(alice).is_empty());
    world.gone(alice);
    world.gone(again);
    assert!(world.events.is_empty());
}

#[test]
fn the_sender_learns_that_no_answer_comes() {
    let mut world = World::new();
    let [alice, bob] = world.peers(["alice", "bob"]);
    world.say(alice, r#"{"type":"request","name":"q","dest":"bob","request_id":2}"#);
    world.wait(Duration::from_secs(10));
    world.say(alice, r#"{"type":"confirm_pass","name":"hi","dest":"bob","pass_id":1}"#);
    world.wait(Duration::from_millis(19_999));
    assert!(world.lines(alice).is_empty());
    world.wait(Duration::from_millis(1));
    let failed = world.hears(alice);
    assert_eq!((&failed["request_id"], &failed["error"]["code"]), (&json!(2), &json!("timeout")));
    world.wait(Duration::from_secs(10));
    let failed = world.hears(alice);
    assert_eq!((&failed["pass_id"], &failed["error"]["code"]), (&json!(1), &json!("timeout")));
    let late = world.heard(bob)[0]["request_id"].clone();
    world.say(bob, json!({"type": "response", "request_id": late, "data": 1}).to_string());
    assert!(world.lines(alice).is_empty());
}

#[test]
fn those_who_wait_when_the_server_stops_are_told() {
    let mut world = World::new();
    let [alice, _bob] = world.peers(["alice", "bob"]);
    world.say(alice, r#"{"type":"request","name":"q","dest":"bob","request_id":2}"#);
    world.act(|events, cx| events.on_shutdown(cx));
    assert_eq!(world.hears(alice)["error"]["code"], "timeout");
}

#[test]
fn a_peer_waits_for_so_many_and_no_more() {
    let limits = Limits { datagrams_per_second: 0, ..Limits::default() };
    let mut world = World::with(Config { limits, ..Config::default() });
    let [alice, bob] = world.peers(["alice", "bob"]);
    let ask = r#"{"type":"request","name":"q","dest":"bob","request_id":2}"#;
    world.say(alice, ask.repeat(limits::WAITING_PER_PEER));
    assert!(world.lines(alice).is_empty());
    world.say(alice, ask);
    assert_eq!(world.hears(alice)["error"]["code"], "too_many");
    let first = world.heard(bob)[0]["request_id"].clone();
    world.say(bob, json!({"type": "response", "request_id": first, "data": 1}).to_string());
    assert_eq!(world.hears(alice)["data"], 1);
    world.say(alice, ask);
    assert!(world.lines(alice).is_empty());
}

#[test]
fn a_slow_reader_is_sent_no_more_and_stays() {
    let mut world = World::new();
    let [alice, bob] = world.peers(["alice", "bob"]);
    world.events.on_unread(bob, limits::UNREAD_BY_OTHERS + 1);
    world.say(alice, r#"{"type":"pass","name":"flood","dest":"bob"}"#);
    world.say(alice, r#"{"type":"request","name":"q","dest":"bob","request_id":2}"#);
    assert_eq!(world.hears(alice)["error"]["code"], "busy");
    assert!(world.lines(bob).is_empty());
    world.events.on_unread(bob, 0);
    world.say(alice, r#"{"type":"pass","name":"again","dest":"bob"}"#);
    assert_eq!(world.hears(bob)["name"], "again");
}

#[test]
fn two_addresses_do_not_use_up_all_waits() {
    let limits = Limits { datagrams_per_second: 0, ..Limits::default() };
    let mut world = World::with(Config { limits, ..Config::default() });
    let (bob, _) = world.login("bob");
    let request = r#"{"type":"request","name":"q","dest":"bob","request_id":1}"#;
    let [one, two] = [1, 2].map(|n| IpAddr::from([203, 0, 113, n]));
    let each = limits::WAITING_PEERS / limits::WAITING_PER_PEER;
    for n in 0..each {
        let id = world.login_from(if n % 2 == 0 { one } else { two }, &n.to_string()).0;
        world.say(id, request.repeat(limits::WAITING_PER_PEER));
        assert!(world.lines(id).is_empty());
    }
    let (late, _) = world.login_from(IpAddr::from([203, 0, 113, 3]), "late");
    world.heard.clear();
    world.say(late, request);
    assert_eq!(world.lines(bob).len(), 1, "it has its place");
    assert!(world.lines(late).is_empty());
    let told: Vec<ConnId> = world.heard.keys().copied().collect();
    assert_eq!(told.len(), 1, "one of those who have most has lost its own");
    assert_eq!(world.hears(told[0])["error"]["code"], "too_many");
    // Those who have most get no more.
    let (more, _) = world.login_from(two, "more");
    world.say(more, request.repeat(2));
    let refused = world.heard(more).iter().filter(|e| e["error"]["code"] == "too_many").count();
    assert!(refused > 0);
    // When the one they wait for leaves, all are told, but not all at once.
    world.heard.clear();
    world.gone(bob);
    let told = |world: &World| -> usize {
        world.heard.values().map(|bytes| bytes.iter().filter(|b| **b == b'\n').count()).sum()
    };
    assert_eq!(told(&world), limits::FAILED_AT_ONCE);
    world.wait(Duration::ZERO);
    while world.events.next_wakeup() <= Some(world.now.instant) {
        world.wait(Duration::ZERO);
    }
    assert!(told(&world) >= limits::WAITING_PEERS - 2, "{}", told(&world));
}

/// A peer that makes a room, and others, each at its address, who enter it.
fn in_a_room(world: &mut World, host: &str, others: &[(IpAddr, &str)]) -> Vec<ConnId> {
    let mut all = vec![world.login(host).0];
    let room = world.ask(all[0], "create_room", json!({"name": "r"})).unwrap();
    for (addr, id) in others {
        let conn = world.login_from(*addr, id).0;
        world.ask(conn, "join_room", json!({"room": room["room"]})).unwrap();
        all.push(conn);
    }
    world.heard.clear();
    all
}

#[test]
fn strangers_may_leave_less_unread_than_those_in_the_room() {
    let mut world = World::new();
    let all = in_a_room(&mut world, "host", &[(PUBLIC, "player")]);
    let (host, player) = (all[0], all[1]);
    let (stranger, _) = world.login_from(IpAddr::from([203, 0, 113, 1]), "stranger");
    let (elsewhere, _) = world.login("elsewhere");
    world.ask(elsewhere, "create_room", json!({"name": "another"})).unwrap();
    world.events.on_unread(host, limits::UNREAD_BY_STRANGERS);
    let ask = r#"{"type":"request","name":"q","dest":"host","request_id":2}"#;
    for id in [stranger, elsewhere] {
        world.say(id, ask);
        assert_eq!(world.hears(id)["error"]["code"], "busy");
    }
    for (id, name) in [(player, "player"), (host, "host")] {
        world.say(id, ask);
        assert_eq!(world.hears(host)["from"], name);
    }
    world.events.on_unread(host, limits::UNREAD_WHEN_FIRST - 1);
    world.say(
        stranger,
        json!({"type": "pass", "name": "x", "dest": "host", "data": "x".repeat(60_000)})
            .to_string(),
    );
    assert_eq!(world.hears(host)["from"], "stranger");
    world.say(stranger, ask);
    assert_eq!(world.hears(stranger)["error"]["code"], "busy");
}

#[test]
fn one_address_does_not_keep_others_from_a_slow_reader() {
    let mut world = World::new();
    let other = IpAddr::from([203, 0, 113, 1]);
    let all = in_a_room(&mut world, "slow", &[(PUBLIC, "friend"), (other, "flooder")]);
    let (slow, friend, flooder) = (all[0], all[1], all[2]);
    let pass = json!({"type": "pass", "name": "x", "dest": "slow", "data": "x".repeat(5000)});
    // What it does not read stays with the server.
    let mut unread = 1;
    world.events.on_unread(slow, unread);
    for _ in 0..200 {
        world.say(flooder, pass.to_string());
        unread += world.heard.remove(&slow).unwrap_or_default().len();
        world.events.on_unread(slow, unread);
    }
    assert!((100_000..=limits::UNREAD_BY_OTHERS / 2 + 5100).contains(&unread), "{unread}");
    for n in 0..10 {
        world.say(friend, pass.to_string());
        assert_eq!(world.hears(slow)["from"], "friend", "the {n}th");
    }
}

/// Each failure is written, and thousands may be due at one time.
#[test]
fn those_who_wait_in_vain_are_not_all_told_in_one_turn() {
    const MANY: usize = 3 * limits::CLOSED_AT_ONCE;
    let mut world = World::new();
    let [alice, _bob] = world.peers(["alice", "bob"]);
    for n in 0..MANY {
        let request = json!({"type": "request", "name": "x", "dest": "bob", "request_id": n});
        world.say(alice, request.to_string());
    }
    assert_eq!(world.heard(alice), Vec::<Value>::new(), "all of them wait");
    world.now.instant = world.now.instant + limits::ANSWER_WAIT;
    let mut failed = 0;
    while failed < MANY {
        world.turn();
        let heard = world.heard(alice);
        let timeouts = heard.iter().filter(|event| event["error"]["code"] == "timeout").count();
        assert!((1..=limits::CLOSED_AT_ONCE).contains(&timeouts), "{timeouts}");
        failed += timeouts;
    }
    assert_eq!(failed, MANY);
}
