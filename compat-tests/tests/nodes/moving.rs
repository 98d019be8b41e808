//! Hosts that come to another node, and processes that take over one.

use punchd::admission::Admission;

use super::*;

#[test]
fn a_host_that_changes_its_data_is_waited_for() {
    let mut world = World::two();
    world.udp(1, at("203.0.113.1:2000"), b"reg");
    let host = world.host(1, ip("203.0.113.1"));
    world.pass(1100);
    world.end(1, host);
    world.pass(5);
    let client = world.join(0, at("198.51.100.1:3000"), "203.0.113.1");
    world.pass(100);
    assert_eq!(world.told(client), Vec::<String>::new(), "it may come back");
    world.udp(1, at("203.0.113.1:2000"), b"reg");
    let host = world.host(1, ip("203.0.113.1"));
    world.pass(5);
    assert_eq!(world.told(client), ["203.0.113.1:2000"]);
    assert_eq!(world.told(host), ["198.51.100.1:3000"]);
    // To another node.
    world.end(1, host);
    world.pass(5);
    let client = world.join(0, at("198.51.100.2:3000"), "203.0.113.1");
    world.udp(0, at("203.0.113.1:2000"), b"reg");
    let host = world.host(0, ip("203.0.113.1"));
    world.pass(5);
    assert_eq!(world.told(client), ["203.0.113.1:2000"]);
    assert_eq!(world.told(host), ["198.51.100.2:3000"]);
}

#[test]
fn a_game_that_moves_to_another_node_is_there_once() {
    let mut world = World::two();
    for n in [0, 1, 0] {
        world.udp(n, at("203.0.113.1:2000"), b"reg");
        world.host(n, ip("203.0.113.1"));
        world.pass(20);
        for viewer in 0..2 {
            assert_eq!(world.lobby(viewer, "198.51.100.9"), ["203.0.113.1"], "{n} {viewer}");
        }
        let client = world.join(1 - n, at("198.51.100.1:3000"), "203.0.113.1");
        assert_eq!(world.told(client), ["203.0.113.1:2000"]);
        world.pass(1000);
    }
}

#[test]
fn a_host_that_is_meant_again_is_told_of_a_client_once() {
    let mut world = World::of(vec![Config::default(); 3]);
    let [old, new] = [1, 2].map(|n| SocketAddr::new(ip("203.0.113.1"), 2000 + n));
    world.udp(1, old, b"reg");
    let host = world.host(1, old.ip());
    world.pass(100);
    // The answer is late.
    world.net.loses = Some(b"said");
    let client = world.join(0, at("198.51.100.1:3000"), "203.0.113.1");
    assert_eq!(world.told(host), ["198.51.100.1:3000"]);
    // So is the question to the node of a newer host, which leaves before it has come.
    world.net.cuts.insert((0, 2));
    world.udp(2, new, b"reg");
    let newer = world.host(2, new.ip());
    world.pass(60);
    world.end(2, newer);
    world.pass(600);
    assert_eq!(world.told(client), ["203.0.113.1:2001"]);
    assert_eq!(world.told(host), Vec::<String>::new(), "it was told already");
}

#[test]
fn a_host_is_told_of_a_client_once_though_its_node_was_lost_meanwhile() {
    let mut world = World::two();
    world.udp(1, at("203.0.113.1:2000"), b"reg");
    let host = world.host(1, ip("203.0.113.1"));
    world.pass(100);
    world.net.cuts.insert((1, 0));
    let client = world.join(0, at("198.51.100.1:3000"), "203.0.113.1");
    assert_eq!(world.told(host), ["198.51.100.1:3000"]);
    world.pass(3200);
    world.net.cuts.clear();
    // It is back and asked anew, and again and again, as all that it answers is lost.
    for _ in 0..280 {
        world.net.loses = Some(b"said");
        world.pass(5);
    }
    assert_eq!(world.told(client), Vec::<String>::new());
    world.net.loses = None;
    world.pass(1000);
    assert_eq!(world.told(client), ["203.0.113.1:2000"]);
    assert_eq!(world.told(host), Vec::<String>::new(), "it was told already");
}

#[test]
fn a_newer_host_at_a_node_that_was_asked_for_another_is_told_of_the_client() {
    let mut world = World::of(vec![Config::default(); 3]);
    let register = |world: &mut World, n: usize, port: u16| {
        world.udp(n, SocketAddr::new(ip("203.0.113.1"), port), b"reg");
        let host = world.host(n, ip("203.0.113.1"));
        world.pass(60);
        host
    };
    register(&mut world, 1, 2001);
    world.net.loses = Some(b"said");
    let client = world.join(0, at("198.51.100.1:3000"), "203.0.113.1");
    // Nothing is heard of the next one's node, either.
    world.net.cuts.insert((0, 2));
    register(&mut world, 2, 2002);
    let newest = register(&mut world, 1, 2003);
    world.pass(3000);
    assert_eq!(world.told(client), ["203.0.113.1:2003"]);
    assert_eq!(world.told(newest), ["198.51.100.1:3000"]);
}

