//! Who asked for somebody and was introduced to nobody, and why. The owner is told beside how introductions
//! ended, but these are in none of their numbers.

use std::collections::VecDeque;
use std::fmt::{self, Write as _};
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::journal::Names;
use crate::dialect::Name;
use crate::limits;
use crate::nats::Kind;
use crate::prefixes::homes;

/// Why somebody was not introduced. What it did wrong besides is one of [`crate::refusals::Reason`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// There is nobody where it asked.
    NotFound,
    /// It asked for something that is no address.
    NoAddress,
    /// The UDP packet of the host never came.
    HostUdp,
    /// Its own never came.
    ClientUdp,
    /// One side has IPv4 and the other IPv6.
    Family,
    /// The host has no place left, or cannot be told of so many.
    Full,
    /// The host lets nobody in any more.
    Locked,
    /// The host has kicked it.
    Kicked,
    /// The room has another password.
    Password,
    /// A bound of the server, or it stops.
    Bound,
}

impl Cause {
    /// What programs call it. These names stay what they are.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::NoAddress => "no_address",
            Self::HostUdp => "host_udp",
            Self::ClientUdp => "client_udp",
            Self::Family => "family",
            Self::Full => "full",
            Self::Locked => "locked",
            Self::Kicked => "kicked",
            Self::Password => "password",
            Self::Bound => "bound",
        }
    }
}

/// Somebody who asked for somebody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// The dialect that it speaks.
    pub dialect: Name,
    /// Where it is; port 0 if that is not known.
    pub client: SocketAddr,
    /// Whom it asked for, as far as that is known.
    pub host: Option<SocketAddr>,
    /// What is played, and where.
    pub names: Names,
    /// Where it was told that the host is, though the host was not told of it.
    pub told: Option<SocketAddr>,
    /// Whether it has proven its address: anybody can send datagrams in the name of another.
    pub is_proven: bool,
    /// Why it was not introduced.
    pub cause: Cause,
    /// Who of its address it is and what it asked for, as far as all else does not tell: made by [`about`].
    #[serde(default)]
    pub about: u64,
}

/// A number for what somebody asks for, the same for the same.
#[must_use]
pub fn about(what: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

impl Asked {
    /// Whether somebody at the same address has asked the same before, in vain for the same reason.
    fn is_again(&self, other: &Self) -> bool {
        self.cause == other.cause
            && self.dialect == other.dialect
            && self.client.ip() == other.client.ip()
            && self.host == other.host
            && self.names == other.names
            && self.about == other.about
    }
}

/// Somebody who was not introduced, as it is told to the owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unmet {
    /// When last, in seconds since 1970.
    pub unix: u64,
    /// Who, and whom it asked for.
    pub asked: Asked,
    /// What host and client are behind.
    pub kinds: [Kind; 2],
    /// Why, in a sentence.
    pub why: Box<str>,
    /// How often.
    pub times: u64,
}

/// The latest of them, the last one at the end; who asks for the same again has one place. An address has a
/// few at most, a /56 twice and a /48 (or a /24 of IPv4) four times as many, and the network that has most gives
/// way. So whoever asks in vain all the time pushes few others out, and no introduction at all. Those who have
/// proven nothing have one half and the others the other: forged datagrams push none of these out, and cost no more
/// work than so many a second.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct AllUnmet {
    rows: VecDeque<Unmet>,
    /// In which second how many were noted who have proven nothing.
    #[serde(skip)]
    unproven: (u64, usize),
    /// How many have none, as they have proven nothing and there were too many of them.
    #[serde(skip)]
    left_out: u64,
}

impl AllUnmet {
    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// How many of those who have proven nothing were left out since the start.
    pub(super) const fn left_out(&self) -> u64 {
        self.left_out
    }

    /// The latest of them, the last one first.
    pub(super) fn latest(&self) -> impl ExactSizeIterator<Item = &Unmet> {
        self.rows.iter().rev()
    }

