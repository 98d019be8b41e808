//! Lobbies whose members are at several nodes.

use super::*;

#[test]
fn every_node_lists_the_lobbies_of_all_for_their_game() {
    let mut world = World::of(3);
    let hosts: Vec<Client> = (0..3).map(|n| world.client(n, at(n as u8 + 1))).collect();
    let names = ["one", "three", "two"];
    for (host, name) in hosts.iter().zip(["one", "two", "three"]) {
        world.create(host, name, 4);
    }
    let other = world.client_of(1, at(8), "Pong");
    world.create(&other, "pong", 4);
    for n in 0..3 {
        let viewer = world.client(n, at(100 + n as u8));
        assert_eq!(world.listed(&viewer), names);
        let info = &world.lobbies(&viewer)[0];
        assert_eq!((info.current_players, info.max_players), (1, 4));
        assert_eq!((&*info.host_client_id, info.members.len()), ("", 0), "only members know");
        let viewer = world.client_of(n, at(200 + n as u8), "Pong");
        assert_eq!(world.listed(&viewer), ["pong"]);
    }
    world.dies(&hosts[1]);
    world.pass(16_000);
    let viewer = world.client(0, at(20));
    assert_eq!(world.listed(&viewer), ["one", "three"]);
}

#[test]
fn more_lobbies_than_a_list_holds_have_their_turns_whatever_node_they_are_at() {
    let mut world = World::of(2);
    let hosts: Vec<Client> = (0..30).map(|n| world.client(n % 2, at(n as u8 + 1))).collect();
    for (n, host) in hosts.iter().enumerate() {
        world.create(host, &format!("{n:02}{}", "x".repeat(40)), 4);
    }
    let viewer = world.client(0, at(100));
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..40 {
        let listed = world.listed(&viewer);
        assert!((5..15).contains(&listed.len()), "{}", listed.len());
        seen.extend(listed);
    }
    assert_eq!(seen.len(), 30);
}

/// A lobby at the second node, with a member at each.
fn three(world: &mut World) -> (String, [Client; 3]) {
    let host = world.client(1, at(1));
    let lobby = world.create(&host, "one", 3);
    let [first, last] = [0, 2].map(|n| world.client(n, at(2 + n as u8)));
    world.ask_to_join(&first, &lobby);
    let told = world.told(&first);
    let want = vec![(host.id.clone(), host.at.to_string(), host.at.to_string(), 0)];
    assert_eq!(instructed(&told), want);
    assert_eq!(instructed(&world.told(&host))[0].0, first.id);
    world.pass(20);
    assert_eq!(world.lobbies(&last)[0].current_players, 1, "it is not in yet");
    world.ready(&host, &lobby, &first);
    world.told(&first);
    world.join(&last, &lobby, &host);
    let told = world.told(&last);
    assert!(news(&told).contains(&"player_joined".to_owned()), "{told:?}");
    (lobby, [host, first, last])
}

#[test]
fn a_lobby_has_members_at_three_nodes_who_all_are_told_of_each_other() {
    let mut world = World::of(3);
    let (lobby, [host, first, last]) = three(&mut world);
    assert_eq!(news(&world.told(&first)), ["player_joined"]);
    world.pass(600);
    // Of two nodes, neither of which is that of the lobby.
    world.leave(&last, &lobby);
    world.told(&first);
    world.told(&host);
    world.ask_to_join(&last, &lobby);
    world.ready(&host, &lobby, &last);
    world.pass(300);
    let told = world.told(&first);
    assert_eq!(instructed(&told), [(last.id.clone(), last.at.to_string(), last.at.to_string(), 0)]);
    for client in [&host, &first, &last] {
        let info = &world.lobbies(client)[0];
        assert_eq!((info.current_players, info.members.len()), (3, 3), "{client:?}");
        assert_eq!(info.host_client_id, host.id);
    }
    let fourth = world.client(0, at(9));
    world.ask_to_join(&fourth, &lobby);
    assert_eq!(errors(&world.told(&fourth)), ["Lobby is full"]);
    world.leave(&fourth, &lobby);
    assert_eq!(errors(&world.told(&fourth)), ["Client not in lobby"]);
}

