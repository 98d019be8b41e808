//! The honest players, and what is promised to them.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use punchd::clock::Instant;
use punchd::limits;

use super::{Event, LinkId, MASTER, Message, Rng, Role, World, host_addr, host_port, wire};

/// An answer for which nothing has to be waited for comes within this time, whoever else asks.
const AT_ONCE: Duration = Duration::from_millis(5);

/// A host is told of a client within this time after the client was answered: as many as may join
/// meanwhile, each with a few ports, a notify gap apart.
const TOLD: Duration = Duration::from_millis(1500);

/// A host whose packet was lost is asked for its port, and is known so long after it has registered.
const REG_LOST: Duration = Duration::from_millis(600);

/// The packet of a host to where it was told that a client is.
pub(super) const KNOCK: &[u8] = b"\xfd";

/// Once in a step of a game, for a second; a real one does so for fifteen.
const STEP: Duration = Duration::from_micros(16_667);
const KNOCKS: u32 = 60;

/// The address that several clients share.
const SHARED: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 77));

const GAME: &str = "Pong";

/// What came of one or more seeds in which every promise was kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Things that happened.
    pub steps: u64,
    /// Datagrams that the server sent.
    pub datagrams: u64,
    /// Clients with an address of their own that were introduced.
    pub introduced: u64,
    /// Clients that share an address of whose port the host was told.
    pub shared_right: u64,
    /// And those that it was told wrong of.
    pub shared_wrong: u64,
    /// Clients whose address was forged, and of whose port the host was told.
    pub forged_right: u64,
    /// And those that it was told wrong of.
    pub forged_wrong: u64,
    /// Clients that were told the right port of a host whose address was forged.
    pub host_right: u64,
    /// And those that were told a wrong one.
    pub host_wrong: u64,
    /// Clients that were answered as soon as others although their address, or that of their host, was forged.
    pub forged_in_time: u64,
    /// And those that were answered later.
    pub forged_late: u64,
    /// Clients whose host was not told because it was changing its data.
    pub moved: u64,
    /// The longest that a client waited for its answer.
    pub slowest_answer: Duration,
    /// The longest that a host waited to be told.
    pub slowest_notice: Duration,
    /// Lobbies in which every honest host was.
    pub lobbies: u64,
    /// Datagrams that came to the other port.
    pub at_other_port: u64,
}

impl Tally {
    /// Adds the figures of more seeds.
    pub fn add(&mut self, more: &Self) {
        self.steps += more.steps;
        self.datagrams += more.datagrams;
        self.introduced += more.introduced;
        self.shared_right += more.shared_right;
        self.shared_wrong += more.shared_wrong;
        self.forged_right += more.forged_right;
        self.forged_wrong += more.forged_wrong;
        self.host_right += more.host_right;
        self.host_wrong += more.host_wrong;
        self.forged_in_time += more.forged_in_time;
        self.forged_late += more.forged_late;
        self.moved += more.moved;
        self.slowest_answer = self.slowest_answer.max(more.slowest_answer);
        self.slowest_notice = self.slowest_notice.max(more.slowest_notice);
        self.lobbies += more.lobbies;
        self.at_other_port += more.at_other_port;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Of what did not occur there is no share.
        let share = |right: u64, wrong: u64| match right + wrong {
            0 => "none occurred".to_owned(),
            all => format!("{:.2} % of {all}", 100.0 * right as f64 / all as f64),
        };
        write!(
            f,
            "{} steps: {} introductions, the slowest answer after {:?}, the slowest notice after \
             {:?}; {} lobbies; the right port told of players that share an address: {}, of those \
             whose address was forged: {}, and of hosts whose address was forged: {}; of all these {} \
             answered in time; {} joins lost as the host came back at that moment; every other promise kept",
            self.steps,
            self.introduced,
            self.slowest_answer,
            self.slowest_notice,
            self.lobbies,
            share(self.shared_right, self.shared_wrong),
            share(self.forged_right, self.forged_wrong),
            share(self.host_right, self.host_wrong),
            share(self.forged_in_time, self.forged_late),
            self.moved,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_did_not_occur_has_no_share() {
        let tally = Tally { shared_right: 3, shared_wrong: 1, ..Tally::default() };
        let said = tally.to_string();
        assert!(said.contains("that share an address: 75.00 % of 4, "), "{said}");
        assert!(said.contains("of hosts whose address was forged: none occurred"), "{said}");
        assert!(!said.contains("of 0"), "{said}");
    }
}

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Broken {
    /// The server closed the connection of somebody honest.
    Closed(String),
    /// An honest client did not get its answer, or late, or a wrong one.
    Answer(String),
    /// A host was not told of an honest client, or late.
    Notice(String),
    /// A live host was not listed, or the list did not come.
    Lobby(String),
    /// The server wakes up without cause, again and again.
    Spins,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(what) => write!(f, "closed: {what}"),
            Self::Answer(what) => write!(f, "answer: {what}"),
            Self::Notice(what) => write!(f, "notice: {what}"),
            Self::Lobby(what) => write!(f, "lobby: {what}"),
            Self::Spins => write!(f, "it wakes up without cause, again and again"),
        }
    }
}

