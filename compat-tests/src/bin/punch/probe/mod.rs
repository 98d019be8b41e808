//! `punch probe`: what a running master server can do, and what that means for players.

mod meeting;
mod questions;

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use compat_tests::gmnet::{Error, Host};

use crate::common::{printable, resolve, say, seconds};

/// Check every command of a running master server
#[derive(clap::Args)]
#[command(
    after_help = "Exit code 0 if all works that every player needs. It registers a host for \
                        a moment, in place of one that this machine's address may have there."
)]
pub(crate) struct Args {
    /// The master server
    #[arg(value_name = "HOST:PORT", value_parser = resolve)]
    master: SocketAddr,
    /// Local address to use
    #[arg(long, value_name = "IP")]
    bind: Option<IpAddr>,
    /// How long to wait for an answer; four times as long where servers wait for UDP
    #[arg(long, value_name = "SECONDS", default_value = "3", value_parser = seconds)]
    wait: Duration,
}

impl Probe {
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
    /// The first data string of the host that the checks register.
    tag: String,
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
    let Args { master, bind, wait } = *args;
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let tag = format!("punch probe {}", since.as_nanos());
    let mut probe = Probe { master, bind, wait, tag, lobby: false, host: None };
    say(format!("master server {master}"));
    let (mut broken, mut weak) = (0, 0);
    for check in CHECKS {
        let outcome = (check.run)(&mut probe);
        print(check, &outcome);
        match (outcome, check.needed) {
            (Outcome::Fails(_), true) => broken += 1,
            (Outcome::Fails(_), false) => weak += 1,
            _ => {}
        }
        // Without TCP there is nothing to ask, only a long wait.
        if broken > 0 && check.name == "TCP" {
            break;
        }
    }
    match (broken, weak) {
        (0, 0) => say("all that players need works"),
        (0, _) => say("all that every player needs works; some will notice the rest"),
        (_, _) => {
            return Err(format!("{broken} of the things that every player needs do not work"));
        }
    }
    Ok(())
}

fn print(check: &Check, outcome: &Outcome) {
    let (word, detail) = match outcome {
        Outcome::Works(detail) => ("works", detail.as_str()),
        Outcome::Fails(detail) => ("FAILS", detail.as_str()),
        Outcome::NotOffered(meaning) => ("not offered", *meaning),
        Outcome::Skipped => ("not tried", "something before it does not work"),
    };
    say(format!("{:<26} {word:<12} {}", check.name, printable(detail)).trim_end());
    if let Outcome::Fails(_) = outcome {
        say(format!("{:>30} {}", "->", check.meaning));
    }
}
