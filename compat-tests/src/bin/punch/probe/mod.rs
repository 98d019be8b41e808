//! `punch probe`: what a running master server can do, and what that means for players.

mod dialects;
mod meeting;
mod questions;

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use compat_tests::gmnet::{Control, Error, Host, wire};

use crate::common::{local_ip, printable, resolve, say, seconds};

/// Check every command of a running master server
#[derive(clap::Args)]
#[command(
    after_help = "Exit code 0 if all works that every player needs, as far as the server lets this \
                  program try it. It registers a host for a moment, in place of one that this \
                  machine's address may have there."
)]
pub(crate) struct Args {
    /// The master server
    #[arg(value_name = "HOST:PORT", value_parser = resolve)]
    master: SocketAddr,
    /// Local address to use
    #[arg(long, value_name = "IP", value_parser = local_ip)]
    bind: Option<IpAddr>,
    /// A key, or the name of a game, for a server that admits some alone
    #[arg(long)]
    key: Option<String>,
    /// How long to wait for an answer; four times as long where servers wait for UDP
    #[arg(long, value_name = "SECONDS", default_value = "3", value_parser = seconds)]
    wait: Duration,
}

impl Probe {
    /// The server is for others.
    fn refused(&self) -> Outcome {
        Outcome::Refused(match self.key {
            None => "it admits only some games (--games, --key): try one with --key".to_owned(),
            Some(_) => "this is none of the games or keys that it admits".to_owned(),
        })
    }

    /// How long a lookup of a host may take: good servers wait up to 10 s for UDP that is late.
    fn look_up(&self) -> Duration {
        self.wait * 4
    }
}

