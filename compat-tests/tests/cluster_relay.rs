//! A node that is a relay alone, by a real server of NATS: it forwards for players of two others who do not get through,
//! and is free again when the node that asked dies.
#![cfg(target_os = "linux")]
#![expect(clippy::expect_used, reason = "a helper that fails is a test that fails")]

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

use compat_tests::company::start_with_window;
use compat_tests::gmnet::wire::{self, Data, Protocol};
use compat_tests::gmnet::{Lobby, Query};
use compat_tests::http::get;
use compat_tests::master::{Master, binary, fails_to_start, loopback};
use compat_tests::nats_server::NatsServers;
use compat_tests::raw;

const WAIT: Duration = Duration::from_secs(20);

/// So long after a node is killed the others may take it to be there.
const GHOST: Duration = Duration::from_secs(5);

const NAMES: [&str; 3] = ["a", "b", "c"];

/// Three nodes of which the last is a relay alone at an address of its own; the first has this besides.
struct Nodes {
    all: Vec<(Master, SocketAddr)>,
    relay: IpAddr,
    _nats: NatsServers,
}

impl Nodes {
    /// None if there is no NATS here.
    fn start(first: &[&str]) -> Option<Self> {
        let nats = NatsServers::start(1)?;
        let relay = loopback();
        let (urls, ip) = (nats.urls(0), relay.to_string());
        let alone = ["--dialects", "none", "--relay", &ip, "--relay-ports", "20200-20231"];
        let all: Vec<_> = NAMES
            .into_iter()
            .zip([first, &[], &alone])
            .map(|(name, more)| {
                start_with_window(&[&["--cluster", &urls, "--node", name], more].concat())
            })
            .collect();
        for (n, (master, window)) in all.iter().enumerate() {
            for other in (0..3).filter(|other| *other != n) {
                master.wait_for_log(&format!("cluster: node {} is there", NAMES[other]));
            }
            wait_until("the relay is known", || {
                let text = get(*window, "/metrics").expect("metrics").body;
                text.contains("punchd_cluster_relay_sessions_max{node=\"c\"} 4096\n")
            });
        }
        Some(Self { all, relay, _nats: nats })
    }

    /// How many pairs a node relays.
    fn pairs(&self, n: usize) -> u64 {
        let text = get(self.all[n].1, "/metrics").expect("metrics").body;
        let mut lines = text.lines();
        let number = lines.find_map(|line| line.strip_prefix("punchd_relay_sessions "));
        number.and_then(|number| number.parse().ok()).expect("a number")
    }
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + WAIT;
    while !is_so() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A game: the socket that it plays by, and its connection to its node.
struct Game {
    master: SocketAddr,
    socket: UdpSocket,
    control: TcpStream,
}

impl Game {
    fn new(master: &Master, ip: IpAddr, word: &[u8], command: &[u8]) -> Self {
        let socket = raw::udp(ip);
        socket.send_to(word, master.addr()).expect("sending");
        let mut control = raw::connect(master.addr(), ip);
        control.set_read_timeout(Some(WAIT)).expect("its options");
        control.write_all(command).expect("writing");
        socket.set_read_timeout(Some(WAIT)).expect("its options");
        Self { master: master.addr(), socket, control }
    }

    fn host(master: &Master, name: &str) -> Self {
        let mut data = Data::default();
        "Pong".clone_into(&mut data[0]);
        name.clone_into(&mut data[1]);
        let command = wire::register(Protocol::Modern, wire::CLIENT_VERSION, &data);
        let host = Self::new(master, loopback(), &wire::udp_register(Protocol::Modern), &command);
        master.wait_for_log(&format!("host {}", host.at()));
        host
    }

    fn client(master: &Master, ip: IpAddr, host: &Self) -> Self {
        let command = format!("connect\n{}\n\0", host.at().ip());
        Self::new(master, ip, &wire::datagram(b"connect\n\0"), command.as_bytes())
    }

    fn at(&self) -> SocketAddr {
        self.socket.local_addr().expect("an address")
    }

    /// The next endpoint that it is told. A host may be asked for its port before.
    fn told(&mut self) -> SocketAddr {
        loop {
            let mut message = Vec::new();
            while message.iter().filter(|byte| **byte == 0).count() < 2 {
                let mut byte = [0];
                self.control.read_exact(&mut byte).expect("a message");
                message.push(byte[0]);
            }
            let text = message.strip_prefix(b"\xff").expect("an introduction");
            let text = std::str::from_utf8(text).expect("text");
            let (ip, port) = text.trim_end_matches('\0').split_once('\0').expect("an endpoint");
            let at =
                SocketAddr::new(ip.parse().expect("an address"), port.parse().expect("a port"));
            if at.port() != self.master.port() {
                return at;
            }
        }
    }

    fn says(&self, to: SocketAddr, text: &[u8]) {
        self.socket.send_to(&wire::datagram(text), to).expect("sending");
    }

