//! What the owner of a server decides and is told: who is admitted, and how punches end.
#![expect(clippy::expect_used, reason = "a helper that fails is a test that fails")]

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use compat_tests::events::EventClient;
use compat_tests::folder::Folder;
use compat_tests::gmnet::{Error, Host, HostConfig};
use compat_tests::master::{Master, loopback};
use compat_tests::natpunch;
use compat_tests::rooms::{self, Event, Player, STEP};
use nix::sys::signal::Signal;

const WAIT: Duration = Duration::from_secs(20);

fn player(master: &Master) -> Player {
    Player::new(master.addr(), SocketAddr::new(loopback(), 0), WAIT).expect("a player")
}

fn register(master: &Master, game: &str) -> Result<Host, Error> {
    Host::registered(HostConfig::new(master.addr()).on(loopback()).with_data(&[game]), WAIT)
}

fn log_in(master: &Master, game: &str, key: Option<&str>) -> Result<(), Option<String>> {
    // The server may not have seen the end of the one before yet, who has his ID until then.
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let id = format!("peer {}", COUNT.fetch_add(1, Ordering::Relaxed));
    let mut client = EventClient::connect(master.addr(), None).expect("connecting");
    let login = client.login_with(&id, game, key);
    login.map(drop).map_err(|error| error.code().map(str::to_owned))
}

fn reason(error: rooms::Error) -> Option<String> {
    if let rooms::Error::Refused { reason, .. } = error { Some(reason) } else { None }
}

#[test]
fn who_has_no_key_is_refused_and_told_where_that_is_possible() {
    let master = Master::start(&["--key", "sesame", "--key", "other", "--games", "Pong, Tetris"]);
    let refused = player(&master).host("Room").expect_err("refused");
    assert_eq!(reason(refused).as_deref(), Some("badkey"));
    let refused = player(&master).with_key("Pong").host("Room").expect_err("refused");
    assert_eq!(reason(refused).as_deref(), Some("badkey"), "a name is no secret");
    player(&master).with_key("sesame").host("Room").expect("a room");
    player(&master).with_key("other").host("Room").expect("a room");

    assert_eq!(log_in(&master, "Pong", None), Err(Some("bad_key".into())));
    assert_eq!(log_in(&master, "Pong", Some("Pong")), Err(Some("bad_key".into())));
    assert_eq!(log_in(&master, "", Some("other")), Ok(()));

    let refused = natpunch::Client::register(master.addr(), loopback()).expect_err("refused");
    let text = refused.to_string();
    assert!(text.ends_with("This server is for other games"), "{text}");

    assert!(matches!(register(&master, "Chess"), Err(Error::MasterClosed { .. })));
    assert!(matches!(register(&master, ""), Err(Error::MasterClosed { .. })));
    let _pong = register(&master, "Pong").expect("registered");
    let _tetris = register(&master, "Tetris").expect("registered, whatever blanks are in the list");
    let _keyed = register(&master, "sesame").expect("registered");
    let log = master.stop();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains(" refused (")).collect();
    let of = |dialect: &str| lines.iter().filter(|line| line.contains(dialect)).count();
    let counts = ["(rooms)", "(events)", "(natpunch)", "(gmnet)"].map(of);
    // A line a minute for each, and their addresses are not all the same.
    assert!(counts.iter().all(|count| (1..=4).contains(count)), "{counts:?}:\n{log}");
    let reasons = [
        "(rooms): its request does not begin with k: and one of --key (case-sensitive) (",
        "(events): its key is not one of --key (",
        "(natpunch): it shows neither a game nor a key, as clients of the original cannot; see --",
        "(gmnet): its game \"Chess\" is not one of --games or --key (case-sensitive) (",
    ];
    for reason in reasons {
        assert!(lines.iter().any(|line| line.contains(reason)), "no {reason:?}:\n{log}");
    }
    assert!(!log.contains("sesame refused"), "{log}");
}

