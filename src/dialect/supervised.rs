//! What a panic in a dialect ends: this dialect and its connections, and nothing else.
//!
//! The state of a dialect that has panicked cannot be trusted, so all of it is dropped and the
//! dialect made anew. What dialects [share](super::Shared) stays: these are bounded tables of hints, which may be
//! wrong at any time.
//!
//! Not covered are the event loop and the server's own bookkeeping (who is let in, rates, what is
//! noted of NATs before a dialect is called), as their state concerns everybody; and what does not
//! unwind: a stack or memory that is used up, and a panic during a panic. These end the process,
//! and the service manager starts it again.

use std::cell::Cell;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::{
    Asked, Bound, Census, ConnId, Context, Dialect, Keeping, Reads, Showing, Shows, Use, Via,
};
use crate::blocks::Blocks;
use crate::clock::Instant;
use crate::cluster::NodeId;
use crate::introductions::journal::Attempt;
use crate::limits;
use crate::state::{NotUnderstood, Saved, Saving};

/// Makes a dialect that has heard of nobody yet, given what its IDs and keys come from.
pub(crate) type Make = Box<dyn Fn(StdRng) -> Box<dyn Dialect>>;

/// A dialect whose panics go no further. After one it hears nothing until it has been made anew.
pub(crate) struct Supervised {
    make: Make,
    random: StdRng,
    /// What it was told last of those who wait: it is told of changes alone.
    ready: usize,
    state: State,
    /// It has panicked, and nobody has been told yet.
    has_failed: Cell<bool>,
    /// It was made anew, and other nodes have not been told yet.
    is_anew: bool,
    /// What it said when it wants to wake up, until it does something: all are asked at each turn,
    /// and most have done nothing.
    wakeup: Cell<Option<Option<Instant>>>,
}

#[derive(Debug)]
enum State {
    Speaks(Box<dyn Dialect>),
    RestsUntil(Instant),
}

impl fmt::Debug for Supervised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.state.fmt(f)
    }
}

impl Supervised {
    /// A dialect that is made now and, from other random numbers, after every panic.
    pub(crate) fn new(make: Make, mut random: StdRng) -> Self {
        let dialect = make(StdRng::from_seed(random.random()));
        let state = State::Speaks(dialect);
        let (has_failed, wakeup) = (Cell::new(false), Cell::new(None));
        Self { make, random, ready: 0, state, has_failed, is_anew: false, wakeup }
    }

    /// Whether it runs: it has not panicked, or has rested since.
    pub(crate) fn speaks(&self) -> bool {
        matches!(self.state, State::Speaks(_)) && !self.has_failed.get()
    }

    /// Whether it has panicked since this was asked last: then its connections have to be closed.
    /// It rests now, so that a fault that somebody knows how to cause costs little, whoever causes
    /// it again and again.
    pub(crate) fn take_failure(&mut self, now: Instant) -> bool {
        let failed = self.has_failed.take();
        if failed {
            let rests = State::RestsUntil(now + limits::REST_AFTER_PANIC);
            let broken = std::mem::replace(&mut self.state, rests);
            // It may be so broken that it cannot even be dropped.
            let _ = catch_unwind(AssertUnwindSafe(|| drop(broken)));
        }
        failed
    }

    /// Whether it was made anew since this was asked last: it knows nothing of what other nodes have told it, nor they
    /// of what it has forgotten.
    pub(crate) fn take_anew(&mut self) -> bool {
        std::mem::take(&mut self.is_anew)
    }

