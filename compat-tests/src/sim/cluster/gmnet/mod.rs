//! Hosts and clients of GMnet, and what they are promised.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use punchd::dialect::ConnId;

use super::Summary;
use super::faults::{SETTLED, TOLD};
use super::nodes::Done;
use super::plan::{LEAVE, LOOKED, NODES};
use super::stage::{self, Stage};
use crate::sim::wire::{self, Message};
use book::{Book, Listed, Registered};
use peers::{Client, Host, Owner, reg2};
use plan::Plan;
use punchd::clock::Instant;

pub mod book;
mod peers;
pub mod plan;

/// How often lobbies are looked at.
const LOOK: Duration = Duration::from_millis(250);

/// Within this time a client is answered, whatever happens.
const ANSWER: Duration = Duration::from_secs(8);

/// A client that has got through closes its connection so long after the answer.
const WELCOME: Duration = Duration::from_millis(300);

/// What happens.
#[derive(Clone, Copy, Debug)]
pub enum Event {
    /// A host comes, or comes to another node.
    Register(usize),
    /// It has other data.
    Change(usize),
    /// It leaves.
    Leave(usize),
    /// A client asks for a host.
    Ask(usize),
    /// Its datagram comes.
    ClientDatagram(usize),
    /// It has read its answer.
    CloseClient(usize),
    /// It must have been answered.
    Judge(usize),
    /// The lobbies of all nodes are looked at.
    Look,
}

impl From<Event> for stage::Event {
    fn from(event: Event) -> Self {
        Self::Gmnet(event)
    }
}

/// All of them.
#[derive(Debug)]
pub struct Cast {
    plan: Plan,
    hosts: Vec<Host>,
    clients: Vec<Client>,
    owners: HashMap<(usize, ConnId), Owner>,
    book: Book,
    summary: Summary,
}

impl Cast {
    /// Those of a seed.
    pub fn new(stage: &mut Stage) -> Self {
        let plan = Plan::of(&mut stage.rng);
        for (n, host) in plan.hosts.iter().enumerate() {
            stage.at(host.comes, Event::Register(n).into());
            host.changes.into_iter().for_each(|at| stage.at(at, Event::Change(n).into()));
            let leaves = host.leaves.into_iter().chain([Instant::default() + LEAVE]);
            leaves.for_each(|at| stage.at(at, Event::Leave(n).into()));
        }
        for (n, client) in plan.clients.iter().enumerate() {
            stage.at(client.asks, Event::Ask(n).into());
            stage.at(client.asks + ANSWER, Event::Judge(n).into());
            let comes = client.late.map(|late| client.asks + late);
            comes.into_iter().for_each(|at| stage.at(at, Event::ClientDatagram(n).into()));
        }
        stage.at(Instant::from_micros(100_000), Event::Look.into());
        Self {
            hosts: plan.hosts.iter().map(|_| Host::default()).collect(),
            clients: plan.clients.iter().map(|_| Client::default()).collect(),
            owners: HashMap::new(),
            book: Book::default(),
            summary: Summary::default(),
            plan,
        }
    }

    /// What came of it.
    #[must_use]
    pub const fn summary(&self) -> Summary {
        self.summary
    }

    /// Something happens.
    ///
    /// # Errors
    /// If a promise is broken.
    pub fn handle(&mut self, stage: &mut Stage, event: Event) -> Result<(), String> {
        match event {
            Event::Register(n) => self.register(stage, n),
            Event::Change(n) => self.change(stage, n),
            Event::Leave(n) => self.leave(stage, n),
            Event::Ask(n) => self.ask(stage, n),
            Event::ClientDatagram(n) => {
                if let (Some(plan), Some((node, _))) = (self.plan.clients.get(n), self.conn(n)) {
                    stage.datagram(node, plan.at, &wire::datagram(b"connect"));
                }
            }
            Event::CloseClient(n) => {
                if let Some((node, conn)) = self.conn(n) {
                    stage.end(node, conn);
                }
            }
            Event::Judge(n) => self.judge(stage, n)?,
            Event::Look => {
                self.look(stage)?;
                if stage.now < Instant::default() + LOOKED {
                    stage.after(LOOK, Event::Look.into());
                }
            }
        }
        Ok(())
    }

    fn conn(&self, client: usize) -> Option<(usize, ConnId)> {
        self.clients.get(client)?.conn
    }

    /// A node has died; who was connected there notices, and hosts go to another.
    pub fn on_death(&mut self, stage: &mut Stage, n: usize) {
        for host in self.book.hosts.values_mut().filter(|host| host.node == n) {
            host.ended.get_or_insert((stage.now, true));
        }
        for i in 0..self.hosts.len() {
            let Some(host) = self.hosts.get_mut(i) else { continue };
            if host.conn.is_some_and(|(node, _)| node == n) {
                host.conn = None;
                let wait = stage.rng.millis(500..3000);
                stage.after(wait, Event::Register(i).into());
            }
        }
        for client in &mut self.clients {
            client.is_lost |= client.conn.is_some_and(|(node, _)| node == n);
        }
    }

