//! Which port is told for a host, and which for a client, after any conversation: the one that it
//! showed last before it registered or asked last, and never one older than the one that it has.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use compat_tests::sim::rng::Rng;
use compat_tests::sim::wire::{self, Message};
use compat_tests::unplugged::Unplugged;
use punchd::dialect::ConnId;

const HOME: [u8; 4] = [203, 0, 113, 7];

/// A game that talks to the server, and whoever wants to join it.
#[derive(Debug)]
struct Conversation {
    server: Unplugged,
    conn: Option<ConnId>,
    asked: u16,
}

fn home(port: u16) -> SocketAddr {
    (HOME, port).into()
}

fn registers(game: &str) -> Vec<u8> {
    wire::reg2("1.2.4", &std::array::from_fn(|_| game.to_owned()))
}

fn port_in(said: &[Vec<u8>]) -> Option<u16> {
    said.iter().rev().find_map(|bytes| match wire::parse(bytes) {
        Some(Message::Introduction(_, port)) => port.parse().ok(),
        _ => None,
    })
}

fn ports_in(said: &[Vec<u8>]) -> Vec<u16> {
    said.iter().filter_map(|bytes| port_in(std::slice::from_ref(bytes))).collect()
}

impl Conversation {
    fn new() -> Self {
        Self { server: Unplugged::new(&[]), conn: None, asked: 0 }
    }

    /// UDP `reg` from this port.
    fn show(&mut self, port: u16) {
        self.server.datagram(home(port), &wire::datagram(b"reg\n\0"));
    }

    fn open(&mut self) -> ConnId {
        self.server.open(home(1))
    }

    /// Another game begins behind the same address.
    fn neighbour(&mut self, port: u16, game: &str) -> ConnId {
        self.show(port);
        self.server.open_and_send(home(1), &registers(game))
    }

    /// `reg2` on the connection that there is, else on a new one.
    fn register(&mut self) {
        let conn = self.conn.unwrap_or_else(|| self.open());
        self.conn = Some(conn);
        self.server.send(conn, &registers("Game"));
    }

    /// The connection ends.
    fn end(&mut self) {
        self.conn.take().into_iter().for_each(|conn| self.server.end(conn));
    }

    fn pass(&mut self, ms: u64) {
        self.server.pass(Duration::from_millis(ms));
    }

    /// The port that a client from elsewhere is told.
    fn told(&mut self) -> Option<u16> {
        self.told_of("203.0.113.7")
    }

    /// The same of this host.
    fn told_of(&mut self, host: &str) -> Option<u16> {
        self.asked += 1;
        let client = SocketAddr::from(([198, 51, 100, 7], self.asked));
        self.server.datagram(client, &wire::datagram(b"connect\n\0"));
        let conn = self.server.open_and_send(client, &wire::connect(host));
        self.server.pass(Duration::from_secs(3));
        let port = port_in(&self.server.heard(conn));
        self.server.end(conn);
        port
    }
}

#[test]
fn a_host_that_hosts_stops_and_hosts_again_is_told_where_it_is_now() {
    for pause in [0, 1000, 5000] {
        let mut conversation = Conversation::new();
        conversation.show(1000);
        conversation.register();
        conversation.end();
        conversation.pass(pause);
        conversation.show(2000);
        conversation.register();
        assert_eq!(conversation.told(), Some(2000));
        conversation.show(2000);
        conversation.register();
        assert_eq!(conversation.told(), Some(2000), "registered once more on the same connection");
        conversation.register();
        assert_eq!(conversation.told(), Some(2000), "and without a packet");
    }
}

#[test]
fn of_two_ports_the_later_is_told_however_often_the_host_registers() {
    for pause in [0, 1, 500] {
        let mut conversation = Conversation::new();
        conversation.show(1000);
        conversation.pass(pause);
        conversation.show(2000);
        for _ in 0..3 {
            conversation.register();
            assert_eq!(conversation.told(), Some(2000));
        }
        conversation.show(1000);
        conversation.register();
        assert_eq!(conversation.told(), Some(1000), "it showed the other one again");
    }
}

