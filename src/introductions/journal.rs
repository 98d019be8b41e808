//! How introductions ended: a line of the log for each, the latest of them, and a table by what the two
//! sides are behind.

use std::collections::VecDeque;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use log::{Level, log};
use serde::{Deserialize, Serialize};

use crate::clock::Now;
use crate::dialect::Name;
pub use crate::introductions::attempt::{Attempt, Connected, EndpointsTold, Names};
use crate::introductions::cause;
pub use crate::introductions::counts::Counts;
use crate::introductions::counts::Tally;
use crate::introductions::relay::Refused;
use crate::introductions::unmet::{AllUnmet, Asked, Cause, Unmet};
use crate::limits;
use crate::lines::Lines;
use crate::nats::{Kind, Nats};
use crate::prefixes::{Shares, as_home, common, weight};

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Way {
    /// They sent to each other; so long after they were told, where that is known.
    Direct(Option<Duration>),
    /// The relay has passed packets on both ways.
    Relayed(Duration),
    /// Nothing came through, nor by the relay.
    No(Relay),
}

impl Way {
    /// What programs call it.
    const fn name(self) -> &'static str {
        match self {
            Self::Direct(_) => "direct",
            Self::Relayed(_) => "relayed",
            Self::No(_) => "failed",
        }
    }
}

/// What the relay did for those who did not get through otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Relay {
    /// It was not asked for, or there is none for them.
    Untried,
    /// It had no place for them.
    Refused(Refused),
    /// They were told of it.
    InVain,
    /// They were told of it, and others needed it before they came through.
    GaveWay,
}

/// An introduction that has ended, as it is told to the owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// When, in seconds since 1970.
    pub unix: u64,
    /// Who was told of whom.
    pub attempt: Attempt,
    /// What host and client are behind.
    pub kinds: [Kind; 2],
    /// How it ended.
    pub way: Way,
    /// Seconds for which nothing had come from the host, if that was long.
    #[serde(default, skip_serializing_if = "crate::state::is_default")]
    pub silent: u64,
    /// It counts: few of one source do, and of the same two one in a minute.
    #[serde(default, skip_serializing_if = "crate::state::is_default")]
    pub is_counted: bool,
}

impl Ended {
    /// The [home](as_home) of the client.
    fn home(&self) -> IpAddr {
        let [client, _] = self.attempt.sources();
        as_home(client)
    }
}

/// The introductions that have ended.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Journal {
    counts: Tally,
    /// The latest, the last one at the end.
    latest: VecDeque<Ended>,
    /// How many of them the clients of each [home](as_home) have.
    #[serde(skip)]
    held: Shares,
    /// The latest that came to nothing. They are put into words when somebody asks.
    failures: VecDeque<Ended>,
    /// Who was not introduced at all.
    #[serde(default, skip_serializing_if = "AllUnmet::is_empty")]
    unmet: AllUnmet,
    lines: Lines,
}

impl Journal {
    /// Goes on with what has ended in another process.
    pub(crate) fn restore(&mut self, saved: Self) {
        self.lines.restore(saved.lines);
        self.counts.restore(saved.counts);
        (self.latest, self.failures, self.unmet) = (saved.latest, saved.failures, saved.unmet);
        self.held = Shares::default();
        let clients = self.latest.iter().map(Ended::home);
        clients.for_each(|client| _ = self.held.add(client, 1));
    }

    /// An introduction has ended.
    pub fn note(&mut self, now: Now, nats: &Nats, attempt: Attempt, way: Way) {
        self.note_silent(now, nats, attempt, way, Duration::ZERO);
    }

    /// The same of one whose host has been silent for so long that it must be gone; zero if it was not.
    pub fn note_silent(
        &mut self,
        now: Now,
        nats: &Nats,
        attempt: Attempt,
        way: Way,
        silent: Duration,
    ) {
        let kinds = [attempt.host, attempt.client].map(|at| nats.kind(now.instant, at));
        let silent = silent.as_secs();
        let mut ended = Ended { unix: now.unix, attempt, kinds, way, silent, is_counted: false };
        self.log_end(now, &ended);
        // Anybody can have sent the requests of a client that has not shown that it hears what it is told.
        if !ended.attempt.is_proven {
            return;
        }
        ended.is_counted = self.counts.note(now.instant, &ended.attempt, kinds, way);
        if let Way::No(_) = way {
            if self.failures.len() >= limits::FAILURES {
                self.failures.pop_front();
            }
            self.failures.push_back(ended.clone());
        }
        self.make_place(ended.home());
        self.held.add(ended.home(), 1);
        self.latest.push_back(ended);
    }

