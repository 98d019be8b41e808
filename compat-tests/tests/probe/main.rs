//! `punch probe`: each verdict, on servers that have reason for it.
#![expect(clippy::expect_used, reason = "a helper that fails is a test that fails")]

mod firewalls;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Command, Stdio};
use std::time::Duration;

use compat_tests::folder::Folder;
use compat_tests::gmnet::{Host, HostConfig, Lobby, Query};
use compat_tests::master::{Master, loopback};
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use serde_json::Value;

/// What was said, on both outputs.
struct Said {
    code: Option<i32>,
    text: String,
}

impl Said {
    /// What is said of this: the word behind its name, and the rest of the line.
    #[track_caller]
    fn of(&self, name: &str) -> (&str, &str) {
        let line = self.text.lines().find(|line| line.starts_with(&format!("{name:<26} ")));
        assert!(line.is_some(), "nothing of {name}: {}", self.text);
        let rest = line.and_then(|line| line.get(27..)).unwrap_or_default();
        let (word, detail) = rest.split_at_checked(22).unwrap_or((rest, ""));
        (word.split("  ").next().unwrap_or_default(), detail.trim())
    }

    #[track_caller]
    fn words(&self, word: &str, names: &[&str]) {
        for name in names {
            assert_eq!(self.of(name).0, word, "{name}: {}", self.text);
        }
    }

    #[track_caller]
    fn has(&self, sentence: &str) {
        assert!(self.text.contains(sentence), "no {sentence:?}: {}", self.text);
    }

    #[track_caller]
    fn exits_with(&self, code: i32) {
        assert_eq!(self.code, Some(code), "{}", self.text);
        assert_eq!(code == 1, self.text.contains(" FAILS "), "{}", self.text);
    }
}

fn run(master: &str, more: &[&str]) -> (Option<i32>, Vec<u8>, Vec<u8>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_punch"));
    command.args(["probe", master]).args(more).stdin(Stdio::null());
    let output = command.output().expect("running punch");
    (output.status.code(), output.stdout, output.stderr)
}

fn probe(master: impl ToString, more: &[&str]) -> Said {
    probe_from(loopback(), master, more)
}

fn probe_from(own: IpAddr, master: impl ToString, more: &[&str]) -> Said {
    let own = own.to_string();
    let (code, out, err) = run(&master.to_string(), &[&["--bind", &own], more].concat());
    let text = String::from_utf8([out, err].concat()).expect("UTF-8");
    Said { code, text }
}

fn probe_from_anywhere(master: &str) -> Said {
    let (code, out, err) = run(master, &[]);
    Said { code, text: String::from_utf8([out, err].concat()).expect("UTF-8") }
}

const GMNET: [&str; 7] = [
    "TCP",
    "lobby2",
    "reg2",
    "UDP and connect",
    "not found",
    "end of the host's message",
    "two players at once",
];
const OTHERS: [&str; 3] = ["rooms", "events", "natpunch"];
const STUN: [&str; 2] = ["STUN", "STUN, alternate port"];
const QUICK: [&str; 2] = ["--wait", "0.5"];

/// A host of this game.
fn host_of(game: &str, master: SocketAddr, own: IpAddr) -> Host {
    let config = HostConfig { bind: Some(own), ..HostConfig::new(master) };
    let mut host = Host::start(config.with_data(&[game])).expect("a host");
    host.confirm(Duration::from_secs(5)).expect("it is registered");
    host
}

/// A server that has its alternate port: another program may have that which comes next.
fn start(options: &[&str]) -> Master {
    let dialects = options.iter().skip_while(|option| **option != "--dialects").nth(1);
    let lacks_stun = dialects.is_some_and(|named| !named.contains("stun"));
    let is_given = lacks_stun || options.contains(&"--alt-port");
    for _ in 0..9 {
        let master = Master::start(options);
        if is_given || master.alternate_port() == master.addr().port().checked_add(1) {
            return master;
        }
    }
    Master::start(options)
}

