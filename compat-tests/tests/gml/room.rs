//! The sample as its developer sees it first: the room, and its buttons.

use std::time::Instant;

use compat_tests::master::{Master, loopback};

use crate::meeting::entry;
use crate::runner::{Game, is_here};

#[test]
fn the_room_runs_without_an_error() {
    if !is_here() {
        return;
    }
    let began = Instant::now();
    let mut game = Game::run(loopback(), &["--room", "rm_demo", "--seconds", "2"]);
    assert_eq!(game.exit_code(), 0, "{}", game.output());
    assert!(began.elapsed().as_secs() >= 2, "ended too early: {}", game.output());
    // It has nothing to print; what is there would be trouble.
    assert_eq!(game.output(), "");
}

#[test]
fn two_windows_find_each_other_by_their_buttons() {
    if !is_here() {
        return;
    }
    let master = Master::start(&[]);
    let (ip, port) = (master.addr().ip().to_string(), master.addr().port().to_string());
    let driver = concat!(env!("CARGO_MANIFEST_DIR"), "/gml/room.gml");
    let play = |role: &str, x: &str| {
        let set = [("master_ip", ip.as_str()), ("master_port", &port), ("role", role), ("x", x)];
        let set: Vec<String> =
            set.iter().flat_map(|(n, v)| ["--set".to_owned(), format!("{n}={v}")]).collect();
        let set: Vec<&str> = set.iter().map(String::as_str).collect();
        let mut game =
            Game::run(loopback(), &[&["--room", "rm_demo", "--driver", driver], &set[..]].concat());
        assert_eq!(game.value("demos"), "1");
        game
    };
    let mut host = play("host", "101");
    host.wait_for("state", "connected");
    entry(master.addr(), host.at(), |_| true);
    let mut first = play("join", "102");
    assert_eq!(first.value("listed"), "Sample game|2 squares");
    first.wait_for("state", "connected");
    first.wait_for("square", "0:101,200");
    host.wait_for("square", "1:102,200");
    // A third sees both, and is shown to the first through the host.
    let mut second = play("join", "103");
    second.wait_for("square", "0:101,200");
    second.wait_for("square", "1:102,200");
    first.wait_for("square", "2:103,200");
}
