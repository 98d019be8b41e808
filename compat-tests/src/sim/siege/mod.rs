//! Honest players beside one adversary, who floods, forges, holds, asks and lies with what one
//! machine can send. The real server runs, but for its sockets, with a made-up clock; what is
//! promised to the honest ones is checked, with the time it took. A seed is an adversary, a number
//! of players, and who comes when.
//!
//! Unlike in the schedules of [`super`] no packet of an honest player is lost but the UDP `reg` of some
//! hosts, and each has its own address, or one that only players share: what an adversary can do
//! to those behind his own address is another matter.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use punchd::clock::{Instant, Now};
use punchd::dialect::{ConnId, Outbox, Output, Via};
use punchd::limits::Limits;
use punchd::server::{Config, Server};

use super::restarts::Restarts;
use super::rng::Rng;
use super::wire::{self, Message};

mod adversary;
mod honest;

pub use adversary::Siege;
pub use honest::{Broken, Tally};
use honest::{Client, Host};

/// The honest players come within this time, as does what the adversary does.
const DURATION: Duration = Duration::from_secs(6);

/// What of it the adversary waits with: the hosts are there then.
const BEFORE: Duration = Duration::from_secs(1);

/// Where the server is.
const MASTER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 6510);

/// The other port of its STUN, in some seeds: hosts knock there whose NAT seems to count.
const OTHER_PORT: u16 = 6511;

/// More than any seed needs.
const MOST_STEPS: u64 = 1_000_000;

/// Number of a connection, as the peers count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct LinkId(usize);

/// Whose connection it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Host(usize),
    Client(usize),
    Viewer,
    Adversary,
}

#[derive(Debug)]
struct Link {
    source: SocketAddr,
    role: Role,
    /// When its first packet arrives.
    began: Instant,
    /// Its number at the server, while it is open there.
    conn: Option<ConnId>,
}

/// What arrives at the server, or somebody's next move.
#[derive(Debug)]
enum Event {
    /// A connection that its peer began so long ago.
    Open(LinkId),
    Bytes(LinkId, Vec<u8>),
    Fin(LinkId),
    Datagram(SocketAddr, Vec<u8>),
    /// The same at the other port.
    AtOtherPort(SocketAddr, Vec<u8>),
    HostStarts(usize),
    HostChanges(usize),
    HostRenews(usize),
    /// How often still, and whether at the other port.
    HostKnocks(usize, u32, bool),
    ClientStarts(usize),
    Look,
    Attack,
}

/// One seed.
#[derive(Debug)]
pub struct World {
    server: Server,
    restarts: Restarts,
    out: Outbox,
    rng: Rng,
    now: Instant,
    queue: BTreeMap<(Instant, u64), Event>,
    sequence: u64,
    links: Vec<Link>,
    slots: Vec<Option<LinkId>>,
    free: Vec<u32>,
    generation: u32,
    siege: Siege,
    hosts: Vec<Host>,
    clients: Vec<Client>,
    /// When the viewer's last request arrived.
    looked: Option<Instant>,
    tally: Tally,
}

/// A seed in which a promise was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Which seed.
    pub seed: u64,
    /// What its adversary did.
    pub siege: String,
    /// When.
    pub at: Instant,
    /// What was broken.
    pub what: Broken,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = Duration::from_micros(self.at.micros()).as_secs_f64();
        write!(f, "seed {} after {seconds:.6} s, {}: {}", self.seed, self.siege, self.what)
    }
}

/// Runs a seed.
///
/// # Errors
/// With the first promise that is broken.
pub fn run(seed: u64) -> Result<Tally, Failure> {
    let mut world = World::new(seed);
    let kept = world.run();
    let failure = |what| Failure { seed, siege: world.siege.to_string(), at: world.now, what };
    kept.map_err(failure)?;
    Ok(world.tally)
}

