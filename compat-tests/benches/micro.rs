//! What single steps cost, without sockets. Times of one run are to be compared with each other;
//! on a shared machine those of different days are not.
#![forbid(unsafe_code)]
#![expect(clippy::expect_used, reason = "a benchmark of what is wrong must fail")]

use std::hint::black_box;
use std::net::Ipv4Addr;
use std::time::Duration;

use compat_tests::bench::notes::Notes;
use compat_tests::bench::players::{game, games, usual};
use compat_tests::bench::questions::{lobby_request, lobby_request_by};
use compat_tests::bench::sockets::address;
use compat_tests::bench::world::{World, registration};
use compat_tests::gmnet::wire::{self, Protocol};
use divan::Bencher;
use punchd::clock::Instant;
use punchd::dialect::gmnet::command::{Go, Reader, Spare};
use punchd::dialect::gmnet::{datagram, text};
use punchd::introductions::journal::{self, Way};
use punchd::introductions::relay::forwarding::Forwarding;
use punchd::introductions::relay::{Bounds, Session, SessionId, Shape, Side};

fn main() {
    divan::main();
}

/// What a request costs that somebody sends again and again on a connection, beside `hosts`.
fn request(bencher: Bencher<'_, '_>, hosts: usize, before: &[&str], request: &str) {
    let mut world = World::new(hosts, usual).expect("all hosts register");
    let conn = world.connect(0);
    before.iter().for_each(|request| _ = world.say(conn, request.as_bytes()));
    bencher.bench_local(|| assert!(world.say(conn, request.as_bytes()) > 0, "no answer"));
}

/// The same for datagrams; others have sent theirs before.
fn datagram(bencher: Bencher<'_, '_>, others: (usize, &[u8]), before: &[&[u8]], request: &[u8]) {
    let mut world = World::new(2000, usual).expect("all hosts register");
    (1..=others.0).for_each(|n| _ = world.hear(n, others.1));
    before.iter().for_each(|request| _ = world.hear(0, request));
    bencher.bench_local(|| assert!(world.hear(0, request) > 0, "no answer"));
}

mod work {
    use super::*;
    use prost::Message as _;
    use punchd::dialect::natpunch::message::{
        Content, CreateLobbyRequest, LobbyListRequest, Message, RegisterRequest,
    };

    const LOGIN: &str =
        r#"{"type":"request","name":"login","data":{"id":"a","game":"g"},"request_id":1}"#;

    #[divan::bench]
    fn gmnet_version(bencher: Bencher<'_, '_>) {
        // Beside few hosts the clock of the world runs so fast that the connection is idle for too long.
        request(bencher, 10_000, &[], "version\n");
    }

    #[divan::bench]
    fn gmnet_reg2_again(bencher: Bencher<'_, '_>) {
        let register = "reg2\n1.2.4\nMy Game\nRoom\n1\n8\n\n\n\n\n";
        let mut world = World::new(10_000, usual).expect("all hosts register");
        let conn = world.connect(0);
        bencher.bench_local(|| world.say(conn, register.as_bytes()));
    }

    #[divan::bench]
    fn gmnet_connect_to_nobody(bencher: Bencher<'_, '_>) {
        request(bencher, 10_000, &[], "connect\n203.0.113.7\n");
    }

    #[divan::bench]
    fn gmnet_lobby2_of_10000_kept(bencher: Bencher<'_, '_>) {
        request(bencher, 10_000, &[], "lobby2\n\n\n\n\n\n\n\n\ndate\nDESC\n\n");
    }

    #[divan::bench]
    fn gmnet_lobby2_of_10000_that_finds_none(bencher: Bencher<'_, '_>) {
        request(bencher, 10_000, &[], "lobby2\n\n\n\n\n\n\n\nnone\ndate\nDESC\n\n");
    }

