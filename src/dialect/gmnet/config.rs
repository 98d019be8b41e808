//! What the owner of the server decides about GMnet.

use std::net::SocketAddr;
use std::time::Duration;

use crate::admission::Admission;
use crate::introductions::PublicIps;
use crate::limits::{self, Limits};

/// What the owner of the server decides about this dialect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Answer `istesting` with yes, `testinginfos` at all, and `lobby2` even if it is disabled.
    pub testing: bool,
    /// The server's name, told by `testinginfos`.
    pub name: String,
    /// Do not answer `lobby2`.
    pub disable_lobby: bool,
    /// Least time between two notifications on one host connection.
    pub notify_gap: Duration,
    /// Time between two datagrams that keep the NAT mapping of a host alive; zero: none.
    pub keepalive: Duration,
    /// In the lobby, tell the port with the address of a host that shares its address.
    pub lobby_ports: bool,
    /// The addresses by which those outside know a host on the machine or in the network of the
    /// server.
    pub public_ips: PublicIps,
    /// The addresses of the relay for clients and hosts, if it has any apart from the server's.
    pub relay: PublicIps,
    /// This server was restarted: for so long, from the beginning of the clock on, who asks for a host that is not
    /// there waits for it to come back; zero: not at all.
    pub start_wait: Duration,
    /// Where the UDP sockets of the server are, by their number in a [`Via`](crate::dialect::Via), and after them where one that
    /// has all addresses is as well: hosts are asked to knock there if their port is in doubt. If
    /// there are none, no host is asked.
    pub sockets: Vec<SocketAddr>,
    /// The UDP port beside that of the server at which hosts are asked to knock if their NAT seems to
    /// be symmetric. If there is none, no host is told at another port than the one it has shown.
    pub alternate_port: Option<u16>,
    /// Whose hosts are registered.
    pub admission: Admission,
    /// What peers may do.
    pub limits: Limits,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            testing: false,
            name: String::new(),
            disable_lobby: false,
            notify_gap: limits::NOTIFY_GAP,
            keepalive: limits::KEEPALIVE,
            lobby_ports: false,
            public_ips: PublicIps::default(),
            relay: PublicIps::default(),
            start_wait: Duration::ZERO,
            sockets: Vec::new(),
            alternate_port: None,
            admission: Admission::default(),
            limits: Limits::default(),
        }
    }
}
