//! GMnet PUNCH, the protocol of GameMaker games made with the extension of that name. Hosts keep
//! a TCP connection, on which they are told who wants to join; UDP packets from the game's own
//! socket show which port its NAT has given it.
//!
//! A chunk of a connection goes through [`command`] (and [`text`]) and becomes commands, which
//! [`executing`] carries out; `reg2` goes on in [`registration`], `connect` in [`introduce`], `lobby2` in
//! [`lobby`]. A datagram goes through [`datagram`] into [`ports`]. Who is registered stands in
//! [`hosts`].

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use hashlink::LinkedHashSet;
use log::{debug, info};

use super::conns::Conns;
use super::work_queue::WorkQueue;
use super::{ConnId, Context, Dialect, Name, Use, Via};
use crate::admission::{self};
use crate::clock::{Instant, Now, earliest};
use crate::cluster::NodeId;
use crate::hash::Keyed;
use crate::introductions::journal::Attempt;
use crate::introductions::relay::remote::Awaited;
use crate::limits::{self};
use crate::lines::Lines;
use crate::rates::Rates;
use crate::refusals::Reason;
use crate::state::{NotUnderstood, Saved, Saving};
use crate::timers::{LogThrottle, Timers};

mod attempts;
mod by_addr;
pub mod command;
mod config;
mod conn;
pub mod data;
pub mod datagram;
mod entry;
mod escape;
mod executing;
mod handover;
pub mod host;
pub mod hosts;
pub mod index;
mod inside;
mod introduce;
mod keepalives;
pub mod lobby;
mod lookups;
mod names;
mod nodes;
mod notices;
mod notifying;
mod port_notice;
mod port_probes;
pub mod ports;
mod registration;
mod relaying;
mod replies;
mod request;
mod shares;
mod shown;
pub mod slot;
mod sorted;
pub mod text;
mod unfinished;
mod unpaired;
mod unread;
pub mod version;
mod waiting;

use attempts::{Told, Whom};
use command::Spare;
pub use config::Config;
use conn::Conn;
use datagram::Datagram;
use hosts::Hosts;
use keepalives::Keepalives;
use lookups::Lookups;
use names::Left;
use nodes::Nodes;
use notices::Notices;
use port_probes::PortProbes;
use ports::{Likely, Ports};
use replies::Replies;
use serde::{Deserialize, Serialize};
use slot::HostKey;
use unfinished::Unfinished;
use unpaired::Unpaired;
use unread::Unread;
use waiting::Introductions;

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

/// The state of the dialect.
#[derive(Debug, Serialize, Deserialize)]
pub struct Gmnet {
    #[serde(skip)]
    config: Config,
    #[serde(skip)]
    conns: Conns<Conn>,
    #[serde(skip)]
    hosts: Hosts,
    #[serde(skip)]
    ports: Ports,
    introductions: Introductions,
    /// Half commands.
    stalls: Timers<ConnId>,
    /// What was asked for in the lobby.
    #[serde(skip)]
    replies: Replies,
    /// Hosts that are owed a notification.
    gaps: Timers<ConnId>,
    /// Hosts that get a datagram from time to time.
    keepalives: Keepalives,
    /// Whose commands wait until others have been served.
    #[serde(rename = "turns")]
    work_queue: WorkQueue,
    /// Connections whose address has done too much and must wait.
    throttled: Timers<ConnId>,
    /// Connections that have got the answer they waited for and may go on, as far as a turn goes.
    resumed: VecDeque<ConnId>,
    /// Clients (IPv6: their /64) with many requests that wait for a packet, of which one has come.
    #[serde(skip)]
    heard: LinkedHashSet<IpAddr, Keyed>,
    /// Whom hosts have not been told of yet. While one is owed any, a timer in `gaps` is armed.
    notices: Notices,
    /// Hosts that are asked for their port.
    #[serde(rename = "knocks")]
    port_probes: PortProbes,
    /// Clients that were told where a host is, until it is known how that ended.
    attempts: Timers<ConnId, Told>,
    /// Those of them that are relayed if they do not get through soon.
    relays: Timers<ConnId>,
    /// Those for whom the relay of another node is asked.
    #[serde(default)]
    asked: Awaited<relaying::Asked>,
    /// For each client address the host that it did not reach, lately.
    failed: Timers<IpAddr, Whom>,
    unread: Unread,
    /// What clients looked for last.
    #[serde(rename = "looks")]
    lookups: Lookups,
    /// Hosts that lack their UDP packet, and UDP packets that may be theirs.
    unpaired_regs: Unpaired,
    /// The same for clients.
    unpaired_connects: Unpaired,
    /// Bytes of commands that are not finished.
    #[serde(skip)]
    unfinished: Unfinished,
    commands: Rates,
    lines: Lines,
    /// Whose commands wait since there are too many.
    much: LogThrottle,
    refused: admission::Refused,
    /// Memory for the next command.
    #[serde(skip)]
    spare: Spare,
    /// The other nodes of a cluster. To another process of this node they tell everything anew.
    #[serde(skip)]
    nodes: Nodes,
    /// The server is about to stop: nobody is waited for any more.
    #[serde(skip)]
    is_stopping: bool,
}

