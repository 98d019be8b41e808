//! Games apart, own data, and what lists and who joins any room look for.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::ops::ControlFlow;
use std::time::Duration;

use super::{Place, World, peer};
use crate::admission::Admission;
use crate::dialect::rooms::Config;
use crate::dialect::{Asked, Shows as _};
use crate::limits;

#[test]
fn two_games_never_see_each_other() {
    let mut world = World::new();
    let games = ["", ":game=Pong", ":game=Pong 2"];
    let hosts: Vec<Place> =
        (1..).zip(games).map(|(n, game)| world.host(peer(n), &format!("Arena{game}"))).collect();
    for (host, game) in hosts.iter().zip(games) {
        let listed = world.list(peer(9), &format!("rl{game}"));
        let [room] = &listed[..] else { panic!("{game}: {listed:?}") };
        assert!(room.starts_with(&format!("{},Arena,open,1", host.room)), "{room}");
    }
    for (host, own) in hosts.iter().zip(games) {
        for (n, game) in (20..).zip(games) {
            let join = format!("jr:{}{game}", host.room);
            if game == own {
                assert_eq!(world.ask(peer(n), &join).len(), 2, "{join}");
                world.ask(peer(n), "lr");
            } else {
                assert_eq!(world.answer(peer(n), &join), "er:jr:noroom", "{join}");
            }
        }
        world.pass_secs(2);
    }
    let after = format!("rl:{}:game=Pong 2", hosts[1].room);
    assert_eq!(world.answer(peer(9), &after), "er:rl:noroom");
    for (n, (host, game)) in (30..).zip(hosts.iter().zip(games)) {
        let place = world.enter(peer(n), &format!("qj{game}"));
        assert_eq!(place.room, host.room);
    }
    assert_eq!(world.answer(peer(40), "qj:game=Tetris"), "er:qj:noroom");
}

#[test]
fn where_keys_admit_each_is_a_game_of_its_own() {
    let admission = Admission::of(vec!["one".into(), "two".into()], Vec::new());
    let mut world = World::with(Config { admission, ..Config::default() });
    let one = world.enter(peer(1), "k:one:rh:Arena");
    assert_eq!(world.list(peer(9), "k:two:rl"), [""; 0]);
    assert_eq!(world.list(peer(9), "k:one:rl").len(), 1);
    assert_eq!(world.answer(peer(2), &format!("k:two:jr:{}", one.room)), "er:jr:noroom");
    assert_eq!(world.answer(peer(2), "k:one:rl:game=Pong"), "rl:", "a game within it");
    assert_eq!(world.ask(peer(2), &format!("k:one:jr:{}", one.room)).len(), 2);
}

/// What web sites and the owner are shown where not everybody is admitted.
#[test]
fn lists_of_a_key_or_a_game_are_shown_without_the_key() {
    let list = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
    let lobby = |world: &World, game, key| {
        let viewer = IpAddr::from([203, 0, 113, 9]);
        let asked = Asked { game, key, viewer, of_both_families: false, most: 10 };
        let mut bytes = Vec::new();
        world.rooms.public_lobby(&asked, &mut bytes);
        let rooms: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        let names = rooms.as_array().unwrap().iter().map(|room| room["name"].as_str().unwrap());
        names.map(str::to_owned).collect::<Vec<_>>().join(" ")
    };
    let shown = |world: &World| {
        let mut shown = Vec::new();
        world.rooms.hosts(0, &mut |host| {
            shown.push(host.game.to_owned());
            ControlFlow::Continue(())
        });
        world.rooms.games(&mut |game, _| shown.push(game.to_owned()));
        shown.sort();
        shown.dedup();
        shown
    };
    let keyed = Admission::of(list(&["one", "two"]), Vec::new());
    let mut world = World::with(Config { admission: keyed, ..Config::default() });
    world.enter(peer(1), "k:one:rh:Arena");
    world.enter(peer(2), "k:one:rh:Hall:game=Pong");
    world.enter(peer(3), "k:two:rh:Cave");
    assert_eq!(lobby(&world, "", Some("one")), "Arena");
    assert_eq!(lobby(&world, "Pong", Some("one")), "Hall");
    assert_eq!(lobby(&world, "", Some("two")), "Cave");
    assert_eq!(shown(&world), ["", "Pong"]);
    assert_eq!(world.answer(peer(4), &format!("k:one:jr:{}", "0".repeat(16))), "er:jr:noroom");
    let unmet: Vec<_> = world.shared.journal.unmet().map(|it| it.asked.names.game()).collect();
    assert_eq!(unmet, [""]);
    let named = Admission::of(Vec::new(), list(&["Pong", "Chess"]));
    let mut world = World::with(Config { admission: named, ..Config::default() });
    world.enter(peer(1), "k:Pong:rh:Arena");
    world.enter(peer(2), "k:Chess:rh:Hall:game=Blitz");
    assert_eq!((lobby(&world, "Pong", None), lobby(&world, "", None)), ("Arena".into(), "".into()));
    assert_eq!(shown(&world), ["Blitz", "Pong"]);
}

