//! Encrypted connections, which cannot move: they end, and who comes back has what it had.

use std::net::{Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use compat_tests::events::{EventClient, EventError, Login, Tls};
use compat_tests::folder::Folder;
use compat_tests::line_of_masters::Masters;
use rcgen::generate_simple_self_signed;
use serde_json::json;

use super::failing::Fake;
use super::fixtures::{WAIT, answer_to, next_event, say_event};

/// For how long a place is kept.
const KEPT: Duration = Duration::from_secs(20);

/// A server with a certificate, and who trusts it.
fn encrypted(folder: &Folder) -> (Masters, Tls) {
    let made = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let [cert, key] = ["cert.pem", "key.pem"].map(|name| folder.file(name));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let masters = Masters::start(&["--tls-cert", &cert, "--tls-key", &key]);
    (masters, Tls::trusting(Path::new(&cert), "localhost").unwrap())
}

/// Logs in. Returns its secret.
fn log_in(client: &mut EventClient, id: &str, keeps: bool) -> String {
    let data = json!({"id": id, "game": "g", "keep": keeps});
    let login = client.request(None, "login", data).unwrap();
    assert_eq!(login.get("keep").is_some(), keeps);
    login["secret"].as_str().unwrap().to_owned()
}

/// Reads until the connection ends; no answer comes, as what is waited for comes later.
fn rest(client: &mut EventClient) {
    loop {
        match client.receive(WAIT) {
            Ok(Some(event)) => assert_ne!(event["type"], "response", "{event}"),
            Ok(None) => panic!("it does not end"),
            Err(EventError::Closed(_)) => return,
            Err(error) => panic!("{error}"),
        }
    }
}

type Connect = fn(SocketAddr, Option<&Tls>) -> Result<EventClient, EventError>;

/// Alice hosts a room over TLS; she waits for an answer of Bob, and he for one of hers, when their server is replaced.
fn comes_back(connect: Connect, keeps: bool) {
    let folder = Folder::new();
    let (mut masters, tls) = encrypted(&folder);
    let mut alice = connect(masters.addr(), Some(&tls)).unwrap();
    let mut bob = EventClient::connect(masters.addr(), None).unwrap();
    let secret = log_in(&mut alice, "alice", keeps);
    bob.login("bob", "g").unwrap();
    let room = alice.create_room("Tower", 4).unwrap();
    bob.join_room(&room).unwrap();
    say_event(
        &mut alice,
        &json!({"type": "request", "name": "move", "dest": "bob", "request_id": "m1"}),
    );
    let move_ = next_event(&mut bob, "request", Some("move"));
    say_event(
        &mut bob,
        &json!({"type": "request", "name": "draw", "dest": "alice", "request_id": "d1"}),
    );
    let draw = next_event(&mut alice, "request", Some("draw"));

    masters.succeed();
    rest(&mut alice);
    // She is away, and nobody is told.
    bob.pass(Some("alice"), "meanwhile", json!(1)).unwrap();
    say_event(&mut bob, &answer_to(&move_, "e4"));
    bob.request(None, "ping", json!({})).unwrap();
    // What she is owed goes on as well.
    masters.succeed();

    let mut alice = connect(masters.addr(), Some(&tls)).unwrap();
    let data = json!({"id": "alice", "game": "g", "secret": secret});
    say_event(
        &mut alice,
        &json!({"type": "request", "name": "login", "data": data, "request_id": 1}),
    );
    let login: Login =
        serde_json::from_value(next_event(&mut alice, "response", Some("login"))["data"].take())
            .unwrap();
    assert!(login.resumed && login.id == "alice" && login.secret == secret, "{login:?}");
    assert_eq!(
        (login.room.as_ref(), &login.players[..]),
        (Some(&room), &["alice", "bob"].map(String::from)[..])
    );
    assert_eq!(next_event(&mut alice, "pass", Some("meanwhile"))["data"], json!(1));
    let moved = next_event(&mut alice, "response", Some("move"));
    assert_eq!((&moved["request_id"], &moved["data"]), (&json!("m1"), &json!("e4")));
    say_event(&mut alice, &answer_to(&draw, "no"));
    let drawn = next_event(&mut bob, "response", Some("draw"));
    assert_eq!((&drawn["request_id"], &drawn["data"]), (&json!("d1"), &json!("no")));
    alice.update_room(json!({"name": "still the host"})).unwrap();
    let updated = next_event(&mut bob, "pass", Some("room_updated"));
    assert_eq!(updated["data"]["name"], "still the host");
    let log = masters.end();
    assert!(!log.contains("is lost"), "{log}");
}

#[test]
fn who_is_encrypted_comes_back_to_its_place() {
    comes_back(EventClient::connect, true);
}

#[test]
fn a_page_that_is_encrypted_comes_back_to_its_place() {
    comes_back(EventClient::connect_web, true);
}

/// They did not break their connections themselves, whatever they have asked for and however many they are.
#[test]
fn all_who_are_encrypted_come_back_to_their_places() {
    /// More than one address may have of those whose connections have broken.
    const MANY: usize = 40;
    let folder = Folder::new();
    let (mut masters, tls) = encrypted(&folder);
    let ids: Vec<String> = (0..MANY).map(|n| format!("p{n}")).collect();
    let all = ids.iter().map(|id| {
        let mut peer = EventClient::connect(masters.addr(), Some(&tls)).unwrap();
        let secret = log_in(&mut peer, id, false);
        (id, peer, secret)
    });
    let all: Vec<_> = all.collect();
    masters.succeed();
    for (id, mut before, secret) in all {
        rest(&mut before);
        let mut peer = EventClient::connect(masters.addr(), Some(&tls)).unwrap();
        let data = json!({"id": id, "game": "g", "secret": secret});
        let login = peer.request(None, "login", data).unwrap();
        assert_eq!(login["resumed"], json!(true), "{id}");
    }
    comes_back(EventClient::connect, false);
}

/// Its connection ends for a process that goes on, and for no other.
#[test]
fn who_is_encrypted_stays_where_the_next_process_fails() {
    let folder = Folder::new();
    let (masters, tls) = encrypted(&folder);
    let mut alice = EventClient::connect(masters.addr(), Some(&tls)).unwrap();
    log_in(&mut alice, "alice", true);
    let at = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), masters.addr().port());
    for (n, act) in [Fake::is_ready, Fake::is_told].into_iter().enumerate() {
        let fake = Fake::ask(at);
        act(&fake);
        drop(fake);
        let deadline = Instant::now() + WAIT;
        while masters.log().matches("and this one goes on: it has ended").count() <= n {
            assert!(Instant::now() < deadline, "{}", masters.log());
            std::thread::sleep(Duration::from_millis(1));
        }
        alice.request(None, "ping", json!({})).unwrap();
    }
}

/// The time counts from the end of the connection, whoever serves then.
pub(crate) fn who_does_not_come_back_is_gone_when_the_time_is_over() {
    let folder = Folder::new();
    let (mut masters, tls) = encrypted(&folder);
    let mut alice = EventClient::connect(masters.addr(), Some(&tls)).unwrap();
    let mut bob = EventClient::connect(masters.addr(), None).unwrap();
    log_in(&mut alice, "alice", true);
    bob.login("bob", "g").unwrap();
    let room = alice.create_room("Tower", 4).unwrap();
    bob.join_room(&room).unwrap();
    masters.succeed();
    let ended = Instant::now();
    rest(&mut alice);
    while ended.elapsed() < KEPT / 2 {
        assert_eq!(bob.wait_for("player_left", Duration::from_secs(1)).ok(), None);
    }
    // The place has another server now, and its time goes on.
    masters.succeed();
    let left = bob.wait_for("self_left", KEPT).unwrap();
    assert_eq!(left.data["reason"], "room_deleted");
    let after = ended.elapsed();
    assert!(
        after > KEPT - Duration::from_secs(1) && after < KEPT + Duration::from_secs(6),
        "{after:?}"
    );
}
