//! A short play in each dialect, from the first word to the last.

use std::time::Instant;

use compat_tests::events::EventClient;
use compat_tests::gmnet::{Control, Lobby, Protocol, Query, wire};
use prost::Message as _;
use punchd::dialect::natpunch::message::{
    Content, CreateLobbyRequest, JoinLobbyRequest, KeepAlive, LeaveLobbyRequest, LobbyListRequest,
    Message, PeerConnectionReady, RegisterRequest,
};
use serde_json::Value;

use crate::stage::{Stage, WAIT};

/// A host registers, is listed, and is told of a client, which is told of it.
pub(crate) fn gmnet(stage: &mut Stage) {
    let (server, at) = (stage.server, stage.at);
    stage.send(0, &wire::udp_register(Protocol::Modern));
    let host = Control::open(server, Some(at)).expect("connecting");
    let mut data = wire::Data::default();
    data[0] = stage.name.clone();
    host.send(&wire::register(Protocol::Modern, "1.2.4", &data)).expect("sending");
    let query = Query { filters: data, ..Query::default() };
    let deadline = Instant::now() + WAIT;
    let listed = loop {
        let lobby = Lobby::fetch(server, Some(at), &query, WAIT).expect("a lobby");
        if let [entry] = &lobby.entries[..] {
            break format!("{} {:?} in {}", entry.ip, entry.data, lobby.events);
        }
        assert!(Instant::now() < deadline, "{} is not listed", stage.name);
    };
    stage.note("lobby", listed.as_bytes());
    stage.send(1, &wire::udp_connect(Protocol::Modern));
    let client = Control::open(server, Some(at)).expect("connecting");
    client.send(&wire::connect(Protocol::Modern, at)).expect("sending");
    stage.note("client", &client.answer(WAIT).expect("an answer").bytes);
    stage.note("host", &host.answer(WAIT).expect("told").bytes);
    let nobody = std::net::Ipv4Addr::new(192, 0, 2, 1).into();
    client.send(&wire::connect(Protocol::Modern, nobody)).expect("sending");
    stage.note("client", &client.answer(WAIT).expect("an answer").bytes);
    stage.hear_nothing_more();
}

/// A field of a message about rooms.
fn field(data: &[u8], n: usize) -> String {
    let text = String::from_utf8_lossy(data).into_owned();
    text.split(':').nth(n).unwrap_or_default().to_owned()
}

/// A room is made, joined, renamed, left by force and closed.
pub(crate) fn rooms(stage: &mut Stage) {
    let room = field(&stage.ask(0, format!("rh:{}", stage.name).as_bytes(), b"rh:"), 1);
    let own = stage.hear(0, b"rID:");
    stage.ask(0, format!("rc:{}:{}", field(&own, 1), field(&own, 2)).as_bytes(), b"rh:");
    stage.hear(0, b"rID:");
    let joined = stage.ask(1, format!("jr:{room}").as_bytes(), b"jr:");
    let key = field(&stage.hear(1, b"rID:"), 2);
    stage.hear(0, b"cj:");
    let client = field(&joined, 2);
    stage.ask(1, format!("rc:{client}:{key}").as_bytes(), b"jr:");
    stage.hear(1, b"rID:");
    stage.ask(0, format!("pc:{client}:ok").as_bytes(), b"pc:");
    stage.ask(1, format!("pc:{client}:ok").as_bytes(), b"pc:");
    for n in [0, 1, 0, 1] {
        stage.ask(n, b"ka", b"ka");
    }
    stage.ask(0, b"rn:Another", b"rn:Another");
    stage.hear(1, b"rn:Another");
    stage.ask(1, b"cr", b"er:cr:nothost");
    stage.ask(0, format!("kc:id:{client}").as_bytes(), b"kc:id:");
    stage.hear(1, b"kc:");
    stage.ask(1, format!("jr:{room}").as_bytes(), b"er:jr:kicked");
    stage.ask(0, b"cr", b"cr:");
    stage.ask(1, format!("jr:{room}").as_bytes(), b"er:jr:noroom");
    stage.hear_nothing_more();
}

