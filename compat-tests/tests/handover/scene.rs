//! A server with something in every table, made of what peers send: always the same.

use std::net::SocketAddr;
use std::time::Duration;

use prost::Message as _;
use punchd::clock::{Instant, Now};
use punchd::dialect::natpunch::message::{
    ConnectRequest, Content, CreateLobbyRequest, JoinLobbyRequest, KeepAlive, Message,
    RegisterRequest,
};
use punchd::dialect::{ConnId, Outbox, Output, Via};
use punchd::introductions::PublicIps;
use punchd::introductions::relay::{Bounds, sessions};
use punchd::server::{Config, Server};

/// The second UDP socket, where STUN shows what a NAT does.
const ALTERNATE: Via = Via { socket: 1, local: None };

/// A server that does all that one can do.
pub(crate) fn config() -> Config {
    let told = PublicIps { v4: Some([203, 0, 113, 250].into()), v6: None };
    let ports = 20_000..=20_063;
    let mut config = Config {
        relay: Some(sessions::Config { told, is_apart: true, ports, bounds: Bounds::default() }),
        alternates_from: Some(1),
        public_lobby: true,
        ..Config::default()
    };
    config.gmnet.sockets = vec![SocketAddr::from(([203, 0, 113, 1], 6510))];
    config.gmnet.alternate_port = Some(6511);
    config
}

/// The server and its clock.
pub(crate) struct Scene {
    pub(crate) server: Server,
    pub(crate) conns: Vec<ConnId>,
    generation: u32,
    micros: u64,
    sent: Vec<(SocketAddr, Vec<u8>)>,
}

pub(crate) fn peer(n: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([198, 51, 100, n], port))
}

fn natpunch(content: Content) -> Vec<u8> {
    Message { content: Some(content) }.encode_to_vec()
}

fn stun(n: u8) -> [u8; 20] {
    let mut request = [0; 20];
    request[..8].copy_from_slice(&[0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42]);
    request[19] = n;
    request
}

impl Scene {
    pub(crate) fn new() -> Self {
        let (server, conns) = (Server::new(config()), Vec::new());
        let mut scene =
            Self { server, conns, generation: 0, micros: 100_000_000, sent: Vec::new() };
        scene.behind_nats();
        scene.gmnet();
        scene.rooms();
        scene.events();
        scene.natpunch();
        scene.others();
        scene
    }

    pub(crate) fn now(&self) -> Now {
        Now { instant: Instant::from_micros(self.micros), unix: 1_700_000_000 }
    }

    fn act(&mut self, act: impl FnOnce(&mut Server, Now, &mut Outbox)) {
        self.micros += 1000;
        let (now, mut out) = (self.now(), Outbox::new());
        act(&mut self.server, now, &mut out);
        for output in out.outputs() {
            match output {
                Output::Udp(_, to, bytes) => self.sent.push((to, bytes.to_vec())),
                Output::Close(conn) => self.conns.retain(|known| *known != conn),
                Output::Tcp(..) => {}
            }
        }
    }

    fn passes(&mut self, time: Duration) {
        self.micros += u64::try_from(time.as_micros()).unwrap();
        self.act(|server, now, out| server.on_wakeup(now, out));
    }

    fn connect(&mut self, from: SocketAddr) -> ConnId {
        self.generation += 1;
        let id = ConnId { slot: self.generation - 1, generation: self.generation };
        self.conns.push(id);
        self.act(|server, now, out| server.on_accept(now, || now.instant, id, from, out));
        id
    }

    fn say(&mut self, id: ConnId, bytes: &[u8]) {
        self.act(|server, now, out| server.on_bytes(now, id, bytes, out));
    }

    fn comes(&mut self, from: SocketAddr, bytes: &[u8]) -> &mut Self {
        self.act(|server, now, out| server.on_datagram(now, Via::default(), from, bytes, out));
        self
    }

    /// What was sent to somebody last.
    fn told(&self, whom: SocketAddr) -> Vec<u8> {
        let mut sent = self.sent.iter().rev();
        sent.find(|(to, _)| *to == whom).map(|(_, bytes)| bytes.clone()).unwrap_or_default()
    }

    fn behind_nats(&mut self) {
        for n in 0..3 {
            self.comes(peer(70, 30_000 + 2 * n), &stun(1));
            let from = peer(70, 30_001 + 2 * n);
            self.act(|server, now, out| server.on_datagram(now, ALTERNATE, from, &stun(2), out));
        }
    }

    fn host(&mut self, n: u8, game: &str) -> ConnId {
        self.comes(peer(n, 40_000), b"reg\n");
        let id = self.connect(peer(n, 50_000));
        let request = format!("reg2\n1.2.4\n{game}\nRoom of {n}\n1\n8\n\n\n\n\n");
        self.say(id, request.as_bytes());
        id
    }

    fn gmnet(&mut self) {
        for n in [1, 2, 70] {
            self.host(n, "Game");
        }
        let long = "x".repeat(600);
        let lacks_port = self.connect(peer(3, 50_000));
        self.say(lacks_port, format!("reg2\n1.2.4\nGame\n{long}\n\n\n\n\n\n\n").as_bytes());
        let half = self.connect(peer(4, 50_000));
        self.say(half, b"reg2\n1.2.4\nGa");
        for n in 10..14 {
            self.comes(peer(n, 41_000), b"connect\n");
            let client = self.connect(peer(n, 51_000));
            self.say(client, b"lobby2\nGame\n\n\n\n\n\n\n\ndate\nASC\n\n");
            self.say(client, b"connect\n198.51.100.1\n");
        }
        let waits = self.connect(peer(15, 51_000));
        self.say(waits, b"connect\n198.51.100.2\nlobby2\n");
        let through = self.conns.iter().rev().nth(1).copied();
        through
            .into_iter()
            .for_each(|id| self.act(|server, now, out| server.on_gone(now, id, out)));
        self.passes(Duration::from_secs(3));
        for n in [16, 17] {
            self.comes(peer(n, 41_000), b"connect\n");
            let client = self.connect(peer(n, 51_000));
            self.say(client, b"connect\n198.51.100.1\n");
        }
        let waits = self.connect(peer(18, 51_000));
        self.say(waits, b"connect\n198.51.100.1\n");
    }

