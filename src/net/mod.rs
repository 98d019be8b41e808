//! The event loop: all sockets, one thread. It waits in [`mio::Poll`], hands what arrived to the
//! dialect and does what the dialect wants done.
//!
//! Everything is edge-triggered: a socket that was not read to its end is not reported again, so
//! whoever stops early, to let others have their turn, stays in a list of its own (`ready`) and
//! the loop does not sleep while that has entries. So does one of which the dialect has enough for
//! now: what it sends stays in the kernel, and its peer is slowed down by TCP. Datagrams come before
//! connections, as they show the ports that requests on connections are about. Each kind of work
//! stops when it has taken its share of time, so that a turn takes 5 ms at most, whoever asks for
//! whatever.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use log::{debug, error, info};
use mio::net::{TcpListener, UdpSocket};
use mio::{Events, Interest, Poll, Token, Waker};

use crate::clock::{Instant, Now, earliest};
use crate::dialect::Outbox;
use crate::introductions::relay::sessions;
use crate::limits::{self, Limits};
use crate::server::{Server, window};

pub mod bind;
pub mod certificate;
#[cfg(feature = "cluster")]
pub mod cluster;
pub mod files;
pub mod handover;
mod iteration;
pub mod regular;
pub mod relay;
pub mod signals;
pub mod sys;
mod tcp;
pub mod udp;

use bind::Bound;
use relay::{Gone, Relay, RelayError};
use tcp::Connections;
use udp::Datagrams;

/// Events taken from the kernel at once.
const EVENTS: usize = 1024;

/// How often they are taken before anybody is served, if there are so many.
const POLLS: usize = 16;

/// Ends of relayed sessions that are noted before others have their turn: each may be a line of the log.
const REPORTS: usize = 64;

/// How long the end may take: what is owed is flushed, then the process is gone within a second.
const SHUTDOWN: Duration = Duration::from_millis(900);

/// Tokens of listeners and UDP sockets are below this, of connections from here on.
const FIRST_CONNECTION: usize = 512;
const WAKE: Token = Token(usize::MAX - 1);
const WINDOW: Token = Token(usize::MAX - 2);
/// Where another process asks for the place of this one, and one that has.
const HANDOVER: Token = Token(usize::MAX - 3);
const HANDOVER_SESSION: Token = Token(usize::MAX - 4);

/// As many UDP sockets as have tokens of their own and numbers in a [`Via`](crate::dialect::Via).
const SOCKETS: usize = FIRST_CONNECTION / 2;
const _: () = assert!(SOCKETS <= u8::MAX as usize + 1);

/// How another thread, a signal handler's, makes the loop stop.
#[derive(Clone, Debug)]
pub struct Stopper {
    stop: Arc<AtomicBool>,
    waker: Arc<Waker>,
}

impl Stopper {
    /// Asks the loop to stop. Returns whether it had been asked before.
    pub fn stop(&self) -> bool {
        let before = self.stop.swap(true, Ordering::SeqCst);
        // If waking fails the loop is gone already.
        let _ = self.waker.wake();
        before
    }
}

/// How a loop has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was stopped.
    Stopped,
    /// Another process goes on with all that it had.
    HandedOver,
}

/// The loop and everything in it.
#[derive(Debug)]
pub struct EventLoop {
    poll: Poll,
    started: std::time::Instant,
    /// When the loop last had nothing to do, or what it has found since then came.
    oldest: Instant,
    stop: Arc<AtomicBool>,
    /// A poll has one at most.
    waker: Arc<Waker>,
    server: Server,
    out: Outbox,
    datagrams: Datagrams,
    connections: Connections,
    requests: Option<signals::Requests>,
    relay: Option<Relay>,
    handover: Option<handover::HandoverListener>,
    #[cfg(feature = "cluster")]
    nodes: Option<cluster::Connection>,
    /// Events come in the order in which what they tell of has come.
    events_in_order: bool,
}