/// A small server, so that one machine can reach its bounds in seconds.
fn limits() -> Limits {
    Limits { connections: 600, connections_per_address: 64, ..Limits::default() }
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let siege = Siege::any(&mut rng);
        let limits = limits();
        let mut config = Config { limits, ..Config::default() };
        config.gmnet.limits = limits;
        config.gmnet.sockets = vec![MASTER];
        if siege.shows() || rng.permille(300) {
            config.gmnet.alternate_port = Some(OTHER_PORT);
            config.alternates_from = Some(1);
        }
        config.rooms.limits = limits;
        config.events.limits = limits;
        let mut world = Self {
            server: Server::new(config.clone()),
            restarts: Restarts::any(seed, config, 200),
            out: Outbox::new(),
            rng,
            now: Instant::default(),
            queue: BTreeMap::new(),
            sequence: 0,
            links: Vec::new(),
            slots: Vec::new(),
            free: Vec::new(),
            generation: 0,
            siege,
            hosts: Vec::new(),
            clients: Vec::new(),
            looked: None,
            tally: Tally::default(),
        };
        world.plan();
        world
    }

    /// Who comes when.
    fn plan(&mut self) {
        for n in 0..3 {
            let host = Host::any(n, &mut self.rng);
            self.hosts.push(host);
            let start = self.rng.millis(0..300);
            self.after(start, Event::HostStarts(n));
            let change = BEFORE + self.rng.millis(500..4500);
            match self.rng.index(5) {
                0 | 1 => self.after(change, Event::HostChanges(n)),
                2 => self.after(change, Event::HostRenews(n)),
                _ => {}
            }
        }
        let joins_per_second = self.rng.pick([1, 5, 5]);
        let mut time = BEFORE;
        while time < DURATION {
            let n = self.clients.len();
            let client = Client::any(n, self.hosts.len(), &mut self.rng);
            self.clients.push(client);
            self.after(time, Event::ClientStarts(n));
            time += self.rng.millis(0..2000) / joins_per_second;
        }
        for n in 0..12 {
            self.after(Duration::from_millis(700 + 433 * n), Event::Look);
        }
        self.after(BEFORE, Event::Attack);
    }

    fn run(&mut self) -> Result<(), Broken> {
        // The last introduction may wait for as long as any may.
        let end = Instant::default() + DURATION + Duration::from_secs(4);
        loop {
            let wakeup = self.server.next_wakeup().map(|at| at.max(self.now));
            let next = self.queue.first_key_value().map(|((at, _), _)| *at);
            let Some(at) = wakeup.into_iter().chain(next).min().filter(|at| *at < end) else {
                return self.check_end();
            };
            self.now = at;
            self.tally.steps += 1;
            let now = self.time();
            self.restarts.maybe(&mut self.server, now, &mut self.out);
            if self.tally.steps > MOST_STEPS {
                return Err(Broken::Spins);
            }
            match self.queue.first_entry().filter(|entry| entry.key().0 == at) {
                Some(entry) => {
                    let event = entry.remove();
                    self.handle(event)?;
                }
                None => self.server.on_wakeup(self.time(), &mut self.out),
            }
            self.deliver()?;
        }
    }

    fn time(&self) -> Now {
        Now { instant: self.now, unix: 1_700_000_000 + self.now.micros() / 1_000_000 }
    }

    /// Something happens so much later; what was said first of one time happens first.
    fn after(&mut self, delay: Duration, event: Event) {
        self.sequence += 1;
        self.queue.insert((self.now + delay, self.sequence), event);
    }

    fn handle(&mut self, event: Event) -> Result<(), Broken> {
        let now = self.time();
        match event {
            Event::Open(id) => self.open(id)?,
            Event::Bytes(id, bytes) => {
                if let Some(conn) = self.links.get(id.0).and_then(|link| link.conn) {
                    self.note_arrival(id);
                    self.server.on_bytes(now, conn, &bytes, &mut self.out);
                }
            }
            Event::Fin(id) => {
                let conn = self.links.get_mut(id.0).and_then(|link| link.conn.take());
                if let Some(conn) = conn {
                    self.server.on_fin(now, conn, &mut self.out);
                    self.server.on_gone(now, conn, &mut self.out);
                    self.give_back(conn);
                }
            }
            Event::Datagram(from, data) => {
                self.server.on_datagram(now, Via::default(), from, &data, &mut self.out);
            }
            Event::AtOtherPort(from, data) => {
                self.tally.at_other_port += 1;
                let via = Via { socket: 1, local: None };
                self.server.on_datagram(now, via, from, &data, &mut self.out);
            }
            Event::HostStarts(n) => self.start_host(n),
            Event::HostChanges(n) => self.change_host(n),
            Event::HostRenews(n) => self.renew_host(n),
            Event::HostKnocks(n, left, is_other) => self.knock(n, left, is_other),
            Event::ClientStarts(n) => self.start_client(n),
            Event::Look => self.look(),
            Event::Attack => self.attack(),
        }
        Ok(())
    }

    /// A peer begins a connection, says something on it at once, and stays.
    fn connect(&mut self, source: SocketAddr, role: Role, rtt: Duration, say: Vec<u8>) -> LinkId {
        let id = LinkId(self.links.len());
        let began = self.now + rtt / 2;
        self.links.push(Link { source, role, began, conn: None });
        // The server's system answers, and what that is answered with brings the first bytes along.
        self.after(rtt / 2 + rtt, Event::Open(id));
        self.after(rtt / 2 + rtt, Event::Bytes(id, say));
        id
    }

    fn open(&mut self, id: LinkId) -> Result<(), Broken> {
        let now = self.time();
        let Some(link) = self.links.get(id.0) else { return Ok(()) };
        let (source, began) = (link.source, link.began);
        if self.slots.len() - self.free.len() >= limits().connections {
            let Some(conn) = self.server.eviction_candidate(now, source.ip()) else {
                return self.closed(id);
            };
            self.server.on_gone(now, conn, &mut self.out);
            if let Some(other) = self.link_of(conn) {
                self.give_back(conn);
                self.closed(other)?;
            }
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() as u32 - 1
        });
        self.generation += 1;
        let conn = ConnId { slot, generation: self.generation };
        if let Some(place) = self.slots.get_mut(slot as usize) {
            *place = Some(id);
        }
        if let Some(link) = self.links.get_mut(id.0) {
            link.conn = Some(conn);
        }
        self.server.on_accept(now, || began, conn, source, &mut self.out);
        Ok(())
    }

    fn give_back(&mut self, conn: ConnId) {
        if let Some(place) = self.slots.get_mut(conn.slot as usize) {
            *place = None;
        }
        self.free.push(conn.slot);
    }

    fn link_of(&self, conn: ConnId) -> Option<LinkId> {
        let id = self.slots.get(conn.slot as usize).copied().flatten()?;
        self.links.get(id.0).filter(|link| link.conn == Some(conn)).map(|_| id)
    }

    /// Does what the server wants done, and checks it.
    fn deliver(&mut self) -> Result<(), Broken> {
        let out = std::mem::take(&mut self.out);
        for output in out.outputs() {
            match output {
                Output::Tcp(conn, bytes) => {
                    if let Some(id) = self.link_of(conn) {
                        self.hear(id, bytes)?;
                    }
                }
                Output::Close(conn) => {
                    if let Some(id) = self.link_of(conn) {
                        self.closed(id)?;
                        self.give_back(conn);
                    }
                }
                Output::Udp(..) => self.tally.datagrams += 1,
            }
        }
        self.out = out;
        self.out.clear();
        Ok(())
    }
}

/// The addresses of honest players: hosts, clients with one of their own, and one that several
/// clients share.
fn host_addr(n: usize) -> IpAddr {
    IpAddr::from([203, 0, 113, 1 + n as u8])
}

/// The port of a host's game.
fn host_port(n: usize) -> u16 {
    40_000 + n as u16
}
