//! What was refused, and to whom.

use serde::Serialize;

use crate::dialect::Name;
use crate::refusals::{Count, Reason};
use crate::server::Server;

/// What was refused.
#[derive(Debug, Serialize)]
pub(in crate::server::window) struct Refusals {
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
pub(in crate::server::window) fn refusals(server: &Server) -> Refusals {
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
