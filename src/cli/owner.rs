//! Whom the owner admits and blocks, as it stands in files of his, and what he is told.

use std::error::Error;
use std::path::{Path, PathBuf};

use clap::Args;

use super::values::{check_game, check_key, parse_flag, parse_game, parse_key};
use crate::blocks::Blocks;
use crate::lists::{self, Lines};
use crate::logging::Format;
use crate::net::{regular, sys};

/// The options with files of the owner.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnerOptions {
    /// Keys as with --key, one a line
    #[arg(long, env = "PUNCHD_KEY_FILE", hide_env = true, value_name = "FILE")]
    #[arg(help_heading = "Games")]
    #[arg(help = format!("Keys as with --key, one a line; {}", sys::RELOADS))]
    pub key_file: Option<PathBuf>,

    /// Games as with --games, one a line
    #[arg(long, env = "PUNCHD_GAMES_FILE", hide_env = true, value_name = "FILE")]
    #[arg(help_heading = "Games")]
    #[arg(help = format!("Games as with --games, one a line; {}", sys::RELOADS))]
    pub games_file: Option<PathBuf>,

    /// Block addresses in this file
    #[arg(long, env = "PUNCHD_BLOCK", hide_env = true, value_name = "FILE")]
    #[arg(help_heading = "Limits")]
    #[arg(help = format!("Block addresses in this file; {}", sys::RELOADS))]
    pub block: Option<PathBuf>,

    /// Check options and files, say what is wrong, and exit
    #[arg(long, env = "PUNCHD_CHECK", hide_env = true)]
    #[arg(help_heading = "Log and help", value_parser = parse_flag)]
    pub check: bool,

    /// How lines of the log look: text or json
    #[arg(long, env = "PUNCHD_LOG_FORMAT", hide_env = true, value_name = "FORMAT")]
    #[arg(help_heading = "Log and help", value_enum, default_value_t = Format::Text)]
    #[arg(hide_default_value = true, hide_possible_values = true)]
    pub log_format: Format,
}

impl OwnerOptions {
    /// The keys in the file of `--key-file`.
    ///
    /// # Errors
    /// If it cannot be read, has a line that is no key, or has none: a secret that did not arrive must not let in
    /// everybody.
    pub fn keys(&self) -> Result<Vec<String>, Box<dyn Error>> {
        let read = |text: &str| parse_key(text).and_then(check_key);
        named(self.key_file.as_deref(), ("--key-file", "key", Lines::Secret), read)
    }

    /// The names in the file of `--games-file`.
    ///
    /// # Errors
    /// If it cannot be read, has a line that is no name, or has none.
    pub fn games(&self) -> Result<Vec<String>, Box<dyn Error>> {
        let read = |text: &str| parse_game(text).and_then(check_game);
        named(self.games_file.as_deref(), ("--games-file", "game", Lines::Known), read)
    }

    /// Whom nothing is heard of.
    ///
    /// # Errors
    /// If the file cannot be read, or a line of it is no address and no network.
    pub fn blocks(&self) -> Result<Blocks, Box<dyn Error>> {
        let Some(file) = &self.block else { return Ok(Blocks::default()) };
        let of = |why: &dyn Error| format!("--block: {why}");
        let bytes = regular::read(file).map_err(|why| of(&why))?;
        Ok(Blocks::read(file, &bytes).map_err(|why| of(&why))?)
    }
}

/// What is wrong with the first of these options that no game can show, by its number: it may be secret, and an error of
/// an option itself would quote it.
pub(super) fn wrong(
    option: &str,
    all: &[String],
    check: impl Fn(String) -> Result<String, String>,
) -> Option<Box<dyn Error>> {
    let mut numbered = (1..).zip(all);
    numbered.find_map(|(number, text)| {
        let why = check(text.clone()).err()?;
        Some(format!("{option}, number {number} of {}: {why}", all.len()).into())
    })
}

/// What a file names, of which there has to be one at least.
fn named(
    file: Option<&Path>,
    (option, what, lines): (&str, &str, Lines),
    read: impl Fn(&str) -> Result<String, String>,
) -> Result<Vec<String>, Box<dyn Error>> {
    let Some(file) = file else { return Ok(Vec::new()) };
    let of = |why: &dyn Error| format!("{option}: {why}");
    let bytes = regular::read(file).map_err(|why| of(&why))?;
    let all = lists::read(file, &bytes, lines, read).map_err(|why| of(&why))?;
    if all.is_empty() {
        return Err(format!("{option}: there is no {what} in {}", file.display()).into());
    }
    Ok(all)
}
