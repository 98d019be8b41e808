//! The master server tells the client of the sample a second endpoint, as one with a relay does.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};

use compat_tests::gmnet::wire;
use compat_tests::master::loopback;

use crate::meeting::client;
use crate::runner::{Game, WAIT, is_here};

/// A UDP port, where a host may be.
fn place() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind((loopback(), 0)).expect("a port");
    socket.set_read_timeout(Some(WAIT)).expect("a time-out");
    let at = socket.local_addr().expect("its address");
    (socket, at)
}

/// Waits for a packet of the protocol, and says where it came from.
fn wait_for(socket: &UdpSocket, byte: u8) -> SocketAddr {
    let mut buffer = [0; 64];
    loop {
        let (len, from) = socket.recv_from(&mut buffer).expect("a packet");
        if wire::payload(&buffer[..len]) == Some(&[byte]) {
            return from;
        }
    }
}

/// Throws away what has come, so that only what comes now counts.
fn forget(socket: &UdpSocket) {
    socket.set_nonblocking(true).expect("not to block");
    while socket.recv(&mut [0; 64]).is_ok() {}
    socket.set_nonblocking(false).expect("to block");
}

/// A client that has been told of two endpoints, and knocks at both.
fn told_of_two() -> (Game, TcpStream, [UdpSocket; 2]) {
    let listener = TcpListener::bind((loopback(), 0)).expect("a port");
    let ((first, at_first), (second, at_second)) = (place(), place());
    let client = client(listener.local_addr().expect("bound"), at_first.ip(), &[]);
    let (mut control, _) = listener.accept().expect("a connection");
    control.set_read_timeout(Some(WAIT)).expect("a time-out");
    let asks = format!("connect\n{}\n", at_first.ip());
    control.read_exact(&mut vec![0; asks.len()]).expect("its question");
    // The same bytes as if the server asked for a port.
    control.write_all(&wire::port_notice(at_first)).expect("the first");
    let from = wait_for(&first, wire::KNOCK);
    control.write_all(&wire::port_notice(at_second)).expect("the second");
    assert_eq!(wait_for(&second, wire::KNOCK), from);
    forget(&first);
    assert_eq!(wait_for(&first, wire::KNOCK), from);
    (client, control, [first, second])
}

/// Welcomes the client, which leaves the master server then and not before.
fn welcome(mut client: Game, mut control: TcpStream, host: &UdpSocket, way: &str) {
    let mut rest = [0; 64];
    control.set_nonblocking(true).expect("not to block");
    assert!(control.read(&mut rest).is_err(), "it has left before the welcome");
    control.set_nonblocking(false).expect("to block");
    let from = wait_for(host, wire::KNOCK);
    host.send_to(&wire::datagram(&[wire::WELCOME]), from).expect("a welcome");
    client.wait_for("state", "connected");
    client.wait_for("way", way);
    assert_eq!(control.read(&mut rest).expect("the end"), 0);
    assert_eq!(wait_for(host, wire::DATA_REQUEST), from);
    let data = std::array::from_fn(|n| n.to_string());
    host.send_to(&wire::datagram(&wire::data_reply(&data)), from).expect("data strings");
    client.wait_for("data", "0|1|2|3|4|5|6|7");
}

#[test]
fn the_client_of_the_sample_gets_through_at_the_second_address() {
    if !is_here() {
        return;
    }
    let (client, control, [_first, second]) = told_of_two();
    welcome(client, control, &second, "second address");
}

#[test]
fn the_client_of_the_sample_still_gets_through_directly() {
    if !is_here() {
        return;
    }
    let (client, control, [first, _second]) = told_of_two();
    welcome(client, control, &first, "direct");
}
