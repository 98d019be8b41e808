//! The events dialect over real sockets: routing, rooms, introductions, TLS.
#![expect(clippy::expect_used, reason = "a helper that fails is a test that fails")]

use std::collections::VecDeque;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use compat_tests::events::{Arrival, EventClient, EventError, Tls, knock};
use compat_tests::folder::Folder;
use compat_tests::master::{Master, loopback};
use compat_tests::raw;
use compat_tests::skipped;
use nix::sys::signal::Signal;
use punchd::limits;
use punchd::net::files;
use rcgen::generate_simple_self_signed;
use rustls::version::{TLS12, TLS13};
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};

/// Patience with a busy machine; nothing here takes a tenth of it.
const WAIT: Duration = Duration::from_secs(10);

fn client(master: &Master, id: &str) -> EventClient {
    let mut client = EventClient::connect(master.addr(), None).expect("connecting");
    client.login(id, "chess").expect("logging in");
    client
}

/// Runs a peer that answers until it is asked to stop.
fn serve(mut client: EventClient) -> std::thread::JoinHandle<EventClient> {
    std::thread::spawn(move || {
        client.wait_for("stop", WAIT).expect("being stopped");
        client
    })
}

#[test]
fn passes_confirmations_and_requests_go_to_a_peer_and_back() {
    let master = Master::start(&[]);
    let (mut alice, mut bob) = (client(&master, "alice"), client(&master, "bob"));
    bob.on_request("double", |request| {
        let number = request.data.as_i64().unwrap_or_default();
        Ok(json!({"for": request.from, "is": 2 * number}))
    });
    let bob = serve(bob);
    let confirmed = alice.confirm_pass(Some("bob"), "hello", json!([1])).expect("confirming");
    assert_eq!(confirmed, Arrival::Confirmed);
    let answer = alice.request(Some("bob"), "double", json!(21)).expect("an answer");
    assert_eq!(answer, json!({"for": "alice", "is": 42}));
    let refused = alice.request(Some("bob"), "halve", json!(42)).expect_err("refused");
    assert_eq!(refused.code(), Some("unknown_request"));
    assert_eq!(
        alice.confirm_pass(Some("nobody"), "x", json!(1)).expect("known"),
        Arrival::NoSuchPeer
    );
    let nobody = alice.request(Some("nobody"), "x", json!(1)).expect_err("nobody");
    assert_eq!(nobody.code(), Some("no_such_peer"));
    alice.pass(Some("bob"), "stop", json!(null)).expect("passing");
    let mut bob = bob.join().expect("bob");
    let hello = bob.next_pass(WAIT).expect("connected").expect("the first pass");
    assert_eq!((hello.from.as_deref(), hello.data), (Some("alice"), json!([1])));
}

