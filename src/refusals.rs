//! What was refused, how often, and to whom most of all. Numbers and a few addresses, however many are
//! refused: a flood costs no more than it did, and a forger cannot push those out who are refused often.

mod handover;
mod hints;
mod reason;

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use self::hints::Hints;
pub use self::reason::Reason;
use crate::clock::Now;
use crate::dialect::Name;
use crate::hash::Lasting;
use crate::prefixes::network;

/// Places in a set: those that an address can be in, and is compared with.
const SET: usize = 8;

/// Sets for each reason.
const SETS: usize = 8;

/// Addresses that were refused for the last time so long ago give way to any other, in seconds.
const FORGOTTEN: u64 = 24 * 60 * 60;

/// Addresses that a table in words has for each reason.
const SHOWN: usize = 3;

/// Dialects, and what is refused before it is known which one it is.
const SPEAKERS: usize = Name::ALL.len() + 1;

/// How often something was refused, and when that was last, in seconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// How often since the start.
    pub times: u64,
    /// When last.
    pub latest: u64,
}

impl Count {
    fn note(&mut self, now: Now) {
        self.times = self.times.saturating_add(1);
        self.latest = now.unix;
    }
}

/// Who was refused: one IPv4 address, or a /64 network of IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Whom(pub IpAddr);

impl fmt::Display for Whom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(_) => write!(f, "{}", self.0),
            IpAddr::V6(_) => write!(f, "{}/64", self.0),
        }
    }
}

/// What was refused since the start.
#[derive(Debug, Default)]
pub struct Refusals {
    counts: [[Count; SPEAKERS]; Reason::ALL.len()],
    /// For each reason, who was refused most. Empty as long as nobody was.
    worst: [Worst; Reason::ALL.len()],
    /// Everything that is noted has another number.
    notes: u64,
    hasher: Lasting,
    hints: Hints,
}

impl Refusals {
    /// Something was refused to who is at this address, in this dialect if it is known.
    pub fn note(&mut self, now: Now, speaks: Option<Name>, reason: Reason, addr: IpAddr) {
        let speaker = speaks.map_or(Name::ALL.len(), |name| name as usize);
        let of_reason = self.counts.get_mut(reason as usize);
        if let Some(count) = of_reason.and_then(|counts| counts.get_mut(speaker)) {
            count.note(now);
        }
        self.notes += 1;
        let whom = bits(network(addr));
        let set = self.hasher.hash_one(whom) as usize % SETS;
        if let Some(worst) = self.worst.get_mut(reason as usize) {
            worst.note(now, self.notes, whom, set);
        }
        if let Some(speaks) = speaks {
            self.hints.say(now, speaks, reason, addr);
        }
    }

    /// So much was counted elsewhere.
    fn set_count(&mut self, reason: Reason, speaks: Option<Name>, count: Count) {
        let speaker = speaks.map_or(Name::ALL.len(), |name| name as usize);
        let of_reason = self.counts.get_mut(reason as usize);
        if let Some(place) = of_reason.and_then(|counts| counts.get_mut(speaker)) {
            *place = count;
        }
    }

    /// So often somebody was refused elsewhere.
    fn keep(&mut self, reason: Reason, entry: Entry) {
        let set = self.hasher.hash_one(entry.whom) as usize % SETS;
        if let Some(worst) = self.worst.get_mut(reason as usize) {
            worst.keep(entry, set);
        }
    }

    /// Goes on with what was refused in another process.
    pub(crate) fn restore(&mut self, saved: Self) {
        (self.counts, self.worst, self.hasher) = (saved.counts, saved.worst, saved.hasher);
    }

    /// How often something was refused for this reason, in this dialect; `None` is what was refused
    /// before it was known which one it is.
    #[must_use]
    pub fn count(&self, reason: Reason, speaks: Option<Name>) -> Count {
        let speaker = speaks.map_or(Name::ALL.len(), |name| name as usize);
        let count = self.counts.get(reason as usize).and_then(|counts| counts.get(speaker));
        count.copied().unwrap_or_default()
    }

    /// The same, in all dialects.
    #[must_use]
    pub fn total(&self, reason: Reason) -> Count {
        let counts = self.counts.get(reason as usize).into_iter().flatten();
        counts.fold(Count::default(), |all, one| Count {
            times: all.times.saturating_add(one.times),
            latest: all.latest.max(one.latest),
        })
    }

    /// All counts that are not zero, by reason and dialect.
    pub fn counts(&self) -> impl Iterator<Item = (Reason, Option<Name>, Count)> {
        let speakers = || Name::ALL.into_iter().map(Some).chain([None]);
        let all = Reason::ALL.into_iter().flat_map(move |reason| {
            speakers().map(move |speaks| (reason, speaks, self.count(reason, speaks)))
        });
        all.filter(|(_, _, count)| count.times > 0)
    }

