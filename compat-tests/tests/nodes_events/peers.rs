//! Who is logged in, what peers of two nodes say to each other, and who comes back.

use std::collections::BTreeSet;

use compat_tests::unplugged_nodes::Impostor;
use punchd::dialect::Name;
use serde_json::{Value, json};

use super::{World, request};

#[test]
fn an_id_is_taken_at_all_nodes() {
    let mut world = World::of(3);
    let bob = world.login(0, "bob");
    for n in 0..3 {
        assert_eq!(world.try_login(n, "bob", &json!({})).1, Err("id_taken".into()), "{n}");
        let other = world.try_login(n, "bob", &json!({"game": format!("go {n}")}));
        assert!(other.1.is_ok(), "{n}");
    }
    world.gone(&bob);
    let bob = world.login(2, "bob");
    assert_eq!(world.try_login(0, "bob", &json!({})).1, Err("id_taken".into()));
    // A node that comes is told of all.
    world.restart(1);
    world.pass(700);
    assert_eq!(world.try_login(1, "bob", &json!({})).1, Err("id_taken".into()));
    assert!(world.closed.is_empty());
    // One that says nothing when its ID is wanted is gone.
    world.pass(4000);
    assert_eq!(world.try_login(0, "bob", &json!({})).1, Err("id_taken".into()));
    assert!(world.closed.contains(&(bob.0, bob.1)));
    world.login(0, "bob");
}

#[test]
fn of_two_logins_the_older_stays() {
    let mut world = World::of(3);
    (0..3).for_each(|n| world.cut_off(n));
    world.pass(4000);
    let first = world.login(0, "bob");
    world.pass(1500);
    let second = world.login(1, "bob");
    let friend = world.login(1, "amy");
    let room = world.room(&second, json!({"name": "r"}));
    world.ask(&friend, "join_room", json!({"room": room})).unwrap();
    world.heard(&friend);
    world.net.cuts.clear();
    world.pass(1500);
    assert_eq!(world.closed, BTreeSet::from([(second.0, second.1)]));
    assert_eq!(world.hears(&second, "error")["code"], "id_taken");
    assert_eq!(world.names(&friend), ["room_deleted", "self_left"]);
    // The one that is left is the one that all write to.
    for n in 0..3 {
        let other = world.login(n, &format!("other {n}"));
        world.say(&other, &json!({"type": "pass", "name": "hi", "dest": "bob"}));
        assert_eq!(world.heard(&first)[0]["from"], json!(format!("other {n}")));
    }
}

#[test]
fn who_comes_back_to_another_node_with_its_secret_is_let_in() {
    let mut world = World::of(3);
    let (old, told) = world.try_login(0, "bob", &json!({"keep": true}));
    let told = told.unwrap();
    let secret = json!({"secret": told["secret"]});
    let room = world.room(&old, json!({"name": "r"}));
    let wrong = json!({"secret": "00112233445566778899aabbccddeeff"});
    assert_eq!(world.try_login(1, "bob", &wrong).1, Err("id_taken".into()));
    let (new, told) = world.try_login(1, "bob", &secret);
    let told = told.unwrap();
    assert_eq!((told.get("resumed"), &told["secret"]), (None, &secret["secret"]));
    assert_eq!(world.closed, BTreeSet::from([(0, old.1)]));
    assert_eq!(world.hears(&old, "error")["code"], "resumed");
    assert_eq!(world.list(&new, json!({})), Vec::<Value>::new(), "its room is gone: {room}");
    let other = world.login(2, "amy");
    world.say(&other, &json!({"type": "pass", "name": "hi", "dest": "bob"}));
    assert_eq!(world.names(&new), ["hi"]);
}

