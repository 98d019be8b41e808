//! Who is told where the other is, and what is waited for.

use super::*;

#[test]
fn both_are_told_in_one_round_of_which_nobody_waits_for_anything_else() {
    let mut world = World::two();
    world.udp(1, at("203.0.113.1:2000"), b"reg");
    let host = world.host(1, ip("203.0.113.1"));
    world.pass(5);
    assert_eq!(world.lobby(0, "198.51.100.9"), ["203.0.113.1"]);
    let before = world.messages;
    let client = world.join(0, at("198.51.100.1:3000"), "203.0.113.1");
    assert_eq!(world.messages - before, 2, "a question and an answer");
    assert_eq!(world.told(client), ["203.0.113.1:2000"]);
    assert_eq!(world.told(host), ["198.51.100.1:3000"]);
    // By its port, and as it wrote it.
    let client = world.join(0, at("198.51.100.2:3000"), "203.0.113.1:2000");
    world.pass(200);
    assert_eq!(world.told(client), ["203.0.113.1:2000"]);
    assert_eq!(world.told(host), ["198.51.100.2:3000"], "after the notify gap");
    let client = world.join(0, at("198.51.100.2:3001"), "203.0.113.1:2001");
    world.pass(3000);
    assert_eq!(world.told(client), ["no"], "nobody has that port");
}

#[test]
fn packets_that_are_late_are_waited_for_on_either_node() {
    let mut world = World::two();
    let host = world.host(1, ip("203.0.113.1"));
    world.pass(5);
    let client = world.join(0, at("198.51.100.1:3000"), "203.0.113.1");
    world.pass(1500);
    assert_eq!((world.told(client), world.told(host)), (vec![], vec![]));
    world.udp(1, at("203.0.113.1:2000"), b"reg");
    assert_eq!(world.told(client), ["203.0.113.1:2000"]);
    assert_eq!(world.told(host), ["198.51.100.1:3000"]);
    // The client's.
    let client = world.tcp(0, ip("198.51.100.2"), &wire::connect("203.0.113.1"));
    world.pass(1500);
    assert_eq!(world.told(client), Vec::<String>::new());
    world.udp(0, at("198.51.100.2:3000"), b"connect");
    assert_eq!(world.told(client), ["203.0.113.1:2000"]);
    assert_eq!(world.told(host), ["198.51.100.2:3000"]);
    // If it never comes the client is told all the same, and the host is not, as on one node.
    let client = world.tcp(0, ip("198.51.100.3"), &wire::connect("203.0.113.1"));
    world.pass(2600);
    assert_eq!(world.told(client), ["203.0.113.1:2000"]);
    assert_eq!(world.told(host), Vec::<String>::new());
    // A host without a port: it may get through to the client.
    let other = world.host(1, ip("203.0.113.2"));
    world.pass(5);
    let client = world.join(0, at("198.51.100.4:3000"), "203.0.113.2");
    world.pass(2600);
    assert_eq!(world.told(client), ["no"]);
    assert_eq!(world.told(other), ["198.51.100.4:3000"]);
}

/// The question of a process is answered to the next one, which asks by the same number.
#[test]
fn a_host_is_told_once_though_another_process_hears_the_answer() {
    let mut world = World::two();
    world.udp(1, at("203.0.113.1:2000"), b"reg");
    let host = world.host(1, ip("203.0.113.1"));
    world.pass(700);
    world.udp(0, at("198.51.100.1:3000"), b"connect");
    let client = world.open(0, at("198.51.100.1:4000"));
    let text = wire::connect("203.0.113.1");
    let question = world.act_alone(0, |server, now, out| server.on_bytes(now, client, &text, out));
    assert_eq!(question.len(), 1);
    world.pass(1);
    let told = world.take_over_alone(0);
    world.deliver(question);
    world.deliver(told);
    world.pass(3000);
    assert_eq!(world.told(client), ["203.0.113.1:2000"]);
    assert_eq!(world.told(host), ["198.51.100.1:3000"]);
}

#[test]
fn who_asks_a_node_that_dies_is_told_that_there_is_nobody() {
    let mut world = World::two();
    let _host = world.host(1, ip("203.0.113.1"));
    world.pass(5);
    let client = world.join(0, at("198.51.100.1:3000"), "203.0.113.1");
    world.kill(1);
    world.pass(3600);
    assert_eq!(world.told(client), Vec::<String>::new(), "it may come to another node");
    world.pass(400);
    assert_eq!(world.told(client), ["no"]);
    assert_eq!(world.lobby(0, "198.51.100.9"), Vec::<String>::new());
}

#[test]
fn hosts_in_the_network_of_a_node_are_known_by_its_public_address() {
    let public_ips = ip("192.0.2.7").into();
    let gmnet = gmnet::Config { public_ips, ..gmnet::Config::default() };
    let mut world = World::of(vec![Config::default(), Config { gmnet, ..Config::default() }]);
    world.udp(1, at("10.0.0.5:2000"), b"reg");
    let host = world.host(1, ip("10.0.0.5"));
    world.pass(5);
    assert_eq!(world.lobby(0, "198.51.100.9"), ["192.0.2.7"]);
    assert_eq!(world.lobby(0, "10.0.0.9"), ["10.0.0.5"], "who is in that network");
    let client = world.join(0, at("198.51.100.1:3000"), "192.0.2.7");
    assert_eq!(world.told(client), ["192.0.2.7:2000"]);
    assert_eq!(world.told(host), ["198.51.100.1:3000"]);
}

#[test]
fn a_dialect_that_is_told_nonsense_goes_on() {
    let mut world = World::two();
    let name = "b";
    for text in ["", "x", "\u{1}", "{}"] {
        let bytes = [&[1u8][..], name.as_bytes(), text.as_bytes()].concat();
        world.act(0, |server, now, out| server.on_node_bytes(now, &bytes, out));
    }
    let _host = world.host(1, ip("203.0.113.1"));
    world.pass(5);
    assert_eq!(world.lobby(0, "198.51.100.9"), ["203.0.113.1"]);
}
