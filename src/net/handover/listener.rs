//! The socket at which another process asks the running one to hand over.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use log::{info, warn};
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use socket2::Socket;

use super::channel::{self, Channel, Peer, why};
use super::message::{Kind, Message, Packet, Place, VERSION};
use super::successor::Successor;
use crate::cli::BUILD;
use crate::clock;
use crate::dialect::ConnId;
use crate::hash::Set;
use crate::limits::handover::{DESCRIPTORS, TAKE_OVER};
use crate::net::HANDOVER;
use crate::timers::LogThrottle;

/// How often it is looked whether a process that was started is still there.
const LOOK: Duration = Duration::from_millis(50);

/// What is said to a process that has just asked waits in the kernel for it. If it does not find room there in this
/// time the process does not read.
pub(super) const TELL: Duration = Duration::from_millis(50);

/// So long a process that was started and does not take over may log why, before it is ended.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// So many are heard in one turn: whoever is on this machine may ask, and ask again.
const ASKED: usize = 8;

/// What has come is heard at once.
const HEAR: Duration = Duration::from_millis(10);

/// The name at which this process is asked, and who asks.
#[derive(Debug)]
pub struct HandoverListener {
    listener: Socket,
    at: SocketAddr,
    /// A service manager has opened the sockets of this process.
    activated: bool,
    session: Option<Session>,
    /// The process that was started to take over, and when.
    child: Option<(Child, Instant)>,
    /// Those that were started and have failed, and since when.
    failed: Vec<(Child, Instant)>,
    /// As long as there is a session or a child.
    busy: Arc<AtomicBool>,
    strangers: LogThrottle,
}

/// A process that has asked.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) channel: Channel,
    pub(super) peer: Peer,
    since: Instant,
    stage: Stage,
    /// Connections that it was told of while they are served here.
    pub(super) told: Set<ConnId>,
}

/// How far the other process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It makes itself ready.
    Asked,
    /// It takes connections; those from this slot on come next.
    Takes(u32),
    /// It was told of all that there were.
    Told,
    /// It has them.
    Ready,
}

impl Stage {
    /// Whether there is something to do now.
    const fn is_due(self) -> bool {
        matches!(self, Self::Takes(_) | Self::Ready)
    }
}

impl Session {
    /// From which slot on it is to be told of connections, if it is.
    pub(super) fn takes(&self) -> Option<u32> {
        match self.stage {
            Stage::Takes(slot) => Some(slot),
            Stage::Asked | Stage::Told | Stage::Ready => None,
        }
    }

    /// It goes on with those from this slot on, or there are no more.
    pub(super) fn take_from(&mut self, next: Option<u32>) {
        self.stage = next.map_or(Stage::Told, Stage::Takes);
    }
}

impl HandoverListener {
    /// Listens where a process asks that takes the place of the one which is there, or goes on to do so by what
    /// that one has handed over.
    ///
    /// # Errors
    /// If another process, of whoever, has that name.
    pub fn open(
        at: SocketAddr,
        handed: Option<OwnedFd>,
        activated: bool,
        successor: &Successor,
    ) -> io::Result<Option<Self>> {
        let listener = handed.map_or_else(|| channel::listen(at), |handed| Ok(handed.into()))?;
        let busy = successor.busy();
        let strangers = LogThrottle::default();
        let (session, child, failed) = (None, None, Vec::new());
        Ok(Some(Self { listener, at, activated, session, child, failed, busy, strangers }))
    }

