//! The relay and its plan as a whole, in hundreds of seeds: a real server and the real relay, but for
//! their sockets, with everybody around them. A hundred thousand take some
//! minutes: `punch sim --relay --seeds 100000`.
use std::collections::BTreeSet;

use compat_tests::sim::relayed::{self, Summary};

/// Takes about ten seconds of one core without optimization.
const SEEDS: u64 = 600;

#[test]
fn promises_are_kept_by_the_relay_and_its_plan() {
    let halves: Vec<_> = [0, SEEDS / 2]
        .map(|first| std::thread::spawn(move || run(first..first + SEEDS / 2)))
        .into_iter()
        .map(|half| half.join().unwrap())
        .collect();
    let (mut total, mut failures) = (Summary::default(), Vec::new());
    for (half, failed) in halves {
        total.add(&half);
        failures.extend(failed);
    }
    println!("{total:?}");
    assert!(failures.is_empty(), "{} of {SEEDS} seeds: {failures:#?}", failures.len());
    assert!(total.direct > SEEDS && total.at_once > SEEDS && total.refused > 10, "{total:?}");
    assert!(total.promised > SEEDS && total.host_first * 10 > total.relayed * 9, "{total:?}");
    assert!(total.ended.iter().all(|count| *count > 10), "{total:?}");
    assert!(total.over > SEEDS && total.meddled > 100 * SEEDS, "{total:?}");
    assert!(total.at_other_port > SEEDS / 10, "{total:?}");
}

/// What came of these seeds, and those in which a promise was broken.
fn run(seeds: std::ops::Range<u64>) -> (Summary, Vec<String>) {
    let (mut total, mut failures) = (Summary::default(), Vec::new());
    for seed in seeds {
        match relayed::run(seed) {
            Ok(summary) => total.add(&summary),
            Err(failure) => failures.push(failure.to_string()),
        }
    }
    (total, failures)
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let mut traces = BTreeSet::new();
    for seed in 0..20 {
        let (first, second) = (relayed::run(seed).unwrap(), relayed::run(seed).unwrap());
        assert_eq!(first, second, "seed {seed}");
        traces.insert(first.trace);
        let (traced, trace) = relayed::run_traced(seed);
        assert_eq!(traced.unwrap(), first, "looking changes nothing");
        assert!(!trace.lines().is_empty());
    }
    assert_eq!(traces.len(), 20, "other seeds, other runs");
}
