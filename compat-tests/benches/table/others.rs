//! The dialects beside GMnet: what it costs to join a room and to pass an event on, and the memory
//! of who is in a room.

use std::time::Duration;

use compat_tests::bench::Failure;
use compat_tests::bench::joiners::Joiners;
use compat_tests::bench::pairs::Pairs;
use compat_tests::bench::players::Server;
use compat_tests::bench::process::Process;
use compat_tests::bench::stats::Rounds;

use crate::report::Reach;
use crate::{Bench, sides};

/// Rooms may have so many clients.
const FULL: usize = 64;

/// Microseconds that a server computes for each, and how many there are a second.
pub(crate) type Round = (f64, f64);

/// Has `count` done and measures it.
pub(crate) fn one_round(
    server: &Process,
    count: usize,
    act: impl FnOnce() -> Result<Duration, Failure>,
) -> Result<Round, Failure> {
    let before = server.cpu_at_rest()?;
    let took = act()?;
    let used = server.cpu_at_rest()? - before;
    Ok((used.as_secs_f64() * 1e6 / count as f64, count as f64 / took.as_secs_f64()))
}

/// One row each for both results of [`one_round`].
fn compare(bench: &mut Bench, name: &str, least: f64, rounds: &[(Round, Round)]) {
    let cpu = sides(rounds.iter().map(|((a, _), (b, _))| (*a, *b)));
    let rate = sides(rounds.iter().map(|((_, a), (_, b))| (*a, *b)));
    let report = &mut bench.report;
    report.compare(&format!("{name}: CPU"), Reach::Any, "us", &cpu, "bare loop");
    report.compare(&format!("{name}: rate"), Reach::Above(least), "/s", &rate, "bare loop");
}

pub(crate) fn rooms(bench: &mut Bench) -> Result<(), Failure> {
    const ROOMS: usize = 50;
    const AT_ONCE: usize = 64;
    let clients = ROOMS * FULL;
    let (ours, bare) = (bench.punchd(&[])?, bench.bare(0)?);
    let mut players = Joiners::new(Server::Master(ours.addr()), ROOMS, clients)?;
    let mut others = Joiners::new(Server::Bare(bare.addr()), ROOMS, clients)?;
    let round = |server: &Process, joiners: &mut Joiners| {
        let done = one_round(server, clients, || joiners.join(AT_ONCE))?;
        joiners.leave()?;
        Ok(done)
    };
    let rounds = bench.alternate(|| round(&ours, &mut players), || round(&bare, &mut others))?;
    compare(bench, "rooms, a client joins and its host confirms", 0.8, &rounds);
    memory(bench)
}

/// Bytes that somebody in a room takes.
fn memory(bench: &mut Bench) -> Result<(), Failure> {
    let rooms = bench.crowd.min(10_000).div_ceil(FULL + 1);
    let peers = bench.crowd.min(10_000);
    let rounds: Result<Rounds, Failure> = (0..3)
        .map(|_| {
            let server = bench.punchd(&[])?;
            let before = server.memory()?;
            let mut joiners = Joiners::new(Server::Master(server.addr()), rooms, peers - rooms)?;
            joiners.join(FULL)?;
            Ok((server.memory()? - before) as f64 / peers as f64)
        })
        .collect();
    let what = format!("memory of somebody in a room, of {peers}");
    bench.report.tell(&what, Reach::AtMost(2048.0), "bytes", &rounds?);
    Ok(())
}

pub(crate) fn events(bench: &mut Bench) -> Result<(), Failure> {
    const COUNT: usize = 38_400;
    let forms = [(64, 1, "events, one pass at a time"), (1, 64, "events, 64 passes under way")];
    for (pairs, at_once, name) in forms {
        let (ours, bare) = (bench.punchd(&[])?, bench.bare(0)?);
        let mut peers = Pairs::new(Server::Master(ours.addr()), pairs)?;
        let mut others = Pairs::new(Server::Bare(bare.addr()), pairs)?;
        let round = |server: &Process, peers: &mut Pairs| {
            one_round(server, COUNT, || peers.pass(COUNT / pairs, at_once))
        };
        let rounds = bench.alternate(|| round(&ours, &mut peers), || round(&bare, &mut others))?;
        let name = format!("{name}, pairs: {pairs}");
        compare(bench, &name, 0.7, &rounds);
    }
    Ok(())
}
