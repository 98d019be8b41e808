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
}

fn server(n: usize, incarnation: u64) -> Server {
    let cluster = Some(cluster::Config { name: NAMES[n].into(), incarnation });
    let seed = [10 * n as u8 + incarnation as u8; 32];
    Server::new(Config { cluster, seed, ..Config::default() })
}

impl World {
    fn of(nodes: usize) -> Self {
        let mut world = Self {
            nodes: (0..nodes).map(|n| Some(server(n, 1))).collect(),
            now: Instant::from_micros(10_000_000),
            heard: BTreeMap::new(),
            closed: BTreeSet::new(),
            connections: 0,
            is_cut: false,
        };
        world.pass(100);
        world
    }

    fn act(&mut self, n: usize, act: impl FnOnce(&mut Server, Now, &mut Outbox)) {
        let mut under_way = VecDeque::from(self.act_alone(n, act));
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
            let others = (0..self.nodes.len()).filter(|to| *to != n && !self.is_cut);
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
        let saved = self.nodes[n].as_ref().unwrap().save().encode();
        let mut state = State::decode(&saved).unwrap();
        self.nodes[n] = Some(server(n, 2));
        self.act(n, |server, now, out| _ = server.load(now, &mut state, out).unwrap());
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

#[test]
fn an_id_is_taken_at_all_nodes() {
    let mut world = World::of(3);
    let bob = world.login(0, "bob");
    for n in 0..3 {
        assert_eq!(world.try_login(n, "bob", &json!({})).1, Err("id_taken".into()), "{n}");
        let other = world.try_login(n, "bob", &json!({"game": format!("go {n}")}));
        assert!(other.1.is_ok(), "{n}");
    }
    world.gone(&bob);
    let bob = world.login(2, "bob");
    assert_eq!(world.try_login(0, "bob", &json!({})).1, Err("id_taken".into()));
    // A node that comes is told of all.
    world.nodes[1] = Some(server(1, 2));
    world.pass(700);
    assert_eq!(world.try_login(1, "bob", &json!({})).1, Err("id_taken".into()));
    assert!(world.closed.is_empty());
    // One that says nothing when its ID is wanted is gone.
    world.pass(4000);
    assert_eq!(world.try_login(0, "bob", &json!({})).1, Err("id_taken".into()));
    assert!(world.closed.contains(&(bob.0, bob.1)));
    world.login(0, "bob");
}

#[test]
fn of_two_logins_the_older_stays() {
    let mut world = World::of(3);
    world.is_cut = true;
    world.pass(4000);
    let first = world.login(0, "bob");
    world.pass(1500);
    let second = world.login(1, "bob");
    let friend = world.login(1, "amy");
    let room = world.room(&second, json!({"name": "r"}));
    world.ask(&friend, "join_room", json!({"room": room})).unwrap();
    world.heard(&friend);
    world.is_cut = false;
    world.pass(1500);
    assert_eq!(world.closed, BTreeSet::from([(second.0, second.1)]));
    assert_eq!(world.hears(&second, "error")["code"], "id_taken");
    assert_eq!(world.names(&friend), ["room_deleted", "self_left"]);
    // The one that is left is the one that all write to.
    for n in 0..3 {
        let other = world.login(n, &format!("other {n}"));
        world.say(&other, &json!({"type": "pass", "name": "hi", "dest": "bob"}));
        assert_eq!(world.heard(&first)[0]["from"], json!(format!("other {n}")));
    }
}

#[test]
fn who_comes_back_to_another_node_with_its_secret_is_let_in() {
    let mut world = World::of(3);
    let (old, told) = world.try_login(0, "bob", &json!({"keep": true}));
    let told = told.unwrap();
    let secret = json!({"secret": told["secret"]});
    let room = world.room(&old, json!({"name": "r"}));
    let wrong = json!({"secret": "00112233445566778899aabbccddeeff"});
    assert_eq!(world.try_login(1, "bob", &wrong).1, Err("id_taken".into()));
    let (new, told) = world.try_login(1, "bob", &secret);
    let told = told.unwrap();
    assert_eq!((told.get("resumed"), &told["secret"]), (None, &secret["secret"]));
    assert_eq!(world.closed, BTreeSet::from([(0, old.1)]));
    assert_eq!(world.hears(&old, "error")["code"], "resumed");
    assert_eq!(world.list(&new, json!({})), Vec::<Value>::new(), "its room is gone: {room}");
    let other = world.login(2, "amy");
    world.say(&other, &json!({"type": "pass", "name": "hi", "dest": "bob"}));
    assert_eq!(world.names(&new), ["hi"]);
}

#[test]
fn events_find_peers_of_other_nodes_and_answers_come_back() {
    let mut world = World::of(2);
    let (amy, bob) = (world.login(0, "amy"), world.login(1, "bob"));
    for n in 0..5 {
        world.say(&amy, &json!({"type": "pass", "name": n.to_string(), "dest": "bob", "x": [n]}));
    }
    let heard = world.heard(&bob);
    assert_eq!(heard.len(), 5);
    for (n, event) in heard.iter().enumerate() {
        let want = json!({"type": "pass", "name": n.to_string(), "x": [n], "from": "amy"});
        assert_eq!(*event, want);
    }
    world.say(&amy, &request("q", "7", "bob"));
    let asked = world.heard(&bob).remove(0);
    assert_eq!((&asked["from"], &asked["data"]), (&json!("amy"), &json!([1])));
    assert_ne!(asked["request_id"], "7");
    let answer = json!({"type": "response", "data": "yes", "request_id": asked["request_id"]});
    world.say(&bob, &answer);
    world.say(&bob, &answer);
    let answer = json!({"type": "response", "data": "yes", "request_id": "7", "from": "bob"});
    assert_eq!(world.heard(&amy), [answer]);
    let confirm = json!({"type": "confirm_pass", "name": "c", "pass_id": 3, "dest": "bob"});
    world.say(&amy, &confirm);
    let asked = world.heard(&bob).remove(0);
    world.say(&bob, &json!({"type": "confirm_pass", "pass_id": asked["pass_id"]}));
    assert_eq!(world.heard(&amy), [json!({"type": "confirm_pass", "pass_id": 3, "from": "bob"})]);
    // What is not answered in time.
    world.say(&amy, &request("q", "8", "bob"));
    world.pass(31_000);
    let failed = world.heard(&amy);
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!(
        (&failed[0]["error"]["code"], &failed[0]["request_id"]),
        (&json!("timeout"), &json!("8"))
    );
    // Whoever leaves before.
    world.say(&amy, &request("q", "9", "bob"));
    world.gone(&bob);
    let failed = world.heard(&amy);
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!(failed[0]["error"]["code"], "peer_left");
    world.say(&amy, &request("q", "10", "bob"));
    assert_eq!(world.heard(&amy)[0]["error"]["code"], "no_such_peer");
}

#[test]
fn who_does_not_read_is_busy_for_those_of_other_nodes() {
    let mut world = World::of(2);
    let (amy, bob) = (world.login(0, "amy"), world.login(1, "bob"));
    let unread = |server: &mut Server, bob: &Peer, bytes| server.on_unread(bob.1, bytes);
    world.act(1, |server, _, _| unread(server, &bob, 600 * 1024));
    world.say(&amy, &request("q", "1", "bob"));
    let failed = world.heard(&amy);
    assert_eq!((failed.len(), &failed[0]["error"]["code"]), (1, &json!("busy")));
    assert_eq!(world.heard(&bob), Vec::<Value>::new());
}

#[test]
fn rooms_of_other_nodes_are_listed_and_watched() {
    let mut world = World::of(3);
    let (amy, bob) = (world.login(0, "amy"), world.login(1, "bob"));
    let viewer = world.login(2, "viewer");
    world.ask(&viewer, "watch_rooms", json!({})).unwrap();
    let first = world.room(&amy, json!({"name": "first", "data": {"map": "a"}, "password": "x"}));
    let second =
        world.room(&bob, json!({"name": "second", "max_players": 2, "data": {"map": "b"}}));
    world.pass(1100);
    let mut told = BTreeSet::new();
    for event in world.heard(&viewer) {
        let rooms = event["data"]["rooms"].as_array().unwrap().clone();
        told.extend(rooms.iter().map(|room| room["room"].as_str().unwrap().to_owned()));
    }
    assert_eq!(told, BTreeSet::from([first.clone(), second.clone()]));
    let list = world.list(&viewer, json!({}));
    assert_eq!(list, world.list(&amy, json!({})));
    assert_eq!(list, world.list(&bob, json!({})));
    let found = world.list(&viewer, json!({"filter": {"map": "a"}}));
    let want = json!({"room": first, "name": "first", "host": "amy", "players": 1,
                      "max_players": 64, "password": true, "data": {"map": "a"}});
    assert_eq!(found, [want]);
    let page = world.ask(&viewer, "list_rooms", json!({"limit": 1, "sort": "newest"})).unwrap();
    assert_eq!((&page["rooms"][0]["room"], &page["more"]), (&json!(second), &json!(true)));
    let after = json!({"limit": 1, "sort": "newest", "after": second});
    assert_eq!(world.list(&viewer, after)[0]["room"], json!(first));
    // What changes.
    world.ask(&bob, "update_room", json!({"name": "2nd"})).unwrap();
    let third = world.login(0, "carl");
    world.ask(&third, "join_room", json!({"room": second})).unwrap();
    assert_eq!(world.list(&viewer, json!({"free": true})).len(), 1);
    let found = world.list(&viewer, json!({"filter": {"map": "b"}}));
    assert_eq!((&found[0]["name"], &found[0]["players"]), (&json!("2nd"), &json!(2)));
    world.gone(&amy);
    world.pass(1100);
    let gone = world.heard(&viewer);
    assert!(gone.iter().any(|event| event["data"]["gone"] == json!([first])), "{gone:?}");
    // A node that is killed.
    world.nodes[1] = None;
    world.pass(4500);
    assert_eq!(world.list(&viewer, json!({})), Vec::<Value>::new());
    let gone = world.heard(&viewer);
    assert!(gone.iter().any(|event| event["data"]["gone"] == json!([second])), "{gone:?}");
    assert_eq!(world.names(&third)[1..], ["room_deleted", "self_left"]);
    assert!(world.ask(&third, "create_room", json!({"name": "own"})).is_ok(), "it is in no room");
}

#[test]
fn a_room_is_joined_from_another_node_and_all_in_it_hear_of_it() {
    let mut world = World::of(3);
    let (amy, bob, carl) = (world.login(0, "amy"), world.login(1, "bob"), world.login(2, "carl"));
    let room = world.room(&amy, json!({"name": "r", "data": {"map": "a"}}));
    let told = world.ask(&bob, "join_room", json!({"room": room, "odd": 1})).unwrap();
    let want = json!({"room": room, "host": "amy", "players": ["amy", "bob"], "data": {"map": "a"},
                      "ignored": ["odd"]});
    assert_eq!(told, want);
    assert_eq!(world.hears(&bob, "self_joined"), json!({"room": room, "id": "bob"}));
    assert_eq!(world.hears(&amy, "player_joined"), json!({"room": room, "id": "bob"}));
    assert_eq!(world.ask(&bob, "create_room", json!({"name": "x"})), Err("in_room".into()));
    assert_eq!(world.ask(&bob, "join_room", json!({"room": room})), Err("in_room".into()));
    let quick = world.ask(&carl, "quick_join", json!({"filter": {"map": "a"}})).unwrap();
    assert_eq!((&quick["room"], &quick["name"]), (&json!(room), &json!("r")));
    assert_eq!(world.hears(&bob, "player_joined")["id"], "carl");
    world.heard(&amy);
    world.heard(&carl);
    world.ask(&amy, "update_room", json!({"locked": true})).unwrap();
    for member in [&bob, &carl] {
        assert_eq!(world.hears(member, "room_updated"), json!({"room": room, "locked": true}));
    }
    assert_eq!(world.ask(&bob, "update_room", json!({"locked": false})), Err("not_host".into()));
    assert_eq!(world.ask(&bob, "kick", json!({"id": "carl"})), Err("not_host".into()));
    assert_eq!(world.ask(&bob, "delete_room", json!({"room": room})), Err("not_host".into()));
    // Somebody leaves, is kicked, and is let in again.
    world.ask(&carl, "leave_room", json!({})).unwrap();
    assert_eq!(world.hears(&carl, "self_left")["reason"], "left");
    assert_eq!(
        world.hears(&bob, "player_left"),
        json!({"room": room, "id": "carl", "reason": "left"})
    );
    assert_eq!(world.ask(&carl, "leave_room", json!({})), Err("not_in_room".into()));
    assert_eq!(world.ask(&carl, "join_room", json!({"room": room})), Err("locked".into()));
    world.ask(&amy, "update_room", json!({"locked": false, "password": "x"})).unwrap();
    assert_eq!(world.ask(&carl, "join_room", json!({"room": room})), Err("bad_key".into()));
    let key = json!({"room": room, "password": "x"});
    world.ask(&carl, "join_room", key.clone()).unwrap();
    world.heard(&carl);
    world.ask(&amy, "kick", json!({"id": "carl"})).unwrap();
    assert_eq!(world.hears(&carl, "self_left")["reason"], "kicked");
    assert_eq!(world.ask(&carl, "join_room", key.clone()), Err("kicked".into()));
    world.ask(&amy, "let_in", json!({"id": "carl"})).unwrap();
    world.ask(&carl, "join_room", key).unwrap();
    // One whose connection ends, and one whose node does.
    world.heard(&amy);
    world.gone(&bob);
    assert_eq!(world.hears(&amy, "player_left")["reason"], "disconnected");
    world.nodes[2] = None;
    world.pass(4500);
    assert_eq!(world.hears(&amy, "player_left")["id"], "carl");
    world.say(&amy, &request("q", "1", "carl"));
    assert_eq!(world.heard(&amy)[0]["error"]["code"], "no_such_peer");
    assert_eq!(world.list(&amy, json!({}))[0]["players"], 1);
}

#[test]
fn a_private_room_of_another_node_is_joined_by_its_code() {
    let mut world = World::of(2);
    let (amy, bob) = (world.login(0, "amy"), world.login(1, "bob"));
    let told = world.ask(&amy, "create_room", json!({"name": "r", "private": true})).unwrap();
    assert_eq!(world.list(&bob, json!({})), Vec::<Value>::new());
    assert_eq!(world.ask(&bob, "join_room", json!({"code": "BBBBBB"})), Err("no_such_room".into()));
    let joined = world.ask(&bob, "join_room", json!({"code": told["code"]})).unwrap();
    assert_eq!(joined["room"], told["room"]);
    world.heard(&bob);
    world.ask(&amy, "delete_room", json!({"room": told["room"]})).unwrap();
    assert_eq!(world.names(&bob), ["room_deleted", "self_left"]);
    assert_eq!(
        world.ask(&bob, "join_room", json!({"code": told["code"]})),
        Err("no_such_room".into())
    );
    assert!(world.ask(&bob, "create_room", json!({"name": "own"})).is_ok());
}

#[test]
fn a_member_at_another_node_becomes_the_host() {
    let mut world = World::of(2);
    let (amy, bob, carl) = (world.login(0, "amy"), world.login(1, "bob"), world.login(1, "carl"));
    let room = world.room(&amy, json!({"name": "r", "migrate": true}));
    for peer in [&bob, &carl] {
        world.ask(peer, "join_room", json!({"room": room})).unwrap();
    }
    world.heard(&carl);
    world.gone(&amy);
    assert_eq!(world.hears(&carl, "host_changed"), json!({"room": room, "id": "bob"}));
    assert_eq!(world.list(&carl, json!({}))[0]["host"], "bob");
    world.ask(&bob, "update_room", json!({"name": "new"})).unwrap();
    assert_eq!(world.hears(&carl, "room_updated")["name"], "new");
    world.ask(&bob, "delete_room", json!({"room": room})).unwrap();
    assert_eq!(world.names(&carl), ["room_deleted", "self_left"]);
}

#[test]
fn members_of_two_nodes_are_introduced() {
    let mut world = World::of(2);
    let (amy, bob) = (world.login(0, "amy"), world.login(1, "bob"));
    let room = world.room(&amy, json!({"name": "r"}));
    world.socket(&amy, 2000);
    let local = json!({"local": [{"ip": "192.168.1.7", "port": 2000}]});
    world.ask(&amy, "local_endpoints", local).unwrap();
    world.ask(&bob, "join_room", json!({"room": room})).unwrap();
    assert_eq!(world.names(&bob), ["self_joined"], "its game socket is not known");
    world.heard(&amy);
    world.socket(&bob, 3000);
    let (to_amy, to_bob) = (world.hears(&amy, "introduce"), world.hears(&bob, "introduce"));
    let want = json!([format!("203.0.113.{}", bob.1.slot), 3000, "bob"]);
    assert_eq!(json!([to_amy["ip"], to_amy["port"], to_amy["id"]]), want);
    let want = json!([format!("203.0.113.{}", amy.1.slot), 2000, "amy"]);
    assert_eq!(json!([to_bob["ip"], to_bob["port"], to_bob["id"]]), want);
    assert!(to_amy["nonce"].is_string() && to_amy["nonce"] == to_bob["nonce"]);
    assert_eq!(to_bob["local"], json!([]), "they have different addresses");
    let result = json!({"type": "confirm_pass", "name": "punch_result", "pass_id": 4,
                        "data": {"id": "amy", "ok": true}});
    world.say(&bob, &result);
    assert_eq!(world.heard(&bob), [json!({"type": "confirm_pass", "pass_id": 4})]);
    // The endpoint of one changes.
    world.pass(1500);
    world.socket(&bob, 3001);
    assert_eq!(world.hears(&amy, "introduce")["port"], 3001);
}

#[test]
fn who_comes_back_to_its_node_is_still_in_its_room_at_another() {
    let mut world = World::of(2);
    let amy = world.login(0, "amy");
    let (bob, told) = world.try_login(1, "bob", &json!({"keep": true}));
    let secret = told.unwrap()["secret"].clone();
    let room = world.room(&amy, json!({"name": "r", "data": {"map": "a"}}));
    world.ask(&bob, "join_room", json!({"room": room})).unwrap();
    world.gone(&bob);
    world.say(&amy, &json!({"type": "pass", "name": "hi", "dest": "bob"}));
    let (bob, told) = world.try_login(1, "bob", &json!({"secret": secret}));
    let told = told.unwrap();
    assert_eq!((&told["resumed"], &told["room"]), (&json!(true), &json!(room)));
    assert_eq!((&told["players"], &told["data"]), (&json!(["amy", "bob"]), &json!({"map": "a"})));
    assert_eq!(world.names(&bob), ["hi"], "what it has missed");
    world.ask(&amy, "update_room", json!({"name": "new"})).unwrap();
    assert_eq!(world.hears(&bob, "room_updated")["name"], "new");
    world.ask(&bob, "leave_room", json!({})).unwrap();
}

#[test]
fn after_a_partition_nobody_is_in_a_room_that_does_not_know_it() {
    let mut world = World::of(2);
    let (amy, bob) = (world.login(0, "amy"), world.login(1, "bob"));
    let room = world.room(&amy, json!({"name": "r"}));
    world.ask(&bob, "join_room", json!({"room": room})).unwrap();
    world.heard(&amy);
    world.heard(&bob);
    // A node that has begun anew knows nothing of it.
    world.is_cut = true;
    world.pass(4500);
    assert_eq!(world.names(&bob), ["room_deleted", "self_left"]);
    assert_eq!(world.hears(&amy, "player_left")["id"], "bob");
    world.is_cut = false;
    world.pass(1500);
    assert_eq!(world.list(&bob, json!({}))[0]["players"], 1);
    world.ask(&bob, "join_room", json!({"room": room})).unwrap();
    world.heard(&bob);
    world.nodes[0] = Some(server(0, 2));
    world.pass(1500);
    assert_eq!(world.names(&bob), ["room_deleted", "self_left"]);
    assert_eq!(world.list(&bob, json!({})), Vec::<Value>::new());
    // A short gap is made up for.
    let amy = world.login(0, "amy");
    let room = world.room(&amy, json!({"name": "r"}));
    world.ask(&bob, "join_room", json!({"room": room})).unwrap();
    world.heard(&bob);
    world.is_cut = true;
    world.ask(&amy, "update_room", json!({"name": "lost"})).unwrap();
    world.pass(500);
    world.is_cut = false;
    world.pass(2000);
    assert_eq!(world.list(&bob, json!({}))[0]["name"], "lost");
    world.ask(&bob, "leave_room", json!({})).unwrap();
    assert_eq!(world.hears(&amy, "player_left")["id"], "bob");
}

#[test]
fn a_process_takes_over_and_members_at_other_nodes_stay() {
    for n in 0..2 {
        let mut world = World::of(2);
        let (amy, bob) = (world.login(0, "amy"), world.login(1, "bob"));
        let room = world.room(&amy, json!({"name": "r"}));
        world.ask(&bob, "join_room", json!({"room": room})).unwrap();
        world.heard(&amy);
        world.heard(&bob);
        world.take_over(n);
        world.pass(7000);
        assert_eq!((world.names(&amy), world.names(&bob)), (vec![], vec![]), "{n}");
        world.ask(&amy, "update_room", json!({"name": "new"})).unwrap();
        assert_eq!(world.hears(&bob, "room_updated")["name"], "new");
        world.say(&bob, &json!({"type": "pass", "name": "hi", "dest": "amy"}));
        assert_eq!(world.names(&amy), ["hi"]);
        world.ask(&bob, "leave_room", json!({})).unwrap();
        assert_eq!(world.hears(&amy, "player_left")["id"], "bob");
    }
}
