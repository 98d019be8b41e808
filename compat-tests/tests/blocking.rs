//! `--block`: whom the owner does not want to hear of.
#![expect(clippy::expect_used, reason = "a helper that fails is a test that fails")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use compat_tests::company::start_with_window;
use compat_tests::events::EventClient;
use compat_tests::folder::Folder;
use compat_tests::gmnet::{Control, Host, HostConfig, Lobby, Query};
use compat_tests::http::get;
use compat_tests::master::{Master, binary, fails_to_start, loopback};
use compat_tests::rooms::Player;
use nix::sys::signal::Signal;

const WAIT: Duration = Duration::from_secs(20);

fn hosts(master: &Master) -> usize {
    let lobby = Lobby::fetch(master.addr(), Some(loopback()), &Query::default(), WAIT);
    lobby.expect("the lobby").entries.len()
}

fn register(master: &Master, at: IpAddr) -> Option<Host> {
    Host::registered(HostConfig::new(master.addr()).on(at).with_data(&["Game"]), WAIT).ok()
}

fn player(master: &Master, at: IpAddr, patience: Duration) -> Player {
    Player::new(master.addr(), SocketAddr::new(at, 0), patience).expect("a player")
}

/// What it says that does not start with these options.
fn refused(args: &[&str]) -> String {
    let mut command = Command::new(binary());
    command.args(["--port", "0"]).args(args);
    let (status, text) = fails_to_start(command);
    assert_eq!(status.code(), Some(1), "{text}");
    text
}

/// Who has blocked himself by mistake still sees that, and who else is.
#[test]
fn the_owner_looks_in_from_an_address_that_he_has_blocked() {
    let folder = Folder::new();
    let list = folder.file("blocked");
    fs::write(&list, "127.0.0.0/8\n").expect("the list");
    let (master, window) = start_with_window(&["--block", &list]);
    assert!(Control::open(master.addr(), None).and_then(|control| control.answer(WAIT)).is_err());
    let answer = get(window, "/api/v1/refusals").expect("an answer");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["refusals"][0]["reason"], "blocked", "{answer:?}");
}

#[test]
fn sighup_blocks_an_address_and_lets_it_in_again() {
    let folder = Folder::new();
    let list = folder.file("blocked");
    fs::write(&list, "# nobody yet\n").expect("the list");
    let master = Master::start(&["--block", &list]);
    let (bad, good) = (loopback(), loopback());
    let mut of_bad = register(&master, bad).expect("registered");
    let mut of_good = register(&master, good).expect("registered");
    let mut in_room = player(&master, bad, WAIT);
    let room = in_room.host("Bad").expect("a room").room;
    assert_eq!(hosts(&master), 2);

    fs::write(&list, format!("{bad} # he floods\n203.0.113.0/24\n")).expect("the list");
    master.signal(Signal::SIGHUP);
    master.wait_for_log(&format!("2 addresses and networks are blocked, as {list} says"));
    master.wait_for_log("2 connections, players and relayed pairs ended: they are blocked");
    let log = master.log();
    let gone =
        log.lines().find(|line| line.contains(&format!("host {bad}")) && line.contains("is gone"));
    assert!(gone.is_some_and(|line| line.ends_with("is gone: its address is blocked")), "{log}");
    let is_gone = of_bad.run_until(WAIT, |host| !host.has_master()).expect("steps");
    assert!(is_gone, "its connection is closed");
    assert_eq!(hosts(&master), 1);
    assert!(of_good.has_master(), "nobody else is");
    assert!(register(&master, bad).is_none());
    let mut other = player(&master, good, WAIT);
    assert!(other.join(room).is_err(), "the room is closed");

    // What is no good changes nothing, and nothing waits for it.
    fs::write(&list, format!("{good}\nnobody\n")).expect("the list");
    master.signal(Signal::SIGHUP);
    master.wait_for_log(&format!("{list} line 2: \"nobody\": want an address or a network"));
    master.wait_for_log("the old list stays in force");
    fs::remove_file(&list).expect("the list");
    let made = Command::new("mkfifo").arg(&list).status().expect("a named pipe");
    assert!(made.success());
    master.signal(Signal::SIGHUP);
    master.wait_for_log(&format!("{list} is not a regular file"));
    assert_eq!(hosts(&master), 1);
    assert!(register(&master, bad).is_none());
    let _ = of_good.step();

    fs::remove_file(&list).expect("the list");
    fs::write(&list, "::/0\n").expect("the list");
    master.signal(Signal::SIGHUP);
    master.wait_for_log("--block names all addresses of IPv6: nobody who has one of them can play");
    fs::write(&list, "").expect("the list");
    master.signal(Signal::SIGHUP);
    master.wait_for_log(&format!("nobody is blocked any more: {list} names no address or network"));
    let _back = register(&master, bad).expect("registered");
    master.signal(Signal::SIGUSR1);
    master.wait_for_log("refused: its address is blocked: ");
}

#[test]
fn who_is_blocked_from_the_start_is_not_heard() {
    let (folder, bad) = (Folder::new(), loopback());
    let list = folder.file("blocked");
    fs::write(&list, format!("::ffff:{bad}/128")).expect("the list");
    let master = Master::start(&["--block", &list]);
    assert!(player(&master, bad, Duration::from_secs(1)).host("Room").is_err());
    if let Ok(control) = Control::open(master.addr(), Some(bad)) {
        assert!(control.next(WAIT).expect("its end").bytes.is_empty());
    }
    let mut client = EventClient::connect(master.addr(), None).expect("connecting");
    client.login("a", "Game").expect("others are heard");
}

