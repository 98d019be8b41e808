//! Who does not get through is relayed by the node of the one, of the other, or by any.

use compat_tests::unplugged_nodes::{full, relay};
use punchd::introductions::relay::{Bounds, End, Order, Report};

use super::*;

pub(super) fn with_relay(n: usize) -> Config {
    Config { relay: Some(relay(n, Bounds::default())), ..Config::default() }
}

/// One whose relay says that it has room, and has none.
pub(super) fn with_full_relay(n: usize) -> Config {
    Config { relay: Some(relay(n, full())), ..Config::default() }
}

/// One whose relay joins families.
fn with_two_families(n: usize) -> Config {
    let mut config = with_relay(n);
    if let Some(relay) = &mut config.relay {
        relay.told.v6 = Some("2001:db8::2".parse().unwrap());
    }
    config
}

/// One that speaks no dialect.
pub(super) fn alone(config: Config) -> Config {
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
    assert!(matches!(orders(&mut world, 2)[..], [Order::Open(_)]));
    world.kill(0);
    world.pass(3600);
    assert!(matches!(orders(&mut world, 2)[..], [Order::Close(..)]));
}

/// What the relay of a node is told since this was asked last.
pub(super) fn orders(world: &mut World, n: usize) -> Vec<Order> {
    let mut orders = Vec::new();
    world.act(n, |server, _, _| orders.extend(server.new_sessions()));
    orders
}

/// Two nodes without relays, the first with a client that was told of a host of the other, and one that has nothing but a
/// relay.
fn introduced() -> (World, ConnId, ConnId) {
    let mut world = World::of(vec![Config::default(), Config::default(), alone(with_relay(2))]);
    world.udp(1, at("203.0.113.1:2000"), b"reg");
    let host = world.host(1, ip("203.0.113.1"));
    world.pass(5);
    let client = world.join(0, at("198.51.100.1:3000"), "203.0.113.1");
    assert_eq!(world.told(client), ["203.0.113.1:2000"]);
    assert_eq!(world.told(host), ["198.51.100.1:3000"]);
    (world, client, host)
}

/// Both were told of the session that the third node has for them, and this stays.
fn assert_relayed(world: &mut World, both: [ConnId; 2], case: &str) {
    let told = both.map(|conn| world.told(conn));
    let [Order::Open(session)] = orders(world, 2)[..] else { panic!("{case}: no session") };
    let places = session.sides.map(|side| vec![format!("192.0.2.3:{}", side.port)]);
    assert_eq!(told, places, "{case}");
    world.pass(5000);
    assert_eq!(orders(world, 2), [], "{case}");
    assert_eq!(world.relayed(), [0, 0, 1], "{case}");
}

#[test]
fn who_waits_for_the_relay_is_told_of_it_by_the_next_process() {
    for n in 0..3 {
        for before in [0, 500, 999] {
            let (mut world, client, host) = introduced();
            world.pass(before);
            world.take_over(n);
            world.pass(1100 - before);
            assert_relayed(&mut world, [client, host], &format!("node {n} after {before} ms"));
        }
    }
}

#[test]
fn the_next_process_knows_at_once_who_has_a_relay() {
    for n in 0..2 {
        let (mut world, _, host) = introduced();
        world.pass(600);
        // Nothing has come since of what others tell of themselves.
        world.take_over(n);
        let client = world.join(0, at("198.51.100.2:3000"), "203.0.113.1");
        assert_eq!(world.told(client), ["203.0.113.1:2000"]);
        world.pass(1100);
        let (client, host) = (world.told(client), world.told(host));
        assert!(client.iter().any(|at| at.starts_with("192.0.2.3:")), "{n}: {client:?}");
        let at_relay = host.iter().filter(|at| at.starts_with("192.0.2.3:"));
        assert_eq!(at_relay.count(), 2, "{n}: {host:?}");
        assert_eq!(world.relayed(), [0, 0, 2], "{n}");
    }
}

#[test]
fn who_waits_for_a_host_without_a_port_is_relayed_by_the_next_process() {
    for (n, at_node) in (0..3).flat_map(|n| [0, 1].map(|at_node| (n, at_node))) {
        let mut world = World::of(vec![Config::default(), Config::default(), alone(with_relay(2))]);
        let host = world.host(at_node, ip("203.0.113.2"));
        world.pass(5);
        let client = world.join(0, at("198.51.100.2:3000"), "203.0.113.2");
        world.pass(1000);
        world.take_over(n);
        world.pass(2600);
        assert_relayed(&mut world, [client, host], &format!("{n}, host at {at_node}"));
    }
}

#[test]
fn what_the_relay_of_another_node_was_asked_the_next_process_asks_again() {
    for cut in [(2, 0), (0, 2)] {
        for taken in [0, 2] {
            let (mut world, client, host) = introduced();
            world.pass(990);
            world.net.cuts.insert(cut);
            world.pass(15);
            world.take_over(taken);
            assert_eq!((world.told(client), world.told(host)), (vec![], vec![]));
            world.net.cuts.clear();
            world.pass(500);
            assert_relayed(&mut world, [client, host], &format!("{cut:?} {taken}"));
        }
    }
}