#[test]
fn numbers_and_unknown_fields_survive() {
    let master = Master::start(&[]);
    let (mut alice, mut bob) = (client(&master, "alice"), client(&master, "bob"));
    let carried = r#""new":{"z":1,"a":[]},"data":[1e400,12345678901234567890,0.1000,-0]"#;
    let event = format!(r#"{{"type":"pass","name":"n",{carried},"dest":"bob"}}"#);
    alice.send_text(&event).expect("sending");
    let arrived = bob.receive(WAIT).expect("connected").expect("an event");
    let expected: Value =
        serde_json::from_str(&format!(r#"{{"type":"pass","name":"n",{carried},"from":"alice"}}"#))
            .expect("JSON");
    assert_eq!(arrived, expected);
}

#[test]
fn a_peer_that_leaves_is_reported() {
    let master = Master::start(&[]);
    let mut alice = client(&master, "alice");
    for reset in [false, true] {
        let bob = client(&master, "bob");
        let confirm = alice.start_confirm_pass(Some("bob"), "x", json!(1)).expect("sending");
        let request = alice.start_request(Some("bob"), "x", json!(1)).expect("sending");
        // The server has passed both on when it has answered what came after them.
        alice.request(None, "ping", json!({})).expect("an answer");
        if reset {
            let linger = Some(Duration::ZERO);
            socket2::SockRef::from(bob.tcp()).set_linger(linger).expect("an option");
        }
        drop(bob);
        assert_eq!(alice.arrival(confirm, WAIT).expect("known"), Arrival::PeerLeft);
        let left = alice.answer(request, WAIT).expect_err("an error");
        assert_eq!(left.code(), Some("peer_left"));
    }
}

#[test]
fn a_slow_reader_loses_nothing_but_what_it_does_not_read() {
    let master = Master::start(&[]);
    let (mut alice, mut bob) = (client(&master, "alice"), client(&master, "bob"));
    let data = json!("x".repeat(60 * 1024));
    let mut sent = 0;
    loop {
        assert!(sent < 3000, "the server takes everything for one who reads nothing");
        alice.pass(Some("bob"), "flood", data.clone()).expect("sending");
        sent += 1;
        let probe = alice.start_request(Some("bob"), "probe", json!(sent)).expect("sending");
        match alice.answer(probe, Duration::from_millis(5)) {
            Err(EventError::NoAnswer(_)) => {}
            Err(EventError::Refused(fault)) if fault.code == "busy" => break,
            other => panic!("{other:?}"),
        }
    }
    let first = bob.next_pass(WAIT).expect("still connected").expect("a pass");
    assert_eq!((first.name.as_str(), &first.data), ("flood", &data));
    bob.request(None, "ping", json!({})).expect("an answer behind all that");
}

/// A peer whose kernel takes little of what it does not read.
fn narrow(master: &Master, id: &str) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(8 * 1024).expect("its buffer");
    socket.connect(&master.addr().into()).expect("connecting");
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(WAIT)).expect("a timeout");
    let login = json!({"type": "request", "name": "login", "data": {"id": id, "game": "chess"},
                       "request_id": 1});
    (&stream).write_all(login.to_string().as_bytes()).expect("sending");
    stream
}

/// A host on a line of a megabit learns of a joiner while a stranger sends it all that there may be.
#[test]
fn a_slow_host_is_told_of_joiners_although_a_stranger_floods_it() {
    const EACH: Duration = Duration::from_millis(50);
    const BYTES: usize = 6250;
    let master = Master::start(&["--max-datagrams", "0"]);
    let mut host = narrow(&master, "host");
    let make = r#"{"type":"request","name":"create_room","data":{"name":"r"},"request_id":2}"#;
    host.write_all(make.as_bytes()).expect("sending");
    let mut joiner = client(&master, "joiner");
    let deadline = Instant::now() + WAIT;
    let room = loop {
        match joiner.list_rooms().expect("a list").first() {
            Some(listed) => break listed.room.clone(),
            None => assert!(Instant::now() < deadline, "there is no room"),
        }
    };
    let mut stranger = client(&master, "stranger");
    let flood = json!({"type": "pass", "name": "x", "dest": "host", "data": "x".repeat(4096)});
    // Enough to fill what the system would take without a bound.
    for _ in 0..2000 {
        stranger.send_text(&flood.to_string()).expect("sending");
    }
    stranger.request(None, "ping", json!({})).expect("all of it has arrived");
    let stop = std::sync::atomic::AtomicBool::new(false);
    let (told, waited) = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                stranger.send_text(&flood.to_string()).expect("sending");
                std::thread::sleep(Duration::from_micros(200));
            }
        });
        joiner.join_room(&room).expect("joined");
        let begin = Instant::now();
        let (mut heard, mut chunk) = (Vec::new(), [0; BYTES]);
        let is_told = loop {
            let length = host.read(&mut chunk).expect("reading");
            heard.extend_from_slice(&chunk[..length]);
            let is_told = heard.windows(13).any(|part| part == b"player_joined");
            if is_told || begin.elapsed() > 2 * WAIT {
                break is_told;
            }
            std::thread::sleep(EACH);
        };
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        (is_told, begin.elapsed())
    });
    assert!(told && waited < Duration::from_millis(1500), "told after {waited:?}");
}

/// More than may ever be unread goes to a peer that reads all the time and never reads all.
#[test]
fn a_steady_reader_stays_however_much_comes() {
    const MUCH: usize = 24 << 20;
    let master = Master::start(&["--max-datagrams", "0"]);
    let (mut alice, bob) = (client(&master, "alice"), client(&master, "bob"));
    let event = json!({"type": "pass", "name": "x", "dest": "bob", "data": "x".repeat(16 * 1024)});
    let event = format!("{event}\n");
    let mut tcp = bob.tcp().try_clone().expect("a descriptor");
    let read_all = std::sync::atomic::AtomicBool::new(false);
    let done = || read_all.load(std::sync::atomic::Ordering::Relaxed);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut buffer = vec![0; 64 * 1024];
            let mut total = 0;
            tcp.set_read_timeout(Some(WAIT)).expect("a timeout");
            while total < MUCH {
                let length = tcp.read(&mut buffer).unwrap_or_default();
                if length == 0 {
                    break;
                }
                total += length;
                // Slower than it comes.
                std::thread::sleep(Duration::from_millis(1));
            }
            read_all.store(true, std::sync::atomic::Ordering::Relaxed);
            assert!(total >= MUCH, "cut off after {total} bytes");
        });
        while !done() {
            alice.send_text(&event).expect("sending");
        }
    });
}