#[test]
fn a_host_that_changes_its_data_is_not_told_where_a_neighbour_was() {
    for shows in [false, true] {
        let mut conversation = Conversation::new();
        conversation.show(1000);
        conversation.register();
        let neighbour = conversation.conn.take();
        conversation.pass(5000);
        conversation.show(2000);
        conversation.register();
        conversation.pass(500);
        neighbour.into_iter().for_each(|conn| conversation.server.end(conn));
        conversation.pass(500);
        if shows {
            conversation.show(2000);
        }
        conversation.register();
        assert_eq!(conversation.told(), Some(2000), "on its connection");
        if shows {
            conversation.show(2000);
        }
        conversation.end();
        conversation.pass(20);
        conversation.register();
        assert_eq!(conversation.told(), Some(2000), "by a new one");
    }
}

#[test]
fn a_host_back_by_a_new_connection_is_not_where_a_neighbour_with_another_game_was() {
    for pause in [0, 100, 400, 600] {
        let mut conversation = Conversation::new();
        let neighbour = conversation.neighbour(1000, "Other");
        conversation.neighbour(3000, "Third");
        conversation.pass(200);
        conversation.show(2000);
        conversation.register();
        conversation.pass(200);
        conversation.server.end(neighbour);
        conversation.pass(pause);
        conversation.show(2000);
        let before = conversation.conn.take();
        conversation.register();
        assert_eq!(conversation.told(), Some(2000), "{pause}");
        before.into_iter().for_each(|conn| conversation.server.end(conn));
        assert_eq!(conversation.told(), Some(2000), "{pause}: its old connection has ended");
        // The copy of a neighbour's packet came last, and its own are so near that they may be copies.
        conversation.show(2000);
        conversation.show(3000);
        conversation.conn = None;
        conversation.register();
        assert_eq!(conversation.told(), Some(2000), "{pause}: once more");
    }
}

#[test]
fn a_neighbour_that_is_just_beginning_keeps_its_port_and_gives_it_to_nobody() {
    for was_there in [false, true] {
        let mut conversation = Conversation::new();
        conversation.show(2000);
        conversation.register();
        conversation.pass(500);
        if was_there {
            let neighbour = conversation.neighbour(1000, "Other");
            conversation.pass(500);
            conversation.server.end(neighbour);
        }
        conversation.pass(2100);
        conversation.show(1000);
        conversation.pass(20);
        conversation.register();
        conversation.pass(130);
        conversation.server.open_and_send(home(1), &registers("Other"));
        assert_eq!(conversation.told_of("203.0.113.7:1000"), Some(1000), "{was_there}");
        assert_eq!(conversation.told_of("203.0.113.7:2000"), Some(2000), "{was_there}");
    }
}

#[test]
fn a_neighbour_without_a_packet_does_not_get_that_of_a_game_that_comes_back() {
    let mut conversation = Conversation::new();
    conversation.neighbour(1000, "Game");
    conversation.pass(3000);
    conversation.show(2000);
    conversation.register();
    let neighbour = conversation.server.open_and_send(home(1), &registers("Other"));
    conversation.pass(1500);
    conversation.end();
    conversation.pass(140);
    conversation.show(2000);
    conversation.pass(400);
    conversation.server.end(neighbour);
    conversation.pass(20);
    conversation.register();
    assert_eq!(conversation.told(), Some(2000));
}

#[test]
fn forged_packets_move_no_host_that_shows_its_port_when_it_registers_again() {
    for seed in 0..50 {
        let (mut conversation, mut rng) = (Conversation::new(), Rng::new(seed));
        conversation.show(1000);
        conversation.register();
        conversation.pass(5000);
        for _ in 0..4 {
            for n in 0..40 {
                conversation.show(10_000 + rng.within(0..50_000) as u16);
                conversation.pass(25);
                if n == 20 {
                    conversation.show(1000);
                    // One is forged in between.
                    conversation.pass(2);
                    conversation.show(10_000 + rng.within(0..50_000) as u16);
                    conversation.register();
                }
            }
            assert_eq!(conversation.told(), Some(1000), "seed {seed}");
        }
    }
}

#[test]
fn a_client_that_asks_again_is_told_with_the_port_that_it_showed_last() {
    let mut conversation = Conversation::new();
    conversation.show(1000);
    conversation.register();
    let host = conversation.conn.expect("a host");
    let client = |port| SocketAddr::from(([198, 51, 100, 9], port));
    let shows = wire::datagram(b"connect\n\0");
    conversation.server.datagram(client(5000), &shows);
    let conn = conversation.server.open_and_send(client(1), &wire::connect("203.0.113.99"));
    assert_eq!(conversation.server.heard(conn), [[0xFE]]);
    conversation.pass(3000);
    conversation.server.datagram(client(6000), &shows);
    for target in ["203.0.113.7", "203.0.113.99", "203.0.113.7"] {
        conversation.pass(1000);
        conversation.server.send(conn, &wire::connect(target));
        conversation.pass(1000);
        let told = ports_in(&conversation.server.heard(host));
        let expected = if target == "203.0.113.7" { Some(&6000) } else { None };
        assert_eq!(told.first(), expected, "{told:?}");
    }
}

