//! What the new process does: it makes itself ready, takes all in, and goes on when it is told to.

use std::fmt::Display;
use std::fs;
use std::hint::black_box;
use std::io;
use std::net::TcpStream as StandardStream;
use std::time::{Duration, Instant};

use log::{debug, warn};
use mio::Token;
use mio::net::TcpStream;

use super::channel::{Channel, why};
use super::incoming::IncomingState;
use super::message::{Message, Packet, VERSION};
use super::sender::{FORWARDING, monotonic};
use super::{Offer, Taken};
use crate::cli::BUILD;
use crate::clock;
use crate::dialect::{ConnId, Outbox};
use crate::hash::Map;
use crate::introductions::relay::forwarding::Forwarding;
use crate::introductions::relay::{End, Report};
use crate::limits;
use crate::limits::handover::{FROZEN, TAKE_OVER};
use crate::net::tcp::Arrived;
use crate::net::{EventLoop, FIRST_CONNECTION, sys};
use crate::state::{self, Parts};

/// Nothing is waited for so long.
const FOREVER: Duration = Duration::from_secs(24 * 60 * 60);

/// The connections that have come.
type All = Map<ConnId, Arrived>;

/// What the running process has said when it stopped.
#[derive(Clone, Copy, Debug)]
struct Frozen {
    instant: u64,
    monotonic: u64,
    generation: u32,
    connections: usize,
    unsent: usize,
}

impl EventLoop {
    /// Takes the place of the running process. If that does not come about this one has to end, at which the
    /// other goes on.
    ///
    /// # Errors
    /// If it does not; in a sentence.
    pub fn take_over(&mut self, mut offer: Offer) -> Result<Taken, String> {
        let (pid, sockets) = (offer.pid, offer.taken);
        let expendable = Expendable::new();
        let taken = self.take(&mut offer.channel).map_err(|why| {
            // So that the log of the other tells as well.
            let _ = offer.channel.say(Message::Refused(why.clone()));
            format!("process {pid} goes on, and this one does not take over: {why}")
        });
        let (frozen, connections) = taken?;
        drop(expendable);
        self.connections.prepare_listeners();
        let pause = Duration::from_nanos(monotonic().saturating_sub(frozen.monotonic));
        let mut channel = offer.channel;
        // The service manager hears nothing from this process until the other has told it of this one; then it
        // hangs up.
        let tell = move || {
            channel.wait_until(Instant::now() + TAKE_OVER);
            let _ = channel.hear();
            sys::tell_ready();
        };
        if std::thread::Builder::new().name("ready".into()).spawn(tell).is_err() {
            sys::tell_ready();
        }
        Ok(Taken { pid, connections, sockets, pause })
    }

    /// Returns what was said when the other stopped, and how many connections there are.
    fn take(&mut self, channel: &mut Channel) -> Result<(Frozen, usize), String> {
        let failed = |error: io::Error| format!("the other {}", why(&error));
        channel.wait_until(Instant::now() + TAKE_OVER);
        channel.say(Message::Ready { version: VERSION, build: BUILD.into() }).map_err(failed)?;
        let mut all = All::default();
        self.take_connections(channel, &mut all).map_err(failed)?;
        take_memory(all.len());
        channel.say(Message::HaveConnections).map_err(failed)?;
        let frozen = match channel.hear().map_err(failed)? {
            Message::Frozen { instant, monotonic, generation, connections, unsent } => {
                Frozen { instant, monotonic, generation, connections, unsent }
            }
            Message::Refused(why) => return Err(why),
            _ => return Err(failed(io::ErrorKind::InvalidData.into())),
        };
        channel.wait_until(Instant::now() + FROZEN);
        self.continue_clock(frozen)?;
        let since = || Duration::from_nanos(monotonic().saturating_sub(frozen.monotonic));
        let begun = since();
        self.take_rest(channel, frozen, &mut all).map_err(failed)?;
        let taken = since();
        let (now, mut out) = (self.now(), Outbox::new());
        let from = &mut *channel;
        let (lost, relayed) = std::thread::scope(|scope| {
            let mut parts = IncomingState::new(scope, from).map_err(failed)?;
            self.connections.restore(frozen.generation, all.into_values());
            let lost = self.server.load(now, &mut parts, &mut out);
            let relayed = self.load_relay(&mut parts);
            parts.end().map_err(failed)?;
            let lost = lost.map_err(|why| format!("the state is not understood: {why}"))?;
            Ok::<_, String>((lost, relayed))
        })?;
        debug!(
            "it stopped {begun:.1?} ago; connections were there after {taken:.1?}, and the state was understood \
             after {:.1?}",
            since()
        );
        channel.say(Message::HaveAll).map_err(failed)?;
        // It comes, or the other goes on and hangs up, however long this process was stopped by somebody.
        channel.wait_until(Instant::now() + FOREVER);
        match channel.hear().map_err(failed)? {
            Message::Go => {}
            _ => return Err(failed(io::ErrorKind::InvalidData.into())),
        }
        // From here on nothing may fail, as the other ends. If it does not hear this it has ended.
        let _ = channel.say(Message::Serving);
        if let (Some(relay), Some(relayed)) = (&self.relay, relayed) {
            relay.begin(relayed, self.started);
        }
        self.out = out;
        self.deliver(now);
        self.close_lost(now.instant, &lost);
        self.catch_up();
        Ok((frozen, self.connections.len()))
    }