    /// Calls it, with what all dialects share. If it panics, nothing of what it wanted done
    /// in this call is done.
    fn act(&mut self, cx: &mut Context<'_>, act: impl FnOnce(&mut dyn Dialect, &mut Context<'_>)) {
        let before = cx.out.len();
        let Some(dialect) = self.speaker() else { return };
        if catch_unwind(AssertUnwindSafe(|| act(dialect, cx))).is_err() {
            self.has_failed.set(true);
            cx.out.truncate(before);
        }
    }

    /// Tells it something that nothing has to be done for.
    fn note(&mut self, note: impl FnOnce(&mut dyn Dialect)) {
        let Some(dialect) = self.speaker() else { return };
        if catch_unwind(AssertUnwindSafe(|| note(dialect))).is_err() {
            self.has_failed.set(true);
        }
    }

    /// The dialect, if it speaks, which may want to wake up at another time after this.
    fn speaker(&mut self) -> Option<&mut dyn Dialect> {
        match &mut self.state {
            State::Speaks(dialect) if !self.has_failed.get() => {
                self.wakeup.set(None);
                Some(dialect.as_mut())
            }
            _ => None,
        }
    }

    /// Asks it something. None: it does not speak.
    fn ask<T>(&self, ask: impl FnOnce(&dyn Dialect) -> T) -> Option<T> {
        let State::Speaks(dialect) = &self.state else { return None };
        if self.has_failed.get() {
            return None;
        }
        let answer = catch_unwind(AssertUnwindSafe(|| ask(dialect.as_ref())));
        self.has_failed.set(answer.is_err());
        answer.ok()
    }
}

impl Dialect for Supervised {
    fn knows(&self, endpoint: SocketAddr) -> bool {
        self.ask(|dialect| dialect.knows(endpoint)).unwrap_or(false)
    }

    fn began_with(&self, since: Instant, addr: IpAddr) -> Option<Instant> {
        self.ask(|dialect| dialect.began_with(since, addr)).flatten()
    }

    fn on_open(&mut self, cx: &mut Context<'_>, conn: ConnId, peer: SocketAddr) {
        self.act(cx, |dialect, cx| dialect.on_open(cx, conn, peer));
    }

    fn on_bytes(&mut self, cx: &mut Context<'_>, conn: ConnId, bytes: &[u8]) {
        self.act(cx, |dialect, cx| dialect.on_bytes(cx, conn, bytes));
    }

    fn on_fin(&mut self, cx: &mut Context<'_>, conn: ConnId) {
        self.act(cx, |dialect, cx| dialect.on_fin(cx, conn));
    }

    fn on_gone(&mut self, cx: &mut Context<'_>, conn: ConnId) {
        self.act(cx, |dialect, cx| dialect.on_gone(cx, conn));
    }

    fn on_eviction(&mut self, conn: ConnId) {
        self.note(|dialect| dialect.on_eviction(conn));
    }

    fn on_blocked(&mut self, cx: &mut Context<'_>, conn: ConnId) {
        self.act(cx, |dialect, cx| dialect.on_blocked(cx, conn));
    }

    fn note_ready(&mut self, sources: usize) {
        self.ready = sources;
        self.note(|dialect| dialect.note_ready(sources));
    }

    fn reads(&self, conn: ConnId) -> Reads {
        self.ask(|dialect| dialect.reads(conn)).unwrap_or(Reads::Now)
    }

    fn on_unread(&mut self, conn: ConnId, bytes: usize) {
        self.note(|dialect| dialect.on_unread(conn, bytes));
    }

    fn on_datagram(&mut self, cx: &mut Context<'_>, via: Via, peer: SocketAddr, data: &[u8]) {
        self.act(cx, |dialect, cx| dialect.on_datagram(cx, via, peer, data));
    }

    fn on_wakeup(&mut self, cx: &mut Context<'_>) {
        if matches!(self.state, State::RestsUntil(until) if until <= cx.now.instant) {
            self.state = State::Speaks((self.make)(StdRng::from_seed(self.random.random())));
            self.note_ready(self.ready);
            self.is_anew = true;
        }
        self.act(cx, |dialect, cx| dialect.on_wakeup(cx));
    }