#[test]
fn events_find_peers_of_other_nodes_and_answers_come_back() {
    let mut world = World::of(2);
    let (amy, bob) = (world.login(0, "amy"), world.login(1, "bob"));
    for n in 0..5 {
        world.say(&amy, &json!({"type": "pass", "name": n.to_string(), "dest": "bob", "x": [n]}));
    }
    let heard = world.heard(&bob);
    assert_eq!(heard.len(), 5);
    for (n, event) in heard.iter().enumerate() {
        let want = json!({"type": "pass", "name": n.to_string(), "x": [n], "from": "amy"});
        assert_eq!(*event, want);
    }
    world.say(&amy, &request("q", "7", "bob"));
    let asked = world.heard(&bob).remove(0);
    assert_eq!((&asked["from"], &asked["data"]), (&json!("amy"), &json!([1])));
    assert_ne!(asked["request_id"], "7");
    let answer = json!({"type": "response", "data": "yes", "request_id": asked["request_id"]});
    world.say(&bob, &answer);
    world.say(&bob, &answer);
    let answer = json!({"type": "response", "data": "yes", "request_id": "7", "from": "bob"});
    assert_eq!(world.heard(&amy), [answer]);
    let confirm = json!({"type": "confirm_pass", "name": "c", "pass_id": 3, "dest": "bob"});
    world.say(&amy, &confirm);
    let asked = world.heard(&bob).remove(0);
    world.say(&bob, &json!({"type": "confirm_pass", "pass_id": asked["pass_id"]}));
    assert_eq!(world.heard(&amy), [json!({"type": "confirm_pass", "pass_id": 3, "from": "bob"})]);
    // What is not answered in time.
    world.say(&amy, &request("q", "8", "bob"));
    world.pass(31_000);
    let failed = world.heard(&amy);
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!(
        (&failed[0]["error"]["code"], &failed[0]["request_id"]),
        (&json!("timeout"), &json!("8"))
    );
    // Whoever leaves before.
    world.say(&amy, &request("q", "9", "bob"));
    world.gone(&bob);
    let failed = world.heard(&amy);
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!(failed[0]["error"]["code"], "peer_left");
    world.say(&amy, &request("q", "10", "bob"));
    assert_eq!(world.heard(&amy)[0]["error"]["code"], "no_such_peer");
}

/// What peers ask each other may have any name, that of a request to the server as well.
#[test]
fn who_asks_a_peer_to_join_or_leave_stays_in_its_room_at_another_node() {
    let mut world = World::of(2);
    let (amy, bob) = (world.login(0, "amy"), world.login(1, "bob"));
    let room = world.room(&bob, json!({"name": "r"}));
    world.ask(&amy, "join_room", json!({"room": room})).unwrap();
    for name in ["join_room", "quick_join", "leave_room", "delete_room"] {
        for ends in ["answered", "gone", "late"] {
            let carl = world.login(1, "carl");
            world.say(&amy, &request(name, "7", "carl"));
            let asked = world.heard(&carl).pop().unwrap();
            let id = &asked["request_id"];
            let answer = json!({"type": "response", "name": name, "data": 1, "request_id": id});
            match ends {
                "answered" => world.say(&carl, &answer),
                "gone" => {}
                _ => world.pass(31_000),
            }
            world.gone(&carl);
            world.heard(&bob);
            world.heard(&amy);
            world.ask(&bob, "update_room", json!({"name": "new"})).unwrap();
            assert_eq!(world.names(&amy), ["room_updated"], "{name} {ends}");
            world.pass(1000);
            assert_eq!(world.list(&bob, json!({}))[0]["players"], 2, "{name} {ends}");
        }
    }
}

#[test]
fn who_does_not_read_is_busy_for_those_of_other_nodes() {
    let mut world = World::of(2);
    let (amy, bob) = (world.login(0, "amy"), world.login(1, "bob"));
    world.act(1, |server, _, _| server.on_unread(bob.1, 600 * 1024));
    world.say(&amy, &request("q", "1", "bob"));
    let failed = world.heard(&amy);
    assert_eq!((failed.len(), &failed[0]["error"]["code"]), (1, &json!("busy")));
    assert_eq!(world.heard(&bob), Vec::<Value>::new());
}

/// As on one node: its place is kept, and what is too much for it becomes `busy`.
#[test]
fn a_long_answer_from_another_node_does_not_end_the_place_of_who_is_away() {
    let mut world = World::of(2);
    let amy = world.login(0, "amy");
    let (bob, told) = world.try_login(1, "bob", &json!({"keep": true}));
    let secret = told.unwrap()["secret"].clone();
    world.say(&bob, &request("q", "7", "amy"));
    let asked = world.heard(&amy).remove(0);
    world.gone(&bob);
    let id = &asked["request_id"];
    world.say(&amy, &json!({"type": "response", "data": "x".repeat(20_000), "request_id": id}));
    world.pass(1000);
    let (bob, told) = world.try_login(1, "bob", &json!({"secret": secret}));
    assert_eq!(told.unwrap()["resumed"], true);
    let heard = world.heard(&bob);
    assert_eq!((heard.len(), &heard[0]["error"]["code"]), (1, &json!("busy")), "{heard:?}");
}

