//! The thread of the relay: the ports of the pool, and a loop of its own, so that no introduction waits
//! for a packet that is passed on. Only messages go between the two threads.

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};
use std::thread::JoinHandle;
use std::time::Duration;

use log::{debug, warn};
use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token, Waker};

use super::sys::{self, is_memory_pressure};
use super::{PAUSE, canonical, now_since};
use crate::clock::Instant;
use crate::introductions::relay::forwarding::{Dropped, Forwarding};
use crate::introductions::relay::{Bounds, Order, Report};
use crate::state::NotUnderstood;
use crate::timers::LogThrottle;

mod pool;

pub use pool::open_all;
use pool::{Pool, PoolSocket};

/// Longest datagram that is passed on: more than fits through the Internet in one piece.
const LONGEST: usize = 2048;

/// Datagrams taken from a socket before others have their turn.
const BUDGET: usize = 32;

/// Events taken from the kernel at once.
const EVENTS: usize = 256;

const WAKE: Token = Token(usize::MAX);

/// The thread, as the event loop sees it. Dropping it ends the thread.
#[derive(Debug)]
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "no process takes over there yet"))]
pub struct Relay {
    /// None in the end, which the thread sees.
    commands: Option<Sender<Command>>,
    reports: Receiver<Report>,
    waker: Waker,
    thread: Option<JoinHandle<()>>,
    /// Those of the pool.
    sockets: Vec<Arc<UdpSocket>>,
    bounds: Bounds,
}

/// What the thread is told.
#[derive(Debug)]
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "no process takes over there yet"))]
enum Command {
    Order(Order),
    /// To stop, and to say by this what another process needs to go on.
    Stop(Sender<Option<Vec<u8>>>),
    /// To go on.
    GoOn,
    /// To go on with these sessions, by the clock that began then.
    Begin(Box<Forwarding>, std::time::Instant),
}

/// A port of the relay cannot be had.
#[derive(Debug)]
pub struct RelayError {
    addr: Option<SocketAddr>,
    error: io::Error,
}

impl fmt::Display for RelayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { addr, error } = self;
        match addr {
            Some(addr) => write!(f, "cannot open UDP port {addr} for the relay: {error}")?,
            None => write!(f, "cannot start the relay: {error}")?,
        }
        match (error.kind(), addr) {
            (io::ErrorKind::AddrInUse, _) => {
                f.write_str("; another program has it: give the relay others with --relay-ports")
            }
            (io::ErrorKind::PermissionDenied, Some(_)) => {
                write!(f, "; {}", sys::no_permission("--relay-ports"))
            }
            (io::ErrorKind::AddrNotAvailable, Some(addr)) => write!(
                f,
                "; this machine does not have the address {} ({} lists those it has)",
                addr.ip(),
                sys::ADDRESSES
            ),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for RelayError {}

impl RelayError {
    /// Whether somebody has the port already.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        self.error.kind() == io::ErrorKind::AddrInUse
    }
}

impl From<io::Error> for RelayError {
    fn from(error: io::Error) -> Self {
        Self { addr: None, error }
    }
}

