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
    // Whose address an adversary forges is promised nothing, and fares nearly as well as others. Of the clients in whose
    // name, or in that of whose host, something was forged 98.8 % were told of with the right port and in time, and 99.6 %
    // answered in time.
    let forged = total.forged_right + total.forged_wrong;
    assert!(forged > SEEDS, "{total:?}");
    assert!(total.forged_right * 100 >= forged * 97, "98.8 % were seen: {total:?}");
    assert!(total.forged_in_time * 100 >= forged * 97, "99.6 % were seen: {total:?}");
    // Those whose host was forged were told its right port in 99.7 % of all cases.
    let hosts = total.host_right + total.host_wrong;
    assert!(hosts > SEEDS / 2, "{total:?}");
    assert!(total.host_right * 100 >= hosts * 97, "99.7 % were seen: {total:?}");
}
