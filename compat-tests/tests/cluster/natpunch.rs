//! Clients of natpunch at several nodes.

use std::time::{Duration, Instant};

use compat_tests::master::{Master, loopback};
use compat_tests::natpunch;

use super::{GHOST, Nodes, WAIT};

/// How soon a client asks again.
const AGAIN: Duration = Duration::from_secs(1);

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

/// Clients, the first three at the nodes of these numbers, and what has happened to each, but for what it has asked for.
#[derive(Default)]
pub(super) struct Clients {
    pub(super) all: Vec<natpunch::Client>,
    pub(super) told: Vec<Vec<String>>,
    listed: Option<Vec<String>>,
    created: Option<String>,
}

impl Clients {
    pub(super) fn at(nodes: &[Master]) -> Self {
        let mut clients = Self::default();
        nodes.iter().for_each(|node| _ = clients.add(node));
        clients
    }

    pub(super) fn add(&mut self, node: &Master) -> usize {
        self.all.push(natpunch(node));
        self.told.push(Vec::new());
        self.all.len() - 1
    }

    fn step(&mut self) {
        let ids: Vec<String> = self.all.iter().map(|client| client.id().to_owned()).collect();
        let who = |id: &String| ids.iter().position(|of| of == id).expect("one of them");
        for (client, told) in self.all.iter_mut().zip(&mut self.told) {
            while let Some(event) = client.step(Duration::from_millis(1)).expect("a step") {
                told.push(match event {
                    natpunch::Event::Lobbies(lobbies) => {
                        self.listed = Some(lobbies.into_iter().map(|of| of.lobby_name).collect());
                        continue;
                    }
                    natpunch::Event::Created { lobby } => {
                        self.created = Some(lobby);
                        continue;
                    }
                    natpunch::Event::Joining { .. } => continue,
                    natpunch::Event::Joined { .. } => "in".to_owned(),
                    natpunch::Event::Introduced { peer, .. } => {
                        format!("introduced {}", who(&peer))
                    }
                    natpunch::Event::Connected { peer, .. } => format!("connected {}", who(&peer)),
                    natpunch::Event::PeerLeft { peer } => format!("left {}", who(&peer)),
                    natpunch::Event::Update { kind, .. } => kind,
                    other => format!("{other:?}"),
                });
            }
        }
    }

    pub(super) fn until<T>(&mut self, mut is_it: impl FnMut(&mut Self) -> Option<T>) -> T {
        let end = Instant::now() + WAIT;
        loop {
            if let Some(it) = is_it(self) {
                return it;
            }
            assert!(Instant::now() < end, "it does not happen: {:?}", self.told);
            self.step();
        }
    }

    pub(super) fn list(&mut self, n: usize) -> Vec<String> {
        self.all[n].list().expect("asking");
        let mut listed = self.until(|clients| clients.listed.take());
        listed.sort();
        listed
    }

    pub(super) fn create(&mut self, who: usize, name: &str) -> String {
        self.all[who].create(name, 8).expect("asking");
        self.until(|clients| clients.created.take())
    }

    /// Somebody joins a lobby and meets all who are in it, its host first, of whom both are told twice: also when they
    /// have met. It asks again as clients do, as what nodes say to each other may be lost: to be let in, and then for
    /// those whom it does not meet.
    pub(super) fn join(&mut self, who: usize, lobby: &str, others: &[usize]) {
        let mut next = Instant::now();
        self.until(|clients| {
            let count = |who: usize, what: &str| {
                clients.told[who].iter().filter(|told| *told == what).count()
            };
            let has_met = |(n, other): (usize, usize)| {
                [(who, other), (other, who)].into_iter().all(|(one, other)| {
                    count(one, &format!("introduced {other}")) >= 2 - n.min(1)
                        && count(one, &format!("connected {other}")) > 0
                })
            };
            let is_in = count(who, "in") > 0;
            let others = others.iter().copied().enumerate();
            let unmet: Vec<usize> =
                others.filter(|of| !has_met(*of)).map(|(_, other)| other).collect();
            if is_in && unmet.is_empty() {
                return Some(());
            }
            let client = &clients.all[who];
            if Instant::now() >= next && !is_in {
                client.join(lobby).expect("asking");
            } else if Instant::now() >= next {
                let ask = |other: usize| client.connect(clients.all[other].id(), 1);
                unmet.into_iter().try_for_each(ask).expect("asking");
            }
            if Instant::now() >= next {
                next += AGAIN;
            }
            None
        });
    }

    /// What has happened to somebody since this was asked last, in order of letters. Introductions count once.
    pub(super) fn told(&mut self, who: usize) -> Vec<String> {
        self.step();
        in_order(std::mem::take(&mut self.told[who]))
    }

    /// Waits until it is this.
    pub(super) fn hears(&mut self, who: usize, want: &[&str]) {
        self.until(|clients| (in_order(clients.told[who].clone()) == want).then_some(()));
        self.told[who].clear();
    }
}

fn in_order(mut told: Vec<String>) -> Vec<String> {
    told.sort();
    told.dedup_by(|a, b| a == b && a.starts_with("introduced"));
    told
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
