//! Nodes that die and begin anew at once, so that no other thinks that they are gone.

use std::time::Duration;

use compat_tests::unplugged_nodes::relay;
use punchd::introductions::relay::Bounds;

use super::*;

/// Two nodes, with a host at the second one of which a client of the first one asks. The second one dies before it has
/// heard of that, and has begun anew. Hosts that have not noticed are waited for by who was `patient`.
fn asked_and_restarted(patient: bool) -> (World, ConnId) {
    let start_wait = if patient { Duration::from_secs(60) } else { Duration::ZERO };
    let gmnet = gmnet::Config { start_wait, ..gmnet::Config::default() };
    let mut world = World::of(vec![Config::default(), Config { gmnet, ..Config::default() }]);
    world.udp(1, at("203.0.113.1:2000"), b"reg");
    world.host(1, ip("203.0.113.1"));
    world.pass(5);
    world.net.cuts.insert((0, 1));
    let client = world.join(0, at("198.51.100.1:3000"), "203.0.113.1");
    world.pass(100);
    assert_eq!(world.told(client), Vec::<String>::new());
    world.restart(1);
    (world, client)
}

#[test]
fn another_host_that_has_the_connection_of_one_before_is_not_it() {
    let (mut world, client) = asked_and_restarted(false);
    // The first connection of each process has the same number.
    world.connections = 0;
    world.udp(1, at("203.0.113.2:2002"), b"reg");
    let other = world.host(1, ip("203.0.113.2"));
    world.net.cuts.clear();
    world.pass(3000);
    assert_eq!(world.told(client), ["no"]);
    assert_eq!(world.told(other), Vec::<String>::new());
}

#[test]
fn another_host_that_has_the_connection_of_one_before_is_not_told_of_its_relay() {
    let relayed = Config { relay: Some(relay(0, Bounds::default())), ..Config::default() };
    let mut world = World::of(vec![relayed, Config::default()]);
    world.udp(1, at("203.0.113.1:2000"), b"reg");
    let host = world.host(1, ip("203.0.113.1"));
    world.pass(5);
    let client = world.join(0, at("198.51.100.1:3000"), "203.0.113.1");
    assert_eq!(world.told(client), ["203.0.113.1:2000"]);
    assert_eq!(world.told(host), ["198.51.100.1:3000"]);
    world.pass(900);
    world.restart(1);
    world.connections = 0;
    world.udp(1, at("203.0.113.2:2002"), b"reg");
    let other = world.host(1, ip("203.0.113.2"));
    assert_eq!(other, host);
    // The first node hears that it has begun anew, and not yet which hosts it has.
    let hello = world.act_alone(1, |server, now, out| server.on_wakeup(now, out));
    world.net.cuts.insert((1, 0));
    world.deliver(hello);
    world.pass(300);
    assert_eq!(world.told(client).len(), 1, "it is relayed");
    assert_eq!(world.told(other), Vec::<String>::new());
}

#[test]
fn a_host_that_comes_back_to_a_node_that_has_begun_anew_is_waited_for() {
    let (mut world, client) = asked_and_restarted(true);
    world.net.cuts.clear();
    world.pass(1200);
    assert_eq!(world.told(client), Vec::<String>::new());
    world.udp(1, at("203.0.113.1:2000"), b"reg");
    let host = world.host(1, ip("203.0.113.1"));
    world.pass(5);
    assert_eq!(world.told(client), ["203.0.113.1:2000"]);
    assert_eq!(world.told(host), ["198.51.100.1:3000"]);
}

#[test]
fn who_asks_for_a_host_that_does_not_come_back_is_told_that_there_is_nobody() {
    let (mut world, client) = asked_and_restarted(true);
    world.net.cuts.clear();
    world.pass(3000);
    assert_eq!(world.told(client), ["no"]);
}

#[test]
fn a_host_that_goes_from_a_node_that_dies_to_a_third_one_is_waited_for() {
    let mut world = World::of(vec![Config::default(); 3]);
    world.udp(1, at("203.0.113.1:2000"), b"reg");
    world.host(1, ip("203.0.113.1"));
    world.pass(5);
    world.kill(1);
    world.pass(2000);
    let client = world.join(0, at("198.51.100.1:3000"), "203.0.113.1");
    // By now the node is known to be gone.
    world.pass(1600);
    assert_eq!(world.lobby(0, "198.51.100.9"), Vec::<String>::new());
    assert_eq!(world.told(client), Vec::<String>::new(), "it may come back");
    world.udp(2, at("203.0.113.1:2000"), b"reg");
    let host = world.host(2, ip("203.0.113.1"));
    world.pass(5);
    assert_eq!(world.told(client), ["203.0.113.1:2000"]);
    assert_eq!(world.told(host), ["198.51.100.1:3000"]);
}