#[test]
fn nothing_is_wrong_with_a_server_without_options() {
    let master = start(&["--testing", "--name", "probed"]);
    let said = probe(master.addr(), &[]);
    said.exits_with(0);
    said.words("works", &[&GMNET[..], &OTHERS, &STUN, &["older protocol"]].concat());
    said.has("probed, ");
    said.words("not tried", &["events with TLS"]);
    let said = probe(master.addr(), &["--tls"]);
    said.exits_with(0);
    said.has("networks on the way can read events");
    assert!(said.text.ends_with("\nall that players need works\n"), "{}", said.text);
}

#[test]
fn a_host_of_the_same_address_is_not_in_the_way() {
    let master = start(&[]);
    let game = "Somebody's game";
    let own = loopback();
    let host = host_of(game, master.addr(), own);
    let mut query = Query::default();
    query.filters[0] = game.to_owned();
    let wait = Duration::from_secs(5);
    let lobby = Lobby::fetch(master.addr(), Some(own), &query, wait).expect("a lobby");
    assert_eq!(lobby.entries.len(), 1);
    let said = probe_from(own, master.addr(), &[]);
    said.exits_with(0);
    said.words("works", &GMNET);
    // Who has no data strings has shown no game.
    said.has("another host has the same address");
    assert!(host.told().is_empty(), "{:?}", host.told());
}

#[test]
fn a_lobby_that_is_off_is_a_choice() {
    let master = start(&["--disable-lobby"]);
    let said = probe(master.addr(), &QUICK);
    said.exits_with(0);
    said.words("not offered", &["lobby2"]);
    said.has("players need the address of a host");
}

#[test]
fn a_server_for_other_games_is_all_right() {
    let master = start(&["--games", "Pong,Chess"]);
    let said = probe(master.addr(), &[]);
    said.exits_with(0);
    said.words("refused", &[&OTHERS[..], &["reg2"]].concat());
    said.words("works", &[&STUN[..], &["lobby2"]].concat());
    said.has("try one with --game or --key");
    said.has("where it was refused, the server is for others");

    let said = probe(master.addr(), &["--game", "Chess"]);
    said.exits_with(0);
    said.words("works", &[&GMNET[..], &OTHERS, &STUN].concat());
    // A key that is none does not hide the game.
    let said = probe(master.addr(), &["--game", "Chess", "--key", "none"]);
    said.words("works", &[&GMNET[..], &OTHERS, &STUN].concat());

    // Nothing that answers by UDP is spoken to who is not admitted.
    let quiet = start(&["--games", "Pong", "--dialects", "gmnet,events"]);
    let said = probe(quiet.addr(), &QUICK);
    said.exits_with(0);
    said.words("not known", &["UDP"]);
    said.has("shows only to games that are admitted: name one with --game, or a key with --key");
    said.has("run it again with --game or --key");
    let said = probe(quiet.addr(), &[&QUICK[..], &["--game", "Pong"]].concat());
    said.exits_with(0);
    said.words("works", &[&GMNET[..], &["events"]].concat());
    said.has("all that players need works");

    let said = probe(master.addr(), &["--game", "Go"]);
    said.exits_with(1);
    said.has("none of the games or keys that it admits");
    said.has("Players of this game are refused.");
}

#[test]
fn a_server_with_keys_is_all_right() {
    let master = start(&["--key", "secret", "--games", "Chess"]);
    let said = probe(master.addr(), &["--game", "Chess", "--key", "secret"]);
    said.exits_with(0);
    said.words("works", &[&GMNET[..], &OTHERS, &STUN].concat());
    let said = probe(master.addr(), &["--game", "Chess"]);
    said.exits_with(0);
    said.words("works", &GMNET);
    said.words("refused", &OTHERS);
    said.has("it wants a key here, not only the name of a game");
}

