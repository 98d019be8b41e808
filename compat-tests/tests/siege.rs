//! Honest players beside an adversary: what is promised to them is kept, in hundreds of seeds. A
//! hundred thousand take some minutes: `punch sim --siege --seeds 100000`.

use compat_tests::sim::siege::{self, Tally};

/// Takes about ten seconds of one core without optimization.
const SEEDS: u64 = 400;

#[test]
fn promises_are_kept_whatever_an_adversary_does() {
    let mut total = Tally::default();
    let failures: Vec<String> = (0..SEEDS)
        .filter_map(|seed| siege::run(seed).map(|tally| total.add(&tally)).err())
        .map(|failure| failure.to_string())
        .collect();
    println!("{total}");
    assert!(failures.is_empty(), "{} of {SEEDS} seeds: {failures:#?}", failures.len());
    assert!(total.introduced > 5 * SEEDS && total.lobbies > 5 * SEEDS, "{total:?}");
    // Hosts in whose name another NAT is shown have knocked there and are told with the port that they have.
    assert!(total.at_other_port > SEEDS, "{total:?}");
    // Nothing but the time tells players behind one address apart.
    let shared = total.shared_right + total.shared_wrong;
    assert!(total.shared_right * 100 >= shared * 99, "{total:?}");
}
