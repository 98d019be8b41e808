//! Clients of natpunch at several nodes.

use std::time::{Duration, Instant};

use compat_tests::master::{Master, loopback};
use compat_tests::natpunch;

use super::{GHOST, Nodes, WAIT};

fn natpunch(node: &Master) -> natpunch::Client {
    natpunch::Client::register(node.addr(), loopback()).expect("registering")
}

/// All live until this has been said to one of them; returns how long it took.
fn live(
    all: &mut [natpunch::Client],
    within: Duration,
    mut is_it: impl FnMut(usize, &natpunch::Event) -> bool,
) -> Duration {
    let start = Instant::now();
    loop {
        for (n, client) in all.iter_mut().enumerate() {
            while let Some(event) = client.step(Duration::from_millis(2)).expect("a step") {
                if is_it(n, &event) {
                    return start.elapsed();
                }
            }
        }
        assert!(start.elapsed() < within, "it did not happen");
    }
}

/// Waits until a client is shown lobbies of these names.
fn wait_for_lobbies(
    all: &mut [natpunch::Client],
    who: usize,
    want: &[&str],
    within: Duration,
) -> Duration {
    let start = Instant::now();
    loop {
        all[who].list().expect("asking");
        let mut names = Vec::new();
        live(all, within, |n, event| {
            if let natpunch::Event::Lobbies(lobbies) = event {
                names = lobbies.iter().map(|lobby| lobby.lobby_name.clone()).collect();
            }
            n == who && matches!(event, natpunch::Event::Lobbies(_))
        });
        names.sort();
        if names == want {
            return start.elapsed();
        }
        assert!(start.elapsed() < within, "{names:?}, not {want:?}");
    }
}

fn create(all: &mut [natpunch::Client], who: usize, name: &str) -> String {
    all[who].create(name, 4).expect("asking");
    let mut id = String::new();
    live(all, WAIT, |n, event| {
        if let natpunch::Event::Created { lobby } = event {
            id.clone_from(lobby);
        }
        n == who && !id.is_empty()
    });
    id
}

#[test]
fn clients_of_natpunch_at_three_nodes_meet_until_the_node_of_their_host_is_killed() {
    let Some(mut nodes) = Nodes::three(3) else { return };
    let mut all: Vec<natpunch::Client> = nodes.all.iter().map(natpunch).collect();
    let lobby = create(&mut all, 0, "one");
    for who in 1..3 {
        wait_for_lobbies(&mut all, who, &["one"], WAIT);
        all[who].join(&lobby).expect("asking");
        live(&mut all, WAIT, |n, event| {
            n == who
                && matches!(event, natpunch::Event::Joined { members, .. } if members.len() > who)
        });
    }
    // Everybody has met everybody.
    let is_whole = |all: &[natpunch::Client]| {
        all.iter()
            .all(|client| client.peers().values().filter(|peer| peer.at.is_some()).count() == 2)
    };
    let end = Instant::now() + WAIT;
    while !is_whole(&all) {
        assert!(Instant::now() < end, "they do not meet");
        for client in &mut all {
            client.step(Duration::from_millis(2)).expect("a step");
        }
    }
    // By their IDs as well.
    let mut others: Vec<natpunch::Client> = nodes.all[1..].iter().map(natpunch).collect();
    let id = others[1].id().to_owned();
    let end = Instant::now() + WAIT;
    while others.iter().any(|client| client.peers().values().all(|peer| peer.at.is_none())) {
        assert!(Instant::now() < end, "they do not meet");
        others[0].connect(&id, 1).expect("asking");
        for client in &mut others {
            client.step(Duration::from_millis(20)).expect("a step");
        }
    }
    nodes.all.remove(0).crash();
    let start = Instant::now();
    drop(all.remove(0));
    for who in 0..2 {
        let left = GHOST.saturating_sub(start.elapsed());
        wait_for_lobbies(&mut all, who, &[], left);
        println!("gone from the list of a node after {:?}", start.elapsed());
    }
    // Who hosted it is at another node at once.
    all.push(natpunch(&nodes.all[0]));
    let lobby = create(&mut all, 2, "two");
    wait_for_lobbies(&mut all, 1, &["two"], WAIT);
    all[1].join(&lobby).expect("asking");
    live(&mut all, WAIT, |n, event| n == 1 && matches!(event, natpunch::Event::Joined { .. }));
}
