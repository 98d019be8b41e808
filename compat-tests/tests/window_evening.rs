//! The owner's window on a busy evening: players in every dialect, introductions that ended in every way, and
//! some who are refused. With `PUNCH_SCREENSHOT=FILE` and Python this makes the picture in README.
#![cfg(target_os = "linux")]
#![expect(clippy::expect_used, reason = "a helper that fails is a test that fails")]

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

use compat_tests::browser::{browser, rows, run};
use compat_tests::company::start_with_window;
use compat_tests::events::EventClient;
use compat_tests::failing::{self, Nat, Peer, address};
use compat_tests::folder::Folder;
use compat_tests::gmnet::{Client, ClientConfig, Host, HostConfig};
use compat_tests::http::get;
use compat_tests::master::{Master, loopback};
use compat_tests::{natpunch, raw, skipped};
use serde_json::{Value, json};

const WAIT: Duration = Duration::from_secs(20);

/// Bytes that a picture in README may have.
const PICTURE: u64 = 150_000;

/// Two players of events meet in a room of this game, and say whether they get through.
fn meet_by_events(master: &Master, [host, player]: [&str; 2], ok: bool) -> [EventClient; 2] {
    let mut both = [host, player].map(|id| {
        let mut client = EventClient::connect(master.addr(), None).expect("connecting");
        client.login(id, "Chess").expect("logged in");
        client
    });
    let sockets = [60, 61].map(|net| UdpSocket::bind((address(net, 1), 0)).expect("a socket"));
    for (client, socket) in both.iter().zip(&sockets) {
        client.udp_endpoint(socket, WAIT).expect("an endpoint");
    }
    let [ann, bob] = &mut both;
    let room = ann.create_room(&format!("Table of {host}"), 2).expect("a room");
    bob.join_room(&room).expect("a place");
    bob.introduction(WAIT).expect("introduced");
    let told = json!({"type": "pass", "name": "punch_result", "data": {"id": host, "ok": ok}});
    bob.send_text(&told.to_string()).expect("sending");
    both
}

/// Two at the relay, who send to each other until the server has seen both.
fn play_by_relay(master: &Master, window: SocketAddr, relay: IpAddr) -> [Peer; 2] {
    let host = Peer::host(master, address(70, 1), Nat::Symmetric, "Night shift");
    let client = Peer::join(master, address(71, 1), Nat::Symmetric, &host.room, "");
    // Nothing else helps these two, so they are told of the relay at once.
    let found = |way: &str| introductions(window).iter().any(|one| one["way"] == way);
    let (for_host, for_client) = (host.told_of(relay), client.told_of(relay));
    let deadline = Instant::now() + WAIT;
    while !found("relayed") {
        assert!(Instant::now() < deadline, "{:#?}", introductions(window));
        host.send(for_host, b"hello");
        client.send(for_client, b"hello");
        std::thread::sleep(Duration::from_millis(50));
    }
    [host, client]
}

fn introductions(window: SocketAddr) -> Vec<Value> {
    let answer = get(window, "/api/v1/introductions").expect("an answer").json();
    answer["introductions"].as_array().expect("a list").clone()
}

/// Some who are refused for what they say, and some who are too many.
fn be_refused(master: &Master) {
    let mut odd = raw::connect(master.addr(), loopback());
    odd.write_all(b"\x47\0\0\0{\"type").expect("sending");
    raw::read_to_end(&odd, WAIT);
    for _ in 0..3 {
        let old = HostConfig {
            version: "1.1.0".to_owned(),
            ..HostConfig::new(master.addr()).on(address(80, 1)).with_data(&["Pong"])
        };
        assert!(Host::registered(old, WAIT).is_err());
    }
    let crowd = (0..24).map(|_| raw::connect(master.addr(), address(81, 1)));
    let crowd: Vec<_> = crowd.collect();
    crowd.iter().skip(20).for_each(|conn| _ = raw::read_to_end(conn, WAIT));
    let mut wrong = EventClient::connect(master.addr(), None).expect("connecting");
    wrong.send_text("{]").expect("sending");
    wrong.wait_for("error", WAIT).expect("an error");
}