impl EventLoop {
    /// A loop that serves these sockets, and after them UDP sockets at alternate ports and
    /// addresses.
    ///
    /// # Errors
    /// If the system has no more descriptors or memory for it, or there are more sockets than can
    /// be told apart.
    pub fn new(
        sockets: Vec<Bound>,
        alternates: Vec<UdpSocket>,
        server: Server,
        limits: Limits,
    ) -> io::Result<Self> {
        let all = sockets.len() + alternates.len();
        if all > SOCKETS {
            return Err(io::Error::other(format!(
                "{all} UDP sockets are too many, with those that STUN has besides; at most \
                 {SOCKETS} can be used: leave --bind out to listen on all addresses of this machine"
            )));
        }
        let poll = Poll::new()?;
        let ghost = sockets.first().map_or(limits::GHOST, |bound| bound.ghost);
        let mut listeners = Vec::new();
        let mut udp = Vec::new();
        for (n, mut bound) in sockets.into_iter().enumerate() {
            let registry = poll.registry();
            registry.register(&mut bound.tcp, Token(2 * n), Interest::READABLE)?;
            registry.register(&mut bound.udp, Token(2 * n + 1), Interest::READABLE)?;
            listeners.push(bound.tcp);
            udp.push(bound.udp);
        }
        for mut socket in alternates {
            let token = Token(2 * udp.len() + 1);
            poll.registry().register(&mut socket, token, Interest::READABLE)?;
            udp.push(socket);
        }
        let waker = Arc::new(Waker::new(poll.registry(), WAKE)?);
        Ok(Self {
            poll,
            waker,
            started: std::time::Instant::now(),
            oldest: Instant::default(),
            stop: Arc::new(AtomicBool::new(false)),
            server,
            out: Outbox::new(),
            datagrams: Datagrams::new(udp),
            connections: Connections::new(listeners, ghost, limits),
            requests: None,
            relay: None,
            handover: None,
            #[cfg(feature = "cluster")]
            nodes: None,
            events_in_order: sys::EVENTS_IN_ORDER,
        })
    }

