//! GMnet PUNCH, the protocol of GameMaker games made with the extension of that name. Hosts keep
//! a TCP connection, on which they are told who wants to join; UDP packets from the game's own
//! socket show which port its NAT has given it.
//!
//! A chunk of a connection goes through [`command`] (and [`text`]) and becomes commands, which
//! are carried out here; `connect` goes on in [`introduce`], `lobby2` in [`lobby`]. A datagram
//! goes through [`datagram`] into [`ports`]. Who is registered stands in [`hosts`].

use std::collections::VecDeque;
use std::fmt;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use log::{debug, info, warn};

use super::conns::Conns;
use super::{ConnId, Dialect, Outbox, Via};
use crate::clock::{Instant, Now};
use crate::limits;
use crate::timers::DelayQueue;

pub mod command;
pub mod datagram;
pub mod hosts;
mod introduce;
pub mod lobby;
pub mod ports;
pub mod text;
pub mod version;

use command::{Command, Go, Reader, Verb};
use datagram::Datagram;
use hosts::{Data, Host, HostKey, Hosts};
use introduce::{Introductions, WaitId};
use ports::Ports;

/// First byte of an introduction: the other side's address and port follow.
pub const MASTER: u8 = 0xFF;
/// The whole answer to a `connect` for which there is no host.
pub const MASTER_NOTFOUND: u8 = 0xFE;
/// First byte of the list of hosts.
pub const LOBBY: u8 = 0xF9;
/// First byte of the answer to `istesting`.
pub const TESTING: u8 = 0xF8;
/// First byte of the answer to `testinginfos`.
pub const TESTING_INFOS: u8 = 0xF7;
/// First byte of the answer to `version`.
pub const VERSION: u8 = 0xF6;

/// What the owner of the server decides about this dialect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Answer `istesting` with yes, `testinginfos` at all, and `lobby2` even if it is disabled.
    pub testing: bool,
    /// The server's name, told by `testinginfos`.
    pub name: String,
    /// Do not answer `lobby2`.
    pub disable_lobby: bool,
    /// Least time between two notifications on one host connection.
    pub notify_gap: Duration,
}

impl Default for Config {
    fn default() -> Self {
        let name = String::new();
        Self { testing: false, name, disable_lobby: false, notify_gap: limits::NOTIFY_GAP }
    }
}

/// The state of the dialect.
#[derive(Debug)]
pub struct Gmnet {
    config: Config,
    conns: Conns<Conn>,
    hosts: Hosts,
    ports: Ports,
    introductions: Introductions,
    /// Half commands.
    stalls: DelayQueue<ConnId>,
    /// Hosts that are owed a notification.
    gaps: DelayQueue<ConnId>,
    /// Connections that have got the answer they waited for and may go on.
    resumed: Vec<ConnId>,
    /// The place to build commands in, so that a whole one costs no allocation.
    scratch: Command,
}

/// What is known of a connection.
#[derive(Debug)]
struct Conn {
    addr: IpAddr,
    reader: Reader,
    /// When its last bytes came.
    last_byte: Instant,
    /// A timer in `stalls` is about this connection.
    stall_armed: bool,
    /// The peer will send nothing more.
    finished: bool,
    /// The `connect` whose answer has to come before anything else is done.
    waiting: Option<WaitId>,
    /// The port that a host was told last for this connection.
    used_port: Option<u16>,
    /// The host that this is the control connection of.
    host: Option<HostKey>,
    /// Whom the host has not been told of yet. While there are any, a timer in `gaps` is armed.
    notices: VecDeque<SocketAddr>,
    /// Until then the next notification has to wait.
    quiet_until: Instant,
}

