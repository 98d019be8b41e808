//! What the running process does: it tells what there is, stops, tells what it knows, and ends if the other goes on.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::process::Child;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use log::{debug, info};
use rustix::time::{ClockId, clock_gettime};

use super::channel::{Channel, Peer, why};
use super::listener::{HandoverListener, Session, TELL};
use super::message::{GONE, Kind, Message, Moved, PACKET_BYTES, Packet, Place};
use crate::clock;
use crate::dialect::ConnId;
use crate::hash::Set;
use crate::introductions::relay::forwarding::Forwarding;
use crate::limits::handover::{DESCRIPTORS, FROZEN};
use crate::net::relay::Relay;
use crate::net::{EventLoop, HANDOVER, HANDOVER_SESSION, SHUTDOWN, sys};
use crate::server::{Part, Written};

/// The part of the state that has the sessions of the relay's thread.
pub(super) const FORWARDING: &str = "forwarding";

/// How long the relay's thread may take to stop, which it looks for after each packet.
const STOP: Duration = Duration::from_millis(500);

/// What time it is for the system, in nanoseconds.
pub(super) fn monotonic() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    let part = |number: i64| u64::try_from(number).unwrap_or_default();
    part(time.tv_sec) * 1_000_000_000 + part(time.tv_nsec)
}

/// What time it is for the server, and for the system in nanoseconds.
type Moment = (clock::Instant, u64);

impl EventLoop {
    /// Lets other processes ask for the place of this one.
    ///
    /// # Errors
    /// If the system does not let them be waited for.
    pub fn listen_for_handover(&mut self, handover: HandoverListener) -> io::Result<()> {
        handover.register(self.poll.registry(), HANDOVER)?;
        self.handover = Some(handover);
        Ok(())
    }

    /// A process was started to take over, or could not be.
    pub(in crate::net) fn note_successors(&mut self, all: Vec<io::Result<Child>>) {
        for started in all {
            if let Some(handover) = &mut self.handover {
                handover.note_successor(started);
            }
        }
    }

    /// Somebody asks.
    pub(in crate::net) fn accept_handover(&mut self) {
        let Some(mut handover) = self.handover.take() else { return };
        let now = self.instant();
        let connections = self.connections.len();
        handover
            .accept(now, self.poll.registry(), HANDOVER_SESSION, connections, || self.sockets());
        self.handover = Some(handover);
    }

    /// All sockets that are to be had, each with its place.
    fn sockets(&self) -> Vec<(Place, BorrowedFd<'_>)> {
        let mut all = Vec::new();
        let mut add = |kind, addr: io::Result<_>, fd| {
            all.extend(addr.ok().map(|addr| (Place { kind, addr }, fd)));
        };
        let (listeners, window) = self.connections.listeners();
        let mut games = 0;
        for listener in listeners {
            games += 1;
            add(Kind::Tcp, listener.local_addr(), listener.as_fd());
        }
        for (n, socket) in self.datagrams.sockets().enumerate() {
            let kind = if n < games { Kind::Udp } else { Kind::Alternate };
            add(kind, socket.local_addr(), socket.as_fd());
        }
        if let Some(window) = window {
            add(Kind::Window, window.local_addr(), window.as_fd());
        }
        for socket in self.relay.iter().flat_map(Relay::sockets) {
            add(Kind::Relay, socket.local_addr(), socket.as_fd());
        }
        all
    }

    /// Tells the process that makes itself ready of some connections more, which are served here as before: so
    /// little is left for the moment at which everybody waits.
    fn tell_some(&mut self) {
        let Some(session) = self.handover.as_mut().and_then(HandoverListener::session) else {
            return;
        };
        let Some(from) = session.takes() else { return };
        let server = &self.server;
        let some = self.connections.moving_from(from, |id| server.moves(id));
        let (ids, fds): (Vec<_>, Vec<_>) =
            some.take(DESCRIPTORS).map(|(id, stream)| (id, stream.as_fd())).unzip();
        session.channel.wait_until(Instant::now() + TELL);
        let next = ids.last().map(|id| id.slot + 1);
        let told = match next {
            Some(_) => {
                let moved = ids.iter().map(|id| Moved::plain(*id)).collect();
                session.channel.send(&Packet::Connections(moved), &fds)
            }
            None => session.channel.say(Message::Connected),
        };
        session.told.extend(ids);
        session.take_from(next);
        let watches = self.poll.registry().try_clone();
        match told.and(watches) {
            Ok(registry) => self.connections.share(registry),
            Err(error) => {
                if let Some(handover) = &mut self.handover {
                    handover.fail(&format!("it {}", why(&error)));
                }
            }
        }
    }

