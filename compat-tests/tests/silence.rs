//! Slow and silent peers: each costs a slot for a bounded time, and a host may be silent for ever.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use compat_tests::gmnet::wire::{self, Protocol};
use compat_tests::gmnet::{Data, Host, HostConfig, Query};
use compat_tests::master::{Master, loopback};
use compat_tests::raw;
use compat_tests::unplugged::Unplugged;
use punchd::dialect::ConnId;
use punchd::limits;

const WAIT: Duration = Duration::from_secs(10);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

fn peer(n: u32) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::from(0x0B00_0000 + n), 40_000))
}

fn registration() -> Vec<u8> {
    wire::register(Protocol::Modern, wire::CLIENT_VERSION, &["silent"; 8].map(String::from))
}

/// How long a connection stays open if `each_second` happens.
fn lifetime(
    server: &mut Unplugged,
    conn: ConnId,
    mut each_second: impl FnMut(&mut Unplugged, u32),
) -> Duration {
    for second in 0..600 {
        if server.is_closed(conn) {
            return SECOND * second;
        }
        each_second(server, second);
        server.pass(SECOND);
    }
    HOUR
}

/// About as long as the bound, never less.
fn is_about(time: Duration, bound: Duration) -> bool {
    (bound..=bound + 2 * SECOND).contains(&time)
}

#[test]
fn who_says_nothing_is_closed_after_a_while() {
    let mut server = Unplugged::new(&[]);
    let conn = server.open(peer(1));
    let time = lifetime(&mut server, conn, |_, _| {});
    assert!(is_about(time, limits::IDLE), "{time:?}");
    let conn = server.open_and_send(peer(1), b"version\n");
    let time = lifetime(&mut server, conn, |_, _| {});
    assert!(is_about(time, limits::IDLE), "after a question: {time:?}");
}

#[test]
fn who_sends_a_byte_a_second_is_closed_all_the_same() {
    let mut server = Unplugged::new(&[]);
    let conn = server.open(peer(1));
    let time = lifetime(&mut server, conn, |server, _| server.send(conn, b"x"));
    assert!(is_about(time, limits::IDLE), "a first line without end: {time:?}");
    let conn = server.open(peer(2));
    let time = lifetime(&mut server, conn, |server, _| server.send(conn, b"\n"));
    assert!(is_about(time, limits::IDLE), "lines that are no commands: {time:?}");
    let conn = server.open_and_send(peer(3), b"reg2\n");
    let trickle = |server: &mut Unplugged, _| {
        server.pass(limits::STALLED_COMMAND / 2);
        server.send(conn, b"x");
    };
    let mut seconds = 0;
    while !server.is_closed(conn) && seconds < 600 {
        trickle(&mut server, seconds);
        seconds += 1;
    }
    let time = limits::STALLED_COMMAND / 2 * seconds;
    assert!(is_about(time, limits::COMMAND_TIME), "a command without end: {time:?}");
}

#[test]
fn who_asks_now_and_then_stays() {
    let mut server = Unplugged::new(&[]);
    let conn = server.open(peer(1));
    let request = Query::default().request();
    let time = lifetime(&mut server, conn, |server, second| {
        if second % 50 == 0 {
            server.send(conn, &request);
        }
    });
    assert_eq!(time, HOUR);
}

#[test]
fn a_registered_host_may_be_silent_for_days() {
    let mut server = Unplugged::new(&[]);
    server.datagram(peer(1), &wire::udp_register(Protocol::Modern));
    let host = server.open_and_send(peer(1), &registration());
    server.pass(72 * HOUR);
    assert!(!server.is_closed(host));
    let viewer = server.open_and_send(peer(2), &Query::default().request());
    let lobby = server.heard(viewer).concat();
    assert!(String::from_utf8_lossy(&lobby).contains("\"data1\":\"silent\""));
    server.datagram(peer(2), &wire::udp_connect(Protocol::Modern));
    server.send(viewer, &wire::connect(Protocol::Modern, peer(1).ip()));
    assert_eq!(wire::introduction(&server.heard(viewer)[0]).expect("valid").endpoint, peer(1));
    assert_eq!(wire::introduction(&server.heard(host)[0]).expect("valid").endpoint, peer(2));
}

#[test]
fn half_a_command_is_waited_for_no_longer_than_by_the_old_server() {
    let master = Master::start(&[]);
    let whole = registration();
    for half in [&whole[..whole.len() / 2], b"reg2\n\0", b"connect\n127.0"] {
        let stream = raw::connect(master.addr(), loopback());
        let begun = Instant::now();
        (&stream).write_all(half).expect("sending");
        let (got, ended) = raw::read_to_end(&stream, WAIT);
        assert!(ended && got.is_empty(), "{got:?}");
        assert!(begun.elapsed() > limits::STALLED_COMMAND * 9 / 10, "{:?}", begun.elapsed());
    }
}

#[test]
fn who_never_reads_what_it_asked_for_is_closed_after_a_while() {
    let master = Master::start(&[]);
    let data: Data = std::array::from_fn(|_| "x".repeat(7 * 1024));
    let hosts: Vec<Host> = (0..32)
        .map(|_| {
            let config = HostConfig { data: data.clone(), ..HostConfig::new(master.addr()) };
            Host::registered(config.on(loopback()), WAIT).expect("registering")
        })
        .collect();
    // 24 lobbies of 230 kB each are less than may be unread, and more than the sockets take.
    let stream = raw::connect(master.addr(), loopback());
    let request = Query::default().request();
    (0..24).for_each(|_| { &stream }.write_all(&request).expect("asking"));
    let begun = Instant::now();
    // When the kernel has taken a few bytes more, that was a sign of life.
    let deadline = begun + 2 * limits::UNREAD_TIME + WAIT;
    // It still writes, and so learns that it is closed without reading.
    while { &stream }.write_all(b"\n").is_ok() {
        assert!(Instant::now() < deadline, "still open");
        std::thread::sleep(SECOND / 5);
    }
    assert!(begun.elapsed() > limits::UNREAD_TIME - 2 * SECOND, "after {:?}", begun.elapsed());
    drop(hosts);
}
