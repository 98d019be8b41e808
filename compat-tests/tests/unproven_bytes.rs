//! What each request brings an address that has proven nothing, be it its own or that of a victim in
//! whose name somebody else has asked: PROTOCOL.md has the table that is made here.
//!
//! Every request goes once to one server, each from an address of its own; what comes in the minute after it
//! counts as well. A dialect adds its requests to [`requests`].

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use prost::Message as _;
use punchd::clock::{Instant, Now};
use punchd::dialect::natpunch::message::*;
use punchd::dialect::{Outbox, Output, Via};
use punchd::server::{Config, Server};

/// Headers of IPv4 and UDP, and of IPv6 and UDP.
const HEADERS: [usize; 2] = [28, 48];

/// What is sent to somebody who has asked long ago is sent within this time.
const LATE: Duration = Duration::from_secs(60);

/// What an address may be sent for each byte that came from it.
const FACTOR: usize = 3;

/// The answers that bring an ID and a key may have so many bytes together, however short the request.
const KEYED: usize = 160;

/// A request of a client that has proven nothing.
struct Request {
    dialect: &'static str,
    /// As the table says it.
    name: &'static str,
    data: Vec<u8>,
}

/// A server where there is much to tell, and a clock.
struct World {
    server: Server,
    micros: u64,
    /// One of the rooms.
    room: String,
}

impl World {
    fn new() -> Self {
        let server = Server::new(Config::default());
        let mut world = Self { server, micros: 60_000_000, room: String::new() };
        for n in 0..40 {
            world.open_room(n);
            world.open_lobby(n);
        }
        world
    }

    /// Sends a datagram; what comes back to whoever sent it.
    fn send(&mut self, from: SocketAddr, data: &[u8]) -> Vec<Vec<u8>> {
        self.micros += 1000;
        let now = Now { instant: Instant::from_micros(self.micros), unix: 1_700_000_000 };
        let mut out = Outbox::new();
        self.server.on_datagram(now, Via { socket: 0, local: None }, from, data, &mut out);
        let to_sender = |output| match output {
            Output::Udp(_, to, bytes) if to == from => Some(bytes.to_vec()),
            _ => None,
        };
        out.outputs().filter_map(to_sender).collect()
    }

    /// What the server sends of itself meanwhile, and to whom.
    fn wait(&mut self, time: Duration) -> Vec<(SocketAddr, usize)> {
        let end = self.micros + u64::try_from(time.as_micros()).unwrap();
        let mut out = Outbox::new();
        while let Some(at) = self.server.next_wakeup().filter(|at| at.micros() <= end) {
            self.micros = self.micros.max(at.micros());
            let instant = Instant::from_micros(self.micros);
            self.server.on_wakeup(Now { instant, unix: 1_700_000_000 }, &mut out);
        }
        self.micros = end;
        let sent = |output| match output {
            Output::Udp(_, to, bytes) => Some((to, bytes.len())),
            _ => None,
        };
        out.outputs().filter_map(sent).collect()
    }

    fn open_room(&mut self, n: u8) {
        let at = SocketAddr::from(([203, 0, 113, n], 4000));
        let answers = self.send(at, b"rh:A room of usual size");
        let text: Vec<_> = answers.iter().map(|answer| String::from_utf8_lossy(answer)).collect();
        let own = text.iter().find_map(|text| text.strip_prefix("rID:")).unwrap();
        self.send(at, format!("rc:{own}").as_bytes());
        self.room = text.iter().find_map(|text| text.strip_prefix("rh:")).unwrap().into();
    }

    fn open_lobby(&mut self, n: u8) {
        let at = SocketAddr::from(([203, 0, 113, n], 5000));
        let answers =
            self.send(at, &natpunch(Content::RegisterRequest(RegisterRequest::default())));
        let content = Message::decode(&answers[0][..]).unwrap().content;
        let Some(Content::RegisterResponse(RegisterResponse { client_id, .. })) = content else {
            unreachable!("{content:?}")
        };
        let lobby_name = "A lobby of usual size".into();
        let create = CreateLobbyRequest { lobby_name, client_id, max_players: 8 };
        self.send(at, &natpunch(Content::CreateLobbyRequest(create)));
    }
}

fn natpunch(content: Content) -> Vec<u8> {
    Message { content: Some(content) }.encode_to_vec()
}

/// With a field that nobody knows, up to this length.
fn padded(mut message: Vec<u8>, length: usize) -> Vec<u8> {
    // Field 1000, a string.
    message.extend([0xc2, 0x3e]);
    let text = length - message.len() - 2;
    message.extend([text as u8 | 0x80, (text >> 7) as u8]);
    message.resize(length, b'x');
    message
}

