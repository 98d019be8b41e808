//! What players of all kinds do again and again, and would not have lost or see twice.

use std::collections::{BTreeSet, VecDeque};
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use compat_tests::events::EventClient;
use compat_tests::gmnet::wire::{self, Protocol};
use compat_tests::gmnet::{Lobby, Query};
use compat_tests::master::loopback;
use compat_tests::natpunch;
use compat_tests::raw;
use compat_tests::rooms::Player;
use serde_json::json;

use super::fixtures::{
    Load, Rooms, WAIT, answer_to, answers_datagrams, binding, gap, is_read_late, next_told,
    say_event,
};

/// All hosts are listed, whenever somebody looks.
pub(crate) fn look(load: &Load, master: SocketAddr, hosts: &[SocketAddr]) {
    let ip = loopback();
    load.repeat(Duration::from_millis(10), || {
        let lobby = Lobby::fetch(master, Some(ip), &Query::default(), WAIT).unwrap();
        let missing: Vec<_> = hosts.iter().filter(|at| lobby.of(at.ip()).is_none()).collect();
        assert!(missing.is_empty(), "missing: {missing:?}");
    });
}

/// Players who each come once, are told where their host is, and stay a while in which they are told nothing else.
/// Returns who has asked for whom.
pub(crate) fn join(
    load: &Load,
    master: SocketAddr,
    hosts: &[SocketAddr],
    asked: &Mutex<Vec<SocketAddr>>,
    relay: IpAddr,
) {
    const STAY: usize = 30;
    let mut next = hosts.iter().cycle();
    let mut there = VecDeque::new();
    load.repeat(Duration::from_millis(5), || {
        let host = next.next().unwrap();
        let mut player = Kept::new(master);
        player.asks_for(*host, relay);
        asked.lock().unwrap().push(*host);
        there.push_back(player);
        if there.len() > STAY {
            there.pop_front().into_iter().for_each(|player: Kept| player.was_told_once(relay));
        }
    });
    there.into_iter().for_each(|player| player.was_told_once(relay));
}

/// A player who stays on one connection and asks for one host after the other; then another one comes.
pub(crate) fn join_again(
    load: &Load,
    master: SocketAddr,
    hosts: &[SocketAddr],
    asked: &Mutex<Vec<SocketAddr>>,
    relay: IpAddr,
) {
    let mut next = hosts.iter();
    let mut player = Kept::new(master);
    load.repeat(Duration::from_millis(5), || {
        let host = next.next().unwrap_or_else(|| {
            (next, player) = (hosts.iter(), Kept::new(master));
            next.next().unwrap()
        });
        player.asks_for(*host, relay);
        asked.lock().unwrap().push(*host);
    });
}

/// A player on a connection that stays.
pub(crate) struct Kept {
    pub(crate) game: UdpSocket,
    control: TcpStream,
}

impl Kept {
    pub(crate) fn new(master: SocketAddr) -> Self {
        let game = raw::udp(loopback());
        game.send_to(&wire::udp_connect(Protocol::Modern), master).unwrap();
        let control = raw::connect(master, game.local_addr().unwrap().ip());
        control.set_read_timeout(Some(WAIT)).unwrap();
        Self { game, control }
    }

    /// Is told where that one is, and nothing else, but that those from before are at this relay.
    #[track_caller]
    pub(crate) fn asks_for(&mut self, host: SocketAddr, relay: IpAddr) {
        self.control.write_all(&wire::connect(Protocol::Modern, host.ip())).unwrap();
        let mut told = next_told(&mut self.control);
        while told.ip() == relay {
            told = next_told(&mut self.control);
        }
        assert_eq!(told, host, "where somebody else is");
    }

    /// Nothing more has come but that the host is at this relay.
    fn was_told_once(mut self, relay: IpAddr) {
        self.control.write_all(wire::ASK_VERSION).unwrap();
        let mut first = [0];
        loop {
            assert_eq!(self.control.peek(&mut first).unwrap(), 1, "the connection is lost");
            if first[0] != 0xff {
                break;
            }
            assert_eq!(next_told(&mut self.control).ip(), relay, "another answer");
        }
    }
}

/// A connection that stays, on which commands come in pieces.
pub(crate) fn ask(load: &Load, master: SocketAddr) {
    let control = raw::connect(master, loopback());
    let (half, rest) = wire::ASK_VERSION.split_at(3);
    load.repeat(Duration::from_millis(5), || {
        (&control).write_all(half).unwrap();
        std::thread::sleep(Duration::from_millis(3));
        assert!(raw::asks(&control, rest, b'\n', WAIT), "the connection is lost");
    });
}