#[test]
fn what_is_forged_for_a_client_that_asks_again_does_not_hide_its_own_port() {
    for first in ["203.0.113.7", "203.0.113.99"] {
        let mut conversation = Conversation::new();
        conversation.show(1000);
        conversation.register();
        let host = conversation.conn.expect("a host");
        let client = |port| SocketAddr::from(([198, 51, 100, 9], port));
        let shows = wire::datagram(b"connect\n\0");
        conversation.server.datagram(client(5000), &shows);
        let conn = conversation.server.open_and_send(client(1), &wire::connect(first));
        conversation.pass(3000);
        for forged in 1..4 {
            conversation.server.heard(host);
            conversation.server.datagram(client(forged), &shows);
            conversation.pass(500);
            conversation.server.send(conn, &wire::connect("203.0.113.7"));
            conversation.pass(1000);
            let told = ports_in(&conversation.server.heard(host));
            assert!(told.contains(&5000), "first {first}, then {forged} is forged: {told:?}");
        }
    }
}

/// A step of a conversation.
#[derive(Clone, Copy, Debug)]
enum Step {
    Show(u16),
    Register,
    End,
    Pass(u64),
}

/// A conversation, to be read.
struct Steps<'a>(&'a [Step]);

impl fmt::Display for Steps<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|step| write!(f, "{step:?}; "))
    }
}

/// The rule, for one game alone at its address.
#[derive(Debug, Default)]
struct Rule {
    now: u64,
    /// Ports and when they were shown, the latest at the end.
    shown: Vec<(u16, u64)>,
    is_registered: bool,
    has: Option<u16>,
    /// What it had when its last connection ended, and when that was.
    had: Option<(u16, u64)>,
    lacks: bool,
}

impl Rule {
    /// How long a packet, and the port of a host that has left, are good for.
    const WINDOW: u64 = 10_000;

    fn step(&mut self, step: Step) {
        match step {
            Step::Pass(ms) => self.now += ms,
            Step::Show(port) => {
                self.shown.retain(|(other, _)| *other != port);
                self.shown.push((port, self.now));
                if self.is_registered && self.lacks {
                    (self.has, self.lacks) = (Some(port), false);
                }
            }
            Step::Register => {
                let last = self.shown.last().filter(|(_, at)| self.now - at <= Self::WINDOW);
                let had = self.had.filter(|(_, at)| self.now - at <= Self::WINDOW);
                let had = had.map(|(port, _)| port);
                self.has = last.map(|(port, _)| *port).or(self.has).or(had);
                (self.lacks, self.is_registered) = (last.is_none(), true);
            }
            Step::End => {
                self.had = self.has.map(|port| (port, self.now)).or(self.had);
                (self.is_registered, self.has) = (false, None);
            }
        }
    }
}

#[test]
fn the_port_told_is_the_one_shown_last_before_the_host_registered_last() {
    const PAUSES: [u64; 5] = [0, 1, 30, 700, 2500];
    for seed in 0..3000 {
        let mut rng = Rng::new(seed);
        let (mut conversation, mut rule, mut steps) =
            (Conversation::new(), Rule::default(), Vec::new());
        conversation.pass(20_000);
        for _ in 0..3 + rng.index(10) {
            let step = match rng.index(10) {
                0..=3 => Step::Show(rng.pick([1000, 2000, 3000])),
                4..=6 => Step::Register,
                7 => Step::End,
                _ => Step::Pass(rng.pick(PAUSES)),
            };
            steps.push(step);
            rule.step(step);
            match step {
                Step::Show(port) => conversation.show(port),
                Step::Register => conversation.register(),
                Step::End => conversation.end(),
                Step::Pass(ms) => conversation.pass(ms),
            }
        }
        // What came after it registered last may be what it shows next.
        let is_clear = matches!(steps.last(), Some(Step::Register));
        if is_clear {
            assert_eq!(conversation.told(), rule.has, "seed {seed}: {}", Steps(&steps));
        }
    }
}
