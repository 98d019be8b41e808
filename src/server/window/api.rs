//! What programs are told, in JSON: PROTOCOL.md has it with examples.

use std::net::IpAddr;
use std::ops::ControlFlow;

use serde::Serialize;

use super::samples::{EVERY, Sample};
use super::{Server, View, uptime};
use crate::clock::{Instant, Now};
use crate::dialect::{Bound, Census, Dialect as _, Name, Shown};
use crate::http::Request;
use crate::introductions::journal::{Counts, Ended, Relay, Way};
use crate::limits;
use crate::net::certificate::End;
use crate::refusals::{Count, Reason};

/// Games that are told with how many hosts each has, those with most.
const GAMES: usize = 50;

/// Games that are looked at for that.
const GAMES_LOOKED_AT: usize = 4096;

/// How it goes.
#[derive(Debug, Serialize)]
pub(super) struct Status<'a> {
    name: &'static str,
    version: &'static str,
    build: &'static str,
    time: u64,
    uptime: u64,
    hosts: usize,
    clients: usize,
    connections: usize,
    memory: Option<u64>,
    cpu: Option<f64>,
    introductions: Introduced,
    relay: Option<Relayed>,
    tls: Option<Tls>,
    dialects: Vec<Spoken>,
    limits: Vec<Limit>,
    options: Vec<Setting<'a>>,
    curves: Curves,
}

/// How introductions end.
#[derive(Debug, Serialize)]
struct Introduced {
    per_minute: f64,
    share_through: Option<f64>,
    direct: u64,
    relayed: u64,
    failed: u64,
}

/// The relay.
#[derive(Debug, Serialize)]
struct Relayed {
    sessions: usize,
    bytes_per_second: u64,
    bytes: u64,
}

/// The certificate.
#[derive(Debug, Serialize)]
struct Tls {
    certificate_end: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Spoken {
    name: String,
    speaks: bool,
    hosts: usize,
    clients: usize,
}

#[derive(Debug, Serialize)]
struct Limit {
    what: &'static str,
    used: usize,
    most: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    option: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct Setting<'a> {
    option: &'a str,
    value: &'a str,
}

/// The last hour, the oldest first.
#[derive(Debug, Serialize)]
struct Curves {
    every: u64,
    until: u64,
    hosts: Vec<usize>,
    clients: Vec<usize>,
    connections: Vec<usize>,
    introductions: Vec<u64>,
    share_through: Vec<Option<f64>>,
    relayed: Vec<usize>,
    relayed_bytes_per_second: Vec<u64>,
    memory: Vec<Option<u64>>,
    cpu: Vec<Option<f64>>,
}

impl View {
    pub(super) fn status(&self, now: Now, server: &Server) -> Status<'_> {
        let Census { hosts, clients } = server.census();
        let usage = self.noted.map(|(_, usage)| usage);
        let relay = &server.shared.relay;
        let relayed = |relayed: f64| Relayed {
            sessions: relay.len(),
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bytes")]
            bytes_per_second: relayed as u64,
            bytes: relay.passed(),
        };
        let options = self.config.options.iter().map(|(option, value)| Setting { option, value });
        Status {
            name: "punchd",
            version: env!("CARGO_PKG_VERSION"),
            build: self.config.build,
            time: now.unix,
            uptime: uptime(now).as_secs(),
            hosts,
            clients,
            connections: server.places.len(),
            memory: usage.and_then(|usage| usage.memory),
            cpu: self.cpu.map(|cpu| rounded(cpu, 1e4)),
            introductions: self.introduced(server),
            relay: relay.is_there().then(|| relayed(self.relayed)),
            tls: self.config.tls.as_ref().map(|tls| Tls {
                certificate_end: tls.certificate().and_then(|it| End::of(&it)).map(|end| end.unix),
            }),
            dialects: spoken(server),
            limits: all_limits(server),
            options: options.collect(),
            curves: self.curves(),
        }
    }