fn rooms(room: &str) -> Vec<Request> {
    let of = |name, text: &str| Request { dialect: "rooms", name, data: text.into() };
    vec![
        of("`rh`", "rh"),
        of("`rh:NAME`", "rh:A room of usual size"),
        of("`jr`", "jr"),
        of("`jr:ROOM`", &format!("jr:{room}")),
        of("`jr:ROOM`, a room that is not there", "jr:0123456789abcdef"),
        of("`rl`", "rl"),
        of("`rl`, padded to 512 bytes", &format!("rl{}", "\0".repeat(510))),
        of("`rl:more`", "rl:more"),
        of("`rl:more`, padded to 512 bytes", &format!("rl:more{}", "\0".repeat(505))),
        of("`rl:cookie`", "rl:cookie"),
        of("`rl:cookie=COOKIE`, that of another", "rl:cookie=0123456789abcdef"),
        of("`rl:d.KEY=VALUE`, which no room has", "rl:d.map=castle"),
        of("`k:KEY:rh`, where no key is needed", "k:sesame:rh"),
        of("`jr:ROOM` with options", &format!("jr:{room}:password=p:lan=10.0.0.1%3A9:always")),
        of("`rh:NAME:private`", "rh:A room of usual size:private"),
        of("`jr:CODE`, which no room has", "jr:BCDFGH"),
        of("`qj`", "qj"),
        of("`qj:d.KEY=VALUE`, which no room has", "qj:d.map=castle"),
        of("`status`", "status"),
        of("`ka`", "ka"),
        of(
            "`rc:CLIENT:KEY`, an ID that is not there",
            "rc:0123456789abcdef:0123456789abcdef0123456789abcdef",
        ),
        of("`rn:NAME`", "rn:Another name"),
        of("`pc:CLIENT:ok`", "pc:0123456789abcdef:ok"),
        of("`kc:CLIENT`", "kc:0123456789abcdef"),
        of("`kc:id:CLIENT`", "kc:id:0123456789abcdef"),
        of("`kc:ip:IP`", "kc:ip:192.0.2.1"),
        of("`ka:KEY`", "ka:0123456789abcdef0123456789abcdef"),
        of("`rs:locked:KEY`", "rs:locked:0123456789abcdef0123456789abcdef"),
        of("`li:ip:IP`", "li:ip:192.0.2.1"),
        of("`lr`", "lr"),
        of("`cr`", "cr"),
        of("`er`", "er"),
        of("`rID`", "rID"),
    ]
}

fn natpunch_requests() -> Vec<Request> {
    let id = || String::from("01234567-89ab-4def-8123-456789abcdef");
    let of = |name, data| Request { dialect: "natpunch", name, data };
    let bare = natpunch(Content::RegisterRequest(RegisterRequest::default()));
    let endpoint = Endpoint { ip_address: "192.168.178.100".into(), port: 50_000 };
    let register = RegisterRequest { local_endpoint: Some(endpoint), ..RegisterRequest::default() };
    let register = natpunch(Content::RegisterRequest(register));
    let list = || {
        natpunch(Content::LobbyListRequest(LobbyListRequest {
            request_id: id(),
            ..LobbyListRequest::default()
        }))
    };
    let clients = || natpunch(Content::ClientListRequest(ClientListRequest::default()));
    let (client_id, lobby_id, lobby_name) = (id(), id(), String::from("A lobby of usual size"));
    let connect = ConnectRequest {
        destination_client_id: id(),
        source_client_id: id(),
        ..ConnectRequest::default()
    };
    let create = CreateLobbyRequest { lobby_name, client_id: id(), max_players: 8 };
    vec![
        of("RegisterRequest without fields", bare),
        of("RegisterRequest", register),
        of(
            "RegisterRequest with a game and a key",
            natpunch(Content::RegisterRequest(RegisterRequest {
                local_endpoint: None,
                game: "chess".into(),
                key: "sesame".into(),
            })),
        ),
        of("ClientListRequest", clients()),
        of("ClientListRequest, padded to 400 bytes", padded(clients(), 400)),
        of(
            "LobbyListRequest without fields",
            natpunch(Content::LobbyListRequest(LobbyListRequest::default())),
        ),
        of("LobbyListRequest", list()),
        of("LobbyListRequest, padded to 400 bytes", padded(list(), 400)),
        of(
            "LobbyListRequest that takes a cookie",
            natpunch(Content::LobbyListRequest(LobbyListRequest {
                cookie: "?".into(),
                ..LobbyListRequest::default()
            })),
        ),
        of("KeepAlive", natpunch(Content::KeepAlive(KeepAlive { client_id: id() }))),
        of("ConnectRequest", natpunch(Content::ConnectRequest(connect))),
        of("CreateLobbyRequest", natpunch(Content::CreateLobbyRequest(create))),
        of(
            "JoinLobbyRequest",
            natpunch(Content::JoinLobbyRequest(JoinLobbyRequest {
                lobby_id: id(),
                client_id: id(),
            })),
        ),
        of(
            "LeaveLobbyRequest",
            natpunch(Content::LeaveLobbyRequest(LeaveLobbyRequest { lobby_id, client_id })),
        ),
        of(
            "PeerConnectionReady",
            natpunch(Content::PeerConnectionReady(PeerConnectionReady {
                lobby_id: id(),
                new_peer_id: id(),
            })),
        ),
        of(
            "ConnectionEstablished",
            natpunch(Content::ConnectionEstablished(ConnectionEstablished {
                client_id: id(),
                ..ConnectionEstablished::default()
            })),
        ),
        of(
            "DebugMessage",
            natpunch(Content::DebugMessage(DebugMessage { message: "Is anybody there?".into() })),
        ),
        of("Ping", natpunch(Content::Ping(Ping { source_client_id: id(), ..Ping::default() }))),
        of("Pong", natpunch(Content::Pong(Pong { source_client_id: id(), ..Pong::default() }))),
    ]
}

