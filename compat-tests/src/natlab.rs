//! Runs commands behind made-up NATs, with natlab where there is one.

use std::env;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use crate::skipped;

/// What natlab ends with when it cannot run on this machine.
const UNAVAILABLE: i32 = 77;

/// The program: that of `PUNCH_NATLAB`, else the one beside the checkout. Tests run inside of that; where it was
/// when they were compiled would be in each program that has this library, and make its bytes differ.
#[must_use]
pub fn program() -> Option<PathBuf> {
    if let Some(path) = env::var_os("PUNCH_NATLAB").filter(|path| !path.is_empty()) {
        return Some(path.into());
    }
    let here = env::current_dir().ok()?;
    let mut above = here.ancestors().map(|folder| folder.join("shared/natlab/natlab"));
    above.find(|path| path.is_file())
}

/// Runs natlab with these arguments. None, and the reason is noted, where that cannot be.
pub fn run(arguments: impl IntoIterator<Item: AsRef<OsStr>>) -> Option<Output> {
    let Some(program) = program() else {
        skipped::note("no natlab; PUNCH_NATLAB=PATH tells where it is");
        return None;
    };
    let mut command = Command::new(&program);
    match command.args(arguments).stdin(Stdio::null()).output() {
        Err(error) => {
            skipped::note(&format!("{} (PUNCH_NATLAB): {error}", program.display()));
            None
        }
        Ok(output) if output.status.code() == Some(UNAVAILABLE) => {
            skipped::note(String::from_utf8_lossy(&output.stderr).trim());
            None
        }
        Ok(output) => Some(output),
    }
}

/// The same, and what it printed.
///
/// # Panics
/// If a command in it fails.
#[expect(clippy::panic, reason = "a fixture fails its test")]
pub fn succeeds(arguments: impl IntoIterator<Item: AsRef<OsStr>>) -> Option<String> {
    let Output { status, stdout, stderr } = run(arguments)?;
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    if !status.success() {
        panic!("natlab ended with {status}:\n{stdout}\n{stderr}");
    }
    Some(stdout.into_owned())
}
