//! Events between nodes, step by step: who is logged in, what peers say to each other, and rooms of other nodes.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a helper that fails is a test that fails")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};

use compat_tests::unplugged_nodes::{Nodes, UnderWay};
use punchd::dialect::ConnId;
use punchd::server::Config;
use serde_json::{Value, json};

mod dying;
mod losses;
mod peers;
mod relayed;
mod rooms;
mod taken_over;

/// A peer: its node, its connection, and its token.
type Peer = (usize, ConnId, String);

/// Nodes with peers that are logged in.
struct World {
    nodes: Nodes,
    /// What they have heard, as far as it was read.
    heard: BTreeMap<(usize, ConnId), Vec<Value>>,
}

impl Deref for World {
    type Target = Nodes;

    fn deref(&self) -> &Nodes {
        &self.nodes
    }
}

impl DerefMut for World {
    fn deref_mut(&mut self) -> &mut Nodes {
        &mut self.nodes
    }
}

impl World {
    fn of(count: usize) -> Self {
        Self::with(vec![Config::default(); count])
    }

    fn with(configs: Vec<Config>) -> Self {
        Self { nodes: Nodes::new(configs), heard: BTreeMap::new() }
    }

    /// Returns what is under way after a peer has said something.
    fn say_alone(&mut self, (n, conn, _): &Peer, what: &Value) -> UnderWay {
        let text = what.to_string();
        self.act_alone(*n, |server, now, out| server.on_bytes(now, *conn, text.as_bytes(), out))
    }

    fn say(&mut self, (n, conn, _): &Peer, what: &Value) {
        self.write(*n, *conn, what.to_string().as_bytes());
        self.pass(3);
    }

    fn gone(&mut self, (n, conn, _): &Peer) {
        self.end(*n, *conn);
        self.pass(3);
    }

    /// What a peer has heard since this was taken out last.
    fn kept(&mut self, (n, conn, _): &Peer) -> &mut Vec<Value> {
        for (by, to, bytes) in self.nodes.written.drain(..) {
            let text = String::from_utf8(bytes).unwrap();
            assert!(text.ends_with('\n'), "{text}");
            let events = text.lines().map(|line| serde_json::from_str(line).unwrap());
            self.heard.entry((by, to)).or_default().extend(events);
        }
        self.heard.entry((*n, *conn)).or_default()
    }

    fn heard(&mut self, peer: &Peer) -> Vec<Value> {
        std::mem::take(self.kept(peer))
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
        let heard = self.kept(peer);
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
        let from = SocketAddr::from((address(self.connections + 1), 4000));
        let mut peer = (n, self.open(n, from), String::new());
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
        let from = SocketAddr::from((address(peer.1.slot), port));
        let data = format!("udp:{}", peer.2);
        self.datagram(peer.0, from, data.as_bytes());
        self.pass(3);
    }
}

/// Where the peer on this connection is: each has an address of its own.
fn address(slot: u32) -> [u8; 4] {
    [203, 0, 113 + (slot >> 8) as u8, slot as u8]
}

fn request(name: &str, id: &str, dest: &str) -> Value {
    json!({"type": "request", "name": name, "data": [1], "request_id": id, "dest": dest})
}
