//! Who hosts, a page at a time.

use std::ops::ControlFlow;

use serde::Serialize;

use crate::clock::{Instant, Now};
use crate::dialect::{Dialect, Name, Shown, Shows as _};
use crate::http::Request;
use crate::limits;
use crate::server::Server;
use crate::truncation;

/// Games that are told with how many hosts each has, those with most.
const GAMES: usize = 50;

/// Games that are looked at for that.
const GAMES_LOOKED_AT: usize = 4096;

/// A page of hosts.
#[derive(Debug, Serialize)]
pub(in crate::server::window) struct Hosts {
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
pub(in crate::server::window) fn hosts(now: Now, server: &Server, request: &Request<'_>) -> Hosts {
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
fn note_games(name: Name, dialect: &impl Dialect, all: &mut Vec<Game>) {
    let (mut looked_at, mut least) = (0, 0);
    dialect.games(&mut |game, hosts| {
        looked_at += 1;
        if looked_at > GAMES_LOOKED_AT || hosts <= least && all.len() >= GAMES {
            return;
        }
        all.push(Game { hosts, dialect: name.to_string(), game: truncation::truncated(game) });
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
    let opened = shown.conn.and_then(|conn| server.connections.get(conn)).map(|conn| conn.opened);
    let ago = |at: Instant| (now.instant - at).as_secs();
    let port_known = shown.at.port() != 0;
    let address = if port_known { shown.at.to_string() } else { shown.at.ip().to_string() };
    Host {
        dialect: name.to_string(),
        game: truncation::truncated(shown.game),
        name: truncation::truncated(&shown.name),
        address,
        port_known,
        age: opened.or(shown.since).map(ago),
        players: shown.players,
        max_players: shown.places,
        last_sign: shown.heard.map(ago),
        private: shown.is_private,
    }
}
