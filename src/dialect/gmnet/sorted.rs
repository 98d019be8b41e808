//! The listed hosts in the order of one of their strings, for lobbies that are asked for sorted.
//! There are as few such lists as games use; each is made when it is asked for, a piece at a time
//! if it is long, and kept up from then on as hosts come and go.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::ops::Bound;

use super::data::Text;
use super::host::Host;
use super::slot::HostKey;
use super::text::utf16_order;
use crate::limits;

/// Shorter lists are sorted when they are asked for, which costs little more than what it takes
/// to write the reply.
pub(super) const SHORT: usize = 128;

/// Which hosts, by which string, in which order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Order<'a> {
    /// The game, or empty for all hosts.
    pub(super) game: &'a str,
    /// The number of the string, from 0.
    pub(super) by: usize,
    /// `b` before `a`. Hosts with equal strings are in the order of their creation all the same.
    pub(super) descending: bool,
}

/// Sorts by creation time as told, then by what came first. Each host has two, so they are small.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    created: u32,
    number: u32,
    pub(super) key: HostKey,
}

impl Entry {
    pub(super) fn of(host: &Host, key: HostKey) -> Self {
        Self { created: host.created, number: host.number, key }
    }
}

/// Work to compare texts of that length.
pub(super) fn text_work(bytes: usize) -> usize {
    16 + bytes / 8
}

/// All such lists.
#[derive(Debug, Default)]
pub(super) struct Sorted {
    lists: Vec<List>,
    /// Counts the requests for any of them.
    asked: u64,
}

#[derive(Debug)]
struct List {
    game: Box<str>,
    by: usize,
    descending: bool,
    hosts: BTreeSet<Place>,
    /// The last host that was put in while the list is being made; those behind it come later.
    made_to: Option<Entry>,
    is_made: bool,
    /// How many hosts it will have when it is made.
    promised: usize,
    /// Which request for any list was the first after it was made.
    made: u64,
    /// Which request for any list was the last for this one.
    used: u64,
    /// Changes since then.
    changes: usize,
}

/// One host in a list.
#[derive(Debug)]
struct Place {
    text: Text,
    descending: bool,
    entry: Entry,
}

/// Whether a list is too long to be sorted in one go.
const fn is_long(length: usize) -> bool {
    length > limits::SORTED_AT_ONCE
}

impl Sorted {
    /// The hosts of a list that is made, in order.
    pub(super) fn get(&self, order: Order<'_>) -> Option<impl Iterator<Item = Entry>> {
        let list = self.lists.iter().find(|list| list.is(order) && list.is_made)?;
        Some(list.hosts.iter().map(|place| place.entry))
    }

