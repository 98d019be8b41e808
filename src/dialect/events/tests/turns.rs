//! Who sends without a pause has its part of a turn, and the others have theirs.

use super::*;

const PING: &str = r#"{"type":"request","name":"ping","request_id":1}"#;

fn unhindered() -> World {
    let limits = Limits { commands_per_second: 0, datagrams_per_second: 0, ..Limits::default() };
    World::with(Config { limits, ..Config::default() })
}

#[test]
fn what_is_sent_ahead_waits_and_is_carried_out_in_order() {
    let mut world = unhindered();
    let [alice, bob] = world.peers(["alice", "bob"]);
    let pass = |n: usize| format!(r#"{{"type":"pass","name":"{n}","dest":"bob"}}"#);
    let all: String = (0..200).map(pass).collect();
    world.begin_to_say(alice, format!("{all}  {{\"type\":\"pass\","));
    let at_once = world.heard(bob).len();
    assert!((1..=20).contains(&at_once), "{at_once} at once");
    assert!(world.has_enough(alice) && !world.has_enough(bob));
    assert!(world.events.unfinished.total() > 5000, "what waits is counted");
    assert_eq!(world.events.next_wakeup(), Some(world.now.instant));
    assert!(world.events.owes());
    // More comes nevertheless: the rest of what was begun.
    world.begin_to_say(alice, r#""name":"200","dest":"bob"}"#);
    let mut turns = 0;
    let mut heard = Vec::new();
    while world.take_turns() {
        turns += 1;
        heard.extend(world.heard(bob));
    }
    assert!(turns > 1, "all in one turn");
    let names = names(&heard);
    let expected: Vec<String> = (at_once..=200).map(|n| n.to_string()).collect();
    assert_eq!(names, expected);
    assert!(!world.has_enough(alice) && !world.events.owes());
    assert_eq!(world.events.unfinished.total(), 0);
}

/// A byte order mark may be cut anywhere.
#[test]
fn half_a_byte_order_mark_behind_what_waits_is_no_end() {
    let mut world = unhindered();
    let [alice] = world.peers(["alice"]);
    let list = json!({"type": "request", "name": "list_rooms", "request_id": 1}).to_string();
    let mark = "\u{feff}".as_bytes();
    for cut in 0..=mark.len() {
        world.events.note_ready(100);
        world.begin_to_say(alice, [list.as_bytes(), &mark[..cut]].concat());
        world.begin_to_say(alice, [&mark[cut..], list.as_bytes()].concat());
        while world.take_turns() {}
        assert_eq!(world.heard(alice).len(), 2, "{cut}");
    }
}

#[test]
fn in_a_crowd_what_many_would_notice_comes_when_all_have_been_heard() {
    let mut world = unhindered();
    let [alice, bob] = world.peers(["alice", "bob"]);
    let request =
        |name: &str| json!({"type": "request", "name": name, "request_id": 1}).to_string();
    let said = request("ping") + &request("list_rooms") + &request("ping");
    for (crowd, at_once) in [(0, 3), (100, 1)] {
        world.events.note_ready(crowd);
        world.begin_to_say(alice, &said);
        assert_eq!(world.heard(alice).len(), at_once, "{crowd}");
        world.begin_to_say(bob, PING);
        assert_eq!(world.heard(bob).len(), 1, "{crowd}");
        let waited = world.events.next_wakeup() == Some(world.now.instant);
        assert_eq!(waited, crowd > 0);
        while world.take_turns() {}
        assert_eq!(world.heard(alice).len(), 3 - at_once, "{crowd}");
    }
}

#[test]
fn many_told_cost_as_many_messages() {
    let mut world = unhindered();
    let [host] = world.peers(["host"]);
    let room = world.ask(host, "create_room", json!({"name": "r"})).unwrap();
    for n in 0..40 {
        let id = world.login(&n.to_string()).0;
        world.ask(id, "join_room", json!({"room": room["room"]})).unwrap();
    }
    let [guest] = world.peers(["guest"]);
    let request = |name: &str| {
        json!({"type": "request", "name": name, "data": room, "request_id": 1}).to_string()
    };
    world.heard.clear();
    world.begin_to_say(guest, (request("join_room") + &request("leave_room")).repeat(20));
    let told = names(&world.heard(host)).len();
    assert_eq!(told, 1, "of one join, and the rest waits");
}

#[test]
fn the_end_of_a_connection_comes_behind_what_it_has_said() {
    let mut world = unhindered();
    let [alice, bob] = world.peers(["alice", "bob"]);
    world.begin_to_say(alice, r#"{"type":"pass","name":"x","dest":"bob"}"#.repeat(100));
    world.act(|events, cx| events.on_fin(cx, alice));
    assert!(!world.closed.contains(&alice));
    assert_eq!(world.events.use_of(alice), Use::Idle(Instant::default()), "the first to go");
    while world.take_turns() {}
    assert_eq!(world.heard(bob).len(), 100);
    assert!(world.closed.contains(&alice));
    world.begin_to_say(bob, PING.repeat(100));
    world.gone(bob);
    while world.take_turns() {}
    assert!(world.events.is_empty() && world.events.next_wakeup().is_none());
}

#[test]
fn what_waits_when_the_server_stops_is_answered() {
    let mut world = unhindered();
    let [alice] = world.peers(["alice"]);
    world.begin_to_say(alice, PING.repeat(100));
    world.act(|events, cx| events.on_shutdown(cx));
    world.begin_to_say(alice, PING);
    assert!(world.events.owes());
    while world.take_turns() {}
    assert_eq!(world.heard(alice).len(), 100, "and nothing that came later");
    assert!(!world.events.owes() && world.closed.contains(&alice));
}