#[test]
fn members_of_two_nodes_are_introduced_though_that_was_lost() {
    let mut world = World::of(3);
    let (lobby, [host, first, last]) = three(&mut world);
    world.pass(600);
    world.leave(&last, &lobby);
    world.pass(1000);
    world.skip(&[&host, &first, &last]);
    world.ask_to_join(&last, &lobby);
    // The node of the lobby has that of the last one introduce it to the first.
    world.net.loses = Some(b"\xa1\x61i");
    world.ready(&host, &lobby, &last);
    assert_eq!(world.net.loses, None, "lost");
    world.pass(1500);
    for (one, other) in [(&first, &last), (&last, &first)] {
        let told = instructed(&world.told(one));
        assert_eq!(told.iter().filter(|told| told.0 == other.id).count(), 1, "{told:?}");
    }
}

#[test]
fn when_the_host_leaves_who_has_been_there_longest_is_host_at_another_node() {
    let mut world = World::of(3);
    let (lobby, [host, first, last]) = three(&mut world);
    world.skip(&[&host, &first, &last]);
    world.leave(&host, &lobby);
    assert_eq!(news(&world.told(&host)), ["out"]);
    for client in [&first, &last] {
        assert_eq!(news(&world.told(client)), [format!("left {}", host.id), "player_left".into()]);
    }
    // It says who has met it, at its own node.
    world.pass(300);
    world.join(&host, &lobby, &first);
    assert_eq!(news(&world.told(&last)), ["player_joined"]);
    let info = &world.lobbies(&last)[0];
    assert_eq!((info.current_players, &info.host_client_id), (3, &first.id));
    // One is silent, and gone.
    world.skip(&[&host, &first]);
    world.dies(&last);
    world.pass(16_000);
    let left = [format!("left {}", last.id), "player_left".into()];
    assert_eq!(news(&world.told(&host)), left);
    assert_eq!(news(&world.told(&first)), left);
    world.leave(&first, &lobby);
    world.leave(&host, &lobby);
    world.pass(20);
    assert_eq!(world.listed(&host), Vec::<String>::new());
    let viewer = world.client(2, at(30));
    assert_eq!(world.listed(&viewer), Vec::<String>::new());
}

#[test]
fn nobody_is_in_more_lobbies_than_on_one_node() {
    let mut world = World::of(3);
    let hosts: Vec<Client> = (1..7).map(|n| world.client(usize::from(n) % 2, at(n))).collect();
    let lobbies: Vec<String> = hosts.iter().map(|host| world.create(host, "x", 4)).collect();
    let client = world.client(2, at(50));
    for (host, lobby) in hosts.iter().zip(&lobbies).take(4) {
        world.join(&client, lobby, host);
    }
    world.told(&client);
    world.ask_to_join(&client, &lobbies[4]);
    assert_eq!(errors(&world.told(&client)), ["Too many lobbies"]);
    world.leave(&client, &lobbies[0]);
    world.told(&client);
    world.join(&client, &lobbies[4], &hosts[4]);
    assert_eq!(errors(&world.told(&client)), Vec::<String>::new());
}

#[test]
fn a_node_that_dies_takes_its_clients_and_lobbies_along() {
    let mut world = World::of(3);
    let (_, [_, first, _]) = three(&mut world);
    let own = world.create(&first, "own", 4);
    let guest = world.client(1, at(40));
    world.join(&guest, &own, &first);
    world.skip(&[&guest, &first]);
    world.kill(1);
    world.alive.retain(|client| client.node != 1);
    world.pass(3600);
    let told = news(&world.told(&first));
    let want = ["lobby_closed".to_owned(), format!("left {}", guest.id), "player_left".into()];
    assert!(told.len() == 3 && want.iter().all(|one| told.contains(one)), "{told:?}");
    for n in [0, 2] {
        let viewer = world.client(n, at(60 + n as u8));
        assert_eq!(world.listed(&viewer), ["own"]);
    }
    // Its place is free, and who was at the dead node is at another one at once.
    for n in 0..3 {
        world.create(&first, &format!("new{n}"), 4);
    }
    let again = world.client(2, guest.at);
    world.told(&first);
    world.join(&again, &own, &first);
    world.connect(&first, &guest.id, 1);
    let want = format!("Destination client {} not found", guest.id);
    assert_eq!(errors(&world.told(&first)), [want]);
}

