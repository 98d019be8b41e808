//! What is said of firewalls, NATs and networks between.

use std::collections::HashMap;
use std::io::copy;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use compat_tests::master::{Master, loopback};

use super::{OTHERS, QUICK, host_of, probe, start};

/// What a firewall lets through to a server, at the same port of another address.
struct Firewall {
    addr: SocketAddr,
}

impl Firewall {
    fn before(server: SocketAddr, tcp: bool, udp: bool) -> Self {
        Self::sending_from("127.0.0.1", server, tcp, udp)
    }

    /// The same where datagrams leave by this address, and connections by 127.0.0.1.
    fn sending_from(from: &'static str, server: SocketAddr, tcp: bool, udp: bool) -> Self {
        let addr = SocketAddr::new(loopback(), server.port());
        if tcp {
            let listener = TcpListener::bind(addr).expect("the same port");
            std::thread::spawn(move || listener.incoming().flatten().for_each(|c| pipe(c, server)));
        }
        if udp {
            let socket = UdpSocket::bind(addr).expect("the same port");
            std::thread::spawn(move || forward(&Arc::new(socket), from, server));
        }
        Self { addr }
    }
}

fn pipe(client: TcpStream, server: SocketAddr) {
    let Ok(server) = TcpStream::connect(server) else { return };
    let copies = (client.try_clone().expect("a copy"), server.try_clone().expect("a copy"));
    for (mut from, mut to) in [(client, server), (copies.1, copies.0)] {
        std::thread::spawn(move || {
            let _ = copy(&mut from, &mut to);
            let _ = to.shutdown(std::net::Shutdown::Write);
        });
    }
}

fn forward(inside: &Arc<UdpSocket>, from: &str, server: SocketAddr) {
    let mut outside: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
    let mut buffer = [0; 2048];
    while let Ok((len, client)) = inside.recv_from(&mut buffer) {
        let socket = outside.entry(client).or_insert_with(|| {
            let socket = Arc::new(UdpSocket::bind((from, 0)).expect("a port"));
            let (from, to) = (Arc::clone(&socket), Arc::clone(inside));
            std::thread::spawn(move || {
                let mut buffer = [0; 2048];
                while let Ok((len, _)) = from.recv_from(&mut buffer) {
                    let _ = to.send_to(&buffer[..len], client);
                }
            });
            socket
        });
        let _ = socket.send_to(&buffer[..len], server);
    }
}

/// A server at one loopback address alone, which leaves the port free at others.
fn at_one_address(more: &[&str]) -> (Master, SocketAddr) {
    let ip: IpAddr = loopback();
    let master = start(&[&["--bind", &ip.to_string()], more].concat());
    let addr = SocketAddr::new(ip, master.addr().port());
    (master, addr)
}

#[test]
fn a_closed_alternate_port_is_named_and_nothing_else() {
    let (_master, addr) = at_one_address(&[]);
    let next = addr.port() + 1;
    let said = probe(Firewall::before(addr, true, true).addr, &QUICK);
    said.exits_with(1);
    said.words("works", &[&OTHERS[..], &["reg2", "UDP and connect", "STUN"]].concat());
    let (word, detail) = said.of("STUN, alternate port");
    assert_eq!((word, detail), ("FAILS", &*format!("{next}/udp: sends, but does not receive")));
    said.has("Players connect as before, but nobody can tell what NAT they are behind");
    said.has(&format!("Open {next}/udp in the machine's firewall and in the provider's."));
    said.has("1 thing does not work");
}

#[test]
fn another_alternate_port_is_found() {
    let master = start(&["--alt-port", "0"]);
    let said = probe(master.addr(), &QUICK);
    said.exits_with(0);
    let port = master.alternate_port().expect("it is in the log");
    if port != master.addr().port() + 1 {
        let detail = said.of("STUN, alternate port").1;
        assert!(detail.starts_with(&format!("answers at {port}/udp (--alt-port)")), "{detail}");
    }
}

#[test]
fn blocked_udp_is_one_fault() {
    let (_master, addr) = at_one_address(&[]);
    let said = probe(Firewall::before(addr, true, false).addr, &QUICK);
    said.exits_with(1);
    said.words("FAILS", &["UDP and connect"]);
    said.words("works", &["TCP", "lobby2", "reg2", "events"]);
    said.words("not tried", &["rooms", "natpunch", "STUN", "STUN, alternate port"]);
    said.has("no answer: UDP does not arrive, see UDP and connect");
    said.has("UDP packets do not arrive: ");
    said.has("Open the same port for UDP");
    said.has("the network here lets no UDP out: try from another one");
    // What is between has an address of its own, at which the server sees all.
    said.has("something in front of the server replaces the addresses of all players");

    // Where GMnet does not let it try, nothing else tells the two causes apart; with a game it is found.
    let (_master, addr) = at_one_address(&["--games", "Chess"]);
    let behind = Firewall::before(addr, true, false).addr;
    let said = probe(behind, &QUICK);
    said.exits_with(0);
    said.words("not known", &["UDP"]);
    said.has("not answered: either --dialects leaves it out or UDP is blocked");
    said.has("run it again with --game or --key");
    let said = probe(behind, &[&QUICK[..], &["--game", "Chess"]].concat());
    said.exits_with(1);
    said.words("FAILS", &["UDP and connect"]);
}

