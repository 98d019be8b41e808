//! Nodes in networks of their own: an address inside means somebody else in each.

use punchd::introductions::relay::Order;

use super::relayed::{alone, orders, with_relay};
use super::*;

#[test]
fn hosts_of_two_networks_that_have_one_address_there_are_both_listed_and_reached() {
    let configs = ["192.0.2.7", "192.0.2.8"].map(|public| {
        let gmnet = gmnet::Config { public_ips: ip(public).into(), ..gmnet::Config::default() };
        Config { gmnet, ..Config::default() }
    });
    let mut world = World::of(configs.to_vec());
    let hosts = [0, 1].map(|n| {
        world.udp(n, at("10.0.0.5:2000"), b"reg");
        let host = world.host(n, ip("10.0.0.5"));
        world.pass(1000);
        host
    });
    let inside = at("10.0.0.9:3000");
    for (n, listed) in [["10.0.0.5", "192.0.2.8"], ["192.0.2.7", "10.0.0.5"]].iter().enumerate() {
        assert_eq!(world.lobby(n, "198.51.100.9"), ["192.0.2.7", "192.0.2.8"], "{n}");
        assert_eq!(world.lobby(n, "10.0.0.9"), *listed, "who is in the network of {n}");
        for (m, host) in hosts.into_iter().enumerate() {
            let client = at(&format!("198.51.100.{}:3000", 2 * n + m + 1));
            let public = format!("192.0.2.{}", m + 7);
            let conn = world.join(n, client, &public);
            assert_eq!(world.told(conn), [format!("{public}:2000")]);
            assert_eq!(world.told(host), [client.to_string()]);
            world.pass(100);
        }
        // Who is in the network of the one knows its host by that address, and the other's by the public one.
        let conn = world.join(n, inside, "10.0.0.5");
        assert_eq!(world.told(conn), ["10.0.0.5:2000"], "{n}");
        assert_eq!(world.told(hosts[n]), ["10.0.0.9:3000"], "{n}");
        let other = 1 - n;
        let conn = world.join(n, inside, &format!("192.0.2.{}", other + 7));
        assert_eq!(world.told(conn), [format!("192.0.2.{}:2000", other + 7)]);
        assert_eq!(world.told(hosts[other]), [format!("192.0.2.{}:3000", n + 7)]);
        world.pass(100);
    }
    // A game that moves within one network is still there once.
    world.end(1, hosts[1]);
    world.pass(1000);
    assert_eq!(world.lobby(0, "198.51.100.9"), ["192.0.2.7"]);
    assert_eq!(world.lobby(1, "198.51.100.9"), ["192.0.2.7"]);
}

#[test]
fn a_game_that_moves_to_another_node_of_its_network_is_there_once() {
    let public_ips = ip("192.0.2.7").into();
    let gmnet = gmnet::Config { public_ips, ..gmnet::Config::default() };
    let mut world = World::of(vec![Config { gmnet, ..Config::default() }; 2]);
    for n in [0, 1, 0] {
        world.udp(n, at("10.0.0.5:2000"), b"reg");
        world.host(n, ip("10.0.0.5"));
        world.pass(1000);
        for viewer in 0..2 {
            assert_eq!(world.lobby(viewer, "198.51.100.9"), ["192.0.2.7"], "{n} {viewer}");
            assert_eq!(world.lobby(viewer, "10.0.0.9"), ["10.0.0.5"], "{n} {viewer}");
        }
    }
}

#[test]
fn the_newest_host_of_a_network_is_meant_at_whichever_node_of_it_it_is() {
    let mut world = World::of(vec![in_a_network(Config::default()); 2]);
    for round in 0..4_u8 {
        let n = usize::from(round % 2);
        let newest = SocketAddr::new([10, 0, 0, 5 + round].into(), 2000 + u16::from(round));
        world.udp(n, newest, b"reg");
        let host = world.host(n, newest.ip());
        world.pass(1000);
        for asked in 0..2 {
            let client = SocketAddr::new([198, 51, 100, 2 * round + asked as u8].into(), 3000);
            let conn = world.join(asked, client, "192.0.2.7");
            assert_eq!(world.told(conn), [format!("192.0.2.7:{}", newest.port())], "{n} {asked}");
            assert_eq!(world.told(host), [client.to_string()], "{n} {asked}");
            world.pass(100);
        }
    }
}

/// A node with a relay or without, in a network that those outside know by 192.0.2.7.
fn in_a_network(config: Config) -> Config {
    let gmnet = gmnet::Config { public_ips: ip("192.0.2.7").into(), ..config.gmnet };
    Config { gmnet, ..config }
}

/// Where the relay of a node expects client and host of the one session that it is told of.
fn expected(world: &mut World, n: usize) -> [String; 2] {
    let [Order::Open(session)] = orders(world, n)[..] else { panic!("no session") };
    session.sides.map(|side| side.addr.to_string())
}

#[test]
fn a_host_in_the_network_of_another_node_comes_to_a_relay_from_that_network() {
    let both = [
        (vec![with_relay(0), in_a_network(Config::default())], 0, "192.0.2.7"),
        (vec![Config::default(), in_a_network(with_relay(1))], 1, "10.0.0.5"),
        (
            vec![Config::default(), in_a_network(Config::default()), alone(with_relay(2))],
            2,
            "192.0.2.7",
        ),
    ];
    for (configs, relay, host_there) in both {
        let mut world = World::of(configs);
        // A stranger has the same address in the network of the client's node.
        world.udp(0, at("10.0.0.5:2000"), b"reg");
        let stranger = world.host(0, ip("10.0.0.5"));
        world.pass(1000);
        world.udp(1, at("10.0.0.5:2000"), b"reg");
        let host = world.host(1, ip("10.0.0.5"));
        world.pass(5);
        world.join(0, at("198.51.100.1:3000"), "192.0.2.7");
        world.pass(1100);
        assert_eq!(expected(&mut world, relay), ["198.51.100.1", host_there], "relay of {relay}");
        let told = world.told(host);
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[1].starts_with(&format!("192.0.2.{}:", relay + 1)), "{told:?}");
        assert_eq!(world.told(stranger), [""; 0]);
        // Another process knows which of them it was.
        world.take_over(0);
        world.udp(0, at("198.51.100.1:3000"), b"connect");
        world.tcp(0, ip("198.51.100.1"), &wire::connect("192.0.2.7"));
        world.pass(100);
        assert_eq!((world.told(host).len(), world.told(stranger).len()), (1, 0));
    }
}
