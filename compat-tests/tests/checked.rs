//! What the owner is told of his options and files before and while the server runs: `--check`, the end of
//! the certificate, options that do nothing, and the log as JSON.
#![expect(clippy::expect_used, reason = "a helper that fails is a test that fails")]

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use compat_tests::events::EventClient;
use compat_tests::failing::{GAME, Nat, Peer};
use compat_tests::folder::Folder;
use compat_tests::gmnet::{Host, HostConfig};
use compat_tests::master::{Master, binary, loopback};
use compat_tests::raw::{self, free_ports};
use compat_tests::skipped;
use nix::sys::signal::Signal;
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use serde_json::Value;

const WAIT: Duration = Duration::from_secs(20);

/// What `--check` prints, and the code with which it ends. Without a window and on any port, if the arguments
/// do not say otherwise: other tests run at the same time.
fn checked(args: &[&str]) -> (String, Option<i32>) {
    checked_with(args, &[])
}

/// The same with these variables.
fn checked_with(args: &[&str], env: &[(&str, &str)]) -> (String, Option<i32>) {
    let mut command = Command::new(binary());
    command.env("PUNCHD_HTTP", "off").env("PUNCHD_PORT", "0").envs(env.iter().copied());
    let output = command.arg("--check").args(args).env_remove("RUST_LOG").output();
    let output = output.expect("starting punchd");
    let text = [output.stdout, output.stderr].concat();
    (String::from_utf8(text).expect("UTF-8"), output.status.code())
}

/// Makes a certificate that ends so many days from now.
fn certificate(folder: &Folder, days: i64) -> [String; 2] {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs();
    // The end of that day, as near as a test has to know it.
    let at = i64::try_from(unix / 86_400).expect("a day") + days;
    let mut params = CertificateParams::new(["localhost".to_owned()]).expect("names");
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(1970, 1, 1) + Duration::from_secs(at as u64 * 86_400);
    let key = KeyPair::generate().expect("a key");
    let made = params.self_signed(&key).expect("a certificate");
    let paths = [folder.file("cert.pem"), folder.file("key.pem")];
    fs::write(&paths[0], made.pem()).expect("writing");
    fs::write(&paths[1], key.serialize_pem()).expect("writing");
    paths
}

#[test]
fn a_check_tells_what_would_be_served_though_the_port_is_taken() {
    let folder = Folder::new();
    let [cert, key] = certificate(&folder, 100);
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("its address").port().to_string();
    let list = folder.file("blocked");
    fs::write(&list, "203.0.113.7\n").expect("the list");
    let log = folder.file("punchd.log");
    let (text, code) = checked(&[
        "--port",
        &port,
        "--bind",
        "0.0.0.0",
        "--key",
        "a,b",
        "--tls-cert",
        &cert,
        "--tls-key",
        &key,
        "--block",
        &list,
        "--log",
        &log,
        "--dialects",
        "gmnet,events",
    ]);
    assert_eq!(code, Some(0), "{text}");
    let first = text.lines().next().expect("a line");
    let begin = format!("would serve: on port {port} (TCP and UDP, address 0.0.0.0), up to ");
    assert!(first.starts_with(&begin), "{text}");
    assert!(
        first.contains("; 2 keys; only gmnet, events; with TLS, certificate until 20"),
        "{text}"
    );
    assert!(text.contains("would serve: all but 1 blocked address or network (--block)"), "{text}");
    let taken = format!("doubtful: TCP port {port} is in use by 'checked");
    assert!(text.contains(&taken), "{text}");
    assert!(text.contains("; if that is the server to be replaced, all is well\n"), "{text}");
    assert!(text.ends_with("it would start; 1 doubtful\n"), "{text}");
    assert!(fs::metadata(&log).is_err(), "nothing is made");
}

