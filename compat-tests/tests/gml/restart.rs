//! The master server goes away and comes back while games run.

use compat_tests::master::Master;

use crate::meeting::{client, entry, host};
use crate::runner::{Game, is_here, place};

/// Whoever plays goes on playing: positions of now come in.
fn still_play(host: &mut Game, client: &mut Game) {
    for game in [host, client] {
        game.skip();
        game.value("position");
        game.value("position");
    }
}

#[test]
fn the_host_is_listed_again_after_a_restart() {
    if !is_here() {
        return;
    }
    let at = place();
    let master = Master::start_at(at, &[]);
    let mut host = host(at, &[("data1", "stays")]);
    let mut playing = client(at, host.at(), &[]);
    playing.wait_for("state", "connected");
    drop(master);
    host.wait_for("state", "asking");
    let reason = host.wait_until("reason", ": why", |reason| !reason.is_empty());
    assert!(reason.contains(&at.to_string()) && reason.contains("does not answer"), "{reason}");
    still_play(&mut host, &mut playing);

    let _again = Master::start_at(at, &[]);
    host.wait_for("state", "connected");
    entry(at, host.at(), |entry| entry.data[0] == "stays");
    still_play(&mut host, &mut playing);
    let mut new = client(at, host.at(), &[]);
    new.wait_for("state", "connected");
    assert_eq!(playing.all("state"), ["asking", "punching", "connected"]);
}

#[test]
fn the_host_is_listed_again_after_a_crash() {
    if !is_here() {
        return;
    }
    let at = place();
    let master = Master::start_at(at, &[]);
    let mut host = host(at, &[("data1", "stays")]);
    master.crash();
    // At once: the host may not even have noticed.
    let _again = Master::start_at(at, &[]);
    entry(at, host.at(), |entry| entry.data[0] == "stays");
    let mut new = client(at, host.at(), &[]);
    new.wait_for("state", "connected");
    host.wait_for("position", "3,4");
}
