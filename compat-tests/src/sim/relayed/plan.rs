//! What a seed stands for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::Range;
use std::time::Duration;

use punchd::introductions::PublicIps;
use punchd::introductions::relay::Bounds;
use punchd::introductions::relay::sessions;
use punchd::server;

use super::super::nat::{Allocation, Behaviour, Dependence};
use super::super::network::MASTER;
use super::super::rng::Rng;

/// Where the server is for those who have IPv6.
pub(super) const MASTER6: SocketAddr =
    SocketAddr::new(IpAddr::V6(Ipv6Addr::new(0x2001, 0xDB8, 0xFFFF, 0, 0, 0, 0, 1)), 6510);
/// The other address of its STUN.
pub(super) const ALTERNATE: SocketAddr =
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 2)), 6510);
/// The other port of its STUN, where hosts knock whose NAT seems to count.
pub(super) const OTHER_PORT: SocketAddr =
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1)), 6511);
/// Where the relay is.
pub(super) const RELAY: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 20));
pub(super) const RELAY6: IpAddr =
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xDB8, 0xFFFF, 0, 0, 0, 0, 0x20));

/// First port of the pool.
pub(super) const FIRST: u16 = 20_000;

/// A month ends at this time (UTC): the first of December 2023.
pub(super) const MONTH_ENDS: u64 = 1_701_388_800;

/// How the two who got through play.
#[derive(Clone, Copy, Debug)]
pub(super) struct Play {
    /// Time between two packets of a player.
    pub(super) every: Duration,
    /// Bytes of each.
    pub(super) size: usize,
    /// How long.
    pub(super) lasts: Duration,
}

/// Who sends packets in the name of players.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Forger {
    Nobody,
    /// Somebody who uses another port for each packet.
    Sprays,
    /// Somebody who sends from the same port again and again.
    Persists,
}

/// What a seed stands for.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) relay: sessions::Config,
    /// Of a thousand datagrams so many are lost, and so many come twice.
    pub(super) loss: u64,
    pub(super) twice: u64,
    /// Milliseconds that a datagram takes; they overtake each other.
    pub(super) delay: Range<u64>,
    /// Milliseconds that a message takes from one half to the other.
    pub(super) handover: Range<u64>,
    /// The clock of the relay's thread was started so much earlier.
    pub(super) offset: Duration,
    /// Seconds since 1970 when all begins.
    pub(super) epoch: u64,
    pub(super) play: Play,
    pub(super) forger: Forger,
    /// Milliseconds between two packets of each meddler.
    pub(super) meddling: Range<u64>,
    /// Whether hosts are asked for their ports.
    pub(super) asks: bool,
    /// Whether those are asked to knock at the other port whose NAT seems to count.
    pub(super) asks_at_other_port: bool,
    pub(super) hosts: usize,
    pub(super) clients: usize,
    /// For so long players come and go.
    pub(super) lasts: Duration,
}

