//! One schedule: the real dialect, the made-up network, the peers, and the book.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use punchd::clock::{Instant, Now};
use punchd::dialect::gmnet::Config;
use punchd::dialect::{ConnId, Name, Outbox, Output, Stream, Via, of_stream};

use super::link::{Death, LinkId};
use super::nat::Nat;
use super::network::{Datagram, Event, MASTER, Network, Segment};
use super::peers::{Access, Peer};
use super::promises::{Book, Kept, Listed, Promise, broken};
use super::trace::{Trace, Who};
use super::wire::{self, Message};
use super::{Serves, Summary, plan};

/// The server's clock starts on this day; any day would do.
const EPOCH: u64 = 1_700_000_000;

/// So long after the last peer has left, nothing may be left of it.
const AFTERWARDS: Duration = Duration::from_secs(3600);

/// Where the lobby is looked at from, after every step.
pub const OBSERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 250)), 1000);

/// A schedule that is being run.
#[derive(Debug)]
pub struct Sim<D> {
    dialect: D,
    out: Outbox,
    network: Network,
    peers: Vec<Box<dyn Peer>>,
    book: Book,
    trace: Trace,
    /// How late the event loop is when it wakes the dialect.
    lateness: Duration,
    /// Which link a slot of the connection table belongs to.
    slots: Vec<Option<LinkId>>,
    free: BTreeSet<u32>,
    generation: u32,
    /// Looks at the lobby, until everybody has left.
    observer: Option<ConnId>,
    /// The last reply of the lobby, and what it says.
    lobby: (Vec<u8>, Vec<Listed>),
    steps: u64,
    is_over: bool,
}

