//! The ports that an address has shown lately, in the order in which they appeared, and what
//! follows from it.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::{About, CONFIDENT, Kind, PREDICTED, Ports, Seen};
use crate::clock::Instant;
use crate::limits;
use crate::state::packed;

/// A larger step between two ports is not that of a NAT that counts: of two random ports, one in
/// four thousand is that near.
const LARGEST_STEP: i32 = 8;

/// Without a sign that mappings depend on the destination only the very next port counts.
const LARGEST_STEP_UNSURE: i32 = 2;

/// Ports that most addresses show: a host's by UDP and by TCP.
const USUAL: usize = 2;

/// What is known of an address.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Nat {
    /// The last ports, those that appeared first in front.
    #[serde(with = "packed")]
    ports: SmallVec<[Port; USUAL]>,
    /// Ports that have been used up since, as far as we know: peers were told to knock.
    #[serde(default, skip_serializing_if = "crate::state::is_default")]
    unseen: u16,
    /// What STUN has shown last.
    #[serde(default, skip_serializing_if = "crate::state::is_default")]
    pub(super) kind: Kind,
    /// How often it has shown that, less how often it has shown something else; up to
    /// [`CONFIDENT`].
    #[serde(default, skip_serializing_if = "crate::state::is_default")]
    pub(super) confidence: u8,
    /// Whether a host has knocked at the alternate port.
    #[serde(default, skip_serializing_if = "crate::state::is_default")]
    pub(super) knock: Knock,
    /// When the first came from a port that others are told, in tenths of a second that begin anew each two hours: it is
    /// small, and what matters is whether that was just now.
    #[serde(default, skip_serializing_if = "crate::state::is_default")]
    pub(super) came: u16,
    /// Somebody at this address hears us: nobody can have made it up.
    #[serde(default, skip_serializing_if = "crate::state::is_default")]
    pub(super) is_proven: bool,
}

/// What is known of a host at the alternate port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Knock {
    /// Nobody has been asked to knock there.
    #[default]
    Unasked,
    /// One has been.
    Asked,
    /// And something came since then, only from ports that others are told.
    Came,
    /// And something came from a port that nobody is told: a mapping for that destination alone.
    Elsewhere,
    /// It has knocked from ports that others are told, and long enough ago that nothing else is its own.
    Alone,
}

/// The ports that were predicted for a socket towards somebody.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Prediction {
    number: u16,
    towards: SocketAddr,
    at: Instant,
    first: u16,
    stride: i32,
}

/// Each address has some, so they are small.
#[derive(Clone, Copy, Debug)]
struct Port {
    number: u16,
    is_tcp: bool,
    /// What it has sent: [`STUN`], [`MAIN`], [`ALTERNATE`].
    sent: u8,
    first: Tick,
    last: Tick,
}

impl packed::Row<12> for Port {
    fn pack(&self) -> [u8; 12] {
        let [a, b] = self.number.to_be_bytes();
        let [c, d, e, f] = self.first.0.to_be_bytes();
        let [g, h, i, j] = self.last.0.to_be_bytes();
        [a, b, u8::from(self.is_tcp), self.sent, c, d, e, f, g, h, i, j]
    }

    fn unpack(&[a, b, is_tcp, sent, c, d, e, f, g, h, i, j]: &[u8; 12]) -> Self {
        let tick = |bytes| Tick(u32::from_be_bytes(bytes));
        let (first, last) = (tick([c, d, e, f]), tick([g, h, i, j]));
        Self { number: u16::from_be_bytes([a, b]), is_tcp: is_tcp != 0, sent, first, last }
    }
}

/// A STUN request to the main port.
const STUN: u8 = 1;
/// Anything to the main port.
const MAIN: u8 = 2;
/// A STUN request to the alternate port.
const ALTERNATE: u8 = 4;

/// Tenths of a second since the server started, for thirteen years.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Tick(pub(super) u32);

impl Knock {
    /// Whether a host has knocked, and only from ports that others are told.
    pub(super) fn is_from_told(self) -> bool {
        matches!(self, Self::Came | Self::Alone)
    }
}

impl Tick {
    pub(super) fn of(now: Instant) -> Self {
        Self(u32::try_from(now.micros() / 100_000).unwrap_or(u32::MAX))
    }

    /// The tick without what counts hours.
    pub(super) fn short(self) -> u16 {
        self.0 as u16
    }

    /// How long ago a tick was of which only that is known: at most two hours.
    pub(super) fn since_short(self, earlier: u16) -> Duration {
        Duration::from_millis(100 * u64::from(self.short().wrapping_sub(earlier)))
    }

    /// How long ago `earlier` was, to a tenth of a second.
    pub(super) fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(100 * u64::from(self.0.saturating_sub(earlier.0)))
    }
}

impl Port {
    fn has_sent(&self, what: u8) -> bool {
        self.sent & what == what
    }
}

/// Ports that count.
struct Sequence {
    last: u16,
    stride: i32,
}

