//! What the server writes to its log, and where.
#![expect(clippy::expect_used, reason = "a helper that fails fails its test")]

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::unix::fs::{OpenOptionsExt as _, symlink};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use compat_tests::folder::Folder;
use compat_tests::gmnet::wire::{self, Protocol};
use compat_tests::gmnet::{
    Client, ClientConfig, Control, GameSocket, Host, HostConfig, Lobby, Query,
};
use compat_tests::master::{Master, binary, loopback};
use compat_tests::{natpunch, raw};
use nix::fcntl::OFlag;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

mod files;
mod unread;

const WAIT: Duration = Duration::from_secs(10);

/// Starts the server with a log file; its standard output may stay empty.
fn logging_to(file: &str, env: &[(&str, &str)], args: &[&str]) -> Master {
    let mut command = Command::new(binary());
    command.args(["--port", "0", "--log", file]).args(args).envs(env.iter().copied());
    Master::spawn_with_log_file(command, file.as_ref())
}

fn host_config(master: &Master, game: &str) -> HostConfig {
    HostConfig::new(master.addr()).on(loopback()).with_data(&[game])
}

/// Asks for a host at this address, which gives one line in the log.
fn look_up(master: &Master, host: IpAddr) -> IpAddr {
    let config = ClientConfig::new(master.addr(), host).on(loopback());
    let client = config.bind.expect("its address");
    Client::look_up(config).expect("an answer");
    client
}

/// Has the list of hosts, which is a detail in the log.
fn look_at_lobby(master: &Master) {
    Lobby::fetch(master.addr(), Some(loopback()), &Query::default(), WAIT).expect("the lobby");
}

/// Sends bytes on a connection of their own and waits until they have been carried out: until
/// there is an answer to `version` behind them, or the server closes the connection.
fn send(master: &Master, bytes: &[u8]) {
    let control = Control::open(master.addr(), Some(loopback())).expect("connecting");
    // The server may close the connection before all is sent.
    let _ = control.send(bytes).and_then(|()| control.send(wire::ASK_VERSION));
    loop {
        let event = control.next(WAIT).expect("an answer or the end").bytes;
        if event.is_empty() || event.ends_with(b"\xf61.2.5\n") {
            return;
        }
    }
}

/// A registration whose eight data strings are this one.
fn registration(version: &[u8], data: &[u8]) -> Vec<u8> {
    [b"reg2\n", version, b"\n", &[data, b"\n"].concat().repeat(8)].concat()
}

