use std::net::{IpAddr, SocketAddr};

use serde_json::Value;

use super::*;
use crate::dialect::Via;
use crate::introductions::journal::{Attempt, Relay, Way};
use crate::introductions::relay::Refused;
use crate::refusals::Reason;
use crate::server;

/// A server with a window, into which somebody looks.
struct World {
    server: Server,
    now: Now,
    conns: u32,
}

/// Behind all others.
const LOOKER: ConnId = ConnId { slot: 100_000, generation: 1 };

impl World {
    fn new() -> Self {
        let mut server = Server::new(server::Config::default());
        let at = SocketAddr::from(([127, 0, 0, 1], 6580));
        let options = vec![("--name".to_owned(), "a".to_owned())];
        let config =
            Config { guard: Guard { at, token: None }, build: "built", tls: None, options };
        server.open_window(config);
        let instant = Instant::default() + limits::WAITED + Duration::from_secs(5);
        let now = Now { instant, unix: 1_700_000_000 };
        server.on_look(now, LOOKER, at.ip());
        Self { server, now, conns: 0 }
    }

    fn at(&mut self, seconds: u64) {
        self.now.instant = Instant::default() + limits::WAITED + Duration::from_secs(seconds);
        self.now.unix = 1_700_000_000 + seconds;
    }

    /// What is answered to what somebody else sends who comes from this address.
    fn say(&mut self, from: IpAddr, text: &str) -> ConnId {
        self.conns += 1;
        let (id, mut out) = (ConnId { slot: self.conns, generation: 1 }, Outbox::new());
        let now = self.now;
        self.server.on_accept(now, || now.instant, id, SocketAddr::new(from, 9), &mut out);
        self.server.on_bytes(now, id, text.as_bytes(), &mut out);
        id
    }

    fn host(&mut self, from: [u8; 4], game: &str, name: &str) {
        let via = Via::default();
        let mut out = Outbox::new();
        let at = SocketAddr::from((from, 7000));
        self.server.on_datagram(self.now, via, at, b"reg\n", &mut out);
        self.say(from.into(), &format!("reg2\n1.2.4\n{game}\n{name}\n\n\n\n\n\n\n"));
    }

    fn text(&mut self, path: &str, host: &str) -> String {
        let mut out = Outbox::new();
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        self.server.on_bytes(self.now, LOOKER, request.as_bytes(), &mut out);
        let bytes: Vec<u8> = out
            .outputs()
            .filter_map(|output| match output {
                crate::dialect::Output::Tcp(id, bytes) if id == LOOKER => Some(bytes.to_vec()),
                _ => None,
            })
            .flatten()
            .collect();
        String::from_utf8(bytes).unwrap()
    }

    fn json(&mut self, path: &str) -> Value {
        let text = self.text(path, "localhost:6580");
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200") && head.contains("application/json"), "{text}");
        serde_json::from_str(body).unwrap()
    }

    fn end(&mut self, client: [u8; 4], host: [u8; 4], game: &str, way: Way) {
        let [client, host] = [client, host].map(|ip| SocketAddr::from((ip, 7000)));
        let game = game.into();
        let attempt = Attempt { dialect: Name::Gmnet, client, host, game, is_proven: true };
        let shared = &mut self.server.shared;
        shared.journal.note(self.now, &shared.nats, &attempt, way);
    }
}