#[test]
fn keys_that_nobody_can_show_are_told_and_never_printed() {
    let folder = Folder::new();
    let file = folder.file("keys");
    let check = |bytes: &[u8]| {
        fs::write(&file, bytes).expect("writing");
        let (text, code) = checked(&["--key-file", &file]);
        assert!(!text.contains("sesame"), "{text}");
        (text, code)
    };
    for (bytes, why) in [
        (&b"sesame one\rsesame two\r"[..], "lines end with CR alone"),
        (b"open\nsesame\xff\n", "line 2: this is not UTF-8"),
        (b"open\nsesame\t# of Pong\n", "line 2: there is the control character U+0009 in this key"),
        (b"sesame\0", "line 1: there is the control character U+0000 in this key"),
        (b"\x1bsesame", "line 1: there is the control character U+001B in this key"),
        ("\u{200b}".as_bytes(), "line 1: no character of this key is visible"),
        (&[b'x'; 70_000], "line 1: this key has 70000 bytes, and no game can show more than "),
        (b"\xff\xfes\0e\0s\0a\0m\0e\0", "line 1: this is not UTF-8"),
    ] {
        let (text, code) = check(bytes);
        assert!(code == Some(1) && text.contains(why), "{code:?} {text}");
    }
    for bytes in ["sesame\u{200b}", "\u{202e}sesame"] {
        let (text, code) = check(bytes.as_bytes());
        let doubt = "doubtful: --key: 1 of 1 have characters that nobody sees, such as U+";
        assert!(code == Some(0) && text.contains(doubt), "{code:?} {text}");
    }
}