#[test]
fn what_was_answered_to_the_process_before_is_no_answer_to_another_question() {
    let mut world = World::two();
    let hosts = ["203.0.113.1", "203.0.113.2"].map(|from| {
        world.udp(1, SocketAddr::new(ip(from), 2000), b"reg");
        world.host(1, ip(from))
    });
    world.pass(5);
    let client = world.join(0, at("198.51.100.1:3000"), "203.0.113.1");
    assert_eq!(world.told(client), ["203.0.113.1:2000"]);
    world.take_over(0);
    world.pass(100);
    let client = world.join(0, at("198.51.100.2:3000"), "203.0.113.2");
    assert_eq!(world.told(client), ["203.0.113.2:2000"]);
    assert_eq!(world.told(hosts[1]), ["198.51.100.2:3000"]);
}

#[test]
fn a_new_node_lists_hosts_in_the_same_order() {
    let mut world = World::two();
    let hosts = [9, 7, 8].map(|n| world.host(0, [203, 0, 113, n].into()));
    // The next one has its place in the tables.
    world.end(0, hosts[0]);
    world.host(0, [203, 0, 113, 5].into());
    let all = ["203.0.113.7", "203.0.113.8", "203.0.113.5"];
    assert_eq!(world.lobby(0, "198.51.100.9"), all);
    world.add(Config::default());
    world.pass(100);
    assert_eq!(world.lobby(2, "198.51.100.9"), all);
}

#[test]
fn a_process_that_takes_over_a_node_has_the_hosts_of_all_at_once() {
    let public_ips = ip("192.0.2.7").into();
    let gmnet = gmnet::Config { public_ips, ..gmnet::Config::default() };
    let mut world = World::of(vec![Config::default(), Config { gmnet, ..Config::default() }]);
    let hosts = ["203.0.113.1", "203.0.113.2", "10.0.0.5"].map(|from| {
        world.udp(1, SocketAddr::new(ip(from), 2000), b"reg");
        world.host(1, ip(from))
    });
    world.pass(5);
    for is_there in [true, false] {
        let all = world.lobby(0, "198.51.100.9");
        assert_eq!(all.len(), 3, "{all:?}");
        world.take_over(0);
        assert_eq!(world.lobby(0, "198.51.100.9"), all, "nothing was heard yet");
        if !is_there {
            world.kill(1);
        }
        let client = world.join(0, at("198.51.100.1:3000"), "203.0.113.1");
        world.pass(3600);
        match is_there {
            true => {
                assert_eq!(world.lobby(0, "198.51.100.9"), all);
                assert_eq!(world.told(client), ["203.0.113.1:2000"]);
                assert_eq!(world.told(hosts[0]), ["198.51.100.1:3000"], "once");
                world.end(1, hosts[1]);
                world.pass(5);
                assert_eq!(world.lobby(0, "198.51.100.9"), ["203.0.113.1", "192.0.2.7"]);
                world.udp(1, at("203.0.113.2:2000"), b"reg");
                world.host(1, ip("203.0.113.2"));
                world.pass(5);
            }
            false => {
                assert_eq!(world.told(client), ["no"]);
                assert_eq!(world.lobby(0, "198.51.100.9"), Vec::<String>::new());
            }
        }
    }
    // Alone, it knows no others.
    let state = world.servers[0].as_ref().unwrap().save().encode();
    world.servers[0] = Some(Server::new(Config::default()));
    let mut state = State::decode(&state).unwrap();
    world.act(0, |server, now, out| _ = server.load(now, &mut state, out).unwrap());
    assert_eq!(world.lobby(0, "198.51.100.9"), Vec::<String>::new());
}

#[test]
fn a_host_that_changes_to_a_game_that_a_node_does_not_admit_is_gone_there() {
    let lists = |game: &str| Admission::of(Vec::new(), vec![game.into()]);
    let gmnet = gmnet::Config { admission: lists("game"), ..gmnet::Config::default() };
    let mut world = World::of(vec![Config { gmnet, ..Config::default() }, Config::default()]);
    let host = world.host(1, ip("203.0.113.1"));
    world.pass(5);
    assert_eq!(world.lobby_of(0, "game"), ["203.0.113.1"]);
    let mut data = <[String; 8]>::default();
    data[0] = "another game".into();
    world.write(1, host, &wire::reg2("1.2.4", &data));
    world.pass(5);
    assert_eq!(world.lobby_of(0, "game"), Vec::<String>::new());
}
