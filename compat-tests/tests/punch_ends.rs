//! How `punch` ends, and what it says, where something does not work.
#![expect(clippy::expect_used, reason = "a helper that fails is a test that fails")]

use std::fs;
use std::io::{BufRead as _, Read as _, Write as _};
use std::net::{TcpListener, UdpSocket};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use compat_tests::folder::Folder;
use compat_tests::gmnet::{Host, HostConfig};
use compat_tests::master::{Master, loopback};
use rcgen::generate_simple_self_signed;

/// The exit code, and all that was said.
fn punch(args: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_punch"));
    let output = command.args(args).stdin(Stdio::null()).output().expect("running punch");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).expect("UTF-8"))
}

fn events(master: &Master, args: &[&str]) -> (Option<i32>, String) {
    let addr = format!("localhost:{}", master.addr().port());
    punch(&[&["events", "--id", "peer", "--master", &addr], args].concat())
}

/// A server with a certificate that nobody vouches for, and the file of that.
fn with_tls(more: &[&str]) -> (Master, Folder) {
    let folder = Folder::new();
    let made = generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let (certificate, key) = (folder.file("certificate"), folder.file("key"));
    fs::write(&certificate, made.cert.pem()).expect("writing");
    fs::write(&key, made.signing_key.serialize_pem()).expect("writing");
    let options = ["--tls-cert", &certificate, "--tls-key", &key];
    (Master::start(&[&options[..], more].concat()), folder)
}

#[test]
fn events_that_are_refused_are_in_the_exit_code() {
    let master = Master::start(&[]);
    assert_eq!(events(&master, &["--do", "create Room", "--do", "who"]).0, Some(0));
    let (code, said) = events(&master, &["--do", "join Nowhere", "--do", "who"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("in no room\n"), "the rest is done: {said}");
    assert!(said.ends_with("punch: one thing did not work, as said above\n"), "{said}");
    let commands = ["--do", "confirm nobody hello", "--do", "dance", "--do", "wait long"];
    let (code, said) = events(&master, &commands);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.ends_with("punch: 3 things did not work, as said above\n"), "{said}");
}

