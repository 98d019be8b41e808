//! The dialect in a made-up network: no sockets, no clock.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use proptest::prelude::*;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use super::{Config, Events};
use crate::admission::Admission;
use crate::clock::{Instant, Now};
use crate::dialect::{ConnId, Context, Dialect, Outbox, Output, Reads, Shared, Use, Via};
use crate::limits::{self, Limits};

mod access;
mod data;
mod encrypted;
mod hosts;
mod lists;
mod meeting;
mod moving;
mod nodes;
mod pages;
mod passing;
mod records;
mod relayed;
mod resuming;
mod roaming;
mod throttled;
mod turns;
mod writing;

/// The server, its connections, and what each has heard.
struct World {
    events: Events,
    shared: Shared,
    now: Now,
    opened: u32,
    /// Where new connections come from.
    from: [u8; 4],
    heard: BTreeMap<ConnId, Vec<u8>>,
    closed: BTreeSet<ConnId>,
    datagrams: Vec<(SocketAddr, String)>,
}

impl World {
    /// Whether nothing more is read from a connection for now.
    fn has_enough(&self, id: ConnId) -> bool {
        self.events.reads(id) != Reads::Now
    }

    fn new() -> Self {
        Self::with(Config::default())
    }

    fn with(config: Config) -> Self {
        Self::seeded(7, config)
    }

    fn seeded(seed: u8, config: Config) -> Self {
        let now = Now { instant: Instant::from_micros(1_000_000_000), unix: 1_700_000_000 };
        let events = Events::new(config, StdRng::from_seed([seed; 32]));
        let mut shared = Shared::default();
        // Where game sockets are: each has a connection as well.
        (0..10).for_each(|n| shared.unproven.add(IpAddr::from([203, 0, 113, n])));
        Self {
            events,
            shared,
            now,
            opened: 0,
            from: [192, 0, 2, 1],
            heard: BTreeMap::new(),
            closed: BTreeSet::new(),
            datagrams: Vec::new(),
        }
    }

    fn act(&mut self, act: impl FnOnce(&mut Events, &mut Context<'_>)) {
        let mut out = Outbox::new();
        let (now, shared) = (self.now, &mut self.shared);
        act(&mut self.events, &mut Context { now, out: &mut out, shared });
        for output in out.outputs() {
            match output {
                Output::Tcp(conn, bytes) => {
                    assert!(!self.closed.contains(&conn), "written after the end");
                    self.heard.entry(conn).or_default().extend_from_slice(bytes);
                }
                Output::Close(conn) => assert!(self.closed.insert(conn), "closed twice"),
                Output::Udp(_, to, bytes) => {
                    self.datagrams.push((to, String::from_utf8(bytes.to_vec()).unwrap()));
                }
            }
        }
    }

    fn open(&mut self) -> ConnId {
        self.open_from(self.from.into())
    }

    fn open_from(&mut self, addr: IpAddr) -> ConnId {
        self.opened += 1;
        let id = ConnId { slot: self.opened, generation: self.opened };
        let addr = SocketAddr::from((addr, 1000 + self.opened as u16));
        self.act(|events, cx| events.on_open(cx, id, addr));
        id
    }

    /// Somebody says something, and all of it is carried out.
    fn say(&mut self, id: ConnId, bytes: impl AsRef<[u8]>) {
        self.begin_to_say(id, bytes);
        while self.take_turns() {}
    }

    /// The same, as far as the first turn goes.
    fn begin_to_say(&mut self, id: ConnId, bytes: impl AsRef<[u8]>) {
        self.act(|events, cx| events.on_bytes(cx, id, bytes.as_ref()));
    }

    /// What waits for a turn has one. False: nothing does.
    fn take_turns(&mut self) -> bool {
        let is_anybody_waiting = !self.events.work_queue.is_empty();
        self.act(|events, cx| events.take_turns(cx));
        is_anybody_waiting
    }

    /// What a connection has heard since the last time it was asked, line by line.
    fn lines(&mut self, id: ConnId) -> Vec<String> {
        let bytes = self.heard.remove(&id).unwrap_or_default();
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.is_empty() || text.ends_with('\n'));
        text.lines().map(str::to_owned).collect()
    }