#[test]
fn numbers_are_those_of_the_server() {
    let mut world = World::new();
    world.host([203, 0, 113, 1], "Pong", "first");
    world.host([203, 0, 113, 2], "Pong", "second");
    let login = r#"{"type":"request","name":"login","data":{"id":"a"},"request_id":1}"#;
    world.say([203, 0, 113, 3].into(), login);
    let took = Some(Duration::from_millis(1234));
    world.end([203, 0, 113, 3], [203, 0, 113, 1], "Pong", Way::Direct(took));
    world.end([203, 0, 113, 4], [203, 0, 113, 1], "Pong", Way::No(Relay::Untried));
    let usage = |ms| Usage { memory: Some(5_000_000), cpu: Some(Duration::from_millis(ms)) };
    assert!(world.server.wants_usage(world.now.instant));
    world.server.note_usage(world.now.instant, usage(100));
    world.at(15);
    world.server.note_usage(world.now.instant, usage(600));
    assert!(world.server.wants_usage(world.now.instant), "the first sample is due");
    let status = world.json("/api/v1/status");
    for (what, want) in [
        ("/name", Value::from("punchd")),
        ("/uptime", 15.into()),
        ("/hosts", 2.into()),
        ("/clients", 1.into()),
        ("/connections", 3.into()),
        ("/memory", 5_000_000.into()),
        ("/cpu", 0.05.into()),
        ("/introductions/direct", 1.into()),
        ("/introductions/failed", 1.into()),
        ("/introductions/share_through", 0.5.into()),
        ("/relay", Value::Null),
        ("/dialects/0/name", "gmnet".into()),
        ("/dialects/0/hosts", 2.into()),
        ("/limits/0/used", 3.into()),
        ("/limits/0/option", "--max-connections".into()),
        ("/options/0/value", "a".into()),
    ] {
        assert_eq!(status.pointer(what), Some(&want), "{what} in {status:#}");
    }
}

#[test]
fn the_last_hour_is_kept_and_no_more() {
    let mut world = World::new();
    let mut out = Outbox::new();
    for minute in 0..100 {
        world.at(60 * minute + 5);
        let now = world.now;
        assert!(world.server.next_wakeup().is_some_and(|at| at <= now.instant), "{minute}");
        world.server.on_wakeup(now, &mut out);
        if minute % 2 == 0 {
            world.end([203, 0, 113, 3], [203, 0, 113, 1], "", Way::Direct(None));
        }
    }
    world.server.on_look(world.now, LOOKER, IpAddr::from([127, 0, 0, 1]));
    let curves = &world.json("/api/v1/status")["curves"];
    assert_eq!(curves["every"], 60);
    assert_eq!(curves["until"], world.now.unix);
    let introductions = curves["introductions"].as_array().unwrap();
    assert_eq!(introductions.len(), limits::SAMPLES);
    assert_eq!(introductions.iter().filter_map(Value::as_u64).sum::<u64>(), 30);
    assert_eq!(curves["hosts"].as_array().unwrap().len(), limits::SAMPLES);
}

#[test]
fn hosts_come_in_pages_and_none_is_left_out() {
    let mut world = World::new();
    for n in 0..500_u16 {
        let [high, low] = n.to_be_bytes();
        world.host([203, 0, high, low], if n % 5 == 0 { "Pong" } else { "Chess" }, &n.to_string());
    }
    let (mut names, mut from, mut pages) = (Vec::new(), Some(0), 0);
    while let Some(at) = from {
        let page = world.json(&format!("/api/v1/hosts?from={at}"));
        let hosts = page["hosts"].as_array().unwrap();
        assert!(hosts.len() <= limits::HTTP_ROWS);
        names.extend(hosts.iter().map(|host| host["name"].as_str().unwrap().to_owned()));
        assert_eq!(page["total"], 500);
        assert_eq!(page["games"][0]["game"], "Chess");
        assert_eq!(
            (&page["games"][0]["hosts"], &page["games"][1]["hosts"]),
            (&400.into(), &100.into())
        );
        from = page["next"].as_u64();
        pages += 1;
    }
    names.sort();
    names.dedup();
    assert_eq!((names.len(), pages), (500, 5));
    let host = &world.json("/api/v1/hosts?limit=1")["hosts"][0];
    assert_eq!(host["dialect"], "gmnet");
    assert_eq!((&host["address"], &host["port_known"]), (&"203.0.0.0:7000".into(), &true.into()));
    assert_eq!((&host["age"], &host["last_sign"]), (&0.into(), &0.into()));
    assert_eq!(world.json("/api/v1/hosts?dialect=rooms")["total"], 0);
}