#[test]
fn own_data_is_told_in_lists_and_changed_by_the_host() {
    let mut world = World::new();
    let host = world.host(peer(1), "Arena:max=8:d.map=cas%3Atle:d.mode=ctf");
    let entry = |data: &str| vec![format!("{},Arena,open,1,8{data}", host.room)];
    assert_eq!(world.list(peer(9), "rl:more"), entry(",map=cas%3Atle,mode=ctf"));
    let old = world.list(peer(9), "rl");
    assert_eq!(old, [format!("{},Arena,open,1", host.room)], "who does not ask gets no more");

    let set = format!("rs:{}", host.room);
    assert_eq!(world.answer(host.at, &host.signed("rs:d.map=lava:d.mode=")), set);
    assert_eq!(world.list(peer(9), "rl:more"), entry(",map=lava"));
    let pairs: String = (0..8).map(|n| format!(":d.a{n}=x")).collect();
    assert_eq!(world.answer(host.at, &host.signed(&format!("rs{pairs}"))), set);
    let more = pairs.replace('a', "b");
    assert_eq!(world.answer(host.at, &host.signed(&format!("rs{more}"))), "er:rs:badrequest");
    let listed = world.list(peer(9), "rl:more");
    assert!(!listed[0].contains(",b0"), "nothing of it: {listed:?}");
    assert_eq!(listed[0].matches('=').count(), 9);
}

#[test]
fn nobody_else_changes_a_room() {
    let (mut world, host, client) = World::introduced();
    for (who, request, refused) in [
        (host.at, "rs:d.map=lava".to_string(), "er:rs:badkey"),
        (host.at, client.signed("rs:locked"), "er:rs:badkey"),
        (client.at, client.signed("rs:locked"), "er:rs:nothost"),
        (peer(9), host.signed("rs:locked"), "er:rs:noroom"),
        (host.at, "li:ip:192.0.2.1".to_string(), "er:li:badkey"),
    ] {
        assert_eq!(world.answer(who, &request), refused, "{request}");
    }
    assert_eq!(world.list(peer(9), "rl:more"), [format!("{},Room,open,2,65", host.room)]);
}

#[test]
fn lists_have_what_was_looked_for() {
    let mut world = World::new();
    let rooms = [
        "a:game=G:d.map=castle:d.mode=ctf",
        "b:game=G:d.map=castle",
        "c:game=G:d.map=lava:locked",
        "d:game=G:d.map=castle:max=1",
    ];
    for (n, room) in (1..).zip(rooms) {
        world.host(peer(n), room);
    }
    let mut names = |filter: &str| -> String {
        let listed = world.list(peer(9), &format!("rl:game=G{filter}"));
        listed.iter().map(|entry| entry.split(',').nth(1).unwrap()).collect()
    };
    assert_eq!(names(""), "dcba");
    assert_eq!(names(":d.map=castle"), "dba");
    assert_eq!(names(":d.map=castle:free"), "ba");
    assert_eq!(names(":d.map=castle:d.mode=ctf"), "a");
    assert_eq!(names(":free:d.mode="), "b", "those without a mode");
    assert_eq!(names(":d.map=Castle"), "");
}

#[test]
fn a_list_of_what_is_looked_for_goes_on_however_many_others_there_are() {
    let mut world = World::new();
    let others = u16::try_from(limits::ROOMS_LOOKED_AT).unwrap() + 100;
    let mut wanted = BTreeSet::new();
    for n in 0..others {
        let is_wanted = n % 300 == 0;
        let host = world.host(peer(n), if is_wanted { "a:d.map=castle" } else { "a" });
        if is_wanted {
            wanted.insert(host.room);
        }
    }
    let (mut after, mut found, mut pages) = (String::new(), BTreeSet::new(), 0);
    loop {
        pages += 1;
        let mut page = world.list(peer(9999), &format!("rl{after}:d.map=castle"));
        let next = page.pop_if(|last| last.starts_with('+'));
        found.extend(page.iter().map(|entry| entry[..16].to_string()));
        let Some(next) = next else { break };
        after = next.replace('+', ":");
    }
    assert_eq!((found, pages), (wanted, 2));
}