    fn heard(&mut self, id: ConnId) -> Vec<Value> {
        self.lines(id).iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The only event that a connection has heard.
    fn hears(&mut self, id: ConnId) -> Value {
        let mut heard = self.heard(id);
        assert_eq!(heard.len(), 1, "{heard:?}");
        heard.remove(0)
    }

    /// A request to the server; what else is heard with the answer is lost.
    fn ask(&mut self, id: ConnId, name: &str, data: Value) -> Result<Value, String> {
        self.heard.remove(&id);
        let request = json!({"type": "request", "name": name, "data": data, "request_id": 5});
        self.say(id, request.to_string());
        let heard = self.heard(id);
        let mut answers = heard.iter().filter(|event| event["type"] == "response");
        let answer = answers.next().expect("an answer");
        assert_eq!((answers.count(), &answer["request_id"]), (0, &json!(5)));
        assert_eq!(answer["name"], name);
        match answer["error"]["code"].as_str() {
            Some(code) => {
                assert!(answer["error"]["message"].is_string() && answer.get("data").is_none());
                Err(code.to_owned())
            }
            None => Ok(answer["data"].clone()),
        }
    }

    /// Somebody new, and the token for its UDP socket.
    fn login(&mut self, id: &str) -> (ConnId, String) {
        self.login_from(self.from.into(), id)
    }

    fn login_from(&mut self, addr: IpAddr, id: &str) -> (ConnId, String) {
        let conn = self.open_from(addr);
        let data = self.ask(conn, "login", json!({"id": id, "game": "chess"})).unwrap();
        assert_eq!(data["id"], id);
        (conn, data["udp_token"].as_str().unwrap().to_owned())
    }

    fn peers<const N: usize>(&mut self, ids: [&str; N]) -> [ConnId; N] {
        ids.map(|id| self.login(id).0)
    }

    /// A datagram from an address that has a TCP connection as well.
    fn datagram(&mut self, from: &str, data: &str) {
        let from: SocketAddr = from.parse().unwrap();
        self.act(|events, cx| events.on_datagram(cx, Via::default(), from, data.as_bytes()));
    }

    /// Lets time pass, with everything that happens in it.
    fn wait(&mut self, time: Duration) {
        let end = self.now.instant + time;
        while let Some(at) = self.events.next_wakeup().filter(|at| *at <= end) {
            self.now.instant = at.max(self.now.instant);
            self.turn();
        }
        self.now.instant = end.max(self.now.instant);
    }

    /// One turn of the event loop after those of whom something was read.
    fn turn(&mut self) {
        self.now.instant = self.now.instant + Duration::from_micros(1);
        self.act(|events, cx| events.on_wakeup(cx));
    }

    fn gone(&mut self, id: ConnId) {
        self.closed.insert(id);
        let mut out = Outbox::new();
        let (now, shared) = (self.now, &mut self.shared);
        self.events.on_gone(&mut Context { now, out: &mut out, shared }, id);
        for output in out.outputs() {
            if let Output::Tcp(conn, bytes) = output {
                assert_ne!(conn, id, "written to one who is gone");
                self.heard.entry(conn).or_default().extend_from_slice(bytes);
            }
        }
    }
}

fn names(events: &[Value]) -> Vec<&str> {
    events.iter().filter_map(|event| event["name"].as_str()).collect()
}

#[test]
fn who_has_not_logged_in_can_do_nothing_else() {
    let mut world = World::new();
    let id = world.open();
    assert_eq!(world.events.use_of(id), Use::Idle(world.now.instant));
    assert_eq!(world.ask(id, "list_rooms", json!({})), Err("not_logged_in".into()));
    world.say(id, r#"{"type":"pass","name":"hi","dest":"bob"}"#);
    assert_eq!(world.hears(id)["data"]["code"], "not_logged_in");
    world.say(id, r#"{"type":"confirm_pass","name":"hi","pass_id":"a"}"#);
    let refused = world.hears(id);
    assert_eq!(
        (&refused["pass_id"], &refused["error"]["code"]),
        (&json!("a"), &json!("not_logged_in"))
    );
    assert!(world.ask(id, "login", json!({"id": "bob"})).is_ok());
    assert_eq!(world.events.use_of(id), Use::Waiting, "others may need the place more");
    assert_eq!(world.ask(id, "login", json!({"id": "eve"})), Err("already_logged_in".into()));
    let other = world.open();
    assert_eq!(world.ask(other, "login", json!({"id": "bob"})), Err("id_taken".into()));
    for bad in
        [json!({}), json!({"id": ""}), json!({"id": 1}), json!({"id": "\n\u{200b}"}), json!([])]
    {
        assert_eq!(world.ask(other, "login", bad), Err("bad_request".into()));
    }
    let long = "x".repeat(limits::LABEL + 1);
    assert_eq!(world.ask(other, "login", json!({"id": long})), Err("bad_request".into()));
    world.gone(id);
    assert!(world.ask(other, "login", json!({"id": "bob"})).is_ok(), "the ID is free again");
    world.gone(other);
    assert!(world.events.is_empty());
}

#[test]
fn a_key_is_asked_for_where_there_is_one() {
    let keys = vec!["sesame".to_owned(), "other".to_owned()];
    let admission = Admission::of(keys, Vec::new());
    let mut world = World::with(Config { admission, ..Config::default() });
    let id = world.open();
    assert_eq!(world.ask(id, "login", json!({"id": "a"})), Err("bad_key".into()));
    assert_eq!(world.ask(id, "login", json!({"id": "a", "key": "open"})), Err("bad_key".into()));
    assert!(world.ask(id, "login", json!({"id": "a", "key": "sesame"})).is_ok());
}

#[test]
fn a_game_is_asked_for_where_there_is_a_list() {
    let admission = Admission::of(Vec::new(), vec!["Pong".to_owned()]);
    let mut world = World::with(Config { admission, ..Config::default() });
    let id = world.open();
    let login = |game: &str| json!({"id": "a", "game": game, "key": "Pong"});
    assert_eq!(world.ask(id, "login", login("Tetris")), Err("bad_key".into()));
    assert!(world.ask(id, "login", login("Pong")).is_ok());
}

#[test]
fn who_does_not_log_in_is_closed() {
    let mut world = World::new();
    let (silent, half) = (world.open(), world.open());
    world.say(half, r#"{"type":"#);
    world.wait(limits::LOGIN_WAIT - Duration::from_millis(1));
    assert!(world.closed.is_empty());
    world.wait(Duration::from_millis(1));
    assert_eq!(world.closed, BTreeSet::from([silent, half]));
    assert!(world.events.is_empty());
    let unfinished = crate::refusals::Reason::Unfinished;
    assert_eq!(world.shared.refusals.total(unfinished).times, 2);
}

#[test]
fn a_silent_peer_is_asked_and_then_closed() {
    let mut world = World::new();
    let [talks, answers, silent] = world.peers(["talks", "answers", "silent"]);
    for _ in 0..6 {
        world.wait(Duration::from_secs(10));
        world.say(talks, r#"{"type":"pass","name":"step","dest":"nobody"}"#);
    }
    assert!(world.heard(talks).is_empty());
    let ping = world.hears(answers);
    assert_eq!((&ping["type"], &ping["name"]), (&json!("request"), &json!("ping")));
    let pong =
        json!({"type": "response", "name": "ping", "data": {}, "request_id": ping["request_id"]});
    world.say(answers, pong.to_string());
    assert_eq!(world.hears(silent)["name"], "ping");
    world.wait(limits::PING_WAIT);
    assert_eq!(world.closed, BTreeSet::from([silent]));
    assert!(world.heard(answers).is_empty());
}

#[test]
fn garbage_is_answered_with_an_error_and_closed() {
    let bomb = format!(r#"{{"type":"pass","name":"a","data":{}"#, "[".repeat(100));
    let long = format!(r#"{{"type":"pass","name":"{}"#, "x".repeat(limits::OBJECT));
    let cases = [
        ("{\"type\":\"pass\"\x01}", "bad_json"),
        ("{'type':'pass'}", "bad_json"),
        ("{]", "bad_json"),
        ("{}{}[]", "bad_json"),
        (&bomb, "too_deep"),
        (&long, "too_long"),
    ];
    for (garbage, code) in cases {
        let mut world = World::new();
        let [id] = world.peers(["bob"]);
        world.say(id, garbage);
        let last = world.heard(id).pop().unwrap();
        assert_eq!((&last["name"], &last["data"]["code"]), (&json!("error"), &json!(code)));
        assert!(world.closed.contains(&id));
        assert!(world.events.is_empty());
    }
}

#[test]
fn what_is_only_unknown_is_answered_and_not_closed() {
    let mut world = World::new();
    let [id] = world.peers(["bob"]);
    world.say(id, r#"{"type":"shout","name":"a"}"#);
    assert_eq!(world.hears(id)["data"]["code"], "bad_event");
    assert_eq!(world.ask(id, "dance", json!({})), Err("unknown_request".into()));
    world.say(id, r#"{"type":"confirm_pass","name":"dance","pass_id":1}"#);
    assert_eq!(world.hears(id)["error"]["code"], "unknown_pass");
    world.say(id, r#"{"type":"pass","name":"dance"}"#);
    assert!(world.heard(id).is_empty());
    assert_eq!(world.ask(id, "ping", json!({})), Ok(json!({})));
    assert!(world.closed.is_empty());
}

#[test]
fn unfinished_events_of_all_are_bounded() {
    let limits = Limits { connections: 1, ..Limits::default() };
    let mut world = World::with(Config { limits, ..Config::default() });
    let half = format!(r#"{{"a":"{}"#, "x".repeat(60 * 1024));
    for _ in 0..limits.total() / half.len() {
        let id = world.open();
        world.say(id, &half);
        assert!(world.heard(id).is_empty());
    }
    let id = world.open();
    world.say(id, &half);
    assert_eq!(world.hears(id)["data"]["code"], "busy");
    assert!(world.closed.contains(&id));
    world.wait(limits::LOGIN_WAIT);
    assert!(world.events.is_empty());
}

#[test]
fn who_sends_too_much_is_told_so() {
    let limits = Limits { commands_per_second: 1, datagrams_per_second: 5, ..Limits::default() };
    let mut world = World::with(Config { limits, ..Config::default() });
    let [id] = world.peers(["bob"]);
    let asked: Vec<_> = (0..20).map(|_| world.ask(id, "ping", json!({}))).collect();
    assert_eq!(asked.iter().filter(|answer| answer.is_ok()).count(), 10, "ten seconds' worth");
    assert_eq!(asked[19], Err("too_many".into()));
    world.wait(Duration::from_secs(10));
    assert!(world.ask(id, "ping", json!({})).is_ok());
}

#[test]
fn a_tls_required_server_refuses_plain_text() {
    let mut world = World::with(Config { tls_required: true, ..Config::default() });
    let id = world.open();
    world.say(id, r#"{"type":"request","name":"login","data":{"id":"a"},"request_id":1}"#);
    assert_eq!(world.hears(id)["data"]["code"], "tls_required");
    assert!(world.closed.contains(&id) && world.events.is_empty());
}

/// An address of the world's connections.
const PUBLIC: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

proptest! {
    /// Whatever a few peers do, in whatever order: no panic, and nothing is left of them.
    #[test]
    fn nothing_is_left_when_all_are_gone(
        steps in prop::collection::vec((0usize..4, 0usize..18, 0usize..4), 0..120),
    ) {
        let mut world = World::new();
        let mut conns: Vec<(ConnId, String)> =
            (0..4).map(|n| world.login(&n.to_string())).collect();
        let mut rooms = vec!["0000000000000000".to_owned()];
        for (who, what, whom) in steps {
            let (id, token) = conns[who].clone();
            let request = |name: &str, data: Value| {
                json!({"type": "request", "name": name, "data": data, "request_id": 1}).to_string()
            };
            let room = rooms[whom % rooms.len()].clone();
            match what {
                0 => {
                    let (mesh, private) = (whom % 2 == 1, whom == 2);
                    let data = json!({"name": "r", "max_players": 3, "migrate": whom > 0, "mesh": mesh,
                                      "private": private, "data": {"n": whom}});
                    world.say(id, request("create_room", data));
                    let heard = world.heard(id);
                    let made = heard.iter().find_map(|event| event["data"]["room"].as_str());
                    rooms.extend(made.map(str::to_owned));
                },
                1 => world.say(id, request("join_room", json!({"room": room}))),
                2 => world.say(id, request("leave_room", json!({}))),
                3 => world.say(id, request("delete_room", json!({"room": room}))),
                4 => world.say(id, request("kick", json!({"id": whom.to_string()}))),
                5 => world.say(id, json!({"type": "request", "name": "q", "dest": whom.to_string(), "request_id": 2}).to_string()),
                6 => world.say(id, json!({"type": "confirm_pass", "name": "q", "dest": whom.to_string(), "pass_id": 3}).to_string()),
                7 => for event in world.heard(id) {
                    if event["type"] == "request" {
                        world.say(id, json!({"type": "response", "name": "q", "data": 1, "request_id": event["request_id"]}).to_string());
                    } else if event["type"] == "confirm_pass" && event.get("name").is_some() {
                        world.say(id, json!({"type": "confirm_pass", "pass_id": event["pass_id"]}).to_string());
                    }
                },
                8 => world.datagram(&format!("{PUBLIC}:{}", 5000 + whom), &format!("udp:{token}")),
                9 => world.wait(Duration::from_secs(whom as u64 * 9)),
                10 => world.say(id, "{\"half\":"),
                11 => world.say(id, request("update_room", json!({"locked": whom == 1, "data": {"n": whom}}))),
                12 => world.say(id, request("let_in", json!({"id": whom.to_string()}))),
                13 => world.say(id, request("watch_rooms", json!({"free": whom == 1}))),
                14 => world.say(id, request("quick_join", json!({"filter": {"n": whom}}))),
                15 => world.say(id, request("list_rooms", json!({"sort": "players", "filter": {"n": whom}}))),
                16 => {
                    let secret = world.events.secret_of(id);
                    let new = world.open();
                    let data = json!({"id": who.to_string(), "game": "chess", "secret": secret});
                    world.say(new, request("login", data));
                    if !world.closed.contains(&id) { world.gone(id) }
                    conns[who] = (new, token);
                }
                _ => {
                    if !world.closed.contains(&id) { world.gone(id) }
                    conns[who] = (world.open(), String::new());
                    let new = conns[who].0;
                    if let Ok(data) = world.ask(new, "login", json!({"id": who.to_string()})) {
                        conns[who].1 = data["udp_token"].as_str().unwrap().to_owned();
                    }
                }
            }
            for conn in &mut conns {
                if world.closed.contains(&conn.0) { *conn = (world.open(), String::new()) }
            }
        }
        for (id, _) in conns {
            if !world.closed.contains(&id) { world.gone(id) }
        }
        prop_assert!(world.events.is_empty(), "{:?}", world.events);
    }
}

#[test]
fn half_events_of_one_address_close_nobody_else() {
    let limits = Limits { connections: 1, ..Limits::default() };
    let mut world = World::with(Config { limits, ..Config::default() });
    let half = format!(r#"{{"a":"{}"#, "x".repeat(60 * 1024));
    let [others, late] = [2, 3].map(|n| IpAddr::from([203, 0, 113, n]));
    let innocent = world.open_from(others);
    world.say(innocent, &half);
    for _ in 0..limits.total() / half.len() + 5 {
        let id = world.open();
        world.say(id, &half);
    }
    let closed = world.closed.len();
    let next = world.open_from(late);
    world.say(next, &half);
    assert!(world.closed.len() >= closed);
    assert!(![innocent, next].iter().any(|id| world.closed.contains(id)));
    world.say(next, "\"}");
    assert_eq!(world.hears(next)["data"]["code"], "bad_event", "it was read to its end");
}
