//! What peers are told without having asked, and what happens when time passes.

use std::time::Duration;

use super::{Place, World, peer};
use crate::dialect::Dialect as _;
use crate::dialect::rooms::{Config, Rooms};
use crate::limits;

#[test]
fn a_host_is_told_three_times_of_a_client_unless_it_answers() {
    let mut world = World::new();
    let host = world.host(peer(1), "a");
    let client = world.join(peer(2), &host);
    let comes = format!("cj:{}:{}:40000", client.id, client.ip());
    assert_eq!(world.pass(Duration::from_millis(499)).0, []);
    assert_eq!(world.pass(Duration::from_millis(1)).0, [(host.at, comes.clone())]);
    assert_eq!(world.pass_secs(60).0, [(host.at, comes.clone())]);

    let client = world.join(peer(3), &host);
    world.answer(host.at, "ka");
    assert_eq!(world.pass(Duration::from_millis(500)).0.len(), 1, "ka says nothing about it");
    world.answer(host.at, &format!("pc:{}:fail:{}", client.id, host.key));
    assert_eq!(world.pass_secs(60).0, []);
}

#[test]
fn a_client_that_asks_again_is_announced_again() {
    let mut world = World::new();
    let host = world.host(peer(1), "a");
    let client = world.join(peer(2), &host);
    let again = format!("jr:{}", host.room);
    assert_eq!(world.send(client.at, again.as_bytes()).to(host.at).len(), 0, "copies are coming");
    world.pass_secs(2);
    assert_eq!(world.send(client.at, again.as_bytes()).to(host.at).len(), 1);
    world.pass_secs(2);
    world.answer(client.at, &format!("pc:{}:ok", client.id));
    let sent = world.send(client.at, again.as_bytes());
    assert_eq!(sent.to(host.at).len(), 1, "it was started anew at the same port");
}

#[test]
fn what_is_outdated_is_not_told() {
    let mut world = World::new();
    let host = world.host(peer(1), "a");
    let client = world.join(peer(2), &host);
    world.answer(client.at, "lr");
    let told = world.pass_secs(60).to(host.at);
    assert_eq!(told, vec![format!("cl:{}", client.id); 3], "gone, so it does not come");

    world.join(peer(3), &host);
    world.answer(host.at, "cr");
    let told = world.pass_secs(60);
    assert_eq!(told.to(host.at).len(), 0, "it has no room any more");
    assert_eq!(told.to(peer(3)), vec![format!("cr:{}", host.room); 3]);
}

#[test]
fn who_moves_on_and_on_leaves_space_for_what_others_are_told() {
    for options in ["", ":mesh"] {
        let mut world = World::new();
        let host = world.host(peer(1), &format!("a{options}"));
        let clients: Vec<_> = (10..20).map(|n| world.join(peer(n), &host)).collect();
        world.pass_secs(2);
        for n in 100..200 {
            world.send(peer(n), host.rc().as_bytes());
        }
        // Each of both sides is told of the other one.
        assert!(world.rooms.delivery.len() <= 2 * clients.len(), "{}", world.rooms.delivery.len());
        let back = Place::of(peer(99), &world.ask(peer(99), &host.rc()));
        world.prove(&back);
        world.pass_secs(2);
        let mut moves = clients[0].clone();
        for n in 200..300 {
            moves = Place::of(peer(n), &world.send(peer(n), moves.rc().as_bytes()).to(peer(n)));
            moves.at = peer(n);
            world.prove(&moves);
        }
        let most = 4 * clients.len();
        assert!(world.rooms.delivery.len() <= most, "{}", world.rooms.delivery.len());
        world.pass_secs(40);
        assert_eq!(world.rooms.delivery.len(), 0);
    }
}

#[test]
fn who_changes_something_all_the_time_does_not_flood_the_others() {
    let (mut world, host, client) = World::introduced();
    let mut told = 0;
    for n in 0..100 {
        told += world.send(host.at, format!("rn:{n}").as_bytes()).to(client.at).len();
        told += world.pass(Duration::from_millis(10)).to(client.at).len();
    }
    let last = world.pass_secs(5).to(client.at);
    assert!(told <= 3, "{told}");
    assert_eq!(last.last().unwrap(), "rn:99");
}

#[test]
fn a_silent_host_loses_its_room_and_all_are_told() {
    let silence = Duration::from_secs(100);
    let mut world = World::with(Config { silence, ..Config::default() });
    let host = world.host(peer(1), "a");
    world.pass_secs(60);
    let client = world.join(peer(2), &host);
    world.pass_secs(39);
    assert!(world.listed().contains(&host.room));
    let told = world.pass_secs(1);
    let closed = format!("cr:{}", host.room);
    assert_eq!((told.to(host.at), told.to(client.at)), (vec![closed.clone()], vec![closed]));
    assert_eq!(world.answer(host.at, "ka"), "er:ka:noroom");
    assert_eq!(world.answer(client.at, "ka"), "er:ka:noroom");
    world.pass_secs(60);
    assert!(world.rooms.is_empty());
}

#[test]
fn those_who_fall_silent_together_are_told_of_in_turns() {
    let mut world = World::new();
    for n in 0..20 {
        let host = world.host(peer(100 * n), "a");
        (1..=40).for_each(|client| _ = world.join(peer(100 * n + client), &host));
    }
    world.pass_secs(2);
    world.millis += 1000 * limits::ROOM_SILENCE.as_secs();
    let is_due = |world: &World| {
        let now = world.now().instant;
        world.rooms.next_wakeup().is_some_and(|at| at <= now)
    };
    let mut told = 0;
    while is_due(&world) {
        let sent = world.act(Rooms::on_wakeup).0.len();
        let most = limits::ROOM_TOLD_AT_ONCE + 1 + limits::CLIENTS_PER_ROOM;
        assert!(sent <= most, "{sent} in one turn");
        told += sent;
    }
    assert_eq!(told, 20 * 41);
    assert_eq!(world.rooms.table.len(), 0);
}

#[test]
fn a_silent_client_is_gone_and_the_host_is_told() {
    let (mut world, host, client) = World::introduced();
    for _ in 0..10 {
        assert_eq!(world.pass_secs(29).to(host.at).len(), 0);
        world.answer(host.at, "ka");
    }
    assert_eq!(world.pass_secs(20).to(host.at), vec![format!("cl:{}", client.id); 3]);
    assert_eq!(world.answer(client.at, "ka"), "er:ka:noroom");
    assert_eq!(world.answer(host.at, "ka"), "ka");
}

#[test]
fn any_request_shows_that_a_peer_is_there() {
    let (mut world, host, client) = World::introduced();
    for request in ["ka", "status", "rl", "rh:x", "jr:junk"] {
        world.pass_secs(200);
        assert_eq!(world.ask(host.at, request).len().min(1), 1);
        world.answer(client.at, request.replace("rh:x", "ka").as_str());
    }
    assert!(world.listed().ends_with(",2"));
}
