//! A host, as the GML scripts make one.

use std::net::SocketAddr;
use std::time::Duration;

use super::super::link::{Command, LinkId};
use super::super::network::{MASTER, Said};
use super::super::wire::{self, Message};
use super::{Access, KNOCK, KNOCK_EVERY, KNOCKS, Peer, WELCOME, endpoint};

/// The timers of a host.
const REGISTER: u32 = 0;
const PING: u32 = 1;
/// Timer of a host: it changes its data strings.
pub const COMMIT: u32 = 2;
/// Timer of a host: the player ends the game.
pub const LEAVE: u32 = 3;
/// Timer of a host: the game ends by itself.
pub const CRASH: u32 = 4;
/// And from here on, one for each client that it knocks at.
const KNOCK_AT: u32 = 100;

/// A game that can be joined.
#[derive(Debug)]
pub struct Host {
    /// The UDP port of the game.
    pub port: u16,
    /// Data string 1: which game it is; the others tell hosts apart.
    pub game: &'static str,
    /// How often it looks whether its connection still works.
    pub ping: Duration,
    /// It speaks the older protocol.
    pub is_old: bool,
    /// What its data strings were changed to.
    pub version: u32,
    /// Its control connection.
    pub link: Option<LinkId>,
    /// One ping has been sent into the void; the system will say so at the next.
    pub broken: bool,
    /// The game is over.
    pub gone: bool,
    /// Whom it was told of, and how many knocks are left.
    pub clients: Vec<(SocketAddr, u32)>,
}

impl Host {
    /// A host of that game with that UDP port.
    #[must_use]
    pub fn new(port: u16, game: &'static str, ping: Duration) -> Self {
        Self {
            port,
            game,
            ping,
            is_old: false,
            version: 0,
            link: None,
            broken: false,
            gone: false,
            clients: Vec::new(),
        }
    }

    fn data(&self, me: usize) -> [String; 8] {
        let mut data: [String; 8] = Default::default();
        data[0] = self.game.into();
        data[1] = format!("host {me}");
        data[2] = format!("version {}", self.version);
        data
    }

    /// All of it: shows its port, drops the old connection, makes a new one, registers.
    fn register(&mut self, net: &mut Access<'_>) {
        net.say(self.port, Said::Reg);
        if let Some(old) = self.link.take() {
            net.net.finish(old, true);
        }
        let link = net.connect();
        self.link = Some(link);
        self.broken = false;
        if self.is_old {
            net.send(link, b"reg\n\0", Command::RegisterOld);
        } else {
            let data = self.data(net.me);
            net.send(link, &wire::reg2("1.2.4", &data), Command::Register(data));
        }
    }

    fn ping(&mut self, net: &mut Access<'_>) {
        let Some(link) = self.link else { return self.register(net) };
        if self.broken {
            return self.register(net);
        }
        self.broken = net.net.links.get(link.0).is_none_or(|link| link.silent);
        net.net.send(link, b"ping\n\0", None);
    }

    fn knock(&mut self, n: usize, net: &mut Access<'_>) {
        let Some((client, left)) = self.clients.get_mut(n).filter(|(_, left)| *left > 0) else {
            return;
        };
        *left -= 1;
        let client = *client;
        match client {
            MASTER => net.say(self.port, Said::Knock),
            client => net.send_to(self.port, client, KNOCK),
        }
        net.after(KNOCK_EVERY, KNOCK_AT + n as u32);
    }
}

impl Peer for Host {
    fn wake(&mut self, timer: u32, net: &mut Access<'_>) {
        if self.gone {
            return;
        }
        match timer {
            REGISTER => {
                self.register(net);
                if self.version == 0 {
                    net.after(self.ping, PING);
                }
            }
            PING => {
                self.ping(net);
                net.after(self.ping, PING);
            }
            COMMIT => {
                // Closes at once and comes back in the next step of the game.
                self.version += 1;
                if let Some(link) = self.link.take() {
                    net.net.finish(link, true);
                }
                let step = net.net.rng.millis(16..34);
                net.after(step, REGISTER);
            }
            LEAVE | CRASH => {
                self.gone = true;
                match self.link.take() {
                    Some(link) if timer == CRASH => net.net.reset(link),
                    Some(link) => net.net.finish(link, true),
                    None => {}
                }
            }
            n => self.knock((n - KNOCK_AT) as usize, net),
        }
    }

    fn port(&self) -> Option<u16> {
        Some(self.port)
    }

    fn hear(&mut self, link: LinkId, bytes: &[u8], net: &mut Access<'_>) {
        let Some(Message::Introduction(addr, port)) = wire::parse(bytes) else { return };
        let Some(client) = endpoint(addr, port).filter(|_| self.link == Some(link)) else { return };
        if self.clients.iter().any(|(known, left)| *known == client && *left > 0) {
            return;
        }
        self.clients.push((client, KNOCKS));
        self.knock(self.clients.len() - 1, net);
    }

    fn closed(&mut self, link: LinkId, _: &mut Access<'_>) {
        // A GML host finds out when it cannot send its ping.
        self.broken |= self.link == Some(link);
    }

    fn receive(&mut self, from: SocketAddr, payload: &[u8], net: &mut Access<'_>) {
        if payload == KNOCK && !self.gone {
            for (client, left) in &mut self.clients {
                if *client == from {
                    *left = 0;
                }
            }
            net.send_to(self.port, from, WELCOME);
        }
    }
}