#[test]
fn dialects_that_are_left_out_are_a_choice() {
    let master = start(&["--dialects", "rooms,stun"]);
    let said = probe(master.addr(), &QUICK);
    said.exits_with(0);
    said.words("works", &[&STUN[..], &["rooms"]].concat());
    said.words("not offered", &["GMnet", "events", "natpunch"]);
    said.words("not tried", &["events with TLS"]);
    assert_eq!(said.of("GMnet").1, "closed without an answer: --dialects leaves it out");
    assert_eq!(said.of("events").1, "closed without an answer: --dialects leaves it out");
    let natpunch = "not spoken: rooms answers at the same UDP port, so --dialects leaves it out";
    assert_eq!(said.of("natpunch").1, natpunch);

    let master = start(&["--dialects", "gmnet,events"]);
    let said = probe(master.addr(), &QUICK);
    said.exits_with(0);
    said.words("works", &[&GMNET[..], &["events"]].concat());
    said.words("not offered", &["rooms", "natpunch", "STUN"]);
    said.has("not answered, though UDP arrives: either --dialects leaves it out or its answers are blocked");

    let master = start(&["--dialects", "events"]);
    let said = probe(master.addr(), &QUICK);
    said.exits_with(0);
    said.words("not offered", &["GMnet", "rooms", "natpunch", "STUN"]);
    said.has("not answered: either --dialects leaves it out or UDP is blocked");
}

/// Nobody counts as a player, and nothing as refused, by the owner's own probe.
#[test]
fn the_owner_sees_no_players_and_no_refusals_but_the_name_of_the_probe() {
    let http =
        TcpListener::bind((loopback(), 0)).expect("a port").local_addr().expect("its address");
    let http = http.to_string();
    let master = start(&["--http", &http]);
    let said = probe(master.addr(), &["--key", "keyone"]);
    said.exits_with(0);
    let ask = |path: &str| -> Value {
        let mut stream = TcpStream::connect(&http).expect("the window");
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{path}: {error}: {answer}"))
    };
    // It asks for what is not there, and so is introduced to nobody, which counts in no number.
    let introductions = ask("/api/v1/introductions")["introductions"].take();
    let reasons: Vec<&Value> =
        introductions.as_array().expect("a list").iter().map(|row| &row["reason"]).collect();
    assert!(reasons.iter().all(|reason| **reason == "not_found"), "{reasons:?}");
    assert_eq!(ask("/api/v1/refusals")["refusals"], Value::Array(Vec::new()));
    assert_eq!(ask("/api/v1/status")["introductions"]["direct"], 0);
    let log = master.stop();
    assert!(log.contains("registered: punch probe\n"), "{log}");
    assert!(!log.contains("got through") && !log.contains("keyone"), "{log}");
}

/// A server that hears nothing from this address does not look like one that has left out all.
#[test]
fn who_is_blocked_is_told_that() {
    let folder = Folder::new();
    let file = folder.file("block");
    fs::write(&file, "127.0.0.0/8\n").expect("writing");
    let master = start(&["--block", &file]);
    let said = probe(master.addr(), &QUICK);
    said.exits_with(1);
    said.words("FAILS", &["the server"]);
    said.has("this address may be in the server's --block");
    said.has(&format!("open {}/udp in the machine's firewall", master.addr().port()));
    assert!(!said.text.contains("report this"), "{}", said.text);
    assert!(!said.text.contains("all that players need"), "{}", said.text);
}

#[test]
fn the_alternate_port_is_told_as_such() {
    let at = SocketAddr::new(loopback(), 6510);
    let _master = Master::start_at(at, &[]);
    let said = probe(SocketAddr::new(at.ip(), 6511), &QUICK);
    said.exits_with(1);
    said.has("Nothing but STUN answers there");
    said.has("is the server at port 6510?");
}

