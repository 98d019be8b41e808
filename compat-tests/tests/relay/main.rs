//! The relay of the real server, with sockets that play games which do not get through by themselves.
#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::process::Command;
use std::time::Duration;

use compat_tests::gmnet::wire::{self, Data, Protocol};
use compat_tests::master::{Master, binary, fails_to_start, loopback};
use compat_tests::raw;
use nix::sys::signal::Signal;

mod bounds;

const PATIENCE: Duration = Duration::from_secs(20);

/// So few that a stranger has tried them all at once.
const PORTS: std::ops::RangeInclusive<u16> = 20_000..=20_031;

/// A server with a relay at this address.
fn master(relay: IpAddr) -> Master {
    let (ip, ports) = (relay.to_string(), format!("{}-{}", PORTS.start(), PORTS.end()));
    Master::start(&["--relay", &ip, "--relay-ports", &ports])
}

/// A game: the socket that it plays by, and its connection to the server.
struct Game {
    master: SocketAddr,
    socket: UdpSocket,
    control: TcpStream,
}

impl Game {
    fn new(master: &Master, ip: IpAddr, word: &[u8], command: &[u8]) -> Self {
        let socket = raw::udp(ip);
        socket.send_to(word, master.addr()).unwrap();
        let mut control = raw::connect(master.addr(), ip);
        control.set_read_timeout(Some(PATIENCE)).unwrap();
        control.write_all(command).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { master: master.addr(), socket, control }
    }

    fn host(master: &Master) -> Self {
        let mut data = Data::default();
        "Pong".clone_into(&mut data[0]);
        let command = wire::register(Protocol::Modern, wire::CLIENT_VERSION, &data);
        let host = Self::new(master, loopback(), &wire::udp_register(Protocol::Modern), &command);
        // Its UDP packet may be read after its registration, and is told of by a line of its own then.
        master.wait_for_log(&format!("host {}", host.at()));
        host
    }

    fn client(master: &Master, host: &Self) -> Self {
        Self::client_at(loopback(), master, host)
    }

    fn client_at(ip: IpAddr, master: &Master, host: &Self) -> Self {
        let command = format!("connect\n{}\n\0", host.at().ip());
        Self::new(master, ip, &wire::datagram(b"connect\n\0"), command.as_bytes())
    }

