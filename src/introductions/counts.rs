//! How many introductions ended in which way. A client and a host count once in a minute or two, with the best of
//! how it ended: who tries again and again, or pretends to, is one who got through or did not.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::attempt::Attempt;
use super::journal::Way;
use crate::clock::Instant;
use crate::dialect::Name;
use crate::hash::Map;
use crate::limits;
use crate::nats::Kind;
use crate::prefixes::network;

/// How many introductions ended in which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// They sent to each other.
    pub direct: u64,
    /// The relay has passed packets on both ways.
    pub relayed: u64,
    /// Nothing came through.
    pub failed: u64,
    /// How many of those who got through had been counted as failed before.
    #[serde(default)]
    pub late: u64,
}

impl Counts {
    fn count(&mut self, way: Way) {
        let count = match way {
            Way::Direct(_) => &mut self.direct,
            Way::Relayed(_) => &mut self.relayed,
            Way::No(_) => &mut self.failed,
        };
        *count = count.saturating_add(1);
    }

    /// One that was counted as failed has worked.
    fn correct(&mut self, way: Way) {
        self.failed = self.failed.saturating_sub(1);
        self.late = self.late.saturating_add(1);
        self.count(way);
    }

    /// Those of both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            direct: self.direct.saturating_add(other.direct),
            relayed: self.relayed.saturating_add(other.relayed),
            failed: self.failed.saturating_add(other.failed),
            late: self.late.saturating_add(other.late),
        }
    }

    /// Each with what programs call it, none of which ever becomes less: those who got through after a failure
    /// have failed as well.
    #[must_use]
    pub const fn by_way(self) -> [(&'static str, u64); 3] {
        let failed = self.failed.saturating_add(self.late);
        [("direct", self.direct), ("relayed", self.relayed), ("failed", failed)]
    }

    /// How many have got through, one way or the other.
    #[must_use]
    pub const fn through(&self) -> u64 {
        self.direct + self.relayed
    }
}

/// Of which dialect, and what the two are behind, in order.
type Cell = (Name, [Kind; 2]);

/// Who may have counted a moment ago.
type Pair = (Name, IpAddr, IpAddr);

/// A pair that has counted.
#[derive(Clone, Copy, Debug)]
struct Counted {
    cell: Cell,
    failed: bool,
}

/// All counts.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Tally {
    by_cell: BTreeMap<Cell, Counts>,
    /// All that was noted, whether it counts or not.
    #[serde(default)]
    noted: Counts,
    #[serde(skip)]
    total: Counts,
    /// Pairs that have counted since the last minute began, and in the one before.
    #[serde(skip)]
    lately: [Map<Pair, Counted>; 2],
    /// How many of them each [source] has.
    #[serde(skip)]
    by_source: [Map<IpAddr, u32>; 2],
    #[serde(skip)]
    began: Instant,
}

impl Tally {
    /// Goes on with what another process has counted.
    pub(super) fn restore(&mut self, saved: Self) {
        (self.by_cell, self.noted) = (saved.by_cell, saved.noted);
        self.total = self.by_cell.values().fold(Counts::default(), |all, some| all.and(*some));
    }

    /// An introduction has ended; what host and client are behind. Returns whether it counts.
    pub(super) fn note(
        &mut self,
        now: Instant,
        attempt: &Attempt,
        kinds: [Kind; 2],
        way: Way,
    ) -> bool {
        self.noted.count(way);
        self.count(now, attempt, kinds, way)
    }

    fn count(&mut self, now: Instant, attempt: &Attempt, mut kinds: [Kind; 2], way: Way) -> bool {
        kinds.sort_unstable();
        let (pair, cell) = (pair(attempt), (attempt.dialect, kinds));
        let failed = matches!(way, Way::No(_));
        let is_enough = self.is_enough(attempt);
        match self.counted(now, pair) {
            Some(counted) if counted.failed && !failed => {
                counted.failed = false;
                let cell = counted.cell;
                self.change(cell, |counts| counts.correct(way));
            }
            Some(_) => {}
            None if is_enough => {}
            None => {
                self.change(cell, |counts| counts.count(way));
                self.keep(attempt, Counted { cell, failed });
                return true;
            }
        }
        false
    }

    /// One that was told as failed, and may have been counted, has got through directly.
    pub(super) fn correct(
        &mut self,
        now: Instant,
        attempt: &Attempt,
        mut kinds: [Kind; 2],
        is_counted: bool,
    ) {
        self.noted.correct(Way::Direct(None));
        if self.counted(now, pair(attempt)).is_some() {
            self.count(now, attempt, kinds, Way::Direct(None));
            return;
        }
        if !is_counted {
            return;
        }
        kinds.sort_unstable();
        self.change((attempt.dialect, kinds), |counts| counts.correct(Way::Direct(None)));
    }

    /// Each dialect and the kinds of two sides, with how often that ended in which way.
    pub(super) fn by_cell(&self) -> impl Iterator<Item = (Cell, Counts)> {
        self.by_cell.iter().map(|(cell, counts)| (*cell, *counts))
    }

    /// How all that was noted ended, whether it counts or not.
    pub(super) const fn noted(&self) -> Counts {
        self.noted
    }

    /// All of them together.
    pub(super) const fn total(&self) -> Counts {
        self.total
    }

    fn change(&mut self, cell: Cell, change: impl Fn(&mut Counts)) {
        change(self.by_cell.entry(cell).or_default());
        change(&mut self.total);
    }

