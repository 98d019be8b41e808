//! Peers of events at several nodes.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use compat_tests::events::{Arrival, EventClient, knock};
use compat_tests::master::Master;
use serde_json::json;

use super::{GHOST, Nodes, WAIT};

pub(super) fn peer(node: &Master, id: &str, game: &str) -> EventClient {
    let mut client = EventClient::connect(node.addr(), None).expect("connecting");
    client.login(id, game).expect("logging in");
    client
}

/// Waits until a peer is shown so many rooms.
pub(super) fn wait_for_rooms_of(
    peer: &mut EventClient,
    count: usize,
    within: Duration,
) -> Duration {
    let start = Instant::now();
    while peer.list_rooms().expect("a list").len() != count {
        assert!(start.elapsed() < within, "{:?}", peer.list_rooms());
        std::thread::sleep(Duration::from_millis(20));
    }
    start.elapsed()
}

#[test]
fn peers_of_events_at_three_nodes_are_in_one_room_until_its_node_is_killed() {
    let Some(mut nodes) = Nodes::three(3) else { return };
    let mut amy = peer(&nodes.all[0], "amy", "chess");
    let mut bob = peer(&nodes.all[1], "bob", "chess");
    let mut carl = peer(&nodes.all[2], "carl", "chess");
    let room = amy.create_room("Lobby", 4).expect("a room");
    for (n, member) in [&mut bob, &mut carl].into_iter().enumerate() {
        wait_for_rooms_of(member, 1, WAIT);
        let joined = member.join_room(&room).expect("joined");
        assert_eq!((joined.host.as_str(), joined.players.len()), ("amy", n + 2));
    }
    assert_eq!(bob.wait_for("player_joined", WAIT).expect("told").data["id"], "carl");
    let taken = EventClient::connect(nodes.all[1].addr(), None).expect("connecting");
    let taken = { taken }.login("amy", "chess").expect_err("taken");
    assert_eq!(taken.code(), Some("id_taken"));
    // What they say to each other.
    bob.on_request("double", |request| Ok(json!(2 * request.data.as_i64().unwrap_or_default())));
    let bob = std::thread::spawn(move || {
        bob.wait_for("stop", WAIT).expect("being stopped");
        bob
    });
    assert_eq!(carl.request(Some("bob"), "double", json!(21)).expect("an answer"), json!(42));
    let hello = amy.confirm_pass(Some("bob"), "hello", json!(1)).expect("confirming");
    assert_eq!(hello, Arrival::Confirmed);
    amy.pass(Some("bob"), "stop", json!(null)).expect("passing");
    let mut bob = bob.join().expect("bob");
    // The host and one at another node reach each other.
    let sockets = [(), ()].map(|()| UdpSocket::bind("127.0.0.1:0").expect("a socket"));
    let at = |n: usize| sockets[n].local_addr().expect("an address");
    amy.udp_endpoint(&sockets[0], WAIT).expect("an endpoint");
    bob.udp_endpoint(&sockets[1], WAIT).expect("an endpoint");
    let for_amy = amy.introduction(WAIT).expect("told");
    let for_bob = bob.introduction(WAIT).expect("told");
    std::thread::scope(|scope| {
        let theirs = scope.spawn(|| knock::knock(&sockets[1], &for_bob, WAIT));
        assert_eq!(knock::knock(&sockets[0], &for_amy, WAIT), Some(at(1)));
        assert_eq!(theirs.join().expect("bob"), Some(at(0)));
    });
    let result = bob.confirm_pass(None, "punch_result", json!({"id": "amy", "ok": true}));
    assert_eq!(result.expect("taken"), Arrival::Confirmed);
    nodes.all[0].wait_for_log("(\"Lobby\") directly");
    // A node dies that has a member, then the one that has the room.
    nodes.all.remove(2).crash();
    let start = Instant::now();
    assert_eq!(amy.wait_for("player_left", GHOST).expect("told").data["id"], "carl");
    println!("gone from a room after {:?}", start.elapsed());
    let gone = bob.request(Some("carl"), "double", json!(1)).expect_err("gone");
    // Nodes do not notice it at the same moment.
    assert!(matches!(gone.code(), Some("no_such_peer" | "peer_left")), "{gone}");
    nodes.all.remove(0).crash();
    let start = Instant::now();
    bob.wait_for("room_deleted", GHOST).expect("told");
    println!("told that the room is gone after {:?}", start.elapsed());
    wait_for_rooms_of(&mut bob, 0, GHOST);
    // Its host is back at another node, where it makes another.
    let mut amy = peer(&nodes.all[0], "amy", "chess");
    let room = amy.create_room("Lobby", 4).expect("a room");
    bob.join_room(&room).expect("joined");
}