#[test]
fn blocked_udp_is_not_taken_for_another_host() {
    let (_master, addr) = at_one_address(&[]);
    let behind = Firewall::before(addr, true, false).addr;
    let _host = host_of("Somebody's game", behind, loopback());
    let said = probe(behind, &QUICK);
    said.exits_with(1);
    said.words("FAILS", &["UDP and connect"]);
    said.words("not tried", &["rooms", "natpunch", "STUN"]);
    said.has("UDP packets do not arrive: ");
    said.has("Open the same port for UDP");
}

/// It asks again until its wait is over; each time is a connection.
#[test]
fn a_list_without_the_host_is_asked_for_a_few_times_a_second() {
    let (_master, addr) = at_one_address(&[]);
    let empty = Master::start(&[]);
    let empty = empty.addr();
    let asked = Arc::new(AtomicUsize::new(0));
    let Firewall { addr: before } = Firewall::before(addr, false, true);
    let listener = TcpListener::bind(before).expect("the same port");
    let count = Arc::clone(&asked);
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let count = Arc::clone(&count);
            std::thread::spawn(move || {
                let mut begin = [0; 6];
                let asks = client.peek(&mut begin).is_ok_and(|_| begin == *b"lobby2");
                count.fetch_add(usize::from(asks), Ordering::Relaxed);
                pipe(client, if asks { empty } else { addr });
            });
        }
    });
    let said = probe(before, &["--wait", "1"]);
    said.exits_with(1);
    said.words("FAILS", &["reg2"]);
    // Three tries of a second each, five times a second, and the check of the list itself.
    let asked = asked.load(Ordering::Relaxed);
    assert!((4..40).contains(&asked), "{asked}");
}

#[test]
fn a_nat_is_no_fault_of_a_server_without_a_list() {
    for (options, word) in [
        (&["--disable-lobby"][..], "works"),
        (&["--disable-lobby", "--dialects", "gmnet,natpunch"], "works"),
        // Nothing tells the address that counts.
        (&["--disable-lobby", "--dialects", "gmnet,rooms"], "not offered"),
    ] {
        let (_master, addr) = at_one_address(options);
        let said = probe(Firewall::before(addr, true, true).addr, &QUICK);
        said.words(word, &["UDP and connect"]);
        said.words("works", &["reg2"]);
        assert!(!said.text.contains("UDP packets do not arrive"), "{}", said.text);
        assert!(!said.text.contains("Open the same port for UDP"), "{}", said.text);
    }
}

#[test]
fn a_network_with_two_ways_out_is_not_taken_for_a_firewall_of_the_server() {
    let (_master, addr) = at_one_address(&[]);
    let said = probe(Firewall::sending_from("127.77.0.1", addr, true, true).addr, &QUICK);
    said.words("FAILS", &["UDP and connect"]);
    said.words("works", &["reg2", "rooms", "natpunch", "STUN"]);
    said.has("sees this machine's TCP at 127.0.0.1, and its UDP at 127.77.0.1");
    assert!(!said.text.contains("UDP packets do not arrive"), "{}", said.text);
    assert!(!said.text.contains("Open the same port for UDP"), "{}", said.text);
}

#[test]
fn blocked_tcp_is_told_from_a_server_that_does_not_run() {
    let (_master, addr) = at_one_address(&[]);
    let said = probe(Firewall::before(addr, false, true).addr, &QUICK);
    said.exits_with(1);
    said.words("FAILS", &["TCP"]);
    said.words("works", &["rooms", "natpunch", "STUN"]);
    said.words("not tried", &["events", "events with TLS"]);
    said.has("answers over UDP, so the server is running: open");

    let nobody = SocketAddr::new(loopback(), addr.port());
    let said = probe(nobody, &["--wait", "0.1"]);
    said.exits_with(1);
    said.has("Nobody can use this server over IPv4.");
    said.has(&format!("nothing listens on {}/tcp: is it running, is the port right?", addr.port()));
    said.words("not tried", &["rooms", "natpunch", "STUN"]);
}