#[test]
fn of_many_who_are_gone_with_their_node_others_are_told_little_by_little() {
    for is_dead in [true, false] {
        let mut world = World::of(2);
        let hosts: Vec<Client> = (1..5).map(|n| world.client(1, at(n))).collect();
        let lobbies: Vec<String> = hosts.iter().map(|host| world.create(host, "x", 32)).collect();
        let clients: Vec<Client> = (0..31).map(|n| world.client(n % 2, at(10 + n as u8))).collect();
        for (host, lobby) in hosts.iter().zip(&lobbies) {
            clients.iter().for_each(|client| world.join(client, lobby, host));
        }
        assert_eq!(world.lobbies(&hosts[0])[0].current_players, 32);
        let gone: Vec<&Client> = clients.iter().filter(|client| client.node == 0).collect();
        world.skip(&hosts.iter().chain(&clients).collect::<Vec<_>>());
        world.most_sent = 0;
        if is_dead {
            world.kill(0);
            world.alive.retain(|client| client.node != 0);
        } else {
            // It has lost the node of the lobbies, and says so when it is back.
            world.net.cuts.insert((1, 0));
            world.pass(4000);
            world.net.cuts.clear();
        }
        world.pass(4000);
        let most = world.most_sent;
        assert!(most < 1000, "{most} at once");
        for host in &hosts {
            let told = news(&world.told(host));
            let left = |client: &&Client| told.contains(&format!("left {}", client.id));
            assert!(gone.iter().all(left), "{told:?}");
        }
        let players = world.lobbies(&hosts[0])[0].current_players;
        assert_eq!(players as usize, 32 - gone.len());
    }
}

#[test]
fn a_node_that_was_cut_off_comes_back_and_nothing_is_twice() {
    let mut world = World::of(3);
    let (lobby, [host, first, last]) = three(&mut world);
    world.skip(&[&host, &first, &last]);
    world.cut_off(0);
    world.pass(5000);
    assert_eq!(news(&world.told(&first)), ["lobby_closed"]);
    let left = [format!("left {}", first.id), "player_left".into()];
    assert_eq!(news(&world.told(&host)), left);
    assert_eq!(news(&world.told(&last)), left);
    assert_eq!(world.listed(&first), Vec::<String>::new());
    world.net.cuts.clear();
    world.pass(2000);
    for client in [&host, &first, &last] {
        assert_eq!(news(&world.told(client)), Vec::<String>::new());
        assert_eq!(world.lobbies(client).len(), 1);
        assert_eq!(world.lobbies(client)[0].current_players, 2);
    }
    world.join(&first, &lobby, &host);
    assert_eq!(world.lobbies(&last)[0].current_players, 3);
    world.pass(300);
    world.told(&last);
    world.connect(&first, &last.id, 1);
    assert_eq!(instructed(&world.told(&last)).len(), 1);
}

#[test]
fn messages_that_are_lost_late_or_repeated_change_nothing_in_the_end() {
    for seed in 1..6 {
        let mut world = World::of(3);
        world.net.storm = Some(seed);
        let hosts: Vec<Client> = (0..3).map(|n| world.client(n, at(n as u8 + 1))).collect();
        let lobbies: Vec<String> = hosts.iter().map(|host| world.create(host, "x", 9)).collect();
        world.pass(3000);
        let clients: Vec<Client> = (0..6).map(|n| world.client(n % 3, at(n as u8 + 50))).collect();
        for n in 0..clients.len() {
            // As clients do that hear nothing.
            for _ in 0..6 {
                world.ask_to_join(&clients[n], &lobbies[(n + 1) % 3]);
                world.pass(500);
                world.ready(&hosts[(n + 1) % 3], &lobbies[(n + 1) % 3], &clients[n]);
                world.pass(500);
            }
        }
        world.net.storm = None;
        world.pass(5000);
        for viewer in clients.iter().chain(&hosts) {
            let lobbies = world.lobbies(viewer);
            let players: Vec<u32> = lobbies.iter().map(|lobby| lobby.current_players).collect();
            assert_eq!(players, [3, 3, 3], "seed {seed}, {viewer:?}");
        }
        world.dies(&clients[0]);
        world.pass(16_000);
        let left = format!("left {}", clients[0].id);
        let told = news(&world.told(&hosts[1]));
        assert_eq!(told.iter().filter(|one| **one == left).count(), 1, "seed {seed}");
    }
}

#[test]
fn a_process_that_takes_over_a_node_keeps_members_of_all_nodes() {
    let mut world = World::of(3);
    let (lobby, [host, first, last]) = three(&mut world);
    let far = world.create(&last, "far", 4);
    world.join(&host, &far, &last);
    world.skip(&[&host, &first, &last]);
    world.take_over(1);
    world.pass(8000);
    for client in [&host, &first, &last] {
        assert_eq!(news(&world.told(client)), Vec::<String>::new(), "{client:?}");
        let lobbies = world.lobbies(client);
        let players: Vec<u32> = lobbies.iter().map(|lobby| lobby.current_players).collect();
        assert_eq!(players, [2, 3]);
    }
    world.leave(&first, &lobby);
    assert_eq!(news(&world.told(&host)).len(), 2);
    world.leave(&host, &far);
    assert_eq!(news(&world.told(&last)).len(), 4);
}

