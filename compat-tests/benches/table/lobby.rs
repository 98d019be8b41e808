//! The lobby: of one game, of everything, and how long it keeps others waiting.

use std::io::Write;
use std::net::SocketAddr;
use std::time::Instant;

use compat_tests::bench::Failure;
use compat_tests::bench::players::{game, games, usual};
use compat_tests::bench::process::Process;
use compat_tests::bench::questions::{
    Askers, Question, ask, hosts_in, lobby_request, lobby_request_by,
};
use compat_tests::bench::sockets::{address, tcp, wait_for_version};
use compat_tests::bench::stats::Rounds;

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
    everything(bench)
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
