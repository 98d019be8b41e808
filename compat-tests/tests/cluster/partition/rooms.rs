//! Rooms in both halves.

use compat_tests::rooms::Error;

use super::super::rooms::{Players, player};
use super::*;

#[test]
fn halves_have_their_own_rooms_and_are_one_again() {
    halves(Notices::Soon);
}

#[test]
fn halves_have_their_own_rooms_and_are_one_again_also_if_nats_has_not_noticed() {
    halves(Notices::Late);
}

fn halves(notices: Notices) {
    let Some(nodes) = Nodes::on_lines(notices) else { return };
    let [near, other, far] = [NEAR, OTHER, FAR].map(|n| &nodes.all[n]);
    let mut players = Players::default();
    let one = players.host(far, "one");
    turn(|n| players.list(&nodes.all[n]), CUT, BEFORE, WAIT);
    let cut_off = players.join(near, one);

    nodes.nats.cut_off(FAR);
    std::thread::scope(|scope| {
        let asks = scope.spawn(|| player(near).join(one.1));
        turn(|n| players.list(&nodes.all[n]), BEFORE, CUT, GHOST);
        let refused = asks.join().expect("a player").expect_err("no room");
        let Error::Refused { reason, .. } = &refused else { panic!("{refused}") };
        assert_eq!(reason, "noroom");
    });
    let second = players.join(far, one);
    let two = players.host(near, "two");
    turn(|n| players.list(&nodes.all[n]), CUT, APART, WAIT);
    let of_two = players.join(other, two);

    nodes.nats.mend();
    turn(|n| players.list(&nodes.all[n]), APART, AFTER, WAIT);
    stays(|n| players.list(&nodes.all[n]), AFTER);
    // Who was cut off from the node of his room has his place still.
    let place = players.all[cut_off].return_to_place().expect("a place");
    assert_eq!(place.id, players.id(cut_off));
    let third = players.join(near, one);
    let last = players.join(far, two);
    players.has_met(one.0, &[cut_off, second, third]);
    players.has_met(two.0, &[of_two, last]);
}
