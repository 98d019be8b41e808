//! The dialects beside GMnet: what it costs to join a room and to pass an event on, and the memory
//! of who is in a room.

use std::fs;
use std::path::Path;
use std::time::Duration;

use compat_tests::bench::Failure;
use compat_tests::bench::joiners::Joiners;
use compat_tests::bench::pairs::Pairs;
use compat_tests::bench::players::Server;
use compat_tests::bench::process::Process;
use compat_tests::bench::stats::Rounds;
use compat_tests::events::{EventClient, Tls};
use compat_tests::folder::Folder;

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
    let (mut all, mut program) = (Rounds::default(), Rounds::default());
    for _ in 0..3 {
        let server = bench.punchd(&[])?;
        let before = (server.memory()?, server.mapped()?);
        let mut joiners = Joiners::new(Server::Master(server.addr()), rooms, peers - rooms)?;
        joiners.join(FULL)?;
        all.add((server.memory()? - before.0) as f64 / peers as f64);
        program.add((server.mapped()?.saturating_sub(before.1)) as f64 / peers as f64);
    }
    let what = format!("memory of somebody in a room, of {peers}");
    bench.report.tell(&what, Reach::AtMost(2048.0), "bytes", &all);
    // It does not grow with the peers.
    let what = format!("{what}: parts of the program that were not used before");
    bench.report.tell(&what, Reach::Any, "bytes", &program);
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

/// Peers of events with TLS: what a login costs, the handshake included, and what each takes that is there. Nobody comes
/// back with what he knows of an earlier connection.
pub(crate) fn encrypted(bench: &mut Bench) -> Result<(), Failure> {
    const PEERS: usize = 1000;
    let wrong = |error: &dyn std::fmt::Display| Failure::Wrong(error.to_string());
    let folder = Folder::new();
    let [cert, key] = ["certificate", "key"].map(|name| folder.file(name));
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]);
    let made = made.map_err(|error| wrong(&error))?;
    fs::write(&cert, made.cert.pem()).map_err(Failure::system("write a certificate"))?;
    let pem = made.signing_key.serialize_pem();
    fs::write(&key, pem).map_err(Failure::system("write a key"))?;
    let options = ["--tls-cert", &cert, "--tls-key", &key, "--max-per-address", "2000"];
    let server = bench.punchd(&options)?;
    let enter = |n: usize| {
        let tls = Tls::trusting(Path::new(&cert), "127.0.0.1").map_err(|error| wrong(&error))?;
        let client = EventClient::connect(server.addr(), Some(&tls));
        let mut client = client.map_err(|error| wrong(&error))?;
        client.login(&format!("peer {n}"), "game").map_err(|error| wrong(&error))?;
        Ok::<_, Failure>(client)
    };
    let first = enter(PEERS)?;
    let (mut cpu, mut memory) = (Rounds::default(), Rounds::default());
    for round in 0..=bench.rounds {
        let (before, used) = (server.memory()?, server.cpu_at_rest()?);
        let peers: Vec<EventClient> = (0..PEERS).map(enter).collect::<Result<_, _>>()?;
        let each = (server.cpu_at_rest()? - used).as_secs_f64() * 1e6 / PEERS as f64;
        match round {
            // Later ones get what earlier ones had.
            0 => memory.add((server.memory()? - before) as f64 / PEERS as f64),
            _ => cpu.add(each),
        }
        drop(peers);
    }
    drop(first);
    let report = &mut bench.report;
    report.tell("events with TLS: CPU of a login", Reach::Any, "us", &cpu);
    report.tell("events with TLS: memory of a peer", Reach::AtMost(5000.0), "bytes", &memory);
    Ok(())
}
