//! The command line of the real process: every option, by argument and by environment variable,
//! and what it says when it cannot start.
#![expect(clippy::expect_used, clippy::panic, reason = "a helper that fails fails its test")]

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::process::{Command, Stdio};
use std::time::Duration;

use clap::CommandFactory as _;
use compat_tests::folder::Folder;
use compat_tests::gmnet::wire::{self, LOBBY, TESTING_INFOS, VERSION};
use compat_tests::gmnet::{Client, ClientConfig, Control, Host, HostConfig, Query};
use compat_tests::master::{Master, binary, fails_to_start, loopback};
use compat_tests::raw::free_ports;
use compat_tests::skipped;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use punchd::cli::Options;

const WAIT: Duration = Duration::from_secs(10);

/// The server's command line.
fn punchd(args: &[&str]) -> Command {
    let mut command = Command::new(binary());
    // Somebody may have that port on this machine, of which the log would tell.
    command.env("PUNCHD_HTTP", "off").args(args);
    command
}

/// The server on any port, with these environment variables.
fn punchd_with(env: &[(&str, &str)]) -> Command {
    let mut command = punchd(&[]);
    command.env("PUNCHD_PORT", "0").envs(env.iter().copied());
    command
}

/// What the server answers to these lines; the first event.
fn ask(master: &Master, request: &[u8]) -> Vec<u8> {
    let control = Control::open(master.addr(), Some(loopback())).expect("connecting");
    control.send(request).expect("asking");
    control.answer(WAIT).expect("an answer").bytes
}

/// A lobby request and `version` behind it: the first answer shows whether there is a lobby.
fn lobby_answer(master: &Master) -> u8 {
    let request = [Query::default().request(), wire::ASK_VERSION.to_vec()].concat();
    ask(master, &request)[0]
}