    /// Those of the last hour, and all since the start.
    fn introduced(&self, server: &Server) -> Introduced {
        let Counts { direct, relayed, failed } = server.shared.journal.total();
        let (first, last) = (self.samples.first(), self.samples.last());
        let through = direct + relayed - first.through;
        let minute = self.samples.between(ended).last().copied().unwrap_or_default();
        let now = direct + relayed + failed - last.through - last.failed;
        #[expect(clippy::cast_precision_loss, reason = "few")]
        let per_minute = minute.max(now) as f64;
        let share_through = share(through, failed - first.failed);
        Introduced { per_minute, share_through, direct, relayed, failed }
    }

    fn curves(&self) -> Curves {
        let samples = &self.samples;
        let seconds = EVERY.as_secs();
        let cpu = |before: &Sample, after: &Sample| {
            let used = after.cpu?.saturating_sub(before.cpu?);
            Some(rounded(used.as_secs_f64() / EVERY.as_secs_f64(), 1e4))
        };
        Curves {
            every: seconds,
            until: samples.unix(),
            hosts: samples.each(|sample| sample.hosts),
            clients: samples.each(|sample| sample.clients),
            connections: samples.each(|sample| sample.connections),
            introductions: samples.between(ended),
            share_through: samples.between(|before, after| {
                share(after.through - before.through, after.failed - before.failed)
            }),
            relayed: samples.each(|sample| sample.relayed),
            relayed_bytes_per_second: samples
                .between(|before, after| (after.passed - before.passed) / seconds),
            memory: samples.each(|sample| sample.memory),
            cpu: samples.between(cpu),
        }
    }
}

/// How many introductions ended between two samples.
fn ended(before: &Sample, after: &Sample) -> u64 {
    after.through + after.failed - before.through - before.failed
}

/// Of all that is left, which part got through.
#[expect(clippy::cast_precision_loss, reason = "for people")]
fn share(through: u64, failed: u64) -> Option<f64> {
    let all = through + failed;
    (all > 0).then(|| rounded(through as f64 / all as f64, 1e4))
}

fn rounded(number: f64, to: f64) -> f64 {
    (number * to).round() / to
}

fn spoken(server: &Server) -> Vec<Spoken> {
    let all = Name::ALL.into_iter().filter_map(|name| Some((name, server.dialects.get(name)?)));
    let told = all.map(|(name, dialect)| {
        let Census { hosts, clients } = dialect.census();
        Spoken { name: name.to_string(), speaks: dialect.speaks(), hosts, clients }
    });
    told.collect()
}

fn all_limits(server: &Server) -> Vec<Limit> {
    let mut all = vec![
        Limit {
            what: "connections",
            used: server.places.len(),
            most: server.limits.connections,
            option: Some("--max-connections"),
        },
        Limit {
            what: "addresses whose NATs are known",
            used: server.shared.nats.len(),
            most: limits::NATS,
            option: None,
        },
    ];
    if server.shared.relay.is_there() {
        let (used, most) = (server.shared.relay.len(), limits::relay::SESSIONS);
        all.push(Limit { what: "relayed pairs", used, most, option: None });
    }
    for dialect in server.dialects.all() {
        dialect.bounds(&mut |Bound { what, used, most, option }| {
            all.push(Limit { what, used, most, option });
        });
    }
    all
}

/// A page of hosts.
#[derive(Debug, Serialize)]
pub(super) struct Hosts {
    total: usize,
    games: Vec<Game>,
    hosts: Vec<Host>,
    next: Option<usize>,
}

#[derive(Debug, Serialize, PartialEq, Eq, PartialOrd, Ord)]
struct Game {
    hosts: usize,
    dialect: String,
    game: String,
}

#[derive(Debug, Serialize)]
struct Host {
    dialect: String,
    game: String,
    name: String,
    address: String,
    port_known: bool,
    age: Option<u64>,
    players: Option<usize>,
    max_players: Option<usize>,
    last_sign: Option<u64>,
    private: bool,
}

