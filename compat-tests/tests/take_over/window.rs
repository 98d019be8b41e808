//! What the owner and web sites see while one process after the other takes over.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Write as _};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use compat_tests::company::Company;
use compat_tests::http::{Response, get};
use compat_tests::line_of_masters::Masters;
use compat_tests::master::loopback;
use compat_tests::raw;
use serde_json::{Value, json};

use super::fixtures::{Ends, Load, WAIT};

/// Servers with a window and a lobby for web sites, and where the window is.
fn start() -> (Masters, SocketAddr) {
    const LINE: &str = "the owner's window is at http://";
    let masters = Masters::start(&["--http", "127.0.0.1:0", "--public-lobby"]);
    masters.wait_for_log(LINE);
    let log = masters.log();
    let (_, rest) = log.split_once(LINE).unwrap();
    (masters, rest.split('/').next().unwrap().parse().unwrap())
}

/// Somebody who begins in a way that nobody understands.
fn be_refused(master: SocketAddr) {
    let mut odd = raw::connect(master, loopback());
    odd.write_all(b"\x47\0\0\0{\"type").unwrap();
    assert!(raw::read_to_end(&odd, WAIT).1);
}

/// What the owner sees that is the same as long as nothing happens.
fn seen(window: SocketAddr) -> BTreeMap<&'static str, Value> {
    let ask = |what: &str| get(window, what).unwrap().json();
    let mut status = ask("/api/v1/status");
    let hosts = ask("/api/v1/hosts")["hosts"].take();
    let who = ["dialect", "game", "name", "address", "players", "private"];
    let hosts = hosts.as_array().unwrap().iter().map(|host| who.map(|key| host[key].clone()));
    let mut introductions = status["introductions"].take();
    // The minute may be over.
    introductions["per_minute"].take();
    let mut all = BTreeMap::from([
        ("hosts", json!(hosts.collect::<Vec<_>>())),
        ("introductions", introductions),
        ("all introductions", ask("/api/v1/introductions")),
        ("refusals", ask("/api/v1/refusals")),
    ]);
    for key in ["hosts", "clients", "connections", "relay", "dialects", "options"] {
        all.insert(key, status[key].take());
    }
    // This one only the first of them was not given.
    let options = all.get_mut("options").and_then(Value::as_array_mut).unwrap();
    options.retain(|option| option["option"] != "--take-over");
    all
}

/// All of the server that only grows, by its name and its labels.
fn counters(window: SocketAddr) -> BTreeMap<String, f64> {
    let text = get(window, "/metrics").unwrap().body;
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let all = lines.filter_map(|line| line.rsplit_once(' '));
    let counts = |name: &str| {
        let name = name.split('{').next().unwrap_or_default();
        // What one process has used is its own.
        name.starts_with("punchd_")
            && ["_total", "_count", "_sum", "_bucket"].iter().any(|end| name.ends_with(end))
    };
    let counting = all.filter(|(name, _)| counts(name));
    counting.map(|(name, value)| (name.to_owned(), value.parse().unwrap())).collect()
}

#[test]
fn the_numbers_of_the_owner_go_on() {
    let (mut masters, window) = start();
    let company = Company::come(masters.first(), ["My Game", "Host"], "Meeting");
    (0..2).for_each(|_| be_refused(masters.addr()));
    let lobby = || get(masters.addr(), "/lobby").unwrap().json();
    let listed = lobby();
    assert!(listed["rooms"][0]["name"] == "Meeting", "{listed}");
    let uptime = || get(window, "/api/v1/status").unwrap().json()["uptime"].as_f64().unwrap();
    let (deadline, old_enough) = (Instant::now() + WAIT, 2.0);
    while uptime() < old_enough {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(20));
    }
    let (before, counted) = (seen(window), counters(window));
    assert_eq!(before["introductions"]["direct"], 1);
    assert!(counted.len() > 20, "{counted:?}");
    for _ in 0..2 {
        masters.succeed();
        for (what, then) in &before {
            assert_eq!(seen(window)[what], *then, "{what}");
        }
        assert_eq!(get(masters.addr(), "/lobby").unwrap().json(), listed);
        assert!(uptime() >= old_enough, "it counts from its own start");
    }
    let now = counters(window);
    let less: Vec<_> = counted
        .iter()
        .filter(|(name, value)| now.get(*name).is_none_or(|now| now < value))
        .collect();
    assert!(less.is_empty(), "{less:?} are less than they were");
    // And the counting goes on.
    be_refused(masters.addr());
    let refused = &seen(window)["refusals"]["refusals"][0]["times"];
    assert_eq!(
        refused.as_u64(),
        before["refusals"]["refusals"][0]["times"].as_u64().map(|n| n + 1)
    );
    drop(company);
}

/// Asks again and again. Who is not answered is not refused either, and is answered when he asks once more.
fn look_in(load: &Load, at: SocketAddr, what: &str, unanswered: &AtomicUsize) {
    let is_right = |answer: &Response| answer.status == 200 && answer.json().is_object();
    load.repeat(Duration::from_millis(2), || match get(at, what) {
        Ok(answer) => assert!(is_right(&answer), "{answer:?}"),
        Err(error) => {
            assert_ne!(error.kind(), ErrorKind::ConnectionRefused, "{what}");
            unanswered.fetch_add(1, Ordering::Relaxed);
            let again = get(at, what).unwrap_or_else(|again| panic!("{error}, and then {again}"));
            assert!(is_right(&again), "{again:?}");
        }
    });
}

#[test]
fn whoever_looks_in_is_answered_at_the_second_time_at_the_latest() {
    let (mut masters, window) = start();
    let (load, unanswered, master) = (Load::default(), AtomicUsize::new(0), masters.addr());
    std::thread::scope(|scope| {
        let _ends = Ends(&load);
        let (load, unanswered) = (&load, &unanswered);
        let acting = [
            scope.spawn(move || look_in(load, window, "/api/v1/status", unanswered)),
            scope.spawn(move || look_in(load, window, "/api/v1/hosts", unanswered)),
            scope.spawn(move || look_in(load, master, "/lobby", unanswered)),
            scope.spawn(move || look_in(load, master, "/lobby?limit=5", unanswered)),
        ];
        for _ in 0..10 {
            load.wait_for(40);
            // Two who stop in the middle of what they ask.
            let halves = [window, master].map(|at| raw::connect(at, loopback()));
            for mut half in &halves {
                half.write_all(b"GET /lobby HTTP/1.1\r\nHo").unwrap();
            }
            masters.succeed();
            for mut half in halves {
                // That may fail, if the other end has hung up already.
                let _ = half.write_all(b"st: localhost\r\nConnection: close\r\n\r\n");
                assert!(raw::read_to_end(&half, WAIT).1, "neither an answer nor an end");
            }
            assert!(!acting.iter().any(|thread| thread.is_finished()), "somebody was not answered");
        }
        load.is_over.store(true, Ordering::Relaxed);
        acting.into_iter().for_each(|thread| thread.join().unwrap());
    });
    println!("{} were not answered at once", unanswered.into_inner());
}
