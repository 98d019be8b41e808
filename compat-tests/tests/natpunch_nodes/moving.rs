//! Clients that speak to another node than the one they registered at.

use super::*;

#[test]
fn a_client_that_comes_to_another_node_stays_who_it_is() {
    for port in [40_000, 41_000] {
        let mut world = World::of(3);
        let host = world.client(1, at(1));
        let lobby = world.create(&host, "one", 4);
        let client = world.client(0, at(2));
        world.join(&client, &lobby, &host);
        world.told(&client);
        world.told(&host);
        // The floating address of both is at the third node now; the second case is a NAT that gives another port.
        let moved = Client { node: 2, at: SocketAddr::new(client.at.ip(), port), ..client.clone() };
        world.dies(&client);
        world.alive.push(moved.clone());
        world.pass(7000);
        assert_eq!(errors(&world.told(&moved)), Vec::<String>::new());
        assert_eq!(news(&world.told(&host)), Vec::<String>::new(), "it has not left");
        assert_eq!(world.lobbies(&moved)[0].current_players, 2);
        world.connect(&host, &client.id, 1);
        let told = instructed(&world.told(&moved));
        assert_eq!(told.last().map(|told| &told.0), Some(&host.id), "{told:?}");
        let told = instructed(&world.told(&host));
        assert_eq!(told.last().map(|told| &told.1), Some(&moved.at.to_string()));
        let own = world.create(&moved, "own", 4);
        world.pass(20_000);
        assert_eq!(world.listed(&host), ["one", "own"]);
        world.leave(&moved, &lobby);
        assert_eq!(news(&world.told(&moved)), ["out"]);
        // Back again.
        world.dies(&moved);
        world.alive.push(client.clone());
        world.pass(7000);
        world.told(&client);
        world.leave(&client, &own);
        assert_eq!(news(&world.told(&client)), ["out"]);
        assert_eq!(world.listed(&host), ["one"]);
    }
}

/// A client of the first node that speaks to the second one.
fn moved(world: &mut World) -> Client {
    let client = world.client(0, at(1));
    world.dies(&client);
    let moved = Client { node: 1, ..client };
    world.alive.push(moved.clone());
    world.pass(7000);
    world.told(&moved);
    moved
}

#[test]
fn a_process_that_takes_over_its_node_knows_by_whom_a_client_is_reached() {
    let mut world = World::of(2);
    let client = moved(&mut world);
    let other = world.client(0, at(2));
    world.take_over(0);
    // Before it has said anything.
    world.connect(&other, &client.id, 1);
    assert_eq!(instructed(&world.told(&client)).len(), 1);
    world.create(&client, "own", 4);
    world.pass(3000);
    assert_eq!(errors(&world.told(&client)), Vec::<String>::new());
    assert_eq!(world.listed(&other), ["own"]);
}

#[test]
fn a_process_that_takes_over_a_node_knows_whose_clients_speak_to_it() {
    let mut world = World::of(2);
    let client = moved(&mut world);
    world.take_over(1);
    // Before it has said anything.
    world.create(&client, "own", 4);
    assert_eq!(world.listed(&client), ["own"]);
    assert_eq!(errors(&world.told(&client)), Vec::<String>::new());
}

#[test]
fn nobody_is_moved_who_is_there() {
    let mut world = World::of(2);
    let client = world.client(0, at(1));
    let other = world.client(1, at(2));
    // Somebody else in its name, from its endpoint or its address, by the other node.
    for port in [client.at.port(), 41_000] {
        let forged =
            Client { node: 1, at: SocketAddr::new(client.at.ip(), port), ..client.clone() };
        world.alive.push(forged.clone());
        for _ in 0..20 {
            world.pass(1000);
            world.connect(&other, &client.id, 1);
            let told: Vec<_> =
                world.said().iter().filter(|(_, to, _)| *to != other.at).cloned().collect();
            assert!(told.iter().all(|(by, to, _)| (*by, *to) == (0, client.at)), "{told:?}");
            assert_eq!(world.told(&client).len(), 1);
            world.told(&other);
        }
        world.dies(&forged);
    }
    // From elsewhere.
    let stranger = Client { node: 1, at: at(77), ..client };
    world.keep_alive(&stranger);
    assert_eq!(errors(&world.told(&stranger)), ["Client not registered"]);
}

#[test]
fn who_has_proven_nothing_makes_no_node_speak_to_another() {
    let mut world = World::of(3);
    let client = world.client(0, at(1));
    let lobby = world.create(&client, "one", 4);
    world.pass(600);
    let ids = [client.id.clone(), "12345678-1234-4234-8234-123456789012".into(), "x".into()];
    let victim = at(9);
    let quiet = world.messages;
    world.pass(10_000);
    let quiet = world.messages - quiet;
    let before = world.messages;
    for n in 0..2000 {
        let id = ids[n % 3].clone();
        let forged = Client { node: 1, at: victim, id };
        match n % 7 {
            0 => {
                let request = RegisterRequest::default();
                world.send(1, victim, Content::RegisterRequest(request));
            }
            1 => world.keep_alive(&forged),
            2 => world.ask_to_join(&forged, &lobby),
            3 => world.connect(&forged, &client.id, 1),
            4 => world.send(
                1,
                victim,
                Content::LeaveLobbyRequest(LeaveLobbyRequest {
                    lobby_id: lobby.clone(),
                    client_id: forged.id.clone(),
                }),
            ),
            5 => world.send(
                1,
                victim,
                Content::PeerConnectionReady(PeerConnectionReady {
                    lobby_id: lobby.clone(),
                    new_peer_id: forged.id.clone(),
                }),
            ),
            _ => world.send(1, victim, Content::LobbyListRequest(LobbyListRequest::default())),
        }
        world.pass(5);
    }
    assert!(world.messages - before <= quiet + 4, "{} and {quiet}", world.messages - before);
    assert_eq!(world.told(&client), []);
    // Who knows an ID and its address makes a node ask, so many times a second.
    let near = Client { node: 1, at: SocketAddr::new(client.at.ip(), 4242), ..client.clone() };
    let before = world.messages;
    (0..20_000).for_each(|_| world.keep_alive(&near));
    let asked = world.messages - before;
    assert!((500..2000).contains(&asked), "{asked}");
    // Others have their own share, and all of them have no more than what is for all.
    let clients: Vec<Client> = (10..30).map(|n| world.client(0, at(n))).collect();
    let before = world.messages;
    for client in &clients {
        let near = SocketAddr::new(client.at.ip(), 4242);
        let near = Client { node: 1, at: near, ..client.clone() };
        (0..2000).for_each(|_| world.keep_alive(&near));
    }
    let asked = world.messages - before;
    assert!((7000..9000).contains(&asked), "{asked}");
}