/// The hosts from one on, and the games that have most.
pub(super) fn hosts(now: Now, server: &Server, request: &Request<'_>) -> Hosts {
    let from = request.asked_number("from").unwrap_or(0);
    let most = request.asked_number("limit").unwrap_or(limits::HTTP_ROWS).min(limits::HTTP_ROWS);
    let only = request.asked("dialect");
    let is_wanted = |name: Name| only.as_ref().is_none_or(|only| *only == name.to_string());
    let (mut total, mut rows, mut games) = (0, Vec::new(), Vec::new());
    for name in Name::ALL.into_iter().filter(|name| is_wanted(*name)) {
        let Some(dialect) = server.dialects.get(name) else { continue };
        let before = total;
        total += dialect.census().hosts;
        note_games(name, dialect, &mut games);
        if from < total && rows.len() < most {
            dialect.hosts(from.saturating_sub(before), &mut |shown| {
                rows.push(host(now, server, name, &shown));
                if rows.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            });
        }
    }
    games.sort_unstable_by(|a: &Game, b| b.hosts.cmp(&a.hosts).then_with(|| a.game.cmp(&b.game)));
    let next = from + rows.len();
    let next = (next < total && !rows.is_empty()).then_some(next);
    Hosts { total, games, hosts: rows, next }
}

/// Keeps those games that have most hosts.
fn note_games(name: Name, dialect: &impl crate::dialect::Dialect, all: &mut Vec<Game>) {
    let (mut looked_at, mut least) = (0, 0);
    dialect.games(&mut |game, hosts| {
        looked_at += 1;
        if looked_at > GAMES_LOOKED_AT || hosts <= least && all.len() >= GAMES {
            return;
        }
        all.push(Game { hosts, dialect: name.to_string(), game: game.to_owned() });
        if all.len() >= 2 * GAMES {
            all.sort_unstable_by(|a, b| b.cmp(a));
            all.truncate(GAMES);
            least = all.last().map_or(0, |game| game.hosts);
        }
    });
    all.sort_unstable_by(|a, b| b.cmp(a));
    all.truncate(GAMES);
}

fn host(now: Now, server: &Server, name: Name, shown: &Shown<'_>) -> Host {
    let opened = shown.conn.and_then(|conn| server.places.get(conn)).map(|conn| conn.opened);
    let ago = |at: Instant| (now.instant - at).as_secs();
    let port_known = shown.at.port() != 0;
    let address = if port_known { shown.at.to_string() } else { shown.at.ip().to_string() };
    Host {
        dialect: name.to_string(),
        game: shown.game.to_owned(),
        name: shown.name.clone().into_owned(),
        address,
        port_known,
        age: opened.or(shown.since).map(ago),
        players: shown.players,
        max_players: shown.places,
        last_sign: shown.heard.map(ago),
        private: shown.is_private,
    }
}

/// How introductions ended.
#[derive(Debug, Serialize)]
pub(super) struct Introductions {
    kept: usize,
    introductions: Vec<Introduction>,
    matrix: Vec<Pair>,
}

#[derive(Debug, Serialize)]
struct Introduction {
    time: u64,
    dialect: String,
    game: String,
    client: Side,
    host: Side,
    way: &'static str,
    seconds: Option<f64>,
    told: &'static str,
    why: String,
}

#[derive(Debug, Serialize)]
struct Side {
    address: String,
    nat: String,
}

#[derive(Debug, Serialize)]
struct Pair {
    dialect: String,
    one: String,
    other: String,
    direct: u64,
    relayed: u64,
    failed: u64,
}

