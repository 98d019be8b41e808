//! What is told of NATs, and counted.

use super::*;
use crate::nats::Seen;

/// A world in which these have shown by STUN that their ports count up.
fn counting(peers: &[SocketAddr]) -> World {
    let mut world = World::new();
    let at = world.now().instant;
    for peer in peers {
        let second = SocketAddr::new(peer.ip(), peer.port() + 1);
        world.shared.nats.saw(at, *peer, Seen::Stun);
        world.shared.nats.saw(at, second, Seen::Alternate);
    }
    world
}

#[test]
fn a_host_is_told_the_next_ports_of_a_client() {
    let mut world = counting(&[peer(2)]);
    let host = world.host(peer(1), "Room");
    let sent = world.send(peer(2), format!("jr:{}", host.room).as_bytes());
    assert_eq!(sent.to(peer(2)).len(), 2, "nothing is known of the host");
    let client = Place::of(peer(2), &sent.to(peer(2)));
    let id = &client.id;
    let told =
        [format!("cj:{id}:{}:40000", peer(2).ip()), format!("pp:{id}:40002,40003,40004,40005")];
    assert_eq!(sent.to(peer(1)), told[..1], "it may be forged");
    assert_eq!(world.send(peer(2), client.rc().as_bytes()).to(peer(1)), told[1..]);
    assert_eq!(world.pass_secs(1).to(peer(1)), [&told[..], &told[..]].concat(), "it is repeated");
    world.answer(host.at, &format!("pc:{id}:ok"));
    assert_eq!(world.pass_secs(5).to(peer(1)), [""; 0], "until it is confirmed");
}

#[test]
fn a_client_is_told_the_next_ports_of_its_host_and_of_where_it_goes() {
    let mut world = counting(&[peer(1), peer(3)]);
    let host = world.host(peer(1), "Room");
    let jr = format!("jr:{}", host.room);
    let answers = world.ask(peer(2), &jr);
    assert_eq!(answers.len(), 2, "the request has not paid for more");
    let client = Place::of(peer(2), &answers);
    let proven = world.ask(peer(2), &client.rc());
    assert_eq!(proven[2], format!("pp:{}:40002,40003,40004,40005", host.id));
    let again = world.ask(peer(2), &jr);
    assert_eq!(again, proven, "a request that comes twice has the same answer");
    let other = Place::of(peer(4), &world.ask(peer(4), &jr));
    let proven = world.ask(peer(4), &other.rc());
    assert_eq!(proven[2], format!("pp:{}:40003,40004,40005,40006", host.id));
    world.pass_secs(2);
    let sent = world.send(peer(3), host.rc().as_bytes());
    assert_eq!(sent.to(peer(2)), [format!("ep:{}:{}:40000", host.id, peer(3).ip())]);
    let back = Place { key: Place::of(peer(3), &sent.to(peer(3))[..2]).key, at: peer(3), ..host };
    let told = world.send(peer(3), back.rc().as_bytes()).to(peer(2));
    assert_eq!(told, [format!("pp:{}:40002,40003,40004,40005", back.id)]);
}

#[test]
fn results_are_counted_once_by_the_kinds_of_both() {
    let mut world = counting(&[peer(2)]);
    let host = world.host(peer(1), "Room");
    let client = world.enter_with_ports(peer(2), &host);
    for _ in 0..2 {
        world.answer(host.at, &format!("pc:{client}:ok"));
        world.answer(peer(2), &format!("pc:{client}:ok"));
    }
    let results = world.shared.journal.lines();
    assert_eq!(results.len(), 2, "{results:?}");
    assert!(results[1].starts_with("rooms     unknown               symmetric, counts "));
    assert!(results[1].ends_with(" 1         0       0"), "{results:?}");
    world.answer(peer(2), &format!("pc:{client}:fail"));
    assert!(world.shared.journal.lines()[1].ends_with(" 1         0       0"));
}

impl World {
    /// The ID of a client that joins.
    fn enter_with_ports(&mut self, at: SocketAddr, room: &Place) -> String {
        let place = Place::of(at, &self.ask(at, &format!("jr:{}", room.room)));
        self.prove(&place);
        place.id
    }
}
