//! `punch`: a debug client for people who run a master server or write a game.
#![forbid(unsafe_code)]

mod replay;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Talks to a GMnet PUNCH master server as games do.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Replay(replay::Args),
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Replay(args) => replay::run(&args),
    }
}
