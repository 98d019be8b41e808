//! What the server promises, checked against what was really delivered to it. The book is kept
//! from what went into the server and came out of it; what the server thinks is not asked.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use punchd::clock::Instant;
use punchd::dialect::ConnId;
use punchd::dialect::gmnet::Config;
use punchd::introductions::is_inside;
use punchd::limits;

use super::link::{Command, Link};
use crate::amplification::Ledger;

mod answers;
mod listing;
mod notices;
mod registered;

pub use listing::Listed;
use registered::{Registered, Shown};

/// The promises, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Promise {
    /// Nobody is ever told port 0.
    NoPortZero,
    /// Ports that are told were shown by packets from that very address, at the right time. One
    /// that follows such a port may be predicted in addition.
    ShownPorts,
    /// Every `connect` gets one answer, and nobody is told what he did not ask for.
    OneAnswer,
    /// It comes in time.
    InTime,
    /// A live host whose UDP port is known is found, also while it is just coming back.
    Found,
    /// A live host is listed.
    Listed,
    /// And no other, and none twice.
    NoGhosts,
    /// A host is told of a client once for each of its requests, and not without; and of a few
    /// endpoints more if the server takes its ports for some that count.
    ToldOnce,
    /// And really is.
    Told,
    /// Each with a port that no other connection has used.
    OwnPort,
    /// Two notifications are never closer than the notify gap.
    NotifyGap,
    /// A write is one message.
    OnePiece,
    /// Nothing is sent on connections that have ended.
    OpenOnly,
    /// Datagrams go to registered hosts only.
    WantedUdp,
    /// And no more than three times its bytes to an address that has proven nothing.
    NoAmplification,
    /// A connection is not closed without a cause.
    KeepsOpen,
    /// And is closed when there is one.
    Closes,
    /// The server sleeps when there is nothing to do.
    Sleeps,
    /// When all have left, nothing is left of them.
    Drains,
}

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation<P = Promise> {
    /// Which.
    pub promise: P,
    /// How.
    pub what: String,
}

impl<P: fmt::Debug> fmt::Display for Violation<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.promise, self.what)
    }
}

/// Whether a promise was kept.
pub type Kept = Result<(), Violation>;

/// A promise was broken.
pub(super) fn broken(promise: Promise, what: String) -> Kept {
    Err(Violation { promise, what })
}

/// How late the server may be: that of its event loop.
const SLACK: Duration = Duration::from_millis(5);

/// A request that the server is working on.
#[derive(Clone, Copy, Debug)]
struct Request {
    started: Instant,
    target: Option<IpAddr>,
}

/// A connection as the server has to see it.
#[derive(Debug)]
struct Connection {
    /// The peer that it belongs to, if that has only one game.
    owner: Option<usize>,
    addr: IpAddr,
    is_garbage: bool,
    /// It speaks another dialect.
    is_foreign: bool,
    /// Nothing arrives any more, which the server cannot know yet.
    is_silent: bool,
    is_finished: bool,
    is_refused: bool,
    is_amid_command: bool,
    /// When its SYN came.
    began: Instant,
    opened: Instant,
    last_byte: Instant,
    host: Option<Registered>,
    /// Commands that have arrived behind the request that is being worked on.
    commands: VecDeque<Command>,
    request: Option<Request>,
    lobbies_due: u32,
    notified: Option<Instant>,
}

impl Connection {
    /// A host whose game is there and can be told.
    fn is_live_host(&self) -> bool {
        self.host.is_some() && !self.is_silent
    }
}

