//! Nobody waits for all that somebody else has asked for: work is counted, done a piece at a time,
//! and charged to who asked for it. On a made-up clock, so that nothing here depends on how fast a
//! machine is.
#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::time::Duration;

use compat_tests::bench::questions::{lobby_request, lobby_request_by};
use compat_tests::gmnet::wire::{self, Data, Protocol};
use compat_tests::unplugged::Unplugged;
use punchd::dialect::ConnId;

/// No rate hinders anybody.
const UNHINDERED: &[&str] = &["--max-commands", "0", "--max-datagrams", "0"];

/// Each turn of the server happens at one time, and the next a little later.
const TURN: Duration = Duration::from_micros(50);

fn peer(kind: u8, n: usize) -> SocketAddr {
    let [.., high, low] = u32::try_from(n).unwrap_or(0).to_be_bytes();
    SocketAddr::from(([100, 100 + kind, high, low], 40_000))
}

/// A server with so many hosts of one game, each at an address of its own.
fn with_hosts(options: &[&str], hosts: usize) -> Unplugged {
    let mut server = Unplugged::new(options);
    for n in 0..hosts {
        server.open_and_send(peer(1, n), &registration(n));
    }
    server.pass(TURN);
    server
}

fn registration(n: usize) -> Vec<u8> {
    let text = (n * 7919 % 1000).to_string();
    let data: Data = ["game", &text, "", "", "", "", "", ""].map(str::to_owned);
    wire::register(Protocol::Modern, wire::CLIENT_VERSION, &data)
}

/// What the server has said on a connection.
fn answers(server: &mut Unplugged, conn: ConnId) -> usize {
    server.heard(conn).len()
}

#[test]
fn who_sends_ahead_is_served_a_piece_at_a_time_and_all_of_it() {
    const REQUESTS: usize = 1400;
    let mut server = with_hosts(UNHINDERED, 1000);
    for request in [lobby_request("", Some(20)), b"version\n".to_vec()] {
        let greedy = server.open_and_send(peer(2, 1), &request.repeat(REQUESTS));
        let at_once = answers(&mut server, greedy);
        assert!((1..=50).contains(&at_once), "{at_once} of {REQUESTS} at once");
        let honest = server.open_and_send(peer(3, 1), b"version\n");
        assert_eq!(answers(&mut server, honest), 1, "somebody else is answered before the rest");
        server.pass(TURN);
        assert_eq!(at_once + answers(&mut server, greedy), REQUESTS);
    }
}

/// A peer of the events, logged in.
fn events_peer(server: &mut Unplugged, at: SocketAddr, id: &str) -> ConnId {
    let login = r#"{"type":"request","name":"login","data":{"id":"ID"},"request_id":0}"#;
    let conn = server.open_and_send(at, login.replace("ID", id).as_bytes());
    assert_eq!(answers(server, conn), 1);
    conn
}

const PING: &[u8] = br#"{"type":"request","name":"ping","request_id":1}"#;

#[test]
fn who_sends_events_ahead_is_served_a_piece_at_a_time_and_all_of_it() {
    const REQUESTS: usize = 170;
    let list = br#"{"type":"request","name":"list_rooms","request_id":1}"#;
    let pass = br#"{"type":"confirm_pass","name":"x","dest":"nobody","pass_id":1}"#;
    // Where there are rates, who asks too much is told so each time, and who passes too much waits.
    for options in [UNHINDERED, &["--max-commands", "1", "--max-datagrams", "1"]] {
        let mut server = Unplugged::new(options);
        let greedy = events_peer(&mut server, peer(2, 1), "greedy");
        let mut makers = 0;
        while makers < 64 && options == UNHINDERED {
            let at = peer(4, makers);
            let maker = events_peer(&mut server, at, &format!("maker{makers}"));
            let make = br#"{"type":"request","name":"create_room","data":{"name":"a room"},"request_id":1}"#;
            server.send(maker, make);
            makers += 1;
        }
        for request in [PING, list, pass] {
            server.send(greedy, &request.repeat(REQUESTS));
            let at_once = answers(&mut server, greedy);
            assert!((1..=20).contains(&at_once), "{at_once} of {REQUESTS} at once");
            let honest = server.open_and_send(peer(3, 1), PING);
            assert_eq!(
                answers(&mut server, honest),
                1,
                "somebody else is answered before the rest"
            );
            server.pass(TURN);
            let all = at_once + answers(&mut server, greedy);
            let waits = request == pass && options != UNHINDERED;
            assert_eq!(all, if waits { at_once } else { REQUESTS });
        }
    }
}

