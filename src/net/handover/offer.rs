//! What the running process has handed over to the one that takes its place, before it stops.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::time::Instant;

use super::channel::{Channel, why};
use super::message::{Kind, Message, Packet, Place, VERSION};
use crate::cli::BUILD;
use crate::limits::handover::TAKE_OVER;
use crate::net::sys;

/// All sockets of the running process, and the way to the rest. Those that nobody takes out are closed, which does
/// the running process no harm.
#[derive(Debug)]
pub struct Offer {
    pub(super) channel: Channel,
    /// How the running process calls itself.
    pub(super) pid: u32,
    sockets: Vec<(Place, OwnedFd)>,
    /// Those that were taken out.
    pub(super) taken: usize,
    /// A service manager has opened them.
    activated: bool,
    connections: usize,
}

impl Offer {
    /// Asks the process for its place which is at one of these addresses. None: there is no process.
    ///
    /// # Errors
    /// If it does not hand over; in a sentence.
    pub fn ask(places: &[SocketAddr]) -> Result<Option<Self>, String> {
        let until = Instant::now() + TAKE_OVER;
        for at in places {
            let found = Channel::connect(*at, until);
            let found = found.map_err(|error| format!("cannot ask the punchd at {at}: {error}"))?;
            if let Some(channel) = found {
                // With a relay it has more sockets than a process may usually have open at first.
                let _ = sys::open_files().and_then(|(_, hard)| sys::allow_files(hard, hard));
                let of_running = |what| format!("the punchd at {at} does not hand over: {what}");
                return Self::hear(channel).map(Some).map_err(of_running);
            }
        }
        Ok(None)
    }

    fn hear(mut channel: Channel) -> Result<Self, String> {
        let failed = |error| format!("it {}", why(&error));
        if !channel.peer().map_err(failed)?.is_own() {
            return Err("it belongs to another user".into());
        }
        let (version, build, pid, activated, connections, expected) =
            match channel.hear().map_err(failed)? {
                Message::Welcome { version, build, pid, activated, connections, sockets } => {
                    (version, build, pid, activated, connections, sockets)
                }
                Message::Refused(why) => return Err(why),
                _ => return Err("it says something that is not understood".into()),
            };
        if version != VERSION {
            // It says so in its log as well.
            let _ = channel.say(Message::Ready { version: VERSION, build: BUILD.into() });
            return Err(format!(
                "it is punchd {build}, which hands over in another way (version {version}, not {VERSION})"
            ));
        }
        let mut sockets = Vec::new();
        while sockets.len() < expected {
            match channel.receive().map_err(failed)? {
                (Packet::Message(Message::Sockets(places)), fds)
                    if places.len() == fds.len() && !fds.is_empty() =>
                {
                    sockets.extend(places.into_iter().zip(fds));
                }
                _ => return Err("it says something that is not understood".into()),
            }
        }
        Ok(Self { channel, pid, sockets, taken: 0, activated, connections })
    }

    /// Whether a service manager has opened the sockets, which are to be served then whatever the options say.
    #[must_use]
    pub const fn is_activated(&self) -> bool {
        self.activated
    }

    /// How many connections there are, more or less.
    #[must_use]
    pub const fn connections(&self) -> usize {
        self.connections
    }

    /// Where the games' sockets are, in their order.
    #[must_use]
    pub fn games(&self) -> Vec<SocketAddr> {
        let games = self.sockets.iter().filter(|(place, _)| place.kind == Kind::Tcp);
        games.map(|(place, _)| place.addr).collect()
    }

    /// The listener that is there, or at any port of this address for port 0.
    pub fn tcp(&mut self, at: SocketAddr) -> Option<(SocketAddr, TcpListener)> {
        self.take(Kind::Tcp, at).map(|(at, fd)| (at, fd.into()))
    }

    /// The same of the UDP sockets beside them.
    pub fn udp(&mut self, at: SocketAddr) -> Option<(SocketAddr, UdpSocket)> {
        self.take(Kind::Udp, at).map(|(at, fd)| (at, fd.into()))
    }

    /// The same of those that STUN has besides.
    pub fn alternate(&mut self, at: SocketAddr) -> Option<(SocketAddr, UdpSocket)> {
        self.take(Kind::Alternate, at).map(|(at, fd)| (at, fd.into()))
    }

    /// The same of the listener of the owner's window.
    pub fn window(&mut self, at: SocketAddr) -> Option<(SocketAddr, TcpListener)> {
        self.take(Kind::Window, at).map(|(at, fd)| (at, fd.into()))
    }

    /// A port of the relay.
    pub fn relay(&mut self, at: SocketAddr) -> Option<(SocketAddr, UdpSocket)> {
        self.take(Kind::Relay, at).map(|(at, fd)| (at, fd.into()))
    }

    /// Where the next process will ask, if that is there.
    pub fn handover_listener(&mut self, at: SocketAddr) -> Option<OwnedFd> {
        self.take(Kind::Handover, at).map(|(_, fd)| fd)
    }

    fn take(&mut self, kind: Kind, at: SocketAddr) -> Option<(SocketAddr, OwnedFd)> {
        let is_it = |place: &Place| {
            let is_there = place.addr.ip() == at.ip();
            place.kind == kind && is_there && [0, place.addr.port()].contains(&at.port())
        };
        let n = self.sockets.iter().position(|(place, _)| is_it(place))?;
        // The others stay in order.
        let (place, fd) = self.sockets.remove(n);
        self.taken += usize::from(kind != Kind::Handover);
        Some((place.addr, fd))
    }
}