#[test]
fn an_answer_from_another_node_may_have_as_many_members_as_any_event() {
    let mut world = World::of(2);
    let (amy, bob) = (world.login(0, "amy"), world.login(1, "bob"));
    world.say(&bob, &request("q", "7", "amy"));
    let asked = world.heard(&amy).remove(0);
    let mut answer = json!({"type": "response", "data": 1, "request_id": asked["request_id"]});
    (3..1024).for_each(|n| answer[n.to_string()] = n.into());
    world.say(&amy, &answer);
    assert_eq!(world.heard(&bob)[0]["1023"], 1023);
}

/// What is too much for another node is lost with all else that it is told, so that it takes this one for dead.
#[test]
fn what_peers_say_to_another_node_is_bounded_and_shared_among_addresses() {
    const EACH: usize = 50;
    let long = |n: usize, kind: &str| {
        json!({"type": kind, "name": "q", "data": "x".repeat(60_000), "request_id": n, "dest": "bob"}).to_string()
    };
    let mut world = World::of(2);
    let bob = world.login(1, "bob");
    let all: Vec<_> = (0..12).map(|n| world.login(0, &n.to_string())).collect();
    world.pass(1000);
    let before = world.bytes;
    let one = (0..EACH).map(|n| long(n, "pass")).collect::<String>();
    world.write(all[0].0, all[0].1, one.as_bytes());
    world.pass(100);
    let sent = world.bytes - before;
    assert!(sent < 2_000_000, "one address: {sent}");
    // The rest of it waits, and others are not kept from saying something.
    world.heard(&bob);
    world.say(&all[1], &request("hello", "1", "bob"));
    assert!(world.names(&bob).contains(&"hello".into()));
    for (n, conn, _) in &all {
        let requests = (0..EACH / 2).map(|n| long(n, "request")).collect::<String>();
        world.write(*n, *conn, requests.as_bytes());
    }
    world.pass(100);
    let sent = world.bytes - before;
    assert!(sent < 6_000_000, "all: {sent}");
    let heard = world.heard(&all[11]);
    assert!(heard.iter().any(|event| event["error"]["code"] == "busy"), "{heard:?}");
    world.pass(40_000);
    world.heard(&bob);
    world.say(&all[11], &request("hello", "1", "bob"));
    assert_eq!(world.names(&bob), ["hello"]);
}

/// However many send all they may.
#[test]
fn who_says_little_to_another_node_is_not_kept_from_it_by_those_who_say_much() {
    let mut world = World::of(2);
    let bob = world.login(1, "bob");
    let all: Vec<_> = (0..9).map(|n| world.login(0, &n.to_string())).collect();
    let [masses @ .., small] = &all[..] else { unreachable!() };
    let pass = |name: &str, data: String| json!({"type": "pass", "name": name, "data": data, "dest": "bob"});
    let long = pass("long", "x".repeat(60_000)).to_string();
    let mut arrived = 0;
    for n in 0..100 {
        masses.iter().for_each(|(node, conn, _)| world.write(*node, *conn, long.as_bytes()));
        if n % 2 == 1 {
            world.say(small, &pass("small", "here".into()));
        }
        world.pass(100);
        arrived += world.names(&bob).iter().filter(|name| *name == "small").count();
    }
    assert!(arrived >= 48, "{arrived} of 50");
}

/// Short questions, and long answers.
#[test]
fn what_peers_answer_to_those_of_another_node_is_bounded() {
    const ASKED: usize = 120;
    let mut world = World::of(2);
    let (amy, bob) = (world.login(0, "amy"), world.login(1, "bob"));
    world.pass(1000);
    (0..ASKED).for_each(|n| world.say(&amy, &request("q", &n.to_string(), "bob")));
    let asked = world.heard(&bob);
    assert_eq!(asked.len(), ASKED);
    let before = world.bytes;
    let answers = asked.iter().map(|event| json!({"type": "response", "name": "q", "data": "x".repeat(60_000), "request_id": event["request_id"]}).to_string());
    let answers = answers.collect::<String>();
    world.write(bob.0, bob.1, answers.as_bytes());
    world.pass(100);
    let sent = world.bytes - before;
    assert!(sent < 2_000_000, "{sent}");
    // What waits is answered all the same.
    world.pass(25_000);
    let heard = world.heard(&amy);
    let answered = heard.iter().filter(|event| event["data"].is_string()).count();
    assert_eq!((heard.len(), answered), (ASKED, ASKED));
}