    /// Sees to it that there is a list, as far as `most` work goes; `all` are its hosts. Returns
    /// the work that was done, and whether [`Self::get`] is worth asking: without a list that is
    /// made, and nothing more to be done for one, hosts have to be sorted each time.
    pub(super) fn prepare<'h>(
        &mut self,
        order: Order<'_>,
        all: &BTreeSet<Entry>,
        host: impl Fn(Entry) -> Option<&'h Host>,
        most: usize,
    ) -> (usize, bool) {
        self.asked += 1;
        let known = self.lists.iter().position(|list| list.is(order));
        let Some(n) = known.or_else(|| self.add(order, all.len())) else {
            // Other lists are being made, of which one makes room then.
            return (0, !is_long(all.len()));
        };
        let Some(list) = self.lists.get_mut(n) else { return (0, true) };
        (list.used, list.changes) = (self.asked, 0);
        let mut work = 0;
        while !list.is_made && work < most {
            let from = list.made_to.map_or(Bound::Unbounded, Bound::Excluded);
            let next = all.range((from, Bound::Unbounded)).next();
            let Some(&entry) = next else {
                (list.is_made, list.made, list.promised) = (true, self.asked, 0);
                break;
            };
            list.made_to = Some(entry);
            work += host(entry).map_or(0, |host| list.insert(host, entry));
        }
        (work, list.is_made)
    }

    /// A new list of so many hosts, if there is room for it or another can be done without.
    fn add(&mut self, order: Order<'_>, length: usize) -> Option<usize> {
        while self.lists.len() >= limits::SORTED_LISTS || self.is_too_much(length) {
            let is_old = |since: u64| self.asked - since >= limits::SORTED_UNUSED;
            // Others would have to wait for a long one to be sorted in one go.
            let gives_way = |list: &List| {
                is_old(list.used) || is_long(length) && list.is_made && is_old(list.made)
            };
            let unused = self.lists.iter().enumerate().filter(|(_, list)| gives_way(list));
            let (n, _) = unused.min_by_key(|(_, list)| list.used)?;
            self.lists.swap_remove(n);
        }
        self.lists.push(List {
            game: order.game.into(),
            by: order.by,
            descending: order.descending,
            hosts: BTreeSet::new(),
            made_to: None,
            is_made: false,
            promised: length,
            made: 0,
            used: self.asked,
            changes: 0,
        });
        Some(self.lists.len() - 1)
    }

    /// Whether there is no room for so many hosts more. For one list there always is.
    fn is_too_much(&self, more: usize) -> bool {
        let places: usize = self.lists.iter().map(List::places).sum();
        let lists = self.lists.len() + usize::from(more > 0);
        lists > 1 && places + more > limits::SORTED_HOSTS
    }

    /// A host is listed.
    pub(super) fn insert(&mut self, host: &Host, entry: Entry) {
        for list in &mut self.lists {
            let is_made_to_there = list.is_made || list.made_to.is_some_and(|to| entry <= to);
            if list.has(host) && is_made_to_there {
                list.insert(host, entry);
            }
        }
        // There may be more hosts now than when the lists were made.
        while self.is_too_much(0)
            && let Some((n, _)) = self.lists.iter().enumerate().min_by_key(|(_, list)| list.used)
        {
            self.lists.swap_remove(n);
        }
    }

    /// A host is listed no more.
    pub(super) fn remove(&mut self, host: &Host, entry: Entry) {
        for list in self.lists.iter_mut().filter(|list| list.has(host)) {
            if let Some(place) = list.place(host, entry) {
                list.hosts.remove(&place);
            }
            list.changes += 1;
        }
        // To keep it up has cost as much by now as to make it anew would.
        self.lists.retain(|list| list.changes <= SHORT + list.hosts.len());
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.lists.len()
    }
}

impl List {
    fn is(&self, order: Order<'_>) -> bool {
        let Order { game, by, descending } = order;
        *self.game == *game && self.by == by && self.descending == descending
    }

    /// How many hosts there has to be room for.
    fn places(&self) -> usize {
        self.hosts.len().max(self.promised)
    }

    /// Whether it is a list of hosts like this one.
    fn has(&self, host: &Host) -> bool {
        self.game.is_empty() || *self.game == *host.game()
    }

    /// The place of a host; none if it has no strings, and then it is not listed.
    fn place(&self, host: &Host, entry: Entry) -> Option<Place> {
        let text = host.data.as_ref()?.text(self.by);
        Some(Place { text, descending: self.descending, entry })
    }

    /// Puts a host in; returns the work.
    fn insert(&mut self, host: &Host, entry: Entry) -> usize {
        let Some(place) = self.place(host, entry) else { return 0 };
        let comparisons = self.hosts.len().max(1).ilog2() as usize + 1;
        let work = limits::HOST_WORK + comparisons * text_work(place.text.get().len());
        self.hosts.insert(place);
        work
    }
}

impl Ord for Place {
    fn cmp(&self, other: &Self) -> Ordering {
        let order = utf16_order(self.text.get(), other.text.get());
        let order = if self.descending { order.reverse() } else { order };
        order.then_with(|| self.entry.cmp(&other.entry))
    }
}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Place {}
