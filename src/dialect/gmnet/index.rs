//! Which hosts are listed, in order of their creation.

use std::collections::BTreeSet;

use super::host::Host;
use super::slot::HostKey;
use super::sorted::{Entry, Order, SHORT, Sorted};
use crate::hash::Map;

/// The listed hosts in order of their creation, all of them and those of each game, so that a
/// request for one game costs nothing for the others.
#[derive(Debug, Default)]
pub struct Index {
    all: Listed,
    by_game: Map<Box<str>, Listed>,
    /// The same in the order of their strings, where that is asked for.
    pub(super) sorted: Sorted,
    /// How often a host came or left.
    changes: u64,
}

#[derive(Debug, Default)]
pub(super) struct Listed {
    pub(super) entries: BTreeSet<Entry>,
    /// Which of all changes was the last here.
    pub(super) version: u64,
}

impl Index {
    /// How many hosts are listed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.all.entries.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.entries.is_empty()
    }

    /// How many listed hosts each game has that has a name.
    pub fn each_game(&self, each: &mut dyn FnMut(&str, usize)) {
        self.by_game.iter().for_each(|(game, listed)| each(game, listed.entries.len()));
    }

    /// Lists a host.
    pub fn insert(&mut self, host: &Host, key: HostKey) {
        let entry = Entry::of(host, key);
        self.changes += 1;
        let version = self.changes;
        self.all.entries.insert(entry);
        self.all.version = version;
        self.sorted.insert(host, entry);
        match self.by_game.get_mut(host.game()) {
            // Nobody can ask for those without a game.
            None if host.game().is_empty() => {}
            Some(game) => {
                game.entries.insert(entry);
                game.version = version;
            }
            None => {
                let entries = BTreeSet::from([entry]);
                self.by_game.insert(host.game().into(), Listed { entries, version });
            }
        }
    }

    /// Lists hosts of another process, if there are none yet: as [`Self::insert`], in less time.
    pub(super) fn fill<'h>(&mut self, hosts: impl Iterator<Item = (&'h Host, HostKey)>) {
        let (mut all, mut by_game) = (Vec::new(), Map::<&str, Vec<Entry>>::default());
        for (host, key) in hosts {
            let entry = Entry::of(host, key);
            all.push(entry);
            if !host.game().is_empty() {
                by_game.entry(host.game()).or_default().push(entry);
            }
        }
        self.changes += 1;
        let version = self.changes;
        let listed = |entries: Vec<_>| Listed { entries: entries.into_iter().collect(), version };
        self.all = listed(all);
        let by_game = by_game.into_iter();
        self.by_game = by_game.map(|(game, entries)| (game.into(), listed(entries))).collect();
    }

    /// Takes a host from the list. Nothing that [`Self::insert`] looked at may have changed.
    pub fn remove(&mut self, host: &Host, key: HostKey) {
        let entry = Entry::of(host, key);
        self.changes += 1;
        self.all.entries.remove(&entry);
        self.all.version = self.changes;
        self.sorted.remove(host, entry);
        if let Some(game) = self.by_game.get_mut(host.game()) {
            game.entries.remove(&entry);
            game.version = self.changes;
            if game.entries.is_empty() {
                self.by_game.remove(host.game());
            }
        }
    }

    /// The hosts of a game, or of all for the empty name; none if it has none.
    pub(super) fn of(&self, game: &str) -> Option<&Listed> {
        if game.is_empty() { Some(&self.all) } else { self.by_game.get(game) }
    }

    /// Sees to it that there is a list in this order, if there are many hosts and as far as `most`
    /// work goes. Returns the work that was done, and whether no more is to be done.
    pub(super) fn prepare<'h>(
        &mut self,
        order: Order<'_>,
        host: impl Fn(HostKey) -> Option<&'h Host>,
        most: usize,
    ) -> (usize, bool) {
        let all =
            if order.game.is_empty() { Some(&self.all) } else { self.by_game.get(order.game) };
        match all {
            Some(all) if all.entries.len() > SHORT => {
                self.sorted.prepare(order, &all.entries, |entry| host(entry.key), most)
            }
            _ => (0, true),
        }
    }
}
