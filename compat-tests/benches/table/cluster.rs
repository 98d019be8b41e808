//! What it costs that the host is at another node: both nodes with all their threads, compared with one server; and
//! what nodes need for each other's hosts, without sockets.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use compat_tests::bench::Failure;
use compat_tests::bench::players::{Kind, Server, Work, usual};
use compat_tests::bench::process::Process;
use compat_tests::bench::sockets::address;
use compat_tests::gmnet::{Lobby, Query};
use compat_tests::nats_server::NatsServers;
use compat_tests::sim::wire;
use compat_tests::unplugged_nodes::Nodes;
use punchd::dialect::{Name, gmnet};
use punchd::limits::Limits;
use punchd::server::Config;

use crate::report::Reach;
use crate::{Bench, Table, sides};

/// Kinds of peers, for their addresses.
const HOST: u8 = 3;
/// So many that none is asked for again before its notify gap is over.
const HOSTS: usize = 2400;
const CLIENTS: usize = 500;
/// How long the nodes may take to know each other's hosts.
const PATIENCE: Duration = Duration::from_secs(20);

/// Players, and the servers that serve them.
struct Served {
    table: Table,
    other: Option<Process>,
}

pub(crate) fn introductions(bench: &mut Bench) -> Result<(), Failure> {
    let Some(nats) = NatsServers::start(1) else {
        println!(
            "introductions between nodes are left out: they take a nats-server and --features cluster"
        );
        return Ok(());
    };
    let urls = nats.urls(0);
    let node = |name| bench.punchd(&["--cluster", &urls, "--node", name]);
    let mut table = Table::master(node("a")?, CLIENTS)?;
    table.players.register((0..HOSTS).map(|n| address(HOST, n)), usual)?;
    let asked = node("b")?;
    wait_for_hosts(&asked)?;
    table.players.ask_at(Server::Master(asked.addr()))?;
    let mut between = Served { table, other: Some(asked) };
    let mut table = Table::master(bench.punchd(&[])?, CLIENTS)?;
    table.players.register((0..HOSTS).map(|n| address(HOST, n)), usual)?;
    let mut alone = Served { table, other: None };
    for at_once in [64, 1] {
        let count = if at_once == 1 { 3000 } else { 10_000 };
        let work = Work { kind: Kind::Fresh, count, at_once, rate: None };
        let rounds = bench.alternate(|| between.round(&work), || alone.round(&work))?;
        let what = format!("introduction between two nodes, {at_once} at a time: CPU of both");
        bench.report.compare(&what, Reach::Within(1.5), "us", &sides(rounds), "one node");
    }
    Ok(())
}

