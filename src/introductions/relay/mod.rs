//! The relay: two players whose NATs keep them apart send to a port of this server each, and what
//! comes to one leaves from the other. [`sessions`] gives ports out, on the thread of the event loop;
//! [`forwarding`] passes packets on, on a thread of its own. Only [`Order`]s go one way, and [`Report`]s
//! the other.
//!
//! All sessions share one pool of ports. A port is told apart by who sends to it: no address has two
//! sessions at one port.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::limits;

pub mod forwarding;
pub mod remote;
pub mod sessions;

/// Two players who are relayed; no number is used twice while the server runs. Numbers of sessions that
/// began later are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SessionId(pub u64);

/// What the two have to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Its number.
    pub id: SessionId,
    /// The client and the host, which are treated alike.
    pub sides: [Side; 2],
    /// Which packets are passed on.
    pub shape: Shape,
}

/// One of the two players.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Side {
    /// Its address, which it has proven. From which of its ports it sends shows itself.
    pub addr: IpAddr,
    /// The port of the pool that it was told, at the relay's address of the same family.
    pub port: u16,
}

/// Which packets are passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Shape {
    /// Those that begin with GameMaker's header, `DE C0 AD DE`.
    GameMaker,
    /// All.
    Any,
}

/// What the forwarding thread is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// To pass packets on.
    Open(Session),
    /// No more of this session, whose first side this is: it gives way to another. If there is none of
    /// this number it is over already, as has been reported.
    Close(SessionId, Side),
}

impl Order {
    /// The session that begins.
    #[must_use]
    pub const fn session(self) -> Option<Session> {
        match self {
            Self::Open(session) => Some(session),
            Self::Close(..) => None,
        }
    }
}

/// What the forwarding thread tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Report {
    /// Packets have gone both ways; told once.
    Connected(SessionId),
    /// The session is over; its ports may be given out again.
    Ended(SessionId, End),
    /// So many bytes of packets have been passed on since the last report of this kind.
    Passed(u64),
}

/// Why a session is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// One side has sent nothing within [`UNANSWERED`](crate::limits::relay::UNANSWERED).
    Unanswered,
    /// One side has sent nothing for [`IDLE`](crate::limits::relay::IDLE).
    Idle,
    /// It was as old, or had passed on as many bytes, as one session may.
    UsedUp,
    /// It was to give way to another.
    GaveWay,
}

/// Why two players are not relayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refused {
    /// There is no relay, or it has no address of this player's family.
    NoRelay,
    /// This address has as many sessions as it may have.
    Share(IpAddr),
    /// The network of this address has.
    Network(IpAddr),
    /// There are as many between these two addresses as there may be.
    Pair,
    /// There are as many sessions as there may be.
    Full,
    /// This address has sessions at all ports of the pool.
    NoPort(IpAddr),
    /// All that may be passed on this month has been.
    Month,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRelay => f.write_str("there is no relay for them"),
            Self::Share(addr) => write!(
                f,
                "{addr} is relayed as often as it may be; allow more with --relay-sessions"
            ),
            Self::Network(addr) => write!(
                f,
                "the network of {addr} has {} sessions already",
                limits::relay::PER_NETWORK
            ),
            Self::Pair => write!(
                f,
                "there are {} sessions between their two addresses already",
                limits::relay::PER_PAIR
            ),
            Self::Full => write!(f, "there are {} sessions already", limits::relay::SESSIONS),
            Self::NoPort(addr) => {
                write!(f, "{addr} uses all ports of the relay; give it more with --relay-ports")
            }
            Self::Month => f.write_str(
                "the relay has used up its monthly traffic; allow more with --relay-month",
            ),
        }
    }
}

/// What the owner of the server allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes a second of one session, each way, with two seconds' worth at once. A game of GameMaker
    /// sends a few kilobytes.
    pub session_bytes: u32,
    /// Packets a second of one session, each way, with two seconds' worth at once. 60 frames a second
    /// with a few packets each.
    pub session_packets: u32,
    /// Sessions of one address (IPv6: one /64).
    pub sessions_per_address: u32,
    /// Bytes a second of all sessions together, with two seconds' worth at once.
    pub total_bytes: u32,
    /// Bytes a calendar month (UTC) of all sessions together, since the server was started; none: no bound.
    pub month_bytes: Option<u64>,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            session_bytes: 64_000,
            session_packets: 250,
            sessions_per_address: 32,
            total_bytes: 10_000_000,
            month_bytes: None,
        }
    }
}