impl Gmnet {
    /// A dialect that has heard of nobody yet.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            gaps: Timers::new(config.notify_gap),
            conns: Conns::default(),
            hosts: Hosts::new(config.public_ips),
            ports: Ports::default(),
            introductions: Introductions::default(),
            replies: Replies::default(),
            stalls: Timers::new(limits::STALLED_COMMAND),
            keepalives: Keepalives::new(config.keepalive),
            work_queue: WorkQueue::default(),
            throttled: Timers::new(limits::THROTTLE),
            resumed: VecDeque::new(),
            heard: LinkedHashSet::default(),
            notices: Notices::default(),
            port_probes: PortProbes::at(config.sockets.clone()),
            attempts: Timers::new(limits::ATTEMPT),
            relays: Timers::new(limits::relay::SECOND_NOTICE),
            asked: Awaited::default(),
            failed: Timers::new(limits::relay::FAILED),
            unread: Unread::default(),
            lookups: Lookups::default(),
            unpaired_regs: Unpaired::default(),
            unpaired_connects: Unpaired::default(),
            unfinished: Unfinished::default(),
            commands: Rates::new(config.limits.commands_per_second, 10),
            lines: Lines::default(),
            much: LogThrottle::default(),
            refused: admission::Refused::default(),
            spare: Spare::default(),
            nodes: Nodes::default(),
            is_stopping: false,
            config,
        }
    }

    /// Forgets a connection and ends what depends on it.
    fn forget(&mut self, now: Now, id: ConnId, left: Left) -> Option<IpAddr> {
        let conn = self.conns.remove(id)?;
        if let Some(wait) = conn.waiting {
            self.introductions.remove(wait);
        }
        self.stalls.cancel(&id);
        self.throttled.cancel(&id);
        self.unfinished.count(conn.addr, id, 0);
        if !conn.finished {
            self.drop_attempt(id);
        }
        if let Some(key) = conn.host {
            self.end_host(now, id, key, left);
        }
        Some(conn.addr)
    }

    /// A connection is not the control connection of a host any more.
    fn end_host(&mut self, now: Now, id: ConnId, key: HostKey, left: Left) {
        self.gaps.cancel(&id);
        self.keep_notices(now, id, key, left);
        self.port_probes.forget(id);
        let at = self.hosts.get(key).map(|host| (host.addr, host.port));
        self.end_registration(now, key, left);
        // It may have come back before its old connection ended.
        if let Some((addr, port)) = at
            && let Some(key) = self.hosts.find(addr, port)
        {
            self.take_notices_over(now.instant, key);
        }
    }

    /// Closes a connection whose peer does what it may not.
    fn refuse(&mut self, cx: &mut Context<'_>, id: ConnId, reason: Reason, why: &str) {
        if let Some(conn) = self.conns.get(id) {
            cx.refused(Name::Gmnet, reason, conn.addr);
            if self.lines.says(cx.now, conn.addr) {
                info!(
                    dialect = "gmnet", event = "closed", address:% = conn.addr, reason = reason.name();
                    "{} closed: {why}", conn.addr
                );
            }
        }
        self.close(cx, id, Left::Refused);
    }

    /// Makes the gap between notifications so short that all that are owed leave in time.
    fn hurry_notices(&mut self, cx: &mut Context<'_>) {
        let owed: Vec<ConnId> = std::iter::from_fn(|| self.gaps.pop()).collect();
        let longest = owed.iter().map(|id| self.notices.len(*id));
        let most = u32::try_from(longest.max().unwrap_or(0)).unwrap_or(u32::MAX).max(1);
        self.config.notify_gap = self.config.notify_gap.min(limits::LAST_NOTICES / most);
        self.gaps = Timers::new(self.config.notify_gap);
        for id in owed {
            self.notify_next(cx, id);
        }
    }

    /// Closes a connection from our side.
    fn close(&mut self, cx: &mut Context<'_>, id: ConnId, left: Left) {
        if self.forget(cx.now, id, left).is_some() {
            cx.out.close(id);
        }
    }
}