    fn register(&mut self, stage: &mut Stage, n: usize) {
        let Some(plan) = self.plan.hosts.get(n).copied() else { return };
        let Some(node) = stage.living(plan.node) else {
            stage.after(TOLD, Event::Register(n).into());
            return;
        };
        let Some(host) = self.hosts.get_mut(n).filter(|host| !host.has_left) else {
            return;
        };
        host.times += 1;
        self.summary.moved += u64::from(host.times > 1);
        let name = format!("h{n}.{}", host.times);
        stage.datagram(node, plan.at, &wire::datagram(b"reg"));
        let Some(conn) = stage.open(node, plan.at) else { return };
        host.conn = Some((node, conn));
        self.owners.insert((node, conn), Owner::Host(n));
        stage.send(node, conn, &reg2(&name, "new"));
        let (at, since) = (plan.at, stage.now);
        let data = "new".to_owned();
        let (changed, shares) = (since, plan.shares);
        let entry = Registered { at, node, since, changed, data, shares, ended: None };
        self.book.hosts.insert(name, entry);
    }

    fn change(&mut self, stage: &mut Stage, n: usize) {
        let Some(host) = self.hosts.get(n) else { return };
        let Some((node, conn)) = host.conn else { return };
        let name = format!("h{n}.{}", host.times);
        if let Some(entry) = self.book.hosts.get_mut(&name) {
            (entry.changed, entry.data) = (stage.now, "changed".into());
        }
        stage.send(node, conn, &reg2(&name, "changed"));
    }

    fn leave(&mut self, stage: &mut Stage, n: usize) {
        let Some(host) = self.hosts.get_mut(n) else { return };
        host.has_left = true;
        let Some((node, conn)) = host.conn.take() else { return };
        if let Some(entry) = self.book.hosts.get_mut(&format!("h{n}.{}", host.times)) {
            entry.ended.get_or_insert((stage.now, false));
        }
        stage.end(node, conn);
    }

    fn ask(&mut self, stage: &mut Stage, n: usize) {
        let Some(plan) = self.plan.clients.get(n).copied() else { return };
        let Some(host) = self.plan.hosts.get(plan.host).copied() else { return };
        let Some(node) = stage.living(plan.node) else { return };
        let Some(conn) = stage.open(node, plan.at) else { return };
        self.owners.insert((node, conn), Owner::Client(n));
        let times = self.hosts.get(plan.host).map_or(0, |host| host.times);
        let name = format!("h{}.{times}", plan.host);
        let known = self.book.hosts.get(&name).filter(|entry| entry.is_known(stage.view(node)));
        let sure = known.map(|_| name);
        if let Some(client) = self.clients.get_mut(n) {
            (client.conn, client.sure) = (Some((node, conn)), sure);
        }
        stage.send(node, conn, &wire::connect(&host.at.ip().to_string()));
    }

    /// A node has done something for somebody.
    pub fn hear(&mut self, stage: &mut Stage, done: &Done) {
        let Done::Said(node, conn, bytes) = done else { return };
        let (node, conn) = (*node, *conn);
        match self.owners.get(&(node, conn)).copied() {
            Some(Owner::Host(n)) => {
                if let (Some(Message::Introduction(ip, port)), Some(host)) =
                    (wire::parse(bytes), self.hosts.get_mut(n))
                {
                    host.told.push((host.times, ip.into(), port.into()));
                }
            }
            Some(Owner::Client(n)) => {
                if let Some(client) = self.clients.get_mut(n) {
                    client.answers.push((stage.now, bytes.clone()));
                    stage.after(WELCOME, Event::CloseClient(n).into());
                }
            }
            None => {}
        }
    }

    /// What a client was told in time, and its host.
    fn judge(&mut self, stage: &Stage, n: usize) -> Result<(), String> {
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
            let is_calm = stage.faults.is_calm((node, host.node), plan.asks, until);
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
    fn look(&mut self, stage: &mut Stage) -> Result<(), String> {
        for n in 0..NODES {
            let Some(reply) = stage.nodes.look(stage.now, n, &wire::lobby2()) else { continue };
            let listed: Option<Vec<Listed>> = match wire::parse(&reply) {
                Some(Message::Lobby(json)) => serde_json::from_str(json).ok(),
                _ => None,
            };
            let lobby = listed.ok_or_else(|| format!("no lobby: {}", reply.escape_ascii()))?;
            let (had_to, elsewhere) = self.book.check(stage.view(n), &lobby)?;
            self.summary.looks += 1;
            self.summary.listed += had_to;
            self.summary.listed_elsewhere += elsewhere;
        }
        Ok(())
    }
}
