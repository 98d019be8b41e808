//! GMnet between nodes, step by step: what is waited for, and what each side is told.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a helper that fails is a test that fails")]

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use compat_tests::sim::wire::{self, Message};
use punchd::clock::{Instant, Now};
use punchd::cluster;
use punchd::dialect::{ConnId, Name, Outbox, Output, Via, gmnet};
use punchd::introductions::relay::{Bounds, Order, sessions};
use punchd::limits::Limits;
use punchd::server::{Config, Server, State};

const NAMES: [&str; 3] = ["a", "b", "c"];

/// Nodes whose messages arrive at once, and what their peers were told.
struct World {
    nodes: Vec<Option<Server>>,
    now: Instant,
    said: Vec<(usize, ConnId, Vec<u8>)>,
    connections: u32,
    incarnations: u64,
    /// Messages between nodes, and their bytes.
    messages: usize,
    bytes: usize,
    /// The longest that a node has worked without a pause.
    longest: Duration,
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

impl World {
    /// Nodes like these, which know each other.
    fn of(configs: Vec<Config>) -> Self {
        let nodes = configs.into_iter().enumerate().map(|(n, config)| {
            let cluster = cluster::Config { name: NAMES[n].into(), incarnation: 1 };
            Some(Server::new(Config { cluster: Some(cluster), ..config }))
        });
        let now = Instant::from_micros(10_000_000);
        let nodes = nodes.collect();
        let mut world = Self {
            nodes,
            now,
            said: Vec::new(),
            connections: 0,
            incarnations: 1,
            messages: 0,
            bytes: 0,
            longest: Duration::ZERO,
        };
        world.pass(100);
        world
    }

    fn two() -> Self {
        Self::of(vec![Config::default(), Config::default()])
    }

    fn act(&mut self, n: usize, act: impl FnOnce(&mut Server, Now, &mut Outbox)) {
        let mut under_way = VecDeque::from(self.act_alone(n, act));
        while let Some((to, bytes)) = under_way.pop_front() {
            self.messages += 1;
            self.bytes += bytes.len();
            let hear = |server: &mut Server, now, out: &mut Outbox| {
                server.on_node_bytes(now, &bytes, out);
            };
            under_way.extend(self.act_alone(to, hear));
        }
    }

    /// Returns what is for which other nodes.
    fn act_alone(
        &mut self,
        n: usize,
        act: impl FnOnce(&mut Server, Now, &mut Outbox),
    ) -> Vec<(usize, Vec<u8>)> {
        let now = Now { instant: self.now, unix: 1_700_000_000 + self.now.micros() / 1_000_000 };
        let mut out = Outbox::new();
        let Some(server) = &mut self.nodes[n] else { return Vec::new() };
        let began = std::time::Instant::now();
        act(server, now, &mut out);
        self.longest = self.longest.max(began.elapsed());
        for output in out.outputs() {
            if let Output::Tcp(conn, bytes) = output {
                self.said.push((n, conn, bytes.to_vec()));
            }
        }
        let mut posts = Vec::new();
        for post in server.take_posts() {
            let is_for = |to: &usize| post.to.as_ref().is_none_or(|name| **name == *NAMES[*to]);
            let others = (0..self.nodes.len()).filter(|to| *to != n);
            posts.extend(others.filter(is_for).map(|to| (to, post.bytes.clone())));
        }
        posts
    }

    /// Time passes, in milliseconds.
    fn pass(&mut self, millis: u64) {
        for _ in 0..millis {
            for n in 0..self.nodes.len() {
                for _ in 0..10 {
                    let due = self.nodes[n].as_ref().and_then(Server::next_wakeup);
                    if due.is_some_and(|due| due <= self.now) {
                        self.act(n, |server, now, out| server.on_wakeup(now, out));
                    }
                }
            }
            self.now = self.now + Duration::from_millis(1);
        }
    }