    /// A handle that stops this loop.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        Stopper { stop: Arc::clone(&self.stop), waker: Arc::clone(&self.waker) }
    }

    /// Lets the owner look in by this listener.
    ///
    /// # Errors
    /// If the system does not let it be waited for.
    pub fn open_window(
        &mut self,
        mut listener: TcpListener,
        config: window::Config,
    ) -> io::Result<()> {
        self.poll.registry().register(&mut listener, WINDOW, Interest::READABLE)?;
        self.connections.open_window(listener);
        self.server.open_window(config);
        Ok(())
    }

    /// Starts the relay that the server gives sessions of, at these addresses, one of a family, with what another
    /// process has handed over.
    ///
    /// # Errors
    /// If one of its ports cannot be had.
    pub fn relay(
        &mut self,
        binds: &[IpAddr],
        config: &sessions::Config,
        mut offer: Option<&mut handover::Offer>,
    ) -> Result<(), RelayError> {
        let (ports, waits) = (config.ports.clone(), offer.is_some());
        let handed = |at| {
            let (_, socket) = offer.as_mut()?.relay(at)?;
            Some(UdpSocket::from_std(socket))
        };
        let (main, started) = (Arc::clone(&self.waker), self.started);
        let relay = Relay::start(binds, ports, config.bounds, main, started, handed, waits)?;
        self.relay = Some(relay);
        Ok(())
    }

    /// Talks to the other nodes of a cluster.
    ///
    /// # Errors
    /// If the place is none, or the system has no more threads.
    #[cfg(feature = "cluster")]
    pub fn join(&mut self, place: cluster::Place<'_>) -> io::Result<()> {
        let main = Arc::clone(&self.waker);
        self.nodes = Some(cluster::Connection::start(place, main, self.started)?);
        Ok(())
    }

    /// Waits a moment until other nodes are heard, so that nothing is lost that they say while this process takes over.
    #[cfg(feature = "cluster")]
    pub fn wait_for_nodes(&mut self) {
        self.nodes.iter_mut().for_each(cluster::Connection::wait_until_ready);
    }

    /// Does what the owner asks for by signals.
    ///
    /// # Errors
    /// If the system refuses it.
    pub fn obey(&mut self, mut requests: signals::Requests) -> io::Result<()> {
        // Before a SIGHUP can come, which tells the same: once is enough.
        requests.look(self.now());
        requests.listen(Arc::clone(&self.waker))?;
        self.requests = Some(requests);
        Ok(())
    }

    /// Serves until it is stopped, then finishes what it owes; or until another process goes on.
    ///
    /// # Errors
    /// If the system does not let it wait for events.
    pub fn run(&mut self) -> io::Result<Ended> {
        let mut events = Events::with_capacity(EVENTS);
        let mut timeout = Some(Duration::ZERO);
        while !self.stop.load(Ordering::SeqCst) {
            timeout = self.turn(&mut events, timeout)?;
            if self.hand_over() {
                return Ok(Ended::HandedOver);
            }
        }
        self.handover.iter_mut().for_each(handover::HandoverListener::close);
        let now = self.now();
        info!("stopping: no new connections, {} open", self.connections.len());
        self.connections.stop_accepting();
        self.server.on_shutdown(now, &mut self.out);
        self.deliver(now);
        self.tell_nodes();
        let deadline = now.instant + SHUTDOWN;
        timeout = Some(Duration::ZERO);
        while self.instant() < deadline && (self.server.owes() || self.connections.owe()) {
            let left = deadline - self.instant();
            timeout = self.turn(&mut events, Some(timeout.map_or(left, |t| t.min(left))))?;
        }
        self.connections.finish();
        Ok(Ended::Stopped)
    }

    /// Waits for events and handles them, once. Returns how long the next turn may wait.
    fn turn(
        &mut self,
        events: &mut Events,
        timeout: Option<Duration>,
    ) -> io::Result<Option<Duration>> {
        let may_sleep = timeout != Some(Duration::ZERO);
        let mut timeout = timeout;
        // The kernel tells in the order of arrival, so all that it has to tell is asked for: else who
        // comes behind thousands would wait for the turns of those.
        for _ in 0..POLLS {
            match self.poll.poll(events, timeout) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                    return Ok(Some(Duration::ZERO));
                }
                other => other?,
            }
            if self.note_events(events) < EVENTS {
                break;
            }
            timeout = Some(Duration::ZERO);
        }
        let now = self.now();
        if may_sleep {
            self.oldest = now.instant;
        }
        Ok(self.work(now))
    }

    /// Does what there is to do. Returns how long the next turn may wait.
    fn work(&mut self, now: Now) -> Option<Duration> {
        // What a request is about may have come by UDP before it, and be told of after it.
        if !self.events_in_order {
            self.datagrams.look_again();
        }
        self.server.begin_turn(now.instant);
        self.receive_datagrams(now);
        self.accept(now);
        self.accept_http(now);
        let now = Now { instant: self.instant(), ..now };
        self.server.note_sent(now.instant);
        // Before it is told to who asks.
        if self.server.wants_usage(now.instant) {
            let usage = window::Usage { memory: sys::memory(), cpu: sys::cpu_time() };
            self.server.note_usage(now.instant, usage);
        }
        self.serve_connections(now);
        if self.server.has_answered() {
            let sent = self.instant();
            self.server.note_sent(sent);
        }
        self.connections.retry(now.instant);
        for conn in self.connections.slow_readers(now.instant) {
            debug!("connection {} lost: its peer does not read", conn.slot);
            self.server.note_unread(now, conn);
            self.lose(now, conn);
        }
        self.server.note_ready(self.connections.ready_sources());
        self.handle_node_messages(now);
        let mut wakeup = self.server.next_wakeup();
        if wakeup.is_some_and(|at| at <= now.instant) {
            self.server.on_wakeup(now, &mut self.out);
            self.deliver(now);
            wakeup = self.server.next_wakeup();
        }
        self.tell_nodes();
        self.handle_relay(now);
        self.requests.iter_mut().for_each(|requests| requests.look(now));
        self.handover.iter_mut().for_each(handover::HandoverListener::look);
        self.timeout(now.instant, wakeup)
    }

    /// Notes who has something to do. Returns how many events there were.
    fn note_events(&mut self, events: &Events) -> usize {
        let mut count = 0;
        for event in events {
            count += 1;
            match event.token() {
                WAKE => {
                    let now = self.now();
                    let tell = || self.server.lines(now);
                    let asked = self.requests.as_mut().map(|requests| requests.handle(tell));
                    let asked = asked.unwrap_or_default();
                    asked.files.blocks.into_iter().for_each(|blocks| self.server.block(blocks));
                    asked.files.admitted.into_iter().for_each(|lists| self.server.admit(lists));
                    self.note_successors(asked.successors);
                }
                HANDOVER => self.accept_handover(),
                HANDOVER_SESSION => {
                    self.handover.iter_mut().for_each(handover::HandoverListener::on_readable)
                }
                WINDOW => self.connections.note_look(),
                Token(n) if n >= FIRST_CONNECTION => {
                    self.connections.note_event(n - FIRST_CONNECTION, event);
                }
                Token(n) if n % 2 == 0 => self.connections.note_acceptable(n / 2),
                Token(n) => self.datagrams.note_readable(n / 2),
            }
        }
        count
    }

    /// Tells the relay's thread what sessions there are, before players are told of them. If it is gone
    /// that is heard soon.
    fn open_sessions(&mut self) {
        let Some(relay) = &self.relay else { return };
        self.server.new_sessions().for_each(|session| relay.open(session));
    }

    /// Hears what became of sessions.
    fn handle_relay(&mut self, now: Now) {
        let Some(relay) = &self.relay else { return };
        for _ in 0..REPORTS {
            match relay.report() {
                Ok(Some(report)) => self.server.on_report(now, report),
                Ok(None) => return,
                Err(Gone) => {
                    error!(
                        "the relay has stopped and nobody is relayed any more: start punchd anew, and \
                         please report this with the lines above"
                    );
                    self.server.on_relay_gone();
                    self.relay = None;
                    return;
                }
            }
        }
        // There may be more. If waking fails the next event brings them.
        let _ = self.waker.wake();
    }

    /// How long the loop may sleep, if the server has to wake up then.
    fn timeout(&self, now: Instant, wakeup: Option<Instant>) -> Option<Duration> {
        if self.datagrams.are_ready() || self.connections.are_ready() {
            return Some(Duration::ZERO);
        }
        let (connections, datagrams) =
            (self.connections.next_wakeup(), self.datagrams.next_wakeup());
        let look = self.requests.as_ref().map(signals::Requests::next_look);
        let handover = self
            .handover
            .as_ref()
            .and_then(handover::HandoverListener::next_look)
            .map(|left| now + left);
        let next = earliest([wakeup, connections, datagrams, look, handover])?;
        // Poll counts in milliseconds and rounds down, which would make it spin for the last one.
        let rounding = Duration::from_micros(999);
        Some(if next <= now { Duration::ZERO } else { next - now + rounding })
    }

    fn now(&self) -> Now {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        Now { instant: self.instant(), unix }
    }

    fn instant(&self) -> Instant {
        now_since(self.started)
    }
}

