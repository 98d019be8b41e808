//! Whom to knock at, and when.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use punchd::dialect::rooms::field::Id;
use rusty_enet::PeerID;

/// Time between two knocks.
const GAP: Duration = Duration::from_millis(100);
/// How long both sides knock.
const KNOCKING: Duration = Duration::from_secs(15);

/// The other side of an introduction.
#[derive(Debug)]
pub(super) struct Punch {
    pub(super) id: Id,
    /// Where the master server says that it is.
    pub(super) told: SocketAddr,
    /// Where its packets come from, as far as known.
    pub(super) at: SocketAddr,
    /// Whether the master server has told another place before.
    pub(super) is_later: bool,
    /// Where it is in this player's own network, if it may be in that.
    pub(super) near: Vec<SocketAddr>,
    /// Other ports that it may have.
    pub(super) ports: Vec<u16>,
    /// Whether there was a connection, and is none any more.
    pub(super) is_over: bool,
    began: Instant,
    last: Option<Instant>,
    pub(super) state: State,
    /// The connection that the client is about to make.
    pub(super) handshake: Option<PeerID>,
    /// When it began to.
    pub(super) shaken: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Knocking,
    /// A knock came through; the client connects now.
    Open,
    Connected,
    Failed,
}

impl Punch {
    pub(super) fn new(id: Id, at: SocketAddr) -> Self {
        Self {
            id,
            told: at,
            at,
            is_later: false,
            near: Vec::new(),
            ports: Vec::new(),
            is_over: false,
            began: Instant::now(),
            last: None,
            state: State::Knocking,
            handshake: None,
            shaken: None,
        }
    }

    /// Where to knock, the likeliest first.
    pub(super) fn places(&self) -> impl Iterator<Item = SocketAddr> {
        let seeks = self.state == State::Knocking;
        let near = self.near.iter().copied().filter(move |_| seeks);
        let ports = self.ports.iter().filter(move |_| seeks);
        near.chain(ports.map(|port| SocketAddr::new(self.at.ip(), *port))).chain([self.at])
    }

    /// Whether it may be at this endpoint, or is.
    pub(super) fn is_at(&self, at: SocketAddr) -> bool {
        self.at == at || self.near.contains(&at)
    }

    /// Whether it is time to knock.
    pub(super) fn knocks(&mut self) -> bool {
        let knocking = matches!(self.state, State::Knocking | State::Open);
        let due = self.last.is_none_or(|last| last.elapsed() >= GAP);
        if knocking && due {
            self.last = Some(Instant::now());
        }
        knocking && due
    }

    /// Whether it has just turned out that the punch does not work.
    pub(super) fn fails(&mut self) -> bool {
        let fails =
            matches!(self.state, State::Knocking | State::Open) && self.began.elapsed() > KNOCKING;
        if fails {
            self.state = State::Failed;
        }
        fails
    }
}
