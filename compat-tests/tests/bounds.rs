//! What each peer may take up, over real sockets: how many connections and hosts, how long a
//! command, how much unread. Whoever is within the bounds never notices that others are not.
#![expect(clippy::expect_used, reason = "a helper that fails is a test that fails")]

use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, TcpStream};
use std::time::{Duration, Instant};

use compat_tests::gmnet::wire::{self, Protocol};
use compat_tests::gmnet::{Data, Host, HostConfig, Lobby, Query};
use compat_tests::master::{Master, loopback};
use compat_tests::raw;
use punchd::limits::{self, Limits};

const WAIT: Duration = Duration::from_secs(10);

fn host(master: &Master, at: IpAddr) -> Host {
    let config = HostConfig::new(master.addr()).on(at).with_data(&["bounds"]);
    Host::registered(config, WAIT).expect("registering")
}

fn is_served(stream: &TcpStream) -> bool {
    raw::asks(stream, wire::ASK_VERSION, b'\n', WAIT)
}

fn is_closed(stream: &TcpStream) -> bool {
    raw::read_to_end(stream, WAIT).1
}

/// A registration with eight data strings of this length.
fn long_registration(length: usize) -> Vec<u8> {
    let data: Data = std::array::from_fn(|_| "x".repeat(length));
    wire::register(Protocol::Modern, wire::CLIENT_VERSION, &data)
}

#[test]
fn the_longest_idle_connection_makes_room_for_a_new_one_and_a_host_never_does() {
    let master = Master::start(&["--max-connections", "6"]);
    let mut hosts: Vec<Host> = (0..3).map(|_| host(&master, loopback())).collect();
    let idle: Vec<TcpStream> = (0..3)
        .map(|_| {
            let stream = raw::connect(master.addr(), loopback());
            assert!(is_served(&stream));
            stream
        })
        .collect();
    // They may be about to speak: nobody is closed for the next one yet.
    assert!(is_closed(&raw::connect(master.addr(), loopback())), "one too many");
    let deadline = Instant::now() + WAIT;
    let new = loop {
        let stream = raw::connect(master.addr(), loopback());
        if is_served(&stream) {
            break stream;
        }
        assert!(Instant::now() < deadline, "no room is made");
        std::thread::sleep(limits::IDLE_WHEN_FULL / 10);
    };
    assert!(is_closed(&idle[0]), "the oldest had to go");
    assert!(is_served(&idle[1]) && is_served(&idle[2]), "and nobody else");
    assert!(is_served(&new));
    // All the others keep coming, and nobody who stands for something is lost.
    for _ in 0..200 {
        let _ = raw::connect(master.addr(), loopback()).write_all(b"version\n");
    }
    hosts.iter_mut().for_each(|host| host.confirm(WAIT).expect("still registered"));
    let log = master.stop();
    assert_eq!(log.matches("no room for more connections").count(), 1, "{log}");
}

#[test]
fn who_has_sent_its_last_byte_makes_room_although_it_is_owed_answers() {
    let master = Master::start(&["--max-connections", "20", "--max-commands", "10"]);
    let player = raw::connect(master.addr(), loopback());
    assert!(is_served(&player));
    let request = Query::default().request().repeat(500);
    let finished: Vec<_> = (0..19).map(|_| raw::connect(master.addr(), loopback())).collect();
    for mut stream in &finished {
        stream.write_all(&request).expect("sending");
        stream.shutdown(Shutdown::Write).expect("the end");
    }
    std::thread::sleep(limits::IDLE_WHEN_FULL * 2);
    for _ in 0..5 {
        assert!(is_served(&raw::connect(master.addr(), loopback())), "no room was made");
    }
    assert!(is_served(&player), "others had to go before it");
}

#[test]
fn with_nothing_but_hosts_a_new_connection_is_refused_at_once() {
    let master = Master::start(&["--max-connections", "2"]);
    let mut hosts: Vec<Host> = (0..2).map(|_| host(&master, loopback())).collect();
    for _ in 0..3 {
        let begun = Instant::now();
        assert!(is_closed(&raw::connect(master.addr(), loopback())));
        assert!(begun.elapsed() < WAIT / 2, "a game must not wait in vain");
    }
    hosts.iter_mut().for_each(|host| host.confirm(WAIT).expect("still registered"));
}

#[test]
fn one_address_has_so_many_connections_and_others_have_theirs() {
    let master = Master::start(&["--max-per-address", "4"]);
    let crowded = loopback();
    let four: Vec<TcpStream> = (0..4).map(|_| raw::connect(master.addr(), crowded)).collect();
    assert!(four.iter().all(is_served));
    assert!(is_closed(&raw::connect(master.addr(), crowded)));
    let line = "refused: its address has 4 connections already; allow more with --max-per-address";
    master.wait_for_log(&format!("WARN  {crowded} {line}"));
    assert!(four.iter().all(is_served), "the fifth cost the four nothing");
    assert!(is_served(&raw::connect(master.addr(), loopback())));
    drop(four);
    // They are gone as soon as the server has seen it, and then there is room again.
    let deadline = Instant::now() + WAIT;
    while !is_served(&raw::connect(master.addr(), crowded)) {
        assert!(Instant::now() < deadline, "ended connections are still counted");
    }
}

