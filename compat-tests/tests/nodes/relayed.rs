//! Who does not get through is relayed by the node of the one, of the other, or by any.

use compat_tests::unplugged_nodes::{full, relay};
use punchd::introductions::relay::{Bounds, Order};

use super::*;

fn with_relay(n: usize) -> Config {
    Config { relay: Some(relay(n, Bounds::default())), ..Config::default() }
}

/// One whose relay says that it has room, and has none.
fn with_full_relay(n: usize) -> Config {
    Config { relay: Some(relay(n, full())), ..Config::default() }
}

/// One that speaks no dialect.
fn alone(config: Config) -> Config {
    Config { dialects: Vec::new(), ..config }
}

#[test]
fn who_does_not_get_through_is_relayed_by_the_node_that_has_a_relay() {
    let both = [
        (vec![with_relay(0), Config::default()], "192.0.2.1"),
        (vec![Config::default(), with_relay(1)], "192.0.2.2"),
        (vec![with_relay(0), with_relay(1)], "192.0.2.1"),
    ];
    for (configs, relay) in both {
        let mut world = World::of(configs);
        world.udp(1, at("203.0.113.1:2000"), b"reg");
        let host = world.host(1, ip("203.0.113.1"));
        world.pass(5);
        let client = world.join(0, at("198.51.100.1:3000"), "203.0.113.1");
        assert_eq!(world.told(client), ["203.0.113.1:2000"]);
        assert_eq!(world.told(host), ["198.51.100.1:3000"]);
        world.pass(1100);
        let [for_client] = &world.told(client)[..] else { panic!("the client is told nothing") };
        let [for_host] = &world.told(host)[..] else { panic!("the host is told nothing") };
        assert!(for_client.starts_with(relay), "{for_client}");
        assert!(for_host.starts_with(relay), "{for_host}");
        // GMnet ENGINE asks for the address that its lobby shows it.
        assert_eq!(world.relayed().iter().sum::<usize>(), 1);
    }
}

#[test]
fn a_node_may_be_a_relay_alone_and_serves_where_the_others_have_no_room() {
    let (none, full) = (Config::default, with_full_relay);
    for (client_has, host_has, want) in [
        (none(), none(), 2),
        (full(0), none(), 2),
        (full(0), full(1), 2),
        (with_relay(0), with_relay(1), 0),
        (full(0), with_relay(1), 1),
    ] {
        let mut world = World::of(vec![client_has, host_has, alone(with_relay(2))]);
        world.udp(1, at("203.0.113.1:2000"), b"reg");
        let host = world.host(1, ip("203.0.113.1"));
        world.pass(5);
        let client = world.join(0, at("198.51.100.1:3000"), "203.0.113.1");
        assert_eq!(world.told(client), ["203.0.113.1:2000"]);
        assert_eq!(world.told(host), ["198.51.100.1:3000"]);
        world.pass(1100);
        let relay = format!("192.0.2.{}:", want + 1);
        for conn in [client, host] {
            let [told] = &world.told(conn)[..] else { panic!("it is told nothing") };
            assert!(told.starts_with(&relay), "{told}, not {relay}");
        }
        let pairs: Vec<usize> = (0..3).map(|n| usize::from(n == want)).collect();
        assert_eq!(world.relayed(), pairs);
        // At once, as they did not reach each other just now.
        world.end(0, client);
        let client = world.join(0, at("198.51.100.1:3002"), "203.0.113.1");
        world.pass(100);
        for conn in [client, host] {
            let [told] = &world.told(conn)[..] else { panic!("it is told nothing") };
            assert!(told.starts_with(&relay), "{told}, not {relay}");
        }
        assert_eq!(world.relayed(), pairs.iter().map(|n| 2 * n).collect::<Vec<_>>());
    }
}

#[test]
fn players_of_one_node_are_relayed_by_another() {
    let relays = vec![Config::default(), alone(with_relay(1))];
    let mut world = World::of(relays);
    world.udp(0, at("203.0.113.1:2000"), b"reg");
    let host = world.host(0, ip("203.0.113.1"));
    world.pass(5);
    let client = world.join(0, at("198.51.100.1:3000"), "203.0.113.1");
    assert_eq!(world.told(client), ["203.0.113.1:2000"]);
    assert_eq!(world.told(host), ["198.51.100.1:3000"]);
    world.pass(1100);
    for conn in [client, host] {
        let [told] = &world.told(conn)[..] else { panic!("it is told nothing") };
        assert!(told.starts_with("192.0.2.2:"), "{told}");
    }
    // Without a port there is no other way.
    let host = world.host(0, ip("203.0.113.2"));
    world.pass(5);
    let client = world.join(0, at("198.51.100.2:3000"), "203.0.113.2");
    world.pass(2600);
    for conn in [client, host] {
        let [told] = &world.told(conn)[..] else { panic!("it is told nothing") };
        assert!(told.starts_with("192.0.2.2:"), "{told}");
    }
}

#[test]
fn without_room_anywhere_it_is_as_without_a_relay() {
    for is_there in [true, false] {
        let full = || alone(with_full_relay(2));
        let mut world = World::of(vec![Config::default(), Config::default(), full()]);
        world.udp(1, at("203.0.113.1:2000"), b"reg");
        let host = world.host(1, ip("203.0.113.1"));
        let silent = [0, 1].map(|n| world.host(n, ip(&format!("203.0.113.{}", n + 2))));
        world.pass(5);
        let client = world.join(0, at("198.51.100.1:3000"), "203.0.113.1");
        assert_eq!(world.told(client), ["203.0.113.1:2000"]);
        assert_eq!(world.told(host), ["198.51.100.1:3000"]);
        if !is_there {
            world.kill(2);
        }
        world.pass(2500);
        assert_eq!((world.told(client), world.told(host)), (vec![], vec![]));
        // A host without a port, here or at another node: it may get through to the client.
        for (n, host) in silent.into_iter().enumerate() {
            let seen = SocketAddr::new(ip(&format!("198.51.100.{}", n + 2)), 3000);
            let client = world.join(0, seen, &format!("203.0.113.{}", n + 2));
            world.pass(4000);
            assert_eq!(world.told(client), ["no"], "{n} {is_there}");
            assert_eq!(world.told(host), [seen.to_string()], "{n} {is_there}");
        }
        let far = |node: &Option<Server>| node.as_ref().map_or(0, |node| node.relay().far());
        assert_eq!(world.servers.iter().map(far).sum::<usize>(), 0, "nothing is kept");
    }
}

#[test]
fn a_relay_is_free_again_when_the_node_that_asked_dies() {
    let mut world = World::of(vec![Config::default(), Config::default(), alone(with_relay(2))]);
    world.udp(1, at("203.0.113.1:2000"), b"reg");
    world.host(1, ip("203.0.113.1"));
    world.pass(5);
    world.join(0, at("198.51.100.1:3000"), "203.0.113.1");
    world.pass(1100);
    let orders = |world: &mut World| {
        let mut orders = Vec::new();
        world.act(2, |server, _, _| orders.extend(server.new_sessions()));
        orders
    };
    assert!(matches!(orders(&mut world)[..], [Order::Open(_)]));
    world.kill(0);
    world.pass(3600);
    assert!(matches!(orders(&mut world)[..], [Order::Close(..)]));
}
