//! The misbehaving peers of `punch host` and `punch join`, each against the sample.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use compat_tests::folder::Folder;
use compat_tests::gmnet::{Client, ClientConfig, Error};
use compat_tests::master::loopback;

use crate::meeting::client;
use crate::runner::{Game, is_here, place};

/// `punch host` with its own master server, ready for clients.
fn unruly_host(options: &[&str]) -> (SocketAddr, Game) {
    let (master, at) = (place(), loopback());
    let addr = master.to_string();
    let args = ["host", "--own-master", "--master", &addr, "--data1", "unruly"];
    let mut host = Game::punch(at, &[&args[..], options].concat());
    host.wait_for_line("registered");
    (master, host)
}

/// The sample joins that host, and positions go there and back.
fn client_bears(options: &[&str]) -> (SocketAddr, Game) {
    let (master, mut host) = unruly_host(options);
    let mut client = client(master, host.at(), &[("x", "55"), ("y", "66")]);
    client.wait_for("state", "connected");
    client.wait_for("data", "unruly|||||||");
    client.wait_for("position", "55,66");
    host.wait_for_line("player connected");
    assert_eq!(client.all("state"), ["asking", "punching", "connected"]);
    (master, host)
}

/// The lobby of the sample reads the list of that master server.
fn lobby_bears(master: SocketAddr, host: &Game) {
    let mut lobby = Game::start("lobby", master, loopback(), &[]);
    let entry = lobby.value("entry");
    assert!(entry.starts_with(&format!("{}|unruly|", host.at())), "{entry}");
}

/// What becomes of a client that reads as original games do: shows that the fixture is not kind.
fn original(master: SocketAddr, host: &Game) -> Error {
    let timeout = Duration::from_secs(1);
    let config = ClientConfig::new(master, host.at()).on(loopback());
    Client::join(ClientConfig { timeout, ..config }).expect_err("a reply that cannot be read")
}

/// `punch join` joins a host of the sample, which is told by the master server of `punch`.
fn host_bears(options: &[&str]) -> (Game, Game) {
    let (master, at) = (place(), loopback());
    let (addr, host_at) = (master.to_string(), at.to_string());
    let args = ["join", &host_at, "--own-master", "--game", "--master", &addr];
    let mut join = Game::punch(loopback(), &[&args[..], options].concat());
    join.wait_for_line("waiting for the host");
    let mut host = Game::start("host", master, at, &[("data1", "borne")]);
    join.wait_for_line("the host knocks");
    join.wait_for_line("welcomed by");
    host.value("player");
    (join, host)
}

#[test]
fn split_replies_are_put_together() {
    if !is_here() {
        return;
    }
    let (master, host) = client_bears(&["--split-reply"]);
    lobby_bears(master, &host);
    assert!(matches!(original(master, &host), Error::Malformed { .. }));
    let (mut join, _host) = host_bears(&["--split-reply"]);
    join.wait_for("data1", "borne");
    assert_eq!(join.exit_code(), 0);
}

#[test]
fn glued_replies_are_taken_apart() {
    if !is_here() {
        return;
    }
    let (master, host) = client_bears(&["--glue-replies"]);
    lobby_bears(master, &host);
    assert!(matches!(original(master, &host), Error::NoAnswer { .. }));
    let (mut join, _host) = host_bears(&["--glue-replies"]);
    assert_eq!(join.exit_code(), 0);
}

#[test]
fn glued_and_split_replies_are_read_all_the_same() {
    if !is_here() {
        return;
    }
    client_bears(&["--glue-replies", "--split-reply"]);
}

#[test]
fn udp_may_be_late() {
    if !is_here() {
        return;
    }
    let began = Instant::now();
    client_bears(&["--delay-udp", "700"]);
    // Its port was late at the master server, and its knock at the host.
    assert!(began.elapsed() > Duration::from_millis(1400));
    let (mut join, _host) = host_bears(&["--delay-udp", "700"]);
    assert_eq!(join.exit_code(), 0);
}

#[test]
fn udp_may_be_lost() {
    if !is_here() {
        return;
    }
    let (_, mut host) = client_bears(&["--drop-first", "3"]);
    host.wait_for_line("data strings sent");
    let (mut join, _host) = host_bears(&["--drop-first", "3"]);
    assert_eq!(join.exit_code(), 0);
}

#[test]
fn a_host_that_never_welcomes_is_given_up() {
    if !is_here() {
        return;
    }
    let (master, mut host) = unruly_host(&["--never-welcome"]);
    let mut client = client(master, host.at(), &[]);
    host.wait_for_line("told about client");
    client.wait_for("state", "failed");
    let reason = client.value("reason");
    assert!(reason.starts_with("The host was found but cannot be reached;"), "{reason}");
    assert_eq!(client.all("state"), ["asking", "punching", "failed"]);
}

/// A script in a file.
fn script(folder: &Folder, text: &str) -> String {
    let file = folder.file("script.txt");
    std::fs::write(&file, text).expect("writing the script");
    file
}

#[test]
fn a_script_tells_a_host_what_to_do_and_when() {
    if !is_here() {
        return;
    }
    let text = "at 0 master down\n\
                at 1 master up\n\
                when connected\n\
                at 0.5 send 01 00 07 00 f8 ff\n\
                at 1 hang\n\
                at 60 end\n";
    let folder = Folder::new();
    let (master, mut host) = unruly_host(&["--script", &script(&folder, text)]);
    host.wait_for_line(": master down");
    // Looks for a game while there is no master server, and goes on looking until one is listed.
    let mut client = Game::start("client", master, loopback(), &[]);
    client.wait_for("state", "connected");
    client.wait_for("position", "7,-8");
    host.wait_for_line(": hang");
    // What came before is read; then nothing comes back any more.
    client.skip();
    while client.next("position", Duration::from_secs(1)).is_some() {}
    assert_eq!(client.all("state").last().map(String::as_str), Some("connected"));
}

#[test]
fn a_script_tells_a_client_what_to_do_and_when() {
    if !is_here() {
        return;
    }
    let text = "at 0.3 ask\n\
                when connected\n\
                at 0 send 01 05 2c 01 d4 fe\n\
                at 0.5 end\n";
    let folder = Folder::new();
    let (mut join, mut host) = host_bears(&["--script", &script(&folder, text)]);
    host.wait_for("position", "300,-300");
    join.wait_for_line("received 01 00 01 00 02 00");
    assert_eq!(join.exit_code(), 0);
}