    /// Hands everything over to the process that is ready for it. Returns whether that goes on, so that this one has
    /// nothing left to do.
    pub(in crate::net) fn hand_over(&mut self) -> bool {
        self.tell_some();
        let ready = self.handover.as_mut().and_then(HandoverListener::take_ready);
        let Some(mut session) = ready else { return false };
        let began = Instant::now();
        session.channel.wait_until(began + FROZEN);
        self.connections.refuse_waiting();
        let told = std::mem::take(&mut session.told);
        match self.give(&mut session.channel, session.peer, told) {
            Ok(moved) => {
                let pid = session.peer.pid;
                let what = if moved == 1 { "connection" } else { "connections" };
                info!(
                    "process {pid} goes on with {moved} {what} after {:.1} ms; this one ends",
                    began.elapsed().as_secs_f64() * 1000.0
                );
                self.part(session);
                true
            }
            Err(why) => {
                self.relay.iter().for_each(Relay::resume);
                if let Some(handover) = &mut self.handover {
                    handover.fail_at_last(session, &why);
                }
                false
            }
        }
    }

    /// Tells the other process all. Returns how many connections move.
    ///
    /// # Errors
    /// If it does not go on; in words that tell why.
    fn give(
        &mut self,
        channel: &mut Channel,
        peer: Peer,
        known: Set<ConnId>,
    ) -> Result<usize, String> {
        let stopped = (self.instant(), monotonic());
        let relayed = self.stop_relay()?.filter(|_| !self.server.relay().is_empty());
        let told =
            self.tell(channel, stopped, known, relayed).map_err(|error| match error.kind() {
                io::ErrorKind::OutOfMemory => {
                    "this process has not enough memory to pass on its state".into()
                }
                _ => match channel.hear() {
                    // Said before it hung up.
                    Ok(Message::Refused(why)) => why,
                    _ => format!("it {}", why(&error)),
                },
            })?;
        let mut hear = |expected: &Message| match channel.hear() {
            Ok(message) if message == *expected => Ok(()),
            Ok(Message::Refused(why)) => Err(why),
            Ok(_) => Err("it says something that is not understood".into()),
            Err(error) => Err(format!("it {}", why(&error))),
        };
        hear(&Message::HaveAll)?;
        channel.say(Message::Go).map_err(|error| format!("it {}", why(&error)))?;
        self.wait_for(channel, peer).map(|()| told)
    }