/// What has been delivered, and what is owed for it.
#[derive(Debug)]
pub struct Book {
    gap: Duration,
    /// Hosts are asked for their ports.
    asks: bool,
    /// The address by which those outside know those inside.
    public: Option<IpAddr>,
    /// Addresses of NATs whose ports count: the server may predict them.
    counting: BTreeSet<IpAddr>,
    /// What each host was told, lately.
    told: Vec<(Instant, ConnId, SocketAddr)>,
    /// And what it may be told again since it came back: it may not have read it.
    again: Vec<(ConnId, SocketAddr)>,
    /// How many predicted ports of a client's address a host may be told.
    predicted: BTreeMap<(ConnId, IpAddr), usize>,
    /// Who has spoken another dialect by UDP.
    foreign: BTreeSet<SocketAddr>,
    /// What came from each address and went there.
    bytes: Ledger,
    /// The server has been told to stop, and waits for nobody.
    pub is_stopping: bool,
    connections: BTreeMap<ConnId, Connection>,
    regs: VecDeque<Shown>,
    connects: VecDeque<Shown>,
    /// Hosts that have left: when, where, their ports, and their connection.
    left: VecDeque<(Instant, IpAddr, BTreeSet<u16>, ConnId)>,
    owed: Vec<notices::Owed>,
    /// When each peer registered last.
    registered: BTreeMap<usize, Instant>,
    /// Who was answered lately, and when.
    answered: VecDeque<(Instant, IpAddr, ConnId)>,
    /// Which connections were introduced with which endpoint, and when.
    used: BTreeMap<SocketAddr, Vec<(ConnId, Instant)>>,
    /// Introductions so far.
    pub introductions: u64,
    /// Requests that were answered with "not found".
    pub not_found: u64,
    /// Notifications so far.
    pub notifications: u64,
    /// Datagrams to peers of other dialects so far.
    pub to_others: u64,
}

/// Longer than anything is remembered because of a datagram.
const MEMORY: Duration = Duration::from_secs(45);

impl Book {
    /// An empty book for a server with that configuration, in a world with these NATs that count.
    #[must_use]
    pub fn new(config: &Config, counting: BTreeSet<IpAddr>) -> Self {
        Self {
            gap: config.notify_gap,
            asks: !config.sockets.is_empty(),
            public: config.public_ips.v4.map(IpAddr::V4),
            counting,
            told: Vec::new(),
            again: Vec::new(),
            predicted: BTreeMap::new(),
            foreign: BTreeSet::new(),
            bytes: Ledger::default(),
            is_stopping: false,
            connections: BTreeMap::new(),
            regs: VecDeque::new(),
            connects: VecDeque::new(),
            left: VecDeque::new(),
            owed: Vec::new(),
            registered: BTreeMap::new(),
            answered: VecDeque::new(),
            used: BTreeMap::new(),
            introductions: 0,
            not_found: 0,
            notifications: 0,
            to_others: 0,
        }
    }

    /// A connection has arrived.
    pub fn opened(&mut self, now: Instant, id: ConnId, link: &Link) {
        let connection = Connection {
            owner: (!link.is_one_of_many).then_some(link.owner),
            addr: link.source.ip(),
            is_garbage: link.is_garbage,
            is_foreign: false,
            is_silent: false,
            is_finished: false,
            is_refused: false,
            is_amid_command: false,
            began: now.before(link.round_trip),
            opened: now,
            last_byte: now,
            host: None,
            commands: VecDeque::new(),
            request: None,
            lobbies_due: 0,
            notified: None,
        };
        self.connections.insert(id, connection);
        self.bytes.connected(link.source.ip());
    }