    /// To whom it was refused most for this reason, those first to whom most; at most 64. It is exact for
    /// those who were refused often, others may be missing. Datagrams can be forged in anybody's name.
    #[must_use]
    pub fn worst(&self, reason: Reason) -> Vec<(Whom, Count)> {
        let entries = self.worst.get(reason as usize).into_iter().flat_map(|worst| &worst.0);
        let known = entries.filter(|entry| entry.times > 0).map(|entry| {
            let ip = IpAddr::V6(Ipv6Addr::from_bits(entry.whom)).to_canonical();
            (Whom(ip), Count { times: entry.times.into(), latest: entry.latest })
        });
        let mut all: Vec<_> = known.collect();
        all.sort_by_key(|(_, count)| std::cmp::Reverse((count.times, count.latest)));
        all
    }

    /// For the owner: a line for each reason for which something was refused.
    #[must_use]
    pub fn lines(&self, now: Now) -> Vec<String> {
        let mut lines = Vec::new();
        for reason in Reason::ALL {
            let total = self.total(reason);
            if total.times == 0 {
                continue;
            }
            let of = |speaks| Some((speaks, self.count(reason, Some(speaks)).times));
            let dialects = Name::ALL.into_iter().filter_map(of).filter(|(_, times)| *times > 0);
            let dialects: Vec<String> =
                dialects.map(|(name, times)| format!("{name} {times}")).collect();
            let dialects = match dialects.is_empty() {
                true => String::new(),
                false => format!(" ({})", dialects.join(", ")),
            };
            let worst = self.worst(reason).into_iter().take(SHOWN);
            let worst: Vec<String> =
                worst.map(|(whom, count)| format!("{whom} {}", count.times)).collect();
            let (words, option) = (reason.words(), reason.option());
            let option = option.map(|option| format!("; see {option}")).unwrap_or_default();
            lines.push(format!(
                "refused: {words}: {}{dialects}, last {}, most of all {}{option}",
                total.times,
                Ago(now.unix.saturating_sub(total.latest)),
                worst.join(", ")
            ));
        }
        if lines.is_empty() {
            lines.push("refused: nothing so far".into());
        }
        lines
    }
}

/// So many seconds ago.
struct Ago(u64);

impl fmt::Display for Ago {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            s @ 0..120 => write!(f, "{s} s ago"),
            s @ 120..7200 => write!(f, "{} min ago", s / 60),
            s @ 7200..172_800 => write!(f, "{} h ago", s / 3600),
            s => write!(f, "{} days ago", s / 86_400),
        }
    }
}

