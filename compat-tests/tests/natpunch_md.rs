//! PROTOCOL.md, chapter natpunch: its Protocol Buffers describe what the server writes and reads, field
//! by field, by name, number and type.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a helper that fails is a test that fails")]

use std::collections::HashMap;
use std::fmt::Write as _;

use prost::Message as _;
use punchd::dialect::natpunch::message::*;

/// What a block of Protocol Buffers says.
#[derive(Default)]
struct Schema {
    /// The fields of each message, by number: name, type, repeated.
    messages: HashMap<String, Vec<(u64, String, String, bool)>>,
    enums: HashMap<String, Vec<(u64, String)>>,
}

impl Schema {
    fn read(text: &str) -> Self {
        let mut schema = Self::default();
        let mut of = (String::new(), false);
        for line in text.lines() {
            let words: Vec<&str> =
                line.trim().trim_end_matches([';', '{', '}', ' ']).split_whitespace().collect();
            match words[..] {
                ["message", name] => {
                    of = (name.into(), true);
                    schema.messages.insert(name.into(), Vec::new());
                }
                ["enum", name] => of = (name.into(), false),
                [] | ["syntax" | "package" | "oneof", ..] => {}
                [name, "=", n] if !of.1 => {
                    schema
                        .enums
                        .entry(of.0.clone())
                        .or_default()
                        .push((n.parse().unwrap(), camel(name)));
                }
                ["repeated", kind, name, "=", n] => schema.push(&of.0, n, name, kind, true),
                [kind, name, "=", n] => schema.push(&of.0, n, name, kind, false),
                _ => panic!("{line:?}"),
            }
        }
        schema
    }

    fn push(&mut self, message: &str, n: &str, name: &str, kind: &str, is_repeated: bool) {
        let fields = self.messages.get_mut(message).unwrap();
        fields.push((n.parse().unwrap(), name.into(), kind.into(), is_repeated));
    }

    /// The bytes of a message, as Rust shows it: so the two can be compared.
    fn show(&self, message: &str, bytes: &[u8]) -> String {
        let mut found: HashMap<u64, Vec<Value>> = HashMap::new();
        let mut rest = bytes;
        while !rest.is_empty() {
            let key = varint(&mut rest);
            let value = match key & 7 {
                0 => Value::Number(varint(&mut rest)),
                2 => {
                    let length = varint(&mut rest) as usize;
                    let (inner, after) = rest.split_at(length);
                    rest = after;
                    Value::Bytes(inner.to_vec())
                }
                other => panic!("wire type {other}"),
            };
            found.entry(key >> 3).or_default().push(value);
        }
        let mut text = message.to_owned();
        for (n, (number, name, kind, is_repeated)) in self.messages[message].iter().enumerate() {
            text.push_str(if n == 0 { " { " } else { ", " });
            let all =
                found.remove(number).unwrap_or_else(|| panic!("{message}.{name} is not there"));
            let is_message = self.messages.contains_key(kind);
            let shown: Vec<String> = all.iter().map(|value| self.value(kind, value)).collect();
            let shown = shown.join(", ");
            let _ = match (is_repeated, is_message) {
                (true, _) => write!(text, "{name}: [{shown}]"),
                (false, true) => write!(text, "{name}: Some({shown})"),
                (false, false) => write!(text, "{name}: {shown}"),
            };
        }
        assert!(found.is_empty(), "{message} has more: {found:?}");
        if !self.messages[message].is_empty() {
            text.push_str(" }");
        }
        text
    }

    fn value(&self, kind: &str, value: &Value) -> String {
        match (kind, value) {
            ("bool", Value::Number(n @ (0 | 1))) => (*n == 1).to_string(),
            ("uint32", Value::Number(n)) => n.to_string(),
            ("string", Value::Bytes(text)) => {
                format!("{:?}", String::from_utf8(text.clone()).unwrap())
            }
            (kind, Value::Number(n)) => {
                self.enums[kind].iter().find(|(number, _)| number == n).unwrap().1.clone()
            }
            (kind, Value::Bytes(bytes)) => self.show(kind, bytes),
        }
    }
}

#[derive(Debug)]
enum Value {
    Number(u64),
    Bytes(Vec<u8>),
}

fn varint(rest: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let (first, after) = rest.split_first().unwrap();
        *rest = after;
        value |= u64::from(first & 0x7f) << shift;
        if *first < 0x80 {
            break;
        }
    }
    value
}

/// `PORT_RESTRICTED_CONE` as `PortRestrictedCone`, and `keep_alive` as `KeepAlive`.
fn camel(name: &str) -> String {
    let word = |word: &str| word[..1].to_uppercase() + &word[1..].to_lowercase();
    name.split('_').map(word).collect()
}

