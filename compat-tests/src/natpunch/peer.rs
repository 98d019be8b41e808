//! What a client knows of another one.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use punchd::dialect::natpunch::message::{ConnectionInstruction, Endpoint};

/// Time between two knocks.
const GAP: Duration = Duration::from_millis(200);

/// How long somebody is knocked at: the time that the server gives for a join.
const TIME: Duration = Duration::from_secs(10);

/// Somebody we were introduced to.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Where it may be: as the server sees it, and as it sees itself.
    pub(super) places: Vec<SocketAddr>,
    /// Where its packets come from, since the first that shows that ours arrive.
    pub at: Option<SocketAddr>,
    next_knock: Instant,
    until: Instant,
}

impl Peer {
    /// Somebody the server tells of; none if it does not say where.
    pub(super) fn new(told: &ConnectionInstruction) -> Option<Self> {
        let mut places = vec![place(told.public_endpoint.as_ref()?)?];
        places.extend(told.local_endpoint.as_ref().and_then(place));
        places.dedup();
        let now = Instant::now();
        Some(Self { places, at: None, next_knock: now, until: now + TIME })
    }

    /// Where to knock now, if it is time to.
    pub(super) fn knocks(&mut self) -> Vec<SocketAddr> {
        let now = Instant::now();
        if self.at.is_some() || now < self.next_knock || now > self.until {
            return Vec::new();
        }
        self.next_knock = now + GAP;
        self.places.clone()
    }

    /// A packet of it came from somewhere it was not expected, as from behind a symmetric NAT.
    pub(super) fn seen_at(&mut self, from: SocketAddr) {
        if !self.places.contains(&from) && self.places.len() < 4 {
            self.places.push(from);
        }
    }
}

fn place(endpoint: &Endpoint) -> Option<SocketAddr> {
    let ip: IpAddr = endpoint.ip_address.parse().ok()?;
    let port = u16::try_from(endpoint.port).ok().filter(|port| *port != 0)?;
    Some(SocketAddr::new(ip, port))
}
