//! `punch sim`: the server in a made-up network.

use std::time::{Duration, Instant};

use compat_tests::sim::cluster;
use compat_tests::sim::relayed;
use compat_tests::sim::siege::{self, Tally};
use compat_tests::sim::{self, Summary};

use crate::common::{count, say};

/// How often it says how far it is.
const PROGRESS: Duration = Duration::from_secs(5);

/// Run the server's protocol through seeded schedules of hosts, clients and rogues behind NATs
///
/// The network and its clock are made up, the protocol code is the real one. After every step
/// its promises are checked. The same seed gives the same schedule.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many schedules to run
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = count::<u64>)]
    seeds: u64,
    /// The first seed
    #[arg(long, value_name = "SEED", default_value_t = 1, value_parser = count::<u64>)]
    first: u64,
    /// Run this one only, and print what happens in it
    #[arg(long, value_name = "SEED", conflicts_with_all = ["seeds", "first"])]
    #[arg(value_parser = count::<u64>)]
    seed: Option<u64>,
    /// Attack the server and its players, instead of simulating a bad network
    #[arg(long, conflicts_with = "seed")]
    siege: bool,
    /// Simulate the relay and the players that use it
    #[arg(long, conflicts_with = "siege")]
    relay: bool,
    /// Simulate a cluster of several servers
    #[arg(long, conflicts_with_all = ["siege", "relay"])]
    cluster: bool,
}

pub(crate) fn run(args: &Args) -> Result<(), String> {
    match args.seed {
        Some(seed) if args.cluster => run_one_cluster(seed),
        None if args.cluster => run_clusters(args.first, args.seeds),
        Some(seed) if args.relay => run_one_relay(seed),
        Some(seed) => run_one(seed),
        None if args.relay => run_relays(args.first, args.seeds),
        None if args.siege => run_sieges(args.first, args.seeds),
        None => run_many(args.first, args.seeds),
    }
}

fn run_one(seed: u64) -> Result<(), String> {
    let (result, trace) = sim::run_traced(seed);
    trace.lines().iter().for_each(say);
    say(figures(&result.map_err(|failure| failure.to_string())?));
    say(format_args!("trace {:016x}", trace.hash()));
    Ok(())
}

fn run_many(first: u64, seeds: u64) -> Result<(), String> {
    let start = Instant::now();
    let mut said = start;
    let mut total = Summary::default();
    for seed in first..first.saturating_add(seeds) {
        let summary = sim::run(seed)
            .map_err(|failure| format!("{failure}\nrun it again with: punch sim --seed {seed}"))?;
        total.add(&summary);
        if said.elapsed() >= PROGRESS {
            said = Instant::now();
            say(format_args!("{} of {seeds} schedules", total.schedules));
        }
    }
    say(figures(&total));
    let seconds = start.elapsed().as_secs_f64().max(1e-6);
    say(format_args!("{:.0} schedules a second", total.schedules as f64 / seconds));
    Ok(())
}

fn run_sieges(first: u64, seeds: u64) -> Result<(), String> {
    let start = Instant::now();
    let mut total = Tally::default();
    for seed in first..first.saturating_add(seeds) {
        total.add(&siege::run(seed).map_err(|failure| failure.to_string())?);
    }
    say(total);
    let seconds = start.elapsed().as_secs_f64().max(1e-6);
    say(format_args!("{:.0} seeds a second", seeds as f64 / seconds));
    Ok(())
}

fn run_one_relay(seed: u64) -> Result<(), String> {
    let (result, trace) = relayed::run_traced(seed);
    trace.lines().iter().for_each(say);
    say(result.map_err(|failure| failure.to_string())?);
    Ok(())
}

fn run_relays(first: u64, seeds: u64) -> Result<(), String> {
    let start = Instant::now();
    let mut total = relayed::Summary::default();
    for seed in first..first.saturating_add(seeds) {
        let run = relayed::run(seed).map_err(|failure| {
            format!("{failure}\nrun it again with: punch sim --relay --seed {seed}")
        });
        total.add(&run?);
    }
    say(total);
    let seconds = start.elapsed().as_secs_f64().max(1e-6);
    say(format_args!("{:.0} seeds a second", seeds as f64 / seconds));
    Ok(())
}

fn run_one_cluster(seed: u64) -> Result<(), String> {
    let (result, trace) = cluster::run_traced(seed);
    trace.lines().iter().for_each(say);
    say(result?);
    Ok(())
}

fn run_clusters(first: u64, seeds: u64) -> Result<(), String> {
    let start = Instant::now();
    let mut total = cluster::Summary::default();
    for seed in first..first.saturating_add(seeds) {
        let run = cluster::run(seed).map_err(|failure| {
            format!("{failure}\nrun it again with: punch sim --cluster --seed {seed}")
        });
        total.add(&run?);
    }
    say(total);
    let seconds = start.elapsed().as_secs_f64().max(1e-6);
    say(format_args!("{:.0} seeds a second", seeds as f64 / seconds));
    Ok(())
}

fn figures(total: &Summary) -> String {
    format!(
        "{} schedules, {} steps, {:.1} hours of simulated time: {} introductions, {} not found, \
         {} hosts told, {} players in; every promise kept",
        total.schedules,
        total.steps,
        total.simulated.as_secs_f64() / 3600.0,
        total.introductions,
        total.not_found,
        total.notifications,
        total.joined
    )
}
