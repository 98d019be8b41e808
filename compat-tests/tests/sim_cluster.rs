//! Several servers that are one, in many seeds: every promise is kept, and what is wrong is noticed.

use std::collections::BTreeSet;

use compat_tests::sim::cluster::nodes::Defect;
use compat_tests::sim::cluster::{self, Summary};

/// Takes about thirty seconds of one core without optimization.
const SEEDS: u64 = 150;

#[test]
fn nodes_are_one_whatever_happens_between_them() {
    let (mut total, mut failures) = (Summary::default(), Vec::new());
    for seed in 0..SEEDS {
        match cluster::run(seed) {
            Ok(summary) => total.add(&summary),
            Err(failure) => failures.push(failure),
        }
    }
    println!("{total}");
    assert!(failures.is_empty(), "{} of {SEEDS} seeds: {failures:#?}", failures.len());
    assert!(total.listed_elsewhere > 100 * SEEDS, "{total:?}");
    assert!(total.introduced_elsewhere > SEEDS && total.introduced > 2 * SEEDS, "{total:?}");
    assert!(total.deaths > SEEDS / 4 && total.moved > SEEDS / 4, "{total:?}");
    assert!(total.rooms_listed_elsewhere > 100 * SEEDS, "{total:?}");
    assert!(total.members_elsewhere > SEEDS / 8 && total.pairs > SEEDS / 8, "{total:?}");
    assert!(total.passed_elsewhere > SEEDS && total.answered_in_time > 10 * SEEDS, "{total:?}");
    assert!(total.resumed > SEEDS / 8, "{total:?}");
    assert!(total.lobbies_listed_elsewhere > 100 * SEEDS, "{total:?}");
    assert!(total.joined_elsewhere > SEEDS && total.lobby_pairs > SEEDS / 4, "{total:?}");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let mut traces = BTreeSet::new();
    for seed in 0..10 {
        let (first, second) = (cluster::run(seed).unwrap(), cluster::run(seed).unwrap());
        assert_eq!(first, second, "seed {seed}");
        traces.insert(first.trace);
    }
    assert_eq!(traces.len(), 10, "other seeds, other runs");
}

#[test]
fn what_is_wrong_is_noticed() {
    for (defect, least) in [(Defect::Deaf, 15), (Defect::Undead, 2), (Defect::NeverAgain, 2)] {
        let broken = (0..20).filter(|seed| cluster::run_with(*seed, defect).is_err()).count();
        assert!(broken >= least, "{defect:?}: {broken} of 20");
    }
}