/// How a command that prints something and ends did so.
fn printed(arg: &str) -> String {
    let output = punchd(&[arg]).output().expect("starting punchd");
    assert!(output.status.success(), "{arg}: {}", output.status);
    assert!(output.stderr.is_empty(), "{arg}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn the_log_goes_to_standard_output_as_that_of_the_old_server() {
    let mut command = punchd(&["-port", "0", "-testing", "-name", "Old"]);
    command.env_remove("RUST_LOG").stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut server = command.spawn().expect("starting punchd");
    let mut log = BufReader::new(server.stdout.take().expect("piped"));
    let mut line = String::new();
    log.read_line(&mut line).expect("a line");
    assert!(line.contains("listening on port ") && line.ends_with("; testing\n"), "{line}");
    kill(Pid::from_raw(server.id().cast_signed()), Signal::SIGTERM).expect("signalling");
    let mut rest = String::new();
    log.read_to_string(&mut rest).expect("the rest");
    assert!(rest.ends_with("INFO  stopped\n"), "{rest}");
    let mut errors = String::new();
    server.stderr.take().expect("piped").read_to_string(&mut errors).expect("nothing");
    assert_eq!(errors, "");
    assert!(server.wait().expect("its end").success());
}

/// Who starts it from a program of his own looks for its lines there.
#[test]
fn the_log_goes_to_standard_error_where_standard_output_leads_nowhere() {
    let mut command = punchd(&["--port", "0"]);
    command.env_remove("RUST_LOG").stdout(Stdio::null()).stderr(Stdio::piped());
    let mut server = command.spawn().expect("starting punchd");
    let mut line = String::new();
    let mut log = BufReader::new(server.stderr.take().expect("piped"));
    log.read_line(&mut line).expect("a line");
    kill(Pid::from_raw(server.id().cast_signed()), Signal::SIGTERM).expect("signalling");
    assert!(server.wait().expect("its end").success());
    assert!(line.contains("listening on port "), "{line}");
}

#[test]
fn the_short_help_is_no_longer_than_a_screen() {
    let (short, long) = (printed("-h"), printed("--help"));
    assert!(short.lines().count() <= 24 && long.lines().count() > 24, "{short}");
    assert!(!short.contains("--ghost-limit") && long.contains("--ghost-limit"), "{long}");
}

#[test]
fn the_start_up_line_names_the_port_that_the_system_picked() {
    let master = Master::start(&[]);
    let port = master.addr().port();
    assert_ne!(port, 0);
    let log = master.log();
    assert_eq!(log.matches(&format!("listening on port {port} ")).count(), 1, "{log}");
    assert_eq!(ask(&master, wire::ASK_VERSION), b"\xf61.2.5\n");
}

#[test]
fn help_fits_a_screen_and_is_in_groups() {
    let help = printed("--help");
    let lines: Vec<&str> = help.lines().collect();
    assert!(lines.len() <= 60, "{} lines:\n{help}", lines.len());
    for line in &lines {
        assert!(line.chars().count() <= 100, "too wide: {line}");
    }
    for group in ["Network:", "Relay:", "Games:", "Limits:", "Log and help:"] {
        assert!(lines.contains(&group), "no {group}\n{help}");
    }
    for option in ["-p, --port", "-l, --log", "-q, --quiet", "-v, --verbose", "--testing"] {
        assert!(help.contains(option), "no {option}\n{help}");
    }
    assert!(help.contains("PUNCHD_PORT="), "{help}");
}

#[test]
fn the_version_is_told_with_that_of_the_protocol() {
    let version = printed("--version");
    let own = env!("CARGO_PKG_VERSION");
    // Which commit and target that is, is not known of a program that was built elsewhere.
    assert!(version.starts_with(&format!("punchd {own} (")), "{version}");
    assert!(version.ends_with(")\nspeaks GMnet GATE.PUNCH 1.2.5\n"), "{version}");
}

#[test]
fn the_command_line_of_the_old_server_works() {
    let folder = Folder::new();
    let log = folder.file("gate.log");
    let args =
        ["-p", "0", "--name", "Old Faithful", "--testing", "--disable-lobby", "-q", "-l", &log];
    let master = Master::spawn_with_log_file(punchd(&args), log.as_ref());
    assert_eq!(ask(&master, b"testinginfos\n"), b"\xf7Old Faithful\n1.2.5\n1.2.0\n");
    assert_eq!(ask(&master, b"istesting\n"), b"\xf8\x01");
    assert_eq!(lobby_answer(&master), LOBBY, "both options: the lobby works, as it did");
    assert_eq!(master.stop(), "", "quiet");
}

#[test]
fn testing_and_name_by_environment() {
    let yes = Master::spawn(punchd_with(&[("PUNCHD_TESTING", "1"), ("PUNCHD_NAME", "Env")]));
    assert_eq!(ask(&yes, b"testinginfos\n"), b"\xf7Env\n1.2.5\n1.2.0\n");
    for no in ["0", "false", ""] {
        let master = Master::spawn(punchd_with(&[("PUNCHD_TESTING", no)]));
        assert_eq!(ask(&master, b"testinginfos\n"), [TESTING_INFOS, 0], "{no:?}");
    }
}

#[test]
fn a_flag_in_the_environment_is_a_plain_yes_or_no() {
    let yes = Master::spawn(punchd_with(&[("PUNCHD_TESTING", "yes"), ("PUNCHD_QUIET", "no")]));
    assert_eq!(ask(&yes, b"istesting\n"), b"\xf8\x01");
    for flag in ["TESTING", "DISABLE_LOBBY", "LOBBY_PORTS", "TLS_REQUIRED", "QUIET", "VERBOSE"] {
        let name = format!("PUNCHD_{flag}");
        let text = misused(punchd_with(&[(&name, "nope")]));
        assert!(text.contains("'nope'") && text.contains("1, true or yes"), "{name}: {text}");
    }
}

#[test]
fn an_empty_variable_is_as_good_as_none() {
    let options = Options::command();
    let names = options.get_arguments().filter_map(|option| option.get_env());
    // What was to say whom to admit must not be lost.
    let admit =
        ["KEY", "GAMES", "KEY_FILE", "GAMES_FILE", "BLOCK"].map(|of| format!("PUNCHD_{of}"));
    for name in &admit {
        let _ = misused(punchd_with(&[(name, "")]));
    }
    let names: Vec<_> = names.filter(|name| admit.iter().all(|of| *name != of.as_str())).collect();
    assert!(names.len() > 20, "{names:?}");
    for name in &names {
        let mut command = punchd(&["--port", "0"]);
        command.env(name, "");
        let _starts = Master::spawn(command);
    }
    let mut command = punchd(&["--port", "0"]);
    command.envs(names.iter().map(|name| (name, "")));
    let log = Master::spawn(command).stop();
    let first = log.lines().find(|line| line.contains("listening")).expect("a line");
    assert!(
        first.ends_with(" connections; speaks gmnet, stun, rooms, events, natpunch"),
        "nothing restricts it: {first}"
    );
    // An argument that is empty is a mistake.
    assert!(misused(punchd(&["--port", ""])).contains("want a port"));
}

#[test]
fn an_empty_key_or_game_locks_nobody_out() {
    for (name, value) in [("PUNCHD_KEY", ""), ("PUNCHD_KEY", "a,,b"), ("PUNCHD_GAMES", "")] {
        let text = misused(punchd_with(&[(name, value)]));
        assert!(text.contains(&format!("and {name} out")), "what to do: {text}");
    }
    for (option, value) in [("--key", ""), ("--games", "Pong,")] {
        let text = misused(punchd(&["--port", "0", option, value]));
        assert!(text.contains(&format!("leave {option} and")), "what to do: {text}");
    }
}

#[test]
fn tls_cannot_be_required_without_a_certificate() {
    let by_option = misused(punchd(&["--port", "0", "--tls-required"]));
    assert!(by_option.contains("--tls-cert and --tls-key"), "what to do: {by_option}");
    for yes in ["1", "true", "yes"] {
        assert_eq!(misused(punchd_with(&[("PUNCHD_TLS_REQUIRED", yes)])), by_option, "{yes}");
    }
}

#[test]
fn quiet_and_verbose_exclude_each_other() {
    let text = misused(punchd(&["--port", "0", "-q", "-v"]));
    assert!(text.contains("leave one out"), "{text}");
    let mut command = punchd_with(&[("PUNCHD_QUIET", "0")]);
    command.arg("-v");
    let _starts = Master::spawn(command);
}

#[test]
fn a_port_that_is_none_is_told_what_ports_are() {
    for (option, value) in [("--port", "65536"), ("--port", "-1"), ("--alt-port", "http")] {
        let text = misused(punchd(&[&format!("{option}={value}")]));
        assert!(text.contains("want a port from 1 to 65535, or 0"), "{text}");
    }
}

#[test]
fn the_start_up_line_names_what_restricts_the_server() {
    let args = ["--games", "Pong, My Game", "--key", "a,b", "--dialects", "gmnet, events"];
    let master = Master::start(&[&args[..], &["--disable-lobby"]].concat());
    let wants = "connections; only for the games \"Pong\", \"My Game\"; 2 keys; only gmnet, events; \
                 no lobby";
    let log = master.log();
    assert!(log.contains(wants), "{log}");
    let log = Master::start(&["--testing", "--disable-lobby"]).log();
    let wants = "--disable-lobby has no effect with --testing";
    assert!(log.contains(wants) && !log.contains("; no lobby"), "{log}");
    let log = Master::start(&["--key", "a", "--key", "a", "--disable-lobby"]).log();
    let wants = "connections; 1 key; speaks gmnet, stun, rooms, events, natpunch; no lobby";
    assert!(log.contains(wants), "{log}");
    let log = Master::start(&[]).stop();
    let first = log.lines().find(|line| line.contains("listening")).expect("a line");
    assert!(
        first.ends_with(" connections; speaks gmnet, stun, rooms, events, natpunch"),
        "nothing restricts it: {first}"
    );
}

#[test]
fn disable_lobby_by_environment() {
    let off = Master::spawn(punchd_with(&[("PUNCHD_DISABLE_LOBBY", "1")]));
    assert_eq!(lobby_answer(&off), VERSION, "no answer to the lobby request");
    let on = Master::spawn(punchd_with(&[("PUNCHD_DISABLE_LOBBY", "0")]));
    assert_eq!(lobby_answer(&on), LOBBY);
}

#[test]
fn notify_gap_by_environment() {
    let master = Master::spawn(punchd_with(&[("PUNCHD_NOTIFY_GAP", "400")]));
    let config = HostConfig::new(master.addr()).on(loopback());
    let mut host = Host::registered(config, WAIT).expect("registering");
    for _ in 0..2 {
        let config = ClientConfig::new(master.addr(), host.local().ip()).on(loopback());
        Client::look_up(config).expect("an answer").expect("found");
    }
    assert!(host.run_until(WAIT, |host| host.told().len() == 2).expect("hosting"), "told twice");
    let apart = host.told()[1].at - host.told()[0].at;
    // What the network takes off at one end it may have added at the other.
    assert!(apart > Duration::from_millis(300), "{apart:?}");
}

#[test]
fn bind_and_connections_by_environment() {
    let env = [("PUNCHD_BIND", "127.0.0.3,127.0.0.4"), ("PUNCHD_MAX_CONNECTIONS", "7")];
    let master = Master::spawn(punchd_with(&env));
    let log = master.log();
    assert!(log.contains("(TCP and UDP, address 127.0.0.3, 127.0.0.4), "), "{log}");
    assert!(log.contains(", up to 7 connections"), "{log}");
}

#[test]
fn an_argument_wins_over_the_environment() {
    let mut command = punchd_with(&[("PUNCHD_NAME", "environment"), ("PUNCHD_PORT", "1")]);
    command.args(["--port", "0", "--testing", "--name", "argument"]);
    let master = Master::spawn(command);
    assert!(ask(&master, b"testinginfos\n").starts_with(b"\xf7argument\n"));
}

/// Runs a command line that cannot work; returns the one sentence it ends with.
fn refused(command: Command) -> String {
    let (status, text) = fails_to_start(command);
    assert_eq!(status.code(), Some(1), "{text}");
    assert_eq!(text.lines().count(), 1, "one sentence:\n{text}");
    text
}

/// Runs a command line that is wrong in itself; returns what it says about that.
fn misused(command: Command) -> String {
    let (status, text) = fails_to_start(command);
    assert_eq!(status.code(), Some(2), "{text}");
    text
}

/// The command line of the server with the rights of an ordinary user; none if there is no way to
/// give up those of root.
fn without_rights(program: &OsStr) -> Option<Command> {
    if !nix::unistd::geteuid().is_root() {
        return Some(Command::new(program));
    }
    // Still root by name, so that it can reach the binary wherever it was built.
    let drop = ["--bounding-set=-all", "--inh-caps=-all"];
    let works = Command::new("setpriv").args(drop).arg("true").status().is_ok_and(|s| s.success());
    if !works {
        skipped::note("this is root, and there is no setpriv that gives up its rights");
        return None;
    }
    let mut command = Command::new("setpriv");
    command.args(drop).arg(program);
    Some(command)
}

/// The same behind these commands of a shell.
fn without_rights_after(shell: &str, args: &[&str]) -> Option<Command> {
    let mut command = without_rights("sh".as_ref())?;
    command.arg("-c").arg(format!("{shell} && exec \"$0\" \"$@\"")).arg(binary()).args(args);
    Some(command)
}

#[test]
fn a_tcp_port_in_use_is_said_with_the_process_that_has_it() {
    let holder = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a free port");
    let port = holder.local_addr().expect("its address").port();
    let text = refused(punchd(&["--port", &port.to_string()]));
    assert!(text.contains(&format!("TCP port {port} is in use by ")), "{text}");
    assert!(text.contains(&format!("(process {})", std::process::id())), "{text}");
    assert!(text.contains("--port"), "{text}");
}

#[test]
fn a_udp_port_in_use_is_said_with_the_process_that_has_it() {
    // A port whose TCP side is free: other tests have many, by TCP and by UDP.
    let mut free = std::iter::repeat_with(|| {
        let tcp = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a free port");
        let port = tcp.local_addr().expect("its address").port();
        UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).ok().map(|holder| (port, holder))
    });
    let (port, _holder) = free.find_map(|found| found).expect("one of them");
    let text = refused(punchd(&["--port", &port.to_string()]));
    assert!(text.contains(&format!("UDP port {port} is in use by ")), "{text}");
    assert!(text.contains(&format!("(process {})", std::process::id())), "{text}");
}