    /// Another process goes on from what that of a node knew.
    fn take_over(&mut self, n: usize) {
        self.incarnations += 1;
        let saved = self.nodes[n].as_ref().unwrap().save().encode();
        let cluster = cluster::Config { name: NAMES[n].into(), incarnation: self.incarnations };
        self.nodes[n] = Some(Server::new(Config { cluster: Some(cluster), ..Config::default() }));
        let mut state = State::decode(&saved).unwrap();
        self.act(n, |server, now, out| _ = server.load(now, &mut state, out).unwrap());
    }

    fn udp(&mut self, n: usize, from: SocketAddr, word: &[u8]) {
        let data = wire::datagram(word);
        self.act(n, |server, now, out| server.on_datagram(now, Via::default(), from, &data, out));
    }

    fn tcp(&mut self, n: usize, from: IpAddr, bytes: &[u8]) -> ConnId {
        self.connections += 1;
        let conn = ConnId { slot: self.connections, generation: self.connections };
        let from = SocketAddr::new(from, 4000);
        self.act(n, |server, now, out| server.on_accept(now, || now.instant, conn, from, out));
        self.act(n, |server, now, out| server.on_bytes(now, conn, bytes, out));
        conn
    }

    /// A host registers by TCP; its `reg` comes by itself.
    fn host(&mut self, n: usize, from: IpAddr) -> ConnId {
        let mut data = <[String; 8]>::default();
        data[0] = "game".into();
        data[1] = format!("at {from}");
        self.tcp(n, from, &wire::reg2("1.2.4", &data))
    }

    fn join(&mut self, n: usize, client: SocketAddr, host: &str) -> ConnId {
        self.udp(n, client, b"connect");
        self.tcp(n, client.ip(), &wire::connect(host))
    }

    /// Where somebody was told that the other side is, as text; "no": nowhere.
    fn told(&mut self, conn: ConnId) -> Vec<String> {
        let mut told = Vec::new();
        self.said.retain(|(_, to, bytes)| {
            if *to == conn {
                told.push(match wire::parse(bytes) {
                    Some(Message::Introduction(ip, port)) => format!("{ip}:{port}"),
                    Some(Message::NotFound) => "no".into(),
                    other => format!("{other:?}"),
                });
            }
            *to != conn
        });
        told
    }

