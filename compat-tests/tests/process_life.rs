//! The running process: it sleeps while there is nothing to do, and it ends as it promised.
#![expect(clippy::expect_used, reason = "a helper that fails fails its test")]

use std::fs;
use std::io::ErrorKind;
use std::net::{IpAddr, TcpStream};
use std::time::{Duration, Instant};

use compat_tests::gmnet::wire::{self, Data, MASTER, NOT_FOUND, Protocol};
use compat_tests::gmnet::{Client, ClientConfig, Control, GameSocket, Host, HostConfig, Query};
use compat_tests::master::{Master, loopback};
use nix::sys::signal::Signal;
use socket2::{Domain, Socket, Type};

const WAIT: Duration = Duration::from_secs(10);

/// The promise is one second; the rest is for a busy machine.
const A_SECOND: Duration = Duration::from_millis(1800);

fn host(master: &Master) -> Host {
    let config = HostConfig::new(master.addr()).on(loopback()).with_data(&["Life"]);
    Host::registered(config, WAIT).expect("registering")
}

/// A client that the server has accepted.
fn open(master: &Master) -> Control {
    let control = Control::open(master.addr(), Some(loopback())).expect("connecting");
    confirm(&control);
    control
}

/// Returns when the server has carried out what came before.
fn confirm(control: &Control) {
    control.send(wire::ASK_VERSION).expect("asking");
    assert_eq!(control.answer(WAIT).expect("an answer").bytes, b"\xf61.2.5\n");
}

/// A client gets the host's endpoint, so the host is told of it, or will be.
fn introduce(master: &Master, host: &Host) {
    let config = ClientConfig::new(master.addr(), host.local().ip()).on(loopback());
    assert_eq!(Client::look_up(config).expect("an answer"), Some(host.local()));
}

/// Asks for a host and gets no answer yet.
fn ask_and_wait(master: &Master, host: IpAddr) -> Control {
    let control = open(master);
    control.send(&wire::connect(Protocol::Modern, host)).expect("asking");
    control
}

fn ends_well(signal: Signal) {
    let master = Master::start(&[]);
    let host = host(&master);
    let without_udp = ask_and_wait(&master, host.local().ip());
    // A host that is about to register, as it seems: its UDP packet has come.
    let half = GameSocket::open(master.addr(), Some(loopback()), 0).expect("a socket");
    half.send_raw(master.addr(), &wire::udp_register(Protocol::Modern));
    let too_early = ask_and_wait(&master, half.local().ip());
    let idle = open(&master);
    confirm(&idle);
    assert!(without_udp.pending().is_none(), "it waits for the client's packet");
    assert!(too_early.pending().is_none(), "it waits for the host");

    let signalled = Instant::now();
    master.signal(signal);
    let told = without_udp.answer(WAIT).expect("an answer before the end").bytes;
    let (first, rest) = told.split_first().expect("an answer has bytes");
    let endpoint = format!("{}\0{}\0", host.local().ip(), host.local().port());
    assert_eq!((*first, rest), (MASTER, endpoint.as_bytes()));
    assert_eq!(too_early.answer(WAIT).expect("an answer before the end").bytes, [NOT_FOUND]);
    for control in [&without_udp, &too_early, &idle] {
        assert!(control.next(WAIT).expect("the end").bytes.is_empty(), "nothing but the end");
    }
    let (status, log) = master.ended(WAIT);
    assert!(signalled.elapsed() < A_SECOND, "{:?}\n{log}", signalled.elapsed());
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.ends_with("stopped") && !log.contains("ERROR"), "{log}");
}

#[test]
fn sigterm_ends_it_with_everything_answered() {
    ends_well(Signal::SIGTERM);
}

#[test]
fn sigint_ends_it_with_everything_answered() {
    ends_well(Signal::SIGINT);
}

#[test]
fn notifications_that_are_owed_are_delivered_before_the_end() {
    // With so long a gap, not even the second one would have its turn in time.
    let master = Master::start(&["--notify-gap", "10000"]);
    let mut host = host(&master);
    (0..5).for_each(|_| introduce(&master, &host));
    let signalled = Instant::now();
    master.signal(Signal::SIGTERM);
    assert!(host.run_until(WAIT, |host| host.told().len() == 5).expect("hosting"));
    let owed = &host.told()[1..];
    assert!(owed.iter().all(|told| told.at > signalled), "all but the first were owed");
    assert!(owed.iter().all(|told| !told.lost), "one after another, so that the game reads them");
    let (status, log) = master.ended(WAIT);
    assert!(signalled.elapsed() < A_SECOND, "{:?}\n{log}", signalled.elapsed());
    assert_eq!(status.code(), Some(0), "{log}");
}

