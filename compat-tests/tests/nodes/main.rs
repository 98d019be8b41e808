//! GMnet between nodes, step by step: what is waited for, and what each side is told.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a helper that fails is a test that fails")]

use std::net::{IpAddr, SocketAddr};
use std::ops::{Deref, DerefMut};

use compat_tests::sim::wire::{self, Message};
use compat_tests::unplugged_nodes::Nodes;
use punchd::dialect::{ConnId, gmnet};
use punchd::server::{Config, Server, State};

mod introductions;
mod moving;
mod networks;
mod paced;
mod predicted;
mod relayed;
mod restarts;
mod waiting;

/// Nodes with hosts and clients.
struct World(Nodes);

impl Deref for World {
    type Target = Nodes;

    fn deref(&self) -> &Nodes {
        &self.0
    }
}

impl DerefMut for World {
    fn deref_mut(&mut self) -> &mut Nodes {
        &mut self.0
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

impl World {
    fn of(configs: Vec<Config>) -> Self {
        Self(Nodes::new(configs))
    }

    fn two() -> Self {
        Self::of(vec![Config::default(); 2])
    }

    fn udp(&mut self, n: usize, from: SocketAddr, word: &[u8]) {
        self.datagram(n, from, &wire::datagram(word));
    }

    fn tcp(&mut self, n: usize, from: IpAddr, bytes: &[u8]) -> ConnId {
        let conn = self.open(n, SocketAddr::new(from, 4000));
        self.write(n, conn, bytes);
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
        let told = self.written.extract_if(.., |(_, to, _)| *to == conn);
        let text = |bytes: &[u8]| match wire::parse(bytes) {
            Some(Message::Introduction(ip, port)) => format!("{ip}:{port}"),
            Some(Message::NotFound) => "no".into(),
            other => format!("{other:?}"),
        };
        told.map(|(.., bytes)| text(&bytes)).collect()
    }

    fn lobby(&mut self, n: usize, viewer: &str) -> Vec<String> {
        let conn = self.tcp(n, ip(viewer), &wire::lobby2());
        let (.., reply) = self.written.iter().find(|(_, to, _)| *to == conn).unwrap();
        let Some(Message::Lobby(json)) = wire::parse(reply) else { panic!("no lobby") };
        let list: Vec<serde_json::Value> = serde_json::from_str(json).unwrap();
        list.iter().map(|host| host["ip"].as_str().unwrap().to_owned()).collect()
    }

    /// The hosts of one game at a node.
    fn lobby_of(&mut self, n: usize, game: &str) -> Vec<String> {
        let strings = "\n\0".repeat(7);
        let ask = format!("lobby2\n\0{game}\n\0{strings}date\n\0DESC\n\0\n\0");
        let conn = self.tcp(n, ip("198.51.100.9"), ask.as_bytes());
        let (.., reply) = self.written.iter().find(|(_, to, _)| *to == conn).unwrap();
        let Some(Message::Lobby(json)) = wire::parse(reply) else { panic!("no lobby") };
        let list: Vec<serde_json::Value> = serde_json::from_str(json).unwrap();
        list.iter().map(|host| host["ip"].as_str().unwrap().to_owned()).collect()
    }
}
