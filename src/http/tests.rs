use std::net::IpAddr;

use proptest::prelude::*;

use super::*;
use crate::clock::{Instant, Now};
use crate::dialect::{ConnId, Outbox, Output, Reads};
use crate::limits;

const CONN: ConnId = ConnId { slot: 0, generation: 1 };

/// One connection, on which the path of each request is answered.
struct World {
    http: Http,
    now: Now,
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// What came of it: what was written, and whether the connection was closed.
type Came = (String, bool);

fn answer(_: IpAddr, request: &Request<'_>) -> Answer {
    Answer::of(Body::Text(format!("[{}]", request.path).into()))
}

impl World {
    fn new() -> Self {
        let mut world = Self { http: Http::new(For::Owner), now: Now::default() };
        world.http.open(Instant::default(), CONN, ip("127.0.0.1"));
        world
    }

    fn act(&mut self, act: impl FnOnce(&mut Http, Now, &mut Outbox)) -> Came {
        let mut out = Outbox::new();
        act(&mut self.http, self.now, &mut out);
        let (mut said, mut closed) = (String::new(), false);
        for output in out.outputs() {
            match output {
                Output::Tcp(_, bytes) => said += &String::from_utf8_lossy(bytes),
                Output::Close(_) => closed = true,
                Output::Udp(..) => panic!("a datagram"),
            }
        }
        (said, closed)
    }

    fn send(&mut self, text: &str) -> Came {
        self.act(|http, now, out| http.read(now, CONN, text.as_bytes(), out, &mut answer))
    }

