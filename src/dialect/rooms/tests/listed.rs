//! The order of lists, and where their pages go on.

use std::net::SocketAddr;

use super::{Place, World, peer};
use crate::limits;

/// The IDs of the rooms on each page of a list.
fn pages(world: &mut World, mut between: impl FnMut(&mut World, &[String])) -> Vec<Vec<String>> {
    let (mut after, mut pages) = (String::new(), Vec::new());
    loop {
        let mut page = world.list(peer(9999), &format!("rl{after}:more"));
        let next = page.pop_if(|last| last.starts_with('+'));
        pages.push(page.iter().map(|entry| entry[..16].to_string()).collect::<Vec<_>>());
        let Some(next) = next else { return pages };
        between(world, pages.last().unwrap());
        after = next.replace('+', ":");
    }
}

/// At another port of the address of this peer.
fn at(n: u16, port: u16) -> SocketAddr {
    SocketAddr::new(peer(n).ip(), port)
}

#[test]
fn a_few_addresses_with_many_rooms_do_not_hide_the_older_room_of_another() {
    let mut world = World::new();
    let honest = world.host(peer(1), "mine");
    let long = "%2C".repeat(64);
    let ports = 1..=u16::try_from(limits::Limits::default().hosts_per_address).unwrap();
    for port in ports {
        (2..10).for_each(|n| _ = world.host(at(n, port), &long));
    }
    let pages = pages(&mut world, |_, _| {});
    assert_eq!(pages.concat().len(), 1 + 8 * 32);
    let before = pages.concat().iter().position(|id| *id == honest.room);
    assert_eq!(before, Some(8));
    // The same for who joins any.
    assert_eq!(world.enter(peer(50), "qj").room.len(), 16);
    assert!(pages[..3].concat().contains(&honest.room));
}

#[test]
fn forged_rooms_take_no_turns_of_those_whose_hosts_have_shown_a_key() {
    let mut world = World::new();
    for port in 1..20 {
        world.enter(at(1, port), "rh:forged");
    }
    let honest = world.host(at(1, 100), "mine");
    let other = world.host(peer(2), "b");
    assert_eq!(pages(&mut world, |_, _| {}).concat()[..2], [other.room, honest.room]);
}

#[test]
fn who_takes_its_rooms_to_another_address_has_the_turns_of_that() {
    let mut world = World::new();
    let honest = world.host(peer(1), "mine");
    let mut moved: Vec<String> = Vec::new();
    for n in 2..10 {
        let room = world.host(peer(n), "a");
        let at = at(20, n);
        let back = Place::of(at, &world.ask(at, &room.rc())[..2]);
        world.prove(&back);
        moved.push(room.room);
    }
    let listed = pages(&mut world, |_, _| {}).concat();
    assert_eq!(listed[..2], [moved[0].clone(), honest.room]);
    assert_eq!(listed[2..], moved[1..]);
}

#[test]
fn rooms_that_others_may_have_moved_stand_behind_those_whose_hosts_are_there() {
    let mut world = World::new();
    let honest = world.host(peer(1), "mine");
    let hosts: Vec<Place> = (1..20).map(|port| world.host(at(2, port), "a")).collect();
    // Each at a network of its own, of which it has the first turn.
    for (n, host) in (100..).zip(&hosts) {
        world.ask(peer(n), &host.rc());
    }
    let listed = pages(&mut world, |_, _| {}).concat();
    assert_eq!((listed.len(), &listed[0]), (20, &honest.room));
    let last = hosts.last().unwrap();
    let back = Place::of(peer(118), &world.ask(peer(118), &last.rc())[..2]);
    world.prove(&back);
    assert_eq!(pages(&mut world, |_, _| {}).concat()[..2], [back.room, honest.room]);
}

#[test]
fn networks_of_one_source_of_ipv6_have_few_turns() {
    let mut world = World::new();
    let at = |n: u16| SocketAddr::new(format!("2001:db8:0:{n:x}::1").parse().unwrap(), 40_000);
    let honest = world.host("[2001:db8:1::1]:40000".parse().unwrap(), "mine");
    for n in 0..80 {
        world.host(at(n), "a");
    }
    let request = format!("{:\n<512}", "rl");
    let first = world.answer("[2001:db8:2::1]:40000".parse().unwrap(), &request);
    assert!(first.contains(&honest.room), "{first}");
}

