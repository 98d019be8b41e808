//! natpunch between nodes, step by step: who is introduced to whom, and lobbies whose members are at several nodes.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a helper that fails is a test that fails")]

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use prost::Message as _;
use punchd::clock::{Instant, Now};
use punchd::cluster;
use punchd::dialect::natpunch::message::{
    ConnectRequest, ConnectionInstruction, Content, CreateLobbyRequest, Endpoint, JoinLobbyRequest,
    JoinLobbySuccess, KeepAlive, LeaveLobbyRequest, LobbyInfo, LobbyListRequest, Message,
    PeerConnectionReady, RegisterRequest,
};
use punchd::dialect::{Outbox, Output, Via};
use punchd::server::{Config, Server, State};

mod garbage;
mod lobbies;
mod meeting;
mod moving;
mod relayed;

const NAMES: [&str; 3] = ["a", "b", "c"];

/// What comes of messages between nodes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Net {
    /// They arrive at once.
    Fine,
    /// None from or to this node.
    Cut(usize),
    /// One in forty is lost, comes twice, or late.
    Bad(u64),
}

/// Nodes and what their clients were told.
struct World {
    nodes: Vec<Option<Server>>,
    now: Instant,
    /// By which node, whom, and what.
    said: Vec<(usize, SocketAddr, Content)>,
    /// Who sends a sign of life each second.
    alive: Vec<Client>,
    messages: usize,
    /// Those for nodes that are not there.
    lost: Vec<Vec<u8>>,
    net: Net,
    late: Vec<(Instant, usize, Vec<u8>)>,
}

/// A client, which speaks to this node.
#[derive(Clone, Debug, PartialEq)]
struct Client {
    node: usize,
    at: SocketAddr,
    id: String,
}

/// Each of an address of its own.
fn at(n: u8) -> SocketAddr {
    SocketAddr::from(([198, 51, n, 7], 40_000))
}

fn node(n: usize, incarnation: u64, config: Config) -> Server {
    let cluster = cluster::Config { name: NAMES[n].into(), incarnation };
    let seed = [n as u8 + 10 * incarnation as u8; 32];
    Server::new(Config { cluster: Some(cluster), seed, ..config })
}

impl World {
    fn of(count: usize) -> Self {
        Self::with((0..count).map(|_| Config::default()).collect())
    }

    fn with(configs: Vec<Config>) -> Self {
        let nodes = configs.into_iter().enumerate().map(|(n, config)| Some(node(n, 1, config)));
        let mut world = Self {
            nodes: nodes.collect(),
            now: Instant::from_micros(10_000_000),
            said: Vec::new(),
            alive: Vec::new(),
            messages: 0,
            lost: Vec::new(),
            net: Net::Fine,
            late: Vec::new(),
        };
        world.pass(100);
        world
    }

    fn act(&mut self, n: usize, act: impl FnOnce(&mut Server, Now, &mut Outbox)) {
        let posts = self.act_alone(n, act);
        let mut under_way = VecDeque::new();
        self.post(n, posts, &mut under_way);
        self.deliver(under_way);
    }

    fn deliver(&mut self, mut under_way: VecDeque<(usize, Vec<u8>)>) {
        while let Some((to, bytes)) = under_way.pop_front() {
            let posts = self.hear(to, &bytes);
            self.post(to, posts, &mut under_way);
        }
    }

    fn hear(&mut self, to: usize, bytes: &[u8]) -> Vec<(usize, Vec<u8>)> {
        self.messages += 1;
        if self.nodes[to].is_none() {
            self.lost.push(bytes.into());
        }
        self.act_alone(to, |server, now, out| server.on_node_bytes(now, bytes, out))
    }

