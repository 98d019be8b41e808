//! Who is introduced to whom.

use punchd::dialect::Via;

use super::*;

#[test]
fn two_clients_of_two_nodes_are_introduced_in_one_round() {
    let mut world = World::of(3);
    let one = world.client(0, at(1));
    let other = world.client(1, at(2));
    world.pass(600);
    let before = world.messages;
    world.connect(&one, &other.id, 3);
    assert_eq!(world.messages - before, 2);
    let told = instructed(&world.told(&one));
    let (at_one, at_other) = (one.at.to_string(), other.at.to_string());
    assert_eq!(told, [(other.id.clone(), at_other.clone(), at_other.clone(), 3)]);
    let told = instructed(&world.told(&other));
    assert_eq!(told, [(one.id.clone(), at_one.clone(), at_one, 3)]);
    // Again and again: not at once.
    for n in 0..10 {
        let (from, to) = if n % 2 == 0 { (&one, &other) } else { (&other, &one) };
        world.connect(from, &to.id, n);
    }
    assert_eq!((world.told(&one), world.told(&other)), (vec![], vec![]));
    world.pass(300);
    world.connect(&other, &one.id, 4);
    assert_eq!(instructed(&world.told(&one)).len(), 1);
    assert_eq!(
        instructed(&world.told(&other)),
        [(one.id.clone(), one.at.to_string(), one.at.to_string(), 4)]
    );
    // Who is nowhere, or plays something else.
    let third = world.client_of(2, at(3), "Pong");
    for id in [&*third.id, "nobody", "12345678-1234-4234-8234-123456789012"] {
        world.connect(&one, id, 1);
        let want = format!("Destination client {id} not found");
        assert_eq!(errors(&world.told(&one)), [want]);
    }
    assert_eq!(world.told(&third), []);
}

#[test]
fn behind_one_nat_they_are_told_where_they_are_in_it() {
    let mut world = World::of(2);
    let one = world.client(0, at(1));
    let other = world.client(1, SocketAddr::new(at(1).ip(), 50_000));
    world.connect(&one, &other.id, 1);
    let local = "192.168.1.9:7777".to_owned();
    assert_eq!(
        instructed(&world.told(&one)),
        [(other.id.clone(), other.at.to_string(), local.clone(), 1)]
    );
    assert_eq!(instructed(&world.told(&other)), [(one.id.clone(), one.at.to_string(), local, 1)]);
}

#[test]
fn who_asks_at_the_same_moment_is_told_once() {
    let mut world = World::of(2);
    let one = world.client(0, at(1));
    let other = world.client(1, at(2));
    // Both nodes ask before either hears of it.
    let request = |source: &Client, destination: &Client| {
        bytes(Content::ConnectRequest(ConnectRequest {
            destination_client_id: destination.id.clone(),
            source_client_id: source.id.clone(),
            local_endpoint: None,
            attempt_number: 1,
        }))
    };
    let both = [(0, &one, &other), (1, &other, &one)].map(|(n, source, destination)| {
        let (data, from) = (request(source, destination), source.at);
        world.act_alone(n, |server, now, out| {
            server.on_datagram(now, Via::default(), from, &data, out);
        })
    });
    world.deliver(both.into_iter().flatten().collect());
    assert_eq!(instructed(&world.told(&one)).len(), 1);
    assert_eq!(instructed(&world.told(&other)).len(), 1);
}
