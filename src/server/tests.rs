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

/// In the firewall it is another port.
#[test]
fn what_comes_to_the_alternate_port_does_not_say_that_the_port_of_games_is_open() {
    let mut server = Server::new(Config { alternates_from: Some(1), ..Config::default() });
    let now = Now { instant: Instant::from_micros(60_000_000), unix: 0 };
    let alternate = Via { socket: 1, ..Via::default() };
    server.on_datagram(now, alternate, peer(1), b"\0\x01\0\0", &mut Outbox::new());
    assert!(server.shared.diagnostics.udp_lacks(2, 6510));
    server.on_datagram(now, Via::default(), peer(1), b"reg\n", &mut Outbox::new());
    assert!(!server.shared.diagnostics.udp_lacks(2, 6510));
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

/// What is refused is counted, with its reason and the dialect, for the address that it was refused to.
#[test]
fn what_is_refused_is_counted() {
    use crate::admission::Admission;
    use crate::refusals::Reason;
    let admission = Admission::of(vec!["sesame".into()], Vec::new());
    let mut config = Config::default();
    config.limits.connections_per_address = 1;
    config.dialects.retain(|name| *name != Name::Stun);
    config.gmnet.admission = admission.clone();
    config.rooms.admission = admission.clone();
    config.events.admission = admission.clone();
    config.natpunch.admission = admission;
    let mut server = Server::new(config);
    let now = Now { instant: Instant::from_micros(60_000_000), unix: 1_700_000_000 };
    let tcp = |server: &mut Server, slot: u32, from: SocketAddr, bytes: &[u8]| {
        let (mut out, id) = (Outbox::new(), ConnId { slot, generation: 1 });
        server.on_accept(now, || now.instant, id, from, &mut out);
        server.on_bytes(now, id, bytes, &mut out);
    };
    let registration = |version: &str| format!("reg2\n{version}\n{}", "Chess\n".repeat(8));
    // A host is never idle, so the next connection of its address is refused.
    tcp(&mut server, 0, peer(0), registration("1.2.5").replace("Chess", "sesame").as_bytes());
    tcp(&mut server, 100, peer(0), b"version\n");
    tcp(&mut server, 1, peer(1), registration("1.2.5").as_bytes());
    tcp(&mut server, 2, peer(2), registration("1.1.0").as_bytes());
    tcp(&mut server, 3, peer(3), &[b'x'; 70_000]);
    let login = br#"{"type":"request","name":"login","data":{"id":"a"},"request_id":1}"#;
    tcp(&mut server, 4, peer(4), login);
    tcp(&mut server, 5, peer(5), b"{]");
    tcp(&mut server, 6, peer(6), b"\x16\x03\x01");
    tcp(&mut server, 7, peer(7), &[&40_u32.to_le_bytes()[..], login].concat());
    let register = natpunch(Content::RegisterRequest(RegisterRequest::default()));
    let stun = [&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &[7; 12]].concat();
    for (n, data) in [(10, &b"rh:Room"[..]), (12, &register), (13, &[0xff; 5]), (14, &stun)] {
        returned(&mut server, peer(n), data);
    }
    let of = |speaks: Option<Name>| -> Vec<Reason> {
        let counts = server.refusals().counts().filter(|(_, by, _)| *by == speaks);
        counts
            .inspect(|(.., count)| assert_eq!(count.times, 1))
            .map(|(reason, ..)| reason)
            .collect()
    };
    assert_eq!(of(None), [Reason::ConnectionsOfAddress, Reason::Malformed]);
    assert_eq!(of(Some(Name::Gmnet)), [Reason::Key, Reason::Version, Reason::TooLong]);
    assert_eq!(of(Some(Name::Rooms)), [Reason::Key]);
    assert_eq!(of(Some(Name::Events)), [Reason::Key, Reason::Malformed, Reason::Tls]);
    assert_eq!(of(Some(Name::Natpunch)), [Reason::Key, Reason::Malformed]);
    assert_eq!(of(Some(Name::Stun)), [Reason::NotSpoken]);
    let worst = server.refusals().worst(Reason::Version);
    assert_eq!(worst[0].0.to_string(), peer(2).ip().to_string());
}

/// Whoever is at a blocked address is gone at once in all dialects, and nobody else.
#[test]
fn what_the_owner_blocks_ends_in_all_dialects() {
    use crate::blocks::Blocks;
    use crate::refusals::Reason;
    use std::path::Path;
    let now = Now { instant: Instant::from_micros(60_000_000), unix: 0 };
    let mut server = Server::new(Config::default());
    let open = |server: &mut Server, slot: u32, from: SocketAddr, bytes: &[u8]| {
        let (mut out, id) = (Outbox::new(), ConnId { slot, generation: 1 });
        server.on_accept(now, || now.instant, id, from, &mut out);
        server.on_bytes(now, id, bytes, &mut out);
    };
    let registration = format!("reg2\n1.2.5\n{}", "Chess\n".repeat(8));
    // Half of each hundred are in 198.51.1.0/24.
    let of = |n: u16| peer(if n < 100 { 256 + n } else { 2 * 256 + n - 100 });
    for n in 0..200 {
        open(&mut server, n.into(), of(n), registration.as_bytes());
        returned(&mut server, of(n), b"rh:Room");
        let register = natpunch(Content::RegisterRequest(RegisterRequest::default()));
        returned(&mut server, of(n), &register);
    }
    let list = Blocks::read(Path::new("list"), b"198.51.1.0/24").unwrap();
    server.block(list);
    let mut closed = Vec::new();
    let mut turns = 0;
    while server.next_wakeup().is_some_and(|at| at <= now.instant) {
        let mut out = Outbox::new();
        server.on_wakeup(now, &mut out);
        closed.extend(out.outputs().filter_map(|output| match output {
            Output::Close(conn) => Some(conn.slot),
            _ => None,
        }));
        turns += 1;
        assert!(turns < 20, "it comes to an end");
    }
    assert!(turns > 300 / 64, "64 at a time");
    assert_eq!(server.blocking.ended, 300, "connections, rooms and clients of natpunch");
    closed.sort_unstable();
    assert_eq!(closed, (0..100).collect::<Vec<u32>>());
    for n in [0, 99] {
        assert!(returned(&mut server, of(n), b"status").is_empty());
    }
    assert_eq!(server.refusals().total(Reason::Blocked).times, 2);
    assert!(server.is_blocked(now, of(50).ip()) && !server.is_blocked(now, of(150).ip()));
    // A place that is taken answers once more with what it is, and another ID is another place.
    let id = |server: &mut Server, n: u16| {
        let answers = returned(server, of(n), b"rh:Room");
        String::from_utf8(answers.concat()).unwrap()
    };
    let stays = id(&mut server, 150);
    assert_eq!(stays, id(&mut server, 150));
    server.block(Blocks::default());
    assert!(!returned(&mut server, of(0), b"status").is_empty(), "nobody is blocked any more");
    assert!(server.next_wakeup().is_none_or(|at| at > now.instant));
}

/// Who is blocked from the start is not even let in.
#[test]
fn nobody_hears_who_is_blocked_from_the_start() {
    use crate::blocks::Blocks;
    use std::path::Path;
    let blocks = Blocks::read(Path::new("list"), b"198.51.0.7").unwrap();
    let mut server = Server::new(Config { blocks, ..Config::default() });
    assert!(returned(&mut server, peer(7), b"status").is_empty());
    assert_eq!(returned(&mut server, peer(8), b"status"), [b"OK"]);
}

/// To close one takes the system some 20 µs, so those of one moment would stop all others.
#[test]
fn those_whose_time_is_over_do_not_all_end_at_once() {
    const MANY: u32 = 250;
    let begun: [&[u8]; 4] = [b"", b"{\"type\"", b"GET /lobby HT", b"lobby2\n1"];
    for bytes in begun {
        let mut server = Server::new(Config { public_lobby: true, ..Config::default() });
        let (mut out, mut now) = (Outbox::new(), Now { instant: at_secs(60), unix: 0 });
        for slot in 0..MANY {
            let id = ConnId { slot, generation: 1 };
            server.on_accept(now, || now.instant, id, peer(slot as u16), &mut out);
            server.on_bytes(now, id, bytes, &mut out);
        }
        let closes = |out: &Outbox| {
            out.outputs().filter(|output| matches!(output, Output::Close(_))).count()
        };
        assert_eq!(closes(&out), 0, "{bytes:?}");
        // Whatever there is to do before is done by then.
        now.instant = at_secs(60 + 130);
        let (mut turns, mut closed) = (0, 0);
        while server.next_wakeup().is_some_and(|at| at <= now.instant) {
            let mut out = Outbox::new();
            server.on_wakeup(now, &mut out);
            // Some for two reasons.
            assert!(closes(&out) <= 2 * limits::CLOSED_AT_ONCE, "{bytes:?}");
            closed += closes(&out);
            turns += 1;
            assert!(turns < 100, "it comes to an end");
        }
        assert_eq!(closed, MANY as usize, "{bytes:?}");
    }
}

fn at_secs(secs: u64) -> Instant {
    Instant::from_micros(1_000_000 * secs)
}
