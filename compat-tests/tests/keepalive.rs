//! The datagrams that keep the NAT mappings of hosts: who gets them and who does not.
#![expect(clippy::expect_used, reason = "a helper that fails is a test that fails")]

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use compat_tests::gmnet::Control;
use compat_tests::gmnet::wire::{self, Protocol};
use compat_tests::master::{Master, loopback};
use compat_tests::raw;

const WAIT: Duration = Duration::from_secs(10);
const SECOND: Duration = Duration::from_secs(1);

/// A GameMaker header, and the byte `fe`, which host scripts ignore.
const KEEPALIVE: &[u8] = b"\xde\xc0\xad\xde\x0c\0\0\0\x01\0\0\0\xfe";

/// A host: the game's socket, and the control connection once it has one.
fn host(master: &Master, registers: bool) -> (UdpSocket, Option<Control>) {
    let ip = loopback();
    let socket = raw::udp(ip);
    socket.send_to(&wire::udp_register(Protocol::Modern), master.addr()).expect("sending");
    let control = registers.then(|| {
        let control = Control::open(master.addr(), Some(ip)).expect("connecting");
        let request = wire::register(Protocol::Modern, wire::CLIENT_VERSION, &Default::default());
        control.send(&request).expect("registering");
        control.send(wire::ASK_VERSION).expect("asking");
        control.answer(WAIT).expect("carried out");
        control
    });
    (socket, control)
}

/// The datagrams that come within a time.
fn received(socket: &UdpSocket, within: Duration) -> Vec<Vec<u8>> {
    let deadline = Instant::now() + within;
    let mut all = Vec::new();
    let mut buffer = [0; 2048];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return all;
        }
        socket.set_read_timeout(Some(left)).expect("a timeout");
        if let Ok(length) = socket.recv(&mut buffer) {
            all.push(buffer[..length].to_vec());
        }
    }
}

#[test]
fn hosts_are_sent_a_datagram_from_time_to_time_and_nobody_else_is() {
    let master = Master::start(&["--keepalive", "1"]);
    let (socket, control) = host(&master, true);
    let (stranger, _) = host(&master, false);
    let client = raw::udp(loopback());
    client.send_to(&wire::udp_connect(Protocol::Modern), master.addr()).expect("sending");
    let got = received(&socket, SECOND * 7 / 2);
    assert!((2..=4).contains(&got.len()), "{got:?}");
    assert!(got.iter().all(|datagram| datagram == KEEPALIVE), "{got:?}");

    drop(control);
    master.wait_for_log("is gone");
    // One may have been under way.
    received(&socket, SECOND / 5);
    assert!(received(&socket, SECOND * 5 / 2).is_empty(), "it is no host any more");
    assert!(received(&stranger, SECOND / 10).is_empty(), "it never was one");
    assert!(received(&client, SECOND / 10).is_empty());
}

#[test]
fn they_can_be_switched_off() {
    let master = Master::start(&["--keepalive", "0"]);
    let (socket, _control) = host(&master, true);
    assert!(received(&socket, SECOND * 5 / 2).is_empty());
}