    fn post(
        &mut self,
        from: usize,
        posts: Vec<(usize, Vec<u8>)>,
        way: &mut VecDeque<(usize, Vec<u8>)>,
    ) {
        for (to, bytes) in posts {
            match &mut self.net {
                Net::Cut(n) if *n == from || *n == to => {}
                Net::Fine | Net::Cut(_) => way.push_back((to, bytes)),
                Net::Bad(seed) => {
                    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    match *seed >> 33 & 127 {
                        0 => {}
                        1 => way.extend([(to, bytes.clone()), (to, bytes)]),
                        2 => self.late.push((self.now + Duration::from_millis(300), to, bytes)),
                        _ => way.push_back((to, bytes)),
                    }
                }
            }
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
                assert!(bytes.len() <= 1024);
                self.said.push((n, to, Message::decode(bytes).unwrap().content.unwrap()));
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
            let is_second = self.now.micros().is_multiple_of(1_000_000);
            for client in self.alive.clone().into_iter().filter(|_| is_second) {
                self.keep_alive(&client);
            }
            let late = std::mem::take(&mut self.late);
            let (due, late) = late.into_iter().partition(|(at, ..)| *at <= self.now);
            self.late = late;
            for (_, to, bytes) in due {
                self.act(to, |server, now, out| server.on_node_bytes(now, &bytes, out));
            }
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
        self.nodes[n] = Some(node(n, incarnation, Config::default()));
        self.act(n, |server, now, out| _ = server.load(now, &mut state, out).unwrap());
    }

    fn send(&mut self, n: usize, from: SocketAddr, content: Content) {
        let data = Message { content: Some(content) }.encode_to_vec();
        self.act(n, |server, now, out| server.on_datagram(now, Via::default(), from, &data, out));
    }

    fn keep_alive(&mut self, client: &Client) {
        let request = KeepAlive { client_id: client.id.clone() };
        self.send(client.node, client.at, Content::KeepAlive(request));
    }

    /// What a client was told since this was asked last, all by this node.
    fn told(&mut self, client: &Client) -> Vec<Content> {
        let mut told = Vec::new();
        self.said.retain(|(by, to, content)| {
            if *to == client.at {
                assert_eq!(*by, client.node, "{content:?} to {to}");
                told.push(content.clone());
            }
            *to != client.at
        });
        told
    }

    /// What these were told does not matter.
    fn skip(&mut self, clients: &[&Client]) {
        clients.iter().for_each(|client| drop(self.told(client)));
    }

    fn register_only(&mut self, n: usize, from: SocketAddr, game: &str) -> Client {
        let local_endpoint = Some(Endpoint { ip_address: "192.168.1.9".into(), port: 7777 });
        let (game, key) = (game.into(), String::new());
        let request = RegisterRequest { local_endpoint, game, key };
        self.send(n, from, Content::RegisterRequest(request));
        let mut client = Client { node: n, at: from, id: String::new() };
        let told = self.told(&client);
        let [Content::RegisterResponse(response)] = &told[..] else { panic!("{told:?}") };
        client.id.clone_from(&response.client_id);
        client
    }

    /// A client that shows its ID.
    fn client_of(&mut self, n: usize, from: SocketAddr, game: &str) -> Client {
        let client = self.register_only(n, from, game);
        self.keep_alive(&client);
        self.alive.push(client.clone());
        self.pass(20);
        client
    }

    fn client(&mut self, n: usize, from: SocketAddr) -> Client {
        self.client_of(n, from, "")
    }

    fn dies(&mut self, client: &Client) {
        self.alive.retain(|other| other != client);
    }

    fn create(&mut self, host: &Client, name: &str, max_players: u32) -> String {
        self.told(host);
        let (lobby_name, client_id) = (name.into(), host.id.clone());
        let request = CreateLobbyRequest { lobby_name, client_id, max_players };
        self.send(host.node, host.at, Content::CreateLobbyRequest(request));
        let told = self.told(host);
        let [Content::CreateLobbyResponse(response)] = &told[..] else { panic!("{told:?}") };
        self.pass(20);
        response.lobby_id.clone()
    }

    fn ask_to_join(&mut self, client: &Client, lobby: &str) {
        let (lobby_id, client_id) = (lobby.into(), client.id.clone());
        let request = JoinLobbyRequest { lobby_id, client_id };
        self.send(client.node, client.at, Content::JoinLobbyRequest(request));
    }

    fn ready(&mut self, host: &Client, lobby: &str, client: &Client) {
        let (lobby_id, new_peer_id) = (lobby.into(), client.id.clone());
        let request = PeerConnectionReady { lobby_id, new_peer_id };
        self.send(host.node, host.at, Content::PeerConnectionReady(request));
        self.pass(20);
    }

    /// A client joins, and its host has met it.
    fn join(&mut self, client: &Client, lobby: &str, host: &Client) {
        self.told(client);
        self.ask_to_join(client, lobby);
        let told = self.told(client);
        assert!(told.iter().any(|one| matches!(one, Content::JoinLobbyResponse(_))), "{told:?}");
        self.ready(host, lobby, client);
    }

    fn leave(&mut self, client: &Client, lobby: &str) {
        let (lobby_id, client_id) = (lobby.into(), client.id.clone());
        let request = LeaveLobbyRequest { lobby_id, client_id };
        self.send(client.node, client.at, Content::LeaveLobbyRequest(request));
        self.pass(20);
    }

    fn connect(&mut self, source: &Client, destination: &str, attempt_number: u32) {
        self.send(
            source.node,
            source.at,
            Content::ConnectRequest(ConnectRequest {
                destination_client_id: destination.into(),
                source_client_id: source.id.clone(),
                local_endpoint: None,
                attempt_number,
            }),
        );
    }

    /// The lobbies that a node shows a client, by name.
    fn lobbies(&mut self, client: &Client) -> Vec<LobbyInfo> {
        self.told(client);
        let request_id = format!("req_{}", client.id);
        let request = LobbyListRequest { request_id, ..Default::default() };
        self.send(client.node, client.at, Content::LobbyListRequest(request));
        let told = self.told(client);
        let [Content::LobbyListResponse(response)] = &told[..] else { panic!("{told:?}") };
        let mut lobbies = response.lobbies.clone();
        lobbies.sort_by(|one, other| one.lobby_name.cmp(&other.lobby_name));
        lobbies
    }

    fn listed(&mut self, client: &Client) -> Vec<String> {
        self.lobbies(client).into_iter().map(|lobby| lobby.lobby_name).collect()
    }
}

/// Of whom somebody was told, and where they are: in public, in their own networks, and the number of the try.
fn instructed(told: &[Content]) -> Vec<(String, String, String, u32)> {
    let text = |at: &Option<Endpoint>| {
        at.as_ref().map(|at| format!("{}:{}", at.ip_address, at.port)).unwrap_or_default()
    };
    let all = told.iter().filter_map(|content| match content {
        Content::ConnectionInstruction(ConnectionInstruction {
            client_id,
            public_endpoint,
            local_endpoint,
            attempt_number,
            ..
        }) => {
            Some((client_id.clone(), text(public_endpoint), text(local_endpoint), *attempt_number))
        }
        _ => None,
    });
    all.collect()
}

/// The errors that somebody was told.
fn errors(told: &[Content]) -> Vec<String> {
    let all = told.iter().filter_map(|content| match content {
        Content::Error(error) => Some(error.message.clone()),
        _ => None,
    });
    all.collect()
}

/// What changed of lobbies, and who has left.
fn news(told: &[Content]) -> Vec<String> {
    let all = told.iter().filter_map(|content| match content {
        Content::LobbyUpdate(update) => Some(update.update_type.clone()),
        Content::PeerLeft(left) => Some(format!("left {}", left.client_id)),
        Content::JoinLobbySuccess(JoinLobbySuccess { success: true, .. }) => Some("in".into()),
        Content::LeaveLobbyResponse(_) => Some("out".into()),
        _ => None,
    });
    all.collect()
}
