//! Many hosts: registering them, the memory they take, and what they cost while nothing happens.

use std::time::{Duration, Instant};

use compat_tests::bench::Failure;
use compat_tests::bench::players::{Crowd, games, usual};
use compat_tests::bench::process::Process;
use compat_tests::bench::questions::{ask, hosts_in, lobby_request};
use compat_tests::bench::sockets::{ManyAddresses, address, tcp, wait_for_version};
use compat_tests::bench::stats::Rounds;
use compat_tests::gmnet::Data;
use compat_tests::gmnet::wire::{self, Protocol};
use punchd::limits;

use crate::report::Reach;
use crate::{Bench, Table, introductions, lobby, sides};

/// Kinds of peers, for their addresses.
const HOST: u8 = 6;

/// Seconds between two keepalives of a host.
const INTERVAL: f64 = limits::KEEPALIVE.as_secs() as f64;

pub(crate) fn registration(bench: &mut Bench) -> Result<(), Failure> {
    const COUNT: usize = 2000;
    let mut ours = Table::master(bench.punchd(&[])?, 0)?;
    let mut bare = Table::bare(bench.bare(0)?, 0)?;
    let mut begin = 0;
    let mut register = |table: &mut Table, is_checked: bool| {
        // New addresses each time: of those before, the ports are remembered for a while.
        begin += COUNT;
        let addresses = (begin..begin + COUNT).map(|n| address(HOST, n));
        let empty = |_| Data::default();
        let (cpu, crowd) = table.cpu(COUNT, |players| players.register_idle(addresses, empty))?;
        if is_checked {
            let listed = hosts_in(&ask(table.server.addr(), &lobby_request("", None))?)?.len();
            if listed != crowd.len() {
                return Err(Failure::Wrong(format!("{listed} of {COUNT} hosts are listed")));
            }
        }
        drop(crowd);
        table.server.cpu_at_rest()?;
        Ok(cpu)
    };
    let mut rounds = Vec::new();
    for _ in 0..=bench.rounds {
        rounds.push((register(&mut ours, true)?, register(&mut bare, false)?));
    }
    let cpu = sides(rounds.into_iter().skip(1));
    bench.report.compare("registration: CPU", Reach::Within(1.3), "us", &cpu, "bare loop");
    memory(bench, "", 600.0, |_| Data::default())?;
    memory(bench, " with usual strings", 680.0, usual)
}

/// Bytes that a host with such data strings takes.
fn memory(
    bench: &mut Bench,
    how: &str,
    most: f64,
    data: impl Fn(usize) -> Data + Copy,
) -> Result<(), Failure> {
    const COUNT: usize = 10_000;
    let (mut all, mut program) = (Rounds::default(), Rounds::default());
    for _ in 0..3 {
        let table = Table::master(bench.punchd(&[])?, 0)?;
        let before = (table.server.memory()?, table.server.mapped()?);
        let addresses = (0..COUNT).map(|n| address(HOST, n));
        let _crowd = table.players.register_idle(addresses, data)?;
        all.add((table.server.memory()? - before.0) as f64 / COUNT as f64);
        program.add((table.server.mapped()?.saturating_sub(before.1)) as f64 / COUNT as f64);
    }
    let what = format!("memory of a host{how}, of {COUNT}");
    bench.report.tell(&what, Reach::AtMost(most), "bytes", &all);
    // It does not grow with the hosts.
    let what = format!("{what}: parts of the program that were not used before");
    bench.report.tell(&what, Reach::Any, "bytes", &program);
    Ok(())
}

/// What there is beside a crowd of idle hosts.
pub(crate) fn crowd(bench: &mut Bench) -> Result<(), Failure> {
    const FEW: usize = 1000;
    crowd_of(bench, FEW)?;
    let (server, _crowd) = crowd_of(bench, bench.crowd)?;
    let server = lobby::one_game(bench, server, bench.crowd)?;
    introductions::beside(bench, server, bench.crowd)?;
    Ok(())
}

/// So many hosts, that do nothing, and what the server has of them.
fn crowd_of(bench: &mut Bench, hosts: usize) -> Result<(Process, Crowd), Failure> {
    let connections = (hosts + 6000).to_string();
    let server = bench.punchd(&["--max-connections", &connections])?;
    let before = server.memory()?;
    let table = Table::master(server, 0)?;
    let addresses = (0..hosts).map(|n| address(HOST, n));
    let crowd = table.players.register_idle(addresses, games(hosts / lobby::GAME))?;
    let server = table.server;
    let listed = hosts_in(&ask(server.addr(), &lobby_request("", None))?)?.len();
    if listed != crowd.len() {
        return Err(Failure::Wrong(format!("{listed} of {hosts} hosts are listed")));
    }
    let memory = (server.memory()? - before) as f64 / 1e6;
    let what = format!("memory of {hosts} hosts in {} games", hosts / lobby::GAME);
    bench.report.tell(&what, Reach::Any, "MB", &[memory].into_iter().collect());
    idle(bench, &server, hosts)?;
    Ok((server, crowd))
}

/// What the server does while nothing happens but its keepalives.
fn idle(bench: &mut Bench, server: &Process, hosts: usize) -> Result<(), Failure> {
    // Each host gets one datagram in twenty seconds, and they were registered in a few.
    let time = Duration::from_secs(if bench.full { 40 } else { 20 });
    let (cpu, sleeps, begin) = (server.cpu()?, server.sleeps()?, Instant::now());
    std::thread::sleep(time);
    let seconds = begin.elapsed().as_secs_f64();
    let share = (server.cpu()? - cpu).as_secs_f64() / seconds * 100.0;
    let sleeps = (server.sleeps()? - sleeps) as f64 / seconds;
    let each = share / 100.0 * 1e6 * INTERVAL / hosts as f64;
    let what = format!("{hosts} idle hosts: CPU");
    let unit = "% of a core";
    bench.report.tell(&what, Reach::AtMost(1.0), unit, &[share].into_iter().collect());
    let what = format!("{hosts} idle hosts: wake-ups");
    bench.report.tell(&what, Reach::Any, "/s", &[sleeps].into_iter().collect());
    let bare = keep_alive(bench, hosts)?;
    let what = format!("{hosts} idle hosts: CPU for each keepalive");
    let cpu = sides(bare.into_iter().map(|bare| (each, bare)));
    bench.report.compare(&what, Reach::Any, "us", &cpu, "bare loop");
    Ok(())
}

/// Microseconds that the bare loop computes for each of so many hosts when it sends them all a
/// datagram, one after the other.
fn keep_alive(bench: &Bench, hosts: usize) -> Result<Vec<f64>, Failure> {
    let bare = bench.bare(0)?;
    let udp = ManyAddresses::new(bare.addr()).map_err(Failure::system("open a UDP socket"))?;
    let register = wire::udp_register(Protocol::Modern);
    let say = |n, what: &[u8]| udp.send(address(HOST, n), what).map_err(Failure::system("send"));
    let mut probe = tcp(address(HOST, 0), bare.addr()).map_err(Failure::system("connect"))?;
    for n in 0..hosts {
        say(n, &register)?;
        if n % 64 == 0 {
            // So that none is lost for lack of space.
            wait_for_version(&mut probe)?;
        }
    }
    let rounds = (0..bench.rounds).map(|_| {
        let before = bare.cpu_at_rest()?;
        say(0, b"ka")?;
        wait_for_version(&mut probe)?;
        Ok((bare.cpu_at_rest()? - before).as_secs_f64() * 1e6 / hosts as f64)
    });
    rounds.collect()
}