    fn wake_at(&mut self, seconds: u64) -> Came {
        self.now.instant = Instant::from_micros(1_000_000 * seconds);
        self.act(|http, now, out| http.wake(now, out, &mut answer))
    }
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

/// The statuses and bodies of several answers.
fn told(said: &str) -> Vec<String> {
    let answers = said.split("HTTP/1.1 ").skip(1);
    answers
        .map(|text| {
            let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
            format!("{} {body}", text.get(..3).unwrap())
        })
        .collect()
}

#[test]
fn requests_are_answered_however_they_are_cut() {
    let mut world = World::new();
    let all = get("/a");
    for byte in all.chars().take(all.len() - 1) {
        assert_eq!(world.send(&byte.to_string()), (String::new(), false));
    }
    let (said, closed) = world.send("\n");
    assert_eq!((told(&said), closed), (vec!["200 [/a]".to_owned()], false));
    let (said, closed) = world.send("\r\nHEAD /b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert!(said.contains("Content-Length: 4\r\n") && said.ends_with("Connection: close\r\n\r\n"));
    assert!(closed && !world.http.has(CONN) && world.http.is_empty());
    assert_eq!(world.http.next_wakeup(), None, "nothing is left");
}

#[test]
fn each_answer_says_what_browsers_may_do_with_it() {
    for text in [get("/"), "POST / HTTP/1.1\r\nHost: x\r\n\r\n".into(), "x\r\n\r\n".into()] {
        let (said, _) = World::new().send(&text);
        for header in [
            "X-Content-Type-Options: nosniff\r\n",
            "X-Frame-Options: DENY\r\n",
            "Referrer-Policy: no-referrer\r\n",
            "Content-Security-Policy: default-src 'none'; script-src 'self';",
            "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n",
        ] {
            assert!(said.contains(header), "{header} is not in {said}");
        }
        assert!(!said.contains("unsafe"), "nothing in the text runs");
    }
}

#[test]
fn what_is_wrong_is_said_and_ends_the_connection() {
    for (text, status) in [
        ("nonsense\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", "400"),
        ("POST / HTTP/1.1\r\nHost: x\r\n\r\n", "405"),
    ] {
        let (said, closed) = World::new().send(text);
        assert!(said.starts_with(&format!("HTTP/1.1 {status}")) && closed, "{text:?}: {said}");
        assert_eq!(told(&said).len(), 1, "{text:?}");
    }
    let (said, _) = World::new().send("POST / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(said.contains("Allow: GET, HEAD\r\n"));
}

#[test]
fn of_several_requests_at_once_each_has_a_turn_of_its_own() {
    let mut world = World::new();
    let (said, _) = world.send(&(get("/1") + &get("/2") + &get("/3")));
    assert_eq!(told(&said), ["200 [/1]"]);
    assert_eq!(world.http.reads(CONN), Reads::NextTurn, "no more is read meanwhile");
    assert_eq!(world.http.next_wakeup(), Some(Instant::default()));
    assert_eq!(told(&world.wake_at(0).0), ["200 [/2]"]);
    // One who does not read gets no more.
    world.http.note_unread(CONN, 10);
    assert_eq!(world.http.reads(CONN), Reads::Later);
    assert_eq!(world.wake_at(0).0, "");
    assert_ne!(world.http.next_wakeup(), Some(Instant::default()), "it does not spin");
    world.http.note_unread(CONN, 0);
    let (said, closed) = world.wake_at(0);
    assert_eq!((told(&said), closed), (vec!["200 [/3]".to_owned()], false));
    assert_eq!(world.http.reads(CONN), Reads::Now);
}

#[test]
fn who_sends_its_last_byte_gets_all_answers() {
    let mut world = World::new();
    world.send(&(get("/1") + &get("/2")));
    assert!(!world.act(|http, _, out| http.fin(CONN, out)).1);
    let (said, closed) = world.wake_at(0);
    assert_eq!((told(&said), closed), (vec!["200 [/2]".to_owned()], true));
    let mut world = World::new();
    world.send("GET / HT");
    assert!(world.act(|http, _, out| http.fin(CONN, out)).1, "no more of it comes");
}

#[test]
fn who_is_slow_or_silent_is_closed() {
    let within = limits::HTTP_REQUEST_TIME.as_secs();
    let mut world = World::new();
    world.send("GET / HT");
    world.wake_at(within - 1);
    // Every byte a little later does not help.
    assert_eq!(world.send("TP/1.1\r\n"), (String::new(), false));
    let (said, closed) = world.wake_at(within);
    assert!(said.starts_with("HTTP/1.1 408") && closed, "{said}");
    assert_eq!(World::new().wake_at(within), (String::new(), true), "it never asked");
    let mut world = World::new();
    world.send(&get("/"));
    let idle = limits::HTTP_IDLE.as_secs();
    assert_eq!(world.wake_at(idle - 1), (String::new(), false));
    assert_eq!(world.http.eviction_candidate(ip("127.0.0.1")), Some(CONN));
    assert_eq!(world.wake_at(idle), (String::new(), true));
}

#[test]
fn nothing_is_kept_without_bound() {
    let mut world = World::new();
    let (mut said, mut sent) = (String::new(), 0);
    while said.is_empty() {
        said = world.send("GET / HTTP/1.1\r\nA: b\r\n").0;
        sent += 1;
        assert!(sent <= limits::HTTP_HEADERS * 2);
    }
    assert!(said.starts_with("HTTP/1.1 4"), "{said}");
}

proptest! {
    /// Whatever comes, however it is cut, whenever the peer reads: no panic, what is kept is bounded, and in the
    /// end nothing is.
    #[test]
    fn anything_may_come(
        pieces in prop::collection::vec(
            prop_oneof![
                Just(get("/a")),
                Just("GET /b HTTP/1.0\r\n\r\n".to_owned()),
                Just("HEAD /c HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_owned()),
                Just("POST / HTTP/1.1\r\nHost: x\r\n\r\n".to_owned()),
                "[ -~\r\n]{0,40}",
                "G|GET |GET /|HTTP/1.1\r\n|Host: a\r\n|\r\n",
            ],
            1..30,
        ),
        steps in prop::collection::vec(0..5_u8, 30),
    ) {
        let mut world = World::new();
        for (piece, step) in pieces.iter().zip(steps) {
            match step {
                0 => _ = world.wake_at(0),
                1 => world.http.note_unread(CONN, 1),
                2 => world.http.note_unread(CONN, 0),
                _ => {}
            }
            if world.http.reads(CONN) == Reads::Now {
                world.send(piece);
            }
            prop_assert!(world.http.len() <= 1);
        }
        world.http.note_unread(CONN, 0);
        for _ in 0..40 {
            world.wake_at(1);
        }
        prop_assert_ne!(world.http.next_wakeup(), Some(Instant::default()));
        world.wake_at(1000);
        prop_assert!(world.http.is_empty() && world.http.next_wakeup().is_none());
    }
}

/// Connections of these addresses, each opened a second after the one before.
fn opened(addrs: &[&str]) -> Http {
    let mut http = Http::new(For::Owner);
    for (n, addr) in addrs.iter().enumerate() {
        http.open(Instant::from_micros(1_000_000 * n as u64), conn(n), ip(addr));
    }
    http
}

fn conn(n: usize) -> ConnId {
    ConnId { slot: n as u32, generation: 1 }
}

#[test]
fn who_holds_most_connections_gives_way_whatever_they_do() {
    let mut held = vec!["203.0.113.1", "2001:db8:2::1"];
    held.extend(["198.51.100.7"; 5]);
    let mut http = opened(&held);
    for n in 0..7 {
        // All have asked, the many have read nothing.
        let mut out = Outbox::new();
        http.read(Now::default(), conn(n), get("/").as_bytes(), &mut out, &mut answer);
        http.note_unread(conn(n), if n < 2 { 0 } else { 1000 });
    }
    let eviction_candidate =
        |http: &mut Http, to: &str| http.eviction_candidate(ip(to)).map(|id| id.slot);
    assert!((2..7).contains(&eviction_candidate(&mut http, "203.0.113.1").unwrap()));
    assert!((2..7).contains(&eviction_candidate(&mut http, "198.51.100.7").unwrap()), "its own");
    let mut one_each = opened(&["2001:db8:1::1", "192.0.2.1", "2001:db8:1:1::1", "192.0.2.2"]);
    assert_eq!(
        eviction_candidate(&mut one_each, "203.0.113.9"),
        Some(0),
        "of a /48 that has two the oldest"
    );
    let mut of_24 = opened(&["203.0.113.1", "198.51.100.1", "198.51.100.2", "198.51.100.3"]);
    assert_eq!(eviction_candidate(&mut of_24, "198.51.100.4"), Some(1), "and so of a /24 of IPv4");
}

/// Of many connections not all are looked at each time.
#[test]
fn whoever_opens_the_most_of_many_makes_room_for_himself() {
    let mut http = opened(&[]);
    let flooder = |n: usize| IpAddr::from([198, 51, 100, n as u8]);
    let others = |n: usize| IpAddr::from([10, n as u8, 0, 1]);
    let mut there = std::collections::BTreeSet::new();
    for n in 0..5000 {
        let addr = if n % 250 == 0 { others(n / 250) } else { flooder(n) };
        if http.len() >= limits::LOBBY_CONNECTIONS {
            let gone = http.eviction_candidate(addr).unwrap();
            assert!(http.forget(gone) && there.remove(&gone));
        }
        http.open(Instant::default(), conn(n), addr);
        there.insert(conn(n));
    }
    assert_eq!(http.len(), limits::LOBBY_CONNECTIONS);
    assert!((0..20).all(|n| there.contains(&conn(250 * n))), "who has one keeps it");
    assert!(there.iter().all(|id| http.has(*id)));
}

#[test]
fn who_has_the_token_gives_way_last() {
    let mut http = opened(&["198.51.100.7", "198.51.100.7", "203.0.113.1"]);
    let mut owner = |from: IpAddr, request: &Request<'_>| Answer {
        is_for_token: true,
        ..answer(from, request)
    };
    for n in 0..2 {
        let mut out = Outbox::new();
        http.read(Now::default(), conn(n), get("/").as_bytes(), &mut out, &mut owner);
    }
    assert_eq!(http.eviction_candidate(ip("203.0.113.9")), Some(conn(2)));
    http.forget(conn(2));
    assert_eq!(http.eviction_candidate(ip("203.0.113.9")), Some(conn(0)), "rather than nobody");
}

#[test]
fn an_answer_that_is_not_read_in_time_ends_the_connection() {
    let mut world = World::new();
    world.send(&get("/a"));
    world.http.note_unread(CONN, 1000);
    // A little is taken now and then.
    for n in 0..30 {
        assert!(!world.wake_at(n).1, "after {n} s");
        world.http.note_unread(CONN, 900 - n as usize);
    }
    assert!(world.wake_at(31).1);
    let mut world = World::new();
    world.send(&get("/a"));
    world.http.note_unread(CONN, 1000);
    world.http.note_unread(CONN, 0);
    assert!(!world.wake_at(31).1, "it has read it, and may ask again");
}