impl Gmnet {
    /// A dialect that has heard of nobody yet.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            gaps: DelayQueue::new(config.notify_gap),
            config,
            conns: Conns::default(),
            hosts: Hosts::default(),
            ports: Ports::default(),
            introductions: Introductions::default(),
            stalls: DelayQueue::new(limits::STALLED_COMMAND),
            resumed: Vec::new(),
            scratch: Command::default(),
        }
    }

    /// Reads what came on a connection and carries out what is complete.
    fn run(&mut self, now: Now, id: ConnId, chunk: &[u8], out: &mut Outbox) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        let mut reader = std::mem::take(&mut conn.reader);
        let mut scratch = std::mem::take(&mut self.scratch);
        let read = match conn.waiting {
            None => reader.read(chunk, &mut scratch, |command| self.execute(now, id, command, out)),
            Some(_) => reader.hold(chunk),
        };
        self.scratch = scratch;
        let Some(conn) = self.conns.get_mut(id) else { return };
        let ended = conn.finished && conn.waiting.is_none();
        let amid = reader.is_amid_command() && conn.waiting.is_none();
        conn.reader = reader;
        if let Err(error) = read {
            debug!("{} closed: {error}", conn.addr);
            self.close(now, id, Left::Refused, out);
        } else if ended {
            self.close(now, id, Left::Closed, out);
        } else if amid && !std::mem::replace(&mut conn.stall_armed, true) {
            self.stalls.arm(now.instant, id);
        }
    }

    /// Lets the connections go on that have waited for an answer and got it.
    fn resume(&mut self, now: Now, out: &mut Outbox) {
        while let Some(id) = self.resumed.pop() {
            self.run(now, id, b"", out);
        }
    }

    fn execute(&mut self, now: Now, id: ConnId, command: &Command, out: &mut Outbox) -> Go {
        match command.verb {
            Verb::Reg2 => return self.reg2(now, id, command, out),
            Verb::Reg => self.register(now, id, None, out),
            Verb::Connect => return self.connect(now, id, command.param(0), out),
            Verb::Lobby2 => self.lobby(now, id, command, out),
            Verb::IsTesting => {
                self.answer(now, id, out, |b, config| b.extend([TESTING, config.testing.into()]));
            }
            Verb::TestingInfos => self.answer(now, id, out, write_testing_infos),
            Verb::Version => {
                self.answer(now, id, out, |b, _| _ = write_line(b, VERSION, version::SPOKEN));
            }
            Verb::Unknown => {}
        }
        Go::On
    }

    /// Sends a message on a connection in one piece.
    fn answer(
        &mut self,
        now: Now,
        id: ConnId,
        out: &mut Outbox,
        fill: impl FnOnce(&mut Vec<u8>, &Config),
    ) {
        out.tcp(id, |bytes| fill(bytes, &self.config));
        if let Some(conn) = self.conns.get_mut(id) {
            conn.quiet_until = now.instant + self.config.notify_gap;
        }
    }

    fn lobby(&mut self, now: Now, id: ConnId, command: &Command, out: &mut Outbox) {
        if self.config.disable_lobby && !self.config.testing {
            return;
        }
        let query = lobby::Query::new(command);
        let mut count = 0;
        out.tcp(id, |bytes| count = query.reply(&self.hosts, bytes));
        if let Some(conn) = self.conns.get_mut(id) {
            conn.quiet_until = now.instant + self.config.notify_gap;
            debug!("{} was told of {count} hosts in the lobby", conn.addr);
        }
    }

    fn reg2(&mut self, now: Now, id: ConnId, command: &Command, out: &mut Outbox) -> Go {
        let version = command.param(0);
        if let Err(refused) = version::check(version) {
            if let Some(conn) = self.conns.get(id) {
                log_refused_version(conn.addr, version, refused);
            }
            self.close(now, id, Left::Refused, out);
            return Go::Stop;
        }
        let data = Data::new(std::array::from_fn(|n| command.param(n + 1)));
        self.register(now, id, Some(data), out);
        Go::On
    }

    /// Makes a connection the control connection of a host, or gives the host new data.
    fn register(&mut self, now: Now, id: ConnId, data: Option<Data>, out: &mut Outbox) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        let reg = self.ports.claim_reg(now.instant, conn.addr);
        let addr = conn.addr;
        match conn.host {
            Some(key) => self.hosts.renew(now, key, data, reg),
            None => conn.host = Some(self.hosts.add(now, id, addr, data, reg)),
        }
        if let Some(host) = conn.host.and_then(|key| self.hosts.get(key)) {
            log_registered(host);
        }
        self.retry_introductions(now, addr, out);
    }

    /// Forgets a connection and ends what depends on it.
    fn forget(&mut self, now: Now, id: ConnId, left: Left) -> Option<IpAddr> {
        let conn = self.conns.remove(id)?;
        if let Some(wait) = conn.waiting {
            self.introductions.cancel(wait);
        }
        self.end_registration(now, conn.host, left);
        Some(conn.addr)
    }

    /// Takes a host from the table, if there is one.
    fn end_registration(&mut self, now: Now, key: Option<HostKey>, left: Left) {
        let Some(host) = key.and_then(|key| self.hosts.remove(now.instant, key)) else { return };
        self.ports.release_reg(now.instant, host.addr, host.port);
        info!("host {} is gone: {left}", Named(&host));
    }

    /// Closes a connection from our side.
    fn close(&mut self, now: Now, id: ConnId, left: Left, out: &mut Outbox) {
        if self.forget(now, id, left).is_some() {
            out.close(id);
        }
    }

    /// A command has begun and the next byte does not come.
    fn check_stalled(&mut self, now: Now, id: ConnId, out: &mut Outbox) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        conn.stall_armed = false;
        if !conn.reader.is_amid_command() || conn.waiting.is_some() {
            return;
        }
        if now.instant - conn.last_byte >= limits::STALLED_COMMAND {
            debug!("{} closed: it stopped in the middle of a command", conn.addr);
            self.close(now, id, Left::Stalled, out);
        } else {
            conn.stall_armed = true;
            self.stalls.arm(now.instant, id);
        }
    }
}

