//! Clients of natpunch in both halves.

use super::super::natpunch::Clients;
use super::*;

#[test]
fn halves_have_their_own_lobbies_and_are_one_again() {
    halves(Notices::Soon);
}

#[test]
fn halves_have_their_own_lobbies_and_are_one_again_also_if_nats_has_not_noticed() {
    halves(Notices::Late);
}

fn halves(notices: Notices) {
    let Some(nodes) = Nodes::on_lines(notices) else { return };
    let mut clients = Clients::at(&nodes.all);
    let one = clients.create(FAR, "one");
    turn(|n| clients.list(n), CUT, BEFORE, WAIT);
    clients.join(NEAR, &one, &[FAR]);
    clients.hears(NEAR, &["connected 2", "in", "introduced 2"]);
    clients.hears(FAR, &["connected 0", "introduced 0", "player_joined"]);

    let late = clients.add(&nodes.all[NEAR]);
    nodes.nats.cut_off(FAR);
    clients.all[late].join(&one).expect("asking");
    turn(|n| clients.list(n), BEFORE, CUT, GHOST);
    // Who was not answered asks again. Of what it has asked before nobody hears, not later either.
    clients.all[late].join(&one).expect("asking");
    clients.hears(late, &["Refused(\"Lobby not found\")"]);
    clients.hears(NEAR, &["lobby_closed"]);
    clients.hears(FAR, &["left 0", "player_left"]);
    let second = clients.add(&nodes.all[FAR]);
    clients.join(second, &one, &[FAR]);
    let two = clients.create(NEAR, "two");
    turn(|n| clients.list(n), CUT, APART, WAIT);
    clients.join(OTHER, &two, &[NEAR]);
    clients.hears(FAR, &["connected 4", "introduced 4", "player_joined"]);
    clients.hears(NEAR, &["connected 1", "introduced 1", "player_joined"]);
    let others = [NEAR, OTHER, FAR, late, second];
    others.into_iter().for_each(|who| _ = clients.told(who));

    nodes.nats.mend();
    turn(|n| clients.list(n), APART, AFTER, WAIT);
    stays(|n| clients.list(n), AFTER);
    for who in others {
        assert_eq!(clients.told(who), Vec::<String>::new(), "nobody has come or left");
    }
    let third = clients.add(&nodes.all[NEAR]);
    clients.join(third, &one, &[FAR, second]);
    let last = clients.add(&nodes.all[FAR]);
    clients.join(last, &two, &[NEAR, OTHER]);
    clients.hears(FAR, &["connected 5", "introduced 5", "player_joined"]);
    clients.hears(NEAR, &["connected 6", "introduced 6", "player_joined"]);
}
