//! Hosts whose NATs count: a client is told the port that comes next, and the host is still known by its own.

use compat_tests::unplugged_nodes::relay;
use punchd::dialect::{Via, stun};
use punchd::introductions::relay::Bounds;

use super::*;

/// A node with an alternate port, which the NATs of hosts show themselves at.
fn with_alternate(n: u8) -> Config {
    let at = |port| SocketAddr::from(([192, 0, 2, n + 1], port));
    let stun = stun::Config { sockets: vec![at(6510), at(6511)], ..Default::default() };
    let mut config = Config { stun, alternates_from: Some(1), ..Config::default() };
    (config.gmnet.sockets, config.gmnet.alternate_port) = (vec![at(6510)], Some(6511));
    config
}

impl World {
    /// A datagram comes to the alternate port of a node.
    fn udp_at_alternate(&mut self, n: usize, from: SocketAddr, data: &[u8]) {
        let via = Via { socket: 1, local: None };
        self.act(n, |server, now, out| server.on_datagram(now, via, from, data, out));
    }

    /// A host whose NAT gives the ports 2000, 2001 and so on to one destination after the other.
    fn counted_host(&mut self, n: usize) -> ConnId {
        let request = [&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &[7; 12]].concat();
        self.datagram(n, at("203.0.113.1:2000"), &request);
        self.udp_at_alternate(n, at("203.0.113.1:2001"), &request);
        self.udp(n, at("203.0.113.1:2000"), b"reg");
        let host = self.host(n, ip("203.0.113.1"));
        self.pass(500);
        assert!(self.told(host).contains(&"192.0.2.2:6511".into()), "it is asked to knock there");
        self.udp_at_alternate(n, at("203.0.113.1:2001"), &wire::datagram(b"\xfd"));
        self.pass(100);
        self.told(host);
        host
    }
}

#[test]
fn who_does_not_reach_a_host_at_the_port_that_comes_next_is_relayed() {
    let relayed = Config { relay: Some(relay(0, Bounds::default())), ..Config::default() };
    let mut world = World::of(vec![relayed, with_alternate(1)]);
    let host = world.counted_host(1);
    let client = world.join(0, at("198.51.100.1:3000"), "203.0.113.1");
    let [told] = &world.told(client)[..] else { panic!("the client is told nothing") };
    assert_ne!(told, "203.0.113.1:2000", "the port that comes next");
    assert_eq!(world.told(host), ["198.51.100.1:3000"]);
    world.pass(1100);
    for conn in [client, host] {
        let [told] = &world.told(conn)[..] else { panic!("it is told nothing") };
        assert!(told.starts_with("192.0.2.1:"), "{told}");
    }
}

#[test]
fn how_it_ended_with_a_host_at_the_port_that_comes_next_is_noted() {
    let mut world = World::of(vec![Config::default(), with_alternate(1)]);
    world.counted_host(1);
    let client = world.join(0, at("198.51.100.1:3000"), "203.0.113.1");
    assert_eq!(world.told(client).len(), 1);
    world.pass(2000);
    world.end(0, client);
    assert_eq!(world.servers[0].as_ref().unwrap().journal().total().direct, 1);
}