    /// Takes the datagrams that came while nobody served, which may be more than a turn takes: what has been sent on
    /// connections since is about them.
    fn catch_up(&mut self) {
        /// Turns, of two milliseconds at most.
        const TURNS: usize = 16;
        for _ in 0..TURNS {
            let now = self.now();
            self.server.begin_turn(now.instant);
            if !self.receive_datagrams(now) {
                return;
            }
        }
    }

    /// The sessions of the relay, if there is one here. Those end for the server that the relay does not have.
    fn load_relay(&mut self, parts: &mut dyn Parts) -> Option<Box<Forwarding>> {
        let is_any = parts.part(FORWARDING).is_some();
        let nobody = |why: &dyn Display| {
            if is_any {
                warn!("all relayed sessions have ended: {why}");
            }
        };
        let Some(relay) = &self.relay else {
            nobody(&"this process has no relay");
            return None;
        };
        let now = self.now();
        let saved = state::bytes_of(parts, FORWARDING, Forwarding::VERSION);
        let relayed = saved.and_then(|saved| relay.load(saved));
        let relayed = relayed.unwrap_or_else(|why| {
            nobody(&why);
            relay.without()
        });
        let has = relayed.sessions();
        let lost: Vec<_> = self.server.relay().ids().filter(|id| !has.contains(id)).collect();
        if !lost.is_empty() && !has.is_empty() {
            warn!(
                "{} pairs are no longer relayed: the relay of this process has other ports",
                lost.len()
            );
        } else if !lost.is_empty() {
            nobody(&"the relay has other ports or another address here");
        }
        for id in lost {
            self.server.on_report(now, Report::Ended(id, End::GaveWay));
        }
        Some(relayed)
    }

    /// Lets the clock of the server go on where it was.
    fn continue_clock(&mut self, frozen: Frozen) -> Result<(), String> {
        let since = Duration::from_nanos(monotonic().saturating_sub(frozen.monotonic));
        let age = clock::Instant::from_micros(frozen.instant) - clock::Instant::default() + since;
        let age = age.saturating_sub(limits::WAITED);
        let started = Instant::now().checked_sub(age);
        self.started = started.ok_or("its clock and that of this process do not agree")?;
        self.oldest = self.instant();
        Ok(())
    }