#[test]
fn one_address_has_so_many_hosts_and_others_have_theirs() {
    let master = Master::start(&["--max-hosts", "3"]);
    let crowded = loopback();
    let mut three: Vec<Host> = (0..3).map(|_| host(&master, crowded)).collect();
    let config = HostConfig::new(master.addr()).on(crowded);
    assert!(Host::registered(config, WAIT).is_err(), "one too many");
    let mut other = host(&master, loopback());
    three.iter_mut().for_each(|host| host.confirm(WAIT).expect("still registered"));
    other.confirm(WAIT).expect("registered");
    master.wait_for_log("--max-hosts");
}

#[test]
fn a_command_may_be_long_but_not_endless() {
    let master = Master::start(&[]);
    let fits = raw::connect(master.addr(), loopback());
    (&fits).write_all(&long_registration(limits::COMMAND / 8 - 8)).expect("sending");
    assert!(is_served(&fits), "64 KiB of data strings are allowed");

    let long_line = raw::connect(master.addr(), loopback());
    (&long_line).write_all(&vec![b'x'; limits::LINE + 1]).expect("sending");
    assert!(is_closed(&long_line), "a line without end");

    let long_command = raw::connect(master.addr(), loopback());
    // Not all of it may get out before the server hangs up.
    let _ = (&long_command).write_all(&long_registration(limits::COMMAND / 8 + 8));
    assert!(is_closed(&long_command), "each line fits, all of them do not");
}

/// The whole lobby in bytes, at least: more than any socket takes at once.
const LOBBY: usize = LONG_HOSTS * 2 * 4096;

/// Hosts with so long data strings that the lobby leaves out all but two of them.
const LONG_HOSTS: usize = 160;

/// Registers hosts with long data strings.
fn fill_lobby(master: &Master) -> Vec<TcpStream> {
    let hosts: Vec<TcpStream> =
        (0..LONG_HOSTS).map(|_| raw::connect(master.addr(), loopback())).collect();
    for host in &hosts {
        { host }.write_all(&long_registration(4096)).expect("registering");
        assert!(is_served(host));
    }
    hosts
}

/// Asks for the lobby this often and reads nothing.
fn ask_without_reading(master: &Master, at: IpAddr, times: usize) -> TcpStream {
    let stream = raw::connect_narrow(master.addr(), at);
    let request = Query::default().request();
    for _ in 0..times {
        // It may be closed in between.
        let _ = { &stream }.write_all(&request);
    }
    stream
}

#[test]
fn who_asks_for_more_than_it_reads_is_closed_and_others_are_served() {
    // Without a rate: what is asked for comes at once, however fast the machine.
    let master = Master::start(&["--max-commands", "0", "--verbose"]);
    let _hosts = fill_lobby(&master);
    let greedy = ask_without_reading(&master, loopback(), 40);
    master.wait_for_log("asks for more than it reads");
    let lobby = Lobby::fetch(master.addr(), Some(loopback()), &Query::default(), WAIT);
    let one = lobby.expect("the lobby").raw.len();
    assert!(one >= LOBBY, "a lobby of {one} bytes");
    let (got, ended) = raw::read_to_end(&greedy, WAIT);
    assert!(ended, "still open after {} bytes", got.len());
    assert!(got.len() < 40 * one, "it got everything");
}

#[test]
fn those_who_do_not_read_take_no_room_from_those_who_do() {
    let master = Master::start(&["--max-connections", "200"]);
    let _hosts = fill_lobby(&master);
    // Each stays below its own bound, as its socket takes some; together they want more than all
    // the room there is.
    let greedy: Vec<TcpStream> = (0..6)
        .map(|_| ask_without_reading(&master, loopback(), Limits::default().unread() / LOBBY + 1))
        .collect();
    // More than a socket takes, too.
    let reader = raw::connect(master.addr(), loopback());
    let times = 5;
    (&reader).write_all(&Query::default().request().repeat(times)).expect("asking");
    // Its road is slow, so the server cannot get rid of all that at once.
    assert!(raw::asks(&raw::connect(master.addr(), loopback()), wire::ASK_VERSION, b'\n', WAIT));
    let (mut length, deadline) = (0, Instant::now() + WAIT);
    while length < times * LOBBY {
        let mut buffer = vec![0; 1 << 20];
        let more = (&reader).read(&mut buffer).expect("reading");
        assert!(more > 0 && Instant::now() < deadline, "only {length} bytes");
        length += more;
    }
    drop(greedy);
}
