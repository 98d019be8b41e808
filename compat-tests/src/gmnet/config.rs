//! How hosts and clients are set up: as those of shipped games, unless something else is said.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::line::Line;
use super::wire::{self, Data, Protocol};
use super::{CONNECTION_TIMEOUT, STEP, usual_gap};

/// How a host registers, and what it has to say.
#[derive(Clone, Debug)]
pub struct HostConfig {
    /// The master server.
    pub master: SocketAddr,
    /// The local address to use; any if not given.
    pub bind: Option<IpAddr>,
    /// The game's UDP port; 0 for any.
    pub port: u16,
    /// The eight data strings.
    pub data: Data,
    /// How it talks to the master server.
    pub protocol: Protocol,
    /// The version it names.
    pub version: String,
    /// How long it knocks at a client that it is told about.
    pub timeout: Duration,
    /// Sends what players send back to them, so that they can see data go both ways.
    pub echo: bool,
    /// What lies between its UDP packet and its registration over TCP.
    pub gap: Duration,
    /// What becomes of the datagrams that are sent to it.
    pub line: Line,
    /// Knocks, but hears no knock and makes nobody a player, as behind a NAT that lets nothing in.
    pub never_welcome: bool,
    /// Hears only clients that it was told about, as behind a NAT that lets in whom it has knocked
    /// at. So it shows whether they made themselves known.
    pub only_told: bool,
    /// Shows the master server by STUN what its NAT does. Games that were shipped do not.
    pub shows_nat: bool,
    /// Shows its port, and registers, a few times again until the master server is seen to have the
    /// port: UDP may have lost it. Games that were shipped do not.
    pub repeats: bool,
}

impl HostConfig {
    /// A host of a shipped game, without data strings.
    #[must_use]
    pub fn new(master: SocketAddr) -> Self {
        Self {
            master,
            bind: None,
            port: 0,
            data: Data::default(),
            protocol: Protocol::Modern,
            version: wire::CLIENT_VERSION.to_owned(),
            timeout: CONNECTION_TIMEOUT,
            echo: true,
            gap: usual_gap(),
            line: Line::default(),
            never_welcome: false,
            only_told: false,
            shows_nat: false,
            repeats: false,
        }
    }

    /// The same host on its own local address, as if on a machine of its own.
    #[must_use]
    pub fn on(mut self, ip: IpAddr) -> Self {
        self.bind = Some(ip);
        self
    }

    /// The same host with these data strings first; the rest are empty.
    #[must_use]
    pub fn with_data(mut self, data: &[&str]) -> Self {
        self.data = std::array::from_fn(|n| data.get(n).copied().unwrap_or_default().to_owned());
        self
    }

    /// The same host in another form of the protocol.
    #[must_use]
    pub fn speaking(mut self, protocol: Protocol) -> Self {
        self.protocol = protocol;
        self
    }
}

/// Whom a client joins, and how.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// The master server.
    pub master: SocketAddr,
    /// Those to ask when one does not answer, in this order. Games that were shipped know of none.
    pub others: Vec<SocketAddr>,
    /// How long one may say nothing while there is another to ask.
    pub silence: Duration,
    /// The host to join.
    pub host: IpAddr,
    /// Its port, for one of several hosts of that address.
    pub host_port: Option<u16>,
    /// The port that hosts of this game use, if the game says so: for a direct connection.
    pub given: Option<u16>,
    /// The port that the host had the time before, for the prediction of ports.
    pub known: Option<u16>,
    /// The local address to use; any if not given.
    pub bind: Option<IpAddr>,
    /// The game's UDP port; 0 for any.
    pub port: u16,
    /// How it talks to the master server.
    pub protocol: Protocol,
    /// How long it knocks. It waits as long for the master server, where games wait for ever.
    pub timeout: Duration,
    /// The time between two steps.
    pub step: Duration,
    /// What lies between its UDP packet and its request over TCP.
    pub gap: Duration,
    /// What becomes of the datagrams that are sent to it.
    pub line: Line,
    /// Knocks only once the host has knocked, as if the host's NAT let nothing in before. So it
    /// shows whether the host knocks.
    pub waits_for_knock: bool,
    /// Shows the master server by STUN what its NAT does. Games that were shipped do not.
    pub shows_nat: bool,
    /// Shows the master server its port again until that has answered, as UDP may have lost the
    /// first packet. Games that were shipped do not.
    pub repeats: bool,
    /// Knocks back at where the host's knocks come from, if that is not where it was told to
    /// knock: a host behind a symmetric NAT comes from a port that nobody has seen before. Games
    /// that were shipped do not.
    pub answers_knocks: bool,
    /// Told a second endpoint while it knocks, as by a server that relays what does not get through,
    /// it knocks at both. Games that were shipped go on with the second alone.
    pub keeps_all: bool,
}

impl ClientConfig {
    /// A client of a shipped game.
    #[must_use]
    pub fn new(master: SocketAddr, host: IpAddr) -> Self {
        Self {
            master,
            others: Vec::new(),
            silence: CONNECTION_TIMEOUT,
            host,
            host_port: None,
            given: None,
            known: None,
            bind: None,
            port: 0,
            protocol: Protocol::Modern,
            timeout: CONNECTION_TIMEOUT,
            step: STEP,
            gap: usual_gap(),
            line: Line::default(),
            waits_for_knock: false,
            shows_nat: false,
            repeats: false,
            answers_knocks: false,
            keeps_all: false,
        }
    }

    /// The same client on its own local address, as if on a machine of its own.
    #[must_use]
    pub fn on(mut self, ip: IpAddr) -> Self {
        self.bind = Some(ip);
        self
    }

    /// The same client in another form of the protocol.
    #[must_use]
    pub fn speaking(mut self, protocol: Protocol) -> Self {
        self.protocol = protocol;
        self
    }

    /// The same client with a port for a direct connection.
    #[must_use]
    pub fn given(mut self, port: u16) -> Self {
        self.given = Some(port);
        self
    }
}
