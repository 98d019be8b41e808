//! Which UDP packet belongs to which connection, when several peers behind one address come at
//! once: driven with packets that take as long as on real lines.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use compat_tests::sim::rng::Rng;
use compat_tests::sim::wire;
use punchd::clock::{Instant, Now};
use punchd::dialect::{ConnId, Outbox, Output, Via};
use punchd::server::{Config, Server};

/// Where the host is that all want to join.
const HOST: ([u8; 4], u16) = ([203, 0, 113, 1], 7000);
/// Where the players are.
const PLAYERS: [u8; 4] = [198, 51, 100, 7];
const LIMIT: Duration = Duration::from_secs(2);

/// What happens.
#[derive(Clone, Debug)]
enum Event {
    Datagram(SocketAddr, Vec<u8>),
    /// A connection is accepted so long after its SYN, and its first bytes are there.
    Open(ConnId, SocketAddr, Duration, Vec<u8>),
    Gone(ConnId),
}

/// The server, and what is under way to it.
#[derive(Debug)]
struct World {
    server: Server,
    out: Outbox,
    queue: BTreeMap<(u64, usize), Event>,
    rng: Rng,
    round_trip: Duration,
    conns: u32,
    /// What was written to each connection, and when.
    said: BTreeMap<ConnId, Vec<(Instant, Vec<u8>)>>,
}

impl World {
    fn new(seed: u64, round_trip: u64) -> Self {
        Self {
            server: Server::new(Config::default()),
            out: Outbox::new(),
            queue: BTreeMap::new(),
            rng: Rng::new(seed),
            round_trip: Duration::from_millis(round_trip),
            conns: 0,
            said: BTreeMap::new(),
        }
    }