#[test]
fn rooms_introduce_and_the_punch_connects() {
    let master = Master::start(&[]);
    let (mut alice, mut bob) = (client(&master, "alice"), client(&master, "bob"));
    let sockets = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").expect("a port"));
    let at = |n: usize| sockets[n].local_addr().expect("an address");
    let lan: SocketAddr = "10.1.2.3:4567".parse().expect("an address");
    alice.local_endpoints(&[lan]).expect("taken");
    let room = alice.create_room("Lobby", 2).expect("a room");
    assert_eq!(alice.udp_endpoint(&sockets[0], WAIT).expect("an endpoint"), at(0));
    let listed = bob.list_rooms().expect("a list");
    let [listed] = &listed[..] else { panic!("{listed:?}") };
    assert_eq!((listed.room.as_str(), listed.host.as_str(), listed.players), (&*room, "alice", 1));
    let joined = bob.join_room(&room).expect("joined");
    assert_eq!(
        (joined.host.as_str(), &joined.players[..]),
        ("alice", &["alice".to_owned(), "bob".to_owned()][..])
    );
    assert_eq!(alice.wait_for("player_joined", WAIT).expect("told").data["id"], "bob");
    assert_eq!(bob.udp_endpoint(&sockets[1], WAIT).expect("an endpoint"), at(1));
    let (for_alice, for_bob) =
        (alice.introduction(WAIT).expect("told"), bob.introduction(WAIT).expect("told"));
    assert_eq!((for_alice.id.as_str(), for_alice.endpoint), ("bob", at(1)));
    assert_eq!((for_bob.id.as_str(), for_bob.endpoint), ("alice", at(0)));
    assert_eq!((&for_alice.local[..], &for_bob.local[..]), (&[][..], &[lan][..]));
    assert_eq!(for_alice.nonce, for_bob.nonce);
    std::thread::scope(|scope| {
        let theirs = scope.spawn(|| knock::knock(&sockets[1], &for_bob, WAIT));
        assert_eq!(knock::knock(&sockets[0], &for_alice, WAIT), Some(at(1)));
        assert_eq!(theirs.join().expect("bob"), Some(at(0)));
    });
    let result = alice.confirm_pass(None, "punch_result", json!({"id": "bob", "ok": true}));
    assert_eq!(result.expect("taken"), Arrival::Confirmed);
    alice.kick("bob").expect("kicked");
    assert_eq!(bob.wait_for("self_left", WAIT).expect("told").data["reason"], "kicked");
    assert_eq!(bob.leave_room().expect_err("out already").code(), Some("not_in_room"));
    assert_eq!(bob.join_room(&room).expect_err("kept out").code(), Some("kicked"));
    alice.let_in("bob").expect("let in");
    bob.join_room(&room).expect("back again");
    drop(alice);
    bob.wait_for("room_deleted", WAIT).expect("told");
    assert!(bob.list_rooms().expect("a list").is_empty());
    master.wait_for_log("(\"Lobby\") directly");
}

#[test]
fn garbage_ends_the_connection_with_an_error() {
    let master = Master::start(&[]);
    for (garbage, code) in [("{\"a\":}", "bad_json"), (&"{\"a\":".repeat(65)[..], "too_deep")] {
        let mut client = EventClient::connect(master.addr(), None).expect("connecting");
        client.send_text(garbage).expect("sending");
        let error = client.receive(WAIT).expect("connected").expect("an event");
        assert_eq!((&error["name"], &error["data"]["code"]), (&json!("error"), &json!(code)));
        assert!(matches!(client.receive(WAIT), Err(EventError::Closed(_))));
    }
}

/// A certificate for this machine and its key, in files.
struct Certificate {
    folder: Folder,
}

impl Certificate {
    fn new() -> Self {
        let made = Self { folder: Folder::new() };
        made.renew();
        made
    }