impl<D: Serves> Sim<D> {
    /// The schedule of a seed, for that dialect.
    pub fn new(seed: u64, dialect: D, config: &Config, trace: Trace) -> Self {
        let plan::Plan { network, peers } = plan::plan(seed, !config.public_ips.is_empty());
        let lateness = Duration::from_micros(seed % 1000);
        let nats = network.sites.iter().filter_map(|site| site.nat.as_ref());
        let counting = nats.filter_map(Nat::counting).collect();
        let mut sim = Self {
            dialect,
            out: Outbox::new(),
            network,
            peers,
            book: Book::new(config, counting),
            trace,
            lateness,
            slots: Vec::new(),
            free: BTreeSet::new(),
            generation: 0,
            observer: None,
            lobby: (Vec::new(), Vec::new()),
            steps: 0,
            is_over: false,
        };
        sim.observe();
        sim
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// With the first promise that is broken.
    pub fn run(&mut self) -> Kept {
        let end = Instant::from_micros(0) + plan::DURATION;
        while self.next_time().is_some_and(|time| time < end) {
            self.step()?;
        }
        self.network.now = end;
        if self.network.rng.permille(300) {
            self.shut_down()?;
        }
        self.leave();
        while self.next_time().is_some_and(|time| time < end + AFTERWARDS) {
            self.step()?;
        }
        self.check_nothing_is_left()
    }

    /// Lets the observer connect.
    fn observe(&mut self) {
        let (conn, now) = (self.take_slot(None), self.now());
        self.observer = Some(conn);
        self.dialect.on_accept(now, now.instant, conn, OBSERVER, &mut self.out);
    }

    /// What time it is.
    #[must_use]
    pub fn time(&self) -> Instant {
        self.network.now
    }

    /// What happened.
    pub fn into_trace(self) -> Trace {
        self.trace
    }

    /// The figures so far.
    #[must_use]
    pub fn summary(&self) -> Summary {
        Summary {
            schedules: 1,
            steps: self.steps,
            introductions: self.book.introductions,
            not_found: self.book.not_found,
            notifications: self.book.notifications,
            joined: self.peers.iter().map(|peer| peer.joined() as u64).sum(),
            to_others: self.book.to_others,
            simulated: self.network.now.since(Instant::from_micros(0)),
            trace: self.trace.hash(),
        }
    }

    fn now(&self) -> Now {
        let instant = self.network.now;
        Now { instant, unix: EPOCH + instant.micros() / 1_000_000 }
    }

    /// When the dialect is woken if nothing arrives before.
    fn wakeup(&self) -> Option<Instant> {
        self.dialect.next_wakeup().map(|at| (at + self.lateness).max(self.network.now))
    }

    fn next_time(&self) -> Option<Instant> {
        self.wakeup().into_iter().chain(self.network.next_time()).min()
    }

    fn step(&mut self) -> Kept {
        self.steps += 1;
        let wakeup = self.wakeup();
        let is_wakeup =
            wakeup.is_some_and(|at| self.network.next_time().is_none_or(|next| at < next));
        match wakeup.filter(|_| is_wakeup) {
            Some(at) => self.wake(at)?,
            None => match self.network.pop() {
                Some(event) => self.handle(event),
                None => return Ok(()),
            },
        }
        self.deliver()?;
        self.book.check(self.network.now)?;
        self.check_lobby()
    }

    fn wake(&mut self, at: Instant) -> Kept {
        self.network.now = at;
        self.trace.note(at, "wakeup", Who::Server, b"");
        self.dialect.on_wakeup(self.now(), &mut self.out);
        match self.dialect.next_wakeup() {
            Some(next) if next <= at => {
                broken(Promise::Sleeps, format!("woken at {at:?}, it wants to be at {next:?}"))
            }
            _ => Ok(()),
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Wake(peer, timer) if !self.is_over => {
                self.with_peer(peer, |peer, access| peer.wake(timer, access));
            }
            Event::Wake(..) => {}
            Event::Arrive(link, segment) => self.arrive(link, segment),
            Event::Tell(link, bytes) => {
                self.with_listener(link, |peer, access| peer.hear(link, &bytes, access));
            }
            Event::Closed(link) => {
                self.with_listener(link, |peer, access| peer.closed(link, access));
            }
            Event::Datagram(datagram) if datagram.to == MASTER => self.datagram(&datagram),
            Event::Datagram(datagram) => {
                if let Some(peer) = self.network.receiver(&datagram) {
                    self.with_peer(peer, |peer, access| {
                        peer.receive(datagram.from, &datagram.data, access);
                    });
                }
            }
            Event::Die(id, death) => match self.network.links.get_mut(id.0) {
                Some(link) if !link.is_cut => {
                    link.is_cut = true;
                    self.end(id, death);
                }
                _ => {}
            },
            Event::End(link, death) => self.end(link, death),
        }
    }

    fn with_peer(&mut self, me: usize, act: impl FnOnce(&mut dyn Peer, &mut Access<'_>)) {
        if let Some(peer) = self.peers.get_mut(me).filter(|_| !self.is_over) {
            act(peer.as_mut(), &mut Access { net: &mut self.network, me });
        }
    }

    fn with_listener(&mut self, id: LinkId, act: impl FnOnce(&mut dyn Peer, &mut Access<'_>)) {
        let Some(link) = self.network.links.get(id.0) else { return };
        if !link.deaf && !link.silent {
            self.with_peer(link.owner, act);
        }
    }

    fn datagram(&mut self, datagram: &Datagram) {
        let (now, from) = (self.now(), datagram.from);
        self.trace.note(now.instant, "datagram", Who::Peer(from), &datagram.data);
        self.book.came(from, &datagram.data);
        self.book.shown(now.instant, from, datagram.said, datagram.sender);
        let via = Via { socket: 0, local: None };
        self.dialect.on_datagram(now, via, from, &datagram.data, &mut self.out);
    }

    fn arrive(&mut self, id: LinkId, segment: Segment) {
        let Some(link) = self.network.links.get(id.0) else { return };
        if link.is_cut && segment != Segment::GivenUp {
            return;
        }
        match segment {
            Segment::Open => self.open(id),
            Segment::Bytes(bytes) => self.bytes(id, &bytes),
            Segment::Fin => self.fin(id),
            Segment::Reset | Segment::GivenUp => self.gone(id),
        }
    }

    fn open(&mut self, id: LinkId) {
        let now = self.now();
        let conn = self.take_slot(Some(id));
        let Some(link) = self.network.links.get_mut(id.0) else { return };
        link.conn = Some(conn);
        self.trace.note(now.instant, "open", Who::Conn(conn), link.source.to_string().as_bytes());
        self.book.opened(now.instant, conn, link);
        let began = now.instant.before(link.round_trip);
        self.dialect.on_accept(now, began, conn, link.source, &mut self.out);
    }

    fn bytes(&mut self, id: LinkId, bytes: &[u8]) {
        let now = self.now();
        let Some(link) = self.network.links.get_mut(id.0) else { return };
        let Some(conn) = link.conn else { return };
        let (length, death) = link.survives(bytes.len());
        let bytes = bytes.get(..length).unwrap_or(bytes);
        if !bytes.is_empty() {
            if link.is_new() && of_stream(bytes) == Stream::Of(Name::Events) {
                self.book.is_foreign(conn);
            }
            let commands = link.arrive(length);
            self.book.arrived(now.instant, conn, commands, link.is_amid_command());
            self.trace.note(now.instant, "bytes", Who::Conn(conn), bytes);
            self.dialect.on_bytes(now, conn, bytes, &mut self.out);
        }
        if let Some(death) = death {
            link.is_cut = true;
            self.network.at(now.instant, Event::End(id, death));
        }
    }

    /// A connection ends at this very moment, with what has arrived until now.
    fn end(&mut self, id: LinkId, death: Death) {
        let now = self.network.now;
        let Some(link) = self.network.links.get_mut(id.0) else { return };
        let Some(conn) = link.conn else { return };
        match death {
            Death::Silence => {
                link.silent = true;
                self.book.silenced(conn);
                let time = now + self.network.rng.millis(5_000..60_000);
                self.network.at(time, Event::Arrive(id, Segment::GivenUp));
            }
            Death::Fin | Death::Reset => {
                self.network.at(now, Event::Closed(id));
                match death {
                    Death::Fin => self.fin(id),
                    _ => self.gone(id),
                }
            }
        }
    }

    fn fin(&mut self, id: LinkId) {
        let now = self.now();
        let Some(link) = self.network.links.get_mut(id.0) else { return };
        let Some(conn) = link.conn.filter(|_| !link.is_finished) else { return };
        link.is_finished = true;
        self.trace.note(now.instant, "fin", Who::Conn(conn), b"");
        self.book.finished(now.instant, conn, link.finish());
        self.dialect.on_fin(now, conn, &mut self.out);
    }

    fn gone(&mut self, id: LinkId) {
        let now = self.now();
        let Some(link) = self.network.links.get_mut(id.0) else { return };
        link.is_cut = true;
        let Some(conn) = link.conn.take() else { return };
        self.trace.note(now.instant, "gone", Who::Conn(conn), b"");
        self.book.gone(now.instant, conn);
        self.give_back(conn);
        self.dialect.on_gone(now, conn, &mut self.out);
    }

    /// Does what the dialect wants done.
    fn deliver(&mut self) -> Kept {
        let out = std::mem::take(&mut self.out);
        for output in out.outputs() {
            self.output(output)?;
        }
        self.out = out;
        self.out.clear();
        Ok(())
    }

    fn output(&mut self, output: Output<'_>) -> Kept {
        let now = self.network.now;
        match output {
            Output::Tcp(conn, bytes) => {
                self.trace.note(now, "  write", Who::Conn(conn), bytes);
                self.book.written(now, conn, bytes)?;
                if let Some(link) = self.link_of(conn) {
                    self.network.tell(link, Some(bytes));
                }
            }
            // It has not looked for too long.
            Output::Close(conn) if Some(conn) == self.observer => {
                self.give_back(conn);
                self.observe();
            }
            Output::Close(conn) => {
                self.trace.note(now, "  close", Who::Conn(conn), b"");
                self.book.closed(now, conn)?;
                if let Some(id) = self.link_of(conn) {
                    self.network.tell(id, None);
                    if let Some(link) = self.network.links.get_mut(id.0) {
                        (link.conn, link.is_cut) = (None, true);
                    }
                    self.give_back(conn);
                }
            }
            Output::Udp(_, to, bytes) => {
                self.trace.note(now, "  send", Who::Peer(to), bytes);
                self.book.sent(to, bytes)?;
            }
        }
        Ok(())
    }

    fn link_of(&self, conn: ConnId) -> Option<LinkId> {
        let id = self.slots.get(conn.slot as usize).copied().flatten()?;
        self.network.links.get(id.0).filter(|link| link.conn == Some(conn)).map(|_| id)
    }

    /// The lowest free slot, as the server's own table gives it.
    fn take_slot(&mut self, link: Option<LinkId>) -> ConnId {
        let slot = self.free.pop_first().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() as u32 - 1
        });
        if let Some(entry) = self.slots.get_mut(slot as usize) {
            *entry = link;
        }
        self.generation += 1;
        ConnId { slot, generation: self.generation }
    }

    fn give_back(&mut self, conn: ConnId) {
        self.free.insert(conn.slot);
    }

    /// Looks at the lobby through an eye of its own and compares it with the book.
    fn check_lobby(&mut self) -> Kept {
        let (now, mut out) = (self.now(), Outbox::new());
        let Some(observer) = self.observer else { return Ok(()) };
        if self.is_over && self.book.check_empty().is_ok() {
            self.observer = None;
            self.dialect.on_gone(now, observer, &mut out);
            return Ok(());
        }
        self.dialect.on_bytes(now, observer, &wire::lobby2(), &mut out);
        let mut outputs = out.outputs();
        let (Some(Output::Tcp(_, reply)), None) = (outputs.next(), outputs.next()) else {
            return broken(Promise::OneAnswer, "the observer did not get the list".into());
        };
        if reply != self.lobby.0 {
            let list = match wire::parse(reply) {
                Some(Message::Lobby(json)) => serde_json::from_str(json).ok(),
                _ => None,
            };
            let Some(list) = list else {
                let text = reply.escape_ascii();
                return broken(Promise::OnePiece, format!("this is no list: {text}"));
            };
            self.lobby = (reply.to_vec(), list);
        }
        self.book.check_lobby(now.instant, &self.lobby.1)
    }

    fn shut_down(&mut self) -> Kept {
        self.trace.note(self.network.now, "shutdown", Who::Server, b"");
        self.book.is_stopping = true;
        self.dialect.on_shutdown(self.now(), &mut self.out);
        self.deliver()?;
        self.book.check_stopped()
    }

    /// Everybody goes, each in a way of his own.
    fn leave(&mut self) {
        self.is_over = true;
        for n in 0..self.network.links.len() {
            if self.network.rng.permille(300) {
                self.network.reset(LinkId(n));
            } else {
                self.network.finish(LinkId(n), true);
            }
        }
    }

    fn check_nothing_is_left(&self) -> Kept {
        self.book.check_empty()?;
        if let Some(at) = self.dialect.next_wakeup() {
            return broken(Promise::Drains, format!("nobody is left, it wants to wake at {at:?}"));
        }
        if self.dialect.owes() {
            return broken(Promise::Drains, "nobody is left, it owes something".into());
        }
        Ok(())
    }
}