/// A game that can be joined.
#[derive(Debug)]
pub(super) struct Host {
    addr: IpAddr,
    port: u16,
    rtt: Duration,
    /// The packet with which it shows its port is lost.
    is_reg_lost: bool,
    link: Option<LinkId>,
    /// When it has arrived, last.
    registered: Option<Instant>,
    /// When its player changed its data last: what it was about to be told is lost with the
    /// connection.
    changed: Option<Instant>,
    /// Whom it was told of, and when.
    told: Vec<(SocketAddr, Instant)>,
}

impl Host {
    pub(super) fn any(n: usize, rng: &mut Rng) -> Self {
        let rtt = rng.millis(2..200);
        Self {
            addr: host_addr(n),
            port: host_port(n),
            rtt,
            is_reg_lost: rng.permille(100),
            link: None,
            registered: None,
            changed: None,
            told: Vec::new(),
        }
    }

    /// The server knows it so long after it has arrived.
    fn settles(&self) -> Duration {
        if self.is_reg_lost { REG_LOST } else { Duration::ZERO }
    }
}

/// A player who wants to join.
#[derive(Debug)]
pub(super) struct Client {
    addr: IpAddr,
    port: u16,
    host: usize,
    rtt: Duration,
    link: Option<LinkId>,
    asked: Option<Instant>,
    answered: Option<Instant>,
}

impl Client {
    pub(super) fn any(n: usize, hosts: usize, rng: &mut Rng) -> Self {
        let own = IpAddr::from([198, 18, (n / 250) as u8, 1 + (n % 250) as u8]);
        let addr = if n.is_multiple_of(3) { SHARED } else { own };
        let (port, host) = (rng.within(20_000..60_000) as u16, rng.index(hosts));
        let rtt = rng.millis(2..300);
        Self { addr, port, host, rtt, link: None, asked: None, answered: None }
    }

    fn is_shared(&self) -> bool {
        self.addr == SHARED
    }
}

impl World {
    /// Shows its port and registers.
    pub(super) fn start_host(&mut self, n: usize) {
        let Some(host) = self.hosts.get(n) else { return };
        let (endpoint, rtt) = (SocketAddr::new(host.addr, host.port), host.rtt);
        if !host.is_reg_lost {
            self.after(rtt / 2, Event::Datagram(endpoint, wire::datagram(b"reg\n\0")));
        }
        let source = SocketAddr::new(endpoint.ip(), self.rng.within(1024..65_000) as u16);
        let link = self.connect(source, Role::Host(n), rtt, registration(n));
        if let Some(host) = self.hosts.get_mut(n) {
            (host.link, host.registered) = (Some(link), None);
        }
    }

    /// A host changes its data as GMnet does it: by a new connection.
    pub(super) fn change_host(&mut self, n: usize) {
        let now = self.now;
        let Some(host) = self.hosts.get_mut(n) else { return };
        host.changed = Some(now);
        if let Some(link) = host.link.take() {
            self.after(Duration::from_millis(10), Event::Fin(link));
        }
        self.after(Duration::from_millis(30), Event::HostStarts(n));
    }

    /// A host changes its data on the connection that it has, and does not show its port again.
    pub(super) fn renew_host(&mut self, n: usize) {
        let Some(host) = self.hosts.get(n) else { return };
        if let Some(link) = host.link {
            self.after(host.rtt / 2, Event::Bytes(link, registration(n)));
        }
    }

