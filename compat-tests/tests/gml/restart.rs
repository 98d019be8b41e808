//! The master server goes away and comes back while games run.

use std::time::{Duration, Instant};

use compat_tests::master::{Master, loopback};
use nix::sys::signal::Signal;

use crate::meeting::{client, entry, host};
use crate::runner::{Game, is_here, place};

/// So soon a host is at another master server: five seconds, and two for a busy machine.
const BACK: Duration = Duration::from_secs(7);

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

/// Of three master servers the first is not there, and the second is killed: the host and a client go on to the third.
#[test]
fn a_host_goes_on_to_the_next_master_server() {
    if !is_here() {
        return;
    }
    let [dead, first, next] = [place(), place(), place()];
    let [one, _other] = [first, next].map(|at| Master::start_at(at, &[]));
    let all = [dead, first, next].map(|at| at.ip().to_string()).join(",");
    let mut host = host(first, &[("data1", "moves"), ("master_ip", &all)]);
    entry(first, host.at(), |entry| entry.data[0] == "moves");
    let mut playing = client(first, host.at(), &[("master_ip", &all)]);
    playing.wait_for("state", "connected");
    let killed = Instant::now();
    one.crash();
    entry(next, host.at(), |entry| entry.data[0] == "moves");
    println!("at the next after {:?}", killed.elapsed());
    assert!(killed.elapsed() < BACK, "{:?}", killed.elapsed());
    still_play(&mut host, &mut playing);
    let mut new = client(first, host.at(), &[("master_ip", &all)]);
    new.wait_for("state", "connected");
}

/// One that hangs accepts, and says nothing.
#[test]
fn a_lobby_and_a_client_go_on_from_a_master_server_that_hangs() {
    if !is_here() {
        return;
    }
    let [hung, next] = [place(), place()];
    let [one, _other] = [hung, next].map(|at| Master::start_at(at, &[]));
    let host = host(next, &[("data1", "there")]);
    entry(next, host.at(), |entry| entry.data[0] == "there");
    one.signal(Signal::SIGSTOP);
    let both = format!("{},{}", hung.ip(), next.ip());
    let began = Instant::now();
    let set = [("master_ip", both.as_str()), ("every", "0.5")];
    let mut lobby = Game::start("lobby", hung, loopback(), &set);
    let mut new = client(hung, host.at(), &[("master_ip", &both)]);
    assert!(lobby.value("entry").starts_with(&format!("{}|there|", host.at())));
    assert!(began.elapsed() < BACK, "{:?}", began.elapsed());
    new.wait_for("state", "connected");
    assert!(began.elapsed() < BACK, "{:?}", began.elapsed());
    // It stays with the one that is there.
    lobby.value("entry");
    let again = Instant::now();
    lobby.value("entry");
    assert!(again.elapsed() < Duration::from_secs(2), "{:?}", again.elapsed());
    one.signal(Signal::SIGCONT);
}