impl Dialect for Gmnet {
    fn on_open(&mut self, now: Now, id: ConnId, peer: SocketAddr) {
        let conn = Conn {
            addr: peer.ip(),
            reader: Reader::default(),
            last_byte: now.instant,
            stall_armed: false,
            finished: false,
            waiting: None,
            used_port: None,
            host: None,
            notices: VecDeque::new(),
            quiet_until: Instant::default(),
        };
        self.conns.insert(id, conn);
    }

    fn on_bytes(&mut self, now: Now, id: ConnId, bytes: &[u8], out: &mut Outbox) {
        if let Some(conn) = self.conns.get_mut(id) {
            conn.last_byte = now.instant;
        }
        self.run(now, id, bytes, out);
        self.resume(now, out);
    }

    fn on_fin(&mut self, now: Now, id: ConnId, out: &mut Outbox) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        conn.finished = true;
        conn.reader.finish();
        let host = conn.host.take();
        conn.notices.clear();
        self.end_registration(now, host, Left::Closed);
        self.run(now, id, b"", out);
        self.resume(now, out);
    }

    fn on_gone(&mut self, now: Now, id: ConnId, out: &mut Outbox) {
        self.forget(now, id, Left::Lost);
        self.resume(now, out);
    }

    fn on_datagram(&mut self, now: Now, _: Via, peer: SocketAddr, data: &[u8], out: &mut Outbox) {
        let (addr, port) = (peer.ip(), peer.port());
        match datagram::parse(data) {
            // Port 0 is never told to anybody, so it is not learned either.
            _ if port == 0 => return,
            Some(Datagram::Connect) => self.ports.learn_connect(now.instant, addr, port),
            Some(Datagram::Reg) if self.hosts.is_port_of_host(now.instant, addr, port) => return,
            Some(Datagram::Reg) => {
                self.ports.learn_reg(now, addr, port);
                if let Some(key) = self.hosts.lend_port(now.instant, addr, port) {
                    self.ports.lend_reg(addr, port);
                    if let Some(host) = self.hosts.get(key) {
                        info!("host {} has its UDP port now", Named(host));
                    }
                }
            }
            None => return debug!("{peer} sent a datagram that is not of this protocol"),
        }
        self.retry_introductions(now, addr, out);
        self.resume(now, out);
    }

    fn on_wakeup(&mut self, now: Now, out: &mut Outbox) {
        while let Some(id) = self.stalls.pop_due(now.instant) {
            self.check_stalled(now, id, out);
        }
        while let Some(id) = self.gaps.pop_due(now.instant) {
            self.notify_next(now, id, out);
        }
        self.time_out_introductions(now, out);
        self.hosts.on_wakeup(now.instant);
        self.ports.expire(now.instant);
        self.resume(now, out);
    }

    fn next_wakeup(&self) -> Option<Instant> {
        let timers = [
            self.stalls.next(),
            self.gaps.next(),
            self.introductions.next_wakeup(),
            self.hosts.next_wakeup(),
            self.ports.next_wakeup(),
        ];
        timers.into_iter().flatten().min()
    }

    fn on_shutdown(&mut self, now: Now, out: &mut Outbox) {
        self.end_all_introductions(now, out);
        self.resume(now, out);
    }

    fn owes(&self) -> bool {
        !self.gaps.is_empty()
    }
}

