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

/// The host of a room and one who has joined it show their game sockets, are introduced and reach each other.
fn meet(host: (&mut EventClient, &UdpSocket), guest: (&mut EventClient, &UdpSocket)) {
    let all = [host, guest].map(|(client, socket)| {
        let id = client.logged_in().expect("logged in").id.clone();
        client.udp_endpoint(socket, WAIT).expect("an endpoint");
        (client, socket, id)
    });
    let [to_host, to_guest] = all.map(|(client, socket, id)| {
        let told = client.introduction(WAIT).expect("told");
        (socket, id, told)
    });
    std::thread::scope(|scope| {
        let knocks = [(&to_host, &to_guest), (&to_guest, &to_host)].map(|(own, other)| {
            assert_eq!(own.2.id, other.1);
            let reached = scope.spawn(|| knock::knock(own.0, &own.2, WAIT));
            (reached, other.0.local_addr().expect("an address"))
        });
        for (reached, at) in knocks {
            assert_eq!(reached.join().expect("a knock"), Some(at));
        }
    });
}

/// A peer with its game socket.
pub(super) struct Peer {
    pub(super) client: EventClient,
    socket: UdpSocket,
}

impl Peer {
    pub(super) fn at(node: &Master, id: &str) -> Self {
        Self {
            client: peer(node, id, ""),
            socket: UdpSocket::bind("127.0.0.1:0").expect("a socket"),
        }
    }

    /// The names of the rooms that it is shown, in order.
    pub(super) fn list(&mut self) -> Vec<String> {
        let rooms = self.client.list_rooms().expect("a list");
        let mut names: Vec<String> = rooms.into_iter().map(|room| room.name).collect();
        names.sort();
        names
    }

    pub(super) fn create(&mut self, name: &str) -> String {
        self.client.create_room(name, 8).expect("a room")
    }

    /// Joins a room, and is introduced to its host.
    pub(super) fn join(&mut self, room: &str, host: &mut Self) {
        self.client.join_room(room).expect("joined");
        meet((&mut host.client, &host.socket), (&mut self.client, &self.socket));
    }

    /// What it was told since this was asked last, but for introductions that were waited for.
    pub(super) fn told(&mut self) -> Vec<String> {
        // The answer comes after that.
        self.client.list_rooms().expect("a list");
        let next = || self.client.next_pass(Duration::from_millis(1)).expect("a connection");
        let told = std::iter::from_fn(next);
        let id = |data: &serde_json::Value| data["id"].as_str().unwrap_or_default().to_owned();
        told.map(|pass| format!("{} {}", pass.name, id(&pass.data)).trim().to_owned()).collect()
    }

    /// Waits until it is this.
    pub(super) fn hears(&mut self, want: &[&str]) {
        let (mut told, end) = (self.told(), Instant::now() + WAIT);
        while told != want {
            assert!(Instant::now() < end, "{told:?}, not {want:?}");
            told.extend(self.told());
        }
    }
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
    let sockets = [(), ()].map(|()| UdpSocket::bind("127.0.0.1:0").expect("a socket"));
    meet((&mut amy, &sockets[0]), (&mut bob, &sockets[1]));
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
