//! Introductions: what they cost, how many there are a second, how long they take.

use compat_tests::bench::Failure;
use compat_tests::bench::players::{Kind, Work, usual};
use compat_tests::bench::process::Process;
use compat_tests::bench::sockets::address;

use crate::report::Reach;
use crate::{Bench, Table, UNHINDERED, sides};

/// Kinds of peers, for their addresses.
const HOST: u8 = 3;

/// Up to 56,600 times a second none is asked for again before its notify gap is over. Faster servers let notices
/// wait, and a client that asks again before its own has left is told of once. So a host is asked for by clients
/// that stand 150 apart or more, six in turn: `n * HOSTS % CLIENTS`.
const HOSTS: usize = 2830;
const CLIENTS: usize = 1000;
/// Beside a crowd there are not files for more.
const CLIENTS_BESIDE: usize = 250;
/// Players who want something at the same time.
const AT_ONCE: usize = 64;

fn work(kind: Kind) -> Work {
    let count = match kind {
        Kind::Fresh => 10_000,
        Kind::Kept => 30_000,
    };
    Work { kind, count, at_once: AT_ONCE, rate: None }
}

/// CPU time of one introduction, and introductions a second.
fn one_round(table: &mut Table, kind: Kind) -> Result<(f64, f64), Failure> {
    let work = work(kind);
    let (cpu, done) = table.cpu(work.count, |players| players.introduce(&work))?;
    Ok((cpu, work.count as f64 / done.took.as_secs_f64()))
}

/// Introductions a second of a core when all have asked before the server begins, with all that
/// comes of them, so that the load cannot be the bottleneck.
fn pent_up(table: &mut Table) -> Result<f64, Failure> {
    const COUNT: usize = 1000;
    let before = table.server.cpu_at_rest()?;
    table.server.pause(true)?;
    let server = &table.server;
    table.players.introduce_pent_up(Kind::Fresh, COUNT, || server.pause(false))?;
    let used = table.server.cpu_at_rest()? - before;
    Ok(COUNT as f64 / used.as_secs_f64())
}

pub(crate) fn introductions(bench: &mut Bench) -> Result<(), Failure> {
    for (kind, most) in [(Kind::Fresh, 1.15), (Kind::Kept, 1.3)] {
        let name = match kind {
            Kind::Fresh => "introduction, new connection",
            Kind::Kept => "introduction, kept connection",
        };
        let mut ours = table(bench.punchd(&[])?, CLIENTS, kind)?;
        let mut bare = bare(bench, kind)?;
        let rounds =
            bench.alternate(|| one_round(&mut ours, kind), || one_round(&mut bare, kind))?;
        let cpu = sides(rounds.iter().map(|((a, _), (b, _))| (*a, *b)));
        let rate = sides(rounds.iter().map(|((_, a), (_, b))| (*a, *b)));
        let report = &mut bench.report;
        report.compare(&format!("{name}: CPU"), Reach::Within(most), "us", &cpu, "bare loop");
        report.compare(&format!("{name}: rate"), Reach::Above(0.9), "/s", &rate, "bare loop");
        if kind == Kind::Fresh {
            let rounds = bench.alternate(|| pent_up(&mut ours), || pent_up(&mut bare))?;
            let what = format!("{name}: rate of a core, pent up");
            let sides = sides(rounds);
            bench.report.compare(&what, Reach::Above(0.9), "/s", &sides, "bare loop");
        }
    }
    let mut quiet = table(bench.punchd(&[])?, CLIENTS, Kind::Fresh)?;
    let mut logging = table(Process::punchd(&bench.punchd, UNHINDERED)?, CLIENTS, Kind::Fresh)?;
    let rounds = bench.alternate(
        || one_round(&mut logging, Kind::Fresh),
        || one_round(&mut quiet, Kind::Fresh),
    )?;
    let cpu = sides(rounds.iter().map(|((a, _), (b, _))| (*a, *b)));
    let what = "introduction, new connection, each logged: CPU";
    bench.report.compare(what, Reach::Any, "us", &cpu, "quiet");
    Ok(())
}

/// Answers at half of what the bare loop and the load can do.
pub(crate) fn latency(bench: &mut Bench) -> Result<(), Failure> {
    let kind = Kind::Fresh;
    let (mut ours, mut bare) = (table(bench.punchd(&[])?, CLIENTS, kind)?, bare(bench, kind)?);
    one_round(&mut bare, kind)?;
    let (_, top) = one_round(&mut bare, kind)?;
    let work = Work { count: 5000, at_once: 512, rate: Some(top / 2.0), ..work(kind) };
    let quantiles = |table: &mut Table| {
        let mut done = table.players.introduce(&work)?;
        Ok((done.latencies.quantile(0.5), done.latencies.quantile(0.99)))
    };
    let rounds = bench.alternate(|| quantiles(&mut ours), || quantiles(&mut bare))?;
    let half = sides(rounds.iter().map(|((a, _), (b, _))| (*a, *b)));
    let most = sides(rounds.iter().map(|((_, a), (_, b))| (*a, *b)));
    let report = &mut bench.report;
    let name = format!("time to the answer at {:.0}/s", top / 2.0);
    report.compare(&format!("{name}: 50 %"), Reach::Within(1.3), "us", &half, "bare loop");
    report.compare(&format!("{name}: 99 %"), Reach::Within(1.3), "us", &most, "bare loop");
    Ok(())
}

/// Introductions on a server with a crowd of idle hosts, compared with one without.
pub(crate) fn beside(
    bench: &mut Bench,
    crowded: Process,
    hosts: usize,
) -> Result<Process, Failure> {
    let mut crowded = table(crowded, CLIENTS_BESIDE, Kind::Kept)?;
    let mut empty = table(bench.punchd(&[])?, CLIENTS_BESIDE, Kind::Kept)?;
    // In this order, as clients give up what they keep for a new connection.
    for (kind, name) in [(Kind::Kept, "kept"), (Kind::Fresh, "new")] {
        let rounds =
            bench.alternate(|| one_round(&mut crowded, kind), || one_round(&mut empty, kind))?;
        let cpu = sides(rounds.iter().map(|((a, _), (b, _))| (*a, *b)));
        let what = format!("introduction, {name} connection, beside {hosts} idle hosts: CPU");
        bench.report.compare(&what, Reach::Within(1.1), "us", &cpu, "empty server");
    }
    Ok(crowded.server)
}

fn table(server: Process, clients: usize, kind: Kind) -> Result<Table, Failure> {
    with_clients(Table::master(server, clients)?, kind)
}

fn bare(bench: &Bench, kind: Kind) -> Result<Table, Failure> {
    with_clients(Table::bare(bench.bare(0)?, CLIENTS)?, kind)
}

/// Only clients that keep their connections have some.
fn with_clients(mut table: Table, kind: Kind) -> Result<Table, Failure> {
    table.players.register((0..HOSTS).map(|n| address(HOST, n)), usual)?;
    if kind == Kind::Kept {
        table.players.connect_clients()?;
    }
    Ok(table)
}
