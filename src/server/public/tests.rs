//! The lobby for web sites: what it shows, to whom, and its bounds.

use super::*;
use crate::dialect::{Output, Via};
use crate::server;
use serde_json::Value;
use std::net::SocketAddr;
use std::time::Duration;

struct World {
    server: Server,
    now: Now,
    conns: u32,
}

impl World {
    fn new(admission: Admission, public_lobby: bool) -> Self {
        let mut config = server::Config { public_lobby, ..server::Config::default() };
        config.gmnet.admission = admission.clone();
        config.rooms.admission = admission.clone();
        config.events.admission = admission;
        let now = Now { instant: Instant::from_micros(100_000_000), unix: 1_700_000_000 };
        Self { server: Server::new(config), now, conns: 0 }
    }

    fn open(&mut self, from: [u8; 4]) -> ConnId {
        self.conns += 1;
        let (id, now) = (ConnId { slot: self.conns, generation: 1 }, self.now);
        let peer = SocketAddr::from((from, 9));
        self.server.on_accept(now, || now.instant, id, peer, &mut Outbox::new());
        id
    }

    /// What is answered, and whether the connection is closed.
    fn send(&mut self, id: ConnId, text: &str) -> (String, bool) {
        let mut out = Outbox::new();
        self.server.on_bytes(self.now, id, text.as_bytes(), &mut out);
        let (mut said, mut closed) = (String::new(), false);
        for output in out.outputs() {
            match output {
                Output::Tcp(to, bytes) if to == id => said += &String::from_utf8_lossy(bytes),
                Output::Close(to) => closed |= to == id,
                _ => {}
            }
        }
        (said, closed)
    }

