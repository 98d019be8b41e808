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