impl Nat {
    /// Whoever has written it, it is within its bounds.
    pub(super) fn tidy(&mut self) {
        self.ports.truncate(limits::PORTS_OF_NAT);
        self.confidence = self.confidence.min(CONFIDENT);
    }

    /// Notes a port; tells what it shows about the NAT, if it does. What counts on from one that is `kept` stays.
    pub(super) fn note(
        &mut self,
        now: Instant,
        number: u16,
        seen: Seen,
        kept: &[u16],
    ) -> Option<Kind> {
        let is_tcp = seen == Seen::Tcp;
        let now = Tick::of(now);
        let known = self.find(number, is_tcp);
        // After such a silence the same number may be that of another socket.
        let fresh = known.filter(|n| {
            let port = self.ports.get(*n);
            let is_fresh = port.is_some_and(|port| now.since(port.last) < limits::MAPPING);
            is_fresh || !is_tcp && kept.contains(&number)
        });
        let n = match (fresh, known) {
            (Some(n), _) => n,
            (None, known) => {
                if let Some(n) = known {
                    self.ports.remove(n);
                } else if self.ports.len() == limits::PORTS_OF_NAT {
                    self.ports.remove(self.least_needed(kept));
                }
                if self.ports.len() == USUAL {
                    // All that there will ever be, at once.
                    self.ports.grow(limits::PORTS_OF_NAT);
                }
                self.ports.push(Port { number, is_tcp, sent: 0, first: now, last: now });
                let needed = self.needed(kept);
                if !needed.contains(&true) || needed.last() == Some(&true) {
                    self.unseen = 0;
                }
                self.ports.len() - 1
            }
        };
        let port = self.ports.get_mut(n)?;
        port.last = now;
        port.sent |= match seen {
            Seen::Tcp => return None,
            Seen::Main => MAIN,
            Seen::Stun => MAIN | STUN,
            Seen::Alternate => ALTERNATE,
        };
        if port.has_sent(MAIN | ALTERNATE) {
            return Some(Kind::Independent);
        }
        let asked = |port: &&Port| self.is_symmetric(port.number);
        let is_new = seen == Seen::Alternate && fresh.is_none();
        (is_new && self.ports.iter().any(|port| asked(&port))).then_some(Kind::Symmetric)
    }

    /// When something came last.
    pub(super) fn last(&self) -> Tick {
        self.ports.iter().map(|port| port.last).max().unwrap_or_default()
    }

    /// How many ports it has memory for.
    #[cfg(test)]
    pub(super) fn room(&self) -> usize {
        self.ports.capacity()
    }

    fn find(&self, number: u16, is_tcp: bool) -> Option<usize> {
        self.ports.iter().position(|port| port.number == number && port.is_tcp == is_tcp)
    }

    /// Which ports are kept, or count on from one that is.
    fn needed(&self, kept: &[u16]) -> SmallVec<[bool; limits::PORTS_OF_NAT]> {
        let mut needed = SmallVec::from_elem(false, self.ports.len());
        for n in kept.iter().filter_map(|number| self.find(*number, false)) {
            let mut counter = Counter::default();
            for (port, needed) in self.ports.iter().zip(&mut needed).skip(n) {
                *needed |= counter.goes_on(port.number, LARGEST_STEP);
            }
        }
        needed
    }

    /// The oldest port that nothing counts on from, or else is only one of a sequence.
    fn least_needed(&self, kept: &[u16]) -> usize {
        let unneeded = self.needed(kept).iter().position(|needed| !needed);
        let is_kept = |port: &Port| !port.is_tcp && kept.contains(&port.number);
        let other = || self.ports.iter().position(|port| !is_kept(port));
        unneeded.or_else(other).unwrap_or_default()
    }

    /// The port of a UDP socket and those that appeared after it; nothing if it is not known.
    fn since(&self, number: u16) -> &[Port] {
        let start = self.find(number, false);
        start.and_then(|n| self.ports.get(n..)).unwrap_or_default()
    }

    /// Whether a socket that has asked both ports of the server by STUN shows a different port at
    /// each. Its second one appears right after this one, and nothing else comes from there.
    fn is_symmetric(&self, number: u16) -> bool {
        let [asked, later @ ..] = self.since(number) else { return false };
        let is_its_second = |port: &Port| {
            port.has_sent(ALTERNATE)
                && !port.has_sent(MAIN)
                && port.first.since(asked.first) < limits::STUN_PAIR
        };
        asked.has_sent(STUN) && !asked.has_sent(ALTERNATE) && later.iter().any(is_its_second)
    }

