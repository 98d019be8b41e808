//! What to do when a player does not get what it asks for.

use std::io;

use compat_tests::rooms::Error;
use punchd::dialect::rooms::message::Verb;

use crate::causes;

pub(super) fn explain(error: Error) -> String {
    let advice = match &error {
        Error::Socket(error) => causes::advice(way_of(error), error),
        Error::NoAnswer { .. } => {
            "Is it running, does it speak rooms, and does a firewall let UDP through? This address may also \
             be in the server's --block. `punch probe` tells more."
        }
        Error::TooMuch { .. } => "That is not a master server that speaks rooms.",
        Error::Endless { .. } => "To wait longer, raise --timeout.",
        Error::Refused { verb: Verb::Qj, reason } if reason == "noroom" => {
            "No room fits: there is none, or all are full, locked, want a password, or are \
             of another game: see `list`, --game and --data. A room with a password is joined by `join`."
        }
        Error::Refused { verb: Verb::Rh, reason } if reason == "badkey" => {
            "This master server admits only some games or keys: compare --game and --key with --games and \
             --key of the server, which are case-sensitive."
        }
        Error::Refused { reason, .. } => advice(reason),
    };
    format!("{error}\n{advice}")
}

/// What this player was doing: it has one socket, and an address is refused when that is opened.
fn way_of(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrNotAvailable | io::ErrorKind::AddrInUse => "open the UDP port",
        _ => "send to",
    }
}

/// What to do about a refusal.
fn advice(reason: &str) -> &'static str {
    match reason {
        "badkey" => {
            "A room may want --password, and this master server a key that it admits, with --key, or the \
             name of a game, with --game."
        }
        "noroom" => {
            "There is no such room any more, or it is one of another game: see `list`, --game."
        }
        "full" | "locked" => "Wait until the host lets somebody in, or join another room.",
        "kicked" => "Only the host lets this player in again: /admit ID.",
        "busy" => "The server is full or about to stop: try again in a minute.",
        "limit" => {
            "This address has too many rooms or players there, or was wrong too often: wait a while."
        }
        "family" => {
            "One side has IPv4 and the other IPv6: name the master server by an address of the \
                     other kind."
        }
        _ => "PROTOCOL.md tells what the reasons mean.",
    }
}
