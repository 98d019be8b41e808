//! Storms, floods, and what the program is before anybody has come.

use std::net::SocketAddr;
use std::time::Instant;

use compat_tests::bench::Failure;
use compat_tests::bench::flood::{Flood, sink};
use compat_tests::bench::players::{Kind, Work, usual};
use compat_tests::bench::process::Process;
use compat_tests::bench::questions::{ask, hosts_in, lobby_request};
use compat_tests::bench::sockets::{address, tcp, wait_for_version};
use compat_tests::bench::stats::Rounds;

use crate::report::Reach;
use crate::{Bench, Sides, Table, sides};

/// Kinds of peers, for their addresses.
const HOST: u8 = 7;
const NEWCOMER: u8 = 8;

/// All come at once: half of them register, half of them join hosts that were there before.
pub(crate) fn storm(bench: &mut Bench) -> Result<(), Failure> {
    const HALF: usize = 5000;
    const HOSTS: usize = 1200;
    let rounds: Result<Vec<(f64, f64)>, Failure> = (0..3)
        .map(|_| {
            let mut table = Table::master(bench.punchd(&[])?, HALF)?;
            table.players.register((0..HOSTS).map(|n| address(HOST, n)), usual)?;
            let newcomers: Vec<_> = (0..HALF).map(|n| address(NEWCOMER, n)).collect();
            let (done, crowd) = table.players.storm(&newcomers, usual)?;
            let listed = hosts_in(&ask(table.server.addr(), &lobby_request("", None))?)?.len();
            if listed != HOSTS + crowd.len() {
                return Err(Failure::Wrong(format!("{listed} hosts are listed")));
            }
            Ok((done.took.as_secs_f64(), done.untold as f64))
        })
        .collect();
    let Sides { ours: took, other: untold, .. } = sides(rounds?);
    let what = "storm of 10,000 connections, none refused: time until all are answered";
    bench.report.tell(what, Reach::Any, "s", &took);
    let what = "storm of 10,000 connections: datagrams lost, so hosts not told";
    bench.report.tell(what, Reach::AtMost(0.0), "", &untold);
    Ok(())
}

/// Introductions on kept connections beside a flood of forged datagrams, compared with a flood of
/// the same load on this core that goes elsewhere.
pub(crate) fn flood(bench: &mut Bench) -> Result<(), Failure> {
    const CLIENTS: usize = 500;
    let work = Work { kind: Kind::Kept, count: 3000, at_once: 64, rate: None };
    let mut table = Table::master(bench.punchd(&[])?, CLIENTS)?;
    table.players.register((0..2000).map(|n| address(HOST, n)), usual)?;
    table.players.connect_clients()?;
    table.players.introduce(&work)?;
    let SocketAddr::V4(target) = table.server.addr() else { return Ok(()) };
    let (_sink, elsewhere) = sink()?;
    let mut sent = Rounds::default();
    let mut memory = Rounds::default();
    let mut rate = |to| {
        let flood = Flood::start(to)?;
        let done = table.players.introduce(&work)?;
        if to == target {
            sent.add(flood.sent() as f64 / done.took.as_secs_f64());
            memory.add(table.server.memory()? as f64 / 1e6);
        }
        Ok::<_, Failure>(work.count as f64 / done.took.as_secs_f64())
    };
    let mut rounds = Vec::new();
    for _ in 0..=bench.rounds {
        rounds.push((rate(target)?, rate(elsewhere)?));
    }
    let what = "introductions, kept connections, beside a flood of forged reg";
    let rates = sides(rounds.into_iter().skip(1));
    bench.report.compare(what, Reach::Above(0.5), "/s", &rates, "flood elsewhere");
    bench.report.tell("the flood: datagrams sent", Reach::Any, "/s", &sent);
    bench.report.tell("the flood: memory of the server, in all", Reach::Any, "MB", &memory);
    Ok(())
}

pub(crate) fn start(bench: &mut Bench) -> Result<(), Failure> {
    let rounds: Result<Rounds, Failure> = (0..20)
        .map(|_| {
            let begin = Instant::now();
            let server = Process::punchd(&bench.punchd, &[])?;
            let stream = tcp(address(NEWCOMER, 0), server.addr());
            wait_for_version(&mut stream.map_err(Failure::system("connect"))?)?;
            let took = begin.elapsed().as_secs_f64() * 1e3;
            server.stop()?;
            Ok(took)
        })
        .collect();
    bench.report.tell("start to first answer", Reach::AtMost(10.0), "ms", &rounds?);
    let size = std::fs::metadata(&bench.punchd).map_err(Failure::system("look at punchd"))?.len();
    let size = [size as f64 / 1e6].into_iter().collect();
    bench.report.tell("size of the program", Reach::AtMost(4.0), "MB", &size);
    Ok(())
}
