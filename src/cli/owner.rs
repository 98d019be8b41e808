//! Whom the owner admits and blocks, as it stands in files of his, and what he is told.

use std::error::Error;
use std::path::{Path, PathBuf};

use clap::Args;

use super::values::{parse_flag, parse_game, parse_key};
use crate::blocks::Blocks;
use crate::lists;
use crate::logging::Format;
use crate::net::{regular, sys};

/// The options with files of the owner.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnerOptions {
    /// Keys as with --key, one a line; read at the start
    #[arg(long, env = "PUNCHD_KEY_FILE", hide_env = true, value_name = "FILE")]
    #[arg(help_heading = "Games")]
    pub key_file: Option<PathBuf>,

    /// Games as with --games, one a line; read at the start
    #[arg(long, env = "PUNCHD_GAMES_FILE", hide_env = true, value_name = "FILE")]
    #[arg(help_heading = "Games")]
    pub games_file: Option<PathBuf>,

    /// Block the addresses and networks in this file
    #[arg(long, env = "PUNCHD_BLOCK", hide_env = true, value_name = "FILE")]
    #[arg(help_heading = "Limits")]
    #[arg(help = format!("Block the addresses and networks in this file; {}", sys::RELOADS))]
    pub block: Option<PathBuf>,

    /// Tell what would be served and what is wrong, and end
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
    /// If it cannot be read or has none: a secret that did not arrive must not let in everybody.
    pub fn keys(&self) -> Result<Vec<String>, Box<dyn Error>> {
        named(self.key_file.as_deref(), "key", parse_key)
    }

    /// The names in the file of `--games-file`.
    ///
    /// # Errors
    /// If it cannot be read or has none.
    pub fn games(&self) -> Result<Vec<String>, Box<dyn Error>> {
        named(self.games_file.as_deref(), "game", parse_game)
    }

    /// Whom nothing is heard of.
    ///
    /// # Errors
    /// If the file cannot be read, or a line of it is no address and no network.
    pub fn blocks(&self) -> Result<Blocks, Box<dyn Error>> {
        let Some(file) = &self.block else { return Ok(Blocks::default()) };
        Ok(Blocks::read(file, &regular::read(file)?)?)
    }
}

/// What a file names, of which there has to be one at least.
fn named(
    file: Option<&Path>,
    what: &str,
    read: impl Fn(&str) -> Result<String, String>,
) -> Result<Vec<String>, Box<dyn Error>> {
    let Some(file) = file else { return Ok(Vec::new()) };
    let all = lists::read(file, &regular::read(file)?, read)?;
    if all.is_empty() {
        return Err(format!("there is no {what} in {}", file.display()).into());
    }
    Ok(all)
}