#[test]
fn a_take_over_while_the_node_of_a_member_dies_leaves_nobody_behind() {
    let mut world = World::of(3);
    let (_, [host, _, _]) = three(&mut world);
    world.kill(0);
    world.alive.retain(|client| client.node != 0);
    world.take_over(1);
    world.pass(6000);
    assert_eq!(world.lobbies(&host)[0].current_players, 2);
}

#[test]
fn nobody_stays_behind_at_a_node_that_was_lost_by_one_that_is_taken_over() {
    // The process that has lost it ends, or that of the node that is to hear of it.
    for taken_over in [1, 0] {
        let mut world = World::of(2);
        let host = world.client(0, at(1));
        let lobby = world.create(&host, "one", 4);
        let client = world.client(1, at(2));
        world.join(&client, &lobby, &host);
        world.pass(600);
        world.skip(&[&host, &client]);
        world.net.cuts.insert((0, 1));
        world.pass(4000);
        assert_eq!(news(&world.told(&client)), ["lobby_closed"]);
        world.take_over(taken_over);
        world.net.cuts.clear();
        world.pass(3000);
        let left = [format!("left {}", client.id), "player_left".into()];
        assert_eq!(news(&world.told(&host)), left, "{taken_over}");
        assert_eq!(world.lobbies(&host)[0].current_players, 1);
    }
}

#[test]
fn a_process_that_takes_over_a_node_has_the_lobbies_of_all_at_once() {
    let mut world = World::of(2);
    let [host, client] = [world.client(1, at(1)), world.client(0, at(2))];
    let [one, _two] = ["one", "two"].map(|name| world.create(&host, name, 4));
    world.pass(20);
    world.join(&client, &one, &host);
    let listed = world.listed(&client);
    assert_eq!(listed.len(), 2, "{listed:?}");
    world.take_over(0);
    assert_eq!(world.listed(&client), listed, "nothing was heard yet");
    world.pass(4000);
    assert_eq!(world.listed(&client), listed);
    let members = world.lobbies(&client).iter().map(|lobby| lobby.current_players).sum::<u32>();
    assert_eq!(members, 3, "he is still in one");
    world.take_over(0);
    assert_eq!(world.listed(&client), listed);
    world.kill(1);
    world.pass(3600);
    assert_eq!(world.listed(&client), Vec::<String>::new());
}

#[test]
fn who_is_in_a_lobby_of_another_node_is_not_told_that_a_join_failed_before() {
    // Of the node of the lobby that was closed, or of the third one.
    for n in [0, 2] {
        let mut world = World::of(3);
        let [first, other] = [world.client(0, at(1)), world.client(1, at(2))];
        let [closed, lobby] = [world.create(&first, "one", 4), world.create(&other, "two", 4)];
        let [client, alone] = [world.client(n, at(3)), world.client(n, at(4))];
        world.ask_to_join(&client, &closed);
        world.ask_to_join(&alone, &closed);
        world.pass(20);
        world.leave(&first, &closed);
        assert_eq!(news(&world.told(&client)).last().unwrap(), "lobby_closed");
        world.join(&client, &lobby, &other);
        world.skip(&[&client, &alone]);
        world.pass(12_000);
        // It would take itself to be out of the lobby that it is in.
        assert_eq!(world.told(&client), [], "{n}");
        let told = world.told(&alone);
        assert_eq!(errors(&told), ["Failed to establish connection with lobby host"], "{n}");
        assert_eq!(news(&told), ["out"], "{n}");
        assert_eq!(world.lobbies(&client)[0].current_players, 2);
    }
}

#[test]
fn who_was_told_that_a_lobby_is_lost_is_not_told_so_again() {
    let mut world = World::of(2);
    let host = world.client(1, at(1));
    let lobby = world.create(&host, "one", 4);
    let client = world.client(0, at(2));
    world.join(&client, &lobby, &host);
    world.skip(&[&client]);
    world.net.cuts.insert((1, 0));
    let mut told = Vec::new();
    for _ in 0..80 {
        if told.is_empty() {
            world.pass(50);
            told = news(&world.told(&client));
        }
    }
    assert_eq!(told, ["lobby_closed"]);
    // Its node tells of it once more, and has not heard that it was lost.
    world.net.loses = Some(b"losses");
    world.net.cuts.clear();
    world.pass(600);
    world.cut_off(1);
    world.pass(4000);
    assert_eq!(news(&world.told(&client)), Vec::<String>::new());
}