    fn at(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    /// The next player's endpoint that it is told. A host may be asked for its port before, if its packet
    /// was read late.
    fn told(&mut self) -> SocketAddr {
        loop {
            let at = self.next_told();
            if at.port() != self.master.port() {
                return at;
            }
        }
    }

    fn next_told(&mut self) -> SocketAddr {
        let mut message = Vec::new();
        while message.iter().filter(|byte| **byte == 0).count() < 2 {
            let mut byte = [0];
            self.control.read_exact(&mut byte).unwrap();
            message.push(byte[0]);
        }
        let text = std::str::from_utf8(message.strip_prefix(b"\xff").unwrap()).unwrap();
        let (ip, port) = text.trim_end_matches('\0').split_once('\0').unwrap();
        SocketAddr::new(ip.parse().unwrap(), port.parse().unwrap())
    }

    fn says(&self, to: SocketAddr, text: &[u8]) {
        self.socket.send_to(&wire::datagram(text), to).unwrap();
    }

    #[track_caller]
    fn hears(&self, from: SocketAddr, text: &[u8]) {
        let mut buffer = [0; 2048];
        let (length, sender) = self.socket.recv_from(&mut buffer).unwrap();
        assert_eq!((sender, &buffer[..length]), (from, &wire::datagram(text)[..]));
    }

    /// Nothing more has come than what was heard: a packet to itself is the next.
    #[track_caller]
    fn hears_nothing_else(&self) {
        self.says(self.at(), b"end");
        self.hears(self.at(), b"end");
    }
}

/// A host and a client that were told of each other and of the relay; where each finds the other there.
fn relayed(master: &Master) -> (Game, Game, SocketAddr, SocketAddr) {
    let mut host = Game::host(master);
    let mut client = Game::client(master, &host);
    assert_eq!((client.told(), host.told()), (host.at(), client.at()));
    let (for_client, for_host) = (client.told(), host.told());
    (host, client, for_client, for_host)
}

#[test]
fn games_that_do_not_get_through_are_relayed() {
    let relay = loopback();
    let master = master(relay);
    let (host, client, for_client, for_host) = relayed(&master);
    for at in [for_client, for_host] {
        assert!(at.ip() == relay && PORTS.contains(&at.port()), "{at}");
    }
    client.says(for_client, b"first");
    host.says(for_host, b"hello");
    client.hears(for_client, b"hello");
    host.hears(for_host, b"first");
    for n in 0..100_u8 {
        client.says(for_client, &[n; 1000]);
        host.hears(for_host, &[n; 1000]);
        host.says(for_host, &[n]);
        client.hears(for_client, &[n]);
    }
    master.wait_for_log(&format!(
        "{} got through to host {} (Pong) relayed after",
        client.at(),
        host.at()
    ));
    client.hears_nothing_else();
    host.hears_nothing_else();
    master.signal(Signal::SIGUSR1);
    master.wait_for_log("  0         1       0");
    let log = master.stop();
    assert!(!log.contains("dropped") && !log.contains("ERROR"), "{log}");
}

#[test]
fn a_stranger_gets_nothing_out_of_the_relay() {
    let relay = loopback();
    let master = master(relay);
    let (host, client, for_client, for_host) = relayed(&master);
    let stranger = raw::udp(loopback());
    let spray = || {
        for port in PORTS {
            stranger.send_to(&wire::datagram(b"let me in"), (relay, port)).unwrap();
        }
    };
    spray();
    client.says(for_client, b"first");
    spray();
    host.says(for_host, b"hello");
    client.hears(for_client, b"hello");
    host.hears(for_host, b"first");
    spray();
    // They all have been read when these have come.
    host.says(for_host, b"last");
    client.hears(for_client, b"last");
    host.hears_nothing_else();
    client.hears_nothing_else();
    let own = stranger.local_addr().unwrap();
    stranger.set_read_timeout(Some(PATIENCE)).unwrap();
    stranger.send_to(b"end", own).unwrap();
    let mut buffer = [0; 64];
    assert_eq!(stranger.recv_from(&mut buffer).unwrap(), (3, own));
}

#[test]
fn many_pairs_share_the_ports() {
    let relay = loopback();
    let master = master(relay);
    let pairs: Vec<_> = (0..20)
        .map(|_| (Game::host(&master), ()))
        .map(|(mut host, ())| {
            let mut client = Game::client(&master, &host);
            assert_eq!((client.told(), host.told()), (host.at(), client.at()));
            (host, client)
        })
        .collect();
    let pairs: Vec<_> = pairs
        .into_iter()
        .map(|(mut host, mut client)| {
            let (for_client, for_host) = (client.told(), host.told());
            (host, client, for_client, for_host)
        })
        .collect();
    for (n, (host, client, for_client, for_host)) in pairs.iter().enumerate() {
        client.says(*for_client, &[n as u8]);
        host.says(*for_host, &[n as u8, 1]);
    }
    for (n, (host, client, for_client, for_host)) in pairs.iter().enumerate() {
        host.hears(*for_host, &[n as u8]);
        client.hears(*for_client, &[n as u8, 1]);
        host.hears_nothing_else();
        client.hears_nothing_else();
    }
}

#[test]
fn too_much_is_dropped_and_said() {
    let (relay, ports) = (loopback().to_string(), "20000-20031");
    let bounds = ["--relay-packets", "100", "--relay-bytes", "0"];
    let master =
        Master::start(&[&["--relay", &relay, "--relay-ports", ports], &bounds[..]].concat());
    let (host, client, for_client, for_host) = relayed(&master);
    client.says(for_client, b"first");
    host.says(for_host, b"hello");
    client.hears(for_client, b"hello");
    host.hears(for_host, b"first");
    for n in 0..1000_u16 {
        client.says(for_client, &n.to_be_bytes());
    }
    master.wait_for_log("packets of relayed players are dropped, ");
    master.wait_for_log("over the bound of one player (--relay-bytes, --relay-packets)");
    let mut heard = 0;
    host.socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    while host.socket.recv_from(&mut [0; 64]).is_ok() {
        heard += 1;
    }
    // Two seconds' worth, and what came to be free meanwhile.
    assert!((150..600).contains(&heard), "{heard}");
    // The other way is not concerned.
    host.says(for_host, b"still here");
    client.hears(for_client, b"still here");
}

#[test]
fn a_session_of_games_is_no_tunnel() {
    let master = master(loopback());
    let (host, client, for_client, for_host) = relayed(&master);
    client.socket.send_to(b"not a game", for_client).unwrap();
    client.says(for_client, b"first");
    host.socket.send_to(b"nor this", for_host).unwrap();
    host.says(for_host, b"hello");
    client.hears(for_client, b"hello");
    host.hears(for_host, b"first");
    for length in [0, 3, 4, 1400] {
        client.socket.send_to(&vec![0xDE; length], for_client).unwrap();
        host.socket.send_to(&vec![0xDE; length], for_host).unwrap();
    }
    client.says(for_client, b"last");
    host.hears(for_host, b"last");
    host.says(for_host, b"last");
    client.hears(for_client, b"last");
    client.hears_nothing_else();
    host.hears_nothing_else();
    master.wait_for_log("not of a game of GameMaker");
}

#[test]
fn nothing_is_lost_while_a_stranger_sprays_all_ports() {
    let relay = loopback();
    let master = master(relay);
    let (host, client, for_client, for_host) = relayed(&master);
    client.says(for_client, b"first");
    host.says(for_host, b"hello");
    client.hears(for_client, b"hello");
    host.hears(for_host, b"first");
    let over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let sprayer = scope.spawn(|| {
            let (stranger, mut count) = (raw::udp(loopback()), 0);
            while !over.load(std::sync::atomic::Ordering::Relaxed) {
                for port in PORTS {
                    let _ = stranger.send_to(&wire::datagram(b"let me in"), (relay, port));
                    count += 1;
                }
                // A socket takes a hundred packets before it is full, and nothing can be done then.
                std::thread::sleep(Duration::from_millis(1));
            }
            count
        });
        for n in 0..400_u16 {
            client.says(for_client, &n.to_be_bytes());
            host.hears(for_host, &n.to_be_bytes());
            host.says(for_host, &n.to_be_bytes());
            client.hears(for_client, &n.to_be_bytes());
        }
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(sprayer.join().unwrap() >= 32);
    });
    client.hears_nothing_else();
    host.hears_nothing_else();
}

