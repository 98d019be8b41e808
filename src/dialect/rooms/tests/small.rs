//! Names without what nobody sees, names for those who move, and hosts that are gone.

use std::time::Duration;

use super::{Place, World, peer};
use crate::limits;

#[test]
fn what_nobody_sees_is_taken_out_of_names() {
    let mut world = World::new();
    let host = world.host(peer(1), "Are%0Ana\u{202e}\u{200b}");
    assert_eq!(world.list(peer(9), "rl"), [format!("{},Arena,open,1", host.room)]);
    assert_eq!(world.answer(host.at, "rn:%07Bob\u{feff}"), "rn:Bob");
    // Nor is it an ID then.
    let id = "0123456789abcde\u{200b}f";
    assert_eq!(world.answer(host.at, &format!("rn:{id}")), "er:rn:badrequest");
    let hidden = world.host(peer(2), "a:game=Po\u{200d}ng");
    assert!(world.list(peer(9), "rl:game=Pong")[0].starts_with(&hidden.room));
}

#[test]
fn a_new_name_reaches_a_client_that_moves_at_that_moment() {
    let (mut world, host, client) = World::introduced();
    world.answer(client.at, "ka");
    world.pass_secs(1);
    world.answer(host.at, "rn:Lava");
    // All that was sent went to where it was.
    world.pass_secs(5);
    let sent = world.send(peer(3), client.rc().as_bytes());
    assert!(sent.to(peer(3)).contains(&"rn:Lava".to_string()), "{sent:?}");
    let back = Place::of(peer(3), &sent.to(peer(3)));
    world.prove(&back);
    assert_eq!(world.pass_secs(2).to(back.at), ["rn:Lava"; 2]);
    let back = Place::of(peer(4), &world.ask(peer(4), &back.rc()));
    assert_eq!(world.pass_secs(2).to(back.at), [""; 0], "it knows it by now");
    world.answer(host.at, "rn:Ice");
    world.pass_secs(2);
    let sent = world.send(peer(5), host.rc().as_bytes());
    assert!(!sent.to(peer(5)).iter().any(|text| text.starts_with("rn")), "it has said so itself");
}

#[test]
fn a_host_that_does_not_hear_what_it_is_told_goes_sooner() {
    let (mut world, host, client) = World::introduced();
    world.answer(client.at, "ka");
    world.pass_secs(1);
    let newcomer = world.join(peer(3), &host);
    let gap = Duration::from_secs(2) + limits::ROOM_DOUBT;
    let told = world.pass(gap);
    assert!(told.to(newcomer.at).contains(&format!("cr:{}", host.room)), "{told:?}");
    assert_eq!(world.answer(host.at, &host.rc()), "er:rc:noroom");

    // One that says anything is believed to be there, and so is one that nobody has told anything.
    for says in [true, false] {
        let (mut world, host, client) = World::introduced();
        world.pass_secs(30);
        if says {
            world.join(peer(3), &host);
            world.pass_secs(30);
            world.answer(host.at, "ka");
        }
        world.pass(gap);
        world.answer(client.at, "ka");
        assert_eq!(world.answer(host.at, "ka"), "ka", "{says}");
    }
}

/// Each request once from an address that nobody has heard of, and what it brings there.
#[test]
fn no_request_of_a_stranger_brings_more_than_was_promised() {
    const HEADERS: usize = 28;
    let mut world = World::new();
    let data: String = (0..4).map(|n| format!(":d.{n}={}", "x".repeat(50))).collect();
    let hosts: Vec<Place> =
        (0..40).map(|n| world.host(peer(n), &format!("Room {n}{data}"))).collect();
    let answers = world.ask(peer(100), "rh:hidden:private");
    let code = answers[0].split(':').nth(2).unwrap().to_string();
    let (room, id, key) = (&hosts[0].room, &hosts[0].id, &hosts[0].key);
    let requests = [
        "status".to_string(),
        "rh".into(),
        "rh:x".into(),
        "rh:x:private:game=G".into(),
        "rl".into(),
        "k:x:rl".into(),
        "rl:more".into(),
        "rl:free".into(),
        "rl:d.0=y".into(),
        format!("rl:{room}"),
        format!("{:\0<100}", "rl"),
        format!("{:\0<512}", "rl:more"),
        format!("jr:{room}"),
        format!("jr:{code}"),
        format!("jr:{room}:password=x"),
        "jr".into(),
        "qj".into(),
        "qj:d.0=y".into(),
        format!("pc:{id}:ok"),
        "lr".into(),
        "cr".into(),
        format!("kc:id:{id}"),
        "kc:ip:192.0.2.1".into(),
        format!("li:id:{id}:{key}"),
        "rn:x".into(),
        "rs".into(),
        format!("rs:locked:{key}"),
        format!("rc:{id}:{}", "0".repeat(32)),
        "ka".into(),
        "er:ka:noroom".into(),
        "nonsense".into(),
    ];
    let verbs = crate::dialect::rooms::message::Verb::ALL.map(|(_, text)| text);
    for verb in verbs {
        assert!(requests.iter().any(|text| text.starts_with(verb)), "{verb} is not tried");
    }
    for (n, request) in (1000..).zip(&requests) {
        world.pass_secs(1);
        let sent = world.send(peer(n), request.as_bytes());
        let brought: usize = sent.to(peer(n)).iter().map(|text| text.len() + HEADERS).sum();
        let own = request.len() + HEADERS;
        let enters =
            request.starts_with("rh") || request.starts_with("jr") || request.starts_with("qj");
        let bound = if enters { (3 * own).max(160 + 2 * HEADERS) } else { 3 * own };
        assert!(brought <= bound, "{request:?}: {own} bytes in, {brought} out");
    }
}
