//! Which host a client means that asks for an address where there are several, or writes it in
//! another way, or can reach it only by the other family of addresses.
#![expect(clippy::expect_used, reason = "a helper that fails is a test that fails")]

use std::net::SocketAddr;
use std::time::Duration;

use compat_tests::gmnet::wire::{self, Protocol};
use compat_tests::gmnet::{Data, Query};
use compat_tests::unplugged::Unplugged;
use punchd::dialect::ConnId;
use punchd::limits;

const SECOND: Duration = Duration::from_secs(1);
const ROUTER: &str = "203.0.113.7";

fn addr(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// The endpoint behind that router with this port.
fn behind(port: u16) -> SocketAddr {
    SocketAddr::new(addr("203.0.113.7:1").ip(), port)
}

fn data(game: &str) -> Data {
    std::array::from_fn(|n| if n == 0 { game.to_owned() } else { String::new() })
}

/// A host registers, and some time goes by.
fn host(server: &mut Unplugged, at: SocketAddr, game: &str) -> ConnId {
    server.datagram(at, &wire::udp_register(Protocol::Modern));
    let request = wire::register(Protocol::Modern, wire::CLIENT_VERSION, &data(game));
    let conn = server.open_and_send(at, &request);
    server.pass(2 * SECOND);
    conn
}

/// What a client finds in the lobby of a game, or of all games.
fn looks(server: &mut Unplugged, client: &str, game: &str) -> String {
    let query = Query { filters: data(game), ..Query::default() };
    let conn = server.open_and_send(addr(client), &query.request());
    let heard = server.heard(conn).concat();
    server.end(conn);
    server.pass(SECOND);
    String::from_utf8(heard.get(1..).expect("a lobby").to_vec()).expect("JSON")
}

/// What a client is answered.
fn answer(server: &mut Unplugged, client: &str, host: &str) -> Vec<u8> {
    server.datagram(addr(client), &wire::udp_connect(Protocol::Modern));
    let conn = server.open_and_send(addr(client), &wire::strings(["connect", host]));
    let answer = server.heard(conn).concat();
    server.end(conn);
    server.pass(SECOND);
    answer
}

/// Where a client is told to knock.
fn joins(server: &mut Unplugged, client: &str, host: &str) -> SocketAddr {
    wire::introduction(&answer(server, client, host)).expect("a host").endpoint
}

const ANN: &str = "198.51.100.1:4000";
const BOB: &str = "198.51.100.2:4000";

#[test]
fn who_knows_nothing_gets_the_newest() {
    let mut server = Unplugged::new(&[]);
    host(&mut server, behind(1), "chess");
    host(&mut server, behind(2), "chess");
    assert_eq!(joins(&mut server, ANN, ROUTER), behind(2));
    looks(&mut server, BOB, "");
    host(&mut server, behind(3), "go");
    assert_eq!(joins(&mut server, BOB, ROUTER), behind(3), "all games say nothing");
}

#[test]
fn who_looked_for_a_game_gets_its_host_and_not_a_neighbours() {
    let mut server = Unplugged::new(&[]);
    host(&mut server, behind(1), "chess");
    host(&mut server, behind(2), "go");
    looks(&mut server, ANN, "chess");
    looks(&mut server, BOB, "go");
    assert_eq!(joins(&mut server, ANN, ROUTER), behind(1));
    assert_eq!(joins(&mut server, BOB, ROUTER), behind(2));
    looks(&mut server, ANN, "checkers");
    assert_eq!(joins(&mut server, "198.51.100.9:1", ROUTER), behind(2), "others know nothing");
    looks(&mut server, ANN, "go");
    assert_eq!(joins(&mut server, ANN, ROUTER), behind(2), "what it looked for last");
}

#[test]
fn who_registers_behind_a_players_look_does_not_take_it_over() {
    let mut server = Unplugged::new(&[]);
    let first = host(&mut server, behind(1), "chess");
    looks(&mut server, ANN, "chess");
    host(&mut server, behind(666), "chess");
    assert_eq!(joins(&mut server, ANN, ROUTER), behind(1));
    assert_eq!(server.heard(first).len(), 1);
    // The game itself comes back by a new connection, before its old one has ended and after it.
    let second = host(&mut server, behind(1), "chess");
    host(&mut server, behind(667), "chess");
    assert_eq!(joins(&mut server, ANN, ROUTER), behind(1));
    let told = [server.heard(first).len(), server.heard(second).len()];
    assert_eq!(told, [0, 1], "the old connection is not read any more");
    server.end(first);
    assert_eq!(joins(&mut server, ANN, ROUTER), behind(1));
}

#[test]
fn who_was_there_before_gets_the_same_host_for_some_minutes() {
    let mut server = Unplugged::new(&[]);
    let first = host(&mut server, behind(1), "chess");
    assert_eq!(joins(&mut server, ANN, ROUTER), behind(1));
    host(&mut server, behind(666), "chess");
    looks(&mut server, ANN, "chess");
    looks(&mut server, BOB, "chess");
    assert_eq!(joins(&mut server, ANN, ROUTER), behind(1));
    assert_eq!(joins(&mut server, BOB, ROUTER), behind(666), "he has not been there");
    server.pass(limits::LOOK + SECOND);
    assert_eq!(joins(&mut server, ANN, ROUTER), behind(666), "that was long ago");
    server.end(first);
    assert_eq!(joins(&mut server, ANN, ROUTER), behind(666));
}

#[test]
fn a_host_that_comes_back_on_another_port_is_found() {
    let mut server = Unplugged::new(&[]);
    let first = host(&mut server, behind(1), "chess");
    looks(&mut server, ANN, "chess");
    assert_eq!(joins(&mut server, ANN, ROUTER), behind(1));
    server.end(first);
    host(&mut server, behind(2), "chess");
    assert_eq!(joins(&mut server, ANN, ROUTER), behind(2));
}

#[test]
fn white_space_around_an_address_means_nothing() {
    let mut server = Unplugged::new(&[]);
    host(&mut server, behind(1), "chess");
    let spaces = [" ", "  ", "\t", "\u{a0}", "\u{2003}", "\u{3000}", "\u{2028}"];
    let unseen = ["\u{200b}", "\u{200e}", "\u{2060}", "\u{feff}", "\u{ad}", "\u{200b} \u{feff}"];
    for space in spaces.into_iter().chain(unseen) {
        for text in [format!("{ROUTER}{space}"), format!("{space}{ROUTER}")] {
            let expected = [b"\xff", text.as_bytes(), b"\x001\0"].concat();
            assert_eq!(answer(&mut server, ANN, &text), expected, "as it was written: {text:?}");
        }
        let text = format!("{space}{ROUTER}:1{space}");
        assert_eq!(joins(&mut server, ANN, &text), behind(1), "{text:?}");
    }
    for text in ["203.0.113. 7", "203.0.113.7 :1", ""] {
        assert_eq!(answer(&mut server, ANN, text), [wire::NOT_FOUND], "{text:?}");
    }
}

#[test]
fn nobody_is_introduced_or_shown_to_the_other_family() {
    let (four, six) = ("203.0.113.7:5000", "[2001:db8::7]:5000");
    let viewers = ["198.51.100.1:4000", "[2001:db8::1]:4000"];
    for (at, (sees, other)) in [(four, (0, 1)), (six, (1, 0))] {
        let mut server = Unplugged::new(&[]);
        let host = host(&mut server, addr(at), "chess");
        let ip = addr(at).ip().to_string();
        for game in ["", "chess"] {
            // The replies are kept for the next who ask, so each is asked for twice.
            for viewer in [viewers[sees], viewers[other], viewers[sees], viewers[other]] {
                let is_listed = looks(&mut server, viewer, game).contains(&ip);
                assert_eq!(is_listed, viewer == viewers[sees], "{viewer} and {at}");
            }
        }
        assert_eq!(answer(&mut server, viewers[other], &ip), [wire::NOT_FOUND]);
        assert_eq!(answer(&mut server, viewers[other], at), [wire::NOT_FOUND]);
        assert!(server.heard(host).is_empty(), "the host is not told");
        assert_eq!(joins(&mut server, viewers[sees], &ip), addr(at));
        assert!(!server.heard(host).is_empty());
    }
}

#[test]
fn the_public_address_is_told_to_its_own_family() {
    let public = "192.0.2.1";
    let (four, six) = (addr("192.168.1.5:5000"), addr("[fd00::5]:6000"));
    let viewers = ["198.51.100.1:4000", "[2001:db8::1]:4000"];
    let mut server = Unplugged::new(&["--public-ip", public]);
    host(&mut server, four, "chess");
    host(&mut server, six, "chess");
    assert!(looks(&mut server, viewers[0], "").contains(public));
    let seen = looks(&mut server, viewers[1], "");
    assert!(seen.contains("fd00::5") && !seen.contains(public), "{seen}");
    let told = joins(&mut server, viewers[0], public);
    assert_eq!(told, SocketAddr::new(addr("192.0.2.1:1").ip(), 5000), "not the newer one's");
    assert_eq!(joins(&mut server, viewers[1], "fd00::5"), six);
    assert_eq!(answer(&mut server, viewers[1], public), [wire::NOT_FOUND]);
}

#[test]
fn a_host_whose_udp_leaves_by_a_neighbouring_address_is_found_there() {
    let mut server = Unplugged::new(&[]);
    let (at, udp) = (addr("203.0.113.7:5000"), addr("203.0.200.9:6000"));
    server.datagram(udp, &wire::udp_register(Protocol::Modern));
    server.pass(SECOND / 10);
    let request = wire::register(Protocol::Modern, wire::CLIENT_VERSION, &data("chess"));
    let host = server.open_and_send(at, &request);
    server.pass(60 * SECOND);
    server.datagram(addr(ANN), &wire::udp_connect(Protocol::Modern));
    let conn = server.open_and_send(addr(ANN), &wire::strings(["connect", ROUTER]));
    assert!(server.heard(conn).is_empty(), "its own packet may still come");
    server.pass(limits::INTRODUCTION_WAIT);
    assert_eq!(wire::introduction(&server.heard(conn).concat()).expect("valid").endpoint, udp);
    assert_eq!(
        wire::introduction(&server.heard(host).concat()).expect("valid").endpoint,
        addr(ANN)
    );
    server.datagram(at, &wire::udp_register(Protocol::Modern));
    let again = server.open_and_send(at, &request);
    assert_eq!(joins(&mut server, BOB, ROUTER), at, "its own packet counts when it comes");
    assert!(!server.is_closed(again));
}

/// The packet may be forged, and the host somebody who wants others to knock there.
#[test]
fn few_players_are_told_of_a_packet_from_a_neighbouring_address() {
    let mut server = Unplugged::new(&[]);
    let (at, victim) = (addr("203.0.113.7:5000"), addr("203.0.200.9:6000"));
    let mut told = 0;
    for round in 1..=3 {
        server.datagram(victim, &wire::udp_register(Protocol::Modern));
        let request = wire::register(Protocol::Modern, wire::CLIENT_VERSION, &data("chess"));
        let host = server.open_and_send(at, &request);
        let players = (1..=20).map(|n| addr(&format!("{n}.{round}.2.3:4000")));
        let asking: Vec<ConnId> = players
            .map(|player| {
                server.datagram(player, &wire::udp_connect(Protocol::Modern));
                server.open_and_send(player, &wire::strings(["connect", ROUTER]))
            })
            .collect();
        server.pass(limits::INTRODUCTION_WAIT);
        let answers = asking.iter().map(|conn| server.heard(*conn).concat());
        told += answers.filter(|answer| *answer != [wire::NOT_FOUND]).count();
        server.end(host);
        server.pass(SECOND);
    }
    assert!((1..=4).contains(&told), "{told} of 60 within ten seconds");
}

/// A /48 may be one site's, or a provider's who has a customer in each /64.
#[test]
fn neighbours_in_a_wider_network_of_ipv6_do_not_choose_for_each_other() {
    let mut server = Unplugged::new(&[]);
    let behind = |port| SocketAddr::new(addr("[2001:db8:1::1]:1").ip(), port);
    let (ann, bob) = ("[2001:db8:2:1::1]:4000", "[2001:db8:2:2::1]:4000");
    host(&mut server, behind(1), "chess");
    host(&mut server, behind(2), "go");
    looks(&mut server, ann, "chess");
    looks(&mut server, bob, "go");
    assert_eq!(joins(&mut server, ann, "2001:db8:1::1"), behind(1));
    assert_eq!(joins(&mut server, bob, "2001:db8:1::1"), behind(2));
    looks(&mut server, ann, "chess");
    // Who has a whole /48 takes nothing from others.
    let query = Query { filters: data("go"), ..Query::default() };
    for n in 0..=limits::LOOKS {
        let greedy = addr(&format!("[2001:db8:3:{n:x}::1]:4000"));
        let conn = server.open_and_send(greedy, &query.request());
        server.pass(SECOND / 100);
        assert!(!server.heard(conn).is_empty(), "{n}");
        server.end(conn);
    }
    assert_eq!(joins(&mut server, ann, "2001:db8:1::1"), behind(1));
}
