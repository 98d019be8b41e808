//! What the server promises, checked against what was really delivered to it. The book is kept
//! from what went into the server and came out of it; what the server thinks is not asked.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use punchd::clock::Instant;
use punchd::dialect::ConnId;
use punchd::limits;

use super::link::{Command, Link};
use super::network::Said;

mod answers;
mod listing;
mod notices;

pub use listing::Listed;

/// The promises, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Promise {
    /// Nobody is ever told port 0.
    NoPortZero,
    /// Ports that are told were shown by packets from that very address, at the right time.
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
    /// A host is told of a client once for each of its requests, and not without.
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
pub struct Violation {
    /// Which.
    pub promise: Promise,
    /// How.
    pub what: String,
}

impl fmt::Display for Violation {
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

/// A registration that has been delivered.
#[derive(Clone, Debug)]
struct Registered {
    /// When the connection registered first.
    since: Instant,
    /// When it registered last.
    at: Instant,
    /// None: by the older protocol.
    data: Option<[String; 8]>,
    /// Ports that the server may take for its port.
    ports: BTreeSet<u16>,
    /// The port that its game showed, in such an order that the server cannot take another for
    /// it: GMnet has nothing but the order that joins datagrams and connections of one address.
    own: Option<u16>,
    /// Whether a datagram that comes now is still taken for its own.
    lacks_own: bool,
    /// When such a datagram came. The server takes it back if somebody registers right after.
    lent: Option<Instant>,
}

/// A request that the server is working on.
#[derive(Clone, Copy, Debug)]
struct Request {
    started: Instant,
    target: Option<IpAddr>,
}

/// A connection as the server has to see it.
#[derive(Debug)]
struct Door {
    /// The peer that it belongs to, if that has only one game.
    owner: Option<usize>,
    addr: IpAddr,
    is_garbage: bool,
    /// Nothing arrives any more, which the server cannot know yet.
    is_silent: bool,
    is_finished: bool,
    is_refused: bool,
    is_amid_command: bool,
    opened: Instant,
    last_byte: Instant,
    host: Option<Registered>,
    /// Commands that have arrived behind the request that is being worked on.
    commands: VecDeque<Command>,
    request: Option<Request>,
    lobbies_due: u32,
    notified: Option<Instant>,
}

impl Door {
    /// A host whose game is there and can be told.
    fn is_live_host(&self) -> bool {
        self.host.is_some() && !self.is_silent
    }
}

/// A port that a datagram showed.
#[derive(Clone, Copy, Debug)]
struct Shown {
    at: Instant,
    from: SocketAddr,
    sender: usize,
}

/// What has been delivered, and what is owed for it.
#[derive(Debug)]
pub struct Book {
    gap: Duration,
    /// The server has been told to stop, and waits for nobody.
    pub is_stopping: bool,
    doors: BTreeMap<ConnId, Door>,
    regs: VecDeque<Shown>,
    connects: VecDeque<Shown>,
    /// Hosts that have left: when, where, and their ports.
    left: VecDeque<(Instant, IpAddr, BTreeSet<u16>)>,
    owed: Vec<notices::Owed>,
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
}

/// Longer than anything is remembered because of a datagram.
const MEMORY: Duration = Duration::from_secs(45);

impl Book {
    /// An empty book for a server with that notify gap.
    #[must_use]
    pub fn new(gap: Duration) -> Self {
        Self {
            gap,
            is_stopping: false,
            doors: BTreeMap::new(),
            regs: VecDeque::new(),
            connects: VecDeque::new(),
            left: VecDeque::new(),
            owed: Vec::new(),
            answered: VecDeque::new(),
            used: BTreeMap::new(),
            introductions: 0,
            not_found: 0,
            notifications: 0,
        }
    }

    /// A connection has arrived.
    pub fn opened(&mut self, now: Instant, id: ConnId, link: &Link) {
        let door = Door {
            owner: (!link.is_one_of_many).then_some(link.owner),
            addr: link.source.ip(),
            is_garbage: link.is_garbage,
            is_silent: false,
            is_finished: false,
            is_refused: false,
            is_amid_command: false,
            opened: now,
            last_byte: now,
            host: None,
            commands: VecDeque::new(),
            request: None,
            lobbies_due: 0,
            notified: None,
        };
        self.doors.insert(id, door);
    }

