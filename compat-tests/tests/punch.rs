//! The debug client `punch`, as a person or a script runs it.
#![expect(clippy::expect_used, reason = "a helper that fails is a test that fails")]

use std::net::IpAddr;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use compat_tests::folder::Folder;
use compat_tests::gmnet::{Client, ClientConfig, Host, HostConfig};
use compat_tests::master::{Master, loopback};
use compat_tests::running::Running;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const WAIT: Duration = Duration::from_secs(10);

/// A subcommand that goes on until it is stopped.
fn start(args: &[&str]) -> Running {
    Running::start(punch(args), WAIT)
}

fn interrupt(running: &Running) {
    let pid = i32::try_from(running.pid()).expect("a process ID");
    kill(Pid::from_raw(pid), Signal::SIGINT).expect("signalling punch");
}

fn punch(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_punch"));
    command.args(args).stdin(Stdio::null());
    command
}

fn output(args: &[&str]) -> Output {
    punch(args).output().expect("running punch")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn host(master: &Master, at: IpAddr, more: &[&str]) -> Running {
    let (master, at) = (master.addr().to_string(), at.to_string());
    let punch = start(&[&["host", "--master", &master, "--bind", &at], more].concat());
    assert_eq!(punch.line(), "registered");
    punch
}

fn join(master: &Master, at: IpAddr, more: &[&str]) -> Output {
    let (master, at, own) = (master.addr().to_string(), at.to_string(), loopback().to_string());
    output(&[&["join", &at, "--master", &master, "--bind", &own], more].concat())
}

#[test]
fn a_host_here_and_a_join_there_are_connected() {
    let master = Master::any();
    let at = loopback();
    let mut host = host(&master, at, &["--data1", "My Game", "--data8", "eight"]);

    let join = join(&master, at, &[]);
    let said = stdout(&join);
    assert!(join.status.success(), "{said}");
    assert!(said.contains("\ndata1=My Game\n") && said.contains("\ndata8=eight\n"), "{said}");
    assert!(!said.contains("data2="), "what is empty is left out: {said}");
    let last = said.lines().last().unwrap_or_default();
    let millis = last.strip_prefix("connect_ms=").expect("the time comes last");
    assert!(millis.parse::<u64>().is_ok_and(|millis| millis < 10_000), "{last}");

    let player = host.line_with("player connected: ");
    assert!(player.starts_with("player connected: 127."), "{player}");
    host.line_with("sent back");
    interrupt(&host);
    assert!(host.wait().success());
    let left = Client::look_up(ClientConfig::new(master.addr(), at).on(loopback()));
    assert_eq!(left.expect("an answer"), None);
}

#[test]
fn a_host_ends_by_itself_when_told_so() {
    let master = Master::any();
    let at = loopback();
    let mut once = host(&master, at, &["--once", "--for", "60"]);
    assert!(join(&master, at, &[]).status.success());
    assert!(once.wait().success());
    let mut short = host(&master, at, &["--for", "0.2"]);
    assert!(short.wait().success());
}

#[test]
fn a_join_that_fails_says_what_to_do() {
    let master = Master::any();
    let at = loopback();
    let missing = join(&master, at, &[]);
    let why = String::from_utf8_lossy(&missing.stderr);
    assert_eq!(missing.status.code(), Some(1));
    assert!(why.contains(&format!("knows no host at {at}")) && why.contains("--port"), "{why}");

    let config = HostConfig::new(master.addr()).on(at);
    let mute = Host::registered(config, WAIT).expect("registering");
    let failed = join(&master, at, &["--timeout", "0.4"]);
    assert_eq!(failed.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&failed.stderr).contains("no welcome from the host"));
    assert!(!stdout(&failed).contains("connect_ms"));
    drop(mute);
}

#[test]
fn a_join_to_the_given_port_needs_no_registration() {
    let master = Master::any();
    let config = HostConfig::new(master.addr()).on(loopback()).with_data(&["direct"]);
    let mut host = Host::registered(config, WAIT).expect("registering");
    host.unregister();
    let at = host.local();
    let _running = host.spawn();
    let join = join(&master, at.ip(), &["--port", &at.port().to_string()]);
    assert!(join.status.success(), "{}", String::from_utf8_lossy(&join.stderr));
    assert!(stdout(&join).contains("data1=direct"));
}

