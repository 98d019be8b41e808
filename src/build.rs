//! Tells the programs what they were built of, for `--version`.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=src/build.rs");
    println!("cargo::rerun-if-env-changed=PUNCHD_COMMIT");
    let of = |name: &str| std::env::var(name).unwrap_or_default();
    // A debug build would have to be made anew for each commit.
    let commit = match std::env::var("PUNCHD_COMMIT") {
        Ok(commit) => Some(commit),
        Err(_) if of("PROFILE") == "release" => commit(),
        Err(_) => None,
    };
    let commit = commit.map_or(String::new(), |commit| format!("{commit}, "));
    println!(
        "cargo::rustc-env=PUNCHD_BUILD={} ({commit}{})",
        of("CARGO_PKG_VERSION"),
        of("TARGET")
    );
}

/// The commit that is checked out, if this is a checkout and there is git.
fn commit() -> Option<String> {
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]) {
        println!("cargo::rerun-if-changed={log}");
    }
    git(&["describe", "--always", "--dirty", "--abbrev=9", "--exclude=*"])
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let said = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !said.trim().is_empty()).then(|| said.trim().to_owned())
}
