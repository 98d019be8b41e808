//! Every vector, played against the built server.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::any::Any;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Mutex;
use std::thread;

use compat_tests::master::{self, Master};
use compat_tests::vector::{Vector, play};

/// How many there are at least: a vector must not get lost unseen.
const AT_LEAST: usize = 125;

fn load() -> Vec<(String, Vector)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/vectors");
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .expect("the folder of the vectors")
        .map(|entry| entry.expect("an entry of the folder").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    paths.sort();
    let read = |path: PathBuf| {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).expect("reading a vector");
        let vector = Vector::parse(&text).unwrap_or_else(|e| panic!("{name}.txt, {e}"));
        (name, vector)
    };
    paths.into_iter().map(read).collect()
}

/// Plays one vector; the text is what went wrong.
fn failure(vector: &Vector) -> Option<String> {
    let options: Vec<&str> = vector.options.iter().map(String::as_str).collect();
    let played = catch_unwind(AssertUnwindSafe(|| {
        let master = if options.is_empty() { Master::any() } else { Master::start(&options) };
        let played = play(vector, master.addr(), |_| {});
        (played, master.stop())
    }));
    match played {
        Ok((Ok(()), _)) => None,
        Ok((Err(failure), log)) => {
            let trace = failure.trace.join("\n");
            let old = vector.old.as_deref().unwrap_or("the same");
            let why = &vector.why;
            Some(format!("{failure}\nwhy: {why}\nold server: {old}\n{trace}\n-- log\n{log}"))
        }
        Err(panic) => Some(words(&*panic)),
    }
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("panicked").to_owned()
}

#[test]
fn every_vector() {
    let vectors = load();
    assert!(vectors.len() >= AT_LEAST, "{} vectors, should be {AT_LEAST}", vectors.len());
    let running = master::running();
    let queue = Mutex::new(vectors.iter());
    let failures = Mutex::new(Vec::new());
    let skipped = Mutex::new(Vec::new());
    // Most of a vector is waiting, so two at a time keep a core busy. A server that runs already
    // is one lobby for all: there, one after the other.
    let jobs = match running {
        Some(_) => 1,
        None => 2 * thread::available_parallelism().map_or(1, usize::from),
    };
    let work = || {
        loop {
            let Some((name, vector)) = queue.lock().unwrap().next() else { return };
            if running.is_some() && !vector.options.is_empty() {
                let why = format!("{name} needs a server with {}", vector.options.join(" "));
                skipped.lock().unwrap().push(why);
            } else if let Some(failure) = failure(vector) {
                failures.lock().unwrap().push(format!("{name}\n{failure}\n"));
            }
        }
    };
    thread::scope(|scope| (0..jobs).for_each(|_| _ = scope.spawn(work)));
    skipped.into_inner().unwrap().iter().for_each(|why: &String| compat_tests::skipped::note(why));
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{} failed\n\n{}", failures.len(), failures.join("\n"));
}

/// The old server left out the last NUL of what a host was told (D1), so nothing with that was the same.
#[test]
fn no_vector_claims_that_the_old_server_ended_what_it_told_hosts() {
    for path in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/vectors")).unwrap().flatten() {
        let Ok(text) = fs::read_to_string(path.path()) else { continue };
        let registers = |peer: &str| {
            let ways = [format!("\n{peer}> reg"), format!("\n{peer} udp> gm reg")];
            ways.iter().any(|way| text.contains(way.as_str()))
        };
        let is_told = text.lines().any(|line| {
            let told = line.split_once("< ").filter(|(_, bytes)| bytes.contains("\\xff"));
            line.ends_with("}\\0") && told.is_some_and(|(peer, _)| registers(peer))
        });
        assert!(!is_told || text.contains("\nold: "), "{}: want old:", path.path().display());
    }
}

/// Each vector says what it is good for, in its own words.
#[test]
fn every_vector_has_its_own_title() {
    let mut seen = std::collections::HashMap::new();
    for (name, vector) in load() {
        assert!(!vector.title.is_empty() && !vector.why.is_empty(), "{name} says too little");
        if let Some(other) = seen.insert(vector.title, name.clone()) {
            panic!("{name} and {other} have the same title");
        }
    }
}
