//! What the checks have found, as a table or as JSON.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};

use super::Probe;
use crate::common::{printable, say};

/// What a check found.
pub(super) enum Outcome {
    /// It works; details.
    Works(String),
    /// It does not; what happened instead.
    Fails(String),
    /// The same, where what to do depends on what happened.
    FailsSo {
        /// What happened.
        detail: String,
        /// What that means for players.
        meaning: &'static str,
        /// What the owner can do.
        to_do: String,
    },
    /// The server is set up not to do this; what that means.
    NotOffered(String),
    /// No datagram has come back. What that means shows only when all has been tried.
    Silent,
    /// Whether it works shows only to who shows a game or a key that the server admits; what is not known.
    Unknown(String),
    /// It works, but not for those who show what this program has shown; why.
    Refused(String),
    /// It cannot be tried; why.
    Skipped(String),
}

impl Outcome {
    /// Something before it failed.
    pub(super) fn after_a_failure() -> Self {
        Self::Skipped("something before it does not work".to_owned())
    }

    /// Whether the server has said something of its own to this.
    pub(super) fn is_spoken(&self) -> bool {
        matches!(self, Self::Works(_) | Self::Refused(_))
    }

    pub(super) fn fails(&self) -> bool {
        matches!(self, Self::Fails(_) | Self::FailsSo { .. })
    }

    /// Whether this is what the old server does as well, by the names that PROTOCOL.md has for that.
    fn is_of_old(&self) -> bool {
        matches!(self, Self::Works(detail) | Self::Fails(detail) if detail.contains("(D"))
    }

    /// The word for it, which `--json` has too.
    fn word(&self) -> &'static str {
        match self {
            Self::Works(_) => "works",
            Self::Fails(_) if self.is_of_old() => "old defect",
            Self::Fails(_) | Self::FailsSo { .. } => "FAILS",
            Self::NotOffered(_) | Self::Silent => "not offered",
            Self::Unknown(_) => "not known",
            Self::Refused(_) => "refused",
            Self::Skipped(_) => "not tried",
        }
    }

    fn detail(&self) -> &str {
        match self {
            Self::Works(detail)
            | Self::Fails(detail)
            | Self::FailsSo { detail, .. }
            | Self::NotOffered(detail)
            | Self::Unknown(detail)
            | Self::Refused(detail)
            | Self::Skipped(detail) => detail,
            Self::Silent => "no answer",
        }
    }
}

impl From<Result<String, String>> for Outcome {
    fn from(result: Result<String, String>) -> Self {
        result.map_or_else(Self::Fails, Self::Works)
    }
}

impl From<Result<String, compat_tests::gmnet::Error>> for Outcome {
    fn from(result: Result<String, compat_tests::gmnet::Error>) -> Self {
        result.map_err(|error| error.to_string()).into()
    }
}

/// Something that is tried.
pub(super) struct Check {
    /// Its name in `--json`, which stays.
    pub(super) id: &'static str,
    /// Its name in the table.
    pub(super) name: &'static str,
    pub(super) run: fn(&mut Probe) -> Outcome,
    /// What it means for players when it does not work.
    pub(super) meaning: &'static str,
    /// What the owner can do then.
    pub(super) to_do: &'static str,
}

/// A line of the table.
struct Row {
    id: &'static str,
    word: &'static str,
    detail: String,
    took: Option<Duration>,
    meaning: Option<String>,
    to_do: Option<String>,
}

/// What was found at each address.
#[derive(Default)]
pub(super) struct Report {
    is_json: bool,
    /// No address: none was found.
    ways: Vec<(Option<SocketAddr>, Vec<Row>)>,
    notes: Vec<String>,
    failed: usize,
    refused: usize,
    unknown: usize,
    /// Defects of the old server that do not keep players from playing.
    defects: usize,
    /// Something is as it was in the old server.
    of_old: bool,
}

impl Report {
    pub(super) fn new(is_json: bool) -> Self {
        Self { is_json, ..Self::default() }
    }

    /// What follows is about this address.
    pub(super) fn begin(&mut self, master: SocketAddr) {
        if !self.is_json {
            let gap = if self.ways.is_empty() { "" } else { "\n" };
            say(format!("{gap}master server {master} ({})", family(master)));
        }
        self.ways.push((Some(master), Vec::new()));
    }