/// Each of three who have the same wrong name is told of, and each but once.
#[test]
fn every_address_with_a_wrong_game_is_told_of() {
    let master = Master::start(&["--games", "My Game"]);
    let hosts = [loopback(), loopback(), loopback()];
    for at in hosts.into_iter().chain(hosts) {
        let config = HostConfig::new(master.addr()).on(at).with_data(&["my game"]);
        assert!(matches!(Host::registered(config, WAIT), Err(Error::MasterClosed { .. })));
    }
    let log = master.stop();
    for at in hosts {
        let what = "refused (gmnet): its game \"my game\" is not one of --games (case-sensitive)";
        assert_eq!(log.matches(&format!("{at} {what}")).count(), 1, "{at}:\n{log}");
    }
}

#[test]
fn a_list_of_games_is_enough() {
    let master = Master::start(&["--games", "Pong"]);
    assert_eq!(log_in(&master, "Chess", None), Err(Some("bad_key".into())));
    assert_eq!(log_in(&master, "Pong", None), Ok(()));
    assert!(player(&master).host("Room").is_err());
    player(&master).with_key("Pong").host("Room").expect("a room");
    let mut host = register(&master, "Pong").expect("registered");
    let mut data = host.config().data.clone();
    data[0] = "Chess".into();
    host.commit(data);
    let gone = host.run_until(WAIT, |host| !host.has_master()).expect("steps");
    assert!(gone, "it has become another game");
    master.wait_for_log(
        "(rooms): its request does not begin with k: and one of --games (case-sensitive) (",
    );
    master.wait_for_log("(events): its game \"Chess\" is not one of --games (case-sensitive) (");
    master.wait_for_log("(gmnet): its game \"Chess\" is not one of --games (case-sensitive) (");
}

#[test]
fn sigusr1_tells_how_punches_ended() {
    let master = Master::start(&[]);
    master.signal(Signal::SIGUSR1);
    master.wait_for_log("no introduction has ended yet, as far as is known");
    master.wait_for_log("refused: nothing so far");
    let (mut host, mut client) = (player(&master), player(&master));
    let room = host.host("Meeting").expect("a room").room;
    client.join(room).expect("a place");
    let deadline = Instant::now() + WAIT;
    let mut connected = 0;
    while connected < 2 && Instant::now() < deadline {
        for player in [&mut host, &mut client] {
            let events = player.step().expect("a step");
            connected += events.iter().filter(|e| matches!(e, Event::Connected(_))).count();
        }
        std::thread::sleep(STEP);
    }
    master.wait_for_log(" got through to host ");
    master.signal(Signal::SIGUSR1);
    master.wait_for_log(
        "dialect   one side              other side            directly   relayed  failed",
    );
    master.wait_for_log("  1         0       0");
}

#[test]
fn sigusr1_tells_what_was_refused_and_to_whom() {
    let master = Master::start(&["--key", "sesame", "--dialects", "gmnet,events"]);
    let addr = loopback();
    // Datagrams are read before connections.
    let socket = UdpSocket::bind((addr, 0)).expect("a socket");
    socket.send_to(b"status", master.addr()).expect("sending");
    let refused = Host::registered(HostConfig::new(master.addr()).on(addr), WAIT);
    assert!(matches!(refused, Err(Error::MasterClosed { .. })));
    for _ in 0..3 {
        assert_eq!(log_in(&master, "", None), Err(Some("bad_key".into())));
    }
    master.signal(Signal::SIGUSR1);
    // In GMnet the name of the game is the key.
    master.wait_for_log("refused: it has no key of this server: 4 (gmnet 1, events 3), last ");
    master.wait_for_log(&format!(" s ago, most of all 127.0.0.1 3, {addr} 1; see --key"));
    master.wait_for_log("refused: its dialect is not spoken: ");
}

/// Players of one mobile provider share an address.
#[test]
fn a_bound_that_honest_players_reach_is_told_with_what_helps() {
    let master = Master::start(&["--max-hosts", "1"]);
    let at = SocketAddr::new(loopback(), 0);
    let [mut first, mut second] =
        [(); 2].map(|()| Player::new(master.addr(), at, WAIT).expect("a player"));
    first.host("One").expect("a room");
    for _ in 0..3 {
        assert_eq!(reason(second.host("Two").expect_err("refused")).as_deref(), Some("limit"));
    }
    let log = master.stop();
    let line = format!(
        "INFO  {} refused (rooms): its address has as many rooms as it may have; allow more with \
         --max-hosts\n",
        at.ip()
    );
    assert_eq!(log.matches(&line).count(), 1, "once a minute:\n{log}");
}

