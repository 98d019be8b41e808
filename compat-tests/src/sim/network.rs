//! The made-up network with its made-up clock: what is under way, and when it arrives.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use punchd::clock::Instant;

use super::link::{Command, Death, Link, LinkId};
use super::nat::{Inside, Nat};
use super::rng::Rng;

/// Where the server is.
pub const MASTER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1)), 6510);

/// What is under way.
#[derive(Clone, Debug)]
pub enum Event {
    /// A peer wants to do something now.
    Wake(usize, u32),
    /// Something arrives at the server on a connection.
    Arrive(LinkId, Segment),
    /// The server's bytes arrive at a peer.
    Tell(LinkId, Vec<u8>),
    /// A peer hears that its connection has ended.
    Closed(LinkId),
    /// A datagram arrives where it was sent.
    Datagram(Datagram),
    /// A connection ends although nobody wanted it to.
    Die(LinkId, Death),
    /// And so it does, nothing has arrived in between.
    End(LinkId, Death),
}

/// What arrives on a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// The connection itself.
    Open,
    /// Some bytes.
    Bytes(Vec<u8>),
    /// The end of the stream.
    Fin,
    /// The end of the connection.
    Reset,
    /// Nothing at all, for so long that the server's system gives the connection up.
    GivenUp,
}

/// What a peer says to the server by UDP, so that the checks need not parse it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// A host shows its port.
    Reg,
    /// A client shows its port.
    Connect,
    /// A host that was asked for its port shows it.
    Knock,
    /// It is not for the server, or means nothing to it.
    Nothing,
    /// Something in another dialect, which may be answered.
    Foreign,
}

/// A datagram on its way.
#[derive(Clone, Debug)]
pub struct Datagram {
    /// Who really sent it.
    pub sender: usize,
    /// Where it seems to come from.
    pub from: SocketAddr,
    /// Where it goes.
    pub to: SocketAddr,
    /// What it means.
    pub said: Said,
    /// Its bytes.
    pub data: Vec<u8>,
}

/// How well the network works in one schedule.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// Shortest way of a packet.
    pub delay: Duration,
    /// What may come on top of it, so that datagrams overtake each other.
    pub jitter: u64,
    /// Datagrams lost, in a thousand.
    pub loss: u64,
    /// Datagrams that arrive twice, in a thousand.
    pub duplication: u64,
    /// Connections that die of something, in a thousand.
    pub death: u64,
    /// Sends that are cut into pieces, in a thousand.
    pub cuts: u64,
}

impl Weather {
    /// Any weather, also fair.
    pub fn any(rng: &mut Rng) -> Self {
        Self {
            delay: rng.millis(1..120),
            jitter: rng.pick([1, 5, 40, 200]),
            loss: rng.pick([0, 0, 20, 100, 300]),
            duplication: rng.pick([0, 0, 50, 300]),
            death: rng.pick([0, 0, 50, 200]),
            cuts: rng.pick([0, 100, 800]),
        }
    }
}

/// A place with one public address.
#[derive(Debug)]
pub struct Site {
    /// The address.
    pub addr: IpAddr,
    /// What stands before it, if anything.
    pub nat: Option<Nat>,
}

#[derive(Debug)]
struct Entry(Instant, u64, Event);

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        (self.0, self.1) == (other.0, other.1)
    }
}
impl Eq for Entry {}
impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}

/// Everything but the server and the peers.
#[derive(Debug)]
pub struct Network {
    /// What time it is.
    pub now: Instant,
    /// Chance.
    pub rng: Rng,
    /// How well it works.
    pub weather: Weather,
    /// All places.
    pub sites: Vec<Site>,
    /// All connections that ever were.
    pub links: Vec<Link>,
    /// The site of each peer.
    pub homes: Vec<usize>,
    queue: BinaryHeap<Reverse<Entry>>,
    sequence: u64,
}

impl Network {
    /// A network without anybody.
    #[must_use]
    pub fn new(weather: Weather, rng: Rng) -> Self {
        Self {
            now: Instant::from_micros(0),
            rng,
            weather,
            sites: Vec::new(),
            links: Vec::new(),
            homes: Vec::new(),
            queue: BinaryHeap::new(),
            sequence: 0,
        }
    }

    /// Something happens at that time; what is said first of one time happens first.
    pub fn at(&mut self, time: Instant, event: Event) {
        self.sequence += 1;
        self.queue.push(Reverse(Entry(time, self.sequence, event)));
    }

    /// When something happens next.
    #[must_use]
    pub fn next_time(&self) -> Option<Instant> {
        self.queue.peek().map(|Reverse(entry)| entry.0)
    }

    /// What happens next.
    pub fn pop(&mut self) -> Option<Event> {
        let Reverse(Entry(time, _, event)) = self.queue.pop()?;
        self.now = time;
        Some(event)
    }

