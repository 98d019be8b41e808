//! What a client gets: logins, passes, rooms, introductions.

use std::net::{IpAddr, SocketAddr};

use serde::Deserialize;
use serde_json::Value;

use punchd::limits::LOCAL_ENDPOINTS;

use super::client::read;
use super::error::{EventError, Fault};

/// More ports no server predicts; a malicious one would have somebody knocked at by thousands.
const MOST_PREDICTED: usize = 16;

/// What became of a `confirm_pass`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It arrived.
    Confirmed,
    /// Nobody is logged in under that ID.
    NoSuchPeer,
    /// The peer left before it confirmed.
    PeerLeft,
    /// The peer did not confirm in time.
    Timeout,
    /// The server did not pass it on for another reason.
    Refused(Fault),
}

/// The answer to a login.
#[derive(Clone, Debug, Deserialize)]
pub struct Login {
    /// The ID that others use.
    pub id: String,
    /// What shows the server one's game socket.
    pub udp_token: String,
    /// What gives one's place to another connection; empty if the server is older.
    #[serde(default)]
    pub secret: String,
    /// Whether one is back in a place that one had.
    #[serde(default)]
    pub resumed: bool,
    /// The room that one is back in.
    pub room: Option<String>,
    /// Who is in it, the host first.
    #[serde(default)]
    pub players: Vec<String>,
}

/// An event that wants no answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Pass {
    /// Who sent it; the server, if nobody.
    pub from: Option<String>,
    /// What it is about.
    pub name: String,
    /// What it says.
    pub data: Value,
}

/// An event that wants an answer.
pub type Request = Pass;

/// A room in a list.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Listed {
    /// Its ID.
    pub room: String,
    /// What its host calls it.
    pub name: String,
    /// The ID of its host.
    pub host: String,
    /// How many are in it, the host included.
    pub players: usize,
    /// How many can be.
    pub max_players: usize,
    /// What its host says of it.
    #[serde(default)]
    pub data: Value,
    /// Whether nobody new may come in.
    #[serde(default)]
    pub locked: bool,
    /// Whether one has to know a password.
    #[serde(default)]
    pub password: bool,
    /// Whether all are introduced to each other.
    #[serde(default)]
    pub mesh: bool,
}

/// The answer to making a room.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Made {
    /// Its ID.
    pub room: String,
    /// If it is private, what others type to join.
    pub code: Option<String>,
}

/// The answer to a join.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Joined {
    /// The ID of the room.
    pub room: String,
    /// The ID of its host.
    pub host: String,
    /// Who is in it, oneself included.
    pub players: Vec<String>,
    /// What its host says of it.
    #[serde(default)]
    pub data: Value,
    /// Whether all are introduced to each other.
    #[serde(default)]
    pub mesh: bool,
    /// What its host calls it, if one has not named a room.
    pub name: Option<String>,
}

/// Where another peer's game socket is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Introduction {
    /// The other's ID.
    pub id: String,
    /// As the server sees it.
    pub endpoint: SocketAddr,
    /// In its own network, if that may be ours.
    pub local: Vec<SocketAddr>,
    /// What both know and nobody else.
    pub nonce: String,
    /// Where it may be seen from here, if its NAT gives each destination another port.
    pub predicted: Vec<SocketAddr>,
}

impl Introduction {
    /// Reads the pass `introduce`.
    ///
    /// # Errors
    /// If it is another one.
    pub fn read(pass: &Pass) -> Result<Self, EventError> {
        #[derive(Deserialize)]
        struct Endpoint {
            ip: IpAddr,
            port: u16,
        }
        #[derive(Deserialize)]
        struct Introduce {
            id: String,
            ip: IpAddr,
            port: u16,
            local: Vec<Endpoint>,
            nonce: String,
            #[serde(default)]
            predict: Vec<u16>,
        }
        let told: Introduce = read(&pass.data)?;
        Ok(Self {
            id: told.id,
            endpoint: SocketAddr::new(told.ip, told.port),
            local: (told.local.iter().take(LOCAL_ENDPOINTS))
                .map(|at| SocketAddr::new(at.ip, at.port))
                .collect(),
            nonce: told.nonce,
            predicted: (told.predict.iter().take(MOST_PREDICTED))
                .map(|port| SocketAddr::new(told.ip, *port))
                .collect(),
        })
    }
}