    /// A host knocks at the server, once in a step of its game.
    pub(super) fn knock(&mut self, n: usize, left: u32, is_other_port: bool) {
        let Some(host) = self.hosts.get(n) else { return };
        let endpoint = SocketAddr::new(host.addr, host.port);
        let at = if is_other_port { Event::AtOtherPort } else { Event::Datagram };
        self.after(host.rtt / 2, at(endpoint, wire::datagram(KNOCK)));
        if left > 0 {
            self.after(STEP, Event::HostKnocks(n, left - 1, is_other_port));
        }
    }

    /// Shows its port and asks for its host.
    pub(super) fn start_client(&mut self, n: usize) {
        let Some(client) = self.clients.get(n) else { return };
        let (endpoint, rtt) = (SocketAddr::new(client.addr, client.port), client.rtt);
        let ask = wire::connect(&host_addr(client.host).to_string());
        // What is sent at once does not take equally long.
        let jitter = self.rng.millis(0..3);
        self.after(rtt / 2 + jitter, Event::Datagram(endpoint, wire::datagram(b"connect\n\0")));
        let source = SocketAddr::new(endpoint.ip(), self.rng.within(1024..65_000) as u16);
        let link = self.connect(source, Role::Client(n), rtt, ask);
        if let Some(client) = self.clients.get_mut(n) {
            client.link = Some(link);
        }
    }

    /// Somebody looks at the lobby of the game.
    pub(super) fn look(&mut self) {
        let source = SocketAddr::from(([192, 0, 2, 9], self.rng.within(1024..65_000) as u16));
        let mut ask = format!("lobby2\n\0{GAME}\n\0").into_bytes();
        ask.extend(b"\n\0".repeat(7));
        ask.extend(b"date\n\0DESC\n\0\n\0");
        self.connect(source, Role::Viewer, Duration::from_millis(20), ask);
    }

    /// Bytes of somebody honest have arrived.
    pub(super) fn note_arrival(&mut self, id: LinkId) {
        let now = self.now;
        match self.links.get(id.0).map(|link| link.role) {
            Some(Role::Host(n)) => {
                if let Some(host) = self.hosts.get_mut(n) {
                    host.registered = Some(now);
                }
            }
            Some(Role::Client(n)) => {
                if let Some(client) = self.clients.get_mut(n) {
                    client.asked = Some(now);
                }
            }
            Some(Role::Viewer) => self.looked = Some(now),
            Some(Role::Adversary) | None => {}
        }
    }

    /// The server says something.
    pub(super) fn hear(&mut self, id: LinkId, bytes: &[u8]) -> Result<(), Broken> {
        let now = self.now;
        let message = wire::parse(bytes);
        match self.links.get(id.0).map(|link| link.role) {
            Some(Role::Host(n)) => {
                let Some(Message::Introduction(addr, port)) = message else { return Ok(()) };
                let endpoint = addr.parse().ok().zip(port.parse().ok());
                let told = endpoint.map(|(addr, port)| SocketAddr::new(addr, port));
                let Some(host) = self.hosts.get_mut(n) else { return Ok(()) };
                if let Some(at) = told.filter(|at| at.ip() == MASTER.ip()) {
                    let knocks = host.rtt / 2 + STEP;
                    self.after(knocks, Event::HostKnocks(n, KNOCKS, at != MASTER));
                } else {
                    host.told.extend(told.map(|client| (client, now)));
                }
                Ok(())
            }
            Some(Role::Client(n)) => self.hear_client(n, message),
            Some(Role::Viewer) => self.hear_viewer(message),
            Some(Role::Adversary) | None => Ok(()),
        }
    }

    fn hear_client(&mut self, n: usize, message: Option<Message<'_>>) -> Result<(), Broken> {
        let now = self.now;
        let Some(client) = self.clients.get_mut(n) else { return Ok(()) };
        let Some(host) = self.hosts.get(client.host) else { return Ok(()) };
        let asked = client.asked.unwrap_or(now);
        let is_right = match message {
            Some(Message::Introduction(addr, port)) => {
                addr == host.addr.to_string() && port == host.port.to_string()
            }
            _ => false,
        };
        let is_host_forged = self.siege.forges(host.addr);
        if is_host_forged {
            self.tally.host_right += u64::from(is_right);
            self.tally.host_wrong += u64::from(!is_right);
        } else if !is_right {
            let what = format!("client {n} asked for {}, was told {message:?}", host.addr);
            return Err(Broken::Answer(what));
        }
        // A host that changes its data is away for a moment.
        let settled = host.registered.map(|at| at + host.settles());
        let since = settled.filter(|at| *at > asked).unwrap_or(asked);
        let waited = now - since;
        let is_forged = self.siege.forges(client.addr) || is_host_forged;
        // A neighbour may have got its packet; the next may be a moment late.
        let most = if client.is_shared() { limits::HOST_RETURN } else { AT_ONCE };
        if is_forged {
            self.tally.forged_in_time += u64::from(waited <= most);
            self.tally.forged_late += u64::from(waited > most);
        } else if waited > most {
            return Err(Broken::Answer(format!("client {n} waited {waited:?}")));
        }
        client.answered = Some(now);
        self.tally.slowest_answer = self.tally.slowest_answer.max(waited);
        Ok(())
    }