#[test]
fn events_that_have_to_be_encrypted_are_said_to() {
    let (master, folder) = with_tls(&["--tls-required"]);
    let (code, said) = events(&master, &["--do", "rooms"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("(tls_required)\n--tls encrypts."), "{said}");
    let ca = folder.file("certificate");
    let (code, said) = events(&master, &["--tls", "--ca", &ca, "--do", "rooms"]);
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn events_trust_the_system_or_say_what_to_trust() {
    let (master, _folder) = with_tls(&[]);
    let (code, said) = events(&master, &["--tls", "--do", "rooms"]);
    assert_eq!(code, Some(1), "{said}");
    // What a system without such a file is told ends with the same option.
    let expected = ["if it is your own, trust it with --ca.", "name one with --ca, such as"];
    assert!(expected.iter().any(|expected| said.contains(expected)), "{said}");
}

#[test]
fn events_say_that_a_server_has_no_certificate() {
    let (master, folder) = (Master::start(&[]), with_tls(&[]).1);
    let ca = folder.file("certificate");
    let (code, said) = events(&master, &["--tls", "--ca", &ca, "--do", "rooms"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("it seems to have no certificate"), "{said}");
}

#[test]
fn events_refuse_by_name_what_they_do_not_know() {
    let master = Master::start(&[]);
    for (command, why) in [
        ("create", "want create NAME [MAX] [MORE]"),
        ("create Room 4 privat", "what is \"privat\"?"),
        ("create \"My", "a quote has no end"),
        ("join", "want join ROOM [PASSWORD]"),
        ("kick", "want kick ID"),
        ("wait", "want wait SECONDS"),
        ("leave now", "want leave, alone"),
        ("pass bob", "want pass ID NAME [DATA]"),
        ("set", "want what to set"),
        ("set private", "private cannot be changed"),
        ("set public", "public cannot be changed"),
        ("rooms fre", "what is \"fre\"?"),
        ("quick newest", "what is \"newest\"?"),
        ("dance", "no such command: dance\n"),
    ] {
        let (code, said) = events(&master, &["--do", command]);
        assert_eq!(code, Some(1), "{command}: {said}");
        assert!(said.contains(why), "{command}: {said}");
    }
    let create = "create \"My room\" 4 map=\"big one\"";
    let (code, said) =
        events(&master, &["--do", create, "--do", "set name=\"New name\"", "--do", "rooms"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("  New name  of peer  1/4  {\"map\":\"big one\"}"), "{said}");
    let secret = ["--secret", "00000000000000000000000000000000", "--do", "who"];
    assert!(events(&master, &secret).1.contains("this is a new login"));
}

#[test]
fn a_host_to_join_may_have_a_name() {
    let master = Master::any();
    let addr = master.addr().to_string();
    let join = |host: &str| punch(&["join", host, "--master", &addr, "--timeout", "0.5"]).1;
    assert!(join("localhost").contains(" for 127.0.0.1\n"));
    let said = join("no such host");
    assert!(said.contains("want the address of a host, or a name that has one"), "{said}");
}

#[test]
fn natpunch_waits_for_its_server_no_longer_than_told() {
    let mute = UdpSocket::bind((loopback(), 0)).expect("a port");
    let addr = mute.local_addr().expect("its address").to_string();
    let began = Instant::now();
    let (code, said) = punch(&["natpunch", "--master", &addr, "list", "--timeout", "0.5"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("within 500.0ms"), "{said}");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[test]
fn usage_shows_no_option_as_if_it_had_to_be_there() {
    let usage = |args: &[&str]| {
        let said = punch(args).1;
        said.lines().find(|line| line.starts_with("Usage: ")).expect("a usage").to_owned()
    };
    assert_eq!(usage(&["host", "--prot", "1"]), "Usage: punch host [OPTIONS]");
    let host = "Usage: punch rooms host [OPTIONS] <NAME>";
    assert_eq!(usage(&["rooms", "host", "x", "--prot", "1"]), host);
    assert_eq!(usage(&["rooms", "host"]), host);
    assert_eq!(usage(&["join", "--help"]), "Usage: punch join [OPTIONS] <HOST>");
    assert_eq!(usage(&["events"]), "Usage: punch events [OPTIONS] --id <ID>");
    assert_eq!(usage(&["nat"]), "Usage: punch nat [OPTIONS] <HOST:PORT>");
}

/// Each failure names its own cause: a fault of this machine is none of the master server.
#[test]
fn a_fault_of_this_machine_is_not_sought_at_the_master_server() {
    let master = Master::start(&[]);
    let addr = master.addr().to_string();
    let busy = UdpSocket::bind(("0.0.0.0", 0)).expect("a port");
    let port = busy.local_addr().expect("its address").port().to_string();
    let own = "Another program on this machine has that port";
    let nobody = "This machine has no such address";
    for (args, why) in [
        (vec!["host", "--port", &port, "--master", &addr], own),
        (vec!["host", "--bind", "192.0.2.77", "--master", &addr], nobody),
        (vec!["join", "127.0.0.9", "--bind", "192.0.2.77", "--master", &addr], nobody),
        (vec!["lobby", "--bind", "192.0.2.77", "--master", &addr], nobody),
        (vec!["rooms", "list", "--bind", "192.0.2.77", "--master", &addr], nobody),
        (vec!["natpunch", "list", "--bind", "192.0.2.77", "--master", &addr], nobody),
        (vec!["events", "--id", "a", "--bind", "192.0.2.77", "--master", &addr], nobody),
        (vec!["nat", "--bind", "192.0.2.77", &addr], nobody),
    ] {
        let (code, said) = punch(&args);
        assert_eq!(code, Some(1), "{args:?}: {said}");
        assert!(said.contains(why), "{args:?}: {said}");
        assert!(!said.contains("firewall") && !said.contains("is the master server"), "{said}");
    }
    let closed = TcpListener::bind((loopback(), 0)).expect("a port");
    let nowhere = closed.local_addr().expect("its address").to_string();
    drop(closed);
    for args in [
        vec!["host", "--master", &nowhere],
        vec!["lobby", "--master", &nowhere],
        vec!["join", "127.0.0.9", "--master", &nowhere],
        vec!["events", "--id", "a", "--do", "who", "--master", &nowhere],
    ] {
        let (code, said) = punch(&args);
        assert_eq!(code, Some(1), "{args:?}: {said}");
        assert!(said.contains("nothing listens on that port"), "{args:?}: {said}");
    }
}

/// What is kept from a host on purpose, and a host that lets nobody in, are no NATs.
#[test]
fn a_nat_is_blamed_for_nothing_that_a_peer_does() {
    let (at, addr) = (loopback().to_string(), format!("{}:6510", loopback()));
    let mut host = Command::new(env!("CARGO_BIN_EXE_punch"));
    host.args(["host", "--own-master", "--never-welcome", "--master", &addr, "--bind", &at]);
    let mut host = host.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("a host");
    let mut line = String::new();
    let mut lines = std::io::BufReader::new(host.stdout.take().expect("piped"));
    while !line.contains("registered") {
        line.clear();
        assert!(lines.read_line(&mut line).expect("a line") > 0, "it has ended");
    }
    let own = loopback().to_string();
    let join = |more: &[&str]| {
        let args = ["join", &at, "--master", &addr, "--bind", &own, "--timeout", "2"];
        punch(&[&args[..], more].concat())
    };
    let (code, said) = join(&[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("so no NAT is in the way") && said.contains("--never-welcome"), "{said}");
    let (code, said) = join(&["--drop-first", "1"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("so no NAT is to blame"), "{said}");
    let _ = host.kill();
    let _ = host.wait();
}

#[test]
fn a_server_for_other_games_says_how_to_show_ones_own() {
    let master = Master::start(&["--key", "secret"]);
    let addr = master.addr().to_string();
    for (args, option) in [
        (vec!["host", "--for", "1", "--master", &addr], "--data1"),
        (vec!["events", "--id", "a", "--do", "who", "--master", &addr], "--key"),
        (vec!["natpunch", "list", "--master", &addr], "--key"),
        (vec!["rooms", "list", "--master", &addr], "--key"),
    ] {
        let (code, said) = punch(&args);
        assert_eq!(code, Some(1), "{args:?}: {said}");
        assert!(said.contains(option), "{args:?}: {said}");
    }
}

/// The server for whom a connection ends is the one who knows why; each way to end has its causes.
#[test]
fn whoever_is_not_let_in_is_told_what_may_be_behind_it() {
    let folder = Folder::new();
    let file = folder.file("block");
    fs::write(&file, "127.0.0.0/8\n").expect("writing");
    let blocks = Master::start(&["--block", &file]);
    let lacks = Master::start(&["--dialects", "rooms"]);
    let web = TcpListener::bind((loopback(), 0)).expect("a port");
    let window = web.local_addr().expect("its address").to_string();
    std::thread::spawn(move || {
        for mut stream in web.incoming().flatten() {
            // The end of an answer that nobody has read might get lost with what was sent.
            let answer = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
            let _ = stream.read(&mut [0; 4096]).and_then(|_| stream.write_all(answer));
        }
    });
    let (blocked, lacking) = (blocks.addr().to_string(), lacks.addr().to_string());
    for (master, cause) in
        [(&blocked, "--block"), (&lacking, "--dialects"), (&window, "the owner's window")]
    {
        for args in [vec!["host", "--for", "1"], vec!["lobby"], vec!["join", "127.0.0.9"]] {
            let args = [&args[..], &["--master", master]].concat();
            let (code, said) = punch(&args);
            assert_eq!(code, Some(1), "{args:?}: {said}");
            assert!(said.contains(cause), "{args:?}: {said}");
            assert!(!said.contains("--data1"), "{args:?}: {said}");
        }
    }

    for (master, cause) in
        [(&blocked, "--block"), (&lacking, "--dialects"), (&window, "the owner's window")]
    {
        let (code, said) = punch(&["events", "--id", "a", "--do", "who", "--master", master]);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(cause), "{said}");
    }

    let mute = TcpListener::bind((loopback(), 0)).expect("a port");
    let addr = mute.local_addr().expect("its address").to_string();
    let (_, said) = punch(&["host", "--for", "0.1", "--master", &addr]);
    assert!(said.contains("(not confirmed, as no answer comes"), "{said}");

    let full = Master::start(&["--max-hosts", "1"]);
    let (own, addr) = (loopback(), full.addr().to_string());
    let config = HostConfig::new(full.addr()).on(own);
    let _host = Host::registered(config, Duration::from_secs(10)).expect("registered");
    let own = own.to_string();
    let (code, said) = punch(&["host", "--for", "1", "--master", &addr, "--bind", &own]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("--max-hosts") && said.contains("--data1"), "{said}");
}

/// A host that is not found may be there all the same.
#[test]
fn who_finds_no_host_is_told_of_hosts_without_udp_and_of_the_other_family() {
    let master = Master::any();
    let addr = master.addr().to_string();
    let said = punch(&["join", "127.0.0.9", "--master", &addr]).1;
    assert!(said.contains("UDP") && said.contains("IPv6"), "{said}");
}

/// Rooms have one place for a key and a game: where only a game is named it is shown there.
#[test]
fn a_game_is_shown_to_a_server_for_some_games() {
    let master = Master::start(&["--games", "My Game"]);
    let addr = master.addr().to_string();
    let game = ["--game", "My Game", "--master", &addr];
    let (code, said) = punch(&[&["rooms", "host", "a", "--for", "0.1"], &game[..]].concat());
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = punch(&[&["rooms", "list"], &game[..]].concat());
    assert_eq!((code, said.as_str()), (Some(0), "no rooms\n"));
}

#[test]
fn who_wants_any_room_is_told_why_none_fits() {
    let master = Master::start(&[]);
    let addr = master.addr().to_string();
    let (code, said) = punch(&["rooms", "any", "--master", &addr]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("No room fits") && said.contains("want a password"), "{said}");
}

#[test]
fn events_come_from_the_address_of_bind() {
    let master = Master::start(&[]);
    let (addr, own) = (master.addr().to_string(), loopback().to_string());
    let args = ["events", "--id", "a", "--do", "who", "--bind", &own, "--master", &addr];
    let (code, said) = punch(&args);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains(&format!("my UDP endpoint is {own}:")), "{said}");
    master.wait_for_log(&format!("{own}:"));
}

/// Whoever waits for others until it is stopped hears when there is no server to send them.
#[test]
fn natpunch_ends_when_its_server_is_gone() {
    let master = Master::start(&[]);
    let addr = master.addr().to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_punch"));
    command.args(["natpunch", "--master", &addr, "--timeout", "1", "create", "Lobby", "4"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("starting punch");
    let mut line = String::new();
    let mut lines = std::io::BufReader::new(child.stdout.take().expect("piped"));
    while !line.starts_with("created") {
        line.clear();
        assert!(lines.read_line(&mut line).expect("a line") > 0, "it has ended");
    }
    master.crash();
    let deadline = Instant::now() + Duration::from_secs(30);
    while child.try_wait().expect("waiting").is_none() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    let _ = child.kill();
    let output = child.wait_with_output().expect("its end");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("the server does not answer any more"), "{said}");
}

/// Who waits is told for what.
#[test]
fn natpunch_says_what_it_waits_for() {
    let master = Master::start(&[]);
    let addr = master.addr().to_string();
    let (code, said) = punch(&["natpunch", "--master", &addr, "--timeout", "1", "join", "nothere"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("no lobby \"nothere\" yet; looking for it for 1s"), "{said}");
    let mute = UdpSocket::bind((loopback(), 0)).expect("a port");
    let addr = mute.local_addr().expect("its address").to_string();
    let (code, said) = punch(&["natpunch", "--master", &addr, "list", "--timeout", "1.5"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("does not answer; trying for 2s"), "{said}");
    assert!(said.contains("does it speak natpunch"), "{said}");
}
