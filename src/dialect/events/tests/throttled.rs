//! Who sends faster than it may waits, and loses nothing.

use super::*;

fn slow(per_second: u32) -> World {
    let limits = Limits { datagrams_per_second: per_second, ..Limits::default() };
    World::with(Config { limits, ..Config::default() })
}

fn passes(range: std::ops::Range<usize>) -> String {
    range.map(|n| format!(r#"{{"type":"pass","name":"{n}","dest":"bob"}}"#)).collect()
}

#[test]
fn what_is_sent_too_fast_arrives_later_and_in_order() {
    let mut world = slow(100);
    let [alice, bob] = world.peers(["alice", "bob"]);
    world.say(alice, passes(0..500));
    let at_once = world.heard(bob).len();
    assert!((200..230).contains(&at_once), "two seconds' worth: {at_once}");
    assert_eq!(
        world.events.next_wakeup(),
        Some(world.now.instant + limits::THROTTLE),
        "no spinning"
    );
    // More comes, and what is read ahead is bounded.
    world.say(alice, passes(500..1000));
    assert!(!world.has_enough(alice));
    let mut said = 1000;
    while !world.has_enough(alice) {
        world.say(alice, passes(said..said + 100));
        said += 100;
    }
    // There is no wakeup at once, so the loop must not come back to it in its next turn.
    assert_eq!(world.events.reads(alice), Reads::Later);
    let ahead = world.events.unfinished.total() as usize;
    assert!((limits::THROTTLED..limits::THROTTLED + 5000).contains(&ahead), "{ahead}");
    assert!(world.heard(bob).is_empty() && world.heard(alice).is_empty());
    let mut heard = Vec::new();
    for _ in 0..said / 100 {
        world.wait(Duration::from_secs(1));
        let mut some = world.heard(bob);
        some.retain(|event| event["name"] != "ping");
        world.say(bob, r#"{"type":"response","request_id":"ping"}"#);
        assert!(some.len() <= 110, "{}", some.len());
        heard.extend(some);
    }
    let expected: Vec<String> = (at_once..said).map(|n| n.to_string()).collect();
    assert_eq!(names(&heard), expected);
    assert!(world.closed.is_empty() && !world.has_enough(alice));
}

#[test]
fn what_was_said_before_the_end_arrives_as_well() {
    let mut world = slow(10);
    let [alice, bob] = world.peers(["alice", "bob"]);
    world.say(alice, passes(0..40));
    world.act(|events, cx| events.on_fin(cx, alice));
    assert!(!world.closed.contains(&alice) && world.events.owes());
    world.wait(Duration::from_secs(3));
    let arrived = names(&world.heard(bob)).iter().filter(|name| **name != "ping").count();
    assert_eq!(arrived, 40);
    assert!(world.closed.contains(&alice) && !world.events.owes());
    world.gone(bob);
    assert!(world.events.is_empty());
}

#[test]
fn answers_wait_as_well_and_others_do_not() {
    let mut world = slow(10);
    let [alice, bob] = world.peers(["alice", "bob"]);
    let (carol, _) = world.login_from(IpAddr::from([203, 0, 113, 3]), "carol");
    world.say(carol, r#"{"type":"request","name":"q","dest":"alice","request_id":1}"#);
    let asked = world.hears(alice)["request_id"].clone();
    world.say(alice, passes(0..25));
    world.say(alice, json!({"type": "response", "request_id": asked, "data": 1}).to_string());
    assert!(world.heard(carol).is_empty());
    world.heard.remove(&bob);
    world.say(carol, r#"{"type":"pass","name":"x","dest":"bob"}"#);
    assert_eq!(world.hears(bob)["from"], "carol");
    world.wait(Duration::from_secs(1));
    assert_eq!(world.hears(carol)["data"], 1);
}

/// Half events of two addresses are all that there may be: one of theirs is closed, and no other.
#[test]
fn half_events_of_two_addresses_close_nobody_else() {
    let limits = Limits { connections: 1, ..Limits::default() };
    let mut world = World::with(Config { limits, ..Config::default() });
    let half = format!(r#"{{"a":"{}"#, "x".repeat(60 * 1024));
    let others: Vec<ConnId> = (10..20)
        .map(|n| {
            let id = world.open_from(IpAddr::from([203, 0, 113, n]));
            world.say(id, &half);
            id
        })
        .collect();
    for n in 0..2 * limits.total() / half.len() {
        let id = world.open_from(IpAddr::from([192, 0, 2, n as u8 % 2]));
        world.say(id, &half);
    }
    assert!(!world.closed.is_empty() && others.iter().all(|id| !world.closed.contains(id)));
    world.say(others[3], "\"}");
    assert_eq!(world.hears(others[3])["data"]["code"], "bad_event", "it was read to its end");
}

/// To find out what waits it has to be read, which a hundred connections of one address must not have the server do
/// again and again.
#[test]
fn what_waits_is_not_read_before_it_may_be_sent() {
    let mut world = slow(1);
    let addr = IpAddr::from([203, 0, 113, 9]);
    let senders: Vec<ConnId> =
        (0..30).map(|n| world.login_from(addr, &format!("sender{n}")).0).collect();
    let long = "x".repeat(60 * 1024);
    for sender in &senders {
        world.say(*sender, format!(r#"{{"type":"pass","name":"x","dest":"me","data":"{long}"}}"#));
    }
    world.wait(limits::THROTTLE);
    assert_eq!(world.events.throttled.len(), 27, "one a second, and two seconds' worth at once");
    let spent = world.events.work_queue.spent();
    assert!(spent < limits::COMMAND_WORK, "{spent}");
    world.wait(Duration::from_secs(30));
    assert!(world.events.throttled.is_empty() && world.closed.is_empty());
}
