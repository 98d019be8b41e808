//! How introductions ended, and why.

use std::net::{IpAddr, SocketAddr};

use serde::Serialize;

use super::rounded;
use crate::http::Request;
use crate::introductions::journal::{Counts, Ended, Relay, Shown, Way};
use crate::limits;
use crate::nats::Kind;
use crate::server::Server;

/// How introductions ended.
#[derive(Debug, Serialize)]
pub(in crate::server::window) struct Introductions {
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
pub(in crate::server::window) fn introductions(
    server: &Server,
    request: &Request<'_>,
) -> Introductions {
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
    let Ended { unix, attempt, kinds: [host, client], way } = ended;
    let side =
        |at: SocketAddr, nat: &Kind| Side { address: Shown(at).to_string(), nat: nat.to_string() };
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
