//! `punch` with several master servers: it goes on to the next when one is not there, says nothing or dies, and
//! is back there within five seconds. One that refuses something has answered.
#![cfg(target_os = "linux")]
#![expect(clippy::expect_used, reason = "a helper that fails is a test that fails")]

mod events;
mod natpunch;

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use compat_tests::folder::Folder;
use compat_tests::gmnet::{Client, ClientConfig, Host, HostConfig, Lobby, Query};
use compat_tests::master::{Master, loopback};
use compat_tests::running::Running;
use compat_tests::skipped;
use nix::sys::signal::Signal;

const WAIT: Duration = Duration::from_secs(30);

/// So soon is a player at another master server.
const BACK: Duration = Duration::from_secs(5);

/// What it may take longer on a machine where other tests run as well.
const BUSY: Duration = Duration::from_secs(2);

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_punch"));
    command.args(args).stdin(Stdio::null());
    command
}

/// A subcommand that goes on until it is dropped.
fn start(args: &[&str]) -> Running {
    Running::start(command(args), WAIT)
}

fn output(args: &[&str]) -> (Output, String) {
    let output = command(args).output().expect("running punch");
    let said = [&output.stdout[..], &output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    (output, said)
}

/// An address where nobody listens.
fn nobody() -> String {
    SocketAddr::from((loopback(), 6510)).to_string()
}

fn two() -> (Master, Master, String) {
    let (one, other) = (Master::start(&[]), Master::start(&[]));
    let both = format!("{},{}", one.addr(), other.addr());
    (one, other, both)
}

/// Does something to a server and waits for this line: how long that took is no longer than promised.
#[track_caller]
fn is_back(player: &Running, act: impl FnOnce(), line: &str) {
    let start = Instant::now();
    act();
    player.lines_to(line);
    let took = start.elapsed();
    println!("{line} after {took:?}");
    assert!(took < BACK + BUSY, "{line} after {took:?}");
}

/// Stops a server without ending it, as the end of its machine does.
fn hush(master: &Master) {
    master.signal(Signal::SIGSTOP);
}

/// It can be ended again.
fn wake(master: &Master) {
    master.signal(Signal::SIGCONT);
}

fn lists(master: &Master, name: &str) -> bool {
    let lobby = Lobby::fetch(master.addr(), Some(loopback()), &Query::default(), WAIT);
    lobby.expect("a lobby").entries.iter().any(|entry| entry.data[0] == name)
}

#[test]
fn a_host_registers_at_the_next_when_its_own_is_killed_and_keeps_its_players() {
    let (one, other, both) = two();
    let ip = loopback();
    let host = start(&["host", "--bind", &ip.to_string(), "--data1", "Moves", "--master", &both]);
    host.lines_to("registered");
    assert!(lists(&one, "Moves"));
    let player = ClientConfig::new(one.addr(), ip).on(loopback());
    let player = Client::join(player).expect("a player");
    is_back(&host, || one.crash(), &format!("registered again at {}", other.addr()));
    assert!(lists(&other, "Moves"));
    player.echo(b"still here?", WAIT).expect("an echo");
    let new = ClientConfig::new(other.addr(), ip).on(loopback());
    Client::join(new).expect("another player").echo(b"hello", WAIT).expect("an echo");
}

#[test]
fn a_host_registers_at_the_next_when_its_own_says_nothing_any_more() {
    let (one, other, both) = two();
    let ip = loopback().to_string();
    let host = start(&["host", "--bind", &ip, "--data1", "Moves", "--master", &both]);
    host.lines_to("registered");
    is_back(&host, || hush(&one), &format!("registered again at {}", other.addr()));
    assert!(lists(&other, "Moves"));
    wake(&one);
}

/// As servers do that do not know the question.
#[test]
fn a_host_stays_at_the_next_though_that_does_not_tell_its_version() {
    let one = Master::start(&[]);
    let mute = TcpListener::bind((loopback(), 0)).expect("a port");
    let at = mute.local_addr().expect("its address");
    let both = format!("{},{at}", one.addr());
    let host = start(&["host", "--bind", &loopback().to_string(), "--master", &both]);
    host.lines_to("registered");
    is_back(&host, || one.crash(), &format!("registered again at {at}"));
    // It tries whether that one answers, and comes again.
    let mut last = mute.accept().expect("a connection").0;
    mute.set_nonblocking(true).expect("not to block");
    while let Ok((connection, _)) = mute.accept() {
        last = connection;
    }
    last.set_read_timeout(Some(BACK)).expect("a time-out");
    let ended = std::io::copy(&mut last, &mut std::io::sink());
    assert!(ended.is_err_and(|error| error.kind() == ErrorKind::WouldBlock), "it has left");
}

/// Its own has told where the host was, which is somewhere else by the time that it is known at the next.
#[test]
fn a_client_that_knocks_asks_the_next_when_its_own_is_killed() {
    let (one, other, both) = two();
    let ip = loopback();
    let left = HostConfig { bind: Some(ip), never_welcome: true, ..HostConfig::new(one.addr()) };
    let _left = Host::registered(left.with_data(&["Moves"]), WAIT).expect("registered");
    let (at, own) = (ip.to_string(), loopback().to_string());
    let mut player = start(&["join", &at, "--bind", &own, "--master", &both]);
    player.lines_to("knocking there");
    one.crash();
    player.lines_to(&format!("asking the master server {}", other.addr()));
    let next = other.addr().to_string();
    let host = start(&["host", "--bind", &at, "--data1", "Moves", "--master", &next]);
    host.lines_to("registered");
    player.lines_to("the host is also at");
    player.lines_to("connect_ms=");
    assert!(player.wait().success());
}

#[test]
fn whoever_starts_takes_the_first_that_is_there() {
    let (silent, there) = (Master::start(&[]), Master::start(&[]));
    hush(&silent);
    let (dead, mute, at) = (nobody(), silent.addr().to_string(), there.addr().to_string());
    let all = [dead.as_str(), &mute, &at].join(",");
    let (host_ip, own) = (loopback().to_string(), loopback().to_string());
    let host = ["host", "--bind", &host_ip, "--data1", "Third", "--for", "60"];
    let host = start(&[&host[..], &["--master", &all]].concat());
    let said = host.lines_to("UDP port");
    let goes_on = |said: &[String], to: &str| {
        let line = format!("going on to the master server {to}");
        assert!(said.iter().any(|said| said.ends_with(&line)), "{said:?}");
    };
    goes_on(&said, &mute);
    goes_on(&said, &at);
    // The option may be repeated as well.
    let (out, said) = output(&["lobby", "--master", &dead, "--master", &mute, "--master", &at]);
    assert!(out.status.success() && said.contains("Third"), "{said}");
    let (out, said) = output(&["join", &host_ip, "--bind", &own, "--master", &all]);
    assert!(out.status.success() && said.contains("connect_ms="), "{said}");
    assert!(said.contains(&format!("asking the master server {at}")), "{said}");
    let (out, said) = output(&["rooms", "list", "--master", &all]);
    assert!(out.status.success() && said.contains("no rooms"), "{said}");
    let (out, said) = output(&["events", "--id", "a", "--master", &all, "--do", "rooms"]);
    assert!(out.status.success() && said.contains("logged in as a"), "{said}");
    let (out, said) = output(&["natpunch", "--master", &all, "list"]);
    assert!(out.status.success() && said.contains("no lobbies"), "{said}");
    wake(&silent);
}

#[test]
fn where_none_is_there_each_is_named() {
    let (one, other) = (nobody(), nobody());
    let both = [one.as_str(), &other].join(",");
    for command in [
        &["host"][..],
        &["lobby"],
        &["join", "127.0.0.1", "--timeout", "1"],
        &["rooms", "list", "--timeout", "1"],
        &["events", "--id", "a", "--do", "rooms"],
        &["natpunch", "--timeout", "1", "list"],
    ] {
        let (out, said) = output(&[command, &["--master", &both]].concat());
        assert_eq!(out.status.code(), Some(1), "{command:?}: {said}");
        assert!(said.contains(&one) && said.contains(&other), "{command:?}: {said}");
    }
}

#[test]
fn a_refusal_is_an_answer() {
    let (one, other) = (Master::start(&["--key", "sesame"]), Master::start(&[]));
    let both = format!("{},{}", one.addr(), other.addr());
    for (command, refusal) in [
        (
            &["host", "--data1", "Wrong", "--for", "1"][..],
            "It speaks GMnet, and has closed the connection",
        ),
        (&["rooms", "host", "Wrong", "--for", "1"], "refuses"),
        (&["events", "--id", "wrong", "--do", "rooms"], "bad_key"),
        (&["natpunch", "list"], "wants --game or --key"),
    ] {
        let (out, said) = output(&[command, &["--master", &both]].concat());
        assert_eq!(out.status.code(), Some(1), "{command:?}: {said}");
        assert!(said.contains(refusal) && !said.contains("going on"), "{command:?}: {said}");
    }
    // Also behind one that has said nothing.
    let hung = Master::start(&[]);
    hush(&hung);
    let both = format!("{},{}", hung.addr(), one.addr());
    let (out, said) = output(&["host", "--data1", "Wrong", "--for", "1", "--master", &both]);
    wake(&hung);
    assert_eq!(out.status.code(), Some(1), "{said}");
    assert!(said.contains("It speaks GMnet, and has closed the connection"), "{said}");
    let log = other.log();
    assert!(!log.contains("Wrong") && !log.contains("\"wrong\""), "{log}");
}

#[test]
fn a_room_is_open_at_the_next_and_its_players_are_back() {
    let (one, other, both) = two();
    let common = ["--for", "60", "--master", &both];
    let host = start(&[&["rooms", "host", "My room", "--data", "map=a"], &common[..]].concat());
    host.lines_to("room ");
    let client = start(&[&["rooms", "join", "My room"], &common[..]].concat());
    client.lines_to("connected with host");
    host.lines_to("connected with ");
    let at = format!("at the master server {}", other.addr());
    is_back(&host, || one.crash(), &format!("open again, {at}"));
    client.lines_to(&format!("is there again, knocking, {at}"));
    client.lines_to("connected with host");
    let (_, said) = output(&["rooms", "list", "--master", &other.addr().to_string()]);
    assert!(said.contains("2/65  My room  map=a"), "{said}");
}

/// Where no other server is there either, the first one that answers again has the place still.
#[test]
fn who_was_not_heard_for_a_while_has_the_same_place_again() {
    let one = Master::start(&[]);
    let both = format!("{},{}", one.addr(), nobody());
    let host = start(&["rooms", "host", "My room", "--for", "60", "--master", &both]);
    let opened = host.line_with("room ");
    let room = opened.split(' ').nth(1).expect("its ID").to_owned();
    let client = start(&["rooms", "join", "My room", "--for", "60", "--master", &both]);
    client.lines_to("connected with host");
    host.lines_to("connected with ");
    let login = ["events", "--id", "a", "--do", "create \"My room\" 4", "--do", "wait 60"];
    let peer = start(&[&login[..], &["--master", &both]].concat());
    peer.lines_to("made the room");
    hush(&one);
    host.lines_to("going on to the master server");
    peer.lines_to("going on to the master server");
    wake(&one);
    let at = one.addr();
    let said = host.lines_to(&format!("room {room} open again, at the master server {at}"));
    assert!(!said.iter().any(|line| line.contains("has gone")), "{said:?}");
    let said = client.lines_to(&format!("is there again, knocking, at the master server {at}"));
    assert!(!said.iter().any(|line| line.contains("has gone")), "{said:?}");
    peer.lines_to("logged in again as a, in the place from before");
}

/// A name that has several addresses is as good as several names.
#[test]
fn all_addresses_of_a_name_are_tried() {
    let [dead, there] = [loopback(), loopback()];
    let folder = Folder::new();
    let hosts = folder.file("hosts");
    std::fs::write(&hosts, format!("{dead} two.test\n{there} two.test\n")).expect("writing");
    // What has to be in the file of hosts of this machine is there for one process alone.
    let with_hosts = |program: &str, args: &[&str]| {
        let mut command = Command::new("unshare");
        let script = "mount --bind \"$0\" /etc/hosts && exec \"$@\"";
        command.args(["-rm", "sh", "-c", script, &hosts, program]).args(args);
        command.stdin(Stdio::null()).output()
    };
    if !with_hosts("true", &[]).is_ok_and(|output| output.status.success()) {
        return skipped::note("unshare cannot put another file in the place of /etc/hosts");
    }
    let there = SocketAddr::from((there, 6510));
    let _master = Master::start_at(there, &[]);
    let host = HostConfig::new(there).with_data(&["Second"]);
    let _host = Host::registered(host, WAIT).expect("registered");
    for name in ["two.test", "no such name,two.test:6510"] {
        let punch = env!("CARGO_BIN_EXE_punch");
        let output = with_hosts(punch, &["lobby", "--master", name]).expect("running punch");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && said.contains("Second"), "{output:?}");
        assert!(said.contains(&format!("going on to the master server {there}")), "{said}");
        assert_eq!(said.contains("leaving it out"), name.contains(','), "{said}");
    }
    let (out, said) = output(&["lobby", "--master", "no such name"]);
    assert!(!out.status.success() && said.contains("no such name: "), "{said}");
}
