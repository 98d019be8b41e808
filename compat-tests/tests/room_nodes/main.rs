//! Rooms between nodes, step by step: what lists have, and what each side is told by way of which node.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a helper that fails is a test that fails")]

use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};

use compat_tests::unplugged_nodes::Nodes;
use punchd::server::Config;

mod ended;
mod forged;
mod lists;
mod members;
mod moving;
mod relayed;

/// Nodes with rooms.
struct World(Nodes);

impl Deref for World {
    type Target = Nodes;

    fn deref(&self) -> &Nodes {
        &self.0
    }
}

impl DerefMut for World {
    fn deref_mut(&mut self) -> &mut Nodes {
        &mut self.0
    }
}

/// A place in a room, as its peer knows it.
#[derive(Clone, Debug)]
struct Place {
    node: usize,
    at: SocketAddr,
    room: String,
    id: String,
    key: String,
}

/// Each of an address of its own.
fn peer(n: u8) -> SocketAddr {
    SocketAddr::from(([198, 51, n, 7], 40_000))
}

impl World {
    fn of(count: usize) -> Self {
        Self::with(vec![Config::default(); count])
    }

    fn with(configs: Vec<Config>) -> Self {
        Self(Nodes::new(configs))
    }

    /// What somebody was told since this was asked last, all by this node.
    fn told(&mut self, n: usize, whom: SocketAddr) -> Vec<String> {
        let told = self.sent.extract_if(.., |(_, to, _)| *to == whom);
        told.map(|(by, to, bytes)| {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            assert_eq!(by, n, "{text} to {to}");
            text
        })
        .collect()
    }

    fn ask(&mut self, n: usize, from: SocketAddr, text: &str) -> Vec<String> {
        self.told(n, from);
        self.datagram(n, from, text.as_bytes());
        self.told(n, from)
    }

    fn answer(&mut self, n: usize, from: SocketAddr, text: &str) -> String {
        let mut answers = self.ask(n, from, text);
        assert_eq!(answers.len(), 1, "{text}: {answers:?}");
        answers.remove(0)
    }

    /// Somebody gets a place and has not shown its key.
    fn enter(&mut self, node: usize, at: SocketAddr, text: &str) -> Place {
        let told = self.ask(node, at, text);
        let fields = |begin: &str| -> Vec<String> {
            let line = told.iter().find(|line| line.starts_with(begin));
            let line = line.unwrap_or_else(|| panic!("{text}: {told:?}"));
            line.split(':').map(Into::into).collect()
        };
        let own = fields("rID:");
        let is_host = told.iter().any(|line| line.starts_with("rh:"));
        let place = fields(if is_host { "rh:" } else { "jr:" });
        let [id, key] = [own[1].clone(), own[2].clone()];
        Place { node, at, room: place[1].clone(), id, key }
    }

    fn prove(&mut self, place: &Place) {
        let text = format!("rc:{}:{}", place.id, place.key);
        let told = self.ask(place.node, place.at, &text);
        assert!(told.iter().any(|line| line.starts_with("rID:")), "{told:?}");
    }

    /// The same, and it shows it.
    fn get_in(&mut self, node: usize, at: SocketAddr, text: &str) -> Place {
        let place = self.enter(node, at, text);
        self.prove(&place);
        self.pass(20);
        place
    }

    /// The names in a page of the list of a node.
    fn listed(&mut self, n: usize, options: &str) -> Vec<String> {
        let page = self.answer(n, peer(250), &format!("{:\n<512}", format!("rl{options}")));
        let entries = page.split(':').skip(1).filter(|entry| entry.contains(','));
        entries.map(|entry| entry.split(',').nth(1).unwrap().to_owned()).collect()
    }
}