/// Neighbours start in either order, or are told what to change.
#[test]
fn a_master_on_the_next_port_is_told_of_the_alternate_port_of_the_first() {
    // A port that no other test is given, nor the next one, by TCP.
    let port = free_ports().expect("two ports");
    let first = Master::start(&["--port", &port.to_string()]);
    let alternate = first.alternate_port().expect("the port for STUN");
    let text = refused(punchd(&["--port", &alternate.to_string()]));
    assert!(text.contains(&format!("UDP port {alternate} is in use by 'punchd'")), "{text}");
    let why = format!("a punchd on port {} has it for STUN", first.addr().port());
    assert!(text.contains(&why) && text.contains("--alt-port"), "{text}");
}

#[test]
fn no_permission_below_1024() {
    let lowest = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    if lowest.is_ok_and(|text| text.trim().parse().is_ok_and(|port: u16| port <= 1)) {
        return skipped::note("everybody may use every port of this machine");
    }
    let Some(mut command) = without_rights(binary().as_os_str()) else { return };
    command.args(["--port", "1"]);
    let text = refused(command);
    assert!(text.contains("no permission for port 1"), "{text}");
    let setcap = format!("'setcap cap_net_bind_service=+ep {}'", binary().display());
    assert!(text.contains("--port") && text.contains(&setcap), "what to do: {text}");
}