    fn next_wakeup(&self) -> Option<Instant> {
        let wakeup = match (&self.state, self.wakeup.get()) {
            (State::RestsUntil(until), _) => Some(*until),
            (State::Speaks(_), Some(known)) => known,
            (State::Speaks(_), None) => self.ask(|dialect| dialect.next_wakeup()).flatten(),
        };
        self.wakeup.set(Some(wakeup));
        // At once, so that its connections are closed.
        if self.has_failed.get() { Some(Instant::default()) } else { wakeup }
    }

    fn end_blocked(&mut self, cx: &mut Context<'_>, blocks: &Blocks, most: usize) -> usize {
        let mut ended = 0;
        self.act(cx, |dialect, cx| ended = dialect.end_blocked(cx, blocks, most));
        ended
    }

    fn on_shutdown(&mut self, cx: &mut Context<'_>) {
        self.act(cx, |dialect, cx| dialect.on_shutdown(cx));
    }

    fn owes(&self) -> bool {
        self.ask(|dialect| dialect.owes()).unwrap_or(false)
    }

    fn use_of(&self, conn: ConnId) -> Use {
        self.ask(|dialect| dialect.use_of(conn)).unwrap_or(Use::Idle(Instant::default()))
    }

    fn moves(&self, conn: ConnId) -> bool {
        self.ask(|dialect| dialect.moves(conn)).unwrap_or(false)
    }

    fn on_handed_over(&mut self, cx: &mut Context<'_>) {
        self.act(cx, |dialect, cx| dialect.on_handed_over(cx));
    }

    fn on_left_behind(&mut self, conn: ConnId) {
        self.note(|dialect| dialect.on_left_behind(conn));
    }

    fn on_node_joined(&mut self, cx: &mut Context<'_>, node: NodeId) {
        self.act(cx, |dialect, cx| dialect.on_node_joined(cx, node));
    }

    fn on_node_message(&mut self, cx: &mut Context<'_>, node: NodeId, bytes: &[u8]) {
        self.act(cx, |dialect, cx| dialect.on_node_message(cx, node, bytes));
    }

    fn on_node_gone(&mut self, cx: &mut Context<'_>, node: NodeId) {
        self.act(cx, |dialect, cx| dialect.on_node_gone(cx, node));
    }

    fn on_relay(&mut self, cx: &mut Context<'_>, attempt: &Attempt, is_given: bool) {
        self.act(cx, |dialect, cx| dialect.on_relay(cx, attempt, is_given));
    }

    fn save(&self, to: &mut Saving<'_>) {
        self.ask(|dialect| dialect.save(to));
    }

    fn load(&mut self, cx: &mut Context<'_>, from: &mut Saved<'_>) -> Result<(), NotUnderstood> {
        let mut loaded = Err(NotUnderstood::new("the dialect has failed"));
        self.act(cx, |dialect, cx| loaded = dialect.load(cx, from));
        if loaded.is_err() {
            self.has_failed.set(false);
            self.wakeup.set(None);
            self.state = State::Speaks((self.make)(StdRng::from_seed(self.random.random())));
            self.note_ready(self.ready);
        }
        loaded
    }
}

impl Shows for Supervised {
    fn census(&self) -> Census {
        self.ask(|dialect| dialect.census()).unwrap_or_default()
    }

    fn games(&self, each: &mut dyn FnMut(&str, usize)) {
        self.ask(|dialect| dialect.games(each));
    }

    fn hosts(&self, from: usize, each: &mut Showing<'_>) {
        self.ask(|dialect| dialect.hosts(from, each));
    }

    fn public_lobby(&self, asked: &Asked<'_>, bytes: &mut Vec<u8>) {
        let before = bytes.len();
        if self.ask(|dialect| dialect.public_lobby(asked, bytes)).is_none() {
            bytes.truncate(before);
        }
    }

    fn bounds(&self, each: &mut dyn FnMut(Bound)) {
        self.ask(|dialect| dialect.bounds(each));
    }