/// Many datagrams a second, of which each has its answer, once.
pub(crate) fn bind(load: &Load, master: SocketAddr) {
    let socket = raw::udp(loopback());
    socket.connect(master).unwrap();
    socket.set_read_timeout(Some(WAIT)).unwrap();
    is_read_late(&socket);
    let sent = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let hearing = scope.spawn(|| {
            let mut answered = BTreeSet::new();
            // The last one is sent when all others have their answers.
            while !answered.contains(&u64::MAX) {
                let mut answer = [0; 256];
                let heard = socket.recv(&mut answer);
                heard.unwrap_or_else(|error| panic!("after {}: {error}", answered.len()));
                let number = u64::from_be_bytes(answer[12..20].try_into().unwrap());
                assert!(answered.insert(number), "two answers to {number}");
            }
            answered
        });
        let mut next = Instant::now();
        load.repeat(Duration::ZERO, || {
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
            next += gap();
            socket.send(&binding(sent.fetch_add(1, Ordering::Relaxed))).unwrap();
        });
        socket.send(&binding(u64::MAX)).unwrap();
        let (answered, sent) = (hearing.join().unwrap(), sent.into_inner());
        let missing: Vec<_> = (0..sent).filter(|number| !answered.contains(number)).collect();
        assert!(missing.is_empty(), "of {sent} datagrams {missing:?} have no answer");
        println!("{sent} datagrams answered");
    });
}

/// The host of a room renames it, and is answered once each time.
pub(crate) fn rename(load: &Load, master: SocketAddr) {
    let mut host = Rooms::new(master);
    let (_, key) = host.enters("rh:Name");
    let mut number = 0;
    load.repeat(Duration::from_millis(5), || {
        number += 1;
        let name = format!("rn:{number}");
        host.say(&format!("{name}:{key}"));
        assert_eq!(host.hears("rn:"), number.to_string(), "the answer to another request");
    });
    assert!(answers_datagrams(master), "so it has answered what came before");
    assert_eq!(host.hears_within("rn:", Duration::from_millis(1)), None, "a second answer");
    println!("{number} renames answered");
}

/// A room stays, with its host.
pub(crate) fn room(load: &Load, master: SocketAddr) {
    let player = || Player::new(master, SocketAddr::new(loopback(), 0), WAIT).unwrap();
    let (mut host, mut other) = (player(), player());
    let place = host.host("a room").unwrap();
    load.repeat(Duration::from_millis(20), || {
        host.step().unwrap();
        let rooms = other.list().unwrap();
        assert!(rooms.iter().any(|entry| entry.room == place.room), "{rooms:?}");
    });
    host.rename("another name").unwrap();
    assert_eq!(other.list().unwrap()[0].name, "another name");
}

/// Two peers of events, whose passes arrive.
pub(crate) fn pass(load: &Load, master: SocketAddr) {
    let mut peers = ["alice", "bob"].map(|id| {
        let mut peer = EventClient::connect(master, None).unwrap();
        peer.login(id, "game").unwrap();
        peer
    });
    let mut number = 0_u32;
    load.repeat(Duration::from_millis(5), || {
        let [alice, bob] = &mut peers;
        number += 1;
        alice.pass(Some("bob"), "n", json!(number)).unwrap();
        assert_eq!(bob.wait_for("n", WAIT).unwrap().data, json!(number));
    });
}

/// Requests of two peers of events, to each other and to the server: each has its answer, and nothing else comes.
pub(crate) fn request(load: &Load, master: SocketAddr) {
    let mut peers = ["carol", "dave"].map(|id| {
        let mut peer = EventClient::connect(master, None).unwrap();
        peer.login(id, "game").unwrap();
        peer
    });
    let mut number = 0_u32;
    load.repeat(Duration::from_millis(5), || {
        let [carol, dave] = &mut peers;
        number += 1;
        let request = |name: &str| json!({"type": "request", "name": name, "request_id": number});
        let mut ask = request("ask");
        ask["dest"] = json!("dave");
        say_event(carol, &ask);
        let asked = dave.receive(WAIT).unwrap().unwrap();
        say_event(dave, &answer_to(&asked, &number.to_string()));
        for (name, data) in [("ask", json!(number.to_string())), ("ping", json!({}))] {
            if name == "ping" {
                say_event(carol, &request(name));
            }
            let answer = carol.receive(WAIT).unwrap().unwrap();
            assert_eq!((&answer["name"], &answer["data"]), (&json!(name), &data), "{answer}");
            assert_eq!(answer["request_id"], json!(number), "{answer}");
        }
    });
    println!("{number} requests of events answered");
}

/// A lobby of natpunch stays, and who keeps asking for it has an answer each time.
pub(crate) fn natpunch(load: &Load, master: SocketAddr) {
    let mut host = natpunch::Client::register(master, loopback()).unwrap();
    host.create("a lobby", 4).unwrap();
    while host.lobby().is_none() {
        host.step(WAIT).unwrap();
    }
    let mut other = natpunch::Client::register(master, loopback()).unwrap();
    load.repeat(Duration::from_millis(10), || {
        other.list().unwrap();
        let deadline = Instant::now() + WAIT;
        loop {
            assert!(Instant::now() < deadline, "no list");
            if let Some(natpunch::Event::Lobbies(lobbies)) = other.step(WAIT).unwrap() {
                assert_eq!(lobbies.len(), 1, "{lobbies:?}");
                break;
            }
        }
        host.step(Duration::ZERO).unwrap_or_default();
    });
}