#[test]
fn who_was_told_of_the_relay_is_forwarded_after_a_take_over() {
    for n in 0..3 {
        let (mut world, client, host) = introduced();
        world.pass(1050);
        world.take_over(n);
        assert_relayed(&mut world, [client, host], &format!("{n}"));
        // What becomes of it is heard by who has asked.
        let id = world.servers[2].as_ref().unwrap().relay().ids().next().unwrap();
        world.act(2, |server, now, _| server.on_report(now, Report::Connected(id)));
        world.pass(10);
        let total = world.servers[0].as_ref().unwrap().journal().total();
        assert_eq!((total.relayed, total.failed), (1, 0), "{n}");
        world.act(2, |server, now, _| server.on_report(now, Report::Ended(id, End::Idle)));
        world.pass(10);
        assert_eq!(world.servers[0].as_ref().unwrap().relay().far(), 0, "{n}");
    }
}

#[test]
fn a_node_that_begins_anew_has_no_sessions() {
    let (mut world, ..) = introduced();
    world.pass(1050);
    assert!(matches!(orders(&mut world, 2)[..], [Order::Open(_)]));
    world.restart(0);
    world.pass(1100);
    assert!(matches!(orders(&mut world, 2)[..], [Order::Close(..)]));
}

#[test]
fn who_cannot_be_relayed_is_answered_by_the_next_process() {
    for at_node in [0, 1] {
        for after in [0, 5] {
            let full = alone(with_full_relay(2));
            let mut world = World::of(vec![Config::default(), Config::default(), full]);
            let host = world.host(at_node, ip("203.0.113.2"));
            world.pass(5);
            let seen = at("198.51.100.2:3000");
            let client = world.join(0, seen, "203.0.113.2");
            // The host's port is waited for, and then the relay is asked.
            let is_asked = |world: &World| world.servers[0].as_ref().unwrap().relay().far() == 1;
            world.net.cuts.insert((2, 0));
            for _ in 0..500 {
                world.pass(10);
                if is_asked(&world) {
                    break;
                }
            }
            assert!(is_asked(&world) && world.told(client).is_empty());
            if after > 0 {
                // The node of the host is asked instead, and is not heard.
                world.net.cuts.insert((1, 0));
                world.pass(705);
                assert!(!is_asked(&world));
            }
            world.take_over(0);
            world.net.cuts.clear();
            world.pass(2500);
            assert_eq!(world.told(client), ["no"], "{at_node} {after}");
            assert_eq!(world.told(host), [seen.to_string()], "{at_node} {after}");
        }
    }
}

/// Their ports are not known, so nothing tells them apart but their connections.
#[test]
fn each_of_several_clients_of_one_address_is_relayed_to_a_host_of_the_other_family() {
    for take_over in [false, true] {
        let mut world = World::of(vec![Config::default(), alone(with_two_families(1))]);
        world.udp(0, at("[2001:db8::1]:2000"), b"reg");
        let host = world.host(0, ip("2001:db8::1"));
        world.pass(5);
        world.net.cuts.insert((1, 0));
        let clients = [0; 3].map(|_| {
            let client = world.tcp(0, ip("198.51.100.1"), &wire::connect("2001:db8::1"));
            world.pass(1);
            client
        });
        if take_over {
            world.take_over(0);
        }
        world.net.cuts.clear();
        world.pass(4000);
        let mut places: Vec<String> = Vec::new();
        for client in clients {
            let [told] = &world.told(client)[..] else { panic!("one is told nothing") };
            assert!(told.starts_with("192.0.2.2:"), "{told}");
            places.push(told.clone());
        }
        places.sort_unstable();
        places.dedup();
        assert_eq!(places.len(), 3, "{places:?}: each has a port of its own");
        assert_eq!(world.told(host).len(), 3, "{take_over}");
    }
}

#[test]
fn each_of_several_clients_of_one_address_is_answered_if_no_relay_has_room() {
    let mut full_one = with_two_families(1);
    full_one.relay.iter_mut().for_each(|relay| relay.bounds = full());
    let mut world = World::of(vec![Config::default(), alone(full_one)]);
    world.udp(0, at("[2001:db8::1]:2000"), b"reg");
    world.host(0, ip("2001:db8::1"));
    world.pass(5);
    world.net.cuts.insert((1, 0));
    let clients = [0; 40].map(|_| {
        let client = world.tcp(0, ip("198.51.100.1"), &wire::connect("2001:db8::1"));
        world.pass(1);
        client
    });
    world.net.cuts.clear();
    world.pass(4000);
    for client in clients {
        assert_eq!(world.told(client), ["no"]);
    }
}
