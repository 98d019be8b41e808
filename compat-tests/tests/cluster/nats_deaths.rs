//! NATS servers die one after the other, and no player notices. For hosts of GMnet the same is in `main.rs`.

use super::events::Peer;
use super::natpunch::Clients;
use super::rooms::Players;
use super::*;

const NONE: Lists<'_> = [&[], &[], &["one"]];
const ONE: Lists<'_> = [&["one"], &["one"], &["one"]];
const TWO: Lists<'_> = [&["one", "two"], &["one", "two"], &["one", "two"]];

/// Two of three.
const DIE: [usize; 2] = [0, 1];

#[test]
fn rooms_stay_and_are_joined_as_nats_servers_die() {
    let Some(mut nodes) = Nodes::three(3) else { return };
    let mut players = Players::default();
    let one = players.host(&nodes.all[2], "one");
    turn(|n| players.list(&nodes.all[n]), NONE, ONE, WAIT);
    let mut guests = Vec::new();
    for dead in DIE {
        nodes.nats.kill(dead);
        for node in &nodes.all {
            guests.push(players.join(node, one));
        }
        stays(|n| players.list(&nodes.all[n]), ONE);
        let (two, _) = players.host(&nodes.all[0], "two");
        turn(|n| players.list(&nodes.all[n]), ONE, TWO, WAIT);
        players.all[two].leave().expect("leaving");
        turn(|n| players.list(&nodes.all[n]), TWO, ONE, WAIT);
    }
    players.has_met(one.0, &guests);
}

#[test]
fn peers_of_events_stay_in_their_rooms_as_nats_servers_die() {
    let Some(mut nodes) = Nodes::three(3) else { return };
    let ids = ["amy", "bob", "carl"];
    let mut peers = [0, 1, 2].map(|n| Peer::at(&nodes.all[n], ids[n]));
    let one = peers[2].create("one");
    turn(|n| peers[n].list(), NONE, ONE, WAIT);
    let [amy, _, carl] = &mut peers;
    amy.join(&one, carl);
    carl.hears(&["self_joined carl", "player_joined amy"]);
    amy.hears(&["self_joined amy"]);
    for dead in DIE {
        nodes.nats.kill(dead);
        stays(|n| peers[n].list(), ONE);
        let [amy, bob, carl] = &mut peers;
        bob.join(&one, carl);
        carl.hears(&["player_joined bob"]);
        bob.hears(&["self_joined bob"]);
        bob.client.leave_room().expect("left");
        carl.client.wait_for("player_left", WAIT).expect("told");
        amy.client.wait_for("player_left", WAIT).expect("told");
        amy.hears(&["player_joined bob"]);
        bob.create("two");
        turn(|n| peers[n].list(), ONE, TWO, WAIT);
        let [_, bob, _] = &mut peers;
        bob.client.leave_room().expect("left");
        turn(|n| peers[n].list(), TWO, ONE, WAIT);
        peers[1].told();
    }
}

#[test]
fn lobbies_of_natpunch_stay_and_are_joined_as_nats_servers_die() {
    let Some(mut nodes) = Nodes::three(3) else { return };
    let mut clients = Clients::at(&nodes.all);
    let one = clients.create(2, "one");
    turn(|n| clients.list(n), NONE, ONE, WAIT);
    let mut members = vec![2];
    for dead in DIE {
        nodes.nats.kill(dead);
        for node in &nodes.all {
            let member = clients.add(node);
            clients.join(member, &one, &members);
            members.push(member);
        }
        stays(|n| clients.list(n), ONE);
    }
    let mut told: Vec<String> = members[1..]
        .iter()
        .flat_map(|of| {
            [format!("connected {of}"), format!("introduced {of}"), "player_joined".into()]
        })
        .collect();
    told.sort();
    let told: Vec<&str> = told.iter().map(String::as_str).collect();
    clients.hears(2, &told);
}
