//! `punch bench`: what a machine carries.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use compat_tests::bench::Failure;
use compat_tests::bench::players::{Done, Kind, Players, Server, Work, usual};
use compat_tests::bench::process::{self, Process};
use compat_tests::bench::sockets::address;
use compat_tests::bench::stats::Rounds;

use crate::common::{number, resolve, say};

/// Measure how many players a master server on this machine carries
///
/// Starts a server of its own, lets 1000 hosts register and clients join them, checks every
/// answer, and ends it again. Nothing leaves this machine.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A server that runs already, on a loopback address, started with --max-commands 0
    #[arg(long, value_name = "HOST:PORT", value_parser = resolve)]
    master: Option<SocketAddr>,
    /// The server's program [default: the punchd beside this one, else that of PATH]
    #[arg(long, value_name = "FILE", conflicts_with = "master")]
    server: Option<PathBuf>,
    /// How often to repeat each measurement
    #[arg(long, value_name = "N", default_value_t = 5)]
    #[arg(value_parser = number::<1, 100>)]
    rounds: u64,
}

/// With so many hosts none is asked for again before its notify gap is over.
const HOSTS: usize = 1000;
/// Of a kind of peers that no other benchmark uses.
const HOST: u8 = 12;
const CLIENTS: usize = 500;
/// Joins in each round.
const JOINS: usize = 5000;

pub(crate) fn run(args: &Args) -> Result<(), String> {
    measure(args).map_err(|failure| match failure {
        Failure::System { doing: "start the server", source } => {
            format!("cannot start the server: {source}; name its program with --server FILE")
        }
        failure => failure.to_string(),
    })
}

fn measure(args: &Args) -> Result<(), Failure> {
    process::pin_this_thread()?;
    let own = match args.master {
        Some(_) => None,
        None => Some(Process::punchd(&program(args), &["-q", "--max-commands", "0"])?),
    };
    let addr = own.as_ref().map(Process::addr).or(args.master);
    let addr = addr.filter(|addr| addr.ip().is_loopback() && addr.is_ipv4()).ok_or_else(|| {
        Failure::Wrong("only a server on a loopback address such as 127.0.0.1 is measured".into())
    })?;
    let memory_before = own.as_ref().map(Process::memory).transpose()?;
    let mut players = Players::new(Server::Master(addr), CLIENTS)?;
    players.register((0..HOSTS).map(|n| address(HOST, n)), usual)?;
    let memory = own.as_ref().map(Process::memory).transpose()?;
    let full = Work { kind: Kind::Fresh, count: JOINS, at_once: 64, rate: None };
    let (mut rate, mut cpu) = (Rounds::default(), Rounds::default());
    // The first round warms everything up.
    players.introduce(&full)?;
    for _ in 0..args.rounds {
        let before = own.as_ref().map(Process::cpu_at_rest).transpose()?;
        let done = players.introduce(&full)?;
        rate.add(JOINS as f64 / done.took.as_secs_f64());
        if let (Some(own), Some(before)) = (&own, before) {
            cpu.add((own.cpu_at_rest()? - before).as_secs_f64() * 1e6 / JOINS as f64);
        }
    }
    let half = Work { rate: Some(rate.median() / 2.0), at_once: CLIENTS, ..full };
    let mut at_half = players.introduce(&half)?;
    report(&rate, &cpu, &mut at_half);
    if let (Some(before), Some(after)) = (memory_before, memory) {
        let each = after.saturating_sub(before) as f64 / HOSTS as f64;
        say(format!("a registered host takes     {each:7.0} bytes, and what the system needs"));
    }
    explain(&cpu, rate.median());
    match own {
        Some(own) => own.stop(),
        None => Ok(()),
    }
}

fn report(rate: &Rounds, cpu: &Rounds, at_half: &mut Done) {
    let (low, high) = rate.range();
    let median = rate.median();
    say(format!("joins a second, measured    {median:7.0} ({low:.0} to {high:.0})"));
    if !cpu.median().is_nan() {
        let (low, high) = cpu.range();
        let median = cpu.median();
        say(format!("the server computes a join  {median:7.0} us ({low:.0} to {high:.0})"));
    }
    let (half, most) = (at_half.latencies.quantile(0.5), at_half.latencies.quantile(0.99));
    let (half, most) = (micros(half), micros(most));
    say(format!("answer at half that rate    {half:>7} us; 99 of 100 within {most} us"));
}

/// What the figures mean to somebody who runs a server.
fn explain(cpu: &Rounds, rate: f64) {
    // Whoever asks works as much as the server does, and may be what ends it.
    let carries = if cpu.median().is_nan() { rate } else { rate.max(1e6 / cpu.median()) };
    say("");
    say(format!(
        "This machine carries about {:.0} joins a second. A join is one player who",
        carries
    ));
    say("is told where a host is, and the host who is told where the player is; all");
    say("answers were right. What else runs here, and its network, may allow less.");
}

fn micros(micros: f64) -> u128 {
    Duration::from_secs_f64(micros / 1e6).as_micros()
}

fn program(args: &Args) -> PathBuf {
    let beside = || {
        let own = std::env::current_exe().ok()?;
        let beside = own.with_file_name("punchd");
        beside.exists().then_some(beside)
    };
    args.server.clone().or_else(beside).unwrap_or_else(|| "punchd".into())
}