    /// Takes connections, and has the kernel watch them: of what has come already it tells as well. Returns those
    /// of which something was told besides, in the order in which what they have not taken comes.
    fn take_connections(&self, channel: &mut Channel, all: &mut All) -> io::Result<Vec<ConnId>> {
        let mut told = Vec::new();
        loop {
            match channel.receive()? {
                (Packet::Message(Message::Connected), _) => return Ok(told),
                // The other has it, so the kernel would still tell of it.
                (Packet::Gone(gone), _) => {
                    let known = gone.iter().filter_map(|id| all.remove(id));
                    for mut gone in known {
                        self.poll.registry().deregister(&mut gone.stream)?;
                    }
                }
                (Packet::Connections(moved), fds) if fds.is_empty() => {
                    for moved in moved {
                        let arrived = all.get_mut(&moved.id).ok_or_else(invalid)?;
                        arrived.moved = moved;
                        let (token, interest) = (token_of(moved.id), arrived.interest());
                        self.poll.registry().reregister(&mut arrived.stream, token, interest)?;
                        told.push(moved.id);
                    }
                }
                (Packet::Connections(moved), fds) if moved.len() == fds.len() => {
                    for (moved, fd) in moved.into_iter().zip(fds) {
                        let stream = TcpStream::from_std(StandardStream::from(fd));
                        let arrived = self.connections.arrived(moved, stream);
                        let mut arrived = arrived.ok_or_else(invalid)?;
                        let (token, interest) = (token_of(moved.id), arrived.interest());
                        self.poll.registry().register(&mut arrived.stream, token, interest)?;
                        all.insert(moved.id, arrived);
                        told.push(moved.id);
                    }
                }
                _ => return Err(invalid()),
            }
        }
    }

    /// Takes what has changed with the connections until the other stopped, and what they have not taken.
    fn take_rest(&self, channel: &mut Channel, frozen: Frozen, all: &mut All) -> io::Result<()> {
        let told = self.take_connections(channel, all)?;
        let waits = |id: &ConnId| Some((*id, all.get(id)?.moved.unsent?.0));
        let waiting: Vec<(ConnId, usize)> = told.iter().filter_map(waits).collect();
        let mut left = frozen.unsent;
        let sum = waiting.iter().try_fold(0_usize, |sum, (_, length)| sum.checked_add(*length));
        if all.len() != frozen.connections || sum != Some(left) {
            return Err(invalid());
        }
        let mut rest = Vec::new();
        for (id, length) in waiting {
            while rest.len() < length {
                let (Packet::Bytes(more), _) = channel.receive()? else { return Err(invalid()) };
                left = left
                    .checked_sub(more.len())
                    .filter(|_| !more.is_empty())
                    .ok_or_else(invalid)?;
                rest.extend_from_slice(more);
            }
            let later = rest.split_off(length);
            let arrived = all.get_mut(&id).ok_or_else(invalid)?;
            arrived.rest = std::mem::replace(&mut rest, later);
        }
        if rest.is_empty() { Ok(()) } else { Err(invalid()) }
    }

    /// Closes what nothing is known of.
    fn close_lost(&mut self, now: clock::Instant, lost: &[ConnId]) {
        let server = &self.server;
        let unknown = self.connections.open().filter(|id| !server.has(*id));
        let unknown: Vec<ConnId> = unknown.chain(lost.iter().copied()).collect();
        unknown.into_iter().for_each(|id| self.connections.close(now, id));
    }
}

/// Where the kernel is told whom to end first when there is no memory left, from -1000 to 1000: see proc(5).
const OOM_SCORE: &str = "/proc/self/oom_score_adj";

/// While there is one of these, this process ends rather than the one that serves if both together need more memory
/// than there is.
struct Expendable(Option<String>);

impl Expendable {
    fn new() -> Self {
        let before = fs::read_to_string(OOM_SCORE).ok();
        Self(before.filter(|_| fs::write(OOM_SCORE, "1000").is_ok()))
    }
}

impl Drop for Expendable {
    fn drop(&mut self) {
        // What was allowed before is allowed again.
        let _ = self.0.take().map(|before| fs::write(OOM_SCORE, before.trim()));
    }
}

/// Has the system give this process the memory that the state will need, while the other one still serves: when
/// everybody waits, page faults would take a fifth of the time.
fn take_memory(connections: usize) {
    /// Of the state, in bytes: those of hosts, as what is read and what becomes of it.
    const EACH: usize = 2048;
    /// Of larger blocks glibc never keeps any.
    const MOST: usize = 24 << 20;
    // It gives the first one back to the system, as it was large, and keeps the second, as it is not larger.
    for _ in 0..2 {
        drop(black_box(vec![1_u8; MOST.min(EACH * connections)]));
    }
}

fn invalid() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

fn token_of(id: ConnId) -> Token {
    Token(FIRST_CONNECTION + id.slot as usize)
}