    /// How long a packet takes.
    pub fn delay(&mut self) -> Duration {
        self.weather.delay + self.rng.millis(0..self.weather.jitter)
    }

    /// Sends a datagram from a peer's own port.
    pub fn send_datagram(&mut self, from: Inside, to: SocketAddr, said: Said, data: Vec<u8>) {
        let Some(site) = self.homes.get(from.peer).and_then(|n| self.sites.get_mut(*n)) else {
            return;
        };
        let outside = match &mut site.nat {
            Some(nat) => nat.outbound(self.now, from, to, &mut self.rng),
            None => SocketAddr::new(site.addr, from.port),
        };
        self.carry(Datagram { sender: from.peer, from: outside, to, said, data });
    }

    /// Takes a datagram to its destination, or loses it, or takes it there twice.
    pub fn carry(&mut self, datagram: Datagram) {
        if self.rng.permille(self.weather.loss) {
            return;
        }
        if self.rng.permille(self.weather.duplication) {
            let time = self.now + self.delay();
            self.at(time, Event::Datagram(datagram.clone()));
        }
        let time = self.now + self.delay();
        self.at(time, Event::Datagram(datagram));
    }

    /// The peer that a datagram reaches.
    pub fn receiver(&mut self, datagram: &Datagram) -> Option<usize> {
        let now = self.now;
        let site = self.sites.iter_mut().position(|site| site.addr == datagram.to.ip())?;
        match &mut self.sites.get_mut(site)?.nat {
            Some(nat) => Some(nat.inbound(now, datagram.to.port(), datagram.from)?.peer),
            None => self.homes.iter().position(|home| *home == site),
        }
    }

    /// A peer connects to the server.
    pub fn connect(&mut self, peer: usize) -> LinkId {
        let addr = self.homes.get(peer).and_then(|n| self.sites.get(*n)).map(|site| site.addr);
        let addr = addr.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let source = SocketAddr::new(addr, self.rng.within(1024..65_536) as u16);
        let id = LinkId(self.links.len());
        let syn = self.now + self.delay();
        // Nobody sends before the server's system has answered, and that is not done before the
        // peer's has said that it heard.
        let round_trip = self.delay() + self.delay();
        let open = syn + round_trip;
        let mut link = Link::new(peer, source, open);
        link.round_trip = round_trip;
        if self.rng.permille(self.weather.death) {
            let death = self.rng.pick([Death::Fin, Death::Reset, Death::Silence]);
            if self.rng.permille(500) {
                link.doom = Some((self.rng.index(80), death));
            } else {
                let time = open + self.rng.millis(0..60_000);
                self.at(time, Event::Die(id, death));
            }
        }
        self.links.push(link);
        self.at(open, Event::Arrive(id, Segment::Open));
        id
    }

    /// A peer sends bytes that are this command.
    pub fn send(&mut self, id: LinkId, bytes: &[u8], command: Option<Command>) {
        let Some(link) = self.links.get_mut(id.0).filter(|link| !link.ended) else { return };
        link.sent(bytes.len(), command);
        let mut rest = bytes;
        while !rest.is_empty() {
            let cut = self.rng.permille(self.weather.cuts);
            let length = if cut { 1 + self.rng.index(rest.len()) } else { rest.len() };
            let (piece, tail) = rest.split_at(length);
            self.deliver(id, Segment::Bytes(piece.to_vec()));
            rest = tail;
        }
    }

    /// A peer has nothing more to say; with `deaf` it does not listen any more either.
    pub fn finish(&mut self, id: LinkId, deaf: bool) {
        let Some(link) = self.links.get_mut(id.0) else { return };
        link.deaf |= deaf;
        if !std::mem::replace(&mut link.ended, true) {
            self.deliver(id, Segment::Fin);
        }
    }

    /// A peer drops a connection. That is not waited with until all bytes have arrived.
    pub fn reset(&mut self, id: LinkId) {
        let time = self.now + self.delay();
        let Some(link) = self.links.get_mut(id.0) else { return };
        (link.deaf, link.ended) = (true, true);
        self.at(time, Event::Arrive(id, Segment::Reset));
    }

    /// A segment arrives behind all that were sent before it.
    fn deliver(&mut self, id: LinkId, segment: Segment) {
        let delay = self.delay();
        let Some(link) = self.links.get_mut(id.0) else { return };
        let time = link.up_free.max(self.now + delay);
        link.up_free = time;
        self.at(time, Event::Arrive(id, segment));
    }

    /// The server's bytes, or its goodbye, go to a peer.
    pub fn tell(&mut self, id: LinkId, bytes: Option<&[u8]>) {
        let delay = self.delay();
        let Some(link) = self.links.get_mut(id.0).filter(|link| !link.silent) else { return };
        let time = link.down_free.max(self.now + delay);
        link.down_free = time;
        match bytes {
            Some(bytes) => self.at(time, Event::Tell(id, bytes.to_vec())),
            None => self.at(time, Event::Closed(id)),
        }
    }
}
