//! What another node says, as it comes: what that of a broken one costs, and what is lost or late.

use super::*;
use crate::cluster::NodeId;
use crate::dialect::events::nodes::message::{Message, PeerEntry, RoomEntry};
use crate::state;

/// A room for eight.
fn room(number: u64) -> RoomEntry {
    RoomEntry {
        game: "chess".into(),
        number,
        name: "r".into(),
        code: None,
        max_players: 8,
        is_locked: false,
        has_password: false,
        is_mesh: false,
        own: None,
        made_by: IpAddr::from([192, 0, 2, 1]),
        players: vec!["host".into()],
        host_at: None,
    }
}

/// The peer with this ID, token and secret.
fn peer(n: usize) -> PeerEntry {
    PeerEntry {
        token: n as u128,
        secret: n as u128,
        game: "g".into(),
        id: n.to_string().into(),
        addr: SocketAddr::from(([192, 0, 2, 1], 4000)),
        since: 0,
        is_page: false,
        is_out: false,
    }
}

/// A node says where a peer is.
fn is_in(token: u128, room: Option<u64>) -> Message {
    Message::In { token, room, is_again: false }
}

impl World {
    fn hear(&mut self, node: NodeId, all: impl IntoIterator<Item = Message>) {
        for told in all {
            let bytes = state::write(&told).unwrap();
            self.act(|events, cx| events.on_node_message(cx, node, &bytes));
        }
    }

    fn kept(&self, what: &str) -> usize {
        let mut found = None;
        self.events.nodes.kept(&mut |name, count| {
            if name == what {
                found = Some(count);
            }
        });
        found.unwrap()
    }
}

#[test]
fn a_node_that_says_all_the_time_that_it_has_told_everything_costs_no_more_than_one_that_says_it_once()
 {
    const PEERS: usize = 2000;
    let (mut world, node) = (World::new(), NodeId::of(0));
    world.act(|events, cx| events.on_node_joined(cx, node));
    let all = (0..PEERS).map(peer).collect();
    world.hear(node, [Message::Begin, Message::Peers { all }, Message::End]);
    while world.events.next_wakeup().is_some_and(|at| at <= world.now.instant) {
        world.act(|events, cx| events.on_wakeup(cx));
    }
    assert_eq!(world.kept("events: guests"), PEERS);
    world.hear(node, [Message::Begin]);
    let (mut turns, mut most) = (0, 0);
    while world.kept("events: guests") > 0 {
        world.hear(node, (0..100).flat_map(|_| [Message::End, Message::Begin, Message::End]));
        most = most.max(world.kept("events: what is to be taken away"));
        world.act(|events, cx| events.on_wakeup(cx));
        turns += 1;
    }
    assert!(most <= PEERS, "{most}");
    assert!(turns <= 2 * PEERS / limits::cluster::PART_ENTRIES, "{turns}");
    assert_eq!(world.kept("events: what is to be taken away"), 0);
}

/// Bob asks to come into a room of node 0.
fn asking() -> (World, NodeId, ConnId) {
    let (mut world, node) = (World::new(), NodeId::of(0));
    world.act(|events, cx| events.on_node_joined(cx, node));
    world.hear(node, [Message::Begin, Message::Rooms { all: vec![room(7)] }, Message::End]);
    let [bob] = world.peers(["bob"]);
    world.join(bob, 7);
    assert_eq!(world.heard(bob), Vec::<Value>::new(), "node 0 has to answer");
    (world, node, bob)
}

impl World {
    fn join(&mut self, id: ConnId, room: u64) {
        let data = json!({"room": format!("{room:016x}")});
        let join =
            json!({"type": "request", "name": "join_room", "data": data, "request_id": "mine"});
        self.say(id, join.to_string());
    }

    /// Node 0 answers the join that was passed on to it under this number.
    fn answers(&mut self, node: NodeId, id: ConnId, number: u32, more: (&str, Value)) {
        let mut answer =
            json!({"type": "response", "name": "join_room", "request_id": number.to_string()});
        answer[more.0] = more.1;
        let (token, object) = (self.events.token_of(id), answer.to_string().into_bytes());
        self.hear(node, [Message::Write { token, object }]);
    }
}

/// Though the node says so as well, which may be lost.
#[test]
fn who_is_refused_by_another_node_may_come_into_another_room() {
    let (mut world, node, bob) = asking();
    let fault = json!({"code": "locked", "message": "the room is locked"});
    world.answers(node, bob, 1, ("error", fault));
    assert_eq!(world.hears(bob)["error"]["code"], "locked");
    world.ask(bob, "create_room", json!({"name": "own"})).unwrap();
}

/// It has given up before, and its node has said so: that came behind the second try at the other one.
#[test]
fn who_was_let_in_and_taken_out_before_the_answer_comes_is_not_told_that_it_is_in() {
    let (mut world, node, bob) = asking();
    world.wait(limits::cluster::ANSWER_WAIT);
    assert_eq!(world.hears(bob)["error"]["code"], "timeout");
    world.join(bob, 7);
    world.heard(bob);
    let token = world.events.token_of(bob);
    let told = [Some(7), None, Some(7)].map(|room| is_in(token, room));
    world.hear(node, told);
    world.answers(node, bob, 2, ("data", json!({})));
    let heard = world.heard(bob);
    let answer = heard.iter().find(|event| event["type"] == "response").unwrap();
    assert_eq!(answer["error"]["code"], "timeout");
    world.ask(bob, "create_room", json!({"name": "own"})).unwrap();
}