    /// Bytes have arrived, and with them these commands.
    pub fn arrived(&mut self, now: Instant, id: ConnId, commands: Vec<Command>, amid: bool) {
        let Some(door) = self.doors.get_mut(&id) else { return };
        door.last_byte = now;
        door.is_amid_command = amid;
        door.commands.extend(commands);
        self.work(now, id);
    }

    /// The peer will send nothing more, which may have completed a last command.
    pub fn finished(&mut self, now: Instant, id: ConnId, last: Option<Command>) {
        self.end_host(now, id);
        let Some(door) = self.doors.get_mut(&id) else { return };
        door.is_finished = true;
        // A host that registers with its last breath is none.
        if let Some(Command::Ask(_) | Command::Lobby) = last {
            door.commands.extend(last);
        }
        self.work(now, id);
    }

    /// The connection carries nothing any more, and nobody has been told.
    pub fn silenced(&mut self, id: ConnId) {
        if let Some(door) = self.doors.get_mut(&id) {
            door.is_silent = true;
        }
    }

    /// The connection has ended.
    pub fn gone(&mut self, now: Instant, id: ConnId) {
        self.end_host(now, id);
        self.doors.remove(&id);
    }

    /// A datagram has arrived.
    pub fn shown(&mut self, now: Instant, from: SocketAddr, said: Said, sender: usize) {
        if from.port() == 0 {
            return;
        }
        match said {
            Said::Connect => self.connects.push_back(Shown { at: now, from, sender }),
            Said::Reg => {
                self.regs.push_back(Shown { at: now, from, sender });
                self.shown_reg(now, from, sender);
            }
            Said::Nothing => {}
        }
    }

    /// The port may be that of hosts which registered a moment ago.
    fn shown_reg(&mut self, now: Instant, from: SocketAddr, sender: usize) {
        let hosts = || self.hosts_at(from.ip()).map(|(_, _, host)| host);
        let lacking = hosts().filter(|host| host.lacks_own).count();
        // The server may take it for a packet of a neighbour that has, or may have, this port.
        let is_known = hosts().any(|host| !host.lacks_own && host.ports.contains(&from.port()));
        for door in self.doors.values_mut().filter(|door| door.addr == from.ip()) {
            let Some(host) = &mut door.host else { continue };
            if now - host.at > limits::REG_WINDOW {
                continue;
            }
            host.ports.insert(from.port());
            if std::mem::take(&mut host.lacks_own)
                && lacking == 1
                && !is_known
                && door.owner == Some(sender)
            {
                host.own = Some(from.port());
                host.lent = Some(now);
            }
        }
    }

    /// Whether the connection is open.
    #[must_use]
    pub fn is_open(&self, id: ConnId) -> bool {
        self.doors.contains_key(&id)
    }

    /// Does with the next commands of a connection what the server has to do.
    fn work(&mut self, now: Instant, id: ConnId) {
        loop {
            let Some(door) = self.doors.get_mut(&id) else { return };
            if door.request.is_some() || door.is_refused {
                return;
            }
            match door.commands.pop_front() {
                None => return,
                Some(Command::Lobby) => door.lobbies_due += 1,
                Some(Command::Ask(target)) => door.request = Some(Request { started: now, target }),
                Some(Command::Register(_) | Command::RegisterOld) if door.is_finished => {}
                Some(Command::Register(data)) => self.register(now, id, Some(data)),
                Some(Command::RegisterOld) => self.register(now, id, None),
                Some(Command::TooOld) => {
                    door.is_refused = true;
                    self.end_host(now, id);
                }
            }
        }
    }

