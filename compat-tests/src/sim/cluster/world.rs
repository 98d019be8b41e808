//! One schedule: nodes, hosts and clients, and what is under way.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::time::Duration;

use punchd::clock::Instant;
use punchd::dialect::ConnId;

use super::Summary;
use super::book::{Book, Listed, Registered, SETTLED, TOLD, is_calm};
use super::nodes::{Defect, Done, Nodes};
use super::peers::{Client, Host, Owner, reg2};
use super::plan::{DURATION, NODES, Plan, Wrong};
use crate::sim::rng::Rng;
use crate::sim::trace::{Trace, Who};
use crate::sim::wire::{self, Message};

/// How often lobbies are looked at.
const LOOK: Duration = Duration::from_millis(250);

/// Within this time a client is answered, whatever happens.
const ANSWER: Duration = Duration::from_secs(8);

/// A client that has got through closes its connection so long after the answer.
const WELCOME: Duration = Duration::from_millis(300);

/// What happens.
#[derive(Clone, Debug)]
enum Event {
    Start(usize),
    Kill(usize),
    Register(usize),
    Change(usize),
    Leave(usize),
    Ask(usize),
    ClientDatagram(usize),
    CloseClient(usize),
    Judge(usize),
    Message(usize, Vec<u8>),
    Look,
}

/// A schedule that is being run.
#[derive(Debug)]
pub struct World {
    now: Instant,
    rng: Rng,
    plan: Plan,
    nodes: Nodes,
    hosts: Vec<Host>,
    clients: Vec<Client>,
    owners: HashMap<(usize, ConnId), Owner>,
    /// What is to happen, in order: of what happens at one time, what was said first.
    events: BTreeMap<(Instant, u64), Event>,
    count: u64,
    book: Book,
    summary: Summary,
    trace: Trace,
}

impl World {
    /// The schedule of a seed.
    #[must_use]
    pub fn new(seed: u64, defect: Defect) -> Self {
        let mut rng = Rng::new(seed);
        let plan = Plan::of(&mut rng);
        let mut world = Self {
            now: Instant::default(),
            rng,
            nodes: Nodes::new(defect),
            hosts: plan.hosts.iter().map(|_| Host::default()).collect(),
            clients: plan.clients.iter().map(|_| Client::default()).collect(),
            owners: HashMap::new(),
            events: BTreeMap::new(),
            count: 0,
            book: Book::default(),
            summary: Summary { schedules: 1, ..Summary::default() },
            trace: Trace::new(false),
            plan,
        };
        world.schedule();
        world
    }

    fn schedule(&mut self) {
        for n in 0..NODES {
            let at = Instant::from_micros(self.rng.within(0..50_000));
            self.at(at, Event::Start(n));
        }
        for fault in self.plan.faults.clone() {
            if let Wrong::Dead(n) = fault.what {
                self.at(fault.from, Event::Kill(n));
                self.at(fault.to, Event::Start(n));
            }
        }
        for (n, host) in self.plan.hosts.clone().into_iter().enumerate() {
            self.at(host.comes, Event::Register(n));
            host.changes.into_iter().for_each(|at| self.at(at, Event::Change(n)));
            host.leaves.into_iter().for_each(|at| self.at(at, Event::Leave(n)));
        }
        for (n, client) in self.plan.clients.clone().into_iter().enumerate() {
            self.at(client.asks, Event::Ask(n));
            self.at(client.asks + ANSWER, Event::Judge(n));
            let comes = client.late.map(|late| client.asks + late);
            comes.into_iter().for_each(|at| self.at(at, Event::ClientDatagram(n)));
        }
        self.at(Instant::from_micros(100_000), Event::Look);
    }

    fn at(&mut self, at: Instant, event: Event) {
        self.count += 1;
        self.events.insert((at, self.count), event);
    }

