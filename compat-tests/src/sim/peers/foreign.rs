//! Somebody who speaks another dialect with the same server, perhaps from the very socket of a
//! GMnet game: games that use STUN do that.

use std::net::SocketAddr;

use prost::Message as _;
use punchd::dialect::natpunch::message::{
    Content, CreateLobbyRequest, Endpoint, JoinLobbyRequest, KeepAlive, LobbyListRequest, Message,
    RegisterRequest,
};

use super::super::link::LinkId;
use super::super::nat::Inside;
use super::super::network::{MASTER, Said};
use super::{Access, Peer};

/// What it speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tongue {
    /// Rooms over UDP.
    Rooms,
    /// STUN.
    Stun,
    /// natpunch.
    Natpunch,
    /// JSON over TCP, and its datagrams.
    Events,
    /// Nothing that there is, or half of something.
    Noise,
}

impl Tongue {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Rooms, Self::Stun, Self::Natpunch, Self::Events, Self::Noise];
}

/// One of them.
#[derive(Debug)]
pub struct Foreign {
    /// What it speaks.
    pub tongue: Tongue,
    /// The socket that it speaks from.
    pub from: Inside,
    /// How many times it will say something.
    pub left: u32,
    /// Its ID as a natpunch client, once it has one.
    pub id: String,
    /// The room, or the lobby, that it has heard of last.
    pub heard_of: String,
    /// The cookie that it was given last.
    pub cookie: String,
    /// Its ID and key of rooms, as `CLIENT:KEY`.
    pub key: String,
}

impl Foreign {
    /// Somebody who has not said anything yet.
    #[must_use]
    pub fn new(tongue: Tongue, from: Inside, left: u32) -> Self {
        let (id, heard_of, cookie, key) = Default::default();
        Self { tongue, from, left, id, heard_of, cookie, key }
    }

    fn speak(&self, net: &mut Access<'_>) {
        let data = match self.tongue {
            Tongue::Rooms => self.rooms(net),
            Tongue::Stun => stun(net),
            Tongue::Natpunch => self.natpunch(net),
            Tongue::Events if net.net.rng.permille(700) => return events(net),
            Tongue::Events => b"udp:0123456789abcdef0123456789abcdef".to_vec(),
            Tongue::Noise => noise(net),
        };
        net.net.send_datagram(self.from, MASTER, Said::Foreign, data);
    }

    fn rooms(&self, net: &mut Access<'_>) -> Vec<u8> {
        let join = format!("jr:{}", self.heard_of);
        let list = match self.cookie.as_str() {
            "" => String::from("rl:cookie"),
            cookie => format!("rl:cookie={cookie}"),
        };
        // Only some ever show their key.
        let back = if net.net.rng.permille(100) { format!("rc:{}", self.key) } else { "ka".into() };
        let own = ["rh:a room", "rn:other", "status", &back, "lr", "cr"];
        let others = ["rl", &list, &list, &list, &join, &join];
        let words = net.net.rng.pick([own, others]);
        net.net.rng.pick(words).as_bytes().to_vec()
    }

    fn natpunch(&self, net: &mut Access<'_>) -> Vec<u8> {
        let (client_id, lobby_id) = (self.id.clone(), self.heard_of.clone());
        let local_endpoint = Some(Endpoint { ip_address: "10.0.0.1".into(), port: 1 });
        let lobby_name = String::from("a lobby");
        let list =
            |request_id, cookie| Content::LobbyListRequest(LobbyListRequest { request_id, cookie });
        let cookie = if self.cookie.is_empty() { "?".into() } else { self.cookie.clone() };
        let content = match net.net.rng.index(7) {
            5 | 6 => list(String::new(), cookie),
            _ if client_id.is_empty() => Content::RegisterRequest(RegisterRequest {
                local_endpoint,
                ..RegisterRequest::default()
            }),
            0 => Content::KeepAlive(KeepAlive { client_id }),
            1 => Content::CreateLobbyRequest(CreateLobbyRequest {
                lobby_name,
                client_id,
                max_players: 4,
            }),
            2 => list(client_id, String::new()),
            3 => Content::JoinLobbyRequest(JoinLobbyRequest { lobby_id, client_id }),
            _ => Content::RegisterRequest(RegisterRequest {
                local_endpoint,
                ..RegisterRequest::default()
            }),
        };
        Message { content: Some(content) }.encode_to_vec()
    }
}

