//! What lists have, and who finds a room by them or by its code.

use std::net::IpAddr;

use compat_tests::unplugged_nodes::{Impostor, relay};
use punchd::dialect::Name;
use punchd::introductions::PublicIps;
use punchd::introductions::relay::{Bounds, sessions};

use super::*;

#[test]
fn every_node_lists_the_rooms_of_all() {
    let mut world = World::of(3);
    let one = world.get_in(1, peer(1), "rh:one:max=2:d.map=castle");
    world.get_in(2, peer(2), "rh:two:d.map=cave");
    world.get_in(0, peer(3), "rh:own");
    world.get_in(2, peer(4), "rh:other:game=G");
    world.enter(1, peer(5), "rh:forged");
    world.pass(20);
    for n in 0..3 {
        // The newest first, but who has shown no key last.
        assert_eq!(world.listed(n, ""), ["own", "two", "one", "forged"]);
        assert_eq!(world.listed(n, ":game=G"), ["other"]);
        assert_eq!(world.listed(n, ":d.map=castle"), ["one"]);
    }
    // A change.
    assert_eq!(world.answer(1, peer(1), &format!("rn:uno:{}", one.key)), "rn:uno");
    world.get_in(1, peer(6), &format!("jr:{}", one.room));
    for n in 0..3 {
        assert_eq!(world.listed(n, ""), ["own", "two", "uno", "forged"]);
        assert_eq!(world.listed(n, ":free"), ["own", "two", "forged"]);
        let page = world.answer(n, peer(250), &format!("{:\n<512}", "rl:more"));
        assert!(page.contains(&format!("{},uno,full,2,2,map=castle", one.room)), "{page}");
    }
    // Who has read that far goes on behind it, be it there or not.
    let behind = format!(":{}", one.room);
    assert_eq!(world.listed(0, &behind), ["forged"]);
    world.ask(1, peer(1), &format!("cr:{}", one.key));
    world.pass(20);
    (0..3).for_each(|n| assert_eq!(world.listed(n, ""), ["own", "two", "forged"]));
    assert_eq!(world.listed(0, &behind), ["forged"]);
    // A node that comes later is told all in the same order.
    world.restart(0);
    world.pass(1000);
    assert_eq!(world.listed(0, ""), ["two", "forged"]);
}

#[test]
fn a_source_has_its_turns_in_the_lists_of_all_nodes() {
    let mut world = World::of(2);
    let many = |n: u16| SocketAddr::from(([198, 51, 9, 7], 40_000 + n));
    world.get_in(1, peer(1), "rh:other");
    for n in 0..3 {
        world.get_in(usize::from(n % 2), many(n), &format!("rh:many{n}"));
    }
    for n in 0..2 {
        assert_eq!(world.listed(n, ""), ["many0", "other", "many1", "many2"]);
    }
}

#[test]
fn private_rooms_of_other_nodes_are_found_by_their_codes() {
    let mut world = World::of(2);
    let told = world.ask(1, peer(1), "rh:one:private");
    let code = told.iter().find(|line| line.starts_with("rh:")).unwrap();
    let code = code.rsplit(':').next().unwrap().to_owned();
    world.pass(20);
    assert_eq!(world.listed(0, ""), Vec::<String>::new());
    world.get_in(0, peer(2), &format!("jr:{code}"));
    // Whoever guesses is counted where he asks, and nobody else is asked.
    let before = world.messages;
    let wrong = if code == "BBBBBB" { "CCCCCC" } else { "BBBBBB" };
    let mut guesses = 0;
    while world.answer(0, peer(3), &format!("jr:{wrong}")) == "er:jr:noroom" {
        guesses += 1;
    }
    assert!((3..100).contains(&guesses), "{guesses}");
    assert_eq!(world.answer(0, peer(3), &format!("jr:{code}")), "er:jr:limit");
    assert_eq!(world.messages, before);
}

#[test]
fn any_room_may_be_one_of_another_node() {
    let mut world = World::of(2);
    let full = world.get_in(1, peer(1), "rh:full:max=2");
    world.get_in(1, peer(2), &format!("jr:{}", full.room));
    world.get_in(1, peer(3), "rh:word:password=p");
    let one = world.get_in(1, peer(4), "rh:one");
    let client = world.get_in(0, peer(5), "qj");
    assert_eq!(client.room, one.room);
    // Who is in one is told of it again.
    let own = world.get_in(0, peer(6), "rh:own");
    let again = world.ask(0, peer(5), "qj");
    assert!(again[0].starts_with(&format!("jr:{}:{}", one.room, client.id)), "{again:?}");
    assert_eq!(world.get_in(0, peer(7), "qj").room, own.room, "the first of the list");
    assert_eq!(world.answer(0, peer(8), "qj:game=G"), "er:qj:noroom");
}

/// Of two nodes that tell of one room the first is believed, and when it is gone the other.
#[test]
fn a_room_that_a_mad_node_claims_stays_where_it_is() {
    for is_first in [false, true] {
        let mut world = World::of(3);
        let one = world.get_in(1, peer(1), "rh:one");
        if is_first {
            // Node 0 does not know of it yet.
            world.net.cuts.insert((1, 0));
            world.restart(0);
        }
        let mut mad = Impostor::new(&mut world, 2);
        assert!(mad.claim_all(&mut world, Name::Rooms) >= 2);
        world.net.cuts.clear();
        world.pass(2000);
        assert_eq!(world.listed(0, ""), ["one"]);
        // From now on nothing is heard of it.
        world.pass(12_000);
        assert_eq!(world.listed(0, ""), ["one"], "claimed first: {is_first}");
        assert_eq!(world.get_in(0, peer(2), &format!("jr:{}", one.room)).room, one.room);
    }
}

/// Rooms of the other family are listed as long as any node has a relay that joins both, whichever was there first.
#[test]
fn lists_count_on_the_relays_that_there_are_now() {
    let mut world = World::of(2);
    let at = SocketAddr::from(([0x2001, 0xDB8, 0, 0, 0, 0, 0, 1], 40_000));
    (0..2).for_each(|n| _ = world.get_in(n, peer(n as u8 + 1), &format!("rh:four{n}")));
    world.get_in(1, at, "rh:six");
    world.pass(20);
    (0..2).for_each(|n| assert_eq!(world.listed(n, ""), ["four1", "four0"]));
    let told = PublicIps {
        v6: Some("2001:db8::9".parse().unwrap()),
        ..PublicIps::from(IpAddr::from([192, 0, 2, 3]))
    };
    let relay = sessions::Config { told, ..relay(2, Bounds::default()) };
    world.add(Config { relay: Some(relay), dialects: Vec::new(), ..Config::default() });
    world.pass(3000);
    (0..2).for_each(|n| assert_eq!(world.listed(n, ""), ["six", "four1", "four0"], "{n}"));
    world.kill(2);
    world.pass(5000);
    (0..2).for_each(|n| assert_eq!(world.listed(n, ""), ["four1", "four0"], "{n}"));
}
