//! What programs are told, in JSON: PROTOCOL.md has it with examples.

mod hosts;
mod introductions;
mod refusals;
mod status;

pub(super) use hosts::hosts;
pub(super) use introductions::introductions;
pub(super) use refusals::refusals;
pub(super) use status::all_limits;

fn rounded(number: f64, to: f64) -> f64 {
    (number * to).round() / to
}
