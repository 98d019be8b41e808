//! natpunch between nodes, step by step: who is introduced to whom, and lobbies whose members are at several nodes.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a helper that fails is a test that fails")]

use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};

use compat_tests::unplugged_nodes::Nodes;
use prost::Message as _;
use punchd::dialect::natpunch::message::{
    ConnectRequest, ConnectionInstruction, Content, CreateLobbyRequest, Endpoint, JoinLobbyRequest,
    JoinLobbySuccess, KeepAlive, LeaveLobbyRequest, LobbyInfo, LobbyListRequest, Message,
    PeerConnectionReady, RegisterRequest,
};
use punchd::server::Config;

mod garbage;
mod lobbies;
mod meeting;
mod moving;
mod relayed;

/// Nodes and their clients.
struct World {
    nodes: Nodes,
    /// By which node, whom, and what, as far as it was read.
    said: Vec<(usize, SocketAddr, Content)>,
    /// Who sends a sign of life each second.
    alive: Vec<Client>,
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

/// A message as it is sent.
fn bytes(content: Content) -> Vec<u8> {
    Message { content: Some(content) }.encode_to_vec()
}

impl World {
    fn of(count: usize) -> Self {
        Self::with(vec![Config::default(); count])
    }

    fn with(configs: Vec<Config>) -> Self {
        Self { nodes: Nodes::new(configs), said: Vec::new(), alive: Vec::new() }
    }

    /// Time passes, in milliseconds that five divides.
    fn pass(&mut self, millis: u64) {
        for _ in 0..millis / 5 {
            if self.now.micros().is_multiple_of(1_000_000) {
                self.alive.clone().iter().for_each(|client| self.keep_alive(client));
            }
            self.nodes.pass(5);
        }
    }

    fn send(&mut self, n: usize, from: SocketAddr, content: Content) {
        self.datagram(n, from, &bytes(content));
    }

    fn keep_alive(&mut self, client: &Client) {
        let request = KeepAlive { client_id: client.id.clone() };
        self.send(client.node, client.at, Content::KeepAlive(request));
    }

    /// What clients were told.
    fn said(&mut self) -> &mut Vec<(usize, SocketAddr, Content)> {
        for (by, to, bytes) in self.nodes.sent.drain(..) {
            assert!(bytes.len() <= 1024);
            self.said.push((by, to, Message::decode(&*bytes).unwrap().content.unwrap()));
        }
        &mut self.said
    }

    /// What a client was told since this was asked last, all by this node.
    fn told(&mut self, client: &Client) -> Vec<Content> {
        let told = self.said().extract_if(.., |(_, to, _)| *to == client.at);
        told.map(|(by, to, content)| {
            assert_eq!(by, client.node, "{content:?} to {to}");
            content
        })
        .collect()
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