    fn hear_viewer(&mut self, message: Option<Message<'_>>) -> Result<(), Broken> {
        let Some(Message::Lobby(json)) = message else { return Ok(()) };
        // Who is away for a moment, or has just come, may be seen or not.
        let settled = limits::SHADOW + Duration::from_millis(500);
        for (n, host) in self.hosts.iter().enumerate() {
            let settled = settled + host.settles();
            let is_settled = host.registered.is_some_and(|at| self.now - at > settled);
            if is_settled && host.link.is_some() && !json.contains(&format!("honest {n}\"")) {
                return Err(Broken::Lobby(format!("host {n} is not listed")));
            }
        }
        self.looked = None;
        self.tally.lobbies += 1;
        Ok(())
    }

    /// The server has closed a connection.
    pub(super) fn closed(&mut self, id: LinkId) -> Result<(), Broken> {
        let Some(link) = self.links.get_mut(id.0) else { return Ok(()) };
        link.conn = None;
        let source = link.source;
        match link.role {
            Role::Adversary => Ok(()),
            Role::Viewer if self.looked.is_none() => Ok(()),
            Role::Client(n) if self.clients.get(n).is_some_and(|c| c.answered.is_some()) => Ok(()),
            role => Err(Broken::Closed(format!("{role:?} at {source}"))),
        }
    }

    /// Everybody has had the time that he may need.
    pub(super) fn check_end(&mut self) -> Result<(), Broken> {
        if self.looked.is_some() {
            return Err(Broken::Lobby("the list did not come".into()));
        }
        for (n, client) in self.clients.iter().enumerate() {
            let Some(answered) = client.answered else {
                return Err(Broken::Answer(format!("client {n} got no answer")));
            };
            let Some(host) = self.hosts.get(client.host) else { continue };
            let endpoint = SocketAddr::new(client.addr, client.port);
            let is_it = |(told, at): &&(SocketAddr, Instant)| {
                *told == endpoint && client.asked.is_some_and(|asked| *at >= asked)
            };
            let told = host.told.iter().find(is_it).map(|(_, at)| *at - answered);
            let right = told.is_some_and(|waited| waited <= TOLD);
            let has_moved =
                host.changed.is_some_and(|at| at + TOLD > answered && at < answered + TOLD);
            let tally = &mut self.tally;
            if self.siege.forges(client.addr) || self.siege.forges(host.addr) {
                tally.forged_right += u64::from(right);
                tally.forged_wrong += u64::from(!right);
            } else if client.is_shared() {
                tally.shared_right += u64::from(right);
                tally.shared_wrong += u64::from(!right);
            } else if let Some(waited) = told.filter(|_| right) {
                tally.introduced += 1;
                tally.slowest_notice = tally.slowest_notice.max(waited);
            } else if has_moved {
                tally.moved += 1;
            } else {
                let what = format!("host {} was told of {endpoint} after {told:?}", client.host);
                return Err(Broken::Notice(what));
            }
        }
        Ok(())
    }
}

/// What a host says of itself.
fn registration(n: usize) -> Vec<u8> {
    let mut data: [String; 8] = Default::default();
    data[0] = GAME.into();
    data[1] = format!("honest {n}");
    wire::reg2("1.2.4", &data)
}

/// An address whose player the adversary may pretend to be.
pub(super) fn any_victim(rng: &mut Rng) -> IpAddr {
    let client = IpAddr::from([198, 18, 0, 1 + rng.index(12) as u8]);
    rng.pick([SHARED, client, host_addr(0), host_addr(1)])
}