impl Relay {
    /// Opens these ports at these addresses, at most one of each family, but for those that `handed` gives, and
    /// starts the thread, whose clock is that which began when it `started`. When it has something to tell it wakes
    /// `main`. If it `waits`, that is until it shall begin.
    ///
    /// # Errors
    /// If a port cannot be had, or the system has no more descriptors, memory or threads.
    pub fn start(
        addrs: &[IpAddr],
        ports: RangeInclusive<u16>,
        bounds: Bounds,
        main: Arc<Waker>,
        started: std::time::Instant,
        mut handed: impl FnMut(SocketAddr) -> Option<UdpSocket>,
        waits: bool,
    ) -> Result<Self, RelayError> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKE)?;
        let mut sockets = Vec::new();
        for (addr, mut socket) in open_all(addrs, &ports, &mut handed)? {
            poll.registry().register(&mut socket, Token(sockets.len()), Interest::READABLE)?;
            let socket = Arc::new(socket);
            sockets.push(PoolSocket { socket, port: addr.port(), is_ready: false });
        }
        let shared = sockets.iter().map(|one| Arc::clone(&one.socket)).collect();
        let (sender, commands) = mpsc::channel();
        let (told, reports) = mpsc::channel();
        let last = WakeLast(Arc::clone(&main));
        let worker = Worker {
            poll,
            pool: Pool::new(sockets, addrs, &ports),
            ready: VecDeque::new(),
            forwarding: Forwarding::new(bounds),
            buffer: Box::new([0; LONGEST + 1]),
            started,
            commands,
            stop: None,
            told,
            main,
            dropped: Dropped::default(),
            much: LogThrottle::default(),
            _last: last,
        };
        let run = move || worker.begin(waits);
        let thread = std::thread::Builder::new().name("relay".into()).spawn(run)?;
        let (commands, thread) = (Some(sender), Some(thread));
        Ok(Self { commands, reports, waker, thread, sockets: shared, bounds })
    }

    fn say(&self, command: Command) {
        // If this fails the thread is gone, as the next report says.
        let _ = self.commands.as_ref().map(|commands| commands.send(command));
        let _ = self.waker.wake();
    }

    /// Has the thread pass packets on for a session, whatever arrives from now on, or no more.
    pub fn open(&self, order: Order) {
        self.say(Command::Order(order));
    }

    /// The next thing that the thread has to tell.
    ///
    /// # Errors
    /// If the thread is gone.
    pub fn report(&self) -> Result<Option<Report>, Gone> {
        match self.reports.try_recv() {
            Ok(report) => Ok(Some(report)),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(Gone),
        }
    }
}

/// What lets another process go on with it.
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "no process takes over there yet"))]
impl Relay {
    /// The ports of the pool.
    pub(super) fn sockets(&self) -> impl Iterator<Item = &UdpSocket> {
        self.sockets.iter().map(|socket| &**socket)
    }

    /// Has the thread stop, so that all that comes waits in the sockets. Returns what another process needs to go
    /// on. None: it did not stop in this time.
    pub(super) fn stop(&self, within: Duration) -> Option<Vec<u8>> {
        let (told, saved) = mpsc::channel();
        self.say(Command::Stop(told));
        saved.recv_timeout(within).ok().flatten()
    }

    /// Has it go on after that.
    pub(super) fn resume(&self) {
        self.say(Command::GoOn);
    }

    /// No sessions.
    pub(super) fn without(&self) -> Box<Forwarding> {
        Box::new(Forwarding::new(self.bounds))
    }

    /// The sessions of another process, as far as their ports are in the pool, or none if this is not understood.
    pub(super) fn load(&self, saved: &[u8]) -> Result<Box<Forwarding>, NotUnderstood> {
        let mut forwarding = self.without();
        let ports = self.sockets().filter_map(|socket| socket.local_addr().ok());
        let ports: HashSet<_> = ports.map(|at| (at.is_ipv4(), at.port())).collect();
        let has_port = |player: IpAddr, port| ports.contains(&(player.is_ipv4(), port));
        forwarding.load(saved, has_port).map(|()| forwarding)
    }

    /// Has a thread that waits go on with these sessions, by the clock that began then.
    pub(super) fn begin(&self, forwarding: Box<Forwarding>, started: std::time::Instant) {
        self.say(Command::Begin(forwarding, started));
    }
}

/// The thread of the relay has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

