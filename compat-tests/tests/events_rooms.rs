//! Rooms of events over real sockets, who comes back to them, and those who begin in a way that nobody
//! understands.
#![expect(clippy::expect_used, reason = "a helper that fails is a test that fails")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use compat_tests::events::{EventClient, EventError};
use compat_tests::master::{Master, loopback};
use compat_tests::raw;
use serde_json::{Value, json};

/// Patience with a busy machine; nothing here takes a tenth of it.
const WAIT: Duration = Duration::from_secs(20);

fn client(master: &Master, id: &str, game: &str) -> EventClient {
    let mut client = EventClient::connect(master.addr(), None).expect("connecting");
    client.login(id, game).expect("logging in");
    client
}

/// Sends something on a new connection and reads until it is closed.
fn said(master: &Master, from: IpAddr, pieces: &[&[u8]]) -> String {
    let mut stream = raw::connect(master.addr(), from);
    stream.set_read_timeout(Some(WAIT)).expect("a timeout");
    for piece in pieces {
        stream.write_all(piece).expect("sending");
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the end");
    answer
}

#[test]
fn what_is_sent_too_fast_arrives_all_the_same() {
    const MANY: usize = 10_000;
    /// What only the last one says, and more bytes than that has.
    const END: &[u8] = b"9999";
    const LAST: usize = 200;
    let master = Master::start(&[]);
    let (mut alice, mut bob) = (client(&master, "alice", ""), client(&master, "bob", ""));
    // Strangers may not send as much to somebody who has not come to read yet.
    let room = alice.create_room("Train", 2).expect("a room");
    bob.join_room(&room).expect("joined");
    let mut stream = bob.tcp().try_clone().expect("a socket");
    stream.set_read_timeout(Some(WAIT)).expect("a timeout");
    let reader = std::thread::spawn(move || {
        // Whoever reads slowly is sent less: it is looked at when all is there.
        let (mut all, mut chunk) = (Vec::new(), vec![0; 64 * 1024]);
        let is_whole = |all: &[u8]| {
            let tail = &all[all.len().saturating_sub(LAST)..];
            tail.windows(END.len()).any(|part| part == END)
        };
        while !is_whole(&all) {
            let length = stream.read(&mut chunk).expect("reading");
            assert!(length > 0, "closed after {} bytes", all.len());
            all.extend_from_slice(&chunk[..length]);
        }
        let events = all.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let events = events.map(|line| serde_json::from_slice::<Value>(line).expect("JSON"));
        let passes = events.filter(|event| event["name"] == "x").take(MANY);
        passes.enumerate().filter(|(n, event)| event["data"] == json!(n)).count()
    });
    let pass = |n| format!(r#"{{"type":"pass","name":"x","data":{n},"dest":"bob"}}"#);
    let all: String = (0..MANY).map(pass).collect();
    alice.send_text(&all).expect("sending");
    assert_eq!(reader.join().expect("a reader"), MANY, "all of them in their order");
    alice.request(None, "ping", json!({})).expect("an answer behind all that");
}

#[test]
fn who_shows_the_secret_is_back_at_once() {
    let master = Master::start(&[]);
    let (mut old, mut bob) = (client(&master, "alice", "g"), client(&master, "bob", "g"));
    let secret = old.logged_in().expect("a login").secret.clone();
    let room = old.create_room("Train", 2).expect("a room");
    bob.join_room(&room).expect("joined");
    let asked = old.start_request(Some("bob"), "late", json!(1)).expect("sending");
    let mut back = EventClient::connect(master.addr(), None).expect("connecting");
    let taken = back.login("alice", "g").expect_err("taken");
    assert_eq!(taken.code(), Some("id_taken"));
    let login = back.resume("alice", "g", None, Some(&secret)).expect("back");
    assert!(login.resumed && login.room.as_deref() == Some(&*room));
    assert_eq!(login.players, ["alice", "bob"]);
    let closed = old.answer(asked, WAIT).expect_err("closed");
    assert_eq!(closed.code(), Some("resumed"));
    bob.pass(Some("alice"), "hello", json!(2)).expect("sending");
    assert_eq!(back.wait_for("hello", WAIT).expect("arrives").data, json!(2));
    back.kick("bob").expect("still the host");
    let left = bob.wait_for("self_left", WAIT).expect("told");
    assert_eq!(left.data["reason"], "kicked");
}

#[test]
fn two_games_on_one_server_never_see_each_other() {
    let master = Master::start(&[]);
    let mut games = ["chess", "go"].map(|game| {
        let (mut host, mut guest) = (client(&master, "host", game), client(&master, "guest", game));
        let room = host.create_room("Lobby", 2).expect("a room");
        let listed = guest.list_rooms().expect("a list");
        assert_eq!(listed.iter().map(|room| &room.room).collect::<Vec<_>>(), [&room], "{game}");
        (host, guest, room)
    });
    let [(_, chess, chess_room), (_, go, go_room)] = &mut games;
    assert_eq!(go.join_room(chess_room).expect_err("elsewhere").code(), Some("no_such_room"));
    chess.join_room(chess_room).expect("joined");
    go.join_room(go_room).expect("joined");
    for (n, (host, guest, _)) in games.iter_mut().enumerate() {
        guest.pass(Some("host"), "hello", json!(n)).expect("sending");
        assert_eq!(host.wait_for("hello", WAIT).expect("arrives").data, json!(n));
    }
}

#[test]
fn who_begins_with_what_nobody_understands_is_told_and_the_log_says_so_once() {
    let master = Master::start(&[]);
    let event = br#"{"type":"request","name":"login","data":{"id":"a"},"request_id":1}"#;
    let length = (event.len() as u32).to_le_bytes();
    let from = loopback();
    for _ in 0..3 {
        let answer = said(&master, from, &[&length, event]);
        assert!(answer.contains("bad_json") && answer.contains("put_data"), "{answer}");
    }
    master.wait_for_log("is not understood: it sends a length before its text");
    // What is said of another one comes behind all that.
    said(&master, loopback(), &[&length, event]);
    let deadline = Instant::now() + WAIT;
    let count = |log: &str, what: &str| log.matches(what).count();
    while count(&master.log(), "is not understood") < 2 {
        assert!(Instant::now() < deadline, "{}", master.log());
        std::thread::sleep(Duration::from_millis(10));
    }
    let log = master.log();
    assert_eq!(count(&log, &format!("{from} is not understood")), 1, "{log}");
    let other = Master::start(&[]);
    let mut game: TcpStream = raw::connect(other.addr(), loopback());
    game.write_all(b"\xde\xc0\xad\xde\x0c\0\0\0\x09\0\0\0version\n\0").expect("sending");
    other.wait_for_log("network_send_raw");
}

/// A `punch events` that does this.
fn punch(master: &Master, id: &str, commands: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_punch"));
    let addr = master.addr().to_string();
    command.args(["events", "--master", &addr, "--game", "chess", "--id", id]);
    commands.iter().for_each(|what| _ = command.args(["--do", what]));
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    command
}

fn output(mut command: Command) -> (bool, String) {
    let output = command.output().expect("running punch");
    (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn punch_events_can_do_all_that_with_rooms() {
    let master = Master::start(&[]);
    let commands = ["create Ours 4 private mesh password=sesame map=castle", "secret", "wait 60"];
    let mut host = punch(&master, "host", &commands).spawn().expect("starting punch");
    let mut lines = BufReader::new(host.stdout.take().expect("its output")).lines();
    let mut line_with = |words: &str| {
        let found = lines.by_ref().map(|line| line.expect("a line")).find(|l| l.contains(words));
        found.unwrap_or_else(|| panic!("no {words:?}"))
    };
    let code = line_with("the code ").split_whitespace().last().expect("a code").to_owned();
    let secret = line_with("").trim().to_owned();
    assert_eq!(secret.len(), 32, "{secret}");

    let (ok, guest) =
        output(punch(&master, "guest", &["rooms", &format!("join {code} sesame"), "who"]));
    assert!(ok, "{guest}");
    for words in ["no rooms", "in the room ", "host guest", "connected to host"] {
        assert!(guest.contains(words), "no {words:?} in {guest}");
    }
    let (ok, eve) = output(punch(&master, "eve", &[&format!("join {code} open")]));
    assert!(!ok && eve.contains("(bad_key)"), "{eve}");

    // Another connection has the host's place, and the process from before ends.
    let commands = [
        "who",
        "set locked map=lava",
        "let guest",
        "delete",
        "create Open",
        "set name=New map=sea",
    ];
    let mut back = punch(&master, "host", &commands);
    back.args(["--secret", &secret, "--do", "wait 60"]);
    let mut back = back.spawn().expect("starting punch");
    let mut lines = BufReader::new(back.stdout.take().expect("its output")).lines();
    let is_back = lines.next().expect("a line").expect("a line");
    assert!(is_back.contains("back in the place from before"), "{is_back}");
    assert!(!host.wait().expect("its end").success());
    let mut viewer = client(&master, "viewer", "chess");
    viewer.watch_rooms(json!({"filter": {"map": "sea"}})).expect("watching");
    while viewer.list_rooms().expect("a list").first().is_none_or(|room| room.name != "New") {
        viewer.wait_for("rooms_changed", WAIT).expect("a change");
    }
    let commands = [
        "rooms map=sea free newest",
        "watch map=sea",
        "unwatch",
        "quick map=lava",
        "quick map=sea",
    ];
    let (ok, guest) = output(punch(&master, "guest", &commands));
    assert!(!ok, "one of these is refused: {guest}");
    for words in [
        "New  of host  1/8  {\"map\":\"sea\"}",
        "(no_such_room)",
        "in the room ",
        " New with host guest",
    ] {
        assert!(guest.contains(words), "no {words:?} in {guest}");
    }
    back.kill().expect("killing punch");
    back.wait().expect("waiting for punch");
}

#[test]
fn nobody_keeps_an_id_without_a_word() {
    let master = Master::start(&[]);
    let lost = client(&master, "alice", "");
    let mut new = EventClient::connect(master.addr(), None).expect("connecting");
    let deadline = Instant::now() + WAIT;
    while let Err(error) = new.login("alice", "") {
        assert!(
            matches!(&error, EventError::Refused(fault) if fault.code == "id_taken"),
            "{error}"
        );
        assert!(Instant::now() < deadline, "the ID is never free");
        std::thread::sleep(Duration::from_millis(100));
    }
    drop(lost);
}