#[test]
fn a_check_names_what_is_doubtful_and_what_is_wrong() {
    let folder = Folder::new();
    let [cert, key] = certificate(&folder, 3);
    let (text, code) =
        checked(&["--tls-cert", &cert, "--tls-key", &key, "--public-ip", "10.0.0.7"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("doubtful: the certificate in "), "{text}");
    assert!(
        text.contains("doubtful: --public-ip 10.0.0.7 is an address of a local network"),
        "{text}"
    );
    assert!(text.ends_with("it would start; 2 doubtful\n"), "{text}");
    let (text, code) = checked(&["--dialects", "stun", "--key", "a", "--bind", "127.0.0.1"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("doubtful: --key has no effect, as --dialects leaves out "), "{text}");
    assert!(text.contains("doubtful: only this machine can reach it (--bind)"), "{text}");

    let list = folder.file("blocked");
    fs::write(&list, "# nobody yet\n").expect("the list");
    let (text, _) = checked(&["--block", &list]);
    assert!(!text.contains("blocked"), "{text}");
    fs::write(&list, "0.0.0.0/0\n::/1\n").expect("the list");
    let (text, _) = checked(&["--block", &list]);
    assert!(text.contains("doubtful: --block names all addresses of IPv4\n"), "{text}");
    for ip in ["127.0.0.1", "::1"] {
        let doubt = format!("doubtful: --block names this machine itself ({ip})\n");
        assert!(text.contains(&doubt), "{text}");
    }
    fs::write(&list, "nonsense\n").expect("the list");
    let missing = folder.file("none/punchd.log");
    let (text, code) = checked(&[
        "--tls-cert",
        &cert,
        "--tls-key",
        &cert,
        "--block",
        &list,
        "--log",
        &missing,
        "--key-file",
        &folder.file("none"),
        "--games-file",
        &folder.file("neither"),
        "--bind",
        "192.0.2.1",
    ]);
    assert_eq!(code, Some(1), "{text}");
    for wrong in [
        "there is no private key in ",
        "line 1: \"nonsense\"",
        "cannot write the log file ",
        "none: No such file",
        "neither: No such file",
        "this machine has no address 192.0.2.1",
    ] {
        let is_named = text.lines().any(|line| line.starts_with("wrong: ") && line.contains(wrong));
        assert!(is_named, "{wrong}:\n{text}");
    }
    assert!(text.ends_with("it would not start: 6 wrong, 0 doubtful\n"), "{text}");
    assert!(!text.contains("address )"), "nothing is served: {text}");
    assert!(text.contains("--key-file: cannot read ") && text.contains("--block: "), "{text}");
    for options in [&["--port", "x"][..], &["--quiet", "--verbose"]] {
        assert_eq!(checked(options).1, Some(1), "{options:?}");
    }
}

/// What cannot be had at the start, `--check` says in the words of the start.
#[test]
fn a_check_opens_what_the_start_would_open() {
    const FATAL: &str = "it would not start: 1 wrong, 0 doubtful\n";
    const LESS: &str = "it would start without some of that: 1 wrong, 0 doubtful\n";
    let at = loopback();
    let port = free_ports().expect("ports");
    let [port, next, third] = [port, port + 1, port + 2].map(|port| port.to_string());
    let window = format!("{at}:{port}");
    let token = "0123456789abcdef";
    let base = ["--bind", "0.0.0.0", "--port", &port];
    let relay = ["--relay", "127.0.0.77", "--relay-public", "203.0.113.8"];
    let relays = [(&port, &next), (&next, &third)]
        .map(|(first, last)| format!("--relay-ports={first}-{last}"));
    let [at_games, at_stun] = [0, 1].map(|n: usize| [&relay[..], &[relays[n].as_str()]].concat());
    for (args, wrong, sum) in [
        (
            &["--relay", "192.0.2.1", "--relay-ports", "19000-19001"][..],
            "cannot open UDP port 192.0.2.1:19000 for the relay: ",
            FATAL,
        ),
        (
            &at_games,
            &format!("the relay cannot have the ports {port} to {next}, as {port} is needed"),
            FATAL,
        ),
        (
            &at_stun,
            &format!(
                "as {next} is needed for games or for STUN: give it others with --relay-ports"
            ),
            FATAL,
        ),
        (
            &["--alt-addr", "192.0.2.1"],
            "STUN has no alternate socket 192.0.2.1:0: this machine has no address 192.0.2.1",
            LESS,
        ),
        (
            &["--alt-port", &port],
            &format!("--alt-port {port} is the port of the games; choose another one"),
            LESS,
        ),
        (
            &["--http", "192.0.2.1:6580", "--http-token", token],
            "the owner's window cannot open at http://192.0.2.1:6580/: this machine has no address 192.0.2.1",
            LESS,
        ),
        (
            &["--http", &window],
            &format!(
                "the owner's window cannot open at http://{window}/: that is the port of the games"
            ),
            LESS,
        ),
    ] {
        let (text, code) = checked(&[&base[..], args].concat());
        let is_named = text.lines().any(|line| line.starts_with("wrong: ") && line.contains(wrong));
        assert!(is_named && code == Some(1), "{wrong}:\n{text}");
        assert!(text.ends_with(sum), "{sum}{text}");
        // The start says the same, and serves if only that is lacking.
        let mut command = Command::new(binary());
        command.env("PUNCHD_HTTP", "off").args(base).args(args).env_remove("RUST_LOG");
        if sum == FATAL {
            let output = command.output().expect("starting punchd");
            let log = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(!output.status.success() && log.contains(wrong), "{wrong}:\n{log}");
        } else {
            let log = Master::spawn(command).stop();
            assert!(
                log.lines().any(|l| l.contains("WARN") && l.contains(wrong)),
                "{wrong}:\n{log}"
            );
        }
    }
    let (text, code) = checked(&base);
    assert_eq!((text.ends_with("all is well\n"), code), (true, Some(0)), "{text}");
}

/// Ports below 1024 are for root, as a rule.
#[test]
fn a_check_says_that_a_port_needs_more_rights() {
    let first = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    let is_free = first.is_ok_and(|first| first.trim().parse().is_ok_and(|first: u16| first < 80));
    let mut command = Command::new(binary());
    if nix::unistd::Uid::effective().is_root() {
        command.uid(65_534).gid(65_534);
    }
    let output = command.args(["--check", "--port", "79", "--http", "off"]).output();
    let output = match output {
        Ok(output) if !is_free => output,
        _ => return skipped::note("everybody may have port 79, or nobody else may start punchd"),
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("wrong: no permission for port 79: "), "{text}");
    assert_eq!(output.status.code(), Some(1), "{text}");
}

/// All that a server has is taken for the one that is checked for.
#[test]
fn a_check_beside_the_server_that_runs_says_so_once() {
    let at = loopback();
    let port = free_ports().expect("ports");
    let (ip, port) = (at.to_string(), port.to_string());
    let first: u16 = port.parse::<u16>().expect("a port") + 2;
    let (relay, window) = (format!("{first}-{}", first + 1), format!("{ip}:{}", first + 1));
    let options = ["--bind", &ip, "--http", &window, "--relay", "--relay-ports", &relay];
    let master = Master::start_at((at, port.parse().expect("a port")).into(), &options);
    master.wait_for_log("the owner's window is at");
    let (text, code) = checked(&[&["--port", &port][..], &options].concat());
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains(&format!("doubtful: TCP port {port} is in use by 'punchd' (")), "{text}");
    let about_ports = text.lines().filter(|line| line.contains("in use"));
    assert_eq!(about_ports.count(), 1, "{text}");
}

#[test]
fn variables_that_are_no_options_or_empty_are_named() {
    let typo = [("PUNCHD_PUBLICIP", "203.0.113.7")];
    let (text, code) = checked_with(&[], &typo);
    const NAMED: &str =
        "PUNCHD_PUBLICIP is no option and has no effect: is PUNCHD_PUBLIC_IP meant?";
    assert!(text.contains(&format!("doubtful: {NAMED}\n")), "{text}");
    assert_eq!(code, Some(0), "{text}");
    let mut command = Command::new(binary());
    command.env("PUNCHD_PORT", "0").envs(typo);
    let log = Master::spawn(command).stop();
    assert!(log.contains(&format!("WARN  {NAMED}")), "{log}");
    for name in
        ["PUNCHD_BLOCK", "PUNCHD_KEY", "PUNCHD_GAMES", "PUNCHD_KEY_FILE", "PUNCHD_GAMES_FILE"]
    {
        let (text, code) = checked_with(&[], &[(name, "")]);
        assert!(text.contains(&format!("'{name}'")), "{name}: {text}");
        assert_eq!(code, Some(1), "{text}");
        let mut command = Command::new(binary());
        let output = command.env(name, "").output().expect("starting punchd");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && told.contains(&format!("'{name}'")), "{told}");
    }
}