#[test]
fn introductions_are_told_with_why_and_found_by_game_and_address() {
    let mut world = World::new();
    world.end([203, 0, 113, 3], [198, 51, 100, 1], "Pong", Way::Relayed(Duration::from_secs(2)));
    world.end([203, 0, 113, 4], [198, 51, 100, 2], "Chess", Way::No(Relay::Refused(Refused::Full)));
    let all = world.json("/api/v1/introductions");
    assert_eq!(all["kept"], 2);
    let rows = all["introductions"].as_array().unwrap();
    assert_eq!((&rows[0]["game"], &rows[1]["game"]), (&"Chess".into(), &"Pong".into()));
    assert_eq!((&rows[0]["way"], &rows[1]["way"]), (&"failed".into(), &"relayed".into()));
    assert_eq!((&rows[1]["seconds"], &rows[1]["told"]), (&2.0.into(), &"the relay".into()));
    assert_eq!(rows[0]["client"]["address"], "203.0.113.4:7000");
    assert_eq!(rows[0]["host"]["nat"], "unknown");
    let why = rows[0]["why"].as_str().unwrap();
    assert!(why.contains("did not get through") && why.contains("sessions already"), "{why}");
    assert_eq!((&all["matrix"][0]["relayed"], &all["matrix"][0]["failed"]), (&1.into(), &1.into()));
    for (filter, found) in [
        ("game=Pon", 1),
        ("game=", 2),
        ("address=198.51.100.2", 1),
        ("address=198.51.100.", 2),
        ("address=203.0.113.4:7000", 1),
        ("address=203.0.113.4&game=Pong", 0),
        ("limit=1", 1),
    ] {
        let found_now = world.json(&format!("/api/v1/introductions?{filter}"));
        assert_eq!(found_now["introductions"].as_array().unwrap().len(), found, "{filter}");
    }
    // What the signal tells is the same.
    let lines = world.server.journal().lines();
    assert!(lines.iter().any(|line| line.contains(why)), "{lines:?}");
    for n in 0..limits::INTRODUCTIONS {
        world.end([203, 0, 113, 5], [198, 51, 100, 1], "more", Way::Direct(None));
        assert!(world.server.journal().latest().len() <= limits::INTRODUCTIONS, "{n}");
    }
    assert_eq!(
        world.json("/api/v1/introductions?game=Pong")["introductions"],
        Value::Array(vec![])
    );
}

/// Why two could not play is told for each reason that the journal knows.
#[test]
fn each_way_to_fail_has_its_sentence() {
    let mut world = World::new();
    let ways = [
        (Relay::Untried, "a router gives each player another port, or UDP is blocked"),
        (Relay::InVain, "one of them has sent nothing to the relay"),
        (Relay::GaveWay, "they were relayed, but others needed that"),
        (
            Relay::Refused(Refused::Month),
            "the relay would help, but what the relay may pass on in a month",
        ),
        (Relay::Refused(Refused::Pair), "the relay would help, but there are"),
    ];
    for (relay, why) in ways {
        world.end([203, 0, 113, 3], [198, 51, 100, 1], "Pong", Way::No(relay));
        let row = &world.json("/api/v1/introductions?limit=1")["introductions"][0];
        let told = row["why"].as_str().unwrap();
        assert!(told.contains(why) && row["way"] == "failed", "{told}");
        let by_relay = matches!(relay, Relay::InVain | Relay::GaveWay);
        assert_eq!(row["told"], if by_relay { "the relay" } else { "each other" }, "{told}");
    }
}

