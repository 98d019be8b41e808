//! Peers that do not behave: broken programs, scanners, and spiteful players.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::super::link::{Command, Death, LinkId};
use super::super::network::{Datagram, Event, MASTER, Said};
use super::super::wire;
use super::{Access, KNOCK, Peer};

/// What one of them is up to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mischief {
    /// Sends bytes that mean nothing.
    Garbage,
    /// Begins commands and does not end them.
    HalfCommands,
    /// Opens connections and closes them.
    OpenAndClose,
    /// Sends many datagrams from many ports.
    Flood,
    /// Sends datagrams that seem to come from somebody else.
    Forge(IpAddr),
    /// Registers hosts at its address, twice on one connection, also with a version too old.
    Register,
    /// Sends many commands in one piece.
    Chatter(IpAddr),
}

/// One of them.
#[derive(Debug)]
pub struct Rogue {
    /// What it is up to.
    pub mischief: Mischief,
    /// How many times it will do it.
    pub left: u32,
}

impl Rogue {
    fn act(&mut self, net: &mut Access<'_>) {
        match self.mischief {
            Mischief::Garbage => garbage(net),
            Mischief::HalfCommands => {
                let link = net.connect();
                let half: &[u8] = net.net.rng.pick([b"reg2\n\x001.2.4\n\0a\n\0", b"connect\n"]);
                mark_garbage(net, link);
                net.net.send(link, half, None);
            }
            Mischief::OpenAndClose => {
                for _ in 0..3 {
                    let link = net.connect();
                    match net.net.rng.index(3) {
                        0 => net.net.finish(link, true),
                        1 => net.net.reset(link),
                        _ => {}
                    }
                }
            }
            Mischief::Flood => {
                for _ in 0..10 {
                    let port = net.net.rng.within(1..65_536) as u16;
                    let said = net.net.rng.pick([Said::Connect, Said::Nothing]);
                    net.say(port, said);
                }
            }
            Mischief::Forge(victim) => forge(net, victim),
            Mischief::Register => register(net),
            Mischief::Chatter(target) => chatter(net, target),
        }
    }
}

impl Peer for Rogue {
    fn wake(&mut self, _: u32, net: &mut Access<'_>) {
        self.act(net);
        self.left = self.left.saturating_sub(1);
        if self.left > 0 {
            let pause = net.net.rng.millis(1..3000);
            net.after(pause, 0);
        }
    }

    fn hear(&mut self, link: LinkId, _: &[u8], net: &mut Access<'_>) {
        if net.net.rng.permille(200) {
            net.net.reset(link);
        }
    }
}

/// What the server makes of it is its own affair.
pub(super) fn mark_garbage(net: &mut Access<'_>, link: LinkId) {
    if let Some(link) = net.net.links.get_mut(link.0) {
        link.is_garbage = true;
    }
}

fn garbage(net: &mut Access<'_>) {
    let link = net.connect();
    mark_garbage(net, link);
    for _ in 0..1 + net.net.rng.index(4) {
        let mut bytes: Vec<u8> =
            (0..net.net.rng.index(200)).map(|_| net.net.rng.number() as u8).collect();
        let word: &[u8] =
            net.net.rng.pick([b"\n", b"lobby2\n", b"connect\n", b"\r\n\0", b"version\r"]);
        bytes.extend_from_slice(word);
        net.net.send(link, &bytes, None);
    }
    if net.net.rng.permille(500) {
        net.net.finish(link, false);
    }
}

fn forge(net: &mut Access<'_>, victim: IpAddr) {
    for _ in 0..2 {
        let said = net.net.rng.pick([Said::Reg, Said::Connect, Said::Knock, Said::Nothing]);
        let word: &[u8] = match said {
            Said::Reg => b"reg\n\0",
            Said::Connect => b"connect\n\0",
            Said::Knock => KNOCK,
            Said::Nothing | Said::Foreign => b"\0\0\0",
        };
        // Port 0 cannot be a real one, and can be forged.
        let port = net.net.rng.pick([0, 1, 40_000, 40_001]);
        let from = SocketAddr::new(victim, port);
        let data = wire::datagram(word);
        net.net.carry(Datagram { sender: net.me, from, to: MASTER, said, data });
    }
}

fn register(net: &mut Access<'_>) {
    let mut data: [String; 8] = Default::default();
    data[0] = net.net.rng.pick(["Pong", "Rogue"]).into();
    data[1] = format!("rogue {}", net.net.links.len());
    if net.net.rng.permille(500) {
        let port = net.net.rng.within(30_000..30_010) as u16;
        net.say(port, Said::Reg);
    }
    let link = net.connect();
    if let Some(link) = net.net.links.get_mut(link.0) {
        link.is_one_of_many = true;
    }
    net.send(link, &wire::reg2("1.2.4", &data), Command::Register(data.clone()));
    match net.net.rng.index(4) {
        0 => net.send(link, &wire::reg2("1.1", &data), Command::TooOld),
        1 => net.send(link, &wire::reg2("1.2.4", &data), Command::Register(data)),
        2 => net.net.reset(link),
        _ => {
            let stays = net.net.rng.millis(0..20_000);
            let at = net.net.now + stays;
            let death = Death::Fin;
            net.net.at(at, Event::Die(link, death));
        }
    }
}

fn chatter(net: &mut Access<'_>, target: IpAddr) {
    let link = net.connect();
    for _ in 0..3 {
        let (bytes, command) = match net.net.rng.index(3) {
            0 => (wire::lobby2(), Command::Lobby),
            1 => (wire::connect(&target.to_string()), Command::Ask(Some(target))),
            _ => (wire::connect("no address"), Command::Ask(None)),
        };
        net.send(link, &bytes, command);
    }
    let stays = net.net.rng.pick([0, 1, 20]);
    if stays > 0 {
        let at = net.net.now + Duration::from_secs(stays);
        let death = Death::Reset;
        net.net.at(at, Event::Die(link, death));
    } else {
        net.net.finish(link, false);
    }
}
