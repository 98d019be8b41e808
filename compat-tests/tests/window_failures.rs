//! Why two could not play: for each reason that the journal knows there are two at the real server who do not
//! get through for it, and the owner's window says so, to programs and in a real browser.
//!
//! One is missing: that there are as many relayed pairs as there may be on the whole, 4096, takes more files
//! than a test may open. `server::window::tests` has its sentence.
#![cfg(target_os = "linux")]
#![expect(clippy::expect_used, reason = "a helper that fails is a test that fails")]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use compat_tests::browser::{browser, inside, rows, run};
use compat_tests::company::start_with_window;
use compat_tests::failing::{self, GAME, Nat, Peer, address};
use compat_tests::folder::Folder;
use compat_tests::http::get;
use compat_tests::master::loopback;
use compat_tests::skipped;
use serde_json::Value;

/// Who is told of the relay has 20 s, a browser some more.
const WAIT: Duration = Duration::from_secs(60);

/// The introductions that the window shows, as soon as there are so many; the first at the end.
fn introductions(window: SocketAddr, many: usize) -> Vec<Value> {
    let deadline = Instant::now() + WAIT;
    loop {
        let answer = get(window, "/api/v1/introductions").expect("an answer").json();
        let mut all = answer["introductions"].as_array().expect("a list").clone();
        if all.len() >= many {
            all.reverse();
            return all;
        }
        assert!(Instant::now() < deadline, "{many} wanted: {answer:#}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// That each of these sentences is that of an introduction, and in a row of the page, with what was told.
fn all_are_shown(window: SocketAddr, rest: &[&str]) -> Vec<Value> {
    let found = introductions(window, rest.len());
    let whys: Vec<&str> = found.iter().filter_map(|one| one["why"].as_str()).collect();
    for rest in rest {
        assert!(whys.iter().any(|why| why.ends_with(rest)), "{rest:?} is not in {whys:#?}");
    }
    let Some(browser) = browser() else {
        skipped::note("there is no chromium");
        return found;
    };
    let folder = Folder::new();
    let (page, errors) = run(browser, &folder, &["--dump-dom"], &format!("http://{window}/"));
    assert!(!errors.contains("CONSOLE"), "{errors}");
    assert!(inside(&page, "state", "</p>").ends_with("live"), "{page}");
    let shown = rows(&page, "introductions");
    for one in &found {
        let why = one["why"].as_str().expect("a sentence");
        // Addresses are shortened, so behind the last of them.
        let (_, reason) = why.rsplit_once("): ").expect("a reason");
        let nats = ["client", "host"].map(|side| one[side]["nat"].as_str().unwrap_or_default());
        let is_it = |row: &Vec<String>| {
            let nat = |n: usize| row[n].contains(&format!("<small>{}</small>", nats[n - 2]));
            row[1] == format!("{GAME}<small>{}</small>", one["room"].as_str().unwrap_or_default())
                && nat(2)
                && nat(3)
                && row[4].starts_with(one["way"].as_str().unwrap_or_default())
                && text(&row[5]).ends_with(reason)
        };
        assert!(shown.iter().any(is_it), "no row of {one:#} in {shown:#?}");
    }
    found
}

/// What is between the tags.
fn text(cell: &str) -> String {
    let parts = cell.split('<').map(|part| part.split_once('>').map_or(part, |(_, text)| text));
    parts.collect()
}

#[test]
fn what_nats_do_to_two_who_are_not_relayed_is_told() {
    let (master, window) = start_with_window(&[]);
    let all = failing::by_nats(&master);
    let found = all_are_shown(
        window,
        &[
            "a router gives each destination another port, UDP is blocked, or the host did not let it in; \
             punch nat, run on both sides, shows which; a relay on this server would help, or forwarding the \
             game's UDP port to the host",
            "UDP is blocked on one side, the host did not let it in (it is full, or lets nobody in), or the game \
             has ended",
            "the client's router gives each destination another port, and the host's side lets in packets only \
             from endpoints that the host has sent to, or the host did not let the client in; a relay on this \
             server would help, or forwarding the game's UDP port to the host",
            "the host's router gives each destination another port, and the client's side lets in packets only \
             from endpoints that the client has sent to; a relay on this server would help, or forwarding the \
             game's UDP port to the host",
            "both routers give each destination another port; a relay on this server would help, or forwarding \
             the game's UDP port to the host",
        ],
    );
    // Each side was told where the other one is.
    for (one, pair) in found.iter().zip(all.chunks(2)) {
        let [host, client] = [0, 1].map(|n| pair[n].at().to_string());
        assert_eq!(
            (&one["client"]["address"], &one["host"]["address"]),
            (&client.clone().into(), &host.clone().into())
        );
        assert_eq!((&one["client"]["told"], &one["host"]["told"]), (&host.into(), &client.into()));
        assert_eq!(one["told"], "each other");
    }
}

#[test]
fn what_the_relay_has_no_place_for_is_told() {
    let options = ["--relay", "--relay-ports", "20300-20363"];
    let (master, window) = start_with_window(&options);
    let all = failing::by_relay(&master);
    let found = all_are_shown(
        window,
        &[
            "shows which; the relay would help, but there are 4 sessions between their two addresses \
             already",
            "one of them has sent nothing to the relay, so UDP is blocked there, a firewall of the \
             relay blocks its ports, or the game has ended",
        ],
    );
    let by_relay = found.iter().find(|one| one["told"] == "the relay").expect("one was relayed");
    for side in ["client", "host"] {
        let told: SocketAddr =
            by_relay[side]["told"].as_str().expect("it").parse().expect("an endpoint");
        assert!((20_300..=20_363).contains(&told.port()), "{by_relay:#}");
    }
    drop(all);
}

#[test]
fn what_a_host_has_too_much_of_is_told() {
    let options = ["--relay", "--relay-ports", "20400-20431", "--relay-sessions", "2"];
    let (master, window) = start_with_window(&options);
    let _all = failing::by_sessions(&master);
    all_are_shown(
        window,
        &[
            "is relayed as often as it may be; allow more with --relay-sessions",
            "they were relayed, but a player with fewer relayed pairs needed the place",
        ],
    );
}

#[test]
fn that_there_are_too_few_ports_is_told() {
    let (master, window) = start_with_window(&["--relay", "--relay-ports", "20440-20441"]);
    let _all = failing::by_ports(&master);
    all_are_shown(window, &["uses all ports of the relay; give it more with --relay-ports"]);
}

#[test]
fn that_the_traffic_of_the_month_is_used_up_is_told() {
    let relay = loopback();
    let month = ["--relay-ports", "20450-20465", "--relay-month", "0.000000001"];
    let (master, window) =
        start_with_window(&[&["--relay", &relay.to_string()][..], &month].concat());
    let host = Peer::host(&master, address(50, 1), Nat::Unknown, "Last of the month");
    let client = Peer::join(&master, address(51, 1), Nat::Unknown, &host.room, "");
    client.fails();
    // Both are told of the relay, and what goes through it counts.
    let (for_host, for_client) = (host.told_of(relay), client.told_of(relay));
    let deadline = Instant::now() + WAIT;
    let passed =
        || get(window, "/api/v1/status").expect("an answer").json()["relay"]["bytes"].clone();
    // That is told every five seconds.
    while passed() == 0 {
        assert!(Instant::now() < deadline);
        host.send(for_host, b"hello");
        client.send(for_client, b"hello");
        std::thread::sleep(Duration::from_millis(100));
    }
    let late = Peer::join(&master, address(52, 1), Nat::Unknown, &host.room, "");
    late.fails();
    all_are_shown_of(
        window,
        "the relay has used up its monthly traffic; allow more with --relay-month",
    );
    drop((host, client, late));
}

/// The same beside introductions that did not fail.
fn all_are_shown_of(window: SocketAddr, rest: &str) {
    let found = introductions(window, 1);
    let failed = found.iter().filter(|one| one["way"] == "failed");
    let whys: Vec<&str> = failed.filter_map(|one| one["why"].as_str()).collect();
    assert!(whys.iter().all(|why| why.ends_with(rest)) && !whys.is_empty(), "{whys:#?}");
}

/// A network counts each side of each pair, and may have 512.
#[test]
fn that_a_network_has_too_much_is_told() {
    let options = ["--relay", "--relay-ports", "20500-20563", "--relay-sessions", "64"];
    let (master, window) = start_with_window(&options);
    let mut all = Vec::new();
    for n in 1..=8 {
        let host = Peer::host(&master, address(60, n), Nat::Unknown, &format!("Room {n}"));
        for client in 0..32 {
            let ip = address(60, 100 + client / 4 + 8 * (n - 1));
            all.push(Peer::join(&master, ip, Nat::Unknown, &host.room, ":always"));
        }
        all.push(host);
    }
    let host = all.last().expect("a host").room.clone();
    let last = Peer::join(&master, address(60, 100), Nat::Unknown, &host, "");
    last.fails();
    let found = introductions(window, 1);
    let why = found.last().and_then(|one| one["why"].as_str()).expect("a sentence");
    assert!(why.contains("the relay would help, but the network of 127.77.60."), "{why}");
    assert!(why.ends_with(" has 512 sessions already"), "{why}");
}
