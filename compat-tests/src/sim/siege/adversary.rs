//! The adversary: one machine, with as many addresses as a subscriber can have, and what it does.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use super::honest::{KNOCK, any_victim};
use super::{BEFORE, DURATION, Event, LinkId, Rng, Role, World, host_addr, host_port, wire};

/// What it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    /// Asks for a host again and again, with a port of its own each time.
    Ask,
    /// Asks for a host and never shows a port, so that all its requests wait.
    Wait,
    /// Opens connections and says now and then that it is there.
    Occupy,
    /// Registers hosts of the honest game, with as much data as it can.
    Register,
    /// Asks for the lobby, sorted, many times in one segment.
    Lobbies,
    /// Sends lines and commands that are longer than they may be, and parts of commands.
    Overlong,
    /// Sends GMnet's datagrams from a port of somebody else's address: from any, or always the same.
    Forge(IpAddr, Option<u16>),
    /// Shows ports by STUN in the name of a host, as if its NAT gave each destination the next one: so that
    /// clients are told a wrong one.
    Show(usize),
    /// Sends anything at all by UDP from its own addresses.
    Flood,
    /// Asks for rooms, lobbies and places of the other dialects, from addresses that it forges.
    Others,
}

/// One adversary.
#[derive(Clone, Debug)]
pub struct Siege {
    deed: Deed,
    /// Its own addresses.
    addrs: Vec<IpAddr>,
    /// Deeds a second.
    rate: u64,
    /// Its open connections.
    links: Vec<LinkId>,
}

impl fmt::Display for Siege {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} {} times a second from {} addresses",
            self.deed,
            self.rate,
            self.addrs.len()
        )
    }
}

impl Siege {
    /// Any of them.
    pub fn any(rng: &mut Rng) -> Self {
        let deed = match rng.index(10) {
            0 => Deed::Ask,
            1 => Deed::Wait,
            2 => Deed::Occupy,
            3 => Deed::Register,
            4 => Deed::Lobbies,
            5 => Deed::Overlong,
            6 => {
                let port = rng.within(1..65_000) as u16;
                Deed::Forge(any_victim(rng), rng.permille(300).then_some(port))
            }
            7 => Deed::Flood,
            8 => Deed::Show(rng.index(3)),
            _ => Deed::Others,
        };
        let count = rng.pick([1, 1, 4, 16]);
        let is_ipv6 = deed == Deed::Occupy && rng.permille(500);
        let addrs = (0..count).map(|n| if is_ipv6 { in_network(rng) } else { own(n) }).collect();
        let rate = match deed {
            Deed::Forge(..) | Deed::Show(_) => rng.pick([20, 40, 1000]),
            Deed::Flood => rng.pick([100, 3000]),
            Deed::Lobbies | Deed::Overlong => rng.pick([5, 50]),
            _ => rng.pick([25, 190, 600]),
        };
        Self { deed, addrs, rate, links: Vec::new() }
    }

    /// Whether it sends in the name of that address.
    pub(super) fn forges(&self, addr: IpAddr) -> bool {
        match self.deed {
            Deed::Forge(victim, _) => victim == addr,
            Deed::Show(host) => host_addr(host) == addr,
            _ => false,
        }
    }

    /// Whether it shows ports by STUN in the name of others.
    pub(super) fn shows(&self) -> bool {
        matches!(self.deed, Deed::Show(_))
    }
}

fn own(n: usize) -> IpAddr {
    IpAddr::from([192, 0, 2, 100 + n as u8])
}

/// An address in any /64 of the /48 of one IPv6 subscriber.
fn in_network(rng: &mut Rng) -> IpAddr {
    let subnet = rng.within(0..64) as u16;
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 7, subnet, 0, 0, 0, rng.within(1..9) as u16))
}