/// A server that takes all its time to end, as a peer does not read what it has asked for.
fn with_a_slow_end() -> (Master, Socket) {
    let master = Master::start(&["--max-commands", "0"]);
    let text = "x".repeat(8000);
    let data: Data = std::array::from_fn(|n| if n < 7 { text.clone() } else { String::new() });
    let register = wire::register(Protocol::Modern, wire::CLIENT_VERSION, &data);
    let hosts: Vec<Control> = (0..12).map(|_| open(&master)).collect();
    for host in &hosts {
        host.send(&register).expect("registering");
        confirm(host);
    }
    // Seven megabytes: more than the system takes from the server, less than the server keeps.
    let peer = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    peer.set_recv_buffer_size(4096).expect("a small buffer");
    peer.connect(&master.addr().into()).expect("connecting");
    let requests = Query::default().request().repeat(80);
    assert_eq!(peer.send(&requests).expect("asking"), requests.len());
    // A connection has its turn, and others have theirs.
    (0..20).for_each(|_| confirm(&open(&master)));
    (master, peer)
}

#[test]
fn what_cannot_be_delivered_in_a_second_does_not_keep_it() {
    let (master, _peer) = with_a_slow_end();
    let signalled = Instant::now();
    master.signal(Signal::SIGTERM);
    let (status, log) = master.ended(WAIT);
    let took = signalled.elapsed();
    assert!(took < A_SECOND, "{took:?}\n{log}");
    assert!(took > Duration::from_millis(500), "it tried: {took:?}\n{log}");
    assert_eq!(status.code(), Some(0), "{log}");
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let (master, _peer) = with_a_slow_end();
    // Two of a kind could become one on their way.
    master.signal(Signal::SIGTERM);
    master.signal(Signal::SIGINT);
    let (status, log) = master.ended(WAIT);
    assert_eq!(status.code(), Some(130), "not the orderly end:\n{log}");
    assert!(!log.contains("stopped"), "{log}");
    // It is written all the same, if not last: the loop goes on until the process is gone.
    assert!(log.contains("WARN  ended at once by the second signal"), "{log}");
}

#[test]
fn new_connections_are_refused_while_it_ends() {
    let (master, _peer) = with_a_slow_end();
    assert!(TcpStream::connect(master.addr()).is_ok());
    master.signal(Signal::SIGTERM);
    let error = loop {
        match TcpStream::connect(master.addr()) {
            // Reset: it was in the queue of the listener when that was closed.
            Err(error) if error.kind() != ErrorKind::ConnectionReset => break error,
            _ => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    // It was still about to end: it can be told to hurry.
    master.signal(Signal::SIGINT);
    let (status, log) = master.ended(WAIT);
    assert_eq!(status.code(), Some(130), "refused only when it had ended:\n{log}");
}

#[test]
fn sighup_without_a_log_file_does_no_harm() {
    let master = Master::start(&[]);
    let host = host(&master);
    master.signal(Signal::SIGHUP);
    confirm(&open(&master));
    introduce(&master, &host);
}

/// How often the threads of the server have gone to sleep and been woken so far.
fn wakeups(master: &Master) -> u64 {
    let tasks = format!("/proc/{}/task", master.pid().expect("own server"));
    let wakeups_of = |task: fs::DirEntry| {
        let status = fs::read_to_string(task.path().join("status")).expect("status");
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        let count = line.and_then(|line| line.trim().parse::<u64>().ok());
        count.expect("a count")
    };
    fs::read_dir(tasks).expect("its threads").map(|task| wakeups_of(task.expect("a thread"))).sum()
}

#[test]
fn it_sleeps_while_nothing_happens() {
    let master = Master::start(&[]);
    let host = host(&master);
    introduce(&master, &host);
    confirm(&open(&master));
    // The connection of `open` is closed, which is the last thing that happens. What follows
    // shortly after a connection or a host has come or gone may take its time.
    let busy = wakeups(&master);
    let mut before = busy;
    let deadline = Instant::now() + WAIT;
    loop {
        std::thread::sleep(Duration::from_secs(1));
        let now = wakeups(&master);
        if now == before {
            break;
        }
        assert!(Instant::now() < deadline, "{} wake-ups in {WAIT:?}", now - busy);
        before = now;
    }
    assert!(busy > 0, "it was counted at all");
}