    /// How this pair has counted a moment ago, if it has.
    fn counted(&mut self, now: Instant, pair: Pair) -> Option<&mut Counted> {
        const MINUTE: Duration = Duration::from_secs(60);
        let age = now - self.began;
        if age >= MINUTE {
            let lately = std::mem::take(&mut self.lately[0]);
            let by_source = std::mem::take(&mut self.by_source[0]);
            let is_lately = age < 2 * MINUTE;
            self.lately[1] = if is_lately { lately } else { Map::default() };
            self.by_source[1] = if is_lately { by_source } else { Map::default() };
            self.began = now;
        }
        self.lately.iter_mut().find_map(|pairs| pairs.get_mut(&pair))
    }

    /// Whether so many of this client's source have counted that no more do for a while.
    fn is_enough(&self, attempt: &Attempt) -> bool {
        let source = source(attempt);
        let held =
            self.by_source.iter().filter_map(|by_source| by_source.get(&source)).sum::<u32>();
        held >= limits::COUNTED_OF_SOURCE
    }

    /// Where there are too many, some may count once more.
    fn keep(&mut self, attempt: &Attempt, counted: Counted) {
        let ([lately, _], [by_source, _]) = (&mut self.lately, &mut self.by_source);
        if lately.len() < limits::COUNTED_PAIRS {
            lately.insert(pair(attempt), counted);
            *by_source.entry(source(attempt)).or_default() += 1;
        }
    }
}

/// The client's address; of IPv6 its /64.
fn source(attempt: &Attempt) -> IpAddr {
    let [client, _] = attempt.sources();
    network(client)
}

fn pair(attempt: &Attempt) -> Pair {
    let [client, host] = attempt.sources().map(network);
    (attempt.dialect, client, host)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::introductions::attempt::Names;
    use crate::introductions::journal::Relay;

    fn attempt(client: u8, port: u16) -> Attempt {
        let pair = [([203, 0, 113, client], port), ([198, 51, 100, 1], 1)].map(SocketAddr::from);
        Attempt::new(Name::Events, pair, Names::default())
    }

    fn at(secs: u64) -> Instant {
        Instant::from_micros((1_000 + secs) * 1_000_000)
    }

    #[test]
    fn who_tries_again_and_again_counts_once_with_the_best_of_it() {
        const UNKNOWN: [Kind; 2] = [Kind::Unknown; 2];
        let mut tally = Tally::default();
        let counts = |tally: &Tally| {
            let Counts { direct, relayed, failed, late } = tally.total();
            [direct, relayed, failed, late]
        };
        let no = Way::No(Relay::Untried);
        let mut note = |n: u64| tally.note(at(n / 100), &attempt(1, n as u16), UNKNOWN, no);
        assert_eq!((0..200).filter(|n| note(*n)).count(), 1);
        assert_eq!(counts(&tally), [0, 0, 1, 0]);
        assert!(tally.note(at(3), &attempt(2, 1), UNKNOWN, no));
        tally.note(at(20), &attempt(1, 9), [Kind::Open; 2], Way::Direct(None));
        assert_eq!(counts(&tally), [1, 0, 1, 1], "the second try worked");
        tally.note(at(30), &attempt(1, 9), UNKNOWN, no);
        tally.correct(at(30), &attempt(1, 9), UNKNOWN, false);
        assert_eq!(counts(&tally), [1, 0, 1, 1], "nothing more is said of it");
        let by_way: Vec<u64> = tally.total().by_way().iter().map(|(_, count)| *count).collect();
        assert_eq!(by_way, [1, 0, 2], "no number of a counter becomes less");
        assert_eq!(tally.by_cell().count(), 1);
        tally.note(at(200), &attempt(1, 9), UNKNOWN, no);
        assert_eq!(counts(&tally), [1, 0, 2, 1], "some minutes later it is another one");
        // Of one that is long ago it has to be said whether it was counted.
        tally.correct(at(2000), &attempt(1, 9), UNKNOWN, false);
        assert_eq!(counts(&tally), [1, 0, 2, 1]);
        tally.correct(at(2000), &attempt(1, 9), UNKNOWN, true);
        assert_eq!(counts(&tally), [2, 0, 1, 2]);
    }

    #[test]
    fn who_joins_all_hosts_there_are_does_not_make_the_numbers_his_own() {
        let mut tally = Tally::default();
        let no = Way::No(Relay::Untried);
        let most = u64::from(limits::COUNTED_OF_SOURCE);
        let mut join_all = |from: u8, secs| {
            for n in 0..200 {
                let host = SocketAddr::from(([198, 51, 101, n], 1));
                tally.note(at(secs), &Attempt { host, ..attempt(from, 1) }, [Kind::Open; 2], no);
            }
            tally.total().failed
        };
        assert_eq!(join_all(1, 1), most);
        assert_eq!(join_all(1, 50), most);
        assert_eq!(join_all(2, 50), 2 * most, "others count");
        assert_eq!(join_all(1, 200), 3 * most, "some minutes later it counts again");
        // A /64 is one.
        for n in 0..200 {
            let client = SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, n], 1));
            let host = SocketAddr::from(([0x2001, 0xdb8, 1, n, 0, 0, 0, 1], 1));
            let attempt = Attempt { client, host, ..attempt(1, 1) };
            tally.note(at(200), &attempt, [Kind::Open; 2], no);
        }
        assert_eq!((tally.total().failed, tally.noted().failed), (4 * most, 1000));
    }

    #[test]
    fn so_many_pairs_are_known_and_the_others_count_each_time() {
        let mut tally = Tally::default();
        for n in 0..limits::COUNTED_PAIRS as u32 + 10 {
            let [_, a, b, c] = n.to_be_bytes();
            let client = SocketAddr::from(([10, a, b, c], 1));
            let attempt = Attempt { client, ..attempt(1, 1) };
            (0..2)
                .for_each(|_| _ = tally.note(at(1), &attempt, [Kind::Open; 2], Way::Direct(None)));
        }
        assert_eq!(tally.total().direct, limits::COUNTED_PAIRS as u64 + 20);
    }
}
