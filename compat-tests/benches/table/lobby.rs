//! The lobby: of one game, of everything, and how long it keeps others waiting.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use compat_tests::bench::Failure;
use compat_tests::bench::players::{game, games, usual};
use compat_tests::bench::process::Process;
use compat_tests::bench::questions::{
    Askers, Question, ask, hosts_in, lobby_request, lobby_request_by,
};
use compat_tests::bench::sockets::{address, tcp, wait_for_version};
use compat_tests::bench::stats::Rounds;
use compat_tests::bench::world::{World, registration};

use crate::report::Reach;
use crate::{Bench, Table, sides};

/// Kinds of peers, for their addresses.
const HOST: u8 = 4;
const READER: u8 = 5;

/// Hosts of each game, and at most so many in a reply.
pub(crate) const GAME: usize = 20;
/// Those who ask; more than one, as each address may only ask so often.
const ASKERS: usize = 500;
/// Forms of each question that are more in all than the server keeps replies to, which are a few
/// thousand: so none is there when it is asked for again.
const FORMS: usize = 12;

pub(crate) fn lobby(bench: &mut Bench) -> Result<(), Failure> {
    const HOSTS: usize = 1000;
    let table = Table::master(bench.punchd(&[])?, 0)?;
    let addresses = (0..HOSTS).map(|n| address(HOST, n));
    let crowd = table.players.register_idle(addresses, games(HOSTS / GAME))?;
    one_game(bench, table.server, crowd.len())?;
    everything(bench)?;
    changed(bench)?;
    crowded(bench)
}

/// What the server computes for lobbies to which one has come just before and has left, without
/// what the kernel does.
fn changed(bench: &mut Bench) -> Result<(), Failure> {
    const HOSTS: usize = 10_000;
    const COUNT: usize = 200;
    let sorted = lobby_request_by("", "data2", Some(GAME));
    let rows = [
        (format!("sorted lobby of {GAME} of {HOSTS} that has changed: CPU"), sorted, 30.0),
        (format!("lobby of all {HOSTS} that has changed: CPU"), lobby_request("", None), 800.0),
    ];
    let mut world = World::new(HOSTS, usual)?;
    let register = registration(&usual(HOSTS));
    for (what, request, most) in rows {
        // A long list is sorted in several turns, the first time.
        while world.ask(&request, <[u8]>::len) == 0 {}
        let mut round = || {
            let begin = Instant::now();
            for _ in 0..COUNT {
                let conn = world.register(HOSTS, &register);
                world.leave(conn);
                if world.ask(&request, <[u8]>::len) == 0 {
                    return Err(Failure::Wrong("no answer in one turn".into()));
                }
            }
            Ok(begin.elapsed().as_secs_f64() * 1e6 / COUNT as f64)
        };
        round()?;
        let rounds: Result<Rounds, Failure> = (0..bench.rounds).map(|_| round()).collect();
        bench.report.tell(&what, Reach::AtMost(most), "us", &rounds?);
    }
    Ok(())
}

/// How long somebody waits in the worst case for an answer of a few bytes while others ask for what
/// is expensive, all at once.
fn crowded(bench: &mut Bench) -> Result<(), Failure> {
    const HOSTS: usize = 10_000;
    let table = Table::master(bench.punchd(&[])?, 0)?;
    let _crowd = table.players.register_idle((0..HOSTS).map(|n| address(HOST, n)), usual)?;
    let addr = table.server.addr();
    // Different ones, so that no reply is kept.
    let sorted = |n: usize| lobby_request_by("", "data2", Some(GAME + n));
    let versions = |count| vec![b"version\n".repeat(count); 500];
    let ahead: Vec<u8> = (0..1400).flat_map(|n| sorted(n % 500)).collect();
    let (many, lines) = (vec![b"version\n".repeat(200); 4000], vec![vec![b'\n'; 60_000]; 400]);
    let attacks: [(&str, Vec<Vec<u8>>, usize); 7] = [
        ("1400 sorted lobbies sent ahead", vec![ahead], 1),
        ("500 connections ask for a sorted lobby", (0..500).map(sorted).collect(), 500),
        ("500 connections ask for everything", vec![lobby_request("", None); 500], 500),
        ("500 connections send 10 commands ahead", versions(10), 500),
        ("500 connections send 1400 commands ahead", versions(1400), 500),
        ("4000 connections of 40 addresses send 200 commands ahead", many, 40),
        ("400 connections of 200 addresses send 60 KB of empty lines", lines, 200),
    ];
    for (what, requests, addresses) in attacks {
        let rounds: Result<Rounds, Failure> =
            (0..bench.rounds).map(|_| worst_wait(addr, &requests, addresses)).collect();
        let what = format!("{what}: worst that another waits");
        bench.report.tell(&what, Reach::AtMost(5.0), "ms", &rounds?);
    }
    Ok(())
}

/// Milliseconds that somebody waits for an answer at most while these requests, each on a connection
/// of its own, from so many addresses, are answered.
fn worst_wait(server: SocketAddr, requests: &[Vec<u8>], addresses: usize) -> Result<f64, Failure> {
    const AFTER: Duration = Duration::from_millis(300);
    let open = |n| tcp(address(READER, n), server).map_err(Failure::system("connect"));
    let mut other = open(1 << 16)?;
    wait_for_version(&mut other)?;
    let greedy: Result<Vec<TcpStream>, Failure> =
        (0..requests.len()).map(|n| open(n % addresses)).collect();
    let greedy = greedy?;
    for (mut stream, request) in greedy.iter().zip(requests) {
        stream.set_nonblocking(true).map_err(Failure::system("not block"))?;
        // What does not fit is not sent.
        _ = stream.write(request);
    }
    let (mut worst, mut chunk, begin) = (Duration::ZERO, vec![0; 1 << 16], Instant::now());
    while begin.elapsed() < AFTER {
        let asked = Instant::now();
        wait_for_version(&mut other)?;
        worst = worst.max(asked.elapsed());
        for mut stream in &greedy {
            _ = stream.read(&mut chunk);
        }
    }
    Ok(worst.as_secs_f64() * 1e3)
}