#[test]
fn a_log_file_that_cannot_be_written() {
    let folder = Folder::new();
    let missing = folder.file("no/such/folder/punchd.log");
    let text = refused(punchd(&["--port", "0", "--log", &missing]));
    assert!(text.contains(&missing) && text.contains("make its folder first"), "{text}");

    let text = refused(punchd(&["--port", "0", "--log", &folder.file("")]));
    assert!(text.contains("name a file, not a folder"), "{text}");

    let locked = folder.file("locked.log");
    fs::write(&locked, "").expect("making a file");
    let mut permissions = fs::metadata(&locked).expect("the file").permissions();
    permissions.set_readonly(true);
    fs::set_permissions(&locked, permissions).expect("locking the file");
    let Some(mut command) = without_rights(binary().as_os_str()) else { return };
    command.args(["--port", "0", "--log", &locked]);
    let text = refused(command);
    assert!(text.contains(&locked) && text.contains("let this user write there"), "{text}");
}

#[test]
fn an_address_that_is_none_or_of_another_machine() {
    let (status, text) = fails_to_start(punchd(&["--port", "0", "--bind", "game.example"]));
    assert_eq!(status.code(), Some(2), "{text}");
    assert!(text.contains("invalid value 'game.example' for '--bind <IP>'"), "{text}");

    // An address of documentation, which no machine has (RFC 5737).
    let text = refused(punchd(&["--port", "0", "--bind", "192.0.2.1"]));
    assert!(text.contains("this machine has no address 192.0.2.1"), "{text}");
    assert!(text.contains("--bind"), "{text}");
}

