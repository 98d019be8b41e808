//! Peers of events in both halves.

use compat_tests::events::EventClient;

use super::super::events::{Peer, peer};
use super::*;

#[test]
fn halves_have_their_own_peers_and_are_one_again() {
    halves(Notices::Soon);
}

#[test]
fn halves_have_their_own_peers_and_are_one_again_also_if_nats_has_not_noticed() {
    halves(Notices::Late);
}

fn halves(notices: Notices) {
    let Some(nodes) = Nodes::on_lines(notices) else { return };
    let mut peers =
        [(NEAR, "bob"), (OTHER, "carl"), (FAR, "amy")].map(|(n, id)| Peer::at(&nodes.all[n], id));
    let one = peers[FAR].create("one");
    turn(|n| peers[n].list(), CUT, BEFORE, WAIT);
    peers[NEAR].client.join_room(&one).expect("joined");
    peers[NEAR].hears(&["self_joined bob"]);
    peers[FAR].hears(&["self_joined amy", "player_joined bob"]);

    nodes.nats.cut_off(FAR);
    std::thread::scope(|scope| {
        let asks = scope.spawn(|| peer(&nodes.all[NEAR], "gus", "").join_room(&one));
        turn(|n| peers[n].list(), BEFORE, CUT, GHOST);
        let refused = asks.join().expect("a peer").expect_err("no room");
        assert!(matches!(refused.code(), Some("no_such_room" | "timeout")), "{refused}");
    });
    peers[NEAR].hears(&["room_deleted", "self_left bob"]);
    peers[FAR].client.wait_for("player_left", GHOST).expect("told");
    let mut zoe = [NEAR, FAR].map(|n| peer(&nodes.all[n], "zoe", ""));
    let mut dora = Peer::at(&nodes.all[FAR], "dora");
    dora.join(&one, &mut peers[FAR]);
    let two = peers[NEAR].create("two");
    turn(|n| peers[n].list(), CUT, APART, WAIT);
    let [bob, carl, amy] = &mut peers;
    carl.join(&two, bob);
    amy.hears(&["player_joined dora"]);
    dora.hears(&["self_joined dora"]);
    bob.hears(&["self_joined bob", "player_joined carl"]);
    carl.hears(&["self_joined carl"]);

    nodes.nats.mend();
    turn(|n| peers[n].list(), APART, AFTER, WAIT);
    one_of(&mut zoe);
    stays(|n| peers[n].list(), AFTER);
    let [bob, carl, amy] = &mut peers;
    for peer in [&mut *bob, &mut *carl, &mut *amy, &mut dora] {
        assert_eq!(peer.told(), Vec::<String>::new(), "nobody has come or left");
    }
    let [mut eve, mut finn] =
        [(NEAR, "eve"), (FAR, "finn")].map(|(n, id)| Peer::at(&nodes.all[n], id));
    eve.join(&one, amy);
    finn.join(&two, bob);
    amy.hears(&["player_joined eve"]);
    bob.hears(&["player_joined finn"]);
}

/// Who has one ID in both halves is the same no longer: one connection is closed, and the other stays.
fn one_of(zoe: &mut [EventClient; 2]) {
    let end = Instant::now() + WAIT;
    loop {
        let asked = zoe.each_mut().map(|zoe| zoe.list_rooms());
        match asked.map(|asked| asked.err().map(|error| error.code().map(str::to_owned))) {
            [Some(code), None] | [None, Some(code)] => {
                assert_eq!(code.as_deref(), Some("id_taken"));
                return;
            }
            both => assert!(both == [None, None] && Instant::now() < end, "{both:?}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
