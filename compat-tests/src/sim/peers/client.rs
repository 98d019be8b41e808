//! A client, as the GML scripts make one.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::super::link::{Command, LinkId};
use super::super::network::Said;
use super::super::wire::{self, Message};
use super::{Access, KNOCK, KNOCK_EVERY, KNOCKS, Peer, WELCOME, endpoint};

pub(crate) const START: u32 = 0;
const PATIENCE: u32 = 1;
const KNOCK_AGAIN: u32 = 2;
const ASK_AGAIN: u32 = 3;

/// Longer than any answer takes.
const PATIENT: Duration = Duration::from_secs(15);

/// How a client asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Once.
    Once,
    /// Once more after the answer.
    Again,
    /// Twice in one send.
    Twice,
    /// And says at once that it will say nothing more.
    HalfClosed,
    /// And goes away without waiting.
    Impatient,
}

/// A game that wants to join.
#[derive(Debug)]
pub struct Client {
    /// The UDP port of the game.
    pub port: u16,
    /// Where the host is said to be.
    pub target: IpAddr,
    /// How it asks.
    pub manner: Manner,
    /// Its UDP packet is never sent: a firewall.
    pub is_mute: bool,
    /// Its connection to the server.
    pub link: Option<LinkId>,
    /// Where the server says that the host is, and how many knocks are left.
    pub host: Option<(SocketAddr, u32)>,
    /// It got in.
    pub is_in: bool,
}

impl Client {
    /// A client of the host at that address.
    #[must_use]
    pub fn new(port: u16, target: IpAddr, manner: Manner) -> Self {
        Self { port, target, manner, is_mute: false, link: None, host: None, is_in: false }
    }

    fn start(&mut self, net: &mut Access<'_>) {
        if !self.is_mute {
            net.say(self.port, Said::Connect);
        }
        let link = net.connect();
        self.link = Some(link);
        self.ask(link, net);
        match self.manner {
            Manner::Twice => self.ask(link, net),
            Manner::HalfClosed => net.net.finish(link, false),
            _ => {}
        }
        let patience = match self.manner {
            Manner::Impatient => net.net.rng.millis(0..4000),
            _ => PATIENT,
        };
        net.after(patience, PATIENCE);
    }

    fn ask(&self, link: LinkId, net: &mut Access<'_>) {
        let bytes = wire::connect(&self.target.to_string());
        net.send(link, &bytes, Command::Ask(Some(self.target)));
    }

    fn knock(&mut self, net: &mut Access<'_>) {
        let Some((host, left)) = self.host.as_mut().filter(|(_, left)| *left > 0) else { return };
        *left -= 1;
        let host = *host;
        net.send_to(self.port, host, KNOCK);
        net.after(KNOCK_EVERY, KNOCK_AGAIN);
    }
}

impl Peer for Client {
    fn wake(&mut self, timer: u32, net: &mut Access<'_>) {
        match (timer, self.link) {
            (START, _) => self.start(net),
            (KNOCK_AGAIN, _) => self.knock(net),
            (ASK_AGAIN, Some(link)) => self.ask(link, net),
            (_, Some(link)) if net.net.rng.permille(300) => net.net.reset(link),
            (_, Some(link)) => net.net.finish(link, true),
            _ => {}
        }
    }

    fn port(&self) -> Option<u16> {
        Some(self.port)
    }

    fn hear(&mut self, _: LinkId, bytes: &[u8], net: &mut Access<'_>) {
        if let Some(Message::Introduction(addr, port)) = wire::parse(bytes) {
            let idle = self.host.is_none_or(|(_, left)| left == 0);
            self.host = endpoint(addr, port).map(|host| (host, KNOCKS));
            if idle {
                self.knock(net);
            }
        }
        if self.manner == Manner::Again {
            self.manner = Manner::Once;
            let later = net.net.rng.millis(0..3000);
            net.after(later, ASK_AGAIN);
        }
    }

    fn closed(&mut self, _: LinkId, _: &mut Access<'_>) {
        self.link = None;
    }

    fn receive(&mut self, _: SocketAddr, payload: &[u8], net: &mut Access<'_>) {
        if payload == WELCOME && !self.is_in {
            self.is_in = true;
            self.host = None;
            if self.manner == Manner::Once
                && let Some(link) = self.link.take()
            {
                net.net.finish(link, true);
            }
        }
    }

    fn joined(&self) -> usize {
        usize::from(self.is_in)
    }
}