#[test]
fn errors_are_said_however_little_is_logged() {
    for (name, value) in [("PUNCHD_QUIET", "1"), ("RUST_LOG", "off")] {
        let mut command = punchd_with(&[(name, value)]);
        command.args(["--bind", "192.0.2.1"]);
        assert!(refused(command).contains("192.0.2.1"), "{name}={value}");
    }
}

#[test]
fn too_few_open_files_for_the_connections_that_were_asked_for() {
    let args = ["--port", "0", "--max-connections", "1000"];
    let Some(command) = without_rights_after("ulimit -n 100", &args) else { return };
    let text = refused(command);
    assert!(text.contains("1000 connections need 1064 open files, but only 100"), "{text}");
    assert!(text.contains("LimitNOFILE=1064") && text.contains("--max-connections 36"), "{text}");
    let Some(command) = without_rights_after("ulimit -n 64", &args) else { return };
    let text = refused(command);
    assert!(text.contains("LimitNOFILE=1064") && !text.contains("--max-connections 0"), "{text}");
}

#[test]
fn too_few_open_files_for_anybody() {
    for limit in ["ulimit -n 64", "ulimit -n 79"] {
        let Some(command) = without_rights_after(limit, &["--port", "0"]) else { return };
        let text = refused(command);
        assert!(text.contains("16384 connections need 16448 open files, but only"), "{text}");
        assert!(text.contains("LimitNOFILE=16448"), "{text}");
    }
    // Who asks for so few gets them.
    let args = ["--port", "0", "--max-connections", "2"];
    let Some(command) = without_rights_after("ulimit -n 66", &args) else { return };
    let log = Master::spawn(command).log();
    assert!(log.contains("up to 2 connections"), "{log}");
}

/// The soft limit of open files of the server.
fn soft_limit(master: &Master) -> u64 {
    let path = format!("/proc/{}/limits", master.pid().expect("own server"));
    let limits = fs::read_to_string(path).expect("limits");
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    soft.unwrap_or_else(|| panic!("no limit of open files in\n{limits}"))
}

#[test]
fn the_soft_limit_of_open_files_is_raised() {
    let hard = "ulimit -Sn 100 && ulimit -Hn 500";
    let args = ["--port", "0", "--max-connections", "200"];
    let Some(command) = without_rights_after(hard, &args) else { return };
    let master = Master::spawn(command);
    assert_eq!(soft_limit(&master), 264, "what is needed");

    let Some(command) = without_rights_after(hard, &["--port", "0"]) else { return };
    let master = Master::spawn(command);
    assert_eq!(soft_limit(&master), 500, "all there is");
    let log = master.log();
    assert!(log.contains("WARN  the limit of open files allows only 436 connections"), "{log}");
    assert!(log.contains("raise the limit (LimitNOFILE=16448 in the service"), "{log}");
    assert!(log.contains("ask for no more with --max-connections 436"), "{log}");
    assert!(log.contains("up to 436 connections"), "{log}");
}