#[test]
fn whose_join_fails_late_goes_on_with_that_at_another_node() {
    let (mut world, node, bob) = asking();
    let token = world.events.token_of(bob);
    world.hear(node, [Some(7), None].map(|room| is_in(token, room)));
    assert_eq!(names(&world.heard(bob)), ["room_deleted", "self_left"]);
    let other = NodeId::of(1);
    world.act(|events, cx| events.on_node_joined(cx, other));
    world.hear(other, [Message::Begin, Message::Rooms { all: vec![room(8)] }, Message::End]);
    world.join(bob, 8);
    world.answers(node, bob, 1, ("data", json!({})));
    assert_eq!(world.hears(bob)["error"]["code"], "timeout");
    world.hear(other, [is_in(token, Some(8))]);
    world.answers(other, bob, 2, ("data", json!({"room": "8"})));
    assert_eq!(world.hears(bob)["data"]["room"], "8");
    assert_eq!(world.ask(bob, "create_room", json!({"name": "own"})), Err("in_room".into()));
}

#[test]
fn whose_request_to_a_node_fails_as_that_is_gone_stays_in_the_room_of_another_one() {
    for leaves in [false, true] {
        let (mut world, node, bob) = asking();
        if leaves {
            let leave =
                json!({"type": "request", "name": "leave_room", "data": {}, "request_id": "leave"});
            world.say(bob, leave.to_string());
        }
        let token = world.events.token_of(bob);
        world.hear(node, [Some(7), None].map(|room| is_in(token, room)));
        let other = NodeId::of(1);
        world.act(|events, cx| events.on_node_joined(cx, other));
        world.hear(other, [Message::Begin, Message::Rooms { all: vec![room(8)] }, Message::End]);
        world.heard(bob);
        world.join(bob, 8);
        world.hear(other, [is_in(token, Some(8))]);
        world.answers(other, bob, 2 + u32::from(leaves), ("data", json!({"room": "8"})));
        assert_eq!(world.hears(bob)["data"]["room"], "8", "{leaves}");
        world.act(|events, cx| events.on_node_gone(cx, node));
        world.turn();
        world.wait(limits::cluster::ANSWER_WAIT);
        let own = world.ask(bob, "create_room", json!({"name": "own"}));
        assert_eq!(own, Err("in_room".into()), "{leaves}");
    }
}

#[test]
fn who_asks_a_node_that_is_gone_and_back_may_come_into_another_room() {
    let (mut world, node, bob) = asking();
    world.act(|events, cx| events.on_node_gone(cx, node));
    world.act(|events, cx| events.on_node_joined(cx, node));
    world.turn();
    assert_eq!(world.hears(bob)["error"]["code"], "no_such_room");
    world.ask(bob, "create_room", json!({"name": "own"})).unwrap();
}

/// Its node says so only after it was taken over, or as the message that it has left comes there late.
#[test]
fn who_has_come_into_another_room_of_a_node_is_not_taken_out_of_it_by_word_of_the_one_before() {
    let (mut world, node, bob) = asking();
    let token = world.events.token_of(bob);
    world.hear(node, [is_in(token, Some(7))]);
    world.answers(node, bob, 1, ("data", json!({"room": "7"})));
    world.ask(bob, "leave_room", json!({})).unwrap();
    world.hear(node, [Message::Rooms { all: vec![room(8)] }]);
    world.join(bob, 8);
    world.hear(node, [is_in(token, Some(8))]);
    world.answers(node, bob, 2, ("data", json!({"room": "8"})));
    world.heard(bob);
    let tell = |name: &str, room: u64| {
        let data = json!({"room": format!("{room:016x}"), "id": "bob", "reason": "left"});
        let object = json!({"type": "pass", "name": name, "data": data}).to_string().into_bytes();
        [Message::Write { token, object }]
    };
    world.hear(node, tell("self_left", 7));
    assert_eq!(world.heard(bob), Vec::<Value>::new(), "it is in another one");
    world.hear(node, tell("player_left", 8));
    assert_eq!(names(&world.heard(bob)), ["player_left"], "and stays there");
    world.hear(node, tell("self_left", 8));
    assert_eq!(names(&world.heard(bob)), ["self_left"]);
    world.ask(bob, "create_room", json!({"name": "own"})).unwrap();
}

/// There its host may kick it before that node has heard that the peer has left.
#[test]
fn who_was_told_that_its_room_is_gone_is_not_told_again_that_it_is_in_it_no_more() {
    for is_lost in [false, true] {
        let (mut world, node, bob) = asking();
        let token = world.events.token_of(bob);
        world.hear(node, [is_in(token, Some(7))]);
        world.answers(node, bob, 1, ("data", json!({"room": "7"})));
        world.heard(bob);
        if is_lost {
            world.act(|events, cx| events.on_node_gone(cx, node));
            world.turn();
            world.act(|events, cx| events.on_node_joined(cx, node));
            world.hear(node, [Message::Begin]);
        } else {
            world.hear(node, [is_in(token, None)]);
        }
        assert_eq!(names(&world.heard(bob)), ["room_deleted", "self_left"], "{is_lost}");
        let data = json!({"room": format!("{:016x}", 7), "id": "bob", "reason": "kicked"});
        let kicked = json!({"type": "pass", "name": "self_left", "data": data});
        world.hear(node, [Message::Write { token, object: kicked.to_string().into_bytes() }]);
        assert_eq!(world.heard(bob), Vec::<Value>::new(), "{is_lost}");
    }
}