#[test]
fn who_comes_back_to_its_node_is_still_in_its_room_at_another() {
    let mut world = World::of(2);
    let amy = world.login(0, "amy");
    let (bob, told) = world.try_login(1, "bob", &json!({"keep": true}));
    let secret = told.unwrap()["secret"].clone();
    let room = world.room(&amy, json!({"name": "r", "data": {"map": "a"}}));
    world.ask(&bob, "join_room", json!({"room": room})).unwrap();
    world.gone(&bob);
    world.say(&amy, &json!({"type": "pass", "name": "hi", "dest": "bob"}));
    let (bob, told) = world.try_login(1, "bob", &json!({"secret": secret}));
    let told = told.unwrap();
    assert_eq!((&told["resumed"], &told["room"]), (&json!(true), &json!(room)));
    assert_eq!((&told["players"], &told["data"]), (&json!(["amy", "bob"]), &json!({"map": "a"})));
    assert_eq!(world.names(&bob), ["hi"], "what it has missed");
    world.ask(&amy, "update_room", json!({"name": "new"})).unwrap();
    assert_eq!(world.hears(&bob, "room_updated")["name"], "new");
    world.ask(&bob, "leave_room", json!({})).unwrap();
}

#[test]
fn a_process_takes_over_and_members_at_other_nodes_stay() {
    for n in 0..2 {
        let mut world = World::of(2);
        let (amy, bob) = (world.login(0, "amy"), world.login(1, "bob"));
        let room = world.room(&amy, json!({"name": "r"}));
        world.ask(&bob, "join_room", json!({"room": room})).unwrap();
        world.heard(&amy);
        world.heard(&bob);
        world.take_over(n);
        world.pass(7000);
        assert_eq!((world.names(&amy), world.names(&bob)), (vec![], vec![]), "{n}");
        world.ask(&amy, "update_room", json!({"name": "new"})).unwrap();
        assert_eq!(world.hears(&bob, "room_updated")["name"], "new");
        world.say(&bob, &json!({"type": "pass", "name": "hi", "dest": "amy"}));
        assert_eq!(world.names(&amy), ["hi"]);
        world.ask(&bob, "leave_room", json!({})).unwrap();
        assert_eq!(world.hears(&amy, "player_left")["id"], "bob");
    }
}

#[test]
fn nothing_is_lost_that_is_said_while_a_process_takes_over() {
    let mut world = World::of(2);
    let (amy, bob) = (world.login(0, "amy"), world.login(1, "bob"));
    world.pass(1000);
    let pass = |name: &str, dest: &str| json!({"type": "pass", "name": name, "dest": dest});
    // To the node of the receiver, and to that of the sender, as the process before was about to end.
    let to_bob = world.say_alone(&amy, &pass("one", "bob"));
    let to_amy = world.say_alone(&bob, &request("two", "7", "amy"));
    let told = world.take_over_alone(1);
    world.deliver(to_amy);
    world.deliver(to_bob);
    assert_eq!((world.names(&amy), world.names(&bob)), (vec!["two".into()], vec!["one".into()]));
    // Before either has heard of the other again.
    let to_amy = world.say_alone(&bob, &pass("three", "amy"));
    let to_bob = world.say_alone(&amy, &pass("four", "bob"));
    world.deliver(told);
    world.deliver(to_amy);
    world.deliver(to_bob);
    assert_eq!((world.names(&amy), world.names(&bob)), (vec!["three".into()], vec!["four".into()]));
    world.pass(7000);
    assert_eq!((world.names(&amy), world.names(&bob)), (vec![], vec![]));
}

/// Of other nodes it knows what the process before has known, and what they tell before they begin to tell all counts.
#[test]
fn a_process_that_takes_over_has_the_rooms_of_others_at_once() {
    let mut world = World::of(2);
    let (amy, bob) = (world.login(0, "amy"), world.login(1, "bob"));
    let room = world.room(&amy, json!({"name": "r"}));
    world.pass(1000);
    let told = world.take_over_alone(1);
    // The other has not heard that it is to tell everything.
    world.net.cuts.insert((1, 0));
    // One that has changed, and one that is new.
    world.ask(&amy, "update_room", json!({"name": "new"})).unwrap();
    let eve = world.login(0, "eve");
    world.room(&eve, json!({"name": "eve's"}));
    let listed = world.list(&bob, json!({}));
    assert!(listed.iter().any(|listed| listed["name"] == "new"), "{listed:?}");
    assert!(listed.iter().any(|listed| listed["name"] == "eve's"), "{listed:?}");
    let data = json!({"room": room});
    let join = json!({"type": "request", "name": "join_room", "request_id": "5", "data": data});
    let join = world.say_alone(&bob, &join);
    assert_eq!(world.heard(&bob), Vec::<serde_json::Value>::new(), "its node is asked");
    world.net.cuts.clear();
    world.deliver(told);
    drop(join);
    world.pass(5000);
    world.heard(&bob);
    world.ask(&bob, "join_room", json!({"room": room})).unwrap();
}

