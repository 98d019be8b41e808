//! What programs are told, in JSON: PROTOCOL.md has it with examples.

mod hosts;
mod introductions;
mod nodes;
mod refusals;
mod status;

pub(super) use hosts::hosts;
pub(super) use introductions::introductions;
pub(super) use refusals::refusals;
pub(super) use status::all_limits;

use crate::dialect::Name;
use crate::http::Request;

/// Whether what is asked for can be told: who mistypes a filter would take all for what he has asked for.
///
/// # Errors
/// What is wrong with it.
pub(super) fn check(request: &Request<'_>) -> Result<(), String> {
    match request.path {
        "/api/v1/hosts" => {
            request.check(&["dialect"], &["from", "limit"])?;
            request.asked("dialect").map_or(Ok(()), |name| name.parse::<Name>().map(|_| ()))
        }
        "/api/v1/introductions" => request.check(&["game", "address"], &["limit"]),
        "/api/v1/status" | "/api/v1/refusals" | "/metrics" => request.check(&[], &[]),
        _ => Ok(()),
    }
}

fn rounded(number: f64, to: f64) -> f64 {
    (number * to).round() / to
}
