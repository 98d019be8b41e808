//! What this dialect tells itself on other nodes, as bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::Direct;
use crate::clock::Instant;
use crate::cluster::NodeId;
use crate::dialect::ConnId;
use crate::dialect::gmnet::data::Data;
use crate::dialect::gmnet::host::Host;
use crate::dialect::gmnet::hosts::Told;
use crate::introductions::PublicIps;
use crate::limits;
use crate::nats::Kind;

/// Something that is told, with the data of hosts or references to them.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::dialect::gmnet) enum Message<D> {
    /// All that there is follows.
    #[serde(rename = "b")]
    Begin {
        /// The addresses by which those outside know hosts in the network of this node.
        v4: Option<Ipv4Addr>,
        v6: Option<Ipv6Addr>,
    },
    /// Hosts, of which some may be new or have changed.
    #[serde(rename = "h")]
    Hosts {
        /// What time it is by the clock of this node, in microseconds.
        now: u64,
        all: Vec<Entry<D>>,
    },
    /// The hosts of these connections are gone.
    #[serde(rename = "g")]
    Gone { all: Vec<ConnId> },
    /// That was all that there is.
    #[serde(rename = "e")]
    End,
    /// A client asks for a host.
    #[serde(rename = "q")]
    Ask(Ask),
    /// What became of it.
    #[serde(rename = "a")]
    Answer { id: u64, said: Said },
    /// A host is to knock there.
    #[serde(rename = "t")]
    Tell {
        host: ConnId,
        /// Its address: a process that has begun anew may have given its connection to another one.
        #[serde(default)]
        addr: Option<IpAddr>,
        at: SocketAddr,
        /// The client that is there, which takes a turn for it.
        #[serde(default)]
        client: Option<IpAddr>,
    },
}

/// What another process of this node needs to know of another one.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::dialect::gmnet) struct Known<D> {
    pub(super) node: NodeId,
    pub(super) v4: Option<Ipv4Addr>,
    pub(super) v6: Option<Ipv6Addr>,
    pub(super) hosts: Vec<Entry<D>>,
    /// What it is asked for clients that cannot be relayed after all.
    #[serde(default)]
    pub(super) asks: Vec<Direct>,
}

impl<D> Known<D> {
    pub(super) fn new(node: NodeId, PublicIps { v4, v6 }: PublicIps, hosts: Vec<Entry<D>>) -> Self {
        Self { node, v4, v6, hosts, asks: Vec::new() }
    }
}

/// A host.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::dialect::gmnet) struct Entry<D> {
    #[serde(rename = "c")]
    conn: ConnId,
    #[serde(rename = "a", with = "crate::state::ip")]
    addr: IpAddr,
    #[serde(default, rename = "p", skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    #[serde(rename = "t")]
    created: u32,
    #[serde(rename = "s")]
    since: u64,
    #[serde(rename = "l")]
    is_listed: bool,
    #[serde(default = "none", rename = "d", skip_serializing_if = "Option::is_none")]
    data: Option<D>,
}

fn none<T>() -> Option<T> {
    None
}

/// A client asks for a host of the node that is asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::dialect::gmnet) struct Ask {
    /// The number of the question, which its node does not use again.
    pub(super) id: u64,
    /// The connection of the host, and where it was.
    pub(super) host: ConnId,
    pub(super) at: SocketAddr,
    /// Where the client is for the host; port 0 if its UDP packet never came.
    pub(super) client: SocketAddr,
    /// The ports of the client at which the host is to knock, best first.
    pub(super) ports: Vec<u16>,
    /// What the client is behind.
    pub(super) kind: Kind,
    /// They did not lately.
    #[serde(default)]
    pub(super) failed: bool,
    /// Whether the node that asks may have a relay for both, its own or that of any node.
    pub(super) has_relay: bool,
    /// How long the client can still wait, in milliseconds.
    pub(super) patience: u32,
}

/// What is to be said to the client that asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::dialect::gmnet) enum Said {
    /// The host is not there.
    No,
    /// The host is there, but nobody knows at which port.
    NoPort,
    /// Where the host is: at the address that was asked for, unless `elsewhere`; and at which endpoint it knocks, if it
    /// was told of the client.
    Met { at: SocketAddr, elsewhere: bool, knocks: Option<SocketAddr> },
    /// Only a relay helps, and the node that asks may have one.
    RelayYours,
}

/// Most ports of a client that a host is told.
const PORTS: usize = 16;

impl Ask {
    /// Whether it is worth an answer: a host must not be sent to any number of ports.
    pub(super) fn is_valid(&self) -> bool {
        let is_known = self.client.port() != 0;
        self.ports.len() <= PORTS && is_known != self.ports.is_empty() && !self.ports.contains(&0)
    }
}

impl<'h> Entry<&'h Data> {
    pub(super) fn of(host: &'h Host) -> Self {
        Self::told(host, host.listed)
    }

    /// One of which its own node says whether it is listed.
    pub(super) fn told(host: &'h Host, is_listed: bool) -> Self {
        Self {
            conn: host.conn,
            addr: host.addr,
            port: host.port,
            created: host.created,
            since: host.since.micros(),
            is_listed,
            data: host.data.as_ref(),
        }
    }

    /// Bytes of its strings.
    pub(super) fn strings(&self) -> usize {
        self.data.map_or(0, |data| data.iter().map(|(_, text)| text.len()).sum())
    }
}

impl Entry<Data> {
    /// The same by the clock of this node, if it can be a host: the other node said that it was `there` then.
    pub(super) fn read(self, there: u64, now: Instant) -> Option<Told> {
        let Self { conn, addr, port, created, since, is_listed, data } = self;
        let is_clean = |text: &str| !text.chars().any(char::is_control);
        let is_fine = |data: &Data| {
            let size = data.iter().map(|(_, text)| text.len()).sum::<usize>();
            size <= limits::COMMAND && data.iter().all(|(_, text)| is_clean(text))
        };
        if addr.to_canonical() != addr || port == Some(0) || !data.as_ref().is_none_or(is_fine) {
            return None;
        }
        let age = std::time::Duration::from_micros(there.saturating_sub(since));
        let since = now.before(age);
        Some(Told { conn, addr, port, created, since, is_offered: is_listed, data })
    }
}

impl<D> Message<D> {
    pub(super) const fn begin(PublicIps { v4, v6 }: PublicIps) -> Self {
        Self::Begin { v4, v6 }
    }
}
