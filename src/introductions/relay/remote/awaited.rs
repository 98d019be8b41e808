//! Pairs of a dialect for which another node is asked.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::plain;
use crate::hash::Map;
use crate::introductions::journal::Attempt;
use crate::limits::cluster as bounds;

/// What a dialect has to remember of them until it hears of the answer.
#[derive(Debug, Serialize, Deserialize)]
pub struct Awaited<T>(Map<[SocketAddr; 2], T>);

impl<T> Default for Awaited<T> {
    fn default() -> Self {
        Self(Map::default())
    }
}

impl<T> Awaited<T> {
    /// The answer is waited for.
    pub fn add(&mut self, attempt: &Attempt, what: T) {
        // Who is at another port now is not found again.
        if self.0.len() >= 2 * bounds::WAITING_FOR_RELAY {
            self.0.clear();
        }
        self.0.insert([attempt.client, attempt.host].map(plain), what);
    }

    /// Who waits for it already.
    pub fn get_mut(&mut self, attempt: &Attempt) -> Option<&mut T> {
        self.0.get_mut(&[attempt.client, attempt.host].map(plain))
    }

    /// All who wait.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.values()
    }

    /// These are not waited for any more, by where client and host were.
    pub fn take_those(&mut self, is_one: impl Fn([SocketAddr; 2]) -> bool) -> Vec<T> {
        let mut all: Vec<_> = self.0.extract_if(|pair, _| is_one(*pair)).collect();
        all.sort_unstable_by_key(|(pair, _)| *pair);
        all.into_iter().map(|(_, what)| what).collect()
    }

    /// It is there.
    pub fn take(&mut self, attempt: &Attempt) -> Option<T> {
        self.0.remove(&[attempt.client, attempt.host].map(plain))
    }
}