#[test]
fn a_certificate_that_ends_soon_or_has_ended_is_told_at_the_start_and_at_sighup() {
    let folder = Folder::new();
    let [cert, key] = certificate(&folder, 100);
    let master = Master::start(&["--tls-cert", &cert, "--tls-key", &key]);
    assert!(master.log().contains("; with TLS, certificate until 20"), "{}", master.log());
    certificate(&folder, 3);
    master.signal(Signal::SIGHUP);
    master.wait_for_log(&format!("the certificate in {cert} expires in "));
    assert_eq!(master.log().matches("expires in ").count(), 1, "{}", master.log());
    certificate(&folder, -3);
    master.signal(Signal::SIGHUP);
    master.wait_for_log(&format!("the certificate in {cert} has expired, on 20"));
    drop(master);
    let master = Master::start(&["--tls-cert", &cert, "--tls-key", &key]);
    master.wait_for_log(&format!("the certificate in {cert} has expired, on 20"));
}

#[test]
fn options_that_do_nothing_are_named_at_the_start() {
    let log = Master::start(&["--dialects", "rooms", "--lobby-ports", "--alt-port", "0"]).stop();
    assert!(
        log.contains("WARN  --lobby-ports has no effect, as --dialects leaves out gmnet"),
        "{log}"
    );
    assert!(log.contains("WARN  --alt-port has no effect, as --dialects leaves out stun"), "{log}");
}

/// The fixture reads the log as text, so this one goes to a file as well.
#[test]
fn each_line_of_a_log_in_json_is_an_object_with_the_same_names() {
    let folder = Folder::new();
    let file = folder.file("punchd.log");
    let master = Master::start(&["--log", &file, "--log-format", "json", "--games", "Pong"]);
    let evil = "\"}\u{1b}[1m\\\u{202e}";
    let config = HostConfig::new(master.addr()).on(loopback()).with_data(&[evil]);
    assert!(Host::registered(config, WAIT).is_err());
    let log = [master.stop(), fs::read_to_string(&file).expect("the log")];
    for log in log {
        let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).expect(line));
        let lines: Vec<Value> = lines.collect();
        assert!(lines.len() >= 4, "{log}");
        for line in &lines {
            let time = line["time"].as_str().expect("a time");
            assert!(time.len() == 20 && time.ends_with('Z'), "{time}");
            assert!(["INFO", "WARN"].contains(&line["level"].as_str().expect("a level")), "{line}");
            assert!(line["message"].is_string(), "{line}");
        }
        let refused = lines.iter().find(|line| line["dialect"] == "gmnet").expect("a line");
        let address = refused["address"].as_str().expect("an address");
        let message = refused["message"].as_str().expect("a message");
        assert!(message.starts_with(&format!("{address} refused (gmnet): its game ")), "{message}");
        assert_eq!((&refused["event"], &refused["reason"]), (&"refused".into(), &"game".into()));
        assert!(message.chars().all(|c| !c.is_control() && c != '\u{202e}'), "{message}");
    }
}

