//! `punch` where the server is restarted: players are in their rooms again, as PROTOCOL.md wants it.

use std::fs;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use compat_tests::folder::Folder;
use compat_tests::master::{Master, loopback};
use compat_tests::running::Running;
use nix::sys::signal::Signal;

/// A player says only every ten seconds that it is there, and so hears no earlier that it is not.
const WAIT: Duration = Duration::from_secs(40);

/// A subcommand that goes on until it is dropped.
fn start(args: &[&str]) -> Running {
    let mut command = Command::new(env!("CARGO_BIN_EXE_punch"));
    command.args(args).stdin(Stdio::null());
    Running::start(command, WAIT)
}

fn free() -> SocketAddr {
    (loopback(), 6510).into()
}

#[test]
fn a_room_is_open_again_and_its_players_are_in_it() {
    let addr = free();
    let master = Master::start_at(addr, &[]);
    let at = addr.to_string();
    let common = ["--game", "Pong", "--for", "120", "--master", &at];
    let host = start(&[&["rooms", "host", "My room", "--data", "map=a"], &common[..]].concat());
    host.lines_to("room ");
    let client = start(&[&["rooms", "join", "My room"], &common[..]].concat());
    client.lines_to("connected with host");
    host.lines_to("connected with ");
    master.crash();
    let master = Master::start_at(addr, &[]);
    host.lines_to("open again");
    client.lines_to("is there again, knocking");
    client.lines_to("connected with host");
    // Somebody new finds it, with what its host has said of it.
    let other = start(&["rooms", "list", "--game", "Pong", "--master", &at]);
    let shown = other.lines_to("My room");
    assert!(shown.last().is_some_and(|line| line.contains("2/65  My room  map=a")), "{shown:?}");
    master.wait_for_log("got through to host");
}

#[test]
fn a_peer_of_events_is_back_with_its_room() {
    let addr = free();
    let master = Master::start_at(addr, &[]);
    let at = addr.to_string();
    let create = "create \"My room\" 4 map=a";
    let host = start(&[
        "events",
        "--id",
        "a",
        "--master",
        &at,
        "--do",
        create,
        "--do",
        "set locked",
        "--do",
        "who",
        "--do",
        "wait 120",
    ]);
    host.lines_to("made the room");
    // It says who is in it once it is locked.
    host.lines_to("a");
    let client = start(&["events", "--id", "b", "--master", &at, "--do", "wait 120"]);
    client.lines_to("logged in");
    master.crash();
    let _master = Master::start_at(addr, &[]);
    host.lines_to("logged in again as a");
    host.lines_to("made the room");
    client.lines_to("logged in again as b");
    let other = start(&["events", "--id", "c", "--master", &at, "--do", "rooms"]);
    let shown = other.lines_to("My room");
    let has_all = |line: &String| line.contains("1/4  locked") && line.contains("\"map\":\"a\"");
    assert!(shown.last().is_some_and(has_all), "{shown:?}");
}

/// "registered again" is said when the server says so.
#[test]
fn a_host_that_is_blocked_is_not_registered_again() {
    let folder = Folder::new();
    let file = folder.file("block");
    fs::write(&file, "# nobody\n").expect("writing");
    let master = Master::start(&["--block", &file]);
    let at = master.addr().to_string();
    let host = start(&["host", "--master", &at]);
    host.lines_to("registered");
    fs::write(&file, "127.0.0.0/8\n").expect("writing");
    master.signal(Signal::SIGHUP);
    host.lines_to("closed the connection");
    let said = host.lines_to("--block");
    assert!(!said.iter().any(|line| line == "registered again"), "{said:?}");
    fs::write(&file, "# nobody\n").expect("writing");
    master.signal(Signal::SIGHUP);
    host.lines_to("registered again");
}

/// Also a lobby of natpunch is opened again.
#[test]
fn a_lobby_of_natpunch_is_there_after_a_restart() {
    let addr = free();
    let master = Master::start_at(addr, &[]);
    let at = addr.to_string();
    let host = start(&["natpunch", "--master", &at, "create", "Lobby", "4"]);
    host.lines_to("created");
    master.crash();
    let _master = Master::start_at(addr, &[]);
    let said = host.lines_to("created");
    assert!(said.len() < 5, "{said:?}");
}

/// Nobody comes any more where its host has not come back.
#[test]
fn who_waits_in_a_lobby_of_natpunch_that_is_not_there_again_ends() {
    let addr = free();
    let master = Master::start_at(addr, &[]);
    let at = addr.to_string();
    let host = start(&["natpunch", "--master", &at, "create", "Lobby", "4"]);
    host.lines_to("created");
    let mut client = start(&["natpunch", "--master", &at, "join", "Lobby", "0"]);
    client.lines_to("joined");
    drop(host);
    master.crash();
    let _master = Master::start_at(addr, &[]);
    client.lines_to("there is no lobby \"Lobby\" any more");
    assert!(!client.wait().success());
}

/// A server that has forgotten it is asked once to let it go.
#[test]
fn who_stops_after_a_restart_of_natpunch_leaves_once() {
    let addr = free();
    let master = Master::start_at(addr, &[]);
    let host = start(&["natpunch", "--master", &addr.to_string(), "create", "Lobby", "4"]);
    host.lines_to("created");
    master.crash();
    let _master = Master::start_at(addr, &[]);
    let pid = nix::unistd::Pid::from_raw(i32::try_from(host.pid()).expect("a process ID"));
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).expect("signalling punch");
    let said = host.last_lines();
    assert!(said.len() < 10, "{} lines", said.len());
}