    #[divan::bench]
    fn events_ping(bencher: Bencher<'_, '_>) {
        request(bencher, 1, &[LOGIN], r#"{"type":"request","name":"ping","request_id":2}"#);
    }

    #[divan::bench]
    fn events_list_rooms(bencher: Bencher<'_, '_>) {
        let mut world = World::new(1, usual).expect("a host registers");
        for n in 1..=100 {
            let conn = world.connect(n);
            world.say(conn, LOGIN.replace(r#""a""#, &format!(r#""p{n}""#)).as_bytes());
            let name = "name as long as one may be, so that the list gets longer than others ...";
            let create = format!(
                r#"{{"type":"request","name":"create_room","data":{{"name":"{:.60}"}},"request_id":2}}"#,
                name
            );
            world.say(conn, create.as_bytes());
        }
        let conn = world.connect(0);
        world.say(conn, LOGIN.as_bytes());
        let list = br#"{"type":"request","name":"list_rooms","request_id":2}"#;
        bencher.bench_local(|| assert!(world.say(conn, list) > 5000, "no list"));
    }

    #[divan::bench]
    fn events_pass_of_60000_bytes(bencher: Bencher<'_, '_>) {
        let text = "x".repeat(60_000);
        let pass = format!(r#"{{"type":"pass","name":"n","dest":"a","data":"{text}"}}"#);
        let mut world = World::new(1, usual).expect("a host registers");
        let conn = world.connect(0);
        world.say(conn, LOGIN.as_bytes());
        bencher.bench_local(|| world.say(conn, pass.as_bytes()));
    }

    #[divan::bench]
    fn rooms_status(bencher: Bencher<'_, '_>) {
        datagram(bencher, (0, b""), &[], b"status");
    }

    #[divan::bench]
    fn rooms_rl_of_1000(bencher: Bencher<'_, '_>) {
        let mut list = b"rl".to_vec();
        list.resize(1200, 0);
        datagram(bencher, (1000, b"rh:A room with a usual name"), &[], &list);
    }

    #[divan::bench]
    fn natpunch_list_of_60(bencher: Bencher<'_, '_>) {
        let encode = |content| Message { content: Some(content) }.encode_to_vec();
        let register = encode(Content::RegisterRequest(RegisterRequest::default()));
        let mut world = World::new(2000, usual).expect("all hosts register");
        let ids: Vec<String> = (0..60)
            .map(|n| {
                let id = world.ask_udp(n, &register, |answer| {
                    let message = Message::decode(answer).expect("a message");
                    let Some(Content::RegisterResponse(response)) = message.content else {
                        return String::new();
                    };
                    response.client_id
                });
                let (lobby_name, client_id) = ("A lobby of a usual name".into(), id.clone());
                let create = CreateLobbyRequest { lobby_name, client_id, max_players: 4 };
                world.hear(n, &encode(Content::CreateLobbyRequest(create)));
                id
            })
            .collect();
        let list = LobbyListRequest { request_id: ids[0].clone(), ..Default::default() };
        let list = encode(Content::LobbyListRequest(list));
        bencher.bench_local(|| assert!(world.hear(0, &list) > 500, "no list"));
    }

    #[divan::bench]
    fn stun_binding(bencher: Bencher<'_, '_>) {
        datagram(bencher, (0, b""), &[], b"\0\x01\0\0\x21\x12\xa4\x42twelve bytes");
    }
}

/// The lines of a request become a command.
fn read(bencher: Bencher<'_, '_>, request: &[u8]) {
    let mut spare = Spare::default();
    bencher.bench_local(|| {
        Reader::default().read(black_box(request), &mut spare, |command| {
            black_box(command);
            Go::On
        })
    });
}

#[divan::bench]
fn read_reg2(bencher: Bencher<'_, '_>) {
    read(bencher, &wire::register(Protocol::Modern, wire::CLIENT_VERSION, &usual(1)));
}

#[divan::bench]
fn read_connect(bencher: Bencher<'_, '_>) {
    read(bencher, &wire::connect(Protocol::Modern, Ipv4Addr::new(203, 0, 113, 7).into()));
}

#[divan::bench]
fn read_datagram() -> Option<datagram::Datagram> {
    datagram::parse(black_box(b"\xde\xc0\xad\xde\x0c\0\0\0\x09\0\0\0connect\n\0"))
}

#[divan::bench(args = ["printable ASCII", "\0NUL before it", "\0Caf\u{e9} \u{1f600}", "broken \u{fffd}"])]
fn clean(bencher: Bencher<'_, '_>, line: &str) {
    let mut line = line.as_bytes().to_vec();
    if line.starts_with(b"broken") {
        line.push(0xff);
    }
    let mut cleaned = String::new();
    bencher.bench_local(|| {
        cleaned.clear();
        text::clean_into(black_box(&line), &mut cleaned);
        cleaned.len()
    });
}

#[divan::bench(args = [100, 10_000, 100_000])]
fn introduce_among(bencher: Bencher<'_, '_>, hosts: usize) {
    let mut world = World::new(hosts, usual).expect("all hosts register");
    bencher.bench_local(|| world.introduce().expect("both are told"));
}

#[divan::bench(args = [100, 10_000, 100_000])]
fn register_and_leave_among(bencher: Bencher<'_, '_>, hosts: usize) {
    let mut world = World::new(hosts, usual).expect("all hosts register");
    let request = registration(&usual(1));
    bencher.bench_local(|| {
        let conn = world.register(hosts, &request);
        world.leave(conn);
    });
}

/// The lobby of twenty hosts of one game, to which one has come just before and has left.
#[divan::bench(args = [100, 10_000, 100_000])]
fn changed_lobby_of_one_game_among(bencher: Bencher<'_, '_>, hosts: usize) {
    let data = games(hosts / 20);
    let mut world = World::new(hosts, &data).expect("all hosts register");
    let (request, register) = (lobby_request(&game(3), Some(20)), registration(&data(3)));
    bencher.bench_local(|| {
        let conn = world.register(hosts, &register);
        world.leave(conn);
        world.ask(&request, <[u8]>::len)
    });
}

/// The lobby of all hosts, to which one has come just before and has left.
#[divan::bench(args = [100, 10_000])]
fn changed_lobby_of_everything(bencher: Bencher<'_, '_>, hosts: usize) {
    let mut world = World::new(hosts, usual).expect("all hosts register");
    let (request, register) = (lobby_request("", None), registration(&usual(1)));
    bencher.bench_local(|| {
        let conn = world.register(hosts, &register);
        world.leave(conn);
        world.ask(&request, <[u8]>::len)
    });
}

/// Twenty of all hosts sorted by a string, where one has come just before and has left.
#[divan::bench(args = [100, 10_000, 100_000])]
fn changed_sorted_lobby_of_twenty_among(bencher: Bencher<'_, '_>, hosts: usize) {
    let mut world = World::new(hosts, usual).expect("all hosts register");
    let (request, register) =
        (lobby_request_by("", "data2", Some(20)), registration(&usual(hosts)));
    while world.ask(&request, <[u8]>::len) == 0 {}
    bencher.bench_local(|| {
        let conn = world.register(hosts, &register);
        world.leave(conn);
        world.ask(&request, <[u8]>::len)
    });
}

/// All hosts are looked at and none matches.
#[divan::bench(args = [100, 10_000])]
fn changed_lobby_that_nobody_matches_among(bencher: Bencher<'_, '_>, hosts: usize) {
    let mut world = World::new(hosts, usual).expect("all hosts register");
    let register = registration(&usual(1));
    let request = wire::strings(["lobby2", "", "no such room", "", "", "", "", "", "", "", "", ""]);
    bencher.bench_local(|| {
        let conn = world.register(hosts, &register);
        world.leave(conn);
        world.ask(&request, <[u8]>::len)
    });
}

/// What of a relayed packet is not the kernel's, with so many sessions, each of which has one in turn.
#[divan::bench(args = [1, 32, 4096])]
fn relay_passes_on(bencher: Bencher<'_, '_>, sessions: usize) {
    let [session_bytes, session_packets, total_bytes] = [u32::MAX; 3];
    let bounds = Bounds { session_bytes, session_packets, total_bytes, ..Bounds::default() };
    let mut forwarding = Forwarding::new(bounds);
    let mut packet = [0x2E; 100];
    packet[..4].copy_from_slice(b"\xDE\xC0\xAD\xDE");
    let (mut micros, mut sent) = (0, 0);
    let mut pass = |forwarding: &mut Forwarding, n: usize| {
        let (port, ip) = (20_000 + (n / 2 % 1024) as u16, address(14, n));
        micros += 1;
        let now = Instant::from_micros(micros);
        let mut send = |_, to, data: &[u8]| sent += black_box((to, data)).1.len();
        forwarding.on_datagram(now, port, (ip, 5000).into(), black_box(&packet), &mut send);
        sent
    };
    for n in 0..sessions {
        let side = |n| Side { addr: address(14, n).into(), port: 20_000 + (n / 2 % 1024) as u16 };
        let id = SessionId(n as u64);
        let sides = [side(2 * n), side(2 * n + 1)];
        forwarding.open(Instant::default(), Session { id, sides, shape: Shape::GameMaker });
        for n in [2 * n, 2 * n + 1, 2 * n] {
            pass(&mut forwarding, n);
        }
    }
    let mut n = 0;
    bencher.bench_local(|| {
        n = (n + 1) % (2 * sessions);
        pass(&mut forwarding, n)
    });
    assert!(sent > 0, "packets were passed on");
}

/// How an introduction ended is noted; that of ten thousand, in turn.
#[divan::bench(args = ["directly", "not at all"])]
fn journal_note(bencher: Bencher<'_, '_>, how: &str) {
    let way = match how {
        "directly" => Way::Direct(Some(Duration::from_millis(250))),
        _ => Way::No(journal::Relay::Untried),
    };
    let mut notes = Notes::new(10_000);
    bencher.bench_local(|| notes.next(way));
}

/// Twenty hosts of one game.
#[divan::bench(args = [100, 10_000, 100_000])]
fn lobby_of_one_game_among(bencher: Bencher<'_, '_>, hosts: usize) {
    let mut world = World::new(hosts, games(hosts / 20)).expect("all hosts register");
    let request = lobby_request(&game(3), Some(20));
    bencher.bench_local(|| world.ask(&request, <[u8]>::len));
}

#[divan::bench(args = [100, 10_000])]
fn lobby_of_everything(bencher: Bencher<'_, '_>, hosts: usize) {
    let mut world = World::new(hosts, usual).expect("all hosts register");
    let request = lobby_request("", None);
    bencher.bench_local(|| world.ask(&request, <[u8]>::len));
}

/// Another process goes on, with all that one knows who has so many hosts.
mod handover {
    use super::*;

    #[divan::bench]
    fn save_10000_hosts(bencher: Bencher<'_, '_>) {
        let world = World::new(10_000, usual).expect("all hosts register");
        bencher.bench_local(|| world.save());
    }

    #[divan::bench]
    fn load_10000_hosts(bencher: Bencher<'_, '_>) {
        let world = World::new(10_000, usual).expect("all hosts register");
        let bytes = world.save();
        bencher.bench_local(|| world.load(&bytes).expect("it is understood"));
    }
}
