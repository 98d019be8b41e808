//! A host that is asked for its port, by the real server: it is told of an endpoint at which the
//! server hears its knocks and does not answer them.
#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use compat_tests::gmnet::wire::{self, Data, Protocol};
use compat_tests::gmnet::{Client, ClientConfig, Host, HostConfig};
use compat_tests::master::Master;
use compat_tests::raw;

const PATIENCE: Duration = Duration::from_secs(20);

fn host_addr() -> IpAddr {
    IpAddr::from([127, 0, 61, 2])
}

fn register(stream: &mut TcpStream, name: &str) {
    let mut data = Data::default();
    name.clone_into(&mut data[0]);
    let register = wire::register(Protocol::Modern, wire::CLIENT_VERSION, &data);
    stream.write_all(&register).unwrap();
}

/// The next that a host is told, which is to knock at the server.
fn is_asked(stream: &mut TcpStream, master: SocketAddr) {
    let expected = wire::port_notice(master);
    let mut told = vec![0; expected.len()];
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.read_exact(&mut told).unwrap();
    assert_eq!(told.escape_ascii().to_string(), expected.escape_ascii().to_string());
}

/// Where a client is told that the host is.
fn found(master: SocketAddr) -> Option<SocketAddr> {
    let client = ClientConfig::new(master, host_addr()).on(IpAddr::from([127, 0, 61, 3]));
    Client::look_up(client).unwrap()
}

/// A socket knocks in every step of a game until the server has made up its mind, and hears
/// nothing.
fn knock(socket: &std::net::UdpSocket, master: &Master, until: &str) {
    let mut answer = [0; 64];
    socket.set_read_timeout(Some(Duration::from_millis(16))).unwrap();
    let deadline = std::time::Instant::now() + PATIENCE;
    while !master.log().contains(until) {
        assert!(std::time::Instant::now() < deadline, "never said: {until}");
        socket.send_to(&wire::datagram(&[wire::KNOCK]), master.addr()).unwrap();
        // Clients knock here as well.
        if let Ok((length, from)) = socket.recv_from(&mut answer) {
            assert_ne!(from, master.addr(), "answers a knock: {:x?}", &answer[..length]);
        }
    }
}

#[test]
fn a_host_whose_packet_was_lost_is_joined() {
    let master = Master::start(&["--keepalive", "0"]);
    // By which address it is reached the server knows once somebody has sent it a datagram.
    let other = HostConfig::new(master.addr()).on(IpAddr::from([127, 0, 61, 9]));
    let _other = Host::registered(other, PATIENCE).unwrap();
    let mut stream = raw::connect(master.addr(), host_addr());
    register(&mut stream, "lost");
    is_asked(&mut stream, master.addr());
    let game = raw::udp(host_addr());
    knock(&game, &master, "has its UDP port now");
    assert_eq!(found(master.addr()), game.local_addr().ok());
}

#[test]
fn a_forged_port_is_found_out() {
    let master = Master::start(&["--keepalive", "0"]);
    let (game, forger) = (raw::udp(host_addr()), raw::udp(host_addr()));
    let reg = wire::udp_register(Protocol::Modern);
    game.send_to(&reg, master.addr()).unwrap();
    let mut stream = raw::connect(master.addr(), host_addr());
    register(&mut stream, "before");
    assert_eq!(found(master.addr()), game.local_addr().ok());
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut introduction = [0; 64];
    assert!(stream.read(&mut introduction).unwrap() > 0, "it is told of the client");
    forger.send_to(&reg, master.addr()).unwrap();
    register(&mut stream, "after");
    is_asked(&mut stream, master.addr());
    knock(&game, &master, "has another UDP port now");
    assert_eq!(found(master.addr()), game.local_addr().ok());
}
