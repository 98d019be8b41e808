//! Who is introduced to whom.

use punchd::introductions::relay::{Bounds, sessions};

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
        let content = Content::ConnectRequest(ConnectRequest {
            destination_client_id: destination.id.clone(),
            source_client_id: source.id.clone(),
            local_endpoint: None,
            attempt_number: 1,
        });
        Message { content: Some(content) }.encode_to_vec()
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

fn with_relay(addr: Option<&str>) -> Config {
    let relay = addr.map(|addr| {
        let told = addr.parse::<std::net::IpAddr>().unwrap().into();
        let ports = 20_000..=20_063;
        sessions::Config { told, is_apart: true, ports, bounds: Bounds::default() }
    });
    Config { relay, ..Config::default() }
}

#[test]
fn who_does_not_get_through_is_relayed_by_the_clients_node_or_else_the_hosts() {
    let (a, b) = (Some("192.0.2.1"), Some("192.0.2.2"));
    for (relays, want) in [([a, None], a), ([None, b], b), ([a, b], a), ([None, None], None)] {
        let mut world = World::with(relays.map(with_relay).into());
        let one = world.client(0, at(1));
        let other = world.client(1, at(2));
        world.connect(&one, &other.id, 1);
        assert_eq!(instructed(&world.told(&one))[0].1, other.at.to_string());
        assert_eq!(instructed(&world.told(&other))[0].1, one.at.to_string());
        world.pass(6000);
        world.connect(&one, &other.id, 2);
        let sessions = |world: &World| {
            world.nodes.iter().flatten().map(|node| node.relay().len()).sum::<usize>()
        };
        for (client, peer) in [(&one, &other), (&other, &one)] {
            let told = instructed(&world.told(client));
            let [(_, public, _, attempt)] = &told[..] else { panic!("{told:?}") };
            match want {
                Some(relay) => assert!(public.starts_with(relay), "{relays:?}: {public}"),
                None => assert_eq!(*public, peer.at.to_string()),
            }
            assert_eq!(*attempt, if want.is_some() { 3 } else { 2 });
        }
        assert_eq!(sessions(&world), usize::from(want.is_some()), "{relays:?}");
        // Again: the same session.
        world.pass(1000);
        world.connect(&other, &one.id, 3);
        let told = instructed(&world.told(&one));
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!(sessions(&world), usize::from(want.is_some()), "{relays:?}");
    }
}

#[test]
fn who_does_not_reach_the_host_of_a_lobby_has_as_long_again_at_a_relay() {
    for relays in [[Some("192.0.2.1"), None, None], [None, Some("192.0.2.1"), None]] {
        let mut world = World::with(relays.map(with_relay).into());
        let host = world.client(1, at(1));
        let lobby = world.create(&host, "one", 4);
        let client = world.client(0, at(2));
        world.ask_to_join(&client, &lobby);
        world.told(&client);
        world.told(&host);
        world.pass(11_500);
        for one in [&client, &host] {
            let told = world.told(one);
            assert!(instructed(&told)[0].1.starts_with("192.0.2.1:"), "{told:?}");
            assert_eq!(errors(&told), Vec::<String>::new());
        }
        world.pass(11_500);
        let told = world.told(&client);
        assert_eq!(errors(&told), ["Failed to establish connection with lobby host"]);
        // Who meets it there is in.
        world.pass(1000);
        world.ask_to_join(&client, &lobby);
        let told = instructed(&world.told(&client));
        assert!(told[0].1.starts_with("192.0.2.1:"), "{told:?}");
        world.ready(&host, &lobby, &client);
        assert_eq!(world.lobbies(&client)[0].current_players, 2);
    }
}

#[test]
fn ipv4_and_ipv6_meet_where_a_node_has_a_relay_for_both() {
    let both = || {
        let told = punchd::introductions::PublicIps {
            v4: Some([192, 0, 2, 1].into()),
            v6: Some("2001:db8::1".parse().unwrap()),
        };
        let ports = 20_000..=20_063;
        let relay = sessions::Config { told, is_apart: true, ports, bounds: Bounds::default() };
        Config { relay: Some(relay), ..Config::default() }
    };
    for relay in [None, Some(0), Some(1)] {
        let config = |n| if relay == Some(n) { both() } else { Config::default() };
        let mut world = World::with(vec![config(0), config(1)]);
        let six = world.client(0, "[2001:db8:5::7]:4000".parse().unwrap());
        let four = world.client(1, at(1));
        world.create(&four, "one", 4);
        assert_eq!(world.listed(&six).len(), usize::from(relay.is_some()), "{relay:?}");
        world.connect(&six, &four.id, 1);
        let told = world.told(&six);
        if relay.is_none() {
            assert!(errors(&told)[0].starts_with("No way to client"), "{told:?}");
            continue;
        }
        assert!(instructed(&told)[0].1.starts_with("2001:db8::1:"), "{told:?}");
        let told = world.told(&four);
        assert!(instructed(&told)[0].1.starts_with("192.0.2.1:"), "{told:?}");
    }
}
