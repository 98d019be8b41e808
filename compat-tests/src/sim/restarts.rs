//! A server that goes on in another process at random moments: all that it knows is written, read by a new one, and
//! nobody may notice. The new one draws other random numbers and hashes with other keys.

use std::net::SocketAddr;

use punchd::clock::{Instant, Now};
use punchd::dialect::{ConnId, Outbox, Via};
use punchd::introductions::relay::Bounds;
use punchd::introductions::relay::forwarding::Forwarding;
use punchd::server::{Config, Server, State};

use super::Serves;
use super::rng::Rng;

/// Chance that a server moves.
#[derive(Debug)]
pub struct Restarts {
    config: Config,
    rng: Rng,
    /// It happens at one of so many moments; never if that is zero.
    one_of: usize,
    /// How often it has happened.
    pub count: u64,
}

impl Restarts {
    /// Those of a seed, for servers with these options; in every other one there are none. On average they are no
    /// nearer than so many things that happen.
    #[must_use]
    pub fn any(seed: u64, config: Config, nearest: usize) -> Self {
        let mut rng = Rng::new(!seed);
        let one_of = if rng.permille(500) { nearest * rng.pick([1, 5, 25]) } else { 0 };
        Self { config, rng, one_of, count: 0 }
    }

    /// One at every moment.
    #[must_use]
    pub fn always(config: Config) -> Self {
        Self { config, rng: Rng::new(0), one_of: 1, count: 0 }
    }

    /// It may be time; whether it was.
    ///
    /// # Panics
    ///
    /// If something is not understood.
    pub fn maybe(&mut self, server: &mut Server, now: Now, out: &mut Outbox) -> bool {
        let is_time = self.one_of > 0 && self.rng.index(self.one_of) == 0;
        if is_time {
            self.count += 1;
            self.config.seed = [0; 32];
            self.config.seed[..8].copy_from_slice(&self.count.to_le_bytes());
            *server = go_on(server, self.config.clone(), now, out);
        }
        is_time
    }
}

/// The relay's thread goes on in the other process as well.
///
/// # Panics
///
/// If something is not understood.
#[expect(clippy::panic, reason = "what cannot be read back is a broken promise")]
pub fn pass_on(forwarding: &mut Forwarding, bounds: Bounds) {
    let mut next = Forwarding::new(bounds);
    let loaded = forwarding.save().map(|bytes| next.load(&bytes, |_, _| true));
    match loaded {
        Some(Ok(())) => *forwarding = next,
        other => panic!("the relay cannot go on: {other:?}"),
    }
}

/// The server as another process goes on with it.
///
/// # Panics
///
/// If something is not understood.
#[must_use]
#[expect(clippy::panic, reason = "what cannot be read back is a broken promise")]
pub fn go_on(server: &Server, config: Config, now: Now, out: &mut Outbox) -> Server {
    let mut next = Server::new(config);
    let saved = server.save();
    match State::decode(&saved.encode()).map(|mut state| next.load(now, &mut state, out)) {
        Ok(Ok(lost)) if lost.is_empty() => {}
        other => panic!("it cannot go on: {other:?}"),
    }
    // Tables may be in another order, but have the same in them.
    let lengths = |state: &State| -> Vec<_> {
        state.parts().iter().map(|part| (part.name.clone(), part.bytes.len())).collect()
    };
    assert_eq!(lengths(&next.save()), lengths(&saved), "something is lost");
    next
}

/// A server with all that may happen to it.
#[derive(Debug)]
pub struct Restarting {
    server: Server,
    restarts: Restarts,
}

impl Restarting {
    /// This server, which moves as chance has it.
    #[must_use]
    pub fn new(restarts: Restarts) -> Self {
        Self { server: Server::new(restarts.config.clone()), restarts }
    }

    fn at(&mut self, now: Now, out: &mut Outbox) -> &mut Server {
        self.restarts.maybe(&mut self.server, now, out);
        &mut self.server
    }
}

impl Serves for Restarting {
    fn on_accept(
        &mut self,
        now: Now,
        began: Instant,
        conn: ConnId,
        peer: SocketAddr,
        out: &mut Outbox,
    ) {
        self.at(now, out).on_accept(now, || began, conn, peer, out);
    }

    fn on_bytes(&mut self, now: Now, conn: ConnId, bytes: &[u8], out: &mut Outbox) {
        self.at(now, out).on_bytes(now, conn, bytes, out);
    }

    fn on_fin(&mut self, now: Now, conn: ConnId, out: &mut Outbox) {
        self.at(now, out).on_fin(now, conn, out);
    }

    fn on_gone(&mut self, now: Now, conn: ConnId, out: &mut Outbox) {
        self.at(now, out).on_gone(now, conn, out);
    }

    fn on_datagram(&mut self, now: Now, via: Via, peer: SocketAddr, data: &[u8], out: &mut Outbox) {
        self.at(now, out).on_datagram(now, via, peer, data, out);
    }

    fn on_wakeup(&mut self, now: Now, out: &mut Outbox) {
        self.at(now, out).on_wakeup(now, out);
    }

    fn next_wakeup(&self) -> Option<Instant> {
        self.server.next_wakeup()
    }

    fn on_shutdown(&mut self, now: Now, out: &mut Outbox) {
        self.at(now, out).on_shutdown(now, out);
    }

    fn owes(&self) -> bool {
        self.server.owes()
    }
}