    /// When it is.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        Duration::from_micros(self.now.micros()).as_secs_f64()
    }

    /// What came of it.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let (messages, bytes) = self.nodes.sent;
        Summary { messages, bytes, trace: self.trace.hash(), ..self.summary }
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// With the first promise that is broken.
    pub fn run(&mut self) -> Result<(), String> {
        /// Turns in which what is done piece by piece is done, at the most.
        const AWAKE: u32 = 100;
        let end = Instant::default() + DURATION;
        let mut awake = 0;
        while let Some(at) = self.next_time().filter(|at| *at <= end) {
            self.summary.steps += 1;
            self.now = self.now.max(at);
            let wakes = self.nodes.next_wakeup().is_some_and(|due| due <= self.now);
            let done = if wakes {
                awake += 1;
                if awake > AWAKE {
                    return Err("a node does not sleep".into());
                }
                self.nodes.wake(self.now)
            } else {
                awake = 0;
                match self.events.pop_first() {
                    Some((_, event)) => self.handle(event)?,
                    None => return Ok(()),
                }
            };
            done.into_iter().for_each(|done| self.note(done));
            let (delay, faults) = (self.plan.delay, &self.plan.faults);
            for (to, at, bytes) in self.nodes.under_way(self.now, delay, faults, &mut self.rng) {
                self.at(at, Event::Message(to, bytes));
            }
        }
        Ok(())
    }

    fn next_time(&self) -> Option<Instant> {
        let next = self.events.first_key_value().map(|((at, _), _)| *at);
        next.into_iter().chain(self.nodes.next_wakeup()).min()
    }

    fn handle(&mut self, event: Event) -> Result<Vec<Done>, String> {
        let now = self.now;
        Ok(match event {
            Event::Start(n) => {
                if !self.nodes.lives(n) {
                    self.nodes.start(n);
                    self.book.born.insert(n, now);
                }
                Vec::new()
            }
            Event::Kill(n) => {
                self.kill(n);
                Vec::new()
            }
            Event::Register(n) => self.register(n),
            Event::Change(n) => self.change(n),
            Event::Leave(n) => self.leave(n),
            Event::Ask(n) => self.ask(n),
            Event::ClientDatagram(n) => match (self.plan.clients.get(n), self.clients.get(n)) {
                (Some(plan), Some(client)) => match client.conn {
                    Some((node, _)) => {
                        self.nodes.datagram(now, node, plan.at, &wire::datagram(b"connect"))
                    }
                    None => Vec::new(),
                },
                _ => Vec::new(),
            },
            Event::CloseClient(n) => match self.clients.get(n).and_then(|client| client.conn) {
                Some((node, conn)) => self.nodes.end(now, node, conn),
                None => Vec::new(),
            },
            Event::Judge(n) => {
                self.judge(n)?;
                Vec::new()
            }
            Event::Message(to, bytes) => self.nodes.hear(now, to, &bytes),
            Event::Look => {
                self.look()?;
                self.at(now + LOOK, Event::Look);
                Vec::new()
            }
        })
    }

    /// A node dies; who was connected there notices, and hosts go to another.
    fn kill(&mut self, n: usize) {
        if !self.nodes.lives(n) {
            return;
        }
        self.nodes.kill(n);
        self.summary.deaths += 1;
        for host in self.book.hosts.values_mut().filter(|host| host.node == n) {
            host.ended.get_or_insert((self.now, true));
        }
        for i in 0..self.hosts.len() {
            let Some(host) = self.hosts.get_mut(i) else { continue };
            if host.conn.is_some_and(|(node, _)| node == n) {
                host.conn = None;
                let at = self.now + self.rng.millis(500..3000);
                self.at(at, Event::Register(i));
            }
        }
        for client in &mut self.clients {
            client.is_lost |= client.conn.is_some_and(|(node, _)| node == n);
        }
        for times in 0..20 {
            if let Some(hello) = self.nodes.undead(n, times) {
                let at = self.now + Duration::from_millis(500) * u32::from(times);
                (0..NODES).for_each(|to| self.at(at, Event::Message(to, hello.clone())));
            }
        }
    }

    /// The node that somebody gets who wants this one.
    fn living(&self, wanted: usize) -> Option<usize> {
        (0..NODES).map(|n| (wanted + n) % NODES).find(|n| self.nodes.lives(*n))
    }

    fn register(&mut self, n: usize) -> Vec<Done> {
        let Some(plan) = self.plan.hosts.get(n).copied() else { return Vec::new() };
        let Some(node) = self.living(plan.node) else {
            self.at(self.now + TOLD, Event::Register(n));
            return Vec::new();
        };
        let Some(host) = self.hosts.get_mut(n).filter(|host| !host.has_left) else {
            return Vec::new();
        };
        host.times += 1;
        self.summary.moved += u64::from(host.times > 1);
        let name = format!("h{n}.{}", host.times);
        let mut done = self.nodes.datagram(self.now, node, plan.at, &wire::datagram(b"reg"));
        let Some(conn) = self.nodes.open(self.now, node, plan.at) else { return done };
        host.conn = Some((node, conn));
        self.owners.insert((node, conn), Owner::Host(n));
        done.extend(self.nodes.send(self.now, node, conn, &reg2(&name, "new")));
        let (at, since) = (plan.at, self.now);
        let data = "new".to_owned();
        let (changed, shares) = (since, plan.shares);
        let entry = Registered { at, node, since, changed, data, shares, ended: None };
        self.book.hosts.insert(name, entry);
        done
    }

    fn change(&mut self, n: usize) -> Vec<Done> {
        let Some(host) = self.hosts.get(n) else { return Vec::new() };
        let Some((node, conn)) = host.conn else { return Vec::new() };
        let name = format!("h{n}.{}", host.times);
        if let Some(entry) = self.book.hosts.get_mut(&name) {
            (entry.changed, entry.data) = (self.now, "changed".into());
        }
        self.nodes.send(self.now, node, conn, &reg2(&name, "changed"))
    }

    fn leave(&mut self, n: usize) -> Vec<Done> {
        let Some(host) = self.hosts.get_mut(n) else { return Vec::new() };
        host.has_left = true;
        let Some((node, conn)) = host.conn.take() else { return Vec::new() };
        if let Some(entry) = self.book.hosts.get_mut(&format!("h{n}.{}", host.times)) {
            entry.ended.get_or_insert((self.now, false));
        }
        self.nodes.end(self.now, node, conn)
    }

    fn ask(&mut self, n: usize) -> Vec<Done> {
        let Some(plan) = self.plan.clients.get(n).copied() else { return Vec::new() };
        let Some(host) = self.plan.hosts.get(plan.host).copied() else { return Vec::new() };
        let Some(node) = self.living(plan.node) else { return Vec::new() };
        let Some(conn) = self.nodes.open(self.now, node, plan.at) else { return Vec::new() };
        self.owners.insert((node, conn), Owner::Client(n));
        let times = self.hosts.get(plan.host).map_or(0, |host| host.times);
        let name = format!("h{}.{times}", plan.host);
        let known = self.book.hosts.get(&name).filter(|entry| {
            !host.shares && self.book.must_know(&self.plan.faults, node, entry, self.now)
        });
        let sure = known.map(|_| name);
        if let Some(client) = self.clients.get_mut(n) {
            (client.conn, client.sure) = (Some((node, conn)), sure);
        }
        self.nodes.send(self.now, node, conn, &wire::connect(&host.at.ip().to_string()))
    }

    fn note(&mut self, done: Done) {
        let (node, conn, bytes) = match done {
            Done::Said(node, conn, bytes) => (node, conn, bytes),
            Done::Closed(..) => return,
        };
        self.trace.note(self.now, "said", Who::Conn(conn), &bytes);
        match self.owners.get(&(node, conn)).copied() {
            Some(Owner::Host(n)) => {
                if let (Some(Message::Introduction(ip, port)), Some(host)) =
                    (wire::parse(&bytes), self.hosts.get_mut(n))
                {
                    host.told.push((host.times, ip.into(), port.into()));
                }
            }
            Some(Owner::Client(n)) => {
                if let Some(client) = self.clients.get_mut(n) {
                    client.answers.push((self.now, bytes));
                    self.at(self.now + WELCOME, Event::CloseClient(n));
                }
            }
            None => {}
        }
    }

    /// What a client was told in time, and its host.
    fn judge(&mut self, n: usize) -> Result<(), String> {
        let (Some(plan), Some(client)) = (self.plan.clients.get(n), self.clients.get(n)) else {
            return Ok(());
        };
        let Some((node, _)) = client.conn.filter(|_| !client.is_lost) else { return Ok(()) };
        let [(_, answer)] = &client.answers[..] else {
            let answers = &client.answers;
            return Err(format!("client {n} of node {node} got no single answer: {answers:?}"));
        };
        let told = self.told_of(plan.host, plan.at);
        if told > 1 {
            return Err(format!("the host of client {n} was told of it {told} times"));
        }
        let until = plan.asks + SETTLED;
        let sure = client.sure.as_ref().and_then(|name| self.book.hosts.get(name));
        let sure = sure.filter(|host| {
            let stayed = host.ended.is_none_or(|(ended, _)| ended > until);
            let is_calm = is_calm(&self.plan.faults, (node, host.node), plan.asks, until);
            stayed && (is_calm || host.node == node)
        });
        let Some(host) = sure else {
            self.summary.answered += 1;
            return Ok(());
        };
        let [ip, port] = [host.at.ip().to_string(), host.at.port().to_string()];
        if wire::parse(answer) != Some(Message::Introduction(&ip, &port)) {
            let answer = answer.escape_ascii();
            let at = host.node;
            return Err(format!("client {n} of node {node} was told {answer}, not {ip} of {at}"));
        }
        if plan.late.is_some() && told != 1 {
            let at = host.node;
            return Err(format!("host {} of {at} was not told of client {n} of {node}", plan.host));
        }
        self.summary.introduced += 1;
        self.summary.introduced_elsewhere += u64::from(host.node != node);
        Ok(())
    }

    /// How often a host was told of a client, at most, since it was registered: one that has come to another node is told
    /// again if the client still waits.
    fn told_of(&self, host: usize, client: SocketAddr) -> usize {
        let [ip, port] = [client.ip().to_string(), client.port().to_string()];
        let told = self.hosts.get(host).into_iter().flat_map(|host| &host.told);
        let of_it = told.filter(|(_, told_ip, told_port)| (told_ip, told_port) == (&ip, &port));
        let times: Vec<u32> = of_it.map(|(times, ..)| *times).collect();
        times
            .iter()
            .map(|one| times.iter().filter(|other| *other == one).count())
            .max()
            .unwrap_or(0)
    }

    /// Looks at the lobbies of all nodes.
    fn look(&mut self) -> Result<(), String> {
        for n in 0..NODES {
            let Some(reply) = self.nodes.look(self.now, n, &wire::lobby2()) else { continue };
            let listed: Option<Vec<Listed>> = match wire::parse(&reply) {
                Some(Message::Lobby(json)) => serde_json::from_str(json).ok(),
                _ => None,
            };
            let lobby = listed.ok_or_else(|| format!("no lobby: {}", reply.escape_ascii()))?;
            let (had_to, elsewhere) = self.book.check(&self.plan.faults, n, &lobby, self.now)?;
            self.summary.looks += 1;
            self.summary.listed += had_to;
            self.summary.listed_elsewhere += elsewhere;
        }
        Ok(())
    }
}