    /// The first byte of the connection is of another dialect.
    pub fn is_foreign(&mut self, id: ConnId) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.is_foreign = true;
        }
    }

    /// How somebody at `addr` is named to somebody at `whom`.
    fn named(&self, addr: IpAddr, whom: IpAddr) -> IpAddr {
        self.public.filter(|_| is_inside(addr) && !is_inside(whom)).unwrap_or(addr)
    }

    /// Bytes have arrived, and with them these commands.
    pub fn arrived(&mut self, now: Instant, id: ConnId, commands: Vec<Command>, amid: bool) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.last_byte = now;
        connection.is_amid_command = amid;
        connection.commands.extend(commands);
        self.work(now, id);
    }

    /// The peer will send nothing more, which may have completed a last command.
    pub fn finished(&mut self, now: Instant, id: ConnId, last: Option<Command>) {
        self.end_host(now, id);
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.is_finished = true;
        // A host that registers with its last breath is none.
        if let Some(Command::Ask(_) | Command::Lobby) = last {
            connection.commands.extend(last);
        }
        self.work(now, id);
    }

    /// The connection carries nothing any more, and nobody has been told.
    pub fn silenced(&mut self, id: ConnId) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.is_silent = true;
        }
    }

    /// The connection has ended.
    pub fn gone(&mut self, now: Instant, id: ConnId) {
        self.end_host(now, id);
        self.connections.remove(&id);
    }

    /// Whether the connection is open.
    #[must_use]
    pub fn is_open(&self, id: ConnId) -> bool {
        self.connections.contains_key(&id)
    }

    /// Does with the next commands of a connection what the server has to do.
    fn work(&mut self, now: Instant, id: ConnId) {
        loop {
            let Some(connection) = self.connections.get_mut(&id) else { return };
            if connection.request.is_some() || connection.is_refused {
                return;
            }
            match connection.commands.pop_front() {
                None => return,
                Some(Command::Lobby) => connection.lobbies_due += 1,
                Some(Command::Ask(target)) => {
                    connection.request = Some(Request { started: now, target })
                }
                Some(Command::Register(_) | Command::RegisterOld) if connection.is_finished => {}
                Some(Command::Register(data)) => self.register(now, id, Some(data)),
                Some(Command::RegisterOld) => self.register(now, id, None),
                Some(Command::TooOld) => {
                    connection.is_refused = true;
                    self.end_host(now, id);
                }
            }
        }
    }

    /// The server has closed a connection.
    ///
    /// # Errors
    /// If it had no cause, or owes something on it.
    pub fn closed(&mut self, now: Instant, id: ConnId) -> Kept {
        let Some(connection) = self.connections.get(&id) else {
            return broken(Promise::OpenOnly, format!("{id:?} was closed after its end"));
        };
        // A GMnet connection is idle since its last whole command.
        let is_idle = connection.host.is_none()
            && (now - connection.last_byte >= limits::IDLE
                || (connection.is_amid_command && now - connection.opened >= limits::IDLE));
        let stalled =
            connection.is_amid_command && now - connection.last_byte >= limits::STALLED_COMMAND;
        if !(connection.is_finished
            || connection.is_refused
            || connection.is_garbage
            || stalled
            || is_idle)
        {
            return broken(Promise::KeepsOpen, format!("{id:?} was closed without a cause"));
        }
        if connection.request.is_some() || connection.lobbies_due > 0 {
            return broken(Promise::OneAnswer, format!("{id:?} was closed without its answer"));
        }
        self.gone(now, id);
        Ok(())
    }

    /// The server has sent a datagram.
    ///
    /// # Errors
    /// If nobody there can want it, or so much.
    pub fn sent(&mut self, to: SocketAddr, bytes: &[u8]) -> Kept {
        if let Err(what) = self.bytes.sent(to, bytes) {
            return broken(Promise::NoAmplification, what);
        }
        let is_host = |connection: &Connection| {
            let host = connection.host.as_ref().filter(|_| connection.addr == to.ip());
            host.is_some_and(|host| host.ports.contains(&to.port()))
        };
        if self.foreign.contains(&to) {
            self.to_others += 1;
            return Ok(());
        }
        if self.connections.values().any(is_host) {
            return Ok(());
        }
        broken(Promise::WantedUdp, format!("a datagram went to {to}, where no host is"))
    }

    /// What has to be true after every step.
    ///
    /// # Errors
    /// If something is not.
    pub fn check(&mut self, now: Instant) -> Kept {
        self.forget_old(now);
        self.check_answers(now)?;
        self.check_owed(now)?;
        for (id, connection) in &self.connections {
            if connection.is_refused || (connection.is_finished && connection.request.is_none()) {
                return broken(Promise::Closes, format!("{id:?} should have been closed"));
            }
        }
        Ok(())
    }

    /// Nobody is left.
    ///
    /// # Errors
    /// If somebody is.
    pub fn check_empty(&self) -> Kept {
        match self.connections.keys().next() {
            Some(id) => broken(Promise::Drains, format!("{id:?} is open an hour after its end")),
            None => Ok(()),
        }
    }

    fn forget_old(&mut self, now: Instant) {
        let is_old = |at: Instant| now - at > MEMORY;
        while self.regs.front().is_some_and(|s| is_old(s.at)) {
            self.regs.pop_front();
        }
        while self.connects.front().is_some_and(|s| is_old(s.at)) {
            self.connects.pop_front();
        }
        while self.left.front().is_some_and(|(at, ..)| is_old(*at)) {
            self.left.pop_front();
        }
        while self.answered.front().is_some_and(|(at, ..)| is_old(*at)) {
            self.answered.pop_front();
        }
    }
}
