//! Clients that wait for the relay of another node.

use super::relayed::{alone, with_full_relay};
use super::*;

/// A node without a relay and one that has nothing but a full relay, whose answer is not heard; and a client that waits for
/// it, of a host without a port.
fn asking() -> (World, ConnId, ConnId) {
    let mut world = World::of(vec![Config::default(), alone(with_full_relay(1))]);
    let host = world.host(0, ip("203.0.113.2"));
    world.pass(5);
    let client = world.join(0, at("198.51.100.2:3000"), "203.0.113.2");
    until_asked(&mut world, 1);
    assert_eq!(world.told(client), [""; 0]);
    (world, client, host)
}

/// Waits until a relay is asked, whose node `from` is not heard.
fn until_asked(world: &mut World, from: usize) {
    world.net.cuts.insert((from, 0));
    for _ in 0..500 {
        world.pass(10);
        if world.servers[0].as_ref().unwrap().relay().far() == 1 {
            return;
        }
    }
    panic!("no relay is asked");
}

#[test]
fn a_stranger_who_comes_in_the_place_of_a_host_is_not_told_of_its_client() {
    let (mut world, client, host) = asking();
    world.end(0, host);
    let stranger = world.host(0, ip("203.0.113.77"));
    world.pass(705);
    assert_eq!(world.told(client), ["no"]);
    assert_eq!(world.told(stranger), [""; 0]);
}

#[test]
fn commands_behind_one_that_waits_for_a_relay_are_answered_after_it() {
    let mut world = World::of(vec![Config::default(), alone(with_full_relay(1))]);
    world.host(0, ip("203.0.113.2"));
    world.udp(0, at("203.0.113.3:2000"), b"reg");
    world.host(0, ip("203.0.113.3"));
    world.pass(5);
    world.udp(0, at("198.51.100.2:3000"), b"connect");
    let both = [wire::connect("203.0.113.2"), wire::connect("203.0.113.3")];
    let client = world.tcp(0, ip("198.51.100.2"), &both.concat());
    until_asked(&mut world, 1);
    assert_eq!(world.told(client), [""; 0]);
    // What comes later waits as well.
    world.write(0, client, &wire::connect("203.0.113.3"));
    assert_eq!(world.told(client), [""; 0]);
    world.pass(5000);
    assert_eq!(world.told(client), ["no", "203.0.113.3:2000", "203.0.113.3:2000"]);
}

#[test]
fn who_has_said_that_it_sends_no_more_is_answered_before_its_connection_is_closed() {
    let (mut world, client, _) = asking();
    world.act(0, |server, now, out| server.on_fin(now, client, out));
    assert!(!world.closed.contains(&(0, client)));
    world.pass(1000);
    assert_eq!(world.told(client), ["no"]);
    assert!(world.closed.contains(&(0, client)));
}

#[test]
fn who_waits_for_a_relay_is_answered_when_the_server_stops() {
    let (mut world, client, host) = asking();
    world.act(0, |server, now, out| server.on_shutdown(now, out));
    assert_eq!(world.told(client), ["no"]);
    assert_eq!(world.told(host), ["198.51.100.2:3000"]);
}

/// Goes on with a node as another one, or as one that is alone.
fn take_over_as(world: &mut World, config: Config) {
    let state = world.servers[0].as_ref().unwrap().save().encode();
    world.servers[0] = Some(Server::new(config));
    let mut state = State::decode(&state).unwrap();
    world.act(0, |server, now, out| _ = server.load(now, &mut state, out).unwrap());
}

#[test]
fn who_waits_for_another_node_is_answered_by_a_process_that_does_not_know_it() {
    let other = || Config {
        cluster: Some(punchd::cluster::Config { name: "z".into(), incarnation: 1 }),
        ..Config::default()
    };
    for config in [Config::default(), other()] {
        let name = format!("{:?}", config.cluster);
        let (mut world, client, host) = asking();
        take_over_as(&mut world, config.clone());
        world.pass(1000);
        assert_eq!(world.told(client), ["no"], "{name}");
        assert_eq!(world.told(host), ["198.51.100.2:3000"], "{name}");
        // The node of the host is asked for the direct way.
        let full = alone(with_full_relay(2));
        let mut world = World::of(vec![Config::default(), Config::default(), full]);
        world.host(1, ip("203.0.113.2"));
        world.pass(5);
        let client = world.join(0, at("198.51.100.2:3000"), "203.0.113.2");
        until_asked(&mut world, 2);
        world.net.cuts.insert((1, 0));
        world.pass(705);
        take_over_as(&mut world, config);
        world.pass(2000);
        assert_eq!(world.told(client), ["no"], "{name}");
    }
}