#[test]
fn events_of_many_addresses_do_not_add_up_before_somebody_else() {
    const PEERS: usize = 1000;
    let mut server = Unplugged::new(UNHINDERED);
    let greedy: Vec<ConnId> =
        (0..PEERS).map(|n| events_peer(&mut server, peer(2, n), &format!("greedy{n}"))).collect();
    greedy.iter().for_each(|conn| server.send(*conn, &PING.repeat(170)));
    let served = |server: &mut Unplugged| -> usize {
        greedy.iter().map(|conn| answers(server, *conn)).sum()
    };
    let at_once = served(&mut server);
    assert!(at_once < 2 * PEERS, "{at_once} of {} at once", 170 * PEERS);
    let mut turns = 0;
    loop {
        let honest = server.open_and_send(peer(3, turns), PING);
        assert_eq!(answers(&mut server, honest), 1);
        if !server.wake_up() {
            break;
        }
        let served = served(&mut server);
        assert!(served <= 64, "{served} in one turn");
        turns += 1;
    }
    assert!(turns > 1000, "{turns} turns");
}

#[test]
fn the_more_connections_have_something_to_read_the_less_is_done_for_one_at_a_time() {
    const REQUESTS: usize = 10;
    for dialect in ["gmnet", "events"] {
        for (ready, most) in [(1, REQUESTS), (500, 1)] {
            let mut server = Unplugged::new(UNHINDERED);
            let (conn, request) = match dialect {
                "events" => (events_peer(&mut server, peer(2, 1), "one"), PING),
                _ => (server.open(peer(2, 1)), &b"version\n"[..]),
            };
            server.note_ready(ready);
            server.send(conn, &request.repeat(REQUESTS));
            let at_once = answers(&mut server, conn);
            assert_eq!(at_once, most, "{dialect}, {ready} connections");
            // Those that wait here come after those that have something to read.
            assert!(at_once == REQUESTS || server.wake_up());
            let later = answers(&mut server, conn);
            assert!(at_once + later == REQUESTS || later <= 4, "{later} in a turn");
            server.pass(TURN);
            assert_eq!(at_once + later + answers(&mut server, conn), REQUESTS);
        }
    }
}

#[test]
fn work_of_many_connections_does_not_add_up_in_one_turn() {
    let mut server = with_hosts(UNHINDERED, 1000);
    let request = |n: usize| lobby_request_by("game", "data2", Some(900 - n % 64));
    let greedy: Vec<ConnId> =
        (0..500).map(|n| server.open_and_send(peer(2, n % 2), &request(n))).collect();
    let served =
        |server: &mut Unplugged| greedy.iter().filter(|conn| answers(server, **conn) > 0).count();
    let at_once = served(&mut server);
    assert!(at_once < 50, "{at_once} of 500 before anybody else");
    let honest = server.open_and_send(peer(3, 1), &lobby_request_by("game", "data2", Some(20)));
    let mut before_honest = at_once;
    while answers(&mut server, honest) == 0 {
        assert!(server.wake_up(), "the honest one is answered");
        before_honest += served(&mut server);
    }
    assert!(before_honest < 100, "{before_honest} of 500 were served before the honest one");
    server.pass(Duration::ZERO);
    assert_eq!(before_honest + served(&mut server), 500, "everybody is answered in the end");
}

#[test]
fn addresses_take_turns_so_that_one_does_not_wait_for_all_that_another_asked_for() {
    let mut server = with_hosts(UNHINDERED, 1000);
    let request = lobby_request("game", Some(500));
    let greedy: Vec<ConnId> =
        (0..200).map(|_| server.open_and_send(peer(2, 1), &request.repeat(10))).collect();
    let honest = server.open_and_send(peer(3, 1), &lobby_request("game", Some(499)));
    let mut turns = 0;
    while answers(&mut server, honest) == 0 {
        assert!(server.wake_up(), "the honest one is answered");
        turns += 1;
    }
    assert!(turns <= 2, "after {turns} turns");
    server.pass(Duration::ZERO);
    let all: usize = greedy.iter().map(|conn| answers(&mut server, *conn)).sum();
    assert_eq!(all, 2000);
}

#[test]
fn a_list_is_sorted_a_piece_at_a_time_and_then_kept() {
    let mut server = with_hosts(UNHINDERED, 5000);
    let request = lobby_request_by("game", "data2", Some(20));
    let asker = server.open_and_send(peer(2, 1), &request);
    let mut turns = 0;
    while answers(&mut server, asker) == 0 {
        let other = server.open_and_send(peer(3, 1), b"version\n");
        assert_eq!(answers(&mut server, other), 1);
        assert!(server.wake_up(), "the list gets sorted");
        turns += 1;
    }
    assert!(turns > 1, "all at once");
    for n in 5000..5100 {
        let host = server.open_and_send(peer(1, n), &registration(n));
        server.pass(TURN);
        server.send(asker, &request);
        assert_eq!(answers(&mut server, asker), 1, "the list is there already");
        server.end(host);
    }
}