    /// What is known of the socket with this port, which `has_counted` when nobody could send in its name.
    pub(super) fn about(&self, number: u16, has_counted: bool) -> About {
        let ports = self.since(number);
        let [port, later @ ..] = ports else { return About::default() };
        if has_counted && among(ports).and_then(|s| self.after(&s)).is_some() {
            return About { kind: Kind::Sequential, maybe: None };
        }
        if port.has_sent(MAIN | ALTERNATE) {
            return About { kind: Kind::Independent, ..About::default() };
        }
        if self.is_symmetric(number) {
            let next = sequence(ports, LARGEST_STEP).and_then(|s| self.after(&s));
            let kind = if next.is_none() { Kind::Symmetric } else { Kind::Sequential };
            return About { kind, maybe: None };
        }
        // A socket that has asked by STUN would have shown it. The others show one port alone,
        // but the connection that a game opens right after takes the next of the same sequence.
        let follows =
            |next: &&Port| next.is_tcp && next.first.since(port.first) < limits::STUN_PAIR;
        let is_followed = !port.has_sent(STUN) && later.first().filter(follows).is_some();
        let sequence = is_followed.then(|| sequence(ports, LARGEST_STEP_UNSURE)).flatten();
        About { maybe: sequence.and_then(|s| self.after(&s)), ..About::default() }
    }

    /// The port that comes next.
    fn after(&self, sequence: &Sequence) -> Option<u16> {
        port(sequence.last, sequence.stride, 1 + i32::from(self.unseen))
    }

    /// The ports that the socket with this port will have towards somebody. What is in `predictions`
    /// before counts still; it is in the order in which that was.
    pub(super) fn next(
        &mut self,
        now: Instant,
        (number, has_counted): (u16, bool),
        towards: SocketAddr,
        destinations: usize,
        predictions: &mut Vec<Prediction>,
    ) -> Ports {
        let known = |told: &&Prediction| told.number == number && told.towards == towards;
        predictions.retain(|told| now - told.at < limits::MAPPING);
        if let Some(told) = predictions.iter().find(known) {
            return told.ports();
        }
        if self.about(number, has_counted).kind != Kind::Sequential {
            return Ports::new();
        }
        let ports = self.since(number);
        let sequence = if has_counted { among(ports) } else { sequence(ports, LARGEST_STEP) };
        let Some(sequence) = sequence else { return Ports::new() };
        let Some(first) = self.after(&sequence) else { return Ports::new() };
        let told = Prediction { number, towards, at: now, first, stride: sequence.stride };
        if predictions.len() == limits::PREDICTED_PAIRS {
            predictions.remove(0);
        }
        predictions.push(told);
        let used = u16::try_from(destinations).unwrap_or(u16::MAX);
        self.unseen = self.unseen.saturating_add(used);
        told.ports()
    }
}

impl Prediction {
    fn ports(&self) -> Ports {
        (0..).map_while(|n| port(self.first, self.stride, n)).take(PREDICTED).collect()
    }
}

/// The port so many strides behind another, if there is one.
fn port(from: u16, stride: i32, strides: i32) -> Option<u16> {
    u16::try_from(i32::from(from) + stride * strides).ok().filter(|port| *port != 0)
}

/// Whether all these ports count. Some NATs take the ports of TCP from the same sequence and some
/// do not.
fn sequence(ports: &[Port], largest: i32) -> Option<Sequence> {
    let with_tcp = counts(ports.iter().map(|port| port.number), largest);
    with_tcp.or_else(|| {
        counts(ports.iter().filter(|port| !port.is_tcp).map(|port| port.number), largest)
    })
}

/// Whether ports follow each other.
fn counts(mut ports: impl Iterator<Item = u16>, largest: i32) -> Option<Sequence> {
    let mut counter = Counter::default();
    ports.all(|port| counter.goes_on(port, largest)).then_some(counter)?.sequence()
}

/// The same of a port that has counted before: ports that do not go on from it are of somebody else, who may have made
/// them up.
fn among(ports: &[Port]) -> Option<Sequence> {
    let among = || {
        let mut counter = Counter::default();
        ports.iter().for_each(|port| _ = counter.goes_on(port.number, LARGEST_STEP));
        counter.sequence()
    };
    sequence(ports, LARGEST_STEP).or_else(among)
}

/// Ports that follow each other in equal small steps; others may have taken some in between.
#[derive(Debug, Default)]
struct Counter {
    last: Option<u16>,
    stride: Option<i32>,
}

impl Counter {
    /// Whether this is one more of them.
    fn goes_on(&mut self, port: u16, largest: i32) -> bool {
        let Some(before) = self.last else {
            self.last = Some(port);
            return true;
        };
        let step = i32::from(port) - i32::from(before);
        if step == 0 || step.abs() > largest {
            return false;
        }
        let stride = match self.stride {
            Some(known) if known.signum() != step.signum() => return false,
            Some(known) if known.abs() <= step.abs() => known,
            _ => step,
        };
        if step % stride != 0 {
            return false;
        }
        (self.last, self.stride) = (Some(port), Some(stride));
        true
    }

    fn sequence(&self) -> Option<Sequence> {
        Some(Sequence { last: self.last?, stride: self.stride? })
    }
}