/// What a node has told before another process has taken over here it may take back before it tells of it again.
#[test]
fn a_room_that_ends_while_a_process_takes_over_is_gone_at_once() {
    let mut world = World::of(2);
    let (amy, bob) = (world.login(0, "amy"), world.login(1, "bob"));
    let room = world.room(&amy, json!({"name": "r"}));
    world.pass(1000);
    let told = world.take_over_alone(1);
    // The other has not heard that it is to tell everything.
    world.net.cuts.insert((1, 0));
    assert_eq!(world.list(&bob, json!({})).len(), 1);
    world.ask(&amy, "delete_room", json!({"room": room})).unwrap();
    assert_eq!(world.list(&bob, json!({})), Vec::<Value>::new());
    drop(told);
}

/// A server answers at once or never, and the player need not wait for as long as for another one.
#[test]
fn what_a_node_does_not_answer_fails_in_seconds() {
    let mut world = World::of(2);
    let (amy, bob) = (world.login(0, "amy"), world.login(1, "bob"));
    let room = world.room(&amy, json!({"name": "r"}));
    world.pass(1000);
    world.ask(&bob, "join_room", json!({"room": room})).unwrap();
    world.heard(&amy);
    let request = |name: &str, data: serde_json::Value| json!({"type": "request", "name": name, "request_id": "5", "data": data});
    let lost = world.say_alone(&bob, &request("leave_room", json!({})));
    drop(lost);
    let names = world.names(&bob);
    assert_eq!(names, ["self_joined", "leave_room", "self_left"], "nobody has to agree");
    let lost = world.say_alone(&bob, &request("join_room", json!({"room": room})));
    drop(lost);
    world.pass(4100);
    let heard = world.heard(&bob);
    assert_eq!((heard.len(), &heard[0]["error"]["code"]), (1, &json!("timeout")), "{heard:?}");
    // It is in none, at either node.
    assert_eq!(world.names(&amy), ["player_left"]);
    world.ask(&bob, "join_room", json!({"room": room})).unwrap();
}

/// The rooms that a peer is in are known to the new process at once, not when their nodes have told it again.
#[test]
fn what_a_room_tells_a_member_whose_process_takes_over_is_not_lost() {
    for (request, hears) in [
        ("update_room", vec!["room_updated"]),
        ("leave_room", vec!["player_left", "host_changed"]),
        ("delete_room", vec!["room_deleted", "self_left"]),
        ("kick", vec!["self_left"]),
    ] {
        let mut world = World::of(2);
        let (amy, bob) = (world.login(0, "amy"), world.login(1, "bob"));
        let room = world.room(&amy, json!({"name": "r", "migrate": true}));
        world.ask(&bob, "join_room", json!({"room": room})).unwrap();
        world.heard(&bob);
        let data = match request {
            "update_room" => json!({"name": "new"}),
            "delete_room" => json!({"room": room}),
            "kick" => json!({"id": "bob"}),
            _ => json!({}),
        };
        let told = world.take_over_alone(1);
        world.ask(&amy, request, data).unwrap();
        assert_eq!(world.names(&bob), hears, "{request}");
        world.deliver(told);
        world.pass(7000);
        assert_eq!(world.names(&bob), Vec::<String>::new(), "{request}");
    }
}

/// Of two nodes that tell of one peer or room the first is believed, and when it is gone the other.
#[test]
fn whom_a_mad_node_claims_stays_where_he_is() {
    for is_first in [false, true] {
        let mut world = World::of(3);
        let bob = world.login(1, "bob");
        let room = world.room(&bob, json!({"name": "r"}));
        if is_first {
            // Node 0 does not know of them yet.
            world.net.cuts.insert((1, 0));
            world.restart(0);
        }
        let mut mad = Impostor::new(&mut world, 2);
        assert!(mad.claim_all(&mut world, Name::Events) >= 2);
        world.net.cuts.clear();
        // From then on nothing is heard of it.
        for millis in [2000, 12_000] {
            world.pass(millis);
            let amy = world.login(0, "amy");
            if !is_first || millis > 2000 {
                world.ask(&amy, "join_room", json!({"room": room})).unwrap();
                world.say(&amy, &json!({"type": "pass", "name": "hi", "dest": "bob"}));
                assert_eq!(world.hears(&bob, "hi"), json!(null), "claimed first: {is_first}");
            }
            world.gone(&amy);
            world.heard(&bob);
        }
    }
}
