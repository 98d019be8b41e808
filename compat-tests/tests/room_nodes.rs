//! Rooms between nodes, step by step: what lists have, and what each side is told by way of which node.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a helper that fails is a test that fails")]

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use punchd::clock::{Instant, Now};
use punchd::cluster;
use punchd::dialect::{Outbox, Output, Via};
use punchd::introductions::relay::{Bounds, sessions};
use punchd::server::{Config, Server, State};

const NAMES: [&str; 3] = ["a", "b", "c"];

/// Nodes whose messages arrive at once, and what their peers were told.
struct World {
    nodes: Vec<Option<Server>>,
    now: Instant,
    /// By which node, whom, and what.
    said: Vec<(usize, SocketAddr, String)>,
    /// Messages between nodes.
    messages: usize,
    /// Those for nodes that are not there.
    lost: Vec<Vec<u8>>,
}

/// A place in a room, as its peer knows it.
#[derive(Clone, Debug)]
struct Place {
    node: usize,
    at: SocketAddr,
    room: String,
    id: String,
    key: String,
}

/// Each of an address of its own.
fn peer(n: u8) -> SocketAddr {
    SocketAddr::from(([198, 51, n, 7], 40_000))
}

impl World {
    fn of(count: usize) -> Self {
        Self::with((0..count).map(|n| node(n, 1)).collect())
    }

    fn with(nodes: Vec<Server>) -> Self {
        let nodes = nodes.into_iter().map(Some).collect();
        let now = Instant::from_micros(10_000_000);
        let mut world = Self { nodes, now, said: Vec::new(), messages: 0, lost: Vec::new() };
        world.pass(100);
        world
    }