/// The reply for one game, on a server that has so many hosts.
pub(crate) fn one_game(
    bench: &mut Bench,
    server: Process,
    hosts: usize,
) -> Result<Process, Failure> {
    for (forms, how) in [(1, ""), (FORMS, ", each time written anew")] {
        one_game_asked_in(bench, &server, hosts, forms, how)?;
    }
    Ok(server)
}

/// The same, where each who asks has so many forms of the question.
fn one_game_asked_in(
    bench: &mut Bench,
    server: &Process,
    hosts: usize,
    forms: usize,
    how: &str,
) -> Result<(), Failure> {
    const COUNT: usize = 20_000;
    let mut questions = Vec::new();
    for asker in 0..ASKERS {
        let n = asker * 7919 % (hosts / GAME);
        let form = |k| match k {
            0 => lobby_request(&game(n), Some(GAME)),
            k => lobby_request_by(&game(n), &format!("date-{asker}-{k}"), Some(GAME)),
        };
        let request = form(0);
        let answer = ask(server.addr(), &request)?;
        let found = hosts_in(&answer)?.len();
        if found != GAME {
            return Err(Failure::Wrong(format!("{found} hosts in the lobby instead of {GAME}")));
        }
        questions.push(Question { requests: (0..forms).map(form).collect(), answer });
    }
    let bytes = questions.iter().map(|q| q.answer.len()).max().unwrap_or_default();
    let bare = bench.bare(bytes)?;
    let mut ours = Askers::new(server.addr(), questions.clone(), true)?;
    for question in &mut questions {
        question.answer.resize(bytes, b'x');
    }
    let mut prepared = Askers::new(bare.addr(), questions, false)?;
    let cpu = |server: &Process, askers: &mut Askers| {
        let before = server.cpu_at_rest()?;
        askers.run(COUNT, 32)?;
        Ok((server.cpu_at_rest()? - before).as_secs_f64() * 1e6 / COUNT as f64)
    };
    let rounds = bench.alternate(|| cpu(server, &mut ours), || cpu(&bare, &mut prepared))?;
    let what = format!("lobby of one game, {GAME} of {hosts} hosts, {bytes} bytes{how}: CPU");
    // Players of a game ask the same; this is what it costs when they do not, or when something
    // changes between any two of them.
    let reach = if forms == 1 { Reach::Within(1.3) } else { Reach::Any };
    bench.report.compare(&what, reach, "us", &sides(rounds), "prepared bytes");
    Ok(())
}

/// The reply with all hosts.
fn everything(bench: &mut Bench) -> Result<(), Failure> {
    const HOSTS: usize = 10_000;
    const COUNT: usize = 40;
    let table = Table::master(bench.punchd(&[])?, 0)?;
    let crowd = table.players.register_idle((0..HOSTS).map(|n| address(HOST, n)), usual)?;
    let server = table.server;
    let request = lobby_request("", None);
    let answer = ask(server.addr(), &request)?;
    let found = hosts_in(&answer)?.len();
    if found != crowd.len() {
        return Err(Failure::Wrong(format!("{found} hosts in the lobby instead of {HOSTS}")));
    }
    let bytes = answer.len();
    let bare = bench.bare(bytes)?;
    let questions = vec![Question { requests: vec![request.clone()], answer }; 4];
    let mut ours = Askers::new(server.addr(), questions.clone(), true)?;
    let mut prepared = Askers::new(bare.addr(), questions, false)?;
    let rate = |askers: &mut Askers| {
        let took = askers.run(COUNT, 4)?;
        Ok((COUNT * bytes) as f64 / took.as_secs_f64() / 1e6)
    };
    let rounds = bench.alternate(|| rate(&mut ours), || rate(&mut prepared))?;
    let what = format!("lobby of everything, {HOSTS} hosts, {:.1} MB: rate", bytes as f64 / 1e6);
    bench.report.compare(&what, Reach::Above(0.5), "MB/s", &sides(rounds), "prepared bytes");
    let others: Result<Rounds, Failure> =
        (0..20).map(|n| others_wait(server.addr(), &request, n)).collect();
    let (longest, unit) = (others?, "ms");
    bench.report.tell("lobby of everything: what others wait", Reach::AtMost(2.0), unit, &longest);
    Ok(())
}

/// Milliseconds that somebody waits for an answer who asks right after one who wants the lobby.
fn others_wait(server: SocketAddr, lobby: &[u8], n: usize) -> Result<f64, Failure> {
    let open = |n| tcp(address(READER, n), server).map_err(Failure::system("connect"));
    let (mut reader, mut other) = (open(2 * n)?, open(2 * n + 1)?);
    wait_for_version(&mut reader)?;
    wait_for_version(&mut other)?;
    reader.write_all(lobby).map_err(Failure::system("ask for the lobby"))?;
    let begin = Instant::now();
    wait_for_version(&mut other)?;
    Ok(begin.elapsed().as_secs_f64() * 1e3)
}
