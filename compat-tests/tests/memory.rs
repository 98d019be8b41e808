//! A flood of everything at once: the memory of the server stays below what its bounds add up to.
#![expect(clippy::expect_used, reason = "a helper that fails is a test that fails")]

use std::io::Write;
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

use compat_tests::gmnet::wire::{self, Protocol};
use compat_tests::gmnet::{Data, Host, HostConfig, Query};
use compat_tests::master::{Master, loopback};
use compat_tests::raw;
use punchd::limits::{self, Limits};
use punchd::net::files;

/// Patience: a debug build writes a lobby of a megabyte in a tenth of a second.
const WAIT: Duration = Duration::from_secs(60);

/// Connections that the server allows.
const CONNECTIONS: usize = 2000;

/// Hosts in the lobby, and what each says of itself in each of its strings: a lobby of 1.3 MB.
const LISTED: usize = 40;
const STRING: usize = 4096;

/// Hosts that are not in the lobby, with as long data as there may be.
const UNLISTED: usize = 800;

/// Viewers who never read, and how often each asks.
const VIEWERS: usize = 10;
const QUESTIONS: usize = 5;

/// Clients whose UDP packet never comes.
const WAITING: usize = 400;

/// Peers that stop in the middle of a long command.
const STOPPED: usize = 400;

fn registration(data1: &str, length: usize) -> Vec<u8> {
    let rest = "x".repeat(length);
    let data: Data = std::array::from_fn(|n| if n == 0 { data1.into() } else { rest.clone() });
    wire::register(Protocol::Modern, wire::CLIENT_VERSION, &data)
}

fn open(master: &Master, count: usize) -> Vec<TcpStream> {
    (0..count).map(|_| raw::connect_narrow(master.addr(), loopback())).collect()
}

/// Sends what can be sent: the server may hang up on the way, and need not read all.
fn send_some(stream: &TcpStream, bytes: &[u8]) {
    stream.set_nonblocking(true).expect("an option");
    let _ = { stream }.write(bytes);
}

/// More ports than are remembered, each of an address of its own, which costs the most.
fn flood_datagrams(master: &Master) {
    let packets = [wire::udp_register(Protocol::Modern), wire::udp_connect(Protocol::Modern)];
    let addresses = u32::try_from(limits::PORTS + limits::PORTS / 16).expect("a number");
    for n in 0..addresses {
        let socket = raw::udp(Ipv4Addr::from(0x7F80_0000 + n).into());
        // One that is lost is one less.
        let _ = socket.send_to(&packets[n as usize % 2], master.addr());
        // The server shall take them, not lose them: its socket holds a few thousand.
        if n % 512 == 0 {
            let peer = raw::connect(master.addr(), loopback());
            raw::asks(&peer, wire::ASK_VERSION, b'\n', WAIT);
        }
    }
    // Many ports of one address, too.
    for _ in 0..2000 {
        let socket = raw::udp(Ipv4Addr::new(127, 0, 0, 1).into());
        socket.send_to(&packets[0], master.addr()).expect("sending");
    }
}

#[test]
fn a_flood_of_everything_stays_below_the_bound() {
    files::make_room(2 * CONNECTIONS).expect("enough open files for this test");
    let limits = Limits { connections: CONNECTIONS, ..Limits::default() };
    let bound = limits::worst_case(&limits);
    let master = Master::start(&["--max-connections", "2000", "--max-datagrams", "0"]);
    let pid = master.pid().expect("an own server");
    let at_rest = raw::memory(pid, "VmRSS");

    let mut victim = {
        let config = HostConfig::new(master.addr()).on(loopback()).with_data(&["<INV>"]);
        Host::registered(config, WAIT).expect("registering")
    };
    let listed = open(&master, LISTED);
    listed.iter().for_each(|s| { s }.write_all(&registration("game", STRING)).expect("sending"));
    let unlisted = open(&master, UNLISTED);
    let long = registration("<INV>", limits::COMMAND / 8);
    unlisted.iter().for_each(|stream| send_some(stream, &long));
    flood_datagrams(&master);
    let ports = raw::memory(pid, "VmRSS");

    let waiting = open(&master, WAITING);
    let connect = wire::connect(Protocol::Modern, victim.local().ip());
    let ahead = [connect, vec![b'x'; limits::AHEAD - 100]].concat();
    waiting.iter().for_each(|stream| send_some(stream, &ahead));
    let stopped = open(&master, STOPPED);
    stopped.iter().for_each(|stream| send_some(stream, &long[..long.len() - 10]));
    let viewers = open(&master, VIEWERS);
    let lobby = Query::default().request();
    viewers.iter().for_each(|stream| send_some(stream, &lobby.repeat(QUESTIONS)));
    // And the rest of the room is taken by those who say nothing, and more than there is room for.
    let silent = open(&master, CONNECTIONS);

    // The most there ever was, so nothing that came and went is missed.
    let deadline = Instant::now() + WAIT;
    let mut before = raw::processor_time(pid);
    loop {
        std::thread::sleep(Duration::from_millis(200));
        let now = raw::processor_time(pid);
        if now == before || Instant::now() > deadline {
            break;
        }
        before = now;
    }
    let most = raw::memory(pid, "VmHWM");
    let megabytes = |bytes: usize| bytes as f64 / f64::from(1 << 20);
    eprintln!(
        "memory: {:.1} MiB at rest, {:.1} with all ports, {:.1} at most; the bound is {:.1}",
        megabytes(at_rest),
        megabytes(ports),
        megabytes(most),
        megabytes(bound)
    );
    assert!(most < bound, "{most} bytes, the bound is {bound}");
    // A flood that the server never saw would prove nothing.
    assert!(most > at_rest + (32 << 20), "{most} bytes, {at_rest} at rest");
    victim.confirm(WAIT).expect("still registered");
    drop((listed, unlisted, viewers, waiting, stopped, silent));
    let peer = raw::connect(master.addr(), loopback());
    assert!(raw::asks(&peer, wire::ASK_VERSION, b'\n', WAIT), "still there for everybody");
}