/// Two register and meet in a lobby.
pub(crate) fn natpunch(stage: &mut Stage) {
    let mut ids = [String::new(), String::new()];
    for (n, id) in ids.iter_mut().enumerate() {
        let register = Content::RegisterRequest(RegisterRequest::default());
        let Content::RegisterResponse(me) = say(stage, n, register) else { panic!("no ID") };
        *id = me.client_id;
    }
    let [host, guest] = ids;
    for (n, id) in [&host, &guest].into_iter().enumerate() {
        stage.send(n, &encode(Content::KeepAlive(KeepAlive { client_id: id.clone() })));
    }
    let lobby_name = stage.name.clone();
    let create = CreateLobbyRequest { lobby_name, client_id: host, max_players: 4 };
    let Content::CreateLobbyResponse(lobby) = say(stage, 0, Content::CreateLobbyRequest(create))
    else {
        panic!("no lobby")
    };
    let lobby_id = || lobby.lobby_id.clone();
    let list = LobbyListRequest { request_id: "list".into(), ..Default::default() };
    say(stage, 1, Content::LobbyListRequest(list));
    let join = JoinLobbyRequest { lobby_id: lobby_id(), client_id: guest.clone() };
    say(stage, 1, Content::JoinLobbyRequest(join));
    stage.hear(1, b"");
    stage.hear(1, b"");
    stage.hear(0, b"");
    let ready = PeerConnectionReady { lobby_id: lobby_id(), new_peer_id: guest.clone() };
    say(stage, 0, Content::PeerConnectionReady(ready));
    stage.hear(0, b"");
    stage.hear(1, b"");
    stage.hear(1, b"");
    let leave = LeaveLobbyRequest { lobby_id: lobby_id(), client_id: guest };
    say(stage, 1, Content::LeaveLobbyRequest(leave));
    stage.hear(0, b"");
    stage.hear(0, b"");
    stage.hear_nothing_more();
}

fn encode(content: Content) -> Vec<u8> {
    Message { content: Some(content) }.encode_to_vec()
}

fn say(stage: &mut Stage, n: usize, content: Content) -> Content {
    stage.send(n, &encode(content));
    let answer = stage.hear(n, b"");
    let message = Message::decode(&answer[..]).expect("a message");
    message.content.expect("content")
}

/// Requests of today and of long ago, and one that cannot be understood.
pub(crate) fn stun(stage: &mut Stage) {
    let requests: [&[u8]; 4] = [
        b"\0\x01\0\0\x21\x12\xa4\x42transaction!",
        b"\0\x01\0\x08\x21\x12\xa4\x42transaction!\0\x03\0\x04\0\0\0\0",
        b"\0\x01\0\x04\x21\x12\xa4\x42transaction?\x77\x77\0\0",
        b"\0\x01\0\0sixteen old byte",
    ];
    for request in requests {
        for n in [0, 1] {
            let start = if request[19] == b'?' { b"\x01\x11" } else { b"\x01\x01" };
            stage.ask(n, request, start);
        }
    }
    stage.hear_nothing_more();
}

/// Two log in, meet in a room, talk, and one leaves.
pub(crate) fn events(stage: &mut Stage) {
    let connect =
        |stage: &Stage| EventClient::connect(stage.server, stage.tls.as_ref()).expect("connecting");
    let mut clients = [connect(stage), connect(stage)];
    let ids = ["host", "guest"].map(|id| format!("{id} of {}", stage.name));
    for (n, client) in clients.iter_mut().enumerate() {
        let login = format!(r#""data":{{"id":"{}","game":"{}"}}"#, ids[n], stage.name);
        let told = request(stage, client, "login", &login);
        let token = told["data"]["udp_token"].as_str().expect("a token").to_owned();
        stage.ask(n, format!("udp:{token}").as_bytes(), b"udp:");
    }
    let [host, guest] = &mut clients;
    let made = request(stage, host, "create_room", r#""data":{"name":"r","max_players":2}"#);
    stage.hear_event("host", host);
    let room = made["data"]["room"].as_str().expect("a room").to_owned();
    request(stage, guest, "list_rooms", r#""data":{}"#);
    request(stage, guest, "join_room", &format!(r#""data":{{"room":"{room}"}}"#));
    for _ in ["self_joined", "introduce"] {
        stage.hear_event("guest", guest);
    }
    for _ in ["player_joined", "introduce"] {
        stage.hear_event("host", host);
    }
    let text = "x".repeat(20_000);
    let ask = format!(
        r#"{{"type":"request","name":"q","data":"{text}","dest":"{}","request_id":3}}"#,
        ids[0]
    );
    guest.send_text(&ask).expect("sending");
    let asked = stage.hear_event("host", host);
    let answer =
        format!(r#"{{"type":"response","data":[1,2],"request_id":{}}}"#, asked["request_id"]);
    host.send_text(&answer).expect("sending");
    stage.hear_event("guest", guest);
    request(stage, guest, "leave_room", r#""data":{}"#);
    stage.hear_event("guest", guest);
    stage.hear_event("host", host);
    host.send_text("{]").expect("sending");
    stage.hear_event("host", host);
    assert!(host.receive(WAIT).is_err(), "the connection is closed");
    stage.hear_nothing_more();
}

fn request(stage: &mut Stage, client: &mut EventClient, name: &str, data: &str) -> Value {
    let request = format!(r#"{{"type":"request","name":"{name}",{data},"request_id":1}}"#);
    client.send_text(&request).expect("sending");
    stage.hear_event(name, client)
}
