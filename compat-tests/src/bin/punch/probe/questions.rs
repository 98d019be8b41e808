//! Checks that one question on one TCP connection answers.

use std::io::ErrorKind::ConnectionRefused;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use compat_tests::gmnet::{Client, ClientConfig, Control, Error, Lobby, Query, wire};
use compat_tests::shown::{quoted, sentence};

use super::Probe;
use super::report::Outcome;

/// An address for documentation, at which nobody can host.
const NOBODY: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

pub(super) fn reachable(probe: &mut Probe) -> Outcome {
    match Control::open(probe.master, probe.bind) {
        Ok(_) => Outcome::Works("connected".to_owned()),
        Err(error) => not_reached(probe, &error),
    }
}

/// What to do about a connection that does not come about, by what datagrams have shown.
fn not_reached(probe: &Probe, error: &Error) -> Outcome {
    let port = probe.master.port();
    let refused =
        matches!(error, Error::Socket { source, .. } if source.kind() == ConnectionRefused);
    let (nobody, record) = match probe.master.is_ipv4() {
        true => ("Nobody can use this server over IPv4.", ""),
        false => (
            "Nobody can use this server over IPv6.",
            " If it has no IPv6, its name should have no AAAA record.",
        ),
    };
    let (meaning, to_do) = match (probe.udp, refused) {
        (Some("STUN"), true) => (
            "Games cannot use this port.",
            format!(
                "Nothing but STUN answers there, as at the alternate port of a server (--alt-port, else its port + 1): \
                 is the server at port {}?",
                port.saturating_sub(1)
            ),
        ),
        (Some(who), _) => (
            "Games that use TCP (GMnet, events) cannot use this server; others can.",
            format!(
                "{who} answers over UDP, so the server is running: open {port}/tcp in the machine's \
                 firewall and in the provider's."
            ),
        ),
        (None, true) => (
            nobody,
            format!(
                "The machine is there, but nothing listens on {port}/tcp: is it running, is the port right?{record}"
            ),
        ),
        (None, false) => (
            nobody,
            format!(
                "Nothing answers there: is it running, is the address right? If so, open {port}/tcp and \
                 {port}/udp in the machine's firewall and in the provider's.{record}"
            ),
        ),
    };
    Outcome::FailsSo { detail: error.to_string(), meaning, to_do }
}

pub(super) fn version(probe: &mut Probe) -> Outcome {
    let answer = ask(probe, wire::ASK_VERSION, |got| got.ends_with(b"\n"));
    expect(answer, wire::VERSION, |rest| Some(text(rest))).into()
}

pub(super) fn is_testing(probe: &mut Probe) -> Outcome {
    let answer = ask(probe, b"istesting\n", |got| got.len() >= 2);
    let meaning = |rest: &[u8]| match rest {
        [0] => Some("off".to_owned()),
        [1] => Some("on".to_owned()),
        _ => None,
    };
    expect(answer, wire::TESTING, meaning).into()
}

pub(super) fn testing_infos(probe: &mut Probe) -> Outcome {
    let whole = |got: &[u8]| got.get(1) == Some(&0) || lines(got) == 3;
    let answer = ask(probe, b"testinginfos\n", whole);
    let meaning = |rest: &[u8]| match rest {
        [0] => Some("none, as the server is not set up for testing".to_owned()),
        _ => (lines(rest) == 3).then(|| {
            let said = String::from_utf8_lossy(rest);
            sentence(&said.trim_end().replace('\n', ", "))
        }),
    };
    expect(answer, wire::TESTING_INFOS, meaning).into()
}

pub(super) fn ping(probe: &mut Probe) -> Outcome {
    ignored(probe, wire::PING)
}

pub(super) fn unknown(probe: &mut Probe) -> Outcome {
    ignored(probe, b"no-such-command\n")
}

pub(super) fn lobby(probe: &mut Probe) -> Outcome {
    match Lobby::fetch(probe.master, probe.bind, &Query::default(), probe.wait) {
        Ok(lobby) => {
            probe.lobby = true;
            Outcome::Works(match lobby.entries.len() {
                1 => "1 host".to_owned(),
                hosts => format!("{hosts} hosts"),
            })
        }
        Err(Error::NoAnswer { .. }) => Outcome::NotOffered(
            "no answer, so switched off: players need the address of a host".to_owned(),
        ),
        Err(error) => Outcome::Fails(error.to_string()),
    }
}

pub(super) fn not_found(probe: &mut Probe) -> Outcome {
    let config = ClientConfig {
        bind: probe.bind,
        timeout: probe.look_up(),
        ..ClientConfig::new(probe.master, NOBODY)
    };
    let start = Instant::now();
    match Client::look_up(config) {
        Ok(None) => Outcome::Works(format!("said after {:.1?}", start.elapsed())),
        Ok(Some(endpoint)) => Outcome::Fails(format!("told {endpoint} for {NOBODY}")),
        Err(error) => Outcome::Fails(error.to_string()),
    }
}

/// A line without an answer: the next question is answered as if it had not been there.
fn ignored(probe: &Probe, line: &[u8]) -> Outcome {
    let both = [line, wire::ASK_VERSION].concat();
    let answer = ask(probe, &both, |got| got.ends_with(b"\n"));
    expect(answer, wire::VERSION, |_| Some(String::new())).into()
}

/// Sends a request on a new connection and collects its answer, which may come in pieces.
fn ask(probe: &Probe, request: &[u8], whole: impl Fn(&[u8]) -> bool) -> Result<Vec<u8>, Error> {
    let Probe { master, wait, .. } = *probe;
    let control = Control::open(master, probe.bind)?;
    control.send(request)?;
    let deadline = Instant::now() + wait;
    let mut got = Vec::new();
    while !whole(&got) {
        match control.answer(deadline.saturating_duration_since(Instant::now())) {
            Ok(event) => got.extend(event.bytes),
            // Not all of it: the check that reads it says what is wrong.
            Err(Error::NoAnswer { .. }) if !got.is_empty() => return Ok(got),
            Err(Error::NoAnswer { .. }) => return Err(Error::NoAnswer { master, waited: wait }),
            Err(Error::MasterClosed { .. }) => {
                return Err(control.ended(got));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(got)
}

/// What an answer says, which has to begin with `first`.
fn expect(
    answer: Result<Vec<u8>, Error>,
    first: u8,
    meaning: impl Fn(&[u8]) -> Option<String>,
) -> Result<String, String> {
    let answer = answer.map_err(|error| error.to_string())?;
    let said = answer.strip_prefix(&[first]).and_then(meaning);
    said.ok_or_else(|| format!("the answer is {}", quoted(&answer)))
}

fn lines(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte == b'\n').count()
}

fn text(bytes: &[u8]) -> String {
    sentence(String::from_utf8_lossy(bytes).trim_end())
}