impl Plan {
    /// Mostly some minutes, now and then a session that lasts half a day or carries gigabytes.
    pub(super) fn new(seed: u64, rng: &mut Rng) -> Self {
        let size = rng.pick([2, 2, 3, 5, 16, 256]);
        let mut told = PublicIps::from(RELAY);
        if rng.permille(600) {
            told.v6 = Some(Ipv6Addr::new(0x2001, 0xDB8, 0xFFFF, 0, 0, 0, 0, 0x20));
        }
        let usual = Bounds::default();
        let bounds = Bounds {
            session_bytes: rng.pick([usual.session_bytes, usual.session_bytes, 400]),
            session_packets: rng.pick([usual.session_packets, usual.session_packets, 4]),
            sessions_per_address: rng.pick([usual.sessions_per_address, 6, 2]),
            total_bytes: rng.pick([usual.total_bytes, usual.total_bytes, 1500]),
            month_bytes: rng.pick([None, None, Some(20_000)]),
        };
        let play = Play {
            every: rng.millis(100..500),
            size: rng.pick([20, 60, 200, 1200]),
            lasts: rng.millis(3_000..40_000),
        };
        let relay =
            sessions::Config { told, is_apart: true, ports: FIRST..=FIRST + size - 1, bounds };
        let plan = Self {
            relay,
            loss: rng.pick([0, 20, 100, 200]),
            twice: rng.pick([0, 20, 200]),
            delay: rng.pick([1, 20])..rng.pick([30, 100, 250]),
            handover: 0..rng.pick([1, 20, 300]),
            offset: rng.millis(0..10_000_000),
            epoch: MONTH_ENDS - rng.within(1..400),
            play,
            forger: rng.pick([Forger::Nobody, Forger::Sprays, Forger::Sprays, Forger::Persists]),
            meddling: rng.pick([20, 200, 400])..1000,
            asks: rng.permille(500),
            asks_at_other_port: rng.permille(600),
            hosts: 1 + rng.index(3),
            clients: 1 + rng.index(8),
            lasts: Duration::from_secs(rng.pick([60, 120, 180])),
        };
        match seed % 40 {
            // One session that is never silent for long.
            7 => Self { lasts: Duration::from_secs(13 * 3600), ..plan.alone(15_000, 100) },
            // One that carries as much as a session may.
            23 => Self { lasts: Duration::from_secs(400), ..plan.alone(100, 1_000_000) },
            _ => plan,
        }
    }

    /// One client and one host, in fair weather and within wide bounds.
    fn alone(self, every: u64, size: usize) -> Self {
        // More than the two send who send most. The relay reckons with 1/1024 ns for a byte, here without a rest.
        let session_bytes = 16_000_000;
        let bounds = Bounds { session_bytes, total_bytes: u32::MAX, ..Bounds::default() };
        let every = Duration::from_millis(every);
        Self {
            relay: sessions::Config { bounds, ..self.relay },
            loss: 0,
            play: Play { every, size, lasts: Duration::from_secs(13 * 3600) },
            forger: Forger::Nobody,
            meddling: 60_000..120_000,
            asks: false,
            asks_at_other_port: false,
            hosts: 1,
            clients: 1,
            ..self
        }
    }

    /// Whether a session is to last until it is used up.
    pub(super) fn is_lasting(&self) -> bool {
        self.play.lasts > Duration::from_secs(3600)
    }

    /// The server of this seed.
    pub(super) fn server(&self) -> server::Config {
        let mut config = server::Config {
            alternates_from: Some(2),
            relay: Some(self.relay.clone()),
            ..server::Config::default()
        };
        if self.asks {
            config.gmnet.sockets = vec![MASTER, MASTER6];
            config.gmnet.alternate_port = self.asks_at_other_port.then_some(OTHER_PORT.port());
        }
        config
    }

    /// What a player is behind.
    pub(super) fn behaviour(&self, is_hard: bool, rng: &mut Rng) -> Behaviour {
        if is_hard { HARD } else { Behaviour::any(rng) }
    }

    /// The address of the relay for those of a family, if it has one.
    pub(super) fn relay_at(&self, family: IpAddr) -> Option<IpAddr> {
        self.relay.told.like(family)
    }
}

/// The kind of NAT that does not work together with its like.
pub(super) const HARD: Behaviour = Behaviour {
    mapping: Dependence::AddressAndPortDependent,
    filtering: Dependence::AddressAndPortDependent,
    allocation: Allocation::Random,
    timeout: Duration::from_secs(120),
};

/// Whether this is the relay's address.
pub(super) fn is_relay(addr: IpAddr) -> bool {
    addr == RELAY || addr == RELAY6
}

/// Where the server is for those of a family.
pub(super) fn master(family: IpAddr) -> SocketAddr {
    if family.is_ipv4() { MASTER } else { MASTER6 }
}