    fn rooms(&mut self) {
        let host = peer(20, 42_000);
        self.comes(host, b"rh:Castle:game=g:password=p:d.map=tower");
        self.proves(host);
        let room = self.field(host, "rh:", 1);
        self.comes(peer(21, 42_000), format!("jr:{room}:game=g:password=p").as_bytes());
        self.comes(peer(22, 42_000), format!("jr:{room}:game=g:password=wrong").as_bytes());
        self.comes(peer(23, 42_000), b"rh:Hut:private");
        self.comes(peer(24, 42_000), b"rh:Shed").comes(peer(24, 42_000), b"cr");
        self.mesh();
    }

    /// Where all have said of each other how it went.
    fn mesh(&mut self) {
        let host = peer(25, 42_000);
        self.comes(host, b"rh:Net:mesh");
        self.proves(host);
        let room = self.field(host, "rh:", 1);
        let clients = [26, 27].map(|n| peer(n, 42_000));
        let ids = clients.map(|client| {
            self.comes(client, format!("jr:{room}").as_bytes());
            self.proves(client);
            self.field(client, "rID:", 1)
        });
        for client in clients {
            for id in &ids {
                self.comes(client, format!("pc:{id}:ok").as_bytes());
                self.comes(host, format!("pc:{id}:ok").as_bytes());
            }
        }
    }

    /// It has shown its key.
    fn proves(&mut self, peer: SocketAddr) {
        let (id, key) = (self.field(peer, "rID:", 1), self.field(peer, "rID:", 2));
        self.comes(peer, format!("rc:{id}:{key}").as_bytes());
    }

    /// A field of the first message of a kind that a peer of rooms was told.
    fn field(&self, whom: SocketAddr, verb: &str, n: usize) -> String {
        let told = self.sent.iter().filter(|(to, _)| *to == whom);
        let mut told = told.map(|(_, bytes)| String::from_utf8_lossy(bytes));
        told.find(|line| line.starts_with(verb))
            .and_then(|line| line.split(':').nth(n).map(str::to_owned))
            .unwrap_or_else(|| unreachable!("{whom} was not told {verb}"))
    }

    fn events(&mut self) {
        for (n, name) in [(30, "ann"), (31, "bob"), (32, "cat")] {
            let id = self.connect(peer(n, 52_000));
            let login = format!(
                r#"{{"type":"request","name":"login","data":{{"id":"{name}","game":"g","keep":true}},"request_id":1}}"#
            );
            self.say(id, login.as_bytes());
            let what = match n {
                30 => {
                    r#"{"type":"request","name":"make_room","data":{"name":"Arena","max_players":4,"data":{"map":"tower"}},"request_id":2}"#
                }
                31 => r#"{"type":"request","name":"watch_rooms","data":{},"request_id":2}"#,
                _ => {
                    r#"{"type":"request","name":"x","dest":"ann","data":{},"request_id":3}{"type":"#
                }
            };
            self.say(id, what.as_bytes());
        }
        let web = self.connect(peer(33, 52_000));
        self.say(web, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
        self.say(web, b"\x81\xFE\x01\x00mask{");
        // Its place is kept.
        let gone = self.conns.iter().rev().nth(1).copied();
        gone.into_iter().for_each(|id| self.act(|server, now, out| server.on_gone(now, id, out)));
    }

    fn natpunch(&mut self) {
        let mut ids = Vec::new();
        for n in [40, 41] {
            let request = RegisterRequest { game: "g".into(), ..RegisterRequest::default() };
            self.comes(peer(n, 43_000), &natpunch(Content::RegisterRequest(request)));
            let told = Message::decode(&*self.told(peer(n, 43_000))).unwrap();
            let Some(Content::RegisterResponse(response)) = told.content else { unreachable!() };
            let client_id = response.client_id;
            let alive = KeepAlive { client_id: client_id.clone() };
            self.comes(peer(n, 43_000), &natpunch(Content::KeepAlive(alive)));
            ids.push(client_id);
        }
        let create = CreateLobbyRequest {
            lobby_name: "Den".into(),
            client_id: ids[0].clone(),
            max_players: 4,
        };
        self.comes(peer(40, 43_000), &natpunch(Content::CreateLobbyRequest(create)));
        let told = Message::decode(&*self.told(peer(40, 43_000))).unwrap();
        if let Some(Content::CreateLobbyResponse(made)) = told.content {
            let join = JoinLobbyRequest { lobby_id: made.lobby_id, client_id: ids[1].clone() };
            self.comes(peer(41, 43_000), &natpunch(Content::JoinLobbyRequest(join)));
        }
        let connect = ConnectRequest {
            destination_client_id: ids[0].clone(),
            source_client_id: ids[1].clone(),
            ..ConnectRequest::default()
        };
        self.comes(peer(41, 43_000), &natpunch(Content::ConnectRequest(connect)));
    }

    fn others(&mut self) {
        self.comes(peer(60, 40_000), b"reg\n").comes(peer(61, 41_000), b"connect\n");
        let blank = self.connect(peer(50, 54_000));
        self.say(blank, b"\r\n");
        self.connect(peer(51, 54_000));
        let browser = self.connect(peer(52, 54_000));
        self.say(browser, b"GET /lobby HTTP/1.1\r\nHost: a\r\n");
    }
}