/// Waits until a node knows of all hosts.
fn wait_for_hosts(node: &Process) -> Result<(), Failure> {
    let end = Instant::now() + PATIENCE;
    let count = || {
        let query = Query { limit: Some(HOSTS as u32), ..Query::default() };
        Lobby::fetch(node.addr(), None, &query, PATIENCE).map(|lobby| lobby.entries.len())
    };
    while count().unwrap_or_default() < HOSTS {
        if Instant::now() > end {
            return Err(Failure::Late("a node does not hear of the hosts of another".into()));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

impl Served {
    /// Microseconds of all threads of all servers for each introduction.
    fn round(&mut self, work: &Work) -> Result<f64, Failure> {
        let before = self.used()?;
        self.table.players.introduce(work)?;
        Ok((self.used()? - before).as_secs_f64() * 1e6 / work.count as f64)
    }

    fn used(&self) -> Result<Duration, Failure> {
        let servers = [Some(&self.table.server), self.other.as_ref()];
        servers.into_iter().flatten().try_fold(Duration::ZERO, |sum, server| {
            server.cpu_at_rest()?;
            Ok(sum + server.cpu_of_all()?)
        })
    }
}

/// What two nodes need for each other's hosts, and a third for those of both. It is done once: only how long turns take
/// differs from one time to the next.
pub(crate) fn hosts(bench: &mut Bench) -> Result<(), Failure> {
    let count: u32 = if bench.full { 100_000 } else { 10_000 };
    let each = |all: usize| all as f64 / f64::from(count);
    let connections = 2 * count as usize;
    let limits = Limits { connections, commands_per_second: 0, ..Limits::default() };
    let gmnet = gmnet::Config { limits, ..gmnet::Config::default() };
    let config = Config { limits, gmnet, dialects: vec![Name::Gmnet], ..Config::default() };
    let mut tell = |what: &str, reach, unit, value: f64| {
        let what = format!("{count} hosts of two nodes: {what}");
        bench.report.tell(&what, reach, unit, &[value].into_iter().collect());
    };
    let before = memory()?;
    let mut nodes = Nodes::new(vec![config.clone(); 2]);
    register(&mut nodes, count);
    if listed(&mut nodes, 0) != count as usize {
        return Err(Failure::Wrong("a node does not know the hosts of another".into()));
    }
    tell(
        "memory of a node for each",
        Reach::AtMost(1000.0),
        "bytes",
        each((memory()? - before) / 2),
    );
    tell("sent for each", Reach::AtMost(120.0), "bytes", each(nodes.bytes));
    tell("longest turn", Reach::Any, "ms", longest(&mut nodes));
    nodes.bytes = 0;
    nodes.pass(10_000);
    let at_rest = nodes.bytes as f64 / 2.0 / 10.0;
    tell("sent by a node at rest", Reach::AtMost(300.0), "bytes/s", at_rest);
    (nodes.bytes, nodes.longest) = (0, Duration::ZERO);
    nodes.add(config);
    let mut millis = 0;
    while listed(&mut nodes, 2) < count as usize {
        nodes.pass(100);
        millis += 100;
        if millis > 60_000 {
            return Err(Failure::Late("a new node does not hear of the hosts of others".into()));
        }
    }
    tell("a third node knows all after", Reach::AtMost(5000.0), "ms", f64::from(millis));
    tell("sent to it for each", Reach::AtMost(120.0), "bytes", each(nodes.bytes));
    tell("longest turn meanwhile", Reach::Any, "ms", longest(&mut nodes));
    nodes.kill(1);
    nodes.pass(5000);
    if listed(&mut nodes, 2) != count as usize / 2 {
        return Err(Failure::Wrong("hosts of a node that is gone are listed".into()));
    }
    tell("longest turn as a node is gone", Reach::Any, "ms", longest(&mut nodes));
    Ok(())
}

/// So many hosts, by turns at the first node and at the second, each of an address of its own.
fn register(nodes: &mut Nodes, count: u32) {
    for host in 0..count {
        let (n, from) = ((host % 2) as usize, IpAddr::from((0x0B00_0000 + host).to_be_bytes()));
        let mut data = <[String; 8]>::default();
        (data[0], data[1]) = ("game".into(), format!("at {from}"));
        nodes.datagram(n, SocketAddr::new(from, 2000), &wire::datagram(b"reg"));
        let conn = nodes.open(n, SocketAddr::new(from, 4000));
        nodes.write(n, conn, &wire::reg2("1.2.4", &data));
        if host % 100 == 99 {
            nodes.pass(10);
        }
    }
    nodes.pass(10);
    (nodes.written, nodes.sent) = (Vec::new(), Vec::new());
}

/// How many hosts the lobby of a node has. The time that it takes does not count.
fn listed(nodes: &mut Nodes, n: usize) -> usize {
    let longest = nodes.longest;
    let conn = nodes.open(n, SocketAddr::from(([198, 51, 100, 9], 4000)));
    nodes.write(n, conn, &wire::lobby2());
    nodes.end(n, conn);
    nodes.longest = longest;
    let reply = nodes.written.drain(..).find(|(_, to, _)| *to == conn).unwrap_or((0, conn, vec![]));
    reply.2.windows(5).filter(|part| part == b"\"ip\":").count()
}

/// The longest that a node has worked without a pause since this was asked last, in milliseconds.
fn longest(nodes: &mut Nodes) -> f64 {
    std::mem::take(&mut nodes.longest).as_secs_f64() * 1e3
}

/// Bytes of memory that this process has.
fn memory() -> Result<usize, Failure> {
    let text =
        std::fs::read_to_string("/proc/self/statm").map_err(Failure::system("read statm"))?;
    let pages = text.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok());
    Ok(pages.unwrap_or(0) * 4096)
}
