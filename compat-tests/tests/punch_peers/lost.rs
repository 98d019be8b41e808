//! Where the network loses packets to the master server.

use std::io::Write;
use std::net::{IpAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use compat_tests::gmnet::wire::{self, Protocol};
use compat_tests::master::loopback;

use crate::{Fake, WAIT, read};

/// Registers a `punch host` whose first packet is lost; the connection, after that.
fn lose_first_reg(master: &Fake) -> TcpStream {
    let mut control = master.accept();
    master.next(&wire::udp_register(Protocol::Modern));
    read(&mut control, &registration());
    read(&mut control, wire::ASK_VERSION);
    control.write_all(b"\xf61.2.5\n").expect("an answer");
    control
}

fn registration() -> Vec<u8> {
    wire::register(Protocol::Modern, wire::CLIENT_VERSION, &Default::default())
}

#[test]
fn a_host_shows_its_port_again_and_registers_behind_it() {
    let master = Fake::new();
    let _host = master.punch(&["host"]);
    let mut control = lose_first_reg(&master);
    let reg = wire::udp_register(Protocol::Modern);
    master.next(&reg);
    master.next(&reg);
    // Old servers do not list it any more.
    read(&mut control, &registration());
}

#[test]
fn a_host_that_is_asked_for_its_port_says_no_more_than_that() {
    let master = Fake::new();
    let mut host = master.punch(&["host", "--for", "3"]);
    let mut control = lose_first_reg(&master);
    control.write_all(&wire::port_notice(master.addr)).expect("a notice");
    let said = host.output();
    assert!(said.contains("asks for the UDP port"), "{said}");
    assert_eq!(master.count(&wire::udp_register(Protocol::Modern)), 0, "{said}");
}

#[test]
fn a_host_that_is_kept_alive_says_no_more() {
    let master = Fake::new();
    let mut host = master.punch(&["host", "--for", "3"]);
    let mut control = master.accept();
    let from = master.next(&wire::udp_register(Protocol::Modern));
    read(&mut control, &registration());
    master.udp.send_to(&wire::datagram(&[wire::NOT_FOUND]), from).expect("a keepalive");
    control.write_all(b"\xf61.2.5\n").expect("an answer");
    let said = host.output();
    assert_eq!(master.count(&wire::udp_register(Protocol::Modern)), 0, "{said}");
}

#[test]
fn a_client_shows_its_port_again_until_it_is_answered() {
    let master = Fake::new();
    let nobody = IpAddr::from([192, 0, 2, 1]);
    let mut join = master.punch(&["join", &nobody.to_string()]);
    let mut control = master.accept();
    read(&mut control, &wire::connect(Protocol::Modern, nobody));
    let connect = wire::udp_connect(Protocol::Modern);
    let first = master.next(&connect);
    assert_eq!(master.next(&connect), first);
    assert_eq!(master.next(&connect), first);
    // From now on it knocks, and is quiet here.
    control.write_all(b"\xff192.0.2.1\x009\x00").expect("an introduction");
    let deadline = Instant::now() + WAIT;
    let mut before = master.count(&connect);
    while Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(700));
        match master.count(&connect) {
            0 => break,
            more => before += more,
        }
    }
    assert!(before <= 1, "{before} more");
    control.write_all(b"\xfe").expect("not found");
    assert!(join.output().contains("knows no host at 192.0.2.1"));
}

/// The two may have come apart, and be read at once.
#[test]
fn a_host_that_asks_whether_its_server_is_there_is_told_of_a_client_behind_the_answer() {
    let (master, next) = (Fake::new(), Fake::new());
    let client = UdpSocket::bind((loopback(), 0)).expect("a port");
    client.set_read_timeout(Some(WAIT)).expect("a time-out");
    let at = client.local_addr().expect("its address");
    let _host = master.punch(&["host", "--master", &next.addr.to_string()]);
    // The servers are in the order of the options.
    let mut control = next.accept();
    let from = next.next(&wire::udp_register(Protocol::Modern));
    next.udp.send_to(&wire::datagram(&[wire::NOT_FOUND]), from).expect("a keepalive");
    read(&mut control, &registration());
    read(&mut control, wire::ASK_VERSION);
    control.write_all(b"\xf61.2.5\n").expect("an answer");
    read(&mut control, wire::ASK_VERSION);
    let told = format!("{}\0{}\0", at.ip(), at.port());
    let both = [b"\xf61.2.5\n\xff", told.as_bytes()].concat();
    control.write_all(&both).expect("both at once");
    let mut buffer = [0; 64];
    let (len, _) = client.recv_from(&mut buffer).expect("a knock");
    assert_eq!(buffer[..len], wire::datagram(&[wire::KNOCK]));
}