    fn kept(&self, each: &mut Keeping<'_>) {
        self.ask(|dialect| dialect.kept(each));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::rc::Rc;

    use crate::clock::Now;
    use crate::dialect::gmnet::{self, Gmnet};
    use crate::dialect::{Name, Outbox, Output};
    use crate::limits::Limits;
    use crate::server::{Config, Server};

    /// Answers whatever comes, and panics where it is told to.
    #[derive(Debug)]
    struct Fragile {
        breaks_in: &'static str,
        conn: Option<ConnId>,
        has_news: bool,
        /// How many wait, as it was told; all share it.
        ready: Rc<Cell<usize>>,
    }

    impl Fragile {
        fn enter(&self, place: &str) {
            assert_ne!(self.breaks_in, place);
        }
    }

    impl Shows for Fragile {}

    impl Dialect for Fragile {
        fn on_open(&mut self, _: &mut Context<'_>, conn: ConnId, _: SocketAddr) {
            self.conn = Some(conn);
            self.enter("on_open");
        }

        fn on_bytes(&mut self, cx: &mut Context<'_>, conn: ConnId, bytes: &[u8]) {
            self.has_news = true;
            cx.out.tcp(conn, |b| {
                b.extend_from_slice(bytes);
                self.enter("on_bytes");
            });
        }

        fn on_fin(&mut self, _: &mut Context<'_>, _: ConnId) {
            self.enter("on_fin");
        }

        fn on_gone(&mut self, _: &mut Context<'_>, _: ConnId) {
            self.enter("on_gone");
        }

        fn note_ready(&mut self, sources: usize) {
            self.ready.set(sources);
        }

        fn on_unread(&mut self, _: ConnId, _: usize) {
            self.enter("on_unread");
        }

        fn on_datagram(&mut self, cx: &mut Context<'_>, via: Via, peer: SocketAddr, _: &[u8]) {
            cx.out.udp(via, peer, |b| b.push(1));
            self.conn.into_iter().for_each(|conn| cx.out.close(conn));
            self.enter("on_datagram");
        }

        fn on_wakeup(&mut self, _: &mut Context<'_>) {
            self.enter("on_wakeup");
        }

        fn next_wakeup(&self) -> Option<Instant> {
            if self.has_news {
                self.enter("next_wakeup");
            }
            None
        }

        fn on_shutdown(&mut self, _: &mut Context<'_>) {
            self.enter("on_shutdown");
        }

        fn owes(&self) -> bool {
            self.enter("owes");
            false
        }

        fn use_of(&self, _: ConnId) -> Use {
            self.enter("use_of");
            Use::Waiting
        }
    }

    /// A server with two dialects, GMnet and one that panics when it first comes to a place.
    struct World {
        server: Server,
        micros: u64,
        ready: Rc<Cell<usize>>,
    }

    impl World {
        fn new(breaks_in: &'static str) -> Self {
            let (made, ready) = (Cell::new(false), Rc::new(Cell::new(0)));
            let told = Rc::clone(&ready);
            let fragile: Make = Box::new(move |_| {
                let breaks_in = if made.replace(true) { "no place" } else { breaks_in };
                let ready = Rc::clone(&told);
                Box::new(Fragile { breaks_in, conn: None, has_news: false, ready })
            });
            let gmnet: Make = Box::new(|_| Box::new(Gmnet::new(gmnet::Config::default())));
            let limits = Limits { connections_per_address: 3, ..Limits::default() };
            let config = Config { limits, ..Config::default() };
            let makers = vec![(Name::Events, fragile), (Name::Gmnet, gmnet)];
            Self { server: Server::speaking(&config, makers), micros: 1_000_000, ready }
        }

        /// What comes of it, in the order in which it is to be done.
        fn act(&mut self, act: impl FnOnce(&mut Server, Now, &mut Outbox)) -> Vec<(char, u32)> {
            let mut out = Outbox::new();
            let now = Now { instant: Instant::from_micros(self.micros), unix: 1 };
            act(&mut self.server, now, &mut out);
            let told = out.outputs().map(|output| match output {
                Output::Tcp(conn, _) => ('t', conn.slot),
                Output::Close(conn) => ('c', conn.slot),
                Output::Udp(..) => ('u', 0),
            });
            told.collect()
        }

        fn open(&mut self, n: u32) -> Vec<(char, u32)> {
            let peer = SocketAddr::from(([203, 0, 113, 7], 4000));
            self.act(|server, now, out| server.on_accept(now, || now.instant, conn(n), peer, out))
        }

        fn send(&mut self, n: u32, bytes: &[u8]) -> Vec<(char, u32)> {
            self.act(|server, now, out| server.on_bytes(now, conn(n), bytes, out))
        }

        fn wake(&mut self) -> Vec<(char, u32)> {
            self.act(|server, now, out| server.on_wakeup(now, out))
        }
    }

    fn conn(n: u32) -> ConnId {
        ConnId { slot: n, generation: 1 }
    }

    /// Wherever a dialect panics, its connections end, the others go on, and it is there again after
    /// a rest.
    #[test]
    fn a_panic_ends_one_dialect_and_its_connections() {
        type Say = fn(&mut Server, Now, SocketAddr, &mut Outbox);
        let peer = SocketAddr::from(([203, 0, 113, 7], 4000));
        let said: [(&str, Say); 11] = [
            ("on_open", |_, _, _, _| {}),
            ("on_bytes", |_, _, _, _| {}),
            ("use_of", |_, _, _, _| {}),
            ("next_wakeup", |server, _, _, _| _ = server.next_wakeup()),
            ("owes", |server, _, _, _| assert!(!server.owes())),
            ("on_unread", |server, _, _, _| server.on_unread(conn(1), 1)),
            ("on_fin", |server, now, _, out| server.on_fin(now, conn(1), out)),
            ("on_gone", |server, now, _, out| server.on_gone(now, conn(1), out)),
            ("on_datagram", |server, now, peer, out| {
                server.on_datagram(now, Via::default(), peer, b"udp:x", out);
            }),
            ("on_wakeup", |server, now, _, out| server.on_wakeup(now, out)),
            ("on_shutdown", |server, now, _, out| server.on_shutdown(now, out)),
        ];
        for (place, say) in said {
            let mut world = World::new(place);
            world.server.note_ready(5000);
            (0..3).for_each(|n| assert_eq!(world.open(n), [], "{place}"));
            assert_eq!(world.send(0, b"version\n"), [('t', 0)], "{place}");
            let is_answered = !matches!(place, "on_open" | "on_bytes");
            assert_eq!(world.send(1, b"{").contains(&('t', 1)), is_answered, "{place}");
            let mut ended = world.send(2, b"{");
            ended.retain(|(what, _)| *what == 'c');
            let done = world.act(|server, now, out| say(server, now, peer, out));
            assert_eq!(done, [], "{place}: what it wanted in the call in which it panicked");
            assert_eq!(world.send(0, b"version\n"), [('t', 0)], "{place}: the other goes on");
            assert_eq!(world.send(1, b"{"), [], "{place}: it hears nothing more");
            assert_eq!(world.server.next_wakeup(), Some(Instant::default()), "{place}");
            ended.extend(world.wake());
            ended.sort_unstable();
            let left = if place == "on_gone" { &[('c', 2)][..] } else { &[('c', 1), ('c', 2)] };
            assert_eq!(ended, left, "{place}: its connections end");

            let again = world.server.next_wakeup().map(Instant::micros);
            assert_eq!(again, Some(2_000_000), "{place}: it does not spin");
            assert_eq!((world.open(3), world.open(4)), (vec![], vec![]), "{place}: uncounted");
            assert_eq!(world.send(3, b"{"), [('c', 3)], "{place}: not while it rests");
            let told = world.ready.replace(0);
            world.micros = 2_000_000;
            assert_eq!(world.wake(), [], "{place}");
            assert_eq!(world.ready.get(), told, "{place}: it knows how many wait");
            assert_eq!(told, 5000);
            assert_eq!(world.send(4, b"{"), [('t', 4)], "{place}: it is there again");
        }
    }
}