impl Dialect for Gmnet {
    fn on_open(&mut self, cx: &mut Context<'_>, id: ConnId, peer: SocketAddr) {
        let conn = Conn::new(cx.now.instant, peer.ip());
        self.conns.insert(id, conn);
        self.unpaired_regs.connected(peer.ip());
    }

    fn began_with(&self, since: Instant, addr: IpAddr) -> Option<Instant> {
        self.ports.only_one(addr).filter(|at| *at >= since)
    }

    fn on_bytes(&mut self, cx: &mut Context<'_>, id: ConnId, bytes: &[u8]) {
        self.run(cx, id, bytes);
        self.resume(cx);
    }

    fn note_ready(&mut self, sources: usize) {
        self.work_queue.note_ready(sources);
    }

    fn on_fin(&mut self, cx: &mut Context<'_>, id: ConnId) {
        self.end_attempt(cx, id);
        let Some(conn) = self.conns.get_mut(id) else { return };
        conn.finished = true;
        conn.reader.finish();
        let is_done = conn.unfinished() == 0 && !conn.is_waiting();
        if let Some(key) = conn.host.take() {
            self.end_host(cx.now, id, key, Left::Closed);
        }
        if is_done {
            self.close(cx, id, Left::Closed);
        } else {
            self.run(cx, id, b"");
        }
        self.resume(cx);
    }

    fn on_eviction(&mut self, id: ConnId) {
        self.drop_attempt(id);
    }

    fn on_gone(&mut self, cx: &mut Context<'_>, id: ConnId) {
        self.end_attempt(cx, id);
        self.forget(cx.now, id, Left::Lost);
        self.resume(cx);
    }

    fn on_blocked(&mut self, cx: &mut Context<'_>, id: ConnId) {
        self.drop_attempt(id);
        self.forget(cx.now, id, Left::Blocked);
        self.resume(cx);
    }

    fn on_datagram(&mut self, cx: &mut Context<'_>, via: Via, peer: SocketAddr, data: &[u8]) {
        let (addr, port) = (peer.ip(), peer.port());
        let said = datagram::parse(data);
        if said.is_some() {
            self.port_probes.note_way(via, addr);
        }
        match said {
            // Port 0 is never told to anybody, so it is not learned either.
            _ if port == 0 => return,
            Some(Datagram::Connect) => {
                self.ports.learn_connect(cx.came().instant, addr, port);
                self.unpaired_connects.came(cx.now.instant, peer);
                self.retry_for_client_soon(cx, addr);
            }
            Some(Datagram::Reg) => self.learn_reg(cx, via, addr, port),
            Some(Datagram::Knock) => self.on_knock(cx, via, peer),
            None => {
                cx.refused(Name::Gmnet, Reason::Malformed, addr);
                return debug!("{peer} sent a datagram that is not of this protocol");
            }
        }
        self.resume(cx);
    }

