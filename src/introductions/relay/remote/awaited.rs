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
        if self.0.len() >= 2 * bounds::WAITING_FOR_RELAY
            && let Some(other) = self.0.keys().next().copied()
        {
            self.0.remove(&other);
        }
        self.0.insert([attempt.client, attempt.host].map(plain), what);
    }

    /// A player is at another port, as the relays were told.
    pub fn moved(&mut self, from: SocketAddr, to: SocketAddr) {
        let [from, to] = [from, to].map(plain);
        let theirs: Vec<_> = self.0.extract_if(|pair, _| pair.contains(&from)).collect();
        let at = |at| if at == from { to } else { at };
        self.0.extend(theirs.into_iter().map(|(pair, what)| (pair.map(at), what)));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::Name;
    use crate::introductions::journal::Names;

    #[test]
    fn who_is_at_another_port_is_found_there() {
        let at = |port| SocketAddr::from(([192, 0, 2, 1], port));
        let attempt =
            |client, host| Attempt::new(Name::Rooms, [at(client), at(host)], Names::default());
        let mut awaited = Awaited::default();
        awaited.add(&attempt(1, 2), "one");
        awaited.add(&attempt(3, 1), "two");
        awaited.moved(at(1), at(4));
        assert_eq!(
            (awaited.take(&attempt(1, 2)), awaited.take(&attempt(4, 2))),
            (None, Some("one"))
        );
        assert_eq!(awaited.take(&attempt(3, 4)), Some("two"));
    }

    #[test]
    fn of_too_many_one_gives_way() {
        let at = |port| SocketAddr::from(([192, 0, 2, 1], port));
        let mut awaited = Awaited::default();
        let most = 2 * bounds::WAITING_FOR_RELAY as u16;
        for port in 0..=most {
            awaited.add(&Attempt::new(Name::Rooms, [at(port), at(1)], Names::default()), port);
        }
        assert_eq!(awaited.iter().count(), usize::from(most));
    }
}
