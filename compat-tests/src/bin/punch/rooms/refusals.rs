//! What to do when a player does not get what it asks for.

use std::io;

use compat_tests::rooms::Error;

use crate::causes;

pub(super) fn explain(error: Error) -> String {
    let advice = match &error {
        Error::Socket(error) => causes::advice(way_of(error), error),
        Error::NoAnswer { .. } => {
            "Is it running, does it speak rooms, and does a firewall let UDP through?"
        }
        Error::TooMuch { .. } => "That is no master server of rooms.",
        Error::Endless { .. } => "--timeout gives it longer.",
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
            "A room may want --password, and this master server --key with a key or the name of a \
             game that it admits."
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