/// Every message with every field, none of which is what it is when it is left out.
fn samples() -> Vec<Content> {
    let text = |text: &str| text.to_owned();
    let at = |port| Some(Endpoint { ip_address: text("203.0.113.7"), port });
    let member = |port| ClientInfo { client_id: text("member"), public_endpoint: at(port) };
    let lobby = |n: u32| LobbyInfo {
        lobby_id: text("lobby"),
        lobby_name: text("name"),
        host_client_id: text("host"),
        current_players: n,
        max_players: n + 1,
        members: vec![member(n), member(70_000)],
    };
    let (success, message, client_id) = (true, text("message"), text("client"));
    let (lobby_id, lobby_name) = (text("lobby"), text("name"));
    let (one, other) = (text("one"), text("other"));
    let lobby_members = vec![member(1), member(2)];
    let mut all = vec![
        Content::RegisterRequest(RegisterRequest {
            local_endpoint: at(1),
            game: text("game"),
            key: text("key"),
        }),
        Content::RegisterResponse(RegisterResponse {
            success,
            public_endpoint: at(2),
            client_id: client_id.clone(),
            message: message.clone(),
        }),
        Content::ClientListRequest(ClientListRequest { request_id: text("list") }),
        Content::ClientListResponse(ClientListResponse {
            success,
            request_id: text("list"),
            clients: vec![member(1), member(2)],
            message: message.clone(),
        }),
        Content::ConnectRequest(ConnectRequest {
            destination_client_id: other.clone(),
            source_client_id: one.clone(),
            local_endpoint: at(3),
            attempt_number: 300,
        }),
        Content::ConnectionEstablished(ConnectionEstablished {
            message: message.clone(),
            client_id: client_id.clone(),
        }),
        Content::Error(Error { message: message.clone() }),
        Content::KeepAlive(KeepAlive { client_id: client_id.clone() }),
        Content::DebugMessage(DebugMessage { message: message.clone() }),
        Content::CreateLobbyRequest(CreateLobbyRequest {
            lobby_name: lobby_name.clone(),
            client_id: client_id.clone(),
            max_players: 8,
        }),
        Content::CreateLobbyResponse(CreateLobbyResponse {
            success,
            lobby_id: lobby_id.clone(),
            lobby_name,
            message: message.clone(),
        }),
        Content::JoinLobbyRequest(JoinLobbyRequest {
            lobby_id: lobby_id.clone(),
            client_id: client_id.clone(),
        }),
        Content::JoinLobbyResponse(JoinLobbyResponse {
            success,
            lobby_id: lobby_id.clone(),
            message: message.clone(),
            lobby_members: lobby_members.clone(),
        }),
        Content::LobbyListRequest(LobbyListRequest {
            request_id: text("request"),
            cookie: text("cookie"),
        }),
        Content::LobbyListResponse(LobbyListResponse {
            success,
            request_id: text("request"),
            lobbies: vec![lobby(1), lobby(2)],
            message: message.clone(),
            cookie: text("cookie"),
        }),
        Content::LobbyUpdate(LobbyUpdate {
            lobby_id: lobby_id.clone(),
            lobby_info: Some(lobby(3)),
            update_type: text("player_left"),
        }),
        Content::Ping(Ping {
            source_client_id: one.clone(),
            destination_client_id: other.clone(),
            sequence_number: 4,
        }),
        Content::Pong(Pong {
            source_client_id: one,
            destination_client_id: other,
            sequence_number: 4,
        }),
        Content::LeaveLobbyRequest(LeaveLobbyRequest {
            lobby_id: lobby_id.clone(),
            client_id: client_id.clone(),
        }),
        Content::LeaveLobbyResponse(LeaveLobbyResponse { success, message: message.clone() }),
        Content::PeerLeft(PeerLeft { client_id: client_id.clone() }),
        Content::PeerConnectionReady(PeerConnectionReady {
            lobby_id: lobby_id.clone(),
            new_peer_id: text("peer"),
        }),
        Content::JoinLobbySuccess(JoinLobbySuccess {
            success,
            lobby_id,
            message: message.clone(),
            lobby_members,
        }),
    ];
    let types = [
        NatType::FullCone,
        NatType::RestrictedCone,
        NatType::PortRestrictedCone,
        NatType::Symmetric,
    ];
    all.extend(types.map(|nat_type| {
        Content::ConnectionInstruction(ConnectionInstruction {
            accepted: true,
            client_id: client_id.clone(),
            message: message.clone(),
            nat_type: nat_type.into(),
            attempt_number: 5,
            public_endpoint: at(6),
            local_endpoint: at(7),
        })
    }));
    all
}

#[test]
fn the_protocol_buffers_in_protocol_md_are_those_of_the_server() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../PROTOCOL.md");
    let document = std::fs::read_to_string(path).unwrap();
    let text = document.split("```proto\n").nth(1).unwrap().split("```").next().unwrap();
    assert!(text.starts_with("syntax = \"proto3\";\n\npackage api;\n"), "{text}");
    let schema = Schema::read(text);
    let mut seen = Vec::new();
    for content in samples() {
        let bytes = Message { content: Some(content.clone()) }.encode_to_vec();
        let mut rest = &bytes[..];
        let number = varint(&mut rest) >> 3;
        let length = varint(&mut rest) as usize;
        assert_eq!(rest.len(), length);
        let of_number = schema.messages["Message"].iter().find(|(n, ..)| *n == number);
        let (_, name, kind, _) = of_number.unwrap_or_else(|| panic!("{number} is missing"));
        assert_eq!(camel(name), *kind);
        assert_eq!(format!("{kind}({})", schema.show(kind, rest)), format!("{content:?}"));
        seen.push(number);
    }
    seen.sort_unstable();
    seen.dedup();
    let told: Vec<u64> = schema.messages["Message"].iter().map(|(n, ..)| *n).collect();
    assert_eq!(told, seen, "every message, in order");
    let unknown = schema.enums["NatType"].first();
    assert_eq!(unknown, Some(&(0, "Unknown".into())), "proto3 leaves it out");
    // Endpoint, ClientInfo, LobbyInfo and Message itself are parts of others.
    assert_eq!(schema.messages.len(), told.len() + 4);
}
