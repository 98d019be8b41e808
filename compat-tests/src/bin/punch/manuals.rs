//! The manual pages and shell completions that packages have.

use std::fs;
use std::path::{Path, PathBuf};

use clap::CommandFactory as _;
use clap_complete::Shell;
use punchd::cli::Options;

/// Writes the manual pages and shell completions of punchd and punch, for packages.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where to: `man` and `completions` are made there.
    directory: PathBuf,
}

pub(crate) fn run(args: &Args, punch: &clap::Command) -> Result<(), String> {
    write(&args.directory, &[Options::command(), punch.clone()])
        .map_err(|error| format!("{} cannot be written: {error}", args.directory.display()))
}

fn write(directory: &Path, commands: &[clap::Command]) -> std::io::Result<()> {
    let (man, completions) = (directory.join("man"), directory.join("completions"));
    fs::create_dir_all(&man)?;
    fs::create_dir_all(&completions)?;
    for command in commands {
        let name = command.get_name().to_owned();
        clap_mangen::generate_to(command.clone(), &man)?;
        for shell in [Shell::Bash, Shell::Fish, Shell::PowerShell, Shell::Zsh] {
            clap_complete::generate_to(shell, &mut command.clone(), &name, &completions)?;
        }
    }
    Ok(())
}