#[test]
fn a_list_goes_on_behind_rooms_that_were_closed_since() {
    let mut world = World::new();
    let all: Vec<Place> = (0..100).map(|n| world.host(peer(n), &"%2C".repeat(20))).collect();
    let listed = pages(&mut world, |world, page| {
        for id in page {
            let host = all.iter().find(|host| host.room == *id).unwrap();
            assert_eq!(world.answer(host.at, &host.signed("cr")), format!("cr:{id}"));
        }
    });
    let wanted: Vec<&String> = all.iter().rev().map(|host| &host.room).collect();
    assert_eq!(listed.concat().iter().collect::<Vec<_>>(), wanted);
    assert!(listed.len() > 3);

    let last = &all[99];
    let after = format!("rl:{}", last.room);
    world.pass(limits::PARTED - std::time::Duration::from_secs(1));
    assert!(world.answer(peer(9999), &after).starts_with("rl:"));
    world.pass_secs(2);
    assert_eq!(world.answer(peer(9999), &after), "er:rl:noroom");
    assert!(world.rooms.table.closed.is_empty());
}

#[test]
fn forged_rooms_do_not_make_the_server_forget_where_others_stood() {
    let mut world = World::new();
    let [first, last] = [1, 2].map(|n| world.host(peer(n), "a"));
    world.answer(last.at, &last.signed("cr"));
    let forged = world.enter(peer(3), "rh:x");
    for n in 0..=limits::CLOSED_ROOMS {
        let [high, low] = u16::try_from(n).unwrap().to_be_bytes();
        world.enter(SocketAddr::from(([20, high, low, 1], 40_000)), "rh:x");
        world.send(SocketAddr::from(([20, high, low, 1], 40_000)), b"cr");
    }
    let page = world.list(peer(9999), &format!("rl:{}", last.room));
    assert_eq!(page[0][..16], first.room);
    world.send(forged.at, b"cr");
    let page = world.list(peer(9999), &format!("rl:{}", forged.room));
    assert_eq!(page, [""; 0]);
}

#[test]
fn who_sends_back_the_cookie_gets_its_page_without_padding() {
    let mut world = World::new();
    let asker = peer(9999);
    assert_eq!(world.answer(asker, "rl:cookie"), "rl:", "there is nothing to be shown for that");
    for n in 0..60 {
        world.host(peer(n), "a room of usual size");
    }
    let short = world.answer(asker, "rl");
    assert!(short.starts_with("rl:") && short.len() < 90, "as it always was: {short}");
    let full = world.answer(asker, &format!("{:\n<512}", "rl:more"));
    assert_eq!(world.answer(asker, &format!("{:\n<512}", "rl:cookie")), full, "it has paid");

    let cookie = |world: &mut World, at, request: &str| {
        let answer = world.answer(at, request);
        let cookie = answer.strip_prefix("er:rl:cookie:").unwrap_or_else(|| panic!("{answer}"));
        assert_eq!(cookie.len(), 16);
        cookie.to_string()
    };
    let first = cookie(&mut world, asker, "rl:cookie");
    let shown = format!("rl:cookie={first}");
    assert_eq!(world.answer(asker, &shown), full);
    assert_eq!(world.answer(asker, &format!("{shown}:d.map=")), full);
    // Behind the last room of that page.
    let last = full.rsplit_once(":+").unwrap().1;
    let next = world.answer(asker, &format!("rl:{last}:cookie={first}"));
    assert!(next.len() > 1000 && next != full, "{next}");
    // It is of use to nobody else, not even at another port, and for two minutes at most.
    for other in [SocketAddr::new(asker.ip(), 1), peer(9998)] {
        assert_ne!(cookie(&mut world, other, &shown), first);
    }
    world.pass_secs(121);
    assert_ne!(cookie(&mut world, asker, &shown), first);
    // It buys a list and nothing else.
    assert_eq!(world.answer(asker, "rh:Mine:cookie"), "er:rh:badrequest");
    assert_eq!(world.answer(asker, "rl:cookie:cookie"), "er:rl:badrequest");
    // Who has shown its key has no need of it.
    let host = world.host(peer(9997), "b");
    let page = world.answer(host.at, "rl:cookie");
    assert!(page.len() > 1000, "{page}");
}
