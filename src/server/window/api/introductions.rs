//! How introductions ended, and why.

use std::net::{IpAddr, SocketAddr};

use serde::Serialize;

use super::rounded;
use crate::http::Request;
use crate::introductions::journal::{Attempt, Counts, Ended, Names, Relay, Shown, Way};
use crate::introductions::unmet::{Asked, Unmet};
use crate::limits;
use crate::nats::Kind;
use crate::server::Server;

/// How introductions ended.
#[derive(Debug, Serialize)]
pub(in crate::server::window) struct Introductions {
    kept: usize,
    left_out: u64,
    introductions: Vec<Introduction>,
    matrix: Vec<Pair>,
}

#[derive(Debug, Serialize)]
struct Introduction {
    time: u64,
    dialect: String,
    game: String,
    room: String,
    client: Side,
    host: Side,
    way: &'static str,
    seconds: Option<f64>,
    told: &'static str,
    why: String,
    /// Of who was not introduced, what programs call it.
    reason: Option<&'static str>,
    times: u64,
}

#[derive(Debug, Serialize)]
struct Side {
    /// Empty where it is not known.
    address: String,
    nat: String,
    /// Where this side was told that the other one is; empty if it was not.
    told: String,
    /// From where it is connected; empty where that is the same address, or where there is no connection.
    connected: String,
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

/// Somebody who was introduced, or was not.
#[derive(Clone, Copy)]
enum Either<'a> {
    Ended(&'a Ended),
    Unmet(&'a Unmet),
}

impl<'a> Either<'a> {
    const fn unix(self) -> u64 {
        match self {
            Self::Ended(ended) => ended.unix,
            Self::Unmet(unmet) => unmet.unix,
        }
    }

    fn names(self) -> &'a Names {
        match self {
            Self::Ended(ended) => &ended.attempt.names,
            Self::Unmet(unmet) => &unmet.asked.names,
        }
    }

    /// Whether one of the two sides is at this address, or at one that has this text in it.
    fn is_at(self, wanted: &str) -> bool {
        let sides = match self {
            Self::Ended(Ended { attempt, .. }) => [Some(attempt.client), Some(attempt.host)],
            Self::Unmet(Unmet { asked, .. }) => [Some(asked.client), asked.host],
        };
        let mut sides = sides.iter().flatten();
        let connected = match self {
            Self::Ended(Ended { attempt, .. }) => attempt.connected.elsewhere(),
            Self::Unmet(_) => [None; 2],
        };
        let mut connected = connected.iter().flatten();
        match wanted.parse::<IpAddr>().map(|ip| ip.to_canonical()) {
            Ok(ip) => sides.any(|at| at.ip() == ip) || connected.any(|from| *from == ip),
            Err(_) => {
                sides.any(|at| Shown(*at).to_string().contains(wanted))
                    || connected.any(|from| from.to_string().contains(wanted))
            }
        }
    }

    fn row(self) -> Introduction {
        match self {
            Self::Ended(ended) => introduction(ended),
            Self::Unmet(unmet) => not_introduced(unmet),
        }
    }
}

/// The latest that have ended, and those who were not introduced, the last one first; of a game, or of an
/// address, if that is asked for.
pub(in crate::server::window) fn introductions(
    server: &Server,
    request: &Request<'_>,
) -> Introductions {
    let most = request.asked_number("limit").unwrap_or(limits::HTTP_ROWS).min(limits::HTTP_ROWS);
    let game = request.asked("game").map(|game| game.to_lowercase());
    let game = game.filter(|game| !game.is_empty());
    let address = request.asked("address").filter(|address| !address.is_empty());
    let is_named = |either: Either<'_>, wanted: &str| {
        let names = either.names();
        [names.game(), names.room()].iter().any(|name| name.to_lowercase().contains(wanted))
    };
    let journal = &server.shared.journal;
    let (ended, unmet) = (journal.latest(), journal.unmet());
    let kept = ended.len() + unmet.len();
    let all = ended.map(Either::Ended).chain(unmet.map(Either::Unmet));
    let wanted = all.filter(|either| {
        game.as_ref().is_none_or(|game| is_named(*either, game))
            && address.as_ref().is_none_or(|address| either.is_at(address))
    });
    let mut wanted: Vec<Either<'_>> = wanted.collect();
    wanted.sort_by_key(|either| std::cmp::Reverse(either.unix()));
    let rows = wanted.into_iter().take(most).map(Either::row);
    let matrix = journal.matrix().map(|(dialect, [one, other], counts)| {
        let Counts { direct, relayed, failed, .. } = counts;
        let (one, other) = (one.to_string(), other.to_string());
        Pair { dialect: dialect.to_string(), one, other, direct, relayed, failed }
    });
    let left_out = journal.left_out();
    Introductions { kept, left_out, introductions: rows.collect(), matrix: matrix.collect() }
}

fn side(at: Option<SocketAddr>, nat: Kind, told: Option<SocketAddr>) -> Side {
    let shown = |at: Option<SocketAddr>| at.map(|at| Shown(at).to_string()).unwrap_or_default();
    Side { address: shown(at), nat: nat.to_string(), told: shown(told), connected: String::new() }
}

fn introduction(ended: &Ended) -> Introduction {
    let Ended { unix, attempt, kinds: [host, client], way, .. } = ended;
    let Attempt { dialect, names, client: client_at, host: host_at, .. } = attempt;
    let [to_client, to_host] = attempt.told();
    let (told_way, took) = match way {
        Way::Direct(took) => ("direct", *took),
        Way::Relayed(took) => ("relayed", Some(*took)),
        Way::No(_) => ("failed", None),
    };
    let [client_from, host_from] =
        attempt.connected.elsewhere().map(|from| from.map(|ip| ip.to_string()).unwrap_or_default());
    let is_relayed = matches!(way, Way::Relayed(_) | Way::No(Relay::InVain | Relay::GaveWay));
    Introduction {
        time: *unix,
        dialect: dialect.to_string(),
        game: names.game().to_owned(),
        room: names.room().to_owned(),
        client: Side { connected: client_from, ..side(Some(*client_at), *client, Some(to_client)) },
        host: Side { connected: host_from, ..side(Some(*host_at), *host, Some(to_host)) },
        way: told_way,
        seconds: took.map(|took| rounded(took.as_secs_f64(), 10.0)),
        told: if is_relayed { "the relay" } else { "each other" },
        why: ended.to_string(),
        reason: None,
        times: 1,
    }
}

fn not_introduced(unmet: &Unmet) -> Introduction {
    let Unmet { unix, asked, kinds: [host, client], why, times } = unmet;
    let Asked { dialect, names, client: client_at, host: host_at, told, cause, .. } = asked;
    Introduction {
        time: *unix,
        dialect: dialect.to_string(),
        game: names.game().to_owned(),
        room: names.room().to_owned(),
        client: side(Some(*client_at), *client, *told),
        host: side(*host_at, *host, None),
        way: "failed",
        seconds: None,
        told: if told.is_some() { "the client alone" } else { "nothing" },
        why: why.to_string(),
        reason: Some(cause.name()),
        times: *times,
    }
}