/// How long to wait until what failed for lack of something is tried again.
const PAUSE: Duration = Duration::from_millis(100);

/// What time it is by the clock that began then.
fn now_since(started: std::time::Instant) -> Instant {
    let since = limits::WAITED + started.elapsed();
    Instant::from_micros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

/// The address as everybody knows it: an IPv4 peer of an IPv6 socket is an IPv4 peer.
fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::Config;
    use std::net::Ipv4Addr;

    #[test]
    fn datagrams_are_read_before_their_events_where_these_come_in_any_order() {
        let addr = IpAddr::from(Ipv4Addr::LOCALHOST);
        let sockets = bind::bind(&[addr], 0, limits::GHOST).unwrap();
        let at = sockets[0].addr;
        let (server, limits) = (Server::new(Config::default()), Limits::default());
        let mut event_loop = EventLoop::new(sockets, Vec::new(), server, limits).unwrap();
        event_loop.events_in_order = false;
        event_loop.work(event_loop.now());
        assert!(!event_loop.datagrams.are_ready(), "all is read");
        let peer = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        // A STUN binding request.
        let question = [&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &[7; 12]].concat();
        peer.send_to(&question, at).unwrap();
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        peer.set_nonblocking(true).unwrap();
        let mut answer = [0; 256];
        // No event is asked for.
        while peer.recv(&mut answer).is_err() {
            event_loop.work(event_loop.now());
            assert!(std::time::Instant::now() < deadline, "the datagram is not read");
        }
    }

    #[test]
    fn more_sockets_than_are_told_apart_are_refused() {
        let error = |sockets: usize| {
            let bind = |_| UdpSocket::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
            let (sockets, server) = ((0..sockets).map(bind).collect(), Config::default());
            EventLoop::new(Vec::new(), sockets, Server::new(server), Limits::default()).err()
        };
        assert!(error(SOCKETS).is_none());
        assert!(error(SOCKETS + 1).is_some_and(|error| error.to_string().contains("--bind")));
    }
}
