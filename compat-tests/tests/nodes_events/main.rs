//! Events between nodes, step by step: who is logged in, what peers say to each other, and rooms of other nodes.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a helper that fails is a test that fails")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use punchd::clock::{Instant, Now};
use punchd::cluster;
use punchd::dialect::{ConnId, Outbox, Output, Via};
use punchd::server::{Config, Server, State};
use serde_json::{Value, json};

mod losses;
mod peers;
mod relayed;
mod rooms;

const NAMES: [&str; 3] = ["a", "b", "c"];

/// A peer: its node, its connection, and its token.
type Peer = (usize, ConnId, String);

/// Nodes whose messages arrive at once, and what their peers have heard.
struct World {
    nodes: Vec<Option<Server>>,
    now: Instant,
    heard: BTreeMap<(usize, ConnId), Vec<Value>>,
    closed: BTreeSet<(usize, ConnId)>,
    connections: u32,
    /// No message arrives.
    is_cut: bool,
    /// None does from the first of these to the second.
    cuts: BTreeSet<(usize, usize)>,
    /// The next one that has this in it is lost.
    loses: Option<&'static [u8]>,
}

fn server(n: usize, incarnation: u64) -> Server {
    let cluster = Some(cluster::Config { name: NAMES[n].into(), incarnation });
    let seed = [10 * n as u8 + incarnation as u8; 32];
    Server::new(Config { cluster, seed, ..Config::default() })
}

impl World {
    fn of(nodes: usize) -> Self {
        Self::with((0..nodes).map(|n| server(n, 1)).collect())
    }

    fn with(nodes: Vec<Server>) -> Self {
        let mut world = Self {
            nodes: nodes.into_iter().map(Some).collect(),
            now: Instant::from_micros(10_000_000),
            heard: BTreeMap::new(),
            closed: BTreeSet::new(),
            connections: 0,
            is_cut: false,
            cuts: BTreeSet::new(),
            loses: None,
        };
        world.pass(100);
        world
    }

    fn act(&mut self, n: usize, act: impl FnOnce(&mut Server, Now, &mut Outbox)) {
        let under_way = self.act_alone(n, act);
        self.deliver(under_way);
    }