    fn register(&mut self, now: Instant, id: ConnId, data: Option<[String; 8]>) {
        let Some(door) = self.doors.get(&id) else { return };
        let (addr, owner, opened) = (door.addr, door.owner, door.opened);
        let is_recent = |at: Instant| now - at <= limits::REG_WINDOW;
        let shown: Vec<&Shown> =
            self.regs.iter().filter(|s| s.from.ip() == addr && is_recent(s.at)).collect();
        let mut ports: BTreeSet<u16> = shown.iter().map(|s| s.from.port()).collect();
        for (_, _, left) in self.left.iter().filter(|(at, a, _)| *a == addr && is_recent(*at)) {
            ports.extend(left);
        }
        let neighbours: Vec<&Registered> = self.hosts_at(addr).map(|(_, _, host)| host).collect();
        // What a neighbour is known to have cannot be taken for a packet of this host.
        let is_taken = |port: &u16| neighbours.iter().any(|host| host.own == Some(*port));
        let others = shown.iter().filter(|s| Some(s.sender) != owner && !is_taken(&s.from.port()));
        let others = others.map(|s| s.at).max();
        // A packet is a host's for certain if no other can be meant, or if it came after all
        // others and before the connection.
        let shown_own = shown.iter().rfind(|s| Some(s.sender) == owner);
        let is_clear = |s: &&&Shown| others.is_none_or(|other| s.at > other && s.at <= opened);
        // Its connection from before may be here still, and have used the packet up.
        let is_used = |s: &&&Shown| {
            self.hosts_at(addr).any(|(_, door, host)| door.owner == owner && s.at <= host.at)
        };
        let newest = shown_own.filter(is_clear).filter(|s| !is_used(s)).map(|s| s.from.port());
        // If the server may have taken this port for a neighbour's, it may do so again.
        let may_have =
            |host: &Registered, port: &u16| host.own.is_none() && host.ports.contains(port);
        let own = newest.filter(|port| !neighbours.iter().any(|host| may_have(host, port)));
        let lacks_own = own.is_none() && ports.iter().all(is_taken);
        ports.extend(neighbours.iter().flat_map(|host| &host.ports));
        if own.is_none() {
            let neighbours = self.doors.values_mut().filter(|door| door.addr == addr);
            let hosts = neighbours.filter_map(|door| door.host.as_mut());
            hosts.filter(|host| host.lent.is_some_and(is_recent)).for_each(|host| host.own = None);
        }
        if let Some(door) = self.doors.get_mut(&id) {
            let before = door.host.take();
            let since = before.as_ref().map_or(now, |host| host.since);
            let own = own.or(before.and_then(|host| host.own));
            door.host =
                Some(Registered { since, at: now, data, ports, own, lacks_own, lent: None });
        }
    }

    fn end_host(&mut self, now: Instant, id: ConnId) {
        let Some(door) = self.doors.get_mut(&id) else { return };
        if let Some(host) = door.host.take() {
            self.left.push_back((now, door.addr, host.ports));
        }
    }

    /// The server has closed a connection.
    ///
    /// # Errors
    /// If it had no cause, or owes something on it.
    pub fn closed(&mut self, now: Instant, id: ConnId) -> Kept {
        let Some(door) = self.doors.get(&id) else {
            return broken(Promise::OpenOnly, format!("{id:?} was closed after its end"));
        };
        let stalled = door.is_amid_command && now - door.last_byte >= limits::STALLED_COMMAND;
        if !(door.is_finished || door.is_refused || door.is_garbage || stalled) {
            return broken(Promise::KeepsOpen, format!("{id:?} was closed without a cause"));
        }
        if door.request.is_some() || door.lobbies_due > 0 {
            return broken(Promise::OneAnswer, format!("{id:?} was closed without its answer"));
        }
        self.gone(now, id);
        Ok(())
    }

    /// The server has sent a datagram.
    ///
    /// # Errors
    /// If nobody there can want it.
    pub fn sent(&self, to: SocketAddr) -> Kept {
        let is_host = |door: &Door| {
            let host = door.host.as_ref().filter(|_| door.addr == to.ip());
            host.is_some_and(|host| host.ports.contains(&to.port()))
        };
        if self.doors.values().any(is_host) {
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
        for (id, door) in &self.doors {
            if door.is_refused || (door.is_finished && door.request.is_none()) {
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
        match self.doors.keys().next() {
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

    /// The hosts at an address, as far as the server can know.
    fn hosts_at(&self, addr: IpAddr) -> impl Iterator<Item = (&ConnId, &Door, &Registered)> {
        let here = self.doors.iter().filter(move |(_, door)| door.addr == addr);
        here.filter_map(|(id, door)| Some((id, door, door.host.as_ref()?)))
    }

    /// Whether every host at an address has shown a port of its own, so that none can be taken
    /// for another.
    fn are_told_apart(&self, addr: IpAddr) -> bool {
        let mut seen = BTreeSet::new();
        self.hosts_at(addr).all(|(_, _, host)| host.own.is_some_and(|port| seen.insert(port)))
    }
}