impl Drop for Relay {
    fn drop(&mut self) {
        self.commands = None;
        // If this fails it is gone already.
        let _ = self.waker.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What a socket has after its turn.
enum Left {
    Nothing,
    /// There may be more.
    More,
    /// There may be more, which is for another process.
    Stop,
    /// The kernel has no memory to receive with.
    NoMemory,
}

/// What the thread does.
#[derive(Debug)]
struct Worker {
    poll: Poll,
    pool: Pool,
    /// Sockets that may have something to read.
    ready: VecDeque<usize>,
    forwarding: Forwarding,
    buffer: Box<[u8; LONGEST + 1]>,
    started: std::time::Instant,
    commands: Receiver<Command>,
    /// It is to stop, and to say so by this.
    stop: Option<Sender<Option<Vec<u8>>>>,
    told: Sender<Report>,
    main: Arc<Waker>,
    /// Since the last line of the log about it.
    dropped: Dropped,
    much: LogThrottle,
    /// Dropped after all else here.
    _last: WakeLast,
}

/// Wakes the event loop when the thread ends, be it by a fault: what it has to report then is that it is
/// gone.
#[derive(Debug)]
struct WakeLast(Arc<Waker>);

impl Drop for WakeLast {
    fn drop(&mut self) {
        let _ = self.0.wake();
    }
}

impl Worker {
    /// Runs, at once or when it shall begin.
    fn begin(mut self, waits: bool) {
        if waits && !self.wait() {
            return;
        }
        self.run();
    }

    /// Waits until it shall go on. False: it shall end.
    fn wait(&mut self) -> bool {
        loop {
            match self.commands.recv() {
                Ok(Command::Order(order)) => self.forwarding.obey(self.now(), order),
                Ok(Command::Begin(forwarding, started)) => {
                    (self.forwarding, self.started) = (*forwarding, started);
                    return true;
                }
                Ok(Command::GoOn) => return true,
                // Nothing is read already.
                Ok(Command::Stop(told)) => _ = told.send(self.forwarding.save()),
                Err(_) => return false,
            }
        }
    }

    /// Stops, if it shall, until it shall go on. False: it shall end.
    fn stand_still(&mut self, now: Instant) -> bool {
        let Some(stop) = self.stop.take() else { return true };
        // All that there is to report, before it is asked for.
        if !self.tell(now) {
            return false;
        }
        // Nobody may wait for it any more.
        let _ = stop.send(self.forwarding.save());
        self.wait()
    }

    fn run(mut self) {
        // Who is introduced waits for the event loop, while packets that are passed on are few beside it,
        // or too many.
        if let Err(error) = sys::lower_priority() {
            debug!("relay: its thread keeps its priority: {error}");
        }
        let mut events = Events::with_capacity(EVENTS);
        loop {
            let timeout = self.timeout();
            match self.poll.poll(&mut events, timeout) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                    return warn!("the relay cannot wait for packets: {error}");
                }
                _ => {}
            }
            for event in &events {
                if let Some(socket) = self.pool.sockets.get_mut(event.token().0)
                    && !std::mem::replace(&mut socket.is_ready, true)
                {
                    self.ready.push_back(event.token().0);
                }
            }
            let now = self.now();
            if !take_commands(&self.commands, &mut self.forwarding, &mut self.stop, now)
                || !self.stand_still(now)
            {
                return;
            }
            for _ in 0..self.ready.len() {
                let Some(n) = self.ready.pop_front() else { break };
                match self.receive(now, n) {
                    Left::Nothing => {}
                    Left::More => self.ready.push_back(n),
                    Left::Stop => {
                        self.ready.push_front(n);
                        break;
                    }
                    Left::NoMemory => {
                        self.ready.push_back(n);
                        std::thread::sleep(PAUSE);
                        break;
                    }
                }
            }
            self.forwarding.on_wakeup(now);
            if !self.tell(now) || !self.stand_still(now) {
                return;
            }
        }
    }

    fn now(&self) -> Instant {
        now_since(self.started)
    }

    fn timeout(&self) -> Option<Duration> {
        if !self.ready.is_empty() {
            return Some(Duration::ZERO);
        }
        let (at, now) = (self.forwarding.next_wakeup()?, self.now());
        // Poll counts in milliseconds and rounds down.
        Some(if at <= now { Duration::ZERO } else { at - now + Duration::from_millis(1) })
    }