#[test]
fn a_list_that_cannot_be_read_is_a_reason_not_to_start() {
    let folder = Folder::new();
    let list = folder.file("blocked");
    let error = refused(&["--block", &list]);
    assert!(error.contains(&format!("--block: cannot read {list}: ")), "{error}");
    fs::write(&list, "192.0.2.7\n192.0.2.300\n").expect("the list");
    let error = refused(&["--block", &list]);
    assert!(error.contains(&format!("{list} line 2: \"192.0.2.300\": want an address")), "{error}");
}

/// Keys and games may stand in files, where a key may have a comma.
#[test]
fn keys_and_games_may_stand_in_files() {
    let folder = Folder::new();
    let (keys, games) = (folder.file("keys"), folder.file("games"));
    fs::write(&keys, "# of Pong\n ses,ame \n\nother\n").expect("a list");
    fs::write(&games, "Pong\n").expect("a list");
    let master = Master::start(&["--key", "third", "--key-file", &keys, "--games-file", &games]);
    assert!(master.log().contains("; only for the games \"Pong\"; 3 keys"), "{}", master.log());
    for (key, is_right) in [("ses,ame", true), ("other", true), ("third", true), ("ses", false)] {
        let mut client = EventClient::connect(master.addr(), None).expect("connecting");
        // The one before may not have been seen to be gone.
        let login = client.login_with(key, "", Some(key));
        assert_eq!(login.is_ok(), is_right, "{key}");
    }
    fs::write(&keys, "# none\n").expect("a list");
    let error = refused(&["--key-file", &keys]);
    assert!(error.contains(&format!("there is no key in {keys}")), "{error}");
    let error = refused(&["--games-file", &folder.file("none")]);
    assert!(error.contains("--games-file: cannot read "), "{error}");
    fs::write(&keys, "sesame\nses\tame\n").expect("a list");
    for (error, place) in [
        (refused(&["--key-file", &keys]), format!("--key-file: {keys} line 2: ")),
        (refused(&["--key", "sesame,ses\tame"]), "--key (PUNCHD_KEY), number 2 of 2: ".into()),
    ] {
        let why = "there is the control character U+0009 in this key: take it out";
        assert!(error.contains(&format!("{place}{why}")) && !error.contains("ses"), "{error}");
    }
}

/// What is taken for a key can be shown: there is a dialect with room for the longest.
#[test]
fn the_longest_key_admits_its_game() {
    const AROUND: [&str; 2] =
        [r#"{"type":"request","name":"login","data":{"id":"a","key":""#, r#""},"request_id":1}"#];
    /// Of an event.
    const LONGEST: usize = 64 * 1024;
    let folder = Folder::new();
    let keys = folder.file("keys");
    let longest = "x".repeat(LONGEST - AROUND.concat().len());
    fs::write(&keys, &longest).expect("a list");
    let master = Master::start(&["--key-file", &keys]);
    let mut client = TcpStream::connect(master.addr()).expect("connecting");
    client.set_read_timeout(Some(WAIT)).expect("a timeout");
    client.write_all(AROUND.join(&longest).as_bytes()).expect("sending");
    let mut answer = [0; 200];
    let length = client.read(&mut answer).expect("an answer");
    let answer = String::from_utf8_lossy(&answer[..length]);
    assert!(answer.contains(r#""secret":"#), "{answer}");
    fs::write(&keys, format!("{longest}x")).expect("a list");
    let error = refused(&["--key-file", &keys]);
    assert!(error.contains("line 1: this key has 6"), "{error}");
}

/// Web sites are shown what the players of a key see, in all dialects, and the owner sees no key.
#[test]
fn who_shows_a_key_is_shown_the_lobby_of_its_game() {
    let options = ["--public-lobby", "--key", "sesame", "--key", "other"];
    let (master, window) = start_with_window(&options);
    let lobby = |query: &str| get(master.addr(), &format!("/lobby{query}")).expect("an answer");
    let config = HostConfig::new(master.addr()).with_data(&["sesame"]);
    let _host = Host::registered(config, WAIT).expect("registered");
    let mut in_room = player(&master, loopback(), WAIT).with_key("sesame");
    in_room.host("Arena").expect("a room");
    let shown = lobby("?key=sesame").json();
    assert_eq!(shown["rooms"][0]["name"], "Arena", "{shown}");
    assert_eq!(shown["gmnet"].as_array().map(Vec::len), Some(1), "{shown}");
    let shown = lobby("?key=other").json();
    assert_eq!(
        [&shown["rooms"], &shown["gmnet"]].map(|list| list.as_array().map(Vec::len)),
        [Some(0); 2]
    );
    for query in ["", "?key=wrong", "?game=sesame"] {
        assert_eq!(lobby(query).status, 401, "{query}");
    }
    master.wait_for_log(" asks for the lobby without a key of this server");
    let hosts = get(window, "/api/v1/hosts").expect("an answer").json();
    let room =
        hosts["hosts"].as_array().and_then(|all| all.iter().find(|it| it["dialect"] == "rooms"));
    assert_eq!(room.map(|room| &room["game"]), Some(&"".into()), "{hosts}");
    let log = master.stop();
    assert!(log.contains("room \"Arena\" is open"), "{log}");
}
