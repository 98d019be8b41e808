use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use serde_json::Value;

use super::*;
use crate::dialect::{Output, Via};
use crate::introductions::journal::{Attempt, Names, Relay, Way};
use crate::introductions::relay::Refused;
use crate::server;

/// A server with a window, into which somebody looks.
struct World {
    server: Server,
    now: Now,
    conns: u32,
}

mod unmet;

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
        let attempt = Attempt::new(Name::Gmnet, [client, host], Names::new(game, ""));
        let shared = &mut self.server.shared;
        shared.journal.note(self.now, &shared.nats, attempt, way);
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
    // It lives as long as its connection does.
    assert_eq!((&host["age"], &host["last_sign"]), (&0.into(), &Value::Null));
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
        world.end([203, 0, n as u8, 5], [198, 51, 100, 1], "more", Way::Direct(None));
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
        (
            Relay::Untried,
            "a router gives each destination another port, UDP is blocked, or the host",
        ),
        (Relay::InVain, "one of them has sent nothing to the relay"),
        (Relay::GaveWay, "they were relayed, but a player with fewer"),
        (
            Relay::Refused(Refused::Month),
            "the relay would help, but the relay has used up its monthly traffic",
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
fn no_name_shows_nothing_but_whether_it_is_healthy() {
    let mut world = World::new();
    let own = IpAddr::from([127, 0, 0, 1]);
    let options = look(&mut world, 1000, own, "OPTIONS /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(options.starts_with("HTTP/1.1 405"), "{options}");
    for (n, (path, want)) in
        [("/", "400"), ("/api/v1/hosts", "400"), ("/metrics", "400"), ("/healthz", "200")]
            .into_iter()
            .enumerate()
    {
        let said = look(&mut world, n as u32, own, &format!("GET {path} HTTP/1.0\r\n\r\n"));
        assert!(said.starts_with(&format!("HTTP/1.1 {want} ")), "{path}: {said}");
    }
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
        ("/api/v1/hosts?dialect=rooms&from=0&limit=1000", "localhost", "200"),
        ("/api/v1/hosts?dialect=roms", "localhost", "400"),
        ("/api/v1/hosts?from=a", "localhost", "400"),
        ("/api/v1/introductions?limit=-1", "localhost", "400"),
        ("/api/v1/introductions?game=%ff", "localhost", "400"),
        ("/api/v1/introductions?adress=203.0.113.7", "localhost", "400"),
    ] {
        let text = world.text(path, host);
        assert!(text.starts_with(&format!("HTTP/1.1 {want}")), "{path} {host}: {text}");
    }
}

/// Somebody else looks in, from an address; what is answered.
fn look(world: &mut World, n: u32, addr: IpAddr, request: &str) -> String {
    let (id, mut out) = (ConnId { slot: 200_000 + n, generation: 1 }, Outbox::new());
    world.server.on_look(world.now, id, addr);
    world.server.on_bytes(world.now, id, request.as_bytes(), &mut out);
    let told = out.outputs().filter_map(|output| match output {
        Output::Tcp(_, bytes) => Some(String::from_utf8_lossy(bytes)),
        _ => None,
    });
    told.collect()
}

#[test]
fn who_is_blocked_does_not_look_in_and_the_owner_always_may() {
    let mut world = World::new();
    let blocks = |list: &str| Blocks::read(Path::new("list"), list.as_bytes()).unwrap();
    let [own, other, free] =
        [[127, 0, 0, 1], [198, 51, 100, 7], [203, 0, 113, 1]].map(IpAddr::from);
    look(&mut world, 0, other, "GET");
    look(&mut world, 1, free, "GET");
    world.server.block(blocks("198.51.100.0/24\n127.0.0.0/8"));
    let mut out = Outbox::new();
    world.server.on_wakeup(world.now, &mut out);
    let closed: Vec<_> = out.closed_since(0).collect();
    assert_eq!(closed, [ConnId { slot: 200_000, generation: 1 }]);
    assert!(world.server.is_shut_out(world.now, other));
    assert!(
        !world.server.is_shut_out(world.now, own) && !world.server.is_shut_out(world.now, free)
    );
    assert!(world.text("/healthz", "localhost").starts_with("HTTP/1.1 200"));
}

#[test]
fn wrong_tokens_are_counted() {
    let mut world = World::new();
    let token = Some("0123456789abcdef".parse().unwrap());
    let at = SocketAddr::from(([203, 0, 113, 1], 6580));
    let config = Config { guard: Guard { at, token }, build: "", tls: None, options: Vec::new() };
    world.server.open_window(config);
    let guesser = IpAddr::from([198, 51, 100, 7]);
    for (n, (path, header, status)) in [
        ("/", "A: b", "401"),
        ("/", "Authorization: bearer 0123456789abcdef", "200"),
        ("/", "Authorization: Bearer 0123456789abcdeX", "401"),
        ("/", "Cookie: punchd=0", "401"),
        ("/?token=0", "A: b", "401"),
    ]
    .into_iter()
    .enumerate()
    {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n{header}\r\n\r\n");
        let said = look(&mut world, n as u32, guesser, &request);
        assert!(said.starts_with(&format!("HTTP/1.1 {status} ")), "{header}: {said}");
    }
    assert_eq!(
        world.server.refusals().total(Reason::Guesses).times,
        3,
        "who shows none guesses none"
    );
}

#[test]
fn who_guesses_tokens_or_asks_all_the_time_is_answered_seldom() {
    let mut world = World::new();
    let token = Some("0123456789abcdef".parse().unwrap());
    let at = SocketAddr::from(([203, 0, 113, 1], 6580));
    let config = Config { guard: Guard { at, token }, build: "", tls: None, options: Vec::new() };
    world.server.open_window(config);
    let [flood, other] = [[198, 51, 100, 7], [198, 51, 100, 8]].map(IpAddr::from);
    let wrong = "GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer 0123456789abcdeX\r\n\r\n";
    let right = wrong.replace('X', "f");
    for request in [wrong, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"] {
        let said: Vec<_> = (0..1000).map(|n| look(&mut world, n, flood, request)).collect();
        let refused = said.iter().filter(|said| said.starts_with("HTTP/1.1 429"));
        let refused: Vec<_> = refused.collect();
        assert!(refused.len() >= 900, "{} of {}", refused.len(), said.len());
        assert!(refused.iter().all(|said| said.contains("Connection: close")), "{}", refused[0]);
        world.at(10_000);
    }
    let health = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    for n in 0..1000 {
        let said = look(&mut world, n, IpAddr::from([127, 0, 0, 1]), health);
        assert!(said.starts_with("HTTP/1.1 200"), "the machine's own: {said}");
    }
    (0..1000).for_each(|n| _ = look(&mut world, n, flood, wrong));
    assert!(look(&mut world, 1001, flood, &right).starts_with("HTTP/1.1 200"), "the owner's");
    let opened = "GET /?token=0123456789abcdef HTTP/1.1\r\nHost: x\r\n\r\n";
    assert!(look(&mut world, 1003, flood, opened).starts_with("HTTP/1.1 303"), "and so is this");
    assert!(look(&mut world, 1002, other, wrong).starts_with("HTTP/1.1 401"), "somebody else");
    assert!(world.server.refusals().total(Reason::Requests).times >= 2800);
}

#[test]
fn parameters_that_there_are_not_are_refused() {
    let mut world = World::new();
    for path in ["/metrics", "/api/v1/status", "/api/v1/refusals"] {
        let said = world.text(&format!("{path}?x=1"), "localhost");
        assert!(said.starts_with("HTTP/1.1 400") && said.contains("no parameter"), "{said}");
        assert!(world.text(path, "localhost").starts_with("HTTP/1.1 200"), "{path}");
    }
}

#[test]
fn what_seems_to_be_wrong_is_among_the_warnings() {
    let mut world = World::new();
    assert_eq!(world.json("/api/v1/status")["warnings"], Value::Array(vec![]));
    (0..30).for_each(|_| _ = world.say([192, 168, 9, 1].into(), "v"));
    let warnings = world.json("/api/v1/status")["warnings"].clone();
    let first = warnings[0].as_str().unwrap();
    assert!(first.starts_with("most players come from 192.168.9.1, as if"), "{warnings}");
    let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(2023, 11, 18);
    let key = rcgen::KeyPair::generate().unwrap();
    let made = params.self_signed(&key).unwrap();
    let folder = std::env::temp_dir().join(format!("punchd-window-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let [certificate, key_file] = ["cert.pem", "key.pem"].map(|name| folder.join(name));
    std::fs::write(&certificate, made.pem()).unwrap();
    std::fs::write(&key_file, key.serialize_pem()).unwrap();
    let loaded = crate::net::certificate::load(&certificate, &key_file).unwrap();
    std::fs::remove_dir_all(folder).unwrap();
    let tls = Some(Acceptor::new(loaded).unwrap());
    let at = SocketAddr::from(([127, 0, 0, 1], 6580));
    let guard = Guard { at, token: None };
    world.server.open_window(Config { guard, build: "", tls, options: Vec::new() });
    world.server.on_look(world.now, LOOKER, at.ip());
    let warnings = world.json("/api/v1/status")["warnings"].clone();
    let last = warnings[1].as_str().unwrap();
    assert!(last.contains("(--tls-cert) expires in 3 days, on 2023-11-18: renew"), "{warnings}");
    let metrics = world.text("/metrics", "localhost:6580");
    for line in ["punchd_warnings 2", "punchd_certificate_end_seconds 1700265600"] {
        assert!(metrics.lines().any(|told| told == line), "{line}: {metrics}");
    }
}

#[test]
fn what_hosts_are_called_is_cut() {
    let mut world = World::new();
    world.host([203, 0, 113, 1], &"g".repeat(3500), &"n".repeat(3500));
    let all = world.json("/api/v1/hosts");
    let short = |letter: &str| Value::from(letter.repeat(60) + "...");
    assert_eq!(all["hosts"][0]["game"], short("g"));
    assert_eq!(all["hosts"][0]["name"], short("n"));
    assert_eq!(all["games"][0]["game"], short("g"));
}

#[test]
fn who_looks_in_takes_no_place_and_gives_way_when_idle() {
    let mut world = World::new();
    world.text("/healthz", "localhost");
    assert_eq!(world.server.viewer_to_evict(IpAddr::from([127, 0, 0, 1])), Some(LOOKER));
    assert_eq!(world.json("/api/v1/status")["connections"], 0);
    let mut out = Outbox::new();
    world.server.on_gone(world.now, LOOKER, &mut out);
    assert!(
        world.text("/", "localhost").is_empty()
            && world.server.viewer_to_evict(IpAddr::from([127, 0, 0, 1])).is_none()
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