impl Peer for Foreign {
    fn wake(&mut self, _: u32, net: &mut Access<'_>) {
        self.speak(net);
        self.left = self.left.saturating_sub(1);
        if self.left > 0 {
            let pause = net.net.rng.millis(1..5000);
            net.after(pause, 0);
        }
    }

    fn hear(&mut self, link: LinkId, _: &[u8], net: &mut Access<'_>) {
        if net.net.rng.permille(200) {
            net.net.reset(link);
        }
    }

    fn receive(&mut self, _: SocketAddr, payload: &[u8], _: &mut Access<'_>) {
        if let Some(room) = payload.strip_prefix(b"rl:").and_then(|list| list.get(..16)) {
            self.heard_of = String::from_utf8_lossy(room).into_owned();
        }
        if let Some(cookie) = payload.strip_prefix(b"er:rl:cookie:") {
            self.cookie = String::from_utf8_lossy(cookie).into_owned();
        }
        if let Some(key) = payload.strip_prefix(b"rID:") {
            self.key = String::from_utf8_lossy(key).into_owned();
        }
        match Message::decode(payload).ok().and_then(|message| message.content) {
            Some(Content::RegisterResponse(response)) => self.id = response.client_id,
            Some(Content::LobbyListResponse(list)) => {
                let first = list.lobbies.into_iter().next();
                self.heard_of = first.map(|lobby| lobby.lobby_id).unwrap_or_default();
                self.cookie = list.cookie;
            }
            _ => {}
        }
    }
}

/// A binding request, of RFC 8489 or of RFC 3489.
fn stun(net: &mut Access<'_>) -> Vec<u8> {
    let cookie: &[u8] = net.net.rng.pick([b"\x21\x12\xa4\x42", b"abcd"]);
    [b"\0\x01\0\0", cookie, b"0123456789ab"].concat()
}

fn events(net: &mut Access<'_>) {
    let link = net.connect();
    super::rogue::mark_garbage(net, link);
    let lines: [&[u8]; 6] = [
        br#"{"type":"request","name":"login","data":{"id":"a"},"request_id":1}"#,
        br#"{"type":"request","name":"login","data":{"id":"b","keep":true},"request_id":1}"#,
        br#"{"type":"pass","name":"x","dest":"b","data":"while it is away"}"#,
        br#"{"type":"request","name":"create_room","request_id":2,"data":{"name":"Lobby"}}"#,
        br#"{"type":"request","name":"rooms","request_id":3}"#,
        br#"{"type":"pass","name":"x","dest":"a","data":[1,{"#,
    ];
    for _ in 0..1 + net.net.rng.index(4) {
        let line = net.net.rng.pick(lines);
        net.net.send(link, line, None);
    }
    match net.net.rng.index(4) {
        0 => net.net.finish(link, false),
        1 => net.net.reset(link),
        _ => {}
    }
}

fn noise(net: &mut Access<'_>) -> Vec<u8> {
    let words: [&[u8]; 7] =
        [b"", b"registration", b"reg\0", b"\xde\xc0\xad\xde", b"connected\n", b"\0\x01", b"k:"];
    let mut data = net.net.rng.pick(words).to_vec();
    // The bare words are GMnet's: they must not come about by chance.
    data.push(0xFF);
    data.extend((0..net.net.rng.index(40)).map(|_| net.net.rng.number() as u8));
    data
}
