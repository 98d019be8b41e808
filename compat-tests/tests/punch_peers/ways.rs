//! Where a client is told of a second endpoint, as by a server that relays what does not get through.

use std::io::Write;
use std::net::{SocketAddr, TcpStream, UdpSocket};

use compat_tests::gmnet::wire::{self, Protocol};
use compat_tests::master::loopback;

use crate::{Fake, Running, WAIT, read};

/// A UDP port, where a host may be.
fn place() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind((loopback(), 0)).expect("a port");
    socket.set_read_timeout(Some(WAIT)).expect("a time-out");
    let at = socket.local_addr().expect("its address");
    (socket, at)
}

fn tell(control: &mut TcpStream, host: SocketAddr) {
    // The same bytes as if the server asked for a port.
    control.write_all(&wire::port_notice(host)).expect("a notice");
}

fn ask(master: &Fake, host: SocketAddr, more: &[&str]) -> (Running, TcpStream) {
    let join = master.punch(&[&["join", &host.ip().to_string()], more].concat());
    let mut control = master.accept();
    read(&mut control, &wire::connect(Protocol::Modern, host.ip()));
    (join, control)
}

/// The next knock here, and where from.
fn knock(host: &UdpSocket) -> SocketAddr {
    let mut buffer = [0; 64];
    loop {
        let (len, from) = host.recv_from(&mut buffer).expect("a knock");
        if buffer[..len] == wire::datagram(&[wire::KNOCK]) {
            return from;
        }
    }
}

/// Throws away what has come, so that only what comes now counts.
fn forget(host: &UdpSocket) {
    host.set_nonblocking(true).expect("not to block");
    while host.recv(&mut [0; 64]).is_ok() {}
    host.set_nonblocking(false).expect("to block");
}

/// Welcomes who knocks, and answers, until `join` has ended. What it said.
fn serve(host: UdpSocket, mut join: Running) -> String {
    std::thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((len, from)) = host.recv_from(&mut buffer) {
            let answer = match wire::payload(&buffer[..len]) {
                Some([wire::KNOCK]) => vec![wire::WELCOME],
                Some([wire::DATA_REQUEST]) => wire::data_reply(&Default::default()),
                other => other.unwrap_or_default().to_vec(),
            };
            let _ = host.send_to(&wire::datagram(&answer), from);
        }
    });
    join.output()
}

#[test]
fn a_client_that_is_told_a_second_endpoint_goes_on_with_both() {
    let master = Fake::new();
    let ((first, at_first), (second, at_second)) = (place(), place());
    let (join, mut control) = ask(&master, at_first, &[]);
    tell(&mut control, at_first);
    let from = knock(&first);
    tell(&mut control, at_second);
    assert_eq!(knock(&second), from);
    forget(&first);
    assert_eq!(knock(&first), from);
    let said = serve(first, join);
    assert!(said.contains(&format!("the host is also at {at_second}; knocking there\n")), "{said}");
    assert!(said.contains("through directly\nconnect_ms="), "{said}");
}

#[test]
fn a_client_says_that_it_got_through_at_the_second_address() {
    let master = Fake::new();
    let ((_first, at_first), (second, at_second)) = (place(), place());
    let (join, mut control) = ask(&master, at_first, &[]);
    tell(&mut control, at_first);
    tell(&mut control, at_second);
    let said = serve(second, join);
    let through = format!("through at the second address, {at_second}\nconnect_ms=");
    assert!(said.contains(&through), "{said}");
}

#[test]
fn a_client_says_that_it_got_through_at_another_address_than_the_hosts() {
    let master = Fake::new();
    let (relay, at_relay) = place();
    let (join, mut control) = ask(&master, place().1, &[]);
    tell(&mut control, at_relay);
    let said = serve(relay, join);
    let through = format!("through at {at_relay}, told in place of the host's address\n");
    assert!(said.contains(&through), "{said}");
}

#[test]
fn a_client_that_gets_through_nowhere_says_what_to_do() {
    let master = Fake::new();
    let ((first, at_first), (second, at_second)) = (place(), place());
    let (mut join, mut control) = ask(&master, at_first, &["--timeout", "1"]);
    tell(&mut control, at_first);
    knock(&first);
    tell(&mut control, at_second);
    knock(&second);
    let said = join.output();
    assert!(
        said.contains(&format!("from the host {at_first}, nor at {at_second}, within")),
        "{said}"
    );
    assert!(said.contains("UDP is most likely blocked"), "{said}");

    let (mut join, mut control) = ask(&master, at_first, &["--timeout", "0.5"]);
    tell(&mut control, at_first);
    let said = join.output();
    assert!(said.contains(&format!("from the host {at_first} within")), "{said}");
    assert!(said.contains("should forward its UDP port"), "{said}");
}