#[test]
fn every_page_that_tells_all_says_where_it_goes_on() {
    let mut world = World::new();
    let data: String = (0..6).map(|n| format!(":d.{n}={}", "%25".repeat(20))).collect();
    let rooms: BTreeSet<String> =
        (0..10).map(|n| world.host(peer(n), &format!("a{data}")).room).collect();
    let (mut after, mut found) = (String::new(), BTreeSet::new());
    loop {
        let mut page = world.list(peer(9999), &format!("rl{after}:more"));
        let next = page.pop_if(|last| last.starts_with('+'));
        assert!(!page.is_empty());
        found.extend(page.iter().map(|entry| entry[..16].to_string()));
        let Some(next) = next else { break };
        after = next.replace('+', ":");
    }
    assert_eq!(found, rooms);
}

#[test]
fn what_no_page_can_hold_is_refused() {
    let mut world = World::new();
    let host = world.host(peer(1), "a");
    let set = format!("rs:{}", host.room);
    let mut answers = BTreeSet::new();
    for n in 0..16 {
        let value = "%25".repeat(60);
        answers.insert(world.answer(host.at, &host.signed(&format!("rs:d.{n:x}={value}"))));
    }
    assert_eq!(answers, BTreeSet::from(["er:rs:badrequest".to_string(), set]));
    let long = "%25".repeat(64);
    assert_eq!(world.answer(host.at, &host.signed(&format!("rn:{long}"))), "er:rn:badrequest");
    assert_eq!(world.list(peer(9), "rl:more").len(), 1);
}

#[test]
fn any_room_is_one_that_fits_and_has_a_place() {
    let mut world = World::new();
    assert_eq!(world.answer(peer(50), "qj"), "er:qj:noroom");
    let rooms = ["full:max=1", "locked:locked", "secret:password=p", "hidden:private", "b:d.map=b"];
    for (n, room) in (1..).zip(rooms) {
        world.host(peer(n), room);
    }
    assert_eq!(world.answer(peer(50), "qj:d.map=castle"), "er:qj:noroom");
    let host = world.host(peer(20), "a:d.map=castle:max=2");
    let place = world.enter(peer(50), "qj:d.map=castle");
    assert_eq!(place.room, host.room);
    assert_eq!(world.enter(peer(50), "qj").id, place.id, "asked again");
    world.prove(&place);
    assert_eq!(world.answer(peer(51), "qj:d.map=castle"), "er:qj:noroom", "it is full");
    let other = world.enter(peer(51), "qj");
    assert_ne!(other.room, host.room);
    assert_eq!(world.answer(host.at, "qj"), "er:qj:badrequest");
}

#[test]
fn any_room_is_none_that_has_kicked_him() {
    let mut world = World::new();
    let host = world.host(peer(1), "a");
    let client = world.join(peer(2), &host);
    world.answer(host.at, &format!("kc:id:{}", client.id));
    world.pass_secs(2);
    assert_eq!(world.answer(peer(2), "qj"), "er:qj:noroom");
    let other = world.host(peer(3), "b");
    assert_eq!(world.enter(peer(2), "qj").room, other.room);
}

#[test]
fn many_who_look_for_what_is_not_there_look_at_fewer_rooms_and_a_player_at_as_many() {
    let mut world = World::new();
    let rooms = u16::try_from(limits::ROOMS_LOOKED_AT).unwrap() - 1;
    let host = world.host(peer(0), "a:d.map=castle");
    (1..rooms).for_each(|n| _ = world.host(peer(n), "a"));
    world.pass_secs(1);
    let wanted = "rl:d.map=castle";
    let is_found = |page: Vec<String>| page.iter().any(|entry| entry.starts_with(&host.room));
    let mut pages = 0;
    while pages < 100 && is_found(world.list(peer(10_000 + pages), wanted)) {
        pages += 1;
    }
    assert!((40..60).contains(&pages), "{pages}");
    let short = world.list(peer(9999), wanted);
    assert!(matches!(&short[..], [next] if next.starts_with('+')), "{short:?}");
    assert_eq!(world.answer(peer(9999), "qj:d.map=castle"), "er:qj:busy");
    assert!(is_found(world.list(host.at, wanted)), "it has shown its key");
    world.pass(Duration::from_millis(20));
    assert!(is_found(world.list(peer(9999), wanted)));
}
