//! A client, as the GML scripts make one: it knocks where it is told to, tries other ports when that does
//! not help, and plays when it is let in.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use punchd::clock::Instant;

use super::super::nat::Inside;
use super::super::wire::{self, Message};
use super::host::{DATA, KNOCK, PATIENCE, STEP, WELCOME};
use super::network::{Event, Network, Timer};
use super::plan::{is_relay, master};

/// How a client behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// As most do.
    Usual,
    /// It sprays ports from the first step on, beside the one that it was told.
    Sprays,
    /// It gives up when it pleases.
    Impatient,
    /// It asks again meanwhile.
    AsksTwice,
    /// It keeps its connection when it is let in.
    Stays,
}

#[derive(Debug)]
pub(super) struct Client {
    pub(super) me: Inside,
    pub(super) nat: usize,
    pub(super) host: IpAddr,
    pub(super) manner: Manner,
    pub(super) is_mute: bool,
    pub(super) shows_kind: bool,
    /// How often it still comes back.
    pub(super) returns: u32,
    pub(super) link: Option<usize>,
    told: Option<SocketAddr>,
    /// When it was told first: its time runs.
    began: Instant,
    /// Ports after the one that it was told.
    next: u16,
    /// Where it was let in, and when.
    inside: Option<(SocketAddr, Instant)>,
    is_stepping: bool,
    /// It was at the relay the last time.
    knows_relay: bool,
}

impl Client {
    pub(super) fn new(me: Inside, nat: usize, host: IpAddr, net: &mut Network) -> Self {
        let manner = match net.rng.index(8) {
            _ if net.plan.is_lasting() => Manner::Usual,
            0 => Manner::Sprays,
            1 => Manner::Impatient,
            2 => Manner::AsksTwice,
            3 => Manner::Stays,
            _ => Manner::Usual,
        };
        let is_mute = net.rng.permille(50);
        let shows_kind = net.plan.is_lasting() || net.rng.permille(600);
        let returns = if net.plan.is_lasting() { 0 } else { net.rng.index(4) as u32 };
        Self {
            me,
            nat,
            host,
            manner,
            is_mute,
            shows_kind,
            returns,
            link: None,
            told: None,
            began: Instant::default(),
            next: 0,
            inside: None,
            is_stepping: false,
            knows_relay: false,
        }
    }

    /// It keeps what it has, and comes back as often as there is time for.
    pub(super) fn grabs(&mut self) {
        (self.manner, self.is_mute, self.returns) = (Manner::Stays, false, 100);
    }

    /// Whether it has nothing to do with any host.
    pub(super) fn is_idle(&self) -> bool {
        self.told.is_none()
    }

    /// Where it plays, or knocks, and whether it plays.
    pub(super) fn aims_at(&self) -> Option<(SocketAddr, bool)> {
        let inside = self.inside.map(|(at, _)| (at, true));
        inside.or(self.told.map(|at| (at, false)))
    }

    pub(super) fn wake(&mut self, timer: Timer, net: &mut Network) {
        match timer {
            Timer::Start => self.start(net),
            Timer::Step => self.step(net),
            Timer::AskAgain => {
                if let Some(link) = self.link {
                    net.say(link, wire::connect(&self.host.to_string()));
                }
            }
            Timer::HangUp => self.hang_up(net),
            Timer::Leave => self.leave(net),
            Timer::Commit => {}
        }
    }

    fn start(&mut self, net: &mut Network) {
        let addr = net.nats[self.nat].addr();
        (self.told, self.inside) = (None, None);
        if self.shows_kind {
            net.show_kind(self.me, self.nat);
        }
        if !self.is_mute {
            net.send(self.me, self.nat, master(addr), wire::datagram(b"connect\n\0").into());
        }
        let link = net.connect(self.me.peer, self.nat);
        let relay = net.plan.relay_at(addr).filter(|_| self.knows_relay && net.rng.permille(300));
        net.say(link, wire::connect(&relay.unwrap_or(self.host).to_string()));
        self.link = Some(link);
        let later = match self.manner {
            Manner::AsksTwice => Some((net.rng.millis(0..3000), Timer::AskAgain)),
            Manner::Impatient => Some((net.rng.millis(0..6000), Timer::Leave)),
            // Longer than any answer takes.
            _ => None,
        };
        if let Some((delay, timer)) = later {
            net.after(delay, Event::Wake(self.me.peer, timer));
        }
    }