/// The latest that have ended, the last one first; of a game, or of an address, if that is asked for.
pub(super) fn introductions(server: &Server, request: &Request<'_>) -> Introductions {
    let most = request.asked_number("limit").unwrap_or(limits::HTTP_ROWS).min(limits::HTTP_ROWS);
    let game = request.asked("game").filter(|game| !game.is_empty());
    let address = request.asked("address").filter(|address| !address.is_empty());
    let is_wanted = |ended: &&Ended| {
        let attempt = &ended.attempt;
        let is_at = |wanted: &str| {
            let sides = [attempt.client, attempt.host];
            match wanted.parse::<IpAddr>() {
                Ok(ip) => sides.iter().any(|at| at.ip() == ip),
                Err(_) => sides.iter().any(|at| at.to_string().contains(wanted)),
            }
        };
        game.as_ref().is_none_or(|game| attempt.game.contains(&**game))
            && address.as_ref().is_none_or(|address| is_at(address))
    };
    let journal = &server.shared.journal;
    let rows = journal.latest().filter(is_wanted).take(most).map(introduction);
    let matrix = journal.matrix().map(|(dialect, [one, other], counts)| {
        let Counts { direct, relayed, failed } = counts;
        let (one, other) = (one.to_string(), other.to_string());
        Pair { dialect: dialect.to_string(), one, other, direct, relayed, failed }
    });
    Introductions {
        kept: journal.latest().len(),
        introductions: rows.collect(),
        matrix: matrix.collect(),
    }
}

fn introduction(ended: &Ended) -> Introduction {
    use crate::introductions::journal::Shown;
    let Ended { unix, attempt, kinds: [host, client], way } = ended;
    let side =
        |at, nat: &crate::nats::Kind| Side { address: Shown(at).to_string(), nat: nat.to_string() };
    let (told_way, took) = match way {
        Way::Direct(took) => ("direct", *took),
        Way::Relayed(took) => ("relayed", Some(*took)),
        Way::No(_) => ("failed", None),
    };
    let is_relayed = matches!(way, Way::Relayed(_) | Way::No(Relay::InVain | Relay::GaveWay));
    Introduction {
        time: *unix,
        dialect: attempt.dialect.to_string(),
        game: attempt.game.to_string(),
        client: side(attempt.client, client),
        host: side(attempt.host, host),
        way: told_way,
        seconds: took.map(|took| rounded(took.as_secs_f64(), 10.0)),
        told: if is_relayed { "the relay" } else { "each other" },
        why: ended.to_string(),
    }
}

/// What was refused.
#[derive(Debug, Serialize)]
pub(super) struct Refusals {
    refusals: Vec<Refusal>,
}

/// What was refused for one reason.
#[derive(Debug, Serialize)]
struct Refusal {
    reason: &'static str,
    words: &'static str,
    option: Option<&'static str>,
    times: u64,
    latest: u64,
    dialects: Vec<OfDialect>,
    worst: Vec<Whom>,
}

#[derive(Debug, Serialize)]
struct OfDialect {
    dialect: String,
    times: u64,
}

#[derive(Debug, Serialize)]
struct Whom {
    address: String,
    times: u64,
    latest: u64,
}

/// What was refused since the start, and to whom most of all.
pub(super) fn refusals(server: &Server) -> Refusals {
    /// Addresses for each reason.
    const WORST: usize = 10;
    let all = &server.shared.refusals;
    let of_dialects = |reason| {
        let of = Name::ALL.into_iter().map(|name| (name, all.count(reason, Some(name)).times));
        let of = of.filter(|(_, times)| *times > 0);
        of.map(|(name, times)| OfDialect { dialect: name.to_string(), times }).collect()
    };
    let worst = |reason| {
        let worst = all.worst(reason).into_iter().take(WORST);
        worst
            .map(|(whom, Count { times, latest })| Whom {
                address: whom.to_string(),
                times,
                latest,
            })
            .collect()
    };
    let told = Reason::ALL.into_iter().filter_map(|reason| {
        let Count { times, latest } = all.total(reason);
        (times > 0).then(|| Refusal {
            reason: reason.name(),
            words: reason.words(),
            option: reason.option(),
            times,
            latest,
            dialects: of_dialects(reason),
            worst: worst(reason),
        })
    });
    Refusals { refusals: told.collect() }
}
