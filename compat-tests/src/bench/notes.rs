//! What the journal of introductions is told, without a server around it.

use punchd::clock::Now;
use punchd::dialect::Name;
use punchd::introductions::journal::{Attempt, Journal, Names, Way};
use punchd::nats::{Nats, Seen};

use super::sockets::address;

/// The kind of peers, for their addresses.
const PLAYER: u8 = 14;

/// Players who were introduced, and a journal of how that ended.
#[derive(Debug)]
pub struct Notes {
    journal: Journal,
    nats: Nats,
    attempts: Vec<Attempt>,
    next: usize,
}

impl Notes {
    /// So many introductions, of which nothing is known yet.
    #[must_use]
    pub fn new(count: usize) -> Self {
        let attempts: Vec<_> = (0..count)
            .map(|n| {
                let client = (address(PLAYER, 2 * n), 50_000).into();
                let host = (address(PLAYER, 2 * n + 1), 40_000).into();
                Attempt::new(Name::Gmnet, [client, host], Names::new("My Game 1.4", ""))
            })
            .collect();
        let mut nats = Nats::default();
        let now = Now::default().instant;
        for Attempt { client, host, .. } in &attempts {
            [client, host].into_iter().for_each(|at| nats.saw(now, *at, Seen::Main));
        }
        Self { journal: Journal::default(), nats, attempts, next: 0 }
    }

    /// The next one, in turn, ends like this.
    pub fn next(&mut self, way: Way) {
        self.next = (self.next + 1) % self.attempts.len().max(1);
        if let Some(attempt) = self.attempts.get(self.next) {
            self.journal.note(Now::default(), &self.nats, attempt.clone(), way);
        }
    }
}