    fn share(&mut self) -> f64 {
        (self.rng.number() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A time whose logarithm is even: mostly short, seldom long.
    fn exponential(&mut self, mean: f64) -> Duration {
        let share = 1.0 - self.share();
        Duration::from_secs_f64(-share.ln() * mean)
    }

    /// One way: half the round trip, and what queues add: 3 ms on average and, on one packet in two
    /// hundred, 50 ms.
    fn one_way(&mut self) -> Duration {
        let spike = if self.rng.permille(5) { 0.05 } else { 0.003 };
        self.round_trip / 2 + self.exponential(spike)
    }

    fn at(&mut self, time: Duration, event: Event) {
        self.queue.insert((time.as_micros() as u64, self.queue.len() + self.conns as usize), event);
    }

    /// A game sends its UDP packet, then connects and sends a request as soon as it can; it hangs
    /// up later.
    fn come(&mut self, sent: Duration, from: SocketAddr, word: &[u8], request: Vec<u8>) -> ConnId {
        self.conns += 1;
        let conn = ConnId { slot: self.conns, generation: self.conns };
        let arrives = sent + self.one_way();
        self.at(arrives, Event::Datagram(from, wire::datagram(word)));
        let syn = sent + Duration::from_micros(200) + self.one_way();
        let answer_and_ack = self.one_way() + self.one_way();
        let peer = SocketAddr::new(from.ip(), self.rng.within(40_000..60_000) as u16);
        self.at(syn + answer_and_ack, Event::Open(conn, peer, answer_and_ack, request));
        self.at(syn + answer_and_ack + LIMIT, Event::Gone(conn));
        conn
    }

    fn run(&mut self) {
        while let Some(((at, _), event)) = self.queue.pop_first() {
            while let Some(due) = self.server.next_wakeup().filter(|due| due.micros() <= at) {
                self.server.on_wakeup(now(due.micros()), &mut self.out);
                self.deliver(due.micros());
            }
            let (time, out) = (now(at), &mut self.out);
            match event {
                Event::Datagram(from, data) => {
                    self.server.on_datagram(time, Via::default(), from, &data, out);
                }
                Event::Open(conn, peer, round_trip, bytes) => {
                    let began = time.instant.before(round_trip);
                    self.server.on_accept(time, || began, conn, peer, out);
                    self.server.on_bytes(time, conn, &bytes, out);
                }
                Event::Gone(conn) => self.server.on_gone(time, conn, out),
            }
            self.deliver(at);
        }
    }

    fn deliver(&mut self, at: u64) {
        for output in self.out.outputs() {
            if let Output::Tcp(conn, bytes) = output {
                let said = self.said.entry(conn).or_default();
                said.push((Instant::from_micros(at), bytes.to_vec()));
            }
        }
        self.out.clear();
    }
}

fn now(micros: u64) -> Now {
    Now { instant: Instant::from_micros(micros), unix: 1_700_000_000 + micros / 1_000_000 }
}

fn player(port: u16) -> SocketAddr {
    SocketAddr::from((PLAYERS, port))
}

/// What came of joins.
#[derive(Debug, Default)]
struct Told {
    /// How many there were.
    joins: usize,
    /// Of so many a host was told the right port.
    right: usize,
    /// Ports that hosts were told.
    ports: usize,
}

impl Told {
    fn right(&self) -> f64 {
        self.right as f64 / self.joins as f64
    }
}

/// Joins of players behind one address at that mean rate, each to a host of its own; somebody else
/// forges so many packets a second from their address.
fn joins(seed: u64, round_trip: u64, rate: f64, forged: u64) -> Told {
    const JOINS: u16 = 300;
    let mut world = World::new(seed, round_trip);
    let hosts: Vec<(SocketAddr, ConnId)> = (0..JOINS)
        .map(|n| {
            let mut host = SocketAddr::from(HOST);
            let [high, low] = n.to_be_bytes();
            host.set_ip(std::net::IpAddr::from([203, 0, 100 + high, low]));
            let registers = wire::reg2("1.2.4", &std::array::from_fn(|_| "Game".to_owned()));
            let at = Duration::from_secs(1);
            (host, stay(&mut world, at, host, registers))
        })
        .collect();
    let mut time = Duration::from_secs(20);
    let mut ports = Vec::new();
    for (n, (host, _)) in (0..JOINS).zip(&hosts) {
        time += world.exponential(1.0 / rate);
        // Scattered, so that no NAT is taken for one that counts.
        let port = 20_000 + n * 127 % JOINS * 50;
        ports.push(port);
        let request = wire::connect(&host.ip().to_string());
        world.come(time, player(port), b"connect\n\0", request);
    }
    let (mut flood, gap) = (Duration::from_secs(20), 1_000_000 / forged.max(1));
    while forged > 0 && flood < time {
        flood += Duration::from_micros(gap);
        let from = player(1024 + world.rng.within(0..18_000) as u16);
        world.at(flood, Event::Datagram(from, wire::datagram(b"connect\n\0")));
    }
    world.run();
    let mut told = Told { joins: ports.len(), ..Told::default() };
    for (port, (_, conn)) in ports.iter().zip(&hosts) {
        let said = world.said.get(conn).map(Vec::as_slice).unwrap_or_default();
        let all: Vec<u16> = said.iter().filter_map(|(_, bytes)| introduced(bytes)).collect();
        told.right += usize::from(all.contains(port));
        told.ports += all.len();
    }
    told
}

/// A host registers and stays.
fn stay(world: &mut World, at: Duration, host: SocketAddr, registers: Vec<u8>) -> ConnId {
    let conn = world.come(at, host, b"reg\n\0", registers);
    world.queue.retain(|_, event| !matches!(event, Event::Gone(other) if *other == conn));
    conn
}

fn introduced(bytes: &[u8]) -> Option<u16> {
    match wire::parse(bytes) {
        Some(wire::Message::Introduction(_, port)) => port.parse().ok(),
        _ => None,
    }
}

/// The same with several seeds.
fn many(round_trip: u64, rate: f64, forged: u64) -> Told {
    let mut all = Told::default();
    for seed in 0..4 {
        let told = joins(seed, round_trip, rate, forged);
        all.joins += told.joins;
        all.right += told.right;
        all.ports += told.ports;
    }
    println!(
        "{round_trip:3} ms, {rate:2} joins/s, {forged:3} forged/s: {:.2} % right, {:.2} ports each",
        100.0 * all.right(),
        all.ports as f64 / all.joins as f64
    );
    all
}

#[test]
fn of_players_behind_one_address_each_is_told_with_its_own_port() {
    for round_trip in [10, 50, 150, 300] {
        for (rate, least) in [(1.0, 0.99), (5.0, 0.99), (20.0, 0.98)] {
            let told = many(round_trip, rate, 0);
            assert!(told.right() >= least, "{round_trip} ms, {rate}: {told:?}");
            assert!(told.ports <= 2 * told.joins, "{round_trip} ms, {rate}: {told:?}");
        }
    }
}

#[test]
fn forged_packets_seldom_hide_the_right_port() {
    for round_trip in [50, 150, 300] {
        for (forged, least) in [(20, 0.98), (40, 0.98), (200, 0.6)] {
            let told = many(round_trip, 0.5, forged);
            assert!(told.right() >= least, "{round_trip} ms, {forged}: {told:?}");
        }
    }
}

/// A host registers in the middle of a flood of forged packets from its address, or before it; then
/// it comes back by a new connection several times. How often it is told right the first time, and
/// how often after each return.
fn returns(round_trip: u64, forged: u64, is_before: bool) -> [Told; 2] {
    const TIMES: usize = 4;
    let mut told = [Told::default(), Told::default()];
    for seed in 0..100 {
        let mut world = World::new(seed, round_trip);
        let host = SocketAddr::from(HOST);
        let client = |n: usize| SocketAddr::from(([192, 0, 2, 9], 3000 + n as u16));
        let registers = wire::reg2("1.2.4", &std::array::from_fn(|_| "Game".to_owned()));
        let from = Duration::from_secs(10);
        let mut time = if is_before { Duration::from_secs(5) } else { from };
        let mut asks = Vec::new();
        for n in 0..=TIMES {
            time += Duration::from_secs(3) + world.exponential(0.5);
            let conn = stay(&mut world, time, host, registers.clone());
            // The old connection ends when the new one begins.
            let end = time + Duration::from_secs(3);
            world.at(end, Event::Gone(conn));
            let at = time + Duration::from_secs(2);
            let ask = wire::connect(&host.ip().to_string());
            asks.push(world.come(at, client(n), b"connect\n\0", ask));
            time = end.checked_sub(Duration::from_secs(3)).unwrap_or(end);
        }
        let (mut flood, gap) = (from, Duration::from_micros(1_000_000 / forged));
        while flood < time + Duration::from_secs(2) {
            flood += gap;
            let from = SocketAddr::new(host.ip(), 10_000 + world.rng.within(0..50_000) as u16);
            world.at(flood, Event::Datagram(from, wire::datagram(b"reg\n\0")));
        }
        world.run();
        for (n, conn) in asks.iter().enumerate() {
            let said = world.said.get(conn).map(Vec::as_slice).unwrap_or_default();
            let right = said.iter().any(|(_, bytes)| introduced(bytes) == Some(host.port()));
            let told = &mut told[usize::from(n > 0)];
            told.joins += 1;
            told.right += usize::from(right);
        }
    }
    let [first, later] = &told;
    println!(
        "{round_trip:3} ms, {forged} forged reg/s, registered before {is_before}: {:.1} % right, \
         {:.1} % after it came back",
        100.0 * first.right(),
        100.0 * later.right()
    );
    told
}

#[test]
fn a_host_that_comes_back_in_a_flood_of_forged_packets_is_told_at_its_own_port() {
    for round_trip in [50, 150, 300] {
        for forged in [20, 40] {
            let [first, later] = returns(round_trip, forged, true);
            assert!(first.right() >= 0.97 && later.right() >= 0.97, "{first:?}, {later:?}");
            let [first, later] = returns(round_trip, forged, false);
            assert!(first.right() >= 0.6 && later.right() >= 0.95, "{first:?}, {later:?}");
        }
    }
}