    fn hang_up(&mut self, net: &mut Network) {
        if let Some(link) = self.link.take() {
            net.hang_up(link);
        }
    }

    /// The game ends; perhaps its player comes back, from the same port or from another one.
    fn leave(&mut self, net: &mut Network) {
        self.hang_up(net);
        (self.told, self.inside) = (None, None);
        if self.returns > 0 {
            self.returns -= 1;
            if net.rng.permille(500) {
                self.me.port += 1;
            }
            let pause = net.rng.millis(0..20_000);
            net.after(pause, Event::Wake(self.me.peer, Timer::Start));
        }
    }

    /// The server says something.
    pub(super) fn hear(&mut self, bytes: &[u8], net: &mut Network) {
        let told = match wire::parse(bytes) {
            Some(Message::Introduction(addr, port)) => endpoint(addr, port),
            Some(Message::NotFound) => {
                net.after(Duration::ZERO, Event::Wake(self.me.peer, Timer::Leave));
                None
            }
            _ => None,
        };
        let Some(told) = told.filter(|_| self.inside.is_none()) else { return };
        if self.told.is_none() {
            self.began = net.now;
        }
        self.knows_relay |= is_relay(told.ip());
        (self.told, self.next) = (Some(told), 0);
        if !std::mem::replace(&mut self.is_stepping, true) {
            net.after(Duration::ZERO, Event::Wake(self.me.peer, Timer::Step));
        }
    }

    /// A datagram came.
    pub(super) fn receive(&mut self, from: SocketAddr, kind: u8, net: &mut Network) {
        if kind == WELCOME && self.told.is_some() && self.inside.is_none() {
            self.inside = Some((from, net.now));
            if self.manner != Manner::Stays {
                let step = net.rng.millis(17..34);
                net.after(step, Event::Wake(self.me.peer, Timer::HangUp));
            }
        }
    }

    fn step(&mut self, net: &mut Network) {
        let (now, play) = (net.now, net.plan.play);
        let pause = match (self.inside, self.told) {
            (Some((_, since)), _) if now - since >= play.lasts => {
                self.leave(net);
                None
            }
            (Some((at, _)), _) => {
                let data = net.packet(DATA, play.size);
                net.send(self.me, self.nat, at, data);
                Some(play.every)
            }
            (None, Some(_)) if now - self.began >= PATIENCE => {
                self.leave(net);
                None
            }
            (None, Some(told)) => {
                self.knock(told, net);
                Some(STEP)
            }
            (None, None) => None,
        };
        self.is_stepping = pause.is_some();
        if let Some(pause) = pause {
            net.after(pause, Event::Wake(self.me.peer, Timer::Step));
        }
    }

    /// After a quarter of its time a game tries the ports that come next, each in two steps; in the end it
    /// is back where it was told to be.
    fn knock(&mut self, told: SocketAddr, net: &mut Network) {
        let waited = net.now - self.began;
        let is_lost = (PATIENCE / 4..PATIENCE * 2 / 5).contains(&waited);
        if is_lost || self.manner == Manner::Sprays {
            let port = told.port().saturating_add(1 + self.next / 2);
            self.next += 1;
            let knock = net.packet(KNOCK, 9);
            net.send(self.me, self.nat, SocketAddr::new(told.ip(), port), knock);
        }
        if !is_lost {
            let knock = net.packet(KNOCK, 9);
            net.send(self.me, self.nat, told, knock);
        }
    }
}

/// An endpoint, as it is told.
pub(super) fn endpoint(addr: &str, port: &str) -> Option<SocketAddr> {
    Some(SocketAddr::new(addr.parse().ok()?, port.parse().ok()?))
}