#[test]
fn sighup_reads_keys_and_games_again_and_a_bad_file_changes_nothing() {
    let folder = Folder::new();
    let [keys, games] = ["keys", "games"].map(|name| folder.file(name));
    fs::write(&keys, "one\n").expect("the keys");
    fs::write(&games, "Pong\n").expect("the games");
    let files = ["--key-file", &keys, "--games-file", &games, "--key", "own"];
    let master = Master::start(&files);
    let refused = || Err(Some("bad_key".to_owned()));
    assert_eq!(log_in(&master, "", Some("one")), Ok(()));
    assert_eq!(log_in(&master, "", Some("two")), refused());
    let mut of_pong = register(&master, "Pong").expect("registered");

    fs::write(&keys, "# of this year\ntwo\n").expect("the keys");
    fs::write(&games, "Chess\nGo\n").expect("the games");
    master.signal(Signal::SIGHUP);
    master.wait_for_log(&format!("2 keys are admitted, those in {keys} included"));
    master.wait_for_log(&format!("2 games are admitted, those in {games} included"));
    // Signals are handled by a thread, whose news the loop hears in its next turn.
    let deadline = Instant::now() + WAIT;
    while log_in(&master, "", Some("two")).is_err() {
        assert!(Instant::now() < deadline, "{}", master.log());
    }
    assert_eq!(log_in(&master, "", Some("own")), Ok(()), "the one of the command line stays");
    assert_eq!(log_in(&master, "", Some("one")), refused());
    assert!(player(&master).with_key("one").host("Room").is_err());
    player(&master).with_key("two").host("Room").expect("a room");
    let _chess = register(&master, "Chess").expect("registered");
    assert!(register(&master, "Pong").is_err());
    let _ = of_pong.step();
    assert!(of_pong.has_master(), "who is there may stay");

    fs::write(&keys, "# none\n").expect("the keys");
    fs::write(&games, b"\xff\n").expect("the games");
    master.signal(Signal::SIGHUP);
    master.wait_for_log(&format!("there is no key in {keys}; the keys from before stay"));
    master.wait_for_log("this is not UTF-8; the games from before stay");
    assert_eq!(log_in(&master, "", Some("two")), Ok(()));
    let _go = register(&master, "Go").expect("registered");
}

/// One bad edit would else lock everybody out.
#[test]
fn sighup_takes_no_line_for_a_key_that_cannot_be_one() {
    let folder = Folder::new();
    let [keys, games] = ["keys", "games"].map(|name| folder.file(name));
    fs::write(&keys, "one\n").expect("the keys");
    fs::write(&games, "Pong\n").expect("the games");
    let master = Master::start(&["--key-file", &keys, "--games-file", &games]);
    let long = "x".repeat(70_000);
    for (bad, why, rest) in [
        ("sesame\tof Pong", "there is the control character U+0009 in this ", ": take it out"),
        ("s\0e\0s\0a\0m\0e\0", "there is the control character U+0000 in this ", ": take it out"),
        ("\u{feff}\u{200b}", "no character of this ", " is visible: write one"),
        (&long, "this ", " has 70000 bytes, and no game can show more than "),
    ] {
        for file in [&keys, &games] {
            fs::write(file, format!("# new\ntwo\n{bad}\n")).expect("a list");
        }
        master.signal(Signal::SIGHUP);
        master.wait_for_log(&format!("--key-file: {keys} line 3: {why}key{rest}"));
        master.wait_for_log(&format!("{why}name{rest}"));
    }
    let log = master.log();
    for stays in ["; the keys from before stay", "; the games from before stay"] {
        assert_eq!(log.matches(stays).count(), 4, "{log}");
    }
    let of_keys: Vec<_> = log.lines().filter(|line| line.contains("--key-file")).collect();
    assert!(!of_keys.concat().contains("sesame") && !log.contains(['\t', '\0']), "{log}");
    assert_eq!(log_in(&master, "", Some("one")), Ok(()));
    assert!(log_in(&master, "", Some("two")).is_err());
    let _pong = register(&master, "Pong").expect("registered");
}
