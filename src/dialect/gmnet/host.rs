//! One registered host: where it is, and how sure that is.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::data::Data;
use super::ports::{LeftPort, OwnPort};
use crate::clock::Instant;
use crate::dialect::{ConnId, Via};
use crate::introductions::journal::Shown;
use crate::limits;

mod saved;

use saved::Saved;

/// The data1 string of a host that does not want to be listed.
const INVISIBLE: &str = "<INV>";

/// How sure it is that a UDP `reg` came for a registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Sign {
    /// None came.
    Nothing,
    /// One came from a port that another host has, who may be the same game; or none came, and the
    /// port is that of a host that has left.
    Doubtful,
    /// One came, and at the same moment one of a neighbour: each may have the other's.
    Crossed,
    /// One came.
    Certain,
}

/// Port, way and time of a packet.
type BeforeTentative = Box<(Option<u16>, Via, Instant)>;

/// A registered host.
#[derive(Debug, Deserialize)]
#[serde(from = "Saved<Data, BeforeTentative>")]
pub struct Host {
    /// Its control connection.
    pub conn: ConnId,
    /// Its address as seen on the control connection.
    pub addr: IpAddr,
    /// Its UDP port, once known.
    pub port: Option<u16>,
    /// Where its UDP packets come in.
    pub via: Via,
    /// Seconds since 1970, until 2106, as the lobby tells it.
    pub created: u32,
    /// What it says of itself; a host of the older protocol says nothing and is not listed.
    pub data: Option<Data>,
    /// When the last UDP `reg` from `port` came.
    pub seen: Instant,
    /// When its connection registered first.
    pub since: Instant,
    /// Counts the hosts, those that have left as well.
    pub number: u32,
    /// When its connection registered last.
    pub(super) registered: Instant,
    /// Whether a UDP `reg` belongs to the last registration.
    pub(super) reg: Sign,
    /// Port, way and time of the packet that one that was assigned tentatively has replaced.
    pub(super) before_tentative: Option<BeforeTentative>,
    /// Whether it is in the index of the lobby.
    pub(super) listed: bool,
    /// Another host has registered after it, and it has stayed.
    pub(super) settled: bool,
}

impl Host {
    /// Where it is, for the log: its address alone, if its port is not known.
    pub(super) fn at(&self) -> Shown {
        Shown(SocketAddr::new(self.addr, self.port.unwrap_or(0)))
    }

    /// Its port is another's. The one it had before, if any, may still be right.
    pub(super) fn lose_port(&mut self) {
        (self.port, self.via, self.seen) =
            self.before_tentative.take().map_or((None, self.via, self.seen), |before| *before);
        self.reg = Sign::Nothing;
    }

    /// What counts of its port when it registers once more.
    #[must_use]
    pub fn own_port(&self) -> Option<OwnPort> {
        Some(OwnPort { port: self.port?, seen: self.seen })
    }

    /// What is to be remembered of its port when it has left.
    #[must_use]
    pub fn port_left(&self) -> Option<LeftPort> {
        let Self { via, seen, registered, .. } = *self;
        Some(LeftPort { port: self.port?, via, seen, is_announced: seen > registered })
    }

    /// When it has shown its port last, as far as others cannot do so in its name: they know the port, and
    /// could keep a mapping from being asked for that its NAT has forgotten. A host sends its `reg` when
    /// it registers.
    pub(super) fn shown(&self) -> Instant {
        self.seen.min(self.registered + limits::REG_WINDOW)
    }

    /// Whether it has no port, or one that may be another's.
    #[must_use]
    pub fn is_port_doubtful(&self) -> bool {
        self.reg != Sign::Certain || self.before_tentative.is_some()
    }

    /// The port that it has had without doubt, be it before the one that it has now. Who forges packets
    /// does not know it.
    #[must_use]
    pub fn sure_port(&self) -> Option<u16> {
        match &self.before_tentative {
            Some(before) => before.0,
            None => self.port.filter(|_| self.reg == Sign::Certain),
        }
    }

    /// Its game: the data1 string.
    #[must_use]
    pub fn game(&self) -> &str {
        self.data.as_ref().map_or("", |data| data.get(0))
    }

    /// Whether it may be listed.
    pub(super) fn is_visible(&self) -> bool {
        self.data.as_ref().is_some_and(|data| data.get(0) != INVISIBLE)
    }

    /// Whether it is one that was there before, by a newer connection: its UDP packet came from the
    /// same port.
    pub(super) fn replaces(&self, older: &Self) -> bool {
        self.since >= older.since
            && self.number != older.number
            && self.port.is_some()
            && self.port == older.port
            && self.reg >= Sign::Crossed
    }

    /// Whether it hides an older host of the same address: for good if both have the same port, so are
    /// one game, and once for a moment if both run the same game, as they may turn out to be.
    pub(super) fn shadows(&self, now: Instant, older: &Self) -> bool {
        let in_shadow = !older.settled && now - self.since < limits::SHADOW;
        self.port == older.port || (self.game() == older.game() && in_shadow)
    }
}