    #[track_caller]
    fn hears(&self, from: SocketAddr, text: &[u8]) {
        let mut buffer = [0; 2048];
        let end = Instant::now() + WAIT;
        let (length, sender) = loop {
            assert!(Instant::now() < end, "nothing comes from {from}");
            let came = self.socket.recv_from(&mut buffer).expect("a packet");
            // Its node keeps its port open.
            if came.1.port() != self.master.port() {
                break came;
            }
        };
        assert_eq!((sender, &buffer[..length]), (from, &wire::datagram(text)[..]));
    }
}

/// A host of the second node, and a client of the first, who were told of each other and of a relay.
fn pair(nodes: &Nodes, client: IpAddr, name: &str) -> (Game, Game, SocketAddr, SocketAddr) {
    let mut host = Game::host(&nodes.all[1].0, name);
    wait_until("the host is known", || {
        let at = nodes.all[0].0.addr();
        let lobby = Lobby::fetch(at, Some(loopback()), &Query::default(), WAIT).expect("a lobby");
        lobby.entries.iter().any(|entry| entry.data[1] == name)
    });
    let mut client = Game::client(&nodes.all[0].0, client, &host);
    assert_eq!((client.told(), host.told()), (host.at(), client.at()));
    let (for_client, for_host) = (client.told(), host.told());
    (host, client, for_client, for_host)
}

/// What one says the other hears, both ways.
#[track_caller]
fn talk((host, client, for_client, for_host): &(Game, Game, SocketAddr, SocketAddr)) {
    for n in 0..20_u8 {
        client.says(*for_client, &[n; 100]);
        host.says(*for_host, &[n]);
        host.hears(*for_host, &[n; 100]);
        client.hears(*for_client, &[n]);
    }
}

#[test]
fn a_relay_alone_forwards_for_players_of_two_other_nodes_until_the_one_that_asked_dies() {
    let Some(mut nodes) = Nodes::start(&[]) else { return };
    let log = nodes.all[2].0.log();
    assert!(log.contains("speaks no dialect, a relay for other nodes alone"), "{log}");
    let playing = pair(&nodes, loopback(), "one");
    let (host, client, for_client, for_host) = &playing;
    assert_eq!((for_client.ip(), for_host.ip()), (nodes.relay, nodes.relay));
    talk(&playing);
    nodes.all[0].0.wait_for_log(&format!(
        "{} got through to host {} (Pong) relayed after",
        client.at(),
        host.at()
    ));
    let idle = pair(&nodes, loopback(), "two");
    assert_eq!(nodes.pairs(2), 2);
    wait_until("all nodes show that", || {
        let text = get(nodes.all[1].1, "/metrics").expect("metrics").body;
        text.contains("punchd_cluster_relay_sessions{node=\"c\"} 2\n")
    });
    nodes.all.remove(0).0.crash();
    let start = Instant::now();
    while nodes.pairs(1) != 1 {
        assert!(start.elapsed() < GHOST, "it is not freed");
        std::thread::sleep(Duration::from_millis(50));
    }
    println!("freed after {:?}", start.elapsed());
    // Who plays goes on playing.
    talk(&playing);
    drop(idle);
}

#[test]
fn where_the_own_relay_is_full_that_of_another_node_is_used() {
    let own = loopback();
    let ip = own.to_string();
    let options = ["--relay", &ip, "--relay-ports", "20200-20231", "--relay-sessions", "1"];
    let Some(nodes) = Nodes::start(&options) else { return };
    let player = loopback();
    let first = pair(&nodes, player, "one");
    assert_eq!((first.2.ip(), first.3.ip()), (own, own));
    let second = pair(&nodes, player, "two");
    assert_eq!((second.2.ip(), second.3.ip()), (nodes.relay, nodes.relay));
    talk(&first);
    talk(&second);
    assert_eq!((nodes.pairs(0), nodes.pairs(2)), (1, 1));
}

#[test]
fn without_dialects_there_has_to_be_a_relay_and_a_cluster() {
    let fails = |options: &[&str]| {
        let mut command = Command::new(binary());
        let (status, log) = fails_to_start({
            command.args(["--port", "0", "--http", "off"]).args(options);
            command
        });
        assert!(!status.success());
        log
    };
    let why = "--dialects none (PUNCHD_DIALECTS) leaves nothing to serve";
    for options in [
        &["--dialects", "none"][..],
        &["--dialects", "none", "--relay", "127.0.0.9"],
        &["--dialects", "none", "--cluster", "nats://127.0.0.1:1", "--node", "a"],
    ] {
        let log = fails(options);
        assert!(log.contains(why), "{options:?}: {log}");
    }
    let log = fails(&["--dialects", "none,rooms"]);
    assert!(log.contains("names dialects and none"), "{log}");
    if cfg!(feature = "cluster") {
        let mut command = Command::new(binary());
        let check = ["--check", "--port", "0", "--http", "off", "--dialects", "none"];
        command.args(check).args(["--relay", "127.0.0.9", "--relay-ports", "20232-20235"]);
        command.args(["--cluster", "nats://127.0.0.1:1", "--node", "a"]);
        let said = String::from_utf8_lossy(&command.output().expect("a check").stdout).into_owned();
        assert!(said.contains("a relay for other nodes alone"), "{said}");
        assert!(!said.contains("wrong:") && !said.contains("GMnet"), "{said}");
    }
}