    /// Makes place for one more of a client of this home. When half of it is taken, those of a network that has
    /// many make place for each other; when all is, the oldest one does.
    fn make_place(&mut self, home: IpAddr) {
        let len = self.latest.len();
        let is_near = |ended: &Ended| {
            let [widest, ..] = common(ended.home(), home);
            widest
        };
        let at = if len < limits::INTRODUCTIONS / 2 {
            None
        } else if weight(self.held.of(home)) >= limits::INTRODUCTIONS_OF_SOURCE {
            self.latest.iter().position(is_near)
        } else {
            (len >= limits::INTRODUCTIONS).then_some(0)
        };
        if let Some(gone) = at.and_then(|at| self.latest.remove(at)) {
            self.held.remove(gone.home(), 1);
        }
    }

    /// An introduction that was told as failed has worked: it is no other one, and is told so from now on.
    pub fn note_after_all(&mut self, now: Now, attempt: &Attempt) {
        let is_it = |ended: &Ended| {
            let Attempt { dialect, client, host, .. } = &ended.attempt;
            (dialect, client, host) == (&attempt.dialect, &attempt.client, &attempt.host)
                && matches!(ended.way, Way::No(_))
        };
        let Some(ended) = self.latest.iter_mut().rev().find(|ended| is_it(ended)) else { return };
        if let Some(at) = self.failures.iter().rposition(|failure| failure == ended) {
            self.failures.remove(at);
        }
        ended.way = Way::Direct(None);
        let ended = ended.clone();
        self.counts.correct(now.instant, attempt, ended.kinds, ended.is_counted);
        self.log_end(now, &ended);
    }

    fn log_end(&mut self, now: Now, ended: &Ended) {
        let Attempt { dialect, client, host, names, is_proven, .. } = &ended.attempt;
        let [source, _] = ended.attempt.sources();
        if let Some(level) = self.lines.level(now, source, *is_proven) {
            let [to_client, to_host] = ended.attempt.told();
            log!(
                level, dialect:% = dialect, event = "ended", client:% = client, host:% = host, game = names.game(),
                room = names.room(), client_told:% = to_client, host_told:% = to_host,
                way = ended.way.name(); "{ended}"
            );
        }
    }

    /// Somebody asked for somebody and is not introduced: a line of this level, if there is to be one, and a
    /// place among the latest to whom that happened. It counts as no introduction.
    pub fn not_introduced(
        &mut self,
        now: Now,
        nats: &Nats,
        level: Option<Level>,
        asked: Asked,
        why: fmt::Arguments<'_>,
    ) {
        if let Some(level) = level {
            let Asked { dialect, client, host, names, cause, .. } = &asked;
            let (client, host) = (Shown(*client), Whom(*host));
            log!(
                level, dialect:% = dialect, event = "refused", client:% = client, host:% = host,
                game = names.game(), room = names.room(), reason = cause.name(); "{why}"
            );
        }
        let kind = |at: SocketAddr| nats.kind(now.instant, at);
        let kinds = [asked.host.map_or(Kind::Unknown, kind), kind(asked.client)];
        self.unmet.note(now.unix, kinds, asked, why);
    }

    /// Who was thought not to have been introduced for this reason has met a host at that address all the same.
    pub fn met_all_the_same(&mut self, attempt: &Attempt, cause: Cause) {
        let Attempt { dialect, client, host, .. } = attempt;
        self.unmet.withdraw(|asked| {
            (asked.dialect, asked.cause) == (*dialect, cause)
                && asked.client.ip() == client.ip()
                && asked.host.is_some_and(|it| it.ip() == host.ip())
        });
    }

    /// The latest who were not introduced, the last one first.
    pub fn unmet(&self) -> impl ExactSizeIterator<Item = &Unmet> {
        self.unmet.latest()
    }

    /// How many of those who were not introduced are not among these since the start: they had proven nothing, and
    /// there were too many of them.
    #[must_use]
    pub const fn left_out(&self) -> u64 {
        self.unmet.left_out()
    }

    /// How all of them ended.
    #[must_use]
    pub const fn total(&self) -> Counts {
        self.counts.total()
    }

    /// How all that was noted has ended, those who meet again in a minute included.
    #[must_use]
    pub const fn noted(&self) -> Counts {
        self.counts.noted()
    }

    /// The latest of them, the last one first.
    pub fn latest(&self) -> impl ExactSizeIterator<Item = &Ended> {
        self.latest.iter().rev()
    }

    /// How those ended that had the same dialect and the same two kinds of NATs.
    pub fn matrix(&self) -> impl Iterator<Item = (Name, [Kind; 2], Counts)> {
        self.counts.by_cell().map(|((dialect, pair), counts)| (dialect, pair, counts))
    }