    /// What is under way arrives, and what comes of it.
    fn deliver(&mut self, under_way: Vec<(usize, Vec<u8>)>) {
        let mut under_way = VecDeque::from(under_way);
        while let Some((to, bytes)) = under_way.pop_front() {
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
            match output {
                Output::Tcp(conn, bytes) => {
                    assert_ne!(conn.slot, u32::MAX, "written to one who is not here");
                    let text = String::from_utf8(bytes.to_vec()).unwrap();
                    assert!(text.ends_with('\n'), "{text}");
                    let events = text.lines().map(|line| serde_json::from_str(line).unwrap());
                    self.heard.entry((n, conn)).or_default().extend(events);
                }
                Output::Close(conn) => assert!(self.closed.insert((n, conn)), "closed twice"),
                Output::Udp(..) => {}
            }
        }
        let mut posts = Vec::new();
        for post in server.take_posts() {
            let is_for = |to: &usize| post.to.as_ref().is_none_or(|name| **name == *NAMES[*to]);
            let has = |part: &'static [u8]| post.bytes.windows(part.len()).any(|at| at == part);
            if self.loses.take_if(|part| has(part)).is_some() {
                continue;
            }
            let is_open = |to: &usize| !self.is_cut && !self.cuts.contains(&(n, *to));
            let others = (0..self.nodes.len()).filter(|to| *to != n && is_open(to));
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

    /// A new process goes on in place of a node.
    fn take_over(&mut self, n: usize) {
        let under_way = self.take_over_alone(n);
        self.deliver(under_way);
    }

    /// The same; returns what it has to say.
    fn take_over_alone(&mut self, n: usize) -> Vec<(usize, Vec<u8>)> {
        let saved = self.nodes[n].as_ref().unwrap().save().encode();
        let mut state = State::decode(&saved).unwrap();
        self.nodes[n] = Some(server(n, 2));
        self.act_alone(n, |server, now, out| _ = server.load(now, &mut state, out).unwrap())
    }

    /// Returns what is under way after a peer has said something.
    fn say_alone(&mut self, (n, conn, _): &Peer, what: &Value) -> Vec<(usize, Vec<u8>)> {
        let text = what.to_string();
        self.act_alone(*n, |server, now, out| server.on_bytes(now, *conn, text.as_bytes(), out))
    }

    fn open(&mut self, n: usize, from: [u8; 4]) -> Peer {
        self.connections += 1;
        let conn = ConnId { slot: self.connections, generation: self.connections };
        let from = SocketAddr::new(IpAddr::from(from), 4000);
        self.act(n, |server, now, out| server.on_accept(now, || now.instant, conn, from, out));
        (n, conn, String::new())
    }

    fn say(&mut self, (n, conn, _): &Peer, what: &Value) {
        let text = what.to_string();
        self.act(*n, |server, now, out| server.on_bytes(now, *conn, text.as_bytes(), out));
        self.pass(3);
    }

    fn gone(&mut self, (n, conn, _): &Peer) {
        self.act(*n, |server, now, out| server.on_gone(now, *conn, out));
        self.pass(3);
    }

    /// What a peer has heard since this was asked last.
    fn heard(&mut self, (n, conn, _): &Peer) -> Vec<Value> {
        self.heard.remove(&(*n, *conn)).unwrap_or_default()
    }

    /// The names of that, in order.
    fn names(&mut self, peer: &Peer) -> Vec<String> {
        let heard = self.heard(peer);
        heard.iter().map(|event| event["name"].as_str().unwrap_or("").to_owned()).collect()
    }

    /// The only event that a peer has heard of this name; the others are lost.
    fn hears(&mut self, peer: &Peer, name: &str) -> Value {
        let heard = self.heard(peer);
        let mut found = heard.iter().filter(|event| event["name"] == name);
        let event = found.next().unwrap_or_else(|| panic!("no {name} in {heard:?}")).clone();
        assert_eq!(found.count(), 0, "{heard:?}");
        event["data"].clone()
    }

    /// A request to the server; what is heard with its answer is kept.
    fn ask(&mut self, peer: &Peer, name: &str, data: Value) -> Result<Value, String> {
        let request = json!({"type": "request", "name": name, "data": data, "request_id": "mine"});
        self.say(peer, &request);
        let heard = self.heard.entry((peer.0, peer.1)).or_default();
        let is_answer = |event: &Value| event["type"] == "response";
        let at = heard.iter().position(is_answer);
        let answer = heard.remove(at.unwrap_or_else(|| panic!("no answer to {name}: {heard:?}")));
        assert_eq!((&answer["request_id"], &answer["name"]), (&json!("mine"), &json!(name)));
        match answer["error"]["code"].as_str() {
            Some(code) => Err(code.to_owned()),
            None => Ok(answer["data"].clone()),
        }
    }

    fn try_login(&mut self, n: usize, id: &str, more: &Value) -> (Peer, Result<Value, String>) {
        let mut peer = self.open(n, [203, 0, 113, self.connections as u8 + 1]);
        let mut data = json!({"id": id, "game": "chess"});
        data.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let told = self.ask(&peer, "login", data);
        if let Ok(told) = &told {
            peer.2 = told["udp_token"].as_str().unwrap().to_owned();
        }
        (peer, told)
    }

    fn login(&mut self, n: usize, id: &str) -> Peer {
        let (peer, told) = self.try_login(n, id, &json!({}));
        told.unwrap();
        peer
    }

    fn room(&mut self, host: &Peer, data: Value) -> String {
        let told = self.ask(host, "create_room", data).unwrap();
        self.heard(host);
        told["room"].as_str().unwrap().to_owned()
    }

    fn list(&mut self, peer: &Peer, data: Value) -> Vec<Value> {
        self.ask(peer, "list_rooms", data).unwrap()["rooms"].as_array().unwrap().clone()
    }

    /// A peer shows its game socket, at the address of its connection.
    fn socket(&mut self, peer: &Peer, port: u16) {
        let from = SocketAddr::from(([203, 0, 113, peer.1.slot as u8], port));
        let data = format!("udp:{}", peer.2);
        let act = |server: &mut Server, now, out: &mut Outbox| {
            server.on_datagram(now, Via::default(), from, data.as_bytes(), out);
        };
        self.act(peer.0, act);
        self.pass(3);
    }
}

fn request(name: &str, id: &str, dest: &str) -> Value {
    json!({"type": "request", "name": name, "data": [1], "request_id": id, "dest": dest})
}