impl World {
    /// The adversary's next move.
    pub(super) fn attack(&mut self) {
        match self.siege.deed {
            Deed::Ask => {
                let (addr, host) = (self.any_own(), host_addr(self.rng.index(3)));
                let port = self.rng.within(1024..65_000) as u16;
                self.say(SocketAddr::new(addr, port), b"connect\n\0");
                let link = self.any_link(addr, 64);
                self.utter(link, wire::connect(&host.to_string()));
            }
            Deed::Wait => {
                let (addr, host) = (self.any_own(), host_addr(self.rng.index(3)));
                self.begin(addr, wire::connect(&host.to_string()));
            }
            Deed::Occupy => {
                let addr = self.any_own();
                let link = self.any_link(addr, 2000);
                self.utter(link, b"ping\n\0".to_vec());
            }
            Deed::Register => self.register(),
            Deed::Lobbies => {
                let addr = self.any_own();
                let mut ask = b"lobby2\n".to_vec();
                ask.extend(b"\n".repeat(8));
                ask.extend(b"data2\nASC\n\n");
                let link = self.any_link(addr, 20);
                self.utter(link, ask.repeat(200));
            }
            Deed::Overlong => self.overlong(),
            Deed::Forge(victim, port) => {
                let any = self.rng.within(1..65_000) as u16;
                let words: [&[u8]; 3] = [b"connect\n\0", b"reg\n\0", KNOCK];
                let word = self.rng.pick(words);
                self.say(SocketAddr::new(victim, port.unwrap_or(any)), word);
            }
            Deed::Show(host) => {
                let request = b"\0\x01\0\0\x21\x12\xa4\x420123456789ab";
                let port = host_port(host) + self.rng.within(0..4) as u16;
                let from = |port| SocketAddr::new(host_addr(host), port);
                let main = Event::Datagram(from(port), request.to_vec());
                self.after(Duration::ZERO, main);
                let other = Event::AtOtherPort(from(port + 1), request.to_vec());
                self.after(Duration::ZERO, other);
            }
            Deed::Flood => {
                let from = SocketAddr::new(self.any_own(), self.rng.within(1..65_000) as u16);
                let length = self.rng.index(100);
                let data = (0..length).map(|_| self.rng.number() as u8).collect();
                self.after(Duration::ZERO, Event::Datagram(from, data));
            }
            Deed::Others => self.others(),
        }
        let pause = Duration::from_secs(1) / self.siege.rate.max(1) as u32;
        if self.now + pause < super::Instant::default() + (DURATION - BEFORE) {
            self.after(pause, Event::Attack);
        }
    }

    fn any_own(&mut self) -> IpAddr {
        let n = self.rng.index(self.siege.addrs.len());
        self.siege.addrs.get(n).copied().unwrap_or(own(0))
    }

    fn say(&mut self, from: SocketAddr, word: &[u8]) {
        self.after(Duration::ZERO, Event::Datagram(from, wire::datagram(word)));
    }

    /// A new connection that says this.
    fn begin(&mut self, addr: IpAddr, say: Vec<u8>) -> LinkId {
        let source = SocketAddr::new(addr, self.rng.within(1024..65_000) as u16);
        let link = self.connect(source, Role::Adversary, Duration::from_millis(2), say);
        self.siege.links.push(link);
        link
    }

    /// One of so many connections, or another one.
    fn any_link(&mut self, addr: IpAddr, most: usize) -> LinkId {
        let links = self.siege.links.len();
        if links < most || self.rng.permille(100) {
            return self.begin(addr, b"ping\n\0".to_vec());
        }
        let n = self.rng.index(links);
        self.siege.links.get(n).copied().unwrap_or(LinkId(0))
    }

    fn utter(&mut self, link: LinkId, bytes: Vec<u8>) {
        self.after(Duration::from_millis(4), Event::Bytes(link, bytes));
    }

    fn register(&mut self) {
        let addr = self.any_own();
        let port = self.rng.within(1024..65_000) as u16;
        if self.rng.permille(700) {
            self.say(SocketAddr::new(addr, port), b"reg\n\0");
        }
        let mut data: [String; 8] = Default::default();
        data[0] = "Pong".into();
        let length = self.rng.pick([0, 300, 9000]);
        let c = self.rng.pick(["<", "x", "\u{20ac}"]);
        data[1..].fill(c.repeat(length / c.len()));
        self.begin(addr, wire::reg2("1.2.4", &data));
    }

    fn overlong(&mut self) {
        let addr = self.any_own();
        let word: &[u8] = self.rng.pick([b"reg2\n1.2.4\nPong\n", b"connect\n", b"lobby2\n\n\n"]);
        let mut bytes = word.to_vec();
        for _ in 0..1 + self.rng.index(10) {
            let length = self.rng.pick([10, 9_000, 16_400, 17_000, 70_000]);
            bytes.extend(std::iter::repeat_n(b'x', length));
            bytes.extend(self.rng.pick([b"\n\0", b"\r\n"]));
        }
        let link = self.begin(addr, bytes);
        if self.rng.permille(500) {
            self.after(Duration::from_millis(20), Event::Fin(link));
        }
    }

    fn others(&mut self) {
        let forged = IpAddr::from([198, 51, 100, self.rng.index(250) as u8]);
        let addr = if self.rng.permille(500) { forged } else { self.any_own() };
        let from = SocketAddr::new(addr, self.rng.within(1..65_000) as u16);
        let words: [&[u8]; 8] =
            [b"rh:room", b"rl", b"jr:0000000000000000", b"ka", b"cr", b"status", b"\x12\0", b"z\0"];
        let data = self.rng.pick(words).to_vec();
        self.after(Duration::ZERO, Event::Datagram(from, data));
    }
}