    pub(in crate::net) fn register(&self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut SourceFd(&self.listener.as_raw_fd()), token, Interest::READABLE)
    }

    /// How long the loop may sleep.
    pub(in crate::net) fn next_look(&self) -> Option<Duration> {
        let session = self.session.as_ref().map(|session| {
            if session.stage.is_due() { Duration::ZERO } else { left_of(session.since) }
        });
        let child = self.child.as_ref().map(|(_, since)| left_of(*since).min(LOOK));
        let failed = self.failed.first().map(|_| LOOK);
        session.into_iter().chain(child).chain(failed).min()
    }

    /// A process was started that is to take over.
    pub(in crate::net) fn note_successor(&mut self, started: io::Result<Child>) {
        match started {
            Ok(child) => {
                info!("SIGUSR2: process {} is started, to take over", child.id());
                self.child = Some((child, Instant::now()));
            }
            Err(error) => warn!("SIGUSR2: no process can be started to take over: {error}"),
        }
    }

    /// Whoever wants to may ask now. `sockets` are those that there are.
    pub(super) fn accept<'a>(
        &mut self,
        now: clock::Instant,
        registry: &Registry,
        token: Token,
        connections: usize,
        sockets: impl Fn() -> Vec<(Place, BorrowedFd<'a>)>,
    ) {
        for _ in 0..ASKED {
            let socket = match self.listener.accept() {
                Ok((socket, _)) => socket,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                // None, or it is gone again.
                Err(_) => return,
            };
            let Ok(peer) = Peer::of(&socket) else { continue };
            if !peer.is_own() {
                if let Some(before) = self.strangers.say(now) {
                    warn!(
                        "process {} of user {} wants to take over and may not: only a process of the same \
                         user may{before}",
                        peer.pid, peer.uid
                    );
                }
                continue;
            }
            let until = Instant::now() + TELL;
            let Ok(channel) = Channel::new(socket, until) else { continue };
            if let Some(no) = self.why_not(peer) {
                warn!("process {} does not take over: {no}", peer.pid);
                let _ = channel.say(Message::Refused(no));
                continue;
            }
            let told = self.welcome(&channel, connections, sockets()).and_then(|()| {
                let fd = channel.as_fd().as_raw_fd();
                registry.register(&mut SourceFd(&fd), token, Interest::READABLE)
            });
            self.busy.store(true, Ordering::SeqCst);
            let (since, stage) = (Instant::now(), Stage::Asked);
            self.session = Some(Session { channel, peer, since, stage, told: Set::default() });
            if let Err(error) = told {
                self.fail(&format!("it {}", why(&error)));
            }
        }
        // So that the loop is told again of those who wait.
        let fd = self.listener.as_raw_fd();
        let _ = registry.reregister(&mut SourceFd(&fd), HANDOVER, Interest::READABLE);
    }

    /// Why this process may not take over now.
    fn why_not(&self, peer: Peer) -> Option<String> {
        if self.session.is_some() {
            return Some("another process is about to".into());
        }
        if std::process::id() == 1 && peer.pid != 0 {
            return Some(
                "its container ends with process 1, which is the running punchd; start another container in \
                 the same network with --take-over, as the same user"
                    .into(),
            );
        }
        let group = |pid: &str| std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok();
        let is_managed = std::env::var_os("NOTIFY_SOCKET").is_some();
        if is_managed && group("self") != group(&peer.pid.to_string()) {
            return Some(
                "a service manager watches over the running punchd and not over this one; use systemctl \
                 reload, or send it SIGUSR2"
                    .into(),
            );
        }
        None
    }

    fn welcome<'a>(
        &'a self,
        channel: &Channel,
        connections: usize,
        mut sockets: Vec<(Place, BorrowedFd<'a>)>,
    ) -> io::Result<()> {
        sockets.push((Place { kind: Kind::Handover, addr: self.at }, self.listener.as_fd()));
        channel.say(Message::Welcome {
            version: VERSION,
            build: BUILD.into(),
            pid: std::process::id(),
            activated: self.activated,
            connections,
            sockets: sockets.len(),
        })?;
        for some in sockets.chunks(DESCRIPTORS) {
            let places = some.iter().map(|(place, _)| *place).collect();
            let fds: Vec<_> = some.iter().map(|(_, fd)| *fd).collect();
            channel.send(&Packet::Message(Message::Sockets(places)), &fds)?;
        }
        Ok(())
    }

    /// The process that has asked says something.
    pub(in crate::net) fn on_readable(&mut self) {
        let Some(session) = self.session.as_mut().filter(|session| session.stage != Stage::Ready)
        else {
            return;
        };
        session.channel.wait_until(Instant::now() + HEAR);
        match (session.stage, session.channel.hear()) {
            (Stage::Asked, Ok(Message::Ready { version: VERSION, .. })) => session.take_from(Some(0)),
            (Stage::Asked, Ok(Message::Ready { version, build })) => self.fail(&format!(
                "it is punchd {build}, which hands over in another way (version {version}, not {VERSION})"
            )),
            (Stage::Told, Ok(Message::HaveConnections)) => session.stage = Stage::Ready,
            (_, Ok(Message::Refused(why))) => self.fail(&why),
            (_, Ok(_)) => self.fail("it says something that is not understood"),
            (_, Err(error)) => self.fail(&format!("it {}", why(&error))),
        }
    }

    /// Looks whether those who want to take over still may.
    pub(in crate::net) fn look(&mut self) {
        self.end_failed();
        let ended = self.child.as_mut().and_then(|(child, _)| child.try_wait().ok().flatten());
        if let Some(status) = ended {
            // Why, it has said itself in the log.
            return self.fail_child(&format!("it has ended ({status})"));
        }
        let is_late = |since: Instant| left_of(since).is_zero();
        let session = self.session.as_ref();
        let session =
            session.is_some_and(|session| session.stage != Stage::Ready && is_late(session.since));
        if session || self.child.as_ref().is_some_and(|(_, since)| is_late(*since)) {
            self.fail(&format!("it was not ready within {} s", TAKE_OVER.as_secs()));
        }
    }

    /// Who has asked, if anybody has.
    pub(super) fn session(&mut self) -> Option<&mut Session> {
        self.session.as_mut()
    }

    /// Who is ready to go on, if anybody is.
    pub(super) fn take_ready(&mut self) -> Option<Session> {
        self.session.take_if(|session| session.stage == Stage::Ready)
    }

    /// Nobody takes over. A process that was started for it is ended.
    pub(super) fn fail(&mut self, why: &str) {
        let peer = self.session.take().map(|session| session.peer.pid);
        let child = self.child.take().map(|(child, _)| child);
        let pid = child.as_ref().map(|child| i64::from(child.id())).or(peer.map(i64::from));
        self.fail_of(pid.unwrap_or(0), child, why);
    }

    /// The same of the process that was started and has ended, which may not be the one that has asked.
    fn fail_child(&mut self, why: &str) {
        let Some(pid) = self.child.as_ref().map(|(child, _)| i64::from(child.id())) else { return };
        // The number of one in a container of its own is not known.
        let is_other = |session: &Session| ![0, pid].contains(&i64::from(session.peer.pid));
        if self.session.as_ref().is_some_and(is_other) {
            self.child = None;
            return warn!("process {pid} does not take over: {why}");
        }
        self.fail(why);
    }

    /// The same of a process that was ready.
    pub(super) fn fail_at_last(&mut self, session: Session, why: &str) {
        let pid = i64::from(session.peer.pid);
        drop(session);
        let child = self.child.take().map(|(child, _)| child);
        self.fail_of(pid, child, why);
    }

    fn fail_of(&mut self, pid: i64, child: Option<Child>, why: &str) {
        // Who reads this may ask again at once.
        self.busy.store(false, Ordering::SeqCst);
        warn!("process {pid} does not take over, and this one goes on: {why}");
        self.failed.extend(child.map(|child| (child, Instant::now())));
    }

    /// Ends those that have failed and have had time to say why.
    fn end_failed(&mut self) {
        self.failed.retain_mut(|(child, since)| {
            if since.elapsed() >= LAST_WORDS {
                // It may have ended already.
                let _ = child.kill();
            }
            matches!(child.try_wait(), Ok(None))
        });
    }

    /// This process stops: nobody is to take its place, or to begin anew.
    pub(in crate::net) fn close(&mut self) {
        self.failed.extend(self.child.take());
        self.close_failed();
    }

    /// This process ends: those that have failed are not to stay.
    pub(super) fn close_failed(&mut self) {
        for (child, _) in &mut self.failed {
            // It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn left_of(since: Instant) -> Duration {
    TAKE_OVER.saturating_sub(since.elapsed())
}
