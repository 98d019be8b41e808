//! What no dialect can show alone.

use super::*;
use crate::dialect::Output;
use crate::dialect::natpunch::message::{
    Content, CreateLobbyRequest, LobbyListRequest, Message, RegisterRequest,
};
use prost::Message as _;

fn peer(n: u16) -> SocketAddr {
    let [high, low] = n.to_be_bytes();
    SocketAddr::from(([198, 51, high, low], 40_000))
}

/// The datagrams that go back to a peer for one from it.
fn returned(server: &mut Server, from: SocketAddr, data: &[u8]) -> Vec<Vec<u8>> {
    let now = Now { instant: Instant::from_micros(60_000_000), unix: 0 };
    let mut out = Outbox::new();
    server.on_datagram(now, Via::default(), from, data, &mut out);
    let back = out.outputs().filter_map(|output| match output {
        Output::Udp(_, to, bytes) => (to == from).then(|| bytes.to_vec()),
        _ => None,
    });
    back.collect()
}

fn wire_size(datagrams: &[Vec<u8>]) -> usize {
    datagrams.iter().map(|datagram| datagram.len() + 28).sum()
}

fn natpunch(content: Content) -> Vec<u8> {
    Message { content: Some(content) }.encode_to_vec()
}

#[test]
fn it_is_asked_when_a_connection_began_unless_one_datagram_has_just_come() {
    let at = |ms: u64| Now { instant: Instant::from_micros(1_000_000 + 1000 * ms), unix: 0 };
    let asks = |behind: u64, sent: &[(u64, u16)], comes: u64| {
        let (mut server, mut out) = (Server::new(Config::default()), Outbox::new());
        server.note_behind(Duration::from_millis(behind));
        for (ms, port) in sent {
            let from = SocketAddr::new(peer(1).ip(), *port);
            server.on_datagram(at(*ms), Via::default(), from, b"connect\n", &mut out);
        }
        let mut asked = false;
        let began = || {
            asked = true;
            at(0).instant
        };
        let conn = ConnId { slot: 0, generation: 1 };
        server.on_accept(at(comes), began, conn, peer(1), &mut out);
        asked
    };
    assert!(!asks(0, &[(100, 1)], 100) && !asks(0, &[(100, 1)], 105));
    assert!(asks(0, &[], 100), "it may still come");
    assert!(asks(0, &[(100, 1)], 106), "it may be that of another connection");
    assert!(asks(0, &[(100, 1), (100, 2)], 100), "it may be either");
    assert!(!asks(50, &[(100, 1)], 150), "both have waited: the round trip tells nothing");
    assert!(asks(50, &[(100, 1)], 151), "it had come before");
    assert!(asks(50, &[(100, 1), (110, 2)], 150), "it may be either");
    assert!(asks(10_000, &[(100, 1)], 1101), "it has not waited for so long");
}

#[test]
fn all_dialects_together_do_not_amplify() {
    let mut server = Server::new(Config::default());
    for n in 0..20 {
        let name = "x".repeat(60);
        assert_eq!(returned(&mut server, peer(n), format!("rh:{name}").as_bytes()).len(), 2);
        let register = natpunch(Content::RegisterRequest(RegisterRequest::default()));
        let [answer] = &returned(&mut server, peer(n), &register)[..] else { panic!() };
        let Some(Content::RegisterResponse(me)) = Message::decode(&answer[..]).unwrap().content
        else {
            panic!("{answer:?}")
        };
        let (client_id, lobby_name, max_players) = (me.client_id, name, 8);
        let create = CreateLobbyRequest { client_id, lobby_name, max_players };
        let create = natpunch(Content::CreateLobbyRequest(create));
        assert_eq!(returned(&mut server, peer(n), &create).len(), 1);
    }
    let victim = peer(1000);
    let list = natpunch(Content::LobbyListRequest(LobbyListRequest::default()));
    let (mut received, mut sent) = (0, 0);
    for request in [&b"rl"[..], b"rl:0123456789abcdef", &list, b"status", b"ka"].repeat(20) {
        received += request.len() + 28;
        sent += wire_size(&returned(&mut server, victim, request));
        assert!(sent <= 3 * received, "{sent} for {received}");
    }
    assert!(sent > received);
}