    fn certificate(&self) -> String {
        self.folder.file("certificate")
    }

    fn key(&self) -> String {
        self.folder.file("key")
    }

    fn renew(&self) {
        let made = generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]);
        let made = made.expect("a certificate");
        fs::write(self.certificate(), made.cert.pem()).expect("writing");
        fs::write(self.key(), made.signing_key.serialize_pem()).expect("writing");
    }

    fn master(&self, more: &[&str]) -> Master {
        let (certificate, key) = (self.certificate(), self.key());
        Master::start(&[&["--tls-cert", &certificate, "--tls-key", &key], more].concat())
    }

    fn tls(&self, name: &str) -> Tls {
        Tls::trusting(Path::new(&self.certificate()), name).expect("a certificate")
    }
}

#[test]
fn encrypted_and_not_are_the_same_on_one_port() {
    let certificate = Certificate::new();
    let master = certificate.master(&[]);
    assert!(master.log().contains("; with TLS"), "{}", master.log());
    let mut plain = client(&master, "plain");
    for (version, id) in [(&TLS12, "twelve"), (&TLS13, "thirteen")] {
        let tls =
            Tls::with_versions(Path::new(&certificate.certificate()), "127.0.0.1", &[version]);
        let tls = tls.expect("a certificate");
        let mut client = EventClient::connect(master.addr(), Some(&tls)).expect("connecting");
        client.login(id, "chess").expect("logging in");
        let data = json!("x".repeat(65_000));
        plain.pass(Some(id), "long", data.clone()).expect("sending");
        assert_eq!(client.wait_for("long", WAIT).expect("arrives").data, data);
        client.pass(Some("plain"), "back", data.clone()).expect("sending");
        assert_eq!(plain.wait_for("back", WAIT).expect("arrives").data, data);
        let room = client.create_room("encrypted", 2).expect("a room");
        plain.join_room(&room).expect("joined");
        client.delete_room(&room).expect("deleted");
    }
}

#[test]
fn a_server_with_another_certificate_is_refused() {
    let (certificate, other) = (Certificate::new(), Certificate::new());
    let master = certificate.master(&[]);
    for tls in [other.tls("localhost"), certificate.tls("example.org")] {
        let refused = EventClient::connect(master.addr(), Some(&tls)).expect_err("refused");
        assert!(refused.to_string().contains("certificate"), "{refused}");
    }
    EventClient::connect(master.addr(), Some(&certificate.tls("localhost"))).expect("trusted");
}

/// As many addresses as there are places begin a handshake and say no more, and 500 new ones do so
/// every second.
#[test]
fn half_handshakes_of_many_addresses_keep_nobody_out() {
    files::make_room(4 * 1024, 0).expect("enough open files for this test");
    let certificate = Certificate::new();
    let master = certificate.master(&[]);
    let half = |_| {
        let mut stream = raw::connect(master.addr(), loopback());
        stream.write_all(b"\x16\x03\x01").expect("sending");
        stream
    };
    let halves: Vec<TcpStream> = (0..limits::TLS_HANDSHAKES).map(half).collect();
    // Until some of them have waited too long.
    std::thread::sleep(limits::TLS_STEP);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut more = VecDeque::new();
            while !done.load(Ordering::Relaxed) {
                more.push_back(half(0));
                more.drain(..more.len().saturating_sub(1000));
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        let tls = certificate.tls("localhost");
        let logged_in: Vec<_> = (0..20)
            .map(|n| {
                let mut client = EventClient::connect(master.addr(), Some(&tls))?;
                client.login(&format!("peer {n}"), "chess").map(|_| ())
            })
            .collect();
        done.store(true, Ordering::Relaxed);
        let refused: Vec<_> = logged_in.iter().filter_map(|entry| entry.as_ref().err()).collect();
        assert!(refused.is_empty(), "{refused:?}");
    });
    drop(halves);
}

#[test]
fn a_tls_required_server_refuses_plain_text() {
    let certificate = Certificate::new();
    let master = certificate.master(&["--tls-required"]);
    assert!(master.log().contains("; TLS required"), "{}", master.log());
    let mut plain = EventClient::connect(master.addr(), None).expect("connecting");
    plain.send_text("{\"type\":\"request\"").expect("sending");
    let error = plain.receive(WAIT).expect("connected").expect("an event");
    assert_eq!(error["data"]["code"], "tls_required");
    assert!(matches!(plain.receive(WAIT), Err(EventError::Closed(_))));
    let tls = certificate.tls("localhost");
    EventClient::connect(master.addr(), Some(&tls)).expect("trusted").login("a", "").expect("in");
}