/// All that it asks comes from the address that it is to use.
#[test]
fn everything_is_asked_from_the_address_of_bind() {
    let master = start(&[]);
    let own = loopback().to_string();
    let (code, out, _) = run(&master.addr().to_string(), &["--bind", &own]);
    let said = Said { code, text: String::from_utf8(out).expect("UTF-8") };
    said.exits_with(0);
    let at = format!("sees this machine at {own}:");
    for name in ["natpunch", "STUN"] {
        assert!(said.of(name).1.starts_with(&at), "{}", said.text);
    }
}

/// The port of the owner's window is the other one that an owner knows.
#[test]
fn a_web_server_is_called_one() {
    let listener = TcpListener::bind((loopback(), 0)).expect("a port");
    let addr = listener.local_addr().expect("its address");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let said = probe(addr, &QUICK);
    said.exits_with(1);
    assert_eq!(said.of("GMnet").1, "a web server answers: \"HTTP/1.1 400 Bad Request\"");
    said.has("Is this the port of the owner's window");
    assert_eq!(said.text.matches(" FAILS ").count(), 1, "{}", said.text);
}

/// README promises 0 or 1.
#[test]
fn a_name_that_nobody_has_is_a_row() {
    let said = probe_from_anywhere("nosuch.invalid:6510");
    said.exits_with(1);
    said.words("FAILS", &["name not found"]);
    assert!(!said.text.contains("want HOST"), "{}", said.text);
    let said = probe_from_anywhere("127.0.0.1:99999");
    said.exits_with(1);
    said.has("\"99999\" is no port, want 1 to 65535");
    let (code, out, _) = run("nosuch.invalid:6510", &["--json"]);
    let said: Value = serde_json::from_slice(&out).expect("one object");
    assert_eq!((code, &said["ok"]), (Some(1), &Value::Bool(false)), "{said}");
    assert!(said["ways"][0]["address"].is_null(), "{said}");
    assert_eq!(said["ways"][0]["checks"][0]["check"], "name", "{said}");
}

#[test]
fn a_server_that_never_says_a_word_does_not_work() {
    let mute = TcpListener::bind("127.0.0.1:0").expect("a port");
    let said = probe(mute.local_addr().expect("its address"), &["--wait", "0.1"]);
    said.exits_with(1);
    said.has("Hosts ping every few minutes");
    said.has("Use a current punchd");
}

/// A certificate for these names until a year, and its key, in files.
fn certificate(names: &[&str], year: i32) -> (Folder, [String; 4]) {
    let folder = Folder::new();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("names");
    params.not_after = date_time_ymd(year, 3, 1);
    let key = KeyPair::generate().expect("a key");
    let made = params.self_signed(&key).expect("a certificate");
    let (certificate, file) = (folder.file("certificate"), folder.file("key"));
    fs::write(&certificate, made.pem()).expect("writing");
    fs::write(&file, key.serialize_pem()).expect("writing");
    (folder, ["--tls-cert".to_owned(), certificate, "--tls-key".to_owned(), file])
}

fn with_tls(names: &[&str], year: i32, more: &[&str]) -> (Master, Folder) {
    let (folder, options) = certificate(names, year);
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    (start(&[&options, more].concat()), folder)
}

#[test]
fn the_certificate_is_looked_at() {
    let named = |master: &Master| format!("localhost:{}", master.addr().port());
    let (master, _files) = with_tls(&["localhost"], 2090, &[]);
    let said = probe(named(&master), &[]);
    said.exits_with(0);
    let detail = "certificate until 2090-03-01, for localhost";
    assert!(said.of("events with TLS").1.starts_with(detail), "{}", said.text);
    // Nobody has to connect by the address.
    let said = probe(master.addr(), &["--tls"]);
    said.exits_with(0);
    said.has("not for 127.0.0.1, so clients must connect by a name that is in it");

    let (master, _files) = with_tls(&["example.org"], 2090, &["--tls-required"]);
    let said = probe(named(&master), &[]);
    said.exits_with(1);
    assert_eq!(said.of("events").1, "with TLS alone (--tls-required)");
    let (word, detail) = said.of("events with TLS");
    assert_eq!((word, detail), ("FAILS", "its certificate is not for localhost"));
    said.has("Get a certificate for this name (--tls-cert)");

    let (master, _files) = with_tls(&["localhost"], 2020, &[]);
    let said = probe(named(&master), &[]);
    said.exits_with(1);
    assert_eq!(said.of("events with TLS").1, "its certificate ended on 2020-03-01");
    said.has("Clients of events that check certificates do not connect with TLS.");
    said.has("Renew the certificate and send punchd SIGHUP.");
}

