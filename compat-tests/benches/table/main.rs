//! The table of what punchd reaches, each row measured against the bare loop or against itself in
//! alternating rounds.
//!
//! ```text
//! cargo bench -p compat-tests --bench table              # some minutes
//! cargo bench -p compat-tests --bench table -- --full    # with 100,000 hosts; as root
//! cargo bench -p compat-tests --bench table -- lobby     # only rows with this word
//! ```
#![forbid(unsafe_code)]

mod attacks;
mod cluster;
mod crowd;
mod introductions;
mod lobby;
mod metrics;
mod others;
mod relay;
mod report;
mod rest;

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use compat_tests::bench::process::{self, Process};
use compat_tests::bench::stats::Rounds;
use compat_tests::bench::{Failure, players::Players, players::Server};

use punchd::net::files;
use report::Report;

/// What is measured, and how thoroughly.
#[derive(Parser)]
struct Options {
    /// Only groups with one of these in their name
    groups: Vec<String>,
    /// With 100,000 hosts instead of 10,000, and more rounds; needs root
    #[arg(long)]
    full: bool,
    /// Rounds of each row, besides the first, which is thrown away
    #[arg(long)]
    rounds: Option<usize>,
    /// What `cargo bench` passes
    #[arg(long, hide = true)]
    bench: bool,
}

/// Files that are needed besides those of the idle hosts: players have two or three each.
const OTHER_FILES: usize = 8000;

/// All players are on this machine, and come all at once. So no rate hinders them, and no probes:
/// the kernel asks idle connections whether they still stand, those that were opened in the same
/// second in the same second, and of ten thousand probes at once loopback drops most
/// (`net.core.netdev_max_backlog` is 1000).
const UNHINDERED: &[&str] =
    &["--max-commands", "0", "--max-datagrams", "0", "--ghost-limit", "3600"];

/// What all groups need.
struct Bench {
    punchd: PathBuf,
    full: bool,
    /// How many idle hosts are many.
    crowd: usize,
    rounds: usize,
    report: Report,
}

fn main() -> ExitCode {
    let options = Options::parse();
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("table: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), Failure> {
    let rounds = options.rounds.unwrap_or(if options.full { 15 } else { 7 });
    let punchd = compat_tests::master::binary().to_path_buf();
    process::pin_this_thread()?;
    if process::cores().is_none() {
        println!("there is one core only: server and load share it, times mean little");
    }
    let wanted = if options.full { 100_000 } else { 10_000 };
    let most = files::make_room_for_most(wanted + OTHER_FILES, 0).map_err(std::io::Error::other);
    let crowd = most.map_err(Failure::system("open files"))?.saturating_sub(OTHER_FILES);
    if crowd < wanted {
        println!("the limit of open files (ulimit -Hn) allows only {crowd} idle hosts\n");
    }
    let report = Report::default();
    let mut bench = Bench { punchd, full: options.full, crowd, rounds, report };
    let groups: [(&str, Group); 19] = [
        ("introductions", introductions::introductions),
        ("latency", introductions::latency),
        ("lobby", lobby::lobby),
        ("registration", crowd::registration),
        ("crowd", crowd::crowd),
        ("storm", rest::storm),
        ("flood", rest::flood),
        ("start", rest::start),
        ("rooms", others::rooms),
        ("events", others::events),
        ("events with TLS", others::encrypted),
        ("relay packets", relay::packets),
        ("relay memory", relay::memory),
        ("relay beside", relay::introductions),
        ("relay journal", relay::journal),
        ("metrics", metrics::metrics),
        ("cluster", cluster::introductions),
        ("cluster hosts", cluster::hosts),
        ("attacks", attacks::attacks),
    ];
    println!("{}", report::HEADER);
    for (name, measure) in groups {
        let is_wanted = |word: &String| name.contains(word.as_str());
        if options.groups.is_empty() || options.groups.iter().any(is_wanted) {
            measure(&mut bench)?;
        }
    }
    bench.report.end();
    Ok(())
}

type Group = fn(&mut Bench) -> Result<(), Failure>;

impl Bench {
    /// A master server that logs errors only.
    fn punchd(&self, options: &[&str]) -> Result<Process, Failure> {
        Process::punchd(&self.punchd, &[&["-q"], UNHINDERED, options].concat())
    }

    /// The bare loop.
    fn bare(&self, lobby: usize) -> Result<Process, Failure> {
        Process::bare(env!("CARGO_BIN_EXE_punch").as_ref(), lobby)
    }

    /// The bare loop that a relay is compared with.
    fn bare_relay(&self, at: Ipv4Addr) -> Result<Process, Failure> {
        Process::bare_relay(env!("CARGO_BIN_EXE_punch").as_ref(), at)
    }

    /// Measures two things in turn, and throws the first round away.
    fn alternate<A, B>(
        &self,
        mut a: impl FnMut() -> Result<A, Failure>,
        mut b: impl FnMut() -> Result<B, Failure>,
    ) -> Result<Vec<(A, B)>, Failure> {
        a()?;
        b()?;
        (0..self.rounds).map(|_| Ok((a()?, b()?))).collect()
    }
}

/// A server and those who play on it.
struct Table {
    server: Process,
    players: Players,
}

impl Table {
    fn master(server: Process, clients: usize) -> Result<Self, Failure> {
        let players = Players::new(Server::Master(server.addr()), clients)?;
        Ok(Self { server, players })
    }

    fn bare(server: Process, clients: usize) -> Result<Self, Failure> {
        let players = Players::new(Server::Bare(server.addr()), clients)?;
        Ok(Self { server, players })
    }

    /// Microseconds that the server computes while this is done, for each of `count`.
    fn cpu<T>(
        &mut self,
        count: usize,
        act: impl FnOnce(&mut Players) -> Result<T, Failure>,
    ) -> Result<(f64, T), Failure> {
        let before = self.server.cpu_at_rest()?;
        let result = act(&mut self.players)?;
        let used = self.server.cpu_at_rest()? - before;
        Ok((used.as_secs_f64() * 1e6 / count as f64, result))
    }
}

/// Both sides of alternating rounds, and how many times the other ours is, round by round: a
/// machine that is slow for a while is so for both.
struct Sides {
    ours: Rounds,
    other: Rounds,
    ratio: Rounds,
}

fn sides(rounds: impl IntoIterator<Item = (f64, f64)>) -> Sides {
    let rounds: Vec<(f64, f64)> = rounds.into_iter().collect();
    Sides {
        ours: rounds.iter().map(|(ours, _)| *ours).collect(),
        other: rounds.iter().map(|(_, other)| *other).collect(),
        ratio: rounds.iter().map(|(ours, other)| ours / other).collect(),
    }
}