    fn get(&mut self, target: &str) -> (String, Value) {
        let id = self.open([203, 0, 113, 99]);
        let (said, _) = self.send(id, &format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"));
        let (head, body) = said.split_once("\r\n\r\n").expect("an answer");
        assert!(head.contains("Access-Control-Allow-Origin: *"), "{head}");
        (head.to_owned(), serde_json::from_str(body).unwrap_or_default())
    }

    fn host(&mut self, n: u8, game: &str, name: &str) {
        let mut out = Outbox::new();
        let at = SocketAddr::from(([203, 0, 113, n], 7000));
        self.server.on_datagram(self.now, Via::default(), at, b"reg\n", &mut out);
        let id = self.open([203, 0, 113, n]);
        self.send(id, &format!("reg2\n1.2.4\n{game}\n{name}\n\n\n\n\n\n\n"));
    }

    fn room(&mut self, n: u8, request: &str) {
        let at = SocketAddr::from(([203, 0, 113, n], 7000));
        let via = Via::default();
        self.server.on_datagram(self.now, via, at, request.as_bytes(), &mut Outbox::new());
    }

    fn events(&mut self, n: u8, game: &str, private: bool) {
        let id = self.open([203, 0, 113, n]);
        let login = format!(
            r#"{{"type":"request","name":"login","data":{{"id":"p{n}","game":"{game}"}},"request_id":1}}"#
        );
        let make = format!(
            r#"{{"type":"request","name":"create_room","data":{{"name":"e{n}","private":{private}}},"request_id":2}}"#
        );
        let (said, _) = self.send(id, &(login + &make));
        assert!(said.contains(r#""room""#), "{said}");
    }
}

#[test]
fn the_lobby_is_told_as_games_see_it() {
    let mut world = World::new(Admission::default(), true);
    world.host(1, "Pong", "one");
    world.host(2, "Chess", "<two>");
    world.host(3, "<INV>", "hidden");
    world.room(4, "rh:Room 4");
    world.room(5, "rh:Room 5:private=1");
    world.events(6, "", false);
    world.events(7, "", true);
    world.events(8, "Pong", false);
    let (head, lobby) = world.get("/lobby");
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("max-age=1"), "{head}");
    let all = |of: &str, name: &str| {
        let list = lobby[of].as_array().unwrap();
        let names = list.iter().map(|one| one[name].as_str().unwrap().to_owned());
        names.collect::<Vec<_>>()
    };
    assert_eq!(all("gmnet", "data2"), ["<two>", "one"]);
    assert_eq!(all("gmnet", "ip"), ["203.0.113.2", "203.0.113.1"]);
    assert_eq!(all("rooms", "name"), ["Room 4"]);
    assert_eq!(all("events", "name"), ["e6"]);
    let text = lobby.to_string();
    for secret in ["203.0.113.3", "203.0.113.4", "203.0.113.6", ":7000", "hidden", "Room 5", "e7"] {
        assert!(!text.contains(secret), "{secret} is in {text}");
    }
    let (_, of_pong) = world.get("/lobby?game=Pong");
    assert_eq!(of_pong["gmnet"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&of_pong["rooms"], &of_pong["events"][0]["name"]),
        (&Value::Array(vec![]), &"e8".into())
    );
    assert!(world.get("/").0.starts_with("HTTP/1.1 404"));
    assert!(world.get("/api/v1/status").0.starts_with("HTTP/1.1 404"));
}

/// A web server in front asks on behalf of anybody.
#[test]
fn who_asks_on_the_machine_itself_sees_what_others_elsewhere_see() {
    let mut config = server::Config { public_lobby: true, ..server::Config::default() };
    config.gmnet.public_ips = IpAddr::from([203, 0, 113, 9]).into();
    let mut world = World::new(Admission::default(), true);
    world.server = Server::new(config);
    let (host, mut out) = (SocketAddr::from(([10, 0, 0, 5], 7000)), Outbox::new());
    world.server.on_datagram(world.now, Via::default(), host, b"reg\n", &mut out);
    let id = world.open([10, 0, 0, 5]);
    world.send(id, "reg2\n1.2.4\ngame\nname\n\n\n\n\n\n\n");
    for (from, shown) in [
        ([10, 0, 0, 6], "10.0.0.5"),
        ([198, 51, 100, 7], "203.0.113.9"),
        ([127, 0, 0, 1], "203.0.113.9"),
    ] {
        let id = world.open(from);
        let (said, _) = world.send(id, "GET /lobby HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(said.contains(&format!(r#""ip":"{shown}""#)), "{from:?}: {said}");
    }
}

#[test]
fn it_is_made_anew_after_a_second() {
    let mut world = World::new(Admission::default(), true);
    assert_eq!(world.get("/lobby").1["gmnet"], Value::Array(vec![]));
    world.host(1, "Pong", "one");
    assert_eq!(world.get("/lobby").1["gmnet"], Value::Array(vec![]));
    world.now.instant = world.now.instant + limits::LOBBY_KEPT;
    assert_eq!(world.get("/lobby").1["gmnet"][0]["data2"], "one");
    for n in 0..100 {
        world.get(&format!("/lobby?game={n}"));
    }
    assert!(world.server.public.as_ref().unwrap().kept.len() <= limits::LOBBIES_KEPT);
}

#[test]
fn who_has_no_key_sees_nothing() {
    let keys = vec!["first".to_owned(), "second".to_owned()];
    let mut world = World::new(Admission::of(keys, Vec::new()), true);
    world.host(1, "first", "one");
    world.host(2, "second", "two");
    for target in ["/lobby", "/lobby?key=wrong", "/lobby?game=first"] {
        assert!(world.get(target).0.starts_with("HTTP/1.1 401"), "{target}");
    }
    let (head, lobby) = world.get("/lobby?key=first");
    assert!(head.contains("private"), "{head}");
    assert_eq!(lobby["gmnet"].as_array().unwrap().len(), 1);
    assert_eq!(lobby["gmnet"][0]["data2"], "one");
    // A game that is named beside keys is one that everybody with a key may see.
    let keys = vec!["first".to_owned()];
    let mut world = World::new(Admission::of(keys, vec!["Pong".to_owned()]), true);
    world.host(1, "first", "one");
    world.host(2, "Pong", "two");
    for (asked, name) in [("key=first", "one"), ("key=first&game=Pong", "two")] {
        let (_, lobby) = world.get(&format!("/lobby?{asked}"));
        assert_eq!(lobby["gmnet"].as_array().unwrap().len(), 1, "{asked}");
        assert_eq!(lobby["gmnet"][0]["data2"], name, "{asked}");
    }
    assert!(world.get("/lobby?game=Pong").0.starts_with("HTTP/1.1 401"));
    let games = vec!["Pong".to_owned()];
    let mut world = World::new(Admission::of(Vec::new(), games), true);
    world.host(1, "Pong", "one");
    assert_eq!(world.get("/lobby").1["gmnet"].as_array().unwrap().len(), 1);
    assert_eq!(world.get("/lobby?game=Pong").1["gmnet"].as_array().unwrap().len(), 1);
    assert!(world.get("/lobby?game=Chess").0.starts_with("HTTP/1.1 404"));
}

#[test]
fn what_cannot_be_asked_is_refused_so_that_pages_can_read_why() {
    let mut world = World::new(Admission::default(), true);
    world.host(1, "Pong", "one");
    for (target, why) in [
        ("/lobby?gane=Pong", "there is no parameter"),
        ("/lobby?game=Pong&game=Chess", "game is there twice"),
        ("/lobby?game=%ff", "game is not UTF-8"),
        ("/lobby?limit=all", "limit has to be a whole number"),
    ] {
        let id = world.open([203, 0, 113, 99]);
        let (said, closed) = world.send(id, &format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"));
        assert!(said.starts_with("HTTP/1.1 400 ") && said.contains(why), "{target}: {said}");
        assert!(said.contains("Access-Control-Allow-Origin: *\r\n") && !closed, "{said}");
    }
    // As many as there are at most, or as many as a form that is not filled in asks for.
    for target in ["/lobby?limit=1000", "/lobby?game=&limit=", "/lobby?&"] {
        assert_eq!(world.get(target).1["gmnet"].as_array().map(Vec::len), Some(1), "{target}");
    }
    for (request, status) in [
        ("POST /lobby HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\na", "405"),
        ("DELETE /lobby HTTP/1.1\r\nHost: x\r\n\r\n", "405"),
        ("GET /lobby HTTP/2.0\r\nHost: x\r\n\r\n", "400"),
        ("GET /lobby HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", "400"),
        (&format!("GET /{} HTTP/1.1\r\n", "x".repeat(limits::HTTP_TARGET + 16)), "414"),
    ] {
        let id = world.open([203, 0, 113, 99]);
        let (said, closed) = world.send(id, request);
        assert!(said.starts_with(&format!("HTTP/1.1 {status} ")) && closed, "{request}: {said}");
        assert!(said.contains("Access-Control-Allow-Origin: *\r\n"), "{said}");
        assert_eq!(said.contains("Allow: GET, HEAD\r\n"), status == "405", "{said}");
    }
}

/// As web servers do that keep their connections to the one behind them, whoever asks.
#[test]
fn a_websocket_may_be_asked_for_behind_the_lobby() {
    let mut world = World::new(Admission::default(), true);
    let id = world.open([203, 0, 113, 99]);
    let lobby = "GET /lobby HTTP/1.1\r\nHost: x\r\n\r\n";
    assert!(world.send(id, lobby).0.starts_with("HTTP/1.1 200 "));
    world.now.instant = world.now.instant + Duration::from_secs(50);
    let ask = "GET /events HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\
               Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    assert!(world.send(id, ask).0.starts_with("HTTP/1.1 101 "));
    let mut out = Outbox::new();
    world.server.on_wakeup(world.now, &mut out);
    assert!(out.is_empty(), "it has as long to log in as others");
    assert!(!world.server.speaks_http(id));
    // What is asked for is not looked at before what came before it is answered.
    let id = world.open([203, 0, 113, 99]);
    world.send(id, &lobby[..20]);
    assert!(world.send(id, ask).0.starts_with("HTTP/1.1 400 "));
}

#[test]
fn browsers_are_told_that_pages_may_ask_with_headers_of_their_own() {
    let mut world = World::new(Admission::default(), true);
    let id = world.open([203, 0, 113, 99]);
    let ask = "OPTIONS /lobby HTTP/1.1\r\nHost: x\r\nOrigin: https://a\r\n\
               Access-Control-Request-Method: GET\r\n\r\n";
    assert_eq!(world.send(id, &ask[..5]), (String::new(), false));
    let (said, closed) = world.send(id, &ask[5..]);
    assert!(said.starts_with("HTTP/1.1 204 No Content\r\n") && said.ends_with("\r\n\r\n"));
    assert!(!closed && !said.contains("Content-Length"), "{said}");
    for header in ["Origin: *", "Methods: GET, HEAD", "Headers: *"] {
        assert!(said.contains(&format!("Access-Control-Allow-{header}\r\n")), "{said}");
    }
    let (said, _) = world.send(id, "GET /lobby HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(said.starts_with("HTTP/1.1 200 "), "on the same connection: {said}");
}

#[test]
fn without_the_option_all_is_as_it_was_and_the_owner_sees_it() {
    let mut world = World::new(Admission::default(), false);
    let id = world.open([203, 0, 113, 1]);
    assert_eq!(world.send(id, "GET /lobby HTTP/1.1\r\nHost: x\r\n\r\n"), (String::new(), false));
    assert_eq!(world.send(id, "version\n").0, "\u{fffd}1.2.5\n");
    let counts: Vec<_> = world.server.refusals().counts().map(|(reason, ..)| reason).collect();
    assert_eq!(counts, [Reason::Page]);
}

#[test]
fn to_others_all_is_as_it_was() {
    let mut world = World::new(Admission::default(), true);
    let id = world.open([203, 0, 113, 1]);
    assert_eq!(world.send(id, "G"), (String::new(), false));
    assert_eq!(world.send(id, "OLD\nversion\n").0, "\u{fffd}1.2.5\n");
    let id = world.open([203, 0, 113, 1]);
    for piece in ["G", "ET /lo", "bby HTTP/1.1\r\nHo", "st: x\r\n\r"] {
        assert_eq!(world.send(id, piece), (String::new(), false), "{piece}");
    }
    assert!(world.send(id, "\n").0.starts_with("HTTP/1.1 200"));
}

#[test]
fn connections_and_requests_have_bounds() {
    let mut world = World::new(Admission::default(), true);
    let mut first = None;
    for n in 0..=limits::LOBBY_CONNECTIONS {
        let [high, low] = (n as u16).to_be_bytes();
        let id = world.open([10, 1, high, low]);
        // With one letter less it may be the WebSocket of events.
        world.send(id, "GET /l");
        first = first.or(Some(id));
    }
    assert!(!world.server.speaks_http(first.unwrap()), "who has begun first gives way");
    let public = world.server.public.as_ref().unwrap();
    assert_eq!(public.http.len(), limits::LOBBY_CONNECTIONS);
    let statuses = (0..4000).map(|_| world.get("/lobby").0.get(9..12).unwrap().to_owned());
    let statuses: Vec<_> = statuses.collect();
    let refused = statuses.iter().filter(|status| *status == "429").count();
    assert!(statuses[0] == "200" && refused >= 1900, "{refused}");
    world.now.instant = world.now.instant + Duration::from_secs(2000);
    while world.server.next_wakeup().is_some_and(|at| at <= world.now.instant) {
        world.server.on_wakeup(world.now, &mut Outbox::new());
    }
    assert_eq!(world.server.public.as_ref().unwrap().http.len(), 0);
    assert_eq!(world.server.connections.len(), 0, "none is forgotten");
}