#[test]
fn who_asks_again_and_again_has_its_share_of_sessions() {
    let (relay, ip) = (loopback().to_string(), loopback());
    let options = ["--relay", &relay, "--relay-ports", "20000-20255", "--relay-sessions", "3"];
    let master = Master::start(&options);
    let hosts: Vec<_> = (0..10).map(|_| Game::host(&master)).collect();
    let mut clients: Vec<_> =
        (0..100).map(|n| Game::client_at(ip, &master, &hosts[n % hosts.len()])).collect();
    master.wait_for_log(&format!("{ip} is relayed as often as it may be"));
    // Others are not concerned, and come after all of these.
    let (host, client, for_client, for_host) = relayed(&master);
    client.says(for_client, b"first");
    host.says(for_host, b"hello");
    client.hears(for_client, b"hello");
    let notice = [b"\xff", relay.as_bytes(), b"\0"].concat();
    let is_told = |client: &mut Game| {
        client.control.set_nonblocking(true).unwrap();
        let mut told = Vec::new();
        let _ = client.control.read_to_end(&mut told);
        told.windows(notice.len()).any(|bytes| bytes == notice)
    };
    assert_eq!(clients.iter_mut().filter_map(|client| is_told(client).then_some(())).count(), 3);
}

#[test]
fn the_ports_of_a_session_that_is_over_are_given_out_again() {
    let (relay, ip) = (loopback().to_string(), loopback());
    let master = Master::start(&["--relay", &relay, "--relay-ports", "20000-20001"]);
    let join = |how: &str| {
        let host = Game::host(&master);
        let client = Game::client_at(ip, &master, &host);
        master.wait_for_log(&format!("{}{how}", host.at().ip()));
        (host, client)
    };
    let relayed = ":";
    let (mut one, mut other) = (join(relayed), join(relayed));
    for (host, client) in [&mut one, &mut other] {
        assert_eq!((client.told(), host.told()), (host.at(), client.at()));
        client.told();
        host.told();
    }
    // Nobody sends anything: both sessions are over after 20 s, and it is looked every 5 s.
    let _refused = join(&format!(": {ip} uses all ports of the relay"));
    for (host, client) in [&one, &other] {
        let (client, host) = (client.at(), host.at());
        master.wait_for_log(&format!("{client} did not get through to host {host}"));
    }
    let (mut host, mut client) = join(relayed);
    assert_eq!((client.told(), host.told()), (host.at(), client.at()));
    let (for_client, for_host) = (client.told(), host.told());
    client.says(for_client, b"first");
    host.says(for_host, b"hello");
    client.hears(for_client, b"hello");
    host.hears(for_host, b"first");
}