#[test]
fn the_lobby_is_a_table_or_json() {
    let master = Master::any();
    let tag = format!("tag {}", loopback());
    let data = |name: &'static str| [name, "", "", "", "", "", "", tag.as_str()];
    let _hosts = ["beta", "alpha"].map(|name| {
        let config = HostConfig::new(master.addr()).on(loopback()).with_data(&data(name));
        Host::registered(config, WAIT).expect("registering")
    });
    let (addr, filter) = (master.addr().to_string(), format!("data8={tag}"));
    let lobby = |more: &[&str]| {
        let args = ["lobby", "--master", &addr, "--filter", &filter, "--sort", "data1"];
        let output = output(&[&args, more].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        stdout(&output)
    };
    let names = |json: &str| -> Vec<String> {
        let hosts: Vec<serde_json::Value> = serde_json::from_str(json).expect("JSON");
        hosts.iter().filter_map(|host| host["data1"].as_str().map(str::to_owned)).collect()
    };
    assert_eq!(names(&lobby(&["--json"])), ["alpha", "beta"]);
    assert_eq!(names(&lobby(&["--json", "--asc"])), ["beta", "alpha"]);
    assert_eq!(names(&lobby(&["--json", "--desc", "--limit", "1"])), ["alpha"]);
    assert_eq!(names(&lobby(&["--json", "--filter", "data1=beta"])), ["beta"]);
    let table = lobby(&[]);
    let rows: Vec<Vec<&str>> = table.lines().map(|row| row.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["ip", "age", "data1", "data8"]);
    assert_eq!((rows[1][2], rows[2][2], rows.len()), ("alpha", "beta", 3));
    assert_eq!(lobby(&["--filter", "data1=gamma"]), "no hosts\n");
}

#[test]
fn help_fits_a_screen() {
    for subcommand in ["events", "host", "join", "lobby", "probe"] {
        let help = stdout(&output(&[subcommand, "--help"]));
        assert!((5..=28).contains(&help.lines().count()), "{help}");
        assert!(help.lines().all(|line| line.chars().count() <= 100), "{help}");
    }
}

#[test]
fn a_host_can_be_its_own_master_server() {
    let (addr, at) = (format!("{}:6510", loopback()), loopback().to_string());
    let folder = Folder::new();
    let file = folder.file("script.txt");
    let script = "when connected\nat 0 data1 after\nat 3 leave\nat 3.5 end\n";
    std::fs::write(&file, script).expect("writing the script");
    let args = ["host", "--own-master", "--master", &addr, "--bind", &at, "--data1", "before"];
    let mut host = start(&[&args[..], &["--script", &file]].concat());
    host.line_with("registered");
    let own = loopback().to_string();
    let join = output(&["join", &at, "--master", &addr, "--bind", &own]);
    assert!(join.status.success(), "{}", String::from_utf8_lossy(&join.stderr));
    let deadline = Instant::now() + WAIT;
    while !stdout(&output(&["lobby", "--master", &addr])).contains("after") {
        assert!(Instant::now() < deadline, "the lobby does not show the change");
    }
    host.line_with(": leave");
    // It does not come back by itself, as a host does that was cut off.
    loop {
        let line = host.line();
        assert_ne!(line, "registered again");
        if line.ends_with(": end") {
            break;
        }
    }
    assert!(host.wait().success());
}

#[test]
fn a_join_with_its_own_master_server_waits_for_the_host_and_its_knock() {
    let (addr, at) = (format!("{}:6510", loopback()), loopback());
    let (at_text, own) = (at.to_string(), loopback().to_string());
    let args = ["join", &at_text, "--own-master", "--master", &addr, "--bind", &own];
    let mut join = start(&args);
    join.line_with("waiting for the host");
    let config = HostConfig::new(addr.parse().expect("an address")).on(at);
    let _running = Host::registered(config, WAIT).expect("registering").spawn();
    join.line_with("the host knocks");
    join.line_with("connect_ms=");
    assert!(join.wait().success());
}

#[test]
fn a_script_with_a_mistake_is_refused() {
    let folder = Folder::new();
    let file = folder.file("script.txt");
    std::fs::write(&file, "at 0 sing\n").expect("writing the script");
    let refused = output(&["host", "--script", &file]);
    let why = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success());
    assert!(why.contains("line 1: `sing` is none of register"), "{why}");
}

/// What the lobby shows of hosts that share an address is what joins the right one of them.
#[test]
fn a_host_is_joined_by_the_address_and_port_that_the_lobby_shows() {
    let master = Master::start(&["--lobby-ports"]);
    let (at, own) = (loopback(), loopback().to_string());
    let hosts = ["first", "second"].map(|name| {
        let config = HostConfig::new(master.addr()).on(at).with_data(&["Pong", name]);
        Host::registered(config, WAIT).expect("registered").spawn()
    });
    let addr = master.addr().to_string();
    // Another host of the game at the same address is listed after a second.
    let deadline = Instant::now() + WAIT;
    let shown = loop {
        let output = punch(&["lobby", "--master", &addr]).output().expect("running punch");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let prefix = format!("{at}:");
        let words = text.split_whitespace().filter(|word| word.starts_with(&prefix));
        let shown: Vec<String> = words.map(str::to_owned).collect();
        if shown.len() == 2 {
            break shown;
        }
        assert!(Instant::now() < deadline, "{text}");
        std::thread::sleep(Duration::from_millis(100));
    };
    let mut joined = Vec::new();
    for host in &shown {
        let args = ["join", host, "--master", &addr, "--bind", &own];
        let output = punch(&args).output().expect("running punch");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{host}: {output:?}");
        assert!(text.contains(&format!(" for {host}\n")), "{text}");
        joined.extend(["first", "second"].into_iter().filter(|name| text.contains(name)));
    }
    joined.sort_unstable();
    assert_eq!(joined, ["first", "second"]);
    drop(hosts);
}