    /// Passes on what a socket has, as far as its turn goes.
    fn receive(&mut self, now: Instant, n: usize) -> Left {
        let Self { pool, forwarding, buffer, commands, stop, .. } = self;
        for _ in 0..BUDGET {
            let Some(PoolSocket { socket, port, .. }) = pool.sockets.get(n) else {
                return Left::Nothing;
            };
            if stop.is_some() {
                return Left::Stop;
            }
            match socket.recv_from(&mut buffer[..]) {
                // What is longer is dropped, not cut.
                Ok((length, _)) if length > LONGEST => {}
                Ok((length, from)) => {
                    let Some(data) = buffer.get(..length) else { continue };
                    // Whoever was told of a session may have sent this before that was read.
                    take_commands(commands, forwarding, stop, now);
                    let mut send = |port, to, data: &[u8]| pool.send(port, to, data);
                    forwarding.on_datagram(now, *port, canonical(from), data, &mut send);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if let Some(socket) = pool.sockets.get_mut(n) {
                        socket.is_ready = false;
                    }
                    return Left::Nothing;
                }
                Err(error) if is_memory_pressure(&error) => return Left::NoMemory,
                // What an earlier packet came to, as an ICMP error.
                Err(error) => debug!("relay: {error}"),
            }
        }
        Left::More
    }

    /// Tells the event loop and the owner what there is to tell. False: nobody listens any more.
    fn tell(&mut self, now: Instant) -> bool {
        let mut is_heard = true;
        let mut is_told = false;
        for report in self.forwarding.take_reports() {
            is_told = true;
            is_heard &= self.told.send(report).is_ok();
        }
        if is_told {
            is_heard &= self.main.wake().is_ok();
        }
        self.dropped.add(self.forwarding.take_dropped());
        if !self.dropped.is_empty()
            && let Some(before) = self.much.say(now)
        {
            warn!("packets of relayed players are dropped, {}{before}", self.dropped);
            self.dropped = Dropped::default();
        }
        is_heard
    }
}

/// Does what the event loop wants done, or notes that it is to `stop`. False: there will be no more.
fn take_commands(
    commands: &Receiver<Command>,
    forwarding: &mut Forwarding,
    stop: &mut Option<Sender<Option<Vec<u8>>>>,
    now: Instant,
) -> bool {
    while stop.is_none() {
        match commands.try_recv() {
            Ok(Command::Order(order)) => forwarding.obey(now, order),
            Ok(Command::Stop(told)) => *stop = Some(told),
            // It does.
            Ok(Command::GoOn | Command::Begin(..)) => {}
            Err(TryRecvError::Empty) => return true,
            Err(TryRecvError::Disconnected) => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nobody is told of sessions then that nobody serves: `Server::on_relay_gone`.
    #[test]
    fn the_event_loop_is_woken_when_the_thread_fails() {
        let mut poll = Poll::new().unwrap();
        let main = Arc::new(Waker::new(poll.registry(), WAKE).unwrap());
        // The loop keeps its own; with the last of them the event would be gone.
        let _kept = Arc::clone(&main);
        let own = Poll::new().unwrap();
        let waker = Waker::new(own.registry(), WAKE).unwrap();
        let (sender, commands) = mpsc::channel();
        let (told, reports) = mpsc::channel();
        let worker = Worker {
            poll: own,
            pool: Pool::new(Vec::new(), &[], &(1..=2)),
            ready: VecDeque::new(),
            forwarding: Forwarding::new(Bounds::default()),
            buffer: Box::new([0; LONGEST + 1]),
            started: std::time::Instant::now(),
            commands,
            stop: None,
            told,
            main: Arc::clone(&main),
            dropped: Dropped::default(),
            much: LogThrottle::default(),
            _last: WakeLast(main),
        };
        let thread = std::thread::spawn(move || {
            let _worker = worker;
            panic!("a fault, as is meant here");
        });
        let (commands, thread) = (Some(sender), Some(thread));
        let (sockets, bounds) = (Vec::new(), Bounds::default());
        let relay = Relay { commands, reports, waker, thread, sockets, bounds };
        let mut events = Events::with_capacity(1);
        poll.poll(&mut events, Some(Duration::from_secs(20))).unwrap();
        assert!(!events.is_empty());
        assert_eq!(relay.report(), Err(Gone));
    }
}