    fn on_wakeup(&mut self, cx: &mut Context<'_>) {
        for _ in 0..limits::CLOSED_AT_ONCE {
            let Some(id) = self.stalls.pop_due(cx.now.instant) else { break };
            self.refuse(cx, id, Reason::Unfinished, "it stopped in the middle of a command");
        }
        // Thousands may be due at one time.
        for _ in 0..limits::TURN_WORK / limits::HOST_WORK {
            let Some(id) = self.throttled.pop_due(cx.now.instant) else { break };
            if let Some(conn) = self.conns.get(id) {
                self.work_queue.wait(conn.addr, id);
            }
        }
        self.take_turns(cx);
        self.notify_due(cx);
        self.retry_for_heard(cx);
        self.ask_soon(cx);
        self.end_waits_for_knocks(cx);
        self.relay_late(cx);
        self.give_attempts_up(cx);
        self.time_out_introductions(cx);
        self.hosts.on_wakeup(cx.now.instant);
        self.ports.expire(cx.now.instant);
        self.keep_alive(cx);
        self.resume(cx);
        self.tell_nodes(cx);
    }

    fn next_wakeup(&self) -> Option<Instant> {
        earliest([
            self.stalls.next(),
            self.gaps.next(),
            self.introductions.next_wakeup(),
            self.hosts.next_wakeup(),
            self.ports.next_wakeup(),
            self.work_queue.next_wakeup(!self.resumed.is_empty()),
            self.throttled.next(),
            self.keepalives.next(),
            self.port_probes.next_wakeup(),
            self.attempts.next(),
            self.relays.next(),
            self.failed.next(),
            self.nodes.next_wakeup(),
            self.has_news().then(Instant::default),
            self.heard.front().map(|_| Instant::default()),
        ])
    }

    fn on_shutdown(&mut self, cx: &mut Context<'_>) {
        self.is_stopping = true;
        self.end_all_introductions(cx);
        self.give_relays_up(cx, |_, _| true);
        self.end_direct_asks(cx);
        self.answer_all(cx);
        self.resume(cx);
        self.hurry_notices(cx);
    }

    fn owes(&self) -> bool {
        !self.gaps.is_empty() || !self.resumed.is_empty()
    }

    fn knows(&self, endpoint: SocketAddr) -> bool {
        self.hosts.find(endpoint.ip(), Some(endpoint.port())).is_some()
    }

    fn use_of(&self, id: ConnId) -> Use {
        match self.conns.get(id) {
            Some(conn) if conn.host.is_some() => Use::Lasting,
            // Not one that has to wait because of what it did itself.
            Some(conn) if conn.is_unanswered() => Use::Waiting,
            // Nothing more will come of it but answers, which perhaps nobody is there to read.
            Some(conn) if conn.finished => Use::Idle(Instant::default()),
            Some(conn) => Use::Idle(conn.times.last_use),
            None => Use::Idle(Instant::default()),
        }
    }

    fn on_node_joined(&mut self, cx: &mut Context<'_>, node: NodeId) {
        self.begin_to_tell(cx, node);
    }

    fn on_node_message(&mut self, cx: &mut Context<'_>, node: NodeId, bytes: &[u8]) {
        self.handle_node_message(cx, node, bytes);
        self.resume(cx);
    }

    fn on_node_gone(&mut self, cx: &mut Context<'_>, node: NodeId) {
        self.forget_node(cx, node);
        self.resume(cx);
    }

    fn on_relay(&mut self, cx: &mut Context<'_>, attempt: &Attempt, is_given: bool) {
        self.handle_relay(cx, attempt, is_given);
        self.resume(cx);
    }

    fn save(&self, to: &mut Saving<'_>) {
        to.write(self);
        to.table("connections", &self.conns);
        to.table("hosts", &self.hosts);
        to.table("ports", &self.ports);
        to.table("nodes", &self.known_of_nodes());
    }

    fn load(&mut self, cx: &mut Context<'_>, from: &mut Saved<'_>) -> Result<(), NotUnderstood> {
        let mut saved: Self = from.read()?;
        saved.conns = from.table("connections")?;
        saved.hosts = from.table("hosts")?;
        saved.ports = from.table("ports")?;
        self.restore(cx.now.instant, saved);
        // One without it has known no other nodes.
        let known = from.table("nodes").unwrap_or_default();
        self.restore_nodes(cx, known);
        self.restore_asking(cx);
        // What came to the other process says that it can.
        cx.shared.diagnostics.udp_came();
        Ok(())
    }
}