#[test]
fn it_is_tried_over_ipv6_too() {
    if UdpSocket::bind("[::1]:0").is_err() {
        compat_tests::skipped::note("this machine has no IPv6");
        return;
    }
    let nobody = probe_from_anywhere("[::1]:9");
    nobody.exits_with(1);
    nobody.has("Nobody can use this server over IPv6.");
    nobody.has("If it has no IPv6, its name should have no AAAA record.");
    let master = start(&[]);
    let said = probe_from_anywhere(&format!("[::1]:{}", master.addr().port()));
    said.exits_with(0);
    said.has("(IPv6)");
    said.words("works", &[&GMNET[..], &OTHERS, &STUN].concat());
}

#[test]
fn a_way_that_this_machine_lacks_is_no_fault_of_the_server() {
    let said = probe("[::1]:9", &[]);
    assert_eq!(said.code, Some(1), "{}", said.text);
    said.has("[::1]:9 has no address of the family that --bind has");
    // An address for documentation, to which no way leads from a loopback address.
    let said = probe("192.0.2.1:9", &["--wait", "0.1"]);
    said.exits_with(1);
    let detail = said.of("way there").1;
    assert!(detail.starts_with("this machine "), "{detail}");
    said.has("This says nothing about the server.");
}

/// The names that README has.
#[test]
fn the_json_has_what_is_documented() {
    let readme = include_str!("../../README.md");
    let (_, chapter) = readme.split_once("\n### `punch probe --json`\n").expect("the chapter");
    let chapter = chapter.split("\n## ").next().unwrap_or_default();
    let master = start(&["--dialects", "gmnet,rooms,events"]);
    let (code, out, _) = run(&master.addr().to_string(), &["--json", "--wait", "0.5"]);
    let said: Value = serde_json::from_slice(&out).expect("one object");
    assert_eq!((code, &said["ok"]), (Some(0), &Value::Bool(true)), "{said}");
    let keys = |value: &Value| -> Vec<String> {
        value.as_object().expect("an object").keys().cloned().collect()
    };
    let way = &said["ways"][0];
    assert_eq!(
        (&way["family"], &way["address"]),
        (&"IPv4".into(), &master.addr().to_string().into())
    );
    let checks = way["checks"].as_array().expect("checks");
    let names = [keys(&said), keys(way), keys(&checks[0])].concat();
    let ids = checks.iter().filter_map(|check| check["check"].as_str().map(str::to_owned));
    let results = checks.iter().filter_map(|check| check["result"].as_str().map(str::to_owned));
    for name in names.into_iter().chain(ids).chain(results) {
        assert!(chapter.contains(&format!("`{name}`")), "{name} is not in README");
    }
    let of = |id: &str| checks.iter().find(|check| check["check"] == id).expect("a check");
    assert_eq!(of("rooms")["result"], "works");
    assert!(of("rooms")["milliseconds"].is_u64());
    assert_eq!(of("natpunch")["result"], "not offered");

    let (code, out, _) = run("127.0.0.1:9", &["--json", "--wait", "0.1"]);
    let said: Value = serde_json::from_slice(&out).expect("one object");
    assert_eq!((code, &said["ok"]), (Some(1), &Value::Bool(false)), "{said}");
    let tcp = &said["ways"][0]["checks"][0];
    assert_eq!((&tcp["check"], &tcp["result"]), (&"tcp".into(), &"fails".into()));
    assert!(tcp["meaning"].is_string() && tcp["to_do"].is_string(), "{tcp}");
}