/// Waits until a file has this text: the server writes it soon after the event.
fn wait_for_line(file: &str, text: &str) {
    let deadline = Instant::now() + WAIT;
    while !fs::read_to_string(file).expect("the log").contains(text) {
        assert!(Instant::now() < deadline, "{text:?} never came");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Whether a line starts as all lines do: `2026-01-31T12:00:00Z INFO  `.
fn has_time_and_level(line: &str) -> bool {
    let Some((time, rest)) = line.split_at_checked(20) else { return false };
    let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    let levels = [" ERROR ", " WARN  ", " INFO  ", " DEBUG "];
    shape == "0000-00-00T00:00:00Z" && levels.iter().any(|level| rest.starts_with(level))
}

/// The lines without their times.
fn untimed(log: &str) -> Vec<&str> {
    log.lines().map(|line| line.get(21..).unwrap_or(line)).collect()
}

#[test]
fn every_event_is_one_line_in_plain_words() {
    let master = Master::start(&[]);
    let host = Host::registered(host_config(&master, "Space Race"), WAIT).expect("registering");
    let (at, ip) = (host.local(), host.local().ip());
    let joining = Client::start(ClientConfig::new(master.addr(), ip).on(loopback()));
    let joining = joining.expect("asking");
    master.wait_for_log("introduced");
    let nobody = loopback();
    let asking = look_up(&master, nobody);
    drop(host);
    master.wait_for_log("gone");
    let mut old = host_config(&master, "Old Game");
    old.version = "1.1.9".to_owned();
    let old_ip = old.bind.expect("its address");
    let old = Host::start(old).expect("connecting");
    master.wait_for_log("refused");
    drop(old);
    let strange = Control::open(master.addr(), Some(loopback())).expect("connecting");
    let strange_ip = strange.local_addr().expect("its address").ip();
    strange.send(&registration(b"latest", b"Strange Game")).expect("registering");
    assert!(strange.next(WAIT).expect("the end").bytes.is_empty());

    let log = master.stop();
    let lines = untimed(&log);
    assert!(lines[0].contains("listening on port"), "{log}");
    let expected = [
        format!("INFO  host {at} registered: Space Race"),
        format!("INFO  introduced {} to host {at} (Space Race)", joining.local()),
        format!("INFO  not found: {asking} asked for {nobody}, where no host is"),
        format!("INFO  host {at} (Space Race) is gone: it closed its connection"),
        format!(
            "WARN  host {old_ip} refused: its game has version 1.1.9 of GMnet PUNCH, 1.2.0 is the \
             oldest that works; rebuild the game with a newer GMnet PUNCH"
        ),
        format!(
            "WARN  host {strange_ip} refused: \"latest\" is no version of GMnet PUNCH; it should \
             be like 1.2.0"
        ),
    ];
    assert_eq!(lines[1..=expected.len()], expected, "{log}");
    assert!(lines[expected.len() + 1].starts_with("INFO  stopping"), "one line an event:\n{log}");
}

#[test]
fn peers_cannot_write_control_characters_or_lines_into_the_log() {
    /// What would be a line of its own if it got to the beginning of one.
    const FORGED: &str = "1999-01-01T00:00:00Z INFO  host 6.6.6.6 registered";
    let folder = Folder::new();
    let file = folder.file("punchd.log");
    let master = logging_to(&file, &[], &["-v"]);
    // Line ends of all kinds, terminal commands, a bell, backspaces, direction overrides and
    // isolates, invisible characters, and bytes that are no text.
    let seps: [&[u8]; 16] = [
        b"\r",
        b"\n",
        b"\r\n",
        b"\x0b",
        b"\x0c",
        b"\x1b[2J\x1b[1;31m",
        b"\x1b]0;owned\x07",
        b"\x08\x08\x08\x7f",
        b"\0",
        b"\xc2\x85",
        b"\xc2\x9b31m",
        b"\x9b31m\xff\xfe",
        "\u{2028}".as_bytes(),
        "\u{2029}".as_bytes(),
        "\u{202e}\u{2066}\u{2069}\u{200f}".as_bytes(),
        "\u{feff}\u{200b}\u{e0041}".as_bytes(),
    ];
    let socket = GameSocket::open(master.addr(), Some(loopback()), 0).expect("a socket");
    for sep in seps {
        let evil = [b"evil", sep, FORGED.as_bytes(), sep].concat();
        send(&master, &registration(b"1.2.4", &evil));
        send(&master, &registration(&evil, b"game"));
        send(&master, &registration(&[b"1.1.9.", evil.as_slice()].concat(), b"game"));
        send(&master, &[b"connect\n", evil.as_slice(), b"\n"].concat());
        send(&master, &[b"connect\n127.0.0.1:", evil.as_slice(), b"\n"].concat());
        send(
            &master,
            &[b"lobby2\n", [evil.as_slice(), b"\n"].concat().repeat(11).as_slice()].concat(),
        );
        send(&master, &[evil.as_slice(), b"\n"].concat());
        socket.send_raw(master.addr(), &evil);
        socket.send(master.addr(), &evil);
    }
    let _ = master.stop();
    let log = String::from_utf8(fs::read(&file).expect("the log")).expect("UTF-8");
    assert!(log.ends_with('\n'));
    // What a viewer may take for the end of a line, not only what `lines` does.
    let ends = ['\n', '\r', '\u{b}', '\u{c}', '\u{85}', '\u{2028}', '\u{2029}'];
    for line in log.trim_end_matches('\n').split(ends) {
        assert!(has_time_and_level(line), "no line of the server: {line:?}");
        assert!(!line.starts_with("1999"), "forged: {line:?}");
    }
    let bad = |c: &char| c.is_control() && *c != '\n' || is_invisible(*c);
    assert_eq!(log.chars().find(bad), None, "{log:?}");
    for kind in ["not here yet: evil", "\"evil", "version 1.1.9.evil", "datagram"] {
        assert!(log.contains(kind), "nothing came of {kind}, so nothing was tested:\n{log}");
    }
}

/// Characters that change how the text around them looks, and are not seen themselves.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

/// How many of the lines that [`cause_lines`] causes are in the log.
fn written(log: &str) -> usize {
    log.matches("which is no IP address").count()
}

/// How many lines were left out, as the log tells.
fn left_out(log: &str) -> usize {
    let count = |line: &str| {
        let (count, _) =
            line.strip_prefix("WARN  ")?.split_once(" left out, there are too many")?;
        Some(count.split(' ').next()?.parse::<usize>().expect("a count"))
    };
    untimed(log).into_iter().filter_map(count).sum()
}

/// So many peers, each of a network of its own, cause so many lines each; all of them are answered.
fn cause_lines(master: &Master, peers: usize, each: usize) {
    let request = [&b"connect\nnowhere\n".repeat(each), wire::ASK_VERSION].concat();
    for n in 0..peers {
        let peer = raw::connect(master.addr(), IpAddr::from([127, 200, n as u8, 1]));
        assert!(raw::asks(&peer, &request, b'\n', WAIT), "no answer");
    }
}

#[test]
fn lines_that_are_left_out_are_counted_soon_and_at_the_end() {
    // One does too much, or many together do.
    for (peers, each, one_does_much) in [(1, 200, 1), (30, 55, 0)] {
        let master = Master::start(&[]);
        cause_lines(&master, peers, each);
        // Nobody causes another line that could bring the count with it.
        let deadline = Instant::now() + 2 * WAIT;
        let log = loop {
            let log = master.log();
            if written(&log) + left_out(&log) == peers * each {
                break log;
            }
            assert!(Instant::now() < deadline, "no count of what was left out:\n{log}");
            std::thread::sleep(Duration::from_millis(20));
        };
        assert!(left_out(&log) > 0, "nothing was left out, so nothing was tested");
        let says = log.matches("causes too many log lines, so some of them are left out").count();
        assert_eq!(says, one_does_much, "{log}");

        cause_lines(&master, peers, each);
        let log = master.stop();
        assert_eq!(written(&log) + left_out(&log), 2 * peers * each, "{log}");
        assert!(log.ends_with("stopped"), "{log}");
    }
}

/// What hurts honest people is seen without -v, in every dialect.
#[test]
fn refusals_and_departures_are_told_in_every_dialect() {
    let master = Master::start(&["--dialects", "gmnet,events,natpunch,stun"]);
    let say = |bytes: &[u8]| {
        let mut stream = raw::connect(master.addr(), loopback());
        stream.write_all(bytes).expect("sending");
        stream
    };
    let mut long = b"reg2\n1.2.4\n".to_vec();
    long.extend((0..8).flat_map(|_| [&[b'x'; 9000][..], b"\n"].concat()));
    let _host = say(&long);
    master.wait_for_log("closed: it sent a command of more than 65535 bytes");
    let login = br#"{"type":"request","name":"login","data":{"id":"alice"},"request_id":1}"#;
    let mut large = b"reg2\n1.2.4\ngame\n".to_vec();
    large.extend((0..7).flat_map(|_| [&[b'x'; 9000][..], b"\n"].concat()));
    let _host = say(&large);
    master.wait_for_log("WARN  the lobby leaves out data");
    let join = br#"{"type":"request","name":"join_room","data":{"room":"0123456789abcdef"},"request_id":2}"#;
    let _late = say(&[
        &br#"{"type":"request","name":"login","data":{"id":"bob"},"request_id":1}"#[..],
        join,
    ]
    .concat());
    master.wait_for_log("INFO  \"bob\" (127.");
    master.wait_for_log("was not let into room 0123456789abcdef: there is no such room");
    let _broken = say(&[&login[..], b"{no json}"].concat());
    master.wait_for_log("INFO  127.");
    master.wait_for_log(" (events) closed: ");
    master.wait_for_log("INFO  \"alice\" (127.");
    let before = master.log().matches(") is gone").count();
    drop(say(login));
    let deadline = Instant::now() + WAIT;
    while master.log().matches(") is gone").count() == before {
        assert!(Instant::now() < deadline, "{}", master.log());
        std::thread::sleep(Duration::from_millis(2));
    }
    let at = loopback();
    let natpunch = |admission| {
        natpunch::Client::register_for(master.addr(), at, WAIT, &admission).expect("registering")
    };
    let mut client = natpunch(natpunch::Admission::default());
    client.join("00000000-0000-4000-8000-000000000000").expect("asking");
    let deadline = Instant::now() + WAIT;
    while !master.log().contains("refused: Lobby not found") {
        assert!(Instant::now() < deadline, "{}", master.log());
        client.step(Duration::from_millis(5)).expect("listening");
    }
    let master = Master::start(&["--dialects", "gmnet"]);
    let mut stream = raw::connect(master.addr(), loopback());
    stream.write_all(login).expect("sending");
    master.wait_for_log("is not understood: it speaks events, which --dialects leaves out");
}

/// What is told is told when it happens, and of who is not let in with `-v`.
#[test]
fn rooms_that_close_and_who_is_kept_out_are_told_at_once() {
    let master = Master::start(&["-v"]);
    let udp = UdpSocket::bind((loopback(), 0)).expect("a socket");
    udp.set_read_timeout(Some(WAIT)).expect("a timeout");
    let say = |text: &str| udp.send_to(text.as_bytes(), master.addr()).expect("sent");
    let hear = || {
        let mut bytes = [0; 512];
        let (length, _) = udp.recv_from(&mut bytes).expect("an answer");
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    };
    say("jr:0123456789abcdef");
    assert_eq!(hear(), "er:jr:noroom");
    master.wait_for_log(" was not let into room 0123456789abcdef: there is none with this ID");
    say("rh:Fort");
    let own = loop {
        if let Some(own) = hear().strip_prefix("rID:") {
            break own.to_owned();
        }
    };
    say(&format!("rc:{own}"));
    master.wait_for_log("room \"Fort\" is open");
    // Not signed, so the room is kept for a while.
    say("cr");
    let begun = Instant::now();
    master.wait_for_log("closed: its host closed it");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    say(&format!("rc:{own}"));
    master.wait_for_log("is open again: its host has shown its key");
}

#[test]
fn the_same_data_again_are_no_news() {
    let master = Master::start(&[]);
    let mut host = raw::connect(master.addr(), loopback());
    for name in ["Pong\n1/8", "Pong\n1/8", "Pong\n2/8"] {
        let text = format!("reg2\n1.2.4\n{name}\n\n\n\n\n\n\n");
        host.write_all(text.as_bytes()).expect("registering");
    }
    master.wait_for_log("(Pong) has new data");
    let log = master.stop();
    assert_eq!(log.matches("has new data").count(), 1, "{log}");
}

#[test]
fn a_host_of_the_older_protocol_is_named_as_such() {
    let master = Master::start(&[]);
    let config = HostConfig::new(master.addr()).on(loopback()).speaking(Protocol::Older);
    let host = Host::registered(config, WAIT).expect("registering");
    // Its UDP packet may be read after its registration, and is told of by a line of its own then.
    master.wait_for_log(": (older protocol)");
    master.wait_for_log(&format!("host {}", host.local()));
}

#[test]
fn the_log_tells_of_udp_packets_that_came_from_another_address() {
    let master = Master::start(&[]);
    for at in [loopback(), loopback()] {
        let game = GameSocket::open(master.addr(), Some(at), 0).expect("a socket");
        game.send_raw(master.addr(), &wire::udp_register(Protocol::Modern));
    }
    let host = loopback();
    let control = Control::open(master.addr(), Some(host)).expect("connecting");
    control.send(&registration(b"1.2.4", b"x")).expect("registering");
    look_up(&master, host);
    // Two of them came, so neither is taken for the host's.
    master.wait_for_log("the host's UDP packet never came; one came from 127.");
}

#[test]
fn the_log_says_who_got_through_and_the_owner_is_told_how_many() {
    let master = Master::start(&[]);
    let host = Host::registered(host_config(&master, "Space Race"), WAIT).expect("registering");
    let at = host.local();
    let running = host.spawn();
    let config = ClientConfig::new(master.addr(), at.ip()).on(loopback());
    let client = Client::join(config).expect("joining");
    let line =
        format!("INFO  {} got through to host {at} (Space Race) directly after 0.", client.local());
    master.wait_for_log(&line);
    drop(running);
}

#[test]
fn who_only_sends_datagrams_writes_nothing_to_the_log() {
    let folder = Folder::new();
    let file = folder.file("punchd.log");
    let master = logging_to(&file, &[], &["-q"]);
    let packets: [&[u8]; 6] = [
        b"rh:a room",
        b"jr:00000000000000000000000000000000",
        b"reg",
        b"connect",
        b"lr",
        b"\x08\x01",
    ];
    for _ in 0..40 {
        let socket = raw::udp(loopback());
        for packet in packets {
            socket.send_to(packet, master.addr()).expect("sending");
        }
    }
    look_up(&master, loopback());
    let _ = master.stop();
    let log = fs::read_to_string(&file).expect("the log");
    let own = ["listening on port", "open files", "not found", "stopping", "stopped"];
    let is_own = |line: &&str| own.iter().any(|text| line.contains(text));
    assert!(untimed(&log).iter().all(is_own), "{log}");
}
