//! The relay and its plan as a whole, in hundreds of seeds: a real server and the real relay, but for
//! their sockets, with everybody around them. A hundred thousand take some
//! minutes: `punch sim --relay --seeds 100000`.
use std::collections::BTreeSet;

use compat_tests::sim::relayed::{self, Summary};

/// Takes about five seconds of one core without optimization.
const SEEDS: u64 = 300;

#[test]
fn promises_are_kept_by_the_relay_and_its_plan() {
    let mut total = Summary::default();
    let mut failures = Vec::new();
    for seed in 0..SEEDS {
        match relayed::run(seed) {
            Ok(summary) => total.add(&summary),
            Err(failure) => failures.push(failure.to_string()),
        }
    }
    println!("{total:?}");
    assert!(failures.is_empty(), "{} of {SEEDS} seeds: {failures:#?}", failures.len());
    assert!(total.direct > SEEDS && total.at_once > SEEDS && total.refused > 10, "{total:?}");
    assert!(total.promised > SEEDS && total.host_first * 10 > total.relayed * 9, "{total:?}");
    assert!(total.ended.iter().all(|count| *count > 10), "{total:?}");
    assert!(total.over > SEEDS && total.meddled > 100 * SEEDS, "{total:?}");
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
