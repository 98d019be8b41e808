//! What it costs that the host is at another node: both nodes with all their threads, compared with one server.

use std::time::{Duration, Instant};

use compat_tests::bench::Failure;
use compat_tests::bench::players::{Kind, Server, Work, usual};
use compat_tests::bench::process::Process;
use compat_tests::bench::sockets::address;
use compat_tests::gmnet::{Lobby, Query};
use compat_tests::nats_server::NatsServers;

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