/// The relay needs no connection to the server: those of clients are closed when they are let in.
#[test]
fn they_play_on_when_the_host_has_left_and_sigterm_ends_it() {
    let master = master(loopback());
    let (host, client, for_client, for_host) = relayed(&master);
    client.says(for_client, b"first");
    host.says(for_host, b"hello");
    client.hears(for_client, b"hello");
    host.hears(for_host, b"first");
    let at = host.at();
    host.control.shutdown(std::net::Shutdown::Both).unwrap();
    master.wait_for_log(&format!("host {at} (Pong) is gone"));
    client.says(for_client, b"still here");
    host.hears(for_host, b"still here");
    let before = std::time::Instant::now();
    let log = master.stop();
    eprintln!("ended after {:?}", before.elapsed());
    assert!(!log.contains("ERROR"), "{log}");
}

#[test]
fn what_is_wrong_with_the_relay_is_said_at_the_start() {
    let fails = |args: &[&str]| {
        let mut command = Command::new(binary());
        command.args(["--port", "0"]).args(args);
        let (status, said) = fails_to_start(command);
        assert!(!status.success());
        said
    };
    let said = fails(&["--relay", "192.0.2.77"]);
    assert!(said.contains("cannot open UDP port 192.0.2.77:20000 for the relay"), "{said}");
    assert!(said.contains("does not have the address 192.0.2.77"), "{said}");

    let ip = loopback();
    let taken = raw::udp(ip);
    let port = taken.local_addr().unwrap().port();
    let ports = format!("{}-{port}", port - 1);
    let said = fails(&["--relay", &ip.to_string(), "--relay-ports", &ports]);
    assert!(
        said.contains("another program has it: give the relay others with --relay-ports"),
        "{said}"
    );

    let said = fails(&["--relay-public", "203.0.113.7"]);
    assert!(said.contains("--relay"), "{said}");
    for ports in ["0-10", "5-5", "9-8", "20000", "1-2000", "20000-99999"] {
        let said = fails(&["--relay", "--relay-ports", ports]);
        assert!(said.contains("want the first and the last port"), "{ports}: {said}");
    }
    let said = fails(&["--relay", "127.0.0.8", "--relay", "127.0.0.9"]);
    assert!(said.contains("one address of IPv4 and one of IPv6"), "{said}");
    for option in ["--relay-ports=20000-20003", "--relay-month=1", "--relay-bytes=1"] {
        let said = fails(&[option]);
        assert!(said.contains("required") && said.contains("--relay"), "{option}: {said}");
    }
    let said = fails(&["--relay", "fe80::1"]);
    assert!(said.contains("want an address of this machine"), "{said}");
}

#[test]
fn the_start_says_where_the_relay_is_and_for_whom() {
    let ip = loopback().to_string();
    let master = Master::start(&[
        "--relay",
        &ip,
        "--relay-ports",
        "20000-20003",
        "--relay-public",
        "203.0.113.9",
    ]);
    master.wait_for_log("relay at 203.0.113.9, UDP ports 20000 to 20003");
    let own = Master::start(&[
        "--bind",
        &loopback().to_string(),
        "--relay",
        "--relay-ports",
        "20000-20003",
    ]);
    own.wait_for_log("not for clients of GMnet");
    own.wait_for_log("where only players in this network reach it");
}
