//! STUN, at the port of the games and at the alternate one.

use std::net::SocketAddr;
use std::time::Duration;

use compat_tests::nat::{Error, Options, Stun};
use punchd::dialect::stun::message::CHANGE_PORT;

use super::Probe;
use super::report::Outcome;

/// How often [`Stun`] asks.
const TRIES: u32 = 3;

/// Asks at the first port for an answer as `change` says, or at another port.
struct Asking(Options);

impl Asking {
    fn new(probe: &Probe) -> Self {
        let patience = (probe.patience() / TRIES).max(Duration::from_millis(1));
        Self(Options { patience, bind: probe.bind, ..Options::new(probe.master) })
    }

    /// From a fresh port, as filters of a NAT know none of its answers.
    fn ask(&self, at: SocketAddr, change: u32) -> Result<Option<compat_tests::nat::Answer>, Error> {
        Stun::open(&self.0)?.try_ask(at, change)
    }
}

pub(super) fn main_port(probe: &mut Probe) -> Outcome {
    match Asking::new(probe).ask(probe.master, 0) {
        Ok(None) => Outcome::Silent,
        Err(error) => Outcome::Fails(error.to_string()),
        Ok(Some(answer)) => {
            probe.udp.get_or_insert("STUN");
            probe.has_stun = true;
            probe.seen_by_udp(answer.mapped.ip());
            Outcome::Works(format!("sees this machine at {}", answer.mapped))
        }
    }
}

pub(super) fn alternate_port(probe: &mut Probe) -> Outcome {
    if !probe.has_stun {
        return Outcome::Skipped("STUN does not answer at the first port".to_owned());
    }
    let asking = Asking::new(probe);
    let at = |port| SocketAddr::new(probe.master.ip(), port);
    let Some(next) = probe.master.port().checked_add(1) else {
        return Outcome::NotOffered("no port comes after 65535".to_owned());
    };
    if matches!(asking.ask(at(next), 0), Ok(Some(_))) {
        return Outcome::Works(format!("answers at {next}/udp"));
    }
    // The first port can have the other one answer, which a NAT may keep out.
    let origin = asking.ask(probe.master, CHANGE_PORT).ok().flatten().and_then(|a| a.origin);
    match origin.map(|origin| origin.port()) {
        Some(port) if port == probe.master.port() => closed(next, "no answer"),
        Some(port) if port == next => closed(next, "sends, but does not receive"),
        Some(port) if matches!(asking.ask(at(port), 0), Ok(Some(_))) => Outcome::Works(format!(
            "answers at {port}/udp (--alt-port); clients that ask at {next}/udp must be told so"
        )),
        Some(port) => closed(port, "sends, but does not receive"),
        None => Outcome::FailsSo {
            detail: format!("no answer from {next}/udp"),
            meaning: MEANING,
            to_do: format!(
                "Open {next}/udp in the machine's firewall and in the provider's, or see which port \
                 --alt-port names instead; the log says so if the server could not take it."
            ),
        },
    }
}

const MEANING: &str = "Players connect as before, but nobody can tell what NAT they are behind, and the \
                       server does not predict ports.";

fn closed(port: u16, what: &str) -> Outcome {
    Outcome::FailsSo {
        detail: format!("{port}/udp: {what}"),
        meaning: MEANING,
        to_do: format!("Open {port}/udp in the machine's firewall and in the provider's."),
    }
}