    /// Somebody was not introduced.
    pub(super) fn note(
        &mut self,
        unix: u64,
        kinds: [Kind; 2],
        asked: Asked,
        why: fmt::Arguments<'_>,
    ) {
        if !asked.is_proven && self.are_enough(unix) {
            self.left_out += 1;
            return;
        }
        // What anybody can have sent is not added to what somebody has asked for.
        let is_same = |of: &Asked| of.is_again(&asked) && (asked.is_proven || !of.is_proven);
        let before = self.rows.iter().position(|unmet| is_same(&unmet.asked));
        if let Some(mut unmet) = before.and_then(|at| self.rows.remove(at)) {
            (unmet.unix, unmet.kinds, unmet.why) = (unix, kinds, sentence(why));
            unmet.asked.client = asked.client;
            unmet.times = unmet.times.saturating_add(1);
            if asked.is_proven && !unmet.asked.is_proven {
                self.make_place(&asked);
                unmet.asked.is_proven = true;
            }
            return self.rows.push_back(unmet);
        }
        self.make_place(&asked);
        self.rows.push_back(Unmet { unix, asked, kinds, why: sentence(why), times: 1 });
    }

    /// Whether enough were noted in this second who have proven nothing; else it is one more.
    fn are_enough(&mut self, unix: u64) -> bool {
        if self.unproven.0 != unix {
            self.unproven = (unix, 0);
        }
        self.unproven.1 += 1;
        self.unproven.1 > limits::UNMET_UNPROVEN
    }

    /// Somebody was introduced after all, so often as this is said.
    pub(super) fn withdraw(&mut self, is_it: impl Fn(&Asked) -> bool) {
        let Some(at) = self.rows.iter().rposition(|unmet| is_it(&unmet.asked)) else { return };
        match self.rows.get_mut(at) {
            Some(unmet) if unmet.times > 1 => unmet.times -= 1,
            _ => _ = self.rows.remove(at),
        }
    }

    /// Makes place for one more, among those who have proven as much.
    fn make_place(&mut self, asked: &Asked) {
        while let Some(at) = self.eviction_candidate(asked) {
            self.rows.remove(at);
        }
    }

    /// Who has to give way to one more: the oldest one of the network that has too many, or most.
    fn eviction_candidate(&self, asked: &Asked) -> Option<usize> {
        let alike = self.rows.iter().enumerate();
        let alike = alike.filter(|(_, unmet)| unmet.asked.is_proven == asked.is_proven);
        let alike: Vec<_> = alike.map(|(at, unmet)| (at, homes(unmet.asked.client.ip()))).collect();
        let [own, wide, widest] = homes(asked.client.ip());
        for full in [own, wide, widest] {
            let mut in_it = alike.iter().filter(|(_, homes)| homes.contains(&full));
            let most = limits::UNMET_OF_SOURCE * full.1 as usize;
            if in_it.clone().count() >= most {
                return in_it.next().map(|(at, _)| *at);
            }
        }
        if alike.len() < limits::UNMET / 2 {
            return None;
        }
        let has = |home| {
            let new = usize::from([own, wide, widest].contains(&home));
            new + alike.iter().filter(|(_, homes)| homes.contains(&home)).count()
        };
        // Of equal ones the last that is found: the oldest.
        let most = alike
            .iter()
            .rev()
            .max_by_key(|(_, [own, wide, widest])| [has(*widest), has(*wide), has(*own)]);
        most.map(|(at, _)| *at)
    }
}

/// Why somebody was not introduced, without what does not fit.
fn sentence(why: fmt::Arguments<'_>) -> Box<str> {
    let mut text = Short::default();
    let _ = text.write_fmt(why);
    text.0.into()
}

/// A text that ends where it would become too long.
#[derive(Default)]
struct Short(String);