/// IPv4 as mapped into IPv6.
fn bits(addr: IpAddr) -> u128 {
    match addr {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// Who was refused most for one reason.
#[derive(Debug, Default)]
struct Worst(Vec<Entry>);

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    /// The address, or the network.
    whom: u128,
    /// When it was refused last, in seconds since 1970.
    latest: u64,
    /// The number of that note.
    note: u64,
    /// How often; nobody is here if that is zero.
    times: u32,
    /// How many others have wanted this place since then.
    wanted: u32,
}

impl Worst {
    /// Those who share a set.
    fn set(&mut self, set: usize) -> &mut [Entry] {
        if self.0.is_empty() {
            self.0 = vec![Entry::default(); SETS * SET];
        }
        self.0.chunks_mut(SET).nth(set).unwrap_or_default()
    }

    /// Takes somebody in from elsewhere, in the place of who was refused least.
    fn keep(&mut self, entry: Entry, set: usize) {
        let least = self.set(set).iter_mut().min_by_key(|entry| entry.times);
        if let Some(least) = least.filter(|least| least.times < entry.times) {
            *least = entry;
        }
    }

    /// One more. Who was refused `n` times keeps his place until `n * n` others have wanted it while he was
    /// not refused again: so forged addresses, of which each comes once, take the places of each other.
    fn note(&mut self, now: Now, note: u64, whom: u128, set: usize) {
        let entries = self.set(set);
        let fresh = Entry { whom, latest: now.unix, note, times: 1, wanted: 0 };
        if let Some(entry) = entries.iter_mut().find(|entry| entry.whom == whom && entry.times > 0)
        {
            *entry = Entry { times: entry.times.saturating_add(1), ..fresh };
            return;
        }
        let is_old = |entry: &Entry| now.unix.saturating_sub(entry.latest) > FORGOTTEN;
        let weight = |entry: &Entry| if is_old(entry) { 0 } else { entry.times };
        let least = entries.iter_mut().min_by_key(|entry| (weight(entry), entry.note));
        if let Some(entry) = least {
            let weight = u64::from(weight(entry));
            entry.wanted = entry.wanted.saturating_add(1);
            if u64::from(entry.wanted) >= weight.saturating_mul(weight) {
                *entry = fresh;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Instant;

    fn at(unix: u64) -> Now {
        Now { instant: Instant::from_micros(unix * 1_000_000), unix }
    }

    fn addr(n: u32) -> IpAddr {
        IpAddr::from(n.to_be_bytes())
    }

    #[test]
    fn each_reason_has_a_name_of_its_own_and_its_place() {
        let mut names: Vec<_> = Reason::ALL.iter().map(|reason| reason.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Reason::ALL.len());
        for (n, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, n);
            let name = reason.name();
            assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{name}");
        }
    }

    #[test]
    fn it_is_counted_by_reason_and_dialect_and_address() {
        let mut refusals = Refusals::default();
        assert_eq!(refusals.lines(at(0)), ["refused: nothing so far"]);
        let network = |n: u16| IpAddr::from([0x2001, 0xdb8, 0, 7, n, 0, 0, 1]);
        for n in 0..5 {
            refusals.note(at(100), Some(Name::Events), Reason::Key, network(n));
        }
        refusals.note(at(160), Some(Name::Gmnet), Reason::Key, addr(7));
        refusals.note(at(161), None, Reason::Connections, addr(8));
        let [connections, key] = &refusals.lines(at(170))[..] else { panic!() };
        assert_eq!(
            key,
            "refused: it has no key of this server: 6 (gmnet 1, events 5), last 10 s ago, most of all \
             2001:db8:0:7::/64 5, 0.0.0.7 1; see --key"
        );
        assert_eq!(
            connections,
            "refused: no room for more connections: 1, last 9 s ago, most of all 0.0.0.8 1; see \
             --max-connections"
        );
        let counts: Vec<_> = refusals.counts().collect();
        assert_eq!(counts.len(), 3);
        assert_eq!(counts[0].2, Count { times: 1, latest: 161 });
        assert_eq!(refusals.total(Reason::Key), Count { times: 6, latest: 160 });
        assert_eq!(refusals.worst(Reason::Key)[0].1.times, 5);
        assert!(refusals.worst(Reason::Game).is_empty());
    }

    /// Who is refused again and again is seen, be it before or while a million others are forged.
    #[test]
    fn forged_addresses_push_nobody_out_who_is_refused_often() {
        for later in [false, true] {
            let mut refusals = Refusals::default();
            let note = |refusals: &mut Refusals, addr| {
                refusals.note(at(100), None, Reason::Datagrams, addr);
            };
            let floods: Vec<IpAddr> = (1..=6).map(addr).collect();
            if !later {
                floods.iter().for_each(|addr| (0..400).for_each(|_| note(&mut refusals, *addr)));
            }
            for n in 1000..1_001_000 {
                note(&mut refusals, addr(n));
                if later && n % 20 == 0 {
                    floods.iter().for_each(|addr| note(&mut refusals, *addr));
                }
            }
            let worst = refusals.worst(Reason::Datagrams);
            assert!(worst.len() <= SETS * SET);
            let first: Vec<IpAddr> = worst.iter().take(6).map(|(whom, _)| whom.0).collect();
            let all = floods.iter().all(|addr| first.contains(addr));
            assert!(all, "{later}: {first:?}");
            assert!(worst[6].1.times < 100, "{:?}", worst[6]);
            let times = refusals.total(Reason::Datagrams).times;
            assert_eq!(times, if later { 1_300_000 } else { 1_002_400 });
        }
    }

    /// Nor does the one of each set who was refused least of those who were refused several times.
    #[test]
    fn each_keeps_his_place_the_longer_the_more_he_was_refused() {
        // Who shares a set with whom is the same in each run.
        let mut refusals = Refusals { hasher: Lasting::with(7), ..Refusals::default() };
        let note = |refusals: &mut Refusals, n| {
            refusals.note(at(100), None, Reason::Key, addr(n));
        };
        (0..120).for_each(|n| (0..30).for_each(|_| note(&mut refusals, n)));
        let before = refusals.worst(Reason::Key);
        assert!(before.len() > SETS * SET / 2, "{}", before.len());
        assert!(before.iter().all(|(_, count)| count.times == 30));
        // Each set is wanted by an eighth of them, and was by those above who came too late.
        (1000..2000).for_each(|n| note(&mut refusals, n));
        assert_eq!(refusals.worst(Reason::Key), before);
        (2000..40_000).for_each(|n| note(&mut refusals, n));
        assert_ne!(refusals.worst(Reason::Key), before, "not for ever");
    }

    #[test]
    fn who_was_refused_long_ago_gives_way() {
        let mut refusals = Refusals::default();
        for n in 0..64 {
            (0..1000).for_each(|_| refusals.note(at(0), None, Reason::Key, addr(n)));
        }
        let later = at(FORGOTTEN + 1);
        (100..1000).for_each(|n| refusals.note(later, None, Reason::Key, addr(n)));
        assert!(refusals.worst(Reason::Key).iter().all(|(_, count)| count.times == 1));
    }
}