/// Who asks for eight orders again and again has all lists that are kept.
#[test]
fn a_list_for_which_there_is_no_room_is_not_sorted_in_one_go() {
    let mut server = with_hosts(UNHINDERED, 5000);
    let mut ask = |n: usize, request: &[u8]| {
        let asker = server.open_and_send(peer(2, n), request);
        let mut turns = 0;
        while answers(&mut server, asker) == 0 {
            assert!(server.wake_up(), "the list gets sorted");
            turns += 1;
        }
        turns
    };
    for _ in 0..2 {
        (1..=8).for_each(|n| _ = ask(n, &lobby_request_by("game", &format!("data{n}"), Some(1))));
    }
    let other = String::from_utf8(lobby_request_by("game", "data2", Some(20))).expect("a text");
    let turns = ask(9, other.replace("DESC", "ASC").as_bytes());
    assert!((2..100).contains(&turns), "{turns} turns");
}

#[test]
fn a_request_is_charged_for_the_hosts_it_looks_at() {
    let mut server = with_hosts(&[], 2000);
    let mut filtered = String::from("lobby2\ngame\nno such thing\n");
    filtered.push_str("\n\n\n\n\n\ndate\nDESC\n\n");
    let sorted = String::from_utf8(lobby_request_by("game", "data3", Some(1))).expect("text");
    for (n, request) in [filtered, sorted].into_iter().enumerate() {
        let asker = server.open(peer(2, n));
        let mut served = 0;
        for k in 0..1000 {
            // Something changes, so that no reply is kept.
            server.open_and_send(peer(4, 2000 * n + k), &registration(k));
            server.send(asker, request.as_bytes());
            while server.wake_up() {}
            served += answers(&mut server, asker);
        }
        // The sorted list is there after the first time, and looks at one host.
        let most = if n == 0 { 100 } else { 1000 };
        assert!((1..=most).contains(&served), "{served} served: {request:?}");
    }
}

#[test]
fn nothing_is_charged_for_hosts_that_nobody_looks_at() {
    let mut server = with_hosts(&[], 2000);
    let asker = server.open(peer(2, 1));
    for _ in 0..2000 {
        server.send(asker, &lobby_request("other game", Some(20)));
        while server.wake_up() {}
    }
    assert_eq!(answers(&mut server, asker), 2000);
}

/// Each time a host registers, all are looked at who wait for it.
#[test]
fn who_registers_again_and_again_is_charged_for_those_who_wait_for_it() {
    const REQUESTS: usize = 700;
    let at_once = |waiting: usize| {
        let mut server = Unplugged::new(UNHINDERED);
        // It shows no port, so that they wait.
        let host = server.open_and_send(peer(1, 0), b"reg\n");
        let asks = format!("connect\n{}\n", peer(1, 0).ip());
        for n in 0..waiting {
            server.open_and_send(peer(2, n % 4), asks.as_bytes());
        }
        server.send(host, &b"reg\nversion\n".repeat(REQUESTS));
        let at_once = answers(&mut server, host);
        server.pass(TURN);
        assert_eq!(at_once + answers(&mut server, host), REQUESTS);
        at_once
    };
    assert!(at_once(0) > 4);
    assert!((0..=2).contains(&at_once(256)));
}

/// A packet of a client that has asked sixty times may be the one that each of these waits for.
#[test]
fn who_asks_often_is_answered_when_all_datagrams_have_been_read() {
    const REQUESTS: usize = 60;
    let mut server = Unplugged::new(UNHINDERED);
    let host = peer(1, 0);
    server.datagram(host, &wire::udp_register(Protocol::Modern));
    server.open_and_send(host, &registration(0));
    server.pass(TURN);
    let asks = wire::connect(Protocol::Modern, host.ip());
    for requests in [1, REQUESTS] {
        let client = peer(2, requests);
        let waiting: Vec<ConnId> =
            (0..requests).map(|_| server.open_and_send(client, &asks)).collect();
        let answered = |server: &mut Unplugged| {
            waiting.iter().filter(|conn| answers(server, **conn) > 0).count()
        };
        server.datagram(client, &wire::udp_connect(Protocol::Modern));
        assert_eq!(answered(&mut server), usize::from(requests == 1), "{requests}");
        server.pass(TURN);
        assert_eq!(answered(&mut server) > 0, requests > 1, "{requests}");
    }
}
