//! How datagrams leave: many with one system call, from the address that was asked, and none is
//! held up by another that cannot be sent.
#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use punchd::dialect::Via;
use punchd::net::udp::{BATCH, Datagrams};

/// Where the kernel lets nobody send, unless they ask for it.
const BROADCAST: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::BROADCAST), 9);

fn listener() -> UdpSocket {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    socket
}

/// A socket at an address, for sending, and its port.
fn sender(at: IpAddr) -> (Datagrams, u16) {
    let socket = UdpSocket::bind((at, 0)).unwrap();
    socket.set_nonblocking(true).unwrap();
    let port = socket.local_addr().unwrap().port();
    (Datagrams::new(vec![mio::net::UdpSocket::from_std(socket)]), port)
}

fn from(local: [u8; 4]) -> Via {
    Via { socket: 0, local: Some(local.into()) }
}

/// Sends what is said to two listeners in turn, and compares what they hear and from where.
fn exchange(at: IpAddr, ways: &[Via], count: usize, disturbed: bool) -> Vec<(SocketAddr, String)> {
    let listeners = [listener(), listener()];
    let addrs = listeners.each_ref().map(|socket| socket.local_addr().unwrap());
    let (mut datagrams, port) = sender(at);
    let texts: Vec<String> = (0..count).map(|n| format!("number {n}")).collect();
    let mut all = Vec::new();
    for (n, text) in texts.iter().enumerate() {
        if disturbed && n % 5 == 0 {
            all.push((ways[0], BROADCAST, &b"nobody"[..]));
        }
        all.push((ways[n % ways.len()], addrs[n % 2], text.as_bytes()));
    }
    datagrams.send_all(all.into_iter());
    let heard = (0..count).map(|n| {
        let mut buffer = [0; 64];
        let (length, from) = listeners[n % 2].recv_from(&mut buffer).unwrap();
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        assert_eq!(text, texts[n], "in this order");
        assert_eq!(from.port(), port);
        (from, text)
    });
    heard.collect()
}

const V4: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
const V6: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

#[test]
fn batches_of_every_length_arrive_whole_and_in_order() {
    for at in [V4, V6, IpAddr::V4(Ipv4Addr::LOCALHOST)] {
        for count in [1, 2, BATCH, BATCH + 1, 3 * BATCH + 7] {
            exchange(at, &[from([127, 0, 0, 1])], count, false);
        }
    }
}

#[test]
fn each_leaves_from_the_address_that_was_asked() {
    let ways = [from([127, 0, 0, 2]), from([127, 0, 0, 2]), from([127, 0, 0, 3])];
    for at in [V4, V6] {
        for (n, (from, _)) in exchange(at, &ways, 30, false).into_iter().enumerate() {
            assert_eq!(Some(from.ip()), ways[n % ways.len()].local, "number {n}");
        }
    }
}

#[test]
fn where_the_system_does_not_tell_an_address_none_is_said() {
    // A batch before it has said one.
    let said = from([127, 0, 0, 2]);
    let ways = [said, said, Via::default(), Via::default()];
    for at in [V4, V6] {
        for (n, (from, _)) in exchange(at, &ways, 30, false).into_iter().enumerate() {
            let expected = if n % 4 < 2 { [127, 0, 0, 2] } else { [127, 0, 0, 1] };
            assert_eq!(from.ip(), IpAddr::from(expected), "number {n}");
        }
    }
}

#[test]
fn one_that_cannot_be_sent_stops_no_other() {
    for at in [V4, V6] {
        exchange(at, &[from([127, 0, 0, 1])], 2 * BATCH, true);
    }
}