    fn lobby(&mut self, n: usize, viewer: &str) -> Vec<String> {
        let conn = self.tcp(n, ip(viewer), &wire::lobby2());
        let told =
            self.said.iter().find(|(_, to, _)| *to == conn).map(|(_, _, bytes)| bytes.clone());
        let reply = told.unwrap();
        let Some(Message::Lobby(json)) = wire::parse(&reply) else { panic!("no lobby") };
        let list: Vec<serde_json::Value> = serde_json::from_str(json).unwrap();
        list.iter().map(|host| host["ip"].as_str().unwrap().to_owned()).collect()
    }
}

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

#[test]
fn who_asks_a_node_that_dies_is_told_that_there_is_nobody() {
    let mut world = World::two();
    let _host = world.host(1, ip("203.0.113.1"));
    world.pass(5);
    let client = world.join(0, at("198.51.100.1:3000"), "203.0.113.1");
    world.nodes[1] = None;
    world.pass(3600);
    assert_eq!(world.told(client), ["no"]);
    assert_eq!(world.lobby(0, "198.51.100.9"), Vec::<String>::new());
}

#[test]
fn a_host_that_changes_its_data_is_waited_for() {
    let mut world = World::two();
    world.udp(1, at("203.0.113.1:2000"), b"reg");
    let host = world.host(1, ip("203.0.113.1"));
    world.pass(1100);
    world.act(1, |server, now, out| server.on_gone(now, host, out));
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
    world.act(1, |server, now, out| server.on_gone(now, host, out));
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
            world.nodes[1] = None;
        }
        let client = world.join(0, at("198.51.100.1:3000"), "203.0.113.1");
        world.pass(3600);
        match is_there {
            true => {
                assert_eq!(world.lobby(0, "198.51.100.9"), all);
                assert_eq!(world.told(client), ["203.0.113.1:2000"]);
                assert_eq!(world.told(hosts[0]), ["198.51.100.1:3000"], "once");
                world.act(1, |server, now, out| server.on_gone(now, hosts[1], out));
                world.pass(5);
                assert_eq!(world.lobby(0, "198.51.100.9"), ["192.0.2.7", "203.0.113.1"]);
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
    let state = world.nodes[0].as_ref().unwrap().save().encode();
    world.nodes[0] = Some(Server::new(Config::default()));
    let mut state = State::decode(&state).unwrap();
    world.act(0, |server, now, out| _ = server.load(now, &mut state, out).unwrap());
    assert_eq!(world.lobby(0, "198.51.100.9"), Vec::<String>::new());
}

fn with_relay(addr: &str) -> Config {
    let told = ip(addr).into();
    let ports = 20_000..=20_063;
    let relay = sessions::Config { told, is_apart: true, ports, bounds: Bounds::default() };
    Config { relay: Some(relay), ..Config::default() }
}

#[test]
fn who_does_not_get_through_is_relayed_by_the_node_that_has_a_relay() {
    let both = [
        (vec![with_relay("192.0.2.1"), Config::default()], "192.0.2.1"),
        (vec![Config::default(), with_relay("192.0.2.2")], "192.0.2.2"),
        (vec![with_relay("192.0.2.1"), with_relay("192.0.2.2")], "192.0.2.1"),
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
        let relays = world.nodes.iter().flatten().map(|node| node.relay().len()).sum::<usize>();
        assert_eq!(relays, 1);
    }
}

/// One whose relay says that it has room, and has none.
fn with_full_relay(addr: &str) -> Config {
    let bounds = Bounds { sessions_per_address: 0, ..Bounds::default() };
    let config = with_relay(addr);
    let relay = config.relay.map(|relay| sessions::Config { bounds, ..relay });
    Config { relay, ..config }
}

/// One that speaks no dialect.
fn alone(config: Config) -> Config {
    Config { dialects: Vec::new(), ..config }
}

/// How many pairs each node relays.
fn relayed(world: &World) -> Vec<usize> {
    let len = |node: &Option<Server>| node.as_ref().map_or(0, |node| node.relay().len());
    world.nodes.iter().map(len).collect()
}

#[test]
fn a_node_may_be_a_relay_alone_and_serves_where_the_others_have_no_room() {
    let (none, full) = (Config::default, with_full_relay);
    for (client_has, host_has, want) in [
        (none(), none(), 2),
        (full("192.0.2.1"), none(), 2),
        (full("192.0.2.1"), full("192.0.2.2"), 2),
        (with_relay("192.0.2.1"), with_relay("192.0.2.2"), 0),
        (full("192.0.2.1"), with_relay("192.0.2.2"), 1),
    ] {
        let mut world = World::of(vec![client_has, host_has, alone(with_relay("192.0.2.3"))]);
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
        assert_eq!(relayed(&world), pairs);
        // At once, as they did not reach each other just now.
        world.act(0, |server, now, out| server.on_gone(now, client, out));
        let client = world.join(0, at("198.51.100.1:3002"), "203.0.113.1");
        world.pass(100);
        for conn in [client, host] {
            let [told] = &world.told(conn)[..] else { panic!("it is told nothing") };
            assert!(told.starts_with(&relay), "{told}, not {relay}");
        }
        assert_eq!(relayed(&world), pairs.iter().map(|n| 2 * n).collect::<Vec<_>>());
    }
}

#[test]
fn players_of_one_node_are_relayed_by_another() {
    let relays = vec![Config::default(), alone(with_relay("192.0.2.2"))];
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
        let full = || alone(with_full_relay("192.0.2.3"));
        let mut world = World::of(vec![Config::default(), Config::default(), full()]);
        world.udp(1, at("203.0.113.1:2000"), b"reg");
        let host = world.host(1, ip("203.0.113.1"));
        let silent = [0, 1].map(|n| world.host(n, ip(&format!("203.0.113.{}", n + 2))));
        world.pass(5);
        let client = world.join(0, at("198.51.100.1:3000"), "203.0.113.1");
        assert_eq!(world.told(client), ["203.0.113.1:2000"]);
        assert_eq!(world.told(host), ["198.51.100.1:3000"]);
        if !is_there {
            world.nodes[2] = None;
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
        assert_eq!(world.nodes.iter().map(far).sum::<usize>(), 0, "nothing is kept");
    }
}

#[test]
fn a_relay_is_free_again_when_the_node_that_asked_dies() {
    let mut world =
        World::of(vec![Config::default(), Config::default(), alone(with_relay("192.0.2.3"))]);
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
    world.nodes[0] = None;
    world.pass(3600);
    assert!(matches!(orders(&mut world)[..], [Order::Close(..)]));
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

/// What a cluster costs; with `--release`, `-- --ignored --nocapture`.
#[test]
#[ignore = "takes a while, and only prints what it takes"]
fn a_hundred_thousand_hosts_on_three_nodes() {
    const HOSTS: u32 = 33_333;
    let limits = Limits { connections: 64 * 1024, commands_per_second: 0, ..Limits::default() };
    let gmnet = gmnet::Config { limits, ..gmnet::Config::default() };
    let config = Config { limits, gmnet, dialects: vec![Name::Gmnet], ..Config::default() };
    let before = memory();
    let mut world = World::of(vec![config.clone(), config.clone(), config.clone()]);
    world.nodes[2] = None;
    for n in 0..2 * HOSTS {
        let from = IpAddr::from((0x0B00_0000 + n).to_be_bytes());
        world.udp((n % 2) as usize, SocketAddr::new(from, 2000), b"reg");
        world.host((n % 2) as usize, from);
        if n % 100 == 99 {
            world.pass(10);
        }
    }
    world.said.clear();
    println!("a new host: {} bytes", world.bytes / (2 * HOSTS as usize));
    println!("longest turn: {:?}", world.longest);
    let pair = memory() - before;
    println!("memory of a node: {} bytes for each host", pair / 2 / (2 * HOSTS as usize));
    (world.bytes, world.messages, world.longest) = (0, 0, Duration::ZERO);
    world.pass(10_000);
    println!("at rest: {} bytes a second of a node", world.bytes / 2 / 10);
    // One that comes is told everything.
    let cluster = Some(cluster::Config { name: "c".into(), incarnation: 2 });
    world.nodes[2] = Some(Server::new(Config { cluster, ..config }));
    world.bytes = 0;
    let mut millis = 0;
    while world.lobby_len(2) < 2 * HOSTS as usize {
        world.pass(500);
        millis += 500;
        assert!(millis < 60_000, "it does not");
    }
    println!("a new node knows all after {millis} ms, {} bytes", world.bytes);
    println!("longest turn: {:?}", world.longest);
    world.longest = Duration::ZERO;
    world.nodes[1] = None;
    world.pass(5000);
    assert_eq!(world.lobby_len(2), HOSTS as usize);
    println!("longest turn as a node is gone: {:?}", world.longest);
}

impl World {
    /// How many hosts the lobby of a node has.
    fn lobby_len(&mut self, n: usize) -> usize {
        let longest = self.longest;
        let conn = self.tcp(n, ip("198.51.100.9"), &wire::lobby2());
        let reply = self.said.drain(..).find(|(_, to, _)| *to == conn);
        self.act(n, |server, now, out| server.on_gone(now, conn, out));
        self.longest = longest;
        reply.map_or(0, |(_, _, bytes)| bytes.windows(5).filter(|part| part == b"\"ip\":").count())
    }
}

/// Bytes of memory that this process has.
fn memory() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = text.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok());
    pages.unwrap_or(0) * 4096
}