/// Programs find out whom a line is about without reading it.
#[test]
fn lines_in_json_name_who_came_met_and_left() {
    let master = Master::start(&["--log-format", "json"]);
    let at = loopback();
    let config = HostConfig::new(master.addr()).on(at).with_data(&["Pong"]);
    let host = Host::registered(config, WAIT).expect("registered");
    drop(host);
    let room = Peer::host(&master, loopback(), Nat::Unknown, "Fort");
    let client = Peer::join(&master, loopback(), Nat::Unknown, &room.room, "");
    client.fails();
    let mut events = EventClient::connect(master.addr(), None).expect("connecting");
    events.login("ann", "Chess").expect("logged in");
    let ask = |host: &str| {
        let mut client = raw::connect(master.addr(), loopback());
        client.write_all(format!("connect\n{host}\n").as_bytes()).expect("asking");
        raw::read_to_end(&client, Duration::from_millis(500));
        client.local_addr().expect("its address").ip().to_string()
    };
    let asked = [ask("192.0.2.77"), ask("My Game")];
    master.wait_for_log("which is no IP address");
    master.wait_for_log("\"ended\"");
    master.wait_for_log("\"gone\"");
    let log = master.stop();
    let lines: Vec<Value> =
        log.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let find = |dialect: &str, event: &str| {
        let found = lines.iter().find(|line| line["dialect"] == dialect && line["event"] == event);
        found.unwrap_or_else(|| panic!("no {event} of {dialect}: {log}"))
    };
    for event in ["registered", "gone"] {
        let line = find("gmnet", event);
        assert!(
            line["host"].as_str().is_some_and(|host| host.starts_with(&at.to_string())),
            "{line}"
        );
        assert_eq!(line["game"], "Pong", "{line}");
    }
    let (at_host, at_client) = (room.at().to_string(), client.at().to_string());
    let line = find("rooms", "registered");
    assert_eq!(
        (&line["host"], &line["room"], &line["game"]),
        (&at_host.clone().into(), &"Fort".into(), &GAME.into())
    );
    for event in ["introduced", "ended"] {
        let line = find("rooms", event);
        assert_eq!(
            (&line["client"], &line["host"]),
            (&at_client.clone().into(), &at_host.clone().into())
        );
        assert_eq!((&line["game"], &line["room"]), (&GAME.into(), &"Fort".into()));
    }
    let ended = find("rooms", "ended");
    assert_eq!((&ended["client_told"], &ended["host_told"]), (&at_host.into(), &at_client.into()));
    assert_eq!(ended["way"], "failed");
    assert_eq!(find("events", "registered")["game"], "Chess");
    for (client, (host, reason)) in
        asked.iter().zip([("192.0.2.77", "not_found"), ("", "no_address")])
    {
        let refused = lines.iter().find(|line| line["client"] == **client).expect("a line");
        assert_eq!((&refused["event"], &refused["dialect"]), (&"refused".into(), &"gmnet".into()));
        assert_eq!((&refused["host"], &refused["reason"]), (&host.into(), &reason.into()));
    }
    // All names are in README.
    let readme = include_str!("../../README.md");
    let (_, section) = readme.split_once("**For programs.**").expect("the section");
    let section = section.split("\n`-v` logs more").next().expect("a section");
    for line in &lines {
        for (name, value) in line.as_object().expect("an object") {
            assert!(section.contains(&format!("`{name}`")), "{name}: {line}");
            if name == "event" {
                let value = value.as_str().expect("a word");
                assert!(section.contains(&format!("`{value}`")), "{line}");
            }
        }
    }
}

/// What the start could not make, whoever owns the folder.
#[test]
fn a_check_finds_a_log_file_that_cannot_be_made() {
    if !nix::unistd::geteuid().is_root() {
        return skipped::note("only root can start a process of another user");
    }
    const NOBODY: u32 = 65_534;
    let folder = Folder::new();
    let (program, log) = (folder.file("punchd"), folder.file("log"));
    let copied = Command::new("cp").arg(binary()).arg(&program).status();
    assert!(copied.expect("cp").success());
    let mut command = Command::new(&program);
    command.args(["--check", "--port", "0", "--http", "off", "--log", &log]).uid(NOBODY);
    let output = command.output().expect("starting punchd");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("cannot write the log file") && !output.status.success(), "{said}");
}