#[test]
fn a_server_without_a_certificate_says_so_in_its_log() {
    let (certificate, master) = (Certificate::new(), Master::start(&[]));
    EventClient::connect(master.addr(), Some(&certificate.tls("localhost"))).expect_err("closed");
    master.wait_for_log("it wants TLS, and there is no certificate (--tls-cert)");
}

#[test]
fn sighup_reads_the_certificate_anew() {
    let certificate = Certificate::new();
    let master = certificate.master(&[]);
    let old = certificate.tls("localhost");
    let mut living = EventClient::connect(master.addr(), Some(&old)).expect("trusted");
    living.login("living", "").expect("logging in");
    certificate.renew();
    let new = certificate.tls("localhost");
    EventClient::connect(master.addr(), Some(&new)).expect_err("not before the signal");
    master.signal(Signal::SIGHUP);
    master.wait_for_log("new TLS connections get the certificate in ");
    EventClient::connect(master.addr(), Some(&new)).expect("trusted");
    EventClient::connect(master.addr(), Some(&old)).expect_err("not any more");
    fs::write(certificate.key(), "gone wrong\n").expect("writing");
    master.signal(Signal::SIGHUP);
    master.wait_for_log("the certificate from before stays");
    EventClient::connect(master.addr(), Some(&new)).expect("trusted as before");
    living.request(None, "ping", json!({})).expect("the connection lives on");
}

/// A client in another language, by somebody who has read the protocol only.
#[test]
fn a_python_client_talks_plain_and_tls() {
    if !Command::new("python3").arg("--version").output().is_ok_and(|out| out.status.success()) {
        skipped::note("there is no python3");
        return;
    }
    let certificate = Certificate::new();
    let master = certificate.master(&[]);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/events_client.py");
    let port = master.addr().port().to_string();
    let ca = &certificate.certificate();
    for args in [&[script, &port][..], &[script, &port, ca]] {
        let output = Command::new("python3").args(args).output().expect("running python3");
        let (said, errors) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && said == "all is well\n", "{args:?}: {said}{errors}");
    }
}

/// `punch events`, as scripts run it.
#[test]
fn punch_events_talks_by_script() {
    let certificate = Certificate::new();
    let master = certificate.master(&[]);
    let (addr, ca) = (format!("localhost:{}", master.addr().port()), certificate.certificate());
    let punch = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_punch"));
        command.args(["events", "--master", &addr]).args(more);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        command.spawn().expect("starting punch")
    };
    let host = ["--id", "host", "--do", "create Lobby 2", "--do", "wait 30"];
    let mut host = punch(&host);
    let mut watcher = client(&master, "watcher");
    watcher.login("x", "").expect_err("logged in already");
    let mut viewer = EventClient::connect(master.addr(), None).expect("connecting");
    viewer.login("viewer", "").expect("logging in");
    let deadline = Instant::now() + WAIT;
    while viewer.list_rooms().expect("a list").is_empty() {
        assert!(Instant::now() < deadline, "no room");
        std::thread::sleep(Duration::from_millis(5));
    }
    let join = [
        "--id",
        "guest",
        "--tls",
        "--ca",
        &ca,
        "--do",
        "join Lobby",
        "--do",
        "who",
        "--do",
        "wait 0.5",
        "--do",
        "request host echo {\"a\": 0.1000}",
        "--do",
        "confirm host hello",
        "--do",
        "request nobody echo",
        "--do",
        "leave",
    ];
    let output = punch(&join).wait_with_output().expect("punch");
    host.kill().expect("killing punch");
    host.wait().expect("waiting for punch");
    let said = String::from_utf8_lossy(&output.stdout);
    // One of these is refused.
    assert_eq!(output.status.code(), Some(1), "{said}");
    let wanted = [
        "logged in as guest",
        "host guest",
        "knocking at host",
        "connected to host at ",
        "answer: {\"a\":0.1000}",
        "confirmed",
        "(no_such_peer)",
        "out of the room (left)",
    ];
    for wanted in wanted {
        assert!(said.contains(wanted), "no {wanted:?} in {said}");
    }
}
