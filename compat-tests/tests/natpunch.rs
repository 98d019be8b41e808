//! natpunch over real sockets: raw datagrams, the debug client, and a lobby behind NATs.

use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use compat_tests::master::{Master, binary, loopback};
use compat_tests::natlab;
use compat_tests::natpunch::{Client, Error, Event};
use compat_tests::running::Running;
use compat_tests::skipped;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const PATIENCE: Duration = Duration::from_secs(10);

fn punch(master: &Master, arguments: &[&str]) -> Command {
    let port = master.addr().port().to_string();
    punch_at(&["-a", "127.0.0.1", "-p", &port], arguments)
}

fn punch_at(server: &[&str], arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_punch"));
    command.arg("natpunch").args(server).args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

/// A `punch natpunch` that runs.
fn start(master: &Master, arguments: &[&str]) -> Running {
    Running::start(punch(master, arguments), PATIENCE)
}

fn ends_well(mut running: Running) {
    running.ends_input();
    assert!(running.wait().success());
}

#[test]
fn a_raw_registration_is_answered() {
    let master = Master::start(&[]);
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    // Field 1, a message without fields.
    socket.send_to(&[0x0A, 0x00], master.addr()).unwrap();
    let mut buffer = [0; 1500];
    let (length, from) = socket.recv_from(&mut buffer).unwrap();
    assert_eq!(from, master.addr());
    let answer = &buffer[..length];
    // Field 2: field 1 is true, field 2 the endpoint, field 3 the ID of 36 letters.
    assert_eq!(answer[..6], [0x12, (length - 2) as u8, 0x08, 0x01, 0x12, (length - 44) as u8]);
    assert_eq!(answer[6..17], *b"\x0A\x09127.0.0.1");
    assert_eq!(answer[length - 38..length - 36], [0x1A, 36]);
}

#[test]
fn two_clients_meet_by_id() {
    let master = Master::start(&[]);
    let mut one = Client::register(master.addr(), loopback()).unwrap();
    let mut other = Client::register(master.addr(), loopback()).unwrap();
    one.connect(other.id(), 1).unwrap();
    let deadline = std::time::Instant::now() + PATIENCE;
    let (mut met, step) = ([false; 2], Duration::from_millis(5));
    while met != [true; 2] {
        assert!(std::time::Instant::now() < deadline);
        for (client, met) in [&mut one, &mut other].into_iter().zip(&mut met) {
            *met |= matches!(client.step(step).unwrap(), Some(Event::Connected { .. }));
        }
    }
}

#[test]
fn a_server_that_is_not_there_is_said() {
    let nobody = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let addr = nobody.local_addr().unwrap();
    let error = Client::register(addr, Ipv4Addr::LOCALHOST.into()).unwrap_err();
    assert!(matches!(error, Error::NoAnswer { server, .. } if server == addr), "{error}");
}

#[test]
fn the_debug_client_by_script() {
    let master = Master::start(&[]);
    let host = start(&master, &["create", "Sea battle", "4"]);
    let id = host.line_after("registered").split(' ').next().unwrap().to_owned();
    let lobby = host.line_after("created");
    master.wait_for_log("natpunch: lobby \"Sea battle\" is open, its host is 127.0.0.1:");
    let output = punch(&master, &["list"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains(&format!("{lobby} 1/4 Sea battle\n")), "{text}");
    let output = punch(&master, &["lobbies"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains(&lobby) && !text.contains(&id), "we are not in it: {text}");

    let guest = start(&master, &["join", "Sea battle"]);
    assert_eq!(guest.line_after("joined"), format!("{lobby}, 2 members"));
    master.wait_for_log("of lobby \"Sea battle\"");
    assert_eq!(guest.line_after("met"), "1 of 1");
    ends_well(guest);
    assert_eq!(host.line_after("player_joined"), "2/4");
    let pinging = start(&master, &["ping", &id]);
    assert!(pinging.line_after("pong").starts_with(&id));
    ends_well(pinging);
    let connecting = start(&master, &["connect", &id]);
    assert!(connecting.line_after("connected").starts_with(&id));
    master.wait_for_log(" introduced to client 127.0.0.1:");
    ends_well(connecting);

    // Who uses no lobbies is in a list of its own.
    let alone = start(&master, &[]);
    let alone_id = alone.line_after("registered").split(' ').next().unwrap().to_owned();
    let output = punch(&master, &["clients"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains(&format!("{alone_id} 127.0.0.1:")) && !text.contains(&id), "{text}");

    let arguments = ["join", "01234567-89ab-4def-8123-456789abcdef"];
    let output = punch(&master, &arguments).stderr(Stdio::piped()).output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8(output.stderr).unwrap().contains("Lobby not found"));
}

#[test]
fn keys_admit_who_shows_them() {
    let master = Master::start(&["--key", "sesame"]);
    let with_key = |more: &[&str]| start(&master, &[&["--key", "sesame"], more].concat());
    let host = with_key(&["create", "Game", "4"]);
    host.line_after("created");
    let guest = with_key(&["join", "Game"]);
    assert_eq!(guest.line_after("met"), "1 of 1");
    ends_well(guest);
    for wrong in [&["list"][..], &["--key", "Sesame", "list"], &["--game", "sesame", "list"]] {
        let output = punch(&master, wrong).stderr(Stdio::piped()).output().unwrap();
        assert!(!output.status.success());
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("This server is for other games"), "{said}");
    }
}

#[test]
fn two_games_on_one_server_have_lobbies_of_the_same_name() {
    let master = Master::start(&["--games", "Pong,Chess"]);
    let of = |game: &str, more: &[&str]| start(&master, &[&["--game", game], more].concat());
    let hosts = ["Pong", "Chess"].map(|game| {
        let host = of(game, &["create", "Evening", "4"]);
        (game, host.line_after("created"), host)
    });
    for (game, lobby, host) in &hosts {
        let guest = of(game, &["join", "Evening"]);
        assert_eq!(guest.line_after("joined"), format!("{lobby}, 2 members"));
        ends_well(guest);
        assert_eq!(host.line_after("player_joined"), "2/4");
    }
}

#[test]
fn the_debug_client_over_ipv6() {
    if UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        skipped::note("this machine has no IPv6");
        return;
    }
    let master = Master::start(&[]);
    let port = master.addr().port().to_string();
    let at = format!("[::1]:{port}");
    let host = Running::start(punch_at(&["--master", &at], &["create", "Six", "4"]), PATIENCE);
    assert!(host.line_after("registered").contains(" at [::1]:"));
    host.line_after("created");
    for server in [["-a", "::1", "-p", &port], ["-a", "[::1]", "-p", &port]] {
        let guest = Running::start(punch_at(&server, &["join", "Six"]), PATIENCE);
        assert!(guest.line_after("connected").contains(" at [::1]:"));
        ends_well(guest);
    }
}

#[test]
fn the_debug_client_by_hand() {
    let master = Master::start(&[]);
    let mut host = start(&master, &[]);
    host.types("create Chess 2");
    let lobby = host.line_after("created");
    host.types("nonsense");
    host.line_after("error:");
    let mut guest = start(&master, &[]);
    guest.types("join Chess");
    guest.line_after("joined");
    guest.types(&format!("leave {lobby}"));
    guest.line_after("left the lobby");
    host.line_after("player_left");
    guest.types("quit");
    ends_well(guest);
    // The lobby that one is in needs no name; and who ends leaves it as well.
    for end in ["leave", "quit"] {
        let mut guest = start(&master, &[]);
        guest.types("join Chess");
        guest.line_after("joined");
        host.line_after("player_joined");
        guest.types(end);
        host.line_after("player_left");
        ends_well(guest);
    }
    // So does who has done what it was told to on the command line; the server alone would take longer to notice.
    let guest = start(&master, &["join", "Chess"]);
    host.line_after("player_joined");
    ends_well(guest);
    let end = Instant::now();
    host.line_after("player_left");
    assert!(end.elapsed() < Duration::from_secs(10), "{:?}", end.elapsed());
    let pid = i32::try_from(host.pid()).unwrap();
    kill(Pid::from_raw(pid), Signal::SIGINT).unwrap();
    assert!(host.wait().success());
    let looks = punch(&master, &["list"]).output().unwrap();
    assert!(String::from_utf8_lossy(&looks.stdout).contains("no lobbies"), "{looks:?}");
}

/// Eight players, each behind a NAT of its own of a kind that can be punched.
const SITES: [&str; 8] = [
    "port-restricted",
    "open",
    "full-cone",
    "restricted-cone",
    "port-restricted:preserve=on",
    "cgnat",
    "port-restricted",
    "restricted-cone:preserve=on",
];

#[test]
fn a_lobby_of_eight_behind_nats_meets() {
    let punch = env!("CARGO_BIN_EXE_punch");
    let mut arguments = vec!["run".to_owned()];
    let mut option = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
    option("--time-limit", "60".into());
    for (n, kind) in SITES.iter().enumerate() {
        let also = if kind.contains(':') { ',' } else { ':' };
        option("--site", format!("s{n}={kind}{also}delay=20"));
    }
    option("--service", format!("server: {} --port 6510", binary().display()));
    option("--ready", "server: udp/6510".into());
    let client = |n: usize, rest: &str| {
        format!("s{n}: {punch} natpunch -a $NATLAB_SERVER1 --timeout 40 --stay 5 {rest}")
    };
    option("--service", client(0, "create Eight 8 8"));
    option("--ready", "s0: output created".into());
    for n in 1..7 {
        option("--service", client(n, "join Eight 8"));
    }
    option("--exec", client(7, "join Eight 8"));
    for n in 0..7 {
        option("--ready", format!("s{n}: output met 7 of 7"));
    }
    let Some(text) = natlab::succeeds(&arguments) else { return };
    for n in 0..8 {
        assert!(text.contains(&format!("[s{n}] met 7 of 7")), "{text}");
    }
}