#[test]
fn refusals_are_told_by_reason_and_address() {
    let mut world = World::new();
    for (n, times) in [(1, 3), (2, 1)] {
        for _ in 0..times {
            world.server.refused(world.now, Reason::Connections, [203, 0, 113, n].into());
        }
    }
    let all = world.json("/api/v1/refusals");
    let row = &all["refusals"][0];
    assert_eq!((&row["reason"], &row["times"]), (&"connections".into(), &4.into()));
    assert_eq!(
        (&row["option"], &row["latest"]),
        (&"--max-connections".into(), &world.now.unix.into())
    );
    assert_eq!(
        (&row["worst"][0]["address"], &row["worst"][0]["times"]),
        (&"203.0.113.1".into(), &3.into())
    );
    assert_eq!(all["refusals"].as_array().unwrap().len(), 1);
}

#[test]
fn a_health_check_hears_what_is_wrong() {
    let mut world = World::new();
    let ok = world.text("/healthz", "anything");
    assert!(ok.starts_with("HTTP/1.1 200") && ok.ends_with("\r\n\r\nok\n"), "{ok}");
    world.server.on_relay_gone();
    let ill = world.text("/healthz", "anything");
    assert!(ill.starts_with("HTTP/1.1 503") && ill.contains("the relay has stopped"), "{ill}");
    let mut world = World::new();
    world.server.on_shutdown(world.now, &mut Outbox::new());
    assert!(world.text("/healthz", "x").starts_with("HTTP/1.1 503"));
}

#[test]
fn another_name_shows_nothing_and_other_paths_are_not_there() {
    let mut world = World::new();
    for (path, host, want) in [
        ("/api/v1/hosts", "evil.example", "421"),
        ("/", "evil.example:6580", "421"),
        ("/nothing", "localhost", "404"),
        ("/api/v1/", "localhost", "404"),
        ("/", "127.0.0.1:1", "200"),
    ] {
        let text = world.text(path, host);
        assert!(text.starts_with(&format!("HTTP/1.1 {want}")), "{path} {host}: {text}");
    }
}

#[test]
fn who_looks_in_takes_no_place_and_gives_way_when_idle() {
    let mut world = World::new();
    world.text("/healthz", "localhost");
    assert_eq!(world.server.who_looks_away(IpAddr::from([127, 0, 0, 1])), Some(LOOKER));
    assert_eq!(world.json("/api/v1/status")["connections"], 0);
    let mut out = Outbox::new();
    world.server.on_gone(world.now, LOOKER, &mut out);
    assert!(
        world.text("/", "localhost").is_empty()
            && world.server.who_looks_away(IpAddr::from([127, 0, 0, 1])).is_none()
    );
}

/// With ten thousand hosts each answer is found and written in less than a millisecond where this is built
/// for use; here the bytes are counted, and what they take is measured in `cargo bench`.
#[test]
fn an_answer_has_a_bound_however_much_there_is() {
    let mut world = World::new();
    let long = "n".repeat(200);
    for n in 0..10_000_u32 {
        let [_, a, b, c] = n.to_be_bytes();
        world.host([10 + a, 1, b, c], &format!("{n}{long}"), &long);
    }
    let game = "g".repeat(64);
    for _ in 0..limits::INTRODUCTIONS {
        world.end([203, 0, 113, 3], [203, 0, 113, 1], &game, Way::No(Relay::InVain));
    }
    for n in 0..100_000_u32 {
        let reason = Reason::ALL[n as usize % Reason::ALL.len()];
        world.server.refused(world.now, reason, IpAddr::from((n * 7919).to_be_bytes()));
    }
    for path in
        ["/api/v1/status", "/api/v1/refusals", "/api/v1/hosts?from=9000", "/api/v1/introductions"]
    {
        let begin = std::time::Instant::now();
        let length = world.text(path, "localhost").len();
        println!("{path}: {length} bytes in {:?}", begin.elapsed());
        assert!((1000..limits::HTTP_ANSWER).contains(&length), "{path}: {length}");
    }
}
