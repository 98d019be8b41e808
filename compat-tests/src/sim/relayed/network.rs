//! What carries datagrams and bytes, and its made-up clock.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use punchd::clock::Instant;
use punchd::dialect::ConnId;
use punchd::introductions::relay::Report;

use super::super::nat::{Inside, Nat};
use super::super::network::MASTER;
use super::super::rng::Rng;
use super::plan::{ALTERNATE, Plan};

/// What happens.
#[derive(Clone, Debug)]
pub(super) enum Event {
    /// A connection is open at the server.
    Open(usize),
    /// Bytes arrive on it there.
    Bytes(usize, Vec<u8>),
    /// It ends there, with a goodbye or without.
    End(usize, bool),
    /// What the server wrote arrives at the player.
    Tell(usize, Vec<u8>),
    /// A datagram arrives: from where, where, and what.
    Datagram(SocketAddr, SocketAddr, Rc<[u8]>),
    /// A player has something to do.
    Wake(usize, Timer),
    /// The relay's thread looks for sessions.
    ThreadWakes,
    /// A report reaches the server.
    Report(Report),
    /// A meddler sends something.
    Meddle(usize),
    /// A NAT forgets its mappings.
    Forget(usize),
    /// It is looked who gets what he was promised.
    Look,
}

/// What a player has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    Start,
    /// The next step of its game.
    Step,
    /// Asks once more on the same connection.
    AskAgain,
    /// Closes its connection.
    HangUp,
    /// A host changes its data.
    Commit,
    /// The game ends.
    Leave,
}

/// A TCP connection to the server.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) player: usize,
    pub(super) source: SocketAddr,
    delay: Duration,
    pub(super) conn: Option<ConnId>,
    /// The player is done with it.
    is_ended: bool,
}

#[derive(Debug)]
pub(super) struct Network {
    pub(super) now: Instant,
    pub(super) rng: Rng,
    pub(super) plan: Plan,
    queue: BTreeMap<(Instant, u64), Event>,
    sequence: u64,
    pub(super) nats: Vec<Nat>,
    pub(super) links: Vec<Link>,
    /// No two packets of players are the same.
    marks: u64,
    /// What a player sends who sends very much, made once.
    bulk: Option<Rc<[u8]>>,
}

impl Network {
    pub(super) fn new(rng: Rng, plan: Plan) -> Self {
        Self {
            // The clock of a real server is at zero when it starts and later when somebody comes.
            now: Instant::from_micros(1),
            rng,
            plan,
            queue: BTreeMap::new(),
            sequence: 0,
            nats: Vec::new(),
            links: Vec::new(),
            marks: 0,
            bulk: None,
        }
    }

    /// Something happens so much later; what was said first of one time happens first.
    pub(super) fn after(&mut self, delay: Duration, event: Event) {
        self.at(self.now + delay, event);
    }

    pub(super) fn at(&mut self, at: Instant, event: Event) {
        self.sequence += 1;
        self.queue.insert((at, self.sequence), event);
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.queue.first_key_value().map(|((at, _), _)| *at)
    }

    pub(super) fn pop(&mut self, at: Instant) -> Option<Event> {
        let entry = self.queue.first_entry().filter(|entry| entry.key().0 == at)?;
        Some(entry.remove())
    }

    /// A packet of GameMaker of that kind, unlike all others.
    pub(super) fn packet(&mut self, kind: u8, size: usize) -> Rc<[u8]> {
        if size > 100_000 {
            let make = || super::super::wire::datagram(&vec![kind; size]).into();
            return Rc::clone(self.bulk.get_or_insert_with(make));
        }
        self.marks += 1;
        let mut payload = vec![kind];
        payload.extend(self.marks.to_le_bytes());
        payload.resize(size.max(payload.len()), kind);
        super::super::wire::datagram(&payload).into()
    }

    /// A player shows the server by STUN whether its NAT gives each destination another port.
    pub(super) fn show_kind(&mut self, from: Inside, nat: usize) {
        let request: Rc<[u8]> = Rc::from(b"\0\x01\0\0\x21\x12\xa4\x420123456789ab".as_slice());
        for to in [MASTER, ALTERNATE] {
            self.send(from, nat, to, Rc::clone(&request));
        }
    }

    /// A player sends a datagram.
    pub(super) fn send(&mut self, from: Inside, nat: usize, to: SocketAddr, data: Rc<[u8]>) {
        let Some(nat) = self.nats.get_mut(nat) else { return };
        // It has no socket for the other family.
        if nat.addr().is_ipv4() != to.is_ipv4() {
            return;
        }
        let source = nat.outbound(self.now, from, to, &mut self.rng);
        let copies = if self.rng.permille(self.plan.twice) { 2 } else { 1 };
        for _ in 0..copies {
            self.carry(source, to, &data);
        }
    }

    /// A datagram is under way, if it is not lost.
    pub(super) fn carry(&mut self, from: SocketAddr, to: SocketAddr, data: &Rc<[u8]>) {
        if !self.rng.permille(self.plan.loss) {
            let delay = self.rng.millis(self.plan.delay.clone());
            self.after(delay, Event::Datagram(from, to, Rc::clone(data)));
        }
    }

    /// Who gets a datagram that is sent to the address of a NAT.
    pub(super) fn inbound(&mut self, from: SocketAddr, to: SocketAddr) -> Option<Inside> {
        let now = self.now;
        let nat = self.nats.iter_mut().find(|nat| nat.addr() == to.ip())?;
        nat.inbound(now, to.port(), from)
    }

    /// A player connects to the server.
    pub(super) fn connect(&mut self, player: usize, nat: usize) -> usize {
        let addr = self.nats[nat].addr();
        let source = SocketAddr::new(addr, self.rng.within(1024..65_000) as u16);
        let delay = self.rng.millis(self.plan.delay.clone());
        let id = self.links.len();
        self.links.push(Link { player, source, delay, conn: None, is_ended: false });
        // The answer to its first packet, and what that is answered with.
        self.after(3 * delay, Event::Open(id));
        id
    }

    /// It says something, for the first time at once when the connection is open.
    pub(super) fn say(&mut self, link: usize, bytes: Vec<u8>) {
        let Some(Link { delay, conn, is_ended: false, .. }) = self.links.get(link) else { return };
        let delay = if conn.is_some() { *delay } else { 3 * *delay };
        self.after(delay, Event::Bytes(link, bytes));
    }

    /// It is done with a connection.
    pub(super) fn hang_up(&mut self, link: usize) {
        let is_reset = self.rng.permille(200);
        if let Some(link @ Link { is_ended: false, .. }) = self.links.get_mut(link) {
            link.is_ended = true;
        } else {
            return;
        }
        let delay = self.links[link].delay;
        // After all that is under way.
        self.after(3 * delay, Event::End(link, is_reset));
    }

    /// The server says something on a connection.
    pub(super) fn tell(&mut self, link: usize, bytes: &[u8]) {
        let delay = self.links[link].delay;
        self.after(delay, Event::Tell(link, bytes.to_vec()));
    }

    /// Whether its player still listens on a connection.
    pub(super) fn is_heard(&self, link: usize) -> bool {
        self.links.get(link).is_some_and(|link| !link.is_ended)
    }
}
