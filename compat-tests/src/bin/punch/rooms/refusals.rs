//! What to do when a player does not get what it asks for.

use compat_tests::rooms::Error;

pub(super) fn explain(error: Error) -> String {
    let advice = match &error {
        Error::Socket(_) => "Is the local address right, and the port free?",
        Error::NoAnswer { .. } => {
            "Is it running, does it speak rooms, and does a firewall let UDP through?"
        }
        Error::TooMuch { .. } => "That is no master server of rooms.",
        Error::Endless { .. } => "--timeout gives it longer.",
        Error::Refused { reason, .. } => advice(reason),
    };
    format!("{error}\n{advice}")
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