fn stun() -> Vec<Request> {
    let of = |name, cookie: &[u8], attributes: &[u8]| Request {
        dialect: "STUN",
        name,
        data: [&[0, 1, 0, attributes.len() as u8][..], cookie, b"0123456789ab", attributes]
            .concat(),
    };
    let cookie = [0x21, 0x12, 0xa4, 0x42];
    vec![
        of("Binding request", &cookie, &[]),
        of("Binding request of RFC 3489", b"abcd", &[]),
        // CHANGE-REQUEST: both.
        of("Binding request with CHANGE-REQUEST", &cookie, &[0, 3, 0, 4, 0, 0, 0, 6]),
        // An attribute that has to be understood.
        of("Binding request with what is not known", &cookie, &[0, 0x42, 0, 0]),
    ]
}

fn gmnet() -> Vec<Request> {
    let of = |name, payload: &[u8]| Request {
        dialect: "GMnet",
        name,
        data: [b"\xde\xc0\xad\xde\x0c\0\0\0", &[payload.len() as u8, 0, 0, 0][..], payload]
            .concat(),
    };
    vec![of("`reg`", b"reg\n\0"), of("`connect`", b"connect\n\0"), of("a knock", &[0xfd])]
}

fn events() -> Vec<Request> {
    let data = b"udp:0123456789abcdef0123456789abcdef".to_vec();
    vec![Request { dialect: "events", name: "`udp:TOKEN`, a token that is not there", data }]
}

fn requests(world: &World) -> Vec<Request> {
    let all = [rooms(&world.room), natpunch_requests(), stun(), gmnet(), events()];
    all.into_iter().flatten().collect()
}

/// Whether an answer brings an ID: only these may be longer than three times the request.
fn brings_id(answer: &[u8]) -> bool {
    let content = Message::decode(answer).ok().and_then(|message| message.content);
    let is_registered =
        matches!(content, Some(Content::RegisterResponse(response)) if response.success);
    is_registered || answer.starts_with(b"rID:")
}

/// What all requests bring, each from the address with its number, and in the last line together.
fn table(headers: usize, addr: impl Fn(u32) -> IpAddr) -> String {
    let mut world = World::new();
    let at = |n| SocketAddr::new(addr(n), 40_000);
    let asked: Vec<_> = (0..)
        .zip(requests(&world))
        .map(|(n, request)| {
            let answers = world.send(at(n), &request.data);
            (at(n), request, answers)
        })
        .collect();
    let late = world.wait(LATE);
    let mut table = String::from(
        "| dialect | request | bytes | answered with | times |\n| --- | --- | --- | --- | --- |\n",
    );
    let (mut came, mut sent) = (0, 0);
    for (from, Request { dialect, name, data }, answers) in asked {
        let late = late.iter().filter(|(to, _)| *to == from).map(|(_, bytes)| *bytes);
        let all: Vec<usize> = answers.iter().map(Vec::len).chain(late).collect();
        let payload: usize = all.iter().sum();
        let told = payload + headers * all.len();
        let asked = data.len() + headers;
        let is_keyed = answers.iter().any(|answer| brings_id(answer));
        let keyed = if is_keyed { KEYED + headers * all.len() } else { 0 };
        assert!(told <= keyed.max(FACTOR * asked), "{dialect} {name}: {told} for {asked}");
        let times = told as f64 / asked as f64;
        let (bytes, is_short) = (data.len(), if is_keyed { ", an ID" } else { "" });
        let answered = match all.len() {
            0 => "nothing".into(),
            1 => format!("{payload}{is_short}"),
            many => format!("{payload} in {many} datagrams{is_short}"),
        };
        table += &format!("| {dialect} | {name} | {bytes} | {answered} | {times:.1} |\n");
        came += asked;
        sent += told;
    }
    assert!(sent <= FACTOR * came, "together {sent} for {came}");
    let times = sent as f64 / came as f64;
    table + &format!("| together | with headers | {came} | {sent} | {times:.1} |\n")
}

#[test]
fn nothing_brings_an_unproven_address_more_than_three_times_its_bytes() {
    let [v4, v6] = HEADERS;
    table(v6, |n| Ipv6Addr::new(0x2001, 0xdb8, n as u16, 0, 0, 0, 0, 1).into());
    let table = table(v4, |n| Ipv4Addr::from_bits(0xc612_0000 + n).into());
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../PROTOCOL.md");
    let document = std::fs::read_to_string(path).unwrap();
    let (_, rest) = document.split_once("<!-- unproven -->\n").unwrap();
    let (told, _) = rest.split_once("<!-- /unproven -->").unwrap();
    assert!(told == table, "PROTOCOL.md is to have:\n{table}");
}