    /// The other process was told to go on. It does, sooner or later, unless it ends: until one of these is sure
    /// nobody else may serve.
    fn wait_for(&self, channel: &mut Channel, peer: Peer) -> Result<(), String> {
        let mut is_killed = false;
        loop {
            match channel.hear() {
                Ok(Message::Serving) if !is_killed => return Ok(()),
                // It was the last that it said.
                Ok(Message::Serving) => {}
                Ok(_) => return Err("it says something that is not understood".into()),
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    // Then this one is not needed, whatever becomes of the other.
                    if self.stop.load(Ordering::SeqCst) {
                        return Ok(());
                    }
                    is_killed = is_killed || peer.kill();
                    channel.wait_until(Instant::now() + FROZEN);
                }
                Err(_) if is_killed => return Err("it does not answer in time".into()),
                Err(error) => return Err(format!("it {}", why(&error))),
            }
        }
    }

    /// Stops the relay, if there is one. Returns its sessions.
    fn stop_relay(&mut self) -> Result<Option<Vec<u8>>, String> {
        self.open_sessions();
        let Some(relay) = &self.relay else { return Ok(None) };
        let saved = relay.stop(STOP).ok_or("the relay of this one does not stop")?;
        // Nothing is told twice.
        let now = self.now();
        while let Some(Ok(Some(report))) = self.relay.as_ref().map(Relay::report) {
            self.server.on_report(now, report);
        }
        Ok(Some(saved))
    }

    fn tell(
        &self,
        channel: &Channel,
        stopped: Moment,
        known: Set<ConnId>,
        relayed: Option<Vec<u8>>,
    ) -> io::Result<usize> {
        let began = Instant::now();
        let connections = self.tell_connections(channel, stopped, known)?;
        let sent = began.elapsed();
        let (mut bytes, mut told) = (0, Ok(()));
        let mut put = |part: Written| {
            bytes += part.as_ref().map_or(0, |part| part.bytes.len());
            if told.is_ok() {
                let part = part.ok_or_else(|| io::ErrorKind::OutOfMemory.into());
                told = part.and_then(|part| tell_part(channel, part));
            }
        };
        let relayed = relayed.map(|bytes| Part {
            name: FORWARDING.into(),
            version: Forwarding::VERSION,
            bytes,
        });
        relayed.into_iter().for_each(|part| put(Some(part)));
        self.server.save_parts(&mut put);
        told?;
        channel.say(Message::Whole)?;
        debug!(
            "{connections} connections are told of after {sent:.1?}, and {bytes} bytes of state after {:.1?}",
            began.elapsed()
        );
        Ok(connections)
    }

    /// Tells that this process has stopped, and what has changed with the connections since they were told of.
    /// Returns how many move.
    fn tell_connections(
        &self,
        channel: &Channel,
        (instant, monotonic): Moment,
        mut known: Set<ConnId>,
    ) -> io::Result<usize> {
        let (mut connections, mut changed, mut new) = (0, Vec::new(), Vec::new());
        for (moved, stream, rest) in self.connections.moving(|id| self.server.moves(id)) {
            connections += 1;
            match known.remove(&moved.id) {
                true if moved == Moved::plain(moved.id) => {}
                true => changed.push((moved, rest)),
                false => new.push((moved, rest, stream.as_fd())),
            }
        }
        let rests = changed.iter().map(|(_, rest)| *rest);
        let rests: Vec<&[u8]> = rests.chain(new.iter().map(|(_, rest, _)| *rest)).collect();
        channel.say(Message::Frozen {
            instant: instant.micros(),
            monotonic,
            generation: self.connections.generation(),
            connections,
            unsent: rests.iter().map(|rest| rest.len()).sum(),
        })?;
        let gone: Vec<ConnId> = known.into_iter().collect();
        let mut gone = gone.chunks(GONE);
        gone.try_for_each(|some| channel.send(&Packet::Gone(some.to_vec()), &[]))?;
        for some in changed.chunks(DESCRIPTORS) {
            let moved = some.iter().map(|(moved, _)| *moved).collect();
            channel.send(&Packet::Connections(moved), &[])?;
        }
        for some in new.chunks(DESCRIPTORS) {
            let moved = some.iter().map(|(moved, ..)| *moved).collect();
            let fds: Vec<_> = some.iter().map(|(.., fd)| *fd).collect();
            channel.send(&Packet::Connections(moved), &fds)?;
        }
        channel.say(Message::Connected)?;
        let mut rests = rests.iter().flat_map(|rest| rest.chunks(PACKET_BYTES));
        rests.try_for_each(|part| channel.send(&Packet::Bytes(part), &[]))?;
        Ok(connections)
    }

    /// The other process goes on. Connections that have not moved end here, when they have what they were told.
    fn part(&mut self, session: Session) {
        let server = &self.server;
        self.connections.let_go(|id| server.moves(id));
        self.datagrams.let_go();
        self.handover.take().iter_mut().for_each(HandoverListener::close_failed);
        sys::tell_successor(session.peer.pid);
        // It has seen by this that the service manager knows of it.
        drop(session);
        // Who has not moved, as it is encrypted, hears a goodbye.
        let now = self.now();
        self.server.say_goodbye(now, &mut self.out);
        self.deliver(now);
        let deadline = self.instant() + SHUTDOWN;
        while self.connections.owe() && self.instant() < deadline {
            std::thread::sleep(Duration::from_millis(2));
            let now = self.instant();
            self.connections.flush_all(now, self.poll.registry());
        }
        self.connections.finish();
    }
}

fn tell_part(channel: &Channel, part: Part) -> io::Result<()> {
    let Part { name, version, bytes } = part;
    channel.say(Message::Part { name, version, length: bytes.len() })?;
    let mut bytes = bytes.chunks(PACKET_BYTES);
    bytes.try_for_each(|some| channel.send(&Packet::Bytes(some), &[]))
}