    /// For the owner: a table with a line for each pair of NATs that there was, and the latest
    /// introductions that came to nothing.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        if self.counts.by_cell().next().is_none() {
            return vec!["no introduction has ended yet, as far as is known".into()];
        }
        let head = format!(
            "{:8}  {:20}  {:20}  {:>8}  {:>8}  {:>6}",
            "dialect", "one side", "other side", "directly", "relayed", "failed"
        );
        let rows = self.counts.by_cell().map(|((dialect, [one, other]), counts)| {
            let Counts { direct, relayed, failed, .. } = counts;
            let dialect = dialect.to_string();
            format!("{dialect:8}  {one:20}  {other:20}  {direct:8}  {relayed:8}  {failed:6}")
        });
        let failures = self.failures.iter().map(|failure| format!("lately: {failure}"));
        [head].into_iter().chain(rows).chain(failures).collect()
    }
}

/// How it ended and why, in a sentence.
impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Attempt { client, host, names, connected, .. } = &self.attempt;
        let [to_client, to_host] = connected.elsewhere();
        let [client, host] = [Side(*client, to_client), Side(*host, to_host)];
        let whom = format_args!("host {host}{names}");
        match self.way {
            Way::Direct(None) => write!(f, "{client} got through to {whom} directly"),
            Way::Direct(Some(took)) => {
                write!(
                    f,
                    "{client} got through to {whom} directly after {:.1} s",
                    took.as_secs_f64()
                )
            }
            Way::Relayed(took) => {
                write!(
                    f,
                    "{client} got through to {whom} relayed after {:.1} s",
                    took.as_secs_f64()
                )
            }
            Way::No(relay) => {
                write!(f, "{client} did not get through to {whom}: ")?;
                cause::write(self, relay, f)
            }
        }
    }
}

/// An endpoint, or the address alone of somebody whose port is not known.
#[derive(Clone, Copy, Debug)]
pub struct Shown(pub SocketAddr);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(at) = self;
        if at.port() == 0 { at.ip().fmt(f) } else { at.fmt(f) }
    }
}

/// The same, and from where it is connected if that is another address.
struct Side(SocketAddr, Option<IpAddr>);

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(at, connected) = self;
        Shown(*at).fmt(f)?;
        connected.map_or(Ok(()), |from| write!(f, " (connected from {from})"))
    }
}

/// The same of somebody of whom nothing may be known.
struct Whom(Option<SocketAddr>);

impl fmt::Display for Whom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |at| Shown(at).fmt(f))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::prefixes::network;

    #[test]
    fn an_introduction_takes_no_more_than_is_counted_for_it() {
        let long = "\u{1f600}".repeat(100);
        let names = Names::new(&long, &long);
        let (text, _) = names.packed();
        let bytes = size_of::<Ended>() + text.len().next_power_of_two();
        println!("{bytes} bytes");
        assert!(bytes <= limits::INTRODUCTION_BYTES, "{bytes}");
    }

    #[test]
    fn who_joins_all_the_time_pushes_nobody_out() {
        let now = Now { instant: crate::clock::Instant::default(), unix: 7 };
        let (mut journal, nats) = (Journal::default(), Nats::default());
        let end = |journal: &mut Journal, client: IpAddr| {
            let [client, host] =
                [SocketAddr::new(client, 1), SocketAddr::from(([203, 0, 113, 1], 2))];
            let attempt = Attempt::new(Name::Rooms, [client, host], Names::default());
            journal.note(now, &nats, attempt, Way::Direct(None));
        };
        (0..100).for_each(|n| end(&mut journal, IpAddr::from([198, 51, n, 7])));
        (0..1000).for_each(|_| end(&mut journal, IpAddr::from([203, 0, 113, 7])));
        (0..1000).for_each(|n: u32| end(&mut journal, IpAddr::from([192, 0, 2, n as u8])));
        (0..1000).for_each(|n| end(&mut journal, IpAddr::from([0x2001, 0xdb8, 0, n, 0, 0, 0, 1])));
        let (mut kept, mut others) = (0, 0);
        for ended in journal.latest() {
            kept += 1;
            let IpAddr::V4(client) = ended.attempt.client.ip() else { continue };
            others += usize::from(client.octets()[0] == 198);
        }
        // One address had some before half was taken; a /24 and a /48 have four times sixteen.
        assert!(kept <= limits::INTRODUCTIONS, "{kept}");
        assert_eq!(others, 100, "nobody is pushed out by those of three networks");
        let clients = journal.latest().map(|ended| network(ended.attempt.client.ip()));
        assert_eq!(journal.held.len(), clients.collect::<BTreeSet<_>>().len());
        // When all is taken, the oldest gives way.
        (0..1000)
            .for_each(|n: u32| end(&mut journal, IpAddr::from([10, (n >> 8) as u8, n as u8, 1])));
        assert_eq!(journal.latest().len(), limits::INTRODUCTIONS);
    }
}
