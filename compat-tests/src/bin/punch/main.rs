//! `punch`: a debug client for people who run a master server or write a game.
#![forbid(unsafe_code)]

#[cfg(target_os = "linux")]
mod bare;
#[cfg(target_os = "linux")]
mod bench;
mod causes;
mod common;
mod endings;
mod events;
mod host;
mod join;
mod lobby;
mod manuals;
mod masters;
mod nat;
mod natpunch;
mod probe;
#[cfg(target_os = "linux")]
mod replay;
mod rooms;
mod script;
mod sim;
mod unruly;
mod words;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

/// A debug client for master servers: host, join, look, and check a server.
#[derive(Parser)]
#[command(name = "punch", version = punchd::cli::BUILD, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    #[cfg(target_os = "linux")]
    #[command(hide = true)]
    Bare(bare::Args),
    #[cfg(target_os = "linux")]
    Bench(bench::Args),
    Events(events::Args),
    Host(host::Args),
    Join(join::Args),
    Lobby(lobby::Args),
    #[command(hide = true)]
    Manuals(manuals::Args),
    Nat(nat::Args),
    Natpunch(natpunch::Args),
    Probe(probe::Args),
    #[cfg(target_os = "linux")]
    Replay(replay::Args),
    Rooms(rooms::Args),
    Sim(sim::Args),
}

fn main() -> ExitCode {
    let matches = with_whole_usage(Cli::command()).get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let result = match cli.command {
        #[cfg(target_os = "linux")]
        Command::Bare(args) => bare::run(&args),
        #[cfg(target_os = "linux")]
        Command::Bench(args) => bench::run(&args),
        Command::Events(args) => events::run(&args),
        Command::Host(args) => host::run(args),
        Command::Join(args) => join::run(args),
        Command::Lobby(args) => lobby::run(args),
        Command::Manuals(args) => manuals::run(&args, &Cli::command()),
        Command::Nat(args) => nat::run(&args),
        Command::Natpunch(args) => natpunch::run(&args),
        Command::Probe(args) => probe::run(&args),
        Command::Rooms(args) => rooms::run(args),
        #[cfg(target_os = "linux")]
        Command::Replay(args) => return replay::run(&args),
        Command::Sim(args) => sim::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            common::complain(&why);
            ExitCode::FAILURE
        }
    }
}

/// The usage of each command in error messages as its help has it: else it shows the options that
/// were given, or only resemble what was, as if they had to be there.
fn with_whole_usage(mut command: clap::Command) -> clap::Command {
    command.build();
    let names: Vec<String> =
        command.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    for name in names {
        command = command.mut_subcommand(name, with_whole_usage);
    }
    let usage = command.render_usage().to_string();
    command.override_usage(usage.trim_start_matches("Usage: ").to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The long options and positional values of a command and of those below it.
    fn values(command: &clap::Command, line: &[String], found: &mut Vec<Vec<String>>) {
        for wrong in ["no such thing?", "-7"] {
            for arg in command.get_arguments().filter(|arg| arg.get_action().takes_values()) {
                if let Some(name) = arg.get_long() {
                    found.push([line, &[format!("--{name}={wrong}")]].concat());
                }
            }
        }
        let shown = command.get_subcommands().filter(|below| !below.is_hide_set());
        for below in shown.filter(|below| below.get_name() != "help") {
            values(below, &[line, &[below.get_name().to_owned()]].concat(), found);
        }
    }

    /// Each command has one row in the table of the README, and there are no others.
    #[test]
    fn the_readme_has_every_command_once() {
        let readme = include_str!("../../../README.md");
        let (_, table) = readme.split_once("\n## punch\n").unwrap();
        let (table, _) = table.split_once("\n## ").unwrap();
        let command = Cli::command();
        let shown = command.get_subcommands().filter(|command| !command.is_hide_set());
        let mut names: Vec<&str> = shown.map(clap::Command::get_name).collect();
        let rows = table.lines().filter_map(|row| row.strip_prefix("| `punch "));
        let mut listed: Vec<&str> = rows.filter_map(|row| row.split([' ', '`']).next()).collect();
        names.sort_unstable();
        listed.sort_unstable();
        assert_eq!(listed, names);
    }

    /// What the parsers of libraries say is no help: "invalid digit found in string".
    #[test]
    fn a_wrong_value_is_told_what_to_be() {
        let mut lines = Vec::new();
        let mut command = Cli::command();
        command.build();
        values(&command, &["punch".to_owned()], &mut lines);
        assert!(lines.len() > 50, "{lines:?}");
        let parsers = ["invalid digit", "IP address syntax", "number too", "invalid float"];
        for line in lines {
            let Err(error) = Cli::command().try_get_matches_from(&line) else { continue };
            let said = error.to_string();
            assert!(!parsers.iter().any(|parser| said.contains(parser)), "{line:?}: {said}");
        }
    }
}