/// Why a host is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    Closed,
    Lost,
    Refused,
    Stalled,
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "it closed its connection",
            Self::Lost => "its connection was lost",
            Self::Refused => "its connection was refused",
            Self::Stalled => "it stopped in the middle of a command",
        })
    }
}

/// A host as the log calls it: where it is and, shortened, what it says it is.
struct Named<'a>(&'a Host);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.0;
        match host.port {
            Some(port) => write!(f, "{}", SocketAddr::new(host.addr, port))?,
            None => write!(f, "{}", host.addr)?,
        }
        match host.game() {
            "" => Ok(()),
            game => write!(f, " ({})", Short(game)),
        }
    }
}

/// Text of a peer for the log: it has no control characters, and this makes it short.
struct Short<'a>(&'a str);

impl fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LONGEST: usize = 60;
        match self.0.char_indices().nth(LONGEST) {
            Some((end, _)) => write!(f, "{}...", &self.0[..end]),
            None => f.write_str(self.0),
        }
    }
}

fn log_registered(host: &Host) {
    let game = if host.data.is_some() { Short(host.game()) } else { Short("(older protocol)") };
    match host.port {
        Some(port) => info!("host {} registered: {game}", SocketAddr::new(host.addr, port)),
        None => info!("host {} registered, its UDP packet is not here yet: {game}", host.addr),
    }
}

fn log_refused_version(addr: IpAddr, version: &str, refused: version::Refused) {
    let version = Short(version);
    let oldest = version::OLDEST;
    match refused {
        version::Refused::TooOld => warn!(
            "host {addr} refused: its game has version {version} of GMnet PUNCH, {oldest} is the \
             oldest that works; rebuild the game with a newer GMnet PUNCH"
        ),
        version::Refused::NotANumber => warn!(
            "host {addr} refused: \"{version}\" is no version of GMnet PUNCH; it should be like \
             {oldest}"
        ),
    }
}

fn write_testing_infos(bytes: &mut Vec<u8>, config: &Config) {
    if config.testing {
        let _ = write_line(bytes, TESTING_INFOS, &config.name);
        let _ = writeln!(bytes, "{}\n{}", version::SPOKEN, version::OLDEST);
    } else {
        bytes.extend([TESTING_INFOS, 0]);
    }
}

fn write_line(bytes: &mut Vec<u8>, message: u8, text: &str) -> std::io::Result<()> {
    bytes.push(message);
    writeln!(bytes, "{text}")
}
