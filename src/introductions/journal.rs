//! How introductions ended: a line of the log for each, the latest of them, and a table by what the two
//! sides are behind.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use log::log;

use crate::clock::Now;
use crate::dialect::Name;
use crate::introductions::relay::Refused;
use crate::limits;
use crate::lines::Lines;
use crate::nats::{Kind, Nats};

/// A client and a host that were told of each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The dialect that they speak.
    pub dialect: Name,
    /// Where the client is.
    pub client: SocketAddr,
    /// Where the host is.
    pub host: SocketAddr,
    /// What the host says it is, made short; may be empty.
    pub game: Box<str>,
    /// Whether the client, or who tells how it ended, has proven its address: anybody can send
    /// datagrams in the name of another.
    pub is_proven: bool,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
            Self::No(_) => "none",
        }
    }
}

/// What the relay did for those who did not get through otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// When, in seconds since 1970.
    pub unix: u64,
    /// Who was told of whom.
    pub attempt: Attempt,
    /// What host and client are behind.
    pub kinds: [Kind; 2],
    /// How it ended.
    pub way: Way,
}

/// How it ended and why, in a sentence.
impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Line { attempt: &self.attempt, way: self.way, kinds: self.kinds }.fmt(f)
    }
}

/// The introductions that have ended.
#[derive(Debug, Default)]
pub struct Journal {
    counts: BTreeMap<(Name, [Kind; 2]), Counts>,
    /// All of the counts together.
    total: Counts,
    /// The latest, the last one at the end.
    latest: VecDeque<Ended>,
    /// The latest that came to nothing. They are put into words when somebody asks.
    failures: VecDeque<Ended>,
    lines: Lines,
}

/// How many introductions ended in which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// They sent to each other.
    pub direct: u64,
    /// The relay has passed packets on both ways.
    pub relayed: u64,
    /// Nothing came through.
    pub failed: u64,
}

impl Counts {
    fn count(&mut self, way: Way) {
        *match way {
            Way::Direct(_) => &mut self.direct,
            Way::Relayed(_) => &mut self.relayed,
            Way::No(_) => &mut self.failed,
        } += 1;
    }

    /// Those of both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            direct: self.direct + other.direct,
            relayed: self.relayed + other.relayed,
            failed: self.failed + other.failed,
        }
    }

    /// Each with what programs call it.
    #[must_use]
    pub const fn by_way(self) -> [(&'static str, u64); 3] {
        [("direct", self.direct), ("relayed", self.relayed), ("failed", self.failed)]
    }

    /// How many have got through, one way or the other.
    #[must_use]
    pub const fn through(&self) -> u64 {
        self.direct + self.relayed
    }
}

impl Journal {
    /// An introduction has ended.
    pub fn note(&mut self, now: Now, nats: &Nats, attempt: &Attempt, way: Way) {
        let kinds = [attempt.host, attempt.client].map(|at| nats.kind(now.instant, at));
        let mut pair = kinds;
        pair.sort_unstable();
        self.counts.entry((attempt.dialect, pair)).or_default().count(way);
        self.total.count(way);
        let ended = Ended { unix: now.unix, attempt: attempt.clone(), kinds, way };
        if let Way::No(_) = way {
            if self.failures.len() >= limits::FAILURES {
                self.failures.pop_front();
            }
            self.failures.push_back(ended.clone());
        }
        if self.latest.len() >= limits::INTRODUCTIONS {
            self.latest.pop_front();
        }
        self.latest.push_back(ended);
        let line = Line { attempt, way, kinds };
        if let Some(level) = self.lines.level(now, attempt.client.ip(), attempt.is_proven) {
            let Attempt { dialect, client, host, game, .. } = attempt;
            log!(
                level, dialect:% = dialect, client:% = client, host:% = host, game:% = game,
                way = way.name(); "{line}"
            );
        }
    }

    /// How all of them ended.
    #[must_use]
    pub const fn total(&self) -> Counts {
        self.total
    }

    /// The latest of them, the last one first.
    pub fn latest(&self) -> impl ExactSizeIterator<Item = &Ended> {
        self.latest.iter().rev()
    }

    /// How those ended that had the same dialect and the same two kinds of NATs.
    pub fn matrix(&self) -> impl Iterator<Item = (Name, [Kind; 2], Counts)> {
        self.counts.iter().map(|((dialect, pair), counts)| (*dialect, *pair, *counts))
    }

    /// For the owner: a table with a line for each pair of NATs that there was, and the latest
    /// introductions that came to nothing.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        if self.counts.is_empty() {
            return vec!["no introduction has ended yet, as far as is known".into()];
        }
        let head = format!(
            "{:8}  {:20}  {:20}  {:>8}  {:>8}  {:>6}",
            "dialect", "one side", "other side", "directly", "relayed", "failed"
        );
        let rows = self.counts.iter().map(|((dialect, [one, other]), counts)| {
            let Counts { direct, relayed, failed } = counts;
            let dialect = dialect.to_string();
            format!("{dialect:8}  {one:20}  {other:20}  {direct:8}  {relayed:8}  {failed:6}")
        });
        let failures = self.failures.iter().map(|failure| format!("lately: {failure}"));
        [head].into_iter().chain(rows).chain(failures).collect()
    }
}

/// How an introduction ended, in a sentence.
struct Line<'a> {
    attempt: &'a Attempt,
    way: Way,
    /// What host and client are behind.
    kinds: [Kind; 2],
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Attempt { client, host, game, .. } = self.attempt;
        let [client, host] = [client, host].map(|at| Shown(*at));
        let whom = match &**game {
            "" => format!("host {host}"),
            game => format!("host {host} ({game})"),
        };
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
                match relay {
                    Relay::InVain => f.write_str(RELAYED_IN_VAIN),
                    Relay::GaveWay => f.write_str(GAVE_WAY),
                    Relay::Untried => f.write_str(&reason(self.kinds, "; a relay would help")),
                    Relay::Refused(why) => {
                        let reason = reason(self.kinds, "");
                        write!(f, "{reason}; the relay would help, but {why}")
                    }
                }
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

const RELAYED_IN_VAIN: &str = "one of them has sent nothing to the relay, so UDP is blocked there, \
                               a firewall here blocks the ports of the relay, or the game has ended";

const GAVE_WAY: &str =
    "they were relayed, but others needed that, and one of them has it more often";

/// What is in the way of host and client, as far as that is known, and what helps if that is what a relay
/// helps against.
fn reason([host, client]: [Kind; 2], help: &str) -> String {
    let is_unknown = host == Kind::Unknown || client == Kind::Unknown;
    match (host.is_symmetric(), client.is_symmetric()) {
        (true, true) => format!("both routers give each player another port{help}"),
        (true, false) => format!(
            "the host's router gives each player another port, the client's lets in only who was \
             knocked at{help}"
        ),
        (false, true) => format!(
            "the client's router gives each player another port, the host's lets in only who was \
             knocked at{help}"
        ),
        (false, false) if is_unknown => format!(
            "a router gives each player another port, or UDP is blocked; punch nat, started there, \
             tells which{help}"
        ),
        (false, false) => "UDP is blocked on one side, or the game has ended".into(),
    }
}
