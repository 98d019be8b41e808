//! The peers: state machines that behave as GML games do, and some that do not behave.

use std::net::SocketAddr;
use std::time::Duration;

use super::link::{Command, LinkId};
use super::nat::Inside;
use super::network::{Event, MASTER, Network, Said};
use super::wire;

mod client;
mod foreign;
mod host;
mod rogue;
mod viewer;

pub use client::{Client, Manner};
pub use foreign::{Foreign, Tongue};
pub use host::{COMMIT, CRASH, Host, LEAVE};
pub use rogue::{Mischief, Rogue};
pub use viewer::Viewer;

/// A packet of GML peers to each other: let me in.
const KNOCK: &[u8] = b"\xfd";
/// The answer to it: you are in.
const WELCOME: &[u8] = b"\xfc";
/// A GML game knocks once a step for 15 s; fewer packets say the same.
const KNOCKS: u32 = 12;
const KNOCK_EVERY: Duration = Duration::from_millis(250);

/// Somebody in the network.
pub trait Peer: std::fmt::Debug {
    /// The time has come that it set, and which of its timers that is.
    fn wake(&mut self, timer: u32, net: &mut Access<'_>);

    /// Bytes came on a connection of its own.
    fn hear(&mut self, _: LinkId, _: &[u8], _: &mut Access<'_>) {}

    /// A connection of its own has ended.
    fn closed(&mut self, _: LinkId, _: &mut Access<'_>) {}

    /// A datagram came.
    fn receive(&mut self, _: SocketAddr, _: &[u8], _: &mut Access<'_>) {}

    /// The UDP port of its game, if it has one.
    fn port(&self) -> Option<u16> {
        None
    }

    /// The hosts it has got into.
    fn joined(&self) -> usize {
        0
    }
}

/// What a peer can do.
#[derive(Debug)]
pub struct Access<'a> {
    /// The whole network.
    pub net: &'a mut Network,
    /// Whose access this is.
    pub me: usize,
}

impl Access<'_> {
    fn after(&mut self, time: Duration, timer: u32) {
        let at = self.net.now + time;
        self.net.at(at, Event::Wake(self.me, timer));
    }

    /// Says a word to the server from the game's own socket.
    fn say(&mut self, port: u16, said: Said) {
        let word: &[u8] = match said {
            Said::Reg => b"reg\n\0",
            Said::Connect => b"connect\n\0",
            Said::Knock => KNOCK,
            Said::Nothing | Said::Foreign => b"nothing\n\0",
        };
        let inside = Inside { peer: self.me, port };
        self.net.send_datagram(inside, MASTER, said, wire::datagram(word));
    }

    /// Sends to another peer from the game's own socket.
    fn send_to(&mut self, port: u16, to: SocketAddr, payload: &[u8]) {
        let inside = Inside { peer: self.me, port };
        self.net.send_datagram(inside, to, Said::Nothing, payload.to_vec());
    }

    fn connect(&mut self) -> LinkId {
        self.net.connect(self.me)
    }

    fn send(&mut self, link: LinkId, bytes: &[u8], command: Command) {
        self.net.send(link, bytes, Some(command));
    }
}

/// The endpoint in a message of the master server, if it is one.
fn endpoint(addr: &str, port: &str) -> Option<SocketAddr> {
    Some(SocketAddr::new(addr.parse().ok()?, port.parse().ok()?))
}