impl fmt::Write for Short {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let space = limits::UNMET_SENTENCE.saturating_sub(self.0.len());
        let fits = |at: &usize| *at <= space && text.is_char_boundary(*at);
        let end =
            if text.len() <= space { text.len() } else { (0..=space).rfind(fits).unwrap_or(0) };
        self.0.push_str(text.get(..end).unwrap_or_default());
        if end < text.len() { Err(fmt::Error) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(client: u32, host: u32, is_proven: bool) -> Asked {
        let at = |n: u32| SocketAddr::from((n.to_be_bytes(), 0));
        Asked {
            dialect: Name::Gmnet,
            client: at(client),
            host: Some(at(host)),
            names: Names::default(),
            told: None,
            is_proven,
            cause: Cause::NotFound,
            about: 0,
        }
    }

    /// Each in a second of its own.
    fn note(all: &mut AllUnmet, asked: Asked) {
        let unix = all.unproven.0 + 1;
        all.note(unix, [Kind::Unknown; 2], asked, format_args!("it is not there"));
        all.unproven.0 = unix;
    }

    #[test]
    fn a_flood_of_forged_datagrams_costs_little() {
        let mut all = AllUnmet::default();
        let mut flood = |unix: u64| {
            for client in 0..1000 {
                let asked = asked(apart(client), 1, false);
                all.note(unix, [Kind::Unknown; 2], asked, format_args!("it is not there"));
            }
            all.latest().filter(|unmet| unmet.unix == unix).count()
        };
        assert_eq!([7, 8].map(&mut flood), [limits::UNMET_UNPROVEN; 2]);
        note(&mut all, asked(1, 1, true));
        assert_eq!(all.latest().len(), limits::UNMET_UNPROVEN + 1);
    }

    #[test]
    fn who_asks_again_has_one_place_with_a_count() {
        let mut all = AllUnmet::default();
        (0..1000).for_each(|_| note(&mut all, asked(1, 2, true)));
        note(&mut all, asked(1, 3, true));
        note(&mut all, Asked { cause: Cause::Family, ..asked(1, 2, true) });
        let times: Vec<_> = all.latest().map(|unmet| unmet.times).collect();
        assert_eq!(times, [1, 1, 1000]);
        note(&mut all, asked(1, 2, true));
        assert_eq!(all.latest().next().map(|unmet| unmet.times), Some(1001), "it is the latest");
        for what in ["ann", "bob", "ann"] {
            let asked = Asked { about: about(what), ..asked(4, 2, true) };
            all.note(7, [Kind::Unknown; 2], asked, format_args!("{what} is not there"));
        }
        let latest: Vec<_> = all.latest().take(2).map(|one| (&*one.why, one.times)).collect();
        assert_eq!(latest, [("ann is not there", 2), ("bob is not there", 1)]);
    }

    #[test]
    fn what_is_forged_is_not_added_to_what_somebody_has_asked_for() {
        let mut all = AllUnmet::default();
        let forged = || Asked { client: SocketAddr::from(([0, 0, 0, 1], 9)), ..asked(1, 2, false) };
        note(&mut all, forged());
        note(&mut all, asked(1, 2, true));
        (0..20).for_each(|_| note(&mut all, forged()));
        let rows: Vec<_> = all.latest().map(|one| (one.asked.client.port(), one.times)).collect();
        assert_eq!(rows, [(9, 20), (0, 2)], "the first became his own when he asked as well");
    }

    #[test]
    fn who_is_left_out_in_a_flood_is_counted() {
        let mut all = AllUnmet::default();
        for client in 0..100 {
            all.note(7, [Kind::Unknown; 2], asked(apart(client), 1, false), format_args!("no"));
        }
        assert_eq!(all.left_out(), 100 - limits::UNMET_UNPROVEN as u64);
    }

    /// The addresses of those who have one each, far from each other.
    fn apart(n: u32) -> u32 {
        (n + 1) << 16
    }

    /// How many of these are there.
    fn honest(all: &AllUnmet) -> usize {
        let is_honest = |asked: &Asked| asked.client.is_ipv4() && bits(asked) & 0xFFFF == 0;
        all.latest().filter(|unmet| is_honest(&unmet.asked)).count()
    }

    #[test]
    fn whoever_asks_all_the_time_pushes_few_others_out() {
        let mut all = AllUnmet::default();
        for client in 0..limits::UNMET as u32 / 2 {
            note(&mut all, asked(apart(client), 1, true));
        }
        // One that looks for hosts everywhere, and a flood of forged datagrams.
        (0..10_000).for_each(|host| note(&mut all, asked(1, host, true)));
        (0..10_000).for_each(|client| note(&mut all, asked(client << 8 | 7, 1, false)));
        assert_eq!(all.latest().len(), limits::UNMET);
        // One has made place for the last of those who have one each.
        assert!(honest(&all) >= limits::UNMET / 2 - 1, "{}", honest(&all));
        let own = |unmet: &&Unmet| bits(&unmet.asked) == 1 && unmet.asked.is_proven;
        let own = all.latest().filter(own).count();
        assert!(own <= limits::UNMET_OF_SOURCE, "{own}");
    }

    /// One home has 256 networks of IPv6, and one /24 as many addresses.
    #[test]
    fn a_home_with_many_addresses_pushes_few_others_out() {
        let of_v6 = |n: u32| format!("[2001:db8:0:{:x}::1]:7", n % 256).parse().unwrap();
        let of_v4 = |n: u32| SocketAddr::from(([203, 0, 113, n as u8], 7));
        let of_48 = |n: u32| format!("[2001:db8:0:{:x}::1]:7", n % 65_536).parse().unwrap();
        let homes: [(&dyn Fn(u32) -> SocketAddr, usize); 3] =
            [(&of_v6, 2), (&of_v4, 4), (&of_48, 4)];
        for (home, times) in homes {
            let mut all = AllUnmet::default();
            let flood = |all: &mut AllUnmet, begin: u32| {
                for n in begin..begin + 1000 {
                    note(all, Asked { client: home(n), ..asked(1, n, true) });
                }
            };
            flood(&mut all, 0);
            let own = all.latest().len();
            assert!(own <= times * limits::UNMET_OF_SOURCE, "{own}");
            for client in 0..23 {
                note(&mut all, asked(apart(client), 1, true));
                flood(&mut all, 1000 * client);
            }
            assert_eq!(honest(&all), 23, "{}", home(0));
        }
    }

    /// Anybody can send a datagram in the name of an address.
    #[test]
    fn forged_datagrams_remove_nothing_that_is_proven() {
        let mut all = AllUnmet::default();
        let own = limits::UNMET_OF_SOURCE as u32;
        (0..own).for_each(|host| note(&mut all, asked(1, host, true)));
        (0..1000).for_each(|host| note(&mut all, asked(1, 1000 + host, false)));
        (0..1000).for_each(|client| note(&mut all, asked(apart(client), 1, false)));
        let proven = all.latest().filter(|unmet| unmet.asked.is_proven).count();
        assert_eq!(proven, limits::UNMET_OF_SOURCE);
        // Who proves it later has his place among the others.
        note(&mut all, asked(apart(999), 1, true));
        let first = all.latest().next().unwrap();
        assert!(first.asked.is_proven && first.times == 2);
    }

    fn bits(asked: &Asked) -> u32 {
        let std::net::IpAddr::V4(v4) = asked.client.ip() else { return 0 };
        v4.to_bits()
    }

    #[test]
    fn one_takes_no_more_than_is_counted_for_it() {
        let long = "\u{1f600}".repeat(1000);
        let mut all = AllUnmet::default();
        let one = Asked { names: Names::new(&long, &long), ..asked(1, 2, true) };
        all.note(7, [Kind::Unknown; 2], one, format_args!("{long}"));
        let why = &all.latest().next().unwrap().why;
        assert!((limits::UNMET_SENTENCE - 4..=limits::UNMET_SENTENCE).contains(&why.len()));
        // The names were counted with introductions.
        let bytes = size_of::<Unmet>() + why.len() + 2 * 4 * 63 + 3;
        assert!(bytes <= limits::UNMET_BYTES, "{bytes}");
    }
}