    fn act(&mut self, n: usize, act: impl FnOnce(&mut Server, Now, &mut Outbox)) {
        let mut under_way = VecDeque::from(self.act_alone(n, act));
        while let Some((to, bytes)) = under_way.pop_front() {
            self.messages += 1;
            if self.nodes[to].is_none() {
                self.lost.push(bytes);
                continue;
            }
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
        act(server, now, &mut out);
        for output in out.outputs() {
            if let Output::Udp(_, to, bytes) = output {
                self.said.push((n, to, String::from_utf8_lossy(bytes).into_owned()));
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
        let end = self.now + Duration::from_millis(millis);
        while self.now < end {
            for n in 0..self.nodes.len() {
                for _ in 0..10 {
                    let due = self.nodes[n].as_ref().and_then(Server::next_wakeup);
                    if due.is_some_and(|due| due <= self.now) {
                        self.act(n, |server, now, out| server.on_wakeup(now, out));
                    }
                }
            }
            self.now = self.now + Duration::from_millis(5);
        }
    }

    /// Another process goes on from what that of a node knew.
    fn take_over(&mut self, n: usize, incarnation: u64) {
        let saved = self.nodes[n].take().unwrap().save().encode();
        let mut state = State::decode(&saved).unwrap();
        self.nodes[n] = Some(node(n, incarnation));
        self.act(n, |server, now, out| _ = server.load(now, &mut state, out).unwrap());
    }

    fn send(&mut self, n: usize, from: SocketAddr, text: &str) {
        let data = text.as_bytes().to_vec();
        self.act(n, |server, now, out| server.on_datagram(now, Via::default(), from, &data, out));
    }

    /// What somebody was told since this was asked last, all by this node.
    fn told(&mut self, n: usize, whom: SocketAddr) -> Vec<String> {
        let mut told = Vec::new();
        self.said.retain(|(by, to, text)| {
            if *to == whom {
                assert_eq!(*by, n, "{text} to {to}");
                told.push(text.clone());
            }
            *to != whom
        });
        told
    }

    fn ask(&mut self, n: usize, from: SocketAddr, text: &str) -> Vec<String> {
        self.told(n, from);
        self.send(n, from, text);
        self.told(n, from)
    }

    fn answer(&mut self, n: usize, from: SocketAddr, text: &str) -> String {
        let mut answers = self.ask(n, from, text);
        assert_eq!(answers.len(), 1, "{text}: {answers:?}");
        answers.remove(0)
    }

    /// Somebody gets a place and has not shown its key.
    fn enter(&mut self, node: usize, at: SocketAddr, text: &str) -> Place {
        let told = self.ask(node, at, text);
        let fields = |begin: &str| -> Vec<String> {
            let line = told.iter().find(|line| line.starts_with(begin));
            let line = line.unwrap_or_else(|| panic!("{text}: {told:?}"));
            line.split(':').map(Into::into).collect()
        };
        let own = fields("rID:");
        let is_host = told.iter().any(|line| line.starts_with("rh:"));
        let place = fields(if is_host { "rh:" } else { "jr:" });
        let [id, key] = [own[1].clone(), own[2].clone()];
        Place { node, at, room: place[1].clone(), id, key }
    }

    fn prove(&mut self, place: &Place) {
        let text = format!("rc:{}:{}", place.id, place.key);
        let told = self.ask(place.node, place.at, &text);
        assert!(told.iter().any(|line| line.starts_with("rID:")), "{told:?}");
    }

    /// The same, and it shows it.
    fn get_in(&mut self, node: usize, at: SocketAddr, text: &str) -> Place {
        let place = self.enter(node, at, text);
        self.prove(&place);
        self.pass(20);
        place
    }

    /// The names in a page of the list of a node.
    fn listed(&mut self, n: usize, options: &str) -> Vec<String> {
        let page = self.answer(n, peer(250), &format!("{:\n<512}", format!("rl{options}")));
        let entries = page.split(':').skip(1).filter(|entry| entry.contains(','));
        entries.map(|entry| entry.split(',').nth(1).unwrap().to_owned()).collect()
    }
}

fn node(n: usize, incarnation: u64) -> Server {
    let cluster = cluster::Config { name: NAMES[n].into(), incarnation };
    let seed = [n as u8 + 10 * incarnation as u8; 32];
    Server::new(Config { cluster: Some(cluster), seed, ..Config::default() })
}

#[test]
fn every_node_lists_the_rooms_of_all() {
    let mut world = World::of(3);
    let one = world.get_in(1, peer(1), "rh:one:max=2:d.map=castle");
    world.get_in(2, peer(2), "rh:two:d.map=cave");
    world.get_in(0, peer(3), "rh:own");
    world.get_in(2, peer(4), "rh:other:game=G");
    world.enter(1, peer(5), "rh:forged");
    world.pass(20);
    for n in 0..3 {
        // The newest first, but who has shown no key last.
        assert_eq!(world.listed(n, ""), ["own", "two", "one", "forged"]);
        assert_eq!(world.listed(n, ":game=G"), ["other"]);
        assert_eq!(world.listed(n, ":d.map=castle"), ["one"]);
    }
    // A change.
    assert_eq!(world.answer(1, peer(1), &format!("rn:uno:{}", one.key)), "rn:uno");
    world.get_in(1, peer(6), &format!("jr:{}", one.room));
    for n in 0..3 {
        assert_eq!(world.listed(n, ""), ["own", "two", "uno", "forged"]);
        assert_eq!(world.listed(n, ":free"), ["own", "two", "forged"]);
        let page = world.answer(n, peer(250), &format!("{:\n<512}", "rl:more"));
        assert!(page.contains(&format!("{},uno,full,2,2,map=castle", one.room)), "{page}");
    }
    // Who has read that far goes on behind it, be it there or not.
    let behind = format!(":{}", one.room);
    assert_eq!(world.listed(0, &behind), ["forged"]);
    world.ask(1, peer(1), &format!("cr:{}", one.key));
    world.pass(20);
    (0..3).for_each(|n| assert_eq!(world.listed(n, ""), ["own", "two", "forged"]));
    assert_eq!(world.listed(0, &behind), ["forged"]);
    // A node that comes later is told all in the same order.
    world.nodes[0] = Some(node(0, 2));
    world.pass(1000);
    assert_eq!(world.listed(0, ""), ["two", "forged"]);
}

#[test]
fn a_source_has_its_turns_in_the_lists_of_all_nodes() {
    let mut world = World::of(2);
    let many = |n: u16| SocketAddr::from(([198, 51, 9, 7], 40_000 + n));
    world.get_in(1, peer(1), "rh:other");
    for n in 0..3 {
        world.get_in(usize::from(n % 2), many(n), &format!("rh:many{n}"));
    }
    for n in 0..2 {
        assert_eq!(world.listed(n, ""), ["many0", "other", "many1", "many2"]);
    }
}

#[test]
fn a_client_of_one_node_is_in_a_room_of_another() {
    let mut world = World::of(2);
    let host = world.get_in(1, peer(1), "rh:one");
    let before = world.messages;
    let client = world.enter(0, peer(2), &format!("jr:{}", host.room));
    assert_eq!(world.messages - before, 2, "the request, and all that comes of it");
    assert_eq!(world.told(1, host.at), [format!("cj:{}:198.51.2.7:40000", client.id)]);
    let told = world.ask(0, client.at, &format!("jr:{}", host.room));
    assert_eq!(told[0], format!("jr:{}:{}:198.51.1.7:40000", host.room, client.id));
    world.prove(&client);
    for place in [&client, &host] {
        assert_eq!(
            world.answer(place.node, place.at, &format!("pc:{}:ok", client.id)),
            format!("pc:{}:ok", client.id)
        );
        assert_eq!(world.answer(place.node, place.at, "ka"), "ka");
    }
    let signs = format!("ka:{}", client.key);
    assert_eq!(world.answer(0, client.at, &signs), "ka");
    let before = world.messages;
    assert_eq!(world.answer(0, client.at, &signs), "ka");
    assert_eq!(world.messages - before, 2, "there and back");
    // It is somewhere else now.
    let moved = Place { at: peer(3), ..client.clone() };
    let told = world.ask(0, moved.at, &format!("rc:{}:{}", client.id, client.key));
    let key = told.iter().find_map(|line| line.strip_prefix(&format!("rID:{}:", client.id)));
    let moved = Place { key: key.unwrap().to_owned(), ..moved };
    world.prove(&moved);
    assert!(world.told(1, host.at).contains(&format!("ep:{}:198.51.3.7:40000", client.id)));
    // What changes is told by its node, and again.
    world.told(0, moved.at);
    world.ask(1, host.at, "rn:uno");
    world.pass(1500);
    assert_eq!(world.told(0, moved.at), ["rn:uno"; 3]);
    let leave = format!("lr:{}", moved.key);
    assert_eq!(world.ask(0, moved.at, &leave), [format!("lr:{}", host.room)]);
    assert_eq!(world.ask(0, moved.at, &leave), [format!("lr:{}", host.room)], "once more");
    assert!(world.told(1, host.at).contains(&format!("cl:{}", client.id)));
    world.pass(31_000);
    assert_eq!(world.answer(0, moved.at, "ka"), "er:ka:noroom");
    // Where no room is, that is said; as it is to who names another game.
    assert_eq!(world.answer(0, peer(4), "jr:0123456789abcdef"), "er:jr:noroom");
    let other = format!("jr:{}:game=G", host.room);
    assert_eq!(world.answer(0, peer(4), &other), "er:jr:noroom");
}

/// A node with a relay at 192.0.2.n+1, if it has any; without dialects if it does nothing else.
fn relaying(n: usize, relay: Option<Bounds>, is_alone: bool) -> Server {
    let cluster = cluster::Config { name: NAMES[n].into(), incarnation: 1 };
    let told = IpAddr::from([192, 0, 2, n as u8 + 1]).into();
    let of = |bounds| sessions::Config { told, is_apart: false, ports: 20_000..=20_063, bounds };
    let config = Config { cluster: Some(cluster), seed: [n as u8; 32], ..Config::default() };
    let dialects = if is_alone { Vec::new() } else { config.dialects.clone() };
    Server::new(Config { relay: relay.map(of), dialects, ..config })
}

#[test]
fn who_fails_is_relayed_by_his_node_by_that_of_the_room_or_by_any() {
    let some = Some(Bounds::default());
    let full = Some(Bounds { sessions_per_address: 0, ..Bounds::default() });
    for (of_client, of_room, alone, want) in [
        (None, None, some, Some(3)),
        (some, some, some, Some(1)),
        (full, some, some, Some(2)),
        (None, some, some, Some(2)),
        (full, full, some, Some(3)),
        (None, None, full, None),
    ] {
        let nodes = vec![
            relaying(0, of_client, false),
            relaying(1, of_room, false),
            relaying(2, alone, true),
        ];
        let mut world = World::with(nodes);
        let host = world.get_in(1, peer(1), "rh:one");
        let client = world.get_in(0, peer(2), &format!("jr:{}", host.room));
        world.told(1, host.at);
        world.told(0, client.at);
        let failed = format!("pc:{}:fail", client.id);
        let told = world.ask(0, client.at, &failed);
        // The host was told of the client a moment ago, and is told the next thing half a second later.
        world.pass(700);
        let of_host = world.told(1, host.at);
        let all = [&told[..], &[String::from("|")], &of_host[..]].concat();
        let [for_client, for_host] =
            [([told, world.told(0, client.at)].concat(), &host.id), (of_host, &client.id)].map(
                |(told, other)| {
                    let line = told.iter().find(|line| line.contains(&format!("{other}:192.0.2.")));
                    line.map(|line| line.rsplit(':').nth(1).unwrap().to_owned())
                },
            );
        let want = want.map(|n| format!("192.0.2.{n}"));
        assert_eq!((&for_client, &for_host), (&want, &want), "{all:?}");
        // How it ended is known as without a relay.
        let journal = world.nodes[1].as_ref().unwrap().journal();
        assert_eq!(journal.total().failed, u64::from(want.is_none()));
        if let Some(want) = want {
            // It is the same for who asks again.
            let told = world.ask(0, client.at, &format!("jr:{}", host.room)).concat();
            assert!(told.contains(&want), "{told}");
        }
    }
}

#[test]
fn private_rooms_of_other_nodes_are_found_by_their_codes() {
    let mut world = World::of(2);
    let told = world.ask(1, peer(1), "rh:one:private");
    let code = told.iter().find(|line| line.starts_with("rh:")).unwrap();
    let code = code.rsplit(':').next().unwrap().to_owned();
    world.pass(20);
    assert_eq!(world.listed(0, ""), Vec::<String>::new());
    world.get_in(0, peer(2), &format!("jr:{code}"));
    // Whoever guesses is counted where he asks, and nobody else is asked.
    let before = world.messages;
    let wrong = if code == "BBBBBB" { "CCCCCC" } else { "BBBBBB" };
    let mut guesses = 0;
    while world.answer(0, peer(3), &format!("jr:{wrong}")) == "er:jr:noroom" {
        guesses += 1;
    }
    assert!((3..100).contains(&guesses), "{guesses}");
    assert_eq!(world.answer(0, peer(3), &format!("jr:{code}")), "er:jr:limit");
    assert_eq!(world.messages, before);
}

#[test]
fn any_room_may_be_one_of_another_node() {
    let mut world = World::of(2);
    let full = world.get_in(1, peer(1), "rh:full:max=2");
    world.get_in(1, peer(2), &format!("jr:{}", full.room));
    world.get_in(1, peer(3), "rh:word:password=p");
    let one = world.get_in(1, peer(4), "rh:one");
    let client = world.get_in(0, peer(5), "qj");
    assert_eq!(client.room, one.room);
    // Who is in one is told of it again.
    let own = world.get_in(0, peer(6), "rh:own");
    let again = world.ask(0, peer(5), "qj");
    assert!(again[0].starts_with(&format!("jr:{}:{}", one.room, client.id)), "{again:?}");
    assert_eq!(world.get_in(0, peer(7), "qj").room, own.room, "the first of the list");
    assert_eq!(world.answer(0, peer(8), "qj:game=G"), "er:qj:noroom");
}

#[test]
fn one_endpoint_has_one_place_at_all_nodes() {
    let mut world = World::of(3);
    let own = world.get_in(0, peer(1), "rh:own");
    let two = world.get_in(1, peer(2), "rh:two");
    let three = world.get_in(2, peer(3), "rh:three");
    let first = world.get_in(0, peer(4), &format!("jr:{}", own.room));
    let second = world.get_in(0, peer(4), &format!("jr:{}", two.room));
    let third = world.get_in(0, peer(4), &format!("jr:{}", three.room));
    // So late that it is no copy of the request that led into this room before.
    world.pass(1500);
    let last = world.get_in(0, peer(4), &format!("jr:{}", own.room));
    world.pass(40_000);
    for (host, gone) in [(&own, &first), (&two, &second), (&three, &third)] {
        let told = world.told(host.node, host.at);
        assert!(told.contains(&format!("cl:{}", gone.id)), "{told:?}");
    }
    assert_eq!(world.ask(0, last.at, "lr"), [format!("lr:{}", own.room)]);
    // A host has its own room.
    assert_eq!(world.answer(0, own.at, &format!("jr:{}", two.room)), "er:jr:badrequest");
}

#[test]
fn nobody_loses_a_place_by_what_others_send_in_his_name() {
    let mut world = World::of(3);
    let one = world.get_in(1, peer(1), "rh:one");
    let two = world.get_in(2, peer(2), "rh:two");
    // It ends its requests with its key.
    let client = world.get_in(0, peer(3), &format!("jr:{}", one.room));
    let signs = format!("ka:{}", client.key);
    assert_eq!(world.answer(0, client.at, &signs), "ka");
    for forged in [format!("jr:{}", two.room), "rh:forged".into(), "lr".into(), "cr".into()] {
        world.ask(0, client.at, &forged);
        assert_eq!(world.answer(0, client.at, &signs), "ka", "{forged}");
    }
    // But it can go: it is offered another place.
    let gone = world.get_in(0, client.at, &format!("jr:{}", two.room));
    assert_eq!(gone.room, two.room);
    assert_eq!(world.answer(0, client.at, &format!("ka:{}", gone.key)), "ka");
    // One that has never ended a request with it learns that somebody has, and comes back with it.
    for forged in [format!("jr:{}", two.room), "rh:forged".into(), "lr".into()] {
        let client = world.get_in(0, peer(4), &format!("jr:{}", one.room));
        world.ask(0, client.at, &forged);
        assert_eq!(world.answer(0, client.at, "ka"), "er:ka:noroom", "{forged}");
        world.prove(&client);
        assert_eq!(world.answer(0, client.at, "ka"), "ka");
        world.pass(2000);
        let told = world.ask(0, client.at, &format!("jr:{}", one.room));
        assert!(told[0].contains(&client.id), "{told:?}");
    }
}

#[test]
fn who_is_kicked_hears_of_it_by_his_node() {
    let mut world = World::of(2);
    let host = world.get_in(1, peer(1), "rh:one");
    let client = world.get_in(0, peer(2), &format!("jr:{}", host.room));
    let kick = format!("kc:id:{}:{}", client.id, host.key);
    assert_eq!(world.answer(1, host.at, &kick), format!("kc:id:{}", client.id));
    assert_eq!(world.told(0, client.at), [format!("kc:{}", host.room)]);
    assert_eq!(world.answer(0, client.at, "ka"), "er:ka:kicked");
    assert_eq!(world.answer(0, client.at, &format!("jr:{}", host.room)), "er:jr:kicked");
    let other = world.get_in(0, peer(3), &format!("jr:{}", host.room));
    world.ask(1, host.at, &format!("kc:ip:198.51.3.7:{}", host.key));
    assert!(world.told(0, other.at).contains(&format!("kc:{}", host.room)));
    assert_eq!(world.answer(0, peer(3), &format!("jr:{}", host.room)), "er:jr:kicked");
}

#[test]
fn a_mesh_reaches_over_nodes_and_its_room_outlives_its_host() {
    let mut world = World::of(3);
    let host = world.get_in(1, peer(1), "rh:one:mesh:migrate");
    let heir = world.get_in(0, peer(2), &format!("jr:{}", host.room));
    let last = world.get_in(2, peer(3), &format!("jr:{}", host.room));
    world.pass(600);
    let told = world.told(0, heir.at);
    assert!(told.contains(&format!("cj:{}:198.51.3.7:40000", last.id)), "{told:?}");
    let told = world.told(2, last.at);
    assert!(told.contains(&format!("cj:{}:198.51.2.7:40000", heir.id)), "{told:?}");
    assert_eq!(world.answer(1, host.at, &format!("lr:{}", host.key)), format!("lr:{}", host.room));
    assert!(world.told(0, heir.at).contains(&format!("nh:{}", heir.id)));
    let told = world.told(2, last.at);
    assert!(told.contains(&format!("nh:{}:198.51.2.7:40000", heir.id)), "{told:?}");
    // The room is where it was; its host is by its own node what any host is.
    world.prove(&heir);
    assert_eq!(world.answer(0, heir.at, &format!("rn:uno:{}", heir.key)), "rn:uno");
    let set = format!("rs:max=3:{}", heir.key);
    assert_eq!(world.answer(0, heir.at, &set), format!("rs:{}", host.room));
    world.pass(20);
    (0..3).for_each(|n| assert_eq!(world.listed(n, ""), ["uno"]));
    let again = world.ask(0, heir.at, "rh:uno");
    assert!(again[0].starts_with(&format!("rh:{}", host.room)), "{again:?}");
    world.get_in(0, peer(4), &format!("jr:{}", host.room));
    assert!(world.told(0, heir.at).iter().any(|line| line.starts_with("cj:")));
    let close = format!("cr:{}", heir.key);
    assert_eq!(world.answer(0, heir.at, &close), format!("cr:{}", host.room));
    world.pass(20);
    (0..3).for_each(|n| assert_eq!(world.listed(n, ""), Vec::<String>::new()));
}

#[test]
fn the_rooms_of_a_node_that_dies_are_gone_and_its_clients_are_found_elsewhere() {
    let mut world = World::of(3);
    let host = world.get_in(1, peer(1), "rh:one");
    let client = world.get_in(0, peer(2), &format!("jr:{}", host.room));
    // It ends with its key whatever it sends.
    for _ in 0..2 {
        assert_eq!(world.answer(0, client.at, &format!("ka:{}", client.key)), "ka");
        world.pass(6000);
    }
    world.told(1, host.at);
    // That of the client. It finds its place again by way of any other.
    world.nodes[0] = None;
    world.pass(5000);
    let told = world.told(1, host.at);
    assert!(!told.contains(&format!("cl:{}", client.id)), "they play on: {told:?}");
    let id = format!("rc:{}:{}", client.id, client.key);
    assert_eq!(world.answer(2, client.at, &id), "er:rc:noroom");
    let told = world.ask(2, client.at, &format!("jr:{}", host.room));
    assert!(told[0].starts_with(&format!("jr:{}:{}", host.room, client.id)), "{told:?}");
    world.told(2, client.at);
    world.ask(1, host.at, "rn:uno");
    assert_eq!(world.told(2, client.at), ["rn:uno"]);
    // That of the room.
    world.pass(20);
    assert_eq!(world.listed(2, ""), ["uno"]);
    world.nodes[1] = None;
    world.pass(5000);
    assert_eq!(world.listed(2, ""), Vec::<String>::new());
    for request in ["ka".into(), id, format!("jr:{}", host.room)] {
        let verb = &request[..2];
        assert_eq!(world.answer(2, client.at, &request), format!("er:{verb}:noroom"));
    }
    // What it has sent goes nowhere, but it can have a room of its own.
    world.get_in(2, client.at, "rh:own");
    assert_eq!(world.listed(2, ""), ["own"]);
}

#[test]
fn a_room_whose_node_was_away_for_a_while_has_its_members() {
    let mut world = World::of(2);
    let host = world.get_in(1, peer(1), "rh:one");
    let client = world.get_in(0, peer(2), &format!("jr:{}", host.room));
    // It stands still.
    let away = world.nodes[1].take();
    world.pass(5000);
    assert_eq!(world.answer(0, client.at, "ka"), "er:ka:noroom");
    world.nodes[1] = away;
    world.pass(2000);
    world.told(0, client.at);
    assert_eq!(world.answer(0, client.at, "ka"), "ka");
    world.prove(&client);
    // Nor does it matter to who has a place at his own node meanwhile.
    let away = world.nodes[1].take();
    world.pass(5000);
    let own = world.get_in(0, client.at, "rh:own");
    world.nodes[1] = away;
    world.pass(2000);
    world.told(0, client.at);
    assert_eq!(world.answer(0, client.at, &format!("rn:new:{}", own.key)), "rn:new");
    let mut listed = world.listed(0, "");
    listed.sort();
    assert_eq!(listed, ["new", "one"]);
}

#[test]
fn nobody_is_sent_more_than_on_one_node() {
    let mut world = World::of(2);
    let host = world.get_in(1, peer(1), "rh:one");
    let lengths = |told: &[String]| told.iter().map(|line| line.len() + 28).sum::<usize>();
    let victim = peer(2);
    let (mut sent, mut got) = (0, 0);
    for n in 0..100 {
        let request = match n % 4 {
            0 | 1 => format!("jr:{}", host.room),
            2 => "ka".into(),
            _ => "rl:more".into(),
        };
        sent += request.len() + 28;
        got += lengths(&world.ask(0, victim, &request));
        world.pass(200);
    }
    got += lengths(&world.told(0, victim));
    // Once a bit more, for a key.
    assert!(got <= 3 * sent + 600, "{got} for {sent}");
}

#[test]
fn a_process_that_takes_over_a_node_knows_by_whom_its_peers_are_reached() {
    let mut world = World::of(2);
    let host = world.get_in(1, peer(1), "rh:one");
    let client = world.get_in(0, peer(2), &format!("jr:{}", host.room));
    world.take_over(1, 2);
    world.pass(1000);
    assert_eq!(world.listed(0, ""), ["one"]);
    world.told(0, client.at);
    assert_eq!(world.answer(1, host.at, "rn:uno"), "rn:uno");
    assert_eq!(world.told(0, client.at), ["rn:uno"], "before it has said anything");
    assert_eq!(world.answer(0, client.at, "ka"), "ka");
}

#[test]
fn a_process_that_takes_over_a_node_has_the_rooms_of_all_at_once() {
    let mut world = World::of(2);
    let hosts = ["one", "two"].map(|name| {
        let from = peer(name.len() as u8 + name.as_bytes()[0]);
        world.get_in(1, from, &format!("rh:{name}"))
    });
    let client = world.get_in(0, peer(2), &format!("jr:{}", hosts[0].room));
    for is_there in [true, false] {
        world.take_over(0, if is_there { 2 } else { 3 });
        assert_eq!(world.listed(0, ""), ["two", "one"], "nothing was heard yet");
        if !is_there {
            world.nodes[1] = None;
        }
        // He need not come back: his own node still knows where his place is.
        let answers = world.ask(0, client.at, "ka");
        assert!(answers.iter().all(|answer| answer == "ka"), "{answers:?}");
        world.pass(3600);
        world.told(0, client.at);
        let left = if is_there { &["two", "one"][..] } else { &[] };
        assert_eq!(world.listed(0, ""), left);
        if is_there {
            assert_eq!(world.answer(0, client.at, "ka"), "ka");
        }
    }
}

#[test]
fn what_a_node_says_is_parsed_like_what_anybody_says() {
    use punchd::cluster::{Cluster, Whom};
    use punchd::dialect::Name;

    let mut world = World::of(2);
    world.get_in(1, peer(1), "rh:one");
    // In place of the first node, somebody who says what he likes.
    world.nodes[0] = None;
    let config = cluster::Config { name: "a".into(), incarnation: 9 };
    let mut evil = Cluster::new(config);
    let mut seen = 0;
    for n in 0..400u32 {
        evil.on_wakeup(world.now);
        let noise: Vec<u8> = (0..n % 97).map(|i| (i * 31 + n * 7) as u8).collect();
        evil.post(world.now, Name::Rooms, Whom::All, &noise);
        // MessagePack of something that is none of the messages, or half of one.
        evil.post(world.now, Name::Rooms, Whom::All, b"\x81\xa1q\x81\xa1a");
        for post in evil.take_posts() {
            world.act(1, |server, now, out| server.on_node_bytes(now, &post.bytes, out));
            seen += 1;
        }
        world.pass(10);
        world.lost.drain(..).for_each(|bytes| evil.on_message(world.now, &bytes));
        while evil.next_event().is_some() {}
    }
    assert!(seen > 400, "{seen}");
    assert_eq!(world.listed(1, ""), ["one"]);
}
