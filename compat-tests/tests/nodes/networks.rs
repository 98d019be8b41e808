//! Nodes in networks of their own: an address inside means somebody else in each.

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
