//! When two are told of the relay in place of each other: at once where the direct way is known to lead
//! nowhere, and else when one of them says that it did not get through.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::journal::{Attempt, Relay, Way};
use super::relay::Refused;
use crate::dialect::Context;
use crate::nats::Kind;

/// What a client wants of the relay, the greatest most of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Wish {
    /// Never to be told of it.
    Never,
    /// To be told of it when nothing else helps.
    #[default]
    IfNeeded,
    /// To be told of it at once.
    Always,
}

impl Wish {
    /// As clients write it, who leave [`Wish::IfNeeded`] out.
    #[must_use]
    pub fn read(text: &[u8]) -> Option<Self> {
        match text {
            b"always" => Some(Self::Always),
            b"never" => Some(Self::Never),
            _ => None,
        }
    }

    /// The same, to be written.
    #[must_use]
    pub const fn text(self) -> Option<&'static str> {
        match self {
            Self::IfNeeded => None,
            Self::Always => Some("always"),
            Self::Never => Some("never"),
        }
    }
}

/// Whether two NATs are known not to work together: both give each player another port, at least one of
/// them at random.
#[must_use]
pub fn is_hopeless(kinds: [Kind; 2]) -> bool {
    kinds.contains(&Kind::Symmetric) && kinds.iter().all(|kind| kind.is_symmetric())
}

/// One of the two says whether it got through. While they have a session it is known by the packets that
/// it passes on which way they have taken.
pub fn note_end(cx: &mut Context<'_>, attempt: Attempt, worked: bool) {
    note_end_with(cx, attempt, worked, Duration::ZERO);
}

/// The same, where the host may have been silent for so long that it must be gone, else zero.
pub fn note_end_with(cx: &mut Context<'_>, attempt: Attempt, worked: bool, silent: Duration) {
    let pair = [attempt.client, attempt.host];
    let way = match (cx.shared.relay.between(attempt.dialect, pair), worked) {
        (Some(session), true) => return cx.shared.relay.welcomed(session.id),
        (Some(_), false) => return,
        (None, true) => Way::Direct(None),
        (None, false) => Way::No(refusal(cx, pair).map_or(Relay::Untried, Relay::Refused)),
    };
    cx.shared.journal.note_silent(cx.now, &cx.shared.nats, attempt, way, silent);
}

/// One of two says how an introduction ended of which it may have been said `before`. It is counted once: that it
/// has worked is the end of it, as what breaks later is no introduction; and who says so after a failure is right, as
/// the other side may have given up a moment too early. Of one whose client has proven nothing nothing is counted.
/// Returns what has been said of it now.
pub fn note_result(
    cx: &mut Context<'_>,
    attempt: Attempt,
    (before, worked): (Option<bool>, bool),
    silent: Duration,
) -> Option<bool> {
    if !attempt.is_proven {
        note_end_with(cx, attempt, worked, silent);
        return before;
    }
    let pair = [attempt.client, attempt.host];
    match (before, worked) {
        (None, _) => note_end_with(cx, attempt, worked, silent),
        (Some(false), true) => match cx.shared.relay.between(attempt.dialect, pair) {
            Some(session) => cx.shared.relay.welcomed(session.id),
            None => cx.shared.journal.note_after_all(cx.now, &attempt),
        },
        (Some(_), _) => {}
    }
    Some(worked || before == Some(true))
}

/// Why the relay has no place for a client and its host, if there is one for them.
pub fn refusal(cx: &mut Context<'_>, pair: [SocketAddr; 2]) -> Option<Refused> {
    let refused = cx.shared.relay.refuses(cx.now, pair.map(|at| at.ip()));
    refused.filter(|why| *why != Refused::NoRelay)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_two_symmetric_nats_are_hopeless_and_not_if_both_count() {
        use Kind::{Independent, Open, Sequential, Symmetric, Unknown};
        let kinds = [Unknown, Open, Independent, Symmetric, Sequential];
        let pairs = kinds.into_iter().flat_map(|one| kinds.map(|other| [one, other]));
        let hopeless: Vec<_> = pairs.filter(|pair| is_hopeless(*pair)).collect();
        let want = [[Symmetric, Symmetric], [Symmetric, Sequential], [Sequential, Symmetric]];
        assert_eq!(hopeless, want);
    }
}