#[test]
fn the_picture_in_readme_is_no_burden() {
    let picture = concat!(env!("CARGO_MANIFEST_DIR"), "/window.png");
    let bytes = std::fs::metadata(picture).expect("a picture").len();
    assert!((20_000..PICTURE).contains(&bytes), "{bytes} bytes");
}

#[test]
fn all_that_happens_on_a_busy_evening_is_shown() {
    let Some(browser) = browser() else {
        return skipped::note("there is no chromium");
    };
    let relay = loopback();
    let ip = relay.to_string();
    let options = ["--relay", &ip, "--relay-ports", "20600-20631", "--max-per-address", "20"];
    let (master, window) = start_with_window(&options);
    // GMnet, where the server sees how it ends.
    let gmnet = [("Space Race", "Anna's race"), ("Space Race", "Beginners"), ("Pong", "Pong!")];
    let hosts: Vec<_> = gmnet
        .into_iter()
        .zip(1..)
        .map(|((game, name), n)| {
            let config = HostConfig::new(master.addr()).on(address(90, n)).with_data(&[game, name]);
            Host::registered(config, WAIT).expect("registered").spawn()
        })
        .collect();
    let bind = Some(address(91, 1));
    let config = ClientConfig { bind, ..ClientConfig::new(master.addr(), address(90, 1)) };
    drop(Client::join(config).expect("joined"));
    let peers = failing::by_nats(&master);
    // Usual routers, through which two get.
    let mut through = Vec::new();
    for n in 1..=2 {
        let host = Peer::host(&master, address(100, n), Nat::Independent, &format!("Fort {n}"));
        let client = Peer::join(&master, address(101, n), Nat::Independent, &host.room, "");
        client.succeeds();
        through.extend([host, client]);
    }
    let night = play_by_relay(&master, window, relay);
    let chess = [meet_by_events(&master, ["ann", "bob"], true)];
    let natpunch = natpunch::Client::register(master.addr(), loopback()).expect("registered");
    natpunch.create("Sea battle", 4).expect("a lobby");
    be_refused(&master);
    let deadline = Instant::now() + WAIT;
    let many = |window| introductions(window).len();
    while many(window) < 10
        || get(window, "/api/v1/hosts?dialect=natpunch").expect("an answer").json()["total"] != 1
    {
        assert!(Instant::now() < deadline, "{:#?}", introductions(window));
        std::thread::sleep(Duration::from_millis(50));
    }

    let folder = Folder::new();
    let url = format!("http://{window}/");
    let (page, errors) = run(browser, &folder, &["--dump-dom"], &url);
    assert!(!errors.contains("CONSOLE"), "{errors}");
    let column = |id: &str, n: usize| -> Vec<String> {
        rows(&page, id).iter().filter_map(|row| row.get(n).cloned()).collect()
    };
    for dialect in ["gmnet", "rooms", "events", "natpunch"] {
        assert!(column("hosts", 0).iter().any(|shown| shown == dialect), "{dialect}: {page}");
    }
    let introductions = rows(&page, "introductions");
    let has = |n: usize, text: &str| {
        assert!(
            introductions.iter().any(|row| row[n].contains(text)),
            "{text}: {introductions:#?}"
        );
    };
    ["gmnet", "rooms", "events"].iter().for_each(|dialect| has(0, &format!("<small>{dialect}<")));
    ["unknown", "endpoint-independent", "symmetric"]
        .iter()
        .for_each(|nat| has(2, &format!("<small>{nat}<")));
    ["direct", "relayed", "failed"].iter().for_each(|way| has(4, way));
    has(1, "Tank Battle<small>Night shift<");
    has(1, "Chess<small>Table of ann<");
    has(1, "Space Race<small></small>");
    has(2, "was told relay <button");
    assert!(column("refusals", 0).len() >= 3, "{:#?}", column("refusals", 0));
    let file = folder.file("picture.png");
    let shot = [&format!("--screenshot={file}"), "--window-size=1180,2350", "--hide-scrollbars"];
    let _ = run(browser, &folder, &shot, &url);
    assert!(std::fs::metadata(&file).expect("a picture").len() > 20_000);
    if let Ok(picture) = std::env::var("PUNCH_SCREENSHOT") {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/picture.py");
        let status = Command::new("python3").args([script, &file, &picture]).status();
        assert!(status.expect("Python").success());
    }
    drop((hosts, peers, through, night, chess, natpunch));
}
