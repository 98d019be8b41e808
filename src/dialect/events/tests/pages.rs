//! WebSocket, with a client that writes its frames itself.

use super::encrypted::{certificate, client, loaded, talk};
use super::*;
use crate::dialect::events::tls::Acceptor;
use rustls::version::TLS13;
use std::io::Write as _;

const OPEN: &str = "GET /events HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
/// The last frame of a message.
const FIN: u8 = 0x80;

/// A frame with this first byte.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x12, 0x34, 0x56, 0x78];
    let mut bytes = vec![first];
    match payload.len() {
        length @ ..126 => bytes.push(0x80 | length as u8),
        length @ ..65_536 => {
            bytes.push(0x80 | 126);
            bytes.extend((length as u16).to_be_bytes());
        }
        length => {
            bytes.push(0x80 | 127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    bytes.extend(mask);
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

fn text(payload: impl ToString) -> Vec<u8> {
    frame(FIN | TEXT, payload.to_string().as_bytes())
}

/// The frames that the server has sent: their first bytes and what they carry.
fn frames(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut all = Vec::new();
    while let [first, second, rest @ ..] = bytes {
        let (length, rest) = match second {
            126 => (usize::from(u16::from_be_bytes([rest[0], rest[1]])), &rest[2..]),
            127 => (u64::from_be_bytes(rest[..8].try_into().unwrap()) as usize, &rest[8..]),
            length => (usize::from(*length), rest),
        };
        all.push((*first, rest[..length].to_vec()));
        bytes = &rest[length..];
    }
    all
}

impl World {
    /// What somebody hears by WebSocket: events, and the first bytes of what else there is.
    fn hears_frames(&mut self, id: ConnId) -> Vec<(u8, Value)> {
        let bytes = self.heard.remove(&id).unwrap_or_default();
        let read = |payload: &[u8]| {
            let text = || String::from_utf8_lossy(payload).into_owned().into();
            serde_json::from_slice(payload).unwrap_or_else(|_| text())
        };
        frames(&bytes).into_iter().map(|(first, payload)| (first, read(&payload))).collect()
    }

    /// The code of the close that somebody hears last, and the code of the error before it.
    fn hears_end(&mut self, id: ConnId) -> (u16, Option<String>) {
        let bytes = self.heard.remove(&id).unwrap_or_default();
        let all = frames(&bytes);
        let (first, payload) = all.last().unwrap();
        assert_eq!(*first, FIN | CLOSE);
        assert!(self.closed.contains(&id));
        let error = all.iter().rev().nth(1).map(|(_, payload)| {
            let event: Value = serde_json::from_slice(payload).unwrap();
            event["data"]["code"].as_str().unwrap_or_default().to_owned()
        });
        (u16::from_be_bytes([payload[0], payload[1]]), error)
    }

    fn page(&mut self) -> ConnId {
        let id = self.open();
        self.say(id, OPEN);
        let answer = String::from_utf8(self.heard.remove(&id).unwrap()).unwrap();
        assert!(answer.starts_with("HTTP/1.1 101 ") && answer.ends_with("\r\n\r\n"), "{answer}");
        id
    }

    fn page_of(&mut self, name: &str) -> ConnId {
        let id = self.page();
        self.say(id, text(login(name)));
        let heard = self.hears_frames(id);
        assert_eq!((heard.len(), &heard[0].1["data"]["id"]), (1, &json!(name)));
        id
    }
}

fn login(name: &str) -> Value {
    json!({"type": "request", "name": "login", "data": {"id": name, "game": "chess"}, "request_id": 1})
}

fn pass(to: &str, n: usize) -> Value {
    json!({"type": "pass", "name": "move", "dest": to, "data": n})
}

#[test]
fn pages_and_programs_talk_to_each_other() {
    let mut world = World::new();
    let page = world.page_of("page");
    let (program, _) = world.login("program");
    world.say(page, text(pass("program", 1)));
    assert_eq!(world.hears(program)["data"], 1);
    world.say(program, format!("{}{}", pass("page", 2), pass("page", 3)));
    let heard = world.hears_frames(page);
    let heard: Vec<_> = heard.iter().map(|(first, event)| (*first, &event["data"])).collect();
    assert_eq!(heard, [(FIN | TEXT, &json!(2)), (FIN | TEXT, &json!(3))], "a message each");
    // What GameMaker sends is binary unless it is told otherwise.
    world.say(page, frame(FIN | BINARY, pass("program", 4).to_string().as_bytes()));
    assert_eq!(world.hears(program)["data"], 4);
    let ask = json!({"type": "request", "name": "list_rooms", "data": {}, "request_id": 2});
    world.say(page, text(ask));
    assert_eq!(world.hears_frames(page)[0].1["data"]["rooms"], json!([]));
}

#[test]
fn it_makes_no_difference_how_bytes_and_messages_are_cut() {
    let long = json!({"type": "pass", "name": "long", "dest": "b", "data": "x".repeat(60_000)});
    let long = long.to_string();
    let (first, second) = long.as_bytes().split_at(30_000);
    let stream = [
        OPEN.as_bytes(),
        &text(login("a")),
        &frame(TEXT, &first[..1]),
        &frame(FIN | PING, b"between"),
        &frame(0, &first[1..]),
        &frame(0, b""),
        &frame(FIN, second),
        &text(format!("{}\n{} ", pass("b", 1), pass("b", 2))),
        &text(" "),
        &text(""),
        &text(pass("b", 3)),
    ]
    .concat();
    for size in [1, 2, 7, 1000, 20_000, stream.len()] {
        let mut world = World::new();
        let (b, _) = world.login("b");
        let a = world.open();
        for piece in stream.chunks(size) {
            world.say(a, piece);
        }
        let heard = world.heard(b);
        let heard: Vec<_> = heard.iter().map(|event| &event["data"]).collect();
        assert_eq!(heard[0].as_str().unwrap().len(), 60_000, "in pieces of {size}");
        assert_eq!(heard[1..], [&json!(1), &json!(2), &json!(3)]);
        let bytes = world.heard.remove(&a).unwrap();
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        assert_eq!(frames(&bytes[end + 4..])[1], (FIN | PONG, b"between".to_vec()));
        assert_eq!(world.events.conns.get(a).unwrap().held(), 0);
        world.gone(a);
        world.gone(b);
        world.wait(Duration::from_secs(100));
        assert!(world.events.is_empty());
    }
}

#[test]
fn what_is_no_frame_ends_the_connection() {
    let ping = |first, length| frame(first, &vec![b'x'; length]);
    let mut unmasked = text("{}");
    unmasked[1] &= 0x7f;
    let too_long = frame(FIN | TEXT, &vec![b' '; limits::OBJECT + 1]);
    let mut huge = frame(FIN | TEXT, &[b' '; 70_000])[..14].to_vec();
    huge[2..10].copy_from_slice(&u64::MAX.to_be_bytes());
    let parts = [frame(TEXT, &[b' '; 40_000]), frame(FIN, &[b' '; 40_000])].concat();
    for (bytes, code, error) in [
        (unmasked, 1002, "bad_frame"),
        (frame(FIN | 3, b""), 1002, "bad_frame"),
        (frame(FIN | 11, b""), 1002, "bad_frame"),
        (frame(FIN | 0x40 | TEXT, b"{}"), 1002, "bad_frame"),
        (frame(FIN, b"{}"), 1002, "bad_frame"),
        ([frame(TEXT, b"{"), text("}")].concat(), 1002, "bad_frame"),
        (ping(PING, 1), 1002, "bad_frame"),
        (ping(FIN | PING, 126), 1002, "bad_frame"),
        (too_long, 1009, "too_long"),
        (huge, 1009, "too_long"),
        (parts, 1009, "too_long"),
        (text("{\"type\""), 1008, "bad_json"),
        (text("move"), 1008, "bad_json"),
        (text("{]"), 1008, "bad_json"),
        (frame(FIN | BINARY, b"\xff"), 1008, "bad_json"),
        (frame(FIN | TEXT, b"{\"type\":\"pass\",\"name\":\"\xff\"}"), 1008, "bad_json"),
    ] {
        let mut world = World::new();
        let id = world.page_of("a");
        world.say(id, &bytes);
        let end = world.hears_end(id);
        assert_eq!(end, (code, Some(error.to_owned())), "{}", bytes[..6].escape_ascii());
        world.wait(Duration::from_secs(1));
        assert!(world.events.is_empty());
    }
}

#[test]
fn goodbyes_are_answered_once() {
    for (said, code) in [
        (&b""[..], 1000),
        (b"\x03\xe9bye", 1001),
        (b"\x0f\xa0", 4000),
        (b"\x03\xed", 1002),
        (b"\x03", 1002),
    ] {
        let mut world = World::new();
        let id = world.page_of("a");
        world.say(id, [frame(FIN | CLOSE, said), text(pass("a", 1))].concat());
        assert_eq!(world.hears_end(id), (code, None));
    }
    let mut world = World::new();
    let id = world.page_of("a");
    world.act(|events, cx| events.on_shutdown(cx));
    let heard = world.heard.remove(&id).unwrap();
    assert_eq!(frames(&heard), [(FIN | CLOSE, vec![3, 0xe9])], "1001, going away");
}

#[test]
fn who_asks_wrong_is_answered_by_http() {
    let mut world = World::new();
    for (request, status) in [
        ("GET /events HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), "426"),
        (OPEN.replace("13", "8"), "426"),
        (format!("GET /events?{}", "x".repeat(limits::HTTP_HEAD)), "431"),
    ] {
        let id = world.open();
        world.say(id, request);
        let answer = String::from_utf8(world.heard.remove(&id).unwrap()).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert!(world.closed.contains(&id));
    }
    // Who does not go on has as long as anybody.
    let id = world.open();
    world.say(id, &OPEN[..40]);
    world.wait(limits::LOGIN_WAIT);
    let answer = String::from_utf8(world.heard.remove(&id).unwrap()).unwrap();
    assert!(answer.starts_with("HTTP/1.1 403 ") && answer.contains("logged in"), "{answer}");
    assert!(world.closed.contains(&id) && world.events.is_empty());
}

#[test]
fn it_is_refused_without_tls_where_that_is_required() {
    let mut world = World::with(Config { tls_required: true, ..Config::default() });
    let id = world.open();
    world.say(id, OPEN);
    let answer = String::from_utf8(world.heard.remove(&id).unwrap()).unwrap();
    assert!(answer.starts_with("HTTP/1.1 403 ") && answer.contains("TLS only"), "{answer}");
}

#[test]
fn with_tls_it_is_the_same() {
    let certificate = certificate();
    let acceptor = Acceptor::new(loaded(&certificate)).unwrap();
    let config = Config { tls: Some(acceptor), tls_required: true, ..Config::default() };
    for size in [1, 100, 100_000] {
        let mut world = World::with(config.clone());
        let (id, mut client) = (world.open(), client(&certificate, &TLS13));
        client.writer().write_all(OPEN.as_bytes()).unwrap();
        let answer = talk(&mut world, id, &mut client, size).unwrap();
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        client.writer().write_all(&text(login("a"))).unwrap();
        let heard = talk(&mut world, id, &mut client, size);
        let heard = heard.unwrap();
        assert!(heard.contains("udp_token"), "{heard}");
    }
}

#[test]
fn pings_count_as_commands() {
    let mut world = World::new();
    let id = world.page_of("a");
    let pings = frame(FIN | PING, b"").repeat(20_000);
    for piece in pings.chunks(5000) {
        world.say(id, piece);
    }
    let pongs = frames(&world.heard.remove(&id).unwrap()).len();
    let most = 10 * Limits::default().commands_per_second as usize;
    assert!(pongs > 0 && pongs <= most, "{pongs} of {most}");
    assert!(!world.closed.contains(&id));
}

#[test]
fn more_than_it_may_send_waits_and_nothing_is_lost() {
    let mut world = World::new();
    let id = world.page_of("a");
    let (other, _) = world.login("b");
    let count = 4 * Limits::default().datagrams_per_second as usize;
    let all: Vec<u8> = (0..count).flat_map(|n| text(pass("b", n))).collect();
    let mut heard = Vec::new();
    for piece in all.chunks(3000) {
        while world.has_enough(id) {
            world.wait(Duration::from_millis(100));
        }
        world.say(id, piece);
        heard.extend(world.heard(other));
    }
    for _ in 0..1000 {
        world.wait(Duration::from_millis(100));
        heard.extend(world.heard(other));
    }
    let heard: Vec<_> = heard.iter().filter_map(|event| event["data"].as_u64()).collect();
    assert_eq!(heard.len(), count);
    assert!(heard.iter().zip(0..).all(|(heard, said)| *heard == said), "in their order");
}

#[test]
fn a_place_is_kept_for_a_page_as_well() {
    let mut world = World::new();
    let (other, _) = world.login("b");
    let id = world.page();
    let mut ask = login("a");
    ask["data"]["keep"] = true.into();
    world.say(id, text(&ask));
    let told = world.hears_frames(id)[0].1["data"].clone();
    world.say(id, &text("x".repeat(1000))[..500]);
    assert!(world.events.conns.get(id).unwrap().held() > 490);
    world.gone(id);
    assert_eq!(world.events.conns.get(id).unwrap().held(), 0, "half a frame is kept for nobody");
    world.say(other, pass("a", 1).to_string());
    world.say(other, pass("a", 2).to_string());
    let id = world.page();
    ask["data"]["secret"] = told["secret"].clone();
    world.say(id, text(&ask));
    let heard = world.hears_frames(id);
    let numbers: Vec<_> = heard.iter().filter(|(_, event)| event["type"] == "pass").collect();
    assert_eq!(numbers.len(), 2, "a message each: {heard:?}");
}

/// Lists gather what hosts say, and who is sent an event is told who sent it.
#[test]
fn pages_hear_what_is_longer_and_deeper_than_what_anybody_may_send() {
    let mut world = World::new();
    let page = world.page_of("page");
    let ask = |name: &str| json!({"type": "request", "name": name, "request_id": 2}).to_string();
    let deep = format!("{}1{}", "[".repeat(limits::NESTING - 3), "]".repeat(limits::NESTING - 3));
    let long = format!("\"{}\"", "x".repeat(1000));
    for (name, data, count) in [("deep", deep, 1), ("long", long, limits::ROOMS_AT_ONCE)] {
        let hosts: Vec<ConnId> = (0..count)
            .map(|n| world.login_from([10, n as u8, 0, 1].into(), &format!("{name} {n}")).0)
            .collect();
        world.say(page, text(ask("watch_rooms")));
        world.hears_frames(page);
        for host in &hosts {
            let create = format!(
                r#"{{"type":"request","name":"create_room","data":{{"name":"r","data":{{"d":{data}}}}},"request_id":1}}"#
            );
            world.say(*host, create);
            assert!(names(&world.heard(*host)).contains(&"self_joined"));
        }
        world.say(page, text(ask("list_rooms")));
        world.wait(Duration::from_secs(1));
        let heard = world.hears_frames(page);
        let lists = heard.iter().map(|(_, event)| event["data"]["rooms"].as_array());
        let lists: Vec<_> = lists.map(|rooms| rooms.map(Vec::len)).collect();
        assert_eq!(lists, [Some(count), Some(count)], "{name}");
        hosts.into_iter().for_each(|host| world.gone(host));
    }
    world.hears_frames(page);
    let (program, _) = world.login(&"p".repeat(limits::LABEL));
    let mut event = json!({"type": "pass", "name": "n", "dest": "page", "data": ""});
    event["data"] = "x".repeat(limits::OBJECT - event.to_string().len()).into();
    world.say(program, event.to_string());
    assert_eq!(world.hears_frames(page)[0].1["data"], event["data"]);
}

proptest! {
    #[test]
    fn any_frames_are_read(
        parts in prop::collection::vec((any::<u8>(), prop::collection::vec(any::<u8>(), 0..200)), 0..20),
        cut in 1..300_usize,
    ) {
        let mut world = World::new();
        let id = world.page_of("a");
        let bytes: Vec<u8> = parts.iter().flat_map(|(first, payload)| frame(*first, payload)).collect();
        for piece in bytes.chunks(cut) {
            if !world.closed.contains(&id) {
                world.say(id, piece);
            }
        }
        frames(&world.heard.remove(&id).unwrap_or_default());
    }
}