    /// What follows is about a server whose address is not known.
    pub(super) fn begin_unknown(&mut self, name: &str) {
        if !self.is_json {
            say(format!("master server {}", printable(name)));
        }
        self.ways.push((None, Vec::new()));
    }

    /// A note about something beside the checks.
    pub(super) fn note(&mut self, text: &str) {
        self.notes.push(text.to_owned());
        if !self.is_json {
            say(format!("\n{}", printable(text)));
        }
    }

    pub(super) fn add(&mut self, check: &Check, outcome: &Outcome, took: Duration) {
        let is_of_old = outcome.is_of_old();
        self.of_old |= is_of_old;
        match outcome {
            Outcome::Fails(_) if is_of_old => self.defects += 1,
            Outcome::Fails(_) | Outcome::FailsSo { .. } => self.failed += 1,
            Outcome::Refused(_) => self.refused += 1,
            Outcome::Unknown(_) => self.unknown += 1,
            _ => {}
        }
        let (meaning, to_do) = match outcome {
            Outcome::Fails(_) => (Some(check.meaning.to_owned()), Some(check.to_do.to_owned())),
            Outcome::FailsSo { meaning, to_do, .. } => {
                (Some((*meaning).to_owned()), Some(to_do.clone()))
            }
            _ => (None, None),
        };
        let is_tried = !matches!(outcome, Outcome::Skipped(_));
        let row = Row {
            id: check.id,
            word: outcome.word(),
            detail: printable(outcome.detail()),
            took: is_tried.then_some(took),
            meaning,
            to_do,
        };
        if !self.is_json {
            row.print(check.name);
        }
        if let Some((_, rows)) = self.ways.last_mut() {
            rows.push(row);
        }
    }

    /// The last line, and whether all is right.
    pub(super) fn conclude(&self, server: &str) -> Result<(), String> {
        let summary = self.summary();
        if self.is_json {
            say(compat_tests::shown::json(&self.json(server, &summary).to_string()));
        } else {
            if self.of_old {
                say(
                    "D1 and so on are what the old server, GMnet GATE.PUNCH 1.2.5, does as well: see PROTOCOL.md",
                );
            }
            if self.failed == 0 {
                say(&summary);
            }
        }
        if self.failed == 0 { Ok(()) } else { Err(summary) }
    }

    fn summary(&self) -> String {
        match (self.failed, self.defects, self.refused) {
            (0, ..) if self.unknown > 0 => {
                "all that could be tried works; for the rest run it again with --game or --key, as this \
                 server is for others"
                    .to_owned()
            }
            (0, 0, 0) => "all that players need works".to_owned(),
            (0, _, 0) => "all that every player needs works; some will notice the rest".to_owned(),
            (0, _, _) => "all that could be tried works; where it was refused, the server is for \
                          others"
                .to_owned(),
            (1, _, _) => "1 thing does not work; the rows that fail say why".to_owned(),
            (failed, _, _) => {
                format!("{failed} things do not work; the rows that fail say why")
            }
        }
    }

    fn json(&self, server: &str, summary: &str) -> Value {
        let ways: Vec<Value> = self
            .ways
            .iter()
            .map(|(master, rows)| {
                let checks: Vec<Value> = rows.iter().map(Row::json).collect();
                json!({"address": master, "family": master.map(family), "checks": checks})
            })
            .collect();
        json!({
            "server": server,
            "ok": self.failed == 0,
            "summary": summary,
            "notes": self.notes,
            "ways": ways,
        })
    }
}

fn family(addr: SocketAddr) -> &'static str {
    if addr.is_ipv4() { "IPv4" } else { "IPv6" }
}

impl Row {
    fn print(&self, name: &str) {
        let took = self.took.map_or_else(String::new, |took| format!("{} ms", took.as_millis()));
        say(format!("{name:<26} {:<12} {took:>8}  {}", self.word, self.detail).trim_end());
        for more in [&self.meaning, &self.to_do].into_iter().flatten() {
            say(format!("{:>30} {}", "->", printable(more)));
        }
    }

    fn json(&self) -> Value {
        let millis = self.took.map(|took| u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
        json!({
            "check": self.id,
            "result": self.word.to_lowercase(),
            "detail": self.detail,
            "milliseconds": millis,
            "meaning": self.meaning,
            "to_do": self.to_do,
        })
    }
}
