//! Runs commands behind made-up NATs, with natlab where there is one.

use std::path::PathBuf;
use std::process::{Command, Output};

use crate::skipped;

/// What natlab says when it cannot run on this machine.
const SKIPPED: i32 = 77;

/// The program: that of `PUNCH_NATLAB`, else the one beside the workspace.
fn program() -> PathBuf {
    if let Some(path) = std::env::var_os("PUNCH_NATLAB").filter(|path| !path.is_empty()) {
        return path.into();
    }
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/natlab/natlab").into()
}

/// Runs `natlab run` with these arguments. None, and the reason is printed, where that cannot be.
///
/// # Panics
/// If a command in it fails.
#[must_use]
#[expect(clippy::panic, reason = "a fixture fails its test")]
pub fn run(arguments: &[String]) -> Option<String> {
    let program = program();
    let output = match Command::new(&program).arg("run").args(arguments).output() {
        Ok(output) => output,
        Err(error) => {
            skipped::note(&format!("no natlab at {} (PUNCH_NATLAB): {error}", program.display()));
            return None;
        }
    };
    let Output { status, stdout, stderr } = output;
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    match status.code() {
        Some(SKIPPED) => {
            skipped::note(stderr.trim());
            None
        }
        Some(0) => Some(stdout.into_owned()),
        _ => panic!("natlab ended with {status}:\n{stdout}\n{stderr}"),
    }
}
