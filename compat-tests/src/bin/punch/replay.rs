//! `punch replay`: plays vectors against a server.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use compat_tests::bounded::text_file;
use compat_tests::master::Master;
use compat_tests::vector::{Vector, play};

/// Play recorded conversations and compare the answers byte for byte.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The vectors, for example compat-tests/vectors/*.txt.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Play against this running server, on this machine. Without it punchd is built and a fresh
    /// one is started for every file, with the options that the file asks for.
    #[arg(long, value_name = "HOST:PORT", value_parser = address)]
    master: Option<SocketAddr>,
    /// Print every step with its time in milliseconds.
    #[arg(long)]
    trace: bool,
}

/// The longest vector.
const LONGEST_VECTOR: usize = 16 << 20;

/// How one file ended.
enum Verdict {
    Ok,
    Failed(String),
    Skipped(String),
}

/// Plays all files; the exit code tells whether all of them passed.
pub(crate) fn run(args: &Args) -> ExitCode {
    let (mut passed, mut failed) = (0, 0);
    for file in &args.files {
        let name = file.file_stem().unwrap_or(file.as_os_str()).to_string_lossy();
        match replay(file, args) {
            Verdict::Ok => {
                passed += 1;
                println!("ok {name}");
            }
            Verdict::Failed(why) => {
                failed += 1;
                println!("FAILED {name}: {why}");
            }
            Verdict::Skipped(why) => println!("skipped {name}: {why}"),
        }
    }
    println!("{passed} passed, {failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn replay(file: &Path, args: &Args) -> Verdict {
    let text = match text_file(file, LONGEST_VECTOR) {
        Ok(text) => text,
        Err(e) => return Verdict::Failed(format!("cannot read {}: {e}", file.display())),
    };
    let vector = match Vector::parse(&text) {
        Ok(vector) => vector,
        Err(e) => return Verdict::Failed(format!("{}, {e}", file.display())),
    };
    let tell = |line: &str| {
        if args.trace {
            println!("{line}");
        }
    };
    let played = match args.master {
        Some(_) if !vector.options.is_empty() => {
            let options = vector.options.join(" ");
            return Verdict::Skipped(format!("needs a server of its own, with {options}"));
        }
        Some(addr) => play(&vector, addr, tell),
        None => {
            let options: Vec<&str> = vector.options.iter().map(String::as_str).collect();
            let master = Master::start(&options);
            play(&vector, master.addr(), tell)
        }
    };
    match played {
        Ok(()) => Verdict::Ok,
        Err(failure) => Verdict::Failed(failure.to_string().replace('\n', "\n    ")),
    }
}

/// The IPv4 address behind `HOST:PORT`.
fn address(text: &str) -> Result<SocketAddr, String> {
    let mut all = text.to_socket_addrs().map_err(|e| e.to_string())?;
    all.find(SocketAddr::is_ipv4).ok_or_else(|| "has no IPv4 address".to_owned())
}
