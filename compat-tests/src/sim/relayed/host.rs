//! A host, as the GML scripts make one: it knocks at every endpoint that it is told, once in a step, lets
//! in who knocks, and plays with those.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use punchd::clock::Instant;

use super::super::nat::Inside;
use super::super::wire::{self, Message};
use super::client::endpoint;
use super::network::{Event, Network, Timer};
use super::plan::master;

pub(super) const KNOCK: u8 = 0xFD;
pub(super) const WELCOME: u8 = 0xFC;
pub(super) const DATA: u8 = 0xFA;

/// A game of 60 steps a second knocks in each; fewer packets say the same.
pub(super) const STEP: Duration = Duration::from_millis(100);

/// So long a game knocks: the longest that is usual.
pub(super) const PATIENCE: Duration = Duration::from_secs(15);

/// Who was listed at an endpoint so long ago is another player, who is not let in again.
const LISTED: Duration = Duration::from_secs(18);

/// The host's own knocks at the server, who asks for its port.
const SHOWS: Duration = Duration::from_secs(1);

/// A player, as its host knows it.
#[derive(Debug)]
struct Guest {
    since: Instant,
    heard: Instant,
}

#[derive(Debug)]
pub(super) struct Host {
    pub(super) me: Inside,
    pub(super) nat: usize,
    pub(super) link: Option<usize>,
    /// It does not show its port: a firewall, or the packet is lost.
    pub(super) is_mute: bool,
    /// It has shown the kind of its NAT before.
    pub(super) shows_kind: bool,
    /// The game has ended.
    pub(super) is_gone: bool,
    /// Whom it was told of, and when.
    told: BTreeMap<SocketAddr, Instant>,
    guests: BTreeMap<SocketAddr, Guest>,
    is_stepping: bool,
    sent: Instant,
}

impl Host {
    pub(super) fn new(me: Inside, nat: usize, net: &mut Network) -> Self {
        let is_mute = net.rng.permille(50);
        let shows_kind = net.plan.is_lasting() || net.rng.permille(600);
        Self {
            me,
            nat,
            link: None,
            is_mute,
            shows_kind,
            is_gone: false,
            told: BTreeMap::new(),
            guests: BTreeMap::new(),
            is_stepping: false,
            sent: Instant::default(),
        }
    }

    pub(super) fn wake(&mut self, timer: Timer, net: &mut Network) {
        match timer {
            _ if self.is_gone => {}
            Timer::Start => self.start(net),
            Timer::Step => self.step(net),
            Timer::Commit => {
                self.hang_up(net);
                net.after(STEP, Event::Wake(self.me.peer, Timer::Start));
            }
            Timer::Leave => {
                self.is_gone = true;
                self.hang_up(net);
            }
            Timer::AskAgain | Timer::HangUp => {}
        }
    }

    fn start(&mut self, net: &mut Network) {
        self.hang_up(net);
        let to = master(net.nats[self.nat].addr());
        if self.shows_kind {
            net.show_kind(self.me, self.nat);
        }
        if !self.is_mute {
            net.send(self.me, self.nat, to, wire::datagram(b"reg\n\0").into());
        }
        let link = net.connect(self.me.peer, self.nat);
        let mut data: [String; 8] = Default::default();
        (data[0], data[1]) = ("Pong".into(), format!("host {}", self.me.peer));
        net.say(link, wire::reg2("1.2.4", &data));
        self.link = Some(link);
    }

    fn hang_up(&mut self, net: &mut Network) {
        if let Some(link) = self.link.take() {
            net.hang_up(link);
        }
    }

    /// The server says something.
    pub(super) fn hear(&mut self, bytes: &[u8], net: &mut Network) {
        let Some(Message::Introduction(addr, port)) = wire::parse(bytes) else { return };
        let Some(at) = endpoint(addr, port) else { return };
        self.told.insert(at, net.now);
        self.begin_steps(net);
    }

    /// A datagram came.
    pub(super) fn receive(&mut self, from: SocketAddr, kind: u8, net: &mut Network) {
        if self.is_gone {
            return;
        }
        let now = net.now;
        if kind == KNOCK && self.told.contains_key(&from) {
            let guest = self.guests.entry(from).or_insert(Guest { since: now, heard: now });
            if now - guest.since < LISTED {
                guest.heard = now;
                let welcome = net.packet(WELCOME, 9);
                net.send(self.me, self.nat, from, welcome);
            }
        } else if kind == DATA
            && let Some(guest) = self.guests.get_mut(&from)
        {
            guest.heard = now;
        }
        self.begin_steps(net);
    }

    fn begin_steps(&mut self, net: &mut Network) {
        if !std::mem::replace(&mut self.is_stepping, true) {
            net.after(STEP, Event::Wake(self.me.peer, Timer::Step));
        }
    }

    fn step(&mut self, net: &mut Network) {
        let now = net.now;
        let Self { me, nat, told, guests, .. } = self;
        let mut is_knocking = false;
        for (at, since) in &*told {
            let is_server = at.ip() == master(at.ip()).ip();
            let lasts = if is_server { SHOWS } else { PATIENCE };
            if now - *since >= lasts || guests.contains_key(at) {
                continue;
            }
            is_knocking = true;
            let knock = match is_server {
                true => wire::datagram(&[KNOCK]).into(),
                false => net.packet(KNOCK, 9),
            };
            net.send(*me, *nat, *at, knock);
        }
        let play = net.plan.play;
        let is_there = |guest: &&Guest| now - guest.heard < (4 * play.every).max(8 * STEP * 10);
        let is_playing = guests.values().any(|guest| is_there(&guest));
        if now - self.sent >= play.every {
            self.sent = now;
            for at in guests.iter().filter(|(_, guest)| is_there(guest)).map(|(at, _)| *at) {
                let data = net.packet(DATA, play.size);
                net.send(*me, *nat, at, data);
            }
        }
        self.is_stepping = is_knocking || is_playing;
        if self.is_stepping {
            let pause = if is_knocking { STEP } else { play.every.max(STEP) };
            net.after(pause, Event::Wake(self.me.peer, Timer::Step));
        }
    }
}