/// What a check found.
enum Outcome {
    /// It works; details.
    Works(String),
    /// It does not; what happened instead.
    Fails(String),
    /// The server is set up not to do this; what that means.
    NotOffered(&'static str),
    /// It works, but not for those who show what this program has shown; why.
    Refused(String),
    /// Something before it failed, so it cannot be tried.
    Skipped,
}

impl From<Result<String, String>> for Outcome {
    fn from(result: Result<String, String>) -> Self {
        result.map_or_else(Self::Fails, Self::Works)
    }
}

impl From<Result<String, Error>> for Outcome {
    fn from(result: Result<String, Error>) -> Self {
        result.map_err(|error| error.to_string()).into()
    }
}

struct Check {
    name: &'static str,
    /// Whether every player needs it.
    needed: bool,
    run: fn(&mut Probe) -> Outcome,
    /// What it means for players when it does not work.
    meaning: &'static str,
}

/// What the checks know of the server and have found out so far.
struct Probe {
    master: SocketAddr,
    bind: Option<IpAddr>,
    wait: Duration,
    /// The last data string of the host that the checks register.
    tag: String,
    /// What the server wants to see.
    key: Option<String>,
    /// Whether the server gives out its list of hosts.
    lobby: bool,
    /// The host that the checks register, and its address as the server sees it.
    host: Option<(Host, IpAddr)>,
}

const CHECKS: &[Check] = &[
    Check {
        name: "TCP",
        needed: true,
        run: questions::reachable,
        meaning: "Nobody can use this server: is it running, is TCP let through the firewall?",
    },
    Check {
        name: "version",
        needed: false,
        run: questions::version,
        meaning: "Games do not ask; tools like this one do.",
    },
    Check {
        name: "istesting",
        needed: false,
        run: questions::is_testing,
        meaning: "Games do not ask; the web test tool cannot test this server.",
    },
    Check {
        name: "testinginfos",
        needed: false,
        run: questions::testing_infos,
        meaning: "Games do not ask; the web test tool cannot show what this server is.",
    },
    Check {
        name: "ping ignored",
        needed: true,
        run: questions::ping,
        meaning: "Hosts ping every few minutes and would be thrown out or told nonsense.",
    },
    Check {
        name: "unknown commands ignored",
        needed: false,
        run: questions::unknown,
        meaning: "Games with newer commands could not use this server.",
    },
    Check {
        name: "lobby2",
        needed: true,
        run: questions::lobby,
        meaning: "Players see no list of games.",
    },
    Check {
        name: "reg2",
        needed: true,
        run: meeting::register,
        meaning: "Hosts cannot register, so nobody can join them.",
    },
    Check {
        name: "UDP and connect",
        needed: true,
        run: meeting::introduction,
        meaning: "Players are told wrong ports, or none: is UDP let through to the same port?",
    },
    Check {
        name: "not found",
        needed: true,
        run: questions::not_found,
        meaning: "Players who ask for a host that has gone wait for ever.",
    },
    Check {
        name: "end of the host's message",
        needed: false,
        run: meeting::terminated,
        meaning: "A game can crash when two players join at the same moment.",
    },
    Check {
        name: "two players at once",
        needed: false,
        run: meeting::two_at_once,
        meaning: "Of players who join at the same moment only the first gets through most NATs.",
    },
    Check {
        name: "older protocol",
        needed: false,
        run: meeting::older,
        meaning: "Games made after the published description cannot use this server.",
    },
];

pub(crate) fn run(args: &Args) -> Result<(), String> {
    let Args { master, bind, wait, ref key } = *args;
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let tag = format!("punch probe {}", since.as_nanos());
    let mut probe = Probe { master, bind, wait, tag, key: key.clone(), lobby: false, host: None };
    say(format!("master server {master}"));
    let mut found = Found::default();
    if speaks_no_gmnet(&probe) {
        let others: Vec<_> = dialects::CHECKS.iter().map(|c| (c, (c.run)(&mut probe))).collect();
        // If it speaks nothing at all, that is not on purpose.
        if others.iter().any(|(_, outcome)| outcome.is_spoken()) {
            let off = "closed without an answer: switched off (--dialects)";
            line("GMnet", "not offered", off);
            others.into_iter().for_each(|(check, outcome)| found.note(check, outcome));
            return found.conclude();
        }
    }
    for check in CHECKS.iter().chain(dialects::CHECKS) {
        let outcome = (check.run)(&mut probe);
        found.note(check, outcome);
        // Without TCP there is nothing to ask, only a long wait.
        if found.broken > 0 && check.name == "TCP" {
            break;
        }
    }
    found.conclude()
}

/// Whether the server closes the connection when it is asked something in GMnet.
fn speaks_no_gmnet(probe: &Probe) -> bool {
    let Ok(control) = Control::open(probe.master, probe.bind) else { return false };
    let asked = control.send(wire::ASK_VERSION);
    asked.is_ok() && matches!(control.answer(probe.wait), Err(Error::MasterClosed { .. }))
}

impl Outcome {
    fn is_spoken(&self) -> bool {
        matches!(self, Self::Works(_) | Self::Refused(_))
    }
}

/// What was found so far.
#[derive(Default)]
struct Found {
    broken: usize,
    weak: usize,
    refused: usize,
    /// Something is as it was in the old server.
    of_old: bool,
}

impl Found {
    fn note(&mut self, check: &Check, outcome: Outcome) {
        print(check, &outcome);
        let (Outcome::Works(detail) | Outcome::Fails(detail)) = &outcome else {
            self.refused += usize::from(matches!(outcome, Outcome::Refused(_)));
            return;
        };
        self.of_old |= detail.contains("(D");
        match (outcome, check.needed) {
            (Outcome::Fails(_), true) => self.broken += 1,
            (Outcome::Fails(_), false) => self.weak += 1,
            _ => {}
        }
    }

    fn conclude(&self) -> Result<(), String> {
        if self.of_old {
            say(
                "D1 and so on are what the old server, GMnet GATE.PUNCH 1.2.5, does as well: see PROTOCOL.md",
            );
        }
        match (self.broken, self.weak, self.refused) {
            (0, 0, 0) => say("all that players need works"),
            (0, _, 0) => say("all that every player needs works; some will notice the rest"),
            (0, _, _) => {
                say(
                    "all that could be tried works; where it was refused, the server is for others",
                );
            }
            (broken, _, _) => {
                return Err(format!("{broken} of the things that every player needs do not work"));
            }
        }
        Ok(())
    }
}

fn print(check: &Check, outcome: &Outcome) {
    let (word, detail) = match outcome {
        Outcome::Works(detail) => ("works", detail.as_str()),
        Outcome::Fails(detail) => ("FAILS", detail.as_str()),
        Outcome::NotOffered(meaning) => ("not offered", *meaning),
        Outcome::Refused(why) => ("refused", why.as_str()),
        Outcome::Skipped => ("not tried", "something before it does not work"),
    };
    line(check.name, word, detail);
    if let Outcome::Fails(_) = outcome {
        say(format!("{:>30} {}", "->", check.meaning));
    }
}

fn line(name: &str, word: &str, detail: &str) {
    say(format!("{name:<26} {word:<12} {}", printable(detail)).trim_end());
}
